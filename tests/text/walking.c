/* walking.c - see walking.h. */
#include "walking.h"

uint32_t random_below(uint32_t *x, uint32_t n)
{
    *x ^= *x << 13;
    *x ^= *x >> 17;
    *x ^= *x << 5;
    return *x % n;
}

bool accepts_n(qn_grammar *g, const char *p, size_t n)
{
    uint32_t s = qn_gram_begin(g);
    for (size_t i = 0; i < n; i++)
        s = qn_gram_next(g, s, (uint8_t)p[i]);
    assert_false(qn_gram_full(g));
    return qn_gram_accepts(g, s);
}

bool accepts(qn_grammar *g, const char *text)
{
    return accepts_n(g, text, strlen(text));
}
