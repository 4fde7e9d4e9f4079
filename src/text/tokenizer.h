/* tokenizer.h - text to token ids and back.
 *
 * A tokenizer is a compiled pipeline: normalizer -> added-token split ->
 * pre-tokenizer -> model -> post-processor, and a chain of decoders. It is
 * opened from a tokenizer.json (executed as written), from vocab.json +
 * merges.txt, from the arrays of a GGUF file or from a tiktoken rank file;
 * afterwards nobody can tell which.
 *
 * Ownership: qn_tok_open_* copy what they need; qn_tok_close frees. Views and
 * strings handed out are borrowed and live as long as the tokenizer.
 * Threads: an open tokenizer is immutable: any number of threads may encode
 * and decode at once. A qn_detok belongs to one thread.
 * Text: UTF-8. Bytes that are not valid UTF-8 are taken as U+FFFD, one per
 * maximal ill-formed subpart (as WHATWG decoders do); nothing is refused.
 * Errors: definitions are hostile input: QN_EFORMAT for what is malformed,
 * QN_EUNSUP (naming type and field) for what is not understood.
 */
#ifndef QN_TEXT_TOKENIZER_H
#define QN_TEXT_TOKENIZER_H

#include "base/err.h"
#include "base/str.h"
#include "base/vec.h"

#include <jansson.h>

typedef struct qn_tok qn_tok;

/* ---- opening --------------------------------------------------------- */

/* From a model folder: tokenizer.json if it is there, else vocab.json +
 * merges.txt, else tokenizer.model (SentencePiece, or ranks as Llama 3's are),
 * else tekken.json, else its one .tiktoken file; with tokenizer_config.json,
 * special_tokens_map.json and added_tokens.json when present. QN_ENOENT when
 * the folder has none. */
int qn_tok_open_dir(qn_tok **out, const char *dir, qn_err *err);
/* One file of such a folder: .json, .model or .tiktoken, with the
 * tokenizer_config.json beside it. */
int qn_tok_open_file(qn_tok **out, const char *path, qn_err *err);

/* A tokenizer.json text. `config` is the parsed tokenizer_config.json or NULL:
 * it names bos/eos/unk/pad and may add tokens (added_tokens_decoder); the
 * pipeline is the tokenizer.json's alone. `name` is for messages. */
int qn_tok_open_json(qn_tok **out, qn_view json, const json_t *config,
                     const char *name, qn_err *err);

/* vocab.json + merges.txt of the GPT-2 manner (GPT-2, OPT, RoBERTa). The rest
 * may be NULL: tokenizer_config.json (add_prefix_space, add_bos_token,
 * tokenizer_class, bos/eos/unk/pad), special_tokens_map.json,
 * added_tokens.json. */
typedef struct qn_tok_bpe_files {
    qn_view vocab, merges;
    const json_t *config, *special_map, *added;
    const char *name;
} qn_tok_bpe_files;
int qn_tok_open_bpe(qn_tok **out, const qn_tok_bpe_files *f, qn_err *err);

/* The tokenizer.ggml.* metadata of a GGUF file. Borrowed during the call.
 * Ids that the file does not state are -1, flags that it does not state are
 * -1 (each model then has its own default), arrays that it lacks are NULL. */
typedef struct qn_tok_gguf {
    const char *name;  /* for messages                               */
    const char *model; /* "gpt2", "llama", "bert", "t5"              */
    const char *pre;   /* "llama-bpe", "qwen2", ...; NULL if absent  */
    size_t n_tokens;
    const qn_view *tokens; /* [n_tokens]                                 */
    const float *scores;   /* [n_tokens] or NULL                         */
    const int32_t *types;  /* [n_tokens] 1 normal 2 unknown 3 control
                              4 user defined 5 unused 6 byte, or NULL    */
    size_t n_merges;
    const qn_view *merges; /* [n_merges] "left right"                    */
    int32_t bos, eos, unk, pad, eot; /* bert: bos is [CLS], eos is [SEP] */
    int add_bos, add_eos, add_space_prefix, remove_extra_whitespaces;
    qn_view charsmap; /* precompiled_charsmap, empty if absent      */
} qn_tok_gguf;
int qn_tok_open_gguf(qn_tok **out, const qn_tok_gguf *g, qn_err *err);

/* How a name of tokenizer.ggml.pre (NULL or "": the default) divides text. */
typedef struct qn_tok_gguf_pre {
    const char *const *patterns; /* [n] applied one after the other */
    size_t n;
    bool ignore_merges, add_bos;
} qn_tok_gguf_pre;
bool qn_tok_gguf_pre_find(const char *name, qn_tok_gguf_pre *out);

/* A .tiktoken rank file ("base64 rank" lines). `pattern` is a regex, or one
 * of the names "r50k", "p50k", "cl100k", "o200k", "llama3", "qwen2".
 * `special` (n of them) get the ids given. */
typedef struct qn_tok_special {
    const char *text;
    int32_t id;
} qn_tok_special;
int qn_tok_open_tiktoken(qn_tok **out, qn_view ranks, const char *pattern,
                         const qn_tok_special *special, size_t n_special,
                         const char *name, qn_err *err);

/* Mistral's tekken.json; `config` as above, or NULL. */
int qn_tok_open_tekken(qn_tok **out, qn_view text, const json_t *config,
                       const char *name, qn_err *err);

/* A SentencePiece model (tokenizer.model). `config` is tokenizer_config.json:
 * what surrounds the text is then that of its tokenizer_class and flags, and
 * control tokens in a text can be asked for; NULL: as SentencePiece itself. */
int qn_tok_open_spm(qn_tok **out, qn_view model, const json_t *config,
                    const char *name, qn_err *err);

/* NULL is fine. */
void qn_tok_close(qn_tok *t);

/* ---- text to ids ----------------------------------------------------- */

enum {
    /* Add what the post-processor adds (<s>, </s>, ...). */
    QN_TOK_SPECIAL = 1,
    /* Special tokens written out in the text become their ids. Without it
     * they are ordinary text (added tokens that are not special are found in
     * any case), so that untrusted text cannot smuggle in control tokens. */
    QN_TOK_PARSE_SPECIAL = 2,
    /* Cut and fill as the truncation and padding sections say: the library
     * `tokenizers` does by itself, transformers only when asked. */
    QN_TOK_FIT = 4,
    /* What transformers does by default. */
    QN_TOK_DEFAULT = 3
};

/* Where a token came from: code points [begin, end) of the text as given;
 * [0, 0) for tokens that the post-processor added. */
typedef struct qn_tok_span {
    uint32_t begin, end;
} qn_tok_span;

typedef QN_VEC(int32_t) qn_tok_ids;
typedef QN_VEC(qn_tok_span) qn_tok_spans;

/* Appends the ids of text to `ids`, and one span per id to `spans` unless it
 * is NULL. On failure neither has grown. QN_ELIMIT for texts above
 * QN_TOK_MAX_TEXT bytes or a pattern that needs too much backtracking. */
#define QN_TOK_MAX_TEXT ((size_t)1 << 26)
int qn_tok_encode(const qn_tok *t, const char *text, size_t n, unsigned flags,
                  qn_tok_ids *ids, qn_tok_spans *spans, qn_err *err);

/* ---- ids to text ----------------------------------------------------- */

/* Appends the text of ids. Ids that the vocabulary lacks stand for nothing
 * (as in Hugging Face). The text is always valid UTF-8. */
int qn_tok_decode(const qn_tok *t, const int32_t *ids, size_t n,
                  bool skip_special, qn_str *out, qn_err *err);

/* The same, token by token. push and flush append to `out` only text that
 * later ids cannot change, in whole code points; everything appended up to
 * the flush together equals what qn_tok_decode makes of the same ids. After a
 * flush the next push begins a new text. Allocates nothing per token once its
 * buffers have grown. */
typedef struct qn_detok qn_detok;
qn_detok *qn_detok_new(const qn_tok *t, bool skip_special);
void qn_detok_free(qn_detok *d);
/* Before the first push: the text goes on from that of these ids. What is
 * appended is what follows that text when both are decoded together, but for
 * its special tokens, which are left out here in any case: behind nothing else
 * a text begins. */
int qn_detok_follow(qn_detok *d, const int32_t *ids, size_t n, qn_err *err);
int qn_detok_push(qn_detok *d, int32_t id, qn_str *out, qn_err *err);
int qn_detok_flush(qn_detok *d, qn_str *out, qn_err *err);

/* ---- the vocabulary -------------------------------------------------- */

/* Highest id + 1, added tokens included. */
size_t qn_tok_n_vocab(const qn_tok *t);
/* As the vocabulary spells it ("\u0120the", "<0x0A>"); p is NULL for an id
 * that is not there. */
qn_view qn_tok_text(const qn_tok *t, int32_t id);
/* -1 when there is none. */
int32_t qn_tok_id(const qn_tok *t, const char *text, size_t n);
/* The bytes that an id adds to a text that has begun, appended to `out`; they
 * need not be whole code points. false, and nothing appended, when that
 * depends on its neighbours, or it is a control token or not there. */
bool qn_tok_bytes(const qn_tok *t, int32_t id, qn_str *out);
/* Control tokens: what skip_special leaves out. */
bool qn_tok_is_special(const qn_tok *t, int32_t id);

typedef enum qn_tok_role {
    QN_TOK_BOS,
    QN_TOK_EOS,
    QN_TOK_UNK,
    QN_TOK_PAD,
    QN_TOK_EOT, /* end of turn, where a GGUF file names one */
    QN_TOK_N_ROLE
} qn_tok_role;
/* -1 when the definition does not name one. */
int32_t qn_tok_role_id(const qn_tok *t, qn_tok_role role);

#endif
