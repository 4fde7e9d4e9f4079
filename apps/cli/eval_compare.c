/* eval_compare.c - see eval_compare.h. */
#include "cli/eval_compare.h"

#include "cli/bench.h"

#include <string.h>

enum {
    PREFILL = 512,
    DECODED = 32,
    REPEATS = 3
};

typedef struct compare_run {
    const qn_eval_compare_params *p;
    uint64_t n_rows, row; /* of the table, for progress */
} compare_run;

static const char *path_at(const qn_eval_compare_params *p, size_t i)
{
    const char *path = p->paths[i];
    return strcmp(path, "builtin") == 0 ? NULL : path;
}

/* ---- speed ------------------------------------------------------------------ */

static double median_of(const json_t *bench, const char *name)
{
    size_t i;
    json_t *r;
    json_array_foreach(json_object_get(bench, "results"), i, r)
    {
        const char *is = json_string_value(json_object_get(r, "name"));
        if (is && strncmp(is, name, strlen(name)) == 0)
            return json_number_value(json_object_get(r, "median"));
    }
    return 0;
}

static int add_speed(const compare_run *c, size_t i, json_t *row, qn_err *err)
{
    static const int32_t depths[] = {0}, batches[] = {1};
    int32_t prefill[] = {PREFILL};
    json_t *bench = NULL;
    qn_model *m = NULL;
    qn_model_params meta = {.no_weights = true};
    QN_TRY(qn_model_open(&m, path_at(c->p, i), &meta, err));
    if (qn_model_n_ctx_train(m) < PREFILL)
        prefill[0] = (int32_t)qn_model_n_ctx_train(m);
    qn_model_close(m);
    qn_bench_params p = {.model = c->p->model,
                         .path = path_at(c->p, i),
                         .kv_type = c->p->kv,
                         .prefill = prefill,
                         .n_prefill = 1,
                         .depths = depths,
                         .n_depths = 1,
                         .batches = batches,
                         .n_batches = 1,
                         .n_tokens = DECODED,
                         .repeats = REPEATS,
                         .warmup = 1};
    QN_TRY(qn_bench_run(&bench, &p, err));
    json_object_set_new(row, "prefill",
                        json_real(median_of(bench, "prefill ")));
    json_object_set_new(row, "decode", json_real(median_of(bench, "decode ")));
    json_decref(bench);
    return 0;
}

/* ---- quality ---------------------------------------------------------------- */

/* A part of the whole: models are taken to need the same time. */
static bool part_done(void *user, uint64_t done, uint64_t total)
{
    const compare_run *c = user;
    if (!c->p->progress)
        return true;
    return c->p->progress(c->p->progress_user, c->row * total + done,
                          c->n_rows * total);
}

static int add_quality(compare_run *c, size_t i, qn_model *base, json_t *row,
                       json_t **text, qn_err *err)
{
    static const char *const keys[] = {"model",
                                       "nll",
                                       "perplexity",
                                       "perplexity_ratio",
                                       "kl",
                                       "top1_agreement",
                                       "top5_agreement"};
    qn_model *m = base;
    json_t *o = NULL;
    bool alone = i == 0 && !c->p->base_exact;
    if (!alone)
        QN_TRY(qn_model_open(&m, path_at(c->p, i), &c->p->model, err));
    qn_eval_text_params p = {.model = m,
                             .base = alone ? NULL : base,
                             .text = c->p->text,
                             .kv = c->p->kv,
                             .n_threads = c->p->model.n_threads,
                             .progress = part_done,
                             .progress_user = c};
    int rc = qn_eval_text(&o, &p, err);
    if (m != base)
        qn_model_close(m);
    QN_TRY(rc);
    for (size_t k = 0; k < QN_COUNTOF(keys); k++)
        if (json_object_get(o, keys[k]))
            json_object_set(row, keys[k], json_object_get(o, keys[k]));
    if (i == 0)
        *text = json_incref(json_object_get(o, "text"));
    json_decref(o);
    return 0;
}

static int fill_rows(compare_run *c, json_t *rows, json_t **text, qn_err *err)
{
    qn_model *base = NULL;
    qn_model_params bp = c->p->model;
    bp.exact |= c->p->base_exact;
    for (size_t i = 0; i < c->p->n_paths; i++) {
        json_t *row = json_object();
        json_array_append_new(rows, row);
        if (c->p->speed)
            QN_TRY(add_speed(c, i, row, err));
    }
    QN_TRY(qn_model_open(&base, path_at(c->p, 0), &bp, err));
    int rc = 0;
    for (size_t i = 0; i < c->p->n_paths && rc == 0; i++) {
        c->row = i;
        rc = add_quality(c, i, base, json_array_get(rows, i), text, err);
        if (rc < 0)
            qn_err_prefix(err, rc, "%s", c->p->paths[i]);
    }
    qn_model_close(base);
    return rc;
}

int qn_eval_compare(json_t **report, const qn_eval_compare_params *p,
                    qn_err *err)
{
    compare_run c = {.p = p, .n_rows = p->n_paths};
    json_t *rows = json_array(), *text = NULL;
    int rc = fill_rows(&c, rows, &text, err);
    if (rc == 0)
        *report = json_pack("{s:s, s:s, s:O, s:O}", "kind", "compare", "quern",
                            qn_version(), "text", text, "rows", rows);
    json_decref(rows);
    json_decref(text);
    return rc;
}
