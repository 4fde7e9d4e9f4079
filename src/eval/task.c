/* task.c - see task.h: a task's file, line by line. What a line means is in
 * task_lines.c. */
#include "eval/task.h"

#include "base/file.h"
#include "base/mem.h"
#include "eval/task_lines.h"

#include <stdlib.h>
#include <string.h>

enum {
    MAX_ITEMS = 10000000
};

#define FILE_MAX ((size_t)1 << 30)
#define LINE_MAX_BYTES ((size_t)4 << 20)

const qn_task *qn_task_find(const char *name)
{
    for (size_t i = 0; qn_task_rows[i].name; i++)
        if (strcmp(qn_task_rows[i].name, name) == 0)
            return &qn_task_rows[i];
    return NULL;
}

static int parse_line(qn_items *items, const qn_task *task, const char *where,
                      size_t line, qn_view text, qn_err *err)
{
    json_t *o = NULL;
    if (text.n > LINE_MAX_BYTES)
        return qn_fail(err, QN_ELIMIT, "%s: longer than %zu bytes", where,
                       LINE_MAX_BYTES);
    QN_TRY(qn_json_parse(&o, text.p, text.n, where, err));
    qn_item item = {.line = line};
    int rc = json_is_object(o)
                 ? task->read(&item, o, where, err)
                 : qn_fail(err, QN_EFORMAT, "%s: no JSON object", where);
    json_decref(o);
    qn_vec_push(&items->v, item); /* its texts are freed with the others */
    return rc;
}

int qn_items_parse(qn_items *items, const qn_task *task, const char *path,
                   const char *text, size_t n, qn_err *err)
{
    const char *at = text, *end = text + n;
    qn_str where;
    int rc = 0;
    qn_str_init(&where);
    for (size_t line = 1; at < end && rc == 0; line++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        qn_view row = {at, (size_t)((stop ? stop : end) - at)};
        at = stop ? stop + 1 : end;
        row = qn_task_strip(row);
        if (row.n == 0)
            continue;
        qn_str_clear(&where);
        qn_str_addf(&where, "%.300s:%zu", path, line);
        rc = items->v.n < MAX_ITEMS
                 ? parse_line(items, task, where.p, line, row, err)
                 : qn_fail(err, QN_ELIMIT, "%s: more than %d items", where.p,
                           MAX_ITEMS);
    }
    qn_str_deinit(&where);
    return rc;
}

int qn_items_read(qn_items *items, const qn_task *task, const char *path,
                  qn_err *err)
{
    char *text = NULL;
    size_t n;
    QN_TRY(qn_file_slurp(&text, &n, path, FILE_MAX, err));
    int rc = qn_items_parse(items, task, path, text, n, err);
    qn_free(text);
    if (rc == 0 && items->v.n == 0)
        rc = qn_fail(err, QN_EINVAL, "%s has no items", path);
    return rc;
}

void qn_items_deinit(qn_items *items)
{
    for (size_t i = 0; i < items->v.n; i++) {
        qn_item *it = &items->v.v[i];
        for (size_t k = 0; k < it->choices.n; k++) {
            free(it->choices.v[k].context);
            free(it->choices.v[k].text);
        }
        qn_vec_deinit(&it->choices);
        free(it->answer);
        free(it->topic);
    }
    qn_vec_deinit(&items->v);
}

void qn_item_solved(const qn_item *item, qn_str *out)
{
    const qn_choice *c = &item->choices.v[item->gold];
    qn_str_adds(out, c->context);
    qn_str_adds(out, c->text);
}
