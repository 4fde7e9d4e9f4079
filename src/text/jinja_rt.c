/* jinja_rt.c - what every part of a rendering leans on: the error, the
 * limits, memory, and strings that grow in the arena. */
#include "text/jinja_rt.h"

#include "base/mem.h"
#include "base/utf8.h"
#include "text/jinja_ast.h"

#include <stdio.h>

int qn_jrt_fail(qn_jrt *rt, int code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    qn_vfail(rt->err, code, fmt, ap);
    va_end(ap);
    qn_err_prefix(rt->err, code, "template %s, line %u", rt->t->name,
                  (unsigned)rt->line);
    rt->rc = code;
    return code;
}

int qn_jrt_fail_undef(qn_jrt *rt, qn_jval v)
{
    const qn_jundef *u = v.u.undef;
    int n = (int)QN_MIN(u->name.n, (size_t)120);
    const char *p = u->name.p;

    switch (u->kind) {
    case QN_JU_NAME:
        return qn_jrt_fail(rt, QN_EINVAL, "'%.*s' is undefined", n, p);
    case QN_JU_ATTR:
        return qn_jrt_fail(rt, QN_EINVAL, "'%s' has no attribute '%.*s'",
                           u->owner, n, p);
    case QN_JU_ELEMENT:
        return qn_jrt_fail(rt, QN_EINVAL, "%s has no element %.*s", u->owner, n,
                           p);
    case QN_JU_UNSAFE:
        return qn_jrt_fail(rt, QN_EINVAL,
                           "access to attribute '%.*s' of '%s' is unsafe", n, p,
                           u->owner);
    case QN_JU_HINT: break;
    }
    return qn_jrt_fail(rt, QN_EINVAL, "%.*s", n, p);
}

int qn_jrt_fail_op(qn_jrt *rt, const char *op, qn_jval a, qn_jval b)
{
    if (a.type == QN_J_UNDEF)
        return qn_jrt_fail_undef(rt, a);
    if (b.type == QN_J_UNDEF)
        return qn_jrt_fail_undef(rt, b);
    return qn_jrt_fail(rt, QN_EINVAL,
                       "unsupported operand type(s) for %s: '%s' and '%s'", op,
                       qn_jv_type_name(a), qn_jv_type_name(b));
}

int qn_jrt_step(qn_jrt *rt, uint64_t cost)
{
    rt->steps += cost;
    if (rt->steps <= rt->opts.limits.steps)
        return 0;
    return qn_jrt_fail(rt, QN_ELIMIT, "more than %llu steps",
                       (unsigned long long)rt->opts.limits.steps);
}

int qn_jrt_enter(qn_jrt *rt)
{
    if (rt->depth >= rt->opts.limits.depth)
        return qn_jrt_fail(rt, QN_ELIMIT, "nested deeper than %u",
                           (unsigned)rt->opts.limits.depth);
    rt->depth++;
    return 0;
}

void *qn_jrt_alloc(qn_jrt *rt, size_t n)
{
    size_t limit = rt->opts.limits.memory;

    if (n > limit || rt->arena->total > limit - n) {
        qn_jrt_fail(rt, QN_ELIMIT, "needs more than %zu bytes of memory",
                    limit);
        return NULL;
    }
    return qn_arena_alloc(rt->arena, n);
}

void *qn_jrt_array(qn_jrt *rt, size_t n, size_t size)
{
    size_t bytes;

    if (!qn_mul_size(n, size, &bytes))
        bytes = SIZE_MAX;
    return qn_jrt_alloc(rt, bytes);
}

int qn_jrt_concat(qn_jrt *rt, qn_view a, qn_view b, qn_jval *out)
{
    QN_TRY(qn_jrt_pay(rt, b.n));
    if (b.n > UINT32_MAX - a.n)
        return qn_jrt_fail(rt, QN_ELIMIT, "a string of more than 4 GiB");
    /* When a ends where the newest concatenation ends, b fits behind it:
     * nobody can see the bytes beyond the end of his own view. */
    if (a.n && a.p + a.n == rt->cat_end && b.n <= rt->cat_room) {
        memcpy(rt->cat_end, b.p, b.n);
        rt->cat_end += b.n;
        rt->cat_room -= b.n;
        *out = qn_jv_str(a.p, a.n + b.n);
        return 0;
    }
    QN_TRY(qn_jrt_pay(rt, a.n));
    size_t n = a.n + b.n;
    char *p = qn_jrt_alloc(rt, n + n / 2 + 16);
    if (!p)
        return rt->rc;
    if (a.n)
        memcpy(p, a.p, a.n);
    if (b.n)
        memcpy(p + a.n, b.p, b.n);
    rt->cat_end = p + n;
    rt->cat_room = n / 2 + 16;
    *out = qn_jv_str(p, n);
    return 0;
}

int qn_jrt_undef(qn_jrt *rt, int kind, const char *owner, qn_view name,
                 qn_jval *out)
{
    qn_jundef *u = qn_jrt_alloc(rt, sizeof *u);
    if (!u)
        return rt->rc;
    u->kind = kind;
    u->owner = owner;
    u->name = name;
    *out = qn_jv_ptr(QN_J_UNDEF, u);
    return 0;
}

int qn_jrt_undef_hint(qn_jrt *rt, const char *hint, qn_jval *out)
{
    return qn_jrt_undef(rt, QN_JU_HINT, "", qn_view_cstr(hint), out);
}

/* ---- string builder ------------------------------------------------------ */

static bool jsb_reserve(qn_jsb *sb, size_t extra)
{
    if (sb->rc < 0)
        return false;
    if (extra <= sb->cap - sb->n)
        return true;
    size_t limit = sb->limit ? sb->limit : UINT32_MAX;
    if (extra > limit || sb->n > limit - extra) {
        sb->rc = qn_jrt_fail(sb->rt, QN_ELIMIT, "a text of more than %zu bytes",
                             limit);
        return false;
    }
    size_t cap = QN_MAX(sb->n + extra, sb->cap + sb->cap / 2);
    cap = QN_MAX(cap, (size_t)48);
    char *p = qn_jrt_alloc(sb->rt, cap);
    if (!p) {
        sb->rc = sb->rt->rc;
        return false;
    }
    if (sb->n)
        memcpy(p, sb->p, sb->n);
    sb->p = p;
    sb->cap = cap;
    return true;
}

void qn_jsb_add(qn_jsb *sb, const char *p, size_t n)
{
    if (n == 0 || !jsb_reserve(sb, n))
        return;
    int rc = qn_jrt_step(sb->rt, n / 16);
    if (rc < 0) {
        sb->rc = rc;
        return;
    }
    memcpy(sb->p + sb->n, p, n);
    sb->n += n;
}

void qn_jsb_addc(qn_jsb *sb, char c)
{
    if (jsb_reserve(sb, 1))
        sb->p[sb->n++] = c;
}

void qn_jsb_pad(qn_jsb *sb, char c, size_t n)
{
    if (n == 0 || !jsb_reserve(sb, n))
        return;
    int rc = qn_jrt_step(sb->rt, n / 16);
    if (rc < 0) {
        sb->rc = rc;
        return;
    }
    memset(sb->p + sb->n, c, n);
    sb->n += n;
}

void qn_jsb_cp(qn_jsb *sb, uint32_t cp)
{
    char buf[4];
    int n = qn_utf8_encode(cp, buf);
    qn_jsb_add(sb, buf, (size_t)n);
}

void qn_jsb_addf(qn_jsb *sb, const char *fmt, ...)
{
    char buf[128];
    va_list ap;

    va_start(ap, fmt);
    int n = vsnprintf(buf, sizeof buf, fmt, ap);
    va_end(ap);
    if (n > 0)
        qn_jsb_add(sb, buf, QN_MIN((size_t)n, sizeof buf - 1));
}

int qn_jsb_done(qn_jsb *sb, qn_jval *out)
{
    if (sb->rc < 0)
        return sb->rc;
    *out = qn_jv_str(sb->p ? sb->p : "", sb->n);
    return 0;
}
