/* Tasks: what lines become (prompts written out by hand from the definitions
 * of lm-evaluation-harness), what scores are (each answer as a request of its
 * own), which numbers are found in answers, and what is refused. */
#include "asked.h"

#include "eval/eval.h"
#include "eval/task.h"

static const char *data(const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "eval/%s.jsonl", name);
    return qn_test_data(path);
}

static qn_items items_of(const char *task, const char *path)
{
    qn_items items = {0};
    qn_err err = {0};
    if (qn_items_read(&items, qn_task_find(task), path, &err) < 0)
        fail_msg("%s", err.msg);
    return items;
}

/* ---- lines --------------------------------------------------------------------- */

static void same_choice(const qn_items *items, size_t i, size_t k,
                        const char *context, const char *text, size_t norm)
{
    const qn_choice *c = &items->v.v[i].choices.v[k];
    assert_string_equal(c->context, context);
    assert_string_equal(c->text, text);
    assert_int_equal(c->norm, norm);
}

static void test_lines(void **state)
{
    (void)state;
    qn_items t = items_of("hellaswag", data("hellaswag"));
    assert_int_equal(t.v.n, 3);
    assert_int_equal(t.v.v[2].line, 4); /* an empty line counts */
    same_choice(&t, 0, 0,
                "Baking bread: A woman mixes flour and water in a bowl. She",
                " puts the dough into the oven.", 29);
    /* the bracket goes, then pairs of blanks become one: of three, two */
    same_choice(&t, 0, 2,
                "Baking bread: A woman mixes flour and water in a bowl. She",
                " paints the wall  blue.", 22);
    same_choice(&t, 1, 1, "Gardening: How to water plants. Fill the can.",
                " Break the can.", 14);
    assert_int_equal(t.v.v[1].gold, 1);
    same_choice(&t, 2, 3, "Running: Two children race over a field. They",
                " boil.", 5);
    qn_items_deinit(&t);

    t = items_of("arc", data("arc"));
    same_choice(&t, 0, 1, "Question: Which one is an animal?\nAnswer:", " cat",
                3);
    same_choice(&t, 1, 2, "Question: What is 2 + 2?\nAnswer:", " 5", 1);
    same_choice(&t, 2, 0, "Question: What do people drink?\nAnswer:", " water",
                5);
    assert_int_equal(t.v.v[0].gold, 1);
    assert_int_equal(t.v.v[1].gold, 1);
    qn_items_deinit(&t);

    t = items_of("piqa", data("piqa"));
    same_choice(&t, 0, 1, "Question: To open a door,\nAnswer:",
                " turn the floor and sing.", 24);
    same_choice(&t, 1, 1, "Question: To cut bread,\nAnswer:", " use a knife",
                11);
    qn_items_deinit(&t);

    t = items_of("winogrande", data("winogrande"));
    same_choice(&t, 0, 1, "The cat chased the mouse because the mouse",
                " was hungry.", 11);
    assert_int_equal(t.v.v[0].gold, 0);
    same_choice(&t, 1, 0, "Tom lent Sam the book because Tom",
                " had asked for it.", 17);
    qn_items_deinit(&t);

    t = items_of("lambada", data("lambada"));
    same_choice(&t, 0, 0, "Once upon", " a", 1);
    same_choice(&t, 2, 0, "The cat sat on the mat. The dog sat on the", " mat",
                3);
    qn_items_deinit(&t);

    t = items_of("openbookqa", data("openbookqa"));
    same_choice(&t, 0, 1, "The sun is", " a star", 6);
    same_choice(&t, 1, 0, "Ice melts when it is", " warm", 4);
    assert_int_equal(t.v.v[0].gold, 1);
    assert_int_equal(t.v.v[1].gold, 0);
    qn_items_deinit(&t);

    t = items_of("boolq", data("boolq"));
    same_choice(&t, 0, 1,
                "Cats -- Cats are animals.\nQuestion: are cats animals?\n"
                "Answer:",
                " yes", 3);
    assert_int_equal(t.v.v[0].gold, 1);
    assert_int_equal(t.v.v[1].gold, 0);
    qn_items_deinit(&t);

    t = items_of("mmlu", data("mmlu"));
    same_choice(&t, 0, 3,
                "What is 2 + 2?\nA. 3\nB. 4\nC. 5\nD. 6\nAnswer:", " D", 1);
    assert_int_equal(t.v.v[0].gold, 1);
    assert_string_equal(t.v.v[0].topic,
                        "The following are multiple choice questions (with "
                        "answers) about elementary mathematics.\n\n");
    qn_items_deinit(&t);

    t = items_of("gsm8k", data("gsm8k"));
    assert_string_equal(t.v.v[1].answer, "2000");
    qn_str s = {0};
    qn_item_solved(&t.v.v[2], &s);
    assert_string_equal(s.p, "Question: What is 7 + 8?\nAnswer: 7 + 8 = "
                             "<<7+8=15>>15\n#### 15");
    qn_str_deinit(&s);
    qn_items_deinit(&t);
}

/* Code points are counted, not bytes. */
static void test_norm(void **state)
{
    static const char line[] =
        "{\"goal\": \"g\", \"sol1\": \"\xc3\xa9t\xc3\xa9\", \"sol2\": \"\", "
        "\"label\": 0}";
    qn_items t = {0};
    (void)state;
    assert_int_equal(qn_items_parse(&t, qn_task_find("piqa"), "f", line,
                                    strlen(line), NULL),
                     0);
    assert_int_equal(t.v.v[0].choices.v[0].norm, 3);
    qn_items_deinit(&t);
}

static void test_answers(void **state)
{
    static const struct {
        const char *text, *strict, *flexible;
    } cases[] = {
        {"so #### 42", "42", "42"},
        {"#### $5", "", "5"},
        {"1 + 1 = 2.\n#### 1,234.\n9", "1234", "9"},
        {"#### -7 or #### 8", "-7", "8"},
        {"It costs $1,250.50. ", "", "1250.50"},
        {"no number", "", ""},
        {"####5", "", "5"},
        {"#### ", "", ""},
        {"#### 12.,", "12", "12"},
        {"", "", ""},
    };
    (void)state;
    for (size_t i = 0; i < QN_COUNTOF(cases); i++) {
        qn_str a = {0}, b = {0};
        qn_answer_strict(&a, cases[i].text, strlen(cases[i].text));
        qn_answer_flexible(&b, cases[i].text, strlen(cases[i].text));
        assert_string_equal(a.p ? a.p : "", cases[i].strict);
        assert_string_equal(b.p ? b.p : "", cases[i].flexible);
        qn_str_deinit(&a);
        qn_str_deinit(&b);
    }
}

static void test_bad_lines(void **state)
{
    static const struct {
        const char *task, *line, *says;
    } cases[] = {
        {"piqa", "{\"goal\": 1}", "f:2: \"goal\" is something else"},
        {"piqa", "{\"goal\": \"a\", \"sol1\": \"b\"}", "\"sol2\" is missing"},
        {"piqa",
         "{\"goal\": \"a\", \"sol1\": \"b\", \"sol2\": \"c\", \"label\": 2}",
         "\"label\""},
        {"arc",
         "{\"question\": \"q\", \"choices\": {\"text\": [\"a\", \"b\"], "
         "\"label\": [\"A\", \"B\"]}, \"answerKey\": \"C\"}",
         "no choice has the label \"C\""},
        {"arc", "{\"question\": \"q\", \"answerKey\": \"C\"}", "choices"},
        {"arc", "{\"query\": \"q\", \"choices\": [\"a\", 2], \"gold\": 0}",
         "choice 1 is no text"},
        {"winogrande", "{\"sentence\": \"no blank\"}", "blank"},
        {"hellaswag", "[1]", "f:2: no JSON object"},
        {"hellaswag", "{", "f:2"},
        {"lambada", "{\"text\": \"word\"}", "single word"},
        {"gsm8k", "{\"question\": \"q\", \"answer\": \"5\"}", "####"},
        {"boolq", "{\"passage\": \"p\", \"question\": \"q\"}", "\"label\""},
        {"openbookqa", "{\"question_stem\": \"q\"}",
         "\"answerKey\" is missing"},
        {"mmlu",
         "{\"question\": \"q\", \"choices\": [\"a\", \"b\"], \"answer\": 0}",
         "\"subject\" is missing"},
        {"mmlu",
         "{\"question\": \"q\", \"subject\": \"s\", \"choices\": [\"a\", "
         "\"b\"], \"answer\": 2}",
         "\"answer\""},
        {"mmlu",
         "{\"question\": \"q\", \"subject\": \"s\", \"choices\": [\"a\", 1], "
         "\"answer\": 0}",
         "choice 1 is no text"},
    };
    (void)state;
    for (size_t i = 0; i < QN_COUNTOF(cases); i++) {
        char text[512];
        qn_items t = {0};
        qn_err err = {0};
        int n = snprintf(text, sizeof text, "\n%s\n", cases[i].line);
        assert_int_equal(qn_items_parse(&t, qn_task_find(cases[i].task), "f",
                                        text, (size_t)n, &err),
                         QN_EFORMAT);
        if (!strstr(err.msg, cases[i].says))
            fail_msg("\"%s\" does not say \"%s\"", err.msg, cases[i].says);
        qn_items_deinit(&t);
    }
    qn_items t = {0};
    qn_err err = {0};
    assert_int_equal(qn_items_read(&t, qn_task_find("arc"),
                                   asked_file("none.jsonl", "\n\n"), &err),
                     QN_EINVAL);
    assert_non_null(strstr(err.msg, "none.jsonl"));
    assert_null(qn_task_find("none"));
}

/* ---- scores ----------------------------------------------------------------------- */

typedef struct plain {
    double score;
    bool greedy;
} plain;

/* log p(text | context), one request for it alone. */
static plain plain_score(qn_model *m, const char *before, const qn_choice *c)
{
    char all[4096];
    int32_t *ids, *head;
    size_t n, n_head;
    plain r = {.greedy = true};
    snprintf(all, sizeof all, "%s%s", before, c->context);
    size_t len = strlen(all);
    while (len > 0 && strchr(" \n", all[len - 1]))
        len--;
    assert_int_equal(qn_tokenize(m, all, len, true, true, &head, &n_head, NULL),
                     0);
    strcat(all, c->text);
    assert_int_equal(qn_tokenize(m, all, strlen(all), true, true, &ids, &n,
                                 NULL),
                     0);
    float *rows = asked_logits(m, ids, n);
    int v = qn_model_n_vocab(m);
    for (size_t t = n_head; t < n; t++) {
        const float *row = rows + (t - 1) * (size_t)v;
        r.score += asked_logprob(row, v, ids[t]);
        r.greedy &= asked_argmax(row, v) == ids[t];
    }
    free(rows);
    qn_free(head);
    qn_free(ids);
    return r;
}

static json_t *measured(const qn_eval_task_params *p)
{
    json_t *o = NULL;
    qn_err err = {0};
    if (qn_eval_task(&o, p, &err) < 0)
        fail_msg("%s", err.msg);
    return o;
}

/* The log likelihoods that were written for each item. */
static json_t *samples_of(const char *path)
{
    size_t n;
    char *text = qn_test_read_file(path, &n);
    json_t *all = json_array();
    for (char *at = text, *end; (end = strchr(at, '\n')); at = end + 1) {
        json_t *o = json_loadb(at, (size_t)(end - at), 0, NULL);
        assert_non_null(o);
        json_array_append_new(all, o);
    }
    free(text);
    return all;
}

/* Items before this one that are of its kind. */
static int nth_of_kind(const qn_items *items, size_t i)
{
    int n = 0;
    const char *topic = items->v.v[i].topic;
    for (size_t k = 0; k < i; k++) {
        const char *other = items->v.v[k].topic;
        n += !topic || strcmp(other, topic) == 0;
    }
    return n;
}

/* What stands before item i: its topic, and the solved ones of its kind. */
static char *shown_before(const qn_items *items, size_t i, int fewshot)
{
    const char *topic = items->v.v[i].topic;
    qn_str s = {0};
    qn_str_adds(&s, topic ? topic : "");
    for (size_t k = 0; k < items->v.n; k++) {
        const char *other = items->v.v[k].topic;
        if ((topic && strcmp(other, topic) != 0) ||
            nth_of_kind(items, k) >= fewshot)
            continue;
        qn_item_solved(&items->v.v[k], &s);
        qn_str_adds(&s, "\n\n");
    }
    return s.p ? s.p : calloc(1, 1);
}

typedef struct counts {
    double n, right, right_norm, sum;
} counts;

/* One item's answers, each as a request, against what was written of it. */
static void check_item(qn_model *m, const qn_item *item, const char *before,
                       const json_t *sample, counts *c)
{
    const json_t *scores = json_object_get(sample, "log_likelihoods");
    int best = 0, best_norm = 0;
    double most = -1e9, most_norm = -1e9;
    plain s = {0};
    for (size_t k = 0; k < item->choices.n; k++) {
        const qn_choice *choice = &item->choices.v[k];
        s = plain_score(m, before, choice);
        double score = json_number_value(json_array_get(scores, k));
        assert_true(fabs(score - s.score) <= 1e-9 * fabs(s.score));
        if (s.score > most) {
            most = s.score;
            best = (int)k;
        }
        if (s.score / (double)choice->norm > most_norm) {
            most_norm = s.score / (double)choice->norm;
            best_norm = (int)k;
        }
    }
    c->n++;
    c->right += item->choices.n == 1 ? s.greedy : best == item->gold;
    c->right_norm += best_norm == item->gold;
    c->sum += s.score;
}

static void check_file(qn_model *m, const char *task, const char *path,
                       int fewshot)
{
    char samples[4096];
    counts c = {0};
    snprintf(samples, sizeof samples, "%s/samples.jsonl", qn_test_tmpdir());
    qn_eval_task_params p = {.model = m,
                             .task = task,
                             .data = path,
                             .fewshot = (size_t)fewshot,
                             .samples = samples,
                             .n_threads = 1};
    json_t *o = measured(&p), *got = samples_of(samples);
    qn_items items = items_of(task, path);
    for (size_t i = 0, at = 0; i < items.v.n; i++) {
        if (nth_of_kind(&items, i) < fewshot)
            continue;
        char *before = shown_before(&items, i, fewshot);
        check_item(m, &items.v.v[i], before, json_array_get(got, at++), &c);
        free(before);
    }
    assert_true(c.n == (double)json_array_size(got) && c.n > 0);
    assert_true(asked_number(o, "acc", "value") == c.right / c.n);
    if (json_object_get(o, "acc_norm"))
        assert_true(asked_number(o, "acc_norm", "value") == c.right_norm / c.n);
    if (json_object_get(o, "perplexity"))
        assert_true(fabs(log(asked_number(o, "perplexity", NULL)) +
                         c.sum / c.n) <= 1e-9);
    qn_items_deinit(&items);
    json_decref(got);
    json_decref(o);
}

static void check_task(qn_model *m, const char *task, int fewshot)
{
    check_file(m, task, data(task), fewshot);
}

/* Beginnings of several pages, which the answers to a question share, and a
 * question that begins like the one before and then goes on otherwise. */
static void test_shared_beginnings(void **state)
{
    qn_str goal = {0}, lines = {0};
    (void)state;
    for (int i = 0; i < 3; i++) {
        qn_str_clear(&goal);
        for (int k = 0; k < 30; k++)
            qn_str_addf(&goal, "The robot has %d apples and %d pears. ", k,
                        k < 15 ? 3 * k : (3 + i) * k);
        qn_str_addf(&lines,
                    "{\"goal\": \"%s\", \"sol1\": \"He has %d apples.\", "
                    "\"sol2\": \"She sold the boat to a friend.\", "
                    "\"label\": 0}\n",
                    goal.p, i);
    }
    qn_model *m = asked_open(NULL, false);
    check_file(m, "piqa", asked_file("long.jsonl", lines.p), 0);
    qn_model_close(m);
    qn_str_deinit(&goal);
    qn_str_deinit(&lines);
}

static void test_scores(void **state)
{
    static const char *const tasks[] = {"hellaswag",  "arc",     "piqa",
                                        "winogrande", "lambada", "openbookqa",
                                        "boolq",      "mmlu"};
    (void)state;
    qn_model *m = asked_open(NULL, false);
    for (size_t i = 0; i < QN_COUNTOF(tasks); i++)
        check_task(m, tasks[i], i == 1 || i == 7);
    check_task(m, "mmlu", 0);
    qn_model_close(m);
}

/* A tokenizer that puts <s> before every text. */
static void test_begin_token(void **state)
{
    (void)state;
    const char *path = qn_test_shared("data/models/hf/stories260K");
    if (!path)
        QN_SKIP("no shared data");
    qn_model *m = asked_open(path, false);
    check_task(m, "winogrande", 0);
    check_task(m, "arc", 2);
    qn_model_close(m);
}

/* The built-in model knows sums, but not the manner of gsm8k. */
static void test_generated(void **state)
{
    char samples[4096];
    (void)state;
    qn_model *m = asked_open(NULL, false);
    snprintf(samples, sizeof samples, "%s/answers.jsonl", qn_test_tmpdir());
    qn_eval_task_params p = {.model = m,
                             .task = "gsm8k",
                             .data = data("gsm8k"),
                             .samples = samples,
                             .max_new_tokens = 24,
                             .batch = 2,
                             .chat = true,
                             .n_threads = 1};
    json_t *o = measured(&p), *got = samples_of(samples);
    assert_int_equal(json_array_size(got), 3);
    assert_true(asked_number(o, "exact_match", "value") >= 0);
    double flexible = 0;
    for (size_t i = 0; i < 3; i++) {
        const json_t *s = json_array_get(got, i);
        flexible += json_is_true(json_object_get(s, "flexible"));
        assert_true(json_string_length(json_object_get(s, "text")) > 0);
    }
    assert_int_equal(asked_number(o, "exact_match_flexible", "right"),
                     flexible);
    assert_true(flexible >= 1); /* 7 + 8 */
    json_decref(got);
    json_decref(o);
    qn_model_close(m);
}

/* Of answers, too, rows of logits are looked at by their tokens. */
static void test_foreign_token(void **state)
{
    (void)state;
    json_t *o = NULL;
    qn_err err = {0};
    qn_model *m = asked_open(asked_words("far", 200000), false);
    qn_eval_task_params p = {
        .model = m,
        .task = "piqa",
        .n_threads = 1,
        .data = asked_file("far.jsonl",
                           "{\"goal\": \"the\", \"sol1\": \"the\", "
                           "\"sol2\": \"far\", \"label\": 0}\n")};
    assert_int_equal(qn_eval_task(&o, &p, &err), QN_EFORMAT);
    assert_non_null(strstr(err.msg, "far.jsonl:1: choice 1"));
    assert_non_null(strstr(err.msg, "token 200000"));
    qn_model_close(m);
}

static double computed(qn_eval_task_params p)
{
    json_t *o = measured(&p);
    double n = asked_number(o, "computed_tokens", NULL);
    json_decref(o);
    return n;
}

/* A long item behind many short ones needs another scorer: what the first has
 * computed still counts. */
static void test_computed(void **state)
{
    (void)state;
    qn_str lines = {0};
    for (int i = 0; i < 257; i++) {
        qn_str_adds(&lines, "{\"goal\": \"");
        for (int k = 0; k < (i < 256 ? 1 : 120); k++)
            qn_str_adds(&lines, "the the the the the ");
        qn_str_adds(&lines, "\", \"sol1\": \"the\", \"sol2\": \"the the\", "
                            "\"label\": 0}\n");
    }
    qn_model *m = asked_open(asked_words("far", 2), false);
    qn_eval_task_params p = {.model = m,
                             .task = "piqa",
                             .n_threads = 1,
                             .data = asked_file("many.jsonl", lines.p)};
    double all = computed(p);
    p.limit = 256;
    double first = computed(p);
    p.limit = 0;
    p.skip = 256;
    assert_true(all == first + computed(p));
    qn_model_close(m);
    qn_str_deinit(&lines);
}

static void test_refused(void **state)
{
    json_t *o = NULL;
    qn_err err = {0};
    (void)state;
    qn_model *m = asked_open(NULL, false);
    qn_eval_task_params p = {.model = m, .task = "none", .data = data("arc")};
    assert_int_equal(qn_eval_task(&o, &p, &err), QN_EINVAL);
    assert_non_null(strstr(err.msg, "hellaswag"));
    p.task = "arc";
    p.data = data("piqa");
    assert_int_equal(qn_eval_task(&o, &p, &err), QN_EFORMAT);
    assert_non_null(strstr(err.msg, "piqa.jsonl:1"));
    p.data = data("arc");
    p.fewshot = 4;
    assert_int_equal(qn_eval_task(&o, &p, &err), QN_EINVAL);
    p.fewshot = 0;
    p.skip = 3;
    assert_int_equal(qn_eval_task(&o, &p, &err), QN_EINVAL);
    qn_model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_norm),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_bad_lines),
        cmocka_unit_test(test_scores),
        cmocka_unit_test(test_shared_beginnings),
        cmocka_unit_test(test_begin_token),
        cmocka_unit_test(test_generated),
        cmocka_unit_test(test_foreign_token),
        cmocka_unit_test(test_computed),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
