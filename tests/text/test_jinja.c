/* test_jinja.c - the template language against recorded results of jinja2, and
 * what no reference can tell: limits, messages, what is refused. */
#include "jinja_cases.h"

static json_t *context(void)
{
    return json_pack("{s:s, s:[i,i,i], s:{s:i}}", "s", "text", "l", 3, 1, 2,
                     "d", "a", 1);
}

/* Renders over context(); the result lives until the next call. */
static const char *rendered(const char *text, qn_err *err)
{
    static char *last;
    json_t *c = context();

    free(last);
    last = jinja_render(text, c, QN_JINJA_CHAT, NULL, err);
    json_decref(c);
    return last;
}

static void test_semantics(void **state)
{
    json_t *file = jinja_read_json(qn_test_data("templates/semantics.json"));
    const json_t *c = json_object_get(file, "context");
    const json_t *cases = json_object_get(file, "cases");
    struct tm now = jinja_clock("2025-01-15 12:34:56");
    qn_jinja_opts opts = {.now = &now};
    size_t passed = 0, n = json_array_size(cases);

    (void)state;
    for (size_t i = 0; i < n; i++) {
        const json_t *one = json_array_get(cases, i);
        const char *text = json_string_value(json_array_get(one, 1));
        const char *want = json_string_value(json_array_get(one, 2));
        qn_err err;
        char *got =
            jinja_render(text, c,
                         (unsigned)json_integer_value(json_array_get(one, 0)),
                         &opts, &err);
        passed += jinja_same(text, got, want, &err);
        free(got);
    }
    assert_true(n > 2000);
    assert_int_equal(passed, n);
    json_decref(file);
}

static void fails(const char *text, int code, const char *part)
{
    qn_err err;

    assert_null(rendered(text, &err));
    if (err.code != code || !strstr(err.msg, part))
        fail_msg("%s: %d %s", text, err.code, err.msg);
}

static void test_messages(void **state)
{
    (void)state;
    fails("a\n{{ 1 + }}", QN_EFORMAT, "template case, line 2: unexpected }}");
    fails("{% if s %}\n\n{% for x in l %}", QN_EFORMAT,
          "line 3: {% for %} without its {% endfor %}");
    fails("{% if s %}{% endfor %}", QN_EFORMAT, "unknown tag 'endfor'");
    fails("{{ s|nosuch }}", QN_EFORMAT, "no filter named 'nosuch'");
    fails("{{ 'abc }}", QN_EFORMAT, "without its closing '");
    fails("{{ (1] }}", QN_EFORMAT, "a ']' that closes nothing");
    fails("\n{{ nope.x }}", QN_EINVAL, "line 2: 'nope' is undefined");
    fails("{{ d.x.y }}", QN_EINVAL, "'dict object' has no attribute 'x'");
    fails("{{ l.append(1) }}", QN_EINVAL, "is unsafe");
    fails("{{ 1 + s }}", QN_EINVAL,
          "unsupported operand type(s) for +: 'int' and 'str'");
    fails("{{ raise_exception('my own words') }}", QN_EINVAL, "my own words");
    fails("{{ l|join(sep=1) }}", QN_EINVAL, "unexpected keyword argument");
    fails("{{ 9223372036854775807 + 1 }}", QN_ELIMIT, "64 bits");
    fails("{{ 99999999999999999999 }}", QN_EUNSUP, "64 bits");
}

/* What Jinja has and we do not says so, and is never skipped. */
static void test_refused(void **state)
{
    static const char *const texts[] = {
        "{% include 'x' %}",
        "{% import 'x' as y %}",
        "{% extends 'x' %}",
        "{% from 'x' import y %}",
        "{% block b %}{% endblock %}",
        "{{ self }}",
        "{% autoescape true %}{% endautoescape %}",
        "{{ s|urlize }}",
        "{{ lipsum() }}",
        "{{ s.encode() }}",
        "{{ l|map('upper') }}",
        "{{ s.upper }}",
        "{{ l[1:2, 3] }}",
        "{{ '{:n}'.format(1) }}",
        "{{ strftime_now('%Q') }}",
        "{{ '\\N{DASH}' }}"};
    qn_err err;

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_null(rendered(texts[i], &err));
        if (err.code != QN_EUNSUP)
            fail_msg("%s: %d %s", texts[i], err.code, err.msg);
    }
}

static void test_mutable(void **state)
{
    static const char text[] =
        "{% set a = [3, 1] %}{% set _ = a.append(2) %}{% set _ = a.insert(0, "
        "9) %}{{ a.pop() }}{{ a.pop(0) }}{{ a }}{% set _ = a.extend((5, 6)) %}"
        "{% set _ = a.remove(1) %}{% set _ = a.reverse() %}{{ a }}"
        "{% set e = {'k': 1} %}{% set _ = e.update({'m': 2}, n=3) %}"
        "{{ e.pop('k') }}{{ e.pop('zz', 7) }}{{ e.setdefault('o', 4) }}{{ e }}"
        "{% set _ = e.clear() %}{{ e }}{% set _ = a.clear() %}{{ a }}";
    qn_jinja_opts opts = {.mutable_values = true};
    qn_err err;
    json_t *c = context();

    (void)state;
    char *got = jinja_render(text, c, 0, &opts, &err);
    assert_string_equal(got, "29[3, 1][6, 5, 3]174{'m': 2, 'n': 3, 'o': 4}"
                             "{}[]");
    free(got);
    assert_null(jinja_render(text, c, 0, NULL, &err));
    json_decref(c);
}

static void limited(const char *text, qn_jinja_limits limits, const char *part)
{
    qn_jinja_opts opts = {.limits = limits};
    qn_err err;
    json_t *c = context();

    assert_null(jinja_render(text, c, QN_JINJA_CHAT, &opts, &err));
    if (err.code != QN_ELIMIT || !strstr(err.msg, part))
        fail_msg("%s: %d %s", text, err.code, err.msg);
    json_decref(c);
}

static void test_limits(void **state)
{
    static const char forever[] =
        "{% for a in range(99999) %}{% for b in range(99999) %}"
        "{% for c in range(99999) %}{% endfor %}{% endfor %}{% endfor %}";
    static const char grow[] =
        "{% set ns = namespace(s='xxxxxxxxxxxxxxxx') %}{% for a in range(60) %}"
        "{% set ns.s = ns.s * 2 %}{% endfor %}";
    static const char call[] =
        "{% macro m(x) %}{{ m(x) }}{% endmacro %}{{ m(1) }}";
    static const char nest[] =
        "{% set ns = namespace(v=[]) %}{% for a in range(9000) %}"
        "{% set ns.v = [ns.v] %}{% endfor %}";
    char text[400];

    (void)state;
    limited(forever, (qn_jinja_limits){.steps = 100000}, "100000 steps");
    limited(grow, (qn_jinja_limits){.memory = 32 << 20}, "bytes of memory");
    limited("{% for a in range(999) %}0123456789{% endfor %}",
            (qn_jinja_limits){.output = 5000}, "more than 5000 bytes");
    limited("{{ 'x' * 99999999999 }}", (qn_jinja_limits){0}, "repeating");
    limited("{{ [0] * 4000000000 }}", (qn_jinja_limits){0}, "steps");
    limited("{{ 'x'.center(4000000000) }}", (qn_jinja_limits){0}, "");
    limited("{{ '%999999999d' % 1 }}", (qn_jinja_limits){0}, "wider");
    limited(call, (qn_jinja_limits){0}, "nested deeper than 2000");
    limited("{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
            (qn_jinja_limits){0}, "nested deeper");
    /* Values as deep as that are made, but not printed, compared, dumped. */
    static const char *const deep[] = {"ns.v", "ns.v|tojson", "ns.v == [ns.v]",
                                       "ns.v < [ns.v]"};
    for (size_t i = 0; i < sizeof deep / sizeof *deep; i++) {
        snprintf(text, sizeof text, "%s{{ %s }}", nest, deep[i]);
        limited(text, (qn_jinja_limits){0}, "nested deeper");
    }
    snprintf(text, sizeof text,
             "{%% set ns = namespace(v=[1]) %%}{%% for a in range(9000) %%}"
             "{%% set ns.v = ns.v|select %%}{%% endfor %%}{{ ns.v|list }}");
    limited(text, (qn_jinja_limits){0}, "nested deeper");
}

/* Deep and long templates, and half of each. */
static void test_hostile_syntax(void **state)
{
    static const char *const parts[] = {"{{ (",        "{{ [",
                                        "{{ {1:",      "{{ -",
                                        "{{ not ",     "{{ 1 if ",
                                        "{{ a.",       "{{ a|b(",
                                        "{% if a %}",  "{% for a in b %}",
                                        "{{ a + ",     "{{ a ~ ",
                                        "{% set a %}", "{% macro m() %}",
                                        "{{ a is b(",  "{{ a[",
                                        "{% raw %}",   "{#",
                                        "{{ '\\",      "{{ a if b else "};
    char *text = malloc(200001);
    qn_err err;

    (void)state;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        const char *p = parts[i], *rest = p[1] == '{' ? p + 3 : p;
        size_t n = strlen(rest), at = 0;
        for (at = (size_t)snprintf(text, 100, "%s", p); at + n < 200000;
             at += n)
            memcpy(text + at, rest, n);
        text[at] = 0;
        assert_null(rendered(text, &err));
        assert_true(err.code < 0);
    }
    free(text);
}

/* A long chain of concatenations must not copy what it has each time. */
static void test_concat_is_linear(void **state)
{
    qn_jinja_opts opts = {.limits = {.memory = 64 << 20}};
    qn_err err;
    json_t *c = context();

    (void)state;
    char *got = jinja_render("{% set ns = namespace(s='') %}"
                             "{% for a in range(99999) %}"
                             "{% set ns.s = ns.s + 'abcdefgh' %}"
                             "{% endfor %}{{ ns.s|length }}",
                             c, 0, &opts, &err);
    assert_string_equal(got, "799992");
    free(got);
    json_decref(c);
}

static void test_floats(void **state)
{
    static const struct {
        const char *expr, *want;
    } cases[] = {
        {"2.0 ** -44", "5.684341886080802e-14"},
        {"9007199254740993 / 1", "9007199254740992.0"},
        {"5e-324", "5e-324"},
        {"2.2250738585072014e-308", "2.2250738585072014e-308"},
        {"1.7976931348623157e308", "1.7976931348623157e+308"},
        {"123456789012345680.0", "1.2345678901234568e+17"},
        {"0.1 + 0.2", "0.30000000000000004"},
        {"1e23", "1e+23"},
        {"9.5367431640625e-07", "9.5367431640625e-07"},
    };
    char text[80];
    qn_err err;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(text, sizeof text, "{{ %s }}", cases[i].expr);
        assert_string_equal(rendered(text, &err), cases[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_semantics),
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_mutable),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_hostile_syntax),
        cmocka_unit_test(test_concat_is_linear),
        cmocka_unit_test(test_floats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
