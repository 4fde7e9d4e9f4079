/* The same request gives the same tokens, whatever runs beside it: requests of
 * every kind, each alone in an engine of its own, then in hundreds of random
 * mixes of engines (with and without prefix cache, guesses, overcommitted
 * memory), chunk sizes, thread counts, arrivals and cancellations.
 * Log probabilities are compared bit for bit. */
#include "play.h"

enum {
    N_MIXES = 25, /* per model and thread count */
    N_KINDS = 14,
    MAX_PROMPT = 90
};

typedef struct kind {
    qn_request_params p;
    int32_t prompt[MAX_PROMPT];
    int32_t stop[2];
    play *alone;
} kind;

static qn_kv_type kv_type;

static void vary(qn_sampling *s, uint32_t *x, int i)
{
    s->seed = play_random(x, 1000);
    s->temperature = i % 4 ? 0.5f + (float)play_random(x, 15) / 10 : 0;
    if (i % 3 == 0)
        s->top_p = 0.9f;
    if (i % 5 == 1)
        s->top_k = 40;
    if (i % 5 == 2)
        s->min_p = 0.05f;
    if (i % 5 == 3)
        s->typical_p = 0.8f;
    if (i % 4 == 2)
        s->repetition_penalty = 1.2f;
    if (i % 6 == 4)
        s->dry_multiplier = 0.8f;
    if (i % 7 == 6)
        s->mirostat = 2;
    if (i % 7 == 3)
        s->presence_penalty = s->frequency_penalty = 0.3f;
    if (i % 6 == 5) {
        s->xtc_probability = 0.5f;
        s->xtc_threshold = 0.05f;
    }
}

static void make_kind(kind *k, qn_model *m, uint32_t *x, int i)
{
    int v = qn_model_n_vocab(m);
    size_t n = 1 + play_random(x, MAX_PROMPT);
    play_random_ids(x, k->prompt, n, v);
    if (i % 2) /* some share a beginning */
        memset(k->prompt, 0, QN_MIN(n, 20) * sizeof *k->prompt);
    play_random_ids(x, k->stop, 2, v);
    k->p = play_params(k->prompt, n, 1 + (int)play_random(x, 60));
    k->p.stop_ids = k->stop;
    k->p.n_stop_ids = 2;
    k->p.n_logprobs = 2;
    k->p.ignore_eos = i % 3 == 0;
    k->p.n = i % 4 == 3 ? 3 : 1;
    vary(&k->p.sampling, x, i);
    if (i % 7 == 5) { /* beams */
        k->p.n_beams = 3;
        k->p.n = 2;
        k->p.n_logprobs = -1;
    }
    qn_engine *e = play_engine_of(m, (qn_engine_params){.kv_type = kv_type});
    k->alone = play_submit(e, &k->p);
    play_run(e, k->alone);
    qn_engine_free(e); /* before the request: it holds nothing of it */
}

/* Some of the kinds, submitted at random moments; some copies are cancelled
 * on the way and only disturb. */
static void mix(qn_model *m, const kind *kinds, uint32_t *x)
{
    enum {
        N = 12
    };
    play *p[N] = {0};
    const kind *of[N];
    bool spoilt[N] = {0};
    int seqs = 3 + (int)play_random(x, 10), next = 0;
    int batch = seqs + (int)play_random(x, 3) * (int)play_random(x, 100);
    qn_engine *e = play_engine_of(
        m, (qn_engine_params){
               .n_ctx = 100 + play_random(x, 1500),
               .max_seqs = seqs,
               .max_batch = batch,
               .prefix_cache = play_random(x, 2),
               .max_prompt_rows = (int)(play_random(x, 2) * play_random(x, 40)),
               .speculate = (int)(play_random(x, 2) * play_random(x, 9)),
               .overcommit = play_random(x, 2),
               .swap_bytes = (uint64_t)play_random(x, 2) << 20,
               .max_step_ms = play_random(x, 2) ? 0.2 : 0,
               .kv_type = kv_type,
           });
    for (int step = 0;; step++) {
        while (next < N && (next == 0 || play_random(x, 3) == 0)) {
            of[next] = &kinds[play_random(x, N_KINDS)];
            p[next] = play_submit(e, &of[next]->p);
            next++;
        }
        if (play_random(x, 20) == 0) {
            int i = (int)play_random(x, (uint32_t)next);
            qn_request_cancel(p[i]->req);
            spoilt[i] = true;
        }
        qn_err err = {0};
        int rc = qn_engine_step(e, &err);
        if (rc < 0)
            fail_msg("%s", err.msg);
        for (int i = 0; i < next; i++)
            play_poll(p[i]);
        play_promises(e);
        if (rc == 0 && next == N)
            break;
    }
    for (int i = 0; i < N; i++) {
        assert_true(play_ended(p[i]));
        bool cut = spoilt[i] && p[i]->out[0].finish == QN_FINISH_CANCEL;
        if (!spoilt[i])
            play_equal(p[i], of[i]->alone);
        if (cut && p[i]->out[0].n)
            assert_memory_equal(p[i]->out[0].ids, of[i]->alone->out[0].ids,
                                (size_t)p[i]->out[0].n * sizeof(int32_t));
        play_free(p[i]);
    }
    play_no_pages(e);
    qn_engine_free(e);
}

static void run(const char *name, qn_kv_type kv)
{
    kv_type = kv;
    kind *kinds = calloc(N_KINDS, sizeof *kinds);
    uint32_t x = 2463534242u;
    for (int threads = 1; threads <= 3; threads++) {
        qn_model *m = play_model(name, threads);
        for (int i = 0; threads == 1 && i < N_KINDS; i++)
            make_kind(&kinds[i], m, &x, i);
        for (int i = 0; i < qn_test_repeats(N_MIXES); i++)
            mix(m, kinds, &x);
        qn_model_close(m);
    }
    for (int i = 0; i < N_KINDS; i++)
        play_free(kinds[i].alone);
    free(kinds);
}

static void test_full_attention(void **state)
{
    (void)state;
    run("llama", QN_KV_AUTO);
}

static void test_windows(void **state)
{
    (void)state;
    run("gemma2", QN_KV_BF16);
}

/* Pages, and a state for each sequence. */
static void test_states(void **state)
{
    (void)state;
    run("falcon_h1", QN_KV_AUTO);
}

static void test_experts(void **state)
{
    (void)state;
    run("mixtral", QN_KV_INT8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_attention),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_states),
        cmocka_unit_test(test_experts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
