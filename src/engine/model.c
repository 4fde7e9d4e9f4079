/* model.c - qn_model: opening a checkpoint with everything that belongs to
 * it, and closing it. The checkpoint itself is closed again once the weights
 * are in memory; large tables that nothing multiplies by keep their file open.
 *
 * A vocabulary or template that cannot be used does not stop a model from
 * being opened (ids and logits work without); the reason is kept and given to
 * whoever asks for text. */
#include "engine/model_int.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "engine/builtin.h"
#include "engine/vocab.h"

#include <pthread.h>
#include <stdlib.h>

/* Tables below this are not worth leaving in a file. */
#define LOOKUP_MIN ((uint64_t)1 << 20)

static int open_backend(qn_model *m, const qn_model_params *p, qn_err *err)
{
    qn_backend_params bp = {.n_threads = p->n_threads,
                            .isa = QN_ISA_N - 1,
                            .exact = p->exact};
    if (p->kernels && !qn_isa_parse(p->kernels, &bp.isa))
        return qn_fail(err, QN_EINVAL,
                       "kernels \"%s\" are not known here; known are %s",
                       p->kernels, qn_isa_names());
    return qn_backend_open(&m->be, "cpu", &bp, err);
}

static void add_end(qn_model *m, int64_t id)
{
    if (id < 0 || id > INT32_MAX)
        return;
    for (size_t i = 0; i < m->end_ids.n; i++)
        if (m->end_ids.v[i] == id)
            return;
    qn_vec_push(&m->end_ids, (int32_t)id);
}

static void add_ends(qn_model *m, const json_t *v)
{
    if (json_is_integer(v))
        add_end(m, json_integer_value(v));
    for (size_t i = 0; i < json_array_size(v); i++)
        add_end(m, json_integer_value(json_array_get(v, i)));
}

/* Tokens that end a completion: generation_config.json's, config.json's, and
 * the vocabulary's own end of sequence and end of turn. */
static void find_ends(qn_model *m)
{
    const qn_hparams *hp = qn_net_hparams(m->net);
    if (m->generation)
        add_ends(m, json_object_get(m->generation, "eos_token_id"));
    for (int i = 0; i < hp->n_eos; i++)
        add_end(m, hp->eos_ids[i]);
    if (m->tok) {
        add_end(m, qn_tok_role_id(m->tok, QN_TOK_EOS));
        add_end(m, qn_tok_role_id(m->tok, QN_TOK_EOT));
    }
}

/* From the checkpoint, or (ck NULL) from a folder or one file in it. */
static void open_text(qn_model *m, const qn_ckpt *ck, const char *dir)
{
    int rc = ck ? qn_vocab_open(&m->tok, ck, &m->tok_err)
             : qn_path_is_file(m->path)
                 ? qn_tok_open_file(&m->tok, m->path, &m->tok_err)
                 : qn_tok_open_dir(&m->tok, dir, &m->tok_err);
    if (rc < 0) {
        m->tok = NULL;
        qn_log(1, "no tokenizer: %s", m->tok_err.msg);
    }
    rc = ck ? qn_template_open(&m->chat, ck, m->tok, &m->chat_err)
            : qn_template_open_dir(&m->chat, dir, m->tok, &m->chat_err);
    if (rc < 0) {
        m->chat = NULL;
        if (m->chat_err.code != QN_ENOENT)
            qn_log(1, "no chat template: %s", m->chat_err.msg);
    }
}

/* Text beside weights: a large vocabulary takes as long to compile as a small
 * network to read. */
typedef struct text_job {
    qn_model *m;
    const qn_ckpt *ck;
    pthread_t thread;
    bool runs;
} text_job;

static void *text_main(void *arg)
{
    text_job *job = arg;
    open_text(job->m, job->ck, NULL);
    return NULL;
}

static void text_begin(text_job *job)
{
    job->runs = pthread_create(&job->thread, NULL, text_main, job) == 0;
    if (!job->runs)
        text_main(job);
}

static void text_end(text_job *job)
{
    if (job->runs)
        pthread_join(job->thread, NULL);
}

/* The folder of a path without a checkpoint: itself, or where a
 * tokenizer.json lies. */
static char *text_folder(const char *path)
{
    if (qn_path_is_dir(path))
        return qn_xstrdup(path);
    if (!qn_path_is_file(path) || qn_ends(path, ".gguf"))
        return NULL;
    const char *slash = strrchr(path, '/');
    return slash ? qn_xstrndup(path, QN_MAX((size_t)(slash - path), 1))
                 : qn_xstrdup(".");
}

/* Tokenizer and template, from whatever has them: a network that is unknown
 * or not there does not matter. */
static int open_text_only(qn_model *m, const char *path, qn_err *err)
{
    qn_ckpt *ck = NULL;
    qn_err why;
    int rc = qn_ckpt_open(&ck, path, &why);
    char *dir = rc < 0 ? text_folder(path) : NULL;
    if (ck || dir)
        open_text(m, ck, dir);
    m->container = ck && qn_ckpt_container(ck) == QN_CKPT_GGUF ? "gguf" : "hf";
    qn_ckpt_close(ck);
    bool found = dir != NULL || ck != NULL;
    free(dir);
    if (m->tok || m->chat)
        return 0;
    if (!found)
        return qn_fail(err, rc, "%s", why.msg);
    return qn_fail(err, m->tok_err.code, "%s", m->tok_err.msg);
}

QN_API int qn_model_open(qn_model **out, const char *path,
                         const qn_model_params *params, qn_err *err)
{
    qn_model_params p = params ? *params : (qn_model_params){0};
    uint64_t t0 = qn_now_ns();
    char *builtin = NULL;
    qn_ckpt *ck = NULL;
    qn_model *m = qn_xcalloc(1, sizeof *m);
    int rc = 0;
    if (!path || strcmp(path, "builtin") == 0) {
        QN_TRY_OUT(qn_builtin_path(&builtin, err));
        path = builtin;
    }
    m->path = qn_xstrdup(path);
    m->no_weights = p.no_weights || p.text_only;
    m->exact = p.exact;
    if (p.text_only) {
        QN_TRY_OUT(open_text_only(m, path, err));
        goto done;
    }
    QN_TRY_OUT(qn_ckpt_open(&ck, path, err));
    m->container = qn_ckpt_container(ck) == QN_CKPT_GGUF ? "gguf" : "hf";
    if (qn_ckpt_generation_config(ck))
        m->generation = json_deep_copy(qn_ckpt_generation_config(ck));
    QN_TRY_OUT(open_backend(m, &p, err));
    qn_net_params np = {.no_weights = p.no_weights,
                        .lookup_min = LOOKUP_MIN,
                        .memory_limit = p.memory_limit,
                        .progress = p.progress,
                        .progress_user = p.progress_user};
    text_job text = {.m = m, .ck = ck};
    text_begin(&text);
    rc = qn_net_open(&m->net, ck, m->be, &np, err);
    text_end(&text);
    QN_TRY_OUT(rc);
    find_ends(m);
done:
    m->load_ms = qn_ms_since(t0);
    *out = m;
    m = NULL;
out:
    qn_ckpt_close(ck);
    qn_model_close(m);
    free(builtin);
    return rc;
}

QN_API int qn_model_check(const qn_model *m, qn_err *err)
{
    return m->net ? qn_net_check(m->net, err) : QN_OK;
}

QN_API void qn_model_close(qn_model *m)
{
    if (!m)
        return;
    qn_template_close(m->chat);
    qn_tok_close(m->tok);
    qn_net_close(m->net);
    qn_backend_close(m->be);
    json_decref(m->generation);
    qn_vec_deinit(&m->end_ids);
    free(m->path);
    free(m);
}

QN_API int qn_model_n_vocab(const qn_model *m)
{
    if (!m->net)
        return m->tok ? (int)qn_tok_n_vocab(m->tok) : 0;
    return qn_net_hparams(m->net)->n_vocab;
}

/* Configurations with linear or dynamic scaling state the length before it. */
QN_API int64_t qn_model_n_ctx_train(const qn_model *m)
{
    if (!m->net)
        return 0;
    const qn_hparams *hp = qn_net_hparams(m->net);
    const qn_rope_hp *r = &hp->rope[0];
    bool scaled = hp->n_rope > 0 && (r->scaling == QN_ROPE_LINEAR ||
                                     r->scaling == QN_ROPE_DYNAMIC);
    if (!scaled || r->factor <= 1)
        return hp->n_ctx_train;
    return (int64_t)QN_MIN((double)hp->n_ctx_train * r->factor, 1e12);
}

/* ---- sampling defaults ------------------------------------------------- */

typedef struct float_default {
    const char *key;
    size_t offset;
} float_default;

static void read_float(const json_t *g, const char *key, float *out)
{
    const json_t *v = json_object_get(g, key);
    if (json_is_number(v))
        *out = (float)json_number_value(v);
}

QN_API void qn_sampling_from_model(const qn_model *m, qn_sampling *s)
{
    static const float_default floats[] = {
        {"temperature", offsetof(qn_sampling, temperature)},
        {"top_p", offsetof(qn_sampling, top_p)},
        {"min_p", offsetof(qn_sampling, min_p)},
        {"typical_p", offsetof(qn_sampling, typical_p)},
    };
    qn_sampling_default(s);
    s->temperature = 0;
    const json_t *g = m->generation;
    if (!g)
        return;
    read_float(g, "repetition_penalty", &s->repetition_penalty);
    if (!json_is_true(json_object_get(g, "do_sample")))
        return;
    s->temperature = 1;
    for (size_t i = 0; i < QN_COUNTOF(floats); i++)
        read_float(g, floats[i].key,
                   (float *)(void *)((char *)s + floats[i].offset));
    const json_t *k = json_object_get(g, "top_k");
    if (json_is_integer(k) && json_integer_value(k) > 0)
        s->top_k = (int)QN_MIN(json_integer_value(k), INT32_MAX);
    qn_err ignored;
    if (qn_sampling_check(s, qn_model_n_vocab(m), &ignored) < 0) {
        qn_log(1, "generation_config.json ignored: %s", ignored.msg);
        qn_sampling_default(s);
        s->temperature = 0;
    }
}

/* ---- text -------------------------------------------------------------- */

static int need_tok(const qn_model *m, qn_err *err)
{
    if (m->tok)
        return 0;
    return qn_fail(err, QN_EUNSUP, "%s has no usable tokenizer: %s", m->path,
                   m->tok_err.msg);
}

static int tokenize(const qn_model *m, const char *text, size_t len,
                    unsigned flags, int32_t **ids, size_t *n_ids, qn_err *err)
{
    QN_TRY(need_tok(m, err));
    qn_tok_ids v = {0};
    int rc = qn_tok_encode(m->tok, text, len, flags, &v, NULL, err);
    if (rc < 0) {
        qn_vec_deinit(&v);
        return rc;
    }
    *n_ids = v.n;
    *ids = v.v ? v.v : qn_xcalloc(1, sizeof **ids);
    return 0;
}

static unsigned tokenize_flags(bool special, bool parse_special)
{
    return (special ? QN_TOK_SPECIAL : 0u) |
           (parse_special ? QN_TOK_PARSE_SPECIAL : 0u);
}

QN_API int qn_tokenize(const qn_model *m, const char *text, size_t len,
                       bool special, bool parse_special, int32_t **ids,
                       size_t *n_ids, qn_err *err)
{
    return tokenize(m, text, len, tokenize_flags(special, parse_special), ids,
                    n_ids, err);
}

QN_API int qn_tokenize_fit(const qn_model *m, const char *text, size_t len,
                           bool special, bool parse_special, int32_t **ids,
                           size_t *n_ids, qn_err *err)
{
    return tokenize(m, text, len,
                    tokenize_flags(special, parse_special) | QN_TOK_FIT, ids,
                    n_ids, err);
}

QN_API int qn_detokenize(const qn_model *m, const int32_t *ids, size_t n_ids,
                         bool skip_special, char **text, size_t *len,
                         qn_err *err)
{
    QN_TRY(need_tok(m, err));
    qn_str s;
    qn_str_init(&s);
    int rc = qn_tok_decode(m->tok, ids, n_ids, skip_special, &s, err);
    if (rc < 0) {
        qn_str_deinit(&s);
        return rc;
    }
    *text = qn_str_take(&s, len);
    return 0;
}

QN_API const char *qn_token_text(const qn_model *m, int32_t id, size_t *len)
{
    if (!m->tok)
        return NULL;
    qn_view v = qn_tok_text(m->tok, id);
    *len = v.n;
    return v.p;
}

QN_API int qn_token_bytes(const qn_model *m, int32_t id, char **bytes,
                          size_t *len, qn_err *err)
{
    QN_TRY(need_tok(m, err));
    qn_str s = {0};
    int rc = qn_tok_bytes(m->tok, id, &s)
                 ? 0
                 : qn_tok_decode(m->tok, &id, 1, false, &s, err);
    if (rc < 0) {
        qn_str_deinit(&s);
        return rc;
    }
    *bytes = qn_str_take(&s, len);
    return 0;
}

QN_API int qn_chat_render(const qn_model *m, const char *messages,
                          const char *tools, bool add_generation_prompt,
                          const char *kwargs, char **text, size_t *len,
                          qn_err *err)
{
    if (!m->chat && m->chat_err.code == QN_ENOENT)
        return qn_fail(err, QN_EUNSUP, "%s", m->chat_err.msg);
    if (!m->chat)
        return qn_fail(err, QN_EUNSUP, "%s has no usable chat template: %s",
                       m->path, m->chat_err.msg);
    qn_str s;
    qn_str_init(&s);
    int rc = qn_template_render(m->chat, messages, tools, add_generation_prompt,
                                kwargs, &s, err);
    if (rc < 0) {
        qn_str_deinit(&s);
        return rc;
    }
    *text = qn_str_take(&s, len);
    return 0;
}
