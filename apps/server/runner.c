/* runner.c - see runner.h. */
#include "server/runner.h"

#include "base/clock.h"
#include "base/vec.h"
#include "server/server_int.h"

#include <stdatomic.h>
#include <stdlib.h>

#define WAIT_MS 100 /* between looks at deadlines while nothing can be done */

typedef QN_VEC(qn_call *) call_list;

/* How long a failed step counts at least: enough for three probes ten seconds
 * apart, which have the server started anew. */
#define FAILING_NS ((uint64_t)60 * 1000000000)

struct qn_runner {
    struct qn_server *srv;
    qn_engine *engine;
    pthread_t thread;

    pthread_mutex_t lock;
    pthread_cond_t more;
    call_list inbox;
    bool woken, stop;
    bool changing; /* `next` takes the engine's place when nothing runs */
    qn_engine *next;
    uint64_t t_change; /* then what runs is ended */
    pthread_cond_t changed;
    atomic_uint_fast64_t t_failed; /* of the last step; 0: it did not */
    qn_runner_stats stats;
    int n_waiting; /* in the engine; the inbox comes on top */
    double mean_s; /* of finished requests, moving */

    /* the thread's own */
    call_list active;
    uint64_t t_evict; /* of t_change; UINT64_MAX: never */
    bool moved;       /* the last step computed something, or what it looks at
                         is not what it was: the next one may find more */
    qn_str text;      /* scratch of answers */
};

/* ---- one generation ---------------------------------------------------- */

static void release_requests(qn_gen *g)
{
    for (int i = 0; i < g->n_prompts; i++) {
        qn_request_free(g->prompts[i].req);
        g->prompts[i].req = NULL;
    }
}

static int submit(qn_runner *r, qn_gen *g)
{
    qn_err err = {0};
    g->t_submit = qn_now_ns();
    for (int i = 0; i < g->n_prompts; i++) {
        g->f.rp.prompt = g->prompts[i].ids;
        g->f.rp.n_prompt = g->prompts[i].n;
        int rc = qn_request_submit(r->engine, &g->f.rp, &g->prompts[i].req,
                                   &err);
        if (rc < 0) {
            release_requests(g);
            qn_fields_blame(&g->f, g->style->route, err.msg);
            qn_gen_fail(g->call, &g->f, &err);
            return rc;
        }
    }
    g->submitted = true;
    return 0;
}

static void count_finish(qn_runner *r, qn_finish f)
{
    static const qn_metric of[] = {
        [QN_FINISH_STOP] = QN_METRIC_STOP,
        [QN_FINISH_LENGTH] = QN_METRIC_LENGTH,
        [QN_FINISH_CANCEL] = QN_METRIC_ABORT,
        [QN_FINISH_ERROR] = QN_METRIC_ERROR,
    };
    qn_metrics_count(&r->srv->metrics, of[f], 1);
}

static void take_event(qn_runner *r, qn_gen *g, qn_choice *c,
                       const qn_event *ev, uint64_t now)
{
    if (ev->id >= 0) {
        if (c->t_last)
            qn_metrics_sample(&r->srv->metrics, QN_SAMPLE_ITL,
                              (double)(now - c->t_last) * 1e-9);
        c->t_last = now;
        c->last_id = ev->id;
        c->n_tokens++;
        c->sum_logprob += (double)ev->logprob;
        qn_metrics_count(&r->srv->metrics, QN_METRIC_COMPLETION_TOKENS, 1);
    }
    if (ev->finish != QN_FINISH_NONE) {
        c->finish = ev->finish;
        c->stop = ev->stop;
        g->n_open--;
        count_finish(r, ev->finish);
    }
    g->style->event(g, c, ev, &r->text);
}

/* When the first of its requests has been admitted. */
static void note_admission(qn_runner *r, qn_gen *g)
{
    if (g->admitted)
        return;
    for (int i = 0; i < g->n_prompts && !g->admitted; i++) {
        qn_request_get_stats(g->prompts[i].req, &g->prompts[i].stats);
        g->admitted = g->prompts[i].stats.queued_ms > 0;
        if (g->admitted)
            qn_metrics_sample(&r->srv->metrics, QN_SAMPLE_QUEUE,
                              (double)(qn_now_ns() - g->call->t_start) * 1e-9);
    }
    if (g->admitted && g->f.stream) {
        g->streaming = true;
        qn_call_stream(g->call);
        g->style->begin(g, &r->text);
    }
}

/* Why one of its requests could not go on; false when all could. */
static bool failed(const qn_gen *g, qn_err *err)
{
    for (int i = 0; i < g->n_prompts; i++)
        if (qn_request_error(g->prompts[i].req, err) < 0)
            return true;
    return false;
}

static void sample_request(qn_metrics *m, const qn_request_stats *s)
{
    qn_metrics_sample(m, QN_SAMPLE_PROMPT, s->n_prompt);
    qn_metrics_sample(m, QN_SAMPLE_COMPLETION, s->n_completion);
    qn_metrics_sample(m, QN_SAMPLE_PREFILL, s->prefill_ms * 1e-3);
    qn_metrics_sample(m, QN_SAMPLE_DECODE, s->decode_ms * 1e-3);
    qn_metrics_sample(m, QN_SAMPLE_RUN, (s->prefill_ms + s->decode_ms) * 1e-3);
    if (s->n_completion > 1)
        qn_metrics_sample(m, QN_SAMPLE_TPOT,
                          s->decode_ms * 1e-3 / (s->n_completion - 1));
}

static void count_end(qn_runner *r, qn_gen *g)
{
    int n_prompt = 0, n_completion = 0;
    double ttft = 0;
    qn_metrics *m = &r->srv->metrics;
    for (int i = 0; i < g->n_prompts; i++) {
        qn_prompt *q = &g->prompts[i];
        qn_request_get_stats(q->req, &q->stats);
        n_prompt += (int)q->n;
        n_completion += q->stats.n_completion;
        ttft = QN_MAX(ttft, q->stats.ttft_ms);
        sample_request(m, &q->stats);
    }
    double wait = (double)(g->t_submit - g->call->t_start) * 1e-9;
    double all = (double)(qn_now_ns() - g->call->t_start) * 1e-9;
    qn_metrics_count(m, QN_METRIC_PROMPT_TOKENS, (uint64_t)n_prompt);
    if (ttft > 0)
        qn_metrics_sample(m, QN_SAMPLE_TTFT, wait + ttft * 1e-3);
    qn_metrics_sample(m, QN_SAMPLE_E2E, all);
    pthread_mutex_lock(&g->call->lock);
    g->call->n_prompt = n_prompt;
    g->call->n_completion = n_completion;
    pthread_mutex_unlock(&g->call->lock);
    pthread_mutex_lock(&r->lock);
    r->mean_s = r->mean_s > 0 ? 0.9 * r->mean_s + 0.1 * all : all;
    pthread_mutex_unlock(&r->lock);
}

/* All its completions have ended: the rest of the answer. */
static void finish(qn_runner *r, qn_gen *g)
{
    count_end(r, g);
    qn_err err;
    if (failed(g, &err)) {
        qn_gen_fail(g->call, NULL, &err);
        return;
    }
    if (g->streaming) {
        g->style->end(g, &r->text);
        qn_call_write(g->call, r->text.p ? r->text.p : "", r->text.n);
        qn_str_clear(&r->text);
        qn_call_end(g->call);
        return;
    }
    qn_str whole = {0};
    g->style->whole(g, &whole);
    qn_call_reply(g->call, 200, "application/json", &whole);
}

static bool is_late(const qn_runner *r, const qn_gen *g, uint64_t now)
{
    double limit = r->srv->set.request_timeout;
    return limit > 0 && (double)(now - g->call->t_start) * 1e-9 > limit;
}

/* Deadlines and departures: true when there is nothing more to do for it. */
static bool cut_short(qn_runner *r, qn_gen *g, uint64_t now)
{
    const qn_settings *set = &r->srv->set;
    double waited = (double)(now - g->call->t_start) * 1e-9;
    if (atomic_load(&g->call->gone)) {
        qn_metrics_count(&r->srv->metrics, QN_METRIC_CANCELLED, 1);
    } else if (!g->admitted && set->queue_timeout > 0 &&
               waited > set->queue_timeout) {
        qn_metrics_count(&r->srv->metrics, QN_METRIC_TIMED_OUT, 1);
        qn_call_retry(g->call, 503, qn_runner_retry_after(r),
                      "waited %.1f s for the engine without a turn", waited);
    } else if (is_late(r, g, now)) {
        qn_metrics_count(&r->srv->metrics, QN_METRIC_TIMED_OUT, 1);
        qn_call_fail(g->call, 504, "timeout", NULL,
                     "the request took longer than %.1f s", waited);
    } else if (now >= r->t_evict) {
        qn_call_retry(g->call, 503, 5,
                      "the model is being unloaded, or the server stops");
    } else {
        return false;
    }
    for (int i = 0; i < g->n_choices; i++)
        if (g->choices[i].finish == QN_FINISH_NONE)
            count_finish(r, QN_FINISH_CANCEL);
    return true;
}

/* A client that does not read: its request keeps its KV and waits. */
static void pause_or_go(qn_runner *r, qn_gen *g)
{
    bool behind = g->streaming && qn_call_behind(g->call);
    if (behind == g->paused)
        return;
    g->paused = behind;
    r->moved = true;
    for (int i = 0; i < g->n_prompts; i++)
        qn_request_pause(g->prompts[i].req, behind);
}

/* What has happened to one generation; true when it has ended. */
static bool look_at(qn_runner *r, qn_gen *g)
{
    uint64_t now = qn_now_ns();
    qn_str_clear(&r->text);
    if (!atomic_load(&g->call->gone)) /* its turn may have come by now */
        note_admission(r, g);
    if (cut_short(r, g, now))
        return true;
    for (int i = 0; i < g->n_prompts; i++) {
        qn_event ev;
        while (qn_request_next(g->prompts[i].req, &ev) > 0)
            take_event(r, g, &g->choices[i * g->n_per + ev.index], &ev, now);
    }
    if (g->streaming && r->text.n > 0 && g->n_open > 0) {
        qn_call_write(g->call, r->text.p, r->text.n);
        qn_str_clear(&r->text);
    }
    if (g->n_open == 0) {
        finish(r, g);
        return true;
    }
    pause_or_go(r, g);
    return false;
}

/* ---- the thread -------------------------------------------------------- */

static void drop(qn_call *call)
{
    release_requests(call->gen);
    qn_call_unref(call);
}

static void cancel(qn_gen *g)
{
    for (int i = 0; i < g->n_prompts; i++)
        qn_request_cancel(g->prompts[i].req);
}

/* In the middle of a long pass: who does not wait for it any more. */
static void watch(void *user)
{
    qn_runner *r = user;
    uint64_t now = qn_now_ns();
    pthread_mutex_lock(&r->lock);
    if (r->stop)
        r->t_evict = now;
    pthread_mutex_unlock(&r->lock);
    for (size_t i = 0; i < r->active.n; i++) {
        qn_call *call = r->active.v[i];
        if (now >= r->t_evict || atomic_load(&call->gone) ||
            is_late(r, call->gen, now))
            cancel(call->gen);
    }
}

/* Under lock. */
static void change_engine(qn_runner *r)
{
    r->t_evict = r->changing ? r->t_change : UINT64_MAX;
    if (!r->changing || r->active.n > 0 || r->inbox.n > 0)
        return;
    qn_engine_free(r->engine);
    r->engine = r->next;
    atomic_store(&r->t_failed, 0);
    r->stats = (qn_runner_stats){.host_ms = r->stats.host_ms};
    if (r->engine) {
        qn_engine_get_stats(r->engine, &r->stats.engine);
        qn_engine_watch(r->engine, watch, r);
    }
    r->changing = false;
    r->t_evict = UINT64_MAX;
    pthread_cond_signal(&r->changed);
}

/* Waits while nothing can be done; false when the runner is to stop. */
static bool take_inbox(qn_runner *r, bool busy)
{
    pthread_mutex_lock(&r->lock);
    if (!busy && r->inbox.n == 0 && !r->woken && !r->stop &&
        !(r->changing && r->active.n == 0)) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        t.tv_nsec += WAIT_MS * 1000000L;
        t.tv_sec += t.tv_nsec / 1000000000L;
        t.tv_nsec %= 1000000000L;
        if (r->active.n > 0 || atomic_load(&r->t_failed))
            pthread_cond_timedwait(&r->more, &r->lock, &t);
        else
            pthread_cond_wait(&r->more, &r->lock);
    }
    r->woken = false;
    change_engine(r);
    bool go = !r->stop;
    size_t first = r->active.n;
    for (size_t i = 0; i < r->inbox.n; i++)
        qn_vec_push(&r->active, r->inbox.v[i]);
    qn_vec_clear(&r->inbox);
    r->n_waiting += (int)(r->active.n - first);
    pthread_mutex_unlock(&r->lock);
    size_t n = first;
    for (size_t i = first; go && i < r->active.n; i++) {
        qn_call *call = r->active.v[i];
        if (!atomic_load(&call->gone) && submit(r, call->gen) == 0)
            r->active.v[n++] = call;
        else
            drop(call);
    }
    if (go)
        r->active.n = n;
    return go;
}

/* Order is kept: who came first is looked at first. Whether another step may
 * do something: not while all wait for one that is paused. */
static bool look_at_all(qn_runner *r)
{
    size_t n = 0;
    bool can_step = false;
    for (size_t i = 0; i < r->active.n; i++) {
        qn_call *call = r->active.v[i];
        if (look_at(r, call->gen)) {
            drop(call);
            r->moved = true;
            continue;
        }
        can_step |= !call->gen->paused;
        r->active.v[n++] = call;
    }
    r->active.n = n;
    return can_step && r->moved;
}

static void publish(qn_runner *r, double host_ms)
{
    qn_engine_stats es = {0};
    if (r->engine)
        qn_engine_get_stats(r->engine, &es);
    pthread_mutex_lock(&r->lock);
    if (es.n_steps > r->stats.engine.n_steps)
        qn_metrics_sample(&r->srv->metrics, QN_SAMPLE_STEP,
                          (double)(es.n_rows - r->stats.engine.n_rows) /
                              (double)(es.n_steps - r->stats.engine.n_steps));
    r->stats.engine = es;
    r->stats.host_ms += host_ms;
    r->n_waiting = es.n_waiting;
    pthread_mutex_unlock(&r->lock);
}

/* Ends a call by a step that failed. */
static void break_off(qn_runner *r, qn_call *call, const char *why)
{
    const qn_gen *g = call->gen;
    for (int i = 0; i < g->n_choices; i++)
        if (g->choices[i].finish == QN_FINISH_NONE)
            count_finish(r, QN_FINISH_ERROR);
    qn_call_break(call, why);
    drop(call);
}

/* A pass that fails most likely would again: its requests end. */
static void step(qn_runner *r)
{
    qn_err err = {0};
    qn_engine_stats before, after;
    qn_engine_get_stats(r->engine, &before);
    int rc = qn_engine_step(r->engine, &err);
    qn_engine_get_stats(r->engine, &after);
    r->moved = after.n_rows > before.n_rows;
    if (rc < 0 || r->moved)
        atomic_store(&r->t_failed, rc < 0 ? qn_now_ns() : 0);
    if (rc >= 0)
        return;
    qn_err_prefix(&err, rc, "engine step");
    for (size_t i = 0; i < r->active.n; i++)
        break_off(r, r->active.v[i], err.msg);
    r->active.n = 0;
}

/* Nobody asks while /ready says no, so no step can tell that all is well again. */
static void recover(qn_runner *r)
{
    uint64_t t = atomic_load(&r->t_failed);
    qn_err err;
    if (!t || qn_now_ns() - t < FAILING_NS)
        return;
    bool well = r->engine && qn_model_check(r->srv->model, &err) == 0;
    atomic_store(&r->t_failed, well ? 0 : qn_now_ns());
}

static void *run(void *arg)
{
    qn_runner *r = arg;
    bool busy = false;
    while (take_inbox(r, busy)) {
        if (r->active.n > 0)
            step(r);
        else
            recover(r);
        uint64_t t0 = qn_now_ns();
        busy = look_at_all(r);
        publish(r, qn_ms_since(t0));
        if (!busy && r->engine)
            busy = qn_engine_prepare(r->engine);
    }
    for (size_t i = 0; i < r->active.n; i++) {
        qn_call *call = r->active.v[i];
        qn_call_fail(call, 503, "unavailable", NULL, "the server is stopping");
        drop(call);
    }
    qn_vec_clear(&r->active);
    return NULL;
}

/* ---- from outside ------------------------------------------------------ */

int qn_runner_new(qn_runner **out, struct qn_server *srv, qn_err *err)
{
    qn_runner *r = qn_xcalloc(1, sizeof *r);
    r->srv = srv;
    r->t_evict = UINT64_MAX;
    pthread_mutex_init(&r->lock, NULL);
    pthread_condattr_t steady; /* whatever happens to the time of day */
    pthread_condattr_init(&steady);
    pthread_condattr_setclock(&steady, CLOCK_MONOTONIC);
    pthread_cond_init(&r->more, &steady);
    pthread_condattr_destroy(&steady);
    pthread_cond_init(&r->changed, NULL);
    if (pthread_create(&r->thread, NULL, run, r) != 0) {
        free(r);
        return qn_fail(err, QN_EIO, "no thread for the engine");
    }
    *out = r;
    return 0;
}

void qn_runner_free(qn_runner *r)
{
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    r->stop = true;
    pthread_cond_signal(&r->more);
    pthread_mutex_unlock(&r->lock);
    pthread_join(r->thread, NULL);
    for (size_t i = 0; i < r->inbox.n; i++) /* pushed after the end */
        qn_call_unref(r->inbox.v[i]);
    qn_engine_free(r->engine);
    qn_vec_deinit(&r->inbox);
    qn_vec_deinit(&r->active);
    qn_str_deinit(&r->text);
    pthread_cond_destroy(&r->more);
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

void qn_runner_set_engine(qn_runner *r, qn_engine *engine, double seconds)
{
    pthread_mutex_lock(&r->lock);
    r->next = engine;
    r->t_change = qn_now_ns() + (uint64_t)(seconds * 1e9);
    r->changing = true;
    pthread_cond_signal(&r->more);
    while (r->changing)
        pthread_cond_wait(&r->changed, &r->lock);
    pthread_mutex_unlock(&r->lock);
}

void qn_runner_push(qn_runner *r, qn_call *call)
{
    qn_call_ref(call);
    pthread_mutex_lock(&r->lock);
    qn_vec_push(&r->inbox, call);
    pthread_cond_signal(&r->more);
    pthread_mutex_unlock(&r->lock);
}

void qn_runner_wake(qn_runner *r)
{
    pthread_mutex_lock(&r->lock);
    r->woken = true;
    pthread_cond_signal(&r->more);
    pthread_mutex_unlock(&r->lock);
}

bool qn_runner_failing(qn_runner *r)
{
    return atomic_load(&r->t_failed) != 0;
}

int qn_runner_waiting(qn_runner *r)
{
    pthread_mutex_lock(&r->lock);
    int n = r->n_waiting + (int)r->inbox.n;
    pthread_mutex_unlock(&r->lock);
    return n;
}

int qn_runner_retry_after(qn_runner *r)
{
    pthread_mutex_lock(&r->lock);
    double s = r->mean_s * (r->n_waiting + 1) /
               QN_MAX(r->stats.engine.n_running, 1);
    pthread_mutex_unlock(&r->lock);
    return (int)QN_MIN(QN_MAX(s + 0.5, 1.0), 60.0);
}

void qn_runner_get_stats(qn_runner *r, qn_runner_stats *s)
{
    pthread_mutex_lock(&r->lock);
    *s = r->stats;
    pthread_mutex_unlock(&r->lock);
}
