/* arena.h - many small objects with one lifetime.
 *
 * Ownership: everything from an arena is freed by qn_arena_deinit. Not
 * thread-safe. Never returns NULL (see base/mem.h). */
#ifndef QN_BASE_ARENA_H
#define QN_BASE_ARENA_H

#include <stddef.h>

typedef struct qn_arena {
    struct qn_arena_block *head; /* newest first */
    size_t used;                 /* bytes used in head */
    size_t total;                /* bytes handed out */
} qn_arena;

void qn_arena_init(qn_arena *a);
void qn_arena_deinit(qn_arena *a);

/* 16-byte aligned, not cleared. */
void *qn_arena_alloc(qn_arena *a, size_t n);
/* Cleared, n * size checked. */
void *qn_arena_calloc(qn_arena *a, size_t n, size_t size);
/* Copy of n bytes with a NUL behind. */
char *qn_arena_strndup(qn_arena *a, const char *s, size_t n);

#endif
