/* net_int.h - what the files of src/model share about an opened network.
 *
 *   names.h, roles.h --bind.c--> qn_slot[] --load.c--> qn_net's parts
 *
 * A slot is one destination (a matrix or a vector) and where its bytes lie in
 * the checkpoint. Everything about names, shapes and types is decided when the
 * slots are made, so that loading is only moving bytes. */
#ifndef QN_MODEL_NET_INT_H
#define QN_MODEL_NET_INT_H

#include "base/vec.h"
#include "model/families.h"
#include "model/lookup.h"
#include "model/model.h"
#include "model/names.h"
#include "model/roles.h"

/* What one role has: a matrix w or a vector v, and maybe a bias. Memory of
 * the backend. */
typedef struct qn_part {
    qn_weight *w;
    float *v, *b;
} qn_part;

typedef struct qn_parts {
    qn_part p[QN_R_N];
    /* gate, up, down, q, o: [n_exp] each, or NULL; keys and values of latent
     * attention: [n_head] */
    qn_weight **exp[QN_ROLE_STACKS];
} qn_parts;

typedef struct qn_slot {
    const qn_tensor *t; /* while the checkpoint is open */
    char *name;         /* of the tensor; owned         */
    qn_role role;
    int layer, expert; /* -1: none */
    bool bias;
    qn_role_kind kind;
    int64_t n_out, n_in;
    qn_row_map rows;
    bool transposed;
    bool turned;        /* its rows are columns of some rows of the tensor */
    int n_part;         /* 1, or heads that the tensor has apart */
    uint64_t first;     /* element of the tensor where its rows begin */
    qn_dtype stored;    /* as the file has it, QN_DTYPE_N: quantized  */
    const char *format; /* the name of that (static text)             */
    uint64_t stored_bytes;
    bool coded; /* of a quantized matrix: it stays codes on the backend */
    qn_weight_codes codes;
    qn_dtype dtype;  /* of the rows as the backend gets them       */
    uint64_t vec_at; /* of a vector: its place in qn_net.vectors   */
    bool looked_up;  /* of a matrix: stays in the file (lookup.h)  */
    qn_weight *w;    /* of another matrix, once it exists          */
} qn_slot;

typedef QN_VEC(qn_slot) qn_slots;

struct qn_net {
    qn_hparams hp;
    const qn_family *fam;
    qn_backend *be;
    qn_container container;

    qn_slots slots;
    uint64_t memory_limit; /* 0: none was given */
    uint64_t weight_bytes; /* on the backend, vectors included */
    uint64_t n_params;
    uint64_t file_bytes; /* to be read, without vectors */
    json_t *ignored;     /* names of tensors that nothing uses */

    /* [n_vocab / 16 + 1] which of the embeddings' rows were read, where not all
     * were; or NULL */
    bool *embedded;

    /* Rows [head_from, head_from + head_n) of the head are loaded, and its slot
     * is of these alone; head_n 0: of all. */
    int64_t head_from, head_n;

    /* tables that stay in their file, or NULL: of tokens; inputs of layers */
    qn_lookup *embed, *ple;

    float *vectors; /* all norms and biases, backend memory */
    float *slopes;  /* ALiBi [n_head], backend memory, or NULL */
    uint64_t vector_bytes;
    uint64_t slopes_at;       /* place of the slopes in them */
    qn_weight_desc pos_table; /* of computed positions */
    qn_weight *pos_weight;
    qn_parts top;
    qn_parts *layer;    /* [n_layer] */
    float *layer_scale; /* [n_layer], host memory */

    /* KV groups */
    int n_groups;
    int64_t window[QN_KV_GROUPS];
    int8_t *group; /* [n_layer], -1: does not attend */

    /* recurrent layers: floats of a sequence's state, and where each layer's
     * part of it begins */
    int64_t n_state;
    int64_t *state_at; /* [n_layer] */
};

/* Finds every tensor, checks shapes and types, fills net->slots, weight_bytes
 * and the other counts. The names of the slots' tensors belong to ck. */
int qn_bind(qn_net *net, const qn_ckpt *ck, const qn_net_params *params,
            qn_err *err);

/* What the backend is to know of a slot's weights. */
qn_weight_desc qn_slot_desc(const qn_slot *s);

/* How a quantized matrix may stay codes (quantized_slot.c); false: it is to be
 * decoded. */
bool qn_codes_of(const qn_qmat *m, qn_weight_codes *c);
/* Decodes or recodes all rows of a slot into its weight. */
int qn_load_quantized(const qn_net *net, const qn_ckpt *ck, const qn_slot *s,
                      qn_err *err);

/* Does the layer keep keys and values of its own? */
bool qn_net_has_kv(const qn_net *net, int layer);

/* Which layers share page tables, and where states lie. */
void qn_net_group_layers(qn_net *net);

/* Allocates and reads what the slots say. On failure the caller's
 * qn_net_close frees what was made. */
int qn_load(qn_net *net, const qn_ckpt *ck, const qn_net_params *params,
            qn_err *err);

#endif
