/* table.h - reports for people: headings, names with values, columns. */
#ifndef QN_CLI_TABLE_H
#define QN_CLI_TABLE_H

#include "base/json.h"

/* A heading; an empty line before it but for the first of the program. */
void qn_table_heading(const char *text);
/* "  name            value". */
void qn_table_row(const char *name, const char *fmt, ...) QN_PRINTF(2, 3);

/* "1.2 B", "14.2 M", "980". */
const char *qn_fmt_count(char *buf, size_t cap, double n);

/* Members of a report, with defaults for what is missing. */
const char *qn_report_text(const json_t *o, const char *key);
double qn_report_number(const json_t *o, const char *key);
/* As bytes: "1.50 GiB". */
const char *qn_report_bytes(char *buf, size_t cap, const json_t *o,
                            const char *key);

/* One line for each op: its kernels by layout. */
void qn_report_kernels(const json_t *kernels);

/* The report as JSON, indented on a terminal. */
void qn_report_print(const json_t *o);

#endif
