/* logprobs.c - see logprobs.h. */
#include "server/logprobs.h"

#include "base/utf8.h"
#include "server/jsonout.h"

#include <stdlib.h>

/* ---- chats ------------------------------------------------------------- */

/* A token in quotes: its text, or "token_id:5" when asked for. */
static void spell(const qn_gen *g, int32_t id, const char *text, size_t n,
                  qn_str *out)
{
    if (g->f.tokens_as_ids)
        qn_str_addf(out, "\"token_id:%d\"", (int)id);
    else
        qn_jsonout_str(out, text, n);
}

/* {"token":..,"logprob":..,"bytes":[..] without the closing brace */
static void add_token(const qn_gen *g, int32_t id, double logprob, qn_str *out)
{
    size_t n;
    char *text = qn_gen_token_text(g, id, &n);
    qn_str_adds(out, "{\"token\":");
    spell(g, id, text, n, out);
    qn_str_adds(out, ",\"logprob\":");
    qn_jsonout_real(out, logprob);
    qn_str_adds(out, ",\"bytes\":");
    qn_jsonout_bytes(out, text, n);
    qn_free(text);
}

static void add_entry(const qn_gen *g, const qn_event *ev, qn_str *out)
{
    add_token(g, ev->id, (double)ev->logprob, out);
    qn_str_adds(out, ",\"top_logprobs\":[");
    for (size_t i = 0; i < ev->n_top; i++) {
        if (i)
            qn_str_addc(out, ',');
        add_token(g, ev->top[i].id, (double)ev->top[i].logprob, out);
        qn_str_addc(out, '}');
    }
    qn_str_adds(out, "]}");
}

/* ---- completions ------------------------------------------------------- */

typedef struct lists {
    qn_str *tokens, *token_lps, *tops, *offsets;
} lists;

static void next(qn_str *list)
{
    if (list->n)
        qn_str_addc(list, ',');
}

/* Whether a list of "text":logprob has that key, which ends with its colon. What
 * stands before a key is nothing or a comma; before a quote in a text, a \. */
static bool has_key(const qn_str *list, const char *key)
{
    const char *p = list->p;
    while (p && (p = strstr(p, key)) && p != list->p && p[-1] != ',')
        p++;
    return p != NULL;
}

/* "text": logprob, unless that text is there already. */
static void add_top(const qn_gen *g, int32_t id, double logprob, qn_str *out)
{
    size_t n;
    char *text = qn_gen_token_text(g, id, &n);
    qn_str key = {0};
    spell(g, id, text, n, &key);
    qn_str_addc(&key, ':');
    qn_free(text);
    if (!has_key(out, key.p)) {
        next(out);
        qn_str_add(out, key.p, key.n);
        qn_jsonout_real(out, logprob);
    }
    qn_str_deinit(&key);
}

/* {"text": logprob, ..} of the chosen token and the `most` likeliest. */
static void add_tops(const qn_gen *g, const qn_event *ev, int64_t most,
                     qn_str *out)
{
    qn_str top = {0};
    add_top(g, ev->id, (double)ev->logprob, &top);
    for (size_t i = 0; i < ev->n_top && (int64_t)i < most; i++)
        add_top(g, ev->top[i].id, (double)ev->top[i].logprob, &top);
    qn_str_addf(out, "{%s}", top.p);
    qn_str_deinit(&top);
}

static void add_lists(const qn_gen *g, qn_choice *c, const qn_event *ev,
                      lists l)
{
    size_t n;
    char *text = qn_gen_token_text(g, ev->id, &n);
    next(l.tokens);
    spell(g, ev->id, text, n, l.tokens);
    next(l.token_lps);
    qn_jsonout_real(l.token_lps, (double)ev->logprob);
    next(l.offsets);
    qn_str_addf(l.offsets, "%zu", c->n_chars);
    c->n_chars += qn_utf8_count(text, n);
    qn_free(text);
    next(l.tops);
    add_tops(g, ev, INT64_MAX, l.tops);
}

/* A token of the prompt: `ev` NULL for the first, which nothing precedes. */
static void echo_token(const qn_gen *g, int32_t id, const qn_event *ev,
                       size_t offset, lists l)
{
    size_t n;
    char *text = qn_gen_token_text(g, id, &n);
    next(l.tokens);
    spell(g, id, text, n, l.tokens);
    qn_free(text);
    next(l.offsets);
    qn_str_addf(l.offsets, "%zu", offset);
    next(l.token_lps);
    next(l.tops);
    if (!ev) {
        qn_str_adds(l.token_lps, "null");
        qn_str_adds(l.tops, "null");
        return;
    }
    qn_jsonout_real(l.token_lps, (double)ev->logprob);
    add_tops(g, ev, g->f.logprobs, l.tops);
}

/* Where a token's text begins in the prompt, from byte `at` on; the position
 * behind it. A token that adds nothing (BOS) or part of a character stays. */
static size_t advance(const qn_gen *g, const qn_prompt *q, int32_t id,
                      size_t at)
{
    size_t n;
    char *text = qn_gen_token_text(g, id, &n);
    size_t window = QN_MIN(q->text_len - at, n + 8);
    const char *p = n ? memmem(q->text + at, window, text, n) : NULL;
    qn_free(text);
    return p ? (size_t)(p - q->text) + n : at;
}

static void put_lists(lists l, qn_str *out)
{
    const qn_str *each[] = {l.tokens, l.token_lps, l.tops, l.offsets};
    static const char *const names[] = {"{\"tokens\":[",
                                        "],\"token_logprobs\":[",
                                        "],\"top_logprobs\":[",
                                        "],\"text_offset\":["};
    for (int i = 0; i < 4; i++) {
        qn_str_adds(out, names[i]);
        qn_str_add(out, each[i]->p ? each[i]->p : "", each[i]->n);
    }
    qn_str_adds(out, "]}");
}

/* ---- prompts ------------------------------------------------------------ */

void qn_logprobs_echo(qn_gen *g, qn_choice *c)
{
    const qn_prompt *q = &g->prompts[c->prompt];
    lists l = {&c->tokens, &c->token_lps, &c->tops, &c->offsets};
    size_t at = 0, chars = 0;
    for (size_t i = 0; i < q->n; i++) {
        qn_event ev;
        bool known = qn_request_prompt_logprob(q->req, i, &ev) > 0;
        echo_token(g, q->ids[i], known ? &ev : NULL, chars, l);
        size_t end = advance(g, q, q->ids[i], at);
        chars += qn_utf8_count(q->text + at, end - at);
        at = end;
    }
    c->n_chars = qn_utf8_count(q->text, q->text_len);
}

/* `rank` 0: it is not among the likeliest, and nobody counted. */
static void add_ranked(const qn_gen *g, int32_t id, double logprob, size_t rank,
                       qn_str *out)
{
    size_t n;
    char *text = qn_gen_token_text(g, id, &n);
    qn_str_addf(out, "\"%d\":{\"logprob\":", (int)id);
    qn_jsonout_real(out, logprob);
    if (rank)
        qn_str_addf(out, ",\"rank\":%zu", rank);
    else
        qn_str_adds(out, ",\"rank\":null");
    qn_str_adds(out, ",\"decoded_token\":");
    qn_jsonout_str(out, text, n);
    qn_str_addc(out, '}');
    qn_free(text);
}

static void add_position(const qn_gen *g, const qn_event *ev, qn_str *out)
{
    size_t most = (size_t)g->f.prompt_logprobs, rank = 0;
    for (size_t i = 0; i < ev->n_top && !rank; i++)
        if (ev->top[i].id == ev->id)
            rank = i + 1;
    qn_str_addc(out, '{');
    add_ranked(g, ev->id, (double)ev->logprob, rank, out);
    for (size_t i = 0; i < ev->n_top && i < most; i++) {
        if (ev->top[i].id == ev->id)
            continue;
        qn_str_addc(out, ',');
        add_ranked(g, ev->top[i].id, (double)ev->top[i].logprob, i + 1, out);
    }
    qn_str_addc(out, '}');
}

void qn_logprobs_prompt(const qn_gen *g, const qn_prompt *q, qn_str *out)
{
    qn_str_addc(out, '[');
    for (size_t i = 0; i < q->n; i++) {
        qn_event ev;
        if (i)
            qn_str_addc(out, ',');
        if (qn_request_prompt_logprob(q->req, i, &ev) > 0)
            add_position(g, &ev, out);
        else
            qn_str_adds(out, "null");
    }
    qn_str_addc(out, ']');
}

/* ---- both -------------------------------------------------------------- */

static bool is_chat(const qn_gen *g)
{
    return g->style->route == QN_FIELD_CHAT;
}

void qn_logprobs_one(qn_gen *g, qn_choice *c, const qn_event *ev, qn_str *out)
{
    if (is_chat(g)) {
        qn_str_adds(out, "{\"content\":[");
        add_entry(g, ev, out);
        qn_str_adds(out, "],\"refusal\":null}");
        return;
    }
    qn_str s[4] = {{0}};
    lists l = {&s[0], &s[1], &s[2], &s[3]};
    add_lists(g, c, ev, l);
    put_lists(l, out);
    for (int i = 0; i < 4; i++)
        qn_str_deinit(&s[i]);
}

void qn_logprobs_keep(qn_gen *g, qn_choice *c, const qn_event *ev)
{
    lists l = {&c->tokens, &c->token_lps, &c->tops, &c->offsets};
    if (is_chat(g)) {
        next(&c->tokens);
        add_entry(g, ev, &c->tokens);
    } else {
        add_lists(g, c, ev, l);
    }
}

void qn_logprobs_all(qn_gen *g, qn_choice *c, qn_str *out)
{
    lists l = {&c->tokens, &c->token_lps, &c->tops, &c->offsets};
    if (!is_chat(g)) {
        put_lists(l, out);
        return;
    }
    qn_str_adds(out, "{\"content\":[");
    qn_str_add(out, c->tokens.p ? c->tokens.p : "", c->tokens.n);
    qn_str_adds(out, "],\"refusal\":null}");
}
