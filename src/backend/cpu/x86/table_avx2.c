/* table_avx2.c - what this instruction set does better. */
#include "backend/cpu/kernels.h"

void qn_kernels_avx2(qn_kernels *k)
{
    (void)k;
}
