/* jinja_call.c - calling what can be called.
 *
 * A builtin says its parameters in a line of text ("old new | count"); the
 * arguments are put in their places here, with Python's complaints. */
#include "text/jinja_rt.h"

const qn_jfunc *qn_jfunc_find(const qn_jfunc *rows, size_t n, qn_view name)
{
    for (size_t i = 0; i < n; i++)
        if (qn_view_eqs(name, rows[i].name))
            return &rows[i];
    return NULL;
}

typedef struct call_spec {
    qn_view name[QN_JARGS_MAX];
    uint32_t n, required;
    bool positional;
} call_spec;

static void call_parse_spec(const char *text, call_spec *s)
{
    *s = (call_spec){0};
    s->required = UINT32_MAX;
    while (*text) {
        size_t n = strcspn(text, " ");
        if (*text == '/')
            s->positional = true;
        else if (*text == '|')
            s->required = s->n;
        else if (n && s->n < QN_JARGS_MAX)
            s->name[s->n++] = qn_view_of(text, n);
        text += n + (text[n] == ' ');
    }
    s->required = QN_MIN(s->required, s->n);
}

static int call_bind_kw(qn_jrt *rt, const qn_jfunc *f, const call_spec *s,
                        const qn_jkw *kw, qn_jval *to)
{
    int n = (int)QN_MIN(kw->name.n, (size_t)60);

    for (uint32_t i = 0; i < s->n && !s->positional; i++) {
        if (!qn_view_eq(s->name[i], kw->name))
            continue;
        if (to[i].type != QN_J_MISSING)
            return qn_jrt_fail(rt, QN_EINVAL,
                               "%s() got multiple values for argument '%.*s'",
                               f->name, n, kw->name.p);
        to[i] = kw->value;
        return 0;
    }
    return qn_jrt_fail(rt, QN_EINVAL,
                       "%s() got an unexpected keyword argument '%.*s'",
                       f->name, n, kw->name.p);
}

static int call_bind(qn_jrt *rt, const qn_jfunc *f, const qn_jargs *a,
                     qn_jval *to, uint32_t *n_params)
{
    call_spec s;

    call_parse_spec(f->spec ? f->spec : "", &s);
    if (a->n_pos > s.n)
        return qn_jrt_fail(rt, QN_EINVAL,
                           "%s() takes at most %u arguments (%u given)",
                           f->name, (unsigned)s.n, (unsigned)a->n_pos);
    for (uint32_t i = 0; i < s.n; i++)
        to[i] = i < a->n_pos ? a->pos[i] : (qn_jval){.type = QN_J_MISSING};
    for (uint32_t i = 0; i < a->n_kw; i++)
        QN_TRY(call_bind_kw(rt, f, &s, &a->kw[i], to));
    for (uint32_t i = 0; i < s.required; i++)
        if (to[i].type == QN_J_MISSING)
            return qn_jrt_fail(rt, QN_EINVAL, "%s() misses the argument '%.*s'",
                               f->name, (int)s.name[i].n, s.name[i].p);
    *n_params = s.n;
    return 0;
}

/* What a method of Markup gives is Markup, or holds it. */
static void call_keep_markup(qn_jval *v)
{
    if (v->type == QN_J_STR)
        v->flags |= QN_JF_MARKUP;
    else if (qn_jv_is_seq(*v))
        for (uint32_t i = 0; i < v->u.list->n; i++)
            v->u.list->v[i].flags |= QN_JF_MARKUP;
}

int qn_jrt_call_builtin(qn_jrt *rt, const qn_jfunc *f, qn_jval self,
                        const qn_jargs *a, qn_jval *out)
{
    qn_jval bound[QN_JARGS_MAX];
    qn_jargs args = {.pos = bound};

    if (!f->fn)
        return qn_jrt_fail(rt, QN_EUNSUP, "'%s' is not supported", f->name);
    if ((f->flags & QN_JFN_ESCAPES) && qn_jv_is_markup(self))
        return qn_jrt_fail(rt, QN_EUNSUP, "'%s' of Markup", f->name);
    if (self.type == QN_J_STR)
        QN_TRY(qn_jrt_pay(rt, self.n));
    if (f->spec && f->spec[0] == '*') {
        QN_TRY(f->fn(rt, self, a, out));
    } else {
        QN_TRY(call_bind(rt, f, a, bound, &args.n_pos));
        QN_TRY(f->fn(rt, self, &args, out));
    }
    if ((f->flags & QN_JFN_KEEP) && qn_jv_is_markup(self))
        call_keep_markup(out);
    return 0;
}

/* cycler.next() and joiner() live here: they are calls and nothing else. */
static int call_joiner(qn_jrt *rt, qn_jval v, const qn_jargs *a, qn_jval *out)
{
    if (a->n_pos || a->n_kw)
        return qn_jrt_fail(rt, QN_EINVAL, "a joiner takes no arguments");
    *out = v.u.cycler->pos ? v.u.cycler->items : qn_jv_cstr("");
    v.u.cycler->pos = 1;
    return 0;
}

int qn_jrt_call(qn_jrt *rt, qn_jval callee, const qn_jargs *a, qn_jval *out)
{
    int rc;

    QN_TRY(qn_jrt_step(rt, 1));
    QN_TRY(qn_jrt_enter(rt));
    switch ((qn_jtype)callee.type) {
    case QN_J_MACRO: rc = qn_jrt_call_macro(rt, callee, a, out); break;
    case QN_J_FUNC:
        rc = qn_jrt_call_builtin(rt, callee.u.func, qn_jv_none(), a, out);
        break;
    case QN_J_BOUND:
        rc = qn_jrt_call_builtin(rt, callee.u.bound->fn, callee.u.bound->self,
                                 a, out);
        break;
    case QN_J_LOOP: rc = qn_jrt_call_loop(rt, callee, a, out); break;
    case QN_J_JOINER: rc = call_joiner(rt, callee, a, out); break;
    case QN_J_UNDEF: rc = qn_jrt_fail_undef(rt, callee); break;
    default:
        rc = qn_jrt_fail(rt, QN_EINVAL, "'%s' object is not callable",
                         qn_jv_type_name(callee));
    }
    qn_jrt_leave(rt);
    return rc;
}

/* ---- reading arguments --------------------------------------------------- */

int qn_jarg_int(qn_jrt *rt, qn_jval v, const char *what, int64_t *out)
{
    if (v.type == QN_J_MISSING || qn_jv_as_int(v, out))
        return 0;
    if (v.type == QN_J_UNDEF)
        return qn_jrt_fail_undef(rt, v);
    return qn_jrt_fail(rt, QN_EINVAL, "%s must be an integer, not '%s'", what,
                       qn_jv_type_name(v));
}

int qn_jarg_str(qn_jrt *rt, qn_jval v, const char *what, qn_view *out)
{
    if (v.type == QN_J_MISSING)
        return 0;
    if (v.type == QN_J_STR) {
        *out = qn_jv_text(v);
        return 0;
    }
    if (v.type == QN_J_UNDEF)
        return qn_jrt_fail_undef(rt, v);
    return qn_jrt_fail(rt, QN_EINVAL, "%s must be a string, not '%s'", what,
                       qn_jv_type_name(v));
}
