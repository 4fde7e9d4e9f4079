/* terminal.c - see terminal.h. */
#include "cli/terminal.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

bool qn_is_terminal(FILE *f)
{
    return isatty(fileno(f)) == 1;
}

bool qn_has_escapes(FILE *f)
{
    const char *term = getenv("TERM");
    return qn_is_terminal(f) && term && strcmp(term, "dumb") != 0;
}

static bool has_colour(FILE *f)
{
    const char *no = getenv("NO_COLOR");
    return !(no && *no) && qn_has_escapes(f);
}

const char *qn_style_on(FILE *f, qn_style s)
{
    static const char *const codes[] = {"\033[0m",  "\033[1m",  "\033[2m",
                                        "\033[31m", "\033[32m", "\033[36m"};
    return has_colour(f) ? codes[s] : "";
}

int qn_columns(FILE *f)
{
    struct winsize w;
    if (ioctl(fileno(f), TIOCGWINSZ, &w) == 0 && w.ws_col >= 20)
        return w.ws_col;
    return 80;
}

void qn_put_text(FILE *f, const char *text, size_t n)
{
    if (!qn_is_terminal(f)) {
        fwrite(text, 1, n, f);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        bool control = (c < 32 && c != '\n' && c != '\t') || c == 127;
        /* U+0080..U+009F, of which some terminals obey U+009B */
        if (c == 0xc2 && i + 1 < n && (unsigned char)text[i + 1] < 0xa0) {
            control = true;
            i++;
        }
        fputc(control ? '?' : c, f);
    }
}

void qn_put_format(FILE *f, const char *fmt, va_list ap)
{
    char *text;
    int n = vasprintf(&text, fmt, ap);
    if (n < 0)
        return;
    qn_put_text(f, text, (size_t)n);
    free(text);
}

void qn_complain(const char *command, const char *text)
{
    fflush(stdout);
    fprintf(stderr, "%s%s:%s %s\n", qn_style_on(stderr, QN_STYLE_RED), command,
            qn_style_on(stderr, QN_STYLE_NONE), text);
}

void qn_note(const char *fmt, ...)
{
    va_list ap;
    fflush(stdout);
    fputs(qn_style_on(stderr, QN_STYLE_DIM), stderr);
    va_start(ap, fmt);
    qn_put_format(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, "%s\n", qn_style_on(stderr, QN_STYLE_NONE));
}

/* ---- progress ------------------------------------------------------------ */

#define BEFORE_SHOWN_MS 300
#define BETWEEN_MS 80
#define BAR 28

void qn_progress_begin(qn_progress *p, const char *what, bool bytes, bool off)
{
    *p = (qn_progress){.what = what,
                       .t0 = qn_now_ns(),
                       .bytes = bytes,
                       .off = off || !qn_has_escapes(stderr)};
}

static void amount(char *buf, size_t cap, const qn_progress *p, uint64_t n)
{
    if (p->bytes)
        qn_fmt_bytes(buf, cap, n);
    else
        snprintf(buf, cap, "%llu", (unsigned long long)n);
}

double qn_progress_left(const qn_progress *p, uint64_t now, uint64_t done,
                        uint64_t total)
{
    bool further = p->told && done > p->from && now > p->t_from;
    double seconds = (double)(now - (further ? p->t_from : p->t0)) * 1e-9;
    uint64_t made = further ? done - p->from : done;
    return seconds * (double)(total - done) / (double)QN_MAX(made, 1);
}

/* "40 s", "12 min", "3.5 h" */
static void duration(char *buf, size_t cap, double seconds)
{
    if (seconds < 100)
        snprintf(buf, cap, "%.0f s", seconds);
    else if (seconds < 100 * 60)
        snprintf(buf, cap, "%.0f min", seconds / 60);
    else
        snprintf(buf, cap, "%.1f h", seconds / 3600);
}

void qn_progress_show(qn_progress *p, uint64_t done, uint64_t total)
{
    uint64_t now = qn_now_ns();
    char a[32], b[32], left[32], bar[BAR + 1];
    if (!p->told) {
        p->told = true;
        p->from = done;
        p->t_from = now;
    }
    if (p->off || total == 0 || done > total ||
        now - p->t0 < BEFORE_SHOWN_MS * 1000000ull ||
        now - p->last < BETWEEN_MS * 1000000ull)
        return;
    p->last = now;
    p->shown = true;
    double part = (double)done / (double)total;
    for (int i = 0; i < BAR; i++)
        bar[i] = i < (int)(part * BAR) ? '#' : '.';
    bar[BAR] = 0;
    amount(a, sizeof a, p, done);
    amount(b, sizeof b, p, total);
    duration(left, sizeof left, qn_progress_left(p, now, done, total));
    if (p->parts)
        fprintf(stderr, "\r%s [%s] %4.1f%%, %s left\033[K", p->what, bar,
                part * 100, left);
    else
        fprintf(stderr, "\r%s [%s] %3.0f%%  %s of %s, %s left\033[K", p->what,
                bar, part * 100, a, b, left);
    fflush(stderr);
}

void qn_progress_end(qn_progress *p)
{
    if (p->shown)
        fputs("\r\033[K", stderr);
    p->shown = false;
}

/* ---- the log ------------------------------------------------------------- */

static int log_level;

static void log_line(void *user, int level, const char *line)
{
    static const char *const names[] = {"error", "warning", "info", "debug"};
    (void)user;
    if (level <= log_level)
        fprintf(stderr, "quern: %s: %s\n", names[level < 0 ? 0 : level & 3],
                line);
}

void qn_show_log(int level)
{
    log_level = level;
    qn_set_log(log_line, NULL);
}
