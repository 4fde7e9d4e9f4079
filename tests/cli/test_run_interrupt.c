/* quern run and Ctrl-C: what there is stays, and the status says so. */
#include "proc.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

/* Text comes while it is made; Ctrl-C ends with what there is. */
static void test_interrupt(void **state)
{
    char path[4096];
    size_t n = 0;
    (void)state;
    snprintf(path, sizeof path, "%s/interrupted.txt", qn_test_tmpdir());
    pid_t pid = qn_proc_start(path,
                              (const char *const[]){"run", "--ignore-eos", "-n",
                                                    "1000", "Once upon a time",
                                                    NULL});
    for (int i = 0; i < 6000 && n < 20; i++) {
        usleep(5000);
        if (access(path, R_OK) != 0)
            continue;
        free(qn_test_read_file(path, &n));
    }
    assert_true(n >= 20);
    kill(pid, SIGINT);
    assert_int_equal(qn_proc_wait(pid), 130);
    char *text = qn_test_read_file(path, &n);
    assert_true(n < 5000);
    assert_int_equal(text[n - 1], '\n');
    free(text);
}

/* In the background of a shell without job control SIGINT is ignored: Ctrl-C
 * is for what runs in front. */
static void test_interrupt_in_background(void **state)
{
    char path[4096];
    size_t n = 0;
    (void)state;
    snprintf(path, sizeof path, "%s/background.txt", qn_test_tmpdir());
    void (*before)(int) = signal(SIGINT, SIG_IGN);
    setenv("QUERN_TEST_KEEP_SIGNALS", "1", 1);
    pid_t pid = qn_proc_start(path,
                              (const char *const[]){"run", "--ignore-eos", "-n",
                                                    "300", "Once upon a time",
                                                    NULL});
    unsetenv("QUERN_TEST_KEEP_SIGNALS");
    signal(SIGINT, before);
    for (int i = 0; i < 6000 && n < 20; i++) {
        usleep(5000);
        if (access(path, R_OK) == 0)
            free(qn_test_read_file(path, &n));
    }
    kill(pid, SIGINT);
    assert_int_equal(qn_proc_wait(pid), 0);
    unlink(path);
}

/* In the middle of the only pass over a prompt, which takes seconds with these
 * kernels: not one token is written. */
static void test_interrupt_in_a_pass(void **state)
{
    char path[4096], prompt[3600] = "";
    size_t n = 0;
    (void)state;
    for (int i = 0; i < 700; i++)
        strcat(prompt, "mill ");
    snprintf(path, sizeof path, "%s/in-a-pass.txt", qn_test_tmpdir());
    pid_t pid = qn_proc_start(path,
                              (const char *const[]){"run", "--isa", "ref",
                                                    "--chunk-size", "1024",
                                                    prompt, NULL});
    usleep(700000);
    kill(pid, SIGINT);
    assert_int_equal(qn_proc_wait(pid), 130);
    free(qn_test_read_file(path, &n));
    assert_in_range(n, 0, 1); /* the end of a line */
}

/* A pipe that nobody writes to. */
static void test_interrupt_of_waiting(void **state)
{
    char pipe[4096], path[4096];
    (void)state;
    snprintf(pipe, sizeof pipe, "%s/silent", qn_test_tmpdir());
    snprintf(path, sizeof path, "%s/silent.txt", qn_test_tmpdir());
    assert_int_equal(mkfifo(pipe, 0600), 0);
    for (int i = 0; i < 2; i++) {
        const char *how = i ? "--prompts-file" : "-f";
        pid_t pid = qn_proc_start(path, (const char *const[]){"run", how, pipe,
                                                              NULL});
        usleep(300000);
        kill(pid, SIGINT);
        assert_int_equal(qn_proc_wait(pid), 130);
    }
    unlink(pipe);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_interrupt),
        cmocka_unit_test(test_interrupt_in_background),
        cmocka_unit_test(test_interrupt_in_a_pass),
        cmocka_unit_test(test_interrupt_of_waiting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
