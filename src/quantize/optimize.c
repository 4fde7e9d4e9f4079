/* optimize.c - a run: source, plan, tensors, the files around them.
 *
 *   open source -> bind its network (which tensors are linear layers)
 *   -> plan every tensor -> NAME.partial: shards, index, config.json,
 *   copies of the rest, metadata.json -> NAME */
#include "quantize/optimize.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "ckpt/safetensors_write.h"
#include "quantize/auto.h"
#include "quantize/optimize_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COPY_PIECE ((size_t)4 << 20)
#define SHARD_BYTES 5000000000u

typedef struct run_ctx {
    const qn_optimize_params *p;
    qn_ckpt *ck;
    qn_backend *be;
    qn_net *net;
    qn_pool *pool;
    qn_qmat like;
    qn_opt_plan plan;
    qn_outdir out;
    qn_stages *stages;
    json_t *index; /* weight_map */
    uint64_t done;
    qn_err *err;
} run_ctx;

/* ---- the source ---------------------------------------------------------- */

static int open_source(run_ctx *r)
{
    const qn_optimize_params *p = r->p;
    QN_TRY(qn_ckpt_open(&r->ck, p->model, r->err));
    bool gguf = qn_method_is_gguf(p);
    if (qn_ckpt_container(r->ck) != QN_CKPT_HF && !gguf)
        return qn_fail(r->err, QN_EUNSUP,
                       "%s is a GGUF file, of which %s makes nothing; take "
                       "--quantization_method gguf, or the Hugging Face "
                       "directory that it was made from",
                       p->model, p->method);
    if (qn_ckpt_n_parts(r->ck))
        return qn_fail(r->err, QN_EUNSUP,
                       "%s is quantized already; take the unquantized "
                       "checkpoint",
                       p->model);
    qn_backend_params bp = {.n_threads = 1, .isa = QN_ISA_N - 1};
    qn_net_params np = {.no_weights = true};
    QN_TRY(qn_backend_open(&r->be, "cpu", &bp, r->err));
    QN_TRY(qn_net_open(&r->net, r->ck, r->be, &np, r->err));
    return gguf ? QN_OK
                : qn_plan_make(&r->plan, p, &r->like, r->ck, r->net, r->err);
}

/* ---- shards -------------------------------------------------------------- */

static uint64_t item_bytes(const qn_opt_item *item)
{
    uint64_t n = 0;
    if (!item->quantize)
        return item->t->n_bytes;
    for (int i = 0; i < QN_QPARTS; i++)
        n += item->mat.part[i].name ? item->mat.part[i].n_bytes : 0;
    return n;
}

/* Items [from, result) go into one file. */
static size_t shard_end(const run_ctx *r, size_t from)
{
    uint64_t max = r->p->max_shard ? r->p->max_shard : SHARD_BYTES, sum = 0;
    size_t i = from;
    for (; i < r->plan.items.n; i++) {
        uint64_t n = item_bytes(&r->plan.items.v[i]);
        if (i > from && sum + n > max)
            break;
        sum += n;
    }
    return i;
}

static int n_shards(const run_ctx *r)
{
    int n = 0;
    for (size_t i = 0; i < r->plan.items.n; i = shard_end(r, i))
        n++;
    return n;
}

/* Name of part k of a matrix. */
static char *part_name(const qn_opt_item *item, int k)
{
    qn_str s;
    qn_str_init(&s);
    qn_str_add(&s, item->t->name, qn_module_len(item->t->name));
    qn_str_adds(&s, item->mat.part[k].name);
    return qn_str_take(&s, NULL);
}

static int declare(run_ctx *r, qn_st_writer *w, const qn_opt_item *item,
                   const char *file)
{
    const qn_tensor *t = item->t;
    if (!item->quantize) {
        json_object_set_new(r->index, t->name, json_string(file));
        return qn_st_writer_declare(w, t->name, t->dtype, t->n_dims, t->shape,
                                    r->err);
    }
    for (int k = 0; k < QN_QPARTS; k++) {
        const qn_qpart *p = &item->mat.part[k];
        if (!p->name)
            continue;
        char *name = part_name(item, k);
        json_object_set_new(r->index, name, json_string(file));
        int rc = qn_st_writer_declare(w, name, p->dtype, p->n_dims, p->shape,
                                      r->err);
        qn_free(name);
        QN_TRY(rc);
    }
    return QN_OK;
}

static int progress(run_ctx *r, uint64_t n)
{
    r->done += n;
    if (!r->p->progress || r->p->progress(r->p->progress_user, r->done,
                                          r->plan.report.source_bytes))
        return QN_OK;
    return qn_fail(r->err, QN_ECANCEL, "quantizing was interrupted");
}

/* A vector that was divided. */
static int write_multiplied(run_ctx *r, qn_st_writer *w,
                            const qn_opt_item *item)
{
    const qn_tensor *t = item->t;
    size_t n = (size_t)t->n_elems;
    void *raw = qn_alloc((size_t)t->n_bytes, 1);
    float *v = qn_alloc(n, sizeof *v), one = item->plus_one ? 1 : 0;
    int rc = raw && v
                 ? qn_ckpt_read(r->ck, t, 0, raw, (size_t)t->n_bytes, r->err)
                 : qn_fail(r->err, QN_ENOMEM, "tensor %s: no memory", t->name);
    if (rc == QN_OK)
        rc = qn_dtype_decode(t->dtype, raw, v, n, r->err);
    for (size_t i = 0; i < n && rc == QN_OK; i++)
        v[i] = (v[i] + one) * item->row_mul[i] - one;
    if (rc == QN_OK)
        rc = qn_dtype_encode(t->dtype, v, raw, n, r->err);
    if (rc == QN_OK)
        rc = qn_st_writer_data(w, raw, (size_t)t->n_bytes, r->err);
    qn_free(raw);
    qn_free(v);
    return rc == QN_OK ? progress(r, t->n_bytes) : rc;
}

static int copy_item(run_ctx *r, qn_st_writer *w, const qn_tensor *t)
{
    void *buf = qn_xmalloc(COPY_PIECE);
    int rc = QN_OK;
    for (uint64_t at = 0; at < t->n_bytes && rc == QN_OK; at += COPY_PIECE) {
        size_t n = (size_t)QN_MIN(t->n_bytes - at, COPY_PIECE);
        rc = qn_ckpt_read(r->ck, t, at, buf, n, r->err);
        if (rc == QN_OK)
            rc = qn_st_writer_data(w, buf, n, r->err);
        if (rc == QN_OK)
            rc = progress(r, n);
    }
    qn_free(buf);
    return rc;
}

static int quantize_item(run_ctx *r, qn_st_writer *w, qn_opt_item *item)
{
    int rc = item->ready ? QN_OK : qn_matrix_run(item, r->ck, r->pool, r->err);
    for (int k = 0; k < QN_QPARTS && rc == QN_OK; k++) {
        const qn_qpart *p = &item->mat.part[k];
        if (p->name)
            rc = qn_st_writer_data(w, p->out, (size_t)p->n_bytes, r->err);
    }
    qn_matrix_free(item);
    return rc == QN_OK ? progress(r, item->t->n_bytes) : rc;
}

static bool still_wanted(void *user)
{
    run_ctx *r = user;
    return !r->p->progress || r->p->progress(r->p->progress_user, r->done,
                                             r->plan.report.source_bytes);
}

static int write_item(run_ctx *r, qn_st_writer *w, qn_opt_item *item)
{
    if (r->stages && item->stage >= 0)
        QN_TRY(
            qn_stages_reach(r->stages, item->stage, still_wanted, r, r->err));
    return item->quantize  ? quantize_item(r, w, item)
           : item->row_mul ? write_multiplied(r, w, item)
                           : copy_item(r, w, item->t);
}

static int write_shard(run_ctx *r, const char *file, size_t from, size_t end)
{
    char *path = qn_outdir_file(&r->out, file);
    qn_st_writer *w = NULL;
    int rc = qn_st_writer_new(&w, path, r->err);
    for (size_t i = from; i < end && rc == QN_OK; i++)
        rc = declare(r, w, &r->plan.items.v[i], file);
    for (size_t i = from; i < end && rc == QN_OK; i++)
        rc = write_item(r, w, &r->plan.items.v[i]);
    if (rc == QN_OK)
        rc = qn_st_writer_finish(w, r->err);
    qn_st_writer_free(w);
    qn_free(path);
    return rc;
}

static int write_tensors(run_ctx *r)
{
    int n = n_shards(r), i = 0;
    for (size_t from = 0; from < r->plan.items.n;) {
        char name[64] = "model.safetensors";
        size_t end = shard_end(r, from);
        if (n > 1)
            snprintf(name, sizeof name, "model-%05d-of-%05d.safetensors", ++i,
                     n);
        QN_TRY(write_shard(r, name, from, end));
        from = end;
    }
    if (n == 1)
        return QN_OK;
    json_t *index = json_pack("{s:{s:I}, s:O}", "metadata", "total_size",
                              (json_int_t)r->plan.report.output_bytes,
                              "weight_map", r->index);
    int rc = qn_outdir_json(&r->out, "model.safetensors.index.json", index,
                            r->err);
    json_decref(index);
    return rc;
}

/* ---- what lies around them ----------------------------------------------- */

/* Files of the source that the output has its own of, or none. */
static bool is_replaced(const char *name)
{
    static const char *const ends[] = {
        ".safetensors", ".safetensors.index.json",
        ".bin",         ".bin.index.json",
        ".pt",          ".pth",
        ".gguf",        ".h5",
        ".msgpack",     ".onnx",
        ".ckpt",        ".partial",
    };
    for (size_t i = 0; i < QN_COUNTOF(ends); i++) {
        if (qn_ends(name, ends[i]))
            return true;
    }
    return strcmp(name, "config.json") == 0 ||
           strcmp(name, "quantize_config.json") == 0 ||
           strcmp(name, "metadata.json") == 0;
}

static char *source_dir(const qn_ckpt *ck)
{
    const char *path = qn_ckpt_file_path(ck, 0);
    const char *slash = strrchr(path, '/');
    if (!slash)
        return qn_xstrdup(".");
    return qn_xstrndup(path, slash == path ? 1 : (size_t)(slash - path));
}

/* The source's config.json, word for word, with one member more. */
static int write_config(run_ctx *r)
{
    char *text, *q, *head;
    size_t n;
    int rc = qn_ckpt_side_file(r->ck, "config.json", &text, &n, r->err);
    if (rc < 0)
        return rc;
    while (n > 0 && text[n - 1] != '}')
        n--;
    n -= n > 0;
    while (n > 0 && strchr(" \t\r\n", text[n - 1]))
        n--;
    head = r->plan.head ? qn_xstrndup(r->plan.head, qn_module_len(r->plan.head))
                        : qn_xstrdup("lm_head");
    json_t *config = qn_method_config(r->p, &r->like, r->p->head ? NULL : head,
                                      r->plan.left, r->plan.table);
    q = json_dumps(config, JSON_INDENT(2));
    if (q) {
        qn_str s;
        qn_str_init(&s);
        qn_str_add(&s, text, n);
        qn_str_addf(&s, "%s\n  \"quantization_config\": ",
                    text[n - 1] == '{' ? "" : ",");
        for (const char *c = q; *c; c++) {
            qn_str_addc(&s, *c);
            if (*c == '\n')
                qn_str_adds(&s, "  ");
        }
        qn_str_adds(&s, "\n}\n");
        char *path = qn_outdir_file(&r->out, "config.json");
        rc = qn_file_write(path, s.p, s.n, r->err);
        qn_free(path);
        qn_str_deinit(&s);
    } else {
        rc = qn_fail(r->err, QN_EINTERNAL, "config.json cannot be written");
    }
    free(q);
    json_decref(config);
    qn_free(head);
    qn_free(text);
    return rc;
}

static int write_rest(run_ctx *r, uint64_t t0)
{
    QN_TRY(write_config(r));
    char *dir = source_dir(r->ck);
    int rc = qn_outdir_copy(&r->out, dir, is_replaced, r->err);
    qn_free(dir);
    QN_TRY(rc);
    r->plan.report.seconds = qn_ms_since(t0) * 1e-3;
    json_t *options = json_pack("{s:i, s:s, s:I, s:b, s:b}", "bits",
                                r->like.bits, "format", r->like.scheme->name,
                                "group_size", (json_int_t)r->like.group,
                                "double_quant", r->p->double_quant, "symmetric",
                                !r->like.zeros);
    if (r->plan.table)
        json_object_set(options, "allotment", r->plan.table);
    json_t *meta = qn_metadata(r->p, r->ck, options, &r->plan.report,
                               r->plan.left, r->pool);
    rc = qn_outdir_json(&r->out, "metadata.json", meta, r->err);
    json_decref(meta);
    return rc;
}

static int to_gguf(run_ctx *r, uint64_t t0)
{
    qn_gguf_job job = {.p = r->p,
                       .ck = r->ck,
                       .net = r->net,
                       .pool = r->pool,
                       .out = &r->out,
                       .report = &r->plan.report,
                       .t0 = t0};
    QN_TRY(qn_optimize_gguf(&job, r->err));
    return qn_outdir_close(&r->out, r->err);
}

static int run(run_ctx *r)
{
    uint64_t t0 = qn_now_ns();
    QN_TRY(qn_method_pick(r->p, &r->like, r->err));
    QN_TRY(open_source(r));
    QN_TRY(qn_pool_new(&r->pool, r->p->n_threads, r->err));
    QN_TRY(qn_outdir_open(&r->out, r->p->output_dir, r->err));
    if (qn_method_is_gguf(r->p))
        return to_gguf(r, t0);
    if (qn_method_is_auto(r->p))
        QN_TRY(qn_auto_allot(r->p, r->ck, &r->like, &r->plan, still_wanted, r,
                             r->err));
    if (qn_method_reads_text(r->p))
        QN_TRY(qn_stages_open(&r->stages, r->p, r->ck, &r->plan, r->err));
    r->index = json_object();
    QN_TRY(write_tensors(r));
    QN_TRY(write_rest(r, t0));
    QN_TRY(qn_outdir_close(&r->out, r->err));
    r->plan.report.seconds = qn_ms_since(t0) * 1e-3;
    return QN_OK;
}

int qn_optimize_run(const qn_optimize_params *p, qn_optimize_report *report,
                    qn_err *err)
{
    run_ctx r = {.p = p, .err = err, .out.lock = -1};
    int rc = run(&r);
    if (report) {
        *report = r.plan.report;
        report->table = json_incref(r.plan.table);
    }
    qn_outdir_discard(&r.out);
    qn_plan_deinit(&r.plan);
    qn_stages_close(r.stages);
    json_decref(r.index);
    if (r.pool)
        qn_pool_free(r.pool);
    qn_net_close(r.net);
    if (r.be)
        qn_backend_close(r.be);
    qn_ckpt_close(r.ck);
    return rc;
}
