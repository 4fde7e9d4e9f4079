#include "judge.h"

#include "base/file.h"
#include "base/mem.h"

static float *run(qn_net *net, const int32_t *tokens, int n)
{
    qn_err err = {0};
    int n_vocab = qn_net_hparams(net)->n_vocab;
    int n_pages = n / qn_net_backend(net)->api->page_tokens + 1;
    qn_pass_params pp = {.n_pages = {n_pages, n_pages},
                         .max_rows = n,
                         .max_out = n,
                         .max_spans = 1,
                         .n_slots = 1,
                         .kv_dtype = QN_KV_CELL_F32};
    qn_pass *pass;
    if (qn_pass_new(&pass, net, &pp, &err) < 0)
        fail_msg("%s", err.msg);
    int32_t *pages = calloc((size_t)n_pages, sizeof *pages);
    int32_t *pos = calloc((size_t)n, sizeof *pos);
    for (int i = 0; i < n_pages; i++)
        pages[i] = i;
    for (int i = 0; i < n; i++)
        pos[i] = i;
    qn_span span = {.n_row = n, .rope_len = n, .pages = {pages, pages}};
    qn_batch b = {.n_row = n,
                  .tokens = tokens,
                  .pos = pos,
                  .n_span = 1,
                  .spans = &span,
                  .n_out = n,
                  .out_rows = pos};
    const float *logits;
    if (qn_pass_forward(pass, &b, &logits, &err) < 0)
        fail_msg("%s", err.msg);
    size_t bytes = (size_t)n * (size_t)n_vocab * sizeof(float);
    float *out = malloc(bytes);
    memcpy(out, logits, bytes);
    qn_pass_free(pass);
    free(pages);
    free(pos);
    return out;
}

float *judge_logits(const char *path, const int32_t *tokens, int n,
                    int *n_vocab)
{
    qn_backend_params bp = {.n_threads = 2, .isa = QN_ISA_N - 1, .exact = true};
    qn_err err = {0};
    qn_ckpt *ck = NULL;
    qn_backend *be = NULL;
    qn_net *net = NULL;
    if (qn_ckpt_open(&ck, path, &err) < 0 ||
        qn_backend_open(&be, "cpu", &bp, &err) < 0 ||
        qn_net_open(&net, ck, be, NULL, &err) < 0)
        fail_msg("%s: %s", path, err.msg);
    *n_vocab = qn_net_hparams(net)->n_vocab;
    float *out = run(net, tokens, n);
    qn_net_close(net);
    qn_backend_close(be);
    qn_ckpt_close(ck);
    return out;
}

static double log_sum(const float *x, int n)
{
    double max = (double)x[0], sum = 0;
    for (int i = 1; i < n; i++)
        max = fmax(max, (double)x[i]);
    for (int i = 0; i < n; i++)
        sum += exp((double)x[i] - max);
    return max + log(sum);
}

double judge_kl(const float *base, const float *other, int n, int n_vocab)
{
    double kl = 0;
    for (int r = 0; r < n; r++, base += n_vocab, other += n_vocab) {
        double a = log_sum(base, n_vocab), b = log_sum(other, n_vocab);
        for (int i = 0; i < n_vocab; i++) {
            double p = (double)base[i] - a, q = (double)other[i] - b;
            kl += exp(p) * (p - q);
        }
    }
    return kl / n;
}

double judge_error(const float *base, const float *other, size_t n)
{
    double e = 0, all = 0;
    for (size_t i = 0; i < n; i++) {
        double d = (double)base[i] - (double)other[i];
        e += d * d;
        all += (double)base[i] * (double)base[i];
    }
    return sqrt(e / all);
}

char *judge_built_in(void)
{
    static char path[4200];
    snprintf(path, sizeof path, "%s/models/quern-14m.gguf",
             qn_test_source_dir());
    return qn_path_is_file(path) ? path : NULL;
}

char *judge_fresh(const char *what)
{
    static int n;
    char path[4096];
    snprintf(path, sizeof path, "%s/%s-%d", qn_test_tmpdir(), what, n++);
    return strdup(path);
}

char *judge_slurp(const char *dir, const char *name, size_t *n)
{
    char path[8192];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return qn_test_read_file(path, n);
}

int judge_run(qn_optimize_params *p, const char *to, qn_err *err)
{
    p->output_dir = to;
    if (!p->model)
        p->model = qn_test_data("models/llama");
    return qn_optimize_run(p, NULL, err);
}
