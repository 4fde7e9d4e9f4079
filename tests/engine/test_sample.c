/* The sampler against a straightforward computation: full sort, every step by
 * its definition on arrays of doubles, no shortcuts. */
#include "testing.h"

#include "base/rng.h"
#include "engine/sample.h"

#include <float.h>

#define V 311

/* ---- the straightforward computation ----------------------------------- */

typedef struct naive {
    double p[V];
    int order[V]; /* ids by falling probability, ties by rising id */
    int n;
} naive;

static const double *cmp_p;
static int by_p(const void *a, const void *b)
{
    int x = *(const int *)a, y = *(const int *)b;
    if (cmp_p[x] != cmp_p[y])
        return cmp_p[x] < cmp_p[y] ? 1 : -1;
    return (x > y) - (x < y);
}

static void normalize(naive *d)
{
    double sum = 0;
    for (int i = 0; i < d->n; i++)
        sum += d->p[d->order[i]];
    for (int i = 0; i < d->n; i++)
        d->p[d->order[i]] /= sum;
}

static void keep(naive *d, const bool *in)
{
    int n = 0;
    for (int i = 0; i < d->n; i++)
        if (in[d->order[i]])
            d->order[n++] = d->order[i];
    d->n = n;
    normalize(d);
}

static void naive_softmax(naive *d, const double *logits, double t)
{
    static double copy[V];
    double top = -DBL_MAX;
    for (int i = 0; i < V; i++)
        top = fmax(top, logits[i]);
    for (int i = 0; i < V; i++) {
        d->p[i] = exp((logits[i] - top) / t);
        copy[i] = logits[i];
        d->order[i] = i;
    }
    cmp_p = copy;
    qsort(d->order, V, sizeof(int), by_p);
    d->n = V;
    while (d->n > 0 && isinf(logits[d->order[d->n - 1]]))
        d->n--;
    normalize(d);
}

static void naive_top_k(naive *d, int k)
{
    if (k > 0 && k < d->n)
        d->n = k;
    normalize(d);
}

static void naive_sigma(naive *d, const double *logits, double s)
{
    double mean = 0, var = 0, top = -DBL_MAX;
    int m = 0;
    for (int i = 0; i < V; i++) {
        if (isinf(logits[i]))
            continue;
        mean += logits[i];
        top = fmax(top, logits[i]);
        m++;
    }
    mean /= m;
    for (int i = 0; i < V; i++)
        if (!isinf(logits[i]))
            var += (logits[i] - mean) * (logits[i] - mean);
    bool in[V];
    for (int i = 0; i < V; i++)
        in[i] = logits[i] >= top - s * sqrt(var / m);
    keep(d, in);
}

static void naive_top_p(naive *d, double mass)
{
    double acc = 0;
    int n = 0;
    while (n < d->n && acc < mass)
        acc += d->p[d->order[n++]];
    d->n = n;
    normalize(d);
}

static void naive_min_p(naive *d, double ratio)
{
    bool in[V] = {0};
    double top = d->p[d->order[0]];
    for (int i = 0; i < d->n; i++)
        in[d->order[i]] = d->p[d->order[i]] >= ratio * top;
    keep(d, in);
}

static void naive_typical(naive *d, double mass)
{
    double h = 0, score[V];
    for (int i = 0; i < d->n; i++) {
        double p = d->p[d->order[i]];
        h -= p * log(p);
    }
    for (int i = 0; i < V; i++)
        score[i] = DBL_MAX;
    for (int i = 0; i < d->n; i++)
        score[d->order[i]] = fabs(-log(d->p[d->order[i]]) - h);
    bool in[V] = {0};
    for (double acc = 0; acc < mass;) {
        int best = -1;
        for (int i = 0; i < d->n; i++) {
            int id = d->order[i];
            if (!in[id] && (best < 0 || score[id] < score[best]))
                best = id;
        }
        if (best < 0)
            break;
        in[best] = true;
        acc += d->p[best];
    }
    keep(d, in);
}

static void naive_xtc(naive *d, double threshold)
{
    int last = -1;
    for (int i = 0; i < d->n; i++)
        if (d->p[d->order[i]] >= threshold)
            last = i;
    bool in[V] = {0};
    for (int i = 0; i < d->n; i++)
        in[d->order[i]] = i >= last || d->p[d->order[i]] < threshold;
    keep(d, in);
}

static int naive_draw(const naive *d, uint64_t seed, int stream, uint64_t step)
{
    double u = qn_rng_uniform(seed, (uint64_t)stream * 2, step), acc = 0;
    for (int i = 0; i < d->n; i++) {
        acc += d->p[d->order[i]];
        if (u < acc)
            return d->order[i];
    }
    return d->order[d->n - 1];
}

/* ---- random cases ------------------------------------------------------ */

static void random_logits(float *l, uint64_t seed)
{
    for (int i = 0; i < V; i++)
        l[i] = (float)(3.0 * qn_rng_normal(seed, 99, (uint64_t)i));
    if (seed % 3 == 0) /* ties */
        for (int i = 0; i < V; i++)
            l[i] = roundf(l[i]);
}

static double pick_of(uint64_t seed, uint64_t n, const double *from, int count)
{
    return from[(int)(qn_rng_uniform(seed, 7, n) * count)];
}

static qn_sampler *sampler_of(const qn_sampling *p, const int32_t *prompt,
                              size_t n)
{
    qn_sampler *s = NULL;
    qn_err err = {0};
    qn_sampler_init in = {
        .params = p, .n_vocab = V, .prompt = prompt, .n_prompt = n};
    if (qn_sampler_new(&s, &in, &err) < 0)
        fail_msg("%s", err.msg);
    return s;
}

static void test_pipeline(void **state)
{
    (void)state;
    static const double ks[] = {0, 0, 1, 5, 40, 400};
    static const double ps[] = {1, 1, 0.95, 0.5, 0.05};
    static const double mins[] = {0, 0, 0.02, 0.3};
    static const double typ[] = {1, 1, 1, 0.9, 0.2};
    static const double sig[] = {0, 0, 0, 1, 0.5};
    static const double temps[] = {1, 0.7, 0.2, 3};
    for (uint64_t c = 0; c < 4000; c++) {
        qn_sampling p;
        qn_sampling_default(&p);
        p.seed = c;
        p.temperature = (float)pick_of(c, 0, temps, 4);
        p.top_k = (int)pick_of(c, 1, ks, 6);
        p.top_p = (float)pick_of(c, 2, ps, 5);
        p.min_p = (float)pick_of(c, 3, mins, 4);
        p.typical_p = (float)pick_of(c, 4, typ, 5);
        p.top_n_sigma = (float)pick_of(c, 5, sig, 5);
        p.xtc_probability = c % 5 == 0 ? 1.0f : c % 5 == 1 ? 0.5f : 0.0f;
        p.xtc_threshold = 0.1f;
        float l[V];
        double ld[V];
        random_logits(l, c);
        for (int i = 0; i < V; i++)
            ld[i] = (double)l[i];

        naive d;
        naive_softmax(&d, ld, (double)p.temperature);
        naive_top_k(&d, p.top_k);
        if (p.top_n_sigma > 0)
            naive_sigma(&d, ld, (double)p.top_n_sigma);
        if (p.typical_p < 1)
            naive_typical(&d, (double)p.typical_p);
        if (p.top_p < 1)
            naive_top_p(&d, (double)p.top_p);
        if (p.min_p > 0)
            naive_min_p(&d, (double)p.min_p);
        /* the coin is the second stream of the completion */
        if (qn_rng_uniform(c, 1, 0) < (double)p.xtc_probability)
            naive_xtc(&d, (double)p.xtc_threshold);

        qn_sampler *s = sampler_of(&p, NULL, 0);
        int32_t got = qn_sampler_pick(s, l);
        assert_int_equal(got, naive_draw(&d, p.seed, 0, 0));
        qn_sampler_free(s);
    }
}

/* Draws follow the distribution: chi-squared over many counters. */
static void test_distribution(void **state)
{
    (void)state;
    float l[V];
    double ld[V];
    random_logits(l, 1);
    for (int i = 0; i < V; i++)
        ld[i] = (double)l[i];
    naive d;
    naive_softmax(&d, ld, 1.0);
    naive_top_k(&d, 8);
    qn_sampling p;
    qn_sampling_default(&p);
    p.top_k = 8;
    p.seed = 42;
    qn_sampler *s = sampler_of(&p, NULL, 0);
    int hits[V] = {0}, n = 20000;
    for (int i = 0; i < n; i++) {
        int32_t id = qn_sampler_pick(s, l);
        hits[id]++;
        qn_sampler_accept(s, id);
    }
    double chi = 0;
    for (int i = 0; i < d.n; i++) {
        double want = d.p[d.order[i]] * n, e = hits[d.order[i]] - want;
        chi += e * e / want;
    }
    assert_true(chi < 29.9); /* 7 degrees of freedom, p = 1e-4 */
    qn_sampler_free(s);
}

static void test_greedy_and_edits(void **state)
{
    (void)state;
    float l[V];
    random_logits(l, 2);
    int best = 0;
    for (int i = 1; i < V; i++)
        if (l[i] > l[best])
            best = i;
    qn_sampling p;
    qn_sampling_default(&p);
    p.temperature = 0;
    qn_sampler *s = sampler_of(&p, NULL, 0);
    assert_int_equal(qn_sampler_pick(s, l), best);
    qn_sampler_free(s);

    int32_t banned = best, allowed[2] = {3, 9};
    p.banned_ids = &banned;
    p.n_banned = 1;
    s = sampler_of(&p, NULL, 0);
    assert_int_not_equal(qn_sampler_pick(s, l), best);
    qn_sampler_free(s);

    p.allowed_ids = allowed;
    p.n_allowed = 2;
    s = sampler_of(&p, NULL, 0);
    assert_int_equal(qn_sampler_pick(s, l), l[3] >= l[9] ? 3 : 9);
    qn_sampler_free(s);

    qn_logit_bias bias[] = {{3, -INFINITY}, {9, -INFINITY}};
    p.logit_bias = bias;
    p.n_logit_bias = 2;
    s = sampler_of(&p, NULL, 0);
    assert_int_equal(qn_sampler_pick(s, l), -1);
    qn_sampler_free(s);
}

/* The first of the greatest, wherever it is, in vocabularies of any size; what is
 * no number is none. */
static void test_greatest(void **state)
{
    (void)state;
    static const int sizes[] = {1, 15, 63, 64, 65, 127, 128, 1000};
    enum {
        MOST = 1000
    };
    float l[MOST];
    qn_sampling p;
    qn_sampling_default(&p);
    p.temperature = 0;
    for (size_t k = 0; k < QN_COUNTOF(sizes); k++) {
        qn_sampler *s = NULL;
        qn_sampler_init in = {.params = &p, .n_vocab = sizes[k]};
        assert_int_equal(qn_sampler_new(&s, &in, NULL), 0);
        for (uint64_t c = 0; c < 200; c++) {
            int best = -1, range = 1 + (int)(c % 50);
            for (int i = 0; i < sizes[k]; i++) {
                double u = qn_rng_uniform(c, 3, (uint64_t)i);
                l[i] = u < 0.05 ? NAN : floorf((float)(u * range) - range / 2);
                l[i] = u > 0.99 ? -INFINITY : l[i];
            }
            for (int i = 0; i < sizes[k]; i++)
                if (l[i] > (best < 0 ? -INFINITY : l[best]))
                    best = i;
            assert_int_equal(qn_sampler_pick(s, l), best);
        }
        qn_sampler_free(s);
    }
}

static void random_history(int32_t *h, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++)
        h[i] = (int32_t)(qn_rng_uniform(seed, 5, i) * 12);
}

static void test_penalties(void **state)
{
    (void)state;
    for (uint64_t c = 0; c < 300; c++) {
        enum {
            N = 40
        };
        int32_t h[N];
        float l[V];
        random_history(h, N, c);
        random_logits(l, c);
        size_t n_prompt = c % N;
        qn_sampling p;
        qn_sampling_default(&p);
        p.repetition_penalty = 1.3f;
        p.presence_penalty = 0.4f;
        p.frequency_penalty = 0.25f;
        p.penalty_last_n = c % 2 ? -1 : 10;
        qn_sampler *s = sampler_of(&p, h, n_prompt);
        for (size_t i = n_prompt; i < N; i++)
            qn_sampler_accept(s, h[i]);
        const float *got = qn_sampler_edit(s, l);
        size_t from = p.penalty_last_n < 0 ? 0 : N - 10;
        for (int id = 0; id < V; id++) {
            double want = (double)l[id];
            int seen = 0, count = 0;
            for (size_t i = from; i < N; i++)
                seen |= h[i] == id;
            for (size_t i = n_prompt; i < N; i++)
                count += h[i] == id;
            if (seen)
                want = want > 0 ? want / 1.3 : want * 1.3;
            want -= 0.4 * (count > 0) + 0.25 * count;
            assert_float_equal(got[id], want, 1e-5);
        }
        qn_sampler_free(s);
    }
}

/* DRY by its definition, in cubic time. */
static void test_dry(void **state)
{
    (void)state;
    for (uint64_t c = 0; c < 300; c++) {
        enum {
            N = 40
        };
        int32_t h[N], breaker = 11;
        float l[V] = {0};
        for (int i = 0; i < N; i++)
            h[i] = (int32_t)(qn_rng_uniform(c, 5, (uint64_t)i) * 4);
        if (c % 3 == 0) { /* the same eight tokens twice, a breaker in both */
            h[N - 4] = breaker;
            memcpy(h + N - 20, h + N - 8, 8 * sizeof *h);
        }
        int range = c % 2 ? -1 : 25;
        qn_sampling p;
        qn_sampling_default(&p);
        p.dry_multiplier = 0.8f;
        p.dry_range = range;
        p.dry_breakers = &breaker;
        p.n_dry_breakers = 1;
        qn_sampler *s = sampler_of(&p, h, N);
        const float *got = qn_sampler_edit(s, l);
        const int32_t *w = range < 0 ? h : h + N - range;
        int n = range < 0 ? N : range;
        for (int id = 0; id < V; id++) {
            int longest = 0;
            for (int at = 1; at < n; at++) { /* would repeat w[at] */
                if (w[at] != id)
                    continue;
                int len = 0;
                while (len < at && w[at - 1 - len] == w[n - 1 - len] &&
                       w[n - 1 - len] != breaker)
                    len++;
                longest = len > longest ? len : longest;
            }
            double want = longest >= 2
                              ? -(double)0.8f * pow((double)1.75f, longest - 2)
                              : 0;
            assert_float_equal(got[id], want, 1e-4 * fmax(1, -want));
        }
        qn_sampler_free(s);
    }
}

static void test_mirostat(void **state)
{
    (void)state;
    float l[V];
    random_logits(l, 4);
    double ld[V];
    for (int i = 0; i < V; i++)
        ld[i] = (double)l[i];
    qn_sampling p;
    qn_sampling_default(&p);
    p.mirostat = 2;
    p.mirostat_tau = 3;
    p.mirostat_eta = 0.1f;
    p.seed = 5;
    qn_sampler *s = sampler_of(&p, NULL, 0);
    double mu = 6, surprise = 0;
    for (uint64_t step = 0; step < 400; step++) {
        naive d;
        naive_softmax(&d, ld, 1);
        bool in[V] = {0};
        in[d.order[0]] = true;
        for (int i = 0; i < V; i++)
            if (-log2(d.p[i]) <= mu)
                in[i] = true;
        keep(&d, in);
        int want = naive_draw(&d, 5, 0, step);
        int32_t got = qn_sampler_pick(s, l);
        assert_int_equal(got, want);
        qn_sampler_accept(s, got);
        double e = -log2(d.p[want]);
        mu -= (double)0.1f * (e - 3);
        surprise += step >= 200 ? e : 0;
    }
    assert_float_equal(surprise / 200, 3, 0.5);
    qn_sampler_free(s);
}

static void test_min_new(void **state)
{
    (void)state;
    float l[V] = {0};
    l[7] = 5;
    l[8] = 4;
    int32_t ends[] = {7};
    qn_sampling p;
    qn_sampling_default(&p);
    p.temperature = 0;
    qn_sampler_init in = {.params = &p,
                          .n_vocab = V,
                          .end_ids = ends,
                          .n_end_ids = 1,
                          .min_new = 2};
    qn_sampler *s = NULL;
    assert_int_equal(qn_sampler_new(&s, &in, NULL), 0);
    for (int i = 0; i < 3; i++) {
        int32_t id = qn_sampler_pick(s, l);
        assert_int_equal(id, i < 2 ? 8 : 7);
        qn_sampler_accept(s, id);
    }
    qn_sampler_free(s);
}

static void test_checks(void **state)
{
    (void)state;
    qn_err err;
    qn_sampling p;
    qn_sampling_default(&p);
    p.temperature = -1;
    assert_int_equal(qn_sampling_check(&p, V, &err), QN_EINVAL);
    assert_non_null(strstr(err.msg, "temperature"));
    qn_sampling_default(&p);
    p.top_p = NAN;
    assert_int_equal(qn_sampling_check(&p, V, &err), QN_EINVAL);
    qn_sampling_default(&p);
    int32_t id = V;
    p.banned_ids = &id;
    p.n_banned = 1;
    assert_int_equal(qn_sampling_check(&p, V, &err), QN_EINVAL);
    assert_non_null(strstr(err.msg, "311"));
}

static void test_top_k_ids(void **state)
{
    (void)state;
    float l[V];
    random_logits(l, 3); /* with ties */
    double ld[V];
    for (int i = 0; i < V; i++)
        ld[i] = (double)l[i];
    naive d;
    naive_softmax(&d, ld, 1);
    int32_t got[V + 5];
    for (int k = 1; k < V + 5; k += 7) {
        int n = qn_top_k(l, V, k, got);
        assert_int_equal(n, k < V ? k : V);
        for (int i = 0; i < n; i++)
            assert_int_equal(got[i], d.order[i]);
    }
}

/* Logits of broken weights: NaN is never chosen, infinity always. */
static void test_broken_logits(void **state)
{
    (void)state;
    for (int i = 0; i < 8; i++) {
        qn_sampling sp;
        qn_err err;
        qn_sampler *s;
        float row[V];
        for (int k = 0; k < V; k++)
            row[k] = (float)k * 0.01f;
        row[V - 1] = i % 2 ? INFINITY : NAN;
        qn_sampling_default(&sp);
        sp.temperature = 1;
        sp.top_n_sigma = i / 2 == 0 ? 1 : 0;
        sp.top_p = i / 2 == 1 ? 0.5f : 1;
        sp.top_k = i / 2 == 2 ? 3 : 0;
        qn_sampler_init in = {.params = &sp, .n_vocab = V};
        assert_int_equal(qn_sampler_new(&s, &in, &err), 0);
        int32_t id = qn_sampler_pick(s, row);
        if (i % 2)
            assert_int_equal(id, V - 1);
        else
            assert_in_range(id, 0, V - 2);
        qn_sampler_free(s);
    }
    float row[3] = {1, 1, NAN};
    assert_true(isnan(qn_log_sum_exp(row, 3)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pipeline),
        cmocka_unit_test(test_broken_logits),
        cmocka_unit_test(test_distribution),
        cmocka_unit_test(test_greedy_and_edits),
        cmocka_unit_test(test_greatest),
        cmocka_unit_test(test_penalties),
        cmocka_unit_test(test_dry),
        cmocka_unit_test(test_mirostat),
        cmocka_unit_test(test_min_new),
        cmocka_unit_test(test_checks),
        cmocka_unit_test(test_top_k_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
