/* apidoc.h - the API reference (docs/api.md), out of the tables of routes and
 * fields that the server works with, and a sentence for each row. */
#ifndef QN_SERVER_APIDOC_H
#define QN_SERVER_APIDOC_H

#include "base/err.h"
#include "base/str.h"

/* Appends Markdown to an initialized `out`. QN_EINTERNAL, with its name, when
 * a row has no sentence. */
int qn_apidoc_write(qn_str *out, qn_err *err);

#endif
