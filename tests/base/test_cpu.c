/* What the machine grants: instruction sets against /proc/cpuinfo, cores
 * against the affinity mask, limits of control groups from trees laid out
 * here. */
#include "testing.h"

#include "base/cgroup.h"
#include "base/cpu.h"
#include "base/file.h"
#include "base/mem.h"

#include <sched.h>

/* Whether the kernel lists a flag for the first processor. */
static bool kernel_has(const char *flags, const char *flag)
{
    size_t n = strlen(flag);
    for (const char *p = flags; (p = strstr(p, flag)); p += n)
        if (p[-1] == ' ' && (p[n] == ' ' || p[n] == '\n'))
            return true;
    return false;
}

/* The lowest level of this architecture above plain C, if there is one. */
static qn_isa first_level(void)
{
    for (qn_isa isa = QN_ISA_REF + 1; isa < QN_ISA_N; isa++)
        if (qn_isa_native(isa))
            return isa;
    return QN_ISA_REF;
}

static void test_isa(void **state)
{
    (void)state;
    const qn_cpu *c = qn_cpu_get();
    assert_true(strlen(c->name) > 0);
    /* main() has set QUERN_CPU before anybody asked. */
    qn_isa cap = first_level();
    assert_int_equal(c->isa, c->isa_detected < cap ? c->isa_detected : cap);
    FILE *f = fopen("/proc/cpuinfo", "r");
    char line[8192] = "";
    while (f && fgets(line, sizeof line, f) && strncmp(line, "flags", 5) != 0 &&
           strncmp(line, "Features", 8) != 0)
        continue;
    if (f)
        fclose(f);
    bool x86 = strncmp(line, "flags", 5) == 0;
    if (!x86 && strncmp(line, "Features", 8) != 0)
        QN_SKIP("no flags in /proc/cpuinfo");
    if (x86 != qn_isa_native(QN_ISA_AVX2))
        QN_SKIP("/proc/cpuinfo is that of an emulator's host");
    static const struct {
        qn_isa isa;
        const char *flags[6];
    } rows[] = {
        {QN_ISA_AVX2, {"avx2", "fma", "f16c", "bmi2"}},
        {QN_ISA_AVXVNNI, {"avx_vnni"}},
        {QN_ISA_AVX512,
         {"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512cd"}},
        {QN_ISA_AVX512VNNI, {"avx512_vnni"}},
        {QN_ISA_AVX512BF16, {"avx512_bf16"}},
        {QN_ISA_AMX, {"amx_tile", "amx_int8", "amx_bf16"}},
        {QN_ISA_NEON, {"asimd"}},
        {QN_ISA_DOTPROD, {"asimddp"}},
        {QN_ISA_I8MM, {"i8mm"}},
        {QN_ISA_BF16, {"bf16"}},
    };
    qn_isa want = QN_ISA_REF;
    uint32_t granted = 1u << QN_ISA_REF;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bool all = true;
        if (!qn_isa_native(rows[i].isa))
            continue;
        for (int j = 0; j < 6 && rows[i].flags[j]; j++)
            all = all && kernel_has(line, rows[i].flags[j]);
        if (rows[i].isa == QN_ISA_AVXVNNI && !all)
            continue; /* the others stand on each other */
        if (!all)
            break;
        want = rows[i].isa;
        granted |= 1u << want;
    }
    assert_int_equal(c->isa_detected, want);
    assert_int_equal(c->granted, granted);
}

static void test_names(void **state)
{
    (void)state;
    char names[256];
    snprintf(names, sizeof names, " %s\n", qn_isa_names());
    for (int i = 0; i < QN_ISA_N; i++) {
        qn_isa isa = QN_ISA_N;
        const char *name = qn_isa_name((qn_isa)i);
        bool here = qn_isa_native((qn_isa)i);
        assert_int_equal(qn_isa_parse(name, &isa), here);
        assert_int_equal(isa, here ? i : QN_ISA_N);
        assert_int_equal(kernel_has(names, name), here);
    }
    qn_isa isa = QN_ISA_AVX2;
    assert_false(qn_isa_parse("avx", &isa));
    assert_false(qn_isa_parse("", &isa));
    assert_int_equal(isa, QN_ISA_AVX2);
    assert_non_null(qn_isa_name((qn_isa)99));
}

static void test_cap(void **state)
{
    (void)state;
    const qn_cpu *c = qn_cpu_get();
    qn_isa before = c->isa;
    for (int i = 0; i < QN_ISA_N; i++) {
        if (!qn_isa_native((qn_isa)i))
            continue;
        qn_cpu_cap((qn_isa)i);
        assert_true(c->isa <= c->isa_detected && c->isa <= (qn_isa)i);
        assert_true(qn_isa_granted(c->isa));
        for (int j = (int)c->isa + 1; j <= i; j++)
            assert_false(qn_isa_granted((qn_isa)j));
    }
    qn_cpu_cap(before);
    assert_int_equal(c->isa, before);
}

static void test_cores(void **state)
{
    (void)state;
    cpu_set_t set;
    assert_int_equal(sched_getaffinity(0, sizeof set, &set), 0);
    int n = qn_cpu_get()->n_cores;
    assert_true(n >= 1 && n <= CPU_COUNT(&set));
    uint64_t milli = qn_cgroup_cpu_milli("");
    if (milli == 0)
        assert_int_equal(n, CPU_COUNT(&set));
    else
        assert_true((uint64_t)n <= (milli + 999) / 1000);
}

/* ---- control groups ---------------------------------------------------- */

typedef struct cg_file {
    const char *path, *text;
} cg_file;

/* Lays the files out under a folder of that name and returns it. */
static char *cg_tree(const char *name, const cg_file *files)
{
    char *root = qn_path_join(qn_test_tmpdir(), name);
    for (; files->path; files++) {
        char *path = qn_path_join(root, files->path);
        char *slash = strrchr(path, '/');
        *slash = '\0';
        assert_int_equal(qn_mkdirs(path, NULL), QN_OK);
        *slash = '/';
        qn_test_write_file(path, files->text, strlen(files->text));
        qn_free(path);
    }
    return root;
}

#define CG "sys/fs/cgroup/"

static void test_cgroup_v2(void **state)
{
    (void)state;
    const cg_file files[] = {
        {"proc/self/cgroup", "0::/a.slice/b.scope\n"},
        {CG "a.slice/memory.max", "8000000\n"},
        {CG "a.slice/memory.current", "7000000\n"},
        {CG "a.slice/memory.stat",
         "anon 1\nfile 5\nactive_file 500000\ninactive_file 1500000\n"},
        {CG "a.slice/cpu.max", "150000 100000\n"},
        {CG "a.slice/b.scope/memory.max", "max\n"},
        {CG "a.slice/b.scope/memory.current", "5\n"},
        {CG "a.slice/b.scope/cpu.max", "max 100000\n"},
        {0}};
    char *root = cg_tree("v2", files);
    qn_cgroup_mem m;
    assert_true(qn_cgroup_memory(root, &m));
    assert_int_equal(m.limit, 8000000);
    assert_int_equal(m.available, 8000000 - (7000000 - 2000000));
    assert_int_equal(qn_cgroup_cpu_milli(root), 1500);
    qn_free(root);
}

/* Inside a container: the path of the host, the group mounted at the root. */
static void test_cgroup_container(void **state)
{
    (void)state;
    const cg_file files[] = {{"proc/self/cgroup", "0::/../../docker/abc\n"},
                             {CG "memory.max", "1000\n"},
                             {CG "memory.current",
                              "5000\n"}, /* above: the limit was lowered */
                             {CG "cpu.max", "20000 100000\n"},
                             {0}};
    char *root = cg_tree("container", files);
    qn_cgroup_mem m;
    assert_true(qn_cgroup_memory(root, &m));
    assert_int_equal(m.limit, 1000);
    assert_int_equal(m.available, 0);
    assert_int_equal(qn_cgroup_cpu_milli(root), 200);
    qn_free(root);
}

static void test_cgroup_v1(void **state)
{
    (void)state;
    const cg_file files[] = {
        {"proc/self/cgroup", "12:cpuset:/x\n5:cpuacct,cpu:/x\n4:memory:/x/y\n"},
        {CG "memory/memory.limit_in_bytes", "9223372036854771712\n"},
        {CG "memory/memory.usage_in_bytes", "123456789\n"},
        {CG "memory/x/memory.limit_in_bytes", "4000\n"},
        {CG "memory/x/memory.usage_in_bytes", "3000\n"},
        {CG "memory/x/memory.stat",
         "inactive_file 7\ntotal_inactive_file 900\n"},
        {CG "memory/x/y/memory.limit_in_bytes", "9223372036854771712\n"},
        {CG "cpu/x/cpu.cfs_quota_us", "250000\n"},
        {CG "cpu/x/cpu.cfs_period_us", "100000\n"},
        {CG "cpu/cpu.cfs_quota_us", "-1\n"},
        {CG "cpu/cpu.cfs_period_us", "100000\n"},
        {0}};
    char *root = cg_tree("v1", files);
    qn_cgroup_mem m;
    assert_true(qn_cgroup_memory(root, &m));
    assert_int_equal(m.limit, 4000);
    assert_int_equal(m.available, 4000 - (3000 - 900));
    assert_int_equal(qn_cgroup_cpu_milli(root), 2500);
    qn_free(root);
}

static void test_cgroup_none(void **state)
{
    (void)state;
    static const cg_file none[] = {{0}};
    static const cg_file v2[] = {{"proc/self/cgroup", "0::/\n"}, {0}};
    static const cg_file v1[] = {{"proc/self/cgroup", "4:memory:/\n"},
                                 {CG "memory/memory.limit_in_bytes",
                                  "9223372036854771712\n"},
                                 {CG "memory/memory.usage_in_bytes", "1\n"},
                                 {0}};
    static const cg_file odd[] = {{"proc/self/cgroup", "nonsense\n0:\n0::"},
                                  {CG "cpu.max", "100000 0\n"},
                                  {CG "memory.max", "\n"},
                                  {0}};
    static const cg_file *const trees[] = {none, v2, v1, odd};
    for (int i = 0; i < 4; i++) {
        char name[16];
        snprintf(name, sizeof name, "none%d", i);
        char *root = cg_tree(name, trees[i]);
        qn_cgroup_mem m;
        assert_false(qn_cgroup_memory(root, &m));
        assert_int_equal(qn_cgroup_cpu_milli(root), 0);
        qn_free(root);
    }
}

int main(void)
{
    setenv("QUERN_CPU", qn_isa_name(first_level()), 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_isa),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_cap),
        cmocka_unit_test(test_cores),
        cmocka_unit_test(test_cgroup_v2),
        cmocka_unit_test(test_cgroup_container),
        cmocka_unit_test(test_cgroup_v1),
        cmocka_unit_test(test_cgroup_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
