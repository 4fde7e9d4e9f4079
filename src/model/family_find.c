/* family_find.c - the family of a model_type. */
#include "model/families_int.h"

#include "base/nearest.h"
#include "base/str.h"

#include <string.h>

enum {
    NEAR_MAX = 4, /* names that a message offers */
    NAME_MAX_LEN = 48
};

static const qn_family_list *const lists[] = {&qn_families_dense,
                                              &qn_families_rec,
                                              &qn_families_moe,
                                              &qn_families_own,
                                              &qn_families_kin};

/* What is on the hub and is something else, or an older form. */
static const struct {
    const char *types, *is;
} others[] = {
    {"t5 mt5 umt5 longt5 switch_transformers t5gemma bart mbart pegasus "
     "pegasus_x marian m2m_100 nllb-moe blenderbot blenderbot-small led "
     "prophetnet bigbird_pegasus plbart fsmt encoder-decoder whisper "
     "speech_to_text seamless_m4t* moonshine florence2 pix2struct "
     "vision-encoder-decoder speech-encoder-decoder udop nougat kosmos-2*",
     "an encoder and a decoder; quern runs networks that are a decoder alone"},
    {"bert roberta xlm-roberta xlm-roberta-xl distilbert albert electra "
     "deberta deberta-v2 mpnet camembert modernbert nomic_bert ernie esm "
     "funnel longformer big_bird roformer squeezebert mobilebert convbert "
     "flaubert xlm xlnet eurobert jina* new neobert bert-generation "
     "data2vec-text luke rembert nystromformer yoso fnet",
     "an encoder, which makes vectors of texts and writes none"},
    {"clip* siglip* vit* dinov* deit beit swin* convnext* resnet* blip* align "
     "wav2vec2* hubert wavlm unispeech* data2vec-* sam* segformer detr "
     "table-transformer conditional_detr yolos rt_detr* layoutlm* owlvit "
     "owlv2 grounding-dino depth_anything dpt glpn mask* oneformer bark vits "
     "speecht5 musicgen* encodec dac mimi clap audio-spectrogram-transformer "
     "timm_wrapper timesfm time_series* informer autoformer patchts* "
     "videomae vjepa* efficientnet mobilevit* mobilenet* regnet",
     "no network that reads and writes text"},
    {"mllama", "a network whose text layers attend to images; without them "
               "other layers are left"},
    {"aya_vision cohere2_vision",
     "a network of which references disagree about the scale of its logits"},
    {"paligemma", "a network that reads the prompt in both directions"},
    {"rwkv* recurrent_gemma zamba zamba2 xlstm mega retnet bamba kimi_linear "
     "minimax_m1 minimax_text_01 hgrn* plamo2 falcon_slim olmo_hybrid "
     "bailing_hybrid",
     "a recurrent network of a kind that quern does not have"},
    {"deepseek_v32 glm_moe_dsa longcat_flash* minicpm4* deepseek_v4",
     "a network with sparse or shortened attention that quern does not have"},
    {"llada* dream Dream sdar* diffusion_gemma",
     "a diffusion model, which does not write from left to right"},
    {"chatglm", "GLM in its older form; use the model's revision for "
                "transformers (-hf), which is called glm or glm4"},
    {"qwen", "the first Qwen; Qwen1.5 and later are called qwen2"},
    {"stablelm_epoch stablelm_alpha", "StableLM in its older form; a later "
                                      "revision is called stablelm"},
    {"phi-msft mixformer-sequential", "Phi in its older form; a later revision "
                                      "is called phi"},
    {"RefinedWeb RefinedWebModel", "Falcon in its older form; a later revision "
                                   "is called falcon"},
    {"hf_olmo olmo_old", "OLMo in its older form; its revision for "
                         "transformers (-hf) is called olmo"},
    {"llava_llama llava_mistral llava_qwen llava_phi",
     "LLaVA in its older form; the revision for transformers (-hf) is called "
     "llava or llava_next"},
    {"baichuan", "Baichuan, whose configuration does not say how positions "
                 "are encoded"},
    {"minicpmv minicpmo", "a network whose configuration does not say which "
                          "one reads"},
    {"xverse orion internlm bailing_moe* aquila skywork Yi codeshell plamo "
     "openelm telechat* yuan mobilellm phi3small moss",
     "a decoder whose code comes with its files and is not part of "
     "transformers: quern has no reference to hold it against"},
    {"aria_text axk1 axk2 biogpt blt cohere2_moe ctrl doge emu3 "
     "gpt_neox_japanese granite_swa granitemoe_swa hrm_text hy_v3 hy_v4 "
     "hyperclovax inkling_text laguna mimo_v2_flash minicpm3 mistral4 nanochat "
     "qwen4_exp step3p7 zaya",
     "a decoder of transformers for which quern has no row yet"},
    {"nemotron-nas deci", "a network whose layers differ one by one "
                          "(block_configs)"},
};

static const qn_family *family_at(int i)
{
    for (size_t l = 0; i >= 0 && l < QN_COUNTOF(lists); l++) {
        if (i < lists[l]->n)
            return &lists[l]->rows[i];
        i -= lists[l]->n;
    }
    return NULL;
}

const char *qn_family_name(int i)
{
    const qn_family *f = family_at(i);
    return f ? f->type : NULL;
}

const qn_family *qn_family_find(const char *model_type)
{
    const qn_family *f;
    for (int i = 0; (f = family_at(i)); i++) {
        if (strcmp(f->type, model_type) == 0)
            return f;
    }
    return NULL;
}

/* How far a name is from what was asked for; names that begin with the same
 * letters are near. */
static int unlikeness(const char *asked, const char *name)
{
    size_t same = 0;
    while (asked[same] && asked[same] == name[same])
        same++;
    return qn_nearest_distance(asked, name) - (same >= 4 ? (int)same : 0);
}

/* Does the configuration itself say what it is? */
static const char *said(const json_t *config)
{
    if (json_is_true(json_object_get(config, "is_encoder_decoder")))
        return others[0].is;
    return NULL;
}

static const char *known_other(const char *model_type, const json_t *config)
{
    for (size_t i = 0; i < QN_COUNTOF(others); i++) {
        if (qn_word_in(others[i].types, model_type))
            return others[i].is;
    }
    return said(config);
}

/* The known family of a network inside of an unknown one, or NULL. */
static const char *known_inside(const json_t *config)
{
    static const char *const members[] = {"text_config", "llm_config",
                                          "language_config", "thinker_config"};
    for (size_t i = 0; i < QN_COUNTOF(members); i++) {
        const char *type = json_string_value(
            json_object_get(json_object_get(config, members[i]), "model_type"));
        const qn_family *f = type ? qn_family_find(type) : NULL;
        if (f)
            return f->type;
    }
    return NULL;
}

int qn_family_unknown(const char *model_type, const json_t *config, qn_err *err)
{
    const char *other = known_other(model_type, config);
    const char *inside = other ? NULL : known_inside(config);
    if (inside)
        return qn_fail(err, QN_EUNSUP,
                       "config.json: model_type \"%.*s\" is not supported; the "
                       "network in it that reads is %s, which would be by "
                       "itself (docs/models.md)",
                       NAME_MAX_LEN, model_type, inside);
    if (other)
        return qn_fail(err, QN_EUNSUP,
                       "config.json: model_type \"%.*s\" is not supported: it "
                       "is %s (docs/models.md)",
                       NAME_MAX_LEN, model_type, other);
    qn_str near;
    const char *name;
    bool usable = strlen(model_type) <= NAME_MAX_LEN;
    int n_all = 0, far = QN_MAX((int)strlen(model_type) / 4, 1);
    qn_str_init(&near);
    while (qn_family_name(n_all))
        n_all++;
    for (int limit = -NAME_MAX_LEN, found = 0;
         usable && limit <= far && found < NEAR_MAX; limit++) {
        for (int i = 0; (name = qn_family_name(i)) && found < NEAR_MAX; i++) {
            if (unlikeness(model_type, name) != limit)
                continue;
            qn_str_addf(&near, "%s%s", found++ ? ", " : "", name);
        }
    }
    int rc = qn_fail(err, QN_EUNSUP,
                     "config.json: model_type \"%.*s\" is not supported%s%s; "
                     "docs/models.md lists the %d that are",
                     NAME_MAX_LEN, model_type, near.n ? "; like it are " : "",
                     near.n ? near.p : "", n_all);
    qn_str_deinit(&near);
    return rc;
}
