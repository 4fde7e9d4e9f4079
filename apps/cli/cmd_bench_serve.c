/* cmd_bench_serve.c - quern bench serve: load on a server, and what it felt
 * like to its clients. The figures have the names that vLLM's bench serve
 * gives them. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/vec.h"
#include "cli/commands.h"
#include "cli/shot.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FIRST_ID 10 /* ids below are often special */

static const qn_opt target_opts[] = {
    {"url", 0, QN_OPT_TEXT, .arg = "URL", .help = "The server.",
     .def = "http://127.0.0.1:8000"},
    {"api-key", 0, QN_OPT_TEXT, .arg = "KEY", .help = "Its API key.",
     .env = "QUERN_API_KEY"},
    {"timeout", 0, QN_OPT_REAL, .arg = "S",
     .help = "A request that takes longer has failed.", .def = "600",
     .lo = 0.001, .hi = 1e6},
    {0},
};
static const qn_opt load_opts[] = {
    {"num-prompts", 0, QN_OPT_INT, .arg = "N", .help = "Requests in all.",
     .def = "100", .lo = 1, .hi = 1000000},
    {"max-concurrency", 0, QN_OPT_INT, .arg = "N",
     .help = "Clients: each sends its next request when its last is answered.",
     .def = "8", .lo = 1, .hi = 1024},
    {"request-rate", 0, QN_OPT_REAL, .arg = "R",
     .help = "Requests per second on average, at random times (Poisson); 0: as "
             "fast as the clients can.",
     .def = "0", .lo = 0, .hi = 1e6},
    {"random-input-len", 0, QN_OPT_INT, .arg = "N",
     .help = "Tokens of a prompt.", .def = "128", .lo = 1, .hi = 10000000},
    {"random-output-len", 0, QN_OPT_INT, .arg = "N",
     .help = "Tokens of an answer.", .def = "64", .lo = 1, .hi = 10000000},
    {"random-range-ratio", 0, QN_OPT_REAL, .arg = "X",
     .help = "Both lengths vary evenly by this part of themselves, up and "
             "down.",
     .def = "0", .lo = 0, .hi = 1},
    {"random-prefix-len", 0, QN_OPT_INT, .arg = "N",
     .help = "Tokens before them that all prompts share.", .def = "0", .lo = 0,
     .hi = 10000000},
    {"vocab-size", 0, QN_OPT_INT, .arg = "N",
     .help = "Prompts are of random token ids below this.", .def = "1000",
     .lo = FIRST_ID + 1, .hi = INT32_MAX},
    {"seed", 0, QN_OPT_INT, .arg = "N", .help = "Of the random numbers.",
     .def = "0", .lo = 0, .hi = 0},
    {0},
};
static const qn_opt report_opts[] = {
    {"slo-ttft", 0, QN_OPT_REAL, .arg = "MS",
     .help = "Goodput counts requests whose first token came within this; 0: "
             "all.",
     .def = "0", .lo = 0, .hi = 1e9},
    {"slo-tpot", 0, QN_OPT_REAL, .arg = "MS",
     .help = "And whose later tokens took no more than this on average; 0: "
             "all.",
     .def = "0", .lo = 0, .hi = 1e9},
    {"output-format", 0, QN_OPT_CHOICE, .arg = "text|json",
     .help = "A table, or one JSON object.", .def = "text"},
    {0},
};
static const qn_opt_group groups[] = {
    {"Server", target_opts},
    {"Load", load_opts},
    {"Report", report_opts},
    {0},
};

/* ---- the load ---------------------------------------------------------- */

typedef struct bench {
    qn_shot_target target;
    int n, n_threads;
    int64_t n_in, n_out, n_prefix, vocab;
    double rate, range, timeout;
    uint64_t seed, t0;
    double *due; /* [n] s since t0 */
    qn_shot_result *results;
    pthread_mutex_t lock;
    int next;
    double seconds;
} bench;

static int64_t vary(const bench *b, int64_t n, uint64_t stream, uint64_t i)
{
    double u = 2 * qn_rng_uniform(b->seed, stream, i) - 1;
    int64_t v = n + (int64_t)llround(u * b->range * (double)n);
    return QN_MAX(v, 1);
}

static int token(const bench *b, uint64_t stream, uint64_t i)
{
    double u = qn_rng_uniform(b->seed, stream, i);
    return FIRST_ID + (int)(u * (double)(b->vocab - FIRST_ID));
}

static void compose(const bench *b, int i, qn_str *body)
{
    int64_t n_in = vary(b, b->n_in, 1, (uint64_t)i);
    qn_str_clear(body);
    qn_str_adds(body, "{\"prompt\":[");
    for (int64_t k = 0; k < b->n_prefix + n_in; k++) {
        bool shared = k < b->n_prefix;
        int id = token(b, shared ? 2 : 100 + (uint64_t)i, (uint64_t)k);
        qn_str_addf(body, k ? ",%d" : "%d", id);
    }
    qn_str_addf(body,
                "],\"max_tokens\":%lld,\"temperature\":0,\"ignore_eos\":true,"
                "\"stream\":true,\"stream_options\":{\"include_usage\":true}}",
                (long long)vary(b, b->n_out, 3, (uint64_t)i));
}

static void *client(void *arg)
{
    bench *b = arg;
    qn_str body = {0};
    for (;;) {
        pthread_mutex_lock(&b->lock);
        int i = b->next < b->n ? b->next++ : -1;
        pthread_mutex_unlock(&b->lock);
        if (i < 0)
            break;
        compose(b, i, &body);
        double wait = b->due[i] - (double)(qn_now_ns() - b->t0) * 1e-9;
        if (wait > 0)
            usleep((useconds_t)(wait * 1e6));
        qn_shot_run(&b->target, body.p, body.n, b->timeout, b->t0,
                    &b->results[i]);
    }
    qn_str_deinit(&body);
    return NULL;
}

static int run_load(bench *b, qn_err *err)
{
    QN_VEC(pthread_t) threads = {0};
    double t = 0;
    for (int i = 0; i < b->n; i++) {
        if (b->rate > 0)
            t -= log(1 - qn_rng_uniform(b->seed, 4, (uint64_t)i)) / b->rate;
        b->due[i] = t;
    }
    b->t0 = qn_now_ns();
    for (int i = 0; i < b->n_threads; i++) {
        pthread_t id;
        if (pthread_create(&id, NULL, client, b) != 0)
            break;
        qn_vec_push(&threads, id);
    }
    for (size_t i = 0; i < threads.n; i++)
        pthread_join(threads.v[i], NULL);
    b->seconds = (double)(qn_now_ns() - b->t0) * 1e-9;
    int rc = threads.n ? 0 : qn_fail(err, QN_EIO, "no thread for a client");
    qn_vec_deinit(&threads);
    return rc;
}

/* ---- the report -------------------------------------------------------- */

typedef QN_VEC(double) samples;

typedef struct report {
    int n_ok, n_good;
    int64_t n_in, n_out;
    samples ttft, tpot, itl, e2e; /* ms */
} report;

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* With interpolation between neighbours, as numpy's default. */
static double percentile(const samples *s, double p)
{
    if (s->n == 0)
        return 0;
    double at = p / 100 * (double)(s->n - 1);
    size_t i = (size_t)at;
    double next = s->v[QN_MIN(i + 1, s->n - 1)];
    return s->v[i] + (at - (double)i) * (next - s->v[i]);
}

static double mean(const samples *s)
{
    double sum = 0;
    for (size_t i = 0; i < s->n; i++)
        sum += s->v[i];
    return s->n ? sum / (double)s->n : 0;
}

static void sort(samples *s)
{
    if (s->n)
        qsort(s->v, s->n, sizeof *s->v, by_value);
}

static void gather(const bench *b, const qn_args *a, report *r)
{
    double max_ttft = qn_args_real(a, "slo-ttft");
    double max_tpot = qn_args_real(a, "slo-tpot");
    for (int i = 0; i < b->n; i++) {
        const qn_shot_result *x = &b->results[i];
        if (!x->ok)
            continue;
        double tpot = x->n_out > 1 ? (x->e2e - x->ttft) * 1e3 / (x->n_out - 1)
                                   : 0;
        r->n_ok++;
        r->n_in += x->n_prompt;
        r->n_out += x->n_out;
        r->n_good += (max_ttft == 0 || x->ttft * 1e3 <= max_ttft) &&
                     (max_tpot == 0 || tpot <= max_tpot);
        qn_vec_push(&r->ttft, x->ttft * 1e3);
        qn_vec_push(&r->e2e, x->e2e * 1e3);
        if (x->n_out > 1)
            qn_vec_push(&r->tpot, tpot);
        for (int k = 0; k < x->n_gaps; k++)
            qn_vec_push(&r->itl, x->gaps[k] * 1e3);
    }
    sort(&r->ttft);
    sort(&r->tpot);
    sort(&r->itl);
    sort(&r->e2e);
}

typedef struct figure {
    const char *name, *text;
    double value;
} figure;

static void print_figures(const bench *b, const report *r, bool json)
{
    double s = b->seconds;
    const figure head[] = {
        {"completed", "Successful requests:", r->n_ok},
        {"failed", "Failed requests:", b->n - r->n_ok},
        {"duration", "Benchmark duration (s):", s},
        {"total_input_tokens", "Total input tokens:", (double)r->n_in},
        {"total_output_tokens", "Total generated tokens:", (double)r->n_out},
        {"request_throughput", "Request throughput (req/s):", r->n_ok / s},
        {"request_goodput", "Request goodput (req/s):", r->n_good / s},
        {"output_throughput",
         "Output token throughput (tok/s):", (double)r->n_out / s},
        {"total_token_throughput",
         "Total token throughput (tok/s):", (double)(r->n_in + r->n_out) / s},
    };
    for (size_t i = 0; i < QN_COUNTOF(head); i++)
        if (json)
            printf("\"%s\": %.6g, ", head[i].name, head[i].value);
        else
            printf("%-40s %10.2f\n", head[i].text, head[i].value);
}

static void print_samples(const report *r, bool json)
{
    const struct {
        const char *name, *text;
        const samples *s;
    } rows[] = {
        {"ttft", "TTFT", &r->ttft},
        {"tpot", "TPOT", &r->tpot},
        {"itl", "ITL", &r->itl},
        {"e2el", "E2EL", &r->e2e},
    };
    static const int ps[] = {50, 90, 99};
    for (size_t i = 0; i < QN_COUNTOF(rows); i++) {
        char text[64];
        if (json)
            printf("%s\"mean_%s_ms\": %.6g", i ? ", " : "", rows[i].name,
                   mean(rows[i].s));
        else
            printf("Mean %s (ms):%*s %10.2f\n", rows[i].text,
                   (int)(28 - strlen(rows[i].text)), "", mean(rows[i].s));
        for (size_t k = 0; k < QN_COUNTOF(ps); k++) {
            double v = percentile(rows[i].s, ps[k]);
            snprintf(text, sizeof text, "P%d %s (ms):", ps[k], rows[i].text);
            if (json)
                printf(", \"p%d_%s_ms\": %.6g", ps[k], rows[i].name, v);
            else
                printf("%-40s %10.2f\n", text, v);
        }
    }
}

static void print_report(const bench *b, const qn_args *a)
{
    report r = {0};
    bool json = qn_args_is(a, "output-format", "json");
    gather(b, a, &r);
    printf(json ? "{" : "============ Serving Benchmark Result ============\n");
    print_figures(b, &r, json);
    print_samples(&r, json);
    printf(json ? "}\n"
                : "==================================================\n");
    qn_vec_deinit(&r.ttft);
    qn_vec_deinit(&r.tpot);
    qn_vec_deinit(&r.itl);
    qn_vec_deinit(&r.e2e);
}

static int bench_serve(qn_args *a, qn_err *err)
{
    bench b = {
        .n = (int)qn_args_int(a, "num-prompts"),
        .n_threads = (int)qn_args_int(a, "max-concurrency"),
        .n_in = qn_args_int(a, "random-input-len"),
        .n_out = qn_args_int(a, "random-output-len"),
        .n_prefix = qn_args_int(a, "random-prefix-len"),
        .vocab = qn_args_int(a, "vocab-size"),
        .rate = qn_args_real(a, "request-rate"),
        .range = qn_args_real(a, "random-range-ratio"),
        .timeout = qn_args_real(a, "timeout"),
        .seed = (uint64_t)qn_args_int(a, "seed"),
        .lock = PTHREAD_MUTEX_INITIALIZER,
    };
    QN_TRY(qn_shot_parse_url(&b.target, qn_args_text(a, "url"), err));
    b.target.key = qn_args_text(a, "api-key");
    b.due = qn_xcalloc((size_t)b.n, sizeof *b.due);
    b.results = qn_xcalloc((size_t)b.n, sizeof *b.results);
    int rc = run_load(&b, err), n_ok = 0, status = 0;
    for (int i = 0; i < b.n; i++) {
        n_ok += b.results[i].ok;
        if (!b.results[i].ok)
            status = b.results[i].status;
    }
    if (rc == 0)
        print_report(&b, a);
    if (rc == 0 && n_ok == 0)
        rc = qn_fail(err, QN_EIO,
                     "no request to %s succeeded (HTTP status %d; 0 is no "
                     "connection)",
                     qn_args_text(a, "url"), status);
    for (int i = 0; i < b.n; i++)
        free(b.results[i].gaps);
    free(b.results);
    free(b.due);
    return rc;
}

static const qn_example examples[] = {
    {"quern bench serve --max-concurrency 16 --num-prompts 200",
     "Sixteen clients in a closed loop."},
    {"quern bench serve --request-rate 2 --max-concurrency 64",
     "Two requests a second, whether the earlier ones are answered or not."},
    {0},
};

const qn_command qn_cmd_bench_serve = {
    .name = "bench serve",
    .summary = "put load on a server and measure",
    .operands = "",
    .max_operands = 0,
    .about =
        "Sends completion requests of random tokens to a server that speaks "
        "OpenAI's API, streams the answers, and prints throughput and "
        "latencies: to the first token (TTFT), per later token (TPOT), between "
        "pieces of text (ITL), end to end (E2EL).",
    .examples = examples,
    .groups = groups,
    .run = bench_serve,
};
