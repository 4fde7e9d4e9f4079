/* eval_print.c - see eval_print.h. */
#include "cli/eval_print.h"

#include "base/compiler.h"
#include "base/str.h"
#include "cli/table.h"

#include <stdarg.h>
#include <string.h>

#define WIDE 11     /* characters of a cell */
#define SLOWER 0.95 /* times the tokens a second that count as no slower */

typedef struct printer {
    FILE *f;
    bool markdown;
} printer;

/* ---- lines ------------------------------------------------------------------ */

static void heading(const printer *p, const char *fmt, ...) QN_PRINTF(2, 3);
static void row(const printer *p, const char *name, const char *fmt, ...)
    QN_PRINTF(3, 4);

static void heading(const printer *p, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vfprintf(p->f, fmt, ap);
    va_end(ap);
    fputs(p->markdown ? "\n\n| | |\n|---|---|\n" : "\n", p->f);
}

static void row(const printer *p, const char *name, const char *fmt, ...)
{
    va_list ap;
    fprintf(p->f, p->markdown ? "| %s | " : "  %-22s ", name);
    va_start(ap, fmt);
    vfprintf(p->f, fmt, ap);
    va_end(ap);
    fputs(p->markdown ? " |\n" : "\n", p->f);
}

static double at(const json_t *ci, size_t i)
{
    return json_number_value(json_array_get(ci, i));
}

/* "0.0123 (0.0119 to 0.0127)" */
static const char *with_ci(char *buf, size_t cap, const json_t *o,
                           const char *value, const char *ci, double scale)
{
    const json_t *range = json_object_get(o, ci);
    snprintf(buf, cap, "%.5g (%.5g to %.5g)",
             qn_report_number(o, value) * scale, at(range, 0) * scale,
             at(range, 1) * scale);
    return buf;
}

static void estimate(const printer *p, const char *name, const json_t *report,
                     const char *key, double scale, const char *unit)
{
    char buf[128];
    const json_t *o = json_object_get(report, key);
    if (o)
        row(p, name, "%s%s",
            with_ci(buf, sizeof buf, o, "value", "ci95", scale), unit);
}

static void summary(const printer *p, const char *name, const json_t *report,
                    const char *key)
{
    static const char *const parts[] = {"mean", "median", "p90", "p99"};
    const json_t *o = json_object_get(report, key);
    if (!o)
        return;
    for (size_t i = 0; i < QN_COUNTOF(parts); i++) {
        char title[64], ci[32], buf[128];
        snprintf(title, sizeof title, "%s, %s", name, parts[i]);
        snprintf(ci, sizeof ci, "%s_ci95", parts[i]);
        row(p, title, "%s", with_ci(buf, sizeof buf, o, parts[i], ci, 1));
    }
    char title[64];
    snprintf(title, sizeof title, "%s, largest", name);
    row(p, title, "%.5g", qn_report_number(o, "max"));
}

/* ---- models ----------------------------------------------------------------- */

static const char *last_part(const char *path)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    const char *slash = n ? memrchr(path, '/', n - 1) : NULL;
    return slash ? slash + 1 : path;
}

static void model_row(const printer *p, const char *name, const json_t *m)
{
    char bytes[32];
    row(p, name, "%s, %s, %.3f bits a weight, %s%s", qn_report_text(m, "path"),
        qn_report_text(m, "family"), qn_report_number(m, "bits_per_weight"),
        qn_report_bytes(bytes, sizeof bytes, m, "file_bytes"),
        json_is_true(json_object_get(m, "exact")) ? ", exact" : "");
}

/* ---- one text ---------------------------------------------------------------- */

static void print_text(const printer *p, const json_t *o)
{
    const json_t *t = json_object_get(o, "text");
    const json_t *base = json_object_get(o, "base");
    heading(p, "%s: %.0f tokens, %.0f scored, windows of %.0f every %.0f",
            qn_report_text(t, "path"), qn_report_number(t, "tokens"),
            qn_report_number(t, "scored"), qn_report_number(t, "context"),
            qn_report_number(t, "stride"));
    model_row(p, "model", json_object_get(o, "model"));
    if (base)
        model_row(p, "base", base);
    estimate(p, "perplexity", o, "perplexity", 1, "");
    estimate(p, "base's perplexity", o, "base_perplexity", 1, "");
    estimate(p, "ratio", o, "perplexity_ratio", 1, "");
    summary(p, "NLL", o, "nll");
    estimate(p, "next token likeliest", o, "accuracy", 100, " %");
    summary(p, "KL", o, "kl");
    estimate(p, "top 1 the same", o, "top1_agreement", 100, " %");
    estimate(p, "top 5 shared", o, "top5_agreement", 100, " %");
    summary(p, "change of p", o, "delta_p");
    row(p, "speed", "%.0f tokens/s, %.1f s",
        qn_report_number(o, "tokens_per_second"),
        qn_report_number(o, "seconds"));
}

/* ---- a task ------------------------------------------------------------------ */

static void rate(const printer *p, const json_t *report, const char *key)
{
    char buf[128];
    const json_t *o = json_object_get(report, key);
    if (o)
        row(p, key, "%s %%, standard error %.2f, %.0f right",
            with_ci(buf, sizeof buf, o, "value", "ci95", 100),
            100 * qn_report_number(o, "stderr"), qn_report_number(o, "right"));
}

static void print_task(const printer *p, const json_t *o)
{
    heading(p, "%s: %.0f questions of %s, %.0f solved ones before each",
            qn_report_text(o, "task"), qn_report_number(o, "items"),
            qn_report_text(o, "data"), qn_report_number(o, "fewshot"));
    model_row(p, "model", json_object_get(o, "model"));
    rate(p, o, "acc");
    rate(p, o, "acc_norm");
    rate(p, o, "exact_match");
    rate(p, o, "exact_match_flexible");
    if (json_object_get(o, "perplexity"))
        row(p, "perplexity", "%.5g", qn_report_number(o, "perplexity"));
    if (qn_report_number(o, "cut") > 0)
        row(p, "cut", "%.0f answers were longer than the context",
            qn_report_number(o, "cut"));
    row(p, "time", "%.1f s", qn_report_number(o, "seconds"));
}

/* ---- several models ---------------------------------------------------------- */

typedef struct column {
    const char *title;
    const char *group, *key; /* group NULL: of the row itself */
    int digits;              /* behind the point */
    double scale;
    int wide; /* characters of a cell; 0: the usual */
} column;

static const column columns[] = {
    {"bits/weight", "model", "bits_per_weight", 3, 1, 0},
    {"MB", "model", "file_bytes", 2, 1e-6, 0},
    {"perplexity", "perplexity", "value", 4, 1, 0},
    {"ratio", "perplexity_ratio", "value", 4, 1, 0},
    {"KL", "kl", "mean", 5, 1, 0},
    {"of it 95 %", "kl", "mean_ci95", 5, 1, 19},
    {"KL p99", "kl", "p99", 4, 1, 0},
    {"top 1 %", "top1_agreement", "value", 2, 100, 0},
    {"made in s", NULL, "made_seconds", 1, 1, 0},
    {"prefill/s", NULL, "prefill", 0, 1, 0},
    {"decode/s", NULL, "decode", 1, 1, 0},
};

/* A column of which no row has a value is left out. */
static bool is_there(const json_t *rows, const column *c)
{
    size_t i;
    json_t *r;
    json_array_foreach((json_t *)(uintptr_t)rows, i, r)
    {
        const json_t *o = c->group ? json_object_get(r, c->group) : r;
        const json_t *v = json_object_get(o, c->key);
        if (json_is_number(v) || json_is_array(v))
            return true;
    }
    return false;
}

static int width_of(const printer *p, const column *c)
{
    return p->markdown ? 0 : c->wide ? c->wide : WIDE;
}

static void cell(const printer *p, const json_t *r, const column *c)
{
    char text[40] = "-";
    const json_t *o = c->group ? json_object_get(r, c->group) : r;
    const json_t *v = json_object_get(o, c->key);
    if (json_is_number(v))
        snprintf(text, sizeof text, "%.*f", c->digits,
                 json_number_value(v) * c->scale);
    if (json_is_array(v))
        snprintf(text, sizeof text, "%.*f to %.*f", c->digits, at(v, 0),
                 c->digits, at(v, 1));
    fprintf(p->f, p->markdown ? " %*s |" : " %*s", width_of(p, c), text);
}

static void print_titles(const printer *p, const json_t *rows, int wide)
{
    fprintf(p->f, p->markdown ? "| %*s |" : "%*s", p->markdown ? 0 : wide, "");
    for (size_t k = 0; k < QN_COUNTOF(columns); k++)
        if (is_there(rows, &columns[k]))
            fprintf(p->f, p->markdown ? " %*s |" : " %*s",
                    width_of(p, &columns[k]), columns[k].title);
    if (p->markdown) {
        fputs("\n|---|", p->f);
        for (size_t k = 0; k < QN_COUNTOF(columns); k++)
            if (is_there(rows, &columns[k]))
                fputs("---:|", p->f);
    }
    fputc('\n', p->f);
}

/* What a model is called: its file or folder; a file model.gguf, as quern
 * optimize writes it, says less than its folder. */
static const char *name_of(const json_t *row)
{
    const char *path = qn_report_text(json_object_get(row, "model"), "path");
    const char *name = last_part(path), *slash = NULL;
    if (strcmp(name, "model.gguf") != 0)
        return name;
    for (const char *p = path; p + 1 < name; p++)
        slash = *p == '/' ? p : slash;
    return slash ? slash + 1 : path;
}

static double decode_of(const json_t *row)
{
    return json_number_value(json_object_get(row, "decode"));
}

/* a is no larger and hardly slower than b, and nearer to the first model by
 * more than chance. */
static bool beats(const json_t *a, const json_t *b)
{
    const json_t *ci[] = {
        json_object_get(json_object_get(a, "kl"), "mean_ci95"),
        json_object_get(json_object_get(b, "kl"), "mean_ci95")};
    double bytes[] = {
        qn_report_number(json_object_get(a, "model"), "file_bytes"),
        qn_report_number(json_object_get(b, "model"), "file_bytes")};
    return ci[0] && ci[1] && bytes[0] > 0 && bytes[0] <= bytes[1] &&
           decode_of(a) >= SLOWER * decode_of(b) && at(ci[0], 1) < at(ci[1], 0);
}

/* What nobody would take who saw the row that beats it: of several the one that
 * is nearest. */
static void print_beaten(const printer *p, const json_t *rows)
{
    size_t i, k;
    json_t *r, *other;
    bool any = false, speed = false;
    json_array_foreach((json_t *)(uintptr_t)rows, i, r)
    {
        const json_t *by = NULL;
        json_array_foreach((json_t *)(uintptr_t)rows, k, other)
        {
            speed |= decode_of(other) > 0;
            if (beats(other, r) && (!by || beats(other, by)))
                by = other;
        }
        if (!by)
            continue;
        fprintf(p->f, "%s%s%s: %s is no larger%s, and nearer to %s\n",
                any ? "" : "\n", p->markdown ? "- " : "", name_of(r),
                name_of(by), speed ? " and no slower" : "",
                name_of(json_array_get(rows, 0)));
        any = true;
    }
}

static void print_compare(const printer *p, const json_t *o)
{
    json_t *rows = json_object_get(o, "rows"), *r;
    const json_t *t = json_object_get(o, "text");
    size_t i, wide = 5;
    json_array_foreach(rows, i, r)
    {
        wide = QN_MAX(wide, strlen(name_of(r)));
    }
    fprintf(p->f, "%s: %.0f tokens scored, windows of %.0f every %.0f\n\n",
            qn_report_text(t, "path"), qn_report_number(t, "scored"),
            qn_report_number(t, "context"), qn_report_number(t, "stride"));
    print_titles(p, rows, (int)wide);
    json_array_foreach(rows, i, r)
    {
        fprintf(p->f, p->markdown ? "| %s |" : "%s", name_of(r));
        if (!p->markdown)
            fprintf(p->f, "%*s", (int)(wide - strlen(name_of(r))), "");
        for (size_t k = 0; k < QN_COUNTOF(columns); k++)
            if (is_there(rows, &columns[k]))
                cell(p, r, &columns[k]);
        fputc('\n', p->f);
    }
    print_beaten(p, rows);
}

void qn_eval_print(const json_t *report, bool markdown, FILE *f)
{
    printer p = {f, markdown};
    const char *kind = qn_report_text(report, "kind");
    if (strcmp(kind, "text") == 0)
        print_text(&p, report);
    else if (strcmp(kind, "task") == 0)
        print_task(&p, report);
    else
        print_compare(&p, report);
}
