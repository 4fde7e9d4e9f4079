/* tok_scan.c - see tok_scan.h. RFC 8259, strict in what it reads itself. */
#include "text/tok_scan.h"

#include "base/utf8.h"

static int scan_fail(const qn_scan *s, const char *what)
{
    return qn_fail(s->err, QN_EFORMAT, "%s: %s at byte %zu", s->name, what,
                   (size_t)(s->p - s->begin));
}

static void scan_blanks(qn_scan *s)
{
    while (s->p < s->end &&
           (*s->p == ' ' || *s->p == '\n' || *s->p == '\r' || *s->p == '\t'))
        s->p++;
}

void qn_scan_init(qn_scan *s, qn_view text, const char *name, qn_err *err)
{
    *s = (qn_scan){text.p, text.p, text.p + text.n, name, true, err};
}

char qn_scan_peek(qn_scan *s)
{
    scan_blanks(s);
    return s->p < s->end ? *s->p : '\0';
}

int qn_scan_open(qn_scan *s, char bracket)
{
    if (qn_scan_peek(s) != bracket)
        return scan_fail(s, bracket == '{' ? "an object is expected"
                                           : "a list is expected");
    s->p++;
    s->first = true;
    return QN_OK;
}

int qn_scan_more(qn_scan *s, char bracket)
{
    char c = qn_scan_peek(s);
    if (c == bracket) {
        s->p++;
        s->first = false;
        return 0;
    }
    if (s->first) {
        s->first = false;
        return c ? 1 : scan_fail(s, "the text ends early");
    }
    if (c != ',')
        return scan_fail(s, "a comma or the end of the list is expected");
    s->p++;
    return qn_scan_peek(s) == bracket ? scan_fail(s, "a value is expected") : 1;
}

int qn_scan_colon(qn_scan *s)
{
    if (qn_scan_peek(s) != ':')
        return scan_fail(s, "a colon is expected");
    s->p++;
    return QN_OK;
}

int qn_scan_end(qn_scan *s)
{
    return qn_scan_peek(s) || s->p < s->end
               ? scan_fail(s, "something follows the document")
               : QN_OK;
}

/* Four hexadecimal digits behind "\u". */
static int scan_hex4(qn_scan *s, uint32_t *out)
{
    uint32_t v = 0;
    if (s->end - s->p < 4)
        return scan_fail(s, "the text ends early");
    for (int i = 0; i < 4; i++) {
        char c = *s->p++;
        unsigned d = (unsigned)(c - '0');
        if (d > 9) {
            d = (unsigned)((c | 0x20) - 'a');
            if (d > 5)
                return scan_fail(s, "\\u needs four hexadecimal digits");
            d += 10;
        }
        v = v << 4 | d;
    }
    *out = v;
    return QN_OK;
}

/* Behind the backslash. */
static int scan_escape(qn_scan *s, qn_str *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (s->p == s->end)
        return scan_fail(s, "the text ends early");
    char c = *s->p++;
    const char *hit = c ? strchr(from, c) : NULL;
    if (hit) {
        qn_str_addc(out, to[hit - from]);
        return QN_OK;
    }
    if (c != 'u')
        return scan_fail(s, "an unknown escape");
    uint32_t cp, low;
    QN_TRY(scan_hex4(s, &cp));
    if (cp >= 0xD800 && cp < 0xE000) {
        bool pair = cp < 0xDC00 && s->end - s->p >= 6 && s->p[0] == '\\' &&
                    s->p[1] == 'u';
        if (pair) {
            s->p += 2;
            QN_TRY(scan_hex4(s, &low));
            pair = low >= 0xDC00 && low < 0xE000;
        }
        if (!pair)
            return scan_fail(s, "half of a surrogate pair");
        cp = 0x10000 + ((cp - 0xD800) << 10) + (low - 0xDC00);
    }
    char buf[4];
    qn_str_add(out, buf, (size_t)qn_utf8_encode(cp, buf));
    return QN_OK;
}

int qn_scan_string(qn_scan *s, qn_str *out)
{
    if (qn_scan_peek(s) != '"')
        return scan_fail(s, "a string is expected");
    s->p++;
    for (;;) {
        const char *run = s->p;
        while (s->p < s->end && *s->p != '"' && *s->p != '\\' &&
               (uint8_t)*s->p >= 0x20)
            s->p++;
        size_t n = (size_t)(s->p - run);
        if (!qn_utf8_valid(run, n))
            return scan_fail(s, "a string that is not UTF-8 ends");
        qn_str_add(out, run, n);
        if (s->p == s->end)
            return scan_fail(s, "the text ends inside a string");
        char c = *s->p++;
        if (c == '"')
            return QN_OK;
        if (c != '\\')
            return scan_fail(s, "a control character stands in a string");
        QN_TRY(scan_escape(s, out));
    }
}

int qn_scan_int(qn_scan *s, int64_t *out)
{
    char c = qn_scan_peek(s);
    bool minus = c == '-';
    s->p += minus;
    int64_t v = 0;
    const char *digits = s->p;
    while (s->p < s->end && *s->p >= '0' && *s->p <= '9') {
        if (s->p - digits >= 18)
            return scan_fail(s, "an integer is too large");
        v = v * 10 + (*s->p++ - '0');
    }
    char next = s->p < s->end ? *s->p : '\0';
    if (s->p == digits || next == '.' || next == 'e' || next == 'E')
        return scan_fail(s, "an integer is expected");
    *out = minus ? -v : v;
    return QN_OK;
}

/* Behind the closing quote of the string whose opening one is at s->p. */
static int scan_skip_string(qn_scan *s)
{
    for (s->p++; s->p < s->end; s->p++) {
        if (*s->p == '"') {
            s->p++;
            return QN_OK;
        }
        if (*s->p == '\\' && s->p + 1 < s->end)
            s->p++;
    }
    return scan_fail(s, "the text ends inside a string");
}

int qn_scan_slice(qn_scan *s, qn_view *out)
{
    scan_blanks(s);
    const char *begin = s->p;
    size_t depth = 0;
    while (s->p < s->end) {
        char c = *s->p;
        if (c == '"') {
            QN_TRY(scan_skip_string(s));
            continue;
        }
        if (depth == 0 && (c == ',' || c == '}' || c == ']'))
            break;
        if (c == '{' || c == '[')
            depth++;
        else if (c == '}' || c == ']')
            depth--;
        s->p++;
    }
    if (depth > 0 || s->p == begin)
        return scan_fail(s, "a value is expected");
    *out = qn_view_of(begin, (size_t)(s->p - begin));
    return QN_OK;
}
