/* What a server sends back to `quern bench serve`. However the bytes are cut
 * into pieces, the same comes out, and it is bounded. */
#include "cli/reply.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Pieces of `piece` bytes, each in a block of its own size. */
static void feed(qn_reply *a, const uint8_t *data, size_t size, size_t piece)
{
    uint64_t now = 1;
    for (size_t at = 0; at < size; now++) {
        size_t n = QN_MIN(size - at, piece);
        char *p = malloc(n);
        if (!p)
            return;
        memcpy(p, data + at, n);
        bool more = qn_reply_feed(a, p, n, now);
        free(p);
        if (more != (!a->ended && !a->broken))
            abort();
        at += n;
    }
}

static void check(const qn_reply *a)
{
    qn_str why = {0};
    if (a->status != 0 && (a->status < 100 || a->status > 999))
        abort();
    if (a->n_out < 0 || a->n_prompt < 0 || (a->done && !a->ended) ||
        a->n_gaps != (a->n_texts ? a->n_texts - 1 : 0) ||
        (a->first != 0) != (a->n_texts > 0))
        abort();
    if (a->error.n > QN_REPLY_ERROR || a->line.n > QN_REPLY_LINE ||
        a->event.n > QN_REPLY_LINE)
        abort();
    qn_reply_why(a, &why);
    if (why.n > 400 || (why.n && strpbrk(why.p, "\r\n\033")))
        abort();
    qn_str_deinit(&why);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    qn_reply whole = {0}, pieces = {0};
    if (size < 1)
        return 0;
    feed(&whole, data + 1, size - 1, size);
    feed(&pieces, data + 1, size - 1, (size_t)data[0] % 64 + 1);
    check(&whole);
    check(&pieces);
    if (whole.status != pieces.status || whole.broken != pieces.broken ||
        whole.done != pieces.done || whole.ended != pieces.ended ||
        whole.n_texts != pieces.n_texts || whole.n_out != pieces.n_out ||
        whole.n_prompt != pieces.n_prompt || whole.error.n != pieces.error.n)
        abort();
    qn_reply_deinit(&whole);
    qn_reply_deinit(&pieces);
    return 0;
}
