/* quern.h - the public interface: models, text, requests.
 *
 * The only header that programs and bindings see. Three nouns:
 *   qn_model    weights, tokenizer and chat template of one checkpoint
 *   qn_engine   KV cache and scheduler that run requests on a model
 *   qn_request  one prompt on its way to being a completion
 *
 * Conventions
 *   Errors     functions that can fail return 0 or a negative QN_E* code and
 *              fill `err` (which may be NULL) with a message that names the
 *              object and the remedy. Outputs are untouched on failure.
 *   Ownership  *_open/_new give an object that *_close/_free ends; strings
 *              and arrays handed out through `char **` / `int32_t **` belong
 *              to the caller and are released with qn_free(); `const`
 *              pointers are borrowed and live as long as their object. A model
 *              is closed after its engines; a request may be freed after its
 *              engine, which has ended it. NULL is fine for what is freed or
 *              closed, and where it is named; nowhere else.
 *   Memory     what a model, an engine or a request needs much of is
 *              QN_ENOMEM when it is not there. Who has not even a little left
 *              is ended, with a line on standard error.
 *   Threads    a model is immutable after qn_model_open and may be shared.
 *              An engine and its requests belong to one thread at a time;
 *              qn_request_cancel alone may be called from anywhere. Engines of
 *              one model compute in turns. The child of a fork() lacks the
 *              model's threads and can only exec.
 *   Text       UTF-8, length in bytes; never needs to be NUL-terminated on
 *              the way in, always is on the way out.
 */
#ifndef QUERN_H
#define QUERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define QN_API __attribute__((visibility("default")))
#else
#define QN_API
#endif

#define QN_VERSION_MAJOR 0
#define QN_VERSION_MINOR 1
#define QN_VERSION_PATCH 0

/* "0.1.0" of the library that is loaded. */
QN_API const char *qn_version(void);

/* ---- errors ---------------------------------------------------------- */

enum {
    QN_OK = 0,
    QN_EINVAL = -1,    /* an argument or option is wrong               */
    QN_EIO = -2,       /* the operating system refused or cut short    */
    QN_EFORMAT = -3,   /* a file's bytes are not what they claim to be */
    QN_ENOENT = -4,    /* a file, tensor or token is not there         */
    QN_ENOMEM = -5,    /* does not fit into the memory there is        */
    QN_EUNSUP = -6,    /* understood, but not supported                */
    QN_ELIMIT = -7,    /* a stated limit would be exceeded             */
    QN_ECANCEL = -8,   /* the caller interrupted it                    */
    QN_EINTERNAL = -9, /* a defect of ours                             */
    QN_EBUSY = -10     /* no room in the queue now: try again later    */
};

#define QN_ERR_MAX 512

typedef struct qn_err {
    int code;             /* 0 or QN_E*                    */
    char msg[QN_ERR_MAX]; /* one line, UTF-8, no newline   */
} qn_err;

/* Releases what the library handed out. NULL is fine. */
QN_API void qn_free(void *p);

/* Receives the library's log lines (level 0 error .. 3 debug). The default is
 * silence. May be called from several threads at once. */
typedef void (*qn_log_fn)(void *user, int level, const char *line);
QN_API void qn_set_log(qn_log_fn fn, void *user);

/* ---- models ---------------------------------------------------------- */

typedef struct qn_model qn_model;

/* Called while weights are read: bytes done of total. Return false to stop
 * (qn_model_open then fails with QN_ECANCEL). From one thread at a time. */
typedef bool (*qn_progress_fn)(void *user, uint64_t done, uint64_t total);

typedef struct qn_model_params {
    int n_threads;           /* 0: as many as the machine grants         */
    bool no_weights;         /* metadata, tokenizer and plan only        */
    uint64_t memory_limit;   /* bytes; 0: what is available now          */
    const char *kernels;     /* NULL, or "ref" "avx2" "avx512" ... : cap */
    bool exact;              /* f32 arithmetic on the dequantized weights;
                                 activations are never rounded (slower)   */
    qn_progress_fn progress; /* may be NULL                              */
    void *progress_user;
    bool text_only; /* tokenizer and chat template only: a folder or a GGUF
                       file without a network, or with an unknown one, will do */
} qn_model_params;

/* Opens an HF directory, a .gguf or .safetensors file, org/name[@revision] as
 * the Hugging Face hub's cache has it, or (path NULL or "builtin") the built-in
 * model. `params` NULL means defaults. An embedding of a megabyte or more that
 * is not the output head as well stays in its file, which is kept open and must
 * not be written over: what needs it would fail with QN_EIO. Replacing or
 * deleting that file is fine. */
QN_API int qn_model_open(qn_model **out, const char *path,
                         const qn_model_params *params, qn_err *err);
/* QN_EIO: what the model still reads of its files (an embedding, see qn_model_open)
 * cannot be read, or is not what it was; 16 rows of a table vouch for it. */
QN_API int qn_model_check(const qn_model *model, qn_err *err);
QN_API void qn_model_close(qn_model *model);

/* Everything that can be said of a model, as one JSON object: architecture,
 * hyper-parameters, parameter count, formats and bytes per role, memory plan
 * for `n_ctx` tokens x `n_seq` sequences (0: defaults), kernels chosen. */
QN_API int qn_model_info(const qn_model *model, int64_t n_ctx, int n_seq,
                         char **json, qn_err *err);

QN_API int qn_model_n_vocab(const qn_model *model);
/* Longest prompt + completion the model was made for, tokens. */
QN_API int64_t qn_model_n_ctx_train(const qn_model *model);

typedef struct qn_pull_status {
    uint64_t done, total; /* bytes that are here; of all files known so far */
    int files_done, files_total;
    const char *note; /* what is being waited for, or NULL */
} qn_pull_status;

/* Called about ten times a second from the caller's thread. Return false to
 * stop (qn_pull then fails with QN_ECANCEL). */
typedef bool (*qn_pull_fn)(void *user, const qn_pull_status *status);

typedef struct qn_pull_params {
    const char *file;    /* NULL, or part of the name of a GGUF file    */
    int n_parallel;      /* files at a time; 0: 4                       */
    qn_pull_fn progress; /* may be NULL                                 */
    void *progress_user;
} qn_pull_params;

/* Downloads org/name[@revision] from the Hugging Face hub into its cache, what
 * is needed and not there yet, checksums compared; *path is what qn_model_open
 * takes. An attempt that failed is continued by the next. Heeds HF_TOKEN,
 * HF_ENDPOINT, HF_HOME, HF_HUB_CACHE, HF_HUB_OFFLINE. QN_EUNSUP without
 * libcurl on this machine. Any thread; two at once wait for each other. */
QN_API int qn_pull(const char *name, const qn_pull_params *params, char **path,
                   qn_err *err);

/* ---- text ------------------------------------------------------------ */

/* Text -> ids. `special`: add what the post-processor adds (BOS, ...).
 * `parse_special`: special tokens written out in `text` become their ids
 * (false for text from strangers). *ids has *n_ids elements. */
QN_API int qn_tokenize(const qn_model *model, const char *text, size_t len,
                       bool special, bool parse_special, int32_t **ids,
                       size_t *n_ids, qn_err *err);
/* The same, cut and filled as the truncation and padding sections of its
 * tokenizer.json say, where it has them. Nothing else in quern heeds those: a
 * prompt is never cut. */
QN_API int qn_tokenize_fit(const qn_model *model, const char *text, size_t len,
                           bool special, bool parse_special, int32_t **ids,
                           size_t *n_ids, qn_err *err);
/* Ids -> text. `skip_special` leaves special tokens out. */
QN_API int qn_detokenize(const qn_model *model, const int32_t *ids,
                         size_t n_ids, bool skip_special, char **text,
                         size_t *len, qn_err *err);
/* The vocabulary's own spelling of one id (not decoded), or NULL. */
QN_API const char *qn_token_text(const qn_model *model, int32_t id,
                                 size_t *len);
/* What one id adds to a text that has begun: bytes, which need not be whole
 * characters; those of a text's ids together are the text. Of a special token,
 * and where it depends on the neighbours, the text of the id alone. */
QN_API int qn_token_bytes(const qn_model *model, int32_t id, char **bytes,
                          size_t *len, qn_err *err);

/* Renders the model's chat template. `messages` is a JSON array of
 * {"role","content",...}; `tools` a JSON array or NULL; `kwargs` a JSON
 * object of further template variables or NULL. QN_EUNSUP when the model has
 * no template or it cannot be rendered exactly. */
QN_API int qn_chat_render(const qn_model *model, const char *messages,
                          const char *tools, bool add_generation_prompt,
                          const char *kwargs, char **text, size_t *len,
                          qn_err *err);

/* ---- sampling -------------------------------------------------------- */

typedef struct qn_logit_bias {
    int32_t id;
    float bias; /* added to the logit, at most 1e6; -INFINITY bans it */
} qn_logit_bias;

/* One field per knob; qn_sampling_default() switches every knob off but
 * temperature 1. Order of application: constraint mask and allowed/banned
 * ids, logit_bias, repetition / frequency / presence penalties, DRY,
 * min_tokens, then temperature (0 = greedy: stops here), top_k, top_n_sigma,
 * typical_p, top_p, min_p, XTC, then the draw (or mirostat). */
typedef struct qn_sampling {
    float temperature;     /* 0 (or below 1e-5): greedy                  */
    int top_k;             /* 0: off                                     */
    float top_p;           /* 1: off                                     */
    float min_p;           /* 0: off                                     */
    float typical_p;       /* 1: off                                     */
    float top_n_sigma;     /* 0: off                                     */
    float xtc_probability; /* 0: off                                     */
    float xtc_threshold;   /* > 0.5: off                                 */
    float dry_multiplier;  /* 0: off                                     */
    float dry_base;
    int dry_allowed_length;
    int dry_range; /* last tokens looked at; -1: all             */
    const int32_t *dry_breakers; /* ids that end a DRY match                */
    size_t n_dry_breakers;
    int mirostat; /* 0: off, 2: mirostat v2                     */
    float mirostat_tau, mirostat_eta;
    float repetition_penalty; /* 1: off; over prompt and completion         */
    float presence_penalty;   /* 0: off; over the completion                */
    float frequency_penalty;  /* 0: off; over the completion                */
    int penalty_last_n;       /* window of the repetition penalty; -1: all  */
    const qn_logit_bias *logit_bias;
    size_t n_logit_bias;
    const int32_t *allowed_ids; /* if n_allowed > 0, only these             */
    size_t n_allowed;
    const int32_t *banned_ids;
    size_t n_banned;
    uint64_t seed; /* same seed, same tokens, whatever the batch */
} qn_sampling;

QN_API void qn_sampling_default(qn_sampling *s);
/* Defaults plus what the model's generation_config.json says. */
QN_API void qn_sampling_from_model(const qn_model *model, qn_sampling *s);
/* What a request that gives no temperature means, when its other knobs are set
 * over the above: 1 where the model says 0 and chance is asked for, by n > 1 or
 * by a knob that leaves some tokens out of the draw. */
QN_API void qn_sampling_complete(qn_sampling *s, int n);

/* ---- engine and requests --------------------------------------------- */

typedef struct qn_engine qn_engine;
typedef struct qn_request qn_request;

typedef enum qn_kv_type { /* element type of the KV cache */
    QN_KV_AUTO,           /* f32 for f32 weights and exact; else f16, or
                             bf16 where that is faster (AMX; AMD) */
    QN_KV_F32,
    QN_KV_F16,
    QN_KV_BF16,
    QN_KV_INT8 /* a factor for each key and value of a head */
} qn_kv_type;

enum {
    QN_DEFAULT_SEQS = 16,
    QN_DEFAULT_BATCH = 512
};

typedef struct qn_engine_params {
    int64_t n_ctx; /* KV tokens for all sequences together; 0: auto  */
    int max_seqs;  /* sequences in one step; 0: QN_DEFAULT_SEQS      */
    int max_batch; /* tokens in one step (chunk size); 0:
                      QN_DEFAULT_BATCH                               */
    qn_kv_type kv_type;
    bool prefix_cache;   /* later prompts that begin alike share KV         */
    int max_prompt_rows; /* prompt tokens in a step beside sequences that
                            decode, which wait for them; 0: auto            */
    int max_waiting;     /* requests that wait for room; 0: any number      */
    int speculate;       /* tokens guessed ahead, at most, from what followed
                            the same words before: nothing else comes out,
                            but in fewer steps. 0: none                     */
    bool overcommit;     /* admit before a request's last page is free; who
                            came last gives way and is computed again       */
    uint64_t swap_bytes; /* memory for KV of those who give way, where to copy
                            is cheaper than to compute again; 0: none       */
    double max_step_ms;  /* prompts are cut so that no step takes longer, as
                            far as a step can be cut; 0: any time           */
} qn_engine_params;

QN_API int qn_engine_new(qn_engine **out, qn_model *model,
                         const qn_engine_params *params, qn_err *err);
QN_API void qn_engine_free(qn_engine *engine);

/* What a completion's text has to be. It is that, whole, when it ends with
 * QN_FINISH_STOP; the length may cut it. End tokens are allowed where it is
 * complete. Needs a tokenizer; not with beams. */
typedef enum qn_format {
    QN_FORMAT_TEXT,        /* anything                                      */
    QN_FORMAT_JSON,        /* one JSON value, nested at most 32 deep        */
    QN_FORMAT_JSON_OBJECT, /* one JSON object                               */
    QN_FORMAT_JSON_SCHEMA, /* a JSON value that `schema` describes; a keyword
                              that is not supported is an error             */
    QN_FORMAT_REGEX,       /* a match of `schema`, a regular expression, from
                              its first to its last character               */
    QN_FORMAT_CHOICE,      /* one of the strings of `schema`, a JSON array  */
    QN_FORMAT_GRAMMAR      /* what `schema`, a grammar in GBNF, describes   */
} qn_format;

typedef struct qn_request_params {
    const int32_t *prompt; /* token ids, copied; n_prompt >= 1           */
    size_t n_prompt;
    int max_new_tokens; /* >= 0; 0 computes the prompt only           */
    int min_new_tokens; /* before, ends are masked and no stop counts */
    bool ignore_eos;
    const int32_t *stop_ids; /* besides the model's own end tokens         */
    size_t n_stop_ids;
    const char *const *stop; /* strings that end the text, not emitted     */
    size_t n_stop;
    int n;                 /* completions; 0 or 1: one                   */
    int n_beams;           /* > 1: beam search, sampling is not used     */
    float length_penalty;  /* beam score = logprob / length^penalty      */
    bool early_stopping;   /* beam search ends with n_beams finished     */
    int n_logprobs;        /* -1: none, k: chosen token and the top k;
                             not with beams                             */
    int n_prompt_logprobs; /* the same of the prompt's tokens           */
    bool prompt_logits;    /* keep logits of every prompt position       */
    bool skip_special;     /* leave special tokens out of the text       */
    int priority;          /* lower is admitted earlier                  */
    uint32_t tenant;       /* whose it is: who got fewest tokens is next */
    uint64_t cache_salt;   /* KV is shared among equal salts only        */
    bool context_shift;    /* when the context is full, forget half of the
                             tokens behind the first n_keep and go on   */
    int n_keep;
    int kv_window;      /* > 0: a text without end. A token looks at the
                           first n_keep and the last kv_window, both rounded
                           up to whole KV pages; only they hold KV, nothing
                           is computed again; 0: all tokens             */
    double deadline_ms; /* from submit: cancelled then; 0: none        */
    qn_format format;
    const char *schema; /* for QN_FORMAT_JSON_SCHEMA and those below  */
    size_t n_schema;    /* its bytes                                  */
    bool include_stop;  /* the text has the stop string, or the text of the
                           token, that ended it                        */
    bool answer;        /* the text is one of its own (an answer in a chat):
                           the blank that its first word may begin with is
                           left out, but for formats. false: it goes on from
                           the prompt's                                */
    qn_sampling sampling;
} qn_request_params;

QN_API void qn_request_params_default(qn_request_params *p);

typedef enum qn_finish {
    QN_FINISH_NONE,   /* still running                      */
    QN_FINISH_STOP,   /* end token, stop id or stop string  */
    QN_FINISH_LENGTH, /* max_new_tokens or context is full  */
    QN_FINISH_CANCEL,
    QN_FINISH_ERROR /* qn_request_error tells why         */
} qn_finish;

typedef struct qn_top_logprob {
    int32_t id;
    float logprob;
} qn_top_logprob;

/* What happened to a completion since it was last asked: zero or one token
 * and the text that became certain (whole code points; text held back because
 * a stop string may be forming comes later or not at all). */
typedef struct qn_event {
    int index;     /* which of the n completions                 */
    int32_t id;    /* token, or -1 when there is only text/finish */
    float logprob; /* of `id`, if n_logprobs >= 0                */
    const qn_top_logprob *top;
    size_t n_top;
    const char *text; /* borrowed until the next call on the engine */
    size_t text_len;
    qn_finish finish; /* set on the completion's last event         */
    int stop;         /* which stop string ended it; -1: none       */
} qn_event;

/* Queues a request. QN_ELIMIT when it can never fit, with both numbers;
 * QN_EBUSY when max_waiting requests wait already. */
QN_API int qn_request_submit(qn_engine *engine, const qn_request_params *p,
                             qn_request **out, qn_err *err);
/* Ends it if it still runs, and forgets it. */
QN_API void qn_request_free(qn_request *req);
/* Any thread. The request ends with QN_FINISH_CANCEL at the next step; this
 * one is cut short where nobody else takes part in it. */
QN_API void qn_request_cancel(qn_request *req);

/* A paused request keeps its KV but takes part in no step. */
QN_API void qn_request_pause(qn_request *req, bool paused);

/* One forward pass over whatever is ready. Returns the number of requests
 * that still run or wait (0: idle), or a negative code when the pass itself
 * failed. A request that cannot go on ends alone, with QN_FINISH_ERROR; where
 * the pass has no memory, all that take part in it do. */
QN_API int qn_engine_step(qn_engine *engine, qn_err *err);

/* Calls fn now and then in the middle of a step that takes long, from the
 * thread that steps: it may cancel requests, and nothing else. A pass of whose
 * requests every one is cancelled, or past its deadline, is given up at once;
 * nobody else's tokens change. NULL: not any more. */
typedef void (*qn_watch_fn)(void *user);
QN_API void qn_engine_watch(qn_engine *engine, qn_watch_fn fn, void *user);

/* Does a part, of some milliseconds, of what the next steps would otherwise
 * have to do: for when there is nothing else to do. false: all is done. */
QN_API bool qn_engine_prepare(qn_engine *engine);

/* Next event of a request: 1 and *ev, or 0 when there is none yet. */
QN_API int qn_request_next(qn_request *req, qn_event *ev);

/* Why the request ended with QN_FINISH_ERROR, or by its deadline: fills err and
 * returns its code; 0 when it did not. */
QN_API int qn_request_error(const qn_request *req, qn_err *err);

/* Logits of the prompt, f32 [n_prompt, n_vocab], after the request has
 * finished its prefill with `prompt_logits`; else NULL. Borrowed. */
QN_API const float *qn_request_prompt_logits(const qn_request *req);

/* Of prompt token i >= 1, given those before it: id, logprob and the likeliest
 * in *ev, borrowed as long as the request. 1, or 0 while it is not known, or
 * n_prompt_logprobs did not ask. */
QN_API int qn_request_prompt_logprob(const qn_request *req, size_t i,
                                     qn_event *ev);

typedef struct qn_request_stats {
    int n_prompt, n_completion;   /* tokens                                */
    int n_cached;                 /* prompt tokens found in the cache      */
    double queued_ms, prefill_ms; /* waiting; submit-to-first-token - wait */
    double decode_ms;             /* first to last token                   */
    double ttft_ms;               /* submit to first token                 */
    int n_guessed, n_right;       /* tokens guessed ahead; of them correct */
    int n_preempted;              /* times it gave way                     */
} qn_request_stats;

QN_API void qn_request_get_stats(const qn_request *req, qn_request_stats *s);

typedef struct qn_engine_stats {
    int n_running, n_waiting;      /* requests                              */
    int64_t n_ctx;                 /* KV tokens for all sequences together  */
    int64_t n_pages, n_pages_used; /* KV pages; held by running requests    */
    int64_t n_pages_cached;        /* held by the prefix cache alone        */
    uint64_t n_steps, n_rows;      /* forward passes, tokens in them        */
    uint64_t cache_queries;        /* prompt tokens looked up in the cache, */
    uint64_t cache_hits;           /* and found                             */
    double step_ms, forward_ms;    /* time in steps; of it in passes        */
    uint64_t n_guessed, n_right;   /* tokens guessed ahead; of them correct */
    uint64_t n_preempted;          /* times that a request gave way         */
    uint64_t n_swapped;            /* of them with its KV kept in memory    */
    uint64_t swap_bytes;           /* of such memory, now                   */
} qn_engine_stats;

QN_API void qn_engine_get_stats(const qn_engine *engine, qn_engine_stats *s);

/* ---- sessions --------------------------------------------------------- */

/* Saves what the engine's prefix cache holds of these tokens under `salt`, whole
 * pages of them from the first on; *n_saved tokens (may be NULL). QN_EUNSUP
 * without a prefix cache, QN_ENOENT when it holds none of them. */
QN_API int qn_session_save(qn_engine *engine, const char *path,
                           const int32_t *tokens, size_t n, uint64_t salt,
                           size_t *n_saved, qn_err *err);
/* Puts a saved session into the prefix cache, where prompts that begin with its
 * tokens find it. *tokens are the caller's (qn_free), or NULL if not wanted.
 * QN_EFORMAT for a damaged file, QN_EINVAL for one of another model, KV type or
 * kernels, QN_ELIMIT when there is no room. Not within a step. */
QN_API int qn_session_load(qn_engine *engine, const char *path, uint64_t salt,
                           int32_t **tokens, size_t *n, qn_err *err);

/* ---- the machine ----------------------------------------------------- */

/* What this machine has and what quern uses of it, as one JSON object:
 * processor, instruction sets, cores granted, memory, huge pages, kernels. */
QN_API int qn_doctor(char **json, qn_err *err);

#ifdef __cplusplus
}
#endif
#endif
