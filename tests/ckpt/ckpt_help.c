/* ckpt_help.c: see ckpt_help.h. */
#include "ckpt_help.h"

#include <dirent.h>

static struct kept_path {
    struct kept_path *next;
    char text[];
} * kept;

static void drop_paths(void)
{
    while (kept) {
        struct kept_path *k = kept;
        kept = k->next;
        free(k);
    }
}

const char *help_path(const char *dir, const char *name)
{
    size_t n = strlen(dir) + strlen(name) + 2;
    struct kept_path *k = malloc(sizeof *k + n);

    assert_non_null(k);
    if (!kept)
        atexit(drop_paths);
    k->next = kept;
    kept = k;
    snprintf(k->text, n, "%s/%s", dir, name);
    return k->text;
}

void help_write(const char *dir, const char *name, const char *text)
{
    qn_test_write_file(help_path(dir, name), text, strlen(text));
}

static void add_pattern(qn_str *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        qn_str_addc(s, (char)(i % 251));
}

static void add_le(qn_str *s, uint64_t v, int n)
{
    for (int i = 0; i < n; i++)
        qn_str_addc(s, (char)(v >> (8 * i)));
}

void help_safetensors(const char *path, const char *header, size_t n_data)
{
    qn_str s;

    qn_str_init(&s);
    add_le(&s, strlen(header), 8);
    qn_str_adds(&s, header);
    add_pattern(&s, n_data);
    qn_test_write_file(path, s.p, s.n);
    qn_str_deinit(&s);
}

static void check_refused(qn_ckpt *ck, int rc, const qn_err *err, int code,
                          const char *path, const char *const *words)
{
    if (rc != code || err->code != code) {
        qn_ckpt_close(ck);
        fail_msg("%s: result %d, %d expected (%s)", path, rc, code,
                 rc < 0 ? err->msg : "opened");
    }
    assert_null(ck);
    for (; *words; words++)
        if (!strstr(err->msg, *words))
            fail_msg("\"%s\" is not in: %s", *words, err->msg);
}

void help_refused(const char *path, int code, const char *const *words)
{
    qn_ckpt *ck = NULL;
    qn_err err = {0};
    int rc = qn_ckpt_open(&ck, path, &err);

    check_refused(ck, rc, &err, code, path, words);
}

void help_refused_tensors(const char *path, int code, const char *const *words)
{
    qn_ckpt *ck = NULL;
    qn_err err = {0};
    int rc = qn_ckpt_open_tensors(&ck, path, &err);

    check_refused(ck, rc, &err, code, path, words);
}

/* ---- GGUF -------------------------------------------------------------- */

void out_begin(gguf_out *o, uint32_t version, uint64_t n_tensors, uint64_t n_kv)
{
    qn_str_init(&o->s);
    o->data = 0;
    qn_str_adds(&o->s, "GGUF");
    out_u32(o, version);
    out_u64(o, n_tensors);
    out_u64(o, n_kv);
}

void out_u8(gguf_out *o, unsigned v)
{
    add_le(&o->s, v, 1);
}

void out_u16(gguf_out *o, unsigned v)
{
    add_le(&o->s, v, 2);
}

void out_u32(gguf_out *o, uint32_t v)
{
    add_le(&o->s, v, 4);
}

void out_u64(gguf_out *o, uint64_t v)
{
    add_le(&o->s, v, 8);
}

void out_f32(gguf_out *o, float v)
{
    uint32_t bits;

    memcpy(&bits, &v, sizeof bits);
    out_u32(o, bits);
}

void out_f64(gguf_out *o, double v)
{
    uint64_t bits;

    memcpy(&bits, &v, sizeof bits);
    out_u64(o, bits);
}

void out_str(gguf_out *o, const char *s)
{
    out_u64(o, strlen(s));
    qn_str_adds(&o->s, s);
}

void out_key(gguf_out *o, const char *key, qn_gguf_type type)
{
    out_str(o, key);
    out_u32(o, (uint32_t)type);
}

void out_kv_u32(gguf_out *o, const char *key, uint32_t v)
{
    out_key(o, key, QN_GGUF_U32);
    out_u32(o, v);
}

void out_kv_f32(gguf_out *o, const char *key, float v)
{
    out_key(o, key, QN_GGUF_F32);
    out_f32(o, v);
}

void out_kv_str(gguf_out *o, const char *key, const char *v)
{
    out_key(o, key, QN_GGUF_STR);
    out_str(o, v);
}

void out_kv_bool(gguf_out *o, const char *key, bool v)
{
    out_key(o, key, QN_GGUF_BOOL);
    out_u8(o, v);
}

void out_tensor(gguf_out *o, const char *name, uint32_t type, int n_dims,
                const uint64_t *dims, uint64_t offset)
{
    out_str(o, name);
    out_u32(o, (uint32_t)n_dims);
    for (int i = 0; i < n_dims; i++)
        out_u64(o, dims[i]);
    out_u32(o, type);
    out_u64(o, offset);
}

int help_n_entries(const char *dir)
{
    DIR *d = opendir(dir);
    int n = 0;

    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

void out_finish(gguf_out *o, const char *path, size_t align, size_t n)
{
    while (align && o->s.n % align)
        qn_str_addc(&o->s, 0);
    o->data = o->s.n;
    add_pattern(&o->s, n);
    qn_test_write_file(path, o->s.p, o->s.n);
    qn_str_deinit(&o->s);
}
