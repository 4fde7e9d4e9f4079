/* op_moe.c - choice of experts, and their gated MLPs.
 *
 * The (row, j) pairs of a step are sorted by expert. Each expert's rows lie
 * together then, and its weights are streamed once for all of them. The parts
 * of a row's sum are kept apart until all are there, and then added in the
 * order j = 0..k-1.
 */
#include "backend/cpu/product.h"

#include <math.h>

/* ---- route --------------------------------------------------------------- */

/* One row's scores: what weights come from, and what the choice goes by. */
typedef struct route_row {
    const qn_op_route *op;
    const float *logits;
    float *score, *choice; /* [n_exp] */
} route_row;

void qn_op_route_need(const qn_cpu_backend *be, const qn_op_route *op,
                      qn_need *need)
{
    (void)be;
    need->own = 2 * (uint64_t)op->n_exp * sizeof(float);
}

static void score(const route_row *r)
{
    const qn_op_route *op = r->op;
    float top = -INFINITY, sum = 0;

    for (int e = 0; e < op->n_exp; e++)
        top = r->logits[e] > top ? r->logits[e] : top;
    for (int e = 0; e < op->n_exp; e++) {
        float x = r->logits[e];
        switch (op->kind) {
        case QN_ROUTE_SOFTMAX: r->score[e] = expf(x - top); break;
        case QN_ROUTE_SPARSEMIX:
        case QN_ROUTE_TOPK_SOFTMAX: r->score[e] = x; break;
        case QN_ROUTE_SIGMOID: r->score[e] = 1 / (1 + expf(-x)); break;
        }
        sum += r->score[e];
    }
    for (int e = 0; e < op->n_exp; e++) {
        if (op->kind == QN_ROUTE_SOFTMAX)
            r->score[e] /= sum;
        r->choice[e] = r->score[e] + (op->bias ? op->bias[e] : 0);
    }
}

/* Sum of a group's two best choices, or the best. */
static float group_score(const route_row *r, int g, int size)
{
    float best = -INFINITY, second = -INFINITY;

    for (int e = g * size; e < (g + 1) * size; e++) {
        float c = r->choice[e];
        if (c > best) {
            second = best;
            best = c;
        } else if (c > second) {
            second = c;
        }
    }
    return size > 1 && !r->op->group_max ? best + second : best;
}

/* Is group g among the best k_group? Ties go to the lower one. */
static bool group_open(const route_row *r, int g)
{
    int size, better = 0;
    float mine;

    if (r->op->n_group <= 0)
        return true;
    size = r->op->n_exp / r->op->n_group;
    mine = group_score(r, g, size);
    for (int o = 0; o < r->op->n_group; o++) {
        float other = group_score(r, o, size);
        better += other > mine || (other == mine && o < g);
    }
    return better < r->op->k_group;
}

static bool is_chosen(const int32_t *ids, int n, int e)
{
    for (int j = 0; j < n; j++)
        if (ids[j] == e)
            return true;
    return false;
}

static void choose(const route_row *r, int32_t *ids)
{
    const qn_op_route *op = r->op;
    int n_group = QN_MAX(op->n_group, 1), size = op->n_exp / n_group;

    for (int j = 0; j < op->k; j++)
        ids[j] = -1;
    for (int g = 0; g < n_group; g++) {
        if (!group_open(r, g))
            continue;
        for (int e = g * size; e < (g + 1) * size; e++) {
            int at = op->k;
            /* insertion into the falling list; an equal one stays ahead */
            while (at > 0 &&
                   (ids[at - 1] < 0 || r->choice[e] > r->choice[ids[at - 1]]))
                at--;
            if (at == op->k)
                continue;
            memmove(ids + at + 1, ids + at,
                    (size_t)(op->k - at - 1) * sizeof *ids);
            ids[at] = e;
        }
    }
    /* with few experts in the open groups: fill up with what is left */
    for (int j = 0, e = 0; j < op->k; j++) {
        if (ids[j] >= 0)
            continue;
        while (is_chosen(ids, op->k, e))
            e++;
        ids[j] = e;
    }
}

/* The best of those that are left, k times; its weight is its softmax among
 * those left that are close to it. */
static void sparsemix(const route_row *r, int32_t *ids, float *weights)
{
    const qn_op_route *op = r->op;

    for (int j = 0; j < op->k; j++) {
        int best = -1;
        float top, sum = 0;
        for (int e = 0; e < op->n_exp; e++)
            if (!is_chosen(ids, j, e) &&
                (best < 0 || r->logits[e] > r->logits[best]))
                best = e;
        top = r->logits[best];
        for (int e = 0; e < op->n_exp; e++) {
            float x = r->logits[e], size = QN_MAX(fabsf(x), top);
            if (!is_chosen(ids, j, e) && !((top - x) / size > 2 * op->jitter))
                sum += expf(x - top);
        }
        ids[j] = best;
        weights[j] = op->scale / sum;
    }
}

/* p-norm of the chosen weights. */
static float norm_of(const qn_op_route *op, const float *weights)
{
    float p = op->renorm_p, sum = 0;

    for (int j = 0; j < op->k; j++)
        sum += p > 0 && p != 1 ? powf(weights[j], p) : weights[j];
    return p > 0 && p != 1 ? powf(sum, 1 / p) : sum;
}

static void weigh(const route_row *r, const int32_t *ids, float *weights)
{
    const qn_op_route *op = r->op;
    float sum, top = r->logits[ids[0]];

    for (int j = 0; j < op->k; j++)
        weights[j] = op->kind == QN_ROUTE_TOPK_SOFTMAX
                         ? expf(r->logits[ids[j]] - top)
                         : r->score[ids[j]];
    sum = norm_of(op, weights);
    for (int j = 0; j < op->k; j++) {
        if (op->renormalize || op->kind == QN_ROUTE_TOPK_SOFTMAX)
            weights[j] /= sum;
        weights[j] *= op->scale;
        if (op->expert_scale)
            weights[j] *= op->expert_scale[ids[j]];
    }
}

void qn_op_route_run(const qn_op_route *op, qn_worker *w)
{
    route_row r = {.op = op, .score = (float *)(void *)w->own};
    int64_t begin, end;

    r.choice = r.score + op->n_exp;
    qn_pool_split(op->n_row, 1, w->thread, w->n_threads, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        r.logits = op->logits + i * op->ldl;
        if (op->kind == QN_ROUTE_SPARSEMIX) {
            sparsemix(&r, op->ids + i * op->k, op->weights + i * op->k);
            continue;
        }
        score(&r);
        choose(&r, op->ids + i * op->k);
        weigh(&r, op->ids + i * op->k, op->weights + i * op->k);
    }
}

/* ---- experts ------------------------------------------------------------- */

/* Is gate(x) * up(x) more than the products' epilogue can do? */
static bool glu_apart(const qn_op_experts *op)
{
    return op->limit > 0 || op->up_offset != 0;
}

/* The op's scratch. A slot is a (row, j) pair; slots are in expert order. */
typedef struct experts_mem {
    int32_t *slot_of; /* [n_row * k] slot of pair (row, j)        */
    int32_t *pair_of; /* [n_row * k] the other way                */
    uint8_t *x;       /* [n_slot] prepared rows, for the up and the down step */
    float *h;         /* [n_slot][d_ff], twice if gate and up are kept apart */
    float *out;       /* [n_slot][d_model]                        */
} experts_mem;

static uint64_t layout_scratch(uint64_t n_slot, uint64_t d_model, uint64_t d_ff,
                               uint8_t *base, experts_mem *m)
{
    uint64_t map = qn_round64(n_slot * sizeof(int32_t));
    uint64_t x = n_slot * QN_MAX((uint64_t)qn_product_widest((int64_t)d_model),
                                 (uint64_t)qn_product_widest((int64_t)d_ff));
    uint64_t h = qn_round64(n_slot * d_ff * sizeof(float));
    uint64_t out = qn_round64(n_slot * d_model * sizeof(float));

    if (m) {
        m->slot_of = (int32_t *)(void *)base;
        m->pair_of = (int32_t *)(void *)(base + map);
        m->x = base + 2 * map;
        m->h = (float *)(void *)(m->x + x);
        m->out = (float *)(void *)(m->x + x + h);
    }
    return 2 * map + x + h + out;
}

uint64_t qn_cpu_experts_scratch(const qn_backend *be, int n_row, int k,
                                int d_model, int d_ff)
{
    (void)be;
    return layout_scratch((uint64_t)n_row * (uint64_t)k, (uint64_t)d_model,
                          (uint64_t)d_ff, NULL, NULL);
}

/* Shared: where each expert's slots begin, [n_exp + 1]. */
void qn_op_experts_need(const qn_cpu_backend *be, const qn_op_experts *op,
                        qn_need *need)
{
    (void)be;
    need->own = QN_PRODUCT_ACC_BYTES;
    need->shared = ((uint64_t)op->n_exp + 1) * sizeof(int32_t);
}

/* A counting sort; stable, so that slots of an expert are in row order. */
static void sort_pairs(const qn_op_experts *op, const experts_mem *m,
                       int32_t *start)
{
    int n_slot = op->n_row * op->k, sum = 0;

    memset(start, 0, ((size_t)op->n_exp + 1) * sizeof *start);
    for (int i = 0; i < n_slot; i++)
        start[op->ids[i]]++;
    for (int e = 0; e <= op->n_exp; e++) {
        int n = start[e];
        start[e] = sum;
        sum += n;
    }
    for (int i = 0; i < n_slot; i++) {
        int slot = start[op->ids[i]]++;
        m->slot_of[i] = slot;
        m->pair_of[slot] = i;
    }
    for (int e = op->n_exp; e > 0; e--) /* back to the beginnings */
        start[e] = start[e - 1];
    start[0] = 0;
}

/* The kernels of one step of an expert, and where its prepared rows are: those of
 * gate behind those of up, if it wants another form. */
typedef struct expert_step {
    const qn_weight *w, *gate; /* down or up; NULL: no gate  */
    const qn_tile_kernel *kernel, *gate_kernel;
    uint8_t *x, *gate_x;
    int64_t x_tok, gate_tok;
} expert_step;

/* Two forms that need more room than f32 give way to it: the exact kernels all
 * take f32. */
static expert_step step_of(const qn_op_experts *op, const qn_cpu_backend *be,
                           const experts_mem *m, const int32_t *start, int e,
                           bool down)
{
    expert_step s = {.w = down ? op->down[e] : op->up[e],
                     .gate = down || !op->gate ? NULL : op->gate[e]};
    int64_t n_in = s.w->n_in, n = start[e + 1] - start[e];

    s.kernel = qn_product_kernel(be, s.w);
    s.x_tok = qn_product_stride(s.kernel->xform, n_in);
    s.x = m->x + start[e] * qn_product_widest(n_in);
    if (!s.gate)
        return s;
    s.gate_kernel = qn_product_kernel(be, s.gate);
    s.gate_tok = qn_product_stride(s.gate_kernel->xform, n_in);
    s.gate_x = s.x;
    if (s.gate_kernel->xform == s.kernel->xform)
        return s;
    if (s.x_tok + s.gate_tok <= qn_product_widest(n_in)) {
        s.gate_x = s.x + n * s.x_tok;
        return s;
    }
    s.kernel = &be->kern.exact[s.w->layout];
    s.gate_kernel = &be->kern.exact[s.gate->layout];
    s.x_tok = s.gate_tok = qn_product_stride(QN_X_F32, n_in);
    return s;
}

/* The product of an expert's slots, up (behind gate) or down. */
static void expert_product(const qn_op_experts *op, const qn_cpu_backend *be,
                           const experts_mem *m, const int32_t *start, int e,
                           bool down, qn_product *p)
{
    expert_step s = step_of(op, be, m, start, e, down);
    bool glu = s.gate, apart = glu && glu_apart(op);
    const float *bias[2] = {glu ? op->gate_bias : NULL,
                            down ? op->down_bias : op->up_bias};
    float *y = down ? m->out : m->h;
    int64_t n_out = s.w->n_out;

    *p = (qn_product){.n_row = start[e + 1] - start[e],
                      .n_part = glu ? 2 : 1,
                      .epi = glu && !apart ? QN_EPI_GLU : QN_EPI_STORE,
                      .act = down || apart ? QN_ACT_NONE : op->act,
                      .scale = 1};
    for (int i = 0; i < p->n_part; i++) {
        bool gate = glu && i == 0;
        const float *b = bias[!gate];
        p->part[i].w = gate ? s.gate : s.w;
        p->part[i].kernel = gate ? s.gate_kernel : s.kernel;
        p->part[i].x = gate ? s.gate_x : s.x;
        p->part[i].x_tok = gate ? s.gate_tok : s.x_tok;
        p->part[i].y = y + start[e] * n_out;
        if (apart && !gate)
            p->part[i].y += (int64_t)op->n_row * op->k * n_out;
        p->part[i].ldy = n_out;
        p->part[i].bias = b ? b + e * n_out : NULL;
    }
    qn_product_plan(be, p);
}

/* h = act(min(gate, limit)) * (clip(up) + offset), where the epilogue left
 * them apart. */
static void join_glu(const qn_op_experts *op, qn_worker *w,
                     const experts_mem *m, int64_t slot)
{
    float *g = m->h + slot * op->d_ff;
    float *u = g + (int64_t)op->n_row * op->k * op->d_ff;

    for (int i = 0; i < op->d_ff; i++) {
        if (op->limit > 0) {
            g[i] = fminf(g[i], op->limit);
            u[i] = fminf(fmaxf(u[i], -op->limit), op->limit);
        }
        u[i] += op->up_offset;
    }
    w->kern->map.fn(&(qn_map_args){
        .x = g, .mul = u, .y = g, .n = op->d_ff, .act = op->act, .scale = 1});
}

/* What the slot's expert reads: a row of x, maybe times its weight. */
static const float *slot_input(const qn_op_experts *op, const experts_mem *m,
                               int64_t slot)
{
    int pair = m->pair_of[slot], n_in = (int)op->up[0]->n_in;
    const float *x = op->x + pair / op->k * op->ldx;
    float *y = m->out + slot * n_in; /* free until the down products */

    if (!op->x_weighted)
        return x;
    for (int i = 0; i < n_in; i++)
        y[i] = x[i] * op->weights[pair];
    return y;
}

/* Prepares this thread's slots for the weights of their expert. */
static void prepare_slots(const qn_op_experts *op, qn_worker *w,
                          const experts_mem *m, const int32_t *start, bool down)
{
    expert_step s = {0};
    int64_t begin, end;
    int e = -1;

    qn_pool_split((int64_t)op->n_row * op->k, 1, w->thread, w->n_threads,
                  &begin, &end);
    for (int64_t slot = begin; slot < end; slot++) {
        const float *x;
        if (slot >= start[e + 1]) {
            while (slot >= start[e + 1])
                e++;
            s = step_of(op, w->be, m, start, e, down);
        }
        if (down && op->gate && glu_apart(op))
            join_glu(op, w, m, slot);
        x = down ? m->h + slot * s.w->n_in : slot_input(op, m, slot);
        w->kern->prep[s.kernel->xform].fn(x, (int)s.w->n_in,
                                          s.x + (slot - start[e]) * s.x_tok);
        if (s.gate && s.gate_x != s.x)
            w->kern->prep[s.gate_kernel->xform].fn(
                x, (int)s.w->n_in, s.gate_x + (slot - start[e]) * s.gate_tok);
    }
}

/* All experts' products of one step, from one queue. */
static void run_products(const qn_op_experts *op, qn_worker *w,
                         const experts_mem *m, const int32_t *start, bool down)
{
    int64_t n_item = 0, item, next, before = 0;
    int e = -1;
    bool more;
    qn_product p = {.n_item = 0};

    for (int i = 0; i < op->n_exp; i++) {
        if (start[i + 1] > start[i]) {
            expert_product(op, w->be, m, start, i, down, &p);
            n_item += p.n_item;
        }
    }
    p.n_item = 0;
    more = qn_worker_take(w, n_item, &item);
    while (more) {
        more = qn_worker_take(w, n_item, &next);
        while (item >= before + p.n_item) {
            before += p.n_item;
            p.n_item = 0;
            e++;
            if (start[e + 1] > start[e])
                expert_product(op, w->be, m, start, e, down, &p);
        }
        qn_product_item(w->be, &p, item - before,
                        more && next < before + p.n_item ? next - before : -1,
                        (float *)(void *)w->own);
        item = next;
    }
    qn_worker_phase(w, n_item);
}

static void combine(const qn_op_experts *op, qn_worker *w, const experts_mem *m)
{
    int d_model = (int)op->down[0]->n_out;
    int64_t begin, end;

    qn_pool_split(op->n_row, 1, w->thread, w->n_threads, &begin, &end);
    for (int64_t r = begin; r < end; r++) {
        float *y = op->y + r * op->ldy;
        if (!op->add)
            memset(y, 0, (size_t)d_model * sizeof *y);
        if (op->bias)
            w->kern->axpy.fn(y, op->bias, d_model, 1);
        for (int j = 0; j < op->k; j++)
            w->kern->axpy.fn(
                y, m->out + (int64_t)m->slot_of[r * op->k + j] * d_model,
                d_model, op->x_weighted ? 1 : op->weights[r * op->k + j]);
    }
}

void qn_op_experts_run(const qn_op_experts *op, qn_worker *w)
{
    int32_t *start = (int32_t *)(void *)w->shared;
    experts_mem m;

    if (op->n_row <= 0)
        return;
    layout_scratch((uint64_t)op->n_row * (uint64_t)op->k,
                   (uint64_t)op->down[0]->n_out,
                   (uint64_t)op->d_ff * (glu_apart(op) ? 2 : 1), op->scratch,
                   &m);
    if (w->thread == 0)
        sort_pairs(op, &m, start);
    qn_worker_barrier(w);
    prepare_slots(op, w, &m, start, false);
    qn_worker_barrier(w);
    run_products(op, w, &m, start, false);
    qn_worker_barrier(w);
    prepare_slots(op, w, &m, start, true);
    qn_worker_barrier(w);
    run_products(op, w, &m, start, true);
    qn_worker_barrier(w);
    combine(op, w, &m);
}
