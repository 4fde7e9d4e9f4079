/* rng.h - counter-based random numbers (Philox 4x32-10, Salmon et al. 2011).
 *
 * The n-th number of a stream is a pure function of (seed, stream, n): a
 * request's draws do not depend on what else is in the batch. */
#ifndef QN_BASE_RNG_H
#define QN_BASE_RNG_H

#include <stdint.h>

/* Four words for counter n of (seed, stream). */
void qn_philox(uint64_t seed, uint64_t stream, uint64_t n, uint32_t out[4]);
/* Uniform in [0, 1), 53 bits. */
double qn_rng_uniform(uint64_t seed, uint64_t stream, uint64_t n);
/* Standard normal (Box-Muller on one counter). */
double qn_rng_normal(uint64_t seed, uint64_t stream, uint64_t n);
/* A seed from the operating system. */
uint64_t qn_rng_entropy(void);

#endif
