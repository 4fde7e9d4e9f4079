/* request_args.h - the options that open a model and that shape a request,
 * shared by the commands that generate text, and what becomes of them. */
#ifndef QN_CLI_REQUEST_ARGS_H
#define QN_CLI_REQUEST_ARGS_H

#include "cli/option.h"

extern const qn_opt qn_model_opts[];    /* --model and how it is opened   */
extern const qn_opt qn_engine_opts[];   /* --context, --batch-size, ...   */
extern const qn_opt qn_length_opts[];   /* where a completion ends        */
extern const qn_opt qn_output_opts[];   /* n, beams, logprobs             */
extern const qn_opt qn_sampling_opts[]; /* temperature, top-p, ...        */

/* --threads, --isa, ...: how to open a model. */
void qn_model_from_args(qn_model_params *p, const qn_args *a);
/* Opens --model, or `path` if it is not NULL; progress on a terminal.
 * `no_weights` as in qn_model_params. */
int qn_open_model(qn_model **out, const qn_args *a, const char *path,
                  bool no_weights, qn_err *err);
/* MODEL as first operand or --model, both is an error; NULL: the built-in. */
int qn_model_operand(const qn_args *a, const char **path, qn_err *err);

/* --kv-type, where a command has it. */
qn_kv_type qn_kv_type_arg(const qn_args *a);
const char *qn_kv_type_name(qn_kv_type t);
/* What qn_engine_opts say; the caller may fill what they leave 0. */
void qn_engine_from_args(qn_engine_params *p, const qn_args *a);

/* What the options of a request and of an engine demand of one another, before
 * a model is opened. */
int qn_request_args_check(const qn_args *a, qn_err *err);
int qn_engine_args_check(const qn_args *a, qn_err *err);
/* Puts the names of options where a message of the library has those of its
 * fields; returns rc. */
int qn_name_options(int rc, qn_err *err);

/* A request's parameters without its prompt. Arrays point into `a` and into
 * `bias`, which the caller frees after the request was submitted. Unless the
 * seed is given it is a new one each time. */
int qn_request_from_args(qn_request_params *p, qn_logit_bias **bias,
                         const qn_args *a, const qn_model *m, size_t n_prompt,
                         qn_err *err);

#endif
