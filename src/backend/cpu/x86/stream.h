/* stream.h - asking for weights that are read once, before they are. */
#ifndef QN_BACKEND_CPU_X86_STREAM_H
#define QN_BACKEND_CPU_X86_STREAM_H

#include "backend/cpu/kernels.h"

#include <immintrin.h>

/* How far ahead, where so many panels are read side by side. */
QN_INLINE int stream_far(const int n_panel)
{
    return n_panel >= 4 ? 1024 : n_panel == 2 ? 2048 : 4096;
}

/* Asks for `bytes` of what will be read `far` later; `left` are what the panel
 * has from `at` on, and `beyond` leads from its end to what follows in this
 * stream (qn_tile_beyond).
 *
 * Into the second level: asked for the first, Zen 4 reads q4_0 in eight streams
 * slower than with no request at all (one thread 17.9 and 24.2 GB/s, and 25.8
 * with these, where bare loads have 27.4; two threads 34, 44 and 48 of 49). */
QN_INLINE void stream_ask(const uint8_t *at, int64_t left, int64_t beyond,
                          int bytes, int far)
{
    const uint8_t *p = at + far + (left <= far ? beyond : 0);

    QN_UNROLL
    for (int i = 0; i < bytes; i += 64)
        _mm_prefetch((const char *)p + i, _MM_HINT_T1);
}

/* Where a stream that the processor goes on with by itself jumps to: its first
 * lines, so that it does not begin with waiting. */
QN_INLINE void stream_begin(const uint8_t *at)
{
    QN_UNROLL
    for (int i = 0; i < 1024; i += 64)
        _mm_prefetch((const char *)at + i, _MM_HINT_T1);
}

#endif
