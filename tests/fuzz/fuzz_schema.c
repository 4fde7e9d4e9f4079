/* fuzz_schema.c: a JSON schema, and a text that its grammar writes. The input
 * is the schema, a NUL, and bytes that choose among what is allowed. What is
 * complete has to be JSON. */
#include "base/json.h"
#include "text/json_grammar.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(qn_grammar *g, const uint8_t *choice, size_t n)
{
    char text[512];
    size_t len = 0;
    uint32_t s = qn_gram_begin(g);
    for (; len < sizeof text && !qn_gram_is_over(g, s); len++) {
        uint8_t b = len < n ? choice[len] : (uint8_t)len;
        uint32_t to = QN_GRAM_DEAD;
        for (int tries = 0; tries < 256 && to == QN_GRAM_DEAD; tries++, b++)
            to = qn_gram_next(g, s, b);
        if (to == QN_GRAM_DEAD)
            break;
        text[len] = (char)(b - 1);
        s = to;
    }
    if (qn_gram_full(g))
        return;
    if (qn_gram_accepts(g, s)) {
        json_t *v = json_loadb(text, len, JSON_DECODE_ANY, NULL);
        if (!v)
            abort();
        json_decref(v);
    } else if (len < sizeof text) {
        abort(); /* begun, and no way to the end */
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    qn_err err = {0};
    qn_grammar *g = NULL;
    const uint8_t *nul = size ? memchr(data, 0, size) : NULL;
    size_t n = nul ? (size_t)(nul - data) : size;
    if (qn_schema_grammar(&g, (const char *)data, n, &err) < 0) {
        if (!err.msg[0] || g)
            abort();
        return 0;
    }
    walk(g, data + n, size - n);
    qn_grammar_free(g);
    return 0;
}
