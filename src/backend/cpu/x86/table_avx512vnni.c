/* table_avx512vnni.c - what this instruction set does better. */
#include "backend/cpu/kernels.h"

void qn_kernels_avx512vnni(qn_kernels *k)
{
    (void)k;
}
