/* cmd_tokenize.c - quern tokenize: text to token ids. */
#include "cli/commands.h"

#include "cli/request_args.h"
#include "cli/text_lines.h"

#include <stdlib.h>

static const qn_opt opts[] = {
    {"model", 'm', QN_OPT_FILE, .arg = "MODEL",
     .help = "The model, instead of the first word; \"builtin\" is the "
             "built-in one. A tokenizer without a network will do.",
     .also = "model-path model-name-or-path", .env = "QUERN_MODEL"},
    {"file", 'f', QN_OPT_FILE,
     .help = "The text is this file, as it is; - is standard input."},
    {"jsonl", 0, QN_OPT_FLAG,
     .help = "One JSON string per line in, one JSON list of ids per line out."},
    {"special", 0, QN_OPT_FLAG,
     .help = "Add what the model wants around a text (begin of sequence and "
             "such).",
     .def = "true"},
    {"parse-special", 0, QN_OPT_FLAG,
     .help = "Special tokens written out in the text become their ids; without "
             "it they are ordinary text.",
     .def = "true"},
    {"fit", 0, QN_OPT_FLAG,
     .help = "Cut and fill as the truncation and padding sections of "
             "tokenizer.json say, where it has them. Prompts are never cut.",
     .def = "true"},
    {"show", 0, QN_OPT_FLAG,
     .help = "One token per line, with its spelling in the vocabulary."},
    {"count", 0, QN_OPT_FLAG, .help = "Only how many there are."},
    {0},
};

static const qn_opt_group groups[] = {{"Text", opts}, {0}};

static const qn_example examples[] = {
    {"quern tokenize DIR \"some text\"", "ids, separated by blanks"},
    {"quern tokenize -m builtin --show \"some text\"",
     "one token per line, of the built-in model"},
    {"quern tokenize FILE.gguf --count <book.txt", "how long is it?"},
    {"quern tokenize DIR --jsonl --no-special <strings.jsonl", "for scripts"},
    {0},
};

static int encode(const qn_args *a, const qn_model *m, const char *text,
                  size_t n, int32_t **ids, size_t *n_ids, qn_err *err)
{
    bool special = qn_args_flag(a, "special");
    bool parse = qn_args_flag(a, "parse-special");
    return qn_args_flag(a, "fit")
               ? qn_tokenize_fit(m, text, n, special, parse, ids, n_ids, err)
               : qn_tokenize(m, text, n, special, parse, ids, n_ids, err);
}

static void show(const qn_model *m, const int32_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t len = 0;
        const char *text = qn_token_text(m, ids[i], &len);
        json_t *s = json_stringn(text ? text : "", text ? len : 0);
        char *quoted = s ? json_dumps(s, JSON_ENCODE_ANY) : NULL;
        printf("%7d  %s\n", (int)ids[i], quoted ? quoted : "(bytes)");
        free(quoted);
        json_decref(s);
    }
}

static void print_ids(const int32_t *ids, size_t n, bool list)
{
    if (list)
        putchar('[');
    for (size_t i = 0; i < n; i++)
        printf("%s%d", i == 0 ? "" : list ? ", " : " ", (int)ids[i]);
    printf(list ? "]\n" : "\n");
}

static int one_text(const qn_args *a, const qn_model *m, const char *text,
                    size_t n, qn_err *err)
{
    int32_t *ids;
    size_t n_ids;
    QN_TRY(encode(a, m, text, n, &ids, &n_ids, err));
    if (qn_args_flag(a, "count"))
        printf("%zu\n", n_ids);
    else if (qn_args_flag(a, "show"))
        show(m, ids, n_ids);
    else
        print_ids(ids, n_ids, false);
    qn_free(ids);
    return 0;
}

static int one_line(const qn_args *a, const qn_model *m, const json_t *v,
                    const char *where, qn_err *err)
{
    int32_t *ids;
    size_t n;
    if (!json_is_string(v))
        return qn_fail(err, QN_EFORMAT, "%s: expected a JSON string", where);
    QN_TRY(encode(a, m, json_string_value(v), json_string_length(v), &ids, &n,
                  err));
    print_ids(ids, n, true);
    qn_free(ids);
    return 0;
}

static int tokenize(qn_args *a, qn_err *err)
{
    static const qn_text_work work = {"the text is given", one_text, one_line};
    if (qn_args_flag(a, "jsonl") &&
        (qn_args_flag(a, "show") || qn_args_flag(a, "count")))
        return qn_usage(err, "--jsonl has a form of its own; leave --show and "
                             "--count out");
    return qn_text_work_run(&work, a, err);
}

const qn_command qn_cmd_tokenize = {
    .name = "tokenize",
    .summary = "text to token ids",
    .operands = "MODEL [TEXT]",
    .max_operands = -1,
    .about = "Prints the token ids of a text, exactly as its tokenizer is "
             "written. Without TEXT it is read from standard input.",
    .examples = examples,
    .groups = groups,
    .run = tokenize,
};
