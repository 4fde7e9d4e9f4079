/* cpu_arm.c - what the kernel lists for aarch64, and the processor's name.
 *
 * The hardware capabilities that a process is given say what processor and
 * operating system both grant. MIDR_EL1, which Linux lets programs read, has
 * the designer's and the part's number. */
#include "base/cpu_detect.h"

#if defined(__aarch64__)

#include "base/compiler.h"

#include <stdint.h>
#include <stdio.h>
#include <sys/auxv.h>

const qn_isa_range qn_cpu_levels = {QN_ISA_NEON, QN_ISA_BF16};

/* Bits of Linux' arch/arm64/include/uapi/asm/hwcap.h, which older C libraries
 * do not name. */
enum {
    CAP_ASIMD = 1 << 1,
    CAP_CPUID = 1 << 11,
    CAP_ASIMDDP = 1 << 20,
    CAP2_I8MM = 1 << 13,
    CAP2_BF16 = 1 << 14
};

/* Designers and parts as in Arm's and Linux' lists. */
static const struct {
    uint8_t designer;
    uint16_t part;
    const char *name;
} cpu_parts[] = {{0x41, 0xd03, "Cortex-A53"},   {0x41, 0xd05, "Cortex-A55"},
                 {0x41, 0xd07, "Cortex-A57"},   {0x41, 0xd08, "Cortex-A72"},
                 {0x41, 0xd09, "Cortex-A73"},   {0x41, 0xd0a, "Cortex-A75"},
                 {0x41, 0xd0b, "Cortex-A76"},   {0x41, 0xd0c, "Neoverse N1"},
                 {0x41, 0xd0d, "Cortex-A77"},   {0x41, 0xd40, "Neoverse V1"},
                 {0x41, 0xd41, "Cortex-A78"},   {0x41, 0xd44, "Cortex-X1"},
                 {0x41, 0xd46, "Cortex-A510"},  {0x41, 0xd47, "Cortex-A710"},
                 {0x41, 0xd48, "Cortex-X2"},    {0x41, 0xd49, "Neoverse N2"},
                 {0x41, 0xd4f, "Neoverse V2"},  {0x41, 0xd80, "Cortex-A520"},
                 {0x41, 0xd81, "Cortex-A720"},  {0x41, 0xd8e, "Neoverse N3"},
                 {0x41, 0xd84, "Neoverse V3"},  {0xc0, 0xac3, "Ampere-1"},
                 {0x46, 0x001, "Fujitsu A64FX"}};

static void cpu_part_name(char *name, size_t cap)
{
    uint64_t midr;

    __asm__("mrs %0, midr_el1" : "=r"(midr));
    unsigned designer = (unsigned)(midr >> 24 & 0xff);
    unsigned part = (unsigned)(midr >> 4 & 0xfff);
    for (size_t i = 0; i < QN_COUNTOF(cpu_parts); i++)
        if (cpu_parts[i].designer == designer && cpu_parts[i].part == part) {
            snprintf(name, cap, "%s", cpu_parts[i].name);
            return;
        }
    snprintf(name, cap, "aarch64 processor (designer 0x%02x, part 0x%03x)",
             designer, part);
}

static qn_isa cpu_level(char *name, size_t cap)
{
    unsigned long caps = getauxval(AT_HWCAP), caps2 = getauxval(AT_HWCAP2);

    if (caps & CAP_CPUID)
        cpu_part_name(name, cap);
    if (!(caps & CAP_ASIMD))
        return QN_ISA_REF;
    if (!(caps & CAP_ASIMDDP))
        return QN_ISA_NEON;
    if (!(caps2 & CAP2_I8MM))
        return QN_ISA_DOTPROD;
    if (!(caps2 & CAP2_BF16))
        return QN_ISA_I8MM;
    return QN_ISA_BF16;
}

uint32_t qn_cpu_detect(char *name, size_t cap)
{
    qn_isa level = cpu_level(name, cap);
    return level == QN_ISA_REF ? 0 : (2u << level) - (1u << QN_ISA_NEON);
}

#endif
