/* sensitivity.h - what a change of one matrix does to the network's output.
 *
 * A few samples of the text are run through the network once, layer by layer:
 *
 *     stream before layer i:  the network's own, and one of each change before
 *     layer i, loaded:        all of them are run through it;
 *                             each change of the layer's matrices is made, the
 *                             network's own stream run, the change taken back
 *     head, piece by piece:   each stream's logits against the network's own
 *
 * So the weights are read once, what lies before a change is not run again, and
 * in memory are one layer (or a piece of the head) and two streams; the others
 * lie in a file, of which there is one before and one behind the layer. The file before
 * a layer is also what a stopped run goes on with. Networks that are no chain
 * (qn_net_is_chain) are in memory as a whole and run anew with each change.
 *
 * Arithmetic is exact (activations are not rounded), and the divergence is
 * computed from the differences of logits, because those of one matrix are
 * small: 1e-6 nats can be told from nothing. Networks of more than 250 million
 * weights, of which exact arithmetic takes minutes, are computed as they run:
 * 1e-4 nats can be told from nothing.
 *
 * Ownership: borrows the checkpoint. Threads: one at a time. */
#ifndef QN_QUANTIZE_SENSITIVITY_H
#define QN_QUANTIZE_SENSITIVITY_H

#include "quantize/calibrate.h"
#include "quantize/resume.h"

enum {
    QN_SENSITIVITY_LARGE = 250000000, /* weights */
    QN_SENSITIVITY_SAMPLES = 4,
    QN_SENSITIVITY_SAMPLE_TOKENS = 128,
    QN_SENSITIVITY_TOKENS = QN_SENSITIVITY_SAMPLES *
                            QN_SENSITIVITY_SAMPLE_TOKENS
};

typedef struct qn_sensitivity qn_sensitivity;

int qn_sensitivity_open(qn_sensitivity **out, const qn_optimize_params *p,
                        const qn_ckpt *ck, qn_err *err);
void qn_sensitivity_close(qn_sensitivity *p); /* NULL is fine */

qn_net *qn_sensitivity_net(const qn_sensitivity *p);
qn_pool *qn_sensitivity_pool(const qn_sensitivity *p);

/* Where a change is. */
typedef struct qn_sensitivity_place {
    int layer; /* the first that differs; -1: the embeddings; n_layer: no layer */
    bool head; /* the head differs, too */
} qn_sensitivity_place;

typedef struct qn_sensitivity_work {
    size_t n; /* changes */
    const qn_sensitivity_place *place;
    /* Makes change i of what is loaded (qn_net_put), or takes it back. */
    int (*put)(void *user, size_t i, bool changed, qn_err *err);
    void *user;
    double *found; /* [n, n_found] what put learns of each when it makes it */
    int n_found;
    /* [n] divergence (nats): the mean of each, summed up, and shared out by what
     * is steadier than a mean of few tokens: the square of the mean root */
    double *kl;
    /* Where streams lie, and how far an earlier run came; `beside`: members of
     * the state besides. */
    qn_resume *resume;
    const json_t *beside;
} qn_sensitivity_work;

int qn_sensitivity_run(qn_sensitivity *p, const qn_sensitivity_work *w,
                       const qn_watch *watch, qn_err *err);
/* Whether what was saved last is of qn_sensitivity_run; another state has to be saved
 * before its files are removed. */
bool qn_sensitivity_saved(const qn_resume *r);
void qn_sensitivity_clear(const qn_outdir *out, int n_layer);
/* The part of qn_sensitivity_run that an earlier run did. */
double qn_sensitivity_resumed(const qn_resume *r);

#endif
