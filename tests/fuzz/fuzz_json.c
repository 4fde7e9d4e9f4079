/* fuzz_json.c: JSON from outside. What is accepted must survive being written
 * and read again; the typed readers must cope with any value. */
#include "base/json.h"

#include <stdint.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_typed(const json_t *o)
{
    const char *key, *s;
    json_t *value;
    int64_t i;
    double d;
    bool b;

    json_object_foreach((json_t *)o, key, value)
    {
        qn_json_i64(o, key, &i, "doc", NULL);
        qn_json_f64(o, key, &d, "doc", NULL);
        qn_json_bool(o, key, &b, "doc", NULL);
        qn_json_str(o, key, &s, "doc", NULL);
    }
}

/* As Python writes it; what is JSON anyway means the same. */
static void read_python(const char *p, size_t n, const json_t *plain)
{
    json_t *v = NULL;
    qn_err err;

    int rc = qn_json_parse_python(&v, p, n, "doc", &err);
    if (rc < 0 ? !err.msg[0] || plain : plain && !json_equal(v, plain))
        abort();
    json_decref(v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *v = NULL, *again = NULL;
    qn_err err;
    char *text;

    int rc = qn_json_parse(&v, (const char *)data, size, "doc", &err);
    read_python((const char *)data, size, v);
    if (rc < 0)
        return 0;
    read_typed(v);
    text = json_dumps(v, JSON_ENCODE_ANY);
    if (!text || qn_json_parse(&again, text, strlen(text), "doc", &err) < 0 ||
        !json_equal(v, again))
        abort();
    free(text);
    json_decref(again);
    json_decref(v);
    return 0;
}
