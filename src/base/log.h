/* log.h - lines for the program that embeds the library; silent by default.
 * Thread-safe. Levels: 0 error, 1 warning, 2 info, 3 debug. */
#ifndef QN_BASE_LOG_H
#define QN_BASE_LOG_H

#include "base/compiler.h"

void qn_log(int level, const char *fmt, ...) QN_PRINTF(2, 3);

#endif
