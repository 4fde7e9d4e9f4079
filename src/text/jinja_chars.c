/* jinja_chars.c - characters as Python's str sees them.
 *
 * Categories and simple case mappings come from utf8proc; jinja_case_tab.h
 * adds what it lacks: mappings to several characters, and the two derived
 * properties that do not follow from the category. */
#include "text/jinja_chars.h"

#include "base/utf8.h"
#include "text/jinja_case_tab.h"

#include <utf8proc.h>

bool qn_jchars_is_space(uint32_t cp)
{
    if (cp < 0x80)
        return (cp >= 9 && cp <= 13) || (cp >= 28 && cp <= 32);
    return cp == 0x85 || cp == 0xa0 || cp == 0x1680 ||
           (cp >= 0x2000 && cp <= 0x200a) || cp == 0x2028 || cp == 0x2029 ||
           cp == 0x202f || cp == 0x205f || cp == 0x3000;
}

uint32_t qn_jchars_at(qn_view s, size_t *len)
{
    uint32_t cp = 0xfffd;
    int n;

    if ((unsigned char)*s.p < 0x80) {
        *len = 1;
        return (unsigned char)*s.p;
    }
    n = qn_utf8_decode(s.p, s.n, &cp);
    *len = n > 0 ? (size_t)n : 1;
    return cp;
}

size_t qn_jchars_last(qn_view s)
{
    size_t i = s.n - 1;

    while (i > 0 && ((unsigned char)s.p[i] & 0xc0) == 0x80)
        i--;
    return i;
}

size_t qn_jchars_count(qn_view s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.n; i++)
        n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
    return n;
}

bool qn_jchars_ascii(qn_view s)
{
    size_t i = 0;

    for (; i + 8 <= s.n; i += 8) {
        uint64_t w;
        memcpy(&w, s.p + i, 8);
        if (w & 0x8080808080808080u)
            return false;
    }
    for (; i < s.n; i++)
        if ((unsigned char)s.p[i] >= 0x80)
            return false;
    return true;
}

size_t qn_jchars_space_prefix(qn_view s)
{
    size_t i = 0, len;

    while (i < s.n) {
        qn_view rest = {s.p + i, s.n - i};
        if (!qn_jchars_is_space(qn_jchars_at(rest, &len)))
            break;
        i += len;
    }
    return i;
}

size_t qn_jchars_space_suffix(qn_view s)
{
    size_t n = s.n, len;

    while (n > 0) {
        size_t at = qn_jchars_last(qn_view_of(s.p, n));
        if (!qn_jchars_is_space(
                qn_jchars_at(qn_view_of(s.p + at, n - at), &len)))
            break;
        n = at;
    }
    return s.n - n;
}

int qn_jchars_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 32);
    return c >= 'a' && c <= 'z' ? c - 'a' + 10 : 36;
}

static bool chars_in_name(uint32_t cp, bool first)
{
    if (cp < 0x80)
        return cp == '_' || (cp >= 'a' && cp <= 'z') ||
               (cp >= 'A' && cp <= 'Z') || (!first && cp >= '0' && cp <= '9');
    switch (utf8proc_category((utf8proc_int32_t)cp)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_NL: return true;
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_PC: return !first;
    default: return false;
    }
}

size_t qn_jchars_name_prefix(qn_view s)
{
    size_t i = 0, len;

    while (i < s.n) {
        qn_view rest = {s.p + i, s.n - i};
        if (!chars_in_name(qn_jchars_at(rest, &len), i == 0))
            break;
        i += len;
    }
    return i;
}

static bool chars_in_ranges(uint32_t cp, const struct jcase_range *r, size_t n)
{
    for (size_t i = 0; i < n && cp >= r[i].from; i++)
        if (cp <= r[i].to)
            return true;
    return false;
}

static bool chars_ignorable(uint32_t cp, int cat)
{
    static const uint16_t mid[] = {0x27,   0x2e,   0x3a,   0xb7,   0x387,
                                   0x55f,  0x5f4,  0x2018, 0x2019, 0x2024,
                                   0x2027, 0xfe13, 0xfe52, 0xfe55, 0xff07,
                                   0xff0e, 0xff1a};
    for (size_t i = 0; i < QN_COUNTOF(mid); i++)
        if (cp == mid[i])
            return true;
    return cat == UTF8PROC_CATEGORY_MN || cat == UTF8PROC_CATEGORY_ME ||
           cat == UTF8PROC_CATEGORY_CF || cat == UTF8PROC_CATEGORY_LM ||
           cat == UTF8PROC_CATEGORY_SK;
}

static bool chars_printable(uint32_t cp, int cat)
{
    switch (cat) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP: return false;
    case UTF8PROC_CATEGORY_ZS: return cp == ' ';
    default: return true;
    }
}

bool qn_jchars_is(uint32_t cp, qn_jprop prop)
{
    int cat = utf8proc_category((utf8proc_int32_t)cp);

    switch (prop) {
    case QN_JP_ALPHA:
        return cat == UTF8PROC_CATEGORY_LU || cat == UTF8PROC_CATEGORY_LL ||
               cat == UTF8PROC_CATEGORY_LT || cat == UTF8PROC_CATEGORY_LM ||
               cat == UTF8PROC_CATEGORY_LO;
    case QN_JP_DECIMAL: return cat == UTF8PROC_CATEGORY_ND;
    case QN_JP_DIGIT:
        return cat == UTF8PROC_CATEGORY_ND ||
               chars_in_ranges(cp, jcase_digits, QN_COUNTOF(jcase_digits));
    case QN_JP_NUMBER:
        return cat == UTF8PROC_CATEGORY_ND || cat == UTF8PROC_CATEGORY_NL ||
               cat == UTF8PROC_CATEGORY_NO;
    case QN_JP_LOWER:
        return cat == UTF8PROC_CATEGORY_LL ||
               chars_in_ranges(cp, jcase_other_lower,
                               QN_COUNTOF(jcase_other_lower));
    case QN_JP_UPPER:
        return cat == UTF8PROC_CATEGORY_LU ||
               chars_in_ranges(cp, jcase_other_upper,
                               QN_COUNTOF(jcase_other_upper));
    case QN_JP_TITLE: return cat == UTF8PROC_CATEGORY_LT;
    case QN_JP_CASED:
        return cat == UTF8PROC_CATEGORY_LT || qn_jchars_is(cp, QN_JP_LOWER) ||
               qn_jchars_is(cp, QN_JP_UPPER);
    case QN_JP_IGNORABLE: return chars_ignorable(cp, cat);
    case QN_JP_PRINTABLE: return chars_printable(cp, cat);
    }
    return false;
}

/* ---- case ---------------------------------------------------------------- */

/* Is the sigma between these two the last letter of its word? */
static bool chars_final_sigma(qn_view before, qn_view after)
{
    bool cased = false;
    size_t len;

    while (before.n) {
        size_t at = qn_jchars_last(before);
        qn_view last = {before.p + at, before.n - at};
        uint32_t cp = qn_jchars_at(last, &len);
        before.n = at;
        if (qn_jchars_is(cp, QN_JP_IGNORABLE))
            continue;
        cased = qn_jchars_is(cp, QN_JP_CASED);
        break;
    }
    while (cased && after.n) {
        uint32_t cp = qn_jchars_at(after, &len);
        after = qn_view_of(after.p + len, after.n - len);
        if (!qn_jchars_is(cp, QN_JP_IGNORABLE))
            return !qn_jchars_is(cp, QN_JP_CASED);
    }
    return cased;
}

static void chars_lower(qn_jsb *sb, qn_view s, size_t at, uint32_t cp,
                        size_t len)
{
    if (cp == 0x3a3) {
        qn_view before = {s.p, at};
        qn_view after = {s.p + at + len, s.n - at - len};
        qn_jsb_cp(sb, chars_final_sigma(before, after) ? 0x3c2 : 0x3c3);
    } else if (cp == 0x130) {
        qn_jsb_cp(sb, 'i');
        qn_jsb_cp(sb, 0x307);
    } else {
        qn_jsb_cp(sb, (uint32_t)utf8proc_tolower((utf8proc_int32_t)cp));
    }
}

static void chars_raise(qn_jsb *sb, uint32_t cp, bool title)
{
    const struct jcase_special *r = jcase_specials;
    size_t lo = 0, hi = QN_COUNTOF(jcase_specials);

    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (r[mid].cp < cp)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo < QN_COUNTOF(jcase_specials) && r[lo].cp == cp) {
        const uint16_t *to = title ? r[lo].title : r[lo].upper;
        for (int i = 0; i < 3 && to[i]; i++)
            qn_jsb_cp(sb, to[i]);
        return;
    }
    qn_jsb_cp(sb, (uint32_t)(title ? utf8proc_totitle((utf8proc_int32_t)cp)
                                   : utf8proc_toupper((utf8proc_int32_t)cp)));
}

static void chars_ascii_case(qn_jsb *sb, char c, bool up)
{
    if (up && c >= 'a' && c <= 'z')
        c = (char)(c - 32);
    else if (!up && c >= 'A' && c <= 'Z')
        c = (char)(c + 32);
    qn_jsb_addc(sb, c);
}

void qn_jchars_case(qn_jsb *sb, qn_view s, qn_jcase how)
{
    bool after_cased = false;
    size_t len;

    for (size_t i = 0; i < s.n; i += len) {
        uint32_t cp = qn_jchars_at(qn_view_of(s.p + i, s.n - i), &len);
        bool up = how == QN_JCASE_UPPER ||
                  (how == QN_JCASE_CAPITALIZE && i == 0) ||
                  (how == QN_JCASE_TITLE && !after_cased) ||
                  (how == QN_JCASE_SWAP && qn_jchars_is(cp, QN_JP_LOWER));
        if (cp < 0x80)
            chars_ascii_case(sb, (char)cp, up);
        else if (up)
            chars_raise(sb, cp, how != QN_JCASE_UPPER && how != QN_JCASE_SWAP);
        else if (how == QN_JCASE_SWAP && !qn_jchars_is(cp, QN_JP_UPPER))
            qn_jsb_cp(sb, cp);
        else
            chars_lower(sb, s, i, cp, len);
        if (how == QN_JCASE_TITLE)
            after_cased = qn_jchars_is(cp, QN_JP_CASED);
    }
}
