/* coded_i8_avx512vnni.c - the layouts of codes with int8 dot products. */
#include "backend/cpu/x86/dots_i8.h"

/* Many tokens with blocks of 64, which most weights have, are worth a loop of their
 * own length: 382 to 393 Gop/s for 128 tokens on one core (nf4, probe 468). */
QN_INLINE void any_block(const qn_tile *t, qn_layout l)
{
    if (t->n_tok > FEW_TOK && t->q->block == 64)
        many(t, l, 64);
    else
        any_tok(t, l, t->q->block);
}

void coded_cb4_avx512vnni(const qn_tile *t)
{
    any_block(t, QN_LAYOUT_CB4);
}

void coded_a4_avx512vnni(const qn_tile *t)
{
    any_block(t, QN_LAYOUT_A4);
}

void coded_a8_avx512vnni(const qn_tile *t)
{
    any_block(t, QN_LAYOUT_A8);
}

void coded_m4_avx512vnni(const qn_tile *t)
{
    any_block(t, QN_LAYOUT_M4);
}

void coded_m8_avx512vnni(const qn_tile *t)
{
    any_block(t, QN_LAYOUT_M8);
}

void coded_k4_avx512vnni(const qn_tile *t)
{
    any_tok(t, QN_LAYOUT_K4, 32);
}

void coded_k5_avx512vnni(const qn_tile *t)
{
    any_tok(t, QN_LAYOUT_K5, 32);
}

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
        {QN_LAYOUT_M4, "coded_m4_avx512vnni", coded_m4_avx512vnni},
        {QN_LAYOUT_M8, "coded_m8_avx512vnni", coded_m8_avx512vnni},
        {QN_LAYOUT_K4, "coded_k4_avx512vnni", coded_k4_avx512vnni},
        {QN_LAYOUT_K5, "coded_k5_avx512vnni", coded_k5_avx512vnni},
    };

    for (size_t i = 0; i < QN_COUNTOF(rows); i++)
        qn_kernels_coded(k, rows[i].layout, rows[i].name, rows[i].fn,
                         QN_X_I8_16, MAX_TOK);
}
