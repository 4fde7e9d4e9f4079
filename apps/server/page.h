/* page.h - the web page of the server: files that were embedded when it was
 * built, each answered at /web/NAME and index.html at /, too.
 *
 * The page is a client like any other: it asks the API, with a key if there
 * are keys. The files themselves hold nothing of the model or its users, so
 * that they need none. A name is looked up in the table and nowhere else;
 * there is no file system behind it. */
#ifndef QN_SERVER_PAGE_H
#define QN_SERVER_PAGE_H

#include <stdbool.h>
#include <stddef.h>

struct MHD_Response;

typedef struct qn_page_file {
    const char *name; /* "index.html" */
    const char *type; /* of its content */
    const char *etag; /* from its content, with the quotes */
    const unsigned char *data;
    size_t n;
} qn_page_file;

/* cmake/embed.cmake makes them out of apps/server/web. */
extern const qn_page_file qn_page_files[];
extern const size_t qn_page_n_files;

/* NULL when there is no file of that name. */
const qn_page_file *qn_page_find(const char *name);

/* Whether a client that has the copies which If-None-Match lists (NULL: none)
 * has this one. */
bool qn_page_fresh(const char *if_none_match, const char *etag);

/* What a browser has to know to keep the page to itself: no script, style or
 * connection but this server's, no frame around it. */
void qn_page_headers(struct MHD_Response *r, const char *etag);

#endif
