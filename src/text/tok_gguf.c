/* tok_gguf.c - the vocabulary inside a GGUF file.
 *
 * Five kinds. "gpt2": byte-level BPE with merges; how words are divided is a
 * name ("pre"), and tok_gguf_pre.c says what the name means. "llama":
 * SentencePiece's BPE, where a pair of symbols may become the token that has
 * the text of both, best score first, and blanks are spelled U+2581. "gemma4":
 * the same spelling with merges. "t5": SentencePiece's Unigram. "bert":
 * WordPiece. */
#include "base/json.h"
#include "base/utf8.h"
#include "text/tok_spm.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    GGUF_UNKNOWN = 2,
    GGUF_CONTROL = 3,
    GGUF_USER_DEFINED = 4
};

/* ---- what both kinds share ---------------------------------------------- */

static int gguf_vocab(qn_tok_draft *d, const qn_tok_gguf *g, qn_err *err)
{
    if (!g->tokens || g->n_tokens == 0 || g->n_tokens > QN_VOCAB_MAX_ID)
        return qn_fail(err, QN_EFORMAT,
                       "%s: tokenizer.ggml.tokens has %zu entries; between 1 "
                       "and %d are supported",
                       d->name, g->n_tokens, QN_VOCAB_MAX_ID);
    qn_vocab_init(&d->t->vocab, g->n_tokens);
    for (size_t k = 0; k < g->n_tokens; k++) {
        if (!qn_utf8_valid(g->tokens[k].p, g->tokens[k].n))
            return qn_fail(err, QN_EFORMAT, "%s: token %zu is not UTF-8",
                           d->name, k);
        int rc = qn_vocab_add(&d->t->vocab, g->tokens[k], (int64_t)k, d->name,
                              err);
        QN_TRY(rc);
    }
    return QN_OK;
}

/* Control tokens, and words that the user defined. */
static int gguf_added(qn_tok_draft *d, const qn_tok_gguf *g, qn_err *err)
{
    for (size_t k = 0; g->types && k < g->n_tokens; k++) {
        bool special = g->types[k] == GGUF_CONTROL ||
                       g->types[k] == GGUF_UNKNOWN;
        qn_view text = g->tokens[k];
        if ((!special && g->types[k] != GGUF_USER_DEFINED) || text.n == 0 ||
            text.n > QN_TOK_MAX_ADDED_LEN)
            continue;
        qn_tok_added_token tok = {.content = text,
                                  .id = (int32_t)k,
                                  .special = special};
        QN_TRY(qn_tok_draft_add(d, &tok, err));
    }
    return QN_OK;
}

static int32_t gguf_id(const qn_tok_gguf *g, int32_t id, int32_t fallback)
{
    if (id < 0)
        id = fallback;
    return id >= 0 && (size_t)id < g->n_tokens ? id : -1;
}

static int gguf_post(qn_tok_draft *d, const qn_tok_gguf *g, bool add_bos,
                     qn_err *err)
{
    const int32_t *role = d->t->role;
    bool add_eos = g->add_eos > 0;
    if (g->add_bos >= 0)
        add_bos = g->add_bos > 0;
    if ((add_bos && role[QN_TOK_BOS] < 0) || (add_eos && role[QN_TOK_EOS] < 0))
        return qn_fail(err, QN_EFORMAT,
                       "%s: the file asks for a bos or eos token but names "
                       "none",
                       d->name);
    if (add_bos || add_eos)
        qn_tok_add_template(d->t, add_bos ? role[QN_TOK_BOS] : -1,
                            add_eos ? role[QN_TOK_EOS] : -1);
    return QN_OK;
}

static void gguf_roles(qn_tok *t, const qn_tok_gguf *g, bool spm)
{
    t->role[QN_TOK_BOS] = gguf_id(g, g->bos, spm ? 1 : -1);
    t->role[QN_TOK_EOS] = gguf_id(g, g->eos, spm ? 2 : -1);
    t->role[QN_TOK_UNK] = gguf_id(g, g->unk, spm ? 0 : -1);
    t->role[QN_TOK_PAD] = gguf_id(g, g->pad, -1);
    t->role[QN_TOK_EOT] = gguf_id(g, g->eot, -1);
}

/* ---- gpt2 --------------------------------------------------------------- */

static int gguf_words(qn_tok_draft *d, const qn_tok_gguf_pre *pre, qn_err *err)
{
    qn_tok *t = d->t;
    for (size_t k = 0; k < pre->n; k++) {
        qn_tok_step *s = qn_tok_steps_add(&t->pre, &qn_tok_pre_tokenizers,
                                          "Split");
        s->behavior = QN_TOK_ISOLATED;
        QN_TRY(qn_tok_pattern_regex(&s->pattern, pre->patterns[k],
                                    strlen(pre->patterns[k]), d->name, err));
    }
    qn_tok_steps_add(&t->pre, &qn_tok_pre_tokenizers, "ByteLevel");
    qn_tok_steps_add(&t->dec, &qn_tok_decoders, "ByteLevel");
    return QN_OK;
}

/* A merge divides at its first blank, the first byte apart. */
static int gguf_merges(qn_tok_draft *d, const qn_tok_gguf *g, qn_err *err)
{
    d->keep_first = true;
    for (size_t k = 0; k < g->n_merges; k++) {
        qn_view m = g->merges[k];
        const char *blank = m.n > 1 ? memchr(m.p + 1, ' ', m.n - 1) : NULL;
        if (!blank)
            return qn_fail(err, QN_EFORMAT,
                           "%s: merge %zu, \"%.*s\", is not two tokens",
                           d->name, k, (int)QN_MIN(m.n, 64), m.p);
        size_t left = (size_t)(blank - m.p);
        QN_TRY(qn_tok_draft_merge(d, qn_view_of(m.p, left),
                                  qn_view_of(blank + 1, m.n - left - 1), true,
                                  err));
    }
    return QN_OK;
}

static int gguf_read_gpt2(qn_tok_draft *d, const qn_tok_gguf *g, qn_err *err)
{
    qn_tok_gguf_pre pre;
    if (!qn_tok_gguf_pre_find(g->pre, &pre))
        return qn_fail(err, QN_EUNSUP,
                       "%s: tokenizer.ggml.pre \"%.40s\" is not known", d->name,
                       g->pre);
    QN_TRY(gguf_words(d, &pre, err));
    QN_TRY(gguf_vocab(d, g, err));
    QN_TRY(gguf_merges(d, g, err));
    QN_TRY(gguf_added(d, g, err));
    d->o.ignore_merges = pre.ignore_merges;
    gguf_roles(d->t, g, false);
    return gguf_post(d, g, pre.add_bos && g->bos >= 0, err);
}

/* ---- llama -------------------------------------------------------------- */

static int gguf_spm_pipeline(qn_tok_draft *d, bool prefix, qn_err *err)
{
    static const char *const norm =
        "{\"type\": \"Replace\", \"pattern\": {\"String\": \" \"},"
        " \"content\": \"\xE2\x96\x81\"}";
    static const char *const dec =
        "{\"type\": \"Sequence\", \"decoders\": [{\"type\": \"Replace\","
        " \"pattern\": {\"String\": \"\xE2\x96\x81\"}, \"content\": \" \"},"
        " {\"type\": \"ByteFallback\"}, {\"type\": \"Fuse\"}]}";
    json_t *o = NULL;
    if (prefix) {
        qn_tok_step *s = qn_tok_steps_add(&d->t->norm, &qn_tok_normalizers,
                                          "Prepend");
        qn_tok_step_set_text(s, " ", 1);
    }
    QN_TRY(qn_json_parse(&o, norm, strlen(norm), d->name, err));
    int rc = qn_tok_steps_parse(&d->t->norm, &qn_tok_normalizers, o, d->name,
                                err);
    json_decref(o);
    QN_TRY(rc);
    QN_TRY(qn_json_parse(&o, dec, strlen(dec), d->name, err));
    rc = qn_tok_steps_parse(&d->t->dec, &qn_tok_decoders, o, d->name, err);
    json_decref(o);
    QN_TRY(rc);
    if (prefix) {
        qn_tok_step *s = qn_tok_steps_add(&d->t->dec, &qn_tok_decoders,
                                          "Strip");
        qn_tok_step_set_text(s, " ", 1);
        s->cp = ' ';
        s->start = 1;
    }
    return QN_OK;
}

static int gguf_read_llama(qn_tok_draft *d, const qn_tok_gguf *g, qn_err *err)
{
    QN_TRY(gguf_spm_pipeline(d, g->add_space_prefix != 0, err));
    QN_TRY(gguf_vocab(d, g, err));
    QN_TRY(gguf_added(d, g, err));
    d->own_ranks = qn_xreallocarray(NULL, g->n_tokens + 1,
                                    sizeof *d->own_ranks);
    for (size_t k = 0; k < g->n_tokens; k++)
        d->own_ranks[k] = qn_spm_rank(g->scores ? g->scores[k] : 0);
    d->ranks = d->own_ranks;
    gguf_roles(d->t, g, true);
    d->o.by_text = d->o.byte_fallback = d->o.late_unknown = true;
    d->o.unk = d->t->role[QN_TOK_UNK];
    return gguf_post(d, g, d->t->role[QN_TOK_BOS] >= 0, err);
}

/* ---- gemma4 -------------------------------------------------------------
 *
 * Merges like gpt2's, of characters: the text is one word. Files that say
 * otherwise of the first token are wrong (llama.cpp adds it all the same). */

static int gguf_read_gemma4(qn_tok_draft *d, const qn_tok_gguf *g, qn_err *err)
{
    qn_tok_gguf with_bos = *g;
    QN_TRY(gguf_spm_pipeline(d, false, err));
    QN_TRY(gguf_vocab(d, g, err));
    QN_TRY(gguf_merges(d, g, err));
    QN_TRY(gguf_added(d, g, err));
    gguf_roles(d->t, g, false);
    d->o.fuse_unk = d->o.byte_fallback = true;
    d->o.unk = d->t->role[QN_TOK_UNK];
    with_bos.add_bos = d->t->role[QN_TOK_BOS] >= 0;
    return gguf_post(d, &with_bos, false, err);
}

/* ---- bert ---------------------------------------------------------------
 *
 * WordPiece, but spelled the other way round: the beginning of a word has
 * U+2581 in front, what continues one has nothing. */

static int gguf_stage(qn_tok_steps *steps, const qn_tok_stage *stage,
                      const char *json, const char *name, qn_err *err)
{
    json_t *o = NULL;
    QN_TRY(qn_json_parse(&o, json, strlen(json), name, err));
    int rc = qn_tok_steps_parse(steps, stage, o, name, err);
    json_decref(o);
    return rc;
}

static int gguf_bert_vocab(qn_tok_draft *d, const qn_tok_gguf *g, qn_err *err)
{
    qn_tok_gguf respelled = *g;
    qn_view *tokens = qn_xcalloc(g->n_tokens + 1, sizeof *tokens);
    qn_str all;
    qn_str_init(&all);
    for (size_t k = 0; k < g->n_tokens; k++) {
        qn_view t = g->tokens[k];
        bool normal = !g->types || g->types[k] == 1;
        size_t before = all.n;
        if (normal && t.n > 3 && memcmp(t.p, "\xE2\x96\x81", 3) == 0)
            t = qn_view_of(t.p + 3, t.n - 3);
        else if (normal)
            qn_str_adds(&all, "##");
        qn_str_addv(&all, t);
        tokens[k].n = all.n - before;
    }
    for (size_t k = 0, at = 0; k < g->n_tokens; at += tokens[k++].n)
        tokens[k].p = all.n > 0 ? all.p + at : "";
    respelled.tokens = tokens;
    int rc = gguf_vocab(d, &respelled, err);
    if (rc == 0)
        rc = gguf_added(d, &respelled, err);
    qn_str_deinit(&all);
    free(tokens);
    return rc;
}

static int gguf_read_bert(qn_tok_draft *d, const qn_tok_gguf *g, qn_err *err)
{
    qn_tok *t = d->t;
    QN_TRY(gguf_stage(&t->norm, &qn_tok_normalizers,
                      "{\"type\": \"BertNormalizer\"}", d->name, err));
    QN_TRY(gguf_stage(&t->pre, &qn_tok_pre_tokenizers,
                      "{\"type\": \"BertPreTokenizer\"}", d->name, err));
    QN_TRY(gguf_stage(&t->dec, &qn_tok_decoders,
                      "{\"type\": \"WordPiece\", \"prefix\": \"##\", "
                      "\"cleanup\": true}",
                      d->name, err));
    if (g->n_tokens > QN_VOCAB_MAX_ID || !g->tokens)
        return gguf_vocab(d, g, err);
    QN_TRY(gguf_bert_vocab(d, g, err));
    d->model = &qn_tok_model_wordpiece;
    d->o.prefix = qn_view_cstr("##");
    d->max_chars = 100;
    gguf_roles(t, g, false);
    d->o.unk = t->role[QN_TOK_UNK];
    if (t->role[QN_TOK_BOS] >= 0 || t->role[QN_TOK_EOS] >= 0)
        qn_tok_add_template(t, t->role[QN_TOK_BOS], t->role[QN_TOK_EOS]);
    return QN_OK;
}

/* ---- t5 ----------------------------------------------------------------- */

static int gguf_read_t5(qn_tok_draft *d, const qn_tok_gguf *g, qn_err *err)
{
    if (!g->scores || !g->types)
        return qn_fail(err, QN_EFORMAT,
                       "%s: a t5 vocabulary without scores or types", d->name);
    qn_spm m = {.kind = QN_SPM_UNIGRAM,
                .n = g->n_tokens,
                .pieces = g->tokens,
                .scores = g->scores,
                .types = g->types,
                .charsmap = g->charsmap,
                .dummy_prefix = g->add_space_prefix != 0,
                .drop_extra = g->remove_extra_whitespaces != 0,
                .escape = true,
                .unk_surface = qn_view_cstr(" \xE2\x81\x87 "),
                .parse_control = true};
    QN_TRY(qn_spm_fill(d, &m, err));
    gguf_roles(d->t, g, false);
    d->t->role[QN_TOK_UNK] = d->o.unk;
    bool eos = g->add_eos != 0 && d->t->role[QN_TOK_EOS] >= 0;
    bool bos = g->add_bos > 0 && d->t->role[QN_TOK_BOS] >= 0;
    if (bos || eos)
        qn_tok_add_template(d->t, bos ? d->t->role[QN_TOK_BOS] : -1,
                            eos ? d->t->role[QN_TOK_EOS] : -1);
    return QN_OK;
}

/* ---- which -------------------------------------------------------------- */

static const struct {
    const char *model;
    int (*read)(qn_tok_draft *d, const qn_tok_gguf *g, qn_err *err);
} gguf_models[] = {
    {"gpt2", gguf_read_gpt2},     {"llama", gguf_read_llama},
    {"gemma4", gguf_read_gemma4}, {"bert", gguf_read_bert},
    {"t5", gguf_read_t5},
};

int qn_tok_open_gguf(qn_tok **out, const qn_tok_gguf *g, qn_err *err)
{
    size_t k = 0;
    while (k < QN_COUNTOF(gguf_models) &&
           !(g->model && strcmp(g->model, gguf_models[k].model) == 0))
        k++;
    if (k == QN_COUNTOF(gguf_models))
        return qn_fail(err, QN_EUNSUP,
                       "%s: tokenizer.ggml.model \"%.40s\" is not supported "
                       "(supported: gpt2, llama, gemma4, bert, t5)",
                       g->name, g->model ? g->model : "(none)");
    qn_tok_draft d;
    qn_tok_draft_init(&d, g->name);
    int rc = gguf_models[k].read(&d, g, err);
    if (rc == 0)
        rc = qn_tok_build(&d, out, err);
    qn_tok_draft_deinit(&d);
    return rc;
}
