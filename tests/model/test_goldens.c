/* Logits and greedy continuations of tiny random networks against those that
 * the reference implementation computed (transformers, float32).
 *
 * A few families are in tests/data/models; with the shared data all of them.
 * A family that has no row is no failure of the whole, unless it is listed as
 * one that must be there; one that has a row must match.
 */
#include "golden.h"

#include "model/net_int.h"

#include <dirent.h>
#include <unistd.h>

/* References that were computed in a way that is not the network's own: what
 * is changed before ours is compared with them. */
static const struct {
    const char *name;
    float slopes; /* factor on ALiBi's */
    const char *why;
} bent[] = {
    {"falcon_rw", 2,
     "compared with ALiBi added twice, as the reference's eager attention "
     "does; its default and the authors' code add it once, and so do we"},
};

/* Changes the network as its reference was; the reason, or NULL. */
static const char *bend(const golden *g, drive *d)
{
    const char *name = strrchr(g->path, '/') + 1;
    for (size_t i = 0; i < QN_COUNTOF(bent); i++) {
        if (strcmp(bent[i].name, name) != 0)
            continue;
        for (int h = 0; h < d->net->hp.n_head; h++)
            d->net->slopes[h] *= bent[i].slopes;
        return bent[i].why;
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
    char path[4200];
    snprintf(path, sizeof path, "%s/%s", g->path, config);
    if (access(path, R_OK) != 0) /* not every family had an older spelling */
        return;
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
    const char *why = bend(g, &d);
    for (int i = 0; i < n_prompts; i++) {
        golden_logits(g, &d, config, i);
        golden_greedy(g, &d, config, i);
    }
    if (why && !g->notes[0])
        snprintf(g->notes, sizeof g->notes, "%s", why);
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
            bool excused = g.unsupported && !is_must(names[i]);
            seen++;
            passed += ok;
            failed += !ok && !excused;
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
