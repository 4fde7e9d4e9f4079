/* Requests that end early, memory, threads: cancelling in every phase, pages
 * that come back, windows that give theirs back while they run, no allocation
 * for a token, allocations that fail. */
#include "play.h"

#include <malloc.h>
#include <pthread.h>

/* ---- counting allocations ---------------------------------------------- */

static atomic_long n_allocs;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || \
    !defined(__GLIBC__)
enum {
    COUNTED = 0
};
#else
enum {
    COUNTED = 1
};
extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);

void *malloc(size_t n)
{
    atomic_fetch_add(&n_allocs, 1);
    return __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    atomic_fetch_add(&n_allocs, 1);
    return __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
    atomic_fetch_add(&n_allocs, 1);
    return __libc_realloc(p, n);
}
#endif

/* Steps with events taken, as a program would. */
static void steps(qn_engine *e, qn_request *r, int n)
{
    qn_event ev;
    for (int i = 0; i < n; i++) {
        assert_true(qn_engine_step(e, NULL) > 0);
        while (qn_request_next(r, &ev))
            assert_int_equal(ev.finish, QN_FINISH_NONE);
    }
}

static void count(qn_model *m, qn_request_params p, const char *what)
{
    int32_t prompt[30];
    uint32_t x = 8;
    play_random_ids(&x, prompt, 30, qn_model_n_vocab(m));
    p.prompt = prompt;
    p.n_prompt = 30;
    p.max_new_tokens = 180;
    qn_engine *e = play_engine(m, 2048, 8, 64);
    qn_request *r = NULL;
    assert_int_equal(qn_request_submit(e, &p, &r, NULL), 0);
    steps(e, r, 16); /* buffers grow */
    long before = atomic_load(&n_allocs);
    steps(e, r, 150);
    long made = atomic_load(&n_allocs) - before;
    if (made)
        fail_msg("%s: %ld allocations in 150 steps", what, made);
    qn_request_free(r);
    qn_engine_free(e);
}

static void test_no_allocation(void **state)
{
    (void)state;
    if (!COUNTED)
        QN_SKIP("allocations are not counted under a sanitizer");
    free(malloc(1));
    assert_true(atomic_load(&n_allocs) > 0);
    qn_model *m = play_builtin();
    if (!m)
        QN_SKIP("no built-in model");
    qn_model *w = play_model("gemma2", 0);
    qn_request_params p = play_params(NULL, 0, 0);
    count(m, p, "greedy");
    count(w, p, "greedy with windows");
    p.stop = &(const char *){"never seen"};
    p.n_stop = 1;
    p.n_logprobs = 5;
    count(m, p, "stop string and log probabilities");
    p.sampling.temperature = 1;
    p.sampling.top_k = 50;
    p.sampling.top_p = 0.9f;
    p.sampling.min_p = 0.01f;
    p.n = 4;
    count(m, p, "top_k, top_p, min_p, n = 4");
    p.sampling.typical_p = 0.9f;
    p.sampling.dry_multiplier = 1;
    p.sampling.repetition_penalty = 1.1f;
    p.sampling.presence_penalty = 1;
    count(m, p, "typical_p, DRY, penalties");
    p.sampling.mirostat = 2;
    count(m, p, "mirostat");
    qn_model_close(m);
    qn_model_close(w);
}

/* ---- cancelling -------------------------------------------------------- */

static qn_model *llama;

static int setup(void **state)
{
    (void)state;
    llama = play_model("llama", 2);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    qn_model_close(llama);
    return 0;
}

/* n completions (or beams) in an engine of 4 sequences: after `n_steps` steps
 * it is cancelled, or freed at once, while another request runs. */
static void stop_after(int n, int beams, int n_steps, bool drop)
{
    int32_t prompt[100];
    uint32_t x = 4;
    play_random_ids(&x, prompt, 100, 512);
    qn_engine *e = play_engine(llama, 1024, 4, 16);
    qn_request_params other = play_params(prompt, 10, 40);
    qn_request_params p = play_params(prompt, 100, 30);
    p.n = n;
    p.n_beams = beams;
    play *o = play_submit(e, &other);
    qn_err err = {0};
    play *r = play_submit(e, &p);
    for (int i = 0; i < n_steps; i++) {
        assert_true(qn_engine_step(e, &err) > 0);
        play_poll(r);
    }
    if (drop) {
        qn_request_free(r->req);
        r->req = NULL;
    } else {
        int had = r->out[0].n;
        qn_request_cancel(r->req);
        qn_request_cancel(r->req);
        assert_true(qn_engine_step(e, &err) > 0);
        play_poll(r);
        for (int i = 0; i < r->n_out; i++)
            assert_int_equal(r->out[i].finish, QN_FINISH_CANCEL);
        assert_int_equal(r->out[0].n, had);
    }
    play_run(e, o);
    assert_int_equal(o->out[0].n, 40);
    play_free(o);
    play_free(r);
    play_no_pages(e);
    qn_engine_free(e);
}

static void test_cancel(void **state)
{
    (void)state;
    for (int drop = 0; drop <= 1; drop++) {
        for (int at = 0; at < 20; at++) { /* queued, prompt, decoding */
            stop_after(1, 1, at, drop);
            stop_after(3, 1, at, drop);
            stop_after(2, 3, at, drop);
        }
        stop_after(4, 1, 5, drop); /* waits for the other */
    }
}

/* After the end nothing more comes; an engine may go before its requests. */
static void test_cancel_late(void **state)
{
    (void)state;
    int32_t prompt[4] = {1, 2, 3, 4};
    qn_engine *e = play_engine(llama, 256, 4, 16);
    qn_request_params p = play_params(prompt, 4, 3);
    p.prompt_logits = true;
    play *a = play_submit(e, &p), *b = play_submit(e, &p);
    play_run(e, a);
    qn_request_cancel(a->req);
    while (qn_engine_step(e, NULL) > 0)
        ;
    play_poll(a);
    assert_int_equal(a->out[0].finish, QN_FINISH_LENGTH);
    p.max_new_tokens = 100;
    play *c = play_submit(e, &p);
    assert_int_equal(qn_engine_step(e, NULL), 1);
    qn_engine_free(e);
    play_poll(c);
    assert_int_equal(c->out[0].finish, QN_FINISH_CANCEL);
    play_free(a);
    play_free(b);
    play_free(c);
}

static void *cancel_soon(void *arg)
{
    struct timespec t = {0, 2000000};
    nanosleep(&t, NULL);
    qn_request_cancel(arg);
    return NULL;
}

static void test_cancel_from_thread(void **state)
{
    (void)state;
    int32_t prompt[4] = {1, 2, 3, 4};
    qn_engine *e = play_engine(llama, 256, 4, 16);
    for (int i = 0; i < 20; i++) {
        qn_request_params p = play_params(prompt, 4, 200);
        play *r = play_submit(e, &p);
        pthread_t t;
        assert_int_equal(pthread_create(&t, NULL, cancel_soon, r->req), 0);
        play_run(e, r);
        pthread_join(t, NULL);
        assert_true(r->out[0].finish == QN_FINISH_CANCEL || r->out[0].n == 200);
        play_free(r);
    }
    play_no_pages(e);
    qn_engine_free(e);
}

typedef struct alone {
    qn_request_params p;
    play *r;
} alone;

static void *run_alone(void *arg)
{
    alone *a = arg;
    qn_engine *e = play_engine(llama, 256, 2, 16);
    a->r = play_submit(e, &a->p);
    play_run(e, a->r);
    qn_engine_free(e);
    return NULL;
}

/* A model is shared, an engine is not: each thread has its own. */
static void test_engines_in_threads(void **state)
{
    (void)state;
    enum {
        N = 3
    };
    int32_t prompt[N] = {3, 5, 7};
    alone one[N], many[N];
    pthread_t t[N];
    for (int i = 0; i < N; i++) {
        one[i].p = many[i].p = play_params(&prompt[i], 1, 60);
        run_alone(&one[i]);
    }
    for (int i = 0; i < N; i++)
        assert_int_equal(pthread_create(&t[i], NULL, run_alone, &many[i]), 0);
    for (int i = 0; i < N; i++) {
        pthread_join(t[i], NULL);
        play_equal(many[i].r, one[i].r);
        play_free(many[i].r);
        play_free(one[i].r);
    }
}

/* ---- pages ------------------------------------------------------------- */

/* Layers with a window of 16 hold two pages of 64 at most between steps. */
static void test_windows_give_back(void **state)
{
    (void)state;
    int32_t prompt[150];
    uint32_t x = 6;
    qn_model *m = play_model("gemma2", 2);
    qn_engine *e = play_engine(m, 1024, 2, 32);
    assert_int_equal(e->n_groups, 2);
    play_random_ids(&x, prompt, 150, 512);
    qn_request_params p = play_params(prompt, 150, 100);
    play *r = play_submit(e, &p);
    int most[2] = {0, 0};
    while (qn_engine_step(e, NULL) > 0)
        for (int g = 0; g < 2; g++)
            most[g] = QN_MAX(most[g], e->pages[g].n - e->pages[g].n_free);
    int windowed = qn_net_kv_window(m->net, 0) > 0 ? 0 : 1;
    assert_int_equal(most[windowed], 2);
    assert_int_equal(most[!windowed], 4); /* 249 positions */
    play_poll(r);
    assert_int_equal(r->out[0].n, 100);
    play_free(r);
    play_no_pages(e);
    qn_engine_free(e);
    qn_model_close(m);
}

/* A request that fits alone but not beside the others waits, and does not
 * wait for ever. */
static void test_waiting(void **state)
{
    (void)state;
    int32_t prompt[200] = {5};
    qn_engine *e = play_engine(llama, 256, 3, 64);
    qn_request_params big = play_params(prompt, 200, 50);
    qn_request_params small = play_params(prompt, 2, 30);
    play *r[6];
    for (int i = 0; i < 6; i++)
        r[i] = play_submit(e, i % 2 ? &big : &small);
    int first = -1;
    for (int left = 6; left > 0;) {
        left = qn_engine_step(e, NULL);
        assert_true(left >= 0);
        for (int i = 0; i < 6; i++) {
            play_poll(r[i]);
            if (r[i]->req->phase != QN_WAITING && i > first) {
                assert_int_equal(i, first + 1); /* first come, first served */
                first = i;
            }
        }
        assert_true(e->n_live_seqs <= 3);
    }
    assert_int_equal(first, 5);
    qn_request_stats s;
    qn_request_get_stats(r[5]->req, &s);
    assert_int_equal(s.n_prompt, 200);
    assert_int_equal(s.n_completion, 50);
    assert_true(s.queued_ms > 0 && s.ttft_ms >= s.queued_ms);
    for (int i = 0; i < 6; i++)
        play_free(r[i]);
    play_no_pages(e);
    qn_engine_free(e);
}

/* ---- allocations that fail ---------------------------------------------- */

static void test_failing_allocations(void **state)
{
    (void)state;
    qn_engine_params ep = {.n_ctx = 256, .max_seqs = 2, .max_batch = 16};
    qn_engine *e = NULL;
    qn_err err = {0};
    int n = 0, rc;
    for (;; n++) {
        qn_mem_fail_after(n);
        rc = qn_engine_new(&e, llama, &ep, &err);
        if (!qn_mem_fail_after(-1))
            break;
        assert_int_equal(rc, QN_ENOMEM);
        assert_true(err.msg[0] != 0);
    }
    assert_int_equal(rc, 0);
    assert_true(n > 3);
    int32_t prompt[4] = {1, 2, 3, 4};
    qn_request_params p = play_params(prompt, 4, 3);
    qn_request *r = NULL;
    p.prompt_logits = true;
    qn_mem_fail_after(0);
    assert_int_equal(qn_request_submit(e, &p, &r, &err), QN_ENOMEM);
    assert_true(qn_mem_fail_after(-1));
    assert_null(r);
    play_no_pages(e);
    qn_engine_free(e);
}

static void test_failing_open(void **state)
{
    (void)state;
    qn_err err = {0};
    for (int n = 0;; n++) {
        qn_model *m = NULL;
        qn_model_params p = {.n_threads = 2};
        qn_mem_fail_after(n);
        int rc = qn_model_open(&m, qn_test_data("models/llama"), &p, &err);
        if (!qn_mem_fail_after(-1)) {
            assert_int_equal(rc, 0);
            qn_model_close(m);
            return;
        }
        if (rc == 0) /* it went on without what it was refused */
            qn_model_close(m);
        else
            assert_int_equal(rc, QN_ENOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_allocation),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_cancel_late),
        cmocka_unit_test(test_cancel_from_thread),
        cmocka_unit_test(test_engines_in_threads),
        cmocka_unit_test(test_windows_give_back),
        cmocka_unit_test(test_waiting),
        cmocka_unit_test(test_failing_allocations),
        cmocka_unit_test(test_failing_open),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
