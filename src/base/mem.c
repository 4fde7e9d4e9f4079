/* mem.c - allocation, and how much memory there is.
 *
 * Big blocks are counted per purpose in atomics; the blocks themselves carry
 * no header, so that their first byte is 2 MiB aligned and belongs to the
 * caller. */
#include "base/mem.h"

#include "base/cgroup.h"
#include "base/log.h"
#include "base/mem_int.h"
#include "base/str.h"
#include "base/hashmem.h"

#include <errno.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <unistd.h>

/* ---- small memory: never NULL --------------------------------------- */

_Noreturn void qn_mem_die(const char *why)
{
    qn_log(0, "%s", why);
    fprintf(stderr, "quern: %s\n", why);
    abort();
}

static _Noreturn void mem_die(size_t n, size_t size)
{
    char why[80];
    snprintf(why, sizeof why, "out of memory (%zu x %zu bytes)", n, size);
    qn_mem_die(why);
}

void *qn_xmalloc(size_t n)
{
    void *p = malloc(n ? n : 1);
    if (!p)
        mem_die(1, n);
    return p;
}

void *qn_xcalloc(size_t n, size_t size)
{
    void *p = n && size ? calloc(n, size) : calloc(1, 1);
    if (!p)
        mem_die(n, size);
    return p;
}

void *qn_xrealloc(void *p, size_t n)
{
    p = realloc(p, n ? n : 1);
    if (!p)
        mem_die(1, n);
    return p;
}

void *qn_xreallocarray(void *p, size_t n, size_t size)
{
    size_t bytes;
    if (!qn_mul_size(n, size, &bytes))
        mem_die(n, size);
    p = realloc(p, bytes ? bytes : 1);
    if (!p)
        mem_die(n, size);
    return p;
}

void *qn_xcopy(const void *p, size_t n, size_t size)
{
    if (n == 0)
        return NULL;
    void *c = qn_xreallocarray(NULL, n, size);
    memcpy(c, p, n * size);
    return c;
}

char *qn_xstrdup(const char *s)
{
    return qn_xstrndup(s, strlen(s));
}

char *qn_xstrndup(const char *s, size_t n)
{
    size_t bytes;
    if (!qn_add_size(n, 1, &bytes))
        mem_die(1, n);
    char *p = qn_xmalloc(bytes);
    if (n)
        memcpy(p, s, n);
    p[n] = '\0';
    return p;
}

void qn_free(void *p)
{
    free(p);
}

/* ---- fault injection -------------------------------------------------- */

/* Successes left before the injected failure; negative: none is armed. */
static _Atomic int64_t mem_fail_left = -1;
static atomic_bool mem_fail_fired;

bool qn_mem_fail_after(int64_t n)
{
    atomic_store(&mem_fail_left, n < 0 ? -1 : n);
    return atomic_exchange(&mem_fail_fired, false);
}

bool qn_mem_inject(void)
{
    int64_t left = atomic_load_explicit(&mem_fail_left, memory_order_relaxed);
    while (left >= 0) {
        if (!atomic_compare_exchange_weak(&mem_fail_left, &left, left - 1))
            continue;
        if (left == 0)
            atomic_store(&mem_fail_fired, true);
        return left == 0;
    }
    return false;
}

/* ---- checked memory --------------------------------------------------- */

/* No bookkeeping needs a tebibyte: a size like that is a hostile claim. */
#define MEM_CHECKED_MAX ((size_t)1 << 40)

void *qn_alloc(size_t n, size_t size)
{
    size_t bytes;
    if (qn_mem_inject() || !qn_mul_size(n, size, &bytes) ||
        bytes > MEM_CHECKED_MAX)
        return NULL;
    return calloc(bytes ? bytes : 1, 1);
}

bool qn_mul_size(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

bool qn_add_size(size_t a, size_t b, size_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

bool qn_mul_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

bool qn_add_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

/* ---- big blocks -------------------------------------------------------- */

#define MEM_HUGE ((size_t)2 << 20)

static const char *const mem_purpose_name[QN_MEM_N] = {
    [QN_MEM_WEIGHTS] = "weights",         [QN_MEM_KV] = "the KV cache",
    [QN_MEM_WORKSPACE] = "workspace",     [QN_MEM_LOGITS] = "logits",
    [QN_MEM_ACTIVATIONS] = "activations", [QN_MEM_OTHER] = "other data"};

static _Atomic uint64_t mem_used[QN_MEM_N], mem_text_peak;

/* Bytes mapped for a block of n: whole pages, at least one; 0 on overflow. */
static size_t mem_map_size(size_t n)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (n == 0)
        n = 1;
    if (n > SIZE_MAX / 2)
        return 0;
    return (n + page - 1) & ~(page - 1);
}

/* `size` bytes of fresh pages whose address is a multiple of MEM_HUGE: maps
 * too much and gives the ends back. */
static void *mem_map_huge(size_t size)
{
    char *p = mmap(NULL, size + MEM_HUGE, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return MAP_FAILED;
    size_t head = -(uintptr_t)p & (MEM_HUGE - 1);
    if (head)
        munmap(p, head);
    if (MEM_HUGE - head)
        munmap(p + head + size, MEM_HUGE - head);
    /* Advice: without huge pages the block works, only more slowly. */
    (void)madvise(p + head, size, MADV_HUGEPAGE);
    return p + head;
}

/* Fresh zeroed pages for n bytes, or MAP_FAILED and errno. */
static void *mem_map(size_t n)
{
    size_t size = mem_map_size(n);
    if (size == 0) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    if (n >= MEM_HUGE)
        return mem_map_huge(size);
    return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                -1, 0);
}

void *qn_pages_new(size_t n)
{
    void *p = mem_map(n);
    if (p == MAP_FAILED)
        mem_die(1, n);
    return p;
}

void qn_pages_free(void *p, size_t n)
{
    if (p)
        munmap(p, mem_map_size(n));
}

/* A byte of every small page is written: huge ones are not always to be had. */
void *qn_hashmem_new(size_t n, size_t size)
{
    size_t bytes;
    if (!qn_mul_size(n, size, &bytes))
        mem_die(n, size);
    if (bytes < MEM_HUGE)
        return memset(qn_xmalloc(bytes), 0, bytes);
    volatile char *p = qn_pages_new(bytes);
    size_t step = (size_t)sysconf(_SC_PAGESIZE);
    for (size_t i = 0; i < bytes; i += step)
        p[i] = 0;
    return (void *)p;
}

void qn_hashmem_free(void *p, size_t n, size_t size)
{
    if (n * size < MEM_HUGE)
        free(p);
    else
        qn_pages_free(p, n * size);
}

static void mem_count(size_t n, qn_purpose purpose)
{
    atomic_fetch_add(&mem_used[purpose], n);
    uint64_t text = qn_big_used(QN_MEM_KV) + qn_big_used(QN_MEM_WORKSPACE) +
                    qn_big_used(QN_MEM_LOGITS) +
                    qn_big_used(QN_MEM_ACTIVATIONS);
    uint64_t most = atomic_load(&mem_text_peak);
    while (text > most &&
           !atomic_compare_exchange_weak(&mem_text_peak, &most, text))
        continue;
}

int qn_big_alloc(void **out, size_t n, qn_purpose purpose, qn_err *err)
{
    bool injected = qn_mem_inject();
    void *p = injected ? MAP_FAILED : mem_map(n);
    if (p == MAP_FAILED) {
        const char *why = injected ? "injected failure" : strerror(errno);
        char want[32], have[32];
        return qn_fail(err, QN_ENOMEM,
                       "cannot allocate %s for %s (%s): %s available; free "
                       "memory or ask for less",
                       qn_fmt_bytes(want, sizeof want, n),
                       mem_purpose_name[purpose], why,
                       qn_fmt_bytes(have, sizeof have, qn_mem_available()));
    }
    mem_count(n, purpose);
    *out = p;
    return QN_OK;
}

void qn_big_sparse(void *p, size_t n)
{
    (void)madvise(p, mem_map_size(n), MADV_NOHUGEPAGE); /* advice */
}

void qn_big_free(void *p, size_t n, qn_purpose purpose)
{
    if (!p)
        return;
    qn_pages_free(p, n);
    atomic_fetch_sub(&mem_used[purpose], n);
}

void qn_big_populate(void *p, size_t n)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t at = (uintptr_t)p, first = at & ~(page - 1);
    (void)madvise((void *)first, at - first + n, MADV_POPULATE_WRITE);
}

uint64_t qn_big_used(qn_purpose purpose)
{
    return atomic_load(&mem_used[purpose]);
}

uint64_t qn_big_text_peak(void)
{
    return atomic_load(&mem_text_peak);
}

/* ---- what there is ----------------------------------------------------- */

/* The value behind "key:" in a /proc file whose lines read "key: N kB". */
static uint64_t mem_proc_kb(const char *path, const char *key)
{
    FILE *f = fopen(path, "re");
    if (!f)
        return 0;
    char line[256];
    uint64_t kb = 0;
    size_t n = strlen(key);
    while (fgets(line, sizeof line, f)) {
        if (strncmp(line, key, n) != 0 || line[n] != ':')
            continue;
        kb = strtoull(line + n + 1, NULL, 10);
        break;
    }
    fclose(f);
    return kb * 1024;
}

/* Where /proc is not there (a bare chroot), less is known: the page cache, which
 * gives way as well, does not count as free. */
static uint64_t mem_host(bool available)
{
    uint64_t n = mem_proc_kb("/proc/meminfo",
                             available ? "MemAvailable" : "MemTotal");
    struct sysinfo si;
    if (n || sysinfo(&si) != 0)
        return n;
    n = available ? (uint64_t)si.freeram + si.bufferram : si.totalram;
    return n * si.mem_unit;
}

uint64_t qn_mem_available(void)
{
    uint64_t host = mem_host(true);
    qn_cgroup_mem cg;
    if (!qn_cgroup_memory("", &cg))
        return host;
    return QN_MIN(host, cg.available);
}

uint64_t qn_mem_total(void)
{
    uint64_t host = mem_host(false);
    qn_cgroup_mem cg;
    if (!qn_cgroup_memory("", &cg))
        return host;
    return QN_MIN(host, cg.limit);
}

#ifdef __GLIBC__
void qn_mem_trim(void)
{
    malloc_trim(0);
}
#else
void qn_mem_trim(void) {}
#endif

uint64_t qn_mem_rss(void)
{
    return mem_proc_kb("/proc/self/status", "VmRSS");
}

uint64_t qn_mem_peak_rss(void)
{
    uint64_t hwm = mem_proc_kb("/proc/self/status", "VmHWM");
    if (hwm)
        return hwm;
    struct rusage ru;
    if (getrusage(RUSAGE_SELF, &ru) != 0)
        return 0;
    return (uint64_t)ru.ru_maxrss * 1024;
}
