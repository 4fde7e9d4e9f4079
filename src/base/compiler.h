/* compiler.h - the one place for GNU extensions and build facts. */
#ifndef QN_BASE_COMPILER_H
#define QN_BASE_COMPILER_H

#include <stddef.h>

#define QN_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define QN_UNUSED __attribute__((unused))
#define QN_NOINLINE __attribute__((noinline))
#define QN_INLINE static inline __attribute__((always_inline))
#define QN_ALIGNED(n) __attribute__((aligned(n)))
#define QN_LIKELY(x) __builtin_expect(!!(x), 1)
/* Asks for the cache line at p, which may be any address; into the second
 * level, where more of them can be on their way (x86/stream.h). */
#define QN_PREFETCH(p) __builtin_prefetch((p), 0, 2)

__extension__ typedef unsigned __int128 qn_u128;

/* Before a loop with a constant trip count: unroll all of it, so that arrays
 * indexed by its counter can live in registers. */
#if defined(__clang__)
#define QN_UNROLL _Pragma("clang loop unroll(full)")
#define QN_UNROLL_TWICE _Pragma("clang loop unroll_count(2)")
#else
#define QN_UNROLL _Pragma("GCC unroll 32")
#define QN_UNROLL_TWICE _Pragma("GCC unroll 2")
#endif

#define QN_COUNTOF(a) (sizeof(a) / sizeof((a)[0]))
#define QN_CONTAINER_OF(ptr, type, member) \
    ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define QN_MIN(a, b) ((a) < (b) ? (a) : (b))
#define QN_MAX(a, b) ((a) > (b) ? (a) : (b))

#endif
