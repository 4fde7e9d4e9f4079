/* table_amx.c - what this instruction set does better. */
#include "backend/cpu/x86/x86.h"

void qn_kernels_amx(qn_kernels *k)
{
    qn_x86_linear_bf16_amx(k);
    qn_x86_linear_i8_amx(k);
    /* vdpbf16ps has half the rate of the fma on the processors with tiles that
     * were measured: 153 to 174 of 287 to 350 GFLOP/s. */
    k->mix[QN_KV_CELL_BF16] = k->mix_exact[QN_KV_CELL_BF16];
}
