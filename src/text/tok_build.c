/* tok_build.c - from a draft to a tokenizer. */
#include "base/json.h"
#include "text/tok_int.h"
#include "text/tok_scan.h"

#include <stdlib.h>

void qn_tok_draft_init(qn_tok_draft *d, const char *name)
{
    memset(d, 0, sizeof *d);
    d->name = name;
    d->o.unk = -1;
    d->model = &qn_tok_model_bpe;
    d->t = qn_xcalloc(1, sizeof *d->t);
    qn_tok_added_init(&d->t->added);
    for (int k = 0; k < QN_TOK_N_ROLE; k++)
        d->t->role[k] = -1;
}

void qn_tok_draft_deinit(qn_tok_draft *d)
{
    qn_tok_close(d->t);
    qn_vec_deinit(&d->merges);
    qn_vec_deinit(&d->scores);
    free(d->own_ranks);
}

int qn_tok_read_vocab(qn_vocab *v, qn_scan *s, const char *name, qn_err *err)
{
    qn_str text;
    qn_str_init(&text);
    int64_t id;
    int rc = qn_scan_open(s, '{');
    while (rc == 0 && (rc = qn_scan_more(s, '}')) > 0) {
        qn_str_clear(&text);
        rc = qn_scan_string(s, &text);
        if (rc == 0)
            rc = qn_scan_colon(s);
        if (rc == 0)
            rc = qn_scan_int(s, &id);
        if (rc == 0)
            rc = qn_vocab_add(v, qn_view_of(text.p ? text.p : "", text.n), id,
                              name, err);
        if (rc > 0)
            rc = qn_fail(err, QN_EFORMAT, "%s: token \"%s\" is given twice",
                         name, text.p);
    }
    qn_str_deinit(&text);
    return rc;
}

int qn_tok_draft_merge(qn_tok_draft *d, qn_view left, qn_view right,
                       bool lenient, qn_err *err)
{
    const qn_vocab *v = &d->t->vocab;
    size_t cut = QN_MIN(d->o.prefix.n, right.n);
    char small[256], *text = small;
    size_t n = left.n + right.n - cut;
    if (n > sizeof small)
        text = qn_xmalloc(n);
    if (left.n > 0)
        memcpy(text, left.p, left.n);
    if (right.n > cut)
        memcpy(text + left.n, right.p + cut, right.n - cut);
    qn_tok_merge m = {qn_vocab_find(v, left.p, left.n),
                      qn_vocab_find(v, right.p, right.n),
                      qn_vocab_find(v, text, n)};
    if (text != small)
        free(text);
    if (m.left >= 0 && m.right >= 0 && m.id >= 0) {
        qn_vec_push(&d->merges, m);
        return QN_OK;
    }
    if (lenient)
        return QN_OK;
    return qn_fail(
        err, QN_EFORMAT,
        "%s: merge %zu, \"%.*s\" with \"%.*s\": a part or the result "
        "is not in the vocabulary",
        d->name, d->merges.n, (int)QN_MIN(left.n, 64), left.p,
        (int)QN_MIN(right.n, 64), right.p);
}

int qn_tok_draft_merge_text(qn_tok_draft *d, qn_view text, qn_err *err)
{
    const char *blank = text.n ? memchr(text.p, ' ', text.n) : NULL;
    size_t left = blank ? (size_t)(blank - text.p) : 0;
    if (!blank || memchr(blank + 1, ' ', text.n - left - 1))
        return qn_fail(err, QN_EFORMAT,
                       "%s: merge %zu, \"%.*s\", is not two tokens", d->name,
                       d->merges.n, (int)QN_MIN(text.n, 64), text.p);
    return qn_tok_draft_merge(d, qn_view_of(text.p, left),
                              qn_view_of(blank + 1, text.n - left - 1), false,
                              err);
}

/* ---- added tokens ------------------------------------------------------ */

int qn_tok_draft_add(qn_tok_draft *d, qn_tok_added_token *tok, qn_err *err)
{
    if (tok->id < 0 || tok->id > QN_VOCAB_MAX_ID)
        return qn_fail(err, QN_EFORMAT,
                       "%s: added token \"%.*s\" has the id %d, not one "
                       "between 0 and %d",
                       d->name, (int)QN_MIN(tok->content.n, 64), tok->content.p,
                       tok->id, QN_VOCAB_MAX_ID);
    if (!tok->normalized || d->t->norm.n == 0)
        return qn_tok_added_put(&d->t->added, tok, d->name, err);
    qn_tok_work w;
    qn_tok_work_init(&w, tok->content.p, tok->content.n, 0, err);
    int rc = qn_tok_steps_run(&d->t->norm, &w);
    if (rc == 0 && w.rewritten)
        tok->form = qn_view_of(w.p ? w.p : "", w.n);
    if (rc == 0)
        rc = qn_tok_added_put(&d->t->added, tok, d->name, err);
    qn_tok_work_deinit(&w);
    return rc;
}

/* The switches of an added token; a bare string is one with none set. */
static int build_token(qn_tok_added_token *tok, const json_t *o,
                       const char *name, qn_err *err)
{
    const json_t *content = json_object_get(o, "content");
    *tok = (qn_tok_added_token){.id = -1};
    if (!json_is_string(content))
        return qn_fail(err, QN_EFORMAT, "%s: an added token has no \"content\"",
                       name);
    tok->content = qn_view_of(json_string_value(content),
                              json_string_length(content));
    int rc = qn_json_bool(o, "special", &tok->special, name, err);
    tok->normalized = !tok->special;
    if (rc >= 0)
        rc = qn_json_bool(o, "single_word", &tok->single_word, name, err);
    if (rc >= 0)
        rc = qn_json_bool(o, "lstrip", &tok->lstrip, name, err);
    if (rc >= 0)
        rc = qn_json_bool(o, "rstrip", &tok->rstrip, name, err);
    if (rc >= 0)
        rc = qn_json_bool(o, "normalized", &tok->normalized, name, err);
    return QN_MIN(rc, 0);
}

static int32_t build_find(const qn_tok *t, qn_view text)
{
    int32_t id = qn_tok_added_find(&t->added, text.p, text.n);
    return id >= 0 ? id : qn_vocab_find(&t->vocab, text.p, text.n);
}

/* As Hugging Face numbers them: behind the vocabulary's count, or behind the
 * highest added one when that is higher already. */
static int32_t build_next_id(const qn_tok *t)
{
    int32_t next = (int32_t)t->vocab.n;
    for (size_t k = 0; k < t->added.v.n; k++)
        next = QN_MAX(next, t->added.v.v[k].id + 1);
    return next;
}

int qn_tok_draft_added(qn_tok_draft *d, const json_t *list, qn_err *err)
{
    const json_t *o;
    size_t k;
    int32_t next = build_next_id(d->t);
    if (list && !json_is_null(list) && !json_is_array(list))
        return qn_fail(err, QN_EFORMAT, "%s: added_tokens is no list", d->name);
    json_array_foreach((json_t *)(uintptr_t)list, k, o)
    {
        qn_tok_added_token tok;
        QN_TRY(build_token(&tok, o, d->name, err));
        if (tok.content.n == 0)
            continue;
        tok.id = build_find(d->t, tok.content);
        if (tok.id < 0)
            tok.id = next++;
        QN_TRY(qn_tok_draft_add(d, &tok, err));
    }
    return QN_OK;
}

int qn_tok_read_decoder_tokens(qn_tok_draft *d, const json_t *config,
                               qn_err *err)
{
    const char *key;
    json_t *o;
    json_t *all = json_object_get(config, "added_tokens_decoder");
    json_object_foreach(all, key, o)
    {
        qn_tok_added_token tok;
        char *end;
        long id = strtol(key, &end, 10);
        QN_TRY(build_token(&tok, o, d->name, err));
        if (*end || id < 0 || id > QN_VOCAB_MAX_ID)
            return qn_fail(err, QN_EFORMAT,
                           "%s: added_tokens_decoder: \"%s\" is no token id",
                           d->name, key);
        tok.id = build_find(d->t, tok.content);
        if (tok.content.n == 0 ||
            qn_tok_added_find(&d->t->added, tok.content.p, tok.content.n) >= 0)
            continue;
        if (tok.id < 0)
            tok.id = (int32_t)id;
        QN_TRY(qn_tok_draft_add(d, &tok, err));
    }
    return QN_OK;
}

/* ---- roles and templates ----------------------------------------------- */

void qn_tok_read_roles(qn_tok *t, const json_t *config)
{
    static const char *const keys[QN_TOK_N_ROLE] = {"bos_token", "eos_token",
                                                    "unk_token", "pad_token",
                                                    NULL};
    for (int k = 0; k < QN_TOK_N_ROLE; k++) {
        const json_t *v = keys[k] ? json_object_get(config, keys[k]) : NULL;
        if (json_is_object(v))
            v = json_object_get(v, "content");
        if (json_is_string(v)) {
            qn_view text = {json_string_value(v), json_string_length(v)};
            t->role[k] = build_find(t, text);
        }
    }
}

void qn_tok_add_template(qn_tok *t, int32_t bos, int32_t eos)
{
    qn_tok_step *s = qn_tok_steps_add(&t->post, &qn_tok_post_processors,
                                      "TemplateProcessing");
    s->ids = qn_xcalloc(3, sizeof *s->ids);
    if (bos >= 0)
        s->ids[s->n_ids++] = bos;
    s->ids[s->n_ids++] = -1;
    if (eos >= 0)
        s->ids[s->n_ids++] = eos;
}

/* ---- the whole --------------------------------------------------------- */

static int build_check(const qn_tok_draft *d, qn_err *err)
{
    const qn_tok *t = d->t;
    int adding = 0;
    if (t->vocab.n == 0 && t->added.v.n == 0)
        return qn_fail(err, QN_EFORMAT, "%s: the vocabulary is empty", d->name);
    for (size_t k = 0; k < t->post.n; k++)
        adding += t->post.v[k].n_ids > 0;
    if (adding > 1)
        return qn_fail(err, QN_EUNSUP,
                       "%s: more than one post-processor adds tokens", d->name);
    if (d->o.prefix.n > 64 || d->o.suffix.n > 64)
        return qn_fail(err, QN_ELIMIT,
                       "%s: a subword prefix or suffix above 64 bytes",
                       d->name);
    return QN_OK;
}

int qn_tok_build(qn_tok_draft *d, qn_tok **out, qn_err *err)
{
    qn_tok *t = d->t;
    QN_TRY(build_check(d, err));
    t->model = d->model;
    t->impl = d->model->build(d);
    qn_tok_added_ready(&t->added);
    t->n_vocab = QN_MAX(t->vocab.n_ids, t->added.n_ids);
    if (t->dec.n == 0)
        qn_tok_steps_add(&t->dec, &qn_tok_joiners, "Join");
    for (size_t k = 0; k < t->pre.n; k++)
        if (qn_tok_step_is(&t->pre.v[k], "Metaspace") &&
            t->pre.v[k].scheme == QN_TOK_FIRST && (k > 0 || t->norm.n > 0))
            t->needs_al = true;
    for (size_t k = 0; k < t->post.n; k++)
        t->trims |= t->post.v[k].on;
    *out = t;
    d->t = NULL;
    return QN_OK;
}
