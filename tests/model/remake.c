#include "remake.h"

#include "base/mem.h"
#include "base/str.h"
#include "ckpt/ckpt.h"
#include "ckpt/safetensors_write.h"

#define NO_ERROR(call)               \
    do {                             \
        qn_err err = {0};            \
        if ((call) < 0)              \
            fail_msg("%s", err.msg); \
    } while (0)

void remake_open(remake *r, const char *dir)
{
    qn_ckpt *ck;
    memset(r, 0, sizeof *r);
    NO_ERROR(qn_ckpt_open(&ck, dir, &err));
    r->config = json_deep_copy(qn_ckpt_config(ck));
    for (size_t i = 0; i < qn_ckpt_n_tensors(ck); i++) {
        const qn_tensor *t = qn_ckpt_tensor(ck, i);
        rm_tensor *m = remake_add(r, t->name, t->n_dims, t->shape);
        assert_int_equal(t->dtype, QN_F32);
        NO_ERROR(qn_ckpt_read(ck, t, 0, m->v, (size_t)t->n_bytes, &err));
    }
    qn_ckpt_close(ck);
}

void remake_close(remake *r)
{
    for (size_t i = 0; i < r->t.n; i++)
        free(r->t.v[i].v);
    qn_vec_deinit(&r->t);
    json_decref(r->config);
}

static rm_tensor *find(remake *r, const char *name)
{
    for (size_t i = 0; i < r->t.n; i++) {
        if (strcmp(r->t.v[i].name, name) == 0)
            return &r->t.v[i];
    }
    return NULL;
}

rm_tensor *remake_get(remake *r, const char *fmt, ...)
{
    char name[200];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(name, sizeof name, fmt, ap);
    va_end(ap);
    rm_tensor *t = find(r, name);
    if (!t)
        fail_msg("no tensor %s", name);
    return t;
}

bool remake_has(remake *r, const char *name)
{
    return find(r, name) != NULL;
}

rm_tensor *remake_add(remake *r, const char *name, int n_dims,
                      const int64_t *shape)
{
    rm_tensor t = {.n_dims = n_dims, .n = 1};
    snprintf(t.name, sizeof t.name, "%s", name);
    for (int i = 0; i < n_dims; i++) {
        t.shape[i] = shape[i];
        t.n *= (size_t)shape[i];
    }
    t.v = calloc(t.n, sizeof *t.v);
    qn_vec_push(&r->t, t);
    return &r->t.v[r->t.n - 1];
}

void remake_drop(remake *r, const char *name)
{
    rm_tensor *t = remake_get(r, "%s", name);
    free(t->v);
    *t = r->t.v[--r->t.n];
}

void remake_rename(remake *r, const char *from, const char *to)
{
    for (size_t i = 0; i < r->t.n; i++) {
        char *name = r->t.v[i].name, rest[160];
        char *at = strstr(name, from);
        if (!at)
            continue;
        snprintf(rest, sizeof rest, "%s", at + strlen(from));
        snprintf(at, sizeof r->t.v[i].name - (size_t)(at - name), "%s%s", to,
                 rest);
    }
}

static char *new_path(const char *what)
{
    static int n_made;
    char path[4096];
    snprintf(path, sizeof path, "%s/%s%d", qn_test_tmpdir(), what, n_made++);
    return strdup(path);
}

char *remake_save(remake *r, qn_dtype type, const char *as)
{
    char *dir = new_path("remade"), path[4200];
    snprintf(path, sizeof path, "mkdir %s", dir);
    assert_int_equal(system(path), 0);
    snprintf(path, sizeof path, "%s/config.json", dir);
    assert_int_equal(json_dump_file(r->config, path, 0), 0);
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    qn_st_writer *w;
    NO_ERROR(qn_st_writer_new(&w, path, &err));
    for (size_t i = 0; i < r->t.n; i++) {
        const rm_tensor *t = &r->t.v[i];
        qn_dtype d = !as || qn_ends(t->name, as) ? type : QN_F32;
        NO_ERROR(
            qn_st_writer_declare(w, t->name, d, t->n_dims, t->shape, &err));
    }
    for (size_t i = 0; i < r->t.n; i++) {
        const rm_tensor *t = &r->t.v[i];
        qn_dtype d = !as || qn_ends(t->name, as) ? type : QN_F32;
        uint64_t n;
        NO_ERROR(qn_dtype_bytes(d, t->n, &n, &err));
        void *raw = calloc(1, (size_t)n);
        if (qn_dtype_get(d)->encode)
            NO_ERROR(qn_dtype_encode(d, t->v, raw, t->n, &err));
        NO_ERROR(qn_st_writer_data(w, raw, (size_t)n, &err));
        free(raw);
    }
    NO_ERROR(qn_st_writer_finish(w, &err));
    qn_st_writer_free(w);
    return dir;
}

/* ---- GGUF -------------------------------------------------------------- */

static void put(qn_str *s, uint64_t v, int n_bytes)
{
    for (int i = 0; i < n_bytes; i++)
        qn_str_addc(s, (char)(v >> (8 * i)));
}

static void put_str(qn_str *s, const char *v)
{
    put(s, strlen(v), 8);
    qn_str_adds(s, v);
}

static qn_gguf_type type_of(const json_t *v)
{
    return json_is_array(v)     ? QN_GGUF_ARR
           : json_is_string(v)  ? QN_GGUF_STR
           : json_is_boolean(v) ? QN_GGUF_BOOL
           : json_is_integer(v) ? QN_GGUF_U32
                                : QN_GGUF_F32;
}

static void put_value(qn_str *s, const json_t *v)
{
    float f = (float)json_real_value(v);
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    if (json_is_string(v))
        put_str(s, json_string_value(v));
    else if (json_is_boolean(v))
        put(s, json_is_true(v), 1);
    else if (json_is_integer(v))
        put(s, (uint64_t)json_integer_value(v), 4);
    else
        put(s, bits, 4);
}

static void put_meta(qn_str *s, const json_t *v)
{
    put(s, type_of(v), 4);
    if (!json_is_array(v)) {
        put_value(s, v);
        return;
    }
    put(s, type_of(json_array_get(v, 0)), 4);
    put(s, json_array_size(v), 8);
    for (size_t i = 0; i < json_array_size(v); i++)
        put_value(s, json_array_get(v, i));
}

char *remake_gguf(remake *r, const json_t *meta)
{
    qn_str s;
    const char *key;
    json_t *v;
    uint64_t at = 0;
    qn_str_init(&s);
    qn_str_adds(&s, "GGUF");
    put(&s, 3, 4);
    put(&s, r->t.n, 8);
    put(&s, json_object_size(meta), 8);
    json_object_foreach((json_t *)meta, key, v)
    {
        put_str(&s, key);
        put_meta(&s, v);
    }
    for (size_t i = 0; i < r->t.n; i++) {
        const rm_tensor *t = &r->t.v[i];
        put_str(&s, t->name);
        put(&s, (uint64_t)t->n_dims, 4);
        for (int d = t->n_dims - 1; d >= 0; d--)
            put(&s, (uint64_t)t->shape[d], 8);
        put(&s, 0, 4); /* f32 */
        put(&s, at, 8);
        at += (t->n * sizeof(float) + 31) / 32 * 32;
    }
    for (size_t i = 0; i < r->t.n; i++) {
        while (s.n % 32)
            qn_str_addc(&s, 0);
        qn_str_add(&s, (const char *)r->t.v[i].v, r->t.v[i].n * sizeof(float));
    }
    while (s.n % 32)
        qn_str_addc(&s, 0);
    char *path = new_path("remade");
    path = realloc(path, strlen(path) + 6);
    strcat(path, ".gguf");
    qn_test_write_file(path, s.p, s.n);
    qn_str_deinit(&s);
    return path;
}
