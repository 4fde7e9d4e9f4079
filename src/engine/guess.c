/* guess.c - speculation without a second model: prompt lookup (Saxena 2023).
 *
 * What followed the last words when they stood there before is guessed to
 * follow again. The guesses are rows of the same pass; each row's token is
 * chosen exactly as it would be without them, by the same logits and the same
 * random number, and a guess that was right has its successor's row computed
 * already. So the tokens are the same, whatever is guessed.
 *
 * A row more costs time, and not all guesses are right. A step of n rows takes
 * about a + b n; a guess that is right with probability p saves p / n of a
 * step, if n sequences share it. So it pays while p > b n / (a + b n); a and b
 * are fitted to the steps that were. A sequence whose guesses do not pay makes
 * none for a while, and tries again. */
#include "engine/engine_int.h"

#define MAX_MATCH 8    /* words that are compared */
#define MAX_LOOK 16384 /* tokens that are looked back */
#define MIN_PAUSE 16   /* tokens without guesses when they do not pay */
#define MAX_PAUSE 512

void qn_guess_init(qn_guess *g)
{
    *g = (qn_guess){.len = 4, .rate = 0.6f, .next_pause = MIN_PAUSE};
}

/* Where to go on reading: behind the longest earlier occurrence of the last
 * tokens, the latest of equal ones; 0: none. */
static size_t find(const int32_t *v, size_t n)
{
    size_t best = 0, best_len = 1; /* one word says too little */
    size_t first = n > MAX_LOOK ? n - MAX_LOOK : 1;
    for (size_t i = n - 1; i >= first && best_len < MAX_MATCH; i--) {
        size_t len = 0;
        while (len < MAX_MATCH && len < i && v[i - 1 - len] == v[n - 1 - len])
            len++;
        if (len > best_len) {
            best = i;
            best_len = len;
        }
    }
    return best;
}

int qn_guess_make(qn_seq *s, int most, double worth)
{
    qn_guess *g = &s->guess;
    int32_t *v = s->tokens.v;
    size_t n = s->tokens.n;
    int k = QN_MIN(g->len, most);
    if (g->pause > 0) {
        g->pause--;
        return 0;
    }
    if (k <= 0 || n < 4)
        return 0;
    if ((double)g->rate < worth) {
        g->pause = g->next_pause;
        g->next_pause = QN_MIN(2 * g->next_pause, MAX_PAUSE);
        g->rate = (float)worth + 0.05f; /* another chance behind the pause */
        g->len = 2;
        return 0;
    }
    size_t from = find(v, n);
    if (from == 0)
        return 0;
    for (int i = 0; i < k; i++) /* what was guessed is read on, too */
        v[n + (size_t)i] = v[from + (size_t)i];
    return k;
}

void qn_guess_result(qn_seq *s, int n, int right)
{
    qn_guess *g = &s->guess;
    qn_engine *e = s->req->engine;
    e->n_guessed += (uint64_t)n;
    e->n_right += (uint64_t)right;
    s->req->n_guessed += n;
    s->req->n_right += right;
    g->rate += 0.2f * ((float)right / (float)n - g->rate);
    if (right == n) {
        g->len = QN_MIN(2 * g->len, e->speculate);
        g->next_pause = MIN_PAUSE;
    } else if (right == 0) {
        g->len = QN_MAX(g->len / 2, 1);
    }
}

/* ---- what a row costs --------------------------------------------------- */

void qn_cost_learn(qn_cost *c, double rows, double ms)
{
    double keep = c->n > 0 ? 0.97 : 0;
    c->n = c->n * keep + 1;
    c->x = c->x * keep + rows;
    c->y = c->y * keep + ms;
    c->xx = c->xx * keep + rows * rows;
    c->xy = c->xy * keep + rows * ms;
}

#define UNKNOWN_WORTH 0.3

double qn_cost_worth(const qn_cost *c, double rows)
{
    if (c->n < 8)
        return UNKNOWN_WORTH;
    double mx = c->x / c->n, my = c->y / c->n;
    double var = c->xx / c->n - mx * mx, cov = c->xy / c->n - mx * my;
    if (var < 0.1)
        return UNKNOWN_WORTH;
    double b = QN_MAX(cov / var, 0), t = my + b * (rows - mx);
    double p = t > 0 ? b * rows / t : UNKNOWN_WORTH;
    return QN_MIN(QN_MAX(p, 0.05), 0.95);
}
