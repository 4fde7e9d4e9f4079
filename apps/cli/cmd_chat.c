/* cmd_chat.c - quern chat: a conversation in the terminal. A line is a
 * question, or a command when it begins with a slash. */
#include "base/nearest.h"
#include "cli/commands.h"

#include "cli/conversation.h"
#include "cli/interrupt.h"
#include "cli/line_edit.h"
#include "cli/request_args.h"
#include "cli/terminal.h"

#include <stdlib.h>
#include <string.h>

static const qn_opt opts[] = {
    {"system", 0, QN_OPT_TEXT, .help = "What the model is told beforehand."},
    {"kwargs", 0, QN_OPT_FILE,
     .help = "A JSON object of further variables for the chat template."},
    {"load", 0, QN_OPT_FILE,
     .help = "Go on with a conversation that /save wrote."},
    {"history", 0, QN_OPT_FLAG,
     .help = "Remember what was typed for the next time.", .def = "true"},
    {"stats", 0, QN_OPT_FLAG, .help = "Tokens and times after each answer."},
    {0},
};

static const qn_opt_group groups[] = {
    {"Conversation", opts},     {"Model", qn_model_opts},
    {"Length", qn_length_opts}, {"Sampling", qn_sampling_opts},
    {"Engine", qn_engine_opts}, {0},
};

static const qn_example examples[] = {
    {"quern chat", "with the built-in model"},
    {"quern chat DIR --system \"Answer in one sentence.\"", NULL},
    {"quern chat FILE.gguf --temperature 0.7 --top-p 0.9", NULL},
    {"printf '%s\\n' 'Hello!' 'Why?' | quern chat DIR", "two questions"},
    {0},
};

typedef struct chat {
    qn_talk talk;
    qn_lines *lines;
    bool stats, quit;
} chat;

/* ---- commands ------------------------------------------------------------ */

typedef struct chat_command {
    const char *name, *arg, *help;
    int (*run)(chat *c, const char *arg, qn_err *err);
} chat_command;

/* The i-th command; one without a name ends. */
static const chat_command *command_at(size_t i);

static void show_stats(const chat *c)
{
    const qn_request_stats *s = &c->talk.stats;
    qn_note("%d + %d tokens (%d of the prompt known already), first after "
            "%.0f ms, %.1f tok/s; %lld of %lld of the context",
            s->n_prompt, s->n_completion, s->n_cached, s->ttft_ms,
            s->decode_ms > 0 ? (s->n_completion - 1) / s->decode_ms * 1e3 : 0,
            (long long)c->talk.n_used, (long long)c->talk.n_ctx);
}

static void after_answer(const chat *c, bool cut)
{
    if (cut)
        qn_note("(interrupted)");
    else if (c->stats)
        show_stats(c);
}

static int run_help(chat *c, const char *arg, qn_err *err)
{
    (void)c;
    (void)arg;
    (void)err;
    const chat_command *k;
    for (size_t i = 0; (k = command_at(i))->name; i++)
        printf("  /%-8s %-12s %s\n", k->name, k->arg, k->help);
    printf("  A line that ends with \\ goes on in the next one; \"\"\" begins "
           "and ends several lines.\n"
           "  What is pasted is one question, however many lines it has.\n"
           "  Ctrl-C stops an answer, Ctrl-D leaves.\n");
    return 0;
}

static int run_quit(chat *c, const char *arg, qn_err *err)
{
    (void)arg;
    (void)err;
    c->quit = true;
    return 0;
}

static int run_clear(chat *c, const char *arg, qn_err *err)
{
    (void)arg;
    (void)err;
    qn_talk_clear(&c->talk);
    qn_note("(a new conversation)");
    return 0;
}

static int run_undo(chat *c, const char *arg, qn_err *err)
{
    (void)arg;
    if (!qn_talk_undo(&c->talk))
        return qn_fail(err, QN_ENOENT, "there is nothing to take back");
    qn_note("(the last question and its answer are forgotten)");
    return 0;
}

static int run_retry(chat *c, const char *arg, qn_err *err)
{
    bool cut;
    (void)arg;
    QN_TRY(qn_talk_again(&c->talk, &cut, err));
    after_answer(c, cut);
    return 0;
}

static int run_system(chat *c, const char *arg, qn_err *err)
{
    const char *now = qn_talk_system(&c->talk);
    (void)err;
    if (*arg) {
        qn_talk_set_system(&c->talk, strcmp(arg, "-") == 0 ? NULL : arg);
        return 0;
    }
    qn_note("%s", now ? now : "(no system message; /system TEXT sets one)");
    return 0;
}

static int run_save(chat *c, const char *arg, qn_err *err)
{
    if (!*arg)
        return qn_fail(err, QN_EINVAL, "where to? /save FILE");
    QN_TRY(qn_talk_save(&c->talk, arg, err));
    qn_note("(saved; --load %s or /load %s goes on with it)", arg, arg);
    return 0;
}

static int run_load(chat *c, const char *arg, qn_err *err)
{
    if (!*arg)
        return qn_fail(err, QN_EINVAL, "which file? /load FILE");
    QN_TRY(qn_talk_load(&c->talk, arg, err));
    qn_note("(%zu messages)", json_array_size(c->talk.said));
    return 0;
}

static bool may_set(const qn_opt *o)
{
    const qn_opt *const tables[] = {qn_length_opts, qn_sampling_opts};
    for (size_t i = 0; i < QN_COUNTOF(tables); i++)
        for (const qn_opt *t = tables[i]; t->name; t++)
            if (t == o)
                return true;
    return false;
}

static void show_settings(const chat *c)
{
    const qn_args *a = c->talk.args;
    for (size_t i = 0; i < a->values.n; i++) {
        const qn_value *v = &a->values.v[i];
        if (may_set(v->opt) && v->from > QN_FROM_DEFAULT)
            printf("  %-20s %s\n", v->opt->name, qn_args_text(a, v->opt->name));
    }
    qn_note("(all else as the model has it; /set NAME VALUE, names as in "
            "quern chat --help)");
}

static int run_set(chat *c, const char *arg, qn_err *err)
{
    size_t n = strcspn(arg, " =");
    const char *value = arg + n + strspn(arg + n, " =");
    if (n == 0) {
        show_settings(c);
        return 0;
    }
    char *name = qn_xstrndup(arg, n);
    const qn_opt *o = qn_args_find(c->talk.args, name);
    int rc;
    if (o && !may_set(o))
        rc = qn_fail(err, QN_EINVAL,
                     "%s is fixed once the conversation runs; start anew with "
                     "--%s",
                     o->name, o->name);
    else
        rc = qn_args_set(c->talk.args, name,
                         *value || !o || o->type != QN_OPT_FLAG ? value
                                                                : "true",
                         err);
    free(name);
    return rc;
}

static int run_stats(chat *c, const char *arg, qn_err *err)
{
    (void)arg;
    (void)err;
    c->stats = !c->stats;
    if (c->stats && c->talk.stats.n_prompt)
        show_stats(c);
    else
        qn_note("(statistics after each answer: %s)", c->stats ? "on" : "off");
    return 0;
}

static const chat_command commands[] = {
    {"help", "", "this list", run_help},
    {"clear", "", "begin a new conversation", run_clear},
    {"undo", "", "forget the last question and its answer", run_undo},
    {"retry", "", "another answer to the last question", run_retry},
    {"system", "[TEXT]", "show or set the system message; - removes it",
     run_system},
    {"set", "[NAME X]", "show or change settings: /set temperature 0.7",
     run_set},
    {"save", "FILE", "write the conversation as JSON", run_save},
    {"load", "FILE", "go on with one", run_load},
    {"stats", "", "tokens and times after each answer, on or off", run_stats},
    {"quit", "", "leave; also /exit, /bye, Ctrl-D", run_quit},
    {0},
};

static const chat_command *command_at(size_t i)
{
    return &commands[i];
}

static const char *offer(void *user, size_t i)
{
    (void)user;
    return commands[i].name;
}

static int run_command(chat *c, const char *line, qn_err *err)
{
    size_t n = strcspn(line, " ");
    const char *arg = line + n + strspn(line + n, " ");
    char *name = qn_xstrndup(line, n);
    int rc = -1;
    const chat_command *k = commands;
    if (strcmp(name, "exit") == 0 || strcmp(name, "bye") == 0) {
        free(name);
        return run_quit(c, arg, err);
    }
    while (k->name && strcmp(k->name, name) != 0)
        k++;
    if (k->name) {
        rc = k->run(c, arg, err);
    } else {
        const char *near = qn_nearest(name, offer, NULL);
        rc = near ? qn_fail(err, QN_EINVAL,
                            "there is no /%s; did you mean /%s?", name, near)
                  : qn_fail(err, QN_EINVAL, "there is no /%s; /help lists them",
                            name);
    }
    free(name);
    return rc;
}

/* ---- reading ------------------------------------------------------------- */

static char prompt_text[64], more_text[64];

/* \1 marks what takes no room on the screen. The blank comes last: libedit
 * writes such marks before the character that follows, or never. */
static void make_prompts(void)
{
    const char *bold = qn_style_on(stdout, QN_STYLE_BOLD);
    const char *none = qn_style_on(stdout, QN_STYLE_NONE);
    const char *mark = *bold ? "\1" : "";
    snprintf(prompt_text, sizeof prompt_text, "%s%s%s>%s%s%s ", mark, bold,
             mark, mark, none, mark);
    snprintf(more_text, sizeof more_text, "%s%s%s.%s%s%s ", mark, bold, mark,
             mark, none, mark);
}

#define QUOTES "\"\"\""

/* A question or command, maybe of several lines. */
static qn_line_kind read_question(chat *c, qn_str *out)
{
    const char *line;
    bool quoted = false, more = true;
    qn_str_clear(out);
    for (bool first = true; more; first = false) {
        qn_line_kind kind =
            qn_lines_read(c->lines, first ? prompt_text : more_text, &line);
        if (kind != QN_LINE && kind != QN_LINE_PASTED)
            return first || kind == QN_LINE_INTERRUPTED ? kind : QN_LINE;
        size_t n = strlen(line);
        if (!first && (out->n || !quoted)) /* quotes may stand alone */
            qn_str_addc(out, '\n');
        if (first && qn_starts(line, QUOTES)) {
            quoted = true;
            line += 3;
            n -= 3;
        }
        bool closed = quoted && n >= 3 && strcmp(line + n - 3, QUOTES) == 0;
        quoted = quoted && !closed;
        n -= closed ? 3 : 0;
        bool goes_on = !quoted && !closed && n > 0 && line[n - 1] == '\\';
        more = quoted || goes_on || kind == QN_LINE_PASTED;
        n -= goes_on && kind == QN_LINE;
        qn_str_add(out, line, n);
        qn_lines_remember(c->lines, line);
    }
    while (out->n && out->p[out->n - 1] == '\n')
        out->p[--out->n] = 0;
    return QN_LINE;
}

static bool blank(const char *s)
{
    return s[strspn(s, " \t\n")] == 0;
}

/* Answers one line. Mistakes do not end the conversation. */
static int respond(chat *c, const char *line, qn_err *err)
{
    bool cut = false;
    bool is_command = line[0] == '/' && !strchr(line, '\n');
    int rc;
    if (blank(line))
        return 0;
    if (is_command) {
        rc = run_command(c, line + 1, err);
    } else {
        rc = qn_talk_ask(&c->talk, line, &cut, err);
        if (rc == 0)
            after_answer(c, cut);
    }
    return rc;
}

/* Interactively a failure is told and the next question awaited; a pipe stops
 * at it, as a script would. */
static int loop(chat *c, bool interactive, qn_err *err)
{
    qn_str line;
    int rc = 0;
    qn_str_init(&line);
    while (rc == 0 && !c->quit) {
        qn_line_kind kind = read_question(c, &line);
        if (kind == QN_LINE_END)
            break;
        if (kind == QN_LINE_INTERRUPTED) {
            if (!interactive || qn_interrupt_final()) {
                rc = qn_fail(err, QN_ECANCEL, "interrupted");
                break;
            }
            qn_note("(Ctrl-D or /quit leaves)");
            qn_interrupt_clear();
            continue;
        }
        rc = respond(c, line.p ? line.p : "", err);
        if (qn_interrupt_final() || (!interactive && qn_interrupted()))
            rc = qn_fail(err, QN_ECANCEL, "interrupted");
        else if (rc < 0 && interactive) {
            qn_complain("quern chat", err->msg);
            rc = 0;
        }
        if (rc == 0)
            qn_interrupt_clear();
    }
    qn_str_deinit(&line);
    return rc;
}

static int begin(chat *c, qn_args *a, qn_err *err)
{
    const char *load = qn_args_text(a, "load");
    QN_TRY(qn_talk_open(&c->talk, a, err));
    if (load)
        QN_TRY(qn_talk_load(&c->talk, load, err));
    if (qn_args_given(a, "system"))
        qn_talk_set_system(&c->talk, qn_args_text(a, "system"));
    return 0;
}

static int run_chat(qn_args *a, qn_err *err)
{
    chat c = {.stats = qn_args_flag(a, "stats")};
    bool interactive = qn_is_terminal(stdin) && qn_is_terminal(stdout);
    qn_interrupt_watch();
    int rc = begin(&c, a, err);
    if (rc == 0) {
        make_prompts();
        c.lines = qn_lines_open(qn_args_flag(a, "history"));
        if (interactive && !qn_args_flag(a, "quiet"))
            qn_note("/help lists the commands; Ctrl-C stops an answer, Ctrl-D "
                    "leaves");
        rc = loop(&c, interactive, err);
        qn_lines_close(c.lines);
    }
    qn_talk_close(&c.talk);
    return rc;
}

static int check_chat(qn_args *a, qn_err *err)
{
    QN_TRY(qn_engine_args_check(a, err));
    return qn_request_args_check(a, err);
}

const qn_command qn_cmd_chat = {
    .name = "chat",
    .summary = "a conversation in the terminal",
    .operands = "[MODEL]",
    .max_operands = 1,
    .about = "Talks with a model through its chat template. A line is a "
             "question; /help lists the commands. Ctrl-C stops an answer, "
             "Ctrl-D leaves. From a pipe every line is a question.",
    .examples = examples,
    .groups = groups,
    .run = run_chat,
    .check = check_chat,
};
