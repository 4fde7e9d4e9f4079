/* jsonout.h - JSON text appended to a buffer. Strings are UTF-8; bytes that
 * are not become U+FFFD. */
#ifndef QN_SERVER_JSONOUT_H
#define QN_SERVER_JSONOUT_H

#include "base/str.h"

/* "text", quoted and escaped. */
void qn_jsonout_str(qn_str *out, const char *p, size_t n);
static inline void qn_jsonout_cstr(qn_str *out, const char *s)
{
    qn_jsonout_str(out, s, strlen(s));
}
/* A real number; what is not finite becomes -9999.0, as in OpenAI's
 * log probabilities. */
void qn_jsonout_real(qn_str *out, double v);
/* [1,2,3] */
void qn_jsonout_ids(qn_str *out, const int32_t *ids, size_t n);
/* [226,128] */
void qn_jsonout_bytes(qn_str *out, const char *p, size_t n);

#endif
