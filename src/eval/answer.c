/* answer.c - the final number of a worked answer, as lm-evaluation-harness
 * finds it for gsm8k:
 *
 *   strict     #### (\-?[0-9\.\,]+)                        the first
 *   flexible   (-?[$0-9.,]{2,})|(-?[0-9]+)                 the last
 *
 * and then without "," and "$", and of what is left without a full stop at its
 * end. */
#include "eval/task.h"

#include <string.h>

static bool is_one_of(char c, const char *set)
{
    return c && strchr(set, c) != NULL;
}

static size_t run_of(const char *p, size_t n, const char *set)
{
    size_t k = 0;
    while (k < n && is_one_of(p[k], set))
        k++;
    return k;
}

static void put_number(qn_str *out, const char *p, size_t n)
{
    while (n > 0 && is_one_of(p[n - 1], ",$"))
        n--;
    if (n > 0 && p[n - 1] == '.')
        n--;
    for (size_t i = 0; i < n; i++)
        if (!is_one_of(p[i], ",$"))
            qn_str_addc(out, p[i]);
}

void qn_answer_strict(qn_str *out, const char *text, size_t n)
{
    static const char mark[] = "#### ";
    size_t len = strlen(mark);
    for (size_t i = 0; i + len < n; i++) {
        if (memcmp(text + i, mark, len) != 0)
            continue;
        const char *p = text + i + len;
        size_t left = n - i - len, sign = *p == '-';
        size_t digits = run_of(p + sign, left - sign, "0123456789.,");
        if (digits == 0)
            continue;
        put_number(out, p, sign + digits);
        return;
    }
}

/* The length of a number that begins at p, 0: none does. */
static size_t number_at(const char *p, size_t n)
{
    size_t sign = n > 0 && *p == '-';
    size_t k = run_of(p + sign, n - sign, "$0123456789.,");
    if (k >= 2)
        return sign + k;
    k = run_of(p + sign, n - sign, "0123456789");
    return k > 0 ? sign + k : 0;
}

void qn_answer_flexible(qn_str *out, const char *text, size_t n)
{
    size_t at = 0, len = 0;
    for (size_t i = 0; i < n;) {
        size_t k = number_at(text + i, n - i);
        if (k > 0) {
            at = i;
            len = k;
        }
        i += k > 0 ? k : 1;
    }
    put_number(out, text + at, len);
}
