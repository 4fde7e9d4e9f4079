/* tok_json.c - tokenizer.json.
 *
 * One walk over the text cuts out the parts; the vocabulary and the merges,
 * which are nearly all of it, are then read straight from their slices, the
 * rest through jansson. */
#include "base/json.h"
#include "text/tok_int.h"
#include "text/tok_scan.h"

#include <stdio.h>

typedef struct json_parts {
    json_t *small; /* everything but the model, by key        */
    json_t *rest;  /* the model but for vocabulary and merges */
    qn_tok_model_parts model;
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
    parts->rest = json_object();
    qn_scan_init(&s, json, name, err);
    QN_TRY(json_cut(&s, parts->small, top, &model, err));
    QN_TRY(qn_scan_end(&s));
    if (!model.p)
        return qn_fail(err, QN_EFORMAT, "%s: no \"model\"", name);
    qn_scan_init(&s, model, name, err);
    QN_TRY(json_cut(&s, parts->rest, big, slices, err));
    parts->model = (qn_tok_model_parts){parts->rest, slices[0], slices[1]};
    return QN_OK;
}

/* ---- the model ---------------------------------------------------------- */

static int json_read_model(qn_tok_draft *d, const qn_tok_model_parts *m,
                           qn_err *err)
{
    const char *key;
    json_t *v;
    char padded[64];
    d->model = qn_tok_model_of(m, d->name, err);
    if (!d->model)
        return err ? err->code : QN_EUNSUP;
    json_object_foreach((json_t *)(uintptr_t)m->small, key, v)
    {
        snprintf(padded, sizeof padded, " %s ", key);
        if (strcmp(key, "type") != 0 && !strstr(d->model->fields, padded))
            return qn_fail(err, QN_EUNSUP,
                           "%s: model %s: field \"%s\" is not understood",
                           d->name, d->model->type, key);
    }
    return d->model->read(d, m, err);
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
    QN_TRY(qn_tok_fit_parse(&d->t->fit, parts->small, d->name, err));
    QN_TRY(json_read_model(d, &parts->model, err));
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
    json_decref(parts.rest);
    return rc;
}
