/* cpu.h - what the processor and the operating system grant.
 *
 * Detected once (cpuid and XCR0: an instruction set counts only when the OS
 * saves its registers; on ARM the kernel's list). QUERN_CPU=ref, avx2 ... or
 * neon ... caps it from outside; qn_cpu_cap does the same for tests. */
#ifndef QN_BASE_CPU_H
#define QN_BASE_CPU_H

#include <stdbool.h>
#include <stdint.h>

/* Each level includes the ones before it of its architecture, but for
 * AVXVNNI: many processors with AVX-512 lack it, and do not miss it. */
typedef enum qn_isa {
    QN_ISA_REF,
    /* x86-64 */
    QN_ISA_AVX2,       /* + fma f16c bmi2          */
    QN_ISA_AVXVNNI,    /* + avx_vnni               */
    QN_ISA_AVX512,     /* f bw dq vl cd            */
    QN_ISA_AVX512VNNI, /* + vnni                   */
    QN_ISA_AVX512BF16, /* + avx512_bf16            */
    QN_ISA_AMX,        /* + amx tile int8 bf16     */
    /* aarch64 */
    QN_ISA_NEON,    /* every ARMv8              */
    QN_ISA_DOTPROD, /* + sdot                   */
    QN_ISA_I8MM,    /* + smmla                  */
    QN_ISA_BF16,    /* + bfdot bfmmla           */
    QN_ISA_N
} qn_isa;

typedef struct qn_cpu {
    char name[64]; /* brand string */
    qn_isa isa;    /* best level, after QUERN_CPU */
    qn_isa isa_detected;
    uint32_t granted;     /* bit 1 << isa: what was detected */
    int n_cores;          /* threads granted: affinity mask and cgroup quota */
    uint64_t l1d, l2, l3; /* bytes, 0 if unknown */
} qn_cpu;

/* Valid for ever; thread-safe. */
const qn_cpu *qn_cpu_get(void);
/* For tests: isa becomes the best granted level up to `isa`. Call it while no
 * other thread reads. */
void qn_cpu_cap(qn_isa isa);
bool qn_isa_granted(qn_isa isa);
const char *qn_isa_name(qn_isa isa);
/* Whether this architecture has such a level: ref is everywhere. */
bool qn_isa_native(qn_isa isa);
/* "avx2" -> QN_ISA_AVX2; false if there is none of that name here. */
bool qn_isa_parse(const char *s, qn_isa *out);
/* The names that qn_isa_parse knows: "ref avx2 ...". */
const char *qn_isa_names(void);

#endif
