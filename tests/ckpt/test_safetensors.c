/* test_safetensors.c: which files are accepted and what is read from them,
 * against the verdicts of the reference implementation. */
#include "ckpt_help.h"

#include "base/json.h"
#include "base/mem.h"
#include "tensor/dtype.h"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

/* ---- verdicts ---------------------------------------------------------- */

/* Unit-test files of the reference, with the error that each must give. */
static void test_conformance(void **state)
{
    const char *dir = qn_test_shared("data/conformance/safetensors");
    json_t *all, *row;
    size_t i;

    (void)state;
    if (!dir)
        QN_SKIP("no shared data");
    assert_int_equal(qn_json_load(&all, help_path(dir, "manifest.json"),
                                  1 << 20, NULL),
                     0);
    assert_true(json_array_size(all) >= 16);
    json_array_foreach(all, i, row)
    {
        const char *file = json_string_value(json_object_get(row, "file"));
        const char *want = json_string_value(json_object_get(row, "expect"));
        qn_ckpt *ck = NULL;
        qn_err err = {0};
        int rc = qn_ckpt_open_tensors(&ck, help_path(dir, file), &err);
        if ((rc == 0) != qn_starts(want, "ok"))
            fail_msg("%s: %s expected, got %d %s", file, want, rc, err.msg);
        if (rc < 0)
            assert_int_equal(rc, QN_EFORMAT);
        qn_ckpt_close(ck);
    }
    qn_test_result("Files", "safetensors: files to accept or refuse",
                   json_array_size(all), json_array_size(all), "");
    json_decref(all);
}

#define T4(name, from, to)                                                  \
    "\"" name "\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[" from \
    "," to "]}"

/* Headers, bytes of data, and what the reference says of them. */
static const struct {
    const char *header;
    size_t n_data;
    bool ok;
} verdicts[] = {
    {"{}", 0, true},
    {" \n\t\r{} \n\t\r", 0, true},
    {"", 0, false},
    {"{}x", 0, false},
    {"{}{}", 0, false},
    {"[]", 0, false},
    {"null", 0, false},
    {"{}", 1, false},
    {"{" T4("a", "0", "4") "}", 4, true},
    {"{" T4("a", "0", "4") "}", 3, false},
    {"{" T4("a", "0", "4") "}", 5, false},
    {"{" T4("a", "4", "8") "," T4("b", "0", "4") "}", 8, true},
    {"{" T4("a", "0", "4") "," T4("b", "0", "4") "}", 4, false},
    {"{" T4("a", "0", "4") "," T4("b", "5", "9") "}", 9, false},
    {"{" T4("a", "1", "5") "}", 5, false},
    {"{" T4("a", "0", "4") "," T4("b", "2", "6") "}", 8, false},
    {"{" T4("a", "0", "4") "," T4("a", "4", "8") "}", 8, false},
    {"{" T4("", "0", "4") "}", 4, true},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],"
     "\"more\":[{}]}}",
     4, true},
    {"{\"__metadata__\":{\"a\":\"b\"}}", 0, true},
    {"{\"__metadata__\":{}}", 0, true},
    {"{\"__metadata__\":null}", 0, true},
    {"{\"__metadata__\":{\"a\":1}}", 0, false},
    {"{\"__metadata__\":{\"a\":null}}", 0, false},
    {"{\"__metadata__\":[]}", 0, false},
    {"{\"__metadata__\":\"a\"}", 0, false},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}", 4,
     true},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[3,0,5],\"data_offsets\":[0,0]}}", 0,
     true},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1.0],\"data_offsets\":[0,4]}}", 4,
     false},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4,
     false},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[\"1\"],\"data_offsets\":[0,4]}}", 4,
     false},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":1,\"data_offsets\":[0,4]}}", 4,
     false},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4]}}", 4,
     false},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,4]}}", 4,
     false},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4,
     false},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]}}", 4,
     false},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4.0]}}", 4,
     false},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, false},
    {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, false},
    {"{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, false},
    {"{\"a\":{\"dtype\":\"f32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4,
     false},
    {"{\"a\":{\"dtype\":\"Q8_0\",\"shape\":[32],\"data_offsets\":[0,34]}}", 34,
     false},
    {"{\"a\":{\"dtype\":32,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, false},
    {"{\"a\":[]}", 0, false},
    {"{\"a\":null}", 0, false},
    /* sub-byte types fill whole bytes */
    {"{\"a\":{\"dtype\":\"F4\",\"shape\":[2,3],\"data_offsets\":[0,3]}}", 3,
     true},
    {"{\"a\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,2]}}", 2,
     false},
    {"{\"a\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,1]}}", 1,
     false},
    {"{\"a\":{\"dtype\":\"F6_E2M3\",\"shape\":[8],\"data_offsets\":[0,6]}}", 6,
     true},
    {"{\"a\":{\"dtype\":\"F6_E3M2\",\"shape\":[6],\"data_offsets\":[0,5]}}", 5,
     false},
    /* products that wrap to the right number */
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4294967296,4294967296],"
     "\"data_offsets\":[0,0]}}",
     0, false},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904],"
     "\"data_offsets\":[0,0]}}",
     0, false},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4,0],"
     "\"data_offsets\":[0,0]}}",
     0, false},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[9223372036854775807],"
     "\"data_offsets\":[0,9223372036854775807]}}",
     0, false},
};

static void test_verdicts(void **state)
{
    const char *path = help_path(qn_test_tmpdir(), "a.safetensors");

    (void)state;
    for (size_t i = 0; i < QN_COUNTOF(verdicts); i++) {
        qn_ckpt *ck = NULL;
        qn_err err = {0};
        int rc;
        help_safetensors(path, verdicts[i].header, verdicts[i].n_data);
        rc = qn_ckpt_open_tensors(&ck, path, &err);
        if ((rc == 0) != verdicts[i].ok)
            fail_msg("%s + %zu: %d %s", verdicts[i].header, verdicts[i].n_data,
                     rc, err.msg);
        if (rc < 0)
            assert_non_null(strstr(err.msg, "a.safetensors"));
        qn_ckpt_close(ck);
    }
}

/* ---- what is read ------------------------------------------------------ */

static const struct {
    const char *name;
    int bits;
} dtypes[] = {
    {"F64", 64},        {"F32", 32},    {"F16", 16},    {"BF16", 16},
    {"F8_E4M3", 8},     {"F8_E5M2", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8},
    {"F8_E5M2FNUZ", 8}, {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"F4", 4},
    {"I8", 8},          {"I16", 16},    {"I32", 32},    {"I64", 64},
    {"U8", 8},          {"U16", 16},    {"U32", 32},    {"U64", 64},
    {"BOOL", 8},        {"C64", 64},
};

static void test_every_dtype(void **state)
{
    const char *path = help_path(qn_test_tmpdir(), "a.safetensors");

    (void)state;
    for (size_t i = 0; i < QN_COUNTOF(dtypes); i++) {
        size_t n = 2 * 3 * 4 * (size_t)dtypes[i].bits / 8;
        const qn_tensor *t;
        qn_ckpt *ck;
        char header[200];
        snprintf(header, sizeof header,
                 "{\"x\":{\"dtype\":\"%s\",\"shape\":[2,3,4],"
                 "\"data_offsets\":[0,%zu]}}",
                 dtypes[i].name, n);
        help_safetensors(path, header, n);
        assert_int_equal(qn_ckpt_open_tensors(&ck, path, NULL), 0);
        t = qn_ckpt_find(ck, "x");
        assert_non_null(t);
        assert_string_equal(qn_dtype_get(t->dtype)->safetensors,
                            dtypes[i].name);
        assert_string_equal(t->format, qn_dtype_get(t->dtype)->name);
        assert_int_equal(t->n_elems, 24);
        assert_int_equal(t->n_bytes, n);
        qn_ckpt_close(ck);
    }
}

static void test_read(void **state)
{
    const char *path = help_path(qn_test_tmpdir(), "a.safetensors");
    const qn_tensor *a, *b;
    unsigned char got[8];
    qn_err err = {0};
    qn_ckpt *ck;

    (void)state;
    help_safetensors(
        path,
        "{\"b\":{\"dtype\":\"U8\",\"shape\":[2,2],\"data_offsets\":[8,12]},"
        "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}",
        12);
    assert_int_equal(qn_ckpt_open_tensors(&ck, path, &err), 0);
    assert_null(qn_ckpt_config(ck));
    assert_null(qn_ckpt_generation_config(ck));
    assert_int_equal(qn_ckpt_container(ck), QN_CKPT_HF);
    assert_string_equal(qn_ckpt_path(ck), path);
    assert_int_equal(qn_ckpt_n_files(ck), 1);
    assert_string_equal(qn_ckpt_file_path(ck, 0), path);
    assert_int_equal(qn_ckpt_n_tensors(ck), 2);
    a = qn_ckpt_tensor(ck, 0);
    b = qn_ckpt_tensor(ck, 1);
    assert_string_equal(a->name, "a"); /* by offset, not as the header says */
    assert_string_equal(b->name, "b");
    assert_ptr_equal(qn_ckpt_find(ck, "b"), b);
    assert_null(qn_ckpt_find(ck, "c"));
    assert_null(qn_ckpt_tensor(ck, 2));
    assert_int_equal(b->n_dims, 2);
    assert_int_equal(b->shape[1], 2);
    assert_int_equal(qn_ckpt_file_size(ck, 0), b->offset + 4);

    assert_int_equal(qn_ckpt_read(ck, b, 1, got, 3, &err), 0);
    assert_memory_equal(got, ((unsigned char[]){9, 10, 11}), 3);
    assert_int_equal(qn_ckpt_read(ck, b, 4, got, 0, &err), 0);
    assert_int_equal(qn_ckpt_read(ck, b, 4, got, 1, &err), QN_EINVAL);
    assert_int_equal(qn_ckpt_read(ck, b, 5, got, 0, &err), QN_EINVAL);
    assert_int_equal(qn_ckpt_read(ck, a, 1, got, SIZE_MAX, &err), QN_EINVAL);
    assert_non_null(strstr(err.msg, "tensor a"));

    /* cut off behind our back: an error, never a signal */
    assert_int_equal(truncate(path, (off_t)b->offset + 2), 0);
    assert_int_equal(qn_ckpt_read(ck, b, 0, got, 4, &err), QN_EFORMAT);
    assert_non_null(strstr(err.msg, "tensor b"));
    qn_ckpt_close(ck);
}

/* Positions beyond 4 GiB; the file is a hole but for its ends. */
static void test_large(void **state)
{
    const char *path = help_path(qn_test_tmpdir(), "a.safetensors");
    const uint64_t big = ((uint64_t)5 << 30) + 3;
    char header[200];
    uint64_t n = 0;
    const qn_tensor *t;
    unsigned char got[4];
    qn_err err = {0};
    qn_ckpt *ck;
    int fd;

    (void)state;
    snprintf(header, sizeof header,
             "{\"x\":{\"dtype\":\"U8\",\"shape\":[%llu],"
             "\"data_offsets\":[0,%llu]},\"y\":{\"dtype\":\"U8\",\"shape\":[4],"
             "\"data_offsets\":[%llu,%llu]}}",
             (unsigned long long)big, (unsigned long long)big,
             (unsigned long long)big, (unsigned long long)big + 4);
    help_safetensors(path, header, 0);
    fd = open(path, O_WRONLY);
    n = 8 + strlen(header) + big;
    if (ftruncate(fd, (off_t)n + 4) != 0 ||
        pwrite(fd, "abcd", 4, (off_t)n) != 4) {
        close(fd);
        QN_SKIP("no room for a file of 5 GiB");
    }
    close(fd);
    assert_int_equal(qn_ckpt_open_tensors(&ck, path, &err), 0);
    t = qn_ckpt_find(ck, "y");
    assert_int_equal(qn_ckpt_read(ck, t, 0, got, 4, &err), 0);
    assert_memory_equal(got, "abcd", 4);
    t = qn_ckpt_find(ck, "x");
    assert_true(t->n_bytes == big);
    assert_int_equal(qn_ckpt_read(ck, t, big - 4, got, 4, &err), 0);
    assert_memory_equal(got, "\0\0\0\0", 4);
    qn_ckpt_close(ck);
}

/* ---- several threads --------------------------------------------------- */

enum {
    MANY = 1 << 20
};

struct reader {
    const qn_ckpt *ck;
    unsigned seed;
    bool ok;
};

static void *read_pieces(void *arg)
{
    struct reader *r = arg;
    const qn_tensor *t = qn_ckpt_tensor(r->ck, 0);
    unsigned char *buf = malloc(MANY);

    r->ok = buf != NULL;
    for (int k = 0; k < 50 && r->ok; k++) {
        size_t at, n;
        r->seed = r->seed * 1664525 + 1013904223;
        at = (r->seed >> 8) % (MANY / 2);
        n = r->seed % (MANY / 2);
        r->ok = qn_ckpt_read(r->ck, t, at, buf, n, NULL) == 0;
        for (size_t i = 0; i < n && r->ok; i++)
            r->ok = buf[i] == (at + i) % 251;
    }
    free(buf);
    return NULL;
}

static void test_threads(void **state)
{
    const char *path = help_path(qn_test_tmpdir(), "a.safetensors");
    struct reader readers[4];
    pthread_t threads[4];
    qn_ckpt *ck;

    (void)state;
    help_safetensors(path,
                     "{\"x\":{\"dtype\":\"U8\",\"shape\":[1048576],"
                     "\"data_offsets\":[0,1048576]}}",
                     MANY);
    assert_int_equal(qn_ckpt_open_tensors(&ck, path, NULL), 0);
    for (unsigned i = 0; i < 4; i++) {
        readers[i] = (struct reader){ck, i + 1, false};
        assert_int_equal(pthread_create(&threads[i], NULL, read_pieces,
                                        &readers[i]),
                         0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_true(readers[i].ok);
    }
    qn_ckpt_close(ck);
}

/* ---- not a safetensors file -------------------------------------------- */

static void test_refused(void **state)
{
    const char *dir = qn_test_tmpdir();
    const char *path = help_path(dir, "a.safetensors");

    (void)state;
    help_refused_tensors(help_path(dir, "none"), QN_ENOENT, WORDS("none"));
    help_refused_tensors(dir, QN_EINVAL, WORDS(dir, "directory"));
    help_write(dir, "a.safetensors", "");
    help_refused_tensors(path, QN_EFORMAT, WORDS(path, "empty"));
    help_write(dir, "a.safetensors",
               "version https://git-lfs.github.com/spec/v1\n"
               "oid sha256:0123456789abcdef\nsize 4976698672\n");
    help_refused_tensors(path, QN_EFORMAT,
                         WORDS(path, "git-lfs pointer", "4.63 GiB",
                               "git lfs pull"));
    help_write(dir, "a.safetensors", "<!DOCTYPE html><html>Not found</html>");
    help_refused_tensors(path, QN_EFORMAT, WORDS("web page", "download"));
    help_write(dir, "a.safetensors", "GGUF\3........................");
    help_refused_tensors(path, QN_EFORMAT, WORDS("GGUF"));
    help_write(dir, "a.safetensors", "PK\3\4....................");
    help_refused_tensors(path, QN_EFORMAT, WORDS("zip", "safetensors"));
    help_write(dir, "a.safetensors", "abcdefghijklmnop");
    help_refused_tensors(path, QN_EFORMAT, WORDS("not a safetensors file"));
    help_write(dir, "a.safetensors", "abc");
    help_refused_tensors(path, QN_EFORMAT, WORDS("3 bytes", "too few"));
    help_safetensors(path, "{" T4("a", "0", "4") "}", 2);
    help_refused_tensors(path, QN_EFORMAT,
                         WORDS("cut short", "66 bytes", "has 64", "download"));
    help_safetensors(path, "{" T4("a", "0", "4") "}", 7);
    help_refused_tensors(path, QN_EFORMAT, WORDS("3 bytes more"));
    help_safetensors(path,
                     "{\"a\":{\"dtype\":\"F32\",\"shape\":[2,3],"
                     "\"data_offsets\":[0,4]}}",
                     4);
    help_refused_tensors(path, QN_EFORMAT,
                         WORDS("tensor a", "24 bytes", "offsets 4"));
    help_safetensors(path,
                     "{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,1],"
                     "\"data_offsets\":[0,1]}}",
                     1);
    help_refused_tensors(path, QN_EUNSUP, WORDS("tensor a", "9 dimensions"));
}

/* A message never carries a name's control characters into a log. */
static void test_hostile_name(void **state)
{
    const char *path = help_path(qn_test_tmpdir(), "a.safetensors");
    qn_ckpt *ck = NULL;
    qn_err err = {0};

    (void)state;
    help_safetensors(path,
                     "{\"a\\n\\u001b[31mERROR\":{\"dtype\":\"X\",\"shape\":[],"
                     "\"data_offsets\":[0,0]}}",
                     0);
    assert_int_equal(qn_ckpt_open_tensors(&ck, path, &err), QN_EFORMAT);
    assert_null(strpbrk(err.msg, "\n\x1b"));
}

static void test_out_of_memory(void **state)
{
    const char *path = help_path(qn_test_tmpdir(), "a.safetensors");
    int n = 0;

    (void)state;
    help_safetensors(path, "{" T4("a", "0", "4") "}", 4);
    for (;; n++) {
        qn_ckpt *ck = NULL;
        int rc;
        qn_mem_fail_after(n);
        rc = qn_ckpt_open_tensors(&ck, path, NULL);
        if (!qn_mem_fail_after(-1)) {
            assert_int_equal(rc, 0);
            qn_ckpt_close(ck);
            break;
        }
        assert_int_equal(rc, QN_ENOMEM);
        assert_null(ck);
    }
    assert_true(n >= 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conformance),
        cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_every_dtype),
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_hostile_name),
        cmocka_unit_test(test_out_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
