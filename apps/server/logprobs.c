/* logprobs.c - see logprobs.h. */
#include "server/logprobs.h"

#include "base/utf8.h"
#include "server/jsonout.h"
#include "server/server_int.h"

#include <stdlib.h>

static bool is_chat(const qn_gen *g)
{
    return g->style->route == QN_FIELD_CHAT;
}

/* As OpenAI spells what is no text: "\\xc3", in completions "bytes:\\xc3". */
static void spell_bytes(const qn_gen *g, const char *p, size_t n, qn_str *out)
{
    qn_str s = {0};
    qn_str_adds(&s, is_chat(g) ? "" : "bytes:");
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        size_t len = (size_t)qn_utf8_decode(p + i, n - i, &cp);
        if (len > 0)
            qn_str_add(&s, p + i, len);
        else
            qn_str_addf(&s, "\\x%02x", (unsigned char)p[i]);
        i += QN_MAX(len, 1);
    }
    qn_jsonout_str(out, s.p, s.n);
    qn_str_deinit(&s);
}

/* A token in quotes: its text, or "token_id:5" when asked for. */
static void spell(const qn_gen *g, int32_t id, const char *text, size_t n,
                  qn_str *out)
{
    if (g->f.tokens_as_ids)
        qn_str_addf(out, "\"token_id:%d\"", (int)id);
    else if (qn_utf8_valid(text, n))
        qn_jsonout_str(out, text, n);
    else
        spell_bytes(g, text, n, out);
}

/* ---- chats ------------------------------------------------------------- */

/* {"token":..,"logprob":..,"bytes":[..] without the closing brace */
static void add_token(const qn_gen *g, int32_t id, double logprob, qn_str *out)
{
    size_t n;
    char *text = qn_gen_token_bytes(g, id, &n);
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
    char *text = qn_gen_token_bytes(g, id, &n);
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

static bool goes_on(char c) /* no character begins with it */
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

/* Counts what a token adds to the text; the character that it begins in. */
static size_t count(qn_choice *c, const char *p, size_t n)
{
    qn_str all = {0};
    if (n == 0)
        return c->n_chars;
    size_t first = c->n_chars + (c->n_part > 0 && !goes_on(p[0]));
    qn_str_add(&all, c->part, c->n_part);
    qn_str_add(&all, p, n);
    c->n_part = qn_utf8_tail(all.p, all.n);
    c->n_chars += qn_utf8_count(all.p, all.n - c->n_part);
    memcpy(c->part, all.p + all.n - c->n_part, c->n_part);
    qn_str_deinit(&all);
    return first;
}

/* Bytes of the text that is one token. */
static size_t bytes_alone(const qn_gen *g, int32_t id, bool skip_special)
{
    char *text;
    size_t n;
    if (qn_detokenize(g->call->srv->model, &id, 1, skip_special, &text, &n,
                      NULL) < 0)
        return 0;
    qn_free(text);
    return n;
}

/* Special tokens are not in the text, unless asked for. */
static bool is_left_out(const qn_gen *g, int32_t id)
{
    return g->f.rp.skip_special && bytes_alone(g, id, true) == 0 &&
           bytes_alone(g, id, false) > 0;
}

static void add_lists(const qn_gen *g, qn_choice *c, const qn_event *ev,
                      lists l)
{
    size_t n, blank = 0;
    char *text = qn_gen_token_bytes(g, ev->id, &n);
    next(l.tokens);
    spell(g, ev->id, text, n, l.tokens);
    next(l.token_lps);
    qn_jsonout_real(l.token_lps, (double)ev->logprob);
    next(l.offsets);
    if (is_left_out(g, ev->id))
        n = 0;
    else if (n > 0 && c->at_start && text[0] == ' ') /* some leave it out */
        blank = bytes_alone(g, ev->id, g->f.rp.skip_special) == n - 1;
    c->at_start = c->at_start && n == 0;
    qn_str_addf(l.offsets, "%zu", count(c, text + blank, n - blank));
    qn_free(text);
    next(l.tops);
    add_tops(g, ev, INT64_MAX, l.tops);
}

/* A token of the prompt: `ev` NULL for the first, which nothing precedes. */
static void echo_token(const qn_gen *g, int32_t id, const qn_event *ev,
                       qn_view text, size_t offset, lists l)
{
    next(l.tokens);
    spell(g, id, text.p, text.n, l.tokens);
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

/* Where a token stands in the prompt's text, from byte *at on, which moves
 * behind it. A first word's blank need not be there; a token that adds nothing
 * (BOS) stands nowhere. */
static size_t find(const qn_prompt *q, qn_view token, size_t *at)
{
    const char *here = q->text + *at, *hit = NULL;
    size_t left = q->text_len - *at, n = token.n;
    bool blank = n > 0 && token.p[0] == ' ' && (n > 1 || *at == 0);
    if (n > 0 && n <= left && memcmp(here, token.p, n) == 0)
        hit = here;
    else if (blank && n - 1 <= left && memcmp(here, token.p + 1, --n) == 0)
        hit = here;
    else if (token.n > 0)
        hit = memmem(here, QN_MIN(left, token.n + 8), token.p, n = token.n);
    if (!hit)
        return *at;
    *at = (size_t)(hit - q->text) + n;
    return (size_t)(hit - q->text);
}

/* Characters that begin in text[b, e). */
static size_t begun(const char *text, size_t b, size_t e)
{
    size_t n = 0;
    for (; b < e; b++)
        n += !goes_on(text[b]);
    return n;
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
        qn_view token;
        char *text = qn_gen_token_bytes(g, q->ids[i], &token.n);
        token.p = text;
        size_t from = at, first = find(q, token, &at);
        chars += begun(q->text, from, first);
        echo_token(g, q->ids[i], known ? &ev : NULL, token,
                   chars - goes_on(q->text[first]), l);
        chars += begun(q->text, first, at);
        qn_free(text);
    }
    c->n_chars = qn_utf8_count(q->text, q->text_len);
}

/* `rank` 0: it is not among the likeliest, and nobody counted. */
static void add_ranked(const qn_gen *g, int32_t id, double logprob, size_t rank,
                       qn_str *out)
{
    size_t n;
    char *text = qn_gen_token_bytes(g, id, &n);
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
