/* pages.h - which KV pages are free, shared, promised.
 *
 * Pages have reference counts (completions and beams share a prompt's pages).
 * A request is admitted only with a reservation of every page it can come to
 * need, so a running request never finds the pool empty.
 *
 * Invariants: n_free + (pages with ref > 0) == n; n_reserved <= n_free. */
#ifndef QN_ENGINE_PAGES_H
#define QN_ENGINE_PAGES_H

#include "base/err.h"

#include <stdint.h>

typedef struct qn_pages {
    int n, n_free, n_reserved;
    int32_t *free_ids; /* a stack of n_free */
    uint32_t *refs;    /* [n] */
} qn_pages;

void qn_pages_init(qn_pages *p, int n);
void qn_pages_deinit(qn_pages *p);

/* Promises n pages; false when that many are not left. */
bool qn_pages_reserve(qn_pages *p, int64_t n);
/* Gives back a promise that was not used. */
void qn_pages_unreserve(qn_pages *p, int64_t n);
/* A page out of a promise, with one reference. */
int32_t qn_pages_take(qn_pages *p);
void qn_pages_ref(qn_pages *p, int32_t id);
/* true when that was the last reference and the page is free again. */
bool qn_pages_unref(qn_pages *p, int32_t id);
static inline bool qn_pages_shared(const qn_pages *p, int32_t id)
{
    return p->refs[id] > 1;
}

#endif
