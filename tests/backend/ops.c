#include "backend/ops.h"

#include "base/cpu.h"
#include "base/mem.h"
#include "tensor/dtype.h"

#include <sanitizer/asan_interface.h>

static const float canary = 1.234567e30f;
enum {
    GUARD = 48
}; /* floats before and after */

static uint64_t rnd_state = 1;

void rnd_seed(uint64_t seed)
{
    rnd_state = seed * 2 + 1;
}

static uint32_t rnd_bits(void) /* splitmix64 */
{
    uint64_t z = rnd_state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ z >> 31) >> 32);
}

float rnd(void)
{
    return (float)(rnd_bits() >> 8) * 0x1p-23f - 1;
}

int rnd_int(int n)
{
    return (int)(rnd_bits() % (uint32_t)n);
}

/* What lies between the rows and around them may not even be read: where the
 * address sanitizer watches, it is told so. */
static void hide(const float *from, const float *end)
{
    ASAN_POISON_MEMORY_REGION(from, (size_t)(end - from) * sizeof *from);
}

static void hide_guards(const mat *m)
{
    const float *end = m->block;

    for (int r = 0; r < m->n_row; r++) {
        hide(end, mat_row(m, r));
        end = mat_row(m, r) + m->n_col;
    }
    hide(end, m->block + m->n_block);
}

static void show_guards(const mat *m)
{
    ASAN_UNPOISON_MEMORY_REGION(m->block, m->n_block * sizeof *m->block);
}

static float *new_block(size_t n)
{
    float *p = aligned_alloc(64, (n * sizeof *p + 63) / 64 * 64);

    assert_non_null(p);
    return p;
}

mat mat_new(int n_row, int n_col, int pad, int skew, float amp)
{
    mat m = {.n_row = n_row, .n_col = n_col, .ld = n_col + pad};

    m.n_block = 2 * GUARD + 16 + (size_t)(n_row * m.ld);
    m.block = new_block(m.n_block);
    for (size_t i = 0; i < m.n_block; i++)
        m.block[i] = canary;
    m.p = m.block + GUARD + skew;
    for (int r = 0; r < n_row; r++)
        for (int c = 0; c < n_col; c++)
            m.p[r * m.ld + c] = amp * rnd();
    hide_guards(&m);
    return m;
}

mat mat_copy(const mat *m)
{
    mat c = *m;

    c.block = new_block(m->n_block);
    c.p = c.block + (m->p - m->block);
    show_guards(m);
    memcpy(c.block, m->block, m->n_block * sizeof(float));
    hide_guards(m);
    hide_guards(&c);
    return c;
}

void mat_put(const mat *to, const mat *from)
{
    for (int r = 0; r < to->n_row; r++)
        memcpy(mat_row(to, r), mat_row(from, r),
               (size_t)to->n_col * sizeof(float));
}

void mat_free(mat *m)
{
    if (m->block)
        show_guards(m);
    free(m->block);
    m->block = NULL;
}

float *mat_row(const mat *m, int64_t r)
{
    return m->p + r * m->ld;
}

void mat_check(const mat *m, const char *what)
{
    show_guards(m);
    for (size_t i = 0; i < m->n_block; i++) {
        ptrdiff_t at = m->block + i - m->p;
        bool inside = at >= 0 && at < m->n_row * m->ld && at % m->ld < m->n_col;
        if (!inside && memcmp(&m->block[i], &canary, sizeof canary) != 0)
            fail_msg("%s: float %td of the output [%d, %d] ld %lld was "
                     "written",
                     what, at, m->n_row, m->n_col, (long long)m->ld);
    }
    hide_guards(m);
}

void mat_same(const mat *a, const mat *b, const char *what)
{
    for (int r = 0; r < a->n_row; r++)
        for (int c = 0; c < a->n_col; c++)
            if (memcmp(mat_row(a, r) + c, mat_row(b, r) + c, sizeof(float)))
                fail_msg("%s: row %d column %d differs: %a and %a", what, r, c,
                         (double)mat_row(a, r)[c], (double)mat_row(b, r)[c]);
}

qn_backend *open_cpu(qn_isa isa, int n_threads, bool exact)
{
    qn_backend_params p = {.n_threads = n_threads, .isa = isa, .exact = exact};
    qn_backend *be;
    qn_err err;

    if (qn_backend_open(&be, "cpu", &p, &err) < 0)
        fail_msg("%s", err.msg);
    return be;
}

qn_backend *open_bench(qn_probe **probe)
{
    const char *threads = getenv("BENCH_THREADS");
    qn_backend *be = open_cpu(QN_ISA_N - 1, threads ? atoi(threads) : 0, false);

    if (qn_probe_new(probe, be->api->pool(be), be->api->n_threads(be) == 1,
                     NULL) < 0)
        fail_msg("no memory to probe with");
    return be;
}

void exec_ops(qn_backend *be, const qn_op *ops, int n_op)
{
    qn_err err;

    if (be->api->exec(be, ops, n_op, &err) < 0)
        fail_msg("%s", err.msg);
}

void each_isa(void (*fn)(qn_isa isa))
{
    for (qn_isa isa = QN_ISA_REF; isa <= qn_cpu_get()->isa; isa++) {
        if (!qn_isa_native(isa))
            continue;
        print_message("  %s\n", qn_isa_name(isa));
        rnd_seed(7);
        fn(isa);
    }
}

void lanes_same(const qn_tile_kernel *k, const qn_tile *tile, const mat *start,
                const mat *got, const char *what)
{
    for (int n = 1; n <= 4; n *= 2) {
        int deep = tile->n_panel / n;
        bool moved = n > 1 && deep > 1; /* what they begin with is not */
        if (tile->n_panel % n || (moved && tile->load))
            continue;
        mat y = mat_copy(start);
        qn_tile t = *tile;
        t.acc = y.p;
        t.w_panel *= deep;
        t.n_panel = n;
        t.n_more = deep - 1;
        t.w_more = tile->w_panel;
        qn_tile_run(k, &t);
        for (int i = 0; i < t.n_tok; i++)
            for (int p = 0; p < tile->n_panel; p++) {
                const float *a = mat_row(&y, i) + p * QN_PANEL;
                const float *b = mat_row(got, i) +
                                 (p % n * deep + p / n) * QN_PANEL;
                if (memcmp(a, b, QN_PANEL * sizeof *a) != 0)
                    fail_msg("%s: %d lanes, token %d, panel %d", what, n, i, p);
            }
        mat_check(&y, what);
        mat_free(&y);
    }
}

int whole_top(qn_isa isa, qn_layout l)
{
    const qn_tile_kernel *k;
    qn_kernels kern;

    qn_kernels_init(&kern, isa);
    k = kern.coded[l][0].fn ? &kern.coded[l][0] : &kern.linear[l];
    return k->xform >= QN_X_I16_16 ? QN_X_I16_TOP : 127;
}

/* Its rows as a backend's weight. */
static void hand_over(qn_backend *be, wmat *w)
{
    qn_weight_desc d = {.n_out = w->n_out, .n_in = w->n_in, .dtype = w->dtype};
    qn_err err;

    if (be->api->weight_new(be, &d, &w->q, &err) < 0)
        fail_msg("%s", err.msg);
    be->api->weight_put(w->q, 0, w->n_out, w->file);
}

wmat wmat_new(qn_backend *be, qn_dtype t, int64_t n_out, int64_t n_in)
{
    const qn_dtype_row *row = qn_dtype_get(t);
    wmat w = {.n_out = n_out, .n_in = n_in, .dtype = t};
    size_t n = (size_t)(n_out * n_in);

    w.row_bytes = n_in / row->block_elems * row->block_bytes;
    w.w = malloc(n * sizeof(float));
    w.file = malloc((size_t)(n_out * w.row_bytes));
    assert_non_null(w.w);
    assert_non_null(w.file);
    for (size_t i = 0; i < n; i++)
        w.w[i] = rnd();
    row->encode(w.w, w.file, n);
    row->decode(w.file, w.w, n);
    hand_over(be, &w);
    return w;
}

wmat wmat_copy(qn_backend *be, const wmat *w)
{
    size_t values = (size_t)(w->n_out * w->n_in) * sizeof(float);
    size_t bytes = (size_t)(w->n_out * w->row_bytes);
    wmat c = *w;

    c.w = malloc(values);
    c.file = malloc(bytes);
    assert_non_null(c.w);
    assert_non_null(c.file);
    memcpy(c.w, w->w, values);
    memcpy(c.file, w->file, bytes);
    hand_over(be, &c);
    return c;
}

void wmat_free(qn_backend *be, wmat *w)
{
    be->api->weight_free(be, w->q);
    free(w->w);
    free(w->file);
}

void check_at(const char *what, int64_t r, int64_t c, double got, double want,
              double tol)
{
    if (!(fabs(got - want) <= tol) && got != want)
        fail_msg("%s: row %lld column %lld: got %.9g, want %.9g, off by %.3g, "
                 "allowed %.3g",
                 what, (long long)r, (long long)c, got, want, fabs(got - want),
                 tol);
}
