/* golden.h - a network whose logits and greedy continuations the reference
 * implementation computed. */
#ifndef TEST_MODEL_GOLDEN_H
#define TEST_MODEL_GOLDEN_H

#include "drive.h"

typedef struct golden {
    char path[4096];
    json_t *json;
    qn_ckpt *ck;      /* of reference.safetensors */
    double tolerance; /* of the largest logit */
    int passed, total;
    bool unsupported;
    char notes[700];
} golden;

/* false: the directory root/name has no reference. */
bool golden_open(golden *g, const char *root, const char *name,
                 double tolerance);
void golden_close(golden *g);
/* The first one counts. */
void golden_note(golden *g, const char *fmt, ...);
/* Prompt i through an opened network; counts into passed and total. */
void golden_logits(golden *g, drive *d, const char *config, int i);
void golden_greedy(golden *g, drive *d, const char *config, int i);

#endif
