/* optimize_int.h - what the files of src/quantize share. */
#ifndef QN_QUANTIZE_OPTIMIZE_INT_H
#define QN_QUANTIZE_OPTIMIZE_INT_H

#include "base/pool.h"
#include "base/vec.h"
#include "ckpt/ckpt.h"
#include "model/model.h"
#include "quantize/optimize.h"
#include "quantize/outdir.h"
#include "tensor/qmat.h"

/* ---- method.c ---------------------------------------------------------- */

bool qn_method_is_gguf(const qn_optimize_params *p);
/* What the parameters mean: a matrix without its size. QN_EUNSUP with what is
 * possible instead. Of gguf nothing is filled in, only checked. */
int qn_method_pick(const qn_optimize_params *p, qn_qmat *like, qn_err *err);
/* The quantization_config that transformers reads; `left`: modules that were
 * left alone although the method would take them (an array of names). */
json_t *qn_method_config(const qn_optimize_params *p, const qn_qmat *like,
                         const char *head, const json_t *left);

/* ---- rules.c ----------------------------------------------------------- */

/* What becomes of one tensor of the source. */
typedef struct qn_opt_item {
    const qn_tensor *t;
    bool quantize, transposed;
    const float *u; /* gptq: see gptq.h; NULL: to nearest */
    qn_qmat mat;    /* laid out, if it is quantized */
} qn_opt_item;

typedef struct qn_opt_plan {
    QN_VEC(qn_opt_item) items; /* in the order of the source */
    json_t *left;              /* linear modules that stay   */
    const char *head;          /* module of the output head  */
    qn_optimize_report report; /* the counts */
} qn_opt_plan;

int qn_plan_make(qn_opt_plan *plan, const qn_optimize_params *p,
                 const qn_qmat *like, const qn_ckpt *ck, const qn_net *net,
                 qn_err *err);
void qn_plan_deinit(qn_opt_plan *plan);
/* "a.b" of "a.b.weight"; the length. */
size_t qn_module_len(const char *tensor);
/* Whether one of the patterns names the tensor's module (NULL: no). */
bool qn_rule_names(const char *tensor, const char *const *patterns, size_t n);

/* ---- matrix.c ---------------------------------------------------------- */

/* Quantizes one tensor on all threads; the parts (part[].out) are then to be
 * written, and freed by qn_matrix_free. */
int qn_matrix_run(qn_opt_item *item, const qn_ckpt *ck, qn_pool *pool,
                  qn_err *err);
void qn_matrix_free(qn_opt_item *item);

/* ---- calibrate.c ------------------------------------------------------- */

typedef struct qn_calibration qn_calibration;

/* Runs the text through the network and gives every item of the plan that it
 * reaches its u. Holds the network and one matrix [n_in, n_in] for each input
 * of linear layers. */
int qn_calibrate(qn_calibration **out, const qn_optimize_params *p,
                 const qn_ckpt *ck, qn_opt_plan *plan, qn_pool *pool,
                 qn_err *err);
void qn_calibration_free(qn_calibration *c);

/* ---- to_gguf.c --------------------------------------------------------- */

typedef struct qn_gguf_job {
    const qn_optimize_params *p;
    const qn_ckpt *ck;
    const qn_net *net;
    qn_pool *pool;
    const qn_outdir *out;
    qn_optimize_report *report;
    uint64_t t0; /* when the run began */
} qn_gguf_job;

/* Method gguf: model.gguf and metadata.json into an open directory. */
int qn_optimize_gguf(const qn_gguf_job *job, qn_err *err);

/* ---- metadata.c -------------------------------------------------------- */

/* metadata.json of a run; `options` (taken) are the method's own, `left` the
 * modules that stayed as they were (or NULL). */
json_t *qn_metadata(const qn_optimize_params *p, const qn_ckpt *ck,
                    json_t *options, const qn_optimize_report *report,
                    const json_t *left, qn_pool *pool);

/* XXH64 (Y. Collet; seed 0), which the xxhsum tool computes too: init, add any
 * pieces, end. */
typedef struct qn_xxh64 {
    uint64_t acc[4], n;
    uint8_t tail[32];
} qn_xxh64;
void qn_xxh64_init(qn_xxh64 *h);
void qn_xxh64_add(qn_xxh64 *h, const void *p, size_t n);
uint64_t qn_xxh64_end(const qn_xxh64 *h);

#endif
