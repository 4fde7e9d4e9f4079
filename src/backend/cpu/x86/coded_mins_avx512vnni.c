/* coded_mins_avx512vnni.c - the layouts of codes that have minima, with int8 dot
 * products. A file of its own, so that a second core compiles it. */
#include "backend/cpu/x86/dots_i8.h"

DOTS_KERNEL_ANY(coded_m4_avx512vnni, QN_LAYOUT_M4)

DOTS_KERNEL_ANY(coded_m8_avx512vnni, QN_LAYOUT_M8)

DOTS_KERNEL(, coded_k4_avx512vnni, QN_LAYOUT_K4, 32)

DOTS_KERNEL(, coded_k5_avx512vnni, QN_LAYOUT_K5, 32)

void qn_x86_coded_mins_avx512vnni(qn_kernels *k)
{
    static const struct {
        qn_layout layout;
        const char *name;
        qn_tile_fn fn;
    } rows[] = {
        {QN_LAYOUT_M4, "coded_m4_avx512vnni", coded_m4_avx512vnni},
        {QN_LAYOUT_M8, "coded_m8_avx512vnni", coded_m8_avx512vnni},
        {QN_LAYOUT_K4, "coded_k4_avx512vnni", coded_k4_avx512vnni},
        {QN_LAYOUT_K5, "coded_k5_avx512vnni", coded_k5_avx512vnni},
    };

    for (size_t i = 0; i < QN_COUNTOF(rows); i++)
        qn_kernels_coded(k, rows[i].layout,
                         (qn_tile_kernel){rows[i].name, rows[i].fn, QN_X_I8_16,
                                          MAX_TOK, QN_FEW});
}
