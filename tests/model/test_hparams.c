/* config.json to features: spellings, defaults, what is refused and how. */
#include "small_config.h"

#include "base/json.h"
#include "model/families.h"

static void test_spellings(void **state)
{
    (void)state;
    qn_hparams hp;
    read_ok(&hp, "llama", NULL);
    assert_int_equal(hp.d_head, 16);
    assert_int_equal(hp.n_kv, 2);
    assert_true(hp.rope[0].theta == 10000);
    assert_false(hp.tied);
    assert_int_equal(hp.bos_id, -1);
    qn_hparams_deinit(&hp);

    read_ok(&hp, "llama",
            "{\"num_key_value_heads\": null, \"head_dim\": 32,"
            " \"rope_theta\": 5e5, \"tie_word_embeddings\": true,"
            " \"eos_token_id\": [2, 7], \"bos_token_id\": 1}");
    assert_int_equal(hp.n_kv, 4);
    assert_int_equal(hp.d_head, 32);
    assert_true(hp.rope[0].theta == 5e5);
    assert_true(hp.tied);
    assert_int_equal(hp.n_eos, 2);
    assert_int_equal(hp.eos_ids[1], 7);
    qn_hparams_deinit(&hp);

    read_ok(&hp, "gpt_neox",
            "{\"rotary_pct\": 0.5, \"rotary_emb_base\": 500,"
            " \"num_key_value_heads\": null}");
    assert_int_equal(hp.rope[0].n_freq, 4);
    assert_true(hp.rope[0].theta == 500);
    assert_true(hp.qkv_bias && hp.o_bias && hp.parallel);
    qn_hparams_deinit(&hp);
}

static void test_class_defaults(void **state)
{
    (void)state;
    qn_hparams hp;
    read_ok(&hp, "mistral", NULL); /* absent: 4096; null: none */
    assert_int_equal(hp.layer[3].window, 4096);
    qn_hparams_deinit(&hp);
    read_ok(&hp, "mistral", "{\"sliding_window\": null}");
    assert_int_equal(hp.layer[3].window, 0);
    qn_hparams_deinit(&hp);

    read_ok(&hp, "gemma2", NULL);
    assert_true(hp.attn_softcap == 50 && hp.logit_softcap == 30);
    assert_int_equal(hp.d_head, 256);
    assert_int_equal(hp.layer[0].window, 4096);
    assert_int_equal(hp.layer[1].window, 0);
    assert_true(hp.embed_scale == 8 && hp.tied);
    qn_hparams_deinit(&hp);

    json_t *o = json_loads("{\"model_type\": \"gemma3\", \"text_config\":"
                           "{\"num_hidden_layers\": 7, \"sliding_window\": 9,"
                           " \"rope_scaling\": {\"rope_type\": \"linear\","
                           " \"factor\": 8.0}},"
                           " \"vision_config\": {\"hidden_size\": 5},"
                           " \"eos_token_id\": [1, 106]}",
                           0, NULL);
    qn_err err = {0};
    if (qn_hparams_read(&hp, o, &err) < 0)
        fail_msg("%s", err.msg);
    json_decref(o);
    assert_string_equal(hp.family, "gemma3_text");
    assert_int_equal(hp.n_vocab, 262208);
    assert_int_equal(hp.n_eos, 2);
    assert_int_equal(hp.layer[4].window, 9);
    assert_int_equal(hp.layer[4].rope, 1);
    assert_int_equal(hp.layer[5].window, 0);
    assert_int_equal(hp.layer[5].rope, 0);
    assert_true(hp.rope[0].theta == 1e6 && hp.rope[1].theta == 1e4);
    assert_int_equal(hp.rope[0].scaling, QN_ROPE_LINEAR);
    assert_int_equal(hp.rope[1].scaling, QN_ROPE_PLAIN);
    qn_hparams_deinit(&hp);
}

/* What a family has anyway may be said, and not be denied. */
static void test_expected(void **state)
{
    (void)state;
    for (int denied = 0; denied < 2; denied++) {
        json_t *o = json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:b}",
                              "model_type", "afmoe", "vocab_size", 100,
                              "hidden_size", 64, "num_hidden_layers", 2,
                              "num_attention_heads", 4, "intermediate_size", 96,
                              "max_position_embeddings", 64, "route_norm",
                              !denied);
        qn_hparams hp;
        qn_err err = {0};
        int rc = qn_hparams_read(&hp, o, &err);
        assert_int_equal(rc, denied ? QN_EUNSUP : QN_OK);
        assert_true(!denied || strstr(err.msg, "route_norm"));
        json_decref(o);
        if (rc == QN_OK)
            qn_hparams_deinit(&hp);
    }
}

/* A name that no row has: those like it, and no list of all. */
static void test_unknown(void **state)
{
    static const char *const cases[][2] = {
        {"lama", "; like it are llama; docs"},
        {"qwen4_moe", "; like it are qwen2_moe, qwen3_moe, "},
        {"deepseek_v9",
         "; like it are deepseek_v2, deepseek_v3, deepseek_vl, deepseek; "
         "docs"},
        {"something_else", "\"something_else\" is not supported; docs"},
        {"xverse", "it is a decoder whose code comes with its files"},
        {"orion", "it is a decoder whose code comes with its files"},
        {"internlm", "it is a decoder whose code comes with its files"},
        {"bailing_moe_v2", "it is a decoder whose code comes with its files"},
        {"minicpm3", "it is a decoder of transformers for which"},
        {"baichuan", "it is Baichuan, whose configuration does not say"},
    };
    (void)state;
    for (size_t i = 0; i < QN_COUNTOF(cases); i++) {
        json_t *o = json_pack("{s:s}", "model_type", cases[i][0]);
        qn_hparams hp;
        qn_err err = {0};
        assert_int_equal(qn_hparams_read(&hp, o, &err), QN_EUNSUP);
        if (!strstr(err.msg, cases[i][1]))
            fail_msg("%s", err.msg);
        json_decref(o);
    }
    char name[400];
    memset(name, 'x', sizeof name);
    name[sizeof name - 1] = '\0';
    qn_err err = {0};
    assert_int_equal(qn_family_unknown(name, NULL, &err), QN_EUNSUP);
    assert_non_null(strstr(err.msg, "docs/models.md"));
}

/* The act of Gemma 1 files that say "gelu" for the tanh form. */
static void test_gemma_act(void **state)
{
    (void)state;
    qn_hparams hp;
    read_ok(&hp, "gemma", "{\"hidden_act\": \"gelu\"}");
    assert_int_equal(hp.act, QN_ACT_GELU_TANH);
    qn_hparams_deinit(&hp);
    read_ok(&hp, "gemma",
            "{\"hidden_act\": \"gelu\", \"hidden_activation\": \"gelu\"}");
    assert_int_equal(hp.act, QN_ACT_GELU);
    qn_hparams_deinit(&hp);
}

static void test_refused(void **state)
{
    (void)state;
    read_fails("llama", "{\"q_scale\": 2, \"swish_beta\": 1.5, \"x\": null}",
               QN_EUNSUP, "q_scale, swish_beta");
    read_fails("llama", "{\"attn_logit_softcapping\": 30.0}", QN_EUNSUP,
               "attn_logit_softcapping");
    read_fails("gemma", "{\"use_bidirectional_attention\": true}", QN_EUNSUP,
               "use_bidirectional_attention");
    read_fails("gpt2", "{\"add_cross_attention\": true}", QN_EUNSUP,
               "add_cross_attention");
    read_fails("opt", "{\"rope_theta\": 10000}", QN_EUNSUP, "rope_theta");
    read_fails("llama", "{\"rope_scaling\": {\"type\": \"mystery\"}}",
               QN_EUNSUP, "mystery");
    read_fails("llama",
               "{\"rope_scaling\": {\"type\": \"linear\", \"factor\": 2,"
               " \"phase\": 3}}",
               QN_EUNSUP, "rope_parameters.phase");
    read_fails("llama", "{\"hidden_act\": \"mish\"}", QN_EUNSUP, "mish");
    read_fails("llama", "{\"layer_types\": [\"sliding_attention\"]}", QN_EUNSUP,
               "layer_types");
    read_fails("nosuch", NULL, QN_EUNSUP, "nosuch");
    read_fails("gemma2", "{\"layer_types\": [\"linear_attention\", 1, 2, 3]}",
               QN_EUNSUP, "linear_attention");
}

static void test_harmless(void **state)
{
    (void)state;
    qn_hparams hp;
    read_ok(&hp, "llama",
            "{\"_name_or_path\": \"x\", \"attention_dropout\": 0.5,"
            " \"initializer_range\": 1, \"use_cache\": true,"
            " \"torch_dtype\": \"bfloat16\", \"pretraining_tp\": 2,"
            " \"router_aux_loss_coef\": 1, \"nothing\": null,"
            " \"off\": false, \"none\": [], \"empty\": {},"
            " \"auto_map\": {\"a\": \"b\"},"
            " \"layer_types\": [\"full_attention\", \"full_attention\"]}");
    qn_hparams_deinit(&hp);
}

/* What files on the hub carry along. */
static void test_harmless_per_family(void **state)
{
    static const char *const cases[][2] = {
        {"llama", "{\"is_llama_config\": true, \"rope_interleaved\": false,"
                  " \"transformers.js_config\": {\"dtype\": \"q4\"},"
                  " \"_attn_implementation_autoset\": true,"
                  " \"unsloth_fixed\": true, \"tf_legacy_loss\": false}"},
        {"qwen2", "{\"use_mrope\": false, \"sliding_window\": 32768,"
                  " \"max_window_layers\": 21}"},
        {"gpt2", "{\"task_specific_params\": {\"text-generation\":"
                 " {\"do_sample\": true}}, \"summary_type\": \"cls_index\","
                 " \"n_ctx\": 1024, \"reorder_and_upcast_attn\": true}"},
        {"opt", "{\"prefix\": \"</s>\", \"activation_dropout\": 0.1,"
                " \"do_sample\": true}"},
        {"gpt_neox", "{\"attention_probs_dropout_prob\": 0.1,"
                     " \"hidden_dropout_prob\": 0,"
                     " \"num_key_value_heads\": null}"},
        {"bloom", "{\"masked_softmax_fusion\": true, \"offset_alibi\": 100,"
                  " \"skip_bias_add\": true, \"unk_token_id\": 0,"
                  " \"attention_softmax_in_fp32\": true}"},
        {"gptj", "{\"rotary\": true, \"scale_attn_weights\": true,"
                 " \"rotary_dim\": 8}"},
        {"mpt", "{\"attn_config\": {\"alibi\": true, \"attn_pdrop\": 0,"
                " \"clip_qkv\": null}, \"init_config\": {\"name\": \"x\"},"
                " \"num_key_value_heads\": null}"},
        {"starcoder2", "{\"activation_function\": \"gelu\", \"hidden_act\":"
                       " \"gelu_pytorch_tanh\", \"norm_type\":"
                       " \"layer_norm\", \"mlp_type\": \"default\"}"},
    };
    (void)state;
    for (size_t i = 0; i < QN_COUNTOF(cases); i++) {
        qn_hparams hp;
        read_ok(&hp, cases[i][0], cases[i][1]);
        qn_hparams_deinit(&hp);
    }
    read_fails("mpt", "{\"attn_config\": {\"qk_ln\": true}}", QN_EUNSUP,
               "attn_config.qk_ln");
}

static void test_hostile(void **state)
{
    static const char *const cases[][2] = {
        {"{\"hidden_size\": -4}", "hidden_size"},
        {"{\"hidden_size\": 0}", "hidden_size"},
        {"{\"hidden_size\": 9223372036854775807}", "hidden_size"},
        {"{\"hidden_size\": 1e300}", "hidden_size"},
        {"{\"hidden_size\": 64.5}", "hidden_size"},
        {"{\"hidden_size\": \"64\"}", "hidden_size"},
        {"{\"hidden_size\": null}", "hidden_size is missing"},
        {"{\"num_hidden_layers\": 1000000000}", "num_hidden_layers"},
        {"{\"num_attention_heads\": 3}", "not a multiple"},
        {"{\"num_attention_heads\": 65536, \"head_dim\": 65536}", "heads"},
        {"{\"num_key_value_heads\": 3}", "not a multiple"},
        {"{\"num_key_value_heads\": 0}", "num_key_value_heads"},
        {"{\"vocab_size\": 99999999999}", "vocab_size"},
        {"{\"head_dim\": 15}", "rotated"},
        {"{\"partial_rotary_factor\": 0.01}", "rotated"},
        {"{\"partial_rotary_factor\": 2}", "partial_rotary_factor"},
        {"{\"rms_norm_eps\": -1}", "rms_norm_eps"},
        {"{\"rope_theta\": 0}", "rope_theta"},
        {"{\"rope_theta\": 1}", "rope_theta"},
        {"{\"rope_scaling\": []}", NULL},
        {"{\"rope_scaling\": 3}", "rope_scaling"},
        {"{\"rope_scaling\": {\"type\": 3}}", "type"},
        {"{\"rope_scaling\": {\"type\": \"linear\"}}", "factor"},
        {"{\"rope_scaling\": {\"type\": \"linear\", \"factor\": 0}}", "factor"},
        {"{\"rope_scaling\": {\"type\": \"linear\", \"factor\": 1e99}}",
         "factor"},
        {"{\"rope_scaling\": {\"type\": \"longrope\"}}", "short_factor"},
        {"{\"rope_scaling\": {\"type\": \"longrope\", \"short_factor\":"
         " [1,1,1,1,1,1,1,1], \"long_factor\": [1,1,1,1,1,1,1,0]}}",
         "long_factor[7]"},
        {"{\"rope_scaling\": {\"type\": \"llama3\", \"factor\": 8,"
         " \"low_freq_factor\": 4, \"high_freq_factor\": 4}}",
         "high_freq_factor"},
        {"{\"rope_scaling\": {\"type\": \"dynamic\", \"factor\": 2},"
         " \"head_dim\": 2}",
         "dynamic"},
        {"{\"eos_token_id\": \"x\"}", "eos_token_id"},
        {"{\"eos_token_id\": [1, -5]}", "eos_token_id"},
        {"{\"eos_token_id\": 99999999999999}", "eos_token_id"},
        {"{\"tie_word_embeddings\": \"yes\"}", "tie_word_embeddings"},
        {"{\"hidden_act\": 7}", "hidden_act"},
        {"{\"max_position_embeddings\": -1}", "max_position_embeddings"},
        {"{\"attention_bias\": {}}", "attention_bias"},
    };
    (void)state;
    for (size_t i = 0; i < QN_COUNTOF(cases); i++) {
        json_t *o = small_config("llama", cases[i][0]);
        qn_hparams hp;
        qn_err err = {0};
        int rc = qn_hparams_read(&hp, o, &err);
        if (rc >= 0 || (cases[i][1] && !strstr(err.msg, cases[i][1])))
            fail_msg("%s: %d \"%s\"", cases[i][0], rc, err.msg);
        assert_null(hp.layer);
        json_decref(o);
    }
    read_fails("mixtral", "{\"num_experts_per_tok\": 9}", QN_EFORMAT,
               "9 of 8 experts");
    read_fails("gemma2", "{\"layer_types\": [\"full_attention\"]}", QN_EFORMAT,
               "should list 4 layers");
    read_fails("gpt2", "{\"max_position_embeddings\": 1e12}", QN_EFORMAT,
               "positions");
    qn_hparams hp;
    assert_int_equal(qn_hparams_read(&hp, NULL, NULL), QN_EFORMAT);
}

static void test_rows(void **state)
{
    (void)state;
    for (int i = 0; qn_family_name(i); i++) {
        const qn_family *f = qn_family_find(qn_family_name(i));
        assert_non_null(f);
        if (f->inner) {
            assert_true(!f->inner_type || qn_family_find(f->inner_type));
            continue;
        }
        assert_non_null(f->names);
        qn_hparams hp;
        /* heads that do not attend come in 8 groups */
        read_ok(&hp, f->type,
                f->no_attn ? "{\"num_attention_heads\": 8}" : NULL);
        qn_hparams_deinit(&hp);
        for (const char *p = f->keys; p && *p;) {
            char key[64];
            int n = 0;
            assert_int_equal(sscanf(p, "%63s%n", key, &n), 1);
            assert_true(qn_key_exists(key));
            p += n;
            p += strspn(p, " ");
        }
    }
}

/* Members that published files have, each for a family whose files have it. */
static void test_published(void **state)
{
    static const struct {
        const char *type, *with;
    } files[] = {
        {"starcoder2", "{\"scale_attn_weights\": true}"},
        {"gpt_bigcode", "{\"pad_key_length\": true}"},
        {"bloom", "{\"hidden_size\": null, \"n_embed\": 64}"},
        {"gemma2", "{\"sliding_window_size\": 4096}"},
        {"cohere2", "{\"layer_switch\": 4, \"use_parallel_block\": true, "
                    "\"order_of_interleaved_layers\": \"local_attn_first\", "
                    "\"position_embedding_type\": \"rope_gptj\"}"},
        {"lfm2",
         "{\"block_mlp_init_scale\": 1.0, \"block_use_xavier_init\": true, "
         "\"use_pos_enc\": true, \"full_attn_idxs\": [2]}"},
        {"phi3", "{\"full_attn_mod\": 1, \"interpolate_factor\": 1}"},
        {"nemotron", "{\"rope_percent\": 0.5, \"norm_type\": \"layernorm1p\"}"},
        {"stablelm", "{\"rope_pct\": 0.25}"},
        {"qwen3_moe",
         "{\"num_experts\": 4, \"num_experts_per_tok\": 2, "
         "\"shared_expert_intermediate_size\": 0, \"use_qk_norm\": true}"},
        {"mamba", "{\"d_inner\": 96, \"rms_norm\": true, \"ssm_cfg\": {}, "
                  "\"fused_add_norm\": true, \"pad_vocab_size_multiple\": 8}"},
        {"opt", "{\"ffn_dim\": 96, \"learned_embeddings\": true}"},
        {"apertus", "{\"qk_norm\": true, \"post_norm\": false}"},
        {"granitemoehybrid",
         "{\"num_local_experts\": 0, \"num_experts_per_tok\": 0, "
         "\"mamba_n_heads\": 8, \"mamba_d_state\": 16}"},
        {"hunyuan_v1_moe",
         "{\"num_experts\": 4, \"moe_topk\": [2, 2, 2, 2], "
         "\"num_shared_expert\": [1, 1, 1, 1], \"norm_type\": \"rms\", "
         "\"cla_share_factor\": 2, \"use_cla\": false, \"pool_type\": \"last\", "
         "\"attention_head_dim\": 16, \"vit_path\": null}"},
        {"minimax", "{\"num_local_experts\": 4, \"num_experts_per_tok\": 2, "
                    "\"attn_type_list\": [1, 1, 1, 1]}"},
        {"dots_ocr",
         "{\"attention_bias\": true, \"vision_config\": {\"a\": 1}}"},
    };
    (void)state;
    for (size_t i = 0; i < QN_COUNTOF(files); i++) {
        qn_hparams hp;
        read_ok(&hp, files[i].type, files[i].with);
        assert_int_equal(hp.d_model, 64);
        qn_hparams_deinit(&hp);
    }
    read_fails("minimax",
               "{\"num_local_experts\": 4, \"num_experts_per_tok\": 2, "
               "\"attn_type_list\": [1, 0, 1, 1]}",
               QN_EUNSUP, "attn_type_list");
    read_fails("cohere2", "{\"layer_switch\": 2}", QN_EUNSUP, "layer_switch");
    read_fails("llama",
               "{\"rope_scaling\": {\"type\": \"linear\", \"factor\": 2.0, "
               "\"alpha\": 2.0}}",
               QN_EUNSUP, "alpha");
    read_fails("t5", NULL, QN_EUNSUP, "an encoder and a decoder");
    read_fails("of_tomorrow", "{\"is_encoder_decoder\": true}", QN_EUNSUP,
               "an encoder and a decoder");
    read_fails("bert", NULL, QN_EUNSUP, "is an encoder");
    read_fails("seer", "{\"text_config\": {\"model_type\": \"qwen3\"}}",
               QN_EUNSUP, "that reads is qwen3");
}

/* Hunyuan stretches the base; a text network inside leaves out what is usual;
 * one inside of one inside. */
static void test_inside(void **state)
{
    static const char usual[] =
        "{\"model_type\": \"llava\", \"vision_config\": {}, \"text_config\": "
        "{\"model_type\": \"llama\", \"vocab_size\": 32064, "
        "\"image_token_id\": 3}}";
    static const char *const twice =
        "{\"thinker_config\": {\"model_type\": \"qwen2_5_omni_thinker\", "
        "\"audio_config\": {\"x\": 1}, \"text_config\": {\"vocab_size\": 100, "
        "\"hidden_size\": 32, \"num_hidden_layers\": 1, "
        "\"num_attention_heads\": 2, \"intermediate_size\": 48, "
        "\"max_position_embeddings\": 64, \"rope_scaling\": {\"type\": "
        "\"default\", \"mrope_section\": [2, 3, 3]}}}, \"talker_config\": "
        "{\"y\": 2}, \"enable_talker\": true}";
    qn_hparams hp;
    (void)state;
    read_ok(&hp, "hunyuan_v1_dense",
            "{\"head_dim\": 16, \"rope_scaling\": {\"type\": \"dynamic\", "
            "\"alpha\": 1000.0, \"factor\": 1.0}}");
    assert_int_equal(hp.rope[0].scaling, QN_ROPE_PLAIN);
    assert_true(fabs(hp.rope[0].theta / (1e4 * pow(1000, 16.0 / 14)) - 1) <
                1e-12);
    qn_hparams_deinit(&hp);
    json_t *o = json_loads(usual, 0, NULL);
    assert_int_equal(qn_hparams_read(&hp, o, NULL), 0);
    json_decref(o);
    assert_int_equal(hp.n_layer, 32);
    assert_string_equal(hp.family, "llama");
    assert_string_equal(hp.outer, "llava");
    assert_int_equal(hp.n_vocab, 32064);
    qn_hparams_deinit(&hp);
    read_ok(&hp, "qwen2_5_omni", twice);
    assert_string_equal(hp.family, "qwen2");
    assert_string_equal(hp.outer, "qwen2_5_omni");
    assert_int_equal(hp.d_model, 32);
    qn_hparams_deinit(&hp);
    read_ok(&hp, "kimi_k2",
            "{\"kv_lora_rank\": 16, \"q_lora_rank\": 16, \"qk_nope_head_dim\": "
            "8, \"qk_rope_head_dim\": 8, \"v_head_dim\": 8, "
            "\"n_routed_experts\": 8, \"num_experts_per_tok\": 2, \"n_group\": "
            "1, \"topk_group\": 1}");
    assert_string_equal(hp.outer, ""); /* a name, nothing around it */
    qn_hparams_deinit(&hp);
}

/* The first table of docs/models.md names every family once, and no other. */
static void test_documented(void **state)
{
    (void)state;
    size_t n;
    char *doc = qn_test_read_file(qn_test_data("../../docs/models.md"), &n);
    int seen = 0;
    for (char *line = strtok(doc, "\n"); line; line = strtok(NULL, "\n")) {
        char *end = strchr(line + 1, '|');
        if (strcmp(line, "## GGUF") == 0)
            break;
        if (strncmp(line, "| `", 3) != 0 || !end)
            continue;
        *end = 0;
        for (char *p = line; (p = strchr(p, '`'));) {
            char *close = strchr(p + 1, '`');
            assert_non_null(close);
            *close = 0;
            if (!qn_family_find(p + 1))
                fail_msg("docs/models.md: %s has no row", p + 1);
            seen++;
            p = close + 1;
        }
    }
    int rows = 0;
    while (qn_family_name(rows))
        rows++;
    assert_int_equal(seen, rows);
    free(doc);
}

/* Text networks of models that see. */
static void test_wrapped(void **state)
{
    (void)state;
    qn_hparams hp;
    read_ok(
        &hp, "mistral3",
        "{\"text_config\": {\"model_type\": \"mistral\", \"hidden_size\": 96,"
        " \"sliding_window\": null}, \"vision_config\": {\"x\": 1},"
        " \"image_token_index\": 10, \"spatial_merge_size\": 2}");
    assert_string_equal(hp.family, "mistral");
    assert_int_equal(hp.d_model, 96);
    qn_hparams_deinit(&hp);
    /* without an inner object, as they were written first */
    read_ok(&hp, "qwen2_vl",
            "{\"vision_config\": {}, \"vision_token_id\": 3,"
            " \"use_sliding_window\": false, \"rope_scaling\":"
            " {\"type\": \"mrope\", \"mrope_section\": [2, 1, 1]}}");
    assert_string_equal(hp.family, "qwen2");
    assert_true(hp.qkv_bias);
    qn_hparams_deinit(&hp);
    read_fails("llava", "{\"text_config\": {}}", QN_EFORMAT, "model_type");
    read_fails("llava", "{\"text_config\": {\"model_type\": \"nosuch\"}}",
               QN_EUNSUP, "nosuch");
    read_fails("llava", "{\"text_config\": {\"model_type\": \"llava\"}}",
               QN_EUNSUP, "llava");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spellings),
        cmocka_unit_test(test_class_defaults),
        cmocka_unit_test(test_expected),
        cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_gemma_act),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_harmless),
        cmocka_unit_test(test_harmless_per_family),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_published),
        cmocka_unit_test(test_inside),
        cmocka_unit_test(test_documented),
        cmocka_unit_test(test_wrapped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
