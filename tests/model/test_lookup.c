/* Tables that stay in their file: which ones do, that they are no memory, and
 * what becomes of them when something happens to the file. (That they give the
 * same bits: test_invariance.c.) */
#include "drive.h"

#include "base/json.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    N_TOK = 9
};

static const int32_t tokens[N_TOK] = {3, 1, 4, 1, 5, 9, 2, 6, 5};

static long long weight_bytes(const char *path, bool lookup)
{
    drive d;
    qn_err err = {0};
    json_t *info = json_object();
    if (drive_open(&d, path, &(drive_params){.lookup = lookup}, &err) < 0 ||
        qn_net_info(d.net, info, &err) < 0)
        fail_msg("%s", err.msg);
    long long n = json_integer_value(json_object_get(info, "weight_bytes"));
    drive_close(&d);
    json_decref(info);
    return n;
}

/* models/llama has an embedding of 96 x 64 in f32 besides its head;
 * models/gpt2 and opt350 multiply by theirs. */
static void test_which(void **state)
{
    (void)state;
    const char *llama = qn_test_data("models/llama");
    drive d;
    qn_err err = {0};
    assert_int_equal(drive_open(&d, llama, NULL, &err), 0);
    const qn_hparams *hp = qn_net_hparams(d.net);
    long long table = (long long)hp->n_vocab * hp->d_embed * 4;
    drive_close(&d);
    assert_int_equal(weight_bytes(llama, false) - weight_bytes(llama, true),
                     table);
    static const char *const tied[] = {"models/gpt2", "models/opt350"};
    for (size_t i = 0; i < QN_COUNTOF(tied); i++) {
        const char *path = qn_test_data(tied[i]);
        assert_int_equal(weight_bytes(path, false), weight_bytes(path, true));
    }
}

/* ---- what happens to the file ------------------------------------------ */

typedef struct copy {
    char dir[512], weights[600];
    drive d;
} copy;

static void copy_file(const char *dir, const char *name, const char *to)
{
    char from[512];
    size_t n;
    snprintf(from, sizeof from, "models/llama/%s", name);
    char *bytes = qn_test_read_file(qn_test_data(from), &n);
    char path[600];
    snprintf(path, sizeof path, "%s/%s", dir, to);
    qn_test_write_file(path, bytes, n);
    free(bytes);
}

static void copy_open(copy *c)
{
    qn_err err = {0};
    snprintf(c->dir, sizeof c->dir, "%s", qn_test_tmpdir());
    snprintf(c->weights, sizeof c->weights, "%s/model.safetensors", c->dir);
    copy_file(c->dir, "config.json", "config.json");
    copy_file(c->dir, "model.safetensors", "model.safetensors");
    if (drive_open(&c->d, c->dir, &(drive_params){.lookup = true}, &err) < 0)
        fail_msg("%s", err.msg);
}

/* One forward of a new sequence; its last logits. */
static int forward(drive *d, const float **logits, qn_err *err)
{
    int32_t pos[N_TOK], page = 0, last = N_TOK - 1;
    for (int i = 0; i < N_TOK; i++)
        pos[i] = i;
    qn_span span = {.n_row = N_TOK, .rope_len = N_TOK, .pages = {&page, &page}};
    qn_batch b = {.n_row = N_TOK,
                  .tokens = tokens,
                  .pos = pos,
                  .n_span = 1,
                  .spans = &span,
                  .n_out = 1,
                  .out_rows = &last};
    return qn_pass_forward(d->pass, &b, logits, err);
}

static void expect_error(copy *c, const char *why)
{
    qn_err err = {0};
    const float *logits;
    assert_int_equal(forward(&c->d, &logits, &err), QN_EIO);
    assert_non_null(strstr(err.msg, c->weights));
    assert_non_null(strstr(err.msg, why));
    assert_non_null(strstr(err.msg, "open the model again"));
    assert_non_null(strstr(err.msg, "embed"));
    drive_close(&c->d);
}

static void test_replaced(void **state)
{
    (void)state;
    copy c;
    qn_err err = {0};
    const float *logits;
    copy_open(&c);
    assert_int_equal(forward(&c.d, &logits, &err), 0);
    float *before = malloc(sizeof *before * (size_t)c.d.n_vocab);
    memcpy(before, logits, sizeof *before * (size_t)c.d.n_vocab);
    char other[700];
    snprintf(other, sizeof other, "%s.new", c.weights);
    qn_test_write_file(other, "another one", 11);
    assert_int_equal(rename(other, c.weights), 0);
    assert_int_equal(forward(&c.d, &logits, &err), 0);
    assert_memory_equal(before, logits, sizeof *before * (size_t)c.d.n_vocab);
    assert_int_equal(unlink(c.weights), 0);
    assert_int_equal(forward(&c.d, &logits, &err), 0);
    assert_memory_equal(before, logits, sizeof *before * (size_t)c.d.n_vocab);
    free(before);
    drive_close(&c.d);
}

static void test_cut_short(void **state)
{
    (void)state;
    copy c;
    copy_open(&c);
    assert_int_equal(truncate(c.weights, 100), 0);
    expect_error(&c, "is the file cut short?");
}

static void test_written_over(void **state)
{
    (void)state;
    copy c;
    copy_open(&c);
    size_t n;
    struct stat was;
    char *bytes = qn_test_read_file(c.weights, &n);
    assert_int_equal(stat(c.weights, &was), 0);
    usleep(20000); /* a clock of files has ticks */
    qn_test_write_file(c.weights, bytes, n);
    qn_err err = {0};
    const float *logits;
    assert_int_equal(forward(&c.d, &logits, &err), 0); /* the same bytes */
    memset(bytes + n / 2, 0, n - n / 2);
    memset(bytes + 4096, 0, n / 2);
    usleep(20000);
    qn_test_write_file(c.weights, bytes, n);
    free(bytes);
    struct timespec old[2] = {was.st_atim, was.st_mtim};
    assert_int_equal(utimensat(AT_FDCWD, c.weights, old, 0), 0);
    expect_error(&c, "was written over");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_which),
        cmocka_unit_test(test_replaced),
        cmocka_unit_test(test_cut_short),
        cmocka_unit_test(test_written_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
