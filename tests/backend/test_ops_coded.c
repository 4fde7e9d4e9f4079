/* Weights that stay codes on the backend: products and rows of the layouts
 * CB4, A4, A8 and F8 on every instruction set, against the definition
 * (backend.h, qn_weight_codes) in double precision.
 *
 * The fast products of the first three round x to int8 first: the reference
 * rounds it alike. They also take a book's values as whole multiples of a
 * unit; where books are such, nothing is lost, otherwise the multiples that
 * were chosen are no worse in all than those of top / 127. */
#include "backend/ops.h"

#include "tensor/block_codes.h"
#include "tensor/half.h"

typedef struct coded {
    qn_weight_codes c;
    int64_t n_out, n_in;
    qn_qrows rows;
    float *w; /* [n_out, n_in] what the codes mean */
} coded;

static float meaning(const qn_weight_codes *c, uint8_t code, float scale,
                     float zero)
{
    float v = c->kind == QN_CODE_BOOK4 ? c->book[code] * scale
              : c->kind == QN_CODE_FP8 ? qn_f32_of_e4m3(code) * scale
                                       : ((float)code - zero) * scale;
    return c->round == QN_BF16  ? qn_f32_of_bf16(qn_bf16_of_f32(v))
           : c->round == QN_F16 ? qn_f32_of_f16(qn_f16_of_f32(v))
                                : v;
}

static coded coded_new(qn_code_kind kind, int group, qn_dtype round,
                       int64_t n_out, int64_t n_in)
{
    coded d = {.c = {.kind = kind, .group = group, .round = round},
               .n_out = n_out,
               .n_in = n_in};
    int64_t n_group = (n_in + group - 1) / group;
    bool four = kind == QN_CODE_BOOK4 || kind == QN_CODE_INT4;
    d.rows.codes = malloc((size_t)(n_out * n_in));
    d.rows.scales = malloc((size_t)(n_out * n_group) * sizeof(float));
    d.rows.zeros = malloc((size_t)(n_out * n_group) * sizeof(float));
    d.w = malloc((size_t)(n_out * n_in) * sizeof(float));
    for (int i = 0; i < 16; i++) /* every other one of whole numbers */
        d.c.book[i] = group % 32 ? rnd() : (float)(rnd_int(255) - 127) / 64;
    if (group % 32 == 0)
        d.c.book[rnd_int(16)] = 127.0f / 64;
    for (int64_t i = 0; i < n_out * n_group; i++) {
        d.rows.scales[i] = rnd();
        /* of 8 bits, half of the rows are centred */
        d.rows.zeros[i] = (float)(four                      ? rnd_int(16)
                                  : i < n_out * n_group / 2 ? 128
                                                            : rnd_int(256));
    }
    for (int64_t i = 0; i < n_out * n_in; i++) {
        int64_t at = i / n_in * n_group + i % n_in / group;
        int code = rnd_int(four ? 16 : 256);
        if (kind == QN_CODE_FP8 && (code & 0x7f) == 0x7f)
            code = 0; /* NaN */
        d.rows.codes[i] = (uint8_t)code;
        d.w[i] = meaning(&d.c, d.rows.codes[i], d.rows.scales[at],
                         d.rows.zeros[at]);
    }
    return d;
}

static void coded_free(coded *d)
{
    free(d->rows.codes);
    free(d->rows.scales);
    free(d->rows.zeros);
    free(d->w);
}

static qn_weight *empty(qn_backend *be, const coded *d)
{
    qn_weight_desc desc = {
        .n_out = d->n_out, .n_in = d->n_in, .dtype = QN_F32, .codes = &d->c};
    qn_err err = {0};
    qn_weight *w;
    if (be->api->weight_new(be, &desc, &w, &err) < 0)
        fail_msg("%s", err.msg);
    return w;
}

/* Handed over whole, panel by panel. */
static qn_weight *put_whole(qn_backend *be, const coded *d)
{
    qn_weight *w = empty(be, d);
    be->api->weight_put(w, 0, d->n_out, &d->rows);
    return w;
}

/* Handed over in two pieces that do not end with a panel. */
static qn_weight *put(qn_backend *be, const coded *d)
{
    qn_weight *w = empty(be, d);
    int64_t n_group = (d->n_in + d->c.group - 1) / d->c.group;
    int64_t cut = d->n_out * 2 / 3;
    qn_qrows rest = {d->rows.codes + cut * d->n_in,
                     d->rows.scales + cut * n_group,
                     d->rows.zeros + cut * n_group};
    be->api->weight_put(w, cut, d->n_out - cut, &rest);
    be->api->weight_put(w, 0, cut, &d->rows);
    return w;
}

static void linear(qn_backend *be, const qn_weight *w, const mat *x, mat *y)
{
    qn_op op = {.kind = QN_OP_LINEAR,
                .u.linear = {.x = x->p,
                             .ldx = x->ld,
                             .n_row = x->n_row,
                             .n_part = 1,
                             .part = {{.w = w, .y = y->p, .ldy = y->ld}},
                             .scale = 1}};
    exec_ops(be, &op, 1);
}

static void rows_are_right(qn_backend *be, const qn_weight *w, const coded *d)
{
    mat y = mat_new(1, (int)d->n_in, 3, 1, 1);
    for (int32_t r = 0; r < d->n_out; r += 5) {
        qn_op op = {.kind = QN_OP_EMBED,
                    .u.embed = {.table = w,
                                .ids = &r,
                                .n_row = 1,
                                .scale = 1,
                                .y = y.p,
                                .ldy = y.ld}};
        exec_ops(be, &op, 1);
        for (int64_t k = 0; k < d->n_in; k++)
            check_at("row", r, k, y.p[k], d->w[r * d->n_in + k], 0);
    }
    mat_check(&y, "row");
    mat_free(&y);
}

/* The largest whole number that x becomes: where there is no dot product of
 * bytes, it has 12 bits and a sign for weights of 8 bits. */
static int most_of(qn_isa isa, bool bytes)
{
    return whole_top(isa, bytes ? QN_LAYOUT_A8 : QN_LAYOUT_A4);
}

/* x as the product sees it. */
static void round_x(int group, int most, const float *x, float *y, int64_t n)
{
    int block = QN_MIN(group, 64);
    for (int64_t b = 0; b < n; b += block) {
        int64_t end = QN_MIN(b + block, n);
        float top = 0;
        for (int64_t i = b; i < end; i++)
            top = fmaxf(top, fabsf(x[i]));
        float d = top / (float)most;
        for (int64_t i = b; i < end; i++)
            y[i] = d > 0 ? rintf(x[i] * ((float)most / top)) * d : 0;
    }
}

/* Of output o: the sum, and how far from it the product may be. */
static double definition(const coded *d, int64_t o, const float *x, bool fast,
                         double *tol)
{
    int64_t n_group = (d->n_in + d->c.group - 1) / d->c.group;
    double sum = 0, abs = 0, book = 0, top = 0;
    bool whole = d->c.group % 32 == 0;
    for (int64_t k = 0; k < d->n_in; k++) {
        double p = (double)x[k] * (double)d->w[o * d->n_in + k];
        sum += p;
        abs += fabs(p);
        book += fabs((double)x[k] *
                     (double)d->rows.scales[o * n_group + k / d->c.group]);
    }
    for (int i = 0; i < 16; i++)
        top = fmax(top, fabs((double)d->c.book[i]));
    *tol = qn_test_dot_bound((size_t)d->n_in + 4, EPS32, abs);
    if (!fast || d->c.kind != QN_CODE_BOOK4)
        return sum;
    /* the root of the sum of 16 squares of half a step; the rounding of w is
     * left out; the unit has one of its own */
    *tol += (whole ? 2 * EPS32 * top : 4 * 0.5 * top / 127) * book;
    *tol += (d->c.round == QN_BF16  ? 0x1p-8
             : d->c.round == QN_F16 ? 0x1p-11
                                    : 0) *
            abs;
    return sum;
}

static void one_case(qn_isa isa, const coded *d, int n_row, bool exact)
{
    /* several threads cost time where the machine is busy */
    qn_backend *be = open_cpu(isa, n_row == 2 ? 2 : 1, exact);
    bool fast = !exact && d->c.kind != QN_CODE_FP8;
    float *rounded = malloc((size_t)d->n_in * sizeof(float));
    qn_weight *w = put(be, d);
    mat x = mat_new(n_row, (int)d->n_in, 5, 1, 1);
    mat y = mat_new(n_row, (int)d->n_out, 7, 1, 1), one = mat_copy(&y);
    linear(be, w, &x, &y);
    mat_check(&y, "coded");
    for (int r = 0; r < n_row; r++) {
        mat xr = x, yr = one;
        xr.p = mat_row(&x, r);
        yr.p = mat_row(&one, r);
        xr.n_row = yr.n_row = 1;
        linear(be, w, &xr, &yr);
        memcpy(rounded, mat_row(&x, r), (size_t)d->n_in * sizeof(float));
        if (fast)
            round_x(d->c.group, most_of(isa, d->c.kind == QN_CODE_INT8),
                    mat_row(&x, r), rounded, d->n_in);
        for (int64_t o = 0; o < d->n_out; o++) {
            double tol, sum = definition(d, o, rounded, fast, &tol);
            check_at(fast ? "fast" : "exact", r, o, mat_row(&y, r)[o], sum,
                     tol);
        }
    }
    mat_same(&y, &one, "a row alone");
    if (n_row == 1)
        rows_are_right(be, w, d);
    mat_free(&x);
    mat_free(&y);
    mat_free(&one);
    free(rounded);
    be->api->weight_free(be, w);
    qn_backend_close(be);
}

static void kinds(qn_isa isa)
{
    static const struct {
        qn_code_kind kind;
        qn_dtype round;
    } all[] = {
        {QN_CODE_BOOK4, QN_F32}, {QN_CODE_BOOK4, QN_BF16},
        {QN_CODE_BOOK4, QN_F16}, {QN_CODE_INT4, QN_F32},
        {QN_CODE_INT8, QN_F32},  {QN_CODE_FP8, QN_F32},
    };
    static const int n_ins[] = {8, 96, 200, 2304};
    for (size_t i = 0; i < QN_COUNTOF(all); i++) {
        for (int group = 16; group <= 128; group *= 2) {
            int n_in = n_ins[rnd_int(QN_COUNTOF(n_ins))];
            coded d = coded_new(all[i].kind, group, all[i].round,
                                17 + rnd_int(40), n_in);
            for (int n = 1; n <= 14; n += 1 + rnd_int(n + 2)) {
                one_case(isa, &d, n, true);
                one_case(isa, &d, n, false);
            }
            if (isa == qn_cpu_get()->isa) /* whole tiles, and the rest of one */
                one_case(isa, &d, 17 + rnd_int(60), false);
            coded_free(&d);
        }
    }
}

/* ---- columns in an order ------------------------------------------------- */

static int32_t *some_order(int64_t n)
{
    int32_t *order = malloc((size_t)n * sizeof *order);
    for (int64_t k = 0; k < n; k++) {
        int64_t at = rnd_int((int)k + 1);
        order[k] = order[at];
        order[at] = (int32_t)k;
    }
    return order;
}

/* x with its columns where the order's weight has them. */
static mat in_order(const mat *x, const int32_t *order, int64_t n)
{
    mat y = mat_copy(x);
    for (int r = 0; r < x->n_row; r++)
        for (int64_t k = 0; k < n; k++)
            mat_row(&y, r)[k] = mat_row(x, r)[order[k]];
    return y;
}

/* Parts with orders of their own, the same one and none: the bits of the same
 * codes without an order, of x in that order. */
static void order_case(qn_isa isa, const coded *d, int n_row, bool exact,
                       qn_epilogue epi, int n_part)
{
    int32_t *order[2] = {some_order(d->n_in), some_order(d->n_in)};
    const int32_t *of[QN_LINEAR_PARTS] = {order[0],
                                          n_part == 2 ? order[1] : order[0],
                                          n_row % 2 ? NULL : order[1]};
    qn_backend *be = open_cpu(isa, n_row % 2 + 1, exact);
    qn_weight *plain = put(be, d), *w[QN_LINEAR_PARTS];
    mat x = mat_new(n_row, (int)d->n_in, 5, 1, 1);
    mat y[QN_LINEAR_PARTS], want[QN_LINEAR_PARTS];
    qn_op op = {.kind = QN_OP_LINEAR,
                .u.linear = {.x = x.p,
                             .ldx = x.ld,
                             .n_row = n_row,
                             .n_part = n_part,
                             .epi = epi,
                             .scale = 1}};
    for (int i = 0; i < n_part; i++) {
        coded own = *d;
        own.c.order = of[i];
        w[i] = put(be, &own);
        y[i] = mat_new(n_row, (int)d->n_out, 7, 1, 1);
        want[i] = mat_copy(&y[i]);
        mat turned = of[i] ? in_order(&x, of[i], d->n_in) : mat_copy(&x);
        linear(be, plain, &turned, &want[i]);
        mat_free(&turned);
        op.u.linear.part[i].w = w[i];
        op.u.linear.part[i].y = y[i].p;
        op.u.linear.part[i].ldy = y[i].ld;
    }
    exec_ops(be, &op, 1);
    for (int r = 0; r < n_row && epi == QN_EPI_GLU; r++)
        for (int64_t o = 0; o < d->n_out; o++)
            mat_row(&want[0], r)[o] *= mat_row(&want[1], r)[o];
    for (int i = 0; i < (epi == QN_EPI_GLU ? 1 : n_part); i++)
        mat_same(&y[i], &want[i], "in an order");
    if (n_row == 1) {
        coded own = *d;
        own.w = malloc((size_t)(d->n_out * d->n_in) * sizeof(float));
        for (int64_t i = 0; i < d->n_out * d->n_in; i++)
            own.w[i / d->n_in * d->n_in + order[0][i % d->n_in]] = d->w[i];
        rows_are_right(be, w[0], &own);
        free(own.w);
    }
    for (int i = 0; i < n_part; i++) {
        be->api->weight_free(be, w[i]);
        mat_free(&y[i]);
        mat_free(&want[i]);
    }
    be->api->weight_free(be, plain);
    mat_free(&x);
    free(order[0]);
    free(order[1]);
    qn_backend_close(be);
}

static void orders(qn_isa isa)
{
    static const qn_code_kind kinds[] = {QN_CODE_INT4, QN_CODE_INT8};
    for (size_t i = 0; i < QN_COUNTOF(kinds); i++) {
        /* few rows are prepared by each thread, many by all of them */
        for (int n_in = 200; n_in <= 2304; n_in += 2104) {
            coded d = coded_new(kinds[i], 32 << rnd_int(3), QN_F32, 49, n_in);
            for (int n = 1; n <= 14; n += 1 + rnd_int(5)) {
                order_case(isa, &d, n, n % 3 == 0, QN_EPI_STORE, 3);
                order_case(isa, &d, n, n % 3 == 1, QN_EPI_STORE, 1);
                order_case(isa, &d, n, n % 3 == 2, QN_EPI_GLU, 2);
            }
            coded_free(&d);
        }
    }
}

static void test_orders(void **state)
{
    (void)state;
    each_isa(orders);
}

static void test_kinds(void **state)
{
    (void)state;
    each_isa(kinds);
}

/* ---- block formats of files that become codes ---------------------------- */

/* Row o: what of each weight and its offset there is to sum up, at most. */
static void amplitudes(const wmat *w, int64_t o, float *a)
{
    const qn_block_codes *c = qn_block_codes_get(w->dtype);
    const qn_dtype_row *row = qn_dtype_get(w->dtype);
    const uint8_t *block = w->file + o * w->row_bytes;

    for (int64_t k = 0; k < w->n_in; k += row->block_elems) {
        uint8_t codes[QN_BLOCK_CODES_MAX];
        float scales[16], offsets[16] = {0};
        c->unpack(block, codes, scales, offsets);
        block += row->block_bytes;
        for (int i = 0; i < row->block_elems; i++) {
            float offset = c->offsets ? fabsf(offsets[i / c->group]) : 0;
            a[k + i] = fabsf(w->w[o * w->n_in + k + i]) + 2 * offset;
        }
    }
}

/* k's that share a factor of x. Q6_K has whole scales where it stays tight. */
static int block_of(qn_isa isa, qn_dtype t)
{
    qn_kernels kern;

    qn_kernels_init(&kern, isa);
    return t == QN_Q6_K && kern.linear[QN_LAYOUT_A6].fn
               ? QN_SUMS_BLOCK
               : qn_block_codes_get(t)->group;
}

static void format_case(qn_isa isa, qn_dtype t, int n_row, bool exact)
{
    const qn_block_codes *c = qn_block_codes_get(t);
    int n_in = qn_dtype_get(t)->block_elems * 3, n_out = 17 + rnd_int(20);
    qn_backend *be = open_cpu(isa, 1, exact);
    wmat w = wmat_new(be, t, n_out, n_in);
    mat x = mat_new(n_row, n_in, 5, 1, 1), y = mat_new(n_row, n_out, 7, 1, 1);
    mat one = mat_copy(&y);
    float *rounded = malloc((size_t)n_in * sizeof(float));
    float *a = malloc((size_t)n_in * sizeof(float));

    linear(be, w.q, &x, &y);
    mat_check(&y, qn_dtype_get(t)->name);
    for (int r = 0; r < n_row; r++) {
        mat xr = x, yr = one;
        xr.p = mat_row(&x, r);
        yr.p = mat_row(&one, r);
        xr.n_row = yr.n_row = 1;
        linear(be, w.q, &xr, &yr);
        memcpy(rounded, mat_row(&x, r), (size_t)n_in * sizeof(float));
        if (!exact)
            round_x(block_of(isa, t), most_of(isa, c->bits == 8),
                    mat_row(&x, r), rounded, n_in);
        for (int64_t o = 0; o < n_out; o++) {
            double sum = 0, abs = 0;
            amplitudes(&w, o, a);
            for (int k = 0; k < n_in; k++) {
                sum += (double)rounded[k] * (double)w.w[o * n_in + k];
                abs += fabs((double)rounded[k]) * (double)a[k];
            }
            /* the book's unit, the product with it, and d times the sum of q
             * are rounded, too */
            check_at(qn_dtype_get(t)->name, r, o, mat_row(&y, r)[o], sum,
                     qn_test_dot_bound((size_t)n_in + 8, EPS32, abs));
        }
    }
    mat_same(&y, &one, "a row alone");
    free(a);
    free(rounded);
    mat_free(&x);
    mat_free(&y);
    mat_free(&one);
    wmat_free(be, &w);
    qn_backend_close(be);
}

static void formats(qn_isa isa)
{
    for (qn_dtype t = 0; t < QN_DTYPE_N; t++) {
        if (!qn_block_codes_get(t) || !qn_dtype_get(t)->encode)
            continue; /* nvfp4 is only read */
        for (int n_row = 1; n_row < 14; n_row += 4) {
            format_case(isa, t, n_row, true);
            format_case(isa, t, n_row, false);
        }
        if (isa == qn_cpu_get()->isa)
            format_case(isa, t, 17 + rnd_int(60), false);
    }
}

static void test_formats(void **state)
{
    (void)state;
    each_isa(formats);
}

/* All 256 bytes of f8_e4m3, NaN among them. */
static void bytes_put(qn_isa isa,
                      qn_weight *(*how)(qn_backend *, const coded *))
{
    coded d = coded_new(QN_CODE_FP8, 16, QN_F32, 16, 256);
    float x[256], y[16];
    for (int i = 0; i < 16; i++)
        for (int k = 0; k < 256; k++)
            d.rows.codes[i * 256 + k] = (uint8_t)(k + i);
    for (int i = 0; i < 16 * 16; i++)
        d.rows.scales[i] = 1;
    qn_backend *be = open_cpu(isa, 1, true);
    qn_weight *w = how(be, &d);
    mat mx = {.p = x, .n_row = 1, .n_col = 256, .ld = 256};
    mat my = {.p = y, .n_row = 1, .n_col = 16, .ld = 16};
    for (int k = 0; k < 256; k++) {
        memset(x, 0, sizeof x);
        x[k] = 1;
        linear(be, w, &mx, &my);
        for (int i = 0; i < 16; i++)
            assert_true(isnan(y[i])); /* 0 * NaN */
    }
    be->api->weight_free(be, w);
    for (int i = 0; i < 16; i++)
        for (int k = 0; k < 256; k++)
            if ((d.rows.codes[i * 256 + k] & 0x7f) == 0x7f)
                d.rows.codes[i * 256 + k] = 0;
    w = how(be, &d);
    for (int k = 0; k < 256; k++) {
        memset(x, 0, sizeof x);
        x[k] = 1;
        linear(be, w, &mx, &my);
        for (int i = 0; i < 16; i++)
            assert_true(y[i] == qn_f32_of_e4m3(d.rows.codes[i * 256 + k]));
    }
    be->api->weight_free(be, w);
    qn_backend_close(be);
    coded_free(&d);
}

static void bytes(qn_isa isa)
{
    bytes_put(isa, put);
    bytes_put(isa, put_whole);
}

static void test_bytes(void **state)
{
    (void)state;
    each_isa(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_orders),
        cmocka_unit_test(test_formats),
        cmocka_unit_test(test_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
