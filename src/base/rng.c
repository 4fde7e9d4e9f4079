/* rng.c - Philox 4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random
 * numbers: as easy as 1, 2, 3", SC 2011).
 *
 * Counter words: {n low, n high, stream low, stream high}; key: seed. */
#include "base/rng.h"

#include "base/clock.h"

#include <math.h>
#include <sys/random.h>
#include <unistd.h>

enum {
    PHILOX_ROUNDS = 10
};

void qn_philox(uint64_t seed, uint64_t stream, uint64_t n, uint32_t out[4])
{
    uint32_t c0 = (uint32_t)n, c1 = (uint32_t)(n >> 32);
    uint32_t c2 = (uint32_t)stream, c3 = (uint32_t)(stream >> 32);
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int r = 0; r < PHILOX_ROUNDS; r++) {
        uint64_t p0 = (uint64_t)c0 * 0xD2511F53u;
        uint64_t p1 = (uint64_t)c2 * 0xCD9E8D57u;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

/* The upper 53 bits of two words, as a multiple of 2^-53 in [0, 1). */
static double rng_to_unit(uint32_t hi, uint32_t lo)
{
    uint64_t bits = ((uint64_t)hi << 32 | lo) >> 11;
    return (double)bits * 0x1p-53;
}

double qn_rng_uniform(uint64_t seed, uint64_t stream, uint64_t n)
{
    uint32_t w[4];
    qn_philox(seed, stream, n, w);
    return rng_to_unit(w[0], w[1]);
}

double qn_rng_normal(uint64_t seed, uint64_t stream, uint64_t n)
{
    uint32_t w[4];
    qn_philox(seed, stream, n, w);
    double u = 1.0 - rng_to_unit(w[0], w[1]); /* (0, 1]: log is finite */
    double v = rng_to_unit(w[2], w[3]);
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586477 * v);
}

uint64_t qn_rng_entropy(void)
{
    uint64_t x;
    if (getrandom(&x, sizeof x, 0) == (ssize_t)sizeof x)
        return x;
    /* A kernel that refuses (seccomp): time and pid still differ by run. */
    uint32_t w[4];
    qn_philox(qn_now_ns(), (uint64_t)getpid(), (uint64_t)(uintptr_t)&x, w);
    return (uint64_t)w[0] << 32 | w[1];
}
