/* request_args.c - see request_args.h. */
#include "cli/request_args.h"

#include "base/knobs.h"
#include "base/str.h"
#include "cli/interrupt.h"
#include "cli/terminal.h"
#include "engine/format.h"
#include "engine/request_check.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

const qn_opt qn_model_opts[] = {
    {"model", 'm', QN_OPT_FILE, .arg = "MODEL",
     .help = "A Hugging Face folder, a GGUF or .safetensors file, or a name on "
             "the hub that was pulled (org/name). Without it, or as "
             "\"builtin\", the small built-in model.",
     .also = "model-path model-name-or-path", .env = "QUERN_MODEL"},
    {"threads", 't', QN_OPT_INT, .arg = "N",
     .help = "Threads; 0: as many as the machine grants.", .def = "0",
     .env = "QUERN_THREADS", .lo = 0, .hi = 4096},
    {"memory-limit", 0, QN_OPT_SIZE, .arg = "BYTES",
     .help =
         "Refuse what would need more memory, such as 8GiB; without it, what is "
         "available."},
    {"isa", 0, QN_OPT_CHOICE,
     .arg = "ref|avx2|avxvnni|avx512|avx512vnni|avx512bf16|amx",
     .help = "Use no newer instructions than these."},
    {"exact", 0, QN_OPT_FLAG,
     .help =
         "Compute in f32 on the dequantized weights; activations are never rounded. "
         "Slower."},
    {0},
};

const qn_opt qn_engine_opts[] = {
    {"context", 'c', QN_OPT_INT, .arg = "N",
     .help =
         "Tokens of KV cache, for all sequences together; 0: what is needed.",
     .def = "0", .also = "n-ctx ctx-size max-model-len", .lo = 0,
     .hi = INT32_MAX},
    {"batch-size", 'b', QN_OPT_INT, .arg = "N",
     .help =
         "Sequences that run at the same time; 0: 16, or fewer if there are fewer.",
     .def = "0", .also = "max-seqs", .lo = 0, .hi = 4096},
    {"chunk-size", 0, QN_OPT_INT, .arg = "N",
     .help = "Tokens of a prompt in one step; 0: 512.", .def = "0",
     .also = "max-batch ubatch-size", .lo = 0, .hi = 65536},
    {"max-prompt-rows", 0, QN_OPT_INT, .arg = "N",
     .help = "Tokens of prompts in a step while others write, who wait for "
             "them; 0: by what a step takes.",
     .def = "0", .also = "max-prefill-rows", .lo = 0, .hi = 65536},
    {"speculate", 0, QN_OPT_INT, .arg = "N",
     .help = "Guess up to N tokens ahead from what followed the same words "
             "before; the same text in fewer steps. 0: not.",
     .def = "0", .also = "num-speculative-tokens", .lo = 0, .hi = 64},
    {"overcommit", 0, QN_OPT_FLAG,
     .help = "Begin with a prompt before all of the cache that its answer may "
             "take is free; who came last may have to wait and is computed "
             "again."},
    {"swap-space", 0, QN_OPT_SIZE, .arg = "BYTES",
     .help = "With --overcommit: memory for the cache of those who wait, such "
             "as 2GiB; it is copied back where that is faster than to compute "
             "it again.",
     .def = "0"},
    {"kv-type", 0, QN_OPT_CHOICE, .arg = "auto|f32|f16|bf16|int8",
     .help = "Format of the KV cache.", .def = "auto"},
    {0},
};

const qn_opt qn_length_opts[] = {
    {"max-new-tokens", 'n', QN_OPT_INT, .arg = "N",
     .help = "Longest completion, in tokens. Default: 256, or what the context "
             "has room for; in a chat all of that.",
     .also = "max-tokens n-predict", .lo = 0, .hi = INT32_MAX},
    {"max-length", 0, QN_OPT_INT, .arg = "N",
     .help = "Longest prompt and completion together, in tokens; overrides "
             "--max-new-tokens.",
     .lo = 1, .hi = INT32_MAX},
    {"min-new-tokens", 0, QN_OPT_INT, .arg = "N",
     .help = "No end of the text before so many tokens.", .def = "0",
     .also = "min-tokens", .lo = 0, .hi = INT32_MAX},
    {"ignore-eos", 0, QN_OPT_FLAG,
     .help = "Go on to the longest completion, whatever the model says."},
    {"context-shift", 0, QN_OPT_FLAG,
     .help = "Where the context is full, forget half of the text behind the "
             "first --keep tokens and go on."},
    {"keep", 0, QN_OPT_INT, .arg = "N",
     .help = "Tokens that are not forgotten.", .def = "0", .also = "n-keep",
     .lo = 0, .hi = INT32_MAX},
    {"kv-window", 0, QN_OPT_INT, .arg = "N",
     .help = "A text without end: look at the first --keep tokens and the last "
             "N (whole pages of 64); nothing is computed again. 0: at all.",
     .def = "0", .lo = 0, .hi = INT32_MAX},
    {"stop", 's', QN_OPT_LIST, .arg = "TEXT",
     .help = "End before this text; may be repeated."},
    {"stop-token-ids", 0, QN_OPT_IDS, .arg = "IDS",
     .help = "End at one of these tokens."},
    {0},
};

const qn_opt qn_output_opts[] = {
    {"n", 0, QN_OPT_INT, .arg = "N", .help = "Completions of the prompt.",
     .def = "1", .also = "num-return-sequences", .lo = 1, .hi = 4096},
    {"num-beams", 0, QN_OPT_INT, .arg = "N",
     .help = "Search with so many beams; sampling options are not used then.",
     .def = "1", .also = "beams", .lo = 1, .hi = 4096},
    {"length-penalty", 0, QN_OPT_REAL, .arg = "X",
     .help = "Beams are ranked by log probability / length^X.", .def = "1",
     .lo = -100, .hi = 100},
    {"early-stopping", 0, QN_OPT_FLAG,
     .help = "End the search when as many beams have ended as there are."},
    {"logprobs", 0, QN_OPT_INT, .arg = "K",
     .help =
         "Log probabilities of the chosen tokens and the K likeliest; in JSON.",
     .also = "n-probs top-logprobs", .lo = 0, .hi = 1024},
    {"prompt-logprobs", 0, QN_OPT_INT, .arg = "K",
     .help = "The same of the prompt's tokens.", .lo = 0, .hi = 1024},
    {"show-special", 0, QN_OPT_FLAG,
     .help = "Leave special tokens in the text."},
    {0},
};

#define BOUNDS_OF(low, high) .lo = low, .hi = high
#define BOUNDS(...) BOUNDS_OF(__VA_ARGS__)

const qn_opt qn_sampling_opts[] = {
    {"temperature", 'T', QN_OPT_REAL, .arg = "X",
     .help =
         "0 takes the likeliest token. Without it what the model's "
         "generation_config.json says, else 0, but 1 when another option here asks "
         "for chance.",
     .also = "temp", BOUNDS(QN_RANGE_TEMPERATURE)},
    {"do-sample", 0, QN_OPT_FLAG,
     .help = "Let chance choose; --no-do-sample is --temperature 0."},
    {"seed", 0, QN_OPT_INT, .arg = "N",
     .help = "Same seed, same text. Without it another one each time.", .lo = 0,
     .hi = 9e18},
    {"top-k", 0, QN_OPT_INT, .arg = "N",
     .help = "Of the N likeliest only; 0: off.", .lo = 0, .hi = INT32_MAX},
    {"top-p", 0, QN_OPT_REAL, .arg = "X",
     .help = "Of the likeliest that together have probability X; 1: off.",
     BOUNDS(QN_RANGE_PART)},
    {"min-p", 0, QN_OPT_REAL, .arg = "X",
     .help = "None below X times the likeliest one's probability; 0: off.",
     BOUNDS(QN_RANGE_PART)},
    {"typical-p", 0, QN_OPT_REAL, .arg = "X",
     .help = "Locally typical tokens of total probability X; 1: off.",
     .also = "typical", BOUNDS(QN_RANGE_PART)},
    {"top-n-sigma", 0, QN_OPT_REAL, .arg = "X",
     .help =
         "None more than X standard deviations below the best logit; 0: off.",
     BOUNDS(QN_RANGE_SIGMA)},
    {"xtc-probability", 0, QN_OPT_REAL, .arg = "X",
     .help = "How often the likeliest ones are left out; 0: off.",
     BOUNDS(QN_RANGE_PART)},
    {"xtc-threshold", 0, QN_OPT_REAL, .arg = "X",
     .help = "Which ones: those above X, but the last of them.",
     BOUNDS(QN_RANGE_PART)},
    {"mirostat", 0, QN_OPT_INT, .arg = "0|2",
     .help = "2: mirostat v2 in place of the above.", .lo = 0, .hi = 2},
    {"mirostat-tau", 0, QN_OPT_REAL, .arg = "X",
     .help = "Surprise that mirostat aims at.", .also = "mirostat-ent",
     BOUNDS(QN_RANGE_MIROSTAT)},
    {"mirostat-eta", 0, QN_OPT_REAL, .arg = "X", .help = "How fast it learns.",
     .also = "mirostat-lr", BOUNDS(QN_RANGE_MIROSTAT)},
    {"repetition-penalty", 0, QN_OPT_REAL, .arg = "X",
     .help =
         "Logits of tokens that were there already are divided by X; 1: off.",
     .also = "repeat-penalty", BOUNDS(QN_RANGE_REPETITION)},
    {"penalty-last-n", 0, QN_OPT_INT, .arg = "N",
     .help = "Tokens that --repetition-penalty looks back; -1: all.",
     .also = "repeat-last-n", .lo = -1, .hi = INT32_MAX},
    {"presence-penalty", 0, QN_OPT_REAL, .arg = "X",
     .help = "Taken from the logits of tokens that the completion has; 0: off.",
     BOUNDS(QN_RANGE_PENALTY)},
    {"frequency-penalty", 0, QN_OPT_REAL, .arg = "X",
     .help = "The same for each time that it has them; 0: off.",
     BOUNDS(QN_RANGE_PENALTY)},
    {"dry-multiplier", 0, QN_OPT_REAL, .arg = "X",
     .help = "Strength of DRY, which hinders repeated passages; 0: off.",
     BOUNDS(QN_RANGE_DRY)},
    {"dry-base", 0, QN_OPT_REAL, .arg = "X",
     .help = "Base of its growth with the length.", BOUNDS(QN_RANGE_DRY)},
    {"dry-allowed-length", 0, QN_OPT_INT, .arg = "N",
     .help = "Longest repetition that it lets pass.", .lo = 1, .hi = INT32_MAX},
    {"dry-range", 0, QN_OPT_INT, .arg = "N",
     .help = "Tokens that it looks back; -1: all.",
     .also = "dry-penalty-last-n", .lo = -1, .hi = INT32_MAX},
    {"dry-breakers", 0, QN_OPT_IDS, .arg = "IDS",
     .help = "Tokens at which a passage ends."},
    {"logit-bias", 0, QN_OPT_LIST, .arg = "ID=X",
     .help = "Add X to the logit of token ID; -inf bans it. May be repeated."},
    {"allowed-ids", 0, QN_OPT_IDS, .arg = "IDS", .help = "No tokens but these.",
     .also = "allowed-token-ids"},
    {"banned-ids", 0, QN_OPT_IDS, .arg = "IDS", .help = "None of these tokens.",
     .also = "bad-token-ids"},
    {"response-format", 0, QN_OPT_CHOICE, .arg = "text|json|json_object",
     .help = "Write nothing but a JSON value, or object; it is complete unless "
             "the length cuts it.",
     .def = "text"},
    {"json-schema", 0, QN_OPT_JSON, .arg = "SCHEMA",
     .help = "Write nothing but JSON that this schema describes; @FILE reads "
             "it from there.",
     .also = "guided-json"},
    {"regex", 0, QN_OPT_TEXT, .arg = "PATTERN",
     .help = "Write nothing but a match of this regular expression.",
     .also = "guided-regex"},
    {"choice", 0, QN_OPT_JSON, .arg = "LIST",
     .help = "Write one of these: a JSON list of strings, or @FILE with one.",
     .also = "guided-choice"},
    {"grammar", 0, QN_OPT_SOURCE, .arg = "GBNF",
     .help = "Write nothing but what this grammar describes, in llama.cpp's "
             "notation; @FILE reads it from there.",
     .also = "guided-grammar"},
    {0},
};

/* ---- the model ----------------------------------------------------------- */

static bool on_progress(void *user, uint64_t done, uint64_t total)
{
    qn_progress_show(user, done, total);
    return !qn_interrupted();
}

void qn_model_from_args(qn_model_params *p, const qn_args *a)
{
    *p = (qn_model_params){
        .n_threads = (int)qn_args_int(a, "threads"),
        .memory_limit = (uint64_t)qn_args_int(a, "memory-limit"),
        .kernels = qn_args_text(a, "isa"),
        .exact = qn_args_flag(a, "exact"),
    };
}

int qn_open_model(qn_model **out, const qn_args *a, const char *path,
                  bool no_weights, qn_err *err)
{
    qn_progress bar;
    qn_model_params p;
    qn_model_from_args(&p, a);
    p.no_weights = no_weights;
    p.progress = on_progress;
    p.progress_user = &bar;
    qn_progress_begin(&bar, "Reading the weights", true,
                      qn_args_flag(a, "quiet"));
    int rc = qn_model_open(out, path ? path : qn_args_text(a, "model"), &p,
                           err);
    qn_progress_end(&bar);
    return rc;
}

int qn_model_operand(const qn_args *a, const char **path, qn_err *err)
{
    const char *word = qn_args_operand(a, 0);
    if (word && qn_args_source(a, "model") == QN_FROM_FLAG)
        return qn_usage(err,
                        "the model is given twice: --model %.80s and %.80s",
                        qn_args_text(a, "model"), word);
    *path = word ? word : qn_args_text(a, "model");
    return 0;
}

static const char *const kv_types[] = {"auto", "f32", "f16", "bf16", "int8"};

const char *qn_kv_type_name(qn_kv_type t)
{
    return kv_types[t];
}

qn_kv_type qn_kv_type_arg(const qn_args *a)
{
    int i = QN_COUNTOF(kv_types) - 1;
    while (i > 0 && !qn_args_is(a, "kv-type", kv_types[i]))
        i--;
    return (qn_kv_type)i;
}

void qn_engine_from_args(qn_engine_params *p, const qn_args *a)
{
    *p = (qn_engine_params){
        .n_ctx = qn_args_int(a, "context"),
        .max_seqs = (int)qn_args_int(a, "batch-size"),
        .max_batch = (int)qn_args_int(a, "chunk-size"),
        .max_prompt_rows = (int)qn_args_int(a, "max-prompt-rows"),
        .speculate = (int)qn_args_int(a, "speculate"),
        .overcommit = qn_args_flag(a, "overcommit"),
        .swap_bytes = (uint64_t)qn_args_int(a, "swap-space"),
        .kv_type = qn_kv_type_arg(a),
    };
}

int qn_engine_args_check(const qn_args *a, qn_err *err)
{
    if (qn_args_int(a, "swap-space") > 0 && !qn_args_flag(a, "overcommit"))
        return qn_usage(err, "--swap-space is for those who wait, which "
                             "nobody does without --overcommit");
    return 0;
}

/* ---- messages of the library ---------------------------------------------- */

static const struct {
    const char *field, *option;
} field_names[] = {
    {"max_new_tokens", "--max-new-tokens"},
    {"min_new_tokens", "--min-new-tokens"},
    {"n_ctx", "--context"},
    {"max_seqs", "--batch-size"},
    {"n", "--n"},
    {"n_beams", "--num-beams"},
    {"n_logprobs", "--logprobs"},
    {"n_prompt_logprobs", "--prompt-logprobs"},
    {"context_shift", "--context-shift"},
    {"n_keep", "--keep"},
    {"kv_window", "--kv-window"},
};

/* What stands in quotes is the user's own. */
static const char *option_of(const char *text, const char *word, size_t n)
{
    if (word > text && word[-1] != ' ')
        return NULL;
    for (size_t i = 0; i < QN_COUNTOF(field_names); i++)
        if (strlen(field_names[i].field) == n &&
            strncmp(field_names[i].field, word, n) == 0)
            return field_names[i].option;
    return NULL;
}

int qn_name_options(int rc, qn_err *err)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz_-0123456789";
    qn_str s = {0};
    if (rc != QN_EINVAL && rc != QN_ELIMIT && rc != QN_EUNSUP)
        return rc;
    for (const char *p = err->msg; *p;) {
        size_t n = strspn(p, letters);
        const char *option = option_of(err->msg, p, n);
        if (option)
            qn_str_adds(&s, option);
        else
            qn_str_add(&s, p, QN_MAX(n, (size_t)1));
        p += QN_MAX(n, (size_t)1);
    }
    rc = qn_fail(err, rc, "%s", s.p ? s.p : "");
    qn_str_deinit(&s);
    return rc;
}

/* ---- a request ----------------------------------------------------------- */

typedef struct knob {
    const char *name;
    size_t offset;
    bool is_int;
} knob;

#define REAL(name, field)                         \
    {                                             \
        name, offsetof(qn_sampling, field), false \
    }
#define WHOLE(name, field)                       \
    {                                            \
        name, offsetof(qn_sampling, field), true \
    }

static const knob knobs[] = {
    REAL("temperature", temperature),
    WHOLE("top-k", top_k),
    REAL("top-p", top_p),
    REAL("min-p", min_p),
    REAL("typical-p", typical_p),
    REAL("top-n-sigma", top_n_sigma),
    REAL("xtc-probability", xtc_probability),
    REAL("xtc-threshold", xtc_threshold),
    WHOLE("mirostat", mirostat),
    REAL("mirostat-tau", mirostat_tau),
    REAL("mirostat-eta", mirostat_eta),
    REAL("repetition-penalty", repetition_penalty),
    WHOLE("penalty-last-n", penalty_last_n),
    REAL("presence-penalty", presence_penalty),
    REAL("frequency-penalty", frequency_penalty),
    REAL("dry-multiplier", dry_multiplier),
    REAL("dry-base", dry_base),
    WHOLE("dry-allowed-length", dry_allowed_length),
    WHOLE("dry-range", dry_range),
};

static uint64_t new_seed(void)
{
    uint32_t seed = 0;
    if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed)
        seed = 1;
    return seed;
}

static void set_knobs(qn_sampling *s, const qn_args *a)
{
    for (size_t i = 0; i < QN_COUNTOF(knobs); i++) {
        const knob *k = &knobs[i];
        void *field = (char *)s + k->offset;
        if (!qn_args_given(a, k->name))
            continue;
        if (k->is_int)
            *(int *)field = (int)qn_args_int(a, k->name);
        else
            *(float *)field = (float)qn_args_real(a, k->name);
    }
}

static int set_temperature(qn_sampling *s, const qn_args *a, int n_drawn,
                           qn_err *err)
{
    bool given = qn_args_given(a, "do-sample");
    bool sample = qn_args_flag(a, "do-sample");
    if (qn_args_given(a, "temperature")) {
        if (given && sample != (s->temperature > 0))
            return qn_usage(err, "--temperature %g contradicts %s",
                            (double)s->temperature,
                            sample ? "--do-sample" : "--no-do-sample");
        return 0;
    }
    if (given && !sample)
        s->temperature = 0;
    else if (s->temperature == 0 && sample)
        s->temperature = 1;
    else
        qn_sampling_complete(s, n_drawn);
    return 0;
}

static int set_bias(qn_sampling *s, qn_logit_bias **bias, const qn_args *a,
                    qn_err *err)
{
    const char *const *texts;
    size_t n = qn_args_list(a, "logit-bias", &texts);
    *bias = qn_xcalloc(n + 1, sizeof **bias);
    for (size_t i = 0; i < n; i++) {
        char *end, *end2 = NULL;
        long id = strtol(texts[i], &end, 10);
        double v = *end == '=' || *end == ':' ? strtod(end + 1, &end2) : 0;
        if (end == texts[i] || !end2 || end2 == end + 1 || *end2 || id < 0 ||
            id > INT32_MAX || isnan(v))
            return qn_usage(err,
                            "--logit-bias wants ID=X such as 42=-5 or "
                            "42=-inf, not '%.40s'",
                            texts[i]);
        (*bias)[i] = (qn_logit_bias){(int32_t)id, (float)v};
    }
    s->logit_bias = *bias;
    s->n_logit_bias = n;
    return 0;
}

static int set_sampling(qn_sampling *s, qn_logit_bias **bias, const qn_args *a,
                        const qn_model *m, int n_drawn, qn_err *err)
{
    qn_sampling_from_model(m, s);
    set_knobs(s, a);
    QN_TRY(set_temperature(s, a, n_drawn, err));
    s->n_allowed = qn_args_ids(a, "allowed-ids", &s->allowed_ids);
    s->n_banned = qn_args_ids(a, "banned-ids", &s->banned_ids);
    s->n_dry_breakers = qn_args_ids(a, "dry-breakers", &s->dry_breakers);
    s->seed = qn_args_given(a, "seed") ? (uint64_t)qn_args_int(a, "seed")
                                       : new_seed();
    return set_bias(s, bias, a, err);
}

static void set_output(qn_request_params *p, const qn_args *a)
{
    p->n = (int)qn_args_int(a, "n");
    p->n_beams = (int)qn_args_int(a, "num-beams");
    p->length_penalty = (float)qn_args_real(a, "length-penalty");
    p->early_stopping = qn_args_flag(a, "early-stopping");
    if (qn_args_given(a, "logprobs"))
        p->n_logprobs = (int)qn_args_int(a, "logprobs");
    if (qn_args_given(a, "prompt-logprobs"))
        p->n_prompt_logprobs = (int)qn_args_int(a, "prompt-logprobs");
    p->skip_special = !qn_args_flag(a, "show-special");
}

static int set_format(qn_request_params *p, const qn_args *a, qn_err *err)
{
    static const char *const names[] = {"text", "json", "json_object"};
    for (size_t i = 0; i < QN_COUNTOF(names); i++)
        if (qn_args_is(a, "response-format", names[i]))
            p->format = (qn_format)i;
    static const struct {
        const char *option;
        qn_format format;
    } rows[] = {{"json-schema", QN_FORMAT_JSON_SCHEMA},
                {"regex", QN_FORMAT_REGEX},
                {"choice", QN_FORMAT_CHOICE},
                {"grammar", QN_FORMAT_GRAMMAR}};
    for (size_t i = 0; i < QN_COUNTOF(rows); i++) {
        if (!qn_args_given(a, rows[i].option))
            continue;
        if (p->schema)
            return qn_usage(err,
                            "--%s: another option says what the text has "
                            "to be",
                            rows[i].option);
        if (qn_args_is(a, "response-format", "text") &&
            qn_args_given(a, "response-format"))
            return qn_usage(err, "--response-format text contradicts --%s",
                            rows[i].option);
        p->format = rows[i].format;
        p->schema = qn_args_text(a, rows[i].option);
        p->n_schema = strlen(p->schema);
    }
    return 0;
}

/* All that neither the model nor the prompt has a say in. */
static int set_request(qn_request_params *p, const qn_args *a, qn_err *err)
{
    const int32_t *ids;
    if (qn_args_given(a, "allowed-ids") &&
        qn_args_ids(a, "allowed-ids", &ids) == 0)
        return qn_usage(err, "--allowed-ids names no token: nothing could be "
                             "written");
    qn_request_params_default(p);
    if (qn_args_given(a, "max-new-tokens"))
        p->max_new_tokens = (int)qn_args_int(a, "max-new-tokens");
    p->min_new_tokens = (int)qn_args_int(a, "min-new-tokens");
    p->ignore_eos = qn_args_flag(a, "ignore-eos");
    p->context_shift = qn_args_flag(a, "context-shift");
    p->n_keep = (int)qn_args_int(a, "keep");
    p->kv_window = (int)qn_args_int(a, "kv-window");
    p->n_stop = qn_args_list(a, "stop", &p->stop);
    p->n_stop_ids = qn_args_ids(a, "stop-token-ids", &p->stop_ids);
    if (qn_args_has(a, "n"))
        set_output(p, a);
    return set_format(p, a, err);
}

int qn_request_args_check(const qn_args *a, qn_err *err)
{
    qn_request_params p;
    qn_sampling s;
    qn_sampling_default(&s);
    set_knobs(&s, a);
    int rc = set_temperature(&s, a, 1, err);
    if (rc == 0)
        rc = set_request(&p, a, err);
    if (rc == 0)
        rc = qn_request_check(&p, err);
    if (rc == 0)
        rc = qn_format_check(p.format, p.schema, p.n_schema, err);
    return qn_name_options(rc, err);
}

int qn_request_from_args(qn_request_params *p, qn_logit_bias **bias,
                         const qn_args *a, const qn_model *m, size_t n_prompt,
                         qn_err *err)
{
    QN_TRY(set_request(p, a, err));
    if (qn_args_given(a, "max-length")) {
        int64_t max = qn_args_int(a, "max-length");
        if (max <= (int64_t)n_prompt)
            return qn_fail(err, QN_ELIMIT,
                           "the prompt has %zu tokens and --max-length is "
                           "%lld: nothing is left for the completion",
                           n_prompt, (long long)max);
        p->max_new_tokens = (int)(max - (int64_t)n_prompt);
    }
    return set_sampling(&p->sampling, bias, a, m, p->n_beams > 1 ? 1 : p->n,
                        err);
}
