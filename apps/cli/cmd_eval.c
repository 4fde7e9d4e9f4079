/* cmd_eval.c - quern eval: how good a model is, and what making it small
 * cost. */
#include "cli/commands.h"

#include "base/file.h"
#include "cli/eval_compare.h"
#include "cli/eval_print.h"
#include "cli/interrupt.h"
#include "cli/request_args.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "eval/eval.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static const qn_opt text_opts[] = {
    {"text", 0, QN_OPT_FILE, .arg = "FILE",
     .help = "Read this text: perplexity, and beside a base the divergence.",
     .also = "text-file"},
    {"context", 'c', QN_OPT_INT, .arg = "N",
     .help = "Tokens of a window; 0: 2048, or what the model or the text has.",
     .def = "0", .also = "n-ctx ctx-size max-length", .lo = 0, .hi = 1 << 24},
    {"stride", 0, QN_OPT_INT, .arg = "N",
     .help = "From one window to the next; each window scores what none before "
             "it has. 0: windows side by side.",
     .def = "0", .lo = 0, .hi = 1 << 24},
    {"bos", 0, QN_OPT_CHOICE, .arg = "auto|none|each",
     .help = "The begin token: where the tokenizer puts it, nowhere, or before "
             "every window.",
     .def = "auto"},
    {"split", 0, QN_OPT_TEXT, .arg = "TEXT",
     .help = "The file holds documents with this between them, each read by "
             "itself."},
    {"max-tokens", 0, QN_OPT_INT, .arg = "N",
     .help = "Read no more of a document; 0: all.", .def = "0", .lo = 0,
     .hi = 9e15},
    {"positions", 0, QN_OPT_FILE, .arg = "FILE",
     .help = "Write a line for each position, as CSV."},
    {0},
};

static const qn_opt base_opts[] = {
    {"base", 0, QN_OPT_FILE, .arg = "MODEL",
     .help = "Compare with this model of the same vocabulary: KL divergence, "
             "agreement of the likeliest tokens.",
     .also = "base-model"},
    {"base-exact", 0, QN_OPT_FLAG,
     .help = "Compute the base as --exact does. Without --base the base is the "
             "model itself: what rounding its activations costs."},
    {"base-logits", 0, QN_OPT_FILE, .arg = "FILE",
     .help = "Compare with logits that --save-logits wrote."},
    {"save-logits", 0, QN_OPT_FILE, .arg = "FILE",
     .help = "Keep the model's logits for later comparisons: 4 bytes for each "
             "position and token of the vocabulary."},
    {"compare", 0, QN_OPT_FLAG,
     .help = "A table of all models named: size, quality on --text beside the "
             "first, speed."},
    {"speed", 0, QN_OPT_FLAG,
     .help = "With --compare: measure speed; --no-speed leaves it out.",
     .def = "true"},
    {0},
};

static const qn_opt task_opts[] = {
    {"task", 0, QN_OPT_CHOICE,
     .arg = "hellaswag|arc|piqa|winogrande|lambada|openbookqa|boolq|mmlu|gsm8k",
     .help = "Put the questions of this kind. All but gsm8k by the likelihood "
             "of the answers; gsm8k's are generated.",
     .also = "tasks"},
    {"data", 0, QN_OPT_FILE, .arg = "FILE",
     .help =
         "The questions: the data set's own file, a JSON object in a line."},
    {"fewshot", 0, QN_OPT_INT, .arg = "N",
     .help = "Solved questions before each one; of mmlu of its subject.",
     .def = "0", .also = "num-fewshot", .lo = 0, .hi = 1000},
    {"fewshot-data", 0, QN_OPT_FILE, .arg = "FILE",
     .help = "Where they come from, its first lines; without it those of "
             "--data, which are then not asked."},
    {"max-new-tokens", 'n', QN_OPT_INT, .arg = "N",
     .help = "Longest generated answer.", .def = "256", .lo = 1, .hi = 1 << 20},
    {"batch-size", 'b', QN_OPT_INT, .arg = "N",
     .help = "Answers that are generated together.", .def = "16", .lo = 1,
     .hi = 4096},
    {"chat", 0, QN_OPT_FLAG,
     .help = "gsm8k: ask through the model's chat template.",
     .also = "apply-chat-template"},
    {"samples", 0, QN_OPT_FILE, .arg = "FILE",
     .help = "Write what came of each question, a JSON object in a line.",
     .also = "log-samples"},
    {0},
};

static const qn_opt common_opts[] = {
    {"skip", 0, QN_OPT_INT, .arg = "N",
     .help = "Leave out the first documents or questions.", .def = "0", .lo = 0,
     .hi = 9e15},
    {"limit", 0, QN_OPT_INT, .arg = "N",
     .help = "At most so many documents or questions; 0: all.", .def = "0",
     .lo = 0, .hi = 9e15},
    {"kv-type", 0, QN_OPT_CHOICE, .arg = "auto|f32|f16|bf16|int8",
     .help = "Format of the KV cache.", .def = "auto"},
    {"output-format", 'o', QN_OPT_CHOICE, .arg = "table|json|markdown",
     .help = "How to print it.", .def = "table"},
    {0},
};

static const qn_opt_group groups[] = {{"Text", text_opts},
                                      {"Beside another model", base_opts},
                                      {"Tasks", task_opts},
                                      {"Both", common_opts},
                                      {"Model", qn_model_opts},
                                      {0}};

static const qn_example examples[] = {
    {"quern eval DIR --text wiki.txt --context 2048", "perplexity"},
    {"quern eval DIR-nf4 --base DIR --text wiki.txt", "what nf4 cost"},
    {"quern eval DIR --base-exact --text wiki.txt",
     "what rounding the activations costs"},
    {"quern eval --compare DIR DIR-nf4 DIR-gptq --text wiki.txt",
     "quality, size and speed side by side"},
    {"quern eval DIR --task hellaswag --data hellaswag_val.jsonl",
     "acc and acc_norm"},
    {"quern eval DIR --task gsm8k --data test.jsonl --fewshot 5",
     "exact match"},
    {0},
};

/* ---- from options ------------------------------------------------------- */

static bool show(void *user, uint64_t done, uint64_t total)
{
    qn_progress_show(user, done, total);
    return !qn_interrupted();
}

static qn_corpus_params text_params(const qn_args *a)
{
    return (qn_corpus_params){
        .path = qn_args_text(a, "text"),
        .split = qn_args_text(a, "split"),
        .skip = (size_t)qn_args_int(a, "skip"),
        .limit = (size_t)qn_args_int(a, "limit"),
        .max_tokens = qn_args_int(a, "max-tokens"),
        .context = qn_args_int(a, "context"),
        .stride = qn_args_int(a, "stride"),
        .bos = qn_args_is(a, "bos", "none")   ? QN_BOS_NONE
               : qn_args_is(a, "bos", "each") ? QN_BOS_EACH
                                              : QN_BOS_AUTO,
    };
}

static int check_choice(const qn_args *a, qn_err *err)
{
    bool text = qn_args_given(a, "text"), task = qn_args_given(a, "task");
    if (text && task)
        return qn_usage(err, "a text or a task: give one of --text, --task");
    if (qn_args_flag(a, "compare") && !text)
        return qn_usage(err, "on which text? quern eval --compare A B --text "
                             "FILE");
    if (!text && !task)
        return qn_usage(err, "measured by what? quern eval --text FILE, or "
                             "--task NAME --data FILE");
    if (task && !qn_args_given(a, "data"))
        return qn_usage(err, "where are the questions? --data FILE");
    if (task && qn_args_is(a, "bos", "each"))
        return qn_usage(err, "--bos each is for texts");
    if (task &&
        (qn_args_given(a, "base") || qn_args_given(a, "base-logits") ||
         qn_args_flag(a, "base-exact") || qn_args_given(a, "save-logits")))
        return qn_usage(err, "a base is for texts: --text FILE");
    if (qn_args_given(a, "base-logits") &&
        (qn_args_given(a, "base") || qn_args_flag(a, "base-exact")))
        return qn_usage(err, "one base: --base and --base-exact, or "
                             "--base-logits");
    return 0;
}

/* A file that is there is written over; but --positions replaces it. */
static int check_output(const qn_args *a, const char *name, bool replaces,
                        qn_err *err)
{
    const char *path = qn_args_given(a, name) ? qn_args_text(a, name) : NULL;
    if (!path)
        return 0;
    if (replaces || !qn_path_is_file(path))
        return qn_file_check_write(path, err);
    return access(path, W_OK) == 0 ? 0
                                   : qn_fail(err, QN_EIO, "cannot write %s: %s",
                                             path, strerror(errno));
}

static int check(qn_args *a, qn_err *err)
{
    QN_TRY(check_choice(a, err));
    QN_TRY(check_output(a, "positions", true, err));
    QN_TRY(check_output(a, "save-logits", false, err));
    return check_output(a, "samples", false, err);
}

/* Some networks compute further than they were made for. */
static void tell_context(const qn_args *a, const qn_model *m, const char *name)
{
    int64_t n = qn_args_int(a, "context"), made = qn_model_n_ctx_train(m);
    if (n > made && !qn_args_flag(a, "quiet"))
        qn_note("%s was made for %lld tokens: what --context %lld measures is "
                "also how it does beyond them",
                name ? name : "the model", (long long)made, (long long)n);
}

/* ---- what is measured ---------------------------------------------------- */

static int run_text(const qn_args *a, qn_model *m, qn_model *base,
                    json_t **report, qn_err *err)
{
    qn_progress bar;
    qn_progress_begin(&bar, "Reading the text", false,
                      qn_args_flag(a, "quiet"));
    qn_eval_text_params p = {
        .model = m,
        .base = base,
        .base_logits = qn_args_text(a, "base-logits"),
        .save_logits = qn_args_text(a, "save-logits"),
        .positions = qn_args_text(a, "positions"),
        .text = text_params(a),
        .kv = qn_kv_type_arg(a),
        .n_threads = (int)qn_args_int(a, "threads"),
        .progress = show,
        .progress_user = &bar,
    };
    int rc = qn_eval_text(report, &p, err);
    qn_progress_end(&bar);
    return rc;
}

static int run_task(const qn_args *a, qn_model *m, json_t **report, qn_err *err)
{
    qn_progress bar;
    qn_progress_begin(&bar, "Asking", false, qn_args_flag(a, "quiet"));
    qn_eval_task_params p = {
        .model = m,
        .task = qn_args_text(a, "task"),
        .data = qn_args_text(a, "data"),
        .fewshot_data = qn_args_text(a, "fewshot-data"),
        .fewshot = (size_t)qn_args_int(a, "fewshot"),
        .skip = (size_t)qn_args_int(a, "skip"),
        .limit = (size_t)qn_args_int(a, "limit"),
        .samples = qn_args_text(a, "samples"),
        .bos = qn_args_is(a, "bos", "none") ? QN_BOS_NONE : QN_BOS_AUTO,
        .kv = qn_kv_type_arg(a),
        .n_threads = (int)qn_args_int(a, "threads"),
        .max_new_tokens = (int)qn_args_int(a, "max-new-tokens"),
        .batch = (int)qn_args_int(a, "batch-size"),
        .chat = qn_args_flag(a, "chat"),
        .progress = show,
        .progress_user = &bar,
    };
    int rc = qn_eval_task(report, &p, err);
    qn_progress_end(&bar);
    return rc;
}

static int open_base(const qn_args *a, const char *path, qn_model **base,
                     qn_err *err)
{
    bool exact = qn_args_flag(a, "base-exact");
    if (!qn_args_given(a, "base") && !exact)
        return 0;
    qn_model_params p = {.n_threads = (int)qn_args_int(a, "threads"),
                         .memory_limit = (uint64_t)qn_args_int(a,
                                                               "memory-limit"),
                         .kernels = qn_args_text(a, "isa"),
                         .exact = exact || qn_args_flag(a, "exact")};
    if (qn_args_given(a, "base"))
        path = qn_args_text(a, "base");
    int rc = qn_model_open(base, path, &p, err);
    return rc < 0 ? qn_err_prefix(err, rc, "the base") : 0;
}

static int one_model(const qn_args *a, json_t **report, qn_err *err)
{
    const char *path;
    qn_model *m = NULL, *base = NULL;
    if (qn_args_operand(a, 1))
        return qn_usage(err, "one model is measured at a time; --compare is "
                             "for several");
    QN_TRY(qn_model_operand(a, &path, err));
    QN_TRY(qn_open_model(&m, a, path, false, err));
    tell_context(a, m, path);
    int rc = open_base(a, path, &base, err);
    if (rc == 0)
        rc = qn_args_given(a, "task") ? run_task(a, m, report, err)
                                      : run_text(a, m, base, report, err);
    qn_model_close(base);
    qn_model_close(m);
    return rc;
}

/* A name that is none is found before the first of them is measured. */
static int try_models(const qn_args *a, qn_err *err)
{
    for (size_t i = 0; i < a->operands.n; i++) {
        qn_model *m = NULL;
        QN_TRY(qn_open_model(&m, a, a->operands.v[i], true, err));
        tell_context(a, m, a->operands.v[i]);
        qn_model_close(m);
    }
    return 0;
}

static int several_models(const qn_args *a, json_t **report, qn_err *err)
{
    qn_progress bar;
    if (!qn_args_operand(a, 1))
        return qn_usage(err, "compare what? quern eval --compare A B --text "
                             "FILE");
    QN_TRY(try_models(a, err));
    qn_progress_begin(&bar, "Comparing", false, qn_args_flag(a, "quiet"));
    qn_eval_compare_params p = {
        .paths = a->operands.v,
        .n_paths = a->operands.n,
        .model = {.n_threads = (int)qn_args_int(a, "threads"),
                  .memory_limit = (uint64_t)qn_args_int(a, "memory-limit"),
                  .kernels = qn_args_text(a, "isa"),
                  .exact = qn_args_flag(a, "exact")},
        .base_exact = qn_args_flag(a, "base-exact"),
        .text = text_params(a),
        .kv = qn_kv_type_arg(a),
        .speed = qn_args_flag(a, "speed"),
        .progress = show,
        .progress_user = &bar,
    };
    int rc = qn_eval_compare(report, &p, err);
    qn_progress_end(&bar);
    return rc;
}

static int eval(qn_args *a, qn_err *err)
{
    json_t *report = NULL;
    qn_interrupt_watch();
    QN_TRY(qn_args_flag(a, "compare") ? several_models(a, &report, err)
                                      : one_model(a, &report, err));
    if (qn_args_is(a, "output-format", "json"))
        qn_report_print(report);
    else
        qn_eval_print(report, qn_args_is(a, "output-format", "markdown"),
                      stdout);
    json_decref(report);
    return 0;
}

const qn_command qn_cmd_eval = {
    .name = "eval",
    .summary = "measure quality: perplexity, divergence, tasks",
    .operands = "[MODEL...]",
    .max_operands = -1,
    .about =
        "Measures how well a model foresees a text (perplexity), how far it is "
        "from another one that it was made of (KL divergence, agreement), and "
        "how many questions of a data set it answers.\n\n"
        "Each figure comes with the interval that chance leaves it, 95 %. "
        "Prompts, scores and the search for answers are those of "
        "lm-evaluation-harness.",
    .examples = examples,
    .groups = groups,
    .run = eval,
    .check = check,
};
