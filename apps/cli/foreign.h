/* foreign.h - names that options and commands have in other programs.
 *
 * Who comes from llama.cpp, vLLM or ollama types their names. Such a name is
 * no misspelling, so the nearest of ours would say little: a table says what
 * it is called here, or why it is not needed. */
#ifndef QN_CLI_FOREIGN_H
#define QN_CLI_FOREIGN_H

#include "cli/option.h"

/* What to say of an option that the command does not have: "here it is --x", or
 * a reason; NULL when nothing is known. `name` is without dashes before it. */
const char *qn_foreign_option(const qn_args *a, const char *name);
/* Whether a word of one dash is such a name rather than letters: "-ngl". */
bool qn_foreign_letters(const char *word);
/* The same of a command. */
const char *qn_foreign_command(const char *word);

#endif
