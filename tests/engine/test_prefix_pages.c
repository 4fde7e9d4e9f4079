/* The prefix cache against a list of everything that was ever added, under
 * random additions, matches and shortage; its own counts hold throughout. */
#include "testing.h"

#include "engine/prefix.h"

enum {
    PAGE = 4,
    N_PAGES = 24,
    MAX_LEN = 10 /* pages of a chain */
};

static uint32_t state = 7;
static int draw(int n)
{
    state = state * 1664525u + 1013904223u;
    return (int)((state >> 8) % (uint32_t)n);
}

static void check_counts(const qn_pages *p)
{
    int free_ = 0, kept = 0;
    for (int i = 0; i < p->n; i++) {
        free_ += p->refs[i] == 0;
        kept += p->refs[i] == 1 && p->cached[i];
    }
    assert_int_equal(p->n_free, free_);
    assert_int_equal(p->n_kept, kept);
    assert_true(p->n_reserved <= p->n_free + p->n_kept);
}

typedef struct chain {
    int32_t tokens[MAX_LEN * PAGE];
    int32_t pages[MAX_LEN];
    int n;
    uint64_t salt;
} chain;

/* Few different pages, so that chains share beginnings often. */
static void draw_chain(chain *c)
{
    c->n = 1 + draw(MAX_LEN);
    c->salt = (uint64_t)draw(2);
    for (int i = 0; i < c->n; i++) {
        int kind = draw(2);
        for (int k = 0; k < PAGE; k++)
            c->tokens[i * PAGE + k] = kind * 10 + k;
    }
}

/* What a request does: matches, computes the rest, adds page by page. false:
 * there was no room. */
static bool play(qn_prefix *c, qn_pages *p, chain *x)
{
    qn_prefix_node *last;
    int n = qn_prefix_match(c, x->salt, x->tokens, (size_t)x->n * PAGE, x->n,
                            x->pages, &last);
    if (!qn_pages_reserve(p, x->n - n)) {
        for (int i = 0; i < n; i++)
            qn_pages_unref(p, x->pages[i]);
        return false;
    }
    for (int i = n; i < x->n; i++) {
        x->pages[i] = qn_pages_take(p);
        last = qn_prefix_add(c, x->salt, last, x->tokens + i * PAGE,
                             &x->pages[i]);
        check_counts(p);
    }
    return true;
}

static void let_go(qn_pages *p, chain *x)
{
    for (int i = x->n - 1; i >= 0; i--)
        qn_pages_unref(p, x->pages[i]);
    x->n = 0;
}

static void test_random(void **unused)
{
    (void)unused;
    qn_pages p;
    qn_pages_init(&p, N_PAGES);
    qn_prefix *c = qn_prefix_new(&p, PAGE);
    chain held[3] = {{.n = 0}};
    int n_hit = 0, n_refused = 0;
    for (int round = 0; round < 20000; round++) {
        chain *x = &held[draw(3)];
        if (x->n > 0) {
            let_go(&p, x);
        } else {
            draw_chain(x);
            int n = x->n;
            if (!play(c, &p, x)) {
                n_refused++;
                x->n = 0;
                continue;
            }
            /* it is all there now, and it is ours */
            int32_t again[MAX_LEN];
            qn_prefix_node *last;
            int m = qn_prefix_match(c, x->salt, x->tokens, (size_t)n * PAGE, n,
                                    again, &last);
            assert_int_equal(m, n);
            for (int i = 0; i < m; i++) {
                assert_int_equal(again[i], x->pages[i]);
                qn_pages_unref(&p, again[i]);
            }
            n_hit += m;
        }
        check_counts(&p);
    }
    assert_true(n_hit > 1000 && n_refused > 10);
    for (int i = 0; i < 3; i++)
        let_go(&p, &held[i]);
    qn_prefix_free(c);
    assert_int_equal(p.n_free, N_PAGES);
    qn_pages_deinit(&p);
}

static int match_len(qn_prefix *c, qn_pages *p, uint64_t salt,
                     const int32_t *tokens, size_t n)
{
    int32_t ids[MAX_LEN];
    qn_prefix_node *last;
    int m = qn_prefix_match(c, salt, tokens, n, MAX_LEN, ids, &last);
    for (int i = 0; i < m; i++)
        qn_pages_unref(p, ids[i]);
    return m;
}

static void test_matching(void **unused)
{
    (void)unused;
    qn_pages p;
    qn_pages_init(&p, 8);
    qn_prefix *c = qn_prefix_new(&p, PAGE);
    chain x = {.n = 3, .salt = 5};
    for (int i = 0; i < 3 * PAGE; i++)
        x.tokens[i] = i;
    assert_true(play(c, &p, &x));
    let_go(&p, &x);
    assert_int_equal(match_len(c, &p, 5, x.tokens, 3 * PAGE), 3);
    assert_int_equal(match_len(c, &p, 5, x.tokens, 3 * PAGE - 1), 2);
    assert_int_equal(match_len(c, &p, 6, x.tokens, 3 * PAGE), 0);
    /* the second page alone is nothing without the first */
    assert_int_equal(match_len(c, &p, 5, x.tokens + PAGE, 2 * PAGE), 0);
    x.tokens[2 * PAGE]++;
    assert_int_equal(match_len(c, &p, 5, x.tokens, 3 * PAGE), 2);
    qn_prefix_free(c);
    qn_pages_deinit(&p);
}

/* The longest unused goes first, and a leaf before what it follows. */
static void test_order(void **unused)
{
    (void)unused;
    qn_pages p;
    qn_pages_init(&p, 4);
    qn_prefix *c = qn_prefix_new(&p, PAGE);
    chain a = {.n = 2}, b = {.n = 2, .tokens = {100}};
    assert_true(play(c, &p, &a));
    let_go(&p, &a);
    assert_true(play(c, &p, &b));
    let_go(&p, &b);
    a.n = b.n = 2;
    assert_int_equal(match_len(c, &p, 0, b.tokens, 2 * PAGE), 2);
    assert_int_equal(match_len(c, &p, 0, a.tokens, 2 * PAGE), 2);
    assert_true(qn_pages_reserve(&p, 1)); /* b was unused for longer */
    int32_t id = qn_pages_take(&p);
    assert_int_equal(match_len(c, &p, 0, b.tokens, 2 * PAGE), 1);
    assert_int_equal(match_len(c, &p, 0, a.tokens, 2 * PAGE), 2);
    qn_pages_unref(&p, id);
    qn_prefix_free(c);
    qn_pages_deinit(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matching),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
