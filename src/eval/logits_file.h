/* logits_file.h - a base model's logits of a text, kept for later comparisons.
 *
 * A safetensors file:
 *   about   u8 [n]               JSON: how the rows were made (qn_logits_about)
 *   tokens  i32 [n_tokens]       ids of all documents
 *   logits  f32 [n_rows, n_vocab]  of every scored position, in their order
 *
 * A file is only used for the same rows: the same tokens, the same windows. */
#ifndef QN_EVAL_LOGITS_FILE_H
#define QN_EVAL_LOGITS_FILE_H

#include "base/json.h"
#include "eval/corpus.h"

typedef struct qn_logits_writer qn_logits_writer;
typedef struct qn_logits_reader qn_logits_reader;

/* `model`: what the report says of the model (borrowed). */
int qn_logits_writer_new(qn_logits_writer **out, const char *path,
                         const qn_corpus *c, int n_vocab, const json_t *model,
                         qn_err *err);
int qn_logits_writer_add(qn_logits_writer *w, const float *rows, int n,
                         qn_err *err);
int qn_logits_writer_finish(qn_logits_writer *w, qn_err *err);
/* Without finish: removes what was written. NULL is fine. */
void qn_logits_writer_free(qn_logits_writer *w);

/* QN_EINVAL, and what differs, when the file's rows are not those of `c`. */
int qn_logits_reader_new(qn_logits_reader **out, const char *path,
                         const qn_corpus *c, int n_vocab, qn_err *err);
/* The next rows, as qn_scorer_step gives them. */
int qn_logits_reader_step(qn_logits_reader *r, const float **rows, int *n,
                          qn_err *err);
/* What the file says of its model; borrowed. */
const json_t *qn_logits_reader_model(const qn_logits_reader *r);
void qn_logits_reader_free(qn_logits_reader *r);

#endif
