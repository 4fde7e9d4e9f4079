/* Quantizing what cannot be, or where it cannot go: a clear refusal, nothing left
 * behind, and nothing of others touched; runs that are stopped, killed, or meet a
 * full or read-only disk. */
#include "judge.h"

#include "base/mem.h"
#include "quantize/optimize.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static bool exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

static void nothing_left(const char *to)
{
    char partial[4200];
    snprintf(partial, sizeof partial, "%s.partial", to);
    assert_false(exists(to));
    assert_false(exists(partial));
}

static void refuse(qn_optimize_params p, int code, const char *word)
{
    char *to = judge_fresh("out");
    qn_err err = {0};
    assert_int_equal(judge_run(&p, to, &err), code);
    if (!strstr(err.msg, word))
        fail_msg("\"%s\" does not say %s", err.msg, word);
    nothing_left(to);
    free(to);
}

static void test_refused(void **state)
{
    (void)state;
    refuse((qn_optimize_params){.method = "hqq"}, QN_EUNSUP, "bitsandbytes");
    refuse((qn_optimize_params){.method = "bitsandbytes", .bits = 3}, QN_EUNSUP,
           "4 bits, not 3");
    refuse((qn_optimize_params){.method = "bitsandbytes", .group = 48},
           QN_EUNSUP, "48");
    refuse((qn_optimize_params){.method = "fp8", .double_quant = true},
           QN_EUNSUP, "double quantization");
    refuse((qn_optimize_params){.method = "fp8", .asymmetric = true}, QN_EUNSUP,
           "zero points");
    refuse((qn_optimize_params){.method = "rtn", .group = 48}, QN_EUNSUP, "48");
    refuse((qn_optimize_params){.method = "fp8",
                                .model = qn_test_data("models/gpt2")},
           QN_EUNSUP, "Conv1D");
    refuse((qn_optimize_params){.method = "rtn",
                                .model = qn_test_data(
                                    "models_quant/opt_bnb_fp4_dq")},
           QN_EUNSUP, "quantized already");
    refuse((qn_optimize_params){.method = "rtn", .model = "/nowhere"},
           QN_ENOENT, "/nowhere");
    refuse((qn_optimize_params){.method = "gguf",
                                .weigh = true,
                                .imatrix_out = "/nowhere/i.gguf"},
           QN_ENOENT, "no such folder");
    char *source = qn_xstrdup(qn_test_data("models/llama/model.safetensors"));
    refuse((qn_optimize_params){.method = "gguf",
                                .weigh = true,
                                .imatrix_out = source},
           QN_EINVAL, "is the source");
    qn_free(source);
    static const char *const all[] = {"*"};
    refuse((qn_optimize_params){.method = "rtn", .skip = all, .n_skip = 1},
           QN_EUNSUP, "no tensor is left");
}

/* A type by itself says its method, in the spelling of either program. */
static void test_type_alone(void **state)
{
    static const struct {
        const char *name, *method, *type;
    } cases[] = {{"nf4", "bitsandbytes", "bitsandbytes nf4"},
                 {"int8", "bitsandbytes", "bitsandbytes int8"},
                 {"Q4_0", "gguf", "q4_0"}};
    (void)state;
    for (size_t i = 0; i < QN_COUNTOF(cases); i++) {
        char *to = judge_fresh("out");
        qn_err err = {0};
        size_t n;
        qn_optimize_params p = {.method = cases[i].name};
        if (judge_run(&p, to, &err) < 0)
            fail_msg("%s: %s", cases[i].name, err.msg);
        char *meta = judge_slurp(to, "metadata.json", &n);
        json_t *o = json_loads(meta, 0, NULL), *options;
        assert_string_equal(json_string_value(json_object_get(o, "method")),
                            cases[i].method);
        options = json_object_get(o, "options");
        const json_t *type = json_object_get(options, "quant_type");
        if (!type)
            type = json_object_get(options, "format");
        assert_string_equal(json_string_value(type), cases[i].type);
        json_decref(o);
        free(meta);
        free(to);
    }
    refuse((qn_optimize_params){.method = "q4_0", .type = "q8_0"}, QN_EINVAL,
           "--quant-type says q8_0");
    refuse((qn_optimize_params){.method = "q4_0", .bits = 8}, QN_EINVAL,
           "q4_0 has 4 bits, not 8");
    refuse((qn_optimize_params){.method = "nf4", .bits = 8}, QN_EUNSUP,
           "4 bits, not 8");
    refuse((qn_optimize_params){.method = "gguf", .type = "bf16", .bits = 6},
           QN_EINVAL, "bf16 has 16 bits");
}

static void test_not_empty(void **state)
{
    (void)state;
    char *to = judge_fresh("out"), file[4200];
    qn_err err = {0};
    qn_optimize_params p = {.method = "bitsandbytes"};
    assert_int_equal(mkdir(to, 0777), 0);
    assert_int_equal(judge_run(&p, to, &err), 0); /* empty: it is taken */
    assert_int_equal(judge_run(&p, to, &err), QN_EINVAL);
    assert_non_null(strstr(err.msg, "not empty"));
    free(to);
    to = judge_fresh("file");
    snprintf(file, sizeof file, "%s", to);
    qn_test_write_file(file, "x", 1);
    assert_int_equal(judge_run(&p, to, &err), QN_EINVAL);
    assert_non_null(strstr(err.msg, "not a directory"));
    free(to);
}

/* OUTPUT.partial with what no run left there, or no folder at all. */
static void test_in_the_way(void **state)
{
    (void)state;
    char *to = judge_fresh("out"), partial[4200], file[4300];
    qn_err err = {0};
    size_t n;
    qn_optimize_params p = {.method = "bitsandbytes"};
    snprintf(partial, sizeof partial, "%s.partial", to);
    snprintf(file, sizeof file, "%s/mine", partial);
    assert_int_equal(mkdir(partial, 0777), 0);
    qn_test_write_file(file, "x", 1);
    assert_int_equal(judge_run(&p, to, &err), QN_EINVAL);
    assert_non_null(strstr(err.msg, "in the way"));
    free(qn_test_read_file(file, &n));
    assert_int_equal(n, 1);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(judge_run(&p, to, &err), 0); /* empty: it is taken */
    free(to);

    to = judge_fresh("out");
    char *elsewhere = judge_fresh("elsewhere");
    assert_int_equal(mkdir(elsewhere, 0777), 0);
    snprintf(partial, sizeof partial, "%s.partial", to);
    assert_int_equal(symlink(elsewhere, partial), 0);
    assert_int_equal(judge_run(&p, to, &err), QN_EINVAL);
    assert_non_null(strstr(err.msg, "in the way"));
    assert_true(exists(partial));
    free(elsewhere);
    free(to);
}

/* A copy of the tiny model whose weights end early. */
static void test_truncated(void **state)
{
    (void)state;
    char *dir = judge_fresh("cut"), path[4200];
    size_t n, m;
    assert_int_equal(mkdir(dir, 0777), 0);
    char *w = judge_slurp(qn_test_data("models/llama"), "model.safetensors",
                          &n);
    char *c = judge_slurp(qn_test_data("models/llama"), "config.json", &m);
    snprintf(path, sizeof path, "%s/config.json", dir);
    qn_test_write_file(path, c, m);
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    qn_test_write_file(path, w, n - 1000);
    refuse((qn_optimize_params){.method = "rtn", .group = 32, .model = dir},
           QN_EFORMAT, "model.safetensors");
    free(w);
    free(c);
    free(dir);
}

static bool stop_at_half(void *user, uint64_t done, uint64_t total)
{
    (void)user;
    return done < total / 2;
}

static bool die_at_half(void *user, uint64_t done, uint64_t total)
{
    (void)user;
    if (done >= total / 2)
        kill(getpid(), SIGKILL);
    return true;
}

static void test_interrupted(void **state)
{
    (void)state;
    refuse((qn_optimize_params){.method = "bitsandbytes",
                                .progress = stop_at_half},
           QN_ECANCEL, "interrupted");
}

/* A killed run leaves no directory of that name, and the next one works. */
static void test_killed(void **state)
{
    (void)state;
    char *to = judge_fresh("out"), partial[4200];
    qn_err err = {0};
    qn_optimize_params p = {.method = "bitsandbytes", .n_threads = 1};
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        p.progress = die_at_half;
        judge_run(&p, to, &err);
        _exit(1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    snprintf(partial, sizeof partial, "%s.partial", to);
    assert_false(exists(to));
    assert_true(exists(partial));
    if (judge_run(&p, to, &err) < 0)
        fail_msg("%s", err.msg);
    assert_false(exists(partial));
    qn_ckpt *ck;
    assert_int_equal(qn_ckpt_open(&ck, to, &err), 0);
    qn_ckpt_close(ck);
    free(to);
}

/* No file may grow beyond a size: what a full disk does, for every user. */
static void test_full_disk(void **state)
{
    (void)state;
    char *to = judge_fresh("out");
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        qn_err err = {0};
        qn_optimize_params p = {.method = "bitsandbytes", .n_threads = 1};
        struct rlimit small = {100000, 100000};
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &small);
        int rc = judge_run(&p, to, &err);
        _exit(rc == QN_EIO && strstr(err.msg, "model.safetensors") ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    nothing_left(to);
    free(to);
}

static void test_read_only(void **state)
{
    (void)state;
    qn_err err = {0};
    qn_optimize_params p = {.method = "bitsandbytes"};
    assert_true(judge_run(&p, "/proc/quern/out", &err) < 0);
    assert_non_null(strstr(err.msg, "/proc/quern"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),   cmocka_unit_test(test_type_alone),
        cmocka_unit_test(test_not_empty), cmocka_unit_test(test_in_the_way),
        cmocka_unit_test(test_truncated), cmocka_unit_test(test_interrupted),
        cmocka_unit_test(test_killed),    cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_read_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
