/* The headers of whoever answers as the hub: each line in a block of its own
 * size, so that a read behind its end is seen. What comes out is bounded,
 * whatever they say. */
#include "hub/hub_head.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void feed(qn_hub_head *h, qn_http_reply *r, const uint8_t *p, size_t n)
{
    char *line = malloc(n ? n : 1);
    if (!line)
        return;
    memcpy(line, p, n);
    qn_hub_head_line(h, r, line, n);
    free(line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    qn_hub_head h = {0};
    qn_http_reply r = {0};
    for (size_t at = 0; at < size;) {
        const uint8_t *eol = memchr(data + at, '\n', size - at);
        size_t n = eol ? (size_t)(eol + 1 - (data + at)) : size - at;
        bool linked = h.linked;
        char etag[sizeof r.etag];
        memcpy(etag, r.etag, sizeof etag);
        feed(&h, &r, data + at, n);
        if (strnlen(r.etag, sizeof r.etag) == sizeof r.etag ||
            strnlen(r.commit, sizeof r.commit) == sizeof r.commit ||
            strnlen(r.code, sizeof r.code) == sizeof r.code)
            abort();
        if (h.status < 0 || h.status > 999 || r.wait_s < 0 ||
            r.wait_s > 1000000 || (linked && !h.linked))
            abort();
        /* a linked file's etag is not replaced by that of where it lies */
        if (linked && strcmp(etag, r.etag) != 0 &&
            (n < 2 || (data[at] | 0x20) != 'x'))
            abort();
        at += n;
    }
    qn_http_reply_deinit(&r);
    return 0;
}
