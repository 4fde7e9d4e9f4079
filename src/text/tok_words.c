/* tok_words.c - splitting by hand what regular expressions split slowly.
 *
 * Three shapes, each with a few variants:
 *
 *   gpt2     's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+
 *            |\s+(?!\S)|\s+
 *   cl100k   (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}
 *            | ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
 *   o200k    two kinds of words, by case, with the contraction behind; the
 *            rest as in cl100k, with a slash among the line ends
 *
 * In each, the alternatives are tried in order, and each is decided by the
 * class of one or two characters, so there is no backtracking; o200k needs one
 * step back where a run of capitals and caseless letters ends.
 *
 * Case-insensitive 's also takes U+017F, the long s, whose fold is s. */
#include "text/tok_words.h"

#include "text/unicode.h"

#include <stdbool.h>
#include <string.h>

enum {
    WORDS_ANY_CASE = 1,   /* contractions in capitals too                   */
    WORDS_SLASH = 2,      /* [\r\n/]* behind punctuation                    */
    WORDS_TAIL_FIRST = 4, /* blanks up to the end are one word (\s++$ first) */
    WORDS_MARKS = 8,      /* \p{M} goes with letters, not with punctuation  */
    WORDS_NO_SHORT = 16   /* no contractions                                */
};

static inline bool words_is_letter(const qn_tok_words *w, unsigned u)
{
    return (u & QN_UNI_L) || ((w->flags & WORDS_MARKS) && (u & QN_UNI_M));
}

/* Behind the run of characters at i that have one of the flags. */
static inline size_t words_run(const char *p, size_t n, size_t i,
                               unsigned flags)
{
    while (i < n) {
        size_t j = i;
        if (!(qn_uni(qn_uni_next(p, &j)) & flags))
            break;
        i = j;
    }
    return i;
}

/* Behind the run of characters that have none of the flags. */
static inline size_t words_run_not(const char *p, size_t n, size_t i,
                                   unsigned flags)
{
    while (i < n) {
        size_t j = i;
        if (qn_uni(qn_uni_next(p, &j)) & flags)
            break;
        i = j;
    }
    return i;
}

/* Behind the contraction at p[i] == '\''; i when there is none. */
static size_t words_contraction(const char *p, size_t n, size_t i,
                                bool any_case)
{
    unsigned fold = any_case ? 0x20 : 0;
    char a = i + 1 < n ? p[i + 1] : '\0';
    char b = i + 2 < n ? p[i + 2] : '\0';
    char la = (char)(a | fold), lb = (char)(b | fold);
    if (la == 's' || la == 't' || la == 'm' || la == 'd')
        return i + 2;
    if ((la == 'r' && lb == 'e') || (la == 'v' && lb == 'e') ||
        (la == 'l' && lb == 'l'))
        return i + 3;
    if (any_case && a == '\xC5' && b == '\xBF')
        return i + 3;
    return i;
}

/* \s+(?!\S)|\s+ at a blank. */
static size_t words_blanks(const char *p, size_t n, size_t i)
{
    size_t end = words_run(p, n, i, QN_UNI_SPACE);
    if (end == n)
        return end;
    size_t last;
    qn_uni_prev(p, end, &last);
    return last > i ? last : end;
}

/* \s*[\r\n]+|\s+(?!\S)|\s+ at a blank. */
static size_t words_blank_lines(const qn_tok_words *w, const char *p, size_t n,
                                size_t i)
{
    size_t end = words_run(p, n, i, QN_UNI_SPACE);
    if (end == n && (w->flags & WORDS_TAIL_FIRST))
        return end;
    for (size_t j = end; j > i; j--)
        if (p[j - 1] == '\n' || p[j - 1] == '\r')
            return j;
    return words_blanks(p, n, i);
}

static size_t words_gpt2(const qn_tok_words *w, const char *p, size_t n,
                         size_t i)
{
    (void)w;
    if (p[i] == '\'') {
        size_t end = words_contraction(p, n, i, false);
        if (end > i)
            return end;
    }
    size_t j = i + (p[i] == ' ' && i + 1 < n), k = j;
    unsigned u = qn_uni(qn_uni_next(p, &k));
    if (u & QN_UNI_L)
        return words_run(p, n, k, QN_UNI_L);
    if (u & QN_UNI_N)
        return words_run(p, n, k, QN_UNI_N);
    if (!(u & QN_UNI_SPACE))
        return words_run_not(p, n, k, QN_UNI_SPACE | QN_UNI_L | QN_UNI_N);
    return words_blanks(p, n, i);
}

/* \p{N}{1,max} at a digit that ends before k. */
static size_t words_digits(const qn_tok_words *w, const char *p, size_t n,
                           size_t k)
{
    for (unsigned count = 1; count != w->max_digits && k < n; count++) {
        size_t j = k;
        if (!(qn_uni(qn_uni_next(p, &j)) & QN_UNI_N))
            break;
        k = j;
    }
    return k;
}

/* What follows the letters in cl100k and o200k. The character at i has the
 * flags u and ends before k. */
static size_t words_rest(const qn_tok_words *w, const char *p, size_t n,
                         size_t i, size_t k, unsigned u)
{
    if (u & QN_UNI_N)
        return words_digits(w, p, n, k);
    unsigned stop = QN_UNI_SPACE | QN_UNI_L | QN_UNI_N;
    if (w->flags & WORDS_MARKS)
        stop |= QN_UNI_M;
    if (p[i] == ' ' && k < n) {
        size_t j = k;
        unsigned v = qn_uni(qn_uni_next(p, &j));
        if (!(v & stop)) {
            u = v;
            k = j;
        }
    }
    if (!(u & stop)) {
        k = words_run_not(p, n, k, stop);
        while (k < n && (p[k] == '\n' || p[k] == '\r' ||
                         (p[k] == '/' && (w->flags & WORDS_SLASH))))
            k++;
        return k;
    }
    return words_blank_lines(w, p, n, i);
}

static size_t words_cl100k(const qn_tok_words *w, const char *p, size_t n,
                           size_t i)
{
    if (p[i] == '\'' && !(w->flags & WORDS_NO_SHORT)) {
        size_t end = words_contraction(p, n, i,
                                       (w->flags & WORDS_ANY_CASE) != 0);
        if (end > i)
            return end;
    }
    unsigned letters = QN_UNI_L | (w->flags & WORDS_MARKS ? QN_UNI_M : 0);
    size_t k = i;
    unsigned u = qn_uni(qn_uni_next(p, &k));
    if (u & QN_UNI_L)
        return words_run(p, n, k, letters);
    if (!(u & QN_UNI_N) && p[i] != '\n' && p[i] != '\r' && k < n) {
        size_t j = k;
        if (qn_uni(qn_uni_next(p, &j)) & letters)
            return words_run(p, n, j, letters);
    }
    if (words_is_letter(w, u))
        return words_run(p, n, k, letters);
    return words_rest(w, p, n, i, k, u);
}

/* ---- o200k ------------------------------------------------------------- */

/* [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}] and [\p{Ll}\p{Lm}\p{Lo}\p{M}] */
static inline bool words_upper(unsigned u)
{
    return (u & (QN_UNI_L | QN_UNI_M)) && !(u & QN_UNI_LOWER);
}

static inline bool words_lower(unsigned u)
{
    return (u & (QN_UNI_L | QN_UNI_M)) && !(u & QN_UNI_UPPER);
}

/* U*L+ (with_lower) or U+L* at s; s itself when it does not match. */
static size_t words_cased(const char *p, size_t n, size_t s, bool with_lower)
{
    size_t i = s, last_lower = s; /* behind the last one that is in L as well */
    while (i < n) {
        size_t j = i;
        unsigned u = qn_uni(qn_uni_next(p, &j));
        if (!words_upper(u))
            break;
        i = j;
        if (words_lower(u))
            last_lower = j;
    }
    size_t uppers = i;
    while (i < n) {
        size_t j = i;
        if (!words_lower(qn_uni(qn_uni_next(p, &j))))
            break;
        i = j;
    }
    if (with_lower)
        return i > uppers ? i : last_lower;
    return uppers > s ? i : s;
}

static size_t words_o200k(const qn_tok_words *w, const char *p, size_t n,
                          size_t i)
{
    size_t k = i;
    unsigned u = qn_uni(qn_uni_next(p, &k));
    bool may_lead = !(u & (QN_UNI_L | QN_UNI_N)) && p[i] != '\n' &&
                    p[i] != '\r';
    for (int with_lower = 1; with_lower >= 0; with_lower--) {
        size_t end = k;
        if (may_lead)
            end = words_cased(p, n, k, with_lower);
        if (end == k) {
            end = words_cased(p, n, i, with_lower);
            if (end == i)
                continue;
        }
        if (end < n && p[end] == '\'' && !(w->flags & WORDS_NO_SHORT))
            end = words_contraction(p, n, end, true);
        return end;
    }
    return words_rest(w, p, n, i, k, u);
}

/* ---- which pattern is which -------------------------------------------- */

static const qn_tok_words words_table[] = {
    {"gpt2", words_gpt2, 0, 0},
    {"cl100k", words_cl100k, 3, WORDS_ANY_CASE},
    {"cl100k_tail", words_cl100k, 3, WORDS_ANY_CASE | WORDS_TAIL_FIRST},
    {"qwen2", words_cl100k, 1, WORDS_ANY_CASE},
    {"qwen35", words_cl100k, 1, WORDS_ANY_CASE | WORDS_MARKS},
    {"o200k", words_o200k, 3, WORDS_SLASH},
    {"tekken", words_o200k, 1, WORDS_SLASH | WORDS_NO_SHORT},
};

#define SHORT_AC "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define SHORT_B "'(?i:[sdmt]|ll|ve|re)"
#define BLANKS "|\\s+(?!\\S)|\\s+"
#define TAIL "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+" BLANKS
#define UPPERS "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWERS "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define LEAD "[^\\r\\n\\p{L}\\p{N}]?"
#define TAIL_SLASH "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+" BLANKS

static const struct words_alias {
    const char *pattern, *name;
} words_aliases[] = {
    {"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+" //
     BLANKS,
     "gpt2"},
    {"'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+" BLANKS,
     "gpt2"},
    {"'(?:[sdmt]|ll|ve|re)| ?\\p{L}++| ?\\p{N}++| ?[^\\s\\p{L}\\p{N}]++"
     "|\\s++$|\\s+(?!\\S)|\\s",
     "gpt2"},
    {SHORT_AC "|" LEAD "\\p{L}+|\\p{N}{1,3}" TAIL, "cl100k"},
    {"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|" LEAD
     "\\p{L}+|\\p{N}{1,3}" TAIL,
     "cl100k"},
    {SHORT_B "|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}{1,3}"
             "| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]" BLANKS,
     "cl100k"},
    {SHORT_AC "|" LEAD "\\p{L}+|\\p{N}" TAIL, "qwen2"},
    {SHORT_B "|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}"
             "| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]" BLANKS,
     "qwen2"},
    {SHORT_AC "|" LEAD "[\\p{L}\\p{M}]+|\\p{N}"
              "| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+" BLANKS,
     "qwen35"},
    {LEAD UPPERS "*" LOWERS "+" SHORT_AC "?|" LEAD UPPERS "+" LOWERS
                 "*" SHORT_AC "?|\\p{N}{1,3}" TAIL_SLASH,
     "o200k"},
    {LEAD UPPERS "*" LOWERS "+|" LEAD UPPERS "+" LOWERS "*|\\p{N}" TAIL_SLASH,
     "tekken"},
};

static const struct words_alias words_names[] = {
    {"r50k", "gpt2"},          {"p50k", "gpt2"},   {"llama3", "cl100k"},
    {"cl100k", "cl100k_tail"}, {"gpt4o", "o200k"},
};

static const qn_tok_words *words_row(const char *name)
{
    for (size_t k = 0; k < sizeof words_table / sizeof words_table[0]; k++)
        if (strcmp(words_table[k].name, name) == 0)
            return &words_table[k];
    return NULL;
}

const qn_tok_words *qn_tok_words_of(const char *pattern, size_t n)
{
    for (size_t k = 0; k < sizeof words_aliases / sizeof words_aliases[0]; k++)
        if (strlen(words_aliases[k].pattern) == n &&
            memcmp(words_aliases[k].pattern, pattern, n) == 0)
            return words_row(words_aliases[k].name);
    return NULL;
}

const qn_tok_words *qn_tok_words_named(const char *name)
{
    for (size_t k = 0; k < sizeof words_names / sizeof words_names[0]; k++)
        if (strcmp(words_names[k].pattern, name) == 0)
            return words_row(words_names[k].name);
    return words_row(name);
}
