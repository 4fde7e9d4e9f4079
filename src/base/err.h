/* err.h - how functions fail.
 *
 * int result: 0 or a negative QN_E*; the last parameter is `qn_err *err`,
 * which may be NULL. The message is one line that names the object, what was
 * expected, what was found, and the remedy. Small allocations do not fail
 * (base/mem.h dies); sizes that come from files or requests return QN_ENOMEM.
 */
#ifndef QN_BASE_ERR_H
#define QN_BASE_ERR_H

#include "base/compiler.h"
#include "quern.h"

#include <stdarg.h>

/* Fills err (if not NULL) and returns code. Control characters in the
 * arguments are replaced, so that hostile names cannot fake log lines. */
int qn_fail(qn_err *err, int code, const char *fmt, ...) QN_PRINTF(3, 4);
int qn_vfail(qn_err *err, int code, const char *fmt, va_list ap);

/* Puts "what: " before the message that err already holds; returns its code. */
int qn_err_prefix(qn_err *err, int code, const char *fmt, ...) QN_PRINTF(3, 4);

/* "EINVAL", "ENOENT", ...: under these docs/troubleshooting.md has them. */
const char *qn_code_name(int code);

/* Forward a failure to the caller. */
#define QN_TRY(expr)         \
    do {                     \
        int qn_rc_ = (expr); \
        if (qn_rc_ < 0)      \
            return qn_rc_;   \
    } while (0)

/* Forward a failure to the cleanup at `out:`; needs `int rc` in scope. */
#define QN_TRY_OUT(expr) \
    do {                 \
        rc = (expr);     \
        if (rc < 0)      \
            goto out;    \
    } while (0)

/* Fail to the cleanup at `out:`; needs `int rc` and `qn_err *err`. */
#define QN_FAIL_OUT(code, ...)                  \
    do {                                        \
        rc = qn_fail(err, (code), __VA_ARGS__); \
        goto out;                               \
    } while (0)

#endif
