/* jinja_scope.c - names to variable slots.
 *
 * Jinja decides at compile time which variable a name means, and templates
 * depend on the consequences, so the same decisions are taken here. A scope
 * (template, macro, loop body, with, block set ...) owns the names that are
 * assigned in it, and those that it is the first to read. Entering the scope
 * gives each of its variables a value:
 *
 *   PARAM      the construct sets it (loop targets, macro parameters)
 *   RESOLVE    from the render context: read here before any assignment, or
 *              assigned only in a branch of an if
 *   ALIAS      the outer scope's variable of that name, by value: assigning
 *              here does not change the outer one
 *   UNDEFINED  assigned here first, and not known outside
 *
 * An if is no scope. A function (template, macro, call block, recursive loop)
 * has one array of slots for all scopes in it; inner functions reach outer
 * variables through the chain of activations (`up`), and see what they hold at
 * the time of the call.
 *
 * Two passes over each scope: `visit` collects the scope's own statements
 * without entering inner scopes, then `bind` fills in slots, entering them. */
#include "text/jinja_ast.h"

#include "base/map.h"

#include <string.h>

enum {
    SCOPE_NONE = UINT32_MAX
};

typedef struct scope_fn {
    uint32_t depth, n_slots;
} scope_fn;

typedef struct scope_sym {
    qn_view name;
    uint32_t slot;
    int how;
    bool stored;
    uint32_t alias_depth, alias_slot;
} scope_sym;

typedef struct scope {
    struct scope *parent, *next; /* next: of all, for freeing */
    scope_fn *fn;
    qn_map refs; /* name -> index into syms */
    scope_sym *syms;
    uint32_t n, cap;
    uint32_t branch; /* ifs around the node being visited */
} scope;

typedef struct scoper {
    qn_jcomp *c;
    scope *all;
} scoper;

static int scope_bind(scoper *sc, scope *s, qn_jnode *n);
static int scope_visit(scoper *sc, scope *s, qn_jnode *n, bool as_param);

/* ---- symbols ------------------------------------------------------------- */

static scope *scope_open(scoper *sc, scope *parent, scope_fn *fn)
{
    scope *s = qn_arena_calloc(sc->c->arena, 1, sizeof *s);
    s->parent = parent;
    s->fn = fn;
    s->next = sc->all;
    sc->all = s;
    return s;
}

static scope_sym *scope_own(scope *s, qn_view name)
{
    uint64_t i;

    if (s->n && qn_map_get(&s->refs, name.p, name.n, &i))
        return &s->syms[i];
    return NULL;
}

/* The variable that the name means in s or around it; NULL if none yet. */
static scope_sym *scope_find(scope *s, qn_view name, uint32_t *depth)
{
    for (; s; s = s->parent) {
        scope_sym *sym = scope_own(s, name);
        if (sym) {
            *depth = s->fn->depth;
            return sym;
        }
    }
    return NULL;
}

static int scope_define(scoper *sc, scope *s, qn_view name, int how,
                        scope_sym **out)
{
    if (s->fn->n_slots == QN_JINJA_MAX_SLOTS)
        return qn_jcomp_fail(sc->c, 1, QN_ELIMIT, "more than %d variables",
                             QN_JINJA_MAX_SLOTS);
    if (s->n == 0)
        qn_map_init(&s->refs, 8);
    if (s->n == s->cap) {
        uint32_t cap = s->cap ? 2 * s->cap : 8;
        scope_sym *v = qn_arena_calloc(sc->c->arena, cap, sizeof *v);
        if (s->n)
            memcpy(v, s->syms, s->n * sizeof *v);
        s->syms = v;
        s->cap = cap;
    }
    qn_map_add(&s->refs, name.p, name.n, s->n);
    scope_sym *sym = &s->syms[s->n++];
    sym->name = name;
    sym->how = how;
    sym->slot = s->fn->n_slots++;
    *out = sym;
    return 0;
}

static int scope_load(scoper *sc, scope *s, qn_view name, uint32_t line)
{
    uint32_t depth;
    scope_sym *sym;

    if (scope_find(s, name, &depth))
        return 0;
    if (qn_view_eqs(name, "self"))
        return qn_jcomp_fail(sc->c, line, QN_EUNSUP,
                             "the variable 'self' (blocks are not supported)");
    return scope_define(sc, s, name, QN_JL_RESOLVE, &sym);
}

static int scope_store(scoper *sc, scope *s, qn_view name)
{
    scope_sym *sym = scope_own(s, name), *outer;
    uint32_t depth = 0;

    if (!sym) {
        outer = s->parent ? scope_find(s->parent, name, &depth) : NULL;
        int how = outer       ? QN_JL_ALIAS
                  : s->branch ? QN_JL_RESOLVE
                              : QN_JL_UNDEFINED;
        QN_TRY(scope_define(sc, s, name, how, &sym));
        if (outer) {
            sym->alias_depth = depth;
            sym->alias_slot = outer->slot;
        }
    }
    sym->stored = true;
    return 0;
}

static int scope_param(scoper *sc, scope *s, qn_view name, uint32_t *slot)
{
    scope_sym *sym = scope_own(s, name);

    if (!sym)
        QN_TRY(scope_define(sc, s, name, QN_JL_PARAM, &sym));
    sym->how = QN_JL_PARAM;
    sym->stored = true;
    if (slot)
        *slot = sym->slot;
    return 0;
}

/* What entering the scope does. */
static void scope_emit(scoper *sc, const scope *s, qn_jscope *out)
{
    out->n = s->n;
    out->loads = qn_arena_calloc(sc->c->arena, s->n + 1, sizeof *out->loads);
    for (uint32_t i = 0; i < s->n; i++) {
        const scope_sym *sym = &s->syms[i];
        out->loads[i] = (qn_jload){.how = sym->how,
                                   .slot = sym->slot,
                                   .up = s->fn->depth - sym->alias_depth,
                                   .from = sym->alias_slot,
                                   .name = sym->name};
    }
}

/* ---- first pass ---------------------------------------------------------- */

static int scope_visit_all(scoper *sc, scope *s, qn_jnode **v, uint32_t n,
                           bool as_param)
{
    for (uint32_t i = 0; i < n; i++)
        QN_TRY(scope_visit(sc, s, v[i], as_param));
    return 0;
}

static int scope_visit_children(scoper *sc, scope *s, qn_jnode *n,
                                bool as_param)
{
    QN_TRY(scope_visit(sc, s, n->a, as_param));
    QN_TRY(scope_visit_all(sc, s, n->v, n->n, as_param));
    QN_TRY(scope_visit_all(sc, s, n->w, n->m, as_param));
    QN_TRY(scope_visit(sc, s, n->b, as_param));
    return scope_visit(sc, s, n->c, as_param);
}

static int scope_visit_name(scoper *sc, scope *s, qn_jnode *n, bool as_param)
{
    if (as_param || n->ctx == QN_JCTX_PARAM)
        return scope_param(sc, s, n->name, NULL);
    if (n->ctx == QN_JCTX_STORE)
        return scope_store(sc, s, n->name);
    return scope_load(sc, s, n->name, n->line);
}

/* as_param: targets of a loop. */
static int scope_visit(scoper *sc, scope *s, qn_jnode *n, bool as_param)
{
    if (!n)
        return 0;
    switch (n->kind) {
    case QN_JN_NAME: return scope_visit_name(sc, s, n, as_param);
    case QN_JN_NSREF: return scope_load(sc, s, n->name, n->line);
    case QN_JN_IF:
        QN_TRY(scope_visit(sc, s, n->a, false));
        s->branch++;
        QN_TRY(scope_visit_all(sc, s, n->v, n->n, false));
        QN_TRY(scope_visit_all(sc, s, n->w, n->m, false));
        QN_TRY(scope_visit(sc, s, n->b, false));
        s->branch--;
        return 0;
    case QN_JN_MACRO: return scope_store(sc, s, n->name);
    case QN_JN_SET:
        QN_TRY(scope_visit(sc, s, n->b, false));
        return scope_visit(sc, s, n->a, false);
    case QN_JN_SETBLOCK:
        QN_TRY(scope_visit(sc, s, n->b, false));
        return scope_visit(sc, s, n->a, false);
    case QN_JN_FOR: return scope_visit(sc, s, n->b, false);
    case QN_JN_CALLBLOCK: return scope_visit(sc, s, n->a, false);
    case QN_JN_FILTERBLOCK: return scope_visit(sc, s, n->b, false);
    case QN_JN_WITH:
        for (uint32_t i = 1; i < n->m; i += 2)
            QN_TRY(scope_visit(sc, s, n->w[i], false));
        return 0;
    case QN_JN_SCOPE:
    case QN_JN_GENERATION: return 0;
    default: return scope_visit_children(sc, s, n, as_param);
    }
}

/* ---- names that a body uses without declaring them ----------------------- */

enum {
    SCOPE_CALLER = 1,
    SCOPE_KWARGS = 2,
    SCOPE_VARARGS = 4,
    SCOPE_LOOP = 8
};

typedef struct scope_free {
    unsigned looking, found; /* SCOPE_* */
} scope_free;

static unsigned scope_special(qn_view name)
{
    return qn_view_eqs(name, "caller")    ? SCOPE_CALLER
           : qn_view_eqs(name, "kwargs")  ? SCOPE_KWARGS
           : qn_view_eqs(name, "varargs") ? SCOPE_VARARGS
           : qn_view_eqs(name, "loop")    ? SCOPE_LOOP
                                          : 0;
}

/* In source order: a name that is assigned before it is read is not free. */
static void scope_free_walk(scope_free *f, const qn_jnode *n)
{
    if (!n)
        return;
    if (n->kind == QN_JN_NAME) {
        unsigned bit = scope_special(n->name) & f->looking;
        if (n->ctx == QN_JCTX_LOAD)
            f->found |= bit;
        else
            f->looking &= ~bit;
        return;
    }
    bool late_b = n->kind == QN_JN_IF || n->kind == QN_JN_FILTERBLOCK ||
                  n->kind == QN_JN_CALL || n->kind == QN_JN_FILTER ||
                  n->kind == QN_JN_TEST;
    scope_free_walk(f, n->a);
    if (!late_b)
        scope_free_walk(f, n->b);
    if (n->kind == QN_JN_MACRO || n->kind == QN_JN_CALLBLOCK) {
        for (uint32_t i = 0; i < n->x.fn->n_args; i++)
            f->looking &= ~scope_special(n->x.fn->args[i]);
        for (uint32_t i = 0; i < n->m; i++)
            scope_free_walk(f, n->w[i]);
    } else if (n->kind == QN_JN_WITH) {
        for (uint32_t i = 0; i < n->m; i += 2)
            scope_free_walk(f, n->w[i]);
        for (uint32_t i = 1; i < n->m; i += 2)
            scope_free_walk(f, n->w[i]);
    }
    for (uint32_t i = 0; i < n->n; i++)
        scope_free_walk(f, n->v[i]);
    if (n->kind != QN_JN_MACRO && n->kind != QN_JN_CALLBLOCK &&
        n->kind != QN_JN_WITH)
        for (uint32_t i = 0; i < n->m; i++)
            scope_free_walk(f, n->w[i]);
    if (late_b)
        scope_free_walk(f, n->b);
    scope_free_walk(f, n->c);
}

static unsigned scope_free_in(qn_jnode *const *body, uint32_t n, unsigned names)
{
    scope_free f = {.looking = names};

    for (uint32_t i = 0; i < n; i++)
        scope_free_walk(&f, body[i]);
    return f.found;
}

/* ---- second pass: functions ---------------------------------------------- */

static int scope_bind_all(scoper *sc, scope *s, qn_jnode *const *v, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        QN_TRY(scope_bind(sc, s, v[i]));
    return 0;
}

/* The parameters that a body has because it names them. */
static int scope_specials(scoper *sc, scope *s, qn_jfn *fn, uint32_t line)
{
    unsigned used = scope_free_in(fn->body, fn->n_body,
                                  SCOPE_CALLER | SCOPE_KWARGS | SCOPE_VARARGS);

    fn->caller = fn->kwargs = fn->varargs = SCOPE_NONE;
    for (uint32_t i = 0; i < fn->n_args; i++) {
        unsigned bit = scope_special(fn->args[i]);
        fn->explicit_caller |= bit == SCOPE_CALLER;
        if (bit == SCOPE_CALLER && (used & SCOPE_CALLER) &&
            i < fn->n_args - fn->n_defaults)
            return qn_jcomp_fail(sc->c, line, QN_EFORMAT,
                                 "the parameter 'caller' needs a default");
        used &= ~(bit & (SCOPE_KWARGS | SCOPE_VARARGS));
    }
    if ((used & SCOPE_CALLER) && !fn->explicit_caller)
        QN_TRY(scope_param(sc, s, qn_view_cstr("caller"), &fn->caller));
    if (used & SCOPE_KWARGS)
        QN_TRY(scope_param(sc, s, qn_view_cstr("kwargs"), &fn->kwargs));
    if (used & SCOPE_VARARGS)
        QN_TRY(scope_param(sc, s, qn_view_cstr("varargs"), &fn->varargs));
    return 0;
}

static int scope_function(scoper *sc, scope *outer, qn_jfn *fn, uint32_t line)
{
    scope_fn *f = qn_arena_calloc(sc->c->arena, 1, sizeof *f);
    f->depth = outer->fn->depth + 1;
    scope *s = scope_open(sc, outer, f);
    uint32_t *slots = qn_arena_calloc(sc->c->arena, fn->n_args + 1,
                                      sizeof *slots);

    for (uint32_t i = 0; i < fn->n_args; i++)
        QN_TRY(scope_param(sc, s, fn->args[i], &slots[i]));
    fn->arg_slots = slots;
    for (uint32_t i = 0; i < fn->n_defaults; i++)
        QN_TRY(scope_visit(sc, s, fn->defaults[i], false));
    for (uint32_t i = 0; i < fn->n_body; i++)
        QN_TRY(scope_visit(sc, s, fn->body[i], false));
    if (fn != &sc->c->t->root)
        QN_TRY(scope_specials(sc, s, fn, line));
    scope_emit(sc, s, &fn->scope);
    QN_TRY(scope_bind_all(sc, s, fn->defaults, fn->n_defaults));
    QN_TRY(scope_bind_all(sc, s, fn->body, fn->n_body));
    fn->n_slots = f->n_slots;
    return 0;
}

/* ---- second pass: statements --------------------------------------------- */

static qn_jnode *scope_copy_target(scoper *sc, const qn_jnode *n)
{
    qn_jnode *copy = qn_arena_calloc(sc->c->arena, 1, sizeof *copy);

    *copy = *n;
    if (n->n) {
        copy->v = qn_arena_calloc(sc->c->arena, n->n, sizeof *copy->v);
        for (uint32_t i = 0; i < n->n; i++)
            copy->v[i] = scope_copy_target(sc, n->v[i]);
    }
    return copy;
}

static int scope_for_test(scoper *sc, scope *outer, scope_fn *fn, qn_jnode *n)
{
    qn_jfor *loop = n->x.loop;
    scope *s = scope_open(sc, outer, fn);

    loop->test_target = scope_copy_target(sc, n->a);
    QN_TRY(scope_visit(sc, s, n->a, true));
    QN_TRY(scope_visit(sc, s, n->c, false));
    scope_emit(sc, s, &loop->test);
    QN_TRY(scope_bind(sc, s, loop->test_target));
    return scope_bind(sc, s, n->c);
}

static int scope_for(scoper *sc, scope *outer, qn_jnode *n)
{
    qn_jfor *loop = n->x.loop;
    scope_fn *fn = outer->fn;

    QN_TRY(scope_bind(sc, outer, n->b));
    if (loop->recursive) {
        fn = qn_arena_calloc(sc->c->arena, 1, sizeof *fn);
        fn->depth = outer->fn->depth + 1;
    }
    scope *s = scope_open(sc, outer, fn);
    loop->loop_slot = SCOPE_NONE;
    if (loop->recursive || scope_free_in(n->v, n->n, SCOPE_LOOP))
        QN_TRY(scope_param(sc, s, qn_view_cstr("loop"), &loop->loop_slot));
    QN_TRY(scope_visit(sc, s, n->a, true));
    QN_TRY(scope_visit_all(sc, s, n->v, n->n, false));
    scope_emit(sc, s, &loop->body);

    if (n->c)
        QN_TRY(scope_for_test(sc, outer, fn, n));
    QN_TRY(scope_bind(sc, s, n->a));
    QN_TRY(scope_bind_all(sc, s, n->v, n->n));
    if (n->m) {
        s = scope_open(sc, outer, fn);
        QN_TRY(scope_visit_all(sc, s, n->w, n->m, false));
        scope_emit(sc, s, &loop->other);
        QN_TRY(scope_bind_all(sc, s, n->w, n->m));
    }
    if (loop->recursive)
        loop->fn.n_slots = fn->n_slots;
    return 0;
}

static int scope_with(scoper *sc, scope *outer, qn_jnode *n)
{
    scope *s = scope_open(sc, outer, outer->fn);

    for (uint32_t i = 0; i < n->m; i += 2)
        QN_TRY(scope_visit(sc, s, n->w[i], false));
    QN_TRY(scope_visit_all(sc, s, n->v, n->n, false));
    scope_emit(sc, s, n->x.scope);
    for (uint32_t i = 0; i < n->m; i += 2) {
        QN_TRY(scope_bind(sc, s, n->w[i]));
        QN_TRY(scope_bind(sc, outer, n->w[i + 1]));
    }
    return scope_bind_all(sc, s, n->v, n->n);
}

/* {% set %} and {% filter %} over a block, and plain scopes. */
static int scope_block(scoper *sc, scope *outer, qn_jnode *n)
{
    scope *s = scope_open(sc, outer, outer->fn);

    QN_TRY(scope_visit_all(sc, s, n->v, n->n, false));
    QN_TRY(scope_visit(sc, s, n->b, false));
    scope_emit(sc, s, n->x.scope);
    if (n->a)
        QN_TRY(scope_bind(sc, outer, n->a));
    if (n->b)
        QN_TRY(scope_bind(sc, s, n->b));
    return scope_bind_all(sc, s, n->v, n->n);
}

static int scope_bind_name(scoper *sc, scope *s, qn_jnode *n)
{
    uint32_t depth = 0;
    const scope_sym *sym = scope_find(s, n->name, &depth);

    if (!sym)
        return qn_jcomp_fail(sc->c, n->line, QN_EINTERNAL,
                             "the name '%.*s' was not analysed",
                             (int)QN_MIN(n->name.n, (size_t)60), n->name.p);
    n->up = s->fn->depth - depth;
    n->slot = sym->slot;
    return 0;
}

static int scope_bind(scoper *sc, scope *s, qn_jnode *n)
{
    if (!n)
        return 0;
    switch (n->kind) {
    case QN_JN_NAME:
    case QN_JN_NSREF: return scope_bind_name(sc, s, n);
    case QN_JN_FOR: return scope_for(sc, s, n);
    case QN_JN_WITH: return scope_with(sc, s, n);
    case QN_JN_SETBLOCK:
    case QN_JN_FILTERBLOCK:
    case QN_JN_SCOPE: return scope_block(sc, s, n);
    case QN_JN_MACRO:
        QN_TRY(scope_bind_name(sc, s, n));
        return scope_function(sc, s, n->x.fn, n->line);
    case QN_JN_CALLBLOCK:
        QN_TRY(scope_bind(sc, s, n->a));
        return scope_function(sc, s, n->x.fn, n->line);
    case QN_JN_GENERATION: return scope_function(sc, s, n->x.fn, n->line);
    default: break;
    }
    QN_TRY(scope_bind(sc, s, n->a));
    QN_TRY(scope_bind(sc, s, n->b));
    QN_TRY(scope_bind(sc, s, n->c));
    QN_TRY(scope_bind_all(sc, s, n->v, n->n));
    return scope_bind_all(sc, s, n->w, n->m);
}

int qn_jinja_resolve(qn_jcomp *c)
{
    scoper sc = {.c = c};
    scope_fn outside = {.depth = UINT32_MAX}; /* the template's is 0 */
    scope nothing = {.fn = &outside};

    int rc = scope_function(&sc, &nothing, &c->t->root, 1);
    for (scope *s = sc.all; s; s = s->next)
        qn_map_deinit(&s->refs);
    return rc;
}
