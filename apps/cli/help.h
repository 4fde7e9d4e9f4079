/* help.h - what --help prints. */
#ifndef QN_CLI_HELP_H
#define QN_CLI_HELP_H

#include "cli/option.h"

void qn_help_command(const qn_command *cmd);
void qn_help_program(void);

#endif
