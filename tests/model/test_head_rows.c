/* The output head in pieces, which only a part of it is in memory for: the
 * logits are those of the whole head, bit for bit. */
#include "testing.h"

#include "base/compiler.h"
#include "model/model.h"

enum {
    N_TOK = 5,
    PIECE = 48 /* does not divide any of the vocabularies */
};

typedef struct subject {
    qn_ckpt *ck;
    qn_backend *be;
    qn_net *net;
    const char *head; /* the tensor that the head is */
    float *h;         /* [N_TOK, d_model] */
    int64_t n_vocab;
} subject;

static void subject_open(subject *s, const char *path)
{
    qn_err err = {0};
    qn_net_params by_layer = {.by_layer = true};
    qn_backend_params bp = {.n_threads = 2, .isa = QN_ISA_N - 1};
    *s = (subject){.head = NULL};
    if (qn_ckpt_open(&s->ck, path, &err) < 0 ||
        qn_backend_open(&s->be, "cpu", &bp, &err) < 0 ||
        qn_net_open(&s->net, s->ck, s->be, &by_layer, &err) < 0)
        fail_msg("%s: %s", path, err.msg);
    const qn_hparams *hp = qn_net_hparams(s->net);
    s->n_vocab = hp->n_vocab;
    s->h = malloc(sizeof(float) * N_TOK * (size_t)hp->d_model);
    for (int i = 0; i < N_TOK * hp->d_model; i++)
        s->h[i] = sinf((float)i) * 3;
    qn_net_matrix m;
    for (size_t i = 0; qn_net_matrix_at(s->net, i, &m); i++)
        if (m.head || (hp->tied && m.layer < 0 && !s->head))
            s->head = m.tensor;
    assert_non_null(s->head);
}

static void subject_close(subject *s)
{
    free(s->h);
    qn_net_close(s->net);
    qn_backend_close(s->be);
    qn_ckpt_close(s->ck);
}

/* Logits of what is loaded, with room for n of them in a row. */
static int head(const subject *s, int64_t n, float *to, qn_err *err)
{
    int32_t pos[N_TOK] = {0, 1, 2, 3, 4}, page = 0;
    qn_pass *pass;
    qn_pass_params pp = {.n_pages = {1, 1},
                         .max_rows = N_TOK,
                         .max_out = N_TOK,
                         .n_logits = n < s->n_vocab ? (int)n : 0,
                         .max_spans = 1,
                         .n_slots = 1,
                         .kv_dtype = QN_KV_CELL_F32};
    qn_span span = {.n_row = N_TOK, .rope_len = N_TOK, .pages = {&page, &page}};
    qn_batch b = {.n_row = N_TOK,
                  .pos = pos,
                  .n_span = 1,
                  .spans = &span,
                  .n_out = N_TOK,
                  .out_rows = pos};
    const float *logits;
    assert_int_equal(qn_pass_new(&pass, s->net, &pp, err), 0);
    int rc = qn_pass_head(pass, &b, s->h, &logits, err);
    if (rc == QN_OK)
        memcpy(to, logits, sizeof *to * N_TOK * (size_t)n);
    qn_pass_free(pass);
    return rc;
}

static int other_row(void *user, int64_t row, int64_t n, float *dst,
                     qn_err *err)
{
    (void)user;
    (void)err;
    for (int64_t i = 0; i < n; i++)
        dst[i] = (float)((row * 7 + i * 3) % 11) - 5;
    return QN_OK;
}

/* Rows [from, from + n) as they are (want [N_TOK, n_vocab]) and after others
 * were put into their place. */
static void check_piece(subject *s, int64_t from, int64_t n,
                        const float *const want[2])
{
    qn_err err = {0};
    float *got = malloc(sizeof *got * N_TOK * (size_t)n);
    for (int put = 0; put < 2; put++) {
        if (put)
            assert_int_equal(qn_net_put(s->net, s->head, other_row, NULL, &err),
                             0);
        if (head(s, n, got, &err) < 0)
            fail_msg("%s", err.msg);
        for (int r = 0; r < N_TOK; r++)
            assert_memory_equal(got + r * n, want[put] + r * s->n_vocab + from,
                                (size_t)n * sizeof *got);
    }
    free(got);
}

static void check(const char *path)
{
    subject s;
    qn_err err = {0};
    subject_open(&s, path);
    size_t size = sizeof(float) * N_TOK * (size_t)s.n_vocab;
    float *want[2] = {malloc(size), malloc(size)};
    assert_int_equal(qn_net_load_layer(s.net, s.ck, QN_NET_END, &err), 0);
    assert_int_equal(head(&s, s.n_vocab, want[0], &err), 0);
    assert_int_equal(qn_net_put(s.net, s.head, other_row, NULL, &err), 0);
    assert_int_equal(head(&s, s.n_vocab, want[1], &err), 0);
    int pieces = 0;
    for (int64_t from = 0, n; from < s.n_vocab; from += n, pieces++) {
        n = PIECE;
        assert_int_equal(qn_net_load_head(s.net, s.ck, from, &n, &err), 0);
        check_piece(&s, from, n, (const float *const *)want);
    }
    assert_true(pieces == (s.n_vocab + PIECE - 1) / PIECE);
    /* The whole one has no room where a piece has. */
    qn_net_drop_layer(s.net, QN_NET_END);
    assert_int_equal(qn_net_load_layer(s.net, s.ck, QN_NET_END, &err), 0);
    assert_int_equal(head(&s, PIECE, want[1], &err), QN_EINVAL);
    assert_int_equal(head(&s, s.n_vocab, want[1], &err), 0);
    assert_memory_equal(want[0], want[1], size);
    int64_t n = PIECE;
    assert_int_equal(qn_net_load_head(s.net, s.ck, s.n_vocab, &n, &err),
                     QN_EINVAL);
    print_message("%s: %d pieces\n", path, pieces);
    free(want[0]);
    free(want[1]);
    subject_close(&s);
}

static void check_data(const char *model)
{
    char path[200];
    snprintf(path, sizeof path, "models/%s", model);
    check(qn_test_data(path));
}

/* A table of its own; tied and capped; projected; with positions learned. */
static void test_pieces(void **state)
{
    (void)state;
    static const char *const models[] = {"llama", "gemma2", "opt350", "gpt2"};
    for (size_t i = 0; i < QN_COUNTOF(models); i++)
        check_data(models[i]);
}

static void test_bias(void **state)
{
    (void)state;
    const char *dir = qn_test_shared("goldens/models/phi");
    if (!dir)
        QN_SKIP("no shared data");
    check(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_bias),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
