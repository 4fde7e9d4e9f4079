/* hub_ask.c: patience, and what refusals mean. See hub_ask.h. */
#include "hub/hub_ask.h"

#include "base/json.h"
#include "base/mem.h"

#include <time.h>

const qn_hub_tuning qn_hub_tuning_default = {
    .retry_ms = 1000, .max_tries = 5, .stall_s = 30, .max_wait_s = 600};

#define SLEEP_STEP_MS 50

void qn_hub_note(qn_hub_ctx *c, const char *fmt, ...)
{
    va_list ap;

    pthread_mutex_lock(&c->lock);
    c->note[0] = '\0';
    if (fmt) {
        va_start(ap, fmt);
        vsnprintf(c->note, sizeof c->note, fmt, ap);
        va_end(ap);
    }
    pthread_mutex_unlock(&c->lock);
}

int qn_hub_sleep(qn_hub_ctx *c, uint64_t ms, qn_err *err)
{
    for (;;) {
        uint64_t step = QN_MIN(ms, (uint64_t)SLEEP_STEP_MS);
        struct timespec ts = {0, (long)step * 1000000};
        if (atomic_load(&c->stop))
            return qn_fail(err, QN_ECANCEL, "%s: cancelled", c->name);
        if (ms == 0)
            return 0;
        nanosleep(&ts, NULL);
        ms -= step;
    }
}

/* ---- what refusals mean ------------------------------------------------ */

/* The hub's own words: {"error": "..."}; or nothing. */
static void own_words(const qn_http_reply *r, qn_str *out)
{
    json_t *root = NULL;
    const char *text;

    if (!r->error.n ||
        qn_json_parse(&root, r->error.p, r->error.n, "error", NULL) < 0)
        return;
    text = json_string_value(json_object_get(root, "error"));
    if (text)
        qn_str_addf(out, " (the hub: %.200s)", text);
    json_decref(root);
}

static int explain_denied(const qn_hub_ctx *c, const qn_http_reply *r,
                          const char *words, qn_err *err)
{
    if (strcmp(r->code, "GatedRepo") == 0)
        return qn_fail(err, QN_EINVAL,
                       "%s is gated: accept its conditions on %s/%s, then set "
                       "HF_TOKEN to a token of that account%s",
                       c->name, c->site.endpoint, c->repo, words);
    if (!c->site.token)
        return qn_fail(err, QN_ENOENT,
                       "%s: the hub has no such public repository; check the "
                       "name, or set HF_TOKEN if it is private%s",
                       c->name, words);
    return qn_fail(err, QN_EINVAL,
                   "%s: the hub answers %ld to the token that was sent "
                   "(HF_TOKEN or the saved one); it is wrong, has expired, or "
                   "may not read this repository%s",
                   c->name, r->status, words);
}

static int explain(const qn_hub_ctx *c, const qn_http_reply *r,
                   const char *what, qn_err *err)
{
    qn_str words;
    int rc;

    qn_str_init(&words);
    qn_str_adds(&words, "");
    own_words(r, &words);
    if (r->status == 401 || r->status == 403)
        rc = explain_denied(c, r, words.p, err);
    else if (strcmp(r->code, "RevisionNotFound") == 0)
        rc = qn_fail(err, QN_ENOENT, "%s: the repository has no such revision",
                     c->name);
    else if (r->status == 404 && *what)
        rc = qn_fail(err, QN_ENOENT, "%s: the hub does not have its file %s",
                     c->name, what);
    else if (r->status == 404)
        rc = qn_fail(err, QN_ENOENT,
                     "%s: %s has no such repository or revision", c->name,
                     c->site.endpoint);
    else
        rc = qn_fail(err, QN_EIO, "%s%s%s: the hub answers with status %ld%s",
                     c->name, *what ? ": " : "", what, r->status, words.p);
    qn_str_deinit(&words);
    return rc;
}

/* ---- trying again ------------------------------------------------------ */

int qn_hub_again(qn_hub_ctx *c, int rc, const qn_http_reply *r,
                 const char *what, int tries, qn_err *err)
{
    uint64_t ms = (uint64_t)c->tuning.retry_ms << QN_MIN(tries, 6);
    const char *file = *what ? what : c->name;
    int max = c->tuning.max_tries;
    char why[sizeof c->note];

    if (rc < 0 && rc != QN_EIO)
        return rc;
    if (rc == 0 && r->status >= 300 && r->status != 408 && r->status != 429 &&
        r->status < 500)
        return explain(c, r, what, err);
    if (rc < 0 && !*what) /* maybe there is no network at all */
        max = QN_MIN(max, 3);
    snprintf(why, sizeof why, "%.200s", rc < 0 && err ? err->msg : file);
    if (tries + 1 >= max) {
        if (rc < 0)
            return qn_err_prefix(err, rc, "gave up after %d attempts",
                                 tries + 1);
        if (r->status < 300)
            return qn_fail(err, QN_EIO,
                           "%s: the connection was cut %d times; what has come "
                           "is kept, run the command again to continue",
                           file, tries + 1);
        return explain(c, r, what, err);
    }
    if (rc == 0 && r->has_wait && r->status >= 300) {
        ms = (uint64_t)r->wait_s * 1000;
        if (r->wait_s > c->tuning.max_wait_s)
            return qn_fail(err, QN_EIO,
                           "%s: the hub asks to come back in %ld s (status "
                           "%ld); set HF_TOKEN for higher limits, or run the "
                           "command again then",
                           file, r->wait_s, r->status);
        qn_hub_note(c, "the hub asks to wait %ld s", r->wait_s);
    } else {
        qn_hub_note(c, "trying again: %s", why);
    }
    rc = qn_hub_sleep(c, ms, err);
    qn_hub_note(c, NULL);
    return rc;
}

typedef struct ask_sink {
    qn_str s;
    size_t max;
} ask_sink;

static int on_small(void *user, const qn_http_reply *r, const void *p, size_t n,
                    qn_err *err)
{
    ask_sink *a = user;

    (void)r;
    if (n > a->max - a->s.n)
        return qn_fail(err, QN_ELIMIT,
                       "the hub's answer has more than %zu bytes", a->max);
    qn_str_add(&a->s, p, n);
    return 0;
}

int qn_hub_ask(qn_hub_ctx *c, qn_http *h, const char *url, const char *what,
               size_t max, char **out, size_t *n, qn_http_reply *r, qn_err *err)
{
    ask_sink a = {.max = max};
    int rc;

    for (int tries = 0;; tries++) {
        qn_str_clear(&a.s);
        rc = qn_http_get(h, url, out == NULL, 0, on_small, &a, r, err);
        if (rc == 0 &&
            (r->status == 200 || (!out && r->etag[0] && r->status < 400)))
            break;
        int again = qn_hub_again(c, rc, r, what, tries, err);
        if (rc == 0)
            qn_http_reply_deinit(r);
        if (again < 0) {
            qn_str_deinit(&a.s);
            return again;
        }
    }
    if (out)
        *out = qn_str_take(&a.s, n);
    qn_str_deinit(&a.s);
    return 0;
}

void qn_hub_add_encoded(qn_str *s, const char *path, bool slashes)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "abcdefghijklmnopqrstuvwxyz0123456789-_.~";

    for (; *path; path++) {
        if (strchr(plain, *path) || (slashes && *path == '/'))
            qn_str_addc(s, *path);
        else
            qn_str_addf(s, "%%%02X", (unsigned char)*path);
    }
}
