/* peaks.h - what probe.c measures arithmetic with: loops of nothing but the
 * instruction in question, in chains enough to hide its latency. */
#ifndef QN_BACKEND_CPU_PEAKS_H
#define QN_BACKEND_CPU_PEAKS_H

enum {
    QN_PEAK_CHAINS = 12,
    QN_PEAK_ROUNDS = 2000000
};

/* Each does QN_PEAK_ROUNDS x QN_PEAK_CHAINS of its instruction; the result is
 * there for the compiler to want it. */
double qn_peak_f32_avx2(void);
double qn_peak_i8_avx2(void);
double qn_peak_i8_avxvnni(void);
double qn_peak_f32_avx512(void);
double qn_peak_i8_avx512vnni(void);
double qn_peak_bf16_avx512bf16(void);
double qn_peak_f32_neon(void);
double qn_peak_i8_neon(void);
double qn_peak_i8_dotprod(void);
double qn_peak_i8_i8mm(void);
double qn_peak_bf16_bf16(void);

#endif
