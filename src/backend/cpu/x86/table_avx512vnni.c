/* table_avx512vnni.c - what this instruction set does better. */
#include "backend/cpu/x86/x86.h"

void qn_kernels_avx512vnni(qn_kernels *k)
{
    qn_x86_linear_i8_avx512vnni(k);
    qn_x86_coded_i8_avx512vnni(k);
    qn_x86_coded_mins_avx512vnni(k);
    qn_x86_mix_avx512vnni(k);
}
