/* test_kernels.c - kernels of the CPU tables called directly, in the shapes
 * that the ops do not reach: every tile size, sums that go on from what was
 * there, rows that end where their memory ends, inputs that are not numbers.
 */
#include "backend/ops.h"

#include "backend/cpu/cpu_int.h"
#include "tensor/half.h"

static qn_kernels ref, kern;

static void fill(uint8_t *p, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        p[i] = (uint8_t)rnd_int(256);
}

/* A panel of finite values: scales and 16-bit floats of moderate size. */
static void fill_panel(qn_layout l, uint8_t *p, int64_t n)
{
    fill(p, n);
    for (int64_t i = 0; l == QN_LAYOUT_F32 && i < n; i += 4) {
        float f = rnd();
        memcpy(p + i, &f, 4);
    }
    for (int64_t i = 0; i < n && l != QN_LAYOUT_F32; i += 2) {
        int64_t block = l == QN_LAYOUT_Q8_0 ? 544 : 288;
        bool q = l == QN_LAYOUT_Q8_0 || l == QN_LAYOUT_Q4_0;
        uint16_t h = l == QN_LAYOUT_BF16 ? qn_bf16_of_f32(rnd())
                                         : qn_f16_of_f32(rnd());
        if (!q || i % block < 32)
            memcpy(p + i, &h, 2);
    }
}

/* What blocks of 32 of QN_X_I16_32 say. */
static void decode_wide(const uint8_t *x, int n, float *y)
{
    for (int i = 0; i < n; i++) {
        const uint8_t *block = x + i / 32 * (64 + (int)sizeof(qn_xi8));
        qn_xi8 b;
        int16_t q;
        memcpy(&b, block + 64, sizeof b);
        memcpy(&q, block + 2 * (i % 32), sizeof q);
        y[i] = b.d * (float)q;
    }
}

/* One tile of a kernel against the reference kernel and against itself, one
 * token and one panel at a time. All memory is exactly as long as it must be,
 * for the address sanitizer to watch. */
static void tile_case(const qn_tile_kernel *k, const qn_tile_kernel *r,
                      qn_layout l, int n_k, int n_tok, int n_panel, bool load)
{
    int64_t wb = qn_panel_bytes(l, n_k), xb = qn_xform_bytes(k->xform, n_k);
    int64_t x_tok = (xb + 3) / 4 * 4 + 20, rb;
    uint8_t *w = malloc((size_t)(wb * n_panel));
    uint8_t *x = malloc((size_t)(x_tok * (n_tok - 1) + xb));
    uint8_t *xr, *xa = malloc((size_t)xb + 64);
    int cols = n_panel * QN_PANEL;
    bool wide = k->xform == QN_X_I16_32; /* then the reference is in f32 */
    mat raw = mat_new(n_tok, n_k, 1, 3, 1);
    mat got = mat_new(n_tok, cols, 32 - cols % 32, 0, 1);
    mat want = mat_copy(&got), one = mat_copy(&got), start = mat_copy(&got);
    char what[128];

    if (wide)
        r = &ref.exact[l];
    rb = qn_xform_bytes(r->xform, n_k);
    xr = malloc((size_t)(rb * n_tok));
    for (int p = 0; p < n_panel; p++)
        fill_panel(l, w + p * wb, wb);
    for (int t = 0; t < n_tok; t++) {
        uint8_t *at = xa + 64 - (uintptr_t)xa % 64;
        if (xb + (at - xa) <= xb + 64)
            kern.prep[k->xform].fn(mat_row(&raw, t), n_k, at);
        memcpy(x + t * x_tok, at, (size_t)xb);
        if (wide)
            decode_wide(at, n_k, (float *)(void *)(xr + t * rb));
        else
            ref.prep[r->xform].fn(mat_row(&raw, t), n_k, xr + t * rb);
    }
    if (k->xform == QN_X_F32_BF16) /* the reference takes bf16 pairs */
        assert_int_equal(r->xform, QN_X_BF16);
    qn_tile tile = {.w = w,
                    .w_panel = wb,
                    .x = x,
                    .x_tok = x_tok,
                    .acc = got.p,
                    .acc_tok = got.ld,
                    .n_k = n_k,
                    .n_tok = n_tok,
                    .n_panel = n_panel,
                    .load = load};
    k->fn(&tile);
    snprintf(what, sizeof what, "%s k %d tokens %d panels %d load %d", k->name,
             n_k, n_tok, n_panel, load);
    mat_check(&got, what);

    qn_tile rt = tile;
    rt.x = xr;
    rt.x_tok = rb;
    rt.acc = want.p;
    for (int t = 0; t < n_tok; t++) {
        rt.n_tok = 1;
        r->fn(&rt);
        rt.x += rb;
        rt.acc += want.ld;
        for (int p = 0; p < n_panel; p++) {
            qn_tile s = tile;
            s.n_tok = s.n_panel = 1;
            s.w += p * wb;
            s.x += t * x_tok;
            s.acc = mat_row(&one, t) + p * QN_PANEL;
            k->fn(&s);
        }
        for (int c = 0; c < cols; c++) {
            /* |w| < 160 (q8_0: 127 and a scale), |x| <= 1 */
            double top = l == QN_LAYOUT_Q8_0   ? 160
                         : l == QN_LAYOUT_Q4_0 ? 9
                                               : 1;
            check_at(what, t, c, mat_row(&got, t)[c], mat_row(&want, t)[c],
                     2 * qn_test_dot_bound((size_t)n_k + 4, EPS32, n_k * top));
        }
    }
    mat_same(&got, &one, what);
    lanes_same(k, &tile, &start, &got, what);
    mat_free(&raw);
    mat_free(&got);
    mat_free(&want);
    mat_free(&one);
    mat_free(&start);
    free(w);
    free(x);
    free(xr);
    free(xa);
}

static void tiles(qn_isa isa)
{
    static const int ks[] = {1, 2, 7, 32, 96};

    qn_kernels_init(&kern, isa);
    for (int l = 0; l < QN_LAYOUT_CB4; l++)
        for (int exact = 0; exact < 2; exact++) {
            const qn_tile_kernel *k = exact ? &kern.exact[l] : &kern.linear[l];
            const qn_tile_kernel *r = exact ? &ref.exact[l] : &ref.linear[l];
            bool blocks = l == QN_LAYOUT_Q8_0 || l == QN_LAYOUT_Q4_0;
            for (int t = 1; t <= k->max_tok; t++)
                for (int p = 1; p <= (t > 4 ? 5 : 8); p++) {
                    /* now and then more than what waits at once */
                    int most = t % 16 == 1 && p == 5 ? 80 : 4;
                    int n_k = blocks ? 32 * (1 + rnd_int(most))
                                     : ks[rnd_int(QN_COUNTOF(ks))];
                    tile_case(k, r, (qn_layout)l, n_k, t, p, (t + p) % 2);
                }
        }
}

/* Panels of A6 that no encoder writes: every code beside every scale. */
static void fill_six(const qn_scaled *q, uint8_t *panel, int n_group)
{
    fill(panel, (int64_t)n_group * q->bytes);
    for (int g = 0; g < n_group; g++, panel += q->bytes)
        for (int i = 0; i < QN_PANEL; i++) {
            uint16_t h = qn_f16_of_f32(rnd());
            memcpy(panel + 2 * i, &h, sizeof h);
            panel[32 + 16 * i + i] = 0x80; /* -128, and codes of 0 */
            for (int c = 0; c < 192; c += 64)
                memset(panel + q->head + i * 192 + c + 4 * i, 0, 4);
        }
}

/* An output of A6 from exact sums of blocks, and how far from it a product may
 * be: sums become f32, and so do those over blocks. */
static double six_at(const qn_scaled *q, const uint8_t *panel, int64_t lane,
                     const uint8_t *x, int n_k, double from, double *tol)
{
    double sum = from, abs = fabs(from);

    for (int k = 0; k < n_k; k += QN_SUMS_BLOCK, x += sizeof(qn_xsums)) {
        const uint8_t *group = panel + k / 256 * q->bytes;
        double part = 0;
        qn_xsums b;
        memcpy(&b, x, sizeof b);
        for (int i = 0; i < QN_SUMS_BLOCK; i++) {
            int at = k % 256 + i;
            int code = qn_scaled_code(q, QN_LAYOUT_A6, group, lane, at);
            part += (int8_t)group[32 + at / 16 * 16 + lane] * (code - 32) *
                    b.q[i];
        }
        uint16_t factor;
        memcpy(&factor, group + 2 * lane, sizeof factor);
        part *= (double)qn_f32_of_f16(factor) * (double)b.d;
        sum += part;
        abs += fabs(part);
    }
    *tol = qn_test_dot_bound((size_t)n_k / QN_SUMS_BLOCK + 4, EPS32, abs);
    return sum;
}

static void six_case(const qn_tile_kernel *k, int n_tok, int n_k, bool load)
{
    enum {
        PANELS = 3
    };
    qn_scaled q;
    qn_scaled_make(&q, QN_LAYOUT_A6, 16, QN_F32, NULL);
    int64_t wb = qn_scaled_panel_bytes(&q, n_k);
    int64_t x_tok = qn_xform_bytes(QN_X_I8_SUMS, n_k) + 4;
    uint8_t *w = malloc((size_t)(wb * PANELS));
    uint8_t *x = malloc((size_t)(x_tok * n_tok));
    mat raw = mat_new(n_tok, n_k, 1, 3, 1);
    mat got = mat_new(n_tok, PANELS * QN_PANEL, 16, 0, 1);
    mat was = mat_copy(&got), one = mat_copy(&got);

    for (int p = 0; p < PANELS; p++)
        fill_six(&q, w + p * wb, n_k / 256);
    for (int t = 0; t < n_tok; t++)
        kern.prep[QN_X_I8_SUMS].fn(mat_row(&raw, t), n_k, x + t * x_tok);
    qn_tile tile = {.w = w,
                    .w_panel = wb,
                    .x = x,
                    .x_tok = x_tok,
                    .acc = got.p,
                    .acc_tok = got.ld,
                    .n_k = n_k,
                    .n_tok = n_tok,
                    .n_panel = PANELS,
                    .load = load,
                    .q = &q};
    qn_tile_run(k, &tile);
    mat_check(&got, k->name);
    for (int t = 0; t < n_tok; t++) {
        tile.n_tok = 1;
        tile.x = x + t * x_tok;
        tile.acc = mat_row(&one, t);
        k->fn(&tile);
        for (int c = 0; c < got.n_col; c++) {
            double from = load ? (double)mat_row(&was, t)[c] : 0, tol;
            double want = six_at(&q, w + c / QN_PANEL * wb, c % QN_PANEL,
                                 tile.x, n_k, from, &tol);
            check_at(k->name, t, c, mat_row(&got, t)[c], want, tol);
        }
    }
    mat_same(&got, &one, k->name);
    mat_free(&raw);
    mat_free(&got);
    mat_free(&was);
    mat_free(&one);
    free(w);
    free(x);
}

static void sixes(qn_isa isa)
{
    static const int toks[] = {1,  2,  7,  8,  9,  12, 16, 17,
                               31, 32, 33, 48, 65, 96, 128};

    qn_kernels_init(&kern, isa);
    if (!kern.linear[QN_LAYOUT_A6].fn)
        return;                                   /* Q6_K is bytes there */
    for (size_t i = 0; i < QN_COUNTOF(toks); i++) /* some: several chunks */
        six_case(&kern.linear[QN_LAYOUT_A6], toks[i],
                 256 * (i % 4 ? 1 + rnd_int(3) : 9), i % 2);
}

/* Sums over k in two steps are the sums in one. */
static void resumed(qn_isa isa)
{
    qn_kernels_init(&kern, isa);
    for (int l = 0; l < QN_LAYOUT_CB4; l++)
        for (int exact = 0; exact < 2; exact++) {
            const qn_tile_kernel *k = exact ? &kern.exact[l] : &kern.linear[l];
            enum {
                K = 160,
                CUT = 64,
                TOK = 3
            };
            int64_t wb = qn_panel_bytes((qn_layout)l, K);
            int64_t x_tok = qn_xform_bytes(k->xform, K);
            uint8_t *w = malloc((size_t)wb);
            uint8_t *x = aligned_alloc(64,
                                       (size_t)(x_tok * TOK + 63) / 64 * 64);
            mat raw = mat_new(TOK, K, 0, 0, 1);
            mat a = mat_new(TOK, 16, 16, 0, 0), b = mat_copy(&a);
            fill_panel((qn_layout)l, w, wb);
            for (int t = 0; t < TOK; t++)
                kern.prep[k->xform].fn(mat_row(&raw, t), K, x + t * x_tok);
            qn_tile t = {.w = w,
                         .w_panel = wb,
                         .x = x,
                         .x_tok = x_tok,
                         .acc = a.p,
                         .acc_tok = a.ld,
                         .n_k = K,
                         .n_tok = TOK,
                         .n_panel = 1};
            k->fn(&t);
            t.acc = b.p;
            t.n_k = CUT;
            k->fn(&t);
            t.w += qn_panel_offset((qn_layout)l, CUT);
            t.x += qn_xform_offset(k->xform, CUT);
            t.n_k = K - CUT;
            t.load = true;
            k->fn(&t);
            mat_same(&a, &b, k->name);
            mat_free(&raw);
            mat_free(&a);
            mat_free(&b);
            free(w);
            free(x);
        }
}

/* Packing is bit for bit the reference's. */
static void packs(qn_isa isa)
{
    static const int ks[] = {1,  2,  15, 16, 17,  31, 32,
                             33, 63, 64, 65, 130, 224};

    qn_kernels_init(&kern, isa);
    for (int l = 0; l < QN_LAYOUT_N; l++)
        for (size_t i = 0; i < QN_COUNTOF(ks) && kern.pack[l].fn; i++) {
            bool q8 = l == QN_LAYOUT_Q8_0, q4 = l == QN_LAYOUT_Q4_0;
            int n = ks[i];
            int64_t row = l == QN_LAYOUT_F32 ? 4 * n
                          : q8               ? n / 32 * 34
                          : q4               ? n / 32 * 18
                                             : 2 * n;
            int64_t pb = qn_panel_bytes((qn_layout)l, n);
            uint8_t *raw = malloc((size_t)(16 * row + 2));
            uint8_t *a = aligned_alloc(64, (size_t)(pb + 127) / 64 * 64);
            uint8_t *b = calloc(1, (size_t)(pb + 127) / 64 * 64);
            if ((q8 || q4) && n % 32) {
                free(raw);
                free(a);
                free(b);
                continue;
            }
            fill(raw, 16 * row + 2);
            memset(a, 0, (size_t)(pb + 127) / 64 * 64);
            kern.pack[l].fn(raw + 2, row, n, a);
            ref.pack[l].fn(raw + 2, row, n, b);
            assert_memory_equal(a, b, (size_t)(pb + 127) / 64 * 64);
            free(raw);
            free(a);
            free(b);
        }
}

/* So is packing of codes, and nothing behind them is written. */
static void packs_codes(qn_isa isa)
{
    static const int ns[] = {8, 16, 24, 32, 40, 64, 72, 128};
    enum {
        LD = 133,
        ROOM = 128 * 16 + 64
    };

    qn_kernels_init(&kern, isa);
    for (int four = 0; four < 2; four++)
        for (size_t i = 0; i < QN_COUNTOF(ns); i++) {
            uint8_t codes[16 * LD], a[ROOM], b[ROOM];
            for (size_t c = 0; c < sizeof codes; c++)
                codes[c] = (uint8_t)rnd_int(four ? 16 : 256);
            memset(a, 0xa5, sizeof a);
            memset(b, 0xa5, sizeof b);
            kern.pack_codes[four].fn(codes + 1, LD, ns[i], a + 3);
            ref.pack_codes[four].fn(codes + 1, LD, ns[i], b + 3);
            assert_memory_equal(a, b, sizeof a);
            for (int k = 0; k < ns[i]; k++)
                for (int r = 0; r < 16; r++) {
                    const uint8_t *p = b + 3 +
                                       (k / (four ? 8 : 4) * 16 + r) * 4 +
                                       k % 4;
                    int code = !four ? *p : k & 4 ? *p >> 4 : *p & 15;
                    assert_int_equal(code, codes[1 + r * LD + k]);
                }
        }
}

/* The forms of x are bit for bit the reference's: also of zeros, of values
 * that round to the next exponent, and of NaN and infinity. (Not of
 * subnormals: the bf16 instructions take them for zero.) */
static void preps(qn_isa isa)
{
    static const float odd[] = {0,           -0.0f,      1,       -1,
                                127.5f,      3.3895e38f, -1e-30f, 1.00390625f,
                                1.01171875f, 0.5f,       2e-38f};

    qn_kernels_init(&kern, isa);
    for (int f = 0; f < QN_X_N; f++)
        for (int n = 1; n < 100; n++) {
            bool q = f == QN_X_Q8_O128 || f == QN_X_Q8_O8;
            float *x = malloc((size_t)n * sizeof *x);
            size_t bytes = (size_t)qn_xform_bytes((qn_xform)f, n);
            uint8_t *a = aligned_alloc(64, (bytes + 127) / 64 * 64);
            uint8_t *b = aligned_alloc(64, (bytes + 127) / 64 * 64);
            for (int i = 0; i < n; i++)
                x[i] = rnd_int(4) ? rnd() : odd[rnd_int(QN_COUNTOF(odd))];
            if (n == 64) /* a block of zeros */
                memset(x, 0, 32 * sizeof *x);
            if (n == 65 || (n == 96 && !q))
                x[3] = n == 65 ? NAN : INFINITY;
            memset(a, 0xaa, (bytes + 127) / 64 * 64);
            memset(b, 0xaa, (bytes + 127) / 64 * 64);
            if (!q || n % 32 == 0) {
                kern.prep[f].fn(x, n, a);
                ref.prep[f].fn(x, n, b);
                assert_memory_equal(a, b, (bytes + 127) / 64 * 64);
            }
            free(x);
            free(a);
            free(b);
        }
}

/* exp, as the softmax has it: within 2 units in the last place down to the
 * smallest normal number, and never negative or NaN below. */
static void exps(qn_isa isa)
{
    double worst = 0;

    qn_kernels_init(&kern, isa);
    for (int i = 0; i < 400000; i++) {
        float x = -(float)i * (87.0f / 400000), s = x, m = 0, l = 0;
        qn_softmax_args a = {.scale = 1, .n = 1};
        kern.softmax.fn(&s, &a, &m, &l);
        double want = exp((double)x);
        worst = fmax(worst, fabs((double)s - want) / want / 0x1p-23);
    }
    print_message("  worst exp %.2f ulp\n", worst);
    assert_true(worst <= 2);
    for (float x = -87; x > -1e5f; x *= 1.01f) {
        float s = x, m = 0, l = 0;
        qn_softmax_args a = {.scale = 1, .n = 1};
        kern.softmax.fn(&s, &a, &m, &l);
        assert_true(s >= 0 && s <= 2e-38f);
    }
}

/* An online softmax in pieces gives the weights of the whole. */
static void softmaxes(qn_isa isa)
{
    qn_kernels_init(&kern, isa);
    for (int n = 1; n < 70; n++) {
        mat s = mat_new(1, n, 1, n % 16, 20), was = mat_copy(&s);
        float m = -INFINITY, l = 0, slope = 0.25f, cap = n % 3 ? 0 : 5;
        double top = -INFINITY, sum = 0;
        int cut = rnd_int(n + 1);
        double t[70];
        for (int at = 0; at < n;) {
            int to = at < cut ? cut : n;
            qn_softmax_args a = {.scale = 0.5f,
                                 .softcap = cap,
                                 .slope = slope,
                                 .rel0 = (float)(at - n),
                                 .n = to - at};
            float f = kern.softmax.fn(s.p + at, &a, &m, &l);
            for (int i = 0; i < at; i++)
                s.p[i] *= f;
            at = to;
        }
        mat_check(&s, "softmax");
        for (int i = 0; i < n; i++) {
            t[i] = 0.5 * (double)was.p[i];
            if (cap > 0)
                t[i] = (double)cap * tanh(t[i] / (double)cap);
            t[i] += (double)slope * (i - n);
            top = fmax(top, t[i]);
        }
        for (int i = 0; i < n; i++)
            sum += exp(t[i] - top);
        /* scores of up to 30 are off by 8 roundings */
        for (int i = 0; i < n; i++) {
            double want = exp(t[i] - top);
            check_at("softmax", 0, i, s.p[i], want, want * 300 * EPS32 + 1e-37);
        }
        check_at("softmax sum", 0, n, l, sum, sum * 300 * EPS32);
        mat_free(&s);
        mat_free(&was);
    }
}

/* Cells of f16, at the edges of what they hold; nothing is written behind them. */
static void cells(qn_isa isa)
{
    static const float odd[] = {0,        -0.0f,     65503,    65504,
                                65519,    65520,     -65536,   3.4e38f,
                                INFINITY, -INFINITY, NAN,      5.97e-8f,
                                2.98e-8f, 2.9e-8f,   -6.1e-5f, 1.0005f,
                                1.00049f, 2049,      2051,     1e-40f};
    enum {
        MOST = 100
    };
    float x[MOST + 1];
    uint16_t a[MOST + 16], b[MOST + 16];

    qn_kernels_init(&kern, isa);
    for (int n = 1; n < MOST; n++) {
        for (int i = 0; i < n; i++)
            x[i + n % 2] = rnd_int(2) ? rnd() * 100
                                      : odd[rnd_int(QN_COUNTOF(odd))];
        memset(a, 0xaa, sizeof a);
        memset(b, 0xaa, sizeof b);
        kern.f16_cells.fn(x + n % 2, n, a);
        ref.f16_cells.fn(x + n % 2, n, b);
        assert_memory_equal(a, b, sizeof a);
    }
}

#define EACH(name)                         \
    static void test_##name(void **state)  \
    {                                      \
        (void)state;                       \
        qn_kernels_init(&ref, QN_ISA_REF); \
        each_isa(name);                    \
    }
EACH(tiles)
EACH(sixes)
EACH(resumed)
EACH(packs)
EACH(packs_codes)
EACH(preps)
EACH(exps)
EACH(softmaxes)
EACH(cells)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tiles),       cmocka_unit_test(test_sixes),
        cmocka_unit_test(test_resumed),     cmocka_unit_test(test_packs),
        cmocka_unit_test(test_packs_codes), cmocka_unit_test(test_preps),
        cmocka_unit_test(test_exps),        cmocka_unit_test(test_softmaxes),
        cmocka_unit_test(test_cells),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
