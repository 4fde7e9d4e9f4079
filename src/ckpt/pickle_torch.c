/* pickle_torch.c: what a pickle may name and call, and what comes of it.
 *
 * Names: the storage classes of torch (a type of number each), torch.dtype's,
 * collections.OrderedDict. Calls, with the arguments that torch/_utils.py has:
 *   OrderedDict() or OrderedDict([(key, value), ...])
 *   _rebuild_tensor(storage, offset, size, stride)
 *   _rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks,
 *                      [metadata])
 *   _rebuild_tensor_v3(storage, offset, size, stride, requires_grad, hooks,
 *                      dtype, [metadata])
 *   _rebuild_parameter(tensor, requires_grad, hooks)
 *   _rebuild_parameter_with_state(tensor, requires_grad, hooks, state)
 * A persistent id is ("storage", class, key, location, numel), in files from
 * before zip archives with a sixth: None or (view key, offset, size). */
#include "ckpt/pickle_int.h"

#include "base/mem.h"

#include <inttypes.h>

#define UTILS "torch._utils"
#define STORAGE(name, type)                                  \
    {"torch", name "Storage", QN_PK_NO_CALL, type},          \
    {                                                        \
        "torch.storage", name "Storage", QN_PK_NO_CALL, type \
    }
#define DTYPE(name, type)                  \
    {                                      \
        "torch", name, QN_PK_NO_CALL, type \
    }

static const qn_pickle_global globals[] = {
    {"collections", "OrderedDict", QN_PK_ORDERED_DICT, QN_DTYPE_N},
    {UTILS, "_rebuild_tensor", QN_PK_TENSOR_V1, QN_DTYPE_N},
    {UTILS, "_rebuild_tensor_v2", QN_PK_TENSOR_V2, QN_DTYPE_N},
    {UTILS, "_rebuild_tensor_v3", QN_PK_TENSOR_V3, QN_DTYPE_N},
    {UTILS, "_rebuild_parameter", QN_PK_PARAMETER, QN_DTYPE_N},
    {UTILS, "_rebuild_parameter_with_state", QN_PK_PARAMETER, QN_DTYPE_N},
    STORAGE("Float", QN_F32),
    STORAGE("Half", QN_F16),
    STORAGE("BFloat16", QN_BF16),
    STORAGE("Double", QN_F64),
    STORAGE("Char", QN_I8),
    STORAGE("Byte", QN_U8),
    STORAGE("Short", QN_I16),
    STORAGE("Int", QN_I32),
    STORAGE("Long", QN_I64),
    STORAGE("Bool", QN_BOOL),
    STORAGE("ComplexFloat", QN_C64),
    STORAGE("Untyped", QN_U8),
    DTYPE("float32", QN_F32),
    DTYPE("float16", QN_F16),
    DTYPE("bfloat16", QN_BF16),
    DTYPE("float64", QN_F64),
    DTYPE("float8_e4m3fn", QN_F8_E4M3),
    DTYPE("float8_e5m2", QN_F8_E5M2),
    DTYPE("float8_e4m3fnuz", QN_F8_E4M3FNUZ),
    DTYPE("float8_e5m2fnuz", QN_F8_E5M2FNUZ),
    DTYPE("float8_e8m0fnu", QN_F8_E8M0),
    DTYPE("int8", QN_I8),
    DTYPE("uint8", QN_U8),
    DTYPE("int16", QN_I16),
    DTYPE("uint16", QN_U16),
    DTYPE("int32", QN_I32),
    DTYPE("uint32", QN_U32),
    DTYPE("int64", QN_I64),
    DTYPE("uint64", QN_U64),
    DTYPE("bool", QN_BOOL),
};

const qn_pickle_global *qn_pickle_find(qn_view module, qn_view name)
{
    for (size_t i = 0; i < QN_COUNTOF(globals); i++)
        if (qn_view_eqs(module, globals[i].module) &&
            qn_view_eqs(name, globals[i].name))
            return &globals[i];
    return NULL;
}

static int wrong(const qn_pickle *p, const char *what, qn_err *err)
{
    return qn_fail(err, QN_EFORMAT,
                   "%s: its pickle is damaged before byte %" PRIu64 ": %s",
                   p->name, p->pos, what);
}

/* ---- storages ----------------------------------------------------------- */

static bool as_count(const qn_pickle_value *v, uint64_t *out)
{
    if (v->kind != QN_PK_INT || v->u.i < 0)
        return false;
    *out = (uint64_t)v->u.i;
    return true;
}

/* A number or a text that names a storage: both as text. */
static bool as_key(qn_pickle *p, const qn_pickle_value *v, qn_view *out)
{
    qn_str s;

    if (v->kind == QN_PK_STR) {
        *out = v->u.str;
        return out->n > 0;
    }
    if (v->kind != QN_PK_INT)
        return false;
    qn_str_init(&s);
    qn_str_addf(&s, "%" PRId64, v->u.i);
    *out = qn_view_of(qn_arena_strndup(&p->arena, s.p, s.n), s.n);
    qn_str_deinit(&s);
    return true;
}

/* (view key, offset, size) of the storage: the persistent id's is the whole. */
static int read_view(qn_pickle *p, const qn_pickle_value *view,
                     qn_pickle_storage *s, qn_err *err)
{
    qn_pickle_storage *root;
    uint64_t offset, size;

    if (view->kind == QN_PK_NONE)
        return 0;
    if (view->kind != QN_PK_TUPLE || view->u.list.n != 3 ||
        !as_count(view->u.list.v[1], &offset) ||
        !as_count(view->u.list.v[2], &size) || offset > s->numel ||
        size > s->numel - offset)
        return wrong(p, "a view of a storage that lies outside of it", err);
    root = qn_arena_alloc(&p->arena, sizeof *root);
    *root = *s;
    s->root = root;
    s->root_offset = offset;
    s->numel = size;
    return 0;
}

int qn_pickle_persistent(qn_pickle *p, const qn_pickle_value *id,
                         qn_pickle_value **out, qn_err *err)
{
    qn_pickle_value *const *v = id->u.list.v;
    qn_pickle_storage s = {0}, *kept;

    if (id->kind != QN_PK_TUPLE || id->u.list.n < 5 || id->u.list.n > 6 ||
        v[0]->kind != QN_PK_STR || !qn_view_eqs(v[0]->u.str, "storage"))
        return wrong(p, "a persistent id that is no storage", err);
    if (v[1]->kind != QN_PK_GLOBAL || v[1]->u.global->dtype == QN_DTYPE_N)
        return wrong(p, "a storage of no type", err);
    s.dtype = v[1]->u.global->dtype;
    if (!as_key(p, v[2], &s.key) || !as_count(v[4], &s.numel))
        return wrong(p, "a storage without a key or a size", err);
    if (s.numel > UINT64_MAX / 16) /* its bytes can be counted */
        return wrong(p, "a storage of impossible size", err);
    if (id->u.list.n == 6)
        QN_TRY(read_view(p, v[5], &s, err));
    QN_TRY(qn_pickle_new(p, QN_PK_STORAGE, out, err));
    kept = qn_arena_alloc(&p->arena, sizeof *kept);
    *kept = s;
    (*out)->u.storage = kept;
    qn_vec_push(&p->storages, (const qn_pickle_storage *)kept);
    return 0;
}

/* ---- tensors ------------------------------------------------------------ */

static bool read_numbers(const qn_pickle_value *t, int64_t *out, size_t n)
{
    uint64_t v;

    if (t->kind != QN_PK_TUPLE || t->u.list.n != n)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!as_count(t->u.list.v[i], &v))
            return false;
        out[i] = (int64_t)v;
    }
    return true;
}

/* All elements lie in the storage; sizes in bytes, for dtype may not be the
 * storage's. */
static int check_extent(const qn_pickle *p, const qn_pickle_tensor *t,
                        qn_err *err)
{
    uint64_t last = t->offset, step, room;

    room = t->storage->numel *
           (uint64_t)qn_dtype_get(t->storage->dtype)->block_bytes /
           (uint64_t)qn_dtype_get(t->dtype)->block_bytes;
    for (int i = 0; i < t->n_dims; i++)
        if (t->shape[i] == 0)
            return 0;
    for (int i = 0; i < t->n_dims; i++)
        if (!qn_mul_u64((uint64_t)t->shape[i] - 1, (uint64_t)t->stride[i],
                        &step) ||
            !qn_add_u64(last, step, &last))
            last = UINT64_MAX;
    if (last < room)
        return 0;
    return wrong(p, "a tensor that lies outside of its storage", err);
}

static int rebuild(qn_pickle *p, const qn_pickle_value *args, size_t least,
                   size_t most, const qn_pickle_value *dtype,
                   qn_pickle_value **out, qn_err *err)
{
    qn_pickle_value *const *v = args->u.list.v;
    qn_pickle_tensor t = {0}, *kept;
    size_t n;

    if (args->u.list.n < least || args->u.list.n > most)
        return wrong(p, "a tensor of other arguments than it takes", err);
    if (v[0]->kind != QN_PK_STORAGE || v[2]->kind != QN_PK_TUPLE)
        return wrong(p, "a tensor without storage or shape", err);
    t.storage = v[0]->u.storage;
    t.dtype = t.storage->dtype;
    if (dtype) {
        if (dtype->kind != QN_PK_GLOBAL || dtype->u.global->dtype == QN_DTYPE_N)
            return wrong(p, "a tensor of no type", err);
        t.dtype = dtype->u.global->dtype;
    }
    n = v[2]->u.list.n;
    if (n > QN_MAX_DIMS)
        return qn_fail(err, QN_EUNSUP,
                       "%s: a tensor of %zu dimensions, at most %d are "
                       "supported",
                       p->name, n, QN_MAX_DIMS);
    t.n_dims = (int)n;
    if (!as_count(v[1], &t.offset) || !read_numbers(v[2], t.shape, n) ||
        !read_numbers(v[3], t.stride, n))
        return wrong(p, "a tensor whose shape and strides are no numbers", err);
    QN_TRY(check_extent(p, &t, err));
    QN_TRY(qn_pickle_new(p, QN_PK_TENSOR, out, err));
    kept = qn_arena_alloc(&p->arena, sizeof *kept);
    *kept = t;
    (*out)->u.tensor = kept;
    return 0;
}

/* OrderedDict(), or of a list of pairs. */
static int ordered_dict(qn_pickle *p, const qn_pickle_value *args,
                        qn_pickle_value **out, qn_err *err)
{
    const qn_pickle_value *list = args->u.list.n ? args->u.list.v[0] : NULL;
    qn_pickle_value *d;

    QN_TRY(qn_pickle_new(p, QN_PK_DICT, &d, err));
    *out = d;
    if (!list)
        return 0;
    if (args->u.list.n != 1 || list->kind != QN_PK_LIST)
        return wrong(p, "a dict of something else than pairs", err);
    QN_TRY(qn_pickle_count(p, list->u.list.n, err));
    d->u.list.cap = 2 * list->u.list.n;
    d->u.list.v = qn_arena_calloc(&p->arena, d->u.list.cap + 1,
                                  sizeof(qn_pickle_value *));
    for (size_t i = 0; i < list->u.list.n; i++) {
        const qn_pickle_value *pair = list->u.list.v[i];
        if ((pair->kind != QN_PK_TUPLE && pair->kind != QN_PK_LIST) ||
            pair->u.list.n != 2)
            return wrong(p, "a dict of something else than pairs", err);
        d->u.list.v[d->u.list.n++] = pair->u.list.v[0];
        d->u.list.v[d->u.list.n++] = pair->u.list.v[1];
    }
    return 0;
}

int qn_pickle_reduce(qn_pickle *p, const qn_pickle_value *callee,
                     const qn_pickle_value *args, qn_pickle_value **out,
                     qn_err *err)
{
    const qn_pickle_global *g = callee->u.global;
    size_t n = args->u.list.n;

    switch (g->call) {
    case QN_PK_ORDERED_DICT: return ordered_dict(p, args, out, err);
    case QN_PK_TENSOR_V1: return rebuild(p, args, 4, 4, NULL, out, err);
    case QN_PK_TENSOR_V2: return rebuild(p, args, 6, 7, NULL, out, err);
    case QN_PK_TENSOR_V3:
        return rebuild(p, args, 7, 8, n > 6 ? args->u.list.v[6] : NULL, out,
                       err);
    case QN_PK_PARAMETER:
        if (n < 3 || n > 4 || args->u.list.v[0]->kind != QN_PK_TENSOR)
            return wrong(p, "a parameter that is no tensor", err);
        *out = args->u.list.v[0];
        return 0;
    case QN_PK_NO_CALL: break;
    }
    return qn_fail(err, QN_EUNSUP,
                   "%s: its pickle calls %s.%s, which is a type; it was not "
                   "run",
                   p->name, g->module, g->name);
}
