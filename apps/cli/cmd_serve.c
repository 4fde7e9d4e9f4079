/* cmd_serve.c - quern serve: the HTTP server of apps/server. */
#include "cli/commands.h"
#include "cli/request_args.h"
#include "server/apidoc.h"
#include "server/auth.h"
#include "server/reasoning.h"
#include "server/server.h"
#include "server/tls.h"
#include "server/toolcall.h"

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
     .def = "true", .also = "enable-prefix-caching"},
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

/* What the settings demand of one another and of the tables of parsers. */
static int check_settings(const qn_args *a, qn_settings *s, qn_err *err)
{
    qn_reasoning_kind reasoning;
    qn_toolcall_kind tools;
    bool given = qn_args_given(a, "default-max-tokens");
    QN_TRY(take_settings(s, a, err));
    QN_TRY(qn_engine_args_check(a, err));
    if (!qn_reasoning_kind_of(s->reasoning_parser, &reasoning))
        return qn_usage(err,
                        "--reasoning-parser: there is no \"%.40s\"; use think, "
                        "channels or none",
                        s->reasoning_parser);
    if (strcmp(s->tool_call_parser, "auto") != 0 &&
        !qn_toolcall_kind_of(s->tool_call_parser, &tools))
        return qn_usage(err,
                        "--tool-call-parser: there is no \"%.40s\"; 'quern "
                        "serve --help' lists them",
                        s->tool_call_parser);
    if (given && s->max_tokens > 0 && s->default_max_tokens > s->max_tokens)
        return qn_usage(err,
                        "--default-max-tokens is %lld, more than --max-tokens, "
                        "%lld, allows",
                        (long long)s->default_max_tokens,
                        (long long)s->max_tokens);
    return 0;
}

/* Keys and certificate are read, too, when only the settings are checked; the
 * server reads them itself, and what is a pipe can be read once. */
static int check_files(const qn_settings *s, qn_err *err)
{
    qn_auth *keys = NULL;
    qn_tls *tls = NULL;
    int rc = qn_auth_new(&keys, s->api_key_file, err);
    if (rc == 0 && s->tls_cert)
        rc = qn_tls_new(&tls, s->tls_cert, s->tls_key, err);
    qn_tls_free(tls);
    qn_auth_free(keys);
    return rc;
}

static int check(qn_args *a, qn_err *err)
{
    qn_settings set = {0};
    int rc = check_settings(a, &set, err) < 0 ? QN_USAGE : 0;
    if (rc == 0 && qn_args_flag(a, "check-config"))
        rc = check_files(&set, err);
    qn_settings_deinit(&set);
    return rc;
}

static int serve(qn_args *a, qn_err *err)
{
    qn_settings set = {0};
    qn_server_init init = {.set = &set};
    int rc = take_settings(&set, a, err);
    if (set.max_tokens > 0) /* the usual length is bounded, too */
        set.default_max_tokens = QN_MIN(set.default_max_tokens, set.max_tokens);
    qn_server_block_signals();
    if (rc == 0)
        rc = qn_model_operand(a, &init.name, err);
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
