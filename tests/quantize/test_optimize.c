/* Quantizing checkpoints: what is written is what bitsandbytes writes, opens
 * again, and is within the error that its scales allow. Wrong calls are
 * test_optimize_mistakes.c. */
#include "judge.h"

#include "base/compiler.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "ckpt/safetensors_write.h"
#include "quantize/hash.h"
#include "quantize/optimize.h"
#include "quantize/optimize_int.h"
#include "tensor/half.h"
#include "tensor/qscheme.h"

#include <sys/stat.h>

static void *load(const qn_ckpt *ck, const char *name, size_t *n)
{
    const qn_tensor *t = qn_ckpt_find(ck, name);
    if (!t)
        fail_msg("no tensor %s", name);
    void *p = malloc(t->n_bytes + 1);
    assert_int_equal(qn_ckpt_read(ck, t, 0, p, t->n_bytes, NULL), 0);
    *n = t->n_bytes;
    return p;
}

/* ---- bitsandbytes' own results ------------------------------------------- */

/* The parts that a scheme makes of w; the caller frees them. */
static void quantize(qn_qmat *m, const float *w)
{
    qn_err err = {0};
    if (qn_qmat_lay(m, &err) < 0)
        fail_msg("%s", err.msg);
    for (int i = 0; i < QN_QPARTS; i++)
        if (m->part[i].name)
            m->part[i].out = calloc(1, m->part[i].n_bytes + 1);
    m->work = calloc(1, m->work_bytes + 1);
    int64_t unit = qn_qmat_row_unit(m);
    qn_qrows r;
    r.codes = malloc((size_t)(unit * m->n_in));
    r.scales = malloc((size_t)(unit * qn_qmat_n_group(m)) * sizeof(float));
    r.zeros = malloc((size_t)(unit * qn_qmat_n_group(m)) * sizeof(float));
    for (int64_t row = 0; row < m->n_out; row += unit) {
        int64_t n = QN_MIN(unit, m->n_out - row);
        m->scheme->quantize(m, w + row * m->n_in, n, &r);
        m->scheme->pack(m, row, n, &r);
    }
    if (m->scheme->finish)
        m->scheme->finish(m);
    free(r.codes);
    free(r.scales);
    free(r.zeros);
}

static void parts_free(qn_qmat *m)
{
    for (int i = 0; i < QN_QPARTS; i++)
        free(m->part[i].out);
    free(m->work);
}

static json_t *parse(const void *text, size_t n)
{
    json_t *j = NULL;
    qn_err err = {0};
    if (qn_json_parse(&j, text, n, "quant_state", &err) < 0)
        fail_msg("%s", err.msg);
    return j;
}

/* Every part equals bitsandbytes' own, bit for bit. Of its quant_state the
 * order of members and the offset's last digits (the mean of the scales,
 * which torch sums in another order) are free. */
static void same_parts(const qn_ckpt *ck, const char *module, const qn_qmat *m)
{
    for (int i = 0; i < QN_QPARTS; i++) {
        const qn_qpart *p = &m->part[i];
        char name[128];
        size_t n;
        if (!p->name)
            continue;
        snprintf(name, sizeof name, "%s%s", module, p->name);
        uint8_t *want = load(ck, name, &n), *got = p->out;
        if (!strstr(name, "quant_state") && !strstr(name, "nested_absmax")) {
            if (n != p->n_bytes || memcmp(want, got, n) != 0)
                fail_msg("%s differs", name);
        } else if (strstr(name, "nested_absmax")) {
            qn_test_close_max(p->out, (float *)(void *)want, n / 4, 1e-6);
        } else {
            json_t *a = parse(want, n), *b = parse(got, p->n_bytes);
            double x = json_number_value(json_object_get(a, "nested_offset"));
            double y = json_number_value(json_object_get(b, "nested_offset"));
            assert_true(fabs(x - y) <= 1e-6 * fabs(x));
            json_object_del(a, "nested_offset");
            json_object_del(b, "nested_offset");
            assert_true(json_equal(a, b));
            json_decref(a);
            json_decref(b);
        }
        free(want);
    }
}

static void check_units(const char *file)
{
    static const char *const shapes[] = {"7x33", "40x96", "256x192"};
    static const struct {
        const char *name;
        const qn_qscheme *scheme;
        bool nested;
    } kinds[] = {
        {"nf4", &qn_bnb_nf4_scheme, false},
        {"fp4", &qn_bnb_fp4_scheme, false},
        {"nf4.dq", &qn_bnb_nf4_scheme, true},
        {"fp4.dq", &qn_bnb_fp4_scheme, true},
    };
    qn_ckpt *ck;
    qn_err err = {0};
    if (qn_ckpt_open_tensors(&ck, file, &err) < 0)
        fail_msg("%s", err.msg);
    for (size_t i = 0; i < QN_COUNTOF(shapes); i++) {
        char name[64];
        size_t n;
        snprintf(name, sizeof name, "%s.A", shapes[i]);
        const qn_tensor *t = qn_ckpt_find(ck, name);
        if (!t)
            continue;
        float *a = load(ck, name, &n);
        for (size_t k = 0; k < QN_COUNTOF(kinds); k++) {
            qn_qmat m = {.scheme = kinds[k].scheme,
                         .bits = 4,
                         .n_out = t->shape[0],
                         .n_in = t->shape[1],
                         .block = {64, kinds[k].nested},
                         .round = QN_F32};
            quantize(&m, a);
            snprintf(name, sizeof name, "%s.%s", shapes[i], kinds[k].name);
            same_parts(ck, name, &m);
            parts_free(&m);
        }
        free(a);
    }
    qn_ckpt_close(ck);
}

static void test_bnb_units(void **state)
{
    (void)state;
    check_units(qn_test_data("quant/bnb_unit.safetensors"));
    const char *shared = qn_test_shared("goldens/quant/bnb_unit.safetensors");
    if (shared)
        check_units(shared);
}

/* ---- whole checkpoints --------------------------------------------------- */

static float *decode(const qn_ckpt *ck, const qn_tensor *t)
{
    qn_err err = {0};
    float *f = malloc(t->n_elems * sizeof *f);
    if (!t->quant) {
        void *raw = malloc(t->n_bytes);
        assert_int_equal(qn_ckpt_read(ck, t, 0, raw, t->n_bytes, &err), 0);
        assert_int_equal(qn_dtype_decode(t->dtype, raw, f, t->n_elems, &err),
                         0);
        free(raw);
        return f;
    }
    qn_qmat m;
    void *mem;
    if (qn_ckpt_quant_open(ck, t, &m, &mem, &err) < 0)
        fail_msg("%s", err.msg);
    void *scratch = malloc(qn_qmat_scratch(&m, m.n_out));
    qn_qmat_decode(&m, 0, m.n_out, scratch, f);
    free(scratch);
    qn_ckpt_quant_close(mem);
    return f;
}

/* Root mean square of the error over that of the weights. */
static double error_of(const qn_ckpt *a, const qn_ckpt *b, size_t *n_quant)
{
    double err2 = 0, all2 = 0;
    *n_quant = 0;
    for (size_t i = 0; i < qn_ckpt_n_tensors(a); i++) {
        const qn_tensor *t = qn_ckpt_tensor(a, i);
        const qn_tensor *q = qn_ckpt_find(b, t->name);
        if (!q)
            fail_msg("%s is lost", t->name);
        float *x = decode(a, t), *y = decode(b, q);
        assert_int_equal(t->n_elems, q->n_elems);
        for (size_t k = 0; k < t->n_elems; k++) {
            double e = (double)x[k] - (double)y[k];
            if (!q->quant)
                assert_true(e == 0);
            err2 += q->quant ? e * e : 0;
            all2 += q->quant ? (double)x[k] * (double)x[k] : 0;
        }
        *n_quant += q->quant != NULL;
        if (q->quant) /* or kernels could not read its groups */
            assert_int_equal(qn_ckpt_quant(q)->g_idx_part, -1);
        free(x);
        free(y);
    }
    return sqrt(err2 / all2);
}

/* Rounding to nearest in b bits over a group whose largest weight is A makes an
 * error of A / (2^b - 1) / sqrt(3) times one for uniformly distributed rests;
 * for normal weights A is about 2.5 to 3.5 sigma. The bounds are twice that,
 * and no format may be better than half of it. */
static void test_methods(void **state)
{
    static const struct {
        qn_optimize_params p;
        double least, most;
        const char *method;
    } cases[] = {
        {{.method = "bitsandbytes"}, 0.05, 0.2, "bitsandbytes"},
        {{.method = "bitsandbytes", .double_quant = true},
         0.05,
         0.2,
         "bitsandbytes"},
        {{.method = "bitsandbytes", .type = "fp4", .group = 4096},
         0.05,
         0.4,
         "bitsandbytes"},
        {{.method = "bitsandbytes", .bits = 8}, 0.002, 0.02, "bitsandbytes"},
        {{.method = "rtn", .group = 32}, 0.05, 0.2, "compressed-tensors"},
        {{.method = "rtn", .group = 32, .bits = 2, .asymmetric = true},
         0.3,
         0.9,
         "compressed-tensors"},
        {{.method = "rtn", .group = 32, .bits = 3},
         0.1,
         0.4,
         "compressed-tensors"},
        {{.method = "rtn", .group = -1, .bits = 8, .asymmetric = true},
         0.002,
         0.02,
         "compressed-tensors"},
        {{.method = "rtn", .format = "gptq", .group = 32, .bits = 3},
         0.1,
         0.4,
         "gptq"},
        {{.method = "rtn", .format = "gptq", .group = 32, .asymmetric = true},
         0.05,
         0.2,
         "gptq"},
        {{.method = "rtn", .format = "gptq", .group = 16, .bits = 2},
         0.3,
         0.9,
         "gptq"},
        {{.method = "rtn", .format = "gptq", .group = -1, .bits = 8},
         0.002,
         0.02,
         "gptq"},
        {{.method = "rtn", .format = "awq", .group = 32}, 0.05, 0.2, "awq"},
        {{.method = "rtn", .format = "int8"},
         0.002,
         0.02,
         "compressed-tensors"},
        {{.method = "fp8"}, 0.01, 0.04, "compressed-tensors"},
        {{.method = "fp8", .scales = "tensor"},
         0.01,
         0.04,
         "compressed-tensors"},
        {{.method = "fp8", .scales = "block", .group = 32}, 0.01, 0.04, "fp8"},
    };
    (void)state;
    qn_ckpt *src;
    assert_int_equal(qn_ckpt_open(&src, qn_test_data("models/llama"), NULL), 0);
    for (size_t i = 0; i < QN_COUNTOF(cases); i++) {
        qn_optimize_params p = cases[i].p;
        char *to = judge_fresh("out");
        qn_err err = {0};
        qn_ckpt *ck = NULL;
        size_t n;
        p.n_threads = 1 + (int)(i % 3);
        if (judge_run(&p, to, &err) < 0 || qn_ckpt_open(&ck, to, &err) < 0)
            fail_msg("case %zu: %s", i, err.msg);
        double e = error_of(src, ck, &n);
        if (e < cases[i].least || e > cases[i].most)
            fail_msg("case %zu: relative error %.4f", i, e);
        assert_true(n > 10);
        const json_t *q = json_object_get(qn_ckpt_config(ck),
                                          "quantization_config");
        assert_string_equal(json_string_value(
                                json_object_get(q, "quant_method")),
                            cases[i].method);
        qn_ckpt_close(ck);
        free(to);
    }
    qn_ckpt_close(src);
}

/* Blocks of bitsandbytes go through the matrix's elements, whatever its rows.
 * Half of the widest step of nf4 is 0.152 of the block's largest weight, of fp4
 * 0.167; the largest itself is a code. Doubly quantized, that weight is off by
 * half a step of a map of 8 bits, which is 0.0357 of its range at most. */
static void check_blocks(const float *w, const float *got, size_t n, size_t b,
                         bool nested)
{
    float range = 0, low = INFINITY;
    for (size_t i = 0; i < n; i += b) {
        float top = 0;
        for (size_t k = i; k < QN_MIN(i + b, n); k++)
            top = fmaxf(top, fabsf(w[k]));
        range = fmaxf(range, top);
        low = fminf(low, top);
    }
    float off = nested ? 0.0357f * (range - low) + 1e-3f * range : 0;
    for (size_t i = 0; i < n; i += b) {
        size_t end = QN_MIN(i + b, n);
        float top = 0, back = 0;
        for (size_t k = i; k < end; k++) {
            top = fmaxf(top, fabsf(w[k]));
            back = fmaxf(back, fabsf(got[k]));
        }
        if (fabsf(top - back) > off + top / 256)
            fail_msg("blocks of %zu: one at %zu has %g, not %g", b, i,
                     (double)back, (double)top);
        for (size_t k = i; k < end; k++)
            if (fabsf(w[k] - got[k]) > 0.168f * top + off + top / 256)
                fail_msg("blocks of %zu: element %zu is %g, not %g", b, k,
                         (double)got[k], (double)w[k]);
    }
}

/* The same network with f32 of what a checkpoint's tensors mean. */
static char *as_f32(const qn_ckpt *ck)
{
    char *to = judge_fresh("f32"), path[8192];
    size_t n;
    char *config = judge_slurp(qn_test_data("models/llama"), "config.json", &n);
    qn_st_writer *w;
    assert_int_equal(mkdir(to, 0777), 0);
    snprintf(path, sizeof path, "%s/config.json", to);
    assert_int_equal(qn_file_write(path, config, n, NULL), 0);
    free(config);
    snprintf(path, sizeof path, "%s/model.safetensors", to);
    assert_int_equal(qn_st_writer_new(&w, path, NULL), 0);
    for (size_t i = 0; i < qn_ckpt_n_tensors(ck); i++) {
        const qn_tensor *t = qn_ckpt_tensor(ck, i);
        assert_int_equal(qn_st_writer_declare(w, t->name, QN_F32, t->n_dims,
                                              t->shape, NULL),
                         0);
    }
    for (size_t i = 0; i < qn_ckpt_n_tensors(ck); i++) {
        const qn_tensor *t = qn_ckpt_tensor(ck, i);
        float *v = decode(ck, t);
        assert_int_equal(qn_st_writer_data(w, v, (size_t)t->n_elems * sizeof *v,
                                           NULL),
                         0);
        free(v);
    }
    assert_int_equal(qn_st_writer_finish(w, NULL), 0);
    qn_st_writer_free(w);
    return to;
}

static void test_block_sizes(void **state)
{
    (void)state;
    const int32_t tokens[] = {1, 17, 40, 5, 99, 3, 64, 12};
    int n_tok = (int)QN_COUNTOF(tokens), n_vocab;
    qn_ckpt *src;
    assert_int_equal(qn_ckpt_open(&src, qn_test_data("models/llama"), NULL), 0);
    for (int c = 0; c < 8 * 4; c++) {
        int b = 32 << c / 4;
        qn_optimize_params p = {.method = "bitsandbytes",
                                .type = c % 2 ? "fp4" : "nf4",
                                .double_quant = c / 2 % 2,
                                .group = b};
        char *to = judge_fresh("out");
        qn_err err = {0};
        qn_ckpt *ck;
        size_t n = 0;
        if (judge_run(&p, to, &err) < 0 || qn_ckpt_open(&ck, to, &err) < 0)
            fail_msg("blocks of %d: %s", b, err.msg);
        for (size_t i = 0; i < qn_ckpt_n_tensors(ck); i++) {
            const qn_tensor *t = qn_ckpt_tensor(ck, i);
            if (!t->quant)
                continue;
            float *got = decode(ck, t);
            float *w = decode(src, qn_ckpt_find(src, t->name));
            check_blocks(w, got, (size_t)t->n_elems, (size_t)b, p.double_quant);
            free(got);
            free(w);
            n++;
        }
        assert_true(n > 10);
        /* codes as kernels read them: sums in another order, no more */
        char *f32 = as_f32(ck);
        float *want = judge_logits(f32, tokens, n_tok, &n_vocab);
        float *got = judge_logits(to, tokens, n_tok, &n_vocab);
        double e = judge_error(want, got, (size_t)(n_tok * n_vocab));
        if (!(e < 1e-5))
            fail_msg("blocks of %d, %s: logits are off by %.3g", b, p.type, e);
        qn_ckpt_close(ck);
        free(want);
        free(got);
        free(f32);
        free(to);
    }
    qn_ckpt_close(src);
}

static void test_threads(void **state)
{
    (void)state;
    char *one = judge_fresh("out"), *three = judge_fresh("out");
    qn_optimize_params p = {.method = "rtn",
                            .format = "gptq",
                            .group = 32,
                            .bits = 3,
                            .n_threads = 1};
    qn_err err = {0};
    size_t n, m;
    if (judge_run(&p, one, &err) < 0)
        fail_msg("%s", err.msg);
    p.n_threads = 3;
    if (judge_run(&p, three, &err) < 0)
        fail_msg("%s", err.msg);
    char *a = judge_slurp(one, "model.safetensors", &n);
    char *b = judge_slurp(three, "model.safetensors", &m);
    assert_int_equal(n, m);
    assert_memory_equal(a, b, n);
    free(a);
    free(b);
    free(one);
    free(three);
}

/* Shards, what is copied, what is left alone, Conv1D layers turned round. */
static void test_directory(void **state)
{
    (void)state;
    static const char *const skip[] = {"*.c_proj"};
    char *to = judge_fresh("out");
    qn_optimize_params p = {.method = "bitsandbytes",
                            .max_shard = 100000,
                            .model = qn_test_data("models/gpt2"),
                            .skip = skip,
                            .n_skip = 1};
    qn_err err = {0};
    qn_ckpt *src, *ck;
    size_t n;
    if (judge_run(&p, to, &err) < 0 || qn_ckpt_open(&ck, to, &err) < 0)
        fail_msg("%s", err.msg);
    assert_true(qn_ckpt_n_files(ck) > 1);
    assert_int_equal(qn_ckpt_open(&src, p.model, NULL), 0);
    for (size_t i = 0; i < qn_ckpt_n_tensors(src); i++) {
        const qn_tensor *t = qn_ckpt_tensor(src, i);
        const qn_tensor *q = qn_ckpt_find(ck, t->name);
        assert_non_null(q);
        bool conv = strstr(t->name, "c_attn.weight") ||
                    strstr(t->name, "c_fc.weight");
        assert_int_equal(q->quant != NULL, conv);
        if (!conv)
            continue;
        assert_int_equal(q->shape[0], t->shape[1]);
        float *x = decode(src, t), *y = decode(ck, q);
        for (int64_t r = 0; r < q->shape[0]; r++)
            for (int64_t k = 0; k < q->shape[1]; k++)
                assert_true(fabsf(x[k * t->shape[1] + r] -
                                  y[r * q->shape[1] + k]) < 0.1f);
        free(x);
        free(y);
    }
    qn_ckpt_close(ck);
    qn_ckpt_close(src);
    free(judge_slurp(to, "config_v4.json", &n));
    char *text = judge_slurp(to, "metadata.json", &n);
    json_t *meta = parse(text, n);
    assert_string_equal(json_string_value(json_object_get(meta, "method")),
                        "bitsandbytes");
    assert_true(json_array_size(json_object_get(meta, "modules_left")) > 0);
    json_decref(meta);
    free(text);
    free(to);
}

static void test_xxh64(void **state)
{
    (void)state;
    /* Known values of the xxhsum tool. */
    static const struct {
        const char *text;
        uint64_t hash;
    } cases[] = {
        {"", 0xEF46DB3751D8E999ull},
        {"abc", 0x44BC2CF5AD770999ull},
    };
    for (size_t i = 0; i < QN_COUNTOF(cases); i++) {
        qn_xxh64 h;
        qn_xxh64_init(&h);
        qn_xxh64_add(&h, cases[i].text, strlen(cases[i].text));
        assert_true(qn_xxh64_end(&h) == cases[i].hash);
    }
    /* In any pieces the same. */
    uint8_t bytes[1000];
    qn_xxh64 all, some;
    for (int i = 0; i < 1000; i++)
        bytes[i] = (uint8_t)(i * 7);
    qn_xxh64_init(&all);
    qn_xxh64_init(&some);
    qn_xxh64_add(&all, bytes, sizeof bytes);
    for (size_t at = 0, n = 1; at < sizeof bytes; at += n, n = n * 3 % 71)
        qn_xxh64_add(&some, bytes + at, QN_MIN(n, sizeof bytes - at));
    assert_true(qn_xxh64_end(&all) == qn_xxh64_end(&some));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bnb_units),   cmocka_unit_test(test_methods),
        cmocka_unit_test(test_block_sizes), cmocka_unit_test(test_threads),
        cmocka_unit_test(test_directory),   cmocka_unit_test(test_xxh64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
