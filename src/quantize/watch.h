/* watch.h - how far a piece of work has come, told to who waits for it.
 *
 * Work is told in parts of a whole; a piece of it gets the window of the whole
 * that it fills, and tells its own parts. Telling is also how it hears that it
 * is not wanted any more. */
#ifndef QN_QUANTIZE_WATCH_H
#define QN_QUANTIZE_WATCH_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct qn_watch {
    bool (*fn)(void *user, double part); /* of the whole; false: stop */
    void *user;
    double from, to; /* the window */
} qn_watch;

/* `part` of the window is done. NULL: nobody waits. */
static inline bool qn_watch_at(const qn_watch *w, double part)
{
    return !w || !w->fn || w->fn(w->user, w->from + (w->to - w->from) * part);
}

/* The same; QN_ECANCEL where it says to stop `doing` that. */
static inline int qn_watch_told(const qn_watch *w, double part,
                                const char *doing, qn_err *err)
{
    return qn_watch_at(w, part)
               ? QN_OK
               : qn_fail(err, QN_ECANCEL, "%s was interrupted", doing);
}

/* The window of parts [from, to] of w. */
static inline qn_watch qn_watch_part(const qn_watch *w, double from, double to)
{
    qn_watch in = {NULL, NULL, 0, 1};
    if (w) {
        double n = w->to - w->from;
        in = (qn_watch){w->fn, w->user, w->from + n * from, w->from + n * to};
    }
    return in;
}

#endif
