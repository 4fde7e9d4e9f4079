/* fields_int.h - the rows' readers, which are too long for the table. */
#ifndef QN_SERVER_FIELDS_INT_H
#define QN_SERVER_FIELDS_INT_H

#include "server/fields.h"

struct qn_field;

typedef struct qn_field_reader {
    qn_fields *f;
    const qn_field_context *c;
    const struct qn_field *row;
    qn_err *err;
} qn_field_reader;

typedef int (*qn_field_fn)(const qn_field_reader *r, const json_t *v);

/* "field temperature: ..." */
int qn_field_fail(const qn_field_reader *r, const char *fmt, ...)
    QN_PRINTF(2, 3);

int qn_field_model(const qn_field_reader *r, const json_t *v);
int qn_field_prompt(const qn_field_reader *r, const json_t *v);
int qn_field_messages(const qn_field_reader *r, const json_t *v);
int qn_field_tools(const qn_field_reader *r, const json_t *v);
int qn_field_tool_choice(const qn_field_reader *r, const json_t *v);
int qn_field_kwargs(const qn_field_reader *r, const json_t *v);
int qn_field_stop(const qn_field_reader *r, const json_t *v);
int qn_field_stop_ids(const qn_field_reader *r, const json_t *v);
int qn_field_allowed_ids(const qn_field_reader *r, const json_t *v);
int qn_field_bad_words(const qn_field_reader *r, const json_t *v);
int qn_field_dry_breakers(const qn_field_reader *r, const json_t *v);
int qn_field_logit_bias(const qn_field_reader *r, const json_t *v);
int qn_field_response_format(const qn_field_reader *r, const json_t *v);
int qn_field_guided_json(const qn_field_reader *r, const json_t *v);
int qn_field_guided_regex(const qn_field_reader *r, const json_t *v);
int qn_field_guided_grammar(const qn_field_reader *r, const json_t *v);
int qn_field_guided_choice(const qn_field_reader *r, const json_t *v);
int qn_field_structured(const qn_field_reader *r, const json_t *v);
int qn_field_stream_options(const qn_field_reader *r, const json_t *v);
int qn_field_logprobs(const qn_field_reader *r, const json_t *v);
int qn_field_seed(const qn_field_reader *r, const json_t *v);
int qn_field_side(const qn_field_reader *r, const json_t *v);
int qn_field_modalities(const qn_field_reader *r, const json_t *v);
int qn_field_salt(const qn_field_reader *r, const json_t *v);

#endif
