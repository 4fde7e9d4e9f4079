/* engine_int.h - what the files of the engine share.
 *
 *   submit -> WAITING -> (reservation granted) -> PROMPT -> DECODE -> ENDED
 *                ^------------- (gives way) ---------'-------'
 *              its pages are gone, or in memory (swap.c)
 *
 *   submit    request.c   checks, copies, queues
 *   admit     sched.c     by turns, and by reservation
 *   batch     step.c      every decoding sequence its row (and guesses), then
 *                         chunks of prompts as far as sched.c allows
 *   forward   model/
 *   choose    step.c      sampler (sample.h) or beam.c
 *   emit      seq.c       detokenize, stop strings, events
 *
 * Invariants
 *  1. A sequence's tokens[0 .. n_kv) are in its pages; everything later is
 *     not. Decoding adds one token, then one row computes it.
 *  2. A page that a sequence writes to has one reference (qn_seq_prepare
 *     copies shared ones first).
 *  3. pages[g][i] is -1 when group g's window has left that page behind.
 *  4. A request's reservation covers all pages its sequences can still take;
 *     of one that yields, those for the tokens that it has (qn_sched_make_room).
 *  5. Every completion 0 .. n-1 has exactly one event with `finish` set, the
 *     last one, whatever ends the request.
 *  6. A sequence with sinks that are to be computed again (redo > 0) decodes
 *     when they are (endless.c).
 */
#ifndef QN_ENGINE_ENGINE_INT_H
#define QN_ENGINE_ENGINE_INT_H

#include "base/vec.h"
#include "engine/format.h"
#include "engine/model_int.h"
#include "engine/pages.h"
#include "engine/prefix.h"
#include "engine/sample.h"
#include "engine/stop.h"
#include "model/model.h"
#include "text/tokenizer.h"

#include <stdatomic.h>

/* ---- sequences --------------------------------------------------------- */

typedef QN_VEC(int32_t) qn_ids;

/* What sequences hold out of pools with a fixed number: pages of each KV
 * group, and one slot for the state of recurrent layers. Slots are shared,
 * copied and promised as pages are. Pools that the network has no use for are
 * empty. */
enum {
    QN_SLOTS = QN_KV_GROUPS,
    QN_POOLS
};

/* How guesses of a sequence have gone (guess.c). */
typedef struct qn_guess {
    int len;               /* guesses at a time */
    int pause, next_pause; /* tokens until it guesses again */
    float rate;            /* of guesses that were right, moving average */
} qn_guess;

/* Sums of a line fitted to what steps took by their rows; older ones fade. */
typedef struct qn_cost {
    double n, x, y, xx, xy;
} qn_cost;

/* What prompts get of a step (pace.c). */
typedef struct qn_pace {
    double max_ms; /* of a step; 0: any */
    double first;  /* rows until something has been measured */
    int tile;      /* rows that cost as much as one; 1: each counts */
    int rows;      /* of the whole tiles in a step; 0: not known */
    double ratio;  /* tokens of prompts for one of completions; -1: not known */
    double seqs;   /* that run, moving average */
    double part;   /* of what they may write, completions do, moving average;
                       0: not known */
    double row_ms; /* of one more row in a pass; 0: not known */
    double base_ms; /* of a pass beyond its rows' */
} qn_pace;

/* Memory for pages of those who give way (swap.c). */
typedef struct qn_swap {
    uint64_t limit, used; /* bytes */
    double ms_per_byte;   /* of a copy, moving average */
    uint64_t n_out;       /* times that pages went there */
} qn_swap;

typedef struct qn_kept qn_kept; /* pages of one sequence there */

typedef struct qn_seq {
    struct qn_request *req;
    int index;         /* which completion */
    qn_ids tokens;     /* prompt, then completion */
    int64_t n_shifted; /* tokens that are not there any more */
    int64_t n_kv;      /* positions whose KV is in the pages */
    int64_t redo;      /* last of the sinks, to be computed again (endless.c) */
    int64_t pos0;      /* position of tokens[0] (endless.c) */
    qn_ids pages[QN_POOLS];
    size_t first_page[QN_POOLS]; /* earlier ones are given back */
    qn_kept *kept;               /* NULL: it has given nothing away */
    qn_prefix_node *node;        /* of its last page in the prefix cache */
    size_t n_known;              /* pages up to that one */
    qn_sampler *sampler;
    uint32_t fmt_state; /* of req->fmt */
    qn_detok *detok;    /* from its first token on */
    qn_str held;        /* text that a stop string may still swallow */
    qn_finish finish;   /* NONE while it runs */
    qn_guess guess;
    bool renewed; /* computed again behind qn_net_kv_valid_until */
    double score; /* beam search: sum of log probabilities */
} qn_seq;

typedef struct qn_event_slot {
    qn_event ev;
    qn_str text;
    QN_VEC(qn_top_logprob) top;
} qn_event_slot;

typedef enum qn_phase {
    QN_WAITING,
    QN_PROMPT,
    QN_DECODE,
    QN_ENDED
} qn_phase;

struct qn_beams; /* beam.c */

typedef struct qn_tenant {
    struct qn_tenant *next;
    uint32_t id;
    int n_requests;  /* that have not ended */
    uint64_t served; /* tokens computed for it */
} qn_tenant;

/* What is kept of a text without end, tokens (endless.c). */
typedef struct qn_endless {
    int64_t sinks; /* first ones, which stay           */
    int64_t block; /* that go at a time                */
    int64_t limit; /* when there are so many; 0: never */
} qn_endless;

/* What a sequence that is behind gets of a step. */
typedef struct qn_turn {
    qn_seq *s;
    int64_t left; /* rows until it is not behind any more */
    int64_t most; /* of them in one step */
    int n, n_out; /* rows in this step; of them with logits */
    bool prompt;
} qn_turn;

#define QN_MAX_LOGPROBS 1024
#define QN_MAX_GUESS 64

struct qn_request {
    qn_engine *engine;
    qn_request *next; /* of the engine's list, in order of arrival */
    qn_phase phase;
    bool paused;
    bool yields; /* it may be taken its pages and be computed again */
    qn_tenant *tenant;

    qn_request_params p; /* its arrays are ours */
    qn_stops stops;
    qn_fmt *fmt;    /* NULL: any text */
    qn_ids end_ids; /* tokens that end a completion */
    int max_new;    /* p.max_new_tokens cut to the model's context */
    int64_t limit;  /* tokens at which its sequence is shifted; 0: never */
    qn_endless endless;
    int64_t reserved[QN_POOLS];

    qn_seq **seqs; /* [n_seqs]; only [0] until the prompt is done */
    int n_seqs;
    struct qn_beams *beams;
    int n_running;

    float *prompt_logits; /* [n_prompt, n_vocab] or NULL */
    size_t prompt_logits_bytes;
    float *prompt_lp;           /* [n_prompt] log probabilities, or NULL */
    qn_top_logprob *prompt_top; /* [n_prompt, n_prompt_logprobs] or NULL */
    size_t prompt_lp_bytes, prompt_top_bytes;
    int64_t n_prompt_lp; /* positions [1, n_prompt_lp) are known */
    qn_err fail;         /* of one that ended with QN_FINISH_ERROR */

    struct {
        qn_event_slot *v;
        size_t head, n, cap; /* events head..n-1 are waiting */
    } events;

    uint64_t t_submit, t_admit, t_first, t_last;
    uint64_t t_deadline; /* 0: none */
    int n_completion, n_cached, n_preempted, n_guessed, n_right;

    /* Written by other threads; last, because compilers read neighbours of
     * what they compare along with it. */
    atomic_bool cancel;
};

struct qn_engine {
    const qn_model *model;
    qn_pass *pass;
    int n_vocab, n_groups, page_tokens;
    bool shifts;    /* a completion can be computed again in chunks */
    bool has_state; /* the network has recurrent layers */
    int max_seqs, max_batch, max_out;
    int64_t n_ctx;
    int64_t max_pos;       /* of a text without end */
    uint64_t kv_per_token; /* bytes of its KV in all layers */
    qn_pages pages[QN_POOLS];
    qn_prefix *prefix; /* of group 0, or NULL */
    qn_formats *formats;
    bool knows_itself; /* session.c: self is known */
    uint64_t self[2];
    uint64_t cache_queries, cache_hits;
    qn_request *first, *last;
    int n_live_seqs; /* sequences of admitted requests */
    int n_waiting, max_waiting;
    uint64_t n_steps, n_rows, ns_step, ns_forward, n_preempted;

    int speculate; /* guesses per sequence and step, at most */
    uint64_t n_guessed, n_right;
    qn_cost cost; /* of steps without prompts */

    /* sched.c */
    qn_tenant *tenants;
    bool overcommit;
    int max_prompt_rows; /* 0: auto */
    qn_pace pace;
    qn_swap swap;

    qn_watch_fn watch; /* or NULL */
    void *watch_user;

    /* the step's batch, allocated once */
    int n_span;
    int32_t *tokens, *pos, *out_rows;
    qn_span *spans;
    qn_seq **span_seq; /* [max_seqs] whose span it is */
    int *span_out;     /* [max_seqs] logit rows of it  */
    int32_t *top_ids;  /* [QN_MAX_LOGPROBS] */
    qn_turn *turns;    /* [max_seqs] */
};

/* ---- sched.c ----------------------------------------------------------- */

/* The tenant that a new request is of; it is left when the request ends. */
qn_tenant *qn_tenant_join(qn_engine *e, uint32_t id);
void qn_tenant_leave(qn_engine *e, qn_tenant *t);
void qn_tenants_free(qn_engine *e);

/* Requests that wait begin, as far as there is room. */
void qn_sched_admit(qn_engine *e);
/* Pages for the next row of every decoding sequence; may end some's turn. */
void qn_sched_make_room(qn_engine *e);
/* Fills e->turns for a step that has the rows of b already; returns how many
 * there are (some get no rows). */
int qn_sched_prompts(qn_engine *e, const qn_batch *b);

/* ---- pace.c ------------------------------------------------------------ */

/* max_step_ms 0: a step may take any time. `tile`: of the backend. */
void qn_pace_init(qn_pace *p, double max_step_ms, uint64_t weight_bytes,
                  int tile);
/* Rows of prompts in a step that has n_row rows of n_decode sequences;
 * `backlog` wait. */
int qn_pace_rows(qn_engine *e, int n_decode, int n_row, int64_t backlog);
/* What a pass of so many rows will take, ms; INFINITY: not known. */
double qn_pace_expects(const qn_pace *p, int n_row);
/* What a pass took, n_decode of whose rows were not of prompts. */
void qn_pace_learn(qn_pace *p, int n_row, int n_decode, double ms);
/* A completion ended with so many tokens of those that it might have had. */
void qn_pace_ended(qn_pace *p, int64_t n_new, int64_t max_new);

/* ---- swap.c ------------------------------------------------------------ */

void qn_swap_init(qn_swap *w, uint64_t limit);
/* Copies its pages out, where that is cheaper than to compute them again. */
void qn_swap_out(qn_seq *s);
/* Copies them back, behind those found in the prefix cache; they are taken out
 * of the reservation. Nothing where none were copied. */
void qn_swap_in(qn_seq *s);
void qn_swap_drop(qn_seq *s);

/* ---- guess.c ----------------------------------------------------------- */

void qn_guess_init(qn_guess *g);
/* Guesses what follows, at most `most` tokens, into tokens.v behind the n that
 * there are; returns how many. `worth`: how often a guess has to be right. */
int qn_guess_make(qn_seq *s, int most, double worth);
/* Of n guesses so many were right. */
void qn_guess_result(qn_seq *s, int n, int right);
void qn_cost_learn(qn_cost *c, double rows, double ms);
/* How often a guess has to be right to pay in a step of so many rows. */
double qn_cost_worth(const qn_cost *c, double rows);

/* ---- engine.c ---------------------------------------------------------- */

/* What an engine with these parameters would allocate; returns its n_ctx. */
int64_t qn_engine_plan(const qn_model *model, const qn_engine_params *p,
                       qn_plan *plan);

/* ---- seq.c ------------------------------------------------------------- */

qn_seq *qn_seq_new(qn_request *req, int index);
/* Shares the pages of `from`; its own sampler and text. */
qn_seq *qn_seq_fork(const qn_seq *from, int index);
/* Gives its pages back. */
void qn_seq_free(qn_seq *s);
/* A page out of the request's reservation. */
int32_t qn_seq_take_page(qn_seq *s, int pool);
/* Pages for positions [n_kv, n_kv + n_row), owned by this sequence alone. */
void qn_seq_prepare(qn_seq *s, int n_row);
/* After a step that wrote n_row positions: counts them, and gives back pages
 * that a sliding window has left. */
void qn_seq_advance(qn_seq *s, int n_row);
/* Where the next token changes the rotation of all keys, gives back what is
 * computed: it is computed again, in chunks. */
void qn_seq_renew(qn_seq *s);
/* A token was chosen: appends it, emits its event, may finish. `logits` is
 * its row (for logprobs). */
int qn_seq_take_token(qn_seq *s, int32_t id, const float *logits, qn_err *err);
/* Emits what is held back and the finish event. */
int qn_seq_finish(qn_seq *s, qn_finish why, qn_err *err);

/* Gives back n entries of a pool's table; what is behind them moves up. */
void qn_seq_drop_range(qn_seq *s, int pool, size_t first, size_t n);
/* Gives back everything that is computed of it. */
void qn_seq_give_up(qn_seq *s);
/* Where its context is full, forgets tokens; the rest is computed again. */
void qn_seq_shift(qn_seq *s);
/* Tokens of the completion so far. */
int64_t qn_seq_n_new(const qn_seq *s);
/* Rows that it is behind by, the next token's among them. */
int64_t qn_seq_behind(const qn_seq *s);

/* Shares the cached pages that its tokens begin with; they are not part of
 * the reservation. */
void qn_seq_find_prefix(qn_seq *s);
/* Gives them back, when there was no room for the rest. */
void qn_seq_drop_prefix(qn_seq *s);

/* Pages or slots that a request may come to hold out of a pool. */
int64_t qn_pages_needed(const qn_engine *e, int pool, int64_t n_prompt,
                        int64_t max_new, int n_seqs);

/* ---- endless.c --------------------------------------------------------- */

/* Whether a network can do it, and what it keeps. */
int qn_endless_plan(const qn_engine *e, const qn_request_params *p,
                    qn_endless *out, qn_err *err);
/* Where as much is kept as may be and more is to be computed, lets a block go;
 * then the sinks have to be computed again. */
void qn_endless_slide(qn_seq *s);
/* Rows that may come next, of n, before something has to go. */
int64_t qn_endless_rows(const qn_seq *s, int64_t n);

/* ---- request.c --------------------------------------------------------- */

/* A new event at the end of the queue, cleared. */
qn_event_slot *qn_request_event(qn_request *req, int index);
bool qn_request_is_end(const qn_request *req, int32_t id);
/* Ends all its sequences and returns pages and reservation. `why` NONE: the
 * completions have ended already, or nobody asks any more. */
int qn_request_end(qn_request *req, qn_finish why, qn_err *err);

/* ---- prob.c ------------------------------------------------------------ */

/* Adds those of one row, chosen token first, to an event. */
void qn_prob_event(const qn_seq *s, qn_event_slot *slot, int32_t id,
                   const float *row);
/* Room for the prompt's, if they are asked for. */
int qn_prob_prompt_new(qn_request *req, qn_err *err);
void qn_prob_prompt_free(qn_request *req);
/* rows [n, n_vocab] are of the prompt's positions pos, pos + 1, ... */
void qn_prob_prompt_add(qn_request *req, int64_t pos, const float *rows, int n);

/* ---- beam.c ------------------------------------------------------------ */

struct qn_beams *qn_beams_new(qn_request *req);
void qn_beams_free(struct qn_beams *b);
/* rows [n_rows, n_vocab]: logits of the live beams in their order (one row,
 * the prompt's last, at first).
 * Replaces req->seqs by the next beams; 1 when the search has ended (the
 * completions' events are then emitted, and b and req->beams are gone, as after
 * an error), 0 to go on. */
int qn_beams_step(struct qn_beams *b, const float *rows, int n_rows,
                  qn_err *err);

#endif
