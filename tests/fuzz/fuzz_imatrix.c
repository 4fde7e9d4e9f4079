/* fuzz_imatrix.c: an importance matrix from a file. What is accepted has
 * weights that encoders can take. */
#include "fuzz_ckpt.h"

#include "quantize/imatrix.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    qn_imatrix im = {0};
    qn_err err = {0};
    char path[64];

    fuzz_put("x.gguf", data, size);
    snprintf(path, sizeof path, "%s/x.gguf", fuzz_dir);
    int rc = qn_imatrix_load(&im, path, &err);
    if (rc < 0 && !err.msg[0])
        abort();
    for (size_t i = 0; i < im.rows.n && rc == 0; i++) {
        const qn_imatrix_row *r = &im.rows.v[i];
        for (int64_t k = 0; k < r->n_mat * r->n_col; k++)
            if (!(r->mean[k] >= 0))
                abort();
    }
    qn_imatrix_deinit(&im);
    return 0;
}
