/* request_check.h - what a request's parameters demand of one another, whatever
 * the model and the prompt: submit asks it, and programs that check settings
 * before they open a model. Any thread. */
#ifndef QN_ENGINE_REQUEST_CHECK_H
#define QN_ENGINE_REQUEST_CHECK_H

#include "base/err.h"
#include "quern.h"

int qn_request_check(const qn_request_params *p, qn_err *err);

#endif
