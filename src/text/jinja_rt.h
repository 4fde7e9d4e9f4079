/* jinja_rt.h - one rendering: memory, limits, errors, calls (private to
 * jinja_*.c).
 *
 * Invariants:
 * 1. All memory of values comes from qn_jrt_alloc, which keeps to the limit.
 * 2. Every C recursion that a template or its values can drive goes through
 *    qn_jrt_enter / qn_jrt_leave.
 * 3. Every loop that a template can make long pays with qn_jrt_step.
 * 4. After an error nothing is evaluated any more: rc travels up. */
#ifndef QN_TEXT_JINJA_RT_H
#define QN_TEXT_JINJA_RT_H

#include "base/arena.h"
#include "base/err.h"
#include "text/jinja.h"
#include "text/jinja_value.h"

typedef struct qn_jenv { /* variables of one function activation */
    struct qn_jenv *up;  /* of the function it was defined in      */
    qn_jval slot[];
} qn_jenv;

typedef struct qn_jrt {
    const qn_jinja *t;
    qn_arena *arena;
    qn_jinja_opts opts; /* limits resolved */
    uint64_t steps;     /* spent           */
    uint32_t depth;
    uint32_t line;       /* of the node being evaluated          */
    struct qn_jsb *sink; /* where output goes                     */
    qn_jval block;       /* text of the block being filtered      */
    qn_jdict *context;   /* the variables given                   */
    char *cat_end;       /* end of the newest concatenation, with */
    size_t cat_room;     /* this much space behind it             */
    qn_err *err;
    int rc; /* the first error */
} qn_jrt;

/* ---- jinja_rt.c ---------------------------------------------------------- */

/* Sets the error "template NAME, line N: ..." and returns code. */
int qn_jrt_fail(qn_jrt *rt, int code, const char *fmt, ...) QN_PRINTF(3, 4);
/* The error that using an undefined value gives. */
int qn_jrt_fail_undef(qn_jrt *rt, qn_jval undef);
/* QN_EINVAL "unsupported operand type(s) for +: 'int' and 'str'" and such;
 * an undefined operand gives its own error. */
int qn_jrt_fail_op(qn_jrt *rt, const char *op, qn_jval a, qn_jval b);

int qn_jrt_step(qn_jrt *rt, uint64_t cost);
/* For work on n bytes. */
static inline int qn_jrt_pay(qn_jrt *rt, size_t n)
{
    return qn_jrt_step(rt, 1 + n / 16);
}
int qn_jrt_enter(qn_jrt *rt);
static inline void qn_jrt_leave(qn_jrt *rt)
{
    rt->depth--;
}
/* NULL when the limit is reached (rt->rc says so). Not cleared. */
void *qn_jrt_alloc(qn_jrt *rt, size_t n);
/* n * size, with the product checked. */
void *qn_jrt_array(qn_jrt *rt, size_t n, size_t size);
/* The string a + b; long chains of it stay linear. */
int qn_jrt_concat(qn_jrt *rt, qn_view a, qn_view b, qn_jval *out);

int qn_jrt_undef(qn_jrt *rt, int kind, const char *owner, qn_view name,
                 qn_jval *out);
/* An undefined value with a message of its own (static storage). */
int qn_jrt_undef_hint(qn_jrt *rt, const char *hint, qn_jval *out);

/* ---- strings that grow in the arena -------------------------------------- */

struct qn_jsb {
    qn_jrt *rt;
    char *p;
    size_t n, cap;
    size_t limit; /* 0: only the memory limit           */
    int rc;       /* after an error adding does nothing */
};
static inline qn_jsb qn_jsb_new(qn_jrt *rt)
{
    return (qn_jsb){.rt = rt};
}
void qn_jsb_add(qn_jsb *sb, const char *p, size_t n);
void qn_jsb_addc(qn_jsb *sb, char c);
static inline void qn_jsb_adds(qn_jsb *sb, const char *s)
{
    qn_jsb_add(sb, s, strlen(s));
}
static inline void qn_jsb_addv(qn_jsb *sb, qn_view v)
{
    qn_jsb_add(sb, v.p, v.n);
}
void qn_jsb_pad(qn_jsb *sb, char c, size_t n);
void qn_jsb_cp(qn_jsb *sb, uint32_t cp);
void qn_jsb_addf(qn_jsb *sb, const char *fmt, ...) QN_PRINTF(2, 3);
/* The string built, or the error. */
int qn_jsb_done(qn_jsb *sb, qn_jval *out);

/* ---- calls (jinja_call.c) ------------------------------------------------ */

typedef struct qn_jkw {
    qn_view name;
    qn_jval value;
} qn_jkw;

typedef struct qn_jargs {
    const qn_jval *pos;
    uint32_t n_pos;
    const qn_jkw *kw;
    uint32_t n_kw;
} qn_jargs;

typedef int (*qn_jbuiltin)(qn_jrt *rt, qn_jval self, const qn_jargs *a,
                           qn_jval *out);

/* A filter, a test, a method or a global function.
 * spec names the parameters: "old new | count" (after | optional, a leading
 * "/" when keywords are not allowed). The function then gets one value per
 * parameter in a->pos, QN_J_MISSING where none was given. "*": it gets the
 * arguments as they came. fn NULL: Jinja has it, we do not. */
typedef struct qn_jfunc {
    const char *name;
    qn_jbuiltin fn;
    const char *spec;
    unsigned flags;
} qn_jfunc;
#define QN_JFN_MUTATES 1u /* refused unless opts.mutable_values       */
#define QN_JFN_KEEP 2u    /* of Markup it gives Markup                */
#define QN_JFN_ESCAPES 4u /* of Markup it escapes arguments: refused  */

typedef struct qn_jbound {
    qn_jval self;
    const qn_jfunc *fn;
} qn_jbound;

enum {
    QN_JARGS_MAX = 8
}; /* parameters of a builtin */

int qn_jrt_call_builtin(qn_jrt *rt, const qn_jfunc *f, qn_jval self,
                        const qn_jargs *a, qn_jval *out);
/* Python's callee(*args, **kwargs). */
int qn_jrt_call(qn_jrt *rt, qn_jval callee, const qn_jargs *a, qn_jval *out);
/* Finds a row by name. */
const qn_jfunc *qn_jfunc_find(const qn_jfunc *rows, size_t n, qn_view name);

/* Reading parameters: MISSING (and, for _opt, none) leaves *out alone. */
int qn_jarg_int(qn_jrt *rt, qn_jval v, const char *what, int64_t *out);
int qn_jarg_str(qn_jrt *rt, qn_jval v, const char *what, qn_view *out);
static inline bool qn_jarg_given(qn_jval v)
{
    return v.type != QN_J_MISSING;
}
static inline bool qn_jarg_truth(qn_jval v, bool otherwise)
{
    return v.type == QN_J_MISSING ? otherwise : qn_jv_truth(v);
}

/* ---- tables -------------------------------------------------------------- */

const qn_jfunc *qn_jinja_filter(qn_view name);  /* jinja_filter.c */
const qn_jfunc *qn_jinja_is_test(qn_view name); /* jinja_tests.c  */
const qn_jfunc *qn_jinja_global(qn_view name);  /* jinja_global.c */
extern const qn_jfunc qn_jinja_str_methods[];   /* jinja_strm.c   */
extern const size_t qn_jinja_n_str_methods;
const qn_jfunc *qn_jinja_seq_filter(qn_view name); /* jinja_fseq.c */

/* ---- jinja_attr.c -------------------------------------------------------- */

/* obj.name and obj[key] as the sandbox looks them up; what is not there gives
 * an undefined value, not an error. */
int qn_jrt_getattr(qn_jrt *rt, qn_jval obj, qn_view name, qn_jval *out);
int qn_jrt_getitem(qn_jrt *rt, qn_jval obj, qn_jval key, qn_jval *out);
/* obj[start:stop:step]; the bounds may be none. has_slice: whether the object
 * can be sliced at all, and by such bounds. */
bool qn_jrt_has_slice(qn_jval obj, const qn_jval bounds[3]);
int qn_jrt_slice(qn_jrt *rt, qn_jval obj, const qn_jval bounds[3],
                 qn_jval *out);
/* obj|attr(name): an attribute only, never an element. */
int qn_jrt_attr_only(qn_jrt *rt, qn_jval obj, qn_view name, qn_jval *out);
/* The path "a.b.0" of map(attribute=...) and friends; `otherwise` (may be
 * MISSING or none) stands for what is undefined on the way. */
int qn_jrt_path(qn_jrt *rt, qn_jval obj, qn_jval path, qn_jval otherwise,
                qn_jval *out);

/* ---- jinja_format.c ------------------------------------------------------ */

int qn_jv_percent(qn_jrt *rt, qn_view fmt, qn_jval args, qn_jval *out);
int qn_jv_format(qn_jrt *rt, qn_view fmt, const qn_jargs *a, qn_jval *out);

/* ---- jinja_exec.c -------------------------------------------------------- */

typedef struct qn_jmacro {
    const struct qn_jfn *fn;
    qn_view name; /* empty: of a call block */
    qn_jenv *env; /* of its definition      */
} qn_jmacro;

int qn_jrt_call_macro(qn_jrt *rt, qn_jval macro, const qn_jargs *a,
                      qn_jval *out);
/* loop(items) of a recursive loop. */
int qn_jrt_call_loop(qn_jrt *rt, qn_jval loop, const qn_jargs *a, qn_jval *out);

/* ---- jinja_loop.c -------------------------------------------------------- */

/* An attribute of the loop variable: 1 found, 0 none, or an error. */
int qn_jrt_loop_attr(qn_jrt *rt, qn_jval loop, qn_view name, qn_jval *out);

/* ---- jinja_print.c ------------------------------------------------------- */

/* Markup of v, its special characters escaped unless it is Markup. */
int qn_jrt_escape(qn_jrt *rt, qn_jval v, qn_jval *out);

#endif
