/* completion.c - see completion.h.
 *
 * The scripts are generated whole: they never call the program, so that a tab
 * costs nothing. */
#include "cli/completion.h"

#include "cli/commands.h"
#include "cli/option_int.h"

#include <stdio.h>
#include <string.h>

/* ---- bash ---------------------------------------------------------------- */

static void bash_name(void *user, const char *title, const qn_opt *o)
{
    (void)user;
    (void)title;
    printf(" --%s", o->name);
    if (o->def && o->type == QN_OPT_FLAG && strcmp(o->def, "true") == 0)
        printf(" --no-%s", o->name);
}

/* A choice, or a text of which some are named. */
static bool has_words(const qn_opt *o)
{
    return o->type == QN_OPT_CHOICE ||
           (o->type == QN_OPT_TEXT && o->arg && strchr(o->arg, '|'));
}

/* A case of the option before the word: what may follow it. */
static void bash_value(void *user, const char *title, const qn_opt *o)
{
    (void)user;
    (void)title;
    if (o->type == QN_OPT_FLAG)
        return;
    printf("        ");
    if (o->letter)
        printf("-%c|", o->letter);
    printf("--%s) ", o->name);
    if (has_words(o)) {
        printf("words=\"");
        for (const char *p = o->arg; *p; p++)
            putchar(*p == '|' ? ' ' : *p);
        printf("\" ;;\n");
    } else if (o->type == QN_OPT_FILE || o->type == QN_OPT_IDS) {
        printf("files=-f ;;\n");
    } else if (o->type == QN_OPT_DIR) {
        printf("files=-d ;;\n");
    } else {
        printf("return ;;\n");
    }
}

static void bash_case(const qn_command *cmd)
{
    printf("    \"%s\")\n        case $before in\n", cmd->name);
    qn_command_each(cmd, bash_value, NULL);
    printf("        *) if [[ $word == -* ]]; then\n            words=\"");
    qn_command_each(cmd, bash_name, NULL);
    printf("\"\n            else files=-f; fi ;;\n        esac ;;\n");
}

static void bash_commands(void)
{
    for (size_t i = 0; qn_commands[i]; i++)
        if (!strchr(qn_commands[i]->name, ' '))
            printf(" %s", qn_commands[i]->name);
}

/* "=" is a word of its own to bash: --name=value is three. */
static void print_bash(void)
{
    printf("# bash completion for quern; generated from its option tables\n"
           "_quern()\n{\n"
           "    local word=${COMP_WORDS[COMP_CWORD]}\n"
           "    local before=${COMP_WORDS[COMP_CWORD-1]}\n"
           "    local command=${COMP_WORDS[1]} words= files=\n"
           "    COMPREPLY=()\n"
           "    [[ $word == = ]] && word=\n"
           "    [[ $before == = ]] && before=${COMP_WORDS[COMP_CWORD-2]}\n"
           "    if (( COMP_CWORD == 1 )); then\n"
           "        words=\"help --help --version");
    bash_commands();
    printf("\"\n    elif [[ $command == help ]]; then\n        words=\"");
    bash_commands();
    printf("\"\n    else\n"
           "    (( COMP_CWORD > 2 )) && case \"$command ${COMP_WORDS[2]}\" in\n"
           "    none");
    for (size_t i = 0; qn_commands[i]; i++)
        if (strchr(qn_commands[i]->name, ' '))
            printf("|\"%s\"", qn_commands[i]->name);
    printf(") command+=\" ${COMP_WORDS[2]}\" ;;\n    esac\n"
           "    case $command in\n");
    for (size_t i = 0; qn_commands[i]; i++)
        bash_case(qn_commands[i]);
    printf("    esac\n    fi\n"
           "    if [[ -n $files ]]; then\n"
           "        compopt -o filenames\n"
           "        mapfile -t COMPREPLY < <(compgen $files -- \"$word\")\n"
           "    else\n"
           "        mapfile -t COMPREPLY < <(compgen -W \"$words\" -- "
           "\"$word\")\n"
           "    fi\n}\ncomplete -F _quern quern\n");
}

/* ---- zsh ----------------------------------------------------------------- */

/* Inside a quoted _arguments specification. */
static void zsh_text(const char *text, size_t n)
{
    for (size_t i = 0; i < n && text[i]; i++) {
        if (text[i] == '\'') {
            printf("'\\''");
            continue;
        }
        if (strchr("[]:\\", text[i]))
            putchar('\\');
        putchar(text[i]);
    }
}

/* The first sentence of the help. */
static size_t first_sentence(const char *help)
{
    const char *dot = strstr(help, ". ");
    size_t n = dot ? (size_t)(dot - help) : strlen(help);
    return n && help[n - 1] == '.' ? n - 1 : n;
}

static void zsh_spec(const char *dashes, const char *name, const qn_opt *o)
{
    const char *arg = qn_opt_arg(o);
    printf("        '%s%s%s[", o->type == QN_OPT_LIST ? "*" : "", dashes, name);
    zsh_text(o->help, first_sentence(o->help));
    putchar(']');
    if (has_words(o)) {
        printf(":value:(");
        for (const char *p = o->arg; *p; p++)
            putchar(*p == '|' ? ' ' : *p);
        putchar(')');
    } else if (arg) {
        putchar(':');
        zsh_text(arg, strlen(arg));
        printf(":%s", o->type == QN_OPT_FILE || o->type == QN_OPT_IDS ? "_files"
                      : o->type == QN_OPT_DIR ? "_files -/"
                                              : "");
    }
    printf("' \\\n");
}

static void zsh_option(void *user, const char *title, const qn_opt *o)
{
    char letter[2] = {o->letter, 0};
    (void)user;
    (void)title;
    zsh_spec("--", o->name, o);
    if (o->letter)
        zsh_spec("-", letter, o);
}

static void print_zsh(void)
{
    printf("#compdef quern\n# generated from quern's option tables\n"
           "_quern() {\n"
           "    local -a commands\n    commands=(\n");
    for (size_t i = 0; qn_commands[i]; i++) {
        if (strchr(qn_commands[i]->name, ' '))
            continue;
        printf("        '%s:", qn_commands[i]->name);
        zsh_text(qn_commands[i]->summary, strlen(qn_commands[i]->summary));
        printf("'\n");
    }
    printf("    )\n    if (( CURRENT == 2 )); then\n"
           "        _describe command commands\n        return\n    fi\n"
           "    shift words\n    (( CURRENT-- ))\n    local name=$words[1]\n"
           "    case \"$words[1] $words[2]\" in\n    none");
    for (size_t i = 0; qn_commands[i]; i++)
        if (strchr(qn_commands[i]->name, ' '))
            printf("|'%s'", qn_commands[i]->name);
    printf(") name=\"$words[1] $words[2]\"; shift words; (( CURRENT-- )) ;;\n"
           "    esac\n    case $name in\n"
           "    help) _describe command commands ;;\n");
    for (size_t i = 0; qn_commands[i]; i++) {
        printf("    '%s') _arguments -S \\\n", qn_commands[i]->name);
        qn_command_each(qn_commands[i], zsh_option, NULL);
        printf("        '*:file:_files' ;;\n");
    }
    printf("    esac\n}\n_quern \"$@\"\n");
}

int qn_completion_print(const char *shell, qn_err *err)
{
    if (strcmp(shell, "bash") == 0)
        print_bash();
    else if (strcmp(shell, "zsh") == 0)
        print_zsh();
    else
        return qn_usage(err,
                        "completion is there for bash and zsh, not '%.40s'",
                        shell);
    return 0;
}
