/* config.json to hyper-parameters: any JSON object gives features whose
 * numbers are in range, or an error. */
#include "base/json.h"
#include "model/hparams.h"
#include "model/rope.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *o;
    qn_hparams hp;
    qn_err err = {0};
    if (qn_json_parse(&o, (const char *)data, size, "config.json", &err) < 0)
        return 0;
    if (qn_hparams_read(&hp, o, &err) == 0) {
        for (int i = 0; i < hp.n_rope; i++) {
            int n = hp.rope[i].n_freq;
            float *f = calloc((size_t)n, sizeof *f);
            qn_rope_freqs(&hp.rope[i], 1000, f);
            for (int j = 0; j < n; j++) {
                if (!(f[j] >= 0)) /* a NaN would poison everything */
                    abort();
            }
            free(f);
        }
        if (hp.n_head % hp.n_kv != 0 || !hp.layer)
            abort();
        qn_hparams_deinit(&hp);
    }
    json_decref(o);
    return 0;
}
