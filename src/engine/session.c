/* session.c - see quern.h. */
#include "engine/engine_int.h"

QN_API int qn_session_save(qn_engine *e, const char *path,
                           const int32_t *tokens, size_t n, uint64_t salt,
                           size_t *n_saved, qn_err *err)
{
    (void)e, (void)tokens, (void)n, (void)salt, (void)n_saved;
    return qn_fail(err, QN_EUNSUP, "%s: sessions are not there yet", path);
}

QN_API int qn_session_load(qn_engine *e, const char *path, uint64_t salt,
                           int32_t **tokens, size_t *n, qn_err *err)
{
    (void)e, (void)salt, (void)tokens, (void)n;
    return qn_fail(err, QN_EUNSUP, "%s: sessions are not there yet", path);
}
