/* info.c - what can be said of a model and of this machine, as JSON. */
#include "engine/engine_int.h"

#include "base/cpu.h"

#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

static void set(json_t *o, const char *key, json_t *v)
{
    json_object_set_new(o, key, v);
}

static json_t *bytes(uint64_t n)
{
    return json_integer((json_int_t)n);
}

static json_t *kernels_of(const qn_backend *be)
{
    qn_str s;
    qn_str_init(&s);
    be->api->describe(be, &s);
    json_t *v = NULL;
    if (qn_json_parse(&v, s.p ? s.p : "[]", s.p ? s.n : 2, "kernels", NULL) < 0)
        v = json_array();
    qn_str_deinit(&s);
    return v;
}

static json_t *vocabulary_of(const qn_model *m)
{
    json_t *o = json_object();
    set(o, "usable", json_boolean(m->tok != NULL));
    if (!m->tok) {
        set(o, "reason", json_string(m->tok_err.msg));
        return o;
    }
    set(o, "size", json_integer((json_int_t)qn_tok_n_vocab(m->tok)));
    json_t *ends = json_array();
    for (size_t i = 0; i < m->end_ids.n; i++)
        json_array_append_new(ends, json_integer(m->end_ids.v[i]));
    set(o, "end_ids", ends);
    return o;
}

static json_t *template_of(const qn_model *m)
{
    json_t *o = json_object();
    set(o, "usable", json_boolean(m->chat != NULL));
    if (!m->chat)
        set(o, "reason", json_string(m->chat_err.msg));
    return o;
}

/* What a position takes, by the names of --kv-type. */
static json_t *kv_types_of(const qn_model *m, const qn_engine_params *params)
{
    static const char *const names[] = {"auto", "f32", "f16", "bf16", "int8"};
    json_t *o = json_object();
    for (size_t i = 0; i < QN_COUNTOF(names); i++) {
        qn_engine_params p = *params;
        qn_plan plan;
        p.kv_type = (qn_kv_type)i;
        qn_engine_plan(m, &p, &plan);
        set(o, names[i], bytes(plan.kv_per_token));
    }
    return o;
}

static json_t *plan_of(const qn_model *m, int64_t n_ctx, int n_seq)
{
    qn_engine_params p = {.n_ctx = n_ctx, .max_seqs = n_seq};
    qn_plan plan;
    int64_t ctx = qn_engine_plan(m, &p, &plan);
    json_t *o = json_object();
    set(o, "weights", bytes(plan.weights));
    set(o, "kv", bytes(plan.kv));
    set(o, "kv_per_token", bytes(plan.kv_per_token));
    set(o, "kv_types", kv_types_of(m, &p));
    if (plan.state)
        set(o, "state", bytes(plan.state));
    set(o, "workspace", bytes(plan.workspace));
    set(o, "logits", bytes(plan.logits));
    set(o, "total", bytes(plan.total));
    set(o, "available", bytes(qn_mem_available()));
    set(o, "n_ctx", json_integer(ctx));
    return o;
}

static int dump(json_t *o, char **json, qn_err *err)
{
    char *s = json_dumps(o, JSON_COMPACT);
    json_decref(o);
    if (!s)
        return qn_fail(err, QN_EINTERNAL, "the report cannot be written");
    *json = qn_xstrdup(s); /* jansson's allocator need not be ours */
    free(s);
    return 0;
}

QN_API int qn_model_info(const qn_model *m, int64_t n_ctx, int n_seq,
                         char **json, qn_err *err)
{
    if (n_ctx < 0 || n_ctx > INT32_MAX || n_seq < 0 || n_seq > 4096)
        return qn_fail(err, QN_EINVAL,
                       "n_ctx %lld x %d sequences: out of range",
                       (long long)n_ctx, n_seq);
    if (!m->net)
        return qn_fail(err, QN_EINVAL, "%s was opened for its text only",
                       m->path);
    json_t *o = json_object();
    set(o, "path", json_string(m->path));
    set(o, "container", json_string(m->container));
    int rc = qn_net_info(m->net, o, err);
    if (rc < 0) {
        json_decref(o);
        return rc;
    }
    set(o, "vocabulary", vocabulary_of(m));
    set(o, "chat_template", template_of(m));
    set(o, "memory", plan_of(m, n_ctx, n_seq));
    set(o, "load_ms", json_real(m->load_ms));
    set(o, "threads", json_integer(m->be->api->n_threads(m->be)));
    set(o, "kernels", kernels_of(m->be));
    return dump(o, json, err);
}

/* Sizes and modes that the system does not tell, as in a container without
 * /sys, are null. */
static json_t *bytes_if_known(uint64_t n)
{
    return n ? bytes(n) : json_null();
}

/* "always [madvise] never" -> "madvise"; "" when there is no such file. */
static void huge_page_mode(char *out, size_t cap)
{
    char buf[128] = "";
    FILE *f = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "r");
    out[0] = 0;
    if (!f)
        return;
    size_t n = fread(buf, 1, sizeof buf - 1, f);
    fclose(f);
    buf[n] = 0;
    char *l = strchr(buf, '['), *r = l ? strchr(l, ']') : NULL;
    if (r && (size_t)(r - l - 1) < cap) {
        memcpy(out, l + 1, (size_t)(r - l - 1));
        out[r - l - 1] = 0;
    }
}

QN_API int qn_doctor(char **json, qn_err *err)
{
    const qn_cpu *cpu = qn_cpu_get();
    struct utsname u;
    char thp[32];
    json_t *o = json_object(), *c = json_object(), *mem = json_object();
    set(o, "version", json_string(qn_version()));
    if (uname(&u) == 0) {
        set(o, "system", json_sprintf("%s %s", u.sysname, u.release));
        set(o, "machine", json_string(u.machine));
    }
    set(c, "name", json_string(cpu->name));
    set(c, "cores", json_integer(cpu->n_cores));
    set(c, "isa", json_string(qn_isa_name(cpu->isa)));
    set(c, "isa_detected", json_string(qn_isa_name(cpu->isa_detected)));
    set(c, "l1d", bytes_if_known(cpu->l1d));
    set(c, "l2", bytes_if_known(cpu->l2));
    set(c, "l3", bytes_if_known(cpu->l3));
    set(o, "cpu", c);
    huge_page_mode(thp, sizeof thp);
    set(mem, "total", bytes(qn_mem_total()));
    set(mem, "available", bytes(qn_mem_available()));
    set(mem, "huge_pages", *thp ? json_string(thp) : json_null());
    set(o, "memory", mem);

    qn_backend *be = NULL;
    qn_backend_params bp = {.isa = QN_ISA_N - 1};
    json_t *list = json_array();
    qn_err why;
    if (qn_backend_open(&be, "cpu", &bp, &why) == 0) {
        json_t *b = json_object();
        set(b, "name", json_string("cpu"));
        set(b, "threads", json_integer(be->api->n_threads(be)));
        set(b, "kernels", kernels_of(be));
        json_array_append_new(list, b);
        qn_backend_close(be);
    }
    set(o, "backends", list);
    return dump(o, json, err);
}
