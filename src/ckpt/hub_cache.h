/* hub_cache.h - the Hugging Face hub's cache on this machine: names, places.
 *
 * Layout, the one that huggingface_hub makes and reads too:
 *
 *   <cache>/models--org--name/refs/<revision>        a commit, 40 hex digits
 *                            /snapshots/<commit>/... links into blobs
 *                            /blobs/<etag>           the bytes
 *   <cache>/.locks/models--org--name/<etag>.lock
 *
 * <cache> is $HF_HUB_CACHE, else $HUGGINGFACE_HUB_CACHE, else $HF_HOME/hub;
 * HF_HOME is by default huggingface in $XDG_CACHE_HOME or ~/.cache.
 * Strings handed out are the caller's (qn_free). Any thread. */
#ifndef QN_CKPT_HUB_CACHE_H
#define QN_CKPT_HUB_CACHE_H

#include "base/err.h"

#include <stdbool.h>

#define QN_HUB_REPO_MAX 200
#define QN_HUB_REV_MAX 200

/* "org/name", or "name" alone as the oldest models have it. */
typedef struct qn_hub_name {
    char repo[QN_HUB_REPO_MAX + 1];
    char revision[QN_HUB_REV_MAX + 1]; /* "main" when none was given */
} qn_hub_name;

/* Reads "org/name[@revision]". False: not of that form (the hub's rules:
 * letters, digits, '-', '_', '.'; no "--", no ".."; parts do not begin or end
 * with '-' or '.'). */
bool qn_hub_name_parse(const char *text, qn_hub_name *out);

/* $HF_HOME and <cache> themselves; they need not exist. */
char *qn_hub_home(void);
char *qn_hub_cache(void);
/* <cache>/models--org--name, and <cache>/.locks/models--org--name. */
char *qn_hub_repo_dir(const char *repo);
char *qn_hub_lock_dir(const char *repo);

/* Forty lower-case hex digits: a commit. */
bool qn_hub_is_commit(const char *s);

/* The snapshot folder that the cache has for a name. QN_ENOENT with the remedy
 * when it has none. */
int qn_hub_find(const qn_hub_name *name, char **snapshot, qn_err *err);

#endif
