/* test_tok_steps.c - normalizers, pre-tokenizers and decoders one by one, by
 * the examples that Hugging Face's documentation and tests give for them. */
#include "testing.h"

#include "base/json.h"
#include "text/tok_added.h"
#include "text/tok_dec.h"
#include "text/tok_step.h"

static json_t *parse(const char *text)
{
    qn_err err = {0};
    json_t *o = NULL;
    if (qn_json_parse(&o, text, strlen(text), "test", &err) < 0)
        fail_msg("%s", err.msg);
    return o;
}

static void parse_steps(qn_tok_steps *steps, const qn_tok_stage *stage,
                        const char *definition)
{
    qn_err err = {0};
    json_t *o = parse(definition);
    if (qn_tok_steps_parse(steps, stage, o, "test", &err) < 0)
        fail_msg("%s", err.msg);
    json_decref(o);
}

/* Runs the steps on text, with "<s>" taken out as an added token, and writes
 * the pieces: text, then the bytes of the original that it stands for. */
static void run(const qn_tok_stage *stage, const char *definition,
                const char *text, char *out)
{
    qn_err err = {0};
    qn_tok_steps steps = {0};
    parse_steps(&steps, stage, definition);
    qn_tok_added added;
    qn_tok_added_init(&added);
    qn_tok_added_token tok = {.content = qn_view_cstr("<s>"),
                              .id = 1,
                              .special = true};
    assert_int_equal(qn_tok_added_put(&added, &tok, "test", &err), 0);
    qn_tok_added_ready(&added);

    qn_tok_work w;
    qn_tok_work_init(&w, text, strlen(text), QN_TOK_DEFAULT, &err);
    w.want_al = true;
    qn_tok_added_split(&added, &added.plain, &w);
    if (qn_tok_steps_run(&steps, &w) < 0)
        fail_msg("%s", err.msg);
    *out = '\0';
    for (size_t k = 0; k < w.pieces.n; k++) {
        const qn_tok_piece *pc = &w.pieces.v[k];
        sprintf(out + strlen(out), "%s%.*s(%u,%u)", k ? "|" : "",
                (int)(pc->e - pc->b), w.p + pc->b, qn_tok_work_al(&w, pc->b).b,
                qn_tok_work_al(&w, pc->e - 1).e);
    }
    qn_tok_work_deinit(&w);
    qn_tok_added_deinit(&added);
    qn_tok_steps_deinit(&steps);
}

typedef struct step_case {
    const char *definition, *text, *want;
} step_case;

static void check(const qn_tok_stage *stage, const step_case *cases, size_t n)
{
    for (size_t k = 0; k < n; k++) {
        char got[4096];
        run(stage, cases[k].definition, cases[k].text, got);
        if (strcmp(got, cases[k].want) != 0)
            fail_msg("%s on \"%s\":\n  got  %s\n  want %s", cases[k].definition,
                     cases[k].text, got, cases[k].want);
    }
}

#define META(scheme, split)                               \
    "{\"type\":\"Metaspace\",\"replacement\":\"\u2581\"," \
    "\"prepend_scheme\":\"" scheme "\",\"split\":" split "}"
#define SPLIT(behavior, invert)                                                   \
    "{\"type\":\"Split\",\"pattern\":{\"String\":\"-\"},\"behavior\":\"" behavior \
    "\",\"invert\":" invert "}"
#define BYTES(prefix, regex)                               \
    "{\"type\":\"ByteLevel\",\"add_prefix_space\":" prefix \
    ",\"trim_offsets\":true,\"use_regex\":" regex "}"

static void test_pre_tokenizers(void **state)
{
    (void)state;
    static const step_case cases[] = {
        {META("always", "true"), "Hey friend!",
         "\u2581Hey(0,3)|\u2581friend!(3,11)"},
        {META("always", "true"), "Hey   friend!",
         "\u2581Hey(0,3)|\u2581(3,4)|\u2581(4,5)|\u2581friend!(5,13)"},
        {META("first", "false"), "Hey my <s>how\u2581are you",
         "\u2581Hey\u2581my\u2581(0,7)|<s>(7,10)|how\u2581are\u2581you(10,23)"},
        {META("first", "false"), " Hey <s>how",
         "\u2581Hey\u2581(0,5)|<s>(5,8)|how(8,11)"},
        {META("always", "true"), "<s>how <s> a",
         "<s>(0,3)|\u2581how(3,6)|\u2581(6,7)|<s>(7,10)|\u2581a(10,12)"},
        {META("never", "true"), "Hey friend", "Hey(0,3)|\u2581friend(3,10)"},
        {"{\"type\":\"Metaspace\",\"replacement\":\"_\",\"str_rep\":\"_\","
         "\"add_prefix_space\":true}",
         "a b", "_a(0,1)|_b(1,3)"},
        {SPLIT("Removed", "false"), "the-final--countdown",
         "the(0,3)|final(4,9)|countdown(11,20)"},
        {SPLIT("Isolated", "false"), "the-final--countdown",
         "the(0,3)|-(3,4)|final(4,9)|-(9,10)|-(10,11)|countdown(11,20)"},
        {SPLIT("MergedWithPrevious", "false"), "the-final--countdown",
         "the-(0,4)|final-(4,10)|-(10,11)|countdown(11,20)"},
        {SPLIT("MergedWithNext", "false"), "the-final--countdown",
         "the(0,3)|-final(3,9)|-(9,10)|-countdown(10,20)"},
        {SPLIT("Contiguous", "false"), "the-final--countdown",
         "the(0,3)|-(3,4)|final(4,9)|--(9,11)|countdown(11,20)"},
        {SPLIT("Removed", "true"), "the-final--countdown",
         "-(3,4)|-(9,10)|-(10,11)"},
        {"{\"type\":\"Split\",\"pattern\":{\"Regex\":\"[0-9]+\"},"
         "\"behavior\":\"MergedWithNext\",\"invert\":false}",
         "a1b22", "a(0,1)|1b(1,3)|22(3,5)"},
        {BYTES("false", "true"), "Hello there\nHello there",
         "Hello(0,5)|\u0120there(5,11)|\u010A(11,12)|Hello(12,17)|"
         "\u0120there(17,23)"},
        {BYTES("false", "true"), "Hello there       dear",
         "Hello(0,5)|\u0120there(5,11)|"
         "\u0120\u0120\u0120\u0120\u0120\u0120(11,17)|\u0120dear(17,22)"},
        {BYTES("false", "true"), "i\u2B62j",
         "i(0,1)|\u00E2\u0143\u00A2(1,4)|j(4,5)"},
        {BYTES("true", "true"), "Hello my", "\u0120Hello(0,5)|\u0120my(5,8)"},
        {BYTES("true", "false"), "a<s> b",
         "\u0120a(0,1)|<s>(1,4)|\u0120b(4,6)"},
        {"{\"type\":\"Digits\",\"individual_digits\":true}", "Call 911!",
         "Call (0,5)|9(5,6)|1(6,7)|1(7,8)|!(8,9)"},
        {"{\"type\":\"Digits\",\"individual_digits\":false}", "Call 911!",
         "Call (0,5)|911(5,8)|!(8,9)"},
        {"{\"type\":\"Whitespace\"}", "Hey man! It's_\u00E9",
         "Hey(0,3)|man(4,7)|!(7,8)|It(9,11)|'(11,12)|s_\u00E9(12,16)"},
        {"{\"type\":\"WhitespaceSplit\"}", "Hey  man!\u00A0ok",
         "Hey(0,3)|man!(5,9)|ok(11,13)"},
        {"{\"type\":\"Punctuation\",\"behavior\":\"Isolated\"}",
         "Hey friend?\u3002$",
         "Hey friend(0,10)|?(10,11)|\u3002(11,14)|$(14,15)"},
        {"{\"type\":\"Punctuation\"}", "a,b", "a(0,1)|,(1,2)|b(2,3)"},
        {"{\"type\":\"CharDelimiterSplit\",\"delimiter\":\"-\"}", "a--b",
         "a(0,1)|b(3,4)"},
        {"{\"type\":\"UnicodeScripts\"}",
         "\u3069\u3053\u3067\u751F\u308C\u3002Yes",
         "\u3069\u3053\u3067\u751F\u308C(0,15)|\u3002(15,18)|Yes(18,21)"},
        {"{\"type\":\"UnicodeScripts\"}",
         "Apples are \u308A\u3093\u3054 \u6797\u6A8E",
         "Apples are (0,11)|\u308A\u3093\u3054 \u6797\u6A8E(11,27)"},
        {"{\"type\":\"UnicodeScripts\"}", "  a b", "a b(2,5)"},
        /* The scripts of Unicode 9: what is younger has none. */
        {"{\"type\":\"UnicodeScripts\"}", "\U0001FA28b\u0561\u0589",
         "b(4,5)|\u0561(5,7)|\u0589(7,9)"},
        {"{\"type\":\"FixedLength\",\"length\":2}", "a\u00E9c d<s>e",
         "a\u00E9(0,3)|c (3,5)|d(5,6)|<s>(6,9)|e(9,10)"},
        {"{\"type\":\"FixedLength\"}", "abcdefg", "abcde(0,5)|fg(5,7)"},
        {"{\"type\":\"BertPreTokenizer\"}", "Hey, \u4F60 x",
         "Hey(0,3)|,(3,4)|\u4F60(5,8)|x(9,10)"},
        {"{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":"
         "\"WhitespaceSplit\"},{\"type\":\"Digits\",\"individual_digits\":"
         "true}]}",
         "a1 22", "a(0,1)|1(1,2)|2(3,4)|2(4,5)"},
        {"null", "a b", "a b(0,3)"},
    };
    check(&qn_tok_pre_tokenizers, cases, sizeof cases / sizeof *cases);
}

#define REPLACE(kind, pattern, content)                          \
    "{\"type\":\"Replace\",\"pattern\":{\"" kind "\":\"" pattern \
    "\"},\"content\":\"" content "\"}"

static void test_normalizers(void **state)
{
    (void)state;
    static const step_case cases[] = {
        {"{\"type\":\"NFD\"}", "\u00E9l\u00E9gant", "e\u0301le\u0301gant(0,9)"},
        {"{\"type\":\"NFC\"}", "e\u0301le\u0301gant",
         "\u00E9l\u00E9gant(0,11)"},
        {"{\"type\":\"NFC\"}", "plain text", "plain text(0,10)"},
        {"{\"type\":\"NFKC\"}", "\U0001D53E\u2460\uFB01\uFF41", "G1fia(0,13)"},
        {"{\"type\":\"NFKD\"}", "\u1EAD\u2026", "a\u0323\u0302...(0,6)"},
        {"{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFKD\"},"
         "{\"type\":\"StripAccents\"},{\"type\":\"Lowercase\"}]}",
         "\u1EAD\u2026 Me LLam\u00F3", "a... me llamo(0,16)"},
        {"{\"type\":\"Strip\",\"strip_left\":true,\"strip_right\":true}",
         "  \u4F60\u597Dasa \n", "\u4F60\u597Dasa(2,11)"},
        {"{\"type\":\"Strip\",\"strip_left\":true,\"strip_right\":false}",
         "  a ", "a (2,4)"},
        {"{\"type\":\"Strip\",\"strip_left\":true,\"strip_right\":true}",
         " \t ", ""},
        {"{\"type\":\"Prepend\",\"prepend\":\"Hey \"}", "there",
         "Hey there(0,5)"},
        {"{\"type\":\"Prepend\",\"prepend\":\"_\"}", "a<s>b",
         "_a(0,1)|<s>(1,4)|_b(4,5)"},
        {REPLACE("String", "''", "_"), "a ''test''", "a _test_(0,10)"},
        {REPLACE("Regex", "\\\\s+", " "), "This     is   a", "This is a(0,15)"},
        {REPLACE("String", "x", ""), "x<s>axb", "<s>(1,4)|ab(4,7)"},
        {"{\"type\":\"Lowercase\"}", "A\u0130\u03A3\u1E9E",
         "ai\u0307\u03C3\u00DF(0,8)"},
        {"{\"type\":\"Nmt\"}", "a\u200Bb\tc\x01", "a b c(0,7)"},
        {"{\"type\":\"BertNormalizer\",\"clean_text\":true,"
         "\"handle_chinese_chars\":true,\"strip_accents\":null,"
         "\"lowercase\":true}",
         "\u91CE\u53E3 N\u00F3\t!", " \u91CE  \u53E3  no !(0,12)"},
        {"{\"type\":\"ByteLevel\"}", "\u00E9 a", "\u00C3\u00A9\u0120a(0,4)"},
    };
    check(&qn_tok_normalizers, cases, sizeof cases / sizeof *cases);
}

/* Each byte of what NFD makes of a text keeps the alignment of the character
 * it came from (the example of Hugging Face's own test). */
static void test_alignments(void **state)
{
    (void)state;
    static const uint32_t want[][2] = {{0, 2}, {0, 2}, {0, 2}, {2, 3},
                                       {3, 5}, {3, 5}, {3, 5}, {5, 6},
                                       {6, 7}, {7, 8}, {8, 9}};
    qn_err err = {0};
    qn_tok_steps steps = {0};
    parse_steps(&steps, &qn_tok_normalizers, "{\"type\":\"NFD\"}");
    const char *text = "\u00E9l\u00E9gant";
    qn_tok_work w;
    qn_tok_work_init(&w, text, strlen(text), 0, &err);
    w.want_al = true;
    assert_int_equal(qn_tok_steps_run(&steps, &w), 0);
    assert_int_equal(w.n, 11);
    for (size_t k = 0; k < 11; k++) {
        assert_int_equal(qn_tok_work_al(&w, k).b, want[k][0]);
        assert_int_equal(qn_tok_work_al(&w, k).e, want[k][1]);
    }
    qn_tok_work_deinit(&w);
    qn_tok_steps_deinit(&steps);
}

/* ---- decoders ------------------------------------------------------------ */

/* Feeds the tokens, which are separated by '|'; every byte of the text in as
 * many ways of cutting the flow as there are tokens. */
static void decode(const char *definition, const char *tokens, char *out)
{
    qn_tok_steps steps = {0};
    parse_steps(&steps, &qn_tok_decoders, definition);
    qn_tok_flow f;
    qn_tok_flow_init(&f, &steps);
    qn_str text;
    qn_str_init(&text);
    f.out = &text;
    for (const char *p = tokens; *p;) {
        size_t n = strcspn(p, "|");
        assert_int_equal(qn_tok_flow_feed(&f, 0, p, n, true), 0);
        p += n + (p[n] == '|');
    }
    assert_int_equal(qn_tok_flow_finish(&f, 0), 0);
    memcpy(out, text.p ? text.p : "", text.n);
    out[text.n] = '\0';
    qn_str_deinit(&text);
    qn_tok_flow_deinit(&f);
    qn_tok_steps_deinit(&steps);
}

#define STRIP(content, start, stop)                                    \
    "{\"type\":\"Strip\",\"content\":\"" content "\",\"start\":" start \
    ",\"stop\":" stop "}"
#define CHAIN(list) "{\"type\":\"Sequence\",\"decoders\":[" list "]}"
#define FALLBACK "{\"type\":\"ByteFallback\"}"
#define FUSE "{\"type\":\"Fuse\"}"

static void test_decoders(void **state)
{
    (void)state;
    static const step_case cases[] = {
        {FALLBACK, "Hey|friend!", "Heyfriend!"},
        {FALLBACK, "<0x61>", "a"},
        {FALLBACK, "<0xE5>", "\uFFFD"},
        {FALLBACK, "<0xE5>|<0x8f>", "\uFFFD\uFFFD"},
        {FALLBACK, "<0xE5>|<0x8f>|<0xab>", "\u53EB"},
        {FALLBACK, "<0xE5>|<0x8f>|<0xab>|a", "\u53EBa"},
        {FALLBACK, "<0xE5>|<0x8f>|a", "\uFFFD\uFFFDa"},
        {FALLBACK, "<0xE5>|<0x8f>|<0xab>|<0xE5>", "\uFFFD\uFFFD\uFFFD\uFFFD"},
        {STRIP("H", "1", "0"), "Hey| friend!|HHH", "ey friend!HH"},
        {STRIP("y", "0", "1"), "Hey| friend!|yyy", "He friend!yy"},
        {STRIP("y", "1", "1"), "y|yy|yyy|ayb", "yayb"},
        {META("always", "true"), "\u2581Hey|\u2581friend!", "Hey friend!"},
        {META("never", "true"), "\u2581Hey|\u2581friend!", " Hey friend!"},
        {"{\"type\":\"Metaspace\",\"replacement\":\"_\"}", "_a_b|_c", "ab c"},
        {REPLACE("String", "_", " "), "hello|_hello", "hello hello"},
        {REPLACE("Regex", "l+", "L"), "hello|lll", "heLoL"},
        {CHAIN(FUSE "," REPLACE("String", "ab", "X")), "za|bba|a|b|a",
         "zXbaXa"},
        {CHAIN(FUSE "," REPLACE("Regex", "a+b", "X")), "za|aba|b", "zXX"},
        {CHAIN(REPLACE("String", "_", " ") "," REPLACE("String", "_", " ")),
         "a|_b|_b_c|d", "a b b cd"},
        {CHAIN(FUSE "," REPLACE("Regex", "[_-]", " ") "," REPLACE("String", "b",
                                                                  "X")),
         "a|_b|-b_c|d", "a X X cd"},
        {CHAIN(FUSE "," STRIP(" ", "1", "1")), "  a | b|  ", " a  b "},
        {CHAIN(FUSE "," STRIP("x", "2", "2")), "x|x|x", ""},
        {CHAIN(REPLACE("String", "\u2581", " ") "," FALLBACK "," FUSE
                                                "," STRIP(" ", "1", "0")),
         "\u2581\u2581a|<0xE2>|<0x82>|<0xAC>|\u2581b", " a\u20AC b"},
        {BYTES("true", "true"), "Hello|\u0120there|[PA D]",
         "Hello there[PA D]"},
        {BYTES("true", "true"), "\u00E2|\u0124|\u00AC|\u00E2\u0124|a",
         "\u20AC\uFFFDa"},
        {CHAIN(BYTES("true", "true") "," REPLACE("String", "a\u20AC", "E")),
         "a|\u00E2|\u0124|\u00AC|a", "Ea"},
        {"{\"type\":\"WordPiece\",\"prefix\":\"##\",\"cleanup\":true}",
         "##uelo|Ara|##\u00FAj|No|##guera|.|do|n't",
         "##uelo Ara\u00FAj Noguera. don't"},
        {"{\"type\":\"CTC\",\"pad_token\":\"<pad>\",\"word_delimiter_token\":"
         "\"|\",\"cleanup\":true}",
         "<pad>|h|h|e|l|<pad>|l|o|o|<pad>", "hello"},
        {"{\"type\":\"BPEDecoder\",\"suffix\":\"</w>\"}", "he|llo</w>|you</w>",
         "hello you"},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        char got[1024];
        decode(cases[k].definition, cases[k].text, got);
        if (strcmp(got, cases[k].want) != 0)
            fail_msg("%s on %s: \"%s\" instead of \"%s\"", cases[k].definition,
                     cases[k].text, got, cases[k].want);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const qn_tok_stage *stage;
        const char *definition, *says;
    } cases[] = {
        {&qn_tok_normalizers, "{\"type\":\"Sparkle\"}", "normalizer Sparkle"},
        {&qn_tok_normalizers, "{\"type\":\"NFC\",\"mode\":1}", "\"mode\""},
        {&qn_tok_normalizers, "{}", "\"type\""},
        {&qn_tok_normalizers, "{\"type\":\"Sequence\"}", "\"normalizers\""},
        {&qn_tok_pre_tokenizers, "{\"type\":\"Golden\"}",
         "pre_tokenizer Golden"},
        {&qn_tok_pre_tokenizers, "{\"type\":\"FixedLength\",\"length\":0}",
         "length should be 1 or more"},
        {&qn_tok_pre_tokenizers, SPLIT("Sideways", "false"), "Sideways"},
        {&qn_tok_pre_tokenizers,
         "{\"type\":\"Split\",\"pattern\":\"x\",\"behavior\":\"Isolated\"}",
         "pattern"},
        {&qn_tok_pre_tokenizers, META("sometimes", "true"), "prepend_scheme"},
        {&qn_tok_pre_tokenizers,
         "{\"type\":\"Metaspace\",\"replacement\":\"ab\"}", "one character"},
        {&qn_tok_pre_tokenizers,
         "{\"type\":\"ByteLevel\",\"add_prefix_space\":1}", "add_prefix_space"},
        {&qn_tok_post_processors, "{\"type\":\"TemplateProcessing\"}",
         "single"},
        {&qn_tok_post_processors,
         "{\"type\":\"RobertaProcessing\",\"sep\":[\"s\",-1],\"cls\":"
         "[\"c\",0]}",
         "token id"},
        {&qn_tok_decoders, "{\"type\":\"Morse\"}", "decoder Morse"},
        {&qn_tok_decoders, STRIP(" ", "-1", "0"), "count"},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        qn_err err = {0};
        qn_tok_steps steps = {0};
        json_t *o = parse(cases[k].definition);
        int rc = qn_tok_steps_parse(&steps, cases[k].stage, o, "a.json", &err);
        if (rc >= 0 || !strstr(err.msg, cases[k].says) ||
            !strstr(err.msg, "a.json"))
            fail_msg("%s: %d %s", cases[k].definition, rc, err.msg);
        json_decref(o);
        qn_tok_steps_deinit(&steps);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pre_tokenizers),
        cmocka_unit_test(test_normalizers),
        cmocka_unit_test(test_alignments),
        cmocka_unit_test(test_decoders),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
