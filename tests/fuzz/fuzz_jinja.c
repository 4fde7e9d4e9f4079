/* fuzz_jinja.c: templates from outside.
 *
 * Input: one byte of flags, the template, and after a NUL the context as JSON
 * (else a small conversation). It is compiled and rendered under tight limits;
 * the same again must give the same. */
#include "base/json.h"
#include "text/jinja.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char conversation[] =
    "{\"messages\":[{\"role\":\"system\",\"content\":\"Be kind.\"},"
    "{\"role\":\"user\",\"content\":\"H\xc3\xa9llo \xf0\x9f\x98\x80\"},"
    "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"function\":"
    "{\"name\":\"f\",\"arguments\":{\"a\":1.5,\"b\":[true,-7]}}}]}],"
    "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}],"
    "\"add_generation_prompt\":true,\"bos_token\":\"<s>\",\"n\":3,\"x\":2.5,"
    "\"s\":\"a b\\nc\",\"l\":[3,1,2],\"d\":{\"k\":\"v\",\"w\":{}}}";

static json_t *fuzz_context(const char *p, size_t n)
{
    json_t *c = NULL;

    if (n == 0 || qn_json_parse(&c, p, n, "context", NULL) < 0)
        return json_loads(conversation, 0, NULL);
    return c;
}

static int fuzz_render(const qn_jinja *t, const json_t *context,
                       const qn_jinja_opts *opts, qn_str *out)
{
    qn_err err;
    int rc = qn_jinja_render(t, context, opts, out, &err);

    if (rc < 0 && (out->n || err.code != rc || !err.msg[0]))
        abort();
    if (rc == QN_EINTERNAL)
        abort();
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tm now = {
        .tm_year = 125, .tm_mday = 15, .tm_wday = 3, .tm_yday = 14};
    qn_jinja_opts opts = {
        .limits = {.steps = 100000, .memory = 4 << 20, .output = 1 << 18},
        .now = &now};
    qn_str one, two;
    qn_jinja *t;
    qn_err err;

    if (size == 0)
        return 0;
    const char *text = (const char *)data + 1;
    const char *end = memchr(text, 0, size - 1);
    size_t n = end ? (size_t)(end - text) : size - 1;
    opts.mutable_values = data[0] & 4;
    if (qn_jinja_compile(&t, text, n, "t", data[0] & 3u, &err) < 0) {
        if (err.code == QN_EINTERNAL || !err.msg[0])
            abort();
        return 0;
    }
    json_t *context = fuzz_context(end ? end + 1 : NULL,
                                   end ? size - n - 2 : 0);
    qn_str_init(&one);
    qn_str_init(&two);
    int rc = fuzz_render(t, context, &opts, &one);
    if (fuzz_render(t, context, &opts, &two) != rc || one.n != two.n ||
        (one.n && memcmp(one.p, two.p, one.n) != 0))
        abort();
    qn_str_deinit(&one);
    qn_str_deinit(&two);
    json_decref(context);
    qn_jinja_free(t);
    return 0;
}
