/* load.c - reading weights.
 *
 * The slots are cut into tasks of a few megabytes of rows, in the order of the
 * files, and the backend's threads take them one after the other. A task goes
 * in pieces: rows are read into a buffer of the thread that stays in its cache,
 * and the backend packs them from there to where they are to lie. So the source
 * is read nearly sequentially and once, and a file that shrinks is an error. (A
 * mapped file is no faster: its pages are entered and taken out again, each
 * time with a word to the other processors.) A task spans whole huge pages
 * where it can: two threads that touch a new one at the same time would both
 * clear it.
 *
 * Norms and biases are few and small: they are read before, by the caller. */
#include "model/net_int.h"

#include "base/compiler.h"
#include "base/mem.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    TASK_BYTES = 4 << 20,    /* of which a piece is read and packed at once */
    PIECE_BYTES = 256 << 10, /* stays in a processor's own cache */
    PIECE_ROWS = 16,         /* backends pack rows in groups of this */
    SPAN_BYTES = 1 << 16,    /* shorter runs are read with what lies between */
    ALL_LAYERS = -2
};

typedef struct load_task {
    const qn_slot *slot;
    int64_t row, n_row;
    bool last; /* of its tensor */
} load_task;

typedef struct load_buf {
    void *p;
    size_t cap;
} load_buf;

typedef struct load_job {
    qn_net *net;
    const qn_ckpt *ck;
    const qn_net_params *params;
    int layer;          /* ALL_LAYERS, -1 or one */
    const bool *wanted; /* of each PIECE_ROWS embeddings, or NULL: all */
    QN_VEC(load_task) tasks;
    atomic_size_t next;
    atomic_uint_fast64_t done;
    atomic_bool stop;
    pthread_mutex_t lock; /* of rc and err */
    int rc;
    qn_err *err;
} load_job;

/* ---- rows -------------------------------------------------------------- */

static size_t row_bytes(const qn_slot *s)
{
    const qn_dtype_row *d = qn_dtype_get(s->t->dtype);
    return (size_t)(s->n_in / d->block_elems) * (size_t)d->block_bytes;
}

static int64_t source_row(const qn_row_map *m, int64_t r)
{
    return r / m->block * m->stride + m->offset + r % m->block;
}

static void *buf_need(load_buf *b, size_t n)
{
    if (n > b->cap) {
        free(b->p);
        b->cap = 0;
        b->p = qn_alloc(n, 1);
        if (b->p)
            b->cap = n;
    }
    return b->p;
}

/* Byte of the tensor where the role's row 0 would lie. */
static uint64_t first_byte(const qn_slot *s)
{
    const qn_dtype_row *d = qn_dtype_get(s->t->dtype);
    return s->first / (uint64_t)d->block_elems * (uint64_t)d->block_bytes;
}

/* Where a row lies in its tensor. */
static uint64_t row_at(const qn_slot *s, int64_t row)
{
    return first_byte(s) +
           (uint64_t)source_row(&s->rows, row) * (uint64_t)row_bytes(s);
}

/* Rows [row, row + n) of the slot, back to back, at the start of the buffer. */
static int read_rows(const qn_ckpt *ck, const qn_slot *s, int64_t row,
                     int64_t n, load_buf *buf, qn_err *err)
{
    const qn_row_map *m = &s->rows;
    size_t rb = row_bytes(s);
    uint64_t base = first_byte(s);
    int64_t first = source_row(m, row);
    bool whole = m->stride != 0 && (size_t)m->block * rb < SPAN_BYTES;
    int64_t span = whole ? source_row(m, row + n - 1) + 1 - first : n;
    uint8_t *p = buf_need(buf, (size_t)span * rb);
    if (!p)
        return qn_fail(err, QN_ENOMEM, "tensor %s: no memory to read %zu bytes",
                       s->t->name, (size_t)span * rb);
    if (whole)
        QN_TRY(qn_ckpt_read(ck, s->t, base + (uint64_t)first * rb, p,
                            (size_t)span * rb, err));
    for (int64_t i = 0; i < n;) {
        int64_t run = QN_MIN(m->block - (row + i) % m->block, n - i);
        int64_t src = source_row(m, row + i);
        if (whole) /* forward: rows only move towards the start */
            memmove(p + (size_t)i * rb, p + (size_t)(src - first) * rb,
                    (size_t)run * rb);
        else
            QN_TRY(qn_ckpt_read(ck, s->t, base + (uint64_t)src * rb,
                                p + (size_t)i * rb, (size_t)run * rb, err));
        i += run;
    }
    return QN_OK;
}

/* All of a tensor, blocks as f32; *es: bytes of an element. */
static int read_elements(const qn_ckpt *ck, const qn_slot *s, size_t n,
                         load_buf *buf, size_t *es, qn_err *err)
{
    const qn_dtype_row *d = qn_dtype_get(s->t->dtype);
    size_t bytes = n / (size_t)d->block_elems * (size_t)d->block_bytes;
    bool blocks = d->block_elems > 1;
    *es = blocks ? sizeof(float) : (size_t)d->block_bytes;
    uint8_t *p = buf_need(buf, blocks ? bytes + n * *es : bytes);
    if (!p)
        return qn_fail(err, QN_ENOMEM, "tensor %s: no memory to read %zu bytes",
                       s->t->name, bytes);
    uint8_t *raw = blocks ? p + n * *es : p;
    QN_TRY(qn_ckpt_read(ck, s->t,
                        s->first / (uint64_t)d->block_elems *
                            (uint64_t)d->block_bytes,
                        raw, bytes, err));
    return blocks
               ? qn_dtype_decode(s->t->dtype, raw, (float *)(void *)p, n, err)
               : QN_OK;
}

/* The rows of a matrix that is stored as its columns, maybe head by head: the
 * whole of it. */
static int read_columns(const qn_ckpt *ck, const qn_slot *s, load_buf *buf,
                        load_buf *tmp, qn_err *err)
{
    size_t total = (size_t)s->rows.total, n_in = (size_t)s->n_in, es;
    size_t n_out = (size_t)s->n_out, per = total / (size_t)s->n_part;
    QN_TRY(read_elements(ck, s, total * n_in, tmp, &es, err));
    const uint8_t *src = tmp->p;
    uint8_t *dst = buf_need(buf, n_out * n_in * es);
    if (!dst)
        return qn_fail(err, QN_ENOMEM, "tensor %s: no memory to read %zu bytes",
                       s->t->name, n_out * n_in * es);
    for (size_t r = 0; r < n_out; r++) {
        size_t row = (size_t)source_row(&s->rows, (int64_t)r);
        size_t at = row / per * n_in * per + row % per;
        for (size_t k = 0; k < n_in; k++)
            memcpy(dst + (r * n_in + k) * es, src + (at + k * per) * es, es);
    }
    return QN_OK;
}

/* ---- vectors ----------------------------------------------------------- */

/* [n_rows, n / n_rows] -> [n / n_rows, n_rows], by way of tmp [n] */
static void transpose(float *v, size_t n_rows, size_t n, float *tmp)
{
    size_t n_col = n / n_rows;
    memcpy(tmp, v, n * sizeof *v);
    for (size_t r = 0; r < n_rows; r++)
        for (size_t c = 0; c < n_col; c++)
            v[c * n_rows + r] = tmp[r * n_col + c];
}

/* What is settled once: norms with w - 1 in the file, decays as logarithms,
 * channels that lie apart where lanes want them together. */
static void settle(const qn_net *net, const qn_slot *s, float *v, float *tmp)
{
    size_t n = (size_t)s->n_out;
    bool hf = net->container == QN_CKPT_HF;
    qn_role_shape shape;
    if (s->bias || !qn_role_shape_of(&net->hp, s->role, s->layer, &shape))
        return;
    for (size_t i = 0; s->role == QN_R_REC_A && hf && i < n; i++)
        v[i] = -(float)exp((double)v[i]);
    if ((s->role == QN_R_REC_A || s->role == QN_R_REC_CONV) && shape.n_rows > 1)
        transpose(v, (size_t)shape.n_rows, n, tmp);
}

static int load_vector(qn_net *net, const qn_ckpt *ck, const qn_slot *s,
                       load_buf *raw, load_buf *f32, qn_err *err)
{
    size_t n = (size_t)s->n_out;
    QN_TRY(read_rows(ck, s, 0, s->n_out, raw, err));
    float *v = buf_need(f32, 2 * n * sizeof *v);
    if (!v)
        return qn_fail(err, QN_ENOMEM, "tensor %s: no memory", s->t->name);
    QN_TRY(qn_dtype_decode(s->t->dtype, raw->p, v, n, err));
    settle(net, s, v, v + n);
    bool plus_one = net->hp.norm_plus_one && !s->bias &&
                    qn_role_is_norm(s->role) && net->container == QN_CKPT_HF;
    for (size_t i = 0; plus_one && i < n; i++)
        v[i] += 1.0f;
    float *dst = net->vectors + s->vec_at / sizeof(float);
    net->be->api->write(net->be, dst, v, n * sizeof *v);
    if (s->role == QN_R_LAYER_SCALE)
        net->layer_scale[s->layer] = v[0];
    qn_parts *parts = s->layer < 0 ? &net->top : &net->layer[s->layer];
    if (s->expert > 0) /* the vector begins with the first head's row */
        return QN_OK;
    if (s->bias)
        parts->p[s->role].b = dst;
    else
        parts->p[s->role].v = dst;
    return QN_OK;
}

/* ALiBi (Press et al. 2021): 2^(-8 i / n) for n heads; if n is no power of
 * two, the odd ones of twice as many follow. */
static void load_slopes(qn_net *net)
{
    int n = net->hp.n_head, base = 1;
    while (2 * base <= n)
        base *= 2;
    float *v = qn_xcalloc((size_t)n, sizeof *v);
    for (int i = 0; i < n; i++) {
        double e = i < base ? 8.0 * (i + 1) / base
                            : 4.0 * (2 * (i - base) + 1) / base;
        v[i] = (float)exp2(-e) * net->hp.alibi_scale;
    }
    net->slopes = net->vectors + net->slopes_at / sizeof *v;
    net->be->api->write(net->be, net->slopes, v, (size_t)n * sizeof *v);
    free(v);
}

/* Positions as fairseq counts them: sines of all frequencies, then cosines;
 * the row of the padding token is empty. */
static int load_sinusoids(qn_net *net, qn_err *err)
{
    const qn_hparams *hp = &net->hp;
    int n = hp->d_model / 2;
    qn_weight_desc d = net->pos_table;
    float *row = qn_xcalloc((size_t)hp->d_model, sizeof *row);
    int rc = net->be->api->weight_new(net->be, &d, &net->pos_weight, err);
    for (int64_t i = 0; i < d.n_out && rc == QN_OK; i++) {
        for (int j = 0; j < n; j++) {
            float f = expf((float)j * (float)(-log(10000.0) / (n - 1)));
            float a = (float)i * f;
            row[j] = i == hp->pos_empty ? 0 : sinf(a);
            row[n + j] = i == hp->pos_empty ? 0 : cosf(a);
        }
        net->be->api->weight_put(net->pos_weight, i, 1, row);
    }
    net->top.p[QN_R_POS_EMBED].w = net->pos_weight;
    free(row);
    return rc;
}

/* Tables that stay where they are. */
static int open_lookups(qn_net *net, const qn_ckpt *ck, qn_err *err)
{
    for (size_t i = 0; i < net->slots.n; i++) {
        const qn_slot *s = &net->slots.v[i];
        if (s->looked_up)
            QN_TRY(
                qn_lookup_open(s->role == QN_R_EMBED ? &net->embed : &net->ple,
                               ck, s->t, row_at(s, 0), s->n_out, s->n_in, err));
    }
    return QN_OK;
}

static int load_vectors(qn_net *net, const qn_ckpt *ck, qn_err *err)
{
    load_buf raw = {0}, f32 = {0};
    int rc = QN_OK;
    for (size_t i = 0; i < net->slots.n && rc == QN_OK; i++) {
        if (net->slots.v[i].kind == QN_VECTOR)
            rc = load_vector(net, ck, &net->slots.v[i], &raw, &f32, err);
    }
    free(raw.p);
    free(f32.p);
    return rc;
}

/* ---- matrices ---------------------------------------------------------- */

static void put_weight(qn_net *net, const qn_slot *s)
{
    qn_parts *parts = s->layer < 0 ? &net->top : &net->layer[s->layer];
    if (s->kind == QN_MATRIX) {
        parts->p[s->role].w = s->w;
        return;
    }
    qn_weight ***e = &parts->exp[qn_role_stack(s->role)];
    if (!*e)
        *e = qn_xcalloc((size_t)qn_role_count(&net->hp, s->role), sizeof **e);
    (*e)[s->expert] = s->w;
}

static bool is_meant(const qn_net *net, const qn_slot *s, int layer)
{
    if (s->kind == QN_VECTOR || s->looked_up)
        return false;
    if (layer == QN_NET_BEGIN)
        return s->layer == -1 && s->role != QN_R_HEAD;
    if (layer == QN_NET_END)
        return s->layer == -1 && (s->role != QN_R_EMBED || net->hp.tied);
    return layer == ALL_LAYERS || s->layer == layer;
}

/* some: of the embeddings few rows are wanted, which lie here and there. */
static int new_weights(qn_net *net, int layer, bool some, qn_err *err)
{
    for (size_t i = 0; i < net->slots.n; i++) {
        qn_slot *s = &net->slots.v[i];
        if (!is_meant(net, s, layer))
            continue;
        qn_weight_desc d = qn_slot_desc(s);
        d.sparse = some && s->role == QN_R_EMBED;
        int rc = net->be->api->weight_new(net->be, &d, &s->w, err);
        if (rc < 0)
            return qn_err_prefix(err, rc, "tensor %s", s->t->name);
        put_weight(net, s);
    }
    if (net->hp.tied)
        net->top.p[QN_R_HEAD].w = net->top.p[QN_R_EMBED].w;
    return QN_OK;
}

/* Rows of about `bytes`, whole groups of them. */
static int64_t rows_of(const qn_slot *s, size_t bytes)
{
    int64_t n = (int64_t)(bytes / QN_MAX(row_bytes(s), 1));
    return QN_MAX(n / PIECE_ROWS * PIECE_ROWS, PIECE_ROWS);
}

/* Elements of one type, in the first buffer, become f32 in the second, and of
 * another type in the first again. */
static int convert(const qn_slot *s, qn_dtype from, size_t n, const void **rows,
                   load_buf bufs[2], qn_err *err)
{
    float *f = buf_need(&bufs[1], n * sizeof *f);
    if (!f)
        return qn_fail(err, QN_ENOMEM, "tensor %s: no memory", s->t->name);
    QN_TRY(qn_dtype_decode(from, *rows, f, n, err));
    *rows = f;
    if (s->dtype == QN_F32)
        return QN_OK;
    void *p = buf_need(&bufs[0], n * sizeof *f);
    if (!p)
        return qn_fail(err, QN_ENOMEM, "tensor %s: no memory", s->t->name);
    *rows = p;
    return qn_dtype_encode(s->dtype, f, p, n, err);
}

static int load_piece(load_job *job, const qn_slot *s, int64_t row, int64_t n,
                      load_buf bufs[2], qn_err *err)
{
    QN_TRY(s->transposed ? read_columns(job->ck, s, &bufs[0], &bufs[1], err)
                         : read_rows(job->ck, s, row, n, &bufs[0], err));
    const void *rows = bufs[0].p;
    qn_dtype dtype = s->t->dtype;
    if (s->transposed && dtype != s->dtype &&
        qn_dtype_get(dtype)->block_elems > 1)
        dtype = QN_F32; /* read_columns decoded them */
    size_t elems = (size_t)n * (size_t)s->n_in;
    if (s->dtype != dtype)
        QN_TRY(convert(s, dtype, elems, &rows, bufs, err));
    job->net->be->api->weight_put(s->w, row, n, rows);
    atomic_fetch_add(&job->done, (uint64_t)n * row_bytes(s));
    return QN_OK;
}

static int load_task_run(load_job *job, const load_task *task, load_buf bufs[2],
                         qn_err *err)
{
    const qn_slot *s = task->slot;
    if (s->t->quant) {
        QN_TRY(qn_load_quantized(job->net, job->ck, s, err));
        if (task->last)
            qn_ckpt_quant_view_end(job->ck, s->t);
        atomic_fetch_add(&job->done, s->stored_bytes);
        return QN_OK;
    }
    int64_t step = s->transposed ? s->n_out : rows_of(s, PIECE_BYTES);
    int64_t end = task->row + task->n_row;
    if (!s->transposed && s->rows.stride == 0)
        qn_ckpt_will_read(job->ck, s->t, row_at(s, task->row),
                          (size_t)task->n_row * row_bytes(s));
    for (int64_t r = task->row; r < end; r += step)
        QN_TRY(load_piece(job, s, r, QN_MIN(step, end - r), bufs, err));
    return QN_OK;
}

static void load_stop(load_job *job, int rc, const qn_err *e)
{
    pthread_mutex_lock(&job->lock);
    if (job->rc == QN_OK) {
        job->rc = rc;
        if (job->err)
            *job->err = *e;
    }
    pthread_mutex_unlock(&job->lock);
    atomic_store(&job->stop, true);
}

static void load_thread(void *arg, int thread, int n_threads)
{
    (void)n_threads;
    load_job *job = arg;
    load_buf bufs[2] = {{0}, {0}};
    const qn_net_params *p = job->params;
    qn_err e = {0};
    while (!atomic_load(&job->stop)) {
        size_t i = atomic_fetch_add(&job->next, 1);
        if (i >= job->tasks.n)
            break;
        int rc = load_task_run(job, &job->tasks.v[i], bufs, &e);
        if (rc == QN_OK && thread == 0 && p->progress &&
            !p->progress(p->progress_user, atomic_load(&job->done),
                         job->net->file_bytes))
            rc = qn_fail(&e, QN_ECANCEL, "loading was interrupted");
        if (rc < 0)
            load_stop(job, rc, &e);
    }
    free(bufs[0].p);
    free(bufs[1].p);
}

static int by_place(const void *a, const void *b)
{
    const qn_slot *x = a, *y = b;
    if (x->t->file != y->t->file)
        return x->t->file < y->t->file ? -1 : 1;
    if (x->t->offset != y->t->offset)
        return x->t->offset < y->t->offset ? -1 : 1;
    int64_t rx = x->rows.offset + (int64_t)x->first / QN_MAX(x->n_in, 1);
    int64_t ry = y->rows.offset + (int64_t)y->first / QN_MAX(y->n_in, 1);
    return (rx > ry) - (rx < ry);
}

/* Runs of the embeddings that are wanted. */
static void cut_wanted(load_job *job, const qn_slot *s)
{
    int64_t n = s->n_out;
    for (int64_t r = 0, end; r < n; r = end) {
        bool yes = job->wanted[r / PIECE_ROWS];
        for (end = r; end < n && job->wanted[end / PIECE_ROWS] == yes;)
            end = QN_MIN(end + PIECE_ROWS, n);
        if (yes)
            qn_vec_push(&job->tasks, (load_task){s, r, end - r, false});
    }
}

static void cut_tasks(load_job *job)
{
    qn_slots *slots = &job->net->slots;
    qsort(slots->v, slots->n, sizeof *slots->v, by_place);
    for (size_t i = 0; i < slots->n; i++) {
        const qn_slot *s = &slots->v[i];
        if (!is_meant(job->net, s, job->layer))
            continue;
        bool by_rows = !s->transposed && !s->t->quant;
        int64_t step = by_rows ? rows_of(s, TASK_BYTES) : s->n_out;
        if (job->tasks.n && job->tasks.v[job->tasks.n - 1].slot->t != s->t)
            job->tasks.v[job->tasks.n - 1].last = true;
        if (job->wanted && s->role == QN_R_EMBED && by_rows) {
            cut_wanted(job, s);
            continue;
        }
        for (int64_t r = 0; r < s->n_out; r += step)
            qn_vec_push(&job->tasks,
                        (load_task){s, r, QN_MIN(step, s->n_out - r), false});
    }
    if (job->tasks.n)
        job->tasks.v[job->tasks.n - 1].last = true;
}

static int load_matrices(qn_net *net, const qn_ckpt *ck,
                         const qn_net_params *params, int layer,
                         const bool *wanted, qn_err *err)
{
    load_job job = {.net = net,
                    .ck = ck,
                    .params = params,
                    .layer = layer,
                    .wanted = wanted,
                    .err = err};
    cut_tasks(&job);
    job.rc = new_weights(net, layer, wanted != NULL, err);
    if (job.rc < 0)
        goto out;
    pthread_mutex_init(&job.lock, NULL);
    qn_pool *pool = net->be->api->pool ? net->be->api->pool(net->be) : NULL;
    if (pool)
        qn_pool_run(pool, load_thread, &job);
    else
        load_thread(&job, 0, 1);
    pthread_mutex_destroy(&job.lock);
    if (job.rc == QN_OK && params->progress &&
        !params->progress(params->progress_user, net->file_bytes,
                          net->file_bytes))
        job.rc = qn_fail(err, QN_ECANCEL, "loading was interrupted");
out:
    qn_vec_deinit(&job.tasks);
    return job.rc;
}

int qn_load(qn_net *net, const qn_ckpt *ck, const qn_net_params *params,
            qn_err *err)
{
    void *v;
    QN_TRY(net->be->api->buf_new(net->be, net->vector_bytes, QN_MEM_WEIGHTS, &v,
                                 err));
    net->vectors = v;
    if (net->hp.pos == QN_POS_ALIBI)
        load_slopes(net);
    if (net->hp.pos == QN_POS_SINUS)
        QN_TRY(load_sinusoids(net, err));
    QN_TRY(load_vectors(net, ck, err));
    QN_TRY(open_lookups(net, ck, err));
    return params->by_layer
               ? QN_OK
               : load_matrices(net, ck, params, ALL_LAYERS, NULL, err);
}

/* ---- layer by layer ---------------------------------------------------- */

int qn_net_load_layer(qn_net *net, const qn_ckpt *ck, int layer, qn_err *err)
{
    static const qn_net_params none = {0};
    if (layer < 0) {
        free(net->embedded);
        net->embedded = NULL;
    }
    return load_matrices(net, ck, &none, layer, NULL, err);
}

int qn_net_load_begin(qn_net *net, const qn_ckpt *ck, const int32_t *tokens,
                      size_t n, qn_err *err)
{
    static const qn_net_params none = {0};
    int n_vocab = net->hp.n_vocab;
    bool *wanted = qn_xcalloc((size_t)n_vocab / PIECE_ROWS + 1, sizeof *wanted);
    for (size_t i = 0; i < n; i++)
        if (tokens[i] >= 0 && tokens[i] < n_vocab)
            wanted[tokens[i] / PIECE_ROWS] = true;
    free(net->embedded);
    net->embedded = wanted;
    return load_matrices(net, ck, &none, QN_NET_BEGIN, wanted, err);
}

static qn_slot *head_slot(qn_net *net)
{
    qn_role role = net->hp.tied ? QN_R_EMBED : QN_R_HEAD;
    for (size_t i = 0; i < net->slots.n; i++)
        if (net->slots.v[i].role == role && net->slots.v[i].kind == QN_MATRIX)
            return &net->slots.v[i];
    return NULL;
}

/* The head's slot is of n rows from `from` on; n 0: of all again. */
static void cut_head(qn_net *net, int64_t from, int64_t n)
{
    qn_slot *s = head_slot(net);
    if (net->head_n == 0 && n == 0)
        return;
    s->first += (uint64_t)(from - net->head_from) * (uint64_t)s->n_in;
    s->n_out = n ? n : s->rows.total;
    net->head_from = from;
    net->head_n = n;
}

int qn_net_load_head(qn_net *net, const qn_ckpt *ck, int64_t from, int64_t *n,
                     qn_err *err)
{
    qn_net_drop_layer(net, QN_NET_END);
    const qn_slot *s = head_slot(net);
    if (from < 0 || from >= net->hp.n_vocab || *n < 1 || !s)
        return qn_fail(err, QN_EINVAL, "the head has no rows from %lld on",
                       (long long)from);
    bool whole = s->transposed || s->t->quant || s->rows.stride != 0 ||
                 s->n_out != s->rows.total;
    *n = whole ? net->hp.n_vocab : QN_MIN(*n, s->n_out - from);
    if (!whole && *n < s->n_out)
        cut_head(net, from, *n);
    return qn_net_load_layer(net, ck, QN_NET_END, err);
}

void qn_net_drop_layer(qn_net *net, int layer)
{
    for (size_t i = 0; i < net->slots.n; i++) {
        qn_slot *s = &net->slots.v[i];
        if (!is_meant(net, s, layer) || !s->w)
            continue;
        net->be->api->weight_free(net->be, s->w);
        s->w = NULL;
        put_weight(net, s);
    }
    if (layer == -1 || layer == QN_NET_END)
        cut_head(net, 0, 0);
}

int qn_net_empty(qn_net *net, const qn_weight *w, const qn_weight **fresh,
                 qn_err *err)
{
    for (size_t i = 0; i < net->slots.n; i++) {
        qn_slot *s = &net->slots.v[i];
        if (s->kind == QN_VECTOR || s->w != w)
            continue;
        qn_weight_desc d = qn_slot_desc(s);
        net->be->api->weight_free(net->be, s->w);
        s->w = NULL;
        int rc = net->be->api->weight_new(net->be, &d, &s->w, err);
        put_weight(net, s);
        *fresh = s->w;
        return rc;
    }
    return qn_fail(err, QN_EINTERNAL, "no such weight");
}

/* Rows of a slot that the threads ask for, PIECE_ROWS at a time. */
typedef struct put_job {
    qn_net *net;
    const qn_slot *s;
    qn_net_row_fn row;
    void *user;
    float *block;         /* of a turned slot: the rows that its columns are */
    pthread_mutex_t lock; /* of rc and err */
    int rc;
    qn_err *err;
} put_job;

/* The rows of the tensor whose columns a turned slot has. */
static int put_block(const put_job *j, int64_t begin, int64_t end, qn_err *err)
{
    int64_t n = j->s->n_out, first = (int64_t)j->s->first / n;
    for (int64_t k = begin; k < end; k++)
        QN_TRY(j->row(j->user, first + k, n, j->block + k * n, err));
    return QN_OK;
}

static int put_piece(const put_job *j, int64_t row, int64_t n, float *x,
                     uint8_t *bytes, qn_err *err)
{
    const qn_slot *s = j->s;
    int64_t first = s->transposed ? 0 : (int64_t)s->first / s->n_in;
    uint64_t size;
    QN_TRY(qn_dtype_bytes(s->dtype, (uint64_t)s->n_in, &size, err));
    for (int64_t r = row; r < row + n; r++, bytes += size) {
        for (int64_t k = 0; k < s->n_in && s->turned; k++)
            x[k] = j->block[k * s->n_out + r];
        if (!s->turned)
            QN_TRY(j->row(j->user, first + source_row(&s->rows, r), s->n_in, x,
                          err));
        QN_TRY(qn_dtype_encode(s->dtype, x, bytes, (size_t)s->n_in, err));
    }
    j->net->be->api->weight_put(s->w, row, n, bytes - (uint64_t)n * size);
    return QN_OK;
}

static int put_pieces(const put_job *j, int64_t begin, int64_t end, qn_err *err)
{
    const qn_slot *s = j->s;
    const bool *some = s->role == QN_R_EMBED ? j->net->embedded : NULL;
    float *x = qn_alloc((size_t)s->n_in, sizeof *x);
    uint8_t *bytes = qn_alloc((size_t)s->n_in, PIECE_ROWS * sizeof(double));
    int rc = x && bytes
                 ? QN_OK
                 : qn_fail(err, QN_ENOMEM, "tensor %s: no memory", s->name);
    for (int64_t r = begin; r < end && rc == QN_OK; r += PIECE_ROWS)
        if (!some || some[r / PIECE_ROWS])
            rc = put_piece(j, r, QN_MIN(end - r, (int64_t)PIECE_ROWS), x, bytes,
                           err);
    qn_free(x);
    qn_free(bytes);
    return rc;
}

static void put_thread(void *arg, int thread, int n_threads)
{
    put_job *j = arg;
    int64_t begin, end;
    qn_err e = {0};
    qn_pool_split(j->s->n_out, PIECE_ROWS, thread, n_threads, &begin, &end);
    int rc = put_pieces(j, begin, end, &e);
    pthread_mutex_lock(&j->lock);
    if (rc < 0 && j->rc == QN_OK && j->err)
        *j->err = e;
    j->rc = j->rc < 0 ? j->rc : rc;
    pthread_mutex_unlock(&j->lock);
}

static int put_slot(put_job *j, qn_pool *pool)
{
    const qn_slot *s = j->s;
    if (s->turned) { /* one head's: short */
        j->block = qn_alloc((size_t)s->n_in, (size_t)s->n_out * sizeof(float));
        j->rc = j->block ? put_block(j, 0, s->n_in, j->err)
                         : qn_fail(j->err, QN_ENOMEM, "tensor %s: no memory",
                                   s->name);
    }
    if (j->rc == QN_OK && pool)
        qn_pool_run(pool, put_thread, j);
    else if (j->rc == QN_OK)
        put_thread(j, 0, 1);
    qn_free(j->block);
    j->block = NULL;
    return j->rc;
}

int qn_net_put(qn_net *net, const char *tensor, qn_net_row_fn row, void *user,
               qn_err *err)
{
    qn_pool *pool = net->be->api->pool ? net->be->api->pool(net->be) : NULL;
    put_job j = {.net = net, .row = row, .user = user, .err = err};
    pthread_mutex_init(&j.lock, NULL);
    for (size_t i = 0; i < net->slots.n && j.rc == QN_OK; i++) {
        j.s = &net->slots.v[i];
        if (j.s->kind == QN_VECTOR || !j.s->w || j.s->coded ||
            strcmp(j.s->name, tensor) != 0)
            continue;
        put_slot(&j, pool);
    }
    pthread_mutex_destroy(&j.lock);
    return j.rc;
}

static int row_in_memory(void *user, int64_t row, int64_t n, float *dst,
                         qn_err *err)
{
    const float *w = user;
    (void)err;
    memcpy(dst, w + row * n, (size_t)n * sizeof *dst);
    return QN_OK;
}

int qn_net_put_rows(qn_net *net, const char *tensor, const float *w,
                    qn_err *err)
{
    return qn_net_put(net, tensor, row_in_memory, (void *)(uintptr_t)w, err);
}
