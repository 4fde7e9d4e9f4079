/* qmat.h - a quantized matrix as checkpoints of the hub hold it: several
 * tensors (the parts) that together say n_out x n_in numbers.
 *
 * Every such scheme says, per element, a code of up to 8 bits, and per group
 * of elements along k a scale and maybe a zero point:
 *
 *   w[r][k] = round( value(code) * scale[r][g(k)] )
 *   value   = table[code], or code - zero[r][g(k)] where there is no table
 *   g(k)    = g_idx[k], or k / group where there is no g_idx
 *
 * A scheme (qn_qscheme) is one file under quant/, named hf_*: the names of its
 * parts, `plan`, which checks their shapes and fills in the constants, and
 * `unpack`, which takes codes, scales and zeros out of the parts. Everything
 * else (decoding here, the layouts of kernels elsewhere) asks only for those.
 *
 * The way back, for schemes that are written, too:
 *   lay -> (quantize -> pack) of any pieces of rows -> finish
 *
 * Ownership: a qn_qmat borrows its parts. Threads: pure functions. */
#ifndef QN_TENSOR_QMAT_H
#define QN_TENSOR_QMAT_H

#include "base/json.h"
#include "tensor/dtype.h"

#define QN_QPARTS 8 /* at most, per scheme */
#define QN_QDIMS 4

/* One tensor of the checkpoint. */
typedef struct qn_qpart {
    const char *name; /* NULL: the checkpoint has none such */
    qn_dtype dtype;
    int n_dims;
    int64_t shape[QN_QDIMS];
    uint64_t n_elems, n_bytes;
    const void *p; /* NULL in plan, unless the part's row says `small` */
    void *out;     /* where pack and finish write, zeroed before       */
} qn_qpart;

struct qn_qscheme;

typedef struct qn_qmat {
    const struct qn_qscheme *scheme;
    const char *name; /* of the module, for messages */
    qn_qpart part[QN_QPARTS];

    /* What plan fills in. */
    int n_dims;
    int64_t shape[QN_QDIMS]; /* of the matrix: [n_out, n_in] or [n, out, in] */
    int64_t n_out, n_in;     /* all rows, of all n */
    int bits;                /* codes are below 1 << bits */
    int64_t group;           /* along k; the last one may be shorter */
    const float *table;      /* [1 << bits], or NULL; or its place: */
    int table_part;          /* the part that is the table, or -1 */
    bool zeros;              /* without a table: zero points differ by group */
    float zero;              /* else the one of all */
    int g_idx_part;          /* i32 [n_in], or -1 */
    const int32_t *order;    /* [n_in] columns by their groups, which have
                                `group` each (the last may have fewer); NULL:
                                as they stand, or groups are of other sizes */
    qn_dtype round;          /* what values are rounded to; QN_F32: nothing */
    int64_t block[2];        /* the scheme's own: rows and columns of a scale */
    double extra;            /* the scheme's own */

    /* To be written. stored: what scales of integers are rounded to;
     * work_bytes of memory, zeroed, that pack and finish share. */
    qn_dtype stored;
    size_t work_bytes;
    void *work;
} qn_qmat;

typedef struct qn_qpart_row {
    const char *suffix; /* of the tensor's name, after the module's */
    bool required;
    bool small; /* read before plan is called */
} qn_qpart_row;

/* What unpack fills, for rows back to back. */
typedef struct qn_qrows {
    uint8_t *codes; /* [n_row][n_in]    */
    float *scales;  /* [n_row][n_group] */
    float *zeros;   /* [n_row][n_group], if qn_qmat.zeros */
} qn_qrows;

typedef struct qn_qscheme {
    const char *name;   /* "gptq": format of the tensor in listings */
    const char *method; /* quant_method of quantization_config */
    /* The first is the main part: its presence, with those required, makes a
     * module quantized. */
    qn_qpart_row part[QN_QPARTS];
    bool (*is_main)(const qn_qpart *main); /* NULL: any of that name */
    /* Checks every part's type and shape against each other, so that unpack
     * stays inside of them. `q`: the quantization_config. */
    int (*plan)(qn_qmat *m, const json_t *q, qn_err *err);
    void (*unpack)(const qn_qmat *m, int64_t row, int64_t n_row, qn_qrows *out);

    /* Writing; NULL: the scheme is only read. lay fills parts (types, shapes,
     * bytes) and the rest of m from scheme, n_out, n_in, bits, group, block,
     * zeros and round (the type of the unquantized weights), or says what of
     * them cannot be (QN_EUNSUP). */
    int (*lay)(qn_qmat *m, qn_err *err);
    /* Codes, scales and zeros of rows w [n_row, n_in], to nearest. */
    void (*quantize)(const qn_qmat *m, const float *w, int64_t n_row,
                     qn_qrows *out);
    /* Puts them into the parts. Pieces of rows start at multiples of
     * qn_qmat_row_unit; different pieces on any threads. */
    void (*pack)(const qn_qmat *m, int64_t row, int64_t n_row,
                 const qn_qrows *rows);
    void (*finish)(const qn_qmat *m); /* after all rows; may be NULL */
    int row_unit; /* 0: 1; -1: as many as are whole blocks of the flat matrix; -2: block[0] */
} qn_qscheme;

/* All schemes, NULL behind the last. */
const qn_qscheme *qn_qscheme_at(int i);
/* Whether quantization_config is one that can be read: QN_EUNSUP with the
 * methods that can. */
int qn_qscheme_check(const json_t *q, qn_err *err);

int64_t qn_qmat_n_group(const qn_qmat *m);
/* scheme->plan and what has to hold of any. */
int qn_qmat_plan(qn_qmat *m, const json_t *q, qn_err *err);
/* Checks what stands in the parts (m->part[].p), not only in their shapes:
 * before the first unpack. */
int qn_qmat_check(const qn_qmat *m, qn_err *err);
/* Bytes of scratch for one row of qn_qmat_decode. */
size_t qn_qmat_scratch(const qn_qmat *m, int64_t n_row);
/* scheme->lay, with sizes counted. */
int qn_qmat_lay(qn_qmat *m, qn_err *err);
uint64_t qn_qmat_bytes(const qn_qmat *m); /* of all parts */
int64_t qn_qmat_row_unit(const qn_qmat *m);
/* Rows [row, row + n_row) as f32 [n_row, n_in]. */
void qn_qmat_decode(const qn_qmat *m, int64_t row, int64_t n_row, void *scratch,
                    float *dst);

#endif
