/* resume.c - see resume.h. */
#include "quantize/resume.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "quantize/hash.h"

#include <stdlib.h>
#include <string.h>

#define STATE_NAME ".state.json"
#define STATE_MAX ((size_t)256 << 20)
#define USUAL_SECONDS 20.0

/* ---- the key ------------------------------------------------------------- */

static json_t *text_or_null(const char *s)
{
    return s ? json_string(s) : json_null();
}

static json_t *list_of(const char *const *v, size_t n)
{
    json_t *a = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(a, json_string(v[i]));
    return a;
}

/* A file that an option names, by its bytes. */
static int add_file(json_t *o, const char *key, const char *path, qn_err *err)
{
    char hex[QN_HASH_HEX];
    uint64_t hash;
    if (!path)
        return QN_OK;
    QN_TRY(qn_hash_file(path, &hash, err));
    qn_hash_hex(hash, hex);
    json_object_set_new(o, key, json_string(hex));
    return QN_OK;
}

static void add_side_files(json_t *o, const qn_ckpt *ck)
{
    static const char *const names[] = {
        "config.json", "tokenizer.json", "tokenizer.model",
        "vocab.json",  "merges.txt",     "tokenizer_config.json"};
    for (size_t i = 0; i < QN_COUNTOF(names); i++) {
        char *text, hex[QN_HASH_HEX];
        size_t n;
        if (qn_ckpt_side_file(ck, names[i], &text, &n, NULL) < 0)
            continue;
        qn_hash_hex(qn_hash_bytes(text, n), hex);
        json_object_set_new(o, names[i], json_string(hex));
        qn_free(text);
    }
}

static void add_numbers(json_t *o, const qn_optimize_params *p)
{
    json_object_set_new(
        o, "numbers",
        json_pack("[i, I, b, b, b, i, i, f, f, b, b, b, f, f, I, I]", p->bits,
                  (json_int_t)p->group, p->double_quant, p->asymmetric,
                  p->weigh, p->n_samples, p->n_context, p->damping,
                  p->int8_threshold, p->desc_act, p->static_groups, p->head,
                  p->target_bits, p->max_kl, (json_int_t)p->target_size,
                  (json_int_t)p->max_shard));
}

static int make_key(char key[QN_HASH_HEX], const qn_optimize_params *p,
                    const qn_ckpt *ck, const json_t *files, qn_err *err)
{
    json_t *o = json_object();
    const char *const names[] = {p->method,       p->type,
                                 p->head_type,    p->embed_type,
                                 p->format,       p->scales,
                                 p->compute_type, p->calibration_split};
    json_object_set_new(o, "version", json_string(QUERN_VERSION));
    json_object_set(o, "files", (json_t *)files);
    json_object_set_new(o, "names", json_array());
    for (size_t i = 0; i < QN_COUNTOF(names); i++)
        json_array_append_new(json_object_get(o, "names"),
                              text_or_null(names[i]));
    json_object_set_new(o, "rules", list_of(p->rules, p->n_rules));
    json_object_set_new(o, "skip", list_of(p->skip, p->n_skip));
    json_object_set_new(o, "only", list_of(p->only, p->n_only));
    add_numbers(o, p);
    add_side_files(o, ck);
    if (p->n_calibration_ids)
        json_object_set_new(o, "ids",
                            json_integer((json_int_t)qn_hash_bytes(
                                p->calibration_ids,
                                p->n_calibration_ids *
                                    sizeof *p->calibration_ids)));
    int rc = add_file(o, "calibration", p->calibration, err);
    if (rc == QN_OK)
        rc = add_file(o, "imatrix", p->imatrix, err);
    char *text = json_dumps(o, JSON_SORT_KEYS | JSON_COMPACT);
    if (text)
        qn_hash_hex(qn_hash_bytes(text, strlen(text)), key);
    else if (rc == QN_OK)
        rc = qn_fail(err, QN_EINVAL, "an option is not UTF-8");
    free(text);
    json_decref(o);
    return rc;
}

/* ---- the state ----------------------------------------------------------- */

static void look(qn_resume *r)
{
    char *path = qn_outdir_file(r->out, STATE_NAME);
    json_t *s = NULL;
    if (qn_path_is_file(path) && qn_json_load(&s, path, STATE_MAX, NULL) < 0)
        s = NULL;
    const char *key = json_string_value(json_object_get(s, "key"));
    if (key && strcmp(key, r->key) == 0)
        r->state = s;
    else
        json_decref(s);
    qn_free(path);
}

int qn_resume_open(qn_resume *r, const qn_outdir *out,
                   const qn_optimize_params *p, const qn_ckpt *ck,
                   const json_t *files, qn_err *err)
{
    *r = (qn_resume){.out = out, .every = p->save_every, .last = qn_now_ns()};
    if (r->every == 0)
        r->every = USUAL_SECONDS;
    QN_TRY(make_key(r->key, p, ck, files, err));
    look(r);
    if (!r->state)
        qn_outdir_empty(out);
    r->saved = r->state != NULL;
    return QN_OK;
}

void qn_resume_deinit(qn_resume *r)
{
    json_decref(r->state);
    r->state = NULL;
}

int64_t qn_resume_int(const qn_resume *r, const char *key)
{
    const json_t *v = json_object_get(r->state, key);
    return json_is_integer(v) ? json_integer_value(v) : -1;
}

bool qn_resume_due(const qn_resume *r)
{
    return qn_ms_since(r->last) * 1e-3 >= r->every;
}

int qn_resume_save(qn_resume *r, json_t *state, qn_err *err)
{
    json_object_set_new(state, "key", json_string(r->key));
    int rc = qn_outdir_json(r->out, STATE_NAME, state, err);
    json_decref(r->state);
    r->state = state;
    r->saved = r->saved || rc == QN_OK;
    r->last = qn_now_ns();
    return rc;
}
