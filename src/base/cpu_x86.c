/* cpu_x86.c - cpuid and XCR0.
 *
 * An instruction set needs three things: the feature bit, OSXSAVE, and the
 * operating system's promise (XCR0) to save the registers it works on. */
#include "base/cpu_detect.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

const qn_isa_range qn_cpu_levels = {QN_ISA_AVX2, QN_ISA_AMX};

typedef struct cpu_regs {
    unsigned eax, ebx, ecx, edx;
} cpu_regs;

static cpu_regs cpu_leaf(unsigned leaf, unsigned sub)
{
    cpu_regs r = {0};
    __get_cpuid_count(leaf, sub, &r.eax, &r.ebx, &r.ecx, &r.edx);
    return r;
}

static bool cpu_has(unsigned reg, unsigned mask)
{
    return (reg & mask) == mask;
}

static unsigned cpu_xcr0(void)
{
    unsigned lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return lo;
}

static void cpu_brand(char *name, size_t cap)
{
    if ((unsigned)__get_cpuid_max(0x80000000u, NULL) < 0x80000004u || cap < 49)
        return;
    for (unsigned i = 0; i < 3; i++) {
        cpu_regs r = cpu_leaf(0x80000002u + i, 0);
        memcpy(name + 16 * i, &r, 16);
    }
    name[48] = '\0';
    size_t n = strlen(name), lead = strspn(name, " ");
    while (n > lead && name[n - 1] == ' ')
        n--;
    memmove(name, name + lead, n - lead);
    name[n - lead] = '\0';
}

/* Linux hands out the tiles' registers, 8 KiB a thread, to processes that ask
 * (5.16 and later). */
static bool cpu_may_use_tiles(void)
{
    enum {
        REQ_XCOMP_PERM = 0x1023, /* ARCH_REQ_XCOMP_PERM */
        XTILEDATA = 18
    };
    return syscall(SYS_arch_prctl, REQ_XCOMP_PERM, XTILEDATA) == 0;
}

uint32_t qn_cpu_detect(char *name, size_t cap)
{
    /* XCR0: 1 SSE, 2 AVX, 5..7 AVX-512 masks and upper registers */
    const unsigned xcr0_avx = 0x06, xcr0_avx512 = 0xE6;
    /* leaf 1 ecx */
    const unsigned fma = 1u << 12, osxsave = 1u << 27, avx = 1u << 28,
                   f16c = 1u << 29;
    /* leaf 7.0 ebx, ecx; leaf 7.1 eax */
    const unsigned avx2 = 1u << 5, bmi2 = 1u << 8, f = 1u << 16, dq = 1u << 17,
                   cd = 1u << 28, bw = 1u << 30, vl = 1u << 31;
    const unsigned vnni = 1u << 11;
    const unsigned avx_vnni = 1u << 4, bf16 = 1u << 5;
    uint32_t granted = 1u << QN_ISA_AVX2;

    cpu_brand(name, cap);
    cpu_regs l1 = cpu_leaf(1, 0), l7 = cpu_leaf(7, 0);
    if (!cpu_has(l1.ecx, osxsave | avx | fma | f16c))
        return 0;
    unsigned xcr0 = cpu_xcr0();
    if (!cpu_has(xcr0, xcr0_avx) || !cpu_has(l7.ebx, avx2 | bmi2))
        return 0;
    unsigned l71 = l7.eax < 1 ? 0 : cpu_leaf(7, 1).eax;
    if (cpu_has(l71, avx_vnni))
        granted |= 1u << QN_ISA_AVXVNNI;
    if (!cpu_has(xcr0, xcr0_avx512) || !cpu_has(l7.ebx, f | dq | cd | bw | vl))
        return granted;
    granted |= 1u << QN_ISA_AVX512;
    if (!cpu_has(l7.ecx, vnni))
        return granted;
    granted |= 1u << QN_ISA_AVX512VNNI;
    if (!cpu_has(l71, bf16))
        return granted;
    granted |= 1u << QN_ISA_AVX512BF16;
    /* XCR0: 17 tile configuration, 18 tiles */
    const unsigned xcr0_amx = 0x60000;
    /* leaf 7.0 edx */
    const unsigned amx_bf16 = 1u << 22, tile = 1u << 24, int8 = 1u << 25;
    if (cpu_has(xcr0, xcr0_amx) && cpu_has(l7.edx, amx_bf16 | tile | int8) &&
        cpu_may_use_tiles())
        granted |= 1u << QN_ISA_AMX;
    return granted;
}

#endif
