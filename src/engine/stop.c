/* stop.c - see stop.h. */
#include "engine/stop.h"

/* Bytes at the end of `held` that begin `stop` without completing it. */
static size_t overlap(qn_view held, qn_view stop)
{
    size_t k = QN_MIN(held.n, stop.n - 1);
    while (k > 0 && memcmp(held.p + held.n - k, stop.p, k) != 0)
        k--;
    return k;
}

size_t qn_stops_scan(const qn_stops *s, qn_view held, int *hit)
{
    *hit = -1;
    size_t first = held.n, keep = 0;
    for (size_t i = 0; i < s->n; i++) {
        const char *at = held.n == 0
                             ? NULL
                             : memmem(held.p, held.n, s->v[i].p, s->v[i].n);
        if (!at) {
            keep = QN_MAX(keep, overlap(held, s->v[i]));
        } else if (*hit < 0 || (size_t)(at - held.p) < first) {
            *hit = (int)i;
            first = (size_t)(at - held.p);
        }
    }
    return *hit >= 0 ? first : held.n - keep;
}
