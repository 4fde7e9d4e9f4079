/* The same sequence gives the same bits, whatever the number of threads, the
 * chunks that its prompt is cut into, the pages it gets, the rows that are
 * wanted, the company in the batch, and where its embeddings come from. */
#include "drive.h"

#define N_TOK 40

typedef struct fixture {
    const char *path;
    int32_t tokens[N_TOK];
    int n_vocab;
    float *want; /* [N_TOK, n_vocab] one thread, one chunk */
} fixture;

static void open_or_fail(drive *d, const fixture *f, const drive_params *p)
{
    qn_err err = {0};
    if (drive_open(d, f->path, p, &err) < 0)
        fail_msg("%s", err.msg);
}

static void expect_rows(const fixture *f, const float *got, int row, int n,
                        const char *what, int how)
{
    size_t v = (size_t)f->n_vocab;
    const float *want = f->want + (size_t)row * v;
    if (memcmp(got, want, (size_t)n * v * sizeof *got) == 0)
        return;
    for (size_t i = 0; i < (size_t)n * v; i++) {
        if (memcmp(&got[i], &want[i], sizeof *got) != 0)
            fail_msg("%s: %s %d: row %d logit %d is %.9g, was %.9g", f->path,
                     what, how, row + (int)(i / v), (int)(i % v),
                     (double)got[i], (double)want[i]);
    }
}

static void baseline(fixture *f, const char *path)
{
    drive d;
    drive_seq s;
    f->path = path;
    open_or_fail(&d, f, &(drive_params){.n_threads = 1});
    f->n_vocab = d.n_vocab;
    for (int i = 0; i < N_TOK; i++)
        f->tokens[i] = (i * 37 + 11) % f->n_vocab;
    f->want = malloc((size_t)N_TOK * (size_t)f->n_vocab * sizeof *f->want);
    drive_seq_init(&s, N_TOK);
    drive_prompt(&d, &s, f->tokens, N_TOK, 0, f->want);
    drive_close(&d);
}

static void chunks_and_threads(const fixture *f)
{
    static const int chunks[] = {1, 3, 7, 16, 0};
    float *got = malloc((size_t)N_TOK * (size_t)f->n_vocab * sizeof *got);
    for (int threads = 1; threads <= 3; threads++) {
        drive d;
        open_or_fail(&d, f,
                     &(drive_params){.n_threads = threads,
                                     .shuffle = 77u * (unsigned)threads});
        for (size_t i = 0; i < QN_COUNTOF(chunks); i++) {
            drive_seq s;
            drive_seq_init(&s, N_TOK);
            drive_prompt(&d, &s, f->tokens, N_TOK, chunks[i], got);
            drive_seq_end(&d, &s);
            expect_rows(f, got, 0, N_TOK, "chunk", chunks[i] + 100 * threads);
        }
        drive_close(&d);
    }
    free(got);
}

/* The last layer computes only what is asked for. */
static void wanted_rows(const fixture *f)
{
    drive d;
    drive_seq s;
    open_or_fail(&d, f, NULL);
    for (int n = 1; n <= N_TOK; n += 13) {
        drive_seq_init(&s, N_TOK);
        drive_item it = {&s, f->tokens, n, false, false};
        expect_rows(f, drive_step(&d, &it, 1), n - 1, 1, "last of", n);
        drive_item none = {&s, f->tokens + n, 5, false, true};
        if (n + 6 <= N_TOK) {
            drive_step(&d, &none, 1); /* no logits at all, only the cache */
            drive_item one = {&s, f->tokens + n + 5, 1, false, false};
            expect_rows(f, drive_step(&d, &one, 1), n + 5, 1, "after", n);
        }
        drive_seq_end(&d, &s);
    }
    drive_close(&d);
}

/* Ours in chunks of changing size, between two others that also move. */
static void in_company(const fixture *f)
{
    drive d;
    drive_seq ours, a, b;
    int32_t other[64];
    size_t v = (size_t)f->n_vocab;
    open_or_fail(&d, f, &(drive_params){.shuffle = 5});
    for (int i = 0; i < 64; i++)
        other[i] = (i * 101 + 3) % f->n_vocab;
    drive_seq_init(&ours, N_TOK);
    drive_seq_init(&a, 1);
    drive_seq_init(&b, 64);
    for (int at = 0, step = 0; at < N_TOK; step++) {
        int n = QN_MIN(1 + step * 5 % 9, N_TOK - at);
        int first = QN_MIN(2 + step % 4, 60 - (int)b.n_kv);
        drive_item items[] = {
            {&b, other + b.n_kv, QN_MAX(first, 1), step % 2, step % 3 == 0},
            {&ours, f->tokens + at, n, true, false},
            {&a, other + a.n_kv, 1, false, false},
        };
        int before = items[0].none ? 0 : items[0].all ? items[0].n : 1;
        const float *l = drive_step(&d, items, 3);
        expect_rows(f, l + (size_t)before * v, at, n, "company, step", step);
        at += n;
    }
    drive_close(&d);
}

/* Embeddings that stay in their file. */
static void from_file(const fixture *f)
{
    float *got = malloc((size_t)N_TOK * (size_t)f->n_vocab * sizeof *got);
    drive d;
    drive_seq s;
    open_or_fail(&d, f, &(drive_params){.lookup = true});
    for (int chunk = 0; chunk < 8; chunk += 7) {
        drive_seq_init(&s, N_TOK);
        drive_prompt(&d, &s, f->tokens, N_TOK, chunk, got);
        drive_seq_end(&d, &s);
        expect_rows(f, got, 0, N_TOK, "from a file, chunk", chunk);
    }
    drive_close(&d);
    free(got);
}

static void run(const char *path)
{
    fixture f = {0};
    baseline(&f, path);
    chunks_and_threads(&f);
    wanted_rows(&f);
    in_company(&f);
    from_file(&f);
    free(f.want);
}

static void test_own(void **state)
{
    static const char *const names[] = {"llama",  "opt350",    "gpt2",
                                        "gemma2", "phi3",      "mixtral",
                                        "mamba2", "falcon_h1", "qwen3_5_text"};
    (void)state;
    for (size_t i = 0; i < QN_COUNTOF(names); i++) {
        char path[64];
        snprintf(path, sizeof path, "models/%s", names[i]);
        run(qn_test_data(path));
    }
}

static void test_shared(void **state)
{
    static const char *const paths[] = {
        "goldens/models/mistral",
        "goldens/models/qwen3",
        "goldens/models/gpt_neox",
        "goldens/models/gemma3_text",
        "goldens/models/phi",
        "goldens/models/opt",
        "goldens/models/mamba",
        "goldens/models/jamba",
        "goldens/models/granitemoehybrid",
        "goldens/models/nemotron_h",
        "goldens/models/lfm2",
        "goldens/models/lfm2_moe",
        "goldens/models/qwen3_next",
        "goldens/models/qwen3_5_moe_text",
        "goldens/models/afmoe",
        "goldens/models/gpt_oss",
        "goldens/models/llama4_text",
        "goldens/models/ministral3",
        "goldens/models/apertus",
        "goldens/models/phimoe",
        "goldens/models/dbrx",
        "goldens/models/deepseek_v3",
        "goldens/models/diffllama",
        "goldens/models/jetmoe",
        "goldens/models/gemma3n_text",
        "goldens/models/gemma4_text",
        "data/models/gguf/stories260K-f16.gguf",
        "data/models/gguf/stories260K-q8_0.gguf",
        "data/models/gguf/stories260K-q4_0.gguf",
    };
    (void)state;
    for (size_t i = 0; i < QN_COUNTOF(paths); i++) {
        const char *path = qn_test_shared(paths[i]);
        if (!path)
            QN_SKIP("no shared data");
        run(path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own),
        cmocka_unit_test(test_shared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
