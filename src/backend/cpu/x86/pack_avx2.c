/* pack_avx2.c - panels of 16 rows out of file order, by transposing registers.
 *
 * As pack_avx512.c, with two 8 x 8 transposes of dwords for each half of a
 * cache line of the file; both halves of a line of the panel are written one
 * after the other, past the cache where they are aligned.
 * Bound: memory, at 2 bytes moved per byte.
 * Reference: ref/ref_pack.c, equal bit for bit.
 */
#if !defined(__AVX2__)
#error "compile this file with the flags of avx2 (cmake/isa.cmake)"
#endif
#include "backend/cpu/x86/x86.h"

#include <immintrin.h>

/* Four rows to 4 columns per 128-bit lane: u[c] has, in lane l, column
 * 4 l + c of the rows. */
QN_INLINE void quad_avx2(const __m256i r[4], __m256i u[4])
{
    __m256i a = _mm256_unpacklo_epi32(r[0], r[1]);
    __m256i b = _mm256_unpackhi_epi32(r[0], r[1]);
    __m256i c = _mm256_unpacklo_epi32(r[2], r[3]);
    __m256i d = _mm256_unpackhi_epi32(r[2], r[3]);

    u[0] = _mm256_unpacklo_epi64(a, c);
    u[1] = _mm256_unpackhi_epi64(a, c);
    u[2] = _mm256_unpacklo_epi64(b, d);
    u[3] = _mm256_unpackhi_epi64(b, d);
}

/* 8 rows of 8 dwords to 8 columns. */
QN_INLINE void oct_avx2(const __m256i r[8], __m256i out[8])
{
    __m256i u[8];

    quad_avx2(r, u);
    quad_avx2(r + 4, u + 4);
    QN_UNROLL
    for (int c = 0; c < 4; c++) {
        out[c] = _mm256_permute2x128_si256(u[c], u[4 + c], 0x20);
        out[4 + c] = _mm256_permute2x128_si256(u[c], u[4 + c], 0x31);
    }
}

QN_INLINE void load_oct(const uint8_t *p, int64_t row_bytes, __m256i r[8])
{
    QN_UNROLL
    for (int i = 0; i < 8; i++)
        r[i] = _mm256_loadu_si256(
            (const __m256i *)(const void *)(p + i * row_bytes));
}

/* 16 rows of 8 dwords at p: columns of rows 0..7 and of rows 8..15. */
QN_INLINE void columns(const uint8_t *p, int64_t row_bytes, __m256i a[8],
                       __m256i b[8])
{
    __m256i r[8];

    load_oct(p, row_bytes, r);
    oct_avx2(r, a);
    load_oct(p + 8 * row_bytes, row_bytes, r);
    oct_avx2(r, b);
}

QN_INLINE void stream_line(uint8_t *to, __m256i a, __m256i b)
{
    _mm256_stream_si256((__m256i *)(void *)to, a);
    _mm256_stream_si256((__m256i *)(void *)(to + 32), b);
}

QN_INLINE void store_line(uint8_t *to, __m256i a, __m256i b)
{
    _mm256_storeu_si256((__m256i *)(void *)to, a);
    _mm256_storeu_si256((__m256i *)(void *)(to + 32), b);
}

static void pack_f32_avx2(const uint8_t *rows, int64_t row_bytes, int64_t n_in,
                          uint8_t *panel)
{
    int64_t k = 0;

    for (; k + 8 <= n_in; k += 8) {
        __m256i a[8], b[8];
        columns(rows + k * 4, row_bytes, a, b);
        QN_UNROLL
        for (int j = 0; j < 8; j++)
            stream_line(panel + (k + j) * 64, a[j], b[j]);
    }
    for (; k < n_in; k++)
        for (int i = 0; i < QN_PANEL; i++)
            memcpy(panel + (k * QN_PANEL + i) * 4, rows + i * row_bytes + k * 4,
                   4);
    _mm_sfence();
}

static void pack_bf16_avx2(const uint8_t *rows, int64_t row_bytes, int64_t n_in,
                           uint8_t *panel)
{
    int64_t k = 0;

    for (; k + 16 <= n_in; k += 16) {
        __m256i a[8], b[8];
        columns(rows + k * 2, row_bytes, a, b);
        QN_UNROLL
        for (int j = 0; j < 8; j++)
            stream_line(panel + (k + 2 * j) * 32, a[j], b[j]);
    }
    for (; k < n_in; k += 2) /* an odd last element is completed by zero */
        for (int i = 0; i < QN_PANEL; i++) {
            uint8_t two[4] = {0};
            memcpy(two, rows + i * row_bytes + k * 2, k + 1 < n_in ? 4 : 2);
            memcpy(panel + (k / 2 * QN_PANEL + i) * 4, two, 4);
        }
    _mm_sfence();
}

/* As bf16, then each line of pairs is split into its two k's. Panels of odd
 * rows are not aligned to lines. */
static void pack_f16_avx2(const uint8_t *rows, int64_t row_bytes, int64_t n_in,
                          uint8_t *panel)
{
    const __m256i low = _mm256_set1_epi32(0xffff);
    int64_t k = 0;

    for (; k + 16 <= n_in; k += 16) {
        __m256i a[8], b[8];
        columns(rows + k * 2, row_bytes, a, b);
        QN_UNROLL
        for (int j = 0; j < 8; j++) {
            __m256i even = _mm256_packus_epi32(_mm256_and_si256(a[j], low),
                                               _mm256_and_si256(b[j], low));
            __m256i odd = _mm256_packus_epi32(_mm256_srli_epi32(a[j], 16),
                                              _mm256_srli_epi32(b[j], 16));
            store_line(panel + (k + 2 * j) * 32,
                       _mm256_permute4x64_epi64(even, 0xd8),
                       _mm256_permute4x64_epi64(odd, 0xd8));
        }
    }
    for (; k < n_in; k++)
        for (int i = 0; i < QN_PANEL; i++)
            memcpy(panel + (k * QN_PANEL + i) * 2, rows + i * row_bytes + k * 2,
                   2);
}

QN_INLINE void block_scales(const uint8_t *block, int64_t row_bytes,
                            uint8_t *to)
{
    for (int i = 0; i < QN_PANEL; i++)
        memcpy(to + 2 * i, block + i * row_bytes, 2);
}

static void pack_q8_0_avx2(const uint8_t *rows, int64_t row_bytes, int64_t n_in,
                           uint8_t *panel)
{
    const __m256i top = _mm256_set1_epi8(-128);

    for (int64_t q = 0; q < n_in / QN_QBLOCK; q++, rows += 34, panel += 544) {
        __m256i a[8], b[8];
        block_scales(rows, row_bytes, panel);
        columns(rows + 2, row_bytes, a, b);
        QN_UNROLL
        for (int j = 0; j < 8; j++)
            store_line(panel + 32 + 64 * j, _mm256_xor_si256(a[j], top),
                       _mm256_xor_si256(b[j], top));
    }
}

/* Rows i and i + 4 share a register: a transpose within lanes is all. */
QN_INLINE void quarter(const uint8_t *p, int64_t row_bytes, __m256i u[4])
{
    __m256i r[4];

    QN_UNROLL
    for (int i = 0; i < 4; i++)
        r[i] = _mm256_loadu2_m128i(
            (const __m128i *)(const void *)(p + (i + 4) * row_bytes),
            (const __m128i *)(const void *)(p + i * row_bytes));
    quad_avx2(r, u);
}

static void pack_q4_0_avx2(const uint8_t *rows, int64_t row_bytes, int64_t n_in,
                           uint8_t *panel)
{
    for (int64_t q = 0; q < n_in / QN_QBLOCK; q++, rows += 18, panel += 288) {
        __m256i a[4], b[4];
        block_scales(rows, row_bytes, panel);
        quarter(rows + 2, row_bytes, a);
        quarter(rows + 2 + 8 * row_bytes, row_bytes, b);
        QN_UNROLL
        for (int j = 0; j < 4; j++)
            store_line(panel + 32 + 64 * j, a[j], b[j]);
    }
}

/* Of eight codes the second four go above the first. */
QN_INLINE __m256i join(__m256i low, __m256i high)
{
    return _mm256_or_si256(low, _mm256_slli_epi16(high, 4));
}

static void pack_codes4_avx2(const uint8_t *codes, int64_t ld, int n,
                             uint8_t *to)
{
    int k = 0;

    for (; k + 32 <= n; k += 32, to += 256) {
        __m256i a[8], b[8];
        columns(codes + k, ld, a, b);
        QN_UNROLL
        for (int j = 0; j < 4; j++)
            store_line(to + 64 * j, join(a[2 * j], a[2 * j + 1]),
                       join(b[2 * j], b[2 * j + 1]));
    }
    for (; k + 16 <= n; k += 16, to += 128) {
        __m256i a[4], b[4];
        quarter(codes + k, ld, a);
        quarter(codes + k + 8 * ld, ld, b);
        store_line(to, join(a[0], a[1]), join(b[0], b[1]));
        store_line(to + 64, join(a[2], a[3]), join(b[2], b[3]));
    }
    for (int i = 0; i < QN_PANEL && k < n; i++)
        for (int j = k; j < k + 4; j++)
            *to++ = (uint8_t)(codes[i * ld + j] | codes[i * ld + j + 4] << 4);
}

static void pack_codes8_avx2(const uint8_t *codes, int64_t ld, int n,
                             uint8_t *to)
{
    int k = 0;

    for (; k + 32 <= n; k += 32, to += 512) {
        __m256i a[8], b[8];
        columns(codes + k, ld, a, b);
        QN_UNROLL
        for (int j = 0; j < 8; j++)
            store_line(to + 64 * j, a[j], b[j]);
    }
    for (; k + 16 <= n; k += 16, to += 256) {
        __m256i a[4], b[4];
        quarter(codes + k, ld, a);
        quarter(codes + k + 8 * ld, ld, b);
        QN_UNROLL
        for (int j = 0; j < 4; j++)
            store_line(to + 64 * j, a[j], b[j]);
    }
    for (; k < n; k += 4)
        for (int i = 0; i < QN_PANEL; i++, to += 4)
            memcpy(to, codes + i * ld + k, 4);
}

void qn_x86_pack_avx2(qn_kernels *k)
{
    static const struct {
        qn_layout layout;
        const char *name;
        qn_pack_fn fn;
    } rows[] = {
        {QN_LAYOUT_F32, "pack_f32_avx2", pack_f32_avx2},
        {QN_LAYOUT_F16, "pack_f16_avx2", pack_f16_avx2},
        {QN_LAYOUT_BF16, "pack_bf16_avx2", pack_bf16_avx2},
        {QN_LAYOUT_Q8_0, "pack_q8_0_avx2", pack_q8_0_avx2},
        {QN_LAYOUT_Q4_0, "pack_q4_0_avx2", pack_q4_0_avx2},
    };

    for (size_t i = 0; i < QN_COUNTOF(rows); i++) {
        k->pack[rows[i].layout].name = rows[i].name;
        k->pack[rows[i].layout].fn = rows[i].fn;
    }
    k->pack_codes[0].name = "pack_codes8_avx2";
    k->pack_codes[0].fn = pack_codes8_avx2;
    k->pack_codes[1].name = "pack_codes4_avx2";
    k->pack_codes[1].fn = pack_codes4_avx2;
}
