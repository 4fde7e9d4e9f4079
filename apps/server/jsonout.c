/* jsonout.c - see jsonout.h. */
#include "server/jsonout.h"

#include "base/utf8.h"

#include <math.h>

static void escape(qn_str *out, unsigned char c)
{
    switch (c) {
    case '"': qn_str_adds(out, "\\\""); break;
    case '\\': qn_str_adds(out, "\\\\"); break;
    case '\n': qn_str_adds(out, "\\n"); break;
    case '\r': qn_str_adds(out, "\\r"); break;
    case '\t': qn_str_adds(out, "\\t"); break;
    default: qn_str_addf(out, "\\u%04x", c); break;
    }
}

void qn_jsonout_str(qn_str *out, const char *p, size_t n)
{
    qn_str_addc(out, '"');
    size_t plain = 0; /* [plain, i) goes as it is */
    for (size_t i = 0; i < n;) {
        unsigned char c = (unsigned char)p[i];
        uint32_t cp;
        size_t len = 1;
        if (c >= 0x80 && (len = (size_t)qn_utf8_decode(p + i, n - i, &cp))) {
            i += len;
            continue;
        }
        if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\') {
            i++;
            continue;
        }
        qn_str_add(out, p + plain, i - plain);
        if (c >= 0x80) {
            qn_str_adds(out, "\xef\xbf\xbd");
            len = qn_utf8_bad_len(p + i, n - i);
        } else {
            escape(out, c);
        }
        i += len;
        plain = i;
    }
    qn_str_add(out, p + plain, n - plain);
    qn_str_addc(out, '"');
}

void qn_jsonout_real(qn_str *out, double v)
{
    if (!isfinite(v))
        qn_str_adds(out, "-9999.0");
    else
        qn_str_addf(out, "%.9g", v);
}

void qn_jsonout_ids(qn_str *out, const int32_t *ids, size_t n)
{
    qn_str_addc(out, '[');
    for (size_t i = 0; i < n; i++)
        qn_str_addf(out, i ? ",%d" : "%d", (int)ids[i]);
    qn_str_addc(out, ']');
}

void qn_jsonout_bytes(qn_str *out, const char *p, size_t n)
{
    qn_str_addc(out, '[');
    for (size_t i = 0; i < n; i++)
        qn_str_addf(out, i ? ",%u" : "%u", (unsigned char)p[i]);
    qn_str_addc(out, ']');
}
