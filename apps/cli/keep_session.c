/* keep_session.c - see keep_session.h. */
#include "cli/keep_session.h"

#include "base/file.h"
#include "cli/request_args.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int qn_keep_session_check(const qn_args *a, qn_err *err)
{
    const char *path = qn_args_text(a, "session");
    if (path && qn_args_given(a, "prompts-file"))
        return qn_usage(err, "--session is of one prompt, not of a batch");
    return path ? qn_file_check_write(path, err) : 0;
}

/* Of no tokens there is nothing to save, unless that cannot be done at all. */
static int try_save(qn_engine *e, const char *path, qn_err *err)
{
    int32_t none = 0;
    int rc = qn_session_save(e, path, &none, 0, 0, NULL, err);
    return rc == QN_ENOENT ? 0 : rc;
}

int qn_keep_session_read(const qn_args *a, qn_engine *e, qn_err *err)
{
    const char *path = qn_args_text(a, "session");
    if (!path)
        return 0;
    int rc = access(path, F_OK) != 0
                 ? try_save(e, path, err)
                 : qn_session_load(e, path, 0, NULL, NULL, err);
    return qn_name_options(rc, err);
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
    if (rc == QN_ENOENT && qn_file_check_write(path, &why) == 0) {
        if (!qn_args_flag(a, "quiet"))
            qn_note("%s", why.msg);
        return 0;
    }
    return rc < 0 ? qn_fail(err, rc, "%s", why.msg) : 0;
}
