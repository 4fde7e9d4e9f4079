/* to_hf.c - a Hugging Face directory: tensors, shards, the files around them.
 *
 * Between any two tensors (of a method with stages: between any two stages) the
 * run can be stopped and gone on with; see save_point. */
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "ckpt/safetensors_write.h"
#include "quantize/auto.h"
#include "quantize/sensitivity.h"
#include "quantize/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COPY_PIECE ((size_t)4 << 20)
#define SHARD_BYTES 5000000000u
#define STREAM_NAME ".stream-%d"
#define COPY_COST 0.05 /* of a byte that a calibrated method only copies */

typedef struct hf_ctx {
    qn_run *r;
    qn_opt_plan plan;
    qn_stages *stages;
    json_t *index;    /* weight_map */
    size_t begun;     /* items that an earlier run wrote */
    double done, all; /* cost of items */
    qn_watch watch;
    qn_err *err;
} hf_ctx;

/* ---- shards -------------------------------------------------------------- */

static uint64_t item_bytes(const qn_opt_item *item)
{
    return item->quantize ? qn_qmat_bytes(&item->mat) : item->t->n_bytes;
}

/* Items [from, result) go into one file. */
static size_t shard_end(const hf_ctx *h, size_t from)
{
    uint64_t max = h->r->p->max_shard ? h->r->p->max_shard : SHARD_BYTES;
    uint64_t sum = 0;
    size_t i = from;
    for (; i < h->plan.items.n; i++) {
        uint64_t n = item_bytes(&h->plan.items.v[i]);
        if (i > from && sum + n > max)
            break;
        sum += n;
    }
    return i;
}

static int n_shards(const hf_ctx *h)
{
    int n = 0;
    for (size_t i = 0; i < h->plan.items.n; i = shard_end(h, i))
        n++;
    return n;
}

/* Name of part k of a matrix. */
static char *part_name(const qn_opt_item *item, int k)
{
    qn_str s;
    qn_str_init(&s);
    qn_str_add(&s, item->name, qn_module_len(item->name));
    qn_str_adds(&s, item->mat.part[k].name);
    return qn_str_take(&s, NULL);
}

/* Into the index, and into the file's header (w NULL: it is complete). */
static int declare(hf_ctx *h, qn_st_writer *w, const qn_opt_item *item,
                   const char *file)
{
    const qn_tensor *t = item->t;
    if (!item->quantize) {
        json_object_set_new(h->index, item->name, json_string(file));
        return w ? qn_st_writer_declare(w, item->name, t->dtype, t->n_dims,
                                        t->shape, h->err)
                 : QN_OK;
    }
    for (int k = 0; k < QN_QPARTS; k++) {
        const qn_qpart *p = &item->mat.part[k];
        if (!p->name)
            continue;
        char *name = part_name(item, k);
        json_object_set_new(h->index, name, json_string(file));
        int rc = w ? qn_st_writer_declare(w, name, p->dtype, p->n_dims,
                                          p->shape, h->err)
                   : QN_OK;
        qn_free(name);
        QN_TRY(rc);
    }
    return QN_OK;
}

/* ---- progress ------------------------------------------------------------ */

static double item_cost(const hf_ctx *h, const qn_opt_item *item)
{
    bool copied = h->stages && item->stage < 0;
    return (double)item->t->n_bytes * (copied ? COPY_COST : 1);
}

/* `cost` more is done. */
static int progress(hf_ctx *h, double cost)
{
    h->done += cost;
    return qn_watch_told(&h->watch, h->done / h->all, "quantizing", h->err);
}

/* The part of the work that the items of a stage are. */
static qn_watch stage_window(const hf_ctx *h, int stage)
{
    double n = 0;
    for (size_t i = 0; i < h->plan.items.n; i++)
        if (h->plan.items.v[i].stage == stage)
            n += item_cost(h, &h->plan.items.v[i]);
    return qn_watch_part(&h->watch, h->done / h->all, (h->done + n) / h->all);
}

/* ---- one item ------------------------------------------------------------ */

/* A vector whose elements were divided, or a matrix whose rows were. */
static int write_multiplied(hf_ctx *h, qn_st_writer *w, const qn_opt_item *item)
{
    const qn_tensor *t = item->t;
    size_t n = (size_t)t->n_elems, row = n / (size_t)t->shape[0];
    void *raw = qn_alloc((size_t)t->n_bytes, 1);
    float *v = qn_alloc(n, sizeof *v), one = item->plus_one ? 1 : 0;
    int rc = raw && v
                 ? qn_ckpt_read(h->r->ck, t, 0, raw, (size_t)t->n_bytes, h->err)
                 : qn_fail(h->err, QN_ENOMEM, "tensor %s: no memory", t->name);
    if (rc == QN_OK)
        rc = qn_dtype_decode(t->dtype, raw, v, n, h->err);
    for (size_t i = 0; i < n && rc == QN_OK; i++)
        v[i] = (v[i] + one) * item->row_mul[i / row] - one;
    if (rc == QN_OK)
        rc = qn_dtype_encode(t->dtype, v, raw, n, h->err);
    if (rc == QN_OK)
        rc = qn_st_writer_data(w, raw, (size_t)t->n_bytes, h->err);
    qn_free(raw);
    qn_free(v);
    return rc == QN_OK ? progress(h, item_cost(h, item)) : rc;
}

static int copy_item(hf_ctx *h, qn_st_writer *w, const qn_opt_item *item)
{
    const qn_tensor *t = item->t;
    void *buf = qn_xmalloc(COPY_PIECE);
    int rc = QN_OK;
    for (uint64_t at = 0; at < t->n_bytes && rc == QN_OK; at += COPY_PIECE) {
        size_t n = (size_t)QN_MIN(t->n_bytes - at, COPY_PIECE);
        rc = qn_ckpt_read(h->r->ck, t, at, buf, n, h->err);
        if (rc == QN_OK)
            rc = qn_st_writer_data(w, buf, n, h->err);
        if (rc == QN_OK)
            rc = progress(h,
                          item_cost(h, item) * (double)n / (double)t->n_bytes);
    }
    qn_free(buf);
    return rc;
}

static int quantize_item(hf_ctx *h, qn_st_writer *w, qn_opt_item *item)
{
    int rc = item->ready ? QN_OK
                         : qn_matrix_run(item, h->r->ck, h->r->pool, h->err);
    for (int k = 0; k < QN_QPARTS && rc == QN_OK; k++) {
        const qn_qpart *p = &item->mat.part[k];
        if (p->name)
            rc = qn_st_writer_data(w, p->out, (size_t)p->n_bytes, h->err);
    }
    qn_matrix_free(item);
    return rc == QN_OK ? progress(h, item_cost(h, item)) : rc;
}

static int write_item(hf_ctx *h, qn_st_writer *w, qn_opt_item *item)
{
    if (h->stages && item->stage >= qn_stages_next(h->stages)) {
        qn_watch in = stage_window(h, item->stage);
        QN_TRY(qn_stages_reach(h->stages, item->stage, &in, h->err));
    }
    return item->quantize  ? quantize_item(h, w, item)
           : item->row_mul ? write_multiplied(h, w, item)
                           : copy_item(h, w, item);
}

/* ---- to be gone on with -------------------------------------------------- */

/* Whether nothing of what is made waits to be written before item i. */
static bool between_stages(const hf_ctx *h, size_t i)
{
    if (!h->stages || i == h->plan.items.n)
        return true;
    int stage = h->plan.items.v[i].stage;
    return stage < 0 || stage >= qn_stages_next(h->stages);
}

static char *stream_path(const hf_ctx *h, int stage)
{
    char name[40];
    snprintf(name, sizeof name, STREAM_NAME, stage);
    return qn_outdir_file(&h->r->out, name);
}

/* What the next stage needs, named in the state. */
static int save_stream(const hf_ctx *h, json_t *state)
{
    int next = qn_stages_next(h->stages);
    uint64_t hash = 0;
    int rc = QN_OK;
    json_object_set_new(state, "stage", json_integer(next));
    if (next > 0) {
        char *path = stream_path(h, next);
        rc = qn_stages_save(h->stages, path, &hash, h->err);
        qn_free(path);
    }
    json_object_set_new(state, "stream", json_integer((json_int_t)hash));
    return rc;
}

static void drop_stream(const hf_ctx *h, int64_t stage)
{
    char name[40];
    snprintf(name, sizeof name, STREAM_NAME, (int)stage);
    if (stage > 0)
        qn_outdir_remove(&h->r->out, name);
}

/* Items [0, n) are in the files (w: the last one, or NULL). The order counts:
 * data, the stream of the next stage under a name of its own, the state that
 * names both; only then is the stream of before of no use. */
static int save_point(hf_ctx *h, qn_st_writer *w, size_t n)
{
    qn_resume *s = &h->r->resume;
    int64_t old = qn_resume_int(s, "stage");
    if (w)
        QN_TRY(qn_st_writer_sync(w, h->err));
    json_t *state = json_pack("{s:I, s:O?}", "items", (json_int_t)n, "table",
                              h->plan.table);
    int rc = h->stages ? save_stream(h, state) : QN_OK;
    if (rc < 0) {
        json_decref(state);
        return rc;
    }
    QN_TRY(qn_resume_save(s, state, h->err));
    if (old != qn_resume_int(s, "stage"))
        drop_stream(h, old);
    return QN_OK;
}

/* ---- files --------------------------------------------------------------- */

/* Behind the items that an earlier run wrote into this file. */
static int skip_written(hf_ctx *h, qn_st_writer *w, size_t from, size_t end)
{
    uint64_t n = 0;
    size_t to = QN_MIN(QN_MAX(h->begun, from), end);
    for (size_t i = from; i < to; i++) {
        n += item_bytes(&h->plan.items.v[i]);
        h->done += item_cost(h, &h->plan.items.v[i]);
    }
    return to > from && w ? qn_st_writer_resume(w, n, h->err) : QN_OK;
}

static int write_items(hf_ctx *h, qn_st_writer *w, size_t from, size_t end)
{
    for (size_t i = QN_MAX(from, h->begun); i < end; i++) {
        QN_TRY(write_item(h, w, &h->plan.items.v[i]));
        if (between_stages(h, i + 1) && qn_resume_due(&h->r->resume))
            QN_TRY(save_point(h, w, i + 1));
    }
    return QN_OK;
}

static int write_shard(hf_ctx *h, const char *file, size_t from, size_t end)
{
    char *path = qn_outdir_file(&h->r->out, file);
    bool there = end <= h->begun && qn_path_is_file(path);
    qn_st_writer *w = NULL;
    int rc = there ? QN_OK : qn_st_writer_keep(&w, path, h->err);
    for (size_t i = from; i < end && rc == QN_OK; i++)
        rc = declare(h, w, &h->plan.items.v[i], file);
    if (rc == QN_OK)
        rc = skip_written(h, w, from, end);
    if (rc == QN_OK && w)
        rc = write_items(h, w, from, end);
    if (rc == QN_OK && w)
        rc = qn_st_writer_finish(w, h->err);
    qn_st_writer_free(w);
    qn_free(path);
    return rc;
}

static int write_tensors(hf_ctx *h)
{
    int n = n_shards(h), i = 0;
    for (size_t from = 0; from < h->plan.items.n;) {
        char name[64] = "model.safetensors";
        size_t end = shard_end(h, from);
        if (n > 1)
            snprintf(name, sizeof name, "model-%05d-of-%05d.safetensors", ++i,
                     n);
        QN_TRY(write_shard(h, name, from, end));
        from = end;
    }
    if (n == 1)
        return QN_OK;
    json_t *index = json_pack("{s:{s:I}, s:O}", "metadata", "total_size",
                              (json_int_t)h->plan.report.output_bytes,
                              "weight_map", h->index);
    int rc = qn_outdir_json(&h->r->out, "model.safetensors.index.json", index,
                            h->err);
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

/* The quantization_config, as text. */
static char *config_text(const hf_ctx *h)
{
    const char *of = h->plan.head;
    char *head = of ? qn_xstrndup(of, qn_module_len(of))
                    : qn_xstrdup("lm_head");
    json_t *config = qn_method_config(h->r->p, &h->r->like,
                                      h->r->p->head ? NULL : head, h->plan.left,
                                      h->plan.table);
    char *text = json_dumps(config, JSON_INDENT(2));
    json_decref(config);
    qn_free(head);
    return text;
}

/* A JSON object with one member more, word for word, behind the others. */
static void add_member(qn_str *s, const char *object, size_t n, const char *q)
{
    while (n > 0 && object[n - 1] != '}')
        n--;
    n -= n > 0;
    while (n > 0 && strchr(" \t\r\n", object[n - 1]))
        n--;
    qn_str_add(s, object, n);
    qn_str_addf(s, "%s\n  \"quantization_config\": ",
                n > 0 && object[n - 1] == '{' ? "" : ",");
    for (; *q; q++) {
        qn_str_addc(s, *q);
        if (*q == '\n')
            qn_str_adds(s, "  ");
    }
    qn_str_adds(s, "\n}\n");
}

/* Whether the head is a tensor of its own that was the embeddings. */
static bool is_untied(const hf_ctx *h)
{
    bool found = false;
    for (size_t i = 0; i < h->plan.items.n; i++) {
        const qn_opt_item *it = &h->plan.items.v[i];
        found |= it->quantize && qn_plan_unties(&h->plan, it);
    }
    return found;
}

/* Says so, and in objects within that say otherwise. */
static void untie(json_t *config)
{
    static const char tie[] = "tie_word_embeddings";
    const char *key;
    json_t *in;
    json_object_foreach(config, key, in)
    {
        if (json_object_get(in, tie))
            json_object_set_new(in, tie, json_false());
    }
    json_object_set_new(config, tie, json_false());
}

/* The source's config.json; one that has such a member (null, for it is not
 * quantized) loses it before. */
static int source_config(const hf_ctx *h, char **text, size_t *n)
{
    json_t *o = NULL;
    QN_TRY(qn_ckpt_side_file(h->r->ck, "config.json", text, n, h->err));
    int rc = qn_json_parse(&o, *text, *n, "config.json", h->err);
    bool apart = is_untied(h);
    if (rc == QN_OK && (apart || json_object_get(o, "quantization_config"))) {
        json_object_del(o, "quantization_config");
        if (apart)
            untie(o);
        free(*text);
        *text = json_dumps(o, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
        *n = strlen(*text);
    }
    json_decref(o);
    return rc;
}

static int write_config(const hf_ctx *h)
{
    char *text = NULL, *q = config_text(h);
    size_t n;
    qn_str s;
    qn_str_init(&s);
    int rc = q ? source_config(h, &text, &n)
               : qn_fail(h->err, QN_EINTERNAL, "config.json cannot be written");
    if (rc == QN_OK) {
        char *path = qn_outdir_file(&h->r->out, "config.json");
        add_member(&s, text, n, q);
        rc = qn_file_write(path, s.p, s.n, h->err);
        qn_free(path);
    }
    qn_str_deinit(&s);
    free(q);
    free(text);
    return rc;
}

static int write_rest(hf_ctx *h)
{
    qn_run *r = h->r;
    QN_TRY(write_config(h));
    char *dir = source_dir(r->ck);
    int rc = qn_outdir_copy(&r->out, dir, is_replaced, h->err);
    qn_free(dir);
    QN_TRY(rc);
    r->options = json_pack("{s:i, s:s, s:I, s:b, s:b, s:O*}", "bits",
                           r->like.bits, "format", r->like.scheme->name,
                           "group_size", (json_int_t)r->like.group,
                           "double_quant", r->p->double_quant, "symmetric",
                           !r->like.zeros, "allotment", h->plan.table);
    r->left = json_incref(h->plan.left);
    return QN_OK;
}

/* ---- all of it ----------------------------------------------------------- */

/* The part of the time that measuring takes. Of a large network by what was
 * measured; of a small one steps are forwards of as many tokens, of which GPTQ
 * needs about three. */
static double auto_part(const hf_ctx *h)
{
    const qn_optimize_params *p = h->r->p;
    const qn_optimize_report *r = &h->plan.report;
    double tokens = (double)r->n_matrices * QN_SENSITIVITY_TOKENS;
    double rest = 3.0 * (p->n_samples > 0 ? p->n_samples : 8) *
                  (p->n_context > 0 ? p->n_context : 512);
    return r->n_params >= QN_SENSITIVITY_LARGE ? 0.4 : tokens / (tokens + rest);
}

static int allot(hf_ctx *h)
{
    qn_run *r = h->r;
    double part = auto_part(h);
    qn_watch in = qn_watch_part(&h->watch, 0, part);
    const json_t *table = json_object_get(r->resume.state, "table");
    h->watch = qn_watch_part(&h->watch, part, 1);
    if (json_is_array(table))
        return qn_auto_apply(&r->like, &h->plan, table, h->err);
    QN_TRY(qn_auto_allot(r->p, r->ck, &r->like, &h->plan, &r->resume, &in,
                         h->err));
    if (qn_resume_due(&r->resume) || qn_sensitivity_saved(&r->resume))
        QN_TRY(save_point(h, NULL, 0));
    qn_sensitivity_clear(&r->out, qn_net_hparams(r->net)->n_layer);
    return QN_OK;
}

/* Goes on where an earlier run was. */
static int resume(hf_ctx *h)
{
    const qn_resume *s = &h->r->resume;
    int64_t items = qn_resume_int(s, "items");
    int64_t stage = qn_resume_int(s, "stage");
    h->begun = items > 0 ? (size_t)items : 0;
    if (h->begun > h->plan.items.n)
        return qn_fail(h->err, QN_EFORMAT,
                       "%s.partial is of another run; remove it",
                       h->r->out.path);
    if (!h->stages || stage <= 0)
        return QN_OK;
    char *path = stream_path(h, (int)stage);
    json_int_t hash = json_integer_value(json_object_get(s->state, "stream"));
    int rc = qn_stages_resume(h->stages, (int)stage, path, (uint64_t)hash,
                              h->err);
    qn_free(path);
    return rc;
}

static int run(hf_ctx *h)
{
    qn_run *r = h->r;
    h->plan.notes = r->notes;
    QN_TRY(qn_plan_make(&h->plan, r->p, &r->like, r->ck, r->net, h->err));
    if (qn_method_is_auto(r->p))
        QN_TRY(allot(h));
    if (qn_method_reads_text(r->p))
        QN_TRY(qn_stages_open(&h->stages, r->p, r->ck, &h->plan, h->err));
    QN_TRY(resume(h));
    for (size_t i = 0; i < h->plan.items.n; i++)
        h->all += item_cost(h, &h->plan.items.v[i]);
    h->index = json_object();
    r->report = h->plan.report;
    uint64_t written = 0;
    for (size_t i = 0; i < h->begun; i++) {
        r->report.resumed += item_cost(h, &h->plan.items.v[i]) / h->all;
        written += item_bytes(&h->plan.items.v[i]);
    }
    QN_TRY(qn_outdir_room(&r->out, r->report.output_bytes - written, h->err));
    if (h->stages)
        qn_stages_samples(h->stages, &r->report.n_samples,
                          &r->report.n_context);
    QN_TRY(write_tensors(h));
    r->table = json_incref(h->plan.table);
    return write_rest(h);
}

int qn_run_hf(qn_run *r)
{
    hf_ctx h = {.r = r, .watch = r->watch, .err = r->err};
    int rc = run(&h);
    qn_plan_deinit(&h.plan);
    qn_stages_close(h.stages);
    json_decref(h.index);
    return rc;
}
