#include "asked.h"

#include <sys/stat.h>
#include <unistd.h>

qn_model *asked_open(const char *path, bool exact)
{
    qn_model *m = NULL;
    qn_err err = {0};
    qn_model_params p = {.n_threads = 1, .exact = exact};
    if (qn_model_open(&m, path, &p, &err) < 0)
        fail_msg("%s", err.msg);
    return m;
}

float *asked_logits(qn_model *m, const int32_t *ids, size_t n)
{
    qn_engine_params ep = {.n_ctx = (int64_t)n + 64, .max_seqs = 16};
    qn_engine *e = NULL;
    qn_request *req = NULL;
    qn_request_params p;
    qn_err err = {0};
    qn_event ev;
    int left;
    if (qn_engine_new(&e, m, &ep, &err) < 0)
        fail_msg("%s", err.msg);
    qn_request_params_default(&p);
    p.prompt = ids;
    p.n_prompt = n;
    p.max_new_tokens = 0;
    p.prompt_logits = true;
    if (qn_request_submit(e, &p, &req, &err) < 0)
        fail_msg("%s", err.msg);
    while ((left = qn_engine_step(e, &err)) > 0)
        while (qn_request_next(req, &ev)) {
        }
    assert_int_equal(left, 0);
    size_t count = n * (size_t)qn_model_n_vocab(m);
    float *out = malloc(count * sizeof *out);
    memcpy(out, qn_request_prompt_logits(req), count * sizeof *out);
    qn_request_free(req);
    qn_engine_free(e);
    return out;
}

double asked_logprob(const float *row, int n_vocab, int32_t id)
{
    long double sum = 0;
    for (int i = 0; i < n_vocab; i++)
        sum += expl((long double)row[i] - (long double)row[id]);
    return (double)-logl(sum);
}

int asked_argmax(const float *row, int n_vocab)
{
    int best = 0;
    for (int i = 1; i < n_vocab; i++)
        if (row[i] > row[best])
            best = i;
    return best;
}

const char *asked_file(const char *name, const char *text)
{
    /* As long as the program lives; nobody reads it but the leak checker. */
    static char *volatile kept[256];
    static size_t n;
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", qn_test_tmpdir(), name);
    qn_test_write_file(path, text, strlen(text));
    assert_true(n < sizeof kept / sizeof *kept);
    return kept[n++] = strdup(path);
}

const char *asked_words(const char *word, int id)
{
    static char dir[4096];
    static int n;
    char path[4200], text[512];
    snprintf(dir, sizeof dir, "%s/words-%d", qn_test_tmpdir(), n++);
    assert_int_equal(mkdir(dir, 0777), 0);
    json_t *config = json_load_file(qn_test_data("models/llama/config.json"), 0,
                                    NULL);
    json_object_set_new(config, "max_position_embeddings", json_integer(2048));
    snprintf(path, sizeof path, "%s/config.json", dir);
    assert_int_equal(json_dump_file(config, path, 0), 0);
    json_decref(config);
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    assert_int_equal(symlink(qn_test_data("models/llama/model.safetensors"),
                             path),
                     0);
    int len = snprintf(
        text, sizeof text,
        "{\"version\":\"1.0\",\"pre_tokenizer\":{\"type\":\"Whitespace\"},"
        "\"model\":{\"type\":\"WordLevel\",\"vocab\":{\"<unk>\":0,"
        "\"the\":1,\"%s\":%d},\"unk_token\":\"<unk>\"}}",
        word, id);
    snprintf(path, sizeof path, "%s/tokenizer.json", dir);
    qn_test_write_file(path, text, (size_t)len);
    return dir;
}

double asked_number(const json_t *report, const char *a, const char *b)
{
    const json_t *v = json_object_get(report, a);
    if (b)
        v = json_object_get(v, b);
    if (!json_is_number(v))
        fail_msg("no number %s.%s", a, b ? b : "");
    return json_number_value(v);
}
