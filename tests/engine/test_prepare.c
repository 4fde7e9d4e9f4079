/* Memory for KV pages is there before a step takes them, or that step would
 * wait for what the system does on first touch. */
#include "play.h"

#include "backend/backend.h"
#include "base/mem.h"
#include "model/pass_int.h"

#include <sys/mman.h>
#include <unistd.h>

enum {
    N_SEQS = 8,
    N_PROMPT = 192,
    N_NEW = 32
};

static qn_model *llama;
static int n_blocks; /* asked for */

void __real_qn_big_populate(void *p, size_t n);
void __wrap_qn_big_populate(void *p, size_t n);

/* As it is, and what was asked for is there. */
void __wrap_qn_big_populate(void *p, size_t n)
{
    unsigned char there[2 * QN_PASS_BLOCK / 4096] = {0};
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *first = (char *)p - (uintptr_t)p % page;
    size_t n_page = ((size_t)((char *)p - first) + n + page - 1) / page;

    __real_qn_big_populate(p, n);
    n_blocks++;
    assert_true(n_page <= sizeof there);
    assert_int_equal(mincore(first, n_page * page, there), 0);
    for (size_t i = 0; i < n_page; i++)
        assert_true(there[i] & 1);
}

static int64_t page_bytes(const qn_engine *e)
{
    return (int64_t)e->pass->net->be->api->kv_page_bytes(e->pass->kv[0]);
}

/* With so many bytes of pages in each layer. */
static qn_engine *engine_of(int64_t bytes)
{
    qn_engine *e = play_engine(llama, 64, 1, 16);
    int64_t n_ctx = bytes / page_bytes(e) * e->page_tokens;

    qn_engine_free(e);
    return play_engine_of(llama, (qn_engine_params){.n_ctx = n_ctx,
                                                    .max_seqs = N_SEQS,
                                                    .prefix_cache = true});
}

/* Pages that have their memory in every layer. */
static int pages_there(const qn_engine *e)
{
    int n = e->pages[0].n;

    for (int i = 0; i < e->pass->net->hp.n_layer; i++)
        n = QN_MIN(n, e->pass->kv_there[i]);
    return n;
}

/* As much as is to be ahead, not the whole pool. */
static void test_idle(void **state)
{
    qn_engine *e = engine_of(4 * QN_PASS_AHEAD);
    int n = 0;

    (void)state;
    n_blocks = 0;
    while (qn_engine_prepare(e))
        n++;
    assert_int_equal(n, n_blocks);
    assert_true(pages_there(e) * page_bytes(e) >= QN_PASS_AHEAD);
    for (int i = 0; i < e->pass->net->hp.n_layer; i++)
        assert_true(e->pass->kv_there[i] * page_bytes(e) <
                    QN_PASS_AHEAD + QN_PASS_BLOCK);
    qn_engine_free(e);
}

/* Until every page has been taken, and then no more. */
static void test_steps(void **state)
{
    qn_engine *e = engine_of(2 * QN_PASS_AHEAD);
    play *p[N_SEQS] = {0};
    int32_t ids[N_PROMPT];
    uint32_t x = 7;

    (void)state;
    while (qn_engine_prepare(e))
        ;
    while (e->pages[0].n_touched < e->pages[0].n) {
        for (int i = 0; i < N_SEQS; i++) {
            if (p[i] && !play_ended(p[i]))
                continue;
            if (p[i])
                play_free(p[i]);
            play_random_ids(&x, ids, N_PROMPT, 500);
            qn_request_params rp =
                play_params(ids, 1 + play_random(&x, N_PROMPT), N_NEW);
            p[i] = play_submit(e, &rp);
        }
        int had = pages_there(e);
        assert_true(qn_engine_step(e, NULL) >= 0);
        assert_true(e->pages[0].n_touched <= had);
        for (int i = 0; i < N_SEQS; i++)
            play_poll(p[i]);
    }
    assert_int_equal(pages_there(e), e->pages[0].n);
    assert_false(qn_engine_prepare(e));
    for (int i = 0; i < N_SEQS; i++)
        play_free(p[i]);
    qn_engine_free(e);
}

static int setup(void **state)
{
    (void)state;
    llama = play_model("llama", 2);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    qn_model_close(llama);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_idle),
        cmocka_unit_test(test_steps),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
