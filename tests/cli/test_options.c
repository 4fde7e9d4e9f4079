/* Options of the real program: mistakes, help, where values come from. */
#include "proc.h"

#include "cli/commands.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void usage(const char *message, const char *const *args)
{
    qn_proc p;
    qn_proc_run(&p, NULL, args);
    qn_proc_has_err(&p, message);
    assert_int_equal(p.status, 2);
    assert_string_equal(p.out, "");
    /* one line, and nothing of a terminal in it */
    assert_ptr_equal(strchr(p.err, '\n'), p.err + p.n_err - 1);
    assert_null(strchr(p.err, '\033'));
    qn_proc_free(&p);
}
#define USAGE(message, ...) \
    usage((message), (const char *const[]){__VA_ARGS__, NULL})

static void test_mistyped(void **state)
{
    (void)state;
    USAGE("did you mean 'quern run'?", "rnu");
    USAGE("did you mean 'quern tokenize'?", "tokenise");
    USAGE("'quern --help' lists them", "xyzzyxyzzy");
    USAGE("did you mean --temperature?", "run", "--temprature", "1");
    USAGE("did you mean --temperature?", "run", "--temper", "1");
    USAGE("did you mean --max-new-tokens?", "run", "--max_new_token", "1");
    USAGE("did you mean --prompts-file?", "run", "--promts_file", "x");
    USAGE("'quern run --help' lists them", "run", "--qqqqqqqqqqq");
    USAGE("there is no option -z", "run", "-z");
}

/* Names of llama.cpp, vLLM and ollama. */
static void test_foreign(void **state)
{
    (void)state;
    USAGE("no option -ngl; quern computes on the CPU", "run", "-ngl", "99",
          "hi");
    USAGE("no option -fa; there is nothing to switch", "run", "-fa", "hi");
    USAGE("no option -hf; 'quern pull org/name'", "run", "-hf", "a/b", "hi");
    USAGE("no option -ctk; here it is --kv-type", "run", "-ctk", "q8_0", "hi");
    USAGE("no option -sys; here it is --system", "run", "-sys", "You", "hi");
    USAGE("here it is -o json", "run", "--json", "hi");
    USAGE("here it is --json", "info", "-o", "json");
    USAGE("here it is --json", "info", "--output-format", "json");
    USAGE("here it is --response-format json", "run", "--format", "json");
    USAGE("here it is --system", "chat", "--system_prompt", "x");
    USAGE("here it is --batch-size", "serve", "--max-num-seqs", "4");
    USAGE("here it is --batch-size", "serve", "--parallel=4");
    USAGE("here it is --chunk-size", "serve", "--max-num-batched-tokens", "4");
    USAGE("here it is --tls-cert", "serve", "--ssl-certfile", "x");
    USAGE("here it is --served-model-name", "serve", "--alias", "x");
    USAGE("CPUs of one machine", "serve", "--tensor-parallel-size", "2");
    USAGE("--memory-limit bounds", "serve", "--gpu-memory-utilization", ".9");
    USAGE("weights stay as the model has them", "serve", "--dtype", "half");
    USAGE("--no-jinja; there is nothing", "serve", "--no-jinja");
    USAGE("'quantize'; here it is 'quern optimize'", "quantize", "x");
    USAGE("here it is 'quern eval'", "perplexity");
    USAGE("writes a GGUF file", "convert");
    USAGE("those that were pulled", "list");
    USAGE("here it is 'quern info'", "show");
    USAGE("'quern serve' has one model", "ps");
    USAGE("quern does not train", "distill");
    qn_proc p;
    quern(&p, NULL, "serve", "--no-enable-prefix-caching", "--check-config");
    qn_proc_has_out(&p, "prefix-caching         false  (flag)");
    qn_proc_free(&p);
    USAGE("here it is --grammar @FILE", "run", "--grammar-file", "x");
    /* letters with a value glued to them are what they were */
    USAGE("two prompts", "run", "-fah", "hi");
}

static void test_values(void **state)
{
    (void)state;
    USAGE("--top-p wants a value", "run", "--top-p");
    USAGE("--top-p wants a number, not 'x'", "run", "--top-p", "x", "hi");
    USAGE("--top-p wants a number, not ''", "run", "--top-p", "", "hi");
    USAGE("between 0 and 1", "run", "--top-p", "1.5", "hi");
    USAGE("between 0 and 1", "run", "--top-p=-0.1", "hi");
    USAGE("wants a number, not 'nan'", "run", "--temperature", "nan", "hi");
    USAGE("wants a number, not 'inf'", "run", "--temperature", "inf", "hi");
    USAGE("wants a number, not '1e999'", "run", "--temp", "1e999", "hi");
    USAGE("wants a whole number, not '1.5'", "run", "--top-k", "1.5", "hi");
    USAGE("wants a whole number", "run", "-n", "99999999999999999999", "hi");
    USAGE("must lie between", "run", "-n", "-1", "hi");
    USAGE("must lie between", "run", "-n", "4294967296", "hi");
    USAGE("one of text|json", "run", "-o", "yaml", "hi");
    USAGE("true or false", "run", "--echo=maybe", "hi");
    USAGE("a size such as", "run", "--memory-limit", "lots", "hi");
    USAGE("token ids such as", "run", "--token-ids", "1,x");
    USAGE("token ids such as", "run", "--token-ids", "-1");
    USAGE("token ids such as", "run", "--token-ids", "99999999999");
    USAGE("not ',,2'", "run", "--token-ids", "1,,2");
    USAGE("not ','", "run", "--token-ids", "1,2,");
    USAGE("not ',1'", "run", "--token-ids", ",1");
    USAGE("--prefill wants numbers such as", "bench", "--prefill", "abc");
    USAGE("ID=X", "run", "--logit-bias", "5", "hi");
    USAGE("ID=X", "run", "--logit-bias", "5=nan", "hi");
    USAGE("wants a path", "run", "--model", "", "hi");
}

static void test_contradictions(void **state)
{
    (void)state;
    USAGE("two prompts", "run", "--prompt", "a", "--token-ids", "1");
    USAGE("two prompts", "run", "--prompt", "a", "b");
    USAGE("--system needs --chat", "run", "--system", "x", "hi");
    USAGE("--logprobs needs --output-format json", "run", "--logprobs", "1",
          "hi");
    USAGE("contradicts", "run", "--temperature", "0", "--do-sample", "hi");
    USAGE("which model? quern tokenize MODEL [TEXT]; the built-in one is "
          "\"builtin\"",
          "tokenize");
    USAGE("the built-in one is \"builtin\"", "optimize", "-o", "x");
    USAGE("which messages?", "template", "builtin");
    USAGE("of which tokens?", "logits", "builtin");
    USAGE("one word too many", "info", "a", "b");
    USAGE("given twice", "info", "--model", "a", "b");
}

static const char *config(const char *text)
{
    static char path[4096];
    static int n;
    snprintf(path, sizeof path, "%s/config%d.json", qn_test_tmpdir(), n++);
    qn_test_write_file(path, text, strlen(text));
    return path;
}

/* What --check-config lets pass the real start does not refuse for the settings
 * alone, and the other way round. */
static void test_check_config(void **state)
{
    static const char *const cases[][8] = {
        {"no \"foo\"", "serve", "--reasoning-parser", "foo"},
        {"no \"foo\"", "serve", "--tool-call-parser", "foo"},
        {"more than --max-tokens", "serve", "--default-max-tokens", "500",
         "--max-tokens", "100"},
        {"without --overcommit", "serve", "--swap-space", "1G"},
        {"without --overcommit", "chat", "--swap-space", "1G"},
        {"--kv-window is for one completion, without --context-shift", "run",
         "--kv-window", "64", "--context-shift"},
        {"--n is 5 but --num-beams only 2", "run", "--num-beams", "2", "--n",
         "5"},
        {"not valid JSON", "run", "--json-schema", "{"},
        {"another option says", "run", "--json-schema", "{}", "--regex", "a"},
        {"names no token", "run", "--allowed-ids", ""},
        {"contradicts --do-sample", "run", "--temperature", "0", "--do-sample"},
        {"has 4 bits, not 5", "optimize", "--bits", "5"},
        {"--quantization-bits says 4 bits, --load-in-8bit 8", "optimize",
         "--load-in-8bit", "--bits", "4"},
        {"--load-in-4bit says 4 bits, --load-in-8bit 8", "optimize",
         "--load-in-4bit", "--load-in-8bit"},
        {"wants one target", "optimize", "--method", "auto"},
    };
    qn_proc p;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *args[10] = {0};
        int n = 0;
        for (; n < 7 && cases[i][n + 1]; n++)
            args[n] = cases[i][n + 1];
        for (int check = 0; check < 2; check++) {
            args[n] = check ? "--check-config" : NULL;
            qn_proc_run(&p, NULL, args);
            qn_proc_has_err(&p, cases[i][0]);
            assert_true(p.status == 1 || p.status == 2);
            assert_string_equal(p.out, "");
            qn_proc_free(&p);
        }
    }
    quern(&p, NULL, "serve", "--check-config", "--tls-cert", "/nowhere/a",
          "--tls-key", "/nowhere/b");
    assert_int_equal(p.status, 1);
    qn_proc_has_err(&p, "/nowhere/a");
    qn_proc_free(&p);
    /* what a file says of bits the command line overrides */
    quern(&p, NULL, "optimize", "--check-config", "--config",
          config("{\"load_in_4bit\": true, \"load_in_8bit\": false}"), "--bits",
          "8");
    assert_int_equal(p.status, 0);
    qn_proc_free(&p);
}

static void test_no_arguments(void **state)
{
    qn_proc p;
    (void)state;
    qn_proc_run(&p, NULL, (const char *const[]){NULL});
    assert_int_equal(p.status, 2);
    qn_proc_has_out(&p, "Usage: quern COMMAND");
    qn_proc_free(&p);
}

static const char *const commands[] = {"run",      "chat",     "info",
                                       "doctor",   "tokenize", "detokenize",
                                       "template", "logits"};

static void test_help(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        qn_proc p, q;
        char line[64];
        quern(&p, NULL, commands[i], "--help");
        assert_int_equal(p.status, 0);
        assert_string_equal(p.err, "");
        snprintf(line, sizeof line, "Usage: quern %s [options]", commands[i]);
        qn_proc_has_out(&p, line);
        qn_proc_has_out(&p, "Examples\n");
        qn_proc_has_out(&p, "--config FILE");
        for (const char *s = p.out, *e; (e = strchr(s, '\n')); s = e + 1)
            if (e - s > 80 && s[2] == '-')
                fail_msg("wide line: %.*s", (int)(e - s), s);
        /* the same, however it is asked for, and before anything is opened */
        quern(&q, NULL, commands[i], "--model", "/nowhere", "--nonsense", "-h");
        assert_string_equal(p.out, q.out);
        qn_proc_free(&q);
        quern(&q, NULL, "help", commands[i]);
        assert_string_equal(p.out, q.out);
        qn_proc_free(&q);
        qn_proc_free(&p);
    }
}

static void test_version(void **state)
{
    qn_proc p;
    (void)state;
    quern(&p, NULL, "--version");
    assert_int_equal(p.status, 0);
    assert_string_equal(p.out, "quern " QUERN_VERSION "\n");
    qn_proc_free(&p);
}

/* ---- where values come from ---------------------------------------------- */

static void test_sources(void **state)
{
    qn_proc p;
    (void)state;
    const char *file = config("{\"$schema\": \"x\", \"top_p\": 0.5, "
                              "\"max_new_tokens\": 7, \"threads\": 1, "
                              "\"stop\": [\"a\", \"b\"], "
                              "\"logit_bias\": {\"5\": -1}, "
                              "\"stop_token_ids\": [3, 4], \"echo\": true, "
                              "\"top_k\": null, \"top-k\": 3, "
                              "\"json_schema\": {\"type\": \"integer\"}}");
    setenv("QUERN_THREADS", "2", 1);
    quern(&p, NULL, "run", "--check-config", "--config", file, "--top_p=0.25");
    unsetenv("QUERN_THREADS");
    assert_int_equal(p.status, 0);
    qn_proc_has_out(&p, "top-p                  0.25  (flag)\n");
    qn_proc_has_out(&p, "threads                2  (environment)\n");
    qn_proc_has_out(&p, "max-new-tokens         7  (file)\n");
    qn_proc_has_out(&p, "stop                   a, b  (file)\n");
    qn_proc_has_out(&p, "logit-bias             5=-1  (file)\n");
    qn_proc_has_out(&p, "stop-token-ids         [3,4]  (file)\n");
    qn_proc_has_out(&p, "echo                   true  (file)\n");
    qn_proc_has_out(&p, "top-k                  3  (file)\n");
    qn_proc_has_out(&p,
                    "json-schema            {\"type\":\"integer\"}  (file)\n");
    qn_proc_has_out(&p, "output-format          text  (default)\n");
    qn_proc_free(&p);

    /* a list on the command line replaces the file's */
    quern(&p, NULL, "run", "--check-config", "--config", file, "-s", "c", "-s",
          "d");
    qn_proc_has_out(&p, "stop                   c, d  (flag)\n");
    qn_proc_free(&p);
}

static void test_config_errors(void **state)
{
    (void)state;
    const char *const cases[][2] = {
        {"{\"top_q\": 1}", "\"top_q\" is not a setting; did you mean"},
        {"{\"zzzzzzzzz\": 1}", "the keys are the options"},
        {"{\"top_p\": 2}", "must lie between 0 and 1"},
        {"{\"top_p\": \"x\"}", "wants a number, not 'x'"},
        {"{\"top_p\": [1]}", "expected text, a number, true or false"},
        {"{\"max_new_tokens\": 1.5}", "wants a whole number"},
        {"{\"max_new_tokens\": 1e300}", "wants a whole number"},
        {"{\"prompt\": \"a\\u0000b\"}", "a NUL in the text"},
        {"{\"prompt\": true}", "\"prompt\": expected text, not a truth value"},
        {"{\"model\": 5}", "\"model\": expected text, not"},
        {"{\"top-k\": 1, \"seed\": 1, \"top_k\": 2}",
         "\"top-k\" and \"top_k\" are the same setting"},
        {"{\"max_tokens\": 1, \"max_new_tokens\": 1}", "the same setting"},
        {"{\"config\": \"x\"}", "for the command line only"},
        {"[]", "expected a JSON object"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        USAGE(cases[i][1], "run", "--config", config(cases[i][0]), "hi");

    qn_proc p;
    quern(&p, NULL, "run", "--config", config("{\"top_p\":"), "hi");
    assert_int_equal(p.status, 1);
    qn_proc_has_err(&p, "not valid JSON");
    qn_proc_free(&p);
    quern(&p, NULL, "run", "--config", "/nowhere/c.json", "hi");
    assert_int_equal(p.status, 1);
    qn_proc_has_err(&p, "/nowhere/c.json");
    qn_proc_free(&p);
}

/* The tutorial's spellings. */
static void test_spellings(void **state)
{
    qn_proc p;
    (void)state;
    quern(&p, NULL, "run", "--check-config", "--model_path", "DIR",
          "--max_length", "256", "--batch_size=4", "--repeat_penalty", "1.1",
          "--top_k", "40", "-T0.7");
    assert_int_equal(p.status, 0);
    qn_proc_has_out(&p, "model                  DIR  (flag)\n");
    qn_proc_has_out(&p, "max-length             256  (flag)\n");
    qn_proc_has_out(&p, "batch-size             4  (flag)\n");
    qn_proc_has_out(&p, "repetition-penalty     1.1  (flag)\n");
    qn_proc_has_out(&p, "top-k                  40  (flag)\n");
    qn_proc_has_out(&p, "temperature            0.7  (flag)\n");
    qn_proc_free(&p);
    quern(&p, NULL, "run", "--check-config", "--model_name_or_path=DIR");
    qn_proc_has_out(&p, "model                  DIR  (flag)\n");
    qn_proc_free(&p);
}

/* ---- what is made from the tables ---------------------------------------- */

static void test_manual(void **state)
{
    qn_proc p;
    char path[4096];
    (void)state;
    snprintf(path, sizeof path, "%s/man", qn_test_tmpdir());
    quern(&p, NULL, "--generate-man", path);
    assert_int_equal(p.status, 0);
    qn_proc_free(&p);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        char page[4200];
        size_t n;
        snprintf(page, sizeof page, "%s/quern-%s.1", path, commands[i]);
        char *text = qn_test_read_file(page, &n);
        assert_non_null(strstr(text, ".TH quern-"));
        assert_non_null(strstr(text, "\\-\\-config"));
        assert_non_null(strstr(text, ".SH EXAMPLES"));
        free(text);
    }
    quern(&p, NULL, "--generate-man");
    assert_int_equal(p.status, 2);
    qn_proc_free(&p);
}

/* What bash would offer for these words (the last one is being typed). */
static char *complete(const char *script, const char *words, int at)
{
    char command[8192];
    static char out[16384];
    snprintf(command, sizeof command,
             "bash -c 'compopt() { :; }; source %s; COMP_WORDS=(%s); "
             "COMP_CWORD=%d; _quern; echo \"${COMPREPLY[@]}\"'",
             script, words, at);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    size_t n = fread(out, 1, sizeof out - 1, f);
    out[n] = 0;
    assert_int_equal(pclose(f), 0);
    return out;
}

static void test_bash(void **state)
{
    qn_proc p;
    char path[4096];
    (void)state;
    if (system("command -v bash >/dev/null") != 0)
        QN_SKIP("no bash");
    snprintf(path, sizeof path, "%s/quern.bash", qn_test_tmpdir());
    quern(&p, NULL, "--generate-completion", "bash");
    assert_int_equal(p.status, 0);
    qn_test_write_file(path, p.out, p.n_out);
    qn_proc_free(&p);
    assert_string_equal(complete(path, "quern tok", 1), "tokenize\n");
    assert_string_equal(complete(path, "quern run --output-f", 2),
                        "--output-format\n");
    assert_string_equal(complete(path, "quern run --output-format \"\"", 3),
                        "text json\n");
    assert_string_equal(complete(path, "quern run --top-", 2),
                        "--top-k --top-p --top-n-sigma\n");
    assert_string_equal(complete(path, "quern run -n \"\"", 3), "\n");
    assert_string_equal(
        complete(path, "quern optimize --quantization-method \"\"", 3),
        "bitsandbytes rtn gptq awq auto fp8 gguf\n");
    assert_string_equal(complete(path, "quern tokenize --no-sp", 2),
                        "--no-special\n");
}

static void test_zsh(void **state)
{
    qn_proc p;
    (void)state;
    quern(&p, NULL, "--generate-completion", "zsh");
    assert_int_equal(p.status, 0);
    qn_proc_has_out(&p, "#compdef quern\n");
    qn_proc_has_out(&p, "'--output-format[");
    qn_proc_has_out(&p, ":value:(text json)'");
    if (system("command -v zsh >/dev/null") == 0) {
        char path[4096], command[8192];
        snprintf(path, sizeof path, "%s/_quern", qn_test_tmpdir());
        qn_test_write_file(path, p.out, p.n_out);
        snprintf(command, sizeof command, "zsh -n %s", path);
        assert_int_equal(system(command), 0);
    }
    qn_proc_free(&p);
    USAGE("bash and zsh", "--generate-completion", "fish");
}

static void test_full_disk(void **state)
{
    (void)state;
    pid_t pid = qn_proc_start("/dev/full",
                              (const char *const[]){"--version", NULL});
    assert_int_equal(qn_proc_wait(pid), 1);
}

/* A daemon's parent closes what it does not want, and numbers 0 to 2 would go
 * to the server's own sockets. */
static void test_closed_streams(void **state)
{
    (void)state;
    int status, err[2];
    char said[200] = "";
    assert_int_equal(pipe(err), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char *argv[] = {"quern", "--version", NULL};
        close(0);
        close(1);
        dup2(err[1], 2);
        int failed = qn_cli_main(2, argv);
        int next = open("/dev/null", O_RDONLY);
        _exit(failed == 1 && next > 2 ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    close(err[1]);
    assert_true(read(err[0], said, sizeof said - 1) > 0);
    close(err[0]);
    assert_non_null(strstr(said, "quern: standard output: "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mistyped),
        cmocka_unit_test(test_foreign),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_contradictions),
        cmocka_unit_test(test_check_config),
        cmocka_unit_test(test_no_arguments),
        cmocka_unit_test(test_help),
        cmocka_unit_test(test_version),
        cmocka_unit_test(test_sources),
        cmocka_unit_test(test_config_errors),
        cmocka_unit_test(test_spellings),
        cmocka_unit_test(test_manual),
        cmocka_unit_test(test_bash),
        cmocka_unit_test(test_zsh),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_closed_streams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
