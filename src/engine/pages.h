/* pages.h - which KV pages are free, shared, promised, kept.
 *
 * Pages have reference counts (completions and beams share a prompt's pages).
 * A request is admitted only with a reservation of every page it can come to
 * need, so a running request never finds the pool empty.
 *
 * A prefix cache (prefix.h) may hold one reference to a page as well. Pages
 * that nobody else holds are kept for as long as nobody needs them: they count
 * as available, and the cache gives one up when no page is free.
 *
 * Invariants: n_free + (pages with ref > 0) == n; n_kept == pages that are
 * cached and have one reference; n_reserved <= n_free + n_kept. */
#ifndef QN_ENGINE_PAGES_H
#define QN_ENGINE_PAGES_H

#include "base/err.h"

#include <stdint.h>

typedef struct qn_pages {
    int n, n_free, n_reserved, n_kept;
    int n_touched;     /* pages from this one on have never been taken */
    int32_t *free_ids; /* a stack of n_free */
    uint32_t *refs;    /* [n] */
    bool *cached;      /* [n] one of the references is the cache's */
    /* makes one kept page free; NULL: there is no cache */
    void (*give_up)(void *user);
    void *give_up_user;
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
/* The cache takes, gives back a reference. */
void qn_pages_cache(qn_pages *p, int32_t id);
void qn_pages_uncache(qn_pages *p, int32_t id);
static inline bool qn_pages_shared(const qn_pages *p, int32_t id)
{
    return p->refs[id] > 1;
}

#endif
