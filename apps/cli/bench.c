/* bench.c - see bench.h. Everything goes through quern.h, as a program would;
 * only the probes look at the machine directly. */
#include "cli/bench.h"

#include "backend/cpu/probe.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/ranks.h"
#include "cli/request_args.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    MAX_REPEATS = 100,
    MAX_BATCH = 64,
    STEP_TOKENS = 512 /* that a step takes, at most */
};

typedef struct bench {
    const qn_bench_params *p;
    qn_model *model;
    json_t *info; /* of the model */
    qn_pool *pool;
    qn_probe *probe;
    json_t *results;
    json_t *answer;
    double weight_bytes; /* read for each token */
    double kv_bytes;     /* per position */
    double params;       /* multiplied with each token */
    double head;         /* of them, with a prompt's last alone */
    qn_probe_kind kind;
} bench;

/* ---- results ----------------------------------------------------------------- */

typedef struct series {
    double v[MAX_REPEATS];
    int n;
} series;

static double median(const series *s)
{
    series t = *s;
    return qn_median(t.v, (size_t)t.n);
}

/* `bound` in the series' unit, 0: none is known. */
static json_t *add(bench *b, const char *name, const char *unit,
                   const series *s, double bound)
{
    double lo = s->v[0], hi = s->v[0], mid = median(s);
    json_t *values = json_array();
    for (int i = 0; i < s->n; i++) {
        lo = QN_MIN(lo, s->v[i]);
        hi = QN_MAX(hi, s->v[i]);
        json_array_append_new(values, json_real(s->v[i]));
    }
    json_t *o = json_pack("{s:s, s:s, s:f, s:f, s:f, s:f, s:o}", "name", name,
                          "unit", unit, "median", mid, "min", lo, "max", hi,
                          "spread", mid > 0 ? (hi - lo) / mid : 0.0, "values",
                          values);
    if (bound > 0) {
        json_object_set_new(o, "bound", json_real(bound));
        json_object_set_new(o, "fraction", json_real(mid / bound));
    }
    json_array_append_new(b->results, o);
    return o;
}

static void add_one(bench *b, const char *name, const char *unit, double value)
{
    series s = {.v = {value}, .n = 1};
    add(b, name, unit, &s, 0);
}

static void say(const bench *b, const char *what)
{
    if (b->p->note)
        b->p->note(what);
}

static int check(const bench *b, qn_err *err)
{
    if (b->p->go_on && !b->p->go_on())
        return qn_fail(err, QN_ECANCEL, "interrupted");
    return 0;
}

/* ---- the model ---------------------------------------------------------------- */

static double number(const json_t *o, const char *a, const char *b)
{
    const json_t *v = json_object_get(o, a);
    return json_number_value(b ? json_object_get(v, b) : v);
}

/* What a token has to read and multiply. An embedding that is no head gives
 * one row of it to each token; of experts only those chosen count. Of a prompt
 * only the last token meets the head: see prefill(). */
static void costs(bench *b)
{
    const json_t *roles = json_object_get(b->info, "roles");
    const json_t *hp = json_object_get(b->info, "hparams");
    double used = json_number_value(json_object_get(hp, "n_exp_used"));
    double n_exp = json_number_value(json_object_get(hp, "n_exp"));
    bool tied = json_is_true(json_object_get(hp, "tied"));
    const char *role;
    json_t *r;
    json_object_foreach((json_t *)(uintptr_t)roles, role, r)
    {
        double part = 1;
        if (strstr(role, "embedding") && (!tied || strstr(role, "position")))
            part = 0;
        if (strstr(role, "expert") && !strstr(role, "shared") && n_exp > 0)
            part = used / n_exp;
        if (strcmp(role, tied ? "token embedding" : "head") == 0)
            b->head = number(r, "parameters", NULL);
        b->weight_bytes += part * number(r, "bytes", NULL);
        b->params += part * number(r, "parameters", NULL);
    }
    b->kv_bytes = number(json_object_get(b->info, "memory"), "kv_types",
                         qn_kv_type_name(b->p->kv_type));
}

/* The dot product that most weights are multiplied with. */
static qn_probe_kind kind_of(const json_t *info)
{
    const char *type, *most = "";
    double top = 0;
    json_t *t;
    json_object_foreach(json_object_get(info, "types"), type, t)
    {
        if (number(t, "parameters", NULL) > top) {
            top = number(t, "parameters", NULL);
            most = type;
        }
    }
    if (strcmp(most, "bf16") == 0)
        return QN_PROBE_BF16;
    if (strcmp(most, "f32") == 0 || strcmp(most, "f16") == 0)
        return QN_PROBE_F32;
    return QN_PROBE_I8;
}

static int load(bench *b, qn_err *err)
{
    series s = {0};
    say(b, "loading");
    for (int i = 0; i < QN_MAX(b->p->load_repeats, 1) && s.n < MAX_REPEATS;
         i++) {
        qn_model_close(b->model);
        b->model = NULL;
        uint64_t t0 = qn_now_ns();
        QN_TRY(qn_model_open(&b->model, b->p->path, &b->p->model, err));
        s.v[s.n++] = qn_ms_since(t0);
    }
    char *text = NULL;
    QN_TRY(qn_model_info(b->model, 0, 0, &text, err));
    int rc = qn_json_parse(&b->info, text, strlen(text), "model info", err);
    qn_free(text);
    QN_TRY(rc);
    costs(b);
    b->kind = kind_of(b->info);
    add(b, "load", "ms", &s, 0);
    add_one(b, "memory", "MiB", (double)qn_mem_rss() / (1 << 20));
    add_one(b, "peak memory", "MiB", (double)qn_mem_peak_rss() / (1 << 20));
    return 0;
}

/* ---- running ------------------------------------------------------------------ */

typedef struct lane {
    qn_request *req;
    int n; /* tokens so far */
} lane;

static int submit(qn_engine *e, const bench *b, int n_prompt, int n_new,
                  int seed, lane *l, qn_err *err)
{
    qn_request_params p;
    int n_vocab = qn_model_n_vocab(b->model);
    int32_t *ids = qn_xcalloc((size_t)n_prompt, sizeof *ids);
    for (int i = 0; i < n_prompt; i++) /* anything but one token repeated */
        ids[i] = (int32_t)(((int64_t)(i + 1) * 7919 + seed * 104729) % n_vocab);
    qn_request_params_default(&p);
    p.prompt = ids;
    p.n_prompt = (size_t)n_prompt;
    p.max_new_tokens = n_new;
    p.ignore_eos = true;
    p.sampling.temperature = 0;
    l->n = 0;
    int rc = qn_request_submit(e, &p, &l->req, err);
    free(ids);
    return rc;
}

static int engine(const bench *b, int64_t n_ctx, int n_seqs, qn_engine **e,
                  qn_err *err)
{
    qn_engine_params p = {.n_ctx = n_ctx,
                          .max_seqs = n_seqs,
                          .max_batch = STEP_TOKENS,
                          .max_prompt_rows = STEP_TOKENS,
                          .kv_type = b->p->kv_type};
    return qn_engine_new(e, b->model, &p, err);
}

static int step(qn_engine *e, lane *l, int n, qn_err *err)
{
    int rc = qn_engine_step(e, err);
    QN_TRY(rc);
    for (int i = 0; i < n; i++) {
        qn_event ev;
        while (qn_request_next(l[i].req, &ev))
            l[i].n += ev.id >= 0;
        int failed = qn_request_error(l[i].req, err);
        QN_TRY(failed);
    }
    return rc;
}

static int prefill(bench *b, int n, qn_err *err)
{
    char name[64];
    series s = {0};
    qn_engine *e = NULL;
    lane l = {0};
    int rc = 0;
    snprintf(name, sizeof name, "prefill %d", n);
    say(b, name);
    QN_TRY(engine(b, n, 1, &e, err));
    double bound = qn_probe_peak(b->probe, b->kind);
    for (int i = -b->p->warmup; i < b->p->repeats; i++) {
        QN_TRY_OUT(check(b, err));
        uint64_t t0 = qn_now_ns();
        QN_TRY_OUT(submit(e, b, n, 0, i + b->p->warmup, &l, err));
        do { /* max_new_tokens is 0: it ends with its prompt */
            QN_TRY_OUT(step(e, &l, 1, err));
        } while (rc > 0);
        if (i >= 0)
            s.v[s.n++] = n / (qn_ms_since(t0) * 1e-3);
        qn_request_free(l.req);
        l.req = NULL;
    }
    bound = (bound + qn_probe_peak(b->probe, b->kind)) / 2;
    double each = b->params - b->head * (n - 1) / n;
    add(b, name, "tok/s", &s, bound / (2 * each));
out:
    qn_request_free(l.req);
    qn_engine_free(e);
    return rc < 0 ? rc : 0;
}

/* Tokens that each sequence writes in the repeats. */
static int repeated_tokens(const bench *b)
{
    return (b->p->repeats + b->p->warmup) * b->p->n_tokens;
}

/* Tokens that each of `batch` sequences writes at most: the first ones write while
 * the prompts of the others are read, which takes a step for what these leave of
 * STEP_TOKENS. */
static int new_tokens(const bench *b, int depth, int batch)
{
    int steps = depth / (STEP_TOKENS - batch) + 1;

    return repeated_tokens(b) + batch * steps + 8;
}

/* The depth, or the greatest that the model's context has room for. */
static int within(const bench *b, int depth, int batch, qn_err *err)
{
    double n_ctx = number(json_object_get(b->info, "hparams"), "n_ctx_train",
                          NULL);
    if (n_ctx <= 0)
        return depth;
    int room = (int)QN_MIN(n_ctx, INT32_MAX);
    int most = room - new_tokens(b, QN_MIN(depth, room), batch);
    if (depth <= most)
        return depth;
    if (most < 1)
        return qn_fail(err, QN_EINVAL,
                       "%d tokens a repeat and %d repeats are more than the "
                       "model's context of %.0f; choose fewer with --tokens or "
                       "--repeats",
                       b->p->n_tokens, b->p->repeats + b->p->warmup, n_ctx);
    char text[96];
    snprintf(text, sizeof text, "a context of %.0f: at %d instead of %d", n_ctx,
             most, depth);
    say(b, text);
    return most;
}

/* Tokens of all so far. */
static int written(const lane *l, int n)
{
    int sum = 0;

    for (int i = 0; i < n; i++)
        sum += l[i].n;
    return sum;
}

/* Tokens of `batch` sequences that have `depth` positions behind them. */
static int decode(bench *b, int depth, int batch, qn_err *err)
{
    char name[64];
    series s = {0};
    qn_engine *e = NULL;
    lane l[MAX_BATCH] = {0};
    depth = within(b, depth, batch, err);
    QN_TRY(depth);
    int n_new = new_tokens(b, depth, batch);
    int n_prompt = QN_MAX(depth, 1), rc = 0;
    snprintf(name, sizeof name, "decode %d at %d", batch, depth);
    say(b, name);
    QN_TRY(engine(b, (int64_t)batch * (n_prompt + n_new), batch, &e, err));
    for (int i = 0; i < batch; i++)
        QN_TRY_OUT(submit(e, b, n_prompt, n_new, i, &l[i], err));
    for (bool all = false; !all;) { /* until each of them decodes */
        QN_TRY_OUT(check(b, err));
        QN_TRY_OUT(step(e, l, batch, err));
        all = true;
        for (int i = 0; i < batch; i++)
            all &= l[i].n > 0;
    }
    int before = written(l, batch);
    double read = qn_probe_read(b->probe);
    double peak = qn_probe_peak(b->probe, b->kind);
    for (int i = -b->p->warmup; i < b->p->repeats; i++) {
        QN_TRY_OUT(check(b, err));
        uint64_t t0 = qn_now_ns();
        for (int k = 0; k < b->p->n_tokens; k++)
            QN_TRY_OUT(step(e, l, batch, err));
        if (i >= 0)
            s.v[s.n++] = (double)batch * b->p->n_tokens /
                         (qn_ms_since(t0) * 1e-3);
    }
    if (written(l, batch) - before != batch * repeated_tokens(b)) {
        rc = qn_fail(err, QN_EINTERNAL, "%s: a sequence ended too early", name);
        goto out;
    }
    read = (read + qn_probe_read(b->probe)) / 2;
    peak = (peak + qn_probe_peak(b->probe, b->kind)) / 2;
    double bytes = b->weight_bytes + b->kv_bytes * depth * batch;
    add(b, name, "tok/s", &s,
        QN_MIN(read / bytes * batch, peak / (2 * b->params)));
out:
    for (int i = 0; i < batch; i++)
        qn_request_free(l[i].req);
    qn_engine_free(e);
    return rc < 0 ? rc : 0;
}

/* One request from its prompt to its last token, as somebody waits for it:
 * the median of the repeats. */
static int answer(bench *b, int n_prompt, int n_new, qn_err *err)
{
    series s = {0};
    qn_engine *e = NULL;
    lane l = {0};
    int rc = 0;
    say(b, "one answer");
    QN_TRY(engine(b, (int64_t)n_prompt + n_new, 1, &e, err));
    for (int i = 0; i < b->p->repeats; i++) {
        QN_TRY_OUT(check(b, err));
        uint64_t t0 = qn_now_ns();
        QN_TRY_OUT(submit(e, b, n_prompt, n_new, i, &l, err));
        do {
            QN_TRY_OUT(step(e, &l, 1, err));
        } while (rc > 0);
        s.v[s.n++] = qn_ms_since(t0) * 1e-3;
        qn_request_free(l.req);
        l.req = NULL;
    }
    double seconds = median(&s);
    b->answer = json_pack("{s:i, s:i, s:f, s:f}", "input_tokens", n_prompt,
                          "output_tokens", n_new, "seconds", seconds,
                          "throughput", n_new / seconds);
out:
    qn_request_free(l.req);
    qn_engine_free(e);
    return rc < 0 ? rc : 0;
}

/* ---- the whole ---------------------------------------------------------------- */

static void probe_all(bench *b, const char *when)
{
    char name[64];
    snprintf(name, sizeof name, "read probe %s", when);
    add_one(b, name, "GB/s", qn_probe_read(b->probe) * 1e-9);
    static const char *const kinds[QN_PROBE_N] = {"f32", "bf16", "int8"};
    for (int k = 0; k < QN_PROBE_N; k++) {
        double v = qn_probe_peak(b->probe, (qn_probe_kind)k);
        snprintf(name, sizeof name, "%s probe %s", kinds[k], when);
        if (v > 0)
            add_one(b, name, "Gop/s", v * 1e-9);
    }
}

static int cases(bench *b, qn_err *err)
{
    const qn_bench_params *p = b->p;
    QN_TRY(load(b, err));
    QN_TRY(qn_probe_new(&b->probe, b->pool, false, err));
    b->kind = qn_probe_bound(b->probe, b->kind);
    probe_all(b, "before");
    for (size_t i = 0; i < p->n_prefill; i++)
        QN_TRY(prefill(b, p->prefill[i], err));
    for (size_t i = 0; i < p->n_depths; i++)
        QN_TRY(decode(b, p->depths[i], 1, err));
    for (size_t i = 0; i < p->n_batches; i++)
        if (p->batches[i] > 1 || p->n_depths == 0)
            QN_TRY(
                decode(b, p->n_depths ? p->depths[0] : 0, p->batches[i], err));
    if (p->n_prefill > 0)
        QN_TRY(answer(b, p->prefill[0], p->n_tokens, err));
    probe_all(b, "after");
    return 0;
}

static int check_params(const qn_bench_params *p, qn_err *err)
{
    if (p->repeats < 1 || p->repeats > MAX_REPEATS || p->warmup < 0 ||
        p->warmup > MAX_REPEATS || p->n_tokens < 1)
        return qn_fail(err, QN_EINVAL,
                       "repeats %d, warm-up %d, tokens %d: use 1 to %d, 0 to "
                       "%d, 1 or more",
                       p->repeats, p->warmup, p->n_tokens, MAX_REPEATS,
                       MAX_REPEATS);
    for (size_t i = 0; i < p->n_prefill; i++)
        if (p->prefill[i] < 1)
            return qn_fail(err, QN_EINVAL, "a prompt of %d tokens",
                           (int)p->prefill[i]);
    for (size_t i = 0; i < p->n_depths; i++)
        if (p->depths[i] < 0)
            return qn_fail(err, QN_EINVAL, "a depth of %d", (int)p->depths[i]);
    for (size_t i = 0; i < p->n_batches; i++)
        if (p->batches[i] < 1 || p->batches[i] > MAX_BATCH)
            return qn_fail(err, QN_EINVAL, "a batch of %d: use 1 to %d",
                           (int)p->batches[i], MAX_BATCH);
    return 0;
}

static json_t *machine(void)
{
    char *text = NULL;
    json_t *o = NULL;
    if (qn_doctor(&text, NULL) == 0)
        qn_json_parse(&o, text, strlen(text), "doctor", NULL);
    qn_free(text);
    if (!o)
        return json_object();
    json_object_del(o, "backends");
    return o;
}

static json_t *model_of(const bench *b)
{
    static const char *const keys[] = {"path",    "container",  "family",
                                       "types",   "parameters", "weight_bytes",
                                       "threads", "hparams"};
    json_t *o = json_object();
    for (size_t i = 0; i < QN_COUNTOF(keys); i++) {
        json_t *v = json_object_get(b->info, keys[i]);
        if (v)
            json_object_set(o, keys[i], v);
    }
    return o;
}

int qn_bench_run(json_t **out, const qn_bench_params *p, qn_err *err)
{
    bench b = {.p = p};
    char date[32];
    time_t now = time(NULL);
    struct tm tm;
    QN_TRY(check_params(p, err));
    QN_TRY(qn_pool_new(&b.pool, p->model.n_threads, err));
    b.results = json_array();
    int rc = cases(&b, err);
    if (rc == 0) {
        gmtime_r(&now, &tm);
        strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", &tm);
        *out = json_pack("{s:s, s:s, s:o, s:o, s:{s:i, s:i, s:i}, s:O}",
                         "quern", qn_version(), "date", date, "machine",
                         machine(), "model", model_of(&b), "params", "repeats",
                         p->repeats, "warmup", p->warmup, "tokens", p->n_tokens,
                         "results", b.results);
        if (b.answer)
            json_object_set(*out, "answer", b.answer);
    }
    json_decref(b.answer);
    json_decref(b.results);
    json_decref(b.info);
    qn_model_close(b.model);
    qn_probe_free(b.probe);
    qn_pool_free(b.pool);
    return rc;
}
