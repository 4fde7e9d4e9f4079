/* tok_json.c - tokenizer.json.
 *
 * One walk over the text cuts out the parts; the vocabulary and the merges,
 * which are nearly all of it, are then read straight from their slices, the
 * rest through jansson. "truncation" and "padding" are settings of whoever
 * saved the file, not of the tokenizer: like transformers, we start without. */
#include "base/json.h"
#include "text/tok_int.h"
#include "text/tok_scan.h"

#include <stdio.h>

typedef struct json_parts {
    json_t *small; /* everything but the model, by key        */
    json_t *model; /* the model but for vocabulary and merges */
    qn_view vocab, merges;
} json_parts;

/* Reads an object; the values of `big` keys become slices, the others JSON. */
static int json_cut(qn_scan *s, json_t *small, const char *const *big,
                    qn_view *slices, qn_err *err)
{
    qn_str key;
    qn_str_init(&key);
    qn_view value;
    int rc = qn_scan_open(s, '{');
    while (rc == 0 && (rc = qn_scan_more(s, '}')) > 0) {
        qn_str_clear(&key);
        rc = qn_scan_string(s, &key);
        if (rc == 0)
            rc = qn_scan_colon(s);
        if (rc == 0)
            rc = qn_scan_slice(s, &value);
        if (rc < 0)
            break;
        const char *name = key.p ? key.p : "";
        int k = 0;
        while (big[k] && strcmp(big[k], name) != 0)
            k++;
        if (big[k]) {
            slices[k] = value;
            continue;
        }
        json_t *v = NULL;
        rc = qn_json_parse(&v, value.p, value.n, s->name, err);
        if (rc == 0)
            json_object_set_new(small, name, v);
    }
    qn_str_deinit(&key);
    return rc;
}

static int json_read_parts(json_parts *parts, qn_view json, const char *name,
                           qn_err *err)
{
    static const char *const top[] = {"model", NULL};
    static const char *const big[] = {"vocab", "merges", NULL};
    qn_view model = {NULL, 0}, slices[2] = {{NULL, 0}, {NULL, 0}};
    qn_scan s;
    parts->small = json_object();
    parts->model = json_object();
    qn_scan_init(&s, json, name, err);
    QN_TRY(json_cut(&s, parts->small, top, &model, err));
    QN_TRY(qn_scan_end(&s));
    if (!model.p)
        return qn_fail(err, QN_EFORMAT, "%s: no \"model\"", name);
    qn_scan_init(&s, model, name, err);
    QN_TRY(json_cut(&s, parts->model, big, slices, err));
    parts->vocab = slices[0];
    parts->merges = slices[1];
    return QN_OK;
}

/* ---- the model ---------------------------------------------------------- */

/* "left right" into its two parts. */
static int json_split_merge(qn_tok_draft *d, qn_view text, qn_err *err)
{
    const char *blank = text.n ? memchr(text.p, ' ', text.n) : NULL;
    size_t left = blank ? (size_t)(blank - text.p) : 0;
    if (!blank || memchr(blank + 1, ' ', text.n - left - 1))
        return qn_fail(err, QN_EFORMAT,
                       "%s: merge %zu, \"%.*s\", is not two tokens", d->name,
                       d->merges.n, (int)QN_MIN(text.n, 64), text.p);
    return qn_tok_draft_merge(d, qn_view_of(text.p, left),
                              qn_view_of(blank + 1, text.n - left - 1), false,
                              err);
}

/* A merge is "left right" or ["left", "right"]. */
static int json_read_merge(qn_tok_draft *d, qn_scan *s, qn_str *a, qn_str *b,
                           qn_err *err)
{
    qn_str_clear(a);
    qn_str_clear(b);
    if (qn_scan_peek(s) == '"') {
        QN_TRY(qn_scan_string(s, a));
        if (a->n >= 8 && memcmp(a->p, "#version", 8) == 0)
            return QN_OK;
        return json_split_merge(d, qn_view_of(a->p, a->n), err);
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

static int json_read_merges(qn_tok_draft *d, qn_view text, qn_err *err)
{
    qn_scan s;
    qn_str a, b;
    qn_str_init(&a);
    qn_str_init(&b);
    qn_scan_init(&s, text, d->name, err);
    int rc = qn_scan_open(&s, '[');
    while (rc == 0 && (rc = qn_scan_more(&s, ']')) > 0)
        rc = json_read_merge(d, &s, &a, &b, err);
    qn_str_deinit(&a);
    qn_str_deinit(&b);
    return rc;
}

static int json_check_model(const json_t *model, const char *name, qn_err *err)
{
    static const char known[] = " type dropout unk_token "
                                "continuing_subword_prefix end_of_word_suffix "
                                "fuse_unk byte_fallback ignore_merges ";
    const json_t *type = json_object_get(model, "type");
    const char *key;
    json_t *v;
    char padded[64];
    if (type && !json_is_string(type))
        return qn_fail(err, QN_EFORMAT, "%s: the model's type is no name",
                       name);
    if (type && strcmp(json_string_value(type), "BPE") != 0)
        return qn_fail(err, QN_EUNSUP,
                       "%s: model %.40s is not supported (supported: BPE)",
                       name, json_string_value(type));
    json_object_foreach((json_t *)(uintptr_t)model, key, v)
    {
        snprintf(padded, sizeof padded, " %s ", key);
        if (!strstr(known, padded))
            return qn_fail(err, QN_EUNSUP,
                           "%s: model BPE: field \"%s\" is not understood",
                           name, key);
    }
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

static qn_view json_text(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return qn_view_of(json_string_value(v), json_string_length(v));
}

static int json_read_model(qn_tok_draft *d, const json_parts *parts,
                           qn_err *err)
{
    const json_t *m = parts->model;
    qn_bpe_options *o = &d->bpe;
    QN_TRY(json_check_model(m, d->name, err));
    if (!parts->vocab.p || !parts->merges.p)
        return qn_fail(err, QN_EFORMAT, "%s: the model lacks vocab or merges",
                       d->name);
    o->prefix = json_text(m, "continuing_subword_prefix");
    o->suffix = json_text(m, "end_of_word_suffix");
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
    o->unk_name = json_text(m, "unk_token");
    if (o->unk_name.p)
        o->unk = qn_vocab_find(&d->t->vocab, o->unk_name.p, o->unk_name.n);
    return json_read_merges(d, parts->merges, err);
}

/* ---- the whole ---------------------------------------------------------- */

static int json_read(qn_tok_draft *d, const json_parts *parts,
                     const json_t *config, qn_err *err)
{
    const struct {
        qn_tok_steps *steps;
        const qn_tok_stage *stage;
    } stages[] = {{&d->t->norm, &qn_tok_normalizers},
                  {&d->t->pre, &qn_tok_pre_tokenizers},
                  {&d->t->post, &qn_tok_post_processors},
                  {&d->t->dec, &qn_tok_decoders}};
    const char *version = json_string_value(
        json_object_get(parts->small, "version"));
    if (version && strcmp(version, "1.0") != 0)
        return qn_fail(err, QN_EUNSUP, "%s: version %.20s is not supported",
                       d->name, version);
    for (size_t k = 0; k < QN_COUNTOF(stages); k++)
        QN_TRY(qn_tok_steps_parse(stages[k].steps, stages[k].stage,
                                  json_object_get(parts->small,
                                                  stages[k].stage->name),
                                  d->name, err));
    QN_TRY(json_read_model(d, parts, err));
    QN_TRY(qn_tok_draft_added(d, json_object_get(parts->small, "added_tokens"),
                              err));
    if (config)
        QN_TRY(qn_tok_read_decoder_tokens(d, config, err));
    qn_tok_read_roles(d->t, config);
    return QN_OK;
}

int qn_tok_open_json(qn_tok **out, qn_view json, const json_t *config,
                     const char *name, qn_err *err)
{
    json_parts parts = {0};
    qn_tok_draft d;
    qn_tok_draft_init(&d, name);
    int rc = json_read_parts(&parts, json, name, err);
    if (rc == 0)
        rc = json_read(&d, &parts, config, err);
    if (rc == 0)
        rc = qn_tok_build(&d, out, err);
    qn_tok_draft_deinit(&d);
    json_decref(parts.small);
    json_decref(parts.model);
    return rc;
}
