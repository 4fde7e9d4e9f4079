/* load_report.c - see load_report.h. */
#include "cli/load_report.h"

#include "base/mem.h"
#include "base/ranks.h"
#include "base/vec.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

typedef QN_VEC(double) samples;

typedef struct report {
    int n[QN_SHOT_ENDS], n_good, n_retries;
    int64_t n_in, n_out;
    samples ttft, tpot, itl, e2e; /* ms */
} report;

static double percentile(const samples *s, double p)
{
    return qn_at_rank(s->v, s->n, p / 100 * (double)(s->n - 1));
}

static double mean(const samples *s)
{
    double sum = 0;
    for (size_t i = 0; i < s->n; i++)
        sum += s->v[i];
    return s->n ? sum / (double)s->n : 0;
}

/* Of the population, as numpy's default. */
static double deviation(const samples *s)
{
    double m = mean(s), sum = 0;
    for (size_t i = 0; i < s->n; i++)
        sum += (s->v[i] - m) * (s->v[i] - m);
    return s->n ? sqrt(sum / (double)s->n) : 0;
}

static bool within(double limit, double v)
{
    return limit == 0 || v <= limit;
}

static void gather(const qn_load_run *run, report *r)
{
    const qn_load_goal *goal = &run->goal;
    for (int i = 0; i < run->load->n; i++) {
        const qn_shot_result *x = &run->results[i];
        r->n[x->end]++;
        r->n_retries += x->n_retries;
        if (x->end != QN_SHOT_OK)
            continue;
        double ttft = x->ttft * 1e3, e2e = x->e2e * 1e3, tpot = 0;
        if (x->n_out > 1)
            tpot = (e2e - ttft) / (x->n_out - 1);
        r->n_in += x->n_prompt;
        r->n_out += x->n_out;
        r->n_good += within(goal->ttft, ttft) && within(goal->tpot, tpot) &&
                     within(goal->e2e, e2e);
        qn_vec_push(&r->ttft, ttft);
        qn_vec_push(&r->e2e, e2e);
        if (x->n_out > 1)
            qn_vec_push(&r->tpot, tpot);
        for (int k = 0; k < x->n_gaps; k++)
            qn_vec_push(&r->itl, x->gaps[k] * 1e3);
    }
    qn_sort_doubles(r->ttft.v, r->ttft.n);
    qn_sort_doubles(r->tpot.v, r->tpot.n);
    qn_sort_doubles(r->itl.v, r->itl.n);
    qn_sort_doubles(r->e2e.v, r->e2e.n);
}

/* ---- printing ---------------------------------------------------------- */

static void rule(char c, const char *title)
{
    int n = 50 - (int)strlen(title), left = n / 2;
    for (int i = 0; i < left; i++)
        putchar(c);
    printf("%s", title);
    for (int i = left; i < n; i++)
        putchar(c);
    putchar('\n');
}

static void figure(bool json, const char *name, const char *text, double v)
{
    if (json)
        printf("\"%s\": %.8g, ", name, v);
    else
        printf("%-39s %10.*f\n", text, v == floor(v) ? 0 : 2, v);
}

/* Why the first one failed of which that is known; NULL: of none. */
static const char *first_reason(const qn_load_run *run)
{
    for (int i = 0; i < run->load->n; i++)
        if (run->results[i].end > QN_SHOT_LEFT && run->results[i].why)
            return run->results[i].why;
    return NULL;
}

static void print_counts(const qn_load_run *run, const report *r, bool json)
{
    static const struct {
        qn_shot_end end;
        const char *name, *text;
    } failures[] = {
        {QN_SHOT_REFUSED, "failed_refused", "  refused (429, 503):"},
        {QN_SHOT_STATUS, "failed_status", "  another status than 200:"},
        {QN_SHOT_CONNECT, "failed_connect", "  no connection:"},
        {QN_SHOT_TIMEOUT, "failed_timeout", "  no end in time:"},
        {QN_SHOT_CUT, "failed_cut", "  cut off:"},
        {QN_SHOT_SHORT, "failed_short", "  fewer tokens than asked:"},
    };
    int n_failed = 0;
    for (size_t i = 0; i < QN_COUNTOF(failures); i++)
        n_failed += r->n[failures[i].end];
    figure(json, "completed", "Successful requests:", r->n[QN_SHOT_OK]);
    figure(json, "failed", "Failed requests:", n_failed);
    for (size_t i = 0; i < QN_COUNTOF(failures); i++)
        if (json || r->n[failures[i].end])
            figure(json, failures[i].name, failures[i].text,
                   r->n[failures[i].end]);
    const char *why = json ? NULL : first_reason(run);
    if (why)
        printf("  the first of them: %s\n", why);
    if (!json && r->n[QN_SHOT_REFUSED])
        printf("  a server refuses what its queue has no room for: requests "
               "come faster than it\n  serves them (%.3g a second); lower "
               "--request-rate, raise its --max-queue, or\n  say --retries to "
               "wait as it asks\n",
               r->n[QN_SHOT_OK] / run->seconds);
    if (json || r->n_retries)
        figure(json, "retries", "Sent again after a refusal:", r->n_retries);
    if (json || r->n[QN_SHOT_LEFT])
        figure(json, "aborted", "Left by the client:", r->n[QN_SHOT_LEFT]);
    if (json || run->max_concurrency)
        figure(json, "max_concurrency",
               "Maximum request concurrency:", run->max_concurrency);
    if (json || run->load->p.rate > 0)
        figure(json, "request_rate",
               "Request rate configured (RPS):", run->load->p.rate);
}

static void print_totals(const qn_load_run *run, const report *r, bool json)
{
    double s = run->seconds;
    double in = (double)r->n_in, out = (double)r->n_out;
    figure(json, "duration", "Benchmark duration (s):", s);
    figure(json, "total_input_tokens", "Total input tokens:", in);
    figure(json, "total_output_tokens", "Total generated tokens:", out);
    figure(json, "request_throughput",
           "Request throughput (req/s):", r->n[QN_SHOT_OK] / s);
    figure(json, "request_goodput", "Request goodput (req/s):", r->n_good / s);
    figure(json, "output_throughput",
           "Output token throughput (tok/s):", out / s);
    figure(json, "max_concurrent_requests",
           "Peak concurrent requests:", run->peak);
    figure(json, "total_token_throughput",
           "Total token throughput (tok/s):", (in + out) / s);
}

static void sample(bool json, const char *kind, const char *name,
                   const char *label, double v)
{
    char text[64];
    if (json) {
        printf(", \"%s_%s_ms\": %.8g", kind, name, v);
        return;
    }
    char first = kind[0] >= 'a' ? (char)(kind[0] - 32) : kind[0];
    snprintf(text, sizeof text, "%c%s %s (ms):", first, kind + 1, label);
    printf("%-39s %10.2f\n", text, v);
}

static void print_samples(const report *r, bool json)
{
    const struct {
        const char *name, *label, *title;
        const samples *s;
    } rows[] = {
        {"ttft", "TTFT", "Time to First Token", &r->ttft},
        {"tpot", "TPOT", "Time per Output Token (excl. 1st token)", &r->tpot},
        {"itl", "ITL", "Inter-token Latency", &r->itl},
        {"e2el", "E2EL", "End-to-end Latency", &r->e2e},
    };
    static const int ps[] = {50, 90, 99};
    for (size_t i = 0; i < QN_COUNTOF(rows); i++) {
        const char *name = rows[i].name, *label = rows[i].label;
        const samples *s = rows[i].s;
        if (!json)
            rule('-', rows[i].title);
        sample(json, "mean", name, label, mean(s));
        sample(json, "median", name, label, percentile(s, 50));
        sample(json, "std", name, label, deviation(s));
        for (size_t k = 0; k < QN_COUNTOF(ps); k++) {
            char kind[8];
            snprintf(kind, sizeof kind, "p%d", ps[k]);
            sample(json, kind, name, label, percentile(s, ps[k]));
        }
    }
}

void qn_load_report(const qn_load_run *run, bool json)
{
    report r = {0};
    gather(run, &r);
    if (json)
        putchar('{');
    else
        rule('=', " Serving Benchmark Result ");
    print_counts(run, &r, json);
    print_totals(run, &r, json);
    if (json)
        printf("\"num_prompts\": %d", run->load->n);
    print_samples(&r, json);
    if (json)
        printf("}\n");
    else
        rule('=', "");
    qn_vec_deinit(&r.ttft);
    qn_vec_deinit(&r.tpot);
    qn_vec_deinit(&r.itl);
    qn_vec_deinit(&r.e2e);
}
