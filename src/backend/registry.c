/* registry.c - finds a backend by name.
 *
 * The CPU backend is linked in; others come as plugins and are not known yet.
 */
#include "backend/backend.h"

#include <string.h>

static const qn_backend_api *const built_in[] = {&qn_cpu_backend_api};

int qn_backend_open(qn_backend **out, const char *name,
                    const qn_backend_params *p, qn_err *err)
{
    for (size_t i = 0; i < QN_COUNTOF(built_in); i++) {
        const qn_backend_api *api = built_in[i];
        if (strcmp(api->name, name) == 0)
            return api->open(out, p, err);
    }
    return qn_fail(err, QN_EUNSUP, "backend %s: this build has only: cpu",
                   name);
}

void qn_backend_close(qn_backend *be)
{
    if (be)
        be->api->close(be);
}
