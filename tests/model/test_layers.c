/* config.json to layers: which slide, rotate, recur, and their heads, scales and
 * frequencies. */
#include "small_config.h"

#include "model/rope.h"

#include <math.h>

static void test_windows(void **state)
{
    (void)state;
    qn_hparams hp;
    read_ok(&hp, "cwm", "{\"sliding_window\": 9}");
    assert_int_equal(hp.layer[0].window, 0); /* the first of four */
    assert_int_equal(hp.layer[1].window, 9);
    assert_int_equal(hp.layer[3].window, 9);
    assert_int_equal(hp.rope[0].scaling, QN_ROPE_LLAMA3);
    qn_hparams_deinit(&hp);
    read_ok(&hp, "qwen2", "{\"sliding_window\": 9, \"max_window_layers\": 2}");
    assert_int_equal(hp.layer[3].window, 0); /* use_sliding_window: false */
    qn_hparams_deinit(&hp);
    read_ok(&hp, "qwen2",
            "{\"sliding_window\": 9, \"max_window_layers\": 2,"
            " \"use_sliding_window\": true}");
    assert_int_equal(hp.layer[1].window, 0);
    assert_int_equal(hp.layer[2].window, 9);
    qn_hparams_deinit(&hp);
    read_ok(&hp, "gemma2",
            "{\"sliding_window\": 9, \"layer_types\": [\"full_attention\","
            "\"full_attention\", \"sliding_attention\", \"full_attention\"]}");
    assert_int_equal(hp.layer[0].window, 0);
    assert_int_equal(hp.layer[2].window, 9);
    qn_hparams_deinit(&hp);
}

/* GPT-Neo lists kinds by groups, EXAONE by letters. */
static void test_patterns(void **state)
{
    (void)state;
    qn_hparams hp;
    read_ok(&hp, "gpt_neo",
            "{\"attention_types\": [[[\"global\", \"local\"], 2]],"
            " \"window_size\": 7, \"num_key_value_heads\": null}");
    assert_int_equal(hp.layer[2].window, 0);
    assert_int_equal(hp.layer[3].window, 7);
    assert_true(hp.layer[3].attn_scale == 1);
    qn_hparams_deinit(&hp);
    read_fails("gpt_neo", "{\"attention_types\": [[[\"global\"], 999999999]]}",
               QN_EFORMAT, "4 layers");
    read_ok(&hp, "exaone4", "{\"sliding_window_pattern\": \"LLG\"}");
    assert_int_equal(hp.layer[1].window, 4096);
    assert_int_equal(hp.layer[1].rope, 0);
    assert_int_equal(hp.layer[2].window, 0);
    assert_int_equal(hp.layer[2].rope, -1);
    qn_hparams_deinit(&hp);
    read_fails("exaone4", "{\"sliding_window_pattern\": \"GLG\"}", QN_EFORMAT,
               "LLLG");
    read_ok(&hp, "smollm3", NULL);
    assert_int_equal(hp.layer[2].rope, 0);
    assert_int_equal(hp.layer[3].rope, -1);
    qn_hparams_deinit(&hp);
}

/* Falcon's three ways to share keys and values, and its norms. */
static void test_falcon_heads(void **state)
{
    (void)state;
    qn_hparams hp;
    const char *odd = "\"num_key_value_heads\": null";
    char text[200];
    read_ok(&hp, "falcon", NULL);
    assert_int_equal(hp.n_kv, 1);
    assert_true(hp.parallel && hp.shared_norm && !hp.qkv_bias);
    qn_hparams_deinit(&hp);
    snprintf(text, sizeof text, "{%s, \"multi_query\": false}", odd);
    read_ok(&hp, "falcon", text);
    assert_int_equal(hp.n_kv, 4);
    qn_hparams_deinit(&hp);
    snprintf(text, sizeof text,
             "{%s, \"num_kv_heads\": 2, \"new_decoder_architecture\": true}",
             odd);
    read_ok(&hp, "falcon", text);
    assert_int_equal(hp.n_kv, 2);
    assert_false(hp.shared_norm);
    qn_hparams_deinit(&hp);
}

static void test_gpt2_scales(void **state)
{
    (void)state;
    qn_hparams hp;
    read_ok(&hp, "gpt2", "{\"scale_attn_by_inverse_layer_idx\": true}");
    assert_true(hp.layer[0].attn_scale == 0.25f);
    assert_true(hp.layer[3].attn_scale == 0.0625f);
    qn_hparams_deinit(&hp);
    read_ok(&hp, "gpt2",
            "{\"scale_attn_weights\": false, \"intermediate_size\": null,"
            " \"n_inner\": null}");
    assert_true(hp.layer[3].attn_scale == 1);
    assert_int_equal(hp.d_ff, 256);
    qn_hparams_deinit(&hp);
}

static void expect_freqs(const qn_rope_hp *r, int64_t len, const double *want)
{
    float *got = malloc((size_t)r->n_freq * sizeof *got);
    qn_rope_freqs(r, len, got);
    for (int i = 0; i < r->n_freq; i++) {
        if (!(fabs((double)got[i] - want[i]) <= 4e-7 * want[i]))
            fail_msg("frequency %d: %.9g, not %.9g", i, (double)got[i],
                     want[i]);
    }
    free(got);
}

/* Two sets of factors, by length (LongRoPE); the file's own spelling "su". */
static void test_longrope(void **state)
{
    (void)state;
    qn_hparams hp;
    double s[8], l[8];
    read_ok(&hp, "phi3",
            "{\"original_max_position_embeddings\": 32, \"rope_theta\": 100,"
            " \"rope_scaling\": {\"type\": \"su\","
            " \"short_factor\": [1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5],"
            " \"long_factor\": [2, 4, 6, 8, 10, 12, 14, 16]}}");
    for (int i = 0; i < 8; i++) {
        s[i] = 1 / ((1 + 0.5 * i) * pow(100, i / 8.0));
        l[i] = 1 / ((2 + 2 * i) * pow(100, i / 8.0));
    }
    expect_freqs(&hp.rope[0], 32, s);
    expect_freqs(&hp.rope[0], 33, l);
    double scale = sqrt(1 + log(128.0 / 32) / log(32));
    assert_true(fabs((double)hp.rope[0].table_scale - scale) < 1e-6);
    assert_true(qn_rope_by_length(&hp.rope[0]));
    qn_hparams_deinit(&hp);
}

/* NTK by length: up to the trained length nothing changes. */
static void test_dynamic(void **state)
{
    (void)state;
    qn_hparams hp;
    double plain[8], grown[8];
    read_ok(&hp, "llama",
            "{\"rope_scaling\": {\"type\": \"dynamic\", \"factor\": 2}}");
    double theta = 10000 * pow(2 * 200 / 128.0 - 1, 16 / 14.0);
    for (int i = 0; i < 8; i++) {
        plain[i] = pow(10000, -i / 8.0);
        grown[i] = pow(theta, -i / 8.0);
    }
    expect_freqs(&hp.rope[0], 128, plain);
    expect_freqs(&hp.rope[0], 200, grown);
    qn_hparams_deinit(&hp);
}

static void test_yarn_scale(void **state)
{
    (void)state;
    qn_hparams hp;
    read_ok(&hp, "llama",
            "{\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 8}}");
    assert_true(fabs((double)hp.rope[0].table_scale - (0.1 * log(8) + 1)) <
                1e-6);
    qn_hparams_deinit(&hp);
    read_ok(&hp, "llama",
            "{\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 8,"
            " \"mscale\": 1.0, \"mscale_all_dim\": 0.5}}");
    double want = (0.1 * log(8) + 1) / (0.05 * log(8) + 1);
    assert_true(fabs((double)hp.rope[0].table_scale - want) < 1e-6);
    qn_hparams_deinit(&hp);
    read_ok(&hp, "llama",
            "{\"rope_parameters\": {\"rope_type\": \"yarn\", \"factor\": 8,"
            " \"attention_factor\": 1.25, \"rope_theta\": 1e6,"
            " \"original_max_position_embeddings\": 16}}");
    assert_true(hp.rope[0].table_scale == 1.25f);
    assert_int_equal(hp.rope[0].orig_ctx, 16);
    qn_hparams_deinit(&hp);
}

/* Rows name only keys that exist, and each family can be filled. */
/* "a" attends, "r" recurs, "f" has a feed-forward, "m" one of experts. */
static void expect_layers(const char *type, const char *with,
                          const char *const want[4])
{
    qn_hparams hp;
    read_ok(&hp, type, with);
    assert_int_equal(hp.n_layer, 4);
    for (int i = 0; i < 4; i++) {
        const qn_layer_hp *l = &hp.layer[i];
        char got[8];
        snprintf(got, sizeof got, "%s%s%s", l->attn ? "a" : "",
                 l->rec ? "r" : "",
                 !l->ff   ? ""
                 : l->moe ? "m"
                          : "f");
        if (strcmp(got, want[i]) != 0)
            fail_msg("%s layer %d: %s, not %s", type, i, got, want[i]);
    }
    qn_hparams_deinit(&hp);
}

static void test_layer_kinds(void **state)
{
    (void)state;
    expect_layers("llama", NULL, (const char *[]){"af", "af", "af", "af"});
    expect_layers("mamba", NULL, (const char *[]){"r", "r", "r", "r"});
    expect_layers("falcon_h1", "{\"mamba_d_ssm\": 64, \"mamba_n_heads\": 8}",
                  (const char *[]){"arf", "arf", "arf", "arf"});
    expect_layers("jamba",
                  "{\"attn_layer_period\": 3, \"attn_layer_offset\": 1,"
                  " \"num_experts\": 4}",
                  (const char *[]){"rf", "am", "rf", "rm"});
    expect_layers("jamba", "{\"num_experts\": 1, \"num_experts_per_tok\": 1}",
                  (const char *[]){"rf", "rf", "rf", "rf"});
    expect_layers("nemotron_h",
                  "{\"hybrid_override_pattern\": \"M*-E\","
                  " \"mamba_num_heads\": 8}",
                  (const char *[]){"r", "a", "f", "m"});
    expect_layers("nemotron_h",
                  "{\"num_hidden_layers\": 9, \"layers_block_type\":"
                  " [\"mamba\", \"moe\", \"full_attention\", \"mlp\"],"
                  " \"mamba_num_heads\": 8}",
                  (const char *[]){"r", "m", "a", "f"});
    expect_layers("lfm2", "{\"full_attn_idxs\": [1, 3]}",
                  (const char *[]){"rf", "af", "rf", "af"});
    expect_layers("lfm2", NULL, (const char *[]){"af", "af", "af", "af"});
    expect_layers("qwen3_5_text", "{\"full_attention_interval\": 2}",
                  (const char *[]){"rf", "af", "rf", "af"});
    expect_layers("granitemoehybrid",
                  "{\"num_local_experts\": 0, \"mamba_n_heads\": 8,"
                  " \"layer_types\": [\"mamba\", \"attention\", \"mamba\","
                  " \"mamba\"]}",
                  (const char *[]){"rf", "af", "rf", "rf"});
    read_fails("lfm2",
               "{\"layer_types\": [\"conv\", \"conv\", \"mlp\", \"conv\"]}",
               QN_EUNSUP, "layer 2");
    read_fails("mamba2",
               "{\"layer_types\": [\"mamba\", \"attention\", 1, 2],"
               " \"num_attention_heads\": 8}",
               QN_EUNSUP, "layer_types");
    read_fails("nemotron_h",
               "{\"hybrid_override_pattern\": \"--EE\","
               " \"mamba_num_heads\": 8}",
               QN_EFORMAT, "no layer");
    read_fails("nemotron_h",
               "{\"hybrid_override_pattern\": \"M?--\","
               " \"mamba_num_heads\": 8}",
               QN_EUNSUP, "layer 1");
}

static void test_recurrence(void **state)
{
    (void)state;
    qn_hparams hp;
    read_ok(&hp, "mamba2",
            "{\"num_heads\": 4, \"num_attention_heads\": null,"
            " \"head_dim\": 32, \"n_groups\": 2, \"use_bias\": true,"
            " \"use_conv_bias\": false, \"time_step_limit\":"
            " [0.5, {\"__float__\": \"Infinity\"}]}");
    assert_int_equal(hp.rec.d_inner, 128);
    assert_int_equal(hp.rec.n_group, 2);
    assert_int_equal(hp.rec.norm_groups, 1);
    assert_true(hp.rec.in_bias && hp.rec.out_bias && !hp.rec.conv_bias);
    assert_true(hp.rec.dt_min == 0.5f && isinf(hp.rec.dt_max));
    qn_hparams_deinit(&hp);

    read_ok(&hp, "mamba",
            "{\"time_step_rank\": \"auto\","
            " \"intermediate_size\": null, \"expand\": 3}");
    assert_int_equal(hp.rec.dt_rank, 4);
    assert_int_equal(hp.rec.d_inner, 192);
    qn_hparams_deinit(&hp);

    read_ok(&hp, "falcon_h1",
            "{\"mamba_d_ssm\": null, \"mamba_d_head\": \"auto\","
            " \"mamba_n_heads\": 4, \"mamba_n_groups\": 2,"
            " \"mamba_rms_norm\": true, \"mamba_norm_before_gate\": false,"
            " \"mlp_multipliers\": [0.5, 0.25], \"key_multiplier\": 2,"
            " \"ssm_multipliers\": [1, 2, 3, 4, 5]}");
    assert_int_equal(hp.rec.d_head, 32);
    assert_int_equal(hp.rec.norm, QN_REC_NORM_AFTER_GATE);
    assert_int_equal(hp.rec.norm_groups, 2);
    assert_true(hp.ff_gate_scale == 0.5f && hp.ff_out_scale == 0.25f);
    assert_true(hp.rec.scale[4] == 5);
    assert_true(hp.layer[0].attn_scale == 2 / 4.0f);
    qn_hparams_deinit(&hp);

    read_ok(&hp, "lfm2", "{\"block_multiple_of\": 48, \"conv_bias\": true}");
    assert_int_equal(hp.d_ff, 96); /* 2/3 of it, in wholes of 48 */
    assert_true(hp.rec.in_bias && hp.rec.out_bias && hp.rec.conv_bias);
    qn_hparams_deinit(&hp);

    read_ok(&hp, "granitemoehybrid",
            "{\"mamba_n_heads\": 8, \"position_embedding_type\": \"rope\"}");
    assert_int_equal(hp.n_rope, 1);
    qn_hparams_deinit(&hp);
    read_ok(&hp, "granitemoehybrid", "{\"mamba_n_heads\": 8}");
    assert_int_equal(hp.pos, QN_POS_NONE);
    qn_hparams_deinit(&hp);

    read_fails("mamba2",
               "{\"num_attention_heads\": 8, \"time_step_limit\": [2, 1]}",
               QN_EFORMAT, "time_step_limit");
    read_fails("falcon_h1", "{\"mamba_n_heads\": 7}", QN_EFORMAT,
               "mamba_n_heads");
    read_fails("falcon_h1",
               "{\"mamba_n_heads\": 8, \"ssm_multipliers\": [1, 2]}",
               QN_EFORMAT, "ssm_multipliers");
    read_fails("nemotron_h",
               "{\"hybrid_override_pattern\": \"M*-E\","
               " \"mamba_num_heads\": 8, \"moe_latent_size\": 16}",
               QN_EUNSUP, "moe_latent_size");
}

/* All heads attend with one latent key, whose beginning is the value. */
static void test_latent(void **state)
{
    (void)state;
    qn_hparams hp;
    read_ok(
        &hp, "deepseek_v3",
        "{\"kv_lora_rank\": 24, \"q_lora_rank\": 32, \"qk_nope_head_dim\": 16,"
        " \"qk_rope_head_dim\": 8, \"v_head_dim\": 20}");
    assert_int_equal(hp.d_head, 24);
    assert_int_equal(hp.d_v, 20);
    for (int i = 0; i < hp.n_layer; i++) {
        assert_int_equal(hp.layer[i].n_kv, 1);
        assert_int_equal(hp.layer[i].d_head, 32);
        assert_int_equal(hp.layer[i].d_v, 24);
    }
    qn_hparams_deinit(&hp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_windows),      cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_falcon_heads), cmocka_unit_test(test_gpt2_scales),
        cmocka_unit_test(test_longrope),     cmocka_unit_test(test_dynamic),
        cmocka_unit_test(test_yarn_scale),   cmocka_unit_test(test_layer_kinds),
        cmocka_unit_test(test_recurrence),   cmocka_unit_test(test_latent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
