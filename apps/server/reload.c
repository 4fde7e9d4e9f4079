/* reload.c - which model is served: at the start, and by the admin socket.
 *
 * Everything here runs on the worker thread (or before there is one), so that
 * nobody tokenizes meanwhile; the engine thread is waited for. Requests that
 * come while nothing is loaded get 503. */
#include "base/mem.h"
#include "server/server_int.h"

/* The last part of a path, without what follows from the file's kind. */
static char *name_of(const char *path)
{
    if (!path || !*path || strcmp(path, "builtin") == 0)
        return qn_xstrdup("quern-14m");
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    size_t from = n;
    while (from > 0 && path[from - 1] != '/')
        from--;
    char *name = qn_xstrndup(path + from, n - from);
    if (qn_ends(name, ".gguf"))
        name[strlen(name) - 5] = 0;
    return name;
}

static void set_names(qn_server *srv, const char *path)
{
    const char *given = srv->set.served_model_name;
    char *name = given && *given ? qn_xstrdup(given) : name_of(path);
    char *from = qn_xstrdup(path && *path ? path : "builtin");
    qn_vec_push(&srv->names, name);
    qn_vec_push(&srv->names, from);
    srv->name = name;
    srv->path = from;
}

int qn_reload_install(qn_server *srv, qn_model *model, const char *path,
                      qn_err *err)
{
    qn_engine *engine = NULL;
    qn_engine_stats es;
    srv->model = model;
    QN_TRY(qn_call_shape_find(&srv->call_shape, model,
                              srv->set.tool_call_parser, err));
    if (!qn_reasoning_kind_of(srv->set.reasoning_parser, &srv->reasoning))
        return qn_fail(err, QN_EINVAL,
                       "reasoning-parser: there is no \"%.40s\"; use think, "
                       "channels or none",
                       srv->set.reasoning_parser);
    QN_TRY(qn_engine_new(&engine, model, &srv->engine, err));
    qn_engine_get_stats(engine, &es);
    int64_t longest = QN_MIN(qn_model_n_ctx_train(model), es.n_ctx);
    if (srv->set.max_model_len > 0)
        longest = QN_MIN(longest, srv->set.max_model_len);
    srv->max_model_len = longest;
    set_names(srv, path);
    qn_runner_set_engine(srv->runner, engine, 0);
    srv->loaded = true;
    return 0;
}

void qn_reload_unload(qn_server *srv)
{
    srv->loaded = false;
    srv->max_model_len = 0;
    qn_runner_set_engine(srv->runner, NULL, srv->set.drain_timeout);
    qn_call_shape_deinit(&srv->call_shape);
    qn_model_close(srv->model);
    srv->model = NULL;
}

static bool go_on(void *user, uint64_t done, uint64_t total)
{
    const qn_server *srv = user;
    (void)done, (void)total;
    return !srv->stopping;
}

int qn_reload_model(qn_server *srv, const char *path, qn_err *err)
{
    qn_model *model = NULL;
    srv->open.progress = go_on;
    srv->open.progress_user = srv;
    int rc = qn_model_open(&model, path, &srv->open, err);
    if (rc == 0)
        rc = qn_reload_install(srv, model, path, err);
    if (rc < 0)
        qn_reload_unload(srv);
    return rc;
}
