/* madd_tmpl.h - one k of a register tile of N panels x T tokens, for linear and
 * mix. */
#include "backend/cpu/kernels.h"

/* acc[t][p] of one k: the panels' weights times each token's x[k]. */
QN_INLINE void madd(vf acc[][4][VP], vf w[4][VP], const float *x, int64_t x_tok,
                    const int N, const int T)
{
    QN_UNROLL
    for (int t = 0; t < T; t++) {
        vf b = v_set1(x[t * x_tok]);
        QN_UNROLL
        for (int p = 0; p < N; p++)
            QN_UNROLL
        for (int v = 0; v < VP; v++)
            acc[t][p][v] = v_fma(w[p][v], b, acc[t][p][v]);
    }
}
