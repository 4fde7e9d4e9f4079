/* hub_head.c: see hub_head.h. */
#include "hub/hub_head.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

void qn_http_reply_deinit(qn_http_reply *r)
{
    qn_str_deinit(&r->error);
}

/* The value of header `name` in the line, without blanks around it. */
static bool header_is(const char *line, size_t n, const char *name,
                      qn_view *value)
{
    size_t len = strlen(name);

    if (n <= len || strncasecmp(line, name, len) != 0 || line[len] != ':')
        return false;
    line += len + 1;
    n -= len + 1;
    while (n && (*line == ' ' || *line == '\t'))
        line++, n--;
    while (n && (unsigned char)line[n - 1] <= ' ')
        n--;
    *value = qn_view_of(line, n);
    return true;
}

static void copy_word(char *dst, size_t cap, qn_view v)
{
    size_t n = v.n < cap ? v.n : 0; /* too long is as good as absent */

    memcpy(dst, v.p, n);
    dst[n] = '\0';
}

static void copy_etag(char *dst, size_t cap, qn_view v)
{
    if (v.n >= 2 && memcmp(v.p, "W/", 2) == 0)
        v = qn_view_of(v.p + 2, v.n - 2);
    if (v.n >= 2 && v.p[0] == '"' && v.p[v.n - 1] == '"')
        v = qn_view_of(v.p + 1, v.n - 2);
    copy_word(dst, cap, v);
}

static bool view_u64(qn_view v, uint64_t *out)
{
    char buf[24], *end;

    if (v.n == 0 || v.n >= sizeof buf || *v.p < '0' || *v.p > '9')
        return false;
    copy_word(buf, sizeof buf, v);
    errno = 0;
    *out = strtoull(buf, &end, 10);
    return errno == 0 && *end == '\0';
}

/* "bytes 5-9/10" */
static void take_range(qn_http_reply *r, qn_view v)
{
    uint64_t from, to, size;
    char buf[80];

    copy_word(buf, sizeof buf, v);
    if (sscanf(buf, "bytes %" SCNu64 "-%" SCNu64 "/%" SCNu64, &from, &to,
               &size) == 3) {
        r->has_range = true;
        r->range_at = from;
        r->has_size = true;
        r->size = size;
    }
}

/* Seconds, or a date. */
static void take_wait(qn_http_reply *r, qn_view v)
{
    struct tm tm = {0};
    uint64_t s;
    char buf[64];

    if (view_u64(v, &s)) {
        r->wait_s = s > 1000000 ? 1000000 : (long)s;
        r->has_wait = true;
        return;
    }
    copy_word(buf, sizeof buf, v);
    if (strptime(buf, "%a, %d %b %Y %H:%M:%S GMT", &tm)) {
        time_t wait = timegm(&tm) - time(NULL);
        r->wait_s = wait < 0 ? 0 : wait > 1000000 ? 1000000 : (long)wait;
        r->has_wait = true;
    }
}

/* "HTTP/1.1 200 OK": the number; 0: there is none. */
static long status_of(const char *line, size_t n)
{
    const char *blank = memchr(line, ' ', n);
    char digits[4] = "";

    if (!blank || (size_t)(line + n - blank) < sizeof digits)
        return 0;
    memcpy(digits, blank + 1, sizeof digits - 1);
    for (int i = 0; i < 3; i++)
        if (digits[i] < '0' || digits[i] > '9')
            return 0;
    return strtol(digits, NULL, 10);
}

void qn_hub_head_line(qn_hub_head *h, qn_http_reply *r, const char *line,
                      size_t n)
{
    qn_view v;
    uint64_t u;

    if (n > 5 && strncasecmp(line, "HTTP/", 5) == 0) {
        h->status = status_of(line, n);
        r->has_range = false;
    } else if (header_is(line, n, "x-linked-etag", &v)) {
        copy_etag(r->etag, sizeof r->etag, v);
        h->linked = true;
    } else if (header_is(line, n, "x-linked-size", &v) && view_u64(v, &u)) {
        r->size = u;
        r->has_size = true;
        h->linked = true;
    } else if (header_is(line, n, "etag", &v) && !h->linked) {
        copy_etag(r->etag, sizeof r->etag, v);
    } else if (header_is(line, n, "content-length", &v) && h->status == 200 &&
               !h->linked && view_u64(v, &u)) {
        r->size = u;
        r->has_size = true;
    } else if (header_is(line, n, "content-range", &v)) {
        take_range(r, v);
    } else if (header_is(line, n, "x-repo-commit", &v)) {
        copy_word(r->commit, sizeof r->commit, v);
    } else if (header_is(line, n, "x-error-code", &v)) {
        copy_word(r->code, sizeof r->code, v);
    } else if (header_is(line, n, "retry-after", &v)) {
        take_wait(r, v);
    }
}
