/* stop.h - ends a text at the first stop string, and holds back text that may
 * become the beginning of one. */
#ifndef QN_ENGINE_STOP_H
#define QN_ENGINE_STOP_H

#include "base/str.h"

typedef struct qn_stops { /* shared, read-only */
    qn_view *v;
    size_t n;
} qn_stops;

/* Looks at held (text not yet given out). Returns how many bytes of it are
 * certain now; *hit is the stop string that was found and begins there, the
 * first of those, or -1. */
size_t qn_stops_scan(const qn_stops *s, qn_view held, int *hit);

#endif
