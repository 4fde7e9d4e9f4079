/* task_generate.c - questions whose answer the model writes: gsm8k.
 *
 * Answers are generated greedily, several at a time, until a stop text or
 * max_new_tokens; then the final number is compared as a text. Both ways in
 * which lm-evaluation-harness looks for it are reported: strict (behind
 * "####") and flexible (the last number). */
#include "eval/eval_task_int.h"

#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    NEW_TOKENS = 256,
    BATCH = 16
};

typedef struct gen_lane {
    qn_request *req; /* NULL: idle */
    size_t item;
    qn_str text;
    bool ended;
} gen_lane;

typedef struct gen_run {
    qn_task_run *t;
    qn_engine *engine;
    gen_lane *lanes;
    int n_lanes;
    size_t next; /* item to be asked */
    double strict, flexible;
    FILE *samples;
} gen_run;

/* ---- asking ------------------------------------------------------------------ */

/* The prompt as one message of a user, rendered by the chat template. */
static int through_template(const gen_run *g, const char *prompt, qn_str *out,
                            qn_err *err)
{
    char *text = NULL, *messages;
    size_t n;
    json_t *list = json_pack("[{s:s, s:s}]", "role", "user", "content", prompt);
    messages = list ? json_dumps(list, JSON_COMPACT) : NULL;
    json_decref(list);
    if (!messages)
        return qn_fail(err, QN_EFORMAT, "the question is not UTF-8");
    int rc = qn_chat_render(g->t->p->model, messages, NULL, true, NULL, &text,
                            &n, err);
    free(messages);
    QN_TRY(rc);
    qn_str_add(out, text, n);
    qn_free(text);
    return 0;
}

static int make_prompt(const gen_run *g, const qn_item *item, int32_t **ids,
                       size_t *n, qn_err *err)
{
    qn_str plain, chat;
    bool through = g->t->p->chat;
    qn_str_init(&plain);
    qn_str_init(&chat);
    qn_task_prompt(g->t, item, &plain);
    qn_str_adds(&plain, item->choices.v[0].context);
    int rc = through ? through_template(g, plain.p, &chat, err) : 0;
    const qn_str *s = through ? &chat : &plain;
    bool special = !through && g->t->p->bos == QN_BOS_AUTO;
    if (rc == 0)
        rc = qn_tokenize(g->t->p->model, s->p ? s->p : "", s->n, special,
                         through, ids, n, err);
    qn_str_deinit(&plain);
    qn_str_deinit(&chat);
    return rc;
}

static int ask(gen_run *g, gen_lane *l, qn_err *err)
{
    static const char *const stops[] = {"Question:", "</s>", "<|im_end|>"};
    const qn_item *item = &g->t->items.v.v[l->item];
    qn_request_params p;
    int32_t *ids = NULL;
    size_t n = 0;
    QN_TRY(make_prompt(g, item, &ids, &n, err));
    qn_request_params_default(&p);
    p.prompt = ids;
    p.n_prompt = n;
    p.max_new_tokens = g->t->p->max_new_tokens ? g->t->p->max_new_tokens
                                               : NEW_TOKENS;
    p.stop = stops;
    p.n_stop = QN_COUNTOF(stops);
    p.answer = g->t->p->chat;
    p.sampling.temperature = 0;
    qn_str_clear(&l->text);
    l->ended = false;
    int rc = qn_request_submit(g->engine, &p, &l->req, err);
    qn_free(ids);
    return rc;
}

/* ---- judging ----------------------------------------------------------------- */

static bool says(const qn_str *number, const char *want)
{
    return number->p && strcmp(number->p, want) == 0;
}

static int judge(gen_run *g, const gen_lane *l, qn_err *err)
{
    const qn_item *item = &g->t->items.v.v[l->item];
    const char *text = l->text.p ? l->text.p : "";
    qn_str strict, flexible;
    qn_str_init(&strict);
    qn_str_init(&flexible);
    qn_answer_strict(&strict, text, l->text.n);
    qn_answer_flexible(&flexible, text, l->text.n);
    bool a = says(&strict, item->answer), b = says(&flexible, item->answer);
    g->strict += a;
    g->flexible += b;
    int rc = 0;
    if (g->samples) {
        json_t *o = json_pack("{s:I, s:s, s:b, s:b, s:s%}", "line",
                              (json_int_t)item->line, "gold", item->answer,
                              "strict", a, "flexible", b, "text", text,
                              l->text.n);
        rc = o ? qn_task_sample(g->t, g->samples, o, err) : 0;
    }
    qn_str_deinit(&strict);
    qn_str_deinit(&flexible);
    return rc;
}

/* Takes what has come; an answer that is complete is judged and its lane is
 * free again. */
static int collect(gen_run *g, gen_lane *l, qn_err *err)
{
    qn_event ev;
    const qn_item *item = &g->t->items.v.v[l->item];
    while (qn_request_next(l->req, &ev)) {
        qn_str_add(&l->text, ev.text, ev.text_len);
        l->ended |= ev.finish != QN_FINISH_NONE;
    }
    int rc = qn_request_error(l->req, err);
    if (rc < 0)
        return qn_err_prefix(err, rc, "%s:%zu", g->t->p->data, item->line);
    if (!l->ended)
        return 0;
    qn_request_free(l->req);
    l->req = NULL;
    return judge(g, l, err);
}

/* ---- all of it ---------------------------------------------------------------- */

static int fill_lanes(gen_run *g, qn_err *err)
{
    for (int i = 0; i < g->n_lanes && g->next < g->t->items.v.n; i++) {
        gen_lane *l = &g->lanes[i];
        if (l->req)
            continue;
        l->item = g->next++;
        int rc = ask(g, l, err);
        if (rc < 0)
            return qn_err_prefix(err, rc, "%s:%zu", g->t->p->data,
                                 g->t->items.v.v[l->item].line);
    }
    return 0;
}

static int ask_all(gen_run *g, qn_err *err)
{
    for (size_t busy = 1; busy > 0;) {
        QN_TRY(fill_lanes(g, err));
        QN_TRY(qn_engine_step(g->engine, err));
        busy = g->t->items.v.n - g->next;
        for (int i = 0; i < g->n_lanes; i++) {
            if (g->lanes[i].req)
                QN_TRY(collect(g, &g->lanes[i], err));
            busy += g->lanes[i].req != NULL;
        }
        if (!qn_task_progress(g->t, (int64_t)(g->t->items.v.n - busy)))
            return qn_fail(err, QN_ECANCEL, "interrupted");
    }
    return 0;
}

int qn_task_generate(qn_task_run *t, json_t *into, qn_err *err)
{
    gen_run g = {.t = t, .n_lanes = t->p->batch ? t->p->batch : BATCH};
    qn_engine_params ep = {.max_seqs = g.n_lanes,
                           .kv_type = t->p->kv,
                           .prefix_cache = true};
    int rc = 0;
    g.lanes = qn_xcalloc((size_t)g.n_lanes, sizeof *g.lanes);
    QN_TRY_OUT(qn_engine_new(&g.engine, t->p->model, &ep, err));
    QN_TRY_OUT(qn_task_open_samples(t, &g.samples, err));
    rc = ask_all(&g, err);
    if (g.samples && fclose(g.samples) != 0 && rc == 0)
        rc = qn_fail(err, QN_EIO, "%s: %s", t->p->samples, strerror(errno));
    if (rc == 0) {
        double n = (double)t->items.v.n;
        json_object_set_new(into, "exact_match", qn_task_rate(g.strict, n));
        json_object_set_new(into, "exact_match_flexible",
                            qn_task_rate(g.flexible, n));
    }
out:
    for (int i = 0; i < g.n_lanes; i++) {
        qn_request_free(g.lanes[i].req);
        qn_str_deinit(&g.lanes[i].text);
    }
    free(g.lanes);
    qn_engine_free(g.engine);
    return rc;
}
