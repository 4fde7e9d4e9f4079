/* foreign.c - see foreign.h. */
#include "cli/foreign.h"

#include <string.h>

#define ONE_MACHINE "quern computes on the CPUs of one machine; leave it out"
#define NO_GPU "quern computes on the CPU; leave it out"
#define NOT_NEEDED "there is nothing to switch here; leave it out"

/* Of several rows with one name the first counts whose option the command has.
 * A row without an option is for every command. */
static const struct {
    const char *names;  /* as they are typed, without dashes, by blanks */
    const char *option; /* of ours, or NULL */
    const char *hint;
} options[] = {
    {"max-num-seqs parallel np", "batch-size", "here it is --batch-size"},
    {"max-num-batched-tokens ub", "chunk-size", "here it is --chunk-size"},
    {"num-ctx", "context", "here it is --context"},
    {"num-predict predict max-completion-tokens", "max-new-tokens",
     "here it is --max-new-tokens"},
    {"system-prompt sys", "system", "here it is --system"},
    {"chat-template-kwargs", "kwargs", "here it is --kwargs"},
    {"cache-type-k cache-type-v kv-cache-dtype ctk ctv", "kv-type",
     "here it is --kv-type"},
    {"speculative-config model-draft draft-model", "speculate",
     "here it is --speculate, which needs no second model"},
    {"ssl-certfile ssl-cert-file", "tls-cert", "here it is --tls-cert"},
    {"ssl-keyfile ssl-key-file", "tls-key", "here it is --tls-key"},
    {"alias", "served-model-name", "here it is --served-model-name"},
    {"allowed-origins", "cors-origin", "here it is --cors-origin"},
    {"uvicorn-log-level", "log-level", "here it is --log-level"},
    {"grammar-file", "grammar", "here it is --grammar @FILE"},
    {"json-schema-file", "json-schema", "here it is --json-schema @FILE"},
    {"json", "output-format", "here it is -o json"},
    {"o output-format format", "json", "here it is --json"},
    {"format", "response-format", "here it is --response-format json"},
    {"hf hf-repo hfr", NULL,
     "'quern pull org/name' fetches a model, --model org/name takes it"},
    {"gpu-memory-utilization", "memory-limit",
     "quern computes on the CPU; --memory-limit bounds its memory"},
    {"ngl n-gpu-layers gpu-layers num-gpu main-gpu split-mode tensor-split",
     NULL, NO_GPU},
    {"tensor-parallel-size tp pipeline-parallel-size pp data-parallel-size",
     NULL, ONE_MACHINE},
    {"dtype", NULL,
     "weights stay as the model has them; 'quern optimize' makes them "
     "smaller"},
    {"quantization", NULL,
     "the model's own configuration says it; leave it out"},
    {"fa flash-attn cb cont-batching enforce-eager jinja", NULL, NOT_NEEDED},
    {"trust-remote-code", NULL,
     "code that comes with a model is never run; leave it out"},
    {"chat-template", NULL, "the model's own chat template is taken"},
    {"cnv conversation interactive", NULL, "'quern chat' is a conversation"},
    {"no-cnv no-conversation", NULL, NOT_NEEDED},
    {"mmproj", NULL, "quern reads text alone"},
    {"lora lora-modules enable-lora", NULL,
     "merge the adapter into its model first"},
};

static const struct {
    const char *names, *hint;
} commands[] = {
    {"quantize", "here it is 'quern optimize'"},
    {"perplexity ppl", "here it is 'quern eval'"},
    {"show", "here it is 'quern info'"},
    {"download", "here it is 'quern pull'"},
    {"benchmark", "here it is 'quern bench'"},
    {"generate complete", "here it is 'quern run'"},
    {"cli", "here it is 'quern run', or 'quern chat'"},
    {"convert", "models are read as they are, and 'quern optimize --method "
                "gguf' writes a GGUF file"},
    {"list ls", "models are files; the hub's cache (~/.cache/huggingface/hub) "
                "has those that were pulled"},
    {"rm", "models are files; remove the folder from the hub's cache "
           "(~/.cache/huggingface/hub)"},
    {"ps", "'quern serve' has one model; its web page and /metrics tell what "
           "it does"},
    {"distill finetune", "quern does not train; 'quern optimize' makes a model "
                         "smaller"},
};

static bool is_listed(const char *names, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = names; n && (p = strstr(p, name)); p += n)
        if ((p == names || p[-1] == ' ') && (p[n] == 0 || p[n] == ' '))
            return true;
    return false;
}

/* '_' and '-' are the same letter in names. */
static void with_dashes(char *out, size_t cap, const char *name)
{
    size_t n = 0;
    for (; name[n] && n + 1 < cap; n++)
        out[n] = name[n] == '_' ? '-' : name[n];
    out[n] = 0;
}

static const char *look_up(const qn_args *a, const char *word)
{
    for (size_t i = 0; i < QN_COUNTOF(options); i++)
        if (is_listed(options[i].names, word) &&
            (!options[i].option || qn_args_has(a, options[i].option)))
            return options[i].hint;
    return NULL;
}

const char *qn_foreign_option(const qn_args *a, const char *name)
{
    char word[64];
    with_dashes(word, sizeof word, name);
    const char *hint = look_up(a, word);
    return hint || strncmp(word, "no-", 3) != 0 ? hint : look_up(a, word + 3);
}

bool qn_foreign_letters(const char *word)
{
    static const char names[] = "-ngl -fa -hf -hfr -ctk -ctv -cb -np -tp -pp "
                                "-ub -sys -cnv -no-cnv";
    return is_listed(names, word);
}

const char *qn_foreign_command(const char *word)
{
    for (size_t i = 0; i < QN_COUNTOF(commands); i++)
        if (is_listed(commands[i].names, word))
            return commands[i].hint;
    return NULL;
}
