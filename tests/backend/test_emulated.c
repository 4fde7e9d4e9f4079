/* test_emulated.c - kernels for AVX-512 VNNI and for tiles, their instructions in
 * plain C (emulate.h): both have the same bits, whatever the number of tokens,
 * and they are those of the definition but for roundings. */
#include "backend/ops.h"

#include "backend/cpu/cpu_int.h"
#include "tensor/half.h"

#if defined(__x86_64__)

void emulated_x86_linear_i8_avx512vnni(qn_kernels *k);
void emulated_x86_coded_i8_avx512vnni(qn_kernels *k);
void emulated_x86_coded_mins_avx512vnni(qn_kernels *k);
void emulated_x86_linear_i8_amx(qn_kernels *k);
void emulated_x86_linear_a6_amx(qn_kernels *k);

static qn_kernels ref, dots, tiles;

typedef struct emulated_case {
    qn_layout l;
    int n_tok, n_panel, n_k;
    bool load;
    qn_scaled q;
    int64_t w_panel;
    uint8_t *w;
} emulated_case;

static bool is_coded(qn_layout l)
{
    return l >= QN_LAYOUT_CB4;
}

/* Groups of 256 with two levels of scales. */
static bool is_super(qn_layout l)
{
    return l == QN_LAYOUT_A6 || qn_layout_two_levels(l);
}

static const qn_tile_kernel *kernel_of(const qn_kernels *k,
                                       const emulated_case *c)
{
    int block = c->q.block;

    return is_coded(c->l) && c->l != QN_LAYOUT_A6
               ? &k->coded[c->l][block == 64 ? 2 : block == 32]
               : &k->linear[c->l];
}

/* Any bytes, but scales that are numbers, and zero points that there are. */
static void fill_group(const emulated_case *c, uint8_t *g, int bytes)
{
    bool wide = is_coded(c->l) && !is_super(c->l);

    for (int i = 0; i < bytes; i++)
        g[i] = (uint8_t)rnd_int(256);
    for (int i = 0; i < 2 * QN_PANEL && qn_layout_two_levels(c->l); i++) {
        uint16_t h = qn_f16_of_f32(rnd());
        memcpy(g + 2 * i, &h, 2);
    }
    for (int i = 0; i < QN_PANEL && !qn_layout_two_levels(c->l); i++) {
        uint16_t h = qn_f16_of_f32(rnd());
        float f[2] = {rnd(), rnd()};
        memcpy(g + 2 * i, &h, wide ? 0 : 2);
        memcpy(g + 4 * i, &f[0], wide ? 4 : 0);
        memcpy(g + 64 + 4 * i, &f[1], qn_layout_mins(c->l) ? 4 : 0);
    }
    for (int i = 0; i < QN_PANEL && c->l == QN_LAYOUT_A4; i++)
        g[64 + i] &= 15;
}

static void make_weights(emulated_case *c, int group)
{
    float book[16];
    int bytes = c->l == QN_LAYOUT_Q4_0 ? 288 : 544;

    for (int i = 0; i < 16; i++)
        book[i] = rnd();
    c->w_panel = qn_panel_bytes(is_coded(c->l) ? QN_LAYOUT_F32 : c->l, c->n_k);
    if (is_coded(c->l)) {
        qn_scaled_make(&c->q, c->l, group, QN_F32, book);
        c->w_panel = qn_scaled_panel_bytes(&c->q, c->n_k);
        bytes = c->q.bytes;
    }
    c->w = malloc((size_t)(c->w_panel * c->n_panel));
    for (int64_t at = 0; at < c->w_panel * c->n_panel; at += bytes)
        fill_group(c, c->w + at, bytes);
}

/* A tile of all tokens by both ways, and each token alone. */
static void emulate(emulated_case c, int group)
{
    make_weights(&c, group);
    const qn_tile_kernel *d = kernel_of(&dots, &c), *t = kernel_of(&tiles, &c);
    const qn_tile_kernel *r = kernel_of(&ref, &c);
    int64_t x_tok = qn_xform_bytes(d->xform, c.n_k) + 4;
    uint8_t *x = malloc((size_t)(x_tok * c.n_tok));
    mat raw = mat_new(c.n_tok, c.n_k, 1, 3, 1);
    mat want = mat_new(c.n_tok, c.n_panel * QN_PANEL, 16, 0, 1);
    mat got = mat_copy(&want), one = mat_copy(&want), plain = mat_copy(&want);
    mat start = mat_copy(&want);
    char what[96];

    snprintf(what, sizeof what, "%s, %d tokens, k %d, group %d", t->name,
             c.n_tok, c.n_k, group);
    for (int i = 0; i < c.n_tok; i++)
        ref.prep[d->xform].fn(mat_row(&raw, i), c.n_k, x + i * x_tok);
    qn_tile tile = {.w = c.w,
                    .w_panel = c.w_panel,
                    .x = x,
                    .x_tok = x_tok,
                    .acc = want.p,
                    .acc_tok = want.ld,
                    .n_k = c.n_k,
                    .n_tok = c.n_tok,
                    .n_panel = c.n_panel,
                    .load = c.load,
                    .q = &c.q};
    qn_tile_run(d, &tile);
    tile.acc = got.p;
    qn_tile_run(t, &tile);
    mat_check(&got, what);
    mat_same(&want, &got, what);
    tile.acc = plain.p;
    qn_tile_run(r, &tile);
    for (int i = 0; i < c.n_tok; i++) {
        qn_tile s = tile;
        s.n_tok = 1;
        s.x += i * x_tok;
        s.acc = mat_row(&one, i);
        t->fn(&s);
        for (int j = 0; j < got.n_col; j++) { /* q8_0, A8: |code| < 256 */
            double top = is_super(c.l) ? 4096 : 256;
            check_at(what, i, j, mat_row(&got, i)[j], mat_row(&plain, i)[j],
                     qn_test_dot_bound((size_t)c.n_k / 16 + 8, EPS32,
                                       2 * top * c.n_k));
        }
    }
    mat_same(&want, &one, what);
    lanes_same(d, &tile, &start, &want, what);
    lanes_same(t, &tile, &start, &want, what);
    mat_free(&raw);
    mat_free(&want);
    mat_free(&got);
    mat_free(&one);
    mat_free(&plain);
    mat_free(&start);
    free(x);
    free(c.w);
}

static void test_whole(void **state)
{
    static const qn_layout layouts[] = {QN_LAYOUT_Q8_0, QN_LAYOUT_Q4_0,
                                        QN_LAYOUT_CB4,  QN_LAYOUT_A4,
                                        QN_LAYOUT_A8,   QN_LAYOUT_M4,
                                        QN_LAYOUT_M8,   QN_LAYOUT_A6,
                                        QN_LAYOUT_K4,   QN_LAYOUT_K5};
    static const int toks[] = {1,  2,  3,  4,  6,  8,  9,  12,
                               13, 16, 17, 31, 32, 33, 49, 80};

    (void)state;
    qn_kernels_init(&ref, QN_ISA_REF);
    emulated_x86_linear_i8_avx512vnni(&dots);
    emulated_x86_coded_i8_avx512vnni(&dots);
    emulated_x86_coded_mins_avx512vnni(&dots);
    emulated_x86_linear_i8_amx(&tiles);
    emulated_x86_linear_a6_amx(&tiles);
    for (size_t l = 0; l < QN_COUNTOF(layouts); l++)
        for (size_t i = 0; i < QN_COUNTOF(toks); i++) {
            bool codes = is_coded(layouts[l]), super = is_super(layouts[l]);
            int group = codes && !super ? 16 << rnd_int(4) : super ? 16 : 0;
            int step = super ? 256 : codes ? 8 : 32;
            int most = i % 4 ? 320 : 2304; /* several chunks */
            emulate((emulated_case){.l = layouts[l],
                                    .n_tok = toks[i],
                                    .n_panel = 1 + rnd_int(toks[i] > 4 ? 3 : 8),
                                    .n_k = step * (1 + rnd_int(most / step)),
                                    .load = i % 2},
                    group);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_whole)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else
int main(void)
{
    puts("skipped: not an x86-64");
    return 0;
}
#endif
