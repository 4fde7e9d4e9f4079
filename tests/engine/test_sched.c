/* Whose turn it is: rows of prompts beside sequences that decode, which prompt
 * is first, turns between tenants, the bounded queue, deadlines, and requests
 * that give way and are computed again. */
#include "play.h"

#include <unistd.h>

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

static qn_engine *engine(const qn_engine_params *p)
{
    return play_engine_of(llama, *p);
}

static int32_t *prompt_of(size_t n)
{
    static int32_t ids[1024];
    uint32_t x = 99;
    assert_true(n <= QN_COUNTOF(ids));
    play_random_ids(&x, ids, QN_COUNTOF(ids), qn_model_n_vocab(llama));
    return ids;
}

static uint64_t rows(const qn_engine *e)
{
    qn_engine_stats s;
    qn_engine_get_stats(e, &s);
    return s.n_rows;
}

static void step(qn_engine *e)
{
    qn_err err = {0};
    if (qn_engine_step(e, &err) < 0)
        fail_msg("%s", err.msg);
}

/* ---- rows of prompts --------------------------------------------------- */

static void test_rows_beside_decoding(void **state)
{
    (void)state;
    for (int cap = 0; cap <= 20; cap += 5) {
        qn_engine *e = engine(&(qn_engine_params){.max_seqs = 4,
                                                  .max_batch = 256,
                                                  .max_prompt_rows = cap});
        qn_request_params one = play_params(prompt_of(10), 10, 300);
        qn_request_params two = play_params(prompt_of(200), 200, 10);
        play *a = play_submit(e, &one);
        step(e); /* alone: all at once */
        assert_int_equal(rows(e), 10);
        play *b = play_submit(e, &two);
        int n = 0;
        while (b->out[0].n == 0) {
            uint64_t before = rows(e);
            step(e);
            play_poll(b);
            uint64_t made = rows(e) - before;
            if (cap)
                assert_int_equal(made, 1 + QN_MIN(cap, 200 - n * cap));
            else /* auto: few, but some */
                assert_in_range(made, 2, 1 + 100);
            n++;
        }
        if (!cap)
            assert_in_range(n, 3, 200 / 4 + 1);
        play_run(e, a);
        play_run(e, b);
        play_free(a);
        play_free(b);
        play_no_pages(e);
        qn_engine_free(e);
    }
}

/* The first tokens of a wave come one by one, not all behind the last. */
static void test_wave(void **state)
{
    (void)state;
    enum {
        N = 8,
        LEN = 64
    };
    play *p[N];
    qn_engine *e = engine(&(qn_engine_params){.max_seqs = N,
                                              .max_batch = 4 * LEN,
                                              .max_prompt_rows = LEN});
    qn_request_params rp = play_params(prompt_of(LEN), LEN, 40);
    for (int i = 0; i < N; i++)
        p[i] = play_submit(e, &rp);
    for (int i = 0; i < N; i++) {
        step(e);
        for (int j = 0; j < N; j++) {
            play_poll(p[j]);
            assert_int_equal(p[j]->out[0].n > 0, j <= i);
        }
    }
    for (int i = 0; i < N; i++) {
        play_run(e, p[i]);
        play_free(p[i]);
    }
    qn_engine_free(e);
}

/* Of a long, a middle and a short one, in this order, the short one ends
 * first; and the long one, a quarter of each step, is not left behind. */
static void test_shortest_first(void **state)
{
    (void)state;
    static const size_t len[] = {200, 90, 30};
    play *p[3];
    int first[3] = {0};
    qn_engine *e = engine(&(qn_engine_params){.max_seqs = 4,
                                              .max_batch = 256,
                                              .max_prompt_rows = 20});
    qn_request_params rp = play_params(prompt_of(5), 5, 300);
    play *busy = play_submit(e, &rp);
    step(e);
    for (int i = 0; i < 3; i++) {
        rp = play_params(prompt_of(len[i]), len[i], 2);
        p[i] = play_submit(e, &rp);
    }
    step(e);
    assert_int_equal(p[0]->req->seqs[0]->n_kv, 5);
    assert_int_equal(p[1]->req->seqs[0]->n_kv, 0);
    assert_int_equal(p[2]->req->seqs[0]->n_kv, 15);
    for (int n = 2; !first[0]; n++) {
        step(e);
        for (int i = 0; i < 3; i++) {
            play_poll(p[i]);
            if (!first[i] && p[i]->out[0].n)
                first[i] = n;
        }
    }
    assert_int_equal(first[2], 2);
    assert_true(first[1] > first[2] && first[0] > first[1]);
    assert_int_equal(first[0], (200 + 90 + 30) / 20);
    play_run(e, busy);
    play_free(busy);
    for (int i = 0; i < 3; i++) {
        play_run(e, p[i]);
        play_free(p[i]);
    }
    qn_engine_free(e);
}

/* ---- turns ------------------------------------------------------------- */

/* One sequence at a time: the order in which requests of two tenants end. */
static void order_of(const uint32_t *tenant, const size_t *len,
                     const int *priority, int n, const char *want)
{
    play *p[16];
    char got[17] = "";
    int n_got = 0;
    qn_engine *e = engine(&(qn_engine_params){.max_seqs = 1});
    for (int i = 0; i < n; i++) {
        qn_request_params rp = play_params(prompt_of(len[i]), len[i], 4);
        rp.tenant = tenant[i];
        rp.priority = priority ? priority[i] : 0;
        p[i] = play_submit(e, &rp);
    }
    while (n_got < n) {
        step(e);
        for (int i = 0; i < n; i++) {
            bool before = play_ended(p[i]);
            play_poll(p[i]);
            if (!before && play_ended(p[i]))
                got[n_got++] = (char)('a' + i);
        }
    }
    assert_string_equal(got, want);
    for (int i = 0; i < n; i++)
        play_free(p[i]);
    qn_engine_free(e);
}

static void test_turns(void **state)
{
    (void)state;
    static const size_t same[] = {20, 20, 20, 20, 20, 20};
    static const size_t sizes[] = {90, 90, 20, 20, 20, 20};
    static const int prio[] = {1, 1, 0, 0, -1, 1};
    /* in the order of arrival; then by turns; then by tokens, not requests */
    order_of((uint32_t[]){7, 7, 7, 7, 7, 7}, same, NULL, 6, "abcdef");
    order_of((uint32_t[]){1, 1, 1, 1, 2, 2}, same, NULL, 6, "aebfcd");
    order_of((uint32_t[]){1, 1, 2, 2, 2, 2}, sizes, NULL, 6, "acdefb");
    order_of((uint32_t[]){1, 1, 2, 2, 2, 2}, sizes, prio, 6, "ecdafb");
}

static void test_many_tenants(void **state)
{
    (void)state;
    qn_engine *e = engine(&(qn_engine_params){.max_seqs = 1});
    for (uint32_t i = 0; i < 1000; i++) {
        qn_request_params rp = play_params(prompt_of(2), 2, 1);
        rp.tenant = i;
        play *p = play_submit(e, &rp);
        if (i % 3)
            qn_request_cancel(p->req);
        play_run(e, p);
        play_free(p);
    }
    int n = 0;
    for (const qn_tenant *t = e->tenants; t; t = t->next)
        n++;
    assert_in_range(n, 1, 300);
    qn_engine_free(e);
}

/* ---- limits ------------------------------------------------------------ */

static void test_busy(void **state)
{
    (void)state;
    play *p[4];
    qn_err err = {0};
    qn_request *r = NULL;
    qn_engine *e = engine(&(qn_engine_params){.max_seqs = 1, .max_waiting = 3});
    qn_request_params rp = play_params(prompt_of(8), 8, 8);
    p[0] = play_submit(e, &rp);
    step(e);
    for (int i = 1; i < 4; i++)
        p[i] = play_submit(e, &rp);
    assert_int_equal(qn_request_submit(e, &rp, &r, &err), QN_EBUSY);
    assert_null(r);
    assert_non_null(strstr(err.msg, "3 requests wait"));
    qn_request_cancel(p[3]->req);
    step(e);
    p[3] = (play_poll(p[3]), play_free(p[3]), play_submit(e, &rp));
    for (int i = 0; i < 4; i++) {
        play_run(e, p[i]);
        play_free(p[i]);
    }
    qn_engine_free(e);
}

static void test_deadline(void **state)
{
    (void)state;
    qn_err err = {0};
    qn_engine *e = engine(&(qn_engine_params){.max_seqs = 1});
    qn_request_params rp = play_params(prompt_of(8), 8, 200);
    rp.deadline_ms = -1;
    assert_int_equal(qn_request_submit(e, &rp, NULL, &err), QN_EINVAL);
    rp.deadline_ms = 1e9;
    play *a = play_submit(e, &rp);
    step(e);
    rp.deadline_ms = 5;
    play *b = play_submit(e, &rp); /* waits behind a */
    usleep(6000);
    play_run(e, b);
    assert_int_equal(b->out[0].finish, QN_FINISH_CANCEL);
    assert_int_equal(qn_request_error(b->req, &err), QN_ECANCEL);
    assert_non_null(strstr(err.msg, "deadline"));
    play_run(e, a);
    assert_int_equal(a->out[0].finish, QN_FINISH_LENGTH);
    assert_int_equal(qn_request_error(a->req, &err), 0);
    play_free(a);
    play_free(b);
    play_no_pages(e);
    qn_engine_free(e);
}

/* ---- giving way -------------------------------------------------------- */

enum {
    N_TIGHT = 12
};

static qn_request_params tight_params(int i)
{
    size_t n = 5 + 11 * (size_t)i;
    qn_request_params rp = play_params(prompt_of(n), n, 150);
    rp.sampling.temperature = i % 2 ? 0.8f : 0;
    rp.sampling.seed = (uint64_t)i;
    rp.n_logprobs = 0;
    rp.priority = i % 5 == 0;
    return rp;
}

/* Twelve requests whose answers would fill the cache three times over: their
 * tokens are those of each alone. */
static qn_engine_stats tight(play **alone, qn_engine_params ep, int *n_steps)
{
    play *p[N_TIGHT];
    qn_engine_stats s;
    int n = 0;
    ep.max_seqs = N_TIGHT;
    ep.n_ctx = 64;
    ep.max_batch = 64;
    qn_engine *e = engine(&ep);
    for (int i = 0; i < N_TIGHT; i++) {
        qn_request_params rp = tight_params(i);
        p[i] = play_submit(e, &rp);
    }
    *n_steps = 0;
    for (bool more = true; more; (*n_steps)++) {
        step(e);
        more = false;
        for (int i = 0; i < N_TIGHT; i++) {
            play_poll(p[i]);
            more |= !play_ended(p[i]);
        }
    }
    qn_engine_get_stats(e, &s);
    for (int i = 0; i < N_TIGHT; i++) {
        qn_request_stats rs;
        qn_request_get_stats(p[i]->req, &rs);
        n += rs.n_preempted;
        play_equal(p[i], alone[i]);
        play_free(p[i]);
    }
    assert_int_equal(n, s.n_preempted);
    assert_int_equal(s.swap_bytes, 0);
    play_no_pages(e);
    qn_engine_free(e);
    return s;
}

static void test_give_way(void **state)
{
    (void)state;
    play *alone[N_TIGHT];
    qn_engine_stats n, kept;
    int promised, over;
    qn_engine *e = engine(&(qn_engine_params){0});
    for (int i = 0; i < N_TIGHT; i++) {
        qn_request_params rp = tight_params(i);
        alone[i] = play_submit(e, &rp);
        play_run(e, alone[i]);
    }
    n = tight(alone, (qn_engine_params){0}, &promised);
    assert_int_equal(n.n_preempted, 0);
    n = tight(alone, (qn_engine_params){.overcommit = true}, &over);
    assert_true(n.n_preempted > 0);
    assert_int_equal(n.n_swapped, 0);
    assert_true(over < promised); /* more of them ran at once */
    kept = tight(alone,
                 (qn_engine_params){.overcommit = true, .swap_bytes = 1 << 24},
                 &over);
    assert_true(kept.n_preempted > 0 && kept.n_swapped > 0);
    assert_true(kept.n_rows <
                n.n_rows); /* what was kept is not computed again */
    kept = tight(alone,
                 (qn_engine_params){.overcommit = true,
                                    .swap_bytes = 1,
                                    .prefix_cache = true},
                 &over);
    assert_true(kept.n_preempted > 0);
    assert_int_equal(kept.n_swapped, 0); /* no room */
    assert_true(over < promised);
    tight(alone,
          (qn_engine_params){.overcommit = true,
                             .swap_bytes = 1 << 24,
                             .prefix_cache = true},
          &over);
    for (int i = 0; i < N_TIGHT; i++)
        play_free(alone[i]);
    qn_engine_free(e);
}

/* ---- pace -------------------------------------------------------------- */

/* A step that takes too long for what is allowed has one row of a prompt. */
static void test_short_steps(void **state)
{
    (void)state;
    qn_engine *e = engine(&(qn_engine_params){.max_step_ms = 1e-6});
    qn_engine *free_one = engine(&(qn_engine_params){0});
    qn_request_params rp = play_params(prompt_of(50), 50, 10);
    rp.n_logprobs = 0;
    play *a = play_submit(e, &rp), *b = play_submit(free_one, &rp);
    play_run(free_one, b);
    for (int i = 1; i < 50; i++) {
        uint64_t before = rows(e);
        step(e);
        assert_int_equal(rows(e) - before, 1);
    }
    play_run(e, a);
    play_equal(a, b);
    play_free(a);
    play_free(b);
    qn_engine_free(e);
    qn_engine_free(free_one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_beside_decoding),
        cmocka_unit_test(test_wave),
        cmocka_unit_test(test_shortest_first),
        cmocka_unit_test(test_turns),
        cmocka_unit_test(test_many_tenants),
        cmocka_unit_test(test_busy),
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_give_way),
        cmocka_unit_test(test_short_steps),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
