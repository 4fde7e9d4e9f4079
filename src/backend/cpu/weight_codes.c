/* weight_codes.c - rows of codes on their way into panels.
 *
 * Whole panels are written group by group by a kernel; rows that arrive in
 * pieces are put in place one by one. Rows come as codes (qn_qrows) or as
 * blocks of a file's format that are taken apart here.
 *
 * Invariant: what stands behind the last code of a row in its group is zero,
 * as it was allocated. */
#include "backend/cpu/cpu_int.h"
#include "tensor/block_codes.h"

enum {
    GROUPS_MAX = 16 /* of a block */
};

/* Heads of a group, ld from a row's scale to the next row's; offsets NULL: the
 * same for all. */
static void put_heads(const qn_weight *w, const float *scales,
                      const float *offsets, float offset, int64_t ld,
                      uint8_t *group)
{
    for (int i = 0; i < QN_PANEL; i++)
        qn_scaled_put_head(w->layout, scales[i * ld],
                           offsets ? offsets[i * ld] : offset, group, i);
}

/* Codes of a group, ld from a row to the next. */
static void put_codes(const qn_weight *w, const uint8_t *codes, int64_t ld,
                      int64_t n, uint8_t *group)
{
    w->kern->pack_codes[qn_layout_nibbles(w->layout)].fn(codes, ld, (int)n,
                                                         group +
                                                             w->scaled.head);
}

/* Rows [i, i + 16) of what a scheme of several tensors unpacked. */
static void panel_of_codes(const qn_weight *w, const qn_qrows *rows, int64_t i,
                           uint8_t *panel)
{
    int64_t size = w->scaled.group, n_group = (w->n_in + size - 1) / size;
    bool zeros = qn_layout_zeros(w->layout);
    const uint8_t *codes = rows->codes + i * w->n_in;

    for (int64_t g = 0; g < n_group; g++, panel += w->scaled.bytes) {
        int64_t n = QN_MIN(size, w->n_in - g * size);
        for (int r = 0; r < QN_PANEL; r++) {
            int64_t at = (i + r) * n_group + g;
            float scale = qn_scaled_group_scale(w->layout,
                                                codes + r * w->n_in + g * size,
                                                n, rows->scales[at]);
            qn_scaled_put_head(w->layout, scale, zeros ? rows->zeros[at] : 0,
                               panel, r);
        }
        put_codes(w, codes + g * size, w->n_in, n, panel);
    }
}

/* 16 rows of blocks. */
static void panel_of_blocks(const qn_weight *w, const uint8_t *rows,
                            uint8_t *panel)
{
    const qn_block_codes *c = qn_block_codes_get(w->dtype);
    const qn_dtype_row *d = qn_dtype_get(w->dtype);
    uint8_t codes[QN_PANEL][QN_BLOCK_CODES_MAX];
    float scales[QN_PANEL][GROUPS_MAX], offsets[QN_PANEL][GROUPS_MAX];

    for (int64_t k = 0; k < w->n_in; k += d->block_elems) {
        for (int i = 0; i < QN_PANEL; i++)
            c->unpack(rows + i * w->file_row_bytes, codes[i], scales[i],
                      offsets[i]);
        rows += d->block_bytes;
        for (int g = 0; g < d->block_elems / c->group; g++) {
            put_heads(w, scales[0] + g, c->offsets ? offsets[0] + g : NULL,
                      (float)c->zero, GROUPS_MAX, panel);
            put_codes(w, codes[0] + g * c->group, QN_BLOCK_CODES_MAX, c->group,
                      panel);
            panel += w->scaled.bytes;
        }
    }
}

/* One row of a block format into its lane, as codes. */
static void row_of_blocks(const qn_weight *w, int64_t row, const uint8_t *src)
{
    const qn_block_codes *c = qn_block_codes_get(w->dtype);
    int per = qn_dtype_get(w->dtype)->block_elems, n = per / c->group;
    uint8_t *group = w->data + row / QN_PANEL * w->panel_bytes;

    for (int64_t k = 0; k < w->n_in; k += per) {
        uint8_t codes[QN_BLOCK_CODES_MAX];
        float scales[GROUPS_MAX], offsets[GROUPS_MAX];
        c->unpack(src, codes, scales, offsets);
        src += qn_dtype_get(w->dtype)->block_bytes;
        for (int i = 0; i < n; i++, group += w->scaled.bytes)
            qn_scaled_put_group(&w->scaled, w->layout, codes + i * c->group,
                                c->group, scales[i],
                                c->offsets ? offsets[i] : (float)c->zero, group,
                                row % QN_PANEL);
    }
}

/* n rows of Q4_K or Q5_K, all of a panel or one in a lane. */
static void rows_of_k(const qn_weight *w, const uint8_t *rows, int lane, int n,
                      uint8_t *group)
{
    const qn_block_codes *c = qn_block_codes_get(w->dtype);
    uint8_t codes[QN_PANEL][QN_BLOCK_CODES_MAX];
    float scales[GROUPS_MAX], offsets[GROUPS_MAX];
    int step = qn_scaled_k_step(w->layout);

    for (int64_t k = 0; k < w->n_in; k += w->scaled.group) {
        for (int i = 0; i < n; i++) {
            const uint8_t *block = rows + i * w->file_row_bytes;
            c->unpack(block, codes[i], scales, offsets);
            qn_scaled_put_k(w->layout, block, codes[i], group, lane + i, n > 1);
        }
        for (int g = 0; g < 8 && n > 1; g++)
            put_codes(w, codes[0] + 32 * g, QN_BLOCK_CODES_MAX, 32,
                      group + step * g);
        rows += qn_dtype_get(w->dtype)->block_bytes;
        group += w->scaled.bytes;
    }
}

/* A row of Q6_K into its lane of layout A6. */
static void row_of_q6_k(const qn_weight *w, int64_t row, const uint8_t *src)
{
    uint8_t *group = w->data + row / QN_PANEL * w->panel_bytes;

    for (int64_t k = 0; k < w->n_in; k += w->scaled.group) {
        qn_scaled_put_q6_k(src, group, row % QN_PANEL);
        src += qn_dtype_get(w->dtype)->block_bytes;
        group += w->scaled.bytes;
    }
}

void qn_weight_put_codes(qn_weight *w, int64_t row0, int64_t n_row,
                         const void *rows)
{
    int64_t row = row0, end = row0 + n_row;

    while (row < end) {
        uint8_t *panel = w->data + row / QN_PANEL * w->panel_bytes;
        const uint8_t *blocks = (const uint8_t *)rows +
                                (row - row0) * w->file_row_bytes;
        bool six = w->layout == QN_LAYOUT_A6;
        bool k = qn_layout_two_levels(w->layout);
        bool whole = row % QN_PANEL == 0 && end - row >= QN_PANEL && !six;

        if (six)
            row_of_q6_k(w, row, blocks);
        else if (k)
            rows_of_k(w, blocks, (int)(row % QN_PANEL), whole ? QN_PANEL : 1,
                      panel);
        else if (w->file_row_bytes && whole)
            panel_of_blocks(w, blocks, panel);
        else if (w->file_row_bytes)
            row_of_blocks(w, row, blocks);
        else if (whole)
            panel_of_codes(w, rows, row - row0, panel);
        else
            qn_scaled_put(&w->scaled, w->layout, rows, row - row0, w->n_in,
                          panel, row % QN_PANEL);
        row += whole ? QN_PANEL : 1;
    }
}
