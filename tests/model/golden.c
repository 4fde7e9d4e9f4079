#include "golden.h"

void golden_note(golden *g, const char *fmt, ...)
{
    if (g->notes[0])
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(g->notes, sizeof g->notes, fmt, ap);
    va_end(ap);
}

static void check(golden *g, bool ok)
{
    g->total++;
    g->passed += ok;
}

void golden_logits(golden *g, drive *d, const char *config, int i)
{
    char name[32];
    int n, n_logits;
    snprintf(name, sizeof name, "prompt_%d", i);
    int32_t *prompt = drive_ints(g->ck, name, &n);
    snprintf(name, sizeof name, "logits_%d", i);
    float *want = drive_floats(g->ck, name, &n_logits);
    assert_int_equal(n_logits, n * d->n_vocab);
    float *got = malloc((size_t)n_logits * sizeof *got);
    drive_seq s;
    drive_seq_init(&s, n);
    drive_prompt(d, &s, prompt, n, 0, got);
    drive_seq_end(d, &s);
    double top = 0, worst = 0;
    for (int j = 0; j < n_logits; j++) {
        double e = fabs((double)got[j] - (double)want[j]);
        top = fmax(top, fabs((double)want[j]));
        worst = e >= worst ? e : isnan(e) ? INFINITY : worst;
    }
    check(g, worst <= g->tolerance * top);
    if (!(worst <= g->tolerance * top))
        golden_note(g, "%s: logits_%d off by %.3g of %.3g", config, i, worst,
                    top);
    free(prompt);
    free(want);
    free(got);
}

/* The reference's tokens are fed, so that one near tie does not end the
 * comparison; where its margin is within the tolerance any choice is right. */
void golden_greedy(golden *g, drive *d, const char *config, int i)
{
    char name[32];
    int n, n_new;
    snprintf(name, sizeof name, "prompt_%d", i);
    int32_t *prompt = drive_ints(g->ck, name, &n);
    snprintf(name, sizeof name, "greedy_%d", i);
    int32_t *greedy = drive_ints(g->ck, name, &n_new);
    const json_t *margins = json_object_get(
        json_array_get(json_object_get(g->json, "prompts"), (size_t)i),
        "margins");
    int32_t *all = calloc((size_t)(n + n_new), sizeof *all);
    memcpy(all, prompt, (size_t)n * sizeof *all);
    memcpy(all + n, greedy, (size_t)n_new * sizeof *all);
    int64_t valid = qn_net_kv_valid_until(d->net);
    drive_seq s;
    drive_seq_init(&s, n);
    bool ok = true;
    for (int j = 0; j < n_new; j++) {
        int at = (int)s.n_kv, end = n + j;
        if (valid && at > 0 && at <= valid && end > valid) {
            drive_seq_end(d, &s); /* the rotation changes: start again */
            drive_seq_init(&s, end);
            at = 0;
        }
        drive_item it = {&s, all + at, end - at, false, false};
        const float *l = drive_step(d, &it, 1);
        double margin = json_number_value(json_array_get(margins, (size_t)j));
        float best = l[drive_argmax(l, d->n_vocab)];
        if (l[greedy[j]] == best)
            continue;
        if (margin > 2 * g->tolerance * fabs((double)best)) {
            golden_note(g, "%s: greedy_%d differs at %d", config, i, j);
            ok = false;
        }
    }
    drive_seq_end(d, &s);
    check(g, ok);
    free(all);
    free(prompt);
    free(greedy);
}

bool golden_open(golden *g, const char *root, const char *name,
                 double tolerance)
{
    char file[4200];
    memset(g, 0, sizeof *g);
    g->tolerance = tolerance;
    snprintf(g->path, sizeof g->path, "%s/%s", root, name);
    snprintf(file, sizeof file, "%s/reference.json", g->path);
    if (qn_json_load(&g->json, file, 64 << 20, NULL) < 0)
        return false;
    snprintf(file, sizeof file, "%s/reference.safetensors", g->path);
    qn_err err = {0};
    if (qn_ckpt_open_tensors(&g->ck, file, &err) < 0)
        fail_msg("%s", err.msg);
    return true;
}

void golden_close(golden *g)
{
    qn_ckpt_close(g->ck);
    json_decref(g->json);
}
