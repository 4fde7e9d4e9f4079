/* Buffers and views; UTF-8 against a definition written out by hand. */
#include "testing.h"

#include "base/mem.h"
#include "base/str.h"
#include "base/utf8.h"

static void test_buffer(void **state)
{
    (void)state;
    qn_str s;
    qn_str_init(&s);
    qn_str_clear(&s);
    qn_str_add(&s, NULL, 0);
    assert_null(s.p);
    for (int i = 0; i < 1000; i++)
        qn_str_addc(&s, (char)('a' + i % 26));
    assert_int_equal(s.n, 1000);
    assert_int_equal(strlen(s.p), 1000);
    assert_int_equal(s.p[999], 'a' + 999 % 26);
    qn_str_clear(&s);
    assert_string_equal(s.p, "");
    qn_str_adds(&s, "one ");
    qn_str_addv(&s, qn_view_of("two!", 3));
    qn_str_addf(&s, " %d %s", 3, "four");
    qn_str_add(&s, "\0x", 2);
    assert_int_equal(s.n, 16);
    assert_memory_equal(s.p, "one two 3 four\0x", 17);
    size_t n;
    char *p = qn_str_take(&s, &n);
    assert_int_equal(n, 16);
    assert_null(s.p);
    qn_free(p);
    p = qn_str_take(&s, NULL);
    assert_string_equal(p, "");
    qn_free(p);
}

static void test_long_format(void **state)
{
    (void)state;
    qn_str s = {0};
    for (int width = 50; width < 80; width++)
        qn_str_addf(&s, "%*d|", width, width);
    size_t at = 0;
    for (int width = 50; width < 80; width++) {
        at += (size_t)width;
        assert_int_equal(s.p[at++], '|');
    }
    assert_int_equal(s.n, at);
    qn_str_deinit(&s);
    qn_str_deinit(&s);
}

static void test_views(void **state)
{
    (void)state;
    assert_true(qn_view_eqs(qn_view_of("abc", 2), "ab"));
    assert_false(qn_view_eqs(qn_view_of("abc", 3), "ab"));
    assert_true(qn_view_eq(qn_view_of(NULL, 0), qn_view_cstr("")));
    assert_int_equal(qn_view_cstr(NULL).n, 0);
    assert_true(qn_starts("model.layers", "model."));
    assert_false(qn_starts("mod", "model"));
    assert_true(qn_ends("a.weight", ".weight"));
    assert_false(qn_ends("weight", ".weight"));
}

static void test_bytes(void **state)
{
    (void)state;
    static const struct {
        uint64_t n;
        const char *text;
    } rows[] = {
        {0, "0 B"},
        {1023, "1023 B"},
        {1024, "1.00 KiB"},
        {1536, "1.50 KiB"},
        {230 * 1024, "230 KiB"},
        {(uint64_t)15 << 29, "7.50 GiB"},
        {(uint64_t)99 << 30, "99.0 GiB"},
        {UINT64_MAX, "16.0 EiB"},
    };
    char buf[16];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_string_equal(qn_fmt_bytes(buf, sizeof buf, rows[i].n),
                            rows[i].text);
}

/* ---- UTF-8 ------------------------------------------------------------- */

/* Encodes by the definition, without regard to validity. */
static int utf8_of(uint32_t cp, unsigned char *out)
{
    if (cp < 0x80) {
        out[0] = (unsigned char)cp;
        return 1;
    }
    int n = cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (int i = n - 1; i > 0; i--, cp >>= 6)
        out[i] = (unsigned char)(0x80 | (cp & 63));
    out[0] = (unsigned char)(lead[n] | cp);
    return n;
}

static void test_utf8_roundtrip(void **state)
{
    (void)state;
    for (uint32_t cp = 0; cp < 0x120000; cp++) {
        bool valid = cp <= 0x10FFFF && !(cp >= 0xD800 && cp <= 0xDFFF);
        unsigned char want[4];
        char got[4];
        int n = utf8_of(cp, want);
        uint32_t back = 0xdead;
        int len = qn_utf8_decode((char *)want, (size_t)n, &back);
        int m = qn_utf8_encode(cp, got);
        if (valid) {
            assert_int_equal(len, n);
            assert_int_equal(back, cp);
            assert_int_equal(m, n);
            assert_memory_equal(got, want, n);
        } else {
            assert_int_equal(len, 0);
            assert_int_equal(back, 0xdead);
            assert_int_equal(m, 3);
            assert_memory_equal(got, "\xef\xbf\xbd", 3);
        }
        /* Every proper prefix is incomplete, if it is of a code point. */
        for (int k = 1; k < n; k++) {
            assert_int_equal(qn_utf8_decode((char *)want, (size_t)k, &back), 0);
            if (valid) {
                assert_int_equal(qn_utf8_tail((char *)want, (size_t)k), k);
                assert_int_equal(qn_utf8_bad_len((char *)want, (size_t)k), k);
            }
        }
        if (valid)
            assert_int_equal(qn_utf8_tail((char *)want, (size_t)n), 0);
    }
}

/* All beginnings of two bytes: valid is what the definition encodes so. */
static void test_utf8_beginnings(void **state)
{
    (void)state;
    for (int i = 0; i < 0x10000; i++) {
        unsigned char s[4] = {(unsigned char)(i >> 8), (unsigned char)i, 0xbf,
                              0x80};
        int n = s[0] < 0x80 ? 1 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
        uint32_t want = n == 1 ? s[0] : s[0] & (0x7fu >> n), cp = 0;
        for (int j = 1; j < n; j++)
            want = want << 6 | (s[j] & 63);
        unsigned char shortest[4];
        bool valid = utf8_of(want, shortest) == n &&
                     memcmp(shortest, s, (size_t)n) == 0 && want <= 0x10ffff &&
                     !(want >= 0xd800 && want <= 0xdfff);
        assert_int_equal(qn_utf8_decode((char *)s, 4, &cp), valid ? n : 0);
        assert_int_equal(qn_utf8_valid((char *)s, (size_t)n), valid);
        if (valid)
            assert_int_equal(cp, want);
    }
}

/* Pairs from the Unicode standard (3.9, tables 3-8 to 3-11) and edge cases:
 * every '|' ends what one U+FFFD or one code point stands for. */
static void test_utf8_maximal_subparts(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        int parts[10];
    } rows[] = {
        {"\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41", {1, 1, 1, 1, 1, 1, 1, 1, 1}},
        {"\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41", {1, 1, 1, 1, 1, 1, 1, 1, 1}},
        {"\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42", {1, 1, 1, 1, 1, 1, 1, 1, 1}},
        {"\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41", {2, 1, 3, 2, 1}},
        {"\xE4\xB8\xAD\xE4\xB8", {3, 2}},
        {"\xF0\x9F\x98\x80\xF0\x9F\x98", {4, 3}},
        {"\xC2\x41", {1, 1}},
        {"\xF5\x80", {1, 1}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *p = rows[i].bytes;
        size_t n = strlen(p), at = 0, count = 0;
        for (; at < n; count++) {
            uint32_t cp;
            int len = qn_utf8_decode(p + at, n - at, &cp);
            size_t part = len ? (size_t)len : qn_utf8_bad_len(p + at, n - at);
            assert_int_equal(part, rows[i].parts[count]);
            at += part;
        }
        assert_int_equal(rows[i].parts[count], 0);
        assert_int_equal(qn_utf8_count(p, n), count);
        assert_false(qn_utf8_valid(p, n));
    }
}

/* Every string of up to three bytes out of the interesting ones. */
static void test_utf8_tail_and_valid(void **state)
{
    (void)state;
    static const unsigned char pick[] = {0x00, 0x41, 0x7f, 0x80, 0x8f,
                                         0x90, 0x9f, 0xa0, 0xbf, 0xc0,
                                         0xc1, 0xc2, 0xdf, 0xe0, 0xe1,
                                         0xec, 0xed, 0xee, 0xef, 0xf0,
                                         0xf1, 0xf3, 0xf4, 0xf5, 0xff};
    enum {
        K = sizeof pick
    };
    for (int i = 0; i < K * K * K * K; i++) {
        char s[20];
        memset(s, 'x', sizeof s);
        for (int j = 0, k = i; j < 4; j++, k /= K)
            s[j] = (char)pick[k % K];
        for (size_t n = 1; n <= 4; n++) {
            /* tail t: the last t bytes are a prefix of some code point, which
             * must not be one already, and nothing shorter claims so. */
            size_t t = qn_utf8_tail(s, n);
            assert_true(t <= 3 && t <= n);
            uint32_t cp;
            if (t > 0) {
                assert_int_equal(qn_utf8_bad_len(s + n - t, t), t);
                assert_int_equal(qn_utf8_decode(s + n - t, t, &cp), 0);
            }
            bool valid = true;
            for (size_t at = 0; at < n && valid;) {
                int len = qn_utf8_decode(s + at, n - at, &cp);
                valid = len > 0;
                at += (size_t)len;
            }
            assert_int_equal(qn_utf8_valid(s, n), valid);
            if (valid) {
                assert_int_equal(t, 0);
                /* also behind the eight-byte path */
                char far[24];
                memset(far, 'y', sizeof far);
                memcpy(far + 11, s, n);
                assert_true(qn_utf8_valid(far, 11 + n));
            }
        }
    }
}

static void test_utf8_count(void **state)
{
    (void)state;
    assert_int_equal(qn_utf8_count("", 0), 0);
    assert_int_equal(qn_utf8_count("abcdefghijk", 11), 11);
    const char *s = "a\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80zzzzzzzzzzzz";
    assert_int_equal(qn_utf8_count(s, strlen(s)), 16);
    assert_int_equal(qn_utf8_count("ab\0cd", 5), 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buffer),
        cmocka_unit_test(test_long_format),
        cmocka_unit_test(test_views),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_utf8_roundtrip),
        cmocka_unit_test(test_utf8_beginnings),
        cmocka_unit_test(test_utf8_maximal_subparts),
        cmocka_unit_test(test_utf8_tail_and_valid),
        cmocka_unit_test(test_utf8_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
