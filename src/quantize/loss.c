/* loss.c - see loss.h. */
#include "quantize/loss.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "engine/vocab.h"
#include "quantize/acts.h"
#include "quantize/calibrate.h"
#include "quantize/divergence.h"
#include "quantize/loss_text_tab.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    CONTEXT = 128
};
#define TEXT_MAX ((size_t)64 << 20)
/* Times as many tokens for a byte of it. Vocabularies of large models: 0.91 to
 * 1.03; of stories260K and of the built-in model: 1.08 and 1.19. */
#define FOREIGN 1.06

/* What a network says of a row. */
typedef struct said {
    float best;   /* the largest logit so far, */
    int which;    /* and whose it is           */
    float target; /* of the token that comes   */
} said;

typedef struct loss_ctx {
    qn_optimize_params p; /* with the tokens as the text */
    const char *text;     /* its name */
    qn_tok_ids ids;
    int n_vocab;
    int64_t n_sample, len;
    qn_pool *pool;
    /* [n_sample * len]; the last position of a sample is not scored */
    qn_acts base; /* logits of the source [n_sample * len, n_vocab] */
    qn_kl_base *own;
    qn_kl_sum *sum;
    said *said[2]; /* before, after */
} loss_ctx;

/* ---- tokens -------------------------------------------------------------- */

static int encode(const qn_tok *tok, const char *text, size_t n,
                  qn_tok_ids *ids, qn_err *err)
{
    return qn_tok_encode(tok, text, n, 0, ids, NULL, err);
}

/* The built-in text; or the story, where the vocabulary cuts the text into so
 * many more tokens that it was made for stories, and so was the model. */
static int encode_own(loss_ctx *c, const qn_tok *tok, qn_err *err)
{
    qn_tok_ids story = {0};
    size_t n_text = sizeof loss_text - 1, n_story = sizeof loss_story - 1;
    c->text = "built-in text";
    int rc = encode(tok, loss_text, n_text, &c->ids, err);
    if (rc == QN_OK)
        rc = encode(tok, loss_story, n_story, &story, err);
    double text_cut = (double)c->ids.n / (double)n_text;
    if (rc == QN_OK && text_cut > FOREIGN * (double)story.n / (double)n_story) {
        qn_tok_ids t = c->ids;
        c->ids = story;
        story = t;
        c->text = "built-in story";
    }
    qn_vec_deinit(&story);
    return rc;
}

static int encode_file(loss_ctx *c, const qn_tok *tok, qn_err *err)
{
    char *text = NULL;
    size_t n;
    c->text = c->p.report_text;
    QN_TRY(qn_file_slurp(&text, &n, c->text, TEXT_MAX, err));
    int rc = encode(tok, text, n, &c->ids, err);
    qn_free(text);
    return rc;
}

static int read_tokens(loss_ctx *c, const qn_ckpt *ck, qn_err *err)
{
    qn_tok *tok = NULL;
    int rc = qn_vocab_open(&tok, ck, err);
    if (rc == QN_OK)
        rc = c->p.report_text ? encode_file(c, tok, err)
                              : encode_own(c, tok, err);
    qn_tok_close(tok);
    qn_mem_trim();
    QN_TRY(rc);
    int most = c->p.report_tokens;
    c->p.calibration = NULL;
    c->p.calibration_ids = c->ids.v;
    c->p.n_calibration_ids = QN_MIN(c->ids.n, (size_t)most);
    c->p.n_samples = QN_MAX(most / CONTEXT, 1);
    c->p.n_context = QN_MIN(most, CONTEXT);
    return QN_OK;
}

/* ---- rows of logits ------------------------------------------------------ */

/* Logits [from, from + n) of the vocabulary, of the rows of a sample. */
typedef struct row_job {
    const loss_ctx *c;
    const float *logits; /* [len, n] */
    int64_t sample, from, n;
    const int32_t *tokens;
    bool after;
} row_job;

static void one_row(const row_job *j, int64_t r)
{
    const loss_ctx *c = j->c;
    int64_t at = j->sample * c->len + r, next = j->tokens[r + 1] - j->from;
    const float *x = j->logits + r * j->n;
    said *s = &c->said[j->after][at];
    if (j->from == 0)
        *s = (said){.best = x[0]};
    for (int64_t i = 0; i < j->n; i++)
        if (x[i] > s->best) {
            s->best = x[i];
            s->which = (int)(j->from + i);
        }
    if (next >= 0 && next < j->n)
        s->target = x[next];
    if (!j->after)
        memcpy(c->base.v + at * c->n_vocab + j->from, x,
               (size_t)j->n * sizeof *x);
}

static void row_thread(void *arg, int thread, int n_threads)
{
    const row_job *j = arg;
    int64_t begin, end;
    qn_pool_split(j->c->len - 1, 1, thread, n_threads, &begin, &end);
    for (int64_t r = begin; r < end; r++)
        one_row(j, r);
}

/* ---- a network ----------------------------------------------------------- */

static int make_room(loss_ctx *c, qn_cal *cal, qn_err *err)
{
    qn_cal_samples(cal, &c->n_sample, &c->len);
    c->n_vocab = qn_net_hparams(qn_cal_net(cal))->n_vocab;
    size_t n = (size_t)(c->n_sample * c->len);
    for (int i = 0; i < 2; i++)
        c->said[i] = qn_xcalloc(n, sizeof *c->said[i]);
    c->own = qn_xcalloc(n, sizeof *c->own);
    c->sum = qn_xcalloc(n, sizeof *c->sum);
    return qn_acts_new(&c->base, n, (size_t)c->n_vocab)
               ? QN_OK
               : qn_fail(err, QN_ENOMEM, "no memory for %zu rows of logits", n);
}

/* All layers, one after the other, up to where logits can be had. */
static int read_layers(qn_cal *cal, const qn_watch *watch, qn_err *err)
{
    int n = qn_cal_n_stages(cal);
    if (!qn_net_is_chain(qn_cal_net(cal)))
        return QN_OK;
    for (int s = 0; s < n; s++) {
        qn_watch in = qn_watch_part(watch, (double)s / n, (s + 1.0) / n);
        QN_TRY(qn_cal_load(cal, s, err));
        QN_TRY(qn_cal_run(cal, 0, true, &in, err));
    }
    return QN_OK;
}

/* weight [len, n], of the output alone. */
static int read_sample(loss_ctx *c, qn_cal *cal, row_job *j, float *weight,
                       qn_err *err)
{
    size_t n;
    const float *h = qn_cal_stream(cal, &n);
    h += (size_t)j->sample * (n / (size_t)c->n_sample);
    j->tokens = qn_cal_tokens(cal, (int)j->sample);
    QN_TRY(qn_cal_head(cal, (int)j->sample, h, &j->logits, err));
    qn_pool_run(c->pool, row_thread, j);
    if (!j->after)
        return QN_OK;
    int64_t row = j->sample * c->len;
    qn_kl_piece piece = {.base = c->base.v + row * c->n_vocab + j->from,
                         .weight = weight,
                         .ld = c->n_vocab,
                         .n_row = c->len - 1,
                         .n = (int)j->n,
                         .sum = c->own + row};
    qn_kl_weigh(c->pool, &piece);
    qn_kl_add(c->pool, &piece, j->logits, c->sum + row);
    return QN_OK;
}

/* All samples, for a piece of the vocabulary. */
static int read_piece(loss_ctx *c, qn_cal *cal, row_job *j, qn_err *err)
{
    size_t n = j->after ? (size_t)(c->len * j->n) : 0;
    qn_acts weight = {0};
    int rc = qn_acts_new(&weight, n, 1)
                 ? QN_OK
                 : qn_fail(err, QN_ENOMEM, "no memory for %zu weights", n);
    for (j->sample = 0; j->sample < c->n_sample && rc == QN_OK; j->sample++)
        rc = read_sample(c, cal, j, weight.v, err);
    qn_acts_free(&weight);
    return rc;
}

static int read_net(loss_ctx *c, qn_cal *cal, bool after, const qn_watch *watch,
                    qn_err *err)
{
    row_job j = {.c = c, .after = after};
    if (after && qn_net_hparams(qn_cal_net(cal))->n_vocab != c->n_vocab)
        return qn_fail(err, QN_EINTERNAL, "the output has other tokens");
    QN_TRY(read_layers(cal, watch, err));
    if (!after)
        QN_TRY(make_room(c, cal, err));
    for (; j.from < c->n_vocab; j.from += j.n) {
        QN_TRY(qn_cal_load_head(cal, j.from, &j.n, err));
        QN_TRY(read_piece(c, cal, &j, err));
    }
    return QN_OK;
}

static int read_ckpt(loss_ctx *c, const qn_ckpt *ck, bool after,
                     const qn_watch *watch, qn_err *err)
{
    qn_cal *cal = NULL;
    int rc = qn_cal_open(&cal, &c->p, ck, QN_CAL_USUAL, err);
    if (rc == QN_OK) {
        c->pool = qn_cal_backend(cal)->api->pool(qn_cal_backend(cal));
        rc = read_net(c, cal, after, watch, err);
    }
    qn_cal_close(cal);
    return rc;
}

/* ---- the report ---------------------------------------------------------- */

static json_t *report(const loss_ctx *c, double seconds)
{
    int64_t scored = c->n_sample * (c->len - 1), agree = 0;
    double nll[2] = {0}, kl = 0, n = (double)scored;
    for (int64_t i = 0; i < c->n_sample * c->len; i++) {
        const said *s[2] = {&c->said[0][i], &c->said[1][i]};
        if (i % c->len == c->len - 1)
            continue;
        nll[0] += qn_kl_log_sum(&c->own[i]) - (double)s[0]->target;
        nll[1] += qn_kl_log_sum_other(&c->own[i], &c->sum[i]) -
                  (double)s[1]->target;
        kl += qn_kl_of(&c->own[i], &c->sum[i]);
        agree += s[0]->which == s[1]->which;
    }
    return json_pack("{s:s, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:f}", "text",
                     c->text, "tokens", (json_int_t)(c->n_sample * c->len),
                     "scored", (json_int_t)scored, "context",
                     (json_int_t)c->len, "perplexity_before", exp(nll[0] / n),
                     "perplexity_after", exp(nll[1] / n), "kl_divergence",
                     kl / n, "top1_agreement", (double)agree / n, "seconds",
                     seconds);
}

static int measure(loss_ctx *c, const qn_ckpt *source, const char *path,
                   const qn_watch *watch, qn_err *err)
{
    qn_ckpt *ck = NULL;
    qn_watch in = qn_watch_part(watch, 0, 0.6);
    QN_TRY(read_tokens(c, source, err));
    QN_TRY(read_ckpt(c, source, false, &in, err));
    in = qn_watch_part(watch, 0.6, 1);
    int rc = qn_ckpt_open(&ck, path, err);
    if (rc == QN_OK)
        rc = read_ckpt(c, ck, true, &in, err);
    qn_ckpt_close(ck);
    return rc;
}

int qn_loss_measure(json_t **out, const qn_optimize_params *p,
                    const qn_ckpt *source, const char *path,
                    const qn_watch *watch, qn_err *err)
{
    uint64_t t0 = qn_now_ns();
    loss_ctx c = {.p = *p};
    qn_err e = {0};
    int rc = measure(&c, source, path, watch, &e);
    if (rc == QN_OK)
        *out = report(&c, qn_ms_since(t0) * 1e-3);
    else
        *out = json_pack("{s:s}", "failed",
                         rc == QN_ENOENT ? "there is no tokenizer" : e.msg);
    qn_vec_deinit(&c.ids);
    qn_acts_free(&c.base);
    free(c.own);
    free(c.sum);
    free(c.said[0]);
    free(c.said[1]);
    if (rc != QN_ECANCEL)
        return QN_OK;
    if (err)
        *err = e;
    return rc;
}
