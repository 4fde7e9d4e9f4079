/* Sessions: what was computed comes back from its file to the bit, and a file
 * that is damaged or of something else is refused and changes nothing. */
#include "play.h"

#include "engine/session_file.h"

enum {
    N_PROMPT = 200,
    PAGES = 3 /* whole ones of a prompt and 20 tokens */
};

static int32_t prompt[N_PROMPT];
static const char *path;

static int setup(void **state)
{
    static char file[4200];
    uint32_t x = 21;
    (void)state;
    play_random_ids(&x, prompt, N_PROMPT, 500);
    snprintf(file, sizeof file, "%s/session", qn_test_tmpdir());
    path = file;
    return 0;
}

static qn_engine *engine(qn_model *m, int64_t n_ctx, qn_kv_type kv)
{
    return play_engine_of(m, (qn_engine_params){.n_ctx = n_ctx,
                                                .max_seqs = 2,
                                                .max_batch = 33,
                                                .kv_type = kv,
                                                .prefix_cache = true});
}

static play *ask(qn_engine *e, uint64_t salt, int *n_cached)
{
    qn_request_params rp = play_params(prompt, N_PROMPT, 20);
    qn_request_stats s;
    rp.cache_salt = salt;
    rp.n_logprobs = 1;
    rp.sampling.temperature = 1;
    play *p = play_submit(e, &rp);
    play_run(e, p);
    qn_request_get_stats(p->req, &s);
    *n_cached = s.n_cached;
    return p;
}

static void save(qn_engine *e, const play *p)
{
    int32_t all[N_PROMPT + 20];
    qn_err err = {0};
    size_t n = 0;
    memcpy(all, prompt, sizeof prompt);
    memcpy(all + N_PROMPT, p->out[0].ids, 20 * sizeof(int32_t));
    if (qn_session_save(e, path, all, N_PROMPT + 20, 7, &n, &err) < 0)
        fail_msg("%s", err.msg);
    assert_int_equal(n, PAGES * 64);
}

static void test_comes_back(void **state)
{
    static const char *const names[] = {"llama", "gpt2", "mixtral"};
    (void)state;
    for (size_t i = 0; i < QN_COUNTOF(names); i++) {
        qn_model *m = play_model(names[i], 0);
        qn_kv_type kv = i == 0 ? QN_KV_INT8 : QN_KV_AUTO;
        qn_engine *e = engine(m, 1024, kv);
        int n_cached;
        size_t n = 0;
        int32_t *tokens = NULL;
        play *a = ask(e, 7, &n_cached);
        assert_int_equal(n_cached, 0);
        save(e, a);
        qn_engine_free(e);
        e = engine(m, 1024, kv);
        for (int again = 0; again < 2; again++) {
            assert_int_equal(qn_session_load(e, path, 7, &tokens, &n, NULL), 0);
            assert_int_equal(n, PAGES * 64);
            assert_memory_equal(tokens, prompt, n * sizeof *tokens);
            qn_free(tokens);
            play_no_pages(e);
        }
        play *b = ask(e, 8, &n_cached); /* other people's */
        assert_int_equal(n_cached, 0);
        play_equal(a, b);
        play_free(b);
        b = ask(e, 7, &n_cached);
        assert_int_equal(n_cached, PAGES * 64);
        play_equal(a, b);
        play_free(b);
        play_free(a);
        play_no_pages(e);
        qn_engine_free(e);
        qn_model_close(m);
    }
}

static void refused(qn_engine *e, int code, const char *names)
{
    qn_err err = {0};
    int rc = qn_session_load(e, path, 7, NULL, NULL, &err);
    if (rc != code || !strstr(err.msg, names))
        fail_msg("%d %s; not %d %s", rc, err.msg, code, names);
    play_no_pages(e);
    assert_int_equal(e->pages[0].n_kept, 0);
}

static void test_damage(void **state)
{
    (void)state;
    qn_model *m = play_model("llama", 0);
    qn_engine *e = engine(m, 1024, QN_KV_AUTO);
    int n_cached;
    size_t n;
    play *a = ask(e, 7, &n_cached);
    save(e, a);
    play_free(a);
    qn_engine_free(e);
    char *file = qn_test_read_file(path, &n);
    e = engine(m, 1024, QN_KV_AUTO);
    for (size_t i = 0; i < n; i = i < 900 ? i + 1 : i + 7001) {
        qn_err err = {0};
        file[i] ^= 4;
        qn_test_write_file(path, file, n);
        assert_int_equal(qn_session_load(e, path, 7, NULL, NULL, &err),
                         QN_EFORMAT);
        file[i] ^= 4;
    }
    for (size_t i = 0; i < n; i = i < 70 ? i + 1 : i + n / 7) {
        qn_test_write_file(path, file, i);
        refused(e, QN_EFORMAT, path);
    }
    free(file);
    qn_engine_free(e);
    qn_model_close(m);
}

static void test_something_else(void **state)
{
    (void)state;
    qn_model *m = play_model("llama", 0), *other = play_model("mixtral", 0);
    qn_model *windows = play_model("gemma2", 0);
    qn_engine *e = engine(m, 1024, QN_KV_F16);
    int n_cached;
    qn_err err = {0};
    assert_int_equal(qn_session_save(e, path, prompt, N_PROMPT, 7, NULL, &err),
                     QN_ENOENT);
    play *a = ask(e, 7, &n_cached);
    save(e, a);
    play_free(a);
    qn_engine_free(e);
    e = engine(m, 64, QN_KV_F16); /* 3 pages */
    qn_request_params rp = play_params(prompt, 64, 5);
    play *busy = play_submit(e, &rp);
    assert_true(qn_engine_step(e, NULL) > 0);
    assert_true(qn_engine_step(e, NULL) > 0);
    assert_int_equal(qn_session_load(e, path, 7, NULL, NULL, &err), QN_ELIMIT);
    assert_non_null(strstr(err.msg, "raise"));
    play_run(e, busy);
    play_free(busy);
    qn_engine_free(e);
    e = engine(m, 1024, QN_KV_BF16);
    refused(e, QN_EINVAL, "--kv-type");
    qn_engine_free(e);
    e = engine(m, 1024, QN_KV_F32);
    refused(e, QN_EINVAL, "--kv-type");
    qn_engine_free(e);
    e = engine(other, 1024, QN_KV_F16);
    refused(e, QN_EINVAL, "another model");
    qn_engine_free(e);
    e = engine(windows, 1024, QN_KV_F16);
    refused(e, QN_EUNSUP, "prefix cache");
    qn_engine_free(e);
    qn_model_close(m);
    qn_model_close(other);
    qn_model_close(windows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_comes_back),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_something_else),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
