/* completion.h - completion scripts out of the option tables. */
#ifndef QN_CLI_COMPLETION_H
#define QN_CLI_COMPLETION_H

#include "base/err.h"

/* `shell`: "bash" or "zsh"; to stdout. */
int qn_completion_print(const char *shell, qn_err *err);

#endif
