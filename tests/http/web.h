/* web.h - a server in this process, and a client that can misbehave.
 *
 * The client is written after RFC 9112, not after the server: it shares no
 * code with it. Everything goes over loopback. */
#ifndef QN_TESTS_WEB_H
#define QN_TESTS_WEB_H

#include "testing.h"

#include "server/server.h"

#include <jansson.h>

/* The server of the running test. There is one at a time: it starts on a free
 * port, after the one before it has stopped. `options` are pairs "name",
 * "value", ended by NULL. Without the built-in model the running test is
 * skipped. web_stop is a teardown for cmocka. */
void web_start(const char *const *options);
void web_start_with(const qn_engine_params *engine, const char *const *options);
void web_start_of(const char *model, const qn_engine_params *engine,
                  const char *const *options);
/* With the reference kernels: a pass over some hundred tokens takes seconds. */
void web_start_slow(const qn_engine_params *engine, const char *const *options);
/* One with no options, unless one runs. */
void web_need(void);
qn_server *web_running(void); /* NULL: none */
int web_stop(void **state);
/* No model, no test: called by web_start, and by those that start their own
 * program. */
const char *web_model(void);

typedef struct web_reply {
    int status; /* 0: the connection ended without one */
    char *head; /* status line and headers */
    char *body; /* chunks put together, NUL behind */
    size_t n_body;
    bool whole;   /* the body came to its announced end */
    json_t *json; /* of the body, when it is JSON */
} web_reply;

int web_connect(void);
/* Sends all of it; false when the server has closed. */
bool web_send(int fd, const char *p, size_t n);
bool web_sends(int fd, const char *s);
/* One answer; `seconds` is the limit for all of it. */
web_reply web_read(int fd, double seconds);
/* Until `what` has come (true) or the connection ends or the time is over. */
bool web_wait_for(int fd, const char *what, double seconds);
/* true: the server closes the connection within the time. */
bool web_closes(int fd, double seconds);
void web_free(web_reply *r);

/* A request with a body (NULL: none) over a connection of its own. `headers`
 * may be NULL: whole lines, each ended by \r\n. */
web_reply web_ask(const char *method, const char *path, const char *headers,
                  const char *body);
web_reply web_post(const char *path, const char *body);
/* The status of an answer. */
int web_status(const char *method, const char *path, const char *headers,
               const char *body);
/* Asks for a completion; the connection that its answer comes over. */
int web_begin(const char *body);
/* A conversation. */
#define WEB_TALK "[{\"role\":\"user\",\"content\":\"Who are you?\"}]"
/* An error of OpenAI's shape, with this status and type; frees it. `param` NULL:
 * any. */
void web_expect_error(web_reply r, int status, const char *type,
                      const char *param);
/* The text of a POST with its header, to be sent by hand; free it. */
char *web_request(const char *path, const char *body);

/* A value in the reply's JSON, by a path such as "choices.0.text"; fails the
 * test when it is not there. */
const json_t *web_at(const web_reply *r, const char *path);
const char *web_str(const web_reply *r, const char *path);
int64_t web_int(const web_reply *r, const char *path);

/* The `data:` payloads of an event stream, in order; frees the former. */
typedef struct web_events {
    char **v;
    size_t n;
} web_events;
web_events web_split_events(const char *body);
void web_events_free(web_events *e);

/* A number of /metrics, by the beginning of its line; -1: not there. */
double web_metric(const char *line);
/* Waits until a metric has a value; false after `seconds`. */
bool web_metric_becomes(const char *line, double value, double seconds);

/* The path of a file of this program's own folder, which gets `text` (NULL: is
 * left alone). Static, four at a time. */
const char *web_file(const char *name, const char *text);

double web_now(void);
void web_sleep(double seconds);

#endif
