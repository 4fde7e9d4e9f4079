/* settings.h - the server's settings; settings_list.h has them all.
 *
 * Strings belong to the settings. */
#ifndef QN_SERVER_SETTINGS_H
#define QN_SERVER_SETTINGS_H

#include "base/err.h"
#include "server/settings_list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QN_SETTING_FIELD_TEXT char *
#define QN_SETTING_FIELD_FILE char *
#define QN_SETTING_FIELD_INT int64_t
#define QN_SETTING_FIELD_SIZE int64_t
#define QN_SETTING_FIELD_REAL double
#define QN_SETTING_FIELD_FLAG bool
#define QN_SETTING_FIELD(field, name, kind, low, high, initial, help) \
    QN_SETTING_FIELD_##kind field;

typedef struct qn_settings {
    QN_SETTINGS_ALL(QN_SETTING_FIELD)
} qn_settings;

typedef enum qn_setting_kind {
    QN_SETTING_TEXT,
    QN_SETTING_FILE,
    QN_SETTING_INT,
    QN_SETTING_SIZE,
    QN_SETTING_REAL,
    QN_SETTING_FLAG
} qn_setting_kind;

typedef struct qn_setting {
    const char *name;
    qn_setting_kind kind;
    size_t offset; /* in qn_settings */
    double low, high;
    const char *initial;
} qn_setting;

extern const qn_setting qn_setting_rows[];
extern const size_t qn_setting_n_rows;

/* The defaults. */
void qn_settings_init(qn_settings *s);
void qn_settings_deinit(qn_settings *s);
/* NULL when there is no such setting. */
const qn_setting *qn_settings_find(const char *name);
/* Strings are copied. A flag is 0 or 1. */
void qn_settings_put_text(qn_settings *s, const qn_setting *row,
                          const char *value);
int qn_settings_put_number(qn_settings *s, const qn_setting *row, double value,
                           qn_err *err);
/* From text: "8000", "64K", "true". */
int qn_settings_set(qn_settings *s, const qn_setting *row, const char *value,
                    qn_err *err);
/* What settings demand of one another. */
int qn_settings_check(const qn_settings *s, qn_err *err);

#endif
