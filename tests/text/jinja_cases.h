/* jinja_cases.h - recorded renderings, compared and counted. */
#ifndef QN_TEST_JINJA_CASES_H
#define QN_TEST_JINJA_CASES_H

#include "testing.h"

#include "text/chat.h"

json_t *jinja_read_json(const char *path);

/* The rendering (free it), or NULL with the error. */
char *jinja_render(const char *text, const json_t *context, unsigned flags,
                   const qn_jinja_opts *opts, qn_err *err);

/* "2025-01-15 12:34:56" */
struct tm jinja_clock(const char *text);

/* Did it come out as recorded? `want` NULL: it raises, and for a reason that
 * the reference knows too (not because we lack something). Prints the first
 * difference of the first few that did not. */
bool jinja_same(const char *what, const char *got, const char *want,
                const qn_err *err);

typedef struct jinja_score {
    size_t passed, total;
} jinja_score;

/* Every case of a file in the form of chat_templates.json, through
 * qn_chattpl; those that render and those that raise are counted apart. */
void jinja_run_chat(const json_t *file, jinja_score *renders,
                    jinja_score *raises);

#endif
