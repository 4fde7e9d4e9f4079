/* gguf_numbers.c: numbers of the layers that are pairs in a GGUF file and
 * tensors everywhere else.
 *
 * Apertus keeps the four parameters of each layer's activation as arrays of
 * f32, or as one f32 for all layers. They lie in the file as the element of a
 * tensor would; so each is listed as one, blk.N.NAME of shape [1], whose data
 * is that place. What is above finds them by name like all others.
 */
#include "ckpt/gguf_int.h"

static const char *const numbers[][2] = {
    {"xielu.alpha_p", "xielu_alpha_p"},
    {"xielu.alpha_n", "xielu_alpha_n"},
    {"xielu.beta", "xielu_beta"},
    {"xielu.eps", "xielu_eps"},
};

/* A pair of a file whose pairs are not yet the checkpoint's. */
static const qn_gguf_kv *pair_of(const qn_gguf_meta *m, const char *end)
{
    for (size_t i = 0; i < m->n_kv_read; i++) {
        qn_view key = m->kv[i].key;
        size_t n = strlen(end);
        if (key.n >= n && memcmp(key.p + key.n - n, end, n) == 0)
            return &m->kv[i];
    }
    return NULL;
}

/* The place of the first number, how many there are and the bytes from one to
 * the next; false: it is not of f32. */
static bool place_of(const qn_gguf_meta *m, const qn_gguf_kv *kv,
                     uint64_t *offset, uint64_t *n, uint64_t *step)
{
    const qn_gguf_kv *layers = pair_of(m, ".block_count");

    *step = sizeof(float);
    *n = kv->n;
    if (kv->type == QN_GGUF_ARR && kv->elem_type == QN_GGUF_F32) {
        *offset = (uint64_t)((const char *)kv->v.data - m->buf);
        return true;
    }
    if (kv->type != QN_GGUF_F32 || !layers || !qn_gguf_as_u64(layers, n))
        return false;
    /* behind a scalar's key stand its type and the value */
    *offset = (uint64_t)(kv->key.p + kv->key.n - m->buf) + sizeof(uint32_t);
    *step = 0;
    return true;
}

static int add_number(qn_ckpt *ck, int file, const char *name, uint64_t layer,
                      uint64_t offset, qn_err *err)
{
    char text[64];
    int n = snprintf(text, sizeof text, "blk.%u.%s", (unsigned)layer, name);
    qn_tensor t = {.name = qn_arena_strndup(&ck->arena, text, (size_t)n),
                   .dtype = QN_F32,
                   .format = qn_dtype_get(QN_F32)->name,
                   .n_dims = 1,
                   .shape = {1},
                   .n_elems = 1,
                   .n_bytes = sizeof(float),
                   .file = file,
                   .offset = offset};

    return qn_ckpt_add_tensor(ck, &t, err);
}

int qn_gguf_add_numbers(qn_ckpt *ck, const qn_gguf_meta *m, int file,
                        qn_err *err)
{
    for (size_t i = 0; i < QN_COUNTOF(numbers); i++) {
        const qn_gguf_kv *kv = pair_of(m, numbers[i][0]);
        uint64_t offset, n, step;

        if (!kv || !place_of(m, kv, &offset, &n, &step))
            continue;
        n = QN_MIN(n, m->n_tensors); /* every layer has some */
        QN_TRY(qn_ckpt_reserve(ck, (size_t)n, err));
        for (uint64_t l = 0; l < n; l++)
            QN_TRY(
                add_number(ck, file, numbers[i][1], l, offset + l * step, err));
        ck->n_numbers += (size_t)n;
    }
    return 0;
}
