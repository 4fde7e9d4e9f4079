/* option_int.h - what parsing, help, manual and completion share. */
#ifndef QN_CLI_OPTION_INT_H
#define QN_CLI_OPTION_INT_H

#include "base/str.h"
#include "cli/option.h"

/* The i-th of "a|b|c" into buf, or NULL. */
const char *qn_choice_at(const char *choices, size_t i, char *buf, size_t cap);

/* Calls fn for every option of a command, the general ones last, with the
 * title of its group. */
void qn_command_each(const qn_command *cmd,
                     void (*fn)(void *user, const char *title, const qn_opt *o),
                     void *user);

/* Whether it has no place in a --config file: "config", "help", ... */
bool qn_opt_only_typed(const qn_opt *o);

/* What help calls the value of an option, NULL for a flag. */
const char *qn_opt_arg(const qn_opt *o);
/* Help, its default and its environment variable in one sentence more. */
void qn_opt_describe(const qn_opt *o, qn_str *out);

#endif
