/* gguf_export.c: which tensors the GGUF form of a checkpoint has, and their
 * rows. See gguf_export.h.
 *
 * A name of the checkpoint is cut into prefix, layer, expert and rest; a table
 * gives the rest's name in GGUF and what the converter does to the numbers.
 * Sources: TENSOR_NAMES in gguf-py/gguf/constants.py and the model classes of
 * convert_hf_to_gguf.py (llama.cpp): llama's q and k in the order of ggml's
 * rotation, Gemma's norms plus one, GPT-2's matrices transposed, GPT-NeoX's qkv
 * taken apart, experts stacked.
 *
 * A tensor that the table does not know fails the export: a file without it
 * would be another model. */
#include "ckpt/gguf_export_int.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define NAME_LEN 256
#define LAYER_MAX 100000
#define EXPERT_MAX 100000

enum {
    OF_LAYER = 1,
    STACKED = 2,  /* one tensor per expert, all in one in GGUF */
    PLUS_ONE = 4, /* what transformers adds to the norm when it runs */
    SCALED = 8    /* by what GGUF does not say of the queries' scale */
};

/* arch NULL: any. Rows of an architecture stand before those of all. */
static const struct name_row {
    const char *arch, *hf, *gguf;
    int flags;
    qn_gguf_order order;
} name_rows[] = {
    {"llama", "self_attn.q_proj", "attn_q", OF_LAYER, QN_GGUF_PAIRED},
    {"llama", "self_attn.k_proj", "attn_k", OF_LAYER, QN_GGUF_PAIRED},
    {"gemma", "norm", "output_norm", PLUS_ONE, 0},
    {"gemma", "input_layernorm", "attn_norm", OF_LAYER | PLUS_ONE, 0},
    {"gemma", "post_attention_layernorm", "ffn_norm", OF_LAYER | PLUS_ONE, 0},
    {"gemma2", "norm", "output_norm", PLUS_ONE, 0},
    {"gemma2", "input_layernorm", "attn_norm", OF_LAYER | PLUS_ONE, 0},
    {"gemma2", "post_attention_layernorm", "post_attention_norm",
     OF_LAYER | PLUS_ONE, 0},
    {"gemma2", "pre_feedforward_layernorm", "ffn_norm", OF_LAYER | PLUS_ONE, 0},
    {"gemma2", "post_feedforward_layernorm", "post_ffw_norm",
     OF_LAYER | PLUS_ONE, 0},
    {"gemma2", "self_attn.q_proj", "attn_q", OF_LAYER | SCALED, 0},
    {"gemma3", "norm", "output_norm", PLUS_ONE, 0},
    {"gemma3", "input_layernorm", "attn_norm", OF_LAYER | PLUS_ONE, 0},
    {"gemma3", "post_attention_layernorm", "post_attention_norm",
     OF_LAYER | PLUS_ONE, 0},
    {"gemma3", "pre_feedforward_layernorm", "ffn_norm", OF_LAYER | PLUS_ONE, 0},
    {"gemma3", "post_feedforward_layernorm", "post_ffw_norm",
     OF_LAYER | PLUS_ONE, 0},
    {"gemma3", "self_attn.q_norm", "attn_q_norm", OF_LAYER | PLUS_ONE | SCALED,
     0},
    {"gemma3", "self_attn.k_norm", "attn_k_norm", OF_LAYER | PLUS_ONE, 0},
    {"gpt2", "attn.c_attn", "attn_qkv", OF_LAYER, QN_GGUF_TRANSPOSED},
    {"gpt2", "attn.c_proj", "attn_output", OF_LAYER, QN_GGUF_TRANSPOSED},
    {"gpt2", "mlp.c_fc", "ffn_up", OF_LAYER, QN_GGUF_TRANSPOSED},
    {"gpt2", "mlp.c_proj", "ffn_down", OF_LAYER, QN_GGUF_TRANSPOSED},
    {"gptneox", "attention.query_key_value", "attn_qkv", OF_LAYER, QN_GGUF_QKV},

    {NULL, "embed_tokens", "token_embd", 0, 0},
    {NULL, "wte", "token_embd", 0, 0},
    {NULL, "embed_in", "token_embd", 0, 0},
    {NULL, "wpe", "position_embd", 0, 0},
    {NULL, "norm", "output_norm", 0, 0},
    {NULL, "ln_f", "output_norm", 0, 0},
    {NULL, "final_layernorm", "output_norm", 0, 0},
    {NULL, "final_layer_norm", "output_norm", 0, 0},
    {NULL, "lm_head", "output", 0, 0},
    {NULL, "embed_out", "output", 0, 0},
    {NULL, "input_layernorm", "attn_norm", OF_LAYER, 0},
    {NULL, "ln_1", "attn_norm", OF_LAYER, 0},
    {NULL, "self_attn.q_proj", "attn_q", OF_LAYER, 0},
    {NULL, "self_attn.k_proj", "attn_k", OF_LAYER, 0},
    {NULL, "self_attn.v_proj", "attn_v", OF_LAYER, 0},
    {NULL, "self_attn.qkv_proj", "attn_qkv", OF_LAYER, 0},
    {NULL, "self_attn.o_proj", "attn_output", OF_LAYER, 0},
    {NULL, "self_attn.dense", "attn_output", OF_LAYER, 0},
    {NULL, "attention.dense", "attn_output", OF_LAYER, 0},
    {NULL, "self_attn.q_norm", "attn_q_norm", OF_LAYER, 0},
    {NULL, "self_attn.k_norm", "attn_k_norm", OF_LAYER, 0},
    {NULL, "post_attention_layernorm", "ffn_norm", OF_LAYER, 0},
    {NULL, "ln_2", "ffn_norm", OF_LAYER, 0},
    {NULL, "mlp.gate_proj", "ffn_gate", OF_LAYER, 0},
    {NULL, "mlp.gate_up_proj", "ffn_up", OF_LAYER, 0},
    {NULL, "mlp.up_proj", "ffn_up", OF_LAYER, 0},
    {NULL, "mlp.down_proj", "ffn_down", OF_LAYER, 0},
    {NULL, "mlp.fc1", "ffn_up", OF_LAYER, 0},
    {NULL, "mlp.fc2", "ffn_down", OF_LAYER, 0},
    {NULL, "mlp.c_fc", "ffn_up", OF_LAYER, 0},
    {NULL, "mlp.c_proj", "ffn_down", OF_LAYER, 0},
    {NULL, "mlp.dense_h_to_4h", "ffn_up", OF_LAYER, 0},
    {NULL, "mlp.dense_4h_to_h", "ffn_down", OF_LAYER, 0},
    {NULL, "block_sparse_moe.gate", "ffn_gate_inp", OF_LAYER, 0},
    {NULL, "block_sparse_moe.experts.w1", "ffn_gate_exps", OF_LAYER | STACKED,
     0},
    {NULL, "block_sparse_moe.experts.w3", "ffn_up_exps", OF_LAYER | STACKED, 0},
    {NULL, "block_sparse_moe.experts.w2", "ffn_down_exps", OF_LAYER | STACKED,
     0},
    {NULL, "mlp.gate", "ffn_gate_inp", OF_LAYER, 0},
    {NULL, "mlp.experts.gate_proj", "ffn_gate_exps", OF_LAYER | STACKED, 0},
    {NULL, "mlp.experts.up_proj", "ffn_up_exps", OF_LAYER | STACKED, 0},
    {NULL, "mlp.experts.down_proj", "ffn_down_exps", OF_LAYER | STACKED, 0},
    {NULL, "mlp.shared_expert_gate", "ffn_gate_inp_shexp", OF_LAYER, 0},
    {NULL, "mlp.shared_expert.gate_proj", "ffn_gate_shexp", OF_LAYER, 0},
    {NULL, "mlp.shared_expert.up_proj", "ffn_up_shexp", OF_LAYER, 0},
    {NULL, "mlp.shared_expert.down_proj", "ffn_down_shexp", OF_LAYER, 0},
};

/* Buffers that are computed, and old checkpoints carry along. */
static const char *const idle[] = {"rotary_emb.inv_freq", ".attn.bias",
                                   ".attn.masked_bias", "attention.bias",
                                   "attention.masked_bias"};

/* ---- names ------------------------------------------------------------- */

/* A name taken apart: "model.layers.3.mlp.experts.7.up_proj.weight" is layer
 * 3, expert 7, "mlp.experts.up_proj", ".weight". */
typedef struct parts {
    int64_t layer, expert; /* -1: none */
    char rest[NAME_LEN];
    const char *kind; /* ".weight", ".bias" */
} parts;

/* Takes "<word>.<number>." out at `at`; the number, or -1. */
static int64_t take_number(char *at, size_t word, int64_t max)
{
    char *end;
    long long v;

    if (at[word] < '0' || at[word] > '9')
        return -1;
    v = strtoll(at + word, &end, 10);
    if (*end != '.' || v >= max)
        return -1;
    memmove(at + word, end + 1, strlen(end + 1) + 1);
    return v;
}

static bool take_apart(const char *name, parts *p)
{
    static const char *const prefixes[] = {"model.", "transformer.",
                                           "gpt_neox."};
    static const char *const layers[] = {"layers.", "h."};
    char *at;

    *p = (parts){-1, -1, "", NULL};
    for (size_t i = 0; i < QN_COUNTOF(prefixes); i++)
        if (qn_starts(name, prefixes[i]))
            name += strlen(prefixes[i]);
    if (strlen(name) >= sizeof p->rest)
        return false;
    snprintf(p->rest, sizeof p->rest, "%s", name);
    p->kind = qn_ends(p->rest, ".weight") ? ".weight"
              : qn_ends(p->rest, ".bias") ? ".bias"
                                          : NULL;
    if (!p->kind)
        return false;
    p->rest[strlen(p->rest) - strlen(p->kind)] = '\0';
    for (size_t i = 0; i < QN_COUNTOF(layers) && p->layer < 0; i++) {
        size_t n = strlen(layers[i]);
        if (!qn_starts(p->rest, layers[i]))
            continue;
        p->layer = take_number(p->rest, n, LAYER_MAX);
        if (p->layer < 0)
            return false;
        memmove(p->rest, p->rest + n, strlen(p->rest + n) + 1);
    }
    at = strstr(p->rest, ".experts.");
    if (at)
        p->expert = take_number(at, strlen(".experts."), EXPERT_MAX);
    return true;
}

static const struct name_row *find_row(const char *arch, const parts *p)
{
    for (size_t i = 0; i < QN_COUNTOF(name_rows); i++) {
        const struct name_row *r = &name_rows[i];
        if (r->arch && strcmp(r->arch, arch) != 0)
            continue;
        if (strcmp(r->hf, p->rest) == 0 &&
            (r->flags & OF_LAYER) / OF_LAYER == (p->layer >= 0) &&
            (r->flags & STACKED) / STACKED == (p->expert >= 0))
            return r;
    }
    return NULL;
}

static bool is_idle(const char *name)
{
    for (size_t i = 0; i < QN_COUNTOF(idle); i++)
        if (qn_ends(name, idle[i]))
            return true;
    return false;
}

/* The head is the embedding once more. */
static bool is_tied(const qn_gguf_export *e)
{
    const json_t *v = qn_gguf_config_get(e->config, "tie_word_embeddings",
                                         NULL);
    if (v)
        return json_is_true(v);
    return strcmp(e->row->arch, "gpt2") == 0 ||
           qn_starts(e->row->arch, "gemma");
}

/* ---- the list ---------------------------------------------------------- */

static const char *keep_name(qn_gguf_export *e, const parts *p,
                             const struct name_row *r)
{
    char name[NAME_LEN];
    int n = p->layer >= 0
                ? snprintf(name, sizeof name, "blk.%d.%s%s", (int)p->layer,
                           r->gguf, p->kind)
                : snprintf(name, sizeof name, "%s%s", r->gguf, p->kind);
    return qn_arena_strndup(&e->arena, name, (size_t)n);
}

static void set_shape(qn_gguf_export_tensor *t)
{
    t->n_cols = t->n_dims ? t->shape[t->n_dims - 1] : 1;
    t->n_rows = 1;
    for (int i = 0; i + 1 < t->n_dims; i++)
        t->n_rows *= t->shape[i];
}

static int check_source(const qn_gguf_export *e, const qn_tensor *t,
                        qn_err *err)
{
    bool real = t->dtype == QN_F32 || t->dtype == QN_F16 ||
                t->dtype == QN_BF16 || t->dtype == QN_F64;
    if (real && t->n_dims >= 1 && t->n_dims <= 2)
        return 0;
    return qn_fail(err, QN_EUNSUP,
                   "%s: tensor %s (%s, %d dimensions) is not converted to "
                   "GGUF; start from the model in f32, f16 or bf16",
                   e->ck->path, t->name, t->format, t->n_dims);
}

int qn_gguf_source_check(const qn_gguf_export *e, const qn_gguf_source *s,
                         const qn_tensor *t, qn_err *err)
{
    int64_t rows = t->shape[0], unit = s->n_head;

    if (s->order == QN_GGUF_PAIRED)
        unit *= 2;
    if (s->order == QN_GGUF_QKV)
        unit *= 3;
    if (s->order != QN_GGUF_PAIRED && s->order != QN_GGUF_QKV)
        return 0;
    if (unit > 0 && rows % unit == 0)
        return 0;
    return qn_fail(err, QN_EFORMAT,
                   "%s: tensor %s has %" PRId64 " rows, %d heads do not fit",
                   e->ck->path, t->name, rows, s->n_head);
}

static float query_scale(const qn_gguf_export *e)
{
    const json_t *v = qn_gguf_config_get(e->config, "query_pre_attn_scalar",
                                         NULL);
    double scalar = v ? json_number_value(v) : 0;
    int64_t said = e->dims.n_layer == e->row->odd_layers
                       ? e->dims.d_model / e->dims.n_head
                       : e->dims.d_head;
    return scalar > 0 ? (float)sqrt((double)said / scalar) : 1.0f;
}

/* What a row of the table does to numbers. */
static void set_change(const qn_gguf_export *e, const struct name_row *r,
                       qn_gguf_source *s)
{
    s->n_head = (int)(strcmp(r->gguf, "attn_k") == 0 ? e->dims.n_kv
                                                     : e->dims.n_head);
    s->add = r->flags & PLUS_ONE ? 1.0f : 0.0f;
    s->mul = r->flags & SCALED ? query_scale(e) : 1.0f;
}

const char *qn_gguf_source_find(const qn_gguf_export *e, const char *gguf,
                                bool of_layer, size_t k, qn_gguf_source *s,
                                bool *stacked)
{
    for (size_t i = 0; i < QN_COUNTOF(name_rows); i++) {
        const struct name_row *r = &name_rows[i];
        if ((r->arch && strcmp(r->arch, e->row->arch) != 0) ||
            strcmp(r->gguf, gguf) != 0 ||
            (r->flags & OF_LAYER) / OF_LAYER != of_layer || k-- > 0)
            continue;
        *s = (qn_gguf_source){.order = r->order, .n_from = 1};
        *stacked = r->flags & STACKED;
        set_change(e, r, s);
        return r->hf;
    }
    return NULL;
}

static int add_one(qn_gguf_export *e, const qn_tensor *t, const parts *p,
                   const struct name_row *r, qn_err *err)
{
    bool weight = strcmp(p->kind, ".weight") == 0;
    qn_gguf_source s = {.order = r->order, .mul = 1, .n_from = 1};

    QN_TRY(check_source(e, t, err));
    s.from = qn_arena_alloc(&e->arena, sizeof(qn_tensor *));
    s.from[0] = t;
    s.t = (qn_gguf_export_tensor){.name = keep_name(e, p, r),
                                  .n_dims = t->n_dims,
                                  .source = t->name,
                                  .stored = t->dtype};
    memcpy(s.t.shape, t->shape, sizeof s.t.shape);
    if (s.order == QN_GGUF_TRANSPOSED && weight && t->n_dims == 2) {
        s.t.shape[0] = t->shape[1];
        s.t.shape[1] = t->shape[0];
        s.t.whole = true;
    } else if (s.order == QN_GGUF_TRANSPOSED) {
        s.order = QN_GGUF_AS_IS;
    }
    set_change(e, r, &s);
    QN_TRY(qn_gguf_source_check(e, &s, t, err));
    set_shape(&s.t);
    if (strcmp(r->gguf, "token_embd") == 0)
        e->n_vocab = s.t.n_rows;
    qn_vec_push(&e->tensors, s);
    return 0;
}

/* All experts, when the first comes along. */
static int add_stack(qn_gguf_export *e, const qn_tensor *t, const parts *p,
                     const struct name_row *r, qn_err *err)
{
    const json_t *v = qn_gguf_config_get(e->config, "num_local_experts",
                                         "num_experts");
    int64_t n = json_integer_value(v);
    const char *at = strstr(t->name, ".experts.") + strlen(".experts.");
    size_t before = (size_t)(at - t->name);
    qn_gguf_source s = {.mul = 1};

    if (p->expert != 0)
        return 0;
    QN_TRY(check_source(e, t, err));
    if (n < 1 || n > EXPERT_MAX || t->n_dims != 2)
        return qn_fail(err, QN_EFORMAT,
                       "%s: tensor %s belongs to an expert, the configuration "
                       "has %" PRId64,
                       e->ck->path, t->name, n);
    s.from = qn_arena_calloc(&e->arena, (size_t)n, sizeof *s.from);
    s.n_from = (int)n;
    for (int64_t i = 0; i < n; i++) {
        char name[2 * NAME_LEN];
        snprintf(name, sizeof name, "%.*s%d%s", (int)before, t->name, (int)i,
                 at + 1); /* behind the "0" */
        s.from[i] = qn_ckpt_find(e->ck, name);
        if (!s.from[i] || s.from[i]->dtype != t->dtype ||
            s.from[i]->n_dims != 2 || s.from[i]->shape[0] != t->shape[0] ||
            s.from[i]->shape[1] != t->shape[1])
            return qn_fail(err, QN_EFORMAT,
                           "%s: tensor %s is missing or unlike that of the "
                           "first expert",
                           e->ck->path, name);
    }
    s.t = (qn_gguf_export_tensor){.name = keep_name(e, p, r),
                                  .n_dims = 3,
                                  .shape = {n, t->shape[0], t->shape[1]},
                                  .source = t->name,
                                  .stored = t->dtype};
    set_shape(&s.t);
    qn_vec_push(&e->tensors, s);
    return 0;
}

static int add_tensors(qn_gguf_export *e, qn_err *err)
{
    for (size_t i = 0; i < qn_ckpt_n_tensors(e->ck); i++) {
        const qn_tensor *t = qn_ckpt_tensor(e->ck, i);
        const struct name_row *r;
        parts p;

        if (is_idle(t->name))
            continue;
        r = take_apart(t->name, &p) ? find_row(e->row->arch, &p) : NULL;
        if (!r)
            return qn_fail(err, QN_EUNSUP,
                           "%s: tensor %s has no name in GGUF's architecture "
                           "%s",
                           e->ck->path, t->name, e->row->arch);
        if (strcmp(r->gguf, "output") == 0 && is_tied(e))
            continue;
        QN_TRY(r->flags & STACKED ? add_stack(e, t, &p, r, err)
                                  : add_one(e, t, &p, r, err));
    }
    if (e->n_vocab)
        return 0;
    return qn_fail(err, QN_EFORMAT, "%s: no embedding of tokens", e->ck->path);
}

float *qn_gguf_export_add(qn_gguf_export *e, const char *name, int64_t n)
{
    float *v = qn_arena_calloc(&e->arena, (size_t)n, sizeof *v);
    qn_gguf_source s = {.values = v, .mul = 1};

    s.t = (qn_gguf_export_tensor){
        .name = name, .n_dims = 1, .shape = {n}, .stored = QN_F32};
    set_shape(&s.t);
    qn_vec_push(&e->tensors, s);
    return v;
}

int qn_gguf_export_new(qn_gguf_export **out, const qn_ckpt *ck, qn_err *err)
{
    qn_gguf_export *e;
    int rc;

    if (qn_ckpt_container(ck) != QN_CKPT_HF || !qn_ckpt_config(ck))
        return qn_fail(err, QN_EINVAL,
                       "%s: only a Hugging Face checkpoint is converted to "
                       "GGUF",
                       qn_ckpt_path(ck));
    e = qn_xcalloc(1, sizeof *e);
    e->ck = ck;
    e->config = qn_ckpt_config(ck);
    qn_arena_init(&e->arena);
    QN_TRY_OUT(qn_gguf_export_check(e, err));
    QN_TRY_OUT(add_tensors(e, err));
    QN_TRY_OUT(qn_gguf_export_rope(e, err));
out:
    if (rc < 0)
        qn_gguf_export_free(e);
    else
        *out = e;
    return rc;
}

void qn_gguf_export_free(qn_gguf_export *e)
{
    if (!e)
        return;
    qn_vec_deinit(&e->tensors);
    qn_arena_deinit(&e->arena);
    free(e);
}

size_t qn_gguf_export_n(const qn_gguf_export *e)
{
    return e->tensors.n;
}

const qn_gguf_export_tensor *qn_gguf_export_at(const qn_gguf_export *e,
                                               size_t i)
{
    return i < e->tensors.n ? &e->tensors.v[i].t : NULL;
}

/* ---- rows -------------------------------------------------------------- */

/* Rows of a vector are its elements: the order of heads applies to those. */
static int64_t order_rows(const qn_gguf_source *s)
{
    return s->t.n_dims == 1 ? s->t.n_cols : s->t.n_rows;
}

int64_t qn_gguf_source_row(const qn_gguf_source *s, int64_t row)
{
    int64_t rows = order_rows(s), d, head, i;

    switch (s->order) {
    case QN_GGUF_PAIRED:
        d = rows / s->n_head;
        head = row / d;
        i = row % d;
        return head * d + i % 2 * (d / 2) + i / 2;
    case QN_GGUF_QKV:
        d = rows / s->n_head / 3;
        i = row / d; /* of all heads' q, k, v, one after the other */
        head = i % s->n_head;
        return (head * 3 + i / s->n_head) * d + row % d;
    default: return row;
    }
}

float qn_gguf_export_scale(const qn_gguf_export *e, size_t i)
{
    return e->tensors.v[i].mul;
}

const qn_tensor *qn_gguf_export_source(const qn_gguf_export *e, size_t i,
                                       int64_t row, int64_t *src_row)
{
    const qn_gguf_source *s = &e->tensors.v[i];
    int64_t per;

    if (!s->from)
        return NULL;
    if (s->n_from > 1) {
        per = s->t.n_rows / s->n_from;
        *src_row = row % per;
        return s->from[row / per];
    }
    *src_row = s->t.n_dims == 1 ? row : qn_gguf_source_row(s, row);
    return s->from[0];
}

/* n elements of a tensor from element `at`, as f32. */
static int read_elems(const qn_ckpt *ck, const qn_tensor *t, int64_t at,
                      int64_t n, float *dst, qn_err *err)
{
    uint64_t size = (uint64_t)qn_dtype_get(t->dtype)->block_bytes;
    uint64_t from = (uint64_t)at * size, bytes = (uint64_t)n * size;
    void *raw;
    int rc;

    if (t->dtype == QN_F32)
        return qn_ckpt_read(ck, t, from, dst, (size_t)bytes, err);
    raw = qn_alloc((size_t)bytes, 1);
    if (!raw)
        return qn_fail(err, QN_ENOMEM,
                       "tensor %s: no memory to read %llu bytes", t->name,
                       (unsigned long long)bytes);
    rc = qn_ckpt_read(ck, t, from, raw, (size_t)bytes, err);
    if (rc >= 0)
        rc = qn_dtype_decode(t->dtype, raw, dst, (size_t)n, err);
    free(raw);
    return rc;
}

static int read_transposed(const qn_gguf_export *e, const qn_gguf_source *s,
                           int64_t row, int64_t n, float *dst, qn_err *err)
{
    const qn_tensor *t = s->from[0];
    int64_t cols = s->t.n_cols, rows = s->t.n_rows;
    float *all = qn_alloc((size_t)t->n_elems, sizeof *all);
    int rc;

    if (!all)
        return qn_fail(err, QN_ENOMEM, "tensor %s: no memory to transpose it",
                       t->name);
    rc = read_elems(e->ck, t, 0, (int64_t)t->n_elems, all, err);
    for (int64_t r = 0; r < n && rc >= 0; r++)
        for (int64_t c = 0; c < cols; c++)
            dst[r * cols + c] = all[c * rows + row + r];
    free(all);
    return rc;
}

/* A vector's elements are put into the order of heads in place. */
static int read_vector(const qn_gguf_export *e, const qn_gguf_source *s,
                       float *dst, qn_err *err)
{
    int64_t n = s->t.n_cols;
    float *old;

    QN_TRY(read_elems(e->ck, s->from[0], 0, n, dst, err));
    if (s->order == QN_GGUF_AS_IS)
        return 0;
    old = qn_alloc((size_t)n, sizeof *old);
    if (!old)
        return qn_fail(err, QN_ENOMEM, "tensor %s: no memory",
                       s->from[0]->name);
    memcpy(old, dst, (size_t)n * sizeof *old);
    for (int64_t i = 0; i < n; i++)
        dst[i] = old[qn_gguf_source_row(s, i)];
    free(old);
    return 0;
}

/* Rows that lie one behind the other are read at once. */
static int read_matrix(const qn_gguf_export *e, size_t i, int64_t row,
                       int64_t n, float *dst, qn_err *err)
{
    int64_t cols = e->tensors.v[i].t.n_cols;

    for (int64_t done = 0; done < n;) {
        int64_t first, next, run = 1;
        const qn_tensor *t = qn_gguf_export_source(e, i, row + done, &first);
        while (done + run < n &&
               qn_gguf_export_source(e, i, row + done + run, &next) == t &&
               next == first + run)
            run++;
        QN_TRY(read_elems(e->ck, t, first * cols, run * cols, dst + done * cols,
                          err));
        done += run;
    }
    return 0;
}

int qn_gguf_export_rows(const qn_gguf_export *e, size_t i, int64_t row,
                        int64_t n, float *dst, qn_err *err)
{
    const qn_gguf_source *s = &e->tensors.v[i];

    if (row < 0 || n < 0 || row > s->t.n_rows || n > s->t.n_rows - row)
        return qn_fail(err, QN_EINVAL, "tensor %s has %" PRId64 " rows",
                       s->t.name, s->t.n_rows);
    if (n == 0)
        return 0;
    if (s->values)
        memcpy(dst, s->values, (size_t)s->t.n_cols * sizeof *dst);
    else if (s->order == QN_GGUF_TRANSPOSED)
        QN_TRY(read_transposed(e, s, row, n, dst, err));
    else if (s->t.n_dims == 1)
        QN_TRY(read_vector(e, s, dst, err));
    else
        QN_TRY(read_matrix(e, i, row, n, dst, err));
    for (int64_t k = 0; k < n * s->t.n_cols; k++)
        dst[k] = (dst[k] + s->add) * s->mul;
    return 0;
}
