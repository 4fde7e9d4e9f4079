/* amx.h - tile registers: 16 rows of 64 bytes each, eight of them.
 *
 * A kernel configures the tiles when it begins and releases them when it ends,
 * so that nothing of theirs outlives a call. Their numbers are literals, by
 * the instructions' encoding. Compilers do not see what the instructions read:
 * amx_fence() stands between stores and the tile loads of what was stored. */
#ifndef QN_BACKEND_CPU_AMX_H
#define QN_BACKEND_CPU_AMX_H
#if !defined(__AMX_TILE__) || !defined(__AMX_INT8__) || !defined(__AMX_BF16__)
#error "compile this file with the flags of amx (cmake/isa.cmake)"
#endif

#include "base/compiler.h"

#include <immintrin.h>
#include <stdint.h>

enum {
    AMX_ROWS = 16,
    AMX_BYTES = 64 /* of a row */
};

/* What ldtilecfg reads. */
typedef struct amx_config {
    QN_ALIGNED(64) uint8_t palette;
    uint8_t start_row, unused[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} amx_config;
_Static_assert(sizeof(amx_config) == 64, "as the instruction wants it");

QN_INLINE void amx_fence(void)
{
    __asm__ volatile("" ::: "memory");
}

QN_INLINE void amx_set(amx_config *c, int tile, int rows, int row_bytes)
{
    c->palette = 1;
    c->rows[tile] = (uint8_t)rows;
    c->row_bytes[tile] = (uint16_t)row_bytes;
}

QN_INLINE void amx_begin(const amx_config *c)
{
    amx_fence();
    _tile_loadconfig(c);
}

QN_INLINE void amx_end(void)
{
    _tile_release();
}

#endif
