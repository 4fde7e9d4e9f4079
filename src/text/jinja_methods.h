/* jinja_methods.h - methods by type (private to jinja_*.c). */
#ifndef QN_TEXT_JINJA_METHODS_H
#define QN_TEXT_JINJA_METHODS_H

#include "text/jinja_rt.h"

/* The method of obj's type, NULL when it has none of that name. */
const qn_jfunc *qn_jinja_method(qn_jval obj, qn_view name);

/* dict(*args, **kwargs) into d: a mapping or pairs, then the keywords
 * (jinja_global.c). */
int qn_jinja_dict_fill(qn_jrt *rt, qn_jdict *d, const qn_jargs *a,
                       const char *who);

#endif
