/* sample_int.h - the sampler's parts, for sample.c, truncate.c, penalize.c. */
#ifndef QN_ENGINE_SAMPLE_INT_H
#define QN_ENGINE_SAMPLE_INT_H

#include "base/vec.h"
#include "engine/sample.h"

/* A token that may still be drawn. */
typedef struct qn_cand {
    float logit; /* after temperature */
    int32_t id;
    double p;
} qn_cand;

/* Candidates by falling logit (ties: rising id), probabilities summing to 1
 * up to rounding. */
typedef struct qn_cands {
    qn_cand *v;
    size_t n, cap;
    void *scratch; /* of selections, at least scratch_cap bytes */
    size_t scratch_cap;
} qn_cands;

struct qn_sampler {
    qn_sampling p; /* its arrays are ours */
    int n_vocab, stream, min_new;
    QN_VEC(int32_t) history; /* prompt, then completion */
    size_t n_prompt;
    QN_VEC(int32_t) end_ids;
    double mu; /* mirostat's state */
    bool masked, ends;
    const uint32_t *bits; /* of the next pick; NULL: all */

    float *row;      /* [n_vocab] edited copy; NULL when nothing edits */
    uint32_t *stamp; /* [n_vocab] last pass that saw the id */
    uint32_t *count; /* [n_vocab] valid where stamp is current */
    uint32_t pass;
    qn_cands cands;
    QN_VEC(uint32_t) match; /* DRY: how far the history repeats itself */
};

/* truncate.c: each keeps at least one candidate. */

/* Fills c with what top_k / top_n_sigma / top_p can leave of the row, sorted;
 * nothing that a later step could keep is lost. Logits are divided by
 * temperature. */
void qn_cands_collect(qn_cands *c, const float *row, int n,
                      const qn_sampling *p);
void qn_cands_deinit(qn_cands *c);
void qn_cands_softmax(qn_cands *c);
void qn_keep_typical(qn_cands *c, double mass);
void qn_keep_top_p(qn_cands *c, double mass);
void qn_keep_min_p(qn_cands *c, double ratio);
void qn_drop_xtc(qn_cands *c, double threshold);

/* penalize.c: edits of s->row. */
void qn_penalize(qn_sampler *s);
void qn_penalize_dry(qn_sampler *s);

#endif
