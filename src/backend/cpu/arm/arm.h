/* arm.h - the parts that the arm tables are made of. */
#ifndef QN_BACKEND_CPU_ARM_H
#define QN_BACKEND_CPU_ARM_H

#include "backend/cpu/kernels.h"

void qn_vec_elem_neon(qn_kernels *k);
void qn_vec_rec_neon(qn_kernels *k);
void qn_vec_linear_neon(qn_kernels *k);
void qn_vec_scaled_neon(qn_kernels *k);
void qn_vec_f8_neon(qn_kernels *k);
void qn_vec_mix_neon(qn_kernels *k);
void qn_vec_coded_neon(qn_kernels *k);
void qn_vec_coded_dotprod(qn_kernels *k);
void qn_vec_coded_i8mm(qn_kernels *k);
void qn_vec_whole_neon(qn_kernels *k);
void qn_vec_whole_dotprod(qn_kernels *k);
void qn_vec_whole_i8mm(qn_kernels *k);
void qn_arm_prep_neon(qn_kernels *k);
void qn_arm_pack_neon(qn_kernels *k);

#endif
