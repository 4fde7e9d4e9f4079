/* One request at a time, and what its parameters promise: greedy tokens equal
 * to the reference implementation's, completions that share a prompt, log
 * probabilities, end tokens, limits. Logits to compare with come from prompts
 * without a completion: another path through the engine. */
#include "play.h"

#include "ckpt/ckpt.h"

#include <sys/stat.h>
#include <unistd.h>

static const double tolerance = 2e-4; /* of the largest logit, as the goldens */

static const char *const families[] = {"llama",   "gemma2", "gpt2",
                                       "mixtral", "opt350", "phi3"};

static int argmax(const float *x, int n)
{
    int best = 0;
    for (int i = 1; i < n; i++)
        if (x[i] > x[best])
            best = i;
    return best;
}

static double log_softmax(const float *row, int n, int32_t id)
{
    double top = (double)row[argmax(row, n)], sum = 0;
    for (int i = 0; i < n; i++)
        sum += exp((double)row[i] - top);
    return (double)row[id] - top - log(sum);
}

/* ---- greedy ------------------------------------------------------------ */

static int32_t *ints_of(const qn_ckpt *ck, const char *what, int i, int *n)
{
    char name[32];
    snprintf(name, sizeof name, "%s_%d", what, i);
    const qn_tensor *t = qn_ckpt_find(ck, name);
    assert_non_null(t);
    assert_int_equal(t->dtype, QN_I64);
    int64_t *v = calloc((size_t)t->n_elems + 1, sizeof *v);
    int32_t *out = calloc((size_t)t->n_elems + 1, sizeof *out);
    assert_int_equal(qn_ckpt_read(ck, t, 0, v, (size_t)t->n_bytes, NULL), 0);
    *n = (int)t->n_elems;
    for (int j = 0; j < *n; j++)
        out[j] = (int32_t)v[j];
    free(v);
    return out;
}

/* The continuation equals the golden one as far as the reference's choices
 * were clear. */
static void check_greedy(const play_out *o, const int32_t *want, int n,
                         const json_t *margins, const char *what)
{
    assert_int_equal(o->n, n);
    assert_int_equal(o->finish, QN_FINISH_LENGTH);
    for (int j = 0; j < n; j++) {
        double margin = json_number_value(json_array_get(margins, (size_t)j));
        if (o->ids[j] == want[j])
            continue;
        if (margin > 2 * tolerance * 10)
            fail_msg("%s: token %d is %d, golden %d, margin %g", what, j,
                     (int)o->ids[j], (int)want[j], margin);
        return; /* what follows is another text */
    }
}

static void goldens_of(const char *dir)
{
    char file[4096];
    json_t *ref = NULL;
    qn_ckpt *ck = NULL;
    qn_err err = {0};

    snprintf(file, sizeof file, "%s/reference.json", dir);
    if (qn_json_load(&ref, file, 64 << 20, &err) < 0)
        fail_msg("%s", err.msg);
    snprintf(file, sizeof file, "%s/reference.safetensors", dir);
    assert_int_equal(qn_ckpt_open_tensors(&ck, file, &err), 0);
    qn_model *m = play_model(dir, 0);
    qn_engine *e = play_engine(m, 0, 8, 48);
    const json_t *prompts = json_object_get(ref, "prompts");
    play *all[8];
    int32_t *want[8];
    int n_want[8], n = (int)QN_MIN(json_array_size(prompts), QN_COUNTOF(all));
    for (int i = 0; i < n; i++) { /* all at once */
        int n_prompt;
        int32_t *prompt = ints_of(ck, "prompt", i, &n_prompt);
        want[i] = ints_of(ck, "greedy", i, &n_want[i]);
        qn_request_params p = play_params(prompt, (size_t)n_prompt, n_want[i]);
        all[i] = play_submit(e, &p);
        free(prompt);
    }
    for (int i = 0; i < n; i++) {
        play_run(e, all[i]);
        check_greedy(&all[i]->out[0], want[i], n_want[i],
                     json_object_get(json_array_get(prompts, (size_t)i),
                                     "margins"),
                     dir);
        play_free(all[i]);
        free(want[i]);
    }
    play_no_pages(e);
    qn_engine_free(e);
    qn_model_close(m);
    qn_ckpt_close(ck);
    json_decref(ref);
}

static void test_greedy(void **state)
{
    (void)state;
    for (size_t i = 0; i < QN_COUNTOF(families); i++) {
        char dir[64];
        snprintf(dir, sizeof dir, "models/%s", families[i]);
        goldens_of(qn_test_data(dir));
    }
}

/* The rotation of LongRoPE changes as a whole within some of these, and the
 * scaling of dynamic NTK in others. */
static void test_greedy_shared(void **state)
{
    static const char *const more[] = {
        "phi3_partial", "llama_dynamic", "llama_yarn", "llama_llama3",
        "mistral",      "gemma3_text",   "qwen3",      "gpt_neox",
    };
    (void)state;
    if (!qn_test_shared("goldens/models"))
        QN_SKIP("no shared data");
    for (size_t i = 0; i < QN_COUNTOF(more); i++) {
        char dir[64];
        snprintf(dir, sizeof dir, "goldens/models/%s", more[i]);
        goldens_of(qn_test_shared(dir));
    }
}

/* ---- several completions ----------------------------------------------- */

/* Each token's log probability equals, to the bit, what the logits of prompt
 * and completion as one prompt give: no page was shared wrongly. */
static void check_logprobs(qn_model *m, const qn_request_params *rp,
                           const play_out *o)
{
    int v = qn_model_n_vocab(m);
    size_t n = rp->n_prompt + (size_t)o->n;
    int32_t *ids = calloc(n, sizeof *ids);
    memcpy(ids, rp->prompt, rp->n_prompt * sizeof *ids);
    memcpy(ids + rp->n_prompt, o->ids, (size_t)o->n * sizeof *ids);
    float *logits = play_logits(m, ids, n);
    for (int j = 0; j < o->n; j++) {
        const float *row = logits + (rp->n_prompt + (size_t)j - 1) * (size_t)v;
        float want = (float)((double)row[o->ids[j]] - qn_log_sum_exp(row, v));
        assert_memory_equal(&o->logprobs[j], &want, sizeof want);
        double def = log_softmax(row, v, o->ids[j]);
        assert_true(fabs(def - (double)want) <= 1e-5 * fmax(1, fabs(def)));
    }
    free(logits);
    free(ids);
}

/* Prompts that end before, at and behind a page's end. */
static void test_completions(void **state)
{
    static const int lengths[] = {1, 63, 64, 65, 100, 128};
    (void)state;
    for (size_t f = 0; f < 2; f++) { /* llama; gemma2 has two groups */
        qn_model *m = play_model(families[f], 0);
        qn_engine *e = play_engine(m, 4096, 16, 40);
        uint32_t x = 7;
        int32_t prompt[128];
        for (size_t i = 0; i < QN_COUNTOF(lengths); i++) {
            play_random_ids(&x, prompt, 128, qn_model_n_vocab(m));
            qn_request_params rp = play_params(prompt, (size_t)lengths[i], 70);
            rp.sampling.temperature = 1;
            rp.sampling.seed = i;
            rp.n_logprobs = 0;
            play *one = play_submit(e, &rp);
            rp.n = 3;
            play *three = play_submit(e, &rp);
            rp.n = 8;
            play *eight = play_submit(e, &rp);
            play_run(e, eight);
            play_run(e, three);
            play_run(e, one);
            for (int c = 0; c < 8; c++) {
                const play_out *o = &eight->out[c];
                assert_int_equal(o->n, 70);
                if (c < 3)
                    check_logprobs(m, &rp, o);
                for (int d = 0; d < c; d++)
                    assert_memory_not_equal(o->ids, eight->out[d].ids,
                                            sizeof(int32_t) * 70);
                if (c < 3)
                    assert_memory_equal(o->ids, three->out[c].ids,
                                        sizeof(int32_t) * 70);
            }
            assert_memory_equal(one->out[0].ids, eight->out[0].ids,
                                sizeof(int32_t) * 70);
            play_free(one);
            play_free(three);
            play_free(eight);
        }
        play_no_pages(e);
        qn_engine_free(e);
        qn_model_close(m);
    }
}

/* ---- a rotation that changes on the way ---------------------------------- */

/* phi3 with LongRoPE, whose factors change behind 40 positions. */
static qn_model *long_model(void)
{
    const char *dir = qn_test_tmpdir();
    char to[4096],
        *config = qn_test_read_file(qn_test_data("models/phi3/config.json"),
                                    NULL);
    qn_err err = {0};
    json_t *c = json_loads(config, 0, NULL);
    json_t *rope = json_pack("{s:s, s:f, s:i, s:[ffffffff], s:[ffffffff]}",
                             "rope_type", "longrope", "rope_theta", 10000.0,
                             "original_max_position_embeddings", 40,
                             "short_factor", 1.0, 1.1, 1.0, 1.2, 1.0, 1.0, 1.3,
                             1.0, "long_factor", 1.0, 2.0, 3.0, 4.0, 5.0, 6.0,
                             7.0, 8.0);
    assert_non_null(rope);
    json_object_set_new(c, "rope_parameters", rope);
    json_object_set_new(c, "original_max_position_embeddings",
                        json_integer(40));
    snprintf(to, sizeof to, "%s/config.json", dir);
    assert_int_equal(json_dump_file(c, to, 0), 0);
    snprintf(to, sizeof to, "%s/model.safetensors", dir);
    assert_int_equal(symlink(qn_test_data("models/phi3/model.safetensors"), to),
                     0);
    json_decref(c);
    free(config);
    qn_model *m = NULL;
    if (qn_model_open(&m, dir, NULL, &err) < 0)
        fail_msg("%s", err.msg);
    return m;
}

/* Every token's log probability is what a prompt that ends before it gives:
 * the reference computes a sequence anew when the factors change. */
static void check_each(qn_model *m, const qn_request_params *rp,
                       const play_out *o)
{
    int v = qn_model_n_vocab(m);
    size_t n = rp->n_prompt;
    int32_t ids[256];
    memcpy(ids, rp->prompt, n * sizeof *ids);
    for (int j = 0; j < o->n; j++) {
        float *logits = play_logits(m, ids, n + (size_t)j);
        const float *row = logits + (n + (size_t)j - 1) * (size_t)v;
        float want = (float)((double)row[o->ids[j]] - qn_log_sum_exp(row, v));
        assert_memory_equal(&o->logprobs[j], &want, sizeof want);
        free(logits);
        ids[n + (size_t)j] = o->ids[j];
    }
}

static void test_renewed(void **state)
{
    (void)state;
    qn_model *m = long_model();
    uint32_t x = 3;
    int32_t prompt[60];
    play_random_ids(&x, prompt, 60, qn_model_n_vocab(m));
    for (int chunk = 4; chunk <= 64; chunk *= 4) {
        for (size_t n = 30; n <= 50; n += 10) {
            qn_engine *e = play_engine(m, 2048, 4, chunk);
            qn_request_params rp = play_params(prompt, n, 20);
            rp.sampling.temperature = 1;
            rp.n_logprobs = 0;
            rp.n = 2;
            play *a = play_submit(e, &rp), *b = play_submit(e, &rp);
            play_run(e, a);
            play_run(e, b);
            check_each(m, &rp, &a->out[0]);
            check_each(m, &rp, &a->out[1]);
            play_equal(a, b);
            play_free(a);
            play_free(b);
            play_no_pages(e);
            qn_engine_free(e);
        }
    }
    qn_model_close(m);
}

/* ---- log probabilities, ends ------------------------------------------- */

static void test_top_logprobs(void **state)
{
    (void)state;
    qn_model *m = play_model("llama", 0);
    qn_engine *e = play_engine(m, 512, 2, 64);
    int v = qn_model_n_vocab(m);
    int32_t prompt[5] = {3, 14, 15, 92, 65};
    qn_request_params rp = play_params(prompt, 5, 12);
    rp.n_logprobs = 5;
    rp.sampling.temperature = 2;
    rp.sampling.seed = 5;
    play *p = play_submit(e, &rp);
    play_run(e, p);
    check_logprobs(m, &rp, &p->out[0]);
    int32_t ids[17];
    memcpy(ids, prompt, sizeof prompt);
    memcpy(ids + 5, p->out[0].ids, 12 * sizeof *ids);
    float *logits = play_logits(m, ids, 17);
    for (int j = 0; j < 12; j++) {
        float *row = logits + (4 + j) * v;
        double z = qn_log_sum_exp(row, v);
        for (int k = 0; k < 5; k++) { /* the best of what is left */
            const qn_top_logprob *t = &p->out[0].top[j][k];
            int best = argmax(row, v);
            float want = (float)((double)row[best] - z);
            assert_int_equal(t->id, best);
            assert_memory_equal(&t->logprob, &want, sizeof want);
            row[best] = -INFINITY;
        }
    }
    free(logits);
    play_free(p);
    qn_engine_free(e);
    qn_model_close(m);
}

/* Of the prompt: those of its logits, to the bit, however it is cut and
 * whatever the cache holds of it. */
static void test_prompt_logprobs(void **state)
{
    (void)state;
    qn_model *m = play_model("llama", 0);
    int v = qn_model_n_vocab(m);
    int32_t prompt[150];
    uint32_t x = 3;
    qn_event ev;
    play_random_ids(&x, prompt, 150, v);
    float *logits = play_logits(m, prompt, 150);
    for (int k = -1; k <= 3; k++) {
        qn_engine *e = play_engine(m, 0, 3, k == 1 ? 7 : 64);
        qn_request_params rp = play_params(prompt, 150, k == 2 ? 0 : 4);
        rp.n = k == 3 ? 2 : 1;
        play *first = play_submit(e, &rp); /* into the cache */
        play_run(e, first);
        rp.n_prompt_logprobs = k;
        play *p = play_submit(e, &rp);
        play_run(e, p);
        assert_int_equal(qn_request_prompt_logprob(p->req, 0, &ev), 0);
        assert_int_equal(qn_request_prompt_logprob(p->req, 150, &ev), 0);
        for (size_t i = 1; i < 150; i++) {
            const float *row = logits + (i - 1) * (size_t)v;
            double z = qn_log_sum_exp(row, v);
            assert_int_equal(qn_request_prompt_logprob(p->req, i, &ev), k >= 0);
            if (k < 0)
                continue;
            float want = (float)((double)row[prompt[i]] - z);
            assert_int_equal(ev.id, prompt[i]);
            assert_memory_equal(&ev.logprob, &want, sizeof want);
            assert_int_equal(ev.n_top, k);
            int32_t best[3];
            qn_top_k(row, v, k, best);
            for (int j = 0; j < k; j++) {
                want = (float)((double)row[best[j]] - z);
                assert_int_equal(ev.top[j].id, best[j]);
                assert_memory_equal(&ev.top[j].logprob, &want, sizeof want);
            }
        }
        assert_memory_equal(p->out[0].ids, first->out[0].ids,
                            (size_t)p->out[0].n * sizeof(int32_t));
        play_free(first);
        play_free(p);
        qn_engine_free(e);
    }
    free(logits);
    qn_model_close(m);
}

/* A completion of several contexts: between two shifts it is what a request
 * with the tokens that were left gives. */
static void test_context_shift(void **state)
{
    static const char *const names[] = {"llama", "gemma2", "falcon_h1"};
    enum {
        N = 500
    };
    (void)state;
    for (size_t f = 0; f < QN_COUNTOF(names); f++) {
        qn_model *m = play_model(names[f], 0);
        int64_t limit = QN_MIN(qn_model_n_ctx_train(m), 200);
        int32_t cur[512], want[N];
        uint32_t x = 5;
        int n_want = 0, keep = 7, n_cur = 60;
        play_random_ids(&x, cur, 60, qn_model_n_vocab(m));
        qn_engine *e = play_engine_of(m,
                                      (qn_engine_params){.n_ctx = limit,
                                                         .max_seqs = 3,
                                                         .prefix_cache = f == 0,
                                                         .speculate = 4,
                                                         .overcommit = true});
        qn_request_params rp = play_params(cur, 60, N);
        rp.context_shift = true;
        rp.n_keep = keep;
        play *p = play_submit(e, &rp);
        qn_engine *plain = play_engine(m, 0, 2, 0);
        while (n_want < N) {
            int n = QN_MIN((int)limit - n_cur, N - n_want);
            qn_request_params part = play_params(cur, (size_t)n_cur, n);
            play *q = play_submit(plain, &part);
            play_run(plain, q);
            assert_int_equal(q->out[0].n, n);
            memcpy(cur + n_cur, q->out[0].ids, (size_t)n * sizeof *cur);
            memcpy(want + n_want, q->out[0].ids, (size_t)n * sizeof *cur);
            play_free(q);
            n_cur += n;
            n_want += n;
            int gone = (n_cur - keep + 1) / 2;
            memmove(cur + keep, cur + keep + gone,
                    (size_t)(n_cur - keep - gone) * sizeof *cur);
            n_cur -= gone;
        }
        play_run(e, p);
        assert_int_equal(p->out[0].finish, QN_FINISH_LENGTH);
        assert_int_equal(p->out[0].n, N);
        assert_memory_equal(p->out[0].ids, want, sizeof want);
        play_free(p);
        play_no_pages(e);
        qn_engine_free(e);
        qn_engine_free(plain);
        qn_model_close(m);
    }
}

/* Who shifts gives all its pages up: none of them may be of the tree, whose
 * pages do not come back to it, while others wait for pages. */
static void test_shift_after_prefix(void **state)
{
    enum {
        N = 4
    };
    (void)state;
    qn_model *m = play_model("llama", 0);
    qn_engine *e = play_engine_of(m, (qn_engine_params){.n_ctx = 512,
                                                        .max_seqs = 4,
                                                        .prefix_cache = true});
    int32_t ids[N][200];
    qn_request_params rp[N];
    play *p[N];
    uint32_t x = 5;
    for (int i = 0; i < N; i++) {
        play_random_ids(&x, ids[i], 200, qn_model_n_vocab(m));
        rp[i] = play_params(ids[i], i < 3 ? 200 : 150, i == 0 ? 2 : 56);
    }
    p[0] = play_submit(e, &rp[0]); /* into the tree */
    play_run(e, p[0]);
    play_free(p[0]);
    rp[0].max_new_tokens = 900;
    rp[0].context_shift = true;
    for (int i = 0; i < N; i++)
        p[i] = play_submit(e, &rp[i]);
    for (int i = 0; i < N; i++) {
        play_run(e, p[i]);
        assert_int_equal(p[i]->out[0].n, rp[i].max_new_tokens);
        play_free(p[i]);
    }
    /* one that never has to shift finds its prefix as others do */
    rp[0].max_new_tokens = 3;
    for (int i = 0; i < 2; i++) {
        p[0] = play_submit(e, &rp[0]);
        play_run(e, p[0]);
        assert_true(i == 0 || p[0]->req->n_cached > 0);
        play_free(p[0]);
    }
    play_no_pages(e);
    qn_engine_free(e);
    qn_model_close(m);
}

static void test_ends(void **state)
{
    (void)state;
    qn_model *m = play_model("llama", 0);
    qn_engine *e = play_engine(m, 512, 2, 64);
    int32_t prompt[5] = {3, 14, 15, 92, 65};
    qn_request_params rp = play_params(prompt, 5, 24);
    play *free_run = play_submit(e, &rp);
    play_run(e, free_run);
    const int32_t *ids = free_run->out[0].ids;

    int32_t stop = ids[9];
    int at = 0;
    while (ids[at] != stop)
        at++;
    rp.stop_ids = &stop;
    rp.n_stop_ids = 1;
    play *p = play_submit(e, &rp);
    play_run(e, p);
    assert_int_equal(p->out[0].finish, QN_FINISH_STOP);
    assert_int_equal(p->out[0].n, at + 1);
    assert_memory_equal(p->out[0].ids, ids, sizeof *ids * (size_t)(at + 1));
    play_free(p);

    /* not before min_new_tokens: then the next best is taken */
    for (int min = at + 1; min < 24; min += 5) {
        rp.min_new_tokens = min;
        p = play_submit(e, &rp);
        play_run(e, p);
        for (int j = 0; j < min; j++)
            assert_int_not_equal(p->out[0].ids[j], stop);
        assert_memory_equal(p->out[0].ids, ids, sizeof *ids * (size_t)at);
        play_free(p);
    }

    /* the model's own end token counts unless it is ignored */
    qn_request_params eos = play_params(prompt, 5, 24);
    qn_logit_bias bias = {2, 1000};
    assert_int_equal(m->end_ids.v[0], 2);
    eos.sampling.logit_bias = &bias;
    eos.sampling.n_logit_bias = 1;
    eos.ignore_eos = false;
    p = play_submit(e, &eos);
    play_run(e, p);
    assert_int_equal(p->out[0].n, 1);
    assert_int_equal(p->out[0].finish, QN_FINISH_STOP);
    play_free(p);
    eos.ignore_eos = true;
    p = play_submit(e, &eos);
    play_run(e, p);
    assert_int_equal(p->out[0].n, 24);
    play_free(p);

    play_free(free_run);
    play_no_pages(e);
    qn_engine_free(e);
    qn_model_close(m);
}

/* A request that cannot choose ends alone and says why. */
static void test_nothing_allowed(void **state)
{
    (void)state;
    qn_model *m = play_model("llama", 0);
    qn_engine *e = play_engine(m, 512, 4, 64);
    int32_t prompt[5] = {3, 14, 15, 92, 65}, only = 7;
    qn_request_params good = play_params(prompt, 5, 24), bad = good;
    qn_err err = {0};
    bad.sampling.allowed_ids = bad.sampling.banned_ids = &only;
    bad.sampling.n_allowed = bad.sampling.n_banned = 1;
    bad.n = 2;
    play *g = play_submit(e, &good), *b = play_submit(e, &bad);
    play_run(e, b);
    play_run(e, g);
    assert_int_equal(b->out[0].finish, QN_FINISH_ERROR);
    assert_int_equal(b->out[1].finish, QN_FINISH_ERROR);
    assert_int_equal(qn_request_error(b->req, &err), QN_EINVAL);
    assert_non_null(strstr(err.msg, "allowed_ids"));
    assert_int_equal(qn_request_error(g->req, &err), 0);
    assert_int_equal(g->out[0].n, 24);
    play_free(g);
    play_free(b);

    /* beams: two continuations of one token are all there is */
    int32_t two[2] = {7, 9};
    bad = play_params(prompt, 5, 1);
    bad.n = bad.n_beams = 4;
    bad.sampling.allowed_ids = two;
    bad.sampling.n_allowed = 2;
    b = play_submit(e, &bad);
    play_run(e, b);
    assert_int_equal(b->out[1].finish, QN_FINISH_LENGTH);
    assert_int_equal(b->out[2].finish, QN_FINISH_ERROR);
    assert_int_equal(b->out[3].finish, QN_FINISH_ERROR);
    assert_int_equal(qn_request_error(b->req, &err), QN_EINVAL);
    play_free(b);
    play_no_pages(e);
    qn_engine_free(e);
    qn_model_close(m);
}

/* ---- limits ------------------------------------------------------------ */

static void refused(qn_engine *e, const qn_request_params *p, int code,
                    const char *a, const char *b)
{
    qn_request *r = NULL;
    qn_err err = {0};
    assert_int_equal(qn_request_submit(e, p, &r, &err), code);
    assert_null(r);
    if (!strstr(err.msg, a) || !strstr(err.msg, b))
        fail_msg("\"%s\" does not say %s and %s", err.msg, a, b);
    play_no_pages(e);
}

static void test_limits(void **state)
{
    (void)state;
    qn_model *m = play_model("llama", 0); /* a context of 256 */
    qn_engine *e = play_engine(m, 128, 4, 64);
    int32_t prompt[300] = {0};
    qn_request_params p = play_params(prompt, 0, 1);
    refused(e, &p, QN_EINVAL, "no tokens", "prompt");
    p = play_params(prompt, 300, 1);
    refused(e, &p, QN_ELIMIT, "300", "256");
    p = play_params(prompt, 256, 1);
    refused(e, &p, QN_ELIMIT, "256", "shorten");
    p = play_params(prompt, 10, 1);
    p.n = 5;
    refused(e, &p, QN_ELIMIT, "5", "4");
    p.n = 1;
    p.n_beams = 9;
    refused(e, &p, QN_ELIMIT, "9", "4");
    p = play_params(prompt, 200, 56); /* 2 + 4 pages, x 4: 4 of 64 each */
    p.n = 4;
    refused(e, &p, QN_ELIMIT, "need 8 KV pages", "has 6");
    p = play_params(prompt, 10, 1);
    prompt[3] = 512;
    refused(e, &p, QN_EINVAL, "512", "token 3");
    prompt[3] = -1;
    refused(e, &p, QN_EINVAL, "-1", "token 3");
    prompt[3] = 0;
    p.n_logprobs = 2000;
    refused(e, &p, QN_ELIMIT, "2000", "1024");
    p.n_logprobs = 1;
    p.n_beams = 2;
    refused(e, &p, QN_EUNSUP, "beam", "n_logprobs");
    p = play_params(prompt, 10, 1);
    p.sampling.top_p = 1.5f;
    refused(e, &p, QN_EINVAL, "top_p", "1.5");
    p = play_params(prompt, 10, 1);
    qn_logit_bias bias = {5, INFINITY};
    p.sampling.logit_bias = &bias;
    p.sampling.n_logit_bias = 1;
    refused(e, &p, QN_EINVAL, "token 5", "1e6");
    bias.bias = NAN;
    refused(e, &p, QN_EINVAL, "token 5", "1e6");
    p = play_params(prompt, 10, 1);
    p.stop = &(const char *){"x"};
    p.n_stop = 1;
    refused(e, &p, QN_EINVAL, "stop", "tokenizer");
    qn_engine_params ep = {.kv_type = (qn_kv_type)99};
    qn_err err = {0};
    qn_engine *none = NULL;
    assert_int_equal(qn_engine_new(&none, m, &ep, &err), QN_EINVAL);
    assert_null(none);
    assert_non_null(strstr(err.msg, "kv_type 99"));

    /* what is asked beyond the model's context is cut, not refused */
    qn_engine_free(e);
    e = play_engine(m, 0, 2, 64);
    p = play_params(prompt, 250, 1000);
    play *r = play_submit(e, &p);
    play_run(e, r);
    assert_int_equal(r->out[0].n, 6);
    assert_int_equal(r->out[0].finish, QN_FINISH_LENGTH);
    play_free(r);
    qn_engine_free(e);
    qn_model_close(m);
}

/* Weights that are no numbers: the request ends with that, not with what it
 * asked for. */
static void test_broken_weights(void **state)
{
    char path[4096], file[4200];
    size_t n, n_header = 0;
    (void)state;
    snprintf(path, sizeof path, "%s/nan", qn_test_tmpdir());
    assert_int_equal(mkdir(path, 0700), 0);
    char *p = qn_test_read_file(qn_test_data("models/llama/config.json"), &n);
    snprintf(file, sizeof file, "%s/config.json", path);
    qn_test_write_file(file, p, n);
    free(p);
    p = qn_test_read_file(qn_test_data("models/llama/model.safetensors"), &n);
    memcpy(&n_header, p, sizeof n_header);
    memset(p + 8 + n_header, 0xff, n - 8 - n_header);
    snprintf(file, sizeof file, "%s/model.safetensors", path);
    qn_test_write_file(file, p, n);
    free(p);
    qn_model *m = play_model(path, 0);
    qn_engine *e = play_engine(m, 0, 2, 64);
    qn_request_params rp = play_params((const int32_t[]){1, 2, 3}, 3, 4);
    play *r = play_submit(e, &rp);
    qn_err err = {0};
    play_run(e, r);
    assert_int_equal(r->out[0].finish, QN_FINISH_ERROR);
    assert_int_equal(qn_request_error(r->req, &err), QN_EFORMAT);
    assert_non_null(strstr(err.msg, "NaN"));
    play_free(r);
    play_no_pages(e);
    qn_engine_free(e);
    qn_model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_greedy),
        cmocka_unit_test(test_greedy_shared),
        cmocka_unit_test(test_completions),
        cmocka_unit_test(test_renewed),
        cmocka_unit_test(test_top_logprobs),
        cmocka_unit_test(test_prompt_logprobs),
        cmocka_unit_test(test_context_shift),
        cmocka_unit_test(test_shift_after_prefix),
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_nothing_allowed),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_broken_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
