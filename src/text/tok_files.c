/* tok_files.c - vocab.json + merges.txt, and the choice among a folder's
 * files.
 *
 * These two files say what the model is and nothing about what surrounds it;
 * that stands in the classes of transformers, and here in a table: one row per
 * family of classes. The pipeline is then written down in the language of
 * tokenizer.json, so that one reader serves both. */
#include "base/file.h"
#include "base/json.h"
#include "text/tok_int.h"
#include "text/tok_scan.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    FILES_POST_BOS,    /* bos in front when add_bos_token says so */
    FILES_POST_ROBERTA /* <s> text </s>                           */
};

#define FILES_MAX_BYTES ((size_t)256 << 20)
#define TEKKEN "tekken.json"

typedef struct files_class {
    const char *names;   /* tokenizer classes and model types, blanks around */
    const char *pattern; /* NULL: ByteLevel's own */
    bool nfc;
    int post;
    const char *bos, *eos, *unk, *pad; /* when no file names them */
} files_class;

static const files_class files_classes[] = {
    {" GPT2Tokenizer CodeGenTokenizer gpt2 opt codegen gpt_neo gptj ", NULL,
     false, FILES_POST_BOS, "<|endoftext|>", "<|endoftext|>", "<|endoftext|>",
     NULL},
    {" RobertaTokenizer LongformerTokenizer BartTokenizer LEDTokenizer roberta "
     "longformer bart led ",
     NULL, false, FILES_POST_ROBERTA, "<s>", "</s>", "<unk>", "<pad>"},
    {" Qwen2Tokenizer qwen2 qwen2_moe qwen3 qwen3_moe ",
     "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| "
     "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
     true, FILES_POST_BOS, NULL, "<|endoftext|>", "<|endoftext|>",
     "<|endoftext|>"},
};

static const files_class *files_class_of(const char *name)
{
    char padded[80];
    size_t n = strlen(name);
    if (n > 4 && strcmp(name + n - 4, "Fast") == 0)
        n -= 4;
    snprintf(padded, sizeof padded, " %.*s ", (int)QN_MIN(n, 70), name);
    for (size_t k = 0; k < QN_COUNTOF(files_classes); k++)
        if (strstr(files_classes[k].names, padded))
            return &files_classes[k];
    return NULL;
}

/* ---- merges.txt --------------------------------------------------------- */

static int files_merge_line(qn_tok_draft *d, qn_view line, qn_err *err)
{
    if (line.n > 0 && line.p[line.n - 1] == '\r')
        line.n--;
    if (line.n == 0 || (line.n >= 8 && memcmp(line.p, "#version", 8) == 0))
        return QN_OK;
    return qn_tok_draft_merge_text(d, line, err);
}

static int files_read_merges(qn_tok_draft *d, qn_view text, qn_err *err)
{
    for (size_t i = 0; i < text.n;) {
        const char *end = memchr(text.p + i, '\n', text.n - i);
        size_t e = end ? (size_t)(end - text.p) : text.n;
        QN_TRY(files_merge_line(d, qn_view_of(text.p + i, e - i), err));
        i = e + 1;
    }
    return QN_OK;
}

/* ---- special tokens ----------------------------------------------------- */

static const char *files_token(const qn_tok_bpe_files *f, const char *key)
{
    const json_t *v = json_object_get(f->config, key);
    if (!v || json_is_null(v))
        v = json_object_get(f->special_map, key);
    if (json_is_object(v))
        v = json_object_get(v, "content");
    return json_string_value(v);
}

static int files_add(qn_tok_draft *d, const char *text, int64_t id,
                     bool special, bool lstrip, qn_err *err)
{
    qn_tok_added_token tok = {.content = qn_view_cstr(text),
                              .special = special,
                              .normalized = !special,
                              .lstrip = lstrip};
    int32_t known = qn_tok_added_find(&d->t->added, text, tok.content.n);
    if (known < 0)
        known = qn_vocab_find(&d->t->vocab, text, tok.content.n);
    if (known < 0 && (id < 0 || id > QN_VOCAB_MAX_ID))
        return QN_OK;
    tok.id = known >= 0 ? known : (int32_t)id;
    return qn_tok_draft_add(d, &tok, err);
}

static int64_t files_next_id(const qn_tok *t)
{
    int64_t next = t->vocab.n_ids;
    for (size_t k = 0; k < t->added.v.n; k++)
        next = QN_MAX(next, (int64_t)t->added.v.v[k].id + 1);
    return next;
}

/* A token that a file names but the vocabulary lacks gets the next free id; a
 * default of the class that it lacks is left out. */
static int files_add_special(qn_tok_draft *d, const qn_tok_bpe_files *f,
                             const files_class *c, qn_err *err)
{
    const struct {
        const char *key, *fallback;
    } table[] = {{"bos_token", c->bos},
                 {"eos_token", c->eos},
                 {"unk_token", c->unk},
                 {"sep_token", NULL},
                 {"pad_token", c->pad},
                 {"cls_token", NULL},
                 {"mask_token",
                  c->post == FILES_POST_ROBERTA ? "<mask>" : NULL}};
    for (size_t k = 0; k < QN_COUNTOF(table); k++) {
        const char *text = files_token(f, table[k].key);
        bool lstrip = c->post == FILES_POST_ROBERTA && k == 6;
        if (text && *text)
            QN_TRY(files_add(d, text, files_next_id(d->t), true, lstrip, err));
        else if (table[k].fallback)
            QN_TRY(files_add(d, table[k].fallback, -1, true, lstrip, err));
    }
    const json_t *more = json_object_get(f->config,
                                         "additional_special_tokens");
    const json_t *v;
    size_t k;
    json_array_foreach((json_t *)(uintptr_t)more, k, v)
    {
        const char *text = json_string_value(
            json_is_object(v) ? json_object_get(v, "content") : v);
        if (text && *text)
            QN_TRY(files_add(d, text, files_next_id(d->t), true, false, err));
    }
    return QN_OK;
}

static int files_added(qn_tok_draft *d, const qn_tok_bpe_files *f,
                       const files_class *c, qn_err *err)
{
    const char *key;
    json_t *v;
    if (f->config)
        QN_TRY(qn_tok_read_decoder_tokens(d, f->config, err));
    json_object_foreach((json_t *)(uintptr_t)f->added, key, v)
    {
        if (*key && json_is_integer(v))
            QN_TRY(files_add(d, key, json_integer_value(v), false, false, err));
    }
    return files_add_special(d, f, c, err);
}

/* ---- the pipeline ------------------------------------------------------- */

/* Reads one stage from a JSON value that is consumed. */
static int files_stage(qn_tok_steps *steps, const qn_tok_stage *stage,
                       json_t *o, const char *name, qn_err *err)
{
    int rc = qn_tok_steps_parse(steps, stage, o, name, err);
    json_decref(o);
    return rc;
}

static int files_pipeline(qn_tok_draft *d, const qn_tok_bpe_files *f,
                          const files_class *c, qn_err *err)
{
    qn_tok *t = d->t;
    bool prefix = false;
    int rc = qn_json_bool(f->config, "add_prefix_space", &prefix, d->name, err);
    QN_TRY(rc);
    if (c->nfc)
        QN_TRY(files_stage(&t->norm, &qn_tok_normalizers,
                           json_pack("{s:s}", "type", "NFC"), d->name, err));
    if (c->pattern)
        QN_TRY(files_stage(&t->pre, &qn_tok_pre_tokenizers,
                           json_pack("{s:s, s:{s:s}, s:s, s:b}", "type",
                                     "Split", "pattern", "Regex", c->pattern,
                                     "behavior", "Isolated", "invert", 0),
                           d->name, err));
    QN_TRY(files_stage(&t->pre, &qn_tok_pre_tokenizers,
                       json_pack("{s:s, s:b, s:b}", "type", "ByteLevel",
                                 "add_prefix_space", (int)prefix, "use_regex",
                                 c->pattern == NULL),
                       d->name, err));
    return files_stage(&t->dec, &qn_tok_decoders,
                       json_pack("{s:s}", "type", "ByteLevel"), d->name, err);
}

static void files_post(qn_tok *t, const qn_tok_bpe_files *f,
                       const files_class *c)
{
    bool add_bos = json_is_true(json_object_get(f->config, "add_bos_token"));
    bool add_eos = json_is_true(json_object_get(f->config, "add_eos_token"));
    if (c->post == FILES_POST_ROBERTA)
        add_bos = add_eos = true;
    int32_t bos = add_bos ? t->role[QN_TOK_BOS] : -1;
    int32_t eos = add_eos ? t->role[QN_TOK_EOS] : -1;
    if (c->post == FILES_POST_ROBERTA) {
        qn_tok_step *trim = qn_tok_steps_add(&t->post, &qn_tok_post_processors,
                                             "ByteLevel");
        trim->on = true;
        trim->left = json_is_true(
            json_object_get(f->config, "add_prefix_space"));
    }
    if (bos >= 0 || eos >= 0)
        qn_tok_add_template(t, bos, eos);
}

/* Roles that the files leave open are the class's. */
static void files_roles(qn_tok *t, const qn_tok_bpe_files *f,
                        const files_class *c)
{
    const char *fallback[] = {c->bos, c->eos, c->unk, c->pad};
    qn_tok_read_roles(t, f->special_map);
    qn_tok_read_roles(t, f->config);
    for (int k = 0; k <= QN_TOK_PAD; k++)
        if (t->role[k] < 0 && fallback[k])
            t->role[k] = qn_tok_id(t, fallback[k], strlen(fallback[k]));
}

static int files_read(qn_tok_draft *d, const qn_tok_bpe_files *f,
                      const files_class *c, qn_err *err)
{
    qn_scan s;
    qn_scan_init(&s, f->vocab, d->name, err);
    qn_vocab_init(&d->t->vocab, f->vocab.n / 16);
    QN_TRY(qn_tok_read_vocab(&d->t->vocab, &s, d->name, err));
    QN_TRY(qn_scan_end(&s));
    QN_TRY(files_read_merges(d, f->merges, err));
    QN_TRY(files_pipeline(d, f, c, err));
    QN_TRY(files_added(d, f, c, err));
    files_roles(d->t, f, c);
    d->o.unk = d->t->role[QN_TOK_UNK];
    files_post(d->t, f, c);
    return QN_OK;
}

int qn_tok_open_bpe(qn_tok **out, const qn_tok_bpe_files *f, qn_err *err)
{
    const char *name = json_string_value(
        json_object_get(f->config, "tokenizer_class"));
    const files_class *c = files_class_of(name ? name : "GPT2Tokenizer");
    if (!c)
        return qn_fail(err, QN_EUNSUP,
                       "%s: vocab.json and merges.txt of the class %.60s are "
                       "not supported; a tokenizer.json would be",
                       f->name, name);
    qn_tok_draft d;
    qn_tok_draft_init(&d, f->name);
    int rc = files_read(&d, f, c, err);
    if (rc == 0)
        rc = qn_tok_build(&d, out, err);
    qn_tok_draft_deinit(&d);
    return rc;
}

/* ---- a folder ----------------------------------------------------------- */

/* NULL when the file is not there. */
static int files_json(json_t **out, const char *dir, const char *name,
                      qn_err *err)
{
    char *path = qn_path_join(dir, name);
    int rc = QN_OK;
    *out = NULL;
    if (qn_path_is_file(path))
        rc = qn_json_load(out, path, FILES_MAX_BYTES, err);
    free(path);
    return rc;
}

static int files_slurp(char **out, size_t *n, const char *dir, const char *name,
                       qn_err *err)
{
    char *path = qn_path_join(dir, name);
    int rc = qn_file_slurp(out, n, path, FILES_MAX_BYTES, err);
    free(path);
    return rc;
}

static bool files_has(const char *dir, const char *name)
{
    char *path = qn_path_join(dir, name);
    bool has = qn_path_is_file(path);
    free(path);
    return has;
}

/* The class by model_type where tokenizer_config.json does not name one. */
static int files_guess_class(json_t **config, const char *dir, qn_err *err)
{
    json_t *model = NULL;
    if (json_object_get(*config, "tokenizer_class"))
        return QN_OK;
    QN_TRY(files_json(&model, dir, "config.json", err));
    const char *type = json_string_value(json_object_get(model, "model_type"));
    if (type && files_class_of(type)) {
        if (!*config)
            *config = json_object();
        json_object_set_new(*config, "tokenizer_class", json_string(type));
    }
    json_decref(model);
    return QN_OK;
}

static int files_open_pair(qn_tok **out, const char *dir, json_t **config,
                           qn_err *err)
{
    char *vocab = NULL, *merges = NULL;
    json_t *map = NULL, *added = NULL;
    qn_tok_bpe_files f = {.name = dir};
    int rc = files_guess_class(config, dir, err);
    if (rc == 0)
        rc = files_slurp(&vocab, &f.vocab.n, dir, "vocab.json", err);
    if (rc == 0)
        rc = files_slurp(&merges, &f.merges.n, dir, "merges.txt", err);
    if (rc == 0)
        rc = files_json(&map, dir, "special_tokens_map.json", err);
    if (rc == 0)
        rc = files_json(&added, dir, "added_tokens.json", err);
    if (rc == 0) {
        f.vocab.p = vocab;
        f.merges.p = merges;
        f.config = *config;
        f.special_map = map;
        f.added = added;
        rc = qn_tok_open_bpe(out, &f, err);
    }
    free(vocab);
    free(merges);
    json_decref(map);
    json_decref(added);
    return rc;
}

static int files_open_json(qn_tok **out, const char *path, const json_t *config,
                           qn_err *err)
{
    char *text = NULL;
    size_t n = 0;
    int rc = qn_file_slurp(&text, &n, path, FILES_MAX_BYTES, err);
    if (rc == 0)
        rc = qn_tok_open_json(out, qn_view_of(text, n), config, path, err);
    free(text);
    return rc;
}

/* ---- which of them ------------------------------------------------------- */

static int files_open_spm(qn_tok **out, const char *dir, const char *file,
                          const json_t *config, qn_err *err)
{
    char *text = NULL, *path = qn_path_join(dir, file);
    size_t n = 0;
    int rc = qn_file_slurp(&text, &n, path, FILES_MAX_BYTES, err);
    if (rc == 0)
        rc = strcmp(file, TEKKEN) == 0
                 ? qn_tok_open_tekken(out, qn_view_of(text, n), config, path,
                                      err)
             : qn_tok_is_tiktoken(qn_view_of(text, n))
                 ? qn_tok_open_ranks(out, qn_view_of(text, n), path, config,
                                     err)
                 : qn_tok_open_spm(out, qn_view_of(text, n), config, path, err);
    free(text);
    free(path);
    return rc;
}

/* The only *.tiktoken of the folder, or NULL. */
static char *files_find_ranks(const char *dir)
{
    DIR *d = opendir(dir);
    char *found = NULL;
    struct dirent *e;
    while (d && (e = readdir(d))) {
        if (!qn_ends(e->d_name, ".tiktoken"))
            continue;
        bool second = found != NULL;
        free(found);
        found = second ? NULL : qn_xstrdup(e->d_name);
        if (second)
            break;
    }
    if (d)
        closedir(d);
    return found;
}

static int files_open_other(qn_tok **out, const char *dir, const json_t *config,
                            qn_err *err)
{
    static const char *const models[] = {"tokenizer.model", "spiece.model",
                                         "tiktoken.model", TEKKEN};
    for (size_t k = 0; k < QN_COUNTOF(models); k++)
        if (files_has(dir, models[k]))
            return files_open_spm(out, dir, models[k], config, err);
    char *ranks = files_find_ranks(dir);
    int rc = ranks ? files_open_spm(out, dir, ranks, config, err)
                   : qn_fail(err, QN_ENOENT,
                             "%s: no tokenizer here: neither tokenizer.json "
                             "nor vocab.json with merges.txt nor "
                             "tokenizer.model nor a .tiktoken file nor " TEKKEN,
                             dir);
    free(ranks);
    return rc;
}

int qn_tok_open_file(qn_tok **out, const char *path, qn_err *err)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    char *dir = slash ? qn_xstrndup(path, QN_MAX((size_t)(slash - path), 1))
                      : qn_xstrdup(".");
    json_t *config = NULL;
    int rc = files_json(&config, dir, "tokenizer_config.json", err);
    if (rc == 0)
        rc = qn_ends(name, ".json") && strcmp(name, TEKKEN) != 0
                 ? files_open_json(out, path, config, err)
                 : files_open_spm(out, dir, name, config, err);
    json_decref(config);
    free(dir);
    return rc;
}

int qn_tok_open_dir(qn_tok **out, const char *dir, qn_err *err)
{
    bool pair = files_has(dir, "vocab.json") && files_has(dir, "merges.txt");
    char *whole = qn_path_join(dir, "tokenizer.json");
    json_t *config = NULL;
    int rc = files_json(&config, dir, "tokenizer_config.json", err);
    if (rc == 0)
        rc = qn_path_is_file(whole) ? files_open_json(out, whole, config, err)
             : pair                 ? files_open_pair(out, dir, &config, err)
                                    : files_open_other(out, dir, config, err);
    free(whole);
    json_decref(config);
    return rc;
}
