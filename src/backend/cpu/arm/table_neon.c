/* table_neon.c - what every ARMv8 does better than plain C. */
#include "backend/cpu/arm/arm.h"

void qn_kernels_neon(qn_kernels *k)
{
    qn_vec_elem_neon(k);
    qn_vec_rec_neon(k);
    qn_vec_linear_neon(k);
    qn_vec_scaled_neon(k);
    qn_vec_f8_neon(k);
    qn_vec_mix_neon(k);
    qn_vec_whole_neon(k);
    qn_arm_prep_neon(k);
    qn_arm_pack_neon(k);
}
