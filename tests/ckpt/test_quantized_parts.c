/* Quantized matrices in a directory: parts joined, values decoded as
 * bitsandbytes does, wrong parts refused. */
#include "ckpt_help.h"

#include "base/mem.h"

#include <sys/stat.h>
#include <unistd.h>

#define BNB "{\"quantization_config\": {\"quant_method\": \"bitsandbytes\"}}"

/* A fresh directory with a config. */
static const char *new_dir(const char *config)
{
    static int n;
    char name[32];
    snprintf(name, sizeof name, "q%d", n++);
    const char *dir = help_path(qn_test_tmpdir(), name);
    assert_int_equal(mkdir(dir, 0700), 0);
    help_write(dir, "config.json", config);
    return dir;
}

static float *decode(const qn_ckpt *ck, const qn_tensor *t)
{
    qn_qmat m;
    void *mem;
    qn_err err = {0};
    if (qn_ckpt_quant_open(ck, t, &m, &mem, &err) < 0)
        fail_msg("%s", err.msg);
    float *f = malloc(t->n_elems * sizeof *f);
    void *scratch = malloc(qn_qmat_scratch(&m, m.n_out));
    for (int64_t r = 0; r < m.n_out; r += 3) /* pieces: any three rows */
        qn_qmat_decode(&m, r, QN_MIN(3, m.n_out - r), scratch, f + r * m.n_in);
    free(scratch);
    qn_ckpt_quant_close(mem);
    return f;
}

/* Every quantized matrix of bitsandbytes' own unit cases, bit for bit. */
static void check_units(const char *file)
{
    const char *dir = new_dir(BNB);
    assert_int_equal(symlink(file, help_path(dir, "model.safetensors")), 0);
    qn_ckpt *ck;
    qn_err err = {0};
    int n = 0;
    if (qn_ckpt_open(&ck, dir, &err) < 0)
        fail_msg("%s", err.msg);
    for (size_t i = 0; i < qn_ckpt_n_tensors(ck); i++) {
        const qn_tensor *t = qn_ckpt_tensor(ck, i);
        if (!t->quant)
            continue;
        char name[128];
        snprintf(name, sizeof name, "%.*s.deq", (int)strlen(t->name) - 7,
                 t->name);
        const qn_tensor *want = qn_ckpt_find(ck, name);
        assert_non_null(want);
        assert_int_equal(want->n_elems, t->n_elems);
        assert_memory_equal(want->shape, t->shape, 2 * sizeof *t->shape);
        float *got = decode(ck, t), *deq = malloc(want->n_bytes);
        assert_int_equal(qn_ckpt_read(ck, want, 0, deq, want->n_bytes, NULL),
                         0);
        for (size_t k = 0; k < want->n_elems; k++) {
            if (got[k] != deq[k])
                fail_msg("%s: %zu: %.9g, not %.9g", t->name, k, (double)got[k],
                         (double)deq[k]);
        }
        free(got);
        free(deq);
        n++;
    }
    assert_true(n >= 8);
    assert_true(qn_ckpt_n_parts(ck) > 0);
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

/* The same with NaN in every book of 16 values: said when a matrix is opened. */
static void test_bnb_book(void **state)
{
    static const char mark[] =
        "quant_map\": {\"dtype\": \"F32\", \"shape\": [16], "
        "\"data_offsets\": [";
    const uint32_t nan = 0x7fc00000;
    size_t n, refused = 0;
    uint64_t header;

    (void)state;
    char *all = qn_test_read_file(qn_test_data("quant/bnb_unit.safetensors"),
                                  &n);
    memcpy(&header, all, sizeof header);
    for (char *at = all + 8; (at = strstr(at, mark)); at++)
        memcpy(all + 8 + header + atoi(at + sizeof mark - 1), &nan, sizeof nan);
    const char *dir = new_dir(BNB);
    qn_test_write_file(help_path(dir, "model.safetensors"), all, n);
    free(all);
    qn_ckpt *ck;
    qn_err err = {0};
    assert_int_equal(qn_ckpt_open(&ck, dir, &err), 0);
    for (size_t i = 0; i < qn_ckpt_n_tensors(ck); i++) {
        const qn_tensor *t = qn_ckpt_tensor(ck, i);
        qn_qmat m;
        void *mem;
        if (!t->quant || qn_ckpt_quant_open(ck, t, &m, &mem, &err) == QN_OK)
            continue;
        assert_int_equal(err.code, QN_EFORMAT);
        assert_non_null(strstr(err.msg, "quant_map"));
        assert_non_null(strstr(err.msg, "element 0 is nan"));
        refused++;
    }
    assert_true(refused > 0);
    qn_ckpt_close(ck);
}

/* A matrix of 2 x 8 as GPTQ has it, and what is wrong with it otherwise. */
#define GPTQ(qweight, qzeros, scales, more)                                      \
    "{\"a.qweight\":{\"dtype\":\"I32\",\"shape\":" qweight                       \
    ",\"data_offsets\":[0,8]},\"a.qzeros\":{\"dtype\":\"I32\",\"shape\":" qzeros \
    ",\"data_offsets\":[8,12]},\"a.scales\":{\"dtype\":\"F16\","                 \
    "\"shape\":" scales ",\"data_offsets\":[12,16]}" more "}"
#define GPTQ_CONFIG                                                        \
    "{\"quantization_config\": {\"quant_method\": \"gptq\", \"bits\": 4, " \
    "\"group_size\": 8}}"

static void refuse(const char *config, const char *header, size_t n, int code,
                   const char *const *words)
{
    const char *dir = new_dir(config);
    help_safetensors(help_path(dir, "model.safetensors"), header, n);
    help_refused(dir, code, words);
}

static void test_gptq(void **state)
{
    (void)state;
    const char *dir = new_dir(GPTQ_CONFIG), *path;
    path = help_path(dir, "model.safetensors");
    help_safetensors(path, GPTQ("[1,2]", "[1,1]", "[1,2]", ""), 16);
    qn_ckpt *ck;
    qn_err err = {0};
    if (qn_ckpt_open(&ck, dir, &err) < 0)
        fail_msg("%s", err.msg);
    const qn_tensor *t = qn_ckpt_find(ck, "a.weight");
    assert_non_null(t);
    assert_null(qn_ckpt_find(ck, "a.scales"));
    assert_int_equal(qn_ckpt_n_tensors(ck), 1);
    assert_int_equal(qn_ckpt_n_parts(ck), 3);
    float *w = decode(ck, t);
    /* Bytes count up from 0: column 1 is 04 05 06 07, low nibble first; its
     * zero is the high nibble of byte 8, plus 1 (version 1); its scale 0f0e. */
    const int codes[8] = {4, 0, 5, 0, 6, 0, 7, 0};
    float scale = (float)(1024 + 0x30e) * 0x1p-22f; /* f16 0x0f0e */
    for (int k = 0; k < 8; k++)
        assert_true(w[8 + k] == (float)(codes[k] - 1) * scale);
    free(w);
    qn_ckpt_close(ck);

    refuse(GPTQ_CONFIG, GPTQ("[1,2]", "[1]", "[1,2]", ""), 16, QN_EFORMAT,
           WORDS("a.qzeros", "[1]", "n_group"));
    refuse(GPTQ_CONFIG, GPTQ("[2,1]", "[1,1]", "[1,2]", ""), 16, QN_EFORMAT,
           WORDS("a.scales", "n_out"));
    refuse(GPTQ_CONFIG,
           GPTQ("[1,2]", "[1,1]", "[1,2]",
                ",\"a.weight\":{\"dtype\":\"U8\",\"shape\":[1],"
                "\"data_offsets\":[16,17]}"),
           17, QN_EFORMAT, WORDS("a.weight", "both quantized and not"));
    refuse("{\"quantization_config\": {\"quant_method\": \"gptq\","
           " \"bits\": 5}}",
           GPTQ("[1,2]", "[1,1]", "[1,2]", ""), 16, QN_EUNSUP,
           WORDS("5 bits", "2, 3, 4 and 8"));
}

#define G_IDX                                        \
    ",\"a.g_idx\":{\"dtype\":\"I32\",\"shape\":[8]," \
    "\"data_offsets\":[16,48]}"

/* A group beyond the last is found when the matrix is opened. */
static void test_g_idx(void **state)
{
    (void)state;
    const char *dir = new_dir(GPTQ_CONFIG);
    help_safetensors(help_path(dir, "model.safetensors"),
                     GPTQ("[1,2]", "[1,1]", "[1,2]", G_IDX), 48);
    qn_ckpt *ck;
    qn_err err = {0};
    assert_int_equal(qn_ckpt_open(&ck, dir, &err), 0);
    qn_qmat m;
    void *mem;
    const qn_tensor *t = qn_ckpt_find(ck, "a.weight");
    assert_true(qn_ckpt_quant(t)->g_idx_part >= 0);
    assert_int_equal(qn_ckpt_quant_open(ck, t, &m, &mem, &err), QN_EFORMAT);
    assert_non_null(strstr(err.msg, "a.g_idx"));
    qn_ckpt_close(ck);
}

/* Columns in order, said one by one, are a matrix without such a part. */
static void test_plain_order(void **state)
{
    (void)state;
    const char *dir = new_dir(GPTQ_CONFIG);
    const char *path = help_path(dir, "model.safetensors");
    help_safetensors(path, GPTQ("[1,2]", "[1,1]", "[1,2]", G_IDX), 48);
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, -32, SEEK_END), 0);
    assert_int_equal(fwrite((char[32]){0}, 1, 32, f), 32);
    assert_int_equal(fclose(f), 0);
    qn_ckpt *ck;
    qn_err err = {0};
    assert_int_equal(qn_ckpt_open(&ck, dir, &err), 0);
    assert_int_equal(qn_ckpt_quant(qn_ckpt_find(ck, "a.weight"))->g_idx_part,
                     -1);
    qn_ckpt_close(ck);
}

/* compressed-tensors: 2 rows of 32 in 4 words, which are 3 bits (10 to a word)
 * as well as 4 (8 to a word). */
#define PACKED_HEADER                                                   \
    "{\"a.b.weight_packed\":{\"dtype\":\"I32\",\"shape\":[2,4],"        \
    "\"data_offsets\":[0,32]},\"a.b.weight_scale\":{\"dtype\":\"F16\"," \
    "\"shape\":[2,1],\"data_offsets\":[32,36]},\"a.b.weight_shape\":{"  \
    "\"dtype\":\"I64\",\"shape\":[2],\"data_offsets\":[36,52]}}"
#define PACKED_GROUP(name, target, bits, size) \
    "\"" name "\": {\"targets\": [\"" target   \
    "\"], \"weights\": {\"num_bits\": " bits ", \"group_size\": " size "}}"
#define PACKED_CONFIG(groups)                                              \
    "{\"quantization_config\": {\"quant_method\": \"compressed-tensors\"," \
    "\"format\": \"pack-quantized\", \"config_groups\": {" groups "}}}"

static const char *packed_dir(const char *config)
{
    const char *dir = new_dir(config);
    uint8_t file[8 + sizeof PACKED_HEADER - 1 + 52] = {0};
    size_t n = sizeof PACKED_HEADER - 1;
    const int64_t shape[2] = {2, 32};
    memcpy(file, &(uint64_t){n}, 8);
    memcpy(file + 8, PACKED_HEADER, n);
    memcpy(file + 8 + n + 36, shape, sizeof shape);
    qn_test_write_file(help_path(dir, "model.safetensors"), file, sizeof file);
    return dir;
}

static void has_bits(const char *config, int bits)
{
    qn_ckpt *ck;
    qn_err err = {0};
    if (qn_ckpt_open(&ck, packed_dir(config), &err) < 0)
        fail_msg("%s", err.msg);
    const qn_tensor *t = qn_ckpt_find(ck, "a.b.weight");
    assert_non_null(t);
    assert_int_equal(qn_ckpt_quant(t)->bits, bits);
    qn_ckpt_close(ck);
}

static void test_packed_bits(void **state)
{
    (void)state;
    has_bits(PACKED_CONFIG(PACKED_GROUP("g0", "Linear", "4", "32")), 4);
    /* a group names the module, wherever it stands */
    has_bits(PACKED_CONFIG(PACKED_GROUP("g0", "a.c", "3", "null") "," //
                           PACKED_GROUP("g1", "a.b", "4", "null")),
             4);
    has_bits(PACKED_CONFIG(PACKED_GROUP("g0", "a.b", "3", "null") "," //
                           PACKED_GROUP("g1", "Linear", "4", "null")),
             3);
    /* only one has groups of a size that the scales agree with */
    has_bits(PACKED_CONFIG(PACKED_GROUP("g0", "re:.*c", "3", "16") "," //
                           PACKED_GROUP("g1", "re:.*b", "4", "32")),
             4);
    help_refused(packed_dir(PACKED_CONFIG(
                     PACKED_GROUP("g0", "re:.*c", "3", "null") "," //
                     PACKED_GROUP("g1", "re:.*b", "4", "32"))),
                 QN_EFORMAT, WORDS("a.b.weight_packed", "targets"));
}

static void test_configs(void **state)
{
    (void)state;
    static const char plain[] = "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],"
                                "\"data_offsets\":[0,1]}}";
    refuse("{\"quantization_config\": {\"quant_method\": \"hqq\"}}", plain, 1,
           QN_EUNSUP, WORDS("hqq", "bitsandbytes", "gptq", "mxfp4"));
    refuse("{\"quantization_config\": {}}", plain, 1, QN_EUNSUP,
           WORDS("unnamed method"));
    refuse("{\"quantization_config\": {\"quant_method\": \"awq\","
           " \"version\": \"gemv\"}}",
           plain, 1, QN_EUNSUP, WORDS("gemv"));
    refuse("{\"quantization_config\": {\"quant_method\":"
           " \"compressed-tensors\", \"format\": \"marlin-24\"}}",
           plain, 1, QN_EUNSUP, WORDS("marlin-24"));
    refuse("{\"quantization_config\": {\"quant_method\":"
           " \"compressed-tensors\", \"format\": \"pack-quantized\","
           " \"transform_config\": {\"config_groups\": {\"u\": {}}}}}",
           plain, 1, QN_EUNSUP, WORDS("transform_config"));
}

/* Memory that runs out anywhere is an error, and nothing leaks. */
static void test_no_memory(void **state)
{
    (void)state;
    const char *dir = new_dir(GPTQ_CONFIG);
    help_safetensors(help_path(dir, "model.safetensors"),
                     GPTQ("[1,2]", "[1,1]", "[1,2]", ""), 16);
    for (int n = 0;; n++) {
        qn_ckpt *ck;
        qn_err err;
        qn_mem_fail_after(n);
        int rc = qn_ckpt_open(&ck, dir, &err);
        bool failed = qn_mem_fail_after(-1);
        if (rc == 0)
            qn_ckpt_close(ck);
        if (!failed)
            break;
        assert_int_equal(rc, QN_ENOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bnb_units),   cmocka_unit_test(test_gptq),
        cmocka_unit_test(test_bnb_book),    cmocka_unit_test(test_g_idx),
        cmocka_unit_test(test_plain_order), cmocka_unit_test(test_configs),
        cmocka_unit_test(test_no_memory),   cmocka_unit_test(test_packed_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
