#include "small_config.h"

json_t *small_config(const char *type, const char *with)
{
    json_t *o = json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i}",
                          "model_type", type, "vocab_size", 100, "hidden_size",
                          64, "num_hidden_layers", 4, "num_attention_heads", 4,
                          "num_key_value_heads", 2, "intermediate_size", 96,
                          "max_position_embeddings", 128);
    if (with) {
        json_error_t e;
        json_t *w = json_loads(with, 0, &e);
        if (!w)
            fail_msg("%s: %s", with, e.text);
        json_object_update(o, w);
        json_decref(w);
    }
    return o;
}

void read_ok(qn_hparams *hp, const char *type, const char *with)
{
    json_t *o = small_config(type, with);
    qn_err err = {0};
    if (qn_hparams_read(hp, o, &err) < 0)
        fail_msg("%s %s: %s", type, with, err.msg);
    json_decref(o);
}

void read_fails(const char *type, const char *with, int code, const char *text)
{
    json_t *o = small_config(type, with);
    qn_hparams hp;
    qn_err err = {0};
    int rc = qn_hparams_read(&hp, o, &err);
    if (rc != code || !strstr(err.msg, text))
        fail_msg("%s %s: %d \"%s\", not \"%s\"", type, with, rc, err.msg, text);
    json_decref(o);
}
