/* Method auto: the choice, and that each of its targets is kept, among bits and
 * among types of GGUF. */
#include "judge.h"

#include "base/compiler.h"
#include "ckpt/ckpt.h"
#include "quantize/auto.h"
#include "quantize/optimize.h"

enum {
    N_IDS = 256
};

/* ---- the choice ------------------------------------------------------------ */

/* By what a byte saves, within the budget. */
static void test_choice(void **state)
{
    (void)state;
    qn_auto_row rows[2] = {
        {.bytes = {20, 30, 40, 50, 60, 80},
         .loss = {16, 4, 1, .25, .0625, .004}},
        {.bytes = {20, 0, 40, 50, 60, 80},
         .loss = {1.6, .4, .05, .025, .00625, .0004}},
    };
    assert_false(qn_auto_choose(rows, 2, 39, 0));
    assert_true(qn_auto_choose(rows, 2, 40, 0));
    assert_int_equal(rows[0].pick, 0);
    assert_int_equal(rows[1].pick, 0);
    assert_true(qn_auto_choose(rows, 2, 69, 0)); /* 40 + 20 */
    assert_int_equal(rows[0].pick, 2);
    assert_int_equal(rows[1].pick, 0);
    assert_true(qn_auto_choose(rows, 2, 80, 0)); /* never 3 bits: no bytes */
    assert_int_equal(rows[0].pick, 2);
    assert_int_equal(rows[1].pick, 2);
    assert_true(qn_auto_choose(rows, 2, 0, 1.2));
    assert_true(rows[0].loss[rows[0].pick] + rows[1].loss[rows[1].pick] <= 1.2);
    assert_int_equal(rows[0].pick + rows[1].pick, 4);
    assert_false(qn_auto_choose(rows, 2, 0, 1e-6));
    assert_true(qn_auto_choose(rows, 2, 0, 0)); /* no limit: all of it */
    assert_int_equal(rows[0].pick, 5);
}

/* The step that saves most per byte does not fit, a smaller one does. */
static void test_room(void **state)
{
    (void)state;
    qn_auto_row row = {.bytes = {20, 30, 60}, .loss = {10, 9, 1}};
    assert_true(qn_auto_choose(&row, 1, 35, 0));
    assert_int_equal(row.pick, 1);
    assert_true(qn_auto_choose(&row, 1, 60, 0));
    assert_int_equal(row.pick, 2);
}

/* ---- targets --------------------------------------------------------------- */

typedef struct made {
    char *dir;
    qn_optimize_report r;
    double expected; /* sum of the table's */
} made;

static int make(made *m, qn_optimize_params p, qn_err *err)
{
    static int32_t ids[N_IDS];
    json_t *row;
    size_t i;
    for (int k = 0; k < N_IDS; k++)
        ids[k] = 1 + (k * 29 + k * k) % 500;
    *m = (made){.dir = judge_fresh("auto")};
    p.model = qn_test_data("models/llama");
    p.output_dir = m->dir;
    p.method = "auto";
    p.calibration_ids = ids;
    p.n_calibration_ids = N_IDS;
    p.n_samples = 4;
    p.n_context = 64;
    p.n_threads = 1;
    int rc = qn_optimize_run(&p, &m->r, err);
    json_array_foreach(m->r.table, i, row)
        m->expected += json_number_value(json_object_get(row, "kl_expected"));
    return rc;
}

static void made_free(made *m)
{
    json_decref(m->r.table);
    json_decref(m->r.notes);
    free(m->dir);
}

/* A run that has to succeed. */
static made run(qn_optimize_params p)
{
    made m;
    qn_err err = {0};
    if (make(&m, p, &err) < 0)
        fail_msg("%s", err.msg);
    assert_true(json_array_size(m.r.table) > 10);
    return m;
}

/* Bytes of all tensors of a folder, as they lie in its files. */
static uint64_t tensor_bytes(const char *dir)
{
    qn_ckpt *ck;
    uint64_t n = 0;
    qn_err err = {0};
    if (qn_ckpt_open(&ck, dir, &err) < 0)
        fail_msg("%s", err.msg);
    for (size_t i = 0; i < qn_ckpt_n_tensors(ck); i++)
        n += qn_ckpt_tensor(ck, i)->n_bytes;
    qn_ckpt_close(ck);
    return n;
}

static void check_targets(const char *format)
{
    qn_optimize_params p = {.format = format, .target_bits = 6};
    made bits = run(p);
    assert_true(bits.r.bits_quantized <= 6);
    assert_true(bits.r.bits_quantized > 5.5); /* and used */

    p = (qn_optimize_params){.format = format,
                             .target_size = bits.r.output_bytes};
    made size = run(p);
    assert_true(size.r.output_bytes <= bits.r.output_bytes);
    assert_true((double)size.r.output_bytes >
                0.97 * (double)bits.r.output_bytes);
    if (format) /* one tensor, one entry: what is told is what lies there */
        assert_true(tensor_bytes(size.dir) == size.r.output_bytes);

    /* Less divergence is asked for: it is expected, and takes more bytes. */
    p = (qn_optimize_params){.format = format, .max_kl = bits.expected / 2};
    made kl = run(p);
    assert_true(kl.expected <= p.max_kl && kl.expected > p.max_kl / 8);
    assert_true(kl.r.output_bytes > bits.r.output_bytes);
    made_free(&bits);
    made_free(&size);
    made_free(&kl);
}

static void test_bits(void **state)
{
    (void)state;
    check_targets(NULL);
}

static void test_types(void **state)
{
    (void)state;
    check_targets("gguf");
}

/* The file has the types of the table, more than one. */
static void test_mixed_file(void **state)
{
    (void)state;
    made m = run((qn_optimize_params){.format = "gguf", .target_bits = 6});
    qn_ckpt *ck;
    qn_err err = {0};
    json_t *row;
    size_t i, others = 0;
    const char *first = NULL;
    if (qn_ckpt_open(&ck, m.dir, &err) < 0)
        fail_msg("%s", err.msg);
    json_array_foreach(m.r.table, i, row)
    {
        const char *name = json_string_value(json_object_get(row, "tensor"));
        const char *type = json_string_value(json_object_get(row, "type"));
        const qn_tensor *t = qn_ckpt_find(ck, name);
        assert_non_null(t);
        assert_string_equal(qn_dtype_get(t->dtype)->name, type);
        first = first ? first : type;
        others += strcmp(first, type) != 0;
    }
    assert_true(others > 0);
    qn_ckpt_close(ck);
    made_free(&m);
}

/* ---- groups ---------------------------------------------------------------- */

/* Rows of 64 and 160: 32 is what fits them; another is refused. */
static void test_group(void **state)
{
    (void)state;
    qn_err err = {0};
    made m = run((qn_optimize_params){.target_bits = 6});
    assert_int_equal(m.r.group, 32);
    made_free(&m);
    int rc = make(&m, (qn_optimize_params){.target_bits = 6, .group = 64},
                  &err);
    assert_int_equal(rc, QN_EUNSUP);
    assert_non_null(strstr(err.msg, "--group-size"));
    made_free(&m);
}

static void refuse(qn_optimize_params p, const char *word)
{
    made m;
    qn_err err = {0};
    assert_true(make(&m, p, &err) < 0);
    if (!strstr(err.msg, word))
        fail_msg("\"%s\" does not say %s", err.msg, word);
    made_free(&m);
}

static void test_refused(void **state)
{
    (void)state;
    refuse((qn_optimize_params){0}, "--target-bits, --target-size or --max-kl");
    refuse((qn_optimize_params){.target_bits = 4, .max_kl = 1}, "one target");
    refuse((qn_optimize_params){.target_bits = 2}, "another target");
    refuse((qn_optimize_params){.target_size = 1000}, "--target-size");
    refuse((qn_optimize_params){.max_kl = 1e-15}, "another target");
    refuse((qn_optimize_params){.format = "gguf", .target_bits = 3},
           "--target-bits");
    refuse((qn_optimize_params){.format = "gguf", .target_size = 1000},
           "--target-size");
    refuse((qn_optimize_params){.format = "gguf", .max_kl = 1e-15}, "--max-kl");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choice),     cmocka_unit_test(test_room),
        cmocka_unit_test(test_bits),       cmocka_unit_test(test_types),
        cmocka_unit_test(test_mixed_file), cmocka_unit_test(test_group),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
