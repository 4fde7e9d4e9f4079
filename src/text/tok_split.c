/* tok_split.c - a pattern covers a piece with hits and gaps, in order; the
 * behavior says what parts they become:
 *
 *   "the-final--countdown" by "-"
 *   removed               the final countdown
 *   isolated              the - final - - countdown
 *   merged with previous  the- final- - countdown
 *   merged with next      the -final - -countdown
 *   contiguous            the - final -- countdown
 */
#include "text/tok_split.h"

#include "base/compiler.h"
#include "text/script_tab.h"
#include "text/unicode.h"

#include <stdlib.h>

/* ---- patterns ---------------------------------------------------------- */

int qn_tok_pattern_regex(qn_tok_pattern *pat, const char *re, size_t n,
                         const char *doc, qn_err *err)
{
    pat->words = qn_tok_words_of(re, n);
    pat->threes = qn_tok_threes_of(re, n);
    if (pat->words || pat->threes)
        return QN_OK;
    return qn_tok_regex_new(&pat->regex, qn_view_of(re, n), doc, err);
}

int qn_tok_pattern_parse(qn_tok_pattern *pat, const json_t *o, const char *doc,
                         qn_err *err)
{
    const json_t *s = json_object_get(o, "String");
    const json_t *re = json_object_get(o, "Regex");
    if (json_object_size(o) != 1 || !json_is_string(s ? s : re))
        return qn_fail(err, QN_EUNSUP,
                       "%s: a pattern must be {\"String\": ...} or "
                       "{\"Regex\": ...}",
                       doc);
    if (re)
        return qn_tok_pattern_regex(pat, json_string_value(re),
                                    json_string_length(re), doc, err);
    pat->literal_n = json_string_length(s);
    pat->literal = qn_xmalloc(pat->literal_n + 1);
    memcpy(pat->literal, json_string_value(s), pat->literal_n + 1);
    return QN_OK;
}

void qn_tok_pattern_deinit(qn_tok_pattern *pat)
{
    free(pat->literal);
    qn_tok_regex_free(pat->regex);
    *pat = (qn_tok_pattern){0};
}

static void split_push(qn_tok_work *w, size_t b, size_t e, bool hit)
{
    qn_vec_push(&w->matches, ((qn_tok_match){(uint32_t)b, (uint32_t)e, hit}));
}

typedef struct split_gaps {
    qn_tok_work *w;
    uint32_t base;
    size_t prev; /* where the last hit ends */
} split_gaps;

static void split_add_hit(void *user, size_t b, size_t e)
{
    split_gaps *g = user;
    if (b > g->prev)
        split_push(g->w, g->base + g->prev, g->base + b, false);
    split_push(g->w, g->base + b, g->base + e, true);
    g->prev = e;
}

static void split_find_threes(const qn_tok_pattern *pat, qn_tok_work *w,
                              const char *p, size_t n, uint32_t base)
{
    split_gaps g = {w, base, 0};
    qn_tok_threes_each(pat->threes, p, n, split_add_hit, &g);
    if (g.prev < n)
        split_push(w, base + g.prev, base + n, false);
}

static void split_find_literal(const qn_tok_pattern *pat, qn_tok_work *w,
                               const char *p, size_t n, uint32_t base)
{
    size_t at = 0;
    while (pat->literal_n > 0 && at < n) {
        const char *hit = memmem(p + at, n - at, pat->literal, pat->literal_n);
        if (!hit)
            break;
        size_t b = (size_t)(hit - p), e = b + pat->literal_n;
        if (b > at)
            split_push(w, base + at, base + b, false);
        split_push(w, base + b, base + e, true);
        at = e;
    }
    if (at < n)
        split_push(w, base + at, base + n, false);
}

static int split_find_regex(const qn_tok_pattern *pat, qn_tok_work *w,
                            const char *p, size_t n, uint32_t base)
{
    size_t at = 0, prev = 0, last = SIZE_MAX, b, e;
    int rc;
    while ((rc = qn_tok_regex_next(pat->regex, &w->finder, p, n, &at, last, &b,
                                   &e, w->err)) > 0) {
        if (b > prev)
            split_push(w, base + prev, base + b, false);
        split_push(w, base + QN_MAX(b, prev), base + QN_MAX(e, prev), true);
        prev = QN_MAX(e, prev);
        last = e;
    }
    if (rc == 0 && prev < n)
        split_push(w, base + prev, base + n, false);
    return rc;
}

int qn_tok_pattern_find(const qn_tok_pattern *pat, qn_tok_work *w,
                        const char *p, size_t n, uint32_t base)
{
    qn_vec_clear(&w->matches);
    if (pat->literal) {
        split_find_literal(pat, w, p, n, base);
    } else if (pat->words) {
        for (size_t i = 0, e; i < n; i = e) {
            e = pat->words->next(pat->words, p, n, i);
            split_push(w, base + i, base + e, true);
        }
    } else if (pat->threes) {
        split_find_threes(pat, w, p, n, base);
    } else {
        return split_find_regex(pat, w, p, n, base);
    }
    return QN_OK;
}

/* ---- behaviors --------------------------------------------------------- */

int qn_tok_behavior_parse(qn_tok_behavior *b, const char *name, const char *doc,
                          qn_err *err)
{
    static const char *const names[] = {"Removed", "Isolated",
                                        "MergedWithPrevious", "MergedWithNext",
                                        "Contiguous"};
    for (size_t k = 0; name && k < QN_COUNTOF(names); k++) {
        if (strcmp(name, names[k]) == 0) {
            *b = (qn_tok_behavior)k;
            return QN_OK;
        }
    }
    return qn_fail(err, QN_EUNSUP, "%s: behavior %s is not understood", doc,
                   name ? name : "(none)");
}

/* Merges from the left: a match joins the part before it when `joins`. */
static void split_merge(qn_tok_work *w, qn_tok_behavior behavior)
{
    size_t n = 0;
    bool before = false;
    qn_tok_match *m = w->matches.v;
    for (size_t k = 0; k < w->matches.n; k++) {
        bool joins = behavior == QN_TOK_CONTIGUOUS ? m[k].hit == before
                                                   : m[k].hit && !before;
        before = m[k].hit;
        if (joins && n > 0)
            m[n - 1].e = m[k].e;
        else
            m[n++] = m[k];
    }
    w->matches.n = n;
}

/* The same from the right. */
static void split_merge_next(qn_tok_work *w)
{
    qn_tok_match *m = w->matches.v;
    size_t total = w->matches.n, first = total;
    bool before = false;
    for (size_t k = total; k-- > 0;) {
        bool joins = m[k].hit && !before;
        before = m[k].hit;
        if (joins && first < total)
            m[first].b = m[k].b;
        else
            m[--first] = m[k];
    }
    if (first > 0)
        memmove(m, m + first, (total - first) * sizeof *m);
    w->matches.n = total - first;
}

/* Makes parts of the matches of one piece. */
static void split_parts(qn_tok_work *w, const qn_tok_piece *pc,
                        qn_tok_behavior behavior, bool invert)
{
    if (invert)
        for (size_t k = 0; k < w->matches.n; k++)
            w->matches.v[k].hit = !w->matches.v[k].hit;
    if (behavior == QN_TOK_CONTIGUOUS ||
        behavior == QN_TOK_MERGED_WITH_PREVIOUS)
        split_merge(w, behavior);
    else if (behavior == QN_TOK_MERGED_WITH_NEXT)
        split_merge_next(w);
    for (size_t k = 0; k < w->matches.n; k++) {
        const qn_tok_match *m = &w->matches.v[k];
        if (behavior != QN_TOK_REMOVED || !m->hit)
            qn_tok_divide_part(w, pc, m->b, m->e, -1);
    }
}

/* ---- every piece -------------------------------------------------------- */

typedef int split_cut(qn_tok_work *w, const qn_tok_piece *pc, const void *arg);

/* Cuts every piece without an id. */
static int split_each(qn_tok_work *w, split_cut *cut, const void *arg)
{
    qn_tok_divide_begin(w);
    for (size_t k = 0; k < w->pieces.n; k++) {
        qn_tok_piece pc = w->pieces.v[k];
        if (pc.id >= 0)
            qn_vec_push(&w->next, pc);
        else
            QN_TRY(cut(w, &pc, arg));
    }
    qn_tok_divide_end(w);
    return QN_OK;
}

static int split_cut_words(qn_tok_work *w, const qn_tok_piece *pc,
                           const void *arg)
{
    const qn_tok_words *words = arg;
    const char *p = w->p + pc->b;
    size_t n = pc->e - pc->b;
    for (size_t i = 0, e; i < n; i = e) {
        e = words->next(words, p, n, i);
        qn_tok_divide_part(w, pc, pc->b + i, pc->b + e, -1);
    }
    return QN_OK;
}

void qn_tok_split_words(qn_tok_work *w, const qn_tok_words *words)
{
    (void)split_each(w, split_cut_words, words);
}

typedef struct split_by {
    const qn_tok_pattern *pat;
    qn_tok_behavior behavior;
    bool invert;
    unsigned flags;  /* of characters that are hits, or 0: */
    uint32_t wanted; /* the one that is */
} split_by;

static int split_cut_pattern(qn_tok_work *w, const qn_tok_piece *pc,
                             const void *arg)
{
    const split_by *by = arg;
    QN_TRY(qn_tok_pattern_find(by->pat, w, w->p + pc->b, pc->e - pc->b, pc->b));
    split_parts(w, pc, by->behavior, by->invert);
    return QN_OK;
}

int qn_tok_split_pattern(qn_tok_work *w, const qn_tok_pattern *pat,
                         qn_tok_behavior behavior, bool invert)
{
    split_by by = {.pat = pat, .behavior = behavior, .invert = invert};
    /* Every match is a hit and stays. */
    if (pat->words && (behavior == QN_TOK_ISOLATED ||
                       (behavior == QN_TOK_REMOVED && invert))) {
        qn_tok_split_words(w, pat->words);
        return QN_OK;
    }
    return split_each(w, split_cut_pattern, &by);
}

/* ---- characters -------------------------------------------------------- */

static bool split_is_hit(uint32_t cp, unsigned flags)
{
    if (qn_uni(cp) & flags)
        return true;
    /* $+<=>^`|~ are symbols for Unicode and punctuation for everybody. */
    return (flags & QN_UNI_PUNCT) && cp < 0x80 && cp != 0 &&
           strchr("$+<=>^`|~", (int)cp);
}

static int split_cut_chars(qn_tok_work *w, const qn_tok_piece *pc,
                           const void *arg)
{
    const split_by *by = arg;
    size_t gap = pc->b;
    qn_vec_clear(&w->matches);
    for (size_t i = pc->b; i < pc->e;) {
        size_t b = i;
        uint32_t cp = qn_uni_next(w->p, &i);
        if (by->flags ? !split_is_hit(cp, by->flags) : cp != by->wanted)
            continue;
        if (gap < b)
            split_push(w, gap, b, false);
        split_push(w, b, i, true);
        gap = i;
    }
    if (gap < pc->e)
        split_push(w, gap, pc->e, false);
    split_parts(w, pc, by->behavior, false);
    return QN_OK;
}

void qn_tok_split_chars(qn_tok_work *w, unsigned flags,
                        qn_tok_behavior behavior)
{
    split_by by = {.behavior = behavior, .flags = flags};
    (void)split_each(w, split_cut_chars, &by);
}

void qn_tok_split_char(qn_tok_work *w, uint32_t cp, qn_tok_behavior behavior)
{
    split_by by = {.behavior = behavior, .wanted = cp};
    (void)split_each(w, split_cut_chars, &by);
}

static int split_cut_lengths(qn_tok_work *w, const qn_tok_piece *pc,
                             const void *arg)
{
    size_t length = *(const size_t *)arg;
    for (size_t i = pc->b, e = i; i < pc->e; i = e) {
        for (size_t k = 0; k < length && e < pc->e; k++)
            e += qn_uni_len(w->p[e]);
        qn_tok_divide_part(w, pc, i, e, -1);
    }
    return QN_OK;
}

void qn_tok_split_lengths(qn_tok_work *w, size_t length)
{
    (void)split_each(w, split_cut_lengths, &length);
}

/* 0 blank, 1 of a word, 2 other. */
static int split_kind(uint32_t cp)
{
    unsigned u = qn_uni(cp);
    return u & QN_UNI_WORD ? 1 : u & QN_UNI_SPACE ? 0 : 2;
}

static int split_cut_runs(qn_tok_work *w, const qn_tok_piece *pc,
                          const void *arg)
{
    (void)arg;
    for (size_t i = pc->b, next; i < pc->e; i = next) {
        next = i;
        int kind = split_kind(qn_uni_next(w->p, &next));
        for (size_t j = next; j < pc->e; next = j)
            if (split_kind(qn_uni_next(w->p, &j)) != kind)
                break;
        if (kind != 0)
            qn_tok_divide_part(w, pc, i, next, -1);
    }
    return QN_OK;
}

void qn_tok_split_word_runs(qn_tok_work *w)
{
    (void)split_each(w, split_cut_runs, NULL);
}

static unsigned split_script(uint32_t cp)
{
    size_t lo = 0, hi = QN_COUNTOF(script_runs);
    while (hi - lo > 1) {
        size_t mid = lo + (hi - lo) / 2;
        if (script_runs[mid] >> 8 <= cp)
            lo = mid;
        else
            hi = mid;
    }
    return script_runs[lo] & 0xff;
}

static int split_cut_scripts(qn_tok_work *w, const qn_tok_piece *pc,
                             const void *arg)
{
    unsigned last = 0;
    size_t begin = pc->e;
    (void)arg;
    for (size_t i = pc->b, at; i < pc->e;) {
        at = i;
        unsigned script = split_script(qn_uni_next(w->p, &i));
        if (script == 0 || script == last)
            continue;
        if (last != 0)
            qn_tok_divide_part(w, pc, begin, at, -1);
        begin = at;
        last = script;
    }
    if (last != 0)
        qn_tok_divide_part(w, pc, begin, pc->e, -1);
    return QN_OK;
}

void qn_tok_split_scripts(qn_tok_work *w)
{
    (void)split_each(w, split_cut_scripts, NULL);
}
