/* hub_repo.h - what the hub says of one revision of a repository, and which of
 * its files a model needs.
 *
 * The answer is from outside: names must be plain relative paths, a commit is
 * 40 hex digits, sizes and checksums are held against what arrives. */
#ifndef QN_HUB_HUB_REPO_H
#define QN_HUB_HUB_REPO_H

#include "base/json.h"
#include "base/vec.h"

#include <stdint.h>

#define QN_HUB_ETAG_MAX 128

typedef struct qn_hub_file {
    char *name; /* "model.safetensors", "onnx/model.onnx" */
    bool has_size;
    uint64_t size;                  /* bytes */
    char etag[QN_HUB_ETAG_MAX + 2]; /* name of its blob; "": not told yet */
    bool chosen;
} qn_hub_file;

typedef struct qn_hub_repo {
    char commit[41];
    QN_VEC(qn_hub_file) files;
} qn_hub_repo;

/* Reads the answer of /api/models/<repo>/revision/<rev>. `name` is what
 * messages call it. */
int qn_hub_repo_parse(qn_hub_repo *out, const char *json, size_t n,
                      const char *name, qn_err *err);
void qn_hub_repo_deinit(qn_hub_repo *r);

/* A path inside the repository that may become a path here. */
bool qn_hub_path_ok(const char *path);
/* May name a blob: one path component of harmless characters. */
bool qn_hub_etag_ok(const char *etag);

/* Marks the configuration, the tokenizer and the weights (safetensors, else
 * .bin, else GGUF); of weights with an index the index alone, *index then
 * points to its name. `want` (may be NULL) picks GGUF files by a part of their
 * name, whatever else is there. */
int qn_hub_choose(qn_hub_repo *r, const char *want, const char *name,
                  const char **index, qn_err *err);
/* Marks the files that an index names. */
int qn_hub_choose_shards(qn_hub_repo *r, const char *index, const char *json,
                         size_t n, qn_err *err);

#endif
