/* Allocation: checked arithmetic, big blocks, fault injection, arena, vec,
 * and what the machine says it has. */
#include "testing.h"

#include "base/arena.h"
#include "base/mem.h"
#include "base/hashmem.h"
#include "base/vec.h"

#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_arithmetic(void **state)
{
    (void)state;
    size_t s;
    uint64_t u;
    assert_true(qn_mul_size(1u << 20, 1u << 20, &s));
    assert_true(s == (size_t)1 << 40);
    assert_false(qn_mul_size(SIZE_MAX / 2 + 1, 2, &s));
    assert_true(qn_add_size(SIZE_MAX - 1, 1, &s));
    assert_false(qn_add_size(SIZE_MAX, 1, &s));
    assert_true(qn_mul_u64(UINT64_MAX, 1, &u));
    assert_false(qn_mul_u64(UINT64_MAX / 3 + 1, 3, &u));
    assert_false(qn_add_u64(UINT64_MAX, 1, &u));
    assert_null(qn_alloc(SIZE_MAX / 2, 3));
    assert_null(qn_alloc(SIZE_MAX, 1));
    assert_null(qn_alloc((size_t)1 << 31, (size_t)1 << 20));
}

static void test_small(void **state)
{
    (void)state;
    char *p = qn_xcalloc(3, 5);
    for (int i = 0; i < 15; i++)
        assert_int_equal(p[i], 0);
    p = qn_xrealloc(p, 100);
    p = qn_xreallocarray(p, 0, 7);
    assert_non_null(p);
    qn_free(p);
    qn_free(NULL);
    char *s = qn_xstrndup("abcdef", 3), *t = qn_xstrdup("");
    assert_string_equal(s, "abc");
    assert_string_equal(t, "");
    qn_free(s);
    qn_free(t);
    void *none[3] = {qn_alloc(0, 8), qn_xmalloc(0), qn_xcalloc(0, 0)};
    for (int i = 0; i < 3; i++) {
        assert_non_null(none[i]);
        qn_free(none[i]);
    }
}

/* A table's pages are all there before anything is put into it: a read would
 * enter a page that the first write has to replace. */
static void test_table(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 100000, 1 << 20, 2 << 20, (5 << 20) + 8};
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t n = sizes[i];
        char *p = qn_hashmem_new(n, 1);
        size_t first = -(uintptr_t)p & (page - 1);
        for (size_t k = first; k + page <= n; k += page) {
            unsigned char there = 0;
            assert_int_equal(mincore(p + k, page, &there), 0);
            assert_int_equal(there & 1, 1);
        }
        for (size_t k = 0; k < n; k++)
            assert_int_equal(p[k], 0);
        qn_hashmem_free(p, n, 1);
    }
    qn_hashmem_free(NULL, 0, 8);
}

static void test_big(void **state)
{
    (void)state;
    const size_t huge = (size_t)2 << 20;
    const size_t sizes[] = {0,    1,        4096,         huge - 1,
                            huge, huge + 1, 3 * huge + 7, 5 * huge};
    enum {
        N = sizeof sizes / sizeof *sizes
    };
    void *p[N];
    uint64_t before = qn_big_used(QN_MEM_KV), sum = 0;
    for (int i = 0; i < N; i++) {
        qn_err e;
        assert_int_equal(qn_big_alloc(&p[i], sizes[i], QN_MEM_KV, &e), QN_OK);
        size_t align = sizes[i] >= huge ? huge : 4096;
        assert_int_equal((uintptr_t)p[i] % align, 0);
        unsigned char *b = p[i];
        for (size_t j = 0; j < sizes[i]; j += 1000)
            assert_int_equal(b[j], 0);
        memset(b, 0xa5, sizes[i]);
        sum += sizes[i];
        assert_int_equal(qn_big_used(QN_MEM_KV), before + sum);
    }
    assert_int_equal(qn_big_used(QN_MEM_LOGITS), 0);
    for (int i = 0; i < N; i++)
        qn_big_free(p[i], sizes[i], QN_MEM_KV);
    qn_big_free(NULL, 5, QN_MEM_KV);
    assert_int_equal(qn_big_used(QN_MEM_KV), before);
}

/* What is of a text is added up, and the most of it remembered. */
static void test_text_peak(void **state)
{
    (void)state;
    static const qn_purpose of_text[] = {QN_MEM_KV, QN_MEM_WORKSPACE,
                                         QN_MEM_LOGITS, QN_MEM_ACTIVATIONS};
    size_t n = qn_big_text_peak() / 4 + 4096;
    void *p[4], *other;
    for (int i = 0; i < 4; i++)
        assert_int_equal(qn_big_alloc(&p[i], n, of_text[i], NULL), QN_OK);
    assert_int_equal(qn_big_text_peak(), 4 * n);
    assert_int_equal(qn_big_alloc(&other, n, QN_MEM_WEIGHTS, NULL), QN_OK);
    for (int i = 0; i < 4; i++)
        qn_big_free(p[i], n, of_text[i]);
    qn_big_free(other, n, QN_MEM_WEIGHTS);
    assert_int_equal(qn_big_text_peak(), 4 * n);
}

static void test_big_refused(void **state)
{
    (void)state;
    const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 4095, SIZE_MAX / 2 + 1,
                            (size_t)1 << 60};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        qn_err e;
        void *p = &e;
        assert_int_equal(qn_big_alloc(&p, sizes[i], QN_MEM_WEIGHTS, &e),
                         QN_ENOMEM);
        assert_ptr_equal(p, &e); /* untouched */
        assert_non_null(strstr(e.msg, "weights"));
        assert_non_null(strstr(e.msg, "EiB"));
    }
    assert_int_equal(qn_big_used(QN_MEM_WEIGHTS), 0);
}

/* Two checked allocations, all or nothing. */
static int two_blocks(qn_err *err)
{
    int rc = QN_OK;
    void *a = qn_alloc(10, 10), *b = NULL;
    if (!a)
        QN_FAIL_OUT(QN_ENOMEM, "no memory for a");
    QN_TRY_OUT(qn_big_alloc(&b, 100, QN_MEM_OTHER, err));
out:
    qn_big_free(b, 100, QN_MEM_OTHER);
    qn_free(a);
    return rc;
}

static void test_injection(void **state)
{
    (void)state;
    int n = 0;
    for (;; n++) {
        qn_err e;
        qn_mem_fail_after(n);
        int rc = two_blocks(&e);
        if (!qn_mem_fail_after(-1)) {
            assert_int_equal(rc, QN_OK);
            break;
        }
        assert_int_equal(rc, QN_ENOMEM);
        assert_int_equal(qn_big_used(QN_MEM_OTHER), 0);
    }
    assert_int_equal(n, 2);

    /* It fails once, so that what cleans up can allocate. */
    qn_mem_fail_after(0);
    assert_null(qn_alloc(1, 1));
    void *p = qn_alloc(1, 1);
    assert_non_null(p);
    qn_free(p);
    assert_true(qn_mem_fail_after(-1));
    assert_false(qn_mem_fail_after(-1));
}

static void test_arena(void **state)
{
    (void)state;
    qn_arena a;
    for (int round = 0; round < 2; round++) {
        qn_arena_init(&a);
        unsigned char *p[400];
        size_t n[400];
        for (int i = 0; i < 400; i++) {
            n[i] = (size_t)(i * i * 7 % 5000) + (i == 200 ? 3000000 : 0);
            p[i] = i % 2 ? qn_arena_alloc(&a, n[i])
                         : qn_arena_calloc(&a, n[i], 1);
            assert_int_equal((uintptr_t)p[i] % 16, 0);
            for (size_t j = 0; i % 2 == 0 && j < n[i]; j++)
                assert_int_equal(p[i][j], 0);
            memset(p[i], i & 255, n[i]);
        }
        for (int i = 0; i < 400; i++)
            for (size_t j = 0; j < n[i]; j++)
                assert_int_equal(p[i][j], i & 255);
        assert_true(a.total >= 3000000);
        char *s = qn_arena_strndup(&a, "hello", 4);
        assert_string_equal(s, "hell");
        assert_string_equal(qn_arena_strndup(&a, NULL, 0), "");
        qn_arena_deinit(&a);
        assert_null(a.head);
        assert_int_equal(a.total, 0);
    }
}

static void test_vec(void **state)
{
    (void)state;
    QN_VEC(int32_t) v = {0};
    for (int i = 0; i < 1000; i++)
        qn_vec_push(&v, i);
    for (int i = 0; i < 100; i++) /* an element of the array itself */
        qn_vec_push(&v, v.v[i]);
    assert_int_equal(v.n, 1100);
    for (int i = 0; i < 1100; i++)
        assert_int_equal(v.v[i], i % 1000);
    qn_vec_clear(&v);
    assert_int_equal(v.n, 0);
    qn_vec_reserve(&v, 5000);
    assert_true(v.cap >= 5000);
    int32_t *at = v.v;
    for (int i = 0; i < 5000; i++)
        qn_vec_push(&v, (int)v.n);
    assert_ptr_equal(at, v.v);
    assert_int_equal(v.v[4999], 4999);
    qn_vec_deinit(&v);
    assert_null(v.v);
    assert_int_equal(v.cap, 0);

    struct pair {
        const char *name;
        int n;
    };
    QN_VEC(struct pair) w = {0};
    for (int i = 0; i < 20; i++)
        qn_vec_push(&w, (struct pair){"x", i});
    assert_int_equal(w.v[19].n, 19);
    qn_vec_deinit(&w);
}

/* A bare chroot has no /proc; memory there is all the same. */
static void test_machine_without_proc(void **state)
{
    (void)state;
    char dir[] = "/tmp/qn-bare-XXXXXX";
    int status;
    assert_non_null(mkdtemp(dir));
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (chroot(dir) != 0 &&
            (unshare(CLONE_NEWUSER) != 0 || chroot(dir) != 0))
            _exit(77);
        uint64_t total = qn_mem_total(), avail = qn_mem_available();
        _exit(!(total > (uint64_t)64 << 20 && avail > 0 && avail <= total));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    rmdir(dir);
    if (WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(status, 0);
}

static void test_machine(void **state)
{
    (void)state;
    uint64_t total = qn_mem_total(), avail = qn_mem_available();
    assert_true(total > (uint64_t)64 << 20);
    assert_true(avail > 0 && avail <= total);
    uint64_t rss = qn_mem_rss();
    assert_true(rss > 100000 && rss <= total);
    assert_true(qn_mem_peak_rss() >= rss / 2);

    enum {
        SIZE = 64 << 20
    };
    void *p;
    assert_int_equal(qn_big_alloc(&p, SIZE, QN_MEM_OTHER, NULL), QN_OK);
    memset(p, 1, SIZE);
    assert_true(qn_mem_rss() >= rss + SIZE / 2);
    qn_big_free(p, SIZE, QN_MEM_OTHER);
    assert_true(qn_mem_rss() < rss + SIZE / 2);
    assert_true(qn_mem_peak_rss() >= rss + SIZE / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arithmetic),
        cmocka_unit_test(test_small),
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_big),
        cmocka_unit_test(test_text_peak),
        cmocka_unit_test(test_big_refused),
        cmocka_unit_test(test_injection),
        cmocka_unit_test(test_arena),
        cmocka_unit_test(test_vec),
        cmocka_unit_test(test_machine),
        cmocka_unit_test(test_machine_without_proc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
