/* cpu_generic.c - architectures without kernels of their own: the scalar
 * reference, and no brand string. */
#include "base/cpu_detect.h"

#if !defined(__x86_64__) && !defined(__aarch64__)

const qn_isa_range qn_cpu_levels = {QN_ISA_N, QN_ISA_REF};

uint32_t qn_cpu_detect(char *name, size_t cap)
{
    (void)name;
    (void)cap;
    return 0;
}

#endif
