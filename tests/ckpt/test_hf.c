/* test_hf.c: model directories, whole, sharded, incomplete and wrong. */
#include "ckpt_help.h"

#include "base/file.h"
#include "base/mem.h"
#include "ckpt/safetensors_write.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONFIG "{\"model_type\": \"llama\", \"n\": 7}"

/* A file with u8 tensors [4] of these names (a NULL-terminated list); the
 * bytes of one are its name's first letter. */
static void write_shard(const char *dir, const char *name,
                        const char *const *tensors)
{
    const int64_t four[] = {4};
    qn_st_writer *w;

    assert_int_equal(qn_st_writer_new(&w, help_path(dir, name), NULL), 0);
    for (const char *const *t = tensors; *t; t++)
        assert_int_equal(qn_st_writer_declare(w, *t, QN_U8, 1, four, NULL), 0);
    for (const char *const *t = tensors; *t; t++) {
        char data[4] = {**t, **t, **t, **t};
        assert_int_equal(qn_st_writer_data(w, data, 4, NULL), 0);
    }
    assert_int_equal(qn_st_writer_finish(w, NULL), 0);
    qn_st_writer_free(w);
}

static qn_ckpt *open_ok(const char *path)
{
    qn_ckpt *ck = NULL;
    qn_err err = {0};

    if (qn_ckpt_open(&ck, path, &err) != 0)
        fail_msg("%s: %s", path, err.msg);
    return ck;
}

static void check_byte(const qn_ckpt *ck, const char *tensor, char want)
{
    const qn_tensor *t = qn_ckpt_find(ck, tensor);
    char got;

    assert_non_null(t);
    assert_int_equal(qn_ckpt_read(ck, t, 3, &got, 1, NULL), 0);
    assert_int_equal(got, want);
}

/* ---- what opens -------------------------------------------------------- */

static void test_single(void **state)
{
    const char *dir = qn_test_tmpdir();
    qn_ckpt *ck;
    char *text;
    size_t n;

    (void)state;
    help_write(dir, "config.json", CONFIG);
    help_write(dir, "generation_config.json", "{\"temperature\": 0.5}");
    help_write(dir, "merges.txt", "a b\n");
    write_shard(dir, "model.safetensors", WORDS("x", "y"));
    write_shard(dir, "other.safetensors", WORDS("z")); /* not looked at */
    ck = open_ok(dir);
    assert_int_equal(qn_ckpt_container(ck), QN_CKPT_HF);
    assert_string_equal(qn_ckpt_path(ck), dir);
    assert_int_equal(qn_ckpt_n_tensors(ck), 2);
    assert_int_equal(
        json_integer_value(json_object_get(qn_ckpt_config(ck), "n")), 7);
    assert_true(json_is_real(
        json_object_get(qn_ckpt_generation_config(ck), "temperature")));
    check_byte(ck, "y", 'y');
    assert_int_equal(qn_ckpt_side_file(ck, "merges.txt", &text, &n, NULL), 0);
    assert_int_equal(n, 4);
    assert_string_equal(text, "a b\n");
    qn_free(text);
    assert_int_equal(qn_ckpt_side_file(ck, "vocab.json", &text, &n, NULL),
                     QN_ENOENT);
    assert_int_equal(qn_ckpt_side_file(ck, "../passwd", &text, &n, NULL),
                     QN_ENOENT);
    assert_int_equal(qn_ckpt_gguf_n_kv(ck), 0);
    assert_null(qn_ckpt_gguf_kv(ck, "general.architecture"));
    qn_ckpt_close(ck);

    /* by its file; with a slash behind the directory */
    ck = open_ok(help_path(dir, "other.safetensors"));
    check_byte(ck, "z", 'z');
    assert_non_null(qn_ckpt_config(ck));
    assert_int_equal(qn_ckpt_side_file(ck, "merges.txt", &text, &n, NULL), 0);
    qn_free(text);
    qn_ckpt_close(ck);
    qn_ckpt_close(open_ok(help_path(dir, "")));
    qn_ckpt_close(NULL);
}

static void test_sharded(void **state)
{
    const char *dir = qn_test_tmpdir();
    qn_ckpt *ck;

    (void)state;
    help_write(dir, "config.json", CONFIG);
    help_write(dir, "model.safetensors.index.json",
               "{\"metadata\": {\"total_size\": 16}, \"weight_map\": {"
               "\"c\": \"model-00002-of-00002.safetensors\","
               "\"a\": \"model-00001-of-00002.safetensors\","
               "\"twice\": \"model-00002-of-00002.safetensors\","
               "\"b\": \"model-00001-of-00002.safetensors\"}}");
    write_shard(dir, "model-00001-of-00002.safetensors",
                WORDS("b", "a", "twice"));
    write_shard(dir, "model-00002-of-00002.safetensors",
                WORDS("c", "twice", "extra"));
    ck = open_ok(dir);
    assert_int_equal(qn_ckpt_n_files(ck), 2);
    assert_int_equal(qn_ckpt_n_tensors(ck), 5);
    assert_string_equal(qn_ckpt_tensor(ck, 0)->name, "b");
    assert_string_equal(qn_ckpt_tensor(ck, 2)->name, "c");
    assert_int_equal(qn_ckpt_find(ck, "twice")->file, 1); /* as promised */
    check_byte(ck, "a", 'a');
    check_byte(ck, "c", 'c');
    check_byte(ck, "extra", 'e');
    qn_ckpt_close(ck);

    help_refused(help_path(dir, "model-00001-of-00002.safetensors"), QN_EINVAL,
                 WORDS("part 1 of 2", dir));
}

/* Names other than transformers' own, as long as there is no choice. */
static void test_other_names(void **state)
{
    const char *dir = qn_test_tmpdir();
    qn_ckpt *ck;

    (void)state;
    help_write(dir, "config.json", CONFIG);
    write_shard(dir, "adapter_model.safetensors", WORDS("q"));
    write_shard(dir, "weights-00001-of-00002.safetensors", WORDS("x"));
    help_refused(dir, QN_ENOENT,
                 WORDS("1 of 2", "weights-00002-of-00002.safetensors"));
    write_shard(dir, "weights-00002-of-00002.safetensors", WORDS("y"));
    ck = open_ok(dir);
    check_byte(ck, "x", 'x');
    check_byte(ck, "y", 'y');
    qn_ckpt_close(ck);

    write_shard(dir, "b.safetensors", WORDS("z"));
    help_refused(dir, QN_EINVAL,
                 WORDS("2 sets", "b.safetensors", "weights-00001-of-00002"));
    help_write(dir, "w.safetensors.index.json",
               "{\"weight_map\": {\"z\": \"b.safetensors\"}}");
    ck = open_ok(dir);
    assert_int_equal(qn_ckpt_n_tensors(ck), 1);
    qn_ckpt_close(ck);
}

static void write_gguf(const char *path)
{
    gguf_out o;

    out_begin(&o, 3, 0, 1);
    out_kv_str(&o, "general.architecture", "llama");
    out_finish(&o, path, 0, 0);
}

/* A folder of quantized versions, as they are downloaded. */
static void test_gguf_folder(void **state)
{
    const char *dir = qn_test_tmpdir();
    qn_ckpt *ck;
    char *text;
    size_t n;

    (void)state;
    help_write(dir, "config.json", CONFIG);
    help_write(dir, "README.md", "# a model");
    write_gguf(help_path(dir, "m-q8_0.gguf"));
    write_gguf(help_path(dir, "mmproj-f16.gguf"));
    ck = open_ok(dir);
    assert_int_equal(qn_ckpt_container(ck), QN_CKPT_GGUF);
    assert_string_equal(qn_ckpt_file_path(ck, 0),
                        help_path(dir, "m-q8_0.gguf"));
    assert_int_equal(qn_ckpt_side_file(ck, "README.md", &text, &n, NULL),
                     QN_ENOENT);
    qn_ckpt_close(ck);
    write_gguf(help_path(dir, "m-q4_0.gguf"));
    help_refused(dir, QN_EINVAL,
                 WORDS("2 GGUF files", "m-q4_0.gguf, m-q8_0.gguf"));
}

/* The hub's cache: links by name to blobs. */
static void test_hub_cache(void **state)
{
    const char *dir = qn_test_tmpdir();
    const char *blobs = help_path(dir, "blobs");
    const char *snap = help_path(dir, "snapshots/abc123");
    const char *other = help_path(dir, "snapshots/def456");

    (void)state;
    assert_int_equal(qn_mkdirs(blobs, NULL), 0);
    assert_int_equal(qn_mkdirs(snap, NULL), 0);
    help_write(blobs, "0a1b", CONFIG);
    write_shard(blobs, "2c3d", WORDS("x"));
    assert_int_equal(symlink("../../blobs/0a1b",
                             help_path(snap, "config.json")),
                     0);
    assert_int_equal(symlink("../../blobs/2c3d",
                             help_path(snap, "model.safetensors")),
                     0);
    qn_ckpt_close(open_ok(dir)); /* the only revision */
    qn_ckpt_close(open_ok(snap));
    qn_ckpt_close(open_ok(help_path(snap, "model.safetensors")));

    assert_int_equal(qn_mkdirs(other, NULL), 0);
    help_refused(dir, QN_ENOENT, WORDS(dir));
    assert_int_equal(qn_mkdirs(help_path(dir, "refs"), NULL), 0);
    help_write(dir, "refs/main", "abc123\n");
    qn_ckpt_close(open_ok(dir));
    help_write(dir, "refs/main", "abc123/../abc123");
    help_refused(dir, QN_ENOENT, WORDS(dir));
}

/* Numbers that Python writes and JSON has not come as transformers 5 writes
 * them. */
static void test_python_floats(void **state)
{
    const char *dir = qn_test_tmpdir();
    json_t *want = json_loads("{\"a\": [0.0, {\"__float__\": \"Infinity\"}],"
                              "\"b\": {\"__float__\": \"-Infinity\"},"
                              "\"c\": {\"__float__\": \"NaN\"},"
                              "\"d\": \"\\\"Infinity, NaN\\\\\"}",
                              0, NULL);
    qn_ckpt *ck;

    (void)state;
    assert_non_null(want);
    write_shard(dir, "model.safetensors", WORDS("x"));
    help_write(dir, "config.json",
               "{\"a\": [0.0, Infinity], \"b\": -Infinity, \"c\":NaN,"
               "\"d\": \"\\\"Infinity, NaN\\\\\"}");
    ck = open_ok(dir);
    assert_true(json_equal(want, (json_t *)qn_ckpt_config(ck)));
    json_decref(want);
    qn_ckpt_close(ck);
    help_write(dir, "config.json", "{\"a\": Infinity1}");
    help_refused(dir, QN_EFORMAT, WORDS("config.json"));
    help_write(dir, "config.json", "{Infinity: 1}");
    help_refused(dir, QN_EFORMAT, WORDS("config.json"));
}

/* ---- what does not ----------------------------------------------------- */

static void test_incomplete(void **state)
{
    const char *dir = qn_test_tmpdir();

    (void)state;
    help_refused(help_path(dir, "none"), QN_ENOENT, WORDS("none", "directory"));
    help_refused("", QN_EINVAL, WORDS("path"));
    help_refused(dir, QN_ENOENT, WORDS(dir, "not a model directory"));
    help_write(dir, "config.json", CONFIG);
    help_refused(dir, QN_ENOENT, WORDS(dir, "no weights", "model.safetensors"));
    write_shard(dir, "model.safetensors", WORDS("x"));
    qn_ckpt_close(open_ok(dir));
    help_write(dir, "config.json", "{\"model_type\": }");
    help_refused(dir, QN_EFORMAT, WORDS("config.json"));
    help_write(dir, "config.json", "[]");
    help_refused(dir, QN_EFORMAT, WORDS("config.json", "object"));
    help_write(dir, "config.json",
               "version https://git-lfs.github.com/spec/v1\nsize 12\n");
    help_refused(dir, QN_EFORMAT, WORDS("config.json", "git lfs pull"));
    unlink(help_path(dir, "config.json"));
    help_refused(dir, QN_ENOENT, WORDS(dir, "no config.json"));
    help_refused(help_path(dir, "model.safetensors"), QN_ENOENT,
                 WORDS(dir, "no config.json"));
    help_write(dir, "config.json", CONFIG);
    help_write(dir, "generation_config.json", "{");
    help_refused(dir, QN_EFORMAT, WORDS("generation_config.json"));
    help_refused(help_path(dir, "config.json"), QN_EFORMAT,
                 WORDS("JSON", "directory"));
    help_write(dir, "tokenizer.model", "\n\x0e\n\x05<unk>");
    help_refused(help_path(dir, "tokenizer.model"), QN_EFORMAT,
                 WORDS("neither", "GGUF", "safetensors"));
}

static void test_side_file_lfs(void **state)
{
    const char *dir = qn_test_tmpdir();
    qn_err err = {0};
    qn_ckpt *ck;
    char *text;
    size_t n;

    (void)state;
    help_write(dir, "config.json", CONFIG);
    write_shard(dir, "model.safetensors", WORDS("x"));
    help_write(dir, "tokenizer.json",
               "version https://git-lfs.github.com/spec/v1\noid sha256:00\n"
               "size 9085657\n");
    ck = open_ok(dir);
    assert_int_equal(qn_ckpt_side_file(ck, "tokenizer.json", &text, &n, &err),
                     QN_EFORMAT);
    assert_non_null(strstr(err.msg, "git-lfs pointer, not the 8.66 MiB"));
    qn_ckpt_close(ck);
}

static void test_wrong_kind(void **state)
{
    static const struct {
        const char *file;
        const char *words[3];
    } kinds[] = {
        {"adapter_config.json", {"adapter", "base model"}},
        {"stories15M.bin", {".bin files", "pytorch_model.bin", "neither"}},
        {"consolidated.00.pth", {".pth", "hub's layout", "-hf"}},
        {"model.onnx", {"ONNX", "safetensors revision"}},
        {"tf_model.h5", {"TensorFlow", "safetensors revision"}},
        {"flax_model.msgpack", {"Flax", "safetensors revision"}},
        {"model_index.json", {"diffusion"}},
    };

    (void)state;
    for (size_t i = 0; i < QN_COUNTOF(kinds); i++) {
        const char *dir = qn_test_tmpdir();
        const char *const *w = kinds[i].words;
        help_write(dir, "config.json", CONFIG);
        help_write(dir, kinds[i].file, "{}");
        help_refused(dir, QN_EUNSUP,
                     WORDS(dir, w[0], w[1] ? w[1] : w[0], w[2] ? w[2] : w[0]));
    }
    const char *dir = qn_test_tmpdir(); /* a pickle: naming it may do */
    help_write(dir, "config.json", CONFIG);
    help_write(dir, "a.bin", "text");
    help_write(dir, "weights.bin", "\x80\2}q");
    help_refused(dir, QN_EUNSUP,
                 WORDS(dir, "pytorch_model.bin", "name the one"));
}

/* Links that lead nowhere are no names on the hub. */
static void test_links(void **state)
{
    const char *dir = qn_test_tmpdir();
    char a[4200], b[4200];

    (void)state;
    snprintf(a, sizeof a, "%s/a", dir);
    snprintf(b, sizeof b, "%s/b", dir);
    assert_int_equal(symlink("b", a), 0);
    help_refused(a, QN_EINVAL, WORDS(a, "a link that leads nowhere"));
    assert_int_equal(symlink("a", b), 0);
    help_refused(a, QN_EINVAL, WORDS(a, "a link that leads nowhere"));
}

static void set_index(const char *dir, const char *map)
{
    char text[1000];

    snprintf(text, sizeof text, "{\"weight_map\": %s}", map);
    help_write(dir, "model.safetensors.index.json", text);
}

static void test_broken_index(void **state)
{
    const char *dir = qn_test_tmpdir();
    const char *const index[] = {"model.safetensors.index.json", NULL};

    (void)state;
    help_write(dir, "config.json", CONFIG);
    write_shard(dir, "s1.safetensors", WORDS("a"));
    write_shard(dir, "s2.safetensors", WORDS("b", "a2"));
    set_index(dir, "{\"a\": \"s1.safetensors\", \"b\": \"s2.safetensors\"}");
    qn_ckpt_close(open_ok(dir));

    set_index(dir, "{\"a\": \"./s1.safetensors\", \"b\": \"s2.safetensors\"}");
    qn_ckpt_close(open_ok(dir));
    assert_int_equal(mkdir(help_path(dir, "w"), 0777), 0);
    write_shard(dir, "w/s3.safetensors", WORDS("c"));
    set_index(dir, "{\"a\": \"s1.safetensors\", \"c\": \"w/s3.safetensors\"}");
    qn_ckpt_close(open_ok(dir));

    set_index(dir, "{\"a\": \"s1.safetensors\", \"b\": \"s3.safetensors\"}");
    help_refused(dir, QN_ENOENT,
                 WORDS("1 of 2 shards", index[0], "s3.safetensors",
                       "finish the download"));
    set_index(dir, "{\"a\": \"s1.safetensors\", \"b\": \"s1.safetensors\"}");
    help_refused(dir, QN_EFORMAT,
                 WORDS("s1.safetensors has no tensor b", index[0]));
    set_index(dir, "{}");
    help_refused(dir, QN_EFORMAT, WORDS(index[0], "empty"));
    set_index(dir, "[]");
    help_refused(dir, QN_EFORMAT, WORDS(index[0], "weight_map"));
    set_index(dir, "{\"a\": 1}");
    help_refused(dir, QN_EFORMAT, WORDS(index[0], "tensor a"));
    set_index(dir, "{\"a\": \"../s1.safetensors\"}");
    help_refused(dir, QN_EFORMAT, WORDS(index[0], "tensor a"));
    for (const char *const *out = WORDS("/etc/passwd", "w/../../s1", "w//s1",
                                        "w/", ".", "w/.", ".hidden", "");
         *out; out++) {
        char map[80];
        snprintf(map, sizeof map, "{\"a\": \"%s\"}", *out);
        set_index(dir, map);
        help_refused(dir, QN_EFORMAT, WORDS(index[0], "tensor a"));
    }
    set_index(dir, "{\"a\": \"s1.safetensors\\u0000\"}");
    help_refused(dir, QN_EFORMAT, WORDS(index[0], "tensor a"));
    set_index(dir, "{\"a\": \"s1.safetensors\", \"a\": \"s2.safetensors\"}");
    help_refused(dir, QN_EFORMAT, WORDS(index[0]));

    /* one name in two shards, and no promise which */
    write_shard(dir, "s1.safetensors", WORDS("a", "a2"));
    set_index(dir, "{\"a\": \"s1.safetensors\", \"b\": \"s2.safetensors\"}");
    help_refused(dir, QN_EFORMAT, WORDS("s2.safetensors", "a2", "second time"));
    /* a damaged shard */
    help_write(dir, "s2.safetensors", "");
    help_refused(dir, QN_EFORMAT, WORDS("s2.safetensors", "empty"));
}

static void test_unreadable(void **state)
{
    const char *dir = qn_test_tmpdir();
    const char *file = help_path(dir, "model.safetensors");

    (void)state;
    help_write(dir, "config.json", CONFIG);
    write_shard(dir, "model.safetensors", WORDS("x"));
    if (geteuid() == 0)
        QN_SKIP("root reads everything");
    assert_int_equal(chmod(file, 0), 0);
    help_refused(dir, QN_EIO, WORDS(file));
    assert_int_equal(chmod(file, 0600), 0);
    assert_int_equal(chmod(dir, 0), 0);
    help_refused(dir, QN_EIO, WORDS(dir));
    assert_int_equal(chmod(dir, 0700), 0);
}

static void test_out_of_memory(void **state)
{
    const char *dir = qn_test_tmpdir();
    int n = 0;

    (void)state;
    help_write(dir, "config.json", CONFIG);
    write_shard(dir, "s1.safetensors", WORDS("a"));
    write_shard(dir, "s2.safetensors", WORDS("b"));
    set_index(dir, "{\"a\": \"s1.safetensors\", \"b\": \"s2.safetensors\"}");
    for (;; n++) {
        qn_ckpt *ck = NULL;
        int rc;
        qn_mem_fail_after(n);
        rc = qn_ckpt_open(&ck, dir, NULL);
        if (!qn_mem_fail_after(-1)) {
            assert_int_equal(rc, 0);
            qn_ckpt_close(ck);
            break;
        }
        assert_int_equal(rc, QN_ENOMEM);
        assert_null(ck);
    }
    assert_true(n >= 8);
}

/* ---- real ones --------------------------------------------------------- */

static int open_all(const char *parent, int least)
{
    DIR *d = opendir(parent);
    int n = 0;

    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        const char *dir = help_path(parent, e->d_name);
        qn_ckpt *ck;
        uint64_t sum = 0;
        if (e->d_name[0] == '.' || !qn_path_is_dir(dir) ||
            !qn_path_is_file(help_path(dir, "config.json")))
            continue;
        ck = open_ok(dir);
        assert_non_null(qn_ckpt_config(ck));
        for (size_t i = 0; i < qn_ckpt_n_tensors(ck); i++) {
            const qn_tensor *t = qn_ckpt_tensor(ck, i);
            char last;
            sum += t->quant ? 0 : t->n_bytes; /* its parts follow */
            assert_ptr_equal(qn_ckpt_find(ck, t->name), t);
            if (t->n_bytes)
                assert_int_equal(qn_ckpt_read(ck, t, t->n_bytes - 1, &last, 1,
                                              NULL),
                                 t->quant ? QN_EUNSUP : 0);
        }
        for (size_t i = 0; i < qn_ckpt_n_parts(ck); i++) {
            const qn_tensor *t = qn_ckpt_part(ck, i);
            char last;
            sum += t->n_bytes;
            assert_int_equal(qn_ckpt_read(ck, t, t->n_bytes - 1, &last, 1,
                                          NULL),
                             0);
        }
        assert_true(sum > 0 && sum < qn_ckpt_file_size(ck, 0));
        qn_ckpt_close(ck);
        n++;
    }
    closedir(d);
    assert_true(n >= least);
    return n;
}

static void test_shared_models(void **state)
{
    const char *real = qn_test_shared("data/models/hf");
    const char *goldens = qn_test_shared("goldens/models");
    const char *quant = qn_test_shared("goldens/quant");
    int n;

    (void)state;
    if (!real || !goldens || !quant)
        QN_SKIP("no shared data");
    n = open_all(real, 2);
    n += open_all(goldens, 80);
    n += open_all(quant, 5);
    print_message("%d directories\n", n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_single),
        cmocka_unit_test(test_sharded),
        cmocka_unit_test(test_other_names),
        cmocka_unit_test(test_gguf_folder),
        cmocka_unit_test(test_hub_cache),
        cmocka_unit_test(test_python_floats),
        cmocka_unit_test(test_incomplete),
        cmocka_unit_test(test_side_file_lfs),
        cmocka_unit_test(test_wrong_kind),
        cmocka_unit_test(test_links),
        cmocka_unit_test(test_broken_index),
        cmocka_unit_test(test_unreadable),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_shared_models),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
