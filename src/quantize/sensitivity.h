/* sensitivity.h - what a change of one matrix does to the network's output.
 *
 * The network is in memory as a whole; a few samples of the text were run
 * through it, and their residual streams before every layer and their logits
 * kept. After a matrix was changed (qn_net_put_rows), only what follows it is
 * run again.
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

enum {
    QN_PROBE_LARGE = 250000000, /* weights */
    QN_PROBE_SAMPLES = 4,
    QN_PROBE_SAMPLE_TOKENS = 128,
    QN_PROBE_TOKENS = QN_PROBE_SAMPLES * QN_PROBE_SAMPLE_TOKENS
};

typedef struct qn_probe qn_probe;

int qn_probe_open(qn_probe **out, const qn_optimize_params *p,
                  const qn_ckpt *ck, qn_err *err);
void qn_probe_close(qn_probe *p); /* NULL is fine */

qn_net *qn_probe_net(const qn_probe *p);
qn_pool *qn_probe_pool(const qn_probe *p);

/* Mean KL divergence (nats) of the network as it is now from the one that was
 * opened, when matrices of this layer alone differ; -1: of the embeddings;
 * n_layer: of the head alone. */
int qn_probe_kl(qn_probe *p, int layer, double *kl, qn_err *err);

#endif
