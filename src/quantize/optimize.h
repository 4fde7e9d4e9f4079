/* optimize.h - quantizing a checkpoint.
 *
 * One call reads a checkpoint and writes another one: a Hugging Face directory,
 * or (method gguf) a directory with one GGUF file. The source is never changed;
 * the output directory appears when it is complete. A run that was killed or
 * cancelled leaves OUTPUT.partial, once anything was saved, and the same call
 * goes on where it was.
 * Memory: one tensor's quantized parts and some megabytes per thread. */
#ifndef QN_QUANTIZE_OPTIMIZE_H
#define QN_QUANTIZE_OPTIMIZE_H

#include "base/err.h"
#include "base/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* done of total parts of the work; false cancels (QN_ECANCEL). */
typedef bool (*qn_optimize_progress_fn)(void *user, uint64_t done,
                                        uint64_t total);

typedef struct qn_optimize_params {
    const char *model;      /* directory, hub name; gguf: a GGUF file, too  */
    const char *output_dir; /* must not exist, or be empty                  */
    /* "bitsandbytes", "rtn", "fp8", "gptq", "awq", "auto", "gguf"; or a type
     * of bitsandbytes or gguf, which says both */
    const char *method;
    int bits;         /* 0: the method's usual                        */
    const char *type; /* bitsandbytes: "nf4", "fp4", "int8"; gguf: see
                               gguf_types.c; NULL: by the bits */
    const char *head_type, *embed_type; /* gguf; NULL: usual */
    /* PATTERN=TYPE (gguf) or PATTERN=BITS (integers in compressed-tensors), the
     * first that fits. */
    const char *const *rules;
    size_t n_rules;
    const char *format; /* rtn: "compressed-tensors", "gptq", "awq"     */
    /* Elements that share a scale; 0: usual, or what fits all rows; -1: row. */
    int64_t group;
    bool double_quant;
    bool asymmetric;          /* with zero points                           */
    const char *scales;       /* fp8: "channel", "tensor", "block"          */
    const char *compute_type; /* bnb_4bit_compute_dtype, or NULL            */
    double int8_threshold;    /* llm_int8_threshold; 0: 6, < 0: 0           */
    const char *calibration;  /* a text file; NULL: the built-in text       */
    const char *calibration_split;  /* what is between its documents, or NULL:
                             it is one text */
    const int32_t *calibration_ids; /* or its tokens [n_calibration_ids]    */
    size_t n_calibration_ids;
    bool weigh; /* gguf: read the text for an importance matrix */
    const char *imatrix, *imatrix_out; /* gguf: its file, read; written */
    int n_samples;           /* pieces of it; 0: two tokens for each input of
                             the widest matrix */
    int n_context;           /* tokens of a piece; 0: 512                  */
    double damping;          /* gptq; 0: 0.01                              */
    bool desc_act;           /* gptq: columns by what comes to them        */
    bool static_groups;      /* ... with groups as they stand              */
    bool head;               /* quantize the output head, too              */
    const char *const *skip; /* modules to leave alone: patterns with *    */
    size_t n_skip;
    const char *const *only; /* if any: no others than these                */
    size_t n_only;
    /* auto: one of them. Mean bits of the weights that are quantized; bytes of
     * all tensors; KL divergence that may be expected. */
    double target_bits, max_kl;
    uint64_t target_size;
    uint64_t max_shard; /* bytes of a file; 0: 5 GB */
    int n_threads;      /* 0: what the machine grants */
    /* Seconds after which a stopped run could go on; 0: 20, < 0: always. */
    double save_every;
    const char *report_text; /* measured before and after; NULL: built in */
    int report_tokens;       /* of it; 0: nothing is measured; < 0: 256, or
                             less of a large model, by a method without a text */
    qn_optimize_progress_fn progress;
    void *progress_user;
} qn_optimize_params;

typedef struct qn_optimize_report {
    uint64_t source_bytes, output_bytes; /* of tensors                  */
    uint64_t n_params, n_quantized;      /* elements                    */
    size_t n_matrices;                   /* quantized                   */
    int64_t group; /* the size that was chosen because the usual one does not
                      fill all rows (-1: a scale for each row), else 0 */
    int n_samples, n_context; /* pieces that calibrated and their tokens; 0:
                                 nothing was read */
    double bits_per_weight, bits_quantized; /* of all; of those quantized  */
    uint64_t largest_layer;                 /* in f32, bytes */
    /* Of the process until now, bytes: all of it, and what of it is of the text
     * (streams, keys, logits, a sample's activations); 0: no text was read. */
    uint64_t peak_memory, text_memory;
    double seconds;
    double
        resumed;   /* part of the tensors' bytes that an earlier run had done */
    json_t *loss;  /* before and after, see loss.h; the caller's, else NULL */
    json_t *notes; /* sentences: what was not done as it was asked for; the
                      caller's, NULL: none */
    json_t *table; /* auto: [{module, bits, bits_per_weight, kl_of_3_bits,
                      kl_expected}]; the caller's, else NULL */
    char *kept;    /* OUTPUT.partial, which a cancelled run left to go on from;
                      the caller's (qn_free), else NULL */
} qn_optimize_report;

/* Whether a type (NULL: none) is one of the method's. */
bool qn_optimize_has_type(const char *method, const char *type);

/* What the parameters demand of one another; no file is opened. */
int qn_optimize_check(const qn_optimize_params *p, qn_err *err);

/* QN_EUNSUP: method and model do not go together. QN_EINVAL: the output
 * directory is not empty, or OUTPUT.partial is of another run. `report` may be NULL. */
int qn_optimize_run(const qn_optimize_params *p, qn_optimize_report *report,
                    qn_err *err);

#endif
