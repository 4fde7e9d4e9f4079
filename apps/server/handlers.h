/* handlers.h - the functions of the route table. Each answers its call, now or
 * later; those that are not QN_ROUTE_INLINE run on the worker thread. */
#ifndef QN_SERVER_HANDLERS_H
#define QN_SERVER_HANDLERS_H

#include "server/call.h"

void qn_status_health(qn_call *call);
void qn_status_ready(qn_call *call);
void qn_status_version(qn_call *call);
void qn_status_metrics(qn_call *call);
void qn_status_models(qn_call *call);
void qn_status_model(qn_call *call);

void qn_page_index(qn_call *call);
void qn_page_part(qn_call *call);

void qn_openai_completions(qn_call *call);
void qn_openai_chat(qn_call *call);
void qn_openai_responses(qn_call *call);

void qn_textapi_tokenize(qn_call *call);
void qn_textapi_detokenize(qn_call *call);
void qn_textapi_template(qn_call *call);

void qn_kserve_server(qn_call *call);
void qn_kserve_live(qn_call *call);
void qn_kserve_ready(qn_call *call);
void qn_kserve_model(qn_call *call);
void qn_kserve_model_ready(qn_call *call);
void qn_kserve_generate(qn_call *call);
void qn_kserve_generate_stream(qn_call *call);

void qn_admin_status(qn_call *call);
void qn_admin_drain(qn_call *call);
void qn_admin_load(qn_call *call);
void qn_admin_unload(qn_call *call);
void qn_admin_reload(qn_call *call);
void qn_admin_log_level(qn_call *call);

#endif
