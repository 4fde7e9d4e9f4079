/* Workspace of the backend: an engine has it all when it is made. Where there is
 * none, making the engine fails; and should a pass have none all the same, its
 * requests end with that as the reason, and the engine lives on. */
#include "play.h"

#include "backend/cpu/cpu_int.h"
#include "base/mem.h"

/* ---- enough for any step ------------------------------------------------- */

#define MAX_TOKENS 1200 /* more than two blocks of attention */

/* Steps of every kind: single rows at depth, several, prompts in chunks. */
static void use(qn_engine *e, const qn_model *m, const char *what, uint32_t *x)
{
    static int32_t prompt[MAX_TOKENS];
    uint64_t had = qn_big_used(QN_MEM_WORKSPACE);
    int64_t longest = QN_MIN(qn_model_n_ctx_train(m), (int64_t)MAX_TOKENS) - 8;
    for (int round = 0; round < 3; round++) {
        play *p[4];
        for (int i = 0; i < 4; i++) {
            size_t n = i == round ? (size_t)longest
                                  : 1 + play_random(x, (uint32_t)longest);
            play_random_ids(x, prompt, n, qn_model_n_vocab(m));
            qn_request_params rp = play_params(prompt, n, 8);
            rp.n = i == 3 ? 3 : 1;
            p[i] = play_submit(e, &rp);
        }
        for (int i = 0; i < 4; i++) {
            play_run(e, p[i]);
            play_free(p[i]);
        }
        if (qn_big_used(QN_MEM_WORKSPACE) != had)
            fail_msg("%s: the workspace grew by %lld bytes", what,
                     (long long)(qn_big_used(QN_MEM_WORKSPACE) - had));
    }
}

static void test_reserved(void **state)
{
    static const char *const names[] = {"llama",        "gemma2",    "mixtral",
                                        "falcon_h1",    "phi3",      "deepseek",
                                        "opt350",       "mamba2",    "gpt2",
                                        "bloom_stream", "gemma4_moe"};
    static const int batches[] = {1, 7, 33, 130, 600};
    uint32_t x = 88172645;
    (void)state;
    for (size_t i = 0; i < QN_COUNTOF(names); i++) {
        for (int threads = 1; threads <= 4; threads += 1 + (threads > 1)) {
            for (size_t b = 0; b < QN_COUNTOF(batches); b++) {
                char what[80];
                snprintf(what, sizeof what, "%s, %d threads, %d rows", names[i],
                         threads, batches[b]);
                qn_model *m = play_model(names[i], threads);
                qn_engine *e = play_engine_of(
                    m, (qn_engine_params){.n_ctx = 4 * (MAX_TOKENS + 8),
                                          .max_seqs = 6,
                                          .max_batch = batches[b]});
                use(e, m, what, &x);
                qn_engine_free(e);
                qn_model_close(m);
            }
        }
    }
}

/* ---- none ---------------------------------------------------------------- */

/* The checked allocations of making an engine, each failing once. */
static void test_no_engine(void **state)
{
    qn_model *m = play_model("llama", 2);
    qn_engine *e = NULL;
    int64_t n = 0;
    (void)state;
    for (;; n++) {
        qn_err err = {0};
        qn_mem_fail_after(n);
        int rc = qn_engine_new(&e, m, NULL, &err);
        if (!qn_mem_fail_after(-1))
            break;
        assert_int_equal(rc, QN_ENOMEM);
        assert_null(e);
        assert_non_null(strstr(err.msg, "available"));
    }
    assert_true(n >= 3); /* buffers, cache, workspace of the backend */
    qn_engine_free(e);
    qn_model_close(m);
}

static void lose_workspace(const qn_engine *e)
{
    qn_cpu_backend *be = QN_CONTAINER_OF(e->model->be, qn_cpu_backend, base);
    qn_big_free(be->ws, be->ws_bytes, QN_MEM_WORKSPACE);
    be->ws = NULL;
    be->ws_bytes = 0;
}

/* Those that take part end, also one of several completions in the midst; who
 * waits is served in the next step, and later ones are. */
static void test_no_pass(void **state)
{
    static const char *const names[] = {"llama", "gemma2", "falcon_h1"};
    static int32_t prompt[60];
    uint32_t x = 7;
    (void)state;
    for (size_t i = 0; i < QN_COUNTOF(names); i++) {
        qn_model *m = play_model(names[i], 2);
        qn_engine *e = play_engine(m, 512, 4, 64);
        play_random_ids(&x, prompt, 60, qn_model_n_vocab(m));
        /* long: where prompts go in whole tiles, a is ahead of b by some */
        qn_request_params one = play_params(prompt, 60, 40), many = one;
        many.n = 3;
        play *alone = play_submit(e, &one);
        play_run(e, alone);

        play *a = play_submit(e, &one), *b = play_submit(e, &many);
        while (a->out[0].n < 3 || b->out[2].n < 3) {
            assert_true(qn_engine_step(e, NULL) > 0);
            play_poll(a);
            play_poll(b);
        }
        play *c = play_submit(e, &one); /* there are four sequences already */
        lose_workspace(e);
        qn_mem_fail_after(0);
        assert_int_equal(qn_engine_step(e, NULL), 1);
        assert_true(qn_mem_fail_after(-1));
        play_poll(a);
        play_poll(b);
        assert_true(play_ended(a) && play_ended(b) && !play_ended(c));
        for (int j = 0; j < 3; j++)
            assert_int_equal(b->out[j].finish, QN_FINISH_ERROR);
        qn_err why = {0};
        assert_int_equal(qn_request_error(a->req, &why), QN_ENOMEM);
        assert_non_null(strstr(why.msg, "workspace"));

        play_run(e, c);
        play_equal(c, alone);
        play *d = play_submit(e, &many);
        play_run(e, d);
        play_no_pages(e);
        play_free(alone);
        play_free(a);
        play_free(b);
        play_free(c);
        play_free(d);
        qn_engine_free(e);
        qn_model_close(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reserved),
        cmocka_unit_test(test_no_engine),
        cmocka_unit_test(test_no_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
