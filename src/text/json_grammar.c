/* json_grammar.c - JSON itself; see json_grammar.h. */
#include "text/json_parts.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* In front of a line: a writer who has lost the thread would go on for ever. */
#define MAX_SPACES 24
#define MAX_TABS 8

#define LIST(...) ((const qn_gram_node[]){__VA_ARGS__, QN_GRAM_END})

qn_gram_node qn_json_word(const qn_json_parts *p, const char *word)
{
    return qn_gram_text(p->g, word, strlen(word));
}

qn_gram_node qn_json_mark(const qn_json_parts *p, const char *mark)
{
    return qn_gram_seq(p->g, LIST(p->blank, qn_json_word(p, mark), p->blank));
}

/* Nothing, a blank, or a new line with what stands in front of the next. */
static qn_gram_node make_blank(qn_json_parts *p)
{
    qn_grammar *g = p->g;
    qn_gram_node space = qn_json_word(p, " "), tab = qn_json_word(p, "\t");
    qn_gram_node front =
        qn_gram_one_of(g, LIST(0, qn_gram_repeat(g, space, 1, MAX_SPACES),
                               qn_gram_repeat(g, tab, 1, MAX_TABS)));
    return qn_gram_one_of(g,
                          LIST(0, space,
                               qn_gram_cat(g, qn_json_word(p, "\n"), front)));
}

/* Code points beyond ASCII, each in its one spelling. */
static qn_gram_node make_utf8(qn_grammar *g)
{
    static const uint8_t rows[][5] = {
        /* first byte, second byte, further ones */
        {0xc2, 0xdf, 0x80, 0xbf, 0}, {0xe0, 0xe0, 0xa0, 0xbf, 1},
        {0xe1, 0xec, 0x80, 0xbf, 1}, {0xed, 0xed, 0x80, 0x9f, 1},
        {0xee, 0xef, 0x80, 0xbf, 1}, {0xf0, 0xf0, 0x90, 0xbf, 2},
        {0xf1, 0xf3, 0x80, 0xbf, 2}, {0xf4, 0xf4, 0x80, 0x8f, 2},
    };
    qn_gram_node more = qn_gram_range(g, 0x80, 0xbf), all = QN_GRAM_END;
    for (size_t i = 0; i < QN_COUNTOF(rows); i++) {
        const uint8_t *r = rows[i];
        qn_gram_node n = qn_gram_cat(g, qn_gram_range(g, r[0], r[1]),
                                     qn_gram_range(g, r[2], r[3]));
        for (int k = 0; k < r[4]; k++)
            n = qn_gram_cat(g, n, more);
        all = all == QN_GRAM_END ? n : qn_gram_alt(g, all, n);
    }
    return all;
}

/* Four hexadecimal digits behind \u: no NUL, surrogates in pairs. */
static qn_gram_node make_unicode(qn_json_parts *p)
{
    qn_grammar *g = p->g;
    qn_gram_node hex = qn_gram_any_of(g, "0123456789abcdefABCDEF");
    qn_gram_node some = qn_gram_any_of(g, "123456789abcdefABCDEF");
    qn_gram_node not_d = qn_gram_any_of(g, "123456789abcefABCEF");
    qn_gram_node d = qn_gram_any_of(g, "dD");
    qn_gram_node zero = qn_json_word(p, "0");
    qn_gram_node low = qn_gram_any_of(g, "01234567");
    qn_gram_node lead = qn_gram_any_of(g, "89abAB");
    qn_gram_node trail = qn_gram_any_of(g, "cdefCDEF");
    return qn_gram_one_of(g, LIST(qn_gram_seq(g, LIST(not_d, hex, hex, hex)),
                                  qn_gram_seq(g, LIST(zero, some, hex, hex)),
                                  qn_gram_seq(g, LIST(zero, zero, some, hex)),
                                  qn_gram_seq(g, LIST(zero, zero, zero, some)),
                                  qn_gram_seq(g, LIST(d, low, hex, hex)),
                                  qn_gram_seq(g, LIST(d, lead, hex, hex,
                                                      qn_json_word(p, "\\u"), d,
                                                      trail, hex, hex))));
}

static qn_gram_node make_character(qn_json_parts *p)
{
    qn_grammar *g = p->g;
    qn_gram_node escape = qn_gram_cat(
        g, qn_json_word(p, "\\"),
        qn_gram_alt(g, qn_gram_any_of(g, "\"\\/bfnrt"),
                    qn_gram_cat(g, qn_json_word(p, "u"), make_unicode(p))));
    return qn_gram_one_of(g, LIST(qn_gram_range(g, ' ', '!'),
                                  qn_gram_range(g, '#', '['),
                                  qn_gram_range(g, ']', '~'), make_utf8(g),
                                  escape));
}

static void make_numbers(qn_json_parts *p)
{
    qn_grammar *g = p->g;
    qn_gram_node digit = qn_gram_range(g, '0', '9');
    qn_gram_node sign = qn_gram_alt(g, 0, qn_json_word(p, "-"));
    qn_gram_node whole =
        qn_gram_alt(g, qn_json_word(p, "0"),
                    qn_gram_cat(g, qn_gram_range(g, '1', '9'),
                                qn_gram_repeat(g, digit, 0, 14)));
    qn_gram_node fraction = qn_gram_alt(
        g, 0,
        qn_gram_cat(g, qn_json_word(p, "."), qn_gram_repeat(g, digit, 1, 15)));
    qn_gram_node power = qn_gram_alt(
        g, 0,
        qn_gram_seq(g, LIST(qn_gram_any_of(g, "eE"),
                            qn_gram_alt(g, 0, qn_gram_any_of(g, "+-")),
                            qn_gram_repeat(g, digit, 1, 2))));
    p->integer = qn_gram_cat(g, sign, whole);
    p->number = qn_gram_seq(g, LIST(sign, whole, fraction, power));
}

qn_gram_node qn_json_list(const qn_json_parts *p, const char *open,
                          qn_gram_node element, uint32_t min, uint32_t max,
                          const char *close)
{
    qn_grammar *g = p->g;
    qn_gram_node more = qn_gram_cat(g, qn_json_mark(p, ","), element);
    uint32_t rest = max == QN_GRAM_MANY || max == 0 ? max : max - 1;
    qn_gram_node some = qn_gram_seq(
        g, LIST(element, qn_gram_repeat(g, more, min > 0 ? min - 1 : 0, rest),
                p->blank));
    if (max == 0)
        some = 0;
    else if (min == 0)
        some = qn_gram_alt(g, 0, some);
    return qn_gram_nest(g, qn_gram_seq(g, LIST(qn_json_word(p, open), p->blank,
                                               some, qn_json_word(p, close))));
}

void qn_json_parts_make(qn_json_parts *p, qn_grammar *g)
{
    *p = (qn_json_parts){.g = g};
    p->blank = make_blank(p);
    p->character = make_character(p);
    p->quote = qn_json_word(p, "\"");
    p->string = qn_gram_seq(
        g, LIST(p->quote, qn_gram_repeat(g, p->character, 0, QN_GRAM_MANY),
                p->quote));
    make_numbers(p);
    p->boolean = qn_gram_alt(g, qn_json_word(p, "true"),
                             qn_json_word(p, "false"));
    p->null = qn_json_word(p, "null");
    p->value = qn_gram_rule(g);
    qn_gram_node member = qn_gram_seq(g, LIST(p->string, qn_json_mark(p, ":"),
                                              p->value));
    p->object = qn_json_list(p, "{", member, 0, QN_GRAM_MANY, "}");
    p->array = qn_json_list(p, "[", p->value, 0, QN_GRAM_MANY, "]");
    qn_gram_define(g, p->value,
                   qn_gram_one_of(g, LIST(p->object, p->array, p->string,
                                          p->number, p->boolean, p->null)));
}

/* ---- ranges of integers ------------------------------------------------- */

/* Texts of n digits between those of lo and hi, which have n digits too. */
static qn_gram_node digits_between(const qn_json_parts *p, const char *lo,
                                   const char *hi, int n)
{
    qn_grammar *g = p->g;
    if (n == 0)
        return 0;
    qn_gram_node any = qn_gram_range(g, '0', '9');
    char nines[16], zeros[16];
    memset(nines, '9', sizeof nines);
    memset(zeros, '0', sizeof zeros);
    if (*lo == *hi)
        return qn_gram_cat(g, qn_gram_text(g, lo, 1),
                           digits_between(p, lo + 1, hi + 1, n - 1));
    qn_gram_node all =
        qn_gram_alt(g,
                    qn_gram_cat(g, qn_gram_text(g, lo, 1),
                                digits_between(p, lo + 1, nines, n - 1)),
                    qn_gram_cat(g, qn_gram_text(g, hi, 1),
                                digits_between(p, zeros, hi + 1, n - 1)));
    if (*hi - *lo < 2)
        return all;
    qn_gram_node mid = qn_gram_range(g, (uint8_t)(*lo + 1), (uint8_t)(*hi - 1));
    if (n > 1)
        mid = qn_gram_cat(g, mid,
                          qn_gram_repeat(g, any, (uint32_t)n - 1,
                                         (uint32_t)n - 1));
    return qn_gram_alt(g, all, mid);
}

/* 0 <= lo <= hi */
static qn_gram_node natural_range(const qn_json_parts *p, int64_t lo,
                                  int64_t hi)
{
    char a[24], b[24];
    qn_gram_node all = QN_GRAM_END;
    for (int64_t first = lo; first <= hi;) {
        int n = snprintf(a, sizeof a, "%" PRId64, first);
        int64_t last = 9;
        for (int i = 1; i < n; i++)
            last = last * 10 + 9;
        last = QN_MIN(last, hi);
        snprintf(b, sizeof b, "%" PRId64, last);
        qn_gram_node part = digits_between(p, a, b, n);
        all = all == QN_GRAM_END ? part : qn_gram_alt(p->g, all, part);
        first = last + 1;
    }
    assert(all != QN_GRAM_END);
    return all;
}

qn_gram_node qn_json_range(const qn_json_parts *p, int64_t lo, int64_t hi)
{
    qn_gram_node minus = QN_GRAM_END, plus = QN_GRAM_END;
    if (lo < 0)
        minus = qn_gram_cat(p->g, qn_json_word(p, "-"),
                            natural_range(p, hi < 0 ? -hi : 1, -lo));
    if (hi >= 0)
        plus = natural_range(p, QN_MAX(lo, 0), hi);
    if (minus == QN_GRAM_END)
        return plus;
    return plus == QN_GRAM_END ? minus : qn_gram_alt(p->g, minus, plus);
}

/* ---- any JSON ------------------------------------------------------------ */

qn_grammar *qn_json_grammar(bool object)
{
    qn_grammar *g = qn_grammar_new();
    qn_json_parts p;
    qn_err err;
    qn_json_parts_make(&p, g);
    int rc = qn_gram_finish(
        g, qn_gram_cat(g, p.blank, object ? p.object : p.value), "JSON", &err);
    assert(rc == 0);
    (void)rc;
    return g;
}
