/* test_tok_bench.c - whole texts through vocabularies of every kind: what is
 * encoded decodes to what it was. With --bench, how fast: MB/s on one thread,
 * best of several, by the time that the thread ran (others' load disturbs that
 * less), as the rows of bench/tokenizers.md. */
#include "testing.h"

#include "base/clock.h"
#include "tok_cases.h"

#include <dirent.h>
#include <time.h>

enum {
    ROUNDS = 7,
    N_TEXTS = 3,
    TEXT_BYTES = 1 << 20
};

static bool bench;

typedef struct bench_text {
    char *p;
    size_t n;
} bench_text;

static const struct {
    const char *name, *path;
    bool lossy; /* normalizes, or has unknown characters */
} vocabularies[] = {
    {"byte-level BPE, 100k (cl100k)",
     "data/tokenizers/tiktoken/cl100k_base.tiktoken", false},
    {"byte-level BPE, 50k (phi-2)", "data/tokenizers/hf/phi-2/tokenizer.json",
     false},
    {"byte-level BPE, 50k (RoBERTa)",
     "data/tokenizers/hf/roberta-base/tokenizer.json", false},
    {"byte-level BPE, small (as Llama 3)",
     "goldens/tokenizers/llama3/tokenizer.json", false},
    {"byte-level BPE, small (as Qwen 2)",
     "goldens/tokenizers/qwen2/tokenizer.json", true},
    {"SentencePiece BPE, small (as Llama 2)",
     "goldens/tokenizers/llama2_spmbpe/tokenizer.json", false},
    {"SentencePiece BPE, small (as Gemma)",
     "goldens/tokenizers/gemma_spmbpe/tokenizer.json", false},
    {"SentencePiece BPE, small (.model)",
     "goldens/tokenizers/spm_bpe_llama/tokenizer.model", false},
    {"Unigram, 32k (T5)", "data/tokenizers/hf/t5-small/tokenizer.json", true},
    {"Unigram, small (.model)",
     "goldens/tokenizers/spm_unigram_fallback/tokenizer.model", false},
    {"WordPiece, small", "goldens/tokenizers/wordpiece/tokenizer.json", true},
};

static double thread_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

/* ---- the texts ---------------------------------------------------------- */

static bool english(bench_text *t)
{
    const char *path = qn_test_shared("data/corpora/wikitext-2-valid.txt");
    if (path)
        t->p = qn_test_read_file(path, &t->n);
    return path != NULL;
}

/* The sources of one folder. */
static void code(bench_text *t)
{
    char dir[4096], path[8192];
    qn_str s;
    qn_str_init(&s);
    snprintf(dir, sizeof dir, "%s/src/text", qn_test_source_dir());
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        const char *dot = strrchr(e->d_name, '.');
        size_t n;
        if (!dot || strcmp(dot, ".c") != 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        char *text = qn_test_read_file(path, &n);
        qn_str_add(&s, text, n);
        free(text);
    }
    closedir(d);
    t->p = qn_str_take(&s, &t->n);
}

/* The recorded texts that are mostly in three-byte characters, repeated. */
static bool chinese(bench_text *t)
{
    const char *path = qn_test_shared(
        "goldens/tokenizers/qwen2/reference.json");
    qn_str s;
    size_t k;
    json_t *c;
    if (!path)
        return false;
    json_t *ref = tok_read_json(path);
    qn_str_init(&s);
    json_array_foreach(json_object_get(ref, "encode"), k, c)
    {
        const char *p = json_string_value(json_object_get(c, "text"));
        size_t n = strlen(p), wide = 0;
        for (size_t i = 0; i < n; i++)
            wide += (p[i] & 0xF0) == 0xE0;
        if (n < 400 && wide >= 8 && 3 * wide > n * 3 / 4) {
            qn_str_add(&s, p, n);
            qn_str_addc(&s, '\n');
        }
    }
    json_decref(ref);
    size_t once = s.n;
    assert_true(once > 200);
    qn_str_reserve(&s, TEXT_BYTES + once);
    while (s.n < TEXT_BYTES)
        qn_str_add(&s, s.p, once);
    t->p = qn_str_take(&s, &t->n);
    return true;
}

/* ---- one vocabulary ----------------------------------------------------- */

static qn_tok *open_any(const char *path)
{
    qn_err err = {0};
    qn_tok *t = NULL;
    size_t n;
    char *text = qn_test_read_file(path, &n);
    qn_view v = qn_view_of(text, n);
    int rc = strstr(path, ".tiktoken")
                 ? qn_tok_open_tiktoken(&t, v, "cl100k", NULL, 0, path, &err)
             : strstr(path, ".model")
                 ? qn_tok_open_spm(&t, v, NULL, path, &err)
                 : qn_tok_open_json(&t, v, NULL, path, &err);
    free(text);
    if (rc < 0)
        fail_msg("%s", err.msg);
    return t;
}

/* Milliseconds of one encoding and one decoding. */
static void round_trip(const qn_tok *t, const bench_text *x, bool lossy,
                       double *encode, double *decode)
{
    qn_err err = {0};
    qn_tok_ids ids = {0};
    qn_str back;
    qn_str_init(&back);
    double begin = thread_ms();
    assert_int_equal(qn_tok_encode(t, x->p, x->n, 0, &ids, NULL, &err), 0);
    *encode = thread_ms() - begin;
    begin = thread_ms();
    assert_int_equal(qn_tok_decode(t, ids.v, ids.n, false, &back, &err), 0);
    *decode = thread_ms() - begin;
    if (!lossy) {
        assert_int_equal(back.n, x->n);
        assert_memory_equal(back.p, x->p, x->n);
    }
    qn_str_deinit(&back);
    qn_vec_deinit(&ids);
}

static void run(size_t v, const char *path, const bench_text *texts)
{
    uint64_t begin = qn_now_ns();
    qn_tok *t = open_any(path);
    double open = qn_ms_since(begin), mean_decode = 0;
    if (bench)
        print_message("| %s |", vocabularies[v].name);
    for (int k = 0; k < N_TEXTS; k++) {
        double encode = 1e9, decode = 1e9, e, d;
        for (int r = 0; r < (bench ? ROUNDS : 1); r++) {
            round_trip(t, &texts[k], vocabularies[v].lossy, &e, &d);
            encode = e < encode ? e : encode;
            decode = d < decode ? d : decode;
        }
        mean_decode += (double)texts[k].n / decode * 1e-3 / N_TEXTS;
        if (bench)
            print_message(" %.1f |", (double)texts[k].n / encode * 1e-3);
    }
    if (bench)
        print_message(" %.1f | %.0f |\n", mean_decode, open);
    qn_tok_close(t);
}

static void test_round_trip(void **state)
{
    bench_text texts[N_TEXTS];
    (void)state;
    if (!english(&texts[0]) || !chinese(&texts[2]))
        QN_SKIP("no shared texts");
    code(&texts[1]);
    /* up to the end of a line */
    size_t most = (size_t)qn_test_repeats(TEXT_BYTES);
    for (int k = 0; k < N_TEXTS; k++)
        while (texts[k].n > most || texts[k].p[texts[k].n - 1] != '\n')
            texts[k].n--;
    if (bench)
        print_message("| kind | English | code | Chinese | decode | open, ms "
                      "|\n|---|---|---|---|---|---|\n");
    for (size_t v = 0; v < sizeof vocabularies / sizeof *vocabularies; v++) {
        const char *path = qn_test_shared(vocabularies[v].path);
        if (path)
            run(v, path, texts);
    }
    for (int k = 0; k < N_TEXTS; k++)
        free(texts[k].p);
}

int main(int argc, char **argv)
{
    bench = argc > 1 && strcmp(argv[1], "--bench") == 0;
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_round_trip)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
