/* Where a run reads from and writes to: a disk that is full (a small tmpfs), a
 * disk that takes nothing, a source that ends early. The error names the file,
 * nothing is left, and the source is what it was. */
#include "judge.h"

#include "base/compiler.h"
#include "quantize/hash.h"
#include "quantize/optimize.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    N_IDS = 96,
    CANNOT = 77 /* of a child: this machine lets nobody mount */
};
static int32_t ids[N_IDS];

static const qn_optimize_params cases[] = {
    {.method = "bitsandbytes"},
    {.method = "rtn", .max_shard = 60000},
    {.method = "gptq"},
    {.method = "awq"},
    {.method = "auto", .target_bits = 5},
    {.method = "gguf", .type = "q8_0", .weigh = true},
    {.method = "auto", .format = "gguf", .target_bits = 6.5},
};

static qn_optimize_params params(size_t i, const char *model, const char *to)
{
    qn_optimize_params p = cases[i];
    for (int k = 0; k < N_IDS; k++)
        ids[k] = 1 + k * 29 % 97;
    p.model = model;
    p.output_dir = to;
    p.n_threads = 1;
    p.save_every = -1; /* and with it the files that a run goes on with */
    if (strcmp(p.method, "bitsandbytes") == 0 || strcmp(p.method, "rtn") == 0)
        return p;
    p.calibration_ids = ids;
    p.n_calibration_ids = N_IDS;
    p.n_samples = 3;
    p.n_context = 32;
    return p;
}

/* Hash of the names and bytes of all files of a folder. */
static uint64_t hash_of(const char *dir)
{
    uint64_t sum = 0;
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        char path[8192];
        uint64_t hash;
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        assert_int_equal(qn_hash_file(path, &hash, NULL), 0);
        sum += hash ^ qn_hash_bytes(e->d_name, strlen(e->d_name));
    }
    closedir(d);
    return sum;
}

static size_t n_entries(const char *dir)
{
    size_t n = 0;
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));)
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    if (d)
        closedir(d);
    return n;
}

/* A tmpfs of the child's own, that disappears with it. */
static bool mount_small(const char *at, const char *options)
{
    int user = (int)getuid();
    if (mkdir(at, 0777) != 0 && errno != EEXIST)
        return false;
    if (unshare(CLONE_NEWNS) != 0) {
        char map[64];
        if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
            return false;
        int fd = open("/proc/self/uid_map", O_WRONLY | O_CLOEXEC);
        int n = snprintf(map, sizeof map, "0 %d 1\n", user);
        bool ok = fd >= 0 && write(fd, map, (size_t)n) == n;
        if (fd >= 0)
            close(fd);
        if (!ok)
            return false;
    }
    return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("tmpfs", at, "tmpfs", 0, options) == 0;
}

typedef enum place {
    SMALL, /* a disk that the output does not fit on              */
    FILLS, /* one that somebody else fills when a part is written */
    READ_ONLY
} place;

/* Progress: at a tenth another file takes what room there is. */
static bool fill_up(void *user, uint64_t done, uint64_t total)
{
    char path[4300], block[4096] = {0};
    snprintf(path, sizeof path, "%s/other", (const char *)user);
    if (done < total / 10 || access(path, F_OK) == 0)
        return true;
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    while (write(fd, block, sizeof block) > 0)
        continue;
    close(fd);
    return true;
}

/* In a child: 0 when the run fails as it should and leaves nothing. */
static int fail_there(size_t i, char *at, place how)
{
    static const char *const why[] = {
        "no space left: ", "No space left on device", "Read-only file system"};
    char to[4200];
    qn_err err = {0};
    if (!mount_small(at, how == FILLS ? "size=2m" : "size=64k"))
        return CANNOT;
    if (how == READ_ONLY &&
        mount(NULL, at, NULL, MS_REMOUNT | MS_RDONLY, NULL) != 0)
        return CANNOT;
    bool deep = how != READ_ONLY && i % 2 == 0; /* folders are made above it */
    snprintf(to, sizeof to, "%s/%sout", at, deep ? "two/more/" : "");
    qn_optimize_params p = params(i, qn_test_data("models/llama"), to);
    if (how == FILLS)
        p.progress = fill_up;
    p.progress_user = at;
    int rc = qn_optimize_run(&p, NULL, &err);
    bool fine = rc == QN_EIO && strstr(err.msg, to) &&
                strstr(err.msg, why[how]) && n_entries(at) == (how == FILLS);
    if (!fine)
        print_message("%s: %d \"%s\", %zu files left\n", p.method, rc, err.msg,
                      n_entries(at));
    return !fine;
}

static void check_disk(place how)
{
    const char *model = qn_test_data("models/llama");
    uint64_t before = hash_of(model);
    for (size_t i = 0; i < QN_COUNTOF(cases); i++) {
        char *at = judge_fresh("disk");
        int status;
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
            _exit(fail_there(i, at, how));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        free(at);
        if (WEXITSTATUS(status) == CANNOT)
            QN_SKIP("nobody may mount a tmpfs here");
        assert_int_equal(WEXITSTATUS(status), 0);
    }
    assert_true(hash_of(model) == before);
}

static void test_full_disk(void **state)
{
    (void)state;
    check_disk(SMALL);
    check_disk(FILLS);
}

static void test_read_only(void **state)
{
    (void)state;
    check_disk(READ_ONLY);
}

/* ---- sources that end early ------------------------------------------------ */

static void refuse(const char *model, size_t i, const char *word)
{
    char *to = judge_fresh("out"), partial[4200];
    struct stat st;
    qn_err err = {0};
    qn_optimize_params p = params(i, model, to);
    assert_int_equal(qn_optimize_run(&p, NULL, &err), QN_EFORMAT);
    if (!strstr(err.msg, word))
        fail_msg("%s: \"%s\" does not say %s", p.method, err.msg, word);
    snprintf(partial, sizeof partial, "%s.partial", to);
    assert_true(lstat(to, &st) != 0 && lstat(partial, &st) != 0);
    free(to);
}

static void test_truncated(void **state)
{
    (void)state;
    char *dir = judge_fresh("cut"), path[4200], *gguf = judge_fresh("whole");
    const char *model = qn_test_data("models/llama");
    size_t n, m;
    char *w = judge_slurp(model, "model.safetensors", &n);
    char *c = judge_slurp(model, "config.json", &m);
    assert_int_equal(mkdir(dir, 0777), 0);
    snprintf(path, sizeof path, "%s/config.json", dir);
    qn_test_write_file(path, c, m);
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    qn_test_write_file(path, w, n - 1000);
    for (size_t i = 0; i < QN_COUNTOF(cases); i++)
        refuse(dir, i, "model.safetensors");
    free(w);
    free(c);

    qn_optimize_params p = {
        .model = model, .output_dir = gguf, .method = "gguf", .type = "f16"};
    assert_int_equal(qn_optimize_run(&p, NULL, NULL), 0);
    w = judge_slurp(gguf, "model.gguf", &n);
    snprintf(path, sizeof path, "%s/cut.gguf", dir);
    qn_test_write_file(path, w, n - 1000);
    for (size_t i = 0; i < QN_COUNTOF(cases); i++)
        refuse(path, i, "cut.gguf");
    free(w);
    free(dir);
    free(gguf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_read_only),
        cmocka_unit_test(test_truncated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
