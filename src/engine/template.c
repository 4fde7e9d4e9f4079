/* template.c - see template.h.
 *
 * An HF folder keeps templates in files of its own or in
 * tokenizer_config.json, a GGUF file in its metadata, the named ones of
 * several as tokenizer.chat_template.NAME. Special tokens are what the
 * folder's configuration says, or the texts of the vocabulary's roles. */
#include "engine/template.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "engine/vocab.h"
#include "text/chat.h"

#include <stdlib.h>

#define GGUF_KEY "tokenizer.chat_template"
#define MAX_CONFIG ((size_t)1 << 26)

struct qn_template {
    qn_chattpl *tpl;
    json_t *special; /* object: bos_token, eos_token, ... */
};

/* The JSON of a side file, or NULL when there is none or it is not JSON: the
 * tokenizer complains about that, templates do without. */
static json_t *side_json(const char *dir, const char *name)
{
    json_t *v = NULL;
    char *path = qn_path_join(dir, name);
    if (!qn_path_is_file(path) ||
        qn_json_load_python(&v, path, MAX_CONFIG, NULL) < 0)
        v = NULL;
    free(path);
    return v;
}

static void add_role(json_t *special, const char *key, const qn_tok *tok,
                     qn_tok_role role)
{
    int32_t id = tok ? qn_tok_role_id(tok, role) : -1;
    qn_view v = id >= 0 ? qn_tok_text(tok, id) : (qn_view){NULL, 0};
    if (v.p && !json_object_get(special, key))
        json_object_set_new(special, key, json_stringn(v.p, v.n));
}

static void add_roles(json_t *special, const qn_tok *tok)
{
    add_role(special, "bos_token", tok, QN_TOK_BOS);
    add_role(special, "eos_token", tok, QN_TOK_EOS);
    add_role(special, "unk_token", tok, QN_TOK_UNK);
    add_role(special, "pad_token", tok, QN_TOK_PAD);
}

static int open_folder(qn_template *t, const char *dir, qn_err *err)
{
    json_t *config = side_json(dir, "tokenizer_config.json");
    int rc = qn_chattpl_open_dir(&t->tpl, dir, config, err);
    if (rc == 0) {
        json_t *map = side_json(dir, "special_tokens_map.json");
        t->special = qn_chattpl_special_tokens(config, map);
        json_decref(map);
    }
    json_decref(config);
    return rc;
}

static int open_gguf_templates(qn_template *t, const qn_ckpt *ck, qn_err *err)
{
    const size_t stem = strlen(GGUF_KEY);
    json_t *all = json_object();
    for (size_t i = 0; i < qn_ckpt_gguf_n_kv(ck); i++) {
        const qn_gguf_kv *kv = qn_ckpt_gguf_kv_at(ck, i);
        if (kv->type != QN_GGUF_STR || kv->key.n < stem ||
            memcmp(kv->key.p, GGUF_KEY, stem) != 0)
            continue;
        qn_view name = qn_view_cstr("default");
        if (kv->key.n > stem + 1 && kv->key.p[stem] == '.')
            name = qn_view_of(kv->key.p + stem + 1, kv->key.n - stem - 1);
        else if (kv->key.n != stem)
            continue;
        json_t *text = json_stringn(kv->v.str.p, kv->v.str.n);
        if (!text) {
            json_decref(all);
            return qn_fail(err, QN_EFORMAT, "%s: %s is not UTF-8",
                           qn_ckpt_path(ck), GGUF_KEY);
        }
        char *key = qn_xstrndup(name.p, name.n);
        json_object_set_new(all, key, text);
        free(key);
    }
    int rc = json_object_size(all)
                 ? qn_chattpl_open(&t->tpl, all, qn_ckpt_path(ck), err)
                 : qn_fail(err, QN_ENOENT,
                           "%s: no chat template (" GGUF_KEY ")",
                           qn_ckpt_path(ck));
    json_decref(all);
    if (rc == 0)
        t->special = json_object();
    return rc;
}

static int finish_open(qn_template **out, qn_template *t, const qn_tok *tok,
                       int rc)
{
    if (rc < 0) {
        qn_template_close(t);
        return rc;
    }
    add_roles(t->special, tok);
    *out = t;
    return 0;
}

int qn_template_open_dir(qn_template **out, const char *dir, const qn_tok *tok,
                         qn_err *err)
{
    qn_template *t = qn_xcalloc(1, sizeof *t);
    return finish_open(out, t, tok, open_folder(t, dir, err));
}

int qn_template_open(qn_template **out, const qn_ckpt *ck, const qn_tok *tok,
                     qn_err *err)
{
    if (qn_ckpt_container(ck) == QN_CKPT_GGUF) {
        qn_template *t = qn_xcalloc(1, sizeof *t);
        return finish_open(out, t, tok, open_gguf_templates(t, ck, err));
    }
    char *dir = qn_vocab_dir(ck);
    int rc = qn_template_open_dir(out, dir, tok, err);
    free(dir);
    return rc;
}

void qn_template_close(qn_template *t)
{
    if (!t)
        return;
    qn_chattpl_close(t->tpl);
    json_decref(t->special);
    free(t);
}

static int parse(json_t **out, const char *text, const char *name, qn_err *err)
{
    return text ? qn_json_parse(out, text, strlen(text), name, err) : 0;
}

int qn_template_render(const qn_template *t, const char *messages,
                       const char *tools, bool add_generation_prompt,
                       const char *kwargs, qn_str *out, qn_err *err)
{
    json_t *m = NULL, *f = NULL, *k = NULL;
    int rc = 0;
    QN_TRY_OUT(parse(&m, messages ? messages : "[]", "messages", err));
    QN_TRY_OUT(parse(&f, tools, "tools", err));
    QN_TRY_OUT(parse(&k, kwargs, "kwargs", err));
    qn_chattpl_input in = {.messages = m,
                           .tools = f,
                           .special = t->special,
                           .kwargs = k,
                           .add_generation_prompt = add_generation_prompt};
    QN_TRY_OUT(qn_chattpl_render(t->tpl, &in, out, err));
out:
    json_decref(m);
    json_decref(f);
    json_decref(k);
    return rc;
}
