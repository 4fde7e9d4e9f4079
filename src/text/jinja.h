/* jinja.h - the template language of chat templates.
 *
 * What transformers renders chat templates with: Jinja 3.1 in an immutable
 * sandbox, with loop controls, {% generation %}, raise_exception,
 * strftime_now, and tojson as json.dumps does it. Values print, compare and
 * fail as Python's do. What is not understood is an error that names line and
 * construct; nothing is skipped or guessed.
 *
 * Ownership: a compiled template owns its source and its tree; a rendering
 * owns nothing after it returns.
 * Threads: a compiled template is immutable: any number of threads may render
 * it at once.
 * Errors: QN_EFORMAT the template does not parse; QN_EINVAL the template
 * raised, or Python would have (the message is the template's own for
 * raise_exception); QN_EUNSUP a construct that Jinja has and we do not;
 * QN_ELIMIT a limit below was reached.
 */
#ifndef QN_TEXT_JINJA_H
#define QN_TEXT_JINJA_H

#include "base/err.h"
#include "base/str.h"

#include <jansson.h>
#include <time.h>

typedef struct qn_jinja qn_jinja;

/* Whitespace: transformers sets both. */
#define QN_JINJA_TRIM_BLOCKS 1u   /* drop the newline after a block tag      */
#define QN_JINJA_LSTRIP_BLOCKS 2u /* drop blanks between line start and tag  */
#define QN_JINJA_CHAT (QN_JINJA_TRIM_BLOCKS | QN_JINJA_LSTRIP_BLOCKS)

/* Compiles `text` (UTF-8, at most 1 MiB). `name` is for messages. */
int qn_jinja_compile(qn_jinja **out, const char *text, size_t n,
                     const char *name, unsigned flags, qn_err *err);
void qn_jinja_free(qn_jinja *t);

/* Bounds of one rendering; 0 in a field takes the default. */
typedef struct qn_jinja_limits {
    uint64_t steps; /* nodes evaluated, items visited, bytes / 16 (50 M)  */
    size_t output;  /* bytes of result (64 MiB)                           */
    size_t memory;  /* bytes of values, nothing is freed before the end
                       (512 MiB)                                          */
    uint32_t depth; /* nesting of evaluation and of values (2000)         */
} qn_jinja_limits;

typedef struct qn_jinja_opts {
    qn_jinja_limits limits;
    /* What strftime_now sees; NULL: the local time. */
    const struct tm *now;
    /* Allow list.append, dict.update and the like, which the sandbox of
     * transformers refuses. */
    bool mutable_values;
} qn_jinja_opts;

/* Renders with the members of the object `context` as variables and appends
 * the result to `out` (which is untouched on failure). `opts` may be NULL. */
int qn_jinja_render(const qn_jinja *t, const json_t *context,
                    const qn_jinja_opts *opts, qn_str *out, qn_err *err);

#endif
