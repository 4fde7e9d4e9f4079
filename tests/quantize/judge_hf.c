#include "judge.h"

#include "base/compiler.h"
#include "base/file.h"
#include "ckpt/safetensors_write.h"
#include "engine/vocab.h"

#define OK(call)                     \
    do {                             \
        qn_err err = {0};            \
        if ((call) < 0)              \
            fail_msg("%s", err.msg); \
    } while (0)

/* What GGUF calls the tensors of llama, and transformers. */
static const struct {
    const char *gguf, *hf;
} names[] = {
    {"token_embd", "model.embed_tokens"},
    {"output_norm", "model.norm"},
    {"output", "lm_head"},
    {"attn_norm", "input_layernorm"},
    {"attn_q", "self_attn.q_proj"},
    {"attn_k", "self_attn.k_proj"},
    {"attn_v", "self_attn.v_proj"},
    {"attn_output", "self_attn.o_proj"},
    {"ffn_gate", "mlp.gate_proj"},
    {"ffn_up", "mlp.up_proj"},
    {"ffn_down", "mlp.down_proj"},
    {"ffn_norm", "post_attention_layernorm"},
};

static void name_of(const char *gguf, char *hf, size_t cap)
{
    int layer = -1, n = 0;
    if (sscanf(gguf, "blk.%d.%n", &layer, &n) == 1)
        gguf += n;
    for (size_t i = 0; i < QN_COUNTOF(names); i++) {
        size_t k = strlen(names[i].gguf);
        if (strncmp(names[i].gguf, gguf, k) != 0 || gguf[k] != '.')
            continue;
        if (layer < 0)
            snprintf(hf, cap, "%s%s", names[i].hf, gguf + k);
        else
            snprintf(hf, cap, "model.layers.%d.%s%s", layer, names[i].hf,
                     gguf + k);
        return;
    }
    fail_msg("no name for %s", gguf);
}

/* Rows of q and k back from pairs to halves of heads. */
static void order_rows(const qn_tensor *t, const json_t *config, float *v)
{
    const char *key = strstr(t->name, "attn_q.")   ? "num_attention_heads"
                      : strstr(t->name, "attn_k.") ? "num_key_value_heads"
                                                   : NULL;
    if (!key)
        return;
    int64_t n_head = json_integer_value(json_object_get(config, key));
    int64_t d = t->shape[0] / n_head, n = t->shape[1];
    float *old = malloc((size_t)t->n_elems * sizeof *old);
    memcpy(old, v, (size_t)t->n_elems * sizeof *old);
    for (int64_t r = 0; r < t->shape[0]; r++) {
        int64_t i = r % d, to = r / d * d + i % 2 * (d / 2) + i / 2;
        memcpy(v + to * n, old + r * n, (size_t)n * sizeof *v);
    }
    free(old);
}

char *judge_as_hf(const char *gguf)
{
    char *dir = judge_fresh("hf"), name[200];
    qn_ckpt *ck;
    qn_st_writer *w;
    OK(qn_ckpt_open(&ck, gguf, &err));
    OK(qn_mkdirs(dir, &err));
    char *path = qn_path_join(dir, "model.safetensors");
    OK(qn_st_writer_new(&w, path, &err));
    for (size_t i = 0; i < qn_ckpt_n_tensors(ck); i++) {
        const qn_tensor *t = qn_ckpt_tensor(ck, i);
        name_of(t->name, name, sizeof name);
        OK(qn_st_writer_declare(w, name, QN_F16, t->n_dims, t->shape, &err));
    }
    for (size_t i = 0; i < qn_ckpt_n_tensors(ck); i++) {
        const qn_tensor *t = qn_ckpt_tensor(ck, i);
        void *raw = malloc(t->n_bytes + 2 * t->n_elems);
        float *v = malloc(t->n_elems * sizeof *v);
        OK(qn_ckpt_read(ck, t, 0, raw, t->n_bytes, &err));
        OK(qn_dtype_decode(t->dtype, raw, v, t->n_elems, &err));
        order_rows(t, qn_ckpt_config(ck), v);
        OK(qn_dtype_encode(QN_F16, v, raw, t->n_elems, &err));
        OK(qn_st_writer_data(w, raw, t->n_elems * 2, &err));
        free(raw);
        free(v);
    }
    OK(qn_st_writer_finish(w, &err));
    qn_st_writer_free(w);
    free(path);
    path = qn_path_join(dir, "config.json");
    assert_int_equal(json_dump_file(qn_ckpt_config(ck), path, 0), 0);
    free(path);
    qn_ckpt_close(ck);
    return dir;
}

int32_t *judge_tokens(const char *model, const char *text, size_t *n)
{
    qn_ckpt *ck;
    qn_tok *tok;
    qn_tok_ids ids = {0};
    OK(qn_ckpt_open(&ck, model, &err));
    OK(qn_vocab_open(&tok, ck, &err));
    OK(qn_tok_encode(tok, text, strlen(text), QN_TOK_SPECIAL, &ids, NULL,
                     &err));
    qn_tok_close(tok);
    qn_ckpt_close(ck);
    *n = ids.n;
    return ids.v;
}
