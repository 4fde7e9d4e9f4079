/* knobs.h - the closed ranges of the sampling parameters (quern.h,
 * qn_sampling), once: the sampler, the options of the program and the fields of
 * a request take them from here. */
#ifndef QN_BASE_KNOBS_H
#define QN_BASE_KNOBS_H

#define QN_RANGE_PART 0, 1 /* probabilities, and parts of them */
#define QN_RANGE_TEMPERATURE 0, 1e6
#define QN_RANGE_SIGMA 0, 1e6
#define QN_RANGE_DRY 0, 1e6      /* multiplier and base */
#define QN_RANGE_MIROSTAT 0, 1e6 /* tau and eta */
#define QN_RANGE_REPETITION 1e-6, 1e6
#define QN_RANGE_PENALTY -1e6, 1e6 /* over HTTP -2 to 2, as OpenAI has it */

#endif
