/* ops.h - what the tests of backend operations share.
 *
 * Every test runs on every instruction set that the machine has (the cap of
 * qn_backend_params), against plain double precision written here. Outputs
 * lie between canaries, rows are strided, pointers are as misaligned as the
 * contract allows (4 bytes).
 *
 * With --bench as first argument a test program measures instead.
 */
#ifndef QN_TESTS_BACKEND_OPS_H
#define QN_TESTS_BACKEND_OPS_H

#include "testing.h"

#include "backend/backend.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/probe.h"
#include "base/rng.h"

/* A matrix of floats with a row stride, between canaries. Under the address
 * sanitizer nothing but the rows can be read or written. */
typedef struct mat {
    float *p; /* row 0 */
    int n_row, n_col;
    int64_t ld;
    float *block;
    size_t n_block;
} mat;

/* Values uniform in [-amp, amp]; `skew` floats off 64-byte alignment. */
mat mat_new(int n_row, int n_col, int pad, int skew, float amp);
mat mat_copy(const mat *m);
/* The values of another one of the same shape. */
void mat_put(const mat *to, const mat *from);
void mat_free(mat *m);
float *mat_row(const mat *m, int64_t r);
/* Fails if anything outside of the rows was written. */
void mat_check(const mat *m, const char *what);
/* Fails unless all rows are equal bit for bit. */
void mat_same(const mat *a, const mat *b, const char *what);
/* The tile's panels in lanes, 1, 2 or 4 of them, have the sums `got`; `start`: what
 * the sums began with. */
void lanes_same(const qn_tile_kernel *k, const qn_tile *tile, const mat *start,
                const mat *got, const char *what);

/* Uniform in [-1, 1), in [0, n); the same sequence on every run. */
float rnd(void);
int rnd_int(int n);
void rnd_seed(uint64_t seed);

/* Opens the CPU backend or fails the test. */
qn_backend *open_cpu(qn_isa isa, int n_threads, bool exact);
/* For --bench: the newest kernels with BENCH_THREADS threads (all), and a probe of
 * the machine for these. */
qn_backend *open_bench(qn_probe **probe);
/* Runs a list or fails the test. */
void exec_ops(qn_backend *be, const qn_op *ops, int n_op);
/* Calls fn for every instruction set of this machine, naming it. */
void each_isa(void (*fn)(qn_isa isa));
/* The largest whole number that the fast product of a layout makes of x. */
int whole_top(qn_isa isa, qn_layout l);

/* A weight whose values are known: `w` is what its format stores, decoded. */
typedef struct wmat {
    qn_weight *q;
    float *w; /* [n_out, n_in] */
    uint8_t *file;
    int64_t n_out, n_in, row_bytes;
    qn_dtype dtype;
} wmat;
wmat wmat_new(qn_backend *be, qn_dtype t, int64_t n_out, int64_t n_in);
/* The same for another backend. */
wmat wmat_copy(qn_backend *be, const wmat *w);
void wmat_free(qn_backend *be, wmat *w);

/* |got - want| <= tol, NaN never; names the place. */
void check_at(const char *what, int64_t r, int64_t c, double got, double want,
              double tol);

/* bench_linear.c: the --bench of test_ops_linear; see there for argv. */
void bench_linear(int argc, char **argv);
/* bench_attn.c: that of test_ops_attn; see there for argv. */
void bench_attn(int argc, char **argv);

#define EPS32 0x1p-24

#endif
