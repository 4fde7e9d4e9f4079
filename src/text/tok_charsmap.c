/* tok_charsmap.c - the Precompiled normalizer: SentencePiece's character map.
 *
 *     0        4            4 + size
 *     +--------+------------+---------------------------+
 *     | size   | trie       | strings, each ends in NUL |
 *     +--------+------------+---------------------------+
 *
 * The trie is a double array (Darts-clone): 32-bit little-endian units, a key
 * leads to where its replacement begins among the strings. A text is looked up
 * grapheme by grapheme (those under 6 bytes), and what is not found there
 * character by character; the shortest key that begins the look-up counts. */
#include "text/tok_charsmap.h"

#include "base/utf8.h"
#include "text/tok_base64.h"
#include "text/tok_compose.h"
#include "text/unicode.h"

#include <utf8proc.h>

enum {
    CHARSMAP_GRAPHEME = 6 /* bytes from which on graphemes are not looked up */
};

typedef QN_VEC(qn_tok_change) charsmap_list;

static uint32_t charsmap_u32(const char *p)
{
    const uint8_t *u = (const uint8_t *)p;
    return u[0] | (uint32_t)u[1] << 8 | (uint32_t)u[2] << 16 |
           (uint32_t)u[3] << 24;
}

/* ---- the trie ------------------------------------------------------------
 *
 * A unit: bit 31 and bits 0-7 the label; bit 8 a value hangs below; bits 10-30
 * the offset of the children, shifted by 8 when bit 9 is set. A value unit:
 * bits 0-30. */

static bool charsmap_unit(const qn_tok_step *s, size_t at, uint32_t *unit)
{
    if (at >= s->start)
        return false;
    *unit = charsmap_u32(s->text + 4 + 4 * at);
    return true;
}

static size_t charsmap_offset(uint32_t unit)
{
    return (size_t)(unit >> 10) << ((unit & (1u << 9)) >> 6);
}

/* The string that a value unit leads to; p NULL: damaged. */
static qn_view charsmap_text(const qn_tok_step *s, uint32_t unit)
{
    size_t begin = s->stop + (unit & 0x7FFFFFFF);
    if (begin >= s->text_n || ((uint8_t)s->text[begin] & 0xC0) == 0x80)
        return (qn_view){NULL, 0};
    const char *end = memchr(s->text + begin, '\0', s->text_n - begin);
    size_t e = end ? (size_t)(end - s->text) : s->text_n;
    return qn_view_of(s->text + begin, e - begin);
}

/* What the shortest or longest key that begins p[n] stands for, and its
 * length; p NULL: there is none. */
static qn_view charsmap_find(const qn_tok_step *s, const char *p, size_t n,
                             bool longest, size_t *used)
{
    qn_view found = {NULL, 0};
    uint32_t unit;
    if (!charsmap_unit(s, 0, &unit))
        return found;
    size_t at = charsmap_offset(unit);
    for (size_t i = 0; i < n && p[i]; i++) {
        uint8_t c = (uint8_t)p[i];
        at ^= c;
        if (!charsmap_unit(s, at, &unit) ||
            (unit & (UINT32_C(1) << 31 | 0xFF)) != c)
            break;
        at ^= charsmap_offset(unit);
        if (!(unit >> 8 & 1))
            continue;
        if (!charsmap_unit(s, at, &unit))
            break;
        found = charsmap_text(s, unit);
        *used = i + 1;
        if (!longest || !found.p)
            break;
    }
    return found;
}

qn_view qn_tok_charsmap_longest(const qn_tok_step *s, const char *p, size_t n,
                                size_t *used)
{
    return charsmap_find(s, p, n, true, used);
}

/* ---- rewriting ----------------------------------------------------------- */

/* `old` characters become those of `new`: as many as there were replace them,
 * further ones are inserted behind; what is left over goes with the last. */
static void charsmap_replace(charsmap_list *out, size_t old, qn_view new)
{
    size_t count = qn_utf8_count(new.p, new.n), k = 0;
    for (size_t i = 0; i < new.n; k++) {
        uint32_t cp = qn_uni_next(new.p, &i);
        /* The last (count - old) are insertions. */
        int32_t change = count > old && k >= old ? 1 : 0;
        qn_vec_push(out, ((qn_tok_change){cp, change, 0}));
    }
    if (count < old && out->n > 0)
        out->v[out->n - 1].change -= (int32_t)(old - count);
}

/* Where the grapheme that begins at i ends. */
static size_t charsmap_grapheme(const char *p, size_t n, size_t i)
{
    utf8proc_int32_t state = 0;
    uint32_t before = qn_uni_next(p, &i);
    for (size_t j = i; j < n; i = j) {
        uint32_t cp = qn_uni_next(p, &j);
        if (utf8proc_grapheme_break_stateful((utf8proc_int32_t)before,
                                             (utf8proc_int32_t)cp, &state))
            break;
        before = cp;
    }
    return i;
}

/* True when anything was replaced. */
static bool charsmap_chunk(const qn_tok_step *s, const char *p, size_t n,
                           charsmap_list *out)
{
    size_t used;
    if (n < CHARSMAP_GRAPHEME) {
        qn_view new = charsmap_find(s, p, n, false, &used);
        if (new.p) {
            charsmap_replace(out, qn_utf8_count(p, n), new);
            return true;
        }
    }
    bool any = false;
    for (size_t i = 0, e; i < n; i = e) {
        e = i;
        uint32_t cp = qn_uni_next(p, &e);
        qn_view new = charsmap_find(s, p + i, e - i, false, &used);
        if (new.p)
            charsmap_replace(out, 1, new);
        else
            qn_vec_push(out, ((qn_tok_change){cp, 0, 0}));
        any |= new.p != NULL;
    }
    return any;
}

static int charsmap_apply(const void *arg, qn_tok_work *w,
                          const qn_tok_piece *pc)
{
    charsmap_list list = {0};
    bool any = false;
    for (size_t i = pc->b, e; i < pc->e; i = e) {
        e = charsmap_grapheme(w->p, pc->e, i);
        any |= charsmap_chunk(arg, w->p + i, e - i, &list);
    }
    if (any)
        qn_tok_transform(w, pc, pc->b, pc->e, list.v, list.n);
    else
        qn_tok_keep(w, pc->b, pc->e);
    qn_vec_deinit(&list);
    return QN_OK;
}

int qn_tok_charsmap_run(const qn_tok_step *s, qn_tok_work *w)
{
    qn_tok_rewrite how = {s, NULL, charsmap_apply};
    return s->text_n > 0 ? qn_tok_work_rewrite(w, &how) : QN_OK;
}

/* ---- reading ------------------------------------------------------------- */

int qn_tok_charsmap_set(qn_tok_step *s, qn_view blob, const char *doc,
                        qn_err *err)
{
    if (blob.n == 0)
        return QN_OK;
    size_t trie = blob.n >= 4 ? charsmap_u32(blob.p) : 0;
    if (blob.n < 4 || trie > blob.n - 4 || trie % 4 != 0 ||
        !qn_utf8_valid(blob.p + 4 + trie, blob.n - 4 - trie))
        return qn_fail(err, QN_EFORMAT,
                       "%s: a character map of %zu bytes is damaged", doc,
                       blob.n);
    qn_tok_step_set_text(s, blob.p, blob.n);
    s->start = trie / 4;
    s->stop = 4 + trie;
    return QN_OK;
}

int qn_tok_charsmap_parse(qn_tok_step *s, const json_t *o, const char *doc,
                          qn_err *err)
{
    const json_t *v = json_object_get(o, "precompiled_charsmap");
    qn_str blob;
    if (json_is_null(v))
        return QN_OK;
    qn_str_init(&blob);
    int rc = QN_EFORMAT;
    if (!json_is_string(v) ||
        !qn_tok_base64(qn_view_of(json_string_value(v), json_string_length(v)),
                       &blob))
        rc = qn_fail(err, QN_EFORMAT,
                     "%s: precompiled_charsmap is no base64 text", doc);
    else
        rc = qn_tok_charsmap_set(s, qn_view_of(blob.p, blob.n), doc, err);
    qn_str_deinit(&blob);
    return rc;
}
