/* resume.h - what a run leaves for the next one, should it be stopped.
 *
 * Now and then a run writes into the directory that it is making how far it
 * came (.state.json), after everything up to there has reached the disk. A run
 * of the same identity goes on from there; any other is refused, for hours of
 * work may lie there. The identity is the program's version, all options that
 * the output depends on, and hashes of the bytes of everything that is read:
 * the source's files, the text, an importance matrix.
 *
 * Invariant: what a resumed run writes is what it had written in one go. */
#ifndef QN_QUANTIZE_RESUME_H
#define QN_QUANTIZE_RESUME_H

#include "quantize/hash.h"
#include "quantize/optimize_int.h"

typedef struct qn_resume {
    const qn_outdir *out;
    json_t *identity;
    json_t *state; /* the last one; NULL: begin at the beginning */
    bool saved;    /* there is something to go on with */
    bool other;    /* of another run, which is not ours to remove */
    double every;  /* seconds from one time to the next */
    uint64_t last; /* when it was saved */
} qn_resume;

/* `files`: of the source, as qn_source_files lists them. QN_EINVAL, with what
 * differs, where another run can be gone on with. */
int qn_resume_open(qn_resume *r, const qn_outdir *out,
                   const qn_optimize_params *p, const qn_ckpt *ck,
                   const json_t *files, qn_err *err);
void qn_resume_deinit(qn_resume *r);
/* A number of the state, or -1. */
int64_t qn_resume_int(const qn_resume *r, const char *key);
/* Whether enough time has passed to save again. */
bool qn_resume_due(const qn_resume *r);
/* Writes the state (an object; taken). */
int qn_resume_save(qn_resume *r, json_t *state, qn_err *err);

#endif
