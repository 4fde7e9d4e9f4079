/* Files: what opens, what is read, what an interrupted write leaves. */
#include "testing.h"

#include "base/file.h"
#include "base/mem.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static char *in_tmp(const char *name)
{
    static const char *dir; /* every call of qn_test_tmpdir makes a new one */
    if (!dir)
        dir = qn_test_tmpdir();
    return qn_path_join(dir, name);
}

static void test_read(void **state)
{
    (void)state;
    char *path = in_tmp("data");
    char bytes[5000];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i * 7);
    qn_test_write_file(path, bytes, sizeof bytes);

    qn_err e;
    qn_file f;
    assert_int_equal(qn_file_open(&f, path, &e), QN_OK);
    assert_int_equal(f.size, sizeof bytes);
    assert_string_equal(f.path, path);
    char got[100];
    assert_int_equal(qn_file_pread(&f, got, 4900, 100, &e), QN_OK);
    assert_memory_equal(got, bytes + 4900, 100);
    assert_int_equal(qn_file_pread(&f, got, 5000, 0, &e), QN_OK);
    assert_int_equal(qn_file_pread(&f, got, 4901, 100, &e), QN_EFORMAT);
    assert_non_null(strstr(e.msg, path));
    assert_non_null(strstr(e.msg, "5000"));
    assert_int_equal(qn_file_pread(&f, got, UINT64_MAX - 5, 100, &e),
                     QN_EFORMAT);
    assert_int_equal(qn_file_pread(&f, got, INT64_MAX, 100, &e), QN_EFORMAT);

    const void *m;
    assert_int_equal(qn_file_map(&f, &m, &e), QN_OK);
    assert_memory_equal(m, bytes, sizeof bytes);
    qn_file_unmap(&f, m);
    qn_file_close(&f);
    assert_int_equal(f.fd, -1);
    qn_file_close(&f);

    char *text;
    size_t n;
    assert_int_equal(qn_file_slurp(&text, &n, path, 5000, &e), QN_OK);
    assert_int_equal(n, 5000);
    assert_memory_equal(text, bytes, n);
    assert_int_equal(text[n], 0);
    qn_free(text);
    assert_int_equal(qn_file_slurp(&text, &n, path, 4999, &e), QN_ELIMIT);
    qn_mem_fail_after(0);
    assert_int_equal(qn_file_slurp(&text, &n, path, 5000, &e), QN_ENOMEM);
    assert_true(qn_mem_fail_after(-1));
    qn_free(path);
}

static void test_populate(void **state)
{
    (void)state;
    char *path = in_tmp("mapped");
    qn_test_write_file(path, "0123456789", 10);
    qn_err e;
    qn_file f;
    const void *m;
    assert_int_equal(qn_file_open(&f, path, &e), QN_OK);
    assert_int_equal(qn_file_map(&f, &m, &e), QN_OK);
    if (qn_file_populate(m, 10)) { /* false before Linux 5.14 */
        assert_true(qn_file_populate((const char *)m + 3, 1));
        assert_int_equal(truncate(path, 0), 0);
        assert_false(qn_file_populate(m, 1)); /* no signal */
    }
    qn_file_unmap(&f, m);
    qn_file_close(&f);
    qn_free(path);
}

static void test_empty(void **state)
{
    (void)state;
    char *path = in_tmp("empty");
    qn_test_write_file(path, "", 0);
    qn_err e;
    qn_file f;
    const void *m = &e;
    assert_int_equal(qn_file_open(&f, path, &e), QN_OK);
    assert_int_equal(qn_file_map(&f, &m, &e), QN_OK);
    assert_null(m);
    qn_file_unmap(&f, m);
    qn_file_close(&f);
    char *text;
    size_t n = 9;
    assert_int_equal(qn_file_slurp(&text, &n, path, 0, &e), QN_OK);
    assert_int_equal(n, 0);
    assert_string_equal(text, "");
    qn_free(text);
    qn_free(path);
}

static void test_refused(void **state)
{
    (void)state;
    qn_err e;
    qn_file f = {.fd = 12345};
    char *none = in_tmp("none"), *fifo = in_tmp("fifo"), *link = in_tmp("link");
    assert_int_equal(qn_file_open(&f, none, &e), QN_ENOENT);
    assert_int_equal(f.fd, 12345); /* untouched */
    assert_non_null(strstr(e.msg, none));
    assert_int_equal(qn_file_open(&f, qn_test_tmpdir(), &e), QN_EINVAL);
    assert_non_null(strstr(e.msg, "directory"));
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(qn_file_open(&f, fifo, &e), QN_EINVAL); /* no hang */
    assert_int_equal(symlink("link", link), 0);
    assert_int_equal(qn_file_open(&f, link, &e), QN_EIO);
    qn_free(none);
    qn_free(fifo);
    qn_free(link);
}

/* A file that shrinks after it was opened is an error, not a crash. */
static void test_cut_short(void **state)
{
    (void)state;
    char *path = in_tmp("shrinks");
    char bytes[100] = {0}, got[100];
    qn_test_write_file(path, bytes, sizeof bytes);
    qn_err e;
    qn_file f;
    assert_int_equal(qn_file_open(&f, path, &e), QN_OK);
    assert_int_equal(truncate(path, 50), 0);
    assert_int_equal(qn_file_pread(&f, got, 0, 100, &e), QN_EFORMAT);
    assert_non_null(strstr(e.msg, "byte 50"));
    qn_file_close(&f);
    qn_free(path);
}

static int entries(const char *dir)
{
    DIR *d = opendir(dir);
    int n = 0;
    for (struct dirent *i; (i = readdir(d));)
        n += i->d_name[0] != '.';
    closedir(d);
    return n;
}

static void test_write(void **state)
{
    (void)state;
    qn_err e;
    char *dir = in_tmp("out"), *path = qn_path_join(dir, "file");
    assert_int_equal(qn_file_check_write(path, &e), QN_ENOENT);
    assert_int_equal(qn_file_write(path, "x", 1, &e), QN_ENOENT);
    assert_int_equal(qn_mkdirs(dir, &e), QN_OK);
    assert_int_equal(qn_file_check_write(dir, &e), QN_EIO);
    assert_int_equal(qn_file_check_write(path, &e), QN_OK);
    assert_int_equal(qn_file_check_write("here", &e), QN_OK);
    assert_int_equal(qn_file_check_write("/dev/null", &e), QN_OK);
    assert_true(qn_file_check_write("/dev/null/x", &e) < 0);
    assert_int_equal(entries(dir), 0);
    for (int i = 0; i < 3; i++) {
        size_t n;
        assert_int_equal(qn_file_write(path, "hello", (size_t)i, &e), QN_OK);
        char *text = qn_test_read_file(path, &n);
        assert_int_equal(n, i);
        assert_memory_equal(text, "hello", n);
        free(text);
    }
    assert_int_equal(entries(dir), 1); /* nothing temporary stays */
    /* A folder cannot be replaced: refused, and cleaned up behind. */
    assert_int_equal(qn_file_write(dir, "x", 1, &e), QN_EIO);
    qn_free(path);
    path = in_tmp("");
    assert_true(qn_path_is_dir(dir));
    DIR *d = opendir(path);
    for (struct dirent *i; (i = readdir(d));)
        assert_null(strstr(i->d_name, ".tmp."));
    closedir(d);
    qn_free(path);
    qn_free(dir);
}

/* What is no file is written to and not replaced; a link stays one. */
static void test_write_special(void **state)
{
    (void)state;
    qn_err e;
    struct stat st;
    char got[8] = "";
    size_t n;
    char *pipe = in_tmp("to-pipe"), *file = in_tmp("target"),
         *link = in_tmp("to-target");
    assert_int_equal(mkfifo(pipe, 0600), 0);
    int fd = open(pipe, O_RDONLY | O_NONBLOCK);
    assert_int_equal(qn_file_write(pipe, "abc", 3, &e), QN_OK);
    assert_int_equal(read(fd, got, sizeof got), 3);
    assert_memory_equal(got, "abc", 3);
    close(fd);
    assert_true(lstat(pipe, &st) == 0 && S_ISFIFO(st.st_mode));

    qn_test_write_file(file, "old", 3);
    assert_int_equal(symlink("target", link), 0);
    assert_int_equal(qn_file_write(link, "new", 3, &e), QN_OK);
    assert_true(lstat(link, &st) == 0 && S_ISLNK(st.st_mode));
    char *text = qn_test_read_file(file, &n);
    assert_string_equal(text, "new");
    free(text);
    assert_int_equal(qn_file_write("/dev/fd/777", "x", 1, &e), QN_ENOENT);

    /* Not all that lies under /dev is a device. */
    char in_memory[] = "/dev/shm/quern-test-XXXXXX";
    if (mkdtemp(in_memory)) {
        char *plain = qn_path_join(in_memory, "plain");
        assert_int_equal(qn_file_write(plain, "abc", 3, &e), QN_OK);
        assert_true(qn_path_is_file(plain));
        unlink(plain);
        rmdir(in_memory);
        qn_free(plain);
    }
    unlink(pipe);
    unlink(file);
    unlink(link);
    qn_free(pipe);
    qn_free(file);
    qn_free(link);
}

static void test_paths(void **state)
{
    (void)state;
    qn_err e;
    char *p = qn_path_join("a", "b"), *q = qn_path_join("a/", "b"),
         *r = qn_path_join("", "b"), *root = qn_path_join("/", "b");
    assert_string_equal(p, "a/b");
    assert_string_equal(q, "a/b");
    assert_string_equal(r, "b");
    assert_string_equal(root, "/b");
    qn_free(p);
    qn_free(q);
    qn_free(r);
    qn_free(root);

    char *deep = in_tmp("x/y//z/"), *file = in_tmp("plain"),
         *under = in_tmp("plain/sub");
    assert_int_equal(qn_mkdirs(deep, &e), QN_OK);
    assert_int_equal(qn_mkdirs(deep, &e), QN_OK);
    assert_true(qn_path_is_dir(deep));
    assert_false(qn_path_is_file(deep));
    qn_test_write_file(file, "x", 1);
    assert_true(qn_path_is_file(file));
    assert_false(qn_path_is_dir(file));
    assert_string_equal(qn_path_kind(file), "a file");
    assert_string_equal(qn_path_kind(deep), "a directory");
    assert_string_equal(qn_path_kind("/dev/null"), "a device");
    assert_null(qn_path_kind(under));
    assert_true(qn_mkdirs(under, &e) < 0);
    assert_true(qn_mkdirs(file, &e) < 0);
    qn_free(deep);
    qn_free(file);
    qn_free(under);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),      cmocka_unit_test(test_populate),
        cmocka_unit_test(test_empty),     cmocka_unit_test(test_refused),
        cmocka_unit_test(test_cut_short), cmocka_unit_test(test_write),
        cmocka_unit_test(test_paths),     cmocka_unit_test(test_write_special),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
