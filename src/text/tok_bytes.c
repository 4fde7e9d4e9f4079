/* tok_bytes.c - what one token is as bytes.
 *
 * A byte-level token says so itself; a byte token (<0x0A>) too. Of any other
 * it is what decoding it behind a letter adds to the letter, provided that the
 * decoder looks at tokens one by one; of those that do not (WordPiece, CTC,
 * BPE with suffixes, none at all) nothing is known here. */
#include "text/tok_int.h"
#include "text/unicode.h"

static bool has_step(const qn_tok *t, const char *type)
{
    for (size_t i = 0; i < t->dec.n; i++)
        if (qn_tok_step_is(&t->dec.v[i], type))
            return true;
    return false;
}

static bool looks_at_neighbours(const qn_tok *t)
{
    return has_step(t, "WordPiece") || has_step(t, "CTC") ||
           has_step(t, "BPEDecoder") || has_step(t, "Join");
}

static bool spelled_bytes(qn_view v, qn_str *out)
{
    size_t before = out->n;
    for (size_t i = 0; i < v.n;) {
        int b = qn_tok_char_byte(qn_uni_next(v.p, &i));
        if (b < 0) {
            out->n = before;
            return false;
        }
        qn_str_addc(out, (char)b);
    }
    return true;
}

static bool byte_token(qn_view v, qn_str *out)
{
    if (v.n != 6 || memcmp(v.p, "<0x", 3) != 0 || v.p[5] != '>')
        return false;
    int high = qn_hex_digit(v.p[3]), low = qn_hex_digit(v.p[4]);
    if (high < 0 || low < 0)
        return false;
    qn_str_addc(out, (char)(high * 16 + low));
    return true;
}

/* decode([letter, id]) without decode([letter]). */
static bool behind_letter(const qn_tok *t, int32_t id, qn_str *out)
{
    int32_t ids[2] = {qn_tok_id(t, "a", 1), id};
    qn_str one = {0}, two = {0};
    bool ok = ids[0] >= 0 && qn_tok_decode(t, ids, 1, false, &one, NULL) == 0 &&
              qn_tok_decode(t, ids, 2, false, &two, NULL) == 0 && one.n > 0 &&
              two.n > one.n && memcmp(one.p, two.p, one.n) == 0;
    if (ok)
        qn_str_add(out, two.p + one.n, two.n - one.n);
    qn_str_deinit(&one);
    qn_str_deinit(&two);
    return ok;
}

bool qn_tok_bytes(const qn_tok *t, int32_t id, qn_str *out)
{
    qn_view v = qn_tok_text(t, id);
    if (!v.p || v.n == 0 || qn_tok_is_special(t, id) || looks_at_neighbours(t))
        return false;
    if (has_step(t, "ByteLevel") && spelled_bytes(v, out))
        return true;
    if (has_step(t, "ByteFallback") && byte_token(v, out))
        return true;
    return behind_letter(t, id, out);
}
