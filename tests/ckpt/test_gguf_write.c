/* test_gguf_write.c: what is written reads back, pair by pair and byte by byte,
 * and nothing stands under the name until it is whole. */
#include "ckpt_help.h"

#include "base/file.h"
#include "ckpt/gguf_write.h"

#include <signal.h>
#include <sys/resource.h>

#define OK(call)                     \
    do {                             \
        qn_err err = {0};            \
        if ((call) < 0)              \
            fail_msg("%s", err.msg); \
    } while (0)

static void put_everything(qn_gguf_writer *w)
{
    const qn_view words[] = {qn_view_cstr("a"), qn_view_of("", 0),
                             qn_view_of("x\0y", 3)};
    const int32_t ints[] = {-1, 2};
    const float floats[] = {0.5f, -2};
    const bool bools[] = {true, false};

    OK(qn_gguf_put_str(w, "general.architecture", qn_view_cstr("llama"), &err));
    OK(qn_gguf_put_u32(w, "u", 4000000000u, &err));
    OK(qn_gguf_put_f32(w, "f", 1e-5f, &err));
    OK(qn_gguf_put_bool(w, "b", true, &err));
    OK(qn_gguf_put_strs(w, "words", words, 3, &err));
    OK(qn_gguf_put_array(w, "ints", QN_GGUF_I32, ints, 2, &err));
    OK(qn_gguf_put_array(w, "floats", QN_GGUF_F32, floats, 2, &err));
    OK(qn_gguf_put_array(w, "bools", QN_GGUF_BOOL, bools, 2, &err));
    OK(qn_gguf_put_array(w, "none", QN_GGUF_U16, NULL, 0, &err));
}

static qn_ckpt *open_ok(const char *path)
{
    qn_ckpt *ck;
    OK(qn_ckpt_open(&ck, path, &err));
    return ck;
}

static void check_everything(const qn_ckpt *ck)
{
    const qn_gguf_kv *kv;
    qn_gguf_kv e;
    uint64_t u;
    double f;

    assert_int_equal(qn_ckpt_gguf_n_kv(ck), 9);
    assert_true(qn_ckpt_gguf_u64(ck, "u", &u) && u == 4000000000u);
    assert_true(qn_ckpt_gguf_f64(ck, "f", &f) && f == (double)1e-5f);
    assert_true(qn_ckpt_gguf_u64(ck, "b", &u) && u == 1);
    kv = qn_ckpt_gguf_kv(ck, "words");
    assert_int_equal(kv->n, 3);
    assert_true(qn_view_eq(kv->v.strs[2], qn_view_of("x\0y", 3)));
    kv = qn_ckpt_gguf_kv(ck, "ints");
    assert_true(qn_gguf_elem(kv, 0, &e) && e.v.i == -1);
    assert_int_equal(kv->elem_type, QN_GGUF_I32);
    kv = qn_ckpt_gguf_kv(ck, "floats");
    assert_true(qn_gguf_elem(kv, 1, &e) && e.v.f == -2);
    kv = qn_ckpt_gguf_kv(ck, "bools");
    assert_true(qn_gguf_elem(kv, 0, &e) && e.v.u == 1);
    assert_int_equal(qn_ckpt_gguf_kv(ck, "none")->n, 0);
}

static void test_round_trip(void **state)
{
    const char *dir = qn_test_tmpdir(), *path = help_path(dir, "a.gguf");
    const char *again = help_path(dir, "b.gguf");
    const int64_t matrix[] = {2, 32}, empty[] = {0}, cube[] = {2, 3, 5};
    unsigned char data[36 + 60 + 4], got[60];
    qn_gguf_writer *w;
    const qn_tensor *t;
    qn_ckpt *ck;
    char *one, *two;
    size_t n_one, n_two;

    (void)state;
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)(i * 7);
    OK(qn_gguf_writer_new(&w, path, &err));
    OK(qn_gguf_declare(w, "q", QN_Q4_0, 2, matrix, &err));
    put_everything(w);
    OK(qn_gguf_declare(w, "e", QN_F32, 1, empty, &err));
    OK(qn_gguf_declare(w, "c", QN_BF16, 3, cube, &err));
    OK(qn_gguf_declare(w, "s", QN_I32, 0, NULL, &err));
    OK(qn_gguf_data(w, data, 1, &err)); /* pieces that are not tensors */
    OK(qn_gguf_data(w, data + 1, 90, &err));
    OK(qn_gguf_data(w, data + 91, 9, &err));
    assert_int_equal(help_n_entries(dir), 1); /* under another name */
    assert_false(qn_path_is_file(path));
    OK(qn_gguf_writer_finish(w, &err));
    qn_gguf_writer_free(w);
    assert_int_equal(help_n_entries(dir), 1);

    ck = open_ok(path);
    check_everything(ck);
    assert_int_equal(qn_ckpt_n_tensors(ck), 4);
    t = qn_ckpt_find(ck, "q");
    assert_int_equal(t->dtype, QN_Q4_0);
    assert_int_equal(t->shape[0], 2);
    assert_int_equal(t->shape[1], 32);
    assert_int_equal(t->offset % 32, 0);
    OK(qn_ckpt_read(ck, t, 0, got, 36, &err));
    assert_memory_equal(got, data, 36);
    t = qn_ckpt_find(ck, "c");
    assert_int_equal(t->n_dims, 3);
    assert_int_equal(t->shape[2], 5);
    OK(qn_ckpt_read(ck, t, 0, got, 60, &err));
    assert_memory_equal(got, data + 36, 60);
    OK(qn_ckpt_read(ck, qn_ckpt_find(ck, "s"), 0, got, 4, &err));
    assert_memory_equal(got, data + 96, 4);

    /* carried over pair by pair, it is the same file */
    OK(qn_gguf_writer_new(&w, again, &err));
    for (size_t i = 0; i < qn_ckpt_gguf_n_kv(ck); i++)
        OK(qn_gguf_put_kv(w, qn_ckpt_gguf_kv_at(ck, i), &err));
    OK(qn_gguf_declare(w, "q", QN_Q4_0, 2, matrix, &err));
    OK(qn_gguf_declare(w, "e", QN_F32, 1, empty, &err));
    OK(qn_gguf_declare(w, "c", QN_BF16, 3, cube, &err));
    OK(qn_gguf_declare(w, "s", QN_I32, 0, NULL, &err));
    OK(qn_gguf_data(w, data, sizeof data, &err));
    OK(qn_gguf_writer_finish(w, &err));
    qn_gguf_writer_free(w);
    qn_ckpt_close(ck);
    one = qn_test_read_file(path, &n_one);
    two = qn_test_read_file(again, &n_two);
    assert_int_equal(n_one, n_two);
    assert_memory_equal(one, two, n_one);
    assert_int_equal(n_one % 32, 0); /* llama.cpp's own files are padded too */
    free(one);
    free(two);
}

/* Every format that GGUF has keeps its name and size. */
static void test_formats(void **state)
{
    const char *path = help_path(qn_test_tmpdir(), "a.gguf");
    const int64_t shape[] = {3, 256};
    char data[3 * 256 * 8] = {0};
    qn_gguf_writer *w;
    qn_ckpt *ck;

    (void)state;
    OK(qn_gguf_writer_new(&w, path, &err));
    OK(qn_gguf_put_str(w, "general.architecture", qn_view_cstr("llama"), &err));
    for (int i = 0; i < QN_DTYPE_N; i++) {
        const qn_dtype_row *row = qn_dtype_get((qn_dtype)i);
        int rc = qn_gguf_declare(w, row->name, (qn_dtype)i, 2, shape, NULL);
        assert_int_equal(rc, row->gguf ? 0 : QN_EUNSUP);
    }
    for (int i = 0; i < QN_DTYPE_N; i++) {
        uint64_t bytes;
        if (!qn_dtype_get((qn_dtype)i)->gguf)
            continue;
        OK(qn_dtype_bytes((qn_dtype)i, 3 * 256, &bytes, &err));
        OK(qn_gguf_data(w, data, (size_t)bytes, &err));
    }
    OK(qn_gguf_writer_finish(w, &err));
    qn_gguf_writer_free(w);
    ck = open_ok(path);
    for (int i = 0; i < QN_DTYPE_N; i++)
        if (qn_dtype_get((qn_dtype)i)->gguf)
            assert_int_equal(
                qn_ckpt_find(ck, qn_dtype_get((qn_dtype)i)->name)->dtype, i);
    qn_ckpt_close(ck);
}

static void test_misuse(void **state)
{
    const char *dir = qn_test_tmpdir(), *path = help_path(dir, "a.gguf");
    const int64_t one[] = {1}, five[] = {1, 1, 1, 1, 1}, minus[] = {-1};
    const int64_t half[] = {2, 16}, huge[] = {(int64_t)1 << 62, 8};
    qn_gguf_writer *w;
    qn_err e;

    (void)state;
    OK(qn_gguf_writer_new(&w, path, &err));
    OK(qn_gguf_put_u32(w, "k", 1, &err));
    assert_true(qn_gguf_has_key(w, "k"));
    assert_false(qn_gguf_has_key(w, "l"));
    assert_int_equal(qn_gguf_put_f32(w, "k", 1, &e), QN_EINVAL);
    assert_int_equal(qn_gguf_put_u32(w, "", 1, &e), QN_EINVAL);
    assert_int_equal(qn_gguf_put_u32(w, "\xff", 1, &e), QN_EINVAL);
    assert_int_equal(qn_gguf_put_array(w, "a", QN_GGUF_STR, NULL, 0, &e),
                     QN_EINVAL);
    assert_int_equal(qn_gguf_put_array(w, "a", QN_GGUF_U64, NULL, SIZE_MAX / 4,
                                       &e),
                     QN_EINVAL);
    assert_int_equal(qn_gguf_put_array(w, "a", QN_GGUF_U64, NULL,
                                       (size_t)1 << 40, &e),
                     QN_ELIMIT);
    OK(qn_gguf_declare(w, "t", QN_F32, 1, one, &err));
    assert_int_equal(qn_gguf_declare(w, "t", QN_F32, 1, one, &e), QN_EINVAL);
    assert_int_equal(qn_gguf_declare(w, "", QN_F32, 1, one, &e), QN_EINVAL);
    assert_int_equal(qn_gguf_declare(w, "u", QN_U8, 1, one, &e), QN_EUNSUP);
    assert_int_equal(qn_gguf_declare(w, "v", QN_F32, 5, five, &e), QN_EINVAL);
    assert_int_equal(qn_gguf_declare(w, "x", QN_F32, 1, minus, &e), QN_EINVAL);
    assert_int_equal(qn_gguf_declare(w, "y", QN_Q8_0, 2, half, &e), QN_EINVAL);
    assert_non_null(strstr(e.msg, "q8_0 blocks"));
    assert_true(qn_gguf_declare(w, "z", QN_F32, 2, huge, &e) < 0);
    assert_int_equal(qn_gguf_data(w, "12345", 5, &e), QN_EINVAL);
    assert_int_equal(qn_gguf_put_u32(w, "m", 1, &e), QN_EINVAL);
    assert_int_equal(qn_gguf_declare(w, "n", QN_F32, 1, one, &e), QN_EINVAL);
    qn_gguf_writer_free(w);
    assert_int_equal(help_n_entries(dir), 0);

    OK(qn_gguf_writer_new(&w, path, &err));
    OK(qn_gguf_declare(w, "t", QN_F32, 1, one, &err));
    OK(qn_gguf_data(w, "123", 3, &err));
    assert_int_equal(qn_gguf_writer_finish(w, &e), QN_EINVAL);
    qn_gguf_writer_free(w);
    assert_int_equal(help_n_entries(dir), 0);
    qn_gguf_writer_free(NULL);
    assert_int_equal(qn_gguf_writer_new(&w, help_path(dir, "no/a.gguf"), &e),
                     QN_EIO);
}

/* A disk that fills up (here: a limit on the size of files). */
static void test_full(void **state)
{
    const char *dir = qn_test_tmpdir(), *path = help_path(dir, "a.gguf");
    const int64_t shape[] = {1 << 22};
    struct rlimit before, limit;
    static char data[1 << 20];
    qn_gguf_writer *w;
    qn_err e = {0};
    int rc = 0;

    (void)state;
    help_write(dir, "a.gguf", "old");
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_IGN);
    limit = before;
    limit.rlim_cur = 3 << 20;
    OK(qn_gguf_writer_new(&w, path, &err));
    OK(qn_gguf_declare(w, "t", QN_F32, 1, shape, &err));
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    for (int i = 0; i < 16 && rc == 0; i++)
        rc = qn_gguf_data(w, data, sizeof data, &e);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(rc, QN_EIO);
    assert_non_null(strstr(e.msg, "a.gguf: cannot write"));
    qn_gguf_writer_free(w);
    assert_int_equal(help_n_entries(dir), 1);
    assert_true(qn_path_is_file(path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_formats),
        cmocka_unit_test(test_misuse),
        cmocka_unit_test(test_full),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
