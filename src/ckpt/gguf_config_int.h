/* gguf_config_int.h - between the parts that make a config of GGUF metadata:
 * gguf_arch.c (the tables), gguf_config.c (the mapping), gguf_rope.c. */
#ifndef QN_CKPT_GGUF_CONFIG_INT_H
#define QN_CKPT_GGUF_CONFIG_INT_H

#include "ckpt/ckpt_int.h"

/* A key without its "{arch}." and the name that config.json has for it.
 * hf NULL: no counterpart (harmless, or made into something else in code). */
typedef struct qn_gguf_key_row {
    const char *gguf;
    const char *hf;
    bool drop_zero;    /* 0 means that there is none */
    qn_gguf_type type; /* to write: F32, BOOL, or 0 for a count (U32) */
} qn_gguf_key_row;

/* hf = (there is such a tensor) == value_if_there. */
typedef struct qn_gguf_tensor_row {
    const char *tensor;
    const char *hf;
    bool value_if_there;
} qn_gguf_tensor_row;

/* What GGUF leaves unsaid of a family, because ggml knows it by the name. */
typedef struct qn_gguf_arch_row {
    const char *arch;   /* general.architecture */
    const char *when;   /* only if this key (without "{arch}.") ... */
    uint64_t above;     /* ... is above this number */
    const char *having; /* only if there is such a tensor */
    bool writes;        /* gguf_export.h makes such files of the model_type */
    const char *model_type;
    const char *class_name;  /* architectures[0] */
    const char *fixed;       /* a JSON object that keys of the file override */
    qn_gguf_key_row keys[8]; /* before the common ones; ends at gguf NULL */
    qn_gguf_tensor_row tensors[3]; /* of two for one key, either counts */
    const char *scores;     /* expert_gating_func that the family has anyway */
    const char *rope_fixed; /* a JSON object: more of rope_scaling, if any */
    double yarn_log;    /* rope.scaling.yarn_log_multiplier times this is the
                           mscale_all_dim, and the mscale; 0: mscale is 1 */
    const char *rotary; /* this family's partial rotary factor, always said */
    bool latent;        /* multi-head latent attention */
    bool wide_full;     /* full layers have heads of their own kind, of which a
                           part turns: *_swa keys are about the others */
    bool local_theta;   /* sliding layers have a rope.freq_base_swa, or the
                           other one */
    bool say_head_dim;  /* config's default is not hidden_size / heads      */
    int64_t odd_layers; /* the size whose query_pre_attn_scalar is not
                            head_dim but hidden_size / heads (Gemma 27B)     */
    bool has_qpas;
    bool one_block;       /* layers attend, or feed forward, or recur        */
    bool mixed;           /* some layers attend, others recur                */
    bool router_tells;    /* layers with a router are mixtures of experts    */
    bool finetuned_turns; /* rope.scaling.finetuned: whether it rotates    */
} qn_gguf_arch_row;

extern const qn_gguf_key_row qn_gguf_common_keys[];

/* The first row that fits, or NULL. */
const qn_gguf_arch_row *qn_gguf_arch_find(const qn_ckpt *ck, qn_view arch);
/* The row of a model_type that can be written, or NULL. */
const qn_gguf_arch_row *qn_gguf_arch_of(const char *model_type);

/* "{arch}.{key}" of a checkpoint, or NULL. */
const qn_gguf_kv *qn_gguf_arch_kv(const qn_ckpt *ck, const char *key);
bool qn_gguf_arch_u64(const qn_ckpt *ck, const char *key, uint64_t *out);
bool qn_gguf_arch_f64(const qn_ckpt *ck, const char *key, double *out);

/* Layers, without those behind them that predict further tokens. */
bool qn_gguf_arch_layers(const qn_ckpt *ck, uint64_t *out);

/* A finite number as the shortest decimal that reads back as this float. */
json_t *qn_gguf_json_f32(double f32);

/* Layers that differ: which slide, which recur, per-layer numbers of kv heads
 * and feed-forward widths (0: the layer has none), layers without a router. */
int qn_gguf_map_layers(const qn_ckpt *ck, json_t *config, qn_err *err);

/* rope_scaling from rope.scaling.* and the rope_factors tensors. */
int qn_gguf_map_rope(const qn_ckpt *ck, const qn_gguf_arch_row *row,
                     json_t *config, qn_err *err);

#endif
