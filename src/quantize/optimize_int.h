/* optimize_int.h - what the files of src/quantize share. */
#ifndef QN_QUANTIZE_OPTIMIZE_INT_H
#define QN_QUANTIZE_OPTIMIZE_INT_H

#include "base/compiler.h"
#include "base/pool.h"
#include "base/vec.h"
#include "ckpt/ckpt.h"
#include "model/model.h"
#include "quantize/optimize.h"
#include "quantize/outdir.h"
#include "quantize/watch.h"
#include "tensor/qmat.h"

/* ---- method.c ---------------------------------------------------------- */

bool qn_method_is_gguf(const qn_optimize_params *p);
bool qn_method_is_auto(const qn_optimize_params *p);
bool qn_method_reads_text(const qn_optimize_params *p);
/* What the parameters mean: a matrix without its size. QN_EUNSUP with what is
 * possible instead. Of gguf nothing is filled in, only checked. */
/* Where the method is a type of one, puts both into their places. QN_EINVAL:
 * another type was named besides. */
int qn_method_resolve(qn_optimize_params *p, qn_err *err);
int qn_method_pick(const qn_optimize_params *p, qn_qmat *like, qn_err *err);
/* The quantization_config that transformers reads; `left`: modules that were
 * left alone although the method would take them (an array of names);
 * `table`: bits of each module (qn_opt_plan), or NULL. */
json_t *qn_method_config(const qn_optimize_params *p, const qn_qmat *like,
                         const char *head, const json_t *left,
                         const json_t *table);

/* ---- rules.c ----------------------------------------------------------- */

/* What becomes of one tensor of the source. */
typedef struct qn_opt_item {
    const qn_tensor *t;
    const char *name; /* in the output: the tensor's, but of a head apart */
    bool quantize, transposed;
    bool apart; /* a head made from the embeddings, which stay */
    bool ready; /* the parts are in memory */
    int stage;  /* of the calibration that makes it; -1: none */
    /* AWQ: columns and rows are multiplied before anything else (a vector has
     * rows of one element). plus_one: of the value plus one. */
    float *col_mul, *row_mul; /* owned, or NULL */
    bool plus_one;
    qn_qmat mat; /* laid out, if it is quantized */
} qn_opt_item;

typedef struct qn_opt_plan {
    QN_VEC(qn_opt_item) items; /* in the order of the source */
    json_t *left;              /* linear modules that stay   */
    const char *head;          /* tensor of the output head  */
    char *apart;               /* its name, where it is made: the source has one
                                  table for it and the embeddings; or NULL */
    int64_t group;             /* chosen, see the report     */
    json_t *table;             /* bits of each, where they differ; or NULL */
    json_t *notes;             /* of the report, borrowed    */
    qn_optimize_report report; /* the counts; the table is above */
} qn_opt_plan;

/* *like gets another group size where the usual one does not fit. */
int qn_plan_make(qn_opt_plan *plan, const qn_optimize_params *p, qn_qmat *like,
                 const qn_ckpt *ck, const qn_net *net, qn_err *err);
void qn_plan_deinit(qn_opt_plan *plan);
/* Whether the item is the head that was the embeddings (plan->apart). */
bool qn_plan_unties(const qn_opt_plan *plan, const qn_opt_item *item);
/* Counts the plan's bytes and weights into its report. */
void qn_plan_count(qn_opt_plan *plan);
/* "a.b" of "a.b.weight"; the length. */
size_t qn_module_len(const char *tensor);
/* Whether one of the patterns names the tensor's module (NULL: no). */
bool qn_rule_names(const char *tensor, const char *const *patterns, size_t n);
/* A sentence more. */
void qn_note_add(json_t *notes, const char *fmt, ...) QN_PRINTF(2, 3);
/* ... for each pattern of --skip, --only and --rule that fits no tensor; names
 * (each may be NULL) are those that the tensors have. */
void qn_note_unused(json_t *notes, const qn_optimize_params *p,
                    const char *const *names, size_t n_names);
/* What the first of the rules PATTERN=VALUE that fits one of a tensor's names
 * (each may be NULL) says, or NULL. QN_EINVAL: a rule is of another form. */
int qn_rule_find(const qn_optimize_params *p, const char *const *names,
                 size_t n_names, const char **value, qn_err *err);

/* ---- matrix.c ---------------------------------------------------------- */

/* Quantizes one tensor to nearest on all threads; the parts (part[].out) are
 * then to be written, and freed by qn_matrix_free. */
int qn_matrix_run(qn_opt_item *item, const qn_ckpt *ck, qn_pool *pool,
                  qn_err *err);
/* All of it as f32 [n_out, n_in], multiplied; qn_free it. */
int qn_matrix_read(const qn_opt_item *item, const qn_ckpt *ck, qn_pool *pool,
                   float **w, qn_err *err);
/* Rows [row, row + n) of one that is not transposed; from any thread. */
int qn_matrix_rows(const qn_opt_item *item, const qn_ckpt *ck, int64_t row,
                   int64_t n, float *w, qn_err *err);
/* The parts from rows in memory, to nearest, or from codes. */
int qn_matrix_from(qn_opt_item *item, const float *w, qn_pool *pool,
                   qn_err *err);
int qn_matrix_pack(qn_opt_item *item, const qn_qrows *rows, qn_pool *pool,
                   qn_err *err);
void qn_matrix_free(qn_opt_item *item);

/* ---- stages.c ---------------------------------------------------------- */

typedef struct qn_stages qn_stages;

/* Methods that read a text. Puts the plan's items into the order in which they
 * are made: those of no stage, then stage by stage. */
int qn_stages_open(qn_stages **out, const qn_optimize_params *p,
                   const qn_ckpt *ck, qn_opt_plan *plan, qn_err *err);
/* Makes the items of all stages up to this one. */
int qn_stages_reach(qn_stages *s, int stage, const qn_watch *watch,
                    qn_err *err);
/* The first stage that is not made; and what it needs of those before it, to
 * a file and back (qn_stages_open came before). */
int qn_stages_next(const qn_stages *s);
int qn_stages_save(const qn_stages *s, const char *path, uint64_t *hash,
                   qn_err *err);
int qn_stages_resume(qn_stages *s, int next, const char *path, uint64_t hash,
                     qn_err *err);
void qn_stages_close(qn_stages *s); /* NULL is fine */
/* What is read: n pieces of len tokens. */
void qn_stages_samples(const qn_stages *s, int *n, int *len);

/* ---- metadata.c -------------------------------------------------------- */

/* metadata.json of a run; `options` (taken) are the method's own, `left` the
 * modules that stayed as they were (or NULL), `files` those of the source. */
json_t *qn_metadata(const qn_optimize_params *p, const qn_ckpt *ck,
                    json_t *options, const qn_optimize_report *report,
                    const json_t *left, const json_t *files);

#endif
