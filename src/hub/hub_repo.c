/* hub_repo.c: reads the hub's description of a revision. See hub_repo.h. */
#include "hub/hub_repo.h"

#include "ckpt/hub_cache.h"

#include <string.h>

#define MAX_FILES 10000
#define MAX_PATH 1024

bool qn_hub_path_ok(const char *path)
{
    const char *part = path;

    if (!*path || strlen(path) > MAX_PATH)
        return false;
    for (const char *p = path;; p++) {
        if ((unsigned char)*p < ' ' && *p)
            return false;
        if (*p == '\\' || *p == 0x7f)
            return false;
        if (*p && *p != '/')
            continue;
        if (p == part || p - part > 255 ||
            (part[0] == '.' &&
             (p - part == 1 || (part[1] == '.' && p - part == 2))))
            return false;
        if (!*p)
            return true;
        part = p + 1;
    }
}

bool qn_hub_etag_ok(const char *etag)
{
    size_t n = strlen(etag);

    return n > 0 && n <= QN_HUB_ETAG_MAX && etag[0] != '.' &&
           strspn(etag, "0123456789abcdefghijklmnopqrstuvwxyz"
                        "ABCDEFGHIJKLMNOPQRSTUVWXYZ-_.") == n;
}

void qn_hub_repo_deinit(qn_hub_repo *r)
{
    for (size_t i = 0; i < r->files.n; i++)
        qn_free(r->files.v[i].name);
    qn_vec_deinit(&r->files);
}

/* Git's blob id, or for large files the sha256. */
static void take_checksum(qn_hub_file *f, const json_t *entry)
{
    const json_t *lfs = json_object_get(entry, "lfs");
    const char *sum = json_string_value(json_object_get(entry, "blobId"));
    size_t digits = 40;

    if (json_is_object(lfs)) {
        sum = json_string_value(json_object_get(lfs, "sha256"));
        if (!sum)
            sum = json_string_value(json_object_get(lfs, "oid"));
        digits = 64;
    }
    if (sum && strlen(sum) == digits &&
        strspn(sum, "0123456789abcdef") == digits)
        memcpy(f->etag, sum, digits + 1);
}

static int add_file(qn_hub_repo *r, const json_t *entry, const char *name,
                    qn_err *err)
{
    const json_t *path = json_object_get(entry, "rfilename");
    const char *p = json_string_value(path);
    qn_hub_file f = {0};
    int64_t size = 0;
    int got;

    if (!p || strlen(p) != json_string_length(path) || !qn_hub_path_ok(p))
        return qn_fail(err, QN_EFORMAT,
                       "%s: the hub lists a file \"%s\", which is no relative "
                       "path; nothing was downloaded",
                       name, p ? p : "");
    got = qn_json_i64(entry, "size", &size, name, err);
    if (got < 0)
        return got;
    if (size < 0)
        return qn_fail(err, QN_EFORMAT, "%s: %s has a negative size", name, p);
    f.has_size = got > 0;
    f.size = (uint64_t)size;
    take_checksum(&f, entry);
    f.name = qn_xstrdup(p);
    qn_vec_push(&r->files, f);
    return 0;
}

int qn_hub_repo_parse(qn_hub_repo *out, const char *json, size_t n,
                      const char *name, qn_err *err)
{
    qn_hub_repo r = {0};
    json_t *root = NULL;
    const json_t *files;
    const char *sha;
    int rc = 0;

    QN_TRY(qn_json_parse(&root, json, n, name, err));
    sha = json_string_value(json_object_get(root, "sha"));
    files = json_object_get(root, "siblings");
    if (!sha || !qn_hub_is_commit(sha) || !json_is_array(files))
        QN_FAIL_OUT(QN_EFORMAT,
                    "%s: the hub's answer has no \"sha\" of a commit or no "
                    "\"siblings\"; is HF_ENDPOINT a hub?",
                    name);
    if (json_array_size(files) > MAX_FILES)
        QN_FAIL_OUT(QN_ELIMIT, "%s: %zu files, the limit is %d", name,
                    json_array_size(files), MAX_FILES);
    memcpy(r.commit, sha, sizeof r.commit);
    for (size_t i = 0; i < json_array_size(files); i++)
        QN_TRY_OUT(add_file(&r, json_array_get(files, i), name, err));
    *out = r;
    r = (qn_hub_repo){0};
out:
    qn_hub_repo_deinit(&r);
    json_decref(root);
    return rc;
}
