/* cpu.c - what the machine grants: instruction sets, cores, caches.
 *
 * Detected once, on the first question. QUERN_CPU is applied then. */
#include "base/cpu.h"

#include "base/cgroup.h"
#include "base/compiler.h"
#include "base/cpu_detect.h"
#include "base/log.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const cpu_isa_name[QN_ISA_N] = {
    [QN_ISA_REF] = "ref",
    [QN_ISA_AVX2] = "avx2",
    [QN_ISA_AVXVNNI] = "avxvnni",
    [QN_ISA_AVX512] = "avx512",
    [QN_ISA_AVX512VNNI] = "avx512vnni",
    [QN_ISA_AVX512BF16] = "avx512bf16",
    [QN_ISA_AMX] = "amx",
    [QN_ISA_NEON] = "neon",
    [QN_ISA_DOTPROD] = "dotprod",
    [QN_ISA_I8MM] = "i8mm",
    [QN_ISA_BF16] = "bf16"};

static qn_cpu cpu_state;
static pthread_once_t cpu_once = PTHREAD_ONCE_INIT;

const char *qn_isa_name(qn_isa isa)
{
    return (unsigned)isa < QN_ISA_N ? cpu_isa_name[isa] : "unknown";
}

bool qn_isa_native(qn_isa isa)
{
    return isa == QN_ISA_REF ||
           (isa >= qn_cpu_levels.first && isa <= qn_cpu_levels.last);
}

bool qn_isa_parse(const char *s, qn_isa *out)
{
    for (int i = 0; i < QN_ISA_N; i++) {
        if (!qn_isa_native((qn_isa)i) || strcmp(s, cpu_isa_name[i]) != 0)
            continue;
        *out = (qn_isa)i;
        return true;
    }
    return false;
}

static char cpu_names[128];

static void cpu_list_names(void)
{
    for (int i = 0; i < QN_ISA_N; i++) {
        size_t n = strlen(cpu_names);
        if (qn_isa_native((qn_isa)i))
            snprintf(cpu_names + n, sizeof cpu_names - n, "%s%s", n ? " " : "",
                     cpu_isa_name[i]);
    }
}

const char *qn_isa_names(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, cpu_list_names);
    return cpu_names;
}

/* Cores in the affinity mask, of machines of any size. */
static int cpu_affinity(void)
{
    for (int n = 1024; n <= 1 << 20; n *= 2) {
        cpu_set_t *set = CPU_ALLOC((size_t)n);
        if (!set)
            break;
        size_t size = CPU_ALLOC_SIZE((size_t)n);
        int rc = sched_getaffinity(0, size, set);
        int count = rc == 0 ? CPU_COUNT_S(size, set) : 0;
        CPU_FREE(set);
        if (rc == 0)
            return count;
    }
    return (int)sysconf(_SC_NPROCESSORS_ONLN);
}

static int cpu_cores(void)
{
    int n = cpu_affinity();
    uint64_t quota = (qn_cgroup_cpu_milli("") + 999) / 1000;
    if (quota > 0 && quota < (uint64_t)QN_MAX(n, 1))
        n = (int)quota;
    return QN_MAX(n, 1);
}

/* One line of a file of cpu0's cache `index`; empty when it is not there. */
static void cpu_cache_line(int index, const char *file, char *buf, int cap)
{
    char path[96];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/%s",
             index, file);
    buf[0] = '\0';
    FILE *f = fopen(path, "re");
    if (!f)
        return;
    if (!fgets(buf, cap, f))
        buf[0] = '\0';
    fclose(f);
}

static void cpu_caches(qn_cpu *c)
{
    for (int i = 0; i < 8; i++) {
        char level[16], type[16], size[16];
        cpu_cache_line(i, "level", level, sizeof level);
        cpu_cache_line(i, "type", type, sizeof type);
        cpu_cache_line(i, "size", size, sizeof size); /* "32K" */
        if (type[0] == 'I')
            continue;
        uint64_t bytes = strtoull(size, NULL, 10) << 10;
        if (level[0] == '1')
            c->l1d = bytes;
        if (level[0] == '2')
            c->l2 = bytes;
        if (level[0] == '3')
            c->l3 = bytes;
    }
}

/* The best granted level up to `isa`. */
static qn_isa cpu_best(const qn_cpu *c, qn_isa isa)
{
    while (isa > QN_ISA_REF && !(c->granted >> isa & 1))
        isa--;
    return isa;
}

static void cpu_detect(void)
{
    qn_cpu *c = &cpu_state;
    c->granted = qn_cpu_detect(c->name, sizeof c->name) | 1u << QN_ISA_REF;
    c->isa_detected = cpu_best(c, QN_ISA_N - 1);
    if (!c->name[0])
        snprintf(c->name, sizeof c->name, "unknown processor");
    c->isa = c->isa_detected;
    c->n_cores = cpu_cores();
    cpu_caches(c);
    const char *cap = getenv("QUERN_CPU");
    if (!cap || !*cap)
        return;
    qn_isa isa;
    if (!qn_isa_parse(cap, &isa))
        qn_log(1, "QUERN_CPU=%s is not known here and ignored; known are %s",
               cap, qn_isa_names());
    else
        c->isa = cpu_best(c, isa);
}

const qn_cpu *qn_cpu_get(void)
{
    pthread_once(&cpu_once, cpu_detect);
    return &cpu_state;
}

void qn_cpu_cap(qn_isa isa)
{
    pthread_once(&cpu_once, cpu_detect);
    cpu_state.isa = cpu_best(&cpu_state, isa);
}

bool qn_isa_granted(qn_isa isa)
{
    return qn_cpu_get()->granted >> isa & 1;
}
