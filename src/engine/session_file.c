/* session_file.c - see session_file.h. */
#include "engine/session_file.h"

#include "base/mem.h"

#include <string.h>

#define VERSION 1

typedef struct head {
    char magic[8];
    uint32_t version, page_tokens;
    uint64_t n_pages, page_bytes, model[2], body_sum, head_sum;
} head;
_Static_assert(sizeof(head) == QN_SESSION_HEADER, "as drawn");

static const char magic[8] = "quernKV";

static uint64_t mix(uint64_t h, uint64_t w)
{
    h = (h ^ w) * 0x9fb21c651e98df25u;
    return h ^ (h >> 28);
}

uint64_t qn_session_hash(uint64_t seed, const void *p, size_t n)
{
    const unsigned char *at = p;
    uint64_t h = mix(seed, n), w;
    for (; n >= 8; n -= 8, at += 8) {
        memcpy(&w, at, 8);
        h = mix(h, w);
    }
    w = 0;
    memcpy(&w, at, n);
    return mix(mix(h, w), seed);
}

bool qn_session_size(const qn_session_shape *s, uint64_t n_pages, size_t *n)
{
    uint64_t one, all;
    if (!qn_add_u64(s->page_bytes, (uint64_t)s->page_tokens * sizeof(int32_t),
                    &one) ||
        !qn_mul_u64(one, n_pages, &all) ||
        !qn_add_u64(all, QN_SESSION_HEADER, &all) || all > SIZE_MAX / 2)
        return false;
    *n = (size_t)all;
    return true;
}

void qn_session_seal(char *p, size_t n, const qn_session_shape *s,
                     uint64_t n_pages)
{
    head h = {.version = VERSION,
              .page_tokens = s->page_tokens,
              .n_pages = n_pages,
              .page_bytes = s->page_bytes,
              .model = {s->model[0], s->model[1]}};
    memcpy(h.magic, magic, sizeof magic);
    h.body_sum = qn_session_hash(1, p + sizeof h, n - sizeof h);
    h.head_sum = qn_session_hash(2, &h, sizeof h - sizeof h.head_sum);
    memcpy(p, &h, sizeof h);
}

static int check_head(const head *h, uint64_t n, const char *name,
                      const qn_session_shape *want, qn_err *err)
{
    size_t size;
    if (memcmp(h->magic, magic, sizeof magic) != 0)
        return qn_fail(err, QN_EFORMAT, "%s is no session file", name);
    if (h->head_sum != qn_session_hash(2, h, sizeof *h - sizeof h->head_sum))
        return qn_fail(err, QN_EFORMAT, "%s: its header is damaged", name);
    if (h->version != VERSION)
        return qn_fail(err, QN_EFORMAT,
                       "%s: version %u of the format; this program reads %d",
                       name, h->version, VERSION);
    if (h->page_tokens != want->page_tokens ||
        h->page_bytes != want->page_bytes)
        return qn_fail(err, QN_EINVAL,
                       "%s was saved with another model or --kv-type: pages of "
                       "%u tokens and %llu bytes, here %u and %llu",
                       name, h->page_tokens, (unsigned long long)h->page_bytes,
                       want->page_tokens, (unsigned long long)want->page_bytes);
    if (h->model[0] != want->model[0] || h->model[1] != want->model[1])
        return qn_fail(err, QN_EINVAL,
                       "%s was saved with another model, --kv-type or kernels: "
                       "compute it again",
                       name);
    if (!qn_session_size(want, h->n_pages, &size) || size != n)
        return qn_fail(err, QN_EFORMAT,
                       "%s has %llu bytes, its header says %llu pages", name,
                       (unsigned long long)n, (unsigned long long)h->n_pages);
    return 0;
}

int qn_session_peek(const char p[QN_SESSION_HEADER], uint64_t n,
                    const char *name, const qn_session_shape *want,
                    uint64_t *n_pages, qn_err *err)
{
    head h;
    memcpy(&h, p, sizeof h);
    QN_TRY(check_head(&h, n, name, want, err));
    *n_pages = h.n_pages;
    return 0;
}

int qn_session_parse(const char *p, size_t n, const char *name,
                     const qn_session_shape *want, qn_session_view *out,
                     qn_err *err)
{
    head h;
    if (n < sizeof h)
        return qn_fail(err, QN_EFORMAT, "%s is no session file", name);
    memcpy(&h, p, sizeof h);
    QN_TRY(check_head(&h, n, name, want, err));
    if (h.body_sum != qn_session_hash(1, p + sizeof h, n - sizeof h))
        return qn_fail(err, QN_EFORMAT, "%s: its contents are damaged", name);
    size_t n_tokens = (size_t)h.n_pages * want->page_tokens;
    const int32_t *tokens = (const int32_t *)(const void *)(p + sizeof h);
    for (size_t i = 0; i < n_tokens; i++)
        if (tokens[i] < 0 || tokens[i] >= want->n_vocab)
            return qn_fail(err, QN_EFORMAT,
                           "%s: token %d is not in the vocabulary of %d", name,
                           (int)tokens[i], want->n_vocab);
    *out = (qn_session_view){.n_pages = h.n_pages,
                             .tokens = tokens,
                             .pages = p + sizeof h + n_tokens * sizeof *tokens};
    return 0;
}
