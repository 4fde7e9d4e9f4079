/* line_keys.c - see line_keys.h. */
#include "cli/line_keys.h"

#include "cli/interrupt.h"
#include "cli/terminal.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

#define ESCAPE '\033'
#define QUOTE L'\026'   /* ^V */
#define MARK_WAIT_MS 50 /* for the rest of a mark */

void qn_keys_begin(qn_keys *k)
{
    bool pasting = k->more && k->pasting;
    memset(k, 0, sizeof *k);
    k->pasting = pasting;
    if (!pasting && qn_has_escapes(stdout))
        fputs("\033[?2004h", stdout);
}

void qn_keys_end(const qn_keys *k)
{
    if (!k->more && qn_has_escapes(stdout))
        fputs("\033[?2004l", stdout);
}

static int next_byte(qn_keys *k, char *c)
{
    if (k->at < k->n_ahead) {
        *c = k->ahead[k->at++];
        return 1;
    }
    if (!qn_interrupt_wait(STDIN_FILENO))
        return -1;
    return (int)read(STDIN_FILENO, c, 1);
}

/* Behind an escape: '0' and '1' for the rest of the first and the last mark,
 * "[200~" and "[201~"; else 0, and what was read is kept. A lone escape is a
 * key, which is followed by nothing. */
static char take_mark(qn_keys *k)
{
    static const char mark[] = "[20?~";
    struct pollfd p = {STDIN_FILENO, POLLIN, 0};
    if (k->at < k->n_ahead)
        return 0;
    k->at = k->n_ahead = 0;
    for (const char *m = mark; *m; m++) {
        char c;
        if (poll(&p, 1, MARK_WAIT_MS) <= 0 || read(STDIN_FILENO, &c, 1) != 1)
            return 0;
        k->ahead[k->n_ahead++] = c;
        if (*m == '?' ? c != '0' && c != '1' : c != *m)
            return 0;
    }
    k->n_ahead = 0;
    return k->ahead[3];
}

/* A control character of a paste: whether it comes, as *out. */
static bool pasted(qn_keys *k, char c, wchar_t *out)
{
    if (c == '\t')
        k->held = L'\t';
    k->more = c == '\r' || c == '\n'; /* the terminal sends either */
    *out = k->more ? L'\n' : QUOTE;
    return k->more || k->held;
}

int qn_keys_next(qn_keys *k, wchar_t *out)
{
    for (;;) {
        char c, mark = 0;
        if (k->held) {
            *out = k->held;
            k->held = 0;
            return 1;
        }
        int got = next_byte(k, &c);
        if (got <= 0)
            return got;
        if (c == ESCAPE && (mark = take_mark(k))) {
            k->pasting = mark == '0';
            continue;
        }
        if (k->pasting && ((unsigned char)c < ' ' || c == 127)) {
            if (pasted(k, c, out))
                return 1;
            continue;
        }
        size_t n = mbrtowc(out, &c, 1, &k->mb);
        if (n == (size_t)-2)
            continue; /* more bytes belong to it */
        if (n == (size_t)-1) {
            memset(&k->mb, 0, sizeof k->mb);
            *out = L'?';
        }
        return 1;
    }
}
