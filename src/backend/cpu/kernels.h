/* kernels.h - the table of kernels, and what they agree on.
 *
 * qn_kernels is filled with the plain C functions of ref/ first; then each
 * instruction set that the machine has (and the cap allows) overrides what it
 * does better, in rising order. What ended up in the table can be printed.
 * Kernels are void, allocate nothing, have no globals and read no row that
 * they were not given. README.md draws the layouts.
 *
 * The law of one order: lane l of a panel is one output row, and every kernel
 * of a layout walks k upward with one accumulator per output. How many tokens
 * or panels a kernel takes at once cannot change a bit of any output.
 */
#ifndef QN_BACKEND_CPU_KERNELS_H
#define QN_BACKEND_CPU_KERNELS_H

#include "backend/backend.h"
#include "base/compiler.h"

#define QN_PANEL 16  /* output rows per weight panel                        */
#define QN_FEW 4     /* tokens that kernels of few rows take at once        */
#define QN_QBLOCK 32 /* elements per block of q8_0 and q4_0                 */
#define QN_PAGE 64   /* KV positions per page                               */

/* How a matrix lies in memory, per panel of 16 rows. */
typedef enum qn_layout {
    QN_LAYOUT_F32,  /* [n_in][16] f32                                     */
    QN_LAYOUT_F16,  /* [n_in][16] f16                                     */
    QN_LAYOUT_BF16, /* [ceil(n_in / 2)][16][2] bf16, odd n_in zero-padded */
    QN_LAYOUT_Q8_0, /* per block: 16 f16 scales, [8][16][4] of q + 128    */
    QN_LAYOUT_Q4_0, /* per block: 16 f16 scales, [4][16][4] bytes: byte b of
                        dword j holds k = 4j + b low, 16 + 4j + b high; q + 8 */

    /* Codes in groups along k, see qn_scaled. Per group: 16 f32 scales; 16 u8
     * zero points (A4, A8) or f32 minima (M4, M8); then dwords [16] of 8 codes
     * (byte b of dword i holds k = 8 i + b low, 8 i + 4 + b high) or of 4
     * (k = 4 i + b in byte b). The last group is whole in memory. */
    QN_LAYOUT_CB4, /* 4-bit codes of a book of 16 f32           */
    QN_LAYOUT_A4,  /* 4-bit integers: (code - zero) * scale     */
    QN_LAYOUT_A8,  /* 8-bit integers                            */
    QN_LAYOUT_M4,  /* 4-bit integers: code * scale - min        */
    QN_LAYOUT_M8,  /* 8-bit integers                            */
    QN_LAYOUT_F8,  /* f8_e4m3                                   */
    /* Q6_K as tightly as in its file, where memory is what takes the time. Per
     * 256 k's: 16 f16 factors; 16 x 16 int8 scales, one for 16 k's of a row;
     * then per 16 k's two lines of low halves as in A4, and dwords [16] whose
     * byte b holds in bits 2 j, 2 j + 1 the high halves of k = 4 j + b.
     * (code - 32) * (factor * scale). Of products: linear alone. */
    QN_LAYOUT_A6,
    /* Q4_K as tightly as in its file. Per 256 k's: 16 f16 factors of scales, 16 of
     * minima; per 32 k's 16 u8 scales and 16 u8 minima; then codes as in M4.
     * code * (factor * scale) - (factor * min), both exact in f32. */
    QN_LAYOUT_K4,
    /* Q5_K likewise: behind the codes of 32 k's a line of dwords [16], whose byte b
     * holds in bit j the fifth bit of k = 4 j + b. */
    QN_LAYOUT_K5,
    QN_LAYOUT_N
} qn_layout;

/* Constants of a matrix in the layouts of codes. */
typedef struct qn_scaled {
    int group;      /* 16, 32, 64 or 128 k's; A6, K4, K5: 256 */
    int block;      /* k's of a block of x         */
    int head;       /* bytes before a group's codes */
    int bytes;      /* of a group                  */
    qn_dtype round; /* CB4: of the weights         */
    float book[16]; /* CB4                         */
    /* CB4, for products in integers: book[i] is nearly points[i] * unit. */
    int8_t points[16];
    float unit;
} qn_scaled;

/* What a product kernel takes as x. */
typedef enum qn_xform {
    QN_X_F32,      /* as it is                                        */
    QN_X_F32_BF16, /* f32 holding values rounded to bf16              */
    QN_X_BF16,     /* bf16 pairs, zero-padded to an even count        */
    QN_X_Q8_O128,  /* qn_xq8 blocks of weights with 128 more than they are */
    QN_X_Q8_O8,    /* the same with 8 more                            */
    QN_X_I8_SUMS,  /* qn_xsums blocks                                 */
    QN_X_I8_16,    /* int8 in blocks of 16, see qn_xi8                */
    QN_X_I8_32,
    QN_X_I8_64,
    QN_X_I16_16, /* int16, the same otherwise */
    QN_X_I16_32,
    QN_X_I16_64,
    QN_X_N
} qn_xform;

/* A float that counts: one whose bits are QN_COUNT_BITS + s, s in [-2^22, 2^22), is
 * QN_COUNT + s. Sums of whole numbers that begin with these bits are floats without
 * a conversion, and (QN_COUNT + s) * scale - QN_COUNT * scale, one fma, is s * scale
 * as one multiplication rounds it, if QN_COUNT * scale is exact: where scale has 22
 * bits, to which QN_COUNT_SCALE cuts the bits of others. */
#define QN_COUNT 0x1.8p23f
#define QN_COUNT_BITS 0x4b400000
#define QN_COUNT_SCALE (~3)

/* The largest int16 of x: sums of 64 products with 9 bits fit 32 bits. */
#define QN_X_I16_TOP 4095

/* What stands behind the values of a block of QN_X_I8_* and QN_X_I16_*, whose
 * last block is filled up with zeros: d = absmax / 127 (or QN_X_I16_TOP), q =
 * round(x / d). */
typedef struct qn_xi8 {
    float d, dsum; /* dsum = d * sum                                     */
    int32_t sum;   /* of q                                               */
    int32_t fix;   /* QN_COUNT_BITS - 128 * sum: what a sum with weights that
                      have 128 more than they are begins with            */
} qn_xi8;

/* 32 activations: d = absmax / 127, q = round(x / d). A sum begins with fix =
 * QN_COUNT_BITS - o * sum q, which undoes the offset that makes the weights
 * unsigned: sum (w + o) q - o * sum q = sum w q. */
typedef struct qn_xq8 {
    int8_t q[QN_QBLOCK];
    float d;
    int32_t fix;
} qn_xq8;
_Static_assert(sizeof(qn_xq8) == 40, "five broadcast-friendly 8-byte words");

/* QN_SUMS_BLOCK activations, quantized likewise, for weights whose scales are
 * whole numbers, one for each 16 k's: these belong to the sums. A last block
 * is filled up with zeros. */
#define QN_SUMS_BLOCK 64
typedef struct qn_xsums {
    int8_t q[QN_SUMS_BLOCK];
    float d;
    int16_t sum[QN_SUMS_BLOCK / 16]; /* of 16 q's */
} qn_xsums;
_Static_assert(sizeof(qn_xsums) % 4 == 0, "no padding");

/* acc[t][16 p + l] (+)= sum over k of w[p][k][l] * x[t][k]. */
typedef struct qn_tile {
    const uint8_t *w;    /* panel 0 at the first k                           */
    int64_t w_panel;     /* bytes from a panel to the next                   */
    const uint8_t *x;    /* token 0 at the first k, in the kernel's xform    */
    int64_t x_tok;       /* bytes from a token to the next                   */
    float *acc;          /* 64-byte aligned                                  */
    int64_t acc_tok;     /* floats from a token to the next, multiple of 16  */
    int n_k;             /* whole blocks; for BF16 whole pairs or the end    */
    int n_tok, n_panel;  /* n_tok <= the kernel's max_tok                  */
    int n_more;          /* sets of n_panel panels that follow, each w_more  */
    int64_t w_more;      /* bytes and n_panel * 16 sums after the last one   */
    bool load;           /* go on from what acc holds, instead of from zero  */
    const uint8_t *next; /* weights that are read afterwards, or NULL       */
    const qn_scaled *q;  /* of codes */
} qn_tile;
typedef void (*qn_tile_fn)(const qn_tile *t);

/* For a kernel that reads `bytes` of a panel at w and asks for memory ahead:
 * from the end of them to what is read afterwards. Where that is not known,
 * back to what was read already. */
QN_INLINE int64_t qn_tile_beyond(const uint8_t *w, int64_t bytes,
                                 const uint8_t *next)
{
    return (next ? (int64_t)((uintptr_t)next - (uintptr_t)w) : 0) - bytes;
}

typedef struct qn_tile_kernel {
    const char *name; /* NULL: the layout has no such product */
    qn_tile_fn fn;
    qn_xform xform;
    int max_tok;
    int few; /* up to so many tokens it takes n_more; else qn_tile_run does */
} qn_tile_kernel;

/* One row of n activations into an xform. dst is 64-byte aligned and has
 * qn_xform_bytes(form, n) bytes. */
typedef void (*qn_prep_fn)(const float *x, int n, void *dst);

/* Cells of a cache, [n_k][n_col] with `step` k's together (qn_cell_step), see
 * struct qn_kv:   acc[t][c] (+)= col[c] * sum over k of x[t][k] * w[k][c]
 * Of the keys of a page, with queries: scores. Of its values, with weights:
 * outputs. Each sum has one accumulator and goes upward in k (int8: it is
 * exact), so how many tokens or columns a kernel takes changes no bit. */
typedef struct qn_mix {
    const uint8_t *w; /* cells of the first k (a multiple of step), column 0 */
    int64_t w_row;    /* bytes from the cells of step k's to the next        */
    const uint8_t *x; /* token 0: f32, or what the kernel's prep made        */
    int64_t x_tok;    /* bytes                                               */
    float *acc;
    int64_t acc_tok;      /* floats                                           */
    const float *col;     /* int8 alone; NULL: 1                              */
    const uint8_t *ahead; /* cells that are read next, to be fetched, or NULL */
    int n_k;              /* x and w go on with zeros up to a whole step      */
    int k0;               /* the first k's place in its page: kernels that add
                             several at a time cut there (multiple of step)  */
    int n_tok, n_col;     /* n_tok <= max_tok; n_col a multiple of 16         */
    bool load;            /* add to acc                                       */
} qn_mix;
typedef void (*qn_mix_fn)(const qn_mix *m);

/* Leaves out the first n columns, of qn_cell_bytes each. */
QN_INLINE void qn_mix_skip(qn_mix *m, int n, int bytes)
{
    m->w += n * bytes;
    m->acc += n;
    m->n_col -= n;
    if (m->col)
        m->col += n;
    if (m->ahead)
        m->ahead += n * bytes;
}

typedef struct qn_mix_kernel {
    const char *name;
    qn_mix_fn fn;
    qn_prep_fn prep; /* NULL: x is f32. Takes at most 64 bytes per 16 of x */
    int max_tok;
} qn_mix_kernel;

/* Behind the int16 (or high and low bytes of them, 4 and 4) that a prep makes
 * of x for cells of int8: x = d * q, |q| <= 32512, less where n > 512 so that
 * sums fit 32 bits. Where no |x| reaches QN_QUADS_LEAST, all are 0; where one
 * is not finite, d is NaN. */
#define QN_QUADS_LEAST 1e-30f
typedef struct qn_xquads {
    float d;
    int32_t sum; /* of q */
} qn_xquads;

/* Takes the sums of a tile to the output: scale, bias, activation. */
typedef struct qn_epilogue_args {
    const float *acc;  /* sums of column c: acc[c / 16 * acc_panel + c % 16] */
    const float *acc1; /* QN_EPI_GLU: those of the second part              */
    int64_t acc_tok, acc_panel;
    const float *bias, *bias1; /* of column 0, or NULL                      */
    float *y;
    int64_t ldy;
    int n_tok, n_col;
    qn_epilogue kind;
    qn_act act;
    float scale;
} qn_epilogue_args;
typedef void (*qn_epilogue_fn)(const qn_epilogue_args *a);

/* One normalized group: y = norm(x) * w + b + residual (NULL: without). */
typedef struct qn_norm_args {
    const float *x, *w, *b, *residual;
    float *y;
    int n;
    float eps;
    bool rms;
} qn_norm_args;
typedef void (*qn_norm_fn)(const qn_norm_args *a);

/* n elements of a map op: see qn_op_map. */
typedef struct qn_map_args {
    const float *x, *mul; /* mul may be NULL */
    float *y;
    int n;
    qn_act act;
    float scale, cap;
    bool add;
} qn_map_args;
typedef void (*qn_map_fn)(const qn_map_args *a);

/* Rotates one head in place; cs = { cos[n], sin[n] }. */
typedef void (*qn_rope_fn)(float *x, const float *cs, int n, bool interleaved);

/* One step of an online softmax over scores s[0..n) of consecutive positions,
 * s[j] at distance rel0 + j (<= 0) from the query: s becomes
 * exp(score - m), m the running maximum, l the running sum; returns the
 * factor that what was accumulated so far must be multiplied with. */
typedef struct qn_softmax_args {
    float scale, softcap, slope;
    float rel0;
    int n;
} qn_softmax_args;
typedef float (*qn_softmax_fn)(float *s, const qn_softmax_args *a, float *m,
                               float *l);

/* y[i] *= f. */
typedef void (*qn_scale_fn)(float *y, int n, float f);
/* y[i] += f * x[i]. */
typedef void (*qn_axpy_fn)(float *y, const float *x, int n, float f);

/* n values as f16. Cells that are finite stay so: weights of 0 may meet those that
 * come later. */
typedef void (*qn_f16_cells_fn)(const float *x, int n, uint16_t *y);

/* Recurrences: see the ops of the same names in backend.h. One call takes all
 * rows of a span for the channels [0, n) or for one head; `zero`: the state is
 * not read at first. Lane by lane the same operations, whatever n is. */
typedef struct qn_conv_args {
    const float *x, *w, *b; /* of the first channel; b may be NULL */
    float *y, *s;           /* s [n_tap - 1] rows of state         */
    int64_t ldx, ldy, ldw;  /* ldw: of w and s                     */
    int n_row, n, n_tap;
    bool zero;
    qn_act act;
} qn_conv_args;
typedef void (*qn_conv_fn)(const qn_conv_args *a);

/* By channel: n channels, a and s with stride lda. By head: n is d_head, a, d,
 * dt and dt_bias are of the one head, s is [d_state, n]. */
typedef struct qn_scan_args {
    const float *x, *dt, *B, *C, *a, *d, *dt_bias;
    float *y, *s;
    int64_t ldx, lddt, ldb, ldc, ldy, lda;
    int n_row, n, d_state;
    float dt_min, dt_max;
    bool zero;
} qn_scan_args;
typedef void (*qn_scan_fn)(const qn_scan_args *a);

typedef struct qn_delta_args {
    const float *q, *k, *v, *dt, *beta; /* of one value head */
    float *y, *s;                       /* s [d_k, d_v]      */
    int64_t ldq, ldk, ldv, lddt, ldbeta, ldy;
    int n_row, d_k, d_v;
    float a, dt_bias;
    bool zero;
} qn_delta_args;
typedef void (*qn_delta_fn)(const qn_delta_args *a);

/* Rows [0, 16) of a panel from rows that lie `row_bytes` apart in the file's
 * format. */
typedef void (*qn_pack_fn)(const uint8_t *rows, int64_t row_bytes, int64_t n_in,
                           uint8_t *panel);

/* Codes of 16 rows that lie ld bytes apart, n of them (a multiple of 8), to
 * the dwords of a group in the layouts of codes. */
typedef void (*qn_pack_codes_fn)(const uint8_t *codes, int64_t ld, int n,
                                 uint8_t *to);

/* Blocks of x for weights in groups of 16, of 32, and of 64 or 128. */
#define QN_CODED_FORMS 3

typedef struct qn_kernels {
    int row_tile; /* of most products: rows that cost as much as one; or 1 */
    qn_tile_kernel linear[QN_LAYOUT_N]; /* the fast product              */
    qn_tile_kernel exact[QN_LAYOUT_N];  /* f32 x, weights expanded       */
    /* Of codes, where there is one: the fast product in integers. */
    qn_tile_kernel coded[QN_LAYOUT_N][QN_CODED_FORMS];
    struct {
        const char *name;
        qn_prep_fn fn;
    } prep[QN_X_N];
    struct {
        const char *name;
        qn_pack_fn fn;
    } pack[QN_LAYOUT_N];
    qn_mix_kernel mix[QN_KV_CELLS];       /* the fast one          */
    qn_mix_kernel mix_exact[QN_KV_CELLS]; /* f32 x, cells expanded */
    qn_kv_dtype kv_half;                  /* the faster of 16 bits */
    struct {
        const char *name;
        qn_pack_codes_fn fn;
    } pack_codes[2]; /* of 8 bits, of 4 */
    struct {
        const char *name;
        qn_epilogue_fn fn;
    } epilogue;
    struct {
        const char *name;
        qn_norm_fn fn;
    } norm;
    struct {
        const char *name;
        qn_map_fn fn;
    } map;
    struct {
        const char *name;
        qn_rope_fn fn;
    } rope;
    struct {
        const char *name;
        qn_softmax_fn fn;
    } softmax;
    struct {
        const char *name;
        qn_scale_fn fn;
    } scale;
    struct {
        const char *name;
        qn_axpy_fn fn;
    } axpy;
    struct {
        const char *name;
        qn_f16_cells_fn fn;
    } f16_cells;
    struct {
        const char *name;
        qn_conv_fn fn;
    } conv;
    struct {
        const char *name;
        qn_scan_fn fn;
    } scan_channels, scan_head;
    struct {
        const char *name;
        qn_delta_fn fn;
    } delta;
} qn_kernels;

/* Fills the table for what `cap` and this machine both have. */
void qn_kernels_init(qn_kernels *k, qn_isa cap);
/* A JSON array of {op, layout, kernel}; `exact`: which products are in use. */
void qn_kernels_describe(const qn_kernels *k, bool exact, qn_str *json);

/* The steps of qn_kernels_init: each overrides what it does better. */
void qn_kernels_ref(qn_kernels *k);
void qn_kernels_avx2(qn_kernels *k);
void qn_kernels_avxvnni(qn_kernels *k);
void qn_kernels_avx512(qn_kernels *k);
void qn_kernels_avx512vnni(qn_kernels *k);
void qn_kernels_avx512bf16(qn_kernels *k);
void qn_kernels_amx(qn_kernels *k);
void qn_kernels_neon(qn_kernels *k);
void qn_kernels_dotprod(qn_kernels *k);
void qn_kernels_i8mm(qn_kernels *k);
void qn_kernels_bf16(qn_kernels *k);

/* One kernel of codes for all three forms of x, of which `form` is the first. */
void qn_kernels_coded(qn_kernels *k, qn_layout l, qn_tile_kernel kernel);

/* What a group's head has beside scales: whole zero points, or minima. */
QN_INLINE bool qn_layout_zeros(qn_layout l)
{
    return l == QN_LAYOUT_A4 || l == QN_LAYOUT_A8;
}

/* Scales and minima of two levels. */
QN_INLINE bool qn_layout_two_levels(qn_layout l)
{
    return l == QN_LAYOUT_K4 || l == QN_LAYOUT_K5;
}

QN_INLINE bool qn_layout_mins(qn_layout l)
{
    return l == QN_LAYOUT_M4 || l == QN_LAYOUT_M8 || qn_layout_two_levels(l);
}

/* Do 4 bits of two weights share a byte? */
QN_INLINE bool qn_layout_nibbles(qn_layout l)
{
    return l == QN_LAYOUT_Q4_0 || l == QN_LAYOUT_CB4 || l == QN_LAYOUT_A4 ||
           l == QN_LAYOUT_M4 || qn_layout_two_levels(l);
}

const char *qn_layout_name(qn_layout l);
/* Bytes of one panel with n_in inputs. */
int64_t qn_panel_bytes(qn_layout l, int64_t n_in);
/* Bytes from the start of a panel to k (a multiple of the layout's step). */
int64_t qn_panel_offset(qn_layout l, int64_t k);
/* Elements in a block of QN_X_I8_* and QN_X_I16_*. */
int qn_xi8_block(qn_xform f);
/* Bytes of a row of n activations in a form, and from its start to k. */
int64_t qn_xform_bytes(qn_xform f, int64_t n);
int64_t qn_xform_offset(qn_xform f, int64_t k);

/* Any number of tokens: cuts them into even parts the kernel can take. */
void qn_tile_run(const qn_tile_kernel *k, const qn_tile *t);
void qn_mix_run(const qn_mix_kernel *k, const qn_mix *m);

/* k's that lie together in a cache, and the bytes of a column of them. */
int qn_cell_step(qn_kv_dtype t);
int qn_cell_bytes(qn_kv_dtype t);

#endif
