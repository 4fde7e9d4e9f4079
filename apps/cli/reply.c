/* reply.c - see reply.h.
 *
 *   STATUS -> HEADER -> BODY (to the end of the connection)
 *                    '-> SIZE -> BODY -> GAP -> SIZE ... (chunked)
 *
 * Lines of the header and of chunk sizes grow in `line`, those of events in
 * `event`, since a chunk may end in the middle of an event. */
#include "cli/reply.h"

#include "base/json.h"
#include "base/mem.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void qn_reply_deinit(qn_reply *a)
{
    qn_str_deinit(&a->line);
    qn_str_deinit(&a->event);
    qn_str_deinit(&a->error);
    free(a->gaps);
    *a = (qn_reply){0};
}

/* ---- events ------------------------------------------------------------ */

static void take_text(qn_reply *a, uint64_t now)
{
    a->n_texts++;
    if (!a->first) {
        a->first = now;
    } else {
        if (a->n_gaps == a->cap) {
            a->cap = a->cap ? a->cap * 2 : 64;
            a->gaps = qn_xreallocarray(a->gaps, (size_t)a->cap,
                                       sizeof *a->gaps);
        }
        a->gaps[a->n_gaps++] = (double)(now - a->last) * 1e-9;
    }
    a->last = now;
}

static int count_of(const json_t *usage, const char *name)
{
    json_int_t n = json_integer_value(json_object_get(usage, name));
    return n < 0 ? 0 : (int)QN_MIN(n, (json_int_t)INT_MAX);
}

/* A completion's event has `text`, a chat's `delta.content`. */
static bool has_text(const json_t *event)
{
    const json_t *choice = json_array_get(json_object_get(event, "choices"), 0);
    const json_t *delta = json_object_get(choice, "delta");
    return json_string_length(json_object_get(choice, "text")) > 0 ||
           json_string_length(json_object_get(delta, "content")) > 0;
}

static void take_event(qn_reply *a, const char *data, size_t n, uint64_t now)
{
    json_t *event = NULL;
    if (n >= 6 && strncmp(data, "[DONE]", 6) == 0) {
        a->done = a->ended = true;
        return;
    }
    if (qn_json_parse(&event, data, n, "event", NULL) < 0)
        return;
    if (has_text(event))
        take_text(a, now);
    const json_t *usage = json_object_get(event, "usage");
    if (json_is_object(usage)) {
        a->n_out = count_of(usage, "completion_tokens");
        a->n_prompt = count_of(usage, "prompt_tokens");
    }
    json_decref(event);
}

/* Other lines than data are comments, and fields that nobody asks for. */
static void take_event_line(qn_reply *a, uint64_t now)
{
    const char *p = a->event.p;
    size_t n = a->event.n;
    if (n < 5 || memcmp(p, "data:", 5) != 0)
        return;
    p += 5, n -= 5;
    while (n > 0 && *p == ' ')
        p++, n--;
    take_event(a, p, n, now);
}

/* ---- lines ------------------------------------------------------------- */

/* Moves bytes up to the next end of line into s; how many. *whole: it has
 * come, and is not part of s. */
static size_t grow(qn_reply *a, qn_str *s, const char *p, size_t n, bool *whole)
{
    const char *eol = memchr(p, '\n', n);
    size_t k = eol ? (size_t)(eol - p) : n;
    *whole = eol != NULL;
    if (k > QN_REPLY_LINE - s->n) {
        a->broken = true;
        return n;
    }
    qn_str_add(s, p, k);
    if (eol && s->n && s->p[s->n - 1] == '\r')
        s->p[--s->n] = 0;
    return k + *whole;
}

static void take_status(qn_reply *a, const char *s)
{
    const char *p = strchr(s, ' ');
    a->broken = strncmp(s, "HTTP/1.", 7) != 0 || !p || p[1] == '0' ||
                strspn(p + 1, "0123456789") != 3;
    if (!a->broken)
        a->status = (int)strtol(p + 1, NULL, 10);
    a->at = QN_REPLY_HEADER;
}

static void take_header(qn_reply *a, const char *s)
{
    static const char coding[] = "transfer-encoding:";
    if (strncasecmp(s, coding, sizeof coding - 1) == 0)
        a->chunked = strcasestr(s + sizeof coding - 1, "chunked") != NULL;
    static const char retry[] = "retry-after:"; /* or a date, which is none */
    if (strncasecmp(s, retry, sizeof retry - 1) == 0)
        a->retry_after = (int)QN_MIN(strtoul(s + sizeof retry - 1, NULL, 10),
                                     QN_REPLY_RETRY);
    if (*s)
        return;
    bool informs = a->status < 200; /* 100 Continue: another one follows */
    if (informs)
        a->status = 0;
    a->at = informs      ? QN_REPLY_STATUS
            : a->chunked ? QN_REPLY_SIZE
                         : QN_REPLY_BODY;
}

static void take_size(qn_reply *a, const char *s)
{
    char *end;
    unsigned long long n = strtoull(s, &end, 16);
    if (qn_hex_digit(*s) < 0 || (*end && !strchr("; \t", *end)) ||
        n > (unsigned long long)INT64_MAX) {
        a->broken = true;
        return;
    }
    a->left = n;
    a->at = QN_REPLY_BODY;
    a->ended = n == 0;
}

static void take_line(qn_reply *a)
{
    const char *s = a->line.p ? a->line.p : "";
    switch (a->at) {
    case QN_REPLY_STATUS: take_status(a, s); break;
    case QN_REPLY_HEADER: take_header(a, s); break;
    case QN_REPLY_SIZE: take_size(a, s); break;
    case QN_REPLY_GAP:
        a->broken |= *s != 0;
        a->at = QN_REPLY_SIZE;
        break;
    case QN_REPLY_BODY: break;
    }
    qn_str_clear(&a->line);
}

/* ---- the body ---------------------------------------------------------- */

static size_t take_body(qn_reply *a, const char *p, size_t n, uint64_t now)
{
    if (a->chunked)
        n = (size_t)QN_MIN((uint64_t)n, a->left);
    size_t k = n;
    if (a->status != 200) {
        qn_str_add(&a->error, p, QN_MIN(n, QN_REPLY_ERROR - a->error.n));
    } else {
        bool whole;
        k = grow(a, &a->event, p, n, &whole);
        if (whole) {
            take_event_line(a, now);
            qn_str_clear(&a->event);
        }
    }
    if (a->chunked) {
        a->left -= k;
        if (a->left == 0)
            a->at = QN_REPLY_GAP;
    }
    return k;
}

bool qn_reply_feed(qn_reply *a, const char *p, size_t n, uint64_t now)
{
    while (n > 0 && !a->ended && !a->broken) {
        bool whole = false;
        size_t k = a->at == QN_REPLY_BODY ? take_body(a, p, n, now)
                                          : grow(a, &a->line, p, n, &whole);
        if (whole && !a->broken)
            take_line(a);
        p += k;
        n -= k;
    }
    return !a->ended && !a->broken;
}

/* ---- errors ------------------------------------------------------------ */

/* {"error": {"message": ..}} of OpenAI, {"error": ..}, {"message": ..} and
 * {"detail": ..} of others. */
static const char *message_in(const json_t *doc)
{
    const json_t *error = json_object_get(doc, "error");
    const json_t *at[] = {json_object_get(error, "message"), error,
                          json_object_get(doc, "message"),
                          json_object_get(doc, "detail")};
    for (size_t i = 0; i < QN_COUNTOF(at); i++)
        if (json_string_length(at[i]) > 0)
            return json_string_value(at[i]);
    return NULL;
}

void qn_reply_why(const qn_reply *a, qn_str *out)
{
    json_t *doc = NULL;
    const char *s = a->error.p ? a->error.p : "";
    if (qn_json_parse(&doc, s, a->error.n, "error", NULL) == 0 &&
        message_in(doc))
        s = message_in(doc);
    size_t n = 0;
    for (; *s && n < 400; s++, n++)
        qn_str_addc(out, (unsigned char)*s < ' ' || *s == 127 ? ' ' : *s);
    json_decref(doc);
}
