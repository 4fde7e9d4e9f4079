/* map.c - open addressing with linear probing, at most 5/8 full.
 *
 * A slot holds the key's address, its length and 32 bits of its hash, so that
 * a probe touches foreign memory only when length and hash agree. Invariant:
 * a slot is empty exactly when hash is 0 (a hash of 0 is stored as 1), and
 * there is always an empty slot.
 *
 * The hash folds 64 x 64 -> 128 bit products of the key's words, each masked
 * with a secret from the operating system. Who does not know the secret
 * cannot choose colliding keys. */
#include "base/map.h"

#include "base/mem.h"
#include "base/rng.h"
#include "base/hashmem.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

typedef struct qn_map_slot {
    const char *key;
    uint64_t value;
    uint32_t n;
    uint32_t hash;
} map_slot;

/* ---- the hash ---------------------------------------------------------- */

static uint64_t map_secret[4];
static pthread_once_t map_once = PTHREAD_ONCE_INIT;

static void map_seed(void)
{
    /* Odd words: a multiplier keeps its information. */
    for (int i = 0; i < 4; i++)
        map_secret[i] = qn_rng_entropy() | 1;
}

static inline uint64_t map_r64(const uint8_t *p)
{
    uint64_t x;
    memcpy(&x, p, 8);
    return x;
}

static inline uint64_t map_r32(const uint8_t *p)
{
    uint32_t x;
    memcpy(&x, p, 4);
    return x;
}

static inline uint64_t map_fold(uint64_t a, uint64_t b)
{
    qn_u128 m = (qn_u128)a * b;
    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

static uint64_t map_hash(const void *key, size_t n)
{
    const uint8_t *p = key;
    const uint64_t *s = map_secret;
    uint64_t h = s[0], a = 0, b = 0;
    size_t left = n;
    for (; left > 16; left -= 16, p += 16)
        h = map_fold(map_r64(p) ^ s[1], map_r64(p + 8) ^ h);
    if (left >= 8) {
        a = map_r64(p);
        b = map_r64(p + left - 8);
    } else if (left >= 4) {
        a = map_r32(p) << 32 | map_r32(p + left - 4);
    } else if (left > 0) {
        a = (uint64_t)p[0] << 16 | (uint64_t)p[left / 2] << 8 | p[left - 1];
    }
    return map_fold(map_fold(a ^ s[1], b ^ h) ^ s[2], n ^ s[3]);
}

uint64_t qn_hash(const void *p, size_t n)
{
    pthread_once(&map_once, map_seed);
    return map_hash(p, n);
}

/* ---- the table --------------------------------------------------------- */

static uint32_t map_tag(const char *key, size_t n)
{
    uint32_t h = (uint32_t)(map_hash(key, n) >> 32);
    return h ? h : 1;
}

static size_t map_room(size_t cap)
{
    return cap / 8 * 5;
}

static void map_rehash(qn_map *m, size_t cap)
{
    map_slot *old = m->slots;
    size_t old_cap = m->cap;
    m->slots = qn_hashmem_new(cap, sizeof *m->slots);
    m->cap = cap;
    for (size_t i = 0; i < old_cap; i++) {
        if (old[i].hash == 0)
            continue;
        size_t j = old[i].hash & (cap - 1);
        while (m->slots[j].hash != 0)
            j = (j + 1) & (cap - 1);
        m->slots[j] = old[i];
    }
    qn_hashmem_free(old, old_cap, sizeof *old);
}

void qn_map_init(qn_map *m, size_t expected)
{
    pthread_once(&map_once, map_seed);
    *m = (qn_map){0};
    if (expected == 0)
        return;
    size_t cap = 16;
    while (map_room(cap) < expected && cap <= SIZE_MAX / 4)
        cap *= 2;
    map_rehash(m, cap);
}

void qn_map_deinit(qn_map *m)
{
    qn_hashmem_free(m->slots, m->cap, sizeof(map_slot));
    *m = (qn_map){0};
}

/* The slot of the key, or the empty one where it belongs (cap > 0). */
static map_slot *map_find(const qn_map *m, const char *key, size_t n,
                          uint32_t tag)
{
    size_t i = tag & (m->cap - 1);
    for (;; i = (i + 1) & (m->cap - 1)) {
        map_slot *s = &m->slots[i];
        if (s->hash == 0)
            return s;
        if (s->hash == tag && s->n == n &&
            (n == 0 || memcmp(s->key, key, n) == 0))
            return s;
    }
}

/* Finds or adds; *fresh says which. */
static map_slot *map_slot_for(qn_map *m, const char *key, size_t n, bool *fresh)
{
    assert(n <= UINT32_MAX);
    if (m->n >= map_room(m->cap))
        map_rehash(m, m->cap ? m->cap * 2 : 16);
    uint32_t tag = map_tag(key, n);
    map_slot *s = map_find(m, key, n, tag);
    *fresh = s->hash == 0;
    if (*fresh) {
        *s = (map_slot){key, 0, (uint32_t)n, tag};
        m->n++;
    }
    return s;
}

bool qn_map_add(qn_map *m, const char *key, size_t n, uint64_t value)
{
    bool fresh;
    map_slot *s = map_slot_for(m, key, n, &fresh);
    if (fresh)
        s->value = value;
    return fresh;
}

void qn_map_put(qn_map *m, const char *key, size_t n, uint64_t value)
{
    bool fresh;
    map_slot_for(m, key, n, &fresh)->value = value;
}

bool qn_map_get(const qn_map *m, const char *key, size_t n, uint64_t *value)
{
    if (m->n == 0)
        return false;
    const map_slot *s = map_find(m, key, n, map_tag(key, n));
    if (s->hash == 0)
        return false;
    *value = s->value;
    return true;
}
