#include "play.h"

qn_model *play_model(const char *name, int n_threads)
{
    char path[256];
    qn_model *m = NULL;
    qn_err err = {0};
    qn_model_params p = {.n_threads = n_threads ? n_threads : 2};

    snprintf(path, sizeof path, "models/%s", name);
    if (qn_model_open(&m, strchr(name, '/') ? name : qn_test_data(path), &p,
                      &err) < 0)
        fail_msg("%s", err.msg);
    return m;
}

qn_model *play_builtin(void)
{
    return play_builtin_of(2);
}

qn_model *play_builtin_of(int n_threads)
{
    qn_model *m = NULL;
    qn_err err = {0};
    qn_model_params p = {.n_threads = n_threads};
    int rc = qn_model_open(&m, NULL, &p, &err);

    if (rc < 0 && rc != QN_ENOENT)
        fail_msg("%s", err.msg);
    return m;
}

qn_engine *play_engine_of(qn_model *m, qn_engine_params p)
{
    qn_engine *e = NULL;
    qn_err err = {0};

    if (qn_engine_new(&e, m, &p, &err) < 0)
        fail_msg("%s", err.msg);
    return e;
}

qn_engine *play_engine(qn_model *m, int64_t n_ctx, int max_seqs, int max_batch)
{
    qn_engine_params p = {.n_ctx = n_ctx,
                          .max_seqs = max_seqs,
                          .max_batch = max_batch,
                          /* which must not change a token */
                          .prefix_cache = max_seqs % 2 == 1};

    return play_engine_of(m, p);
}

qn_request_params play_params(const int32_t *prompt, size_t n_prompt,
                              int max_new)
{
    qn_request_params p;

    qn_request_params_default(&p);
    p.prompt = prompt;
    p.n_prompt = n_prompt;
    p.max_new_tokens = max_new;
    p.ignore_eos = true;
    p.sampling.temperature = 0;
    return p;
}

play *play_submit(qn_engine *e, const qn_request_params *rp)
{
    play *p = calloc(1, sizeof *p);
    qn_err err = {0};

    assert_non_null(p);
    p->n_out = rp->n > 1 ? rp->n : 1;
    assert_true(p->n_out <= PLAY_MAX_N);
    for (int i = 0; i < p->n_out; i++)
        qn_str_init(&p->out[i].text);
    if (qn_request_submit(e, rp, &p->req, &err) < 0)
        fail_msg("%s", err.msg);
    return p;
}

void play_poll(play *p)
{
    qn_event ev;

    while (qn_request_next(p->req, &ev)) {
        assert_in_range(ev.index, 0, p->n_out - 1);
        play_out *o = &p->out[ev.index];
        assert_int_equal(o->finish, QN_FINISH_NONE); /* none after the last */
        qn_str_add(&o->text, ev.text, ev.text_len);
        assert_int_equal(ev.text[ev.text_len], 0);
        if (ev.id >= 0) {
            assert_true(o->n < PLAY_MAX_TOKENS);
            o->ids[o->n] = ev.id;
            o->logprobs[o->n] = ev.logprob;
            for (size_t i = 0; i < ev.n_top && i < 8; i++)
                o->top[o->n][i] = ev.top[i];
            o->n++;
        }
        o->finish = ev.finish;
    }
}

bool play_ended(const play *p)
{
    for (int i = 0; i < p->n_out; i++)
        if (p->out[i].finish == QN_FINISH_NONE)
            return false;
    return true;
}

void play_run(qn_engine *e, play *p)
{
    qn_err err = {0};

    play_poll(p);
    while (!play_ended(p)) {
        int rc = qn_engine_step(e, &err);
        if (rc < 0)
            fail_msg("%s", err.msg);
        play_poll(p);
        play_promises(e);
        if (rc == 0 && !play_ended(p))
            fail_msg("the engine is idle, the request has not ended");
    }
}

void play_free(play *p)
{
    qn_request_free(p->req);
    for (int i = 0; i < p->n_out; i++)
        qn_str_deinit(&p->out[i].text);
    free(p);
}

void play_equal(const play *a, const play *b)
{
    assert_int_equal(a->n_out, b->n_out);
    for (int i = 0; i < a->n_out; i++) {
        const play_out *x = &a->out[i], *y = &b->out[i];
        assert_int_equal(x->n, y->n);
        assert_memory_equal(x->ids, y->ids, (size_t)x->n * sizeof *x->ids);
        assert_memory_equal(x->logprobs, y->logprobs,
                            (size_t)x->n * sizeof *x->logprobs);
        assert_int_equal(x->text.n, y->text.n);
        if (x->text.n)
            assert_memory_equal(x->text.p, y->text.p, x->text.n);
        assert_int_equal(x->finish, y->finish);
    }
}

void play_promises(const qn_engine *e)
{
    for (int g = 0; g < QN_POOLS; g++) {
        const qn_pages *p = &e->pages[g];
        int64_t all = 0;
        for (const qn_request *r = e->first; r; r = r->next) {
            assert_true(r->reserved[g] >= 0);
            all += r->reserved[g];
        }
        assert_int_equal(p->n_reserved, all);
        assert_true(all <= p->n_free + p->n_kept);
    }
}

void play_no_pages(const qn_engine *e)
{
    for (int g = 0; g < QN_POOLS; g++) {
        assert_int_equal(e->pages[g].n_free + e->pages[g].n_kept,
                         e->pages[g].n);
        assert_int_equal(e->pages[g].n_reserved, 0);
        for (int i = 0; i < e->pages[g].n; i++)
            assert_int_equal(e->pages[g].refs[i], e->pages[g].cached[i]);
    }
    assert_int_equal(e->n_live_seqs, 0);
}

float *play_logits(qn_model *m, const int32_t *ids, size_t n)
{
    qn_engine *e = play_engine(m, (int64_t)n + 1, 1, 0);
    qn_request_params rp = play_params(ids, n, 0);
    size_t bytes = n * (size_t)qn_model_n_vocab(m) * sizeof(float);
    float *out = malloc(bytes);

    rp.prompt_logits = true;
    play *p = play_submit(e, &rp);
    play_run(e, p);
    assert_int_equal(p->out[0].n, 0);
    assert_int_equal(p->out[0].finish, QN_FINISH_LENGTH);
    memcpy(out, qn_request_prompt_logits(p->req), bytes);
    play_free(p);
    qn_engine_free(e);
    return out;
}

uint32_t play_random(uint32_t *x, uint32_t n)
{
    *x ^= *x << 13;
    *x ^= *x >> 17;
    *x ^= *x << 5;
    return *x % n;
}

void play_random_ids(uint32_t *state, int32_t *ids, size_t n, int n_vocab)
{
    for (size_t i = 0; i < n; i++)
        ids[i] = (int32_t)play_random(state, (uint32_t)n_vocab);
}
