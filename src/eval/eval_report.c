/* eval_report.c - numbers of a measurement as JSON. */
#include "eval/eval_int.h"

#include "quern.h"

#include <time.h>

static json_t *pair(qn_estimate e)
{
    return json_pack("[f, f]", e.lo, e.hi);
}

json_t *qn_estimate_json(qn_estimate e)
{
    return json_pack("{s:f, s:o}", "value", e.value, "ci95", pair(e));
}

json_t *qn_summary_json(const qn_summary *s)
{
    return json_pack("{s:f, s:o, s:f, s:o, s:f, s:o, s:f, s:o, s:f, s:f}",
                     "mean", s->mean.value, "mean_ci95", pair(s->mean),
                     "median", s->median.value, "median_ci95", pair(s->median),
                     "p90", s->p90.value, "p90_ci95", pair(s->p90), "p99",
                     s->p99.value, "p99_ci95", pair(s->p99), "min", s->min,
                     "max", s->max);
}

void qn_eval_stamp(json_t *report)
{
    char date[32];
    time_t now = time(NULL);
    struct tm tm;
    gmtime_r(&now, &tm);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", &tm);
    json_object_set_new(report, "quern", json_string(qn_version()));
    json_object_set_new(report, "date", json_string(date));
}
