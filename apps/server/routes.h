/* routes.h - an endpoint is a row. */
#ifndef QN_SERVER_ROUTES_H
#define QN_SERVER_ROUTES_H

#include "server/call.h"

#include <stdbool.h>

enum {
    QN_ROUTE_OPEN = 1,     /* needs no key                              */
    QN_ROUTE_INLINE = 2,   /* answered on the I/O thread: must be quick */
    QN_ROUTE_GENERATE = 4, /* refused while draining or overloaded      */
    QN_ROUTE_ADMIN = 8,    /* on the admin socket, and nowhere else     */
    QN_ROUTE_PAGE = 16     /* of the web page: not with --no-web        */
};

typedef struct qn_route {
    const char *method;
    const char *path; /* {} stands for one part of a path */
    unsigned flags;
    void (*handle)(qn_call *call);
} qn_route;

extern const qn_route qn_route_rows[];
extern const size_t qn_route_n_rows;

/* The row for a request, or NULL; then *other tells whether the path exists
 * with another method (whose name it gets). `kinds`: QN_ROUTE_ADMIN for the
 * routes of the admin socket alone, QN_ROUTE_PAGE for those of the page beside
 * the others. `arg` gets what {} matched, percent-decoded. */
const qn_route *qn_routes_find(const char *method, const char *path,
                               unsigned kinds, char *arg, size_t arg_cap,
                               const char **other);

#endif
