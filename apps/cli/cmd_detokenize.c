/* cmd_detokenize.c - quern detokenize: token ids to text. */
#include "cli/commands.h"

#include "cli/terminal.h"
#include "cli/text_lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const qn_opt opts[] = {
    {"model", 'm', QN_OPT_FILE, .arg = "MODEL",
     .help = "The model, instead of the first word; \"builtin\" is the "
             "built-in one. A tokenizer without a network will do.",
     .also = "model-path model-name-or-path", .env = "QUERN_MODEL"},
    {"file", 'f', QN_OPT_FILE,
     .help = "The ids are in this file; - is standard input."},
    {"jsonl", 0, QN_OPT_FLAG,
     .help = "One JSON list of ids per line in, one JSON string per line out."},
    {"skip-special", 0, QN_OPT_FLAG, .help = "Leave special tokens out."},
    {0},
};

static const qn_opt_group groups[] = {{"Ids", opts}, {0}};

static const qn_example examples[] = {
    {"quern detokenize DIR 1 2 3", "or 1,2,3"},
    {"quern tokenize DIR \"some text\" | quern detokenize DIR", "and back"},
    {"quern detokenize DIR --jsonl --skip-special <ids.jsonl", "for scripts"},
    {0},
};

typedef QN_VEC(int32_t) ids_vec;

/* Numbers with blanks, commas or brackets between them. */
static int read_ids(const char *text, ids_vec *ids, qn_err *err)
{
    static const char between[] = ", \t\r\n[]";
    for (const char *p = text + strspn(text, between); *p;) {
        char *end;
        errno = 0;
        long long v = strtoll(p, &end, 10);
        if (end == p || errno || v < 0 || v > INT32_MAX ||
            (*end && !strchr(between, *end)))
            return qn_usage(err, "token ids are whole numbers, not '%.40s'", p);
        qn_vec_push(ids, (int32_t)v);
        p = end + strspn(end, between);
    }
    return 0;
}

/* They have no text, which is seen best where nothing is seen. */
static void tell_unknown(const qn_args *a, const qn_model *m,
                         const ids_vec *ids)
{
    size_t n = 0, len;
    for (size_t i = 0; i < ids->n; i++)
        n += !qn_token_text(m, ids->v[i], &len);
    if (n && !qn_args_flag(a, "quiet"))
        qn_note("%zu of %zu ids are not in the vocabulary", n, ids->n);
}

static int one_text(const qn_args *a, const qn_model *m, const char *text,
                    size_t len, qn_err *err)
{
    ids_vec ids = {0};
    char *out = NULL;
    size_t n = 0;
    (void)len; /* a NUL stands behind it */
    int rc = read_ids(text, &ids, err);
    if (rc == 0)
        rc = qn_detokenize(m, ids.v, ids.n, qn_args_flag(a, "skip-special"),
                           &out, &n, err);
    if (rc == 0) {
        qn_put_text(stdout, out, n);
        putchar('\n');
        tell_unknown(a, m, &ids);
    }
    qn_free(out);
    qn_vec_deinit(&ids);
    return rc;
}

static int print_string(const char *text, size_t n, const char *where,
                        qn_err *err)
{
    json_t *s = json_stringn(text, n);
    char *quoted = s ? json_dumps(s, JSON_ENCODE_ANY) : NULL;
    json_decref(s);
    if (!quoted)
        return qn_fail(err, QN_EINTERNAL, "%s: the text is not UTF-8", where);
    puts(quoted);
    free(quoted);
    return 0;
}

static int ids_of(const json_t *v, const char *where, ids_vec *ids, qn_err *err)
{
    if (!json_is_array(v))
        return qn_fail(err, QN_EFORMAT, "%s: expected a JSON list of ids",
                       where);
    for (size_t i = 0; i < json_array_size(v); i++) {
        const json_t *e = json_array_get(v, i);
        json_int_t id = json_integer_value(e);
        if (!json_is_integer(e) || id < 0 || id > INT32_MAX)
            return qn_fail(err, QN_EFORMAT, "%s: element %zu is no token id",
                           where, i);
        qn_vec_push(ids, (int32_t)id);
    }
    return 0;
}

static int one_line(const qn_args *a, const qn_model *m, const json_t *v,
                    const char *where, qn_err *err)
{
    ids_vec ids = {0};
    char *out = NULL;
    size_t n = 0;
    int rc = ids_of(v, where, &ids, err);
    if (rc == 0)
        rc = qn_detokenize(m, ids.v, ids.n, qn_args_flag(a, "skip-special"),
                           &out, &n, err);
    if (rc == 0)
        rc = print_string(out, n, where, err);
    qn_free(out);
    qn_vec_deinit(&ids);
    return rc;
}

static int detokenize(qn_args *a, qn_err *err)
{
    static const qn_text_work work = {"the ids are given", one_text, one_line};
    return qn_text_work_run(&work, a, err);
}

const qn_command qn_cmd_detokenize = {
    .name = "detokenize",
    .summary = "token ids to text",
    .operands = "MODEL [IDS]",
    .max_operands = -1,
    .about = "Prints the text of token ids. Without IDS they are read from "
             "standard input.",
    .examples = examples,
    .groups = groups,
    .run = detokenize,
};
