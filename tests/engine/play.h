/* play.h - requests on real models, in a few lines: open, submit, run, and
 * everything that came of each completion. */
#ifndef QN_TEST_PLAY_H
#define QN_TEST_PLAY_H

#include "testing.h"

#include "engine/engine_int.h"

#define PLAY_MAX_N 16
#define PLAY_MAX_TOKENS 1024

/* What a completion's events said. */
typedef struct play_out {
    int32_t ids[PLAY_MAX_TOKENS];
    float logprobs[PLAY_MAX_TOKENS];
    qn_top_logprob top[PLAY_MAX_TOKENS][8];
    int n;
    qn_str text;
    qn_finish finish;
} play_out;

typedef struct play {
    qn_request *req;
    int n_out;
    play_out out[PLAY_MAX_N];
} play;

/* A model of tests/data/models, or a path. n_threads 0: 2. */
qn_model *play_model(const char *name, int n_threads);
/* The built-in model, or NULL where it does not lie beside the tree. */
qn_model *play_builtin(void);
qn_model *play_builtin_of(int n_threads);
qn_engine *play_engine(qn_model *m, int64_t n_ctx, int max_seqs, int max_batch);
qn_engine *play_engine_of(qn_model *m, qn_engine_params p);
/* Greedy, ends ignored, no text unless asked. */
qn_request_params play_params(const int32_t *prompt, size_t n_prompt,
                              int max_new);

play *play_submit(qn_engine *e, const qn_request_params *p);
/* Takes the events there are; checks what must hold of any event. */
void play_poll(play *p);
/* true when every completion has had its last event. */
bool play_ended(const play *p);
/* Steps until the request has ended. */
void play_run(qn_engine *e, play *p);
void play_free(play *p);
/* Same ids, text, log probabilities (bits) and ends. */
void play_equal(const play *a, const play *b);
/* What is promised is what requests have been promised, and is there. */
void play_promises(const qn_engine *e);
/* Every page is free and none is promised. */
void play_no_pages(const qn_engine *e);

/* Logits of all positions of a sequence, computed by a request of its own, by
 * an engine that does nothing else; [n, n_vocab], the caller frees. */
float *play_logits(qn_model *m, const int32_t *ids, size_t n);

/* The next of a fixed sequence of numbers below n. */
uint32_t play_random(uint32_t *state, uint32_t n);
void play_random_ids(uint32_t *state, int32_t *ids, size_t n, int n_vocab);

#endif
