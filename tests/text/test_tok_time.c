/* No text takes a tokenizer long: texts that repeat one thing, through every way
 * of dividing words and every kind of vocabulary. Twice the text takes about
 * twice the processor time; what takes next to none is not looked at further. */
#include "testing.h"

#include "base/json.h"
#include "base/utf8.h"
#include "text/tok_step.h"
#include "tok_cases.h"

#include <time.h>

static const char *const bits[] = {
    " ",      "\n",
    "\t",     "\r\n",
    " \n",    "1",
    "12 ",    "\u0664",
    "\u00BD", "a",
    "A",      "aB",
    "a ",     "'",
    "'s",     ".",
    "(",      "/",
    "_",      "1a",
    "<",      "<|",
    "<|a|>",  "<s>",
    "\u00E9", "e\u0301",
    "\u0301", "\u0903",
    "\u4E2D", "\u304B",
    "\uD55C", "\U0001F600",
    "\u00A0", "\U0001F468\u200D",
    "\u3000", "\u0E01",
    "\u2581", "\xFF",
    "\uFDFA", "\u1100",
    "\u0F73", "<|end",
};
static const char *const ends[] = {"", "x", "1", "\n", " ", "\u00BD", "."};

enum {
    LENGTH = 1 << 15,
    SHORT_MS = 20, /* a hundred times what the slowest takes */
    TRIES = 3
};

typedef double take_time(const void *what, const qn_str *text);

static double cpu_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static double time_of(take_time *take, const void *what, const char *bit,
                      const char *end, size_t n)
{
    qn_str s = {0};
    while (s.n < n)
        qn_str_adds(&s, bit);
    qn_str_adds(&s, end);
    double ms = take(what, &s);
    qn_str_deinit(&s);
    return ms;
}

static void look_at(const char *name, take_time *take, const void *what)
{
    const char *asked = getenv("QUERN_TEST_LENGTH");
    size_t n = asked ? strtoul(asked, NULL, 10) : LENGTH;
    double worst = 0;
    for (size_t b = 0; b < QN_COUNTOF(bits); b++)
        for (size_t e = 0; e < QN_COUNTOF(ends); e++) {
            double once = time_of(take, what, bits[b], ends[e], n);
            worst = once > worst ? once : worst;
            if (once < SHORT_MS)
                continue;
            double twice = time_of(take, what, bits[b], ends[e], 2 * n);
            /* a machine that others use, too, stumbles; not each time */
            for (int again = 0; again < TRIES && twice > 3 * once; again++) {
                once = time_of(take, what, bits[b], ends[e], n);
                twice = time_of(take, what, bits[b], ends[e], 2 * n);
            }
            if (twice > 3 * once)
                fail_msg("%s: %zu bytes of \"%s\", then \"%s\": %.1f ms; twice "
                         "as many: %.1f ms",
                         name, n, bits[b], ends[e], once, twice);
        }
    print_message("  %-16s %8.2f ms at most\n", name, worst);
}

/* ---- words ---------------------------------------------------------------- */

static double divide(const void *what, const qn_str *s)
{
    const qn_tok_steps *steps = what;
    qn_err err = {0};
    qn_tok_work w;
    if (!qn_utf8_valid(s->p, s->n)) /* it has been mended before */
        return 0;
    double t0 = cpu_ms();
    qn_tok_work_init(&w, s->p, s->n, 0, &err);
    if (qn_tok_steps_run(steps, &w) < 0)
        fail_msg("%s", err.msg);
    qn_tok_work_deinit(&w);
    return cpu_ms() - t0;
}

static void test_words(void **state)
{
    static const char *const names[] = {
        "gpt-2",      "llama3",     "qwen2",          "qwen35",       "gpt-4o",
        "tekken",     "starcoder",  "falcon",         "deepseek-llm", "youtu",
        "jais-2",     "tiny_aya",   "deepseek-coder", "deepseek-v3",  "afmoe",
        "kimi-k2",    "exaone-moe", "superbpe",       "bloom",        "viking",
        "seed-coder", "default"};
    (void)state;
    for (size_t i = 0; i < QN_COUNTOF(names); i++) {
        qn_err err = {0};
        qn_tok_gguf_pre found;
        qn_tok_steps steps = {0};
        assert_true(qn_tok_gguf_pre_find(names[i], &found));
        for (size_t k = 0; k < found.n; k++) {
            json_t *o = json_pack("{s:s, s:{s:s}, s:s, s:b}", "type", "Split",
                                  "pattern", "Regex", found.patterns[k],
                                  "behavior", "Isolated", "invert", 0);
            if (qn_tok_steps_parse(&steps, &qn_tok_pre_tokenizers, o, names[i],
                                   &err))
                fail_msg("%s", err.msg);
            json_decref(o);
        }
        look_at(names[i], divide, &steps);
        qn_tok_steps_deinit(&steps);
    }
}

/* ---- vocabularies ---------------------------------------------------------- */

static double encode(const void *what, const qn_str *s)
{
    static const unsigned flags[] = {0, QN_TOK_PARSE_SPECIAL};
    double t0 = cpu_ms();
    for (size_t i = 0; i < QN_COUNTOF(flags); i++) {
        qn_tok_ids ids = {0};
        qn_err err = {0};
        if (qn_tok_encode(what, s->p, s->n, flags[i], &ids, NULL, &err) < 0)
            fail_msg("%s", err.msg);
        qn_vec_deinit(&ids);
    }
    return cpu_ms() - t0;
}

static void test_vocabularies(void **state)
{
    static const char *const own[] = {"llama2_spmbpe", "qwen2"};
    static const char *const shared[] = {
        "gpt2",         "llama3",     "llama_metaspace",
        "gemma_spmbpe", "roberta",    "neox",
        "starcoder",    "unigram_t5", "unigram_fallback",
        "wordpiece"};
    char path[128];
    (void)state;
    for (size_t i = 0; i < QN_COUNTOF(own); i++) {
        snprintf(path, sizeof path, "tokenizers/%s/tokenizer.json", own[i]);
        qn_tok *t = tok_open_json_file(qn_test_data(path));
        look_at(own[i], encode, t);
        qn_tok_close(t);
    }
    for (size_t i = 0; i < QN_COUNTOF(shared); i++) {
        snprintf(path, sizeof path, "goldens/tokenizers/%s/tokenizer.json",
                 shared[i]);
        const char *file = qn_test_shared(path);
        if (!file)
            continue;
        qn_tok *t = tok_open_json_file(file);
        look_at(shared[i], encode, t);
        qn_tok_close(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_vocabularies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
