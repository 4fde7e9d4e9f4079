/* format.c - see format.h. */
#include "engine/format.h"

#include "base/mem.h"
#include "text/gbnf.h"
#include "text/json_grammar.h"
#include "text/regex_grammar.h"
#include "text/token_trie.h"

#include <stdlib.h>
#include <string.h>

#define MASKS 256   /* that are kept of a format */
#define MAX_IDLE 16 /* formats that are kept unused */

typedef struct fmt_mask {
    uint32_t state; /* QN_GRAM_DEAD: free */
    int allowed;    /* tokens */
    uint32_t *bits;
} fmt_mask;

struct qn_fmt {
    qn_formats *all;
    qn_fmt *next; /* by last use, the latest first */
    int n_refs;
    qn_format kind;
    char *schema;
    size_t n_schema;
    qn_grammar *grammar;
    fmt_mask masks[MASKS];
};

struct qn_formats {
    const qn_tok *tok;
    int n_vocab;
    qn_trie *trie; /* NULL: not asked for yet */
    qn_fmt *first;
};

static void fmt_free(qn_fmt *f)
{
    for (int i = 0; i < MASKS; i++)
        free(f->masks[i].bits);
    qn_grammar_free(f->grammar);
    free(f->schema);
    free(f);
}

qn_formats *qn_formats_new(const qn_tok *tok, int n_vocab)
{
    qn_formats *f = qn_xcalloc(1, sizeof *f);
    f->tok = tok;
    f->n_vocab = n_vocab;
    return f;
}

void qn_formats_free(qn_formats *f)
{
    if (!f)
        return;
    while (f->first) {
        qn_fmt *one = f->first;
        f->first = one->next;
        fmt_free(one);
    }
    qn_trie_free(f->trie);
    free(f);
}

/* ---- sharing ------------------------------------------------------------ */

/* One whose states have become too many is not handed out again. */
static bool is_same(const qn_fmt *f, qn_format kind, const char *schema,
                    size_t n)
{
    return f->kind == kind && !qn_gram_full(f->grammar) && f->n_schema == n &&
           (n == 0 || memcmp(f->schema, schema, n) == 0);
}

static void drop_idle(qn_formats *f)
{
    int n = 0;
    for (qn_fmt **at = &f->first; *at;) {
        qn_fmt *one = *at;
        bool idle = one->n_refs == 0;
        n += idle;
        if (idle && (n > MAX_IDLE || qn_gram_full(one->grammar))) {
            *at = one->next;
            fmt_free(one);
        } else {
            at = &one->next;
        }
    }
}

static int compile(qn_format kind, const char *schema, size_t n,
                   qn_grammar **out, qn_err *err)
{
    switch (kind) {
    case QN_FORMAT_JSON_SCHEMA: return qn_schema_grammar(out, schema, n, err);
    case QN_FORMAT_REGEX: return qn_regex_grammar(out, schema, n, err);
    case QN_FORMAT_CHOICE: return qn_choice_grammar(out, schema, n, err);
    case QN_FORMAT_GRAMMAR: return qn_gbnf_grammar(out, schema, n, err);
    case QN_FORMAT_TEXT:
    case QN_FORMAT_JSON:
    case QN_FORMAT_JSON_OBJECT: break;
    }
    *out = qn_json_grammar(kind == QN_FORMAT_JSON_OBJECT);
    return 0;
}

int qn_format_check(qn_format kind, const char *schema, size_t n, qn_err *err)
{
    qn_grammar *g = NULL;
    if (kind == QN_FORMAT_TEXT)
        return 0;
    QN_TRY(compile(kind, schema, n, &g, err));
    qn_grammar_free(g);
    return 0;
}

int qn_formats_get(qn_formats *f, qn_format kind, const char *schema, size_t n,
                   qn_fmt **out, qn_err *err)
{
    if (kind == QN_FORMAT_JSON || kind == QN_FORMAT_JSON_OBJECT)
        n = 0;
    if (!f->trie)
        QN_TRY(qn_trie_new(&f->trie, f->tok, f->n_vocab, err));
    qn_fmt **at = &f->first;
    while (*at && !is_same(*at, kind, schema, n))
        at = &(*at)->next;
    qn_fmt *one = *at;
    if (one) {
        *at = one->next;
    } else {
        qn_grammar *g = NULL;
        QN_TRY(compile(kind, schema, n, &g, err));
        one = qn_xcalloc(1, sizeof *one);
        one->all = f;
        one->kind = kind;
        one->grammar = g;
        one->n_schema = n;
        one->schema = n ? qn_xstrndup(schema, n) : NULL;
    }
    one->next = f->first;
    f->first = one;
    *out = qn_fmt_ref(one);
    drop_idle(f);
    return 0;
}

qn_fmt *qn_fmt_ref(qn_fmt *f)
{
    f->n_refs++;
    return f;
}

void qn_fmt_unref(qn_fmt *f)
{
    if (f && --f->n_refs == 0)
        drop_idle(f->all);
}

/* ---- states ------------------------------------------------------------- */

uint32_t qn_fmt_begin(const qn_fmt *f)
{
    return qn_gram_begin(f->grammar);
}

uint32_t qn_fmt_advance(qn_fmt *f, uint32_t state, int32_t id)
{
    return qn_trie_advance(f->all->trie, f->grammar, state, id);
}

bool qn_fmt_is_over(const qn_fmt *f, uint32_t state)
{
    return qn_gram_is_over(f->grammar, state);
}

int qn_fmt_mask(qn_fmt *f, uint32_t state, const uint32_t **bits, bool *ends,
                qn_err *err)
{
    fmt_mask *m = &f->masks[state % MASKS];
    size_t words = ((size_t)f->all->n_vocab + 31) / 32;
    if (state != QN_GRAM_DEAD && m->state != state) {
        if (!m->bits)
            m->bits = qn_xcalloc(words, sizeof *m->bits);
        m->state = state;
        m->allowed = qn_trie_mask(f->all->trie, f->grammar, state, m->bits);
    }
    if (qn_gram_full(f->grammar))
        return qn_fail(err, QN_ELIMIT,
                       "the text took more states of its format than there is "
                       "room for: ask for a simpler schema");
    *ends = qn_gram_accepts(f->grammar, state);
    *bits = m->bits;
    if (state == QN_GRAM_DEAD || (m->allowed == 0 && !*ends))
        return qn_fail(err, QN_EINVAL,
                       "no token of the vocabulary goes on in the format that "
                       "was asked for");
    return 0;
}
