/* fuzz_export.c: the tokenizer of a folder as GGUF has it. The input is
 * tokenizer.json, a NUL, tokenizer_config.json; the network is a given one. */
#include "fuzz_ckpt.h"

#include "ckpt/gguf_export.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char config[] =
    "{\"model_type\": \"llama\", \"architectures\": [\"LlamaForCausalLM\"], "
    "\"hidden_size\": 4, \"intermediate_size\": 4, \"num_hidden_layers\": 1, "
    "\"num_attention_heads\": 1, \"vocab_size\": 320, \"rms_norm_eps\": 1e-5, "
    "\"max_position_embeddings\": 16, \"tie_word_embeddings\": true}";

enum {
    MATRIX = 4 * 4 * 4,
    N_DATA = 320 * MATRIX / 4 + 7 * MATRIX + 3 * MATRIX / 4
};

static const struct {
    const char *name;
    int rows; /* 0: a vector */
} tensors[] = {
    {"model.embed_tokens", 320},
    {"model.norm", 0},
    {"model.layers.0.input_layernorm", 0},
    {"model.layers.0.self_attn.q_proj", 4},
    {"model.layers.0.self_attn.k_proj", 4},
    {"model.layers.0.self_attn.v_proj", 4},
    {"model.layers.0.self_attn.o_proj", 4},
    {"model.layers.0.post_attention_layernorm", 0},
    {"model.layers.0.mlp.gate_proj", 4},
    {"model.layers.0.mlp.up_proj", 4},
    {"model.layers.0.mlp.down_proj", 4},
};

static void put_network(void)
{
    static char file[8 + 2048 + N_DATA];
    char *header = file + 8;
    size_t n = 0, at = 0;

    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) {
        size_t bytes = (size_t)(tensors[i].rows ? tensors[i].rows : 1) * 16;
        char rows[8] = "";
        if (tensors[i].rows)
            snprintf(rows, sizeof rows, "%d, ", tensors[i].rows);
        n += (size_t)snprintf(header + n, 2048 - n,
                              "%c\"%s.weight\":{\"dtype\":\"F32\",\"shape\":"
                              "[%s4],\"data_offsets\":[%zu,%zu]}",
                              i ? ',' : '{', tensors[i].name, rows, at,
                              at + bytes);
        at += bytes;
    }
    header[n++] = '}';
    for (int i = 0; i < 8; i++)
        file[i] = (char)(n >> (8 * i) & 0xff);
    fuzz_put("config.json", config, sizeof config - 1);
    fuzz_put("model.safetensors", file, 8 + n + at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *nul = size ? memchr(data, 0, size) : NULL;
    size_t n = nul ? (size_t)(nul - data) : size;
    qn_gguf_export *e = NULL;
    qn_gguf_writer *w = NULL;
    qn_ckpt *ck;
    char path[64];
    qn_err err = {0};

    put_network();
    fuzz_put("tokenizer.json", data, n);
    fuzz_put("tokenizer_config.json", nul ? (const char *)nul + 1 : "{}",
             nul ? size - n - 1 : 2);
    snprintf(path, sizeof path, "%s/out.gguf", fuzz_dir);
    if (qn_ckpt_open(&ck, fuzz_dir, &err) < 0 ||
        qn_gguf_export_new(&e, ck, &err) < 0 ||
        qn_gguf_writer_new(&w, path, &err) < 0)
        abort();
    if (qn_gguf_export_meta(e, w, &err) < 0)
        abort();
    if (qn_gguf_export_tokenizer(e, w, &err) < 0 && !err.msg[0])
        abort();
    qn_gguf_writer_free(w);
    qn_gguf_export_free(e);
    qn_ckpt_close(ck);
    return 0;
}
