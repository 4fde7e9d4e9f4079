/* pickle.c: the machine. See pickle.h; the opcodes are those of Python's
 * pickletools.py (protocols 2 to 5).
 *
 * A stack of values, a stack of marks, and a memo of values by number. Every
 * opcode reads its bytes, moves values, and is done; an opcode pushes one value
 * at most, so a pickle of n bytes makes n values at most. A list may come to
 * hold itself: nothing here follows what values hold. */
#include "ckpt/pickle_int.h"

#include "base/mem.h"
#include "base/utf8.h"
#include "ckpt/le.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define READ_AHEAD ((uint64_t)1 << 16)
#define MEMO_MAX (4u << 20)
#define MARKS_MAX (1u << 20)

/* ---- bytes -------------------------------------------------------------- */

int qn_pickle_init(qn_pickle *p, const qn_file *f, uint64_t begin,
                   uint64_t size, const char *name, qn_err *err)
{
    *p = (qn_pickle){.name = name, .f = f, .begin = begin, .size = size};
    qn_arena_init(&p->arena);
    /* room that is not reached is never touched, and costs nothing */
    p->buf = qn_alloc((size_t)QN_MIN(size, QN_PICKLE_BYTES_MAX), 1);
    if (!p->buf)
        return qn_fail(err, QN_ENOMEM, "%s: no memory to read its pickle",
                       name);
    return 0;
}

void qn_pickle_deinit(qn_pickle *p)
{
    qn_vec_deinit(&p->stack);
    qn_vec_deinit(&p->marks);
    qn_vec_deinit(&p->memo);
    qn_vec_deinit(&p->storages);
    qn_arena_deinit(&p->arena);
    free(p->buf);
    p->buf = NULL;
}

/* The next n bytes, which stay where they are. */
static int take(qn_pickle *p, uint64_t n, const char **out, qn_err *err)
{
    uint64_t end, upto;

    if (n > p->size - p->pos)
        return qn_fail(err, QN_EFORMAT,
                       "%s: its pickle is cut short at byte %" PRIu64
                       "; finish the download or fetch it again",
                       p->name, p->pos);
    end = p->pos + n;
    if (end > QN_PICKLE_BYTES_MAX)
        return qn_fail(err, QN_ELIMIT,
                       "%s: a pickle of more than %" PRIu64 " MiB", p->name,
                       QN_PICKLE_BYTES_MAX >> 20);
    if (end > p->have) {
        upto = QN_MIN(QN_MAX(end, p->have + READ_AHEAD),
                      QN_MIN(p->size, QN_PICKLE_BYTES_MAX));
        QN_TRY(qn_file_pread(p->f, p->buf + p->have, p->begin + p->have,
                             (size_t)(upto - p->have), err));
        p->have = upto;
    }
    *out = p->buf + p->pos;
    p->pos = end;
    return 0;
}

static int take_le(qn_pickle *p, int n, uint64_t *out, qn_err *err)
{
    const char *b;

    QN_TRY(take(p, (uint64_t)n, &b, err));
    *out = qn_le(b, n);
    return 0;
}

/* Up to the next newline, which is left out. */
static int take_line(qn_pickle *p, qn_view *out, qn_err *err)
{
    const char *b;
    size_t n = 0;

    do
        QN_TRY(take(p, 1, &b, err));
    while (*b != '\n' && ++n <= 1024);
    if (*b != '\n')
        return qn_fail(err, QN_EFORMAT, "%s: its pickle has a name without end",
                       p->name);
    *out = qn_view_of(b - n, n);
    return 0;
}

/* ---- stack -------------------------------------------------------------- */

static int wrong(const qn_pickle *p, const char *what, qn_err *err)
{
    return qn_fail(err, QN_EFORMAT,
                   "%s: its pickle is damaged before byte %" PRIu64 ": %s",
                   p->name, p->pos, what);
}

int qn_pickle_count(qn_pickle *p, size_t n, qn_err *err)
{
    if (n > (size_t)(QN_PICKLE_VALUES_MAX - p->n_values))
        return qn_fail(err, QN_ELIMIT, "%s: a pickle of more than %d values",
                       p->name, QN_PICKLE_VALUES_MAX);
    p->n_values += (int64_t)n;
    return 0;
}

int qn_pickle_new(qn_pickle *p, qn_pickle_kind kind, qn_pickle_value **out,
                  qn_err *err)
{
    QN_TRY(qn_pickle_count(p, 1, err));
    *out = qn_arena_calloc(&p->arena, 1, sizeof **out);
    (*out)->kind = kind;
    return 0;
}

static int push(qn_pickle *p, qn_pickle_kind kind, qn_pickle_value **out,
                qn_err *err)
{
    QN_TRY(qn_pickle_new(p, kind, out, err));
    qn_vec_push(&p->stack, *out);
    return 0;
}

static int push_int(qn_pickle *p, int64_t v, qn_err *err)
{
    qn_pickle_value *x;

    QN_TRY(push(p, QN_PK_INT, &x, err));
    x->u.i = v;
    return 0;
}

static int push_bool(qn_pickle *p, bool v, qn_err *err)
{
    qn_pickle_value *x;

    QN_TRY(push(p, QN_PK_BOOL, &x, err));
    x->u.b = v;
    return 0;
}

static int push_str(qn_pickle *p, uint64_t n, qn_err *err)
{
    qn_pickle_value *x;
    const char *s;

    QN_TRY(take(p, n, &s, err));
    QN_TRY(push(p, QN_PK_STR, &x, err));
    x->u.str = qn_view_of(s, (size_t)n);
    return 0;
}

/* Values above the last mark belong to whoever pops it. */
static size_t floor_of(const qn_pickle *p)
{
    return p->marks.n ? p->marks.v[p->marks.n - 1] : 0;
}

static int pop(qn_pickle *p, qn_pickle_value **out, qn_err *err)
{
    if (p->stack.n <= floor_of(p))
        return wrong(p, "it takes from an empty stack", err);
    *out = p->stack.v[--p->stack.n];
    return 0;
}

static int top(const qn_pickle *p, qn_pickle_value **out, qn_err *err)
{
    if (p->stack.n <= floor_of(p))
        return wrong(p, "it looks at an empty stack", err);
    *out = p->stack.v[p->stack.n - 1];
    return 0;
}

static int push_mark(qn_pickle *p, qn_err *err)
{
    if (p->marks.n >= MARKS_MAX)
        return qn_fail(err, QN_ELIMIT,
                       "%s: its pickle is nested deeper than %u levels",
                       p->name, MARKS_MAX);
    qn_vec_push(&p->marks, p->stack.n);
    return 0;
}

/* The values since the last mark, which goes: [*from, stack.n). */
static int pop_mark(qn_pickle *p, size_t *from, qn_err *err)
{
    if (p->marks.n == 0)
        return wrong(p, "a mark is missing", err);
    *from = p->marks.v[--p->marks.n];
    return 0;
}

/* ---- containers --------------------------------------------------------- */

static void grow(qn_pickle *p, qn_pickle_value *x, size_t n)
{
    size_t cap = QN_MAX(x->u.list.cap * 2, x->u.list.n + n);
    qn_pickle_value **v;

    if (x->u.list.n + n <= x->u.list.cap)
        return;
    v = qn_arena_calloc(&p->arena, cap, sizeof(qn_pickle_value *));
    if (x->u.list.n)
        memcpy(v, x->u.list.v, x->u.list.n * sizeof(qn_pickle_value *));
    x->u.list.v = v;
    x->u.list.cap = cap;
}

/* Moves the values [from, stack.n) behind those of x. */
static int move_in(qn_pickle *p, qn_pickle_value *x, size_t from, qn_err *err)
{
    size_t n = p->stack.n - from;

    if (n == 0)
        return 0;
    QN_TRY(qn_pickle_count(p, n, err));
    grow(p, x, n);
    memcpy(x->u.list.v + x->u.list.n, p->stack.v + from,
           n * sizeof(qn_pickle_value *));
    x->u.list.n += n;
    p->stack.n = from;
    return 0;
}

static int make_tuple(qn_pickle *p, size_t from, qn_err *err)
{
    qn_pickle_value *x;

    QN_TRY(qn_pickle_new(p, QN_PK_TUPLE, &x, err));
    QN_TRY(move_in(p, x, from, err));
    qn_vec_push(&p->stack, x);
    return 0;
}

static int make_tuple_n(qn_pickle *p, size_t n, qn_err *err)
{
    if (p->stack.n - floor_of(p) < n)
        return wrong(p, "it takes from an empty stack", err);
    return make_tuple(p, p->stack.n - n, err);
}

/* The values [from, stack.n) into the list or dict below them. */
static int add_items(qn_pickle *p, size_t from, qn_pickle_kind kind,
                     qn_err *err)
{
    qn_pickle_value *x;

    if (from <= floor_of(p))
        return wrong(p, "it adds to nothing", err);
    x = p->stack.v[from - 1];
    if (x->kind != kind)
        return wrong(p,
                     kind == QN_PK_LIST ? "it appends to what is no list"
                                        : "it sets keys of what is no dict",
                     err);
    if (kind == QN_PK_DICT && (p->stack.n - from) % 2)
        return wrong(p, "a key without a value", err);
    return move_in(p, x, from, err);
}

static int add_marked(qn_pickle *p, qn_pickle_kind kind, qn_err *err)
{
    size_t from;

    QN_TRY(pop_mark(p, &from, err));
    return add_items(p, from, kind, err);
}

static int add_few(qn_pickle *p, size_t n, qn_pickle_kind kind, qn_err *err)
{
    if (p->stack.n - floor_of(p) < n + 1)
        return wrong(p, "it takes from an empty stack", err);
    return add_items(p, p->stack.n - n, kind, err);
}

/* ---- memo --------------------------------------------------------------- */

static int memo_put(qn_pickle *p, uint64_t i, qn_err *err)
{
    qn_pickle_value *x;

    QN_TRY(top(p, &x, err));
    if (i >= MEMO_MAX)
        return qn_fail(err, QN_ELIMIT,
                       "%s: its pickle memorizes under the number %" PRIu64,
                       p->name, i);
    while (p->memo.n <= i)
        qn_vec_push(&p->memo, NULL);
    p->memo.v[i] = x;
    return 0;
}

static int memo_get(qn_pickle *p, uint64_t i, qn_err *err)
{
    if (i >= p->memo.n || !p->memo.v[i])
        return wrong(p, "it remembers what it never memorized", err);
    if (p->stack.n >= QN_PICKLE_VALUES_MAX)
        return qn_fail(err, QN_ELIMIT, "%s: a pickle of more than %d values",
                       p->name, QN_PICKLE_VALUES_MAX);
    qn_vec_push(&p->stack, p->memo.v[i]);
    return 0;
}

/* ---- calls -------------------------------------------------------------- */

static int push_global(qn_pickle *p, qn_view module, qn_view name, qn_err *err)
{
    const qn_pickle_global *g = qn_pickle_find(module, name);
    qn_pickle_value *x;

    if (!g)
        return qn_fail(err, QN_EUNSUP,
                       "%s: its pickle asks for %.*s.%.*s, which is neither a "
                       "tensor nor a dict; it was not run. Do not open this "
                       "file with a program that would, unless you trust it",
                       p->name, (int)QN_MIN(module.n, 100), module.p,
                       (int)QN_MIN(name.n, 100), name.p);
    QN_TRY(push(p, QN_PK_GLOBAL, &x, err));
    x->u.global = g;
    return 0;
}

static int op_global(qn_pickle *p, qn_err *err)
{
    qn_view module, name;

    QN_TRY(take_line(p, &module, err));
    QN_TRY(take_line(p, &name, err));
    return push_global(p, module, name, err);
}

static int op_stack_global(qn_pickle *p, qn_err *err)
{
    qn_pickle_value *module, *name;

    QN_TRY(pop(p, &name, err));
    QN_TRY(pop(p, &module, err));
    if (module->kind != QN_PK_STR || name->kind != QN_PK_STR)
        return wrong(p, "a module or name that is no text", err);
    return push_global(p, module->u.str, name->u.str, err);
}

static int op_reduce(qn_pickle *p, qn_err *err)
{
    qn_pickle_value *args, *callee, *x;

    QN_TRY(pop(p, &args, err));
    QN_TRY(pop(p, &callee, err));
    if (callee->kind != QN_PK_GLOBAL || args->kind != QN_PK_TUPLE)
        return wrong(p, "it calls what is no function", err);
    QN_TRY(qn_pickle_reduce(p, callee, args, &x, err));
    qn_vec_push(&p->stack, x);
    return 0;
}

/* Attributes of an ordered dict (state dicts have _metadata) change nothing
 * about its tensors; nothing else may have any. */
static int op_build(qn_pickle *p, qn_err *err)
{
    qn_pickle_value *state, *x;

    QN_TRY(pop(p, &state, err));
    QN_TRY(top(p, &x, err));
    if (x->kind != QN_PK_DICT || state->kind != QN_PK_DICT)
        return wrong(p, "it sets attributes of what is no dict", err);
    return 0;
}

static int op_persistent(qn_pickle *p, qn_err *err)
{
    qn_pickle_value *id, *x;

    QN_TRY(pop(p, &id, err));
    QN_TRY(qn_pickle_persistent(p, id, &x, err));
    qn_vec_push(&p->stack, x);
    return 0;
}

/* ---- numbers ------------------------------------------------------------ */

/* A long of n bytes, two's complement; torch's magic number has ten. Those
 * beyond 64 bits are nowhere needed but there: their low 64 bits. */
static int op_long(qn_pickle *p, int n_len, qn_err *err)
{
    uint64_t n, v;
    const char *b;

    QN_TRY(take_le(p, n_len, &n, err));
    QN_TRY(take(p, n, &b, err));
    v = n && (unsigned char)b[n - 1] >= 0x80 ? UINT64_MAX : 0;
    for (uint64_t i = QN_MIN(n, 8); i-- > 0;)
        v = v << 8 | (unsigned char)b[i];
    return push_int(p, (int64_t)v, err);
}

static int op_float(qn_pickle *p, qn_err *err)
{
    qn_pickle_value *x;
    const char *b;
    uint64_t v = 0;

    QN_TRY(take(p, 8, &b, err)); /* big-endian */
    for (int i = 0; i < 8; i++)
        v = v << 8 | (unsigned char)b[i];
    QN_TRY(push(p, QN_PK_FLOAT, &x, err));
    memcpy(&x->u.f, &v, sizeof v);
    return 0;
}

static int op_int(qn_pickle *p, int n, qn_err *err)
{
    uint64_t v;

    QN_TRY(take_le(p, n, &v, err));
    return push_int(p, n == 4 ? (int32_t)v : (int64_t)v, err);
}

static int op_str(qn_pickle *p, int n_len, qn_err *err)
{
    uint64_t n;

    QN_TRY(take_le(p, n_len, &n, err));
    return push_str(p, n, err);
}

/* ---- opcodes ------------------------------------------------------------ */

static int op_protocol(qn_pickle *p, qn_err *err)
{
    uint64_t v;

    QN_TRY(take_le(p, 1, &v, err));
    if (v < 2 || v > 5)
        return qn_fail(err, QN_EUNSUP,
                       "%s: a pickle of protocol %" PRIu64
                       "; 2 to 5 are supported",
                       p->name, v);
    return 0;
}

static int op_simple(qn_pickle *p, unsigned char op, qn_err *err)
{
    qn_pickle_value *x;
    uint64_t v;
    size_t from;

    switch (op) {
    case '(': return push_mark(p, err);
    case '0': return pop(p, &x, err);
    case '1': /* POP_MARK */
        QN_TRY(pop_mark(p, &from, err));
        p->stack.n = from;
        return 0;
    case 'N': return push(p, QN_PK_NONE, &x, err);
    case 0x88: return push_bool(p, true, err);
    case 0x89: return push_bool(p, false, err);
    case ')': return push(p, QN_PK_TUPLE, &x, err);
    case ']': return push(p, QN_PK_LIST, &x, err);
    case '}': return push(p, QN_PK_DICT, &x, err);
    case 't': QN_TRY(pop_mark(p, &from, err)); return make_tuple(p, from, err);
    case 0x85: return make_tuple_n(p, 1, err);
    case 0x86: return make_tuple_n(p, 2, err);
    case 0x87: return make_tuple_n(p, 3, err);
    case 'a': return add_few(p, 1, QN_PK_LIST, err);
    case 'e': return add_marked(p, QN_PK_LIST, err);
    case 's': return add_few(p, 2, QN_PK_DICT, err);
    case 'u': return add_marked(p, QN_PK_DICT, err);
    case 'q': QN_TRY(take_le(p, 1, &v, err)); return memo_put(p, v, err);
    case 'r': QN_TRY(take_le(p, 4, &v, err)); return memo_put(p, v, err);
    case 0x94: return memo_put(p, p->memo.n, err);
    case 'h': QN_TRY(take_le(p, 1, &v, err)); return memo_get(p, v, err);
    case 'j': QN_TRY(take_le(p, 4, &v, err)); return memo_get(p, v, err);
    default:
        return qn_fail(err, QN_EUNSUP,
                       "%s: its pickle has the opcode 0x%02x ('%c') at byte "
                       "%" PRIu64 ", which no checkpoint needs; it was not run",
                       p->name, op, op > ' ' && op <= '~' ? op : '?',
                       p->pos - 1);
    }
}

static int op_any(qn_pickle *p, unsigned char op, qn_err *err)
{
    uint64_t v;

    switch (op) {
    case 0x80: return op_protocol(p, err);
    case 0x95: return take_le(p, 8, &v, err); /* FRAME: a hint */
    case 'K': return op_int(p, 1, err);
    case 'M': return op_int(p, 2, err);
    case 'J': return op_int(p, 4, err);
    case 0x8a: return op_long(p, 1, err);
    case 0x8b: return op_long(p, 4, err);
    case 'G': return op_float(p, err);
    case 'X': return op_str(p, 4, err);
    case 0x8c: return op_str(p, 1, err);
    case 0x8d: return op_str(p, 8, err);
    case 'U': return op_str(p, 1, err); /* Python 2's byte strings */
    case 'T': return op_str(p, 4, err);
    case 'c': return op_global(p, err);
    case 0x93: return op_stack_global(p, err);
    case 'R': return op_reduce(p, err);
    case 'b': return op_build(p, err);
    case 'Q': return op_persistent(p, err);
    default: return op_simple(p, op, err);
    }
}

int qn_pickle_read(qn_pickle *p, qn_pickle_value **out, qn_err *err)
{
    const char *op;

    p->stack.n = p->marks.n = p->memo.n = 0;
    for (;;) {
        QN_TRY(take(p, 1, &op, err));
        if (*op == '.')
            break;
        QN_TRY(op_any(p, (unsigned char)*op, err));
    }
    if (p->stack.n != 1 || p->marks.n != 0)
        return wrong(p, "it ends with more or less than one value", err);
    *out = p->stack.v[0];
    return 0;
}

const qn_pickle_value *qn_pickle_get(const qn_pickle_value *dict,
                                     const char *key)
{
    if (dict->kind != QN_PK_DICT)
        return NULL;
    for (size_t i = 0; i + 1 < dict->u.list.n; i += 2) {
        const qn_pickle_value *k = dict->u.list.v[i];
        if (k->kind == QN_PK_STR && qn_view_eqs(k->u.str, key))
            return dict->u.list.v[i + 1];
    }
    return NULL;
}
