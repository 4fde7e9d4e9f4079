/* torch.c: the tensors of a file that torch.save made (pytorch_model.bin).
 *
 *   since 1.6  a zip archive: <prefix>/data.pkl describes a dict of tensors,
 *              <prefix>/data/<key> is the storage of that key, stored as it is;
 *              <prefix>/byteorder, if there, says "little"
 *   before     five pickles in a row: a magic number, a version, facts of the
 *              machine, the dict, the keys of the storages; then each storage:
 *              i64 number of elements, and those
 *
 * Several tensors may share a storage (tied weights); each is listed by itself,
 * so tensors of such a file may overlap. Entries of the dict that are no
 * tensors are left out. */
#include "ckpt/ckpt_int.h"
#include "ckpt/le.h"
#include "ckpt/pickle.h"
#include "ckpt/zip.h"

#include "base/utf8.h"

#include <inttypes.h>
#include <stdlib.h>

#define DATA_PKL "/data.pkl"
#define MAGIC ((int64_t)UINT64_C(0xa86a20f9469cfc6c)) /* its low 64 bits */
#define VERSION 1001

typedef struct placed_storage {
    uint64_t offset, bytes;
} placed_storage;

typedef struct torch_file {
    qn_ckpt *ck;
    const qn_file *f;
    int file;
    bool legacy;
    qn_pickle pickle;
    qn_zip zip;
    qn_view prefix;  /* of the archive's entries */
    qn_map storages; /* legacy: key -> index into placed */
    QN_VEC(placed_storage) placed;
    qn_err *err;
} torch_file;

/* ---- storages ---------------------------------------------------------- */

static uint64_t storage_bytes(const qn_pickle_storage *s)
{
    return s->numel * (uint64_t)qn_dtype_get(s->dtype)->block_bytes;
}

static int storage_missing(const torch_file *t, const qn_pickle_storage *s)
{
    return qn_fail(t->err, QN_EFORMAT,
                   "%s: storage %.*s is missing or shorter than its tensors; "
                   "finish the download or fetch it again",
                   t->f->path, (int)QN_MIN(s->key.n, 100), s->key.p);
}

/* Where the data of a storage begins; all of it lies in the file. */
static int find_storage(const torch_file *t, const qn_pickle_storage *s,
                        uint64_t *offset)
{
    const qn_pickle_storage *root = s->root ? s->root : s;
    const qn_zip_entry *e;
    qn_str name;

    if (t->legacy) {
        uint64_t i;
        if (!qn_map_get(&t->storages, root->key.p, root->key.n, &i) ||
            storage_bytes(root) > t->placed.v[i].bytes)
            return storage_missing(t, root);
        *offset = t->placed.v[i].offset +
                  s->root_offset *
                      (uint64_t)qn_dtype_get(s->dtype)->block_bytes;
        return 0;
    }
    qn_str_init(&name);
    qn_str_addv(&name, t->prefix);
    qn_str_adds(&name, "/data/");
    qn_str_addv(&name, root->key);
    e = qn_zip_find(&t->zip, name.p, name.n);
    qn_str_deinit(&name);
    if (!e || s->root || e->size < storage_bytes(s))
        return storage_missing(t, root);
    return qn_zip_data(&t->zip, e, offset, t->err);
}

/* ---- tensors ----------------------------------------------------------- */

/* Sets t->strided unless the elements follow each other. */
static void set_strides(qn_ckpt *ck, const qn_pickle_tensor *from, qn_tensor *t)
{
    uint64_t size = (uint64_t)qn_dtype_get(t->dtype)->block_bytes;
    uint64_t next = 1;
    bool packed = true;
    qn_strided s = {{0}, size};

    for (int i = t->n_dims - 1; i >= 0; i--) {
        if (t->shape[i] != 1)
            packed = packed && (uint64_t)from->stride[i] == next;
        next *= (uint64_t)t->shape[i]; /* measured: no overflow */
        s.stride[i] = (uint64_t)from->stride[i] * size;
        if (t->shape[i] > 1)
            s.span += ((uint64_t)t->shape[i] - 1) * s.stride[i];
    }
    if (packed || t->n_elems == 0)
        return;
    qn_strided *own = qn_arena_alloc(&ck->arena, sizeof *own);
    *own = s;
    t->strided = own;
}

static int make_tensor(torch_file *tf, qn_view name,
                       const qn_pickle_tensor *from, qn_tensor *t)
{
    uint64_t size = (uint64_t)qn_dtype_get(from->dtype)->block_bytes, data;

    if (name.n == 0 || memchr(name.p, 0, name.n) ||
        !qn_utf8_valid(name.p, name.n))
        return qn_fail(tf->err, QN_EFORMAT,
                       "%s: a tensor whose name is not a text", tf->f->path);
    *t = (qn_tensor){
        .name = qn_arena_strndup(&tf->ck->arena, name.p, name.n),
        .dtype = from->dtype,
        .format = qn_dtype_get(from->dtype)->name,
        .n_dims = from->n_dims,
        .file = tf->file,
    };
    memcpy(t->shape, from->shape, sizeof t->shape);
    QN_TRY(qn_ckpt_measure(t, tf->f->path, tf->err));
    QN_TRY(find_storage(tf, from->storage, &data));
    t->offset = t->n_elems ? data + from->offset * size : data;
    set_strides(tf->ck, from, t);
    return 0;
}

static int add_dict(torch_file *tf, const qn_pickle_value *dict,
                    const json_t *weight_map, const char *shard)
{
    size_t n = dict->u.list.n / 2, n_all = 0;
    qn_tensor *all;
    int rc = 0;

    if (dict->kind != QN_PK_DICT)
        return qn_fail(tf->err, QN_EFORMAT,
                       "%s: it holds no dict of tensors; only checkpoints are "
                       "opened, not whole models",
                       tf->f->path);
    all = qn_alloc(n, sizeof *all);
    if (!all)
        return qn_fail(tf->err, QN_ENOMEM, "%s: no memory to list %zu tensors",
                       tf->f->path, n);
    for (size_t i = 0; i < n && rc >= 0; i++) {
        const qn_pickle_value *k = dict->u.list.v[2 * i];
        const qn_pickle_value *v = dict->u.list.v[2 * i + 1];
        if (k->kind == QN_PK_STR && v->kind == QN_PK_TENSOR)
            rc = make_tensor(tf, k->u.str, v->u.tensor, &all[n_all++]);
    }
    if (rc >= 0 && n_all)
        qsort(all, n_all, sizeof *all, qn_ckpt_cmp_offset);
    if (rc >= 0)
        rc = qn_ckpt_reserve(tf->ck, n_all, tf->err);
    for (size_t i = 0; i < n_all && rc >= 0; i++) {
        const char *home = json_string_value(
            json_object_get(weight_map, all[i].name));
        if (!home || !shard || strcmp(home, shard) == 0)
            rc = qn_ckpt_add_tensor(tf->ck, &all[i], tf->err);
    }
    free(all);
    return rc;
}

/* ---- the archive ------------------------------------------------------- */

static int check_byteorder(const torch_file *tf)
{
    char text[8] = "";
    const qn_zip_entry *e;
    uint64_t at;
    qn_str name;

    qn_str_init(&name);
    qn_str_addv(&name, tf->prefix);
    qn_str_adds(&name, "/byteorder");
    e = qn_zip_find(&tf->zip, name.p, name.n);
    qn_str_deinit(&name);
    if (!e)
        return 0;
    QN_TRY(qn_zip_data(&tf->zip, e, &at, tf->err));
    QN_TRY(qn_file_pread(tf->f, text, at,
                         (size_t)QN_MIN(e->size, sizeof text - 1), tf->err));
    if (strcmp(text, "little") == 0)
        return 0;
    return qn_fail(tf->err, QN_EUNSUP,
                   "%s was saved on a big-endian machine; use the safetensors "
                   "revision",
                   tf->f->path);
}

static int read_archive(torch_file *tf, qn_pickle_value **dict)
{
    const qn_zip_entry *pkl = NULL;
    const size_t tail = sizeof DATA_PKL - 1;
    uint64_t at;

    QN_TRY(qn_zip_open(&tf->zip, tf->f, tf->err));
    for (size_t i = 0; i < tf->zip.n; i++) {
        const qn_zip_entry *e = &tf->zip.entries[i];
        if (e->name.n <= tail ||
            memcmp(e->name.p + e->name.n - tail, DATA_PKL, tail) != 0)
            continue;
        if (pkl)
            return qn_fail(tf->err, QN_EFORMAT,
                           "%s: an archive with two data.pkl", tf->f->path);
        pkl = e;
    }
    if (!pkl)
        return qn_fail(tf->err, QN_EFORMAT,
                       "%s is a zip archive without data.pkl, not one that "
                       "torch.save made",
                       tf->f->path);
    tf->prefix = qn_view_of(pkl->name.p, pkl->name.n - tail);
    QN_TRY(check_byteorder(tf));
    QN_TRY(qn_zip_data(&tf->zip, pkl, &at, tf->err));
    QN_TRY(qn_pickle_init(&tf->pickle, tf->f, at, pkl->size, tf->f->path,
                          tf->err));
    return qn_pickle_read(&tf->pickle, dict, tf->err);
}

/* ---- before there were archives ---------------------------------------- */

static int read_int(torch_file *tf, int64_t *out)
{
    qn_pickle_value *v;

    QN_TRY(qn_pickle_read(&tf->pickle, &v, tf->err));
    *out = v->kind == QN_PK_INT ? v->u.i : 0;
    return 0;
}

/* The storage whose header is at *at; moves *at behind its data. */
static int place_one(torch_file *tf, const qn_pickle_storage *s, uint64_t *at)
{
    unsigned char head[8];
    uint64_t numel, bytes = storage_bytes(s);

    if (*at > tf->f->size || tf->f->size - *at < sizeof head)
        return storage_missing(tf, s);
    QN_TRY(qn_file_pread(tf->f, head, *at, sizeof head, tf->err));
    numel = qn_le(head, sizeof head);
    *at += sizeof head;
    if (numel != s->numel || numel > UINT64_MAX / 16 ||
        bytes > tf->f->size - *at)
        return storage_missing(tf, s);
    if (!qn_map_add(&tf->storages, s->key.p, s->key.n, tf->placed.n))
        return qn_fail(tf->err, QN_EFORMAT, "%s: storage %.*s comes twice",
                       tf->f->path, (int)QN_MIN(s->key.n, 100), s->key.p);
    qn_vec_push(&tf->placed, (placed_storage){*at, bytes});
    *at += bytes;
    return 0;
}

/* Walks over the storages behind the last pickle. */
static int place_storages(torch_file *tf, const qn_pickle_value *keys)
{
    const qn_pickle *p = &tf->pickle;
    uint64_t at = p->pos, k;
    qn_map by_key;
    int rc = 0;

    if (keys->kind != QN_PK_LIST)
        return qn_fail(tf->err, QN_EFORMAT, "%s: no list of storages",
                       tf->f->path);
    qn_map_init(&by_key, p->storages.n);
    for (size_t i = 0; i < p->storages.n; i++)
        qn_map_add(&by_key, p->storages.v[i]->key.p, p->storages.v[i]->key.n,
                   i);
    for (size_t i = 0; i < keys->u.list.n && rc >= 0; i++) {
        const qn_pickle_value *key = keys->u.list.v[i];
        const qn_pickle_storage *s;
        if (key->kind != QN_PK_STR ||
            !qn_map_get(&by_key, key->u.str.p, key->u.str.n, &k)) {
            rc = qn_fail(tf->err, QN_EFORMAT,
                         "%s: a storage that no tensor has", tf->f->path);
            break;
        }
        s = p->storages.v[k];
        rc = place_one(tf, s->root ? s->root : s, &at);
    }
    qn_map_deinit(&by_key);
    return rc;
}

static int read_legacy(torch_file *tf, qn_pickle_value **dict)
{
    const qn_pickle_value *little;
    qn_pickle_value *facts, *keys;
    int64_t magic, version;

    QN_TRY(qn_pickle_init(&tf->pickle, tf->f, 0, tf->f->size, tf->f->path,
                          tf->err));
    QN_TRY(read_int(tf, &magic));
    if (magic != MAGIC)
        return qn_fail(tf->err, QN_EFORMAT,
                       "%s is a Python pickle, but none that torch.save made",
                       tf->f->path);
    QN_TRY(read_int(tf, &version));
    if (version != VERSION)
        return qn_fail(tf->err, QN_EUNSUP,
                       "%s: version %" PRId64 " of torch.save's format, %d is "
                       "supported",
                       tf->f->path, version, VERSION);
    QN_TRY(qn_pickle_read(&tf->pickle, &facts, tf->err));
    little = qn_pickle_get(facts, "little_endian");
    if (!little || little->kind != QN_PK_BOOL || !little->u.b)
        return qn_fail(tf->err, QN_EUNSUP,
                       "%s was saved on a big-endian machine; use the "
                       "safetensors revision",
                       tf->f->path);
    QN_TRY(qn_pickle_read(&tf->pickle, dict, tf->err));
    QN_TRY(qn_pickle_read(&tf->pickle, &keys, tf->err));
    return place_storages(tf, keys);
}

/* ---- the file ---------------------------------------------------------- */

static int add_file(torch_file *tf, const json_t *weight_map, const char *shard)
{
    qn_pickle_value *dict;
    char head[4];

    if (tf->f->size < sizeof head) {
        QN_TRY(qn_ckpt_explain(tf->f, "a torch file", tf->err));
        return qn_fail(tf->err, QN_EFORMAT, "%s is not a torch file",
                       tf->f->path);
    }
    QN_TRY(qn_file_pread(tf->f, head, 0, sizeof head, tf->err));
    if (memcmp(head, "PK\3\4", 4) == 0) {
        QN_TRY(read_archive(tf, &dict));
    } else if (memcmp(head, "\x80\2", 2) == 0) {
        tf->legacy = true;
        QN_TRY(read_legacy(tf, &dict));
    } else {
        QN_TRY(qn_ckpt_explain(tf->f, "a torch file", tf->err));
        return qn_fail(tf->err, QN_EFORMAT,
                       "%s is not a file that torch.save made", tf->f->path);
    }
    return add_dict(tf, dict, weight_map, shard);
}

int qn_torch_add(qn_ckpt *ck, const char *path, const json_t *weight_map,
                 const char *shard, qn_err *err)
{
    torch_file tf = {.ck = ck, .err = err};
    int rc;

    QN_TRY(qn_ckpt_add_file(ck, path, &tf.file, err));
    tf.f = &ck->files.v[tf.file];
    qn_map_init(&tf.storages, 0);
    qn_map_init(&tf.zip.by_name, 0);
    rc = add_file(&tf, weight_map, shard);
    qn_map_deinit(&tf.storages);
    qn_vec_deinit(&tf.placed);
    qn_zip_deinit(&tf.zip);
    qn_pickle_deinit(&tf.pickle);
    return rc;
}
