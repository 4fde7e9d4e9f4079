/* reasoning.c - see reasoning.h.
 *
 *   TAGS      BEGIN --open--> THOUGHT --close--> AFTER --> ANSWER
 *                \--------- anything else ---------------------^
 *   CHANNELS  ANSWER --channel--> NAME --message--> THOUGHT or ANSWER
 *                ^                                      --end--> BETWEEN
 *
 * `held` is what may still become a mark. */
#include "server/reasoning.h"

#include "base/mem.h"

#include <stdlib.h>

#define OPEN "<think>"
#define CLOSE "</think>"
#define MAX_NAME 64 /* of a channel, with what stands behind it */

typedef enum place {
    BEGIN,
    THOUGHT,
    AFTER, /* the thought; white space is dropped */
    ANSWER,
    NAME,
    BETWEEN /* messages: nobody's */
} place;

struct qn_reasoning {
    qn_reasoning_kind kind;
    place at;
    bool fresh; /* nothing of this thought has gone out */
    qn_str held, name;
};

bool qn_reasoning_kind_of(const char *name, qn_reasoning_kind *kind)
{
    static const struct {
        const char *name;
        qn_reasoning_kind kind;
    } names[] = {
        {"none", QN_REASONING_NONE},
        {"think", QN_REASONING_TAGS},
        {"channels", QN_REASONING_CHANNELS},
        /* vLLM's, of those two */
        {"deepseek_r1", QN_REASONING_TAGS},
        {"qwen3", QN_REASONING_TAGS},
        {"openai_gptoss", QN_REASONING_CHANNELS},
    };
    for (size_t i = 0; i < QN_COUNTOF(names); i++)
        if (strcmp(names[i].name, name) == 0) {
            *kind = names[i].kind;
            return true;
        }
    return false;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

bool qn_reasoning_begun(qn_reasoning_kind kind, const char *prompt, size_t n)
{
    while (n > 0 && is_space(prompt[n - 1]))
        n--;
    return kind == QN_REASONING_TAGS && n >= strlen(OPEN) &&
           memcmp(prompt + n - strlen(OPEN), OPEN, strlen(OPEN)) == 0;
}

qn_reasoning *qn_reasoning_new(qn_reasoning_kind kind, bool begun)
{
    qn_reasoning *r = qn_xcalloc(1, sizeof *r);
    r->kind = kind;
    r->fresh = true;
    r->at = kind != QN_REASONING_TAGS ? ANSWER : begun ? THOUGHT : BEGIN;
    return r;
}

void qn_reasoning_free(qn_reasoning *r)
{
    if (!r)
        return;
    qn_str_deinit(&r->held);
    qn_str_deinit(&r->name);
    free(r);
}

/* ---- marks ------------------------------------------------------------- */

static const struct mark {
    const char *text;
    place to;
} channel_marks[] = {
    {"<|channel|>", NAME},   {"<|message|>", ANSWER}, /* or THOUGHT */
    {"<|start|>", BETWEEN},  {"<|end|>", BETWEEN},
    {"<|return|>", BETWEEN}, {"<|call|>", BETWEEN},
};
static const struct mark close_mark[] = {{CLOSE, AFTER}};

static const struct mark *marks_of(const qn_reasoning *r, size_t *n)
{
    *n = r->kind == QN_REASONING_CHANNELS ? QN_COUNTOF(channel_marks)
         : r->at == THOUGHT               ? QN_COUNTOF(close_mark)
                                          : 0;
    return r->kind == QN_REASONING_CHANNELS ? channel_marks : close_mark;
}

/* The first mark at or behind p, whole or at the end of the text a part of
 * one; NULL: none. *whole: which of the two. */
static const struct mark *find(const qn_reasoning *r, size_t *at, bool *whole)
{
    size_t n_marks;
    const struct mark *marks = marks_of(r, &n_marks);
    for (size_t i = 0; i < r->held.n; i++)
        for (size_t k = 0; k < n_marks && r->held.p[i] == '<'; k++) {
            size_t n = strlen(marks[k].text), left = r->held.n - i;
            if (memcmp(r->held.p + i, marks[k].text, QN_MIN(n, left)) != 0)
                continue;
            *at = i;
            *whole = left >= n;
            return &marks[k];
        }
    return NULL;
}

/* ---- what goes out ----------------------------------------------------- */

static void drop(qn_reasoning *r, size_t n)
{
    r->held.n -= n;
    if (r->held.n > 0)
        memmove(r->held.p, r->held.p + n, r->held.n);
}

static void give_thought(qn_reasoning *r, size_t n,
                         const qn_reasoning_sink *sink)
{
    size_t from = 0;
    while (r->fresh && from < n && is_space(r->held.p[from]))
        from++;
    if (n > from) {
        sink->thought(sink->user, r->held.p + from, n - from);
        r->fresh = false;
    }
}

/* The first n held bytes, which are of one place. */
static void give(qn_reasoning *r, size_t n, const qn_reasoning_sink *sink)
{
    if (n == 0)
        return;
    if (r->at == THOUGHT)
        give_thought(r, n, sink);
    else if (r->at == ANSWER)
        sink->answer(sink->user, r->held.p, n);
    else if (r->at == NAME && r->name.n < MAX_NAME)
        qn_str_add(&r->name, r->held.p, QN_MIN(n, MAX_NAME - r->name.n));
    drop(r, n);
}

static size_t before_space(const qn_reasoning *r, size_t n)
{
    while (r->at == THOUGHT && n > 0 && is_space(r->held.p[n - 1]))
        n--;
    return n;
}

static void pass(qn_reasoning *r, const struct mark *m)
{
    bool thinks = r->name.n >= 8 && memcmp(r->name.p, "analysis", 8) == 0;
    drop(r, strlen(m->text));
    r->at = m->to;
    r->fresh = true;
    if (r->kind == QN_REASONING_CHANNELS && m->to == ANSWER && thinks)
        r->at = THOUGHT;
    if (m->to != ANSWER)
        qn_str_clear(&r->name);
}

/* Where the text begins: a thought, or an answer. False: not known yet. */
static bool decide(qn_reasoning *r, bool last)
{
    size_t i = 0, n = strlen(OPEN);
    while (i < r->held.n && is_space(r->held.p[i]))
        i++;
    size_t left = r->held.n - i;
    bool may = left == 0 || memcmp(r->held.p + i, OPEN, QN_MIN(n, left)) == 0;
    if (may && left < n && !last)
        return false;
    if (may && left >= n) {
        drop(r, i + n);
        r->at = THOUGHT;
    } else {
        r->at = ANSWER;
    }
    return true;
}

void qn_reasoning_feed(qn_reasoning *r, const char *p, size_t n, bool last,
                       const qn_reasoning_sink *sink)
{
    qn_str_add(&r->held, p, n);
    if (r->at == BEGIN && !decide(r, last))
        return;
    for (;;) {
        size_t at, space = 0;
        bool whole = false;
        while (r->at == AFTER && space < r->held.n &&
               is_space(r->held.p[space]))
            space++;
        drop(r, space);
        if (r->at == AFTER && r->held.n > 0)
            r->at = ANSWER;
        at = r->held.n;
        const struct mark *m = find(r, &at, &whole);
        if (m && whole) {
            size_t text = before_space(r, at);
            give(r, text, sink);
            drop(r, at - text);
            pass(r, m);
            continue;
        }
        if (last) /* no mark after all */
            at = r->held.n;
        give(r, before_space(r, at), sink);
        return;
    }
}
