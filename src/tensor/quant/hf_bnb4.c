/* hf_bnb4.c - bitsandbytes' 4-bit floats, nf4 and fp4.
 *
 * The matrix is taken as one flat row of elements in blocks of `blocksize`
 * (32 .. 4096), whatever its shape; so a block may go on from one row to the
 * next.
 *
 *   weight       two codes a byte, the first in the high nibble; the storage
 *                type of the tensor means nothing
 *   quant_map    f32 [16], the code book
 *   absmax       f32 [n_block]; the block's scale
 *   or, double quantization, in blocks of nested_blocksize:
 *   absmax       u8 [n_block]: scale = nested_quant_map[absmax]
 *                * nested_absmax + nested_offset
 *   quant_state  a JSON text as bytes: blocksize, shape, dtype, ...
 *
 *   w = round(quant_map[code] * scale), to the dtype of the unquantized
 *   weights: the rounding is in bitsandbytes' own dequantization.
 *
 * Quantizing: scale is the block's largest magnitude, the code the nearest to
 * w * (1 / scale), of two equally near ones the lower. Double
 * quantization comes after that: of the scales less their mean, in the same
 * way, by a book of 256. */
#include "tensor/qscheme.h"

#include "base/str.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    P_WEIGHT,
    P_ABSMAX,
    P_MAP,
    P_STATE,
    P_NESTED_ABSMAX,
    P_NESTED_MAP,
    N_CODES = 16,
    STATE_MAX = 4096
};

static int64_t gcd(int64_t a, int64_t b)
{
    while (b) {
        int64_t t = a % b;
        a = b;
        b = t;
    }
    return a;
}

static int read_state(qn_qmat *m, const json_t *s, qn_err *err)
{
    const char *doc = m->part[P_STATE].name, *type = "float32";
    const json_t *shape = json_object_get(s, "shape");
    int64_t n_in = 1, block = 0;
    QN_TRY(qn_json_i64(s, "blocksize", &block, doc, err));
    QN_TRY(qn_json_str(s, "dtype", &type, doc, err));
    size_t n = json_array_size(shape);
    if (n < 2 || n > QN_QDIMS || block < 1 || block > 1 << 20)
        return qn_fail(err, QN_EFORMAT,
                       "tensor %s: needs a shape of 2 to %d dimensions and a "
                       "blocksize",
                       doc, QN_QDIMS);
    m->n_out = 1;
    m->n_dims = (int)n;
    for (size_t i = 0; i < n; i++) {
        int64_t d = json_integer_value(json_array_get(shape, i));
        int64_t *into = i + 1 < n ? &m->n_out : &n_in;
        if (d < 1 || d > INT32_MAX || *into > INT64_MAX / 1024 / d)
            return qn_fail(err, QN_EFORMAT, "tensor %s: bad shape", doc);
        *into *= d;
        m->shape[i] = d;
    }
    m->n_in = n_in;
    m->block[0] = block;
    m->group = gcd(n_in, block);
    m->round = strcmp(type, "bfloat16") == 0  ? QN_BF16
               : strcmp(type, "float16") == 0 ? QN_F16
                                              : QN_F32;
    if (m->part[P_NESTED_ABSMAX].name) {
        QN_TRY(qn_json_f64(s, "nested_offset", &m->extra, doc, err));
        m->block[1] = 256;
        QN_TRY(qn_json_i64(s, "nested_blocksize", &m->block[1], doc, err));
        if (m->block[1] < 1)
            return qn_fail(err, QN_EFORMAT, "tensor %s: nested_blocksize", doc);
    }
    return QN_OK;
}

static int check_parts(qn_qmat *m, qn_err *err)
{
    uint64_t n = (uint64_t)m->n_out * (uint64_t)m->n_in;
    uint64_t block = (uint64_t)m->block[0], blocks = (n + block - 1) / block;
    if (m->part[P_WEIGHT].n_bytes < (n + 1) / 2)
        return qn_qpart_bad(m, P_WEIGHT, "4 bits for each element", err);
    QN_TRY(qn_qpart_want(m, P_MAP, QN_F32, err));
    if (m->part[P_MAP].n_elems != N_CODES)
        return qn_qpart_bad(m, P_MAP, "16 elements", err);
    if (m->part[P_ABSMAX].n_elems != blocks)
        return qn_qpart_bad(m, P_ABSMAX, "one element for each block", err);
    if (!m->part[P_NESTED_ABSMAX].name)
        return qn_qpart_want_float(m, P_ABSMAX, err);
    QN_TRY(qn_qpart_want(m, P_ABSMAX, QN_U8, err));
    if (!m->part[P_NESTED_MAP].name || m->part[P_NESTED_MAP].n_elems != 256 ||
        m->part[P_NESTED_MAP].dtype != QN_F32)
        return qn_qpart_bad(m, P_ABSMAX,
                            "quantized by a nested_quant_map of "
                            "256 f32",
                            err);
    QN_TRY(qn_qpart_want_float(m, P_NESTED_ABSMAX, err));
    uint64_t nested = (uint64_t)m->block[1];
    if (m->part[P_NESTED_ABSMAX].n_elems != (blocks + nested - 1) / nested)
        return qn_qpart_bad(m, P_NESTED_ABSMAX,
                            "one element for each nested block", err);
    return QN_OK;
}

static int bnb4_plan(qn_qmat *m, const json_t *q, qn_err *err)
{
    (void)q;
    const qn_qpart *s = &m->part[P_STATE];
    json_t *state = NULL;
    if (s->n_bytes > STATE_MAX)
        return qn_qpart_bad(m, P_STATE, "a short JSON text", err);
    QN_TRY(qn_json_parse(&state, s->p, (size_t)s->n_bytes, s->name, err));
    int rc = json_is_object(state) ? read_state(m, state, err)
                                   : qn_qpart_bad(m, P_STATE, "an object", err);
    json_decref(state);
    QN_TRY(rc);
    m->bits = 4;
    m->table_part = P_MAP;
    return check_parts(m, err);
}

static float bnb4_scale(const qn_qmat *m, int64_t block)
{
    if (!m->part[P_NESTED_ABSMAX].name)
        return qn_qpart_at(&m->part[P_ABSMAX], block);
    uint8_t code = ((const uint8_t *)m->part[P_ABSMAX].p)[block];
    float v = qn_qpart_at(&m->part[P_NESTED_MAP], code) *
              qn_qpart_at(&m->part[P_NESTED_ABSMAX], block / m->block[1]);
    return v + (float)m->extra;
}

/* n bytes, the high nibble of each first. */
static void split_bytes(const uint8_t *restrict p, int64_t n,
                        uint8_t *restrict codes)
{
    for (int64_t i = 0; i < n; i++) {
        uint16_t two = (uint16_t)(p[i] >> 4 | (p[i] & 15) << 8);
        memcpy(codes + 2 * i, &two, sizeof two);
    }
}

/* Scales of the n groups from element `at`. */
static void unpack_scales(const qn_qmat *m, int64_t at, int64_t n,
                          float *scales)
{
    int64_t block = at / m->block[0], left = m->block[0] - at % m->block[0];
    const qn_qpart *p = &m->part[P_ABSMAX];
    if (m->group == m->block[0] && p->dtype == QN_F32) {
        memcpy(scales, (const char *)p->p + block * 4, (size_t)n * 4);
        return;
    }
    for (int64_t g = 0; g < n; block++, left = m->block[0]) {
        float scale = bnb4_scale(m, block);
        for (; left > 0 && g < n; left -= m->group)
            scales[g++] = scale;
    }
}

static void bnb4_unpack(const qn_qmat *m, int64_t row, int64_t n_row,
                        qn_qrows *out)
{
    const uint8_t *p = m->part[P_WEIGHT].p;
    int64_t at = row * m->n_in, n = n_row * m->n_in, i = 0;
    if (at & 1) /* the row begins in the middle of a byte */
        out->codes[i++] = p[at / 2] & 15;
    p += (at + i) / 2;
    split_bytes(p, (n - i) / 2, out->codes + i);
    if ((n - i) & 1)
        out->codes[n - 1] = p[(n - i) / 2] >> 4;
    unpack_scales(m, at, n / m->group, out->scales);
}

/* ---- writing ----------------------------------------------------------- */

/* QLoRA (Dettmers et al. 2023), appendix E: quantiles of the normal
 * distribution, zero included. */
static const float nf4_book[16] = {
    -1.0f,
    -0.6961928009986877f,
    -0.5250730514526367f,
    -0.39491748809814453f,
    -0.28444138169288635f,
    -0.18477343022823334f,
    -0.09105003625154495f,
    0.0f,
    0.07958029955625534f,
    0.16093020141124725f,
    0.24611230194568634f,
    0.33791524171829224f,
    0.44070982933044434f,
    0.5626170039176941f,
    0.7229568362236023f,
    1.0f,
};

/* Sign, two bits of exponent, one of mantissa, over 12. */
static const float fp4_book[16] = {
    0.0f,
    0.0052083334885537624f,
    0.6666666865348816f,
    1.0f,
    0.3333333432674408f,
    0.5f,
    0.1666666716337204f,
    0.25f,
    0.0f,
    -0.0052083334885537624f,
    -0.6666666865348816f,
    -1.0f,
    -0.3333333432674408f,
    -0.5f,
    -0.1666666716337204f,
    -0.25f,
};

/* Codes of the fp4 book by rising value; of its two zeros the negative side
 * takes the first. */
static const uint8_t fp4_order[16] = {11, 10, 13, 12, 15, 14, 9, 0,
                                      8,  1,  6,  7,  4,  5,  2, 3};

/* bitsandbytes' "dynamic" book: seven decades, of which the i-th has 2^i
 * values of either sign, in the middles of equal parts of [0.1, 1]. */
static void dynamic_book(float book[256])
{
    int n = 0;
    for (int i = 0; i < 7; i++) {
        int parts = 1 << i;
        float step = (1.0f - 0.1f) / (float)parts, edge[65];
        /* linspace: from either end, the product unrounded */
        for (int k = 0; k <= parts; k++)
            edge[k] = k < (parts + 1) / 2
                          ? (float)((double)0.1f + (double)step * k)
                          : (float)(1.0 - (double)step * (parts - k));
        float decade = (float)pow(10, i - 6);
        for (int k = 0; k < parts; k++) {
            float mean = (edge[k] + edge[k + 1]) / 2.0f;
            book[n++] = decade * mean;
            book[n++] = -(decade * mean);
        }
    }
    book[n++] = 0;
    book[n++] = 1;
    for (int i = 1; i < n; i++) { /* insertion: it is nearly in order */
        float v = book[i];
        int k = i;
        for (; k > 0 && book[k - 1] > v; k--)
            book[k] = book[k - 1];
        book[k] = v;
    }
}

static bool is_fp4(const qn_qmat *m)
{
    return m->scheme == &qn_bnb_fp4_scheme;
}

static int64_t n_blocks(const qn_qmat *m)
{
    return (m->n_out * m->n_in + m->block[0] - 1) / m->block[0];
}

/* Places among the rising edges between the values of a book: how many edges
 * are below x * inv. [-1, 1] is cut into bins so narrow that a bin and its
 * neighbours hold one edge at most; `first` is the number of edges before a
 * bin's neighbourhood, so that one comparison is left. */
enum {
    N_BINS = 2048
};

typedef struct bnb4_bins {
    float edges[N_CODES]; /* the last is infinite */
    uint8_t first[N_BINS];
    uint8_t order[N_CODES]; /* place -> code */
} bnb4_bins;

static void bins_make(bnb4_bins *b, const float *book, const uint8_t *order)
{
    for (int i = 0; i < N_CODES; i++)
        b->order[i] = order ? order[i] : (uint8_t)i;
    for (int i = 0; i + 1 < N_CODES; i++)
        b->edges[i] = (book[b->order[i]] + book[b->order[i + 1]]) / 2.0f;
    b->edges[N_CODES - 1] = INFINITY;
    for (int i = 0, n = 0; i < N_BINS; i++) {
        float from = (float)(i - 1) * (2.0f / N_BINS) - 1.0f;
        while (b->edges[n] < from)
            n++;
        b->first[i] = (uint8_t)n;
    }
}

static void place16(const bnb4_bins *b, const float *x, int64_t n, float inv,
                    uint8_t *codes)
{
    for (int64_t i = 0; i < n; i++) {
        float v = x[i] * inv, t = (v + 1.0f) * (N_BINS / 2.0f);
        t = t > 0 ? t : 0; /* a NaN becomes 0 */
        t = t < N_BINS - 1 ? t : N_BINS - 1;
        int at = b->first[(int)t];
        codes[i] = b->order[at + (v > b->edges[at])];
    }
}

/* The same for a book of 256, one at a time. */
static uint8_t place256(const float edges[255], float v)
{
    int lo = 0, hi = 255;
    while (lo < hi) {
        int mid = (lo + hi) / 2;
        if (v > edges[mid])
            lo = mid + 1;
        else
            hi = mid;
    }
    return (uint8_t)lo;
}

static float absmax_of(const float *x, int64_t n)
{
    float max = 0;
    for (int64_t i = 0; i < n; i++)
        max = fabsf(x[i]) > max ? fabsf(x[i]) : max;
    return max;
}

static void bnb4_quantize(const qn_qmat *m, const float *w, int64_t n_row,
                          qn_qrows *out)
{
    int64_t n = n_row * m->n_in;
    bnb4_bins bins;
    bins_make(&bins, m->table, is_fp4(m) ? fp4_order : NULL);
    for (int64_t i = 0; i < n; i += m->block[0]) {
        int64_t len = QN_MIN(m->block[0], n - i);
        float max = absmax_of(w + i, len);
        float inv = max > 0 ? 1.0f / max : 0.0f;
        place16(&bins, w + i, len, inv, out->codes + i);
        for (int64_t g = i / m->group; g < (i + len) / m->group; g++)
            out->scales[g] = max;
    }
}

static void bnb4_pack(const qn_qmat *m, int64_t row, int64_t n_row,
                      const qn_qrows *rows)
{
    uint8_t *p = m->part[P_WEIGHT].out;
    float *absmax = m->block[1] ? m->work : m->part[P_ABSMAX].out;
    int64_t at = row * m->n_in, n = n_row * m->n_in;
    for (int64_t i = 0; i + 1 < n; i += 2)
        p[(at + i) / 2] = (uint8_t)(rows->codes[i] << 4 | rows->codes[i + 1]);
    if (n & 1) /* the other nibble is the code of zero */
        p[(at + n) / 2] = (uint8_t)(rows->codes[n - 1] << 4 |
                                    (is_fp4(m) ? 0 : 7));
    for (int64_t i = 0; i < n; i += m->block[0])
        absmax[(at + i) / m->block[0]] = rows->scales[i / m->group];
}

/* The shortest decimal that is the same number again. */
static void add_number(qn_str *s, double v)
{
    char text[40];
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    qn_str_addf(s, "%s%s", text, strpbrk(text, ".en") ? "" : ".0");
}

static void state_text(const qn_qmat *m, double offset, qn_str *s)
{
    qn_str_addf(s,
                "{\"quant_type\": \"%s\", \"blocksize\": %d, \"dtype\": "
                "\"%s\", \"shape\": [%lld, %lld]",
                is_fp4(m) ? "fp4" : "nf4", (int)m->block[0],
                m->round == QN_BF16  ? "bfloat16"
                : m->round == QN_F16 ? "float16"
                                     : "float32",
                (long long)m->n_out, (long long)m->n_in);
    if (m->block[1]) {
        qn_str_addf(s,
                    ", \"nested_blocksize\": %d, \"nested_dtype\": "
                    "\"float32\", \"nested_offset\": ",
                    (int)m->block[1]);
        add_number(s, offset);
    }
    qn_str_addc(s, '}');
}

static int bnb4_lay(qn_qmat *m, qn_err *err)
{
    if (m->bits != 4)
        return qn_fail(err, QN_EUNSUP, "bitsandbytes has 4 and 8 bits, not %d",
                       m->bits);
    int64_t b = m->block[0], blocks = n_blocks(m);
    if (b < 32 || b > 4096 || (b & (b - 1)))
        return qn_fail(err, QN_EUNSUP,
                       "bitsandbytes has blocks of 32, 64, 128 ... 4096 "
                       "elements, not %lld",
                       (long long)b);
    m->block[1] = m->block[1] ? 256 : 0;
    m->group = gcd(m->n_in, b);
    m->table = is_fp4(m) ? fp4_book : nf4_book;
    qn_str s;
    qn_str_init(&s);
    state_text(m, 0, &s);
    /* How long the offset's text is, is not known yet; blanks fill it up. */
    int64_t n_state = (int64_t)s.n + (m->block[1] ? 24 : 0);
    qn_str_deinit(&s);
    qn_qpart_lay(m, P_WEIGHT, QN_U8, 2, (m->n_out * m->n_in + 1) / 2, 1);
    qn_qpart_lay(m, P_ABSMAX, m->block[1] ? QN_U8 : QN_F32, 1, blocks, 0);
    qn_qpart_lay(m, P_MAP, QN_F32, 1, N_CODES, 0);
    qn_qpart_lay(m, P_STATE, QN_U8, 1, n_state, 0);
    if (m->block[1]) {
        qn_qpart_lay(m, P_NESTED_ABSMAX, QN_F32, 1,
                     (blocks + m->block[1] - 1) / m->block[1], 0);
        qn_qpart_lay(m, P_NESTED_MAP, QN_F32, 1, 256, 0);
        m->work_bytes = (size_t)blocks * sizeof(float);
    }
    return QN_OK;
}

/* Scales to codes; their mean. */
static double nest(const qn_qmat *m)
{
    float *absmax = m->work, book[256], edges[255];
    uint8_t *codes = m->part[P_ABSMAX].out;
    int64_t n = n_blocks(m);
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)absmax[i];
    float mean = (float)(sum / (double)n);
    for (int64_t i = 0; i < n; i++)
        absmax[i] -= mean;
    dynamic_book(book);
    for (int i = 0; i < 255; i++)
        edges[i] = (book[i] + book[i + 1]) / 2.0f;
    memcpy(m->part[P_NESTED_MAP].out, book, sizeof book);
    for (int64_t i = 0; i < n; i += m->block[1]) {
        int64_t len = QN_MIN(m->block[1], n - i);
        float max = absmax_of(absmax + i, len);
        float inv = max > 0 ? 1.0f / max : 0.0f;
        for (int64_t k = i; k < i + len; k++)
            codes[k] = place256(edges, absmax[k] * inv);
        qn_qpart_put(m, P_NESTED_ABSMAX, i / m->block[1], max);
    }
    return (double)mean;
}

static void bnb4_finish(const qn_qmat *m)
{
    double offset = m->block[1] ? nest(m) : 0;
    qn_str s;
    memcpy(m->part[P_MAP].out, m->table, N_CODES * sizeof *m->table);
    qn_str_init(&s);
    state_text(m, offset, &s);
    memset(m->part[P_STATE].out, ' ', (size_t)m->part[P_STATE].n_bytes);
    memcpy(m->part[P_STATE].out, s.p,
           QN_MIN(s.n, (size_t)m->part[P_STATE].n_bytes));
    qn_str_deinit(&s);
}

#define BNB4_PARTS(type)                                             \
    {                                                                \
        {".weight", true, false}, {".weight.absmax", true, false},   \
            {".weight.quant_map", true, true},                       \
            {".weight.quant_state.bitsandbytes__" type, true, true}, \
            {".weight.nested_absmax", false, false},                 \
        {                                                            \
            ".weight.nested_quant_map", false, false                 \
        }                                                            \
    }

const qn_qscheme qn_bnb_nf4_scheme = {
    .name = "bitsandbytes nf4",
    .method = "bitsandbytes",
    .part = BNB4_PARTS("nf4"),
    .plan = bnb4_plan,
    .unpack = bnb4_unpack,
    .lay = bnb4_lay,
    .quantize = bnb4_quantize,
    .pack = bnb4_pack,
    .finish = bnb4_finish,
    .row_unit = -1,
};

const qn_qscheme qn_bnb_fp4_scheme = {
    .name = "bitsandbytes fp4",
    .method = "bitsandbytes",
    .part = BNB4_PARTS("fp4"),
    .plan = bnb4_plan,
    .unpack = bnb4_unpack,
    .lay = bnb4_lay,
    .quantize = bnb4_quantize,
    .pack = bnb4_pack,
    .finish = bnb4_finish,
    .row_unit = -1,
};
