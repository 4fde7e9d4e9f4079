/* grammar.c - see grammar.h.
 *
 * A thread is a list of what is still to come: a cell {node, count, rest}.
 * Equal cells are one cell, so a thread is a number, and a state is the sorted
 * set of threads whose first node is a set of bytes (cell 0, nothing to come,
 * makes the state accept). The step over a byte takes the rest of every thread
 * whose set has the byte, and expands what then comes first.
 *
 * Invariants
 *  1. Expanding visits a cell once (mark), so rules that use themselves without
 *     a byte between come to an end.
 *  2. depth of a cell: how many LEAVE nodes lie in it. A NEST is entered only
 *     if what it needs fits below QN_GRAM_DEPTH (need[], a fixpoint). */
#include "text/grammar.h"

#include "base/map.h"
#include "base/vec.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define MAX_CELLS (1u << 18)
#define MAX_STATES (1u << 13)
#define MAX_THREADS 4096
#define NO_NEED UINT32_MAX

typedef enum gram_kind {
    GRAM_EMPTY,
    GRAM_SET,
    GRAM_CAT,
    GRAM_ALT,
    GRAM_REPEAT,
    GRAM_NEST,
    GRAM_LEAVE, /* behind what a NEST holds */
    GRAM_RULE
} gram_kind;

typedef struct gram_node {
    gram_kind kind;
    uint32_t a, b;     /* nodes; SET: a is an index into sets */
    uint32_t min, max; /* REPEAT */
} gram_node;

typedef struct gram_set {
    uint32_t bits[8];
} gram_set;

typedef struct gram_cell {
    uint32_t node, count, rest, depth;
} gram_cell;

typedef struct gram_state {
    uint32_t first, n; /* threads[first .. first + n) */
    bool accepts;
    uint32_t next[256]; /* UNKNOWN, or a state */
} gram_state;

#define UNKNOWN UINT32_MAX

struct qn_grammar {
    QN_VEC(gram_node) nodes; /* 0 is EMPTY, 1 is LEAVE */
    QN_VEC(gram_set) sets;
    uint32_t of_byte[256]; /* SET nodes of one byte, 0: none yet */
    QN_VEC(uint32_t) need; /* [nodes] levels that a node nests at least */

    QN_VEC(gram_cell) cells;
    QN_VEC(uint32_t) mark; /* [cells] */
    uint32_t *cell_table;  /* open addressing, 0: free */
    size_t cell_cap;
    QN_VEC(gram_state *) states; /* 0 is dead */
    uint32_t *state_table;       /* [2 * MAX_STATES] */
    QN_VEC(uint32_t) threads;
    uint32_t start, pass;
    bool full;

    QN_VEC(uint32_t) work, found; /* of one step */
};

/* ---- nodes ------------------------------------------------------------- */

static uint32_t add(qn_grammar *g, gram_node n)
{
    qn_vec_push(&g->nodes, n);
    return (uint32_t)g->nodes.n - 1;
}

qn_grammar *qn_grammar_new(void)
{
    qn_grammar *g = qn_xcalloc(1, sizeof *g);
    add(g, (gram_node){.kind = GRAM_EMPTY});
    add(g, (gram_node){.kind = GRAM_LEAVE});
    return g;
}

void qn_grammar_free(qn_grammar *g)
{
    if (!g)
        return;
    for (size_t i = 0; i < g->states.n; i++)
        free(g->states.v[i]);
    qn_vec_deinit(&g->nodes);
    qn_vec_deinit(&g->sets);
    qn_vec_deinit(&g->need);
    qn_vec_deinit(&g->cells);
    qn_vec_deinit(&g->mark);
    qn_vec_deinit(&g->states);
    qn_vec_deinit(&g->threads);
    qn_vec_deinit(&g->work);
    qn_vec_deinit(&g->found);
    free(g->cell_table);
    free(g->state_table);
    free(g);
}

size_t qn_gram_n_nodes(const qn_grammar *g)
{
    return g->nodes.n;
}

qn_gram_node qn_gram_empty(qn_grammar *g)
{
    (void)g;
    return 0;
}

static qn_gram_node add_set(qn_grammar *g, const gram_set *s)
{
    qn_vec_push(&g->sets, *s);
    return add(g, (gram_node){.kind = GRAM_SET, .a = (uint32_t)g->sets.n - 1});
}

static void put(gram_set *s, uint8_t b)
{
    s->bits[b >> 5] |= 1u << (b & 31);
}

qn_gram_node qn_gram_range(qn_grammar *g, uint8_t lo, uint8_t hi)
{
    gram_set s = {0};
    for (int b = lo; b <= hi; b++)
        put(&s, (uint8_t)b);
    return add_set(g, &s);
}

qn_gram_node qn_gram_any_of(qn_grammar *g, const char *bytes)
{
    gram_set s = {0};
    for (; *bytes; bytes++)
        put(&s, (uint8_t)*bytes);
    return add_set(g, &s);
}

static qn_gram_node one_byte(qn_grammar *g, uint8_t b)
{
    if (!g->of_byte[b])
        g->of_byte[b] = qn_gram_range(g, b, b);
    return g->of_byte[b];
}

qn_gram_node qn_gram_text(qn_grammar *g, const char *p, size_t n)
{
    qn_gram_node at = 0;
    while (n > 0)
        at = qn_gram_cat(g, one_byte(g, (uint8_t)p[--n]), at);
    return at;
}

qn_gram_node qn_gram_cat(qn_grammar *g, qn_gram_node a, qn_gram_node b)
{
    if (a == 0 || b == 0)
        return a + b;
    return add(g, (gram_node){.kind = GRAM_CAT, .a = a, .b = b});
}

qn_gram_node qn_gram_alt(qn_grammar *g, qn_gram_node a, qn_gram_node b)
{
    return add(g, (gram_node){.kind = GRAM_ALT, .a = a, .b = b});
}

static size_t length(const qn_gram_node *list)
{
    size_t n = 0;
    while (list[n] != QN_GRAM_END)
        n++;
    return n;
}

qn_gram_node qn_gram_seq(qn_grammar *g, const qn_gram_node *list)
{
    qn_gram_node at = 0;
    for (size_t n = length(list); n > 0; n--)
        at = qn_gram_cat(g, list[n - 1], at);
    return at;
}

qn_gram_node qn_gram_one_of(qn_grammar *g, const qn_gram_node *list)
{
    size_t n = length(list);
    assert(n > 0);
    qn_gram_node at = list[n - 1];
    for (n--; n > 0; n--)
        at = qn_gram_alt(g, list[n - 1], at);
    return at;
}

qn_gram_node qn_gram_repeat(qn_grammar *g, qn_gram_node a, uint32_t min,
                            uint32_t max)
{
    return add(
        g, (gram_node){.kind = GRAM_REPEAT, .a = a, .min = min, .max = max});
}

qn_gram_node qn_gram_nest(qn_grammar *g, qn_gram_node a)
{
    return add(g, (gram_node){.kind = GRAM_NEST, .a = a});
}

qn_gram_node qn_gram_rule(qn_grammar *g)
{
    return add(g, (gram_node){.kind = GRAM_RULE});
}

void qn_gram_define(qn_grammar *g, qn_gram_node rule, qn_gram_node a)
{
    assert(g->nodes.v[rule].kind == GRAM_RULE);
    g->nodes.v[rule].a = a;
}

/* ---- what a node needs ------------------------------------------------- */

static uint32_t need_of(const qn_grammar *g, const gram_node *n)
{
    const uint32_t *need = g->need.v;
    switch (n->kind) {
    case GRAM_EMPTY:
    case GRAM_SET:
    case GRAM_LEAVE: return 0;
    case GRAM_CAT: return QN_MAX(need[n->a], need[n->b]);
    case GRAM_ALT: return QN_MIN(need[n->a], need[n->b]);
    case GRAM_REPEAT: return n->min == 0 ? 0 : need[n->a];
    case GRAM_NEST: return need[n->a] == NO_NEED ? NO_NEED : need[n->a] + 1;
    case GRAM_RULE: return need[n->a];
    }
    return 0;
}

/* From "no text at all" downwards; each round settles at least what nests one
 * level deeper, so that QN_GRAM_DEPTH + 1 changes of a node are the most. */
static void find_needs(qn_grammar *g)
{
    qn_vec_reserve(&g->need, g->nodes.n);
    g->need.n = g->nodes.n;
    for (size_t i = 0; i < g->nodes.n; i++)
        g->need.v[i] = NO_NEED;
    for (bool changed = true; changed;) {
        changed = false;
        for (size_t i = 0; i < g->nodes.n; i++) {
            uint32_t n = need_of(g, &g->nodes.v[i]);
            if (n > QN_GRAM_DEPTH)
                n = NO_NEED;
            changed |= n != g->need.v[i];
            g->need.v[i] = n;
        }
    }
}

/* ---- circles ----------------------------------------------------------- */

static bool is_empty(const bool *empty, const gram_node *n)
{
    switch (n->kind) {
    case GRAM_SET: return false;
    case GRAM_EMPTY:
    case GRAM_LEAVE: return true;
    case GRAM_CAT: return empty[n->a] && empty[n->b];
    case GRAM_ALT: return empty[n->a] || empty[n->b];
    case GRAM_REPEAT: return n->min == 0 || empty[n->a];
    case GRAM_NEST:
    case GRAM_RULE: return empty[n->a];
    }
    return false;
}

/* Which nodes can be the empty text; the caller frees. */
static bool *find_empty(const qn_grammar *g)
{
    bool *empty = qn_xcalloc(g->nodes.n, sizeof *empty);
    for (bool changed = true; changed;) {
        changed = false;
        for (size_t i = 0; i < g->nodes.n; i++) {
            bool is = is_empty(empty, &g->nodes.v[i]);
            changed |= is != empty[i];
            empty[i] = is;
        }
    }
    return empty;
}

/* Nodes that node i may begin with; returns how many. */
static int begins_of(const qn_grammar *g, const bool *empty, uint32_t i,
                     uint32_t out[2])
{
    const gram_node *n = &g->nodes.v[i];
    out[0] = n->a;
    out[1] = n->b;
    switch (n->kind) {
    case GRAM_EMPTY:
    case GRAM_SET:
    case GRAM_LEAVE: return 0;
    case GRAM_CAT: return empty[n->a] ? 2 : 1;
    case GRAM_ALT: return 2;
    case GRAM_REPEAT:
    case GRAM_NEST:
    case GRAM_RULE: return 1;
    }
    return 0;
}

/* Whether a rule may begin with itself: then threads would grow without a byte.
 * Depth first; path: on the way to the node that is looked at. */
static bool has_circle(qn_grammar *g)
{
    enum {
        NEW,
        PATH,
        DONE
    };
    bool *empty = find_empty(g), found = false;
    char *mark = qn_xcalloc(g->nodes.n, 1);
    for (uint32_t i = 0; i < g->nodes.n && !found; i++) {
        qn_vec_clear(&g->work);
        qn_vec_push(&g->work, i);
        while (g->work.n > 0 && !found) {
            uint32_t at = g->work.v[g->work.n - 1], next[2];
            if (mark[at] != NEW) {
                mark[at] = DONE;
                g->work.n--;
                continue;
            }
            mark[at] = PATH;
            for (int k = begins_of(g, empty, at, next); k-- > 0;) {
                found |= mark[next[k]] == PATH;
                if (mark[next[k]] == NEW)
                    qn_vec_push(&g->work, next[k]);
            }
        }
    }
    qn_vec_clear(&g->work);
    free(empty);
    free(mark);
    return found;
}

/* ---- cells ------------------------------------------------------------- */

static void grow_cell_table(qn_grammar *g)
{
    size_t cap = g->cell_cap ? g->cell_cap * 2 : 1024;
    free(g->cell_table);
    g->cell_table = qn_xcalloc(cap, sizeof *g->cell_table);
    g->cell_cap = cap;
    for (uint32_t i = 1; i < g->cells.n; i++) {
        const gram_cell *c = &g->cells.v[i];
        uint32_t key[3] = {c->node, c->count, c->rest};
        size_t at = qn_hash(key, sizeof key) & (cap - 1);
        while (g->cell_table[at])
            at = (at + 1) & (cap - 1);
        g->cell_table[at] = i;
    }
}

/* The cell of these three; 0 when there is no room (then full is set). */
static uint32_t cell(qn_grammar *g, uint32_t node, uint32_t count,
                     uint32_t rest)
{
    if (g->cells.n * 2 >= g->cell_cap)
        grow_cell_table(g);
    uint32_t key[3] = {node, count, rest};
    size_t at = qn_hash(key, sizeof key) & (g->cell_cap - 1);
    for (; g->cell_table[at]; at = (at + 1) & (g->cell_cap - 1)) {
        const gram_cell *c = &g->cells.v[g->cell_table[at]];
        if (c->node == node && c->count == count && c->rest == rest)
            return g->cell_table[at];
    }
    if (g->cells.n >= MAX_CELLS) {
        g->full = true;
        return 0;
    }
    uint32_t depth = rest ? g->cells.v[rest].depth : 0;
    depth += g->nodes.v[node].kind == GRAM_LEAVE;
    qn_vec_push(&g->cells, ((gram_cell){node, count, rest, depth}));
    qn_vec_push(&g->mark, 0);
    g->cell_table[at] = (uint32_t)g->cells.n - 1;
    return g->cell_table[at];
}

static void push(qn_grammar *g, uint32_t c)
{
    if (g->mark.v[c] == g->pass)
        return;
    g->mark.v[c] = g->pass;
    qn_vec_push(&g->work, c);
}

/* Node n comes first, then the rest; nothing more to do for the empty text. */
static void push_node(qn_grammar *g, uint32_t n, uint32_t count, uint32_t rest)
{
    if (n == 0) {
        push(g, rest);
        return;
    }
    uint32_t c = cell(g, n, count, rest);
    if (c)
        push(g, c);
}

static void expand_repeat(qn_grammar *g, uint32_t node, uint32_t count,
                          uint32_t rest)
{
    const gram_node *n = &g->nodes.v[node];
    if (count >= n->min)
        push(g, rest);
    if (n->max != QN_GRAM_MANY && count >= n->max)
        return;
    /* without an end, counting stops where it makes no difference */
    uint32_t next = n->max == QN_GRAM_MANY ? QN_MIN(count + 1, n->min)
                                           : count + 1;
    uint32_t again = cell(g, node, next, rest);
    if (again)
        push_node(g, g->nodes.v[node].a, 0, again);
}

static void expand_nest(qn_grammar *g, uint32_t node, uint32_t rest)
{
    uint32_t a = g->nodes.v[node].a, need = g->need.v[a];
    uint32_t depth = rest ? g->cells.v[rest].depth : 0;
    if (need == NO_NEED || depth + 1 + need > QN_GRAM_DEPTH)
        return;
    uint32_t leave = cell(g, 1, 0, rest);
    if (leave)
        push_node(g, a, 0, leave);
}

/* Takes cells from work until what is left begins with bytes, in found. */
static bool expand(qn_grammar *g)
{
    bool accepts = false;
    while (g->work.n > 0) {
        uint32_t id = g->work.v[--g->work.n];
        if (id == 0) {
            accepts = true;
            continue;
        }
        gram_cell c = g->cells.v[id];
        gram_node n = g->nodes.v[c.node];
        switch (n.kind) {
        case GRAM_SET: qn_vec_push(&g->found, id); break;
        case GRAM_EMPTY:
        case GRAM_LEAVE: push(g, c.rest); break;
        case GRAM_CAT: {
            uint32_t then = cell(g, n.b, 0, c.rest);
            if (then)
                push_node(g, n.a, 0, then);
            break;
        }
        case GRAM_ALT:
            push_node(g, n.a, 0, c.rest);
            push_node(g, n.b, 0, c.rest);
            break;
        case GRAM_REPEAT: expand_repeat(g, c.node, c.count, c.rest); break;
        case GRAM_NEST: expand_nest(g, c.node, c.rest); break;
        case GRAM_RULE: push_node(g, n.a, 0, c.rest); break;
        }
    }
    return accepts;
}

/* ---- states ------------------------------------------------------------ */

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static bool is_state(const qn_grammar *g, const gram_state *s, bool accepts)
{
    return s->accepts == accepts && s->n == g->found.n &&
           (s->n == 0 || memcmp(g->threads.v + s->first, g->found.v,
                                s->n * sizeof(uint32_t)) == 0);
}

/* The state of the threads found. */
static uint32_t intern(qn_grammar *g, bool accepts)
{
    if (g->found.n == 0 && !accepts)
        return QN_GRAM_DEAD;
    if (g->found.n > 1)
        qsort(g->found.v, g->found.n, sizeof(uint32_t), by_number);
    size_t cap = 2 * MAX_STATES;
    uint64_t hash = qn_hash(g->found.v ? g->found.v : (uint32_t *)(void *)"",
                            g->found.n * sizeof(uint32_t));
    size_t at = (hash + accepts) & (cap - 1);
    for (; g->state_table[at]; at = (at + 1) & (cap - 1))
        if (is_state(g, g->states.v[g->state_table[at]], accepts))
            return g->state_table[at];
    if (g->states.n >= MAX_STATES || g->found.n > MAX_THREADS ||
        g->threads.n > MAX_CELLS) {
        g->full = true;
        return QN_GRAM_DEAD;
    }
    gram_state *s = qn_xmalloc(sizeof *s);
    s->first = (uint32_t)g->threads.n;
    s->n = (uint32_t)g->found.n;
    s->accepts = accepts;
    memset(s->next, 0xff, sizeof s->next);
    for (size_t i = 0; i < g->found.n; i++)
        qn_vec_push(&g->threads, g->found.v[i]);
    qn_vec_push(&g->states, s);
    g->state_table[at] = (uint32_t)g->states.n - 1;
    return g->state_table[at];
}

static void new_pass(qn_grammar *g)
{
    qn_vec_clear(&g->work);
    qn_vec_clear(&g->found);
    if (++g->pass == 0) {
        memset(g->mark.v, 0, g->mark.n * sizeof(uint32_t));
        g->pass = 1;
    }
}

int qn_gram_finish(qn_grammar *g, qn_gram_node start, const char *name,
                   qn_err *err)
{
    find_needs(g);
    if (g->need.v[start] == NO_NEED)
        return qn_fail(err, QN_EINVAL,
                       "%s: no text can be that within %d levels of nesting",
                       name, QN_GRAM_DEPTH);
    if (has_circle(g))
        return qn_fail(err, QN_EINVAL,
                       "%s: a rule may begin with itself: turn it round", name);
    qn_vec_push(&g->cells, ((gram_cell){0}));
    qn_vec_push(&g->mark, 0);
    qn_vec_push(&g->states, NULL);
    g->state_table = qn_xcalloc(2 * (size_t)MAX_STATES, sizeof *g->state_table);
    new_pass(g);
    push_node(g, start, 0, 0);
    bool accepts = expand(g);
    g->start = intern(g, accepts);
    if (g->full)
        return qn_fail(err, QN_ELIMIT, "%s: too many ways to begin", name);
    return 0;
}

uint32_t qn_gram_begin(const qn_grammar *g)
{
    return g->start;
}

static uint32_t step(qn_grammar *g, uint32_t state, uint8_t byte)
{
    const gram_state *s = g->states.v[state];
    new_pass(g);
    for (uint32_t i = 0; i < s->n; i++) {
        const gram_cell *c = &g->cells.v[g->threads.v[s->first + i]];
        const gram_set *set = &g->sets.v[g->nodes.v[c->node].a];
        if (set->bits[byte >> 5] >> (byte & 31) & 1)
            push(g, c->rest);
    }
    bool accepts = expand(g);
    return g->full ? QN_GRAM_DEAD : intern(g, accepts);
}

uint32_t qn_gram_next(qn_grammar *g, uint32_t state, uint8_t byte)
{
    if (state == QN_GRAM_DEAD || g->full)
        return QN_GRAM_DEAD;
    uint32_t *next = &g->states.v[state]->next[byte];
    if (*next != UNKNOWN)
        return *next;
    uint32_t to = step(g, state, byte);
    if (!g->full)
        *next = to;
    return to;
}

bool qn_gram_accepts(const qn_grammar *g, uint32_t state)
{
    return state != QN_GRAM_DEAD && g->states.v[state]->accepts;
}

bool qn_gram_is_over(const qn_grammar *g, uint32_t state)
{
    return qn_gram_accepts(g, state) && g->states.v[state]->n == 0;
}

bool qn_gram_full(const qn_grammar *g)
{
    return g->full;
}
