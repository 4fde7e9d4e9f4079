/* keep_session.c - see keep_session.h. */
#include "cli/keep_session.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int qn_keep_session_read(const qn_args *a, qn_engine *e, qn_err *err)
{
    const char *path = qn_args_text(a, "session");
    if (!path || access(path, F_OK) != 0)
        return 0;
    return qn_session_load(e, path, 0, NULL, NULL, err);
}

/* A text shorter than a page leaves nothing to save, which is no failure. */
int qn_keep_session_write(const qn_args *a, qn_engine *e, const qn_job *job,
                          qn_err *err)
{
    const char *path = qn_args_text(a, "session");
    size_t n = job->prompt.n, m = job->n > 0 ? job->out[0].ids.n : 0;
    if (!path || job->failed.code)
        return 0;
    int32_t *ids = qn_xreallocarray(NULL, n + m + 1, sizeof *ids);
    memcpy(ids, job->prompt.v, n * sizeof *ids);
    if (m > 0)
        memcpy(ids + n, job->out[0].ids.v, m * sizeof *ids);
    qn_err why = {0};
    int rc = qn_session_save(e, path, ids, n + m, 0, NULL, &why);
    free(ids);
    if (rc == 0)
        return 0;
    if (rc == QN_ENOENT && !qn_args_flag(a, "quiet"))
        qn_note("%s", why.msg);
    if (rc == QN_ENOENT)
        return 0;
    return qn_fail(err, rc, "%s", why.msg);
}
