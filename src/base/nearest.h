/* nearest.h - what somebody may have meant who mistyped a name. */
#ifndef QN_BASE_NEAREST_H
#define QN_BASE_NEAREST_H

#include <stddef.h>

/* The nearest of the names to a mistyped one, or NULL when none is near:
 * offer(user, i) is the i-th name, NULL ends. '-' and '_' are the same letter,
 * so are capitals and small ones. */
const char *qn_nearest(const char *typed, const char *(*offer)(void *, size_t),
                       void *user);

#endif
