/* jinja_cases.c - recorded renderings, compared and counted. */
#include "jinja_cases.h"

static int n_shown;

json_t *jinja_read_json(const char *path)
{
    json_error_t e;
    json_t *j = json_load_file(path, JSON_ALLOW_NUL, &e);

    if (!j)
        fail_msg("%s: %s", path, e.text);
    return j;
}

char *jinja_render(const char *text, const json_t *context, unsigned flags,
                   const qn_jinja_opts *opts, qn_err *err)
{
    qn_jinja *t;
    qn_str out;

    *err = (qn_err){0};
    if (qn_jinja_compile(&t, text, strlen(text), "case", flags, err) < 0)
        return NULL;
    qn_str_init(&out);
    int rc = qn_jinja_render(t, context, opts, &out, err);
    qn_jinja_free(t);
    assert_int_equal(rc, err->code);
    if (rc < 0) {
        assert_int_equal(out.n, 0);
        qn_str_deinit(&out);
        return NULL;
    }
    return qn_str_take(&out, NULL);
}

struct tm jinja_clock(const char *text)
{
    struct tm t = {0};

    assert_non_null(strptime(text, "%Y-%m-%d %H:%M:%S", &t));
    return t;
}

bool jinja_same(const char *what, const char *got, const char *want,
                const qn_err *err)
{
    size_t i = 0;

    if (!want && !got && err->code != QN_EUNSUP)
        return true;
    if (want && got && strcmp(got, want) == 0)
        return true;
    if (n_shown++ >= 10)
        return false;
    while (got && want && got[i] && got[i] == want[i])
        i++;
    print_message("%s: at %zu: got %.60s, want %.60s\n", what, i,
                  got ? got + i : err->msg, want ? want + i : "an error");
    return false;
}

static char *case_render(const qn_chattpl *t, const json_t *file,
                         const json_t *conv, const json_t *one,
                         const struct tm *now, qn_err *err)
{
    const json_t *tools = json_object_get(conv, "tools");
    qn_chattpl_input in = {
        .messages = json_object_get(conv, "messages"),
        .tools = tools && !json_is_null(tools) ? tools : NULL,
        .special = json_object_get(file, "special"),
        .kwargs = json_object_get(one, "kwargs"),
        .add_generation_prompt = json_is_true(
            json_object_get(one, "add_generation_prompt")),
        .now = now,
    };
    qn_str out;

    *err = (qn_err){0};
    qn_str_init(&out);
    if (qn_chattpl_render(t, &in, &out, err) < 0) {
        qn_str_deinit(&out);
        return NULL;
    }
    return qn_str_take(&out, NULL);
}

static void case_template(const json_t *file, const json_t *tpl,
                          jinja_score *renders, jinja_score *raises)
{
    const char *name = json_string_value(json_object_get(tpl, "template"));
    const json_t *cases = json_object_get(tpl, "cases");
    struct tm now = jinja_clock(
        json_string_value(json_object_get(file, "now")));
    qn_chattpl *t;
    char what[200];

    assert_int_equal(qn_chattpl_open(&t, json_object_get(tpl, "source"), name,
                                     NULL),
                     0);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *one = json_array_get(cases, i);
        const char *conv = json_string_value(json_object_get(one, "conv"));
        const char *want = json_string_value(json_object_get(one, "output"));
        jinja_score *s = want ? renders : raises;
        qn_err err;
        char *got = case_render(t, file,
                                json_object_get(json_object_get(file, "convs"),
                                                conv),
                                one, &now, &err);
        snprintf(what, sizeof what, "%s %s", name, conv);
        s->total++;
        s->passed += jinja_same(what, got, want, &err);
        free(got);
    }
    qn_chattpl_close(t);
}

void jinja_run_chat(const json_t *file, jinja_score *renders,
                    jinja_score *raises)
{
    const json_t *all = json_object_get(file, "templates");

    for (size_t i = 0; i < json_array_size(all); i++)
        case_template(file, json_array_get(all, i), renders, raises);
}
