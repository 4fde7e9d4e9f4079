/* drive.h - running a network in tests without an engine.
 *
 * A drive owns a checkpoint, a backend, a net and a pass; sequences take pages
 * one after the other, or in an order that the test shuffles. */
#ifndef TEST_MODEL_DRIVE_H
#define TEST_MODEL_DRIVE_H

#include "testing.h"

#include "model/model.h"

#define DRIVE_PAGES 256
#define DRIVE_SLOTS 16
#define SEQ_PAGES 64

typedef struct drive {
    qn_ckpt *ck;
    qn_backend *be;
    qn_net *net;
    qn_pass *pass;
    int n_vocab, page_tokens;
    int max_rows;
    int32_t free_pages[QN_KV_GROUPS][DRIVE_PAGES]; /* a stack */
    int n_free[QN_KV_GROUPS];
    bool slot_used[DRIVE_SLOTS]; /* of states */
} drive;

typedef struct drive_params {
    int n_threads; /* 0: 2 */
    int max_rows;  /* 0: 64 */
    bool exact;
    bool lookup;      /* tables stay in the file; the checkpoint is closed */
    bool kv_f32;      /* else the net's choice */
    uint32_t shuffle; /* seed of the pages' order, 0: in order */
} drive_params;

typedef struct drive_seq {
    int32_t pages[QN_KV_GROUPS][SEQ_PAGES];
    int n_pages;
    int slot; /* while n_kv > 0 */
    int64_t n_kv;
    int64_t n_prompt; /* tokens that count as prompt (rope_len) */
} drive_seq;

/* What one sequence does in a step. */
typedef struct drive_item {
    drive_seq *seq;
    const int32_t *tokens;
    int n;
    bool all; /* logits of all rows, else of the last */
    bool none;
} drive_item;

/* A directory like `dir`, whose config.json is `config` of it (links). The
 * caller frees the name. */
char *drive_with_config(const char *dir, const char *config);

/* 0, or QN_E*: then d holds nothing. */
int drive_open(drive *d, const char *path, const drive_params *p, qn_err *err);
void drive_close(drive *d);

void drive_seq_init(drive_seq *s, int64_t n_prompt);
/* Gives its pages back. */
void drive_seq_end(drive *d, drive_seq *s);

/* One forward over the items; logits rows in the order of the items. */
const float *drive_step(drive *d, drive_item *items, int n);

/* All logits of a prompt, cut into chunks of `chunk` rows (0: whole), into
 * out [n, n_vocab]. */
void drive_prompt(drive *d, drive_seq *s, const int32_t *tokens, int n,
                  int chunk, float *out);

/* Tensors of a bare safetensors file as int32 / float; the caller frees. */
int32_t *drive_ints(const qn_ckpt *ck, const char *name, int *n);
float *drive_floats(const qn_ckpt *ck, const char *name, int *n);

int drive_argmax(const float *x, int n);

#endif
