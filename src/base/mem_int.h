/* mem_int.h - what other files of base need of mem.c: zeroed pages for large
 * tables, and the fault injection of qn_mem_fail_after. */
#ifndef QN_BASE_MEM_INT_H
#define QN_BASE_MEM_INT_H

#include <stdbool.h>
#include <stddef.h>

/* Zeroed, page-aligned, in huge pages where the size allows; never NULL and
 * not counted under any purpose. Free with the same n. */
void *qn_pages_new(size_t n);
void qn_pages_free(void *p, size_t n);

/* Whether the resource that is being asked for (memory, a thread) is the one
 * that has to fail. */
bool qn_mem_inject(void);

#endif
