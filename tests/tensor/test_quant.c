/* The quantized blocks against ggml's own bytes and values
 * (tests/data/quant/SOURCES.md), and what must hold of any encoder. */
#include "testing.h"

#include "base/rng.h"
#include "tensor/dtype.h"

#include <float.h>

enum {
    ELEMS = 256, /* a multiple of every block */
    ROOM = 512   /* bytes of that many, in any format that has blocks */
};

typedef struct blob {
    char *p;
    size_t n;
} blob;

static blob load(const char *fmt, const char *name, bool shared)
{
    char path[128];
    blob b = {0};
    snprintf(path, sizeof path, fmt, name);
    const char *full = shared ? qn_test_shared(path) : qn_test_data(path);
    if (full)
        b.p = qn_test_read_file(full, &b.n);
    return b;
}

static bool is_quant(qn_dtype t)
{
    const qn_dtype_row *r = qn_dtype_get(t);
    return r->gguf && r->block_elems > 1;
}

/* ---- decoding ---------------------------------------------------------- */

static void check_values(qn_dtype t, blob blocks, blob want)
{
    const qn_dtype_row *r = qn_dtype_get(t);
    size_t n = want.n / sizeof(float);
    assert_int_equal(n / (size_t)r->block_elems * (size_t)r->block_bytes,
                     blocks.n);
    float *x = malloc(want.n);
    char *odd = malloc(blocks.n + 1);
    memcpy(odd + 1, blocks.p, blocks.n);
    assert_int_equal(qn_dtype_decode(t, odd + 1, x, n, NULL), QN_OK);
    if (memcmp(x, want.p, want.n) != 0)
        fail_msg("%s: other values than the reference has", r->name);
    free(x);
    free(odd);
    free(blocks.p);
    free(want.p);
}

/* A few random blocks of each format, decoded by an independent program. */
static void test_values(void **state)
{
    (void)state;
    for (int i = 0; i < QN_DTYPE_N; i++) {
        const qn_dtype_row *r = qn_dtype_get((qn_dtype)i);
        if (!is_quant((qn_dtype)i))
            continue;
        assert_non_null(r->decode);
        if (i == QN_Q8_1 || i == QN_Q8_K)
            continue; /* test_by_definition */
        check_values((qn_dtype)i, load("quant/%s_blocks.bin", r->name, false),
                     load("quant/%s_values.bin", r->name, false));
    }
}

/* The same with many more. */
static void test_more_values(void **state)
{
    (void)state;
    int n_seen = 0;
    for (int i = 0; i < QN_DTYPE_N; i++) {
        const char *name = qn_dtype_get((qn_dtype)i)->gguf;
        if (!is_quant((qn_dtype)i))
            continue;
        blob b = load("data/quant/gguf-py-dequant/%s.blocks.bin", name, true);
        if (!b.p)
            continue;
        check_values((qn_dtype)i, b,
                     load("data/quant/gguf-py-dequant/%s.f32.bin", name, true));
        qn_test_result("Block formats of GGUF", name, 1, 1,
                       "decoded values, bit for bit");
        n_seen++;
    }
    if (n_seen == 0)
        QN_SKIP("no shared data");
    print_message("%d formats\n", n_seen);
}

static void expect(qn_dtype t, const void *block, const float *first, size_t n)
{
    float x[ELEMS];
    const qn_dtype_row *r = qn_dtype_get(t);
    assert_int_equal(qn_dtype_decode(t, block, x, (size_t)r->block_elems, NULL),
                     QN_OK);
    for (size_t i = 0; i < n; i++)
        if (x[i] != first[i])
            fail_msg("%s[%zu]: %g, %g expected", r->name, i, (double)x[i],
                     (double)first[i]);
}

/* Formats that the reference data has no values of, from their definitions. */
static void test_by_definition(void **state)
{
    (void)state;
    unsigned char b[ROOM] = {0};
    const float d = 0.5f;
    uint16_t half = 0x3800; /* 0.5 as f16 */
    memcpy(b, &half, 2);
    b[2] = 0x99; /* +--++--+ from the lowest bit */
    expect(QN_Q1_0, b, (float[]){d, -d, -d, d, d, -d, -d, d, -d}, 9);
    b[4] = 3;
    b[5] = 0x80;
    expect(QN_Q8_1, b, (float[]){1.5f, -64, 0}, 3);
    memset(b, 0, sizeof b);
    memcpy(b, &d, 4);
    b[4] = 2;
    b[259] = 0xff;
    expect(QN_Q8_K, b, (float[]){1, 0}, 2);

    memset(b, 0, sizeof b);
    b[0] = 128; /* 2^1 */
    b[1] = 0xf7;
    b[2] = 0x21;
    float mx[32] = {[0] = 12, [1] = 1, [16] = -12, [17] = 2};
    expect(QN_MXFP4, b, mx, 32);
    b[0] = 0; /* 2^-127, subnormal */
    expect(QN_MXFP4, b, (float[]){6 * 0x1p-127f, 0x1p-128f, 0}, 3);

    memset(b, 0, sizeof b);
    b[0] = 0x38;  /* 1 */
    b[1] = 0x7e;  /* 448 */
    b[2] = 0x7f;  /* NaN: 0 */
    b[3] = 0x01;  /* 2^-9 */
    b[4] = 0xf7;  /* 6, -6 */
    b[12] = 0x21; /* 0.5, 1 */
    b[20] = 0x77;
    b[28] = 0x02;
    float nv[64] = {[0] = 6, [8] = -6, [16] = 224, [24] = 448, [48] = 0x1p-9f};
    expect(QN_NVFP4, b, nv, 64);
}

/* ---- encoding ---------------------------------------------------------- */

/* input -> the bytes of ggml's reference quantizer -> their values. */
static void ggml_bytes(qn_dtype t)
{
    const char *name = qn_dtype_get(t)->name;
    blob in = load("quant/%s_input.bin", name, false);
    blob want = load("quant/%s_expected.bin", name, false);
    size_t n = in.n / sizeof(float);
    unsigned char *bytes = malloc(want.n);
    assert_int_equal(qn_dtype_encode(t, (const float *)(void *)in.p, bytes, n,
                                     NULL),
                     QN_OK);
    if (memcmp(bytes, want.p, want.n) != 0)
        fail_msg("%s: other bytes than the reference quantizer's", name);
    check_values(t, want, load("quant/%s_dequant.bin", name, false));
    free(bytes);
    free(in.p);
}

static void test_bytes(void **state)
{
    (void)state;
    ggml_bytes(QN_Q8_0);
    ggml_bytes(QN_Q4_0);
    ggml_bytes(QN_Q4_1);
    ggml_bytes(QN_Q5_0);
    ggml_bytes(QN_Q5_1);
    ggml_bytes(QN_IQ4_NL);
}

static double square_error(const float *x, const float *y, const float *w,
                           size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (w ? (double)w[i] : 1) * ((double)x[i] - (double)y[i]) *
               ((double)x[i] - (double)y[i]);
    return sum;
}

/* Where the encoder searches: no worse than the reference quantizer, which
 * weighs errors by the magnitude of the element, in plain square error. */
static void test_not_worse(void **state)
{
    (void)state;
    static const struct {
        qn_dtype t;
        double share; /* of the reference's error, measured and rounded up */
    } rows[] = {{QN_IQ4_NL, 1.0}, {QN_Q2_K, 0.935}, {QN_Q3_K, 0.945},
                {QN_Q4_K, 0.994}, {QN_Q5_K, 0.968}, {QN_Q6_K, 0.97}};
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        qn_dtype t = rows[k].t;
        const char *name = qn_dtype_get(t)->name;
        blob in = load("quant/%s_input.bin", name, false);
        blob theirs = load("quant/%s_dequant.bin", name, false);
        size_t n = in.n / sizeof(float);
        const float *x = (const float *)(void *)in.p;
        float *y = malloc(in.n);
        unsigned char *b = malloc(in.n);
        assert_int_equal(qn_dtype_encode(t, x, b, n, NULL), QN_OK);
        assert_int_equal(qn_dtype_decode(t, b, y, n, NULL), QN_OK);
        double ours = square_error(x, y, NULL, n);
        double ref = square_error(x, (const float *)(void *)theirs.p, NULL, n);
        print_message("%s: rms error %.5f, the reference's %.5f\n", name,
                      sqrt(ours / (double)n), sqrt(ref / (double)n));
        assert_true(ours <= ref * rows[k].share * rows[k].share);
        free(b);
        free(y);
        free(in.p);
        free(theirs.p);
    }
}

static bool can_encode(qn_dtype t)
{
    return is_quant(t) && qn_dtype_get(t)->encode;
}

static void there_and_back(qn_dtype t, const float *x, float *y, size_t n)
{
    unsigned char b[ROOM];
    assert_int_equal(qn_dtype_encode(t, x, b + 1, n, NULL), QN_OK);
    assert_int_equal(qn_dtype_decode(t, b + 1, y, n, NULL), QN_OK);
}

/* The error of encode and decode, by the construction of the formats: half a
 * step, the step being a part of the largest magnitude or of the span (one
 * side of q4_0 and q5_0 clips by a whole step), and the roundings of scale and
 * offset to f16: 2^-11 of the value, or 2^-25 where it is subnormal. */
static void test_error_bounds(void **state)
{
    (void)state;
    static const struct {
        qn_dtype t;
        double steps, half;
    } rows[] = {{QN_Q8_0, 127, 0.5},
                {QN_Q4_0, 8, 1.0},
                {QN_Q5_0, 16, 1.0},
                {QN_Q4_1, 7.5, 0.5},
                {QN_Q5_1, 15.5, 0.5}};
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        for (uint64_t r = 0; r < 500; r++) {
            float x[32], y[32];
            float scale = ldexpf(1, (int)(r % 24) - 12);
            double max = 0;
            for (uint64_t i = 0; i < 32; i++) {
                x[i] = scale * (float)qn_rng_normal(9, r, i);
                max = fmax(max, fabs(x[i]));
            }
            there_and_back(rows[k].t, x, y, 32);
            double tol = 1.0001 * max *
                             (rows[k].half / rows[k].steps + 3 * 0x1p-11) +
                         (2 * rows[k].steps + 1) * 0x1p-25;
            for (int i = 0; i < 32; i++)
                assert_true(fabs((double)y[i] - x[i]) <= tol);
        }
    }
}

/* mxfp4: the largest magnitude is in [4, 8) times the scale and 6 is the
 * largest value, so an element is off by at most 2 of 4 to 8; below 4, by half
 * of a step of 1. */
static void test_mxfp4_error(void **state)
{
    (void)state;
    for (uint64_t r = 0; r < 500; r++) {
        float x[32], y[32];
        double max = 0;
        for (uint64_t i = 0; i < 32; i++) {
            x[i] = ldexpf((float)qn_rng_normal(9, r, i), (int)(r % 80) - 40);
            max = fmax(max, fabs(x[i]));
        }
        there_and_back(QN_MXFP4, x, y, 32);
        double unit = exp2(floor(log2(max)) - 2);
        for (int i = 0; i < 32; i++) {
            double e = fabs((double)y[i] - x[i]);
            assert_true(e <= (fabs((double)x[i]) >= 6 * unit ? 2 : 1) * unit);
            if (fabs((double)x[i]) < 2 * unit)
                assert_true(e <= 0.25 * unit);
        }
    }
}

/* Inputs that no weight should have must not be undefined, and tiny ones must
 * stay tiny. */
static void test_odd_inputs(void **state)
{
    (void)state;
    static const float odd[] = {0,       -0.0f,   NAN,    INFINITY, -INFINITY,
                                FLT_MAX, FLT_MIN, 1e-45f, -1e-45f,  1e-40f};
    enum {
        N = sizeof odd / sizeof *odd
    };
    for (int t = 0; t < QN_DTYPE_N; t++) {
        if (!can_encode((qn_dtype)t))
            continue;
        for (int i = 0; i < N * N; i++) {
            float x[ELEMS] = {0}, y[ELEMS];
            x[3] = odd[i % N];
            x[20] = odd[i / N];
            there_and_back((qn_dtype)t, x, y, ELEMS);
            if (fabsf(x[3]) < 1 && fabsf(x[20]) < 1)
                for (int j = 0; j < ELEMS; j++)
                    assert_true(fabsf(y[j]) < 1e-5f);
        }
    }
}

/* Importance is heeded: where some elements count a hundred times as much, the
 * weighted error is smaller than without saying so. */
static void test_weighted(void **state)
{
    (void)state;
    for (int t = 0; t < QN_DTYPE_N; t++) {
        if (!qn_dtype_get((qn_dtype)t)->encode_weighted)
            continue;
        double plain = 0, weighted = 0;
        for (uint64_t r = 0; r < 20; r++) {
            float x[ELEMS], w[ELEMS], y[ELEMS];
            unsigned char b[ROOM];
            for (uint64_t i = 0; i < ELEMS; i++) {
                x[i] = (float)qn_rng_normal(5, r, i);
                w[i] = i % 5 == 0 ? 100 : 1;
            }
            there_and_back((qn_dtype)t, x, y, ELEMS);
            plain += square_error(x, y, w, ELEMS);
            assert_int_equal(qn_dtype_encode_weighted((qn_dtype)t, x, w, b,
                                                      ELEMS, NULL),
                             QN_OK);
            assert_int_equal(qn_dtype_decode((qn_dtype)t, b, y, ELEMS, NULL),
                             QN_OK);
            weighted += square_error(x, y, w, ELEMS);
        }
        assert_true(weighted < 0.95 * plain);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_more_values),
        cmocka_unit_test(test_by_definition),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_not_worse),
        cmocka_unit_test(test_error_bounds),
        cmocka_unit_test(test_mxfp4_error),
        cmocka_unit_test(test_weighted),
        cmocka_unit_test(test_odd_inputs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
