/* test_safetensors_write.c: what is written reads back, byte for byte, and
 * nothing stands under the name until it is whole. */
#include "ckpt_help.h"

#include "ckpt/safetensors_write.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static void test_round_trip(void **state)
{
    static const char odd[] = "tab\t\"quote\" \\ \xc3\xa9 \xf0\x9f\x98\x80";
    const char *dir = qn_test_tmpdir();
    const char *path = help_path(dir, "a.safetensors");
    const int64_t matrix[] = {3, 5}, empty[] = {4, 0};
    unsigned char data[3 * 5 * 2 + 4], got[30];
    const qn_tensor *t;
    qn_st_writer *w;
    qn_err err = {0};
    qn_ckpt *ck;
    char *raw;
    size_t n;

    (void)state;
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)(i * 7);
    assert_int_equal(qn_st_writer_new(&w, path, &err), 0);
    assert_int_equal(qn_st_writer_declare(w, "m", QN_BF16, 2, matrix, &err), 0);
    assert_int_equal(qn_st_writer_declare(w, "e", QN_F32, 2, empty, &err), 0);
    assert_int_equal(qn_st_writer_declare(w, odd, QN_F32, 0, NULL, &err), 0);
    /* pieces that are not tensors */
    assert_int_equal(qn_st_writer_data(w, data, 1, &err), 0);
    assert_int_equal(qn_st_writer_data(w, data + 1, 30, &err), 0);
    assert_int_equal(qn_st_writer_data(w, data + 31, 3, &err), 0);
    assert_int_equal(qn_st_writer_finish(w, &err), 0);
    qn_st_writer_free(w);
    assert_int_equal(help_n_entries(dir), 1);

    assert_int_equal(qn_ckpt_open_tensors(&ck, path, &err), 0);
    assert_int_equal(qn_ckpt_n_tensors(ck), 3);
    t = qn_ckpt_find(ck, "m");
    assert_int_equal(t->dtype, QN_BF16);
    assert_int_equal(t->shape[0], 3);
    assert_int_equal(t->shape[1], 5);
    assert_int_equal(t->offset % 8, 0);
    assert_int_equal(qn_ckpt_read(ck, t, 0, got, 30, &err), 0);
    assert_memory_equal(got, data, 30);
    assert_int_equal(qn_ckpt_find(ck, "e")->n_bytes, 0);
    t = qn_ckpt_find(ck, odd);
    assert_non_null(t);
    assert_int_equal(t->n_dims, 0);
    assert_int_equal(qn_ckpt_read(ck, t, 0, got, 4, &err), 0);
    assert_memory_equal(got, data + 30, 4);
    qn_ckpt_close(ck);

    /* transformers opens no file without this */
    raw = qn_test_read_file(path, &n);
    assert_memory_equal(raw + 8, "{\"__metadata__\":{\"format\":\"pt\"}", 31);
    free(raw);
}

/* Whatever the header's length, the data begins on a multiple of 8. */
static void test_alignment(void **state)
{
    const char *path = help_path(qn_test_tmpdir(), "a.safetensors");
    char name[10] = "";
    qn_st_writer *w;
    qn_ckpt *ck;

    (void)state;
    for (size_t n = 1; n < sizeof name; n++) {
        memset(name, 'x', n);
        assert_int_equal(qn_st_writer_new(&w, path, NULL), 0);
        assert_int_equal(qn_st_writer_declare(w, name, QN_F32, 0, NULL, NULL),
                         0);
        assert_int_equal(qn_st_writer_data(w, "abcd", 4, NULL), 0);
        assert_int_equal(qn_st_writer_finish(w, NULL), 0);
        qn_st_writer_free(w);
        assert_int_equal(qn_ckpt_open_tensors(&ck, path, NULL), 0);
        assert_int_equal(qn_ckpt_find(ck, name)->offset % 8, 0);
        qn_ckpt_close(ck);
    }
}

static void test_no_tensors(void **state)
{
    const char *path = help_path(qn_test_tmpdir(), "a.safetensors");
    qn_st_writer *w;
    qn_ckpt *ck;

    (void)state;
    assert_int_equal(qn_st_writer_new(&w, path, NULL), 0);
    assert_int_equal(qn_st_writer_finish(w, NULL), 0);
    qn_st_writer_free(w);
    assert_int_equal(qn_ckpt_open_tensors(&ck, path, NULL), 0);
    assert_int_equal(qn_ckpt_n_tensors(ck), 0);
    qn_ckpt_close(ck);
}

static void test_misuse(void **state)
{
    const char *dir = qn_test_tmpdir();
    const char *path = help_path(dir, "a.safetensors");
    const int64_t two[] = {2}, minus[] = {-1};
    const int64_t huge[] = {(int64_t)1 << 62, 8};
    qn_st_writer *w;
    qn_err err = {0};

    (void)state;
    assert_int_equal(qn_st_writer_new(&w, path, &err), 0);
    assert_int_equal(qn_st_writer_declare(w, "a", QN_U8, 1, two, &err), 0);
    assert_int_equal(qn_st_writer_declare(w, "a", QN_U8, 1, two, &err),
                     QN_EINVAL);
    assert_int_equal(qn_st_writer_declare(w, "__metadata__", QN_U8, 1, two,
                                          &err),
                     QN_EINVAL);
    assert_int_equal(qn_st_writer_declare(w, "\xff", QN_U8, 1, two, &err),
                     QN_EINVAL);
    assert_int_equal(qn_st_writer_declare(w, "q", QN_Q8_0, 1, two, &err),
                     QN_EUNSUP);
    assert_int_equal(qn_st_writer_declare(w, "n", QN_U8, 1, minus, &err),
                     QN_EINVAL);
    assert_int_equal(qn_st_writer_declare(w, "h", QN_U8, 2, huge, &err),
                     QN_EINVAL);
    assert_int_equal(qn_st_writer_declare(w, "h", QN_U8, 1, huge, &err), 0);
    assert_int_equal(qn_st_writer_declare(w, "i", QN_U8, 1, huge, &err),
                     QN_ELIMIT);
    qn_st_writer_free(w);
    assert_int_equal(help_n_entries(dir), 0);

    assert_int_equal(qn_st_writer_new(&w, path, &err), 0);
    assert_int_equal(qn_st_writer_declare(w, "a", QN_U8, 1, two, &err), 0);
    assert_int_equal(qn_st_writer_data(w, "xyz", 3, &err), QN_EINVAL);
    assert_int_equal(qn_st_writer_data(w, "x", 1, &err), 0);
    assert_int_equal(qn_st_writer_declare(w, "b", QN_U8, 1, two, &err),
                     QN_EINVAL);
    assert_int_equal(qn_st_writer_finish(w, &err), QN_EINVAL);
    assert_non_null(strstr(err.msg, "1 bytes of data given, 2 declared"));
    qn_st_writer_free(w);
    assert_int_equal(help_n_entries(dir), 0); /* given up without a trace */

    assert_int_equal(qn_st_writer_new(&w, help_path(dir, "no/such/dir"), &err),
                     QN_EIO);
    assert_non_null(strstr(err.msg, "no/such/dir"));
}

/* The disk is full: RLIMIT_FSIZE stands in for it. */
static void test_full_disk(void **state)
{
    const char *dir = qn_test_tmpdir();
    const int64_t n[] = {4 << 20};
    unsigned char *zeros = calloc(1, 4 << 20);
    struct rlimit old, tight = {1 << 20, RLIM_INFINITY};
    qn_st_writer *w;
    qn_err err = {0};
    int rc;

    (void)state;
    assert_non_null(zeros);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    tight.rlim_max = old.rlim_max;
    assert_int_equal(qn_st_writer_new(&w, help_path(dir, "a"), &err), 0);
    assert_int_equal(qn_st_writer_declare(w, "a", QN_U8, 1, n, &err), 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
    rc = qn_st_writer_data(w, zeros, 4 << 20, &err);
    if (rc == 0)
        rc = qn_st_writer_finish(w, &err);
    qn_st_writer_free(w);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(rc, QN_EIO);
    assert_non_null(strstr(err.msg, "cannot write"));
    assert_int_equal(help_n_entries(dir), 0);
    free(zeros);
}

/* A pipe gets the bytes and stays one. */
static void test_to_pipe(void **state)
{
    const char *path = help_path(qn_test_tmpdir(), "pipe");
    const int64_t one[] = {4};
    char got[256] = "";
    qn_st_writer *w;
    struct stat st;
    qn_err err;

    (void)state;
    assert_int_equal(mkfifo(path, 0600), 0);
    int fd = open(path, O_RDONLY | O_NONBLOCK);
    assert_int_equal(qn_st_writer_new(&w, path, &err), 0);
    assert_int_equal(qn_st_writer_declare(w, "a", QN_U8, 1, one, &err), 0);
    assert_int_equal(qn_st_writer_data(w, "mill", 4, &err), 0);
    assert_int_equal(qn_st_writer_finish(w, &err), 0);
    qn_st_writer_free(w);
    ssize_t n = read(fd, got, sizeof got);
    assert_true(n > 12);
    assert_memory_equal(got + n - 4, "mill", 4);
    assert_true(lstat(path, &st) == 0 && S_ISFIFO(st.st_mode));
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_alignment),
        cmocka_unit_test(test_no_tensors), cmocka_unit_test(test_misuse),
        cmocka_unit_test(test_full_disk),  cmocka_unit_test(test_to_pipe),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
