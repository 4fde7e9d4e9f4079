/* test_tok_bench.c - whole texts through real vocabularies: what is encoded
 * decodes to what it was. With --bench, how fast: opening in ms, encoding and
 * decoding in MB/s on one thread (best of several). */
#include "testing.h"

#include "base/clock.h"
#include "tok_cases.h"

enum {
    ROUNDS = 7
};

static bool bench;

static qn_tok *open_any(const char *path, double *ms)
{
    qn_err err = {0};
    qn_tok *t = NULL;
    size_t n;
    char *text = qn_test_read_file(path, &n);
    uint64_t begin = qn_now_ns();
    int rc = strstr(path, ".tiktoken")
                 ? qn_tok_open_tiktoken(&t, qn_view_of(text, n), "cl100k", NULL,
                                        0, path, &err)
                 : qn_tok_open_json(&t, qn_view_of(text, n), NULL, path, &err);
    *ms = qn_ms_since(begin);
    free(text);
    if (rc < 0)
        fail_msg("%s", err.msg);
    return t;
}

/* Milliseconds of one encoding and one decoding. */
static void round_trip(const qn_tok *t, const char *text, size_t n,
                       double *encode, double *decode, size_t *n_ids)
{
    qn_err err = {0};
    qn_tok_ids ids = {0};
    qn_str back;
    qn_str_init(&back);
    uint64_t begin = qn_now_ns();
    assert_int_equal(qn_tok_encode(t, text, n, 0, &ids, NULL, &err), 0);
    *encode = qn_ms_since(begin);
    begin = qn_now_ns();
    assert_int_equal(qn_tok_decode(t, ids.v, ids.n, false, &back, &err), 0);
    *decode = qn_ms_since(begin);
    assert_int_equal(back.n, n);
    assert_memory_equal(back.p, text, n);
    *n_ids = ids.n;
    qn_str_deinit(&back);
    qn_vec_deinit(&ids);
}

static void run(const char *name, const char *path, const char *text, size_t n)
{
    double open, encode = 1e9, decode = 1e9, e, d;
    size_t n_ids = 0;
    qn_tok *t = open_any(path, &open);
    for (int k = 0; k < (bench ? ROUNDS : 1); k++) {
        round_trip(t, text, n, &e, &d, &n_ids);
        encode = e < encode ? e : encode;
        decode = d < decode ? d : decode;
    }
    if (bench)
        print_message("%-14s open %6.1f ms, encode %6.1f MB/s (%.1f Mtok/s), "
                      "decode %6.1f MB/s\n",
                      name, open, (double)n / encode * 1e-3,
                      (double)n_ids / encode * 1e-3, (double)n / decode * 1e-3);
    qn_tok_close(t);
}

static void test_round_trip(void **state)
{
    (void)state;
    static const char *const files[][2] = {
        {"cl100k", "data/tokenizers/tiktoken/cl100k_base.tiktoken"},
        {"roberta-base", "data/tokenizers/hf/roberta-base/tokenizer.json"},
        {"phi-2", "data/tokenizers/hf/phi-2/tokenizer.json"},
        {"llama3", "goldens/tokenizers/llama3/tokenizer.json"},
        {"llama2_spmbpe", "goldens/tokenizers/llama2_spmbpe/tokenizer.json"},
        {"gemma_spmbpe", "goldens/tokenizers/gemma_spmbpe/tokenizer.json"},
    };
    const char *corpus = qn_test_shared("data/corpora/wikitext-2-valid.txt");
    if (!corpus)
        QN_SKIP("no shared wikitext-2-valid.txt");
    size_t n;
    char *text = qn_test_read_file(corpus, &n);
    for (size_t k = 0; k < sizeof files / sizeof *files; k++) {
        const char *path = qn_test_shared(files[k][1]);
        if (path)
            run(files[k][0], path, text, n);
    }
    free(text);
}

int main(int argc, char **argv)
{
    bench = argc > 1 && strcmp(argv[1], "--bench") == 0;
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_round_trip)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
