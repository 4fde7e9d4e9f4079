/* judge.h - what a quantized checkpoint says, held against another. */
#ifndef TEST_QUANTIZE_JUDGE_H
#define TEST_QUANTIZE_JUDGE_H

#include "testing.h"

#include "model/model.h"
#include "quantize/optimize.h"

/* Logits [n, n_vocab] of a sequence, computed exactly (f32 on the decoded
 * weights); the caller frees. The test fails if the checkpoint does not open. */
float *judge_logits(const char *path, const int32_t *tokens, int n,
                    int *n_vocab);

/* Mean over the rows of KL(base || other), in nats. */
double judge_kl(const float *base, const float *other, int n, int n_vocab);

/* Root of the mean square difference over that of `base`. */
double judge_error(const float *base, const float *other, size_t n);

/* A Hugging Face directory of f16 tensors with what a GGUF file of the llama
 * architecture holds, without a vocabulary; the caller frees the name. */
char *judge_as_hf(const char *gguf);

/* The built-in model, or NULL. */
char *judge_built_in(void);

/* The tokens of a text, or of a file, in a checkpoint's vocabulary. */
int32_t *judge_tokens(const char *model, const char *text, size_t *n);

/* A name in the scratch folder that nothing has yet; the caller frees. */
char *judge_fresh(const char *what);

/* A file of a folder, whole; the caller frees it. */
char *judge_slurp(const char *dir, const char *name, size_t *n);

/* Quantizes into a folder; without a model the tiny llama. */
int judge_run(qn_optimize_params *p, const char *to, qn_err *err);

#endif
