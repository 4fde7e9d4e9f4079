/* metadata.c - metadata.json: from what, and how, a directory was made. */
#include "quantize/optimize_int.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static json_t *now_text(void)
{
    char text[32];
    time_t t = time(NULL);
    struct tm tm;
    gmtime_r(&t, &tm);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    return json_string(text);
}

static json_t *texts(const char *const *v, size_t n)
{
    json_t *a = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(a, json_string(v[i]));
    return a;
}

/* What read a text, and how. */
static void add_calibration(const qn_optimize_params *p,
                            const qn_optimize_report *r, json_t *o)
{
    json_object_set_new(o, "calibration",
                        json_string(p->calibration ? p->calibration
                                                   : "built-in"));
    if (p->calibration_split)
        json_object_set_new(o, "calibration_split",
                            json_string(p->calibration_split));
    if (r->n_samples) {
        json_object_set_new(o, "calibration_samples",
                            json_integer(r->n_samples));
        json_object_set_new(o, "calibration_length",
                            json_integer(r->n_context));
    }
    if (strcmp(p->method, "gptq") != 0 && !qn_method_is_auto(p))
        return;
    json_object_set_new(o, "damping",
                        json_real(p->damping > 0 ? p->damping : 0.01));
    json_object_set_new(o, "desc_act", json_boolean(p->desc_act));
    json_object_set_new(o, "static_groups", json_boolean(p->static_groups));
}

/* What every method has. */
static void add_options(const qn_optimize_params *p,
                        const qn_optimize_report *r, json_t *o)
{
    if (qn_method_reads_text(p))
        add_calibration(p, r, o);
    if (p->imatrix)
        json_object_set_new(o, "imatrix", json_string(p->imatrix));
    json_object_set_new(o, "rules", texts(p->rules, p->n_rules));
    json_object_set_new(o, "quantize_head", json_boolean(p->head));
    json_object_set_new(o, "skip", texts(p->skip, p->n_skip));
    json_object_set_new(o, "only", texts(p->only, p->n_only));
}

json_t *qn_metadata(const qn_optimize_params *p, const qn_ckpt *ck,
                    json_t *options, const qn_optimize_report *r,
                    const json_t *left, const json_t *files)
{
    const json_t *type = json_object_get(qn_ckpt_config(ck), "model_type");
    json_t *result = json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:{s:I, s:I, s:I}}",
        "parameters", (json_int_t)r->n_params, "quantized_parameters",
        (json_int_t)r->n_quantized, "quantized_matrices",
        (json_int_t)r->n_matrices, "source_bytes", (json_int_t)r->source_bytes,
        "output_bytes", (json_int_t)r->output_bytes, "bits_per_weight",
        r->bits_per_weight, "bits_per_quantized_weight", r->bits_quantized,
        "seconds", r->seconds, "memory", "peak_bytes",
        (json_int_t)r->peak_memory, "largest_layer_f32_bytes",
        (json_int_t)r->largest_layer, "text_bytes", (json_int_t)r->text_memory);
    if (r->resumed > 0)
        json_object_set_new(result, "resumed", json_real(r->resumed));
    if (json_array_size(r->notes))
        json_object_set(result, "notes", r->notes);
    if (r->loss)
        json_object_set(result, "loss", r->loss);
    add_options(p, r, options);
    return json_pack("{s:s, s:o, s:{s:s, s:O?, s:O}, s:s, s:o, s:o, s:O?}",
                     "created_by", "quern " QUERN_VERSION, "created_at",
                     now_text(), "source", "model", p->model, "model_type",
                     type, "files", files, "method", p->method, "options",
                     options, "result", result, "modules_left", left);
}
