/* cgroup.c - reads /proc/self/cgroup and /sys/fs/cgroup.
 *
 * Version 2 has one line "0::/path"; version 1 one line per hierarchy,
 * "5:cpu,cpuacct:/path". Inside a container the path may be the host's while
 * only the container's own group is mounted: a folder that is not there is
 * skipped on the way up, and the mount point itself always is looked at. */
#include "base/cgroup.h"

#include "base/compiler.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    CG_PATH = 4096,
    CG_TEXT = 8192
};

/* Reads a small pseudo file; false when it is not there. */
static bool cg_read(const char *path, char *buf, size_t cap)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    size_t n = 0;
    while (n + 1 < cap) {
        ssize_t r = read(fd, buf + n, cap - 1 - n);
        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0)
            break;
        n += (size_t)r;
    }
    close(fd);
    buf[n] = '\0';
    return true;
}

static bool cg_read_in(const char *dir, const char *file, char *buf, size_t cap)
{
    char path[CG_PATH];
    int n = snprintf(path, sizeof path, "%s/%s", dir, file);
    return n > 0 && (size_t)n < sizeof path && cg_read(path, buf, cap);
}

/* One number; "max" and absence give false. */
static bool cg_number(const char *dir, const char *file, uint64_t *out)
{
    char buf[64];
    if (!cg_read_in(dir, file, buf, sizeof buf))
        return false;
    char *end;
    errno = 0;
    unsigned long long v = strtoull(buf, &end, 10);
    if (end == buf || errno != 0)
        return false;
    *out = v;
    return true;
}

/* The value behind `key ` in a memory.stat; 0 when it is not there. */
static uint64_t cg_stat(const char *text, const char *key)
{
    size_t n = strlen(key);
    for (const char *p = text; p; p = strchr(p, '\n')) {
        if (*p == '\n')
            p++;
        if (strncmp(p, key, n) == 0 && p[n] == ' ')
            return strtoull(p + n + 1, NULL, 10);
    }
    return 0;
}

/* Whether the comma-separated list (up to ':') names the controller. */
static bool cg_names(const char *list, const char *controller)
{
    size_t n = strlen(controller);
    for (const char *p = list;; p++) {
        size_t len = strcspn(p, ",:\n");
        if (len == n && memcmp(p, controller, n) == 0)
            return true;
        p += len;
        if (*p != ',')
            return false;
    }
}

/* This process's group: the path in the hierarchy of `controller` (NULL:
 * version 2). */
static bool cg_own(const char *root, const char *controller, char *out,
                   size_t cap)
{
    char text[CG_TEXT];
    if (!cg_read_in(root, "proc/self/cgroup", text, sizeof text))
        return false;
    for (char *line = text; line && *line; line = strchr(line, '\n')) {
        if (*line == '\n')
            line++;
        char *list = strchr(line, ':');
        if (!list)
            return false;
        char *path = strchr(list + 1, ':');
        if (!path)
            return false;
        bool mine = controller ? cg_names(list + 1, controller)
                               : strncmp(line, "0::", 3) == 0;
        if (!mine)
            continue;
        size_t n = strcspn(++path, "\n");
        if (n >= cap)
            return false;
        memcpy(out, path, n);
        out[n] = '\0';
        return true;
    }
    return false;
}

typedef void (*cg_visit)(const char *dir, void *arg);

/* Visits root/mount/path, its parents, and last root/mount itself. */
static void cg_walk(const char *root, const char *mount, const char *controller,
                    cg_visit visit, void *arg)
{
    char own[CG_PATH / 2], dir[CG_PATH];
    if (!cg_own(root, controller, own, sizeof own))
        return;
    int base = snprintf(dir, sizeof dir, "%s/%s", root, mount);
    if (base < 0 || (size_t)base + strlen(own) >= sizeof dir)
        return;
    memcpy(dir + base, own, strlen(own) + 1);
    for (;;) {
        visit(dir, arg);
        char *slash = strrchr(dir + base, '/');
        if (!slash)
            return;
        *slash = '\0';
    }
}

/* ---- memory ------------------------------------------------------------ */

typedef struct cg_mem_walk {
    const char *limit, *usage;     /* file names */
    const char *inactive, *active; /* keys of memory.stat */
    qn_cgroup_mem m;
} cg_mem_walk;

static void cg_mem_visit(const char *dir, void *arg)
{
    cg_mem_walk *w = arg;
    uint64_t limit, usage;
    if (!cg_number(dir, w->limit, &limit))
        return;
    w->m.limit = QN_MIN(w->m.limit, limit);
    if (!cg_number(dir, w->usage, &usage))
        return;
    /* Pages of files are counted as used, but give way when memory is
     * wanted, whether they have been read once or twice. */
    char text[CG_TEXT];
    uint64_t cache = 0;
    if (cg_read_in(dir, "memory.stat", text, sizeof text))
        cache = cg_stat(text, w->inactive) + cg_stat(text, w->active);
    usage -= QN_MIN(usage, cache);
    w->m.available = QN_MIN(w->m.available, limit - QN_MIN(limit, usage));
}

bool qn_cgroup_memory(const char *root, qn_cgroup_mem *out)
{
    cg_mem_walk w = {.limit = "memory.max",
                     .usage = "memory.current",
                     .inactive = "inactive_file",
                     .active = "active_file",
                     .m = {UINT64_MAX, UINT64_MAX}};
    cg_walk(root, "sys/fs/cgroup", NULL, cg_mem_visit, &w);
    w.limit = "memory.limit_in_bytes";
    w.usage = "memory.usage_in_bytes";
    w.inactive = "total_inactive_file";
    w.active = "total_active_file";
    cg_walk(root, "sys/fs/cgroup/memory", "memory", cg_mem_visit, &w);
    *out = w.m;
    /* Version 1 says "no limit" with a number close to 2^63. */
    return w.m.limit < (uint64_t)1 << 60;
}

/* ---- processor --------------------------------------------------------- */

static void cg_cpu_take(uint64_t *milli, uint64_t quota, uint64_t period)
{
    if (period == 0 || quota > UINT64_MAX / 1000)
        return;
    uint64_t m = QN_MAX(quota * 1000 / period, 1);
    if (*milli == 0 || m < *milli)
        *milli = m;
}

static void cg_cpu_visit_v2(const char *dir, void *arg)
{
    char text[64];
    unsigned long long quota, period;
    if (!cg_read_in(dir, "cpu.max", text, sizeof text))
        return;
    if (sscanf(text, "%llu %llu", &quota, &period) != 2)
        return; /* "max" */
    cg_cpu_take(arg, quota, period);
}

static void cg_cpu_visit_v1(const char *dir, void *arg)
{
    char text[64];
    uint64_t period;
    if (!cg_read_in(dir, "cpu.cfs_quota_us", text, sizeof text))
        return;
    long long quota = strtoll(text, NULL, 10);
    if (quota <= 0 || !cg_number(dir, "cpu.cfs_period_us", &period))
        return;
    cg_cpu_take(arg, (uint64_t)quota, period);
}

uint64_t qn_cgroup_cpu_milli(const char *root)
{
    uint64_t milli = 0;
    cg_walk(root, "sys/fs/cgroup", NULL, cg_cpu_visit_v2, &milli);
    cg_walk(root, "sys/fs/cgroup/cpu", "cpu", cg_cpu_visit_v1, &milli);
    return milli;
}
