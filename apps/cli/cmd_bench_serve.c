/* cmd_bench_serve.c - quern bench serve: load on a server, and what it felt
 * like to its clients.
 *
 * One thread hands out the requests of a plan (load_plan.h) when they are due;
 * a thread per request under way sends it and reads the answer (shot.h). */
#include "base/clock.h"
#include "base/mem.h"
#include "base/vec.h"
#include "cli/commands.h"
#include "cli/load_plan.h"
#include "cli/load_report.h"
#include "cli/shot.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MAX_THREADS 8192
#define STACK (256 << 10)

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
    {"num-prompts", 0, QN_OPT_INT, .arg = "N",
     .help = "Requests in all; of a trace, its first ones.", .def = "100",
     .lo = 1, .hi = 1000000},
    {"max-concurrency", 0, QN_OPT_INT, .arg = "N",
     .help = "Requests under way at a time: a client sends its next when its "
             "last is answered. 0: 8, or any number when requests come at "
             "their own times (--request-rate, --trace).",
     .def = "0", .lo = 0, .hi = MAX_THREADS},
    {"request-rate", 0, QN_OPT_REAL, .arg = "R",
     .help = "Requests per second on average, at random times (Poisson), "
             "whether earlier ones are answered or not; 0: as fast as the "
             "clients can.",
     .def = "0", .lo = 0, .hi = 1e6},
    {"trace", 0, QN_OPT_FILE, .arg = "FILE",
     .help = "Replay times and lengths of this CSV file, which has columns "
             "TIMESTAMP, ContextTokens and GeneratedTokens."},
    {"trace-speed", 0, QN_OPT_REAL, .arg = "X",
     .help = "Replay it so many times faster.", .def = "1", .lo = 1e-6,
     .hi = 1e9},
    {"abort-part", 0, QN_OPT_REAL, .arg = "X",
     .help = "This part of the clients leaves in the middle of the answer.",
     .def = "0", .lo = 0, .hi = 1},
    {"abort-within", 0, QN_OPT_REAL, .arg = "S",
     .help = "At a random time up to this.", .def = "1", .lo = 0.001,
     .hi = 1e6},
    {"retries", 0, QN_OPT_INT, .arg = "N",
     .help = "A request that is refused (429, 503) is sent again up to so many "
             "times, when the server says (Retry-After); its latencies count "
             "from the first time. 0: it has failed.",
     .def = "0", .lo = 0, .hi = 1000},
    {"seed", 0, QN_OPT_INT, .arg = "N", .help = "Of the random numbers.",
     .def = "0", .lo = 0, .hi = 0},
    {0},
};
static const qn_opt length_opts[] = {
    {"random-input-len", 0, QN_OPT_INT, .arg = "N",
     .help = "Tokens of a prompt.", .def = "128", .lo = 1, .hi = 10000000},
    {"random-output-len", 0, QN_OPT_INT, .arg = "N",
     .help = "Tokens of an answer.", .def = "64", .lo = 1, .hi = 10000000},
    {"random-spread", 0, QN_OPT_CHOICE, .arg = "uniform|lognormal|exponential",
     .help = "How lengths vary around these.", .def = "uniform"},
    {"random-range-ratio", 0, QN_OPT_REAL, .arg = "X",
     .help = "uniform: by this part of themselves, up and down; lognormal: "
             "the deviation of their logarithm.",
     .def = "0", .lo = 0, .hi = 1},
    {"random-prefix-len", 0, QN_OPT_INT, .arg = "N",
     .help = "Tokens before them that prompts share.", .def = "0", .lo = 0,
     .hi = 10000000},
    {"random-prefixes", 0, QN_OPT_INT, .arg = "N",
     .help = "So many different beginnings, each shared by its part of the "
             "prompts.",
     .def = "1", .lo = 1, .hi = 1000000},
    {"max-model-len", 0, QN_OPT_INT, .arg = "N",
     .help = "Prompt and answer together are cut to this; 0: they are not.",
     .def = "0", .lo = 0, .hi = 10000000},
    {"vocab-size", 0, QN_OPT_INT, .arg = "N",
     .help = "Prompts are of random token ids below this.", .def = "1000",
     .lo = 11, .hi = INT32_MAX},
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
    {"slo-e2el", 0, QN_OPT_REAL, .arg = "MS",
     .help = "And that ended within this; 0: all.", .def = "0", .lo = 0,
     .hi = 1e9},
    {"output-format", 0, QN_OPT_CHOICE, .arg = "text|json",
     .help = "A table, or one JSON object.", .def = "text"},
    {0},
};
static const qn_opt_group groups[] = {
    {"Server", target_opts},
    {"Load", load_opts},
    {"Lengths", length_opts},
    {"Report", report_opts},
    {0},
};

/* ---- the load ---------------------------------------------------------- */

typedef struct bench {
    qn_shot_target target;
    qn_load load;
    double timeout;
    int retries;
    int max_threads;
    uint64_t t0;
    qn_shot_result *results;

    pthread_mutex_t lock;
    pthread_cond_t due;
    int next, n_due; /* requests [next, n_due) wait for a client */
    int n_idle, n_busy, peak;
    QN_VEC(pthread_t) threads;
} bench;

/* Waits for a request; -1 when all have been taken. Under lock. */
static int take(bench *b)
{
    b->n_idle++;
    while (b->next == b->n_due && b->next < b->load.n)
        pthread_cond_wait(&b->due, &b->lock);
    b->n_idle--;
    return b->next < b->load.n ? b->next++ : -1;
}

static void *client(void *arg)
{
    bench *b = arg;
    qn_str body = {0};
    pthread_mutex_lock(&b->lock);
    for (int i; (i = take(b)) >= 0;) {
        b->n_busy++;
        b->peak = QN_MAX(b->peak, b->n_busy);
        pthread_mutex_unlock(&b->lock);
        qn_load_body(&b->load, i, &body);
        const qn_load_shot *s = &b->load.shots[i];
        qn_shot shot = {.body = body.p,
                        .n = body.n,
                        .timeout = b->timeout,
                        .leave = s->leave,
                        .n_out = s->n_out,
                        .retries = b->retries};
        qn_shot_run(&b->target, &shot, b->t0, &b->results[i]);
        pthread_mutex_lock(&b->lock);
        b->n_busy--;
    }
    pthread_cond_broadcast(&b->due);
    pthread_mutex_unlock(&b->lock);
    qn_str_deinit(&body);
    return NULL;
}

/* One more client, if there may be one. Under lock. */
static void hire(bench *b)
{
    pthread_attr_t attr;
    pthread_t id;
    if (b->threads.n >= (size_t)b->max_threads)
        return;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK);
    if (pthread_create(&id, &attr, client, b) == 0)
        qn_vec_push(&b->threads, id);
    else
        b->max_threads = (int)b->threads.n;
    pthread_attr_destroy(&attr);
}

static int run_load(bench *b, double *seconds, qn_err *err)
{
    b->t0 = qn_now_ns();
    for (int i = 0; i < b->load.n && b->max_threads > 0; i++) {
        double wait = b->load.shots[i].due -
                      (double)(qn_now_ns() - b->t0) * 1e-9;
        if (wait > 0)
            usleep((useconds_t)(wait * 1e6));
        pthread_mutex_lock(&b->lock);
        b->n_due++;
        if (b->n_idle < b->n_due - b->next)
            hire(b);
        pthread_cond_signal(&b->due);
        pthread_mutex_unlock(&b->lock);
    }
    for (size_t i = 0; i < b->threads.n; i++)
        pthread_join(b->threads.v[i], NULL);
    *seconds = (double)(qn_now_ns() - b->t0) * 1e-9;
    int rc = b->threads.n ? 0 : qn_fail(err, QN_EIO, "no thread for a client");
    qn_vec_deinit(&b->threads);
    return rc;
}

/* ---- the command ------------------------------------------------------- */

static void take_params(qn_load_params *p, const qn_args *a)
{
    *p = (qn_load_params){
        .n = (int)qn_args_int(a, "num-prompts"),
        .rate = qn_args_real(a, "request-rate"),
        .n_in = qn_args_int(a, "random-input-len"),
        .n_out = qn_args_int(a, "random-output-len"),
        .max_len = qn_args_int(a, "max-model-len"),
        .ratio = qn_args_real(a, "random-range-ratio"),
        .n_prefix = qn_args_int(a, "random-prefix-len"),
        .n_prefixes = (int)qn_args_int(a, "random-prefixes"),
        .vocab = qn_args_int(a, "vocab-size"),
        .abort_part = qn_args_real(a, "abort-part"),
        .abort_s = qn_args_real(a, "abort-within"),
        .seed = (uint64_t)qn_args_int(a, "seed"),
        .trace = qn_args_text(a, "trace"),
        .speed = qn_args_real(a, "trace-speed"),
    };
    if (qn_args_is(a, "random-spread", "lognormal"))
        p->spread = QN_SPREAD_LOGNORMAL;
    if (qn_args_is(a, "random-spread", "exponential"))
        p->spread = QN_SPREAD_EXPONENTIAL;
}

#define MOST_TOLD 20

/* The failures that somebody would look into, to stderr: all but those that a
 * full queue refused. */
static void tell_failures(const bench *b)
{
    static const char *const what[QN_SHOT_ENDS] = {
        [QN_SHOT_STATUS] = "another status than 200",
        [QN_SHOT_CONNECT] = "no connection",
        [QN_SHOT_TIMEOUT] = "no end in time",
        [QN_SHOT_CUT] = "the answer was cut off",
        [QN_SHOT_SHORT] = "fewer tokens than asked",
    };
    int n = 0;
    for (int i = 0; i < b->load.n; i++) {
        const qn_shot_result *r = &b->results[i];
        const qn_load_shot *s = &b->load.shots[i];
        if (!what[r->end] || n++ >= MOST_TOLD)
            continue;
        fprintf(stderr,
                "request %d of seed %llu, sent at %.2f s (prompt %lld, shared "
                "%lld, completion %lld): %s: status %d, %d tokens, %d pieces, "
                "after %.2f s%s%s\n",
                i, (unsigned long long)b->load.p.seed, r->start,
                (long long)s->n_in, (long long)b->load.p.n_prefix,
                (long long)s->n_out, what[r->end], r->status, r->n_out,
                r->n_gaps, r->e2e, r->why ? ": " : "", r->why ? r->why : "");
    }
    if (n > MOST_TOLD)
        fprintf(stderr, "and %d more failures\n", n - MOST_TOLD);
}

/* Of the requests, none of which succeeded: what to do about it. */
static int judge(const bench *b, const char *url, qn_err *err)
{
    const qn_shot_result *r = NULL;
    for (int i = 0; i < b->load.n; i++) {
        if (b->results[i].end <= QN_SHOT_LEFT)
            return 0;
        if (!r || b->results[i].why)
            r = &b->results[i];
    }
    const char *why = r && r->why ? r->why : "";
    switch (r ? r->end : QN_SHOT_CONNECT) {
    case QN_SHOT_CONNECT:
        return qn_fail(err, QN_EIO,
                       "no connection to %s: %s; start a server there (quern "
                       "serve), or say with --url where one is",
                       url, why);
    case QN_SHOT_TIMEOUT:
        return qn_fail(err, QN_EIO,
                       "no request to %s was answered within %g s; raise "
                       "--timeout or lower --max-concurrency",
                       url, b->timeout);
    case QN_SHOT_SHORT:
        return qn_fail(err, QN_EIO,
                       "every answer of %s had fewer tokens than were asked "
                       "for: does it know ignore_eos?",
                       url);
    case QN_SHOT_CUT:
        return qn_fail(err, QN_EIO,
                       "no answer of %s came to its end%s%s: is that a server "
                       "of OpenAI's API?",
                       url, *why ? ": " : "", why);
    default:
        return qn_fail(err, QN_EIO, "%s answers with status %d%s%s", url,
                       r->status, *why ? ": " : "", why);
    }
}

static int bench_serve(qn_args *a, qn_err *err)
{
    qn_load_params p;
    take_params(&p, a);
    if (p.trace && p.rate > 0)
        return qn_usage(err, "--trace and --request-rate: which of the two "
                             "says when requests come?");
    int most = (int)qn_args_int(a, "max-concurrency");
    bool open = p.trace || p.rate > 0;
    bench b = {
        .timeout = qn_args_real(a, "timeout"),
        .retries = (int)qn_args_int(a, "retries"),
        .max_threads = most   ? most
                       : open ? MAX_THREADS
                              : 8,
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .due = PTHREAD_COND_INITIALIZER,
    };
    const char *url = qn_args_text(a, "url");
    QN_TRY(qn_shot_parse_url(&b.target, url, err));
    b.target.key = qn_args_text(a, "api-key");
    QN_TRY(qn_load_make(&b.load, &p, err));
    b.results = qn_xcalloc((size_t)b.load.n, sizeof *b.results);
    qn_load_run run = {
        .load = &b.load,
        .results = b.results,
        .goal = {qn_args_real(a, "slo-ttft"), qn_args_real(a, "slo-tpot"),
                 qn_args_real(a, "slo-e2el")},
        .max_concurrency = most   ? most
                           : open ? 0
                                  : 8,
    };
    int rc = run_load(&b, &run.seconds, err);
    run.peak = b.peak;
    bool json = qn_args_is(a, "output-format", "json"), ran = rc == 0;
    if (ran)
        rc = judge(&b, url, err);
    if (ran && (rc == 0 || json)) /* no table of nothings */
        qn_load_report(&run, json);
    if (ran && rc == 0)
        tell_failures(&b);
    for (int i = 0; i < b.load.n; i++) {
        free(b.results[i].gaps);
        free(b.results[i].why);
    }
    free(b.results);
    qn_load_deinit(&b.load);
    return rc;
}

static const qn_example examples[] = {
    {"quern bench serve --max-concurrency 16 --num-prompts 200",
     "Sixteen clients in a closed loop."},
    {"quern bench serve --request-rate 2 --slo-ttft 500 --slo-tpot 100",
     "Two requests a second, whether the earlier ones are answered or not, and "
     "how many of them were served well."},
    {"quern bench serve --trace trace.csv --trace-speed 4 --max-model-len 4096",
     "What came in on another server, four times as fast."},
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
