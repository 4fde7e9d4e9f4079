/* The map against a sorted array, and the quality of its hash. */
#include "testing.h"

#include "base/map.h"
#include "base/mem.h"

static void test_basics(void **state)
{
    (void)state;
    qn_map m;
    uint64_t v = 77;
    qn_map_init(&m, 0);
    assert_false(qn_map_get(&m, "a", 1, &v));
    assert_int_equal(v, 77);
    assert_true(qn_map_add(&m, "a", 1, 1));
    assert_false(qn_map_add(&m, "a", 1, 2));
    assert_true(qn_map_get(&m, "a", 1, &v));
    assert_int_equal(v, 1);
    qn_map_put(&m, "a", 1, 3);
    qn_map_put(&m, "", 0, 4);
    assert_false(qn_map_add(&m, NULL, 0, 5)); /* the empty key, once more */
    assert_true(qn_map_get(&m, NULL, 0, &v));
    assert_int_equal(v, 4);
    assert_true(qn_map_add(&m, "a\0b", 3, UINT64_MAX));
    assert_true(qn_map_get(&m, "a", 1, &v));
    assert_int_equal(v, 3);
    assert_true(qn_map_get(&m, "a\0b", 3, &v));
    assert_true(v == UINT64_MAX);
    assert_int_equal(m.n, 3);
    qn_map_deinit(&m);
    assert_int_equal(m.n, 0);
}

/* Keys that differ little: 3-byte strings, and decimal numbers. */
static void test_many(void **state)
{
    (void)state;
    enum {
        N = 200000
    };
    char *text = qn_xmalloc(N * 8);
    for (int sized = 0; sized < 2; sized++) {
        qn_map m;
        qn_map_init(&m, sized ? N : 0);
        size_t cap = m.cap;
        for (int i = 0; i < N; i++) {
            char *k = text + i * 8;
            int n = snprintf(k, 8, "%d", i);
            assert_true(qn_map_add(&m, k, (size_t)n, (uint64_t)i));
        }
        assert_int_equal(m.n, N);
        if (sized)
            assert_int_equal(m.cap, cap); /* expected was honoured */
        for (int i = 0; i < 2 * N; i++) {
            char k[16];
            uint64_t v = 0;
            int n = snprintf(k, sizeof k, "%d", i);
            assert_int_equal(qn_map_get(&m, k, (size_t)n, &v), i < N);
            assert_int_equal(v, i < N ? i : 0);
        }
        qn_map_deinit(&m);
    }
    qn_free(text);
}

/* Each length takes another path through the hash: flipping any bit of the
 * key must change it, and so must the length. */
static void test_hash_sees_every_bit(void **state)
{
    (void)state;
    unsigned char k[80];
    for (size_t i = 0; i < sizeof k; i++)
        k[i] = (unsigned char)(i * 37 + 11);
    for (size_t n = 0; n <= 70; n++) {
        uint64_t h = qn_hash(k, n);
        assert_true(h == qn_hash(k, n));
        assert_true(h != qn_hash(k, n + 1));
        for (size_t bit = 0; bit < n * 8; bit++) {
            k[bit / 8] ^= (unsigned char)(1 << bit % 8);
            assert_true(h != qn_hash(k, n));
            k[bit / 8] ^= (unsigned char)(1 << bit % 8);
        }
    }
    static const unsigned char zeros[64];
    for (size_t n = 0; n < 64; n++)
        for (size_t m = 0; m < n; m++)
            assert_true(qn_hash(zeros, n) != qn_hash(zeros, m));
}

/* Counters as keys fill buckets as evenly as chance would: chi-square of 1024
 * buckets, expectation 1023, standard deviation sqrt(2 * 1023) = 45; the bound
 * is 8 of them away (a probability near 1e-14 for the normal approximation). */
static void test_hash_spreads(void **state)
{
    (void)state;
    enum {
        BUCKETS = 1024,
        PER = 64,
        N = BUCKETS * PER
    };
    for (int shift = 0; shift <= 54; shift += 27) {
        int count[BUCKETS] = {0};
        for (uint32_t i = 0; i < N; i++)
            count[qn_hash(&i, sizeof i) >> shift & (BUCKETS - 1)]++;
        double chi = 0;
        for (int b = 0; b < BUCKETS; b++)
            chi += (count[b] - PER) * (double)(count[b] - PER) / PER;
        assert_true(chi < 1023 + 8 * 45 && chi > 1023 - 8 * 45);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_basics),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_hash_sees_every_bit),
        cmocka_unit_test(test_hash_spreads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
