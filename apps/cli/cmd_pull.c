/* cmd_pull.c - quern pull: a model from the Hugging Face hub. */
#include "cli/commands.h"

#include "cli/interrupt.h"
#include "cli/terminal.h"

#include <string.h>

static const qn_opt pull_opts[] = {
    {"file", 'f', QN_OPT_TEXT, .arg = "NAME",
     .help = "Of a repository with several GGUF files, the one with this in "
             "its name: Q4_K_M."},
    {"parallel", 0, QN_OPT_INT, .arg = "N",
     .help = "Files that are downloaded at the same time.", .def = "4", .lo = 1,
     .hi = 32},
    {0},
};
static const qn_opt_group groups[] = {{"Download", pull_opts}, {0}};

static const qn_example examples[] = {
    {"quern pull facebook/opt-350m", "the current revision"},
    {"quern pull org/name@v1.0", "a tag, branch or commit"},
    {"quern pull org/name-GGUF --file q4_k_m", "one of several GGUF files"},
    {"quern run --model facebook/opt-350m --prompt Hello", "and use it"},
    {0},
};

typedef struct show {
    qn_progress bar;
    bool quiet;
    char files[48];
    char note[256]; /* the last one shown */
} show;

static bool on_pull(void *user, const qn_pull_status *s)
{
    show *w = user;

    if (s->note && !w->quiet && strcmp(s->note, w->note) != 0) {
        qn_progress_end(&w->bar);
        qn_note("%s", s->note);
        snprintf(w->note, sizeof w->note, "%s", s->note);
    }
    snprintf(w->files, sizeof w->files, "%d of %d files", s->files_done,
             s->files_total);
    qn_progress_show(&w->bar, s->done, s->total);
    return !qn_interrupted();
}

/* "llama3" is what another program calls a model; here it is asked for on the
 * hub, as gpt2 can be. */
static int tell_form(const char *name, int rc, qn_err *err)
{
    if (strchr(name, '/') || rc == QN_ECANCEL || rc == QN_EINVAL)
        return rc;
    return qn_err_prefix(err, rc,
                         "\"%.60s\" names no organization, which all but the "
                         "oldest names on the hub do (org/name)",
                         name);
}

static int run_pull(qn_args *a, qn_err *err)
{
    const char *name = qn_args_operand(a, 0);
    show w = {.quiet = qn_args_flag(a, "quiet")};
    qn_pull_params p = {
        .file = qn_args_text(a, "file"),
        .n_parallel = (int)qn_args_int(a, "parallel"),
        .progress = on_pull,
        .progress_user = &w,
    };
    char *path = NULL;
    int rc;

    if (!name)
        return qn_usage(err, "which model? quern pull facebook/opt-350m");
    qn_interrupt_watch();
    qn_progress_begin(&w.bar, w.files, true, w.quiet);
    rc = qn_pull(name, &p, &path, err);
    qn_progress_end(&w.bar);
    if (rc < 0)
        return tell_form(name, rc, err);
    printf("%s\n", path);
    qn_free(path);
    return 0;
}

const qn_command qn_cmd_pull = {
    .name = "pull",
    .summary = "download a model from the Hugging Face hub",
    .operands = "NAME[@REVISION]",
    .max_operands = 1,
    .about =
        "Downloads what is needed to run a model: configuration, tokenizer, "
        "weights (safetensors, else .bin, else GGUF), into the cache that "
        "Hugging Face's own programs use. What is there already is not "
        "downloaded again; a download that was cut is continued; checksums "
        "are compared. Prints where the model lies; --model NAME finds it "
        "there by itself.\n"
        "\n"
        "HF_TOKEN is sent to the hub (not to the hosts that it refers to); "
        "without it, the token that a login saved. HF_ENDPOINT is another "
        "hub, HF_HOME or HF_HUB_CACHE another cache; with HF_HUB_OFFLINE=1 "
        "only the cache is looked at.",
    .examples = examples,
    .groups = groups,
    .run = run_pull,
};
