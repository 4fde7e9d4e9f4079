/* fuzz_tokenizer_json.c - a tokenizer.json from outside: refused, or fit to
 * encode and decode whatever text comes. */
#include "text/tokenizer.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char text[] =
        "Hello  W\u00F6rld's 1234\n\n <s>\u4F60\u597D</s> \U0001F600\xFF\tend ";
    qn_err err = {0};
    qn_tok *t = NULL;
    if (size > 1 << 16)
        return 0;
    if (qn_tok_open_json(&t, qn_view_of((const char *)data, size), NULL, "fuzz",
                         &err) < 0) {
        if (err.code >= 0 || !err.msg[0])
            abort();
        return 0;
    }
    qn_tok_ids ids = {0};
    qn_tok_spans spans = {0};
    qn_str out;
    qn_str_init(&out);
    if (qn_tok_encode(t, text, sizeof text - 1, QN_TOK_DEFAULT | QN_TOK_FIT,
                      &ids, &spans, &err) == 0) {
        if (ids.n != spans.n)
            abort();
        (void)qn_tok_decode(t, ids.v, ids.n, true, &out, &err);
    }
    for (int32_t id = 0; id < 300; id++)
        (void)qn_tok_decode(t, &id, 1, false, &out, &err);
    qn_str_deinit(&out);
    qn_vec_deinit(&ids);
    qn_vec_deinit(&spans);
    qn_tok_close(t);
    return 0;
}
