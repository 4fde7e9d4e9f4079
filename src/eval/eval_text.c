/* eval_text.c - perplexity of a text, and divergence from a base model.
 *
 * Model and base (another model, or a file of its logits) are two streams of
 * rows in one order. Rows that both have are compared on all threads, each
 * into its own place of the positions; everything that is reported is then
 * computed from those. */
#include "eval/eval.h"
#include "eval/eval_int.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/str.h"
#include "engine/parts.h"
#include "eval/logits_file.h"
#include "eval/position.h"
#include "eval/score.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Where rows come from: a scorer or a file. */
typedef struct stream {
    qn_scorer *scorer;
    qn_logits_reader *file;
    const float *rows;
    int64_t n; /* rows that are left */
} stream;

typedef struct text_run {
    const qn_eval_text_params *p;
    qn_corpus corpus;
    qn_score_seq *seqs; /* one for each window */
    int32_t *with_bos;  /* ids of windows that begin with corpus.bos */
    int32_t *next;      /* [n_scored] the token that a row is about */
    qn_position *at;    /* [n_scored] */
    size_t done;        /* positions */
    int n_vocab;
    stream model, base;
    qn_logits_writer *saved;
    qn_pool *pool;
    json_t *model_info, *base_info; /* base_info NULL: no base */
    double seconds;
} text_run;

/* ---- what is read ---------------------------------------------------------- */

/* A window as a sequence of which all tokens but the last are fed. */
static int make_seqs(text_run *t, qn_err *err)
{
    const qn_corpus *c = &t->corpus;
    size_t bos = c->bos >= 0, total = 0;
    t->seqs = qn_alloc(c->windows.n, sizeof *t->seqs);
    t->next = qn_alloc(c->n_scored, sizeof *t->next);
    t->at = qn_alloc(c->n_scored, sizeof *t->at);
    for (size_t i = 0; i < c->windows.n && bos; i++)
        total += (size_t)c->windows.v[i].n + 1;
    t->with_bos = qn_alloc(total, sizeof *t->with_bos);
    if (!t->seqs || !t->next || !t->at || !t->with_bos)
        return qn_fail(err, QN_ENOMEM, "%s: %zu positions are too many",
                       t->p->text.path, c->n_scored);
    int32_t *own = t->with_bos, *next = t->next;
    for (size_t i = 0; i < c->windows.n; i++) {
        const qn_window *w = &c->windows.v[i];
        const int32_t *ids = c->ids.v + w->at;
        int len = w->n + (int)bos;
        if (bos) {
            own[0] = c->bos;
            memcpy(own + 1, ids, (size_t)w->n * sizeof *ids);
            ids = own;
            own += len;
        }
        t->seqs[i] = (qn_score_seq){.ids = ids,
                                    .n = len - 1,
                                    .from = len - 1 - w->n_scored,
                                    .rope_len = len};
        for (int k = len - w->n_scored; k < len; k++)
            *next++ = ids[k];
    }
    return 0;
}

/* ---- rows ------------------------------------------------------------------- */

static int open_scorer(text_run *t, stream *s, const qn_model *m, qn_err *err)
{
    int longest = 0;
    for (size_t i = 0; i < t->corpus.windows.n; i++)
        longest = QN_MAX(longest, t->seqs[i].n);
    QN_TRY(qn_scorer_new(&s->scorer, m, longest, t->p->kv, err));
    return qn_scorer_begin(s->scorer, t->seqs, t->corpus.windows.n, err);
}

/* Makes sure that rows are left. */
static int refill(stream *s, qn_err *err)
{
    int n = 0;
    if (s->n > 0)
        return 0;
    int rc = s->file ? qn_logits_reader_step(s->file, &s->rows, &n, err)
                     : qn_scorer_step(s->scorer, &s->rows, &n, err);
    s->n = n;
    if (rc == 0)
        rc = qn_fail(err, QN_EINTERNAL, "logits end too early");
    return rc < 0 ? rc : 0;
}

typedef struct row_job {
    text_run *t;
    const float *rows, *base;
    int n;
} row_job;

static void row_thread(void *arg, int thread, int n_threads)
{
    (void)thread;
    (void)n_threads;
    row_job *j = arg;
    size_t v = (size_t)j->t->n_vocab;
    for (int64_t i; (i = qn_pool_next(j->t->pool)) < j->n;) {
        const float *row = j->rows + (size_t)i * v;
        qn_position *at = &j->t->at[j->t->done + (size_t)i];
        int32_t next = j->t->next[j->t->done + (size_t)i];
        if (j->base)
            qn_position_beside(at, row, j->base + (size_t)i * v, j->t->n_vocab,
                               next);
        else
            qn_position_of(at, row, j->t->n_vocab, next);
    }
}

static int check_numbers(const text_run *t, int n, qn_err *err)
{
    for (size_t i = t->done; i < t->done + (size_t)n; i++) {
        const qn_position *at = &t->at[i];
        if (isfinite(at->nll) && isfinite(at->base_nll) && isfinite(at->kl))
            continue;
        bool base = t->base_info && isfinite(at->nll);
        return qn_fail(err, QN_EFORMAT,
                       "%s: the logits of the %s at scored position %zu (token "
                       "%d) give no probability: is the checkpoint damaged?",
                       t->p->text.path, base ? "base" : "model", i,
                       (int)t->next[i]);
    }
    return 0;
}

static void consume(stream *s, int n, int n_vocab)
{
    s->rows += (size_t)n * (size_t)n_vocab;
    s->n -= n;
}

static int measure(text_run *t, qn_err *err)
{
    bool base = t->base_info != NULL;
    size_t n_all = t->corpus.n_scored;
    while (t->done < n_all) {
        QN_TRY(refill(&t->model, err));
        if (base)
            QN_TRY(refill(&t->base, err));
        int n = (int)(base ? QN_MIN(t->model.n, t->base.n) : t->model.n);
        row_job j = {t, t->model.rows, base ? t->base.rows : NULL, n};
        qn_pool_run(t->pool, row_thread, &j);
        QN_TRY(check_numbers(t, n, err));
        if (t->saved)
            QN_TRY(qn_logits_writer_add(t->saved, t->model.rows, n, err));
        if (t->p->keep && t->p->keep->v)
            memcpy(t->p->keep->v + t->done * (size_t)t->n_vocab, t->model.rows,
                   (size_t)n * (size_t)t->n_vocab * sizeof(float));
        consume(&t->model, n, t->n_vocab);
        if (base)
            consume(&t->base, n, t->n_vocab);
        t->done += (size_t)n;
        if (t->p->progress &&
            !t->p->progress(t->p->progress_user, t->done, n_all))
            return qn_fail(err, QN_ECANCEL, "interrupted");
    }
    return 0;
}

/* ---- kept rows ---------------------------------------------------------------- */

static uint64_t hash_of_next(const text_run *t)
{
    return qn_fnv(QN_FNV_BASIS, t->next, t->corpus.n_scored * sizeof *t->next);
}

static size_t rows_bytes(const qn_eval_rows *r)
{
    return r->n * (size_t)r->n_vocab * sizeof *r->v;
}

static int make_room(const text_run *t, qn_err *err)
{
    qn_eval_rows *r = t->p->keep;
    void *v = NULL;
    *r = (qn_eval_rows){.n = t->corpus.n_scored,
                        .n_vocab = t->n_vocab,
                        .tokens = hash_of_next(t),
                        .model = json_incref(t->model_info)};
    if (rows_bytes(r) > qn_mem_available() / 3)
        return 0;
    QN_TRY(qn_big_alloc(&v, rows_bytes(r), QN_MEM_LOGITS, err));
    r->v = v;
    return 0;
}

void qn_eval_rows_free(qn_eval_rows *r)
{
    if (r->v)
        qn_big_free(r->v, rows_bytes(r), QN_MEM_LOGITS);
    json_decref(r->model);
    *r = (qn_eval_rows){0};
}

static int use_rows(text_run *t, qn_err *err)
{
    const qn_eval_rows *r = t->p->base_rows;
    if (r->n != t->corpus.n_scored || r->n_vocab != t->n_vocab ||
        r->tokens != hash_of_next(t))
        return qn_fail(err, QN_EINVAL,
                       "%s has another vocabulary than the base %s: only "
                       "models of one vocabulary can be compared",
                       qn_model_path(t->p->model),
                       json_string_value(json_object_get(r->model, "path")));
    t->base.rows = r->v;
    t->base.n = (int64_t)r->n;
    t->base_info = json_incref(r->model);
    return 0;
}

/* ---- the base --------------------------------------------------------------- */

static int same_vocabulary(const text_run *t, qn_err *err)
{
    const qn_tok *a, *b;
    int n = qn_model_n_vocab(t->p->base);
    QN_TRY(qn_model_tok(t->p->model, &a, err));
    QN_TRY(qn_model_tok(t->p->base, &b, err));
    if (n != t->n_vocab)
        return qn_fail(err, QN_EINVAL,
                       "%s has a vocabulary of %d, the base %s of %d: only "
                       "models of one vocabulary can be compared",
                       qn_model_path(t->p->model), t->n_vocab,
                       qn_model_path(t->p->base), n);
    if (qn_eval_tokenizer_hash(a) != qn_eval_tokenizer_hash(b))
        return qn_fail(err, QN_EINVAL,
                       "%s and the base %s spell their tokens differently: "
                       "only models of one vocabulary can be compared",
                       qn_model_path(t->p->model), qn_model_path(t->p->base));
    return 0;
}

static int open_base(text_run *t, qn_err *err)
{
    const qn_eval_text_params *p = t->p;
    if (p->base && p->base_logits)
        return qn_fail(err, QN_EINVAL,
                       "a base model and a file of its logits: give one");
    if (p->base) {
        QN_TRY(same_vocabulary(t, err));
        QN_TRY(qn_eval_model(&t->base_info, p->base, err));
        return open_scorer(t, &t->base, p->base, err);
    }
    if (p->base_rows)
        return use_rows(t, err);
    if (!p->base_logits)
        return 0;
    QN_TRY(qn_logits_reader_new(&t->base.file, p->base_logits, &t->corpus,
                                t->n_vocab, err));
    t->base_info = json_object();
    json_object_update(t->base_info,
                       (json_t *)(uintptr_t)qn_logits_reader_model(
                           t->base.file));
    json_object_set_new(t->base_info, "logits", json_string(p->base_logits));
    return 0;
}

/* ---- the report -------------------------------------------------------------- */

typedef double (*value_fn)(const qn_position *at);

static double nll_of(const qn_position *at)
{
    return at->nll;
}
static double base_nll_of(const qn_position *at)
{
    return at->base_nll;
}
static double more_nll_of(const qn_position *at)
{
    return at->nll - at->base_nll;
}
static double kl_of(const qn_position *at)
{
    return at->kl;
}
static double dp_of(const qn_position *at)
{
    return (double)at->dp;
}
static double hit_of(const qn_position *at)
{
    return at->hit;
}
static double same_top_of(const qn_position *at)
{
    return at->same_top;
}
static double same_top5_of(const qn_position *at)
{
    return at->same_top5 / (double)QN_EVAL_TOP;
}

static void gather(const text_run *t, value_fn fn, double *x)
{
    for (size_t i = 0; i < t->done; i++)
        x[i] = fn(&t->at[i]);
}

static qn_estimate estimate(const text_run *t, value_fn fn, double *x)
{
    gather(t, fn, x);
    return qn_mean_estimate(x, t->done);
}

static json_t *summary(const text_run *t, value_fn fn, double *x)
{
    qn_summary s;
    gather(t, fn, x);
    qn_summarize(&s, x, t->done);
    return qn_summary_json(&s);
}

static double to_perplexity(double nll)
{
    return fmin(exp(nll), DBL_MAX); /* JSON has no infinity */
}

static json_t *exp_json(qn_estimate e)
{
    return qn_estimate_json((qn_estimate){to_perplexity(e.value),
                                          to_perplexity(e.lo),
                                          to_perplexity(e.hi)});
}

static json_t *text_json(const text_run *t)
{
    const qn_corpus *c = &t->corpus;
    return json_pack("{s:s, s:I, s:o, s:I, s:I, s:I, s:I, s:I, s:I}", "path",
                     t->p->text.path, "bytes", (json_int_t)c->n_bytes, "hash",
                     qn_eval_hex(c->hash), "documents", (json_int_t)c->docs.n,
                     "tokens", (json_int_t)c->ids.n, "windows",
                     (json_int_t)c->windows.n, "context",
                     (json_int_t)c->context, "stride", (json_int_t)c->stride,
                     "scored", (json_int_t)c->n_scored);
}

static void set(json_t *o, const char *key, json_t *v)
{
    json_object_set_new(o, key, v);
}

static void report_base(const text_run *t, json_t *o, double *x)
{
    set(o, "base", json_incref(t->base_info));
    set(o, "base_nll", summary(t, base_nll_of, x));
    set(o, "base_perplexity", exp_json(estimate(t, base_nll_of, x)));
    set(o, "perplexity_ratio", exp_json(estimate(t, more_nll_of, x)));
    set(o, "kl", summary(t, kl_of, x));
    set(o, "delta_p", summary(t, dp_of, x));
    set(o, "top1_agreement", qn_estimate_json(estimate(t, same_top_of, x)));
    set(o, "top5_agreement", qn_estimate_json(estimate(t, same_top5_of, x)));
}

static int make_report(const text_run *t, json_t **report, qn_err *err)
{
    static const char *const bos_names[] = {"auto", "none", "each"};
    double *x = qn_alloc(t->done, sizeof *x);
    if (!x)
        return qn_fail(err, QN_ENOMEM, "%zu positions are too many", t->done);
    json_t *o = json_object();
    set(o, "kind", json_string("text"));
    qn_eval_stamp(o);
    set(o, "model", json_incref(t->model_info));
    set(o, "text", text_json(t));
    set(o, "bos", json_string(bos_names[t->p->text.bos]));
    set(o, "nll", summary(t, nll_of, x));
    set(o, "perplexity", exp_json(estimate(t, nll_of, x)));
    set(o, "accuracy", qn_estimate_json(estimate(t, hit_of, x)));
    if (t->base_info)
        report_base(t, o, x);
    set(o, "seconds", json_real(t->seconds));
    double fed = (double)qn_scorer_n_computed(t->model.scorer);
    set(o, "tokens_per_second",
        json_real(t->seconds > 0 ? fed / t->seconds : 0));
    qn_free(x);
    *report = o;
    return 0;
}

/* One line for each scored position, in the order of the text. */
static int write_positions(const text_run *t, qn_err *err)
{
    qn_str s = {0};
    qn_str_addf(&s, "position,token,nll,hit%s\n",
                t->base_info ? ",base_nll,kl,delta_p,same_top,same_top5" : "");
    for (size_t i = 0; i < t->done; i++) {
        const qn_position *at = &t->at[i];
        qn_str_addf(&s, "%zu,%d,%.9g,%d", i, (int)t->next[i], at->nll, at->hit);
        if (t->base_info)
            qn_str_addf(&s, ",%.9g,%.9g,%.6g,%d,%d", at->base_nll, at->kl,
                        (double)at->dp, at->same_top, at->same_top5);
        qn_str_addc(&s, '\n');
    }
    int rc = qn_file_write(t->p->positions, s.p, s.n, err); /* all or nothing */
    qn_str_deinit(&s);
    return rc;
}

/* ---- all of it ---------------------------------------------------------------- */

static int run(text_run *t, json_t **report, qn_err *err)
{
    const qn_eval_text_params *p = t->p;
    int rc = qn_eval_check_ids(t->corpus.ids.v, t->corpus.ids.n, t->n_vocab,
                               err);
    if (rc < 0)
        return qn_err_prefix(err, rc, "%s", p->text.path);
    QN_TRY(make_seqs(t, err));
    QN_TRY(open_scorer(t, &t->model, p->model, err));
    QN_TRY(open_base(t, err));
    QN_TRY(qn_pool_new(&t->pool, p->n_threads, err));
    if (p->save_logits)
        QN_TRY(qn_logits_writer_new(&t->saved, p->save_logits, &t->corpus,
                                    t->n_vocab, t->model_info, err));
    if (p->keep)
        QN_TRY(make_room(t, err));
    uint64_t t0 = qn_now_ns();
    QN_TRY(measure(t, err));
    t->seconds = qn_ms_since(t0) * 1e-3;
    if (t->saved)
        QN_TRY(qn_logits_writer_finish(t->saved, err));
    if (p->positions)
        QN_TRY(write_positions(t, err));
    return make_report(t, report, err);
}

int qn_eval_text(json_t **report, const qn_eval_text_params *p, qn_err *err)
{
    text_run t = {.p = p, .n_vocab = qn_model_n_vocab(p->model)};
    const qn_tok *tok;
    qn_corpus_params text = p->text;
    int64_t limit = qn_net_max_positions(qn_model_net(p->model));
    text.default_context = QN_MIN(qn_model_n_ctx_train(p->model), limit);
    text.default_context = QN_MIN(text.default_context, (int64_t)2048);
    QN_TRY(qn_model_tok(p->model, &tok, err));
    QN_TRY(qn_eval_model(&t.model_info, p->model, err));
    int rc = qn_corpus_read(&t.corpus, tok, &text, err);
    if (rc == 0) {
        rc = run(&t, report, err);
        qn_corpus_deinit(&t.corpus);
    }
    qn_logits_writer_free(t.saved);
    qn_scorer_free(t.model.scorer);
    qn_scorer_free(t.base.scorer);
    qn_logits_reader_free(t.base.file);
    qn_pool_free(t.pool);
    json_decref(t.model_info);
    json_decref(t.base_info);
    qn_free(t.seqs);
    qn_free(t.with_bos);
    qn_free(t.next);
    qn_free(t.at);
    return rc;
}
