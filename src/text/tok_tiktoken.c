/* tok_tiktoken.c - rank files: each line a token's bytes in base64 and its
 * rank, which is its id and says when a pair may become it. */
#include "base/json.h"
#include "base/utf8.h"
#include "text/tok_base64.h"
#include "text/tok_int.h"

#include <stdlib.h>

enum {
    TIKTOKEN_MAX_BYTES = 1024 /* of one token */
};

int qn_tok_draft_bytes(qn_tok_draft *d, qn_view base64, int64_t id,
                       qn_str scratch[2], qn_err *err)
{
    qn_str *bytes = &scratch[0], *spelled = &scratch[1];
    qn_str_clear(bytes);
    qn_str_clear(spelled);
    if (!qn_tok_base64(base64, bytes) || bytes->n == 0 ||
        bytes->n > TIKTOKEN_MAX_BYTES)
        return qn_fail(err, QN_EFORMAT,
                       "%s: \"%.*s\" is not a token's bytes in base64", d->name,
                       (int)QN_MIN(base64.n, 64), base64.p);
    for (size_t k = 0; k < bytes->n; k++) {
        char buf[4];
        uint32_t cp = qn_tok_byte_char((uint8_t)bytes->p[k]);
        qn_str_add(spelled, buf, (size_t)qn_utf8_encode(cp, buf));
    }
    int rc = qn_vocab_add(&d->t->vocab, qn_view_of(spelled->p, spelled->n), id,
                          d->name, err);
    return rc > 0 ? qn_fail(err, QN_EFORMAT,
                            "%s: the bytes of token %lld are there twice",
                            d->name, (long long)id)
                  : rc;
}

/* One line "base64 rank". */
static int tiktoken_line(qn_tok_draft *d, qn_view line, qn_str scratch[2],
                         qn_err *err)
{
    if (line.n > 0 && line.p[line.n - 1] == '\r')
        line.n--;
    if (line.n == 0)
        return QN_OK;
    const char *blank = memchr(line.p, ' ', line.n);
    size_t n = blank ? (size_t)(blank - line.p) : 0;
    int64_t rank = blank && blank + 1 < line.p + line.n ? 0 : -1;
    for (size_t k = n + 1; k < line.n && rank >= 0; k++) {
        int digit = line.p[k] - '0';
        rank = digit >= 0 && digit <= 9 && rank <= QN_VOCAB_MAX_ID
                   ? rank * 10 + digit
                   : -1;
    }
    if (rank < 0)
        return qn_fail(err, QN_EFORMAT,
                       "%s: \"%.*s\" is no line of a rank file", d->name,
                       (int)QN_MIN(line.n, 64), line.p);
    return qn_tok_draft_bytes(d, qn_view_of(line.p, n), rank, scratch, err);
}

static int tiktoken_vocab(qn_tok_draft *d, qn_view text, qn_err *err)
{
    qn_str scratch[2] = {{0}};
    qn_vocab_init(&d->t->vocab, text.n / 16);
    int rc = QN_OK;
    for (size_t i = 0; i < text.n && rc == 0;) {
        const char *end = memchr(text.p + i, '\n', text.n - i);
        size_t e = end ? (size_t)(end - text.p) : text.n;
        rc = tiktoken_line(d, qn_view_of(text.p + i, e - i), scratch, err);
        i = e + 1;
    }
    qn_str_deinit(&scratch[0]);
    qn_str_deinit(&scratch[1]);
    return rc;
}

static int tiktoken_pipeline(qn_tok_draft *d, const char *pattern, qn_err *err)
{
    qn_tok *t = d->t;
    qn_tok_step *split = qn_tok_steps_add(&t->pre, &qn_tok_pre_tokenizers,
                                          "Split");
    split->behavior = QN_TOK_ISOLATED;
    split->pattern.words = qn_tok_words_named(pattern);
    if (!split->pattern.words)
        QN_TRY(qn_tok_pattern_regex(&split->pattern, pattern, strlen(pattern),
                                    d->name, err));
    qn_tok_steps_add(&t->pre, &qn_tok_pre_tokenizers, "ByteLevel");
    qn_tok_steps_add(&t->dec, &qn_tok_decoders, "ByteLevel");
    return QN_OK;
}

int qn_tok_build_ranks(qn_tok_draft *d, const char *pattern,
                       const qn_tok_special *special, size_t n_special,
                       qn_tok **out, qn_err *err)
{
    int rc = tiktoken_pipeline(d, pattern, err);
    for (size_t k = 0; k < n_special && rc == 0; k++) {
        qn_tok_added_token tok = {.content = qn_view_cstr(special[k].text),
                                  .id = special[k].id,
                                  .special = true};
        rc = qn_tok_draft_add(d, &tok, err);
    }
    QN_TRY(rc);
    uint32_t n = d->t->vocab.n_ids;
    d->own_ranks = qn_xreallocarray(NULL, n + 1, sizeof *d->own_ranks);
    for (uint32_t k = 0; k < n; k++)
        d->own_ranks[k] = k;
    d->ranks = d->own_ranks;
    d->o.by_text = true;
    d->o.ignore_merges = true;
    return qn_tok_build(d, out, err);
}

int qn_tok_open_tiktoken(qn_tok **out, qn_view ranks, const char *pattern,
                         const qn_tok_special *special, size_t n_special,
                         const char *name, qn_err *err)
{
    qn_tok_draft d;
    qn_tok_draft_init(&d, name);
    int rc = tiktoken_vocab(&d, ranks, err);
    if (rc == 0)
        rc = qn_tok_build_ranks(&d, pattern, special, n_special, out, err);
    qn_tok_draft_deinit(&d);
    return rc;
}
