/* eval_model.c - what reports say of a model. */
#include "eval/eval.h"
#include "eval/eval_int.h"

#include "ckpt/ckpt.h"
#include "engine/parts.h"

#include <string.h>

uint64_t qn_eval_tokenizer_hash(const qn_tok *tok)
{
    uint64_t h = QN_FNV_BASIS;
    size_t n = qn_tok_n_vocab(tok);
    for (size_t i = 0; i < n; i++) {
        qn_view v = qn_tok_text(tok, (int32_t)i);
        uint64_t len = v.p ? v.n : UINT64_MAX;
        h = qn_fnv(h, &len, sizeof len);
        h = qn_fnv(h, v.p, v.p ? v.n : 0);
    }
    return h;
}

json_t *qn_eval_hex(uint64_t v)
{
    return json_sprintf("%016llx", (unsigned long long)v);
}

int qn_eval_check_ids(const int32_t *ids, size_t n, int n_vocab, qn_err *err)
{
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= n_vocab)
            return qn_fail(err, QN_EFORMAT,
                           "the tokenizer gives token %d, and the model has "
                           "%d: they do not belong together",
                           (int)ids[i], n_vocab);
    return 0;
}

static double sum_of(const json_t *groups, const char *key)
{
    double sum = 0;
    const char *name;
    json_t *g;
    json_object_foreach((json_t *)(uintptr_t)groups, name, g)
        sum += json_number_value(json_object_get(g, key));
    return sum;
}

/* Bytes of the files that hold the weights; 0 when they cannot be asked. */
static uint64_t file_bytes(const char *path)
{
    qn_ckpt *ck = NULL;
    uint64_t sum = 0;
    if (qn_ckpt_open(&ck, path, NULL) < 0)
        return 0;
    for (int i = 0; i < qn_ckpt_n_files(ck); i++)
        sum += qn_ckpt_file_size(ck, i);
    qn_ckpt_close(ck);
    return sum;
}

int qn_eval_model(json_t **out, const qn_model *m, qn_err *err)
{
    char *text = NULL;
    json_t *info = NULL;
    const qn_tok *tok = NULL;
    QN_TRY(qn_model_info(m, 0, 1, &text, err));
    int rc = qn_json_parse(&info, text, strlen(text), "model info", err);
    qn_free(text);
    QN_TRY(rc);
    const char *path = qn_model_path(m);
    double bytes = sum_of(json_object_get(info, "types"), "bytes");
    double params = sum_of(json_object_get(info, "types"), "parameters");
    json_t *o = json_pack("{s:s, s:O, s:O, s:b, s:f, s:I, s:I, s:i}", "path",
                          path, "family", json_object_get(info, "family"),
                          "parameters", json_object_get(info, "parameters"),
                          "exact", qn_model_is_exact(m), "bits_per_weight",
                          params > 0 ? 8 * bytes / params : 0.0, "weight_bytes",
                          (json_int_t)bytes, "file_bytes",
                          (json_int_t)file_bytes(path), "n_vocab",
                          qn_model_n_vocab(m));
    json_decref(info);
    if (!o)
        return qn_fail(err, QN_EINTERNAL, "%s: no report", path);
    if (qn_model_tok(m, &tok, NULL) == 0)
        json_object_set_new(o, "tokenizer",
                            qn_eval_hex(qn_eval_tokenizer_hash(tok)));
    *out = o;
    return 0;
}
