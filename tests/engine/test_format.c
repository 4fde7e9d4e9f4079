/* Response formats on the built-in model: whatever the seed, a completion that
 * was not cut by its length is JSON, and what its schema describes; and what
 * was cut is the beginning of one. */
#include "play.h"

#include "text/json_grammar.h"

static qn_model *model;

static int setup(void **state)
{
    (void)state;
    model = play_builtin_of(1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    qn_model_close(model);
    return 0;
}

static int32_t *prompt_of(const char *text, size_t *n)
{
    int32_t *ids;
    assert_int_equal(qn_tokenize(model, text, strlen(text), true, false, &ids,
                                 n, NULL),
                     0);
    return ids;
}

static json_t *parsed(const qn_str *t)
{
    return t->p ? json_loadb(t->p, t->n, JSON_DECODE_ANY, NULL) : NULL;
}

/* `out` goes through the grammar, and is complete if it ended by itself. */
static void check(qn_grammar *g, const play_out *out, int *n_ended)
{
    const qn_str *t = &out->text;
    uint32_t s = qn_gram_begin(g);
    size_t n = t->n;
    if (n >= 3 && out->finish == QN_FINISH_LENGTH &&
        memcmp(t->p + n - 3, "\xEF\xBF\xBD", 3) == 0)
        n -= 3; /* cut within a code point */
    for (size_t i = 0; i < n; i++) {
        s = qn_gram_next(g, s, (uint8_t)t->p[i]);
        if (s == QN_GRAM_DEAD)
            fail_msg("byte %zu of: %s", i, t->p);
    }
    if (out->finish == QN_FINISH_LENGTH)
        return;
    assert_int_equal(out->finish, QN_FINISH_STOP);
    (*n_ended)++;
    assert_true(qn_gram_accepts(g, s));
    json_t *v = parsed(t);
    if (!v)
        fail_msg("no JSON: %s", t->p);
    json_decref(v);
}

/* N requests of different seeds at a time; returns how many ended. */
static int seeds(qn_format format, const char *schema, int n_rounds)
{
    enum {
        N = 8
    };
    size_t n;
    int n_ended = 0;
    int32_t *ids = prompt_of("The answer is", &n);
    qn_grammar *g = NULL;
    if (schema)
        assert_int_equal(qn_schema_grammar(&g, schema, strlen(schema), NULL),
                         0);
    else
        g = qn_json_grammar(format == QN_FORMAT_JSON_OBJECT);
    qn_engine *e = play_engine(model, 0, N * 2, 0);
    for (int r = 0; r < n_rounds; r++) {
        play *p[N];
        for (int i = 0; i < N; i++) {
            qn_request_params rp = play_params(ids, n, 60);
            rp.format = format;
            rp.schema = schema;
            rp.n_schema = schema ? strlen(schema) : 0;
            rp.ignore_eos = false;
            rp.sampling.temperature = 0.3f * (float)i;
            rp.sampling.top_p = i % 2 ? 1 : 0.9f;
            rp.sampling.seed = (uint64_t)(r * N + i);
            rp.n = i == 3 ? 2 : 1;
            p[i] = play_submit(e, &rp);
        }
        for (int i = 0; i < N; i++) {
            play_run(e, p[i]);
            for (int c = 0; c < p[i]->n_out; c++)
                check(g, &p[i]->out[c], &n_ended);
            play_free(p[i]);
        }
    }
    play_no_pages(e);
    qn_engine_free(e);
    qn_grammar_free(g);
    qn_free(ids);
    return n_ended;
}

static void test_json(void **state)
{
    (void)state;
    if (!model)
        QN_SKIP("no built-in model");
    assert_true(seeds(QN_FORMAT_JSON, NULL, 3) > 5);
    seeds(QN_FORMAT_JSON_OBJECT, NULL, 3);
}

static void test_schema(void **state)
{
    (void)state;
    if (!model)
        QN_SKIP("no built-in model");
    assert_int_equal(seeds(QN_FORMAT_JSON_SCHEMA,
                           "{\"enum\":[\"yes\",\"no\",\"perhaps\"]}", 2),
                     2 * 9);
    assert_true(
        seeds(QN_FORMAT_JSON_SCHEMA,
              "{\"properties\":{\"ok\":{\"type\":\"boolean\"},\"n\":{\"type\":"
              "\"array\",\"items\":{\"type\":\"integer\",\"minimum\":0,"
              "\"maximum\":99},\"maxItems\":3}},\"required\":[\"ok\",\"n\"]}",
              2) > 2 * 9 / 2);
    seeds(QN_FORMAT_JSON_SCHEMA,
          "{\"properties\":{\"name\":{\"type\":\"string\",\"maxLength\":12},"
          "\"child\":{\"$ref\":\"#\"}},\"required\":[\"name\"]}",
          2);
}

/* Alone, and among others with guesses and memory that does not last: the same
 * tokens. */
static void test_same_in_a_mix(void **state)
{
    enum {
        N = 6
    };
    static const char schema[] =
        "{\"type\":\"array\",\"items\":{\"enum\":[\"red\",\"green\",12]},"
        "\"minItems\":2,\"maxItems\":9}";
    (void)state;
    size_t n;
    if (!model)
        QN_SKIP("no built-in model");
    int32_t *ids = prompt_of("Red, green, red, green, red:", &n);
    play *alone[N], *p[N];
    qn_engine *one = play_engine(model, 0, 1, 0);
    qn_engine *mix = play_engine_of(model, (qn_engine_params){
                                               .n_ctx = 64,
                                               .max_seqs = N,
                                               .max_prompt_rows = 5,
                                               .speculate = 6,
                                               .overcommit = true,
                                           });
    for (int i = 0; i < N; i++) {
        qn_request_params rp = play_params(ids, n, 70);
        rp.format = i % 3 ? QN_FORMAT_JSON_SCHEMA : QN_FORMAT_JSON;
        rp.schema = schema;
        rp.n_schema = strlen(schema);
        rp.sampling.temperature = i % 2 ? 1 : 0;
        rp.sampling.seed = (uint64_t)i;
        rp.n_logprobs = 1;
        alone[i] = play_submit(one, &rp);
        play_run(one, alone[i]);
        p[i] = play_submit(mix, &rp);
    }
    for (int i = 0; i < N; i++) {
        play_run(mix, p[i]);
        play_equal(p[i], alone[i]);
        play_free(p[i]);
        play_free(alone[i]);
    }
    play_no_pages(mix);
    qn_engine_free(mix);
    qn_engine_free(one);
    qn_free(ids);
}

/* Without any end token a complete text still ends. */
static void test_ends_by_itself(void **state)
{
    (void)state;
    size_t n;
    if (!model)
        QN_SKIP("no built-in model");
    int32_t *ids = prompt_of("No", &n);
    qn_engine *e = play_engine(model, 0, 1, 0);
    qn_request_params rp = play_params(ids, n, 50); /* ends are ignored */
    rp.format = QN_FORMAT_JSON_SCHEMA;
    rp.schema = "{\"const\":{\"a\":[1,2]}}";
    rp.n_schema = strlen(rp.schema);
    play *p = play_submit(e, &rp);
    play_run(e, p);
    assert_int_equal(p->out[0].finish, QN_FINISH_STOP);
    const char *at = p->out[0].text.p + strspn(p->out[0].text.p, " \n\t");
    assert_string_equal(at, "{\"a\":[1,2]}");
    play_free(p);
    qn_engine_free(e);
    qn_free(ids);
}

static void refused(qn_engine *e, qn_request_params rp, int code,
                    const char *names)
{
    qn_request *r = NULL;
    qn_err err = {0};
    int rc = qn_request_submit(e, &rp, &r, &err);
    if (rc != code || !strstr(err.msg, names))
        fail_msg("%d: %s", rc, err.msg);
    assert_null(r);
}

static void test_refusals(void **state)
{
    (void)state;
    int32_t ids[] = {1, 2};
    if (!model)
        QN_SKIP("no built-in model");
    qn_engine *e = play_engine(model, 0, 4, 0);
    qn_request_params rp = play_params(ids, 2, 5);
    rp.format = (qn_format)9;
    refused(e, rp, QN_EINVAL, "format 9");
    rp.format = QN_FORMAT_JSON_SCHEMA;
    refused(e, rp, QN_EINVAL, "schema");
    rp.schema = "{\"oneOf\":[]}";
    rp.n_schema = strlen(rp.schema);
    refused(e, rp, QN_EUNSUP, "oneOf");
    rp.format = QN_FORMAT_JSON;
    rp.n_beams = 2;
    refused(e, rp, QN_EUNSUP, "beam");
    rp.n_beams = 1; /* nothing that is allowed can begin JSON */
    rp.sampling.allowed_ids = (int32_t[]){0};
    rp.sampling.n_allowed = 1;
    play *p = play_submit(e, &rp);
    qn_err err = {0};
    play_run(e, p);
    assert_int_equal(p->out[0].finish, QN_FINISH_ERROR);
    assert_int_equal(qn_request_error(p->req, &err), QN_EINVAL);
    assert_non_null(strstr(err.msg, "format"));
    play_free(p);
    play_no_pages(e);
    qn_engine_free(e);
}

/* Many schemas, one after the other: those that nobody uses are dropped. */
static void test_many_schemas(void **state)
{
    (void)state;
    int32_t ids[] = {1, 2};
    if (!model)
        QN_SKIP("no built-in model");
    qn_engine *e = play_engine(model, 0, 4, 0);
    for (int i = 0; i < 100; i++) {
        char schema[32];
        snprintf(schema, sizeof schema, "{\"const\":%d}", i % 40);
        qn_request_params rp = play_params(ids, 2, 5);
        rp.format = QN_FORMAT_JSON_SCHEMA;
        rp.schema = schema;
        rp.n_schema = strlen(schema);
        play *p = play_submit(e, &rp);
        play_run(e, p);
        assert_int_equal(atoi(p->out[0].text.p), i % 40);
        play_free(p);
    }
    qn_engine_free(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_schema),
        cmocka_unit_test(test_same_in_a_mix),
        cmocka_unit_test(test_ends_by_itself),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_many_schemas),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
