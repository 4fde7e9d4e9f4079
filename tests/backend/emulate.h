/* emulate.h - AVX-512 VNNI and AMX in plain C, as far as the kernels of whole
 * numbers use them: a file that includes this first and then a kernel's source
 * has that kernel under another name (qn_x becomes emulated_x), on any x86-64.
 * So a machine without those instructions can test what is computed;
 * how fast, and in which order memory sees it, it cannot. */
#ifndef QN_TESTS_BACKEND_EMULATE_H
#define QN_TESTS_BACKEND_EMULATE_H

#include "base/compiler.h"
#include "tensor/half.h"

#include <immintrin.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Nothing is unrolled or put in place: that would take minutes to compile. */
#undef QN_UNROLL
#define QN_UNROLL
#undef QN_UNROLL_TWICE
#define QN_UNROLL_TWICE
#undef QN_INLINE
#define QN_INLINE static QN_UNUSED QN_NOINLINE

/* What the sources ask for before they compile. */
#define __AVX512F__ 1
#define __AVX512BW__ 1
#define __AVX512VNNI__ 1
#define __AMXTILE__ 1
#define __AMXINT8__ 1
#define __AMXBF16__ 1

/* ---- registers ----------------------------------------------------------- */

/* A register, whatever is in it. */
typedef union em512 {
    uint8_t u8[64];
    int8_t i8[64];
    uint16_t u16[32];
    int16_t i16[32];
    uint32_t u32[16];
    int32_t i32[16];
    float f[16];
} em512;

/* Half of one. */
typedef union em256 {
    int8_t i8[32];
    uint16_t u16[16];
} em256;

QN_INLINE em256 em_load_256(const void *p)
{
    em256 r;

    memcpy(&r, p, sizeof r);
    return r;
}

QN_INLINE em256 em_join(__m128i high, __m128i low)
{
    em256 r;

    memcpy(r.i8, &low, 16);
    memcpy(r.i8 + 16, &high, 16);
    return r;
}

QN_INLINE em512 em_load(const void *p)
{
    em512 r;

    memcpy(&r, p, sizeof r);
    return r;
}

QN_INLINE void em_store(void *p, em512 a)
{
    memcpy(p, &a, sizeof a);
}

QN_INLINE em512 em_add_32(em512 a, em512 b)
{
    for (int i = 0; i < 16; i++)
        a.u32[i] = a.u32[i] + b.u32[i];
    return a;
}

QN_INLINE em512 em_sub_32(em512 a, em512 b)
{
    for (int i = 0; i < 16; i++)
        a.u32[i] = a.u32[i] - b.u32[i];
    return a;
}

QN_INLINE em512 em_mul_32(em512 a, em512 b)
{
    for (int i = 0; i < 16; i++)
        a.u32[i] = a.u32[i] * b.u32[i];
    return a;
}

QN_INLINE em512 em_add_16(em512 a, em512 b)
{
    for (int i = 0; i < 32; i++)
        a.u16[i] = (uint16_t)(a.u16[i] + b.u16[i]);
    return a;
}

QN_INLINE em512 em_sub_16(em512 a, em512 b)
{
    for (int i = 0; i < 32; i++)
        a.u16[i] = (uint16_t)(a.u16[i] - b.u16[i]);
    return a;
}

QN_INLINE em512 em_add_8(em512 a, em512 b)
{
    for (int i = 0; i < 64; i++)
        a.u8[i] = (uint8_t)(a.u8[i] + b.u8[i]);
    return a;
}

QN_INLINE em512 em_sub_8(em512 a, em512 b)
{
    for (int i = 0; i < 64; i++)
        a.u8[i] = (uint8_t)(a.u8[i] - b.u8[i]);
    return a;
}

QN_INLINE em512 em_and(em512 a, em512 b)
{
    for (int i = 0; i < 16; i++)
        a.u32[i] = a.u32[i] & b.u32[i];
    return a;
}

QN_INLINE em512 em_or(em512 a, em512 b)
{
    for (int i = 0; i < 16; i++)
        a.u32[i] = a.u32[i] | b.u32[i];
    return a;
}

QN_INLINE em512 em_xor(em512 a, em512 b)
{
    for (int i = 0; i < 16; i++)
        a.u32[i] = a.u32[i] ^ b.u32[i];
    return a;
}

QN_INLINE em512 em_mul_f(em512 a, em512 b)
{
    for (int i = 0; i < 16; i++)
        a.f[i] = a.f[i] * b.f[i];
    return a;
}

QN_INLINE em512 em_add_f(em512 a, em512 b)
{
    for (int i = 0; i < 16; i++)
        a.f[i] = a.f[i] + b.f[i];
    return a;
}

QN_INLINE em512 em_slli_16(em512 a, int n)
{
    for (int i = 0; i < 32; i++)
        a.u16[i] = (uint16_t)(a.u16[i] << n);
    return a;
}

QN_INLINE em512 em_srli_16(em512 a, int n)
{
    for (int i = 0; i < 32; i++)
        a.u16[i] = (uint16_t)(a.u16[i] >> n);
    return a;
}

QN_INLINE em512 em_srai_16(em512 a, int n)
{
    for (int i = 0; i < 32; i++)
        a.i16[i] = (int16_t)(a.i16[i] >> n);
    return a;
}

QN_INLINE em512 em_slli_32(em512 a, int n)
{
    for (int i = 0; i < 16; i++)
        a.u32[i] = (uint32_t)(a.u32[i] << n);
    return a;
}

QN_INLINE em512 em_srai_32(em512 a, int n)
{
    for (int i = 0; i < 16; i++)
        a.i32[i] >>= n;
    return a;
}

QN_INLINE em512 em_madd_16(em512 a, em512 b)
{
    em512 r;

    for (int i = 0; i < 16; i++)
        r.i32[i] = a.i16[2 * i] * b.i16[2 * i] +
                   a.i16[2 * i + 1] * b.i16[2 * i + 1];
    return r;
}

QN_INLINE em512 em_maddubs(em512 a, em512 b)
{
    em512 r;

    for (int i = 0; i < 32; i++) {
        int sum = a.u8[2 * i] * b.i8[2 * i] + a.u8[2 * i + 1] * b.i8[2 * i + 1];
        r.i16[i] = (int16_t)(sum > INT16_MAX   ? INT16_MAX
                             : sum < INT16_MIN ? INT16_MIN
                                               : sum);
    }
    return r;
}

QN_INLINE em512 em_dpwssd(em512 s, em512 a, em512 b)
{
    return em_add_32(s, em_madd_16(a, b));
}

QN_INLINE em512 em_dpbusd(em512 s, em512 a, em512 b)
{
    for (int i = 0; i < 64; i++)
        s.i32[i / 4] += a.u8[i] * b.i8[i];
    return s;
}

/* Of four bytes at x for all lanes. */
QN_INLINE em512 em_dot_at(em512 s, em512 w, const uint8_t *x)
{
    em512 q;

    for (int i = 0; i < 16; i++)
        memcpy(q.u8 + 4 * i, x, 4);
    return em_dpbusd(s, w, q);
}

QN_INLINE em512 em_shuffle_8(em512 a, em512 at)
{
    em512 r;

    for (int i = 0; i < 64; i++)
        r.u8[i] = at.u8[i] & 0x80 ? 0 : a.u8[(i & 48) | (at.u8[i] & 15)];
    return r;
}

QN_INLINE em512 em_mask_shuffle_8(em512 from, uint64_t m, em512 a, em512 at)
{
    a = em_shuffle_8(a, at);
    for (int i = 0; i < 64; i++)
        from.u8[i] = m >> i & 1 ? a.u8[i] : from.u8[i];
    return from;
}

QN_INLINE em512 em_ternary(em512 a, em512 b, em512 c, int table)
{
    em512 r;

    for (int i = 0; i < 16; i++) {
        r.u32[i] = 0;
        for (int j = 0; j < 32; j++) {
            unsigned at = (a.u32[i] >> j & 1) << 2 | (b.u32[i] >> j & 1) << 1 |
                          (c.u32[i] >> j & 1);
            r.u32[i] |= (uint32_t)(table >> at & 1) << j;
        }
    }
    return r;
}

QN_INLINE em512 em_set_32(int v)
{
    em512 r;

    for (int i = 0; i < 16; i++)
        r.i32[i] = v;
    return r;
}

QN_INLINE em512 em_set_8(int v)
{
    em512 r;

    memset(&r, v, sizeof r);
    return r;
}

QN_INLINE em512 em_set_f(float v)
{
    em512 r;

    for (int i = 0; i < 16; i++)
        r.f[i] = v;
    return r;
}

QN_INLINE em512 em_four_times(__m128i a)
{
    em512 r;

    for (int i = 0; i < 4; i++)
        memcpy(r.u8 + 16 * i, &a, sizeof a);
    return r;
}

QN_INLINE em512 em_fma(em512 a, em512 b, em512 c)
{
    for (int i = 0; i < 16; i++)
        c.f[i] = fmaf(a.f[i], b.f[i], c.f[i]);
    return c;
}

QN_INLINE em512 em_fnma(em512 a, em512 b, em512 c)
{
    for (int i = 0; i < 16; i++)
        c.f[i] = fmaf(-a.f[i], b.f[i], c.f[i]);
    return c;
}

QN_INLINE em512 em_fms(em512 a, em512 b, em512 c)
{
    for (int i = 0; i < 16; i++)
        c.f[i] = fmaf(a.f[i], b.f[i], -c.f[i]);
    return c;
}

QN_INLINE em512 em_f_of_32(em512 a)
{
    for (int i = 0; i < 16; i++)
        a.f[i] = (float)a.i32[i];
    return a;
}

QN_INLINE em512 em_f_of_half(em256 a)
{
    em512 r;

    for (int i = 0; i < 16; i++)
        r.f[i] = qn_f32_of_f16(a.u16[i]);
    return r;
}

QN_INLINE em512 em_32_of_i8(__m128i a)
{
    int8_t v[16];
    em512 r;

    memcpy(v, &a, sizeof v);
    for (int i = 0; i < 16; i++)
        r.i32[i] = v[i];
    return r;
}

QN_INLINE em512 em_32_of_u8(__m128i a)
{
    return em_and(em_32_of_i8(a), em_set_32(255));
}

QN_INLINE em512 em_16_of_i8(em256 a)
{
    em512 r;

    for (int i = 0; i < 32; i++)
        r.i16[i] = a.i8[i];
    return r;
}

#define em_set_lanes(...) ((em512){.i32 = {__VA_ARGS__}})
#define em_set_four(d, c, b, a) \
    em_set_lanes(a, b, c, d, a, b, c, d, a, b, c, d, a, b, c, d)

/* ---- tiles --------------------------------------------------------------- */

typedef struct em_tiles {
    uint8_t row[8][16][64];
    uint16_t bytes[8]; /* of a row */
    uint8_t rows[8];
} em_tiles;
static QN_UNUSED em_tiles em_tile;

QN_INLINE void em_config(const void *config)
{
    memset(&em_tile, 0, sizeof em_tile);
    memcpy(em_tile.bytes, (const uint8_t *)config + 16, sizeof em_tile.bytes);
    memcpy(em_tile.rows, (const uint8_t *)config + 48, sizeof em_tile.rows);
}

QN_INLINE void em_tile_zero(int t)
{
    memset(em_tile.row[t], 0, sizeof em_tile.row[t]);
}

QN_INLINE void em_tile_load(int t, const void *p, int64_t step)
{
    em_tile_zero(t);
    for (int i = 0; i < em_tile.rows[t]; i++)
        memcpy(em_tile.row[t][i], (const uint8_t *)p + i * step,
               em_tile.bytes[t]);
}

QN_INLINE void em_tile_store(int t, void *p, int64_t step)
{
    for (int i = 0; i < em_tile.rows[t]; i++)
        memcpy((uint8_t *)p + i * step, em_tile.row[t][i], em_tile.bytes[t]);
}

QN_INLINE int em_dot4(const uint8_t *a, const uint8_t *b, bool plus)
{
    int sum = 0;

    for (int i = 0; i < 4; i++)
        sum += (int8_t)a[i] * (plus ? b[i] : (int8_t)b[i]);
    return sum;
}

QN_INLINE void em_tile_dot(int c, int a, int b, bool plus)
{
    const int n_k = em_tile.bytes[a] / 4;

    if (em_tile.rows[c] != em_tile.rows[a] || n_k != em_tile.rows[b] ||
        em_tile.bytes[c] != em_tile.bytes[b])
        abort(); /* as the processor would refuse it */
    for (int i = 0; i < em_tile.rows[c]; i++)
        for (int k = 0; k < n_k; k++)
            for (int j = 0; j < em_tile.bytes[c]; j += 4) {
                int32_t s;
                memcpy(&s, &em_tile.row[c][i][j], sizeof s);
                s += em_dot4(&em_tile.row[a][i][4 * k], &em_tile.row[b][k][j],
                             plus);
                memcpy(&em_tile.row[c][i][j], &s, sizeof s);
            }
}

/* ---- under the instructions' names --------------------------------------- */

#undef __m256i
#define __m256i em256
#undef _mm256_loadu_si256
#define _mm256_loadu_si256 em_load_256
#undef _mm256_set_m128i
#define _mm256_set_m128i em_join
#undef __m512i
#define __m512i em512
#undef __m512
#define __m512 em512
#undef _mm512_loadu_si512
#define _mm512_loadu_si512 em_load
#undef _mm512_load_si512
#define _mm512_load_si512 em_load
#undef _mm512_loadu_ps
#define _mm512_loadu_ps em_load
#undef _mm512_load_ps
#define _mm512_load_ps em_load
#undef _mm512_store_si512
#define _mm512_store_si512 em_store
#undef _mm512_store_ps
#define _mm512_store_ps em_store
#undef _mm512_add_epi32
#define _mm512_add_epi32 em_add_32
#undef _mm512_sub_epi32
#define _mm512_sub_epi32 em_sub_32
#undef _mm512_mullo_epi32
#define _mm512_mullo_epi32 em_mul_32
#undef _mm512_add_epi16
#define _mm512_add_epi16 em_add_16
#undef _mm512_sub_epi16
#define _mm512_sub_epi16 em_sub_16
#undef _mm512_add_epi8
#define _mm512_add_epi8 em_add_8
#undef _mm512_sub_epi8
#define _mm512_sub_epi8 em_sub_8
#undef _mm512_and_si512
#define _mm512_and_si512 em_and
#undef _mm512_or_si512
#define _mm512_or_si512 em_or
#undef _mm512_xor_si512
#define _mm512_xor_si512 em_xor
#undef _mm512_mul_ps
#define _mm512_mul_ps em_mul_f
#undef _mm512_add_ps
#define _mm512_add_ps em_add_f
#undef _mm512_slli_epi16
#define _mm512_slli_epi16 em_slli_16
#undef _mm512_srli_epi16
#define _mm512_srli_epi16 em_srli_16
#undef _mm512_srai_epi16
#define _mm512_srai_epi16 em_srai_16
#undef _mm512_slli_epi32
#define _mm512_slli_epi32 em_slli_32
#undef _mm512_srai_epi32
#define _mm512_srai_epi32 em_srai_32
#undef _mm512_madd_epi16
#define _mm512_madd_epi16 em_madd_16
#undef _mm512_maddubs_epi16
#define _mm512_maddubs_epi16 em_maddubs
#undef _mm512_dpwssd_epi32
#define _mm512_dpwssd_epi32 em_dpwssd
#undef _mm512_dpbusd_epi32
#define _mm512_dpbusd_epi32 em_dpbusd
#define I8_DOT_AT em_dot_at
#undef _mm512_shuffle_epi8
#define _mm512_shuffle_epi8 em_shuffle_8
#undef _mm512_mask_shuffle_epi8
#define _mm512_mask_shuffle_epi8 em_mask_shuffle_8
#undef _mm512_ternarylogic_epi32
#define _mm512_ternarylogic_epi32 em_ternary
#undef _mm512_set1_epi32
#define _mm512_set1_epi32 em_set_32
#undef _mm512_set1_epi8
#define _mm512_set1_epi8 em_set_8
#undef _mm512_set1_ps
#define _mm512_set1_ps em_set_f
#undef _mm512_setr_epi32
#define _mm512_setr_epi32 em_set_lanes
#undef _mm512_set4_epi32
#define _mm512_set4_epi32 em_set_four
#undef _mm512_setzero_si512
#define _mm512_setzero_si512() em_set_32(0)
#undef _mm512_setzero_ps
#define _mm512_setzero_ps() em_set_32(0)
#undef _mm512_broadcast_i32x4
#define _mm512_broadcast_i32x4 em_four_times
#undef _mm512_fmadd_ps
#define _mm512_fmadd_ps em_fma
#undef _mm512_fnmadd_ps
#define _mm512_fnmadd_ps em_fnma
#undef _mm512_fmsub_ps
#define _mm512_fmsub_ps em_fms
#undef _mm512_castsi512_ps
#define _mm512_castsi512_ps(a) (a)
#undef _mm512_castps_si512
#define _mm512_castps_si512(a) (a)
#undef _mm512_cvtepi32_ps
#define _mm512_cvtepi32_ps em_f_of_32
#undef _mm512_cvtph_ps
#define _mm512_cvtph_ps em_f_of_half
#undef _mm512_cvtepi8_epi32
#define _mm512_cvtepi8_epi32 em_32_of_i8
#undef _mm512_cvtepu8_epi32
#define _mm512_cvtepu8_epi32 em_32_of_u8
#undef _mm512_cvtepi8_epi16
#define _mm512_cvtepi8_epi16 em_16_of_i8
#undef _tile_loadconfig
#define _tile_loadconfig em_config
#undef _tile_release
#define _tile_release() ((void)0)
#undef _tile_zero
#define _tile_zero em_tile_zero
#undef _tile_loadd
#define _tile_loadd em_tile_load
#undef _tile_stored
#define _tile_stored em_tile_store
#undef _tile_dpbssd
#define _tile_dpbssd(c, a, b) em_tile_dot(c, a, b, false)
#undef _tile_dpbsud
#define _tile_dpbsud(c, a, b) em_tile_dot(c, a, b, true)
#undef _tile_dpbf16ps
#define _tile_dpbf16ps(c, a, b) abort() /* not here */

/* The kernels, so that they stand beside the library's. */
#define linear_q8_0_avx512vnni emulated_linear_q8_0_avx512vnni
#define linear_q4_0_avx512vnni emulated_linear_q4_0_avx512vnni
#define linear_a6_avx512vnni emulated_linear_a6_avx512vnni
#define coded_cb4_avx512vnni emulated_coded_cb4_avx512vnni
#define coded_a4_avx512vnni emulated_coded_a4_avx512vnni
#define coded_a8_avx512vnni emulated_coded_a8_avx512vnni
#define coded_m4_avx512vnni emulated_coded_m4_avx512vnni
#define coded_m8_avx512vnni emulated_coded_m8_avx512vnni
#define coded_k4_avx512vnni emulated_coded_k4_avx512vnni
#define coded_k5_avx512vnni emulated_coded_k5_avx512vnni
#define qn_x86_linear_i8_avx512vnni emulated_x86_linear_i8_avx512vnni
#define qn_x86_coded_i8_avx512vnni emulated_x86_coded_i8_avx512vnni
#define qn_x86_coded_mins_avx512vnni emulated_x86_coded_mins_avx512vnni
#define qn_x86_linear_i8_amx emulated_x86_linear_i8_amx
#define qn_x86_linear_a6_amx emulated_x86_linear_a6_amx

#endif
