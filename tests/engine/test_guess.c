/* Speculation: the tokens, texts and log probabilities are those without it,
 * in fewer steps where texts repeat themselves; where they do not, it is
 * switched off. */
#include "play.h"

static qn_engine *engine(qn_model *m, int speculate, int seqs)
{
    return play_engine_of(m, (qn_engine_params){.max_seqs = seqs,
                                                .prefix_cache = seqs % 2,
                                                .speculate = speculate});
}

/* A prompt that repeats itself, as `kind` says. */
static size_t prompt_of(int32_t *ids, int kind, int n_vocab)
{
    uint32_t x = 77 + (uint32_t)kind;
    size_t n = 20 + play_random(&x, 40), period = 3 + play_random(&x, 9);
    play_random_ids(&x, ids, n, n_vocab);
    for (size_t i = period; kind % 2 == 0 && i < n; i++)
        ids[i] = ids[i - period];
    return n;
}

static qn_request_params params_of(int32_t *ids, int kind, int n_vocab)
{
    qn_request_params rp = play_params(ids, prompt_of(ids, kind, n_vocab), 120);
    qn_sampling *s = &rp.sampling;
    rp.n_logprobs = 2;
    s->seed = (uint64_t)kind;
    s->temperature = kind % 3 ? 0.2f * (float)(kind % 5) : 0;
    s->mirostat = kind % 7 == 5 ? 2 : 0;
    s->repetition_penalty = kind % 5 == 3 ? 1.1f : 1;
    s->dry_multiplier = kind % 6 == 4 ? 0.5f : 0;
    rp.n = kind % 4 == 1 ? 3 : 1;
    rp.max_new_tokens = kind == 2 ? 1 : 120 - kind;
    return rp;
}

static void same_tokens(const char *name)
{
    enum {
        N = 12
    };
    int32_t ids[N][64];
    qn_model *m = play_model(name, 1);
    int v = qn_model_n_vocab(m);
    qn_engine *plain = engine(m, 0, 4);
    play *want[N], *got[N];
    for (int i = 0; i < N; i++) {
        qn_request_params rp = params_of(ids[i], i, v);
        want[i] = play_submit(plain, &rp);
        play_run(plain, want[i]);
    }
    for (int round = 0; round < 3; round++) {
        static const int guesses[] = {1, 5, 16};
        qn_engine *e = engine(m, guesses[round], 3 + 4 * round);
        for (int i = 0; i < N; i++) {
            qn_request_params rp = params_of(ids[i], i, v);
            got[i] = play_submit(e, &rp);
            if (round == 0)
                play_run(e, got[i]);
        }
        for (int i = 0; i < N; i++) {
            play_run(e, got[i]);
            play_equal(got[i], want[i]);
            play_free(got[i]);
        }
        qn_engine_stats s;
        qn_engine_get_stats(e, &s);
        if (e->speculate) {
            assert_true(s.n_guessed > 0 && s.n_right <= s.n_guessed);
        }
        play_no_pages(e);
        qn_engine_free(e);
    }
    for (int i = 0; i < N; i++)
        play_free(want[i]);
    qn_engine_free(plain);
    qn_model_close(m);
}

static void test_same_tokens(void **state)
{
    (void)state;
    same_tokens("llama");
    same_tokens("gemma2");    /* windows */
    same_tokens("mixtral");   /* experts */
    same_tokens("falcon_h1"); /* states: no guesses are made */
}

/* A text that repeats itself: one token of a vocabulary is all that may come. */
static void test_fewer_steps(void **state)
{
    (void)state;
    int32_t prompt[] = {1, 2, 3, 4, 5}, allowed[] = {9};
    qn_model *m = play_model("llama", 1);
    uint64_t steps[2];
    for (int i = 0; i < 2; i++) {
        qn_engine *e = engine(m, i * 8, 1);
        qn_request_params rp = play_params(prompt, 5, 200);
        rp.sampling.allowed_ids = allowed;
        rp.sampling.n_allowed = 1;
        play *p = play_submit(e, &rp);
        play_run(e, p);
        assert_int_equal(p->out[0].n, 200);
        qn_engine_stats s;
        qn_request_stats rs;
        qn_engine_get_stats(e, &s);
        qn_request_get_stats(p->req, &rs);
        steps[i] = s.n_steps;
        assert_int_equal(s.n_guessed, rs.n_guessed);
        assert_int_equal(s.n_right, rs.n_right);
        assert_true(i == 0 ? rs.n_right == 0 : rs.n_right > 50);
        play_free(p);
        qn_engine_free(e);
    }
    assert_int_equal(steps[0], 200);
    assert_true(steps[1] < 100);
    qn_model_close(m);
}

/* The prompt repeats itself, the completion is noise: guesses end. */
static void test_switched_off(void **state)
{
    (void)state;
    int32_t prompt[60];
    qn_model *m = play_model("llama", 1);
    qn_engine *e = engine(m, 8, 1);
    for (int i = 0; i < 60; i++)
        prompt[i] = i % 2;
    qn_request_params rp = play_params(prompt, 60, 190);
    rp.sampling.allowed_ids = (int32_t[]){0, 1};
    rp.sampling.n_allowed = 2;
    rp.sampling.temperature = 1000; /* two tokens by the toss of a coin */
    play *p = play_submit(e, &rp);
    play_run(e, p);
    qn_request_stats rs;
    qn_request_get_stats(p->req, &rs);
    assert_true(rs.n_guessed < 600); /* of 190 * 8 */
    play_free(p);
    qn_engine_free(e);
    qn_model_close(m);
}

/* What a row costs, fitted to steps that are made up. */
static void test_cost(void **state)
{
    (void)state;
    qn_cost c = {0};
    assert_true(fabs(qn_cost_worth(&c, 1) - 0.3) < 1e-9);
    for (int i = 0; i < 40; i++)
        qn_cost_learn(&c, 1 + i % 5, 20 + 2 * (1 + i % 5));
    assert_true(fabs(qn_cost_worth(&c, 1) - 2.0 / 22) < 1e-6);
    assert_true(fabs(qn_cost_worth(&c, 10) - 20.0 / 40) < 1e-6);
    for (int i = 0; i < 400; i++) /* rows are all there is to it */
        qn_cost_learn(&c, 1 + i % 5, 3 * (1 + i % 5));
    assert_true(qn_cost_worth(&c, 4) > 0.9);
    for (int i = 0; i < 400; i++) /* rows cost nothing */
        qn_cost_learn(&c, 1 + i % 5, 7);
    assert_true(qn_cost_worth(&c, 4) < 0.06);
}

static void test_limits(void **state)
{
    (void)state;
    qn_model *m = play_model("llama", 1);
    qn_engine *e = NULL;
    qn_err err = {0};
    qn_engine_params p = {.speculate = -1};
    assert_int_equal(qn_engine_new(&e, m, &p, &err), QN_EINVAL);
    p.speculate = 65;
    assert_int_equal(qn_engine_new(&e, m, &p, &err), QN_EINVAL);
    assert_non_null(strstr(err.msg, "speculate"));
    qn_model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_tokens),  cmocka_unit_test(test_fewer_steps),
        cmocka_unit_test(test_switched_off), cmocka_unit_test(test_cost),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
