/* tok_ranks.c - which encoding a rank file is: a row per published one.
 *
 * The files hold ranks alone; how text is divided and which ids are special
 * stands in the programs that read them. Sources: tiktoken's openai_public.py,
 * tokenizer.py of Llama 3 and 4, tokenization_qwen.py, tokenization_kimi.py. */
#include "base/json.h"
#include "text/tok_int.h"

#include <stdio.h>
#include <string.h>

typedef struct ranks_row {
    const char *name;    /* how the file's name begins */
    uint32_t n;          /* lines; 0: the name alone decides */
    const char *pattern; /* as qn_tok_open_tiktoken takes it */
    const qn_tok_special *special;
    size_t n_special;
    /* Further special tokens, ids from `more_first`: as tokenizer_config.json
     * names them, or "<|more_K|>", K from `more_number`. */
    const char *more;
    int more_first, more_n, more_number;
    const char *bos; /* put before a text, or NULL */
} ranks_row;

static const qn_tok_special ranks_r50k[] = {{"<|endoftext|>", 50256}};
static const qn_tok_special ranks_p50k_edit[] = {{"<|endoftext|>", 50256},
                                                 {"<|fim_prefix|>", 50281},
                                                 {"<|fim_middle|>", 50282},
                                                 {"<|fim_suffix|>", 50283}};
static const qn_tok_special ranks_cl100k[] = {{"<|endoftext|>", 100257},
                                              {"<|fim_prefix|>", 100258},
                                              {"<|fim_middle|>", 100259},
                                              {"<|fim_suffix|>", 100260},
                                              {"<|endofprompt|>", 100276}};
static const qn_tok_special ranks_o200k[] = {{"<|endoftext|>", 199999},
                                             {"<|endofprompt|>", 200018}};
static const qn_tok_special ranks_qwen[] = {{"<|endoftext|>", 151643},
                                            {"<|im_start|>", 151644},
                                            {"<|im_end|>", 151645}};
static const qn_tok_special ranks_llama3[] = {
    {"<|begin_of_text|>", 128000},
    {"<|end_of_text|>", 128001},
    {"<|reserved_special_token_0|>", 128002},
    {"<|reserved_special_token_1|>", 128003},
    {"<|finetune_right_pad_id|>", 128004},
    {"<|step_id|>", 128005},
    {"<|start_header_id|>", 128006},
    {"<|end_header_id|>", 128007},
    {"<|eom_id|>", 128008},
    {"<|eot_id|>", 128009},
    {"<|python_tag|>", 128010}};

static const qn_tok_special ranks_kimi[] = {{"[EOS]", 163585},
                                            {"[BOS]", 163584}};

#define LIST(a) a, QN_COUNTOF(a)

static const ranks_row ranks_rows[] = {
    {"r50k_base", 0, "r50k", LIST(ranks_r50k), NULL, 0, 0, 0, NULL},
    {"p50k_base", 0, "p50k", LIST(ranks_r50k), NULL, 0, 0, 0, NULL},
    {"p50k_edit", 0, "p50k", LIST(ranks_p50k_edit), NULL, 0, 0, 0, NULL},
    {"cl100k_base", 0, "cl100k", LIST(ranks_cl100k), NULL, 0, 0, 0, NULL},
    {"o200k_base", 0, "o200k", LIST(ranks_o200k), NULL, 0, 0, 0, NULL},
    {"qwen", 151643, "qwen2", LIST(ranks_qwen), "extra", 151646, 205, 0, NULL},
    {"tokenizer", 128000, "llama3", LIST(ranks_llama3),
     "reserved_special_token", 128011, 245, 2, "<|begin_of_text|>"},
    /* Kimi, Moonlight */
    {"tiktoken", 163584, QN_TOK_KIMI, LIST(ranks_kimi), "reserved_token",
     163586, 254, 163586, NULL},
};

bool qn_tok_is_tiktoken(qn_view text)
{
    size_t i = 0;
    while (i < text.n && i < 400 && text.p[i] != ' ') {
        if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                    "0123456789+/=",
                    text.p[i]) ||
            !text.p[i])
            return false;
        i++;
    }
    return i > 0 && i + 1 < text.n && text.p[i] == ' ' &&
           text.p[i + 1] >= '0' && text.p[i + 1] <= '9';
}

static uint32_t ranks_count(qn_view text)
{
    uint32_t n = 0;
    for (size_t i = 0; i < text.n; i++)
        n += text.p[i] == '\n';
    return text.n > 0 && text.p[text.n - 1] != '\n' ? n + 1 : n;
}

static const ranks_row *ranks_find(const char *path, uint32_t n)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    for (size_t k = 0; k < QN_COUNTOF(ranks_rows); k++)
        if (strncmp(name, ranks_rows[k].name, strlen(ranks_rows[k].name)) ==
                0 &&
            (ranks_rows[k].n == 0 || ranks_rows[k].n == n))
            return &ranks_rows[k];
    return NULL;
}

/* What tokenizer_config.json calls the special token, or NULL. */
static const char *ranks_listed(const json_t *config, int id)
{
    char key[16];
    snprintf(key, sizeof key, "%d", id);
    return json_string_value(json_object_get(
        json_object_get(json_object_get(config, "added_tokens_decoder"), key),
        "content"));
}

int qn_tok_open_ranks(qn_tok **out, qn_view ranks, const char *path,
                      const json_t *config, qn_err *err)
{
    uint32_t n = ranks_count(ranks);
    const ranks_row *row = ranks_find(path, n);
    QN_VEC(qn_tok_special) special = {0};
    if (!row)
        return qn_fail(
            err, QN_EUNSUP,
            "%s: a rank file of %u tokens that is none of those "
            "known (r50k, p50k, cl100k, o200k, qwen, Llama 3, Kimi), so "
            "its pattern and special tokens are not known; a "
            "tokenizer.json would say them",
            path, n);
    for (size_t k = 0; k < row->n_special; k++)
        qn_vec_push(&special, row->special[k]);
    char *names = qn_xmalloc((size_t)(row->more_n + 1) * 48);
    for (int k = 0; k < row->more_n; k++) {
        int id = row->more_first + k;
        const char *listed = ranks_listed(config, id);
        snprintf(names + 48 * k, 48, "<|%s_%d|>", row->more,
                 row->more_number + k);
        qn_tok_special s = {listed ? listed : names + 48 * k, id};
        qn_vec_push(&special, s);
    }
    int rc = qn_tok_open_tiktoken(out, ranks, row->pattern, special.v,
                                  special.n, path, err);
    if (rc == 0) {
        qn_tok *t = *out;
        t->role[QN_TOK_EOS] = special.v[row->bos ? 1 : 0].id;
        qn_tok_read_roles(t, config);
        if (row->bos) {
            t->role[QN_TOK_BOS] = special.v[0].id;
            qn_tok_add_template(t, special.v[0].id, -1);
        }
    }
    qn_vec_deinit(&special);
    qn_free(names);
    return rc;
}
