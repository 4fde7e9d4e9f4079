/* err_int.h - text cleaning shared by errors and log lines. */
#ifndef QN_BASE_ERR_INT_H
#define QN_BASE_ERR_INT_H

#include <stdarg.h>
#include <stddef.h>

/* Formats into buf[cap] (cap >= 8) as one line of valid UTF-8: control
 * characters and ill-formed bytes become '?', line breaks become ' ', and a
 * text that does not fit ends in "..." without cutting a code point.
 * Returns the length. */
size_t qn_format_line(char *buf, size_t cap, const char *fmt, va_list ap);

#endif
