/* tok_vocab.c - one blob of bytes, one array by id, one hash table by text.
 *
 * A slot holds 32 bits of the text's hash beside the id, so that a probe goes
 * to the text only when it almost certainly is the one. The table is at most
 * half full. The hash is seeded per vocabulary from the process's secret. */
#include "text/tok_vocab.h"

#include "base/map.h"
#include "base/mem.h"
#include "base/hashmem.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    VOCAB_MIN_SLOTS = 64
};
#define VOCAB_HOLE UINT32_MAX
#define VOCAB_MAX_BYTES ((size_t)1 << 30)

static inline uint64_t vocab_fold(uint64_t a, uint64_t b)
{
    qn_u128 m = (qn_u128)a * b;
    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

static inline uint64_t vocab_r64(const char *p)
{
    uint64_t x;
    memcpy(&x, p, 8);
    return x;
}

static inline uint64_t vocab_r32(const char *p)
{
    uint32_t x;
    memcpy(&x, p, 4);
    return x;
}

static inline uint64_t vocab_hash(uint64_t seed, const char *p, size_t n)
{
    const uint64_t k = UINT64_C(0x9E3779B97F4A7C15);
    uint64_t h = seed ^ n, a = 0, b = 0;
    for (; n > 16; n -= 16, p += 16)
        h = vocab_fold(vocab_r64(p) ^ k, vocab_r64(p + 8) ^ h);
    if (n >= 8) {
        a = vocab_r64(p);
        b = vocab_r64(p + n - 8);
    } else if (n >= 4) {
        a = vocab_r32(p) << 32 | vocab_r32(p + n - 4);
    } else if (n > 0) {
        a = (uint64_t)(uint8_t)p[0] << 16 | (uint64_t)(uint8_t)p[n / 2] << 8 |
            (uint8_t)p[n - 1];
    }
    return vocab_fold(vocab_fold(a ^ k, b ^ h), seed | 1);
}

static void vocab_grow_slots(qn_vocab *v, size_t slots)
{
    uint64_t *old = v->slots;
    size_t n_old = old ? (size_t)v->mask + 1 : 0;
    v->slots = qn_hashmem_new(slots, sizeof *v->slots);
    v->mask = (uint32_t)(slots - 1);
    for (size_t i = 0; i < n_old; i++) {
        if (old[i] == 0)
            continue;
        uint32_t at = (uint32_t)(old[i] >> 32) & v->mask;
        while (v->slots[at] != 0)
            at = (at + 1) & v->mask;
        v->slots[at] = old[i];
    }
    qn_hashmem_free(old, n_old, sizeof *old);
}

void qn_vocab_init(qn_vocab *v, size_t expected)
{
    memset(v, 0, sizeof *v);
    qn_str_init(&v->text);
    v->seed = qn_hash(&v, sizeof v);
    size_t slots = VOCAB_MIN_SLOTS;
    while (slots < 2 * QN_MIN(expected, (size_t)QN_VOCAB_MAX_ID))
        slots *= 2;
    vocab_grow_slots(v, slots);
}

void qn_vocab_deinit(qn_vocab *v)
{
    qn_str_deinit(&v->text);
    free(v->word);
    qn_hashmem_free(v->slots, v->slots ? (size_t)v->mask + 1 : 0,
                    sizeof *v->slots);
    memset(v, 0, sizeof *v);
}

/* The slot of the text, or the empty one where it would go. */
static uint64_t *vocab_slot(const qn_vocab *v, const char *p, size_t n,
                            uint64_t hash)
{
    uint32_t tag = (uint32_t)hash;
    uint32_t at = tag & v->mask;
    for (;; at = (at + 1) & v->mask) {
        uint64_t s = v->slots[at];
        if (s == 0)
            return &v->slots[at];
        if ((uint32_t)(s >> 32) != tag)
            continue;
        const qn_vocab_word *w = &v->word[(uint32_t)s - 1];
        if (w->len == n && (n == 0 || memcmp(v->text.p + w->off, p, n) == 0))
            return &v->slots[at];
    }
}

static void vocab_grow_ids(qn_vocab *v, uint32_t n_ids)
{
    if (n_ids > v->cap_ids) {
        uint32_t cap = QN_MAX(n_ids, v->cap_ids + v->cap_ids / 2);
        v->word = qn_xreallocarray(v->word, cap, sizeof *v->word);
        v->cap_ids = cap;
    }
    for (uint32_t i = v->n_ids; i < n_ids; i++)
        v->word[i] = (qn_vocab_word){0, VOCAB_HOLE};
    v->n_ids = n_ids;
}

int qn_vocab_add(qn_vocab *v, qn_view text, int64_t id, const char *name,
                 qn_err *err)
{
    if (id < 0 || id > QN_VOCAB_MAX_ID)
        return qn_fail(err, QN_EFORMAT,
                       "%s: token id %lld is not between 0 and %d", name,
                       (long long)id, QN_VOCAB_MAX_ID);
    if (v->text.n + text.n > VOCAB_MAX_BYTES)
        return qn_fail(err, QN_ELIMIT, "%s: more than %zu bytes of tokens",
                       name, VOCAB_MAX_BYTES);
    if (id >= v->n_ids)
        vocab_grow_ids(v, (uint32_t)id + 1);
    if (v->word[id].len != VOCAB_HOLE)
        return qn_fail(err, QN_EFORMAT, "%s: two tokens have the id %lld", name,
                       (long long)id);
    if (2 * (size_t)(v->n_slots + 1) > (size_t)v->mask + 1)
        vocab_grow_slots(v, 2 * ((size_t)v->mask + 1));

    uint64_t hash = vocab_hash(v->seed, text.p, text.n);
    uint64_t *slot = vocab_slot(v, text.p, text.n, hash);
    bool known = *slot != 0;
    v->word[id] = (qn_vocab_word){(uint32_t)v->text.n, (uint32_t)text.n};
    qn_str_add(&v->text, text.p, text.n);
    *slot = (hash & UINT32_MAX) << 32 | (uint64_t)(id + 1);
    v->n_slots += !known;
    v->n++;
    v->max_len = QN_MAX(v->max_len, (uint32_t)text.n);
    return known;
}

int32_t qn_vocab_find(const qn_vocab *v, const char *p, size_t n)
{
    if (n > v->max_len || !v->slots)
        return -1;
    uint64_t s = *vocab_slot(v, p, n, vocab_hash(v->seed, p, n));
    return (int32_t)(uint32_t)s - 1;
}

qn_view qn_vocab_text(const qn_vocab *v, int64_t id)
{
    if (id < 0 || id >= v->n_ids || v->word[id].len == VOCAB_HOLE)
        return qn_view_of(NULL, 0);
    if (v->word[id].len == 0)
        return qn_view_of("", 0);
    return qn_view_of(v->text.p + v->word[id].off, v->word[id].len);
}

void qn_vocab_hex(const qn_vocab *v, int32_t ids[256])
{
    for (unsigned k = 0; k < 256; k++) {
        char name[8];
        snprintf(name, sizeof name, "<0x%02X>", k);
        ids[k] = qn_vocab_find(v, name, 6);
    }
}
