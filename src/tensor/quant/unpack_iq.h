/* unpack_iq.h - blocks of code books and of single bits and digits taken apart,
 * for block_codes.c, whose header says what the arguments are. Each is beside
 * the decoder of its format. */
#ifndef QN_TENSOR_UNPACK_IQ_H
#define QN_TENSOR_UNPACK_IQ_H

#include <stdint.h>

/* Of these a code is an index of magnitudes and, above it, the sign. */
extern const float qn_iq2_book[16], qn_iq3_xxs_book[16], qn_iq3_s_book[16];
/* Index: element + 1, and 4 if the shift is negative. */
extern const float qn_iq1_book[16];

void qn_iq1_s_unpack(const uint8_t *block, uint8_t *codes, float *scales,
                     float *offsets);
void qn_iq1_m_unpack(const uint8_t *block, uint8_t *codes, float *scales,
                     float *offsets);
void qn_iq2_xxs_unpack(const uint8_t *block, uint8_t *codes, float *scales,
                       float *offsets);
void qn_iq2_xs_unpack(const uint8_t *block, uint8_t *codes, float *scales,
                      float *offsets);
void qn_iq2_s_unpack(const uint8_t *block, uint8_t *codes, float *scales,
                     float *offsets);
void qn_iq3_xxs_unpack(const uint8_t *block, uint8_t *codes, float *scales,
                       float *offsets);
void qn_iq3_s_unpack(const uint8_t *block, uint8_t *codes, float *scales,
                     float *offsets);
/* Codes 0, 1, 2 (in tq2_0 also 3) of -1, 0, 1. */
void qn_tq1_0_unpack(const uint8_t *block, uint8_t *codes, float *scales,
                     float *offsets);
void qn_tq2_0_unpack(const uint8_t *block, uint8_t *codes, float *scales,
                     float *offsets);
void qn_q1_0_unpack(const uint8_t *block, uint8_t *codes, float *scales,
                    float *offsets);

#endif
