/* fuzz_logits.c: stored logits of a base model. What is accepted gives as many
 * rows as the text has scored positions. */
#include "fuzz_ckpt.h"

#include "eval/logits_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    N_VOCAB = 3,
    N_TOKENS = 5
};

static volatile float sink; /* each is read: sanitizers look */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int32_t ids[N_TOKENS] = {1, 2, 0, 1, 2};
    qn_doc doc = {0, N_TOKENS};
    qn_corpus c = {
        .n_scored = N_TOKENS - 1, .context = 8, .stride = 8, .bos = -1};
    qn_logits_reader *r = NULL;
    const float *rows;
    qn_err err = {0};
    size_t total = 0;
    int n, rc;

    c.ids.v = ids;
    c.ids.n = N_TOKENS;
    c.docs.v = &doc;
    c.docs.n = 1;
    rc = qn_logits_reader_new(&r, fuzz_file(data, size), &c, N_VOCAB, &err);
    if (rc < 0 && !err.msg[0])
        abort();
    if (rc < 0)
        return 0;
    (void)qn_logits_reader_model(r);
    while ((rc = qn_logits_reader_step(r, &rows, &n, &err)) > 0) {
        for (int i = 0; i < n * N_VOCAB; i++)
            sink = rows[i];
        total += (size_t)n;
    }
    if (rc < 0 || total != c.n_scored)
        abort();
    qn_logits_reader_free(r);
    return 0;
}
