/* vocab.c - see vocab.h. GGUF's arrays are handed to src/text as views. */
#include "engine/vocab.h"

#include "base/file.h"

#include <stdlib.h>
#include <string.h>

char *qn_vocab_dir(const qn_ckpt *ck)
{
    const char *path = qn_ckpt_n_files(ck) > 0 ? qn_ckpt_file_path(ck, 0)
                                               : qn_ckpt_path(ck);
    if (qn_path_is_dir(path))
        return qn_xstrdup(path);
    const char *slash = strrchr(path, '/');
    if (!slash)
        return qn_xstrdup(".");
    return qn_xstrndup(path, slash == path ? 1 : (size_t)(slash - path));
}

static const qn_gguf_kv *array(const qn_ckpt *ck, const char *key,
                               qn_gguf_type elem)
{
    const qn_gguf_kv *kv = qn_ckpt_gguf_kv(ck, key);
    return kv && kv->type == QN_GGUF_ARR && kv->elem_type == elem ? kv : NULL;
}

/* A file's packed numbers, aligned; NULL when there are not n of them. */
static void *numbers(const qn_gguf_kv *kv, size_t n, size_t size)
{
    if (!kv || kv->n != n || n == 0)
        return NULL;
    void *p = qn_xreallocarray(NULL, n, size);
    memcpy(p, kv->v.data, n * size);
    return p;
}

static int32_t id_of(const qn_ckpt *ck, const char *key)
{
    uint64_t v;
    return qn_ckpt_gguf_u64(ck, key, &v) && v <= INT32_MAX ? (int32_t)v : -1;
}

static int flag_of(const qn_ckpt *ck, const char *key)
{
    uint64_t v;
    return qn_ckpt_gguf_u64(ck, key, &v) ? v != 0 : -1;
}

/* NUL-terminated copy of a string value, or NULL. */
static char *text_of(const qn_ckpt *ck, const char *key)
{
    qn_view v;
    return qn_ckpt_gguf_str(ck, key, &v) ? qn_xstrndup(v.p, v.n) : NULL;
}

/* The first of two keys that is there. */
static int32_t id_of_either(const qn_ckpt *ck, const char *a, const char *b)
{
    int32_t id = id_of(ck, a);
    return id >= 0 ? id : id_of(ck, b);
}

#define KEY(name) "tokenizer.ggml." name

static int open_gguf(qn_tok **out, const qn_ckpt *ck, qn_err *err)
{
    const qn_gguf_kv *tokens = array(ck, KEY("tokens"), QN_GGUF_STR);
    if (!tokens || tokens->n == 0)
        return qn_fail(err, QN_ENOENT,
                       "%s: no vocabulary (" KEY("tokens") ") in the file",
                       qn_ckpt_path(ck));
    const qn_gguf_kv *merges = array(ck, KEY("merges"), QN_GGUF_STR);
    const qn_gguf_kv *types = array(ck, KEY("token_type"), QN_GGUF_I32);
    if (!types)
        types = array(ck, KEY("token_type"), QN_GGUF_U32);
    const qn_gguf_kv *charsmap = array(ck, KEY("precompiled_charsmap"),
                                       QN_GGUF_U8);
    if (!charsmap)
        charsmap = array(ck, KEY("precompiled_charsmap"), QN_GGUF_I8);
    size_t n = (size_t)tokens->n;
    float *scores = numbers(array(ck, KEY("scores"), QN_GGUF_F32), n, 4);
    int32_t *kinds = numbers(types, n, 4);
    char *model = text_of(ck, KEY("model")), *pre = text_of(ck, KEY("pre"));
    qn_tok_gguf g = {
        .name = qn_ckpt_path(ck),
        .model = model,
        .pre = pre,
        .n_tokens = n,
        .tokens = tokens->v.strs,
        .scores = scores,
        .types = kinds,
        .n_merges = merges ? (size_t)merges->n : 0,
        .merges = merges ? merges->v.strs : NULL,
        .bos = id_of_either(ck, KEY("bos_token_id"), KEY("cls_token_id")),
        .eos = id_of_either(ck, KEY("eos_token_id"),
                            KEY("seperator_token_id")), /* so spelled */
        .unk = id_of(ck, KEY("unknown_token_id")),
        .pad = id_of(ck, KEY("padding_token_id")),
        .eot = id_of(ck, KEY("eot_token_id")),
        .add_bos = flag_of(ck, KEY("add_bos_token")),
        .add_eos = flag_of(ck, KEY("add_eos_token")),
        .add_space_prefix = flag_of(ck, KEY("add_space_prefix")),
        .remove_extra_whitespaces = flag_of(ck,
                                            KEY("remove_extra_whitespaces")),
    };
    if (charsmap)
        g.charsmap = qn_view_of(charsmap->v.data, (size_t)charsmap->n);
    int rc = model ? qn_tok_open_gguf(out, &g, err)
                   : qn_fail(err, QN_EFORMAT,
                             "%s: " KEY("model") " is missing, so the kind of "
                                                 "its vocabulary is not known",
                             qn_ckpt_path(ck));
    free(scores);
    free(kinds);
    free(model);
    free(pre);
    return rc;
}

int qn_vocab_open(qn_tok **out, const qn_ckpt *ck, qn_err *err)
{
    if (qn_ckpt_container(ck) == QN_CKPT_GGUF)
        return open_gguf(out, ck, err);
    char *dir = qn_vocab_dir(ck);
    int rc = qn_tok_open_dir(out, dir, err);
    free(dir);
    return rc;
}
