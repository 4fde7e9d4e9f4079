/* test_tok_bpe.c - byte pair encoding against the definition done by hand
 * (again and again the best pair of neighbours, leftmost first), for random
 * vocabularies, short and long words, every kind of pairs; the options of the
 * model; and that nothing is quadratic. */
#include "testing.h"

#include "base/clock.h"
#include "base/rng.h"
#include "text/tok_bpe.h"

#include <pthread.h>

enum {
    MAX_WORD = 400,
    LETTERS = 5
};

typedef struct pair_rule {
    int32_t left, right, id;
} pair_rule;

typedef struct toy {
    qn_vocab vocab;
    qn_bpe *bpe;
    pair_rule rules[64];
    int n_rules;
    bool by_text;
} toy;

static uint32_t draw(uint64_t seed, uint64_t n)
{
    uint32_t r[4];
    qn_philox(seed, 3, n, r);
    return r[0];
}

static void add_token(qn_vocab *v, const char *text, int64_t id)
{
    qn_err err = {0};
    if (qn_vocab_add(v, qn_view_cstr(text), id, "toy", &err) < 0)
        fail_msg("%s", err.msg);
}

/* Letters, and tokens made of two earlier ones; their order is their rank. The
 * letters are of one and of three bytes. */
static void toy_open(toy *t, uint64_t seed, bool by_text, bool bytes)
{
    static const char *const letters[LETTERS] = {"a", "b", "\u2581", "d", "e"};
    memset(t, 0, sizeof *t);
    qn_vocab_init(&t->vocab, 0);
    t->by_text = by_text;
    int64_t n = 0;
    for (int k = 0; k < LETTERS; k++)
        add_token(&t->vocab, bytes && k == 2 ? "c" : letters[k], n++);
    for (uint64_t k = 0; k < 40; k++) {
        int32_t l = (int32_t)(draw(seed, 2 * k) % (uint64_t)n);
        int32_t r = (int32_t)(draw(seed, 2 * k + 1) % (uint64_t)n);
        qn_view a = qn_vocab_text(&t->vocab, l);
        qn_view b = qn_vocab_text(&t->vocab, r);
        char text[256];
        if (a.n + b.n > 60)
            continue;
        snprintf(text, sizeof text, "%.*s%.*s", (int)a.n, a.p, (int)b.n, b.p);
        int32_t id = qn_vocab_find(&t->vocab, text, strlen(text));
        if (id < 0)
            add_token(&t->vocab, text, id = (int32_t)n++);
        t->rules[t->n_rules++] = (pair_rule){l, r, id};
    }
    qn_bpe_options o = {.vocab = &t->vocab,
                        .by_text = by_text,
                        .bytes = bytes,
                        .late_unknown = by_text && !bytes,
                        .unk = -1};
    t->bpe = qn_bpe_new(&o, (size_t)t->n_rules);
    for (int k = 0; !by_text && k < t->n_rules; k++)
        qn_bpe_merge(t->bpe, t->rules[k].left, t->rules[k].right,
                     t->rules[k].id, (uint32_t)k, true);
    for (int64_t id = 0; by_text && id < n; id++)
        qn_bpe_rank(t->bpe, (int32_t)id, draw(seed, 1000 + (uint64_t)id) % 9);
}

static void toy_close(toy *t)
{
    qn_bpe_free(t->bpe);
    qn_vocab_deinit(&t->vocab);
}

/* The rank of joining two tokens, UINT32_MAX none. */
static uint32_t toy_pair(const toy *t, uint64_t seed, int32_t l, int32_t r,
                         int32_t *id)
{
    if (!t->by_text) {
        for (int k = 0; k < t->n_rules; k++) {
            if (t->rules[k].left == l && t->rules[k].right == r) {
                *id = t->rules[k].id;
                return (uint32_t)k;
            }
        }
        return UINT32_MAX;
    }
    qn_view a = qn_vocab_text(&t->vocab, l), b = qn_vocab_text(&t->vocab, r);
    char text[1024];
    snprintf(text, sizeof text, "%.*s%.*s", (int)a.n, a.p, (int)b.n, b.p);
    *id = qn_vocab_find(&t->vocab, text, strlen(text));
    return *id < 0 ? UINT32_MAX : draw(seed, 1000 + (uint64_t)*id) % 9;
}

/* The definition. */
static size_t by_hand(const toy *t, uint64_t seed, int32_t *ids, size_t n)
{
    for (;;) {
        uint32_t best = UINT32_MAX;
        size_t at = 0;
        int32_t to = -1, id;
        for (size_t k = 0; k + 1 < n; k++) {
            uint32_t rank = toy_pair(t, seed, ids[k], ids[k + 1], &id);
            if (rank < best) {
                best = rank;
                at = k;
                to = id;
            }
        }
        if (best == UINT32_MAX)
            return n;
        ids[at] = to;
        memmove(ids + at + 1, ids + at + 2, (n - at - 2) * sizeof *ids);
        n--;
    }
}

static void compare_word(const toy *t, uint64_t seed, uint64_t word, size_t n)
{
    int32_t want[MAX_WORD];
    qn_str text;
    qn_str_init(&text);
    for (size_t k = 0; k < n; k++) {
        /* Runs of one letter and mixtures. */
        uint32_t r = draw(seed ^ word, 5000 + k / (1 + word % 7));
        want[k] = (int32_t)(r % LETTERS);
        qn_str_addv(&text, qn_vocab_text(&t->vocab, want[k]));
    }
    size_t n_want = by_hand(t, seed, want, n);
    qn_err err = {0};
    qn_tok_work w;
    qn_tok_work_init(&w, text.p, text.n, 0, &err);
    w.spans = true;
    /* Twice: the second time what was learned about the word is used. */
    for (int k = 0; k < 2; k++) {
        qn_vec_clear(&w.ids);
        qn_vec_clear(&w.ranges);
        w.at = 0;
        assert_int_equal(qn_bpe_encode(t->bpe, &w, text.p, text.n), 0);
        if (w.ids.n != n_want ||
            memcmp(w.ids.v, want, n_want * sizeof *want) != 0)
            fail_msg("seed %llu: \"%s\" comes out wrong",
                     (unsigned long long)seed, text.p);
        size_t total = 0;
        for (size_t i = 0; i < w.ranges.n; i++)
            total += w.ranges.v[i].e - w.ranges.v[i].b;
        assert_int_equal(total, text.n);
    }
    qn_bpe_work_free(&w);
    qn_tok_work_deinit(&w);
    qn_str_deinit(&text);
}

static void test_definition(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < (uint64_t)qn_test_repeats(120); seed++) {
        toy t;
        toy_open(&t, seed, seed % 2 == 1, seed % 4 >= 2);
        for (uint64_t word = 0; word < 40; word++)
            compare_word(&t, seed, word, 1 + draw(seed, word) % 40);
        for (uint64_t word = 0; word < 3; word++)
            compare_word(&t, seed, word, 60 + draw(seed, word) % 340);
        toy_close(&t);
    }
}

/* ---- options ------------------------------------------------------------- */

/* Encodes and writes ids with lengths: "1:1 0:2". */
static int encode(const qn_bpe *b, const char *text, char *out, qn_err *err)
{
    qn_tok_work w;
    qn_tok_work_init(&w, text, strlen(text), 0, err);
    w.spans = true;
    int rc = qn_bpe_encode(b, &w, text, strlen(text));
    *out = '\0';
    for (size_t k = 0; k < w.ids.n; k++)
        sprintf(out + strlen(out), "%s%d:%u", k ? " " : "", w.ids.v[k],
                w.ranges.v[k].e - w.ranges.v[k].b);
    qn_bpe_work_free(&w);
    qn_tok_work_deinit(&w);
    return rc;
}

static void expect(const qn_bpe *b, const char *text, const char *want)
{
    char got[256];
    qn_err err = {0};
    assert_int_equal(encode(b, text, got, &err), 0);
    if (strcmp(got, want) != 0)
        fail_msg("\"%s\": %s instead of %s", text, got, want);
}

static void test_unknown(void **state)
{
    (void)state;
    qn_vocab v;
    qn_vocab_init(&v, 0);
    add_token(&v, "<unk>", 0);
    add_token(&v, "a", 1);
    add_token(&v, "b", 2);
    add_token(&v, "<0x0A>", 3);
    add_token(&v, "<0xC3>", 4);
    qn_bpe_options o = {.vocab = &v, .unk = 0};
    qn_bpe *b = qn_bpe_new(&o, 0);
    expect(b, "cc", "0:1 0:1");
    expect(b, "accb", "1:1 0:1 0:1 2:1");
    qn_bpe_free(b);
    o.fuse_unk = true;
    b = qn_bpe_new(&o, 0);
    expect(b, "cc", "0:2");
    expect(b, "ac\u00E9b", "1:1 0:3 2:1");
    qn_bpe_free(b);
    o.byte_fallback = true; /* all bytes of a character, or none */
    b = qn_bpe_new(&o, 0);
    expect(b, "\n\u00E9a", "3:1 0:2 1:1");
    qn_bpe_free(b);
    o = (qn_bpe_options){.vocab = &v, .unk = -1};
    b = qn_bpe_new(&o, 0);
    expect(b, "acb", "1:1 2:1"); /* left out */
    qn_bpe_free(b);
    o.unk_name = qn_view_cstr("[UNK]");
    b = qn_bpe_new(&o, 0);
    char got[64];
    qn_err err = {0};
    expect(b, "ab", "1:1 2:1");
    assert_int_equal(encode(b, "acb", got, &err), QN_EFORMAT);
    assert_non_null(strstr(err.msg, "[UNK]"));
    qn_bpe_free(b);
    qn_vocab_deinit(&v);
}

static void test_affixes(void **state)
{
    (void)state;
    qn_vocab v;
    qn_vocab_init(&v, 0);
    const char *tokens[] = {"a",   "##b",   "##c", "ab",
                            "abc", "a</w>", "b",   "ba</w>"};
    for (int k = 0; k < 8; k++)
        add_token(&v, tokens[k], k);
    qn_bpe_options o = {.vocab = &v, .unk = -1, .prefix = qn_view_cstr("##")};
    qn_bpe *b = qn_bpe_new(&o, 2);
    qn_bpe_merge(b, 0, 1, 3, 0, false);
    qn_bpe_merge(b, 3, 2, 4, 1, false);
    expect(b, "ab", "3:2");
    expect(b, "abc", "4:3");
    expect(b, "acb", "0:1 2:1 1:1");
    qn_bpe_free(b);
    o = (qn_bpe_options){.vocab = &v,
                         .unk = -1,
                         .suffix = qn_view_cstr("</w>")};
    b = qn_bpe_new(&o, 1);
    qn_bpe_merge(b, 6, 5, 7, 0, false);
    expect(b, "ba", "7:2");
    expect(b, "aba", "0:1 7:2");
    qn_bpe_free(b);
    qn_vocab_deinit(&v);
}

static void test_ignore_merges(void **state)
{
    (void)state;
    qn_vocab v;
    qn_vocab_init(&v, 0);
    add_token(&v, "a", 0);
    add_token(&v, "b", 1);
    add_token(&v, "ab", 2); /* no merge leads to it */
    qn_bpe_options o = {.vocab = &v, .unk = -1};
    qn_bpe *b = qn_bpe_new(&o, 0);
    expect(b, "ab", "0:1 1:1");
    qn_bpe_free(b);
    o.ignore_merges = true;
    b = qn_bpe_new(&o, 0);
    expect(b, "ab", "2:2");
    expect(b, "aba", "0:1 1:1 0:1");
    qn_bpe_free(b);
    qn_vocab_deinit(&v);
}

/* ---- time ---------------------------------------------------------------- */

/* aa, aaaa, aaaaaaaa, ... and ab: one word of a million letters. */
static double seconds_for(bool by_text, size_t n, const char *unit)
{
    qn_vocab v;
    qn_vocab_init(&v, 0);
    add_token(&v, "a", 0);
    char text[128] = "a";
    int64_t id = 1;
    for (; id < 6; id++) {
        size_t len = strlen(text);
        memmove(text + len, text, len);
        text[2 * len] = '\0';
        add_token(&v, text, id);
    }
    add_token(&v, "b", id);
    add_token(&v, "ab", id + 1);
    qn_bpe_options o = {.vocab = &v, .by_text = by_text, .unk = -1};
    qn_bpe *b = qn_bpe_new(&o, 8);
    for (int32_t k = 1; k < 6; k++) {
        if (by_text)
            qn_bpe_rank(b, k, (uint32_t)k);
        else
            qn_bpe_merge(b, k - 1, k - 1, k, (uint32_t)k, false);
    }
    qn_str word;
    qn_str_init(&word);
    while (word.n < n)
        qn_str_adds(&word, unit);
    qn_err err = {0};
    qn_tok_work w;
    qn_tok_work_init(&w, word.p, word.n, 0, &err);
    double begin = (double)qn_now_ns() * 1e-9;
    assert_int_equal(qn_bpe_encode(b, &w, word.p, word.n), 0);
    double took = (double)qn_now_ns() * 1e-9 - begin;
    assert_true(w.ids.n > 0);
    qn_bpe_work_free(&w);
    qn_tok_work_deinit(&w);
    qn_str_deinit(&word);
    qn_bpe_free(b);
    qn_vocab_deinit(&v);
    return took;
}

/* Sixteen times the text may take a good deal more than sixteen times the
 * time (caches, a busy machine), but not the 256 times of quadratic work. */
static void test_linear(void **state)
{
    (void)state;
    static const char *const units[] = {"a", "aab", "b"};
    for (int by_text = 0; by_text < 2; by_text++) {
        for (int k = 0; k < 3; k++) {
            size_t most = (size_t)qn_test_repeats(1 << 20);
            double small = seconds_for(by_text, most / 16, units[k]);
            double large = seconds_for(by_text, most, units[k]);
            print_message("%zu KiB of %s, %s: %.0f ms\n", most >> 10, units[k],
                          by_text ? "scores" : "merges", 1e3 * large);
            assert_true(large < 100 * small + 0.2);
        }
    }
}

/* ---- threads ------------------------------------------------------------- */

typedef struct thread_job {
    const toy *t;
    bool ok;
} thread_job;

static void *thread_run(void *arg)
{
    thread_job *job = arg;
    char first[256] = "", got[256];
    qn_err err = {0};
    job->ok = true;
    for (int k = 0; k < qn_test_repeats(2000); k++) {
        char text[16];
        snprintf(text, sizeof text, "%s", &"abdeabdeab"[k % 5]);
        job->ok &= encode(job->t->bpe, text, got, &err) == 0;
        if (k % 5 == 0 && !*first)
            strcpy(first, got);
        job->ok &= k % 5 != 0 || strcmp(first, got) == 0;
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    toy t;
    toy_open(&t, 11, false, false);
    pthread_t threads[4];
    thread_job jobs[4];
    for (int k = 0; k < 4; k++) {
        jobs[k] = (thread_job){&t, false};
        assert_int_equal(pthread_create(&threads[k], NULL, thread_run,
                                        &jobs[k]),
                         0);
    }
    for (int k = 0; k < 4; k++) {
        pthread_join(threads[k], NULL);
        assert_true(jobs[k].ok);
    }
    toy_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_definition), cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_affixes),    cmocka_unit_test(test_ignore_merges),
        cmocka_unit_test(test_linear),     cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
