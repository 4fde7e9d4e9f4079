/* whole_i8mm.c - coded_tmpl.h with smmla: 2 rows x 8 k's times 2 tokens x 8
 * k's. Two quads of 4 rows, zipped, are two such halves; a last single token
 * takes sdot. */
#if !defined(__ARM_FEATURE_MATMUL_INT8) || !defined(__ARM_FEATURE_DOTPROD)
#error "compile this file with the flags of i8mm (cmake/isa.cmake)"
#endif
#include "backend/cpu/arm/arm.h"
#include "backend/cpu/arm/quads.h"

#undef FN
#undef FN_NAME
#define FN(name) name##_i8mm
#define FN_NAME(name) name "_i8mm"

enum {
    TOK = 8
};

QN_INLINE int x_bytes(qn_layout l)
{
    (void)l;
    return 1;
}

QN_INLINE void ahead(const uint8_t *w, int bytes, const int T)
{
    (void)w;
    (void)bytes;
    (void)T;
}

/* 8 k's of two tokens. */
QN_INLINE int8x16_t two_tokens(const uint8_t *x, int64_t x_tok)
{
    return vreinterpretq_s8_u8(vcombine_u8(vld1_u8(x), vld1_u8(x + x_tok)));
}

/* a[0], a[1] += 2 rows each times 2 tokens. */
QN_INLINE void multiply(vi a[2], const int8x16_t q[2], int8x16_t x)
{
    vi q0 = vreinterpretq_s32_s8(q[0]), q1 = vreinterpretq_s32_s8(q[1]);

    a[0] = vmmlaq_s32(a[0], vreinterpretq_s8_s32(vzip1q_s32(q0, q1)), x);
    a[1] = vmmlaq_s32(a[1], vreinterpretq_s8_s32(vzip2q_s32(q0, q1)), x);
}

QN_INLINE void dots(const qn_tile *t, qn_layout l, vi book,
                    const uint8_t *group, const uint8_t *codes,
                    const uint8_t *x, vi *s, const int v, const int B,
                    const int T)
{
    const int W = at_once(T);
    const uint8_t *last = x + (T - 1) * t->x_tok;
    vi a[VP][TOK / 2][2], one[VP];

    QN_UNROLL
    for (int w = 0; w < W; w++) {
        one[w] = vdupq_n_s32(0);
        QN_UNROLL
        for (int j = 0; j < T / 2; j++)
            a[w][j][0] = a[w][j][1] = vdupq_n_s32(0);
    }
    QN_UNROLL
    for (int i = 0; i < B / 8; i++)
        QN_UNROLL
    for (int w = 0; w < W; w++) {
        int8x16_t q[2];
        quads(l, book, codes + 16 * w, i, q);
        QN_UNROLL
        for (int j = 0; j < T / 2; j++)
            multiply(a[w][j], q,
                     two_tokens(x + 2 * j * t->x_tok + 8 * i, t->x_tok));
        if (T % 2) {
            int8x8_t xi = vreinterpret_s8_u8(vld1_u8(last + 8 * i));
            one[w] = vdotq_lane_s32(one[w], q[0], xi, 0);
            one[w] = vdotq_lane_s32(one[w], q[1], xi, 1);
        }
    }
    QN_UNROLL
    for (int w = 0; w < W; w++) {
        vi lack = lacking(l, group + 64 + (v + w) * VL);
        QN_UNROLL
        for (int j = 0; j < T; j++) {
            const vi *p = a[w][j / 2];
            vi sum = j == T - 1 && T % 2 ? one[w]
                     : j % 2             ? vuzp2q_s32(p[0], p[1])
                                         : vuzp1q_s32(p[0], p[1]);
            s[w * TOK + j] = vmlaq_n_s32(sum, lack,
                                         sum_of_x(x + j * t->x_tok, B));
        }
    }
}

#include "backend/cpu/vec/whole_tmpl.h"

void qn_kernels_i8mm(qn_kernels *k)
{
    qn_vec_whole_i8mm(k);
}
