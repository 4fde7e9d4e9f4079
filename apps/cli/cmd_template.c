/* cmd_template.c - quern template: messages to the prompt that the model's
 * chat template makes of them, byte for byte. */
#include "cli/commands.h"

#include "cli/prompts.h"
#include "cli/terminal.h"
#include "cli/text_lines.h"

#include <string.h>

static const qn_opt opts[] = {
    {"model", 'm', QN_OPT_FILE, .arg = "MODEL",
     .help = "The model, instead of the first word; \"builtin\" is the "
             "built-in one. A tokenizer_config.json alone will do.",
     .also = "model-path model-name-or-path", .env = "QUERN_MODEL"},
    {"messages", 0, QN_OPT_FILE,
     .help = "A JSON list of {\"role\", \"content\", ...}; - is standard "
             "input."},
    {"tools", 0, QN_OPT_FILE, .help = "A JSON list of tool definitions."},
    {"kwargs", 0, QN_OPT_FILE,
     .help = "A JSON object of further template variables."},
    {"generation-prompt", 0, QN_OPT_FLAG,
     .help = "End with the beginning of the assistant's turn.", .def = "true"},
    {"token-ids", 0, QN_OPT_FLAG,
     .help = "Print the prompt's token ids instead of its text."},
    {0},
};

static const qn_opt_group groups[] = {{"Template", opts}, {0}};

static const qn_example examples[] = {
    {"quern template DIR --messages chat.json", NULL},
    {"echo '[{\"role\":\"user\",\"content\":\"Hi\"}]' | quern template DIR "
     "--messages -",
     NULL},
    {"quern template DIR --messages chat.json --tools tools.json "
     "--no-generation-prompt",
     NULL},
    {0},
};

/* NULL when the option is not given. */
static int slurp(const qn_args *a, const char *name, char **text, qn_err *err)
{
    const char *path = qn_args_text(a, name);
    size_t n;
    return path ? qn_read_input(path, text, &n, err) : 0;
}

static int print_ids(const qn_model *m, const char *text, size_t n, qn_err *err)
{
    int32_t *ids;
    size_t n_ids;
    QN_TRY(qn_tokenize(m, text, n, false, true, &ids, &n_ids, err));
    for (size_t i = 0; i < n_ids; i++)
        printf("%s%d", i ? " " : "", (int)ids[i]);
    putchar('\n');
    qn_free(ids);
    return 0;
}

static int render(qn_args *a, qn_err *err)
{
    qn_model *m = NULL;
    char *messages = NULL, *tools = NULL, *kwargs = NULL, *text = NULL;
    size_t n = 0, first;
    int rc = 0;
    QN_TRY(qn_text_operands(a, &first, err));
    if (a->operands.n > first)
        return qn_usage(err, "one word too many: '%.60s'",
                        qn_args_operand(a, first));
    if (!qn_args_given(a, "messages"))
        return qn_usage(err, "which messages? --messages FILE, or - for "
                             "standard input");
    QN_TRY_OUT(slurp(a, "messages", &messages, err));
    QN_TRY_OUT(slurp(a, "tools", &tools, err));
    QN_TRY_OUT(slurp(a, "kwargs", &kwargs, err));
    QN_TRY_OUT(qn_open_text_model(&m, a, err));
    QN_TRY_OUT(qn_chat_render(m, messages, tools,
                              qn_args_flag(a, "generation-prompt"), kwargs,
                              &text, &n, err));
    if (qn_args_flag(a, "token-ids"))
        QN_TRY_OUT(print_ids(m, text, n, err));
    else
        qn_put_text(stdout, text, n);
out:
    qn_free(messages);
    qn_free(tools);
    qn_free(kwargs);
    qn_free(text);
    qn_model_close(m);
    return rc;
}

const qn_command qn_cmd_template = {
    .name = "template",
    .summary = "chat messages to the prompt that a model wants",
    .operands = "MODEL",
    .max_operands = -1,
    .about = "Renders the model's chat template, byte for byte: nothing is "
             "added at the end.",
    .examples = examples,
    .groups = groups,
    .run = render,
};
