/* session.c - sessions: pages of the prefix cache in a file and back.
 *
 * A page is what the network computed from the tokens up to its end. It is
 * worth something only to the same network with the same arithmetic, which the
 * file has to prove: the engine computes the logits of some fixed tokens, and
 * their bits are part of the header. */
#include "engine/engine_int.h"

#include "base/file.h"
#include "engine/session_file.h"

#include <stdlib.h>
#include <string.h>

static int need_cache(const qn_engine *e, const char *path, qn_err *err)
{
    if (e->prefix)
        return 0;
    return qn_fail(err, QN_EUNSUP,
                   "%s: sessions need the prefix cache, which is switched off "
                   "or which this model cannot have (windows, recurrent "
                   "layers, rotations by length)",
                   path);
}

/* ---- what the model is -------------------------------------------------- */

enum {
    PROBE = 16
};

/* Fixed tokens, in a page of their own. What the logits are depends on every
 * matrix, on the kernels, and by way of the page on the type of the cache. */
static int probe(qn_engine *e, int32_t page, uint64_t sum[2], qn_err *err)
{
    const float *logits = NULL;
    for (int at = 0, n; at < PROBE; at += n) {
        n = QN_MIN(PROBE - at, e->max_batch);
        int32_t last = n - 1;
        qn_span span = {
            .n_row = n, .pos0 = at, .rope_len = PROBE, .pages = {&page}};
        qn_batch b = {.n_row = n,
                      .tokens = e->tokens,
                      .pos = e->pos,
                      .n_span = 1,
                      .spans = &span,
                      .n_out = 1,
                      .out_rows = &last};
        for (int i = 0; i < n; i++) {
            e->tokens[i] = (int32_t)((int64_t)(at + i) * 7919 % e->n_vocab);
            e->pos[i] = at + i;
        }
        QN_TRY(qn_pass_forward(e->pass, &b, &logits, err));
    }
    size_t bytes = (size_t)e->n_vocab * sizeof *logits;
    sum[0] = qn_session_hash(3, logits, bytes);
    sum[1] = qn_session_hash(4, logits, bytes);
    return 0;
}

static int shape_of(qn_engine *e, const char *path, qn_session_shape *s,
                    qn_err *err)
{
    *s = (qn_session_shape){.page_tokens = (uint32_t)e->page_tokens,
                            .page_bytes = qn_pass_page_bytes(e->pass, 0),
                            .n_vocab = e->n_vocab};
    if (!e->knows_itself) {
        if (!qn_pages_reserve(&e->pages[0], 1))
            return qn_fail(err, QN_EBUSY,
                           "%s: no page of the KV cache is free now", path);
        int32_t page = qn_pages_take(&e->pages[0]);
        int rc = probe(e, page, e->self, err);
        qn_pages_unref(&e->pages[0], page);
        QN_TRY(rc);
        e->knows_itself = true;
    }
    memcpy(s->model, e->self, sizeof s->model);
    return 0;
}

/* ---- saving --------------------------------------------------------------- */

static int save_pages(qn_engine *e, const char *path, const int32_t *tokens,
                      const int32_t *pages, int n_pages,
                      const qn_session_shape *s, qn_err *err)
{
    size_t size, n_tokens = (size_t)n_pages * s->page_tokens;
    char *buf = qn_session_size(s, (uint64_t)n_pages, &size) ? qn_alloc(size, 1)
                                                             : NULL;
    if (!buf)
        return qn_fail(err, QN_ENOMEM,
                       "%s: no memory for %d pages of %llu "
                       "bytes",
                       path, n_pages, (unsigned long long)s->page_bytes);
    char *at = buf + QN_SESSION_HEADER;
    memcpy(at, tokens, n_tokens * sizeof *tokens);
    at += n_tokens * sizeof *tokens;
    for (int i = 0; i < n_pages; i++, at += s->page_bytes)
        qn_pass_read_page(e->pass, 0, pages[i], at);
    qn_session_seal(buf, size, s, (uint64_t)n_pages);
    int rc = qn_file_write(path, buf, size, err);
    free(buf);
    return rc;
}

QN_API int qn_session_save(qn_engine *e, const char *path,
                           const int32_t *tokens, size_t n, uint64_t salt,
                           size_t *n_saved, qn_err *err)
{
    qn_session_shape s;
    qn_prefix_node *last;
    QN_TRY(need_cache(e, path, err));
    QN_TRY(shape_of(e, path, &s, err));
    size_t max = QN_MIN(n / s.page_tokens, (size_t)e->pages[0].n);
    int32_t *pages = qn_xcalloc(max + 1, sizeof *pages);
    int n_pages = qn_prefix_match(e->prefix, salt, tokens, n, (int)max, pages,
                                  &last);
    int rc = 0;
    if (n_pages == 0)
        rc = qn_fail(err, QN_ENOENT,
                     "%s: nothing to save: no whole page of %u tokens is in "
                     "the cache",
                     path, s.page_tokens);
    else
        rc = save_pages(e, path, tokens, pages, n_pages, &s, err);
    for (int i = 0; i < n_pages; i++)
        qn_pages_unref(&e->pages[0], pages[i]);
    free(pages);
    if (rc == 0 && n_saved)
        *n_saved = (size_t)n_pages * s.page_tokens;
    return rc;
}

/* ---- loading --------------------------------------------------------------- */

static int no_room(const qn_engine *e, const char *path, uint64_t n_pages,
                   qn_err *err)
{
    const qn_pages *pool = &e->pages[0];
    return qn_fail(err, QN_ELIMIT,
                   "%s has %llu pages of %d tokens; the KV cache has %d, of "
                   "which %d are free: raise n_ctx, the engine's context",
                   path, (unsigned long long)n_pages, e->page_tokens, pool->n,
                   pool->n_free + pool->n_kept - pool->n_reserved);
}

/* All of the file, once its header says that it is of this model and no more
 * than there is room for. */
static int read_session(const qn_engine *e, const char *path,
                        const qn_session_shape *s, char **p, size_t *size,
                        qn_err *err)
{
    char head[QN_SESSION_HEADER];
    uint64_t n_pages = 0;
    qn_file f;
    QN_TRY(qn_file_open(&f, path, err));
    uint64_t bytes = f.size;
    int rc = bytes < sizeof head
                 ? qn_fail(err, QN_EFORMAT, "%s is no session file", path)
                 : qn_file_pread(&f, head, 0, sizeof head, err);
    qn_file_close(&f);
    if (rc == 0)
        rc = qn_session_peek(head, bytes, path, s, &n_pages, err);
    if (rc == 0 && n_pages > (uint64_t)e->pages[0].n)
        rc = no_room(e, path, n_pages, err);
    return rc < 0 ? rc : qn_file_slurp(p, size, path, (size_t)bytes, err);
}

/* Into pages of the pool, and those into the tree, which keeps them. */
static int take_in(qn_engine *e, const char *path, const qn_session_view *v,
                   const qn_session_shape *s, uint64_t salt, qn_err *err)
{
    qn_pages *pool = &e->pages[0];
    if (!qn_pages_reserve(pool, (int64_t)v->n_pages))
        return no_room(e, path, v->n_pages, err);
    qn_prefix_node *node = NULL;
    int32_t *ids = qn_xcalloc((size_t)v->n_pages + 1, sizeof *ids);
    for (size_t i = 0; i < v->n_pages; i++) {
        ids[i] = qn_pages_take(pool);
        qn_pass_write_page(e->pass, 0, ids[i], v->pages + i * s->page_bytes);
        node = qn_prefix_add(e->prefix, salt, node,
                             v->tokens + i * s->page_tokens, &ids[i]);
    }
    for (size_t i = 0; i < v->n_pages; i++)
        qn_pages_unref(pool, ids[i]);
    free(ids);
    return 0;
}

QN_API int qn_session_load(qn_engine *e, const char *path, uint64_t salt,
                           int32_t **tokens, size_t *n, qn_err *err)
{
    qn_session_shape s;
    qn_session_view v;
    char *p = NULL;
    size_t size;
    QN_TRY(need_cache(e, path, err));
    QN_TRY(shape_of(e, path, &s, err));
    QN_TRY(read_session(e, path, &s, &p, &size, err));
    int rc = qn_session_parse(p, size, path, &s, &v, err);
    if (rc == 0)
        rc = take_in(e, path, &v, &s, salt, err);
    if (rc == 0) {
        size_t n_tokens = (size_t)v.n_pages * s.page_tokens;
        if (n)
            *n = n_tokens;
        if (tokens) {
            *tokens = qn_xreallocarray(NULL, n_tokens + 1, sizeof **tokens);
            memcpy(*tokens, v.tokens, n_tokens * sizeof **tokens);
        }
    }
    free(p);
    return rc;
}
