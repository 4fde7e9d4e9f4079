/* gguf_export_tok.c: tokenizer.json as tokenizer.ggml.*.
 *
 * GGUF knows tokenizers by name. "gpt2" is byte-level BPE with its merges, and
 * a second name ("pre") says how text is divided first: the pre-tokenizer is
 * written out as one line and looked up here. "llama" is SentencePiece's BPE: a
 * score per token instead of merges; a merge's rank, negated, is the score of
 * what it makes, which gives the same order.
 *
 * What llama.cpp has no name for is refused: a file with a nearly right
 * tokenizer is wrong on one text in a hundred, and nobody sees why. Sources:
 * the keys in ggml's docs/gguf.md, get_vocab_base and _set_vocab_* of
 * convert_hf_to_gguf.py, the patterns in llama-vocab.cpp (llama.cpp). */
#include "ckpt/gguf_export_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define IDS_MAX (1 << 22)
#define BLANK "\xe2\x96\x81" /* U+2581, SentencePiece's blank */

/* As the specification numbers them. */
enum {
    NORMAL = 1,
    UNKNOWN = 2,
    CONTROL = 3,
    USER_DEFINED = 4,
    UNUSED = 5,
    BYTE = 6
};

typedef struct draft {
    const qn_gguf_export *e;
    qn_gguf_writer *w;
    qn_err *err;
    json_t *root;   /* tokenizer.json */
    json_t *config; /* tokenizer_config.json, or NULL */
    const json_t *model;
    size_t n;        /* tokens */
    qn_view *tokens; /* [n] */
    int32_t *types;  /* [n] */
    float *scores;   /* [n] */
    qn_arena arena;
    qn_map ids;       /* text -> id */
    int64_t bos, eos; /* -1: none */
    bool add_bos, add_eos;
} draft;

static int refuse(const draft *d, const char *what)
{
    return qn_fail(d->err, QN_EUNSUP,
                   "%s: tokenizer.json: %s has no form in "
                   "GGUF",
                   d->e->ck->path, what);
}

static const char *type_of(const json_t *o)
{
    const char *s = json_string_value(json_object_get(o, "type"));
    return s ? s : "";
}

static bool text_is(const json_t *o, const char *key, const char *want)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s && strcmp(s, want) == 0;
}

/* The members of a Sequence, or the thing itself as the only one. */
static const json_t *step_at(const json_t *o, const char *list, size_t i)
{
    if (json_is_object(o) && strcmp(type_of(o), "Sequence") == 0)
        return json_array_get(json_object_get(o, list), i);
    return i == 0 && json_is_object(o) ? o : NULL;
}

/* ---- how text is divided ------------------------------------------------ */

#define SHORT "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define LEAD "[^\\r\\n\\p{L}\\p{N}]?"
#define TAIL "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define TAIL_SLASH \
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define UPPERS "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWERS "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define CASED(s) LEAD UPPERS "*" LOWERS "+" s "|" LEAD UPPERS "+" LOWERS "*" s

/* A line of pre_line, and its name: where all merges are heeded, and where a
 * word that is a token is taken at once (ignore_merges). */
static const struct {
    const char *line, *merging, *ignoring;
} pre_rows[] = {
    {"gpt2;", "gpt-2", NULL},
    {"split " SHORT "|" LEAD "\\p{L}+|\\p{N}{1,3}" TAIL ";", "dbrx",
     "llama-bpe"},
    {"split " SHORT "|" LEAD "\\p{L}+|\\p{N}" TAIL ";", "qwen2", NULL},
    {"split " CASED(SHORT "?") "|\\p{N}{1,3}" TAIL_SLASH ";", "gpt-4o", NULL},
    {"split " CASED("") "|\\p{N}" TAIL_SLASH ";", NULL, "tekken"},
    {"digits;gpt2;", "starcoder", NULL},
};

/* The pre-tokenizer in one line; false when a step of it has no word there. */
static bool pre_line(const json_t *pre, qn_str *line)
{
    const json_t *o;

    for (size_t i = 0; (o = step_at(pre, "pretokenizers", i)); i++) {
        const char *type = type_of(o);
        if (strcmp(type, "ByteLevel") == 0) {
            if (json_is_true(json_object_get(o, "add_prefix_space")))
                return false;
            if (!json_is_false(json_object_get(o, "use_regex")))
                qn_str_adds(line, "gpt2;");
        } else if (strcmp(type, "Split") == 0) {
            const char *re = json_string_value(
                json_object_get(json_object_get(o, "pattern"), "Regex"));
            if (!re || !text_is(o, "behavior", "Isolated") ||
                json_is_true(json_object_get(o, "invert")))
                return false;
            qn_str_addf(line, "split %s;", re);
        } else if (strcmp(type, "Digits") == 0 &&
                   json_is_true(json_object_get(o, "individual_digits"))) {
            qn_str_adds(line, "digits;");
        } else {
            return false;
        }
    }
    return line->n > 0;
}

static int put_pre(draft *d)
{
    bool ignoring = json_is_true(json_object_get(d->model, "ignore_merges"));
    const char *name = NULL;
    qn_str line;

    qn_str_init(&line);
    if (pre_line(json_object_get(d->root, "pre_tokenizer"), &line))
        for (size_t i = 0; i < QN_COUNTOF(pre_rows) && !name; i++)
            if (strcmp(line.p, pre_rows[i].line) == 0)
                name = ignoring ? pre_rows[i].ignoring : pre_rows[i].merging;
    qn_str_deinit(&line);
    if (!name)
        return refuse(d, "its pre_tokenizer");
    return qn_gguf_put_str(d->w, "tokenizer.ggml.pre", qn_view_cstr(name),
                           d->err);
}

/* ---- tokens ------------------------------------------------------------- */

static int set_token(draft *d, const char *text, size_t n, int64_t id,
                     int32_t type)
{
    if (id < 0 || (uint64_t)id >= d->n)
        return qn_fail(d->err, QN_EFORMAT,
                       "%s: tokenizer.json: token \"%.40s\" has the id %" PRId64
                       ", the embedding has %zu rows",
                       d->e->ck->path, text, id, d->n);
    d->tokens[id] = qn_view_of(text, n);
    d->types[id] = type;
    qn_map_put(&d->ids, text, n, (uint64_t)id);
    return 0;
}

static bool is_byte(const char *s)
{
    unsigned v;
    int n = 0;
    return sscanf(s, "<0x%2X>%n", &v, &n) == 1 && n == 6 && !s[6];
}

static int read_tokens(draft *d, bool spm)
{
    json_t *vocab = json_object_get(d->model, "vocab"), *v;
    const json_t *added = json_object_get(d->root, "added_tokens");
    const char *unk = json_string_value(json_object_get(d->model, "unk_token"));
    const char *key;
    size_t len, i;

    json_object_keylen_foreach(vocab, key, len, v)
    {
        int type = !spm                           ? NORMAL
                   : is_byte(key)                 ? BYTE
                   : unk && strcmp(unk, key) == 0 ? UNKNOWN
                                                  : NORMAL;
        if (!json_is_integer(v))
            return qn_fail(d->err, QN_EFORMAT,
                           "%s: tokenizer.json: vocab is no map to numbers",
                           d->e->ck->path);
        QN_TRY(set_token(d, key, len, json_integer_value(v), type));
    }
    json_array_foreach((json_t *)added, i, v)
    {
        const json_t *text = json_object_get(v, "content");
        const json_t *id = json_object_get(v, "id");
        int type = json_is_true(json_object_get(v, "special")) ? CONTROL
                                                               : USER_DEFINED;
        if (!json_is_string(text) || !json_is_integer(id))
            return qn_fail(d->err, QN_EFORMAT,
                           "%s: tokenizer.json: an added token without content "
                           "or id",
                           d->e->ck->path);
        if (spm && unk && strcmp(unk, json_string_value(text)) == 0)
            type = UNKNOWN;
        QN_TRY(set_token(d, json_string_value(text), json_string_length(text),
                         json_integer_value(id), type));
    }
    for (i = 0; i < d->n; i++) {
        char name[32];
        int n;
        if (d->types[i])
            continue;
        n = snprintf(name, sizeof name, "[PAD%zu]", i);
        d->tokens[i] = qn_view_of(qn_arena_strndup(&d->arena, name, (size_t)n),
                                  (size_t)n);
        d->types[i] = UNUSED;
    }
    return 0;
}

/* ---- merges ------------------------------------------------------------- */

/* Both halves of a merge, whichever way it is written. */
static bool halves(const json_t *m, qn_view *a, qn_view *b)
{
    const json_t *x = json_array_get(m, 0), *y = json_array_get(m, 1);
    const char *s = json_string_value(m), *blank;

    if (json_is_string(x) && json_is_string(y)) {
        *a = qn_view_of(json_string_value(x), json_string_length(x));
        *b = qn_view_of(json_string_value(y), json_string_length(y));
        return true;
    }
    blank = s && *s ? strchr(s + 1, ' ') : NULL;
    if (!blank)
        return false;
    *a = qn_view_of(s, (size_t)(blank - s));
    *b = qn_view_cstr(blank + 1);
    return true;
}

static int bad_merge(const draft *d, size_t i)
{
    return qn_fail(d->err, QN_EFORMAT,
                   "%s: tokenizer.json: merge %zu is not a pair of tokens",
                   d->e->ck->path, i);
}

static int put_merges(draft *d)
{
    const json_t *merges = json_object_get(d->model, "merges");
    size_t n = json_array_size(merges);
    qn_view *lines = qn_alloc(n, sizeof *lines), a, b;
    int rc = 0;

    if (!lines)
        return qn_fail(d->err, QN_ENOMEM, "%s: no memory for %zu merges",
                       d->e->ck->path, n);
    for (size_t i = 0; i < n; i++) {
        char *s;
        if (!halves(json_array_get(merges, i), &a, &b)) {
            rc = bad_merge(d, i);
            goto out;
        }
        s = qn_arena_alloc(&d->arena, a.n + b.n + 1);
        memcpy(s, a.p, a.n);
        s[a.n] = ' ';
        memcpy(s + a.n + 1, b.p, b.n);
        lines[i] = qn_view_of(s, a.n + b.n + 1);
    }
    rc = qn_gguf_put_strs(d->w, "tokenizer.ggml.merges", lines, n, d->err);
out:
    free(lines);
    return rc;
}

/* What the first merge that makes it says of each token. */
static int read_scores(draft *d)
{
    const json_t *merges = json_object_get(d->model, "merges");
    size_t n = json_array_size(merges);
    qn_str made;
    qn_view a, b;
    int rc = 0;

    for (size_t i = 0; i < d->n; i++)
        d->scores[i] = d->types[i] == NORMAL ? -(float)(n + i) : 0.0f;
    qn_str_init(&made);
    for (size_t i = n; i-- > 0 && rc == 0;) {
        uint64_t id;
        if (!halves(json_array_get(merges, i), &a, &b)) {
            rc = bad_merge(d, i);
            continue;
        }
        qn_str_clear(&made);
        qn_str_addv(&made, a);
        qn_str_addv(&made, b);
        if (qn_map_get(&d->ids, made.p, made.n, &id))
            d->scores[id] = -(float)i;
    }
    qn_str_deinit(&made);
    return rc;
}

/* ---- the two kinds ------------------------------------------------------ */

static int put_tokens(draft *d)
{
    QN_TRY(qn_gguf_put_strs(d->w, "tokenizer.ggml.tokens", d->tokens, d->n,
                            d->err));
    return qn_gguf_put_array(d->w, "tokenizer.ggml.token_type", QN_GGUF_I32,
                             d->types, d->n, d->err);
}

static int put_gpt2(draft *d)
{
    const json_t *norm = json_object_get(d->root, "normalizer");

    /* ggml composes nothing; composed text is the rule */
    if (json_is_object(norm) && strcmp(type_of(norm), "NFC") != 0)
        return refuse(d, "its normalizer");
    QN_TRY(qn_gguf_put_str(d->w, "tokenizer.ggml.model", qn_view_cstr("gpt2"),
                           d->err));
    QN_TRY(put_pre(d));
    QN_TRY(read_tokens(d, false));
    QN_TRY(put_tokens(d));
    return put_merges(d);
}

/* Whether blanks become U+2581 and one is put in front: SentencePiece as the
 * tokenizers library spells it, in one of three ways. */
static bool spm_blanks(const json_t *root, bool *prefix)
{
    const json_t *norm = json_object_get(root, "normalizer"), *o;
    const json_t *pre = json_object_get(root, "pre_tokenizer");
    bool found = false;

    *prefix = false;
    for (size_t i = 0; (o = step_at(norm, "normalizers", i)); i++) {
        if (strcmp(type_of(o), "Prepend") == 0 && text_is(o, "prepend", BLANK))
            *prefix = true;
        else if (strcmp(type_of(o), "Replace") == 0 &&
                 text_is(o, "content", BLANK) &&
                 text_is(json_object_get(o, "pattern"), "String", " "))
            found = true;
        else
            return false;
    }
    if (strcmp(type_of(pre), "Metaspace") == 0) {
        *prefix = !text_is(pre, "prepend_scheme", "never") &&
                  !json_is_false(json_object_get(pre, "add_prefix_space"));
        return true;
    }
    /* Gemma's division at blanks, of which there are none by then */
    return found &&
           (!json_is_object(pre) || strcmp(type_of(pre), "Split") == 0);
}

static int put_llama(draft *d, bool prefix)
{
    QN_TRY(qn_gguf_put_str(d->w, "tokenizer.ggml.model", qn_view_cstr("llama"),
                           d->err));
    QN_TRY(qn_gguf_put_str(d->w, "tokenizer.ggml.pre", qn_view_cstr("default"),
                           d->err));
    QN_TRY(read_tokens(d, true));
    QN_TRY(read_scores(d));
    QN_TRY(put_tokens(d));
    QN_TRY(qn_gguf_put_array(d->w, "tokenizer.ggml.scores", QN_GGUF_F32,
                             d->scores, d->n, d->err));
    return qn_gguf_put_bool(d->w, "tokenizer.ggml.add_space_prefix", prefix,
                            d->err);
}

/* ---- ids and templates -------------------------------------------------- */

/* The id of a token that tokenizer_config.json names, else that config.json
 * numbers; -1: neither. */
static int64_t role_id(const draft *d, const char *name, const char *id_name)
{
    const json_t *v = json_object_get(d->config, name);
    uint64_t id;

    if (json_is_object(v))
        v = json_object_get(v, "content");
    if (json_is_string(v) &&
        qn_map_get(&d->ids, json_string_value(v), json_string_length(v), &id))
        return (int64_t)id;
    v = id_name ? json_object_get(d->e->config, id_name) : NULL;
    if (json_is_array(v))
        v = json_array_get(v, 0);
    return json_is_integer(v) && json_integer_value(v) >= 0 &&
                   (uint64_t)json_integer_value(v) < d->n
               ? json_integer_value(v)
               : -1;
}

/* The id of a template's piece when it is a special token, else -1. */
static int64_t template_id(const draft *d, const json_t *piece)
{
    const json_t *name = json_object_get(json_object_get(piece, "SpecialToken"),
                                         "id");
    uint64_t id;

    if (!json_is_string(name) || !qn_map_get(&d->ids, json_string_value(name),
                                             json_string_length(name), &id))
        return -1;
    return (int64_t)id;
}

/* Whether the template of one text begins or ends with a token of its own; it
 * is then the bos or eos token, whatever else is said. */
static void read_template(draft *d)
{
    const json_t *post = json_object_get(d->root, "post_processor"), *o;

    d->add_bos = json_is_true(json_object_get(d->config, "add_bos_token"));
    d->bos = role_id(d, "bos_token", "bos_token_id");
    d->eos = role_id(d, "eos_token", "eos_token_id");

    for (size_t i = 0; (o = step_at(post, "processors", i)); i++) {
        const json_t *single = json_object_get(o, "single");
        size_t n = json_array_size(single);
        if (strcmp(type_of(o), "TemplateProcessing") != 0 || n == 0)
            continue;
        d->add_bos = n > 1 && template_id(d, json_array_get(single, 0)) >= 0;
        d->add_eos = template_id(d, json_array_get(single, n - 1)) >= 0;
        if (d->add_bos)
            d->bos = template_id(d, json_array_get(single, 0));
        if (d->add_eos)
            d->eos = template_id(d, json_array_get(single, n - 1));
    }
    d->add_bos = d->add_bos && d->bos >= 0;
}

static int put_id(draft *d, const char *key, int64_t id)
{
    return id < 0 ? 0 : qn_gguf_put_u32(d->w, key, (uint32_t)id, d->err);
}

static int put_ids(draft *d)
{
    read_template(d);
    QN_TRY(put_id(d, "tokenizer.ggml.bos_token_id", d->bos));
    QN_TRY(put_id(d, "tokenizer.ggml.eos_token_id", d->eos));
    QN_TRY(put_id(d, "tokenizer.ggml.unknown_token_id",
                  role_id(d, "unk_token", NULL)));
    QN_TRY(put_id(d, "tokenizer.ggml.padding_token_id",
                  role_id(d, "pad_token", "pad_token_id")));
    QN_TRY(qn_gguf_put_bool(d->w, "tokenizer.ggml.add_bos_token", d->add_bos,
                            d->err));
    return qn_gguf_put_bool(d->w, "tokenizer.ggml.add_eos_token", d->add_eos,
                            d->err);
}

/* One template, or the one named "default" of several. */
static int put_template(draft *d)
{
    const json_t *v = json_object_get(d->config, "chat_template"), *o;
    char *text = NULL;
    size_t n, i;
    int rc;

    if (json_is_array(v)) {
        const json_t *list = v;
        v = NULL;
        json_array_foreach((json_t *)list, i, o)
        {
            if (text_is(o, "name", "default"))
                v = json_object_get(o, "template");
        }
    }
    if (json_is_string(v))
        return qn_gguf_put_str(d->w, "tokenizer.chat_template",
                               qn_view_of(json_string_value(v),
                                          json_string_length(v)),
                               d->err);
    rc = qn_ckpt_side_file(d->e->ck, "chat_template.jinja", &text, &n, d->err);
    if (rc == QN_ENOENT)
        return 0;
    if (rc >= 0)
        rc = qn_gguf_put_str(d->w, "tokenizer.chat_template",
                             qn_view_of(text, n), d->err);
    qn_free(text);
    return rc;
}

/* ---- the whole ---------------------------------------------------------- */

static int load(const draft *d, const char *name, json_t **out)
{
    char *text;
    size_t n;
    int rc;

    QN_TRY(qn_ckpt_side_file(d->e->ck, name, &text, &n, d->err));
    rc = qn_json_parse(out, text, n, name, d->err);
    qn_free(text);
    return rc;
}

static int put_all(draft *d)
{
    bool prefix, spm;
    int rc = load(d, "tokenizer.json", &d->root);

    if (rc == QN_ENOENT)
        return qn_fail(d->err, QN_EUNSUP,
                       "%s has no tokenizer.json, from which GGUF's tokenizer "
                       "is made",
                       d->e->ck->path);
    QN_TRY(rc);
    rc = load(d, "tokenizer_config.json", &d->config);
    if (rc < 0 && rc != QN_ENOENT)
        return rc;
    d->model = json_object_get(d->root, "model");
    if (!json_is_object(json_object_get(d->model, "vocab")))
        return refuse(d, "its kind of model");
    spm = spm_blanks(d->root, &prefix);
    if (*type_of(d->model) && strcmp(type_of(d->model), "BPE") != 0)
        return refuse(d, type_of(d->model));
    QN_TRY(spm ? put_llama(d, prefix) : put_gpt2(d));
    QN_TRY(put_ids(d));
    return put_template(d);
}

int qn_gguf_export_tokenizer(const qn_gguf_export *e, qn_gguf_writer *w,
                             qn_err *err)
{
    draft d = {.e = e, .w = w, .err = err, .n = (size_t)e->n_vocab};
    int rc;

    if (e->n_vocab > IDS_MAX)
        return qn_fail(err, QN_ELIMIT, "%s: a vocabulary of more than %d",
                       e->ck->path, IDS_MAX);
    qn_arena_init(&d.arena);
    qn_map_init(&d.ids, d.n);
    d.tokens = qn_alloc(d.n, sizeof *d.tokens);
    d.types = qn_alloc(d.n, sizeof *d.types);
    d.scores = qn_alloc(d.n, sizeof *d.scores);
    if (d.tokens && d.types && d.scores)
        rc = put_all(&d);
    else
        rc = qn_fail(err, QN_ENOMEM, "%s: no memory for %zu tokens",
                     e->ck->path, d.n);
    free(d.scores);
    free(d.types);
    free(d.tokens);
    qn_map_deinit(&d.ids);
    qn_arena_deinit(&d.arena);
    json_decref(d.config);
    json_decref(d.root);
    return rc;
}
