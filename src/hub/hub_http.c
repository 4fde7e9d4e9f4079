/* hub_http.c: one request over libcurl, with its redirects. See hub_http.h. */
#include "hub/hub_http.h"

#include "base/mem.h"

#include <inttypes.h>
#include <stdlib.h>
#include <strings.h>

#define MAX_HOPS 6
#define CONNECT_TIMEOUT_S 20L

struct qn_http {
    const qn_curl *curl;
    const qn_hub_site *site;
    CURL *easy;
    char why[CURL_ERROR_SIZE];

    /* of the hop that is under way */
    qn_http_reply *reply;
    qn_http_sink sink;
    void *user;
    qn_err *err;
    int sink_rc;
    qn_hub_head head;
};

/* ---- origins ----------------------------------------------------------- */

typedef struct url_origin {
    bool https;
    const char *host;
    size_t n_host;
    long port;
} url_origin;

static bool origin_of(const char *url, url_origin *o)
{
    const char *p, *end, *colon, *at;

    if (strncasecmp(url, "https://", 8) == 0)
        p = url + 8;
    else if (strncasecmp(url, "http://", 7) == 0)
        p = url + 7;
    else
        return false;
    o->https = p == url + 8;
    end = p + strcspn(p, "/?#");
    /* A user in the address is nothing that the hub has; and it is how
     * http://endpoint@elsewhere/ tries to look like the endpoint. */
    at = memchr(p, '@', (size_t)(end - p));
    if (at || end == p || memchr(p, '\\', (size_t)(end - p)))
        return false;
    if (*p == '[') {
        const char *close = memchr(p, ']', (size_t)(end - p));
        if (!close)
            return false;
        colon = close + 1 < end ? close + 1 : NULL;
    } else {
        colon = memchr(p, ':', (size_t)(end - p));
    }
    o->host = p;
    o->n_host = (size_t)((colon ? colon : end) - p);
    o->port = o->https ? 443 : 80;
    if (colon && colon + 1 < end) {
        char *stop;
        if (*colon != ':')
            return false;
        o->port = strtol(colon + 1, &stop, 10);
        if (stop != end)
            return false;
    }
    return o->n_host > 0;
}

bool qn_http_same_origin(const char *a, const char *b)
{
    url_origin x, y;

    return origin_of(a, &x) && origin_of(b, &y) && x.https == y.https &&
           x.port == y.port && x.n_host == y.n_host &&
           strncasecmp(x.host, y.host, x.n_host) == 0;
}

/* ---- headers ----------------------------------------------------------- */

static size_t on_header(char *line, size_t size, size_t n, void *user)
{
    qn_http *h = user;

    (void)size;
    qn_hub_head_line(&h->head, h->reply, line, n);
    return n;
}

/* ---- body -------------------------------------------------------------- */

static size_t on_body(char *p, size_t size, size_t n, void *user)
{
    qn_http *h = user;
    qn_http_reply *r = h->reply;

    (void)size;
    if (h->head.status >= 200 && h->head.status < 300) {
        r->status = h->head.status;
        h->sink_rc = h->sink ? h->sink(h->user, r, p, n, h->err) : 0;
        return h->sink_rc < 0 ? 0 : n;
    }
    if (r->error.n < QN_HTTP_ERROR_MAX)
        qn_str_add(&r->error, p, QN_MIN(n, QN_HTTP_ERROR_MAX - r->error.n));
    return n;
}

static int on_progress(void *user, curl_off_t a, curl_off_t b, curl_off_t c,
                       curl_off_t d)
{
    const qn_http *h = user;

    (void)a, (void)b, (void)c, (void)d;
    return h->site->cancel && atomic_load(h->site->cancel);
}

/* ---- requests ---------------------------------------------------------- */

int qn_http_new(qn_http **out, const qn_hub_site *site, qn_err *err)
{
    const qn_curl *curl;
    qn_http *h;

    QN_TRY(qn_curl_get(&curl, err));
    h = qn_xcalloc(1, sizeof *h);
    h->curl = curl;
    h->site = site;
    h->easy = curl->easy_init();
    if (!h->easy) {
        qn_free(h);
        return qn_fail(err, QN_ENOMEM, "libcurl gives no handle");
    }
    *out = h;
    return 0;
}

void qn_http_free(qn_http *h)
{
    if (!h)
        return;
    h->curl->easy_cleanup(h->easy);
    qn_free(h);
}

static struct curl_slist *make_headers(const qn_http *h, const char *url)
{
    struct curl_slist *list = NULL;
    qn_str s;

    if (!h->site->token || !qn_http_same_origin(h->site->endpoint, url))
        return NULL;
    qn_str_init(&s);
    qn_str_addf(&s, "Authorization: Bearer %s", h->site->token);
    list = h->curl->slist_append(NULL, s.p);
    qn_str_deinit(&s);
    return list;
}

static void set_options(qn_http *h, const char *url, bool head, uint64_t from,
                        struct curl_slist *headers, const char *range)
{
    const qn_curl *c = h->curl;
    CURL *e = h->easy;

    c->easy_reset(e); /* keeps connections and names */
    c->set(e, CURLOPT_URL, url);
    c->set(e, CURLOPT_PROTOCOLS_STR, "http,https");
    c->set(e, CURLOPT_FOLLOWLOCATION, 0L);
    c->set(e, CURLOPT_NOSIGNAL, 1L);
    c->set(e, CURLOPT_USERAGENT, "quern/" QUERN_VERSION);
    c->set(e, CURLOPT_NOBODY, head ? 1L : 0L);
    c->set(e, CURLOPT_HTTPHEADER, headers);
    if (from)
        c->set(e, CURLOPT_RANGE, range);
    c->set(e, CURLOPT_CONNECTTIMEOUT, CONNECT_TIMEOUT_S);
    c->set(e, CURLOPT_LOW_SPEED_LIMIT, 1L);
    c->set(e, CURLOPT_LOW_SPEED_TIME, (long)h->site->stall_s);
    c->set(e, CURLOPT_BUFFERSIZE, 256L << 10);
    c->set(e, CURLOPT_ERRORBUFFER, h->why);
    c->set(e, CURLOPT_HEADERFUNCTION, on_header);
    c->set(e, CURLOPT_HEADERDATA, h);
    c->set(e, CURLOPT_WRITEFUNCTION, on_body);
    c->set(e, CURLOPT_WRITEDATA, h);
    c->set(e, CURLOPT_NOPROGRESS, 0L);
    c->set(e, CURLOPT_XFERINFOFUNCTION, on_progress);
    c->set(e, CURLOPT_XFERINFODATA, h);
}

/* One request without redirects; *next is where the answer sends us, or NULL
 * (qn_free it). */
static int one_hop(qn_http *h, const char *url, bool head, uint64_t from,
                   char **next, qn_err *err)
{
    struct curl_slist *headers = make_headers(h, url);
    const char *to = NULL;
    char range[32];
    CURLcode code;

    snprintf(range, sizeof range, "%" PRIu64 "-", from);
    h->sink_rc = 0;
    h->head.status = 0;
    h->why[0] = '\0';
    set_options(h, url, head, from, headers, range);
    code = h->curl->perform(h->easy);
    h->curl->set(h->easy, CURLOPT_HTTPHEADER, NULL);
    h->curl->slist_free(headers);
    *next = NULL;
    if (h->sink_rc < 0)
        return h->sink_rc;
    if (code == CURLE_ABORTED_BY_CALLBACK)
        return qn_fail(err, QN_ECANCEL, "%s: cancelled", url);
    if (code != CURLE_OK)
        return qn_fail(err, QN_EIO, "%s: %s", url,
                       h->why[0] ? h->why : h->curl->error_text(code));
    h->curl->get(h->easy, CURLINFO_RESPONSE_CODE, &h->reply->status);
    if (h->reply->status >= 301 && h->reply->status <= 308 &&
        h->curl->get(h->easy, CURLINFO_REDIRECT_URL, &to) == CURLE_OK && to)
        *next = qn_xstrdup(to);
    return 0;
}

static int check_hop(const char *url, const char *next, int hop, qn_err *err)
{
    url_origin from, to;

    if (hop >= MAX_HOPS)
        return qn_fail(err, QN_EFORMAT, "%s: more than %d redirects", url,
                       MAX_HOPS);
    if (!origin_of(next, &to))
        return qn_fail(err, QN_EFORMAT,
                       "%s: redirects to %s, which is no http address", url,
                       next);
    if (origin_of(url, &from) && from.https && !to.https)
        return qn_fail(err, QN_EFORMAT,
                       "%s: redirects to %s, which would give up encryption",
                       url, next);
    return 0;
}

int qn_http_get(qn_http *h, const char *url, bool head, uint64_t from,
                qn_http_sink sink, void *user, qn_http_reply *r, qn_err *err)
{
    char *at = qn_xstrdup(url), *next = NULL;
    int rc;

    *r = (qn_http_reply){0};
    h->reply = r;
    h->sink = sink;
    h->user = user;
    h->err = err;
    h->head = (qn_hub_head){0};
    for (int hop = 0;; hop++) {
        qn_str_clear(&r->error);
        QN_TRY_OUT(one_hop(h, at, head, from, &next, err));
        if (!next || (head && h->head.linked))
            break;
        QN_TRY_OUT(check_hop(at, next, hop, err));
        qn_free(at);
        at = next;
        next = NULL;
    }
out:
    qn_free(next);
    qn_free(at);
    if (rc < 0)
        qn_http_reply_deinit(r);
    return rc;
}
