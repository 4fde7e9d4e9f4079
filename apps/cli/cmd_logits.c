/* cmd_logits.c - quern logits: the logits at every position of a prompt, as
 * tensor `logits` f32 [n_tok, n_vocab] of a safetensors file. */
#include "cli/commands.h"

#include "ckpt/safetensors_write.h"
#include "cli/interrupt.h"
#include "cli/request_args.h"

static const qn_opt opts[] = {
    {"token-ids", 0, QN_OPT_IDS, .arg = "IDS",
     .help = "The tokens, used as they are: 1,2,3 or @FILE."},
    {"output", 'o', QN_OPT_FILE, .help = "The .safetensors file to write."},
    {0},
};

static const qn_opt_group groups[] = {{"Logits", opts},
                                      {"Model", qn_model_opts},
                                      {"Engine", qn_engine_opts},
                                      {0}};

static const qn_example examples[] = {
    {"quern logits DIR --token-ids 1,2,3 --output l.safetensors",
     "tensor logits, f32 [3, n_vocab]"},
    {0},
};

static int save(const char *path, const float *logits, size_t n_tok,
                size_t n_vocab, qn_err *err)
{
    qn_st_writer *w;
    int64_t shape[] = {(int64_t)n_tok, (int64_t)n_vocab};
    QN_TRY(qn_st_writer_new(&w, path, err));
    int rc = qn_st_writer_declare(w, "logits", QN_F32, 2, shape, err);
    if (rc == 0)
        rc = qn_st_writer_data(w, logits, n_tok * n_vocab * sizeof *logits,
                               err);
    if (rc == 0)
        rc = qn_st_writer_finish(w, err);
    qn_st_writer_free(w);
    return rc;
}

static void cancel_if_asked(void *user)
{
    if (qn_interrupted())
        qn_request_cancel(user);
}

static int prefill(qn_engine *e, const int32_t *ids, size_t n, qn_request **req,
                   qn_err *err)
{
    qn_request_params p;
    qn_event ev;
    qn_request_params_default(&p);
    p.prompt = ids;
    p.n_prompt = n;
    p.max_new_tokens = 0;
    p.prompt_logits = true;
    QN_TRY(qn_request_submit(e, &p, req, err));
    qn_engine_watch(e, cancel_if_asked, *req);
    for (;;) {
        if (qn_interrupted())
            return qn_fail(err, QN_ECANCEL, "interrupted");
        int left = qn_engine_step(e, err);
        if (left < 0)
            return left;
        while (qn_request_next(*req, &ev)) {
        }
        QN_TRY(qn_request_error(*req, err));
        if (left == 0 && !qn_interrupted())
            return 0;
    }
}

static int run_logits(const qn_args *a, qn_model *m, qn_err *err)
{
    const int32_t *ids;
    size_t n = qn_args_ids(a, "token-ids", &ids);
    qn_engine_params ep;
    qn_engine *e = NULL;
    qn_request *req = NULL;
    qn_engine_from_args(&ep, a);
    if (!ep.n_ctx)
        ep.n_ctx = (int64_t)QN_MIN(n + 64, (size_t)INT32_MAX);
    if (!ep.max_seqs)
        ep.max_seqs = 1;
    QN_TRY(qn_engine_new(&e, m, &ep, err));
    int rc = prefill(e, ids, n, &req, err);
    if (rc == 0)
        rc = save(qn_args_text(a, "output"), qn_request_prompt_logits(req), n,
                  (size_t)qn_model_n_vocab(m), err);
    qn_request_free(req);
    qn_engine_free(e);
    return rc;
}

static int logits(qn_args *a, qn_err *err)
{
    const char *path;
    qn_model *m;
    QN_TRY(qn_model_operand(a, &path, err));
    if (!qn_args_given(a, "token-ids"))
        return qn_usage(err, "of which tokens? --token-ids 1,2,3");
    if (!qn_args_given(a, "output"))
        return qn_usage(err, "where to? --output FILE.safetensors");
    qn_interrupt_watch();
    QN_TRY(qn_open_model(&m, a, path, false, err));
    int rc = run_logits(a, m, err);
    qn_model_close(m);
    return rc;
}

static int check_logits(qn_args *a, qn_err *err)
{
    return qn_engine_args_check(a, err);
}

const qn_command qn_cmd_logits = {
    .name = "logits",
    .summary = "the logits of a prompt, into a file",
    .operands = "[MODEL]",
    .max_operands = 1,
    .about = "Computes the logits at every position of the given tokens and "
             "writes them as tensor logits, f32 [n_tok, n_vocab], into a "
             "safetensors file: to compare with another program.",
    .examples = examples,
    .groups = groups,
    .run = logits,
    .check = check_logits,
};
