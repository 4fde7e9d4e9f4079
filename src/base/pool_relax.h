/* pool_relax.h - the instruction that tells a core it is in a waiting loop. */
#ifndef QN_BASE_POOL_RELAX_H
#define QN_BASE_POOL_RELAX_H

#if defined(__x86_64__)
static inline void pool_relax(void)
{
    __builtin_ia32_pause();
}
#elif defined(__aarch64__)
static inline void pool_relax(void)
{
    __asm__ volatile("isb" ::: "memory");
}
#else
static inline void pool_relax(void) {}
#endif

#endif
