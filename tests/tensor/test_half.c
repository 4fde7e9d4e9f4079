/* Every 16-bit and 8-bit float against its definition in powers of two, and
 * rounding at every boundary between neighbours. */
#include "testing.h"

#include "base/rng.h"
#include "tensor/half.h"

/* A float format with `exp` exponent and `man` mantissa bits. */
typedef struct fmt {
    const char *name;
    int exp, man, bias;
    bool finite; /* e4m3: the last exponent is used, its last code is NaN */
    float (*decode)(uint32_t code);
    uint32_t (*encode)(float f);
} fmt;

static float f16_decode(uint32_t c)
{
    return qn_f32_of_f16((uint16_t)c);
}
static uint32_t f16_encode(float f)
{
    return qn_f16_of_f32(f);
}
static float bf16_decode(uint32_t c)
{
    return qn_f32_of_bf16((uint16_t)c);
}
static uint32_t bf16_encode(float f)
{
    return qn_bf16_of_f32(f);
}
static float e5m2_decode(uint32_t c)
{
    return qn_f32_of_e5m2((uint8_t)c);
}
static uint32_t e5m2_encode(float f)
{
    return qn_e5m2_of_f32(f);
}
static float e4m3_decode(uint32_t c)
{
    return qn_f32_of_e4m3((uint8_t)c);
}
static uint32_t e4m3_encode(float f)
{
    return qn_e4m3_of_f32(f);
}

static const fmt fmts[] = {
    {"f16", 5, 10, 15, false, f16_decode, f16_encode},
    {"bf16", 8, 7, 127, false, bf16_decode, bf16_encode},
    {"e5m2", 5, 2, 15, false, e5m2_decode, e5m2_encode},
    {"e4m3", 4, 3, 7, true, e4m3_decode, e4m3_encode},
};

/* The value of a code by the definition; exact in double. */
static double value_of(const fmt *f, uint32_t code)
{
    int top = (1 << f->exp) - 1;
    int e = (int)(code >> f->man) & top;
    int m = (int)(code & ((1u << f->man) - 1));
    double sign = code >> (f->exp + f->man) & 1 ? -1.0 : 1.0;
    if (e == top && f->finite && m == (1 << f->man) - 1)
        return NAN;
    if (e == top && !f->finite)
        return m ? NAN : sign * INFINITY;
    if (e == 0)
        return sign * ldexp(m, 1 - f->bias - f->man);
    return sign * ldexp(m + (1 << f->man), e - f->bias - f->man);
}

/* First code that is no finite positive number. */
static uint32_t limit_of(const fmt *f)
{
    uint32_t end = 1u << (f->exp + f->man);
    return f->finite ? end - 1 : end - (1u << f->man);
}

static void test_decode_all(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof fmts / sizeof *fmts; k++) {
        const fmt *f = &fmts[k];
        uint32_t n = 2u << (f->exp + f->man);
        for (uint32_t c = 0; c < n; c++) {
            double want = value_of(f, c);
            float got = f->decode(c);
            if (isnan(want)) {
                assert_true(isnan(got));
                assert_true(qn_bits_of_f32(got) & 0x00400000); /* quiet */
            } else {
                assert_true(got == want);
            }
            assert_int_equal(signbit(got) != 0, c >= n / 2);
        }
    }
}

static void test_encode_is_inverse(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof fmts / sizeof *fmts; k++) {
        const fmt *f = &fmts[k];
        uint32_t n = 2u << (f->exp + f->man);
        for (uint32_t c = 0; c < n; c++) {
            float x = f->decode(c);
            uint32_t back = f->encode(x);
            if (isnan(x))
                assert_true(isnan(f->decode(back)));
            else
                assert_int_equal(back, c);
        }
    }
}

/* Between two neighbours: the midpoint goes to the even code, the floats next
 * to the midpoint to the nearer one; and so at the overflow. */
static void test_encode_rounds(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof fmts / sizeof *fmts; k++) {
        const fmt *f = &fmts[k];
        uint32_t end = limit_of(f), sign = 1u << (f->exp + f->man);
        for (uint32_t c = 0; c < end; c++) {
            double lo = value_of(f, c);
            double hi = c + 1 < end ? value_of(f, c + 1)
                                    : 2 * lo - value_of(f, c - 1);
            float mid = (float)((lo + hi) / 2);
            if (isinf(mid) || mid != (lo + hi) / 2)
                continue; /* beyond f32 itself */
            uint32_t even = c & 1 ? c + 1 : c;
            float below = nextafterf(mid, 0), above = nextafterf(mid, INFINITY);
            assert_int_equal(f->encode(mid), even);
            assert_int_equal(f->encode(-mid), sign | even);
            assert_int_equal(f->encode(below), mid > 0 ? c : 0);
            assert_int_equal(f->encode(above), c + 1);
            assert_int_equal(f->encode(-above), sign | (c + 1));
        }
        assert_int_equal(f->encode(INFINITY), end);
        assert_int_equal(f->encode(-INFINITY), sign | end);
        assert_int_equal(f->encode(3.4028234e38f), end);
        assert_true(isnan(f->decode(f->encode(NAN))));
        assert_true(isnan(f->decode(f->encode(-NAN))));
        assert_true(isnan(f->decode(f->encode(qn_f32_of_bits(0x7f800001)))));
    }
}

/* Random floats of all magnitudes: the result is a nearest value. */
static void test_encode_nearest(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof fmts / sizeof *fmts; k++) {
        const fmt *f = &fmts[k];
        uint32_t end = limit_of(f);
        for (uint64_t i = 0; i < 200000; i++) {
            uint32_t w[4];
            qn_philox(3, k, i, w);
            float x = qn_f32_of_bits(w[0] & 0x7fffffff);
            if (!isfinite(x))
                continue;
            uint32_t c = f->encode(x);
            assert_true(c <= end);
            if (c == end) {
                double top = value_of(f, end - 1);
                assert_true(x > top);
                continue;
            }
            double err = fabs(value_of(f, c) - x);
            if (c > 0)
                assert_true(err <= fabs(value_of(f, c - 1) - x));
            if (c + 1 < end)
                assert_true(err <= fabs(value_of(f, c + 1) - x));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decode_all),
        cmocka_unit_test(test_encode_is_inverse),
        cmocka_unit_test(test_encode_rounds),
        cmocka_unit_test(test_encode_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
