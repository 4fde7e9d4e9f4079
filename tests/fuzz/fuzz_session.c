/* fuzz_session.c: the file of a session. If the first byte is odd the checksums
 * are made right first, so that what lies behind them is reached. What is
 * accepted lies within the file. */
#include "engine/session_file.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const qn_session_shape shape = {
        .page_tokens = 4, .page_bytes = 24, .model = {1, 2}, .n_vocab = 100};
    qn_err err = {0};
    qn_session_view v;
    if (size < 1)
        return 0;
    size_t n = size - 1;
    char *p = malloc(n + 1);
    if (!p)
        return 0;
    memcpy(p, data + 1, n);
    if (data[0] & 1 && n >= QN_SESSION_HEADER)
        qn_session_seal(p, n, &shape, data[0] / 2);
    if (qn_session_parse(p, n, "session", &shape, &v, &err) == 0) {
        size_t n_tokens = (size_t)v.n_pages * shape.page_tokens;
        const char *end = v.pages + v.n_pages * shape.page_bytes;
        if (end != p + n || v.pages != (const char *)(v.tokens + n_tokens))
            abort();
        for (size_t i = 0; i < n_tokens; i++)
            if (v.tokens[i] < 0 || v.tokens[i] >= shape.n_vocab)
                abort();
    } else if (!err.msg[0]) {
        abort();
    }
    free(p);
    return 0;
}
