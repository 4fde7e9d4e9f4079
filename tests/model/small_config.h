/* small_config.h - a small Llama's config.json with other members, read. */
#ifndef TEST_MODEL_SMALL_CONFIG_H
#define TEST_MODEL_SMALL_CONFIG_H

#include "testing.h"

#include "base/json.h"
#include "model/hparams.h"

/* A new reference; `with` replaces or adds members. */
json_t *small_config(const char *type, const char *with);
void read_ok(qn_hparams *hp, const char *type, const char *with);
/* The error has the code and says the text. */
void read_fails(const char *type, const char *with, int code, const char *text);

#endif
