/* option.h - options as tables.
 *
 * A subcommand is one qn_command with tables of its options. The tables alone
 * yield parsing, --help, the manual page, completion for bash and zsh, the
 * environment variables and the keys of --config files.
 *
 * A value comes from the flag, else the environment, else the file, else the
 * default. Names are written with dashes; underscores mean the same. Values
 * are asked for by name; a name that no table has is a defect (assert).
 *
 * Ownership: a qn_args owns its values; what is handed out lives as long as
 * it. Tables are static. */
#ifndef QN_CLI_OPTION_H
#define QN_CLI_OPTION_H

#include "base/err.h"
#include "base/json.h"
#include "base/vec.h"

/* What a command returns when it was called wrongly (exit status 2). */
#define QN_USAGE (-100)
int qn_usage(qn_err *err, const char *fmt, ...) QN_PRINTF(2, 3);

typedef enum qn_opt_type {
    QN_OPT_FLAG,   /* --name or --no-name              */
    QN_OPT_INT,    /* within lo..hi, if hi > lo        */
    QN_OPT_REAL,   /* within lo..hi, if hi > lo        */
    QN_OPT_SIZE,   /* bytes: 512M, 8GiB                */
    QN_OPT_TEXT,   /* any string                       */
    QN_OPT_JSON,   /* the text of a JSON value, or
                      @FILE; in a --config file also
                      the value                        */
    QN_OPT_SOURCE, /* a text that may be long, or @FILE,
                      which no such text begins with   */
    QN_OPT_FILE,   /* a path; completed as one         */
    QN_OPT_DIR,    /* a folder                         */
    QN_OPT_CHOICE, /* one of arg: "text|json"          */
    QN_OPT_LIST,   /* may be repeated                  */
    QN_OPT_IDS     /* 1,2,3 or @FILE                   */
} qn_opt_type;

typedef struct qn_opt {
    const char *name; /* "top-p"; NULL ends a table                         */
    char letter;      /* 'm' for -m, or 0                                   */
    qn_opt_type type;
    const char *arg;  /* what help calls the value: "N", "FILE", "a|b"      */
    const char *help; /* one or two sentences                               */
    const char *def;  /* default, as it would be typed; NULL: none          */
    const char *also; /* other spellings, by blanks: "model-path"           */
    const char *env;  /* environment variable, or NULL                      */
    double lo, hi;
} qn_opt;

typedef struct qn_opt_group {
    const char *title; /* NULL ends the list */
    const qn_opt *opts;
} qn_opt_group;

typedef struct qn_example {
    const char *line, *what; /* line NULL ends the list */
} qn_example;

typedef struct qn_args qn_args;

typedef struct qn_command {
    const char *name;     /* "run"; of two words for "bench serve"     */
    const char *summary;  /* "generate text", for lists                */
    const char *operands; /* "[MODEL] [PROMPT]", or ""                 */
    int max_operands;     /* -1: any number                            */
    const char *about;    /* paragraphs, an empty line between them    */
    const qn_example *examples;
    const qn_opt_group *groups;
    /* 0, QN_USAGE, or a QN_E* with err filled (QN_ECANCEL: interrupted). */
    int (*run)(qn_args *a, qn_err *err);
    /* What the settings demand of one another: asked before run, and all that
     * --check-config asks. Or NULL. */
    int (*check)(qn_args *a, qn_err *err);
} qn_command;

typedef enum qn_opt_source {
    QN_FROM_NOWHERE, /* not given, and there is no default */
    QN_FROM_DEFAULT,
    QN_FROM_FILE,
    QN_FROM_ENV,
    QN_FROM_FLAG
} qn_opt_source;

typedef QN_VEC(int32_t) qn_id_list;

typedef struct qn_value {
    const qn_opt *opt;
    qn_opt_source from;
    int64_t i; /* INT, SIZE, FLAG */
    double r;  /* REAL, INT */
    QN_VEC(char *) texts;
    qn_id_list ids;
} qn_value;

struct qn_args {
    const qn_command *cmd;
    QN_VEC(qn_value) values; /* one for each option, in table order */
    QN_VEC(const char *) operands;
    bool help; /* --help was given; nothing else was checked */
};

/* The options that every command has. */
extern const qn_opt qn_general_opts[];

/* `argv` are the words behind the command's name. */
int qn_args_parse(qn_args *a, const qn_command *cmd, int argc, char **argv,
                  qn_err *err);
void qn_args_deinit(qn_args *a);
/* A copy to be changed with qn_args_set and qn_args_set_json. */
void qn_args_copy(qn_args *a, const qn_args *from);

/* Sets one option as a flag would. `name` in any spelling. */
int qn_args_set(qn_args *a, const char *name, const char *text, qn_err *err);
/* Sets options from the members of an object; `what` is what messages call
 * it. A value that came from higher than `from` stays. The same option under
 * two of its names is refused. */
int qn_args_set_json(qn_args *a, const json_t *object, const char *what,
                     qn_opt_source from, qn_err *err);
/* The option of that name in any spelling, or NULL. */
const qn_opt *qn_args_find(const qn_args *a, const char *name);

bool qn_args_has(const qn_args *a, const char *name);
/* By flag, environment or file. */
bool qn_args_given(const qn_args *a, const char *name);
qn_opt_source qn_args_source(const qn_args *a, const char *name);
bool qn_args_flag(const qn_args *a, const char *name);
int64_t qn_args_int(const qn_args *a, const char *name);
double qn_args_real(const qn_args *a, const char *name);
/* NULL when there is none. */
const char *qn_args_text(const qn_args *a, const char *name);
bool qn_args_is(const qn_args *a, const char *name, const char *choice);
size_t qn_args_list(const qn_args *a, const char *name,
                    const char *const **texts);
size_t qn_args_ids(const qn_args *a, const char *name, const int32_t **ids);
/* NULL when there are not so many. */
const char *qn_args_operand(const qn_args *a, size_t i);

/* Appends token ids: numbers with blanks, a comma or brackets between them.
 * `what` is what messages say wants them. */
int qn_ids_add(qn_id_list *ids, const char *text, const char *what,
               qn_err *err);

/* The settings and where each came from, one line each, to stdout. */
void qn_args_print(const qn_args *a);

#endif
