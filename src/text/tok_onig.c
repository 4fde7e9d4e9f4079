/* tok_onig.c - Oniguruma's Ruby syntax rewritten for PCRE2.
 *
 * The two mostly agree. What differs, and is rewritten here:
 *
 *   \s \w \b       PCRE2's take U+180E for a blank, and only \p{L}, \p{N} and
 *                  the underscore for word characters
 *   \h \v \u0041   other meanings, or none
 *   [a[bc]] [a&&b] nested classes and intersections: PCRE2 reads literals
 *   a{1,3}+        a repetition of a repetition there, possessive here
 *   a{,3}          a literal here
 *   (?m)           lets the dot match newlines there; that is (?s) here
 *   \p{Letter}     long names
 *   \p{Han}        characters of the script; there also those that texts in it
 *                  use beside others
 *
 * Each class becomes an expression that matches one character. A construct
 * without an equal is refused with its name: a tokenizer that splits slightly
 * differently is worse than none. */
#define PCRE2_CODE_UNIT_WIDTH 8

#include "text/tok_regex.h"

#include "base/vec.h"
#include "text/unicode.h"

#include <pcre2.h>
#include <stdio.h>

enum {
    ONIG_MAX_DEPTH = 64
};

#define ONIG_SPACE                                                   \
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}" \
    "\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"
#define ONIG_WORD "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}"
/* Outside of classes a table for Latin-1 decides, which has these, too. */
#define ONIG_WORD_BARE ONIG_WORD "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}"
#define ONIG_HEX "0-9a-fA-F"

typedef struct onig {
    const char *p;
    size_t n, i;
    int depth; /* of nested classes */
    const char *doc;
    qn_err *err;
    qn_view whole;
} onig;

static int onig_refuse(const onig *o, const char *what)
{
    return qn_fail(o->err, QN_EUNSUP,
                   "%s: %s is not supported in the regular expression %.*s",
                   o->doc, what, (int)QN_MIN(o->n, 200), o->p);
}

static char onig_peek(const onig *o, size_t ahead)
{
    return o->i + ahead < o->n ? o->p[o->i + ahead] : '\0';
}

static bool onig_eat(onig *o, const char *s)
{
    size_t n = strlen(s);
    if (o->n - o->i < n || memcmp(o->p + o->i, s, n) != 0)
        return false;
    o->i += n;
    return true;
}

/* ---- escapes ----------------------------------------------------------- */

static bool onig_is_script(const char *name, size_t n)
{
    char text[64];
    int code;
    PCRE2_SIZE at;
    int len = snprintf(text, sizeof text, "\\p{sc:%.*s}", (int)n, name);
    if (len < 0 || (size_t)len >= sizeof text)
        return false;
    pcre2_code *re = pcre2_compile((PCRE2_SPTR)text, (PCRE2_SIZE)len, PCRE2_UTF,
                                   &code, &at, NULL);
    pcre2_code_free(re);
    return re != NULL;
}

/* \p{Name}: behind the p. `negated` for \P. */
static int onig_property(onig *o, bool negated, qn_str *out)
{
    static const char *const names[][2] = {{"letter", "L"},
                                           {"mark", "M"},
                                           {"number", "N"},
                                           {"punctuation", "P"},
                                           {"symbol", "S"},
                                           {"separator", "Z"},
                                           {"other", "C"},
                                           {"punct", "P"},
                                           {"alpha", "Alphabetic"},
                                           {"digit", "Nd"},
                                           {"lower", "Ll"},
                                           {"upper", "Lu"},
                                           {"uppercaseletter", "Lu"},
                                           {"lowercaseletter", "Ll"},
                                           {"decimalnumber", "Nd"},
                                           {"space", "White_Space"}};
    const char *close = o->i < o->n && o->p[o->i] == '{'
                            ? memchr(o->p + o->i, '}', o->n - o->i)
                            : NULL;
    if (!close)
        return onig_refuse(o, "\\p without {name}");
    const char *name = o->p + o->i + 1;
    size_t n = (size_t)(close - name);
    o->i = (size_t)(close - o->p) + 1;
    if (n > 0 && *name == '^') {
        negated = !negated;
        name++;
        n--;
    }
    char plain[32];
    size_t m = 0;
    for (size_t k = 0; k < n && m + 1 < sizeof plain; k++)
        if (name[k] != '_' && name[k] != ' ' && name[k] != '-')
            plain[m++] = (char)(name[k] >= 'A' && name[k] <= 'Z'
                                    ? name[k] | 0x20
                                    : name[k]);
    plain[m] = '\0';
    for (size_t k = 0; k < QN_COUNTOF(names); k++) {
        if (strcmp(plain, names[k][0]) == 0) {
            name = names[k][1];
            n = strlen(name);
        }
    }
    qn_str_addf(out, "\\%c{%s%.*s}", negated ? 'P' : 'p',
                onig_is_script(name, n) ? "sc:" : "", (int)n, name);
    return QN_OK;
}

/* A set of characters for \s \w \d \D \h as class items. */
static bool onig_set_items(char c, qn_str *out)
{
    switch (c) {
    case 's': qn_str_adds(out, ONIG_SPACE); return true;
    case 'w': qn_str_adds(out, ONIG_WORD); return true;
    case 'd': qn_str_adds(out, "\\p{Nd}"); return true;
    case 'h': qn_str_adds(out, ONIG_HEX); return true;
    case 'D': qn_str_adds(out, "\\P{Nd}"); return true;
    default: return false;
    }
}

/* An escape that stands for itself or one character, inside classes and out;
 * o->i is behind the backslash and the letter c. */
static int onig_char_escape(onig *o, char c, qn_str *out)
{
    if (c == 'v') {
        qn_str_adds(out, "\\x0b");
    } else if (c == 'u') {
        if (o->n - o->i < 4)
            return onig_refuse(o, "\\u without four digits");
        qn_str_addf(out, "\\x{%.4s}", o->p + o->i);
        o->i += 4;
    } else if (c == 'x' && onig_peek(o, 0) == '{') {
        const char *close = memchr(o->p + o->i, '}', o->n - o->i);
        if (!close)
            return onig_refuse(o, "\\x{ without an end");
        size_t n = (size_t)(close - o->p) + 1 - o->i;
        qn_str_adds(out, "\\x");
        qn_str_add(out, o->p + o->i, n);
        o->i += n;
    } else if (c == 'c' || c == 'C' || c == 'M') {
        return onig_refuse(o, "a control or meta escape");
    } else if (strchr("abefnrtx01234567", c)) {
        qn_str_addf(out, "\\%c", c);
    } else if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
               (uint8_t)c >= 0x80) {
        qn_str_addc(out, c);
    } else {
        qn_str_addf(out, "\\%c", c);
    }
    return QN_OK;
}

#define BARE "[" ONIG_WORD_BARE "]"

/* An escape outside of classes; o->i is at the backslash. */
static int onig_escape(onig *o, qn_str *out)
{
    char c = onig_peek(o, 1);
    if (o->i + 1 >= o->n)
        return onig_refuse(o, "a backslash at the end");
    o->i += 2;
    switch (c) {
    case 'p':
    case 'P': return onig_property(o, c == 'P', out);
    case 'S': qn_str_adds(out, "[^" ONIG_SPACE "]"); return QN_OK;
    case 'W': qn_str_adds(out, "[^" ONIG_WORD_BARE "]"); return QN_OK;
    case 'w': qn_str_adds(out, "[" ONIG_WORD_BARE "]"); return QN_OK;
    case 'H': qn_str_adds(out, "[^" ONIG_HEX "]"); return QN_OK;
    case 'D': qn_str_adds(out, "\\P{Nd}"); return QN_OK;
    case 'b':
        qn_str_adds(out,
                    "(?:(?<=" BARE ")(?!" BARE ")|(?<!" BARE ")(?=" BARE "))");
        return QN_OK;
    case 'B':
        qn_str_adds(out,
                    "(?:(?<=" BARE ")(?=" BARE ")|(?<!" BARE ")(?!" BARE "))");
        return QN_OK;
    case 's':
    case 'd':
    case 'h':
        qn_str_addc(out, '[');
        onig_set_items(c, out);
        qn_str_addc(out, ']');
        return QN_OK;
    case 'g': return onig_refuse(o, "a subexpression call");
    case 'y':
    case 'Y':
    case 'N':
    case 'O': return onig_refuse(o, "\\y, \\Y, \\N or \\O");
    default:
        if (strchr("AzZGKRXk89", c)) {
            qn_str_addf(out, "\\%c", c);
            return QN_OK;
        }
        return onig_char_escape(o, c, out);
    }
}

/* ---- classes ----------------------------------------------------------- */

static int onig_class(onig *o, qn_str *out);

/* [:name:] inside a class, o->i at its bracket. 1 when it was one. */
static int onig_posix(onig *o, qn_str *items)
{
    static const char *const table[][2] = {{"space", ONIG_SPACE},
                                           {"word", ONIG_WORD},
                                           {"alpha", "\\p{Alphabetic}"},
                                           {"digit", "\\p{Nd}"},
                                           {"alnum", "\\p{Alphabetic}\\p{Nd}"},
                                           {"upper", "\\p{Uppercase}"},
                                           {"lower", "\\p{Lowercase}"},
                                           {"punct", "\\p{P}\\p{S}"},
                                           {"xdigit", ONIG_HEX},
                                           {"blank", "\\p{Zs}\\x{9}"},
                                           {"cntrl", "\\p{Cc}"},
                                           {"ascii", "\\x{0}-\\x{7f}"}};
    const char *p = o->p + o->i + 2;
    const char *end = o->p + o->n;
    const char *close = p < end ? memchr(p, ':', (size_t)(end - p)) : NULL;
    if (!close || close + 1 >= end || close[1] != ']')
        return 0;
    for (size_t k = 0; k < QN_COUNTOF(table); k++) {
        if (qn_view_eqs(qn_view_of(p, (size_t)(close - p)), table[k][0])) {
            qn_str_adds(items, table[k][1]);
            o->i = (size_t)(close - o->p) + 2;
            return 1;
        }
    }
    return onig_refuse(o, "this POSIX bracket");
}

/* One item of a class into `items`, or a nested class into `nested`. */
static int onig_class_item(onig *o, qn_str *items, qn_str *nested)
{
    char c = o->p[o->i];
    if (c == '[') {
        if (onig_peek(o, 1) == ':') {
            int rc = onig_posix(o, items);
            if (rc != 0)
                return rc < 0 ? rc : QN_OK;
        }
        if (nested->n > 0)
            qn_str_addc(nested, '|');
        return onig_class(o, nested);
    }
    if (c != '\\') {
        if (c == '&' || c == '~' || c == '#')
            qn_str_addc(items, '\\');
        qn_str_addc(items, c);
        o->i++;
        return QN_OK;
    }
    c = onig_peek(o, 1);
    if (o->i + 1 >= o->n)
        return onig_refuse(o, "a backslash at the end");
    o->i += 2;
    if (c == 'p' || c == 'P')
        return onig_property(o, c == 'P', items);
    if (c == 'R' || c == 'X')
        return onig_refuse(o, "\\R or \\X in a class");
    if (c == 'S' || c == 'W' || c == 'H') {
        qn_str_addf(nested, "%s[^%s]", nested->n > 0 ? "|" : "",
                    c == 'S'   ? ONIG_SPACE
                    : c == 'W' ? ONIG_WORD
                               : ONIG_HEX);
        return QN_OK;
    }
    if (onig_set_items(c, items))
        return QN_OK;
    return onig_char_escape(o, c, items);
}

/* Ends one operand of &&: an expression for one character of it. */
static void onig_operand(qn_str *items, qn_str *nested, qn_str *out)
{
    if (nested->n == 0) {
        qn_str_addf(out, "[%.*s]", (int)items->n, items->p ? items->p : "");
    } else if (items->n == 0) {
        qn_str_addf(out, "(?:%.*s)", (int)nested->n, nested->p);
    } else {
        qn_str_addf(out, "(?:[%.*s]|%.*s)", (int)items->n, items->p,
                    (int)nested->n, nested->p);
    }
    qn_str_clear(items);
    qn_str_clear(nested);
}

typedef struct onig_parts {
    qn_str items, nested, ahead, last;
    int n_ahead;
} onig_parts;

static int onig_class_body(onig *o, onig_parts *part, qn_str *out)
{
    bool negated = onig_eat(o, "^");
    bool first = true;
    for (;; first = false) {
        if (o->i >= o->n)
            return onig_refuse(o, "a class without an end");
        if (o->p[o->i] == ']' && !first)
            break;
        if (o->p[o->i] == ']') {
            qn_str_adds(&part->items, "\\]");
            o->i++;
        } else if (onig_eat(o, "&&")) {
            qn_str_adds(&part->ahead, "(?=");
            onig_operand(&part->items, &part->nested, &part->ahead);
            qn_str_addc(&part->ahead, ')');
            part->n_ahead++;
        } else {
            QN_TRY(onig_class_item(o, &part->items, &part->nested));
        }
    }
    o->i++;
    if (part->n_ahead == 0 && part->nested.n == 0) {
        qn_str_addf(out, "[%s%.*s]", negated ? "^" : "", (int)part->items.n,
                    part->items.p);
        return QN_OK;
    }
    onig_operand(&part->items, &part->nested, &part->last);
    qn_str_addf(out, negated ? "(?:(?!%s%s)(?s:.))" : "(?:%s%s)",
                part->ahead.p ? part->ahead.p : "", part->last.p);
    return QN_OK;
}

/* A class; o->i is at its bracket. */
static int onig_class(onig *o, qn_str *out)
{
    if (o->depth >= ONIG_MAX_DEPTH)
        return onig_refuse(o, "this depth of nested classes");
    onig_parts part = {0};
    o->depth++;
    o->i++;
    int rc = onig_class_body(o, &part, out);
    o->depth--;
    qn_str_deinit(&part.items);
    qn_str_deinit(&part.nested);
    qn_str_deinit(&part.ahead);
    qn_str_deinit(&part.last);
    return rc;
}

/* ---- groups and repetitions -------------------------------------------- */

/* What stands behind "(?"; o->i is at the parenthesis. */
static int onig_group_head(onig *o, bool at_start, qn_str *out)
{
    static const char *const plain[] = {"(?:",  "(?=", "(?!", "(?<=",
                                        "(?<!", "(?>", "(?<"};
    for (size_t k = 0; k < QN_COUNTOF(plain); k++) {
        if (onig_eat(o, plain[k])) {
            qn_str_adds(out, plain[k]);
            return QN_OK;
        }
    }
    if (onig_peek(o, 1) == '*')
        return onig_refuse(o, "a callout or verb");
    if (onig_peek(o, 1) != '?') {
        qn_str_addc(out, '(');
        o->i++;
        return QN_OK;
    }
    o->i += 2;
    qn_str_adds(out, "(?");
    for (;; o->i++) {
        char c = onig_peek(o, 0);
        if (c == 'i' || c == '-')
            qn_str_addc(out, c);
        else if (c == 'm')
            qn_str_addc(out, 's');
        else
            break;
    }
    char c = onig_peek(o, 0);
    if (c != ':' && !(c == ')' && at_start))
        return onig_refuse(o, "this kind of group");
    if (c == ':') {
        qn_str_addc(out, ':');
        o->i++;
    }
    return QN_OK;
}

/* An interval {n,m} at o->i: 1 and its bounds as text, 0 when it is none. */
static int onig_interval(const onig *o, size_t *length, bool *exact,
                         char text[24])
{
    size_t i = o->i + 1, n_low = 0, n_high = 0;
    char low[6] = "0", high[6] = "";
    while (i < o->n && o->p[i] >= '0' && o->p[i] <= '9' && n_low < 5)
        low[n_low++] = o->p[i++];
    low[QN_MAX(n_low, 1)] = '\0';
    bool comma = i < o->n && o->p[i] == ',';
    i += comma;
    while (comma && i < o->n && o->p[i] >= '0' && o->p[i] <= '9' && n_high < 5)
        high[n_high++] = o->p[i++];
    high[n_high] = '\0';
    if (i >= o->n || o->p[i] != '}' || (n_low == 0 && n_high == 0))
        return 0;
    *length = i + 1 - o->i;
    *exact = !comma;
    snprintf(text, 24, "{%s%s%s}", low, comma ? "," : "", high);
    return 1;
}

/* Puts a non-capturing group around what was written from `from` on. */
static void onig_wrap(qn_str *out, size_t from)
{
    size_t n = out->n - from;
    qn_str_adds(out, "....");
    memmove(out->p + from + 3, out->p + from, n);
    memcpy(out->p + from, "(?:", 3);
    out->p[from + 3 + n] = ')';
}

static int onig_brace(onig *o, size_t *atom, qn_str *out)
{
    size_t length;
    bool exact;
    char text[24];
    if (!onig_interval(o, &length, &exact, text)) {
        *atom = out->n;
        qn_str_adds(out, "\\{");
        o->i++;
        return QN_OK;
    }
    qn_str_adds(out, text);
    o->i += length;
    if (onig_peek(o, 0) == '+' || (exact && onig_peek(o, 0) == '?'))
        onig_wrap(out, *atom);
    return QN_OK;
}

typedef struct onig_walk {
    QN_VEC(size_t) open; /* where the output of each open group begins   */
    size_t atom;         /* where the output of the last atom begins     */
    bool at_start;       /* nothing was read of this group yet           */
} onig_walk;

static int onig_step(onig *o, onig_walk *w, qn_str *out)
{
    char c = o->p[o->i];
    size_t begin = out->n;
    bool at_start = w->at_start;
    w->at_start = false;
    switch (c) {
    case '\\': w->atom = begin; return onig_escape(o, out);
    case '[': w->atom = begin; return onig_class(o, out);
    case '(':
        qn_vec_push(&w->open, begin);
        w->atom = begin;
        w->at_start = true;
        return onig_group_head(o, at_start && w->open.n == 1, out);
    case ')':
        w->atom = begin;
        if (w->open.n > 0)
            w->atom = w->open.v[--w->open.n];
        qn_str_addc(out, c);
        o->i++;
        return QN_OK;
    case '{': return onig_brace(o, &w->atom, out);
    default: break;
    }
    if (!strchr("*+?", c))
        w->atom = begin;
    size_t n = QN_MIN(qn_uni_len(c), o->n - o->i);
    qn_str_add(out, o->p + o->i, n);
    o->i += n;
    return QN_OK;
}

int qn_onig_to_pcre(qn_view pattern, qn_str *out, const char *doc, qn_err *err)
{
    onig o = {pattern.p, pattern.n, 0, 0, doc, err, pattern};
    onig_walk w = {.at_start = true};
    int rc = QN_OK;
    if (memchr(pattern.p, '\0', pattern.n))
        rc = onig_refuse(&o, "a NUL byte");
    while (rc == QN_OK && o.i < o.n)
        rc = onig_step(&o, &w, out);
    qn_vec_deinit(&w.open);
    return rc;
}
