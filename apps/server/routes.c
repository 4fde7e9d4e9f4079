/* routes.c - see routes.h. The handlers stand in the files named beside. */
#include "server/routes.h"

#include "base/str.h"
#include "server/handlers.h"

#include <string.h>

#define KSERVE "/v2/models/{}"
#define PAGE (QN_ROUTE_PAGE | QN_ROUTE_OPEN | QN_ROUTE_INLINE)

const qn_route qn_route_rows[] = {
    /* status.c */
    {"GET", "/health", QN_ROUTE_OPEN | QN_ROUTE_INLINE, qn_status_health},
    {"GET", "/ready", QN_ROUTE_INLINE, qn_status_ready},
    {"GET", "/version", QN_ROUTE_INLINE, qn_status_version},
    {"GET", "/metrics", QN_ROUTE_INLINE, qn_status_metrics},
    {"GET", "/v1/models", QN_ROUTE_INLINE, qn_status_models},
    {"GET", "/v1/models/{}", QN_ROUTE_INLINE, qn_status_model},
    /* page.c */
    {"GET", "/", PAGE, qn_page_index},
    {"GET", "/web/{}", PAGE, qn_page_part},
    /* openai.c */
    {"POST", "/v1/completions", QN_ROUTE_GENERATE, qn_openai_completions},
    {"POST", "/v1/chat/completions", QN_ROUTE_GENERATE, qn_openai_chat},
    /* responses.c */
    {"POST", "/v1/responses", QN_ROUTE_GENERATE, qn_openai_responses},
    /* textapi.c */
    {"POST", "/tokenize", 0, qn_textapi_tokenize},
    {"POST", "/detokenize", 0, qn_textapi_detokenize},
    {"POST", "/apply-template", 0, qn_textapi_template},
    /* kserve.c */
    {"GET", "/v2", QN_ROUTE_INLINE, qn_kserve_server},
    {"GET", "/v2/health/live", QN_ROUTE_OPEN | QN_ROUTE_INLINE, qn_kserve_live},
    {"GET", "/v2/health/ready", QN_ROUTE_INLINE, qn_kserve_ready},
    {"GET", KSERVE, QN_ROUTE_INLINE, qn_kserve_model},
    {"GET", KSERVE "/ready", QN_ROUTE_INLINE, qn_kserve_model_ready},
    {"POST", KSERVE "/generate", QN_ROUTE_GENERATE, qn_kserve_generate},
    {"POST", KSERVE "/generate_stream", QN_ROUTE_GENERATE,
     qn_kserve_generate_stream},
    /* admin.c */
    {"GET", "/admin/status", QN_ROUTE_ADMIN | QN_ROUTE_INLINE, qn_admin_status},
    {"POST", "/admin/drain", QN_ROUTE_ADMIN | QN_ROUTE_INLINE, qn_admin_drain},
    {"POST", "/admin/load", QN_ROUTE_ADMIN, qn_admin_load},
    {"POST", "/admin/unload", QN_ROUTE_ADMIN, qn_admin_unload},
    {"POST", "/admin/reload", QN_ROUTE_ADMIN | QN_ROUTE_INLINE,
     qn_admin_reload},
    {"POST", "/admin/log-level", QN_ROUTE_ADMIN | QN_ROUTE_INLINE,
     qn_admin_log_level},
};
const size_t qn_route_n_rows = QN_COUNTOF(qn_route_rows);

/* One part of a path, decoded; false when it is too long or ill-formed. */
static bool take_part(const char **path, char *arg, size_t cap)
{
    size_t n = 0;
    const char *p = *path;
    while (*p && *p != '/') {
        int c = (unsigned char)*p++;
        if (c == '%') {
            if (qn_hex_digit(p[0]) < 0 || qn_hex_digit(p[1]) < 0)
                return false;
            c = qn_hex_digit(p[0]) * 16 + qn_hex_digit(p[1]);
            p += 2;
        }
        if (c == 0 || n + 1 >= cap)
            return false;
        arg[n++] = (char)c;
    }
    arg[n] = 0;
    *path = p;
    return n > 0;
}

static bool matches(const char *pattern, const char *path, char *arg,
                    size_t cap)
{
    while (*pattern) {
        if (pattern[0] == '{') {
            if (!take_part(&path, arg, cap))
                return false;
            pattern += 2;
        } else if (*pattern++ != *path++) {
            return false;
        }
    }
    return *path == 0;
}

const qn_route *qn_routes_find(const char *method, const char *path,
                               unsigned kinds, char *arg, size_t arg_cap,
                               const char **other)
{
    *other = NULL;
    /* a HEAD is answered like a GET, without the body */
    if (strcmp(method, "HEAD") == 0)
        method = "GET";
    for (size_t i = 0; i < qn_route_n_rows; i++) {
        const qn_route *r = &qn_route_rows[i];
        unsigned kind = r->flags & (QN_ROUTE_ADMIN | QN_ROUTE_PAGE);
        if (kind ? !(kind & kinds) : (kinds & QN_ROUTE_ADMIN) != 0)
            continue;
        arg[0] = 0;
        if (!matches(r->path, path, arg, arg_cap))
            continue;
        if (strcmp(r->method, method) == 0)
            return r;
        *other = r->method;
    }
    return NULL;
}
