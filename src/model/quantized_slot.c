/* quantized_slot.c - quantized matrices on their way to the backend.
 *
 * A scheme's codes, scales and zero points are what the backend's coded weights
 * are made of: only groups are brought to the sizes that it has (a scale is
 * said several times where a group is larger), and columns in activation order
 * are put side by side with those of their group. Nothing is rounded. What does
 * not fit (odd sizes) is decoded to f32. */
#include "base/compiler.h"
#include "base/mem.h"
#include "model/net_int.h"

#include <string.h>

enum {
    GROUP_MAX = 128, /* of the backend */
    GROUP_MIN = 16,
    PIECE_ROWS = 16
};

/* The largest of the backend's groups that the matrix's are made of; 0: none. */
static int group_of(const qn_qmat *m)
{
    if (m->group >= m->n_in)
        return GROUP_MAX;
    for (int g = GROUP_MAX; g >= GROUP_MIN; g /= 2) {
        if (m->group % g == 0)
            return g;
    }
    return 0;
}

bool qn_codes_of(const qn_qmat *m, qn_weight_codes *c)
{
    const float *book = m->table_part < 0 ? m->table : m->part[m->table_part].p;
    bool integer = !m->table && m->table_part < 0;
    int group = group_of(m);
    if ((m->g_idx_part >= 0 && !m->order) || m->n_in % 8 || !group ||
        (!integer && !book))
        return false;
    *c =
        (qn_weight_codes){.group = group, .round = m->round, .order = m->order};
    if (integer)
        c->kind = m->bits <= 4 ? QN_CODE_INT4 : QN_CODE_INT8;
    else
        c->kind = m->bits == 4 ? QN_CODE_BOOK4 : QN_CODE_FP8;
    if (c->kind == QN_CODE_BOOK4)
        memcpy(c->book, book, sizeof c->book);
    return c->kind == QN_CODE_BOOK4 || m->round == QN_F32;
}

/* Memory for PIECE_ROWS rows: as the scheme has them, as the backend wants
 * them. */
typedef struct piece {
    qn_qrows rows, out; /* the same codes, but for an order */
    float *f32;
    void *scratch;
} piece;

static bool piece_make(piece *p, const qn_slot *s, const qn_qmat *m)
{
    size_t n = PIECE_ROWS * (size_t)s->n_in;
    size_t groups = PIECE_ROWS * (size_t)qn_qmat_n_group(m);
    if (!s->coded) {
        p->f32 = qn_alloc(n, sizeof *p->f32);
        p->scratch = qn_alloc(qn_qmat_scratch(m, PIECE_ROWS), 1);
        return p->f32 && p->scratch;
    }
    size_t own = PIECE_ROWS * (size_t)(s->n_in / s->codes.group + 1);
    p->rows.codes = p->out.codes = qn_alloc(n, 1);
    if (m->order)
        p->out.codes = qn_alloc(n, 1);
    p->rows.scales = qn_alloc(groups, sizeof(float));
    p->rows.zeros = qn_alloc(groups, sizeof(float));
    p->out.scales = qn_alloc(own, sizeof(float));
    p->out.zeros = qn_alloc(own, sizeof(float));
    return p->rows.codes && p->out.codes && p->rows.scales && p->rows.zeros &&
           p->out.scales && p->out.zeros;
}

static void piece_free(piece *p)
{
    qn_free(p->f32);
    qn_free(p->scratch);
    if (p->out.codes != p->rows.codes)
        qn_free(p->out.codes);
    qn_free(p->rows.codes);
    qn_free(p->rows.scales);
    qn_free(p->rows.zeros);
    qn_free(p->out.scales);
    qn_free(p->out.zeros);
}

/* Scales and zeros of n rows, one for each of the backend's groups. */
static void regroup(const qn_slot *s, const qn_qmat *m, int64_t n, piece *p)
{
    int64_t have = qn_qmat_n_group(m), group = s->codes.group;
    int64_t want = (s->n_in + group - 1) / group;
    int64_t per = have == 1 ? want : m->group / group;
    float *scale = p->out.scales, *zero = p->out.zeros;
    for (int64_t i = 0; i < n * have; i++) {
        for (int64_t j = i % have * per; j < QN_MIN(want, (i % have + 1) * per);
             j++) {
            *scale++ = p->rows.scales[i];
            *zero++ = m->zeros ? p->rows.zeros[i] : m->zero;
        }
    }
}

/* Columns of n rows by their groups. */
static void put_in_order(const qn_qmat *m, int64_t n, piece *p)
{
    for (int64_t r = 0; r < n; r++) {
        const uint8_t *from = p->rows.codes + r * m->n_in;
        uint8_t *to = p->out.codes + r * m->n_in;
        for (int64_t k = 0; k < m->n_in; k++)
            to[k] = from[m->order[k]];
    }
}

static int64_t source_row(const qn_row_map *m, int64_t r)
{
    return r / m->block * m->stride + m->offset + r % m->block;
}

/* Rows [row, row + n) of the slot, by runs of rows that lie back to back. */
static void take_rows(const qn_slot *s, const qn_qmat *m, int64_t row,
                      int64_t n, piece *p)
{
    int64_t first = (int64_t)(s->first / (uint64_t)s->n_in);
    int64_t groups = qn_qmat_n_group(m);
    for (int64_t i = 0; i < n;) {
        int64_t run = QN_MIN(s->rows.block - (row + i) % s->rows.block, n - i);
        int64_t at = first + source_row(&s->rows, row + i);
        if (s->coded) {
            qn_qrows to = {p->rows.codes + i * s->n_in,
                           p->rows.scales + i * groups,
                           p->rows.zeros + i * groups};
            m->scheme->unpack(m, at, run, &to);
        } else {
            qn_qmat_decode(m, at, run, p->scratch, p->f32 + i * s->n_in);
        }
        i += run;
    }
}

/* Columns of n_in rows of the tensor, each of n_out elements, as rows. */
static int load_turned(const qn_net *net, const qn_slot *s, const qn_qmat *m,
                       qn_err *err)
{
    size_t n_row = (size_t)s->n_in, n_col = (size_t)s->n_out;
    int64_t first = (int64_t)(s->first / (uint64_t)n_col);
    float *rows = qn_alloc(n_row * n_col, 2 * sizeof *rows);
    void *scratch = qn_alloc(qn_qmat_scratch(m, s->n_in), 1);
    if (rows && scratch) {
        float *turned = rows + n_row * n_col;
        qn_qmat_decode(m, first, s->n_in, scratch, rows);
        for (size_t c = 0; c < n_col; c++)
            for (size_t r = 0; r < n_row; r++)
                turned[c * n_row + r] = rows[r * n_col + c];
        net->be->api->weight_put(s->w, 0, s->n_out, turned);
    }
    int rc = rows && scratch
                 ? QN_OK
                 : qn_fail(err, QN_ENOMEM, "tensor %s: no memory", s->t->name);
    qn_free(rows);
    qn_free(scratch);
    return rc;
}

int qn_load_quantized(const qn_net *net, const qn_ckpt *ck, const qn_slot *s,
                      qn_err *err)
{
    qn_qmat m;
    void *mem;
    piece p = {0};
    int rc = QN_OK;
    QN_TRY(qn_ckpt_quant_open(ck, s->t, &m, &mem, err));
    if (s->turned) {
        rc = load_turned(net, s, &m, err);
        qn_ckpt_quant_close(mem);
        return rc;
    }
    if (!piece_make(&p, s, &m))
        rc = qn_fail(err, QN_ENOMEM, "tensor %s: no memory", s->t->name);
    for (int64_t r = 0; r < s->n_out && rc == QN_OK; r += PIECE_ROWS) {
        int64_t n = QN_MIN(PIECE_ROWS, s->n_out - r);
        take_rows(s, &m, r, n, &p);
        if (s->coded)
            regroup(s, &m, n, &p);
        if (s->coded && m.order)
            put_in_order(&m, n, &p);
        net->be->api->weight_put(s->w, r, n,
                                 s->coded ? (const void *)&p.out : p.f32);
    }
    piece_free(&p);
    qn_ckpt_quant_close(mem);
    return rc;
}
