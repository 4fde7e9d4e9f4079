/* commands.h - the subcommands: one file cmd_NAME.c, one row in commands.c. */
#ifndef QN_CLI_COMMANDS_H
#define QN_CLI_COMMANDS_H

#include "cli/option.h"

extern const qn_command *const qn_commands[]; /* NULL ends */

extern const qn_command qn_cmd_optimize;
extern const qn_command qn_cmd_eval;
extern const qn_command qn_cmd_run;
extern const qn_command qn_cmd_serve;
extern const qn_command qn_cmd_bench_serve;
extern const qn_command qn_cmd_chat;
extern const qn_command qn_cmd_info;
extern const qn_command qn_cmd_doctor;
extern const qn_command qn_cmd_tokenize;
extern const qn_command qn_cmd_detokenize;
extern const qn_command qn_cmd_template;
extern const qn_command qn_cmd_logits;
extern const qn_command qn_cmd_pull;
extern const qn_command qn_cmd_synth;
extern const qn_command qn_cmd_bench;

/* The API reference of quern serve to stdout; `format` is "markdown". */
int qn_serve_api_print(const char *format, qn_err *err);

/* The whole program: returns its exit status. */
int qn_cli_main(int argc, char **argv);

#endif
