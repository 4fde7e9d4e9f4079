/* fuzz_toolcall.c: what a model writes when it has tools. The first byte
 * chooses the format, the second how the text is cut. Cut or whole, the same
 * comes out; names and numbers of calls are in order. */
#include "base/str.h"
#include "server/toolcall.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct found {
    qn_str content, calls;
    int n_calls;
} found;

static void on_content(void *user, const char *p, size_t n)
{
    qn_str_add(&((found *)user)->content, p, n);
}

static void on_call(void *user, int index, const char *name)
{
    found *f = user;
    if (index != f->n_calls++ || !name[0] || strlen(name) > 256)
        abort();
    qn_str_addc(&f->calls, 0);
    qn_str_adds(&f->calls, name);
    qn_str_addc(&f->calls, 0);
}

static void on_args(void *user, int index, const char *p, size_t n)
{
    found *f = user;
    if (index != f->n_calls - 1 || n == 0)
        abort();
    qn_str_add(&f->calls, p, n);
}

static void parse(found *f, qn_toolcall_kind kind, const json_t *tools,
                  const char *p, size_t n, size_t piece)
{
    qn_toolcall_sink sink = {f, on_content, on_call, on_args};
    qn_toolcall *t = qn_toolcall_new(kind, tools);
    *f = (found){{0}, {0}, 0};
    for (size_t at = 0; at < n; at += piece)
        qn_toolcall_feed(t, p + at, QN_MIN(piece, n - at), false, &sink);
    qn_toolcall_feed(t, p, 0, true, &sink);
    if (qn_toolcall_count(t) != f->n_calls)
        abort();
    qn_toolcall_free(t);
}

static bool same(qn_str a, qn_str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    qn_toolcall_kind kind = (qn_toolcall_kind)(data[0] % QN_TOOLCALL_N);
    json_t *tools = json_pack("[{s:{s:s,s:{s:{s:{s:s}}}}}]", "function", "name",
                              "f", "parameters", "properties", "s", "type",
                              "string");
    const char *text = (const char *)data + 2;
    size_t n = size - 2;
    found whole, cut;
    parse(&whole, kind, tools, text, n, n + 1);
    parse(&cut, kind, tools, text, n, 1 + data[1] % 16);
    if (!same(whole.content, cut.content) || !same(whole.calls, cut.calls))
        abort();
    qn_str_deinit(&whole.content);
    qn_str_deinit(&whole.calls);
    qn_str_deinit(&cut.content);
    qn_str_deinit(&cut.calls);
    json_decref(tools);
    return 0;
}
