/* jinja_tests.c - what may stand behind `is`. */
#include "text/jinja_rt.h"

static int tests_bool(qn_jval *out, bool b)
{
    *out = qn_jv_bool(b);
    return 0;
}

/* ---- by type ------------------------------------------------------------- */

static int tests_defined(qn_jrt *rt, qn_jval v, const qn_jargs *a, qn_jval *out)
{
    (void)rt, (void)a;
    return tests_bool(out, v.type != QN_J_UNDEF);
}

static int tests_undefined(qn_jrt *rt, qn_jval v, const qn_jargs *a,
                           qn_jval *out)
{
    (void)rt, (void)a;
    return tests_bool(out, v.type == QN_J_UNDEF);
}

static int tests_none(qn_jrt *rt, qn_jval v, const qn_jargs *a, qn_jval *out)
{
    (void)rt, (void)a;
    return tests_bool(out, v.type == QN_J_NONE);
}

static int tests_boolean(qn_jrt *rt, qn_jval v, const qn_jargs *a, qn_jval *out)
{
    (void)rt, (void)a;
    return tests_bool(out, v.type == QN_J_BOOL);
}

static int tests_true(qn_jrt *rt, qn_jval v, const qn_jargs *a, qn_jval *out)
{
    (void)rt, (void)a;
    return tests_bool(out, v.type == QN_J_BOOL && v.u.b);
}

static int tests_false(qn_jrt *rt, qn_jval v, const qn_jargs *a, qn_jval *out)
{
    (void)rt, (void)a;
    return tests_bool(out, v.type == QN_J_BOOL && !v.u.b);
}

static int tests_integer(qn_jrt *rt, qn_jval v, const qn_jargs *a, qn_jval *out)
{
    (void)rt, (void)a;
    return tests_bool(out, v.type == QN_J_INT);
}

static int tests_float(qn_jrt *rt, qn_jval v, const qn_jargs *a, qn_jval *out)
{
    (void)rt, (void)a;
    return tests_bool(out, v.type == QN_J_FLOAT);
}

static int tests_number(qn_jrt *rt, qn_jval v, const qn_jargs *a, qn_jval *out)
{
    (void)rt, (void)a;
    return tests_bool(out, qn_jv_is_number(v));
}

static int tests_string(qn_jrt *rt, qn_jval v, const qn_jargs *a, qn_jval *out)
{
    (void)rt, (void)a;
    return tests_bool(out, v.type == QN_J_STR);
}

static int tests_mapping(qn_jrt *rt, qn_jval v, const qn_jargs *a, qn_jval *out)
{
    (void)rt, (void)a;
    return tests_bool(out, v.type == QN_J_DICT);
}

/* Has a length and can be subscripted: undefined values too. */
static int tests_sequence(qn_jrt *rt, qn_jval v, const qn_jargs *a,
                          qn_jval *out)
{
    (void)rt, (void)a;
    return tests_bool(out, v.type == QN_J_STR || qn_jv_is_seq(v) ||
                               v.type == QN_J_DICT || v.type == QN_J_RANGE ||
                               v.type == QN_J_UNDEF);
}

static int tests_iterable(qn_jrt *rt, qn_jval v, const qn_jargs *a,
                          qn_jval *out)
{
    (void)rt, (void)a;
    return tests_bool(out, qn_jv_iterable(v) || v.type == QN_J_LOOP);
}

/* Undefined has a __call__, which raises. */
static int tests_callable(qn_jrt *rt, qn_jval v, const qn_jargs *a,
                          qn_jval *out)
{
    (void)rt, (void)a;
    return tests_bool(out, v.type == QN_J_MACRO || v.type == QN_J_FUNC ||
                               v.type == QN_J_BOUND || v.type == QN_J_LOOP ||
                               v.type == QN_J_JOINER || v.type == QN_J_UNDEF);
}

static int tests_escaped(qn_jrt *rt, qn_jval v, const qn_jargs *a, qn_jval *out)
{
    (void)rt, (void)a;
    return tests_bool(out, qn_jv_is_markup(v));
}

/* ---- by value ------------------------------------------------------------ */

static int tests_mod(qn_jrt *rt, qn_jval v, qn_jval by, int64_t want,
                     qn_jval *out)
{
    QN_TRY(qn_jv_binary(rt, '%', v, by, &v));
    int eq = qn_jv_equal(rt, v, qn_jv_int(want));
    return eq < 0 ? eq : tests_bool(out, eq);
}

static int tests_odd(qn_jrt *rt, qn_jval v, const qn_jargs *a, qn_jval *out)
{
    (void)a;
    return tests_mod(rt, v, qn_jv_int(2), 1, out);
}

static int tests_even(qn_jrt *rt, qn_jval v, const qn_jargs *a, qn_jval *out)
{
    (void)a;
    return tests_mod(rt, v, qn_jv_int(2), 0, out);
}

static int tests_divisibleby(qn_jrt *rt, qn_jval v, const qn_jargs *a,
                             qn_jval *out)
{
    return tests_mod(rt, v, a->pos[0], 0, out);
}

static int tests_case(qn_jrt *rt, qn_jval v, const char *method, qn_jval *out)
{
    qn_jargs none = {0};
    qn_jval s;

    QN_TRY(qn_jv_to_str(rt, v, &s));
    return qn_jrt_call_builtin(rt,
                               qn_jfunc_find(qn_jinja_str_methods,
                                             qn_jinja_n_str_methods,
                                             qn_view_cstr(method)),
                               s, &none, out);
}

static int tests_lower(qn_jrt *rt, qn_jval v, const qn_jargs *a, qn_jval *out)
{
    (void)a;
    return tests_case(rt, v, "islower", out);
}

static int tests_upper(qn_jrt *rt, qn_jval v, const qn_jargs *a, qn_jval *out)
{
    (void)a;
    return tests_case(rt, v, "isupper", out);
}

static int tests_eq(qn_jrt *rt, qn_jval v, const qn_jargs *a, qn_jval *out)
{
    int rc = qn_jv_equal(rt, v, a->pos[0]);
    return rc < 0 ? rc : tests_bool(out, rc);
}

static int tests_ne(qn_jrt *rt, qn_jval v, const qn_jargs *a, qn_jval *out)
{
    int rc = qn_jv_equal(rt, v, a->pos[0]);
    return rc < 0 ? rc : tests_bool(out, !rc);
}

static int tests_order(qn_jrt *rt, char op, qn_jval v, const qn_jargs *a,
                       qn_jval *out)
{
    int rc = qn_jv_order(rt, op, v, a->pos[0]);
    return rc < 0 ? rc : tests_bool(out, rc);
}

static int tests_lt(qn_jrt *rt, qn_jval v, const qn_jargs *a, qn_jval *out)
{
    return tests_order(rt, '<', v, a, out);
}

static int tests_le(qn_jrt *rt, qn_jval v, const qn_jargs *a, qn_jval *out)
{
    return tests_order(rt, 'l', v, a, out);
}

static int tests_gt(qn_jrt *rt, qn_jval v, const qn_jargs *a, qn_jval *out)
{
    return tests_order(rt, '>', v, a, out);
}

static int tests_ge(qn_jrt *rt, qn_jval v, const qn_jargs *a, qn_jval *out)
{
    return tests_order(rt, 'g', v, a, out);
}

static int tests_in(qn_jrt *rt, qn_jval v, const qn_jargs *a, qn_jval *out)
{
    int rc = qn_jv_in(rt, v, a->pos[0]);
    return rc < 0 ? rc : tests_bool(out, rc);
}

/* Python's `is`. Objects by identity; numbers and strings of the same type and
 * value are taken for the same object, which Python leaves open. */
static int tests_sameas(qn_jrt *rt, qn_jval v, const qn_jargs *a, qn_jval *out)
{
    qn_jval w = a->pos[0];

    if (v.type != w.type)
        return tests_bool(out, false);
    if (qn_jv_is_number(v) || v.type == QN_J_STR || v.type == QN_J_NONE)
        return tests_eq(rt, v, a, out);
    return tests_bool(out, v.u.p == w.u.p);
}

/* Looked up in a dict, in Python: what cannot be a key fails. */
static int tests_filter(qn_jrt *rt, qn_jval v, const qn_jargs *a, qn_jval *out)
{
    uint64_t h;

    (void)a;
    QN_TRY(qn_jv_hash(rt, v, &h));
    return tests_bool(out, v.type == QN_J_STR &&
                               qn_jinja_filter(qn_jv_text(v)) != NULL);
}

static int tests_test(qn_jrt *rt, qn_jval v, const qn_jargs *a, qn_jval *out)
{
    uint64_t h;

    (void)a;
    QN_TRY(qn_jv_hash(rt, v, &h));
    return tests_bool(out, v.type == QN_J_STR &&
                               qn_jinja_is_test(qn_jv_text(v)) != NULL);
}

static const qn_jfunc tests_table[] = {
    {"!=", tests_ne, "/ other", 0},
    {"<", tests_lt, "/ other", 0},
    {"<=", tests_le, "/ other", 0},
    {"==", tests_eq, "/ other", 0},
    {">", tests_gt, "/ other", 0},
    {">=", tests_ge, "/ other", 0},
    {"boolean", tests_boolean, "", 0},
    {"callable", tests_callable, "", 0},
    {"defined", tests_defined, "", 0},
    {"divisibleby", tests_divisibleby, "num", 0},
    {"eq", tests_eq, "/ other", 0},
    {"equalto", tests_eq, "/ other", 0},
    {"escaped", tests_escaped, "", 0},
    {"even", tests_even, "", 0},
    {"false", tests_false, "", 0},
    {"filter", tests_filter, "", 0},
    {"float", tests_float, "", 0},
    {"ge", tests_ge, "/ other", 0},
    {"greaterthan", tests_gt, "/ other", 0},
    {"gt", tests_gt, "/ other", 0},
    {"in", tests_in, "seq", 0},
    {"integer", tests_integer, "", 0},
    {"iterable", tests_iterable, "", 0},
    {"le", tests_le, "/ other", 0},
    {"lessthan", tests_lt, "/ other", 0},
    {"lower", tests_lower, "", 0},
    {"lt", tests_lt, "/ other", 0},
    {"mapping", tests_mapping, "", 0},
    {"ne", tests_ne, "/ other", 0},
    {"none", tests_none, "", 0},
    {"number", tests_number, "", 0},
    {"odd", tests_odd, "", 0},
    {"sameas", tests_sameas, "other", 0},
    {"sequence", tests_sequence, "", 0},
    {"string", tests_string, "", 0},
    {"test", tests_test, "", 0},
    {"true", tests_true, "", 0},
    {"undefined", tests_undefined, "", 0},
    {"upper", tests_upper, "", 0},
};

const qn_jfunc *qn_jinja_is_test(qn_view name)
{
    return qn_jfunc_find(tests_table, QN_COUNTOF(tests_table), name);
}
