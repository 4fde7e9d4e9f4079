/* coded_i8_avx512vnni.c - the layouts of codes with int8 dot products: a book of
 * points, or a zero point. Those with minima: coded_mins_avx512vnni.c. */
#include "backend/cpu/x86/dots_i8.h"

DOTS_KERNEL_ANY(coded_cb4_avx512vnni, QN_LAYOUT_CB4)

DOTS_KERNEL_ANY(coded_a4_avx512vnni, QN_LAYOUT_A4)

DOTS_KERNEL_ANY(coded_a8_avx512vnni, QN_LAYOUT_A8)

void qn_x86_coded_i8_avx512vnni(qn_kernels *k)
{
    static const struct {
        qn_layout layout;
        const char *name;
        qn_tile_fn fn;
    } rows[] = {
        {QN_LAYOUT_CB4, "coded_cb4_avx512vnni", coded_cb4_avx512vnni},
        {QN_LAYOUT_A4, "coded_a4_avx512vnni", coded_a4_avx512vnni},
        {QN_LAYOUT_A8, "coded_a8_avx512vnni", coded_a8_avx512vnni},
    };

    for (size_t i = 0; i < QN_COUNTOF(rows); i++)
        qn_kernels_coded(k, rows[i].layout,
                         (qn_tile_kernel){rows[i].name, rows[i].fn, QN_X_I8_16,
                                          MAX_TOK, QN_FEW});
}
