/* Regular expressions as grammars, against PCRE2 on texts that match, texts
 * that nearly do, and texts of chance; in JSON strings, against the same on the
 * decoded string. Choices. What is not supported is refused. */
#include "walking.h"

#include "base/json.h"
#include "base/mem.h"
#include "text/gbnf.h"
#include "text/json_grammar.h"
#include "text/regex_grammar.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/* A text of the grammar, or the beginning of one that is too long; `last` (0:
 * none) is likelier than others where it may come. */
static size_t walk(qn_grammar *g, uint32_t *x, char last, char *out, size_t cap)
{
    uint32_t s = qn_gram_begin(g);
    for (size_t n = 0; n < cap; n++) {
        uint8_t next[256];
        uint32_t k = 0;
        if (qn_gram_is_over(g, s) ||
            (qn_gram_accepts(g, s) && random_below(x, 3) == 0))
            return n;
        for (int b = 0; b < 256; b++)
            if (qn_gram_next(g, s, (uint8_t)b) != QN_GRAM_DEAD)
                next[k++] = (uint8_t)b;
        if (k == 0) {
            assert_true(qn_gram_accepts(g, s));
            return n;
        }
        bool ends = last && qn_gram_next(g, s, (uint8_t)last) != QN_GRAM_DEAD;
        out[n] = ends && random_below(x, 6) == 0
                     ? last
                     : (char)next[random_below(x, k)];
        s = qn_gram_next(g, s, (uint8_t)out[n]);
    }
    return cap;
}

static pcre2_code *compiled(const char *pattern)
{
    int code;
    size_t at;
    pcre2_code *re = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                                   PCRE2_UTF | PCRE2_DOLLAR_ENDONLY, &code, &at,
                                   NULL);
    if (!re)
        fail_msg("PCRE2 refuses %s at %zu", pattern, at);
    return re;
}

/* -1: it cannot say. */
static int matches(const pcre2_code *re, const char *p, size_t n, bool whole)
{
    pcre2_match_data *m = pcre2_match_data_create(1, NULL);
    uint32_t how = whole ? PCRE2_ANCHORED | PCRE2_ENDANCHORED : 0;
    int rc = pcre2_match(re, (PCRE2_SPTR)p, n, 0, how, m, NULL);
    pcre2_match_data_free(m);
    return rc >= 0 ? 1 : rc == PCRE2_ERROR_NOMATCH ? 0 : -1;
}

static const char *const patterns[] = {
    "abc",
    "a|bc|",
    "(ab|cd)*e",
    "^(yes|no)$",
    "[a-c]{2,4}",
    "[^a-c\\n]+",
    "a{3}b{0,2}c{2,}",
    "x{y}",
    "\\d{3}-\\d{4}",
    "\\w+@\\w+\\.(com|org)",
    "\\s*[+-]?\\d+(\\.\\d+)?([eE][+-]?\\d{1,2})?\\s*",
    ".{0,5}",
    "[\\d_a-]+",
    "[]x]+",
    "[^]x]+",
    "[a\\]\\\\-]{1,3}",
    "(?:a|b(?:c|d)?)+?",
    "(?P<year>\\d{4})-(?<month>0[1-9]|1[0-2])",
    "\\x41\\x{42}[\\x43-\\x45]",
    "caf\xc3\xa9|na\xc3\xafve",
    "[\xc3\xa0-\xc3\xbf]{1,2}",
    "[\xd0\xb0-\xd1\x8f\xe4\xb8\x80-\xe9\xbf\xbf]{1,3}",
    "[^\\x01-\\x7f]{1,2}",
    "[\\x{fffe}-\\x{10010}a]{1,2}",
    "[\\D]{1,2}|\\W\\S",
    "(a?b?)*c",
    "((a*)*b)?",
    "(|a){2,3}",
    "()",
    "(a|aa){3}",
    "\\.\\*\\+\\?\\(\\)\\[\\]\\{\\}\\^\\$\\|\\\\\\/",
    "[.*+?]{2}",
    "\\t\\r\\f?",
};

static void test_against_pcre(void **state)
{
    static const char letters[] = "aabbccde0123-_.x@\n \xc3\xa9\xe4\xb8\x80";
    uint32_t x = 2463534242u;
    int said_yes = 0, said_no = 0;
    (void)state;
    for (size_t i = 0; i < QN_COUNTOF(patterns); i++) {
        qn_err err = {0};
        qn_grammar *g;
        if (qn_regex_grammar(&g, patterns[i], strlen(patterns[i]), &err) < 0)
            fail_msg("%s: %s", patterns[i], err.msg);
        pcre2_code *re = compiled(patterns[i]);
        for (int k = 0; k < 400; k++) {
            char t[64];
            size_t n = k % 4 ? walk(g, &x, 0, t, 24) : random_below(&x, 12);
            for (size_t j = 0; k % 4 == 0 && j < n; j++)
                t[j] = letters[random_below(&x, sizeof letters - 1)];
            if (k % 4 == 1 && n > 0) /* nearly */
                t[random_below(&x, (uint32_t)n)] =
                    letters[random_below(&x, sizeof letters - 1)];
            int want = matches(re, t, n, true);
            if (want < 0)
                continue; /* not UTF-8 */
            if (accepts_n(g, t, n) != want)
                fail_msg("%s %s \"%.*s\"", patterns[i],
                         want ? "has to match" : "must not match", (int)n, t);
            said_yes += want;
            said_no += !want;
        }
        pcre2_code_free(re);
        qn_grammar_free(g);
    }
    assert_true(said_yes > 2000 && said_no > 2000);
}

/* "pattern" of a schema: anywhere in the string, unless the ends are held. */
static void test_in_json(void **state)
{
    static const char *const rows[] = {
        "^[a-z]+$",           "^a", "b$", "c\"d", "^[\"\\\\\\n\xc3\xa9]{1,4}$",
        "^(\\d+|[^\\d]{2})$",
    };
    uint32_t x = 77;
    int n_whole = 0;
    (void)state;
    for (size_t i = 0; i < QN_COUNTOF(rows); i++) {
        qn_err err = {0};
        qn_grammar *g;
        json_t *s = json_pack("{s:s,s:s}", "type", "string", "pattern",
                              rows[i]);
        char *schema = json_dumps(s, 0);
        if (qn_schema_grammar(&g, schema, strlen(schema), &err) < 0)
            fail_msg("%s: %s", schema, err.msg);
        pcre2_code *re = compiled(rows[i]);
        for (int k = 0; k < 200; k++) {
            char t[200];
            size_t n = walk(g, &x, '"', t, sizeof t);
            json_t *v = json_loadb(t, n, JSON_DECODE_ANY, NULL);
            if (!v && n == sizeof t)
                continue; /* cut */
            if (!json_is_string(v))
                fail_msg("%s gives %.*s", rows[i], (int)n, t);
            n_whole++;
            if (matches(re, json_string_value(v), json_string_length(v),
                        false) != 1)
                fail_msg("%s gives %.*s", rows[i], (int)n, t);
            json_decref(v);
        }
        pcre2_code_free(re);
        qn_grammar_free(g);
        free(schema);
        json_decref(s);
    }
    assert_true(n_whole > 500);
}

static void test_refused(void **state)
{
    static const struct {
        const char *pattern;
        int code;
    } rows[] = {
        {"a(b", QN_EINVAL},      {"a)b", QN_EINVAL},
        {"[ab", QN_EINVAL},      {"*a", QN_EINVAL},
        {"a**", QN_EINVAL},      {"a{3,2}", QN_EINVAL},
        {"[b-a]", QN_EINVAL},    {"a\\", QN_EINVAL},
        {"\\xg1", QN_EINVAL},    {"\\u{110000}", QN_EINVAL},
        {"\xff", QN_EINVAL},     {"[^\\d\\D]", QN_EINVAL},
        {"(a)\\1", QN_EUNSUP},   {"(?=a)b", QN_EUNSUP},
        {"(?<!a)b", QN_EUNSUP},  {"(?i)a", QN_EUNSUP},
        {"\\bword", QN_EUNSUP},  {"\\p{L}", QN_EUNSUP},
        {"a$b", QN_EUNSUP},      {"a|^b", QN_EUNSUP},
        {"a++", QN_EUNSUP},      {"[[:alpha:]]", QN_EUNSUP},
        {"a{20000}", QN_ELIMIT}, {"(?#x)a", QN_EUNSUP},
    };
    (void)state;
    for (size_t i = 0; i < QN_COUNTOF(rows); i++) {
        qn_err err = {0};
        qn_grammar *g = NULL;
        int rc = qn_regex_grammar(&g, rows[i].pattern, strlen(rows[i].pattern),
                                  &err);
        if (rc != rows[i].code)
            fail_msg("%s: %d, %s", rows[i].pattern, rc, err.msg);
        assert_non_null(strstr(err.msg, "regular expression"));
    }
    char deep[400];
    memset(deep, '(', 200);
    memset(deep + 200, ')', 200);
    qn_grammar *g = NULL;
    assert_int_equal(qn_regex_grammar(&g, deep, sizeof deep, NULL), QN_ELIMIT);
}

static void test_choices(void **state)
{
    static const char list[] = "[\"red\",\"green\",\"\xe7\xbb\xbf\",\"re\"]";
    static const char *const bad[] = {"[]", "[\"\"]", "[1]",
                                      "{}", "[\"a\"", "\"a\""};
    qn_grammar *g;
    (void)state;
    assert_int_equal(qn_choice_grammar(&g, list, strlen(list), NULL), 0);
    assert_true(accepts(g, "red"));
    assert_true(accepts(g, "re"));
    assert_true(accepts(g, "\xe7\xbb\xbf"));
    assert_false(accepts(g, "gree"));
    assert_false(accepts(g, "greens"));
    assert_false(accepts(g, ""));
    qn_grammar_free(g);
    for (size_t i = 0; i < QN_COUNTOF(bad); i++)
        assert_true(qn_choice_grammar(&g, bad[i], strlen(bad[i]), NULL) < 0);
}

/* ---- GBNF -------------------------------------------------------------- */

static const char arithmetic[] =
    "# sums of products\n"
    "root  ::= (expr \"=\" ws term \"\\n\")+\n"
    "expr  ::= term ([-+*/] term)*\n"
    "term  ::= ident | num | \"(\" ws expr \")\" ws\n"
    "ident ::= [a-z] [a-z0-9_]* ws  # a name\n"
    "num   ::=\n  [0-9]{1,3} ws\n"
    "ws    ::= [ \\t\\n]*\n";

static void test_gbnf(void **state)
{
    static const struct {
        const char *grammar, *text;
        bool ok;
    } rows[] = {
        {arithmetic, "a1+2*(b-300)=x\n", true},
        {arithmetic, "a = 1\nb=2\n", true},
        {arithmetic, "a+=1\n", false},
        {arithmetic, "1234=1\n", false},
        {arithmetic, "((((((((((1))))))))))=2\n", true},
        {"root ::= \"a\" |\n \"b\"\n", "b", true},
        {"root ::= (\"a\"\n | \"b\"\n){2}", "ab", true},
        {"root ::= list\nlist ::= [^,\\x41]+ (\",\" list)?", "x,\xc3\xa9,z",
         true},
        {"root ::= list\nlist ::= [^,\\x41]+ (\",\" list)?", "x,A", false},
        {"root ::= \"\\u00e9\" . end\r\nend ::= \"\" | \"!\"", "\xc3\xa9\n!",
         true},
        {"root ::= \"\"", "", true},
    };
    (void)state;
    for (size_t i = 0; i < QN_COUNTOF(rows); i++) {
        qn_err err = {0};
        qn_grammar *g;
        if (qn_gbnf_grammar(&g, rows[i].grammar, strlen(rows[i].grammar),
                            &err) < 0)
            fail_msg("%s: %s", rows[i].grammar, err.msg);
        if (accepts(g, rows[i].text) != rows[i].ok)
            fail_msg("%s: %s", rows[i].grammar, rows[i].text);
        qn_grammar_free(g);
    }
}

static void test_gbnf_refused(void **state)
{
    static const char *const rows[] = {
        "",
        "x ::= \"a\"",
        "root ::= x",
        "root = \"a\"",
        "root ::= \"a",
        "root ::= (\"a\"",
        "root ::= \"a\")",
        "root ::= [a",
        "root ::= a*",
        "root ::= root \"a\" | \"b\"",
        "root ::= x\nx ::= \"\" y\ny ::= x",
        "root ::= x* root\nx ::= \"a\"?",
        "root ::= \"\\d\"",
        "root ::= \"a\"\nroot ::= \"b\"",
        "root ::= \"a\"{3,2}",
        "root ::= \"a\" root",
        "root ::= *",
    };
    (void)state;
    for (size_t i = 0; i < QN_COUNTOF(rows); i++) {
        qn_err err = {0};
        qn_grammar *g = NULL;
        if (qn_gbnf_grammar(&g, rows[i], strlen(rows[i]), &err) >= 0)
            fail_msg("taken: %s", rows[i]);
        assert_non_null(strstr(err.msg, "grammar"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_pcre),
        cmocka_unit_test(test_in_json),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_choices),
        cmocka_unit_test(test_gbnf),
        cmocka_unit_test(test_gbnf_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
