/* layers.h - what the layers of a network are, one by one: filled from the
 * configuration's lists, patterns and periods.
 *
 * Invariant on success: hp->layer has n_layer entries, and layers that share a
 * rotation or keys have heads of one width. */
#ifndef QN_MODEL_LAYERS_H
#define QN_MODEL_LAYERS_H

#include "model/families.h"

/* What each layer is and how wide, before rotations are read (rope.h). */
int qn_layers_kinds(qn_hparams *hp, const qn_keys *k, const qn_family *fam,
                    qn_err *err);
/* Then: which rotate, how their products are scaled, which have experts. */
int qn_layers_fill(qn_hparams *hp, const qn_keys *k, const qn_family *fam,
                   qn_err *err);

#endif
