/* commands.c - which subcommands there are, and from argv to exit status.
 *
 *     0    it did what was asked
 *     1    it failed; a message on stderr says why
 *     2    it was called wrongly; a message says how to call it
 *     130  it was interrupted */
#include "cli/commands.h"

#include "base/nearest.h"
#include "cli/completion.h"
#include "cli/foreign.h"
#include "cli/help.h"
#include "cli/interrupt.h"
#include "cli/manual.h"
#include "cli/schema.h"
#include "cli/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* In the order of the help: to use a model, to have one, to measure, to look
 * inside. A row is a line. */
/* clang-format off */
const qn_command *const qn_commands[] = {
    &qn_cmd_run,
    &qn_cmd_chat,
    &qn_cmd_serve,
    &qn_cmd_pull,
    &qn_cmd_info,
    &qn_cmd_optimize,
    &qn_cmd_eval,
    &qn_cmd_synth,
    &qn_cmd_bench,
    &qn_cmd_bench_serve,
    &qn_cmd_doctor,
    &qn_cmd_tokenize,
    &qn_cmd_detokenize,
    &qn_cmd_template,
    &qn_cmd_logits,
    NULL,
};
/* clang-format on */

enum {
    STATUS_OK = 0,
    STATUS_FAILED = 1,
    STATUS_USAGE = 2,
    STATUS_INTERRUPTED = 130
};

/* ---- which one ----------------------------------------------------------- */

/* Words of argv that the command's name takes, 0 if it is another. */
static int name_matches(const char *name, int argc, char **argv)
{
    int words = 0;
    while (words < argc) {
        size_t n = strlen(argv[words]);
        if (strncmp(name, argv[words], n) != 0)
            return 0;
        words++;
        if (!name[n])
            return words;
        if (name[n] != ' ')
            return 0;
        name += n + 1;
    }
    return 0;
}

/* The longest name that fits: "bench serve" before "bench". */
static const qn_command *choose(int argc, char **argv, int *words)
{
    const qn_command *best = NULL;
    *words = 0;
    for (size_t i = 0; qn_commands[i]; i++) {
        int n = name_matches(qn_commands[i]->name, argc, argv);
        if (n > *words) {
            *words = n;
            best = qn_commands[i];
        }
    }
    return best;
}

static const char *offer_command(void *user, size_t i)
{
    (void)user;
    return qn_commands[i] ? qn_commands[i]->name : NULL;
}

static int unknown_command(const char *word)
{
    qn_err err;
    const char *near = qn_nearest(word, offer_command, NULL);
    const char *hint = qn_foreign_command(word);
    if (hint)
        qn_usage(&err, "there is no command '%.60s'; %s", word, hint);
    else if (near)
        qn_usage(&err, "there is no command '%.60s'; did you mean 'quern %s'?",
                 word, near);
    else
        qn_usage(&err, "there is no command '%.60s'; 'quern --help' lists them",
                 word);
    qn_complain("quern", err.msg);
    return STATUS_USAGE;
}

/* ---- running it ---------------------------------------------------------- */

/* With the code behind it, under which docs/troubleshooting.md has it. */
static int report(const qn_command *cmd, int rc, const qn_err *err)
{
    char name[64], text[QN_ERR_MAX + 32];
    if (rc >= 0)
        return STATUS_OK;
    if (rc == QN_ECANCEL && qn_interrupted())
        return STATUS_INTERRUPTED;
    snprintf(name, sizeof name, "quern %s", cmd->name);
    if (rc == QN_USAGE) {
        qn_complain(name, err->msg);
        return STATUS_USAGE;
    }
    snprintf(text, sizeof text, "%s [%s]", err->msg, qn_code_name(rc));
    qn_complain(name, text);
    return STATUS_FAILED;
}

/* Output that could not be written is a failure like any other. */
static int flush_output(const qn_command *cmd, int status)
{
    char name[64], text[128];
    bool bad = ferror(stdout) != 0;
    errno = 0;
    if (fflush(stdout) == 0 && !bad)
        return status;
    snprintf(name, sizeof name, "quern%s%s", cmd ? " " : "",
             cmd ? cmd->name : "");
    snprintf(text, sizeof text, "standard output: %s",
             errno ? strerror(errno) : "write failed");
    qn_complain(name, text);
    return status == STATUS_OK ? STATUS_FAILED : status;
}

static int run_command(const qn_command *cmd, int argc, char **argv)
{
    qn_args a;
    qn_err err = {0};
    int rc = qn_args_parse(&a, cmd, argc, argv, &err);
    if (rc == 0 && !a.help && cmd->check)
        rc = cmd->check(&a, &err);
    if (rc == 0 && a.help) {
        qn_help_command(cmd);
    } else if (rc == 0 && qn_args_flag(&a, "check-config")) {
        qn_args_print(&a);
    } else if (rc == 0) {
        qn_show_log(qn_args_flag(&a, "verbose") ? 3 : 0);
        rc = cmd->run(&a, &err);
    }
    int status = report(cmd, rc, &err);
    qn_args_deinit(&a);
    return flush_output(cmd, status);
}

/* What is made from the tables for others to read. */
static const struct {
    const char *name, *wants;
    int (*make)(const char *of, qn_err *err);
} generators[] = {
    {"--generate-man", "a folder", qn_manual_write},
    {"--generate-completion", "bash or zsh", qn_completion_print},
    {"--generate-schema", "a command", qn_schema_print},
    {"--generate-api", "markdown", qn_serve_api_print},
};

static int generate(size_t i, const char *of)
{
    qn_err err = {0};
    int rc = of ? generators[i].make(of, &err)
                : qn_usage(&err, "%s wants %s", generators[i].name,
                           generators[i].wants);
    if (rc < 0)
        qn_complain("quern", err.msg);
    return rc == 0 ? STATUS_OK : rc == QN_USAGE ? STATUS_USAGE : STATUS_FAILED;
}

static int help(int argc, char **argv)
{
    int words;
    const qn_command *cmd = choose(argc, argv, &words);
    if (argc > 0 && !cmd)
        return unknown_command(argv[0]);
    if (cmd)
        qn_help_command(cmd);
    else
        qn_help_program();
    return STATUS_OK;
}

static bool is_one_of(const char *word, const char *a, const char *b)
{
    return strcmp(word, a) == 0 || strcmp(word, b) == 0;
}

/* A standard stream that is closed would give its number to the next file or
 * socket, which then got what is written to the stream. The null device takes
 * the place, so opened that reading and writing still fail. */
static void hold_standard_streams(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            (void)open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

int qn_cli_main(int argc, char **argv)
{
    int words;
    hold_standard_streams();
    setlocale(LC_CTYPE, "");
    if (argc < 2) {
        qn_help_program();
        return flush_output(NULL, STATUS_USAGE);
    }
    const char *first = argv[1];
    for (size_t i = 0; i < QN_COUNTOF(generators); i++)
        if (strcmp(first, generators[i].name) == 0)
            return flush_output(NULL, generate(i, argv[2]));
    if (is_one_of(first, "--version", "version") ||
        is_one_of(first, "-V", "-v")) {
        printf("quern %s\n", qn_version());
        return flush_output(NULL, STATUS_OK);
    }
    if (is_one_of(first, "--help", "-h") || strcmp(first, "help") == 0)
        return flush_output(NULL, help(argc - 2, argv + 2));
    const qn_command *cmd = choose(argc - 1, argv + 1, &words);
    if (!cmd)
        return unknown_command(first);
    return run_command(cmd, argc - 1 - words, argv + 1 + words);
}
