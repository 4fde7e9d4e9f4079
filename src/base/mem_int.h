/* mem_int.h - zeroed pages for large tables of base itself. */
#ifndef QN_BASE_MEM_INT_H
#define QN_BASE_MEM_INT_H

#include <stddef.h>

/* Zeroed, page-aligned, in huge pages where the size allows; never NULL and
 * not counted under any purpose. Free with the same n. */
void *qn_pages_new(size_t n);
void qn_pages_free(void *p, size_t n);

#endif
