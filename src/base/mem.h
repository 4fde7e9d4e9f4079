/* mem.h - allocation.
 *
 * Small, bookkeeping-sized memory: qn_xmalloc and friends never return NULL;
 * running out there ends the program with a message, since nothing useful can
 * follow. Sizes that come from a file, a request or a model go through the
 * checked qn_alloc / qn_big_alloc, which return NULL or QN_ENOMEM.
 *
 * Big blocks (weights, KV pages, workspaces) come from qn_big_alloc: anonymous
 * pages, 2 MiB aligned, with transparent huge pages asked for, tagged with a
 * purpose so that the memory plan can be compared with the truth.
 * Thread-safe. */
#ifndef QN_BASE_MEM_H
#define QN_BASE_MEM_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void *qn_xmalloc(size_t n);
void *qn_xcalloc(size_t n, size_t size);
void *qn_xrealloc(void *p, size_t n);
/* realloc to n * size, overflow-checked; dies only when memory runs out. */
void *qn_xreallocarray(void *p, size_t n, size_t size);
/* A copy of an array of n elements; NULL where there are none. */
void *qn_xcopy(const void *p, size_t n, size_t size);
char *qn_xstrdup(const char *s);
char *qn_xstrndup(const char *s, size_t n);
/* Ends the program, as those do, with a line to the log and to standard error. */
_Noreturn void qn_mem_die(const char *why);

/* NULL when n * size overflows or memory is short. Zeroed; free with free()
 * or qn_free(). n * size == 0 gives a valid pointer. */
void *qn_alloc(size_t n, size_t size);

/* Checked arithmetic for sizes from outside: false on overflow. */
bool qn_mul_size(size_t a, size_t b, size_t *out);
bool qn_add_size(size_t a, size_t b, size_t *out);
bool qn_mul_u64(uint64_t a, uint64_t b, uint64_t *out);
bool qn_add_u64(uint64_t a, uint64_t b, uint64_t *out);

typedef enum qn_purpose {
    QN_MEM_WEIGHTS,
    QN_MEM_KV,
    QN_MEM_WORKSPACE,
    QN_MEM_LOGITS,
    QN_MEM_ACTIVATIONS, /* of a text that is read as a whole */
    QN_MEM_OTHER,
    QN_MEM_N
} qn_purpose;

/* Zero-filled (by the kernel, on first touch), aligned to 2 MiB when
 * n >= 2 MiB and to 4 KiB otherwise. n == 0 gives a valid one-page block. */
int qn_big_alloc(void **out, size_t n, qn_purpose purpose, qn_err *err);
/* A block of which few parts will be touched: small pages are asked for, before
 * anything is in it. n as it was allocated. */
void qn_big_sparse(void *p, size_t n);
/* n as it was allocated. NULL is fine. */
void qn_big_free(void *p, size_t n, qn_purpose purpose);
/* Has the kernel give now what it would give on first touch, for n bytes from
 * p on. Advice: where it fails nothing is lost but time later. */
void qn_big_populate(void *p, size_t n);
/* Bytes held now for a purpose. */
uint64_t qn_big_used(qn_purpose purpose);
/* The most that a text ever held at once: KV, workspace, logits and
 * activations, bytes. */
uint64_t qn_big_text_peak(void);

/* Memory a new block could take without swapping, from /proc/meminfo (without
 * it from sysinfo) and the cgroup's limit, bytes; and the whole memory granted. */
uint64_t qn_mem_available(void);
uint64_t qn_mem_total(void);
/* What was freed goes back to the system, where the C library keeps it: after a
 * large thing of small pieces. */
void qn_mem_trim(void);
/* Resident set of this process, now and at its peak, bytes. */
uint64_t qn_mem_rss(void);
uint64_t qn_mem_peak_rss(void);

/* Fault injection for tests: of the checked allocations (qn_alloc,
 * qn_big_alloc, the threads of a pool) from now on, the first n succeed and
 * the next one fails, once; n < 0 disarms. Returns whether the failure armed
 * before has happened. The loop that covers every allocation of an operation:
 *
 *     for (int n = 0;; n++) {
 *         qn_mem_fail_after(n);
 *         rc = operation();
 *         if (!qn_mem_fail_after(-1)) break;   // it needed no more than n
 *         assert(rc == QN_ENOMEM);             // and nothing leaked
 *     }
 */
bool qn_mem_fail_after(int64_t n);

#endif
