/* tok_tekken.c - Mistral's tekken.json: the ranks of a tiktoken with its
 * pattern, behind a number of special tokens.
 *
 *   id of a special token = its rank
 *   id of any other       = its rank + how many special ones there are
 *
 * Ranks beyond the size of the vocabulary are in the file and not used. Source:
 * mistral-common's tekken.py. */
#include "base/json.h"
#include "text/tok_int.h"
#include "text/tok_scan.h"

#include <stdio.h>
#include <stdlib.h>

/* Where a file does not list them (versions up to 3): in order. */
static const char *const tekken_usual[] = {"<unk>",
                                           "<s>",
                                           "</s>",
                                           "[INST]",
                                           "[/INST]",
                                           "[AVAILABLE_TOOLS]",
                                           "[/AVAILABLE_TOOLS]",
                                           "[TOOL_RESULTS]",
                                           "[/TOOL_RESULTS]",
                                           "[TOOL_CALLS]",
                                           "[IMG]",
                                           "<pad>",
                                           "[IMG_BREAK]",
                                           "[IMG_END]",
                                           "[PREFIX]",
                                           "[MIDDLE]",
                                           "[SUFFIX]",
                                           "[SYSTEM_PROMPT]",
                                           "[/SYSTEM_PROMPT]",
                                           "[TOOL_CONTENT]"};

enum {
    TEKKEN_MAX_SPECIAL = 1 << 16
};

typedef struct tekken {
    json_t *small; /* config and special_tokens */
    qn_view vocab;
    int64_t n_vocab, n_special;
    char *names;             /* of special tokens that no list names */
    qn_tok_special *special; /* [n_special] */
} tekken;

#define TEKKEN_NAME 40 /* bytes of "<SPECIAL_n>" */

static int tekken_read(tekken *k, qn_view text, const char *name, qn_err *err)
{
    qn_scan s;
    qn_str key;
    qn_str_init(&key);
    qn_scan_init(&s, text, name, err);
    k->small = json_object();
    int rc = qn_scan_open(&s, '{');
    while (rc == 0 && (rc = qn_scan_more(&s, '}')) > 0) {
        qn_view value = {NULL, 0};
        json_t *v = NULL;
        qn_str_clear(&key);
        rc = qn_scan_string(&s, &key);
        if (rc == 0)
            rc = qn_scan_colon(&s);
        if (rc == 0)
            rc = qn_scan_slice(&s, &value);
        const char *word = key.p ? key.p : "";
        if (rc == 0 && strcmp(word, "vocab") == 0)
            k->vocab = value;
        else if (rc == 0 && (strcmp(word, "config") == 0 ||
                             strcmp(word, "special_tokens") == 0))
            rc = qn_json_parse(&v, value.p, value.n, name, err);
        if (v)
            json_object_set_new(k->small, word, v);
    }
    qn_str_deinit(&key);
    QN_TRY(rc);
    return qn_scan_end(&s);
}

static int tekken_sizes(tekken *k, const char *name, qn_err *err)
{
    const json_t *config = json_object_get(k->small, "config");
    int rc = qn_json_i64(config, "default_vocab_size", &k->n_vocab, name, err);
    if (rc >= 0)
        rc = qn_json_i64(config, "default_num_special_tokens", &k->n_special,
                         name, err);
    QN_TRY(rc);
    if (!k->vocab.p || k->n_special < 1 || k->n_special > TEKKEN_MAX_SPECIAL ||
        k->n_vocab <= k->n_special || k->n_vocab > QN_VOCAB_MAX_ID)
        return qn_fail(err, QN_EFORMAT,
                       "%s: not a tekken.json: %lld tokens, %lld of them "
                       "special%s",
                       name, (long long)k->n_vocab, (long long)k->n_special,
                       k->vocab.p ? "" : ", no vocab");
    return QN_OK;
}

/* A name for each id below n_special. */
static int tekken_specials(tekken *k, const char *name, qn_err *err)
{
    size_t n = (size_t)k->n_special, at;
    const json_t *list = json_object_get(k->small, "special_tokens");
    json_t *o;
    k->names = qn_xcalloc(n, TEKKEN_NAME);
    k->special = qn_xcalloc(n, sizeof *k->special);
    for (size_t i = 0; i < n; i++) {
        char *own = k->names + i * TEKKEN_NAME;
        snprintf(own, TEKKEN_NAME, "<SPECIAL_%zu>", i);
        bool usual = !list && i < QN_COUNTOF(tekken_usual);
        k->special[i] = (qn_tok_special){usual ? tekken_usual[i] : own,
                                         (int32_t)i};
    }
    json_array_foreach((json_t *)(uintptr_t)list, at, o)
    {
        int64_t rank = -1;
        const char *text = NULL;
        int rc = qn_json_i64(o, "rank", &rank, name, err);
        if (rc >= 0)
            rc = qn_json_str(o, "token_str", &text, name, err);
        QN_TRY(rc);
        if (rank < 0 || rank >= k->n_special || !text || !*text)
            return qn_fail(err, QN_EFORMAT,
                           "%s: special token %zu has rank %lld of %lld", name,
                           at, (long long)rank, (long long)k->n_special);
        k->special[rank].text = text;
    }
    return QN_OK;
}

/* {"rank": 0, "token_bytes": "AA==", ...} */
static int tekken_entry(const tekken *k, qn_tok_draft *d, qn_scan *s,
                        qn_str *word, qn_str *bytes, qn_str scratch[2])
{
    int64_t rank = -1;
    qn_str_clear(bytes);
    int rc = qn_scan_open(s, '{');
    while (rc == 0 && (rc = qn_scan_more(s, '}')) > 0) {
        qn_view other;
        qn_str_clear(word);
        rc = qn_scan_string(s, word);
        if (rc == 0)
            rc = qn_scan_colon(s);
        QN_TRY(rc);
        if (strcmp(word->p ? word->p : "", "rank") == 0)
            rc = qn_scan_int(s, &rank);
        else if (strcmp(word->p ? word->p : "", "token_bytes") == 0)
            rc = qn_scan_string(s, bytes);
        else
            rc = qn_scan_slice(s, &other);
    }
    QN_TRY(rc);
    if (rank < 0 || rank > QN_VOCAB_MAX_ID)
        return qn_fail(s->err, QN_EFORMAT, "%s: a token of rank %lld", d->name,
                       (long long)rank);
    if (rank >= k->n_vocab - k->n_special)
        return QN_OK;
    return qn_tok_draft_bytes(d, qn_view_of(bytes->p ? bytes->p : "", bytes->n),
                              rank + k->n_special, scratch, s->err);
}

static int tekken_vocab(const tekken *k, qn_tok_draft *d, qn_err *err)
{
    qn_scan s;
    qn_str word, bytes, scratch[2] = {{0}};
    qn_str_init(&word);
    qn_str_init(&bytes);
    qn_scan_init(&s, k->vocab, d->name, err);
    qn_vocab_init(&d->t->vocab, (size_t)k->n_vocab);
    int rc = qn_scan_open(&s, '[');
    while (rc == 0 && (rc = qn_scan_more(&s, ']')) > 0)
        rc = tekken_entry(k, d, &s, &word, &bytes, scratch);
    qn_str_deinit(&word);
    qn_str_deinit(&bytes);
    qn_str_deinit(&scratch[0]);
    qn_str_deinit(&scratch[1]);
    return rc;
}

static void tekken_roles(qn_tok *t, const json_t *config)
{
    static const struct {
        qn_tok_role role;
        const char *text;
    } roles[] = {{QN_TOK_BOS, "<s>"},
                 {QN_TOK_EOS, "</s>"},
                 {QN_TOK_UNK, "<unk>"},
                 {QN_TOK_PAD, "<pad>"}};
    for (size_t i = 0; i < QN_COUNTOF(roles); i++)
        t->role[roles[i].role] = qn_tok_added_find(&t->added, roles[i].text,
                                                   strlen(roles[i].text));
    qn_tok_read_roles(t, config);
    if (t->role[QN_TOK_BOS] >= 0)
        qn_tok_add_template(t, t->role[QN_TOK_BOS], -1);
}

int qn_tok_open_tekken(qn_tok **out, qn_view text, const json_t *config,
                       const char *name, qn_err *err)
{
    tekken k = {.n_vocab = 131072, .n_special = 1000};
    qn_tok_draft d;
    qn_tok_draft_init(&d, name);
    int rc = tekken_read(&k, text, name, err);
    if (rc == 0)
        rc = tekken_sizes(&k, name, err);
    if (rc == 0)
        rc = tekken_specials(&k, name, err);
    if (rc == 0)
        rc = tekken_vocab(&k, &d, err);
    const json_t *pattern = json_object_get(json_object_get(k.small, "config"),
                                            "pattern");
    if (rc == 0 && !json_is_string(pattern))
        rc = qn_fail(err, QN_EFORMAT, "%s: no config.pattern", name);
    if (rc == 0)
        rc = qn_tok_build_ranks(&d, json_string_value(pattern), k.special,
                                (size_t)k.n_special, out, err);
    if (rc == 0)
        tekken_roles(*out, config);
    qn_tok_draft_deinit(&d);
    free(k.names);
    free(k.special);
    json_decref(k.small);
    return rc;
}
