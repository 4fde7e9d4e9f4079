/* stories260K: mean negative log likelihood of 64 real stories, against the
 * figure that numpy computed in float64 (goldens_nll.json, which tells the
 * protocol), from the HF directory and from GGUF files.
 *
 * The vocabulary is so small that the tokenizer is written out here, from the
 * GGUF file's pieces and scores; it is checked against the recorded ids. */
#include "drive.h"

#include "base/map.h"
#include "base/str.h"

enum {
    N_STORIES = 64,
    MAX_SEQ = 512
};

/* ---- tokens ------------------------------------------------------------ */

typedef struct vocab {
    qn_map ids;
    const qn_view *pieces;
    const uint8_t *scores; /* f32, maybe unaligned */
} vocab;

static float score_of(const vocab *v, uint64_t id)
{
    float f;
    memcpy(&f, v->scores + id * sizeof f, sizeof f);
    return f;
}

static void vocab_open(vocab *v, const qn_ckpt *ck)
{
    const qn_gguf_kv *t = qn_ckpt_gguf_kv(ck, "tokenizer.ggml.tokens");
    const qn_gguf_kv *s = qn_ckpt_gguf_kv(ck, "tokenizer.ggml.scores");
    assert_non_null(t);
    assert_non_null(s);
    v->pieces = t->v.strs;
    v->scores = s->v.data;
    qn_map_init(&v->ids, t->n);
    for (uint64_t i = 0; i < t->n; i++)
        qn_map_add(&v->ids, t->v.strs[i].p, t->v.strs[i].n, i);
}

/* The pair of neighbours whose union has the best score is merged, until no
 * pair is a piece. */
static int bpe(const vocab *v, int32_t *ids, int n)
{
    for (;;) {
        float best = -INFINITY;
        uint64_t best_id = 0;
        int at = -1;
        for (int i = 1; i + 1 < n; i++) {
            char text[256];
            qn_view a = v->pieces[ids[i]], b = v->pieces[ids[i + 1]];
            uint64_t id;
            if (a.n + b.n > sizeof text)
                continue;
            memcpy(text, a.p, a.n);
            memcpy(text + a.n, b.p, b.n);
            if (qn_map_get(&v->ids, text, a.n + b.n, &id) &&
                score_of(v, id) > best) {
                best = score_of(v, id);
                best_id = id;
                at = i;
            }
        }
        if (at < 0)
            return n;
        ids[at] = (int32_t)best_id;
        memmove(ids + at + 1, ids + at + 2, (size_t)(n - at - 2) * sizeof *ids);
        n--;
    }
}

/* BOS, a space, the text; characters without a piece become bytes. */
static int encode(const vocab *v, const char *text, size_t len, int32_t *ids)
{
    int n = 0;
    uint64_t id;
    ids[n++] = 1;
    assert_true(qn_map_get(&v->ids, "\xe2\x96\x81", 3, &id));
    ids[n++] = (int32_t)id;
    for (size_t i = 0; i < len;) {
        size_t m = 1;
        while (i + m < len && ((unsigned char)text[i + m] & 0xc0) == 0x80)
            m++;
        bool space = text[i] == ' ';
        if (qn_map_get(&v->ids, space ? "\xe2\x96\x81" : text + i,
                       space ? 3 : m, &id)) {
            ids[n++] = (int32_t)id;
        } else {
            for (size_t j = 0; j < m; j++)
                ids[n++] = (unsigned char)text[i + j] + 3;
        }
        i += m;
    }
    return bpe(v, ids, n);
}

/* ---- stories ----------------------------------------------------------- */

typedef struct stories {
    int32_t *ids[N_STORIES];
    int n[N_STORIES];
} stories;

static void strip(const char **a, const char **b)
{
    while (*a < *b && strchr(" \n\r\t", **a))
        ++*a;
    while (*b > *a && strchr(" \n\r\t", (*b)[-1]))
        --*b;
}

static void stories_read(stories *s, const vocab *v, const char *path)
{
    static const char end[] = "<|endoftext|>";
    size_t len;
    char *text = qn_test_read_file(path, &len);
    const char *at = strstr(text, end); /* story 0 is skipped */
    for (int i = 0; i < N_STORIES; i++) {
        assert_non_null(at);
        at += strlen(end);
        const char *a = at, *b = strstr(at, end);
        at = b;
        assert_non_null(b);
        strip(&a, &b);
        s->ids[i] = calloc(2 + (size_t)(b - a), sizeof *s->ids[i]);
        int n = encode(v, a, (size_t)(b - a), s->ids[i]);
        s->n[i] = QN_MIN(n, MAX_SEQ);
    }
    free(text);
}

static void stories_check(const stories *s, const json_t *golden)
{
    size_t i;
    json_t *c;
    json_array_foreach(json_object_get(golden, "first_cases"), i, c)
    {
        int k = (int)json_integer_value(json_object_get(c, "story")) - 1;
        const json_t *ids = json_object_get(c, "ids");
        assert_int_equal(s->n[k], json_array_size(ids));
        for (int j = 0; j < s->n[k]; j++)
            assert_int_equal(s->ids[k][j], json_integer_value(
                                               json_array_get(ids, (size_t)j)));
    }
}

static double nll_of(const float *row, int n, int32_t id)
{
    double top = (double)row[drive_argmax(row, n)], sum = 0;
    for (int i = 0; i < n; i++)
        sum += exp((double)row[i] - top);
    return top + log(sum) - (double)row[id];
}

static double mean_nll(drive *d, const stories *s, int64_t *n_tokens)
{
    static float logits[MAX_SEQ * 512];
    double sum = 0;
    *n_tokens = 0;
    assert_int_equal(d->n_vocab, 512);
    for (int i = 0; i < N_STORIES; i++) {
        drive_seq q;
        drive_seq_init(&q, s->n[i]);
        drive_prompt(d, &q, s->ids[i], s->n[i], 0, logits);
        drive_seq_end(d, &q);
        for (int j = 0; j + 1 < s->n[i]; j++, ++*n_tokens)
            sum += nll_of(logits + (size_t)j * 512, 512, s->ids[i][j + 1]);
    }
    return sum / (double)*n_tokens;
}

/* ---- the test ---------------------------------------------------------- */

static double run(const char *path, bool exact, const stories *s,
                  const json_t *golden)
{
    drive d;
    qn_err err = {0};
    drive_params p = {.exact = exact, .kv_f32 = exact, .max_rows = 256};
    int64_t n;
    if (drive_open(&d, path, &p, &err) < 0)
        fail_msg("%s", err.msg);
    double mean = mean_nll(&d, s, &n);
    assert_int_equal(n, json_integer_value(json_object_get(golden, "tokens")));
    drive_close(&d);
    return mean;
}

static void test_stories260k(void **state)
{
    static const struct {
        const char *name, *path;
        double tolerance;
    } files[] = {
        {"hf", "data/models/hf/stories260K", 0.0002},
        {"f32", "data/models/gguf/stories260K-f32.gguf", 0.0002},
        {"f16", "data/models/gguf/stories260K-f16.gguf", 0.001},
        {"q8_0", "data/models/gguf/stories260K-q8_0.gguf", 0.001},
        {"q4_0", "data/models/gguf/stories260K-q4_0.gguf", 0.001},
    };
    (void)state;
    const char *golden = qn_test_shared("data/models/goldens_nll.json");
    const char *corpus = qn_test_shared(
        "data/corpora/tinystories-train-2MiB.txt");
    const char *gguf = qn_test_shared(files[1].path);
    if (!golden || !corpus || !gguf)
        QN_SKIP("no shared data");
    json_t *doc;
    assert_int_equal(qn_json_load(&doc, golden, 64 << 20, NULL), 0);
    const json_t *g = json_object_get(doc, "stories260K");
    qn_ckpt *ck;
    vocab v;
    stories s;
    assert_int_equal(qn_ckpt_open(&ck, gguf, NULL), 0);
    vocab_open(&v, ck);
    stories_read(&s, &v, corpus);
    stories_check(&s, g);
    qn_map_deinit(&v.ids);
    qn_ckpt_close(ck);

    int bad = 0;
    for (size_t i = 0; i < QN_COUNTOF(files); i++) {
        const json_t *q = json_object_get(json_object_get(g, "quantized"),
                                          files[i].name);
        double want = json_number_value(json_object_get(q ? q : g, "mean_nll"));
        const char *path = qn_test_shared(files[i].path);
        double exact = run(path, true, &s, g);
        double fast = run(path, false, &s, g);
        print_message("%-5s golden %.6f exact %.6f default %.6f\n",
                      files[i].name, want, exact, fast);
        bool ok = fabs(exact - want) <= files[i].tolerance;
        char notes[96], name[64];
        snprintf(name, sizeof name, "stories260K %s", files[i].name);
        snprintf(notes, sizeof notes, "mean NLL %.4f, reference %.4f", exact,
                 want);
        qn_test_result("Trained networks", name, ok, 1, notes);
        bad += !ok;
    }
    for (int i = 0; i < N_STORIES; i++)
        free(s.ids[i]);
    json_decref(doc);
    assert_int_equal(bad, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stories260k),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
