/* manual.c - see manual.h. In the man(7) macros. */
#include "cli/manual.h"

#include "base/file.h"
#include "cli/commands.h"
#include "cli/option_int.h"

#include <stdlib.h>
#include <string.h>

/* Text as roff reads it: no control lines, dashes that can be copied. */
static void roff(qn_str *out, const char *text)
{
    bool start = true;
    for (const char *p = text; *p; p++) {
        if (start && (*p == '.' || *p == '\''))
            qn_str_adds(out, "\\&");
        if (*p == '\\')
            qn_str_adds(out, "\\e");
        else if (*p == '-')
            qn_str_adds(out, "\\-");
        else if (*p == '|') /* long lists of choices may be broken there */
            qn_str_adds(out, "|\\:");
        else if (*p == '\n' && p[1] == '\n')
            qn_str_adds(out, "\n.PP"), p++, qn_str_addc(out, '\n');
        else
            qn_str_addc(out, *p);
        start = p[0] == '\n';
    }
}

typedef struct man_page {
    qn_str *out;
    const char *title;
} man_page;

static void man_option(void *user, const char *title, const qn_opt *o)
{
    man_page *m = user;
    const char *arg = qn_opt_arg(o);
    if (!m->title || strcmp(m->title, title) != 0)
        qn_str_addf(m->out, ".SS %s\n", title);
    m->title = title;
    qn_str_adds(m->out, ".TP\n");
    if (o->letter)
        qn_str_addf(m->out, "\\fB\\-%c\\fR, ", o->letter);
    qn_str_adds(m->out, "\\fB\\-\\-");
    roff(m->out, o->name);
    qn_str_adds(m->out, "\\fR");
    if (arg) {
        qn_str_adds(m->out, " \\fI");
        roff(m->out, arg);
        qn_str_adds(m->out, "\\fR");
    }
    qn_str_addc(m->out, '\n');
    qn_str text;
    qn_str_init(&text);
    qn_opt_describe(o, &text);
    roff(m->out, text.p);
    qn_str_addc(m->out, '\n');
    qn_str_deinit(&text);
}

static const char status_text[] =
    ".SH EXIT STATUS\n"
    "0: done. 1: failed, a message on standard error says why. 2: called "
    "wrongly. 130: interrupted.\n";

static void dashed(qn_str *out, const char *name)
{
    for (const char *p = name; *p; p++)
        qn_str_addc(out, *p == ' ' ? '-' : *p);
}

static void man_head(qn_str *out, const char *page, const char *summary)
{
    qn_str_addf(out, ".TH %s 1 \"\" \"quern %s\"\n.ad l\n.SH NAME\n", page,
                qn_version());
    roff(out, page);
    qn_str_adds(out, " \\- ");
    roff(out, summary);
    qn_str_addc(out, '\n');
}

static void man_command(const qn_command *cmd, const char *page, qn_str *out)
{
    man_page m = {.out = out};
    man_head(out, page, cmd->summary);
    qn_str_addf(out, ".SH SYNOPSIS\n\\fBquern %s\\fR [options] ", cmd->name);
    roff(out, cmd->operands);
    qn_str_adds(out, "\n.SH DESCRIPTION\n");
    roff(out, cmd->about);
    qn_str_adds(out, "\n.SH OPTIONS\n");
    qn_command_each(cmd, man_option, &m);
    if (cmd->examples)
        qn_str_adds(out, ".SH EXAMPLES\n");
    for (const qn_example *e = cmd->examples; e && e->line; e++) {
        qn_str_adds(out, ".TP\n\\fB");
        roff(out, e->line);
        qn_str_adds(out, "\\fR\n");
        roff(out, e->what ? e->what : "");
        qn_str_addc(out, '\n');
    }
    qn_str_adds(out, status_text);
}

static void man_program(qn_str *out)
{
    man_head(out, "quern", "run and serve open-weights language models");
    qn_str_adds(out, ".SH SYNOPSIS\n\\fBquern\\fR COMMAND [options]\n"
                     ".SH DESCRIPTION\n"
                     "Takes a language model as it was downloaded, a Hugging "
                     "Face folder or a GGUF file, and generates text with "
                     "it.\n.SH COMMANDS\n");
    for (size_t i = 0; qn_commands[i]; i++) {
        qn_str_adds(out, ".TP\n\\fBquern\\-");
        dashed(out, qn_commands[i]->name);
        qn_str_adds(out, "\\fR(1)\n");
        roff(out, qn_commands[i]->summary);
        qn_str_addc(out, '\n');
    }
    qn_str_adds(out, status_text);
}

static int man_file(const char *dir, const char *page, qn_str *text,
                    qn_err *err)
{
    qn_str name;
    qn_str_init(&name);
    qn_str_addf(&name, "%s.1", page);
    char *path = qn_path_join(dir, name.p);
    int rc = qn_file_write(path, text->p, text->n, err);
    free(path);
    qn_str_deinit(&name);
    qn_str_deinit(text);
    return rc;
}

int qn_manual_write(const char *dir, qn_err *err)
{
    qn_str text, page;
    int rc;
    QN_TRY(qn_mkdirs(dir, err));
    qn_str_init(&text);
    man_program(&text);
    rc = man_file(dir, "quern", &text, err);
    for (size_t i = 0; rc == 0 && qn_commands[i]; i++) {
        qn_str_init(&page);
        qn_str_init(&text);
        qn_str_adds(&page, "quern-");
        dashed(&page, qn_commands[i]->name);
        man_command(qn_commands[i], page.p, &text);
        rc = man_file(dir, page.p, &text, err);
        qn_str_deinit(&page);
    }
    return rc;
}
