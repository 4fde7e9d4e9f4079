/* whole_tmpl.h - coded_tmpl.h for every layout with whole numbers, q4_0 among
 * them: what levels that have a product of bytes include last. */
#include "backend/cpu/vec/coded_tmpl.h"

static void FN(linear_q4_0)(const qn_tile *t)
{
    static const qn_scaled q = {.group = 32, .head = 32, .bytes = 32 + 256};

    blocks_of_32(t, QN_LAYOUT_Q4_0, &q);
}

void FN(qn_vec_whole)(qn_kernels *k)
{
    FN(qn_vec_coded)(k);
    k->linear[QN_LAYOUT_Q4_0] = (qn_tile_kernel){FN_NAME("linear_q4_0"),
                                                 FN(linear_q4_0), QN_X_I8_32,
                                                 TOK, 0};
}
