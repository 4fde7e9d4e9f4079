/* sched.c - whose turn it is.
 *
 *   admission   the best priority; then who had to give way; then the tenant
 *               that got the fewest tokens (Sheng et al. 2024, virtual token
 *               counters); then who came first. The first in line that does not
 *               fit holds back the others, so that it is never starved.
 *   prompts     while sequences decode, a step takes few rows of prompts, as
 *               they wait for it (pace.c says how many). Of the prompts the one
 *               with the fewest rows left is first, so that one's first token
 *               does not wait for the others; a quarter is the oldest's, so
 *               that a long one is not starved.
 *   room        with overcommit a request holds pages for its next tokens only.
 *               Where the pool is empty, who came last gives its own back and
 *               waits to be computed again, or to have them copied back.
 */
#include "engine/engine_int.h"

#include "base/clock.h"

#include <stdlib.h>

/* ---- tenants ----------------------------------------------------------- */

#define MAX_IDLE 256 /* tenants that are remembered without a request */

/* Forgets the idle tenant that got least, when there are too many. */
static void forget_idle(qn_engine *e)
{
    qn_tenant **least = NULL;
    int n = 0;
    for (qn_tenant **at = &e->tenants; *at; at = &(*at)->next) {
        if ((*at)->n_requests > 0)
            continue;
        n++;
        if (!least || (*at)->served < (*least)->served)
            least = at;
    }
    if (n <= MAX_IDLE)
        return;
    qn_tenant *gone = *least;
    *least = gone->next;
    free(gone);
}

qn_tenant *qn_tenant_join(qn_engine *e, uint32_t id)
{
    qn_tenant *t = NULL;
    uint64_t least = UINT64_MAX;
    for (qn_tenant *i = e->tenants; i; i = i->next) {
        if (i->id == id)
            t = i;
        if (i->n_requests > 0)
            least = QN_MIN(least, i->served);
    }
    if (!t) {
        t = qn_xcalloc(1, sizeof *t);
        t->id = id;
        t->next = e->tenants;
        e->tenants = t;
    }
    /* who was away has not saved up anything */
    if (t->n_requests == 0 && least != UINT64_MAX)
        t->served = QN_MAX(t->served, least);
    t->n_requests++;
    return t;
}

void qn_tenant_leave(qn_engine *e, qn_tenant *t)
{
    if (--t->n_requests == 0)
        forget_idle(e);
}

void qn_tenants_free(qn_engine *e)
{
    while (e->tenants) {
        qn_tenant *t = e->tenants;
        e->tenants = t->next;
        free(t);
    }
}

/* ---- admission --------------------------------------------------------- */

/* Pages that have to be there before it runs. */
static int64_t need_of(const qn_engine *e, const qn_request *req, int pool)
{
    int64_t n = (int64_t)req->seqs[0]->tokens.n;
    int64_t left = req->max_new - qn_seq_n_new(req->seqs[0]);
    if (req->limit)
        left = QN_MIN(left, req->limit - n);
    if (req->endless.limit) {
        n = QN_MIN(n, req->endless.limit);
        left = QN_MIN(left, req->endless.limit - n);
    }
    if (req->yields)
        left = QN_MIN(left, (int64_t)e->page_tokens);
    return qn_pages_needed(e, pool, n, left, req->n_seqs);
}

/* Those who grow as they go leave some pages free, one for each two. */
static int64_t spare_of(const qn_engine *e, const qn_request *req)
{
    return req->yields ? (e->n_live_seqs + 1) / 2 : 0;
}

static bool reserve(qn_engine *e, qn_request *req)
{
    qn_seq_find_prefix(req->seqs[0]);
    for (int g = 0; g < QN_POOLS; g++) {
        int64_t need = need_of(e, req, g) - (int64_t)req->seqs[0]->pages[g].n;
        int64_t spare = g < e->n_groups ? spare_of(e, req) : 0;
        if (qn_pages_reserve(&e->pages[g], need + spare)) {
            qn_pages_unreserve(&e->pages[g], spare);
            req->reserved[g] = need;
            continue;
        }
        while (g-- > 0) {
            qn_pages_unreserve(&e->pages[g], req->reserved[g]);
            req->reserved[g] = 0;
        }
        qn_seq_drop_prefix(req->seqs[0]);
        return false;
    }
    return true;
}

/* a before b, which came earlier. */
static bool is_before(const qn_request *a, const qn_request *b)
{
    if (a->p.priority != b->p.priority)
        return a->p.priority < b->p.priority;
    bool again_a = a->n_preempted > 0, again_b = b->n_preempted > 0;
    if (again_a != again_b)
        return again_a;
    return a->tenant->served < b->tenant->served;
}

static qn_request *next_waiting(const qn_engine *e)
{
    qn_request *best = NULL;
    for (qn_request *r = e->first; r; r = r->next)
        if (r->phase == QN_WAITING && !r->paused &&
            (!best || is_before(r, best)))
            best = r;
    return best;
}

static void begin(qn_engine *e, qn_request *r)
{
    qn_seq *s = r->seqs[0];
    qn_swap_in(s);
    e->n_live_seqs += r->n_seqs;
    e->n_waiting--;
    r->phase = qn_seq_n_new(s) > 0 ? QN_DECODE : QN_PROMPT;
    if (r->t_admit)
        return;
    r->t_admit = qn_now_ns();
    r->n_cached = (int)s->n_kv;
    r->tenant->served += r->p.n_prompt - (uint64_t)r->n_cached;
    e->cache_queries += r->p.n_prompt;
    e->cache_hits += (uint64_t)r->n_cached;
}

void qn_sched_admit(qn_engine *e)
{
    while (e->n_waiting > 0) {
        qn_request *r = next_waiting(e);
        if (!r || e->n_live_seqs + r->n_seqs > e->max_seqs || !reserve(e, r))
            return;
        begin(e, r);
    }
}

/* ---- giving way -------------------------------------------------------- */

/* Who gives way to others: one that is paused, else the worst priority; of
 * equal ones the last to come. */
static qn_request *next_victim(const qn_engine *e)
{
    qn_request *worst = NULL;
    for (qn_request *r = e->first; r; r = r->next) {
        bool runs = r->phase == QN_PROMPT || r->phase == QN_DECODE;
        if (!runs || !r->yields)
            continue;
        if (!worst || r->paused > worst->paused ||
            (r->paused == worst->paused && r->p.priority >= worst->p.priority))
            worst = r;
    }
    return worst;
}

static void give_way(qn_engine *e, qn_request *r)
{
    qn_swap_out(r->seqs[0]);
    qn_seq_give_up(r->seqs[0]);
    for (int g = 0; g < QN_POOLS; g++) {
        qn_pages_unreserve(&e->pages[g], r->reserved[g]);
        r->reserved[g] = 0;
    }
    e->n_live_seqs -= r->n_seqs;
    e->n_waiting++;
    e->n_preempted++;
    r->n_preempted++;
    r->phase = QN_WAITING;
}

/* Promises r what its tokens need beyond what it has; false when it had to
 * give way itself. */
static bool grow(qn_engine *e, qn_request *r)
{
    const qn_seq *s = r->seqs[0];
    int64_t pages = ((int64_t)s->tokens.n - 1) / e->page_tokens + 1;
    for (int g = 0; g < e->n_groups; g++) {
        int64_t more = pages - (int64_t)s->pages[g].n - r->reserved[g];
        while (more > 0 && !qn_pages_reserve(&e->pages[g], more)) {
            qn_request *victim = next_victim(e);
            give_way(e, victim);
            if (victim == r)
                return false;
        }
        if (more > 0)
            r->reserved[g] += more;
    }
    return true;
}

void qn_sched_make_room(qn_engine *e)
{
    if (!e->overcommit)
        return;
    for (qn_request *r = e->first; r; r = r->next)
        if (r->phase == QN_DECODE && r->yields && !r->paused)
            grow(e, r);
}

/* ---- prompts ----------------------------------------------------------- */

/* Everything that has rows to compute before it can go on. */
static int collect(qn_engine *e, int64_t *backlog)
{
    int n = 0;
    *backlog = 0;
    for (qn_request *r = e->first; r; r = r->next) {
        if (r->paused || (r->phase != QN_PROMPT && r->phase != QN_DECODE))
            continue;
        for (int i = 0; i < r->n_seqs; i++) {
            qn_seq *s = r->seqs[i];
            if (!s || s->finish != QN_FINISH_NONE)
                continue;
            bool prompt = r->phase == QN_PROMPT;
            qn_endless_slide(s);
            int64_t left = qn_seq_behind(s) - !prompt;
            if (left <= 0)
                continue;
            *backlog += left;
            e->turns[n++] = (qn_turn){.s = s,
                                      .left = left,
                                      .most = qn_endless_rows(s, left),
                                      .prompt = prompt};
        }
    }
    return n;
}

/* Gives t up to n more rows, as far as there is room for their logits. */
static int give_rows(qn_turn *t, int64_t n, int *outs)
{
    const qn_request *r = t->s->req;
    bool all = t->prompt && (r->prompt_logits || r->prompt_lp);
    n = QN_MIN(n, t->most - t->n);
    if (all)
        n = QN_MIN(n, (int64_t)*outs);
    if (n <= 0)
        return 0;
    bool ends = t->prompt && t->n + n == t->left && r->max_new > 0;
    int n_out = all ? (int)n : ends;
    if (n_out > *outs)
        return 0;
    *outs -= n_out;
    t->n += (int)n;
    t->n_out += n_out;
    return (int)n;
}

static bool goes_first(const qn_turn *a, const qn_turn *b)
{
    int p = a->s->req->p.priority, q = b->s->req->p.priority;
    return p != q ? p < q : a->left < b->left;
}

int qn_sched_prompts(qn_engine *e, const qn_batch *b)
{
    int64_t backlog;
    int n = collect(e, &backlog), outs = e->max_out - b->n_out, given = 0;
    int rows = qn_pace_rows(e, b->n_span, b->n_row, backlog);
    if (n == 0 || rows <= 0)
        return 0;
    /* collected in the order of arrival */
    int oldest = 0;
    for (int i = 1; i < n; i++)
        if (e->turns[i].s->req->p.priority <
            e->turns[oldest].s->req->p.priority)
            oldest = i;
    given += give_rows(&e->turns[oldest], (rows + 3) / 4, &outs);
    for (int i = 0; i < n && given < rows; i++) {
        int best = i; /* the rest lies behind i */
        for (int j = i + 1; j < n; j++)
            if (goes_first(&e->turns[j], &e->turns[best]))
                best = j;
        qn_turn t = e->turns[best];
        for (int j = best; j > i; j--)
            e->turns[j] = e->turns[j - 1];
        given += give_rows(&t, rows - given, &outs);
        e->turns[i] = t;
        /* with nothing else to do, the first token is worth a step */
        if (b->n_row == 0 && t.n == t.left && given >= e->max_batch / 4)
            break;
    }
    return n;
}
