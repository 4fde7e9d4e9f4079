/* swap.c - pages of a sequence that gives way, kept in memory.
 *
 * Who gives its pages back to others (qn_sched_make_room) is computed again
 * later, or its pages are copied out and back, whichever takes less time: the
 * first is what its rows take (pace.c), the second two copies at the speed that
 * copies had. The bytes come back as they were, so the tokens are the same
 * either way. What the prefix cache still has when its turn comes is taken from
 * there.
 *
 * Not for networks with recurrent layers, whose state is not only pages. */
#include "engine/engine_int.h"

#include "base/clock.h"

#include <stdlib.h>

#define FIRST_MS_PER_BYTE 0.5e-6 /* 2 GB/s, until a copy was measured */

struct qn_kept {
    int64_t n_kv;
    size_t first[QN_KV_GROUPS], n[QN_KV_GROUPS]; /* of each group's table */
    char *bytes;
    size_t n_bytes;
};

void qn_swap_init(qn_swap *w, uint64_t limit)
{
    *w = (qn_swap){.limit = limit, .ms_per_byte = FIRST_MS_PER_BYTE};
}

static size_t bytes_of(const qn_seq *s)
{
    const qn_engine *e = s->req->engine;
    size_t n = 0;
    for (int g = 0; g < e->n_groups; g++)
        n += (s->pages[g].n - s->first_page[g]) *
             (size_t)qn_pass_page_bytes(e->pass, g);
    return n;
}

static bool pays(const qn_seq *s, size_t n_bytes)
{
    const qn_engine *e = s->req->engine;
    const qn_swap *w = &e->swap;
    if (n_bytes == 0 || n_bytes > w->limit - w->used || e->has_state)
        return false;
    double again = (double)s->n_kv * e->pace.row_ms;
    return 2 * (double)n_bytes * w->ms_per_byte < again;
}

static void note_copy(qn_swap *w, size_t n, uint64_t t0)
{
    double each = qn_ms_since(t0) / (double)n;
    w->ms_per_byte += (each - w->ms_per_byte) / 8;
}

void qn_swap_out(qn_seq *s)
{
    qn_engine *e = s->req->engine;
    qn_swap *w = &e->swap;
    size_t n = bytes_of(s);
    void *bytes;
    if (!pays(s, n) || qn_big_alloc(&bytes, n, QN_MEM_KV, NULL) < 0)
        return;
    qn_kept *k = qn_xcalloc(1, sizeof *k);
    *k = (qn_kept){.n_kv = s->n_kv, .bytes = bytes, .n_bytes = n};
    uint64_t t0 = qn_now_ns();
    char *at = k->bytes;
    for (int g = 0; g < e->n_groups; g++) {
        k->first[g] = s->first_page[g];
        k->n[g] = s->pages[g].n;
        for (size_t i = k->first[g]; i < k->n[g]; i++) {
            qn_pass_read_page(e->pass, g, s->pages[g].v[i], at);
            at += qn_pass_page_bytes(e->pass, g);
        }
    }
    note_copy(w, n, t0);
    w->used += n;
    w->n_out++;
    s->kept = k;
}

void qn_swap_in(qn_seq *s)
{
    qn_engine *e = s->req->engine;
    qn_kept *k = s->kept;
    if (!k)
        return;
    uint64_t t0 = qn_now_ns();
    const char *at = k->bytes;
    for (int g = 0; g < e->n_groups; g++) {
        size_t found = s->pages[g].n; /* in the prefix cache */
        for (size_t i = found; i < k->first[g]; i++)
            qn_vec_push(&s->pages[g], -1);
        s->first_page[g] = k->first[g];
        for (size_t i = k->first[g]; i < k->n[g]; i++) {
            if (i >= found) {
                int32_t id = qn_seq_take_page(s, g);
                qn_pass_write_page(e->pass, g, id, at);
                qn_vec_push(&s->pages[g], id);
            }
            at += qn_pass_page_bytes(e->pass, g);
        }
    }
    s->n_kv = QN_MAX(s->n_kv, k->n_kv);
    note_copy(&e->swap, k->n_bytes, t0);
    qn_swap_drop(s);
}

void qn_swap_drop(qn_seq *s)
{
    qn_kept *k = s->kept;
    if (!k)
        return;
    s->req->engine->swap.used -= k->n_bytes;
    qn_big_free(k->bytes, k->n_bytes, QN_MEM_KV);
    free(k);
    s->kept = NULL;
}
