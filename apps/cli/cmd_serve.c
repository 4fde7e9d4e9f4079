/* cmd_serve.c - quern serve: the HTTP server of apps/server. */
#include "cli/commands.h"
#include "cli/request_args.h"
#include "server/apidoc.h"
#include "server/auth.h"
#include "server/server.h"

#include <stdio.h>
#include <string.h>

#define OPT(field, nm, kind, low, high, initial, text) \
    {.name = nm,                                       \
     .type = QN_OPT_##kind,                            \
     .help = text,                                     \
     .def = initial,                                   \
     .lo = low,                                        \
     .hi = high},

static const qn_opt listen_opts[] = {QN_SETTINGS_LISTEN(OPT){0}};
static const qn_opt access_opts[] = {QN_SETTINGS_ACCESS(OPT){0}};
static const qn_opt limit_opts[] = {QN_SETTINGS_LIMITS(OPT){0}};
static const qn_opt time_opts[] = {QN_SETTINGS_TIMES(OPT){0}};
static const qn_opt cache_opts[] = {
    {"prefix-caching", 0, QN_OPT_FLAG,
     .help = "Keep the KV of prompts for later ones that begin alike.",
     .def = "true"},
    {0},
};
static const qn_opt step_opts[] = {
    {"max-step-time", 0, QN_OPT_REAL, .arg = "SECONDS",
     .help = "Prompts are cut so that no step takes longer, so that who leaves "
             "or is late is noticed; 0: any time.",
     .def = "0.9", .lo = 0, .hi = 1e6},
    {0},
};

static const qn_opt_group groups[] = {
    {"Model", qn_model_opts},
    {"Engine", qn_engine_opts},
    {"Cache", cache_opts},
    {"Steps", step_opts},
    {"Listening", listen_opts},
    {"Access", access_opts},
    {"Limits", limit_opts},
    {"Time limits", time_opts},
    {0},
};

static const qn_example examples[] = {
    {"quern serve", "The built-in model on http://127.0.0.1:8000."},
    {"quern serve --model DIR --api-key-file keys --host 0.0.0.0",
     "For others on the network, who need a key."},
    {"quern serve --config configs/serving_config.json",
     "Settings from a file; --check-config shows them."},
    {0},
};

static int take_settings(qn_settings *s, const qn_args *a, qn_err *err)
{
    for (size_t i = 0; i < qn_setting_n_rows; i++) {
        const qn_setting *row = &qn_setting_rows[i];
        double v = 0;
        switch (row->kind) {
        case QN_SETTING_TEXT:
        case QN_SETTING_FILE:
            qn_settings_put_text(s, row, qn_args_text(a, row->name));
            continue;
        case QN_SETTING_FLAG: v = qn_args_flag(a, row->name); break;
        case QN_SETTING_REAL: v = qn_args_real(a, row->name); break;
        case QN_SETTING_INT:
        case QN_SETTING_SIZE: v = (double)qn_args_int(a, row->name); break;
        }
        QN_TRY(qn_settings_put_number(s, row, v, err));
    }
    return qn_settings_check(s, err);
}

static int check(qn_args *a, qn_err *err)
{
    qn_settings set = {0};
    qn_auth *keys = NULL;
    int rc = take_settings(&set, a, err) < 0 ? QN_USAGE : 0;
    if (rc == 0)
        rc = qn_auth_new(&keys, set.api_key_file, err);
    qn_auth_free(keys);
    qn_settings_deinit(&set);
    return rc;
}

static int serve(qn_args *a, qn_err *err)
{
    qn_settings set = {0};
    qn_server_init init = {.set = &set};
    if (take_settings(&set, a, err) < 0) {
        qn_settings_deinit(&set);
        return QN_USAGE;
    }
    qn_server_block_signals();
    int rc = qn_model_operand(a, &init.name, err);
    if (rc == 0)
        rc = qn_open_model(&init.model, a, init.name, false, err);
    if (rc < 0) {
        qn_settings_deinit(&set);
        return rc;
    }
    qn_model_from_args(&init.open, a);
    qn_engine_from_args(&init.engine, a);
    init.engine.max_step_ms = qn_args_real(a, "max-step-time") * 1e3;
    init.engine.prefix_cache = qn_args_flag(a, "prefix-caching");
    return qn_server_run(&init, err);
}

int qn_serve_api_print(const char *format, qn_err *err)
{
    qn_str out;
    if (strcmp(format, "markdown") != 0)
        return qn_usage(err, "--generate-api wants markdown");
    qn_str_init(&out);
    int rc = qn_apidoc_write(&out, err);
    if (rc == 0)
        fputs(out.p, stdout);
    qn_str_deinit(&out);
    return rc;
}

const qn_command qn_cmd_serve = {
    .name = "serve",
    .summary = "answer requests over HTTP",
    .operands = "[MODEL]",
    .max_operands = 1,
    .about =
        "Serves a model to many clients at once: OpenAI's completions and chat "
        "completions, the text routes of vLLM, KServe v2, metrics for "
        "Prometheus; and a web page to chat and to watch it, at /.\n\n"
        "It listens on the loopback address unless told otherwise. SIGTERM "
        "lets running requests finish, a second one ends them; SIGHUP reads "
        "API keys and certificate again.",
    .examples = examples,
    .groups = groups,
    .run = serve,
    .check = check,
};
