/* jinja_num.c - arithmetic, and numbers to and from text.
 *
 * Python's rules: / gives a float, // and % round towards minus infinity, a
 * bool is an int. Integers are 64 bits wide where Python's have no bound: what
 * does not fit is an error, never a wrong number. */
#include "text/jinja_rt.h"

#include "base/mem.h"
#include "text/jinja_chars.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- comparing ----------------------------------------------------------- */

/* Exact, also where the integer has no double of its own. */
static int num_cmp_int_float(int64_t i, double f)
{
    if (isnan(f))
        return 2;
    if (f >= 9223372036854775808.0)
        return -1;
    if (f < -9223372036854775808.0)
        return 1;
    int64_t whole = (int64_t)f;
    if (i != whole)
        return i < whole ? -1 : 1;
    double rest = f - (double)whole;
    return rest > 0 ? -1 : rest < 0;
}

int qn_jv_num_cmp(qn_jval a, qn_jval b)
{
    int64_t x, y;
    bool ix = qn_jv_as_int(a, &x), iy = qn_jv_as_int(b, &y);

    if (ix && iy)
        return x < y ? -1 : x > y;
    if (ix)
        return num_cmp_int_float(x, b.u.f);
    if (iy) {
        int c = num_cmp_int_float(y, a.u.f);
        return c == 2 ? 2 : -c;
    }
    if (isnan(a.u.f) || isnan(b.u.f))
        return 2;
    return a.u.f < b.u.f ? -1 : a.u.f > b.u.f;
}

/* ---- arithmetic ---------------------------------------------------------- */

static int num_overflow(qn_jrt *rt)
{
    return qn_jrt_fail(rt, QN_ELIMIT, "an integer result exceeds 64 bits");
}

static int num_zero(qn_jrt *rt)
{
    return qn_jrt_fail(rt, QN_EINVAL, "division by zero");
}

static int num_int_pow(qn_jrt *rt, int64_t a, int64_t b, qn_jval *out)
{
    int64_t r = 1;

    while (b > 0) {
        if ((b & 1) && __builtin_mul_overflow(r, a, &r))
            return num_overflow(rt);
        b >>= 1;
        if (b && __builtin_mul_overflow(a, a, &a))
            return num_overflow(rt);
    }
    *out = qn_jv_int(r);
    return 0;
}

static int num_float_pow(qn_jrt *rt, double a, double b, qn_jval *out)
{
    if (a == 0 && b < 0)
        return num_zero(rt);
    if (a < 0 && b != floor(b) && !isinf(a))
        return qn_jrt_fail(rt, QN_EUNSUP, "a complex number");
    double r = pow(a, b);
    if (isinf(r) && !isinf(a) && !isinf(b))
        return qn_jrt_fail(rt, QN_EINVAL, "numerical result out of range");
    *out = qn_jv_float(r);
    return 0;
}

static int num_ints(qn_jrt *rt, char op, int64_t a, int64_t b, qn_jval *out)
{
    int64_t r = 0;
    bool over = false;

    switch (op) {
    case '+': over = __builtin_add_overflow(a, b, &r); break;
    case '-': over = __builtin_sub_overflow(a, b, &r); break;
    case '*': over = __builtin_mul_overflow(a, b, &r); break;
    case '/':
        if (b == 0)
            return num_zero(rt);
        *out = qn_jv_float((double)((long double)a / (long double)b));
        return 0;
    case 'd':
    case '%':
        if (b == 0)
            return num_zero(rt);
        if (b == -1) {
            over = op == 'd' && __builtin_sub_overflow((int64_t)0, a, &r);
            break;
        }
        r = a % b;
        if (op == '%')
            r += r != 0 && (r < 0) != (b < 0) ? b : 0;
        else
            r = a / b - (r != 0 && (r < 0) != (b < 0));
        break;
    case 'p':
        if (b < 0)
            return num_float_pow(rt, (double)a, (double)b, out);
        return num_int_pow(rt, a, b, out);
    default: break;
    }
    if (over)
        return num_overflow(rt);
    *out = qn_jv_int(r);
    return 0;
}

static int num_floats(qn_jrt *rt, char op, double a, double b, qn_jval *out)
{
    double r = 0;

    if ((op == '/' || op == 'd' || op == '%') && b == 0)
        return num_zero(rt);
    switch (op) {
    case '+': r = a + b; break;
    case '-': r = a - b; break;
    case '*': r = a * b; break;
    case '/': r = a / b; break;
    case 'p': return num_float_pow(rt, a, b, out);
    default: {
        double mod = fmod(a, b), div = (a - mod) / b;
        if (mod == 0) {
            mod = copysign(0.0, b);
        } else if ((b < 0) != (mod < 0)) {
            mod += b;
            div -= 1;
        }
        if (div == 0) {
            div = copysign(0.0, a / b);
        } else {
            double down = floor(div);
            div = div - down > 0.5 ? down + 1 : down;
        }
        r = op == '%' ? mod : div;
    }
    }
    *out = qn_jv_float(r);
    return 0;
}

static int num_repeat(qn_jrt *rt, qn_jval v, int64_t times, qn_jval *out)
{
    bool str = v.type == QN_J_STR;
    size_t n = str ? v.n : v.u.list->n;

    if (times < 0 || n == 0)
        times = 0;
    if (times && (uint64_t)times > UINT32_MAX / n)
        return qn_jrt_fail(rt, QN_ELIMIT, "repeating something %lld times",
                           (long long)times);
    QN_TRY(qn_jrt_pay(rt, n * (size_t)times));
    if (str) {
        char *p = qn_jrt_alloc(rt, n * (size_t)times);
        if (!p)
            return rt->rc;
        for (int64_t i = 0; i < times; i++)
            memcpy(p + (size_t)i * n, v.u.s, n);
        *out = qn_jv_str(p, n * (size_t)times);
        out->flags = v.flags;
        return 0;
    }
    qn_jlist *l;
    QN_TRY(qn_jv_list_new(rt, (uint32_t)(n * (size_t)times), &l));
    for (int64_t i = 0; i < times; i++)
        memcpy(l->v + (size_t)i * n, v.u.list->v, n * sizeof *l->v);
    l->n = (uint32_t)(n * (size_t)times);
    *out = qn_jv_ptr((qn_jtype)v.type, l);
    return 0;
}

static int num_join(qn_jrt *rt, qn_jval a, qn_jval b, qn_jval *out)
{
    if (a.type == QN_J_STR) {
        if (qn_jv_is_markup(a) != qn_jv_is_markup(b))
            QN_TRY(qn_jrt_escape(rt, qn_jv_is_markup(a) ? b : a,
                                 qn_jv_is_markup(a) ? &b : &a));
        QN_TRY(qn_jrt_concat(rt, qn_jv_text(a), qn_jv_text(b), out));
        out->flags = a.flags & b.flags;
        return 0;
    }
    const qn_jlist *x = a.u.list, *y = b.u.list;
    qn_jlist *l;
    if (x->n > UINT32_MAX - y->n)
        return qn_jrt_fail(rt, QN_ELIMIT, "a list too long");
    QN_TRY(qn_jrt_pay(rt, x->n + y->n));
    QN_TRY(qn_jv_list_new(rt, x->n + y->n, &l));
    if (x->n)
        memcpy(l->v, x->v, x->n * sizeof *l->v);
    if (y->n)
        memcpy(l->v + x->n, y->v, y->n * sizeof *l->v);
    l->n = x->n + y->n;
    *out = qn_jv_ptr((qn_jtype)a.type, l);
    return 0;
}

static bool num_repeatable(qn_jval v)
{
    return v.type == QN_J_STR || qn_jv_is_seq(v);
}

static double num_as_double(qn_jval v)
{
    int64_t i;
    return qn_jv_as_int(v, &i) ? (double)i : v.u.f;
}

int qn_jv_binary(qn_jrt *rt, char op, qn_jval a, qn_jval b, qn_jval *out)
{
    int64_t x, y;
    bool ix = qn_jv_as_int(a, &x), iy = qn_jv_as_int(b, &y);

    if (ix && iy)
        return num_ints(rt, op, x, y, out);
    if (qn_jv_is_number(a) && qn_jv_is_number(b))
        return num_floats(rt, op, num_as_double(a), num_as_double(b), out);
    if (op == '%' && a.type == QN_J_STR) {
        if (qn_jv_is_markup(a))
            return qn_jrt_fail(rt, QN_EUNSUP, "formatting Markup with %%");
        return qn_jv_percent(rt, qn_jv_text(a), b, out);
    }
    if (op == '+' && a.type == b.type && num_repeatable(a))
        return num_join(rt, a, b, out);
    if (op == '*' && num_repeatable(a) && iy)
        return num_repeat(rt, a, y, out);
    if (op == '*' && num_repeatable(b) && ix)
        return num_repeat(rt, b, x, out);
    if (op == '-' && (a.type == QN_J_VIEW || b.type == QN_J_VIEW))
        return qn_jrt_fail(rt, QN_EUNSUP, "the difference of sets");
    char name[3] = {op == 'd' ? '/' : op == 'p' ? '*' : op, 0, 0};
    if (op == 'd' || op == 'p')
        name[1] = name[0];
    return qn_jrt_fail_op(rt, name, a, b);
}

int qn_jv_unary(qn_jrt *rt, char op, qn_jval v, qn_jval *out)
{
    int64_t i;

    if (qn_jv_as_int(v, &i)) {
        if (op == '-' && __builtin_sub_overflow((int64_t)0, i, &i))
            return num_overflow(rt);
        *out = qn_jv_int(i);
        return 0;
    }
    if (v.type == QN_J_FLOAT) {
        *out = qn_jv_float(op == '-' ? -v.u.f : v.u.f);
        return 0;
    }
    if (v.type == QN_J_UNDEF)
        return qn_jrt_fail_undef(rt, v);
    return qn_jrt_fail(rt, QN_EINVAL, "bad operand type for unary %c: '%s'", op,
                       qn_jv_type_name(v));
}

/* ---- text ---------------------------------------------------------------- */

/* strtod whatever the locale's decimal point is. */
static double num_strtod(const char *text)
{
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    double f = strtod_l(text, NULL, c);

    freelocale(c);
    return f;
}

/* f > 0 finite as `prec` digits (no point) and the exponent of the first. */
static int num_digits(double f, int prec, char digits[20])
{
    char buf[64];
    int n = 0;
    const char *p = buf;

    snprintf(buf, sizeof buf, "%.*e", prec - 1, f);
    for (; *p != 'e'; p++) /* the decimal point depends on the locale */
        if (*p >= '0' && *p <= '9')
            digits[n++] = *p;
    digits[n] = 0;
    return atoi(p + 1);
}

static bool num_reads_back(const char *digits, int exp, double f)
{
    char buf[48];

    snprintf(buf, sizeof buf, "%se%d", digits, exp - (int)strlen(digits) + 1);
    return strtod(buf, NULL) == f;
}

/* The shortest digits that read back as f. At a power of two the neighbours
 * are not equally far: the digits above the nearest ones may do where those
 * do not. */
static int num_shortest(double f, char digits[20])
{
    int exp = 0, from = f < 2.3e-308 ? 1 : 15;

    for (int prec = from; prec <= 17; prec++) {
        exp = num_digits(f, prec, digits);
        if (num_reads_back(digits, exp, f))
            break;
        char *last = digits + strlen(digits) - 1;
        if (*last != '9') {
            ++*last;
            if (num_reads_back(digits, exp, f))
                break;
        }
    }
    for (size_t n = strlen(digits); n > 1 && digits[n - 1] == '0'; n--)
        digits[n - 1] = 0;
    return exp;
}

size_t qn_jv_float_text(double f, char out[32])
{
    char digits[20], *o = out;

    if (isnan(f))
        return (size_t)snprintf(out, 32, "nan");
    if (signbit(f))
        *o++ = '-';
    f = fabs(f);
    if (isinf(f))
        return (size_t)(o - out) +
               (size_t)snprintf(o, 32 - (size_t)(o - out), "inf");
    if (f == 0)
        return (size_t)(o - out) +
               (size_t)snprintf(o, 32 - (size_t)(o - out), "0.0");
    int exp = num_shortest(f, digits), n = (int)strlen(digits);
    if (exp < -4 || exp >= 16) {
        *o++ = digits[0];
        if (n > 1)
            *o++ = '.';
        for (int i = 1; i < n; i++)
            *o++ = digits[i];
        o += snprintf(o, 8, "e%c%02d", exp < 0 ? '-' : '+', abs(exp));
        return (size_t)(o - out);
    }
    if (exp < 0) {
        *o++ = '0';
        *o++ = '.';
        for (int i = -1; i > exp; i--)
            *o++ = '0';
    }
    for (int i = 0; i < n || i <= exp; i++) {
        if (exp >= 0 && i == exp + 1)
            *o++ = '.';
        *o++ = i < n ? digits[i] : '0';
    }
    if (exp >= 0 && n <= exp + 1) {
        *o++ = '.';
        *o++ = '0';
    }
    return (size_t)(o - out);
}

static qn_view num_strip(qn_view s)
{
    size_t head = qn_jchars_space_prefix(s);

    s = qn_view_of(s.p + head, s.n - head);
    s.n -= qn_jchars_space_suffix(s);
    return s;
}

static bool num_is_word(qn_view s, const char *word)
{
    size_t n = strlen(word);

    if (s.n != n)
        return false;
    for (size_t i = 0; i < n; i++)
        if ((s.p[i] | 32) != word[i])
            return false;
    return true;
}

/* Moves the digits at *s to *o, without the single underscores that may stand
 * between them; their number. */
static size_t num_take_digits(qn_view *s, char **o)
{
    const char *from = s->p;
    size_t n = 0;

    for (; s->n; *s = qn_view_of(s->p + 1, s->n - 1)) {
        char c = *s->p;
        if (c >= '0' && c <= '9') {
            *(*o)++ = c;
            n++;
        } else if (c != '_' || s->p == from || s->p[-1] == '_' || s->n == 1 ||
                   s->p[1] < '0' || s->p[1] > '9') {
            break;
        }
    }
    return n;
}

static bool num_take_sign(qn_view *s)
{
    bool minus = s->n && *s->p == '-';

    if (minus || (s->n && *s->p == '+'))
        *s = qn_view_of(s->p + 1, s->n - 1);
    return minus;
}

/* The number without sign in s; buf has room for all of it. */
static bool num_scan_float(qn_view s, char *buf, double *out)
{
    char *o = buf;
    size_t n = num_take_digits(&s, &o);

    if (s.n && *s.p == '.') {
        s = qn_view_of(s.p + 1, s.n - 1);
        *o++ = '.';
        n += num_take_digits(&s, &o);
    }
    if (n == 0)
        return false;
    if (s.n && (*s.p | 32) == 'e') {
        s = qn_view_of(s.p + 1, s.n - 1);
        *o++ = 'e';
        if (num_take_sign(&s))
            *o++ = '-';
        if (num_take_digits(&s, &o) == 0)
            return false;
    }
    *o = 0;
    *out = num_strtod(buf);
    return s.n == 0;
}

bool qn_jv_parse_float(qn_view s, double *out)
{
    char few[64];
    bool ok = true;

    s = num_strip(s);
    bool minus = num_take_sign(&s);
    if (num_is_word(s, "inf") || num_is_word(s, "infinity")) {
        *out = HUGE_VAL;
    } else if (num_is_word(s, "nan")) {
        *out = NAN;
    } else {
        char *buf = s.n < sizeof few ? few : qn_xmalloc(s.n + 1);
        ok = num_scan_float(s, buf, out);
        if (buf != few)
            free(buf);
    }
    if (ok && minus)
        *out = -*out;
    return ok;
}

bool qn_jv_parse_int(qn_view s, int base, int64_t *out, bool *overflow)
{
    bool under = true, any = false;
    int64_t v = 0;

    *overflow = false;
    s = num_strip(s);
    bool minus = num_take_sign(&s);
    if (s.n > 1 && *s.p == '0') {
        char kind = (char)(s.p[1] | 32);
        int b = kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 0;
        if (b && (base == 0 || base == b)) {
            base = b;
            s = qn_view_of(s.p + 2, s.n - 2);
            under = false;
        }
    }
    bool zeros = base == 0; /* then 0 may only be followed by zeros */
    if (base == 0)
        base = 10;
    zeros = zeros && s.n && *s.p == '0';
    for (; s.n; s = qn_view_of(s.p + 1, s.n - 1)) {
        if (*s.p == '_') {
            if (under)
                return false;
            under = true;
            continue;
        }
        int d = qn_jchars_digit(*s.p);
        if (d >= base || (zeros && d > 0))
            return false;
        under = false;
        any = true;
        if (__builtin_mul_overflow(v, (int64_t)base, &v) ||
            __builtin_sub_overflow(v, (int64_t)d, &v))
            *overflow = true;
    }
    if (!any || under)
        return false;
    if (!minus && __builtin_sub_overflow((int64_t)0, v, &v))
        *overflow = true;
    *out = v;
    return !*overflow;
}
