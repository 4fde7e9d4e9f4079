/* map.h - byte string -> uint64_t, open addressing, keyed (random seed per
 * process, so that file contents cannot force collisions).
 * Keys are borrowed: they must live as long as the map. Reading is
 * thread-safe once nothing is added any more. */
#ifndef QN_BASE_MAP_H
#define QN_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct qn_map {
    struct qn_map_slot *slots;
    size_t n, cap; /* cap is 0 or a power of two */
} qn_map;

void qn_map_init(qn_map *m, size_t expected);
void qn_map_deinit(qn_map *m);
/* false, and nothing changes, when the key is there already. */
bool qn_map_add(qn_map *m, const char *key, size_t n, uint64_t value);
/* Adds or replaces. */
void qn_map_put(qn_map *m, const char *key, size_t n, uint64_t value);
bool qn_map_get(const qn_map *m, const char *key, size_t n, uint64_t *value);

/* The keyed hash itself (for other tables). */
uint64_t qn_hash(const void *p, size_t n);

#endif
