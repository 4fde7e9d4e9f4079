/* hashmem.h - memory for hash tables that are hit at random.
 *
 * Such a table is read before it is written. A fresh page that is read first is
 * entered twice, as the page of zeros and then as its own, the second time with
 * a word to all other processors: while those are busy, that costs more than the
 * rest of building the table. So every page is there from the beginning, in huge
 * ones where the table is large (one of 250,000 keys takes half the time to
 * fill). The caller owns it. Thread-safe. */
#ifndef QN_BASE_HASHMEM_H
#define QN_BASE_HASHMEM_H

#include <stddef.h>

/* n * size zeroed bytes; never NULL, without memory the program ends. */
void *qn_hashmem_new(size_t n, size_t size);
/* n and size as they were. NULL is fine. */
void qn_hashmem_free(void *p, size_t n, size_t size);

#endif
