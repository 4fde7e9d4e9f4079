/* test_hub_digest.c: checksums against published values: FIPS 180-2's, git's
 * empty blob, and the example of the book Pro Git (chapter 10.2). */
#include "testing.h"

#include "hub/hub_digest.h"

static void check(qn_digest_kind kind, const char *text, const char *want)
{
    size_t n = strlen(text);
    qn_digest d;
    char hex[65];

    qn_digest_init(&d, kind, n);
    for (size_t i = 0; i < n; i++) /* pieces make no difference */
        qn_digest_add(&d, text + i, 1);
    qn_digest_done(&d, hex);
    assert_string_equal(hex, want);
    assert_int_equal(qn_digest_of(want), kind);
}

static void test_vectors(void **state)
{
    (void)state;
    check(QN_DIGEST_SHA256, "abc",
          "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    check(QN_DIGEST_SHA256, "",
          "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    check(QN_DIGEST_GIT, "", "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
    check(QN_DIGEST_GIT, "what is up, doc?",
          "bd9dbf5aae1a3862dd1526723246b20206e5fc37");
}

static void test_kinds(void **state)
{
    (void)state;
    assert_int_equal(qn_digest_of(""), QN_DIGEST_NONE);
    assert_int_equal(qn_digest_of("e69de29bb2d1d6434b8b29ae775ad8c2e48c539"),
                     QN_DIGEST_NONE);
    assert_int_equal(qn_digest_of("E69DE29BB2D1D6434B8B29AE775AD8C2E48C5391"),
                     QN_DIGEST_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_kinds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
