/* cmd_doctor.c - quern doctor: this machine, and what quern makes of it. */
#include "cli/commands.h"

#include "cli/table.h"
#include "cli/terminal.h"

#include <stdio.h>
#include <string.h>

static const qn_opt opts[] = {
    {"json", 0, QN_OPT_FLAG, .help = "One JSON object."},
    {"kernels", 0, QN_OPT_FLAG, .help = "Also every kernel."},
    {0},
};

static const qn_opt_group groups[] = {{"Report", opts}, {0}};

static const qn_example examples[] = {
    {"quern doctor", "put its output into a report of a defect"},
    {0},
};

/* "32 KiB L1, 1 MiB L2", of those that the system tells. */
static void caches(const json_t *cpu)
{
    static const char *const names[][2] = {{"l1d", "L1"},
                                           {"l2", "L2"},
                                           {"l3", "L3"}};
    char text[96] = "", size[32];
    for (size_t i = 0; i < QN_COUNTOF(names); i++) {
        size_t n = strlen(text);
        if (qn_report_number(cpu, names[i][0]) > 0)
            snprintf(text + n, sizeof text - n, "%s%s %s", n ? ", " : "",
                     qn_report_bytes(size, sizeof size, cpu, names[i][0]),
                     names[i][1]);
    }
    qn_table_row("caches", "%s", *text ? text : "unknown");
}

static void check(bool good, const char *what, const char *remedy)
{
    qn_style s = good ? QN_STYLE_GREEN : QN_STYLE_RED;
    printf("  %s%s%s %s%s%s\n", qn_style_on(stdout, s), good ? "ok  " : "note",
           qn_style_on(stdout, QN_STYLE_NONE), what, good ? "" : ": ",
           good ? "" : remedy);
}

static void machine(const json_t *o)
{
    char a[32], b[32];
    const json_t *cpu = json_object_get(o, "cpu");
    const json_t *mem = json_object_get(o, "memory");
    qn_table_heading("Machine");
    qn_table_row("quern", "%s", qn_report_text(o, "version"));
    qn_table_row("system", "%s, %s", qn_report_text(o, "system"),
                 qn_report_text(o, "machine"));
    qn_table_row("processor", "%s", qn_report_text(cpu, "name"));
    qn_table_row("cores granted", "%.0f", qn_report_number(cpu, "cores"));
    qn_table_row("instructions", "%s (the machine has %s)",
                 qn_report_text(cpu, "isa"),
                 qn_report_text(cpu, "isa_detected"));
    caches(cpu);
    qn_table_row("memory", "%s, %s available",
                 qn_report_bytes(a, sizeof a, mem, "total"),
                 qn_report_bytes(b, sizeof b, mem, "available"));
    const char *pages = qn_report_text(mem, "huge_pages");
    qn_table_row("huge pages", "%s", *pages ? pages : "unknown");
}

static void backends(const json_t *o, bool kernels)
{
    const json_t *list = json_object_get(o, "backends");
    qn_table_heading("Backends");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *b = json_array_get(list, i);
        qn_table_row(qn_report_text(b, "name"), "%.0f threads, %zu kernels",
                     qn_report_number(b, "threads"),
                     json_array_size(json_object_get(b, "kernels")));
        if (kernels)
            qn_report_kernels(json_object_get(b, "kernels"));
    }
}

/* 1: the built-in model is there. */
static void checks(const json_t *o)
{
    const json_t *cpu = json_object_get(o, "cpu");
    const json_t *mem = json_object_get(o, "memory");
    const char *isa = qn_report_text(cpu, "isa");
    const char *pages = qn_report_text(mem, "huge_pages");
    qn_model_params p = {.no_weights = true};
    qn_model *m = NULL;
    qn_err err = {0};
    qn_table_heading("Checks");
    check(strcmp(isa, "ref") != 0, "vector instructions",
          "without AVX2 only the slow reference kernels run");
    check(strcmp(isa, qn_report_text(cpu, "isa_detected")) == 0,
          "all of the processor is used", "QUERN_CPU holds it back");
    check(strcmp(pages, "never") != 0 && *pages, "transparent huge pages",
          *pages ? "off; as root: echo madvise "
                   ">/sys/kernel/mm/transparent_hugepage/enabled"
                 : "unknown, since /sys is not here");
    check(qn_report_number(mem, "available") > 512e6, "memory",
          "less than 512 MB are available");
    bool found = qn_model_open(&m, NULL, &p, &err) == 0;
    check(found, "the built-in model", err.msg);
    qn_model_close(m);
}

static int doctor(qn_args *a, qn_err *err)
{
    char *text;
    json_t *o = NULL;
    QN_TRY(qn_doctor(&text, err));
    int rc = qn_json_parse(&o, text, strlen(text), "report", err);
    qn_free(text);
    if (rc < 0)
        return rc;
    if (qn_args_flag(a, "json")) {
        qn_report_print(o);
    } else {
        machine(o);
        backends(o, qn_args_flag(a, "kernels"));
        checks(o);
    }
    json_decref(o);
    return 0;
}

const qn_command qn_cmd_doctor = {
    .name = "doctor",
    .summary = "what this machine has, what quern uses, what is missing",
    .operands = "",
    .max_operands = 0,
    .about = "Reports the processor, memory and kernels, and what could be "
             "better.",
    .examples = examples,
    .groups = groups,
    .run = doctor,
};
