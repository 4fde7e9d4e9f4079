/* schema.h - JSON Schema of a command's --config file, out of its table. */
#ifndef QN_CLI_SCHEMA_H
#define QN_CLI_SCHEMA_H

#include "base/err.h"

/* `command` as in qn_commands: "run", "bench serve"; to stdout. */
int qn_schema_print(const char *command, qn_err *err);

#endif
