/* jinja_strm.c - the methods of strings. */
#include "text/jinja_chars.h"
#include "text/jinja_text.h"

/* ---- case and stripping -------------------------------------------------- */

static int strm_case(qn_jrt *rt, qn_jval self, qn_jcase how, qn_jval *out)
{
    qn_jsb sb = qn_jsb_new(rt);

    QN_TRY(qn_jrt_step(rt, self.n / 4));
    qn_jchars_case(&sb, qn_jv_text(self), how);
    QN_TRY(qn_jsb_done(&sb, out));
    out->flags = self.flags & QN_JF_ASCII;
    return 0;
}

static int strm_upper(qn_jrt *rt, qn_jval self, const qn_jargs *a, qn_jval *out)
{
    (void)a;
    return strm_case(rt, self, QN_JCASE_UPPER, out);
}

static int strm_lower(qn_jrt *rt, qn_jval self, const qn_jargs *a, qn_jval *out)
{
    (void)a;
    return strm_case(rt, self, QN_JCASE_LOWER, out);
}

static int strm_title(qn_jrt *rt, qn_jval self, const qn_jargs *a, qn_jval *out)
{
    (void)a;
    return strm_case(rt, self, QN_JCASE_TITLE, out);
}

static int strm_capitalize(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                           qn_jval *out)
{
    (void)a;
    return strm_case(rt, self, QN_JCASE_CAPITALIZE, out);
}

static int strm_swapcase(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                         qn_jval *out)
{
    (void)a;
    return strm_case(rt, self, QN_JCASE_SWAP, out);
}

static int strm_strip_sides(qn_jrt *rt, qn_jval self, qn_jval chars, int sides,
                            qn_jval *out)
{
    qn_view set, s;
    bool given = chars.type != QN_J_MISSING && chars.type != QN_J_NONE;

    if (given)
        QN_TRY(qn_jarg_str(rt, chars, "the characters to strip", &set));
    QN_TRY(
        qn_jtext_strip(rt, qn_jv_text(self), given ? &set : NULL, sides, &s));
    *out = qn_jv_view(s);
    out->flags = self.flags;
    return 0;
}

static int strm_strip(qn_jrt *rt, qn_jval self, const qn_jargs *a, qn_jval *out)
{
    return strm_strip_sides(rt, self, a->pos[0], QN_JSIDE_LEFT | QN_JSIDE_RIGHT,
                            out);
}

static int strm_lstrip(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                       qn_jval *out)
{
    return strm_strip_sides(rt, self, a->pos[0], QN_JSIDE_LEFT, out);
}

static int strm_rstrip(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                       qn_jval *out)
{
    return strm_strip_sides(rt, self, a->pos[0], QN_JSIDE_RIGHT, out);
}

static int strm_removeprefix(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                             qn_jval *out)
{
    qn_view p = {0};

    QN_TRY(qn_jarg_str(rt, a->pos[0], "the prefix", &p));
    *out = self;
    if (p.n && p.n <= self.n && memcmp(self.u.s, p.p, p.n) == 0) {
        out->u.s += p.n;
        out->n -= (uint32_t)p.n;
    }
    return 0;
}

static int strm_removesuffix(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                             qn_jval *out)
{
    qn_view p = {0};

    QN_TRY(qn_jarg_str(rt, a->pos[0], "the suffix", &p));
    *out = self;
    if (p.n && p.n <= self.n && memcmp(self.u.s + self.n - p.n, p.p, p.n) == 0)
        out->n -= (uint32_t)p.n;
    return 0;
}

/* ---- splitting and joining ----------------------------------------------- */

static int strm_split_args(qn_jrt *rt, const qn_jargs *a, qn_view *sep,
                           bool *given, int64_t *max)
{
    *given = a->pos[0].type != QN_J_MISSING && a->pos[0].type != QN_J_NONE;
    *max = -1;
    if (*given)
        QN_TRY(qn_jarg_str(rt, a->pos[0], "the separator", sep));
    return qn_jarg_int(rt, a->pos[1], "maxsplit", max);
}

static int strm_split(qn_jrt *rt, qn_jval self, const qn_jargs *a, qn_jval *out)
{
    qn_view sep;
    bool given;
    int64_t max;

    QN_TRY(strm_split_args(rt, a, &sep, &given, &max));
    return qn_jtext_split(rt, qn_jv_text(self), given ? &sep : NULL, max, out);
}

static int strm_rsplit(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                       qn_jval *out)
{
    qn_view sep;
    bool given;
    int64_t max;

    QN_TRY(strm_split_args(rt, a, &sep, &given, &max));
    return qn_jtext_rsplit(rt, qn_jv_text(self), given ? &sep : NULL, max, out);
}

static int strm_splitlines(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                           qn_jval *out)
{
    qn_jlist *l;

    QN_TRY(qn_jtext_splitlines(rt, qn_jv_text(self),
                               qn_jarg_truth(a->pos[0], false), &l));
    *out = qn_jv_ptr(QN_J_LIST, l);
    return 0;
}

/* (before, separator, after); all of s on the far side when it is not there. */
static int strm_cut(qn_jrt *rt, qn_jval self, qn_view sep, int64_t at,
                    bool from_right, qn_jval *out)
{
    qn_jlist *l;
    qn_jval empty = qn_jv_str("", 0);

    QN_TRY(qn_jv_list_new(rt, 3, &l));
    l->n = 3;
    if (at < 0) {
        l->v[0] = from_right ? empty : self;
        l->v[1] = empty;
        l->v[2] = from_right ? self : empty;
    } else {
        size_t end = (size_t)at + sep.n;
        l->v[0] = qn_jv_str(self.u.s, (size_t)at);
        l->v[1] = qn_jv_view(sep);
        l->v[2] = qn_jv_str(self.u.s + end, self.n - end);
    }
    *out = qn_jv_ptr(QN_J_TUPLE, l);
    return 0;
}

static int strm_partition_at(qn_jrt *rt, qn_jval self, qn_jval by, bool right,
                             qn_jval *out)
{
    qn_view sep = {0};
    int64_t at = -1;

    QN_TRY(qn_jarg_str(rt, by, "the separator", &sep));
    if (sep.n == 0)
        return qn_jrt_fail(rt, QN_EINVAL, "empty separator");
    if (right) {
        QN_TRY(qn_jtext_rfind(rt, qn_jv_text(self), sep, &at));
    } else {
        const char *hit = memmem(self.u.s, self.n, sep.p, sep.n);
        if (hit)
            at = hit - self.u.s;
    }
    return strm_cut(rt, self, sep, at, right, out);
}

static int strm_partition(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                          qn_jval *out)
{
    return strm_partition_at(rt, self, a->pos[0], false, out);
}

static int strm_rpartition(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                           qn_jval *out)
{
    return strm_partition_at(rt, self, a->pos[0], true, out);
}

static int strm_join(qn_jrt *rt, qn_jval self, const qn_jargs *a, qn_jval *out)
{
    qn_jsb sb = qn_jsb_new(rt);
    qn_jiter *it;
    qn_jval x;
    int rc, n = 0;

    QN_TRY(qn_jv_iter(rt, a->pos[0], &it));
    while ((rc = qn_jv_next(rt, it, &x)) > 0) {
        if (x.type != QN_J_STR)
            return qn_jrt_fail(rt, QN_EINVAL,
                               "sequence item %d: expected str instance, %s "
                               "found",
                               n, qn_jv_type_name(x));
        if (n++)
            qn_jsb_add(&sb, self.u.s, self.n);
        qn_jsb_add(&sb, x.u.s, x.n);
    }
    return rc < 0 ? rc : qn_jsb_done(&sb, out);
}

static int strm_replace(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                        qn_jval *out)
{
    qn_view from = {0}, to = {0};
    int64_t count = -1;

    QN_TRY(qn_jarg_str(rt, a->pos[0], "replace() argument 1", &from));
    QN_TRY(qn_jarg_str(rt, a->pos[1], "replace() argument 2", &to));
    QN_TRY(qn_jarg_int(rt, a->pos[2], "count", &count));
    return qn_jtext_replace(rt, qn_jv_text(self), from, to, count, out);
}

/* ---- finding ------------------------------------------------------------- */

/* Position of pos[0] within the bounds pos[1], pos[2]; -1: not there. */
static int strm_find_at(qn_jrt *rt, qn_jval self, const qn_jargs *a, bool last,
                        int64_t *out)
{
    qn_view what = {0}, s;
    int64_t from, at = -1;
    bool valid;

    QN_TRY(qn_jarg_str(rt, a->pos[0], "what to find", &what));
    QN_TRY(qn_jtext_range(rt, self, a->pos[1], a->pos[2], &s, &from, &valid));
    *out = -1;
    if (!valid)
        return 0;
    if (last) {
        QN_TRY(qn_jtext_rfind(rt, s, what, &at));
    } else if (what.n == 0) {
        at = 0;
    } else if (s.n) {
        const char *hit = memmem(s.p, s.n, what.p, what.n);
        if (hit)
            at = hit - s.p;
    }
    if (at >= 0)
        *out = from + (int64_t)qn_jchars_count(qn_view_of(s.p, (size_t)at));
    return 0;
}

static int strm_find(qn_jrt *rt, qn_jval self, const qn_jargs *a, qn_jval *out)
{
    int64_t at;

    QN_TRY(strm_find_at(rt, self, a, false, &at));
    *out = qn_jv_int(at);
    return 0;
}

static int strm_rfind(qn_jrt *rt, qn_jval self, const qn_jargs *a, qn_jval *out)
{
    int64_t at;

    QN_TRY(strm_find_at(rt, self, a, true, &at));
    *out = qn_jv_int(at);
    return 0;
}

static int strm_found(qn_jrt *rt, int64_t at, qn_jval *out)
{
    *out = qn_jv_int(at);
    return at >= 0 ? 0 : qn_jrt_fail(rt, QN_EINVAL, "substring not found");
}

static int strm_index(qn_jrt *rt, qn_jval self, const qn_jargs *a, qn_jval *out)
{
    int64_t at;

    QN_TRY(strm_find_at(rt, self, a, false, &at));
    return strm_found(rt, at, out);
}

static int strm_rindex(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                       qn_jval *out)
{
    int64_t at;

    QN_TRY(strm_find_at(rt, self, a, true, &at));
    return strm_found(rt, at, out);
}

static int strm_count(qn_jrt *rt, qn_jval self, const qn_jargs *a, qn_jval *out)
{
    qn_view what = {0}, s;
    int64_t from, n = 0;
    bool valid;
    const char *hit;

    QN_TRY(qn_jarg_str(rt, a->pos[0], "what to count", &what));
    QN_TRY(qn_jtext_range(rt, self, a->pos[1], a->pos[2], &s, &from, &valid));
    if (valid && what.n == 0)
        n = (int64_t)qn_jchars_count(s) + 1;
    while (what.n && s.n && (hit = memmem(s.p, s.n, what.p, what.n)) != NULL) {
        QN_TRY(qn_jrt_step(rt, 1));
        n++;
        s.n -= (size_t)(hit - s.p) + what.n;
        s.p = hit + what.n;
    }
    *out = qn_jv_int(n);
    return 0;
}

static bool strm_affix(qn_view s, qn_view x, bool end)
{
    return x.n <= s.n &&
           (x.n == 0 || memcmp(s.p + (end ? s.n - x.n : 0), x.p, x.n) == 0);
}

static int strm_has_affix(qn_jrt *rt, qn_jval self, const qn_jargs *a, bool end,
                          qn_jval *out)
{
    qn_view s;
    int64_t from;
    bool valid, hit = false;
    qn_jval x = a->pos[0];

    QN_TRY(qn_jtext_range(rt, self, a->pos[1], a->pos[2], &s, &from, &valid));
    if (x.type == QN_J_STR) {
        hit = strm_affix(s, qn_jv_text(x), end);
    } else if (x.type == QN_J_TUPLE) {
        for (uint32_t i = 0; i < x.u.list->n && !hit; i++) {
            qn_view one;
            QN_TRY(qn_jarg_str(rt, x.u.list->v[i], "each of a tuple", &one));
            QN_TRY(qn_jrt_pay(rt, one.n));
            hit = strm_affix(s, one, end);
        }
    } else {
        return qn_jrt_fail(rt, QN_EINVAL,
                           "%s first arg must be str or a tuple of str, not %s",
                           end ? "endswith" : "startswith", qn_jv_type_name(x));
    }
    *out = qn_jv_bool(valid && hit);
    return 0;
}

static int strm_startswith(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                           qn_jval *out)
{
    return strm_has_affix(rt, self, a, false, out);
}

static int strm_endswith(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                         qn_jval *out)
{
    return strm_has_affix(rt, self, a, true, out);
}

/* ---- questions ----------------------------------------------------------- */

/* Are there characters, all of one of these properties? */
static bool strm_all(qn_view s, qn_jprop p, qn_jprop q)
{
    size_t len;

    for (size_t i = 0; i < s.n; i += len) {
        uint32_t cp = qn_jchars_at(qn_view_of(s.p + i, s.n - i), &len);
        if (!qn_jchars_is(cp, p) && !qn_jchars_is(cp, q))
            return false;
    }
    return s.n > 0;
}

static int strm_isalpha(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                        qn_jval *out)
{
    (void)rt, (void)a;
    *out = qn_jv_bool(strm_all(qn_jv_text(self), QN_JP_ALPHA, QN_JP_ALPHA));
    return 0;
}

static int strm_isdigit(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                        qn_jval *out)
{
    (void)rt, (void)a;
    *out = qn_jv_bool(strm_all(qn_jv_text(self), QN_JP_DIGIT, QN_JP_DIGIT));
    return 0;
}

static int strm_isdecimal(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                          qn_jval *out)
{
    (void)rt, (void)a;
    *out = qn_jv_bool(strm_all(qn_jv_text(self), QN_JP_DECIMAL, QN_JP_DECIMAL));
    return 0;
}

/* Some ideographs are numeric too, and we have no table of them. */
static int strm_isnumeric(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                          qn_jval *out)
{
    qn_view s = qn_jv_text(self);
    bool all = strm_all(s, QN_JP_NUMBER, QN_JP_NUMBER);

    (void)a;
    if (!all && !qn_jchars_ascii(s) && strm_all(s, QN_JP_NUMBER, QN_JP_ALPHA))
        return qn_jrt_fail(rt, QN_EUNSUP, "isnumeric() of letters");
    *out = qn_jv_bool(all);
    return 0;
}

static int strm_isalnum(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                        qn_jval *out)
{
    (void)rt, (void)a;
    *out = qn_jv_bool(strm_all(qn_jv_text(self), QN_JP_ALPHA, QN_JP_NUMBER));
    return 0;
}

static int strm_isspace(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                        qn_jval *out)
{
    (void)rt, (void)a;
    *out = qn_jv_bool(self.n &&
                      qn_jchars_space_prefix(qn_jv_text(self)) == self.n);
    return 0;
}

static int strm_isascii(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                        qn_jval *out)
{
    (void)rt, (void)a;
    *out = qn_jv_bool(qn_jchars_ascii(qn_jv_text(self)));
    return 0;
}

static int strm_isprintable(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                            qn_jval *out)
{
    (void)rt, (void)a;
    *out = qn_jv_bool(self.n == 0 || strm_all(qn_jv_text(self), QN_JP_PRINTABLE,
                                              QN_JP_PRINTABLE));
    return 0;
}

static int strm_isidentifier(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                             qn_jval *out)
{
    (void)rt, (void)a;
    *out = qn_jv_bool(self.n &&
                      qn_jchars_name_prefix(qn_jv_text(self)) == self.n);
    return 0;
}

/* Some cased character, and none of the other case. */
static bool strm_only_case(qn_view s, qn_jprop want, qn_jprop other)
{
    bool some = false;
    size_t len;

    for (size_t i = 0; i < s.n; i += len) {
        uint32_t cp = qn_jchars_at(qn_view_of(s.p + i, s.n - i), &len);
        if (qn_jchars_is(cp, other) || qn_jchars_is(cp, QN_JP_TITLE))
            return false;
        some |= qn_jchars_is(cp, want);
    }
    return some;
}

static int strm_islower(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                        qn_jval *out)
{
    (void)rt, (void)a;
    *out = qn_jv_bool(
        strm_only_case(qn_jv_text(self), QN_JP_LOWER, QN_JP_UPPER));
    return 0;
}

static int strm_isupper(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                        qn_jval *out)
{
    (void)rt, (void)a;
    *out = qn_jv_bool(
        strm_only_case(qn_jv_text(self), QN_JP_UPPER, QN_JP_LOWER));
    return 0;
}

static int strm_istitle(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                        qn_jval *out)
{
    qn_view s = qn_jv_text(self);
    bool some = false, after_cased = false, ok = true;
    size_t len;

    (void)rt, (void)a;
    for (size_t i = 0; i < s.n && ok; i += len) {
        uint32_t cp = qn_jchars_at(qn_view_of(s.p + i, s.n - i), &len);
        bool up = qn_jchars_is(cp, QN_JP_UPPER) ||
                  qn_jchars_is(cp, QN_JP_TITLE);
        bool low = qn_jchars_is(cp, QN_JP_LOWER);
        ok = !(up && after_cased) && !(low && !after_cased);
        after_cased = up || low;
        some |= after_cased;
    }
    *out = qn_jv_bool(ok && some);
    return 0;
}

/* ---- padding and formatting ---------------------------------------------- */

static int strm_pad(qn_jrt *rt, qn_jval self, const qn_jargs *a, int where,
                    qn_jval *out)
{
    int64_t width = 0;
    qn_view fill = {" ", 1};

    QN_TRY(qn_jarg_int(rt, a->pos[0], "the width", &width));
    QN_TRY(qn_jarg_str(rt, a->pos[1], "the fill character", &fill));
    if (qn_jchars_count(fill) != 1)
        return qn_jrt_fail(rt, QN_EINVAL,
                           "the fill character must be exactly one character");
    return qn_jtext_pad(rt, self, width, fill, where, out);
}

static int strm_ljust(qn_jrt *rt, qn_jval self, const qn_jargs *a, qn_jval *out)
{
    return strm_pad(rt, self, a, -1, out);
}

static int strm_rjust(qn_jrt *rt, qn_jval self, const qn_jargs *a, qn_jval *out)
{
    return strm_pad(rt, self, a, 1, out);
}

static int strm_center(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                       qn_jval *out)
{
    return strm_pad(rt, self, a, 0, out);
}

static int strm_zfill(qn_jrt *rt, qn_jval self, const qn_jargs *a, qn_jval *out)
{
    int64_t width = 0;
    qn_view zero = {"0", 1};
    bool sign = self.n && (self.u.s[0] == '-' || self.u.s[0] == '+');
    qn_jval digits = qn_jv_str(self.u.s + sign, self.n - sign);

    QN_TRY(qn_jarg_int(rt, a->pos[0], "the width", &width));
    QN_TRY(qn_jtext_pad(rt, digits, width - sign, zero, 1, out));
    if (!sign)
        return 0;
    return qn_jrt_concat(rt, qn_view_of(self.u.s, 1), qn_jv_text(*out), out);
}

static int strm_expandtabs(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                           qn_jval *out)
{
    qn_jsb sb = qn_jsb_new(rt);
    int64_t size = 8, column = 0;

    QN_TRY(qn_jarg_int(rt, a->pos[0], "tabsize", &size));
    for (uint32_t i = 0; i < self.n && sb.rc == 0; i++) {
        char c = self.u.s[i];
        if (c == '\t') {
            int64_t pad = size > 0 ? size - column % size : 0;
            qn_jsb_pad(&sb, ' ', (size_t)pad);
            column += pad;
            continue;
        }
        column += ((unsigned char)c & 0xc0) != 0x80;
        if (c == '\n' || c == '\r')
            column = 0;
        qn_jsb_addc(&sb, c);
    }
    return qn_jsb_done(&sb, out);
}

static int strm_format(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                       qn_jval *out)
{
    return qn_jv_format(rt, qn_jv_text(self), a, out);
}

#define KEEP QN_JFN_KEEP
#define ESC QN_JFN_ESCAPES
const qn_jfunc qn_jinja_str_methods[] = {
    {"capitalize", strm_capitalize, "", KEEP},
    {"casefold", NULL, "", 0},
    {"center", strm_center, "/ width | fillchar", ESC},
    {"count", strm_count, "/ sub | start end", 0},
    {"encode", NULL, "", 0},
    {"endswith", strm_endswith, "/ suffix | start end", 0},
    {"expandtabs", strm_expandtabs, "| tabsize", KEEP},
    {"find", strm_find, "/ sub | start end", 0},
    {"format", strm_format, "*", ESC},
    {"format_map", NULL, "", 0},
    {"index", strm_index, "/ sub | start end", 0},
    {"isalnum", strm_isalnum, "", 0},
    {"isalpha", strm_isalpha, "", 0},
    {"isascii", strm_isascii, "", 0},
    {"isdecimal", strm_isdecimal, "", 0},
    {"isdigit", strm_isdigit, "", 0},
    {"isidentifier", strm_isidentifier, "", 0},
    {"islower", strm_islower, "", 0},
    {"isnumeric", strm_isnumeric, "", 0},
    {"isprintable", strm_isprintable, "", 0},
    {"isspace", strm_isspace, "", 0},
    {"istitle", strm_istitle, "", 0},
    {"isupper", strm_isupper, "", 0},
    {"join", strm_join, "/ iterable", ESC},
    {"ljust", strm_ljust, "/ width | fillchar", ESC},
    {"lower", strm_lower, "", KEEP},
    {"lstrip", strm_lstrip, "/ | chars", KEEP},
    {"maketrans", NULL, "", 0},
    {"partition", strm_partition, "/ sep", KEEP},
    {"removeprefix", strm_removeprefix, "/ prefix", KEEP},
    {"removesuffix", strm_removesuffix, "/ suffix", KEEP},
    {"replace", strm_replace, "/ old new | count", ESC},
    {"rfind", strm_rfind, "/ sub | start end", 0},
    {"rindex", strm_rindex, "/ sub | start end", 0},
    {"rjust", strm_rjust, "/ width | fillchar", ESC},
    {"rpartition", strm_rpartition, "/ sep", KEEP},
    {"rsplit", strm_rsplit, "| sep maxsplit", KEEP},
    {"rstrip", strm_rstrip, "/ | chars", KEEP},
    {"split", strm_split, "| sep maxsplit", KEEP},
    {"splitlines", strm_splitlines, "| keepends", KEEP},
    {"startswith", strm_startswith, "/ prefix | start end", 0},
    {"strip", strm_strip, "/ | chars", KEEP},
    {"swapcase", strm_swapcase, "", KEEP},
    {"title", strm_title, "", KEEP},
    {"translate", NULL, "", 0},
    {"upper", strm_upper, "", KEEP},
    {"zfill", strm_zfill, "/ width", KEEP},
};
#undef KEEP
#undef ESC
const size_t qn_jinja_n_str_methods = QN_COUNTOF(qn_jinja_str_methods);
