/* A run that was stopped goes on where it was: what comes out in the end is,
 * byte for byte, what one run would have written; a run with other options or
 * another source is refused. */
#include "judge.h"

#include "base/compiler.h"
#include "base/file.h"
#include "quantize/optimize.h"

#include <dirent.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    N_IDS = 96
};
static int32_t ids[N_IDS];

static void set_common(qn_optimize_params *p, const char *to)
{
    for (int i = 0; i < N_IDS; i++)
        ids[i] = 1 + i * 29 % 97;
    if (!p->model)
        p->model = qn_test_data("models/llama");
    p->output_dir = to;
    p->n_threads = 1;
    if (strcmp(p->method, "bitsandbytes") == 0 || p->imatrix)
        return;
    p->calibration_ids = ids;
    p->n_calibration_ids = N_IDS;
    p->n_samples = 3;
    p->n_context = 32;
}

static char *partial_of(const char *to)
{
    char path[4200];
    snprintf(path, sizeof path, "%s.partial", to);
    return strdup(path);
}

static bool is_there(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

/* ---- stopping ------------------------------------------------------------ */

static double stop_at;

static bool die(void *user, uint64_t done, uint64_t total)
{
    (void)user;
    if ((double)done >= stop_at * (double)total)
        kill(getpid(), SIGKILL);
    return true;
}

static bool cancel(void *user, uint64_t done, uint64_t total)
{
    (void)user;
    return (double)done < stop_at * (double)total;
}

/* A run of another process that is killed when so much is done. */
static void run_and_die(qn_optimize_params p, double at)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        qn_err err = {0};
        stop_at = at;
        p.progress = die;
        p.save_every = -1;
        qn_optimize_run(&p, NULL, &err);
        _exit(1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_false(is_there(p.output_dir));
}

static double run(qn_optimize_params p)
{
    qn_err err = {0};
    qn_optimize_report r = {0};
    if (qn_optimize_run(&p, &r, &err) < 0)
        fail_msg("%s: %s", p.method, err.msg);
    json_decref(r.table);
    json_decref(r.loss);
    json_decref(r.notes);
    return r.resumed;
}

/* ---- comparing ----------------------------------------------------------- */

static void same_file(const char *a, const char *b, const char *name)
{
    size_t n, m;
    char *x = judge_slurp(a, name, &n), *y = judge_slurp(b, name, &m);
    assert_int_equal(n, m);
    if (memcmp(x, y, n) != 0)
        fail_msg("%s: other bytes in %s than in one go", b, name);
    free(x);
    free(y);
}

/* Every file but the one that has the time in it; nothing hidden is left. */
static void same_folder(const char *a, const char *b)
{
    DIR *d = opendir(b);
    int n = 0;
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        assert_true(e->d_name[0] != '.');
        n++;
        if (strcmp(e->d_name, "metadata.json") != 0)
            same_file(a, b, e->d_name);
    }
    closedir(d);
    assert_true(n >= 2);
}

/* ---- the cases ----------------------------------------------------------- */

static const qn_optimize_params cases[] = {
    {.method = "bitsandbytes", .double_quant = true},
    {.method = "bitsandbytes", .max_shard = 60000},
    {.method = "gptq", .group = 32, .desc_act = true},
    {.method = "gptq", .group = 32, .max_shard = 60000},
    {.method = "awq", .group = 32},
    {.method = "auto", .group = 32, .target_bits = 5},
    {.method = "gguf", .type = "q4_0"},
    {.method = "gguf", .type = "iq4_nl", .weigh = true},
    {.method = "auto", .format = "gguf", .target_bits = 6.2},
};

/* Killed once early, once late, then to the end. */
static void test_killed(void **state)
{
    (void)state;
    for (size_t i = 0; i < QN_COUNTOF(cases); i++) {
        qn_optimize_params p = cases[i];
        char *whole = judge_fresh("whole"), *pieces = judge_fresh("pieces");
        char *partial = partial_of(pieces);
        set_common(&p, whole);
        assert_true(run(p) == 0);
        set_common(&p, pieces);
        /* before auto writes anything it measures for most of the time */
        bool late = strcmp(p.method, "auto") == 0 && !p.format;
        run_and_die(p, late ? 0.97 : 0.5);
        run_and_die(p, late ? 0.99 : 0.9);
        assert_true(is_there(partial));
        double resumed = run(p);
        print_message("%s %s: %.2f was done\n", p.method,
                      p.type     ? p.type
                      : p.format ? p.format
                                 : "",
                      resumed);
        assert_true(resumed > 0.1 && resumed < 1);
        assert_false(is_there(partial));
        same_folder(whole, pieces);
        free(whole);
        free(pieces);
        free(partial);
    }
}

static double first_told;

static bool note_first(void *user, uint64_t done, uint64_t total)
{
    (void)user;
    if (first_told < 0)
        first_told = (double)done / (double)total;
    return true;
}

/* Flips a bit of each file of that name. */
static size_t damage(const char *dir, const char *prefix)
{
    DIR *d = opendir(dir);
    size_t n_found = 0;
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        char path[8192];
        size_t n;
        if (strncmp(e->d_name, prefix, strlen(prefix)) != 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        char *bytes = qn_test_read_file(path, &n);
        if (n)
            bytes[n / 2] ^= 1;
        qn_test_write_file(path, bytes, n);
        free(bytes);
        n_found++;
    }
    closedir(d);
    return n_found;
}

/* Killed while sensitivity is measured, between layers and in the head: what
 * was run is not run again, and the same comes out. */
static void test_killed_measuring(void **state)
{
    (void)state;
    qn_err err = {0};
    for (int i = 0; i < 2; i++) {
        qn_optimize_params p = cases[i ? 8 : 5];
        assert_string_equal(p.method, "auto");
        char *whole = judge_fresh("whole"), *pieces = judge_fresh("pieces");
        char *partial = partial_of(pieces);
        double at = i ? 0.6 : 0.4; /* gguf reads the text before */
        set_common(&p, whole);
        run(p);
        set_common(&p, pieces);
        run_and_die(p, at);
        run_and_die(p, at + 0.03);
        first_told = -1;
        p.progress = note_first;
        run(p);
        print_message("%s: went on at %.2f\n", p.format ? p.format : "hf",
                      first_told);
        assert_true(first_told > at - 0.2);
        same_folder(whole, pieces);

        p.output_dir = judge_fresh("other");
        p.progress = NULL;
        run_and_die(p, at);
        char *other = partial_of(p.output_dir);
        assert_true(damage(other, ".streams") > 0);
        assert_int_equal(qn_optimize_run(&p, NULL, &err), QN_EFORMAT);
        assert_non_null(strstr(err.msg, "earlier run"));
        free(other);
        free((void *)(uintptr_t)p.output_dir);
        free(whole);
        free(pieces);
        free(partial);
    }
}

/* A folder with the test network and a vocabulary of two words. */
static char *with_vocabulary(void)
{
    static const char vocabulary[] =
        "{\"version\":\"1.0\",\"pre_tokenizer\":{\"type\":\"Whitespace\"},"
        "\"model\":{\"type\":\"WordLevel\",\"vocab\":{\"<unk>\":0,\"the\":1},"
        "\"unk_token\":\"<unk>\"}}";
    static const char *const names[] = {"config.json", "model.safetensors"};
    char *dir = judge_fresh("source"), path[4200];
    assert_int_equal(mkdir(dir, 0777), 0);
    for (size_t i = 0; i < QN_COUNTOF(names); i++) {
        snprintf(path, sizeof path, "models/llama/%s", names[i]);
        const char *from = qn_test_data(path);
        char to[4200];
        snprintf(to, sizeof to, "%s/%s", dir, names[i]);
        assert_int_equal(symlink(from, to), 0);
    }
    snprintf(path, sizeof path, "%s/tokenizer.json", dir);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(vocabulary, f);
    fclose(f);
    return dir;
}

/* Killed while the result is read, when the vocabulary is copied already. */
static void test_killed_reading(void **state)
{
    (void)state;
    char *source = with_vocabulary();
    qn_optimize_params p = {.model = source,
                            .method = "bitsandbytes",
                            .report_tokens = 64};
    char *whole = judge_fresh("whole"), *pieces = judge_fresh("pieces");
    set_common(&p, whole);
    run(p);
    set_common(&p, pieces);
    run_and_die(p, 0.99);
    assert_true(run(p) > 0.1);
    same_folder(whole, pieces);
    free(source);
    free(whole);
    free(pieces);
}

typedef struct told {
    uint64_t last;
    int n;
} told;

static bool count(void *user, uint64_t done, uint64_t total)
{
    told *t = user;
    assert_true(done >= t->last && done <= total);
    t->n += done > t->last;
    t->last = done;
    return true;
}

/* Progress moves with every sample of a layer (each is run twice), never goes
 * back, and arrives. */
static void test_progress(void **state)
{
    (void)state;
    for (size_t i = 0; i < QN_COUNTOF(cases); i++) {
        char *to = judge_fresh("out");
        qn_optimize_params p = cases[i];
        told t = {0};
        set_common(&p, to);
        p.progress = count;
        p.progress_user = &t;
        run(p);
        assert_true(t.last == 1000000);
        if (strcmp(p.method, "gptq") == 0)
            assert_true(t.n >= 2 * 3 * 2);
        free(to);
    }
}

/* Its report's `kept` is the caller's. */
static char *cancelled(const qn_optimize_params *p)
{
    qn_optimize_report r;
    qn_err err = {0};
    assert_int_equal(qn_optimize_run(p, &r, &err), QN_ECANCEL);
    json_decref(r.loss);
    json_decref(r.notes);
    json_decref(r.table);
    return r.kept;
}

/* What is cancelled stays, once there is something to go on with. */
static void test_cancelled(void **state)
{
    (void)state;
    char *to = judge_fresh("out"), *partial = partial_of(to);
    qn_optimize_params p = {.method = "gptq", .group = 32};
    set_common(&p, to);
    stop_at = 0.8;
    p.progress = cancel;
    assert_null(cancelled(&p));
    assert_false(is_there(partial));
    p.save_every = -1;
    char *kept = cancelled(&p);
    assert_false(is_there(to));
    assert_true(is_there(partial));
    assert_string_equal(kept, partial);
    free(kept);
    p.progress = NULL;
    assert_true(run(p) > 0.1);
    assert_false(is_there(partial));
    free(to);
    free(partial);
}

static void refused(qn_optimize_params p, const char *why)
{
    qn_err err = {0};
    char *partial = partial_of(p.output_dir);
    assert_int_equal(qn_optimize_run(&p, NULL, &err), QN_EINVAL);
    if (!strstr(err.msg, why) || !strstr(err.msg, partial))
        fail_msg("no \"%s\" in: %s", why, err.msg);
    assert_true(is_there(partial));
    free(partial);
}

/* Other options, another text, another source: they neither use nor remove what
 * was done, and the first command still goes on with it. */
static void test_other_run(void **state)
{
    (void)state;
    char *to = judge_fresh("out"), *whole = judge_fresh("whole");
    qn_optimize_params p = {.method = "gptq", .group = 32}, q;
    set_common(&p, whole);
    run(p);
    set_common(&p, to);
    run_and_die(p, 0.8);
    q = p;
    q.bits = 3;
    refused(q, "quantization-bits not given instead of 3");
    q = p;
    q.n_samples++;
    q.desc_act = true;
    refused(q, "calibration-samples 3 instead of 4");
    refused(q, "desc-act false instead of true");
    ids[5]++;
    refused(p, "another calibration ids");
    ids[5]--;
    q = p;
    q.model = qn_test_data("models/phi3");
    refused(q, "another source");
    assert_true(run(p) > 0);
    same_folder(whole, to);
    free(to);
    free(whole);
}

/* The stream between two layers was changed meanwhile: no run goes on with
 * it. */
static void test_damaged(void **state)
{
    (void)state;
    char *to = judge_fresh("out"), *partial = partial_of(to);
    qn_optimize_params p = {.method = "gptq", .group = 32};
    qn_err err = {0};
    set_common(&p, to);
    run_and_die(p, 0.8);
    assert_int_equal(damage(partial, ".stream"), 1);
    assert_int_equal(qn_optimize_run(&p, NULL, &err), QN_EFORMAT);
    assert_non_null(strstr(err.msg, "earlier run"));
    free(to);
    free(partial);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_killed),
        cmocka_unit_test(test_killed_measuring),
        cmocka_unit_test(test_killed_reading),
        cmocka_unit_test(test_progress),
        cmocka_unit_test(test_cancelled),
        cmocka_unit_test(test_other_run),
        cmocka_unit_test(test_damaged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
