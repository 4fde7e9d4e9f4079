/* whole_dotprod.c - coded_tmpl.h with sdot: a register of the panel, 4 rows x 4
 * bytes, times 4 bytes of one token, which a lane of a register of x is. */
#if !defined(__ARM_FEATURE_DOTPROD)
#error "compile this file with the flags of dotprod (cmake/isa.cmake)"
#endif
#include "backend/cpu/arm/arm.h"
#include "backend/cpu/arm/quads.h"

#undef FN
#undef FN_NAME
#define FN(name) name##_dotprod
#define FN_NAME(name) name "_dotprod"

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

/* Two quads of k's, which are lanes 2 half and 2 half + 1 of x. */
QN_INLINE vi dot_two(vi s, const int8x16_t q[2], int8x16_t x, const int half)
{
    if (half == 0)
        return vdotq_laneq_s32(vdotq_laneq_s32(s, q[0], x, 0), q[1], x, 1);
    return vdotq_laneq_s32(vdotq_laneq_s32(s, q[0], x, 2), q[1], x, 3);
}

QN_INLINE void dots(const qn_tile *t, qn_layout l, vi book,
                    const uint8_t *group, const uint8_t *codes,
                    const uint8_t *x, vi *s, const int v, const int B,
                    const int T)
{
    const int W = at_once(T);

    QN_UNROLL
    for (int i = 0; i < W * TOK; i++)
        s[i] = vdupq_n_s32(0);
    QN_UNROLL
    for (int i = 0; i < B / 16; i++) {
        int8x16_t xi[TOK];
        QN_UNROLL
        for (int j = 0; j < T; j++)
            xi[j] = vreinterpretq_s8_u8(vld1q_u8(x + j * t->x_tok + 16 * i));
        QN_UNROLL
        for (int h = 0; h < 2; h++)
            QN_UNROLL
        for (int w = 0; w < W; w++) {
            int8x16_t q[2];
            quads(l, book, codes + 16 * w, 2 * i + h, q);
            QN_UNROLL
            for (int j = 0; j < T; j++)
                s[w * TOK + j] = dot_two(s[w * TOK + j], q, xi[j], h);
        }
    }
    QN_UNROLL
    for (int w = 0; w < W; w++) {
        vi lack = lacking(l, group + 64 + (v + w) * VL);
        QN_UNROLL
        for (int j = 0; j < T; j++)
            s[w * TOK + j] = vmlaq_n_s32(s[w * TOK + j], lack,
                                         sum_of_x(x + j * t->x_tok, B));
    }
}

#include "backend/cpu/vec/whole_tmpl.h"

void qn_kernels_dotprod(qn_kernels *k)
{
    qn_vec_whole_dotprod(k);
}
