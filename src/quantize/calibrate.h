/* calibrate.h - a text read by the network, and what goes into its linear
 * layers meanwhile.
 *
 * The network is read layer by layer (a stage each): the stage's weights are
 * loaded, all samples of the text run through them, statistics are gathered,
 * and what leaves the layer is kept as the next one's input. So one layer's
 * weights and statistics are in memory, and the residual stream of all samples.
 * Networks whose layers read more than that stream are one stage.
 *
 *     open -> for each stage: load -> run -> unload (maybe load, put, run) -> drop
 *
 * Ownership: borrows the checkpoint. What find gives lives until the next load.
 * Threads: one at a time; it uses the backend's. */
#ifndef QN_QUANTIZE_CALIBRATE_H
#define QN_QUANTIZE_CALIBRATE_H

#include "quantize/optimize_int.h"
#include "quantize/tri.h"

/* Statistics. */
enum {
    QN_CAL_SQUARES = 1,
    QN_CAL_GRAM = 2,
    QN_CAL_ROWS = 4
};

/* What one or several matrices read. */
typedef struct qn_cal_input {
    int64_t n;      /* width                                       */
    int64_t count;  /* rows seen                                   */
    float *squares; /* [n] mean of x^2                             */
    qn_tri gram;    /* sum of x x^T                                */
    float *rows;    /* [n_rows, n] some of them, or NULL           */
    int64_t n_rows;
} qn_cal_input;

typedef struct qn_cal qn_cal;

typedef enum qn_cal_how {
    QN_CAL_USUAL,  /* as the network runs */
    QN_CAL_EXACT,  /* activations are not rounded, so that small differences of
                      weights can be seen */
    QN_CAL_NARROW, /* as usual, with weights of f32 in bf16: sums over a text do
                      not see it, and a layer is half as large */
} qn_cal_how;

/* Reads and splits the text (p->calibration, or the built-in one), opens the
 * network without matrices. */
int qn_cal_open(qn_cal **out, const qn_optimize_params *p, const qn_ckpt *ck,
                qn_cal_how how, qn_err *err);
void qn_cal_close(qn_cal *c); /* NULL is fine */

qn_net *qn_cal_net(const qn_cal *c);
qn_backend *qn_cal_backend(const qn_cal *c);
/* How many samples, of how many tokens each. */
void qn_cal_samples(const qn_cal *c, int64_t *n, int64_t *len);
int qn_cal_n_stages(const qn_cal *c);
/* Layers [*from, *to) are stage i. */
void qn_cal_stage(const qn_cal *c, int i, int *from, int *to);

int qn_cal_load(qn_cal *c, int stage, qn_err *err);
/* All samples through the stage that is loaded. `what`: statistics to gather
 * of it; `keep`: what comes out is the next stage's input. QN_ECANCEL when
 * `watch` (may be NULL) says so. */
int qn_cal_run(qn_cal *c, unsigned what, bool keep, const qn_watch *watch,
               qn_err *err);
/* The residual stream of all samples, [n] numbers: what the next stage reads. */
float *qn_cal_stream(qn_cal *c, size_t *n);
/* Gives the stage's weights back; what was gathered of it stays. */
void qn_cal_unload(qn_cal *c);
void qn_cal_drop(qn_cal *c);

/* All layers at once, and no stages; then logits [len, n_vocab] of a sample,
 * which live until the next call. */
int qn_cal_load_all(qn_cal *c, qn_err *err);
int qn_cal_logits(qn_cal *c, int sample, const float **logits, qn_err *err);
/* Of a chain, in pieces: what comes before the layers, of the text's tokens
 * alone. */
int qn_cal_load_begin(qn_cal *c, qn_err *err);
/* The output head is the largest matrix of most models, and so comes in pieces:
 * logits [from, from + *n) of the vocabulary are to be had, the first from 0
 * and each from where the last one ended. Of a network that is no chain all of
 * it is loaded, and *n the whole vocabulary. */
int qn_cal_load_head(qn_cal *c, int64_t from, int64_t *n, qn_err *err);
/* Logits [len, n] of a sample, whose stream h [len, d_model] left the last layer
 * (no chain: which is run as a whole); they live until the next call. */
int qn_cal_head(qn_cal *c, int sample, const float *h, const float **logits,
                qn_err *err);
const int32_t *qn_cal_tokens(const qn_cal *c, int sample); /* [len] */

/* The input of a matrix, by the checkpoint's name of its tensor; expert -1, or
 * which of a stack. NULL: nothing came to it. */
const qn_cal_input *qn_cal_find(const qn_cal *c, const char *tensor,
                                int expert);
/* The i-th input of this stage, NULL behind the last; its first tensor. */
qn_cal_input *qn_cal_input_at(qn_cal *c, size_t i, const char **tensor);
/* Its memory is given back before the stage ends; it is still found. */
void qn_cal_input_drop(qn_cal_input *in);

#endif
