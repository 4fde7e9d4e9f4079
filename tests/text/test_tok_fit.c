/* test_tok_fit.c - the truncation and padding sections of a tokenizer.json.
 * What is wanted was worked out from the rules of the library `tokenizers`
 * (utils/truncation.rs and padding.rs say them): tools/vary_tokenizers.py
 * holds random sections against the library itself. */
#include "testing.h"

#include "text/tokenizer.h"

#define WORDS                                                         \
    "\"pre_tokenizer\":{\"type\":\"WhitespaceSplit\"},"               \
    "\"model\":{\"type\":\"WordLevel\",\"unk_token\":\"u\",\"vocab\"" \
    ":{\"u\":0,\"a\":1,\"b\":2,\"c\":3,\"d\":4,\"<s>\":8,\"</s>\":9}},"
#define ENDS                                                \
    "\"post_processor\":{\"type\":\"BertProcessing\","      \
    "\"sep\":[\"</s>\",9],\"cls\":[\"<s>\",8]},\"version\"" \
    ":\"1.0\""
#define CUT(side, length, way, stride)                                  \
    "\"truncation\":{\"direction\":\"" side "\",\"max_length\":" length \
    ",\"strategy\":\"" way "\",\"stride\":" stride "},"
#define FILL(side, to, unit)                                          \
    "\"padding\":{\"strategy\":" to ",\"direction\":\"" side          \
    "\",\"pad_to_multiple_of\":" unit ",\"pad_id\":7,\"pad_type_id\"" \
    ":0,\"pad_token\":\"p\"},"

static qn_tok *open_with(const char *sections, qn_err *err)
{
    qn_tok *t = NULL;
    char text[2048];
    snprintf(text, sizeof text, "{%s" WORDS ENDS "}", sections);
    return qn_tok_open_json(&t, qn_view_cstr(text), NULL, "toy", err) < 0 ? NULL
                                                                          : t;
}

/* "8(0,0) 1(0,1) ...", or the message. */
static void encode(const char *sections, const char *text, unsigned flags,
                   char out[512])
{
    qn_err err = {0};
    qn_tok_ids ids = {0};
    qn_tok_spans spans = {0};
    qn_tok *t = open_with(sections, &err);
    if (!t)
        fail_msg("%s", err.msg);
    *out = '\0';
    if (qn_tok_encode(t, text, strlen(text), flags, &ids, &spans, &err) < 0)
        snprintf(out, 512, "%s", err.msg);
    for (size_t k = 0; k < ids.n; k++)
        sprintf(out + strlen(out), "%s%d(%u,%u)", k ? " " : "", ids.v[k],
                spans.v[k].begin, spans.v[k].end);
    qn_vec_deinit(&ids);
    qn_vec_deinit(&spans);
    qn_tok_close(t);
}

static void test_fit(void **state)
{
    enum {
        ALL = QN_TOK_DEFAULT | QN_TOK_FIT,
        BARE = QN_TOK_PARSE_SPECIAL | QN_TOK_FIT
    };
    static const struct {
        const char *sections, *text;
        unsigned flags;
        const char *want;
    } cases[] = {
        {CUT("Right", "4", "LongestFirst", "0"), "a b c", ALL,
         "8(0,0) 1(0,1) 2(2,3) 9(0,0)"},
        {CUT("Left", "4", "OnlyFirst", "0"), "a b c", ALL,
         "8(0,0) 2(2,3) 3(4,5) 9(0,0)"},
        {CUT("Right", "4", "LongestFirst", "0"), "a b", ALL,
         "8(0,0) 1(0,1) 2(2,3) 9(0,0)"},
        {CUT("Right", "2", "LongestFirst", "0"), "a b c", BARE,
         "1(0,1) 2(2,3)"},
        {CUT("Right", "2", "LongestFirst", "0"), "a", ALL, "8(0,0) 9(0,0)"},
        {CUT("Right", "1", "LongestFirst", "0"), "a b", ALL,
         "8(0,0) 1(0,1) 2(2,3) 9(0,0)"},
        {CUT("Right", "4", "LongestFirst", "0"), "a b c", QN_TOK_DEFAULT,
         "8(0,0) 1(0,1) 2(2,3) 3(4,5) 9(0,0)"},
        {FILL("Right", "{\"Fixed\":5}", "null"), "a", ALL,
         "8(0,0) 1(0,1) 9(0,0) 7(0,0) 7(0,0)"},
        {FILL("Left", "{\"Fixed\":5}", "null"), "a", ALL,
         "7(0,0) 7(0,0) 8(0,0) 1(0,1) 9(0,0)"},
        {FILL("Left", "{\"Fixed\":2}", "null"), "a", ALL,
         "8(0,0) 1(0,1) 9(0,0)"},
        {FILL("Right", "\"BatchLongest\"", "4"), "a", ALL,
         "8(0,0) 1(0,1) 9(0,0) 7(0,0)"},
        {FILL("Right", "\"BatchLongest\"", "null"), "a", ALL,
         "8(0,0) 1(0,1) 9(0,0)"},
        {FILL("Right", "{\"Fixed\":3}", "2"), "", BARE,
         "7(0,0) 7(0,0) 7(0,0) 7(0,0)"},
        {CUT("Right", "3", "LongestFirst", "0")
             FILL("Left", "{\"Fixed\":4}", "null"),
         "d c b a", ALL, "7(0,0) 8(0,0) 4(0,1) 9(0,0)"},
        {CUT("Right", "4", "OnlySecond", "0"), "a b c", ALL,
         "tokenizer.json: truncation is of the second text alone, and there "
         "is none"},
        {CUT("Right", "4", "OnlyFirst", "2"), "a b c", ALL,
         "tokenizer.json: truncation: a stride of 2 in texts of 2 tokens"},
        {"\"truncation\":null,\"padding\":null,", "a b", BARE, "1(0,1) 2(2,3)"},
    };
    (void)state;
    for (size_t i = 0; i < QN_COUNTOF(cases); i++) {
        char got[512];
        encode(cases[i].sections, cases[i].text, cases[i].flags, got);
        if (strcmp(got, cases[i].want) != 0)
            fail_msg("%s on \"%s\": %s instead of %s", cases[i].sections,
                     cases[i].text, got, cases[i].want);
    }
}

static void test_refused(void **state)
{
    static const struct {
        const char *sections, *says;
    } cases[] = {
        {CUT("Up", "4", "LongestFirst", "0"), "direction \"Up\""},
        {CUT("Left", "-1", "LongestFirst", "0"), "max_length"},
        {CUT("Left", "\"4\"", "LongestFirst", "0"), "max_length"},
        {CUT("Left", "4", "Random", "0"), "strategy \"Random\""},
        {FILL("Left", "{\"Fixed\":99999999}", "null"), "padding to 99999999"},
        {FILL("Left", "\"Shortest\"", "null"), "strategy \"Shortest\""},
        {FILL("Left", "3", "null"), "strategy"},
        {"\"padding\":[],", "padding should be an object"},
        {"\"truncation\":7,", "truncation should be an object"},
    };
    (void)state;
    for (size_t i = 0; i < QN_COUNTOF(cases); i++) {
        qn_err err = {0};
        qn_tok *t = open_with(cases[i].sections, &err);
        assert_null(t);
        if (!strstr(err.msg, cases[i].says))
            fail_msg("%s: %s", cases[i].sections, err.msg);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fit),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
