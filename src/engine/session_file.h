/* session_file.h - the file of a saved session.
 *
 *     0   8   "quernKV\0"
 *     8   4   version, 1
 *    12   4   tokens per page
 *    16   8   pages
 *    24   8   bytes of a page, all layers
 *    32  16   what the model is: the hash of its answer to some fixed tokens,
 *             twice with different seeds
 *    48   8   checksum of what follows the header
 *    56   8   checksum of the 56 bytes before
 *    64       tokens, i32 [pages, tokens per page]; then the pages, in order
 *
 * All little-endian, as are the machines that there are kernels for. Files are
 * hostile input: nothing is believed before sizes and both checksums fit. (The
 * checksums find damage; they are no defence against somebody who wants to
 * deceive: keep sessions as you keep the model.) */
#ifndef QN_ENGINE_SESSION_FILE_H
#define QN_ENGINE_SESSION_FILE_H

#include "base/err.h"

#define QN_SESSION_HEADER 64

typedef struct qn_session_shape {
    uint32_t page_tokens;
    uint64_t page_bytes;
    uint64_t model[2];
    int n_vocab;
} qn_session_shape;

typedef struct qn_session_view {
    uint64_t n_pages;
    const int32_t *tokens; /* [n_pages * page_tokens] */
    const char *pages;     /* [n_pages * page_bytes]  */
} qn_session_view;

/* Bytes of a file with so many pages; false: more than there can be. */
bool qn_session_size(const qn_session_shape *s, uint64_t n_pages, size_t *n);
/* The header in front of tokens and pages that stand in p[n] already. */
void qn_session_seal(char *p, size_t n, const qn_session_shape *s,
                     uint64_t n_pages);
/* Checks the header of a file of n bytes alone, with the same errors as
 * qn_session_parse. */
int qn_session_peek(const char head[QN_SESSION_HEADER], uint64_t n,
                    const char *name, const qn_session_shape *want,
                    uint64_t *n_pages, qn_err *err);
/* Checks all of p[n] (8-byte aligned) and points into it. QN_EFORMAT: damaged;
 * QN_EINVAL: of another model, KV type or kernels. */
int qn_session_parse(const char *p, size_t n, const char *name,
                     const qn_session_shape *want, qn_session_view *out,
                     qn_err *err);
uint64_t qn_session_hash(uint64_t seed, const void *p, size_t n);

#endif
