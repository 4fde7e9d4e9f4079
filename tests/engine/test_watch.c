/* What is cancelled in the middle of a pass: the pass is given up when nobody
 * else takes part in it, else it goes on and nobody's tokens change. The first
 * pass of an engine is watched in any case, since it may be long. */
#include "play.h"

#include "base/clock.h"

#define N_PROMPT 90

static int32_t prompt[N_PROMPT];

static int setup(void **state)
{
    uint32_t x = 21;
    (void)state;
    play_random_ids(&x, prompt, N_PROMPT, 512);
    return 0;
}

typedef struct watcher {
    qn_request *cancel; /* at call number `at`, from 0 */
    int at, n;
    double wait_ms; /* then, so that a deadline passes */
} watcher;

static void watch(void *user)
{
    watcher *w = user;
    if (w->n++ != w->at)
        return;
    uint64_t t0 = qn_now_ns();
    while (qn_ms_since(t0) < w->wait_ms) {
    }
    if (w->cancel)
        qn_request_cancel(w->cancel);
}

static void ended(play *p, qn_finish why)
{
    play_poll(p);
    assert_int_equal(p->out[0].n, 0);
    assert_int_equal(p->out[0].finish, why);
}

/* Alone in its pass: no row of it counts, and what comes next in the same
 * pages, or the same slot, is right. */
static void test_alone(void **state)
{
    static const char *const names[] = {"llama", "gemma2", "falcon_h1"};
    (void)state;
    for (size_t i = 0; i < QN_COUNTOF(names); i++) {
        qn_model *m = play_model(names[i], 1);
        qn_engine *e = play_engine(m, 256, 1, 0), *plain;
        qn_request_params rp = play_params(prompt, N_PROMPT, 20);
        play *p = play_submit(e, &rp);
        watcher w = {.cancel = p->req, .at = 2};
        qn_engine_watch(e, watch, &w);
        assert_int_equal(qn_engine_step(e, NULL), 0);
        assert_int_equal(w.n, 3); /* not once more */
        assert_int_equal(e->n_rows, 0);
        ended(p, QN_FINISH_CANCEL);
        play_no_pages(e);
        play_free(p);

        p = play_submit(e, &rp); /* w.n is past w.at */
        play_run(e, p);
        plain = play_engine(m, 256, 2, 0);
        play *q = play_submit(plain, &rp);
        play_run(plain, q);
        play_equal(p, q);
        play_free(p);
        play_free(q);
        qn_engine_free(e);
        qn_engine_free(plain);
        qn_model_close(m);
    }
}

/* Two in a pass, one is cancelled: the other does not notice. */
static void test_together(void **state)
{
    (void)state;
    qn_model *m = play_model("llama", 1);
    qn_engine *plain = play_engine(m, 512, 2, 0);
    qn_request_params rp = play_params(prompt, N_PROMPT, 20);
    play *want = play_submit(plain, &rp);
    play_run(plain, want);
    for (int both = 0; both <= 1; both++) {
        qn_engine *e = play_engine(m, 512, 2, 0);
        play *p = play_submit(e, &rp), *q = play_submit(e, &rp);
        watcher w = {.cancel = p->req, .at = 1};
        qn_engine_watch(e, watch, &w);
        if (both)
            qn_request_cancel(q->req);
        if (both) {
            assert_int_equal(qn_engine_step(e, NULL), 0);
            ended(q, QN_FINISH_CANCEL);
            ended(p, QN_FINISH_CANCEL);
        } else {
            play_run(e, q);
            play_equal(q, want);
            play_poll(p);
            assert_int_equal(p->out[0].finish, QN_FINISH_CANCEL);
        }
        play_free(p);
        play_free(q);
        play_no_pages(e);
        qn_engine_free(e);
    }
    play_free(want);
    qn_engine_free(plain);
    qn_model_close(m);
}

/* A deadline that passes while the pass runs, without anybody's help. */
static void test_deadline(void **state)
{
    (void)state;
    qn_model *m = play_model("llama", 1);
    qn_engine *e = play_engine(m, 256, 2, 0);
    qn_request_params rp = play_params(prompt, N_PROMPT, 20);
    qn_err err = {0};
    rp.deadline_ms = 200;
    play *p = play_submit(e, &rp);
    watcher w = {.at = 1, .wait_ms = 250};
    qn_engine_watch(e, watch, &w);
    assert_int_equal(qn_engine_step(e, NULL), 0);
    assert_int_equal(w.n, 2);
    assert_int_equal(e->n_rows, 0);
    ended(p, QN_FINISH_CANCEL);
    assert_int_equal(qn_request_error(p->req, &err), QN_ECANCEL);
    assert_non_null(strstr(err.msg, "deadline"));
    play_free(p);
    play_no_pages(e);
    qn_engine_free(e);
    qn_model_close(m);
}

/* Between steps nobody is asked: the requests of the last one may be gone. */
static void test_not_in_a_session(void **state)
{
    char path[512];
    (void)state;
    snprintf(path, sizeof path, "%s/watched", qn_test_tmpdir());
    qn_model *m = play_model("llama", 1);
    qn_engine *e = play_engine_of(m, (qn_engine_params){.n_ctx = 256,
                                                        .prefix_cache = true});
    qn_request_params rp = play_params(prompt, N_PROMPT, 0);
    play *p = play_submit(e, &rp);
    watcher w = {.at = -1};
    qn_engine_watch(e, watch, &w);
    play_run(e, p); /* one pass, the first */
    play_free(p);
    int asked = w.n;
    assert_true(asked > 0);
    assert_int_equal(qn_session_save(e, path, prompt, N_PROMPT, 0, NULL, NULL),
                     0);
    assert_int_equal(w.n, asked);
    qn_engine_free(e);
    qn_model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alone),
        cmocka_unit_test(test_together),
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_not_in_a_session),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
