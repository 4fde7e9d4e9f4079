/* bench_report.c - a report of qn_bench_run for people and for scripts. */
#include "cli/bench.h"

#include "base/compiler.h"

#include <stdio.h>
#include <string.h>

typedef struct line {
    const char *name, *unit;
    double median, min, max, bound, fraction;
} line;

static double real(const json_t *o, const char *key)
{
    return json_number_value(json_object_get(o, key));
}

static const char *text(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static line line_at(const json_t *report, size_t i)
{
    const json_t *o = json_array_get(json_object_get(report, "results"), i);
    return (line){text(o, "name"),    text(o, "unit"), real(o, "median"),
                  real(o, "min"),     real(o, "max"),  real(o, "bound"),
                  real(o, "fraction")};
}

static size_t n_lines(const json_t *report)
{
    return json_array_size(json_object_get(report, "results"));
}

static void heading(const json_t *report, FILE *f)
{
    const json_t *m = json_object_get(report, "model");
    const json_t *mach = json_object_get(report, "machine");
    const json_t *cpu = json_object_get(mach, "cpu");
    fprintf(f, "quern %s, %s\n", text(report, "quern"), text(report, "date"));
    fprintf(f, "%s: %s, %.1f M parameters, %.0f MB\n", text(m, "path"),
            text(m, "family"), real(m, "parameters") * 1e-6,
            real(m, "weight_bytes") * 1e-6);
    fprintf(f, "%s, %.0f cores, %s; %.0f threads\n", text(cpu, "name"),
            real(cpu, "cores"), text(cpu, "isa"), real(m, "threads"));
}

static void answer_line(const json_t *report, FILE *f)
{
    const json_t *a = json_object_get(report, "answer");
    if (a)
        fprintf(f,
                "\nOne answer: %.0f input tokens, %.0f output tokens, %.2f s, "
                "%.1f output tok/s\n",
                real(a, "input_tokens"), real(a, "output_tokens"),
                real(a, "seconds"), real(a, "throughput"));
}

void qn_bench_print(const json_t *report, FILE *f)
{
    heading(report, f);
    fprintf(f, "\n%-20s %10s %10s %10s  %-6s %s\n", "", "median", "min", "max",
            "", "of the machine's bound");
    for (size_t i = 0; i < n_lines(report); i++) {
        line l = line_at(report, i);
        fprintf(f, "%-20s %10.1f %10.1f %10.1f  %-6s", l.name, l.median, l.min,
                l.max, l.unit);
        if (l.bound > 0)
            fprintf(f, " %3.0f %% of %.1f", 100 * l.fraction, l.bound);
        fputc('\n', f);
    }
    answer_line(report, f);
}

void qn_bench_print_csv(const json_t *report, FILE *f)
{
    fprintf(f, "name,unit,median,min,max,bound,fraction\n");
    for (size_t i = 0; i < n_lines(report); i++) {
        line l = line_at(report, i);
        fprintf(f, "%s,%s,%.6g,%.6g,%.6g,%.6g,%.4g\n", l.name, l.unit, l.median,
                l.min, l.max, l.bound, l.fraction);
    }
}

void qn_bench_print_markdown(const json_t *report, FILE *f)
{
    heading(report, f);
    fprintf(f, "\n| | median | min | max | unit | of the bound |\n"
               "|---|---:|---:|---:|---|---:|\n");
    for (size_t i = 0; i < n_lines(report); i++) {
        line l = line_at(report, i);
        fprintf(f, "| %s | %.1f | %.1f | %.1f | %s | ", l.name, l.median, l.min,
                l.max, l.unit);
        if (l.bound > 0)
            fprintf(f, "%.0f %% |\n", 100 * l.fraction);
        else
            fprintf(f, "|\n");
    }
    answer_line(report, f);
}

static bool find(const json_t *report, const char *name, line *l)
{
    for (size_t i = 0; i < n_lines(report); i++) {
        *l = line_at(report, i);
        if (strcmp(l->name, name) == 0)
            return true;
    }
    return false;
}

/* Speeds grow for the better, times and sizes for the worse; probes judge the
 * machine. Results with a bound are judged by their part of it as well: what
 * is slower only because the machine was is no loss. */
int qn_bench_compare(const json_t *now, const json_t *before, double tolerance,
                     FILE *f)
{
    int slower = 0;
    fprintf(f, "\n%-20s %10s %10s  %-6s %7s %16s\n", "", "before", "now", "",
            "ratio", "of the bound");
    for (size_t i = 0; i < n_lines(now); i++) {
        line l = line_at(now, i), old;
        if (!find(before, l.name, &old) || old.median <= 0 || l.median <= 0)
            continue;
        bool speed = strcmp(l.unit, "tok/s") == 0;
        bool probe = strstr(l.name, "probe") != NULL;
        double ratio = l.median / old.median;
        double part = old.fraction > 0 ? l.fraction / old.fraction : ratio;
        double gain = speed ? QN_MAX(ratio, part) : 1 / ratio;
        bool bad = !probe && gain < 1 - tolerance;
        slower += bad;
        fprintf(f, "%-20s %10.1f %10.1f  %-6s %7.3f", l.name, old.median,
                l.median, l.unit, ratio);
        if (l.bound > 0 && old.bound > 0)
            fprintf(f, " %6.0f %% -> %3.0f %%", 100 * old.fraction,
                    100 * l.fraction);
        fprintf(f, "%s\n", bad ? "  slower" : "");
    }
    return slower;
}
