/* cpu_generic.c - architectures without kernels of their own: the scalar
 * reference, and no brand string. */
#include "base/cpu_detect.h"

#if !defined(__x86_64__)

qn_isa qn_cpu_detect(char *name, size_t cap)
{
    (void)name;
    (void)cap;
    return QN_ISA_REF;
}

#endif
