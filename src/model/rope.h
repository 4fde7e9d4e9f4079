/* rope.h - rotary embeddings: from config keys to frequencies.
 *
 * Sources: RoFormer (Su et al. 2021); YaRN (Peng et al. 2023), which also
 * tells NTK-aware scaling; LongRoPE (Ding et al. 2024); Llama 3.1's rule as
 * its authors published it. Numbers that the papers leave open are those of
 * transformers 5 (modeling_rope_utils.py). */
#ifndef QN_MODEL_ROPE_H
#define QN_MODEL_ROPE_H

#include "model/hparams.h"
#include "model/keys.h"

/* Fills hp->rope[] and hp->n_rope from rope_parameters (transformers 5), or
 * rope_theta, rope_scaling and their relatives (transformers 4).
 * hp->d_head and n_ctx_train are there. rope[0] serves layers of full
 * attention, rope[1], if there is one, sliding ones. */
int qn_rope_read(qn_hparams *hp, qn_keys *k, qn_err *err);
void qn_rope_deinit(qn_rope_hp *r);

/* Do the frequencies depend on the sequence's length? */
bool qn_rope_by_length(const qn_rope_hp *r);

/* Angle per position, out [n_freq], for a sequence of `len` positions (looked
 * at only by those that depend on it). */
void qn_rope_freqs(const qn_rope_hp *r, int64_t len, float *out);

#endif
