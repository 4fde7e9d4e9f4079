/* Lists of operations: neighbours between which threads do not meet give, bit
 * for bit, what the operations give one by one on one thread. */
#include "backend/ops.h"

#include "backend/cpu/cpu_int.h"

enum {
    DIM = 96,
    ROWS = 3,
    TIMES = 300
};

typedef struct list {
    mat h, x, y, copy;
    wmat w;
    float norm[DIM];
    qn_op ops[3];
} list;

/* y = W norm(h), then copy = x. */
static void list_make(list *l, qn_backend *be)
{
    l->h = mat_new(ROWS, DIM, 0, 0, 1);
    l->x = mat_new(ROWS, DIM, 0, 0, 1);
    l->y = mat_new(ROWS, 80, 0, 0, 1);
    l->copy = mat_new(ROWS, DIM, 0, 0, 1);
    l->w = wmat_new(be, QN_Q8_0, 80, DIM);
    for (int i = 0; i < DIM; i++)
        l->norm[i] = rnd();
    l->ops[0] = (qn_op){.kind = QN_OP_NORM,
                        .u.norm = {.rms = true,
                                   .eps = 1e-5f,
                                   .n_row = ROWS,
                                   .n_group = 1,
                                   .dim = DIM,
                                   .x = l->h.p,
                                   .w = l->norm,
                                   .y = l->x.p,
                                   .ldx = DIM,
                                   .ldy = DIM}};
    l->ops[1] =
        (qn_op){.kind = QN_OP_LINEAR,
                .u.linear = {.x = l->x.p,
                             .ldx = DIM,
                             .n_row = ROWS,
                             .n_part = 1,
                             .part = {{.w = l->w.q, .y = l->y.p, .ldy = 80}},
                             .scale = 1}};
    l->ops[2] = (qn_op){.kind = QN_OP_MAP,
                        .u.map = {.x = l->x.p,
                                  .y = l->copy.p,
                                  .ldx = DIM,
                                  .ldy = DIM,
                                  .n_row = ROWS,
                                  .dim = DIM,
                                  .scale = 1}};
}

static void list_free(list *l, qn_backend *be)
{
    mat_free(&l->h);
    mat_free(&l->x);
    mat_free(&l->y);
    mat_free(&l->copy);
    wmat_free(be, &l->w);
}

/* kind 0: as it is; 1: the norm in place; 2: the product adds to what the norm
 * reads. The last two must not be joined. */
static void kind_of(list *l, int kind)
{
    if (kind == 1)
        l->ops[0].u.norm.y = l->h.p;
    if (kind == 1)
        l->ops[1].u.linear.x = l->ops[2].u.map.x = l->h.p;
    if (kind == 2) {
        l->ops[1].u.linear.epi = QN_EPI_ADD;
        l->ops[1].u.linear.part[0].y = l->h.p;
        l->ops[1].u.linear.part[0].ldy = DIM;
    }
}

static void norm_and_product(qn_isa isa)
{
    for (int threads = 1; threads <= 3; threads++)
        for (int kind = 0; kind < 3; kind++) {
            qn_backend *one = open_cpu(isa, 1, false);
            qn_backend *be = open_cpu(isa, threads, false);
            list l;
            list_make(&l, be);
            kind_of(&l, kind);
            mat h = mat_copy(&l.h), x = mat_copy(&l.x), y = mat_copy(&l.y);
            mat *all[] = {&l.h, &l.x, &l.y, &l.copy}, was[4];
            for (int i = 0; i < 3; i++)
                exec_ops(one, &l.ops[i], 1);
            for (int i = 0; i < 4; i++)
                was[i] = mat_copy(all[i]);
            for (int n = 0; n < TIMES; n++) {
                mat_put(&l.h, &h);
                mat_put(&l.x, &x);
                mat_put(&l.y, &y);
                exec_ops(be, l.ops, 3);
                for (int i = 0; i < 4; i++)
                    mat_same(&was[i], all[i], "norm and product");
            }
            for (int i = 0; i < 4; i++)
                mat_free(&was[i]);
            mat_free(&h);
            mat_free(&x);
            mat_free(&y);
            list_free(&l, be);
            qn_backend_close(be);
            qn_backend_close(one);
        }
}

static void test_norm_and_product(void **state)
{
    (void)state;
    each_isa(norm_and_product);
}

/* Two products, of which the first one's outputs are the second one's x: with
 * all threads as one, where rows are many enough. */
typedef struct two_case {
    int n_row, n_in, between, n_out;
} two_case;

static qn_op product(const mat *x, mat *y, const wmat *w, const wmat *gated)
{
    qn_op op = {.kind = QN_OP_LINEAR,
                .u.linear = {.x = x->p,
                             .ldx = x->ld,
                             .n_row = x->n_row,
                             .n_part = 1,
                             .part = {{.w = w->q, .y = y->p, .ldy = y->ld}},
                             .act = QN_ACT_SILU,
                             .scale = 1}};
    if (gated) {
        op.u.linear.n_part = 2;
        op.u.linear.part[1].w = gated->q;
        op.u.linear.epi = QN_EPI_GLU;
    }
    return op;
}

static void two_products(qn_isa isa, qn_dtype t, const two_case *c, bool glu)
{
    qn_backend *one = open_cpu(isa, 1, false);
    mat x = mat_new(c->n_row, c->n_in, 3, 1, 1);
    mat h = mat_new(c->n_row, c->between, 5, 2, 1);
    mat y = mat_new(c->n_row, c->n_out, 1, 3, 1), start = mat_copy(&y);
    wmat a = wmat_new(one, t, c->between, c->n_in);
    wmat b = wmat_new(one, t, c->between, c->n_in);
    wmat d = wmat_new(one, t, c->n_out, c->between);
    qn_op ops[2] = {product(&x, &h, &a, glu ? &b : NULL),
                    product(&h, &y, &d, NULL)};
    ops[1].u.linear.epi = QN_EPI_ADD;
    exec_ops(one, &ops[0], 1);
    exec_ops(one, &ops[1], 1);
    mat want = mat_copy(&y);
    ops[0].u.linear.hand_on = true;
    for (int threads = 1; threads <= 3; threads++) {
        qn_backend *be = open_cpu(isa, threads, false);
        for (int n = 0; n < 3; n++) {
            mat_put(&y, &start);
            exec_ops(be, ops, 2);
            mat_same(&want, &y, "two products");
            mat_check(&y, "two products");
            mat_check(&h, "between two products");
        }
        qn_backend_close(be);
    }
    mat *all[] = {&x, &h, &y, &start, &want};
    for (size_t i = 0; i < QN_COUNTOF(all); i++)
        mat_free(all[i]);
    wmat_free(one, &a);
    wmat_free(one, &b);
    wmat_free(one, &d);
    qn_backend_close(one);
}

static void hand_on(qn_isa isa)
{
    /* the last two: too few rows, and no whole blocks, so one by one */
    static const two_case cases[] = {{90, 256, 192, 32},  {515, 64, 128, 16},
                                     {5, 4096, 256, 16},  {33, 512, 256, 48},
                                     {129, 256, 512, 16}, {4, 8192, 64, 16},
                                     {80, 256, 96, 16}};
    static const qn_dtype types[] = {QN_Q8_0, QN_Q4_0, QN_Q6_K, QN_Q4_K,
                                     QN_BF16, QN_F16,  QN_F32};
    for (size_t i = 0; i < 2 * QN_COUNTOF(types); i++) {
        two_case c = cases[i % QN_COUNTOF(cases)];
        qn_dtype t = types[i * 4 / 3 % QN_COUNTOF(types)];
        if (t == QN_Q6_K || t == QN_Q4_K) {
            c.n_in = (c.n_in + 255) / 256 * 256;
            c.between = (c.between + 255) / 256 * 256;
        }
        two_products(isa, t, &c, i % 2);
    }
}

static void test_hand_on(void **state)
{
    (void)state;
    each_isa(hand_on);
}

/* Keys rotated, written and read back through attention over one position,
 * whose output is the value, and over two, which depends on the keys. */
static void rope_and_append(qn_isa isa)
{
    enum {
        KV = 3,
        D = 16,
        N = 5
    };
    int32_t pages[1] = {0};
    qn_span span = {.n_row = N, .pages = {pages, pages}};
    qn_batch batch = {.n_row = N, .n_span = 1, .spans = &span};
    mat q = mat_new(N, KV * D, 0, 0, 1), k = mat_copy(&q), v = mat_copy(&q);
    mat table = mat_new(N, D, 0, 0, 1), raw = mat_copy(&k), want = mat_copy(&q);
    mat out = mat_copy(&q);
    qn_kv_desc d = {KV, D, D, QN_KV_CELL_F32, 1};
    qn_op ops[3] = {{.kind = QN_OP_ROPE},
                    {.kind = QN_OP_KV_APPEND},
                    {.kind = QN_OP_ATTN}};
    qn_err err;

    ops[0].u.rope = (qn_op_rope){.table = table.p,
                                 .n_freq = D / 2,
                                 .n_row = N,
                                 .n_head = KV,
                                 .d_head = D,
                                 .x = k.p,
                                 .ldx = k.ld};
    for (int threads = 1; threads <= 3; threads++) {
        qn_backend *be = open_cpu(isa, threads, false);
        qn_kv *kv;
        if (be->api->kv_new(be, &d, &kv, &err) < 0)
            fail_msg("%s", err.msg);
        ops[1].u.kv_append = (qn_op_kv_append){.kv = kv,
                                               .batch = &batch,
                                               .k = k.p,
                                               .v = v.p,
                                               .ldk = k.ld,
                                               .ldv = v.ld};
        ops[2].u.attn = (qn_op_attn){.kv = kv,
                                     .batch = &batch,
                                     .q = q.p,
                                     .out = out.p,
                                     .ldq = q.ld,
                                     .ldo = out.ld,
                                     .n_head = KV,
                                     .scale = 0.5f};
        for (int n = 0; n < TIMES; n++) {
            mat_put(&k, &raw);
            if (threads == 1)
                for (int i = 0; i < 3; i++)
                    exec_ops(be, &ops[i], 1);
            else
                exec_ops(be, ops, 3);
            if (threads == 1 && n == 0)
                mat_put(&want, &out);
            mat_same(&want, &out, "rotation and cache");
        }
        be->api->kv_free(be, kv);
        qn_backend_close(be);
    }
    mat *all[] = {&q, &k, &v, &table, &raw, &want, &out};
    for (size_t i = 0; i < QN_COUNTOF(all); i++)
        mat_free(all[i]);
}

static void test_rope_and_append(void **state)
{
    (void)state;
    each_isa(rope_and_append);
}

/* From a norm to the outputs of heads: with several threads done head by head,
 * where the heads are as many as it takes and are not needed otherwise. */
enum {
    H = 16, /* query heads */
    KV = 8,
    D = 16,
    SEQS = 3,
    DEPTH = 70, /* beyond a page */
    HEAD_OPS = 8
};

typedef struct heads_list {
    mat h, x, q, k, v, out, table;
    wmat wq, wk, wv;
    float norm[H * D];
    int32_t pages[SEQS][2];
    qn_span spans[SEQS];
    qn_batch batch;
    qn_op ops[HEAD_OPS];
} heads_list;

static void heads_make(heads_list *l, qn_backend *be)
{
    *l = (heads_list){.h = mat_new(SEQS, DIM, 0, 0, 1),
                      .x = mat_new(SEQS, DIM, 0, 0, 1),
                      .q = mat_new(SEQS, H * D, 0, 0, 1),
                      .k = mat_new(SEQS, KV * D, 0, 0, 1),
                      .v = mat_new(SEQS, KV * D, 0, 0, 1),
                      .out = mat_new(SEQS, H * D, 0, 0, 1),
                      .table = mat_new(SEQS, D, 0, 0, 1),
                      .wq = wmat_new(be, QN_Q8_0, H * D, DIM),
                      .wk = wmat_new(be, QN_Q4_0, KV * D, DIM),
                      .wv = wmat_new(be, QN_F16, KV * D, DIM)};
    for (int i = 0; i < H * D; i++)
        l->norm[i] = rnd();
    for (int i = 0; i < SEQS; i++) {
        l->pages[i][0] = 2 * i;
        l->pages[i][1] = 2 * i + 1;
        l->spans[i] = (qn_span){.row0 = i, .n_row = 1, .pages = {l->pages[i]}};
    }
    l->batch = (qn_batch){.n_row = SEQS, .n_span = SEQS, .spans = l->spans};
    for (int i = 0; i < HEAD_OPS; i++)
        l->ops[i].no_barrier = i == 2 || i == 4;
    const qn_op_norm norm = {.rms = true,
                             .eps = 1e-5f,
                             .n_row = SEQS,
                             .n_group = 1,
                             .dim = DIM,
                             .x = l->h.p,
                             .w = l->norm,
                             .y = l->x.p,
                             .ldx = DIM,
                             .ldy = DIM};
    const qn_op_rope rope = {
        .table = l->table.p, .n_freq = D / 2, .n_row = SEQS, .d_head = D};
    l->ops[0].kind = l->ops[2].kind = l->ops[3].kind = QN_OP_NORM;
    l->ops[0].u.norm = l->ops[2].u.norm = l->ops[3].u.norm = norm;
    qn_op_norm *n = &l->ops[2].u.norm;
    n->x = n->y = l->q.p;
    n->ldx = n->ldy = l->q.ld;
    n->n_group = H;
    n->dim = D;
    n->w_per_group = true;
    n = &l->ops[3].u.norm;
    n->x = n->y = l->k.p;
    n->ldx = n->ldy = l->k.ld;
    n->n_group = KV;
    n->dim = D;
    l->ops[1].kind = QN_OP_LINEAR;
    l->ops[1].u.linear =
        (qn_op_linear){.x = l->x.p,
                       .ldx = DIM,
                       .n_row = SEQS,
                       .n_part = 3,
                       .part = {{l->wq.q, l->norm, l->q.p, l->q.ld},
                                {l->wk.q, NULL, l->k.p, l->k.ld},
                                {l->wv.q, l->norm + 5, l->v.p, l->v.ld}},
                       .scale = 1};
    l->ops[4].kind = l->ops[5].kind = QN_OP_ROPE;
    l->ops[4].u.rope = l->ops[5].u.rope = rope;
    l->ops[4].u.rope.n_head = H;
    l->ops[4].u.rope.x = l->q.p;
    l->ops[4].u.rope.ldx = l->q.ld;
    l->ops[5].u.rope.n_head = KV;
    l->ops[5].u.rope.x = l->k.p;
    l->ops[5].u.rope.ldx = l->k.ld;
}

static void heads_cache(heads_list *l, qn_kv *kv)
{
    l->ops[6] = (qn_op){.kind = QN_OP_KV_APPEND};
    l->ops[6].u.kv_append = (qn_op_kv_append){.kv = kv,
                                              .batch = &l->batch,
                                              .k = l->k.p,
                                              .v = l->v.p,
                                              .ldk = l->k.ld,
                                              .ldv = l->v.ld};
    l->ops[7] = (qn_op){.kind = QN_OP_ATTN};
    l->ops[7].u.attn = (qn_op_attn){.kv = kv,
                                    .batch = &l->batch,
                                    .q = l->q.p,
                                    .out = l->out.p,
                                    .ldq = l->q.ld,
                                    .ldo = l->out.ld,
                                    .n_head = H,
                                    .scale = 0.3f};
}

/* All positions, one after the other; what comes out at each. */
static void heads_walk(heads_list *l, qn_backend *be, bool joined, mat *outs)
{
    for (int pos = 0; pos < DEPTH; pos++) {
        for (int i = 0; i < SEQS; i++)
            l->spans[i].pos0 = pos;
        if (joined)
            exec_ops(be, l->ops, HEAD_OPS);
        else
            for (int i = 0; i < HEAD_OPS; i++)
                exec_ops(be, &l->ops[i], 1);
        for (int i = 0; i < SEQS; i++)
            memcpy(mat_row(outs, pos * SEQS + i), mat_row(&l->out, i),
                   H * D * sizeof(float));
        l->h.p[pos] += 0.5f; /* another input */
    }
}

static void head_by_head(qn_isa isa)
{
    static const int threads[] = {1, 2, 3, 4};

    for (int t = 0; t < QN_KV_CELLS; t++) {
        qn_kv_desc d = {KV, D, D, (qn_kv_dtype)t, 2 * SEQS};
        qn_backend *one = open_cpu(isa, 1, false);
        mat want = mat_new(DEPTH * SEQS, H * D, 0, 0, 1), got = mat_copy(&want);
        heads_list l;
        heads_make(&l, one);
        mat h = mat_copy(&l.h);
        for (size_t i = 0; i < QN_COUNTOF(threads); i++) {
            qn_backend *be = open_cpu(isa, threads[i], false);
            qn_err err;
            qn_kv *kv;
            if (be->api->kv_new(be, &d, &kv, &err) < 0)
                fail_msg("%s", err.msg);
            heads_cache(&l, kv);
            for (int j = 0; j < SEQS; j++)
                l.spans[j].pos0 = 0;
            int n = qn_by_head_count((qn_cpu_backend *)(void *)be, &l.ops[1],
                                     HEAD_OPS - 1, &l.ops[0].u.norm);
            assert_int_equal(n, KV % threads[i] || i == 0 ? 0 : HEAD_OPS - 1);
            /* heads that are much work: where threads have four each */
            l.wq.q->n_bytes += KV << 18;
            n = qn_by_head_count((qn_cpu_backend *)(void *)be, &l.ops[1],
                                 HEAD_OPS - 1, &l.ops[0].u.norm);
            assert_int_equal(n, threads[i] == 2 ? HEAD_OPS - 1 : 0);
            l.wq.q->n_bytes -= KV << 18;
            mat_put(&l.h, &h);
            heads_walk(&l, be, i > 0, i ? &got : &want);
            if (i)
                mat_same(&want, &got, "head by head");
            be->api->kv_free(be, kv);
            qn_backend_close(be);
        }
        mat *all[] = {&want, &got, &h,     &l.h, &l.x,
                      &l.q,  &l.k, &l.out, &l.v, &l.table};
        for (size_t i = 0; i < QN_COUNTOF(all); i++)
            mat_free(all[i]);
        wmat_free(one, &l.wq);
        wmat_free(one, &l.wk);
        wmat_free(one, &l.wv);
        qn_backend_close(one);
    }
}

static void test_head_by_head(void **state)
{
    (void)state;
    each_isa(head_by_head);
}

/* Without workspace nothing runs, and the next list is as good as any; with what
 * was reserved for it, a list has enough. */
static void test_no_workspace(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 3; threads++) {
        qn_backend *be = open_cpu(QN_ISA_REF, threads, false);
        qn_err err = {0};
        list l;
        list_make(&l, be);
        mat x = mat_copy(&l.x);
        qn_mem_fail_after(0);
        assert_int_equal(be->api->exec(be, l.ops, 3, &err), QN_ENOMEM);
        assert_true(qn_mem_fail_after(-1));
        assert_non_null(strstr(err.msg, "workspace"));
        mat_same(&x, &l.x, "what did not run");
        qn_mem_fail_after(0);
        assert_int_equal(be->api->reserve(be, l.ops, 3, &err), QN_ENOMEM);
        assert_true(qn_mem_fail_after(-1));
        assert_int_equal(be->api->reserve(be, l.ops, 3, &err), 0);
        qn_mem_fail_after(0);
        exec_ops(be, l.ops, 3);
        assert_false(qn_mem_fail_after(-1));
        mat_free(&x);
        list_free(&l, be);
        qn_backend_close(be);
    }
}

/* What is reserved for all rows at the end of the cache is enough for any spans of
 * them before it. */
static void test_reserved(void **state)
{
    enum {
        R = 48,
        HEADS = 12,
        PAIRS = 2,
        WIDE = 64,
        DEEP = 6000
    };
    int32_t pages[(DEEP + QN_PAGE - 1) / QN_PAGE] = {0};
    mat q = mat_new(R, HEADS * WIDE, 0, 0, 1), out = mat_copy(&q);
    qn_kv_desc d = {PAIRS, WIDE, WIDE, QN_KV_CELL_F16, 1};
    (void)state;
    for (int threads = 1; threads <= 4; threads++) {
        qn_backend *be = open_cpu(QN_ISA_N - 1, threads, false);
        const qn_cpu_backend *cpu = (qn_cpu_backend *)(void *)be;
        qn_span spans[R] = {{.n_row = R, .pos0 = DEEP - R}};
        qn_batch batch = {.n_row = R, .n_span = 1, .spans = spans};
        qn_kv *kv;
        qn_err err;
        if (be->api->kv_new(be, &d, &kv, &err) < 0)
            fail_msg("%s", err.msg);
        qn_op op = {.kind = QN_OP_ATTN,
                    .u.attn = {.kv = kv,
                               .batch = &batch,
                               .q = q.p,
                               .out = out.p,
                               .ldq = q.ld,
                               .ldo = out.ld,
                               .n_head = HEADS,
                               .scale = 0.1f}};
        assert_int_equal(be->api->reserve(be, &op, 1, &err), 0);
        uint64_t had = cpu->ws_bytes;
        for (int i = 0; i < TIMES; i++) {
            batch.n_row = batch.n_span = 0;
            int n_span = 1 + rnd_int(i % 3 ? 4 : R);
            while (batch.n_span < n_span && batch.n_row < R) {
                qn_span *s = &spans[batch.n_span++];
                *s = (qn_span){.row0 = batch.n_row, .pages = {pages, pages}};
                s->n_row = 1 + (n_span < 5 ? rnd_int(R - s->row0) : 0);
                s->pos0 = rnd_int(DEEP - s->n_row + 1);
                batch.n_row += s->n_row;
            }
            exec_ops(be, &op, 1);
            if (cpu->ws_bytes != had)
                fail_msg(
                    "%d threads, %d rows in %d spans: %llu bytes, had %llu",
                    threads, batch.n_row, batch.n_span,
                    (unsigned long long)cpu->ws_bytes, (unsigned long long)had);
        }
        be->api->kv_free(be, kv);
        qn_backend_close(be);
    }
    mat_free(&q);
    mat_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_norm_and_product),
        cmocka_unit_test(test_hand_on),
        cmocka_unit_test(test_rope_and_append),
        cmocka_unit_test(test_head_by_head),
        cmocka_unit_test(test_no_workspace),
        cmocka_unit_test(test_reserved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
