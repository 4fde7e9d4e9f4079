/* model.h - a network: hyper-parameters, weights on a backend, one forward.
 *
 * A family is a row of features (families*.c) plus a row of tensor names
 * (names_hf.c); forward() asks for features, never for a family's name.
 *
 *   qn_ckpt --hparams--> qn_hparams --bind--> qn_net --forward--> logits
 *
 * Ownership: qn_net owns its weights, and open files of the tables that stay
 * there (lookup.h); the checkpoint may be closed after qn_net_open. A qn_pass
 * (KV pages + workspace) belongs to one engine.
 * Threads: a net is immutable; one forward at a time per backend. */
#ifndef QN_MODEL_MODEL_H
#define QN_MODEL_MODEL_H

#include "backend/backend.h"
#include "ckpt/ckpt.h"
#include "model/hparams.h"

typedef struct qn_net qn_net;
typedef struct qn_pass qn_pass;

typedef struct qn_net_params {
    bool no_weights;       /* hparams, tensor list and plan only */
    bool by_layer;         /* norms and biases only; matrices come and go by
                              qn_net_load_layer; the checkpoint stays open */
    bool narrow;           /* matrices in f32 become bf16: half the memory, for
                              what need not be exact */
    uint64_t lookup_min;   /* tables of at least so many bytes stay in the
                              file, if nothing multiplies by them (lookup.h);
                              0: all come into memory */
    uint64_t memory_limit; /* bytes; 0: what is available now    */
    qn_progress_fn progress;
    void *progress_user;
} qn_net_params;

/* Reads hparams, checks every tensor's presence and shape, checks the memory
 * plan, then loads in parallel. `be` outlives the net. */
int qn_net_open(qn_net **out, const qn_ckpt *ck, qn_backend *be,
                const qn_net_params *params, qn_err *err);
void qn_net_close(qn_net *net);
/* Are the tables that stay in files what they were? (lookup.h) */
int qn_net_check(const qn_net *net, qn_err *err);

/* Matrices of one layer, or (-1) those of no layer: embeddings, head; of these
 * alone what comes before the layers, or behind them. Of a net that was opened
 * by_layer. */
enum {
    QN_NET_BEGIN = -3,
    QN_NET_END = -4
};
int qn_net_load_layer(qn_net *net, const qn_ckpt *ck, int layer, qn_err *err);
/* QN_NET_BEGIN for these n tokens alone: of the embeddings their rows (and
 * some beside them) are read, the others are void. */
int qn_net_load_begin(qn_net *net, const qn_ckpt *ck, const int32_t *tokens,
                      size_t n, qn_err *err);
/* QN_NET_END with rows [from, from + *n) of the output head instead of all: what
 * qn_pass_head then gives are their logits. In the place of what was loaded
 * before; dropped by QN_NET_END. *n becomes how many there are, which are all,
 * and from is 0, where rows cannot be had apart (codes of a quantizer). */
int qn_net_load_head(qn_net *net, const qn_ckpt *ck, int64_t from, int64_t *n,
                     qn_err *err);
void qn_net_drop_layer(qn_net *net, int layer);
/* A matrix that is no longer multiplied by gives its memory back; *fresh is in
 * its place, of the same form, and void until it is put or loaded again. */
int qn_net_empty(qn_net *net, const qn_weight *w, const qn_weight **fresh,
                 qn_err *err);
/* Puts other rows in the place of a tensor's, those that `row` gives: dst [n]
 * gets row `row` of the tensor (never transposed), asked for by several threads.
 * What is not loaded is passed over. */
typedef int (*qn_net_row_fn)(void *user, int64_t row, int64_t n, float *dst,
                             qn_err *err);
int qn_net_put(qn_net *net, const char *tensor, qn_net_row_fn row, void *user,
               qn_err *err);
/* The same of w [rows of the tensor, n_in]. */
int qn_net_put_rows(qn_net *net, const char *tensor, const float *w,
                    qn_err *err);
/* Whether layer i reads nothing but the residual stream that layer i - 1
 * leaves: no inputs of its own, no other layer's keys, no further streams. */
bool qn_net_is_chain(const qn_net *net);

const qn_hparams *qn_net_hparams(const qn_net *net);
qn_backend *qn_net_backend(const qn_net *net);

/* ---- memory plan ------------------------------------------------------- */

typedef struct qn_plan {
    uint64_t weights, kv, state, workspace, logits, total; /* bytes */
    uint64_t kv_per_token; /* bytes of KV of one position, all layers */
    int64_t n_ctx;         /* positions the KV holds, all sequences   */
} qn_plan;

typedef struct qn_pass_params {
    int n_pages[QN_KV_GROUPS]; /* KV pages of each group            */
    int max_rows;   /* tokens in one forward                              */
    int max_out;    /* logit rows in one forward                          */
    int n_logits;   /* of a row, where some rows of the head are loaded at a
                       time; 0: the whole vocabulary                      */
    int max_spans;  /* sequences in one forward                           */
    int n_slots;    /* sequences with a state, if the net has one         */
    bool one_layer; /* qn_pass_layers of one at a time, each from its first
                       position: layers share memory for their keys      */
    qn_kv_dtype kv_dtype;
} qn_pass_params;

void qn_net_plan(const qn_net *net, const qn_pass_params *p, qn_plan *plan);
/* KV type that QN_KV_AUTO means for this net. */
qn_kv_dtype qn_net_kv_auto(const qn_net *net);

/* ---- passes ------------------------------------------------------------ */

int qn_pass_new(qn_pass **out, qn_net *net, const qn_pass_params *p,
                qn_err *err);
void qn_pass_free(qn_pass *pass);

/* The backend's workspace for the largest step, so that none can fail for want of
 * it. Of a net that has its weights. */
int qn_pass_reserve(qn_pass *pass, qn_err *err);

/* One step over a ragged batch (within the limits of qn_pass_params; pages of
 * every position that is written or read are in the spans' tables). Returns
 * logits f32 [n_out, n_vocab], host memory, valid until the next forward. */
int qn_pass_forward(qn_pass *pass, const qn_batch *batch, const float **logits,
                    qn_err *err);

/* Layers [from, to) alone: h [n_row, d_model] goes in (from 0: the embeddings
 * do, unless the batch of a chain has no tokens) and what leaves layer to - 1
 * comes back in it. No logits. On backends with host_memory. */
int qn_pass_layers(qn_pass *pass, const qn_batch *batch, int from, int to,
                   float *h, qn_err *err);

/* The beginning alone: what goes into layer 0 of a chain (qn_net_is_chain), of
 * which that layer needs nothing else. h [n_row, d_model]. */
int qn_pass_embed(qn_pass *pass, const qn_batch *batch, float *h, qn_err *err);

/* The end alone: logits of all rows, as qn_pass_forward gives them, of the h
 * [n_row, d_model] that leaves the last layer of a chain (qn_net_is_chain); of
 * the rows of the head that are loaded (qn_net_load_head), [n_row, n]. */
int qn_pass_head(qn_pass *pass, const qn_batch *batch, const float *h,
                 const float **logits, qn_err *err);

/* Calls fn before every operation of later forwards, when everything that it
 * reads has been computed: for statistics of activations, on backends with
 * host_memory. false ends the forward before it: what would come out of it is
 * not wanted. NULL: not any more. Slower. */
typedef bool (*qn_pass_observe_fn)(void *user, const qn_op *op);
void qn_pass_observe(qn_pass *pass, qn_pass_observe_fn fn, void *user);

/* Asks fn between operations of later forwards: true ends the forward there,
 * with QN_ECANCEL. What its rows have written of KV and states is void; the
 * same batch may be run again, if no state is in it. NULL: not any more. A
 * little slower. */
typedef bool (*qn_pass_stop_fn)(void *user);
void qn_pass_watch(qn_pass *pass, qn_pass_stop_fn fn, void *user);

/* Copies page src to dst in every layer of a group (copy on write). */
void qn_pass_copy_page(qn_pass *pass, int group, int32_t dst, int32_t src);

/* The system gives memory when it is first written to, in large pieces, which
 * may take longer than a step. This asks for one piece of QN_PASS_BLOCK bytes,
 * so that every layer has QN_PASS_AHEAD bytes more than the first used[g] pages
 * take; false: they all have. */
#define QN_PASS_BLOCK (2 << 20)
#define QN_PASS_AHEAD (2 * QN_PASS_BLOCK)
bool qn_pass_populate(qn_pass *pass, const int32_t used[QN_KV_GROUPS]);

/* A page of a group in all its layers as bytes: to save and to restore. */
uint64_t qn_pass_page_bytes(const qn_pass *pass, int group);
void qn_pass_read_page(qn_pass *pass, int group, int32_t page, void *host);
void qn_pass_write_page(qn_pass *pass, int group, int32_t page,
                        const void *host);

/* Bytes that a sequence keeps besides KV pages (recurrent layers), 0: none. */
uint64_t qn_net_state_bytes(const qn_net *net);
/* Copies a sequence's state to another slot (fork). A sequence begins from
 * zeros by its position 0; nothing needs to be cleared. */
void qn_pass_copy_state(qn_pass *pass, int dst, int src);

/* Page tables the model needs: 2 when some layers slide and some do not, 0
 * when none attends, else 1. Group g's window in positions (the widest of its layers), 0: all. */
int qn_net_n_kv_groups(const qn_net *net);
int64_t qn_net_kv_window(const qn_net *net, int group);

/* Longest sequence whose cached keys stay valid as it grows. Beyond it the
 * rotation changes as a whole (LongRoPE's two sets of factors), and the
 * sequence is to be computed again from its start, as the reference does.
 * 0: never. */
int64_t qn_net_kv_valid_until(const qn_net *net);
/* Whether the keys of a token depend on it and those before it alone: no
 * rotation goes by the length that the sequence comes to have. */
bool qn_net_keys_final(const qn_net *net);
/* Whether attention sees how far tokens are apart and never where they stand,
 * and all of them: a text may be moved as a whole. */
bool qn_net_is_relative(const qn_net *net);
/* Longest sequence that the network can compute at all (a table of learned
 * positions has an end); INT64_MAX: no such end. */
int64_t qn_net_max_positions(const qn_net *net);

/* ---- matrices ---------------------------------------------------------- */

/* A matrix of the network, and the checkpoint's tensor that holds it; fused
 * projections share one tensor. */
typedef struct qn_net_matrix {
    const char *tensor; /* lives as long as the net */
    const char *role;   /* "query projection"       */
    int role_id;        /* the qn_role of names.h   */
    int layer, expert;  /* -1: none */
    bool linear;        /* of a linear layer inside of the network; else
                           embeddings, output head, router */
    bool head;          /* the output head */
    const qn_weight *w; /* NULL without weights */
    bool transposed;    /* stored [n_in, n_out] */
} qn_net_matrix;

/* i from 0; false behind the last. */
bool qn_net_matrix_at(const qn_net *net, size_t i, qn_net_matrix *out);

/* The checkpoint's tensor of a role (a qn_role of names.h) in a layer, or of
 * its bias; NULL: there is none. *whole (may be NULL): nothing else is in it. */
const char *qn_net_tensor(const qn_net *net, int role, int layer, bool bias,
                          bool *whole);

/* Whether the embeddings are the output head, too; and the name that a tensor of
 * the head would have beside them (qn_free). */
bool qn_net_is_tied(const qn_net *net);
char *qn_net_head_name(const qn_net *net);

/* ---- facts ------------------------------------------------------------- */

/* Weights of the largest layer. */
uint64_t qn_net_largest_layer(const qn_net *net);

/* Adds members to a JSON object: family, hyper-parameters, parameter count,
 * bytes and count per dtype and role, what each layer is, tensors that were
 * left out. */
int qn_net_info(const qn_net *net, json_t *into, qn_err *err);

#endif
