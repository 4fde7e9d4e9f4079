/* x86.h - the parts that the x86 tables are made of. */
#ifndef QN_BACKEND_CPU_X86_H
#define QN_BACKEND_CPU_X86_H

#include "backend/cpu/kernels.h"

#include "base/cpu.h"

#include <string.h>

/* For what AMD and Intel want differently: memory asked for ahead (stream.h), dot
 * products of bf16 (linear_avx512bf16.c). */
QN_INLINE bool x86_is_amd(void)
{
    return strncmp(qn_cpu_get()->name, "AMD", 3) == 0;
}

void qn_vec_elem_avx2(qn_kernels *k);
void qn_vec_elem_avx512(qn_kernels *k);
void qn_x86_pack_avx2(qn_kernels *k);
void qn_vec_rec_avx2(qn_kernels *k);
void qn_vec_rec_avx512(qn_kernels *k);
void qn_vec_linear_avx2(qn_kernels *k);
void qn_x86_linear_q_avx2(qn_kernels *k);
void qn_vec_linear_avx512(qn_kernels *k);
void qn_vec_scaled_avx2(qn_kernels *k);
void qn_vec_f8_avx2(qn_kernels *k);
void qn_vec_coded_avx2(qn_kernels *k);
void qn_vec_coded_avxvnni(qn_kernels *k);
void qn_vec_whole_avxvnni(qn_kernels *k);
void qn_x86_prep_avx2(qn_kernels *k);
void qn_vec_scaled_avx512(qn_kernels *k);
void qn_vec_f8_avx512(qn_kernels *k);
void qn_vec_mix_avx2(qn_kernels *k);
void qn_x86_mix_i8_avx2(qn_kernels *k);
void qn_vec_mix_avx512(qn_kernels *k);
void qn_x86_mix_avx512vnni(qn_kernels *k);
void qn_x86_linear_i8_avx512vnni(qn_kernels *k);
void qn_x86_coded_i8_avx512vnni(qn_kernels *k);
void qn_x86_coded_mins_avx512vnni(qn_kernels *k);
void qn_x86_mix_avx512bf16(qn_kernels *k);
void qn_x86_pack_avx512(qn_kernels *k);
void qn_x86_linear_bf16_amx(qn_kernels *k);
void qn_x86_linear_i8_amx(qn_kernels *k);
void qn_x86_linear_a6_amx(qn_kernels *k);
void qn_x86_mix_amx(qn_kernels *k);

/* Products of few tokens, for the sets above to go back to. */
void linear_q8_0_avx512vnni(const qn_tile *t);
void linear_q4_0_avx512vnni(const qn_tile *t);
void linear_a6_avx512vnni(const qn_tile *t);
void coded_cb4_avx512vnni(const qn_tile *t);
void coded_a4_avx512vnni(const qn_tile *t);
void coded_a8_avx512vnni(const qn_tile *t);
void coded_m4_avx512vnni(const qn_tile *t);
void coded_m8_avx512vnni(const qn_tile *t);
void coded_k4_avx512vnni(const qn_tile *t);
void coded_k5_avx512vnni(const qn_tile *t);

#endif
