/* fit.c - see fit.h.
 *
 * For one sub-block: a few starting scales near the one that just covers its
 * span; from each, codes and scale in turn, each the best for the other (codes
 * by rounding, scale and offset by least squares), until nothing improves. For
 * a super-block: the scales of the sub-blocks are themselves rounded to
 * multiples of d; so every rounded scale is tried with its neighbours, with the
 * codes chosen anew, and then d (and m) are solved for, given all codes. The
 * best state seen is kept, so no step makes things worse. */
#include "tensor/quant/fit.h"

#include "base/compiler.h"
#include "tensor/half.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

enum {
    TURNS = 4,  /* of codes and scale */
    ROUNDS = 2, /* of codes and super-block scale */
    LANES = 8   /* sums run in so many parts, which compilers make vectors of;
                   every sub-block is a multiple */
};

/* The sum of n terms, in an order that leaves the adder no wait. */
static float sum_of(const float *t, int n)
{
    float a[LANES] = {0};
    for (int i = 0; i < n; i += LANES)
        for (int l = 0; l < LANES; l++)
            a[l] += t[i + l];
    return ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7]));
}

/* v rounded, in [lo, hi]; lo for a NaN. */
static int to_code(float v, int lo, int hi)
{
    v = v > (float)lo ? v : (float)lo;
    v = v < (float)hi ? v : (float)hi;
    return (int)lrintf(v);
}

/* The weights, or as many ones. */
static const float *all_weights(const float *w, int n, float *ones)
{
    if (w)
        return w;
    for (int i = 0; i < n; i++)
        ones[i] = 1.0f;
    return ones;
}

/* ---- x = s * q - o ------------------------------------------------------ */

typedef struct affine {
    float s, o;
} affine;

/* The nearest codes; the weighted error that is left. */
static float affine_codes(const float *x, const float *w, int n, int top,
                          affine a, float *q)
{
    float inv = a.s > 0.0f ? 1.0f / a.s : 0.0f, most = (float)top;
    float t[QN_FIT_ELEMS];
    for (int i = 0; i < n; i++) {
        float v = (x[i] + a.o) * inv + 0.5f;
        v = v > 0.0f ? v : 0.0f;
        v = v < most ? v : most;
        v = (float)(int)v;
        float e = x[i] - (a.s * v - a.o);
        q[i] = v;
        t[i] = w[i] * e * e;
    }
    return sum_of(t, n);
}

/* The best s and o >= 0 for these codes. */
static affine affine_solve(const float *x, const float *w, int n,
                           const float *q)
{
    float tq[QN_FIT_ELEMS], tqq[QN_FIT_ELEMS], tx[QN_FIT_ELEMS];
    float txq[QN_FIT_ELEMS];
    for (int i = 0; i < n; i++) {
        tq[i] = w[i] * q[i];
        tqq[i] = tq[i] * q[i];
        tx[i] = w[i] * x[i];
        txq[i] = tx[i] * q[i];
    }
    float sw = sum_of(w, n), sq = sum_of(tq, n), sqq = sum_of(tqq, n);
    float sx = sum_of(tx, n), sxq = sum_of(txq, n);
    float det = sw * sqq - sq * sq;
    affine a = {0, 0};
    if (det > 0.0f) {
        a.s = (sw * sxq - sq * sx) / det;
        a.o = (a.s * sq - sx) / sw;
    }
    if (!(a.o >= 0.0f)) {
        a.o = 0.0f;
        a.s = sqq > 0.0f ? sxq / sqq : 0.0f;
    }
    return a;
}

static affine affine_fit(const float *x, const float *w, int n, int top)
{
    float q[QN_FIT_ELEMS];
    float lo = 0.0f, hi = x[0];
    for (int i = 0; i < n; i++) {
        lo = x[i] < lo ? x[i] : lo;
        hi = x[i] > hi ? x[i] : hi;
    }
    affine best = {0.0f, -lo};
    if (!(hi > lo))
        return best;
    float least = INFINITY;
    for (int k = -3; k <= 3; k++) {
        affine a = {(hi - lo) / ((float)top + 0.3f * (float)k), -lo};
        float last = INFINITY;
        for (int turn = 0; turn < TURNS && a.s > 0.0f; turn++) {
            float e = affine_codes(x, w, n, top, a, q);
            if (e < least) {
                least = e;
                best = a;
            }
            if (!(e < last))
                break;
            last = e;
            a = affine_solve(x, w, n, q);
        }
    }
    return best;
}

static void put_codes(const float *codes, int n, uint8_t *q)
{
    for (int i = 0; i < n; i++)
        q[i] = (uint8_t)(int)codes[i];
}

/* The codes of one sub-block near scale / d and offset / m, with the least
 * error, which it returns. */
static float affine_near(const float *x, const float *w, int n, int top,
                         int code_top, affine unit, affine want, int j,
                         qn_fit_affine *out)
{
    int s0 = to_code(unit.s > 0 ? want.s / unit.s : 0, 0, code_top);
    int o0 = to_code(unit.o > 0 ? want.o / unit.o : 0, 0, code_top);
    float q[QN_FIT_ELEMS];
    float least = INFINITY;
    for (int s = QN_MAX(s0 - 1, 0); s <= QN_MIN(s0 + 1, code_top); s++) {
        for (int o = QN_MAX(o0 - 1, 0); o <= QN_MIN(o0 + 1, code_top); o++) {
            affine a = {unit.s * (float)s, unit.o * (float)o};
            float e = affine_codes(x, w, n, top, a, q);
            if (e >= least && least < INFINITY)
                continue;
            least = e;
            out->scale[j] = (uint8_t)s;
            out->offset[j] = (uint8_t)o;
            put_codes(q, n, out->q + j * n);
        }
    }
    return least;
}

/* The best D and M for these codes. */
static affine affine_units(const float *x, const float *w, int n_sub,
                           const qn_fit_affine *f)
{
    int n = QN_FIT_ELEMS / n_sub;
    double aa = 0, ab = 0, bb = 0, ax = 0, bx = 0;
    for (int i = 0; i < QN_FIT_ELEMS; i++) {
        double wi = (double)w[i];
        double a = f->scale[i / n] * f->q[i], b = -f->offset[i / n];
        aa += wi * a * a;
        ab += wi * a * b;
        bb += wi * b * b;
        ax += wi * a * (double)x[i];
        bx += wi * b * (double)x[i];
    }
    double det = aa * bb - ab * ab;
    affine u = {0, 0};
    if (det > 1e-9 * aa * bb) {
        u.s = (float)((ax * bb - bx * ab) / det);
        u.o = (float)((bx * aa - ax * ab) / det);
    } else if (aa > 0) {
        u.s = (float)(ax / aa);
    }
    return u;
}

void qn_fit_affine_super(const float *x, const float *w, int n_sub, int top,
                         int code_top, qn_fit_affine *out)
{
    int n = QN_FIT_ELEMS / n_sub;
    affine want[QN_FIT_SUBS], unit = {0, 0};
    qn_fit_affine f;
    float least = INFINITY, ones[QN_FIT_ELEMS];

    w = all_weights(w, QN_FIT_ELEMS, ones);
    memset(out, 0, sizeof *out);
    for (int j = 0; j < n_sub; j++) {
        want[j] = affine_fit(x + j * n, w + j * n, n, top);
        unit.s = fmaxf(unit.s, want[j].s / (float)code_top);
        unit.o = fmaxf(unit.o, want[j].o / (float)code_top);
    }
    for (int round = 0; round < ROUNDS; round++) {
        float sum = 0;
        f.d = qn_f16_of_f32(unit.s > 0 ? unit.s : 0);
        f.m = qn_f16_of_f32(unit.o > 0 ? unit.o : 0);
        unit = (affine){qn_f32_of_f16(f.d), qn_f32_of_f16(f.m)};
        for (int j = 0; j < n_sub; j++)
            sum += affine_near(x + j * n, w + j * n, n, top, code_top, unit,
                               want[j], j, &f);
        if (sum >= least && least < INFINITY)
            break;
        least = sum;
        *out = f;
        unit = affine_units(x, w, n_sub, &f);
    }
}

/* ---- x = s * book[q] ---------------------------------------------------- */

static float book_value(const qn_fit_book *b, int code)
{
    return b->list ? b->list[code] : b->first + (float)code;
}

/* The values nearest to x * inv. */
static void book_values(const qn_fit_book *b, const float *x, float inv, int n,
                        float *v)
{
    float most = (float)(b->count - 1);
    if (!b->list) {
        for (int i = 0; i < n; i++) {
            float c = x[i] * inv - b->first + 0.5f;
            c = c > 0.0f ? c : 0.0f;
            c = c < most ? c : most;
            v[i] = (float)(int)c + b->first;
        }
        return;
    }
    for (int i = 0; i < n; i++)
        v[i] = b->list[0];
    for (int k = 1; k < b->count; k++) {
        float middle = 0.5f * (b->list[k - 1] + b->list[k]), up = b->list[k];
        for (int i = 0; i < n; i++)
            v[i] = x[i] * inv > middle ? up : v[i];
    }
}

/* Which of the book each value is. */
static void book_codes(const qn_fit_book *b, const float *v, int n, uint8_t *q)
{
    for (int i = 0; i < n; i++) {
        int code = b->list ? 0 : (int)(v[i] - b->first);
        while (b->list && b->list[code] < v[i])
            code++;
        q[i] = (uint8_t)code;
    }
}

/* The values of the nearest codes; the weighted error that is left. */
static float scaled_values(const float *x, const float *w, int n,
                           const qn_fit_book *b, float s, float *v)
{
    float t[QN_FIT_ELEMS];
    book_values(b, x, s != 0.0f ? 1.0f / s : 0.0f, n, v);
    for (int i = 0; i < n; i++) {
        float e = x[i] - s * v[i];
        t[i] = w[i] * e * e;
    }
    return sum_of(t, n);
}

static float scaled_solve(const float *x, const float *w, int n, const float *v)
{
    float vv[QN_FIT_ELEMS], vx[QN_FIT_ELEMS];
    for (int i = 0; i < n; i++) {
        vv[i] = w[i] * v[i] * v[i];
        vx[i] = w[i] * v[i] * x[i];
    }
    float sum = sum_of(vv, n);
    return sum > 0.0f ? sum_of(vx, n) / sum : 0.0f;
}

static float scaled_fit(const float *x, const float *w, int n,
                        const qn_fit_book *b)
{
    float v[QN_FIT_ELEMS];
    float max = 0.0f, least = INFINITY, best = 0.0f;
    for (int i = 0; i < n; i++)
        if (fabsf(x[i]) > fabsf(max))
            max = x[i];
    if (max == 0.0f)
        return 0.0f;
    float step = 0.3f * (book_value(b, 1) - book_value(b, 0));
    for (int k = -3; k <= 4; k++) {
        /* the largest element at the lowest value, which is the largest too;
         * and once at the highest */
        float s = max / (k <= 3 ? book_value(b, 0) + step * (float)k
                                : book_value(b, b->count - 1));
        float last = INFINITY;
        for (int turn = 0; turn < TURNS && s != 0.0f; turn++) {
            float e = scaled_values(x, w, n, b, s, v);
            if (e < least) {
                least = e;
                best = s;
            }
            if (!(e < last))
                break;
            last = e;
            s = scaled_solve(x, w, n, v);
        }
    }
    return best;
}

void qn_fit_scaled_block(const float *x, const float *w, int n,
                         const qn_fit_book *book, uint16_t *d, uint8_t *q)
{
    float ones[QN_FIT_ELEMS], values[QN_FIT_ELEMS];
    w = all_weights(w, n, ones);
    *d = qn_f16_of_f32(scaled_fit(x, w, n, book));
    scaled_values(x, w, n, book, qn_f32_of_f16(*d), values);
    book_codes(book, values, n, q);
}

static float scaled_near(const float *x, const float *w, int n,
                         const qn_fit_book *b, int half, float unit, float want,
                         int j, qn_fit_scaled *out)
{
    int s0 = to_code(unit != 0 ? want / unit : 0, -half, half - 1);
    float v[QN_FIT_ELEMS];
    float least = INFINITY;
    for (int s = QN_MAX(s0 - 1, -half); s <= QN_MIN(s0 + 1, half - 1); s++) {
        float e = scaled_values(x, w, n, b, unit * (float)s, v);
        if (e >= least && least < INFINITY)
            continue;
        least = e;
        out->scale[j] = (int8_t)s;
        book_codes(b, v, n, out->q + j * n);
    }
    return least;
}

static float scaled_unit(const float *x, const float *w, int n_sub,
                         const qn_fit_book *b, const qn_fit_scaled *f)
{
    int n = QN_FIT_ELEMS / n_sub;
    double vv = 0, vx = 0;
    for (int i = 0; i < QN_FIT_ELEMS; i++) {
        double v = f->scale[i / n] * (double)book_value(b, f->q[i]);
        vv += (double)w[i] * v * v;
        vx += (double)w[i] * v * (double)x[i];
    }
    return vv > 0 ? (float)(vx / vv) : 0.0f;
}

void qn_fit_scaled_super(const float *x, const float *w, int n_sub,
                         const qn_fit_book *book, int code_half,
                         qn_fit_scaled *out)
{
    int n = QN_FIT_ELEMS / n_sub;
    float want[QN_FIT_SUBS], max = 0, least = INFINITY, ones[QN_FIT_ELEMS];
    qn_fit_scaled f;

    w = all_weights(w, QN_FIT_ELEMS, ones);
    memset(out, 0, sizeof *out);
    for (int j = 0; j < n_sub; j++) {
        want[j] = scaled_fit(x + j * n, w + j * n, n, book);
        if (fabsf(want[j]) > fabsf(max))
            max = want[j];
    }
    float unit = max / (float)-code_half;
    for (int round = 0; round < ROUNDS; round++) {
        float sum = 0;
        f.d = qn_f16_of_f32(unit);
        unit = qn_f32_of_f16(f.d);
        for (int j = 0; j < n_sub; j++)
            sum += scaled_near(x + j * n, w + j * n, n, book, code_half, unit,
                               want[j], j, &f);
        if (sum >= least && least < INFINITY)
            break;
        least = sum;
        *out = f;
        unit = scaled_unit(x, w, n_sub, book, &f);
    }
}
