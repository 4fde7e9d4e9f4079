/* Quantized checkpoints of the hub's formats against the logits of their
 * dequantized weights (../shared/goldens/quant; two of them are in
 * tests/data/models_quant), computed with unrounded activations. */
#include "golden.h"

#include <dirent.h>

static void run_one(golden *g)
{
    drive d;
    qn_err err = {0};
    drive_params p = {.exact = true, .kv_f32 = true};
    int n = (int)json_array_size(json_object_get(g->json, "prompts"));
    int rc = drive_open(&d, g->path, &p, &err);
    if (rc < 0) {
        golden_note(g, "%s", err.msg);
        g->unsupported = strstr(err.msg, "model_type") != NULL;
        g->total += 2 * n;
        return;
    }
    if (strstr(g->path, "g32_desc")) { /* columns in activation order */
        json_t *info = json_object();
        assert_int_equal(qn_net_info(d.net, info, &err), 0);
        char *text = json_dumps(info, 0);
        if (strstr(text, "decoded_to"))
            fail_msg("%s: its codes were decoded: %s", g->path, text);
        free(text);
        json_decref(info);
    }
    for (int i = 0; i < n; i++) {
        golden_logits(g, &d, "exact", i);
        golden_greedy(g, &d, "exact", i);
    }
    drive_close(&d);
}

/* The number of directories under root that fail. */
static int run_all(const char *root, bool report)
{
    int failed = 0, seen = 0;
    DIR *dir = opendir(root);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        golden g;
        if (e->d_name[0] == '.' || !golden_open(&g, root, e->d_name, 2e-4))
            continue;
        run_one(&g);
        seen++;
        if (g.passed != g.total) {
            print_message("%s: %d/%d %s\n", e->d_name, g.passed, g.total,
                          g.notes);
            failed += !g.unsupported;
        }
        if (report)
            qn_test_result("Quantized checkpoints", e->d_name, (size_t)g.passed,
                           (size_t)g.total, g.notes);
        golden_close(&g);
    }
    closedir(dir);
    print_message("%s: %d checkpoints\n", root, seen);
    assert_true(seen > 0);
    return failed;
}

static void test_own(void **state)
{
    (void)state;
    assert_int_equal(run_all(qn_test_data("models_quant"), false), 0);
}

static void test_shared(void **state)
{
    (void)state;
    const char *root = qn_test_shared("goldens/quant");
    if (!root)
        QN_SKIP("no shared data");
    assert_int_equal(run_all(root, true), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own),
        cmocka_unit_test(test_shared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
