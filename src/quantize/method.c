/* method.c - names that people know, to schemes and their constants; and the
 * configuration that other programs read. */
#include "quantize/optimize_int.h"

#include "base/str.h"
#include "quantize/gguf_out.h"
#include "tensor/qscheme.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

typedef struct method_row {
    const char *method, *variant; /* of --quant-type, --format or --scales */
    const qn_qscheme *scheme;
    int bits;      /* usual; 0: any, 4 */
    int64_t group; /* usual */
} method_row;

/* The first row of a method is its usual variant. */
static const method_row method_rows[] = {
    {"bitsandbytes", "nf4", &qn_bnb_nf4_scheme, 4, 64},
    {"bitsandbytes", "fp4", &qn_bnb_fp4_scheme, 4, 64},
    {"bitsandbytes", "int8", &qn_bnb_i8_scheme, 8, 0},
    {"rtn", "compressed-tensors", &qn_ct_pack_scheme, 0, 128},
    {"rtn", "gptq", &qn_gptq_scheme, 0, 128},
    {"rtn", "awq", &qn_awq_scheme, 4, 128},
    {"rtn", "int8", &qn_ct_int8_scheme, 8, 0},
    {"gptq", "gptq", &qn_gptq_scheme, 0, 128},
    {"gptq", "compressed-tensors", &qn_ct_pack_scheme, 0, 128},
    {"awq", "awq", &qn_awq_scheme, 4, 128},
    {"awq", "compressed-tensors", &qn_ct_pack_scheme, 0, 128},
    {"auto", "compressed-tensors", &qn_ct_pack_scheme, 0, 128},
    {"fp8", "channel", &qn_ct_fp8_scheme, 8, 0},
    {"fp8", "tensor", &qn_ct_fp8_scheme, 8, 0},
    {"fp8", "block", &qn_fp8_block_scheme, 8, 128},
};

static bool is_method(const qn_optimize_params *p, const char *name)
{
    return strcmp(p->method, name) == 0;
}

bool qn_method_is_gguf(const qn_optimize_params *p)
{
    return is_method(p, "gguf") || (is_method(p, "auto") && p->format &&
                                    strcmp(p->format, "gguf") == 0);
}

bool qn_method_reads_text(const qn_optimize_params *p)
{
    bool asked = p->weigh || p->imatrix_out || p->calibration ||
                 qn_method_is_auto(p);
    if (qn_method_is_gguf(p))
        return asked && !p->imatrix;
    return is_method(p, "gptq") || is_method(p, "awq") || qn_method_is_auto(p);
}

bool qn_method_is_auto(const qn_optimize_params *p)
{
    return is_method(p, "auto");
}

/* Method auto has one target, and others have none. */
static int check_target(const qn_optimize_params *p, qn_err *err)
{
    int n = (p->target_bits > 0) + (p->target_size > 0) + (p->max_kl > 0);
    if (qn_method_is_auto(p) && n != 1)
        return qn_fail(err, QN_EINVAL,
                       "method auto wants one target: --target-bits, "
                       "--target-size or --max-kl");
    if (qn_method_is_auto(p) && p->bits)
        return qn_fail(err, QN_EINVAL,
                       "method auto chooses the bits; give it --target-bits");
    if (!qn_method_is_auto(p) && n)
        return qn_fail(err, QN_EUNSUP,
                       "a target is a matter of --quantization_method auto");
    return QN_OK;
}

/* The variant that was asked for, or NULL. */
static const char *wanted(const qn_optimize_params *p)
{
    if (is_method(p, "bitsandbytes"))
        return p->type ? p->type : p->bits == 8 ? "int8" : NULL;
    if (is_method(p, "fp8"))
        return p->scales;
    return p->format;
}

bool qn_optimize_has_type(const char *method, const char *type)
{
    const qn_gguf_kind *k;
    if (!type)
        return true;
    for (size_t i = 0; i < QN_COUNTOF(method_rows); i++)
        if (strcmp(method_rows[i].method, method) == 0 &&
            strcmp(method_rows[i].variant, type) == 0)
            return true;
    for (size_t i = 0; strcmp(method, "gguf") == 0 && (k = qn_gguf_kind_at(i));
         i++)
        if (strcmp(k->name, type) == 0)
            return true;
    return false;
}

/* The type that bears this name, in any case, and the method that has it. */
static const char *type_named(const char *name, const char **method)
{
    const qn_gguf_kind *k;
    *method = "bitsandbytes";
    for (size_t i = 0; i < QN_COUNTOF(method_rows); i++)
        if (strcmp(method_rows[i].method, *method) == 0 &&
            strcasecmp(method_rows[i].variant, name) == 0)
            return method_rows[i].variant;
    *method = "gguf";
    for (size_t i = 0; (k = qn_gguf_kind_at(i)); i++)
        if (strcasecmp(k->name, name) == 0)
            return k->name;
    return NULL;
}

int qn_method_resolve(qn_optimize_params *p, qn_err *err)
{
    const char *method, *type = type_named(p->method, &method);
    if (!type)
        return QN_OK;
    if (p->type && strcmp(p->type, type) != 0)
        return qn_fail(err, QN_EINVAL,
                       "--quantization_method %s is %s of --quant-type %s, and "
                       "--quant-type says %s",
                       p->method, method, type, p->type);
    p->method = method;
    p->type = type;
    return QN_OK;
}

static int unknown(const qn_optimize_params *p, const char *variant,
                   qn_err *err)
{
    qn_str s;
    qn_str_init(&s);
    const char *last = "";
    for (size_t i = 0; i < QN_COUNTOF(method_rows); i++) {
        const method_row *r = &method_rows[i];
        if (variant && strcmp(r->method, p->method) == 0)
            qn_str_addf(&s, "%s%s", s.n ? ", " : "", r->variant);
        if (!variant && strcmp(r->method, last) != 0)
            qn_str_addf(&s, "%s%s", s.n ? ", " : "", r->method);
        last = r->method;
    }
    if (!variant || is_method(p, "auto"))
        qn_str_adds(&s, ", gguf");
    int rc = variant
                 ? qn_fail(err, QN_EUNSUP, "method %s has no \"%s\"; it has %s",
                           p->method, variant, s.p)
                 : qn_fail(err, QN_EUNSUP,
                           "there is no quantization method \"%s\"; these "
                           "are: %s",
                           p->method, s.p);
    qn_str_deinit(&s);
    return rc;
}

static const method_row *find_row(const qn_optimize_params *p, qn_err *err)
{
    const char *variant = wanted(p);
    bool known = false;
    for (size_t i = 0; i < QN_COUNTOF(method_rows); i++) {
        const method_row *r = &method_rows[i];
        if (!is_method(p, r->method))
            continue;
        known = true;
        if (!variant || strcmp(variant, r->variant) == 0)
            return r;
    }
    unknown(p, known ? variant : NULL, err);
    return NULL;
}

/* Behind the name of a method: which of its forms, unless that has the same name. */
static const char *form_of(const method_row *r)
{
    return strcmp(r->method, r->variant) == 0 ? "" : r->variant;
}

#define FORM(r) (r)->method, *form_of(r) ? " " : "", form_of(r)

/* Bits that the layout has. */
static int check_bits(const qn_optimize_params *p, const method_row *r,
                      qn_err *err)
{
    bool gptq = r->scheme == &qn_gptq_scheme;
    bool integers = gptq || r->scheme == &qn_awq_scheme;
    bool has = gptq ? p->bits <= 4 || p->bits == 8
                    : !r->bits || p->bits == r->bits;
    if (p->bits == 0 || has)
        return QN_OK;
    return qn_fail(err, QN_EUNSUP, "%s%s%s has %s bits, not %d; %s", FORM(r),
                   gptq           ? "2, 3, 4 or 8"
                   : r->bits == 8 ? "8"
                                  : "4",
                   p->bits,
                   integers ? "--format compressed-tensors has 2 to 8"
                            : "rtn, gptq and awq write integers of 2 to 8 "
                              "bits (--format compressed-tensors)");
}

/* What an option asks of a method that does not have it. */
static int check_options(const qn_optimize_params *p, const method_row *r,
                         qn_err *err)
{
    bool bnb4 = is_method(p, "bitsandbytes") && r->bits == 4;
    bool reads = qn_method_reads_text(p);
    bool affine = reads || (is_method(p, "rtn") && r->bits != 8);
    QN_TRY(check_bits(p, r, err));
    if (!qn_optimize_has_type(p->method, p->type))
        return qn_fail(err, QN_EUNSUP,
                       "--quant-type %s: bitsandbytes and gguf have types; %s "
                       "has --quantization-bits",
                       p->type, r->method);
    if (p->double_quant && !bnb4)
        return qn_fail(err, QN_EUNSUP,
                       "double quantization is a matter of bitsandbytes nf4 "
                       "and fp4, %s%s%s has none",
                       FORM(r));
    if (p->asymmetric && !affine)
        return qn_fail(err, QN_EUNSUP, "%s%s%s has no zero points", FORM(r));
    if (!reads && p->calibration)
        return qn_fail(err, QN_EUNSUP, "%s does not calibrate", r->method);
    if ((p->desc_act || p->static_groups) && !is_method(p, "gptq") &&
        !qn_method_is_auto(p))
        return qn_fail(err, QN_EUNSUP,
                       "%s has no activation order; gptq has one", r->method);
    if (p->group && !bnb4 && !affine && !(p->group > 0 && r->group))
        return qn_fail(err, QN_EUNSUP, "%s%s%s has no groups to choose",
                       FORM(r));
    if (bnb4 && p->group < 0)
        return qn_fail(err, QN_EUNSUP, "bitsandbytes has blocks of 32 to 4096");
    return QN_OK;
}

/* Options that mean something for other methods alone. */
static int check_gguf(const qn_optimize_params *p, qn_err *err)
{
    const qn_gguf_kind *kind;
    const char *alien = p->type && qn_method_is_auto(p)      ? "--quant-type"
                        : p->group                           ? "--group-size"
                        : p->double_quant                    ? "--double-quant"
                        : p->asymmetric                      ? "--no-symmetric"
                        : p->scales                          ? "--fp8-scales"
                        : p->format && !qn_method_is_auto(p) ? "--format"
                        : p->desc_act                        ? "--desc-act"
                                                             : NULL;
    if (alien)
        return qn_fail(err, QN_EUNSUP,
                       "%s: the types of GGUF have their own blocks and "
                       "scales; choose among them with --quant-type",
                       alien);
    if (p->imatrix && (p->calibration || p->weigh))
        return qn_fail(err, QN_EINVAL,
                       "an importance matrix is either read (--imatrix FILE) "
                       "or made of a text");
    return qn_gguf_kind_pick(p, &kind, err);
}

static int check_others(const qn_optimize_params *p, const method_row *r,
                        qn_err *err)
{
    if (p->n_rules && qn_method_is_auto(p))
        return qn_fail(err, QN_EUNSUP,
                       "--rule: method auto chooses the bits of all; --skip "
                       "leaves modules out");
    if (p->n_rules && r->scheme != &qn_ct_pack_scheme)
        return qn_fail(err, QN_EUNSUP,
                       "--rule: %s%s%s has the same bits for all; gguf and "
                       "--format compressed-tensors of rtn, gptq and awq do "
                       "not",
                       FORM(r));
    const char *alien = p->head_type     ? "--head-type"
                        : p->embed_type  ? "--embedding-type"
                        : p->imatrix     ? "--imatrix"
                        : p->imatrix_out ? "--imatrix-out"
                        : p->weigh       ? "--importance"
                                         : NULL;
    if (alien)
        return qn_fail(err, QN_EUNSUP,
                       "%s is a matter of --quantization_method gguf; %s has "
                       "one format for all",
                       alien, p->method);
    return QN_OK;
}

int qn_method_pick(const qn_optimize_params *p, qn_qmat *like, qn_err *err)
{
    QN_TRY(check_target(p, err));
    if (p->calibration_split && !p->calibration)
        return qn_fail(err, QN_EINVAL,
                       "--calibration-split: what is split is a --calibration "
                       "FILE, and there is none");
    if (qn_method_is_gguf(p))
        return check_gguf(p, err);
    const method_row *r = find_row(p, err);
    if (!r)
        return QN_EUNSUP;
    QN_TRY(check_others(p, r, err));
    QN_TRY(check_options(p, r, err));
    int64_t group = p->group ? p->group : r->group;
    *like = (qn_qmat){.scheme = r->scheme,
                      .bits = p->bits   ? p->bits
                              : r->bits ? r->bits
                                        : 4,
                      .group = group,
                      .zeros = p->asymmetric || qn_method_is_auto(p)};
    if (is_method(p, "bitsandbytes")) {
        like->block[0] = group;
        like->block[1] = p->double_quant ? 256 : 0;
    } else if (r->scheme == &qn_fp8_block_scheme) {
        like->block[0] = like->block[1] = group;
    } else if (is_method(p, "fp8") || r->scheme == &qn_ct_int8_scheme) {
        like->block[0] = strcmp(r->variant, "tensor") != 0;
    }
    return QN_OK;
}

/* ---- quantization_config ------------------------------------------------- */

static json_t *with_head(const char *head, const json_t *left)
{
    json_t *a = json_array();
    size_t i;
    json_t *v;
    if (head)
        json_array_append_new(a, json_string(head));
    json_array_foreach(left, i, v) json_array_append(a, v);
    return a;
}

static json_t *bnb_config(const qn_optimize_params *p, const qn_qmat *like,
                          const char *head, const json_t *left)
{
    bool four = like->bits == 4;
    json_t *skip = json_array_size(left) || !head ? with_head(head, left)
                                                  : json_null();
    double threshold = p->int8_threshold == 0 ? 6 : p->int8_threshold;
    return json_pack(
        "{s:s, s:b, s:b, s:b, s:b, s:s, s:s, s:s, s:b, s:b, s:b, s:f, s:o}",
        "quant_method", "bitsandbytes", "load_in_4bit", four, "load_in_8bit",
        !four, "_load_in_4bit", four, "_load_in_8bit", !four,
        "bnb_4bit_compute_dtype",
        p->compute_type ? p->compute_type : "bfloat16",
        "bnb_4bit_quant_storage", "uint8", "bnb_4bit_quant_type",
        like->scheme == &qn_bnb_fp4_scheme ? "fp4" : "nf4",
        "bnb_4bit_use_double_quant", like->block[1] != 0,
        "llm_int8_enable_fp32_cpu_offload", 0, "llm_int8_has_fp16_weight", 0,
        "llm_int8_threshold", threshold > 0 ? threshold : 0.0,
        "llm_int8_skip_modules", skip);
}

static json_t *gptq_config(const qn_optimize_params *p, const qn_qmat *like,
                           const json_t *left)
{
    json_t *c = json_pack("{s:s, s:i, s:I, s:b, s:b, s:s, s:b, s:f, s:b, s:b}",
                          "quant_method", "gptq", "bits", like->bits,
                          "group_size", (json_int_t)like->group, "desc_act",
                          p->desc_act, "sym", !like->zeros, "checkpoint_format",
                          "gptq", "lm_head", 0, "damp_percent",
                          p->damping > 0 ? p->damping : 0.01, "static_groups",
                          p->static_groups, "true_sequential", 0);
    if (json_array_size(left))
        json_object_set(c, "modules_to_not_convert", (json_t *)left);
    return c;
}

static json_t *awq_config(const qn_qmat *like, const json_t *left)
{
    return json_pack("{s:s, s:i, s:I, s:b, s:s, s:o}", "quant_method", "awq",
                     "bits", like->bits, "group_size", (json_int_t)like->group,
                     "zero_point", 1, "version", "gemm",
                     "modules_to_not_convert",
                     json_array_size(left) ? json_incref((json_t *)left)
                                           : json_null());
}

/* compressed-tensors: how weights of so many bits are stored. */
static json_t *ct_weights(const qn_qmat *like, int bits)
{
    bool fp8 = like->scheme == &qn_ct_fp8_scheme;
    bool packed = like->scheme == &qn_ct_pack_scheme;
    bool grouped = packed && like->group > 0;
    const char *strategy = grouped                          ? "group"
                           : like->block[0] == 0 && !packed ? "tensor"
                                                            : "channel";
    return json_pack("{s:i, s:s, s:s, s:b, s:b, s:n, s:o}", "num_bits", bits,
                     "type", fp8 ? "float" : "int", "strategy", strategy,
                     "symmetric", !like->zeros, "dynamic", 0, "actorder",
                     "group_size",
                     grouped ? json_integer((json_int_t)like->group)
                             : json_null());
}

static json_t *ct_group(const qn_qmat *like, int bits, json_t *targets)
{
    bool fp8 = like->scheme == &qn_ct_fp8_scheme;
    bool packed = like->scheme == &qn_ct_pack_scheme;
    json_t *x = packed ? json_null()
                       : json_pack("{s:i, s:s, s:s, s:b, s:b}", "num_bits", 8,
                                   "type", fp8 ? "float" : "int", "strategy",
                                   "token", "symmetric", 1, "dynamic", 1);
    return json_pack("{s:o, s:o, s:o, s:n}", "targets", targets, "weights",
                     ct_weights(like, bits), "input_activations", x,
                     "output_activations");
}

/* One group of all linear layers, or (table) one for each number of bits. */
static json_t *ct_groups(const qn_qmat *like, const json_t *table)
{
    json_t *groups = json_object(), *row;
    int n = 0;
    size_t i;
    if (!table)
        json_object_set_new(groups, "group_0",
                            ct_group(like, like->bits,
                                     json_pack("[s]", "Linear")));
    for (int bits = 2; table && bits <= 8; bits++) {
        json_t *names = json_array();
        char key[32];
        json_array_foreach(table, i, row)
        {
            if (json_integer_value(json_object_get(row, "bits")) == bits)
                json_array_append(names, json_object_get(row, "module"));
        }
        snprintf(key, sizeof key, "group_%d", n);
        if (json_array_size(names)) {
            json_object_set_new(groups, key, ct_group(like, bits, names));
            n++;
        } else {
            json_decref(names);
        }
    }
    return groups;
}

static json_t *ct_config(const qn_qmat *like, const char *head,
                         const json_t *left, const json_t *table)
{
    const char *format = like->scheme == &qn_ct_pack_scheme  ? "pack-quantized"
                         : like->scheme == &qn_ct_fp8_scheme ? "float-quantized"
                                                             : "int-quantized";
    return json_pack("{s:s, s:s, s:s, s:n, s:o, s:o}", "quant_method",
                     "compressed-tensors", "format", format,
                     "quantization_status", "compressed", "kv_cache_scheme",
                     "ignore", with_head(head, left), "config_groups",
                     ct_groups(like, table));
}

json_t *qn_method_config(const qn_optimize_params *p, const qn_qmat *like,
                         const char *head, const json_t *left,
                         const json_t *table)
{
    if (is_method(p, "bitsandbytes"))
        return bnb_config(p, like, head, left);
    if (like->scheme == &qn_gptq_scheme)
        return gptq_config(p, like, left);
    if (like->scheme == &qn_awq_scheme)
        return awq_config(like, left);
    if (like->scheme == &qn_fp8_block_scheme)
        return json_pack("{s:s, s:s, s:s, s:[I, I], s:o}", "quant_method",
                         "fp8", "activation_scheme", "dynamic", "fmt", "e4m3",
                         "weight_block_size", (json_int_t)like->block[0],
                         (json_int_t)like->block[1], "modules_to_not_convert",
                         with_head(head, left));
    return ct_config(like, head, left, table);
}
