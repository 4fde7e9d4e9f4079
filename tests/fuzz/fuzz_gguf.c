/* fuzz_gguf.c: one GGUF file of any bytes: its pairs, tensors, configuration,
 * features of the network, vocabulary. */
#include "fuzz_ckpt.h"

#include "ckpt/ckpt.h"
#include "engine/vocab.h"
#include "model/hparams.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t sum_bytes(qn_view v)
{
    size_t sum = 0;

    for (size_t i = 0; i < v.n; i++)
        sum += (unsigned char)v.p[i];
    return sum;
}

/* Touches every byte that the pairs point to. */
static size_t use_metadata(const qn_ckpt *ck)
{
    size_t sum = 0;

    for (size_t i = 0; i < qn_ckpt_gguf_n_kv(ck); i++) {
        const qn_gguf_kv *kv = qn_ckpt_gguf_kv_at(ck, i);
        qn_gguf_kv e;
        uint64_t u;
        double f;
        sum += sum_bytes(kv->key);
        if (kv->type == QN_GGUF_STR)
            sum += sum_bytes(kv->v.str);
        sum += qn_gguf_as_u64(kv, &u) + qn_gguf_as_f64(kv, &f);
        for (uint64_t j = 0; qn_gguf_elem(kv, j, &e); j++)
            sum += e.type == QN_GGUF_STR ? sum_bytes(e.v.str)
                                         : qn_gguf_as_f64(&e, &f);
    }
    return sum;
}

static void use_vocab(const qn_ckpt *ck)
{
    static const char text[] = "ab a\u00E9 <s>\u2581\n 12\xE2";
    qn_tok_ids ids = {0};
    qn_tok *tok;
    qn_str out;
    qn_err err = {0};

    if (qn_vocab_open(&tok, ck, &err) < 0) {
        if (!err.msg[0])
            abort();
        return;
    }
    qn_str_init(&out);
    if (qn_tok_encode(tok, text, sizeof text - 1, QN_TOK_DEFAULT, &ids, NULL,
                      &err) == 0 &&
        qn_tok_decode(tok, ids.v, ids.n, false, &out, &err) < 0)
        abort();
    qn_str_deinit(&out);
    qn_vec_deinit(&ids);
    qn_tok_close(tok);
}

static void use_config(const qn_ckpt *ck)
{
    char *text = json_dumps(qn_ckpt_config(ck), 0);
    qn_hparams hp;
    qn_err err = {0};

    if (!text)
        abort();
    free(text);
    if (qn_hparams_read(&hp, qn_ckpt_config(ck), &err) == 0)
        qn_hparams_deinit(&hp);
    else if (!err.msg[0])
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *path = fuzz_file(data, size);
    qn_ckpt *ck;
    qn_err err;

    if (size < 4 || memcmp(data, "GGUF", 4) != 0)
        return 0; /* sniffed as something else */
    if (qn_ckpt_open(&ck, path, &err) < 0)
        return 0;
    fuzz_use(ck);
    if (use_metadata(ck) == SIZE_MAX) /* so that it is computed */
        abort();
    use_config(ck);
    use_vocab(ck);
    qn_ckpt_close(ck);
    return 0;
}
