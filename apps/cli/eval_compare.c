/* eval_compare.c - see eval_compare.h. */
#include "cli/eval_compare.h"

#include "base/file.h"
#include "base/mem.h"
#include "cli/bench.h"

#include <string.h>

enum {
    PREFILL = 512,
    DECODED = 32,
    REPEATS = 3
};

#define METADATA_MAX ((size_t)16 << 20)

typedef struct compare_run {
    const qn_eval_compare_params *p;
    uint64_t n_rows, row; /* runs over the text, for progress */
    qn_model *base;       /* while rows has no logits of it */
    qn_eval_rows rows;
    json_t *text;
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

/* Seconds that quern optimize took for it, where it says so. */
static void add_making(const char *path, json_t *row)
{
    if (!path)
        return;
    const char *slash = strrchr(path, '/');
    char *dir = qn_path_is_dir(path) ? qn_xstrdup(path)
                : slash ? qn_xstrndup(path, (size_t)(slash - path) + 1)
                        : qn_xstrdup(".");
    char *file = qn_path_join(dir, "metadata.json");
    json_t *o = NULL;
    if (qn_json_load(&o, file, METADATA_MAX, NULL) == 0) {
        const json_t *s = json_object_get(json_object_get(o, "result"),
                                          "seconds");
        if (json_is_number(s))
            json_object_set_new(row, "made_seconds",
                                json_real(json_number_value(s)));
    }
    json_decref(o);
    qn_free(file);
    qn_free(dir);
}

static void take(json_t *row, const json_t *report)
{
    static const char *const keys[] = {"model",
                                       "nll",
                                       "perplexity",
                                       "perplexity_ratio",
                                       "kl",
                                       "top1_agreement",
                                       "top5_agreement",
                                       "seconds"};
    for (size_t k = 0; k < QN_COUNTOF(keys); k++)
        if (json_object_get(report, keys[k]))
            json_object_set(row, keys[k], json_object_get(report, keys[k]));
}

static int add_quality(compare_run *c, size_t i, qn_model *m, json_t *row,
                       qn_err *err)
{
    bool alone = i == 0 && !c->p->base_exact;
    json_t *o = NULL;
    qn_eval_text_params p = {.model = m,
                             .text = c->p->text,
                             .kv = c->p->kv,
                             .n_threads = c->p->model.n_threads,
                             .progress = part_done,
                             .progress_user = c};
    if (!alone && c->rows.v)
        p.base_rows = &c->rows;
    else if (!alone)
        p.base = c->base;
    else
        p.keep = &c->rows;
    QN_TRY(qn_eval_text(&o, &p, err));
    take(row, o);
    if (i == 0)
        c->text = json_incref(json_object_get(o, "text"));
    json_decref(o);
    add_making(path_at(c->p, i), row);
    return 0;
}

/* Opens the base and, when it is computed exactly, its rows. */
static int open_base(compare_run *c, qn_err *err)
{
    qn_model_params bp = c->p->model;
    json_t *o = NULL;
    bp.exact |= c->p->base_exact;
    QN_TRY(qn_model_open(&c->base, path_at(c->p, 0), &bp, err));
    if (!c->p->base_exact)
        return 0;
    qn_eval_text_params p = {.model = c->base,
                             .text = c->p->text,
                             .kv = c->p->kv,
                             .n_threads = c->p->model.n_threads,
                             .keep = &c->rows,
                             .progress = part_done,
                             .progress_user = c};
    QN_TRY(qn_eval_text(&o, &p, err));
    json_decref(o);
    c->row++;
    return 0;
}

static int one_row(compare_run *c, size_t i, json_t *row, qn_err *err)
{
    qn_model *m = NULL;
    if (i == 0 && !c->p->base_exact)
        return add_quality(c, i, c->base, row, err);
    if (c->rows.v) { /* they stand for it from now on */
        qn_model_close(c->base);
        c->base = NULL;
    }
    QN_TRY(qn_model_open(&m, path_at(c->p, i), &c->p->model, err));
    int rc = add_quality(c, i, m, row, err);
    qn_model_close(m);
    return rc;
}

static int fill_rows(compare_run *c, json_t *rows, qn_err *err)
{
    for (size_t i = 0; i < c->p->n_paths; i++) {
        json_t *row = json_object();
        json_array_append_new(rows, row);
        if (c->p->speed)
            QN_TRY(add_speed(c, i, row, err));
    }
    QN_TRY(open_base(c, err));
    for (size_t i = 0; i < c->p->n_paths; i++, c->row++) {
        int rc = one_row(c, i, json_array_get(rows, i), err);
        if (rc < 0)
            return qn_err_prefix(err, rc, "%s", c->p->paths[i]);
    }
    return 0;
}

int qn_eval_compare(json_t **report, const qn_eval_compare_params *p,
                    qn_err *err)
{
    compare_run c = {.p = p, .n_rows = p->n_paths + p->base_exact};
    json_t *rows = json_array();
    int rc = fill_rows(&c, rows, err);
    if (rc == 0)
        *report = json_pack("{s:s, s:s, s:O, s:O}", "kind", "compare", "quern",
                            qn_version(), "text", c.text, "rows", rows);
    qn_model_close(c.base);
    qn_eval_rows_free(&c.rows);
    json_decref(rows);
    json_decref(c.text);
    return rc;
}
