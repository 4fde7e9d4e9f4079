/* mix_amx.c - sums over cells of bf16 with tiles.
 *
 *   acc[t][c] (+)= sum over 32 k's of w[k][c] x[t][k]      one tdpbf16ps
 *
 * Rows of cells are what the instruction wants: 16 rows of pairs (k, k + 1) of
 * 16 columns are a tile, up to 16 tokens another. What is added at a time are
 * the k's of [32 j, 32 j + 32), counted from where the page or the key begins,
 * so an output's bits do not depend on where a range of positions was cut: the
 * k's of a part that are not in the range are zeros.
 *
 * Bound: the bytes of w (few tokens); 16 cycles for each product of 16 tokens
 * and 16 columns. Subnormals count as zero. Reference: mix_bf16_ref in
 * ref/ref_mix.c on rounded x, tolerance gamma(n_k) sum |w x|.
 */
#include "backend/cpu/x86/amx.h"
#include "backend/cpu/x86/x86.h"

#include <string.h>

enum {
    TOK = 16,
    STEP = 32, /* k's of a product */
    PAIRS = STEP / 2,
    PANELS = 4, /* of columns, at once */
    FEW = 8     /* tokens for which what is read next is asked for */
};

/* A part of a product's k's, completed by zeros. */
typedef struct part {
    QN_ALIGNED(64) uint8_t w[PAIRS][PANELS * 64];
    QN_ALIGNED(64) uint8_t x[TOK][AMX_BYTES];
} part;

/* Tiles 0 to 3: sums; 4: tokens; 6, 7: cells. */
static void configure(int n_tok)
{
    amx_config c = {0};

    for (int i = 0; i < 5; i++)
        amx_set(&c, i, n_tok, AMX_BYTES);
    amx_set(&c, 6, PAIRS, AMX_BYTES);
    amx_set(&c, 7, PAIRS, AMX_BYTES);
    amx_begin(&c);
}

/* The pairs [from, from + n) of a product; w and x are at the first of them. */
QN_INLINE void step_part(const qn_mix *m, const uint8_t *w, const uint8_t *x,
                         int from, int n, const int N)
{
    part p;

    memset(&p, 0, sizeof p);
    for (int i = 0; i < n; i++)
        memcpy(p.w[from + i], w + i * m->w_row, (size_t)(N * 64));
    for (int i = 0; i < m->n_tok; i++)
        memcpy(p.x[i] + from * 4, x + i * m->x_tok, (size_t)n * 4);
    amx_fence();
    amx_bf16_step(p.w[0], sizeof p.w[0], 64, p.x[0], sizeof p.x[0], N);
}

QN_INLINE void ask(const uint8_t *ahead, int64_t w_row, int n, const int N)
{
    for (int i = 0; i < n; i++, ahead += w_row)
        QN_UNROLL
    for (int p = 0; p < N; p++)
        QN_PREFETCH(ahead + p * 64);
}

QN_INLINE void panels(const qn_mix *m, const uint8_t *w, float *to,
                      const uint8_t *ahead, const int N)
{
    const int64_t acc_tok = m->acc_tok * (int64_t)sizeof(float);
    const uint8_t *x = m->x;
    int left = (m->n_k + 1) / 2, at = m->k0 / 2 % PAIRS;

    amx_sums_begin(to, acc_tok, m->load, N);
    for (int n; left > 0; left -= n, at = 0) {
        n = QN_MIN(PAIRS - at, left);
        if (ahead) {
            ask(ahead, m->w_row, n, N);
            ahead += n * m->w_row;
        }
        if (n == PAIRS)
            amx_bf16_step(w, m->w_row, 64, x, m->x_tok, N);
        else
            step_part(m, w, x, at, n, N);
        w += n * m->w_row;
        x += n * 4;
    }
    amx_sums_end(to, acc_tok, N);
}

static void mix_bf16_amx(const qn_mix *m)
{
    const uint8_t *ahead = m->n_tok <= FEW ? m->ahead : NULL;
    int c = 0;

    configure(m->n_tok);
    for (; c + PANELS * QN_PANEL <= m->n_col; c += PANELS * QN_PANEL)
        panels(m, m->w + c * 4, m->acc + c, ahead ? ahead + c * 4 : NULL,
               PANELS);
    for (; c < m->n_col; c += QN_PANEL)
        panels(m, m->w + c * 4, m->acc + c, ahead ? ahead + c * 4 : NULL, 1);
    amx_end();
}

void qn_x86_mix_amx(qn_kernels *k)
{
    k->mix[QN_KV_CELL_BF16] = (qn_mix_kernel){"mix_bf16_amx", mix_bf16_amx,
                                              k->prep[QN_X_BF16].fn, TOK};
    k->kv_half = QN_KV_CELL_BF16;
}
