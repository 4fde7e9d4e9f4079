/* synth.c - see synth.h.
 *
 * A weight is drawn from a table of 4096 quantiles of the normal distribution,
 * encoded in the file's type for the deviation at hand: 64 random bits choose
 * four. So the file is made about as fast as it can be written. The bits are
 * those of a counter that is hashed (splitmix64), started anew for every
 * tensor. */
#include "cli/synth.h"

#include "base/file.h"
#include "base/rng.h"
#include "base/vec.h"
#include "ckpt/safetensors_write.h"
#include "cli/synth_shape.h"
#include "cli/synth_vocab.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    TABLE = 4096,
    PIECE = 1 << 20, /* elements made and written at once */
    ELEM_MAX = 4
};

#define SHARD_DEFAULT ((uint64_t)4 << 30)

typedef struct maker {
    const qn_synth_params *p;
    qn_synth_shape shape;
    qn_dtype dtype;
    size_t elem; /* bytes */
    float quantiles[TABLE];
    uint8_t table[TABLE * ELEM_MAX]; /* encoded */
    float table_mean, table_dev;
    uint8_t *piece;
    uint64_t done, total; /* bytes */
} maker;

/* ---- values ---------------------------------------------------------------- */

/* The normal distribution's quantile, by bisection: 4096 of them once. */
static double quantile(double p)
{
    double lo = -8, hi = 8;
    for (int i = 0; i < 60; i++) {
        double mid = (lo + hi) / 2;
        if (0.5 * erfc(-mid / sqrt(2)) < p)
            lo = mid;
        else
            hi = mid;
    }
    return (lo + hi) / 2;
}

static void make_quantiles(maker *m)
{
    for (int i = 0; i < TABLE / 2; i++) {
        float q = (float)quantile((i + 0.5) / TABLE);
        m->quantiles[i] = q;
        m->quantiles[TABLE - 1 - i] = -q;
    }
}

static void make_table(maker *m, float mean, float dev)
{
    float v[TABLE];
    if (mean == m->table_mean && dev == m->table_dev)
        return;
    for (int i = 0; i < TABLE; i++)
        v[i] = mean + dev * m->quantiles[i];
    qn_dtype_get(m->dtype)->encode(v, m->table, TABLE);
    m->table_mean = mean;
    m->table_dev = dev;
}

static uint64_t mixed(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* n elements from the counter on; n is a multiple of 4. */
static void draw16(const uint16_t *table, uint16_t *out, size_t n, uint64_t at)
{
    for (size_t i = 0; i < n; i += 4) {
        uint64_t r = mixed(at += 0x9e3779b97f4a7c15u);
        out[i] = table[r & (TABLE - 1)];
        out[i + 1] = table[r >> 16 & (TABLE - 1)];
        out[i + 2] = table[r >> 32 & (TABLE - 1)];
        out[i + 3] = table[r >> 48 & (TABLE - 1)];
    }
}

static void draw32(const uint32_t *table, uint32_t *out, size_t n, uint64_t at)
{
    for (size_t i = 0; i < n; i += 4) {
        uint64_t r = mixed(at += 0x9e3779b97f4a7c15u);
        out[i] = table[r & (TABLE - 1)];
        out[i + 1] = table[r >> 16 & (TABLE - 1)];
        out[i + 2] = table[r >> 32 & (TABLE - 1)];
        out[i + 3] = table[r >> 48 & (TABLE - 1)];
    }
}

static void choose_table(maker *m, const qn_synth_tensor *t)
{
    double fan = (double)t->fan_in;
    switch (t->fill) {
    case QN_FILL_MATRIX: make_table(m, 0, (float)(1 / sqrt(fan))); break;
    case QN_FILL_BRANCH:
        make_table(m, 0, (float)(1 / sqrt(fan * 2 * m->shape.n_layer)));
        break;
    case QN_FILL_EMBED: make_table(m, 0, (float)(2.5 / sqrt(fan))); break;
    case QN_FILL_GAIN: make_table(m, 1, 0.05f); break;
    case QN_FILL_BIAS: make_table(m, 0, 0.02f); break;
    }
}

/* ---- tensors --------------------------------------------------------------- */

static uint64_t elems_of(const qn_synth_tensor *t)
{
    return (uint64_t)QN_MAX(t->rows, 1) * (uint64_t)t->cols;
}

static int write_tensor(maker *m, qn_st_writer *w, const qn_synth_tensor *t,
                        size_t number, qn_err *err)
{
    uint32_t start[4];
    uint64_t left = elems_of(t);
    choose_table(m, t);
    qn_philox(m->p->seed, 0x73796e7468, number, start);
    uint64_t at = (uint64_t)start[0] << 32 | start[1];
    while (left > 0) {
        size_t n = (size_t)QN_MIN(left, (uint64_t)PIECE);
        size_t whole = (n + 3) / 4 * 4;
        if (m->elem == 2)
            draw16((const uint16_t *)(const void *)m->table,
                   (uint16_t *)(void *)m->piece, whole, at);
        else
            draw32((const uint32_t *)(const void *)m->table,
                   (uint32_t *)(void *)m->piece, whole, at);
        at += 0x9e3779b97f4a7c15u * (whole / 4);
        QN_TRY(qn_st_writer_data(w, m->piece, n * m->elem, err));
        left -= n;
        m->done += n * m->elem;
        if (m->p->progress &&
            !m->p->progress(m->p->progress_user, m->done, m->total))
            return qn_fail(err, QN_ECANCEL, "%s: interrupted", m->p->dir);
    }
    return 0;
}

/* Tensors [first, end) into one file. */
static int write_shard(maker *m, const char *name, size_t first, size_t end,
                       qn_err *err)
{
    qn_synth_tensor t;
    qn_st_writer *w = NULL;
    char *path = qn_path_join(m->p->dir, name);
    int rc = 0;
    QN_TRY_OUT(qn_st_writer_new(&w, path, err));
    for (size_t i = first; i < end; i++) {
        qn_synth_tensor_at(&m->shape, i, &t);
        int64_t shape[2] = {t.rows ? t.rows : t.cols, t.cols};
        QN_TRY_OUT(qn_st_writer_declare(w, t.name, m->dtype, t.rows ? 2 : 1,
                                        shape, err));
    }
    for (size_t i = first; i < end; i++) {
        qn_synth_tensor_at(&m->shape, i, &t);
        QN_TRY_OUT(write_tensor(m, w, &t, i, err));
    }
    rc = qn_st_writer_finish(w, err);
out:
    qn_st_writer_free(w);
    qn_free(path);
    return rc;
}

typedef QN_VEC(size_t) ends;

/* Where shards end, by the bytes of their tensors. */
static void plan_shards(maker *m, ends *e)
{
    uint64_t limit = m->p->shard_size ? m->p->shard_size : SHARD_DEFAULT;
    uint64_t held = 0;
    qn_synth_tensor t;
    size_t i = 0;
    for (; qn_synth_tensor_at(&m->shape, i, &t); i++) {
        uint64_t bytes = elems_of(&t) * m->elem;
        if (held > 0 && held + bytes > limit) {
            qn_vec_push(e, i);
            held = 0;
        }
        held += bytes;
        m->total += bytes;
    }
    qn_vec_push(e, i);
}

static int write_json(const char *dir, const char *name, json_t *o, qn_err *err)
{
    char *text = json_dumps(o, JSON_INDENT(2));
    char *path = qn_path_join(dir, name);
    int rc = qn_file_write(path, text, strlen(text), err);
    free(text);
    qn_free(path);
    json_decref(o);
    return rc;
}

static int write_weights(maker *m, qn_err *err)
{
    ends e = {0};
    plan_shards(m, &e);
    json_t *map = json_object();
    int rc = 0;
    for (size_t i = 0, first = 0; i < e.n && rc == 0; first = e.v[i++]) {
        char name[64] = "model.safetensors";
        if (e.n > 1)
            snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors",
                     i + 1, e.n);
        rc = write_shard(m, name, first, e.v[i], err);
        qn_synth_tensor t;
        for (size_t k = first; k < e.v[i]; k++) {
            qn_synth_tensor_at(&m->shape, k, &t);
            json_object_set_new(map, t.name, json_string(name));
        }
    }
    if (rc == 0 && e.n > 1) {
        json_t *o = json_pack("{s:{s:I}, s:O}", "metadata", "total_size",
                              (json_int_t)m->total, "weight_map", map);
        rc = write_json(m->p->dir, "model.safetensors.index.json", o, err);
    }
    json_decref(map);
    qn_vec_deinit(&e);
    return rc;
}

/* ---- the rest -------------------------------------------------------------- */

static int write_text(const char *dir, const char *name, qn_str *s, qn_err *err)
{
    char *path = qn_path_join(dir, name);
    int rc = qn_file_write(path, s->p, s->n, err);
    qn_free(path);
    qn_str_deinit(s);
    return rc;
}

static int write_vocab(const maker *m, qn_err *err)
{
    const qn_synth_shape *s = &m->shape;
    qn_str text;
    qn_str_init(&text);
    qn_synth_tokenizer(s->n_vocab, s->bos, s->eos, &text);
    QN_TRY(write_text(m->p->dir, "tokenizer.json", &text, err));
    qn_synth_tokenizer_config(s->bos == s->eos ? -1 : s->bos, &text);
    return write_text(m->p->dir, "tokenizer_config.json", &text, err);
}

static const struct {
    const char *name, *torch;
    qn_dtype dtype;
    size_t elem;
} types[] = {
    {"bf16", "bfloat16", QN_BF16, 2},
    {"f16", "float16", QN_F16, 2},
    {"f32", "float32", QN_F32, 4},
};

int qn_synth_write(const qn_synth_params *p, qn_err *err)
{
    const qn_synth_shape *s = qn_synth_shape_find(p->shape);
    size_t type = 0;
    if (!s)
        return qn_fail(err, QN_EINVAL,
                       "there is no shape \"%s\"; --help lists them", p->shape);
    while (type < QN_COUNTOF(types) && strcmp(types[type].name, p->dtype) != 0)
        type++;
    if (type == QN_COUNTOF(types))
        return qn_fail(err, QN_EINVAL, "type \"%s\": use bf16, f16 or f32",
                       p->dtype);
    QN_TRY(qn_mkdirs(p->dir, err));
    maker *m = qn_xcalloc(1, sizeof *m);
    m->p = p;
    m->shape = *s;
    if (p->n_layer > 0)
        m->shape.n_layer = p->n_layer;
    m->dtype = types[type].dtype;
    m->elem = types[type].elem;
    m->piece = qn_xcalloc(PIECE, m->elem);
    make_quantiles(m);
    json_t *gen = json_pack("{s:i, s:b}", "eos_token_id", s->eos, "do_sample",
                            0);
    if (s->bos >= 0)
        json_object_set_new(gen, "bos_token_id", json_integer(s->bos));
    int rc = write_json(p->dir, "config.json",
                        qn_synth_config(&m->shape, types[type].torch), err);
    if (rc == 0)
        rc = write_json(p->dir, "generation_config.json", json_incref(gen),
                        err);
    json_decref(gen);
    if (rc == 0)
        rc = write_vocab(m, err);
    if (rc == 0)
        rc = write_weights(m, err);
    free(m->piece);
    free(m);
    return rc;
}

const char *qn_synth_shape_name(size_t i, uint64_t *n_params)
{
    const qn_synth_shape *s = qn_synth_shape_at(i);
    qn_synth_tensor t;
    if (!s)
        return NULL;
    *n_params = 0;
    for (size_t k = 0; qn_synth_tensor_at(s, k, &t); k++)
        *n_params += elems_of(&t);
    return s->name;
}
