/* fuzz_http.c: what a header asks for. The first line is method and path, each
 * further one a header. What passes has one meaning: at most one length, no
 * length beside a coding; what matches a route is decoded within its bounds. */
#include "server/guard.h"
#include "server/routes.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const qn_guard *g, bool http11)
{
    if (qn_guard_verdict(g, http11))
        return;
    if (g->n_lengths && g->n_codings)
        abort();
    if (g->n_codings > 1 || g->n_auth > 1 || g->n_hosts > 1)
        abort();
    if (http11 && g->n_hosts == 0)
        abort();
}

static void route(const char *line, bool admin)
{
    char method[8] = "", arg[64];
    const char *other = NULL, *path = strchr(line, ' ');
    size_t n = path ? (size_t)(path - line) : 0;
    if (!path || n >= sizeof method)
        return;
    memcpy(method, line, n);
    if (!qn_guard_target(path + 1))
        return;
    unsigned kinds = admin ? QN_ROUTE_ADMIN : QN_ROUTE_PAGE;
    const qn_route *r = qn_routes_find(method, path + 1, kinds, arg, sizeof arg,
                                       &other);
    if (r && ((r->flags & QN_ROUTE_ADMIN) != 0) != admin)
        abort();
    if (r && (strlen(arg) >= sizeof arg || (strstr(r->path, "{}") && !arg[0])))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = 0;
    qn_guard g = {0};
    char *line = text, *end = text + size;
    for (int i = 0; line <= end; i++) {
        char *eol = memchr(line, '\n', (size_t)(end - line));
        size_t n = eol ? (size_t)(eol - line) : (size_t)(end - line);
        line[n] = 0;
        char *colon = memchr(line, ':', n);
        if (i == 0) {
            route(line, false);
            route(line, true);
        } else if (colon) {
            *colon = 0;
            qn_guard_header(&g, line, (size_t)(colon - line), colon + 1,
                            n - (size_t)(colon + 1 - line));
        } else {
            qn_guard_header(&g, line, n, NULL, 0);
        }
        line += n + 1;
    }
    check(&g, true);
    check(&g, false);
    free(text);
    return 0;
}
