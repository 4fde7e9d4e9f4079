/* kernels.c - selection of kernels, and the sizes that layouts imply. */
#include "backend/cpu/kernels.h"

typedef struct kernel_set {
    qn_isa isa;
    void (*fill)(qn_kernels *k);
} kernel_set;

/* In rising order: each set overrides what it has of the ones before. */
#if defined(__x86_64__)
static const kernel_set sets[] = {
    {QN_ISA_REF, qn_kernels_ref},
    {QN_ISA_AVX2, qn_kernels_avx2},
    {QN_ISA_AVXVNNI, qn_kernels_avxvnni},
    {QN_ISA_AVX512, qn_kernels_avx512},
    {QN_ISA_AVX512VNNI, qn_kernels_avx512vnni},
    {QN_ISA_AVX512BF16, qn_kernels_avx512bf16},
    {QN_ISA_AMX, qn_kernels_amx},
};
#elif defined(__aarch64__)
static const kernel_set sets[] = {
    {QN_ISA_REF, qn_kernels_ref},         {QN_ISA_NEON, qn_kernels_neon},
    {QN_ISA_DOTPROD, qn_kernels_dotprod}, {QN_ISA_I8MM, qn_kernels_i8mm},
    {QN_ISA_BF16, qn_kernels_bf16},
};
#else
static const kernel_set sets[] = {{QN_ISA_REF, qn_kernels_ref}};
#endif

void qn_kernels_init(qn_kernels *k, qn_isa cap)
{
    qn_isa isa = QN_MIN(cap, qn_cpu_get()->isa);

    *k = (qn_kernels){.row_tile = 1};
    for (size_t i = 0; i < QN_COUNTOF(sets); i++)
        if (isa >= sets[i].isa && qn_isa_granted(sets[i].isa))
            sets[i].fill(k);
}

void qn_kernels_coded(qn_kernels *k, qn_layout l, qn_tile_kernel kernel)
{
    for (int f = 0; f < QN_CODED_FORMS; f++) {
        k->coded[l][f] = kernel;
        kernel.xform++;
    }
}

const char *qn_layout_name(qn_layout l)
{
    static const char *const names[QN_LAYOUT_N] = {
        [QN_LAYOUT_F32] = "f32",   [QN_LAYOUT_F16] = "f16",
        [QN_LAYOUT_BF16] = "bf16", [QN_LAYOUT_Q8_0] = "q8_0",
        [QN_LAYOUT_Q4_0] = "q4_0", [QN_LAYOUT_CB4] = "cb4",
        [QN_LAYOUT_A4] = "a4",     [QN_LAYOUT_A8] = "a8",
        [QN_LAYOUT_M4] = "m4",     [QN_LAYOUT_M8] = "m8",
        [QN_LAYOUT_F8] = "f8",     [QN_LAYOUT_A6] = "a6",
        [QN_LAYOUT_K4] = "k4",     [QN_LAYOUT_K5] = "k5",
    };
    return names[l];
}

/* k's that lie together, and the bytes they take in a panel (of codes the
 * matrix says that: qn_scaled). */
static const struct {
    int step, bytes;
} layout_step[QN_LAYOUT_N] = {
    [QN_LAYOUT_F32] = {1, 64},         [QN_LAYOUT_F16] = {1, 32},
    [QN_LAYOUT_BF16] = {2, 64},        [QN_LAYOUT_Q8_0] = {32, 32 + 512},
    [QN_LAYOUT_Q4_0] = {32, 32 + 256},
};

int64_t qn_panel_bytes(qn_layout l, int64_t n_in)
{
    int step = layout_step[l].step;

    return (n_in + step - 1) / step * layout_step[l].bytes;
}

int64_t qn_panel_offset(qn_layout l, int64_t k)
{
    return k / layout_step[l].step * layout_step[l].bytes;
}

int qn_xi8_block(qn_xform f)
{
    return 16 << (f - QN_X_I8_16) % QN_CODED_FORMS;
}

int64_t qn_xform_offset(qn_xform f, int64_t k)
{
    switch (f) {
    case QN_X_BF16: return k * 2;
    case QN_X_Q8_O128:
    case QN_X_Q8_O8: return k / QN_QBLOCK * (int64_t)sizeof(qn_xq8);
    case QN_X_I8_SUMS: return k / QN_SUMS_BLOCK * (int64_t)sizeof(qn_xsums);
    case QN_X_I8_16:
    case QN_X_I8_32:
    case QN_X_I8_64:
        return k / qn_xi8_block(f) *
               (qn_xi8_block(f) + (int64_t)sizeof(qn_xi8));
    case QN_X_I16_16:
    case QN_X_I16_32:
    case QN_X_I16_64:
        return k / qn_xi8_block(f) *
               (2 * qn_xi8_block(f) + (int64_t)sizeof(qn_xi8));
    default: return k * 4;
    }
}

int64_t qn_xform_bytes(qn_xform f, int64_t n)
{
    if (f == QN_X_BF16)
        n += n & 1;
    if (f == QN_X_I8_SUMS)
        n += -n & (QN_SUMS_BLOCK - 1);
    if (f >= QN_X_I8_16)
        n += -n & (qn_xi8_block(f) - 1);
    return qn_xform_offset(f, n);
}

void qn_tile_run(const qn_tile_kernel *k, const qn_tile *t)
{
    int n_part = (t->n_tok + k->max_tok - 1) / k->max_tok;
    int n_set = t->n_tok <= k->few ? 1 : 1 + t->n_more;

    for (int i = 0; i < n_part * n_set; i++) {
        int part = i / n_set, set = i % n_set;
        int t0 = t->n_tok * part / n_part, t1 = t->n_tok * (part + 1) / n_part;
        qn_tile one = *t;
        one.w += set * t->w_more;
        one.x += t0 * t->x_tok;
        one.acc += t0 * t->acc_tok + (int64_t)set * t->n_panel * QN_PANEL;
        one.n_tok = t1 - t0;
        one.n_more -= n_set - 1;
        if (set + 1 < n_set)
            one.next = one.w + t->w_more;
        k->fn(&one);
    }
}

void qn_mix_run(const qn_mix_kernel *k, const qn_mix *m)
{
    int n_part = (m->n_tok + k->max_tok - 1) / k->max_tok;

    for (int i = 0; i < n_part; i++) {
        int t0 = m->n_tok * i / n_part, t1 = m->n_tok * (i + 1) / n_part;
        qn_mix part = *m;
        part.x += t0 * m->x_tok;
        part.acc += t0 * m->acc_tok;
        part.n_tok = t1 - t0;
        k->fn(&part);
    }
}

static const struct {
    const char *name;
    int step, bytes;
} cells[QN_KV_CELLS] = {
    [QN_KV_CELL_F32] = {"f32", 1, 4},
    [QN_KV_CELL_F16] = {"f16", 1, 2},
    [QN_KV_CELL_BF16] = {"bf16", 2, 4},
    [QN_KV_CELL_I8] = {"int8", 4, 4},
};

int qn_cell_step(qn_kv_dtype t)
{
    return cells[t].step;
}

int qn_cell_bytes(qn_kv_dtype t)
{
    return cells[t].bytes;
}

static void line(qn_str *json, const char *op, const char *layout,
                 const char *name)
{
    if (name)
        qn_str_addf(json,
                    "%s{\"op\":\"%s\",\"layout\":\"%s\",\"kernel\":\"%s\"}",
                    json->p[json->n - 1] == '[' ? "" : ",", op, layout, name);
}

void qn_kernels_describe(const qn_kernels *k, bool exact, qn_str *json)
{
    static const char *const forms[QN_X_N] = {
        [QN_X_F32] = "f32",
        [QN_X_F32_BF16] = "f32 of bf16",
        [QN_X_BF16] = "bf16 pairs",
        [QN_X_Q8_O128] = "int8 block 32 (+128)",
        [QN_X_Q8_O8] = "int8 block 32 (+8)",
        [QN_X_I8_SUMS] = "int8 with sums",
        [QN_X_I8_16] = "int8 block 16",
        [QN_X_I8_32] = "int8 block 32",
        [QN_X_I8_64] = "int8 block 64",
        [QN_X_I16_16] = "int16 block 16",
        [QN_X_I16_32] = "int16 block 32",
        [QN_X_I16_64] = "int16 block 64",
    };

    qn_str_addc(json, '[');
    for (int l = 0; l < QN_LAYOUT_N; l++)
        line(json, "linear", qn_layout_name(l),
             exact               ? k->exact[l].name
             : k->coded[l][0].fn ? k->coded[l][0].name
                                 : k->linear[l].name);
    for (int c = 0; c < QN_KV_CELLS; c++)
        line(json, "attention", cells[c].name,
             exact ? k->mix_exact[c].name : k->mix[c].name);
    for (int f = 0; f < QN_X_N; f++)
        line(json, "prepare", forms[f], k->prep[f].name);
    for (int l = 0; l < QN_LAYOUT_N; l++)
        line(json, "pack", qn_layout_name(l), k->pack[l].name);
    line(json, "pack", "codes of 8 bits", k->pack_codes[0].name);
    line(json, "pack", "codes of 4 bits", k->pack_codes[1].name);
    line(json, "epilogue", "f32", k->epilogue.name);
    line(json, "norm", "f32", k->norm.name);
    line(json, "map", "f32", k->map.name);
    line(json, "rope", "f32", k->rope.name);
    line(json, "softmax", "f32", k->softmax.name);
    line(json, "scale", "f32", k->scale.name);
    line(json, "axpy", "f32", k->axpy.name);
    line(json, "cells", "f16", k->f16_cells.name);
    line(json, "convolution", "f32", k->conv.name);
    line(json, "scan by channel", "f32", k->scan_channels.name);
    line(json, "scan by head", "f32", k->scan_head.name);
    line(json, "delta rule", "f32", k->delta.name);
    qn_str_addc(json, ']');
}
