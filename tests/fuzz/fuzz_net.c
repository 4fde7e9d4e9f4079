/* fuzz_net.c: a whole network. The input is config.json on one line and then
 * the header of a safetensors file; the weights are made up. What opens has to
 * compute a prompt and a token after it. */
#include "fuzz_ckpt.h"

#include "base/json.h"
#include "model/model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    MAX_DATA = 4 << 20,
    MAX_PLAN = 256 << 20,
    N_PROMPT = 5,
    N_PAGES = 2
};

/* Where the header says that the last tensor ends. */
static uint64_t data_bytes(const char *header, size_t n)
{
    uint64_t end = 0;
    const char *name;
    json_t *o = NULL, *t;

    if (qn_json_parse(&o, header, n, "header", NULL) < 0)
        return 0;
    json_object_foreach(o, name, t)
    {
        json_t *at = json_array_get(json_object_get(t, "data_offsets"), 1);
        end = QN_MAX(end, (uint64_t)json_integer_value(at));
    }
    json_decref(o);
    return end;
}

/* Length, header, and data that are small numbers as f32, f16 and bf16. */
static void put_weights(const char *header, size_t n, size_t n_data)
{
    static uint8_t file[MAX_DATA + (1 << 20)];
    uint32_t x = 1;

    if (n > sizeof file - MAX_DATA - 8)
        n = sizeof file - MAX_DATA - 8;
    for (int i = 0; i < 8; i++)
        file[i] = (uint8_t)((uint64_t)n >> 8 * i);
    memcpy(file + 8, header, n);
    for (size_t i = 0; i < n_data; i++) {
        x = x * 1664525u + 1013904223u;
        file[8 + n + i] = (uint8_t)(i % 2 ? 0x3c | (x >> 24 & 0x81) : x >> 24);
    }
    fuzz_put("model.safetensors", file, 8 + n + n_data);
}

static void step(qn_pass *pass, const qn_net *net, int pos, int n_row)
{
    static const int32_t pages[N_PAGES] = {1, 0};
    int32_t tokens[N_PROMPT], at[N_PROMPT], out = n_row - 1;
    qn_span span = {.n_row = n_row,
                    .pos0 = pos,
                    .rope_len = pos + n_row,
                    .pages = {pages, pages}};
    qn_batch batch = {.n_row = n_row,
                      .tokens = tokens,
                      .pos = at,
                      .n_span = 1,
                      .spans = &span,
                      .n_out = 1,
                      .out_rows = &out};
    const float *logits;
    qn_err err;

    for (int i = 0; i < n_row; i++) {
        at[i] = pos + i;
        tokens[i] = (7 * at[i] + 1) % qn_net_hparams(net)->n_vocab;
    }
    if (qn_pass_forward(pass, &batch, &logits, &err) < 0 && !err.msg[0])
        abort();
}

static void compute(qn_net *net)
{
    qn_pass_params pp = {.n_pages = {N_PAGES, N_PAGES},
                         .max_rows = N_PROMPT,
                         .max_out = 1,
                         .max_spans = 1,
                         .n_slots = 1,
                         .kv_dtype = qn_net_kv_auto(net)};
    qn_pass *pass;
    qn_plan plan;
    qn_err err;

    qn_net_plan(net, &pp, &plan);
    if (plan.total > MAX_PLAN || qn_net_max_positions(net) <= N_PROMPT ||
        qn_pass_new(&pass, net, &pp, &err) < 0)
        return;
    step(pass, net, 0, N_PROMPT);
    step(pass, net, N_PROMPT, 1);
    qn_pass_free(pass);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static qn_backend *be;
    qn_backend_params bp = {.n_threads = 1, .isa = QN_ISA_REF};
    qn_net_params np = {.memory_limit = MAX_PLAN};
    const uint8_t *line = memchr(data, '\n', size);
    qn_ckpt *ck;
    qn_net *net;
    qn_err err;

    if (!line || (!be && qn_backend_open(&be, "cpu", &bp, NULL) < 0))
        return 0;
    const char *header = (const char *)line + 1;
    size_t n = size - (size_t)(line + 1 - data);
    uint64_t n_data = data_bytes(header, n);
    if (n_data > MAX_DATA)
        return 0;
    fuzz_put("config.json", data, (size_t)(line - data));
    put_weights(header, n, (size_t)n_data);
    if (qn_ckpt_open(&ck, fuzz_dir, &err) < 0)
        return 0;
    if (qn_net_open(&net, ck, be, &np, &err) == 0) {
        compute(net);
        qn_net_close(net);
    } else if (!err.msg[0]) {
        abort();
    }
    qn_ckpt_close(ck);
    return 0;
}
