/* nearest.h - what somebody may have meant who mistyped a name. */
#ifndef QN_BASE_NEAREST_H
#define QN_BASE_NEAREST_H

#include <stddef.h>

/* Insertions, deletions, changes and swaps of neighbours that lead from one
 * name to the other; INT_MAX for names above 48 bytes. '-' and '_' are the same
 * letter, so are capitals and small ones. */
int qn_nearest_distance(const char *a, const char *b);

/* The nearest of the names to a mistyped one, or NULL when none is near:
 * offer(user, i) is the i-th name, NULL ends. */
const char *qn_nearest(const char *typed, const char *(*offer)(void *, size_t),
                       void *user);

#endif
