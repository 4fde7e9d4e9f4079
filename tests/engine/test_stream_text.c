/* The text that comes out piece by piece, with the built-in model: it equals
 * the decoding of all ids, whole code points at a time, and ends before the
 * first stop string wherever tokens begin and end. What is right is computed
 * from whole texts. */
#include "play.h"

#include "base/utf8.h"

enum {
    N_NEW = 60
};

static qn_model *model;
static int32_t *prompt;
static size_t n_prompt;

static int setup(void **state)
{
    static const char text[] = "Once upon a time there was a mill";
    qn_err err = {0};
    (void)state;
    model = play_builtin();
    if (!model)
        return 0;
    return qn_tokenize(model, text, strlen(text), true, false, &prompt,
                       &n_prompt, &err);
}

static int teardown(void **state)
{
    (void)state;
    qn_free(prompt);
    qn_model_close(model);
    return 0;
}

static qn_request_params params(uint64_t seed, float temperature)
{
    qn_request_params p = play_params(prompt, n_prompt, N_NEW);
    p.sampling.temperature = temperature;
    p.sampling.seed = seed;
    return p;
}

static char *decoded(const int32_t *ids, int n, size_t *len)
{
    char *text = NULL;
    qn_err err = {0};
    if (qn_detokenize(model, ids, (size_t)n, true, &text, len, &err) < 0)
        fail_msg("%s", err.msg);
    return text;
}

/* Nonsense at high temperature is full of broken code points. */
static void test_whole_code_points(void **state)
{
    (void)state;
    if (!model)
        QN_SKIP("no built-in model");
    qn_engine *e = play_engine(model, 4096, 8, 0);
    for (int i = 0; i < 12; i++) {
        qn_request_params p = params((uint64_t)i, i % 2 ? 1 : 50);
        qn_err err = {0};
        qn_event ev;
        play *r = play_submit(e, &p);
        qn_str all;
        qn_str_init(&all);
        int32_t ids[N_NEW];
        int n = 0;
        for (int rc = 1; rc > 0;) {
            rc = qn_engine_step(e, &err);
            while (qn_request_next(r->req, &ev)) {
                assert_true(qn_utf8_valid(ev.text, ev.text_len));
                qn_str_add(&all, ev.text, ev.text_len);
                ids[n++] = ev.id;
            }
        }
        size_t len;
        assert_int_equal(n, N_NEW);
        char *want = decoded(ids, n, &len);
        assert_int_equal(all.n, len);
        assert_memory_equal(all.p, want, len);
        qn_free(want);
        qn_str_deinit(&all);
        play_free(r);
    }
    qn_engine_free(e);
}

/* Where the first of the stop strings begins in the text; len: nowhere. */
static size_t first_stop(const char *text, size_t len, const char *const *stop,
                         size_t n)
{
    size_t first = len;
    for (size_t i = 0; i < n; i++) {
        const char *at = memmem(text, len, stop[i], strlen(stop[i]));
        if (at && (size_t)(at - text) < first)
            first = (size_t)(at - text);
    }
    return first;
}

static void check_stop(qn_engine *e, const qn_request_params *p,
                       const play_out *freely)
{
    play *r = play_submit(e, p);
    play_run(e, r);
    const play_out *o = &r->out[0];
    assert_memory_equal(o->ids, freely->ids, (size_t)o->n * sizeof *o->ids);
    /* it ended with the first token that completes a stop string */
    for (int n = 0; n <= o->n; n++) {
        size_t len;
        char *text = decoded(freely->ids, n, &len);
        size_t at = first_stop(text, len, p->stop, p->n_stop);
        if (n < o->n)
            assert_int_equal(at, len);
        if (n == o->n && o->finish == QN_FINISH_STOP)
            assert_true(at < len);
        if (n == o->n) {
            assert_int_equal(o->text.n, at);
            assert_memory_equal(o->text.p, text, at);
        }
        qn_free(text);
    }
    if (o->finish != QN_FINISH_STOP)
        assert_int_equal(o->n, N_NEW);
    play_free(r);
}

/* Pieces of what the model says, cut anywhere; some changed at the end, so
 * that they begin often and are never complete. */
static void test_stop_strings(void **state)
{
    (void)state;
    if (!model)
        QN_SKIP("no built-in model");
    qn_engine *e = play_engine(model, 4096, 8, 0);
    uint32_t x = 5;
    int hits = 0;
    play *f = NULL;
    for (int i = 0; i < 36; i++) {
        qn_request_params p = params((uint64_t)(i / 6), 0.8f);
        char stops[4][32];
        const char *stop[4];
        if (i % 6 == 0) {
            f = play_submit(e, &p);
            play_run(e, f);
        }
        const play_out *o = &f->out[0];
        p.n_stop = 1 + play_random(&x, 4);
        for (size_t k = 0; k < p.n_stop; k++) {
            size_t len = 1 + play_random(&x, 20);
            size_t at = play_random(&x, (uint32_t)(o->text.n - len));
            while (((unsigned char)o->text.p[at] & 0xc0) == 0x80)
                at--;
            memcpy(stops[k], o->text.p + at, len);
            stops[k][len] = 0;
            if (len > 3 && play_random(&x, 2))
                stops[k][len - 1] = '#';
            stop[k] = stops[k];
        }
        p.stop = stop;
        check_stop(e, &p, o);
        hits += first_stop(o->text.p, o->text.n, stop, p.n_stop) < o->text.n;
        if (i % 6 == 5)
            play_free(f);
    }
    assert_in_range(hits, 10, 35); /* both cases came up */
    play_no_pages(e);
    qn_engine_free(e);
}

/* What a stop string held back comes out when the request is cancelled. */
static void test_held_text(void **state)
{
    (void)state;
    if (!model)
        QN_SKIP("no built-in model");
    qn_engine *e = play_engine(model, 4096, 8, 0);
    qn_request_params p = params(1, 0.8f);
    play *f = play_submit(e, &p);
    play_run(e, f);
    size_t len;
    char *want = decoded(f->out[0].ids, 10, &len);
    qn_str stop; /* all the text, and then something else */
    qn_str_init(&stop);
    qn_str_add(&stop, f->out[0].text.p, f->out[0].text.n);
    qn_str_adds(&stop, "#");
    p.stop = (const char *const *)&stop.p;
    p.n_stop = 1;
    play *r = play_submit(e, &p);
    while (r->out[0].n < 10) {
        assert_true(qn_engine_step(e, NULL) > 0);
        play_poll(r);
        assert_int_equal(r->out[0].text.n, 0);
    }
    qn_request_cancel(r->req);
    play_run(e, r);
    assert_int_equal(r->out[0].finish, QN_FINISH_CANCEL);
    assert_int_equal(r->out[0].n, 10);
    assert_memory_equal(r->out[0].text.p, want, len);
    assert_int_equal(r->out[0].text.n, len);
    qn_str_deinit(&stop);
    qn_free(want);
    play_free(f);
    play_free(r);
    qn_engine_free(e);
}

/* ---- words that begin with a blank --------------------------------------- */

/* The texts, put together, that come of a prompt that ends with `head`. */
static void sequel(qn_model *m, const char *head, qn_request_params p,
                   const char *want)
{
    int32_t *ids;
    size_t n;
    assert_int_equal(qn_tokenize(m, head, strlen(head), true, false, &ids, &n,
                                 NULL),
                     0);
    qn_engine *e = play_engine(m, 0, 4, 0);
    p.prompt = ids;
    p.n_prompt = n;
    play *r = play_submit(e, &p);
    play_run(e, r);
    for (int i = 0; i < r->n_out; i++)
        assert_string_equal(r->out[i].text.p ? r->out[i].text.p : "", want);
    play_free(r);
    qn_engine_free(e);
    qn_free(ids);
}

static void test_words_behind_a_prompt(void **state)
{
    static const char any[] = " upon.*";
    static const char *const stop[] = {" upon"};
    (void)state;
    const char *dir = qn_test_shared("data/models/hf/stories260K");
    if (!dir)
        QN_SKIP("no shared data");
    qn_model *m = play_model(dir, 1);
    qn_request_params p = play_params(NULL, 0, 4), q;
    p.skip_special = true;
    sequel(m, "Once", p, " upon a time,");
    sequel(m, "", p, "Once upon a time");
    p.skip_special = false;
    sequel(m, "", p, "Once upon a time");
    p.skip_special = true;
    q = p;
    q.n = 3;
    sequel(m, "Once", q, " upon a time,");
    q = p;
    q.n_beams = q.n = 2;
    q.sampling.allowed_ids = (const int32_t[]){407}; /* " upon" */
    q.sampling.n_allowed = 1;
    q.max_new_tokens = 2;
    q.n = 1;
    sequel(m, "Once", q, " upon upon");
    q = p;
    q.answer = true;
    sequel(m, "Once", q, "upon a time,");
    q.format =
        QN_FORMAT_REGEX; /* says of the blank, too, whether it is there */
    q.schema = any;
    q.n_schema = strlen(any);
    sequel(m, "Once", q, " upon a time,");
    q.sampling.allowed_ids = (const int32_t[]){407};
    q.sampling.n_allowed = 1;
    q.max_new_tokens = 1;
    sequel(m, "", q, " upon");
    q = p;
    q.stop = stop;
    q.n_stop = 1;
    sequel(m, "Once", q, "");
    qn_model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_code_points),
        cmocka_unit_test(test_stop_strings),
        cmocka_unit_test(test_held_text),
        cmocka_unit_test(test_words_behind_a_prompt),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
