/* model_word.h - whether the first word of a prompt names a model.
 *
 * "quern run MODEL PROMPT" is how other programs are called. Words are a
 * prompt, so without this the built-in model would go on from the name. */
#ifndef QN_CLI_MODEL_WORD_H
#define QN_CLI_MODEL_WORD_H

#include "cli/option.h"

/* Unless a flag or a file names the model: a first word that is one which is
 * here, with a prompt behind it or by an option, leaves the words and becomes
 * --model. What can only be meant as a model is an error else. */
int qn_model_word_take(qn_args *a, qn_err *err);

#endif
