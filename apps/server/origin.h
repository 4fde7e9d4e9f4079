/* origin.h - requests that a browser sends on behalf of a page.
 *
 * Other programs send no Origin header. One that is not the server's own and
 * not among --cors-origin is refused outright, so that no web page can spend
 * a local server's time, not even blindly.
 *
 * A name can be made to resolve to the loopback address, and then a page of
 * that name is of the server's own origin (DNS rebinding). Without API keys
 * the Host header therefore has to be an address, localhost, or a name of
 * --allowed-host. */
#ifndef QN_SERVER_ORIGIN_H
#define QN_SERVER_ORIGIN_H

#include <stdbool.h>

struct MHD_Connection;
struct MHD_Response;

typedef enum qn_origin {
    QN_ORIGIN_OK,
    QN_ORIGIN_PREFLIGHT, /* answer with qn_origin_headers and no body */
    QN_ORIGIN_REFUSED    /* *why says so */
} qn_origin;

/* `allowed`: origins separated by commas, or NULL. */
qn_origin qn_origin_check(const char *allowed, struct MHD_Connection *conn,
                          const char *method, const char **why);
/* Whether the Host header is harmless. `names`: --allowed-host or NULL; `any`:
 * other names pass when no page is asking. */
bool qn_origin_host(const char *names, bool any, struct MHD_Connection *conn);
void qn_origin_headers(const char *allowed, struct MHD_Connection *conn,
                       struct MHD_Response *response);

#endif
