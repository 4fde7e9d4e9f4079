/* worker.c - see worker.h. */
#include "server/worker.h"

#include "base/mem.h"
#include "server/routes.h"

#include <stdlib.h>

struct qn_worker {
    pthread_mutex_t lock;
    pthread_cond_t more;
    pthread_t thread;
    qn_call **ring; /* [cap] */
    size_t cap, head, n;
    bool stop;
};

static qn_call *take(qn_worker *w)
{
    qn_call *call = NULL;
    pthread_mutex_lock(&w->lock);
    while (w->n == 0 && !w->stop)
        pthread_cond_wait(&w->more, &w->lock);
    if (!w->stop) {
        call = w->ring[w->head];
        w->head = (w->head + 1) % w->cap;
        w->n--;
    }
    pthread_mutex_unlock(&w->lock);
    return call;
}

static void *run(void *arg)
{
    qn_worker *w = arg;
    for (qn_call *call; (call = take(w)) != NULL; qn_call_unref(call))
        if (!atomic_load(&call->gone))
            call->route->handle(call);
    return NULL;
}

int qn_worker_new(qn_worker **out, size_t cap, qn_err *err)
{
    qn_worker *w = qn_xcalloc(1, sizeof *w);
    w->cap = cap;
    w->ring = qn_xcalloc(cap, sizeof *w->ring);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->more, NULL);
    if (pthread_create(&w->thread, NULL, run, w) != 0) {
        free(w->ring);
        free(w);
        return qn_fail(err, QN_EIO, "no thread for parsing requests");
    }
    *out = w;
    return 0;
}

void qn_worker_free(qn_worker *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->stop = true;
    pthread_cond_signal(&w->more);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    for (size_t i = 0; i < w->n; i++)
        qn_call_unref(w->ring[(w->head + i) % w->cap]);
    pthread_cond_destroy(&w->more);
    pthread_mutex_destroy(&w->lock);
    free(w->ring);
    free(w);
}

bool qn_worker_push(qn_worker *w, qn_call *call)
{
    pthread_mutex_lock(&w->lock);
    bool room = w->n < w->cap;
    if (room) {
        qn_call_ref(call);
        w->ring[(w->head + w->n++) % w->cap] = call;
        pthread_cond_signal(&w->more);
    }
    pthread_mutex_unlock(&w->lock);
    return room;
}

int qn_worker_waiting(qn_worker *w)
{
    pthread_mutex_lock(&w->lock);
    int n = (int)w->n;
    pthread_mutex_unlock(&w->lock);
    return n;
}
