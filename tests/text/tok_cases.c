/* tok_cases.c - see tok_cases.h. */
#include "tok_cases.h"

#include "base/json.h"
#include "base/utf8.h"

enum {
    SHOWN = 5
};

void tok_score_add(tok_score *s, bool ok, const char *what, const char *text)
{
    s->total++;
    s->passed += ok;
    if (!ok && s->total - s->passed <= SHOWN)
        print_message("%s: %s differs for \"%.120s\"\n", s->name, what, text);
}

void tok_score_end(const tok_score *s, const char *notes)
{
    print_message("%s: %zu of %zu\n", s->name, s->passed, s->total);
    /* what the tests' own data say is a part of that page's group, no more */
    if (notes && qn_test_shared("goldens/tokenizers"))
        qn_test_result("Tokenizers", s->name, s->passed, s->total, notes);
    assert_int_equal(s->passed, s->total);
}

json_t *tok_read_json(const char *path)
{
    qn_err err = {0};
    json_t *o = NULL;
    if (qn_json_load(&o, path, (size_t)64 << 20, &err) < 0)
        fail_msg("%s", err.msg);
    return o;
}

qn_tok *tok_open_json_file(const char *path)
{
    qn_err err = {0};
    size_t n;
    char *text = qn_test_read_file(path, &n);
    qn_tok *t = NULL;
    if (qn_tok_open_json(&t, qn_view_of(text, n), NULL, path, &err) < 0)
        fail_msg("%s", err.msg);
    free(text);
    return t;
}

bool tok_ids_equal(const qn_tok_ids *ids, const json_t *want)
{
    if (json_array_size(want) != ids->n)
        return false;
    for (size_t k = 0; k < ids->n; k++)
        if (json_integer_value(json_array_get(want, k)) != ids->v[k])
            return false;
    return true;
}

static bool spans_equal(const qn_tok_spans *spans, const json_t *want)
{
    if (json_array_size(want) != spans->n)
        return false;
    for (size_t k = 0; k < spans->n; k++) {
        const json_t *pair = json_array_get(want, k);
        if (json_integer_value(json_array_get(pair, 0)) != spans->v[k].begin ||
            json_integer_value(json_array_get(pair, 1)) != spans->v[k].end)
            return false;
    }
    return true;
}

static bool text_equal(const qn_str *got, const json_t *want)
{
    return json_string_length(want) == got->n &&
           memcmp(json_string_value(want), got->n ? got->p : "", got->n) == 0;
}

void tok_decode_stream(const qn_tok *t, const int32_t *ids, size_t n,
                       bool skip_special, qn_str *out)
{
    qn_err err = {0};
    qn_detok *d = qn_detok_new(t, skip_special);
    for (size_t k = 0; k <= n; k++) {
        size_t before = out->n;
        int rc = k < n ? qn_detok_push(d, ids[k], out, &err)
                       : qn_detok_flush(d, out, &err);
        assert_int_equal(rc, 0);
        if (out->n > before)
            assert_true(qn_utf8_valid(out->p + before, out->n - before));
    }
    qn_detok_free(d);
}

/* The text of ids behind that of the first k: what the first k's is without,
 * where the whole begins with it (it need not, within a character). */
static void follow(const qn_tok *t, const int32_t *ids, size_t n, size_t k,
                   const qn_str *whole)
{
    qn_err err = {0};
    qn_str head = {0}, rest = {0};
    qn_detok *d = qn_detok_new(t, true);
    assert_int_equal(qn_tok_decode(t, ids, k, true, &head, &err), 0);
    assert_int_equal(qn_detok_follow(d, ids, k, &err), 0);
    for (size_t i = k; i < n; i++)
        assert_int_equal(qn_detok_push(d, ids[i], &rest, &err), 0);
    assert_int_equal(qn_detok_flush(d, &rest, &err), 0);
    assert_true(qn_utf8_valid(rest.p ? rest.p : "", rest.n));
    if (head.n <= whole->n && (!head.n || !memcmp(head.p, whole->p, head.n))) {
        const char *want = whole->n ? whole->p + head.n : "";
        if (strcmp(rest.p ? rest.p : "", want) != 0)
            fail_msg("behind %zu ids \"%s\" is \"%s\"", k, want, rest.p);
    }
    qn_detok_free(d);
    qn_str_deinit(&head);
    qn_str_deinit(&rest);
}

static void run_decode(tok_score *s, const qn_tok *t, const int32_t *ids,
                       size_t n, bool skip, const json_t *want,
                       const char *text)
{
    qn_err err = {0};
    qn_str whole, stream;
    qn_str_init(&whole);
    qn_str_init(&stream);
    int rc = qn_tok_decode(t, ids, n, skip, &whole, &err);
    tok_score_add(s, rc == 0 && text_equal(&whole, want),
                  skip ? "decode_skip" : "decode_keep", text);
    tok_decode_stream(t, ids, n, skip, &stream);
    tok_score_add(s, text_equal(&stream, want), "streamed decoding", text);
    for (size_t k = 0; skip && k <= n; k += n < 100 ? 1 : n / 7)
        follow(t, ids, n, k, &whole);
    qn_str_deinit(&whole);
    qn_str_deinit(&stream);
}

static void run_encode(tok_score *s, const qn_tok *t, const json_t *c)
{
    qn_err err = {0};
    const json_t *text = json_object_get(c, "text");
    const char *p = json_string_value(text);
    size_t n = json_string_length(text);
    qn_tok_ids ids = {0}, plain = {0};
    qn_tok_spans spans = {0};
    int rc = qn_tok_encode(t, p, n, QN_TOK_DEFAULT, &ids, NULL, &err);
    tok_score_add(s, rc == 0 && tok_ids_equal(&ids, json_object_get(c, "ids")),
                  "ids", p);
    rc = qn_tok_encode(t, p, n, QN_TOK_PARSE_SPECIAL, &plain, &spans, &err);
    tok_score_add(s,
                  rc == 0 && tok_ids_equal(&plain,
                                           json_object_get(c, "ids_nospecial")),
                  "ids_nospecial", p);
    const json_t *offsets = json_object_get(c, "offsets");
    if (json_is_array(offsets)) /* null where a text is very long */
        tok_score_add(s, rc == 0 && spans_equal(&spans, offsets), "offsets", p);
    run_decode(s, t, ids.v, ids.n, true, json_object_get(c, "decode_skip"), p);
    run_decode(s, t, ids.v, ids.n, false, json_object_get(c, "decode_keep"), p);
    qn_vec_deinit(&ids);
    qn_vec_deinit(&plain);
    qn_vec_deinit(&spans);
}

static void run_random(tok_score *s, const qn_tok *t, const json_t *c)
{
    qn_tok_ids ids = {0};
    const json_t *list = json_object_get(c, "ids"), *v;
    size_t k;
    json_array_foreach((json_t *)(uintptr_t)list, k, v)
        qn_vec_push(&ids, (int32_t)json_integer_value(v));
    const json_t *skip = json_object_get(c, "decode_skip");
    run_decode(s, t, ids.v, ids.n, true, skip, json_string_value(skip));
    run_decode(s, t, ids.v, ids.n, false, json_object_get(c, "decode_keep"),
               json_string_value(skip));
    qn_vec_deinit(&ids);
}

void tok_run_reference(tok_score *s, const qn_tok *t, const json_t *ref)
{
    const json_t *c;
    size_t k;
    json_array_foreach(json_object_get(ref, "encode"), k, c)
        run_encode(s, t, c);
    json_array_foreach(json_object_get(ref, "decode_random"), k, c)
        run_random(s, t, c);
}
