/* position.c - see position.h. */
#include "eval/position.h"

#include "base/compiler.h"

#include <math.h>

/* Below e^-45 of the largest term another adds nothing to a double, even if a
 * vocabulary has millions. */
#define NEGLIGIBLE (-60.0)

/* The first of the largest; -1 when something is not a number. */
static int first_max(const float *x, int n)
{
    int best = 0;
    bool ok = x[0] == x[0];
    for (int i = 1; i < n; i++) {
        ok &= x[i] == x[i];
        if (x[i] > x[best])
            best = i;
    }
    return ok && isfinite(x[best]) ? best : -1;
}

/* log of the sum of e^(x[i]), where x[top] is the largest. */
static double log_sum(const float *x, int n, int top)
{
    double most = (double)x[top], sum = 0;
    for (int i = 0; i < n; i++) {
        double d = (double)x[i] - most;
        if (d > NEGLIGIBLE)
            sum += exp(d);
    }
    return most + log(sum);
}

/* Ids of the QN_EVAL_TOP largest, by falling value; of equals the lower id. */
static int find_top(const float *x, int n, int32_t *ids)
{
    int k = 0;
    for (int i = 0; i < n; i++) {
        if (k == QN_EVAL_TOP && !(x[i] > x[ids[k - 1]]))
            continue;
        int at = k < QN_EVAL_TOP ? k++ : k - 1;
        for (; at > 0 && x[i] > x[ids[at - 1]]; at--)
            ids[at] = ids[at - 1];
        ids[at] = i;
    }
    return k;
}

void qn_position_of(qn_position *out, const float *logits, int n, int32_t next)
{
    int top = first_max(logits, n);
    *out = (qn_position){.nll = NAN};
    if (top < 0)
        return;
    out->nll = log_sum(logits, n, top) - (double)logits[next];
    out->hit = top == next;
}

void qn_position_beside(qn_position *out, const float *logits,
                        const float *base, int n, int32_t next)
{
    int32_t a[QN_EVAL_TOP], b[QN_EVAL_TOP];
    int top = first_max(logits, n), base_top = first_max(base, n);
    *out = (qn_position){.nll = top < 0 ? NAN : 0,
                         .base_nll = base_top < 0 ? NAN : 0,
                         .kl = NAN};
    if (top < 0 || base_top < 0)
        return;
    double z = log_sum(logits, n, top), zb = log_sum(base, n, base_top);
    double kl = 0;
    for (int i = 0; i < n; i++) {
        double lb = (double)base[i] - zb;
        if (lb > NEGLIGIBLE)
            kl += exp(lb) * (lb - ((double)logits[i] - z));
    }
    out->nll = z - (double)logits[next];
    out->base_nll = zb - (double)base[next];
    out->kl = QN_MAX(kl, 0.0); /* rounding may leave -1e-17 */
    out->dp = (float)(exp(-out->nll) - exp(-out->base_nll));
    out->hit = top == next;
    out->same_top = top == base_top;
    int na = find_top(logits, n, a), nb = find_top(base, n, b);
    for (int i = 0; i < nb; i++)
        for (int k = 0; k < na; k++)
            out->same_top5 += a[k] == b[i];
}
