/* arena.c - bump allocation in blocks that double.
 *
 * Invariants: head is the block that is being filled, used <= head->cap;
 * blocks behind head are full or hold one large object. */
#include "base/arena.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

enum {
    ARENA_ALIGN = 16,
    ARENA_MIN = 4096,
    ARENA_MAX = 1 << 20
};

typedef struct qn_arena_block {
    struct qn_arena_block *next;
    size_t cap;
    _Alignas(16) char data[];
} arena_block;

void qn_arena_init(qn_arena *a)
{
    *a = (qn_arena){0};
}

void qn_arena_deinit(qn_arena *a)
{
    for (arena_block *b = a->head, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    *a = (qn_arena){0};
}

static arena_block *arena_block_new(size_t cap)
{
    size_t bytes;
    if (!qn_add_size(sizeof(arena_block), cap, &bytes))
        bytes = SIZE_MAX;
    arena_block *b = qn_xmalloc(bytes);
    b->next = NULL;
    b->cap = cap;
    return b;
}

void *qn_arena_alloc(qn_arena *a, size_t n)
{
    size_t want;
    if (!qn_add_size(n, ARENA_ALIGN - 1, &want))
        want = SIZE_MAX;
    want &= ~(size_t)(ARENA_ALIGN - 1);
    if (want == 0)
        want = ARENA_ALIGN;

    arena_block *head = a->head;
    if (head && head->cap - a->used >= want) {
        void *p = head->data + a->used;
        a->used += want;
        a->total += want;
        return p;
    }
    size_t cap = head ? head->cap : ARENA_MIN / 2;
    cap = cap < ARENA_MAX / 2 ? cap * 2 : ARENA_MAX;
    a->total += want;
    if (head && want > cap / 4) { /* goes behind head, which stays in use */
        arena_block *b = arena_block_new(want);
        b->next = head->next;
        head->next = b;
        return b->data;
    }
    if (cap < want)
        cap = want;
    arena_block *b = arena_block_new(cap);
    b->next = head;
    a->head = b;
    a->used = want;
    return b->data;
}

void *qn_arena_calloc(qn_arena *a, size_t n, size_t size)
{
    size_t bytes;
    if (!qn_mul_size(n, size, &bytes))
        bytes = SIZE_MAX; /* dies */
    void *p = qn_arena_alloc(a, bytes);
    memset(p, 0, bytes);
    return p;
}

char *qn_arena_strndup(qn_arena *a, const char *s, size_t n)
{
    size_t bytes;
    if (!qn_add_size(n, 1, &bytes))
        bytes = SIZE_MAX; /* dies */
    char *p = qn_arena_alloc(a, bytes);
    if (n)
        memcpy(p, s, n);
    p[n] = '\0';
    return p;
}
