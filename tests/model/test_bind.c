/* Finding tensors, loading them, and refusing wrong ones. */
#include "drive.h"
#include "remake.h"

#include "base/log.h"
#include "base/mem.h"

#include <unistd.h>

#define N_TOK 12

/* Logits of a fixed prompt; the caller frees. */
static float *logits_of(const char *path, int *n)
{
    drive d;
    drive_seq s;
    qn_err err = {0};
    int32_t tokens[N_TOK];
    if (drive_open(&d, path, NULL, &err) < 0)
        fail_msg("%s: %s", path, err.msg);
    for (int i = 0; i < N_TOK; i++)
        tokens[i] = (i * 53 + 7) % d.n_vocab;
    *n = N_TOK * d.n_vocab;
    float *out = malloc((size_t)*n * sizeof *out);
    drive_seq_init(&s, N_TOK);
    drive_prompt(&d, &s, tokens, N_TOK, 0, out);
    drive_close(&d);
    return out;
}

static void expect_same(remake *r, qn_dtype type, const char *model)
{
    int n, m;
    char *dir = remake_save(r, type, NULL);
    float *a = logits_of(qn_test_data(model), &n), *b = logits_of(dir, &m);
    assert_int_equal(n, m);
    assert_memory_equal(a, b, (size_t)n * sizeof *a);
    free(a);
    free(b);
    free(dir);
}

static void expect_refused(remake *r, qn_dtype type, const char *as, int code,
                           const char *text)
{
    char *dir = remake_save(r, type, as);
    drive d;
    qn_err err = {0};
    int rc = drive_open(&d, dir, NULL, &err);
    if (rc != code || !strstr(err.msg, text))
        fail_msg("%d \"%s\", not \"%s\"", rc, err.msg, text);
    free(dir);
}

#define LLAMA "models/llama"
#define UP "model.layers.1.mlp.up_proj.weight"

static void test_prefixes(void **state)
{
    static const char *const prefixes[][2] = {
        {"", "lm_head"},
        {"language_model.model.", "language_model.lm_head"},
        {"model.language_model.", "lm_head"},
        {"a.b.c.", "a.b.c.lm_head"},
    };
    (void)state;
    for (size_t i = 0; i < QN_COUNTOF(prefixes); i++) {
        remake r;
        remake_open(&r, qn_test_data(LLAMA));
        remake_rename(&r, "lm_head", prefixes[i][1]);
        remake_rename(&r, "model.embed", "embed");
        remake_rename(&r, "model.layers", "layers");
        remake_rename(&r, "model.norm", "norm");
        for (size_t t = 0; t < r.t.n; t++) {
            char name[160];
            if (strstr(r.t.v[t].name, "lm_head"))
                continue;
            snprintf(name, sizeof name, "%s", r.t.v[t].name);
            snprintf(r.t.v[t].name, sizeof name, "%s%.100s", prefixes[i][0],
                     name);
        }
        expect_same(&r, QN_F32, LLAMA);
        remake_close(&r);
    }
}

static void test_wrong_shape(void **state)
{
    (void)state;
    remake r;
    remake_open(&r, qn_test_data(LLAMA));
    remake_drop(&r, UP);
    remake_add(&r, UP, 2, (int64_t[]){160, 65});
    expect_refused(&r, QN_F32, NULL, QN_EFORMAT,
                   "tensor " UP ": config says [160, 64], file has [160, 65]");
    remake_close(&r);
}

static void test_missing(void **state)
{
    (void)state;
    remake r;
    remake_open(&r, qn_test_data(LLAMA));
    remake_drop(&r, UP);
    expect_refused(&r, QN_F32, NULL, QN_ENOENT,
                   "the tensor of up is missing; looked for " UP);
    remake_close(&r);
    remake_open(&r, qn_test_data(LLAMA));
    remake_drop(&r, "model.embed_tokens.weight");
    expect_refused(&r, QN_F32, NULL, QN_ENOENT, "embed_tokens.weight");
    remake_close(&r);
}

static void test_types(void **state)
{
    (void)state;
    remake r;
    remake_open(&r, qn_test_data(LLAMA));
    expect_refused(&r, QN_I8, "up_proj.weight", QN_EUNSUP, "i8");
    expect_refused(&r, QN_BOOL, "input_layernorm.weight", QN_EUNSUP, "bool");
    expect_same(&r, QN_F64, LLAMA); /* decoded to f32 */
    char *dir = remake_save(&r, QN_BF16, NULL);
    int n, m;
    float *a = logits_of(qn_test_data(LLAMA), &n), *b = logits_of(dir, &m);
    qn_test_close_max(b, a, (size_t)n, 0.1);
    free(a);
    free(b);
    free(dir);
    remake_close(&r);
}

/* What transformers 5 makes of Mixtral's experts in memory. */
static void test_stacked_experts(void **state)
{
    (void)state;
    remake r;
    remake_open(&r, qn_test_data("models/mixtral"));
    for (int l = 0; l < 2; l++) {
        char name[160];
        static const char *const dst[] = {"gate_up_proj", "gate_up_proj",
                                          "down_proj"};
        static const char *const src[] = {"w1", "w3", "w2"};
        const size_t one = 64 * 64;
        for (int w = 0; w < 3; w++) {
            snprintf(name, sizeof name, "model.layers.%d.mlp.experts.%s", l,
                     dst[w]);
            if (!remake_has(&r, name))
                remake_add(&r, name, 3, (int64_t[]){4, w < 2 ? 128 : 64, 64});
            for (int e = 0; e < 4; e++) {
                char old[200];
                snprintf(
                    old, sizeof old,
                    "model.layers.%d.block_sparse_moe.experts.%d.%s.weight", l,
                    e, src[w]);
                size_t at = w == 2 ? (size_t)e * one
                                   : (2 * (size_t)e + (size_t)w) * one;
                memcpy(remake_get(&r, "%s", name)->v + at,
                       remake_get(&r, "%s", old)->v, one * sizeof(float));
                remake_drop(&r, old);
            }
        }
    }
    remake_rename(&r, "block_sparse_moe.gate", "mlp.gate");
    expect_same(&r, QN_F32, "models/mixtral");
    remake_close(&r);
}

static void test_left_out(void **state)
{
    (void)state;
    remake r;
    remake_open(&r, qn_test_data(LLAMA));
    remake_add(&r, "vision.patch.weight", 1, (int64_t[]){3});
    remake_add(&r, "model.layers.0.self_attn.rotary_emb.inv_freq", 1,
               (int64_t[]){8});
    char *dir = remake_save(&r, QN_F32, NULL);
    drive d;
    assert_int_equal(drive_open(&d, dir, NULL, NULL), 0);
    json_t *info = json_object();
    assert_int_equal(qn_net_info(d.net, info, NULL), 0);
    const json_t *out = json_object_get(info, "ignored_tensors");
    assert_int_equal(json_array_size(out), 1);
    assert_string_equal(json_string_value(json_array_get(out, 0)),
                        "vision.patch.weight");
    assert_int_equal(json_integer_value(json_object_get(info, "parameters")),
                     195008);
    assert_string_equal(json_string_value(json_object_get(info, "family")),
                        "llama");
    json_decref(info);
    drive_close(&d);
    free(dir);
    remake_close(&r);
}

/* Cuts the file short, once its first matrix is there. */
static bool cut_now(void *user, uint64_t done, uint64_t total)
{
    (void)total;
    assert_true(done > 0);
    assert_int_equal(truncate(user, 1000), 0);
    return true;
}

static bool stop_after(void *user, uint64_t done, uint64_t total)
{
    uint64_t *last = user;
    assert_true(done >= last[0] && done <= total);
    last[0] = done;
    last[1] = total;
    return last[2] != 1;
}

static void test_opening(void **state)
{
    (void)state;
    qn_ckpt *ck;
    qn_backend *be;
    qn_net *net;
    qn_err err = {0};
    qn_backend_params bp = {.n_threads = 2, .isa = QN_ISA_N - 1};
    assert_int_equal(qn_ckpt_open(&ck, qn_test_data(LLAMA), &err), 0);
    assert_int_equal(qn_backend_open(&be, "cpu", &bp, &err), 0);

    qn_net_params p = {.memory_limit = 1000};
    assert_int_equal(qn_net_open(&net, ck, be, &p, &err), QN_ENOMEM);
    assert_non_null(strstr(err.msg, "the weights need 76"));
    assert_non_null(strstr(err.msg, "1000 B are allowed"));

    uint64_t seen[3] = {0, 0, 1};
    p = (qn_net_params){.progress = stop_after, .progress_user = seen};
    assert_int_equal(qn_net_open(&net, ck, be, &p, &err), QN_ECANCEL);
    assert_int_equal(qn_big_used(QN_MEM_WEIGHTS), 0);
    seen[0] = seen[2] = 0;
    assert_int_equal(qn_net_open(&net, ck, be, &p, &err), 0);
    assert_true(seen[0] == seen[1] && seen[1] > 700000);
    qn_net_close(net);

    p = (qn_net_params){.no_weights = true, .memory_limit = 1};
    assert_int_equal(qn_net_open(&net, ck, be, &p, &err), 0);
    assert_int_equal(qn_big_used(QN_MEM_WEIGHTS), 0);
    qn_net_close(net);
    qn_backend_close(be);
    qn_ckpt_close(ck);
}

/* A file that is cut short after it was opened, before or while it is read, is
 * an error, not the end. */
static void expect_cut_short(bool at_once)
{
    qn_ckpt *ck;
    qn_backend *be;
    qn_net *net;
    qn_err err = {0};
    qn_backend_params bp = {.n_threads = at_once ? 2 : 1, .isa = QN_ISA_N - 1};
    remake r;
    char path[4200];
    remake_open(&r, qn_test_data(LLAMA));
    char *dir = remake_save(&r, QN_F32, NULL);
    assert_int_equal(qn_ckpt_open(&ck, dir, &err), 0);
    assert_int_equal(qn_backend_open(&be, "cpu", &bp, &err), 0);
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    qn_net_params p = {.progress = cut_now, .progress_user = path};
    if (at_once)
        assert_int_equal(truncate(path, 300000), 0);
    assert_int_equal(qn_net_open(&net, ck, be, at_once ? NULL : &p, &err),
                     QN_EFORMAT);
    assert_non_null(strstr(err.msg, "cut short"));
    assert_non_null(strstr(err.msg, "model.safetensors"));
    assert_int_equal(qn_big_used(QN_MEM_WEIGHTS), 0);
    qn_backend_close(be);
    qn_ckpt_close(ck);
    remake_close(&r);
    free(dir);
}

static void test_cut_short(void **state)
{
    (void)state;
    expect_cut_short(true);
    expect_cut_short(false);
}

/* The plan and what is then allocated are the same bytes. */
static void test_plan(void **state)
{
    (void)state;
    qn_ckpt *ck;
    qn_backend *be;
    qn_net *net;
    qn_pass *pass;
    qn_err err = {0};
    qn_backend_params bp = {.n_threads = 1, .isa = QN_ISA_N - 1};
    assert_int_equal(qn_ckpt_open(&ck, qn_test_data("models/gemma2"), &err), 0);
    assert_int_equal(qn_backend_open(&be, "cpu", &bp, &err), 0);
    qn_net_params np = {.memory_limit = 16 << 20};
    assert_int_equal(qn_net_open(&net, ck, be, &np, &err), 0);
    assert_int_equal(qn_net_n_kv_groups(net), 2);
    assert_int_equal(qn_net_kv_window(net, 0), 0);
    assert_int_equal(qn_net_kv_window(net, 1), 16);
    qn_pass_params pp = {.n_pages = {8, 4},
                         .max_rows = 32,
                         .max_out = 4,
                         .max_spans = 2,
                         .kv_dtype = QN_KV_CELL_F32};
    qn_plan plan;
    qn_net_plan(net, &pp, &plan);
    assert_int_equal(plan.weights, qn_big_used(QN_MEM_WEIGHTS));
    assert_int_equal(plan.n_ctx, 8 * be->api->page_tokens);
    uint64_t ws = qn_big_used(QN_MEM_WORKSPACE);
    assert_int_equal(qn_pass_new(&pass, net, &pp, &err), 0);
    assert_int_equal(plan.kv, qn_big_used(QN_MEM_KV));
    assert_int_equal(plan.workspace, qn_big_used(QN_MEM_WORKSPACE) - ws);
    assert_int_equal(plan.logits, qn_big_used(QN_MEM_LOGITS));
    qn_pass_free(pass);
    pp.n_pages[0] = 1 << 20;
    assert_int_equal(qn_pass_new(&pass, net, &pp, &err), QN_ENOMEM);
    assert_non_null(strstr(err.msg, "positions"));
    qn_net_close(net);
    qn_backend_close(be);
    qn_ckpt_close(ck);
}

static void test_batch_limits(void **state)
{
    (void)state;
    drive d;
    qn_err err = {0};
    const float *logits;
    int32_t page[8] = {0, 1, 2, 3, 4, 5, 6, 7}, token = 3, pos = 0, row = 0;
    qn_span span = {.n_row = 1, .rope_len = 1, .pages = {page, page}};
    qn_batch b = {.n_row = 1,
                  .tokens = &token,
                  .pos = &pos,
                  .n_span = 1,
                  .spans = &span,
                  .n_out = 1,
                  .out_rows = &row};
    assert_int_equal(drive_open(&d, qn_test_data("models/gpt2"), NULL, &err),
                     0);
    assert_int_equal(qn_pass_forward(d.pass, &b, &logits, &err), 0);
    token = 512;
    assert_int_equal(qn_pass_forward(d.pass, &b, &logits, &err), QN_EINVAL);
    assert_non_null(strstr(err.msg, "512"));
    token = -1;
    assert_int_equal(qn_pass_forward(d.pass, &b, &logits, &err), QN_EINVAL);
    token = 0;
    pos = 256; /* the table of positions ends there */
    assert_int_equal(qn_pass_forward(d.pass, &b, &logits, &err), QN_ELIMIT);
    pos = 0;
    b.n_row = 65;
    assert_int_equal(qn_pass_forward(d.pass, &b, &logits, &err), QN_ELIMIT);
    drive_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prefixes),
        cmocka_unit_test(test_wrong_shape),
        cmocka_unit_test(test_missing),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_stacked_experts),
        cmocka_unit_test(test_left_out),
        cmocka_unit_test(test_opening),
        cmocka_unit_test(test_cut_short),
        cmocka_unit_test(test_plan),
        cmocka_unit_test(test_batch_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
