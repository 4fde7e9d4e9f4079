/* test_tok_open.c - definitions: what is refused, with what words; what added
 * tokens do; texts that are no UTF-8; that failing leaves nothing behind. */
#include "testing.h"

#include "base/json.h"
#include "text/tokenizer.h"

#define VOCAB                                                                 \
    "\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"\u0120\":3,\"c\":4,\"\u0120a\":5," \
    "\"A\":6}"
#define MODEL                                                    \
    "\"model\":{\"type\":\"BPE\"," VOCAB ",\"merges\":[\"a b\"," \
    "[\"\u0120\",\"a\"]]}"
#define BYTES                                    \
    "\"pre_tokenizer\":{\"type\":\"ByteLevel\"," \
    "\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":true}"
#define DECODER "\"decoder\":{\"type\":\"ByteLevel\"}"

static qn_tok *open_text(const char *text)
{
    qn_err err = {0};
    qn_tok *t = NULL;
    if (qn_tok_open_json(&t, qn_view_cstr(text), NULL, "toy", &err) < 0)
        fail_msg("%s", err.msg);
    return t;
}

/* Ids of text, and spans: "2(0,2) 3(2,3)". */
static void encode(const qn_tok *t, const char *text, size_t n, unsigned flags,
                   char *out)
{
    qn_err err = {0};
    qn_tok_ids ids = {0};
    qn_tok_spans spans = {0};
    if (qn_tok_encode(t, text, n, flags, &ids, &spans, &err) < 0)
        fail_msg("%s", err.msg);
    *out = '\0';
    for (size_t k = 0; k < ids.n; k++)
        sprintf(out + strlen(out), "%s%d(%u,%u)", k ? " " : "", ids.v[k],
                spans.v[k].begin, spans.v[k].end);
    qn_vec_deinit(&ids);
    qn_vec_deinit(&spans);
}

static void expect(const qn_tok *t, const char *text, unsigned flags,
                   const char *want)
{
    char got[512];
    encode(t, text, strlen(text), flags, got);
    if (strcmp(got, want) != 0)
        fail_msg("\"%s\": %s instead of %s", text, got, want);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int code;
        const char *says;
    } cases[] = {
        {"", QN_EFORMAT, "object"},
        {"{", QN_EFORMAT, "ends early"},
        {"[]", QN_EFORMAT, "object"},
        {"{}", QN_EFORMAT, "\"model\""},
        {"{" MODEL "} x", QN_EFORMAT, "follows"},
        {"{\"version\":\"2.0\"," MODEL "}", QN_EUNSUP, "2.0"},
        {"{\"model\":{\"type\":\"Psychic\"}}", QN_EUNSUP, "Psychic"},
        {"{\"model\":{\"type\":\"BPE\"}}", QN_EFORMAT, "vocab"},
        {"{\"model\":{\"type\":\"BPE\"," VOCAB ",\"merges\":[],\"foo\":1}}",
         QN_EUNSUP, "\"foo\""},
        {"{\"model\":{\"type\":\"BPE\",\"dropout\":0.1," VOCAB
         ",\"merges\":[]}}",
         QN_EUNSUP, "dropout"},
        {"{\"model\":{\"type\":\"BPE\"," VOCAB ",\"merges\":[\"a\"]}}",
         QN_EFORMAT, "two tokens"},
        {"{\"model\":{\"type\":\"BPE\"," VOCAB ",\"merges\":[\"b c\"]}}",
         QN_EFORMAT, "not in the vocabulary"},
        {"{\"model\":{\"type\":\"BPE\"," VOCAB ",\"merges\":[[\"a\"]]}}",
         QN_EFORMAT, "two tokens"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":-1},\"merges\":[]}}",
         QN_EFORMAT, "id -1"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":99999999},"
         "\"merges\":[]}}",
         QN_EFORMAT, "id 99999999"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"a\":1},"
         "\"merges\":[]}}",
         QN_EFORMAT, "twice"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":0},"
         "\"merges\":[]}}",
         QN_EFORMAT, "two tokens have the id 0"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":1.5},\"merges\":[]}}",
         QN_EFORMAT, "integer"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"\\ud800\":1},"
         "\"merges\":[]}}",
         QN_EFORMAT, "surrogate"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{},\"merges\":[]}}",
         QN_EFORMAT, "empty"},
        {"{\"added_tokens\":[{\"id\":9}]," MODEL "}", QN_EFORMAT, "content"},
        {"{\"added_tokens\":3," MODEL "}", QN_EFORMAT, "added_tokens"},
        {"{\"normalizer\":{\"type\":\"Precipitate\"}," MODEL "}", QN_EUNSUP,
         "normalizer Precipitate"},
        {"{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":"
         "\"(\"},\"behavior\":\"Isolated\",\"invert\":false}," MODEL "}",
         QN_EFORMAT, "regular expression"},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        qn_err err = {0};
        qn_tok *t = NULL;
        int rc = qn_tok_open_json(&t, qn_view_cstr(cases[k].text), NULL,
                                  "a.json", &err);
        if (rc != cases[k].code || !strstr(err.msg, cases[k].says) ||
            !strstr(err.msg, "a.json") || t)
            fail_msg("%.80s: %d %s", cases[k].text, rc, err.msg);
    }
}

/* Every prefix of a good definition is refused without a leak. */
static void test_truncated(void **state)
{
    (void)state;
    static const char whole[] = "{\"version\":\"1.0\",\"added_tokens\":["
                                "{\"id\":7,\"content\":\"<s>\",\"special\":"
                                "true}]," BYTES "," DECODER "," MODEL "}";
    qn_tok_close(open_text(whole));
    for (size_t n = 0; n + 1 < sizeof whole; n++) {
        qn_err err = {0};
        qn_tok *t = NULL;
        assert_true(
            qn_tok_open_json(&t, qn_view_of(whole, n), NULL, "t", &err) < 0);
        assert_int_equal(err.msg[0] != '\0', 1);
    }
}

#define ADDED(switches)                                                       \
    "{\"added_tokens\":[{\"id\":7,\"content\":\"<m>\",\"single_word\":false," \
    "\"special\":true" switches "}]," BYTES "," DECODER "," MODEL "}"

static void test_added(void **state)
{
    (void)state;
    qn_tok *t = open_text(ADDED(""));
    assert_int_equal(qn_tok_n_vocab(t), 8);
    assert_int_equal(qn_tok_id(t, "<m>", 3), 7);
    assert_true(qn_tok_is_special(t, 7));
    assert_false(qn_tok_is_special(t, 2));
    expect(t, "ab <m> a", QN_TOK_DEFAULT, "2(0,2) 3(2,3) 7(3,6) 5(6,8)");
    /* Untrusted text: the token's letters are just letters. */
    expect(t, "ab<m>", 0, "2(0,2)");
    qn_tok_close(t);

    t = open_text(ADDED(",\"lstrip\":true"));
    expect(t, "ab \t<m> a", QN_TOK_DEFAULT, "2(0,2) 7(2,7) 5(7,9)");
    qn_tok_close(t);
    t = open_text(ADDED(",\"rstrip\":true"));
    expect(t, "ab <m>  a", QN_TOK_DEFAULT, "2(0,2) 3(2,3) 7(3,8) 0(8,9)");
    qn_tok_close(t);
}

/* Longest first, whole words, normalized forms. */
static void test_added_matching(void **state)
{
    (void)state;
    qn_tok *t = open_text(
        "{\"added_tokens\":[{\"id\":7,\"content\":\"ca\",\"normalized\":false},"
        "{\"id\":8,\"content\":\"cab\",\"normalized\":false},"
        "{\"id\":9,\"content\":\"bb\",\"single_word\":true,\"normalized\":"
        "false},{\"id\":10,\"content\":\"CC\",\"normalized\":true}],"
        "\"normalizer\":{\"type\":\"Lowercase\"}," BYTES "," DECODER "," MODEL
        "}");
    expect(t, "cabca", QN_TOK_DEFAULT, "8(0,3) 7(3,5)");
    expect(t, "bb,bbb", QN_TOK_DEFAULT, "9(0,2) 1(3,4) 1(4,5) 1(5,6)");
    expect(t, "aCcA", QN_TOK_DEFAULT, "0(0,1) 10(1,3) 0(3,4)");
    expect(t, "cc", 0, "10(0,2)"); /* not special: always found */
    qn_str text;
    qn_str_init(&text);
    qn_err err = {0};
    const int32_t ids[] = {10, 2, 99, -5};
    assert_int_equal(qn_tok_decode(t, ids, 4, true, &text, &err), 0);
    assert_string_equal(text.p, "ccab");
    qn_str_deinit(&text);
    qn_tok_close(t);
}

static void test_not_utf8(void **state)
{
    (void)state;
    qn_tok *t = open_text(
        "{\"model\":{\"type\":\"BPE\",\"unk_token\":\"?\",\"vocab\":{\"a\":0,"
        "\"\uFFFD\":1,\"?\":2},\"merges\":[]}}");
    char got[256];
    encode(t,
           "a\xFF\xE2\x82"
           "a\x80",
           6, 0, got);
    assert_string_equal(got, "0(0,1) 1(1,2) 1(2,3) 0(3,4) 1(4,5)");
    encode(t, "a\0a", 3, 0, got);
    assert_string_equal(got, "0(0,1) 2(1,2) 0(2,3)");
    encode(t, "", 0, 0, got);
    assert_string_equal(got, "");
    qn_tok_close(t);
}

static void test_template(void **state)
{
    (void)state;
    qn_tok *t = open_text(
        "{\"added_tokens\":[{\"id\":7,\"content\":\"<s>\",\"special\":true}],"
        "\"post_processor\":{\"type\":\"Sequence\",\"processors\":[{\"type\":"
        "\"ByteLevel\",\"trim_offsets\":true,\"add_prefix_space\":false},"
        "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{"
        "\"id\":\"<s>\",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\""
        ":0}},{\"SpecialToken\":{\"id\":\"<s>\",\"type_id\":0}}],\"pair\":[],"
        "\"special_tokens\":{\"<s>\":{\"id\":\"<s>\",\"ids\":[7,4],\"tokens\":"
        "[\"<s>\",\"c\"]}}}]}," BYTES "," DECODER "," MODEL "}");
    expect(t, "ab a", QN_TOK_DEFAULT,
           "7(0,0) 4(0,0) 2(0,2) 5(3,4) 7(0,0) 4(0,0)");
    expect(t, "ab a", QN_TOK_PARSE_SPECIAL, "2(0,2) 5(3,4)");
    qn_tok_close(t);
}

/* "first" is what began the text before anything was taken away. */
static void test_first_after_strip(void **state)
{
    (void)state;
    qn_tok *t = open_text(
        "{\"normalizer\":{\"type\":\"Strip\",\"strip_left\":true,"
        "\"strip_right\":true},\"pre_tokenizer\":{\"type\":\"Metaspace\","
        "\"replacement\":\"_\",\"prepend_scheme\":\"first\",\"split\":false}"
        ",\"model\":{\"type\":\"BPE\",\"vocab\":{\"_\":0,\"a\":1},"
        "\"merges\":[]}}");
    expect(t, "a a", QN_TOK_DEFAULT, "0(0,1) 1(0,1) 0(1,2) 1(2,3)");
    expect(t, "  a", QN_TOK_DEFAULT, "1(2,3)");
    qn_tok_close(t);
}

/* Both ways have the same sum but for rounding, and that of the reference's
 * own reading of decimal numbers decides. */
static void test_scores(void **state)
{
    (void)state;
    qn_tok *t = open_text(
        "{\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"<unk>\","
        "0],[\"x\",-7.6292412820524245],[\"y\",-9.053518723750859],"
        "[\"-\",-5.110396437417681],[\"--\",-6.861808931258226]]}}");
    expect(t, "x---", QN_TOK_DEFAULT, "1(0,1) 3(1,2) 4(2,4)");
    expect(t, "y---", QN_TOK_DEFAULT, "2(0,1) 4(1,3) 3(3,4)");
    qn_tok_close(t);
}

static void test_files(void **state)
{
    (void)state;
    const char *dir = qn_test_tmpdir();
    char path[4096];
    static const char *const files[][2] = {
        {"vocab.json", "{\"</s>\":2,\"<pad>\":1,\"<s>\":0,\"a\":3,\"b\":4,"
                       "\"ab\":5,\"\u0120\":6,\"\u0120a\":7}"},
        {"merges.txt", "#version: 0.2\na b\r\n\u0120 a\n"},
        {"tokenizer_config.json",
         "{\"tokenizer_class\":\"GPT2Tokenizer\",\"add_bos_token\":true,"
         "\"bos_token\":{\"__type\":\"AddedToken\",\"content\":\"</s>\"},"
         "\"eos_token\":\"</s>\",\"pad_token\":\"<pad>\",\"unk_token\":"
         "\"</s>\",\"add_prefix_space\":false}"},
        {"added_tokens.json", "{\"<x>\":8}"},
    };
    for (int k = 0; k < 4; k++) {
        snprintf(path, sizeof path, "%s/%s", dir, files[k][0]);
        qn_test_write_file(path, files[k][1], strlen(files[k][1]));
    }
    qn_err err = {0};
    qn_tok *t = NULL;
    if (qn_tok_open_dir(&t, dir, &err) < 0)
        fail_msg("%s", err.msg);
    expect(t, "ab a<x></s>", QN_TOK_DEFAULT,
           "2(0,0) 5(0,2) 7(2,4) 8(4,7) 2(7,11)");
    assert_int_equal(qn_tok_role_id(t, QN_TOK_BOS), 2);
    assert_int_equal(qn_tok_role_id(t, QN_TOK_PAD), 1);
    qn_tok_close(t);

    snprintf(path, sizeof path, "%s/tokenizer_config.json", dir);
    static const char roberta[] =
        "{\"tokenizer_class\":\"RobertaTokenizer\",\"add_prefix_space\":true}";
    qn_test_write_file(path, roberta, strlen(roberta));
    if (qn_tok_open_dir(&t, dir, &err) < 0)
        fail_msg("%s", err.msg);
    expect(t, "a", QN_TOK_DEFAULT, "0(0,0) 7(0,1) 2(0,0)");
    qn_tok_close(t);

    static const char strange[] = "{\"tokenizer_class\":\"OddTokenizer\"}";
    qn_test_write_file(path, strange, strlen(strange));
    assert_int_equal(qn_tok_open_dir(&t, dir, &err), QN_EUNSUP);
    assert_non_null(strstr(err.msg, "OddTokenizer"));
}

static void test_ranks_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"IQ==",
                                      "IQ== x",
                                      "I 0",
                                      "IQ== 0\nIQ== 0",
                                      "IQ== 0\nIg== 0",
                                      "== 3",
                                      "!Q== 1",
                                      "IQ== 99999999999999999999",
                                      ""};
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        qn_err err = {0};
        qn_tok *t = NULL;
        int rc = qn_tok_open_tiktoken(&t, qn_view_cstr(bad[k]), "cl100k", NULL,
                                      0, "r.tiktoken", &err);
        if (rc >= 0 || !strstr(err.msg, "r.tiktoken"))
            fail_msg("\"%s\": %d %s", bad[k], rc, err.msg);
    }
}

/* ---- tekken.json --------------------------------------------------------- */

static void base64(qn_str *s, const char *p, size_t n)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        uint32_t v = 0;
        for (size_t k = 0; k < 3; k++)
            v = v << 8 | (i + k < n ? (uint8_t)p[i + k] : 0);
        for (size_t k = 0; k < 4; k++)
            qn_str_addc(s, i + k > n ? '=' : digits[v >> (18 - 6 * k) & 63]);
    }
}

/* The same ranks as a rank file and as a tekken.json; `more` are members of
 * the latter. */
static void make_ranks(qn_str *ranks, qn_str *tekken, const char *more)
{
    static const char *const merged[] = {"he",  "ll", "hell",     "lo", " w",
                                         " wo", "or", "\xC3\xA9", "12"};
    qn_str_init(ranks);
    qn_str_init(tekken);
    qn_str_addf(tekken,
                "{\"config\": {\"pattern\": \" ?\\\\p{L}+|.\", "
                "\"default_vocab_size\": 275, "
                "\"default_num_special_tokens\": 10, \"version\": \"v3\"}%s, "
                "\"vocab\": [",
                more);
    for (int k = 0; k < 256 + (int)(sizeof merged / sizeof *merged) + 2; k++) {
        char byte = (char)k;
        int at = k - 256, n_merged = (int)(sizeof merged / sizeof *merged);
        const char *p = k < 256 ? &byte : at < n_merged ? merged[at] : "zz";
        size_t n = k < 256 ? 1 : strlen(p);
        qn_str b;
        qn_str_init(&b);
        base64(&b, p, n);
        if (at < n_merged) /* those behind are beyond the vocabulary */
            qn_str_addf(ranks, "%s %d\n", b.p, k);
        qn_str_addf(tekken,
                    "%s{\"rank\": %d, \"token_bytes\": \"%s\", "
                    "\"token_str\": null}",
                    k ? ", " : "", k, b.p);
        qn_str_deinit(&b);
    }
    qn_str_adds(tekken, "]}");
}

static void check_tekken(const char *more, const char *special, int32_t id)
{
    static const char *const texts[] = {"hello world", "h\xC3\xA9llo 123zz", "",
                                        " \n<s>"};
    qn_str ranks, json;
    qn_tok *a = NULL, *b = NULL;
    qn_err err = {0};
    make_ranks(&ranks, &json, more);
    if (qn_tok_open_tiktoken(&a, qn_view_of(ranks.p, ranks.n), " ?\\p{L}+|.",
                             NULL, 0, "ranks", &err) < 0 ||
        qn_tok_open_tekken(&b, qn_view_of(json.p, json.n), NULL, "tekken",
                           &err) < 0)
        fail_msg("%s", err.msg);
    for (size_t k = 0; k < sizeof texts / sizeof *texts; k++) {
        qn_tok_ids x = {0}, y = {0};
        qn_str back;
        size_t n = strlen(texts[k]);
        qn_str_init(&back);
        assert_int_equal(qn_tok_encode(a, texts[k], n, 0, &x, NULL, &err), 0);
        assert_int_equal(qn_tok_encode(b, texts[k], n, QN_TOK_SPECIAL, &y, NULL,
                                       &err),
                         0);
        assert_int_equal(y.n, x.n + 1);
        assert_int_equal(y.v[0], qn_tok_role_id(b, QN_TOK_BOS));
        for (size_t i = 0; i < x.n; i++)
            assert_int_equal(y.v[i + 1], x.v[i] + 10);
        assert_int_equal(qn_tok_decode(b, y.v, y.n, true, &back, &err), 0);
        assert_string_equal(back.n ? back.p : "", texts[k]);
        qn_str_deinit(&back);
        qn_vec_deinit(&x);
        qn_vec_deinit(&y);
    }
    assert_int_equal(qn_tok_id(b, special, strlen(special)), id);
    assert_true(qn_tok_is_special(b, id));
    assert_int_equal(qn_tok_n_vocab(b), 275);
    qn_tok_close(a);
    qn_tok_close(b);
    qn_str_deinit(&ranks);
    qn_str_deinit(&json);
}

static void test_tekken(void **state)
{
    (void)state;
    check_tekken("", "[INST]", 3);
    check_tekken(", \"special_tokens\": [{\"rank\": 1, \"token_str\": \"<s>\", "
                 "\"is_control\": true}, {\"rank\": 4, \"token_str\": "
                 "\"[THINK]\", \"is_control\": true}], \"image\": {}",
                 "[THINK]", 4);
    check_tekken(
        ", \"special_tokens\": [{\"rank\": 1, \"token_str\": \"<s>\"}]",
        "<SPECIAL_9>", 9);
    static const char *const bad[] = {
        "",
        "{}",
        "[]",
        "{\"vocab\": []}",
        "{\"config\": {\"pattern\": \"a\"}, \"vocab\": [{\"rank\": -1}]}",
        "{\"config\": {\"pattern\": \"a\"}, \"vocab\": [{\"rank\": 1}]}",
        "{\"config\": {\"pattern\": \"a\", \"default_vocab_size\": 5}, "
        "\"vocab\": []}",
        "{\"config\": {\"pattern\": \"a\"}, \"special_tokens\": [{\"rank\": "
        "1000, \"token_str\": \"x\"}], \"vocab\": []}"};
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        qn_err err = {0};
        qn_tok *t = NULL;
        int rc = qn_tok_open_tekken(&t, qn_view_cstr(bad[k]), NULL, "t.json",
                                    &err);
        if (rc >= 0)
            fail_msg("\"%s\" opens", bad[k]);
        if (rc < 0 && !strstr(err.msg, "t.json"))
            fail_msg("\"%s\": %d %s", bad[k], rc, err.msg);
        qn_tok_close(t);
    }
}

/* Kimi's ranks: 163,584 of them, the special tokens named by the other file. */
static void test_kimi(void **state)
{
    (void)state;
    const char *dir = qn_test_tmpdir();
    char path[4200];
    qn_str ranks = {0};
    for (int k = 0; k < 163584; k++) {
        char b[5] = {(char)k, (char)0xFF, (char)(k >> 8), (char)(k >> 16), 0};
        base64(&ranks,
               k == 300   ? "th"
               : k == 301 ? "the"
                          : b,
               k == 300   ? 2
               : k == 301 ? 3
               : k < 256  ? 1
                          : 4);
        qn_str_addf(&ranks, " %d\n", k);
    }
    snprintf(path, sizeof path, "%s/tiktoken.model", dir);
    qn_test_write_file(path, ranks.p, ranks.n);
    snprintf(path, sizeof path, "%s/tokenizer_config.json", dir);
    static const char config[] =
        "{\"tokenizer_class\":\"TikTokenTokenizer\",\"bos_token\":\"[BOS]\","
        "\"eos_token\":\"[EOS]\",\"added_tokens_decoder\":{\"163587\":"
        "{\"content\":\"<|im_user|>\",\"special\":true}}}";
    qn_test_write_file(path, config, strlen(config));
    qn_err err = {0};
    qn_tok *t = NULL;
    if (qn_tok_open_dir(&t, dir, &err) < 0)
        fail_msg("%s", err.msg);
    expect(t, "<|im_user|>the<|reserved_token_163588|>[EOS]", QN_TOK_DEFAULT,
           "163587(0,11) 301(11,14) 163588(14,39) 163585(39,44)");
    assert_int_equal(qn_tok_role_id(t, QN_TOK_BOS), 163584);
    assert_int_equal(qn_tok_role_id(t, QN_TOK_EOS), 163585);
    qn_tok_close(t);
    qn_str_deinit(&ranks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_added),
        cmocka_unit_test(test_added_matching),
        cmocka_unit_test(test_not_utf8),
        cmocka_unit_test(test_template),
        cmocka_unit_test(test_first_after_strip),
        cmocka_unit_test(test_scores),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_ranks_refused),
        cmocka_unit_test(test_kimi),
        cmocka_unit_test(test_tekken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
