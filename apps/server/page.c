/* page.c - see page.h. */
#include "server/page.h"

#include "server/handlers.h"

#include <microhttpd.h>
#include <string.h>

/* `require-trusted-types-for` makes the browser refuse every way of turning
 * text into markup or script, also those that a later change might try. */
#define POLICY                                                    \
    "default-src 'none'; script-src 'self'; style-src 'self'; "   \
    "connect-src 'self'; img-src 'self' data:; base-uri 'none'; " \
    "form-action 'none'; frame-ancestors 'none'; "                \
    "require-trusted-types-for 'script'; trusted-types 'none'"

const qn_page_file *qn_page_find(const char *name)
{
    for (size_t i = 0; i < qn_page_n_files; i++)
        if (strcmp(qn_page_files[i].name, name) == 0)
            return &qn_page_files[i];
    return NULL;
}

bool qn_page_fresh(const char *if_none_match, const char *etag)
{
    if (!if_none_match)
        return false;
    /* an ETag is quoted, so that it cannot be found inside another one */
    return strcmp(if_none_match, "*") == 0 || strstr(if_none_match, etag);
}

void qn_page_headers(struct MHD_Response *r, const char *etag)
{
    static const char *const rows[][2] = {
        {"Content-Security-Policy", POLICY},
        {"Referrer-Policy", "no-referrer"},
        {"Cross-Origin-Resource-Policy", "same-origin"},
        {"X-Frame-Options", "DENY"},
        /* kept, and asked about each time: a new binary shows its page */
        {"Cache-Control", "no-cache"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        MHD_add_response_header(r, rows[i][0], rows[i][1]);
    MHD_add_response_header(r, "ETag", etag);
}

static void answer(qn_call *call, const char *name)
{
    const qn_page_file *f = qn_page_find(name);
    if (!f) {
        qn_call_fail(call, 404, NULL, NULL, "no such file: %s", call->target);
        return;
    }
    const char *have = MHD_lookup_connection_value(call->conn, MHD_HEADER_KIND,
                                                   "If-None-Match");
    qn_str out = {0};
    call->etag = f->etag;
    if (qn_page_fresh(have, f->etag)) {
        qn_call_reply(call, 304, NULL, &out);
        return;
    }
    qn_str_add(&out, (const char *)f->data, f->n);
    qn_call_reply(call, 200, f->type, &out);
}

void qn_page_index(qn_call *call)
{
    answer(call, "index.html");
}

void qn_page_part(qn_call *call)
{
    answer(call, call->arg);
}
