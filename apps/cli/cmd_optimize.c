/* cmd_optimize.c - quern optimize: a checkpoint made small. */
#include "cli/commands.h"

#include "base/mem.h"
#include "base/str.h"
#include "cli/interrupt.h"
#include "cli/request_args.h"
#include "cli/terminal.h"
#include "quantize/optimize.h"

#include <string.h>

#define FOREIGN 1000 /* perplexity of a text that says little of a model */

static const qn_opt place_opts[] = {
    {"model", 'm', QN_OPT_FILE, .arg = "MODEL",
     .help = "The unquantized checkpoint: a Hugging Face folder, or its name "
             "on the hub when it has been pulled; a GGUF file; or \"builtin\".",
     .also = "model-path model-name-or-path"},
    {"output-dir", 'o', QN_OPT_DIR, .arg = "DIR",
     .help = "Where the quantized checkpoint goes; must not exist, or be "
             "empty. It appears when it is complete; a run that was stopped "
             "leaves DIR.partial, once anything was saved (every 20 seconds), "
             "and the same command goes on where it was.",
     .also = "output"},
    {"max-shard-size", 0, QN_OPT_SIZE, .arg = "BYTES",
     .help = "Largest file of weights.", .def = "5GB"},
    {"threads", 't', QN_OPT_INT, .arg = "N",
     .help = "Threads; 0: as many as the machine grants.", .def = "0",
     .env = "QUERN_THREADS", .lo = 0, .hi = 4096},
    {0},
};

static const qn_opt method_opts[] = {
    {"quantization-method", 0, QN_OPT_TEXT,
     .arg = "bitsandbytes|rtn|gptq|awq|auto|fp8|gguf",
     .help = "bitsandbytes (nf4, fp4, int8), rtn (integers, rounded to "
             "nearest), gptq and awq (integers, calibrated with a text), auto "
             "(as many bits for each matrix as it needs), fp8, or gguf "
             "(one file, model.gguf, which llama.cpp reads, too); or a type "
             "of bitsandbytes or gguf by itself, such as q4_k_m.",
     .def = "bitsandbytes", .also = "method quant-method"},
    {"quantization-bits", 0, QN_OPT_INT, .arg = "N",
     .help = "Bits of a weight; without it, what is usual for the method.",
     .also = "bits num-bits", .lo = 2, .hi = 8},
    {"quant-type", 0, QN_OPT_CHOICE,
     .arg = "nf4|fp4|int8|f32|f16|bf16|q8_0|q4_0|q4_1|q5_0|q5_1|q2_k|q3_k|"
            "q4_k|q4_k_m|q5_k|q5_k_m|q6_k|iq4_nl|iq4_xs",
     .help = "The kind of number. bitsandbytes: nf4 for 4 bits, int8 for 8. "
             "gguf: the q*_k of the bits; q4_k_m and q5_k_m have q6_k where "
             "it tells most.",
     .also = "bnb-4bit-quant-type quantization-type"},
    {"format", 0, QN_OPT_CHOICE, .arg = "compressed-tensors|gptq|awq|int8|gguf",
     .help = "rtn, gptq, awq: how the checkpoint is laid out; without it "
             "compressed-tensors for rtn, gptq for gptq, awq for awq. auto: "
             "compressed-tensors, or gguf, one file with a type for each "
             "tensor."},
    {"group-size", 0, QN_OPT_INT, .arg = "N",
     .help = "Weights that share a scale (bitsandbytes: the block size); -1: "
             "the whole row. 64 for bitsandbytes; for the others 128, or less "
             "where that does not fill all rows.",
     .also = "block-size blocksize bnb-4bit-blocksize", .lo = -1,
     .hi = 1 << 20},
    {"double-quant", 0, QN_OPT_FLAG,
     .help = "bitsandbytes of 4 bits: quantize the scales, too.",
     .also = "bnb-4bit-use-double-quant use-double-quant"},
    {"symmetric", 0, QN_OPT_FLAG,
     .help = "rtn, gptq: no zero points; --no-symmetric has them.",
     .def = "true", .also = "sym"},
    {"fp8-scales", 0, QN_OPT_CHOICE, .arg = "channel|tensor|block",
     .help = "fp8: what shares a scale."},
    {"compute-dtype", 0, QN_OPT_CHOICE, .arg = "float32|float16|bfloat16",
     .help = "What the configuration tells bitsandbytes to compute in.",
     .def = "bfloat16", .also = "bnb-4bit-compute-dtype"},
    {"int8-threshold", 0, QN_OPT_REAL, .arg = "X",
     .help = "bitsandbytes of 8 bits: the activations that the configuration "
             "tells it to keep apart, in 16 bits; 0: none.",
     .def = "6", .also = "llm-int8-threshold", .lo = 0, .hi = 1e6},
    {"calibration", 0, QN_OPT_FILE, .arg = "FILE",
     .help = "gptq, awq: a text like what the model will read; without it a "
             "small one of many kinds that is built in.",
     .also = "calibration-file dataset"},
    {"calibration-split", 0, QN_OPT_TEXT, .arg = "TEXT",
     .help =
         "What is between the documents of FILE: each is read as the model "
         "would be given it, with its begin token; a special token, such as "
         "<|endoftext|>, stays between them."},
    {"calibration-samples", 0, QN_OPT_INT, .arg = "N",
     .help = "Pieces of the text, at most; 0: as many as have two tokens for "
             "each input of the widest matrix, more of which gain little.",
     .def = "0", .also = "num-samples nsamples", .lo = 0, .hi = 100000},
    {"calibration-length", 0, QN_OPT_INT, .arg = "N",
     .help = "Tokens of a piece.", .def = "512",
     .also = "calibration-seqlen seqlen", .lo = 16, .hi = 65536},
    {"damping", 0, QN_OPT_REAL, .arg = "X",
     .help = "gptq: part of the mean that is added to the diagonal.",
     .def = "0.01", .also = "damp-percent", .lo = 1e-6, .hi = 10},
    {"target-bits", 0, QN_OPT_REAL, .arg = "X",
     .help = "auto: mean bits of a quantized weight, scales included.", .lo = 2,
     .hi = 9},
    {"target-size", 0, QN_OPT_SIZE, .arg = "BYTES",
     .help = "auto: of all tensors together, such as 3GB."},
    {"max-kl", 0, QN_OPT_REAL, .arg = "X",
     .help = "auto: as few bits as keep the expected KL divergence from the "
             "source (nats per token) below this.",
     .lo = 1e-9, .hi = 100},
    {"importance", 0, QN_OPT_FLAG,
     .help = "gguf: read the text first, and lose least where its activations "
             "are largest. A --calibration FILE means it, too."},
    {"imatrix", 0, QN_OPT_FILE, .arg = "FILE",
     .help = "gguf: take the importance matrix from this file, which llama.cpp "
             "(GGUF or imatrix.dat) or --imatrix-out wrote."},
    {"imatrix-out", 0, QN_OPT_FILE, .arg = "FILE",
     .help = "gguf: write it, to be used again; the name ends with .gguf."},
    {"desc-act", 0, QN_OPT_FLAG,
     .help = "gptq: columns that meet most are rounded first.",
     .also = "act-order"},
    {"static-groups", 0, QN_OPT_FLAG,
     .help = "gptq with --desc-act: groups are of columns as they stand, "
             "which is faster to read than by that order."},
    {"head-type", 0, QN_OPT_TEXT, .arg = "TYPE",
     .help = "gguf: format of the output head, or of the embeddings where they "
             "are the head; q6_k, unless the others have more.",
     .also = "output-tensor-type"},
    {"embedding-type", 0, QN_OPT_TEXT, .arg = "TYPE",
     .help = "gguf: format of the embeddings, where the head is apart.",
     .also = "token-embedding-type"},
    {"rule", 0, QN_OPT_LIST, .arg = "PATTERN=TYPE|BITS",
     .help = "The format of modules of that name, the first that fits counts. "
             "gguf: down_proj=q6_k; integers in --format compressed-tensors: "
             "down_proj=8.",
     .also = "tensor-type"},
    {"report-tokens", 0, QN_OPT_INT, .arg = "N",
     .help =
         "Tokens of a text that source and output read afterwards; what was "
         "lost goes into metadata.json. 0: none. -1: 256, but of a large model "
         "and by a method without a text so few that it takes no longer than "
         "quantizing.",
     .def = "-1", .lo = -1, .hi = 1 << 20},
    {"report-text", 0, QN_OPT_FILE, .arg = "FILE",
     .help = "That text; without it a short one that is built in."},
    {"load-in-4bit", 0, QN_OPT_FLAG, .help = "As --quantization-bits 4."},
    {"load-in-8bit", 0, QN_OPT_FLAG, .help = "As --quantization-bits 8."},
    {0},
};

static const qn_opt which_opts[] = {
    {"skip", 0, QN_OPT_LIST, .arg = "PATTERN",
     .help = "Leave modules of this name alone: k_proj, or model.layers.0.*.",
     .also = "skip-modules llm-int8-skip-modules modules-to-not-convert"},
    {"only", 0, QN_OPT_LIST, .arg = "PATTERN",
     .help = "Quantize no others than these."},
    {"quantize-head", 0, QN_OPT_FLAG,
     .help =
         "Quantize the output head, too. Where it is the embeddings, it gets "
         "weights of its own, and these stay."},
    {0},
};

static const qn_opt_group groups[] = {
    {"Checkpoints", place_opts},
    {"Method", method_opts},
    {"Which modules", which_opts},
    {0},
};

static const qn_example examples[] = {
    {"quern optimize -m DIR -o DIR-nf4 --method bitsandbytes --bits 4",
     "nf4, as transformers loads it"},
    {"quern optimize -m DIR -o DIR-nf4 --double-quant", "4.13 bits a weight"},
    {"quern optimize -m DIR -o DIR-w4 --method rtn --group-size 64",
     "4-bit integers"},
    {"quern optimize -m DIR -o DIR-gptq --method gptq --group-size 64 "
     "--calibration TEXT",
     "4-bit integers that lose less"},
    {"quern optimize -m DIR -o DIR-awq --method awq --group-size 64",
     "the same in another way, with the built-in text"},
    {"quern optimize -m DIR -o DIR-auto --method auto --target-bits 4.25",
     "bits where they are needed"},
    {"quern optimize -m DIR -o DIR-mix --method auto --format gguf "
     "--target-bits 5",
     "the same as one file for llama.cpp"},
    {"quern optimize -m DIR -o DIR-gguf --method gguf --quant-type q4_k_m",
     "DIR-gguf/model.gguf"},
    {"quern optimize -m DIR -o DIR-fp8 --method fp8 --skip down_proj",
     "FP8, but for some modules"},
    {0},
};

static int optimize(qn_args *a, qn_err *err);
static int check(qn_args *a, qn_err *err);

const qn_command qn_cmd_optimize = {
    .name = "optimize",
    .summary = "quantize a checkpoint",
    .operands = "[MODEL]",
    .max_operands = 1,
    .about = "Quantizes the linear layers of a Hugging Face checkpoint and "
             "writes another checkpoint, which quern and the Python libraries "
             "load; everything else of the folder is copied. Method gguf "
             "writes one file instead, with tokenizer and template inside. "
             "metadata.json tells how it was made. The source is not changed, "
             "and one tensor at a time is in memory.",
    .examples = examples,
    .groups = groups,
    .run = optimize,
    .check = check,
};

static bool show(void *user, uint64_t done, uint64_t total)
{
    qn_progress_show(user, done, total);
    return !qn_interrupted();
}

static bool from_file(const qn_args *a, const char *name)
{
    return qn_args_source(a, name) == QN_FROM_FILE;
}

/* The options that say bits. Those of the command line count before those of a
 * configuration; of one place they have to agree. *of is the one that counts. */
static int find_bits(const qn_args *a, const char **of, int *bits, qn_err *err)
{
    static const struct {
        const char *name;
        int bits; /* 0: its value */
    } rows[] = {{"quantization-bits", 0},
                {"load-in-4bit", 4},
                {"load-in-8bit", 8}};
    *of = rows[0].name;
    *bits = 0;
    for (size_t i = 0; i < QN_COUNTOF(rows); i++) {
        const char *name = rows[i].name;
        if (!qn_args_given(a, name) || (rows[i].bits && !qn_args_flag(a, name)))
            continue;
        int n = rows[i].bits ? rows[i].bits : (int)qn_args_int(a, name);
        qn_opt_source now = qn_args_source(a, name);
        if (*bits && now < qn_args_source(a, *of))
            continue;
        if (*bits && *bits != n && now == qn_args_source(a, *of))
            return qn_usage(err, "--%s says %d bits, --%s %d", *of, *bits, name,
                            n);
        *of = name;
        *bits = n;
    }
    return 0;
}

/* Bits and type. A configuration names both; what the command line says of one
 * of them, or of another method, counts. */
static int fill_type(const qn_args *a, qn_optimize_params *p, qn_err *err)
{
    const char *of;
    bool type_said = !from_file(a, "quant-type") &&
                     qn_args_given(a, "quant-type");
    QN_TRY(find_bits(a, &of, &p->bits, err));
    type_said |= qn_optimize_has_type("bitsandbytes", p->method) ||
                 qn_optimize_has_type("gguf", p->method);
    if (p->bits && type_said && from_file(a, of))
        p->bits = 0;
    p->type = qn_args_text(a, "quant-type");
    if (!p->type || !from_file(a, "quant-type"))
        return 0;
    if ((p->bits == 8 && strcmp(p->type, "int8") != 0) ||
        !qn_optimize_has_type(p->method, p->type))
        p->type = NULL;
    return 0;
}

static int fill(const qn_args *a, qn_optimize_params *p, qn_err *err)
{
    QN_TRY(qn_model_operand(a, &p->model, err));
    p->output_dir = qn_args_text(a, "output-dir");
    p->method = qn_args_text(a, "quantization-method");
    QN_TRY(fill_type(a, p, err));
    p->head_type = qn_args_text(a, "head-type");
    p->embed_type = qn_args_text(a, "embedding-type");
    p->n_rules = qn_args_list(a, "rule", &p->rules);
    p->format = qn_args_text(a, "format");
    if (qn_args_given(a, "group-size"))
        p->group = qn_args_int(a, "group-size");
    p->double_quant = qn_args_flag(a, "double-quant");
    p->asymmetric = !qn_args_flag(a, "symmetric");
    p->calibration = qn_args_text(a, "calibration");
    p->calibration_split = qn_args_text(a, "calibration-split");
    p->n_samples = (int)qn_args_int(a, "calibration-samples");
    p->n_context = (int)qn_args_int(a, "calibration-length");
    p->damping = qn_args_real(a, "damping");
    p->target_bits = qn_args_given(a, "target-bits")
                         ? qn_args_real(a, "target-bits")
                         : 0;
    p->target_size = qn_args_given(a, "target-size")
                         ? (uint64_t)qn_args_int(a, "target-size")
                         : 0;
    p->max_kl = qn_args_given(a, "max-kl") ? qn_args_real(a, "max-kl") : 0;
    p->weigh = qn_args_flag(a, "importance");
    p->imatrix = qn_args_text(a, "imatrix");
    p->imatrix_out = qn_args_text(a, "imatrix-out");
    double threshold = qn_args_real(a, "int8-threshold");
    p->int8_threshold = threshold > 0 ? threshold : -1;
    p->desc_act = qn_args_flag(a, "desc-act");
    p->static_groups = qn_args_flag(a, "static-groups");
    p->scales = qn_args_text(a, "fp8-scales");
    p->compute_type = qn_args_text(a, "compute-dtype");
    p->head = qn_args_flag(a, "quantize-head");
    p->n_skip = qn_args_list(a, "skip", &p->skip);
    p->n_only = qn_args_list(a, "only", &p->only);
    p->max_shard = (uint64_t)qn_args_int(a, "max-shard-size");
    p->n_threads = (int)qn_args_int(a, "threads");
    p->report_tokens = (int)qn_args_int(a, "report-tokens");
    p->report_text = qn_args_text(a, "report-text");
    return QN_OK;
}

/* A configuration alone names neither model nor directory. */
static int check(qn_args *a, qn_err *err)
{
    qn_optimize_params p = {0};
    QN_TRY(fill(a, &p, err));
    return qn_optimize_check(&p, err);
}

/* The same of a GGUF file. */
static void show_types(const json_t *table)
{
    const json_t *row;
    size_t i;
    qn_note("%-30s %-7s %6s %16s %11s", "tensor", "type", "bits",
            "KL if alone in", "KL expected");
    json_array_foreach(table, i, row)
    {
        qn_note("%-30s %-7s %6.3f %7s %8.2e %11.2e",
                json_string_value(json_object_get(row, "tensor")),
                json_string_value(json_object_get(row, "type")),
                json_number_value(json_object_get(row, "bits_per_weight")),
                json_string_value(json_object_get(row, "probe")),
                json_number_value(json_object_get(row, "kl_probe")),
                json_number_value(json_object_get(row, "kl_expected")));
    }
}

/* What auto chose, and why. */
static void show_table(const json_t *table)
{
    const json_t *row;
    size_t i;
    if (!json_object_get(json_array_get(table, 0), "kl_expected"))
        return; /* bits that rules gave */
    if (json_object_get(json_array_get(table, 0), "type")) {
        show_types(table);
        return;
    }
    qn_note("%-44s %4s %6s %11s %11s", "module", "bits", "stored", "KL at 3",
            "KL expected");
    json_array_foreach(table, i, row)
    {
        const char *name = json_string_value(json_object_get(row, "module"));
        qn_note("%-44s %4d %6.3f %11.2e %11.2e", name,
                (int)json_integer_value(json_object_get(row, "bits")),
                json_number_value(json_object_get(row, "bits_per_weight")),
                json_number_value(json_object_get(row, "kl_of_3_bits")),
                json_number_value(json_object_get(row, "kl_expected")));
    }
}

static void show_notes(json_t *notes)
{
    size_t i;
    json_t *v;
    json_array_foreach(notes, i, v) qn_note("%s", json_string_value(v));
}

static void show_group(int64_t group)
{
    if (group > 0)
        qn_note("groups of %d: the usual 128 do not fill all rows (choose with "
                "--group-size)",
                (int)group);
    else
        qn_note("a scale for each row: no usual group fills all rows (choose "
                "with --group-size)");
}

/* What it cost, as metadata.json has it. */
static void show_loss(const json_t *loss)
{
    const char *failed = json_string_value(json_object_get(loss, "failed"));
    if (!loss)
        return;
    if (failed) {
        qn_note("the loss was not measured: %s", failed);
        return;
    }
    double before = json_number_value(
        json_object_get(loss, "perplexity_before"));
    double after = json_number_value(json_object_get(loss, "perplexity_after"));
    const char *text = json_string_value(json_object_get(loss, "text"));
    qn_note(
        "what it cost, on %d tokens of %s%s: KL %.5f, top 1 the same in %.1f "
        "%%, perplexity times %.4f (%.4g -> %.4g)",
        (int)json_integer_value(json_object_get(loss, "tokens")),
        strncmp(text, "built-in", 8) == 0 ? "the " : "", text,
        json_number_value(json_object_get(loss, "kl_divergence")),
        100 * json_number_value(json_object_get(loss, "top1_agreement")),
        after / before, before, after);
    if (before > FOREIGN)
        qn_note("a perplexity of %.0f: the model hardly knows such text; "
                "measure on a text of its kind with --report-text FILE",
                before);
}

static void show_sizes(const qn_optimize_report *r)
{
    char from[32], to[32], peak[32], layer[32], text[32], memory[120];
    qn_fmt_bytes(peak, sizeof peak, r->peak_memory);
    snprintf(memory, sizeof memory, "%s", peak);
    if (r->text_memory)
        snprintf(memory, sizeof memory,
                 "%s (text %s, the largest layer in f32 %s)", peak,
                 qn_fmt_bytes(text, sizeof text, r->text_memory),
                 qn_fmt_bytes(layer, sizeof layer, r->largest_layer));
    qn_note("%zu matrices at %.3f bits a weight; all of it %s -> %s, %.3f bits "
            "a weight; %.1f s, memory %s",
            r->n_matrices, r->bits_quantized,
            qn_fmt_bytes(from, sizeof from, r->source_bytes),
            qn_fmt_bytes(to, sizeof to, r->output_bytes), r->bits_per_weight,
            r->seconds, memory);
}

/* With --quiet, too: whether work is left is no statistic. */
static void tell_stopped(const char *kept)
{
    if (kept)
        qn_note("stopped; the same command goes on from what %s keeps", kept);
    else
        qn_note("stopped before anything was saved; nothing is left");
}

static int optimize(qn_args *a, qn_err *err)
{
    qn_optimize_params p = {0};
    qn_optimize_report r = {0};
    qn_progress bar;
    QN_TRY(fill(a, &p, err));
    if (!p.model)
        return qn_usage(err, "which model? quern optimize --model DIR; the "
                             "built-in one is \"builtin\"");
    if (!p.output_dir)
        return qn_usage(err, "where to? quern optimize --output-dir DIR");
    qn_interrupt_watch();
    qn_progress_begin(&bar, "quantizing", false, qn_args_flag(a, "quiet"));
    bar.parts = true;
    p.progress = show;
    p.progress_user = &bar;
    int rc = qn_optimize_run(&p, &r, err);
    qn_progress_end(&bar);
    if (rc == QN_ECANCEL)
        tell_stopped(r.kept);
    qn_free(r.kept);
    if (rc == QN_OK && !qn_args_flag(a, "quiet"))
        show_table(r.table);
    json_decref(r.table);
    if (rc == QN_OK && !qn_args_flag(a, "quiet"))
        show_loss(r.loss);
    json_decref(r.loss);
    if (rc == QN_OK && !qn_args_flag(a, "quiet"))
        show_notes(r.notes);
    json_decref(r.notes);
    QN_TRY(rc);
    if (r.group && !qn_args_flag(a, "quiet"))
        show_group(r.group);
    printf("%s\n", p.output_dir);
    if (!qn_args_flag(a, "quiet"))
        show_sizes(&r);
    return QN_OK;
}
