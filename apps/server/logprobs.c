/* logprobs.c - see logprobs.h. */
#include "server/logprobs.h"

#include "base/utf8.h"
#include "server/jsonout.h"

#include <stdlib.h>

/* ---- chats ------------------------------------------------------------- */

/* {"token":..,"logprob":..,"bytes":[..] without the closing brace */
static void add_token(const qn_gen *g, int32_t id, double logprob, qn_str *out)
{
    size_t n;
    char *text = qn_gen_token_text(g, id, &n);
    qn_str_adds(out, "{\"token\":");
    qn_jsonout_str(out, text, n);
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

/* "text": logprob, unless that text is there already. */
static void add_top(const qn_gen *g, int32_t id, double logprob, qn_str *out)
{
    size_t n;
    char *text = qn_gen_token_text(g, id, &n);
    qn_str key = {0};
    qn_jsonout_str(&key, text, n);
    qn_str_addc(&key, ':');
    qn_free(text);
    if (!out->p || !strstr(out->p, key.p)) {
        next(out);
        qn_str_add(out, key.p, key.n);
        qn_jsonout_real(out, logprob);
    }
    qn_str_deinit(&key);
}

static void add_lists(const qn_gen *g, qn_choice *c, const qn_event *ev,
                      lists l)
{
    size_t n, before = 0;
    if (g->f.echo)
        before = qn_utf8_count(g->prompts[c->prompt].text,
                               g->prompts[c->prompt].text_len);
    char *text = qn_gen_token_text(g, ev->id, &n);
    next(l.tokens);
    qn_jsonout_str(l.tokens, text, n);
    next(l.token_lps);
    qn_jsonout_real(l.token_lps, (double)ev->logprob);
    next(l.offsets);
    qn_str_addf(l.offsets, "%zu", before + c->n_chars);
    c->n_chars += qn_utf8_count(text, n);
    qn_free(text);
    qn_str top = {0};
    add_top(g, ev->id, (double)ev->logprob, &top);
    for (size_t i = 0; i < ev->n_top; i++)
        add_top(g, ev->top[i].id, (double)ev->top[i].logprob, &top);
    next(l.tops);
    qn_str_addf(l.tops, "{%s}", top.p);
    qn_str_deinit(&top);
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
