/* table_amx.c - what this instruction set does better. */
#include "backend/cpu/x86/amx.h"
#include "backend/cpu/x86/x86.h"

void qn_kernels_amx(qn_kernels *k)
{
    k->row_tile = AMX_ROWS;
    qn_x86_linear_bf16_amx(k);
    qn_x86_linear_i8_amx(k);
    qn_x86_linear_a6_amx(k);
    qn_x86_mix_amx(k);
}
