/* The model that ships with quern, against what transformers made of its
 * weights (tools/model/golden.py): ids, chats, logits, greedy text, loss. */
#include "play.h"

#include "base/json.h"

/* As for the goldens: f32 sums in another order, relative to max |logit|. */
static const double tolerance = 2e-4;
/* How far activations rounded to int8 may move a logit, relative to the
 * largest; held by rounding_moves_logits_little. */
static const double clear_margin = 0.03;

static json_t *ref;
static qn_model *exact, *fast;

static int setup(void **state)
{
    (void)state;
    qn_err err = {0};
    if (qn_json_load(&ref, qn_test_data("builtin/reference.json"), 1 << 20,
                     &err) < 0)
        fail_msg("%s", err.msg);
    char path[4096];
    snprintf(path, sizeof path, "%s/models/quern-14m.gguf",
             qn_test_source_dir());
    qn_model_params p = {.n_threads = 2, .exact = true};
    if (qn_model_open(&exact, path, &p, &err) < 0)
        fail_msg("%s", err.msg);
    p.exact = false;
    if (qn_model_open(&fast, path, &p, &err) < 0)
        fail_msg("%s", err.msg);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    qn_model_close(exact);
    qn_model_close(fast);
    json_decref(ref);
    return 0;
}

static size_t ids_of(const json_t *a, int32_t **out)
{
    size_t n = json_array_size(a);
    *out = calloc(n + 1, sizeof **out);
    for (size_t i = 0; i < n; i++)
        (*out)[i] = (int32_t)json_integer_value(json_array_get(a, i));
    return n;
}

static double number(const json_t *o, const char *key, size_t i)
{
    return json_number_value(json_array_get(json_object_get(o, key), i));
}

static void check_ids(const json_t *o)
{
    int32_t *want, *got;
    size_t n = ids_of(json_object_get(o, "ids"), &want), m;
    const json_t *text = json_object_get(o, "text");
    assert_int_equal(qn_tokenize(exact, json_string_value(text),
                                 json_string_length(text), false, true, &got,
                                 &m, NULL),
                     0);
    assert_int_equal(m, n);
    if (n > 0)
        assert_memory_equal(got, want, n * sizeof *got);
    qn_free(got);
    free(want);
}

static void text_becomes_the_same_ids(void **state)
{
    (void)state;
    size_t i;
    json_t *o;
    json_array_foreach(json_object_get(ref, "tokenizer"), i, o) check_ids(o);
    json_array_foreach(json_object_get(ref, "chats"), i, o) check_ids(o);
    assert_true(i > 0);
}

static void chats_are_rendered_the_same(void **state)
{
    (void)state;
    size_t i;
    json_t *o;
    json_array_foreach(json_object_get(ref, "chats"), i, o)
    {
        char *messages = json_dumps(json_object_get(o, "messages"), 0);
        const json_t *t = json_object_get(o, "tools");
        char *tools = json_is_null(t) ? NULL : json_dumps(t, 0);
        char *text;
        size_t len;
        qn_err err = {0};
        if (qn_chat_render(exact, messages, tools,
                           json_is_true(
                               json_object_get(o, "add_generation_prompt")),
                           NULL, &text, &len, &err) < 0)
            fail_msg("%s", err.msg);
        assert_string_equal(text,
                            json_string_value(json_object_get(o, "text")));
        qn_free(text);
        free(tools);
        free(messages);
    }
}

static void logits_are_the_same(void **state)
{
    (void)state;
    size_t i;
    json_t *o;
    json_array_foreach(json_object_get(ref, "prompts"), i, o)
    {
        int32_t *ids;
        size_t n = ids_of(json_object_get(o, "ids"), &ids);
        int n_vocab = qn_model_n_vocab(exact);
        float *logits = play_logits(exact, ids, n);
        const float *last = logits + (n - 1) * (size_t)n_vocab;
        double max = json_number_value(json_object_get(o, "max_abs_logit"));
        for (size_t j = 0; j < 10; j++) {
            double got = (double)last[(int)number(o, "top_ids", j)];
            double want = number(o, "top_logits", j);
            if (!(fabs(got - want) <= tolerance * max))
                fail_msg("prompt %zu, logit %zu: %g, not %g", i, j, got, want);
        }
        free(logits);
        free(ids);
    }
}

static void rounding_moves_logits_little(void **state)
{
    (void)state;
    const json_t *o = json_object_get(ref, "held_out");
    int32_t *ids;
    size_t n = ids_of(json_object_get(o, "ids"), &ids);
    size_t n_all = n * (size_t)qn_model_n_vocab(exact);
    float *a = play_logits(exact, ids, n), *b = play_logits(fast, ids, n);
    double max = 0, far = 0;

    for (size_t i = 0; i < n_all; i++) {
        max = fmax(max, fabs((double)a[i]));
        far = fmax(far, fabs((double)a[i] - (double)b[i]));
    }
    print_message("largest |logit| %.1f, moved by at most %.3f\n", max, far);
    assert_true(far <= clear_margin * max);
    free(a);
    free(b);
    free(ids);
}

/* Equal to the first choice that was not clear by `margin`. */
static void check_greedy(qn_model *m, const json_t *o, double margin)
{
    int32_t *ids, *want;
    size_t n = ids_of(json_object_get(o, "ids"), &ids);
    size_t n_want = ids_of(json_object_get(o, "greedy"), &want);
    qn_engine *e = play_engine(m, 256, 1, 64);
    qn_request_params p = play_params(ids, n, (int)n_want);
    play *run = play_submit(e, &p);

    play_run(e, run);
    assert_int_equal(run->out[0].n, n_want);
    for (size_t j = 0; j < n_want; j++) {
        if (run->out[0].ids[j] == want[j])
            continue;
        if (number(o, "margins", j) > margin)
            fail_msg("token %zu is %d, not %d, with a margin of %g", j,
                     (int)run->out[0].ids[j], (int)want[j],
                     number(o, "margins", j));
        break;
    }
    play_free(run);
    qn_engine_free(e);
    free(ids);
    free(want);
}

static void greedy_text_is_the_same(void **state)
{
    (void)state;
    size_t i;
    json_t *o;
    json_array_foreach(json_object_get(ref, "prompts"), i, o)
    {
        double max = json_number_value(json_object_get(o, "max_abs_logit"));
        check_greedy(exact, o, 2 * tolerance * max);
        check_greedy(fast, o, 2 * clear_margin * max);
    }
}

static double mean_nll(qn_model *m, const int32_t *ids, size_t n)
{
    int n_vocab = qn_model_n_vocab(m);
    float *logits = play_logits(m, ids, n);
    double total = 0;
    for (size_t t = 0; t + 1 < n; t++) {
        const float *row = logits + t * (size_t)n_vocab;
        double top = (double)row[0], sum = 0;
        for (int i = 1; i < n_vocab; i++)
            top = fmax(top, (double)row[i]);
        for (int i = 0; i < n_vocab; i++)
            sum += exp((double)row[i] - top);
        total += top + log(sum) - (double)row[ids[t + 1]];
    }
    free(logits);
    return total / (double)(n - 1);
}

static void held_out_loss_is_the_same(void **state)
{
    (void)state;
    const json_t *o = json_object_get(ref, "held_out");
    double want = json_number_value(json_object_get(o, "mean_nll"));
    int32_t *ids;
    size_t n = ids_of(json_object_get(o, "ids"), &ids);

    /* |d nll| <= 2 max |d logit|; logits stay below 30 */
    assert_true(fabs(mean_nll(exact, ids, n) - want) <= 2 * tolerance * 30);
    assert_true(fabs(mean_nll(fast, ids, n) - want) <= 0.02);
    free(ids);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_becomes_the_same_ids),
        cmocka_unit_test(chats_are_rendered_the_same),
        cmocka_unit_test(logits_are_the_same),
        cmocka_unit_test(rounding_moves_logits_little),
        cmocka_unit_test(greedy_text_is_the_same),
        cmocka_unit_test(held_out_loss_is_the_same),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
