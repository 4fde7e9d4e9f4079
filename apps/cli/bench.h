/* bench.h - measuring a model: cases, repeats, and the machine's bounds probed
 * before and after each case.
 *
 * A figure says little on a machine whose speed changes by itself, so that
 * every result carries what the machine could do at that moment: the
 * bandwidth for decoding, the dot products for prefill. */
#ifndef QN_CLI_BENCH_H
#define QN_CLI_BENCH_H

#include "base/err.h"
#include "base/json.h"

typedef struct qn_bench_params {
    qn_model_params model;
    const char *path; /* NULL: the built-in model */
    qn_kv_type kv_type;
    const int32_t *prefill; /* prompt lengths             */
    size_t n_prefill;
    const int32_t *depths; /* context before decoding     */
    size_t n_depths;
    const int32_t *batches; /* sequences at once, at the first depth */
    size_t n_batches;
    int n_tokens;        /* decoded per repeat         */
    int repeats, warmup; /* counted, not counted       */
    int load_repeats;    /* 0: load once, as it has to be  */
    bool (*go_on)(void); /* false: stop; may be NULL   */
    void (*note)(const char *what);
} qn_bench_params;

/* Everything as one JSON object: "quern", "date", "machine", "model", "params",
 * "results": [{"name", "unit", "median", "min", "max", "spread", "values",
 * "bound", "fraction"}], "answer": {"input_tokens", "output_tokens",
 * "seconds", "throughput"} of one request. The caller owns it. */
int qn_bench_run(json_t **out, const qn_bench_params *p, qn_err *err);

/* bench_report.c: a table for people, CSV, Markdown. */
void qn_bench_print(const json_t *report, FILE *f);
void qn_bench_print_csv(const json_t *report, FILE *f);
void qn_bench_print_markdown(const json_t *report, FILE *f);
/* Beside an earlier report: prints the ratio of each result that both have.
 * Returns how many are slower by more than `tolerance` (0.05: 5 %). */
int qn_bench_compare(const json_t *now, const json_t *before, double tolerance,
                     FILE *f);

#endif
