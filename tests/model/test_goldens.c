/* Logits and greedy continuations of tiny random networks against those that
 * the reference implementation computed (transformers, float32).
 *
 * A few families are in tests/data/models; with the shared data all of them.
 * A family that has no row is no failure of the whole, unless it is listed as
 * one that must be there; one that has a row must match.
 * QN_CONFORMANCE_DIR: writes families.json there.
 */
#include "drive.h"

#include <dirent.h>

static const double tolerance = 2e-4; /* of the largest logit */

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
    "opt",          "opt350",        "gpt2",         "llama",      "llama_mha",
    "llama_linear", "llama_dynamic", "llama_llama3", "llama_yarn", "mistral",
    "mistral_full", "mixtral",       "qwen2",        "qwen2_yarn", "qwen3",
    "gemma",        "gemma2",        "gemma3_text",  "phi",        "phi3",
    "phi3_partial", "gpt_neox",
};

static bool is_must(const char *name)
{
    for (size_t i = 0; i < QN_COUNTOF(must); i++) {
        if (strcmp(must[i], name) == 0)
            return true;
    }
    return false;
}

typedef struct golden {
    char path[4096];
    json_t *json;
    qn_ckpt *ck;
    int passed, total;
    bool unsupported;
    char notes[700];
} golden;

static void note(golden *g, const char *fmt, ...)
{
    if (g->notes[0])
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(g->notes, sizeof g->notes, fmt, ap);
    va_end(ap);
}

static void check(golden *g, bool ok)
{
    g->total++;
    g->passed += ok;
}

static void check_logits(golden *g, drive *d, const char *config, int i)
{
    char name[32];
    int n, n_logits;
    snprintf(name, sizeof name, "prompt_%d", i);
    int32_t *prompt = drive_ints(g->ck, name, &n);
    snprintf(name, sizeof name, "logits_%d", i);
    float *want = drive_floats(g->ck, name, &n_logits);
    assert_int_equal(n_logits, n * d->n_vocab);
    float *got = malloc((size_t)n_logits * sizeof *got);
    drive_seq s;
    drive_seq_init(&s, n);
    drive_prompt(d, &s, prompt, n, 0, got);
    drive_seq_end(d, &s);
    double top = 0, worst = 0;
    for (int j = 0; j < n_logits; j++) {
        double e = fabs((double)got[j] - (double)want[j]);
        top = fmax(top, fabs((double)want[j]));
        worst = e >= worst ? e : isnan(e) ? INFINITY : worst;
    }
    check(g, worst <= tolerance * top);
    if (!(worst <= tolerance * top))
        note(g, "%s: logits_%d off by %.3g of %.3g", config, i, worst, top);
    free(prompt);
    free(want);
    free(got);
}

/* The reference's tokens are fed, so that one near tie does not end the
 * comparison; where its margin is within the tolerance any choice is right. */
static void check_greedy(golden *g, drive *d, const char *config, int i)
{
    char name[32];
    int n, n_new;
    snprintf(name, sizeof name, "prompt_%d", i);
    int32_t *prompt = drive_ints(g->ck, name, &n);
    snprintf(name, sizeof name, "greedy_%d", i);
    int32_t *greedy = drive_ints(g->ck, name, &n_new);
    const json_t *margins = json_object_get(
        json_array_get(json_object_get(g->json, "prompts"), (size_t)i),
        "margins");
    int32_t *all = calloc((size_t)(n + n_new), sizeof *all);
    memcpy(all, prompt, (size_t)n * sizeof *all);
    memcpy(all + n, greedy, (size_t)n_new * sizeof *all);
    int64_t valid = qn_net_kv_valid_until(d->net);
    drive_seq s;
    drive_seq_init(&s, n);
    bool ok = true;
    for (int j = 0; j < n_new; j++) {
        int at = (int)s.n_kv, end = n + j;
        if (valid && at > 0 && at <= valid && end > valid) {
            drive_seq_end(d, &s); /* the rotation changes: start again */
            drive_seq_init(&s, end);
            at = 0;
        }
        drive_item it = {&s, all + at, end - at, false, false};
        const float *l = drive_step(d, &it, 1);
        double margin = json_number_value(json_array_get(margins, (size_t)j));
        float best = l[drive_argmax(l, d->n_vocab)];
        if (l[greedy[j]] == best)
            continue;
        if (margin > 2 * tolerance * fabs((double)best)) {
            note(g, "%s: greedy_%d differs at %d", config, i, j);
            ok = false;
        }
    }
    drive_seq_end(d, &s);
    check(g, ok);
    free(all);
    free(prompt);
    free(greedy);
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
        note(g, "%s", why ? why : err.msg);
        g->unsupported = rc == QN_EUNSUP;
        g->total += 2 * n_prompts;
        return;
    }
    for (int i = 0; i < n_prompts; i++) {
        check_logits(g, &d, config, i);
        check_greedy(g, &d, config, i);
    }
    drive_close(&d);
}

static bool golden_open(golden *g, const char *root, const char *name)
{
    char file[4200];
    memset(g, 0, sizeof *g);
    snprintf(g->path, sizeof g->path, "%s/%s", root, name);
    snprintf(file, sizeof file, "%s/reference.json", g->path);
    if (qn_json_load(&g->json, file, 64 << 20, NULL) < 0)
        return false;
    snprintf(file, sizeof file, "%s/reference.safetensors", g->path);
    qn_err err = {0};
    if (qn_ckpt_open_tensors(&g->ck, file, &err) < 0)
        fail_msg("%s", err.msg);
    return true;
}

static void golden_close(golden *g)
{
    qn_ckpt_close(g->ck);
    json_decref(g->json);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Every folder under root; the number of those that must pass and do not. */
static int run_all(const char *root, json_t *report)
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
        if (golden_open(&g, root, names[i])) {
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
                json_array_append_new(report,
                                      json_pack("{s:s, s:s, s:i, s:i, s:s}",
                                                "group", "families", "name",
                                                names[i], "passed", g.passed,
                                                "total", g.total, "notes",
                                                g.notes));
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
    assert_int_equal(run_all(qn_test_data("models"), NULL), 0);
}

static void test_shared_families(void **state)
{
    (void)state;
    const char *root = qn_test_shared("goldens/models");
    if (!root)
        QN_SKIP("no shared data");
    const char *dir = getenv("QN_CONFORMANCE_DIR");
    json_t *report = json_array();
    int failed = run_all(root, report);
    if (dir) {
        char path[4096];
        snprintf(path, sizeof path, "%s/families.json", dir);
        assert_int_equal(json_dump_file(report, path, JSON_INDENT(1)), 0);
    }
    json_decref(report);
    assert_int_equal(failed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own_families),
        cmocka_unit_test(test_shared_families),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
