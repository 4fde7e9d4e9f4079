/* gen.c - see gen.h. */
#include "server/gen.h"

#include "base/map.h"
#include "base/mem.h"
#include "base/rng.h"
#include "server/gen_tools.h"
#include "server/jsonout.h"
#include "server/messages.h"
#include "server/responses.h"
#include "server/server_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define MAX_PROMPT_LOGPROBS (1 << 20)

void qn_gen_fail(qn_call *call, const qn_fields *f, const qn_err *err)
{
    int status = f && f->status ? f->status : 400;
    if (err->code == QN_EINTERNAL || err->code == QN_EIO) {
        qn_call_break(call, err->msg);
        return;
    }
    if (err->code == QN_ENOMEM)
        status = 503;
    qn_call_fail(call, status, f ? f->code : NULL,
                 f ? qn_fields_spell(f, f->param) : NULL, "%s", err->msg);
}

/* ---- prompts ----------------------------------------------------------- */

typedef struct prep {
    qn_gen *g;
    qn_server *srv;
    qn_err *err;
} prep;

static qn_prompt *add_prompt(prep *p)
{
    return &p->g->prompts[p->g->n_prompts++];
}

/* Text becomes ids; special tokens written out in it count in chats, whose
 * template wrote them. */
static int take_text(prep *p, const char *text, size_t n, bool parse_special)
{
    qn_fields *f = &p->g->f;
    qn_prompt *q = add_prompt(p);
    bool special = f->add_special >= 0 ? f->add_special
                                       : p->g->style->add_special;
    if (f->echo) {
        q->text = qn_xstrndup(text, n);
        q->text_len = n;
    }
    return qn_tokenize(p->srv->model, text, n, special, parse_special, &q->ids,
                       &q->n, p->err);
}

static int take_ids(prep *p, const json_t *list)
{
    qn_prompt *q = add_prompt(p);
    size_t n = json_array_size(list);
    int32_t *ids = qn_alloc(n, sizeof *ids);
    if (!ids)
        return qn_fail(p->err, QN_ENOMEM, "no memory for %zu token ids", n);
    q->ids = ids;
    q->n = n;
    for (size_t i = 0; i < n; i++) {
        const json_t *x = json_array_get(list, i);
        json_int_t id = json_integer_value(x);
        if (!json_is_integer(x) || id < 0 ||
            id >= qn_model_n_vocab(p->srv->model)) {
            p->g->f.param = "prompt";
            return qn_fail(p->err, QN_EINVAL,
                           "prompt: element %zu is not a token id below %d", i,
                           qn_model_n_vocab(p->srv->model));
        }
        ids[i] = (int32_t)id;
    }
    if (!p->g->f.echo)
        return 0;
    return qn_detokenize(p->srv->model, ids, n, false, &q->text, &q->text_len,
                         p->err);
}

static int alloc_prompts(prep *p, size_t n)
{
    if (n > (size_t)p->srv->set.max_prompts) {
        p->g->f.param = "prompt";
        return qn_fail(p->err, QN_ELIMIT,
                       "%zu prompts; this server takes %lld at once", n,
                       (long long)p->srv->set.max_prompts);
    }
    p->g->prompts = qn_xcalloc(n, sizeof *p->g->prompts);
    return 0;
}

static int take_completion(prep *p)
{
    const json_t *v = p->g->f.prompt;
    if (p->g->f.text_input) {
        QN_TRY(alloc_prompts(p, 1));
        return take_text(p, p->g->f.text_input, strlen(p->g->f.text_input),
                         false);
    }
    if (!v) {
        p->g->f.param = p->g->style->input;
        return qn_fail(p->err, QN_EINVAL, "field %s is missing", p->g->f.param);
    }
    bool one = json_is_string(v) || json_is_integer(json_array_get(v, 0));
    size_t n = one ? 1 : json_array_size(v);
    QN_TRY(alloc_prompts(p, n));
    for (size_t i = 0; i < n; i++) {
        const json_t *x = one ? v : json_array_get(v, i);
        if (json_is_string(x)) {
            QN_TRY(take_text(p, json_string_value(x), json_string_length(x),
                             false));
        } else if (json_is_array(x)) {
            QN_TRY(take_ids(p, x));
        } else {
            p->g->f.param = "prompt";
            return qn_fail(p->err, QN_EINVAL,
                           "prompt: element %zu is neither text nor a list of "
                           "token ids",
                           i);
        }
    }
    return 0;
}

/* A text that is begun, or has to be of a format, is all answer. */
static void set_thinking(prep *p, const qn_str *prompt)
{
    qn_gen *g = p->g;
    qn_reasoning_kind kind = p->srv->reasoning;
    g->thinks = kind != QN_REASONING_NONE && !g->forced &&
                !g->f.continue_final && g->f.rp.format == QN_FORMAT_TEXT;
    g->thinks_first = g->thinks &&
                      qn_reasoning_begun(kind, prompt->p, prompt->n);
    if (g->thinks && kind == QN_REASONING_CHANNELS)
        g->f.rp.skip_special = false; /* its marks are such */
}

static int take_chat(prep *p)
{
    qn_fields *f = &p->g->f;
    if (!f->messages) {
        f->param = p->g->style->input;
        return qn_fail(p->err, QN_EINVAL, "field %s is missing", f->param);
    }
    QN_TRY(alloc_prompts(p, 1));
    char *text = NULL;
    size_t n = 0;
    int rc = qn_messages_render(p->srv->model, f->messages, f->tools,
                                f->template_kwargs,
                                f->add_generation_prompt && !f->continue_final,
                                &text, &n, p->err);
    if (rc < 0) {
        f->param = p->g->style->input;
        return rc;
    }
    qn_str prompt = {0};
    if (f->continue_final) {
        rc = qn_messages_cut(f->messages, text, &n, p->err);
        f->param = rc < 0 ? "continue_final_message" : NULL;
    }
    qn_str_add(&prompt, text, n);
    qn_free(text);
    if (rc == 0)
        rc = qn_gen_tools_prepare(p->g, &prompt, p->err);
    set_thinking(p, &prompt);
    f->rp.answer = !f->continue_final && !p->g->forced;
    if (rc == 0)
        rc = take_text(p, prompt.p ? prompt.p : "", prompt.n, true);
    qn_str_deinit(&prompt);
    return rc;
}

/* ---- what depends on the prompts --------------------------------------- */

static int truncate_prompt(prep *p, qn_prompt *q, int64_t keep)
{
    if ((int64_t)q->n <= keep)
        return 0;
    if (!p->g->f.truncate_right)
        memmove(q->ids, q->ids + (q->n - (size_t)keep),
                (size_t)keep * sizeof *q->ids);
    q->n = (size_t)keep;
    if (!p->g->f.echo)
        return 0;
    free(q->text); /* what is echoed is what was read */
    q->text = NULL;
    return qn_detokenize(p->srv->model, q->ids, q->n, false, &q->text,
                         &q->text_len, p->err);
}

/* What is generated at most where the request does not say. */
static int64_t usual_tokens(const prep *p)
{
    return p->g->style->route == QN_FIELD_CHAT ? p->srv->set.default_max_tokens
                                               : 16;
}

/* What a prompt that is shortened to what fits leaves for the answer. */
static int64_t kept_free(const prep *p)
{
    int64_t given = p->g->f.max_tokens;
    return given >= 0 ? QN_MAX(given, 1)
                      : QN_MIN(usual_tokens(p), p->srv->max_model_len / 2);
}

static int fail_room(prep *p, int64_t longest)
{
    qn_fields *f = &p->g->f;
    char more[80] = "";
    if (f->max_tokens > 0)
        snprintf(more, sizeof more, " and asks for %lld more",
                 (long long)f->max_tokens);
    f->code = "context_length_exceeded";
    f->param = p->g->style->input;
    return qn_fail(p->err, QN_ELIMIT,
                   "this model's context is %lld tokens; the request has %lld "
                   "in the prompt%s: shorten the prompt%s%s",
                   (long long)p->srv->max_model_len, (long long)longest, more,
                   *more ? " or lower " : "",
                   *more ? qn_fields_spell(f, "max_tokens") : "");
}

/* Whether prompt and completion fit; sets how much may be generated. */
static int check_room(prep *p)
{
    qn_fields *f = &p->g->f;
    int64_t ctx = p->srv->max_model_len, longest = 0;
    for (int i = 0; i < p->g->n_prompts; i++) {
        qn_prompt *q = &p->g->prompts[i];
        if (q->n == 0) {
            f->param = p->g->style->input;
            return qn_fail(p->err, QN_EINVAL, "field %s: prompt %d is empty",
                           f->param, i);
        }
        int64_t keep = f->truncate < 0 ? ctx - kept_free(p) : f->truncate;
        if (f->truncate != 0 && keep > 0)
            QN_TRY(truncate_prompt(p, q, keep));
        longest = QN_MAX(longest, (int64_t)q->n);
    }
    int64_t want = f->max_tokens;
    if (f->rp.kv_window > 0 || (f->rp.context_shift && longest < ctx))
        ctx = INT32_MAX; /* what is kept of them, the engine checks */
    if (longest + QN_MAX(want, 1) > ctx)
        return fail_room(p, longest);
    if (want < 0)
        want = usual_tokens(p);
    f->rp.max_new_tokens = (int)QN_MIN(want, ctx - longest);
    if (f->rp.min_new_tokens > f->rp.max_new_tokens) {
        f->param = "min_tokens";
        return qn_fail(p->err, QN_EINVAL, "min_tokens is %d, %s %d",
                       f->rp.min_new_tokens, qn_fields_spell(f, "max_tokens"),
                       f->rp.max_new_tokens);
    }
    return 0;
}

/* How many tokens a text is; *id: the one. */
static int one_token(prep *p, const char *text, int32_t *id, size_t *n)
{
    int32_t *ids = NULL;
    QN_TRY(qn_tokenize(p->srv->model, text, strlen(text), false, false, &ids, n,
                       p->err));
    *id = *n == 1 ? ids[0] : -1;
    qn_free(ids);
    return 0;
}

/* The word with a blank in front, or without the one that it has, if that is one
 * token, too. A blank alone has no other spelling. */
static int add_other(prep *p, const char *word, int32_t *list, size_t *n)
{
    qn_str with = {0};
    size_t k;
    if (strcmp(word, " ") == 0)
        return 0;
    qn_str_addf(&with, " %s", word);
    int rc = one_token(p, word[0] == ' ' ? word + 1 : with.p, &list[*n], &k);
    *n += rc == 0 && list[*n] >= 0;
    qn_str_deinit(&with);
    return rc;
}

/* Strings that have to be one token each. `both`: with a blank in front and
 * without, where the other one is one token, too. */
static int ids_of_words(prep *p, const char *field, const char *const *words,
                        size_t n, bool both, const int32_t **out, size_t *n_out)
{
    int32_t *list = qn_arena_calloc(&p->g->f.mem, 2 * n + 1, sizeof *list);
    *out = list;
    *n_out = 0;
    for (size_t i = 0; i < n; i++) {
        size_t k = 0;
        QN_TRY(one_token(p, words[i], &list[*n_out], &k));
        if (list[*n_out] < 0) {
            p->g->f.param = field;
            return qn_fail(p->err, QN_EUNSUP,
                           "field %s: \"%.60s\" is %zu tokens; only single "
                           "tokens are supported",
                           field, words[i], k);
        }
        ++*n_out;
        if (both)
            QN_TRY(add_other(p, words[i], list, n_out));
    }
    return 0;
}

/* The answer has a line for each of them, whole in memory. */
static int want_prompt_logprobs(prep *p)
{
    qn_fields *f = &p->g->f;
    int64_t k = f->prompt_logprobs, n = 0;
    if (f->echo && f->want_logprobs)
        k = QN_MAX(k, f->logprobs);
    for (int i = 0; i < p->g->n_prompts; i++)
        n += (int64_t)p->g->prompts[i].n;
    f->param = f->prompt_logprobs >= 0 ? "prompt_logprobs" : "echo";
    if (n * (k + 1) > MAX_PROMPT_LOGPROBS)
        return qn_fail(p->err, QN_ELIMIT,
                       "%lld log probabilities of the prompt asked for; this "
                       "server gives %d",
                       (long long)(n * (k + 1)), MAX_PROMPT_LOGPROBS);
    f->rp.n_prompt_logprobs = (int)k;
    return 0;
}

/* Whether all of it is tokens like BOS: a completion then begins a text. */
static int find_bare(prep *p, qn_prompt *q)
{
    char *text;
    size_t n;
    QN_TRY(qn_detokenize(p->srv->model, q->ids, q->n, true, &text, &n, p->err));
    qn_free(text);
    q->bare = n == 0;
    return 0;
}

static int set_params(prep *p)
{
    qn_fields *f = &p->g->f;
    qn_sampling *s = &f->rp.sampling;
    s->top_k = QN_MAX(s->top_k, 0);
    if (f->n_bad_words)
        QN_TRY(ids_of_words(p, "bad_words", f->bad_words, f->n_bad_words, true,
                            &s->banned_ids, &s->n_banned));
    if (f->n_dry_breakers)
        QN_TRY(ids_of_words(p, "dry_sequence_breakers", f->dry_breakers,
                            f->n_dry_breakers, false, &s->dry_breakers,
                            &s->n_dry_breakers));
    qn_gen *g = p->g;
    g->n_shown = QN_MAX(f->n, 1);
    g->n_per = QN_MAX(f->best_of, g->n_shown);
    f->rp.n = g->n_per;
    if (f->beam) {
        f->rp.n_beams = g->n_per;
        f->rp.n = g->n_shown;
        g->n_per = g->n_shown;
    }
    if (f->want_logprobs)
        f->rp.n_logprobs = (int)QN_MAX(QN_MAX(f->logprobs, f->top_logprobs), 0);
    else if (g->n_per > g->n_shown)
        f->rp.n_logprobs = 0; /* to find the best */
    if (f->prompt_logprobs >= 0 || (f->echo && f->want_logprobs))
        QN_TRY(want_prompt_logprobs(p));
    bool offsets = f->want_logprobs && f->rp.format == QN_FORMAT_TEXT &&
                   g->style->route != QN_FIELD_CHAT;
    for (int i = 0; i < g->n_prompts && offsets; i++)
        QN_TRY(find_bare(p, &g->prompts[i]));
    bool shared = p->srv->set.share_prefixes;
    uint64_t mix[2] = {shared ? 0 : g->call->tenant, f->rp.cache_salt};
    f->rp.tenant = (uint32_t)g->call->tenant;
    f->rp.cache_salt = qn_hash(mix, sizeof mix);
    return 0;
}

static void add_choices(qn_gen *g)
{
    g->n_choices = g->n_prompts * g->n_per;
    g->n_open = g->n_choices;
    g->choices = qn_xcalloc((size_t)g->n_choices, sizeof *g->choices);
    for (int i = 0; i < g->n_choices; i++) {
        g->choices[i].prompt = i / g->n_per;
        g->choices[i].at_start = g->prompts[i / g->n_per].bare;
        g->choices[i].index = i % g->n_per;
        g->choices[i].stop = -1;
        if (g->thinks)
            g->choices[i].reasoning = qn_reasoning_new(g->call->srv->reasoning,
                                                       g->thinks_first);
    }
}

static void log_unknown(void *user, const char *name)
{
    qn_call *call = user;
    qn_accesslog_say(call->srv->log, 1,
                     "request %s: unknown field \"%.100s\" ignored", call->id,
                     name);
}

/* vLLM's field for what X-Request-Id says, too. */
static int take_id(prep *p)
{
    qn_gen *g = p->g;
    if (!g->f.id || g->style->route == QN_FIELD_KSERVE || g->call->named)
        return 0;
    if (qn_call_name(g->call, g->f.id))
        return 0;
    g->f.param = "request_id";
    return qn_fail(p->err, QN_EINVAL,
                   "field request_id: use 1 to %zu letters, digits and -_.",
                   sizeof g->call->id - 1);
}

static int prepare(prep *p, bool stream)
{
    qn_gen *g = p->g;
    json_t *doc = NULL;
    if (!p->srv->model) { /* unloaded since */
        g->f.status = 503;
        return qn_fail(p->err, QN_ENOENT, "no model is loaded at the moment");
    }
    qn_sampling_from_model(p->srv->model, &g->f.rp.sampling);
    g->f.rp.sampling.seed = qn_rng_entropy();
    int rc = qn_call_json(g->call, &doc, p->err);
    if (rc < 0)
        return rc;
    qn_field_context c = {.set = &p->srv->set,
                          .model_name = p->srv->name,
                          .n_vocab = qn_model_n_vocab(p->srv->model),
                          .route = g->style->route,
                          .on_unknown = log_unknown,
                          .user = g->call};
    g->f.stream = stream;
    if (g->style->ask && json_is_object(doc))
        QN_TRY_OUT(g->style->ask(g, doc, p->err));
    g->f.names = g->style->names;
    rc = qn_fields_parse(&g->f, doc, &c, p->err);
    QN_TRY_OUT(rc);
    QN_TRY_OUT(take_id(p));
    QN_TRY_OUT(g->style->route == QN_FIELD_CHAT ? take_chat(p)
                                                : take_completion(p));
    QN_TRY_OUT(check_room(p));
    QN_TRY_OUT(set_params(p));
    add_choices(g);
    qn_gen_tools_begin(g);
    g->f.param = NULL;
out:
    json_decref(doc);
    g->f.prompt = g->f.messages = g->f.tools = g->f.template_kwargs = NULL;
    return rc;
}

qn_gen *qn_gen_prepare(qn_call *call, const qn_style *style, bool stream)
{
    qn_gen *g = qn_xcalloc(1, sizeof *g);
    qn_err err = {0};
    g->call = call;
    g->style = style;
    g->created = (int64_t)time(NULL);
    qn_fields_init(&g->f);
    prep p = {g, call->srv, &err};
    if (prepare(&p, stream) < 0) {
        qn_gen_fail(call, &g->f, &err);
        qn_gen_free(g);
        return NULL;
    }
    if (!call->srv->set.log_prompts)
        qn_str_deinit(&call->body);
    call->gen = g;
    return g;
}

void qn_gen_free(qn_gen *g)
{
    if (!g)
        return;
    for (int i = 0; i < g->n_prompts; i++) {
        qn_free(g->prompts[i].ids);
        free(g->prompts[i].text);
    }
    free(g->prompts);
    for (int i = 0; i < g->n_choices; i++) {
        qn_choice *c = &g->choices[i];
        qn_str_deinit(&c->text);
        qn_str_deinit(&c->tokens);
        qn_str_deinit(&c->token_lps);
        qn_str_deinit(&c->tops);
        qn_str_deinit(&c->offsets);
        qn_str_deinit(&c->ids);
        qn_str_deinit(&c->calls);
        qn_str_deinit(&c->args);
        qn_toolcall_free(c->parser);
        qn_reasoning_free(c->reasoning);
        qn_str_deinit(&c->thought);
    }
    free(g->choices);
    free(g->forced);
    free(g->asked);
    qn_items_free(g->items);
    json_decref(g->tools);
    qn_fields_deinit(&g->f);
    free(g);
}

/* ---- for styles -------------------------------------------------------- */

const char *qn_gen_finish_name(qn_finish f)
{
    switch (f) {
    case QN_FINISH_STOP: return "stop";
    case QN_FINISH_LENGTH: return "length";
    case QN_FINISH_CANCEL: return "abort";
    case QN_FINISH_ERROR: return "error";
    case QN_FINISH_NONE: break;
    }
    return NULL;
}

void qn_gen_stop_reason(const qn_gen *g, const qn_choice *c, qn_str *out)
{
    const qn_request_params *rp = &g->f.rp;
    bool stopped = c->finish == QN_FINISH_STOP;
    if (stopped && c->stop >= 0) {
        qn_jsonout_cstr(out, rp->stop[c->stop]);
        return;
    }
    for (size_t i = 0; stopped && i < rp->n_stop_ids; i++)
        if (rp->stop_ids[i] == c->last_id) {
            qn_str_addf(out, "%d", (int)c->last_id);
            return;
        }
    qn_str_adds(out, "null");
}

/* Mean log probability per token; -1e30 of a completion that has none. */
static double merit(const qn_choice *c)
{
    return c->n_tokens ? c->sum_logprob / c->n_tokens : -1e30;
}

qn_choice *qn_gen_shown(qn_gen *g, int i)
{
    qn_choice *of_prompt = &g->choices[i / g->n_shown * g->n_per];
    int rank = i % g->n_shown;
    if (g->n_per == g->n_shown)
        return &of_prompt[rank];
    for (int a = 0; a < g->n_per; a++) {
        int better = 0;
        for (int b = 0; b < g->n_per; b++) {
            double d = merit(&of_prompt[b]) - merit(&of_prompt[a]);
            better += d > 0 || (d == 0 && b < a);
        }
        if (better == rank)
            return &of_prompt[a];
    }
    return &of_prompt[rank];
}

int qn_gen_number(const qn_gen *g, const qn_choice *c)
{
    return c->prompt * g->n_shown + c->index;
}

qn_gen_counts qn_gen_count(const qn_gen *g)
{
    qn_gen_counts n = {0};
    for (int i = 0; i < g->n_prompts; i++) {
        n.prompt += (int)g->prompts[i].n;
        n.cached += g->prompts[i].stats.n_cached;
    }
    for (int i = 0; i < g->n_choices; i++)
        n.completion += g->choices[i].n_tokens;
    return n;
}

void qn_gen_usage(const qn_gen *g, qn_str *out)
{
    qn_gen_counts n = qn_gen_count(g);
    qn_str_addf(out,
                "{\"prompt_tokens\":%d,\"completion_tokens\":%d,"
                "\"total_tokens\":%d,\"prompt_tokens_details\":"
                "{\"cached_tokens\":%d}}",
                n.prompt, n.completion, n.prompt + n.completion, n.cached);
}

char *qn_gen_token_bytes(const qn_gen *g, int32_t id, size_t *n)
{
    char *bytes = NULL;
    if (qn_token_bytes(g->call->srv->model, id, &bytes, n, NULL) == 0)
        return bytes;
    *n = 0;
    return qn_xstrdup("");
}
