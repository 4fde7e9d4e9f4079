/* load_plan.c - see load_plan.h. */
#include "cli/load_plan.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

#define FIRST_ID 10 /* ids below are often special */
#define MAX_TRACE (1ll << 30)
#define MAX_COLUMNS 32
#define LONGEST 10000000

/* Streams of the random numbers. */
enum {
    S_IN = 1,
    S_PREFIX,
    S_OUT,
    S_TIME,
    S_LEAVE,
    S_PICK,
    S_TOKENS = 100
};

/* ---- distributions ----------------------------------------------------- */

static int64_t length(const qn_load_params *p, int64_t mean, int stream, int i)
{
    uint64_t n = (uint64_t)i, s = (uint64_t)stream;
    double m = (double)mean, v = m;
    switch (p->spread) {
    case QN_SPREAD_UNIFORM:
        v = m + m * p->ratio * (2 * qn_rng_uniform(p->seed, s, n) - 1);
        break;
    case QN_SPREAD_LOGNORMAL:
        v = m * exp(p->ratio * qn_rng_normal(p->seed, s, n) -
                    p->ratio * p->ratio / 2);
        break;
    case QN_SPREAD_EXPONENTIAL:
        v = -m * log(1 - qn_rng_uniform(p->seed, s, n));
        break;
    }
    return (int64_t)llround(QN_MIN(QN_MAX(v, 1.0), (double)LONGEST));
}

static void draw(qn_load *load)
{
    const qn_load_params *p = &load->p;
    double t = 0;
    for (int i = 0; i < load->n; i++) {
        qn_load_shot *s = &load->shots[i];
        if (p->rate > 0)
            t -= log(1 - qn_rng_uniform(p->seed, S_TIME, (uint64_t)i)) /
                 p->rate;
        s->due = t;
        s->n_in = length(p, p->n_in, S_IN, i);
        s->n_out = length(p, p->n_out, S_OUT, i);
    }
}

/* ---- traces ------------------------------------------------------------ */

/* Cuts a line into its columns, in place; quotes are taken off. */
static int split(char *line, char **col)
{
    int n = 0;
    for (char *p = line; n < MAX_COLUMNS;) {
        char *end = strchr(p, ',');
        if (end)
            *end = 0;
        size_t len = strlen(p);
        if (len > 1 && *p == '"' && p[len - 1] == '"') {
            p[len - 1] = 0;
            p++;
        }
        col[n++] = p;
        if (!end)
            break;
        p = end + 1;
    }
    return n;
}

static int find_column(char *const *col, int n, const char *const *names)
{
    for (; *names; names++)
        for (int i = 0; i < n; i++)
            if (strcasecmp(col[i], *names) == 0)
                return i;
    return -1;
}

/* Seconds: a number of them, or a date and a time of day. */
static bool parse_time(const char *s, double *out)
{
    struct tm tm = {0};
    char *end;
    *out = strtod(s, &end);
    if (end != s && !*end)
        return isfinite(*out);
    const char *rest = strptime(s, "%Y-%m-%d %H:%M:%S", &tm);
    if (!rest)
        rest = strptime(s, "%Y-%m-%dT%H:%M:%S", &tm);
    if (!rest)
        return false;
    double part = *rest == '.' ? strtod(rest, NULL) : 0;
    *out = (double)timegm(&tm) + part;
    return true;
}

static bool parse_tokens(const char *s, int64_t *out)
{
    char *end;
    double v = strtod(s, &end);
    *out = (int64_t)QN_MIN(QN_MAX(v, 1.0), (double)LONGEST);
    return end != s && v >= 0;
}

typedef struct columns {
    int time, in, out, n;
} columns;

static int read_head(char *line, columns *c, const char *path, qn_err *err)
{
    static const char *const times[] = {"TIMESTAMP", "arrival_time", NULL};
    static const char *const ins[] = {"ContextTokens", "Request tokens",
                                      "input_length", "prompt_tokens", NULL};
    static const char *const outs[] = {"GeneratedTokens", "Response tokens",
                                       "output_length", "completion_tokens",
                                       NULL};
    char *col[MAX_COLUMNS];
    c->n = split(line, col);
    c->time = find_column(col, c->n, times);
    c->in = find_column(col, c->n, ins);
    c->out = find_column(col, c->n, outs);
    if (c->time >= 0 && c->in >= 0 && c->out >= 0)
        return 0;
    return qn_fail(err, QN_EFORMAT,
                   "%s: its first line has to name columns for the time "
                   "(TIMESTAMP), the prompt (ContextTokens) and the answer "
                   "(GeneratedTokens)",
                   path);
}

static int read_rows(qn_load *load, char *text, qn_err *err)
{
    const qn_load_params *p = &load->p;
    columns c = {0};
    double first = 0;
    int number = 0, n = 0;
    for (char *line = text, *next; line && n < load->n; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = 0;
        line[strcspn(line, "\r")] = 0;
        if (!*line)
            continue;
        if (number++ == 0) {
            QN_TRY(read_head(line, &c, p->trace, err));
            continue;
        }
        char *col[MAX_COLUMNS];
        qn_load_shot *s = &load->shots[n];
        double t;
        if (split(line, col) < c.n || !parse_time(col[c.time], &t) ||
            !parse_tokens(col[c.in], &s->n_in) ||
            !parse_tokens(col[c.out], &s->n_out))
            return qn_fail(err, QN_EFORMAT, "%s: row %d makes no sense",
                           p->trace, number);
        if (n++ == 0)
            first = t;
        s->due = QN_MAX(t - first, 0.0) / p->speed;
    }
    load->n = n;
    return n ? 0 : qn_fail(err, QN_EFORMAT, "%s: no rows", p->trace);
}

static int by_time(const void *a, const void *b)
{
    double x = ((const qn_load_shot *)a)->due,
           y = ((const qn_load_shot *)b)->due;
    return (x > y) - (x < y);
}

static int read_trace(qn_load *load, qn_err *err)
{
    char *text = NULL;
    size_t n;
    QN_TRY(qn_file_slurp(&text, &n, load->p.trace, MAX_TRACE, err));
    int rc = read_rows(load, text, err);
    qn_free(text);
    if (rc == 0)
        qsort(load->shots, (size_t)load->n, sizeof *load->shots, by_time);
    return rc;
}

/* ---- the plan ---------------------------------------------------------- */

/* A prompt and an answer that do not fit together are both cut. */
static void fit(const qn_load_params *p, qn_load_shot *s)
{
    int64_t room = p->max_len - p->n_prefix;
    if (p->max_len == 0 || s->n_in + s->n_out <= room)
        return;
    s->n_out = QN_MIN(s->n_out, QN_MAX(room / 2, 1));
    s->n_in = QN_MAX(QN_MIN(s->n_in, room - s->n_out), 1);
}

int qn_load_make(qn_load *load, const qn_load_params *p, qn_err *err)
{
    *load = (qn_load){.p = *p, .n = p->n};
    load->shots = qn_xcalloc((size_t)p->n, sizeof *load->shots);
    int rc = 0;
    if (p->trace)
        rc = read_trace(load, err);
    else
        draw(load);
    if (rc < 0) {
        qn_load_deinit(load);
        return rc;
    }
    for (int i = 0; i < load->n; i++) {
        qn_load_shot *s = &load->shots[i];
        uint64_t k = (uint64_t)i;
        fit(p, s);
        s->prefix = (int)(qn_rng_uniform(p->seed, S_PICK, k) * p->n_prefixes);
        if (qn_rng_uniform(p->seed, S_LEAVE, 2 * k) < p->abort_part)
            s->leave =
                qn_rng_uniform(p->seed, S_LEAVE, 2 * k + 1) * p->abort_s + 1e-6;
    }
    return 0;
}

void qn_load_deinit(qn_load *load)
{
    free(load->shots);
    *load = (qn_load){0};
}

static int token(const qn_load_params *p, uint64_t stream, uint64_t i)
{
    double u = qn_rng_uniform(p->seed, stream, i);
    return FIRST_ID + (int)(u * (double)(p->vocab - FIRST_ID));
}

void qn_load_body(const qn_load *load, int i, qn_str *body)
{
    const qn_load_params *p = &load->p;
    const qn_load_shot *s = &load->shots[i];
    qn_str_clear(body);
    qn_str_adds(body, "{\"prompt\":[");
    for (int64_t k = 0; k < p->n_prefix + s->n_in; k++) {
        bool shared = k < p->n_prefix;
        uint64_t at = (uint64_t)(shared ? s->prefix * p->n_prefix + k : k);
        int id = token(p, shared ? S_PREFIX : S_TOKENS + (uint64_t)i, at);
        qn_str_addf(body, k ? ",%d" : "%d", id);
    }
    qn_str_addf(body,
                "],\"max_tokens\":%lld,\"temperature\":0,\"ignore_eos\":true,"
                "\"stream\":true,\"stream_options\":{\"include_usage\":true}}",
                (long long)s->n_out);
}
