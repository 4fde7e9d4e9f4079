/* test_hub_program.c: `quern pull` as it is typed, against the hub on loopback:
 * what it prints, its exit statuses, and that --model finds the result. */
#include "testing.h"

#include "hub_server.h"

#include <sys/wait.h>

/* Runs the program; stdout and stderr into out; its exit status. */
static int run(const char *args, char *out, size_t cap)
{
    char line[2048];
    FILE *p;
    size_t n;
    int status;

    snprintf(line, sizeof line, "'%s/bin/quern' %s 2>&1", qn_test_build_dir(),
             args);
    p = popen(line, "r");
    assert_non_null(p);
    n = fread(out, 1, cap - 1, p);
    out[n] = '\0';
    status = pclose(p);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void check(const char *args, int status, const char *want)
{
    char out[8192];
    int got = run(args, out, sizeof out);

    if (got != status || !strstr(out, want))
        fail_msg("quern %s: status %d, printed: %s", args, got, out);
}

static void test_pull(void **state)
{
    size_t n_config, n_weights;
    char *config = qn_test_read_file(qn_test_data("models/gpt2/config.json"),
                                     &n_config);
    char *weights = qn_test_read_file(
        qn_test_data("models/gpt2/model.safetensors"), &n_weights);
    hub_file files[] = {
        {.name = "config.json", .data = config, .n = n_config},
        {.name = "model.safetensors",
         .data = weights,
         .n = n_weights,
         .lfs = true},
    };
    hub_server *s = hub_server_start("org/tiny", files, 2);
    char want[512];

    (void)state;
    check("run --model org/tiny --token-ids 1,2 --max-tokens 2", 1,
          "quern pull org/tiny");
    snprintf(want, sizeof want,
             "%s/hub/models--org--tiny/snapshots/" HUB_COMMIT "\n",
             hub_server_cache(s));
    check("pull org/tiny", 0, want);
    check("run --model org/tiny --token-ids 1,2 --max-tokens 2 --ignore-eos "
          "--output-format json",
          0, "\"token_ids\"");
    check("run org/tiny --check-config hi", 0, "org/tiny  (flag)");
    check("pull org/none", 1, "quern pull: org/none");
    check("pull llama3", 1, "quern pull: \"llama3\" names no organization");
    check("pull", 2, "quern pull facebook/opt-350m");
    check("pull 'a b'", 1, "org/name");
    check("pull a b", 2, "");
    hub_server_stop(s);
    free(config);
    free(weights);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_pull)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
