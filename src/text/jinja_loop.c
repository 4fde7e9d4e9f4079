/* jinja_loop.c - the loop variable. Looking at last, nextitem or length reads
 * ahead, as in Jinja: what is read is kept for the iterations to come. */
#include "text/jinja_eval.h"

int qn_jloop_new(qn_jrt *rt, qn_jval over, int64_t depth0, qn_jloop **out)
{
    qn_jval missing = {.type = QN_J_MISSING};
    qn_jloop *l = qn_jrt_alloc(rt, sizeof *l);

    if (!l)
        return rt->rc;
    *l = (qn_jloop){.over = over,
                    .length = -1,
                    .index0 = -1,
                    .depth0 = depth0,
                    .after = missing,
                    .current = missing,
                    .before = missing,
                    .changed = missing};
    QN_TRY(qn_jv_iter(rt, over, &l->it));
    *out = l;
    return 0;
}

int qn_jloop_next(qn_jrt *rt, qn_jloop *l, qn_jval *out)
{
    if (l->after.type != QN_J_MISSING) {
        *out = l->after;
        l->after.type = QN_J_MISSING;
    } else {
        int rc = qn_jv_next(rt, l->it, out);
        if (rc <= 0)
            return rc;
    }
    l->index0++;
    l->before = l->current;
    l->current = *out;
    return 1;
}

/* 1: l->after is the next item; 0: there is none. */
static int loop_peek(qn_jrt *rt, qn_jloop *l)
{
    if (l->after.type != QN_J_MISSING)
        return 1;
    int rc = qn_jv_next(rt, l->it, &l->after);
    if (rc <= 0)
        l->after.type = QN_J_MISSING;
    return rc;
}

static int loop_length(qn_jrt *rt, qn_jloop *l)
{
    if (l->length >= 0)
        return 0;
    if (l->over.type != QN_J_ITER)
        return qn_jv_len(rt, l->over, &l->length);
    qn_jlist *rest;
    qn_jval src = qn_jv_ptr(QN_J_ITER, l->it);
    QN_TRY(qn_jv_to_list(rt, src, &rest));
    l->length = rest->n + l->index0 + 1 + (l->after.type != QN_J_MISSING);
    return qn_jv_iter(rt, qn_jv_ptr(QN_J_LIST, rest), &l->it);
}

static int loop_neighbour(qn_jrt *rt, qn_jloop *l, bool next, qn_jval *out)
{
    if (!next) {
        if (l->index0 == 0)
            return qn_jrt_undef_hint(rt, "there is no previous item", out);
        *out = l->before;
        return 0;
    }
    int rc = loop_peek(rt, l);
    if (rc == 0)
        return qn_jrt_undef_hint(rt, "there is no next item", out);
    *out = l->after;
    return QN_MIN(rc, 0);
}

/* ---- methods ------------------------------------------------------------- */

static int loop_cycle(qn_jrt *rt, qn_jval self, const qn_jargs *a, qn_jval *out)
{
    if (a->n_pos == 0 || a->n_kw)
        return qn_jrt_fail(rt, QN_EINVAL, "no items for cycling given");
    *out = a->pos[self.u.loop->index0 % a->n_pos];
    return 0;
}

static int loop_changed(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                        qn_jval *out)
{
    qn_jloop *l = self.u.loop;
    qn_jlist *now;

    if (a->n_kw)
        return qn_jrt_fail(rt, QN_EINVAL, "changed() takes no keywords");
    QN_TRY(qn_jv_list_new(rt, a->n_pos, &now));
    for (uint32_t i = 0; i < a->n_pos; i++)
        now->v[now->n++] = a->pos[i];
    qn_jval v = qn_jv_ptr(QN_J_TUPLE, now);
    int same = l->changed.type == QN_J_MISSING ? 0
                                               : qn_jv_equal(rt, l->changed, v);
    if (same < 0)
        return same;
    if (!same)
        l->changed = v;
    *out = qn_jv_bool(!same);
    return 0;
}

static const qn_jfunc loop_methods[] = {
    {"changed", loop_changed, "*", 0},
    {"cycle", loop_cycle, "*", 0},
};

static int loop_method(qn_jrt *rt, qn_jval self, qn_view name, qn_jval *out)
{
    const qn_jfunc *fn = qn_jfunc_find(loop_methods, QN_COUNTOF(loop_methods),
                                       name);
    if (!fn)
        return 0;
    qn_jbound *b = qn_jrt_alloc(rt, sizeof *b);
    if (!b)
        return rt->rc;
    *b = (qn_jbound){self, fn};
    *out = qn_jv_ptr(QN_J_BOUND, b);
    return 1;
}

int qn_jrt_loop_attr(qn_jrt *rt, qn_jval self, qn_view name, qn_jval *out)
{
    qn_jloop *l = self.u.loop;
    int64_t v;
    int rc;

    if (qn_view_eqs(name, "index0")) {
        v = l->index0;
    } else if (qn_view_eqs(name, "index")) {
        v = l->index0 + 1;
    } else if (qn_view_eqs(name, "first")) {
        *out = qn_jv_bool(l->index0 == 0);
        return 1;
    } else if (qn_view_eqs(name, "last")) {
        rc = loop_peek(rt, l);
        *out = qn_jv_bool(rc == 0);
        return rc < 0 ? rc : 1;
    } else if (qn_view_eqs(name, "length")) {
        QN_TRY(loop_length(rt, l));
        v = l->length;
    } else if (qn_view_eqs(name, "revindex") ||
               qn_view_eqs(name, "revindex0")) {
        QN_TRY(loop_length(rt, l));
        v = l->length - l->index0 - (name.n == 9);
    } else if (qn_view_eqs(name, "previtem") || qn_view_eqs(name, "nextitem")) {
        rc = loop_neighbour(rt, l, name.p[0] == 'n', out);
        return rc < 0 ? rc : 1;
    } else if (qn_view_eqs(name, "depth") || qn_view_eqs(name, "depth0")) {
        v = l->depth0 + (name.n == 5);
    } else {
        return loop_method(rt, self, name, out);
    }
    *out = qn_jv_int(v);
    return 1;
}
