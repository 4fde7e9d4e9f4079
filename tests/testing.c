/* testing.c: see testing.h.
 *
 * Paths and scratch folders are kept in lists that live as long as the
 * program; one atexit handler frees them, so that the leak checker sees only
 * the leaks of the code under test.
 */
#include "testing.h"

#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

struct kept {
    struct kept *next;
    bool is_tmpdir;
    char path[];
};

static struct kept *all_kept;

static int remove_entry(const char *path, const struct stat *st, int flag,
                        struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static void drop_all(void)
{
    while (all_kept) {
        struct kept *k = all_kept;
        all_kept = k->next;
        if (k->is_tmpdir)
            nftw(k->path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
        free(k);
    }
}

static char *keep(bool is_tmpdir, const char *dir, const char *path)
{
    size_t n = strlen(dir) + strlen(path) + 2;
    struct kept *k = malloc(sizeof *k + n);

    if (!k)
        abort();
    if (!all_kept)
        atexit(drop_all);
    k->next = all_kept;
    k->is_tmpdir = is_tmpdir;
    snprintf(k->path, n, "%s/%s", dir, path);
    all_kept = k;
    return k->path;
}

const char *qn_test_source_dir(void)
{
    return QN_TEST_SOURCE_DIR;
}

const char *qn_test_build_dir(void)
{
    static char dir[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", dir, sizeof dir - 1);

    if (n < 0)
        fail_msg("/proc/self/exe: %s", strerror(errno));
    dir[n] = 0;
    for (int up = 0; up < 2; up++) { /* <build>/tests/<program> */
        char *slash = strrchr(dir, '/');
        if (slash)
            *slash = 0;
    }
    return dir;
}

const char *qn_test_data(const char *path)
{
    return keep(false, QN_TEST_SOURCE_DIR "/tests/data", path);
}

const char *qn_test_shared(const char *path)
{
    const char *dir = getenv("QUERN_SHARED");
    const char *full;

    if (!dir || !*dir)
        dir = QN_TEST_SOURCE_DIR "/../shared";
    full = keep(false, dir, path);
    return access(full, R_OK) == 0 ? full : NULL;
}

/* Of how many repetitions a sanitizer leaves one. */
#if defined(__SANITIZE_THREAD__)
#define SLOWNESS 8
#elif defined(__SANITIZE_ADDRESS__)
#define SLOWNESS 4
#else
#define SLOWNESS 1
#endif

int qn_test_repeats(int n)
{
    return (n + SLOWNESS - 1) / SLOWNESS;
}

const char *qn_test_tmpdir(void)
{
    const char *base = getenv("TMPDIR");
    char *dir = keep(true, base && *base ? base : P_tmpdir, "quern-XXXXXX");

    if (!mkdtemp(dir))
        fail_msg("%s: %s", dir, strerror(errno));
    return dir;
}

char *qn_test_read_file(const char *path, size_t *len)
{
    FILE *f = fopen(path, "rb");
    size_t n = 0, room = 4096;
    char *data = malloc(room);

    if (!f || !data)
        fail_msg("%s: %s", path, strerror(errno));
    for (;;) {
        n += fread(data + n, 1, room - n, f);
        if (n < room)
            break;
        data = realloc(data, room *= 2);
        if (!data)
            abort();
    }
    if (ferror(f))
        fail_msg("%s: %s", path, strerror(errno));
    fclose(f);
    data[n] = 0;
    if (len)
        *len = n;
    return data;
}

void qn_test_write_file(const char *path, const void *data, size_t len)
{
    FILE *f = fopen(path, "wb");

    if (!f)
        fail_msg("%s: %s", path, strerror(errno));
    if (fwrite(data, 1, len, f) != len || fclose(f) != 0)
        fail_msg("%s: %s", path, strerror(errno));
}

static void write_field(FILE *f, const char *text, char end)
{
    for (; *text; text++)
        fputc((unsigned char)*text < ' ' || *text == '|' ? ' ' : *text, f);
    fputc(end, f);
}

void qn_test_result(const char *group, const char *name, size_t passed,
                    size_t total, const char *notes)
{
    static bool begun;
    char path[PATH_MAX + 64], self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

    if (n < 0)
        fail_msg("/proc/self/exe: %s", strerror(errno));
    self[n] = 0;
    snprintf(path, sizeof path, "%s/conformance", qn_test_build_dir());
    mkdir(path, 0777);
    snprintf(path, sizeof path, "%s/conformance/%s.tsv", qn_test_build_dir(),
             strrchr(self, '/') + 1);
    FILE *f = fopen(path, begun ? "a" : "w");
    if (!f)
        fail_msg("%s: %s", path, strerror(errno));
    begun = true;
    write_field(f, group, '\t');
    write_field(f, name, '\t');
    fprintf(f, "%zu\t%zu\t", passed, total);
    write_field(f, notes, '\n');
    if (fclose(f) != 0)
        fail_msg("%s: %s", path, strerror(errno));
}

double qn_test_dot_bound(size_t n, double eps, double abs_sum)
{
    double ne = (double)n * eps;

    return ne / (1 - ne) * abs_sum;
}

static void check_one(const float *got, const float *want, size_t i, double tol)
{
    double diff = fabs((double)got[i] - (double)want[i]);

    if (got[i] == want[i] || diff <= tol)
        return;
    fail_msg("element %zu: got %.9g, want %.9g, off by %.3g, allowed %.3g", i,
             (double)got[i], (double)want[i], diff, tol);
}

void qn_test_close(const float *got, const float *want, const double *tol,
                   size_t n)
{
    for (size_t i = 0; i < n; i++)
        check_one(got, want, i, tol[i]);
}

void qn_test_close_max(const float *got, const float *want, size_t n,
                       double rel)
{
    double max = 0;

    for (size_t i = 0; i < n; i++)
        max = fmax(max, fabs((double)want[i]));
    for (size_t i = 0; i < n; i++)
        check_one(got, want, i, rel * max);
}
