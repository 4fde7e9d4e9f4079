/* cmd_detokenize.c - quern detokenize: token ids to text. */
#include "cli/commands.h"

#include "cli/terminal.h"
#include "cli/text_lines.h"

#include <stdlib.h>

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

/* An id that stands for nothing would be left out without a word. */
static int decode(const qn_args *a, const qn_model *m, const qn_id_list *ids,
                  char **out, size_t *n, qn_err *err)
{
    size_t len;
    QN_TRY(qn_detokenize(m, ids->v, ids->n, qn_args_flag(a, "skip-special"),
                         out, n, err));
    for (size_t i = 0; i < ids->n; i++)
        if (!qn_token_text(m, ids->v[i], &len))
            return qn_fail(err, QN_EINVAL, "id %d is not in the vocabulary",
                           (int)ids->v[i]);
    return 0;
}

static int one_text(const qn_args *a, const qn_model *m, const char *text,
                    size_t len, qn_err *err)
{
    qn_id_list ids = {0};
    char *out = NULL;
    size_t n = 0;
    (void)len; /* a NUL stands behind it */
    int rc = qn_ids_add(&ids, text, "token ids are numbers", err);
    if (rc == 0)
        rc = decode(a, m, &ids, &out, &n, err);
    if (rc == 0) {
        qn_put_text(stdout, out, n);
        putchar('\n');
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

static int ids_of(const json_t *v, const char *where, qn_id_list *ids,
                  qn_err *err)
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
    qn_id_list ids = {0};
    char *out = NULL;
    size_t n = 0;
    int rc = ids_of(v, where, &ids, err);
    if (rc == 0 && (rc = decode(a, m, &ids, &out, &n, err)) < 0)
        qn_err_prefix(err, rc, "%s", where);
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
