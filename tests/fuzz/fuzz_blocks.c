/* fuzz_blocks.c: what a block format makes of any bytes, and the bytes as
 * numbers what an encoder makes of them: NaN, infinities, nothing but zeros.
 * The first byte chooses the format. */
#include "base/mem.h"
#include "tensor/dtype.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void decode(const qn_dtype_row *row, const uint8_t *p, size_t size)
{
    size_t n = size / (size_t)row->block_bytes * (size_t)row->block_elems;
    float *f = qn_xcalloc(n + 1, sizeof *f);

    row->decode(p, f, n);
    free(f);
}

/* What was encoded is decoded. */
static void encode(const qn_dtype_row *row, const uint8_t *p, size_t size)
{
    size_t n_block = size / sizeof(float) / (size_t)row->block_elems;
    size_t n = n_block * (size_t)row->block_elems;
    float *f = qn_xcalloc(n + 1, sizeof *f), *weight = NULL;
    uint8_t *blocks = qn_xcalloc(n_block + 1, (size_t)row->block_bytes);

    if (n)
        memcpy(f, p, n * sizeof *f);
    row->encode(f, blocks, n);
    row->decode(blocks, f, n);
    if (row->encode_weighted) {
        weight = qn_xcalloc(n + 1, sizeof *weight);
        for (size_t i = 0; i < n; i++)
            weight[i] = p[i];
        if (n)
            memcpy(f, p, n * sizeof *f);
        row->encode_weighted(f, weight, blocks, n);
    }
    free(weight);
    free(blocks);
    free(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 1 << 14)
        return 0;
    const qn_dtype_row *row = qn_dtype_get((qn_dtype)(data[0] % QN_DTYPE_N));
    if (row->decode)
        decode(row, data + 1, size - 1);
    if (row->decode && row->encode)
        encode(row, data + 1, size - 1);
    return 0;
}
