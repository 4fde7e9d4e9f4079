/* hints.h - what clients of other servers ask for that is not here, or is here
 * under another name: the remedy that a refusal has to name. */
#ifndef QN_SERVER_HINTS_H
#define QN_SERVER_HINTS_H

#include "base/str.h"

/* Of a path without a route. Static. */
const char *qn_hint_route(const char *path);
/* Of a field that `route` (QN_FIELD_*) does not have; appended to out. */
void qn_hint_field(const char *name, unsigned route, qn_str *out);

#endif
