/* cmd_bench.c - quern bench: how fast a model is on this machine. */
#include "cli/commands.h"

#include "cli/bench.h"
#include "cli/interrupt.h"
#include "cli/request_args.h"
#include "cli/terminal.h"

#include <stdio.h>
#include <string.h>

static const qn_opt opts[] = {
    {"prefill", 0, QN_OPT_IDS, .arg = "N,N",
     .help = "Prompt lengths to measure.", .def = "512"},
    {"depths", 0, QN_OPT_IDS, .arg = "N,N",
     .help = "Positions behind a sequence that decodes.", .def = "0,1024"},
    {"batches", 0, QN_OPT_IDS, .arg = "N,N",
     .help = "Sequences that decode together, at the first depth.",
     .def = "1,4"},
    {"kv-type", 0, QN_OPT_CHOICE, .arg = "auto|f32|f16|bf16|int8",
     .help = "Format of the KV cache.", .def = "auto"},
    {"tokens", 0, QN_OPT_INT, .arg = "N", .help = "Tokens decoded per repeat.",
     .def = "16", .lo = 1, .hi = 4096},
    {"repeats", 'r', QN_OPT_INT, .arg = "N",
     .help = "Repeats of each case; the median counts.", .def = "5", .lo = 1,
     .hi = 100},
    {"warmup", 0, QN_OPT_INT, .arg = "N",
     .help = "Repeats before, which do not count.", .def = "1", .lo = 0,
     .hi = 100},
    {"load-repeats", 0, QN_OPT_INT, .arg = "N",
     .help = "How often to load the model.", .def = "1", .lo = 1, .hi = 100},
    {"output-format", 'o', QN_OPT_CHOICE, .arg = "table|json|csv|markdown",
     .help = "How to print it.", .def = "table"},
    {"compare", 0, QN_OPT_FILE, .arg = "FILE",
     .help = "An earlier report (--output-format json): print the ratios, and "
             "fail where something became slower."},
    {"tolerance", 0, QN_OPT_REAL, .arg = "P",
     .help = "With --compare: per cent that may be lost.", .def = "5", .lo = 0,
     .hi = 100},
    {0},
};

static const qn_opt_group groups[] = {{"What to measure", opts},
                                      {"Model", qn_model_opts},
                                      {0}};

static const qn_example examples[] = {
    {"quern bench --model DIR", "prefill, decode, load, memory"},
    {"quern bench -m DIR --depths 0,2048,8192 --batches 1,8,16",
     "what a server meets"},
    {"quern bench -m DIR -o json >before.json", "then, after a change:"},
    {"quern bench -m DIR --compare before.json", "1 if it became slower"},
    {0},
};

static bool go_on(void)
{
    return !qn_interrupted();
}

static void note(const char *what)
{
    qn_note("%s ...", what);
}

/* The earlier report, before anything is measured; NULL: none was named. */
static int read_before(const qn_args *a, json_t **before, qn_err *err)
{
    const char *path = qn_args_text(a, "compare");
    *before = NULL;
    if (!path)
        return 0;
    QN_TRY(qn_json_load(before, path, (size_t)16 << 20, err));
    if (json_is_array(json_object_get(*before, "results")))
        return 0;
    json_decref(*before);
    *before = NULL;
    return qn_fail(err, QN_EFORMAT,
                   "%s is no report of quern bench --output-format json", path);
}

static int compare(const qn_args *a, const json_t *report, const json_t *before,
                   qn_err *err)
{
    if (!before)
        return 0;
    int slower = qn_bench_compare(report, before,
                                  qn_args_real(a, "tolerance") / 100, stdout);
    if (slower > 0)
        return qn_fail(err, QN_ELIMIT,
                       "%d result%s slower than in %s by more than %g %%",
                       slower, slower > 1 ? "s are" : " is",
                       qn_args_text(a, "compare"),
                       qn_args_real(a, "tolerance"));
    return 0;
}

static void print(const qn_args *a, const json_t *report)
{
    if (qn_args_is(a, "output-format", "json")) {
        json_dumpf(report, stdout, JSON_INDENT(1));
        putchar('\n');
    } else if (qn_args_is(a, "output-format", "csv")) {
        qn_bench_print_csv(report, stdout);
    } else if (qn_args_is(a, "output-format", "markdown")) {
        qn_bench_print_markdown(report, stdout);
    } else {
        qn_bench_print(report, stdout);
    }
}

static int run(qn_args *a, qn_err *err)
{
    qn_bench_params p = {
        .model = {.n_threads = (int)qn_args_int(a, "threads")},
        .n_tokens = (int)qn_args_int(a, "tokens"),
        .repeats = (int)qn_args_int(a, "repeats"),
        .warmup = (int)qn_args_int(a, "warmup"),
        .load_repeats = (int)qn_args_int(a, "load-repeats"),
        .kv_type = qn_kv_type_arg(a),
        .go_on = go_on,
        .note = qn_args_flag(a, "quiet") ? NULL : note,
    };
    json_t *report = NULL, *before;
    QN_TRY(qn_model_operand(a, &p.path, err));
    p.model.kernels = qn_args_text(a, "isa");
    p.model.exact = qn_args_flag(a, "exact");
    p.model.memory_limit = (uint64_t)qn_args_int(a, "memory-limit");
    p.n_prefill = qn_args_ids(a, "prefill", &p.prefill);
    p.n_depths = qn_args_ids(a, "depths", &p.depths);
    p.n_batches = qn_args_ids(a, "batches", &p.batches);
    qn_interrupt_watch();
    QN_TRY(read_before(a, &before, err));
    int rc = qn_bench_run(&report, &p, err);
    if (rc == 0) {
        print(a, report);
        rc = compare(a, report, before, err);
    }
    json_decref(before);
    json_decref(report);
    return rc;
}

const qn_command qn_cmd_bench = {
    .name = "bench",
    .summary = "measure a model: prefill, decode, load time, memory",
    .operands = "[MODEL]",
    .max_operands = 1,
    .about = "Measures prefill, decode at depths and in batches, load time and "
             "memory, with medians and spread.\n\n"
             "Before and after each case the machine is probed: the bandwidth "
             "of its memory, the rate of its dot products. The last column is "
             "the part of that bound which the model reached; it means more "
             "than the figure itself where others use the machine too.",
    .examples = examples,
    .groups = groups,
    .run = run,
};
