/* guard.c - see guard.h. */
#include "server/guard.h"

#include <string.h>
#include <strings.h>

/* tchar of RFC 9110, 5.6.2 */
static bool is_token(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)p[i];
        bool alnum = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
                     (c >= 'a' && c <= 'z');
        if (!alnum && (c == 0 || !strchr("!#$%&'*+-.^_`|~", c)))
            return false;
    }
    return n > 0;
}

static bool is_value(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)p[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

static bool parse_length(const char *p, size_t n, uint64_t *out)
{
    uint64_t v = 0;
    if (n == 0 || n > 18)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (p[i] < '0' || p[i] > '9')
            return false;
        v = v * 10 + (uint64_t)(p[i] - '0');
    }
    *out = v;
    return true;
}

static void length_header(qn_guard *g, const char *value, size_t n)
{
    uint64_t v;
    if (!parse_length(value, n, &v))
        g->flaw = "Content-Length must be digits only";
    else if (g->n_lengths++ > 0 && v != g->length)
        g->flaw = "two Content-Length headers that differ";
    else
        g->length = v;
}

void qn_guard_header(qn_guard *g, const char *name, size_t name_len,
                     const char *value, size_t value_len)
{
    if (g->flaw)
        return;
    if (!value) {
        value = "";
        value_len = 0;
    }
    if (!is_token(name, name_len))
        g->flaw = "a header name has characters that none may have";
    else if (!is_value(value, value_len))
        g->flaw = "a header value has control characters";
    else if (strcasecmp(name, "content-length") == 0)
        length_header(g, value, value_len);
    else if (strcasecmp(name, "content-encoding") == 0 &&
             strcasecmp(value, "identity") != 0)
        g->flaw = "the body is compressed (Content-Encoding): send it plain";
    else if (strcasecmp(name, "transfer-encoding") == 0) {
        g->n_codings++;
        if (strcasecmp(value, "chunked") != 0)
            g->flaw = "Transfer-Encoding must be \"chunked\"";
    } else if (strcasecmp(name, "host") == 0)
        g->n_hosts++;
    else if (strcasecmp(name, "authorization") == 0)
        g->n_auth++;
}

const char *qn_guard_verdict(const qn_guard *g, bool http11)
{
    if (g->flaw)
        return g->flaw;
    if (g->n_codings > 1)
        return "more than one Transfer-Encoding header";
    if (g->n_codings && g->n_lengths)
        return "Content-Length and Transfer-Encoding together";
    if (g->n_codings && !http11)
        return "Transfer-Encoding in a request before HTTP/1.1";
    if (g->n_hosts > 1 || (http11 && g->n_hosts == 0))
        return "HTTP/1.1 wants exactly one Host header";
    if (g->n_auth > 1)
        return "more than one Authorization header";
    return NULL;
}

bool qn_guard_names(const char *list)
{
    for (const char *p = list;; p++) {
        p += strspn(p, " ");
        size_t n = strcspn(p, ", ");
        if (!is_token(p, n))
            return false;
        p += n;
        p += strspn(p, " ");
        if (*p != ',')
            return *p == 0;
    }
}

const char *qn_guard_path(const char *target, const char *host)
{
    const char *rest = strstr(target, "://");
    if (target[0] == '/' || !rest || !host)
        return target;
    size_t scheme = (size_t)(rest - target), n = strcspn(rest + 3, "/");
    if ((scheme != 4 && scheme != 5) || strncasecmp(target, "https", scheme))
        return target;
    if (n != strlen(host) || strncasecmp(rest + 3, host, n) != 0)
        return NULL;
    return rest[3 + n] ? rest + 3 + n : "/";
}

bool qn_guard_target(const char *path)
{
    size_t n = strlen(path);
    if (n == 0 || n > 2048 || path[0] != '/')
        return false;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)path[i] <= 0x20 || (unsigned char)path[i] >= 0x7f)
            return false;
    return true;
}
