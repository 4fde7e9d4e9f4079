/* from_gguf.c - see from_gguf.h. */
#include "quantize/from_gguf.h"

#include "base/file.h"
#include "base/mem.h"
#include "ckpt/gguf_unpack.h"
#include "model/families.h"
#include "model/names.h"
#include "text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#define KEY(name) "tokenizer.ggml." name

enum {
    CONTROL = 3, /* token types as GGUF (and SentencePiece) numbers them */
    USER_DEFINED = 4
};

/* ---- names --------------------------------------------------------------- */

static bool is_name(void *user, const char *name, bool of_layer)
{
    const qn_names *names = user;
    for (int role = 0; role < QN_R_N; role++) {
        const qn_name *n;
        if ((role >= QN_R_GLOBAL_N) != of_layer)
            continue;
        for (int at = 0; (n = qn_names_row(names, (qn_role)role, at)); at++) {
            qn_str s; /* "experts.%d.w1" is "experts.w1" in the table */
            const char *d = strstr(n->name, "%d.");
            qn_str_init(&s);
            qn_str_add(&s, n->name,
                       d ? (size_t)(d - n->name) : strlen(n->name));
            qn_str_adds(&s, d ? d + 3 : "");
            bool same = strcmp(s.p ? s.p : "", name) == 0;
            qn_str_deinit(&s);
            if (same)
                return true;
        }
    }
    return false;
}

/* ---- the vocabulary ------------------------------------------------------ */

typedef struct vocab {
    const qn_ckpt *ck;
    const char *dir;
    const qn_gguf_kv *tokens, *types, *merges, *scores;
    qn_err *err;
} vocab;

static int type_of(const vocab *v, uint64_t i)
{
    qn_gguf_kv e;
    uint64_t t = 1;
    if (v->types && qn_gguf_elem(v->types, i, &e) && e.type == QN_GGUF_I32)
        return (int)e.v.i;
    if (v->types && qn_gguf_elem(v->types, i, &e))
        qn_gguf_as_u64(&e, &t);
    return t <= 6 ? (int)t : 1;
}

/* A token by the key that has its id, or NULL. */
static json_t *token_of(const vocab *v, const char *key)
{
    uint64_t id;
    if (!qn_ckpt_gguf_u64(v->ck, key, &id) || id >= v->tokens->n)
        return NULL;
    return json_stringn(v->tokens->v.strs[id].p, v->tokens->v.strs[id].n);
}

static bool flag_of(const vocab *v, const char *key, bool otherwise)
{
    uint64_t on;
    return qn_ckpt_gguf_u64(v->ck, key, &on) ? on != 0 : otherwise;
}

static int save(const vocab *v, const char *name, json_t *o)
{
    char *text = o ? json_dumps(o, JSON_INDENT(1)) : NULL;
    char *path = qn_path_join(v->dir, name);
    int rc = text ? qn_file_write(path, text, strlen(text), v->err)
                  : qn_fail(v->err, QN_EFORMAT,
                            "%s: its vocabulary is no text for %s",
                            qn_ckpt_path(v->ck), name);
    qn_free(path);
    free(text);
    json_decref(o);
    return rc;
}

static int save_config(const vocab *v, const char *class, bool add_bos)
{
    static const struct {
        const char *name, *key;
    } roles[] = {{"bos_token", KEY("bos_token_id")},
                 {"eos_token", KEY("eos_token_id")},
                 {"unk_token", KEY("unknown_token_id")},
                 {"pad_token", KEY("padding_token_id")}};
    json_t *o = json_pack("{s:s, s:b, s:b, s:b}", "tokenizer_class", class,
                          "add_bos_token", add_bos, "add_eos_token",
                          flag_of(v, KEY("add_eos_token"), false),
                          "clean_up_tokenization_spaces", 0);
    qn_view tmpl;
    for (size_t i = 0; i < QN_COUNTOF(roles); i++) {
        json_t *t = token_of(v, roles[i].key);
        if (t)
            json_object_set_new(o, roles[i].name, t);
    }
    if (qn_ckpt_gguf_str(v->ck, "tokenizer.chat_template", &tmpl))
        json_object_set_new(o, "chat_template", json_stringn(tmpl.p, tmpl.n));
    if (strcmp(class, "LlamaTokenizer") == 0) {
        json_object_set_new(o, "legacy", json_true());
        json_object_set_new(o, "add_prefix_space",
                            json_boolean(
                                flag_of(v, KEY("add_space_prefix"), true)));
    }
    return save(v, "tokenizer_config.json", o);
}

static json_t *all_or_none(json_t *all, int bad)
{
    if (!bad)
        return all;
    json_decref(all);
    return NULL;
}

/* ---- gpt2 ---------------------------------------------------------------- */

/* NULL (of this and the model): some of it is no UTF-8. */
static json_t *added_tokens(const vocab *v)
{
    json_t *a = json_array();
    int bad = 0;
    for (uint64_t i = 0; i < v->tokens->n; i++) {
        int type = type_of(v, i);
        qn_view t = v->tokens->v.strs[i];
        if (type != CONTROL && type != USER_DEFINED)
            continue;
        bad |= json_array_append_new(
            a, json_pack("{s:I, s:o, s:b, s:b, s:b, s:b, s:b}", "id",
                         (json_int_t)i, "content", json_stringn(t.p, t.n),
                         "single_word", 0, "lstrip", 0, "rstrip", 0,
                         "normalized", 0, "special", type == CONTROL));
    }
    return all_or_none(a, bad);
}

static json_t *byte_level(void)
{
    return json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel",
                     "add_prefix_space", 0, "trim_offsets", 1, "use_regex", 0);
}

static json_t *pre_tokenizer(const qn_tok_gguf_pre *pre)
{
    json_t *a = json_array();
    for (size_t i = 0; i < pre->n; i++)
        json_array_append_new(a, json_pack("{s:s, s:{s:s}, s:s, s:b}", "type",
                                           "Split", "pattern", "Regex",
                                           pre->patterns[i], "behavior",
                                           "Isolated", "invert", 0));
    json_array_append_new(a, byte_level());
    return json_pack("{s:s, s:o}", "type", "Sequence", "pretokenizers", a);
}

/* The begin token before every text, if that is wanted. */
static json_t *post_processor(const vocab *v, bool add_bos)
{
    json_t *bos = add_bos ? token_of(v, KEY("bos_token_id")) : NULL;
    const char *s = json_string_value(bos);
    uint64_t id = 0;
    qn_ckpt_gguf_u64(v->ck, KEY("bos_token_id"), &id);
    json_t *o = s ? json_pack("{s:s, s:[{s:{s:s, s:i}}, {s:{s:s, s:i}}],"
                              " s:[{s:{s:s, s:i}}, {s:{s:s, s:i}},"
                              " {s:{s:s, s:i}}], s:{s:{s:s, s:[I], s:[s]}}}",
                              "type", "TemplateProcessing", "single",
                              "SpecialToken", "id", s, "type_id", 0, "Sequence",
                              "id", "A", "type_id", 0, "pair", "SpecialToken",
                              "id", s, "type_id", 0, "Sequence", "id", "A",
                              "type_id", 0, "Sequence", "id", "B", "type_id", 1,
                              "special_tokens", s, "id", s, "ids",
                              (json_int_t)id, "tokens", s)
                  : json_null();
    json_decref(bos);
    return o;
}

static json_t *bpe_model(const vocab *v, bool ignore_merges)
{
    json_t *words = json_object(), *merges = json_array();
    int bad = 0;
    for (uint64_t i = 0; i < v->tokens->n; i++) {
        qn_view t = v->tokens->v.strs[i];
        bad |= json_object_setn_new(words, t.p, t.n,
                                    json_integer((json_int_t)i));
    }
    for (uint64_t i = 0; v->merges && i < v->merges->n; i++)
        bad |= json_array_append_new(merges,
                                     json_stringn(v->merges->v.strs[i].p,
                                                  v->merges->v.strs[i].n));
    return json_pack("{s:s, s:n, s:n, s:n, s:n, s:b, s:b, s:b, s:o, s:o}",
                     "type", "BPE", "dropout", "unk_token",
                     "continuing_subword_prefix", "end_of_word_suffix",
                     "fuse_unk", 0, "byte_fallback", 0, "ignore_merges",
                     ignore_merges, "vocab", all_or_none(words, bad), "merges",
                     merges);
}

static int save_gpt2(const vocab *v)
{
    qn_view name = {"", 0};
    qn_tok_gguf_pre pre;
    qn_ckpt_gguf_str(v->ck, KEY("pre"), &name);
    char *pre_name = qn_xstrndup(name.p, name.n);
    bool known = qn_tok_gguf_pre_find(pre_name, &pre);
    qn_free(pre_name);
    if (!known)
        return qn_fail(v->err, QN_EUNSUP,
                       "%s: " KEY("pre") " \"%.*s\" is not known",
                       qn_ckpt_path(v->ck), (int)name.n, name.p);
    bool add_bos = flag_of(v, KEY("add_bos_token"), pre.add_bos);
    json_t *o = json_pack("{s:s, s:n, s:n, s:o, s:n, s:o, s:o, s:o, s:o}",
                          "version", "1.0", "truncation", "padding",
                          "added_tokens", added_tokens(v), "normalizer",
                          "pre_tokenizer", pre_tokenizer(&pre),
                          "post_processor", post_processor(v, add_bos),
                          "decoder", byte_level(), "model",
                          bpe_model(v, pre.ignore_merges));
    QN_TRY(save(v, "tokenizer.json", o));
    return save_config(v, "PreTrainedTokenizerFast", add_bos);
}

/* ---- llama ---------------------------------------------------------------
 *
 * sentencepiece_model.proto: ModelProto {1: pieces {1: piece, 2: score, 3:
 * type}, 2: trainer_spec {3: model_type (2: BPE), 4: vocab_size, 35:
 * byte_fallback, 40..43: unk, bos, eos, pad id}, 3: normalizer_spec {1: name,
 * 3: add_dummy_prefix, 4: remove_extra_whitespaces, 5: escape_whitespaces}} */

static void put_number(qn_str *s, uint64_t v)
{
    for (; v >= 128; v >>= 7)
        qn_str_addc(s, (char)(unsigned char)(v | 128));
    qn_str_addc(s, (char)v);
}

static void put_field(qn_str *s, int field, uint64_t v)
{
    put_number(s, (uint64_t)field << 3);
    put_number(s, v);
}

static void put_bytes(qn_str *s, int field, const char *p, size_t n)
{
    put_number(s, (uint64_t)field << 3 | 2);
    put_number(s, n);
    qn_str_add(s, p, n);
}

static void put_piece(qn_str *out, const vocab *v, uint64_t i)
{
    qn_str s;
    float score = 0;
    if (v->scores)
        memcpy(&score, (const char *)v->scores->v.data + i * sizeof score,
               sizeof score);
    qn_str_init(&s);
    put_bytes(&s, 1, v->tokens->v.strs[i].p, v->tokens->v.strs[i].n);
    put_number(&s, 2 << 3 | 5);
    qn_str_add(&s, (const char *)&score, sizeof score);
    put_field(&s, 3, (uint64_t)type_of(v, i));
    put_bytes(out, 1, s.p, s.n);
    qn_str_deinit(&s);
}

/* int32 of a varint: negative ones have ten bytes. */
static uint64_t id_of(const vocab *v, const char *key, int64_t otherwise)
{
    uint64_t id;
    return qn_ckpt_gguf_u64(v->ck, key, &id) ? id : (uint64_t)otherwise;
}

static int save_llama(const vocab *v)
{
    qn_str all, s;
    bool prefix = flag_of(v, KEY("add_space_prefix"), true), bytes = false;
    qn_str_init(&all);
    for (uint64_t i = 0; i < v->tokens->n; i++) {
        put_piece(&all, v, i);
        bytes |= type_of(v, i) == 6;
    }
    qn_str_init(&s);
    put_field(&s, 3, 2);
    put_field(&s, 4, v->tokens->n);
    put_field(&s, 35, bytes);
    put_field(&s, 40, id_of(v, KEY("unknown_token_id"), 0));
    put_field(&s, 41, id_of(v, KEY("bos_token_id"), 1));
    put_field(&s, 42, id_of(v, KEY("eos_token_id"), 2));
    put_field(&s, 43, id_of(v, KEY("padding_token_id"), -1));
    put_bytes(&all, 2, s.p, s.n);
    qn_str_clear(&s);
    put_bytes(&s, 1, "identity", strlen("identity"));
    put_field(&s, 3, prefix);
    put_field(&s, 4, 0);
    put_field(&s, 5, 1);
    put_bytes(&all, 3, s.p, s.n);
    char *path = qn_path_join(v->dir, "tokenizer.model");
    int rc = qn_file_write(path, all.p, all.n, v->err);
    qn_free(path);
    qn_str_deinit(&s);
    qn_str_deinit(&all);
    QN_TRY(rc);
    return save_config(v, "LlamaTokenizer",
                       flag_of(v, KEY("add_bos_token"), true));
}

/* ---- all of it ----------------------------------------------------------- */

static const qn_gguf_kv *array(const qn_ckpt *ck, const char *key,
                               qn_gguf_type elem, uint64_t n)
{
    const qn_gguf_kv *kv = qn_ckpt_gguf_kv(ck, key);
    bool fits = kv && kv->type == QN_GGUF_ARR && kv->elem_type == elem &&
                (n == 0 || kv->n == n);
    return fits ? kv : NULL;
}

static int save_vocab(const qn_ckpt *ck, const char *dir, qn_err *err)
{
    vocab v = {.ck = ck, .dir = dir, .err = err};
    qn_view model;
    v.tokens = array(ck, KEY("tokens"), QN_GGUF_STR, 0);
    if (!v.tokens || !qn_ckpt_gguf_str(ck, KEY("model"), &model))
        return QN_OK; /* it computes with ids */
    v.types = array(ck, KEY("token_type"), QN_GGUF_I32, v.tokens->n);
    if (!v.types)
        v.types = array(ck, KEY("token_type"), QN_GGUF_U32, v.tokens->n);
    v.scores = array(ck, KEY("scores"), QN_GGUF_F32, v.tokens->n);
    v.merges = array(ck, KEY("merges"), QN_GGUF_STR, 0);
    if (qn_view_eqs(model, "gpt2"))
        return save_gpt2(&v);
    if (qn_view_eqs(model, "llama"))
        return save_llama(&v);
    return qn_fail(err, QN_EUNSUP,
                   "%s: a tokenizer of the kind \"%.*s\" has no form in a "
                   "Hugging Face folder; take --quantization_method gguf",
                   qn_ckpt_path(ck), (int)model.n, model.p);
}

int qn_from_gguf(const qn_ckpt *ck, const qn_net *net, const char *dir,
                 qn_err *err)
{
    const qn_family *fam = qn_family_find(qn_net_hparams(net)->family);
    if (!fam)
        return qn_fail(err, QN_EUNSUP, "%s: its family has no row",
                       qn_ckpt_path(ck));
    qn_gguf_unpack how = {.is_name = is_name,
                          .user = (void *)(uintptr_t)fam->names,
                          .layer = qn_names_layer(fam->names)};
    QN_TRY(qn_gguf_unpack_run(ck, dir, &how, err));
    return save_vocab(ck, dir, err);
}
