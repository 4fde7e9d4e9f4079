/* run.h - one run of quern optimize, as its parts share it.
 *
 *   optimize.c   opens the source and the directory, and ends the run
 *   to_hf.c      puts a Hugging Face checkpoint into the directory
 *   to_gguf.c    or one GGUF file */
#ifndef QN_QUANTIZE_RUN_H
#define QN_QUANTIZE_RUN_H

#include "quantize/optimize_int.h"
#include "quantize/resume.h"

typedef struct qn_run {
    const qn_optimize_params *p;
    qn_ckpt *ck;
    qn_backend *be;
    qn_net *net; /* without weights */
    qn_pool *pool;
    qn_qmat like; /* a matrix of the method, without its size */
    qn_outdir out;
    qn_resume resume;
    json_t *files; /* of the source */
    /* What the makers leave: */
    json_t *options, *left; /* for metadata.json */
    json_t *notes;          /* see the report */
    json_t *table;          /* auto: what each tensor got, or NULL */
    qn_optimize_report report;
    qn_watch watch; /* of the part that makes the tensors */
    double shown;   /* progress never goes back */
    qn_err *err;
} qn_run;

int qn_run_hf(qn_run *r);
int qn_run_gguf(qn_run *r);

#endif
