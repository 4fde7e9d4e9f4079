/* testing.h: what every test program starts from.
 *
 * It brings in cmocka with the headers that cmocka needs, and helpers to find
 * data, to make scratch folders, to read files and to compare floats against a
 * tolerance that was derived. Include it first. It stands on libc and cmocka
 * alone, so that tests of src/base can trust it.
 *
 * Paths that the functions return stay valid until the program ends. A helper
 * that cannot do its work fails the running test.
 */
#ifndef QN_TESTING_H
#define QN_TESTING_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Leaves the running test as skipped, and says why. */
#define QN_SKIP(...)                            \
    do {                                        \
        print_message("skipped: " __VA_ARGS__); \
        print_message("\n");                    \
        skip();                                 \
    } while (0)

/* The path of `path` in tests/data. It need not exist. */
const char *qn_test_data(const char *path);

/* The path of `path` in the shared data: folder $QUERN_SHARED, else `shared`
 * beside the source tree. NULL when it is not there; the test then skips what
 * needs it:
 *
 *     const char *dir = qn_test_shared("goldens/models/llama");
 *     if (!dir)
 *         QN_SKIP("no shared data");
 */
const char *qn_test_shared(const char *path);

/* The root of the source tree, and the folder that this program was built in
 * (the program under test is its bin/quern). */
const char *qn_test_source_dir(void);
const char *qn_test_build_dir(void);

/* How often a test does what it repeats with other numbers: n, or a part of it
 * where a sanitizer makes everything slow. What that can see it sees in a few;
 * values are judged without it. */
int qn_test_repeats(int n);

/* A fresh empty folder, removed with all it holds when the program ends. */
const char *qn_test_tmpdir(void);

/* The whole file, NUL appended beyond *len; the caller frees it. */
char *qn_test_read_file(const char *path, size_t *len);

/* Writes a file, replacing it. */
void qn_test_write_file(const char *path, const void *data, size_t len);

/* One row of docs/conformance.md: what came of comparing with references that
 * we did not make, all of them there (from the shared data). Goes to
 * <build>/conformance/<program>.tsv, which tools/conformance makes the page
 * of. `group` is a heading, `notes` may be empty. */
void qn_test_result(const char *group, const char *name, size_t passed,
                    size_t total, const char *notes);

/* A bound on the rounding error of a dot product of n terms that is summed in
 * any order in precision `eps` (half a unit in the last place: 2^-24 for f32):
 *
 *     |computed - exact| <= gamma(n) * sum |a_i * b_i|,
 *     gamma(n) = n * eps / (1 - n * eps)
 *
 * (N. Higham, Accuracy and Stability of Numerical Algorithms, section 3.1).
 * `abs_sum` is sum |a_i * b_i|. */
double qn_test_dot_bound(size_t n, double eps, double abs_sum);

/* Fails with the index and both values unless |got[i] - want[i]| <= tol[i] for
 * every i. A NaN never passes. */
void qn_test_close(const float *got, const float *want, const double *tol,
                   size_t n);

/* The same with one bound for all: tol = rel * max |want|. */
void qn_test_close_max(const float *got, const float *want, size_t n,
                       double rel);

#endif
