/* cpu_detect.h - the part of cpu detection that depends on the architecture.
 * One file implements it per architecture; each guards itself as a whole. */
#ifndef QN_BASE_CPU_DETECT_H
#define QN_BASE_CPU_DETECT_H

#include "base/cpu.h"

#include <stddef.h>

/* The levels of this architecture above ref; none: last < first. */
typedef struct qn_isa_range {
    qn_isa first, last;
} qn_isa_range;
extern const qn_isa_range qn_cpu_levels;

/* The levels that processor and operating system both grant, bit 1 << isa;
 * fills name[cap] with the brand string, or leaves it empty. */
uint32_t qn_cpu_detect(char *name, size_t cap);

#endif
