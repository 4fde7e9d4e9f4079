/* hub_choose.c: which files of a repository a model needs.
 *
 * The choice of weights is that of opening a directory (ckpt/hf_find.c): what
 * is fetched is what will be opened. Everything else a repository may hold
 * (other frameworks' weights, other precisions in folders, pictures) stays
 * where it is.
 */
#include "hub/hub_repo.h"

#include "base/map.h"
#include "base/str.h"

#include <string.h>
#include <strings.h>

/* Small files: the model's description, its vocabulary, its chat template. */
static const char *const wanted[] = {
    "config.json",
    "generation_config.json",
    "quantize_config.json",
    "quant_config.json",
    "hf_quant_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "tokenizer.model",
    "spiece.model",
    "tiktoken.model",
    "sentencepiece.bpe.model",
    "chat_template.jinja",
    "chat_template.json",
    "LICENSE",
    "LICENSE.txt",
    "LICENSE.md",
};

static bool is_side_file(const char *name)
{
    for (size_t i = 0; i < QN_COUNTOF(wanted); i++)
        if (strcmp(name, wanted[i]) == 0)
            return true;
    if (qn_starts(name, "additional_chat_templates/"))
        return qn_ends(name, ".jinja");
    return !strchr(name, '/') && qn_ends(name, ".tiktoken");
}

static qn_hub_file *find(qn_hub_repo *r, const char *name)
{
    for (size_t i = 0; i < r->files.n; i++)
        if (strcmp(r->files.v[i].name, name) == 0)
            return &r->files.v[i];
    return NULL;
}

static bool take(qn_hub_repo *r, const char *name)
{
    qn_hub_file *f = find(r, name);

    if (f)
        f->chosen = true;
    return f != NULL;
}

/* ---- sets of weights --------------------------------------------------- */

/* The length of a name without "-00001-of-00003.ext" or ".ext"; 0 when it has
 * another ending. */
static size_t stem_of(const char *name, const char *ext)
{
    static const char tail[] = "-00001-of-00003";
    size_t n = strlen(name), len = sizeof tail - 1;

    if (n <= strlen(ext) || !qn_ends(name, ext))
        return 0;
    n -= strlen(ext);
    if (n <= len)
        return n;
    for (size_t i = 0; i < len; i++) {
        char want = tail[i], is = name[n - len + i];
        bool digit = want >= '0' && want <= '9';
        if (digit ? is < '0' || is > '9' : is != want)
            return n;
    }
    return n - len;
}

static bool same_set(const char *a, const char *b, const char *ext)
{
    size_t n = stem_of(a, ext);

    return n && n == stem_of(b, ext) && memcmp(a, b, n) == 0;
}

static bool holds(const char *text, const char *part)
{
    size_t n = strlen(part);

    for (; strlen(text) >= n; text++)
        if (strncasecmp(text, part, n) == 0)
            return true;
    return false;
}

/* Sets of files with this ending (at the root only, unless `want` names one);
 * *first is one file of the first set. */
static int count_sets(const qn_hub_repo *r, const char *ext, const char *want,
                      const char **first, qn_str *list)
{
    int n = 0;

    for (size_t i = 0; i < r->files.n; i++) {
        const char *name = r->files.v[i].name;
        bool seen = false;
        if (!stem_of(name, ext) || (!want && strchr(name, '/')) ||
            (want && !holds(name, want)) || qn_starts(name, "adapter_model") ||
            holds(name, "mmproj"))
            continue;
        for (size_t k = 0; k < i && !seen; k++)
            seen = same_set(r->files.v[k].name, name, ext);
        if (seen)
            continue;
        if (n++ == 0)
            *first = name;
        if (n <= 8)
            qn_str_addf(list, "%s%s", n > 1 ? ", " : "", name);
        else if (n == 9)
            qn_str_adds(list, ", ...");
    }
    return n;
}

static void take_set(qn_hub_repo *r, const char *first, const char *ext)
{
    for (size_t i = 0; i < r->files.n; i++)
        if (same_set(r->files.v[i].name, first, ext))
            r->files.v[i].chosen = true;
}

/* 1: taken, 0: there is none of the kind. */
static int take_only(qn_hub_repo *r, const char *ext, const char *want,
                     const char *name, qn_err *err)
{
    const char *first = NULL;
    qn_str list;
    int n, rc = 0;

    qn_str_init(&list);
    n = count_sets(r, ext, want, &first, &list);
    if (n == 1)
        take_set(r, first, ext);
    rc = n > 0;
    if (n > 1)
        rc = qn_fail(err, QN_EINVAL,
                     "%s has %d sets of %s files%s%s%s (%s); say which one, a "
                     "part of the name will do",
                     name, n, ext, want ? " with \"" : "", want ? want : "",
                     want ? "\"" : "", list.p);
    qn_str_deinit(&list);
    return rc;
}

static bool take_index(qn_hub_repo *r, const char *name, const char **index)
{
    qn_hub_file *f = find(r, name);

    if (!f)
        return false;
    f->chosen = true;
    *index = f->name;
    return true;
}

int qn_hub_choose(qn_hub_repo *r, const char *want, const char *name,
                  const char **index, qn_err *err)
{
    int rc;

    *index = NULL;
    for (size_t i = 0; i < r->files.n; i++)
        r->files.v[i].chosen = is_side_file(r->files.v[i].name);
    if (!find(r, "tokenizer.json"))
        (void)take(r, "tekken.json");
    if (want) {
        rc = take_only(r, ".gguf", want, name, err);
        if (rc == 0)
            rc = qn_fail(err, QN_ENOENT,
                         "%s has no GGUF file with \"%s\" in its name", name,
                         want);
        return rc < 0 ? rc : 0;
    }
    if (take(r, "model.safetensors") ||
        take_index(r, "model.safetensors.index.json", index))
        return 0;
    rc = take_only(r, ".safetensors.index.json", NULL, name, err);
    for (size_t i = 0; rc > 0 && i < r->files.n; i++)
        if (r->files.v[i].chosen &&
            qn_ends(r->files.v[i].name, ".safetensors.index.json"))
            *index = r->files.v[i].name;
    if (rc == 0)
        rc = take_only(r, ".safetensors", NULL, name, err);
    if (rc == 0)
        rc = take(r, "pytorch_model.bin") ||
             take_index(r, "pytorch_model.bin.index.json", index);
    if (rc == 0)
        rc = take_only(r, ".gguf", NULL, name, err);
    if (rc == 0)
        rc = qn_fail(err, QN_ENOENT,
                     "%s has no weights that can be used: neither .safetensors "
                     "nor pytorch_model.bin nor .gguf",
                     name);
    return rc < 0 ? rc : 0;
}

/* ---- shards ------------------------------------------------------------ */

int qn_hub_choose_shards(qn_hub_repo *r, const char *index, const char *json,
                         size_t n, qn_err *err)
{
    json_t *root = NULL, *map, *shard;
    const char *tensor;
    qn_map by_name;
    uint64_t at;
    int rc;

    qn_map_init(&by_name, r->files.n);
    for (size_t i = 0; i < r->files.n; i++)
        qn_map_put(&by_name, r->files.v[i].name, strlen(r->files.v[i].name), i);
    QN_TRY_OUT(qn_json_parse(&root, json, n, index, err));
    map = json_object_get(root, "weight_map");
    if (!json_is_object(map) || json_object_size(map) == 0)
        QN_FAIL_OUT(QN_EFORMAT, "%s: no \"weight_map\"", index);
    json_object_foreach(map, tensor, shard)
    {
        const char *file = json_string_value(shard);
        if (!file || !qn_map_get(&by_name, file, strlen(file), &at))
            QN_FAIL_OUT(QN_EFORMAT,
                        "%s: tensor %s is in \"%s\", which the repository does "
                        "not have; it is incomplete",
                        index, tensor, file ? file : "");
        r->files.v[at].chosen = true;
    }
out:
    json_decref(root);
    qn_map_deinit(&by_name);
    return rc;
}
