/* Grammars: of JSON, against jansson; of schemas, by what they accept and what
 * they do not; masks over a vocabulary, against asking token by token. */
#include "walking.h"

#include "base/json.h"
#include "base/mem.h"
#include "text/json_grammar.h"
#include "text/token_trie.h"

static bool is_json(const char *p, size_t n)
{
    json_t *v = json_loadb(p, n, JSON_DECODE_ANY, NULL);
    json_decref(v);
    return v != NULL;
}

/* A random text of the grammar that comes to an end: bytes that end things are
 * likelier the longer it gets. Returns its length, 0 when it did not end. */
static size_t walk(qn_grammar *g, uint32_t *x, char *out, size_t cap)
{
    static const char ending[] = "\"}]0123456789:,truefalsn ";
    uint32_t s = qn_gram_begin(g);
    for (size_t n = 0; n < cap; n++) {
        uint8_t next[256];
        uint32_t k = 0;
        if (qn_gram_is_over(g, s) ||
            (qn_gram_accepts(g, s) && random_below(x, 4) == 0))
            return n;
        bool hurry = random_below(x, (uint32_t)cap) < 8 * n;
        for (const char *e = ending; hurry && *e && k == 0; e++)
            if (qn_gram_next(g, s, (uint8_t)*e) != QN_GRAM_DEAD)
                next[k++] = (uint8_t)*e;
        for (int b = 0; b < 256 && !(hurry && k); b++)
            if (qn_gram_next(g, s, (uint8_t)b) != QN_GRAM_DEAD)
                next[k++] = (uint8_t)b;
        if (qn_gram_full(g))
            return 0;
        if (k == 0) { /* complete, or a dead end */
            assert_true(qn_gram_accepts(g, s));
            return n;
        }
        out[n] = (char)next[random_below(x, k)];
        s = qn_gram_next(g, s, (uint8_t)out[n]);
    }
    return 0;
}

/* ---- JSON --------------------------------------------------------------- */

static void test_json_texts(void **state)
{
    static const char *const good[] = {
        "{}",
        "[]",
        "0",
        "-0",
        "1.5e-10",
        "\"\"",
        "true",
        "null",
        " {}",
        "{\"a\": [1, 2, {\"b\": null}], \"c\": \"\\u00e4\\n\\ud83d\\ude00\"}",
        "{\n  \"a\": 1,\n  \"b\": [\n    2\n  ]\n}",
        "[\"\xc3\xa4\xf0\x9f\x98\x80\"]",
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
    };
    static const char *const bad[] = {
        "",
        "{",
        "{]",
        "[1,]",
        "{\"a\"}",
        "{\"a\":}",
        "{a:1}",
        "01",
        "1.",
        ".5",
        "+1",
        "1e",
        "1e999",
        "\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\\ud800\\u0041\"",
        "\"\\u0000\"",
        "\"\xff\"",
        "\"\xc0\x80\"",
        "\"\xed\xa0\x80\"",
        "\"\xf4\x90\x80\x80\"",
        "\"\n\"",
        "\"\x01\"",
        "nul",
        "True",
        "{} ",
        "{}{}",
        "[1 2]",
        "\t{}",
        "12345678901234567890",
        "{\"a\":1,,\"b\":2}",
        "[,1]",
        "\"\x7f\"",
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
    };
    (void)state;
    qn_grammar *any = qn_json_grammar(false), *object = qn_json_grammar(true);
    for (size_t i = 0; i < QN_COUNTOF(good); i++) {
        if (!accepts(any, good[i]))
            fail_msg("not accepted: %s", good[i]);
        const char *p = good[i] + strspn(good[i], " ");
        assert_int_equal(accepts(object, good[i]), *p == '{');
    }
    for (size_t i = 0; i < QN_COUNTOF(bad); i++)
        if (accepts(any, bad[i]))
            fail_msg("accepted: %s", bad[i]);
    assert_true(qn_gram_is_over(
        any,
        qn_gram_next(any, qn_gram_next(any, qn_gram_begin(any), '{'), '}')));
    uint32_t digit = qn_gram_next(any, qn_gram_begin(any), '5');
    assert_true(qn_gram_accepts(any, digit));
    assert_false(qn_gram_is_over(any, digit));
    qn_grammar_free(any);
    qn_grammar_free(object);
}

/* Whatever it lets through is JSON for jansson; with a byte changed, what it
 * still lets through is, too. */
static void test_json_walks(void **state)
{
    (void)state;
    uint32_t x = 12345;
    int n_done = 0, n_spoilt = 0;
    for (int round = 0; round < 20; round++) {
        qn_grammar *g = qn_json_grammar(false);
        for (int i = 0; i < 100; i++) {
            char text[600];
            size_t n = walk(g, &x, text, sizeof text);
            if (qn_gram_full(g))
                break;
            if (n == 0)
                continue;
            if (!is_json(text, n))
                fail_msg("no JSON: %.*s", (int)n, text);
            n_done++;
            text[random_below(&x, (uint32_t)n)] = (char)random_below(&x, 256);
            bool ok = accepts_n(g, text, n);
            if (ok && !is_json(text, n))
                fail_msg("no JSON: %.*s", (int)n, text);
            n_spoilt += !ok;
        }
        qn_grammar_free(g);
    }
    assert_true(n_done > 1000 && n_spoilt > 500);
}

/* ---- schemas ------------------------------------------------------------- */

typedef struct schema_case {
    const char *schema;
    const char *good[6], *bad[8];
} schema_case;

static const schema_case schemas[] = {
    {"true", {"1", "{\"a\":[]}"}, {"", "{"}},
    {"{}", {"1", "\"a\"", "[{}]"}, {"a"}},
    {"{\"type\":\"string\"}", {"\"\"", "\"abc\""}, {"1", "abc", "\"a"}},
    {"{\"type\":\"string\",\"minLength\":2,\"maxLength\":3}",
     {"\"ab\"", "\"\xc3\xa4\\n\"", "\"\xf0\x9f\x98\x80zz\"",
      "\"\\ud83d\\ude00x\""},
     {"\"a\"", "\"abcd\"", "\"\""}},
    {"{\"type\":\"string\",\"maxLength\":0}", {"\"\""}, {"\"a\""}},
    {"{\"type\":[\"integer\",\"null\"]}",
     {"1", "-20", "null"},
     {"1.5", "\"1\"", "true", "01"}},
    {"{\"type\":\"number\"}", {"1", "-1.5", "2e3"}, {"null", "."}},
    {"{\"type\":\"integer\",\"minimum\":-15,\"maximum\":123}",
     {"-15", "-1", "0", "9", "99", "123"},
     {"-16", "124", "200", "1000", "-0", "-20"}},
    {"{\"type\":\"integer\",\"minimum\":5}",
     {"5", "10", "999999999999999"},
     {"4", "0", "-5"}},
    {"{\"type\":\"integer\",\"maximum\":-3}",
     {"-3", "-10", "-123"},
     {"-2", "0", "3"}},
    {"{\"enum\":[\"a\",1,null,{\"b\":[true]}]}",
     {"\"a\"", "1", "null", "{\"b\":[true]}"},
     {"\"b\"", "2", "true", "{}"}},
    {"{\"type\":\"string\",\"enum\":[\"on\",\"off\",3]}",
     {"\"on\"", "\"off\""},
     {"3", "\"o\"", "\"offf\""}},
    {"{\"const\":\"\\u00e4\\\"\"}", {"\"\xc3\xa4\\\"\""}, {"\"a\""}},
    {"{\"type\":\"array\",\"items\":{\"type\":\"integer\"}}",
     {"[]", "[1]", "[1, 2,3]", "[\n  1,\n  2\n]"},
     {"[\"a\"]", "[1,]", "1"}},
    {"{\"type\":\"array\",\"items\":{\"type\":\"boolean\"},\"minItems\":2,"
     "\"maxItems\":3}",
     {"[true,false]", "[true,true,true]"},
     {"[]", "[true]", "[true,true,true,true]"}},
    {"{\"type\":\"array\",\"maxItems\":0}", {"[]", "[ ]"}, {"[1]"}},
    {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},"
     "\"b\":{\"type\":\"string\"},\"c\":{}},\"required\":[\"a\",\"c\"],"
     "\"additionalProperties\":false}",
     {"{\"a\":1,\"b\":\"x\",\"c\":null}", "{\"a\": 1, \"c\": 2}"},
     {"{}", "{\"a\":1}", "{\"c\":1,\"a\":1}", "{\"a\":1,\"c\":2,\"d\":3}",
      "{\"a\":\"1\",\"c\":2}", "{\"a\":1,\"a\":1,\"c\":2}"}},
    {"{\"properties\":{\"a\":{},\"b\":{}}}",
     {"{}", "{ }", "{\"a\":1}", "{\"b\":1}", "{\"a\":1,\"b\":2}"},
     {"{\"b\":1,\"a\":2}", "{,\"b\":1}", "{\"a\":1,}", "[]"}},
    {"{\"type\":\"object\",\"additionalProperties\":{\"type\":\"integer\"}}",
     {"{}", "{\"x\":1,\"y\":2}"},
     {"{\"x\":\"1\"}"}},
    {"{\"type\":\"object\",\"additionalProperties\":false}",
     {"{}"},
     {"{\"a\":1}"}},
    {"{\"anyOf\":[{\"type\":\"integer\"},{\"type\":\"array\",\"items\":"
     "{\"type\":\"null\"}}]}",
     {"3", "[null,null]"},
     {"null", "[3]"}},
    {"{\"allOf\":[{\"type\":\"null\"}],\"title\":\"t\"}", {"null"}, {"1"}},
    {"{\"type\":\"object\",\"properties\":{\"v\":{\"type\":\"integer\"},"
     "\"next\":{\"anyOf\":[{\"$ref\":\"#\"},{\"type\":\"null\"}]}},"
     "\"required\":[\"v\",\"next\"]}",
     {"{\"v\":1,\"next\":null}", "{\"v\":1,\"next\":{\"v\":2,\"next\":null}}"},
     {"{\"v\":1}", "{\"v\":1,\"next\":{}}"}},
    {"{\"$ref\":\"#/$defs/a~1b\",\"$defs\":{\"a/b\":{\"type\":\"boolean\"}}}",
     {"true"},
     {"1"}},
    {"{\"type\":\"string\",\"format\":\"date\"}",
     {"\"2026-02-28\""},
     {"\"2026-13-01\"", "\"2026-1-1\"", "\"soon\"", "\"\""}},
    {"{\"type\":[\"string\",\"null\"],\"format\":\"date-time\"}",
     {"\"2026-02-28T23:59:59Z\"", "\"2026-02-28T09:00:00.25+01:00\"", "null"},
     {"\"2026-02-28\"", "\"2026-02-28T24:00:00Z\"", "\"2026-02-28T09:00:00\""}},
    {"{\"type\":\"string\",\"format\":\"time\"}",
     {"\"09:30:00Z\""},
     {"\"9:30\"", "\"09:30:00\"", "\"09:60:00Z\""}},
    {"{\"type\":\"string\",\"format\":\"uuid\"}",
     {"\"123e4567-e89b-12d3-a456-426614174000\""},
     {"\"123e4567-e89b-12d3-a456-42661417400\"", "\"x\""}},
    {"{\"type\":\"string\",\"format\":\"ipv4\"}",
     {"\"127.0.0.1\"", "\"255.249.199.9\""},
     {"\"256.0.0.1\"", "\"1.2.3\"", "\"01.2.3.4\""}},
    {"{\"type\":\"string\",\"format\":\"email\"}",
     {"\"a.b+c@d-e.example.org\""},
     {"\"a\"", "\"a@b\"", "\"a..b@c.de\"", "\"@c.de\""}},
    /* a format says nothing of other kinds; others, and those beside what is
     * stronger, are annotations */
    {"{\"format\":\"date\"}", {"1", "\"2026-02-28\""}, {"\"soon\""}},
    {"{\"type\":\"integer\",\"format\":\"int32\"}", {"1"}, {"\"a\""}},
    {"{\"type\":\"string\",\"format\":\"date\",\"maxLength\":2}",
     {"\"ab\""},
     {"\"abc\""}},
    {"{\"enum\":[\"a\"],\"format\":\"date\"}", {"\"a\""}, {"\"b\""}},
};

static void test_schemas(void **state)
{
    (void)state;
    uint32_t x = 7;
    for (size_t i = 0; i < QN_COUNTOF(schemas); i++) {
        const schema_case *c = &schemas[i];
        qn_grammar *g = NULL;
        qn_err err = {0};
        if (qn_schema_grammar(&g, c->schema, strlen(c->schema), &err) < 0)
            fail_msg("%s: %s", c->schema, err.msg);
        for (size_t k = 0; k < QN_COUNTOF(c->good) && c->good[k]; k++)
            if (!accepts(g, c->good[k]))
                fail_msg("%s does not accept %s", c->schema, c->good[k]);
        for (size_t k = 0; k < QN_COUNTOF(c->bad) && c->bad[k]; k++)
            if (accepts(g, c->bad[k]))
                fail_msg("%s accepts %s", c->schema, c->bad[k]);
        for (int k = 0; k < 20; k++) {
            char text[2000];
            size_t n = walk(g, &x, text, sizeof text);
            if (n > 0 && !is_json(text, n))
                fail_msg("%s: no JSON: %.*s", c->schema, (int)n, text);
        }
        qn_grammar_free(g);
    }
}

/* Every integer of some ranges, and none beside. */
static void test_ranges(void **state)
{
    static const int ranges[][2] = {{0, 0},     {-3, 7},    {5, 5},  {17, 342},
                                    {-99, -1},  {100, 999}, {-1, 0}, {9, 10},
                                    {-250, 81}, {8, 1001}};
    (void)state;
    for (size_t i = 0; i < QN_COUNTOF(ranges); i++) {
        char text[128];
        qn_grammar *g = NULL;
        snprintf(text, sizeof text,
                 "{\"type\":\"integer\",\"minimum\":%d,\"maximum\":%d}",
                 ranges[i][0], ranges[i][1]);
        assert_int_equal(qn_schema_grammar(&g, text, strlen(text), NULL), 0);
        for (int v = -1100; v <= 1100; v++) {
            snprintf(text, sizeof text, "%d", v);
            bool in = v >= ranges[i][0] && v <= ranges[i][1];
            if (accepts(g, text) != in)
                fail_msg("%d..%d and %d", ranges[i][0], ranges[i][1], v);
        }
        qn_grammar_free(g);
    }
}

static void test_refusals(void **state)
{
    static const struct {
        const char *schema;
        int code;
        const char *names;
    } cases[] = {
        {"", QN_EFORMAT, "schema"},
        {"[]", QN_EINVAL, "object"},
        {"false", QN_EUNSUP, "false"},
        {"{\"pattern\":\"(?=a)\"}", QN_EUNSUP, "group"},
        {"{\"pattern\":1}", QN_EINVAL, "pattern"},
        {"{\"pattern\":\"a\",\"minLength\":1}", QN_EUNSUP, "pattern"},
        /* and where it stands */
        {"{\"properties\":{\"a\":{\"items\":{\"uniqueItems\":true}}}}",
         QN_EUNSUP, "schema at #/properties/a/items: keyword \"uniqueItems\""},
        {"{\"properties\":{\"a\":{\"type\":\"null\"}},\"oneOf\":[]}", QN_EUNSUP,
         "schema: keyword \"oneOf\""},
        {"{\"anyOf\":[{},{\"$ref\":\"#/$defs/x\"}],\"$defs\":{\"x\":{"
         "\"additionalProperties\":{\"type\":\"strin\"}}}}",
         QN_EINVAL, "schema at #/$defs/x/additionalProperties: type \"strin\""},
        {"{\"anyOf\":[{},{\"not\":{}}]}", QN_EUNSUP, "schema at #/anyOf/1: "},
        {"{\"oneOf\":[{}]}", QN_EUNSUP, "oneOf"},
        {"{\"type\":\"object\",\"patternProperties\":{}}", QN_EUNSUP,
         "patternProperties"},
        {"{\"type\":\"strin\"}", QN_EINVAL, "strin"},
        {"{\"type\":\"number\",\"minimum\":0}", QN_EUNSUP, "minimum"},
        {"{\"type\":\"integer\",\"minimum\":0.5}", QN_EUNSUP, "minimum"},
        {"{\"type\":\"integer\",\"minimum\":2,\"maximum\":1}", QN_EINVAL,
         "maximum"},
        {"{\"type\":\"array\",\"minItems\":3,\"maxItems\":1}", QN_EINVAL,
         "minItems"},
        {"{\"type\":\"array\",\"minItems\":-1}", QN_EINVAL, "minItems"},
        {"{\"required\":[\"a\"],\"type\":\"object\"}", QN_EUNSUP, "\"a\""},
        {"{\"$ref\":\"#/$defs/x\"}", QN_EINVAL, "#/$defs/x"},
        {"{\"$ref\":\"http://x/y\"}", QN_EUNSUP, "http"},
        {"{\"$ref\":\"#\"}", QN_EINVAL, "no text"},
        {"{\"anyOf\":[{\"$ref\":\"#\"}]}", QN_EINVAL, "no text"},
        {"{\"properties\":{\"a\":{\"$ref\":\"#\"}},\"required\":[\"a\"]}",
         QN_EINVAL, "no text"},
        {"{\"enum\":[]}", QN_EINVAL, "enum"},
        {"{\"anyOf\":[]}", QN_EINVAL, "anyOf"},
        {"{\"$ref\":\"#\",\"minItems\":1}", QN_EUNSUP, "minItems"},
    };
    (void)state;
    for (size_t i = 0; i < QN_COUNTOF(cases); i++) {
        qn_err err = {0};
        qn_grammar *g = NULL;
        int rc = qn_schema_grammar(&g, cases[i].schema, strlen(cases[i].schema),
                                   &err);
        if (rc != cases[i].code || !strstr(err.msg, cases[i].names))
            fail_msg("%s: %d %s", cases[i].schema, rc, err.msg);
        assert_null(g);
    }
}

/* ---- masks ---------------------------------------------------------------- */

static void check_mask(const qn_trie *t, qn_grammar *g, uint32_t s, int n_ids)
{
    uint32_t *bits = calloc((size_t)n_ids / 32 + 1, sizeof *bits);
    int n = qn_trie_mask(t, g, s, bits), count = 0;
    for (int id = 0; id < n_ids; id++) {
        bool want = qn_trie_advance(t, g, s, id) != QN_GRAM_DEAD;
        bool got = bits[id / 32] >> (id % 32) & 1;
        count += want;
        if (got != want)
            fail_msg("token %d: %d, by itself %d", id, got, want);
    }
    assert_int_equal(n, count);
    free(bits);
}

static void masks_of(const char *name)
{
    qn_tok *tok = NULL;
    qn_trie *t = NULL;
    qn_err err = {0};
    if (qn_tok_open_dir(&tok, name, &err) < 0)
        fail_msg("%s: %s", name, err.msg);
    int n = (int)qn_tok_n_vocab(tok) + 5; /* a network may have more rows */
    int rc = qn_trie_new(&t, tok, n, &err);
    if (rc < 0) {
        assert_int_equal(rc, QN_EUNSUP);
        qn_tok_close(tok);
        return;
    }
    static const char text[] = "{\"a\u00e4\": [1.5, \"x\\n\", null], \"b\": ";
    qn_grammar *g = qn_json_grammar(false);
    uint32_t s = qn_gram_begin(g);
    for (const char *p = text; *p; p++) {
        check_mask(t, g, s, n);
        s = qn_gram_next(g, s, (uint8_t)*p);
        assert_int_not_equal(s, QN_GRAM_DEAD);
    }
    qn_grammar_free(g);
    /* the bytes of a text's tokens are the text */
    qn_tok_ids ids = {0};
    qn_str all = {0};
    assert_int_equal(qn_tok_encode(tok, text, strlen(text), 0, &ids, NULL,
                                   NULL),
                     0);
    for (size_t i = 0; i < ids.n; i++) {
        qn_view v = qn_trie_bytes(t, ids.v[i]);
        qn_str_add(&all, v.p, v.n);
    }
    if (!strstr(all.p ? all.p : "", text))
        fail_msg("%s: \"%s\" instead of \"%s\"", name, all.p, text);
    qn_str_deinit(&all);
    qn_vec_deinit(&ids);
    qn_trie_free(t);
    qn_tok_close(tok);
}

static void test_masks(void **state)
{
    static const char *const own[] = {"qwen2", "llama2_spmbpe"};
    static const char *const shared[] = {"llama3",    "gpt2",
                                         "starcoder", "gemma_spmbpe",
                                         "neox",      "llama_metaspace",
                                         "wordpiece"};
    char path[64];
    (void)state;
    for (size_t i = 0; i < QN_COUNTOF(own); i++) {
        snprintf(path, sizeof path, "tokenizers/%s", own[i]);
        masks_of(qn_test_data(path));
    }
    for (size_t i = 0; i < QN_COUNTOF(shared); i++) {
        snprintf(path, sizeof path, "goldens/tokenizers/%s", shared[i]);
        if (qn_test_shared(path))
            masks_of(qn_test_shared(path));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_texts), cmocka_unit_test(test_json_walks),
        cmocka_unit_test(test_schemas),    cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_refusals),   cmocka_unit_test(test_masks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
