/* table_avx512.c - what this instruction set does better. */
#include "backend/cpu/kernels.h"

void qn_kernels_avx512(qn_kernels *k)
{
    (void)k;
}
