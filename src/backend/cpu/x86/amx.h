/* amx.h - tile registers: 16 rows of 64 bytes each, eight of them.
 *
 * A kernel configures the tiles when it begins and releases them when it ends,
 * so that nothing of theirs outlives a call. Their numbers are literals, by
 * the instructions' encoding. Compilers do not see what the instructions read:
 * amx_fence() stands between stores and the tile loads of what was stored. */
#ifndef QN_BACKEND_CPU_AMX_H
#define QN_BACKEND_CPU_AMX_H
/* clang 14 spells them so. */
#if defined(__AMXTILE__) && defined(__AMXINT8__) && defined(__AMXBF16__)
#define QN_HAS_AMX
#elif defined(__AMX_TILE__) && defined(__AMX_INT8__) && defined(__AMX_BF16__)
#define QN_HAS_AMX
#endif
#ifndef QN_HAS_AMX
#error "compile this file with the flags of amx (cmake/isa.cmake)"
#endif

#include "base/compiler.h"

#include <immintrin.h>
#include <stdbool.h>
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

/* N sums of 16 columns each, 1 or 4 of them side by side in memory, are tiles
 * 0 to 3; tile 4 is x, tiles 6 and 7 are w. */
QN_INLINE void amx_sums_begin(const float *acc, int64_t acc_tok, bool load,
                              const int N)
{
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    if (load)
        _tile_loadd(0, acc, acc_tok);
    if (load && N > 1) {
        _tile_loadd(1, acc + 16, acc_tok);
        _tile_loadd(2, acc + 32, acc_tok);
        _tile_loadd(3, acc + 48, acc_tok);
    }
}

/* Sums += x times w, whose next columns are w_next bytes on. */
QN_INLINE void amx_bf16_step(const uint8_t *w, int64_t w_row, int64_t w_next,
                             const uint8_t *x, int64_t x_tok, const int N)
{
    _tile_loadd(4, x, x_tok);
    _tile_loadd(6, w, w_row);
    _tile_dpbf16ps(0, 4, 6);
    if (N == 1)
        return;
    _tile_loadd(7, w + w_next, w_row);
    _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(6, w + 2 * w_next, w_row);
    _tile_dpbf16ps(2, 4, 6);
    _tile_loadd(7, w + 3 * w_next, w_row);
    _tile_dpbf16ps(3, 4, 7);
}

QN_INLINE void amx_sums_end(float *acc, int64_t acc_tok, const int N)
{
    _tile_stored(0, acc, acc_tok);
    if (N == 1)
        return;
    _tile_stored(1, acc + 16, acc_tok);
    _tile_stored(2, acc + 32, acc_tok);
    _tile_stored(3, acc + 48, acc_tok);
}

#endif
