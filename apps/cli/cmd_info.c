/* cmd_info.c - quern info: what a model is, and what it would take. */
#include "cli/commands.h"

#include "base/str.h"
#include "cli/request_args.h"
#include "cli/table.h"
#include "cli/terminal.h"

#include <stdio.h>
#include <string.h>

static const qn_opt opts[] = {
    {"json", 0, QN_OPT_FLAG, .help = "Everything, as one JSON object."},
    {"kernels", 0, QN_OPT_FLAG,
     .help = "Also which kernels this machine will use."},
    {"weights", 0, QN_OPT_FLAG,
     .help = "Also the weights by what they are for."},
    {"context", 'c', QN_OPT_INT, .arg = "N",
     .help = "Plan for so many tokens of KV cache; 0: the model's context, or "
             "what fits.",
     .def = "0", .also = "n-ctx ctx-size", .lo = 0, .hi = INT32_MAX},
    {"batch-size", 'b', QN_OPT_INT, .arg = "N",
     .help = "Plan for so many sequences at the same time.", .def = "1",
     .also = "max-seqs", .lo = 1, .hi = 4096},
    {0},
};

static const qn_opt_group groups[] = {{"Report", opts},
                                      {"Model", qn_model_opts},
                                      {0}};

static const qn_example examples[] = {
    {"quern info DIR", "architecture, formats, memory plan"},
    {"quern info FILE.gguf --context 32768 --batch-size 8",
     "would it fit like this?"},
    {"quern info DIR --json | jq .memory", "for scripts"},
    {0},
};

static void model_part(const json_t *o)
{
    char count[32];
    qn_table_heading("Model");
    qn_table_row("path", "%s", qn_report_text(o, "path"));
    qn_table_row("container", "%s",
                 strcmp(qn_report_text(o, "container"), "gguf") == 0
                     ? "GGUF"
                     : "Hugging Face folder");
    qn_table_row("architecture", "%s (family %s)",
                 qn_report_text(o, "architecture"),
                 qn_report_text(o, "family"));
    if (json_object_get(o, "text_of"))
        qn_table_row("reads",
                     "text alone; what %s has for images and sound "
                     "is left out",
                     qn_report_text(o, "text_of"));
    qn_table_row("parameters", "%s",
                 qn_fmt_count(count, sizeof count,
                              qn_report_number(o, "parameters")));
}

static void attention(const json_t *h)
{
    double heads = qn_report_number(h, "n_head"),
           kv = qn_report_number(h, "n_kv");
    char shared[32] = "";
    if (kv > 0 && kv < heads)
        snprintf(shared, sizeof shared, ", %.0f for keys and values", kv);
    if (heads > 0)
        qn_table_row("attention", "%.0f heads of %.0f%s", heads,
                     qn_report_number(h, "d_head"), shared);
}

/* "full attention, dense", "sliding attention of 16, experts", "mamba". */
static void layer_kind(qn_str *s, const json_t *l)
{
    const char *attention = qn_report_text(l, "attention");
    const char *recurrence = qn_report_text(l, "recurrence");
    const char *ff = qn_report_text(l, "feed_forward");
    double window = qn_report_number(l, "window");
    if (strcmp(attention, "none") != 0)
        qn_str_addf(s, "%s attention", attention);
    if (window > 0)
        qn_str_addf(s, " of %.0f", window);
    if (*recurrence)
        qn_str_addf(s, "%s%s", s->n ? " and " : "", recurrence);
    if (strcmp(ff, "none") != 0)
        qn_str_addf(s, "%s%s", s->n ? ", " : "", ff);
}

/* A line for each run of equal layers. */
static void layers(const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list) && i < 8; i++) {
        const json_t *l = json_array_get(list, i);
        double first = qn_report_number(l, "first");
        double n = qn_report_number(l, "count");
        char range[32];
        qn_str kind;
        if (n > 1)
            snprintf(range, sizeof range, "%.0f to %.0f", first, first + n - 1);
        else
            snprintf(range, sizeof range, "%.0f", first);
        qn_str_init(&kind);
        layer_kind(&kind, l);
        qn_table_row(i ? "" : "by layer", "%s: %s", range,
                     kind.n ? kind.p : "nothing");
        qn_str_deinit(&kind);
    }
    if (json_array_size(list) > 8)
        qn_table_row("", "... %zu kinds more (--json)",
                     json_array_size(list) - 8);
}

/* Whether a layer has this: "recurrence", or a "feed_forward" that is none. */
static bool some_layer(const json_t *list, const char *key)
{
    bool some = false;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *is = qn_report_text(json_array_get(list, i), key);
        some = some || (*is && strcmp(is, "none") != 0);
    }
    return some;
}

static void positions(const json_t *h)
{
    const json_t *r = json_object_get(h, "rope");
    char scaling[64] = "";
    if (!r) {
        qn_table_row("positions", "%s", qn_report_text(h, "positions"));
        return;
    }
    if (strcmp(qn_report_text(r, "scaling"), "none") != 0)
        snprintf(scaling, sizeof scaling, ", %s scaling by %g",
                 qn_report_text(r, "scaling"), qn_report_number(r, "factor"));
    qn_table_row("positions", "rope, base %g, %.0f of %.0f dimensions%s",
                 qn_report_number(r, "theta"), qn_report_number(r, "rotated"),
                 qn_report_number(h, "d_head"), scaling);
}

static void shape_part(const json_t *o)
{
    const json_t *h = json_object_get(o, "hparams");
    const json_t *list = json_object_get(o, "layers");
    qn_table_row("context", "%.0f tokens", qn_report_number(h, "n_ctx_train"));
    char ff[48] = "";
    if (some_layer(list, "feed_forward"))
        snprintf(ff, sizeof ff, ", feed-forward %.0f",
                 qn_report_number(h, "d_ff"));
    qn_table_row("layers", "%.0f, width %.0f%s", qn_report_number(h, "n_layer"),
                 qn_report_number(h, "d_model"), ff);
    if (qn_report_number(h, "n_exp") > 0)
        qn_table_row("experts", "%.0f of %.0f, feed-forward %.0f",
                     qn_report_number(h, "n_exp_used"),
                     qn_report_number(h, "n_exp"),
                     qn_report_number(h, "d_ff_exp"));
    attention(h);
    positions(h);
    if (json_array_size(list) > 1 || some_layer(list, "recurrence"))
        layers(list);
}

/* "PATH: no chat template" without the path, which stands above. */
static const char *reason(const json_t *o, const json_t *part)
{
    const char *path = qn_report_text(o, "path");
    const char *why = qn_report_text(part, "reason");
    size_t n = strlen(path);
    return strncmp(why, path, n) == 0 && qn_starts(why + n, ": ") ? why + n + 2
                                                                  : why;
}

static void text_part(const json_t *o)
{
    const json_t *v = json_object_get(o, "vocabulary");
    const json_t *t = json_object_get(o, "chat_template");
    qn_str ends;
    qn_str_init(&ends);
    const json_t *ids = json_object_get(v, "end_ids");
    for (size_t i = 0; i < json_array_size(ids); i++)
        qn_str_addf(&ends, "%s%lld", i ? ", " : "; ends at ",
                    (long long)json_integer_value(json_array_get(ids, i)));
    if (json_is_true(json_object_get(v, "usable")))
        qn_table_row("vocabulary", "%.0f tokens%s", qn_report_number(v, "size"),
                     ends.p ? ends.p : "");
    else
        qn_table_row("vocabulary", "cannot be used: %s", reason(o, v));
    qn_str_deinit(&ends);
    qn_table_row("chat template", "%s",
                 json_is_true(json_object_get(t, "usable")) ? "yes"
                                                            : reason(o, t));
}

static void weights(json_t *o, const char *key, const char *title)
{
    char count[32], size[32];
    const char *name;
    json_t *w;
    qn_table_heading(title);
    json_object_foreach(json_object_get(o, key), name, w)
    {
        qn_fmt_count(count, sizeof count, qn_report_number(w, "parameters"));
        qn_report_bytes(size, sizeof size, w, "bytes");
        const char *as = json_string_value(json_object_get(w, "decoded_to"));
        qn_table_row(name, "%5.0f tensors  %9s parameters  %10s%s%s",
                     qn_report_number(w, "tensors"), count, size,
                     as ? "  in memory as " : "", as ? as : "");
    }
}

static void kv_part(const json_t *m)
{
    char a[32], b[32], text[160] = "";
    if (qn_report_number(m, "kv_per_token") == 0)
        return; /* no layer has attention */
    qn_table_row("KV cache", "%10s  for %.0f tokens, %s each",
                 qn_report_bytes(a, sizeof a, m, "kv"),
                 qn_report_number(m, "n_ctx"),
                 qn_report_bytes(b, sizeof b, m, "kv_per_token"));
    const json_t *types = json_object_get(m, "kv_types");
    for (int t = QN_KV_F32; t <= QN_KV_INT8; t++) {
        const char *name = qn_kv_type_name((qn_kv_type)t);
        size_t n = strlen(text);
        snprintf(text + n, sizeof text - n, "%s%s %s",
                 t > QN_KV_F32 ? ", " : "", name,
                 qn_report_bytes(b, sizeof b, types, name));
    }
    qn_table_row("by --kv-type", "%s", text);
}

static void memory_part(const json_t *o)
{
    const json_t *m = json_object_get(o, "memory");
    char a[32], b[32];
    double total = qn_report_number(m, "total");
    double available = qn_report_number(m, "available");
    qn_table_heading("Memory plan");
    qn_table_row("weights", "%10s", qn_report_bytes(a, sizeof a, m, "weights"));
    if (qn_report_number(o, "lookup_bytes") > 0)
        qn_table_row("left in the file",
                     "%10s  rows of it are read as tokens "
                     "need them",
                     qn_report_bytes(a, sizeof a, o, "lookup_bytes"));
    kv_part(m);
    if (qn_report_number(m, "state") > 0)
        qn_table_row("recurrent state", "%10s",
                     qn_report_bytes(a, sizeof a, m, "state"));
    qn_table_row("workspace", "%10s",
                 qn_report_bytes(a, sizeof a, m, "workspace"));
    qn_table_row("logits", "%10s", qn_report_bytes(a, sizeof a, m, "logits"));
    qn_table_row("together", "%10s  of %s available%s",
                 qn_report_bytes(a, sizeof a, m, "total"),
                 qn_report_bytes(b, sizeof b, m, "available"),
                 total > available ? ": TOO MUCH; a smaller --context, or "
                                     "quantized weights"
                                   : "");
}

enum {
    MAX_UNUSED = 12 /* lines */
};

/* Up to the second dot: parts of a network have hundreds of tensors. */
static size_t unused_stem(const char *name)
{
    const char *dot = strchr(name, '.');
    dot = dot ? strchr(dot + 1, '.') : NULL;
    return dot ? (size_t)(dot - name) + 1 : strlen(name);
}

/* Those that begin alike and follow each other, a line each. */
static void unused(const json_t *names)
{
    size_t n = json_array_size(names), lines = 0, alike;
    for (size_t i = 0; i < n && lines < MAX_UNUSED; i += alike, lines++) {
        const char *name = json_string_value(json_array_get(names, i));
        size_t stem = unused_stem(name);
        for (alike = 1; i + alike < n; alike++) {
            const char *next = json_string_value(
                json_array_get(names, i + alike));
            if (unused_stem(next) != stem || memcmp(next, name, stem) != 0)
                break;
        }
        if (alike == 1)
            qn_table_row(lines ? "" : "not used", "%s", name);
        else
            qn_table_row(lines ? "" : "not used", "%.*s* (%zu tensors)",
                         (int)stem, name, alike);
    }
    if (lines == MAX_UNUSED)
        qn_table_row("", "... (--json lists all %zu)", n);
}

static void report(json_t *o, const qn_args *a)
{
    model_part(o);
    shape_part(o);
    text_part(o);
    weights(o, "types", "Formats");
    if (qn_args_flag(a, "weights"))
        weights(o, "roles", "Weights");
    unused(json_object_get(o, "ignored_tensors"));
    memory_part(o);
    if (!qn_args_flag(a, "kernels"))
        return;
    qn_table_heading("Kernels");
    qn_report_kernels(json_object_get(o, "kernels"));
}

static int info(qn_args *a, qn_err *err)
{
    const char *path;
    qn_model *m;
    char *text = NULL;
    json_t *o = NULL;
    QN_TRY(qn_model_operand(a, &path, err));
    QN_TRY(qn_open_model(&m, a, path, true, err));
    int rc = qn_model_info(m, qn_args_int(a, "context"),
                           (int)qn_args_int(a, "batch-size"), &text, err);
    qn_model_close(m);
    if (rc == 0)
        rc = qn_json_parse(&o, text, strlen(text), "report", err);
    qn_free(text);
    if (rc < 0)
        return rc;
    if (qn_args_flag(a, "json"))
        qn_report_print(o);
    else
        report(o, a);
    json_decref(o);
    return 0;
}

const qn_command qn_cmd_info = {
    .name = "info",
    .summary = "what a model is: architecture, formats, memory plan",
    .operands = "[MODEL]",
    .max_operands = 1,
    .about = "Describes a model without loading its weights: architecture, "
             "parameters, formats, and the memory that it would take.",
    .examples = examples,
    .groups = groups,
    .run = info,
};
