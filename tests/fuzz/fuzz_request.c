/* fuzz_request.c: the body of a request for text. The first byte chooses the
 * route, whether unknown fields pass, and whether the body is of /v1/responses
 * and becomes a chat's first. What is refused has a message; what is accepted
 * keeps to the limits of the settings. */
#include "base/json.h"
#include "server/responses.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const qn_fields *f, const qn_settings *set)
{
    const qn_sampling *s = &f->rp.sampling;
    if (f->n > set->max_n || f->best_of > set->max_n ||
        f->rp.n_stop > (size_t)set->max_stop ||
        f->logprobs > set->max_logprobs || f->top_logprobs > set->max_logprobs)
        abort();
    if (!(s->temperature >= 0 && s->temperature <= 1e6f) ||
        !(s->top_p >= 0 && s->top_p <= 1))
        abort();
    for (size_t i = 0; i < f->rp.n_stop; i++)
        if (strlen(f->rp.stop[i]) == 0)
            abort();
    for (size_t i = 0; i < s->n_logit_bias; i++)
        if (s->logit_bias[i].id < 0)
            abort();
}

static bool is_chat(json_t *doc, qn_err *err)
{
    qn_gen g = {0};
    bool ok = qn_responses_ask(&g, doc, err) == 0;
    if (!ok && (!err->msg[0] || !g.f.param))
        abort();
    if (ok && !json_is_array(json_object_get(doc, "messages")))
        abort();
    free(g.asked);
    return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const unsigned routes[] = {QN_FIELD_COMPLETION, QN_FIELD_CHAT,
                                      QN_FIELD_KSERVE};
    if (size < 1)
        return 0;
    qn_settings set;
    qn_settings_init(&set);
    set.lenient_fields = data[0] & 64;
    bool responses = data[0] & 128;
    qn_field_context c = {.set = &set,
                          .model_name = "m",
                          .n_vocab = 1000,
                          .route = responses ? QN_FIELD_CHAT
                                             : routes[data[0] % 3]};
    qn_err err = {0};
    json_t *doc = NULL;
    if (qn_json_parse(&doc, (const char *)data + 1, size - 1, "request",
                      &err) == 0) {
        qn_fields f;
        qn_fields_init(&f);
        bool ok = !responses || !json_is_object(doc) || is_chat(doc, &err);
        if (ok && qn_fields_parse(&f, doc, &c, &err) == 0)
            check(&f, &set);
        else if (!err.msg[0])
            abort();
        qn_fields_deinit(&f);
        json_decref(doc);
    }
    qn_settings_deinit(&set);
    return 0;
}
