/* fuzz_spm.c - SentencePiece models: whatever the message says, opening gives
 * an error or a tokenizer that encodes and decodes. */
#include "base/json.h"
#include "text/tokenizer.h"

#include <stdlib.h>

static void use(const qn_tok *t, const char *text, size_t n)
{
    qn_err err = {0};
    qn_tok_ids ids = {0};
    qn_tok_spans spans = {0};
    qn_str out;
    qn_str_init(&out);
    if (qn_tok_encode(t, text, n, QN_TOK_DEFAULT, &ids, &spans, &err) == 0) {
        if (spans.n != ids.n)
            abort();
        (void)qn_tok_decode(t, ids.v, ids.n, false, &out, &err);
    }
    qn_str_deinit(&out);
    qn_vec_deinit(&ids);
    qn_vec_deinit(&spans);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char text[] = "ab  a\u00E9 <s>\u2581\n 12\xE2 \uFB01ne ";
    json_t *config = size % 2 ? json_object() : NULL;
    qn_tok *t = NULL;
    qn_err err = {0};
    int rc = qn_tok_open_spm(&t, qn_view_of((const char *)data, size), config,
                             "fuzz", &err);
    if (rc == 0) {
        use(t, text, sizeof text - 1);
        use(t, (const char *)data, size < 300 ? size : 300);
        qn_tok_close(t);
    } else if (err.code >= 0 || !err.msg[0]) {
        abort();
    }
    json_decref(config);
    return 0;
}
