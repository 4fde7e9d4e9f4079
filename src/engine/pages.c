/* pages.c - see pages.h. */
#include "engine/pages.h"

#include "base/mem.h"

#include <assert.h>
#include <stdlib.h>

void qn_pages_init(qn_pages *p, int n)
{
    *p = (qn_pages){.n = n, .n_free = n};
    p->free_ids = qn_xcalloc((size_t)n, sizeof *p->free_ids);
    p->refs = qn_xcalloc((size_t)n, sizeof *p->refs);
    p->cached = qn_xcalloc((size_t)n, sizeof *p->cached);
    /* low ids first: a lightly used pool touches little memory */
    for (int i = 0; i < n; i++)
        p->free_ids[i] = n - 1 - i;
}

void qn_pages_deinit(qn_pages *p)
{
    free(p->free_ids);
    free(p->refs);
    free(p->cached);
    *p = (qn_pages){0};
}

bool qn_pages_reserve(qn_pages *p, int64_t n)
{
    if (n > p->n_free + p->n_kept - p->n_reserved)
        return false;
    p->n_reserved += (int)n;
    return true;
}

void qn_pages_unreserve(qn_pages *p, int64_t n)
{
    assert(n <= p->n_reserved);
    p->n_reserved -= (int)n;
}

int32_t qn_pages_take(qn_pages *p)
{
    assert(p->n_reserved > 0 && p->n_free + p->n_kept > 0);
    if (p->n_free == 0)
        p->give_up(p->give_up_user);
    p->n_reserved--;
    int32_t id = p->free_ids[--p->n_free];
    p->refs[id] = 1;
    p->n_touched = QN_MAX(p->n_touched, id + 1);
    return id;
}

void qn_pages_ref(qn_pages *p, int32_t id)
{
    assert(p->refs[id] > 0);
    if (p->cached[id] && p->refs[id] == 1)
        p->n_kept--;
    p->refs[id]++;
}

bool qn_pages_unref(qn_pages *p, int32_t id)
{
    assert(p->refs[id] > 0);
    if (--p->refs[id] > 0) {
        if (p->cached[id] && p->refs[id] == 1)
            p->n_kept++;
        return false;
    }
    p->free_ids[p->n_free++] = id;
    return true;
}

void qn_pages_cache(qn_pages *p, int32_t id)
{
    assert(p->refs[id] > 0 && !p->cached[id]);
    p->refs[id]++;
    p->cached[id] = true;
}

void qn_pages_uncache(qn_pages *p, int32_t id)
{
    assert(p->refs[id] > 0 && p->cached[id]);
    if (p->refs[id] == 1)
        p->n_kept--;
    p->cached[id] = false;
    qn_pages_unref(p, id);
}
