/* quern chat: from a pipe, and on a terminal with keys and Ctrl-C. Also what a
 * terminal changes for the other commands. */
#include "proc.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#define PTY(t, ...) qn_pty_open((t), (const char *const[]){__VA_ARGS__, NULL})

static int count(const char *s, const char *what)
{
    int n = 0;
    while ((s = strstr(s, what))) {
        n++;
        s += strlen(what);
    }
    return n;
}

static void test_pipe(void **state)
{
    qn_proc p, q;
    (void)state;
    quern(&p, "Hello!\n\n/undo\nHello!\n", "chat", "-n", "8");
    assert_int_equal(p.status, 0);
    /* the same question in the same state has the same answer */
    const char *second = strchr(p.out, '\n');
    assert_non_null(second);
    second++;
    assert_int_equal(strlen(p.out), 2 * strlen(second));
    assert_memory_equal(p.out, second, strlen(second));
    /* and is what run says */
    quern(&q, NULL, "run", "-q", "--chat", "-n", "8", "Hello!");
    assert_string_equal(q.out, second);
    qn_proc_free(&q);
    qn_proc_free(&p);
}

static void test_pipe_errors(void **state)
{
    qn_proc p;
    (void)state;
    quern(&p, "/cleer\nHello!\n", "chat", "-n", "4");
    assert_int_equal(p.status, 1);
    qn_proc_has_err(&p, "did you mean /clear?");
    assert_string_equal(p.out, "");
    qn_proc_free(&p);
    quern(&p, "/set model x\n", "chat");
    assert_int_equal(p.status, 1);
    qn_proc_has_err(&p, "fixed once the conversation runs");
    qn_proc_free(&p);
    quern(&p, "/set top-p 3\n", "chat");
    qn_proc_has_err(&p, "must lie between 0 and 1");
    qn_proc_free(&p);
    quern(&p, "/retry\n", "chat");
    qn_proc_has_err(&p, "no answer yet");
    qn_proc_free(&p);
    quern(&p, "/load /nowhere/x\n", "chat");
    assert_int_equal(p.status, 1);
    qn_proc_has_err(&p, "/nowhere/x");
    qn_proc_free(&p);
    quern(&p, "hi\n", "chat", "--context", "32", "--system",
          "one two three four five six seven eight nine ten eleven twelve "
          "thirteen fourteen fifteen sixteen seventeen eighteen nineteen");
    assert_int_equal(p.status, 1);
    qn_proc_has_err(&p, "larger --context");
    qn_proc_free(&p);
}

/* A conversation that is longer than its context, with a window. */
static void test_endless(void **state)
{
    char text[1600] = "";
    qn_proc p;
    (void)state;
    for (int i = 0; i < 300; i++)
        strcat(text, "mill ");
    strcat(text, "\nAnd now?\n");
    quern(&p, text, "chat", "--context", "256", "-n", "4");
    assert_int_equal(p.status, 1);
    qn_proc_has_err(&p, "larger --context");
    qn_proc_free(&p);
    quern(&p, text, "chat", "--context", "256", "-n", "4", "--kv-window", "64");
    assert_int_equal(p.status, 0);
    qn_proc_free(&p);
}

/* No advice that does not help: the model has no more context. */
static void test_full(void **state)
{
    char text[6000] = "";
    qn_proc p;
    (void)state;
    for (int i = 0; i < 1100; i++)
        strcat(text, "mill ");
    strcat(text, "\n");
    quern(&p, text, "chat", "--context", "4096", "-n", "4");
    assert_int_equal(p.status, 1);
    qn_proc_has_err(&p, "the model's context is 1024: /undo");
    assert_null(strstr(p.err, "--context"));
    qn_proc_free(&p);
}

/* Many turns: an error that says what would help, and with it they go on. */
static void test_forget(void **state)
{
    char text[4000] = "";
    qn_proc p;
    (void)state;
    for (int i = 0; i < 12; i++)
        strcat(text, "A dog, a cat, a mill, a house and a tree met a boy.\n");
    quern(&p, text, "chat", "--context", "256", "-n", "4");
    assert_int_equal(p.status, 1);
    qn_proc_has_err(&p, "larger --context or --context-shift");
    qn_proc_free(&p);
    quern(&p, text, "chat", "--context", "256", "-n", "4", "--context-shift",
          "--system", "Be brief.");
    assert_int_equal(p.status, 0);
    qn_proc_has_err(&p, "oldest turns are forgotten");
    qn_proc_free(&p);
}

static void test_save_and_load(void **state)
{
    qn_proc p;
    char path[4096], input[8300];
    size_t n;
    (void)state;
    snprintf(path, sizeof path, "%s/talk.json", qn_test_tmpdir());
    snprintf(input, sizeof input,
             "/system Be kind.\nfirst\\\nand second\n/save %s\n", path);
    quern(&p, input, "chat", "-n", "4");
    assert_int_equal(p.status, 0);
    qn_proc_free(&p);
    char *text = qn_test_read_file(path, &n);
    assert_non_null(strstr(text, "\"Be kind.\""));
    assert_non_null(strstr(text, "\"first\\nand second\""));
    assert_non_null(strstr(text, "\"assistant\""));
    free(text);
    quern(&p, "\"\"\"a\nb\"\"\"\n/save /dev/stdout\n", "chat", "-n", "4",
          "--load", path);
    qn_proc_has_out(&p, "\"a\\nb\"");
    qn_proc_free(&p);
    quern(&p, "\"\"\"\n/a\nb\n\"\"\"\n/save /dev/stdout\n", "chat", "-n", "4");
    qn_proc_has_out(&p, "\"/a\\nb\"");
    qn_proc_free(&p);
    snprintf(input, sizeof input, "more\n/save %s\n", path);
    quern(&p, input, "chat", "-n", "4", "--load", path);
    assert_int_equal(p.status, 0);
    qn_proc_free(&p);
    text = qn_test_read_file(path, &n);
    assert_int_equal(count(text, "\"user\""), 2);
    assert_int_equal(count(text, "\"assistant\""), 2);
    free(text);
}

static void test_terminal(void **state)
{
    qn_pty t;
    char home[4096], history[4200];
    size_t n;
    (void)state;
    snprintf(home, sizeof home, "%s/state", qn_test_tmpdir());
    setenv("XDG_STATE_HOME", home, 1);
    PTY(&t, "chat", "-n", "6");
    qn_pty_expect(&t, "/help lists the commands");
    qn_pty_at_prompt(&t);
    qn_pty_send(&t, "/help\r");
    qn_pty_expect(&t, "/retry");
    qn_pty_at_prompt(&t);
    qn_pty_send(&t, "/stats\r");
    qn_pty_expect(&t, "answer: on");
    qn_pty_at_prompt(&t);
    qn_pty_send(&t, "Hallo W\303\266lt!\r");
    qn_pty_expect(&t, "tok/s");
    qn_pty_at_prompt(&t);
    qn_pty_send(&t, "/set temperature 0.5\r/set\r");
    qn_pty_expect(&t, "  0.5");
    qn_pty_at_prompt(&t);
    qn_pty_send(&t, "/nonsense\r"); /* told, not fatal */
    qn_pty_expect(&t, "there is no /nonsense");
    qn_pty_at_prompt(&t);
    qn_pty_send(&t, "half a li\003"); /* Ctrl-C clears the line */
    qn_pty_expect(&t, "Ctrl-D or /quit leaves");
    qn_pty_at_prompt(&t);
    qn_pty_send(&t, "/quit\r");
    assert_int_equal(qn_pty_close(&t), 0);

    snprintf(history, sizeof history, "%s/quern/history", home);
    char *text = qn_test_read_file(history, &n);
    assert_non_null(strstr(text, "temperature"));
    assert_null(strstr(text, "half a li"));
    free(text);
    struct stat st;
    assert_int_equal(stat(history, &st), 0);
    assert_int_equal(st.st_mode & 077, 0);

    /* the next time arrow-up brings it back */
    PTY(&t, "chat");
    qn_pty_at_prompt(&t);
    qn_pty_send(&t, "\033[A\033[A");
    qn_pty_expect(&t, "/nonsense");
    qn_pty_send(&t, "\001\013\004"); /* line cleared, end of input */
    assert_int_equal(qn_pty_close(&t), 0);
}

/* What is pasted is one question: its newlines do not end it, its tabs are
 * tabs, and other keys in it are left out. A mark that is none is keys. */
static void test_paste(void **state)
{
    qn_pty t;
    char path[4096], keys[4200];
    size_t n;
    (void)state;
    snprintf(path, sizeof path, "%s/paste.json", qn_test_tmpdir());
    PTY(&t, "chat", "--no-history", "-n", "3");
    qn_pty_expect(&t, "\033[?2004h");
    qn_pty_at_prompt(&t);
    qn_pty_send(&t,
                "\033[200~/one \\\r\rtwo\tx\001\ndrei \303\274\r\033[201~\r");
    qn_pty_expect(&t, "longest length");
    qn_pty_at_prompt(&t);
    snprintf(keys, sizeof keys, "zzz\033[D\033[D\033[D\013/save %s\r", path);
    qn_pty_send(&t, keys);
    qn_pty_expect(&t, "(saved;");
    qn_pty_at_prompt(&t);
    qn_pty_send(&t, "\004");
    assert_int_equal(qn_pty_close(&t), 0);
    char *text = qn_test_read_file(path, &n);
    assert_non_null(strstr(text, "\"/one \\\\\\n\\ntwo\\tx\\ndrei \303\274\""));
    free(text);
}

/* Ctrl-C stops the answer, not the program; the next question works. */
static void test_interrupt_answer(void **state)
{
    qn_pty t;
    (void)state;
    PTY(&t, "chat", "--no-history", "--ignore-eos");
    qn_pty_at_prompt(&t);
    qn_pty_send(&t, "Tell me a story.\r");
    qn_pty_expect(&t, "\n"); /* the echo */
    qn_pty_expect(&t, " ");  /* words of the answer */
    qn_pty_expect(&t, " ");
    qn_pty_send(&t, "\003");
    qn_pty_expect(&t, "(interrupted)");
    qn_pty_at_prompt(&t);
    qn_pty_send(&t, "/set max-new-tokens 3\rAnd now?\r");
    qn_pty_expect(&t, "longest length");
    qn_pty_at_prompt(&t);
    qn_pty_send(&t, "\004");
    assert_int_equal(qn_pty_close(&t), 0);
}

static void test_terminate(void **state)
{
    qn_pty t;
    (void)state;
    PTY(&t, "chat", "--no-history");
    qn_pty_at_prompt(&t);
    kill(t.pid, SIGTERM);
    assert_int_equal(qn_pty_close(&t), 130);
}

/* Colour for people, none for NO_COLOR. */
static void test_colour(void **state)
{
    qn_pty t;
    (void)state;
    const char *before = getenv("NO_COLOR");
    unsetenv("NO_COLOR");
    PTY(&t, "run", "--temprature", "1");
    qn_pty_expect(&t, "\033[31mquern run:\033[0m there is no option");
    assert_int_equal(qn_pty_close(&t), 2);
    setenv("NO_COLOR", "1", 1);
    PTY(&t, "run", "--temprature", "1");
    qn_pty_expect(&t, "quern run: there is no option");
    assert_null(strchr(t.seen, '\033'));
    assert_int_equal(qn_pty_close(&t), 2);
    if (!before)
        unsetenv("NO_COLOR");
}

/* Without a prompt a person is told, not left waiting. */
static void test_nothing_to_do(void **state)
{
    qn_pty t;
    (void)state;
    PTY(&t, "run");
    qn_pty_expect(&t, "nothing to go on from");
    assert_int_equal(qn_pty_close(&t), 2);
}

/* Who asks a question without --chat is told of it; a script is not. */
static void test_question_hint(void **state)
{
    qn_pty t;
    qn_proc p;
    (void)state;
    PTY(&t, "run", "-n", "2", "Why?");
    qn_pty_expect(&t, "--chat asks it as a question");
    assert_int_equal(qn_pty_close(&t), 0);
    quern(&p, NULL, "run", "-n", "2", "Why?");
    assert_null(strstr(p.err, "--chat"));
    qn_proc_free(&p);
}

/* What a terminal would obey does not reach it, but a file gets every byte. */
static void test_control_characters(void **state)
{
    qn_pty t;
    qn_proc p;
    (void)state;
    PTY(&t, "run", "-n", "1", "--echo", "a\033[2Jb");
    qn_pty_expect(&t, "a?[2Jb");
    assert_int_equal(qn_pty_close(&t), 0);
    quern(&p, NULL, "run", "-q", "-n", "1", "--echo", "a\033[2Jb");
    qn_proc_has_out(&p, "a\033[2Jb");
    qn_proc_free(&p);
    /* what other commands make of it */
    quern(&p, NULL, "tokenize", "builtin", "a\033[2Jb");
    PTY(&t, "detokenize", "builtin", p.out);
    qn_pty_expect(&t, "a?[2Jb");
    assert_int_equal(qn_pty_close(&t), 0);
    qn_proc_free(&p);
    /* names of others in a report */
    char model[4096], link[4200];
    snprintf(model, sizeof model, "%s/models/quern-14m.gguf",
             qn_test_source_dir());
    snprintf(link, sizeof link, "%s/a\033[2Jb.gguf", qn_test_tmpdir());
    assert_int_equal(symlink(model, link), 0);
    PTY(&t, "info", link);
    qn_pty_expect(&t, "a?[2Jb.gguf");
    assert_int_equal(qn_pty_close(&t), 0);
}

/* A long prompt, in small steps that take their time: a bar, which Ctrl-C ends and
 * wipes. */
static void test_prefill_bar(void **state)
{
    qn_pty t;
    char ids[4096] = "40";
    (void)state;
    for (int i = 0; i < 900; i++)
        strcat(ids, ",40");
    PTY(&t, "run", "-n", "1", "--chunk-size", "1", "-t", "1", "--isa", "ref",
        "--token-ids", ids);
    qn_pty_expect(&t, "Reading the prompt [");
    qn_pty_expect(&t, "of 901");
    qn_pty_send(&t, "\003");
    qn_pty_expect(&t, "\r\033[K");
    assert_int_equal(qn_pty_close(&t), 130);
}

static void test_no_template(void **state)
{
    qn_proc p;
    (void)state;
    const char *dir = qn_test_shared("data/models/hf/stories260K");
    if (!dir)
        QN_SKIP("no shared data");
    quern(&p, "hi\n", "chat", dir);
    assert_int_equal(p.status, 1);
    qn_proc_has_err(&p, "no conversation with this model");
    qn_proc_free(&p);
    quern(&p, NULL, "run", "-m", dir, "--chat", "hi");
    assert_int_equal(p.status, 1);
    qn_proc_has_err(&p, "--prompt goes on from a text");
    qn_proc_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pipe),
        cmocka_unit_test(test_pipe_errors),
        cmocka_unit_test(test_endless),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_forget),
        cmocka_unit_test(test_save_and_load),
        cmocka_unit_test(test_terminal),
        cmocka_unit_test(test_paste),
        cmocka_unit_test(test_interrupt_answer),
        cmocka_unit_test(test_terminate),
        cmocka_unit_test(test_colour),
        cmocka_unit_test(test_nothing_to_do),
        cmocka_unit_test(test_question_hint),
        cmocka_unit_test(test_control_characters),
        cmocka_unit_test(test_prefill_bar),
        cmocka_unit_test(test_no_template),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
