/* tok_compose.c - UAX #15 over utf8proc's data.
 *
 * Decompose, sort marks by combining class, compose again. Composing two
 * characters adds their changes (see tok_compose.h) and subtracts one. */
#include "text/tok_compose.h"

#include "text/unicode.h"

#include <stdlib.h>
#include <utf8proc.h>

enum {
    COMPOSE_MAX_PARTS = 32 /* no character decomposes into more than 18 */
};

typedef qn_tok_change compose_char;

typedef QN_VEC(compose_char) compose_chars;

static int32_t compose_class(uint32_t cp)
{
    return utf8proc_get_property((utf8proc_int32_t)cp)->combining_class;
}

static void compose_push(compose_chars *out, uint32_t cp, bool first)
{
    qn_vec_push(out, ((compose_char){cp, first ? 0 : 1, compose_class(cp)}));
}

/* Sorts v[n] by class, keeping the order among equals. Counting: a text may be
 * one run of a million marks. */
static void compose_sort_run(compose_char *v, size_t n, compose_chars *spare)
{
    size_t at[257] = {0};
    qn_vec_reserve(spare, n);
    for (size_t k = 0; k < n; k++)
        at[v[k].class + 1]++;
    for (size_t c = 1; c < 257; c++)
        at[c] += at[c - 1];
    memcpy(spare->v, v, n * sizeof *v);
    for (size_t k = 0; k < n; k++)
        v[at[spare->v[k].class]++] = spare->v[k];
}

static void compose_sort(compose_chars *chars)
{
    compose_chars spare = {0};
    for (size_t b = 0, e; b < chars->n; b = e) {
        bool sorted = true;
        for (e = b; e < chars->n && chars->v[e].class != 0; e++)
            sorted &= e == b || chars->v[e - 1].class <= chars->v[e].class;
        if (!sorted)
            compose_sort_run(chars->v + b, e - b, &spare);
        e += e == b;
    }
    qn_vec_deinit(&spare);
}

static void compose_split(compose_chars *out, uint32_t cp, bool compat)
{
    utf8proc_int32_t parts[COMPOSE_MAX_PARTS];
    int boundary = 0;
    utf8proc_option_t options = UTF8PROC_DECOMPOSE;
    if (compat)
        options |= UTF8PROC_COMPAT;
    utf8proc_ssize_t n = utf8proc_decompose_char((utf8proc_int32_t)cp, parts,
                                                 COMPOSE_MAX_PARTS, options,
                                                 &boundary);
    if (n < 1 || n > COMPOSE_MAX_PARTS) {
        compose_push(out, cp, true);
        return;
    }
    for (utf8proc_ssize_t k = 0; k < n; k++)
        compose_push(out, (uint32_t)parts[k], k == 0);
}

/* 0 when the two do not compose. */
static uint32_t compose_pair(uint32_t a, uint32_t b)
{
    utf8proc_int32_t pair[3] = {(utf8proc_int32_t)a, (utf8proc_int32_t)b, 0};
    utf8proc_ssize_t n =
        utf8proc_normalize_utf32(pair, 2, UTF8PROC_COMPOSE | UTF8PROC_STABLE);
    return n == 1 ? (uint32_t)pair[0] : 0;
}

/* In place: each mark that nothing blocks joins the starter before it. */
static void compose_join(compose_chars *chars)
{
    size_t n = 0, starter = SIZE_MAX;
    int32_t last = -1; /* class of the last mark kept behind the starter */
    for (size_t k = 0; k < chars->n; k++) {
        compose_char c = chars->v[k];
        bool open = starter != SIZE_MAX && (last < 0 || last < c.class);
        uint32_t joined = open ? compose_pair(chars->v[starter].cp, c.cp) : 0;
        if (joined) {
            chars->v[starter].cp = joined;
            chars->v[starter].change += c.change - 1;
            continue;
        }
        if (c.class == 0)
            starter = n;
        last = c.class == 0 ? -1 : c.class;
        chars->v[n++] = c;
    }
    chars->n = n;
}

void qn_tok_transform(qn_tok_work *w, const qn_tok_piece *pc, size_t b,
                      size_t e, const qn_tok_change *list, size_t n)
{
    size_t at = b; /* behind the characters that were replaced so far */
    for (size_t k = 0; k < n; k++) {
        int32_t change = list[k].change;
        qn_tok_al al = {pc->origin, pc->origin};
        if (change <= 0 && at < e)
            al = qn_tok_work_al(w, at);
        else if (at > pc->b)
            al = qn_tok_work_al(w, at - 1);
        for (; change <= 0 && at < e; change++)
            (void)qn_uni_next(w->p, &at);
        qn_tok_put_cp(w, list[k].cp, al);
    }
}

void qn_tok_compose(qn_tok_work *w, const qn_tok_piece *pc, size_t b, size_t e,
                    unsigned form)
{
    compose_chars chars = {0};
    bool compat = form == QN_UNI_NFKC || form == QN_UNI_NFKD;
    for (size_t i = b; i < e;)
        compose_split(&chars, qn_uni_next(w->p, &i), compat);
    compose_sort(&chars);
    if (form == QN_UNI_NFC || form == QN_UNI_NFKC)
        compose_join(&chars);

    qn_tok_transform(w, pc, b, e, chars.v, chars.n);
    qn_vec_deinit(&chars);
}
