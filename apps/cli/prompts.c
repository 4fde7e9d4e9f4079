/* prompts.c - see prompts.h. */
#include "cli/prompts.h"

#include "base/file.h"
#include "base/utf8.h"
#include "cli/interrupt.h"
#include "cli/line_reader.h"
#include "cli/request_args.h"
#include "cli/terminal.h"
#include "cli/text_lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PROMPT ((size_t)64 << 20)

struct qn_prompts {
    const qn_args *args;
    bool is_batch;
    qn_line_reader lines; /* of the batch */
    int64_t n_line;
    char *text; /* the single prompt, or NULL: --token-ids */
    size_t n_text;
    bool done;
    char *kwargs; /* of the template, or NULL */
};

/* ---- opening ------------------------------------------------------------- */

static int read_stream(FILE *f, const char *name, char **text, size_t *n,
                       qn_err *err)
{
    qn_str s;
    char buf[16384];
    size_t k;
    qn_str_init(&s);
    while ((k = fread(buf, 1, sizeof buf, f)) > 0 && s.n <= MAX_PROMPT)
        qn_str_add(&s, buf, k);
    if (ferror(f) || s.n > MAX_PROMPT) {
        qn_str_deinit(&s);
        if (qn_interrupted())
            return qn_fail(err, QN_ECANCEL, "interrupted");
        return ferror(f) ? qn_fail(err, QN_EIO, "%s: cannot read it: %s", name,
                                   strerror(errno))
                         : qn_fail(err, QN_ELIMIT, "%s: more than %zu MiB",
                                   name, MAX_PROMPT >> 20);
    }
    *text = qn_str_take(&s, n);
    return 0;
}

int qn_read_input(const char *path, char **text, size_t *n, qn_err *err)
{
    if (strcmp(path, "-") == 0)
        return read_stream(stdin, "standard input", text, n, err);
    if (!qn_path_is_stream(path)) /* as a shell puts for a command */
        return qn_file_slurp(text, n, path, MAX_PROMPT, err);
    FILE *f = fopen(path, "re"); /* a pipe waits for its writer */
    if (!f && qn_interrupted())
        return qn_fail(err, QN_ECANCEL, "interrupted");
    if (!f)
        return qn_fail(err, QN_EIO, "%s: cannot open it: %s", path,
                       strerror(errno));
    int rc = read_stream(f, path, text, n, err);
    fclose(f);
    return rc;
}

/* Files end with a newline that is not meant. */
static void drop_newline(qn_prompts *p)
{
    if (p->n_text && p->text[p->n_text - 1] == '\n')
        p->text[--p->n_text] = 0;
}

static int read_file(qn_prompts *p, const char *path, qn_err *err)
{
    QN_TRY(qn_read_input(path, &p->text, &p->n_text, err));
    drop_newline(p);
    return 0;
}

static void take_words(qn_prompts *p)
{
    qn_str s;
    qn_str_init(&s);
    for (size_t i = 0; i < p->args->operands.n; i++) {
        if (i)
            qn_str_addc(&s, ' ');
        qn_str_adds(&s, p->args->operands.v[i]);
    }
    p->text = qn_str_take(&s, &p->n_text);
}

static int open_batch(qn_prompts *p, const char *path, qn_err *err)
{
    p->is_batch = true;
    return qn_reader_open(&p->lines, path, err);
}

static int open_source(qn_prompts *p, qn_err *err)
{
    static const char *const names[] = {"prompt", "prompt-file", "prompts-file",
                                        "token-ids"};
    const qn_args *a = p->args;
    const char *only = a->operands.n ? "words behind the options" : NULL;
    for (size_t i = 0; i < QN_COUNTOF(names); i++) {
        if (!qn_args_given(a, names[i]))
            continue;
        if (only)
            return qn_usage(err, "two prompts: --%s and %s; give one", names[i],
                            only);
        only = names[i];
    }
    if (!only && qn_is_terminal(stdin))
        return qn_usage(err,
                        "nothing to go on from: quern run --prompt \"Once upon "
                        "a time\" (or 'quern chat' for a conversation)");
    if (!only)
        return read_file(p, "-", err);
    if (a->operands.n)
        take_words(p);
    else if (strcmp(only, "prompt") == 0)
        p->text = qn_xstrdup(qn_args_text(a, only)),
        p->n_text = strlen(p->text);
    else if (strcmp(only, "prompt-file") == 0)
        return read_file(p, qn_args_text(a, only), err);
    else if (strcmp(only, "prompts-file") == 0)
        return open_batch(p, qn_args_text(a, only), err);
    return 0;
}

int qn_prompts_open(qn_prompts **out, const qn_args *a, qn_err *err)
{
    qn_prompts *p = qn_xcalloc(1, sizeof *p);
    p->args = a;
    int rc = 0;
    const char *kwargs = qn_args_text(a, "kwargs");
    size_t n;
    if (kwargs)
        rc = qn_read_input(kwargs, &p->kwargs, &n, err);
    if (rc == 0)
        rc = open_source(p, err);
    if (rc < 0) {
        qn_prompts_close(p);
        return rc;
    }
    *out = p;
    return 0;
}

void qn_prompts_close(qn_prompts *p)
{
    if (!p)
        return;
    if (p->is_batch)
        qn_reader_close(&p->lines);
    free(p->text);
    free(p->kwargs);
    free(p);
}

bool qn_prompts_is_batch(const qn_prompts *p)
{
    return p->is_batch;
}

bool qn_prompts_is_question(const qn_prompts *p)
{
    return p->text && p->n_text && p->text[p->n_text - 1] == '?';
}

/* ---- a prompt ------------------------------------------------------------ */

/* What is no UTF-8 becomes U+FFFD, as tokenizers read it. */
static json_t *json_text(const char *text, size_t n)
{
    qn_str s;
    qn_str_init(&s);
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        int len = qn_utf8_decode(text + i, n - i, &cp);
        if (len > 0)
            qn_str_add(&s, text + i, (size_t)len);
        else
            qn_str_adds(&s, "\xef\xbf\xbd");
        i += len > 0 ? (size_t)len : qn_utf8_bad_len(text + i, n - i);
    }
    json_t *v = json_stringn(s.p ? s.p : "", s.n);
    qn_str_deinit(&s);
    return v;
}

void qn_add_message(json_t *messages, const char *role, const char *text,
                    size_t n)
{
    json_t *o = json_object();
    json_object_set_new(o, "role", json_string(role));
    json_object_set_new(o, "content", json_text(text, n));
    json_array_append_new(messages, o);
}

static int add_question(const qn_prompts *p, qn_job *job, const qn_args *a,
                        const qn_model *m, const char *text, size_t n,
                        qn_err *err)
{
    const char *system = qn_args_text(a, "system");
    json_t *list = json_array();
    if (system)
        qn_add_message(list, "system", system, strlen(system));
    qn_add_message(list, "user", text, n);
    int rc = qn_job_add_messages(job, m, list, p->kwargs, err);
    json_decref(list);
    return rc;
}

static int add_prompt(const qn_prompts *p, qn_job *job, const qn_args *a,
                      const qn_model *m, const char *text, size_t n,
                      qn_err *err)
{
    const int32_t *ids;
    if (!text) {
        size_t n_ids = qn_args_ids(a, "token-ids", &ids);
        qn_job_add_ids(job, ids, n_ids);
        return 0;
    }
    if (qn_args_flag(a, "chat"))
        return add_question(p, job, a, m, text, n, err);
    return qn_job_add_text(job, m, text, n, err);
}

/* ---- a line of a batch --------------------------------------------------- */

static bool in_table(const qn_opt *table, const qn_opt *o)
{
    for (; table->name; table++)
        if (table == o)
            return true;
    return false;
}

/* What one prompt may have different from the others. */
static bool may_differ(const qn_opt *o)
{
    static const char *const names[] = {"prompt", "token-ids", "chat",
                                        "system"};
    for (size_t i = 0; i < QN_COUNTOF(names); i++)
        if (strcmp(o->name, names[i]) == 0)
            return true;
    return in_table(qn_length_opts, o) || in_table(qn_sampling_opts, o) ||
           in_table(qn_output_opts, o);
}

static int check_keys(const qn_args *a, json_t *o, const char *where,
                      qn_err *err)
{
    const char *key;
    json_t *v;
    json_object_foreach(o, key, v)
    {
        const qn_opt *opt = qn_args_find(a, key);
        if (opt && strcmp(opt->name, "session") == 0)
            return qn_fail(err, QN_EINVAL,
                           "%s: a session is of one prompt, not of a batch",
                           where);
        if (opt && !may_differ(opt))
            return qn_fail(err, QN_EINVAL,
                           "%s: \"%.60s\" is the same for the whole batch: set "
                           "it on the command line",
                           where, key);
    }
    return 0;
}

static int take_object(const qn_prompts *p, qn_job *job, qn_args *own,
                       json_t *o, const qn_model *m, const char *where,
                       qn_err *err)
{
    json_t *id = json_object_get(o, "id");
    json_t *messages = json_object_get(o, "messages");
    if (id)
        job->label = json_incref(id);
    json_incref(messages);
    json_object_del(o, "id");
    json_object_del(o, "messages");
    int rc = check_keys(own, o, where, err);
    if (rc == 0)
        rc = qn_args_set_json(own, o, where, QN_FROM_FLAG, err);
    int n_sources = !!messages + qn_args_given(own, "prompt") +
                    qn_args_given(own, "token-ids");
    if (rc == 0 && n_sources != 1)
        rc = qn_fail(err, QN_EINVAL,
                     "%s: give one of \"prompt\", \"messages\" and "
                     "\"token_ids\"",
                     where);
    if (rc == 0 && messages && !json_is_array(messages))
        rc = qn_fail(err, QN_EINVAL, "%s: \"messages\" is a list of objects",
                     where);
    if (rc == 0 && messages) {
        rc = qn_job_add_messages(job, m, messages, p->kwargs, err);
    } else if (rc == 0) {
        const char *text = qn_args_text(own, "prompt");
        rc = add_prompt(p, job, own, m, text, text ? strlen(text) : 0, err);
    }
    json_decref(messages);
    return rc;
}

static int take_line(qn_prompts *p, qn_job *job, qn_args *own,
                     const qn_model *m, const char *line, size_t n, qn_err *err)
{
    char where[64];
    json_t *v = NULL;
    int rc;
    snprintf(where, sizeof where, "line %lld", (long long)p->n_line);
    QN_TRY(qn_json_line(&v, line, n, where, err));
    if (json_is_string(v))
        v = json_pack("{s:o}", "prompt", v);
    if (json_is_object(v))
        rc = take_object(p, job, own, v, m, where, err);
    else
        rc = qn_fail(err, QN_EFORMAT,
                     "%s: expected {\"prompt\": \"...\"} or \"...\", not %s",
                     where, qn_json_type_name(v));
    json_decref(v);
    return rc;
}

static int next_line(qn_prompts *p, const qn_model *m, bool wait, qn_job **job,
                     qn_args **own, qn_err *err)
{
    char *line;
    size_t n;
    do {
        int got = qn_reader_next(&p->lines, wait, &line, &n, err);
        if (got != QN_READ_LINE)
            return got;
        p->n_line++;
    } while (strspn(line, " \t\r") == n);
    *job = qn_job_new();
    *own = qn_xcalloc(1, sizeof **own);
    qn_args_copy(*own, p->args);
    qn_err why = {0};
    if (take_line(p, *job, *own, m, line, n, &why) < 0)
        qn_job_fail(*job, &why);
    return QN_READ_LINE;
}

int qn_prompts_next(qn_prompts *p, const qn_model *m, bool wait, qn_job **job,
                    qn_args **own, qn_err *err)
{
    *own = NULL;
    if (p->is_batch)
        return next_line(p, m, wait, job, own, err);
    if (p->done)
        return QN_READ_END;
    p->done = true;
    *job = qn_job_new();
    int rc = add_prompt(p, *job, p->args, m, p->text, p->n_text, err);
    if (rc < 0) {
        qn_job_free(*job);
        return rc;
    }
    return QN_READ_LINE;
}
