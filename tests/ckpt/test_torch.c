/* test_torch.c: files of torch.save, right ones and hostile ones. They are
 * made by tests/data/torch/make.py, where every one is told in a line. */
#include "ckpt_help.h"

#include "base/file.h"
#include "base/mem.h"
#include "ckpt/pickle.h"

#define OK(call)                     \
    do {                             \
        qn_err err = {0};            \
        if ((call) < 0)              \
            fail_msg("%s", err.msg); \
    } while (0)

/* tests/data/torch/<name> as pytorch_model.bin beside a config.json. */
static const char *model_dir(const char *name)
{
    char from[200];
    const char *dir = qn_test_tmpdir();
    size_t n;

    snprintf(from, sizeof from, "torch/%s", name);
    char *data = qn_test_read_file(qn_test_data(from), &n);
    qn_test_write_file(help_path(dir, "pytorch_model.bin"), data, n);
    help_write(dir, "config.json", "{\"model_type\": \"llama\"}");
    free(data);
    return dir;
}

static qn_ckpt *open_ok(const char *path)
{
    qn_ckpt *ck = NULL;
    OK(qn_ckpt_open(&ck, path, &err));
    return ck;
}

/* The shape and every value, read whole and byte by byte. */
static void expect(const qn_ckpt *ck, const char *name, qn_dtype dtype,
                   int n_dims, const int64_t *shape, const float *want)
{
    const qn_tensor *t = qn_ckpt_find(ck, name);
    char raw[64], again[64];
    float got[16];

    if (!t)
        fail_msg("no tensor %s", name);
    assert_int_equal(t->dtype, dtype);
    assert_int_equal(t->n_dims, n_dims);
    for (int i = 0; i < n_dims; i++)
        assert_int_equal(t->shape[i], shape[i]);
    assert_true(t->n_bytes <= sizeof raw && t->n_elems <= 16);
    OK(qn_ckpt_read(ck, t, 0, raw, (size_t)t->n_bytes, &err));
    for (uint64_t i = 0; i < t->n_bytes; i++)
        OK(qn_ckpt_read(ck, t, i, again + i, 1, &err));
    assert_memory_equal(raw, again, (size_t)t->n_bytes);
    const void *view = qn_ckpt_view(ck, t, 0, (size_t)t->n_bytes);
    if (view && t->n_bytes)
        assert_memory_equal(view, raw, (size_t)t->n_bytes);
    OK(qn_dtype_decode(dtype, raw, got, (size_t)t->n_elems, &err));
    for (uint64_t i = 0; i < t->n_elems; i++)
        if (got[i] != want[i])
            fail_msg("%s[%d] is %g, %g expected", name, (int)i, (double)got[i],
                     (double)want[i]);
    assert_int_equal(qn_ckpt_read(ck, t, t->n_bytes, raw, 1, NULL), QN_EINVAL);
}

#define DIMS(...) ((const int64_t[]){__VA_ARGS__})
#define VALUES(...) ((const float[]){__VA_ARGS__})

static void check_model(const qn_ckpt *ck)
{
    assert_int_equal(qn_ckpt_container(ck), QN_CKPT_HF);
    assert_int_equal(qn_ckpt_n_tensors(ck), 18);
    expect(ck, "a", QN_F32, 2, DIMS(2, 3), VALUES(0, 1, 2, 3, 4, 5));
    expect(ck, "again", QN_F32, 2, DIMS(2, 3), VALUES(0, 1, 2, 3, 4, 5));
    expect(ck, "same", QN_F32, 2, DIMS(2, 3), VALUES(0, 1, 2, 3, 4, 5));
    expect(ck, "row", QN_F32, 1, DIMS(3), VALUES(3, 4, 5));
    expect(ck, "turned", QN_F32, 2, DIMS(3, 2), VALUES(0, 3, 1, 4, 2, 5));
    expect(ck, "column", QN_F32, 1, DIMS(2), VALUES(1, 4));
    expect(ck, "spread", QN_F32, 2, DIMS(2, 2), VALUES(4, 5, 4, 5));
    expect(ck, "one", QN_F32, 0, NULL, VALUES(5));
    expect(ck, "none", QN_F32, 2, DIMS(0, 4), NULL);
    expect(ck, "half", QN_F16, 1, DIMS(2), VALUES(0.5f, -2));
    expect(ck, "bf16", QN_BF16, 2, DIMS(1, 2), VALUES(1, -2));
    expect(ck, "f64", QN_F64, 1, DIMS(1), VALUES(0.25f));
    expect(ck, "i64", QN_I64, 1, DIMS(2), VALUES(-7, 0x1p40f));
    expect(ck, "i32", QN_I32, 1, DIMS(1), VALUES(-3));
    expect(ck, "i16", QN_I16, 1, DIMS(1), VALUES(300));
    expect(ck, "i8", QN_I8, 1, DIMS(1), VALUES(-1));
    expect(ck, "u8", QN_U8, 1, DIMS(1), VALUES(255));
}

static void test_archive(void **state)
{
    const char *dir = model_dir("archive.bin");
    qn_ckpt *ck = open_ok(dir);

    (void)state;
    assert_int_equal(qn_ckpt_n_files(ck), 1);
    assert_true(qn_ckpt_find(ck, "a")->strided == NULL);
    assert_true(qn_ckpt_find(ck, "turned")->strided != NULL);
    assert_int_equal(qn_ckpt_n_tensors(ck), 18);
    expect(ck, "bool", QN_BOOL, 1, DIMS(2), VALUES(1, 0));
    qn_ckpt_close(ck);
    ck = open_ok(help_path(dir, "pytorch_model.bin")); /* the file itself */
    assert_int_equal(qn_ckpt_n_tensors(ck), 18);
    qn_ckpt_close(ck);
    qn_ckpt_close(open_ok(model_dir("no_byteorder.bin")));
}

static void test_values(void **state)
{
    static const char *const names[] = {"archive.bin", "protocol4.bin",
                                        "stream.bin"};

    (void)state;
    for (size_t i = 0; i < QN_COUNTOF(names); i++) {
        qn_ckpt *ck = open_ok(model_dir(names[i]));
        expect(ck, "bool", QN_BOOL, 1, DIMS(2), VALUES(1, 0));
        check_model(ck);
        qn_ckpt_close(ck);
    }
}

static void test_sharded(void **state)
{
    qn_ckpt *ck = open_ok(qn_test_data("torch/sharded"));

    (void)state;
    assert_int_equal(qn_ckpt_n_files(ck), 2);
    expect(ck, "x", QN_F32, 1, DIMS(2), VALUES(1, 2));
    expect(ck, "y", QN_F32, 1, DIMS(1), VALUES(3));
    expect(ck, "z", QN_F32, 1, DIMS(1), VALUES(4));
    assert_int_equal(qn_ckpt_find(ck, "z")->file, 1);
    qn_ckpt_close(ck);
    help_refused(qn_test_data("torch/sharded/pytorch_model-00001-of-00002.bin"),
                 QN_EINVAL, WORDS("part 1 of 2"));
}

/* safetensors go first where both are there, as in transformers. */
static void test_choice(void **state)
{
    const char *dir = model_dir("archive.bin");
    qn_ckpt *ck;

    (void)state;
    help_safetensors(
        help_path(dir, "model.safetensors"),
        "{\"s\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1);
    ck = open_ok(dir);
    assert_int_equal(qn_ckpt_n_tensors(ck), 1);
    qn_ckpt_close(ck);
}

/* ---- hostile pickles ---------------------------------------------------- */

static int read_pickle(const char *path, qn_err *err)
{
    qn_pickle_value *v;
    qn_pickle p;
    qn_file f;
    int rc;

    QN_TRY(qn_file_open(&f, path, err));
    rc = qn_pickle_init(&p, &f, 0, f.size, path, err);
    if (rc >= 0)
        rc = qn_pickle_read(&p, &v, err);
    qn_pickle_deinit(&p);
    qn_file_close(&f);
    return rc;
}

static void refuse(const char *path, int code, const char *word)
{
    qn_err err = {0};
    int rc = read_pickle(path, &err);

    if (rc != code || (rc < 0 && !strstr(err.msg, word)))
        fail_msg("%s: %d %s", path, rc, rc < 0 ? err.msg : "read");
}

static void test_hostile(void **state)
{
    static const struct {
        const char *name;
        int code;
        const char *word;
    } cases[] = {
        {"os_system", QN_EUNSUP, "posix.system"},
        {"eval", QN_EUNSUP, "__builtin__.eval"},
        {"eval_p4", QN_EUNSUP, "builtins.eval"},
        {"getattr", QN_EUNSUP, "__builtin__.getattr"},
        {"subprocess", QN_EUNSUP, "subprocess.Popen"},
        {"nested", QN_EUNSUP, "__builtin__.exec"},
        {"reduce_result", QN_EFORMAT, "no function"},
        {"call_type", QN_EUNSUP, "torch.FloatStorage"},
        {"newobj", QN_EUNSUP, "0x81"},
        {"inst", QN_EUNSUP, "0x69 ('i')"},
        {"obj", QN_EUNSUP, "0x6f ('o')"},
        {"extension", QN_EUNSUP, "0x82"},
        {"build_on_class", QN_EFORMAT, "no dict"},
        {"text_opcodes", QN_EUNSUP, "0x49 ('I')"},
        {"self", QN_OK, ""},
        {"memo_number", QN_ELIMIT, "4294967295"},
        {"memo_missing", QN_EFORMAT, "never memorized"},
        {"memo_growth", QN_EFORMAT, "more or less than one"},
        {"long_text", QN_EFORMAT, "cut short"},
        {"long_long", QN_EFORMAT, "cut short"},
        {"underflow", QN_EFORMAT, "empty stack"},
        {"mark_missing", QN_EFORMAT, "mark"},
        {"below_mark", QN_EFORMAT, "empty stack"},
        {"odd_items", QN_EFORMAT, "key without a value"},
        {"append_to_dict", QN_EFORMAT, "no list"},
        {"two_values", QN_EFORMAT, "more or less than one"},
        {"no_stop", QN_EFORMAT, "cut short"},
        {"empty", QN_EFORMAT, "cut short"},
        {"no_dict", QN_OK, ""},
        {"list_of_none", QN_OK, ""},
    };

    (void)state;
    for (size_t i = 0; i < QN_COUNTOF(cases); i++) {
        char path[128];
        snprintf(path, sizeof path, "torch/hostile/%s.pkl", cases[i].name);
        refuse(qn_test_data(path), cases[i].code, cases[i].word);
    }
}

/* A pickle of `head`, n times `body`, and `tail`. */
static const char *bomb(const char *head, size_t n_head, const char *body,
                        size_t n_body, size_t n, const char *tail)
{
    const char *path = help_path(qn_test_tmpdir(), "bomb.pkl");
    qn_str s;

    qn_str_init(&s);
    qn_str_add(&s, head, n_head);
    for (size_t i = 0; i < n; i++)
        qn_str_add(&s, body, n_body);
    qn_str_adds(&s, tail);
    qn_test_write_file(path, s.p, s.n);
    qn_str_deinit(&s);
    return path;
}

static void test_bombs(void **state)
{
    (void)state;
    /* nesting, of marks and of tuples in tuples */
    refuse(bomb("\x80\2", 2, "(", 1, 2000000, "."), QN_ELIMIT, "nested");
    refuse(bomb("\x80\2N", 3, "\x85", 1, 1000000, "."), QN_OK, "");
    /* values, new and remembered */
    refuse(bomb("\x80\2", 2, "N", 1, 9000000, "."), QN_ELIMIT, "values");
    refuse(bomb("\x80\2Nq\0", 5, "h\0", 2, 9000000, "."), QN_ELIMIT, "values");
    refuse(bomb("\x80\2]q\0", 5, "h\0h\0a0", 6, 9000000, "."), QN_ELIMIT,
           "values");
    /* a long list of pairs, made into a dict again and again */
    static const char dict[] = "\x80\2ccollections\nOrderedDict\nq\0000]q\1(";
    qn_str calls;
    qn_str_init(&calls);
    const char *path = bomb(dict, sizeof dict - 1, "NN\x86", 3, 100000, "e0");
    size_t n;
    char *all = qn_test_read_file(path, &n);
    qn_str_add(&calls, all, n);
    for (int i = 0; i < 100; i++)
        qn_str_add(&calls, "h\0h\1\x85R0", 7);
    qn_test_write_file(path, calls.p, calls.n);
    refuse(path, QN_ELIMIT, "values");
    qn_str_deinit(&calls);
    free(all);
}

/* ---- hostile archives --------------------------------------------------- */

static void test_tensors(void **state)
{
    static const struct {
        const char *name;
        int code;
        const char *word;
    } cases[] = {
        {"outside", QN_EFORMAT, "outside of its storage"},
        {"far", QN_EFORMAT, "outside of its storage"},
        {"wide", QN_EFORMAT, "outside of its storage"},
        {"negative", QN_EFORMAT, "no numbers"},
        {"negative_size", QN_EFORMAT, "no numbers"},
        {"uneven", QN_EFORMAT, "no numbers"},
        {"huge", QN_EFORMAT, "64 bits"},
        {"many_dims", QN_EUNSUP, "9 dimensions"},
        {"short_storage", QN_EFORMAT, "storage 0 is missing or shorter"},
        {"no_storage", QN_EFORMAT, "storage 9 is missing"},
        {"parent", QN_EFORMAT, "storage ../data.pkl is missing"},
        {"no_class", QN_EFORMAT, "no type"},
        {"text_numel", QN_EFORMAT, "without a key or a size"},
        {"nul_name", QN_EFORMAT, "not a text"},
        {"bad_name", QN_EFORMAT, "not a text"},
        {"huge_view", QN_EFORMAT, "impossible size"},
        {"compressed", QN_EUNSUP, "compressed"},
    };
    char path[128];

    (void)state;
    qn_ckpt_close(open_ok(model_dir("tensors/good.bin")));
    for (size_t i = 0; i < QN_COUNTOF(cases); i++) {
        snprintf(path, sizeof path, "tensors/%s.bin", cases[i].name);
        help_refused(model_dir(path), cases[i].code, WORDS(cases[i].word));
    }
}

/* Cut at some 500 places, and with a byte turned there, a file is refused in words or gives
 * tensors that lie inside it. */
static void damage(const char *name, bool cut)
{
    const char *dir = model_dir(name);
    const char *path = help_path(dir, "pytorch_model.bin");
    size_t n;
    char *all = qn_test_read_file(path, &n);

    for (size_t at = 0; at < n; at += 1 + n / 500) {
        qn_ckpt *ck = NULL;
        qn_err err = {0};
        char keep = all[at];
        all[at] ^= (char)0xff;
        qn_test_write_file(path, all, cut ? at : n);
        all[at] = keep;
        int rc = qn_ckpt_open(&ck, dir, &err);
        if (cut && rc >= 0)
            fail_msg("%s: opened, cut at %zu", name, at);
        if (rc < 0)
            assert_true(strlen(err.msg) > 10);
        for (size_t i = 0; rc >= 0 && i < qn_ckpt_n_tensors(ck); i++) {
            const qn_tensor *t = qn_ckpt_tensor(ck, i);
            char buf[256];
            if (t->n_bytes <= sizeof buf)
                assert_int_equal(qn_ckpt_read(ck, t, 0, buf, (size_t)t->n_bytes,
                                              NULL),
                                 0);
        }
        qn_ckpt_close(ck);
    }
    free(all);
}

static void test_damaged(void **state)
{
    (void)state;
    damage("no_byteorder.bin", true);
    damage("no_byteorder.bin", false);
    damage("stream.bin", true);
    damage("stream.bin", false);
    damage("archive.bin", false);
}

static void test_out_of_memory(void **state)
{
    static const char *const names[] = {"archive.bin", "stream.bin"};

    (void)state;
    for (size_t i = 0; i < QN_COUNTOF(names); i++) {
        const char *dir = model_dir(names[i]);
        for (int n = 0;; n++) {
            qn_ckpt *ck = NULL;
            qn_mem_fail_after(n);
            int rc = qn_ckpt_open(&ck, dir, NULL);
            if (!qn_mem_fail_after(-1)) {
                assert_int_equal(rc, 0);
                qn_ckpt_close(ck);
                assert_true(n >= 3);
                break;
            }
            assert_int_equal(rc, QN_ENOMEM);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_archive),       cmocka_unit_test(test_values),
        cmocka_unit_test(test_sharded),       cmocka_unit_test(test_choice),
        cmocka_unit_test(test_hostile),       cmocka_unit_test(test_bombs),
        cmocka_unit_test(test_tensors),       cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_out_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
