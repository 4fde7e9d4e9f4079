/* calibrate.c - see calibrate.h.
 *
 * Before each product the rows that go in are added up: their squares, or
 * X^T X, which is itself a product of the backend (of X^T with itself). Inputs
 * are known by the first matrix that reads them; q, k and v share theirs.
 * Experts have their own: the rows that were sent to them. */
#include "quantize/calibrate.h"

#include "base/compiler.h"
#include "base/map.h"
#include "base/mem.h"
#include "quantize/acts.h"
#include "quantize/matmul.h"
#include "quantize/samples.h"

#include <stdlib.h>
#include <string.h>

enum {
    SAMPLE_ROWS = 256, /* kept of an input */
    HEAD_SHARE = 16,   /* of a layer: as much of the output head at a time */
    HEAD_ROWS = 64     /* ... and at least; there are whole ones of these */
};

/* A matrix of the stage and the input that it reads. */
typedef struct reader {
    qn_net_matrix m;
    int input; /* -1: nothing yet */
} reader;

struct qn_cal {
    const qn_optimize_params *p;
    const qn_ckpt *ck;
    qn_backend *be;
    qn_net *net;
    qn_pool *pool;
    qn_pass *pass;
    qn_samples samples;
    qn_acts h;     /* [n_sample, len, d_model] into the stage */
    bool embedded; /* h is what goes into layer 0 */
    int32_t *pages, *pos;

    int stage;      /* loaded, or -1 */
    qn_pass *whole; /* of the whole network, with logits */
    QN_VEC(reader) readers;
    QN_VEC(qn_cal_input) inputs;
    qn_acts turned; /* X^T of a sample */

    /* while samples run */
    unsigned what;
    bool keep;
    int n_ops, last_op; /* of this sample; the last of a stage that a matrix of
                           it reads, known when a sample was run */
    qn_err *err;
    int rc;
};

/* ---- statistics ---------------------------------------------------------- */

typedef struct rows_ref {
    const float *x;
    int64_t ldx;
    const int32_t *pick; /* rows of x, or NULL: all */
    int64_t n_row;
} rows_ref;

static const float *row_of(const rows_ref *r, int64_t i)
{
    return r->x + (r->pick ? r->pick[i] : i) * r->ldx;
}

/* Columns [begin, end) of the rows: their squares into the input's, and (turned
 * not NULL) their numbers to where a column's lie one behind the other. */
typedef struct column_sums {
    qn_cal_input *in;
    const rows_ref *r;
    float *turned;  /* [in->n, stride] or NULL */
    int64_t stride; /* at least r->n_row */
} column_sums;

static void turn_columns(const column_sums *j, int64_t begin, int64_t end)
{
    enum {
        SIDE = 16
    };
    for (int64_t i0 = 0; i0 < j->r->n_row; i0 += SIDE) {
        const float *x[SIDE];
        int n = (int)QN_MIN((int64_t)SIDE, j->r->n_row - i0);
        for (int i = 0; i < n; i++)
            x[i] = row_of(j->r, i0 + i);
        for (int64_t k = begin; k < end; k++)
            for (int i = 0; i < n; i++)
                j->turned[k * j->stride + i0 + i] = x[i][k];
    }
}

static void column_thread(void *arg, int thread, int n_threads)
{
    const column_sums *j = arg;
    int64_t begin, end;
    qn_pool_split(j->in->n, 16, thread, n_threads, &begin, &end);
    for (int64_t i = 0; i < j->r->n_row; i++) {
        const float *x = row_of(j->r, i);
        for (int64_t k = begin; k < end; k++)
            j->in->squares[k] += x[k] * x[k];
    }
    if (j->turned)
        turn_columns(j, begin, end);
}

/* Every sample gives the same share of its rows. */
static void keep_rows(const qn_cal *c, qn_cal_input *in, const rows_ref *r)
{
    int64_t share = QN_MAX(SAMPLE_ROWS / c->samples.n, 1);
    for (int64_t i = 0; i < share && in->n_rows < SAMPLE_ROWS; i++) {
        int64_t at = (2 * i + 1) * r->n_row / (2 * share);
        if (share > r->n_row && i >= r->n_row)
            break;
        memcpy(in->rows + in->n_rows++ * in->n,
               row_of(r, QN_MIN(at, r->n_row - 1)),
               (size_t)in->n * sizeof(float));
    }
}

/* Memory for a sample's columns. */
static int room_for_columns(qn_cal *c, size_t need)
{
    if (need <= c->turned.n)
        return QN_OK;
    qn_acts_free(&c->turned);
    if (!qn_acts_new(&c->turned, need, 1))
        return qn_fail(c->err, QN_ENOMEM,
                       "calibration: no memory for a sample's inputs; take "
                       "shorter ones (--calibration-length)");
    return QN_OK;
}

/* The strips of X^T X, each a product. Inputs are rounded to bf16, as they are
 * wherever a network runs in bf16; sums are not. The rows are padded with zeros
 * to what the backend multiplies. */
static int add_gram(qn_cal *c, qn_cal_input *in, const rows_ref *r)
{
    int64_t stride = (r->n_row + 7) / 8 * 8;
    size_t need = (size_t)(in->n * stride);
    QN_TRY(room_for_columns(c, need));
    if (stride > r->n_row)
        memset(c->turned.v, 0, need * sizeof(float));
    column_sums sums = {in, r, c->turned.v, stride};
    qn_pool_run(c->pool, column_thread, &sums);
    for (int64_t a = 0; a < in->n; a = qn_tri_end(&in->gram, a)) {
        qn_matmul p = {.x = c->turned.v + a * stride,
                       .w = c->turned.v + a * stride,
                       .y = qn_tri_at(&in->gram, a, a),
                       .ldx = stride,
                       .ldw = stride,
                       .ldy = in->gram.ld,
                       .n_row = in->n - a,
                       .n_in = stride,
                       .n_out = qn_tri_end(&in->gram, a) - a,
                       .scale = 1,
                       .add = true,
                       .rounded = true};
        QN_TRY(qn_matmul_run(c->be, &p, c->err));
    }
    return QN_OK;
}

static int input_new(qn_cal *c, int64_t n)
{
    qn_cal_input in = {.n = n};
    bool ok = true;
    in.squares = qn_alloc((size_t)n, sizeof(float));
    ok = ok && in.squares;
    if (c->what & QN_CAL_GRAM)
        ok = qn_tri_new(&in.gram, n, NULL) == QN_OK && ok;
    if (c->what & QN_CAL_ROWS) {
        in.rows = qn_alloc(SAMPLE_ROWS, (size_t)n * sizeof(float));
        ok = ok && in.rows;
    }
    qn_vec_push(&c->inputs, in);
    return ok ? (int)c->inputs.n - 1
              : qn_fail(c->err, QN_ENOMEM,
                        "calibration: no memory for the statistics of %lld "
                        "inputs; quantize fewer modules at a time (--only)",
                        (long long)n);
}

static int gather(qn_cal *c, int input, const rows_ref *r)
{
    qn_cal_input *in = &c->inputs.v[input];
    if (r->n_row == 0)
        return QN_OK;
    in->count += r->n_row;
    if (in->rows)
        keep_rows(c, in, r);
    if (in->gram.v)
        return add_gram(c, in, r);
    column_sums sums = {in, r, NULL, 0};
    qn_pool_run(c->pool, column_thread, &sums);
    return QN_OK;
}

static reader *reader_of(qn_cal *c, const qn_weight *w)
{
    for (size_t i = 0; i < c->readers.n; i++)
        if (c->readers.v[i].m.w == w)
            return &c->readers.v[i];
    return NULL;
}

/* Whether all matrices of a layer have their inputs, but those of this op. */
static bool is_last(const qn_cal *c, const qn_op_linear *op)
{
    for (size_t i = 0; i < c->readers.n; i++) {
        const reader *rd = &c->readers.v[i];
        bool own = false;
        for (int k = 0; k < op->n_part; k++)
            own = own || op->part[k].w == rd->m.w;
        if (rd->input < 0 && !own)
            return false;
    }
    return qn_net_is_chain(c->net);
}

/* What is not multiplied by in this run makes room for the statistics of what
 * it reads, which are the largest of the layer where that is the widest. */
static int make_way(qn_cal *c, const qn_op_linear *op)
{
    if (c->keep || !is_last(c, op))
        return QN_OK;
    c->last_op = c->n_ops - 1;
    for (int i = 0; i < op->n_part; i++) {
        reader *rd = reader_of(c, op->part[i].w);
        if (rd)
            QN_TRY(qn_net_empty(c->net, rd->m.w, &rd->m.w, c->err));
    }
    return QN_OK;
}

static int see_linear(qn_cal *c, const qn_op_linear *op, int64_t n_in)
{
    rows_ref r = {op->x, op->ldx, NULL, op->n_row};
    int input = -1;
    for (int i = 0; i < op->n_part; i++) {
        reader *rd = reader_of(c, op->part[i].w);
        if (rd && rd->input >= 0)
            input = rd->input;
    }
    if (input < 0) {
        input = (int)c->inputs.n;
        for (int i = 0; i < op->n_part; i++) {
            reader *rd = reader_of(c, op->part[i].w);
            if (rd)
                rd->input = input;
        }
        QN_TRY(make_way(c, op));
        QN_TRY(input_new(c, n_in));
    }
    return gather(c, input, &r);
}

/* The input that matrix w reads, made when it is the first time. */
static int input_of(qn_cal *c, reader *rd, int64_t n_in)
{
    if (rd->input < 0)
        rd->input = input_new(c, n_in);
    return rd->input;
}

/* What an expert's second product reads: computed again, because the operation
 * keeps it to itself. h [n_row, d_ff]. */
static int expert_hidden(qn_cal *c, const qn_op_experts *op, int e,
                         const rows_ref *r, int64_t n_in, float *h)
{
    float *x = qn_alloc((size_t)r->n_row, (size_t)n_in * sizeof *x);
    if (!x)
        return qn_fail(c->err, QN_ENOMEM,
                       "calibration: no memory for %lld rows of an expert",
                       (long long)r->n_row);
    for (int64_t i = 0; i < r->n_row; i++)
        memcpy(x + i * n_in, row_of(r, i), (size_t)n_in * sizeof *x);
    qn_op lin = {.kind = QN_OP_LINEAR};
    lin.u.linear = (qn_op_linear){.x = x,
                                  .ldx = n_in,
                                  .n_row = (int)r->n_row,
                                  .n_part = op->gate ? 2 : 1,
                                  .epi = op->gate ? QN_EPI_GLU : QN_EPI_STORE,
                                  .act = op->act,
                                  .scale = 1};
    const qn_weight *w[2] = {op->gate ? op->gate[e] : op->up[e], op->up[e]};
    const float *b[2] = {op->gate ? op->gate_bias : op->up_bias, op->up_bias};
    for (int i = 0; i < lin.u.linear.n_part; i++) {
        lin.u.linear.part[i].w = w[i];
        lin.u.linear.part[i].bias = b[i] ? b[i] + (int64_t)e * op->d_ff : NULL;
    }
    lin.u.linear.part[0].y = h;
    lin.u.linear.part[0].ldy = op->d_ff;
    int rc = c->be->api->exec(c->be, &lin, 1, c->err);
    qn_free(x);
    return rc;
}

/* ... and its statistics; not of experts that do more between the products. */
static int see_down(qn_cal *c, const qn_op_experts *op, int e,
                    const rows_ref *r, int64_t n_in)
{
    reader *down = op->down ? reader_of(c, op->down[e]) : NULL;
    if (!down || op->limit > 0 || op->up_offset != 0 || op->x_weighted)
        return QN_OK;
    float *h = qn_alloc((size_t)r->n_row, (size_t)op->d_ff * sizeof *h);
    rows_ref own = {h, op->d_ff, NULL, r->n_row};
    int rc = h ? expert_hidden(c, op, e, r, n_in, h)
               : qn_fail(c->err, QN_ENOMEM,
                         "calibration: no memory for an expert's rows");
    int input = rc < 0 ? rc : input_of(c, down, op->d_ff);
    if (input >= 0)
        rc = gather(c, input, &own);
    qn_free(h);
    return input < 0 ? input : rc;
}

static int see_expert(qn_cal *c, const qn_op_experts *op, int e,
                      const rows_ref *r, int64_t n_in)
{
    reader *up = reader_of(c, op->up[e]);
    reader *gate = op->gate ? reader_of(c, op->gate[e]) : NULL;
    if (!up || r->n_row == 0)
        return QN_OK;
    int input = input_of(c, up, n_in);
    QN_TRY(input);
    if (gate)
        gate->input = input;
    QN_TRY(gather(c, input, r));
    return see_down(c, op, e, r, n_in);
}

/* The rows that the router sends to each expert. */
static int see_experts(qn_cal *c, const qn_op_experts *op, int64_t n_in)
{
    int32_t *pick = qn_xcalloc((size_t)op->n_row + 1, sizeof *pick);
    int rc = QN_OK;
    for (int e = 0; e < op->n_exp && rc >= 0; e++) {
        rows_ref r = {op->x, op->ldx, pick, 0};
        for (int i = 0; i < op->n_row; i++)
            for (int j = 0; j < op->k; j++)
                if (op->ids[i * op->k + j] == e)
                    pick[r.n_row++] = i;
        rc = see_expert(c, op, e, &r, n_in);
    }
    free(pick);
    return rc < 0 ? rc : QN_OK;
}

static int64_t width_of(const qn_cal *c, const reader *rd)
{
    const qn_tensor *t = qn_ckpt_find(c->ck, rd->m.tensor);
    if (!t || t->n_dims < 2)
        return 0;
    return t->shape[t->n_dims - (rd->m.transposed ? 2 : 1)];
}

/* Whose output is not kept is run no further than to what its last matrix
 * reads. */
static bool observe(void *user, const qn_op *op)
{
    qn_cal *c = user;
    const reader *rd = NULL;
    int at = c->n_ops++;
    if (c->rc < 0)
        return false;
    if (op->kind == QN_OP_LINEAR)
        rd = reader_of(c, op->u.linear.part[0].w);
    else if (op->kind == QN_OP_EXPERTS)
        rd = reader_of(c, op->u.experts.up[0]);
    int64_t n = rd ? width_of(c, rd) : 0;
    if (n <= 0)
        return true;
    c->rc = op->kind == QN_OP_LINEAR ? see_linear(c, &op->u.linear, n)
                                     : see_experts(c, &op->u.experts, n);
    bool more = c->keep || at != c->last_op;
    if (more && at > c->last_op)
        c->last_op = at;
    return c->rc >= 0 && more;
}

/* ---- opening ------------------------------------------------------------- */

/* Whether all that is gathered are means, of all rows that pass. */
static bool wants_means(const qn_cal *c)
{
    return c->p->method && strcmp(c->p->method, "awq") == 0 &&
           !qn_net_hparams(c->net)->n_exp;
}

/* Inputs of the widest matrix, whose statistics want that many tokens twice; 0:
 * means alone are gathered, where no expert waits for the rows that are its own.
 * Measured with GPTQ, 4 bits, on the built-in model, whose widest has 1024: KL
 * 0.0027 with half as many tokens as inputs, 0.0016 with as many, 0.0010 with
 * twice, 0.0009 with four and eight times. */
static int64_t widest(const qn_cal *c)
{
    reader rd = {.input = -1};
    int64_t most = 0;
    for (size_t i = 0; !wants_means(c) && qn_net_matrix_at(c->net, i, &rd.m);
         i++)
        if (rd.m.linear)
            most = QN_MAX(most, width_of(c, &rd));
    return most;
}

static int read_samples(qn_cal *c, qn_err *err)
{
    QN_TRY(qn_samples_read(&c->samples, c->p, c->ck, err));
    return qn_samples_cut(&c->samples, c->p, widest(c),
                          qn_net_max_positions(c->net), err);
}

static int make_room(qn_cal *c, qn_err *err)
{
    size_t d = (size_t)qn_net_hparams(c->net)->d_model;
    int n_pages = c->samples.len / c->be->api->page_tokens + 1;
    qn_pass_params pp = {.n_pages = {n_pages, n_pages},
                         .max_rows = c->samples.len,
                         .max_out = 1,
                         .max_spans = 1,
                         .n_slots = 1,
                         .one_layer = qn_net_is_chain(c->net),
                         .kv_dtype = QN_KV_CELL_F32};
    QN_TRY(qn_pass_new(&c->pass, c->net, &pp, err));
    c->pages = qn_xcalloc((size_t)n_pages, sizeof *c->pages);
    c->pos = qn_xcalloc((size_t)c->samples.len, sizeof *c->pos);
    for (int i = 0; i < n_pages; i++)
        c->pages[i] = i;
    for (int i = 0; i < c->samples.len; i++)
        c->pos[i] = i;
    if (!qn_acts_new(&c->h, (size_t)c->samples.n * (size_t)c->samples.len, d))
        return qn_fail(err, QN_ENOMEM,
                       "calibration: no memory for %d samples of %d tokens; "
                       "take fewer (--calibration-samples)",
                       c->samples.n, c->samples.len);
    return QN_OK;
}

static int cal_open(qn_cal *c, qn_cal_how how, qn_err *err)
{
    qn_backend_params bp = {.n_threads = c->p->n_threads,
                            .isa = QN_ISA_N - 1,
                            .exact = how == QN_CAL_EXACT};
    qn_net_params np = {.by_layer = true, .narrow = how == QN_CAL_NARROW};
    QN_TRY(qn_backend_open(&c->be, "cpu", &bp, err));
    c->pool = c->be->api->pool(c->be);
    QN_TRY(qn_net_open(&c->net, c->ck, c->be, &np, err));
    QN_TRY(read_samples(c, err));
    return make_room(c, err);
}

int qn_cal_open(qn_cal **out, const qn_optimize_params *p, const qn_ckpt *ck,
                qn_cal_how how, qn_err *err)
{
    qn_cal *c = qn_xcalloc(1, sizeof *c);
    c->p = p;
    c->ck = ck;
    c->stage = -1;
    int rc = cal_open(c, how, err);
    if (rc < 0) {
        qn_cal_close(c);
        return rc;
    }
    *out = c;
    return QN_OK;
}

void qn_cal_input_drop(qn_cal_input *in)
{
    qn_free(in->squares);
    qn_free(in->rows);
    in->squares = in->rows = NULL;
    qn_tri_free(&in->gram);
}

static void forget_inputs(qn_cal *c)
{
    for (size_t i = 0; i < c->inputs.n; i++)
        qn_cal_input_drop(&c->inputs.v[i]);
    qn_vec_clear(&c->inputs);
    for (size_t i = 0; i < c->readers.n; i++)
        c->readers.v[i].input = -1;
}

void qn_cal_close(qn_cal *c)
{
    if (!c)
        return;
    forget_inputs(c);
    qn_vec_deinit(&c->inputs);
    qn_vec_deinit(&c->readers);
    qn_samples_deinit(&c->samples);
    qn_acts_free(&c->turned);
    qn_acts_free(&c->h);
    qn_free(c->pages);
    qn_free(c->pos);
    qn_pass_free(c->whole);
    qn_pass_free(c->pass);
    qn_net_close(c->net);
    if (c->be)
        qn_backend_close(c->be);
    qn_free(c);
}

qn_net *qn_cal_net(const qn_cal *c)
{
    return c->net;
}

qn_backend *qn_cal_backend(const qn_cal *c)
{
    return c->be;
}

void qn_cal_samples(const qn_cal *c, int64_t *n, int64_t *len)
{
    *n = c->samples.n;
    *len = c->samples.len;
}

int qn_cal_n_stages(const qn_cal *c)
{
    return qn_net_is_chain(c->net) ? qn_net_hparams(c->net)->n_layer : 1;
}

void qn_cal_stage(const qn_cal *c, int i, int *from, int *to)
{
    bool chain = qn_net_is_chain(c->net);
    *from = chain ? i : 0;
    *to = chain ? i + 1 : qn_net_hparams(c->net)->n_layer;
}

/* ---- stages -------------------------------------------------------------- */

static void list_readers(qn_cal *c)
{
    reader rd = {.input = -1};
    qn_vec_clear(&c->readers);
    for (size_t i = 0; qn_net_matrix_at(c->net, i, &rd.m); i++)
        if (rd.m.w && rd.m.linear)
            qn_vec_push(&c->readers, rd);
}

const int32_t *qn_cal_tokens(const qn_cal *c, int sample)
{
    return c->samples.ids.v + c->samples.starts.v[sample];
}

/* A sample as a batch, with logits of all rows or of none; *span is its. */
static qn_batch batch_of(const qn_cal *c, int sample, bool logits,
                         qn_span *span)
{
    *span = (qn_span){.n_row = c->samples.len,
                      .rope_len = c->samples.len,
                      .pages = {c->pages, c->pages}};
    return (qn_batch){.n_row = c->samples.len,
                      .tokens = qn_cal_tokens(c, sample),
                      .pos = c->pos,
                      .n_span = 1,
                      .spans = span,
                      .n_out = logits ? c->samples.len : 0,
                      .out_rows = logits ? c->pos : NULL};
}

/* Of the embeddings, the rows that the text has. */
static int load_begin(qn_cal *c, qn_err *err)
{
    return qn_net_load_begin(c->net, c->ck, c->samples.ids.v, c->samples.ids.n,
                             err);
}

/* The stream into layer 0, of a chain: no layer is in memory meanwhile, and then
 * no embeddings are beside the layer. */
static int embed(qn_cal *c, qn_err *err)
{
    size_t n = (size_t)c->samples.len * (size_t)qn_net_hparams(c->net)->d_model;
    int rc = load_begin(c, err);
    for (int i = 0; i < c->samples.n && rc == QN_OK; i++) {
        qn_span span;
        qn_batch b = batch_of(c, i, false, &span);
        rc = qn_pass_embed(c->pass, &b, c->h.v + (size_t)i * n, err);
    }
    qn_net_drop_layer(c->net, -1);
    c->embedded = rc == QN_OK;
    return rc;
}

int qn_cal_load(qn_cal *c, int stage, qn_err *err)
{
    int from, to;
    bool chain = qn_net_is_chain(c->net);
    qn_cal_stage(c, stage, &from, &to);
    qn_cal_drop(c);
    qn_mem_trim(); /* of what rounded the last one */
    c->stage = stage;
    if (from == 0 && !c->embedded)
        QN_TRY(chain ? embed(c, err) : load_begin(c, err));
    for (int i = from; i < to; i++)
        QN_TRY(qn_net_load_layer(c->net, c->ck, i, err));
    list_readers(c);
    return QN_OK;
}

void qn_cal_unload(qn_cal *c)
{
    int from, to;
    if (c->stage < 0)
        return;
    qn_cal_stage(c, c->stage, &from, &to);
    for (size_t i = 0; i < c->readers.n; i++)
        c->readers.v[i].m.w = NULL;
    qn_net_drop_layer(c->net, -1);
    for (int i = from; i < to; i++)
        qn_net_drop_layer(c->net, i);
}

void qn_cal_drop(qn_cal *c)
{
    qn_cal_unload(c);
    forget_inputs(c);
    qn_vec_clear(&c->readers);
    c->stage = -1;
}

float *qn_cal_stream(qn_cal *c, size_t *n)
{
    *n = c->h.n;
    return c->h.v;
}

static int open_whole(qn_cal *c, int64_t n_logits, qn_err *err)
{
    qn_pass_params pp = {.n_pages = {1, 1},
                         .max_rows = c->samples.len,
                         .max_out = c->samples.len,
                         .n_logits = (int)n_logits,
                         .max_spans = 1,
                         .n_slots = 1,
                         .kv_dtype = QN_KV_CELL_F32};
    pp.n_pages[0] = pp.n_pages[1] = c->samples.len / c->be->api->page_tokens +
                                    1;
    return qn_pass_new(&c->whole, c->net, &pp, err);
}

int qn_cal_load_all(qn_cal *c, qn_err *err)
{
    qn_cal_drop(c);
    for (int i = -1; i < qn_net_hparams(c->net)->n_layer; i++)
        QN_TRY(qn_net_load_layer(c->net, c->ck, i, err));
    return open_whole(c, 0, err);
}

int qn_cal_load_begin(qn_cal *c, qn_err *err)
{
    qn_cal_drop(c);
    return load_begin(c, err);
}

int qn_cal_load_head(qn_cal *c, int64_t from, int64_t *n, qn_err *err)
{
    const qn_hparams *hp = qn_net_hparams(c->net);
    *n = hp->n_vocab;
    if (!qn_net_is_chain(c->net))
        return qn_cal_load_all(c, err);
    uint64_t rows = qn_net_largest_layer(c->net) / HEAD_SHARE /
                    (uint64_t)hp->d_embed;
    *n = (int64_t)QN_MAX(rows / HEAD_ROWS, 1) * HEAD_ROWS;
    qn_cal_drop(c);
    QN_TRY(qn_net_load_head(c->net, c->ck, from, n, err));
    return c->whole ? QN_OK : open_whole(c, *n < hp->n_vocab ? *n : 0, err);
}

int qn_cal_head(qn_cal *c, int sample, const float *h, const float **logits,
                qn_err *err)
{
    qn_span span;
    if (!qn_net_is_chain(c->net))
        return qn_cal_logits(c, sample, logits, err);
    qn_batch b = batch_of(c, sample, true, &span);
    return qn_pass_head(c->whole, &b, h, logits, err);
}

int qn_cal_logits(qn_cal *c, int sample, const float **logits, qn_err *err)
{
    qn_span span;
    qn_batch b = batch_of(c, sample, true, &span);
    return qn_pass_forward(c->whole, &b, logits, err);
}

static int run_sample(qn_cal *c, int i, bool keep, float *scratch)
{
    int from, to;
    size_t d = (size_t)qn_net_hparams(c->net)->d_model,
           n = (size_t)c->samples.len * d;
    float *h = c->h.v + (size_t)i * n;
    c->n_ops = 0;
    qn_span span;
    qn_batch b = batch_of(c, i, false, &span);
    qn_cal_stage(c, c->stage, &from, &to);
    if (c->embedded)
        b.tokens = NULL;
    if (!keep) {
        memcpy(scratch, h, n * sizeof *h);
        h = scratch;
    }
    int rc = qn_pass_layers(c->pass, &b, from, to, h, c->err);
    return rc < 0 ? rc : c->rc;
}

int qn_cal_run(qn_cal *c, unsigned what, bool keep, const qn_watch *watch,
               qn_err *err)
{
    size_t d = (size_t)qn_net_hparams(c->net)->d_model;
    qn_acts scratch = {0};
    int rc = QN_OK;
    if (!keep && !qn_acts_new(&scratch, (size_t)c->samples.len, d))
        return qn_fail(err, QN_ENOMEM, "calibration: no memory for a sample");
    if (what)
        forget_inputs(c);
    c->what = what;
    c->keep = keep;
    c->last_op = -1;
    c->err = err;
    c->rc = QN_OK;
    qn_pass_observe(c->pass, what ? observe : NULL, c);
    for (int i = 0; i < c->samples.n && rc == QN_OK; i++) {
        rc = run_sample(c, i, keep, scratch.v);
        if (rc == QN_OK)
            rc = qn_watch_told(watch, (i + 1.0) / c->samples.n, "calibrating",
                               err);
    }
    for (size_t i = 0; what && i < c->inputs.n; i++) {
        qn_cal_input *in = &c->inputs.v[i];
        for (int64_t k = 0; k < in->n && in->count; k++)
            in->squares[k] /= (float)in->count;
    }
    if (keep && c->stage == 0)
        c->embedded = false;
    qn_pass_observe(c->pass, NULL, NULL);
    qn_acts_free(&scratch);
    return rc;
}

const qn_cal_input *qn_cal_find(const qn_cal *c, const char *tensor, int expert)
{
    for (size_t i = 0; i < c->readers.n; i++) {
        const reader *rd = &c->readers.v[i];
        if (rd->input >= 0 && strcmp(rd->m.tensor, tensor) == 0 &&
            (expert < 0 || rd->m.expert == expert))
            return &c->inputs.v[rd->input];
    }
    return NULL;
}

qn_cal_input *qn_cal_input_at(qn_cal *c, size_t i, const char **tensor)
{
    if (i >= c->inputs.n)
        return NULL;
    for (size_t k = 0; k < c->readers.n; k++)
        if (c->readers.v[k].input == (int)i) {
            *tensor = c->readers.v[k].m.tensor;
            return &c->inputs.v[i];
        }
    return NULL;
}
