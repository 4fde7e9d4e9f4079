/* The table of formats: names, sizes, checks, plain types. */
#include "testing.h"

#include "tensor/dtype.h"

static void test_rows_are_sound(void **state)
{
    (void)state;
    for (int i = 0; i < QN_DTYPE_N; i++) {
        const qn_dtype_row *r = qn_dtype_get((qn_dtype)i);
        assert_non_null(r->name);
        assert_true(r->block_elems >= 1 && r->block_bytes >= 1);
        assert_true(r->safetensors || r->gguf);
        assert_int_equal(r->gguf != NULL, r->ggml >= 0);
        assert_true(r->decode || !r->encode);
        qn_dtype t = QN_DTYPE_N;
        if (r->safetensors) {
            assert_true(qn_dtype_from_safetensors(r->safetensors, &t));
            assert_int_equal(t, i);
        }
        t = QN_DTYPE_N;
        if (r->ggml >= 0) {
            assert_true(qn_dtype_from_ggml((uint32_t)r->ggml, &t));
            assert_int_equal(t, i);
        }
        for (int j = 0; j < i; j++)
            assert_string_not_equal(r->name, qn_dtype_get((qn_dtype)j)->name);
    }
    qn_dtype t = QN_F16;
    assert_false(qn_dtype_from_safetensors("f32", &t));
    assert_false(qn_dtype_from_safetensors("", &t));
    assert_false(qn_dtype_from_ggml(4, &t)); /* Q4_2: gone from ggml */
    assert_false(qn_dtype_from_ggml(UINT32_MAX, &t));
    assert_int_equal(t, QN_F16);
}

/* Bits per element of the safetensors types. */
static void test_safetensors_sizes(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint64_t bits;
    } rows[] = {
        {"BOOL", 8},        {"F4", 4},          {"F6_E2M3", 6}, {"F6_E3M2", 6},
        {"U8", 8},          {"I8", 8},          {"F8_E5M2", 8}, {"F8_E4M3", 8},
        {"F8_E8M0", 8},     {"F8_E4M3FNUZ", 8}, {"I16", 16},    {"U16", 16},
        {"F8_E5M2FNUZ", 8}, {"F16", 16},        {"BF16", 16},   {"I32", 32},
        {"U32", 32},        {"F32", 32},        {"C64", 64},    {"F64", 64},
        {"I64", 64},        {"U64", 64},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        qn_dtype t;
        uint64_t bytes;
        assert_true(qn_dtype_from_safetensors(rows[i].name, &t));
        for (uint64_t n = 0; n < 20; n++) {
            bool whole = n * rows[i].bits % 8 == 0;
            int rc = qn_dtype_bytes(t, n, &bytes, NULL);
            assert_int_equal(rc, whole ? QN_OK : QN_EFORMAT);
            if (whole)
                assert_int_equal(bytes, n * rows[i].bits / 8);
        }
    }
}

static void test_bytes_checked(void **state)
{
    (void)state;
    qn_err e;
    uint64_t bytes = 7;
    assert_int_equal(qn_dtype_bytes(QN_Q4_0, 33, &bytes, &e), QN_EFORMAT);
    assert_non_null(strstr(e.msg, "33 elements of q4_0"));
    assert_int_equal(qn_dtype_bytes(QN_F64, UINT64_MAX / 4, &bytes, &e),
                     QN_EFORMAT);
    assert_int_equal(qn_dtype_bytes(QN_F32, UINT64_MAX, &bytes, &e),
                     QN_EFORMAT);
    assert_int_equal(bytes, 7);
    assert_int_equal(qn_dtype_bytes(QN_Q6_K, 1024, &bytes, &e), QN_OK);
    assert_int_equal(bytes, 840);
    /* Fewer bytes than elements: no overflow where the product has none. */
    assert_int_equal(qn_dtype_bytes(QN_Q4_0, UINT64_MAX - 31, &bytes, &e),
                     QN_OK);
    assert_true(bytes == (UINT64_MAX / 32) * 18);
}

static void test_refusals(void **state)
{
    (void)state;
    qn_err e;
    float f[64] = {0};
    unsigned char b[256] = {0};
    assert_int_equal(qn_dtype_decode(QN_C64, b, f, 2, &e), QN_EUNSUP);
    assert_non_null(strstr(e.msg, "c64"));
    assert_int_equal(qn_dtype_decode(QN_F6_E2M3, b, f, 4, &e), QN_EUNSUP);
    assert_int_equal(qn_dtype_encode(QN_IQ1_M, f, b, 256, &e), QN_EUNSUP);
    assert_int_equal(qn_dtype_encode(QN_I64, f, b, 2, &e), QN_EUNSUP);
    assert_int_equal(qn_dtype_decode(QN_Q8_0, b, f, 31, &e), QN_EFORMAT);
    assert_int_equal(qn_dtype_encode(QN_Q8_0, f, b, 1, &e), QN_EFORMAT);
    assert_int_equal(qn_dtype_decode(QN_Q8_0, b, f, 0, &e), QN_OK);
    assert_int_equal(qn_dtype_decode(QN_F32, NULL, NULL, 0, &e), QN_OK);
}

/* Decodes `n` elements that lie at an odd address. */
static void decode_odd(qn_dtype t, const void *src, size_t bytes, float *dst,
                       size_t n)
{
    unsigned char buf[256];
    memcpy(buf + 1, src, bytes);
    assert_int_equal(qn_dtype_decode(t, buf + 1, dst, n, NULL), QN_OK);
}

static void expect(qn_dtype t, const void *src, size_t bytes, const float *want,
                   size_t n)
{
    float got[32];
    uint64_t size;
    assert_int_equal(qn_dtype_bytes(t, n, &size, NULL), QN_OK);
    assert_int_equal(size, bytes);
    decode_odd(t, src, bytes, got, n);
    for (size_t i = 0; i < n; i++) {
        if (isnan(want[i]))
            assert_true(isnan(got[i]));
        else
            assert_true(got[i] == want[i]);
        assert_int_equal(signbit(got[i]) != 0, signbit(want[i]) != 0);
    }
}

static void test_plain(void **state)
{
    (void)state;
    const float small[4] = {0, 1, -1, 127};
    const float count[4] = {0, 1, 2, 250};
    expect(QN_I8, (int8_t[]){0, 1, -1, 127}, 4, small, 4);
    expect(QN_I16, (int16_t[]){0, 1, -1, 127}, 8, small, 4);
    expect(QN_I32, (int32_t[]){0, 1, -1, 127}, 16, small, 4);
    expect(QN_I64, (int64_t[]){0, 1, -1, 127}, 32, small, 4);
    expect(QN_F64, (double[]){0, 1, -1, 127}, 32, small, 4);
    expect(QN_F32, small, 16, small, 4);
    expect(QN_U8, (uint8_t[]){0, 1, 2, 250}, 4, count, 4);
    expect(QN_U16, (uint16_t[]){0, 1, 2, 250}, 8, count, 4);
    expect(QN_U32, (uint32_t[]){0, 1, 2, 250}, 16, count, 4);
    expect(QN_U64, (uint64_t[]){0, 1, 2, 250}, 32, count, 4);
    expect(QN_BOOL, (uint8_t[]){0, 1, 255}, 3, (float[]){0, 1, 1}, 3);
    expect(QN_I64, (int64_t[]){INT64_MIN, 16777217}, 16,
           (float[]){-0x1p63f, 16777216}, 2);
    expect(QN_F64, (double[]){1e300, 0.1}, 16, (float[]){INFINITY, 0.1f}, 2);
    expect(QN_F16, (uint16_t[]){0x3c00, 0x8000, 1}, 6,
           (float[]){1, -0.0f, 0x1p-24f}, 3);
    expect(QN_BF16, (uint16_t[]){0x3f80, 0xc000}, 4, (float[]){1, -2}, 2);
}

static void test_small_floats(void **state)
{
    (void)state;
    expect(QN_F8_E4M3, (uint8_t[]){0x38, 0x7e, 0x7f, 0x01}, 4,
           (float[]){1, 448, NAN, 0x1p-9f}, 4);
    expect(QN_F8_E5M2, (uint8_t[]){0x3c, 0xfb, 0x7c, 0x01}, 4,
           (float[]){1, -57344, INFINITY, 0x1p-16f}, 4);
    /* values from the definitions: largest, one, smallest, -1, NaN */
    expect(QN_F8_E4M3FNUZ, (uint8_t[]){0x7f, 0x40, 0x01, 0xc0, 0x80}, 5,
           (float[]){240, 1, 0x1p-10f, -1, NAN}, 5);
    expect(QN_F8_E5M2FNUZ, (uint8_t[]){0x7f, 0x40, 0x01, 0xc0, 0x80}, 5,
           (float[]){57344, 1, 0x1p-17f, -1, NAN}, 5);
    expect(QN_F8_E8M0, (uint8_t[]){127, 0, 254, 255}, 4,
           (float[]){1, 0x1p-127f, 0x1p127f, NAN}, 4);
    expect(QN_F4_E2M1, (uint8_t[]){0x10, 0x32, 0x54, 0x76, 0x98, 0xfe}, 6,
           (float[]){0, 0.5f, 1, 1.5f, 2, 3, 4, 6, -0.0f, -0.5f, -4, -6}, 12);
}

static void test_encode_plain(void **state)
{
    (void)state;
    static const qn_dtype types[] = {QN_F32, QN_F16,     QN_BF16,
                                     QN_F64, QN_F8_E4M3, QN_F8_E5M2};
    const float x[5] = {0, 1, -2.5f, 0.1f, 3};
    for (size_t k = 0; k < sizeof types / sizeof *types; k++) {
        unsigned char b[64];
        float back[5], again[5];
        assert_int_equal(qn_dtype_encode(types[k], x, b + 1, 5, NULL), QN_OK);
        assert_int_equal(qn_dtype_decode(types[k], b + 1, back, 5, NULL),
                         QN_OK);
        for (int i = 0; i < 5; i++)
            assert_true(fabsf(back[i] - x[i]) <= fabsf(x[i]) / 8);
        /* What a format has once rounded it keeps. */
        assert_int_equal(qn_dtype_encode(types[k], back, b, 5, NULL), QN_OK);
        assert_int_equal(qn_dtype_decode(types[k], b, again, 5, NULL), QN_OK);
        assert_memory_equal(back, again, sizeof back);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_are_sound),
        cmocka_unit_test(test_safetensors_sizes),
        cmocka_unit_test(test_bytes_checked),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_small_floats),
        cmocka_unit_test(test_encode_plain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
