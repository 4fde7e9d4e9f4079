/* jinja_ast.h - tokens, syntax tree and compiled templates (private to
 * jinja_*.c).
 *
 *     text -> jinja_lex.c -> tokens -> jinja_stmt.c, jinja_expr.c -> tree
 *          -> jinja_scope.c -> tree whose names are variable slots
 *
 * Everything lies in the template's arena. The tree is at most
 * QN_JINJA_MAX_DEPTH deep, so walking it needs no further check. */
#ifndef QN_TEXT_JINJA_AST_H
#define QN_TEXT_JINJA_AST_H

#include "base/arena.h"
#include "base/err.h"
#include "text/jinja.h"
#include "text/jinja_value.h"

enum {
    QN_JINJA_MAX_TEXT = 1 << 20, /* bytes of template             */
    QN_JINJA_MAX_DEPTH = 250,    /* nesting of the tree           */
    QN_JINJA_MAX_SLOTS = 20000   /* variables of one function     */
};

typedef enum qn_jtok_kind {
    QN_JT_EOF,
    QN_JT_DATA,        /* text: the output                          */
    QN_JT_VAR_BEGIN,   /* {{                                        */
    QN_JT_VAR_END,     /* }}                                        */
    QN_JT_BLOCK_BEGIN, /* {%                                        */
    QN_JT_BLOCK_END,   /* %}                                        */
    QN_JT_NAME,        /* text                                      */
    QN_JT_STRING,      /* text: unescaped                           */
    QN_JT_INT,
    QN_JT_FLOAT,
    QN_JT_OP /* op: its character; 'd' //, 'p' **, 'e' ==, 'n' !=, 'l' <=,
                'g' >= */
} qn_jtok_kind;

typedef struct qn_jtok {
    uint8_t kind;
    char op;
    uint32_t line;
    qn_view text;
    union {
        int64_t i;
        double f;
    } num;
} qn_jtok;

/* Node kinds with the fields they use: a b c children, v[n] and w[m] lists of
 * children, name, val. */
typedef enum qn_jkind {
    /* expressions */
    QN_JN_CONST,   /* val                                                 */
    QN_JN_NAME,    /* name, ctx, up + slot                                */
    QN_JN_NSREF,   /* name "." name2, up + slot: a target only            */
    QN_JN_TUPLE,   /* v                                                   */
    QN_JN_LIST,    /* v                                                   */
    QN_JN_DICT,    /* v: key, value, key, value ...                       */
    QN_JN_COND,    /* a if b else c (c may be NULL)                       */
    QN_JN_AND,     /* a and b                                             */
    QN_JN_OR,      /* a or b                                              */
    QN_JN_NOT,     /* not a                                               */
    QN_JN_COMPARE, /* a, then v[i]: QN_JN_OPERAND                        */
    QN_JN_OPERAND, /* op a; op: e n < > l g, 'i' in, 'x' not in          */
    QN_JN_BINARY,  /* a op b                                              */
    QN_JN_UNARY,   /* op a                                                */
    QN_JN_CONCAT,  /* v joined                                            */
    QN_JN_ATTR,    /* a.name                                              */
    QN_JN_ITEM,    /* a[b]                                                */
    QN_JN_SLICE,   /* a[v[0]:v[1]:v[2]], each may be NULL; op: see FOLDED */
    QN_JN_CALL,    /* a(...): v positional, w keywords, b *args, c **kw   */
    QN_JN_KW,      /* name=a                                              */
    QN_JN_FILTER,  /* a|name(...): as CALL; a NULL: the text of the block */
    QN_JN_TEST,    /* a is name(...): as CALL                             */
    /* statements */
    QN_JN_OUTPUT,      /* v: printed one after another                      */
    QN_JN_DATA,        /* val: text, inside OUTPUT                          */
    QN_JN_SET,         /* a = b                                             */
    QN_JN_SETBLOCK,    /* a = body v, filtered by b (or NULL); scope        */
    QN_JN_IF,          /* a: body v; w: further IF arms; b: BODY or NULL    */
    QN_JN_BODY,        /* v                                                 */
    QN_JN_FOR,         /* for a in b if c: body v, else w; loop             */
    QN_JN_WITH,        /* w: KW-like pairs target, value; body v; scope     */
    QN_JN_SCOPE,       /* body v; scope                                     */
    QN_JN_MACRO,       /* name, args; func                                  */
    QN_JN_CALLBLOCK,   /* a: CALL; func: what caller() runs                */
    QN_JN_GENERATION,  /* func: the body, called at once                  */
    QN_JN_FILTERBLOCK, /* b: FILTER over body v; scope                   */
    QN_JN_BREAK,
    QN_JN_CONTINUE
} qn_jkind;

/* Jinja computes what it prints while it compiles where that is made of
 * literals alone. Everything comes out as it would later but for slices of what
 * has none, which are undefined then and an error otherwise. */
#define QN_JOP_FOLDED 'f'

enum {
    QN_JCTX_LOAD,
    QN_JCTX_STORE,
    QN_JCTX_PARAM
};

/* What a scope does when it is entered: one load per variable it owns. */
typedef struct qn_jload {
    enum {
        QN_JL_PARAM,
        QN_JL_UNDEFINED,
        QN_JL_ALIAS,
        QN_JL_RESOLVE
    } how;
    uint32_t slot;
    uint32_t up, from; /* ALIAS: the outer variable */
    qn_view name;      /* RESOLVE: from the context */
} qn_jload;

typedef struct qn_jscope {
    qn_jload *loads;
    uint32_t n;
} qn_jscope;

/* A body with variables of its own: the template, a macro, a call block, a
 * recursive loop. */
typedef struct qn_jfn {
    uint32_t n_slots;
    uint32_t n_args;
    const qn_view *args;              /* names                            */
    const uint32_t *arg_slots;        /* [n_args]                         */
    struct qn_jnode *const *defaults; /* of the last n_defaults arguments */
    uint32_t n_defaults;
    /* Slots of the implicit parameters; UINT32_MAX when not used. */
    uint32_t caller, kwargs, varargs;
    bool explicit_caller; /* "caller" is among args */
    struct qn_jnode *const *body;
    uint32_t n_body;
    qn_jscope scope;
} qn_jfn;

typedef struct qn_jfor {
    qn_jscope body, test, other;  /* other: the else branch */
    struct qn_jnode *test_target; /* the target in the test's scope */
    uint32_t loop_slot;           /* UINT32_MAX: `loop` is not used     */
    bool recursive;
    qn_jfn fn; /* recursive only: n_slots */
} qn_jfor;

typedef struct qn_jnode {
    uint8_t kind, ctx;
    char op;
    uint16_t depth; /* of the subtree below, >= 1 */
    uint32_t line;
    uint32_t n, m;
    uint32_t up, slot; /* NAME, NSREF */
    struct qn_jnode *a, *b, *c;
    struct qn_jnode **v, **w;
    qn_view name, name2;
    qn_jval val;
    union {
        const struct qn_jfunc *func; /* FILTER, TEST; NULL: unknown */
        qn_jscope *scope;
        qn_jfn *fn;
        qn_jfor *loop;
    } x;
} qn_jnode;

struct qn_jinja {
    qn_arena arena;
    char *name;
    char *text; /* newlines normalized */
    size_t n_text;
    unsigned flags;
    qn_jfn root;
};

/* ---- compiling ----------------------------------------------------------- */

typedef struct qn_jnodes { /* a growing list in the arena */
    qn_jnode **v;
    uint32_t n, cap;
} qn_jnodes;

typedef struct qn_jcomp {
    qn_jinja *t;
    qn_arena *arena;
    qn_jtok *tok; /* the current token; the last one is EOF */
    uint32_t depth;
    uint32_t loops;    /* loops around the statement, within its function */
    bool soft;         /* directly in an if: see expr_lookup              */
    qn_jnodes unknown; /* filters and tests that nobody knows             */
    qn_err *err;
} qn_jcomp;

/* "template NAME, line N: ..." */
int qn_jcomp_fail(qn_jcomp *c, uint32_t line, int code, const char *fmt, ...)
    QN_PRINTF(4, 5);

int qn_jinja_lex(qn_jcomp *c, qn_jtok **tokens); /* jinja_lex.c   */
int qn_jinja_parse(qn_jcomp *c);                 /* jinja_stmt.c  */
int qn_jinja_resolve(qn_jcomp *c);               /* jinja_scope.c */

/* ---- the parser's parts: jinja_parse.c, jinja_oper.c, jinja_expr.c ------- */

int qn_jparse_enter(qn_jcomp *c);
int qn_jparse_node(qn_jcomp *c, qn_jkind kind, uint32_t line, qn_jnode **out);
/* Fixes the node's depth once its children are set. */
int qn_jparse_done(qn_jcomp *c, qn_jnode *n);
int qn_jparse_expression(qn_jcomp *c, bool with_if, qn_jnode **out);
/* An operand with its signs; with_filter: and its filters and tests. */
int qn_jparse_unary(qn_jcomp *c, bool with_filter, qn_jnode **out);

/* Where a tuple without parentheses ends besides at the end of the tag. */
typedef struct qn_jtuple_how {
    bool targets;      /* names and literals only                   */
    bool namespaces;   /* and ns.attr                               */
    bool no_if;        /* no inline if                              */
    bool parentheses;  /* () is a tuple                             */
    const char *until; /* a name that ends it, or NULL              */
} qn_jtuple_how;
int qn_jparse_tuple(qn_jcomp *c, qn_jtuple_how how, qn_jnode **out);
/* |filter|filter... over `on` (NULL: the block's text). `bare`: the first one
 * comes without its "|". *out NULL when there is none. */
int qn_jparse_filters(qn_jcomp *c, qn_jnode *on, bool bare, qn_jnode **out);
/* A target of for, set, with. */
int qn_jparse_target(qn_jcomp *c, qn_jtuple_how how, qn_jnode **out);

/* No names, no calls, nothing that needs to be asked for at run time. */
bool qn_jparse_is_literal(const qn_jnode *n);
/* Marks the slices of an expression of literals (QN_JOP_FOLDED). */
void qn_jparse_fold(qn_jnode *n);

bool qn_jparse_is_op(const qn_jcomp *c, char op);
bool qn_jparse_is_name(const qn_jcomp *c, const char *name);
bool qn_jparse_skip_op(qn_jcomp *c, char op);
bool qn_jparse_skip_name(qn_jcomp *c, const char *name);
int qn_jparse_expect_op(qn_jcomp *c, char op);
int qn_jparse_expect(qn_jcomp *c, qn_jtok_kind kind, qn_jtok **out);
/* "unexpected ..." at the current token. */
int qn_jparse_unexpected(qn_jcomp *c, const char *wanted);

void qn_jparse_push(qn_jcomp *c, qn_jnodes *list, qn_jnode *n);

#endif
