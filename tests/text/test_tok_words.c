/* test_tok_words.c - the words divided by hand against PCRE2 running the
 * regular expressions that they stand for, on texts made of what matters to
 * them; and the rewriting of Oniguruma's syntax. */
#include "testing.h"

#include "base/rng.h"
#include "base/utf8.h"
#include "base/vec.h"
#include "text/tok_regex.h"
#include "text/tok_threes.h"
#include "text/tok_words.h"

#define SHORT_AC "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define LEAD "[^\\r\\n\\p{L}\\p{N}]?"
#define BLANKS "|\\s+(?!\\S)|\\s+"
#define TAIL "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+" BLANKS
#define CASED(short)                                                          \
    LEAD "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]" \
         "+" short "|" LEAD "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+"           \
                   "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*" short

static const char *const patterns[] = {
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+" BLANKS,
    "'(?:[sdmt]|ll|ve|re)| ?\\p{L}++| ?\\p{N}++| ?[^\\s\\p{L}\\p{N}]++"
    "|\\s++$|\\s+(?!\\S)|\\s",
    SHORT_AC "|" LEAD "\\p{L}+|\\p{N}{1,3}" TAIL,
    "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}{1,3}"
    "| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]" BLANKS,
    SHORT_AC "|" LEAD "\\p{L}+|\\p{N}" TAIL,
    SHORT_AC "|" LEAD "[\\p{L}\\p{M}]+|\\p{N}"
             "| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+" BLANKS,
    CASED(SHORT_AC "?") "|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*"
                        "|\\s*[\\r\\n]+" BLANKS,
    CASED("") "|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+" BLANKS,
};

/* Pieces that the patterns distinguish. U+01C5 is Lt, U+02B0 Lm, U+0301 and
 * U+0903 M, U+2160 and U+00BD N, U+00A0, U+2003 and U+0085 blanks, U+180E and
 * U+200B none, U+017F folds to s. */
static const char *const bits[] = {
    "a",
    "B",
    "z",
    "Z",
    "'",
    "'s",
    "'S",
    "'\u017F",
    "'ll",
    "'Re",
    "'VE",
    "'x",
    " ",
    "  ",
    "\t",
    "\n",
    "\r\n",
    "\n\n",
    "\u00A0",
    "\u2003",
    "\xC2\x85",
    "\u180E",
    "\u200B",
    "1",
    "22",
    "4567",
    "\u0664",
    "\u2160",
    "\u00BD",
    ".",
    ",",
    "!?",
    "/",
    "$",
    "-",
    "\u2014",
    "\u00E9",
    "\u0416",
    "\u0436",
    "\u4E2D",
    "\u6587",
    "\u01C5",
    "\u02B0",
    "\u0301",
    "\u0903",
    "\U0001F600",
    "\U0001F468\u200D\U0001F469",
    "\u0E33",
    "\uD55C",
    "\uFF01",
    "_",
    "\u2028",
};

/* What matters to digits in threes; U+200C and U+00B9 are blanks and word
 * characters in one sense of the word only. */
static const char *const digit_bits[] = {
    "1", "22",     "333",    "4567", "\u0664", "\u0664", "\u2160", "\u00BD",
    "a", "\u00B9", "\u200C", "_",    "\u0301", " ",      ".",      "\n",
};

static size_t random_of(const char *const *some, uint32_t n_some, uint64_t seed,
                        char *out, size_t cap)
{
    size_t n = 0;
    uint32_t r[4];
    qn_philox(seed, 7, 0, r);
    size_t count = 1 + r[0] % 24;
    for (size_t k = 0; k < count; k++) {
        qn_philox(seed, 7, k + 1, r);
        const char *bit = some[r[0] % n_some];
        size_t len = strlen(bit);
        if (n + len >= cap)
            break;
        memcpy(out + n, bit, len);
        n += len;
    }
    out[n] = '\0';
    return n;
}

static size_t random_text(uint64_t seed, char *out, size_t cap)
{
    return random_of(bits, sizeof bits / sizeof *bits, seed, out, cap);
}

/* Both divide the text at the same places. */
static void compare(const qn_tok_words *w, const qn_tok_regex *re,
                    qn_tok_finder *f, const char *p, size_t n)
{
    qn_err err = {0};
    size_t at = 0, last = SIZE_MAX, b, e;
    for (size_t i = 0; i < n; i = e) {
        size_t end = w->next(w, p, n, i);
        int rc = qn_tok_regex_next(re, f, p, n, &at, last, &b, &e, &err);
        if (rc != 1 || b != i || e != end)
            fail_msg("%s divides \"%s\" at %zu..%zu, not at %zu..%zu", w->name,
                     p, i, end, b, e);
        last = e;
    }
}

static void test_words(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof patterns / sizeof *patterns; k++) {
        qn_err err = {0};
        const char *text = patterns[k];
        const qn_tok_words *w = qn_tok_words_of(text, strlen(text));
        if (!w)
            fail_msg("no words for pattern %zu", k);
        qn_tok_regex *re = NULL;
        if (qn_tok_regex_new(&re, qn_view_cstr(text), "pattern", &err) < 0)
            fail_msg("%s", err.msg);
        qn_tok_finder f = {0};
        for (uint64_t seed = 0; seed < 20000; seed++) {
            char buf[512];
            size_t n = random_text(seed * 64 + k, buf, sizeof buf);
            compare(w, re, &f, buf, n);
        }
        qn_tok_finder_deinit(&f);
        qn_tok_regex_free(re);
    }
    assert_null(qn_tok_words_of("\\p{L}+", 6));
}

/* ---- digits in threes ----------------------------------------------------- */

typedef QN_VEC(size_t) places;

static void add_place(void *user, size_t b, size_t e)
{
    places *v = user;
    qn_vec_push(v, b);
    qn_vec_push(v, e);
}

/* Both match at the same places. */
static void compare_threes(const qn_tok_threes *t, const qn_tok_regex *re,
                           qn_tok_finder *f, const char *p, size_t n)
{
    qn_err err = {0};
    size_t at = 0, last = SIZE_MAX, b, e, k = 0;
    places got = {0};
    qn_tok_threes_each(t, p, n, add_place, &got);
    while (qn_tok_regex_next(re, f, p, n, &at, last, &b, &e, &err) == 1) {
        if (k + 1 >= got.n || got.v[k] != b || got.v[k + 1] != e)
            fail_msg("%s in \"%s\": not at %zu..%zu", t->pattern, p, b, e);
        k += 2;
        last = e;
    }
    if (k != got.n)
        fail_msg("%s in \"%s\": at %zu..%zu", t->pattern, p, got.v[k],
                 got.v[k + 1]);
    qn_vec_deinit(&got);
}

/* Every character that PCRE2 knows, alone and behind digits. */
static void compare_characters(const qn_tok_threes *t, const qn_tok_regex *re,
                               qn_tok_finder *f)
{
    qn_tok_regex *unknown = NULL;
    qn_err err = {0};
    assert_int_equal(qn_tok_regex_new(&unknown, qn_view_cstr("\\p{Cn}"), "test",
                                      &err),
                     0);
    for (uint32_t c = 1; c < 0x110000; c++) {
        size_t at = 3, b, e;
        char text[8] = "123";
        int len = qn_utf8_encode(c, text + 3);
        size_t n = 3 + (size_t)len;
        if (qn_tok_regex_next(unknown, f, text, n, &at, 0, &b, &e, &err) == 0) {
            compare_threes(t, re, f, text + 3, n - 3);
            compare_threes(t, re, f, text, n);
        }
    }
    qn_tok_regex_free(unknown);
}

static void test_threes(void **state)
{
    static const char *const threes[] = {
        "\\p{N}{1,3}(?=(?:\\p{N}{3})*(?!\\p{N}))",
        "\\d{1,3}(?=(?:\\d{3})*\\b)",
        "(?=(\\d{3})+(?!\\d))",
    };
    (void)state;
    for (size_t k = 0; k < sizeof threes / sizeof *threes; k++) {
        qn_err err = {0};
        qn_tok_regex *re = NULL;
        qn_tok_finder f = {0};
        const qn_tok_threes *t = qn_tok_threes_of(threes[k], strlen(threes[k]));
        assert_non_null(t);
        if (qn_tok_regex_new(&re, qn_view_cstr(threes[k]), "pattern", &err) < 0)
            fail_msg("%s", err.msg);
        for (uint64_t seed = 0; seed < 60000; seed++) {
            char buf[512];
            size_t n = random_of(digit_bits,
                                 sizeof digit_bits / sizeof *digit_bits,
                                 seed * 64 + k, buf, sizeof buf);
            compare_threes(t, re, &f, buf, n);
        }
        compare_characters(t, re, &f);
        qn_tok_finder_deinit(&f);
        qn_tok_regex_free(re);
    }
    assert_null(qn_tok_threes_of("\\d{1,3}", 8));
}

/* ---- Oniguruma's syntax -------------------------------------------------- */

/* The matches of a pattern, each in brackets. */
static void matches(const char *pattern, const char *text, char *out)
{
    qn_err err = {0};
    qn_tok_regex *re = NULL;
    qn_tok_finder f = {0};
    size_t at = 0, last = SIZE_MAX, b, e, n = strlen(text);
    if (qn_tok_regex_new(&re, qn_view_cstr(pattern), "pattern", &err) < 0)
        fail_msg("%s", err.msg);
    *out = '\0';
    while (qn_tok_regex_next(re, &f, text, n, &at, last, &b, &e, &err) == 1) {
        sprintf(out + strlen(out), "[%.*s]", (int)(e - b), text + b);
        last = e;
    }
    qn_tok_finder_deinit(&f);
    qn_tok_regex_free(re);
}

static void test_syntax(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *text, *want;
    } cases[] = {
        {"\\p{N}{1,3}+", "12345", "[12345]"}, /* not possessive */
        {"\\p{N}{1,3}", "12345", "[123][45]"},
        {"a{,2}b", "aaab ab b", "[aab][ab][b]"},
        {"a{2}?b", "b ab aab", "[b][b][aab]"},
        {"a{x", "a{x", "[a{x]"},
        {"[a-z&&[^aeiou]]+", "hello", "[h][ll]"},
        {"[^a-z&&[^aeiou]]+", "hello7", "[e][o7]"},
        {"[a[bc]]+", "abcd", "[abc]"},
        {"[[:punct:]]+", "a$b,c", "[$][,]"},
        {"[[:space:]a]", "a b", "[a][ ]"},
        {"\\s", "a\u180Eb\u00A0c", "[\u00A0]"},
        {"\\S+", "a\u180Eb c", "[a\u180Eb][c]"},
        {"\\w+", "a\u0301b-\u2160", "[a\u0301b][\u2160]"},
        {"[\\W]+", "a\u0301 -b", "[ -]"},
        {"[^\\W\\d_]+", "a\u200Db1_", "[a][b]"}, /* joiners are no words */
        {"[\\H]+", "xBEEFy", "[x][y]"},
        {"\\w+", "x\u00B2\u00BD-", "[x\u00B2\u00BD]"},
        {"[\\w]+", "x\u00B2", "[x]"}, /* not in a class */
        {"x\\b", "x\u00B2 x", "[x]"},
        {"\\p{Han}+", "\u4E00\u3001\u4E8C", "[\u4E00][\u4E8C]"},
        {"\\P{Greek}+", "a\u03B1b", "[a][b]"},
        {"\\bfoo\\b", "foo food a\u0301foo foo", "[foo][foo]"},
        {"\\h+", "xBEEFy", "[BEEF]"},
        {"\\u0041", "A", "[A]"},
        {"\\x{41}", "A", "[A]"},
        {"(?m:a.b)", "a\nb", "[a\nb]"},
        {"a.b", "a\nb", ""},
        {"^a", "a\na", "[a][a]"},
        {"\\p{Letter}+", "ab1", "[ab]"},
        {"\\p{^L}+", "ab1", "[1]"},
        {"(?i)ABC", "abc", "[abc]"},
        {"x*", "axb", "[][x][]"}, /* no empty match right behind a match */
        {"[]a]+", "a]b", "[a]]"},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        char got[256];
        matches(cases[k].pattern, cases[k].text, got);
        if (strcmp(got, cases[k].want) != 0)
            fail_msg("%s on \"%s\": %s instead of %s", cases[k].pattern,
                     cases[k].text, got, cases[k].want);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *pattern;
        int code;
    } cases[] = {
        {"(", QN_EFORMAT},       {"[a", QN_EUNSUP},
        {"a(?i)b|c", QN_EUNSUP}, {"(?~abc)", QN_EUNSUP},
        {"\\g<1>", QN_EUNSUP},   {"(*FAIL)", QN_EUNSUP},
        {"a\\", QN_EUNSUP},      {"\\p{Nonsense}", QN_EFORMAT},
        {"(?x) a", QN_EUNSUP},   {"\\pL", QN_EUNSUP},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        qn_err err = {0};
        qn_tok_regex *re = NULL;
        int rc = qn_tok_regex_new(&re, qn_view_cstr(cases[k].pattern), "here",
                                  &err);
        if (rc != cases[k].code)
            fail_msg("%s: %d instead of %d", cases[k].pattern, rc,
                     cases[k].code);
        assert_non_null(strstr(err.msg, "here"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_threes),
        cmocka_unit_test(test_syntax),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
