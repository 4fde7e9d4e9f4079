/* tok_base64.h - base64, as rank files and character maps come in. */
#ifndef QN_TEXT_TOK_BASE64_H
#define QN_TEXT_TOK_BASE64_H

#include "base/str.h"

/* Appends what `in` decodes to; false when it is no base64. */
bool qn_tok_base64(qn_view in, qn_str *out);

#endif
