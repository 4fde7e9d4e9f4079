/* quern run MODEL PROMPT: which words are a model, and which a prompt. */
#include "proc.h"

#include <sys/stat.h>
#include <unistd.h>

static void has_model(qn_proc *p, const char *line)
{
    assert_int_equal(p->status, 0);
    qn_proc_has_out(p, line);
    qn_proc_free(p);
}

/* "quern run MODEL PROMPT": a first word that is a model which is here is no
 * part of the prompt, and the built-in model is not taken in silence. */
static void test_model_word(void **state)
{
    qn_proc p;
    char *dir = realpath(qn_test_data("models/llama"), NULL);
    char link[4200], broken[4200], config[4300];
    const char *tmp = qn_test_tmpdir();
    (void)state;
    quern(&p, NULL, "run", "-q", "-n", "4", "--prompt", "The mill");
    SAME(NULL, p.out, "run", "-q", "-n", "4", "builtin", "The mill");
    SAME(NULL, p.out, "run", "-q", "-n", "4", "builtin", "The", "mill");
    SAME(NULL, p.out, "run", "-q", "-n", "4", "builtin", "-p", "The mill");
    qn_proc_free(&p);
    quern(&p, NULL, "run", dir, "--token-ids", "1,2", "-n", "3", "-o", "json");
    assert_int_equal(p.status, 0);
    assert_null(strstr(p.err, "built-in"));
    qn_proc_free(&p);
    quern(&p, NULL, "run", "builtin", "-n", "3");
    assert_int_equal(p.status, 2);
    qn_proc_has_err(&p, "quern run --model builtin --prompt");
    qn_proc_free(&p);
    /* in the working folder, without a slash */
    snprintf(link, sizeof link, "%s/amodel", tmp);
    assert_int_equal(symlink(dir, link), 0);
    snprintf(broken, sizeof broken, "%s/broken", tmp);
    assert_int_equal(mkdir(broken, 0777), 0);
    snprintf(config, sizeof config, "%s/config.json", broken);
    qn_test_write_file(config, "{}", 2);
    char *cwd = getcwd(NULL, 0);
    assert_int_equal(chdir(tmp), 0);
    quern(&p, NULL, "run", "--check-config", "amodel", "hi");
    has_model(&p, "amodel  (flag)");
    quern(&p, NULL, "run", "broken", "hi");
    assert_int_equal(p.status, 1);
    qn_proc_has_err(&p, "no weights");
    qn_proc_free(&p);
    assert_int_equal(chdir(cwd), 0);
    free(cwd);
    free(dir);
    /* the environment does not change what a line means; --model does */
    setenv("QUERN_TEST_KEEP", "1", 1);
    setenv("QUERN_MODEL", "/nowhere", 1);
    quern(&p, NULL, "run", "--check-config", "builtin", "hi");
    has_model(&p, "builtin  (flag)");
    unsetenv("QUERN_MODEL");
    unsetenv("QUERN_TEST_KEEP");
    quern(&p, NULL, "run", "-n", "0", "hi");
    qn_proc_has_err(&p, "no --model: the built-in one");
    qn_proc_free(&p);
    quern(&p, NULL, "run", "-n", "0", "--model", "builtin", "builtin", "hi");
    assert_int_equal(p.status, 0);
    assert_null(strstr(p.err, "built-in"));
    qn_proc_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_model_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
