/* help.c - see help.h. */
#include "cli/help.h"

#include "cli/commands.h"
#include "cli/option_int.h"
#include "cli/terminal.h"

#include <stdio.h>
#include <string.h>

#define INDENT 28

const char *qn_opt_arg(const qn_opt *o)
{
    static const char *const names[] = {
        [QN_OPT_INT] = "N",      [QN_OPT_REAL] = "X",
        [QN_OPT_SIZE] = "BYTES", [QN_OPT_TEXT] = "TEXT",
        [QN_OPT_FILE] = "FILE",  [QN_OPT_DIR] = "DIR",
        [QN_OPT_JSON] = "JSON",  [QN_OPT_SOURCE] = "TEXT",
        [QN_OPT_LIST] = "TEXT",  [QN_OPT_IDS] = "IDS"};
    if (o->type == QN_OPT_FLAG)
        return NULL;
    return o->arg ? o->arg : names[o->type];
}

void qn_opt_describe(const qn_opt *o, qn_str *out)
{
    qn_str_adds(out, o->help);
    if (o->def && o->type != QN_OPT_FLAG)
        qn_str_addf(out, " Default: %s.", o->def);
    if (o->def && o->type == QN_OPT_FLAG && strcmp(o->def, "true") == 0)
        qn_str_addf(out, " On unless --no-%s is given.", o->name);
    if (o->also) {
        qn_str_adds(out, " Also --");
        for (const char *p = o->also; *p; p++)
            if (*p == ' ')
                qn_str_adds(out, ", --");
            else
                qn_str_addc(out, *p);
        qn_str_addc(out, '.');
    }
    if (o->env)
        qn_str_addf(out, " Environment: %s.", o->env);
}

void qn_command_each(const qn_command *cmd,
                     void (*fn)(void *user, const char *title, const qn_opt *o),
                     void *user)
{
    for (const qn_opt_group *g = cmd->groups; g && g->title; g++)
        for (const qn_opt *o = g->opts; o->name; o++)
            fn(user, g->title, o);
    for (const qn_opt *o = qn_general_opts; o->name; o++)
        fn(user, "General", o);
}

/* Words of text, broken before column `width`, the next lines indented. The
 * first begins at column `at`. */
static void wrap(const char *text, int at, int indent, int width)
{
    int col = at;
    for (const char *p = text; *p;) {
        if (*p == '\n') {
            fputc('\n', stdout);
            col = 0;
            p++;
            continue;
        }
        size_t n = strcspn(p, " \n");
        if (col > indent && col + 1 + (int)n > width) {
            printf("\n%*s", indent, "");
            col = indent;
        } else if (col < indent) {
            printf("%*s", indent - col, "");
            col = indent;
        } else if (col > indent) {
            fputc(' ', stdout);
            col++;
        }
        fwrite(p, 1, n, stdout);
        col += (int)n;
        p += n;
        p += strspn(p, " ");
    }
    fputc('\n', stdout);
}

typedef struct page {
    const char *title; /* of the group before */
    int width;
} page;

static void heading(const char *text)
{
    printf("\n%s%s%s\n", qn_style_on(stdout, QN_STYLE_BOLD), text,
           qn_style_on(stdout, QN_STYLE_NONE));
}

static void print_option(void *user, const char *title, const qn_opt *o)
{
    page *pg = user;
    char left[128];
    const char *arg = qn_opt_arg(o);
    if (!pg->title || strcmp(pg->title, title) != 0)
        heading(title);
    pg->title = title;
    bool shown = o->def && o->type == QN_OPT_FLAG &&
                 strcmp(o->def, "true") == 0;
    int n = snprintf(left, sizeof left, "  %c%c%s --%s%s%s%s",
                     o->letter ? '-' : ' ', o->letter ? o->letter : ' ',
                     o->letter ? "," : " ", shown ? "[no-]" : "", o->name,
                     arg ? " " : "", arg ? arg : "");
    printf("%s%s%s", qn_style_on(stdout, QN_STYLE_CYAN), left,
           qn_style_on(stdout, QN_STYLE_NONE));
    if (n >= INDENT) {
        putchar('\n');
        n = 0;
    }
    qn_str text;
    qn_str_init(&text);
    qn_opt_describe(o, &text);
    wrap(text.p, n, INDENT, pg->width);
    qn_str_deinit(&text);
}

static int page_width(void)
{
    return QN_MIN(qn_columns(stdout), 100);
}

void qn_help_command(const qn_command *cmd)
{
    page pg = {.width = page_width()};
    printf("Usage: quern %s [options]%s%s\n\n", cmd->name,
           *cmd->operands ? " " : "", cmd->operands);
    wrap(cmd->about, 0, 0, pg.width);
    if (cmd->examples) {
        heading("Examples");
        for (const qn_example *e = cmd->examples; e->line; e++) {
            printf("  %s\n", e->line);
            if (e->what)
                printf("      %s%s%s\n", qn_style_on(stdout, QN_STYLE_DIM),
                       e->what, qn_style_on(stdout, QN_STYLE_NONE));
        }
    }
    qn_command_each(cmd, print_option, &pg);
    printf("\nOptions may be written with - or _; a flag overrides the "
           "environment, that a\n--config file, that the default.\n");
}

void qn_help_program(void)
{
    printf("quern %s: runs open-weights language models as they were "
           "downloaded\n\nUsage: quern COMMAND [options]\n",
           qn_version());
    heading("Commands");
    for (size_t i = 0; qn_commands[i]; i++)
        printf("  %s%-12s%s %s\n", qn_style_on(stdout, QN_STYLE_CYAN),
               qn_commands[i]->name, qn_style_on(stdout, QN_STYLE_NONE),
               qn_commands[i]->summary);
    heading("Try");
    printf("  quern run --prompt \"Once upon a time\"    the built-in model\n"
           "  quern chat --model DIR                    a model of yours\n"
           "  quern COMMAND --help                      options, examples\n");
}
