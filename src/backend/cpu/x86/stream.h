/* stream.h - asking for weights that are read once, before they are. */
#ifndef QN_BACKEND_CPU_X86_STREAM_H
#define QN_BACKEND_CPU_X86_STREAM_H

#include "backend/cpu/x86/x86.h"

#include <immintrin.h>

/* Processors of AMD read the weights of few tokens the fastest when nobody asks for
 * them ahead: their own prefetcher knows the way, and requests of ours disturb it (Zen 4,
 * one core: 4 tokens and nf4, 86 tokens/s with requests, 116 without). Processors of
 * Intel want them (Sapphire Rapids, of what bare loads have: four lanes of nf4 0.79
 * without, 0.93 with). */
QN_INLINE bool stream_asks(void)
{
    return !x86_is_amd();
}

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
