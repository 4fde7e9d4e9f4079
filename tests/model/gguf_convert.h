/* gguf_convert.h - a Hugging Face checkpoint as the GGUF file that llama.cpp's
 * converter (convert_hf_to_gguf.py) would make of it: names, order of rows,
 * what is added to norms, keys. Written from that program's description of the
 * files, without code of ours that reads them. */
#ifndef TEST_MODEL_GGUF_CONVERT_H
#define TEST_MODEL_GGUF_CONVERT_H

#include "remake.h"

enum {
    CV_PAIRED = 1,       /* q and k: ggml's rotation pairs neighbours        */
    CV_PLUS_ONE = 2,     /* norms hold w - 1                                 */
    CV_QKV = 4,          /* fused q, k, v of one key head after the other    */
    CV_CONV1D = 8,       /* GPT-2's matrices lie on their side               */
    CV_KV_B_ONE = 16,    /* latent attention as before it was absorbed       */
    CV_TURNED = 32,      /* experts [n_exp, n_in, n_out]                     */
    CV_MIXED = 64,       /* ... whose gate and up columns alternate          */
    CV_LLAMA3 = 128,     /* frequencies as a tensor of divisors              */
    CV_QPAS = 256,       /* queries carry what no key says                   */
    CV_FUSED = 512,      /* Qwen3-Next's projections as they are             */
    CV_TILED = 1024,     /* value heads by turns over the key heads          */
    CV_SOME_TURN = 2048, /* full layers turn a part of their heads        */
    CV_XIELU = 4096,     /* parameters of the activation become pairs     */
    CV_GATE_UP = 8192,   /* gate and up of experts stay one tensor        */
    CV_QUERIES = 16384   /* queries carry the factor on their scores      */
};

typedef struct gguf_case {
    const char *golden, *arch;
    int how;
    const char *names; /* "hf=gguf ...": before the usual ones */
    const char *keys;  /* "key=JSON ...": after the usual ones */
} gguf_case;

/* The path of the file; the caller frees it. */
char *gguf_convert(const char *dir, const gguf_case *c);

#endif
