/* metadata.c - metadata.json: from what, and how, a directory was made. */
#include "base/file.h"
#include "base/mem.h"
#include "quantize/optimize_int.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define HASH_PIECE ((size_t)1 << 20)

typedef struct hash_job {
    const qn_ckpt *ck;
    qn_pool *pool;
    uint64_t *hash; /* [n_files] */
} hash_job;

static void hash_thread(void *arg, int thread, int n_threads)
{
    (void)thread;
    (void)n_threads;
    hash_job *j = arg;
    void *buf = qn_xmalloc(HASH_PIECE);
    for (int64_t i; (i = qn_pool_next(j->pool)) < qn_ckpt_n_files(j->ck);) {
        qn_file f;
        qn_xxh64 h;
        int rc = QN_OK;
        if (qn_file_open(&f, qn_ckpt_file_path(j->ck, (int)i), NULL) < 0)
            continue;
        qn_xxh64_init(&h);
        for (uint64_t at = 0; at < f.size && rc == QN_OK; at += HASH_PIECE) {
            size_t n = (size_t)QN_MIN(f.size - at, HASH_PIECE);
            rc = qn_file_pread(&f, buf, at, n, NULL);
            qn_xxh64_add(&h, buf, n);
        }
        j->hash[i] = rc == QN_OK ? qn_xxh64_end(&h) : 0;
        qn_file_close(&f);
    }
    qn_free(buf);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static json_t *hex(uint64_t v)
{
    char text[20];
    snprintf(text, sizeof text, "%016llx", (unsigned long long)v);
    return v ? json_string(text) : json_null();
}

static json_t *source_files(const qn_ckpt *ck, qn_pool *pool)
{
    int n = qn_ckpt_n_files(ck);
    hash_job j = {.ck = ck, .pool = pool};
    json_t *a = json_array();
    j.hash = qn_xcalloc((size_t)n, sizeof *j.hash);
    qn_pool_run(pool, hash_thread, &j);
    for (int i = 0; i < n; i++)
        json_array_append_new(a, json_pack("{s:s, s:I, s:o}", "name",
                                           base_name(qn_ckpt_file_path(ck, i)),
                                           "bytes",
                                           (json_int_t)qn_ckpt_file_size(ck, i),
                                           "xxh64", hex(j.hash[i])));
    qn_free(j.hash);
    return a;
}

static json_t *now_text(void)
{
    char text[32];
    time_t t = time(NULL);
    struct tm tm;
    gmtime_r(&t, &tm);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    return json_string(text);
}

static json_t *texts(const char *const *v, size_t n)
{
    json_t *a = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(a, json_string(v[i]));
    return a;
}

/* What every method has. */
static void add_options(const qn_optimize_params *p, json_t *o)
{
    json_object_set_new(o, "quantize_head", json_boolean(p->head));
    json_object_set_new(o, "skip", texts(p->skip, p->n_skip));
    json_object_set_new(o, "only", texts(p->only, p->n_only));
}

json_t *qn_metadata(const qn_optimize_params *p, const qn_ckpt *ck,
                    json_t *options, const qn_optimize_report *r,
                    const json_t *left, qn_pool *pool)
{
    const json_t *type = json_object_get(qn_ckpt_config(ck), "model_type");
    json_t *result = json_pack("{s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:f}",
                               "parameters", (json_int_t)r->n_params,
                               "quantized_parameters",
                               (json_int_t)r->n_quantized, "quantized_matrices",
                               (json_int_t)r->n_matrices, "source_bytes",
                               (json_int_t)r->source_bytes, "output_bytes",
                               (json_int_t)r->output_bytes, "bits_per_weight",
                               r->bits_per_weight, "bits_per_quantized_weight",
                               r->bits_quantized, "seconds", r->seconds);
    add_options(p, options);
    return json_pack("{s:s, s:o, s:{s:s, s:O?, s:o}, s:s, s:o, s:o, s:O?}",
                     "created_by", "quern " QUERN_VERSION, "created_at",
                     now_text(), "source", "model", p->model, "model_type",
                     type, "files", source_files(ck, pool), "method", p->method,
                     "options", options, "result", result, "modules_left",
                     left);
}
