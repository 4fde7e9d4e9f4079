/* metrics.c - see metrics.h. */
#include "server/metrics.h"

#include "base/clock.h"
#include "base/mem.h"
#include "server/jsonout.h"
#include "server/server_int.h"

/* Upper bounds; the last bucket has none. */
static const double seconds[QN_SAMPLE_BUCKETS] = {0.001, 0.002, 0.005, 0.01,
                                                  0.02,  0.03,  0.05,  0.075,
                                                  0.1,   0.15,  0.25,  0.5,
                                                  1,     2.5,   5,     10,
                                                  20,    40,    80,    160};
static const double tokens[QN_SAMPLE_BUCKETS] = {1,     2,     4,     8,
                                                 16,    32,    64,    128,
                                                 256,   512,   768,   1024,
                                                 1536,  2048,  4096,  8192,
                                                 16384, 32768, 65536, 131072};

static const struct {
    const char *name, *vllm;
    const double *bounds;
    const char *help;
} samples[QN_SAMPLE_N] = {
    [QN_SAMPLE_TTFT] = {"quern_time_to_first_token_seconds",
                        "vllm:time_to_first_token_seconds", seconds,
                        "Arrival to first token."},
    [QN_SAMPLE_ITL] = {"quern_inter_token_latency_seconds",
                       "vllm:inter_token_latency_seconds", seconds,
                       "Time between two tokens of a completion."},
    [QN_SAMPLE_TPOT] = {"quern_time_per_output_token_seconds",
                        "vllm:request_time_per_output_token_seconds", seconds,
                        "Mean time of a request's tokens after the first."},
    [QN_SAMPLE_E2E] = {"quern_request_seconds",
                       "vllm:e2e_request_latency_seconds", seconds,
                       "Arrival to last token."},
    [QN_SAMPLE_QUEUE] = {"quern_request_queue_seconds",
                         "vllm:request_queue_time_seconds", seconds,
                         "Arrival to admission by the engine."},
    [QN_SAMPLE_PREFILL] = {"quern_request_prefill_seconds",
                           "vllm:request_prefill_time_seconds", seconds,
                           "Admission to first token."},
    [QN_SAMPLE_DECODE] = {"quern_request_decode_seconds",
                          "vllm:request_decode_time_seconds", seconds,
                          "First to last token."},
    [QN_SAMPLE_RUN] = {"quern_request_inference_seconds",
                       "vllm:request_inference_time_seconds", seconds,
                       "Admission to last token."},
    [QN_SAMPLE_PROMPT] = {"quern_request_prompt_tokens",
                          "vllm:request_prompt_tokens", tokens,
                          "Prompt tokens of a request."},
    [QN_SAMPLE_COMPLETION] = {"quern_request_completion_tokens",
                              "vllm:request_generation_tokens", tokens,
                              "Tokens generated for a request."},
    [QN_SAMPLE_STEP] = {"quern_engine_step_tokens",
                        "vllm:iteration_tokens_total", tokens,
                        "Tokens in a forward pass."},
};

void qn_metrics_count(qn_metrics *m, qn_metric which, uint64_t n)
{
    atomic_fetch_add(&m->counter[which], n);
}

void qn_metrics_sample(qn_metrics *m, qn_sample which, double v)
{
    qn_histogram *h = &m->sample[which];
    int i = 0;
    while (i < QN_SAMPLE_BUCKETS && v > samples[which].bounds[i])
        i++;
    atomic_fetch_add(&h->count[i], 1);
    atomic_fetch_add(&h->sum_micro, (uint64_t)(QN_MAX(v, 0.0) * 1e6));
}

void qn_metrics_response(qn_metrics *m, int status, bool whole)
{
    if (status > 0 && status < QN_STATUS_CODES)
        atomic_fetch_add(&m->status[status], 1);
    if (!whole)
        atomic_fetch_add(&m->unfinished, 1);
}

/* ---- text -------------------------------------------------------------- */

typedef struct writer {
    struct qn_server *srv;
    qn_str *out;
    qn_runner_stats rs;
} writer;

static void head(writer *w, const char *name, const char *type,
                 const char *help)
{
    qn_str_addf(w->out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void label(writer *w)
{
    qn_str_adds(w->out, "model_name=");
    qn_jsonout_cstr(w->out, w->srv->name);
}

static void number(writer *w, const char *name, double v)
{
    qn_str_adds(w->out, name);
    qn_str_addc(w->out, '{');
    label(w);
    qn_str_addf(w->out, "} %.15g\n", v);
}

static double value_of(const writer *w, qn_metric m)
{
    return (double)atomic_load(&w->srv->metrics.counter[m]);
}

typedef struct single {
    const char *name, *vllm, *type, *help;
    double (*value)(const writer *w);
} single;

static double running(const writer *w)
{
    return w->rs.engine.n_running;
}
static double waiting(const writer *w)
{
    return qn_runner_waiting(w->srv->runner) +
           qn_worker_waiting(w->srv->worker);
}
static double kv_use(const writer *w)
{
    int64_t n = w->rs.engine.n_pages;
    return n ? (double)w->rs.engine.n_pages_used / (double)n : 0;
}
static double kv_bytes(const writer *w)
{
    (void)w;
    return (double)qn_big_used(QN_MEM_KV);
}
static double kv_cached(const writer *w)
{
    int64_t n = w->rs.engine.n_pages;
    return n ? (double)w->rs.engine.n_pages_cached / (double)n : 0;
}
static double cache_queries(const writer *w)
{
    return (double)w->rs.engine.cache_queries;
}
static double cache_hits(const writer *w)
{
    return (double)w->rs.engine.cache_hits;
}
static double prompt_tokens(const writer *w)
{
    return value_of(w, QN_METRIC_PROMPT_TOKENS);
}
static double completion_tokens(const writer *w)
{
    return value_of(w, QN_METRIC_COMPLETION_TOKENS);
}
static double rejected(const writer *w)
{
    return value_of(w, QN_METRIC_REJECTED);
}
static double failing(const writer *w)
{
    return qn_server_failing(w->srv);
}
static double cancelled(const writer *w)
{
    return value_of(w, QN_METRIC_CANCELLED);
}
static double timed_out(const writer *w)
{
    return value_of(w, QN_METRIC_TIMED_OUT);
}
static double preempted(const writer *w)
{
    return (double)w->rs.engine.n_preempted;
}
static double swapped(const writer *w)
{
    return (double)w->rs.engine.n_swapped;
}
static double swap_bytes(const writer *w)
{
    return (double)w->rs.engine.swap_bytes;
}
static double guessed(const writer *w)
{
    return (double)w->rs.engine.n_guessed;
}
static double guessed_right(const writer *w)
{
    return (double)w->rs.engine.n_right;
}
static double steps(const writer *w)
{
    return (double)w->rs.engine.n_steps;
}
static double rows(const writer *w)
{
    return (double)w->rs.engine.n_rows;
}
static double forward_seconds(const writer *w)
{
    return w->rs.engine.forward_ms * 1e-3;
}
static double step_seconds(const writer *w)
{
    return w->rs.engine.step_ms * 1e-3;
}
static double host_seconds(const writer *w)
{
    return w->rs.host_ms * 1e-3;
}
static double connections(const writer *w)
{
    return qn_conns_count(w->srv->conns);
}
static double unfinished(const writer *w)
{
    return (double)atomic_load(&w->srv->metrics.unfinished);
}
static double log_lost(const writer *w)
{
    return (double)qn_accesslog_lost(w->srv->log);
}
static double resident(const writer *w)
{
    (void)w;
    return (double)qn_mem_rss();
}

static const single singles[] = {
    {"quern_requests_running", "vllm:num_requests_running", "gauge",
     "Requests that the engine runs.", running},
    {"quern_requests_waiting", "vllm:num_requests_waiting", "gauge",
     "Requests that wait for the engine.", waiting},
    {"quern_kv_cache_used_ratio", "vllm:kv_cache_usage_perc", "gauge",
     "Part of the KV pages that running requests hold.", kv_use},
    {"quern_kv_cache_kept_ratio", NULL, "gauge",
     "Part of the KV pages that only the prefix cache holds.", kv_cached},
    {"quern_kv_cache_bytes", NULL, "gauge", "Memory of the KV cache.",
     kv_bytes},
    {"quern_prefix_cache_queried_tokens_total",
     "vllm:prefix_cache_queries_total", "counter",
     "Prompt tokens looked up in the prefix cache.", cache_queries},
    {"quern_prefix_cache_hit_tokens_total", "vllm:prefix_cache_hits_total",
     "counter", "Prompt tokens found there.", cache_hits},
    {"quern_prompt_tokens_total", "vllm:prompt_tokens_total", "counter",
     "Prompt tokens of finished requests.", prompt_tokens},
    {"quern_completion_tokens_total", "vllm:generation_tokens_total", "counter",
     "Tokens generated.", completion_tokens},
    {"quern_engine_failing", NULL, "gauge",
     "1 while /health says so: the last step failed.", failing},
    {"quern_rejected_total", NULL, "counter",
     "Requests answered 429 because the queue was full.", rejected},
    {"quern_cancelled_total", NULL, "counter",
     "Requests whose client left before the end.", cancelled},
    {"quern_timed_out_total", NULL, "counter",
     "Requests ended by queue-timeout or request-timeout.", timed_out},
    {"quern_preempted_total", "vllm:num_preemptions_total", "counter",
     "Times that a running request gave way to others.", preempted},
    {"quern_swapped_total", NULL, "counter",
     "Of them those whose KV was kept in memory.", swapped},
    {"quern_swap_bytes", NULL, "gauge", "Memory that holds such KV.",
     swap_bytes},
    {"quern_guessed_tokens_total", "vllm:spec_decode_num_draft_tokens_total",
     "counter", "Tokens guessed ahead.", guessed},
    {"quern_guessed_right_tokens_total",
     "vllm:spec_decode_num_accepted_tokens_total", "counter",
     "Of them those that were right.", guessed_right},
    {"quern_engine_steps_total", NULL, "counter", "Forward passes.", steps},
    {"quern_engine_rows_total", NULL, "counter",
     "Tokens that went through forward passes.", rows},
    {"quern_engine_forward_seconds_total", NULL, "counter",
     "Time in forward passes.", forward_seconds},
    {"quern_engine_step_seconds_total", NULL, "counter",
     "Time in engine steps: forward passes, sampling, text.", step_seconds},
    {"quern_engine_host_seconds_total", NULL, "counter",
     "Time of the engine thread between steps, waiting excepted.",
     host_seconds},
    {"quern_http_connections", NULL, "gauge", "Open connections.", connections},
    {"quern_http_unfinished_total", NULL, "counter",
     "Answers that were cut off, by the client or by a limit.", unfinished},
    {"quern_access_log_lost_total", NULL, "counter",
     "Lines of the access log that could not be written.", log_lost},
    {"process_resident_memory_bytes", NULL, "gauge", "Resident memory.",
     resident},
};

static void write_singles(writer *w, bool vllm)
{
    for (size_t i = 0; i < QN_COUNTOF(singles); i++) {
        const char *name = vllm ? singles[i].vllm : singles[i].name;
        if (!name)
            continue;
        head(w, name, singles[i].type, singles[i].help);
        number(w, name, singles[i].value(w));
    }
}

static void write_status(writer *w)
{
    head(w, "quern_http_responses_total", "counter", "Answers by status code.");
    for (int i = 100; i < QN_STATUS_CODES; i++) {
        uint64_t n = atomic_load(&w->srv->metrics.status[i]);
        if (n)
            qn_str_addf(w->out,
                        "quern_http_responses_total{code=\"%d\"} %llu\n", i,
                        (unsigned long long)n);
    }
}

static void write_finishes(writer *w, const char *name)
{
    static const struct {
        qn_metric m;
        const char *reason;
    } rows_[] = {{QN_METRIC_STOP, "stop"},
                 {QN_METRIC_LENGTH, "length"},
                 {QN_METRIC_ABORT, "abort"},
                 {QN_METRIC_ERROR, "error"}};
    head(w, name, "counter", "Completions by why they ended.");
    for (size_t i = 0; i < QN_COUNTOF(rows_); i++) {
        qn_str_addf(w->out, "%s{", name);
        label(w);
        qn_str_addf(w->out, ",finished_reason=\"%s\"} %.15g\n", rows_[i].reason,
                    value_of(w, rows_[i].m));
    }
}

static void write_sample(writer *w, int which, const char *name)
{
    qn_histogram *h = &w->srv->metrics.sample[which];
    uint64_t total = 0;
    head(w, name, "histogram", samples[which].help);
    for (int i = 0; i <= QN_SAMPLE_BUCKETS; i++) {
        total += atomic_load(&h->count[i]);
        qn_str_addf(w->out, "%s_bucket{", name);
        label(w);
        if (i < QN_SAMPLE_BUCKETS)
            qn_str_addf(w->out, ",le=\"%g\"} ", samples[which].bounds[i]);
        else
            qn_str_adds(w->out, ",le=\"+Inf\"} ");
        qn_str_addf(w->out, "%llu\n", (unsigned long long)total);
    }
    char full[96];
    snprintf(full, sizeof full, "%s_sum", name);
    number(w, full, (double)atomic_load(&h->sum_micro) * 1e-6);
    snprintf(full, sizeof full, "%s_count", name);
    number(w, full, (double)total);
}

void qn_metrics_write(struct qn_server *srv, qn_str *out)
{
    writer w = {.srv = srv, .out = out};
    qn_runner_get_stats(srv->runner, &w.rs);
    write_singles(&w, false);
    write_status(&w);
    write_finishes(&w, "quern_completions_total");
    for (int i = 0; i < QN_SAMPLE_N; i++)
        write_sample(&w, i, samples[i].name);
    head(&w, "quern_build_info", "gauge", "Version of quern.");
    qn_str_addf(out, "quern_build_info{version=\"%s\"} 1\n", qn_version());
    if (!srv->set.vllm_metrics)
        return;
    write_singles(&w, true);
    write_finishes(&w, "vllm:request_success_total");
    for (int i = 0; i < QN_SAMPLE_N; i++)
        write_sample(&w, i, samples[i].vllm);
}
