/* resume.c - see resume.h. */
#include "quantize/resume.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "quantize/hash.h"

#include <stdlib.h>
#include <string.h>

#define STATE_NAME ".state.json"
#define STATE_MAX ((size_t)256 << 20)
#define USUAL_SECONDS 20.0

/* ---- the identity ------------------------------------------------------------- */

static json_t *list_of(const char *const *v, size_t n)
{
    json_t *a = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(a, json_string(v[i]));
    return a;
}

/* An object, so that nobody takes it for a value that is told. */
static json_t *hashed(uint64_t hash)
{
    char hex[QN_HASH_HEX];
    qn_hash_hex(hash, hex);
    return json_pack("{s:s}", "hash", hex);
}

/* A file that an option names, by its bytes. */
static int add_file(json_t *o, const char *key, const char *path, qn_err *err)
{
    uint64_t hash;
    if (!path)
        return QN_OK;
    QN_TRY(qn_hash_file(path, &hash, err));
    json_object_set_new(o, key, hashed(hash));
    return QN_OK;
}

static void add_side_files(json_t *o, const qn_ckpt *ck)
{
    static const char *const names[] = {
        "config.json", "tokenizer.json", "tokenizer.model",
        "vocab.json",  "merges.txt",     "tokenizer_config.json"};
    for (size_t i = 0; i < QN_COUNTOF(names); i++) {
        char *text;
        size_t n;
        if (qn_ckpt_side_file(ck, names[i], &text, &n, NULL) < 0)
            continue;
        json_object_set_new(o, names[i], hashed(qn_hash_bytes(text, n)));
        qn_free(text);
    }
}

static void add_numbers(json_t *o, const qn_optimize_params *p)
{
    json_t *numbers = json_pack(
        "{s:i, s:I, s:b, s:b, s:b, s:i, s:i, s:f, s:f, s:b, s:b, s:b, s:f, "
        "s:f, s:I, s:I}",
        "quantization-bits", p->bits, "group-size", (json_int_t)p->group,
        "double-quant", p->double_quant, "no-symmetric", p->asymmetric,
        "importance", p->weigh, "calibration-samples", p->n_samples,
        "calibration-length", p->n_context, "damping", p->damping,
        "int8-threshold", p->int8_threshold, "desc-act", p->desc_act,
        "static-groups", p->static_groups, "quantize-head", p->head,
        "target-bits", p->target_bits, "max-kl", p->max_kl, "target-size",
        (json_int_t)p->target_size, "max-shard-size", (json_int_t)p->max_shard);
    json_object_update(o, numbers);
    json_decref(numbers);
}

/* What is not given is not there. */
static int add_texts(json_t *o, const qn_optimize_params *p, qn_err *err)
{
    const struct {
        const char *name, *text;
    } rows[] = {{"quantization-method", p->method},
                {"quant-type", p->type},
                {"head-type", p->head_type},
                {"embedding-type", p->embed_type},
                {"format", p->format},
                {"fp8-scales", p->scales},
                {"compute-dtype", p->compute_type},
                {"calibration-split", p->calibration_split}};
    for (size_t i = 0; i < QN_COUNTOF(rows); i++)
        if (rows[i].text &&
            json_object_set_new(o, rows[i].name, json_string(rows[i].text)))
            return qn_fail(err, QN_EINVAL, "--%s is not UTF-8", rows[i].name);
    json_object_set_new(o, "rule", list_of(p->rules, p->n_rules));
    json_object_set_new(o, "skip", list_of(p->skip, p->n_skip));
    json_object_set_new(o, "only", list_of(p->only, p->n_only));
    return QN_OK;
}

/* Its options have their names on the command line. */
static int identify(json_t *o, const qn_optimize_params *p, const qn_ckpt *ck,
                    const json_t *files, qn_err *err)
{
    json_object_set_new(o, "version of quern", json_string(QUERN_VERSION));
    json_object_set(o, "source", (json_t *)(uintptr_t)files);
    QN_TRY(add_texts(o, p, err));
    add_numbers(o, p);
    add_side_files(o, ck);
    if (p->n_calibration_ids)
        json_object_set_new(o, "calibration ids",
                            hashed(
                                qn_hash_bytes(p->calibration_ids,
                                              p->n_calibration_ids *
                                                  sizeof *p->calibration_ids)));
    QN_TRY(add_file(o, "calibration", p->calibration, err));
    return add_file(o, "imatrix", p->imatrix, err);
}

/* ---- the state ----------------------------------------------------------- */

/* Short values are told; 0 is a number's way not to be given. */
static char *value_of(const json_t *v)
{
    if (!v || (json_is_integer(v) && json_integer_value(v) == 0))
        return qn_xstrdup("not given");
    char *text = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY |
                                   JSON_REAL_PRECISION(6));
    if (text && !json_is_object(v) && !json_is_array(v) && strlen(text) < 32)
        return text;
    free(text);
    return NULL;
}

/* "quantization-bits 4 instead of 3" */
static void add_difference(qn_str *s, const char *name, const json_t *there,
                           const json_t *here)
{
    char *a = value_of(there), *b = value_of(here);
    if (s->n)
        qn_str_adds(s, ", ");
    if (a && b)
        qn_str_addf(s, "%s %s instead of %s", name, a, b);
    else
        qn_str_addf(s, "another %s", name);
    free(a);
    free(b);
}

/* In what the run that is there differs from this one: all that either has. */
static void differences(qn_str *s, json_t *there, json_t *here)
{
    json_t *all = json_copy(here), *v;
    const char *name;
    json_object_update_missing(all, there);
    json_object_foreach(all, name, v)
    {
        const json_t *a = json_object_get(there, name);
        const json_t *b = json_object_get(here, name);
        if (!json_equal(a, b))
            add_difference(s, name, a, b);
    }
    json_decref(all);
}

static int refuse(qn_resume *r, json_t *there, qn_err *err)
{
    qn_str s;
    qn_str_init(&s);
    differences(&s, there, r->identity);
    r->other = true;
    int rc = qn_fail(err, QN_EINVAL,
                     "%s holds the work of a run that was stopped; go on with "
                     "it by the command that began it, or remove the folder. "
                     "It had %s",
                     r->out->partial, s.p);
    qn_str_deinit(&s);
    return rc;
}

static int look(qn_resume *r, qn_err *err)
{
    char *path = qn_outdir_file(r->out, STATE_NAME);
    json_t *s = NULL;
    int rc = QN_OK;
    if (qn_path_is_file(path) && qn_json_load(&s, path, STATE_MAX, NULL) < 0)
        s = NULL;
    json_t *there = json_object_get(s, "identity");
    if (json_equal(there, r->identity))
        r->state = json_incref(s);
    else if (json_is_object(there))
        rc = refuse(r, there, err);
    json_decref(s);
    qn_free(path);
    return rc;
}

int qn_resume_open(qn_resume *r, const qn_outdir *out,
                   const qn_optimize_params *p, const qn_ckpt *ck,
                   const json_t *files, qn_err *err)
{
    *r = (qn_resume){.out = out, .every = p->save_every, .last = qn_now_ns()};
    if (r->every == 0)
        r->every = USUAL_SECONDS;
    r->identity = json_object();
    QN_TRY(identify(r->identity, p, ck, files, err));
    QN_TRY(look(r, err));
    if (!r->state)
        qn_outdir_empty(out);
    r->saved = r->state != NULL;
    return QN_OK;
}

void qn_resume_deinit(qn_resume *r)
{
    json_decref(r->state);
    json_decref(r->identity);
    r->state = r->identity = NULL;
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
    json_object_set(state, "identity", r->identity);
    int rc = qn_outdir_json(r->out, STATE_NAME, state, err);
    json_decref(r->state);
    r->state = state;
    r->saved = r->saved || rc == QN_OK;
    r->last = qn_now_ns();
    return rc;
}
