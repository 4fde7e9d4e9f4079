/* keep_session.h - --session: what was computed is kept in a file for the next
 * time. */
#ifndef QN_CLI_KEEP_SESSION_H
#define QN_CLI_KEEP_SESSION_H

#include "cli/job.h"

/* Whether the options let --session be kept, and the file be written: before
 * anything is computed. */
int qn_keep_session_check(const qn_args *a, qn_err *err);
/* Reads --session into the engine, which has a prefix cache; nothing without
 * the option; of a file that is not there yet whether this engine could write
 * it. */
int qn_keep_session_read(const qn_args *a, qn_engine *e, qn_err *err);
/* Writes what was computed of the job's prompt and first completion. */
int qn_keep_session_write(const qn_args *a, qn_engine *e, const qn_job *job,
                          qn_err *err);

#endif
