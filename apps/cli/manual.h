/* manual.h - manual pages out of the option tables. */
#ifndef QN_CLI_MANUAL_H
#define QN_CLI_MANUAL_H

#include "base/err.h"

/* quern.1 and a quern-NAME.1 for each command, in section 1's format. */
int qn_manual_write(const char *dir, qn_err *err);

#endif
