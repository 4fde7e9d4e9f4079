/* chat.h - chat templates: what transformers' apply_chat_template does around
 * the template language of jinja.h.
 *
 * Ownership: a qn_chattpl owns its templates; inputs are borrowed for the call.
 * Threads: an open qn_chattpl is immutable: any number of threads may render.
 * Errors: as in jinja.h. A template that does not compile is no error before
 * somebody renders with it, so that its model can still be used without it. */
#ifndef QN_TEXT_CHAT_H
#define QN_TEXT_CHAT_H

#include "text/jinja.h"

typedef struct qn_chattpl qn_chattpl;

/* `spec` is the chat_template of a tokenizer_config.json: a string, or an
 * array of {"name", "template"}, or an object from name to template. */
int qn_chattpl_open(qn_chattpl **out, const json_t *spec, const char *name,
                    qn_err *err);
/* One template, as in a GGUF file or a .jinja file. */
int qn_chattpl_open_text(qn_chattpl **out, const char *text, size_t n,
                         const char *name, qn_err *err);
/* From a model folder, in this order: chat_template.jinja with
 * additional_chat_templates/NAME.jinja; `config` (the parsed
 * tokenizer_config.json, or NULL); chat_template.json. QN_ENOENT when it has
 * none of them. */
int qn_chattpl_open_dir(qn_chattpl **out, const char *dir, const json_t *config,
                        qn_err *err);
void qn_chattpl_close(qn_chattpl *t);

/* The templates by name, "default" when there is only one. */
size_t qn_chattpl_count(const qn_chattpl *t);
const char *qn_chattpl_name(const qn_chattpl *t, size_t i);

/* bos_token, eos_token, ... -> text, as templates see them, from a
 * tokenizer_config.json and, for what that leaves out, a
 * special_tokens_map.json; either may be NULL. A new object. */
json_t *qn_chattpl_special_tokens(const json_t *config, const json_t *map);

typedef struct qn_chattpl_input {
    const json_t *messages;  /* array of {"role", "content", ...}         */
    const json_t *tools;     /* array, or NULL                            */
    const json_t *documents; /* array, or NULL                            */
    const json_t *special;   /* object: special tokens, or NULL           */
    const json_t *kwargs;    /* object: further variables, which hide the
                                special tokens; or NULL                   */
    const char *which;       /* a template's name; NULL: tool_use when there
                                are tools and it exists, else default     */
    bool add_generation_prompt;
    const struct tm *now; /* for strftime_now; NULL: the local time    */
    qn_jinja_limits limits;
} qn_chattpl_input;

/* Appends the prompt to `out`. Where nothing of the last user's text would be in
 * it, contents that are texts are handed over as lists of one part: templates of
 * networks that see know those alone. */
int qn_chattpl_render(const qn_chattpl *t, const qn_chattpl_input *in,
                      qn_str *out, qn_err *err);

#endif
