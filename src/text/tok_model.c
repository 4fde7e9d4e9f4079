/* tok_model.c - the table of models, and the row of BPE. */
#include "text/tok_model.h"

#include "base/json.h"
#include "text/tok_int.h"
#include "text/tok_scan.h"
#include "text/unicode.h"

static const qn_tok_model *const model_rows[] = {&qn_tok_model_bpe,
                                                 &qn_tok_model_wordpiece,
                                                 &qn_tok_model_wordlevel,
                                                 &qn_tok_model_unigram};

const qn_tok_model *qn_tok_model_of(const qn_tok_model_parts *m,
                                    const char *name, qn_err *err)
{
    const json_t *type = json_object_get(m->small, "type");
    const char *want = json_string_value(type);
    if (type && !want) {
        qn_fail(err, QN_EFORMAT, "%s: the model's type is no name", name);
        return NULL;
    }
    if (!type && m->merges.p)
        want = "BPE";
    else if (!type && m->vocab.n > 0 && m->vocab.p[0] == '[')
        want = "Unigram";
    else if (!type)
        want = json_object_get(m->small, "max_input_chars_per_word")
                   ? "WordPiece"
                   : "WordLevel";
    for (size_t k = 0; k < QN_COUNTOF(model_rows); k++)
        if (strcmp(model_rows[k]->type, want) == 0)
            return model_rows[k];
    qn_fail(err, QN_EUNSUP, "%s: model %.40s is not supported", name, want);
    return NULL;
}

/* ---- BPE: its JSON ---------------------------------------------------------- */

/* A merge is "left right" or ["left", "right"]. */
static int bpe_json_read_merge(qn_tok_draft *d, qn_scan *s, qn_str *a,
                               qn_str *b, qn_err *err)
{
    qn_str_clear(a);
    qn_str_clear(b);
    if (qn_scan_peek(s) == '"') {
        QN_TRY(qn_scan_string(s, a));
        if (a->n >= 8 && memcmp(a->p, "#version", 8) == 0)
            return QN_OK;
        return qn_tok_draft_merge_text(d, qn_view_of(a->p, a->n), err);
    }
    int n = 0, rc = qn_scan_open(s, '[');
    while (rc == 0 && (rc = qn_scan_more(s, ']')) > 0) {
        if (++n > 2)
            break;
        rc = qn_scan_string(s, n == 1 ? a : b);
    }
    QN_TRY(rc);
    if (n != 2)
        return qn_fail(err, QN_EFORMAT, "%s: merge %zu is not two tokens",
                       d->name, d->merges.n);
    return qn_tok_draft_merge(d, qn_view_of(a->p ? a->p : "", a->n),
                              qn_view_of(b->p ? b->p : "", b->n), false, err);
}

static int bpe_json_read_merges(qn_tok_draft *d, qn_view text, qn_err *err)
{
    qn_scan s;
    qn_str a, b;
    qn_str_init(&a);
    qn_str_init(&b);
    qn_scan_init(&s, text, d->name, err);
    int rc = qn_scan_open(&s, '[');
    while (rc == 0 && (rc = qn_scan_more(&s, ']')) > 0)
        rc = bpe_json_read_merge(d, &s, &a, &b, err);
    qn_str_deinit(&a);
    qn_str_deinit(&b);
    return rc;
}

static int bpe_json_check_dropout(const json_t *model, const char *name,
                                  qn_err *err)
{
    double dropout = 0;
    int rc = qn_json_f64(model, "dropout", &dropout, name, err);
    QN_TRY(rc);
    if (dropout != 0)
        return qn_fail(err, QN_EUNSUP,
                       "%s: a dropout of %g makes encoding random: set it to "
                       "null",
                       name, dropout);
    return QN_OK;
}

static qn_view bpe_json_text(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return qn_view_of(json_string_value(v), json_string_length(v));
}

static int bpe_json_read(qn_tok_draft *d, const qn_tok_model_parts *parts,
                         qn_err *err)
{
    const json_t *m = parts->small;
    qn_bpe_options *o = &d->o;
    QN_TRY(bpe_json_check_dropout(m, d->name, err));
    if (!parts->vocab.p || !parts->merges.p)
        return qn_fail(err, QN_EFORMAT, "%s: the model lacks vocab or merges",
                       d->name);
    o->prefix = bpe_json_text(m, "continuing_subword_prefix");
    o->suffix = bpe_json_text(m, "end_of_word_suffix");
    int rc = qn_json_bool(m, "fuse_unk", &o->fuse_unk, d->name, err);
    if (rc >= 0)
        rc = qn_json_bool(m, "byte_fallback", &o->byte_fallback, d->name, err);
    if (rc >= 0)
        rc = qn_json_bool(m, "ignore_merges", &o->ignore_merges, d->name, err);
    QN_TRY(rc);

    qn_scan s;
    qn_scan_init(&s, parts->vocab, d->name, err);
    qn_vocab_init(&d->t->vocab, parts->vocab.n / 16);
    QN_TRY(qn_tok_read_vocab(&d->t->vocab, &s, d->name, err));
    o->unk_name = bpe_json_text(m, "unk_token");
    if (o->unk_name.p)
        o->unk = qn_vocab_find(&d->t->vocab, o->unk_name.p, o->unk_name.n);
    return bpe_json_read_merges(d, parts->merges, err);
}

/* ---- BPE: the model ---------------------------------------------------- */

/* Byte-level vocabularies spell bytes as characters. Where bytes become
 * characters in the last step before the model, both are left out: the words
 * stay bytes, and the model's vocabulary is turned into bytes. */
static void bpe_raw_vocab(qn_tok *t)
{
    qn_str bytes;
    qn_str_init(&bytes);
    qn_vocab_init(&t->raw, t->vocab.n);
    for (uint32_t id = 0; id < t->vocab.n_ids; id++) {
        qn_view text = qn_vocab_text(&t->vocab, id);
        if (!text.p)
            continue;
        qn_str_clear(&bytes);
        for (size_t i = 0; i < text.n;) {
            int b = qn_tok_char_byte(qn_uni_next(text.p, &i));
            if (b < 0) {
                bytes.n = 0;
                break;
            }
            qn_str_addc(&bytes, (char)b);
        }
        if (bytes.n > 0)
            (void)qn_vocab_add(&t->raw, qn_view_of(bytes.p, bytes.n), id, "",
                               NULL);
    }
    qn_str_deinit(&bytes);
    t->bytes = true;
}

static void *bpe_build(qn_tok_draft *d)
{
    qn_tok *t = d->t;
    qn_bpe_options *o = &d->o;
    qn_tok_step *last = t->pre.n > 0 ? &t->pre.v[t->pre.n - 1] : NULL;
    if (last && qn_tok_step_is(last, "ByteLevel") && !o->byte_fallback &&
        o->prefix.n == 0 && o->suffix.n == 0) {
        last->raw = true;
        bpe_raw_vocab(t);
    }
    o->vocab = t->bytes ? &t->raw : &t->vocab;
    o->bytes = t->bytes;
    qn_bpe *b = qn_bpe_new(o, d->merges.n);
    for (size_t k = 0; k < d->merges.n; k++) {
        const qn_tok_merge *m = &d->merges.v[k];
        qn_bpe_merge(b, m->left, m->right, m->id, (uint32_t)k, d->keep_first);
    }
    for (uint32_t id = 0; d->ranks && id < o->vocab->n_ids; id++)
        qn_bpe_rank(b, (int32_t)id, d->ranks[id]);
    return b;
}

static int bpe_encode(const void *impl, qn_tok_work *w, const char *p, size_t n)
{
    return qn_bpe_encode(impl, w, p, n);
}

static void bpe_free(void *impl)
{
    qn_bpe_free(impl);
}

const qn_tok_model qn_tok_model_bpe = {
    "BPE",
    " dropout unk_token continuing_subword_prefix end_of_word_suffix fuse_unk "
    "byte_fallback ignore_merges ",
    bpe_json_read,
    bpe_build,
    bpe_encode,
    bpe_free,
    qn_bpe_work_free};
