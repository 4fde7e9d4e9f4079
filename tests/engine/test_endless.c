/* Texts without end (endless.c): what a plain computation in f64 gives, with
 * the mask and the distances that the head of that file defines, whatever the
 * chunks and whoever else runs; few pages; and what is refused.
 *
 * The tolerance of a log probability: 7 products follow one another (two in
 * each layer, the head), of at most 256 additions in f32 of values near 1, each
 * off by 256 * 2^-24 at most. */
#include "play.h"

#include "ckpt/ckpt.h"

#include <math.h>

enum {
    D = 64,
    HEADS = 4,
    KV = 2,
    HEAD = 16,
    FF = 160,
    LAYERS = 3,
    VOCAB = 512,
    SINKS = 64,
    WINDOW = 64,
    BLOCK = 64,
    LIMIT = SINKS + WINDOW + BLOCK,
    MOST = 900,
    TOLERANCE_EXP = -13 /* 7 * 256 * 2^-24, rounded up */
};

/* ---- the reference ------------------------------------------------------ */

typedef struct weights {
    float *embed, *head, *norm;
    float *norm1[LAYERS], *norm2[LAYERS];
    float *q[LAYERS], *k[LAYERS], *v[LAYERS], *o[LAYERS];
    float *gate[LAYERS], *up[LAYERS], *down[LAYERS];
} weights;

static float *tensor(const qn_ckpt *ck, const char *name, size_t n)
{
    const qn_tensor *t = qn_ckpt_find(ck, name);
    assert_non_null(t);
    assert_int_equal(t->dtype, QN_F32);
    assert_int_equal(t->n_elems, n);
    float *w = malloc(n * sizeof *w);
    assert_int_equal(qn_ckpt_read(ck, t, 0, w, n * sizeof *w, NULL), 0);
    return w;
}

static float *of_layer(const qn_ckpt *ck, int i, const char *part, size_t n)
{
    char name[96];
    snprintf(name, sizeof name, "model.layers.%d.%s.weight", i, part);
    return tensor(ck, name, n);
}

static void read_weights(weights *w)
{
    qn_ckpt *ck = NULL;
    assert_int_equal(qn_ckpt_open(&ck, qn_test_data("models/llama"), NULL), 0);
    w->embed = tensor(ck, "model.embed_tokens.weight", VOCAB * D);
    w->head = tensor(ck, "lm_head.weight", VOCAB * D);
    w->norm = tensor(ck, "model.norm.weight", D);
    for (int i = 0; i < LAYERS; i++) {
        w->norm1[i] = of_layer(ck, i, "input_layernorm", D);
        w->norm2[i] = of_layer(ck, i, "post_attention_layernorm", D);
        w->q[i] = of_layer(ck, i, "self_attn.q_proj", HEADS * HEAD * D);
        w->k[i] = of_layer(ck, i, "self_attn.k_proj", KV * HEAD * D);
        w->v[i] = of_layer(ck, i, "self_attn.v_proj", KV * HEAD * D);
        w->o[i] = of_layer(ck, i, "self_attn.o_proj", D * HEADS * HEAD);
        w->gate[i] = of_layer(ck, i, "mlp.gate_proj", FF * D);
        w->up[i] = of_layer(ck, i, "mlp.up_proj", FF * D);
        w->down[i] = of_layer(ck, i, "mlp.down_proj", D * FF);
    }
    qn_ckpt_close(ck);
}

static void free_weights(weights *w)
{
    free(w->embed);
    free(w->head);
    free(w->norm);
    for (int i = 0; i < LAYERS; i++) {
        free(w->norm1[i]);
        free(w->norm2[i]);
        free(w->q[i]);
        free(w->k[i]);
        free(w->v[i]);
        free(w->o[i]);
        free(w->gate[i]);
        free(w->up[i]);
        free(w->down[i]);
    }
}

static void norm(double *y, const double *x, const float *w)
{
    double s = 0;
    for (int i = 0; i < D; i++)
        s += x[i] * x[i];
    for (int i = 0; i < D; i++)
        y[i] = x[i] / sqrt(s / D + 1e-5) * (double)w[i];
}

static void product(double *y, const float *w, const double *x, int n_out,
                    int n_in)
{
    for (int o = 0; o < n_out; o++) {
        y[o] = 0;
        for (int i = 0; i < n_in; i++)
            y[o] += (double)w[o * n_in + i] * x[i];
    }
}

static void rotate(double *y, const double *x, int pos)
{
    for (int i = 0; i < HEAD / 2; i++) {
        double a = pos * pow(10000, -2.0 * i / HEAD);
        y[i] = x[i] * cos(a) - x[i + HEAD / 2] * sin(a);
        y[i + HEAD / 2] = x[i + HEAD / 2] * cos(a) + x[i] * sin(a);
    }
}

typedef struct cells { /* not rotated */
    double k[MOST][KV * HEAD], v[MOST][KV * HEAD];
} cells;

/* Tokens that have gone when t is computed. */
static int gone_at(int t)
{
    return t < LIMIT ? 0 : ((t - LIMIT) / BLOCK + 1) * BLOCK;
}

/* Token t over what is kept: place j is token j of the sinks, else j + gone. */
static void attend(double *out, const cells *c, const double *q, int t)
{
    int gone = gone_at(t), n = t - gone + 1;
    for (int h = 0; h < HEADS; h++) {
        const int kv = h / (HEADS / KV) * HEAD;
        double s[LIMIT + 1], most = -INFINITY, sum = 0, qr[HEAD], kr[HEAD];
        rotate(qr, q + h * HEAD, n - 1);
        for (int j = 0; j < n; j++) {
            rotate(kr, c->k[j < SINKS ? j : j + gone] + kv, j);
            s[j] = 0;
            for (int i = 0; i < HEAD; i++)
                s[j] += qr[i] * kr[i] / sqrt(HEAD);
            most = fmax(most, s[j]);
        }
        for (int j = 0; j < n; j++)
            sum += s[j] = exp(s[j] - most);
        for (int i = 0; i < HEAD; i++) {
            out[h * HEAD + i] = 0;
            for (int j = 0; j < n; j++)
                out[h * HEAD + i] += s[j] / sum *
                                     c->v[j < SINKS ? j : j + gone][kv + i];
        }
    }
}

static void feed_forward(const weights *w, int l, double *h)
{
    double x[D], g[FF], u[FF], y[D];
    norm(x, h, w->norm2[l]);
    product(g, w->gate[l], x, FF, D);
    product(u, w->up[l], x, FF, D);
    for (int i = 0; i < FF; i++)
        u[i] *= g[i] / (1 + exp(-g[i]));
    product(y, w->down[l], u, D, FF);
    for (int i = 0; i < D; i++)
        h[i] += y[i];
}

/* Log probabilities [VOCAB] of what follows token t. */
static void next_token(const weights *w, cells *c, int32_t id, int t,
                       double *lp)
{
    double h[D], x[D], q[HEADS * HEAD], a[HEADS * HEAD], y[D], sum = 0;
    for (int i = 0; i < D; i++)
        h[i] = (double)w->embed[id * D + i];
    for (int l = 0; l < LAYERS; l++) {
        norm(x, h, w->norm1[l]);
        product(q, w->q[l], x, HEADS * HEAD, D);
        product(c[l].k[t], w->k[l], x, KV * HEAD, D);
        product(c[l].v[t], w->v[l], x, KV * HEAD, D);
        attend(a, &c[l], q, t);
        product(y, w->o[l], a, D, HEADS * HEAD);
        for (int i = 0; i < D; i++)
            h[i] += y[i];
        feed_forward(w, l, h);
    }
    norm(x, h, w->norm);
    product(lp, w->head, x, VOCAB, D);
    for (int i = 0; i < VOCAB; i++)
        sum += exp(lp[i]);
    for (int i = 0; i < VOCAB; i++)
        lp[i] -= log(sum);
}

/* ---- tests -------------------------------------------------------------- */

static qn_model *llama;
static int32_t prompt[MOST];

static int setup(void **state)
{
    uint32_t x = 77;
    (void)state;
    llama = play_model("llama", 1);
    play_random_ids(&x, prompt, MOST, VOCAB);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    qn_model_close(llama);
    return 0;
}

static qn_request_params endless(size_t n_prompt, int max_new)
{
    qn_request_params rp = play_params(prompt, n_prompt, max_new);
    rp.n_keep = 4;
    rp.kv_window = WINDOW - 10; /* whole pages */
    rp.n_logprobs = 1;
    return rp;
}

/* Every token of a completion, by its log probability and as the likeliest. */
static void compare(const weights *w, const play *p, int n_prompt)
{
    cells *c = malloc(LAYERS * sizeof *c);
    double lp[VOCAB], worst = 0;
    const play_out *o = &p->out[0];
    for (int t = 0; t + 1 < n_prompt + o->n; t++) {
        int32_t id = t < n_prompt ? prompt[t] : o->ids[t - n_prompt];
        next_token(w, c, id, t, lp);
        int i = t + 1 - n_prompt;
        if (i < 0)
            continue;
        double best = -INFINITY;
        for (int j = 0; j < VOCAB; j++)
            best = fmax(best, lp[j]);
        worst = fmax(worst, fabs(lp[o->ids[i]] - (double)o->logprobs[i]));
        worst = fmax(worst, best - lp[o->ids[i]]);
    }
    free(c);
    if (!(worst <= ldexp(1, TOLERANCE_EXP)))
        fail_msg("log probabilities differ by %g", worst);
}

static void test_reference(void **state)
{
    static const int n_prompts[] = {10, LIMIT - 1, LIMIT, LIMIT + 1, 500};
    weights w;
    (void)state;
    read_weights(&w);
    for (size_t i = 0; i < QN_COUNTOF(n_prompts); i++) {
        qn_engine *e = play_engine(llama, LIMIT, 1, 100);
        qn_request_params rp = endless((size_t)n_prompts[i], 320);
        play *p = play_submit(e, &rp);
        play_run(e, p);
        assert_int_equal(p->out[0].n, 320);
        compare(&w, p, n_prompts[i]);
        play_free(p);
        play_no_pages(e);
        qn_engine_free(e);
    }
    free_weights(&w);
}

/* Chunks, guesses, a prefix cache, neighbours: the same bits. Pages never
 * exceed what is kept. */
static void test_mixes(void **state)
{
    static const int batches[] = {512, 64, 7, 3};
    (void)state;
    qn_request_params rp = endless(333, 300);
    qn_engine *alone = play_engine(llama, 256, 2, 0);
    play *want = play_submit(alone, &rp);
    play_run(alone, want);
    for (size_t i = 0; i < QN_COUNTOF(batches); i++) {
        qn_engine_params ep = {.n_ctx = 1024,
                               .max_seqs = 3,
                               .max_batch = batches[i],
                               .prefix_cache = i % 2 == 0,
                               .speculate = i < 2 ? 6 : 0,
                               .overcommit = i > 0,
                               .max_prompt_rows = i == 2 ? 50 : 0};
        qn_engine *e = play_engine_of(llama, ep);
        qn_request_params other = play_params(prompt + 3, 150, 90);
        play *o = play_submit(e, &other);
        play *p = play_submit(e, &rp), *q = play_submit(e, &rp);
        while (!play_ended(p) || !play_ended(q) || !play_ended(o)) {
            assert_true(qn_engine_step(e, NULL) >= 0);
            play_poll(p);
            play_poll(q);
            play_poll(o);
            for (int k = 0; p->req->seqs[0] && k < e->n_groups; k++)
                assert_in_range(p->req->seqs[0]->pages[k].n, 0,
                                LIMIT / e->page_tokens);
        }
        play_equal(p, want);
        play_equal(q, want);
        play_free(o);
        play_free(p);
        play_free(q);
        play_no_pages(e);
        qn_engine_free(e);
    }
    play_free(want);
    play_no_pages(alone);
    qn_engine_free(alone);
}

/* What never fills the window is as without it. */
static void test_short(void **state)
{
    (void)state;
    qn_engine *e = play_engine(llama, 256, 2, 0);
    qn_request_params rp = endless(50, LIMIT - 50);
    play *p = play_submit(e, &rp);
    play_run(e, p);
    rp.kv_window = 0;
    play *q = play_submit(e, &rp);
    play_run(e, q);
    play_equal(p, q);
    play_free(p);
    play_free(q);
    qn_engine_free(e);
}

/* Where positions would grow too large, what is kept begins from 0: then it is
 * what a request with those tokens gives. */
static void test_positions_begin_anew(void **state)
{
    enum {
        N = 400
    };
    int32_t cur[LIMIT + N];
    int n_cur = 100, n = 0;
    (void)state;
    qn_engine *e = play_engine(llama, 256, 1, 50);
    e->max_pos = LIMIT; /* at every block */
    qn_request_params rp = endless(100, N);
    play *p = play_submit(e, &rp);
    play_run(e, p);
    assert_int_equal(p->out[0].n, N);
    qn_engine *plain = play_engine(llama, 256, 2, 0);
    memcpy(cur, prompt, 100 * sizeof *cur);
    while (n < N) {
        if (n_cur > LIMIT) { /* one more than is kept is to be computed */
            n_cur -= BLOCK;
            memmove(cur + SINKS, cur + SINKS + BLOCK,
                    (size_t)(n_cur - SINKS) * sizeof *cur);
        }
        int more = QN_MIN(LIMIT + 1 - n_cur, N - n);
        qn_request_params part = play_params(cur, (size_t)n_cur, more);
        play *q = play_submit(plain, &part);
        play_run(plain, q);
        assert_int_equal(q->out[0].n, more);
        assert_memory_equal(q->out[0].ids, p->out[0].ids + n,
                            (size_t)more * sizeof *cur);
        memcpy(cur + n_cur, q->out[0].ids, (size_t)more * sizeof *cur);
        n_cur += more;
        n += more;
        play_free(q);
    }
    play_free(p);
    play_no_pages(e);
    qn_engine_free(e);
    qn_engine_free(plain);
}

static void test_cancelled(void **state)
{
    (void)state;
    for (int at = 0; at < 40; at++) {
        qn_engine *e = play_engine(llama, 256, 1, 40);
        qn_request_params rp = endless(600, 200);
        play *p = play_submit(e, &rp);
        for (int i = 0; i < at; i++)
            assert_true(qn_engine_step(e, NULL) > 0);
        qn_request_cancel(p->req);
        assert_int_equal(qn_engine_step(e, NULL), 0);
        play_free(p);
        play_no_pages(e);
        qn_engine_free(e);
    }
}

static void refused(qn_model *m, qn_request_params rp, int code)
{
    qn_engine *e = play_engine(m, 256, 4, 0);
    qn_request *r = NULL;
    qn_err err = {0};
    assert_int_equal(qn_request_submit(e, &rp, &r, &err), code);
    assert_non_null(strstr(err.msg, "kv_window"));
    qn_engine_free(e);
}

static void test_refused(void **state)
{
    static const char *const others[] = {"gemma2", "gpt2", "falcon_h1"};
    (void)state;
    qn_request_params rp = endless(10, 10);
    for (size_t i = 0; i < QN_COUNTOF(others); i++) {
        qn_model *m = play_model(others[i], 1);
        refused(m, rp, QN_EUNSUP);
        qn_model_close(m);
    }
    rp.n = 2;
    refused(llama, rp, QN_EUNSUP);
    rp = endless(10, 10);
    rp.context_shift = true;
    refused(llama, rp, QN_EUNSUP);
    rp = endless(10, 10);
    rp.prompt_logits = true;
    refused(llama, rp, QN_EUNSUP);
    rp = endless(10, 10);
    rp.kv_window = 129; /* 64 + 192 + 64 */
    refused(llama, rp, QN_ELIMIT);
    rp.kv_window = INT32_MAX;
    refused(llama, rp, QN_ELIMIT);
    rp.kv_window = -1;
    refused(llama, rp, QN_EINVAL);
    rp = endless(10, 10);
    rp.n_keep = -1;
    refused(llama, rp, QN_ELIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference),
        cmocka_unit_test(test_mixes),
        cmocka_unit_test(test_short),
        cmocka_unit_test(test_positions_begin_anew),
        cmocka_unit_test(test_cancelled),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
