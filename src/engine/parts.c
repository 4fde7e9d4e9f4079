/* parts.c - see parts.h. */
#include "engine/parts.h"

#include "engine/model_int.h"

qn_net *qn_model_net(const qn_model *m)
{
    return m->net;
}

int qn_model_tok(const qn_model *m, const qn_tok **tok, qn_err *err)
{
    if (!m->tok)
        return qn_fail(err, QN_EUNSUP, "%s has no usable tokenizer: %s",
                       m->path, m->tok_err.msg);
    *tok = m->tok;
    return 0;
}

const char *qn_model_path(const qn_model *m)
{
    return m->path;
}

bool qn_model_is_exact(const qn_model *m)
{
    return m->exact;
}

qn_kv_dtype qn_model_kv_cell(const qn_model *m, qn_kv_type type)
{
    switch (type) {
    case QN_KV_F32: return QN_KV_CELL_F32;
    case QN_KV_F16: return QN_KV_CELL_F16;
    case QN_KV_BF16: return QN_KV_CELL_BF16;
    case QN_KV_INT8: return QN_KV_CELL_I8;
    case QN_KV_AUTO: break;
    }
    return m->exact ? QN_KV_CELL_F32 : qn_net_kv_auto(m->net);
}
