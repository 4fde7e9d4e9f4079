/* jinja_stmt.c - statements to trees, and compiling as a whole.
 *
 * A body is parsed up to one of the tags that may end it; data and {{ }}
 * between two tags become one OUTPUT. break and continue must lie in a loop of
 * the same function: macros, call blocks and generation blocks are functions
 * of their own, and so is a recursive loop. */
#include "text/jinja_ast.h"

#include "base/mem.h"
#include "base/utf8.h"

#include <stdarg.h>
#include <string.h>

/* Tags that may end the body being parsed, first the one that closes it. */
typedef const char *stmt_ends[4];

static int stmt_body(qn_jcomp *c, const char *tag, stmt_ends ends,
                     qn_jnodes *out);

int qn_jcomp_fail(qn_jcomp *c, uint32_t line, int code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    qn_vfail(c->err, code, fmt, ap);
    va_end(ap);
    return qn_err_prefix(c->err, code, "template %s, line %u", c->t->name,
                         (unsigned)line);
}

/* The tag's "%}", the body, and the name of the tag that ended it, which is
 * the current token afterwards. `hard`: a frame of its own. */
static int stmt_block(qn_jcomp *c, const char *tag, stmt_ends ends, bool hard,
                      qn_jnodes *out)
{
    bool soft = c->soft;

    qn_jparse_skip_op(c, ':');
    QN_TRY(qn_jparse_expect(c, QN_JT_BLOCK_END, NULL));
    if (hard)
        c->soft = false;
    QN_TRY(stmt_body(c, tag, ends, out));
    c->soft = soft;
    return 0;
}

/* A body that only one tag ends; consumes its name. */
static int stmt_block1(qn_jcomp *c, const char *tag, const char *end, bool hard,
                       qn_jnodes *out)
{
    QN_TRY(stmt_block(c, tag, (stmt_ends){end}, hard, out));
    c->tok++;
    return 0;
}

static int stmt_done(qn_jcomp *c, qn_jnode *n, qn_jnodes body)
{
    n->v = body.v;
    n->n = body.n;
    return qn_jparse_done(c, n);
}

static void stmt_new_scope(qn_jcomp *c, qn_jnode *n)
{
    n->x.scope = qn_arena_calloc(c->arena, 1, sizeof *n->x.scope);
}

/* ---- set, with, if, for -------------------------------------------------- */

static int stmt_set(qn_jcomp *c, qn_jnode *n)
{
    qn_jnodes body = {0};

    QN_TRY(qn_jparse_target(c, (qn_jtuple_how){.namespaces = true}, &n->a));
    if (qn_jparse_skip_op(c, '=')) {
        n->kind = QN_JN_SET;
        QN_TRY(qn_jparse_tuple(c, (qn_jtuple_how){0}, &n->b));
        return qn_jparse_done(c, n);
    }
    n->kind = QN_JN_SETBLOCK;
    stmt_new_scope(c, n);
    bool soft = c->soft;
    c->soft = false;
    QN_TRY(qn_jparse_filters(c, NULL, false, &n->b));
    c->soft = soft;
    QN_TRY(stmt_block1(c, "set", "endset", true, &body));
    return stmt_done(c, n, body);
}

static void stmt_make_param(qn_jnode *n)
{
    n->ctx = QN_JCTX_PARAM;
    for (uint32_t i = 0; i < n->n; i++)
        stmt_make_param(n->v[i]);
}

static int stmt_with(qn_jcomp *c, qn_jnode *n)
{
    qn_jnodes pairs = {0}, body = {0};
    qn_jnode *x;

    n->kind = QN_JN_WITH;
    stmt_new_scope(c, n);
    while (c->tok->kind != QN_JT_BLOCK_END) {
        if (pairs.n)
            QN_TRY(qn_jparse_expect_op(c, ','));
        QN_TRY(qn_jparse_target(c, (qn_jtuple_how){0}, &x));
        stmt_make_param(x);
        qn_jparse_push(c, &pairs, x);
        QN_TRY(qn_jparse_expect_op(c, '='));
        QN_TRY(qn_jparse_expression(c, true, &x));
        qn_jparse_push(c, &pairs, x);
    }
    n->w = pairs.v;
    n->m = pairs.n;
    QN_TRY(stmt_block1(c, "with", "endwith", true, &body));
    return stmt_done(c, n, body);
}

static int stmt_if(qn_jcomp *c, qn_jnode *n)
{
    qn_jnodes body = {0}, arms = {0};
    qn_jnode *arm = n;
    bool soft = c->soft;

    n->kind = QN_JN_IF;
    c->soft = true;
    for (;;) {
        body = (qn_jnodes){0};
        QN_TRY(qn_jparse_tuple(c, (qn_jtuple_how){.no_if = true}, &arm->a));
        QN_TRY(stmt_block(c, "if", (stmt_ends){"endif", "elif", "else"}, false,
                          &body));
        if (arm != n)
            qn_jparse_push(c, &arms, arm);
        QN_TRY(stmt_done(c, arm, body));
        if (!qn_jparse_skip_name(c, "elif"))
            break;
        QN_TRY(qn_jparse_node(c, QN_JN_IF, c->tok->line, &arm));
    }
    if (qn_jparse_skip_name(c, "else")) {
        body = (qn_jnodes){0};
        QN_TRY(qn_jparse_node(c, QN_JN_BODY, c->tok->line, &n->b));
        QN_TRY(stmt_block(c, "if", (stmt_ends){"endif"}, false, &body));
        QN_TRY(stmt_done(c, n->b, body));
    }
    c->tok++;
    c->soft = soft;
    n->w = arms.v;
    n->m = arms.n;
    return qn_jparse_done(c, n);
}

/* `loop` is the loop's own: nothing in it may assign to that name. */
static int stmt_check_loop_name(qn_jcomp *c, const qn_jnode *n)
{
    if (!n)
        return 0;
    if (n->kind == QN_JN_NAME && n->ctx == QN_JCTX_STORE &&
        qn_view_eqs(n->name, "loop"))
        return qn_jcomp_fail(c, n->line, QN_EFORMAT,
                             "the variable 'loop' cannot be assigned to in a "
                             "for loop");
    QN_TRY(stmt_check_loop_name(c, n->a));
    QN_TRY(stmt_check_loop_name(c, n->b));
    QN_TRY(stmt_check_loop_name(c, n->c));
    for (uint32_t i = 0; i < n->n; i++)
        QN_TRY(stmt_check_loop_name(c, n->v[i]));
    for (uint32_t i = 0; i < n->m; i++)
        QN_TRY(stmt_check_loop_name(c, n->w[i]));
    return 0;
}

static int stmt_for(qn_jcomp *c, qn_jnode *n)
{
    qn_jnodes body = {0}, other = {0};
    uint32_t loops = c->loops;
    bool soft = c->soft;

    n->kind = QN_JN_FOR;
    n->x.loop = qn_arena_calloc(c->arena, 1, sizeof *n->x.loop);
    QN_TRY(qn_jparse_target(c, (qn_jtuple_how){.until = "in"}, &n->a));
    if (!qn_jparse_skip_name(c, "in"))
        return qn_jparse_unexpected(c, "'in'");
    QN_TRY(qn_jparse_tuple(c,
                           (qn_jtuple_how){.no_if = true, .until = "recursive"},
                           &n->b));
    c->soft = false;
    if (qn_jparse_skip_name(c, "if"))
        QN_TRY(qn_jparse_expression(c, true, &n->c));
    n->x.loop->recursive = qn_jparse_skip_name(c, "recursive");
    c->loops = n->x.loop->recursive ? 1 : loops + 1;
    QN_TRY(stmt_block(c, "for", (stmt_ends){"endfor", "else"}, true, &body));
    c->loops = n->x.loop->recursive ? 0 : loops;
    if (qn_jparse_skip_name(c, "else"))
        QN_TRY(stmt_block(c, "for", (stmt_ends){"endfor"}, true, &other));
    c->tok++;
    c->loops = loops;
    c->soft = soft;
    n->w = other.v;
    n->m = other.n;
    QN_TRY(stmt_done(c, n, body));
    return c->loops ? 0 : stmt_check_loop_name(c, n);
}

/* ---- functions ----------------------------------------------------------- */

static int stmt_signature(qn_jcomp *c, qn_jfn *fn)
{
    struct {
        qn_view v[256];
    } args;
    qn_jnodes defaults = {0};
    qn_jtok *name;

    QN_TRY(qn_jparse_expect_op(c, '('));
    while (!qn_jparse_is_op(c, ')')) {
        if (fn->n_args)
            QN_TRY(qn_jparse_expect_op(c, ','));
        QN_TRY(qn_jparse_expect(c, QN_JT_NAME, &name));
        if (fn->n_args == QN_COUNTOF(args.v))
            return qn_jcomp_fail(c, name->line, QN_ELIMIT,
                                 "a macro with more than %zu parameters",
                                 QN_COUNTOF(args.v));
        for (uint32_t i = 0; i < fn->n_args; i++)
            if (qn_view_eq(args.v[i], name->text))
                return qn_jcomp_fail(c, name->line, QN_EFORMAT,
                                     "two parameters of the same name");
        args.v[fn->n_args++] = name->text;
        if (qn_jparse_skip_op(c, '=')) {
            qn_jnode *value;
            QN_TRY(qn_jparse_expression(c, true, &value));
            qn_jparse_push(c, &defaults, value);
        } else if (defaults.n) {
            return qn_jcomp_fail(c, name->line, QN_EFORMAT,
                                 "a parameter without default behind one "
                                 "that has one");
        }
    }
    c->tok++;
    qn_view *copy = qn_arena_calloc(c->arena, fn->n_args + 1, sizeof *copy);
    if (fn->n_args)
        memcpy(copy, args.v, fn->n_args * sizeof *copy);
    fn->args = copy;
    fn->defaults = defaults.v;
    fn->n_defaults = defaults.n;
    return 0;
}

/* The body of a macro, call or generation block into n->x.fn; also its
 * children in n->v so that walks of the tree find them. */
static int stmt_function(qn_jcomp *c, qn_jnode *n, const char *tag,
                         const char *end)
{
    qn_jnodes body = {0};
    uint32_t loops = c->loops;

    c->loops = 0;
    QN_TRY(stmt_block1(c, tag, end, true, &body));
    c->loops = loops;
    n->x.fn->body = body.v;
    n->x.fn->n_body = body.n;
    n->w = (qn_jnode **)n->x.fn->defaults;
    n->m = n->x.fn->n_defaults;
    return stmt_done(c, n, body);
}

static void stmt_new_fn(qn_jcomp *c, qn_jnode *n, qn_jkind kind)
{
    n->kind = (uint8_t)kind;
    n->x.fn = qn_arena_calloc(c->arena, 1, sizeof *n->x.fn);
}

static int stmt_macro(qn_jcomp *c, qn_jnode *n)
{
    qn_jtok *name;

    stmt_new_fn(c, n, QN_JN_MACRO);
    QN_TRY(qn_jparse_expect(c, QN_JT_NAME, &name));
    n->name = name->text;
    bool soft = c->soft;
    c->soft = false;
    QN_TRY(stmt_signature(c, n->x.fn));
    c->soft = soft;
    return stmt_function(c, n, "macro", "endmacro");
}

static int stmt_call(qn_jcomp *c, qn_jnode *n)
{
    stmt_new_fn(c, n, QN_JN_CALLBLOCK);
    if (qn_jparse_is_op(c, '('))
        QN_TRY(stmt_signature(c, n->x.fn));
    QN_TRY(qn_jparse_expression(c, true, &n->a));
    if (n->a->kind != QN_JN_CALL)
        return qn_jcomp_fail(c, n->line, QN_EFORMAT,
                             "{%% call %%} needs a call");
    return stmt_function(c, n, "call", "endcall");
}

static int stmt_generation(qn_jcomp *c, qn_jnode *n)
{
    stmt_new_fn(c, n, QN_JN_GENERATION);
    return stmt_function(c, n, "generation", "endgeneration");
}

/* ---- the rest ------------------------------------------------------------ */

static int stmt_filter(qn_jcomp *c, qn_jnode *n)
{
    qn_jnodes body = {0};
    bool soft = c->soft;

    n->kind = QN_JN_FILTERBLOCK;
    stmt_new_scope(c, n);
    c->soft = false;
    QN_TRY(qn_jparse_filters(c, NULL, true, &n->b));
    c->soft = soft;
    QN_TRY(stmt_block1(c, "filter", "endfilter", true, &body));
    return stmt_done(c, n, body);
}

static int stmt_autoescape(qn_jcomp *c, qn_jnode *n)
{
    qn_jnodes body = {0};
    qn_jnode *on;

    n->kind = QN_JN_SCOPE;
    stmt_new_scope(c, n);
    QN_TRY(qn_jparse_expression(c, true, &on));
    if (on->kind != QN_JN_CONST || qn_jv_truth(on->val))
        return qn_jcomp_fail(c, n->line, QN_EUNSUP,
                             "{%% autoescape %%} with anything but false");
    QN_TRY(stmt_block1(c, "autoescape", "endautoescape", true, &body));
    return stmt_done(c, n, body);
}

static void stmt_fold(qn_jnode *x)
{
    if (qn_jparse_is_literal(x))
        qn_jparse_fold(x);
}

static int stmt_print(qn_jcomp *c, qn_jnode *n)
{
    qn_jnodes items = {0};
    qn_jnode *x;

    n->kind = QN_JN_OUTPUT;
    while (c->tok->kind != QN_JT_BLOCK_END) {
        if (items.n)
            QN_TRY(qn_jparse_expect_op(c, ','));
        QN_TRY(qn_jparse_expression(c, true, &x));
        stmt_fold(x);
        qn_jparse_push(c, &items, x);
    }
    return stmt_done(c, n, items);
}

static int stmt_jump(qn_jcomp *c, qn_jnode *n)
{
    bool brk = qn_view_eqs(n->name, "break");

    n->kind = brk ? QN_JN_BREAK : QN_JN_CONTINUE;
    if (!c->loops)
        return qn_jcomp_fail(c, n->line, QN_EFORMAT,
                             "{%% %s %%} outside a loop",
                             brk ? "break" : "continue");
    return 0;
}

static int stmt_refuse(qn_jcomp *c, qn_jnode *n)
{
    return qn_jcomp_fail(c, n->line, QN_EUNSUP,
                         "{%% %.*s %%}: a chat template stands alone, other "
                         "templates and blocks are not supported",
                         (int)n->name.n, n->name.p);
}

static const struct {
    const char *tag;
    int (*parse)(qn_jcomp *c, qn_jnode *n);
} stmt_tags[] = {
    {"set", stmt_set},        {"if", stmt_if},
    {"for", stmt_for},        {"macro", stmt_macro},
    {"call", stmt_call},      {"filter", stmt_filter},
    {"with", stmt_with},      {"generation", stmt_generation},
    {"break", stmt_jump},     {"continue", stmt_jump},
    {"print", stmt_print},    {"autoescape", stmt_autoescape},
    {"include", stmt_refuse}, {"import", stmt_refuse},
    {"from", stmt_refuse},    {"extends", stmt_refuse},
    {"block", stmt_refuse},
};

/* A tag's statement, its name being the current token. */
static int stmt_tag(qn_jcomp *c, const char *open, const char *close,
                    qn_jnode **out)
{
    qn_jtok *t = c->tok;

    QN_TRY(qn_jparse_expect(c, QN_JT_NAME, NULL));
    for (size_t i = 0; i < QN_COUNTOF(stmt_tags); i++) {
        if (!qn_view_eqs(t->text, stmt_tags[i].tag))
            continue;
        QN_TRY(qn_jparse_enter(c));
        QN_TRY(qn_jparse_node(c, QN_JN_SCOPE, t->line, out));
        (*out)->name = t->text;
        QN_TRY(stmt_tags[i].parse(c, *out));
        c->depth--;
        return qn_jparse_expect(c, QN_JT_BLOCK_END, NULL);
    }
    int n = (int)QN_MIN(t->text.n, (size_t)60);
    if (open)
        return qn_jcomp_fail(c, t->line, QN_EFORMAT,
                             "unknown tag '%.*s' (or {%% %s %%} misses its {%% "
                             "%s %%})",
                             n, t->text.p, open, close);
    return qn_jcomp_fail(c, t->line, QN_EFORMAT, "unknown tag '%.*s'", n,
                         t->text.p);
}

/* Adds to the OUTPUT that ends the list, or begins one. */
static int stmt_output(qn_jcomp *c, qn_jnodes *out, qn_jnode *x)
{
    qn_jnode *last = out->n ? out->v[out->n - 1] : NULL;

    if (!last || last->kind != QN_JN_OUTPUT || !last->ctx) {
        QN_TRY(qn_jparse_node(c, QN_JN_OUTPUT, x->line, &last));
        last->ctx = 1; /* data and {{ }}, as opposed to {% print %} */
        qn_jparse_push(c, out, last);
    }
    qn_jnodes items = {last->v, last->n, last->slot};
    qn_jparse_push(c, &items, x);
    last->v = items.v;
    last->n = items.n;
    last->slot = items.cap;
    if (x->depth >= last->depth)
        last->depth = (uint16_t)(x->depth + 1);
    return 0;
}

static bool stmt_at_end(const qn_jcomp *c, stmt_ends ends)
{
    for (int i = 0; i < 4 && ends[i]; i++)
        if (qn_jparse_is_name(c, ends[i]))
            return true;
    return false;
}

static int stmt_body(qn_jcomp *c, const char *tag, stmt_ends ends,
                     qn_jnodes *out)
{
    qn_jnode *x;

    for (;;) {
        qn_jtok *t = c->tok++;
        switch (t->kind) {
        case QN_JT_DATA:
            QN_TRY(qn_jparse_node(c, QN_JN_DATA, t->line, &x));
            x->val = qn_jv_view(t->text);
            QN_TRY(stmt_output(c, out, x));
            break;
        case QN_JT_VAR_BEGIN:
            QN_TRY(qn_jparse_tuple(c, (qn_jtuple_how){0}, &x));
            QN_TRY(qn_jparse_expect(c, QN_JT_VAR_END, NULL));
            stmt_fold(x);
            QN_TRY(stmt_output(c, out, x));
            break;
        case QN_JT_BLOCK_BEGIN:
            if (tag && stmt_at_end(c, ends))
                return 0;
            QN_TRY(stmt_tag(c, tag, ends[0], &x));
            qn_jparse_push(c, out, x);
            break;
        case QN_JT_EOF:
            c->tok = t;
            if (tag)
                return qn_jcomp_fail(c, t->line, QN_EFORMAT,
                                     "{%% %s %%} without its {%% %s %%}", tag,
                                     ends[0]);
            return 0;
        default: c->tok = t; return qn_jparse_unexpected(c, "text or a tag");
        }
    }
}

int qn_jinja_parse(qn_jcomp *c)
{
    qn_jnodes body = {0};

    QN_TRY(stmt_body(c, NULL, (stmt_ends){0}, &body));
    if (c->unknown.n) {
        const qn_jnode *n = c->unknown.v[0];
        return qn_jcomp_fail(c, n->line, QN_EFORMAT, "no %s named '%.*s'",
                             n->kind == QN_JN_FILTER ? "filter" : "test",
                             (int)QN_MIN(n->name.n, (size_t)60), n->name.p);
    }
    c->t->root.body = body.v;
    c->t->root.n_body = body.n;
    return 0;
}

/* ---- compiling ----------------------------------------------------------- */

/* Copies text with every line end as \n, less one at the very end. */
static void stmt_normalize(qn_jinja *t, const char *text, size_t n)
{
    char *o = t->text = qn_arena_alloc(&t->arena, n + 1);

    for (size_t i = 0; i < n; i++) {
        char ch = text[i];
        if (ch == '\r') {
            ch = '\n';
            if (i + 1 < n && text[i + 1] == '\n')
                i++;
        }
        *o++ = ch;
    }
    t->n_text = (size_t)(o - t->text);
    if (t->n_text && o[-1] == '\n')
        t->n_text--;
}

int qn_jinja_compile(qn_jinja **out, const char *text, size_t n,
                     const char *name, unsigned flags, qn_err *err)
{
    if (n > QN_JINJA_MAX_TEXT)
        return qn_fail(err, QN_ELIMIT, "template %s: %zu bytes, at most %d",
                       name, n, QN_JINJA_MAX_TEXT);
    if (!qn_utf8_valid(text, n))
        return qn_fail(err, QN_EFORMAT, "template %s: not UTF-8", name);

    qn_jinja *t = qn_xcalloc(1, sizeof *t);
    qn_arena_init(&t->arena);
    t->name = qn_arena_strndup(&t->arena, name, strlen(name));
    t->flags = flags;
    stmt_normalize(t, text, n);
    qn_jcomp c = {.t = t, .arena = &t->arena, .err = err};
    int rc = qn_jinja_lex(&c, &c.tok);
    if (rc == 0)
        rc = qn_jinja_parse(&c);
    if (rc == 0)
        rc = qn_jinja_resolve(&c);
    if (rc < 0) {
        qn_jinja_free(t);
        return rc;
    }
    *out = t;
    return 0;
}

void qn_jinja_free(qn_jinja *t)
{
    if (!t)
        return;
    qn_arena_deinit(&t->arena);
    free(t);
}
