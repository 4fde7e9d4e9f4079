/* tok_pre.c - pre-tokenizers: rows that divide the text into words. */
#include "base/json.h"
#include "text/tok_step.h"
#include "text/unicode.h"

/* ---- ByteLevel --------------------------------------------------------- */

static int pre_bytes_parse(qn_tok_step *s, const json_t *o, const char *doc,
                           qn_err *err)
{
    bool trim;
    s->left = s->on = true;
    int rc = qn_json_bool(o, "add_prefix_space", &s->left, doc, err);
    if (rc >= 0)
        rc = qn_json_bool(o, "use_regex", &s->on, doc, err);
    return rc < 0 ? rc : qn_json_bool(o, "trim_offsets", &trim, doc, err);
}

static bool pre_lacks_space(const void *arg, qn_tok_work *w,
                            const qn_tok_piece *pc)
{
    (void)arg;
    return w->p[pc->b] != ' ';
}

static int pre_add_space(const void *arg, qn_tok_work *w,
                         const qn_tok_piece *pc)
{
    (void)arg;
    qn_tok_put_prefixed(w, pc, " ", 1);
    return QN_OK;
}

static int pre_bytes_run(const qn_tok_step *s, qn_tok_work *w)
{
    qn_tok_rewrite space = {s, pre_lacks_space, pre_add_space};
    if (s->left)
        QN_TRY(qn_tok_work_rewrite(w, &space));
    if (s->on)
        qn_tok_split_words(w, qn_tok_words_named("gpt2"));
    return s->raw ? QN_OK : qn_tok_spell_bytes(w);
}

/* ---- Split ------------------------------------------------------------- */

static int pre_split_parse(qn_tok_step *s, const json_t *o, const char *doc,
                           qn_err *err)
{
    const char *name = json_string_value(json_object_get(o, "behavior"));
    int rc = qn_json_bool(o, "invert", &s->on, doc, err);
    QN_TRY(rc);
    QN_TRY(qn_tok_behavior_parse(&s->behavior, name, doc, err));
    return qn_tok_pattern_parse(&s->pattern, json_object_get(o, "pattern"), doc,
                                err);
}

static int pre_split_run(const qn_tok_step *s, qn_tok_work *w)
{
    return qn_tok_split_pattern(w, &s->pattern, s->behavior, s->on);
}

/* ---- Metaspace --------------------------------------------------------- */

static bool pre_meta_prefixes(const qn_tok_step *s, const qn_tok_work *w,
                              const qn_tok_piece *pc)
{
    size_t n = pc->e - pc->b;
    if (s->scheme == QN_TOK_NEVER ||
        (s->scheme == QN_TOK_FIRST && pc->origin != 0))
        return false;
    return w->p[pc->b] != ' ' &&
           (n < s->text_n || memcmp(w->p + pc->b, s->text, s->text_n) != 0);
}

static bool pre_meta_touches(const void *arg, qn_tok_work *w,
                             const qn_tok_piece *pc)
{
    return pre_meta_prefixes(arg, w, pc) ||
           memchr(w->p + pc->b, ' ', pc->e - pc->b);
}

static int pre_meta_apply(const void *arg, qn_tok_work *w,
                          const qn_tok_piece *pc)
{
    const qn_tok_step *s = arg;
    if (pre_meta_prefixes(s, w, pc))
        qn_tok_put(w, s->text, s->text_n, qn_tok_work_al(w, pc->b));
    for (size_t i = pc->b, e; i < pc->e; i = e) {
        const char *blank = memchr(w->p + i, ' ', pc->e - i);
        e = blank ? (size_t)(blank - w->p) : pc->e;
        qn_tok_keep(w, i, e);
        if (blank)
            qn_tok_put(w, s->text, s->text_n, qn_tok_work_al(w, e++));
    }
    return QN_OK;
}

static int pre_meta_run(const qn_tok_step *s, qn_tok_work *w)
{
    qn_tok_rewrite how = {s, pre_meta_touches, pre_meta_apply};
    QN_TRY(qn_tok_work_rewrite(w, &how));
    if (s->on)
        qn_tok_split_char(w, s->cp, QN_TOK_MERGED_WITH_NEXT);
    return QN_OK;
}

/* ---- by kinds of characters -------------------------------------------- */

static int pre_digits_parse(qn_tok_step *s, const json_t *o, const char *doc,
                            qn_err *err)
{
    int rc = qn_json_bool(o, "individual_digits", &s->on, doc, err);
    s->behavior = s->on ? QN_TOK_ISOLATED : QN_TOK_CONTIGUOUS;
    return rc;
}

static int pre_digits_run(const qn_tok_step *s, qn_tok_work *w)
{
    qn_tok_split_chars(w, QN_UNI_N, s->behavior);
    return QN_OK;
}

static int pre_whitespace_run(const qn_tok_step *s, qn_tok_work *w)
{
    (void)s;
    qn_tok_split_word_runs(w);
    return QN_OK;
}

static int pre_blanks_run(const qn_tok_step *s, qn_tok_work *w)
{
    (void)s;
    qn_tok_split_chars(w, QN_UNI_SPACE, QN_TOK_REMOVED);
    return QN_OK;
}

static int pre_punct_parse(qn_tok_step *s, const json_t *o, const char *doc,
                           qn_err *err)
{
    const json_t *name = json_object_get(o, "behavior");
    s->behavior = QN_TOK_ISOLATED;
    if (!name)
        return QN_OK;
    return qn_tok_behavior_parse(&s->behavior, json_string_value(name), doc,
                                 err);
}

static int pre_punct_run(const qn_tok_step *s, qn_tok_work *w)
{
    qn_tok_split_chars(w, QN_UNI_PUNCT, s->behavior);
    return QN_OK;
}

static int pre_bert_run(const qn_tok_step *s, qn_tok_work *w)
{
    (void)s;
    qn_tok_split_chars(w, QN_UNI_SPACE, QN_TOK_REMOVED);
    qn_tok_split_chars(w, QN_UNI_PUNCT, QN_TOK_ISOLATED);
    return QN_OK;
}

static int pre_delimiter_parse(qn_tok_step *s, const json_t *o, const char *doc,
                               qn_err *err)
{
    return qn_tok_step_char(s, o, "delimiter", doc, err);
}

static int pre_delimiter_run(const qn_tok_step *s, qn_tok_work *w)
{
    qn_tok_split_char(w, s->cp, QN_TOK_REMOVED);
    return QN_OK;
}

static int pre_lengths_parse(qn_tok_step *s, const json_t *o, const char *doc,
                             qn_err *err)
{
    const json_t *v = json_object_get(o, "length");
    json_int_t n = v ? json_integer_value(v) : 5;
    if (n < 1)
        return qn_fail(err, QN_EFORMAT,
                       "%s: FixedLength: length should be 1 or more", doc);
    s->stop = (size_t)n;
    return QN_OK;
}

static int pre_lengths_run(const qn_tok_step *s, qn_tok_work *w)
{
    qn_tok_split_lengths(w, s->stop);
    return QN_OK;
}

static int pre_scripts_run(const qn_tok_step *s, qn_tok_work *w)
{
    (void)s;
    qn_tok_split_scripts(w);
    return QN_OK;
}

/* ---- the rows ---------------------------------------------------------- */

static const qn_tok_kind pre_kinds[] = {
    {"ByteLevel", " add_prefix_space trim_offsets use_regex ", pre_bytes_parse,
     pre_bytes_run, NULL, NULL, false},
    {"Split", " pattern behavior invert ", pre_split_parse, pre_split_run, NULL,
     NULL, false},
    {"Metaspace", QN_TOK_META_FIELDS, qn_tok_meta_parse, pre_meta_run, NULL,
     NULL, false},
    {"Digits", " individual_digits ", pre_digits_parse, pre_digits_run, NULL,
     NULL, false},
    {"Whitespace", "", NULL, pre_whitespace_run, NULL, NULL, false},
    {"WhitespaceSplit", "", NULL, pre_blanks_run, NULL, NULL, false},
    {"Punctuation", " behavior ", pre_punct_parse, pre_punct_run, NULL, NULL,
     false},
    {"BertPreTokenizer", "", NULL, pre_bert_run, NULL, NULL, false},
    {"UnicodeScripts", "", NULL, pre_scripts_run, NULL, NULL, false},
    {"CharDelimiterSplit", " delimiter ", pre_delimiter_parse,
     pre_delimiter_run, NULL, NULL, false},
    {"FixedLength", " length ", pre_lengths_parse, pre_lengths_run, NULL, NULL,
     false},
};

const qn_tok_stage qn_tok_pre_tokenizers = {"pre_tokenizer", "pretokenizers",
                                            pre_kinds, QN_COUNTOF(pre_kinds)};
