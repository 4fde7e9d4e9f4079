/* fuzz_regex.c: a regular expression, as a text and within a JSON string, and
 * the same bytes as a list of choices and as GBNF; then what they write. The input
 * is the pattern, a NUL, and bytes that choose among what is allowed. */
#include "base/json.h"
#include "base/mem.h"
#include "text/gbnf.h"
#include "text/json_grammar.h"
#include "text/regex_grammar.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whatever is begun can be ended. */
static void walk(qn_grammar *g, const uint8_t *choice, size_t n)
{
    size_t len = 0;
    uint32_t s = qn_gram_begin(g);
    for (; len < 256 && !qn_gram_is_over(g, s); len++) {
        uint8_t b = len < n ? choice[len] : (uint8_t)len;
        uint32_t to = QN_GRAM_DEAD;
        for (int tries = 0; tries < 256 && to == QN_GRAM_DEAD; tries++, b++)
            to = qn_gram_next(g, s, b);
        if (to == QN_GRAM_DEAD)
            break;
        s = to;
    }
    if (!qn_gram_full(g) && len < 256 && !qn_gram_accepts(g, s))
        abort();
}

static void end(int rc, qn_grammar *g, const qn_err *err, const uint8_t *choice,
                size_t n)
{
    if (rc < 0 && (!err->msg[0] || g))
        abort();
    if (rc < 0)
        return;
    walk(g, choice, n);
    qn_grammar_free(g);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *nul = size ? memchr(data, 0, size) : NULL;
    size_t n = nul ? (size_t)(nul - data) : size;
    const char *p = size ? (const char *)data : "";
    qn_err err = {0};
    qn_grammar *g = NULL;
    int rc = qn_regex_grammar(&g, p, n, &err);
    end(rc, g, &err, data + n, size - n);
    g = NULL;
    rc = qn_choice_grammar(&g, p, n, &err);
    end(rc, g, &err, data + n, size - n);
    g = NULL;
    rc = qn_gbnf_grammar(&g, p, n, &err);
    end(rc, g, &err, data + n, size - n);
    json_t *s = json_pack("{s:s,s:s%}", "type", "string", "pattern", p, n);
    char *schema = s ? json_dumps(s, 0) : NULL;
    g = NULL;
    if (schema) {
        rc = qn_schema_grammar(&g, schema, strlen(schema), &err);
        end(rc, g, &err, data + n, size - n);
    }
    free(schema);
    json_decref(s);
    return 0;
}
