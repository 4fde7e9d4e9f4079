/* origin.c - see origin.h. */
#include "server/origin.h"

#include "server/guard.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <string.h>
#include <strings.h>

static const char *header(struct MHD_Connection *conn, const char *name)
{
    return MHD_lookup_connection_value(conn, MHD_HEADER_KIND, name);
}

static bool listed(const char *allowed, const char *origin)
{
    size_t n = strlen(origin);
    for (const char *p = allowed; p && *p;) {
        size_t len = strcspn(p, ",");
        while (len && *p == ' ') {
            p++;
            len--;
        }
        if (len == n && strncasecmp(p, origin, n) == 0)
            return true;
        p += len + (p[len] == ',');
    }
    return false;
}

/* The page came from this server itself. */
static bool own(struct MHD_Connection *conn, const char *origin)
{
    const char *host = header(conn, "Host");
    const char *sep = strstr(origin, "://");
    return host && sep && strcasecmp(sep + 3, host) == 0;
}

bool qn_origin_host(const char *names, bool any, struct MHD_Connection *conn)
{
    const char *host = header(conn, "Host");
    char name[256];
    unsigned char address[16];
    if (!host) /* HTTP/1.0: no browser */
        return true;
    bool v6 = *host == '[';
    size_t n = strcspn(host + v6, v6 ? "]" : ":");
    if (n >= sizeof name)
        return false;
    memcpy(name, host + v6, n);
    name[n] = 0;
    if (inet_pton(v6 ? AF_INET6 : AF_INET, name, address) == 1 || v6)
        return true;
    static const char local[] = "localhost", below[] = ".localhost";
    if (strcasecmp(name, local) == 0 ||
        (n > strlen(below) && strcasecmp(name + n - strlen(below), below) == 0))
        return true;
    return listed(names, name) || (any && !header(conn, "Origin"));
}

qn_origin qn_origin_check(const char *allowed, struct MHD_Connection *conn,
                          const char *method, const char **why)
{
    const char *origin = header(conn, "Origin");
    if (!origin || own(conn, origin))
        return QN_ORIGIN_OK;
    if (!listed(allowed, origin)) {
        *why = "requests of web pages from other origins are off; see "
               "--cors-origin";
        return QN_ORIGIN_REFUSED;
    }
    bool preflight = strcmp(method, "OPTIONS") == 0 &&
                     header(conn, "Access-Control-Request-Method");
    return preflight ? QN_ORIGIN_PREFLIGHT : QN_ORIGIN_OK;
}

void qn_origin_headers(const char *allowed, struct MHD_Connection *conn,
                       struct MHD_Response *r)
{
    const char *origin = header(conn, "Origin");
    if (!origin || !listed(allowed, origin))
        return;
    MHD_add_response_header(r, "Access-Control-Allow-Origin", origin);
    MHD_add_response_header(r, "Access-Control-Expose-Headers",
                            "Allow, Retry-After, WWW-Authenticate, "
                            "X-Request-Id");
    MHD_add_response_header(r, "Vary", "Origin");
    if (!header(conn, "Access-Control-Request-Method"))
        return;
    MHD_add_response_header(r, "Access-Control-Allow-Methods",
                            "GET, POST, OPTIONS");
    /* clients have headers of their own (x-stainless-...): those that are not
     * known here have no effect */
    const char *asked = header(conn, "Access-Control-Request-Headers");
    MHD_add_response_header(r, "Access-Control-Allow-Headers",
                            asked && qn_guard_names(asked)
                                ? asked
                                : "Authorization, Content-Type, X-Request-Id");
    MHD_add_response_header(r, "Access-Control-Max-Age", "600");
}
