/* corpus.c - see corpus.h. */
#include "eval/corpus.h"

#include "base/file.h"
#include "base/mem.h"

#define TEXT_MAX ((size_t)1 << 31)

uint64_t qn_fnv(uint64_t h, const void *p, size_t n)
{
    const unsigned char *b = p;
    for (size_t i = 0; i < n; i++)
        h = (h ^ b[i]) * 1099511628211u;
    return h;
}

/* ---- documents ----------------------------------------------------------- */

static int add_document(qn_corpus *c, const qn_tok *tok,
                        const qn_corpus_params *p, qn_view text, qn_err *err)
{
    unsigned flags = p->bos == QN_BOS_AUTO ? QN_TOK_DEFAULT
                                           : QN_TOK_PARSE_SPECIAL;
    qn_doc d = {.at = c->ids.n};
    QN_TRY(qn_tok_encode(tok, text.p, text.n, flags, &c->ids, NULL, err));
    d.n = c->ids.n - d.at;
    if (p->max_tokens > 0 && d.n > (size_t)p->max_tokens) {
        d.n = (size_t)p->max_tokens;
        c->ids.n = d.at + d.n;
    }
    qn_vec_push(&c->docs, d);
    return 0;
}

static int read_documents(qn_corpus *c, const qn_tok *tok,
                          const qn_corpus_params *p, qn_view text, qn_err *err)
{
    qn_view doc;
    size_t i = 0;
    while (qn_view_document(&text, p->split, &doc)) {
        if (p->limit && c->docs.n == p->limit)
            break;
        if (i++ < p->skip || doc.n == 0)
            continue;
        int rc = add_document(c, tok, p, doc, err);
        if (rc < 0)
            return qn_err_prefix(err, rc, "%s", p->path);
    }
    if (c->docs.n == 0)
        return qn_fail(err, QN_EINVAL,
                       "%s: no text is left after the first %zu documents",
                       p->path, p->skip);
    return 0;
}

/* ---- windows ------------------------------------------------------------- */

static void add_windows(qn_corpus *c, qn_doc d, size_t context, size_t stride)
{
    size_t room = context - (c->bos >= 0), done = 0;
    for (size_t begin = 0; done < d.n; begin += stride) {
        size_t end = QN_MIN(begin + room, d.n);
        size_t first = QN_MAX(done, begin + (c->bos < 0));
        if (end > first) {
            qn_window w = {.at = d.at + begin,
                           .n = (int)(end - begin),
                           .n_scored = (int)(end - first)};
            qn_vec_push(&c->windows, w);
            c->n_scored += end - first;
        }
        done = end;
    }
}

static int choose_windows(qn_corpus *c, const qn_corpus_params *p, qn_err *err)
{
    size_t longest = 0;
    int64_t own = c->bos >= 0; /* tokens of a window that are not the text's */
    for (size_t i = 0; i < c->docs.n; i++)
        longest = QN_MAX(longest, c->docs.v[i].n);
    if (longest + (size_t)own < 2)
        return qn_fail(err, QN_EINVAL,
                       "%s is too short: a token and one to predict are needed",
                       p->path);
    c->context = p->context;
    if (!c->context)
        c->context = QN_MIN(p->default_context, (int64_t)longest + own);
    if (c->context < 2 || c->context > INT32_MAX / 2)
        return qn_fail(err, QN_EINVAL, "a context of %lld tokens: use 2 to %d",
                       (long long)c->context, INT32_MAX / 2);
    if (!p->split && longest + (size_t)own < (size_t)c->context)
        return qn_fail(err, QN_EINVAL,
                       "%s has %zu tokens, fewer than the context of %lld: use "
                       "--context %zu, or a longer text",
                       p->path, longest, (long long)c->context,
                       longest + (size_t)own);
    c->stride = p->stride ? p->stride : c->context - own;
    if (c->stride < 1 || c->stride > c->context - own)
        return qn_fail(err, QN_EINVAL,
                       "a stride of %lld tokens with windows of %lld: use 1 to "
                       "%lld",
                       (long long)c->stride, (long long)c->context,
                       (long long)(c->context - own));
    for (size_t i = 0; i < c->docs.n; i++)
        add_windows(c, c->docs.v[i], (size_t)c->context, (size_t)c->stride);
    return 0;
}

static int find_bos(qn_corpus *c, const qn_tok *tok, qn_eval_bos bos,
                    qn_err *err)
{
    c->bos = -1;
    if (bos != QN_BOS_EACH)
        return 0;
    c->bos = qn_tok_role_id(tok, QN_TOK_BOS);
    if (c->bos < 0)
        c->bos = qn_tok_role_id(tok, QN_TOK_EOS);
    if (c->bos < 0)
        return qn_fail(err, QN_EINVAL,
                       "the tokenizer names no begin token: use --bos none");
    return 0;
}

int qn_corpus_read(qn_corpus *c, const qn_tok *tok, const qn_corpus_params *p,
                   qn_err *err)
{
    char *text = NULL;
    size_t n;
    *c = (qn_corpus){.bos = -1};
    QN_TRY(find_bos(c, tok, p->bos, err));
    QN_TRY(qn_file_slurp(&text, &n, p->path, TEXT_MAX, err));
    c->n_bytes = n;
    c->hash = qn_fnv(QN_FNV_BASIS, text, n);
    int rc = n > 0 ? read_documents(c, tok, p, qn_view_of(text, n), err)
                   : qn_fail(err, QN_EINVAL, "%s is empty", p->path);
    qn_free(text);
    if (rc == 0)
        rc = choose_windows(c, p, err);
    if (rc < 0)
        qn_corpus_deinit(c);
    return rc;
}

void qn_corpus_deinit(qn_corpus *c)
{
    qn_vec_deinit(&c->ids);
    qn_vec_deinit(&c->docs);
    qn_vec_deinit(&c->windows);
}
