/* fuzz_tokenizer_files.c - the other files that vocabularies come in. The
 * first byte chooses: vocab.json and merges.txt (divided by a NUL), a rank
 * file, tekken.json, the arrays of a GGUF file (tokens on lines, each with a letter for its
 * type in front, then a NUL, then merges on lines). */
#include "text/tokenizer.h"

#include <stdlib.h>

enum {
    MAX_LINES = 512
};

static void use(qn_tok *t, int rc, const qn_err *err)
{
    static const char text[] = "ab a\u00E9 <s>\u2581\n 12\xE2";
    if (rc < 0) {
        if (err->code >= 0 || !err->msg[0])
            abort();
        return;
    }
    qn_err e = {0};
    qn_tok_ids ids = {0};
    qn_tok_spans spans = {0};
    qn_str out;
    qn_str_init(&out);
    if (qn_tok_encode(t, text, sizeof text - 1, QN_TOK_DEFAULT, &ids, &spans,
                      &e) == 0)
        (void)qn_tok_decode(t, ids.v, ids.n, false, &out, &e);
    qn_str_deinit(&out);
    qn_vec_deinit(&ids);
    qn_vec_deinit(&spans);
    qn_tok_close(t);
}

static size_t lines(qn_view text, qn_view *out)
{
    size_t n = 0;
    for (size_t i = 0; i < text.n && n < MAX_LINES;) {
        const char *end = memchr(text.p + i, '\n', text.n - i);
        size_t e = end ? (size_t)(end - text.p) : text.n;
        out[n++] = qn_view_of(text.p + i, e - i);
        i = e + 1;
    }
    return n;
}

static void use_gguf(qn_view tokens, qn_view merges, uint8_t how)
{
    static const char *const pres[] = {NULL,     "llama-bpe",   "qwen2",
                                       "falcon", "deepseek-v3", "strange"};
    static const char *const late_pres[] = {"kimi-k2", "youtu",  "deepseek-llm",
                                            "afmoe",   "jais-2", "superbpe"};
    static const char *const models[] = {"gpt2", "llama", "bert", "t5"};
    static const char *const late_models[] = {"gpt2", "gemma4", "bert", "t5"};
    bool late = (how & 0x30) == 0x30;
    qn_view token[MAX_LINES], merge[MAX_LINES];
    float scores[MAX_LINES];
    int32_t types[MAX_LINES];
    qn_tok_gguf g = {.name = "fuzz",
                     .model = (late ? late_models
                                    : models)[(how & 1) | (how >> 5 & 2)],
                     .pre = (late ? late_pres : pres)[(how >> 1) % 6],
                     .tokens = token,
                     .scores = scores,
                     .types = types,
                     .merges = merge,
                     .bos = 1,
                     .eos = 2,
                     .unk = 0,
                     .pad = -1,
                     .eot = -1,
                     .add_bos = -1,
                     .add_eos = how >> 7,
                     .add_space_prefix = -1,
                     .remove_extra_whitespaces = -1};
    g.n_tokens = lines(tokens, token);
    g.n_merges = lines(merges, merge);
    for (size_t k = 0; k < g.n_tokens; k++) {
        types[k] = token[k].n ? token[k].p[0] % 8 : 1;
        scores[k] = -(float)(k % 7);
        if (token[k].n) {
            token[k].p++;
            token[k].n--;
        }
    }
    qn_err err = {0};
    qn_tok *t = NULL;
    int rc = qn_tok_open_gguf(&t, &g, &err);
    use(t, rc, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > 1 << 16)
        return 0;
    const char *p = (const char *)data + 2;
    size_t n = size - 2;
    const char *nul = n ? memchr(p, '\0', n) : NULL;
    size_t cut = nul ? (size_t)(nul - p) : n;
    qn_view a = {p, cut}, b = {p + cut, 0};
    if (nul)
        b = qn_view_of(nul + 1, n - cut - 1);
    qn_err err = {0};
    qn_tok *t = NULL;
    int rc;
    if (data[0] == 'T') {
        rc = qn_tok_open_tekken(&t, qn_view_of(p, n), NULL, "fuzz", &err);
        use(t, rc, &err);
    } else if (data[0] % 3 == 0) {
        qn_tok_bpe_files f = {.vocab = a, .merges = b, .name = "fuzz"};
        rc = qn_tok_open_bpe(&t, &f, &err);
        use(t, rc, &err);
    } else if (data[0] % 3 == 1) {
        qn_tok_special special = {"<s>", 77};
        rc = qn_tok_open_tiktoken(&t, qn_view_of(p, n),
                                  data[1] & 1 ? "cl100k" : "o200k", &special, 1,
                                  "fuzz", &err);
        use(t, rc, &err);
    } else {
        use_gguf(a, b, data[1]);
    }
    return 0;
}
