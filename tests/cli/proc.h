/* proc.h - the real program as a child process: with pipes, as a script has
 * it, or with a terminal of its own, as a person has it. */
#ifndef QN_TESTS_CLI_PROC_H
#define QN_TESTS_CLI_PROC_H

#include "testing.h"

#include <sys/types.h>

/* ---- pipes ------------------------------------------------------------- */

typedef struct qn_proc {
    int status; /* exit status; 128 + signal when it was killed */
    char *out, *err;
    size_t n_out, n_err;
} qn_proc;

/* Runs quern with these arguments (NULL ends) and `input` on its standard
 * input (NULL: empty) to its end, two minutes at most. */
void qn_proc_run(qn_proc *p, const char *input, const char *const *args);
void qn_proc_free(qn_proc *p);

/* quern(&p, NULL, "run", "--prompt", "x"); */
#define quern(p, input, ...) \
    qn_proc_run((p), (input), (const char *const[]){__VA_ARGS__, NULL})

/* Fails unless it succeeds with `want` as its output. */
void qn_proc_same(const char *input, const char *const *args, const char *want);
#define SAME(input, want, ...) \
    qn_proc_same((input), (const char *const[]){__VA_ARGS__, NULL}, (want))

/* Fails unless `text` is in the output, and shows both. */
void qn_proc_has_out(const qn_proc *p, const char *text);
void qn_proc_has_err(const qn_proc *p, const char *text);

/* Starts it and returns at once; standard output goes to the file. */
pid_t qn_proc_start(const char *out_path, const char *const *args);
/* Exit status as above; fails after two minutes. */
int qn_proc_wait(pid_t pid);

/* ---- a terminal -------------------------------------------------------- */

typedef struct qn_pty {
    pid_t pid;
    int fd;
    char *seen; /* everything that it has written */
    size_t n, cap, from;
} qn_pty;

void qn_pty_open(qn_pty *t, const char *const *args);
void qn_pty_send(qn_pty *t, const char *keys);
/* Reads until `text` appears behind what was waited for before; fails after a
 * minute. */
void qn_pty_expect(qn_pty *t, const char *text);
/* The same for "> ", and until keys are for the editor. */
void qn_pty_at_prompt(qn_pty *t);
/* The exit status, once it has ended. */
int qn_pty_close(qn_pty *t);

#endif
