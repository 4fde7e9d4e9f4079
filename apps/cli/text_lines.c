/* text_lines.c - see text_lines.h. */
#include "cli/text_lines.h"

#include "base/str.h"
#include "cli/line_reader.h"
#include "cli/prompts.h"
#include "cli/terminal.h"

#include <stdlib.h>
#include <string.h>

/* By flag or file. The first word is the model even where the environment has
 * one: what a line means does not depend on who types it. */
static bool model_by_option(const qn_args *a)
{
    qn_opt_source from = qn_args_source(a, "model");
    return from == QN_FROM_FLAG || from == QN_FROM_FILE ||
           (from == QN_FROM_ENV && a->operands.n == 0);
}

int qn_text_operands(const qn_args *a, size_t *first, qn_err *err)
{
    *first = model_by_option(a) ? 0 : 1;
    if (a->operands.n < *first)
        return qn_usage(err,
                        "which model? quern %s %s; the built-in one is "
                        "\"builtin\"",
                        a->cmd->name, a->cmd->operands);
    return 0;
}

int qn_open_text_model(qn_model **out, const qn_args *a, qn_err *err)
{
    qn_model_params p = {.text_only = true};
    bool by_option = model_by_option(a);
    const char *path = by_option ? qn_args_text(a, "model")
                                 : qn_args_operand(a, 0);
    int rc = qn_model_open(out, path, &p, err);
    if (rc != QN_ENOENT || by_option)
        return rc;
    return qn_err_prefix(err, rc, "the first word is the model (quern %s %s)",
                         a->cmd->name, a->cmd->operands);
}

/* The operands from `first` on, a blank between them, else the file (NULL or
 * "-": standard input) as it is; qn_free it. */
static int words_or_file(const qn_args *a, size_t first, char **text, size_t *n,
                         qn_err *err)
{
    const char *path = qn_args_text(a, "file");
    if (a->operands.n > first) {
        qn_str s;
        qn_str_init(&s);
        for (size_t i = first; i < a->operands.n; i++) {
            if (i > first)
                qn_str_addc(&s, ' ');
            qn_str_adds(&s, a->operands.v[i]);
        }
        *text = qn_str_take(&s, n);
        return 0;
    }
    if (!path && qn_is_terminal(stdin))
        qn_note("reading from the terminal; end with Ctrl-D");
    return qn_read_input(path ? path : "-", text, n, err);
}

/* A bare string or number is no document for every JSON reader: as the only
 * element of a list it is. */
int qn_json_line(json_t **v, const char *line, size_t n, const char *where,
                 qn_err *err)
{
    qn_str s;
    json_t *list = NULL;
    qn_str_init(&s);
    qn_str_addc(&s, '[');
    qn_str_add(&s, line, n);
    qn_str_addc(&s, ']');
    int rc = qn_json_parse(&list, s.p, s.n, where, err);
    qn_str_deinit(&s);
    if (rc < 0)
        return rc;
    if (json_array_size(list) == 1)
        *v = json_incref(json_array_get(list, 0));
    else
        rc = qn_fail(err, QN_EFORMAT, "%s: expected one JSON value", where);
    json_decref(list);
    return rc;
}

static int each_line(const qn_text_work *work, const qn_args *a,
                     const qn_model *m, qn_err *err)
{
    qn_line_reader r;
    char *line, where[64];
    size_t n;
    QN_TRY(qn_reader_open(&r, qn_args_text(a, "file"), err));
    int rc = 0;
    for (long long k = 1; rc >= 0; k++) {
        json_t *v = NULL;
        rc = qn_reader_next(&r, true, &line, &n, err);
        if (rc != QN_READ_LINE)
            break;
        if (strspn(line, " \t\r") == n)
            continue;
        snprintf(where, sizeof where, "line %lld", k);
        rc = qn_json_line(&v, line, n, where, err);
        if (rc == 0)
            rc = work->line(a, m, v, where, err);
        json_decref(v);
        fflush(stdout);
    }
    qn_reader_close(&r);
    return QN_MIN(rc, 0);
}

int qn_text_work_run(const qn_text_work *work, const qn_args *a, qn_err *err)
{
    qn_model *m = NULL;
    char *text = NULL;
    size_t n = 0, first;
    bool jsonl = qn_args_flag(a, "jsonl");
    QN_TRY(qn_text_operands(a, &first, err));
    if (a->operands.n > first && (jsonl || qn_args_given(a, "file")))
        return qn_usage(err, "%s twice: as words and by --%s", work->is_given,
                        jsonl ? "jsonl" : "file");
    QN_TRY(qn_open_text_model(&m, a, err));
    int rc;
    if (jsonl) {
        rc = each_line(work, a, m, err);
    } else {
        rc = words_or_file(a, first, &text, &n, err);
        if (rc == 0)
            rc = work->whole(a, m, text, n, err);
        qn_free(text);
    }
    qn_model_close(m);
    return rc;
}
