/* jinja_fseq.c - filters on sequences.
 *
 * map, select and their like give generators, which do nothing (and find no
 * fault) before somebody reads them. */
#include "text/jinja_methods.h"
#include "text/jinja_text.h"

/* ---- keys ---------------------------------------------------------------- */

/* What to compare an item by: an attribute path, and case or not. */
typedef struct fseq_key {
    qn_jval path, otherwise;
    bool case_sensitive;
} fseq_key;

static int fseq_fold(qn_jrt *rt, bool case_sensitive, qn_jval *v)
{
    qn_jargs none = {0};

    if (case_sensitive || v->type != QN_J_STR)
        return 0;
    return qn_jrt_call_builtin(rt, qn_jinja_filter(qn_view_cstr("lower")), *v,
                               &none, v);
}

static int fseq_key_of(qn_jrt *rt, const fseq_key *k, qn_jval item,
                       qn_jval *out)
{
    QN_TRY(qn_jrt_path(rt, item, k->path, k->otherwise, out));
    return fseq_fold(rt, k->case_sensitive, out);
}

static fseq_key fseq_key_new(qn_jval path, qn_jval case_sensitive)
{
    return (fseq_key){.path = path,
                      .otherwise = {.type = QN_J_MISSING},
                      .case_sensitive = qn_jarg_truth(case_sensitive, false)};
}

/* Keys for all of l, next to it. */
static int fseq_keys(qn_jrt *rt, const fseq_key *k, const qn_jlist *l,
                     qn_jlist **out)
{
    QN_TRY(qn_jv_list_new(rt, l->n, out));
    for (uint32_t i = 0; i < l->n; i++)
        QN_TRY(fseq_key_of(rt, k, l->v[i], &(*out)->v[i]));
    (*out)->n = l->n;
    return 0;
}

/* ---- generators ---------------------------------------------------------- */

/* Filter or test with its arguments, copied so that they outlive the call. */
typedef struct fseq_apply {
    const qn_jfunc *fn;
    qn_jval name; /* of the filter or test; MISSING: none   */
    qn_jargs args;
    qn_jval path, otherwise;
    bool by_path; /* map: the attribute is the result       */
    bool want;    /* select: keep what tests so             */
    bool started;
} fseq_apply;

static int fseq_copy_args(qn_jrt *rt, const qn_jargs *a, uint32_t skip,
                          qn_jargs *out)
{
    skip = QN_MIN(skip, a->n_pos);
    qn_jval *pos = qn_jrt_array(rt, a->n_pos - skip + 1, sizeof *pos);
    qn_jkw *kw = pos ? qn_jrt_array(rt, a->n_kw + 1, sizeof *kw) : NULL;
    if (!kw)
        return rt->rc;
    if (a->n_pos > skip)
        memcpy(pos, a->pos + skip, (a->n_pos - skip) * sizeof *pos);
    if (a->n_kw)
        memcpy(kw, a->kw, a->n_kw * sizeof *kw);
    *out = (qn_jargs){pos, a->n_pos - skip, kw, a->n_kw};
    return 0;
}

static int fseq_lookup(qn_jrt *rt, fseq_apply *s, bool filter)
{
    if (s->name.type == QN_J_STR)
        s->fn = filter ? qn_jinja_filter(qn_jv_text(s->name))
                       : qn_jinja_is_test(qn_jv_text(s->name));
    if (s->fn)
        return 0;
    qn_view n = s->name.type == QN_J_STR
                    ? qn_jv_text(s->name)
                    : qn_view_cstr(qn_jv_type_name(s->name));
    return qn_jrt_fail(rt, QN_EINVAL, "no %s named '%.*s'",
                       filter ? "filter" : "test", (int)QN_MIN(n.n, (size_t)60),
                       n.p);
}

/* The next item of what the generator reads; an empty source is never looked
 * at closer. */
static int fseq_source(qn_jrt *rt, qn_jiter *it, qn_jval *out)
{
    if (!it->in) {
        if (!qn_jv_truth(it->src))
            return 0;
        QN_TRY(qn_jv_iter(rt, it->src, &it->in));
    }
    return qn_jv_next(rt, it->in, out);
}

static int fseq_map_start(qn_jrt *rt, fseq_apply *s)
{
    const qn_jargs *a = &s->args;

    s->started = true;
    s->path = s->otherwise = qn_jv_none();
    for (uint32_t i = 0; i < a->n_kw && a->n_pos == 0; i++)
        s->by_path |= qn_view_eqs(a->kw[i].name, "attribute");
    if (!s->by_path) {
        if (a->n_pos == 0)
            return qn_jrt_fail(rt, QN_EINVAL, "map requires a filter argument");
        s->name = a->pos[0];
        s->args.pos++;
        s->args.n_pos--;
        return 0;
    }
    for (uint32_t i = 0; i < a->n_kw; i++) {
        qn_view n = a->kw[i].name;
        if (qn_view_eqs(n, "attribute"))
            s->path = a->kw[i].value;
        else if (qn_view_eqs(n, "default"))
            s->otherwise = a->kw[i].value;
        else
            return qn_jrt_fail(rt, QN_EINVAL,
                               "unexpected keyword argument '%.*s'",
                               (int)QN_MIN(n.n, (size_t)60), n.p);
    }
    return 0;
}

static int fseq_map_next(qn_jrt *rt, qn_jiter *it, qn_jval *out)
{
    fseq_apply *s = (fseq_apply *)(uintptr_t)it->state;
    qn_jval item;

    if (!s->started && qn_jv_truth(it->src))
        QN_TRY(fseq_map_start(rt, s));
    int rc = fseq_source(rt, it, &item);
    if (rc <= 0)
        return rc;
    if (s->by_path) {
        QN_TRY(qn_jrt_path(rt, item, s->path, s->otherwise, out));
        return 1;
    }
    if (!s->fn)
        QN_TRY(fseq_lookup(rt, s, true));
    QN_TRY(qn_jrt_call_builtin(rt, s->fn, item, &s->args, out));
    return 1;
}

static int fseq_new_apply(qn_jrt *rt, const qn_jargs *a, uint32_t skip,
                          fseq_apply **out)
{
    fseq_apply *s = qn_jrt_alloc(rt, sizeof *s);
    if (!s)
        return rt->rc;
    *s = (fseq_apply){.name = {.type = QN_J_MISSING}};
    QN_TRY(fseq_copy_args(rt, a, skip, &s->args));
    *out = s;
    return 0;
}

static int fseq_map(qn_jrt *rt, qn_jval self, const qn_jargs *a, qn_jval *out)
{
    fseq_apply *s;

    QN_TRY(fseq_new_apply(rt, a, 0, &s));
    return qn_jv_generator(rt, fseq_map_next, self, s, out);
}

static int fseq_select_start(qn_jrt *rt, fseq_apply *s)
{
    s->started = true;
    if (s->by_path) {
        if (s->args.n_pos == 0)
            return qn_jrt_fail(rt, QN_EINVAL,
                               "missing parameter for attribute name");
        s->path = s->args.pos[0];
        s->args.pos++;
        s->args.n_pos--;
    }
    if (s->args.n_pos) {
        s->name = s->args.pos[0];
        s->args.pos++;
        s->args.n_pos--;
    }
    return 0;
}

static int fseq_select_next(qn_jrt *rt, qn_jiter *it, qn_jval *out)
{
    fseq_apply *s = (fseq_apply *)(uintptr_t)it->state;
    qn_jval item, v;
    int rc;

    if (!s->started && qn_jv_truth(it->src))
        QN_TRY(fseq_select_start(rt, s));
    while ((rc = fseq_source(rt, it, &item)) > 0) {
        v = item;
        if (s->by_path)
            QN_TRY(qn_jrt_path(rt, item, s->path, qn_jv_none(), &v));
        if (s->name.type != QN_J_MISSING) {
            if (!s->fn)
                QN_TRY(fseq_lookup(rt, s, false));
            QN_TRY(qn_jrt_call_builtin(rt, s->fn, v, &s->args, &v));
        }
        if (qn_jv_truth(v) == s->want) {
            *out = item;
            return 1;
        }
    }
    return rc;
}

static int fseq_selecting(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                          bool want, bool by_path, qn_jval *out)
{
    fseq_apply *s;

    QN_TRY(fseq_new_apply(rt, a, 0, &s));
    s->want = want;
    s->by_path = by_path;
    return qn_jv_generator(rt, fseq_select_next, self, s, out);
}

static int fseq_select(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                       qn_jval *out)
{
    return fseq_selecting(rt, self, a, true, false, out);
}

static int fseq_reject(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                       qn_jval *out)
{
    return fseq_selecting(rt, self, a, false, false, out);
}

static int fseq_selectattr(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                           qn_jval *out)
{
    return fseq_selecting(rt, self, a, true, true, out);
}

static int fseq_rejectattr(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                           qn_jval *out)
{
    return fseq_selecting(rt, self, a, false, true, out);
}

typedef struct fseq_seen {
    fseq_key key;
    qn_jdict *seen;
} fseq_seen;

static int fseq_unique_next(qn_jrt *rt, qn_jiter *it, qn_jval *out)
{
    const fseq_seen *s = it->state;
    int rc;

    if (!it->in)
        QN_TRY(qn_jv_iter(rt, it->src, &it->in));
    while ((rc = qn_jv_next(rt, it->in, out)) > 0) {
        qn_jval key;
        QN_TRY(fseq_key_of(rt, &s->key, *out, &key));
        rc = qn_jv_dict_find(rt, s->seen, key, NULL);
        if (rc < 0)
            return rc;
        if (rc)
            continue;
        QN_TRY(qn_jv_dict_put(rt, s->seen, key, qn_jv_none()));
        return 1;
    }
    return rc;
}

static int fseq_unique(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                       qn_jval *out)
{
    fseq_seen *s = qn_jrt_alloc(rt, sizeof *s);

    if (!s)
        return rt->rc;
    s->key = fseq_key_new(a->pos[1], a->pos[0]);
    QN_TRY(qn_jv_dict_new(rt, &s->seen));
    return qn_jv_generator(rt, fseq_unique_next, self, s, out);
}

static int fseq_items_next(qn_jrt *rt, qn_jiter *it, qn_jval *out)
{
    if (!it->in) {
        qn_jval v = it->src;
        if (v.type == QN_J_UNDEF)
            return 0;
        if (v.type != QN_J_DICT)
            return qn_jrt_fail(rt, QN_EINVAL,
                               "Can only get item pairs from a mapping.");
        v.type = QN_J_VIEW;
        v.aux = QN_JVIEW_ITEMS;
        QN_TRY(qn_jv_iter(rt, v, &it->in));
    }
    return qn_jv_next(rt, it->in, out);
}

static int fseq_items(qn_jrt *rt, qn_jval self, const qn_jargs *a, qn_jval *out)
{
    (void)a;
    return qn_jv_generator(rt, fseq_items_next, self, NULL, out);
}

typedef struct fseq_rows {
    int64_t n;
    qn_jval fill;
    qn_jlist *row; /* batch: the one being filled; slice: all items */
} fseq_rows;

static int fseq_fill(qn_jrt *rt, const fseq_rows *s, qn_jlist *row)
{
    if (s->fill.type == QN_J_MISSING || s->fill.type == QN_J_NONE)
        return 0;
    while (row->n < s->n)
        QN_TRY(qn_jv_list_push(rt, row, s->fill));
    return 0;
}

static int fseq_batch_next(qn_jrt *rt, qn_jiter *it, qn_jval *out)
{
    fseq_rows *s = (fseq_rows *)(uintptr_t)it->state;
    qn_jval item;
    int rc;

    if (!it->in)
        QN_TRY(qn_jv_iter(rt, it->src, &it->in));
    while ((rc = qn_jv_next(rt, it->in, &item)) > 0) {
        bool full = s->row->n == s->n;
        if (full) {
            *out = qn_jv_ptr(QN_J_LIST, s->row);
            QN_TRY(qn_jv_list_new(rt, 0, &s->row));
        }
        QN_TRY(qn_jv_list_push(rt, s->row, item));
        if (full)
            return 1;
    }
    if (rc < 0 || s->row->n == 0)
        return rc;
    QN_TRY(fseq_fill(rt, s, s->row));
    *out = qn_jv_ptr(QN_J_LIST, s->row);
    QN_TRY(qn_jv_list_new(rt, 0, &s->row));
    return 1;
}

static int fseq_slice_next(qn_jrt *rt, qn_jiter *it, qn_jval *out)
{
    fseq_rows *s = (fseq_rows *)(uintptr_t)it->state;
    qn_jlist *row;

    if (!s->row)
        QN_TRY(qn_jv_to_list(rt, it->src, &s->row));
    if (s->n == 0)
        return qn_jrt_fail(rt, QN_EINVAL, "division by zero");
    if (it->i >= s->n)
        return 0;
    /* The first (length % n) slices have one more. */
    int64_t per = s->row->n / s->n, extra = s->row->n % s->n;
    int64_t from = it->i * per + QN_MIN(it->i, extra);
    int64_t count = per + (it->i < extra);
    QN_TRY(qn_jv_list_new(rt, (uint32_t)count + 1, &row));
    for (int64_t i = 0; i < count; i++)
        row->v[row->n++] = s->row->v[from + i];
    bool fills = s->fill.type != QN_J_MISSING && s->fill.type != QN_J_NONE;
    if (fills && it->i >= extra)
        row->v[row->n++] = s->fill;
    QN_TRY(qn_jrt_pay(rt, (size_t)count));
    it->i++;
    *out = qn_jv_ptr(QN_J_LIST, row);
    return 1;
}

static int fseq_rows_of(qn_jrt *rt, qn_jval self, const qn_jargs *a, bool batch,
                        qn_jval *out)
{
    fseq_rows *s = qn_jrt_alloc(rt, sizeof *s);

    if (!s)
        return rt->rc;
    *s = (fseq_rows){.fill = a->pos[1]};
    QN_TRY(qn_jarg_int(rt, a->pos[0], "the count", &s->n));
    if (batch)
        QN_TRY(qn_jv_list_new(rt, 0, &s->row));
    return qn_jv_generator(rt, batch ? fseq_batch_next : fseq_slice_next, self,
                           s, out);
}

static int fseq_batch(qn_jrt *rt, qn_jval self, const qn_jargs *a, qn_jval *out)
{
    return fseq_rows_of(rt, self, a, true, out);
}

static int fseq_slice(qn_jrt *rt, qn_jval self, const qn_jargs *a, qn_jval *out)
{
    return fseq_rows_of(rt, self, a, false, out);
}

/* ---- one value from many ------------------------------------------------- */

static int fseq_list(qn_jrt *rt, qn_jval self, const qn_jargs *a, qn_jval *out)
{
    qn_jlist *l;

    (void)a;
    QN_TRY(qn_jv_to_list(rt, self, &l));
    *out = qn_jv_ptr(QN_J_LIST, l);
    return 0;
}

static int fseq_first(qn_jrt *rt, qn_jval self, const qn_jargs *a, qn_jval *out)
{
    qn_jiter *it;

    (void)a;
    QN_TRY(qn_jv_iter(rt, self, &it));
    int rc = qn_jv_next(rt, it, out);
    if (rc != 0)
        return QN_MIN(rc, 0);
    return qn_jrt_undef_hint(rt, "No first item, sequence was empty.", out);
}

static int fseq_last(qn_jrt *rt, qn_jval self, const qn_jargs *a, qn_jval *out)
{
    qn_jval back;

    (void)a;
    QN_TRY(qn_jv_reversed(rt, self, &back));
    int rc = qn_jv_next(rt, back.u.iter, out);
    if (rc != 0)
        return QN_MIN(rc, 0);
    return qn_jrt_undef_hint(rt, "No last item, sequence was empty.", out);
}

static int fseq_reverse(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                        qn_jval *out)
{
    int64_t n;

    (void)a;
    if (self.type == QN_J_STR) {
        QN_TRY(qn_jv_len(rt, self, &n));
        return qn_jtext_slice(rt, self, QN_MAX(n - 1, 0), -1, n, out);
    }
    if (self.type != QN_J_ITER)
        return qn_jv_reversed(rt, self, out);
    qn_jlist *l;
    QN_TRY(qn_jv_to_list(rt, self, &l));
    for (uint32_t i = 0; i < l->n / 2; i++) {
        qn_jval t = l->v[i];
        l->v[i] = l->v[l->n - 1 - i];
        l->v[l->n - 1 - i] = t;
    }
    *out = qn_jv_ptr(QN_J_LIST, l);
    return 0;
}

static int fseq_join(qn_jrt *rt, qn_jval self, const qn_jargs *a, qn_jval *out)
{
    qn_jsb sb = qn_jsb_new(rt);
    qn_jval sep = qn_jv_str("", 0), x;
    qn_jiter *it;
    int rc, n = 0;

    if (qn_jarg_given(a->pos[0]))
        QN_TRY(qn_jv_to_str(rt, a->pos[0], &sep));
    QN_TRY(qn_jv_iter(rt, self, &it));
    while ((rc = qn_jv_next(rt, it, &x)) > 0) {
        QN_TRY(qn_jrt_path(rt, x, a->pos[1], qn_jv_none(), &x));
        if (n++)
            qn_jsb_add(&sb, sep.u.s, sep.n);
        QN_TRY(qn_jv_str_to(rt, x, &sb));
    }
    return rc < 0 ? rc : qn_jsb_done(&sb, out);
}

static int fseq_sum(qn_jrt *rt, qn_jval self, const qn_jargs *a, qn_jval *out)
{
    qn_jval x, total = qn_jarg_given(a->pos[1]) ? a->pos[1] : qn_jv_int(0);
    qn_jiter *it;
    int rc;

    if (total.type == QN_J_STR)
        return qn_jrt_fail(rt, QN_EINVAL, "sum() can't sum strings");
    QN_TRY(qn_jv_iter(rt, self, &it));
    while ((rc = qn_jv_next(rt, it, &x)) > 0) {
        QN_TRY(qn_jrt_path(rt, x, a->pos[0], qn_jv_none(), &x));
        QN_TRY(qn_jv_binary(rt, '+', total, x, &total));
    }
    *out = total;
    return rc;
}

static int fseq_extreme(qn_jrt *rt, qn_jval self, const qn_jargs *a, char op,
                        qn_jval *out)
{
    fseq_key k = fseq_key_new(a->pos[1], a->pos[0]);
    qn_jval x, key, best;
    qn_jiter *it;
    int rc;

    QN_TRY(qn_jv_iter(rt, self, &it));
    rc = qn_jv_next(rt, it, out);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return qn_jrt_undef_hint(rt, "No aggregated item, sequence was empty.",
                                 out);
    QN_TRY(fseq_key_of(rt, &k, *out, &best));
    while ((rc = qn_jv_next(rt, it, &x)) > 0) {
        QN_TRY(fseq_key_of(rt, &k, x, &key));
        rc = qn_jv_order(rt, op, key, best);
        if (rc < 0)
            return rc;
        if (rc) {
            *out = x;
            best = key;
        }
    }
    return rc;
}

static int fseq_min(qn_jrt *rt, qn_jval self, const qn_jargs *a, qn_jval *out)
{
    return fseq_extreme(rt, self, a, '<', out);
}

static int fseq_max(qn_jrt *rt, qn_jval self, const qn_jargs *a, qn_jval *out)
{
    return fseq_extreme(rt, self, a, '>', out);
}

/* ---- sorting ------------------------------------------------------------- */

/* The key of |sort: a list, one element per comma-separated path. */
static int fseq_sort_key(qn_jrt *rt, qn_jval item, qn_jval paths, bool cased,
                         qn_jval *out)
{
    qn_view rest = paths.type == QN_J_STR ? qn_jv_text(paths) : (qn_view){0};
    qn_jlist *l;

    QN_TRY(qn_jv_list_new(rt, 1, &l));
    for (;;) {
        const char *comma = rest.n ? memchr(rest.p, ',', rest.n) : NULL;
        size_t n = comma ? (size_t)(comma - rest.p) : rest.n;
        qn_jval path = paths, key;
        if (paths.type == QN_J_STR)
            path = qn_jv_str(rest.p, n);
        QN_TRY(qn_jrt_path(rt, item, path, qn_jv_none(), &key));
        QN_TRY(fseq_fold(rt, cased, &key));
        QN_TRY(qn_jv_list_push(rt, l, key));
        if (!comma)
            break;
        rest = qn_view_of(comma + 1, rest.n - n - 1);
    }
    *out = qn_jv_ptr(QN_J_LIST, l);
    return 0;
}

static int fseq_sort(qn_jrt *rt, qn_jval self, const qn_jargs *a, qn_jval *out)
{
    bool cased = qn_jarg_truth(a->pos[1], false);
    qn_jlist *l, *keys;

    QN_TRY(qn_jv_to_list(rt, self, &l));
    QN_TRY(qn_jv_list_new(rt, l->n, &keys));
    for (uint32_t i = 0; i < l->n; i++)
        QN_TRY(fseq_sort_key(rt, l->v[i], a->pos[2], cased, &keys->v[i]));
    QN_TRY(
        qn_jv_sort(rt, l->v, keys->v, l->n, qn_jarg_truth(a->pos[0], false)));
    *out = qn_jv_ptr(QN_J_LIST, l);
    return 0;
}

static int fseq_dictsort(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                         qn_jval *out)
{
    bool cased = qn_jarg_truth(a->pos[0], false);
    qn_view by = {"key", 3};
    qn_jlist *l, *keys;

    QN_TRY(qn_jarg_str(rt, a->pos[1], "by", &by));
    bool value = qn_view_eqs(by, "value");
    if (!value && !qn_view_eqs(by, "key"))
        return qn_jrt_fail(rt, QN_EINVAL,
                           "You can only sort by either \"key\" or \"value\"");
    if (self.type == QN_J_UNDEF)
        return qn_jrt_fail_undef(rt, self);
    if (self.type != QN_J_DICT)
        return qn_jrt_fail(rt, QN_EINVAL, "dictsort of a '%s'",
                           qn_jv_type_name(self));
    const qn_jdict *d = self.u.dict;
    QN_TRY(qn_jv_list_new(rt, d->n, &l));
    QN_TRY(qn_jv_list_new(rt, d->n, &keys));
    for (; l->n < d->n; l->n++) {
        const struct qn_jpair *p = &d->v[l->n];
        QN_TRY(qn_jv_tuple2(rt, p->key, p->value, &l->v[l->n]));
        keys->v[l->n] = value ? p->value : p->key;
        QN_TRY(fseq_fold(rt, cased, &keys->v[l->n]));
    }
    QN_TRY(
        qn_jv_sort(rt, l->v, keys->v, l->n, qn_jarg_truth(a->pos[2], false)));
    *out = qn_jv_ptr(QN_J_LIST, l);
    return 0;
}

static int fseq_group(qn_jrt *rt, qn_jval key, qn_jlist *members, qn_jlist *out)
{
    qn_jval g;

    QN_TRY(qn_jv_tuple2(rt, key, qn_jv_ptr(QN_J_LIST, members), &g));
    g.flags |= QN_JF_GROUP;
    return qn_jv_list_push(rt, out, g);
}

static int fseq_groupby(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                        qn_jval *out)
{
    fseq_key k = fseq_key_new(a->pos[0], a->pos[2]);
    qn_jlist *l, *keys, *groups, *members = NULL;
    qn_jval shown = qn_jv_none(), last = qn_jv_none(), key;

    k.otherwise = a->pos[1];
    QN_TRY(qn_jv_to_list(rt, self, &l));
    QN_TRY(fseq_keys(rt, &k, l, &keys));
    QN_TRY(qn_jv_sort(rt, l->v, keys->v, l->n, false));
    QN_TRY(qn_jv_list_new(rt, 4, &groups));
    for (uint32_t i = 0; i < l->n; i++) {
        QN_TRY(fseq_key_of(rt, &k, l->v[i], &key));
        int same = members ? qn_jv_equal(rt, last, key) : 0;
        if (same < 0)
            return same;
        if (!same) {
            if (members)
                QN_TRY(fseq_group(rt, shown, members, groups));
            QN_TRY(qn_jv_list_new(rt, 4, &members));
            last = key;
            QN_TRY(qn_jrt_path(rt, l->v[i], k.path, k.otherwise, &shown));
        }
        QN_TRY(qn_jv_list_push(rt, members, l->v[i]));
    }
    if (members)
        QN_TRY(fseq_group(rt, shown, members, groups));
    *out = qn_jv_ptr(QN_J_LIST, groups);
    return 0;
}

static const qn_jfunc fseq_table[] = {
    {"batch", fseq_batch, "linecount | fill_with", 0},
    {"dictsort", fseq_dictsort, "| case_sensitive by reverse", 0},
    {"first", fseq_first, "", 0},
    {"groupby", fseq_groupby, "attribute | default case_sensitive", 0},
    {"items", fseq_items, "", 0},
    {"join", fseq_join, "| d attribute", 0},
    {"last", fseq_last, "", 0},
    {"list", fseq_list, "", 0},
    {"map", fseq_map, "*", 0},
    {"max", fseq_max, "| case_sensitive attribute", 0},
    {"min", fseq_min, "| case_sensitive attribute", 0},
    {"reject", fseq_reject, "*", 0},
    {"rejectattr", fseq_rejectattr, "*", 0},
    {"reverse", fseq_reverse, "", 0},
    {"select", fseq_select, "*", 0},
    {"selectattr", fseq_selectattr, "*", 0},
    {"slice", fseq_slice, "slices | fill_with", 0},
    {"sort", fseq_sort, "| reverse case_sensitive attribute", 0},
    {"sum", fseq_sum, "| attribute start", 0},
    {"unique", fseq_unique, "| case_sensitive attribute", 0},
};

const qn_jfunc *qn_jinja_seq_filter(qn_view name)
{
    return qn_jfunc_find(fseq_table, QN_COUNTOF(fseq_table), name);
}
