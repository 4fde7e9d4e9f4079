/* ref.h - the parts that the reference table is made of. */
#ifndef QN_BACKEND_CPU_REF_H
#define QN_BACKEND_CPU_REF_H

#include "backend/cpu/kernels.h"

void qn_ref_linear(qn_kernels *k);
void qn_ref_coded(qn_kernels *k);
void qn_ref_pack(qn_kernels *k);
void qn_ref_mix(qn_kernels *k);
void qn_ref_elem(qn_kernels *k);
void qn_ref_rec(qn_kernels *k);

/* act(x), as its definition says, in double precision. */
double qn_ref_act(qn_act act, double x);

#endif
