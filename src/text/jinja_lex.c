/* jinja_lex.c - template text to tokens.
 *
 * Between tags everything is data; a tag's "-" takes the whitespace around it
 * away, "+" keeps what trim_blocks and lstrip_blocks would take. Inside a tag
 * an end mark counts only when every bracket is closed, so that {{ {'a': {}} }}
 * reads as it looks. Comments vanish here, raw blocks become data.
 *
 * One newline at the end of the template is not part of it; line ends of all
 * kinds are newlines. Both happen before lexing, in jinja_compile. */
#include "text/jinja_ast.h"

#include "base/utf8.h"
#include "text/jinja_chars.h"

#include <string.h>

typedef struct lexer {
    qn_jcomp *c;
    const char *p, *end; /* unread source */
    uint32_t line;
    bool line_start; /* the last match ended with a newline, or at the top */
    struct {
        qn_jtok *v;
        size_t n, cap;
    } out;
} lexer;

static qn_jtok *lex_emit(lexer *lx, qn_jtok_kind kind)
{
    if (lx->out.n == lx->out.cap) {
        size_t cap = lx->out.cap ? 2 * lx->out.cap : 64;
        qn_jtok *v = qn_arena_calloc(lx->c->arena, cap, sizeof *v);
        if (lx->out.n)
            memcpy(v, lx->out.v, lx->out.n * sizeof *v);
        lx->out.v = v;
        lx->out.cap = cap;
    }
    qn_jtok *t = &lx->out.v[lx->out.n++];
    *t = (qn_jtok){.kind = (uint8_t)kind, .line = lx->line};
    return t;
}

static bool lex_at(const lexer *lx, const char *what)
{
    size_t n = strlen(what);
    return (size_t)(lx->end - lx->p) >= n && memcmp(lx->p, what, n) == 0;
}

/* Moves to q, counting lines. */
static void lex_advance(lexer *lx, const char *q)
{
    for (; lx->p < q; lx->p++)
        lx->line += *lx->p == '\n';
}

static void lex_spaces(lexer *lx)
{
    lex_advance(lx, lx->p + qn_jchars_space_prefix(
                                qn_view_of(lx->p, (size_t)(lx->end - lx->p))));
}

/* Behind the end mark of a tag: what it swallows. */
static void lex_tag_end(lexer *lx, char sign, bool trims)
{
    const char *from = lx->p;

    if (sign == '-')
        lex_spaces(lx);
    else if (sign != '+' && trims && lx->p < lx->end && *lx->p == '\n')
        lex_advance(lx, lx->p + 1);
    lx->line_start = lx->p > from && lx->p[-1] == '\n';
}

/* Emits the data before a tag with that sign. `strips`: lstrip_blocks has a
 * say. */
static void lex_data(lexer *lx, qn_view text, char sign, bool strips)
{
    size_t n = text.n;

    if (sign == '-') {
        n -= qn_jchars_space_suffix(text);
    } else if (sign != '+' && strips &&
               (lx->c->t->flags & QN_JINJA_LSTRIP_BLOCKS)) {
        const char *nl = n ? memrchr(text.p, '\n', n) : NULL;
        size_t from = nl ? (size_t)(nl - text.p) + 1 : 0;
        qn_view tail = {text.p + from, n - from};
        if ((from > 0 || lx->line_start) &&
            qn_jchars_space_prefix(tail) == tail.n)
            n = from;
    }
    if (n) {
        qn_jtok *t = lex_emit(lx, QN_JT_DATA);
        t->text = qn_view_of(text.p, n);
    }
}

static char lex_sign(lexer *lx)
{
    if (lx->p < lx->end && (*lx->p == '-' || *lx->p == '+'))
        return *lx->p++;
    return 0;
}

/* ---- comments and raw blocks --------------------------------------------- */

static int lex_comment(lexer *lx)
{
    const char *q = lx->p;

    while (q < lx->end) {
        q = memchr(q, '#', (size_t)(lx->end - q));
        if (!q)
            break;
        if (q + 1 < lx->end && q[1] == '}') {
            char sign = q > lx->p ? q[-1] : 0;
            lex_advance(lx, q + 2);
            lex_tag_end(lx, sign == '-' || sign == '+' ? sign : 0,
                        lx->c->t->flags & QN_JINJA_TRIM_BLOCKS);
            return 0;
        }
        q++;
    }
    return qn_jcomp_fail(lx->c, lx->line, QN_EFORMAT,
                         "a comment {# without its end #}");
}

/* Matches "{%" [+-] spaces word spaces [+-]"%}" at p: the position behind it
 * without what the end swallows; NULL when it is something else. */
static const char *lex_word_tag(const lexer *lx, const char *p,
                                const char *word, bool plus, char *open,
                                char *close)
{
    const char *end = lx->end;
    size_t n = strlen(word);

    if (end - p < 2 || p[0] != '{' || p[1] != '%')
        return NULL;
    p += 2;
    *open = *close = 0;
    if (p < end && (*p == '-' || *p == '+'))
        *open = *p++;
    p += qn_jchars_space_prefix(qn_view_of(p, (size_t)(end - p)));
    if ((size_t)(end - p) < n || memcmp(p, word, n) != 0)
        return NULL;
    p += n;
    p += qn_jchars_space_prefix(qn_view_of(p, (size_t)(end - p)));
    if (p < end && (*p == '-' || (plus && *p == '+')))
        *close = *p++;
    if (end - p < 2 || p[0] != '%' || p[1] != '}')
        return NULL;
    return p + 2;
}

static int lex_raw(lexer *lx)
{
    char open, close;

    if (lx->p == lx->end) /* Jinja misses its end only when text follows */
        return 0;
    for (const char *q = lx->p; q < lx->end; q++) {
        q = memchr(q, '{', (size_t)(lx->end - q));
        if (!q)
            break;
        const char *behind = lex_word_tag(lx, q, "endraw", true, &open, &close);
        if (!behind)
            continue;
        lex_data(lx, qn_view_of(lx->p, (size_t)(q - lx->p)), open, true);
        lex_advance(lx, behind);
        lex_tag_end(lx, close, lx->c->t->flags & QN_JINJA_TRIM_BLOCKS);
        return 0;
    }
    return qn_jcomp_fail(lx->c, lx->line, QN_EFORMAT,
                         "{%% raw %%} without its {%% endraw %%}");
}

/* ---- inside a tag -------------------------------------------------------- */

static bool lex_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Digits of a base with single underscores between: their end, or p. */
static const char *lex_digits(const char *p, const char *end, int base)
{
    const char *q = p;

    while (q < end) {
        const char *d = q;
        if (*d == '_' && q > p)
            d++;
        if (d == end || qn_jchars_digit(*d) >= base)
            break;
        q = d + 1;
    }
    return q;
}

/* The exponent at p ("e+5"), or p. */
static const char *lex_exponent(const char *p, const char *end)
{
    const char *q = p;

    if (q == end || (*q != 'e' && *q != 'E'))
        return p;
    q++;
    if (q < end && (*q == '+' || *q == '-'))
        q++;
    const char *digits = q;
    q = lex_digits(q, end, 10);
    return q > digits ? q : p;
}

static int lex_number(lexer *lx)
{
    const char *p = lx->p, *end = lx->end, *q;

    if (p[-1] != '.') { /* a float: digits with a fraction or an exponent */
        q = lex_digits(p, end, 10);
        if (end - q >= 2 && *q == '.' && lex_digit(q[1]))
            q = lex_digits(q + 1, end, 10);
        else if (lex_exponent(q, end) == q)
            q = NULL;
        if (q) {
            q = lex_exponent(q, end);
            qn_jtok *t = lex_emit(lx, QN_JT_FLOAT);
            t->text = qn_view_of(p, (size_t)(q - p));
            lx->p = q;
            qn_jv_parse_float(t->text, &t->num.f);
            return 0;
        }
    }
    int base = 10;
    if (end - p >= 3 && *p == '0') {
        char kind = (char)(p[1] | 32);
        base = kind == 'b' ? 2 : kind == 'o' ? 8 : kind == 'x' ? 16 : 10;
        const char *from = p + 2 + (p[2] == '_');
        if (base != 10 && lex_digits(from, end, base) == from)
            base = 10;
    }
    if (base != 10)
        q = lex_digits(p + 2 + (p[2] == '_'), end, base);
    else if (*p == '0') /* only zeros may follow a leading zero */
        q = lex_digits(p, end, 1);
    else
        q = lex_digits(p, end, 10);
    qn_jtok *t = lex_emit(lx, QN_JT_INT);
    t->text = qn_view_of(p, (size_t)(q - p));
    lx->p = q;
    bool overflow = false;
    qn_view digits = t->text;
    if (base != 10)
        digits = qn_view_of(p + 2 + (p[2] == '_'),
                            (size_t)(q - p - 2 - (p[2] == '_')));
    if (!qn_jv_parse_int(digits, base, &t->num.i, &overflow))
        return qn_jcomp_fail(lx->c, lx->line, QN_EUNSUP,
                             "the integer %.*s does not fit into 64 bits",
                             (int)QN_MIN(t->text.n, (size_t)40), t->text.p);
    return 0;
}

/* The value of up to `max` digits at *p; false when there are fewer than
 * `min`. */
static bool lex_code(const char **p, const char *end, int base, int min,
                     int max, uint32_t *out)
{
    int n = 0;
    uint32_t v = 0;

    for (; n < max && *p < end && qn_jchars_digit(**p) < base; n++, (*p)++)
        v = v * (uint32_t)base + (uint32_t)qn_jchars_digit(**p);
    *out = v;
    return n >= min;
}

/* One escape behind the backslash at p - 1. Appends to *o (which has room for
 * what is read, and never writes more than that). */
static int lex_escape(lexer *lx, const char **pp, const char *end, char **o)
{
    static const char from[] = "\\'\"abfnrtv", to[] = "\\'\"\a\b\f\n\r\t\v";
    const char *p = *pp, *hit;
    char e = *p;
    uint32_t cp;
    bool ok = true;

    if (e == '\n') {
        *pp = p + 1;
        return 0;
    }
    if (e && (hit = strchr(from, e))) {
        *(*o)++ = to[hit - from];
        *pp = p + 1;
        return 0;
    }
    if (e == 'x' || e == 'u' || e == 'U') {
        int n = e == 'x' ? 2 : e == 'u' ? 4 : 8;
        p++;
        ok = lex_code(&p, end, 16, n, n, &cp) && cp <= 0x10ffff;
    } else if (e >= '0' && e <= '7') {
        lex_code(&p, end, 8, 1, 3, &cp);
    } else if (e == 'N') {
        return qn_jcomp_fail(lx->c, lx->line, QN_EUNSUP,
                             "\\N{...} in a string: write the character");
    } else {
        /* Not an escape: the backslash stays. Python first spells characters
         * beyond ASCII as escapes, whose own backslash this one then eats. */
        *(*o)++ = '\\';
        if ((unsigned char)e < 0x80)
            return 0;
        int n = qn_utf8_decode(p, (size_t)(end - p), &cp);
        static const char hex[] = "0123456789abcdef";
        int digits = cp < 0x100 ? 2 : cp < 0x10000 ? 4 : 8;
        *(*o)++ = digits == 2 ? 'x' : digits == 4 ? 'u' : 'U';
        while (digits--)
            *(*o)++ = hex[(cp >> (4 * digits)) & 15];
        *pp = p + n;
        return 0;
    }
    if (!ok)
        return qn_jcomp_fail(lx->c, lx->line, QN_EFORMAT,
                             "a truncated \\%c escape in a string", e);
    if (cp >= 0xd800 && cp < 0xe000)
        return qn_jcomp_fail(lx->c, lx->line, QN_EUNSUP,
                             "half a surrogate pair (\\u%04x) in a string",
                             (unsigned)cp);
    *o += qn_utf8_encode(cp, *o);
    *pp = p;
    return 0;
}

static int lex_string(lexer *lx)
{
    char quote = *lx->p;
    const char *p = lx->p + 1, *q = p;

    while (q < lx->end && *q != quote)
        q += *q == '\\' ? 2 : 1;
    if (q >= lx->end)
        return qn_jcomp_fail(lx->c, lx->line, QN_EFORMAT,
                             "a string without its closing %c", quote);
    qn_jtok *t = lex_emit(lx, QN_JT_STRING);
    /* An unknown escape of a 2-byte character becomes 5 bytes. */
    char *buf = qn_arena_alloc(lx->c->arena, 4 * (size_t)(q - p) + 1), *o = buf;
    const char *s = p;
    while (s < q) {
        if (*s == '\\') {
            s++;
            QN_TRY(lex_escape(lx, &s, q, &o));
        } else {
            *o++ = *s++;
        }
    }
    t->text = qn_view_of(buf, (size_t)(o - buf));
    lex_advance(lx, q + 1);
    return 0;
}

static int lex_operator(lexer *lx, char *brackets, size_t *depth)
{
    static const struct {
        char text[3], op;
    } pairs[] = {{"//", 'd'}, {"**", 'p'}, {"==", 'e'},
                 {"!=", 'n'}, {"<=", 'l'}, {">=", 'g'}};
    char op = 0, ch = *lx->p;
    size_t n = 1;

    for (size_t i = 0; i < QN_COUNTOF(pairs); i++)
        if (lex_at(lx, pairs[i].text)) {
            op = pairs[i].op;
            n = 2;
        }
    if (!op && ch && strchr("+-/*%~[](){}><=.:|,;", ch))
        op = ch;
    if (!op)
        return qn_jcomp_fail(lx->c, lx->line, QN_EFORMAT,
                             "unexpected character '%c'",
                             (unsigned char)ch < 0x80 ? ch : '?');
    if (op == '(' || op == '[' || op == '{') {
        if (*depth == QN_JINJA_MAX_DEPTH)
            return qn_jcomp_fail(lx->c, lx->line, QN_ELIMIT,
                                 "brackets nested deeper than %d",
                                 QN_JINJA_MAX_DEPTH);
        brackets[(*depth)++] = op == '(' ? ')' : op == '[' ? ']' : '}';
    } else if (op == ')' || op == ']' || op == '}') {
        if (*depth == 0 || brackets[*depth - 1] != op)
            return qn_jcomp_fail(lx->c, lx->line, QN_EFORMAT,
                                 "a '%c' that closes nothing", op);
        (*depth)--;
    }
    lex_emit(lx, QN_JT_OP)->op = op;
    lx->p += n;
    return 0;
}

/* Emits the end of the tag when it is at p. */
static bool lex_try_end(lexer *lx, bool block)
{
    const char *mark = block ? "%}" : "}}";
    char sign = 0;

    if (lx->p < lx->end && (*lx->p == '-' || (block && *lx->p == '+'))) {
        sign = *lx->p;
        if (lx->end - lx->p < 3 || memcmp(lx->p + 1, mark, 2) != 0)
            return false;
        lx->p += 3;
    } else if (lex_at(lx, mark)) {
        lx->p += 2;
    } else {
        return false;
    }
    lex_emit(lx, block ? QN_JT_BLOCK_END : QN_JT_VAR_END);
    lex_tag_end(lx, sign, block && (lx->c->t->flags & QN_JINJA_TRIM_BLOCKS));
    return true;
}

static int lex_tag(lexer *lx, bool block)
{
    char brackets[QN_JINJA_MAX_DEPTH];
    size_t depth = 0;

    for (;;) {
        if (depth == 0 && lex_try_end(lx, block))
            return 0;
        if (lx->p == lx->end) { /* the parser misses the end of the tag */
            lx->line_start = false;
            return 0;
        }
        qn_view rest = {lx->p, (size_t)(lx->end - lx->p)};
        if (qn_jchars_space_prefix(rest)) {
            lex_spaces(lx);
        } else if (lex_digit(*lx->p)) {
            QN_TRY(lex_number(lx));
        } else if (*lx->p == '\'' || *lx->p == '"') {
            QN_TRY(lex_string(lx));
        } else {
            size_t n = qn_jchars_name_prefix(rest);
            if (n) {
                lex_emit(lx, QN_JT_NAME)->text = qn_view_of(lx->p, n);
                lx->p += n;
            } else {
                QN_TRY(lex_operator(lx, brackets, &depth));
            }
        }
    }
}

/* ---- between tags -------------------------------------------------------- */

/* Where the next tag begins, or the end. */
static const char *lex_find_tag(const lexer *lx)
{
    for (const char *q = lx->p; q < lx->end; q++) {
        q = memchr(q, '{', (size_t)(lx->end - q));
        if (!q || q + 1 == lx->end)
            break;
        if (q[1] == '{' || q[1] == '%' || q[1] == '#')
            return q;
    }
    return lx->end;
}

static int lex_next(lexer *lx)
{
    const char *from = lx->p, *tag = lex_find_tag(lx);
    qn_view text = {from, (size_t)(tag - from)};
    char open, close;

    if (tag == lx->end) {
        if (text.n)
            lex_emit(lx, QN_JT_DATA)->text = text;
        lex_advance(lx, tag);
        return 0;
    }
    const char *raw = lex_word_tag(lx, tag, "raw", false, &open, &close);
    if (raw) {
        lex_data(lx, text, open, true);
        lex_advance(lx, raw);
        lex_tag_end(lx, close, false);
        return lex_raw(lx);
    }
    bool variable = tag[1] == '{', comment = tag[1] == '#';
    char sign = tag + 2 < lx->end ? tag[2] : 0;
    lex_data(lx, text, sign == '-' || sign == '+' ? sign : 0, !variable);
    lex_advance(lx, tag + 2);
    lex_sign(lx);
    if (comment)
        return lex_comment(lx);
    lex_emit(lx, variable ? QN_JT_VAR_BEGIN : QN_JT_BLOCK_BEGIN);
    return lex_tag(lx, !variable);
}

int qn_jinja_lex(qn_jcomp *c, qn_jtok **tokens)
{
    lexer lx = {.c = c,
                .p = c->t->text,
                .end = c->t->text + c->t->n_text,
                .line = 1,
                .line_start = true};

    while (lx.p < lx.end)
        QN_TRY(lex_next(&lx));
    lex_emit(&lx, QN_JT_EOF);
    *tokens = lx.out.v;
    return 0;
}
