/* jinja_text.h - what str methods and filters do to text (private to
 * jinja_*.c). Positions are code points where Python's are. */
#ifndef QN_TEXT_JINJA_TEXT_H
#define QN_TEXT_JINJA_TEXT_H

#include "text/jinja_rt.h"

enum {
    QN_JSIDE_LEFT = 1,
    QN_JSIDE_RIGHT = 2
};

/* s without leading and/or trailing characters of `chars`; NULL: whitespace. */
int qn_jtext_strip(qn_jrt *rt, qn_view s, const qn_view *chars, int sides,
                   qn_view *out);
/* Every occurrence, or the first `count` ones when count >= 0. */
int qn_jtext_replace(qn_jrt *rt, qn_view s, qn_view from, qn_view to,
                     int64_t count, qn_jval *out);
/* str.split: sep NULL is runs of whitespace; max < 0 is no bound. */
int qn_jtext_split(qn_jrt *rt, qn_view s, const qn_view *sep, int64_t max,
                   qn_jval *out);
int qn_jtext_rsplit(qn_jrt *rt, qn_view s, const qn_view *sep, int64_t max,
                    qn_jval *out);
int qn_jtext_splitlines(qn_jrt *rt, qn_view s, bool keep, qn_jlist **out);

/* The bytes of s[start:end] for methods that take such bounds (none or
 * MISSING: absent). *from: start in code points; false in *valid when start
 * lies behind the end of s. */
int qn_jtext_range(qn_jrt *rt, qn_jval s, qn_jval start, qn_jval end,
                   qn_view *out, int64_t *from, bool *valid);
/* Byte offset of the last occurrence, or -1. */
int qn_jtext_rfind(qn_jrt *rt, qn_view s, qn_view what, int64_t *out);

/* s[start:stop:step], step != 0, bounds already fitted (see jinja_attr.c):
 * n code points from `start` on. */
int qn_jtext_slice(qn_jrt *rt, qn_jval s, int64_t start, int64_t step,
                   int64_t n, qn_jval *out);

/* s with `fill` around it to `width` code points; where: -1 pads right, 0
 * centers, 1 pads left. */
int qn_jtext_pad(qn_jrt *rt, qn_jval s, int64_t width, qn_view fill, int where,
                 qn_jval *out);

#endif
