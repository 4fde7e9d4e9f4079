/* What a model writes, as thoughts and an answer. The first byte chooses the
 * kind, whether a thought has begun, and the length of the pieces that the text
 * comes in: however it is cut, the same comes out, and nothing that was not
 * there. */
#include "server/reasoning.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct heard {
    qn_str thought, answer;
} heard;

static void on_thought(void *user, const char *p, size_t n)
{
    heard *h = user;
    if (n == 0)
        abort();
    qn_str_add(&h->thought, p, n);
}

static void on_answer(void *user, const char *p, size_t n)
{
    heard *h = user;
    if (n == 0)
        abort();
    qn_str_add(&h->answer, p, n);
}

static void feed(heard *h, unsigned how, const char *p, size_t n, size_t piece)
{
    qn_reasoning_sink sink = {h, on_thought, on_answer};
    qn_reasoning *r = qn_reasoning_new((qn_reasoning_kind)(how % 3), how & 64);
    for (size_t at = 0; at < n; at += piece)
        qn_reasoning_feed(r, p + at, QN_MIN(piece, n - at), false, &sink);
    qn_reasoning_feed(r, "", 0, true, &sink);
    qn_reasoning_free(r);
    if (h->thought.n + h->answer.n > n)
        abort();
}

static bool same(const qn_str *a, const qn_str *b)
{
    return a->n == b->n && (a->n == 0 || memcmp(a->p, b->p, a->n) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    heard whole = {0}, pieces = {0};
    if (size < 1)
        return 0;
    const char *p = (const char *)data + 1;
    feed(&whole, data[0], p, size - 1, size);
    feed(&pieces, data[0], p, size - 1, (size_t)data[0] % 16 + 1);
    if (!same(&whole.thought, &pieces.thought) ||
        !same(&whole.answer, &pieces.answer))
        abort();
    if (data[0] % 3 == 0 && whole.answer.n != size - 1)
        abort();
    qn_str_deinit(&whole.thought);
    qn_str_deinit(&whole.answer);
    qn_str_deinit(&pieces.thought);
    qn_str_deinit(&pieces.answer);
    return 0;
}
