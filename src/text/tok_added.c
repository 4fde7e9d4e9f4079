/* tok_added.c - a trie per set of tokens, leftmost-longest.
 *
 * A step of the search walks the trie from one place of the text, so a search
 * costs at most text times longest token, and in practice one look at a byte
 * per byte. */
#include "text/tok_added.h"

#include "base/utf8.h"
#include "text/unicode.h"

#include <stdlib.h>

typedef struct qn_tok_trie_node {
    uint32_t child, sibling; /* 0: none */
    uint32_t token;          /* index + 1, 0: none ends here */
    uint8_t byte;
} trie_node;

/* ---- the trie ---------------------------------------------------------- */

static uint32_t trie_new(qn_tok_trie *t, uint8_t byte)
{
    if (t->n == t->cap) {
        t->cap = t->cap ? t->cap * 2 : 64;
        t->nodes = qn_xreallocarray(t->nodes, t->cap, sizeof *t->nodes);
    }
    if (t->n == 0)
        t->n = 1; /* 0 stands for none */
    t->nodes[t->n] = (trie_node){0, 0, 0, byte};
    return t->n++;
}

void qn_tok_trie_add(qn_tok_trie *t, qn_view text, uint32_t token)
{
    /* Files have such pieces. Text never does; but it would be cut within a
     * character where a part of one is a token. */
    if (text.n == 0 || !qn_utf8_valid(text.p, text.n))
        return;
    uint8_t first = (uint8_t)text.p[0];
    if (!t->root[first])
        t->root[first] = trie_new(t, first);
    uint32_t at = t->root[first];
    for (size_t i = 1; i < text.n; i++) {
        uint8_t b = (uint8_t)text.p[i];
        uint32_t next = t->nodes[at].child;
        while (next && t->nodes[next].byte != b)
            next = t->nodes[next].sibling;
        if (!next) {
            next = trie_new(t, b);
            t->nodes[next].sibling = t->nodes[at].child;
            t->nodes[at].child = next;
        }
        at = next;
    }
    t->nodes[at].token = token + 1;
}

static void trie_ready(qn_tok_trie *t)
{
    t->only = -1;
    int firsts = 0;
    for (int b = 0; b < 256; b++) {
        if (!t->root[b])
            continue;
        t->only = b;
        firsts++;
    }
    if (firsts != 1)
        t->only = -1;
}

/* The longest token that begins at p[i]: its end and index, or 0. */
size_t qn_tok_trie_match(const qn_tok_trie *t, const char *p, size_t n,
                         size_t i, uint32_t *token)
{
    size_t end = 0;
    uint32_t at = t->root[(uint8_t)p[i++]];
    while (at) {
        if (t->nodes[at].token) {
            *token = t->nodes[at].token - 1;
            end = i;
        }
        if (i == n)
            break;
        uint8_t b = (uint8_t)p[i++];
        at = t->nodes[at].child;
        while (at && t->nodes[at].byte != b)
            at = t->nodes[at].sibling;
    }
    return end;
}

static bool trie_next(const qn_tok_trie *t, const char *p, size_t n, size_t i,
                      size_t *b, size_t *e, uint32_t *token)
{
    for (; i < n; i++) {
        if (t->only >= 0) {
            const char *hit = memchr(p + i, t->only, n - i);
            if (!hit)
                return false;
            i = (size_t)(hit - p);
        } else if (!t->root[(uint8_t)p[i]]) {
            continue;
        }
        *e = qn_tok_trie_match(t, p, n, i, token);
        if (*e > 0) {
            *b = i;
            return true;
        }
    }
    return false;
}

/* ---- the tokens -------------------------------------------------------- */

void qn_tok_added_init(qn_tok_added *a)
{
    memset(a, 0, sizeof *a);
    qn_map_init(&a->by_text, 0);
}

static void added_free(qn_tok_added_token *tok)
{
    free((void *)(uintptr_t)tok->content.p);
    free((void *)(uintptr_t)tok->form.p);
}

void qn_tok_added_deinit(qn_tok_added *a)
{
    for (size_t k = 0; k < a->v.n; k++)
        added_free(&a->v.v[k]);
    qn_vec_deinit(&a->v);
    qn_map_deinit(&a->by_text);
    free(a->by_id);
    free(a->plain.nodes);
    free(a->normalized.nodes);
}

static qn_view added_copy(qn_view v)
{
    return v.p ? qn_view_of(qn_xstrndup(v.p, v.n), v.n) : v;
}

int qn_tok_added_put(qn_tok_added *a, const qn_tok_added_token *tok,
                     const char *name, qn_err *err)
{
    if (tok->content.n == 0 || tok->content.n > QN_TOK_MAX_ADDED_LEN ||
        tok->form.n > 8 * QN_TOK_MAX_ADDED_LEN)
        return qn_fail(err, QN_ELIMIT,
                       "%s: an added token of %zu bytes; between 1 and %d are "
                       "supported",
                       name, tok->content.n, QN_TOK_MAX_ADDED_LEN);
    qn_tok_added_token copy = *tok;
    copy.form = added_copy(tok->form);
    uint64_t index;
    if (qn_map_get(&a->by_text, tok->content.p, tok->content.n, &index)) {
        qn_tok_added_token *old = &a->v.v[index];
        free((void *)(uintptr_t)old->form.p);
        copy.content = old->content;
        copy.special |= old->special;
        *old = copy;
        return QN_OK;
    }
    copy.content = added_copy(tok->content);
    index = a->v.n;
    qn_vec_push(&a->v, copy);
    qn_map_put(&a->by_text, copy.content.p, copy.content.n, index);
    return QN_OK;
}

void qn_tok_added_ready(qn_tok_added *a)
{
    for (size_t k = 0; k < a->v.n; k++)
        a->n_ids = QN_MAX(a->n_ids, (uint32_t)a->v.v[k].id + 1);
    a->by_id = qn_xcalloc(a->n_ids + 1, sizeof *a->by_id);
    for (size_t k = 0; k < a->v.n; k++) {
        const qn_tok_added_token *tok = &a->v.v[k];
        a->by_id[tok->id] = (uint32_t)k + 1;
        qn_view form = tok->form.p ? tok->form : tok->content;
        if (form.n > 0 && !tok->hidden)
            qn_tok_trie_add(tok->normalized ? &a->normalized : &a->plain, form,
                            (uint32_t)k);
    }
    trie_ready(&a->plain);
    trie_ready(&a->normalized);
}

const qn_tok_added_token *qn_tok_added_get(const qn_tok_added *a, int64_t id)
{
    if (id < 0 || id >= a->n_ids || !a->by_id[id])
        return NULL;
    return &a->v.v[a->by_id[id] - 1];
}

int32_t qn_tok_added_find(const qn_tok_added *a, const char *p, size_t n)
{
    uint64_t index;
    return qn_map_get(&a->by_text, p, n, &index) ? a->v.v[index].id : -1;
}

/* ---- finding them ------------------------------------------------------ */

/* Whether the token at [b, e) of the piece p[n] stands alone as a word. */
static bool added_is_word(const char *p, size_t n, size_t b, size_t e)
{
    size_t at;
    if (b > 0 && (qn_uni(qn_uni_prev(p, b, &at)) & QN_UNI_WORD))
        return false;
    at = e;
    return e == n || !(qn_uni(qn_uni_next(p, &at)) & QN_UNI_WORD);
}

static void added_split_piece(const qn_tok_added *a, const qn_tok_trie *trie,
                              qn_tok_work *w, const qn_tok_piece *pc)
{
    const char *p = w->p + pc->b;
    size_t n = pc->e - pc->b, done = 0, at = 0, b, e, i;
    uint32_t index;
    while (trie_next(trie, p, n, at, &b, &e, &index)) {
        const qn_tok_added_token *tok = &a->v.v[index];
        at = e;
        if (tok->special && !(w->flags & QN_TOK_PARSE_SPECIAL))
            continue;
        if (tok->single_word && !added_is_word(p, n, b, e))
            continue;
        while (tok->lstrip && b > done &&
               (qn_uni(qn_uni_prev(p, b, &i)) & QN_UNI_SPACE))
            b = i;
        if (tok->lstrip)
            b = QN_MAX(b, done);
        for (i = e; tok->rstrip && e < n; e = i)
            if (!(qn_uni(qn_uni_next(p, &i)) & QN_UNI_SPACE))
                break;
        qn_tok_divide_part(w, pc, pc->b + done, pc->b + b, -1);
        qn_tok_divide_part(w, pc, pc->b + b, pc->b + e, tok->id);
        done = e;
    }
    qn_tok_divide_part(w, pc, pc->b + done, pc->e, -1);
}

void qn_tok_added_split(const qn_tok_added *a, const qn_tok_trie *trie,
                        qn_tok_work *w)
{
    if (trie->n == 0)
        return;
    qn_tok_divide_begin(w);
    for (size_t k = 0; k < w->pieces.n; k++) {
        qn_tok_piece pc = w->pieces.v[k];
        if (pc.id >= 0)
            qn_vec_push(&w->next, pc);
        else
            added_split_piece(a, trie, w, &pc);
    }
    qn_tok_divide_end(w);
}
