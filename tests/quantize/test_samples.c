/* The pieces of a text that calibrate: documents, what is between them, where
 * pieces begin. */
#include "judge.h"

#include "base/compiler.h"
#include "base/mem.h"
#include "engine/vocab.h"
#include "quantize/samples.h"

#include <string.h>

#define MARK "<|endoftext|>"

static const char *const docs[] = {
    "Lily went to the park with her dog. They played until it was dark.",
    "What is 12 plus 30? It is 42.",
    "A small bird sat on the roof. It sang, and the children listened to it.",
};

typedef struct subject {
    qn_ckpt *ck;
    qn_tok *tok;
    qn_optimize_params p;
    qn_samples s;
    char path[200];
} subject;

static void open_subject(subject *x, const char *between)
{
    qn_err err = {0};
    qn_str text;
    char *dir = judge_fresh("samples.txt");
    *x = (subject){.p = {.calibration = x->path, .n_context = 16}};
    snprintf(x->path, sizeof x->path, "%s", dir);
    free(dir);
    qn_str_init(&text);
    for (size_t i = 0; i < QN_COUNTOF(docs); i++) {
        qn_str_adds(&text, i ? between : "");
        qn_str_adds(&text, docs[i]);
    }
    qn_str_adds(&text, between); /* no document is behind it */
    FILE *f = fopen(x->path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text.p, 1, text.n, f), text.n);
    fclose(f);
    qn_str_deinit(&text);
    if (qn_ckpt_open(&x->ck, judge_built_in(), &err) < 0 ||
        qn_vocab_open(&x->tok, x->ck, &err) < 0)
        fail_msg("%s", err.msg);
}

static void close_subject(subject *x)
{
    remove(x->path);
    qn_samples_deinit(&x->s);
    qn_tok_close(x->tok);
    qn_ckpt_close(x->ck);
}

static void read_and_cut(subject *x, int64_t widest)
{
    qn_err err = {0};
    if (qn_samples_read(&x->s, &x->p, x->ck, &err) < 0 ||
        qn_samples_cut(&x->s, &x->p, widest, 1024, &err) < 0)
        fail_msg("%s", err.msg);
}

/* Each as it is alone; `mark` ids between two. */
static void expect_documents(const subject *x, int32_t mark)
{
    qn_err err = {0};
    qn_tok_ids want = {0};
    assert_int_equal(x->s.docs.n, QN_COUNTOF(docs));
    for (size_t i = 0; i < QN_COUNTOF(docs); i++) {
        if (i && mark >= 0)
            qn_vec_push(&want, mark);
        assert_int_equal(x->s.docs.v[i], want.n);
        assert_int_equal(qn_tok_encode(x->tok, docs[i], strlen(docs[i]),
                                       QN_TOK_SPECIAL, &want, NULL, &err),
                         QN_OK);
    }
    assert_int_equal(x->s.ids.n, want.n);
    assert_memory_equal(x->s.ids.v, want.v, want.n * sizeof *want.v);
    qn_vec_deinit(&want);
}

static void test_special_separator_stays(void **state)
{
    subject x;
    qn_err err = {0};
    qn_tok_ids mark = {0};
    (void)state;
    open_subject(&x, "\n" MARK "\n");
    x.p.calibration_split = MARK;
    read_and_cut(&x, 0);
    assert_int_equal(qn_tok_encode(x.tok, MARK, strlen(MARK),
                                   QN_TOK_PARSE_SPECIAL, &mark, NULL, &err),
                     QN_OK);
    assert_int_equal(mark.n, 1);
    expect_documents(&x, mark.v[0]);
    qn_vec_deinit(&mark);
    close_subject(&x);
}

static void test_other_separator_goes(void **state)
{
    subject x;
    (void)state;
    open_subject(&x, "\n----\n");
    x.p.calibration_split = "----";
    read_and_cut(&x, 0);
    expect_documents(&x, -1);
    close_subject(&x);
}

/* Where documents begin, while there are any left; all within the text. */
static void test_pieces_begin_with_documents(void **state)
{
    subject x;
    (void)state;
    open_subject(&x, MARK);
    x.p.calibration_split = MARK;
    x.p.n_samples = 2;
    read_and_cut(&x, 0);
    assert_int_equal(x.s.n, 2);
    assert_int_equal(x.s.starts.v[0], 0);
    size_t at = x.s.starts.v[1];
    assert_true(at == x.s.docs.v[1] || at == x.s.docs.v[2]);
    assert_true(at <= x.s.ids.n / 2);
    close_subject(&x);

    open_subject(&x, MARK);
    x.p.calibration_split = MARK;
    read_and_cut(&x, 1 << 20);
    assert_int_equal(x.s.n, x.s.ids.n / 16);
    for (int i = 0; i < x.s.n; i++) {
        assert_true(x.s.starts.v[i] + 16 <= x.s.ids.n);
        assert_true(i == 0 || x.s.starts.v[i] > x.s.starts.v[i - 1]);
    }
    close_subject(&x);
}

static void test_one_text(void **state)
{
    subject x;
    (void)state;
    open_subject(&x, "\n\n");
    read_and_cut(&x, 0);
    assert_int_equal(x.s.docs.n, 0);
    size_t stride = x.s.ids.n / (size_t)x.s.n;
    for (int i = 0; i < x.s.n; i++)
        assert_int_equal(x.s.starts.v[i], (size_t)i * stride);
    close_subject(&x);
}

static void test_too_little(void **state)
{
    subject x;
    qn_err err = {0};
    (void)state;
    open_subject(&x, "\n\n");
    FILE *f = fopen(x.path, "w");
    fputs("too short", f);
    fclose(f);
    assert_int_equal(qn_samples_read(&x.s, &x.p, x.ck, &err), QN_OK);
    assert_int_equal(qn_samples_cut(&x.s, &x.p, 0, 1024, &err), QN_EINVAL);
    assert_non_null(strstr(err.msg, x.path));
    close_subject(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_special_separator_stays),
        cmocka_unit_test(test_other_separator_goes),
        cmocka_unit_test(test_pieces_begin_with_documents),
        cmocka_unit_test(test_one_text),
        cmocka_unit_test(test_too_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
