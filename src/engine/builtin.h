/* builtin.h - where the model that ships with quern lies. */
#ifndef QN_ENGINE_BUILTIN_H
#define QN_ENGINE_BUILTIN_H

#include "base/err.h"

/* $QUERN_DEFAULT_MODEL, else quern's model file in share/quern/models of the
 * installation the program runs from, else in models/ of the source tree it
 * was built in. qn_free the path. */
int qn_builtin_path(char **out, qn_err *err);

#endif
