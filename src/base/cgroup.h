/* cgroup.h - the limits that a container or service manager puts on this
 * process (Linux control groups, version 2 and version 1).
 *
 * `root` goes before every path ("" for the machine itself), so that tests
 * can lay out a tree of their own. Limits hold along the whole way from the
 * process's group up to the root: the tightest counts. */
#ifndef QN_BASE_CGROUP_H
#define QN_BASE_CGROUP_H

#include <stdbool.h>
#include <stdint.h>

typedef struct qn_cgroup_mem {
    uint64_t limit;     /* bytes, the lowest limit on the way up */
    uint64_t available; /* bytes, the lowest (limit - use + page cache) */
} qn_cgroup_mem;

/* false when no limit is set. */
bool qn_cgroup_memory(const char *root, qn_cgroup_mem *out);

/* CPU time granted, in thousandths of a core; 0 when no quota is set. */
uint64_t qn_cgroup_cpu_milli(const char *root);

#endif
