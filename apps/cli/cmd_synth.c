/* cmd_synth.c - quern synth: a checkpoint of random weights. */
#include "cli/commands.h"

#include "base/clock.h"
#include "base/compiler.h"
#include "base/str.h"
#include "cli/interrupt.h"
#include "cli/synth.h"
#include "cli/terminal.h"

#include <stdio.h>

#define SHAPES                                                           \
    "llama-3.2-1b|llama-3.2-3b|llama-3.1-8b|qwen2.5-0.5b|qwen2.5-1.5b|"  \
    "qwen2.5-7b|qwen3-0.6b|qwen3-1.7b|qwen3-4b|qwen3-8b|mistral-7b|"     \
    "mixtral-8x7b|opt-125m|opt-350m|opt-1.3b|opt-6.7b|gpt2|gpt2-medium|" \
    "gpt2-large|gpt2-xl"

static const qn_opt opts[] = {
    {"shape", 's', QN_OPT_CHOICE, .arg = SHAPES,
     .help = "The published model whose dimensions it has."},
    {"dtype", 0, QN_OPT_CHOICE, .arg = "bf16|f16|f32",
     .help = "Type of the weights.", .def = "bf16", .also = "torch-dtype"},
    {"seed", 0, QN_OPT_INT, .arg = "N",
     .help = "The same seed gives the same bytes.", .def = "0", .lo = 0,
     .hi = 9007199254740992.0},
    {"layers", 0, QN_OPT_INT, .arg = "N",
     .help = "Another number of layers than the shape has.", .lo = 1,
     .hi = 1024},
    {"shard-size", 0, QN_OPT_SIZE, .arg = "BYTES",
     .help = "Tensors in one file; more go into further files with an index.",
     .def = "4GiB", .also = "max-shard-size"},
    {"output", 'o', QN_OPT_DIR, .arg = "DIR",
     .help = "Where to write it; made if it is not there."},
    {"list", 0, QN_OPT_FLAG,
     .help = "Print the shapes with their parameter counts, and end."},
    {0},
};

static const qn_opt_group groups[] = {{"Checkpoint", opts}, {0}};

static const qn_example examples[] = {
    {"quern synth --shape llama-3.2-1b --output DIR",
     "2.5 GB of bf16 weights, to measure with"},
    {"quern synth --list", "what there is"},
    {0},
};

static bool on_progress(void *user, uint64_t done, uint64_t total)
{
    qn_progress_show(user, done, total);
    return !qn_interrupted();
}

static void list(void)
{
    const char *name;
    uint64_t n;
    for (size_t i = 0; (name = qn_synth_shape_name(i, &n)); i++)
        printf("%-14s %8.1f M parameters\n", name, (double)n * 1e-6);
}

static int run(qn_args *a, qn_err *err)
{
    if (qn_args_flag(a, "list")) {
        list();
        return 0;
    }
    qn_progress bar;
    qn_synth_params p = {
        .shape = qn_args_text(a, "shape"),
        .dtype = qn_args_text(a, "dtype"),
        .seed = (uint64_t)qn_args_int(a, "seed"),
        .dir = qn_args_text(a, "output"),
        .shard_size = (uint64_t)qn_args_int(a, "shard-size"),
        .n_layer = (int)qn_args_int(a, "layers"),
        .progress = on_progress,
        .progress_user = &bar,
    };
    if (!p.shape)
        return qn_usage(err, "which shape? quern synth --shape NAME --output "
                             "DIR; --list prints the names");
    if (!p.dir)
        return qn_usage(err, "where to? quern synth --shape %s --output DIR",
                        p.shape);
    uint64_t t0 = qn_now_ns();
    qn_interrupt_watch();
    qn_progress_begin(&bar, "Writing the weights", true, false);
    int rc = qn_synth_write(&p, err);
    qn_progress_end(&bar);
    if (rc == 0)
        qn_note("%s in %s, %.1f s", p.shape, p.dir, qn_ms_since(t0) * 1e-3);
    return rc;
}

const qn_command qn_cmd_synth = {
    .name = "synth",
    .summary = "write a checkpoint of random weights, to measure with",
    .operands = "",
    .max_operands = 0,
    .about = "Writes a checkpoint in Hugging Face layout with the dimensions "
             "of a published model and random weights: configuration, "
             "safetensors, a byte-level tokenizer, a plain chat template. It "
             "says nothing sensible, at the speed of the real one.",
    .examples = examples,
    .groups = groups,
    .run = run,
};
