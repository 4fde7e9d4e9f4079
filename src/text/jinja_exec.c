/* jinja_exec.c - running statements; macros; rendering as a whole.
 *
 * exec functions give 0, an error, or EXEC_BREAK / EXEC_CONTINUE on their way
 * to the loop. Output goes to rt->sink; whatever captures output (macros, set
 * and filter blocks) puts a buffer of its own there meanwhile. */
#include "text/jinja_eval.h"

enum {
    EXEC_BREAK = 1,
    EXEC_CONTINUE = 2
};

static int exec_body(qn_jrt *rt, qn_jenv *env, qn_jnode *const *v, uint32_t n);

/* ---- scopes -------------------------------------------------------------- */

static void exec_resolve(const qn_jrt *rt, qn_view name, qn_jval *out)
{
    if (qn_jv_dict_find_str(rt->context, name, out))
        return;
    const qn_jfunc *f = qn_jinja_global(name);
    *out = (qn_jval){.type = f ? QN_J_FUNC : QN_J_MISSING, .u.func = f};
}

static int exec_enter(qn_jrt *rt, qn_jenv *env, const qn_jscope *s)
{
    QN_TRY(qn_jrt_step(rt, 1 + s->n / 4));
    for (uint32_t i = 0; i < s->n; i++) {
        const qn_jload *l = &s->loads[i];
        qn_jval *slot = &env->slot[l->slot];
        if (l->how == QN_JL_UNDEFINED)
            slot->type = QN_J_MISSING;
        else if (l->how == QN_JL_ALIAS)
            *slot = *qn_jenv_at(env, l->up, l->from);
        else if (l->how == QN_JL_RESOLVE)
            exec_resolve(rt, l->name, slot);
    }
    return 0;
}

static void exec_leave(qn_jenv *env, const qn_jscope *s)
{
    for (uint32_t i = 0; i < s->n; i++)
        env->slot[s->loads[i].slot].type = QN_J_MISSING;
}

static qn_jenv *exec_new_env(qn_jrt *rt, uint32_t n_slots, qn_jenv *up)
{
    size_t n = sizeof(qn_jenv) + (size_t)n_slots * sizeof(qn_jval);
    qn_jenv *env = qn_jrt_alloc(rt, n);

    if (!env || qn_jrt_step(rt, 1 + n_slots / 16) < 0)
        return NULL;
    memset(env, 0, n); /* QN_J_MISSING is 0 */
    env->up = up;
    return env;
}

/* A body whose output becomes a string. */
static int exec_capture(qn_jrt *rt, qn_jenv *env, qn_jnode *const *v,
                        uint32_t n, qn_jval *out)
{
    qn_jsb sb = qn_jsb_new(rt), *sink = rt->sink;

    rt->sink = &sb;
    int rc = exec_body(rt, env, v, n);
    rt->sink = sink;
    if (rc != 0)
        return rc;
    return qn_jsb_done(&sb, out);
}

/* ---- macros -------------------------------------------------------------- */

static int exec_define(qn_jrt *rt, qn_jenv *env, const qn_jfn *fn, qn_view name,
                       qn_jval *out)
{
    qn_jmacro *m = qn_jrt_alloc(rt, sizeof *m);

    if (!m)
        return rt->rc;
    *m = (qn_jmacro){fn, name, env};
    *out = qn_jv_ptr(QN_J_MACRO, m);
    return 0;
}

/* The keyword of that name, which counts as used then. */
static bool exec_take_kw(const qn_jargs *a, bool *used, qn_view name,
                         qn_jval *out)
{
    for (uint32_t i = 0; i < a->n_kw; i++) {
        if (used[i] || !qn_view_eq(a->kw[i].name, name))
            continue;
        used[i] = true;
        *out = a->kw[i].value;
        return true;
    }
    return false;
}

static int exec_bind_rest(qn_jrt *rt, const qn_jmacro *m, const qn_jargs *a,
                          const bool *used, qn_jenv *env)
{
    const qn_jfn *fn = m->fn;
    qn_jdict *kw = NULL;

    if (fn->kwargs != UINT32_MAX) {
        QN_TRY(qn_jv_dict_new(rt, &kw));
        env->slot[fn->kwargs] = qn_jv_ptr(QN_J_DICT, kw);
    }
    for (uint32_t i = 0; i < a->n_kw; i++) {
        if (used[i])
            continue;
        if (!kw)
            return qn_jrt_fail(rt, QN_EINVAL,
                               "macro '%.*s' takes no keyword argument '%.*s'",
                               (int)QN_MIN(m->name.n, (size_t)60), m->name.p,
                               (int)QN_MIN(a->kw[i].name.n, (size_t)60),
                               a->kw[i].name.p);
        QN_TRY(
            qn_jv_dict_put(rt, kw, qn_jv_view(a->kw[i].name), a->kw[i].value));
    }
    uint32_t extra = a->n_pos > fn->n_args ? a->n_pos - fn->n_args : 0;
    if (fn->varargs == UINT32_MAX) {
        if (extra)
            return qn_jrt_fail(rt, QN_EINVAL,
                               "macro '%.*s' takes not more than %u "
                               "argument(s)",
                               (int)QN_MIN(m->name.n, (size_t)60), m->name.p,
                               (unsigned)fn->n_args);
        return 0;
    }
    qn_jlist *rest;
    QN_TRY(qn_jv_list_new(rt, extra, &rest));
    for (; rest->n < extra; rest->n++)
        rest->v[rest->n] = a->pos[fn->n_args + rest->n];
    env->slot[fn->varargs] = qn_jv_ptr(QN_J_TUPLE, rest);
    return 0;
}

static int exec_bind_args(qn_jrt *rt, const qn_jmacro *m, const qn_jargs *a,
                          qn_jenv *env)
{
    const qn_jfn *fn = m->fn;
    bool *used = qn_jrt_array(rt, a->n_kw + 1, sizeof *used);
    bool found_caller = false;

    if (!used)
        return rt->rc;
    memset(used, 0, (a->n_kw + 1) * sizeof *used);
    for (uint32_t i = 0; i < fn->n_args; i++) {
        qn_jval *slot = &env->slot[fn->arg_slots[i]];
        if (i < a->n_pos)
            *slot = a->pos[i];
        else
            exec_take_kw(a, used, fn->args[i], slot);
    }
    found_caller = fn->explicit_caller;
    if (fn->caller != UINT32_MAX && !found_caller) {
        qn_jval *slot = &env->slot[fn->caller];
        if (!exec_take_kw(a, used, qn_view_cstr("caller"), slot) ||
            slot->type == QN_J_NONE)
            QN_TRY(qn_jrt_undef_hint(rt, "No caller defined", slot));
    }
    return exec_bind_rest(rt, m, a, used, env);
}

static int exec_defaults(qn_jrt *rt, const qn_jfn *fn, qn_jenv *env)
{
    for (uint32_t i = 0; i < fn->n_args; i++) {
        qn_jval *slot = &env->slot[fn->arg_slots[i]], v;
        uint32_t first = fn->n_args - fn->n_defaults;
        if (slot->type != QN_J_MISSING)
            continue;
        if (i >= first) {
            QN_TRY(qn_jrt_eval(rt, env, fn->defaults[i - first], &v));
        } else {
            qn_jval text;
            qn_jsb sb = qn_jsb_new(rt);
            qn_jsb_adds(&sb, "parameter '");
            qn_jsb_addv(&sb, fn->args[i]);
            qn_jsb_adds(&sb, "' was not provided");
            QN_TRY(qn_jsb_done(&sb, &text));
            QN_TRY(qn_jrt_undef(rt, QN_JU_HINT, "", qn_jv_text(text), &v));
        }
        *slot = v;
    }
    return 0;
}

int qn_jrt_call_macro(qn_jrt *rt, qn_jval macro, const qn_jargs *a,
                      qn_jval *out)
{
    const qn_jmacro *m = macro.u.macro;
    qn_jenv *env = exec_new_env(rt, m->fn->n_slots, m->env);

    if (!env)
        return rt->rc;
    QN_TRY(exec_bind_args(rt, m, a, env));
    QN_TRY(exec_enter(rt, env, &m->fn->scope));
    QN_TRY(exec_defaults(rt, m->fn, env));
    return exec_capture(rt, env, m->fn->body, m->fn->n_body, out);
}

static int exec_call_block(qn_jrt *rt, qn_jenv *env, const qn_jnode *n)
{
    qn_jkw caller = {.name = qn_view_cstr("caller")};
    qn_jval callee, v;
    qn_jargs args;

    QN_TRY(exec_define(rt, env, n->x.fn, (qn_view){0}, &caller.value));
    QN_TRY(qn_jrt_eval(rt, env, n->a->a, &callee));
    QN_TRY(qn_jrt_eval_args(rt, env, n->a, &caller, &args));
    rt->line = n->line;
    QN_TRY(qn_jrt_call(rt, callee, &args, &v));
    return qn_jv_str_to(rt, v, rt->sink);
}

static int exec_generation(qn_jrt *rt, qn_jenv *env, const qn_jnode *n)
{
    qn_jargs none = {0};
    qn_jval f, v;

    QN_TRY(exec_define(rt, env, n->x.fn, (qn_view){0}, &f));
    QN_TRY(qn_jrt_call(rt, f, &none, &v));
    return qn_jv_str_to(rt, v, rt->sink);
}

/* ---- loops --------------------------------------------------------------- */

typedef struct exec_filtered {
    const qn_jnode *node;
    qn_jenv *env;
} exec_filtered;

/* for x in items if test: the test runs when the item is asked for. */
static int exec_filtered_next(qn_jrt *rt, qn_jiter *it, qn_jval *out)
{
    const exec_filtered *f = it->state;
    const qn_jfor *loop = f->node->x.loop;
    qn_jval keep;
    int rc;

    if (!it->in) {
        QN_TRY(exec_enter(rt, f->env, &loop->test));
        QN_TRY(qn_jv_iter(rt, it->src, &it->in));
    }
    while ((rc = qn_jv_next(rt, it->in, out)) > 0) {
        QN_TRY(qn_jrt_assign(rt, f->env, loop->test_target, *out));
        QN_TRY(qn_jrt_eval(rt, f->env, f->node->c, &keep));
        if (qn_jv_truth(keep))
            return 1;
    }
    return rc;
}

static int exec_loop_items(qn_jrt *rt, qn_jenv *env, const qn_jnode *n,
                           qn_jval *over)
{
    if (!n->c)
        return 0;
    exec_filtered *f = qn_jrt_alloc(rt, sizeof *f);
    if (!f)
        return rt->rc;
    *f = (exec_filtered){n, env};
    return qn_jv_generator(rt, exec_filtered_next, *over, f, over);
}

/* Runs the loop over `over` with its variables in env. */
static int exec_loop(qn_jrt *rt, qn_jenv *env, const qn_jnode *n, qn_jval over,
                     qn_jenv *outer, int64_t depth0)
{
    const qn_jfor *loop = n->x.loop;
    qn_jloop *l;
    qn_jval x;
    bool ran = false; /* some iteration reached the end of the body */
    int rc;

    QN_TRY(exec_loop_items(rt, env, n, &over));
    QN_TRY(qn_jloop_new(rt, over, depth0, &l));
    l->node = n;
    l->env = outer;
    while ((rc = qn_jloop_next(rt, l, &x)) > 0) {
        QN_TRY(qn_jrt_assign(rt, env, n->a, x));
        if (loop->loop_slot != UINT32_MAX)
            env->slot[loop->loop_slot] = qn_jv_ptr(QN_J_LOOP, l);
        QN_TRY(exec_enter(rt, env, &loop->body));
        rc = exec_body(rt, env, n->v, n->n);
        if (rc < 0)
            return rc;
        ran |= rc == 0;
        if (rc == EXEC_BREAK)
            break;
    }
    if (rc < 0)
        return rc;
    exec_leave(env, &loop->body);
    if (ran || n->m == 0)
        return 0;
    QN_TRY(exec_enter(rt, env, &loop->other));
    rc = exec_body(rt, env, n->w, n->m);
    exec_leave(env, &loop->other);
    return rc;
}

/* One call of a recursive loop's function. */
static int exec_recursive(qn_jrt *rt, qn_jenv *outer, const qn_jnode *n,
                          qn_jval over, int64_t depth0, qn_jval *out)
{
    qn_jsb sb = qn_jsb_new(rt), *sink = rt->sink;
    qn_jenv *env = exec_new_env(rt, n->x.loop->fn.n_slots, outer);

    if (!env)
        return rt->rc;
    rt->sink = &sb;
    QN_TRY(exec_loop(rt, env, n, over, outer, depth0));
    rt->sink = sink;
    return qn_jsb_done(&sb, out);
}

int qn_jrt_call_loop(qn_jrt *rt, qn_jval loop, const qn_jargs *a, qn_jval *out)
{
    const qn_jloop *l = loop.u.loop;

    if (!l->node->x.loop->recursive)
        return qn_jrt_fail(rt, QN_EINVAL,
                           "The loop must have the 'recursive' marker to be "
                           "called recursively.");
    if (a->n_pos != 1 || a->n_kw)
        return qn_jrt_fail(rt, QN_EINVAL, "loop() takes one argument");
    return exec_recursive(rt, l->env, l->node, a->pos[0], l->depth0 + 1, out);
}

static int exec_for(qn_jrt *rt, qn_jenv *env, const qn_jnode *n)
{
    qn_jval over, text;

    QN_TRY(qn_jrt_eval(rt, env, n->b, &over));
    rt->line = n->line;
    if (!n->x.loop->recursive)
        return exec_loop(rt, env, n, over, env, 0);
    QN_TRY(exec_recursive(rt, env, n, over, 0, &text));
    return qn_jv_str_to(rt, text, rt->sink);
}

/* ---- the other statements ------------------------------------------------ */

static int exec_output(qn_jrt *rt, qn_jenv *env, const qn_jnode *n)
{
    qn_jval v;

    for (uint32_t i = 0; i < n->n; i++) {
        if (n->v[i]->kind == QN_JN_DATA) {
            qn_jsb_addv(rt->sink, qn_jv_text(n->v[i]->val));
            continue;
        }
        QN_TRY(qn_jrt_eval(rt, env, n->v[i], &v));
        QN_TRY(qn_jv_str_to(rt, v, rt->sink));
    }
    return rt->sink->rc;
}

/* Before the value is computed: every ns of ns.attr is a namespace. */
static int exec_check_target(qn_jrt *rt, qn_jenv *env, const qn_jnode *n)
{
    if (n->kind == QN_JN_NSREF &&
        qn_jenv_at(env, n->up, n->slot)->type != QN_J_NS)
        return qn_jrt_fail(rt, QN_EINVAL,
                           "cannot assign attribute on non-namespace object");
    if (n->kind == QN_JN_TUPLE)
        for (uint32_t i = 0; i < n->n; i++)
            QN_TRY(exec_check_target(rt, env, n->v[i]));
    return 0;
}

static int exec_set(qn_jrt *rt, qn_jenv *env, const qn_jnode *n)
{
    qn_jval v;

    QN_TRY(exec_check_target(rt, env, n->a));
    QN_TRY(qn_jrt_eval(rt, env, n->b, &v));
    rt->line = n->line;
    return qn_jrt_assign(rt, env, n->a, v);
}

/* The text of the block's body, through its filters. */
static int exec_block_text(qn_jrt *rt, qn_jenv *env, const qn_jnode *n,
                           qn_jval *out)
{
    QN_TRY(exec_enter(rt, env, n->x.scope));
    int rc = exec_capture(rt, env, n->v, n->n, out);
    if (rc != 0)
        return rc;
    if (n->b) {
        qn_jval before = rt->block;
        rt->block = *out;
        QN_TRY(qn_jrt_eval(rt, env, n->b, out));
        rt->block = before;
    }
    exec_leave(env, n->x.scope);
    return 0;
}

static int exec_set_block(qn_jrt *rt, qn_jenv *env, const qn_jnode *n)
{
    qn_jval v;
    int rc = exec_block_text(rt, env, n, &v);

    return rc != 0 ? rc : qn_jrt_assign(rt, env, n->a, v);
}

static int exec_filter_block(qn_jrt *rt, qn_jenv *env, const qn_jnode *n)
{
    qn_jval v;
    int rc = exec_block_text(rt, env, n, &v);

    if (rc != 0)
        return rc;
    if (v.type != QN_J_STR) /* Jinja joins what blocks give as it is */
        return qn_jrt_fail(rt, QN_EINVAL, "a filter block gave no text");
    return qn_jv_str_to(rt, v, rt->sink);
}

static int exec_if(qn_jrt *rt, qn_jenv *env, const qn_jnode *n)
{
    const qn_jnode *arm = n;
    qn_jval test;

    for (uint32_t i = 0;; i++) {
        QN_TRY(qn_jrt_eval(rt, env, arm->a, &test));
        if (qn_jv_truth(test))
            return exec_body(rt, env, arm->v, arm->n);
        if (i == n->m)
            break;
        arm = n->w[i];
    }
    return n->b ? exec_body(rt, env, n->b->v, n->b->n) : 0;
}

static int exec_with(qn_jrt *rt, qn_jenv *env, const qn_jnode *n)
{
    qn_jval v;

    QN_TRY(exec_enter(rt, env, n->x.scope));
    for (uint32_t i = 0; i < n->m; i += 2) {
        QN_TRY(qn_jrt_eval(rt, env, n->w[i + 1], &v));
        QN_TRY(qn_jrt_assign(rt, env, n->w[i], v));
    }
    int rc = exec_body(rt, env, n->v, n->n);
    exec_leave(env, n->x.scope);
    return rc;
}

static int exec_statement(qn_jrt *rt, qn_jenv *env, const qn_jnode *n)
{
    rt->line = n->line;
    switch ((qn_jkind)n->kind) {
    case QN_JN_OUTPUT: return exec_output(rt, env, n);
    case QN_JN_SET: return exec_set(rt, env, n);
    case QN_JN_SETBLOCK: return exec_set_block(rt, env, n);
    case QN_JN_IF: return exec_if(rt, env, n);
    case QN_JN_FOR: return exec_for(rt, env, n);
    case QN_JN_WITH:
    case QN_JN_SCOPE: return exec_with(rt, env, n);
    case QN_JN_MACRO:
        return exec_define(rt, env, n->x.fn, n->name,
                           qn_jenv_at(env, n->up, n->slot));
    case QN_JN_CALLBLOCK: return exec_call_block(rt, env, n);
    case QN_JN_GENERATION: return exec_generation(rt, env, n);
    case QN_JN_FILTERBLOCK: return exec_filter_block(rt, env, n);
    case QN_JN_BREAK: return EXEC_BREAK;
    case QN_JN_CONTINUE: return EXEC_CONTINUE;
    default: return qn_jrt_fail(rt, QN_EINTERNAL, "not a statement");
    }
}

static int exec_body(qn_jrt *rt, qn_jenv *env, qn_jnode *const *v, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        QN_TRY(qn_jrt_step(rt, 1));
        QN_TRY(qn_jrt_enter(rt));
        int rc = exec_statement(rt, env, v[i]);
        qn_jrt_leave(rt);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* ---- rendering ----------------------------------------------------------- */

static void exec_limits(qn_jinja_limits *l)
{
    if (!l->steps)
        l->steps = 50u * 1000 * 1000;
    if (!l->output)
        l->output = (size_t)64 << 20;
    if (!l->memory)
        l->memory = (size_t)512 << 20;
    if (!l->depth)
        l->depth = 2000;
}

static int exec_render(qn_jrt *rt, const json_t *context, qn_jval *out)
{
    const qn_jfn *root = &rt->t->root;
    qn_jval vars;
    qn_jsb sb = qn_jsb_new(rt);

    QN_TRY(qn_jv_from_json(rt, context, &vars));
    rt->context = vars.u.dict;
    sb.limit = rt->opts.limits.output;
    rt->sink = &sb;
    qn_jenv *env = exec_new_env(rt, root->n_slots, NULL);
    if (!env)
        return rt->rc;
    QN_TRY(exec_enter(rt, env, &root->scope));
    QN_TRY(exec_body(rt, env, root->body, root->n_body));
    return qn_jsb_done(&sb, out);
}

int qn_jinja_render(const qn_jinja *t, const json_t *context,
                    const qn_jinja_opts *opts, qn_str *out, qn_err *err)
{
    qn_arena arena;
    qn_jrt rt = {.t = t, .arena = &arena, .err = err, .line = 1};
    qn_jval text;

    if (!json_is_object(context))
        return qn_fail(err, QN_EINVAL,
                       "template %s: the context is not a JSON object",
                       t->name);
    if (opts)
        rt.opts = *opts;
    exec_limits(&rt.opts.limits);
    qn_arena_init(&arena);
    int rc = exec_render(&rt, context, &text);
    if (rc == 0)
        qn_str_add(out, text.u.s, text.n);
    qn_arena_deinit(&arena);
    return rc;
}
