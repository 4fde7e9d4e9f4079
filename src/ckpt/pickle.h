/* pickle.h - the part of Python's pickle in which torch.save describes tensors,
 * and nothing else.
 *
 * A pickle is a program that builds objects and may call any function of any
 * module. Here it is read as data: numbers, texts, tuples, lists, dicts, and
 * calls of six functions whose results are tensors or dicts, which are
 * computed here. Whatever else it asks for (another function, another opcode)
 * is an error that names it. Nothing recurses; memory is bounded by the length
 * of the pickle and by QN_PICKLE_VALUES_MAX.
 *
 * Ownership: all values belong to the reader and die with it. */
#ifndef QN_CKPT_PICKLE_H
#define QN_CKPT_PICKLE_H

#include "base/arena.h"
#include "base/file.h"
#include "base/str.h"
#include "base/vec.h"
#include "ckpt/ckpt.h"

#define QN_PICKLE_BYTES_MAX ((uint64_t)64 << 20)
/* Values made, and put into others: some 30 for a tensor. */
#define QN_PICKLE_VALUES_MAX (8 << 20)

typedef enum qn_pickle_kind {
    QN_PK_NONE,
    QN_PK_BOOL,
    QN_PK_INT,
    QN_PK_FLOAT,
    QN_PK_STR,
    QN_PK_TUPLE,
    QN_PK_LIST,
    QN_PK_DICT,
    QN_PK_GLOBAL,
    QN_PK_STORAGE,
    QN_PK_TENSOR
} qn_pickle_kind;

typedef struct qn_pickle_value qn_pickle_value;

/* A run of numbers of one type in the checkpoint. */
typedef struct qn_pickle_storage {
    qn_dtype dtype;
    qn_view key;    /* its name in the archive */
    uint64_t numel; /* elements of dtype */
    /* In files from before zip archives a storage may be a part of another. */
    const struct qn_pickle_storage *root; /* NULL: none */
    uint64_t root_offset;
} qn_pickle_storage;

/* Element (i, j, ...) is element offset + i * stride[0] + j * stride[1] + ...
 * of the storage; all of them lie in it. */
typedef struct qn_pickle_tensor {
    const qn_pickle_storage *storage;
    qn_dtype dtype;
    uint64_t offset;
    int n_dims;
    int64_t shape[QN_MAX_DIMS], stride[QN_MAX_DIMS];
} qn_pickle_tensor;

struct qn_pickle_value {
    qn_pickle_kind kind;
    union {
        bool b;
        int64_t i;
        double f;
        qn_view str;
        struct {
            size_t n, cap; /* of a dict: keys and values by turns */
            qn_pickle_value **v;
        } list; /* of TUPLE, LIST, DICT */
        const struct qn_pickle_global *global;
        const qn_pickle_storage *storage;
        const qn_pickle_tensor *tensor;
    } u;
};

typedef struct qn_pickle {
    const char *name; /* for messages */
    const qn_file *f;
    uint64_t begin, size; /* the pickle's place: [begin, begin + size) */
    char *buf;            /* grows by reading, never moves */
    uint64_t have, pos;
    qn_arena arena;
    int64_t n_values;
    QN_VEC(qn_pickle_value *) stack;
    QN_VEC(size_t) marks;
    QN_VEC(qn_pickle_value *) memo;
    QN_VEC(const qn_pickle_storage *) storages; /* all, in order of mention */
} qn_pickle;

/* Prepares to read pickles from a part of a file. On failure too the caller
 * ends it with qn_pickle_deinit. */
int qn_pickle_init(qn_pickle *p, const qn_file *f, uint64_t begin,
                   uint64_t size, const char *name, qn_err *err);
void qn_pickle_deinit(qn_pickle *p);
/* Reads one pickle, from its first byte to its STOP; pos is then behind it. */
int qn_pickle_read(qn_pickle *p, qn_pickle_value **out, qn_err *err);
/* The value of a text key, or NULL. */
const qn_pickle_value *qn_pickle_get(const qn_pickle_value *dict,
                                     const char *key);

#endif
