/* settings.c - see settings.h. */
#include "server/settings.h"

#include "base/mem.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ROW(field, name, kind, low, high, initial, help) \
    {name, QN_SETTING_##kind, offsetof(qn_settings, field), low, high, initial},

const qn_setting qn_setting_rows[] = {QN_SETTINGS_ALL(ROW)};
const size_t qn_setting_n_rows = QN_COUNTOF(qn_setting_rows);

static bool is_text(const qn_setting *row)
{
    return row->kind == QN_SETTING_TEXT || row->kind == QN_SETTING_FILE;
}

static void *field(qn_settings *s, const qn_setting *row)
{
    return (char *)s + row->offset;
}

void qn_settings_init(qn_settings *s)
{
    *s = (qn_settings){0};
    for (size_t i = 0; i < qn_setting_n_rows; i++)
        if (qn_setting_rows[i].initial)
            qn_settings_set(s, &qn_setting_rows[i], qn_setting_rows[i].initial,
                            NULL);
}

void qn_settings_deinit(qn_settings *s)
{
    for (size_t i = 0; i < qn_setting_n_rows; i++)
        if (is_text(&qn_setting_rows[i]))
            free(*(char **)field(s, &qn_setting_rows[i]));
    *s = (qn_settings){0};
}

const qn_setting *qn_settings_find(const char *name)
{
    for (size_t i = 0; i < qn_setting_n_rows; i++)
        if (strcmp(qn_setting_rows[i].name, name) == 0)
            return &qn_setting_rows[i];
    return NULL;
}

void qn_settings_put_text(qn_settings *s, const qn_setting *row,
                          const char *value)
{
    char **at = field(s, row);
    free(*at);
    *at = value ? qn_xstrdup(value) : NULL;
}

int qn_settings_put_number(qn_settings *s, const qn_setting *row, double v,
                           qn_err *err)
{
    void *at = field(s, row);
    bool whole = row->kind != QN_SETTING_REAL;
    double high = row->kind == QN_SETTING_FLAG ? 1 : row->high;
    if (!(v >= row->low && v <= high) || (whole && v != floor(v)))
        return qn_fail(err, QN_EINVAL, "%s is %.10g; use %.0f to %.0f",
                       row->name, v, row->low, high);
    if (row->kind == QN_SETTING_FLAG)
        *(bool *)at = v != 0;
    else if (whole)
        *(int64_t *)at = (int64_t)v;
    else
        *(double *)at = v;
    return 0;
}

int qn_settings_set(qn_settings *s, const qn_setting *row, const char *value,
                    qn_err *err)
{
    if (is_text(row)) {
        qn_settings_put_text(s, row, value);
        return 0;
    }
    if (row->kind == QN_SETTING_FLAG)
        return qn_settings_put_number(s, row, strcmp(value, "true") == 0, err);
    char *end;
    double v = strtod(value, &end);
    if (*end == 'K' || *end == 'M')
        v *= *end++ == 'K' ? 1024 : 1048576;
    if (end == value || *end)
        return qn_fail(err, QN_EINVAL, "%s needs a number, not \"%s\"",
                       row->name, value);
    return qn_settings_put_number(s, row, v, err);
}

int qn_settings_check(const qn_settings *s, qn_err *err)
{
    if (!s->tls_cert != !s->tls_key)
        return qn_fail(err, QN_EINVAL,
                       "tls-cert and tls-key belong together: give both");
    if (!*s->host && !s->unix_socket)
        return qn_fail(err, QN_EINVAL,
                       "nowhere to listen: give host or unix-socket");
    if (s->max_body > s->body_memory)
        return qn_fail(err, QN_EINVAL,
                       "max-body is %lld, body-memory only %lld bytes",
                       (long long)s->max_body, (long long)s->body_memory);
    return 0;
}
