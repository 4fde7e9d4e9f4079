/* line_edit.c - see line_edit.h. libedit does the editing; characters are read
 * by line_keys.h, because its own reader swallows the first Ctrl-C and does not
 * know what was pasted. */
#include "cli/line_edit.h"

#include "base/file.h"
#include "base/mem.h"
#include "cli/interrupt.h"
#include "cli/line_keys.h"
#include "cli/line_reader.h"
#include "cli/terminal.h"

#include <histedit.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEPT 1000

struct qn_lines {
    EditLine *el; /* NULL: no terminal */
    History *hist;
    char *history_path; /* NULL: not kept */
    const char *prompt;
    char *line; /* the one edited */
    size_t cap;
    qn_keys keys;
    qn_line_reader plain; /* without a terminal */
};

/* ---- libedit ------------------------------------------------------------- */

static qn_lines *lines_of(EditLine *el)
{
    void *l = NULL;
    el_get(el, EL_CLIENTDATA, &l);
    return l;
}

static char *prompt_of(EditLine *el)
{
    return (char *)(uintptr_t)lines_of(el)->prompt;
}

static int read_char(EditLine *el, wchar_t *out)
{
    return qn_keys_next(&lines_of(el)->keys, out);
}

static char *state_path(void)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    char *base, *dir, *path = NULL;
    if (state && *state == '/')
        base = qn_xstrdup(state);
    else if (home && *home == '/')
        base = qn_path_join(home, ".local/state");
    else
        return NULL;
    dir = qn_path_join(base, "quern");
    if (qn_mkdirs(dir, NULL) == 0)
        path = qn_path_join(dir, "history");
    free(dir);
    free(base);
    return path;
}

static void open_editor(qn_lines *l)
{
    HistEvent ev;
    l->el = el_init("quern", stdin, stdout, stderr);
    if (!l->el)
        return;
    el_set(l->el, EL_CLIENTDATA, l);
    el_set(l->el, EL_EDITOR, "emacs");
    el_set(l->el, EL_PROMPT_ESC, prompt_of, '\1');
    el_set(l->el, EL_GETCFN, read_char);
    el_set(l->el, EL_SIGNAL, 0);
    el_set(l->el, EL_BIND, "^R", "em-inc-search-prev", NULL);
    l->hist = history_init();
    if (!l->hist)
        return;
    history(l->hist, &ev, H_SETSIZE, KEPT);
    history(l->hist, &ev, H_SETUNIQUE, 1);
    el_set(l->el, EL_HIST, history, l->hist);
    if (l->history_path)
        history(l->hist, &ev, H_LOAD, l->history_path);
}

qn_lines *qn_lines_open(bool keep)
{
    qn_lines *l = qn_xcalloc(1, sizeof *l);
    qn_reader_open(&l->plain, NULL, NULL);
    if (!qn_is_terminal(stdin) || !qn_is_terminal(stdout))
        return l;
    if (keep)
        l->history_path = state_path();
    open_editor(l);
    return l;
}

/* Conversations are nobody else's business. */
static void save_history(qn_lines *l)
{
    HistEvent ev;
    mode_t before = umask(077);
    history(l->hist, &ev, H_SAVE, l->history_path);
    umask(before);
}

void qn_lines_close(qn_lines *l)
{
    if (!l)
        return;
    if (l->hist && l->history_path)
        save_history(l);
    if (l->el)
        el_end(l->el);
    if (l->hist)
        history_end(l->hist);
    qn_reader_close(&l->plain);
    free(l->history_path);
    free(l->line);
    free(l);
}

/* ---- lines --------------------------------------------------------------- */

static char *without_end(char *line, size_t n)
{
    while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r'))
        n--;
    line[n] = 0;
    return line;
}

static void keep(qn_lines *l, const char *text, size_t n)
{
    if (n + 1 > l->cap) {
        l->cap = n + 1;
        l->line = qn_xrealloc(l->line, l->cap);
    }
    memcpy(l->line, text, n);
}

static qn_line_kind edit(qn_lines *l, const char **line)
{
    int n = 0;
    qn_keys_begin(&l->keys);
    el_resize(l->el);
    const char *text = el_gets(l->el, &n);
    bool whole = text && n > 0 && !qn_interrupted();
    l->keys.more = whole && l->keys.more;
    qn_keys_end(&l->keys);
    if (whole) {
        keep(l, text, (size_t)n);
        *line = without_end(l->line, (size_t)n);
        return l->keys.more ? QN_LINE_PASTED : QN_LINE;
    }
    putchar('\n');
    fflush(stdout);
    return qn_interrupted() ? QN_LINE_INTERRUPTED : QN_LINE_END;
}

qn_line_kind qn_lines_read(qn_lines *l, const char *prompt, const char **line)
{
    l->prompt = prompt;
    if (l->el)
        return edit(l, line);
    char *text;
    size_t n;
    if (qn_reader_next(&l->plain, true, &text, &n, NULL) != QN_READ_LINE)
        return qn_interrupted() ? QN_LINE_INTERRUPTED : QN_LINE_END;
    *line = without_end(text, n);
    return QN_LINE;
}

void qn_lines_remember(qn_lines *l, const char *line)
{
    HistEvent ev;
    if (l->hist && *line)
        history(l->hist, &ev, H_ENTER, line);
}
