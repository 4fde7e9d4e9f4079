/* calibrate.c - what goes into the linear layers while a text is read.
 *
 * The network is opened with its weights and reads pieces of the text; before
 * each product the rows that go in are added to a matrix H = X^T X, one for
 * each input (q, k and v share theirs). Then each H becomes the U of gptq.h.
 * Experts are reached by few tokens each and are rounded to nearest. */
#include "base/compiler.h"
#include "base/file.h"
#include "base/map.h"
#include "base/mem.h"
#include "quantize/gptq.h"
#include "quantize/optimize_int.h"
#include "text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#define TEXT_MAX ((size_t)16 << 20)

typedef struct cal_input {
    const qn_weight *w[QN_LINEAR_PARTS];
    int64_t n;
    float *h; /* [n, n] */
} cal_input;

struct qn_calibration {
    QN_VEC(cal_input) inputs;
};

typedef struct cal_ctx {
    const qn_optimize_params *p;
    qn_calibration *cal;
    qn_map *wanted; /* tensor -> index + 1 of the plan's item */
    const qn_net *net;
    qn_pool *pool;
    const qn_op_linear *op; /* being observed */
    float *h;
    int64_t width;
    qn_err *err;
    int rc;
    uint64_t bytes, limit; /* of all H */
} cal_ctx;

/* ---- statistics ---------------------------------------------------------- */

/* Rows i of H for all tokens, i by thread; upper part. */
static void add_thread(void *arg, int thread, int n_threads)
{
    cal_ctx *c = arg;
    const qn_op_linear *op = c->op;
    int64_t width = c->width;
    for (int64_t i = thread; i < width; i += n_threads) {
        float *row = c->h + i * width;
        for (int t = 0; t < op->n_row; t++) {
            const float *x = op->x + t * op->ldx;
            float f = x[i];
            for (int64_t j = i; j < width && f != 0; j++)
                row[j] += f * x[j];
        }
    }
}

/* Whether the plan quantizes a tensor that weight w is cut from. */
static bool is_wanted(const cal_ctx *c, const qn_weight *w, int64_t *n_in,
                      const qn_opt_plan *plan)
{
    qn_net_matrix m;
    for (size_t i = 0; qn_net_matrix_at(c->net, i, &m); i++) {
        uint64_t at;
        if (m.w != w || !m.linear ||
            !qn_map_get(c->wanted, m.tensor, strlen(m.tensor), &at))
            continue;
        *n_in = plan->items.v[at - 1].mat.n_in;
        return true;
    }
    return false;
}

typedef struct observe_ctx {
    cal_ctx *c;
    const qn_opt_plan *plan;
} observe_ctx;

static cal_input *find_input(cal_ctx *c, const qn_op_linear *op,
                             const qn_opt_plan *plan)
{
    for (size_t i = 0; i < c->cal->inputs.n; i++)
        if (c->cal->inputs.v[i].w[0] == op->part[0].w)
            return &c->cal->inputs.v[i];
    cal_input in = {.n = 0};
    bool any = false;
    for (int i = 0; i < op->n_part; i++) {
        in.w[i] = op->part[i].w;
        any |= is_wanted(c, op->part[i].w, &in.n, plan);
    }
    if (any) {
        c->bytes += (uint64_t)in.n * (uint64_t)in.n * sizeof(float);
        in.h = c->bytes <= c->limit
                   ? qn_alloc((size_t)in.n, (size_t)in.n * sizeof(float))
                   : NULL;
        if (!in.h)
            c->rc = qn_fail(c->err, QN_ENOMEM,
                            "statistics of the calibration need more than the "
                            "%llu MB there are; quantize fewer modules at a "
                            "time (--only), or use rtn",
                            (unsigned long long)(c->limit >> 20));
    }
    qn_vec_push(&c->cal->inputs, in);
    return &c->cal->inputs.v[c->cal->inputs.n - 1];
}

static void observe(void *user, const qn_op *op)
{
    observe_ctx *o = user;
    cal_ctx *c = o->c;
    if (op->kind != QN_OP_LINEAR || c->rc < 0)
        return;
    cal_input *in = find_input(c, &op->u.linear, o->plan);
    if (!in->h || c->rc < 0)
        return;
    c->op = &op->u.linear;
    c->h = in->h;
    c->width = in->n;
    qn_pool_run(c->pool, add_thread, c);
}

/* ---- the text ------------------------------------------------------------ */

static int read_tokens(const qn_optimize_params *p, const qn_ckpt *ck,
                       qn_tok_ids *ids, qn_err *err)
{
    const char *path = qn_ckpt_file_path(ck, 0), *slash = strrchr(path, '/');
    char *dir = slash ? qn_xstrndup(path, (size_t)(slash - path))
                      : qn_xstrdup(".");
    char *text = NULL;
    size_t n;
    qn_tok *tok = NULL;
    int rc = qn_tok_open_dir(&tok, dir, err);
    if (rc == QN_OK)
        rc = qn_file_slurp(&text, &n, p->calibration, TEXT_MAX, err);
    if (rc == QN_OK)
        rc = qn_tok_encode(tok, text, n, 0, ids, NULL, err);
    qn_free(text);
    qn_tok_close(tok);
    qn_free(dir);
    return rc;
}

/* One piece of tokens as a sequence of its own. */
static int run_piece(qn_pass *pass, const int32_t *tokens, int n,
                     const int32_t *pages, int32_t *pos, qn_err *err)
{
    int32_t last = n - 1;
    const float *logits;
    for (int i = 0; i < n; i++)
        pos[i] = i;
    qn_span span = {.n_row = n, .rope_len = n, .pages = {pages, pages}};
    qn_batch b = {.n_row = n,
                  .tokens = tokens,
                  .pos = pos,
                  .n_span = 1,
                  .spans = &span,
                  .n_out = 1,
                  .out_rows = &last};
    return qn_pass_forward(pass, &b, &logits, err);
}

static int run_text(cal_ctx *c, qn_net *net, const qn_tok_ids *ids,
                    const qn_opt_plan *plan)
{
    int len = c->p->n_context > 0 ? c->p->n_context : 512;
    int most = c->p->n_samples > 0 ? c->p->n_samples : 128;
    int64_t limit = qn_net_max_positions(net);
    if (len > limit)
        len = (int)limit;
    if (ids->n < 16)
        return qn_fail(c->err, QN_EINVAL,
                       "%s: %zu tokens are too few to calibrate with",
                       c->p->calibration, ids->n);
    len = (int)QN_MIN((size_t)len, ids->n);
    int n_pages = len / qn_net_backend(net)->api->page_tokens + 1;
    qn_pass_params pp = {.n_pages = {n_pages, n_pages},
                         .max_rows = len,
                         .max_out = 1,
                         .max_spans = 1,
                         .kv_dtype = QN_KV_CELL_F32};
    qn_pass *pass;
    QN_TRY(qn_pass_new(&pass, net, &pp, c->err));
    observe_ctx o = {c, plan};
    int32_t *pages = qn_xcalloc((size_t)n_pages, sizeof *pages);
    int32_t *pos = qn_xcalloc((size_t)len, sizeof *pos);
    for (int i = 0; i < n_pages; i++)
        pages[i] = i;
    qn_pass_observe(pass, observe, &o);
    size_t n = QN_MIN((size_t)most, ids->n / (size_t)len);
    size_t stride = ids->n / n; /* spread over the text */
    int rc = QN_OK;
    for (size_t i = 0; i < n && rc == QN_OK; i++) {
        rc = run_piece(pass, ids->v + i * stride, len, pages, pos, c->err);
        rc = rc < 0 ? rc : c->rc;
        if (rc == QN_OK && c->p->progress &&
            !c->p->progress(c->p->progress_user, 0, 1))
            rc = qn_fail(c->err, QN_ECANCEL, "calibrating was interrupted");
    }
    qn_free(pages);
    qn_free(pos);
    qn_pass_free(pass);
    return rc;
}

/* ---- all of it ----------------------------------------------------------- */

/* Gives the tensors of an input's weights their u. */
static int hand_out(cal_ctx *c, cal_input *in, qn_opt_plan *plan)
{
    double damping = c->p->damping > 0 ? c->p->damping : 0.01;
    qn_net_matrix m;
    if (!qn_gptq_factor(in->h, in->n, damping, c->pool))
        return QN_OK; /* nothing ever came through: to nearest */
    for (size_t i = 0; qn_net_matrix_at(c->net, i, &m); i++) {
        uint64_t at;
        for (int k = 0; k < QN_LINEAR_PARTS; k++) {
            if (m.w && m.w == in->w[k] && m.linear &&
                qn_map_get(c->wanted, m.tensor, strlen(m.tensor), &at) &&
                plan->items.v[at - 1].mat.n_in == in->n)
                plan->items.v[at - 1].u = in->h;
        }
    }
    return QN_OK;
}

static int calibrate(cal_ctx *c, const qn_ckpt *ck, qn_opt_plan *plan,
                     qn_net *net)
{
    qn_tok_ids ids = {0};
    int rc = read_tokens(c->p, ck, &ids, c->err);
    if (rc == QN_OK)
        rc = run_text(c, net, &ids, plan);
    qn_vec_deinit(&ids);
    for (size_t i = 0; i < c->cal->inputs.n && rc == QN_OK; i++) {
        if (c->cal->inputs.v[i].h)
            rc = hand_out(c, &c->cal->inputs.v[i], plan);
    }
    return rc;
}

int qn_calibrate(qn_calibration **out, const qn_optimize_params *p,
                 const qn_ckpt *ck, qn_opt_plan *plan, qn_pool *pool,
                 qn_err *err)
{
    qn_backend_params bp = {.n_threads = p->n_threads, .isa = QN_ISA_N - 1};
    qn_backend *be = NULL;
    qn_net *net = NULL;
    qn_map wanted;
    qn_map_init(&wanted, plan->items.n);
    for (size_t i = 0; i < plan->items.n; i++) {
        const char *name = plan->items.v[i].t->name;
        if (plan->items.v[i].quantize)
            qn_map_put(&wanted, name, strlen(name), i + 1);
    }
    qn_calibration *cal = *out = qn_xcalloc(1, sizeof *cal);
    int rc = qn_backend_open(&be, "cpu", &bp, err);
    if (rc == QN_OK)
        rc = qn_net_open(&net, ck, be, NULL, err);
    if (rc == QN_OK) {
        cal_ctx c = {.p = p,
                     .cal = cal,
                     .wanted = &wanted,
                     .net = net,
                     .pool = pool,
                     .err = err,
                     .limit = qn_mem_available()};
        rc = calibrate(&c, ck, plan, net);
    }
    qn_net_close(net);
    if (be)
        qn_backend_close(be);
    qn_map_deinit(&wanted);
    return rc;
}

void qn_calibration_free(qn_calibration *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->inputs.n; i++)
        qn_free(c->inputs.v[i].h);
    qn_vec_deinit(&c->inputs);
    free(c);
}
