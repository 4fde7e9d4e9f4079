/* tok_threes.c - digits in threes, counted from the right.
 *
 * In a run of c digits the first group has c % 3 of them (3 where that is 0):
 * no other length leaves a multiple of three behind it. Each step of a run is
 * made twice, once to count and once to cut. What a pattern looks for behind the
 * threes is at the end of the run or nowhere in it: within, a digit follows, and
 * between digits is no border of a word. */
#include "text/tok_threes.h"

#include "base/compiler.h"
#include "text/unicode.h"

#include <stdint.h>
#include <string.h>

static const qn_tok_threes threes_table[] = {
    {"\\p{N}{1,3}(?=(?:\\p{N}{3})*(?!\\p{N}))", QN_UNI_N, false, false},
    {"\\d{1,3}(?=(?:\\d{3})*\\b)", QN_UNI_ND, true, false},
    {"(?=(\\d{3})+(?!\\d))", QN_UNI_ND, false, true},
};

const qn_tok_threes *qn_tok_threes_of(const char *pattern, size_t n)
{
    for (size_t k = 0; k < QN_COUNTOF(threes_table); k++)
        if (strlen(threes_table[k].pattern) == n &&
            memcmp(threes_table[k].pattern, pattern, n) == 0)
            return &threes_table[k];
    return NULL;
}

/* A word character for \b, as tok_onig.c writes it. */
static bool threes_word(uint32_t cp)
{
    if (cp == 0x200C || cp == 0x200D)
        return false;
    return (qn_uni(cp) & QN_UNI_WORD) || cp == 0xB2 || cp == 0xB3 ||
           cp == 0xB9 || (cp >= 0xBC && cp <= 0xBE);
}

static size_t threes_skip(const char *p, size_t i, size_t count)
{
    for (; count > 0; count--)
        i += qn_uni_len(p[i]);
    return i;
}

/* The run of `count` digits at i. */
static void threes_cut(const qn_tok_threes *t, const char *p, size_t i,
                       size_t count, qn_tok_threes_fn *fn, void *user)
{
    size_t lead = count % 3, end = threes_skip(p, i, lead);
    if (lead > 0 && !t->empty)
        fn(user, i, end);
    for (i = end, count -= lead; count > 0; i = end, count -= 3) {
        end = threes_skip(p, i, 3);
        fn(user, i, t->empty ? i : end);
    }
}

void qn_tok_threes_each(const qn_tok_threes *t, const char *p, size_t n,
                        qn_tok_threes_fn *fn, void *user)
{
    for (size_t i = 0, next; i < n; i = next) {
        size_t count = 0, end = i;
        uint32_t cp = 0;
        for (next = i; next < n; count++) {
            cp = qn_uni_next(p, &next);
            if (!(qn_uni(cp) & t->digits))
                break;
            end = next;
        }
        /* cp is what ends the run, if something does */
        if (count == 0 || (t->before_border && end < n && threes_word(cp)))
            continue;
        threes_cut(t, p, i, count, fn, user);
    }
}
