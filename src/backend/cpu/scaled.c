/* scaled.c - panels of codes with a scale per group (kernels.h draws them). */
#include "backend/cpu/cpu_int.h"
#include "tensor/half.h"

#include <assert.h>

static bool has_zeros(qn_layout l)
{
    return l == QN_LAYOUT_A4 || l == QN_LAYOUT_A8;
}

static int code_bits(qn_layout l)
{
    return l == QN_LAYOUT_CB4 || l == QN_LAYOUT_A4 ? 4 : 8;
}

qn_layout qn_scaled_init(qn_scaled *q, const qn_weight_codes *c)
{
    static const qn_layout layouts[] = {
        [QN_CODE_BOOK4] = QN_LAYOUT_CB4,
        [QN_CODE_INT4] = QN_LAYOUT_A4,
        [QN_CODE_INT8] = QN_LAYOUT_A8,
        [QN_CODE_FP8] = QN_LAYOUT_F8,
    };
    qn_layout l = layouts[c->kind];

    assert(c->group == 16 || c->group == 32 || c->group == 64 ||
           c->group == 128);
    q->group = c->group;
    q->head = QN_PANEL * (int)sizeof(float) + (has_zeros(l) ? QN_PANEL : 0);
    q->bytes = q->head + c->group * code_bits(l) / 8 * QN_PANEL;
    q->round = c->round;
    memcpy(q->book, c->book, sizeof q->book);
    return l;
}

int64_t qn_scaled_panel_bytes(const qn_scaled *q, int64_t n_in)
{
    return (n_in + q->group - 1) / q->group * q->bytes;
}

/* The byte, among a group's codes, that holds k of the group in a lane. */
static int64_t code_byte(qn_layout l, int64_t k, int64_t lane)
{
    return code_bits(l) == 4 ? (k / 8 * QN_PANEL + lane) * 4 + k % 8 / 2
                             : (k / 4 * QN_PANEL + lane) * 4 + k % 4;
}

void qn_scaled_put(const qn_scaled *q, qn_layout l, const qn_qrows *rows,
                   int64_t i, int64_t n_in, uint8_t *panel, int64_t lane)
{
    int64_t n_group = (n_in + q->group - 1) / q->group;
    const uint8_t *codes = rows->codes + i * n_in;

    for (int64_t g = 0; g < n_group; g++, panel += q->bytes) {
        int64_t n = QN_MIN(q->group, n_in - g * q->group);
        memcpy(panel + lane * 4, &rows->scales[i * n_group + g], 4);
        if (has_zeros(l))
            panel[64 + lane] = (uint8_t)rows->zeros[i * n_group + g];
        uint8_t *to = panel + q->head;
        for (int64_t k = 0; k < n; k += code_bits(l) == 4 ? 2 : 1)
            to[code_byte(l, k, lane)] = code_bits(l) == 4
                                            ? (uint8_t)(codes[k] | codes[k + 1]
                                                                       << 4)
                                            : codes[k];
        codes += n;
    }
}

float qn_scaled_at(const qn_scaled *q, qn_layout l, const uint8_t *panel,
                   int64_t lane, int64_t k)
{
    const uint8_t *g = panel + k / q->group * q->bytes;
    uint8_t c = g[q->head + code_byte(l, k % q->group, lane)];
    float scale, v;

    memcpy(&scale, g + lane * 4, 4);
    if (code_bits(l) == 4)
        c = k & 1 ? c >> 4 : c & 15;
    v = l == QN_LAYOUT_CB4  ? q->book[c]
        : l == QN_LAYOUT_F8 ? qn_f32_of_e4m3(c)
                            : (float)(c - g[64 + lane]);
    v *= scale;
    return l != QN_LAYOUT_CB4    ? v
           : q->round == QN_BF16 ? qn_f32_of_bf16(qn_bf16_of_f32(v))
           : q->round == QN_F16  ? qn_f32_of_f16(qn_f16_of_f32(v))
                                 : v;
}
