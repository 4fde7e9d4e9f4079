/* prep_avx2.c - activations as whole numbers in blocks (QN_X_I8_*, QN_X_I16_*).
 *
 *   d = absmax / top, q = round(x / d), and the sum of q
 *
 * Bound: the row is read twice from the first-level cache. Reference: the preps
 * of ref/ref_coded.c, equal bit for bit.
 */
#include "backend/cpu/x86/x86.h"
#include "backend/cpu/x86/v_avx2.h"

/* B x 32 bits to bytes; packing works in halves of 128 bits. */
QN_INLINE void store_bytes(const vi *q, uint8_t *y, const int B)
{
    const vi order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);

    QN_UNROLL
    for (int i = 0; i < B / 8; i += 4) {
        vi a = _mm256_packs_epi32(q[i], q[i + 1]), b = a;
        if (B > 16)
            b = _mm256_packs_epi32(q[i + 2], q[i + 3]);
        a = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(a, b), order);
        if (B > 16)
            _mm256_storeu_si256((__m256i *)(void *)(y + 8 * i), a);
        else
            _mm_storeu_si128((__m128i *)(void *)y, _mm256_castsi256_si128(a));
    }
}

QN_INLINE void store_words(const vi *q, uint8_t *y, const int B)
{
    QN_UNROLL
    for (int i = 0; i < B / 8; i += 2) {
        vi a = _mm256_packs_epi32(q[i], q[i + 1]);
        _mm256_storeu_si256((__m256i *)(void *)(y + 16 * i),
                            _mm256_permute4x64_epi64(a, 0xd8));
    }
}

QN_INLINE int sum_of(vi a)
{
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(a),
                              _mm256_extracti128_si256(a, 1));

    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1));
    return _mm_cvtsi128_si32(s);
}

/* The whole numbers of a block; returns d. */
QN_INLINE float whole(const float *x, vi *q, const int B, const int top)
{
    const vi low = _mm256_set1_epi32(-top); /* what NaN becomes */
    vf v[8], most = v_zero();
    float t, d, inv;

    QN_UNROLL
    for (int i = 0; i < B / 8; i++) {
        v[i] = v_load(x + 8 * i);
        most = v_max(v_abs(v[i]), most); /* of NaN: the other */
    }
    t = v_top(most);
    d = t / (float)top;
    inv = d > 0 ? (float)top / t : 0;
    QN_UNROLL
    for (int i = 0; i < B / 8; i++) {
        q[i] = _mm256_cvtps_epi32(v_mul(v[i], v_set1(inv)));
        q[i] = _mm256_max_epi32(q[i], low);
    }
    return d;
}

QN_INLINE void prep_block(const float *x, uint8_t *y, const int B,
                          const int top)
{
    const int bytes = top > 127 ? 2 * B : B;
    vi q[8], sum = _mm256_setzero_si256();
    qn_xi8 b;

    b.d = whole(x, q, B, top);
    QN_UNROLL
    for (int i = 0; i < B / 8; i++)
        sum = _mm256_add_epi32(sum, q[i]);
    if (top > 127)
        store_words(q, y, B);
    else
        store_bytes(q, y, B);
    b.sum = sum_of(sum);
    b.dsum = b.d * (float)b.sum;
    b.fix = QN_COUNT_BITS - 128 * b.sum;
    memcpy(y + bytes, &b, sizeof b);
}

QN_INLINE void prep(const float *x, int n, uint8_t *y, const int B,
                    const int top)
{
    for (; n >= B; n -= B, x += B) {
        prep_block(x, y, B, top);
        y += (top > 127 ? 2 * B : B) + (int)sizeof(qn_xi8);
    }
    if (n > 0) {
        float last[64] = {0};
        memcpy(last, x, (size_t)n * sizeof *x);
        prep_block(last, y, B, top);
    }
}

static void prep_i8_sums_avx2(const float *x, int n, void *dst)
{
    const int B = QN_SUMS_BLOCK;
    uint8_t *y = dst;

    for (; n > 0; n -= B, x += B, y += sizeof(qn_xsums)) {
        float last[QN_SUMS_BLOCK] = {0};
        qn_xsums b;
        vi q[8];
        if (n < B)
            memcpy(last, x, (size_t)n * sizeof *x);
        b.d = whole(n < B ? last : x, q, B, 127);
        store_bytes(q, (uint8_t *)b.q, B);
        QN_UNROLL
        for (int i = 0; i < B / 16; i++)
            b.sum[i] = (int16_t)sum_of(
                _mm256_add_epi32(q[2 * i], q[2 * i + 1]));
        memcpy(y, &b, sizeof b);
    }
}

static void prep_i8_16_avx2(const float *x, int n, void *dst)
{
    prep(x, n, dst, 16, 127);
}

static void prep_i8_32_avx2(const float *x, int n, void *dst)
{
    prep(x, n, dst, 32, 127);
}

static void prep_i8_64_avx2(const float *x, int n, void *dst)
{
    prep(x, n, dst, 64, 127);
}

static void prep_i16_16_avx2(const float *x, int n, void *dst)
{
    prep(x, n, dst, 16, QN_X_I16_TOP);
}

static void prep_i16_32_avx2(const float *x, int n, void *dst)
{
    prep(x, n, dst, 32, QN_X_I16_TOP);
}

static void prep_i16_64_avx2(const float *x, int n, void *dst)
{
    prep(x, n, dst, 64, QN_X_I16_TOP);
}

void qn_x86_prep_avx2(qn_kernels *k)
{
    k->prep[QN_X_I8_SUMS].fn = prep_i8_sums_avx2;
    k->prep[QN_X_I8_SUMS].name = "prep_i8_sums_avx2";
    k->prep[QN_X_I8_16].fn = prep_i8_16_avx2;
    k->prep[QN_X_I8_16].name = "prep_i8_16_avx2";
    k->prep[QN_X_I8_32].fn = prep_i8_32_avx2;
    k->prep[QN_X_I8_32].name = "prep_i8_32_avx2";
    k->prep[QN_X_I8_64].fn = prep_i8_64_avx2;
    k->prep[QN_X_I8_64].name = "prep_i8_64_avx2";
    k->prep[QN_X_I16_16].fn = prep_i16_16_avx2;
    k->prep[QN_X_I16_16].name = "prep_i16_16_avx2";
    k->prep[QN_X_I16_32].fn = prep_i16_32_avx2;
    k->prep[QN_X_I16_32].name = "prep_i16_32_avx2";
    k->prep[QN_X_I16_64].fn = prep_i16_64_avx2;
    k->prep[QN_X_I16_64].name = "prep_i16_64_avx2";
}
