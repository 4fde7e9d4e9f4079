/* penalize.c - edits of the row that look at what was said so far. */
#include "engine/sample_int.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Starts a pass over the history: ids not yet seen in it have old stamps. */
static uint32_t new_pass(qn_sampler *s)
{
    if (++s->pass == 0) { /* wrapped after 4 billion passes */
        memset(s->stamp, 0, (size_t)s->n_vocab * sizeof *s->stamp);
        s->pass = 1;
    }
    return s->pass;
}

static bool in_vocab(const qn_sampler *s, int32_t id)
{
    return id >= 0 && id < s->n_vocab;
}

/* CTRL's penalty (Keskar et al. 2019) as transformers applies it: a positive
 * logit is divided, a negative one multiplied, once per distinct token. */
static void penalize_repetition(qn_sampler *s)
{
    float r = s->p.repetition_penalty;
    size_t n = s->history.n, from = 0;
    if (s->p.penalty_last_n >= 0 && (size_t)s->p.penalty_last_n < n)
        from = n - (size_t)s->p.penalty_last_n;
    uint32_t pass = new_pass(s);
    for (size_t i = from; i < n; i++) {
        int32_t id = s->history.v[i];
        if (!in_vocab(s, id) || s->stamp[id] == pass)
            continue;
        s->stamp[id] = pass;
        s->row[id] = s->row[id] > 0 ? s->row[id] / r : s->row[id] * r;
    }
}

/* OpenAI's penalties, over the completion: presence once, frequency per
 * occurrence. */
static void penalize_counts(qn_sampler *s)
{
    uint32_t pass = new_pass(s);
    for (size_t i = s->n_prompt; i < s->history.n; i++) {
        int32_t id = s->history.v[i];
        if (!in_vocab(s, id))
            continue;
        if (s->stamp[id] != pass) {
            s->stamp[id] = pass;
            s->row[id] -= s->p.presence_penalty;
        }
        s->row[id] -= s->p.frequency_penalty;
    }
}

void qn_penalize(qn_sampler *s)
{
    if (s->p.repetition_penalty != 1.0f)
        penalize_repetition(s);
    if (s->p.presence_penalty != 0.0f || s->p.frequency_penalty != 0.0f)
        penalize_counts(s);
}

static bool is_breaker(const qn_sampler *s, int32_t id)
{
    for (size_t i = 0; i < s->p.n_dry_breakers; i++)
        if (s->p.dry_breakers[i] == id)
            return true;
    return false;
}

/* DRY ("don't repeat yourself"): a token that would lengthen a repetition of
 * length L >= allowed is lowered by multiplier * base^(L - allowed). L of a
 * token t is the longest suffix of the history that was seen before, just
 * before a t; no match reaches over a breaker.
 *
 * Longest common suffixes of all prefixes with the whole history are the
 * Z-function of the reversed history: linear time. */
void qn_penalize_dry(qn_sampler *s)
{
    size_t n = s->history.n;
    if (s->p.dry_range >= 0 && (size_t)s->p.dry_range < n)
        n = (size_t)s->p.dry_range;
    if (n < 2)
        return;
    const int32_t *end = s->history.v + s->history.n; /* end[-1] is newest */
    size_t limit = 0; /* tokens at the end that hold no breaker */
    while (limit < n && !is_breaker(s, end[-1 - (ptrdiff_t)limit]))
        limit++;
    if (limit < (size_t)s->p.dry_allowed_length)
        return;

    qn_vec_reserve(&s->match, QN_MAX(n, s->history.cap));
    uint32_t *z = s->match.v;
    z[0] = 0;
    size_t l = 0, r = 0; /* [l, r): rightmost match found so far */
    uint32_t pass = new_pass(s);
    for (size_t i = 1; i < n; i++) {
        size_t len = i < r ? QN_MIN(r - i, (size_t)z[i - l]) : 0;
        while (i + len < n &&
               end[-1 - (ptrdiff_t)len] == end[-1 - (ptrdiff_t)(i + len)])
            len++;
        z[i] = (uint32_t)len;
        if (i + len > r) {
            l = i;
            r = i + len;
        }
        len = QN_MIN(len, limit);
        int32_t next = end[-(ptrdiff_t)i]; /* what followed the match */
        if (len < (size_t)s->p.dry_allowed_length || !in_vocab(s, next))
            continue;
        if (s->stamp[next] != pass) {
            s->stamp[next] = pass;
            s->count[next] = 0;
        }
        s->count[next] = QN_MAX(s->count[next], (uint32_t)len);
    }
    for (size_t i = 1; i < n; i++) {
        int32_t next = end[-(ptrdiff_t)i];
        if (!in_vocab(s, next) || s->stamp[next] != pass || !s->count[next])
            continue;
        double over = (double)s->count[next] - s->p.dry_allowed_length;
        s->row[next] -= (float)((double)s->p.dry_multiplier *
                                pow((double)s->p.dry_base, over));
        s->count[next] = 0; /* once per token */
    }
}
