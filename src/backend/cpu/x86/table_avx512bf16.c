/* table_avx512bf16.c - what this instruction set does better. */
#include "backend/cpu/kernels.h"

void qn_kernels_avx512bf16(qn_kernels *k)
{
    (void)k;
}
