/* keys.c - reading config.json by the table of keys.h.
 *
 * The idea: every member of the file is looked at, not only those we look
 * for. A member falls into one of four kinds: a key of the table that this
 * family reads; a key that cannot change what the network computes (training,
 * generation defaults, bookkeeping: the list below); a value that says
 * nothing (null, false, empty); or one that we do not understand, which is
 * refused, because running on without it might give a different network. */
#include "model/keys.h"

#include "base/compiler.h"
#include "model/families.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum key_kind {
    KEY_I,
    KEY_N,
    KEY_L,
    KEY_F,
    KEY_B,
    KEY_S,
    KEY_A
} key_kind;
typedef enum key_scope {
    KEY_0,
    KEY_1,
    KEY_R
} key_scope;

typedef struct key_row {
    key_kind kind;
    key_scope scope;
    double lo, hi;
    const char *names;
} key_row;

#define KEY_ROW(id, kind, lo, hi, family, names) \
    {KEY_##kind, KEY_##family, (double)(lo), (double)(hi), names},
static const key_row key_rows[QN_K_N] = {QN_KEYS(KEY_ROW)};
#undef KEY_ROW

/* Keys that do not change what a network computes when it is run. */
static const char harmless[] =
    /* bookkeeping */
    "model_type architectures transformers_version torch_dtype dtype auto_map "
    "quantization_config compression_config " /* the checkpoint's matter */
    "_name_or_path _commit_hash name_or_path model_name license tags "
    "unsloth_* axolotl_* base_model* *_version is_llama_config "
    "transformers.js_config tokenizer_name init_config verbose is_composition "
    "custom_pipelines _num_labels "
    /* how transformers runs it */
    "use_cache cache_implementation _attn_* attn_implementation "
    "_flash_attn_2_enabled use_flash_attn use_flash_attention* "
    "_use_flash_attention* flash_attn use_flash_rotary use_flash_norm "
    "torchscript gradient_checkpointing use_gradient_checkpointing "
    "pretraining_tp reorder_and_upcast_attn return_dict output_attentions "
    "output_hidden_states output_router_logits chunk_size_feed_forward "
    "is_decoder is_encoder_decoder use_bfloat16 tokenizer_class prefix "
    "slow_but_exact init_device num_logits_to_keep model_max_length "
    "max_sequence_length low_cpu_mem_usage tf_legacy_loss _moe_* "
    "attention_softmax_in_fp32 scale_attention_softmax_in_fp32 "
    "masked_softmax_fusion bias_dropout_fusion skip_bias_add* "
    /* training */
    "*dropout *_dropout *pdrop layerdrop *_dropout_prob initializer_range "
    "initializer_cutoff_factor init_std initializer_factor *aux_loss* "
    "*_jitter_noise *jitter_eps z_loss* router_z_loss_coef "
    "neftune_noise_alpha label_smoothing summary_* problem_type "
    "finetuning_task task_specific_params num_labels id2label label2id "
    "pruned_heads seq_aux moe_loss_weight "
    /* generation */
    "pad_token_id unk_token_id sep_token_id cls_token_id mask_token_id "
    "decoder_start_token_id forced_* suppress_tokens begin_suppress_tokens "
    "bad_words_ids do_sample max_length max_new_tokens min_length "
    "temperature top_k top_p typical_p num_beams num_beam_groups "
    "num_return_sequences repetition_penalty encoder_no_repeat_ngram_size "
    "no_repeat_ngram_size length_penalty early_stopping diversity_penalty "
    "exponential_decay_length_penalty return_dict_in_generate output_scores "
    "remove_invalid_values";

/* ---- words ------------------------------------------------------------- */

static bool word_is(const char *w, size_t n, const char *name)
{
    size_t len = strlen(name);
    bool open = n && w[0] == '*', ends = n > 1 && w[n - 1] == '*';
    const char *core = w + open;
    size_t m = n - open - ends;
    if (len < m)
        return false;
    for (size_t at = 0; at + m <= len; at++) {
        if ((at > 0 && !open) || (at + m < len && !ends))
            continue;
        if (memcmp(core, name + at, m) == 0)
            return true;
    }
    return false;
}

/* The word's place among the words, -1: it is not there. */
static int word_index(const char *words, const char *name)
{
    int i = 0;
    for (const char *p = words; p && *p; i++) {
        size_t n = strcspn(p, " ");
        if (word_is(p, n, name))
            return i;
        p += n;
        p += strspn(p, " ");
    }
    return -1;
}

bool qn_word_in(const char *words, const char *name)
{
    return word_index(words, name) >= 0;
}

/* ---- one member -------------------------------------------------------- */

/* Does this family read the key? A family names the keys that are its own by
 * their first spelling. */
static bool key_read(const key_row *row, const qn_family *fam)
{
    if (row->scope == KEY_0 ||
        (row->scope == KEY_R && fam->hp.pos == QN_POS_ROPE))
        return true;
    size_t n = strcspn(row->names, " ");
    for (const char *p = fam->keys; p && *p;) {
        size_t m = strcspn(p, " ");
        if (m == n && memcmp(p, row->names, n) == 0)
            return true;
        p += m;
        p += strspn(p, " ");
    }
    return false;
}

static int key_wrong(const char *name, const char *want, const json_t *v,
                     qn_err *err)
{
    char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);
    int rc = qn_fail(err, QN_EFORMAT, "config.json: %s should be %s, is %.60s",
                     name, want, text ? text : "something else");
    free(text);
    return rc;
}

static int key_number(const key_row *row, const char *name, const json_t *v,
                      double *out, qn_err *err)
{
    double d = json_number_value(v);
    bool whole = row->kind == KEY_F || d == floor(d);
    if (!json_is_number(v) || !isfinite(d) || !whole || d < row->lo ||
        d > row->hi) {
        char want[80];
        snprintf(want, sizeof want, "%s of %.12g to %.12g",
                 row->kind == KEY_F ? "a number" : "an integer", row->lo,
                 row->hi);
        return key_wrong(name, want, v, err);
    }
    *out = d;
    return QN_OK;
}

/* A number, or the largest of a list of them. */
static int key_numbers(const key_row *row, const char *name, const json_t *v,
                       double *out, qn_err *err)
{
    size_t i;
    json_t *one;
    if (!json_is_array(v) || json_array_size(v) == 0)
        return key_number(row, name, v, out, err);
    *out = -INFINITY;
    json_array_foreach((json_t *)v, i, one)
    {
        double d;
        QN_TRY(key_number(row, name, one, &d, err));
        *out = fmax(*out, d);
    }
    return QN_OK;
}

static int key_value(const key_row *row, const char *name, const json_t *v,
                     qn_value *out, qn_err *err)
{
    switch (row->kind) {
    case KEY_N:
        if (json_is_string(v) && strcmp(json_string_value(v), "auto") == 0)
            return QN_OK;
        QN_TRY(key_number(row, name, v, &out->num, err));
        break;
    case KEY_L: QN_TRY(key_numbers(row, name, v, &out->num, err)); break;
    case KEY_I:
    case KEY_F: QN_TRY(key_number(row, name, v, &out->num, err)); break;
    case KEY_B:
        if (!json_is_boolean(v) && !json_is_integer(v))
            return key_wrong(name, "true or false", v, err);
        out->num = json_is_true(v) || json_integer_value(v) != 0;
        break;
    case KEY_S:
        if (!json_is_string(v))
            return key_wrong(name, "a string", v, err);
        break;
    case KEY_A: break;
    }
    out->set = true;
    out->json = v;
    return QN_OK;
}

static bool key_equal(const json_t *a, const json_t *b)
{
    if (json_is_number(a) && json_is_number(b))
        return json_number_value(a) == json_number_value(b);
    return json_equal(a, b);
}

/* Does it say what the family's mathematics are anyway? *named: the family
 * speaks of the key. */
static bool key_expected(const qn_family *fam, const char *name,
                         const json_t *v, bool *named)
{
    size_t n = strlen(name);
    bool found = false;
    for (const char *p = fam->expects; p && *p && !found;) {
        size_t m = strcspn(p, " ");
        if (m > n + 1 && memcmp(p, name, n) == 0 && p[n] == '=') {
            json_t *want = json_loadb(p + n + 1, m - n - 1, JSON_DECODE_ANY,
                                      NULL);
            *named = true;
            found = key_equal(want, v);
            json_decref(want);
        }
        p += m;
        p += strspn(p, " ");
    }
    return found;
}

/* What transformers 5 may write for any network: that all layers attend to
 * everything; MiniMax says so by numbers. */
static bool key_all_full(const char *name, const json_t *v)
{
    size_t i;
    json_t *one;
    bool types = strcmp(name, "layer_types") == 0;
    bool full = json_is_array(v) &&
                (types || strcmp(name, "attn_type_list") == 0);
    json_array_foreach((json_t *)v, i, one)
    {
        const char *s = json_string_value(one);
        full = full && (types ? s && strcmp(s, "full_attention") == 0
                              : json_integer_value(one) == 1);
    }
    return full;
}

static int key_object(qn_keys *k, int spelling[QN_K_N], const char *name,
                      const json_t *o, const qn_family *fam, qn_err *err);

static int key_member(qn_keys *k, int spelling[QN_K_N], const char *name,
                      const json_t *v, const qn_family *fam, qn_err *err)
{
    for (int i = 0; i < QN_K_N; i++) {
        const key_row *row = &key_rows[i];
        int at = word_index(row->names, name);
        if (at < 0 || !key_read(row, fam))
            continue;
        qn_value *out = &k->v[i];
        out->given = true;
        /* of several spellings the first in the row's order counts */
        if (json_is_null(v) || (out->set && spelling[i] <= at))
            return QN_OK;
        spelling[i] = at;
        out->name = strchr(name, '.') ? NULL : name; /* ours does not last */
        return key_value(row, name, v, out, err);
    }
    if (json_is_object(v) && qn_word_in(fam->nested, name))
        return key_object(k, spelling, name, v, fam, err);
    const char *leaf = strrchr(name, '.');
    leaf = leaf ? leaf + 1 : name;
    bool named = false;
    if (qn_word_in(harmless, name) || qn_word_in(harmless, leaf) ||
        qn_word_in(fam->ignores, name) || key_all_full(name, v) ||
        key_expected(fam, name, v, &named))
        return QN_OK;
    if (named && json_is_false(v)) /* not the same as saying nothing */
        v = json_true();
    qn_keys_unknown(k, NULL, name, v);
    return QN_OK;
}

/* Members of a nested object, as "object.member". */
static int key_object(qn_keys *k, int spelling[QN_K_N], const char *name,
                      const json_t *o, const qn_family *fam, qn_err *err)
{
    const char *member;
    json_t *v;
    json_object_foreach((json_t *)o, member, v)
    {
        char full[128];
        snprintf(full, sizeof full, "%s.%s", name, member);
        QN_TRY(key_member(k, spelling, full, v, fam, err));
    }
    return QN_OK;
}

int qn_keys_read(qn_keys *k, const json_t *config, const qn_family *fam,
                 qn_err *err)
{
    memset(k, 0, sizeof *k);
    int spelling[QN_K_N] = {0};
    const char *name;
    json_t *v;
    json_object_foreach((json_t *)config, name, v)
        QN_TRY(key_member(k, spelling, name, v, fam, err));
    for (int i = 0; i < QN_FAMILY_DEFAULTS && fam->defaults[i].given; i++) {
        qn_value *out = &k->v[fam->defaults[i].key];
        if (out->given)
            continue;
        out->set = true;
        out->num = fam->defaults[i].num;
    }
    if (fam->rope_default && !k->v[QN_K_ROPE_NEW].set &&
        !k->v[QN_K_ROPE_OLD].set) {
        k->own = json_loads(fam->rope_default, 0, NULL);
        k->v[QN_K_ROPE_NEW].set = true;
        k->v[QN_K_ROPE_NEW].json = k->own;
    }
    return QN_OK;
}

void qn_keys_deinit(qn_keys *k)
{
    json_decref(k->own);
    qn_str_deinit(&k->unknown);
}

/* ---- what is not understood -------------------------------------------- */

void qn_keys_unknown(qn_keys *k, const char *prefix, const char *name,
                     const json_t *value)
{
    if (json_is_null(value) || json_is_false(value) ||
        (json_is_array(value) && json_array_size(value) == 0) ||
        (json_is_object(value) && json_object_size(value) == 0))
        return;
    qn_str_addf(&k->unknown, "%s%s%s%s", k->unknown.n ? ", " : "",
                prefix ? prefix : "", prefix ? "." : "", name);
}

int qn_keys_done(const qn_keys *k, const char *family, qn_err *err)
{
    if (k->unknown.n == 0)
        return QN_OK;
    return qn_fail(err, QN_EUNSUP,
                   "config.json: not understood for model_type %s, and may "
                   "change what the model computes: %s",
                   family, k->unknown.p);
}

/* ---- access ------------------------------------------------------------ */

double qn_key_num(const qn_keys *k, qn_key key, double otherwise)
{
    return k->v[key].set ? k->v[key].num : otherwise;
}

int qn_key_int(const qn_keys *k, qn_key key, int otherwise)
{
    return (int)qn_key_num(k, key, otherwise);
}

bool qn_key_true(const qn_keys *k, qn_key key, bool otherwise)
{
    return qn_key_num(k, key, otherwise) != 0;
}

const char *qn_key_name(const qn_keys *k, qn_key key)
{
    static _Thread_local char usual[48];
    if (k->v[key].name)
        return k->v[key].name;
    snprintf(usual, sizeof usual, "%.*s",
             (int)strcspn(key_rows[key].names, " "), key_rows[key].names);
    return usual;
}

bool qn_key_exists(const char *name)
{
    for (int i = 0; i < QN_K_N; i++) {
        if (word_index(key_rows[i].names, name) == 0)
            return true;
    }
    return false;
}

int qn_key_need(const qn_keys *k, qn_key key, int *out, qn_err *err)
{
    if (!k->v[key].set)
        return qn_fail(err, QN_EFORMAT, "config.json: %s is missing",
                       qn_key_name(k, key));
    *out = (int)k->v[key].num;
    return QN_OK;
}
