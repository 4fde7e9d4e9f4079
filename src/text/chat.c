/* chat.c - chat templates: finding them, choosing one, its variables.
 *
 * The rules are those of transformers (tokenization_utils_base.py and
 * chat_template_utils.py, read at 4.57 and 5): messages, tools, documents and
 * add_generation_prompt are always defined (tools and documents as none when
 * absent); special tokens are, when the tokenizer has them. */
#include "text/chat.h"

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/vec.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

enum {
    CHAT_MAX_FILE = 1 << 21,
    CHAT_MAX_TEMPLATES = 64
};

typedef struct chat_entry {
    char *name;
    qn_jinja *tpl; /* NULL: err says why */
    qn_err err;
} chat_entry;

struct qn_chattpl {
    QN_VEC(chat_entry) all;
};

/* ---- opening ------------------------------------------------------------- */

static void chat_add(qn_chattpl *t, const char *name, const char *text,
                     size_t n, const char *file)
{
    chat_entry e = {.name = qn_xstrdup(name)};

    if (qn_jinja_compile(&e.tpl, text, n, file, QN_JINJA_CHAT, &e.err) < 0)
        e.tpl = NULL;
    qn_vec_push(&t->all, e);
}

static const chat_entry *chat_find(const qn_chattpl *t, const char *name)
{
    for (size_t i = 0; i < t->all.n; i++)
        if (strcmp(t->all.v[i].name, name) == 0)
            return &t->all.v[i];
    return NULL;
}

void qn_chattpl_close(qn_chattpl *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->all.n; i++) {
        free(t->all.v[i].name);
        qn_jinja_free(t->all.v[i].tpl);
    }
    qn_vec_deinit(&t->all);
    free(t);
}

int qn_chattpl_open_text(qn_chattpl **out, const char *text, size_t n,
                         const char *name, qn_err *err)
{
    (void)err;
    *out = qn_xcalloc(1, sizeof **out);
    chat_add(*out, "default", text, n, name);
    return 0;
}

static int chat_add_json(qn_chattpl *t, const char *name, const json_t *text,
                         const char *file, qn_err *err)
{
    if (!name || !json_is_string(text))
        return qn_fail(err, QN_EFORMAT,
                       "%s: chat_template: expected a string, or a list of "
                       "{\"name\", \"template\"} with strings",
                       file);
    if (t->all.n == CHAT_MAX_TEMPLATES)
        return qn_fail(err, QN_ELIMIT, "%s: more than %d chat templates", file,
                       CHAT_MAX_TEMPLATES);
    if (!chat_find(t, name))
        chat_add(t, name, json_string_value(text), json_string_length(text),
                 file);
    return 0;
}

static int chat_add_list(qn_chattpl *t, const json_t *spec, const char *file,
                         qn_err *err)
{
    for (size_t i = 0; i < json_array_size(spec); i++) {
        const json_t *one = json_array_get(spec, i);
        QN_TRY(chat_add_json(t, json_string_value(json_object_get(one, "name")),
                             json_object_get(one, "template"), file, err));
    }
    return 0;
}

static int chat_add_object(qn_chattpl *t, const json_t *spec, const char *file,
                           qn_err *err)
{
    json_t *o = (json_t *)(uintptr_t)spec; /* iterating does not change it */

    for (void *it = json_object_iter(o); it; it = json_object_iter_next(o, it))
        QN_TRY(chat_add_json(t, json_object_iter_key(it),
                             json_object_iter_value(it), file, err));
    return 0;
}

int qn_chattpl_open(qn_chattpl **out, const json_t *spec, const char *name,
                    qn_err *err)
{
    qn_chattpl *t = qn_xcalloc(1, sizeof *t);
    int rc;

    if (json_is_array(spec))
        rc = chat_add_list(t, spec, name, err);
    else if (json_is_object(spec))
        rc = chat_add_object(t, spec, name, err);
    else
        rc = chat_add_json(t, "default", spec, name, err);
    if (rc == 0 && t->all.n == 0)
        rc = qn_fail(err, QN_EFORMAT, "%s: chat_template is empty", name);
    if (rc < 0) {
        qn_chattpl_close(t);
        return rc;
    }
    *out = t;
    return 0;
}

/* ---- a model folder ------------------------------------------------------ */

static int chat_add_file(qn_chattpl *t, const char *dir, const char *file,
                         const char *name, qn_err *err)
{
    char *path = qn_path_join(dir, file), *text;
    size_t n;

    int rc = qn_file_slurp(&text, &n, path, CHAT_MAX_FILE, err);
    if (rc == 0) {
        chat_add(t, name, text, n, path);
        qn_free(text);
    }
    qn_free(path);
    return rc;
}

static int chat_is_jinja(const struct dirent *d)
{
    return d->d_name[0] != '.' && qn_ends(d->d_name, ".jinja");
}

/* additional_chat_templates/NAME.jinja, in the order of their names. */
static int chat_add_additional(qn_chattpl *t, const char *dir, qn_err *err)
{
    char *sub = qn_path_join(dir, "additional_chat_templates");
    struct dirent **list = NULL;
    int rc = 0;

    int n = qn_path_is_dir(sub) ? scandir(sub, &list, chat_is_jinja, alphasort)
                                : 0;
    for (int i = 0; i < n; i++) {
        const char *file = list[i]->d_name;
        char *name = qn_xstrndup(file, strlen(file) - strlen(".jinja"));
        if (rc == 0 && t->all.n < CHAT_MAX_TEMPLATES)
            rc = chat_add_file(t, sub, file, name, err);
        free(name);
        free(list[i]);
    }
    free(list);
    qn_free(sub);
    return rc;
}

static int chat_open_jinja(qn_chattpl **out, const char *dir, qn_err *err)
{
    qn_chattpl *t = qn_xcalloc(1, sizeof *t);
    int rc = chat_add_file(t, dir, "chat_template.jinja", "default", err);

    if (rc == 0)
        rc = chat_add_additional(t, dir, err);
    if (rc < 0)
        qn_chattpl_close(t);
    else
        *out = t;
    return rc;
}

static int chat_open_json(qn_chattpl **out, const char *path, qn_err *err)
{
    json_t *j;

    QN_TRY(qn_json_load(&j, path, CHAT_MAX_FILE, err));
    int rc = qn_chattpl_open(out, json_object_get(j, "chat_template"), path,
                             err);
    json_decref(j);
    return rc;
}

int qn_chattpl_open_dir(qn_chattpl **out, const char *dir, const json_t *config,
                        qn_err *err)
{
    char *jinja = qn_path_join(dir, "chat_template.jinja");
    char *json = qn_path_join(dir, "chat_template.json");
    char *from = qn_path_join(dir, "tokenizer_config.json");
    const json_t *spec = json_object_get(config, "chat_template");
    int rc;

    if (qn_path_is_file(jinja))
        rc = chat_open_jinja(out, dir, err);
    else if (spec && !json_is_null(spec))
        rc = qn_chattpl_open(out, spec, from, err);
    else if (qn_path_is_file(json))
        rc = chat_open_json(out, json, err);
    else
        rc = qn_fail(err, QN_ENOENT,
                     "%s: no chat template (chat_template.jinja, or "
                     "chat_template in tokenizer_config.json)",
                     dir);
    qn_free(jinja);
    qn_free(json);
    qn_free(from);
    return rc;
}

size_t qn_chattpl_count(const qn_chattpl *t)
{
    return t->all.n;
}

const char *qn_chattpl_name(const qn_chattpl *t, size_t i)
{
    return t->all.v[i].name;
}

/* ---- special tokens ------------------------------------------------------ */

/* A token is a string, or an object that has it as "content". */
static json_t *chat_token_text(const json_t *v)
{
    if (json_is_object(v))
        v = json_object_get(v, "content");
    return json_is_string(v)
               ? json_stringn(json_string_value(v), json_string_length(v))
               : NULL;
}

static void chat_take_token(json_t *out, const char *key, const json_t *v)
{
    json_t *text = chat_token_text(v);

    if (text && json_string_length(text) && !json_object_get(out, key))
        json_object_set(out, key, text);
    json_decref(text);
}

static void chat_take_tokens(json_t *out, const json_t *from)
{
    static const char *const keys[] = {"bos_token", "eos_token", "unk_token",
                                       "sep_token", "pad_token", "cls_token",
                                       "mask_token"};
    json_t *more = json_object_get(from, "extra_special_tokens");
    const json_t *list = json_object_get(from, "additional_special_tokens");

    for (size_t i = 0; i < QN_COUNTOF(keys); i++)
        chat_take_token(out, keys[i], json_object_get(from, keys[i]));
    for (void *it = json_object_iter(more); it;
         it = json_object_iter_next(more, it))
        chat_take_token(out, json_object_iter_key(it),
                        json_object_iter_value(it));
    if (!json_array_size(list) ||
        json_object_get(out, "additional_special_tokens"))
        return;
    json_t *texts = json_array();
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *text = chat_token_text(json_array_get(list, i));
        if (text)
            json_array_append_new(texts, text);
    }
    json_object_set_new(out, "additional_special_tokens", texts);
}

json_t *qn_chattpl_special_tokens(const json_t *config, const json_t *map)
{
    json_t *out = json_object();

    chat_take_tokens(out, config);
    chat_take_tokens(out, map);
    return out;
}

/* ---- rendering ----------------------------------------------------------- */

static int chat_choose(const qn_chattpl *t, const qn_chattpl_input *in,
                       const chat_entry **out, qn_err *err)
{
    const chat_entry *e = NULL;

    if (in->which) {
        e = chat_find(t, in->which);
        if (!e)
            return qn_fail(err, QN_ENOENT, "no chat template named '%s'",
                           in->which);
    }
    if (!e && in->tools)
        e = chat_find(t, "tool_use");
    if (!e)
        e = chat_find(t, "default");
    if (!e)
        return qn_fail(err, QN_EINVAL,
                       "the model has several chat templates (%s, ...) and "
                       "none named default: name one",
                       t->all.v[0].name);
    if (!e->tpl)
        return qn_fail(err, e->err.code, "%s", e->err.msg);
    *out = e;
    return 0;
}

static int chat_check_list(const json_t *v, const char *what, qn_err *err)
{
    if (!json_is_array(v))
        return qn_fail(err, QN_EINVAL, "%s: expected a list", what);
    for (size_t i = 0; i < json_array_size(v); i++)
        if (!json_is_object(json_array_get(v, i)))
            return qn_fail(err, QN_EINVAL, "%s[%zu]: expected an object", what,
                           i);
    return 0;
}

/* Sets a variable that always exists: given, or from kwargs, or none. */
static int chat_set_list(json_t *vars, const char *key, const json_t *v,
                         qn_err *err)
{
    const json_t *kw = json_object_get(vars, key);

    if (v && kw)
        return qn_fail(err, QN_EINVAL, "%s are given twice, also as a keyword",
                       key);
    if (v)
        QN_TRY(chat_check_list(v, key, err));
    if (v)
        json_object_set(vars, key, (json_t *)(uintptr_t)v);
    else if (!kw)
        json_object_set_new(vars, key, json_null());
    return 0;
}

static int chat_variables(const qn_chattpl_input *in, json_t *vars, qn_err *err)
{
    if (in->special)
        json_object_update(vars, (json_t *)(uintptr_t)in->special);
    if (in->kwargs && !json_is_object(in->kwargs))
        return qn_fail(err, QN_EINVAL, "template keywords: expected an object");
    if (json_object_get(in->kwargs, "messages"))
        return qn_fail(err, QN_EINVAL,
                       "template keywords: 'messages' is not one");
    if (in->kwargs)
        json_object_update(vars, (json_t *)(uintptr_t)in->kwargs);
    QN_TRY(chat_check_list(in->messages, "messages", err));
    json_object_set(vars, "messages", (json_t *)(uintptr_t)in->messages);
    QN_TRY(chat_set_list(vars, "tools", in->tools, err));
    QN_TRY(chat_set_list(vars, "documents", in->documents, err));
    json_object_set_new(vars, "add_generation_prompt",
                        json_boolean(in->add_generation_prompt));
    return 0;
}

/* ---- texts as lists of parts --------------------------------------------
 *
 * Templates of networks that see go through a message's parts, and would write
 * nothing of a content that is a text. */

/* The last text of a user, without blanks around it. */
static qn_view chat_last_text(const json_t *messages)
{
    for (size_t i = json_array_size(messages); i-- > 0;) {
        const json_t *m = json_array_get(messages, i);
        const json_t *text = json_object_get(m, "content");
        const char *role = json_string_value(json_object_get(m, "role"));
        if (!role || strcmp(role, "user") != 0 || !json_is_string(text))
            continue;
        qn_view v = {json_string_value(text), json_string_length(text)};
        while (v.n > 0 && strchr(" \t\r\n", v.p[0])) {
            v.p++;
            v.n--;
        }
        while (v.n > 0 && strchr(" \t\r\n", v.p[v.n - 1]))
            v.n--;
        return v;
    }
    return (qn_view){NULL, 0};
}

static bool chat_lost(qn_view text, const qn_str *out, size_t from)
{
    return text.n > 0 &&
           (out->n - from < text.n ||
            !memmem(out->p + from, out->n - from, text.p, text.n));
}

/* A list that was printed, as Python or as JSON, is no prompt. */
static bool chat_printed(const qn_str *out)
{
    static const char *const marks[] = {"'type': 'text'", "\"type\": \"text\"",
                                        "\"type\":\"text\""};
    for (size_t i = 0; i < QN_COUNTOF(marks); i++)
        if (out->n > 0 && memmem(out->p, out->n, marks[i], strlen(marks[i])))
            return true;
    return false;
}

static json_t *chat_parts(const json_t *messages)
{
    json_t *all = json_array();
    for (size_t i = 0; i < json_array_size(messages); i++) {
        json_t *m = json_copy(json_array_get(messages, i));
        json_t *text = json_object_get(m, "content");
        if (json_is_string(text))
            json_object_set_new(m, "content",
                                json_pack("[{s:s, s:O}]", "type", "text",
                                          "text", text));
        json_array_append_new(all, m);
    }
    return all;
}

/* Once more, with texts as parts, if that is where the text is written. */
static void chat_retry(const qn_jinja *tpl, json_t *vars,
                       const qn_jinja_opts *opts, qn_view text, size_t from,
                       qn_str *out)
{
    qn_str again;
    qn_str_init(&again);
    json_object_set_new(vars, "messages",
                        chat_parts(json_object_get(vars, "messages")));
    if (qn_jinja_render(tpl, vars, opts, &again, NULL) == 0 &&
        !chat_lost(text, &again, 0) && !chat_printed(&again)) {
        out->n = from;
        qn_str_add(out, again.p, again.n);
    }
    qn_str_deinit(&again);
}

int qn_chattpl_render(const qn_chattpl *t, const qn_chattpl_input *in,
                      qn_str *out, qn_err *err)
{
    size_t from = out->n;
    qn_jinja_opts opts = {.limits = in->limits, .now = in->now};
    const chat_entry *e;
    json_t *vars;

    QN_TRY(chat_choose(t, in, &e, err));
    vars = json_object();
    int rc = chat_variables(in, vars, err);
    if (rc == 0)
        rc = qn_jinja_render(e->tpl, vars, &opts, out, err);
    qn_view text = chat_last_text(in->messages);
    if (rc == 0 && chat_lost(text, out, from))
        chat_retry(e->tpl, vars, &opts, text, from, out);
    json_decref(vars);
    return rc;
}
