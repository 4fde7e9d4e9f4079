/* sample.c - the sampler: order of steps, state, the draw. */
#include "engine/sample_int.h"

#include "base/knobs.h"
#include "base/rng.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* ---- parameters -------------------------------------------------------- */

QN_API void qn_sampling_default(qn_sampling *s)
{
    *s = (qn_sampling){
        .temperature = 1.0f,
        .top_p = 1.0f,
        .typical_p = 1.0f,
        .xtc_threshold = 0.1f,
        .dry_base = 1.75f,
        .dry_allowed_length = 2,
        .dry_range = -1,
        .mirostat_tau = 5.0f,
        .mirostat_eta = 0.1f,
        .repetition_penalty = 1.0f,
        .penalty_last_n = -1,
    };
}

QN_API void qn_sampling_complete(qn_sampling *s, int n)
{
    bool chance = n > 1 || s->top_k > 0 || s->top_p < 1.0f || s->min_p > 0.0f ||
                  s->typical_p < 1.0f || s->top_n_sigma > 0.0f ||
                  s->xtc_probability > 0.0f || s->mirostat != 0;
    if (s->temperature == 0.0f && chance)
        s->temperature = 1.0f;
}

/* A float knob and the closed range it must lie in. */
typedef struct knob {
    const char *name;
    double value, lo, hi;
} knob;

static int check_ids(const char *what, const int32_t *ids, size_t n,
                     int n_vocab, qn_err *err)
{
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= n_vocab)
            return qn_fail(err, QN_EINVAL,
                           "%s: token id %d is not in the vocabulary of %d",
                           what, (int)ids[i], n_vocab);
    return 0;
}

int qn_sampling_check(const qn_sampling *p, int n_vocab, qn_err *err)
{
    const knob knobs[] = {
        {"temperature", (double)p->temperature, QN_RANGE_TEMPERATURE},
        {"top_p", (double)p->top_p, QN_RANGE_PART},
        {"min_p", (double)p->min_p, QN_RANGE_PART},
        {"typical_p", (double)p->typical_p, QN_RANGE_PART},
        {"top_n_sigma", (double)p->top_n_sigma, QN_RANGE_SIGMA},
        {"xtc_probability", (double)p->xtc_probability, QN_RANGE_PART},
        {"xtc_threshold", (double)p->xtc_threshold, QN_RANGE_PART},
        {"dry_multiplier", (double)p->dry_multiplier, QN_RANGE_DRY},
        {"dry_base", (double)p->dry_base, QN_RANGE_DRY},
        {"mirostat_tau", (double)p->mirostat_tau, QN_RANGE_MIROSTAT},
        {"mirostat_eta", (double)p->mirostat_eta, QN_RANGE_MIROSTAT},
        {"repetition_penalty", (double)p->repetition_penalty,
         QN_RANGE_REPETITION},
        {"presence_penalty", (double)p->presence_penalty, QN_RANGE_PENALTY},
        {"frequency_penalty", (double)p->frequency_penalty, QN_RANGE_PENALTY},
    };
    for (size_t i = 0; i < QN_COUNTOF(knobs); i++)
        /* a bound as a float, too: 1e-6 is not one */
        if (!(knobs[i].value >= (double)(float)knobs[i].lo &&
              knobs[i].value <= (double)(float)knobs[i].hi))
            return qn_fail(err, QN_EINVAL, "%s is %g; it must lie in [%g, %g]",
                           knobs[i].name, knobs[i].value, knobs[i].lo,
                           knobs[i].hi);
    if (p->top_k < 0)
        return qn_fail(err, QN_EINVAL, "top_k is %d; use 0 for off", p->top_k);
    if (p->mirostat != 0 && p->mirostat != 2)
        return qn_fail(err, QN_EINVAL, "mirostat is %d; use 0 (off) or 2",
                       p->mirostat);
    if (p->dry_allowed_length < 1)
        return qn_fail(err, QN_EINVAL, "dry_allowed_length is %d; use >= 1",
                       p->dry_allowed_length);
    for (size_t i = 0; i < p->n_logit_bias; i++) {
        QN_TRY(check_ids("logit_bias", &p->logit_bias[i].id, 1, n_vocab, err));
        if (!(p->logit_bias[i].bias <= 1e6f))
            return qn_fail(err, QN_EINVAL,
                           "logit_bias of token %d is %g; use at most 1e6",
                           (int)p->logit_bias[i].id,
                           (double)p->logit_bias[i].bias);
    }
    QN_TRY(
        check_ids("allowed_ids", p->allowed_ids, p->n_allowed, n_vocab, err));
    QN_TRY(check_ids("banned_ids", p->banned_ids, p->n_banned, n_vocab, err));
    return check_ids("dry_breakers", p->dry_breakers, p->n_dry_breakers,
                     n_vocab, err);
}

/* ---- life -------------------------------------------------------------- */

static void own_arrays(qn_sampling *p)
{
    p->logit_bias = qn_xcopy(p->logit_bias, p->n_logit_bias,
                             sizeof *p->logit_bias);
    p->allowed_ids = qn_xcopy(p->allowed_ids, p->n_allowed, sizeof(int32_t));
    p->banned_ids = qn_xcopy(p->banned_ids, p->n_banned, sizeof(int32_t));
    p->dry_breakers = qn_xcopy(p->dry_breakers, p->n_dry_breakers,
                               sizeof(int32_t));
}

static bool counts(const qn_sampling *p)
{
    return p->repetition_penalty != 1.0f || p->presence_penalty != 0.0f ||
           p->frequency_penalty != 0.0f || p->dry_multiplier > 0.0f;
}

static bool edits(const qn_sampler *s)
{
    const qn_sampling *p = &s->p;
    return p->n_logit_bias > 0 || p->n_allowed > 0 || p->n_banned > 0 ||
           counts(p) || s->min_new > 0 || s->masked;
}

static void push_all(qn_sampler *s, const int32_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++)
        qn_vec_push(&s->history, ids[i]);
}

static void add_rows(qn_sampler *s)
{
    size_t n = (size_t)s->n_vocab;
    if (edits(s))
        s->row = qn_xreallocarray(NULL, n, sizeof *s->row);
    if (counts(&s->p)) {
        s->stamp = qn_xcalloc(n, sizeof *s->stamp);
        s->count = qn_xcalloc(n, sizeof *s->count);
    }
}

int qn_sampler_new(qn_sampler **out, const qn_sampler_init *in, qn_err *err)
{
    QN_TRY(qn_sampling_check(in->params, in->n_vocab, err));
    qn_sampler *s = qn_xcalloc(1, sizeof *s);
    s->p = *in->params;
    own_arrays(&s->p);
    s->n_vocab = in->n_vocab;
    s->stream = in->stream;
    s->min_new = in->min_new;
    s->masked = in->masked;
    s->mu = 2.0 * (double)s->p.mirostat_tau;
    for (size_t i = 0; i < in->n_end_ids; i++)
        qn_vec_push(&s->end_ids, in->end_ids[i]);
    qn_vec_reserve(&s->history, in->n_prompt + (size_t)QN_MAX(in->max_new, 0));
    push_all(s, in->prompt, in->n_prompt);
    s->n_prompt = in->n_prompt;
    add_rows(s);
    *out = s;
    return 0;
}

qn_sampler *qn_sampler_fork(const qn_sampler *s, int stream)
{
    qn_sampler *f = qn_xcalloc(1, sizeof *f);
    f->p = s->p;
    own_arrays(&f->p);
    f->n_vocab = s->n_vocab;
    f->stream = stream;
    f->min_new = s->min_new;
    f->masked = s->masked;
    f->mu = s->mu;
    for (size_t i = 0; i < s->end_ids.n; i++)
        qn_vec_push(&f->end_ids, s->end_ids.v[i]);
    qn_vec_reserve(&f->history, s->history.cap);
    push_all(f, s->history.v, s->history.n);
    f->n_prompt = s->n_prompt;
    add_rows(f);
    return f;
}

void qn_sampler_free(qn_sampler *s)
{
    if (!s)
        return;
    free((void *)(uintptr_t)s->p.logit_bias);
    free((void *)(uintptr_t)s->p.allowed_ids);
    free((void *)(uintptr_t)s->p.banned_ids);
    free((void *)(uintptr_t)s->p.dry_breakers);
    qn_vec_deinit(&s->history);
    qn_vec_deinit(&s->end_ids);
    free(s->row);
    free(s->stamp);
    free(s->count);
    qn_cands_deinit(&s->cands);
    qn_vec_deinit(&s->match);
    free(s);
}

/* ---- the row ----------------------------------------------------------- */

static bool is_end(const qn_sampler *s, int32_t id)
{
    for (size_t i = 0; i < s->end_ids.n; i++)
        if (s->end_ids.v[i] == id)
            return true;
    return false;
}

static bool may_come(const qn_sampler *s, int32_t id)
{
    if (!s->bits)
        return true;
    if (is_end(s, id))
        return s->ends;
    return s->bits[id >> 5] >> (id & 31) & 1;
}

/* Of the masked tokens, word by word. */
static void keep_masked(qn_sampler *s, const float *logits)
{
    for (int i = 0; i < s->n_vocab; i += 32) {
        uint32_t w = s->bits[i >> 5];
        int n = QN_MIN(32, s->n_vocab - i);
        for (int k = 0; k < n; k++, w >>= 1)
            s->row[i + k] = w & 1 ? logits[i + k] : -INFINITY;
    }
    for (size_t i = 0; i < s->end_ids.n; i++) {
        int32_t id = s->end_ids.v[i];
        if (id >= 0 && id < s->n_vocab)
            s->row[id] = s->ends ? logits[id] : -INFINITY;
    }
}

static void edit_ids(qn_sampler *s, const float *logits)
{
    const qn_sampling *p = &s->p;
    size_t n = (size_t)s->n_vocab;
    if (p->n_allowed > 0) {
        for (size_t i = 0; i < n; i++)
            s->row[i] = -INFINITY;
        for (size_t i = 0; i < p->n_allowed; i++)
            if (may_come(s, p->allowed_ids[i]))
                s->row[p->allowed_ids[i]] = logits[p->allowed_ids[i]];
    } else if (s->bits) {
        keep_masked(s, logits);
    } else {
        memcpy(s->row, logits, n * sizeof *logits);
    }
    for (size_t i = 0; i < p->n_banned; i++)
        s->row[p->banned_ids[i]] = -INFINITY;
    for (size_t i = 0; i < p->n_logit_bias; i++)
        s->row[p->logit_bias[i].id] += p->logit_bias[i].bias;
}

const float *qn_sampler_edit(qn_sampler *s, const float *logits)
{
    if (!s->row)
        return logits;
    edit_ids(s, logits);
    if (s->stamp) {
        qn_penalize(s);
        if (s->p.dry_multiplier > 0)
            qn_penalize_dry(s);
    }
    if (s->history.n - s->n_prompt < (size_t)s->min_new)
        for (size_t i = 0; i < s->end_ids.n; i++)
            if (s->end_ids.v[i] >= 0 && s->end_ids.v[i] < s->n_vocab)
                s->row[s->end_ids.v[i]] = -INFINITY;
    return s->row;
}

void qn_sampler_mask(qn_sampler *s, const uint32_t *bits, bool ends)
{
    assert(s->masked);
    s->bits = bits;
    s->ends = ends;
}

enum {
    LANES = 16,
    STRETCH = 4 * LANES
};

/* Whether one of STRETCH is greater; a form that compilers make vectors of. */
static bool any_greater(const float *v, float top)
{
    float most[LANES];
    int more = 0;
    for (int j = 0; j < LANES; j++)
        most[j] = top;
    for (int i = 0; i < STRETCH; i += LANES)
        for (int j = 0; j < LANES; j++)
            most[j] = v[i + j] > most[j] ? v[i + j] : most[j];
    for (int j = 0; j < LANES; j++)
        more |= most[j] > top;
    return more;
}

/* The first of the greatest; NaN is none. Few stretches have a new one. */
static int32_t argmax(const float *v, int n)
{
    int32_t best = -1;
    float top = -INFINITY;
    for (int at = 0; at < n; at += STRETCH) {
        if (at + STRETCH <= n && !any_greater(v + at, top))
            continue;
        for (int i = at; i < n && i < at + STRETCH; i++)
            if (v[i] > top) {
                top = v[i];
                best = i;
            }
    }
    return best;
}

/* Token number of the next draw, from which its random numbers follow. */
static uint64_t step_of(const qn_sampler *s)
{
    return s->history.n - s->n_prompt;
}

/* Two independent streams per completion: the draw, and XTC's coin. */
static double uniform(const qn_sampler *s, uint64_t which)
{
    return qn_rng_uniform(s->p.seed, (uint64_t)s->stream * 2 + which,
                          step_of(s));
}

static int32_t draw(const qn_sampler *s, const qn_cands *c)
{
    double total = 0;
    for (size_t i = 0; i < c->n; i++)
        total += c->v[i].p;
    double u = uniform(s, 0) * total, acc = 0;
    for (size_t i = 0; i < c->n; i++) {
        acc += c->v[i].p;
        if (u < acc)
            return c->v[i].id;
    }
    return c->v[c->n - 1].id;
}

/* Mirostat v2 (Basu et al. 2021, algorithm 2): keep what surprises less than
 * mu bits; steer mu so that the surprise observed approaches tau. */
static int32_t draw_mirostat(qn_sampler *s, qn_cands *c)
{
    size_t keep = 0;
    while (keep < c->n && -log2(c->v[keep].p) <= s->mu)
        keep++;
    c->n = keep > 0 ? keep : 1;
    qn_cands_softmax(c);
    int32_t id = draw(s, c);
    for (size_t i = 0; i < c->n; i++)
        if (c->v[i].id == id)
            s->mu -= (double)s->p.mirostat_eta *
                     (-log2(c->v[i].p) - (double)s->p.mirostat_tau);
    return id;
}

/* Logits divided by less would leave the range of f32. */
#define GREEDY_BELOW 1e-5f

int32_t qn_sampler_pick(qn_sampler *s, const float *logits)
{
    const float *row = qn_sampler_edit(s, logits);
    const qn_sampling *p = &s->p;
    int32_t best = argmax(row, s->n_vocab);
    /* beside infinity nothing else has a chance */
    if (p->temperature < GREEDY_BELOW || best < 0 || isinf(row[best]))
        return best;

    qn_cands *c = &s->cands;
    qn_cands_collect(c, row, s->n_vocab, p);
    if (p->mirostat == 2)
        return draw_mirostat(s, c);
    if (p->typical_p < 1.0f)
        qn_keep_typical(c, (double)p->typical_p);
    if (p->top_p < 1.0f)
        qn_keep_top_p(c, (double)p->top_p);
    if (p->min_p > 0.0f)
        qn_keep_min_p(c, (double)p->min_p);
    if (p->xtc_probability > 0.0f && p->xtc_threshold <= 0.5f &&
        uniform(s, 1) < (double)p->xtc_probability)
        qn_drop_xtc(c, (double)p->xtc_threshold);
    return draw(s, c);
}

void qn_sampler_accept(qn_sampler *s, int32_t id)
{
    qn_vec_push(&s->history, id);
}

double qn_log_sum_exp(const float *logits, int n)
{
    float top = -INFINITY;
    for (int i = 0; i < n; i++)
        if (logits[i] > top) /* NaN is not */
            top = logits[i];
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += (double)expf(logits[i] - top);
    return (double)top + log(sum);
}
