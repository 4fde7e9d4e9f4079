/* tok_fit.c - see tok_fit.h. */
#include "text/tok_fit.h"

#include "base/json.h"
#include "text/tokenizer.h"

#include <string.h>

enum {
    FIT_MAX_FILL = 1 << 20
};

/* A count; absent and null leave it. */
static int fit_count(const json_t *o, const char *key, size_t *out,
                     const char *doc, qn_err *err)
{
    const json_t *v = json_object_get(o, key);
    if (!v || json_is_null(v))
        return QN_OK;
    if (!json_is_integer(v) || json_integer_value(v) < 0)
        return qn_fail(err, QN_EFORMAT, "%s: %s should be a count", doc, key);
    *out = (size_t)json_integer_value(v);
    return QN_OK;
}

/* The place of o[key] among the words; absent: 0. */
static int fit_word(const json_t *o, const char *key, const char *const *words,
                    int *out, const char *doc, qn_err *err)
{
    const json_t *v = json_object_get(o, key);
    const char *s = json_string_value(v);
    *out = 0;
    for (int i = 0; s && words[i]; i++) {
        if (strcmp(words[i], s) == 0) {
            *out = i;
            return QN_OK;
        }
    }
    if (!v)
        return QN_OK;
    return qn_fail(err, QN_EUNSUP, "%s: %s \"%.40s\" is not known", doc, key,
                   s ? s : "?");
}

static int fit_object(const json_t *parts, const char *key, const json_t **out,
                      const char *doc, qn_err *err)
{
    *out = json_object_get(parts, key);
    if (!*out || json_is_object(*out) || json_is_null(*out))
        return QN_OK;
    return qn_fail(err, QN_EFORMAT, "%s: %s should be an object or null", doc,
                   key);
}

static const char *const fit_sides[] = {"Right", "Left", NULL};

static int fit_cuts(qn_tok_fit *f, const json_t *o, const char *doc,
                    qn_err *err)
{
    static const char *const ways[] = {"LongestFirst", "OnlyFirst",
                                       "OnlySecond", NULL};
    int left, way;
    f->length = SIZE_MAX;
    QN_TRY(fit_count(o, "max_length", &f->length, doc, err));
    QN_TRY(fit_count(o, "stride", &f->stride, doc, err));
    QN_TRY(fit_word(o, "direction", fit_sides, &left, doc, err));
    QN_TRY(fit_word(o, "strategy", ways, &way, doc, err));
    f->cuts = f->length != SIZE_MAX;
    f->cuts_left = left == 1;
    f->wants_pair = way == 2;
    return QN_OK;
}

static int fit_fills(qn_tok_fit *f, const json_t *o, const char *doc,
                     qn_err *err)
{
    static const char *const ways[] = {"BatchLongest", NULL};
    int left, way;
    size_t pad = 0;
    const json_t *how = json_object_get(o, "strategy");
    if (json_is_object(how))
        QN_TRY(fit_count(how, "Fixed", &f->fill_to, doc, err));
    else
        QN_TRY(fit_word(o, "strategy", ways, &way, doc, err));
    QN_TRY(fit_count(o, "pad_to_multiple_of", &f->fill_unit, doc, err));
    QN_TRY(fit_count(o, "pad_id", &pad, doc, err));
    QN_TRY(fit_word(o, "direction", fit_sides, &left, doc, err));
    if (QN_MAX(f->fill_to, f->fill_unit) > FIT_MAX_FILL || pad > INT32_MAX)
        return qn_fail(err, QN_ELIMIT,
                       "%s: padding to %zu tokens, or with token %zu", doc,
                       QN_MAX(f->fill_to, f->fill_unit), pad);
    f->fills = true;
    f->fills_left = left == 1;
    f->pad = (int32_t)pad;
    return QN_OK;
}

int qn_tok_fit_parse(qn_tok_fit *f, const json_t *parts, const char *doc,
                     qn_err *err)
{
    const json_t *cuts, *fills;
    QN_TRY(fit_object(parts, "truncation", &cuts, doc, err));
    QN_TRY(fit_object(parts, "padding", &fills, doc, err));
    if (json_is_object(cuts))
        QN_TRY(fit_cuts(f, cuts, doc, err));
    if (json_is_object(fills))
        QN_TRY(fit_fills(f, fills, doc, err));
    return QN_OK;
}

/* How many tokens the post-processors add. */
static size_t fit_added(const qn_tok_steps *post)
{
    size_t n = 0;
    for (size_t k = 0; k < post->n; k++)
        for (size_t i = 0; i < post->v[k].n_ids; i++)
            n += post->v[k].ids[i] >= 0;
    return n;
}

int qn_tok_fit_cut(const qn_tok_fit *f, const qn_tok_steps *post,
                   qn_tok_work *w)
{
    size_t added = w->flags & QN_TOK_SPECIAL ? fit_added(post) : 0;
    /* The library's difference wraps round: nothing is cut then. */
    if (!f->cuts || f->length < added || w->ids.n <= f->length - added)
        return QN_OK;
    size_t stay = f->length - added, n = w->ids.n - stay;
    if (f->wants_pair)
        return qn_fail(w->err, QN_EINVAL,
                       "tokenizer.json: truncation is of the second text "
                       "alone, and there is none");
    if (stay > 0 && f->stride >= stay)
        return qn_fail(w->err, QN_EINVAL,
                       "tokenizer.json: truncation: a stride of %zu in texts "
                       "of %zu tokens",
                       f->stride, stay);
    size_t from = f->cuts_left ? n : 0;
    memmove(w->ids.v, w->ids.v + from, stay * sizeof *w->ids.v);
    w->ids.n = stay;
    if (w->marks.n == 0)
        return QN_OK;
    memmove(w->marks.v, w->marks.v + from, stay * sizeof *w->marks.v);
    w->marks.n = stay;
    return QN_OK;
}

void qn_tok_fit_fill(const qn_tok_fit *f, qn_tok_work *w)
{
    size_t n = w->ids.n, to = f->fill_to ? f->fill_to : n;
    if (!f->fills)
        return;
    if (f->fill_unit && to % f->fill_unit)
        to += f->fill_unit - to % f->fill_unit;
    if (to <= n)
        return;
    size_t more = to - n, at = f->fills_left ? more : 0;
    for (size_t i = 0; i < more; i++)
        qn_vec_push(&w->ids, f->pad);
    memmove(w->ids.v + at, w->ids.v, n * sizeof *w->ids.v);
    for (size_t i = 0; i < more && at; i++)
        w->ids.v[i] = f->pad;
    if (!w->spans)
        return;
    for (size_t i = 0; i < more; i++)
        qn_vec_push(&w->marks, ((qn_tok_mark){0, 0, 0, 0}));
    memmove(w->marks.v + at, w->marks.v, n * sizeof *w->marks.v);
    memset(w->marks.v, 0, at * sizeof *w->marks.v);
}
