/* What a change of a matrix is said to cost, against the network run as a whole
 * with and without it. */
#include "judge.h"

#include "base/compiler.h"
#include "base/mem.h"
#include "quantize/sensitivity.h"

#include <math.h>
#include <unistd.h>

enum {
    N_IDS = 100,
    MOST = 400 /* changes */
};

typedef struct subject {
    qn_ckpt *ck;
    qn_sensitivity *sens; /* whose network put changes, or */
    qn_net *net;          /* this one */
    const char *name[MOST];
    qn_sensitivity_place place[MOST];
    size_t n;
    qn_optimize_params p;
    int n_put;
    int fail_at; /* the put that fails; 0: none */
} subject;

static int32_t ids[N_IDS];

static void add(subject *s, const qn_net_matrix *m, int n_layer, bool tied)
{
    size_t i = 0;
    bool embeds = m->layer < 0 && !m->head;
    while (i < s->n && strcmp(s->name[i], m->tensor) != 0)
        i++;
    if (i < s->n || (!m->linear && m->layer >= 0))
        return;
    assert_true(s->n < MOST);
    s->name[s->n] = m->tensor;
    s->place[s->n++] = (qn_sensitivity_place){m->layer >= 0 ? m->layer
                                              : embeds      ? -1
                                                            : n_layer,
                                              m->head || (embeds && tied)};
}

static void subject_open(subject *s, const char *model)
{
    qn_err err = {0};
    qn_net_matrix m;
    char path[200];
    *s = (subject){.n = 0};
    snprintf(path, sizeof path, "models/%s", model);
    for (int i = 0; i < N_IDS; i++)
        ids[i] = 1 + (i * 29 + i * i) % 120;
    s->p = (qn_optimize_params){.calibration_ids = ids,
                                .n_calibration_ids = N_IDS,
                                .n_threads = 2};
    if (qn_ckpt_open(&s->ck, qn_test_data(path), &err) < 0 ||
        qn_sensitivity_open(&s->sens, &s->p, s->ck, &err) < 0)
        fail_msg("%s: %s", model, err.msg);
    const qn_hparams *hp = qn_net_hparams(qn_sensitivity_net(s->sens));
    for (size_t i = 0; qn_net_matrix_at(qn_sensitivity_net(s->sens), i, &m);
         i++)
        if (!m.transposed)
            add(s, &m, hp->n_layer, hp->tied);
    assert_true(s->n > 4);
}

static void subject_close(subject *s)
{
    qn_sensitivity_close(s->sens);
    qn_ckpt_close(s->ck);
}

/* ---- a change ---------------------------------------------------------------- */

typedef struct rows {
    const qn_ckpt *ck;
    const qn_tensor *t;
    bool changed;
} rows;

static int row_of(void *user, int64_t row, int64_t n, float *dst, qn_err *err)
{
    const rows *r = user;
    assert_int_equal(r->t->dtype, QN_F32);
    uint64_t bytes = (uint64_t)n * sizeof *dst;
    QN_TRY(qn_ckpt_read(r->ck, r->t, (uint64_t)row * bytes, dst, (size_t)bytes,
                        err));
    for (int64_t k = 0; k < n && r->changed; k++)
        dst[k] = roundf(dst[k] * 16) / 16;
    return QN_OK;
}

static int put(void *user, size_t i, bool changed, qn_err *err)
{
    subject *s = user;
    rows r = {s->ck, qn_ckpt_find(s->ck, s->name[i]), changed};
    assert_non_null(r.t);
    if (++s->n_put == s->fail_at)
        return qn_fail(err, QN_ECANCEL, "enough");
    return qn_net_put(s->net ? s->net : qn_sensitivity_net(s->sens), s->name[i],
                      row_of, &r, err);
}

/* ---- as a whole -------------------------------------------------------------- */

static void keep_logits(qn_cal *cal, float *to)
{
    qn_err err = {0};
    int64_t n, len;
    size_t n_vocab = (size_t)qn_net_hparams(qn_cal_net(cal))->n_vocab;
    qn_cal_samples(cal, &n, &len);
    for (int i = 0; i < n; i++) {
        const float *logits;
        size_t size = (size_t)len * n_vocab;
        assert_int_equal(qn_cal_logits(cal, i, &logits, &err), QN_OK);
        memcpy(to + (size_t)i * size, logits, size * sizeof *to);
    }
}

/* The mean divergence of n rows; what it has of all of them is its share. */
static double divergence(const float *a, const float *b, int64_t n, int n_vocab,
                         double *share)
{
    double mean = 0, root = 0;
    for (int64_t r = 0; r < n; r++, a += n_vocab, b += n_vocab) {
        double kl = judge_kl(a, b, 1, n_vocab);
        mean += kl / (double)n;
        root += sqrt(fmax(kl, 0)) / (double)n;
    }
    *share = root * root;
    return mean;
}

static void run_whole(subject *s, double *kl)
{
    double means = 0, shares = 0;
    qn_err err = {0};
    qn_cal *cal;
    int64_t n, len;
    qn_optimize_params p = s->p;
    p.n_samples = QN_SENSITIVITY_SAMPLES;
    p.n_context = QN_SENSITIVITY_SAMPLE_TOKENS;
    assert_int_equal(qn_cal_open(&cal, &p, s->ck, true, &err), QN_OK);
    assert_int_equal(qn_cal_load_all(cal, &err), QN_OK);
    qn_cal_samples(cal, &n, &len);
    int n_vocab = qn_net_hparams(qn_cal_net(cal))->n_vocab;
    size_t size = (size_t)(n * len) * (size_t)n_vocab;
    float *a = malloc(size * sizeof *a), *b = malloc(size * sizeof *b);
    keep_logits(cal, a);
    s->net = qn_cal_net(cal);
    for (size_t i = 0; i < s->n; i++) {
        assert_int_equal(put(s, i, true, &err), QN_OK);
        keep_logits(cal, b);
        assert_int_equal(put(s, i, false, &err), QN_OK);
        means += divergence(a, b, n * len, n_vocab, &kl[i]);
        shares += kl[i];
    }
    for (size_t i = 0; i < s->n; i++)
        kl[i] *= means / shares;
    s->net = NULL;
    qn_cal_close(cal);
    free(a);
    free(b);
}

/* ---- both -------------------------------------------------------------------- */

static int run_probe(subject *s, qn_outdir *out, double *kl, qn_err *err)
{
    qn_resume resume = {.out = out, .every = 1e9};
    json_t *beside = json_object();
    double found[1];
    qn_sensitivity_work w = {.n = s->n,
                             .place = s->place,
                             .put = put,
                             .user = s,
                             .found = found,
                             .kl = kl,
                             .resume = &resume,
                             .beside = beside};
    int rc = qn_sensitivity_run(s->sens, &w, NULL, err);
    assert_false(qn_sensitivity_saved(&resume));
    json_decref(beside);
    return rc;
}

static void check(const char *model)
{
    subject s;
    double kl[MOST], want[MOST];
    char *dir = judge_fresh("out");
    qn_outdir out;
    qn_err err = {0};
    size_t seen = 0;
    subject_open(&s, model);
    assert_int_equal(qn_outdir_open(&out, dir, &err), QN_OK);
    if (run_probe(&s, &out, kl, &err) < 0)
        fail_msg("%s: %s", model, err.msg);
    char *left = qn_outdir_file(&out, ".streams-0");
    assert_int_not_equal(access(left, F_OK), 0);
    qn_free(left);
    run_whole(&s, want);
    for (size_t i = 0; i < s.n; i++) {
        /* judge_kl takes differences of probabilities' logarithms in f32 */
        if (!(fabs(kl[i] - want[i]) <= 1e-3 * want[i] + 1e-6))
            fail_msg("%s, %s: KL %.4e, as a whole %.4e", model, s.name[i],
                     kl[i], want[i]);
        seen += kl[i] > 1e-5;
    }
    assert_true(seen > s.n / 2);
    print_message("%s: %zu changes, %zu of them seen\n", model, s.n, seen);
    qn_outdir_discard(&out);
    subject_close(&s);
    free(dir);
}

/* Dense, fused and of experts; with states; tied; and (the last) one whose
 * layers read more than the stream. */
static void test_against_whole(void **state)
{
    (void)state;
    static const char *const models[] = {"llama",  "phi3",     "mixtral",
                                         "gemma2", "mamba2",   "deepseek",
                                         "mellum", "falcon_h1"};
    for (size_t i = 0; i < QN_COUNTOF(models); i++)
        check(models[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
