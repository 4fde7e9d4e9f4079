/* table.c - see table.h. */
#include "cli/table.h"

#include "base/str.h"
#include "cli/terminal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool begun;

void qn_table_heading(const char *text)
{
    printf("%s%s%s%s\n", begun ? "\n" : "", qn_style_on(stdout, QN_STYLE_BOLD),
           text, qn_style_on(stdout, QN_STYLE_NONE));
    begun = true;
}

void qn_table_row(const char *name, const char *fmt, ...)
{
    va_list ap;
    begun = true;
    printf("  %-23s ", name);
    va_start(ap, fmt);
    qn_put_format(stdout, fmt, ap);
    va_end(ap);
    putchar('\n');
}

const char *qn_fmt_count(char *buf, size_t cap, double n)
{
    if (n >= 1e9)
        snprintf(buf, cap, "%.2f B", n / 1e9);
    else if (n >= 1e6)
        snprintf(buf, cap, "%.1f M", n / 1e6);
    else if (n >= 1e4)
        snprintf(buf, cap, "%.0f K", n / 1e3);
    else
        snprintf(buf, cap, "%.0f", n);
    return buf;
}

const char *qn_report_text(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

double qn_report_number(const json_t *o, const char *key)
{
    return json_number_value(json_object_get(o, key));
}

const char *qn_report_bytes(char *buf, size_t cap, const json_t *o,
                            const char *key)
{
    return qn_fmt_bytes(buf, cap, (uint64_t)qn_report_number(o, key));
}

void qn_report_kernels(const json_t *kernels)
{
    const char *before = "";
    for (size_t i = 0; i < json_array_size(kernels); i++) {
        const json_t *k = json_array_get(kernels, i);
        const char *op = qn_report_text(k, "op");
        printf("  %-11s %-22s %s\n", strcmp(op, before) == 0 ? "" : op,
               qn_report_text(k, "layout"), qn_report_text(k, "kernel"));
        before = op;
    }
}

void qn_report_print(const json_t *o)
{
    char *s = json_dumps(o, qn_is_terminal(stdout)
                                ? JSON_INDENT(2) | JSON_REAL_PRECISION(6)
                                : JSON_COMPACT);
    if (s) {
        qn_put_text(stdout, s, strlen(s));
        putchar('\n');
    }
    free(s);
}
