/* fuzz_options.c: the command line and the JSON objects that set options. The
 * input is words, a line each, and behind a NUL a JSON object. */
#include "base/json.h"
#include "cli/commands.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    MAX_WORDS = 64
};

static void read_all(const qn_args *a)
{
    for (size_t i = 0; i < a->values.n; i++) {
        const qn_value *v = &a->values.v[i];
        const char *name = v->opt->name;
        double r = qn_args_real(a, name);
        if (v->from == QN_FROM_NOWHERE)
            continue;
        /* what a table bounds is within its bounds */
        if (v->opt->hi > v->opt->lo && (r < v->opt->lo || r > v->opt->hi))
            abort();
        if (v->opt->type == QN_OPT_IDS)
            for (size_t k = 0; k < v->ids.n; k++)
                if (v->ids.v[k] < 0)
                    abort();
    }
}

static void set_json(qn_args *a, const char *text, size_t n)
{
    json_t *v = NULL;
    qn_err err;
    qn_args copy;
    if (qn_json_parse(&v, text, n, "line 1", &err) < 0)
        return;
    qn_args_copy(&copy, a);
    qn_args_set_json(&copy, v, "line 1", QN_FROM_FLAG, &err);
    read_all(&copy);
    qn_args_deinit(&copy);
    json_decref(v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1), *words[MAX_WORDS];
    const char *nul = size ? memchr(data, 0, size) : NULL;
    size_t n_text = nul ? (size_t)(nul - (const char *)data) : size;
    int n = 0;
    qn_err err;
    qn_args a;

    if (!text)
        return 0;
    memcpy(text, data, n_text);
    text[n_text] = 0;
    for (char *w = strtok(text, "\n"); w && n < MAX_WORDS;
         w = strtok(NULL, "\n"))
        words[n++] = w;
    int rc = qn_args_parse(&a, &qn_cmd_run, n, words, &err);
    if (rc == 0 && !a.help) {
        read_all(&a);
        if (nul)
            set_json(&a, nul + 1, size - n_text - 1);
    }
    qn_args_deinit(&a);
    free(text);
    return 0;
}
