/* tok_post.c - post-processors: rows that trim spans and add special tokens.
 *
 * They run on the finished ids (and marks, when spans are wanted). At most one
 * of them adds tokens; w->a_begin says where the text's own begin then. */
#include "base/json.h"
#include "text/tok_step.h"

#include <stdlib.h>

/* In a template: the place of the text's own tokens. */
#define POST_TEXT (-1)

enum {
    POST_MAX_ITEMS = 1024
};

/* Takes the blanks off the spans of byte-level tokens: " the" begins at the t.
 * A single one at the beginning stays when the pre-tokenizer put it there. */
static void post_trim(qn_tok_work *w, bool add_prefix_space)
{
    for (size_t k = 0; k < w->marks.n; k++) {
        qn_tok_mark *m = &w->marks.v[k];
        uint32_t head = m->head;
        bool first = k == 0 || k == w->a_begin || m->b == 0;
        if (first && add_prefix_space && head == 1)
            head = 0;
        m->b = QN_MIN(m->b + head, m->e);
        if (m->tail > 0 && m->e >= m->tail)
            m->e = QN_MAX(m->e - m->tail, m->b);
    }
}

/* Arranges the tokens by a template. */
static void post_arrange(qn_tok_work *w, const int32_t *ids, size_t n)
{
    __typeof__(w->ids) text_ids = w->ids;
    __typeof__(w->marks) text_marks = w->marks;
    memset(&w->ids, 0, sizeof w->ids);
    memset(&w->marks, 0, sizeof w->marks);
    for (size_t k = 0; k < n; k++) {
        if (ids[k] != POST_TEXT) {
            if (!(w->flags & QN_TOK_SPECIAL))
                continue;
            qn_vec_push(&w->ids, ids[k]);
            if (w->spans)
                qn_vec_push(&w->marks, ((qn_tok_mark){0, 0, 0, 0}));
            continue;
        }
        w->a_begin = w->ids.n;
        for (size_t i = 0; i < text_ids.n; i++) {
            qn_vec_push(&w->ids, text_ids.v[i]);
            if (w->spans)
                qn_vec_push(&w->marks, text_marks.v[i]);
        }
    }
    free(text_ids.v);
    free(text_marks.v);
}

static int post_run(const qn_tok_step *s, qn_tok_work *w)
{
    if (s->on && w->spans)
        post_trim(w, s->left);
    if (s->n_ids > 0)
        post_arrange(w, s->ids, s->n_ids);
    return QN_OK;
}

/* ---- reading ----------------------------------------------------------- */

static void post_push(qn_tok_step *s, int32_t id)
{
    s->ids = qn_xreallocarray(s->ids, s->n_ids + 1, sizeof *s->ids);
    s->ids[s->n_ids++] = id;
}

static int post_bytes_parse(qn_tok_step *s, const json_t *o, const char *doc,
                            qn_err *err)
{
    bool regex;
    s->left = s->on = true;
    int rc = qn_json_bool(o, "add_prefix_space", &s->left, doc, err);
    if (rc >= 0)
        rc = qn_json_bool(o, "trim_offsets", &s->on, doc, err);
    return rc < 0 ? rc : qn_json_bool(o, "use_regex", &regex, doc, err);
}

static int post_id(const json_t *v, const char *doc, int32_t *id, qn_err *err)
{
    json_int_t i = json_is_integer(v) ? json_integer_value(v) : -1;
    if (i < 0 || i > INT32_MAX)
        return qn_fail(err, QN_EFORMAT, "%s: a token id is expected", doc);
    *id = (int32_t)i;
    return QN_OK;
}

/* cls text sep, for RobertaProcessing and BertProcessing. */
static int post_pair_parse(qn_tok_step *s, const json_t *o, const char *doc,
                           qn_err *err)
{
    int32_t cls = 0, sep = 0;
    QN_TRY(
        post_id(json_array_get(json_object_get(o, "cls"), 1), doc, &cls, err));
    QN_TRY(
        post_id(json_array_get(json_object_get(o, "sep"), 1), doc, &sep, err));
    post_push(s, cls);
    post_push(s, POST_TEXT);
    post_push(s, sep);
    return QN_OK;
}

static int post_roberta_parse(qn_tok_step *s, const json_t *o, const char *doc,
                              qn_err *err)
{
    QN_TRY(post_bytes_parse(s, o, doc, err));
    return post_pair_parse(s, o, doc, err);
}

/* One element of "single". */
static int post_template_item(qn_tok_step *s, const json_t *item,
                              const json_t *special, const char *doc,
                              qn_err *err)
{
    const json_t *seq = json_object_get(item, "Sequence");
    if (seq) {
        const char *id = json_string_value(json_object_get(seq, "id"));
        if (!id || strcmp(id, "A") != 0)
            return qn_fail(err, QN_EUNSUP,
                           "%s: \"single\" may use sequence A alone", doc);
        post_push(s, POST_TEXT);
        return QN_OK;
    }
    const char *name = json_string_value(
        json_object_get(json_object_get(item, "SpecialToken"), "id"));
    const json_t *ids =
        json_object_get(name ? json_object_get(special, name) : NULL, "ids");
    const json_t *v;
    size_t k;
    if (!json_is_array(ids))
        return qn_fail(err, QN_EFORMAT,
                       "%s: special token %.60s has no list of ids", doc,
                       name ? name : "(none)");
    json_array_foreach((json_t *)(uintptr_t)ids, k, v)
    {
        int32_t id = 0;
        QN_TRY(post_id(v, doc, &id, err));
        post_push(s, id);
    }
    return QN_OK;
}

static int post_template_parse(qn_tok_step *s, const json_t *o, const char *doc,
                               qn_err *err)
{
    const json_t *single = json_object_get(o, "single"), *item;
    const json_t *special = json_object_get(o, "special_tokens");
    size_t k;
    size_t n = json_array_size(single);
    if (n == 0 || n > POST_MAX_ITEMS)
        return qn_fail(err, QN_EFORMAT,
                       "%s: \"single\" must be a list of 1 to %d items", doc,
                       (int)POST_MAX_ITEMS);
    json_array_foreach((json_t *)(uintptr_t)single, k, item)
        QN_TRY(post_template_item(s, item, special, doc, err));
    return QN_OK;
}

/* ---- the rows ---------------------------------------------------------- */

static const qn_tok_kind post_kinds[] = {
    {"ByteLevel", " add_prefix_space trim_offsets use_regex ", post_bytes_parse,
     post_run, NULL, NULL, false},
    {"RobertaProcessing", " sep cls trim_offsets add_prefix_space ",
     post_roberta_parse, post_run, NULL, NULL, false},
    {"BertProcessing", " sep cls ", post_pair_parse, post_run, NULL, NULL,
     false},
    {"TemplateProcessing", " single pair special_tokens ", post_template_parse,
     post_run, NULL, NULL, false},
};

const qn_tok_stage qn_tok_post_processors = {"post_processor", "processors",
                                             post_kinds,
                                             QN_COUNTOF(post_kinds)};
