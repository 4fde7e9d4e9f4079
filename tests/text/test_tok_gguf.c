/* test_tok_gguf.c - vocabularies inside of GGUF files that no file at hand has:
 * how the names of tokenizer.ggml.pre divide text (the pieces are those that
 * Hugging Face's tokenizers makes with the patterns of the models' own files),
 * and Gemma 4's, which merges characters. */
#include "testing.h"

#include "base/json.h"
#include "text/tok_step.h"
#include "text/tokenizer.h"

/* The pieces of text, with "|" between them. */
static void divide(const char *pre, const char *text, qn_str *out)
{
    qn_err err = {0};
    qn_tok_gguf_pre found;
    qn_tok_steps steps = {0};
    if (!qn_tok_gguf_pre_find(pre, &found))
        fail_msg("%s is not known", pre);
    for (size_t k = 0; k < found.n; k++) {
        json_t *o = json_pack("{s:s, s:{s:s}, s:s, s:b}", "type", "Split",
                              "pattern", "Regex", found.patterns[k], "behavior",
                              "Isolated", "invert", 0);
        if (qn_tok_steps_parse(&steps, &qn_tok_pre_tokenizers, o, pre, &err))
            fail_msg("%s", err.msg);
        json_decref(o);
    }
    qn_tok_work w;
    qn_tok_work_init(&w, text, strlen(text), 0, &err);
    if (qn_tok_steps_run(&steps, &w) < 0)
        fail_msg("%s", err.msg);
    qn_str_clear(out);
    for (size_t k = 0; k < w.pieces.n; k++) {
        if (k)
            qn_str_addc(out, '|');
        qn_str_add(out, w.p + w.pieces.v[k].b,
                   w.pieces.v[k].e - w.pieces.v[k].b);
    }
    qn_tok_work_deinit(&w);
    qn_tok_steps_deinit(&steps);
}

static void test_names(void **state)
{
    (void)state;
    static const struct {
        const char *pre, *text, *want;
    } cases[] = {
        {"deepseek-llm", "1234567 ab12345", "1234567| ab|12345"},
        {"deepseek-llm", "Hello World's DON'T it's",
         "Hello| World|'|s| DON|'|T| it|'|s"},
        {"deepseek-llm",
         "\u65E5\u672C\u8A9Eab\u4E2D\u6587X \u30AB\u30CA\uD55C\uAD6D\uC5B4",
         "\u65E5\u672C\u8A9E|ab|\u4E2D\u6587|X| |\u30AB\u30CA\uD55C\uAD6D\uC5B4"},
        {"deepseek-llm", "a  b\n\n   c\t\t d   ",
         "a| | b|\n|\n|  | c|\t\t| d|   "},
        {"deepseek-llm", "!!hello \uFF0C\u4E16\u754C\u3002\u201Cx\u201D",
         "!!|hello| \uFF0C|\u4E16\u754C|\u3002\u201C|x|\u201D"},
        {"deepseek-llm",
         "\u0561 \u0533 \u0532 \u0259\u0294 \u13A0\uAB70 \u10D0 1\u0663\u0664x",
         "\u0561| \u0533| \u0532| \u0259|\u0294| |\u13A0|\uAB70| |\u10D0| |1\u0663\u0664|x"},
        {"deepseek-llm", "HTTPServer fooBar \u0391\u0392\u03B3",
         "HTTPServer| fooBar| \u0391\u0392\u03B3"},
        {"deepseek-llm", "\u0EAA\u0EB0\u0E9A\u0EB2\u0E8D \u1000\u1001 \u1780",
         "\u0EAA\u0EB0\u0E9A\u0EB2\u0E8D| |\u1000\u1001| |\u1780"},
        {"youtu", "1234567 ab12345", "1|2|3|4|5|6|7| ab|1|2|3|4|5"},
        {"youtu", "Hello World's DON'T it's", "Hello| World's| DON'T| it's"},
        {"youtu",
         "\u65E5\u672C\u8A9Eab\u4E2D\u6587X \u30AB\u30CA\uD55C\uAD6D\uC5B4",
         "\u65E5\u672C\u8A9E|ab|\u4E2D\u6587|X| |\u30AB\u30CA|\uD55C\uAD6D\uC5B4"},
        {"youtu", "a  b\n\n   c\t\t d   ", "a| | b|\n\n|  | c|\t\t| d|   "},
        {"youtu", "!!hello \uFF0C\u4E16\u754C\u3002\u201Cx\u201D",
         "!!|hello| |\uFF0C|\u4E16\u754C|\u3002\u201C|x|\u201D"},
        {"youtu",
         "\u0561 \u0533 \u0532 \u0259\u0294 \u13A0\uAB70 \u10D0 1\u0663\u0664x",
         "\u0561| \u0533| \u0532| \u0259\u0294| \u13A0\uAB70| \u10D0| |1|\u0663|\u0664|x"},
        {"youtu", "HTTPServer fooBar \u0391\u0392\u03B3",
         "HTTPServer| foo|Bar| \u0391\u0392\u03B3"},
        {"youtu", "\u0EAA\u0EB0\u0E9A\u0EB2\u0E8D \u1000\u1001 \u1780",
         "\u0EAA\u0EB0\u0E9A\u0EB2\u0E8D| \u1000\u1001| \u1780"},
        {"jais-2", "1234567 ab12345", "123|456|7| ab|123|45"},
        {"jais-2", "Hello World's DON'T it's",
         "Hello| World|'s| DON|'T| it|'s"},
        {"jais-2",
         "\u65E5\u672C\u8A9Eab\u4E2D\u6587X \u30AB\u30CA\uD55C\uAD6D\uC5B4",
         "\u65E5\u672C\u8A9Eab\u4E2D\u6587X| \u30AB\u30CA\uD55C\uAD6D\uC5B4"},
        {"jais-2", "a  b\n\n   c\t\t d   ", "a| | b|\n\n|  | c|\t\t| d|  | "},
        {"jais-2", "!!hello \uFF0C\u4E16\u754C\u3002\u201Cx\u201D",
         "!!|hello| \uFF0C|\u4E16\u754C|\u3002\u201C|x|\u201D"},
        {"jais-2",
         "\u0561 \u0533 \u0532 \u0259\u0294 \u13A0\uAB70 \u10D0 1\u0663\u0664x",
         "\u0561| \u0533| \u0532| \u0259\u0294| \u13A0\uAB70| \u10D0| |1\u0663\u0664|x"},
        {"jais-2", "HTTPServer fooBar \u0391\u0392\u03B3",
         "HTTPServer| fooBar| \u0391\u0392\u03B3"},
        {"jais-2", "\u0EAA\u0EB0\u0E9A\u0EB2\u0E8D \u1000\u1001 \u1780",
         "\u0EAA\u0EB0\u0E9A\u0EB2\u0E8D| \u1000\u1001| \u1780"},
        {"tiny_aya", "1234567 ab12345", "1|234|567| ab|12|345"},
        {"tiny_aya", "Hello World's DON'T it's", "Hello| World's| DON'T| it's"},
        {"tiny_aya",
         "\u65E5\u672C\u8A9Eab\u4E2D\u6587X \u30AB\u30CA\uD55C\uAD6D\uC5B4",
         "\u65E5\u672C\u8A9Eab\u4E2D\u6587|X| \u30AB\u30CA\uD55C\uAD6D\uC5B4"},
        {"tiny_aya", "a  b\n\n   c\t\t d   ", "a| | b|\n\n|  | c|\t\t| d|   "},
        {"tiny_aya", "!!hello \uFF0C\u4E16\u754C\u3002\u201Cx\u201D",
         "!!|hello| \uFF0C|\u4E16\u754C|\u3002\u201C|x|\u201D"},
        {"tiny_aya",
         "\u0561 \u0533 \u0532 \u0259\u0294 \u13A0\uAB70 \u10D0 1\u0663\u0664x",
         "\u0561| \u0533| \u0532| \u0259\u0294| \u13A0\uAB70| \u10D0| |1\u0663\u0664|x"},
        {"tiny_aya", "HTTPServer fooBar \u0391\u0392\u03B3",
         "HTTPServer| foo|Bar| \u0391\u0392\u03B3"},
        {"tiny_aya", "\u0EAA\u0EB0\u0E9A\u0EB2\u0E8D \u1000\u1001 \u1780",
         "\u0EAA\u0EB0\u0E9A\u0EB2\u0E8D| \u1000\u1001| \u1780"},
        {"superbpe", "1234567 ab12345", "1|234|567| ab|12|345"},
        {"exaone-moe", "1234567 ab12345", "1|2|3|4|5|6|7| ab|1|2|3|4|5"},
        {"exaone-moe", "Hello World's DON'T it's",
         "Hello World|'s| DON|'T| it|'s"},
        {"exaone-moe",
         "\u65E5\u672C\u8A9Eab\u4E2D\u6587X \u30AB\u30CA\uD55C\uAD6D\uC5B4",
         "\u65E5\u672C\u8A9Eab\u4E2D\u6587X \u30AB\u30CA\uD55C\uAD6D\uC5B4"},
        {"exaone-moe", "a  b\n\n   c\t\t d   ",
         "a| | b|\n\n|  | c|\t\t| d|   "},
        {"exaone-moe", "!!hello \uFF0C\u4E16\u754C\u3002\u201Cx\u201D",
         "!!|hello| \uFF0C|\u4E16\u754C|\u3002\u201C|x|\u201D"},
        {"exaone-moe",
         "\u0561 \u0533 \u0532 \u0259\u0294 \u13A0\uAB70 \u10D0 1\u0663\u0664x",
         "\u0561 \u0533 \u0532 \u0259\u0294 \u13A0\uAB70 \u10D0| |1|\u0663|\u0664|x"},
        {"exaone-moe", "HTTPServer fooBar \u0391\u0392\u03B3",
         "HTTPServer fooBar \u0391\u0392\u03B3"},
        {"exaone-moe", "\u0EAA\u0EB0\u0E9A\u0EB2\u0E8D \u1000\u1001 \u1780",
         "\u0EAA\u0EB0\u0E9A\u0EB2\u0E8D \u1000\u1001 \u1780"},
        {"afmoe", "1234567 ab12345", "1|234|567| ab|12|345"},
        {"afmoe", "Hello World's DON'T it's", "Hello| World|'s| DON|'T| it|'s"},
        {"afmoe",
         "\u65E5\u672C\u8A9Eab\u4E2D\u6587X \u30AB\u30CA\uD55C\uAD6D\uC5B4",
         "\u65E5\u672C\u8A9E|ab|\u4E2D\u6587|X| |\u30AB\u30CA\uD55C\uAD6D\uC5B4"},
        {"afmoe", "a  b\n\n   c\t\t d   ", "a| | b|\n\n|  | c|\t\t| d|   "},
        {"afmoe", "!!hello \uFF0C\u4E16\u754C\u3002\u201Cx\u201D",
         "!!|hello| \uFF0C|\u4E16\u754C|\u3002\u201C|x|\u201D"},
        {"afmoe", "HTTPServer fooBar \u0391\u0392\u03B3",
         "HTTPServer| fooBar| \u0391\u0392\u03B3"},
        {"afmoe", "\u0EAA\u0EB0\u0E9A\u0EB2\u0E8D \u1000\u1001 \u1780",
         "\u0EAA\u0EB0\u0E9A\u0EB2\u0E8D| |\u1000\u1001| |\u1780"},
        {"kimi-k2", "1234567 ab12345", "123|456|7| ab|123|45"},
        {"kimi-k2", "Hello World's DON'T it's", "Hello| World's| DON'T| it's"},
        {"kimi-k2",
         "\u65E5\u672C\u8A9Eab\u4E2D\u6587X \u30AB\u30CA\uD55C\uAD6D\uC5B4",
         "\u65E5\u672C\u8A9E|ab|\u4E2D\u6587|X| \u30AB\u30CA\uD55C\uAD6D\uC5B4"},
        {"kimi-k2", "a  b\n\n   c\t\t d   ", "a| | b|\n\n|  | c|\t\t| d|   "},
        {"kimi-k2", "!!hello \uFF0C\u4E16\u754C\u3002\u201Cx\u201D",
         "!!|hello| \uFF0C|\u4E16\u754C|\u3002\u201C|x|\u201D"},
        {"kimi-k2",
         "\u0561 \u0533 \u0532 \u0259\u0294 \u13A0\uAB70 \u10D0 1\u0663\u0664x",
         "\u0561| \u0533| \u0532| \u0259\u0294| \u13A0\uAB70| \u10D0| |1\u0663\u0664|x"},
        {"kimi-k2", "HTTPServer fooBar \u0391\u0392\u03B3",
         "HTTPServer| foo|Bar| \u0391\u0392\u03B3"},
        {"kimi-k2", "\u0EAA\u0EB0\u0E9A\u0EB2\u0E8D \u1000\u1001 \u1780",
         "\u0EAA\u0EB0\u0E9A\u0EB2\u0E8D| \u1000\u1001| \u1780"},
    };
    qn_str got = {0};
    for (size_t k = 0; k < QN_COUNTOF(cases); k++) {
        divide(cases[k].pre, cases[k].text, &got);
        if (strcmp(got.p, cases[k].want) != 0)
            fail_msg("%s: \"%s\" instead of \"%s\"", cases[k].pre, got.p,
                     cases[k].want);
    }
    qn_str_deinit(&got);
}

static void test_gemma4(void **state)
{
    (void)state;
    static const char *const words[] = {"<pad>",
                                        "<eos>",
                                        "<bos>",
                                        "<unk>",
                                        "a",
                                        "b",
                                        "\xE2\x96\x81",
                                        "\n",
                                        "ab",
                                        "\xE2\x96\x81"
                                        "ab",
                                        "\n\n",
                                        "\xE2\x96\x81\xE2\x96\x81",
                                        "<0xC3>",
                                        "<0xA9>"};
    static const char *const merges[] = {"a b", "\xE2\x96\x81 ab",
                                         "\xE2\x96\x81 \xE2\x96\x81", "\n \n"};
    static const int32_t types[] = {3, 3, 3, 2, 1, 1, 1, 1, 1, 1, 1, 1, 6, 6};
    static const int32_t want[] = {2, 8, 9, 11, 4, 10, 7, 12, 13, 3};
    qn_view t[QN_COUNTOF(words)], m[QN_COUNTOF(merges)];
    for (size_t k = 0; k < QN_COUNTOF(words); k++)
        t[k] = qn_view_cstr(words[k]);
    for (size_t k = 0; k < QN_COUNTOF(merges); k++)
        m[k] = qn_view_cstr(merges[k]);
    qn_tok_gguf g = {.name = "g.gguf",
                     .model = "gemma4",
                     .n_tokens = QN_COUNTOF(words),
                     .tokens = t,
                     .types = types,
                     .n_merges = QN_COUNTOF(merges),
                     .merges = m,
                     .bos = 2,
                     .eos = 1,
                     .unk = 3,
                     .pad = 0,
                     .eot = -1,
                     .add_bos = 0, /* what older files say */
                     .add_eos = -1,
                     .add_space_prefix = -1};
    qn_err err = {0};
    qn_tok *tok = NULL;
    if (qn_tok_open_gguf(&tok, &g, &err) < 0)
        fail_msg("%s", err.msg);
    qn_tok_ids ids = {0};
    static const char text[] = "ab ab  a\n\n\n\u00E9z";
    assert_int_equal(qn_tok_encode(tok, text, strlen(text), QN_TOK_DEFAULT,
                                   &ids, NULL, &err),
                     0);
    assert_int_equal(ids.n, QN_COUNTOF(want));
    assert_memory_equal(ids.v, want, sizeof want);
    qn_vec_deinit(&ids);
    qn_tok_close(tok);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_gemma4),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
