/* hf.c: a model as the Hugging Face hub lays it out.
 *
 * config.json says what the network is, .safetensors files (or, from before
 * them, pytorch_model.bin) hold the weights;
 * generation_config.json and the tokenizer's files lie beside them. A sharded
 * set has an index, {"weight_map": {tensor: file}}.
 *
 * The index is a promise that is checked both ways that matter: every shard it
 * names must be there, and every tensor it names must be in the shard that it
 * says. Tensors that no index mentions are taken as they come.
 */
#include "ckpt/ckpt_int.h"

#include <stdlib.h>

/* Python writes numbers that JSON has not; transformers 5 writes them as
 * {"__float__": "Infinity"}, and so does this: one spelling for the reader.
 * Returns the text to parse (qn_free it), or NULL when there is none such. */
static char *spell_floats(const char *text, size_t n, size_t *n_out)
{
    static const char *const words[] = {"-Infinity", "Infinity", "NaN"};
    size_t done = 0;
    bool in_string = false;
    qn_str s;

    qn_str_init(&s);
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '"')
            in_string = !in_string;
        else if (text[i] == '\\' && in_string)
            i++;
        for (size_t w = 0; w < QN_COUNTOF(words) && !in_string; w++) {
            size_t len = strlen(words[w]);
            if (len > n - i || memcmp(text + i, words[w], len) != 0)
                continue;
            qn_str_add(&s, text + done, i - done);
            qn_str_addf(&s, "{\"__float__\": \"%s\"}", words[w]);
            done = i + len;
            i = done - 1;
            break;
        }
    }
    if (!done)
        return NULL;
    qn_str_add(&s, text + done, n - done);
    return qn_str_take(&s, n_out);
}

/* A JSON object beside the weights. Absent: an error when `required`. */
static int load_object(const qn_ckpt *ck, const char *name, bool required,
                       json_t **out, qn_err *err)
{
    char *path = qn_path_join(ck->dir, name), *text = NULL;
    char *respelled = NULL;
    size_t n;
    int rc = 0;

    if (!required && !qn_path_is_file(path))
        goto out;
    QN_TRY_OUT(qn_file_slurp(&text, &n, path, QN_CKPT_JSON_MAX, err));
    QN_TRY_OUT(qn_ckpt_check_lfs(path, text, n, err));
    respelled = spell_floats(text, n, &n);
    QN_TRY_OUT(qn_json_parse(out, respelled ? respelled : text, n, path, err));
    if (!json_is_object(*out)) {
        json_decref(*out);
        *out = NULL;
        QN_FAIL_OUT(QN_EFORMAT, "%s: not a JSON object", path);
    }
out:
    qn_free(respelled);
    qn_free(text);
    qn_free(path);
    return rc;
}

static int load_configs(qn_ckpt *ck, qn_err *err)
{
    char *path = qn_path_join(ck->dir, "config.json");
    bool there = qn_path_is_file(path);

    qn_free(path);
    if (!there)
        return qn_fail(err, QN_ENOENT,
                       "%s has no config.json; fetch it from where the "
                       "weights came from",
                       ck->dir);
    QN_TRY(load_object(ck, "config.json", true, &ck->config, err));
    return load_object(ck, "generation_config.json", false,
                       &ck->generation_config, err);
}

static int add_by_name(qn_ckpt *ck, const char *name, const json_t *map,
                       qn_err *err)
{
    char *path = qn_path_join(ck->dir, name);
    int rc = qn_ends(name, ".safetensors")
                 ? qn_safetensors_add(ck, path, map, name, err)
                 : qn_torch_add(ck, path, map, name, err);

    qn_free(path);
    return rc;
}

/* ---- sharded sets ------------------------------------------------------ */

typedef QN_VEC(const char *) shard_list;

static int cmp_shard(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A file in the directory or in a folder of it: nothing that leads out of it,
 * nothing hidden. */
static bool is_inside(const char *name)
{
    for (const char *p = name;; p++) {
        size_t n = strcspn(p, "/");
        if (n == 0 || (*p == '.' && n > 1))
            return false;
        p += n;
        if (!*p)
            return p[-1] != '.' || n > 1;
    }
}

/* The shards that the map names, each once, sorted; borrowed from it. */
static int list_shards(const char *index, const json_t *map, shard_list *out,
                       qn_err *err)
{
    qn_map seen;
    const char *tensor;
    json_t *value;
    int rc = 0;

    qn_map_init(&seen, 0);
    json_object_foreach((json_t *)map, tensor, value)
    {
        const char *shard = json_string_value(value);
        if (!shard || strlen(shard) != json_string_length(value) ||
            !is_inside(shard))
            QN_FAIL_OUT(QN_EFORMAT,
                        "%s: tensor %s is not assigned to the name of a file "
                        "in the same directory or a folder of it",
                        index, tensor);
        if (qn_map_add(&seen, shard, strlen(shard), 0))
            qn_vec_push(out, shard);
    }
    if (out->n)
        qsort(out->v, out->n, sizeof *out->v, cmp_shard);
    else
        rc = qn_fail(err, QN_EFORMAT, "%s: its weight_map is empty", index);
out:
    qn_map_deinit(&seen);
    return rc;
}

static int check_present(const qn_ckpt *ck, const char *index,
                         const shard_list *shards, qn_err *err)
{
    const char *lost = NULL;
    size_t missing = 0;

    for (size_t i = 0; i < shards->n; i++) {
        char *path = qn_path_join(ck->dir, shards->v[i]);
        if (!qn_path_is_file(path)) {
            missing++;
            if (!lost)
                lost = shards->v[i];
        }
        qn_free(path);
    }
    if (!missing)
        return 0;
    return qn_fail(err, QN_ENOENT,
                   "%s: %zu of %zu shards that %s names are missing, the "
                   "first is %s; finish the download",
                   ck->dir, missing, shards->n, index, lost);
}

static int check_promises(const qn_ckpt *ck, const char *index,
                          const json_t *map, qn_err *err)
{
    const char *tensor;
    json_t *shard;

    json_object_foreach((json_t *)map, tensor, shard)
    {
        if (!qn_ckpt_find(ck, tensor))
            return qn_fail(err, QN_EFORMAT,
                           "%s/%s has no tensor %s, which %s says it has; the "
                           "shards are of another revision than the index, "
                           "fetch both again",
                           ck->dir, json_string_value(shard), tensor, index);
    }
    return 0;
}

static int open_index(qn_ckpt *ck, const char *index, qn_err *err)
{
    json_t *root = NULL;
    const json_t *map;
    shard_list shards = {0};
    int rc;

    QN_TRY(load_object(ck, index, true, &root, err));
    map = json_object_get(root, "weight_map");
    if (!json_is_object(map))
        QN_FAIL_OUT(QN_EFORMAT, "%s/%s: no \"weight_map\" object", ck->dir,
                    index);
    QN_TRY_OUT(list_shards(index, map, &shards, err));
    QN_TRY_OUT(check_present(ck, index, &shards, err));
    for (size_t i = 0; i < shards.n; i++)
        QN_TRY_OUT(add_by_name(ck, shards.v[i], map, err));
    QN_TRY_OUT(check_promises(ck, index, map, err));
out:
    qn_vec_deinit(&shards);
    json_decref(root);
    return rc;
}

/* ---- opening ----------------------------------------------------------- */

static int open_found(qn_ckpt *ck, const qn_hf_found *found, qn_err *err)
{
    if (found->kind == QN_HF_GGUF) {
        char *path = qn_path_join(ck->dir, found->names.v[0]);
        int rc = qn_gguf_open(ck, path, err);
        qn_free(path);
        return rc;
    }
    QN_TRY(load_configs(ck, err));
    if (found->kind == QN_HF_INDEX)
        return open_index(ck, found->names.v[0], err);
    for (size_t i = 0; i < found->names.n; i++)
        QN_TRY(add_by_name(ck, found->names.v[i], NULL, err));
    return 0;
}

int qn_hf_open_dir(qn_ckpt *ck, const char *dir, qn_err *err)
{
    qn_hf_found found;
    int rc;

    ck->container = QN_CKPT_HF;
    ck->dir = qn_xstrdup(dir);
    QN_TRY(qn_hf_find(dir, &found, err));
    rc = open_found(ck, &found, err);
    qn_hf_found_deinit(&found);
    return rc;
}

int qn_hf_open_file(qn_ckpt *ck, const char *path, qn_sniff kind, qn_err *err)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    size_t stem;
    int part, n;

    ck->container = QN_CKPT_HF;
    if (!slash)
        ck->dir = qn_xstrdup(".");
    else
        ck->dir = qn_xstrndup(path, slash == path ? 1 : (size_t)(slash - path));
    if ((qn_hf_part_name(name, ".safetensors", &stem, &part, &n) ||
         qn_hf_part_name(name, ".bin", &stem, &part, &n)) &&
        n > 1)
        return qn_fail(err, QN_EINVAL,
                       "%s is part %d of %d of a model; give the directory %s",
                       path, part, n, ck->dir);
    if (kind == QN_SNIFF_TORCH)
        QN_TRY(qn_torch_add(ck, path, NULL, NULL, err));
    else
        QN_TRY(qn_safetensors_add(ck, path, NULL, NULL, err));
    return load_configs(ck, err);
}
