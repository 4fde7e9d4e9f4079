/* optimize.c - a run, from its source to the directory in its place.
 *
 *   open source -> bind its network (which tensors are linear layers)
 *   -> NAME.partial, empty or as an earlier run left it
 *   -> the tensors and the files around them (to_hf.c, to_gguf.c)
 *   -> the loss, measured (loss.c) -> metadata.json -> NAME */
#include "quantize/optimize.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "engine/builtin.h"
#include "quantize/from_gguf.h"
#include "quantize/hash.h"
#include "quantize/loss.h"
#include "quantize/run.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PARTS 1000000    /* that progress is told in */
#define REPORT_WORK 64e9 /* weights times tokens */
enum {
    REPORT_LEAST = 32, /* tokens */
    REPORT_MOST = 256
};

/* ---- progress ------------------------------------------------------------ */

static bool tell(void *user, double part)
{
    qn_run *r = user;
    r->shown = QN_MAX(r->shown, QN_MIN(part, 1.0));
    return !r->p->progress ||
           r->p->progress(r->p->progress_user, (uint64_t)(r->shown * PARTS),
                          PARTS);
}

/* ---- the source ---------------------------------------------------------- */

static int open_net(qn_run *r, const qn_ckpt *ck)
{
    qn_backend_params bp = {.n_threads = 1, .isa = QN_ISA_N - 1};
    qn_net_params np = {.no_weights = true};
    if (!r->be)
        QN_TRY(qn_backend_open(&r->be, "cpu", &bp, r->err));
    return qn_net_open(&r->net, ck, r->be, &np, r->err);
}

static int open_source(qn_run *r)
{
    const qn_optimize_params *p = r->p;
    char *own = NULL;
    if (strcmp(p->model, "builtin") == 0)
        QN_TRY(qn_builtin_path(&own, r->err));
    int rc = qn_ckpt_open(&r->ck, own ? own : p->model, r->err);
    qn_free(own);
    QN_TRY(rc);
    if (qn_ckpt_n_parts(r->ck))
        return qn_fail(r->err, QN_EUNSUP,
                       "%s is quantized already; take the unquantized "
                       "checkpoint",
                       p->model);
    return open_net(r, r->ck);
}

/* What its weights take there: 16 bits each, of norms more. */
static uint64_t unpacked_bytes(const qn_ckpt *ck)
{
    uint64_t n = 0;
    for (size_t i = 0; i < qn_ckpt_n_tensors(ck); i++)
        n += 2 * qn_ckpt_tensor(ck, i)->n_elems;
    return n;
}

/* The folder that a GGUF source would be takes its place. */
static int unpack_source(qn_run *r)
{
    if (qn_ckpt_container(r->ck) == QN_CKPT_HF || qn_method_is_gguf(r->p))
        return QN_OK;
    qn_ckpt *hf = NULL;
    char *dir = qn_outdir_file(&r->out, ".source");
    char *done = qn_path_join(dir, "tokenizer_config.json");
    bool there = r->resume.state && qn_path_is_file(done);
    int rc = there ? QN_OK
                   : qn_outdir_room(&r->out, unpacked_bytes(r->ck), r->err);
    if (rc == QN_OK && !there)
        rc = qn_from_gguf(r->ck, r->net, dir, r->err);
    if (rc == QN_OK)
        rc = qn_ckpt_open(&hf, dir, r->err);
    qn_free(done);
    qn_free(dir);
    QN_TRY(rc);
    qn_net_close(r->net);
    r->net = NULL;
    qn_ckpt_close(r->ck);
    r->ck = hf;
    return open_net(r, hf);
}

/* What is read or written hours later: there, and nothing of the source. */
static int check_files(const qn_run *r)
{
    const char *text = r->p->report_text, *out = r->p->imatrix_out;
    const char *slash = out ? strrchr(out, '/') : NULL;
    struct stat a, b;
    if (text && !qn_path_is_file(text))
        return qn_fail(r->err, QN_ENOENT, "%s: there is no such text", text);
    if (slash && slash > out) {
        char *dir = qn_xstrndup(out, (size_t)(slash - out));
        bool there = qn_path_is_dir(dir);
        qn_free(dir);
        if (!there)
            return qn_fail(r->err, QN_ENOENT,
                           "%s: there is no such folder to write it into", out);
    }
    bool is = out && stat(out, &a) == 0;
    for (int i = 0; is && i < qn_ckpt_n_files(r->ck); i++)
        if (stat(qn_ckpt_file_path(r->ck, i), &b) == 0 &&
            a.st_dev == b.st_dev && a.st_ino == b.st_ino)
            return qn_fail(r->err, QN_EINVAL,
                           "%s is the source; name another file for the "
                           "importance matrix",
                           out);
    return QN_OK;
}

static int open_all(qn_run *r)
{
    QN_TRY(qn_method_pick(r->p, &r->like, r->err));
    QN_TRY(open_source(r));
    QN_TRY(check_files(r));
    QN_TRY(qn_pool_new(&r->pool, r->p->n_threads, r->err));
    QN_TRY(qn_outdir_open(&r->out, r->p->output_dir, r->err));
    r->files = qn_source_files(r->ck, r->pool);
    QN_TRY(qn_resume_open(&r->resume, &r->out, r->p, r->ck, r->files, r->err));
    return unpack_source(r);
}

/* ---- the end ------------------------------------------------------------- */

/* What the part of the work is that measures; a method without a text takes
 * hardly longer. */
static double loss_part(const qn_run *r)
{
    if (r->p->report_tokens == 0)
        return 0;
    return qn_method_reads_text(r->p) ? 0.03 : 0.4;
}

/* How much text is read where nobody said it: what takes about as long as a
 * method takes that reads none, by the size of the model. */
static int report_tokens(const qn_run *r)
{
    int said = r->p->report_tokens;
    double fit = REPORT_WORK / (double)QN_MAX(r->report.n_params, 1);
    if (said >= 0)
        return said;
    if (qn_method_reads_text(r->p) || fit >= REPORT_MOST)
        return REPORT_MOST;
    return QN_MAX((int)fit / REPORT_LEAST, 1) * REPORT_LEAST;
}

static int write_metadata(qn_run *r)
{
    json_t *meta = qn_metadata(r->p, r->ck, r->options, &r->report, r->left,
                               r->files);
    r->options = NULL;
    int rc = qn_outdir_json(&r->out, "metadata.json", meta, r->err);
    json_decref(meta);
    return rc;
}

static int run(qn_run *r)
{
    uint64_t t0 = qn_now_ns();
    qn_watch all = {tell, r, 0, 1};
    double part = 1 - loss_part(r);
    QN_TRY(open_all(r));
    r->watch = qn_watch_part(&all, 0, part);
    QN_TRY(qn_method_is_gguf(r->p) ? qn_run_gguf(r) : qn_run_hf(r));
    r->report.seconds = qn_ms_since(t0) * 1e-3;
    r->report.notes = r->notes;
    all = qn_watch_part(&all, part, 1);
    qn_optimize_params p = *r->p;
    p.report_tokens = report_tokens(r);
    if (p.report_tokens > 0)
        QN_TRY(qn_loss_measure(&r->report.loss, &p, r->ck, r->out.partial, &all,
                               r->err));
    r->report.largest_layer = qn_net_largest_layer(r->net) * sizeof(float);
    r->report.peak_memory = qn_mem_peak_rss();
    r->report.text_memory = qn_big_text_peak();
    QN_TRY(write_metadata(r));
    return qn_outdir_close(&r->out, r->err);
}

int qn_optimize_check(const qn_optimize_params *p, qn_err *err)
{
    qn_optimize_params own = *p;
    qn_qmat like;
    QN_TRY(qn_method_resolve(&own, err));
    return qn_method_pick(&own, &like, err);
}

int qn_optimize_run(const qn_optimize_params *p, qn_optimize_report *report,
                    qn_err *err)
{
    qn_optimize_params own = *p;
    qn_run r = {.p = &own, .err = err, .out.lock = -1, .notes = json_array()};
    int rc = qn_method_resolve(&own, err);
    if (rc == QN_OK)
        rc = run(&r);
    if (report) {
        *report = r.report;
        report->table = json_incref(r.table);
        report->loss = json_incref(r.report.loss);
        report->notes = json_array_size(r.notes) ? json_incref(r.notes) : NULL;
    }
    bool kept = rc == QN_ECANCEL && r.resume.saved;
    if (report && kept)
        report->kept = qn_xstrdup(r.out.partial);
    if (kept || r.resume.other)
        qn_outdir_leave(&r.out);
    qn_outdir_discard(&r.out);
    qn_resume_deinit(&r.resume);
    json_decref(r.files);
    json_decref(r.options);
    json_decref(r.left);
    json_decref(r.notes);
    json_decref(r.table);
    json_decref(r.report.loss);
    if (r.pool)
        qn_pool_free(r.pool);
    qn_net_close(r.net);
    if (r.be)
        qn_backend_close(r.be);
    qn_ckpt_close(r.ck);
    return rc;
}
