/* Beam search against a plain one, written after the definition that
 * transformers' generate() follows: every continuation of every beam is
 * ranked in one list, the best 2k (or (1 + end tokens) k) are looked at. It
 * keeps whole token lists and gets its log probabilities from prompts. */
#include "play.h"

#include <float.h>

enum {
    MAX_K = 6,
    MAX_LEN = 64,
    MAX_V = 512
};

typedef struct hyp {
    int32_t ids[MAX_LEN];
    int n; /* of the completion */
    double score;
    bool there;
} hyp;

typedef struct plain {
    qn_model *m;
    const qn_request_params *p;
    int v, k;
    hyp running[MAX_K], done[MAX_K];
    int n_running;
} plain;

typedef struct cand {
    double score;
    int parent;
    int32_t id;
} cand;

static int by_score(const void *a, const void *b)
{
    const cand *x = a, *y = b;
    return (x->score < y->score) - (x->score > y->score);
}

static bool is_end(const plain *b, int32_t id)
{
    for (size_t i = 0; i < b->p->n_stop_ids; i++)
        if (b->p->stop_ids[i] == id)
            return true;
    return false;
}

static int expand(const plain *b, cand *out)
{
    int n = 0;
    size_t np = b->p->n_prompt;
    for (int i = 0; i < b->n_running; i++) {
        int32_t ids[256];
        const hyp *h = &b->running[i];
        memcpy(ids, b->p->prompt, np * sizeof *ids);
        memcpy(ids + np, h->ids, (size_t)h->n * sizeof *ids);
        float *logits = play_logits(b->m, ids, np + (size_t)h->n);
        const float *row = logits + (np + (size_t)h->n - 1) * (size_t)b->v;
        double top = -DBL_MAX, sum = 0;
        for (int t = 0; t < b->v; t++)
            top = fmax(top, (double)row[t]);
        for (int t = 0; t < b->v; t++)
            sum += exp((double)row[t] - top);
        for (int t = 0; t < b->v; t++)
            out[n++] = (cand){h->score + (double)row[t] - top - log(sum), i, t};
        free(logits);
    }
    qsort(out, (size_t)n, sizeof *out, by_score);
    return n;
}

/* Into the finished ones, if it is better than the worst of them. */
static void finish(plain *b, const hyp *h)
{
    int worst = 0;
    for (int i = 0; i < b->k; i++) {
        if (!b->done[i].there) {
            worst = i;
            break;
        }
        if (b->done[i].score < b->done[worst].score)
            worst = i;
    }
    if (!b->done[worst].there || b->done[worst].score < h->score)
        b->done[worst] = *h;
}

static bool step(plain *b)
{
    static cand c[MAX_K * MAX_V];
    hyp next[MAX_K];
    int n = expand(b, c), n_next = 0, len = b->running[0].n + 1;
    int keep = (int)QN_MAX(2, 1 + b->p->n_stop_ids) * b->k;
    double norm = pow(len, (double)b->p->length_penalty);
    for (int i = 0; i < keep && i < n; i++) {
        hyp h = b->running[c[i].parent];
        h.ids[h.n++] = c[i].id;
        h.score = c[i].score;
        bool ends = is_end(b, c[i].id) || len == b->p->max_new_tokens;
        if (!ends && n_next < b->k)
            next[n_next++] = h;
        if (ends && i < b->k) {
            h.score /= norm;
            h.there = true;
            finish(b, &h);
        }
    }
    memcpy(b->running, next, sizeof next);
    b->n_running = n_next;
    bool full = true;
    double worst = DBL_MAX;
    for (int i = 0; i < b->k; i++) {
        full &= b->done[i].there;
        worst = fmin(worst, b->done[i].there ? b->done[i].score : -1e9);
    }
    if (n_next == 0 || (full && b->p->early_stopping))
        return false;
    return b->running[0].score / norm > worst;
}

static int by_final(const void *a, const void *b)
{
    const hyp *x = a, *y = b;
    return (x->score < y->score) - (x->score > y->score);
}

static void check(qn_model *m, qn_engine *e, const qn_request_params *p)
{
    static plain b;
    memset(&b, 0, sizeof b);
    b.m = m;
    b.p = p;
    b.v = qn_model_n_vocab(m);
    b.k = p->n_beams;
    b.n_running = 1;
    while (step(&b))
        ;
    qsort(b.done, (size_t)b.k, sizeof b.done[0], by_final);
    play *r = play_submit(e, p);
    play_run(e, r);
    for (int i = 0; i < r->n_out; i++) {
        const play_out *o = &r->out[i];
        const hyp *h = &b.done[i];
        bool tie = (i > 0 && h[-1].score - h->score < 1e-5) ||
                   (i + 1 < b.k && h[1].there && h->score - h[1].score < 1e-5);
        if (tie) /* their order is not defined */
            continue;
        assert_int_equal(o->n, h->n);
        assert_memory_equal(o->ids, h->ids, (size_t)h->n * sizeof *h->ids);
        assert_int_equal(o->finish, is_end(&b, h->ids[h->n - 1])
                                        ? QN_FINISH_STOP
                                        : QN_FINISH_LENGTH);
    }
    play_free(r);
    play_no_pages(e);
}

/* The search with a few tokens that come up in it as end tokens. */
static void vary(qn_model *m, qn_engine *e, uint32_t *x)
{
    static const float penalties[] = {1, 0, 0.5f, 2, -1};
    int32_t prompt[70], ends[3];
    size_t n = 1 + play_random(x, 70);
    play_random_ids(x, prompt, n, qn_model_n_vocab(m));
    qn_request_params p = play_params(prompt, n, 1 + (int)play_random(x, 12));
    play *greedy = play_submit(e, &p);
    play_run(e, greedy);
    p.n_stop_ids = play_random(x, 4);
    for (size_t i = 0; i < p.n_stop_ids; i++)
        ends[i] = i == 0
                      ? greedy->out[0].ids[greedy->out[0].n - 1]
                      : (int32_t)play_random(x, (uint32_t)qn_model_n_vocab(m));
    play_free(greedy);
    p.stop_ids = ends;
    p.n_beams = 2 + (int)play_random(x, MAX_K - 1);
    p.n = 1 + (int)play_random(x, (uint32_t)p.n_beams);
    p.length_penalty = penalties[play_random(x, QN_COUNTOF(penalties))];
    p.early_stopping = play_random(x, 2);
    check(m, e, &p);
}

static void test_against_plain(void **state)
{
    static const char *const names[] = {"llama", "gemma2", "mamba2"};
    (void)state;
    for (size_t f = 0; f < QN_COUNTOF(names); f++) {
        qn_model *m = play_model(names[f], 0);
        qn_engine *e = play_engine(m, 1024, 8, 50);
        uint32_t x = 99;
        for (int i = 0; i < 30; i++)
            vary(m, e, &x);
        qn_engine_free(e);
        qn_model_close(m);
    }
}

static int n_fails; /* detokenizing fails at this call, counted down */

int __real_qn_detok_push(qn_detok *d, int32_t id, qn_str *out, qn_err *err);
int __wrap_qn_detok_push(qn_detok *d, int32_t id, qn_str *out, qn_err *err);

int __wrap_qn_detok_push(qn_detok *d, int32_t id, qn_str *out, qn_err *err)
{
    if (n_fails > 0 && --n_fails == 0)
        return qn_fail(err, QN_ELIMIT, "made up");
    return __real_qn_detok_push(d, id, out, err);
}

/* A text that cannot be made: one last event for each completion, which
 * play_poll() looks at, whether it was given out before or not. */
static void test_text_fails(void **state)
{
    (void)state;
    static const int32_t prompt[] = {5, 6, 7};
    qn_model *m = play_builtin();
    if (!m)
        skip();
    qn_engine *e = play_engine(m, 1024, 8, 50);
    for (int at = 1; at <= 13; at++) {
        qn_request_params p = play_params(prompt, QN_COUNTOF(prompt), 4);
        p.n_beams = 4;
        p.n = 3;
        play *r = play_submit(e, &p);
        n_fails = at;
        play_run(e, r);
        for (int i = 0; i < r->n_out; i++)
            assert_int_equal(r->out[i].finish, i < (at - 1) / 4
                                                   ? QN_FINISH_LENGTH
                                                   : QN_FINISH_ERROR);
        play_free(r);
        play_no_pages(e);
        n_fails = 0;
    }
    qn_engine_free(e);
    qn_model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_plain),
        cmocka_unit_test(test_text_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
