/* Perplexity and divergence, against the plainest computation of both: each
 * window as a request of its own, log softmax in long double. */
#include "asked.h"

#include "eval/eval.h"

static const char story[] =
    "Once upon a time, in a desert oasis, there lived a friendly baker's "
    "daughter named Bella. She was very forgetful: she lost her hat every week "
    "and once forgot her own birthday. She loved listening to the rain more "
    "than anything else.\n\nBella and Bert, a lonely boy, had been friends for "
    "as long as they could remember. One morning they found a small robot "
    "under the old bridge. \"What is 17 + 25?\" asked the robot. Nobody knew.";

static json_t *measured(const qn_eval_text_params *p)
{
    json_t *o = NULL;
    qn_err err = {0};
    if (qn_eval_text(&o, p, &err) < 0)
        fail_msg("%s", err.msg);
    return o;
}

static int refused(const qn_eval_text_params *p, const char *says)
{
    json_t *o = NULL;
    qn_err err = {0};
    int rc = qn_eval_text(&o, p, &err);
    assert_null(o);
    if (!strstr(err.msg, says))
        fail_msg("\"%s\" does not say \"%s\"", err.msg, says);
    return rc;
}

/* ---- the plain sliding window ---------------------------------------------- */

/* As the documentation of transformers describes it: windows of `context`
 * every `stride`; in each one only targets that are new, and none for the
 * window's first token. */
static double plain_nll(qn_model *m, const int32_t *ids, size_t n,
                        size_t context, size_t stride, int *n_scored)
{
    double sum = 0;
    int v = qn_model_n_vocab(m);
    size_t seen = 0;
    *n_scored = 0;
    for (size_t begin = 0; begin < n; begin += stride) {
        size_t end = begin + context < n ? begin + context : n;
        float *rows = asked_logits(m, ids + begin, end - begin);
        for (size_t t = seen; t < end; t++) {
            if (t == begin)
                continue;
            sum -= asked_logprob(rows + (t - begin - 1) * (size_t)v, v, ids[t]);
            ++*n_scored;
        }
        free(rows);
        seen = end;
        if (end == n)
            break;
    }
    return sum / *n_scored;
}

static void test_sliding_window(void **state)
{
    static const struct {
        int64_t context, stride;
    } cases[] = {{64, 0}, {64, 29}, {20, 1}, {0, 0}};
    (void)state;
    qn_model *m = asked_open(NULL, false);
    int32_t *ids;
    size_t n;
    assert_int_equal(qn_tokenize(m, story, strlen(story), true, true, &ids, &n,
                                 NULL),
                     0);
    qn_eval_text_params p = {.model = m,
                             .n_threads = 1,
                             .text = {.path = asked_file("story.txt", story)}};
    for (size_t i = 0; i < QN_COUNTOF(cases); i++) {
        int n_scored;
        size_t context = cases[i].context ? (size_t)cases[i].context : n;
        size_t stride = cases[i].stride ? (size_t)cases[i].stride : context;
        if (stride == 1 && n > 40)
            p.text.max_tokens = 40;
        size_t used = stride == 1 && n > 40 ? 40 : n;
        double want = plain_nll(m, ids, used, context, stride, &n_scored);
        p.text.context = cases[i].context;
        p.text.stride = cases[i].stride;
        json_t *o = measured(&p);
        assert_int_equal(asked_number(o, "text", "scored"), n_scored);
        assert_true(fabs(asked_number(o, "nll", "mean") - want) <= 1e-9);
        assert_true(fabs(asked_number(o, "perplexity", "value") / exp(want) -
                         1) <= 1e-5);
        json_decref(o);
        p.text.max_tokens = 0;
    }
    qn_free(ids);
    qn_model_close(m);
}

/* The begin token before every window: not scored, and one place less. */
static void test_bos_each(void **state)
{
    (void)state;
    qn_model *m = asked_open(NULL, false);
    int v = qn_model_n_vocab(m), n_scored = 0;
    int32_t *ids, bos = -1;
    size_t n;
    double sum = 0;
    assert_int_equal(qn_tokenize(m, story, strlen(story), false, true, &ids, &n,
                                 NULL),
                     0);
    int32_t *mark;
    size_t n_mark;
    assert_int_equal(qn_tokenize(m, "<|endoftext|>", 13, false, true, &mark,
                                 &n_mark, NULL),
                     0);
    assert_int_equal(n_mark, 1);
    bos = mark[0];
    for (size_t begin = 0; begin < n; begin += 31) {
        size_t end = begin + 31 < n ? begin + 31 : n;
        int32_t w[32] = {bos};
        memcpy(w + 1, ids + begin, (end - begin) * sizeof *w);
        float *rows = asked_logits(m, w, end - begin + 1);
        for (size_t t = begin; t < end; t++, n_scored++)
            sum -= asked_logprob(rows + (t - begin) * (size_t)v, v, ids[t]);
        free(rows);
    }
    qn_eval_text_params p = {.model = m,
                             .n_threads = 1,
                             .text = {.path = asked_file("story.txt", story),
                                      .context = 32,
                                      .bos = QN_BOS_EACH}};
    json_t *o = measured(&p);
    assert_int_equal(asked_number(o, "text", "scored"), n_scored);
    assert_true(fabs(asked_number(o, "nll", "mean") - sum / n_scored) <= 1e-9);
    json_decref(o);
    qn_free(mark);
    qn_free(ids);
    qn_model_close(m);
}

/* ---- beside a base ----------------------------------------------------------- */

/* The five largest by repeated search. */
static void five(const float *row, int v, int *out)
{
    for (int k = 0; k < 5; k++) {
        out[k] = -1;
        for (int i = 0; i < v; i++) {
            bool taken = false;
            for (int j = 0; j < k; j++)
                taken |= out[j] == i;
            if (!taken && (out[k] < 0 || row[i] > row[out[k]]))
                out[k] = i;
        }
    }
}

typedef struct beside {
    double kl, top1, top5;
    int n;
} beside;

static beside plain_beside(qn_model *m, qn_model *base, const int32_t *ids,
                           size_t n)
{
    beside b = {0};
    int v = qn_model_n_vocab(m);
    float *q = asked_logits(m, ids, n), *p = asked_logits(base, ids, n);
    for (size_t t = 1; t < n; t++, b.n++) {
        const float *rq = q + (t - 1) * (size_t)v,
                    *rp = p + (t - 1) * (size_t)v;
        double zq = asked_logprob(rq, v, 0) - (double)rq[0];
        double zp = asked_logprob(rp, v, 0) - (double)rp[0];
        for (int i = 0; i < v; i++) {
            double lp = (double)rp[i] + zp, lq = (double)rq[i] + zq;
            b.kl += exp(lp) * (lp - lq);
        }
        b.top1 += asked_argmax(rq, v) == asked_argmax(rp, v);
        int a[5], c[5];
        five(rq, v, a);
        five(rp, v, c);
        for (int i = 0; i < 25; i++)
            b.top5 += a[i / 5] == c[i % 5] ? 0.2 : 0;
    }
    free(q);
    free(p);
    return b;
}

static void test_beside_base(void **state)
{
    char logits[4096];
    (void)state;
    qn_model *m = asked_open(NULL, false), *base = asked_open(NULL, true);
    int32_t *ids;
    size_t n;
    assert_int_equal(qn_tokenize(m, story, strlen(story), true, true, &ids, &n,
                                 NULL),
                     0);
    beside want = plain_beside(m, base, ids, n);
    snprintf(logits, sizeof logits, "%s/base.safetensors", qn_test_tmpdir());
    qn_eval_text_params p = {.model = m,
                             .base = base,
                             .n_threads = 1,
                             .text = {.path = asked_file("story.txt", story)}};
    json_t *o = measured(&p);
    assert_true(want.kl / want.n > 1e-7); /* activations were rounded */
    assert_true(fabs(asked_number(o, "kl", "mean") - want.kl / want.n) <=
                1e-9 + 1e-6 * want.kl / want.n);
    assert_true(fabs(asked_number(o, "top1_agreement", "value") -
                     want.top1 / want.n) <= 1e-12);
    assert_true(fabs(asked_number(o, "top5_agreement", "value") -
                     want.top5 / want.n) <= 1e-9);

    /* the same numbers, bit for bit, from stored logits */
    qn_eval_text_params keep = p;
    keep.model = base;
    keep.base = NULL;
    keep.save_logits = logits;
    json_decref(measured(&keep));
    p.base = NULL;
    p.base_logits = logits;
    json_t *again = measured(&p);
    assert_true(
        json_equal(json_object_get(o, "kl"), json_object_get(again, "kl")));
    assert_true(json_equal(json_object_get(o, "perplexity_ratio"),
                           json_object_get(again, "perplexity_ratio")));
    json_decref(o);
    json_decref(again);

    /* but only for the same rows */
    qn_eval_text_params other = p;
    other.text.context = 64;
    assert_int_equal(refused(&other, "context"), QN_EINVAL);
    other = p;
    other.text.path = asked_file("other.txt", "Once upon a time there was");
    assert_int_equal(refused(&other, "context"), QN_EINVAL);
    other = p;
    char *changed = strdup(story);
    changed[strlen(changed) - 2] = 't';
    other.text.path = asked_file("changed.txt", changed);
    free(changed);
    assert_true(refused(&other, "base.safetensors") == QN_EINVAL);
    qn_test_write_file(logits, "nothing", 7);
    assert_true(refused(&p, "base.safetensors") < 0);
    qn_free(ids);
    qn_model_close(base);
    qn_model_close(m);
}

/* A model beside itself loses nothing. */
static void test_beside_itself(void **state)
{
    (void)state;
    qn_model *m = asked_open(NULL, false), *same = asked_open(NULL, false);
    qn_eval_text_params p = {.model = m,
                             .base = same,
                             .n_threads = 2,
                             .text = {.path = asked_file("story.txt", story),
                                      .context = 50,
                                      .stride = 20}};
    json_t *o = measured(&p);
    assert_true(asked_number(o, "kl", "max") <= 1e-12);
    assert_true(asked_number(o, "top1_agreement", "value") == 1);
    assert_true(asked_number(o, "top5_agreement", "value") == 1);
    assert_true(asked_number(o, "perplexity_ratio", "value") == 1);
    json_decref(o);
    qn_model_close(same);
    qn_model_close(m);
}

/* ---- documents ---------------------------------------------------------------- */

/* Documents are read by themselves, so that their sums add up. */
static void test_documents(void **state)
{
    static const char *const docs[] = {"The cat sat on the mat.",
                                       "What is 2 + 2?\nIt is 4.",
                                       "Once upon a time, a robot."};
    char all[256];
    double sum = 0, n = 0;
    (void)state;
    qn_model *m = asked_open(NULL, false);
    for (int i = 1; i < 3; i++) {
        qn_eval_text_params p = {.model = m,
                                 .n_threads = 1,
                                 .text = {.path = asked_file("doc", docs[i])}};
        json_t *o = measured(&p);
        double k = asked_number(o, "text", "scored");
        sum += k * asked_number(o, "nll", "mean");
        n += k;
        json_decref(o);
    }
    snprintf(all, sizeof all, "%s<|>\n%s \n<|>%s<|><|> ", docs[0], docs[1],
             docs[2]);
    qn_eval_text_params p = {
        .model = m,
        .n_threads = 1,
        .text = {.path = asked_file("docs", all), .split = "<|>", .skip = 1}};
    json_t *o = measured(&p);
    assert_int_equal(asked_number(o, "text", "documents"), 2);
    assert_int_equal(asked_number(o, "text", "scored"), n);
    assert_true(fabs(asked_number(o, "nll", "mean") - sum / n) <= 1e-9);
    json_decref(o);
    qn_model_close(m);
}

/* ---- trained networks ----------------------------------------------------------- */

static double stories_nll(const char *path, bool exact, const char *corpus)
{
    qn_model *m = asked_open(path, exact);
    qn_eval_text_params p = {.model = m,
                             .n_threads = 1,
                             .text = {.path = corpus,
                                      .split = "<|endoftext|>",
                                      .skip = 1,
                                      .limit = 64,
                                      .max_tokens = 512,
                                      .context = 512}};
    json_t *o = measured(&p);
    assert_int_equal(asked_number(o, "text", "scored"), 22189);
    double nll = asked_number(o, "nll", "mean");
    json_decref(o);
    qn_model_close(m);
    return nll;
}

/* The figures of goldens_nll.json, which numpy computed in float64. */
static void test_stories(void **state)
{
    static const struct {
        const char *name, *path;
        double tolerance;
    } files[] = {
        {"hf", "data/models/hf/stories260K", 0.0002},
        {"q4_0", "data/models/gguf/stories260K-q4_0.gguf", 0.001},
    };
    (void)state;
    const char *golden = qn_test_shared("data/models/goldens_nll.json");
    const char *corpus = qn_test_shared(
        "data/corpora/tinystories-train-2MiB.txt");
    if (!golden || !corpus)
        QN_SKIP("no shared data");
    json_t *doc;
    assert_int_equal(qn_json_load(&doc, golden, 64 << 20, NULL), 0);
    const json_t *g = json_object_get(doc, "stories260K");
    for (size_t i = 0; i < QN_COUNTOF(files); i++) {
        const json_t *q = json_object_get(json_object_get(g, "quantized"),
                                          files[i].name);
        double want = json_number_value(json_object_get(q ? q : g, "mean_nll"));
        double got = stories_nll(qn_test_shared(files[i].path), true, corpus);
        print_message("%-5s %.6f, golden %.6f\n", files[i].name, got, want);
        assert_true(fabs(got - want) <= files[i].tolerance);
    }
    json_decref(doc);
}

/* ---- wrong input ----------------------------------------------------------------- */

static void test_refused(void **state)
{
    (void)state;
    qn_model *m = asked_open(NULL, false);
    qn_eval_text_params p = {.model = m,
                             .n_threads = 1,
                             .text = {.path = asked_file("empty.txt", "")}};
    assert_int_equal(refused(&p, "empty.txt is empty"), QN_EINVAL);
    p.text.path = asked_file("short.txt", "The cat sat.");
    p.text.context = 512;
    assert_int_equal(refused(&p, "short.txt"), QN_EINVAL);
    assert_int_equal(refused(&p, "--context"), QN_EINVAL);
    p.text.split = "<|>";
    p.text.context = 4;
    p.text.stride = 5;
    assert_int_equal(refused(&p, "stride"), QN_EINVAL);
    p.text.stride = 0;
    p.text.skip = 9;
    assert_int_equal(refused(&p, "no text is left"), QN_EINVAL);
    p.text.skip = 0;
    p.text.path = "/nowhere/x.txt";
    assert_int_equal(refused(&p, "/nowhere/x.txt"), QN_ENOENT);
    qn_model_close(m);
}

static void test_other_vocabulary(void **state)
{
    (void)state;
    const char *path = qn_test_shared("data/models/hf/stories260K");
    if (!path)
        QN_SKIP("no shared data");
    qn_model *m = asked_open(NULL, false), *base = asked_open(path, false);
    qn_eval_text_params p = {.model = m,
                             .base = base,
                             .n_threads = 1,
                             .text = {.path = asked_file("story.txt", story)}};
    assert_int_equal(refused(&p, "vocabulary of 4096"), QN_EINVAL);
    qn_model_close(base);
    qn_model_close(m);
}

/* A tokenizer whose last word is none of the model's: rows of logits end before
 * it. */
static void test_foreign_token(void **state)
{
    (void)state;
    qn_model *m = asked_open(asked_words("far", 200000), false);
    qn_eval_text_params p = {.model = m,
                             .n_threads = 1,
                             .text = {
                                 .path = asked_file("far.txt", "the the far")}};
    assert_int_equal(refused(&p, "token 200000"), QN_EFORMAT);
    assert_int_equal(refused(&p, "far.txt"), QN_EFORMAT);
    p.text.path = asked_file("near.txt", "the the the");
    json_decref(measured(&p));
    qn_model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sliding_window),
        cmocka_unit_test(test_bos_each),
        cmocka_unit_test(test_beside_base),
        cmocka_unit_test(test_beside_itself),
        cmocka_unit_test(test_documents),
        cmocka_unit_test(test_stories),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_other_vocabulary),
        cmocka_unit_test(test_foreign_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
