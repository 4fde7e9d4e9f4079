/* linear_i8_avx512vnni.c - q8_0, q4_0 and Q6_K with int8 dot products. */
#include "backend/cpu/x86/dots_i8.h"

DOTS_KERNEL(, linear_q8_0_avx512vnni, QN_LAYOUT_Q8_0, QN_QBLOCK)

DOTS_KERNEL(, linear_q4_0_avx512vnni, QN_LAYOUT_Q4_0, QN_QBLOCK)

DOTS_KERNEL(, linear_a6_avx512vnni, QN_LAYOUT_A6, QN_SUMS_BLOCK)

void qn_x86_linear_i8_avx512vnni(qn_kernels *k)
{
    k->linear[QN_LAYOUT_Q8_0] = (qn_tile_kernel){"linear_q8_0_avx512vnni",
                                                 linear_q8_0_avx512vnni,
                                                 QN_X_Q8_O128, MAX_TOK, QN_FEW};
    k->linear[QN_LAYOUT_Q4_0] = (qn_tile_kernel){"linear_q4_0_avx512vnni",
                                                 linear_q4_0_avx512vnni,
                                                 QN_X_Q8_O8, MAX_TOK, QN_FEW};
    k->linear[QN_LAYOUT_A6] = (qn_tile_kernel){"linear_a6_avx512vnni",
                                               linear_a6_avx512vnni,
                                               QN_X_I8_SUMS, MAX_TOK, QN_FEW};
}
