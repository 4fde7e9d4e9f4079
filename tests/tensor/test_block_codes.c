/* Codes, scales and offsets of block formats mean, bit for bit, what the
 * format's own decoder says, for blocks of any bytes. */
#include "testing.h"

#include "tensor/block_codes.h"

static float meaning(const qn_block_codes *c, int code, float scale,
                     float offset)
{
    float v = scale * (c->book ? c->book[code] : (float)(code - c->zero));
    return c->offsets ? v - offset : v;
}

static void one_block(qn_dtype t, const qn_block_codes *c, const uint8_t *block)
{
    const qn_dtype_row *row = qn_dtype_get(t);
    uint8_t codes[QN_BLOCK_CODES_MAX];
    float scales[16], offsets[16] = {0}, want[QN_BLOCK_CODES_MAX];

    row->decode(block, want, (size_t)row->block_elems);
    c->unpack(block, codes, scales, c->offsets ? offsets : NULL);
    for (int i = 0; i < row->block_elems; i++) {
        int g = i / c->group;
        assert_true(codes[i] < 1 << c->bits);
        float got = meaning(c, codes[i], scales[g], offsets[g]);
        if (isnan(want[i]) ? !isnan(got) : got != want[i])
            fail_msg("%s: element %d is %a, not %a", row->name, i, (double)got,
                     (double)want[i]);
    }
}

static void test_codes_mean_the_same(void **state)
{
    uint64_t z = 1;
    int n = 0;

    (void)state;
    for (qn_dtype t = 0; t < QN_DTYPE_N; t++) {
        const qn_block_codes *c = qn_block_codes_get(t);
        const qn_dtype_row *row = qn_dtype_get(t);
        uint8_t block[512];
        if (!c)
            continue;
        n++;
        assert_true(row->block_elems <= QN_BLOCK_CODES_MAX);
        assert_int_equal(row->block_elems % c->group, 0);
        for (int i = 0; i < 500; i++) {
            for (int j = 0; j < row->block_bytes; j++) {
                z = z * 6364136223846793005u + 1442695040888963407u;
                block[j] = (uint8_t)(z >> 56);
            }
            one_block(t, c, block);
        }
    }
    assert_int_equal(n, 22);
    assert_null(qn_block_codes_get(QN_F32));
    assert_null(qn_block_codes_get(QN_DTYPE_N));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_codes_mean_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
