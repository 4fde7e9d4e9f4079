/* eval_task.c - a task from its file to its report. */
#include "eval/eval_task_int.h"

#include "base/clock.h"
#include "base/mem.h"
#include "engine/parts.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

bool qn_task_progress(qn_task_run *t, int64_t done)
{
    if (done >= 0)
        t->done = (size_t)done;
    return !t->p->progress ||
           t->p->progress(t->p->progress_user, t->done, t->items.v.n);
}

/* The standard error is that of a mean, as lm-evaluation-harness gives it. */
json_t *qn_task_rate(double right, double n)
{
    qn_estimate e = qn_wilson(right, n);
    double se = n > 1 ? sqrt(e.value * (1 - e.value) / (n - 1)) : 0;
    return json_pack("{s:f, s:f, s:[f, f], s:I}", "value", e.value, "stderr",
                     se, "ci95", e.lo, e.hi, "right", (json_int_t)right);
}

int qn_task_open_samples(const qn_task_run *t, FILE **f, qn_err *err)
{
    *f = NULL;
    if (!t->p->samples)
        return 0;
    *f = fopen(t->p->samples, "w");
    return *f ? 0
              : qn_fail(err, QN_EIO, "%s: %s", t->p->samples, strerror(errno));
}

int qn_task_sample(const qn_task_run *t, FILE *f, json_t *o, qn_err *err)
{
    int bad = json_dumpf(o, f, JSON_COMPACT) < 0 || fputc('\n', f) == EOF;
    json_decref(o);
    return bad ? qn_fail(err, QN_EIO, "%s: %s", t->p->samples, strerror(errno))
               : 0;
}

/* ---- items ------------------------------------------------------------------- */

/* Takes items [first, end) out of the list. */
static void drop_items(qn_items *items, size_t first, size_t end)
{
    qn_items gone = {0};
    end = QN_MIN(end, items->v.n);
    if (first >= end)
        return;
    for (size_t i = first; i < end; i++)
        qn_vec_push(&gone.v, items->v.v[i]);
    memmove(items->v.v + first, items->v.v + end,
            (items->v.n - end) * sizeof *items->v.v);
    items->v.n -= end - first;
    qn_items_deinit(&gone);
}

/* The solved items of a topic (NULL: of a task without topics). */
static qn_shots *shots_of(const qn_task_run *t, const char *topic)
{
    for (size_t i = 0; i < t->shots.n; i++) {
        const char *its = t->shots.v[i].topic;
        if (its == topic || (its && topic && strcmp(its, topic) == 0))
            return &t->shots.v[i];
    }
    return NULL;
}

/* Takes the first items of each topic; `used` (or NULL): which. */
static void take_shots(qn_task_run *t, const qn_items *from, bool *used)
{
    for (size_t i = 0; i < from->v.n; i++) {
        const qn_item *item = &from->v.v[i];
        qn_shots *s = shots_of(t, item->topic);
        if (!s) {
            qn_shots fresh = {0};
            fresh.topic = item->topic ? qn_xstrdup(item->topic) : NULL;
            qn_vec_push(&t->shots, fresh);
            s = &t->shots.v[t->shots.n - 1];
        }
        if (s->n == t->p->fewshot)
            continue;
        qn_item_solved(item, &s->text);
        qn_str_adds(&s->text, "\n\n");
        s->n++;
        if (used)
            used[i] = true;
    }
}

static int check_shots(const qn_task_run *t, const char *path, qn_err *err)
{
    for (size_t i = 0; i < t->items.v.n; i++) {
        const qn_item *item = &t->items.v.v[i];
        const qn_shots *s = shots_of(t, item->topic);
        size_t n = s ? s->n : 0;
        if (n < t->p->fewshot)
            return qn_fail(err, QN_EINVAL,
                           "%s has %zu items%s, %zu solved ones are asked for",
                           path, n, item->topic ? " of one subject" : "",
                           t->p->fewshot);
    }
    return 0;
}

static void drop_used(qn_items *items, const bool *used)
{
    size_t n = items->v.n;
    for (size_t i = n; i-- > 0;)
        if (used[i])
            drop_items(items, i, i + 1);
}

static int read_shots(qn_task_run *t, qn_err *err)
{
    qn_items own = {0};
    if (t->p->fewshot == 0)
        return 0;
    if (!t->p->fewshot_data) {
        bool *used = qn_xcalloc(t->items.v.n, sizeof *used);
        take_shots(t, &t->items, used);
        int rc = check_shots(t, t->p->data, err);
        drop_used(&t->items, used);
        free(used);
        return rc;
    }
    int rc = qn_items_read(&own, t->task, t->p->fewshot_data, err);
    if (rc == 0) {
        take_shots(t, &own, NULL);
        rc = check_shots(t, t->p->fewshot_data, err);
    }
    qn_items_deinit(&own);
    return rc;
}

void qn_task_prompt(const qn_task_run *t, const qn_item *item, qn_str *out)
{
    const qn_shots *s = shots_of(t, item->topic);
    if (item->topic)
        qn_str_adds(out, item->topic);
    if (s)
        qn_str_add(out, s->text.p, s->text.n);
}

static int read_items(qn_task_run *t, qn_err *err)
{
    QN_TRY(qn_items_read(&t->items, t->task, t->p->data, err));
    QN_TRY(read_shots(t, err));
    drop_items(&t->items, 0, t->p->skip);
    if (t->p->limit)
        drop_items(&t->items, t->p->limit, t->items.v.n);
    if (t->items.v.n == 0)
        return qn_fail(err, QN_EINVAL, "%s: no item is left to ask",
                       t->p->data);
    return 0;
}

/* ---- all of it --------------------------------------------------------------- */

static int run(qn_task_run *t, json_t **report, qn_err *err)
{
    json_t *model = NULL;
    QN_TRY(read_items(t, err));
    QN_TRY(qn_eval_model(&model, t->p->model, err));
    json_t *o = json_pack("{s:s, s:s, s:s, s:I, s:I, s:o}", "kind", "task",
                          "task", t->task->name, "data", t->p->data, "items",
                          (json_int_t)t->items.v.n, "fewshot",
                          (json_int_t)t->p->fewshot, "model", model);
    if (!o)
        return qn_fail(err, QN_EINTERNAL, "no report");
    qn_eval_stamp(o);
    uint64_t t0 = qn_now_ns();
    int rc = t->task->generate ? qn_task_generate(t, o, err)
                               : qn_task_choices(t, o, err);
    json_object_set_new(o, "seconds", json_real(qn_ms_since(t0) * 1e-3));
    if (rc < 0)
        json_decref(o);
    else
        *report = o;
    return rc;
}

int qn_eval_task(json_t **report, const qn_eval_task_params *p, qn_err *err)
{
    qn_task_run t = {.p = p, .task = qn_task_find(p->task)};
    if (!t.task)
        return qn_fail(err, QN_EINVAL, "task \"%s\" is not known; there is %s",
                       p->task, qn_eval_task_names);
    QN_TRY(qn_model_tok(p->model, &t.tok, err));
    int rc = run(&t, report, err);
    qn_items_deinit(&t.items);
    for (size_t i = 0; i < t.shots.n; i++) {
        free(t.shots.v[i].topic);
        qn_str_deinit(&t.shots.v[i].text);
    }
    qn_vec_deinit(&t.shots);
    return rc;
}
