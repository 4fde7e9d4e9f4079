/* pack_avx512.c - panels of 16 rows out of file order, by transposing
 * registers.
 *
 * All formats come down to dwords: an f32, a pair of 16-bit values, 4 bytes of
 * a quantized block. 16 rows x 16 dwords are loaded, transposed in 64
 * shuffles and stored as 16 whole cache lines, so that each line of the file
 * and of the panel is touched once. Whole lines are written past the cache
 * (measured: 17 GB/s against 10; nothing lost on memory never touched before).
 * Bound: memory, at 2 bytes moved per byte.
 * Reference: ref/ref_pack.c, equal bit for bit.
 */
#if !defined(__AVX512F__) || !defined(__AVX512BW__) || !defined(__AVX512VL__)
#error "compile this file with the flags of avx512 (cmake/isa.cmake)"
#endif
#include "backend/cpu/x86/x86.h"

#include <immintrin.h>

/* Four rows to 4 columns per 128-bit lane: u[c] has, in lane l, column
 * 4 l + c of the rows. */
QN_INLINE void four_rows(const __m512i r[4], __m512i u[4])
{
    __m512i a = _mm512_unpacklo_epi32(r[0], r[1]);
    __m512i b = _mm512_unpackhi_epi32(r[0], r[1]);
    __m512i c = _mm512_unpacklo_epi32(r[2], r[3]);
    __m512i d = _mm512_unpackhi_epi32(r[2], r[3]);

    u[0] = _mm512_unpacklo_epi64(a, c);
    u[1] = _mm512_unpackhi_epi64(a, c);
    u[2] = _mm512_unpacklo_epi64(b, d);
    u[3] = _mm512_unpackhi_epi64(b, d);
}

/* 16 rows of 16 dwords to 16 columns. */
QN_INLINE void transpose(const __m512i r[16], __m512i out[16])
{
    __m512i u[16];

    QN_UNROLL
    for (int i = 0; i < 16; i += 4)
        four_rows(r + i, u + i);
    QN_UNROLL
    for (int c = 0; c < 4; c++) { /* 4 x 4 lanes of 128 bits */
        __m512i a = _mm512_shuffle_i32x4(u[c], u[4 + c], 0x88);
        __m512i b = _mm512_shuffle_i32x4(u[c], u[4 + c], 0xdd);
        __m512i d = _mm512_shuffle_i32x4(u[8 + c], u[12 + c], 0x88);
        __m512i e = _mm512_shuffle_i32x4(u[8 + c], u[12 + c], 0xdd);
        out[c] = _mm512_shuffle_i32x4(a, d, 0x88);
        out[4 + c] = _mm512_shuffle_i32x4(b, e, 0x88);
        out[8 + c] = _mm512_shuffle_i32x4(a, d, 0xdd);
        out[12 + c] = _mm512_shuffle_i32x4(b, e, 0xdd);
    }
}

/* Rows of dwords; `half`: n counts 16-bit elements, two to a dword, and an odd
 * one is completed by zero. Loads nothing beyond the rows. */
QN_INLINE void load_rows(const uint8_t *rows, int64_t row_bytes, int64_t left,
                         bool half, __m512i r[16])
{
    int64_t full = half ? 32 : 16;
    __mmask32 m = left >= full ? ~(__mmask32)0 : ((__mmask32)1 << left) - 1;

    QN_UNROLL
    for (int i = 0; i < 16; i++) {
        const uint8_t *p = rows + i * row_bytes;
        r[i] = left >= full ? _mm512_loadu_si512(p)
               : half       ? _mm512_maskz_loadu_epi16(m, p)
                            : _mm512_maskz_loadu_epi32((__mmask16)m, p);
    }
}

/* One line of the panel, past the cache. */
QN_INLINE void put_line(uint8_t *to, __m512i v)
{
    _mm512_stream_si512((__m512i *)(void *)to, v);
}

static void pack_f32_avx512(const uint8_t *rows, int64_t row_bytes,
                            int64_t n_in, uint8_t *panel)
{
    for (int64_t k = 0; k < n_in; k += 16) {
        __m512i r[16], out[16];
        load_rows(rows + k * 4, row_bytes, n_in - k, false, r);
        transpose(r, out);
        for (int j = 0; j < 16 && k + j < n_in; j++)
            put_line(panel + (k + j) * 64, out[j]);
    }
    _mm_sfence();
}

static void pack_bf16_avx512(const uint8_t *rows, int64_t row_bytes,
                             int64_t n_in, uint8_t *panel)
{
    for (int64_t k = 0; k < n_in; k += 32) {
        __m512i r[16], out[16];
        load_rows(rows + k * 2, row_bytes, n_in - k, true, r);
        transpose(r, out);
        for (int j = 0; j < 16 && k + 2 * j < n_in; j++)
            put_line(panel + (k + 2 * j) * 32, out[j]);
    }
    _mm_sfence();
}

/* As bf16, then each line of pairs is split into its two k's. */
static void pack_f16_avx512(const uint8_t *rows, int64_t row_bytes,
                            int64_t n_in, uint8_t *panel)
{
    __m512i split = _mm512_set_epi16(31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11,
                                     9, 7, 5, 3, 1, 30, 28, 26, 24, 22, 20, 18,
                                     16, 14, 12, 10, 8, 6, 4, 2, 0);

    for (int64_t k = 0; k < n_in; k += 32) {
        __m512i r[16], out[16];
        load_rows(rows + k * 2, row_bytes, n_in - k, true, r);
        transpose(r, out);
        for (int j = 0; j < 16 && k + 2 * j < n_in; j++) {
            uint8_t *to = panel + (k + 2 * j) * 32;
            __m512i two = _mm512_permutexvar_epi16(split, out[j]);
            if (k + 2 * j + 1 < n_in && n_in % 2 == 0)
                put_line(to, two);
            else if (k + 2 * j + 1 < n_in) /* panels not aligned to lines */
                _mm512_storeu_si512(to, two);
            else
                _mm256_storeu_si256((__m256i *)to, _mm512_castsi512_si256(two));
        }
    }
    _mm_sfence();
}

QN_INLINE void scales(const uint8_t *block, int64_t row_bytes, uint8_t *to)
{
    for (int i = 0; i < QN_PANEL; i++)
        memcpy(to + 2 * i, block + i * row_bytes, 2);
}

/* Rows i and i + 8 share a register, so that two 8 x 8 transposes run side by
 * side. */
static void pack_q8_0_avx512(const uint8_t *rows, int64_t row_bytes,
                             int64_t n_in, uint8_t *panel)
{
    const __m512i top = _mm512_set1_epi8(-128);

    for (int64_t b = 0; b < n_in / QN_QBLOCK; b++, rows += 34, panel += 544) {
        __m512i r[8], u[8];
        scales(rows, row_bytes, panel);
        QN_UNROLL
        for (int i = 0; i < 8; i++) {
            const uint8_t *p = rows + i * row_bytes + 2;
            r[i] = _mm512_inserti64x4(
                _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)p)),
                _mm256_loadu_si256((const __m256i *)(p + 8 * row_bytes)), 1);
            r[i] = _mm512_xor_si512(r[i], top);
        }
        four_rows(r, u);
        four_rows(r + 4, u + 4);
        QN_UNROLL
        for (int c = 0; c < 4; c++) {
            /* u[c]: columns c, 4 + c of rows 0..3, then of rows 8..11 */
            __m512i a = _mm512_shuffle_i32x4(u[c], u[4 + c], 0x88);
            __m512i d = _mm512_shuffle_i32x4(u[c], u[4 + c], 0xdd);
            _mm512_storeu_si512(panel + 32 + 64 * c,
                                _mm512_shuffle_i32x4(a, a, 0xd8));
            _mm512_storeu_si512(panel + 32 + 64 * (4 + c),
                                _mm512_shuffle_i32x4(d, d, 0xd8));
        }
    }
}

/* Rows 4 l .. 4 l + 3 go to lane l: a transpose within lanes is all. */
static void pack_q4_0_avx512(const uint8_t *rows, int64_t row_bytes,
                             int64_t n_in, uint8_t *panel)
{
    for (int64_t b = 0; b < n_in / QN_QBLOCK; b++, rows += 18, panel += 288) {
        __m512i r[4], u[4];
        scales(rows, row_bytes, panel);
        QN_UNROLL
        for (int i = 0; i < 4; i++) {
            const uint8_t *p = rows + i * row_bytes + 2;
            r[i] = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)p));
            QN_UNROLL
            for (int l = 1; l < 4; l++) {
                __m128i v = _mm_loadu_si128(
                    (const __m128i *)(p + 4 * l * row_bytes));
                r[i] = l == 1   ? _mm512_inserti32x4(r[i], v, 1)
                       : l == 2 ? _mm512_inserti32x4(r[i], v, 2)
                                : _mm512_inserti32x4(r[i], v, 3);
            }
        }
        four_rows(r, u);
        QN_UNROLL
        for (int c = 0; c < 4; c++)
            _mm512_storeu_si512(panel + 32 + 64 * c, u[c]);
    }
}

void qn_x86_pack_avx512(qn_kernels *k)
{
    static const struct {
        qn_layout layout;
        const char *name;
        qn_pack_fn fn;
    } rows[] = {
        {QN_LAYOUT_F32, "pack_f32_avx512", pack_f32_avx512},
        {QN_LAYOUT_F16, "pack_f16_avx512", pack_f16_avx512},
        {QN_LAYOUT_BF16, "pack_bf16_avx512", pack_bf16_avx512},
        {QN_LAYOUT_Q8_0, "pack_q8_0_avx512", pack_q8_0_avx512},
        {QN_LAYOUT_Q4_0, "pack_q4_0_avx512", pack_q4_0_avx512},
    };

    for (size_t i = 0; i < QN_COUNTOF(rows); i++) {
        k->pack[rows[i].layout].name = rows[i].name;
        k->pack[rows[i].layout].fn = rows[i].fn;
    }
}
