/* ref_table.c - the reference kernels as a table. */
#include "backend/cpu/ref/ref.h"

void qn_kernels_ref(qn_kernels *k)
{
    qn_ref_linear(k);
    qn_ref_coded(k);
    qn_ref_pack(k);
    qn_ref_mix(k);
    qn_ref_elem(k);
    qn_ref_rec(k);
}
