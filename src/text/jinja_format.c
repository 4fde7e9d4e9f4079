/* jinja_format.c - "..." % values and "...".format(values).
 *
 * Both end in one description of a field (struct field), which numbers and
 * strings are laid out by. */
#include "text/jinja_chars.h"

#include <math.h>
#include <stdio.h>

enum {
    FORMAT_MAX_PRECISION = 400,
    FORMAT_MAX_WIDTH = 1 << 20
};

typedef struct field {
    qn_view fill;             /* one character */
    char align;               /* < > ^ =, 0: by type */
    char sign;                /* + or space: also on positive numbers; 0 */
    bool alt;                 /* # */
    bool zero;                /* numbers are filled behind their sign */
    char group;               /* , or _ between thousands; 0 */
    int64_t width, precision; /* precision -1: none */
    char type;                /* 0: by value */
} field;

static int format_fail(qn_jrt *rt, char type, qn_jval v)
{
    if (v.type == QN_J_UNDEF)
        return qn_jrt_fail_undef(rt, v);
    return qn_jrt_fail(rt, QN_EINVAL, "format code '%c' does not take a '%s'",
                       type ? type : ' ', qn_jv_type_name(v));
}

/* ---- layout -------------------------------------------------------------- */

static void format_fill(qn_jsb *sb, qn_view fill, int64_t n)
{
    for (int64_t i = 0; i < n && sb->rc == 0; i++)
        qn_jsb_addv(sb, fill);
}

/* head (sign and prefix) and body, padded to the width. */
static void format_lay(const field *f, qn_view head, qn_view body,
                       char default_align, qn_jsb *sb)
{
    int64_t len = (int64_t)(head.n + qn_jchars_count(body));
    int64_t pad = f->width > len ? f->width - len : 0;
    char align = f->align ? f->align : default_align;
    int64_t left = align == '>' ? pad : align == '^' ? pad / 2 : 0;

    format_fill(sb, f->fill, left);
    qn_jsb_addv(sb, head);
    if (align == '=')
        format_fill(sb, f->fill, pad);
    qn_jsb_addv(sb, body);
    if (align != '=')
        format_fill(sb, f->fill, pad - left);
}

static int format_text(qn_jrt *rt, const field *f, qn_view s, qn_jsb *sb)
{
    if (f->align == '=' || f->sign || f->group || f->alt)
        return qn_jrt_fail(rt, QN_EINVAL,
                           "sign, '=', '#' and ',' do not go with a string");
    if (f->precision >= 0) {
        size_t i = 0, len;
        for (int64_t n = f->precision; n > 0 && i < s.n; n--, i += len)
            qn_jchars_at(qn_view_of(s.p + i, s.n - i), &len);
        s.n = i;
    }
    format_lay(f, (qn_view){0}, s, '<', sb);
    return sb->rc;
}

/* Digits with a separator between groups of `every`. */
static void format_grouped(char *out, size_t cap, const char *digits, size_t n,
                           char sep, size_t every)
{
    size_t o = 0;

    for (size_t i = 0; i < n && o + 2 < cap; i++) {
        if (i && (n - i) % every == 0)
            out[o++] = sep;
        out[o++] = digits[i];
    }
    out[o] = 0;
}

static char format_sign(const field *f, bool minus)
{
    return minus ? '-' : f->sign;
}

static int format_int(qn_jrt *rt, const field *f, int64_t i, qn_jsb *sb)
{
    uint64_t u = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
    unsigned base = f->type == 'x' || f->type == 'X' ? 16
                    : f->type == 'o'                 ? 8
                    : f->type == 'b'                 ? 2
                                                     : 10;
    const char *set = f->type == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
    char digits[80], grouped[160], head[4] = {0}, *p = digits + sizeof digits;
    size_t n_head = 0;

    if (f->precision > 64)
        return qn_jrt_fail(rt, QN_ELIMIT, "an integer of %lld digits",
                           (long long)f->precision);
    *--p = 0;
    do
        *--p = set[u % base];
    while ((u /= base) != 0);
    while (digits + sizeof digits - 1 - p < f->precision)
        *--p = '0';
    if (format_sign(f, i < 0))
        head[n_head++] = format_sign(f, i < 0);
    if (f->alt && base != 10) {
        head[n_head++] = '0';
        head[n_head++] = f->type;
    }
    qn_view body = qn_view_cstr(p);
    if (f->group) {
        if (f->align == '=' && f->width > 0)
            return qn_jrt_fail(rt, QN_EUNSUP, "zero padding with grouping");
        format_grouped(grouped, sizeof grouped, body.p, body.n, f->group,
                       base == 10 ? 3 : 4);
        body = qn_view_cstr(grouped);
    }
    format_lay(f, qn_view_of(head, n_head), body, '>', sb);
    return sb->rc;
}

/* |x| as C prints it, whatever the locale's decimal point is. */
static void format_c_float(const field *f, double x, char type, int precision,
                           char *buf, size_t cap)
{
    char spec[16];

    snprintf(spec, sizeof spec, "%%%s.*%c", f->alt ? "#" : "", type);
    snprintf(buf, cap, spec, precision, x);
    for (char *p = buf; *p && isfinite(x); p++)
        if (!(*p >= '0' && *p <= '9') && !strchr("eE+-", *p))
            *p = '.';
}

/* Without a type, "%g" always shows that it is a float. */
static void format_mark_float(char *buf, size_t cap)
{
    size_t n = strlen(buf);

    if (!strpbrk(buf, ".einf") && n + 3 <= cap)
        memcpy(buf + n, ".0", 3);
}

static int format_float(qn_jrt *rt, const field *f, double x, qn_jsb *sb)
{
    char buf[FORMAT_MAX_PRECISION + 400], grouped[2 * sizeof buf];
    char type = f->type, head[2] = {0};
    int precision = f->precision < 0 ? 6 : (int)f->precision;

    if (f->precision > FORMAT_MAX_PRECISION)
        return qn_jrt_fail(rt, QN_ELIMIT, "a precision of more than %d",
                           FORMAT_MAX_PRECISION);
    bool minus = signbit(x) && !isnan(x);
    double mag = fabs(x);
    if (type == 0 && f->precision < 0) {
        buf[qn_jv_float_text(mag, buf)] = 0;
    } else if (type == 0) {
        format_c_float(f, mag, 'g', precision ? precision : 1, buf, sizeof buf);
        format_mark_float(buf, sizeof buf);
    } else if (type == '%') {
        format_c_float(f, mag * 100, 'f', precision, buf, sizeof buf);
        size_t n = strlen(buf);
        memcpy(buf + n, "%", 2);
    } else {
        format_c_float(f, mag, type, precision, buf, sizeof buf);
    }
    qn_view body = qn_view_cstr(buf);
    if (f->group) {
        size_t whole = strspn(buf, "0123456789");
        if (f->align == '=' && f->width > 0)
            return qn_jrt_fail(rt, QN_EUNSUP, "zero padding with grouping");
        format_grouped(grouped, sizeof grouped, buf, whole, f->group, 3);
        strcat(grouped, buf + whole);
        body = qn_view_cstr(grouped);
    }
    head[0] = format_sign(f, minus);
    format_lay(f, qn_view_of(head, head[0] != 0), body, '>', sb);
    return sb->rc;
}

/* ---- "..." % values ------------------------------------------------------ */

typedef struct percent {
    qn_jrt *rt;
    qn_view rest;
    qn_jval args; /* as given */
    uint32_t next;
    bool mapping; /* %(name)s may be used, and arguments may be left over */
} percent;

static int percent_arg(percent *p, qn_jval *out)
{
    bool tuple = p->args.type == QN_J_TUPLE;
    uint32_t n = tuple ? p->args.u.list->n : 1;

    if (p->next >= n)
        return qn_jrt_fail(p->rt, QN_EINVAL,
                           "not enough arguments for format string");
    *out = tuple ? p->args.u.list->v[p->next] : p->args;
    p->next++;
    return 0;
}

static bool percent_skip(percent *p, char c)
{
    if (!p->rest.n || *p->rest.p != c)
        return false;
    p->rest = qn_view_of(p->rest.p + 1, p->rest.n - 1);
    return true;
}

/* A width or precision: digits or *. */
static int percent_count(percent *p, int64_t *out)
{
    qn_jval v;

    *out = 0;
    if (percent_skip(p, '*')) {
        QN_TRY(percent_arg(p, &v));
        QN_TRY(qn_jarg_int(p->rt, v, "* in a format", out));
    }
    while (p->rest.n && *p->rest.p >= '0' && *p->rest.p <= '9' &&
           *out <= FORMAT_MAX_WIDTH) {
        *out = *out * 10 + (*p->rest.p - '0');
        p->rest = qn_view_of(p->rest.p + 1, p->rest.n - 1);
    }
    if (*out > FORMAT_MAX_WIDTH)
        return qn_jrt_fail(p->rt, QN_ELIMIT, "a format wider than %d",
                           FORMAT_MAX_WIDTH);
    return 0;
}

static int percent_key(percent *p, qn_jval *out)
{
    int depth = 1;
    size_t n = 0;

    for (; n < p->rest.n; n++) {
        depth += (p->rest.p[n] == '(') - (p->rest.p[n] == ')');
        if (depth == 0)
            break;
    }
    if (depth != 0)
        return qn_jrt_fail(p->rt, QN_EINVAL, "incomplete format key");
    if (p->args.type != QN_J_DICT)
        return qn_jrt_fail(p->rt, QN_EINVAL, "format requires a mapping");
    qn_view key = {p->rest.p, n};
    if (!qn_jv_dict_find_str(p->args.u.dict, key, out))
        return qn_jrt_fail(p->rt, QN_EINVAL, "format: no key '%.*s'",
                           (int)QN_MIN(n, (size_t)60), key.p);
    p->rest = qn_view_of(p->rest.p + n + 1, p->rest.n - n - 1);
    return 0;
}

static int percent_flags(percent *p, field *f)
{
    bool minus = false, zero = false;

    *f = (field){.fill = {" ", 1}, .align = '>', .precision = -1};
    for (bool any = true; any;) {
        any = false;
        if (percent_skip(p, '-'))
            any = minus = true;
        else if (percent_skip(p, '0'))
            any = zero = true;
        else if (percent_skip(p, '#'))
            any = f->alt = true;
        else if (percent_skip(p, '+'))
            any = (f->sign = '+') != 0;
        else if (percent_skip(p, ' '))
            any = (f->sign = f->sign ? f->sign : ' ') != 0;
    }
    QN_TRY(percent_count(p, &f->width));
    if (f->width < 0) {
        minus = true;
        f->width = -f->width;
    }
    if (percent_skip(p, '.')) {
        QN_TRY(percent_count(p, &f->precision));
        f->precision = QN_MAX(f->precision, 0);
    }
    if (p->rest.n && strchr("hlL", *p->rest.p))
        p->rest = qn_view_of(p->rest.p + 1, p->rest.n - 1);
    if (minus)
        f->align = '<';
    else if (zero)
        f->align = '=';
    return 0;
}

static int percent_number(percent *p, field *f, qn_jval v, qn_jsb *sb)
{
    int64_t i;

    if (f->align == '=')
        f->fill = qn_view_of("0", 1);
    if (strchr("diuoxX", f->type)) {
        bool decimal = strchr("diu", f->type) != NULL;
        if (v.type == QN_J_FLOAT && decimal && isfinite(v.u.f) &&
            fabs(v.u.f) < 9e18)
            v = qn_jv_int((int64_t)v.u.f);
        if (!qn_jv_as_int(v, &i))
            return format_fail(p->rt, f->type, v);
        return format_int(p->rt, f, i, sb);
    }
    if (!qn_jv_is_number(v))
        return format_fail(p->rt, f->type, v);
    return format_float(p->rt, f, qn_jv_as_int(v, &i) ? (double)i : v.u.f, sb);
}

static int percent_char(percent *p, const field *f, qn_jval v, qn_jsb *sb)
{
    qn_jsb one = qn_jsb_new(p->rt);
    qn_jval text = v;
    int64_t i;

    if (qn_jv_as_int(v, &i) && i >= 0 && i < 0x110000 &&
        (i < 0xd800 || i >= 0xe000)) {
        qn_jsb_cp(&one, (uint32_t)i);
        QN_TRY(qn_jsb_done(&one, &text));
    } else if (v.type != QN_J_STR || qn_jchars_count(qn_jv_text(v)) != 1) {
        return format_fail(p->rt, 'c', v);
    }
    format_lay(f, (qn_view){0}, qn_jv_text(text), '>', sb);
    return sb->rc;
}

static int percent_field(percent *p, qn_jsb *sb)
{
    qn_jval v = qn_jv_none(), text;
    bool keyed = false;
    field f;

    if (percent_skip(p, '(')) {
        QN_TRY(percent_key(p, &v));
        keyed = true;
    }
    QN_TRY(percent_flags(p, &f));
    if (!p->rest.n)
        return qn_jrt_fail(p->rt, QN_EINVAL, "incomplete format");
    f.type = *p->rest.p;
    p->rest = qn_view_of(p->rest.p + 1, p->rest.n - 1);
    if (f.type == '%') {
        qn_jsb_addc(sb, '%');
        return sb->rc;
    }
    if (!f.type || !strchr("srdiuoxXeEfFgGc", f.type))
        return qn_jrt_fail(p->rt, f.type == 'a' ? QN_EUNSUP : QN_EINVAL,
                           "unsupported format character '%c'",
                           (unsigned char)f.type < 0x80 ? f.type : '?');
    if (!keyed)
        QN_TRY(percent_arg(p, &v));
    if (f.type == 'c')
        return percent_char(p, &f, v, sb);
    if (f.type != 's' && f.type != 'r')
        return percent_number(p, &f, v, sb);
    qn_jsb whole = qn_jsb_new(p->rt);
    QN_TRY(f.type == 's' ? qn_jv_str_to(p->rt, v, &whole)
                         : qn_jv_repr_to(p->rt, v, &whole));
    QN_TRY(qn_jsb_done(&whole, &text));
    f.sign = 0;
    f.alt = false;
    if (f.align == '=')
        f.align = '>';
    return format_text(p->rt, &f, qn_jv_text(text), sb);
}

int qn_jv_percent(qn_jrt *rt, qn_view fmt, qn_jval args, qn_jval *out)
{
    percent p = {.rt = rt, .rest = fmt, .args = args};
    qn_jsb sb = qn_jsb_new(rt);

    p.mapping = args.type == QN_J_DICT || args.type == QN_J_LIST ||
                args.type == QN_J_UNDEF || args.type == QN_J_RANGE;
    QN_TRY(qn_jrt_pay(rt, fmt.n));
    while (p.rest.n && sb.rc == 0) {
        const char *hit = memchr(p.rest.p, '%', p.rest.n);
        size_t n = hit ? (size_t)(hit - p.rest.p) : p.rest.n;
        qn_jsb_add(&sb, p.rest.p, n);
        p.rest = qn_view_of(p.rest.p + n, p.rest.n - n);
        if (percent_skip(&p, '%'))
            QN_TRY(percent_field(&p, &sb));
    }
    uint32_t given = args.type == QN_J_TUPLE ? args.u.list->n : 1;
    if (p.next < given && !p.mapping)
        return qn_jrt_fail(rt, QN_EINVAL,
                           "not all arguments converted during string "
                           "formatting");
    return qn_jsb_done(&sb, out);
}

/* ---- "...".format(values) ------------------------------------------------ */

typedef struct formatter {
    qn_jrt *rt;
    const qn_jargs *args;
    int64_t next; /* automatic numbering */
    bool by_hand; /* numbers were given  */
} formatter;

static int format_render(formatter *f, qn_view fmt, int depth, qn_jsb *sb);

static bool format_is_align(char c)
{
    return c == '<' || c == '>' || c == '^' || c == '=';
}

static int format_parse_spec(qn_jrt *rt, qn_view s, field *f)
{
    percent p = {.rt = rt, .rest = s};
    size_t len = 0;

    *f = (field){.fill = {" ", 1}, .precision = -1};
    if (s.n)
        qn_jchars_at(s, &len);
    if (len && s.n > len && format_is_align(s.p[len])) {
        f->fill = qn_view_of(s.p, len);
        f->align = s.p[len];
        p.rest = qn_view_of(s.p + len + 1, s.n - len - 1);
    } else if (s.n && format_is_align(s.p[0])) {
        f->align = s.p[0];
        p.rest = qn_view_of(s.p + 1, s.n - 1);
    }
    if (percent_skip(&p, '+'))
        f->sign = '+';
    else if (percent_skip(&p, ' '))
        f->sign = ' ';
    else
        percent_skip(&p, '-');
    f->alt = percent_skip(&p, '#');
    bool filled = f->align && f->fill.p == s.p;
    if (!filled && percent_skip(&p, '0')) {
        f->fill = qn_view_of("0", 1);
        f->zero = true;
    }
    if (!(p.rest.n && *p.rest.p == '*'))
        QN_TRY(percent_count(&p, &f->width));
    if (percent_skip(&p, ','))
        f->group = ',';
    else if (percent_skip(&p, '_'))
        f->group = '_';
    if (percent_skip(&p, '.')) {
        if (!p.rest.n || *p.rest.p < '0' || *p.rest.p > '9')
            return qn_jrt_fail(rt, QN_EINVAL,
                               "Format specifier missing precision");
        QN_TRY(percent_count(&p, &f->precision));
    }
    if (p.rest.n) {
        f->type = *p.rest.p;
        p.rest.n--;
    }
    if (p.rest.n || (f->type && !strchr("sdboxXceEfFgG%", f->type)))
        return qn_jrt_fail(rt, f->type == 'n' ? QN_EUNSUP : QN_EINVAL,
                           "Invalid format specifier '%.*s'",
                           (int)QN_MIN(s.n, (size_t)60), s.p);
    return 0;
}

static int format_value(qn_jrt *rt, qn_jval v, qn_view spec, qn_jsb *sb)
{
    field f;
    int64_t i;

    if (spec.n == 0)
        return qn_jv_str_to(rt, v, sb);
    QN_TRY(format_parse_spec(rt, spec, &f));
    if (v.type == QN_J_STR && (!f.type || f.type == 's'))
        return format_text(rt, &f, qn_jv_text(v), sb);
    if (!qn_jv_is_number(v) || f.type == 's')
        return format_fail(rt, f.type, v);
    if (f.zero && !f.align)
        f.align = '=';
    if (qn_jv_as_int(v, &i)) {
        if (!f.type || strchr("dboxX", f.type)) {
            if (f.precision >= 0)
                return qn_jrt_fail(rt, QN_EINVAL,
                                   "Precision not allowed in integer format "
                                   "specifier");
            return format_int(rt, &f, i, sb);
        }
        if (f.type == 'c') {
            percent p = {.rt = rt};
            f.align = f.align ? f.align : '<';
            return percent_char(&p, &f, qn_jv_int(i), sb);
        }
        return format_float(rt, &f, (double)i, sb);
    }
    if (f.type && strchr("dboxXc", f.type))
        return format_fail(rt, f.type, v);
    return format_float(rt, &f, v.u.f, sb);
}

static bool format_all_digits(qn_view s)
{
    for (size_t k = 0; k < s.n; k++)
        if (s.p[k] < '0' || s.p[k] > '9')
            return false;
    return s.n > 0;
}

static int format_positional(formatter *f, int64_t i, qn_jval *out)
{
    if (i < 0 || i >= f->args->n_pos)
        return qn_jrt_fail(f->rt, QN_EINVAL, "Replacement index out of range");
    *out = f->args->pos[i];
    return 0;
}

/* The argument that a field names: its whole text is `all`, of which `name`
 * is what comes before any .attr or [item]. */
static int format_first(formatter *f, qn_view all, qn_view name, qn_jval *out)
{
    int64_t i = -1;
    bool overflow, number = format_all_digits(all);

    if ((all.n == 0 && f->by_hand) || (number && f->next > 0))
        return qn_jrt_fail(f->rt, QN_EINVAL,
                           "cannot mix automatic and given field numbers");
    if (all.n == 0)
        return format_positional(f, f->next++, out);
    f->by_hand |= number;
    if (format_all_digits(name)) {
        if (!qn_jv_parse_int(name, 10, &i, &overflow))
            i = -1;
        return format_positional(f, i, out);
    }
    for (uint32_t k = 0; k < f->args->n_kw; k++) {
        if (qn_view_eq(f->args->kw[k].name, name)) {
            *out = f->args->kw[k].value;
            return 0;
        }
    }
    return qn_jrt_fail(f->rt, QN_EINVAL, "format: no argument '%.*s'",
                       (int)QN_MIN(name.n, (size_t)60), name.p);
}

/* name, then .attr and [item]. */
static int format_lookup(formatter *f, qn_view name, qn_jval *out)
{
    size_t n = 0;

    while (n < name.n && name.p[n] != '.' && name.p[n] != '[')
        n++;
    QN_TRY(format_first(f, name, qn_view_of(name.p, n), out));
    while (n < name.n) {
        bool item = name.p[n++] == '[';
        size_t from = n;
        while (n < name.n &&
               (item ? name.p[n] != ']' : name.p[n] != '.' && name.p[n] != '['))
            n++;
        qn_view part = {name.p + from, n - from};
        if (part.n == 0 || (item && n == name.n))
            return qn_jrt_fail(f->rt, QN_EINVAL,
                               "Empty attribute in format string");
        n += item;
        if (n < name.n && name.p[n] != '.' && name.p[n] != '[')
            return qn_jrt_fail(f->rt, QN_EINVAL,
                               "only '.' or '[' may follow ']' in format "
                               "field specifier");
        qn_jval key = qn_jv_view(part);
        bool overflow;
        int64_t i;
        if (item && format_all_digits(part) &&
            qn_jv_parse_int(part, 10, &i, &overflow))
            key = qn_jv_int(i);
        QN_TRY(item ? qn_jrt_getitem(f->rt, *out, key, out)
                    : qn_jrt_getattr(f->rt, *out, part, out));
    }
    return 0;
}

/* The field "name!conversion:spec" at the beginning of *rest, with its "}". */
static int format_field(formatter *f, qn_view *rest, int depth, qn_jsb *sb)
{
    size_t n = 0, name_end, spec_at;
    int open = 1, bracket = 0;
    char conv = 0;
    qn_jval v, text;

    while (n < rest->n && (bracket || !strchr("!:{}", rest->p[n]))) {
        bracket += rest->p[n] == '[' ? 1 : rest->p[n] == ']' ? -1 : 0;
        n++;
    }
    name_end = n;
    if (n + 1 < rest->n && rest->p[n] == '!') {
        conv = rest->p[n + 1];
        n += 2;
    }
    bool has_spec = n < rest->n && rest->p[n] == ':';
    spec_at = n + has_spec;
    for (n = spec_at; n < rest->n; n++) {
        open += (rest->p[n] == '{') - (rest->p[n] == '}');
        if (open == 0)
            break;
    }
    if (open != 0 || (!has_spec && n != spec_at))
        return qn_jrt_fail(f->rt, QN_EINVAL,
                           "a field of a format string does "
                           "not end with '}'");
    QN_TRY(format_lookup(f, qn_view_of(rest->p, name_end), &v));
    if (conv == 's') {
        QN_TRY(qn_jv_to_str(f->rt, v, &v));
    } else if (conv == 'r') {
        qn_jsb r = qn_jsb_new(f->rt);
        QN_TRY(qn_jv_repr_to(f->rt, v, &r));
        QN_TRY(qn_jsb_done(&r, &v));
    } else if (conv) {
        return qn_jrt_fail(f->rt, conv == 'a' ? QN_EUNSUP : QN_EINVAL,
                           "unknown conversion in a format string");
    }
    qn_jsb spec = qn_jsb_new(f->rt);
    QN_TRY(format_render(f, qn_view_of(rest->p + spec_at, n - spec_at),
                         depth - 1, &spec));
    QN_TRY(qn_jsb_done(&spec, &text));
    *rest = qn_view_of(rest->p + n + 1, rest->n - n - 1);
    return format_value(f->rt, v, qn_jv_text(text), sb);
}

static int format_render(formatter *f, qn_view s, int depth, qn_jsb *sb)
{
    if (depth < 0)
        return qn_jrt_fail(f->rt, QN_EINVAL, "Max string recursion exceeded");
    while (s.n && sb->rc == 0) {
        char c = *s.p;
        bool twice = s.n > 1 && s.p[1] == c;
        s = qn_view_of(s.p + 1, s.n - 1);
        if ((c != '{' && c != '}') || twice) {
            qn_jsb_addc(sb, c);
            if (c == '{' || c == '}')
                s = qn_view_of(s.p + 1, s.n - 1);
            continue;
        }
        if (c == '}')
            return qn_jrt_fail(f->rt, QN_EINVAL,
                               "Single '}' encountered in format string");
        QN_TRY(qn_jrt_step(f->rt, 1));
        QN_TRY(format_field(f, &s, depth, sb));
    }
    return sb->rc;
}

int qn_jv_format(qn_jrt *rt, qn_view fmt, const qn_jargs *a, qn_jval *out)
{
    formatter f = {.rt = rt, .args = a};
    qn_jsb sb = qn_jsb_new(rt);

    QN_TRY(format_render(&f, fmt, 2, &sb));
    return qn_jsb_done(&sb, out);
}
