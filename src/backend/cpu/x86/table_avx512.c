/* table_avx512.c - what this instruction set does better. */
#include "backend/cpu/x86/x86.h"

void qn_kernels_avx512(qn_kernels *k)
{
    qn_vec_elem_avx512(k);
    qn_vec_rec_avx512(k);
    qn_vec_linear_avx512(k);
    qn_vec_scaled_avx512(k);
    qn_vec_f8_avx512(k);
    qn_x86_pack_avx512(k);
    qn_vec_mix_avx512(k);
}
