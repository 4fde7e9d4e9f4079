/* tok_norm.c - normalizers: rows that rewrite the text.
 *
 * How alignments come out follows Hugging Face's tokenizers, since spans are
 * compared with theirs: a character that replaces another one has its
 * alignment, an inserted one that of the character before it. */
#include "base/json.h"
#include "base/utf8.h"
#include "text/tok_charsmap.h"
#include "text/tok_compose.h"
#include "text/tok_step.h"
#include "text/unicode.h"

#include <utf8proc.h>

/* ---- NFC, NFD, NFKC, NFKD ---------------------------------------------- */

static bool norm_form_touches(const void *arg, qn_tok_work *w,
                              const qn_tok_piece *pc)
{
    const qn_tok_step *s = arg;
    for (size_t i = pc->b; i < pc->e;)
        if ((uint8_t)w->p[i] < 0x80)
            i++;
        else if (qn_uni(qn_uni_next(w->p, &i)) & s->form)
            return true;
    return false;
}

/* Only spans that may change are worked on: the character before the first
 * one that may, up to the next one that cannot. */
static int norm_form_apply(const void *arg, qn_tok_work *w,
                           const qn_tok_piece *pc)
{
    const qn_tok_step *s = arg;
    size_t done = pc->b, before = pc->b;
    for (size_t i = pc->b; i < pc->e;) {
        size_t b = i;
        if (!(qn_uni(qn_uni_next(w->p, &i)) & s->form)) {
            before = b;
            continue;
        }
        while (i < pc->e) {
            size_t j = i;
            if (!(qn_uni(qn_uni_next(w->p, &j)) & s->form))
                break;
            i = j;
        }
        qn_tok_keep(w, done, before);
        qn_tok_compose(w, pc, before, i, s->form);
        done = before = i;
    }
    qn_tok_keep(w, done, pc->e);
    return QN_OK;
}

static int norm_form_run(const qn_tok_step *s, qn_tok_work *w)
{
    qn_tok_rewrite how = {s, norm_form_touches, norm_form_apply};
    return qn_tok_work_rewrite(w, &how);
}

static int norm_form_parse(qn_tok_step *s, const json_t *o, const char *doc,
                           qn_err *err)
{
    (void)o, (void)doc, (void)err;
    static const struct {
        const char *type;
        unsigned flag;
    } forms[] = {{"NFC", QN_UNI_NFC},
                 {"NFD", QN_UNI_NFD},
                 {"NFKC", QN_UNI_NFKC},
                 {"NFKD", QN_UNI_NFKD}};
    for (size_t k = 0; k < QN_COUNTOF(forms); k++)
        if (qn_tok_step_is(s, forms[k].type))
            s->form = forms[k].flag;
    return QN_OK;
}

/* ---- Replace ----------------------------------------------------------- */

static int norm_replace_parse(qn_tok_step *s, const json_t *o, const char *doc,
                              qn_err *err)
{
    QN_TRY(qn_tok_step_text(s, o, "content", doc, err));
    return qn_tok_pattern_parse(&s->pattern, json_object_get(o, "pattern"), doc,
                                err);
}

static bool norm_replace_touches(const void *arg, qn_tok_work *w,
                                 const qn_tok_piece *pc)
{
    const qn_tok_pattern *pat = &((const qn_tok_step *)arg)->pattern;
    if (!pat->literal)
        return true;
    return pat->literal_n > 0 &&
           memmem(w->p + pc->b, pc->e - pc->b, pat->literal, pat->literal_n);
}

static int norm_replace_apply(const void *arg, qn_tok_work *w,
                              const qn_tok_piece *pc)
{
    const qn_tok_step *s = arg;
    QN_TRY(qn_tok_pattern_find(&s->pattern, w, w->p + pc->b, pc->e - pc->b,
                               pc->b));
    for (size_t k = 0; k < w->matches.n; k++) {
        const qn_tok_match *m = &w->matches.v[k];
        qn_tok_al al = {pc->origin, pc->origin};
        if (m->hit && m->e > pc->b)
            al = qn_tok_work_al(w, m->e - 1);
        if (m->hit)
            qn_tok_put(w, s->text, s->text_n, al);
        else
            qn_tok_keep(w, m->b, m->e);
    }
    return QN_OK;
}

static int norm_replace_run(const qn_tok_step *s, qn_tok_work *w)
{
    qn_tok_rewrite how = {s, norm_replace_touches, norm_replace_apply};
    return qn_tok_work_rewrite(w, &how);
}

/* ---- Prepend ----------------------------------------------------------- */

static int norm_prepend_parse(qn_tok_step *s, const json_t *o, const char *doc,
                              qn_err *err)
{
    return qn_tok_step_text(s, o, "prepend", doc, err);
}

static int norm_prepend_apply(const void *arg, qn_tok_work *w,
                              const qn_tok_piece *pc)
{
    const qn_tok_step *s = arg;
    qn_tok_put_prefixed(w, pc, s->text, s->text_n);
    return QN_OK;
}

static int norm_prepend_run(const qn_tok_step *s, qn_tok_work *w)
{
    qn_tok_rewrite how = {s, NULL, norm_prepend_apply};
    return s->text_n > 0 ? qn_tok_work_rewrite(w, &how) : QN_OK;
}

/* ---- Strip ------------------------------------------------------------- */

static int norm_strip_parse(qn_tok_step *s, const json_t *o, const char *doc,
                            qn_err *err)
{
    s->left = s->right = true;
    int rc = qn_json_bool(o, "strip_left", &s->left, doc, err);
    return rc < 0 ? rc : qn_json_bool(o, "strip_right", &s->right, doc, err);
}

static void norm_strip_bounds(const qn_tok_step *s, const qn_tok_work *w,
                              const qn_tok_piece *pc, size_t *b, size_t *e)
{
    *b = pc->b;
    *e = pc->e;
    for (size_t i = *b; s->left && i < *e; *b = i)
        if (!(qn_uni(qn_uni_next(w->p, &i)) & QN_UNI_SPACE))
            break;
    for (size_t at; s->right && *e > *b; *e = at)
        if (!(qn_uni(qn_uni_prev(w->p, *e, &at)) & QN_UNI_SPACE))
            break;
}

static bool norm_strip_touches(const void *arg, qn_tok_work *w,
                               const qn_tok_piece *pc)
{
    size_t b, e;
    norm_strip_bounds(arg, w, pc, &b, &e);
    return b > pc->b || e < pc->e;
}

static int norm_strip_apply(const void *arg, qn_tok_work *w,
                            const qn_tok_piece *pc)
{
    size_t b, e;
    norm_strip_bounds(arg, w, pc, &b, &e);
    qn_tok_keep(w, b, e);
    return QN_OK;
}

static int norm_strip_run(const qn_tok_step *s, qn_tok_work *w)
{
    qn_tok_rewrite how = {s, norm_strip_touches, norm_strip_apply};
    return qn_tok_work_rewrite(w, &how);
}

/* ---- character by character -------------------------------------------- */

typedef uint32_t (*norm_map)(uint32_t cp); /* UINT32_MAX: leave it out */

typedef struct norm_mapping {
    norm_map map;
} norm_mapping;

static int norm_map_apply(const void *arg, qn_tok_work *w,
                          const qn_tok_piece *pc)
{
    const norm_mapping *m = arg;
    for (size_t i = pc->b; i < pc->e;) {
        size_t b = i;
        uint32_t cp = qn_uni_next(w->p, &i), to = m->map(cp);
        if (to == cp)
            qn_tok_keep(w, b, i);
        else if (to != UINT32_MAX)
            qn_tok_put_cp(w, to, qn_tok_work_al(w, b));
    }
    return QN_OK;
}

static bool norm_map_touches(const void *arg, qn_tok_work *w,
                             const qn_tok_piece *pc)
{
    const norm_mapping *m = arg;
    for (size_t i = pc->b; i < pc->e;) {
        uint32_t cp = qn_uni_next(w->p, &i);
        if (m->map(cp) != cp)
            return true;
    }
    return false;
}

static int norm_map_run(qn_tok_work *w, norm_map map)
{
    norm_mapping m = {map};
    qn_tok_rewrite how = {&m, norm_map_touches, norm_map_apply};
    return qn_tok_work_rewrite(w, &how);
}

static uint32_t norm_to_lower(uint32_t cp)
{
    if (cp < 0x80)
        return cp >= 'A' && cp <= 'Z' ? cp | 0x20 : cp;
    return (uint32_t)utf8proc_tolower((utf8proc_int32_t)cp);
}

/* U+0130 is the one letter whose small form is two characters. */
static int norm_lower_apply(const void *arg, qn_tok_work *w,
                            const qn_tok_piece *pc)
{
    (void)arg;
    for (size_t i = pc->b; i < pc->e;) {
        qn_tok_al al = qn_tok_work_al(w, i);
        uint32_t cp = qn_uni_next(w->p, &i);
        qn_tok_put_cp(w, cp == 0x130 ? 'i' : norm_to_lower(cp), al);
        if (cp == 0x130)
            qn_tok_put_cp(w, 0x307, al);
    }
    return QN_OK;
}

static int norm_lower_run(const qn_tok_step *s, qn_tok_work *w)
{
    qn_tok_rewrite how = {s, NULL, norm_lower_apply};
    return qn_tok_work_rewrite(w, &how);
}

static uint32_t norm_drop_marks(uint32_t cp)
{
    return qn_uni(cp) & QN_UNI_M ? UINT32_MAX : cp;
}

static int norm_accents_run(const qn_tok_step *s, qn_tok_work *w)
{
    (void)s;
    return norm_map_run(w, norm_drop_marks);
}

/* The character clean-up of sentencepiece's nmt rule. */
static uint32_t norm_nmt(uint32_t cp)
{
    if ((cp >= 1 && cp <= 8) || cp == 0xB || (cp >= 0xE && cp <= 0x1F) ||
        cp == 0x7F || cp == 0x8F || cp == 0x9F)
        return UINT32_MAX;
    if (cp == 9 || cp == 0xA || cp == 0xC || cp == 0xD || cp == 0x1680 ||
        (cp >= 0x200B && cp <= 0x200F) || cp == 0x2028 || cp == 0x2029 ||
        cp == 0x2581 || cp == 0xFEFF || cp == 0xFFFD)
        return ' ';
    return cp;
}

static int norm_nmt_run(const qn_tok_step *s, qn_tok_work *w)
{
    (void)s;
    return norm_map_run(w, norm_nmt);
}

static int norm_bytes_run(const qn_tok_step *s, qn_tok_work *w)
{
    (void)s;
    return qn_tok_spell_bytes(w);
}

/* ---- BertNormalizer ---------------------------------------------------- */

enum {
    NORM_BERT_CLEAN = 1,
    NORM_BERT_CHINESE = 2,
    NORM_BERT_ACCENTS = 4,
    NORM_BERT_LOWER = 8
};

static int norm_bert_parse(qn_tok_step *s, const json_t *o, const char *doc,
                           qn_err *err)
{
    bool clean = true, chinese = true, lower = true, accents;
    int rc = qn_json_bool(o, "clean_text", &clean, doc, err);
    if (rc >= 0)
        rc = qn_json_bool(o, "handle_chinese_chars", &chinese, doc, err);
    if (rc >= 0)
        rc = qn_json_bool(o, "lowercase", &lower, doc, err);
    accents = lower;
    if (rc >= 0)
        rc = qn_json_bool(o, "strip_accents", &accents, doc, err);
    s->start = (clean ? NORM_BERT_CLEAN : 0) |
               (chinese ? NORM_BERT_CHINESE : 0) |
               (accents ? NORM_BERT_ACCENTS : 0) |
               (lower ? NORM_BERT_LOWER : 0);
    s->form = QN_UNI_NFD;
    return rc;
}

static uint32_t norm_clean(uint32_t cp)
{
    if (cp == '\t' || cp == '\n' || cp == '\r')
        return ' ';
    unsigned u = qn_uni(cp);
    if (cp == 0 || cp == 0xFFFD || (u & QN_UNI_OTHER))
        return UINT32_MAX;
    return u & QN_UNI_SPACE ? ' ' : cp;
}

static uint32_t norm_drop_mn(uint32_t cp)
{
    return qn_uni(cp) & QN_UNI_MN ? UINT32_MAX : cp;
}

/* The blocks that BERT calls Chinese. */
static bool norm_is_chinese(uint32_t cp)
{
    return (cp >= 0x4E00 && cp <= 0x9FFF) || (cp >= 0x3400 && cp <= 0x4DBF) ||
           (cp >= 0x20000 && cp <= 0x2A6DF) ||
           (cp >= 0x2A700 && cp <= 0x2B73F) ||
           (cp >= 0x2B740 && cp <= 0x2B81F) ||
           (cp >= 0x2B920 && cp <= 0x2CEAF) || (cp >= 0xF900 && cp <= 0xFAFF) ||
           (cp >= 0x2F800 && cp <= 0x2FA1F);
}

static int norm_chinese_apply(const void *arg, qn_tok_work *w,
                              const qn_tok_piece *pc)
{
    (void)arg;
    for (size_t i = pc->b; i < pc->e;) {
        size_t b = i;
        bool chinese = norm_is_chinese(qn_uni_next(w->p, &i));
        qn_tok_al al = qn_tok_work_al(w, b);
        if (chinese)
            qn_tok_put(w, " ", 1, al);
        qn_tok_keep(w, b, i);
        if (chinese)
            qn_tok_put(w, " ", 1, al);
    }
    return QN_OK;
}

static int norm_bert_run(const qn_tok_step *s, qn_tok_work *w)
{
    if (s->start & NORM_BERT_CLEAN)
        QN_TRY(norm_map_run(w, norm_clean));
    qn_tok_rewrite chinese = {s, NULL, norm_chinese_apply};
    if (s->start & NORM_BERT_CHINESE)
        QN_TRY(qn_tok_work_rewrite(w, &chinese));
    if (s->start & NORM_BERT_ACCENTS) {
        QN_TRY(norm_form_run(s, w));
        QN_TRY(norm_map_run(w, norm_drop_mn));
    }
    return s->start & NORM_BERT_LOWER ? norm_lower_run(s, w) : QN_OK;
}

/* ---- the rows ---------------------------------------------------------- */

static const qn_tok_kind norm_kinds[] = {
    {"NFC", "", norm_form_parse, norm_form_run, NULL, NULL, false},
    {"NFD", "", norm_form_parse, norm_form_run, NULL, NULL, false},
    {"NFKC", "", norm_form_parse, norm_form_run, NULL, NULL, false},
    {"NFKD", "", norm_form_parse, norm_form_run, NULL, NULL, false},
    {"Replace", " pattern content ", norm_replace_parse, norm_replace_run, NULL,
     NULL, false},
    {"Prepend", " prepend ", norm_prepend_parse, norm_prepend_run, NULL, NULL,
     false},
    {"Strip", " strip_left strip_right ", norm_strip_parse, norm_strip_run,
     NULL, NULL, false},
    {"Lowercase", "", NULL, norm_lower_run, NULL, NULL, false},
    {"StripAccents", "", NULL, norm_accents_run, NULL, NULL, false},
    {"Nmt", "", NULL, norm_nmt_run, NULL, NULL, false},
    {"ByteLevel", "", NULL, norm_bytes_run, NULL, NULL, false},
    {"Precompiled", " precompiled_charsmap ", qn_tok_charsmap_parse,
     qn_tok_charsmap_run, NULL, NULL, false},
    {"BertNormalizer",
     " clean_text handle_chinese_chars strip_accents lowercase ",
     norm_bert_parse, norm_bert_run, NULL, NULL, false},
};

const qn_tok_stage qn_tok_normalizers = {"normalizer", "normalizers",
                                         norm_kinds, QN_COUNTOF(norm_kinds)};
