/* nearest.c - what somebody may have meant: the name at the smallest distance
 * in single insertions, deletions, changes and swaps of neighbours
 * (F. Damerau, 1964), if it is small against the length. */
#include "base/nearest.h"

#include "base/compiler.h"

#include <limits.h>
#include <string.h>

#define MAX_NAME 48

static int letter(const char *s, size_t i)
{
    int c = (unsigned char)s[i];
    if (c == '_')
        return '-';
    return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

int qn_nearest_distance(const char *a, const char *b)
{
    int row[3][MAX_NAME + 1];
    size_t n = strlen(a), m = strlen(b);
    if (n > MAX_NAME || m > MAX_NAME)
        return INT_MAX;
    for (size_t j = 0; j <= m; j++)
        row[0][j] = (int)j;
    for (size_t i = 1; i <= n; i++) {
        int *now = row[i % 3], *before = row[(i + 2) % 3];
        const int *before2 = row[(i + 1) % 3];
        now[0] = (int)i;
        for (size_t j = 1; j <= m; j++) {
            int x = letter(a, i - 1), y = letter(b, j - 1);
            int d = before[j - 1] + (x != y);
            d = QN_MIN(d, before[j] + 1);
            d = QN_MIN(d, now[j - 1] + 1);
            if (i > 1 && j > 1 && x == letter(b, j - 2) &&
                letter(a, i - 2) == y)
                d = QN_MIN(d, before2[j - 2] + 1);
            now[j] = d;
        }
    }
    return row[n % 3][m];
}

const char *qn_nearest(const char *typed, const char *(*offer)(void *, size_t),
                       void *user)
{
    const char *best = NULL, *name;
    size_t n = strlen(typed);
    int least = (int)(n / 3) + 1;
    if (n == 0 || n > MAX_NAME)
        return NULL;
    for (size_t i = 0; (name = offer(user, i)); i++) {
        int d = qn_nearest_distance(typed, name);
        /* cut short: "temp" for "temperature" */
        if (n >= 3 && strlen(name) > n && strncmp(typed, name, n) == 0)
            d = 1;
        if (d < least) {
            least = d;
            best = name;
        }
    }
    return best;
}
