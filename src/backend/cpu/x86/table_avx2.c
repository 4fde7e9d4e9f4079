/* table_avx2.c - what this instruction set does better. */
#include "backend/cpu/x86/x86.h"

void qn_kernels_avx2(qn_kernels *k)
{
    qn_vec_elem_avx2(k);
    qn_vec_rec_avx2(k);
    qn_vec_linear_avx2(k);
    qn_vec_scaled_avx2(k);
    qn_vec_f8_avx2(k);
    qn_vec_coded_avx2(k);
    qn_x86_prep_avx2(k);
    qn_x86_linear_q_avx2(k);
    qn_x86_pack_avx2(k);
    qn_vec_mix_avx2(k);
    qn_x86_mix_i8_avx2(k);
}
