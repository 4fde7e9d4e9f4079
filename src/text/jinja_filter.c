/* jinja_filter.c - filters on single values, and the table of all filters.
 *
 * Rows without a function are filters that Jinja has and we do not. */
#include "text/jinja_chars.h"
#include "text/jinja_text.h"

#include <math.h>
#include <stdio.h>

/* ---- any value ----------------------------------------------------------- */

static int filter_default(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                          qn_jval *out)
{
    (void)rt;
    bool use = self.type == QN_J_UNDEF ||
               (qn_jarg_truth(a->pos[1], false) && !qn_jv_truth(self));
    *out = !use                       ? self
           : qn_jarg_given(a->pos[0]) ? a->pos[0]
                                      : qn_jv_str("", 0);
    return 0;
}

static int filter_attr(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                       qn_jval *out)
{
    qn_view name = {0};

    QN_TRY(qn_jarg_str(rt, a->pos[0], "the attribute", &name));
    return qn_jrt_attr_only(rt, self, name, out);
}

static int filter_length(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                         qn_jval *out)
{
    int64_t n;

    (void)a;
    QN_TRY(qn_jv_len(rt, self, &n));
    *out = qn_jv_int(n);
    return 0;
}

static int filter_string(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                         qn_jval *out)
{
    (void)a;
    return qn_jv_soft_str(rt, self, out);
}

static int filter_safe(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                       qn_jval *out)
{
    (void)a;
    QN_TRY(qn_jv_soft_str(rt, self, out));
    out->flags |= QN_JF_MARKUP;
    return 0;
}

static int filter_escape(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                         qn_jval *out)
{
    (void)a;
    return qn_jrt_escape(rt, self, out);
}

static int filter_forceescape(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                              qn_jval *out)
{
    (void)a;
    QN_TRY(qn_jv_to_str(rt, self, &self));
    return qn_jrt_escape(rt, self, out);
}

/* ---- tojson -------------------------------------------------------------- */

static int filter_indent_of(qn_jrt *rt, qn_jval v, qn_jdump *how)
{
    int64_t n = 0;

    if (v.type == QN_J_MISSING || v.type == QN_J_NONE)
        return 0;
    how->has_indent = true;
    how->item_sep = qn_view_cstr(",");
    if (v.type == QN_J_STR) {
        how->indent = qn_jv_text(v);
        return 0;
    }
    QN_TRY(qn_jarg_int(rt, v, "indent", &n));
    if (n > 1000)
        return qn_jrt_fail(rt, QN_ELIMIT, "indent by %lld", (long long)n);
    qn_jsb sb = qn_jsb_new(rt);
    qn_jval text;
    qn_jsb_pad(&sb, ' ', (size_t)QN_MAX(n, 0));
    QN_TRY(qn_jsb_done(&sb, &text));
    how->indent = qn_jv_text(text);
    return 0;
}

static int filter_tojson(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                         qn_jval *out)
{
    qn_jdump how = {.ensure_ascii = qn_jarg_truth(a->pos[0], false),
                    .sort_keys = qn_jarg_truth(a->pos[3], false),
                    .item_sep = {", ", 2},
                    .key_sep = {": ", 2}};
    qn_jval sep = a->pos[2];
    qn_jsb sb = qn_jsb_new(rt);
    qn_jlist *pair;

    QN_TRY(filter_indent_of(rt, a->pos[1], &how));
    if (sep.type != QN_J_MISSING && sep.type != QN_J_NONE) {
        QN_TRY(qn_jv_to_list(rt, sep, &pair));
        if (pair->n != 2)
            return qn_jrt_fail(rt, QN_EINVAL, "separators must be two strings");
        QN_TRY(qn_jarg_str(rt, pair->v[0], "a separator", &how.item_sep));
        QN_TRY(qn_jarg_str(rt, pair->v[1], "a separator", &how.key_sep));
    }
    QN_TRY(qn_jv_dump(rt, self, &how, &sb));
    return qn_jsb_done(&sb, out);
}

/* ---- numbers ------------------------------------------------------------- */

static int filter_abs(qn_jrt *rt, qn_jval self, const qn_jargs *a, qn_jval *out)
{
    int64_t i;

    (void)a;
    if (qn_jv_as_int(self, &i)) {
        *out = qn_jv_int(i);
        return i < 0 ? qn_jv_unary(rt, '-', self, out) : 0;
    }
    if (self.type == QN_J_FLOAT) {
        *out = qn_jv_float(fabs(self.u.f));
        return 0;
    }
    if (self.type == QN_J_UNDEF)
        return qn_jrt_fail_undef(rt, self);
    return qn_jrt_fail(rt, QN_EINVAL, "bad operand type for abs(): '%s'",
                       qn_jv_type_name(self));
}

/* int(f): 1 done, 0 f is not a number, or an error. */
static int filter_trunc(qn_jrt *rt, double f, bool inf_fails, qn_jval *out)
{
    if (isnan(f) || (isinf(f) && !inf_fails))
        return 0;
    if (isinf(f))
        return qn_jrt_fail(rt, QN_EINVAL,
                           "cannot convert float infinity to integer");
    if (f >= 9223372036854775808.0 || f < -9223372036854775808.0)
        return qn_jrt_fail(rt, QN_ELIMIT, "an integer exceeds 64 bits");
    *out = qn_jv_int((int64_t)f);
    return 1;
}

static int filter_int_of_str(qn_jrt *rt, qn_jval self, int64_t base,
                             qn_jval *out)
{
    bool overflow = false;
    int64_t i;
    double f;

    if (base == 0 || (base >= 2 && base <= 36)) {
        if (qn_jv_parse_int(qn_jv_text(self), (int)base, &i, &overflow)) {
            *out = qn_jv_int(i);
            return 1;
        }
        if (overflow)
            return qn_jrt_fail(rt, QN_ELIMIT, "an integer exceeds 64 bits");
    }
    if (!qn_jv_parse_float(qn_jv_text(self), &f))
        return 0;
    return filter_trunc(rt, f, false, out);
}

static int filter_int(qn_jrt *rt, qn_jval self, const qn_jargs *a, qn_jval *out)
{
    int64_t i, base = 10;
    int rc = 0;

    QN_TRY(qn_jarg_int(rt, a->pos[1], "base", &base));
    if (self.type == QN_J_UNDEF)
        return qn_jrt_fail_undef(rt, self);
    if (qn_jv_as_int(self, &i)) {
        *out = qn_jv_int(i);
        return 0;
    }
    if (self.type == QN_J_FLOAT)
        rc = filter_trunc(rt, self.u.f, true, out);
    else if (self.type == QN_J_STR)
        rc = filter_int_of_str(rt, self, base, out);
    if (rc == 0)
        *out = qn_jarg_given(a->pos[0]) ? a->pos[0] : qn_jv_int(0);
    return QN_MIN(rc, 0);
}

static bool filter_number(qn_jval v, double *out)
{
    int64_t i;

    if (v.type == QN_J_FLOAT) {
        *out = v.u.f;
        return true;
    }
    if (qn_jv_as_int(v, &i)) {
        *out = (double)i;
        return true;
    }
    return v.type == QN_J_STR && qn_jv_parse_float(qn_jv_text(v), out);
}

static int filter_float(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                        qn_jval *out)
{
    double f;

    if (self.type == QN_J_UNDEF)
        return qn_jrt_fail_undef(rt, self);
    if (filter_number(self, &f))
        *out = qn_jv_float(f);
    else
        *out = qn_jarg_given(a->pos[0]) ? a->pos[0] : qn_jv_float(0);
    return 0;
}

/* "%.*f", whatever the locale's decimal point is. */
static void filter_fixed(char *buf, size_t cap, int digits, double f)
{
    snprintf(buf, cap, "%.*f", digits, f);
    for (char *p = buf; *p; p++)
        if ((*p < '0' || *p > '9') && *p != '-')
            *p = '.';
}

/* round(f, digits) of Python: the decimal text rounds to even, exactly. */
static double filter_round_float(double f, int64_t digits)
{
    char buf[800];

    if (!isfinite(f) || digits > 323)
        return f;
    if (digits < -308)
        return copysign(0.0, f);
    if (digits < 0) {
        double unit = pow(10, (double)-digits);
        return rint(f / unit) * unit;
    }
    qn_jval v;
    filter_fixed(buf, sizeof buf, (int)digits, f);
    return qn_jv_parse_float(qn_view_cstr(buf), &v.u.f) ? v.u.f : f;
}

static int filter_round_int(qn_jrt *rt, int64_t i, int64_t digits, qn_jval *out)
{
    int64_t unit = 1;

    if (digits < -18)
        i = 0;
    for (int64_t d = digits; d < 0 && i; d++)
        unit *= 10;
    int64_t down = i % unit, half;
    if (down < 0)
        down += unit;
    int64_t base;
    if (__builtin_sub_overflow(i, down, &base))
        return qn_jrt_fail(rt, QN_ELIMIT, "an integer exceeds 64 bits");
    half = unit / 2;
    bool up = down > half || (down == half && unit > 1 && (base / unit) % 2);
    if (up && __builtin_add_overflow(base, unit, &base))
        return qn_jrt_fail(rt, QN_ELIMIT, "an integer exceeds 64 bits");
    *out = qn_jv_int(base);
    return 0;
}

static int filter_round(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                        qn_jval *out)
{
    qn_view method = {"common", 6};
    int64_t digits = 0, i;
    double f;

    QN_TRY(qn_jarg_int(rt, a->pos[0], "precision", &digits));
    QN_TRY(qn_jarg_str(rt, a->pos[1], "method", &method));
    bool ceiling = qn_view_eqs(method, "ceil");
    if (!ceiling && !qn_view_eqs(method, "floor") &&
        !qn_view_eqs(method, "common"))
        return qn_jrt_fail(rt, QN_EINVAL,
                           "method must be common, ceil or floor");
    if (self.type == QN_J_UNDEF)
        return qn_jrt_fail_undef(rt, self);
    if (!qn_jv_is_number(self))
        return qn_jrt_fail(rt, QN_EINVAL, "round() of a '%s'",
                           qn_jv_type_name(self));
    if (qn_view_eqs(method, "common")) {
        if (qn_jv_as_int(self, &i))
            return filter_round_int(rt, i, digits, out);
        *out = qn_jv_float(filter_round_float(self.u.f, digits));
        return 0;
    }
    filter_number(self, &f);
    double unit = pow(10, (double)digits);
    f *= unit;
    if (!isfinite(f))
        return qn_jrt_fail(rt, QN_EINVAL, "cannot round this number");
    *out = qn_jv_float((ceiling ? ceil(f) : floor(f)) / unit);
    return 0;
}

static int filter_filesizeformat(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                                 qn_jval *out)
{
    static const char prefix[] = "KMGTPEZY";
    bool binary = qn_jarg_truth(a->pos[0], false);
    double bytes, base = binary ? 1024 : 1000, unit;
    qn_jsb sb = qn_jsb_new(rt);
    size_t i = 0;

    if (self.type == QN_J_UNDEF)
        return qn_jrt_fail_undef(rt, self);
    if (!filter_number(self, &bytes) || !isfinite(bytes))
        return qn_jrt_fail(rt, QN_EINVAL, "filesizeformat of a '%s'",
                           qn_jv_type_name(self));
    if (bytes == 1) {
        qn_jsb_adds(&sb, "1 Byte");
    } else if (bytes < base) {
        qn_jsb_addf(&sb, "%.0f Bytes", trunc(bytes) + 0.0);
    } else {
        for (unit = base * base; bytes >= unit && i < 7; i++)
            unit *= base;
        char buf[400];
        filter_fixed(buf, sizeof buf, 1, base * bytes / unit);
        qn_jsb_addf(&sb, "%s %c%sB", buf, !binary && i == 0 ? 'k' : prefix[i],
                    binary ? "i" : "");
    }
    return qn_jsb_done(&sb, out);
}

/* ---- text ---------------------------------------------------------------- */

static int filter_method(qn_jrt *rt, const char *method, qn_jval self,
                         const qn_jargs *a, qn_jval *out)
{
    const qn_jfunc *f = qn_jfunc_find(qn_jinja_str_methods,
                                      qn_jinja_n_str_methods,
                                      qn_view_cstr(method));
    qn_jargs given = *a;

    QN_TRY(qn_jv_soft_str(rt, self, &self));
    while (given.n_pos && !qn_jarg_given(given.pos[given.n_pos - 1]))
        given.n_pos--;
    return qn_jrt_call_builtin(rt, f, self, &given, out);
}

static int filter_upper(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                        qn_jval *out)
{
    return filter_method(rt, "upper", self, a, out);
}

static int filter_lower(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                        qn_jval *out)
{
    return filter_method(rt, "lower", self, a, out);
}

static int filter_capitalize(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                             qn_jval *out)
{
    return filter_method(rt, "capitalize", self, a, out);
}

static int filter_trim(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                       qn_jval *out)
{
    return filter_method(rt, "strip", self, a, out);
}

static int filter_center(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                         qn_jval *out)
{
    qn_jval width = qn_jarg_given(a->pos[0]) ? a->pos[0] : qn_jv_int(80);
    qn_jargs args = {.pos = &width, .n_pos = 1};

    return filter_method(rt, "center", self, &args, out);
}

static bool filter_begins_word(uint32_t cp)
{
    return cp == '-' || cp == '(' || cp == '{' || cp == '[' || cp == '<' ||
           qn_jchars_is_space(cp);
}

static int filter_title(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                        qn_jval *out)
{
    qn_jsb sb = qn_jsb_new(rt);
    size_t len, i = 0;

    (void)a;
    QN_TRY(qn_jv_soft_str(rt, self, &self));
    qn_view s = qn_jv_text(self);
    while (i < s.n) { /* a run of separators, or a word */
        size_t from = i, first = 0;
        bool sep = filter_begins_word(
            qn_jchars_at(qn_view_of(s.p + i, s.n - i), &first));
        for (i += first; i < s.n; i += len)
            if (filter_begins_word(
                    qn_jchars_at(qn_view_of(s.p + i, s.n - i), &len)) != sep)
                break;
        qn_jchars_case(&sb, qn_view_of(s.p + from, first), QN_JCASE_UPPER);
        qn_jchars_case(&sb, qn_view_of(s.p + from + first, i - from - first),
                       QN_JCASE_LOWER);
    }
    return qn_jsb_done(&sb, out);
}

static int filter_replace(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                          qn_jval *out)
{
    qn_jval from, to;
    int64_t count = -1;

    if (a->pos[2].type != QN_J_NONE)
        QN_TRY(qn_jarg_int(rt, a->pos[2], "count", &count));
    QN_TRY(qn_jv_to_str(rt, self, &self));
    QN_TRY(qn_jv_to_str(rt, a->pos[0], &from));
    QN_TRY(qn_jv_to_str(rt, a->pos[1], &to));
    return qn_jtext_replace(rt, qn_jv_text(self), qn_jv_text(from),
                            qn_jv_text(to), count, out);
}

static int filter_indent(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                         qn_jval *out)
{
    bool first = qn_jarg_truth(a->pos[1], false);
    bool blank = qn_jarg_truth(a->pos[2], false);
    int64_t width = 4;
    qn_jsb sb = qn_jsb_new(rt);
    qn_jval with_nl, pad;
    qn_jlist *lines;

    if (self.type != QN_J_STR)
        return qn_jrt_fail_op(rt, "+=", self, qn_jv_str("", 0));
    if (a->pos[0].type == QN_J_STR) {
        pad = a->pos[0];
    } else {
        QN_TRY(qn_jarg_int(rt, a->pos[0], "width", &width));
        QN_TRY(
            qn_jv_binary(rt, '*', qn_jv_str(" ", 1), qn_jv_int(width), &pad));
    }
    QN_TRY(qn_jrt_concat(rt, qn_jv_text(self), qn_view_cstr("\n"), &with_nl));
    QN_TRY(qn_jtext_splitlines(rt, qn_jv_text(with_nl), false, &lines));
    if (first)
        qn_jsb_add(&sb, pad.u.s, pad.n);
    for (uint32_t i = 0; i < lines->n; i++) {
        if (i)
            qn_jsb_addc(&sb, '\n');
        if (i && (blank || lines->v[i].n))
            qn_jsb_add(&sb, pad.u.s, pad.n);
        qn_jsb_addv(&sb, qn_jv_text(lines->v[i]));
    }
    return qn_jsb_done(&sb, out);
}

static int filter_truncate(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                           qn_jval *out)
{
    int64_t length = 255, leeway = 5, n, n_end, at;
    qn_view dots = {"...", 3}, kept;
    qn_jval head;

    QN_TRY(qn_jarg_int(rt, a->pos[0], "length", &length));
    QN_TRY(qn_jarg_str(rt, a->pos[2], "end", &dots));
    if (a->pos[3].type != QN_J_NONE)
        QN_TRY(qn_jarg_int(rt, a->pos[3], "leeway", &leeway));
    n_end = (int64_t)qn_jchars_count(dots);
    if (length < n_end || leeway < 0)
        return qn_jrt_fail(rt, QN_EINVAL,
                           "truncate: length must be at least that of end, "
                           "leeway at least 0");
    QN_TRY(qn_jv_len(rt, self, &n));
    *out = self;
    if (n <= length || n - length <= leeway)
        return 0;
    if (self.type != QN_J_STR)
        return qn_jrt_fail(rt, QN_EINVAL, "truncate of a '%s'",
                           qn_jv_type_name(self));
    QN_TRY(qn_jtext_slice(rt, self, 0, 1, length - n_end, &head));
    kept = qn_jv_text(head);
    if (!qn_jarg_truth(a->pos[1], false)) {
        QN_TRY(qn_jtext_rfind(rt, kept, qn_view_cstr(" "), &at));
        if (at >= 0)
            kept.n = (size_t)at;
    }
    return qn_jrt_concat(rt, kept, dots, out);
}

static int filter_wordcount(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                            qn_jval *out)
{
    int64_t n = 0;
    bool inside = false;
    size_t len;

    (void)a;
    QN_TRY(qn_jv_soft_str(rt, self, &self));
    for (size_t i = 0; i < self.n; i += len) {
        uint32_t cp = qn_jchars_at(qn_view_of(self.u.s + i, self.n - i), &len);
        bool word = cp == '_' || qn_jchars_is(cp, QN_JP_ALPHA) ||
                    qn_jchars_is(cp, QN_JP_NUMBER);
        n += word && !inside;
        inside = word;
    }
    *out = qn_jv_int(n);
    return 0;
}

static int filter_format(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                         qn_jval *out)
{
    qn_jval values;

    if (a->n_pos && a->n_kw)
        return qn_jrt_fail(rt, QN_EINVAL,
                           "format takes positional or keyword arguments, not "
                           "both");
    QN_TRY(qn_jv_soft_str(rt, self, &self));
    if (a->n_kw) {
        qn_jdict *d;
        QN_TRY(qn_jv_dict_new(rt, &d));
        for (uint32_t i = 0; i < a->n_kw; i++)
            QN_TRY(qn_jv_dict_put(rt, d, qn_jv_view(a->kw[i].name),
                                  a->kw[i].value));
        values = qn_jv_ptr(QN_J_DICT, d);
    } else {
        qn_jlist *l;
        QN_TRY(qn_jv_list_new(rt, a->n_pos, &l));
        for (uint32_t i = 0; i < a->n_pos; i++)
            l->v[l->n++] = a->pos[i];
        values = qn_jv_ptr(QN_J_TUPLE, l);
    }
    return qn_jv_binary(rt, '%', self, values, out);
}

static int filter_quote(qn_jrt *rt, qn_jval v, bool query, qn_jsb *sb)
{
    qn_jval s;

    QN_TRY(qn_jv_to_str(rt, v, &s));
    for (uint32_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.u.s[i];
        if (qn_jchars_digit((char)c) < 36 ||
            (c && strchr(query ? "_.-~" : "_.-~/", c)))
            qn_jsb_addc(sb, (char)c);
        else if (query && c == ' ')
            qn_jsb_addc(sb, '+');
        else
            qn_jsb_addf(sb, "%%%02X", c);
    }
    return sb->rc;
}

static int filter_urlencode(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                            qn_jval *out)
{
    qn_jsb sb = qn_jsb_new(rt);
    qn_jiter *it;
    qn_jval x;
    qn_jlist *pair;
    int rc, n = 0;

    (void)a;
    if (self.type == QN_J_STR || !qn_jv_iterable(self)) {
        QN_TRY(filter_quote(rt, self, false, &sb));
        return qn_jsb_done(&sb, out);
    }
    if (self.type == QN_J_DICT) {
        self.type = QN_J_VIEW;
        self.aux = QN_JVIEW_ITEMS;
    }
    QN_TRY(qn_jv_iter(rt, self, &it));
    while ((rc = qn_jv_next(rt, it, &x)) > 0) {
        QN_TRY(qn_jv_to_list(rt, x, &pair));
        if (pair->n != 2)
            return qn_jrt_fail(rt, QN_EINVAL, "urlencode needs pairs");
        if (n++)
            qn_jsb_addc(&sb, '&');
        QN_TRY(filter_quote(rt, pair->v[0], true, &sb));
        qn_jsb_addc(&sb, '=');
        QN_TRY(filter_quote(rt, pair->v[1], true, &sb));
    }
    return rc < 0 ? rc : qn_jsb_done(&sb, out);
}

static const qn_jfunc filter_rows[] = {
    {"abs", filter_abs, "", 0},
    {"attr", filter_attr, "name", 0},
    {"capitalize", filter_capitalize, "", 0},
    {"center", filter_center, "| width", 0},
    {"count", filter_length, "", 0},
    {"d", filter_default, "| default_value boolean", 0},
    {"default", filter_default, "| default_value boolean", 0},
    {"e", filter_escape, "", 0},
    {"escape", filter_escape, "", 0},
    {"filesizeformat", filter_filesizeformat, "| binary", 0},
    {"float", filter_float, "| default", 0},
    {"forceescape", filter_forceescape, "", 0},
    {"format", filter_format, "*", 0},
    {"indent", filter_indent, "| width first blank", QN_JFN_KEEP},
    {"int", filter_int, "| default base", 0},
    {"length", filter_length, "", 0},
    {"lower", filter_lower, "", 0},
    {"pprint", NULL, "", 0},
    {"random", NULL, "", 0},
    {"replace", filter_replace, "old new | count", 0},
    {"round", filter_round, "| precision method", 0},
    {"safe", filter_safe, "", 0},
    {"string", filter_string, "", 0},
    {"striptags", NULL, "", 0},
    {"title", filter_title, "", 0},
    {"tojson", filter_tojson, "| ensure_ascii indent separators sort_keys", 0},
    {"trim", filter_trim, "| chars", 0},
    {"truncate", filter_truncate, "| length killwords end leeway", QN_JFN_KEEP},
    {"upper", filter_upper, "", 0},
    {"urlencode", filter_urlencode, "", 0},
    {"urlize", NULL, "", 0},
    {"wordcount", filter_wordcount, "", 0},
    {"wordwrap", NULL, "", 0},
    {"xmlattr", NULL, "", 0},
};

const qn_jfunc *qn_jinja_filter(qn_view name)
{
    const qn_jfunc *f = qn_jfunc_find(filter_rows, QN_COUNTOF(filter_rows),
                                      name);
    return f ? f : qn_jinja_seq_filter(name);
}
