/* samples.c - see samples.h. */
#include "quantize/samples.h"

#include "base/compiler.h"
#include "base/file.h"
#include "base/mem.h"
#include "engine/vocab.h"
#include "quantize/calibration_text_tab.h"

#include <string.h>

enum {
    SHORTEST = 16, /* tokens of a piece */
    FEWEST = 8     /* pieces, where nobody says how many */
};
#define TEXT_MAX ((size_t)64 << 20)

/* ---- tokens -------------------------------------------------------------- */

static int read_text(const qn_optimize_params *p, char **text, size_t *n,
                     qn_err *err)
{
    if (p->calibration)
        return qn_file_slurp(text, n, p->calibration, TEXT_MAX, err);
    qn_str s;
    qn_str_init(&s);
    for (size_t i = 0; i < QN_COUNTOF(calibration_text); i++)
        qn_str_adds(&s, calibration_text[i]);
    *text = qn_str_take(&s, n);
    return QN_OK;
}

/* Each document as the model would be given it alone. */
static int add_documents(qn_samples *s, const qn_tok *tok, qn_view text,
                         const char *split, qn_err *err)
{
    qn_tok_ids mark = {0};
    qn_view doc;
    int rc = qn_tok_encode(tok, split, strlen(split), QN_TOK_PARSE_SPECIAL,
                           &mark, NULL, err);
    bool special = mark.n == 1 && qn_tok_is_special(tok, mark.v[0]);
    while (rc == QN_OK && qn_view_document(&text, split, &doc)) {
        if (doc.n == 0)
            continue;
        if (s->docs.n && special)
            qn_vec_push(&s->ids, mark.v[0]);
        qn_vec_push(&s->docs, s->ids.n);
        rc = qn_tok_encode(tok, doc.p, doc.n, QN_TOK_SPECIAL, &s->ids, NULL,
                           err);
    }
    qn_vec_deinit(&mark);
    return rc;
}

int qn_samples_read(qn_samples *s, const qn_optimize_params *p,
                    const qn_ckpt *ck, qn_err *err)
{
    char *text = NULL;
    size_t n = 0;
    qn_tok *tok = NULL;
    for (size_t i = 0; i < p->n_calibration_ids; i++)
        qn_vec_push(&s->ids, p->calibration_ids[i]);
    if (s->ids.n)
        return QN_OK;
    int rc = qn_vocab_open(&tok, ck, err);
    if (rc == QN_OK)
        rc = read_text(p, &text, &n, err);
    if (rc == QN_OK)
        rc = p->calibration_split
                 ? add_documents(s, tok, qn_view_of(text, n),
                                 p->calibration_split, err)
                 : qn_tok_encode(tok, text, n, 0, &s->ids, NULL, err);
    qn_free(text);
    qn_tok_close(tok);
    qn_mem_trim();
    return rc;
}

/* ---- pieces -------------------------------------------------------------- */

/* The last document that begins in [from, at]; `at`, where none does. */
static size_t start_near(const qn_samples *s, size_t at, size_t from)
{
    size_t best = at;
    for (size_t i = 0; i < s->docs.n && s->docs.v[i] <= at; i++)
        if (s->docs.v[i] >= from)
            best = s->docs.v[i];
    return best;
}

int qn_samples_cut(qn_samples *s, const qn_optimize_params *p, int64_t widest,
                   int64_t limit, qn_err *err)
{
    size_t len = p->n_context > 0 ? (size_t)p->n_context : 512;
    if (s->ids.n < SHORTEST)
        return qn_fail(err, QN_EINVAL,
                       "%s: %zu tokens are too few to calibrate with",
                       p->calibration ? p->calibration : "the built-in text",
                       s->ids.n);
    len = QN_MIN(len, (size_t)limit);
    len = QN_MIN(len, s->ids.n);
    size_t usual = (2 * (size_t)widest + len - 1) / len;
    size_t most = p->n_samples > 0 ? (size_t)p->n_samples
                                   : QN_MAX(usual, (size_t)FEWEST);
    s->len = (int)len;
    s->n = (int)QN_MIN(most, s->ids.n / len);
    size_t stride = s->ids.n / (size_t)s->n, from = 0;
    for (int i = 0; i < s->n; i++) {
        size_t start = start_near(s, (size_t)i * stride, from);
        qn_vec_push(&s->starts, start);
        from = start + 1;
    }
    return QN_OK;
}

void qn_samples_deinit(qn_samples *s)
{
    qn_vec_deinit(&s->ids);
    qn_vec_deinit(&s->docs);
    qn_vec_deinit(&s->starts);
}
