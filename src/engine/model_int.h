/* model_int.h - what a qn_model holds. */
#ifndef QN_ENGINE_MODEL_INT_H
#define QN_ENGINE_MODEL_INT_H

#include "base/vec.h"
#include "engine/sample.h"
#include "engine/template.h"
#include "model/model.h"
#include "text/tokenizer.h"

struct qn_model {
    qn_backend *be;
    qn_net *net;
    qn_tok *tok; /* NULL: tok_err says why */
    qn_err tok_err;
    qn_template *chat; /* NULL: chat_err says why */
    qn_err chat_err;
    json_t *generation; /* generation_config.json or NULL */
    char *path;
    const char *container; /* "hf" or "gguf" */
    QN_VEC(int32_t) end_ids;
    bool no_weights, exact;
    double load_ms;
};

#endif
