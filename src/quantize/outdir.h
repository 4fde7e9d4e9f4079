/* outdir.h - a directory that appears when it is complete.
 *
 * open makes NAME.partial beside the directory that is wanted, and holds a
 * lock in it; close renames it. A run that was killed leaves NAME.partial
 * behind; open finds it unlocked, and what is in it, for the caller to judge.
 * A run that fails removes it (qn_outdir_discard), and the folders above it that
 * it made. Names in it that begin with
 * a dot are the run's own and do not outlive it. */
#ifndef QN_QUANTIZE_OUTDIR_H
#define QN_QUANTIZE_OUTDIR_H

#include "base/err.h"
#include "base/json.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct qn_outdir {
    char *path, *partial; /* NULL: not open */
    size_t there;         /* of path, what was there before it was opened */
    int lock;
} qn_outdir;

/* QN_EINVAL when `path` exists and is not an empty directory. */
int qn_outdir_open(qn_outdir *o, const char *path, qn_err *err);
/* QN_EIO when so many bytes more do not fit on its disk. */
int qn_outdir_room(const qn_outdir *o, uint64_t bytes, qn_err *err);
/* The path of a file to be made in it; qn_free it. */
char *qn_outdir_file(const qn_outdir *o, const char *name);
int qn_outdir_json(const qn_outdir *o, const char *name, const json_t *v,
                   qn_err *err);
/* Copies every file of `source` but those whose names `skip` takes. */
int qn_outdir_copy(const qn_outdir *o, const char *source,
                   bool (*skip)(const char *name), qn_err *err);
/* Removes all files in it, or one (that may not be there). */
void qn_outdir_empty(const qn_outdir *o);
void qn_outdir_remove(const qn_outdir *o, const char *name);
/* Gives the directory its name. */
int qn_outdir_close(qn_outdir *o, qn_err *err);
/* Removes what there is of it; nothing after close. */
void qn_outdir_discard(qn_outdir *o);
/* Leaves it for a later run. */
void qn_outdir_leave(qn_outdir *o);

#endif
