/* quern run with the built-in model: streams, JSON, batches. */
#include "proc.h"

#include <jansson.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Line i of the output as JSON; the caller decrefs it. */
static json_t *line_of(const qn_proc *p, int i)
{
    const char *s = p->out;
    for (; i > 0 && s; i--) {
        s = strchr(s, '\n');
        s = s ? s + 1 : NULL;
    }
    const char *e = s ? strchr(s, '\n') : NULL;
    if (!e)
        fail_msg("no such line in:\n%s\n%s", p->out, p->err);
    json_t *v = json_loadb(s, (size_t)(e - s), 0, NULL);
    if (!v)
        fail_msg("not JSON: %.*s", (int)(e - s), s);
    return v;
}

static int count_lines(const char *s)
{
    int n = 0;
    for (; *s; s++)
        n += *s == '\n';
    return n;
}

static const char *str(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    if (!s)
        fail_msg("no text %s", key);
    return s;
}

static size_t len(const json_t *o, const char *key)
{
    return json_array_size(json_object_get(o, key));
}

/* ---- one prompt ---------------------------------------------------------- */

static void test_text_and_json(void **state)
{
    qn_proc p, q;
    (void)state;
    quern(&p, NULL, "run", "--prompt", "Once upon a time", "-n", "12");
    assert_int_equal(p.status, 0);
    qn_proc_has_err(&p, "first token after");
    qn_proc_has_err(&p, "12 new");
    assert_null(strchr(p.err, '\033'));
    assert_null(strchr(p.err, '\r'));
    quern(&q, NULL, "run", "-q", "-n", "12", "-o", "json", "Once", "upon", "a",
          "time");
    assert_int_equal(q.status, 0);
    assert_string_equal(q.err, "");
    json_t *o = line_of(&q, 0);
    assert_int_equal(count_lines(q.out), 1);
    assert_int_equal(len(o, "token_ids"), 12);
    assert_true(len(o, "prompt_token_ids") >= 4);
    assert_string_equal(str(o, "finish_reason"), "length");
    assert_true(json_is_object(json_object_get(o, "timings")));
    /* the text is the same, but for the newline at the end of a screen */
    assert_int_equal(strncmp(p.out, str(o, "text"), strlen(str(o, "text"))), 0);
    assert_string_equal(p.out + strlen(str(o, "text")), "\n");
    json_decref(o);
    qn_proc_free(&p);
    qn_proc_free(&q);
}

/* What was computed is kept in a file: the same text, and the prompt is there
 * already. A file that is none is refused. */
static void test_session(void **state)
{
    qn_proc p;
    char file[4200], ids[1024] = "5";
    (void)state;
    snprintf(file, sizeof file, "%s/kept", qn_test_tmpdir());
    for (int i = 0; i < 150; i++)
        snprintf(ids + strlen(ids), 8, ",%d", 10 + i * 7 % 90);
    quern(&p, NULL, "run", "-q", "-n", "8", "--token-ids", ids);
    assert_int_equal(p.status, 0);
    SAME(NULL, p.out, "run", "-q", "-n", "8", "--session", file, "--token-ids",
         ids);
    SAME(NULL, p.out, "run", "-q", "-n", "8", "--session", file, "--token-ids",
         ids);
    qn_proc_free(&p);
    quern(&p, NULL, "run", "-q", "-n", "1", "--session", file, "-o", "json",
          "--token-ids", ids);
    json_t *o = line_of(&p, 0);
    const json_t *t = json_object_get(o, "timings");
    assert_int_equal(json_integer_value(json_object_get(t, "cached_tokens")),
                     128);
    json_decref(o);
    qn_proc_free(&p);
    qn_test_write_file(file, "nothing", 7);
    quern(&p, NULL, "run", "-q", "-n", "8", "--session", file, "-p", "The");
    assert_int_equal(p.status, 1);
    assert_non_null(strstr(p.err, "no session file"));
    qn_proc_free(&p);
}

/* What cannot be kept is found before anything is computed. */
static void test_session_refused(void **state)
{
    qn_proc p;
    char file[4200], ids[1024] = "5";
    (void)state;
    quern(&p, NULL, "run", "-p", "The", "--session", "/nowhere/kept");
    assert_int_equal(p.status, 1);
    qn_proc_has_err(&p, "/nowhere/kept: cannot create");
    assert_string_equal(p.out, "");
    qn_proc_free(&p);
    quern(&p, NULL, "run", "-p", "The", "--session", qn_test_tmpdir());
    assert_int_equal(p.status, 1);
    assert_string_equal(p.out, "");
    qn_proc_free(&p);
    quern(&p, "\"The\"\n", "run", "--prompts-file", "-", "--session", "x");
    assert_int_equal(p.status, 2);
    qn_proc_has_err(&p, "--session is of one prompt");
    qn_proc_free(&p);
    /* of another cache, and for more than there is room for */
    snprintf(file, sizeof file, "%s/refused", qn_test_tmpdir());
    for (int i = 0; i < 500; i++)
        snprintf(ids + strlen(ids), 3, ",%d", i % 8);
    quern(&p, NULL, "run", "-q", "-n", "1", "--session", file, "--token-ids",
          ids);
    assert_int_equal(p.status, 0);
    qn_proc_free(&p);
    quern(&p, NULL, "run", "-n", "1", "--session", file, "--token-ids", "5",
          "--kv-type", "f32");
    assert_int_equal(p.status, 1);
    qn_proc_has_err(&p, "was saved with another model or --kv-type");
    qn_proc_free(&p);
    quern(&p, NULL, "run", "-n", "1", "--session", file, "--token-ids", "5");
    assert_int_equal(p.status, 1);
    qn_proc_has_err(&p, "raise --context");
    qn_proc_free(&p);
}

/* Wherever the prompt comes from it is the same prompt. */
static void test_prompt_sources(void **state)
{
    qn_proc p;
    char file[4300], ids[4200];
    (void)state;
    quern(&p, NULL, "run", "-q", "-n", "8", "-p", "The mill");
    assert_int_equal(p.status, 0);
    SAME("The mill\n", p.out, "run", "-q", "-n", "8");
    SAME("The mill", p.out, "run", "-q", "-n", "8", "--prompt-file", "-");
    snprintf(file, sizeof file, "%s/prompt.txt", qn_test_tmpdir());
    qn_test_write_file(file, "The mill\n", 9);
    SAME(NULL, p.out, "run", "-q", "-n", "8", "--prompt_file", file);
    /* what a shell makes of <(...) */
    snprintf(file, sizeof file, "%s/pipe", qn_test_tmpdir());
    assert_int_equal(mkfifo(file, 0600), 0);
    pid_t writer = fork();
    if (writer == 0) {
        int fd = open(file, O_WRONLY);
        _exit(write(fd, "The mill\n", 9) != 9);
    }
    SAME(NULL, p.out, "run", "-q", "-n", "8", "-f", file);
    assert_int_equal(qn_proc_wait(writer), 0);
    qn_proc t;
    quern(&t, NULL, "tokenize", "-m", "builtin", "The mill");
    SAME(NULL, p.out, "run", "-q", "-n", "8", "--token-ids", t.out);
    snprintf(ids, sizeof ids, "%s/ids", qn_test_tmpdir());
    qn_test_write_file(ids, t.out, t.n_out);
    snprintf(file, sizeof file, "@%s", ids);
    SAME(NULL, p.out, "run", "-q", "-n", "8", "--token-ids", file);
    qn_proc_free(&t);
    qn_proc_free(&p);
    quern(&p, NULL, "run", "-q", "-n", "8", "--echo", "The mill");
    assert_int_equal(strncmp(p.out, "The mill", 8), 0);
    qn_proc_free(&p);
}

/* Before the first line of a batch a file may have a byte order mark. */
static void test_byte_order_mark(void **state)
{
    qn_proc p;
    (void)state;
    quern(&p, "\xef\xbb\xbf{\"token_ids\":[5,6]}\n\xef\xbb\xbf\"a\"\n", "run",
          "-q", "-n", "1", "--prompts-file", "-");
    assert_int_equal(p.status, 1);
    qn_proc_has_err(&p, "1 of 2 prompts failed");
    qn_proc_has_out(&p, "\"prompt_token_ids\":[5,6]");
    qn_proc_has_out(&p, "line 2");
    qn_proc_free(&p);
}

/* When no prompt was valid nothing ran, and took no time. */
static void test_no_valid_prompt(void **state)
{
    qn_proc p;
    (void)state;
    quern(&p, "{\"promt\":\"a\"}\n", "run", "--prompts-file", "-");
    assert_int_equal(p.status, 1);
    qn_proc_has_err(&p, "1 prompts (some failed), 0 + 0 tokens in 0.00 s");
    qn_proc_free(&p);
}

/* A schema, a list and a grammar may lie in a file. */
static void test_format_files(void **state)
{
    static const struct {
        const char *option, *text;
    } cases[] = {{"--json-schema", "{\"enum\": [\"abc\"]}\n"},
                 {"--choice", "[\"abc\"]"},
                 {"--grammar", "# of one word\nroot ::= \"abc\"\n"}};
    qn_proc p;
    char file[4200];
    (void)state;
    snprintf(file, sizeof file, "@%s/format", qn_test_tmpdir());
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        qn_test_write_file(file + 1, cases[i].text, strlen(cases[i].text));
        quern(&p, NULL, "run", "-q", "-p", "x", cases[i].option, cases[i].text);
        qn_proc_has_out(&p, "abc");
        SAME(NULL, p.out, "run", "-q", "-p", "x", cases[i].option, file);
        qn_proc_free(&p);
    }
    qn_test_write_file(file + 1, "a\0b", 3);
    quern(&p, NULL, "run", "-q", "-p", "x", "--grammar", file);
    assert_int_equal(p.status, 2);
    qn_proc_has_err(&p, "a NUL");
    qn_proc_free(&p);
    quern(&p, NULL, "run", "-q", "-p", "x", "--grammar", "@/nowhere/g");
    qn_proc_has_err(&p, "/nowhere/g");
    assert_int_equal(p.status, 1);
    qn_proc_free(&p);
}

static void test_lengths(void **state)
{
    qn_proc p;
    (void)state;
    quern(&p, NULL, "run", "-o", "json", "--token-ids", "40,41,42",
          "--max_length", "10", "--ignore-eos");
    json_t *o = line_of(&p, 0);
    assert_int_equal(len(o, "token_ids"), 7);
    assert_int_equal(len(o, "prompt_token_ids"), 3);
    json_decref(o);
    qn_proc_free(&p);
    quern(&p, NULL, "run", "--token-ids", "40,41,42", "--max-length", "3");
    assert_int_equal(p.status, 1);
    qn_proc_has_err(&p, "the prompt has 3 tokens and --max-length is 3");
    qn_proc_free(&p);
    quern(&p, NULL, "run", "-o", "json", "--token-ids", "40", "-n", "0");
    assert_int_equal(p.status, 0);
    o = line_of(&p, 0);
    assert_int_equal(len(o, "token_ids"), 0);
    json_decref(o);
    qn_proc_free(&p);
    quern(&p, NULL, "run", "--token-ids", "4096");
    assert_int_equal(p.status, 1);
    qn_proc_has_err(&p, "prompt token 0 is 4096");
    qn_proc_free(&p);
}

/* The usual length is no demand: it gives way to the context, which is told. */
static void test_fits(void **state)
{
    qn_proc p;
    (void)state;
    const char *const cases[][6] = {{"-c", "100"},
                                    {"-c", "400", "--n", "3"},
                                    {"-c", "400", "--num-beams", "3"}};
    for (int i = 0; i < 3; i++) {
        const char *args[16] = {"run",  "--ignore-eos", "-o",
                                "json", "-p",           "Once upon a time"};
        for (int k = 0; k < 4; k++)
            args[6 + k] = cases[i][k];
        qn_proc_run(&p, NULL, args);
        assert_int_equal(p.status, 0);
        qn_proc_has_err(&p,
                        "of at most 256 new tokens: the context (--context)");
        json_t *o = line_of(&p, 0);
        if (i == 0)
            assert_int_equal(len(o, "token_ids") + len(o, "prompt_token_ids"),
                             100);
        json_decref(o);
        qn_proc_free(&p);
    }
    quern(&p, "\"The mill\"\n", "run", "--ignore-eos", "-c", "100",
          "--prompts-file", "-");
    assert_int_equal(p.status, 0);
    qn_proc_has_err(&p, "prompt 0: ended after");
    qn_proc_free(&p);
    quern(&p, NULL, "run", "--ignore-eos", "-n", "2000", "-o", "json", "-p",
          "Once upon a time");
    assert_int_equal(p.status, 0);
    qn_proc_has_err(&p, "of at most 2000 new tokens: the model's context");
    qn_proc_free(&p);
    /* what was asked for is refused, in words of the command line */
    quern(&p, NULL, "run", "-c", "100", "-n", "300", "-p", "Once upon a time");
    assert_int_equal(p.status, 1);
    qn_proc_has_err(&p, "lower --max-new-tokens or raise --context");
    qn_proc_free(&p);
    quern(&p, NULL, "run", "--n", "40", "-b", "2", "-n", "1", "-p", "The");
    assert_int_equal(p.status, 1);
    qn_proc_has_err(&p, "lower --n or --num-beams, or raise --batch-size");
    qn_proc_free(&p);
}

static void test_stop(void **state)
{
    qn_proc p, q;
    (void)state;
    quern(&p, NULL, "run", "-q", "-o", "json", "-n", "40", "Once upon a time");
    json_t *o = line_of(&p, 0);
    const char *all = str(o, "text"), *dot = strchr(all, '.');
    assert_non_null(dot);
    quern(&q, NULL, "run", "-q", "-o", "json", "-n", "40", "--stop", "zzz",
          "-s", ".", "Once upon a time");
    json_t *s = line_of(&q, 0);
    assert_int_equal(strlen(str(s, "text")), dot - all);
    assert_int_equal(strncmp(str(s, "text"), all, (size_t)(dot - all)), 0);
    assert_string_equal(str(s, "finish_reason"), "stop");
    json_decref(s);
    json_decref(o);
    qn_proc_free(&q);
    qn_proc_free(&p);
}

/* ---- chance -------------------------------------------------------------- */

static void test_seed(void **state)
{
    qn_proc p, q;
    (void)state;
    quern(&p, NULL, "run", "-q", "-n", "24", "-T", "1.5", "--seed", "7", "The");
    SAME(NULL, p.out, "run", "-q", "-n", "24", "--temperature", "1.5", "--seed",
         "7", "The");
    /* a truncation asks for chance; two draws of 24 tokens hardly agree */
    quern(&q, NULL, "run", "-n", "24", "--top-p", "0.99", "The");
    qn_proc_has_err(&q, "seed ");
    assert_string_not_equal(p.out, q.out);
    qn_proc_free(&p);
    quern(&p, NULL, "run", "-n", "24", "--top-p", "0.99", "The");
    assert_string_not_equal(p.out, q.out);
    qn_proc_free(&q);
    qn_proc_free(&p);
    quern(&p, NULL, "run", "-n", "8", "The");
    assert_null(strstr(p.err, "seed "));
    qn_proc_free(&p);
}

static void test_several(void **state)
{
    qn_proc p;
    (void)state;
    quern(&p, NULL, "run", "-q", "-o", "json", "-n", "12", "--n", "3", "--seed",
          "1", "--logprobs", "2", "The");
    assert_int_equal(p.status, 0);
    assert_int_equal(count_lines(p.out), 3);
    json_t *first = line_of(&p, 0);
    bool differ = false;
    for (int i = 0; i < 3; i++) {
        json_t *o = line_of(&p, i);
        assert_int_equal(json_integer_value(json_object_get(o, "completion")),
                         i);
        const json_t *lp = json_object_get(o, "logprobs");
        assert_int_equal(json_array_size(lp), len(o, "token_ids"));
        for (size_t k = 0; k < json_array_size(lp); k++) {
            const json_t *e = json_array_get(lp, k);
            assert_true(
                json_equal(json_object_get(e, "id"),
                           json_array_get(json_object_get(o, "token_ids"), k)));
            assert_true(json_real_value(json_object_get(e, "logprob")) <= 0);
            assert_int_equal(len(e, "top"), 2);
        }
        differ = differ || strcmp(str(o, "text"), str(first, "text")) != 0;
        json_decref(o);
    }
    assert_true(differ);
    json_decref(first);
    qn_proc_free(&p);
    quern(&p, NULL, "run", "-q", "-n", "8", "--n", "2", "--seed", "1", "The");
    qn_proc_has_out(&p, "\n---\n");
    qn_proc_free(&p);
}

static void test_beams(void **state)
{
    qn_proc p;
    (void)state;
    quern(&p, NULL, "run", "-q", "-o", "json", "-n", "8", "--num_beams", "3",
          "--n", "2", "The mill");
    assert_int_equal(p.status, 0);
    assert_int_equal(count_lines(p.out), 2);
    json_t *a = line_of(&p, 0), *b = line_of(&p, 1);
    assert_string_not_equal(str(a, "text"), str(b, "text"));
    json_decref(a);
    json_decref(b);
    qn_proc_free(&p);
}

static void test_bias(void **state)
{
    qn_proc p, q;
    (void)state;
    quern(&p, NULL, "run", "-q", "-o", "json", "-n", "1", "The mill");
    json_t *o = line_of(&p, 0);
    int id = (int)json_integer_value(
        json_array_get(json_object_get(o, "token_ids"), 0));
    char ban[32], only[16];
    snprintf(ban, sizeof ban, "%d=-inf", id);
    quern(&q, NULL, "run", "-q", "-o", "json", "-n", "1", "--logit_bias", ban,
          "The mill");
    json_t *n = line_of(&q, 0);
    assert_false(json_equal(json_object_get(n, "token_ids"),
                            json_object_get(o, "token_ids")));
    json_decref(n);
    qn_proc_free(&q);
    snprintf(only, sizeof only, "%d", id);
    quern(&q, NULL, "run", "-q", "-o", "json", "-n", "1", "--banned-ids", only,
          "--allowed-ids", only, "The mill");
    assert_int_equal(q.status, 1);
    qn_proc_has_err(&q, "no token is allowed");
    qn_proc_free(&q);
    json_decref(o);
    qn_proc_free(&p);
}

/* ---- questions ----------------------------------------------------------- */

static void test_question(void **state)
{
    qn_proc p, t;
    (void)state;
    quern(&p, NULL, "run", "-q", "-o", "json", "-n", "4", "--chat", "--system",
          "Be kind.", "Hello!");
    assert_int_equal(p.status, 0);
    json_t *o = line_of(&p, 0);
    quern(&t,
          "[{\"role\":\"system\",\"content\":\"Be kind.\"},"
          "{\"role\":\"user\",\"content\":\"Hello!\"}]",
          "template", "builtin", "--messages", "-", "--token-ids");
    char *ids = json_dumps(json_object_get(o, "prompt_token_ids"),
                           JSON_COMPACT);
    for (char *s = ids; *s; s++)
        if (*s == ',')
            *s = ' ';
    ids[strlen(ids) - 1] = '\n';
    assert_string_equal(ids + 1, t.out);
    free(ids);
    json_decref(o);
    qn_proc_free(&t);
    qn_proc_free(&p);
}

/* ---- batches ------------------------------------------------------------- */

static void test_batch(void **state)
{
    qn_proc p, q;
    (void)state;
    const char *input =
        "{\"prompt\": \"The mill\", \"id\": \"a\"}\n"
        "\n"
        "\"The river\"\n"
        "{\"prompt\": \"The mill\", \"max_new_tokens\": 2, \"id\": 5}\n"
        "{\"messages\": [{\"role\": \"user\", \"content\": \"Hello!\"}]}\n"
        "{\"token_ids\": [40, 41]}\n";
    quern(&p, input, "run", "--prompts-file", "-", "-n", "6", "--batch_size",
          "2");
    assert_int_equal(p.status, 0);
    assert_int_equal(count_lines(p.out), 5);
    qn_proc_has_err(&p, "5 prompts");
    json_t *o[5];
    for (int i = 0; i < 5; i++) {
        o[i] = line_of(&p, i);
        assert_int_equal(json_integer_value(json_object_get(o[i], "index")), i);
    }
    assert_string_equal(str(o[0], "id"), "a");
    assert_int_equal(json_integer_value(json_object_get(o[2], "id")), 5);
    assert_null(json_object_get(o[1], "id"));
    assert_int_equal(len(o[2], "token_ids"), 2);
    assert_int_equal(len(o[4], "prompt_token_ids"), 2);
    /* what is alone in its batch, and in another one, is the same */
    quern(&q, NULL, "run", "-q", "-o", "json", "-n", "6", "The river");
    json_t *alone = line_of(&q, 0);
    assert_true(json_equal(json_object_get(alone, "token_ids"),
                           json_object_get(o[1], "token_ids")));
    json_decref(alone);
    qn_proc_free(&q);
    for (int i = 0; i < 5; i++)
        json_decref(o[i]);
    qn_proc_free(&p);
}

/* A wrong line is told in its place; the others go on. */
static void test_batch_errors(void **state)
{
    qn_proc p;
    (void)state;
    static const char *const lines[][2] = {
        {"{\"promt\": \"x\"}", "did you mean \"prompt\"?"},
        {"{\"prompt\": \"x\", \"messages\": []}", "give one of"},
        {"{}", "give one of"},
        {"{\"prompt\": \"x\", \"model\": \"y\"}", "same for the whole batch"},
        {"{\"prompt\": \"x\", \"top_p\": 3}", "must lie between 0 and 1"},
        {"{\"prompt\": 5", "not valid JSON"},
        {"[1]", "expected {"},
        {"{\"token_ids\": [99999]}", "the vocabulary has"},
        {"{\"prompt\": \"\\ud800\"}", "line 9"},
        {"{\"messages\": 3}", "is a list of objects"},
        {"{\"prompt\": true}", "\"prompt\": expected text, not"},
        {"{\"prompt\": 5}", "\"prompt\": expected text, not"},
        {"hello", "line 13:1:"},
        {"hello", "not valid JSON"},
        {"{\"prompt\": \"x\", \"session\": \"y\"}", "of one prompt"},
        {"{\"prompt\": \"x\", \"choice\": [1]}", "choice"},
    };
    char input[4096] = "";
    int n = (int)(sizeof lines / sizeof *lines);
    for (int i = 0; i < n; i++) {
        strcat(input, lines[i][0]);
        strcat(input, "\n");
    }
    strcat(input, "{\"prompt\": \"The mill\"}\n");
    quern(&p, input, "run", "--prompts-file", "-", "-n", "3");
    assert_int_equal(p.status, 1);
    qn_proc_has_err(&p, "16 of 17 prompts failed");
    assert_int_equal(count_lines(p.out), n + 1);
    for (int i = 0; i < n; i++) {
        json_t *o = line_of(&p, i);
        if (!strstr(str(o, "error"), lines[i][1]))
            fail_msg("line %d: \"%s\" is not in: %s", i + 1, lines[i][1],
                     str(o, "error"));
        json_decref(o);
    }
    json_t *good = line_of(&p, n);
    assert_int_equal(len(good, "token_ids"), 3);
    json_decref(good);
    qn_proc_free(&p);
    quern(&p, NULL, "run", "--prompts-file", "/nowhere/p.jsonl");
    assert_int_equal(p.status, 1);
    qn_proc_has_err(&p, "/nowhere/p.jsonl");
    qn_proc_free(&p);
    quern(&p, "", "run", "--prompts-file", "-");
    assert_int_equal(p.status, 0);
    assert_string_equal(p.out, "");
    qn_proc_free(&p);
}

/* A line has a schema or a choice as JSON or as its text. */
static void test_batch_formats(void **state)
{
    qn_proc p;
    (void)state;
    quern(&p,
          "{\"prompt\":\"x\",\"json_schema\":{\"type\":\"integer\"}}\n"
          "{\"prompt\":\"x\",\"json_schema\":\"{\\\"type\\\":"
          "\\\"integer\\\"}\"}\n"
          "{\"prompt\":\"x\",\"choice\":[\"a\",\"b\"]}\n",
          "run", "--prompts-file", "-", "-n", "3");
    assert_int_equal(p.status, 0);
    json_t *a = line_of(&p, 0), *b = line_of(&p, 1), *c = line_of(&p, 2);
    assert_string_equal(str(a, "text"), str(b, "text"));
    assert_int_equal(strspn(str(a, "text"), "-0123456789"),
                     strlen(str(a, "text")));
    assert_true(strcmp(str(c, "text"), "a") == 0 ||
                strcmp(str(c, "text"), "b") == 0);
    json_decref(a);
    json_decref(b);
    json_decref(c);
    qn_proc_free(&p);
}

/* More prompts than are ever in flight, all in order. */
static void test_long_batch(void **state)
{
    qn_proc p;
    (void)state;
    char *input = calloc(1, 100 * 64);
    assert_non_null(input);
    for (int i = 0; i < 100; i++)
        sprintf(input + strlen(input), "{\"token_ids\":[%d],\"id\":%d}\n",
                40 + i, i);
    quern(&p, input, "run", "--prompts-file", "-", "-n", "2", "-b", "4", "-q");
    assert_int_equal(p.status, 0);
    assert_int_equal(count_lines(p.out), 100);
    for (int i = 0; i < 100; i++) {
        json_t *o = line_of(&p, i);
        assert_int_equal(json_integer_value(json_object_get(o, "id")), i);
        json_decref(o);
    }
    free(input);
    qn_proc_free(&p);
}

/* Whoever writes a line and waits for its answer gets it. */
static void test_batch_dialogue(void **state)
{
    qn_pty t;
    (void)state;
    qn_pty_open(&t, (const char *const[]){"run", "-q", "-n", "3",
                                          "--prompts-file", "-", NULL});
    qn_pty_send(&t, "{\"prompt\": \"The mill\"}\n");
    qn_pty_expect(&t, "{\"index\":0,");
    qn_pty_send(&t, "\"The river\"\n");
    qn_pty_expect(&t, "{\"index\":1,");
    qn_pty_send(&t, "\004");
    assert_int_equal(qn_pty_close(&t), 0);
}

static void test_bad_utf8(void **state)
{
    qn_proc p, q;
    (void)state;
    quern(&p, NULL, "run", "-q", "-n", "4", "--chat", "a\xff\xc3(");
    assert_int_equal(p.status, 0);
    quern(&q, NULL, "run", "-q", "-n", "4", "--chat",
          "a\xef\xbf\xbd\xef\xbf\xbd(");
    assert_string_equal(p.out, q.out);
    qn_proc_free(&p);
    qn_proc_free(&q);
    quern(&p, NULL, "run", "-q", "-o", "json", "-n", "4", "a\xff\xc3(");
    assert_int_equal(p.status, 0);
    json_decref(line_of(&p, 0));
    qn_proc_free(&p);
}

/* A text that goes on is written with the blank that belongs between. */
static void test_blank_between(void **state)
{
    qn_proc p;
    (void)state;
    const char *dir = qn_test_shared("data/models/hf/stories260K");
    if (!dir)
        QN_SKIP("no shared data");
    quern(&p, NULL, "run", "-q", "-n", "8", "-m", dir, "--echo",
          "Once upon a time, there");
    assert_string_equal(
        p.out, "Once upon a time, there was a little girl named Lily\n");
    qn_proc_free(&p);
    quern(&p, NULL, "run", "-q", "-n", "4", "-m", dir, "-p", "Once",
          "--temperature", "0", "--n", "2");
    assert_string_equal(p.out, " upon a time,\n---\n upon a time,\n");
    qn_proc_free(&p);
    quern(&p, NULL, "run", "-q", "-n", "4", "-m", dir, "-p", "Once", "-o",
          "json");
    json_t *o = line_of(&p, 0);
    assert_string_equal(json_string_value(json_object_get(o, "text")),
                        " upon a time,");
    json_decref(o);
    qn_proc_free(&p);
}

/* Without a tokenizer there is no text, which would be an empty line. */
static void test_no_tokenizer(void **state)
{
    qn_proc p;
    const char *dir = qn_test_data("models/llama");
    (void)state;
    quern(&p, NULL, "run", "-m", dir, "--token-ids", "1,2", "-n", "3");
    assert_int_equal(p.status, 1);
    assert_string_equal(p.out, "");
    qn_proc_has_err(&p, "ids with --output-format json");
    qn_proc_free(&p);
    quern(&p, NULL, "run", "-m", dir, "--token-ids", "1,2", "-n", "3", "-o",
          "json");
    assert_int_equal(p.status, 0);
    qn_proc_free(&p);
}

/* ---- what goes wrong ------------------------------------------------------ */

static void test_no_model(void **state)
{
    qn_proc p;
    (void)state;
    quern(&p, NULL, "run", "--model", "/nowhere/model", "hi");
    assert_int_equal(p.status, 1);
    qn_proc_has_err(&p, "/nowhere/model");
    assert_string_equal(p.out, "");
    qn_proc_free(&p);
    quern(&p, NULL, "run", qn_test_tmpdir());
    assert_int_equal(p.status, 2);
    qn_proc_has_err(&p, "is a model, not a prompt");
    qn_proc_free(&p);
    quern(&p, NULL, "run", qn_test_tmpdir(), "hi");
    assert_int_equal(p.status, 2);
    qn_proc_free(&p);
    quern(&p, NULL, "run", "facebook/opt-350m", "hi");
    assert_int_equal(p.status, 2);
    qn_proc_has_err(&p, "quern run --model facebook/opt-350m");
    qn_proc_free(&p);
    quern(&p, NULL, "run", "and/or", "-n", "3");
    assert_int_equal(p.status, 2);
    qn_proc_free(&p);
    quern(&p, NULL, "run", "some/model", "Once upon a time");
    assert_int_equal(p.status, 2);
    qn_proc_free(&p);
    SAME(NULL, "", "run", "-q", "-n", "0", "and/or", "what?");
    SAME(NULL, "", "run", "-q", "-n", "0", "1/2", "plus", "1/3-rd");
    SAME(NULL, "", "run", "-q", "-n", "0", "HTTP/1.1", "is");
    SAME(NULL, "", "run", "-q", "-n", "0", "TCP/IP-based", "networks");
    SAME(NULL, "", "run", "-q", "-n", "0", "IPv4/IPv6", "hosts");
    /* a file that is not there is no name on the hub */
    quern(&p, NULL, "run", "-m", "models/none.gguf", "-p", "hi");
    qn_proc_has_err(&p, "no such file or directory; a model is");
    qn_proc_free(&p);
    quern(&p, NULL, "run", "--memory-limit", "1M", "hi");
    assert_int_equal(p.status, 1);
    qn_proc_has_err(&p, "MiB");
    qn_proc_free(&p);
    quern(&p, NULL, "run", "-p", "");
    assert_true(p.status == 0 || p.status == 1);
    qn_proc_free(&p);
}

/* A program that lies alone says where it looked for the built-in model. */
static void test_no_builtin(void **state)
{
    char line[9000], out[2048], *dir = realpath(qn_test_tmpdir(), NULL);
    (void)state;
    snprintf(line, sizeof line,
             "unset QUERN_MODEL QUERN_DEFAULT_MODEL; mkdir -p %s/a/bin && cp "
             "%s/bin/quern %s/a/bin && %s/a/bin/quern info 2>&1",
             dir, qn_test_build_dir(), dir, dir);
    FILE *p = popen(line, "r");
    assert_non_null(p);
    out[fread(out, 1, sizeof out - 1, p)] = 0;
    assert_int_equal(WEXITSTATUS(pclose(p)), 1);
    snprintf(line, sizeof line,
             "nor models/quern-14m.gguf is in %s/a/bin, %s/a, %s", dir, dir,
             dir);
    if (!strstr(out, line))
        fail_msg("no \"%s\" in: %s", line, out);
    free(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_and_json),
        cmocka_unit_test(test_session),
        cmocka_unit_test(test_session_refused),
        cmocka_unit_test(test_prompt_sources),
        cmocka_unit_test(test_byte_order_mark),
        cmocka_unit_test(test_no_valid_prompt),
        cmocka_unit_test(test_format_files),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_fits),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_seed),
        cmocka_unit_test(test_several),
        cmocka_unit_test(test_beams),
        cmocka_unit_test(test_bias),
        cmocka_unit_test(test_question),
        cmocka_unit_test(test_batch),
        cmocka_unit_test(test_batch_errors),
        cmocka_unit_test(test_batch_formats),
        cmocka_unit_test(test_long_batch),
        cmocka_unit_test(test_batch_dialogue),
        cmocka_unit_test(test_bad_utf8),
        cmocka_unit_test(test_blank_between),
        cmocka_unit_test(test_no_tokenizer),
        cmocka_unit_test(test_no_model),
        cmocka_unit_test(test_no_builtin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
