/* scripted.c - see scripted.h. */
#include "scripted.h"

#include "testing.h"

#include "ckpt/safetensors_write.h"

#include <jansson.h>
#include <sys/stat.h>

enum {
    D_HEAD = 64,
    N_FF = 64,
    ASSISTANT = 256, /* ids: bytes first */
    END,
    PIECES
};

static char dir[4096];

static void save(const char *name, json_t *doc)
{
    char path[4200];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    char *text = json_dumps(doc, JSON_COMPACT);
    qn_test_write_file(path, text, strlen(text));
    free(text);
    json_decref(doc);
}

/* ---- vocabulary -------------------------------------------------------- */

/* GPT-2's spelling of a byte: printable ones stand for themselves, the others
 * for U+0100 and on, in order. */
static void spell(unsigned char byte, char *out)
{
    uint32_t cp = 0, next = 256;
    for (uint32_t b = 0; b <= byte; b++) {
        bool plain = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) ||
                     b >= 174;
        cp = plain ? b : next++;
    }
    size_t n = 0;
    if (cp >= 0x80) {
        out[n++] = (char)(0xc0 | cp >> 6);
        out[n++] = (char)(0x80 | (cp & 63));
    } else {
        out[n++] = (char)cp;
    }
    out[n] = 0;
}

static json_t *special(int id, const char *text)
{
    return json_pack("{s:i,s:s,s:b,s:b,s:b,s:b,s:b}", "id", id, "content", text,
                     "single_word", 0, "lstrip", 0, "rstrip", 0, "normalized",
                     0, "special", 1);
}

static void save_tokenizer(const char *const *pieces)
{
    json_t *vocab = json_object(), *added = json_array();
    char key[1024];
    for (int b = 0; b < 256; b++) {
        spell((unsigned char)b, key);
        json_object_set_new(vocab, key, json_integer(b));
    }
    json_object_set_new(vocab, "<|assistant|>", json_integer(ASSISTANT));
    json_object_set_new(vocab, "<|end|>", json_integer(END));
    json_array_append_new(added, special(ASSISTANT, "<|assistant|>"));
    json_array_append_new(added, special(END, "<|end|>"));
    for (int i = 0; pieces[i]; i++) {
        if (pieces[i][0] == 1) {
            json_array_append_new(added, special(PIECES + i, pieces[i] + 1));
            json_object_set_new(vocab, pieces[i] + 1, json_integer(PIECES + i));
            continue;
        }
        char *at = key;
        for (const char *p = pieces[i]; *p; p++, at += strlen(at))
            spell((unsigned char)*p, at);
        json_object_set_new(vocab, key, json_integer(PIECES + i));
    }
    json_t *level = json_pack("{s:s,s:b,s:b,s:b}", "type", "ByteLevel",
                              "add_prefix_space", 0, "trim_offsets", 1,
                              "use_regex", 0);
    save("tokenizer.json",
         json_pack("{s:s,s:o,s:n,s:O,s:n,s:o,s:{s:s,s:o,s:[]}}", "version",
                   "1.0", "added_tokens", added, "normalizer", "pre_tokenizer",
                   level, "post_processor", "decoder", level, "model", "type",
                   "BPE", "vocab", vocab, "merges"));
}

static void save_template(const char *call)
{
    char text[4096];
    snprintf(text, sizeof text,
             "{%% for m in messages %%}<|{{ m.role }}|>{{ m.content }}"
             "{%% for c in m.tool_calls or [] %%}%s{%% endfor %%}"
             "{%% endfor %%}"
             "{%% if add_generation_prompt %%}<|assistant|>{%% endif %%}",
             call);
    save("tokenizer_config.json",
         json_pack("{s:s,s:s,s:s}", "tokenizer_class",
                   "PreTrainedTokenizerFast", "eos_token", "<|end|>",
                   "chat_template", text));
}

/* ---- network ----------------------------------------------------------- */

typedef struct tensor {
    const char *name;
    int64_t rows, cols; /* cols 0: a vector of ones */
} tensor;

static void write_one(qn_st_writer *w, const tensor *t, int n_vocab,
                      int after_text, int n_pieces)
{
    int64_t cols = t->cols ? t->cols : 1;
    float *data = calloc((size_t)(t->rows * cols), sizeof *data);
    bool embed = strstr(t->name, "embed") != NULL;
    bool head = strstr(t->name, "lm_head") != NULL;
    if (t->cols == 0)
        for (int64_t i = 0; i < t->rows; i++)
            data[i] = 1;
    for (int i = 0; (embed || head) && i < n_vocab; i++) {
        int next = PIECES + after_text;
        if (i == ASSISTANT)
            next = PIECES;
        else if (i >= PIECES)
            next = i + 1 < PIECES + n_pieces ? i + 1 : END;
        data[(embed ? i : next) * cols + i] = 1;
    }
    assert_int_equal(qn_st_writer_data(w, data,
                                       (size_t)(t->rows * cols) * sizeof *data,
                                       NULL),
                     0);
    free(data);
}

static void save_network(int n_pieces, int after_text)
{
    int n_vocab = PIECES + n_pieces;
    int64_t d = (n_vocab + D_HEAD - 1) / D_HEAD * D_HEAD;
#define LAYER "model.layers.0."
    const tensor all[] = {
        {"model.embed_tokens.weight", n_vocab, d},
        {LAYER "input_layernorm.weight", d, 0},
        {LAYER "self_attn.q_proj.weight", d, d},
        {LAYER "self_attn.k_proj.weight", D_HEAD, d},
        {LAYER "self_attn.v_proj.weight", D_HEAD, d},
        {LAYER "self_attn.o_proj.weight", d, d},
        {LAYER "post_attention_layernorm.weight", d, 0},
        {LAYER "mlp.gate_proj.weight", N_FF, d},
        {LAYER "mlp.up_proj.weight", N_FF, d},
        {LAYER "mlp.down_proj.weight", d, N_FF},
        {"model.norm.weight", d, 0},
        {"lm_head.weight", n_vocab, d},
    };
    char path[4200];
    qn_st_writer *w = NULL;
    qn_err err;
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    assert_int_equal(qn_st_writer_new(&w, path, &err), 0);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        int64_t shape[] = {all[i].rows, all[i].cols};
        assert_int_equal(qn_st_writer_declare(w, all[i].name, QN_F32,
                                              all[i].cols ? 2 : 1, shape, &err),
                         0);
    }
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        write_one(w, &all[i], n_vocab, after_text, n_pieces);
    assert_int_equal(qn_st_writer_finish(w, &err), 0);
    qn_st_writer_free(w);
    save("config.json",
         json_pack("{s:[s],s:s,s:I,s:i,s:i,s:I,s:i,s:i,s:i,s:i,s:i,s:f,s:f,"
                   "s:b,s:s,s:s,s:i}",
                   "architectures", "LlamaForCausalLM", "model_type", "llama",
                   "hidden_size", (json_int_t)d, "intermediate_size", N_FF,
                   "num_hidden_layers", 1, "num_attention_heads",
                   (json_int_t)(d / D_HEAD), "num_key_value_heads", 1,
                   "head_dim", D_HEAD, "vocab_size", n_vocab,
                   "max_position_embeddings", 2048, "initializer_range", 1,
                   "rms_norm_eps", 1e-6, "rope_theta", 10000.0,
                   "tie_word_embeddings", 0, "hidden_act", "silu",
                   "torch_dtype", "float32", "eos_token_id", END));
}

const char *scripted_model(const char *const *pieces, int after_text,
                           const char *call)
{
    static int count;
    int n = 0;
    while (pieces[n])
        n++;
    snprintf(dir, sizeof dir, "%s/scripted-%d", qn_test_tmpdir(), count++);
    assert_int_equal(mkdir(dir, 0755), 0);
    save_tokenizer(pieces);
    save_template(call);
    save_network(n, after_text);
    return dir;
}
