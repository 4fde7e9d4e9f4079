/* sensitivity.c - see sensitivity.h. */
#include "quantize/sensitivity.h"

#include "base/clock.h"
#include "base/compiler.h"
#include "base/log.h"
#include "base/mem.h"
#include "quantize/acts.h"
#include "quantize/divergence.h"
#include "quantize/streams.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STREAMS_NAME ".streams-%d" /* before that layer */

struct qn_sensitivity {
    qn_optimize_params few;
    const qn_ckpt *ck;
    qn_cal *cal;
    qn_net *net;
    qn_pool *pool;
    int64_t n_sample, len;
    int n_layer, n_vocab;
    size_t d_model, size; /* numbers of a stream: [n_sample, len, d_model] */
    double head_cost;     /* of the head's work for a stream; a layer's is 1 */
};

typedef struct sweep {
    const qn_sensitivity *p;
    const qn_sensitivity_work *w;
    const qn_watch *watch;
    size_t *order; /* changes by layer; change order[k] has stream k + 1 */
    int *tokens, *pos;
    int32_t *pages; /* [n_sample, n_page] */
    qn_span *spans;
    int n_page;
    qn_pass *pass;
    qn_streams from, to;
    int saved; /* the layer whose file the state names; -1: none */
    qn_acts h, own;
    /* of a piece of the vocabulary [n_sample * len, n] */
    qn_acts base, weight;
    qn_kl_base *own_sum; /* [n_sample * len] */
    qn_kl_sum *sum;      /* [changes, n_sample * len], in their order */
    double done, all;
    qn_err *err;
} sweep;

/* ---- opening ------------------------------------------------------------- */

static uint64_t n_weights(const qn_ckpt *ck)
{
    uint64_t n = 0;
    for (size_t i = 0; i < qn_ckpt_n_tensors(ck); i++)
        n += qn_ckpt_tensor(ck, i)->n_elems;
    return n;
}

static int probe_open(qn_sensitivity *p, qn_err *err)
{
    uint64_t all = n_weights(p->ck);
    QN_TRY(qn_cal_open(&p->cal, &p->few, p->ck,
                       all < QN_SENSITIVITY_LARGE ? QN_CAL_EXACT : QN_CAL_USUAL,
                       err));
    p->pool = qn_cal_backend(p->cal)->api->pool(qn_cal_backend(p->cal));
    p->net = qn_cal_net(p->cal);
    const qn_hparams *hp = qn_net_hparams(p->net);
    qn_cal_samples(p->cal, &p->n_sample, &p->len);
    p->n_layer = hp->n_layer;
    p->n_vocab = hp->n_vocab;
    p->d_model = (size_t)hp->d_model;
    p->size = (size_t)(p->n_sample * p->len) * p->d_model;
    double head = (double)p->n_vocab * (double)p->d_model;
    double rest = (double)all - head * (hp->tied ? 1 : 2);
    p->head_cost = rest > 0 ? head * p->n_layer / rest : 1;
    return QN_OK;
}

int qn_sensitivity_open(qn_sensitivity **out, const qn_optimize_params *params,
                        const qn_ckpt *ck, qn_err *err)
{
    qn_sensitivity *p = *out = qn_xcalloc(1, sizeof *p);
    p->ck = ck;
    p->few = *params;
    p->few.n_samples = QN_SENSITIVITY_SAMPLES;
    p->few.n_context = QN_SENSITIVITY_SAMPLE_TOKENS;
    return probe_open(p, err);
}

void qn_sensitivity_close(qn_sensitivity *p)
{
    if (!p)
        return;
    qn_cal_close(p->cal);
    qn_free(p);
}

qn_net *qn_sensitivity_net(const qn_sensitivity *p)
{
    return p->net;
}

qn_pool *qn_sensitivity_pool(const qn_sensitivity *p)
{
    return p->pool;
}

/* ---- what lies in files -------------------------------------------------- */

static char *streams_path(const qn_outdir *out, int layer)
{
    char name[40];
    snprintf(name, sizeof name, STREAMS_NAME, layer);
    return qn_outdir_file(out, name);
}

static void drop_streams(const qn_outdir *out, int layer)
{
    char name[40];
    snprintf(name, sizeof name, STREAMS_NAME, layer);
    qn_outdir_remove(out, name);
}

void qn_sensitivity_clear(const qn_outdir *out, int n_layer)
{
    for (int i = 0; i <= n_layer; i++)
        drop_streams(out, i);
}

static const json_t *saved_in(const qn_resume *r)
{
    return json_object_get(r->state, "measured");
}

bool qn_sensitivity_saved(const qn_resume *r)
{
    return saved_in(r) != NULL;
}

double qn_sensitivity_resumed(const qn_resume *r)
{
    return json_number_value(json_object_get(saved_in(r), "part"));
}

/* The file before a layer: there to go on with. */
static int save(sweep *s, int layer)
{
    const qn_sensitivity_work *w = s->w;
    json_t *state = json_deep_copy(w->beside), *found = json_array();
    uint64_t hash = 0;
    for (size_t i = 0; i < w->n * (size_t)w->n_found; i++)
        json_array_append_new(found, json_real(w->found[i]));
    int rc = qn_streams_sync(&s->to, &hash, s->err);
    json_object_set_new(state, "measured",
                        json_pack("{s:i, s:I, s:f, s:o}", "layer", layer,
                                  "hash", (json_int_t)hash, "part",
                                  s->done / s->all, "found", found));
    if (rc < 0) {
        json_decref(state);
        return rc;
    }
    QN_TRY(qn_resume_save(w->resume, state, s->err));
    if (s->saved >= 0 && s->saved != layer)
        drop_streams(w->resume->out, s->saved);
    s->saved = layer;
    return QN_OK;
}

/* Layer `layer` is done: what comes out of it goes into the next one. */
static int turn_over(sweep *s, int layer)
{
    const qn_resume *r = s->w->resume;
    qn_streams_close(&s->from);
    if (layer >= 0 && layer != s->saved)
        drop_streams(r->out, layer);
    if (qn_resume_due(r))
        QN_TRY(save(s, layer + 1));
    s->from = s->to;
    s->to = (qn_streams){0};
    return QN_OK;
}

static int open_next(sweep *s, int layer)
{
    char *path = streams_path(s->w->resume->out, layer);
    int rc = qn_streams_new(&s->to, path, s->p->size, s->err);
    qn_free(path);
    return rc;
}

/* What an earlier run left; *layer: the one to go on with. */
static int go_on(sweep *s, const json_t *state, int *layer)
{
    const qn_sensitivity_work *w = s->w;
    const json_t *found = json_object_get(state, "found");
    json_int_t at = json_integer_value(json_object_get(state, "layer"));
    json_int_t said = json_integer_value(json_object_get(state, "hash"));
    size_t n = w->n * (size_t)w->n_found;
    uint64_t hash = 0;
    if (at < 0 || at > s->p->n_layer || json_array_size(found) != n)
        return qn_fail(s->err, QN_EFORMAT,
                       "an earlier run left what is of another model");
    for (size_t i = 0; i < n; i++)
        w->found[i] = json_number_value(json_array_get(found, i));
    *layer = s->saved = (int)at;
    char *path = streams_path(w->resume->out, *layer);
    int rc = qn_hash_file(path, &hash, s->err);
    if (rc == QN_OK && hash != (uint64_t)said)
        rc = qn_fail(s->err, QN_EFORMAT,
                     "%s is not what the earlier run left; remove the folder "
                     "it lies in to begin anew",
                     path);
    if (rc == QN_OK)
        rc = qn_streams_open(&s->from, path, s->p->size, s->err);
    qn_free(path);
    return rc;
}

/* ---- a stream through a layer -------------------------------------------- */

/* All samples at once: many rows for each weight that is read. */
static qn_batch batch_of(const sweep *s, bool tokens)
{
    const qn_sensitivity *p = s->p;
    return (qn_batch){.n_row = (int)(p->n_sample * p->len),
                      .tokens = tokens ? s->tokens : NULL,
                      .pos = s->pos,
                      .n_span = (int)p->n_sample,
                      .spans = s->spans};
}

static int told(sweep *s, double cost)
{
    s->done += cost;
    return qn_watch_told(s->watch, s->done / s->all, "measuring", s->err);
}

/* s->h is run through the layer, and comes to lie in a file. */
static int run_on(sweep *s, int layer, size_t stream)
{
    qn_batch b = batch_of(s, false);
    QN_TRY(qn_pass_layers(s->pass, &b, layer, layer + 1, s->h.v, s->err));
    QN_TRY(qn_streams_put(&s->to, stream, s->h.v, s->err));
    return told(s, 1);
}

static int embed_to(sweep *s, size_t stream)
{
    qn_batch b = batch_of(s, true);
    QN_TRY(qn_pass_embed(s->pass, &b, s->h.v, s->err));
    return qn_streams_put(&s->to, stream, s->h.v, s->err);
}

/* Streams [1, result) are of changes before the layer. */
static size_t first_at(const sweep *s, int layer)
{
    size_t k = 0;
    while (k < s->w->n && s->w->place[s->order[k]].layer < layer)
        k++;
    return k;
}

/* The changes of a layer, or (-1) of the embeddings. */
static int run_changes(sweep *s, int layer)
{
    const qn_sensitivity_work *w = s->w;
    size_t end = first_at(s, layer + 1);
    for (size_t k = first_at(s, layer); k < end; k++) {
        QN_TRY(w->put(w->user, s->order[k], true, s->err));
        memcpy(s->h.v, s->own.v, s->p->size * sizeof *s->h.v);
        QN_TRY(layer < 0 ? embed_to(s, k + 1) : run_on(s, layer, k + 1));
        if (k + 1 < end)
            QN_TRY(w->put(w->user, s->order[k], false, s->err));
    }
    return QN_OK;
}

static int begin(sweep *s)
{
    QN_TRY(open_next(s, 0));
    QN_TRY(qn_cal_load_begin(s->p->cal, s->err));
    QN_TRY(embed_to(s, 0));
    QN_TRY(run_changes(s, -1));
    qn_net_drop_layer(s->p->net, -1);
    return turn_over(s, -1);
}

static int run_layer(sweep *s, int layer)
{
    const qn_sensitivity *p = s->p;
    size_t before = first_at(s, layer);
    uint64_t t0 = qn_now_ns();
    QN_TRY(open_next(s, layer + 1));
    QN_TRY(qn_net_load_layer(p->net, p->ck, layer, s->err));
    for (size_t k = 0; k <= before; k++) {
        QN_TRY(qn_streams_get(&s->from, k, 0, p->size, s->h.v, s->err));
        if (k == 0)
            memcpy(s->own.v, s->h.v, p->size * sizeof *s->h.v);
        QN_TRY(run_on(s, layer, k));
    }
    QN_TRY(run_changes(s, layer));
    qn_net_drop_layer(p->net, layer);
    qn_log(2, "layer %d: %zu streams and %zu changes, %.1f s", layer,
           before + 1, first_at(s, layer + 1) - before, qn_ms_since(t0) * 1e-3);
    return turn_over(s, layer);
}

/* ---- the end ------------------------------------------------------------- */

/* Logits of a sample: of a stream, or of the network as it is now. */
static int logits_of(sweep *s, int64_t sample, size_t stream, const float **out)
{
    const qn_sensitivity *p = s->p;
    size_t n = p->size / (size_t)p->n_sample;
    if (s->from.path)
        QN_TRY(qn_streams_get(&s->from, stream, (size_t)sample * n, n, s->h.v,
                              s->err));
    return qn_cal_head(p->cal, (int)sample, s->h.v, out, s->err);
}

/* What is loaded of the vocabulary, of a sample. */
static qn_kl_piece piece_of(const sweep *s, int64_t sample, int64_t n)
{
    int64_t row = sample * s->p->len;
    return (qn_kl_piece){.base = s->base.v + row * n,
                         .weight = s->weight.v + row * n,
                         .ld = n,
                         .n_row = s->p->len,
                         .n = (int)n,
                         .sum = s->own_sum + row};
}

/* The network's own logits. */
static int see_own(sweep *s, int64_t n, double cost)
{
    const qn_sensitivity *p = s->p;
    for (int64_t i = 0; i < p->n_sample; i++) {
        const float *logits;
        qn_kl_piece piece = piece_of(s, i, n);
        QN_TRY(logits_of(s, i, 0, &logits));
        memcpy(s->base.v + i * p->len * n, logits,
               (size_t)(p->len * n) * sizeof *logits);
        qn_kl_weigh(p->pool, &piece);
    }
    return told(s, cost);
}

/* Those of a change, which is made of what is loaded where its stream does not
 * say all. */
static int see_change(sweep *s, size_t k, int64_t n, double cost)
{
    const qn_sensitivity *p = s->p;
    const qn_sensitivity_work *w = s->w;
    size_t i = s->order[k], stream = w->place[i].layer < p->n_layer ? k + 1 : 0;
    bool here = !s->from.path || w->place[i].head;
    if (here)
        QN_TRY(w->put(w->user, i, true, s->err));
    for (int64_t m = 0; m < p->n_sample; m++) {
        const float *logits;
        qn_kl_piece piece = piece_of(s, m, n);
        QN_TRY(logits_of(s, m, stream, &logits));
        qn_kl_add(p->pool, &piece, logits,
                  s->sum + ((int64_t)k * p->n_sample + m) * p->len);
    }
    if (here)
        QN_TRY(w->put(w->user, i, false, s->err));
    return told(s, cost);
}

/* For pieces of n of the vocabulary. */
static int room_for_logits(sweep *s, int64_t n)
{
    size_t rows = (size_t)(s->p->n_sample * s->p->len);
    bool ok = qn_acts_new(&s->base, rows, (size_t)n) &&
              qn_acts_new(&s->weight, rows, (size_t)n);
    s->own_sum = qn_alloc(rows, sizeof *s->own_sum);
    s->sum = qn_alloc(rows, (s->w->n + 1) * sizeof *s->sum);
    if (ok && s->own_sum && s->sum)
        return QN_OK;
    return qn_fail(s->err, QN_ENOMEM, "no memory for the logits of %zu tokens",
                   rows);
}

/* Of few tokens a mean is that of the two or three which a change happens to
 * upset. The mean of the roots, which are as large as what was changed, is
 * steadier, so the sum of all means is shared out by its squares. KL of the
 * built-in model at 4.25 bits: by means of 1,024 tokens 0.00140, of 3,072
 * 0.00105; by roots of 512 0.00094, of 3,072 0.00093. */
static void set_divergence(const sweep *s)
{
    int64_t rows = s->p->n_sample * s->p->len;
    double means = 0, shares = 0;
    for (size_t k = 0; k < s->w->n; k++) {
        double *share = &s->w->kl[s->order[k]], root = 0;
        for (int64_t r = 0; r < rows; r++) {
            double kl = qn_kl_of(&s->own_sum[r],
                                 &s->sum[(int64_t)k * rows + r]);
            means += kl / (double)rows;
            root += sqrt(fmax(kl, 0)) / (double)rows;
        }
        *share = root * root;
        shares += *share;
    }
    for (size_t i = 0; i < s->w->n && shares > 0; i++)
        s->w->kl[i] *= means / shares;
}

/* cost: of all of the head's work for a change. */
static int run_head(sweep *s, double cost)
{
    int64_t n_vocab = s->p->n_vocab, n;
    uint64_t t0 = qn_now_ns();
    for (int64_t from = 0; from < n_vocab; from += n) {
        QN_TRY(qn_cal_load_head(s->p->cal, from, &n, s->err));
        if (from == 0)
            QN_TRY(room_for_logits(s, n));
        double part = cost * (double)n / (double)n_vocab;
        QN_TRY(see_own(s, n, part));
        for (size_t k = 0; k < s->w->n; k++)
            QN_TRY(see_change(s, k, n, part));
    }
    set_divergence(s);
    qn_log(2, "head: %.1f s", qn_ms_since(t0) * 1e-3);
    return QN_OK;
}

/* ---- all of it ----------------------------------------------------------- */

/* No chain: as a whole, with each change. */
static int run_whole(sweep *s)
{
    s->all = (double)s->w->n + 1;
    return run_head(s, 1);
}

static int new_pass(sweep *s)
{
    const qn_sensitivity *p = s->p;
    int n = (int)p->n_sample, len = (int)p->len;
    s->n_page = len / qn_cal_backend(p->cal)->api->page_tokens + 1;
    qn_pass_params pp = {.n_pages = {n * s->n_page, n * s->n_page},
                         .max_rows = n * len,
                         .max_out = 1,
                         .max_spans = n,
                         .n_slots = n,
                         .one_layer = true,
                         .kv_dtype = QN_KV_CELL_F32};
    s->tokens = qn_xcalloc((size_t)(n * len), sizeof *s->tokens);
    s->pos = qn_xcalloc((size_t)(n * len), sizeof *s->pos);
    s->pages = qn_xcalloc((size_t)(n * s->n_page), sizeof *s->pages);
    s->spans = qn_xcalloc((size_t)n, sizeof *s->spans);
    bool ok = qn_acts_new(&s->h, p->size, 1) &&
              qn_acts_new(&s->own, p->size, 1);
    for (int i = 0; i < n * len; i++) {
        s->tokens[i] = qn_cal_tokens(p->cal, i / len)[i % len];
        s->pos[i] = i % len;
    }
    for (int i = 0; i < n * s->n_page; i++)
        s->pages[i] = i;
    for (int i = 0; i < n; i++) {
        int32_t *pages = s->pages + i * s->n_page;
        s->spans[i] = (qn_span){.row0 = i * len,
                                .n_row = len,
                                .rope_len = len,
                                .pages = {pages, pages},
                                .state_slot = i};
    }
    if (!ok)
        return qn_fail(s->err, QN_ENOMEM, "no memory for %d tokens", n * len);
    return qn_pass_new(&s->pass, p->net, &pp, s->err);
}

/* The work, as layers that a stream is run through. */
static void count(sweep *s, int from)
{
    const qn_sensitivity *p = s->p;
    for (int i = 0; i < p->n_layer; i++) {
        double n = 1 + (double)first_at(s, i + 1);
        s->all += n;
        s->done += i < from ? n : 0;
    }
    s->all += p->head_cost * (1 + (double)s->w->n);
}

static int run_layers(sweep *s)
{
    const qn_resume *r = s->w->resume;
    const json_t *state = saved_in(r);
    uint64_t bytes = s->p->size * sizeof(float);
    int from = 0;
    s->saved = -1;
    QN_TRY(qn_outdir_room(r->out, 2 * (s->w->n + 1) * bytes, s->err));
    QN_TRY(new_pass(s));
    if (state)
        QN_TRY(go_on(s, state, &from));
    count(s, from);
    if (!state)
        QN_TRY(begin(s));
    for (int i = from; i < s->p->n_layer; i++)
        QN_TRY(run_layer(s, i));
    qn_pass_free(s->pass);
    s->pass = NULL;
    QN_TRY(run_head(s, s->p->head_cost));
    if (s->saved != s->p->n_layer)
        drop_streams(r->out, s->p->n_layer);
    return QN_OK;
}

static void put_in_order(sweep *s)
{
    const qn_sensitivity_work *w = s->w;
    size_t n = 0;
    s->order = qn_xcalloc(w->n + 1, sizeof *s->order);
    for (int layer = -1; layer <= s->p->n_layer; layer++)
        for (size_t i = 0; i < w->n; i++)
            if (w->place[i].layer == layer)
                s->order[n++] = i;
}

int qn_sensitivity_run(qn_sensitivity *p, const qn_sensitivity_work *w,
                       const qn_watch *watch, qn_err *err)
{
    sweep s = {.p = p, .w = w, .watch = watch, .err = err};
    memset(w->kl, 0, w->n * sizeof *w->kl);
    put_in_order(&s);
    int rc = qn_net_is_chain(p->net) ? run_layers(&s) : run_whole(&s);
    qn_streams_close(&s.from);
    qn_streams_close(&s.to);
    qn_pass_free(s.pass);
    free(s.order);
    free(s.tokens);
    free(s.pos);
    free(s.pages);
    free(s.spans);
    qn_acts_free(&s.h);
    qn_acts_free(&s.own);
    qn_acts_free(&s.base);
    qn_acts_free(&s.weight);
    qn_free(s.own_sum);
    qn_free(s.sum);
    return rc;
}
