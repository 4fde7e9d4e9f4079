/* tok_gguf_pre.c - how words are divided in a GGUF file whose vocabulary is
 * byte-level BPE: the file has a name for it ("tokenizer.ggml.pre").
 *
 * What each name stands for in the files that llama.cpp's converter writes;
 * where llama.cpp approximates an original pattern, the original stands here. */
#include "text/tok_int.h"

#include <stdio.h>
#include <string.h>

enum {
    GGUF_MAX_PATTERNS = 6
};

typedef struct gguf_pre {
    const char *names;                       /* blanks around each */
    const char *patterns[GGUF_MAX_PATTERNS]; /* applied one after the other */
    bool ignore_merges, add_bos;
} gguf_pre;

#define SHORT "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define LEAD "[^\\r\\n\\p{L}\\p{N}]?"
#define BLANKS "|\\s+(?!\\S)|\\s+"
#define TAIL "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+" BLANKS
#define TAIL_SLASH "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+" BLANKS
#define GPT2 \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+" BLANKS
#define CL100K SHORT "|" LEAD "\\p{L}+|\\p{N}{1,3}" TAIL
#define QWEN2 SHORT "|" LEAD "\\p{L}+|\\p{N}" TAIL
#define UPPERS "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWERS "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define CASED(short) \
    LEAD UPPERS "*" LOWERS "+" short "|" LEAD UPPERS "+" LOWERS "*" short
#define DEEPSEEK3                                                             \
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+"                   \
    "|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*" \
    "|\\s*[\\r\\n]+" BLANKS

/* Digits in threes, counted from the right. */
#define THREES "\\d{1,3}(?=(?:\\d{3})*\\b)"
#define CJK "[\\x{4e00}-\\x{9fa5}\\x{3040}-\\x{309f}\\x{30a0}-\\x{30ff}]+"
/* Letters of two cases, without scripts that the first DeepSeek left out. */
#define TWO_CASES                                                     \
    "(?:(?![\\x{560}-\\x{588}\\x{10c7}-\\x{10ff}\\x{1c80}-\\x{1c8f}"  \
    "\\x{2d00}-\\x{2d2d}\\x{a790}-\\x{a7ff}\\x{ab30}-\\x{ab68}"       \
    "\\x{10570}-\\x{105bc}\\x{10d50}-\\x{10d85}\\x{16e40}-\\x{16eff}" \
    "\\x{1d400}-\\x{1dfff}])[\\p{Lu}\\p{Ll}\\p{Lt}])+"

static const gguf_pre gguf_pres[] = {
    {" gpt-2 phi-2 gigachat jina-es jina-de jina-v2-es jina-v2-de a.x-4.0 "
     "mellum modern-bert exaone4 mpt olmo jais trillion granite-docling ",
     {GPT2},
     false,
     false},
    {" llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 "
     "jina-v5-nano ",
     {CL100K},
     true,
     true},
    {" dbrx smaug-bpe glm4 chatglm-bpe ", {CL100K}, false, false},
    {" qwen2 deepseek-r1-qwen kormo f2llmv2 megrez stablelm2 hunyuan "
     "solar-open grok-2 bailingmoe bailingmoe2 llada-moe openpangu ",
     {QWEN2},
     false,
     false},
    {" qwen35 ",
     {SHORT "|" LEAD "[\\p{L}\\p{M}]+|\\p{N}"
            "| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+" BLANKS},
     false,
     false},
    {" gpt-4o llama4 kanana2 talkie minimax-m2 ",
     {CASED(SHORT "?") "|\\p{N}{1,3}" TAIL_SLASH},
     false,
     false},
    {" tekken ", {CASED("") "|\\p{N}" TAIL_SLASH}, true, true},
    {" starcoder refact command-r cohere2_moe smollm codeshell exaone minerva-7b mellum2 ",
     {"\\p{N}", GPT2},
     false,
     false},
    {" falcon ",
     {"[\\p{P}\\$\\+<=>\\^~\\|`]+", GPT2, "[0-9][0-9][0-9]"},
     false,
     false},
    {" deepseek-llm ",
     {"[\\r\\n]", "\\s?" TWO_CASES,
      "\\s?[!-/:-~\\x{ff01}-\\x{ff0f}\\x{ff1a}-\\x{ff5e}\\x{2018}-\\x{201f}"
      "\\x{3000}-\\x{3002}]+",
      "\\s+$", "[\\x{4e00}-\\x{9fa5}\\x{800}-\\x{4e00}\\x{ac00}-\\x{d7ff}]+",
      "\\p{N}+"},
     false,
     false},
    {" youtu ",
     {"[\\x{ac00}-\\x{d7a3}\\x{3131}-\\x{318e}]+"
      "|[\\x{ff01}\\x{2026}\\x{201c}\\x{201d}\\x{2018}\\x{2019}\\x{2014}\\x{ff1a}"
      "\\x{ff1b}\\x{ff0c}\\x{3001}-\\x{303f}\\x{fe30}-\\x{fe4f}]+"
      "|[\\x{3105}-\\x{312f}]+|" CJK,
      CASED(SHORT "?") "|\\p{N}" TAIL_SLASH},
     true,
     false},
    {" deepseek-coder ",
     {"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+",
      "[\\x{4e00}-\\x{9fa5}\\x{800}-\\x{4e00}\\x{ac00}-\\x{d7ff}]+", "\\p{N}"},
     false,
     false},
    {" deepseek-v3 hunyuan-dense hy_v4 joyai-llm ",
     {"\\p{N}{1,3}", CJK, DEEPSEEK3},
     false,
     false},
    {" afmoe ",
     {"\\p{N}{1,3}(?=(?:\\p{N}{3})*(?!\\p{N}))",
      "[\\x{4e00}-\\x{9fff}\\x{3400}-\\x{4dbf}\\x{f900}-\\x{faff}\\x{3040}-"
      "\\x{309f}\\x{30a0}-\\x{30ff}\\x{ff65}-\\x{ff9f}\\x{2f00}-\\x{2fdf}"
      "\\x{e40}-\\x{eff}\\x{1780}-\\x{17ff}\\x{1000}-"
      "\\x{109f}\\x{aa60}-\\x{aa7f}\\x{a9e0}-\\x{a9ff}\\x{ac00}-\\x{d7af}"
      "\\x{1100}-\\x{11ff}]+",
      DEEPSEEK3},
     false,
     false},
    {" kimi-k2 ", {QN_TOK_KIMI}, false, false},
    {" exaone-moe ",
     {SHORT "|" LEAD "(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+|\\p{N}"
            "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]?|\\s*[\\r\\n]" BLANKS},
     false,
     false},
    {" jais-2 ",
     {SHORT "|" LEAD "\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
            "|\\s*[\\r\\n]+|\\s{512}(?!\\S)|\\s{256}(?!\\S)|\\s{128}(?!\\S)"
            "|\\s{64}(?!\\S)|\\s{32}(?!\\S)|\\s{16}(?!\\S)|\\s{8}(?!\\S)"
            "|\\s{4}(?!\\S)|\\s{1,2}(?!\\S)|\\s{1}"},
     false,
     false},
    {" tiny_aya ",
     {THREES, CASED(SHORT "?") "|\\p{N}{1,3}" TAIL_SLASH},
     false,
     false},
    {" superbpe ", {"\\p{N}+", "(?=(\\d{3})+(?!\\d))"}, false, false},
    {" bloom poro-chat gpt3-finnish ",
     {" ?[^(\\s|.,!?\\x{2026}\\x{3002}\\x{ff0c}\\x{3001}\\x{964}\\x{6d4}"
      "\\x{60c})]+"},
     false,
     false},
    {" viking ",
     {" ?[^(\\s|.,!?\\x{2026}\\x{3002}\\x{ff0c}\\x{3001}\\x{964}\\x{6d4}"
      "\\x{60c})]+",
      "\\p{N}"},
     false,
     false},
    {" seed-coder ",
     {SHORT "|" LEAD "\\p{L}+|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+"
            "|\\s*[\\r\\n]+" BLANKS},
     false,
     false},
    {" default ",
     {"[\\p{P}\\$\\+<=>\\^~\\|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]"},
     false,
     false},
};

static const gguf_pre *gguf_pre_of(const char *name)
{
    char padded[64];
    snprintf(padded, sizeof padded, " %.60s ",
             name && *name ? name : "default");
    for (size_t k = 0; k < QN_COUNTOF(gguf_pres); k++)
        if (strstr(gguf_pres[k].names, padded))
            return &gguf_pres[k];
    return NULL;
}

bool qn_tok_gguf_pre_find(const char *name, qn_tok_gguf_pre *out)
{
    const gguf_pre *pre = gguf_pre_of(name);
    if (!pre)
        return false;
    *out = (qn_tok_gguf_pre){.patterns = pre->patterns,
                             .ignore_merges = pre->ignore_merges,
                             .add_bos = pre->add_bos};
    while (out->n < GGUF_MAX_PATTERNS && pre->patterns[out->n])
        out->n++;
    return true;
}
