/* test_gguf.c: GGUF files, byte by byte and real ones. */
#include "ckpt_help.h"

#include "base/mem.h"
#include "tensor/dtype.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#define ARCH "general.architecture"

static qn_ckpt *open_ok(const char *path)
{
    qn_ckpt *ck = NULL;
    qn_err err = {0};

    if (qn_ckpt_open(&ck, path, &err) != 0)
        fail_msg("%s: %s", path, err.msg);
    return ck;
}

static const char *new_path(void)
{
    return help_path(qn_test_tmpdir(), "a.gguf");
}

/* ---- metadata ---------------------------------------------------------- */

static void out_all_types(gguf_out *o)
{
    out_kv_str(o, ARCH, "llama");
    out_key(o, "u8", QN_GGUF_U8);
    out_u8(o, 255);
    out_key(o, "i8", QN_GGUF_I8);
    out_u8(o, 0x80);
    out_key(o, "u16", QN_GGUF_U16);
    out_u16(o, 65535);
    out_key(o, "i16", QN_GGUF_I16);
    out_u16(o, 0x8000);
    out_kv_u32(o, "u32", 0xffffffff);
    out_key(o, "i32", QN_GGUF_I32);
    out_u32(o, 0x80000000);
    out_kv_f32(o, "f32", 1e-5f);
    out_kv_bool(o, "bool", true);
    out_key(o, "u64", QN_GGUF_U64);
    out_u64(o, UINT64_MAX);
    out_key(o, "i64", QN_GGUF_I64);
    out_u64(o, (uint64_t)INT64_MIN);
    out_key(o, "f64", QN_GGUF_F64);
    out_f64(o, -1e300);
    out_kv_str(o, "empty", "");
    out_key(o, "strs", QN_GGUF_ARR);
    out_u32(o, QN_GGUF_STR);
    out_u64(o, 3);
    out_str(o, "a");
    out_str(o, "");
    out_str(o, "\xff\xfe"); /* tokens are bytes, not text */
    out_key(o, "i32s", QN_GGUF_ARR);
    out_u32(o, QN_GGUF_I32);
    out_u64(o, 2);
    out_u32(o, 7);
    out_u32(o, (uint32_t)-7);
    out_key(o, "none", QN_GGUF_ARR);
    out_u32(o, QN_GGUF_F32);
    out_u64(o, 0);
    out_key(o, "nested", QN_GGUF_ARR);
    out_u32(o, QN_GGUF_ARR);
    out_u64(o, 2);
    for (int i = 0; i < 2; i++) {
        out_u32(o, QN_GGUF_STR);
        out_u64(o, 1);
        out_str(o, "deep");
    }
    out_kv_u32(o, "last", 42);
}

static void check_all_types(const qn_ckpt *ck)
{
    const qn_gguf_kv *kv;
    qn_gguf_kv e;
    qn_view s;
    uint64_t u;
    double f;

    assert_int_equal(qn_ckpt_gguf_n_kv(ck), 18);
    assert_true(qn_view_eqs(qn_ckpt_gguf_kv_at(ck, 0)->key, ARCH));
    assert_null(qn_ckpt_gguf_kv_at(ck, 18));
    assert_null(qn_ckpt_gguf_kv(ck, "u3"));
    assert_true(qn_ckpt_gguf_u64(ck, "u8", &u) && u == 255);
    assert_false(qn_ckpt_gguf_u64(ck, "i8", &u)); /* negative */
    assert_true(qn_ckpt_gguf_f64(ck, "i8", &f) && f == -128);
    assert_true(qn_ckpt_gguf_u64(ck, "u16", &u) && u == 65535);
    assert_true(qn_ckpt_gguf_f64(ck, "i16", &f) && f == -32768);
    assert_true(qn_ckpt_gguf_u64(ck, "u32", &u) && u == 0xffffffff);
    assert_true(qn_ckpt_gguf_f64(ck, "i32", &f) && f == -2147483648.0);
    assert_true(qn_ckpt_gguf_f64(ck, "f32", &f) && f == (double)1e-5f);
    assert_false(qn_ckpt_gguf_u64(ck, "f32", &u));
    assert_true(qn_ckpt_gguf_u64(ck, "bool", &u) && u == 1);
    assert_false(qn_ckpt_gguf_f64(ck, "bool", &f));
    assert_true(qn_ckpt_gguf_u64(ck, "u64", &u) && u == UINT64_MAX);
    kv = qn_ckpt_gguf_kv(ck, "i64");
    assert_true(kv->type == QN_GGUF_I64 && kv->v.i == INT64_MIN);
    assert_true(qn_ckpt_gguf_f64(ck, "f64", &f) && f == -1e300);
    assert_true(qn_ckpt_gguf_str(ck, "empty", &s) && s.n == 0);
    assert_false(qn_ckpt_gguf_str(ck, "u8", &s));
    assert_false(qn_ckpt_gguf_f64(ck, "empty", &f));

    kv = qn_ckpt_gguf_kv(ck, "strs");
    assert_true(kv->type == QN_GGUF_ARR && kv->elem_type == QN_GGUF_STR);
    assert_int_equal(kv->n, 3);
    assert_true(qn_view_eqs(kv->v.strs[0], "a"));
    assert_true(qn_view_eqs(kv->v.strs[2], "\xff\xfe"));
    assert_true(qn_gguf_elem(kv, 1, &e) && e.type == QN_GGUF_STR);
    assert_false(qn_gguf_elem(kv, 3, &e));
    assert_false(qn_ckpt_gguf_u64(ck, "strs", &u));
    kv = qn_ckpt_gguf_kv(ck, "i32s");
    assert_true(qn_gguf_elem(kv, 1, &e) && e.v.i == -7);
    assert_true(qn_view_eqs(e.key, "i32s"));
    assert_int_equal(qn_ckpt_gguf_kv(ck, "none")->n, 0);
    assert_false(qn_gguf_elem(qn_ckpt_gguf_kv(ck, "none"), 0, &e));
    kv = qn_ckpt_gguf_kv(ck, "nested");
    assert_true(kv->elem_type == QN_GGUF_ARR && kv->n == 2);
    assert_false(qn_gguf_elem(kv, 0, &e));
    assert_true(qn_ckpt_gguf_u64(ck, "last", &u) && u == 42);
}

static void test_metadata(void **state)
{
    const char *path = new_path();

    (void)state;
    for (uint32_t version = 2; version <= 3; version++) {
        gguf_out o;
        qn_ckpt *ck;
        char *text;
        size_t n;
        out_begin(&o, version, 0, 18);
        out_all_types(&o);
        out_finish(&o, path, 0, 0);
        ck = open_ok(path);
        assert_int_equal(qn_ckpt_container(ck), QN_CKPT_GGUF);
        check_all_types(ck);
        assert_int_equal(qn_ckpt_n_tensors(ck), 0);
        assert_null(qn_ckpt_generation_config(ck));
        assert_int_equal(qn_ckpt_side_file(ck, "a.gguf", &text, &n, NULL),
                         QN_ENOENT);
        qn_ckpt_close(ck);
    }
}

/* A vocabulary larger than what is read at once. */
static void test_long_array(void **state)
{
    const char *path = new_path();
    const qn_gguf_kv *kv;
    gguf_out o;
    qn_ckpt *ck;
    char word[32];

    (void)state;
    out_begin(&o, 3, 0, 2);
    out_key(&o, "tokenizer.ggml.tokens", QN_GGUF_ARR);
    out_u32(&o, QN_GGUF_STR);
    out_u64(&o, 100000);
    for (int i = 0; i < 100000; i++) {
        snprintf(word, sizeof word, "token %d", i);
        out_str(&o, word);
    }
    out_kv_str(&o, ARCH, "llama");
    out_finish(&o, path, 0, 0);
    ck = open_ok(path);
    kv = qn_ckpt_gguf_kv(ck, "tokenizer.ggml.tokens");
    assert_true(qn_view_eqs(kv->v.strs[0], "token 0"));
    assert_true(qn_view_eqs(kv->v.strs[99999], "token 99999"));
    assert_int_equal(json_integer_value(
                         json_object_get(qn_ckpt_config(ck), "vocab_size")),
                     100000);
    qn_ckpt_close(ck);
}

/* ---- tensors ----------------------------------------------------------- */

static void test_tensors(void **state)
{
    const char *path = new_path();
    const qn_tensor *t;
    unsigned char got[40];
    qn_err err = {0};
    gguf_out o;
    const void *seen;
    qn_ckpt *ck;

    (void)state;
    out_begin(&o, 3, 5, 2);
    out_kv_u32(&o, "general.alignment", 64);
    out_kv_str(&o, ARCH, "llama");
    /* dims are innermost first in the file */
    out_tensor(&o, "q8", 8, 2, (uint64_t[]){64, 3}, 64);
    out_tensor(&o, "f32", 0, 3, (uint64_t[]){2, 3, 1}, 0);
    out_tensor(&o, "q4k", 12, 1, (uint64_t[]){256}, 320);
    out_tensor(&o, "scalar", 1, 0, NULL, 1024);
    out_tensor(&o, "new", 4242, 2, (uint64_t[]){5, 7}, 512);
    out_finish(&o, path, 64, 1026);
    ck = open_ok(path);
    assert_int_equal(qn_ckpt_n_tensors(ck), 5);
    t = qn_ckpt_tensor(ck, 0);
    assert_string_equal(t->name, "f32");
    assert_int_equal(t->n_dims, 3);
    assert_int_equal(t->shape[0], 1);
    assert_int_equal(t->shape[1], 3);
    assert_int_equal(t->shape[2], 2);
    assert_int_equal(t->n_bytes, 24);
    assert_int_equal(t->offset % 64, 0);
    assert_int_equal(qn_ckpt_read(ck, t, 20, got, 4, &err), 0);
    assert_memory_equal(got, ((unsigned char[]){20, 21, 22, 23}), 4);
    qn_ckpt_will_read(ck, t, 20, 5); /* outside: nothing happens */
    qn_ckpt_will_read(ck, t, 20, 4);
    assert_null(qn_ckpt_view(ck, t, 20, 5));
    assert_null(qn_ckpt_view(ck, t, 25, 0));
    seen = qn_ckpt_view(ck, t, 20, 4);
    if (seen) /* NULL before Linux 5.14 */
        assert_memory_equal(seen, got, 4);

    t = qn_ckpt_find(ck, "q8");
    assert_int_equal(t->dtype, QN_Q8_0);
    assert_string_equal(t->format, "q8_0");
    assert_int_equal(t->n_bytes, 3 * 2 * 34);
    assert_int_equal(qn_ckpt_read(ck, t, 0, got, 34, &err), 0);
    assert_int_equal(got[0], 64);
    t = qn_ckpt_find(ck, "q4k"); /* cannot be decoded yet, can be read */
    assert_string_equal(t->format, "q4_k");
    assert_int_equal(t->n_bytes, 144);
    assert_int_equal(qn_ckpt_read(ck, t, 0, got, 1, &err), 0);
    t = qn_ckpt_find(ck, "scalar");
    assert_int_equal(t->n_dims, 0);
    assert_int_equal(t->n_elems, 1);

    t = qn_ckpt_find(ck, "new"); /* listed, and no more */
    assert_int_equal(t->dtype, QN_DTYPE_N);
    assert_string_equal(t->format, "ggml type 4242");
    assert_int_equal(t->n_elems, 35);
    assert_int_equal(t->n_bytes, 512);
    assert_int_equal(qn_ckpt_read(ck, t, 0, got, 1, &err), QN_EUNSUP);
    assert_non_null(strstr(err.msg, "tensor new"));
    assert_non_null(strstr(err.msg, "ggml type 4242"));
    qn_ckpt_close(ck);
}

static void test_large(void **state)
{
    const char *path = new_path();
    const uint64_t big = (uint64_t)5 << 30;
    const qn_tensor *t;
    gguf_out o;
    qn_ckpt *ck;
    char got[4];
    off_t end;
    int fd;

    (void)state;
    out_begin(&o, 3, 2, 1);
    out_kv_str(&o, ARCH, "llama");
    out_tensor(&o, "x", 24, 2, (uint64_t[]){1 << 15, big >> 15}, 0);
    out_tensor(&o, "y", 24, 1, (uint64_t[]){4}, big);
    out_finish(&o, path, 32, 0);
    help_refused(path, QN_EFORMAT, WORDS("cut short", "5368709"));
    fd = open(path, O_RDWR);
    end = lseek(fd, 0, SEEK_END) + (off_t)big;
    if (ftruncate(fd, end + 4) != 0 || pwrite(fd, "abcd", 4, end) != 4) {
        close(fd);
        QN_SKIP("no room for a file of 5 GiB");
    }
    close(fd);
    ck = open_ok(path);
    t = qn_ckpt_find(ck, "y");
    assert_int_equal(qn_ckpt_read(ck, t, 0, got, 4, NULL), 0);
    assert_memory_equal(got, "abcd", 4);
    t = qn_ckpt_find(ck, "x");
    assert_true(t->n_bytes == big);
    assert_int_equal(qn_ckpt_read(ck, t, big - 4, got, 4, NULL), 0);
    assert_memory_equal(got, "\0\0\0\0", 4);
    qn_ckpt_close(ck);
}

/* ---- split models ------------------------------------------------------ */

static void write_part(const char *path, int i, int n, const char *tensor,
                       int n_announced)
{
    gguf_out o;

    out_begin(&o, 3, 1, i == 1 ? 4 : 2);
    out_key(&o, "split.no", QN_GGUF_U16);
    out_u16(&o, (unsigned)i - 1);
    out_key(&o, "split.count", QN_GGUF_U16);
    out_u16(&o, (unsigned)n);
    if (i == 1) {
        out_kv_str(&o, ARCH, "llama");
        out_key(&o, "split.tensors.count", QN_GGUF_I32);
        out_u32(&o, (uint32_t)n_announced);
    }
    out_tensor(&o, tensor, 24, 1, (uint64_t[]){4}, 0);
    out_finish(&o, path, 32, 4);
}

static void test_split(void **state)
{
    const char *dir = qn_test_tmpdir();
    const char *one = help_path(dir, "m-00001-of-00002.gguf");
    const char *two = help_path(dir, "m-00002-of-00002.gguf");
    const char *alone = help_path(dir, "renamed.gguf");
    qn_ckpt *ck;

    (void)state;
    write_part(one, 1, 2, "a", 2);
    help_refused(one, QN_ENOENT, WORDS("part 2 of 2", two));
    write_part(two, 2, 2, "b", 0);
    ck = open_ok(two); /* any part will do */
    assert_int_equal(qn_ckpt_n_files(ck), 2);
    assert_int_equal(qn_ckpt_n_tensors(ck), 2);
    assert_int_equal(qn_ckpt_find(ck, "b")->file, 1);
    qn_ckpt_close(ck);
    qn_ckpt_close(open_ok(dir));
    write_part(one, 1, 2, "a", 3);
    help_refused(dir, QN_EFORMAT, WORDS("2 tensors", "3 are announced"));
    write_part(one, 1, 2, "b", 2);
    help_refused(dir, QN_EFORMAT, WORDS("tensor b", "second time"));
    write_part(alone, 1, 2, "a", 2);
    help_refused(alone, QN_EFORMAT, WORDS("2 files", "-00001-of-00002.gguf"));
}

/* ---- refused ----------------------------------------------------------- */

static void test_versions(void **state)
{
    const char *dir = qn_test_tmpdir();
    const char *path = help_path(dir, "a.gguf");
    static const struct {
        uint32_t version;
        int code;
        const char *word;
    } cases[] = {
        {1, QN_EUNSUP, "version 1"},
        {4, QN_EUNSUP, "version 4"},
        {0x03000000, QN_EUNSUP, "big-endian"},
        {0x02000000, QN_EUNSUP, "big-endian"},
    };

    (void)state;
    for (size_t i = 0; i < QN_COUNTOF(cases); i++) {
        gguf_out o;
        out_begin(&o, cases[i].version, 0, 0);
        out_finish(&o, path, 0, 0);
        help_refused(path, cases[i].code, WORDS(path, cases[i].word));
    }
    help_write(dir, "a.gguf", "");
    help_refused(path, QN_EFORMAT, WORDS(path, "empty"));
    help_write(dir, "a.gguf", "GGUF\3");
    help_refused(path, QN_EFORMAT, WORDS(path, "cut short"));
    help_write(dir, "a.gguf", "tjgg\1..................");
    help_refused(path, QN_EFORMAT, WORDS(path, "before GGUF"));
    help_write(dir, "a.gguf",
               "version https://git-lfs.github.com/spec/v1\nsize 7\n");
    help_refused(path, QN_EFORMAT, WORDS(path, "git lfs pull"));
    help_write(dir, "a.gguf", "something else");
    help_refused(path, QN_EFORMAT, WORDS(path, "not a GGUF file"));
}

/* One description, and one word of the refusal. */
static void refuse_tensor(uint32_t type, int n_dims, const uint64_t *dims,
                          uint64_t offset, const char *word)
{
    const char *path = new_path();
    gguf_out o;

    out_begin(&o, 3, 1, 1);
    out_kv_str(&o, ARCH, "llama");
    out_tensor(&o, "t.weight", type, n_dims, dims, offset);
    out_finish(&o, path, 32, 64);
    help_refused(path, QN_EFORMAT, WORDS(path, word));
}

static void test_bad_tensors(void **state)
{
    (void)state;
    refuse_tensor(0, 1, (uint64_t[]){17}, 0, "cut short");
    refuse_tensor(0, 1, (uint64_t[]){1}, 64, "cut short");
    refuse_tensor(0, 1, (uint64_t[]){1}, 16, "not aligned");
    refuse_tensor(0, 1, (uint64_t[]){1}, UINT64_MAX - 31, "t.weight");
    refuse_tensor(0, 1, (uint64_t[]){UINT64_MAX}, 0, "64 bits");
    refuse_tensor(0, 2, (uint64_t[]){1ull << 32, 1ull << 32}, 0, "64 bits");
    refuse_tensor(0, 1, (uint64_t[]){1ull << 62}, 0, "64 bits");
    refuse_tensor(0, 1, (uint64_t[]){(1ull << 62) - 1}, 0, "cut short");
    refuse_tensor(0, 5, (uint64_t[]){1, 1, 1, 1, 1}, 0, "5 dimensions");
    refuse_tensor(8, 2, (uint64_t[]){16, 2}, 0, "q8_0 blocks");
    refuse_tensor(9999, 1, (uint64_t[]){1}, 96, "cut short");
}

static void test_bad_sets(void **state)
{
    const char *path = new_path();
    gguf_out o;

    (void)state;
    out_begin(&o, 3, 2, 1);
    out_kv_str(&o, ARCH, "llama");
    out_tensor(&o, "a", 24, 1, (uint64_t[]){33}, 0);
    out_tensor(&o, "b", 24, 1, (uint64_t[]){4}, 32);
    out_finish(&o, path, 32, 64);
    help_refused(path, QN_EFORMAT, WORDS("tensor b overlaps that of a"));

    out_begin(&o, 3, 2, 1);
    out_kv_str(&o, ARCH, "llama");
    out_tensor(&o, "a", 24, 1, (uint64_t[]){4}, 0);
    out_tensor(&o, "a", 24, 1, (uint64_t[]){4}, 32);
    out_finish(&o, path, 32, 64);
    help_refused(path, QN_EFORMAT, WORDS("tensor a", "second time"));

    out_begin(&o, 3, 0, 2);
    out_kv_str(&o, ARCH, "llama");
    out_kv_str(&o, ARCH, "gpt2");
    out_finish(&o, path, 0, 0);
    help_refused(path, QN_EFORMAT, WORDS(ARCH, "second time"));

    for (uint32_t align = 0; align <= 48; align += 48) {
        out_begin(&o, 3, 0, 2);
        out_kv_str(&o, ARCH, "llama");
        out_kv_u32(&o, "general.alignment", align);
        out_finish(&o, path, 0, 0);
        help_refused(path, QN_EFORMAT, WORDS("general.alignment"));
    }
    out_begin(&o, 3, 0, 0);
    out_finish(&o, path, 0, 0);
    help_refused(path, QN_EFORMAT, WORDS("general.architecture"));
    out_begin(&o, 3, 0, 2);
    out_kv_str(&o, "general.type", "adapter");
    out_kv_str(&o, ARCH, "llama");
    out_finish(&o, path, 0, 0);
    help_refused(path, QN_EUNSUP, WORDS("adapter"));
}

static void refuse_kv(void (*put)(gguf_out *o), const char *word)
{
    const char *path = new_path();
    gguf_out o;

    out_begin(&o, 3, 0, 1);
    put(&o);
    out_finish(&o, path, 0, 0);
    help_refused(path, QN_EFORMAT, WORDS(path, word));
}

static void put_bad_type(gguf_out *o)
{
    out_key(o, "k", (qn_gguf_type)13);
    out_u32(o, 0);
}

static void put_bad_bool(gguf_out *o)
{
    out_key(o, "k", QN_GGUF_BOOL);
    out_u8(o, 2);
}

static void put_bad_bools(gguf_out *o)
{
    out_key(o, "k", QN_GGUF_ARR);
    out_u32(o, QN_GGUF_BOOL);
    out_u64(o, 2);
    out_u8(o, 1);
    out_u8(o, 2);
}

static void put_long_string(gguf_out *o)
{
    out_key(o, "k", QN_GGUF_STR);
    out_u64(o, UINT64_MAX - 4);
    out_u64(o, 0);
}

static void put_long_array(gguf_out *o)
{
    out_key(o, "k", QN_GGUF_ARR);
    out_u32(o, QN_GGUF_U64);
    out_u64(o, 1ull << 61); /* times 8 is 0 */
}

static void put_many_strings(gguf_out *o)
{
    out_key(o, "k", QN_GGUF_ARR);
    out_u32(o, QN_GGUF_STR);
    out_u64(o, 3);
    out_u64(o, 0);
    out_u64(o, 0);
}

static void put_deep_array(gguf_out *o)
{
    out_key(o, "k", QN_GGUF_ARR);
    for (int i = 0; i < 100; i++) {
        out_u32(o, QN_GGUF_ARR);
        out_u64(o, 1);
    }
}

static void put_empty_key(gguf_out *o)
{
    out_kv_u32(o, "", 1);
}

static void put_bad_key(gguf_out *o)
{
    out_kv_u32(o, "k\xff", 1);
}

static void test_bad_metadata(void **state)
{
    (void)state;
    refuse_kv(put_bad_type, "value type 13");
    refuse_kv(put_bad_bool, "truth value");
    refuse_kv(put_bad_bools, "truth value");
    refuse_kv(put_long_string, "cut short");
    refuse_kv(put_long_array, "cut short");
    refuse_kv(put_many_strings, "cut short");
    refuse_kv(put_deep_array, "nested");
    refuse_kv(put_empty_key, "key");
    refuse_kv(put_bad_key, "key");
}

/* Counts that a few bytes cannot hold are refused before they cost memory. */
static void test_counts(void **state)
{
    static const uint64_t counts[] = {3, 1000000, 1ull << 40, UINT64_MAX};
    const char *path = new_path();

    (void)state;
    for (size_t i = 0; i < QN_COUNTOF(counts); i++) {
        gguf_out o;
        out_begin(&o, 3, 0, counts[i]);
        out_kv_str(&o, ARCH, "llama");
        out_finish(&o, path, 0, 0);
        help_refused(path, QN_EFORMAT, WORDS(path, "damaged"));
        out_begin(&o, 3, counts[i], 1);
        out_kv_str(&o, ARCH, "llama");
        out_finish(&o, path, 0, 0);
        help_refused(path, QN_EFORMAT, WORDS(path, "damaged"));
    }
}

/* Cut anywhere, a file is refused in words, and never read past its end. */
static void test_every_cut(void **state)
{
    const char *path = new_path();
    gguf_out o;
    char *all;
    size_t n;

    (void)state;
    out_begin(&o, 3, 1, 18);
    out_all_types(&o);
    out_tensor(&o, "t", 24, 1, (uint64_t[]){4}, 0);
    out_finish(&o, path, 32, 4);
    all = qn_test_read_file(path, &n);
    qn_ckpt_close(open_ok(path));
    for (size_t len = 0; len < n; len++) {
        qn_test_write_file(path, all, len);
        help_refused(path, QN_EFORMAT, WORDS(path));
    }
    free(all);
}

static void test_out_of_memory(void **state)
{
    const char *path = new_path();
    gguf_out o;
    int n = 0;

    (void)state;
    out_begin(&o, 3, 1, 18);
    out_all_types(&o);
    out_tensor(&o, "t", 24, 1, (uint64_t[]){4}, 0);
    out_finish(&o, path, 32, 4);
    for (;; n++) {
        qn_ckpt *ck = NULL;
        int rc;
        qn_mem_fail_after(n);
        rc = qn_ckpt_open(&ck, path, NULL);
        if (!qn_mem_fail_after(-1)) {
            assert_int_equal(rc, 0);
            qn_ckpt_close(ck);
            break;
        }
        assert_int_equal(rc, QN_ENOMEM);
        assert_null(ck);
    }
    assert_true(n >= 5);
}

/* ---- real ones --------------------------------------------------------- */

static void test_shared_files(void **state)
{
    static const char *const dirs[] = {"data/models/gguf",
                                       "data/tokenizers/gguf-vocab"};
    int n = 0;

    (void)state;
    for (size_t i = 0; i < QN_COUNTOF(dirs); i++) {
        const char *dir = qn_test_shared(dirs[i]);
        DIR *d;
        if (!dir)
            QN_SKIP("no shared data");
        d = opendir(dir);
        for (struct dirent *e; (e = readdir(d));) {
            qn_ckpt *ck;
            if (!qn_ends(e->d_name, ".gguf"))
                continue;
            ck = open_ok(help_path(dir, e->d_name));
            assert_non_null(qn_ckpt_gguf_kv(ck, "tokenizer.ggml.tokens"));
            assert_true(json_is_integer(
                json_object_get(qn_ckpt_config(ck), "vocab_size")));
            qn_ckpt_close(ck);
            n++;
        }
        closedir(d);
    }
    assert_true(n >= 8);
}

/* The same model in both containers: the embeddings are the same numbers (the
 * projections are not: GGUF keeps q and k in another order). */
static void test_same_as_hf(void **state)
{
    const char *gguf = qn_test_shared("data/models/gguf/stories260K-f32.gguf");
    const char *hf = qn_test_shared("data/models/hf/stories260K");
    static const char *const names[][2] = {
        {"token_embd.weight", "model.embed_tokens.weight"},
        {"blk.4.ffn_down.weight", "model.layers.4.mlp.down_proj.weight"},
        {"output_norm.weight", "model.norm.weight"},
    };
    qn_ckpt *a, *b;

    (void)state;
    if (!gguf || !hf)
        QN_SKIP("no shared data");
    a = open_ok(gguf);
    b = open_ok(hf);
    for (size_t i = 0; i < QN_COUNTOF(names); i++) {
        const qn_tensor *x = qn_ckpt_find(a, names[i][0]);
        const qn_tensor *y = qn_ckpt_find(b, names[i][1]);
        char *p, *q;
        assert_non_null(x);
        assert_non_null(y);
        assert_int_equal(x->dtype, QN_F32);
        assert_int_equal(x->n_dims, y->n_dims);
        assert_memory_equal(x->shape, y->shape, sizeof x->shape);
        assert_int_equal(x->n_bytes, y->n_bytes);
        p = malloc(x->n_bytes);
        q = malloc(y->n_bytes);
        assert_int_equal(qn_ckpt_read(a, x, 0, p, x->n_bytes, NULL), 0);
        assert_int_equal(qn_ckpt_read(b, y, 0, q, y->n_bytes, NULL), 0);
        assert_memory_equal(p, q, x->n_bytes);
        free(p);
        free(q);
    }
    qn_ckpt_close(a);
    qn_ckpt_close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_metadata),
        cmocka_unit_test(test_long_array),
        cmocka_unit_test(test_tensors),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_bad_tensors),
        cmocka_unit_test(test_bad_sets),
        cmocka_unit_test(test_bad_metadata),
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_every_cut),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_shared_files),
        cmocka_unit_test(test_same_as_hf),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
