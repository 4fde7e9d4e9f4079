/* hub_pull.h - qn_pull of quern.h with its times adjustable, for tests. */
#ifndef QN_HUB_HUB_PULL_H
#define QN_HUB_HUB_PULL_H

#include "hub/hub_ask.h"

int qn_hub_pull(const char *name, const qn_pull_params *params,
                const qn_hub_tuning *tuning, char **path, qn_err *err);

#endif
