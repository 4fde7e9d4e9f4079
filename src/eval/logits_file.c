/* logits_file.c - see logits_file.h. */
#include "eval/logits_file.h"

#include "base/mem.h"
#include "ckpt/ckpt.h"
#include "ckpt/safetensors_write.h"

#include <stdlib.h>
#include <string.h>

#define FORMAT "quern-logits-1"
#define ABOUT_MAX ((uint64_t)1 << 20)
#define READ_BYTES ((size_t)32 << 20) /* of one step */

/* ---- writing ------------------------------------------------------------- */

struct qn_logits_writer {
    qn_st_writer *st;
    size_t n_vocab;
};

static json_t *about_new(const qn_corpus *c, int n_vocab, const json_t *model)
{
    return json_pack("{s:s, s:I, s:I, s:i, s:i, s:I, s:O}", "format", FORMAT,
                     "context", (json_int_t)c->context, "stride",
                     (json_int_t)c->stride, "bos", (int)c->bos, "n_vocab",
                     n_vocab, "documents", (json_int_t)c->docs.n, "model",
                     model);
}

static int declare(qn_st_writer *st, const qn_corpus *c, size_t n_about,
                   int n_vocab, qn_err *err)
{
    int64_t about[] = {(int64_t)n_about}, tokens[] = {(int64_t)c->ids.n};
    int64_t logits[] = {(int64_t)c->n_scored, n_vocab};
    QN_TRY(qn_st_writer_declare(st, "about", QN_U8, 1, about, err));
    QN_TRY(qn_st_writer_declare(st, "tokens", QN_I32, 1, tokens, err));
    return qn_st_writer_declare(st, "logits", QN_F32, 2, logits, err);
}

int qn_logits_writer_new(qn_logits_writer **out, const char *path,
                         const qn_corpus *c, int n_vocab, const json_t *model,
                         qn_err *err)
{
    json_t *o = about_new(c, n_vocab, model);
    char *about = o ? json_dumps(o, JSON_COMPACT) : NULL;
    json_decref(o);
    if (!about)
        return qn_fail(err, QN_EINTERNAL, "%s: no description of the rows",
                       path);
    size_t n_about = strlen(about);
    qn_logits_writer *w = qn_xcalloc(1, sizeof *w);
    w->n_vocab = (size_t)n_vocab;
    int rc = qn_st_writer_new(&w->st, path, err);
    if (rc == 0)
        rc = declare(w->st, c, n_about, n_vocab, err);
    if (rc == 0)
        rc = qn_st_writer_data(w->st, about, n_about, err);
    if (rc == 0)
        rc = qn_st_writer_data(w->st, c->ids.v, c->ids.n * sizeof *c->ids.v,
                               err);
    free(about);
    if (rc < 0) {
        qn_logits_writer_free(w);
        return rc;
    }
    *out = w;
    return 0;
}

int qn_logits_writer_add(qn_logits_writer *w, const float *rows, int n,
                         qn_err *err)
{
    return qn_st_writer_data(w->st, rows, (size_t)n * w->n_vocab * sizeof *rows,
                             err);
}

int qn_logits_writer_finish(qn_logits_writer *w, qn_err *err)
{
    return qn_st_writer_finish(w->st, err);
}

void qn_logits_writer_free(qn_logits_writer *w)
{
    if (!w)
        return;
    qn_st_writer_free(w->st);
    free(w);
}

/* ---- reading ------------------------------------------------------------- */

struct qn_logits_reader {
    qn_ckpt *ck;
    const qn_tensor *logits;
    json_t *about;
    size_t n_vocab, n_rows, next, per_step;
    float *rows;
};

static int read_about(qn_logits_reader *r, const char *path, qn_err *err)
{
    const qn_tensor *t = qn_ckpt_find(r->ck, "about");
    const char *format = "";
    if (!t || t->dtype != QN_U8 || t->n_bytes > ABOUT_MAX)
        return qn_fail(err, QN_EFORMAT,
                       "%s was not written by quern eval --save-logits", path);
    char *text = qn_xmalloc((size_t)t->n_bytes + 1);
    int rc = qn_ckpt_read(r->ck, t, 0, text, (size_t)t->n_bytes, err);
    if (rc == 0)
        rc = qn_json_parse(&r->about, text, (size_t)t->n_bytes, path, err);
    free(text);
    QN_TRY(rc);
    QN_TRY(qn_json_str(r->about, "format", &format, path, err));
    if (strcmp(format, FORMAT) != 0)
        return qn_fail(err, QN_EFORMAT, "%s: format \"%s\", not \"" FORMAT "\"",
                       path, format);
    return 0;
}

static int same_number(const qn_logits_reader *r, const char *path,
                       const char *key, int64_t want, qn_err *err)
{
    int64_t got = -2;
    QN_TRY(qn_json_i64(r->about, key, &got, path, err));
    if (got != want)
        return qn_fail(err, QN_EINVAL,
                       "%s was made with %s %lld, here it is %lld: use the "
                       "same, or make it anew",
                       path, key, (long long)got, (long long)want);
    return 0;
}

static int same_tokens(const qn_logits_reader *r, const char *path,
                       const qn_corpus *c, qn_err *err)
{
    const qn_tensor *t = qn_ckpt_find(r->ck, "tokens");
    if (!t || t->dtype != QN_I32 || t->n_elems != c->ids.n)
        return qn_fail(err, QN_EINVAL,
                       "%s is of a text of %llu tokens, here there are %zu: "
                       "another text, or another tokenizer",
                       path, t ? (unsigned long long)t->n_elems : 0ull,
                       c->ids.n);
    int32_t *ids = qn_alloc(c->ids.n, sizeof *ids);
    if (!ids)
        return qn_fail(err, QN_ENOMEM, "%s: too long", path);
    int rc = qn_ckpt_read(r->ck, t, 0, ids, (size_t)t->n_bytes, err);
    for (size_t i = 0; i < c->ids.n && rc == 0; i++)
        if (ids[i] != c->ids.v[i])
            rc = qn_fail(err, QN_EINVAL,
                         "%s: token %zu of the text is %d there and %d here: "
                         "another text, or another tokenizer",
                         path, i, (int)ids[i], (int)c->ids.v[i]);
    qn_free(ids);
    return rc;
}

static int check(qn_logits_reader *r, const char *path, const qn_corpus *c,
                 int n_vocab, qn_err *err)
{
    QN_TRY(read_about(r, path, err));
    QN_TRY(same_number(r, path, "n_vocab", n_vocab, err));
    QN_TRY(same_number(r, path, "context", c->context, err));
    QN_TRY(same_number(r, path, "stride", c->stride, err));
    QN_TRY(same_number(r, path, "bos", c->bos, err));
    QN_TRY(same_number(r, path, "documents", (int64_t)c->docs.n, err));
    QN_TRY(same_tokens(r, path, c, err));
    const qn_tensor *t = r->logits = qn_ckpt_find(r->ck, "logits");
    if (!t || t->dtype != QN_F32 || t->n_dims != 2 || t->shape[1] != n_vocab ||
        t->shape[0] < 0 || (size_t)t->shape[0] != c->n_scored)
        return qn_fail(err, QN_EFORMAT,
                       "%s: no tensor logits, f32 [%zu, %d], is there", path,
                       c->n_scored, n_vocab);
    return 0;
}

int qn_logits_reader_new(qn_logits_reader **out, const char *path,
                         const qn_corpus *c, int n_vocab, qn_err *err)
{
    qn_logits_reader *r = qn_xcalloc(1, sizeof *r);
    int rc = qn_ckpt_open_tensors(&r->ck, path, err);
    if (rc == 0)
        rc = check(r, path, c, n_vocab, err);
    if (rc < 0) {
        qn_logits_reader_free(r);
        return rc;
    }
    r->n_vocab = (size_t)n_vocab;
    r->n_rows = c->n_scored;
    r->per_step = QN_MAX(READ_BYTES / (r->n_vocab * sizeof(float)), (size_t)1);
    r->per_step = QN_MIN(r->per_step, r->n_rows + 1);
    r->rows = qn_xreallocarray(NULL, r->per_step, r->n_vocab * sizeof(float));
    *out = r;
    return 0;
}

int qn_logits_reader_step(qn_logits_reader *r, const float **rows, int *n,
                          qn_err *err)
{
    size_t row = r->n_vocab * sizeof(float);
    size_t here = QN_MIN(r->per_step, r->n_rows - r->next);
    if (here == 0)
        return 0;
    QN_TRY(qn_ckpt_read(r->ck, r->logits, (uint64_t)r->next * row, r->rows,
                        here * row, err));
    r->next += here;
    *rows = r->rows;
    *n = (int)here;
    return 1;
}

const json_t *qn_logits_reader_model(const qn_logits_reader *r)
{
    return json_object_get(r->about, "model");
}

void qn_logits_reader_free(qn_logits_reader *r)
{
    if (!r)
        return;
    qn_ckpt_close(r->ck);
    json_decref(r->about);
    free(r->rows);
    free(r);
}
