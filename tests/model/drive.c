#include "drive.h"

#include "base/mem.h"

#include <dirent.h>
#include <unistd.h>

char *drive_with_config(const char *dir, const char *config)
{
    static int n_made;
    char at[4096], to[8192], from[8192];
    snprintf(at, sizeof at, "%s/model%d", qn_test_tmpdir(), n_made++);
    snprintf(to, sizeof to, "mkdir -p %s", at);
    assert_int_equal(system(to), 0);
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        if (e->d_name[0] == '.' || strncmp(e->d_name, "config", 6) == 0 ||
            strncmp(e->d_name, "reference", 9) == 0)
            continue;
        snprintf(from, sizeof from, "%s/%s", dir, e->d_name);
        snprintf(to, sizeof to, "%s/%s", at, e->d_name);
        assert_int_equal(symlink(from, to), 0);
    }
    closedir(d);
    size_t n;
    snprintf(from, sizeof from, "%s/%s", dir, config);
    char *text = qn_test_read_file(from, &n);
    snprintf(to, sizeof to, "%s/config.json", at);
    qn_test_write_file(to, text, n);
    free(text);
    return strdup(at);
}

static uint32_t next_random(uint32_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 17;
    *x ^= *x << 5;
    return *x;
}

static void fill_pages(drive *d, uint32_t seed)
{
    for (int g = 0; g < QN_KV_GROUPS; g++) {
        int32_t *f = d->free_pages[g];
        d->n_free[g] = DRIVE_PAGES;
        for (int i = 0; i < DRIVE_PAGES; i++)
            f[i] = DRIVE_PAGES - 1 - i;
        for (int i = DRIVE_PAGES - 1; seed && i > 0; i--) {
            int j = (int)(next_random(&seed) % (uint32_t)(i + 1));
            int32_t t = f[i];
            f[i] = f[j];
            f[j] = t;
        }
    }
}

int drive_open(drive *d, const char *path, const drive_params *p, qn_err *err)
{
    static const drive_params usual = {0};
    if (!p)
        p = &usual;
    memset(d, 0, sizeof *d);
    qn_backend_params bp = {
        .n_threads = p->n_threads ? p->n_threads : 2,
        .isa = QN_ISA_N - 1,
        .exact = p->exact,
    };
    int rc = qn_ckpt_open(&d->ck, path, err);
    if (rc == 0)
        rc = qn_backend_open(&d->be, "cpu", &bp, err);
    qn_net_params np = {.lookup_min = p->lookup};
    if (rc == 0)
        rc = qn_net_open(&d->net, d->ck, d->be, &np, err);
    if (rc == 0 && p->lookup) {
        qn_ckpt_close(d->ck);
        d->ck = NULL;
    }
    if (rc < 0) {
        drive_close(d);
        return rc;
    }
    d->max_rows = p->max_rows ? p->max_rows : 64;
    d->n_vocab = qn_net_hparams(d->net)->n_vocab;
    d->page_tokens = d->be->api->page_tokens;
    qn_pass_params pp = {
        .n_pages = {DRIVE_PAGES, DRIVE_PAGES},
        .max_rows = d->max_rows,
        .max_out = d->max_rows,
        .max_spans = 16,
        .n_slots = DRIVE_SLOTS,
        .kv_dtype = p->kv_f32 ? QN_KV_CELL_F32 : qn_net_kv_auto(d->net),
    };
    rc = qn_pass_new(&d->pass, d->net, &pp, err);
    fill_pages(d, p->shuffle);
    if (rc < 0)
        drive_close(d);
    return rc;
}

void drive_close(drive *d)
{
    qn_pass_free(d->pass);
    qn_net_close(d->net);
    if (d->be)
        qn_backend_close(d->be);
    if (d->ck)
        qn_ckpt_close(d->ck);
    memset(d, 0, sizeof *d);
}

void drive_seq_init(drive_seq *s, int64_t n_prompt)
{
    memset(s, 0, sizeof *s);
    s->n_prompt = n_prompt;
}

static void give_back(drive *d, drive_seq *s, int g, int page)
{
    if (s->pages[g][page] < 0)
        return;
    d->free_pages[g][d->n_free[g]++] = s->pages[g][page];
    s->pages[g][page] = -1;
}

void drive_seq_end(drive *d, drive_seq *s)
{
    for (int g = 0; g < qn_net_n_kv_groups(d->net); g++)
        for (int i = 0; i < s->n_pages; i++)
            give_back(d, s, g, i);
    if (s->n_kv > 0)
        d->slot_used[s->slot] = false;
    memset(s, 0, sizeof *s);
}

static void take_pages(drive *d, drive_seq *s, int n_row)
{
    int64_t end = s->n_kv + n_row;
    if (s->n_kv == 0) {
        for (s->slot = 0; d->slot_used[s->slot]; s->slot++)
            assert_true(s->slot + 1 < DRIVE_SLOTS);
        d->slot_used[s->slot] = true;
    }
    while ((int64_t)s->n_pages * d->page_tokens < end) {
        assert_true(s->n_pages < SEQ_PAGES);
        for (int g = 0; g < qn_net_n_kv_groups(d->net); g++) {
            assert_true(d->n_free[g] > 0);
            s->pages[g][s->n_pages] = d->free_pages[g][--d->n_free[g]];
        }
        s->n_pages++;
    }
}

/* Pages that the window has left go back at once. */
static void advance(drive *d, drive_seq *s, int n_row)
{
    s->n_kv += n_row;
    for (int g = 0; g < qn_net_n_kv_groups(d->net); g++) {
        int64_t w = qn_net_kv_window(d->net, g);
        for (int i = 0; w > 0 && i < s->n_pages; i++) {
            if ((int64_t)(i + 1) * d->page_tokens <= s->n_kv - w + 1)
                give_back(d, s, g, i);
        }
    }
}

const float *drive_step(drive *d, drive_item *items, int n)
{
    int32_t tokens[512], pos[512], out_rows[512];
    qn_span spans[16];
    qn_batch b = {.tokens = tokens,
                  .pos = pos,
                  .spans = spans,
                  .n_span = n,
                  .out_rows = out_rows};
    assert_true(n <= 16 && d->max_rows <= 512);
    for (int i = 0; i < n; i++) {
        drive_item *it = &items[i];
        drive_seq *s = it->seq;
        take_pages(d, s, it->n);
        spans[i] = (qn_span){
            .row0 = b.n_row,
            .n_row = it->n,
            .pos0 = s->n_kv,
            .rope_len = s->n_kv < s->n_prompt ? s->n_prompt : s->n_kv + it->n,
            .pages = {s->pages[0], s->pages[1]},
            .state_slot = s->slot,
        };
        for (int r = 0; r < it->n; r++, b.n_row++) {
            assert_true(b.n_row < d->max_rows);
            tokens[b.n_row] = it->tokens[r];
            pos[b.n_row] = (int32_t)s->n_kv + r;
            if (!it->none && (it->all || r == it->n - 1))
                out_rows[b.n_out++] = b.n_row;
        }
    }
    const float *logits = NULL;
    qn_err err = {0};
    if (qn_pass_forward(d->pass, &b, &logits, &err) < 0)
        fail_msg("%s", err.msg);
    for (int i = 0; i < n; i++)
        advance(d, items[i].seq, items[i].n);
    return logits;
}

void drive_prompt(drive *d, drive_seq *s, const int32_t *tokens, int n,
                  int chunk, float *out)
{
    if (chunk == 0 || chunk > d->max_rows)
        chunk = d->max_rows;
    for (int at = 0; at < n; at += chunk) {
        int m = n - at < chunk ? n - at : chunk;
        drive_item it = {s, tokens + at, m, true, false};
        const float *l = drive_step(d, &it, 1);
        memcpy(out + (size_t)at * (size_t)d->n_vocab, l,
               (size_t)m * (size_t)d->n_vocab * sizeof *l);
    }
}

static void *read_tensor(const qn_ckpt *ck, const char *name, int *n,
                         qn_dtype *type)
{
    const qn_tensor *t = qn_ckpt_find(ck, name);
    if (!t)
        return NULL;
    void *p = qn_xmalloc((size_t)t->n_bytes + 1);
    qn_err err = {0};
    if (qn_ckpt_read(ck, t, 0, p, (size_t)t->n_bytes, &err) < 0)
        fail_msg("%s", err.msg);
    *n = (int)t->n_elems;
    *type = t->dtype;
    return p;
}

int32_t *drive_ints(const qn_ckpt *ck, const char *name, int *n)
{
    qn_dtype type;
    int64_t *v = read_tensor(ck, name, n, &type);
    if (!v)
        return NULL;
    assert_int_equal(type, QN_I64);
    int32_t *out = qn_xcalloc((size_t)*n + 1, sizeof *out);
    for (int i = 0; i < *n; i++)
        out[i] = (int32_t)v[i];
    free(v);
    return out;
}

float *drive_floats(const qn_ckpt *ck, const char *name, int *n)
{
    qn_dtype type;
    float *v = read_tensor(ck, name, n, &type);
    if (v)
        assert_int_equal(type, QN_F32);
    return v;
}

int drive_argmax(const float *x, int n)
{
    int best = 0;
    for (int i = 1; i < n; i++) {
        if (x[i] > x[best])
            best = i;
    }
    return best;
}
