/* tok_step.c - reading lists of steps, and what the stages share. */
#include "text/tok_added.h"
#include "text/tok_step.h"

#include "base/json.h"
#include "base/utf8.h"
#include "text/unicode.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    STEP_MAX_DEPTH = 8,
    STEP_MAX = 64,
    STEP_DOC = 192
};

static const qn_tok_kind *step_kind(const qn_tok_stage *stage, const char *type)
{
    for (size_t k = 0; k < stage->n_kinds; k++)
        if (strcmp(stage->kinds[k].type, type) == 0)
            return &stage->kinds[k];
    return NULL;
}

qn_tok_step *qn_tok_steps_add(qn_tok_steps *steps, const qn_tok_stage *stage,
                              const char *type)
{
    const qn_tok_kind *kind = step_kind(stage, type);
    if (!kind)
        return NULL;
    qn_vec_push(steps, (qn_tok_step){.kind = kind});
    return &steps->v[steps->n - 1];
}

void qn_tok_steps_deinit(qn_tok_steps *steps)
{
    for (size_t k = 0; k < steps->n; k++) {
        qn_tok_pattern_deinit(&steps->v[k].pattern);
        free(steps->v[k].text);
        free(steps->v[k].ids);
        if (steps->v[k].trie)
            free(steps->v[k].trie->nodes);
        free(steps->v[k].trie);
    }
    qn_vec_deinit(steps);
}

bool qn_tok_step_is(const qn_tok_step *s, const char *type)
{
    return strcmp(s->kind->type, type) == 0;
}

int qn_tok_steps_run(const qn_tok_steps *steps, qn_tok_work *w)
{
    for (size_t k = 0; k < steps->n; k++)
        QN_TRY(steps->v[k].kind->run(&steps->v[k], w));
    return QN_OK;
}

/* ---- reading ----------------------------------------------------------- */

static int step_check_fields(const qn_tok_kind *kind, const json_t *o,
                             const char *doc, qn_err *err)
{
    const char *key;
    json_t *value;
    char padded[64];
    json_object_foreach((json_t *)(uintptr_t)o, key, value)
    {
        snprintf(padded, sizeof padded, " %s ", key);
        if (strcmp(key, "type") != 0 && !strstr(kind->fields, padded))
            return qn_fail(err, QN_EUNSUP, "%s: field \"%s\" is not understood",
                           doc, key);
    }
    return QN_OK;
}

static int step_parse(qn_tok_steps *steps, const qn_tok_stage *stage,
                      const json_t *o, const char *name, int depth, qn_err *err)
{
    char doc[STEP_DOC];
    const char *type = json_string_value(json_object_get(o, "type"));
    if (!type)
        return qn_fail(err, QN_EFORMAT, "%s: %s has no \"type\"", name,
                       stage->name);
    snprintf(doc, sizeof doc, "%s: %s %.40s", name, stage->name, type);
    if (depth > STEP_MAX_DEPTH || steps->n >= STEP_MAX)
        return qn_fail(err, QN_ELIMIT, "%s: more than %d steps or %d levels",
                       doc, (int)STEP_MAX, (int)STEP_MAX_DEPTH);
    if (strcmp(type, "Sequence") == 0) {
        const json_t *list = json_object_get(o, stage->list), *item;
        size_t k;
        if (!json_is_array(list))
            return qn_fail(err, QN_EFORMAT, "%s: no list \"%s\"", doc,
                           stage->list);
        json_array_foreach((json_t *)(uintptr_t)list, k, item)
            QN_TRY(step_parse(steps, stage, item, name, depth + 1, err));
        return QN_OK;
    }
    qn_tok_step *s = qn_tok_steps_add(steps, stage, type);
    if (!s)
        return qn_fail(err, QN_EUNSUP, "%s: this type is not supported", doc);
    QN_TRY(step_check_fields(s->kind, o, doc, err));
    return s->kind->parse ? s->kind->parse(s, o, doc, err) : QN_OK;
}

int qn_tok_steps_parse(qn_tok_steps *steps, const qn_tok_stage *stage,
                       const json_t *o, const char *name, qn_err *err)
{
    if (!o || json_is_null(o))
        return QN_OK;
    return step_parse(steps, stage, o, name, 0, err);
}

void qn_tok_step_set_text(qn_tok_step *s, const char *p, size_t n)
{
    free(s->text);
    s->text = qn_xmalloc(n + 1);
    memcpy(s->text, p, n);
    s->text[n] = '\0';
    s->text_n = n;
}

int qn_tok_step_text(qn_tok_step *s, const json_t *o, const char *key,
                     const char *doc, qn_err *err)
{
    const json_t *v = json_object_get(o, key);
    if (!json_is_string(v))
        return qn_fail(err, QN_EFORMAT, "%s: no string \"%s\"", doc, key);
    qn_tok_step_set_text(s, json_string_value(v), json_string_length(v));
    return QN_OK;
}

int qn_tok_step_char(qn_tok_step *s, const json_t *o, const char *key,
                     const char *doc, qn_err *err)
{
    const json_t *v = json_object_get(o, key);
    const char *p = json_string_value(v);
    size_t n = json_string_length(v), i = 0;
    if (!p || n == 0 || qn_uni_len(*p) != n)
        return qn_fail(err, QN_EFORMAT, "%s: \"%s\" must be one character", doc,
                       key);
    s->cp = qn_uni_next(p, &i);
    qn_tok_step_set_text(s, p, n);
    return QN_OK;
}

/* ---- bytes as characters ------------------------------------------------
 *
 * Byte-level vocabularies spell each byte as a printable character: bytes
 * that are printable in Latin-1 as themselves, the 68 others, in order, as
 * U+0100 and following. */

static bool step_printable(unsigned b)
{
    return (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b != 0xAD);
}

/* How many bytes below b are not printable. */
static unsigned step_rank(unsigned b)
{
    if (b <= 0x20)
        return b;
    if (b <= 0xA0)
        return 0x21 + (b - 0x7F);
    return 0x21 + 0x22; /* 0xAD */
}

uint32_t qn_tok_byte_char(uint8_t b)
{
    return step_printable(b) ? b : 0x100 + step_rank(b);
}

int qn_tok_char_byte(uint32_t cp)
{
    if (cp < 0x100)
        return step_printable(cp) ? (int)cp : -1;
    unsigned rank = cp - 0x100;
    if (rank < 0x21)
        return (int)rank;
    if (rank < 0x21 + 0x22)
        return (int)(0x7F + rank - 0x21);
    return rank == 0x21 + 0x22 ? 0xAD : -1;
}

static int step_spell(const void *arg, qn_tok_work *w, const qn_tok_piece *pc)
{
    (void)arg;
    for (size_t i = pc->b; i < pc->e; i++)
        qn_tok_put_cp(w, qn_tok_byte_char((uint8_t)w->p[i]),
                      qn_tok_work_al(w, i));
    return QN_OK;
}

int qn_tok_spell_bytes(qn_tok_work *w)
{
    qn_tok_rewrite how = {NULL, NULL, step_spell};
    return qn_tok_work_rewrite(w, &how);
}

/* ---- Metaspace ---------------------------------------------------------- */

int qn_tok_meta_parse(qn_tok_step *s, const json_t *o, const char *doc,
                      qn_err *err)
{
    static const char *const schemes[] = {"always", "first", "never"};
    const json_t *scheme = json_object_get(o, "prepend_scheme");
    bool add = true, split = true;
    int rc = qn_json_bool(o, "add_prefix_space", &add, doc, err);
    if (rc >= 0)
        rc = qn_json_bool(o, "split", &split, doc, err);
    QN_TRY(rc);
    s->on = split;
    s->scheme = QN_TOK_ALWAYS;
    if (scheme) {
        const char *name = json_string_value(scheme);
        int k = 0;
        while (k < 3 && !(name && strcmp(name, schemes[k]) == 0))
            k++;
        if (k == 3)
            return qn_fail(err, QN_EUNSUP,
                           "%s: prepend_scheme must be always, first or never",
                           doc);
        s->scheme = k;
    }
    if (!add && scheme && s->scheme != QN_TOK_NEVER)
        return qn_fail(err, QN_EFORMAT,
                       "%s: add_prefix_space and prepend_scheme disagree", doc);
    if (!add)
        s->scheme = QN_TOK_NEVER;
    return qn_tok_step_char(s, o, "replacement", doc, err);
}
