/* Logits and greedy continuations of tiny random networks against those that
 * the reference implementation computed (transformers, float32).
 *
 * A few families are in tests/data/models; with the shared data all of them.
 * A family that has no row is no failure of the whole, unless it is listed as
 * one that must be there; one that has a row must match.
 */
#include "golden.h"

#include <dirent.h>

/* Those that need not pass, and why; a family without a row says so itself. */
static const struct {
    const char *name, *why;
} waived[] = {
    {"falcon_rw", "the reference ran with eager attention, which adds ALiBi "
                  "twice; its default and the authors' code add it once"},
};

static const char *why_waived(const char *name)
{
    for (size_t i = 0; i < QN_COUNTOF(waived); i++) {
        if (strcmp(waived[i].name, name) == 0)
            return waived[i].why;
    }
    return NULL;
}

/* Those that must be supported. */
static const char *const must[] = {
    "opt",          "opt350",           "gpt2",          "llama",
    "llama_mha",    "llama_linear",     "llama_dynamic", "llama_llama3",
    "llama_yarn",   "mistral",          "mistral_full",  "mixtral",
    "qwen2",        "qwen2_yarn",       "qwen3",         "gemma",
    "gemma2",       "gemma3_text",      "phi",           "phi3",
    "phi3_partial", "gpt_neox",         "mamba",         "jamba",
    "falcon_h1",    "granitemoehybrid", "nemotron_h",    "lfm2",
    "lfm2_moe",     "qwen3_next",       "qwen3_5_text",  "qwen3_5_moe_text",
    "mamba2",
};

static bool is_must(const char *name)
{
    for (size_t i = 0; i < QN_COUNTOF(must); i++) {
        if (strcmp(must[i], name) == 0)
            return true;
    }
    return false;
}

static void check_config(golden *g, const char *config)
{
    char *dir = strcmp(config, "config.json") == 0
                    ? g->path
                    : drive_with_config(g->path, config);
    drive d;
    qn_err err = {0};
    int n_prompts = (int)json_array_size(json_object_get(g->json, "prompts"));
    int rc = drive_open(&d, dir, NULL, &err);
    if (dir != g->path)
        free(dir);
    if (rc < 0) {
        const char *why = strstr(err.msg, "config.json: ");
        golden_note(g, "%s", why ? why : err.msg);
        g->unsupported = rc == QN_EUNSUP && /* nobody has written the row */
                         strstr(err.msg, "\" is not supported");
        g->total += 2 * n_prompts;
        return;
    }
    for (int i = 0; i < n_prompts; i++) {
        golden_logits(g, &d, config, i);
        golden_greedy(g, &d, config, i);
    }
    drive_close(&d);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Every folder under root; the number of those that must pass and do not. */
static int run_all(const char *root, bool report)
{
    char *names[512];
    size_t n = 0;
    DIR *dir = opendir(root);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir)) && n < QN_COUNTOF(names);) {
        if (e->d_name[0] != '.')
            names[n++] = strdup(e->d_name);
    }
    closedir(dir);
    qsort(names, n, sizeof *names, by_name);
    int failed = 0, seen = 0, passed = 0;
    for (size_t i = 0; i < n; i++) {
        golden g;
        if (golden_open(&g, root, names[i], 2e-4)) {
            check_config(&g, "config.json");
            check_config(&g, "config_v4.json");
            bool ok = g.passed == g.total;
            const char *waiver = why_waived(names[i]);
            bool excused = waiver || (g.unsupported && !is_must(names[i]));
            seen++;
            passed += ok;
            failed += !ok && !excused;
            if (!ok && waiver)
                snprintf(g.notes, sizeof g.notes, "%s", waiver);
            if (!ok && !g.unsupported)
                print_message("%s: %d/%d %s\n", names[i], g.passed, g.total,
                              g.notes);
            if (report)
                qn_test_result("Model families", names[i], (size_t)g.passed,
                               (size_t)g.total, g.notes);
            golden_close(&g);
        }
        free(names[i]);
    }
    print_message("%s: %d of %d families\n", root, passed, seen);
    assert_true(seen > 0);
    return failed;
}

static void test_own_families(void **state)
{
    (void)state;
    assert_int_equal(run_all(qn_test_data("models"), false), 0);
}

static void test_shared_families(void **state)
{
    (void)state;
    const char *root = qn_test_shared("goldens/models");
    if (!root)
        QN_SKIP("no shared data");
    assert_int_equal(run_all(root, true), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own_families),
        cmocka_unit_test(test_shared_families),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
