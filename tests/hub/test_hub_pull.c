/* test_hub_pull.c: downloads from a hub on loopback, and everything that goes
 * wrong on the way: cut connections, wrong bytes, refusals, redirects, a full
 * disk, somebody else's lock. */
#include "testing.h"

#include "base/file.h"
#include "base/mem.h"
#include "ckpt/hub_cache.h"
#include "hub/hub_pull.h"
#include "hub_server.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define REPO "org/net"
#define BIG_SIZE 300000

static const qn_hub_tuning quick = {
    .retry_ms = 1, .max_tries = 3, .stall_s = 5, .max_wait_s = 2};

static char big[BIG_SIZE], big2[BIG_SIZE];
static const char index_json[] =
    "{\"weight_map\": {\"a\": \"model-00001-of-00002.safetensors\", \"b\": "
    "\"model-00002-of-00002.safetensors\"}}";
static hub_file files[] = {
    {.name = "config.json", .data = "{\"a\": 1}", .n = 8},
    {.name = "tokenizer.json", .data = big2, .n = 5000, .lfs = true},
    {.name = "merges.txt", .data = "", .n = 0},
    {.name = "additional_chat_templates/rag.jinja", .data = "{{ 1 }}", .n = 7},
    {.name = "README.md", .data = "text", .n = 4},
    {.name = "model.safetensors.index.json",
     .data = index_json,
     .n = sizeof index_json - 1},
    {.name = "model-00001-of-00002.safetensors",
     .data = big,
     .n = BIG_SIZE,
     .lfs = true},
    {.name = "model-00002-of-00002.safetensors",
     .data = big2,
     .n = BIG_SIZE - 1,
     .lfs = true},
    {.name = "pytorch_model.bin", .data = big, .n = 77, .lfs = true},
};
enum {
    CONFIG,
    TOKENIZER,
    EMPTY,
    TEMPLATE,
    SHARD_1 = 6,
    SHARD_2
};

static hub_server *server;

/* ---- rows of docs/conformance.md --------------------------------------- */

enum {
    ROW_PULL,
    ROW_ACCESS,
    ROW_STATUS,
    ROW_CUT,
    ROW_BYTES,
    ROW_DISK,
    ROW_MANNERS
};

static struct {
    const char *name;
    size_t total, passed;
} rows[] = {
    {"what is fetched: revisions, shards, GGUF", 4, 0},
    {"HF_TOKEN, redirects, other origins", 3, 0},
    {"401, 403, 404, 429, 5xx, no server", 3, 0},
    {"cut connections, resuming", 4, 0},
    {"wrong checksums", 2, 0},
    {"full disks", 2, 0},
    {"two at once, cancelling, HF_HUB_OFFLINE", 3, 0},
};

/* The end of a test: it passed. */
static void came_through(int row)
{
    rows[row].passed++;
}

static int write_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < QN_COUNTOF(rows); i++)
        qn_test_result("The hub, against a server on loopback", rows[i].name,
                       rows[i].passed, rows[i].total, "");
    return 0;
}

static int start(void **state)
{
    uint32_t x = 1;

    (void)state;
    for (size_t i = 0; i < BIG_SIZE; i++) {
        x = x * 1664525 + 1013904223;
        big[i] = (char)(x >> 24);
        big2[i] = (char)(x >> 16);
    }
    server = hub_server_start(REPO, files, QN_COUNTOF(files));
    return 0;
}

static int stop(void **state)
{
    (void)state;
    hub_server_stop(server);
    return 0;
}

/* ---- helpers ----------------------------------------------------------- */

/* A path below the repository's folder in the cache. */
static const char *in_repo(const char *fmt, const char *arg)
{
    static char buf[4][1024];
    static int turn;
    char *out = buf[turn++ % 4];
    int n = snprintf(out, sizeof buf[0], "%s/hub/models--org--net/",
                     hub_server_cache(server));

    snprintf(out + n, sizeof buf[0] - (size_t)n, fmt, arg);
    return out;
}

static const char *blob_of(int i)
{
    return in_repo("blobs/%s", files[i].etag);
}

static const char *part_of(int i)
{
    return in_repo("blobs/%s.incomplete", files[i].etag);
}

static void check_file(int i)
{
    size_t n;
    char *got = qn_test_read_file(in_repo("snapshots/" HUB_COMMIT "/%s",
                                          files[i].name),
                                  &n);

    assert_int_equal(n, files[i].n);
    assert_memory_equal(got, files[i].data, n);
    free(got);
}

static void pull_ok(const char *name)
{
    qn_err err = {0};
    char *path = NULL;

    if (qn_hub_pull(name, NULL, &quick, &path, &err) < 0)
        fail_msg("%s", err.msg);
    assert_string_equal(path, in_repo("snapshots/%s", HUB_COMMIT));
    qn_free(path);
}

/* Every one of `words` is in the message. */
#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})
static void pull_fails(const char *name, int code, const char *const *words)
{
    qn_err err = {0};
    char *path = NULL;

    assert_int_equal(qn_hub_pull(name, NULL, &quick, &path, &err), code);
    assert_null(path);
    for (; *words; words++)
        if (!strstr(err.msg, *words))
            fail_msg("\"%s\" is not in: %s", *words, err.msg);
}

static void one_fault(const char *path, hub_fault_kind kind, int times,
                      long arg, const char *text)
{
    hub_server_fault(server, (hub_fault){.path = path,
                                         .kind = kind,
                                         .times = times,
                                         .arg = arg,
                                         .text = text});
}

/* ---- it works ---------------------------------------------------------- */

static void check_link(int i, const char *want)
{
    char target[256] = "";
    const char *path = in_repo("snapshots/" HUB_COMMIT "/%s", files[i].name);
    char full[256];

    assert_true(readlink(path, target, sizeof target - 1) > 0);
    snprintf(full, sizeof full, want, files[i].etag);
    assert_string_equal(target, full);
}

static void test_pull(void **state)
{
    size_t n;
    char *ref;

    (void)state;
    pull_ok(REPO);
    for (size_t i = 0; i < QN_COUNTOF(files); i++) {
        bool needed = strcmp(files[i].name, "README.md") != 0 &&
                      strcmp(files[i].name, "pytorch_model.bin") != 0;
        if (needed)
            check_file((int)i);
        assert_int_equal(access(blob_of((int)i), F_OK), needed ? 0 : -1);
    }
    check_link(CONFIG, "../../blobs/%s");
    check_link(TEMPLATE, "../../../blobs/%s");
    ref = qn_test_read_file(in_repo("refs/%s", "main"), &n);
    assert_string_equal(ref, HUB_COMMIT);
    free(ref);
    assert_int_equal(hub_server_seen(server, "revision/main?blobs=true", 0,
                                     NULL),
                     1);
    assert_int_equal(hub_server_seen(server, "README", 0, NULL), 0);

    /* The second time there is nothing to do. */
    hub_server_clear(server);
    pull_ok(REPO);
    assert_int_equal(hub_server_seen(server, "", 0, NULL), 1);
    came_through(ROW_PULL);
}

static void test_revision(void **state)
{
    size_t n;
    char *ref;

    (void)state;
    pull_ok(REPO "@refs/pr/7");
    assert_int_equal(hub_server_seen(server, "revision/refs%2Fpr%2F7?", 0,
                                     NULL),
                     1);
    ref = qn_test_read_file(in_repo("refs/%s", "refs/pr/7"), &n);
    assert_string_equal(ref, HUB_COMMIT);
    free(ref);
    assert_int_equal(access(in_repo("refs/%s", "main"), F_OK), -1);
    pull_ok(REPO "@" HUB_COMMIT);
    assert_int_equal(access(in_repo("refs/%s", HUB_COMMIT), F_OK), -1);
    came_through(ROW_PULL);
}

/* A hub that lists names alone is asked for each file. */
static void test_terse(void **state)
{
    hub_seen seen;

    (void)state;
    hub_server_terse(server, true);
    pull_ok(REPO);
    check_file(CONFIG);
    check_file(EMPTY);
    check_file(SHARD_2);
    check_link(SHARD_1, "../../blobs/%s");
    assert_int_equal(hub_server_seen(server, "resolve", 0, &seen), 14);
    assert_true(hub_server_seen(server, "cdn", 0, &seen) == 3 && !seen.head);
    came_through(ROW_PULL);
}

static void test_gguf(void **state)
{
    static hub_file gguf[] = {
        {.name = "m-q4.gguf", .data = "GGUF4", .n = 5, .lfs = true},
        {.name = "m-q8.gguf", .data = "GGUF8", .n = 5, .lfs = true}};
    qn_pull_params p = {.file = "Q8"};
    qn_err err = {0};
    char *path;
    hub_server *s = hub_server_start("o/gguf", gguf, 2);

    (void)state;
    assert_int_equal(qn_hub_pull("o/gguf", NULL, &quick, &path, &err),
                     QN_EINVAL);
    assert_non_null(strstr(err.msg, "m-q4.gguf, m-q8.gguf"));
    if (qn_hub_pull("o/gguf", &p, &quick, &path, &err) < 0)
        fail_msg("%s", err.msg);
    assert_non_null(strstr(path, HUB_COMMIT "/m-q8.gguf"));
    assert_true(qn_path_is_file(path));
    qn_free(path);
    hub_server_stop(s);
    came_through(ROW_PULL);
}

/* ---- tokens ------------------------------------------------------------ */

static void check_tokens(void)
{
    hub_seen seen;

    for (int i = 0; i < hub_server_seen(server, "", i, &seen); i++)
        assert_int_equal(seen.token, seen.port == 0);
    assert_true(hub_server_seen(server, "cdn", 0, NULL) >= 3);
}

/* The hub gets the token, the host that it redirects to does not. */
static void test_token(void **state)
{
    char *path;

    (void)state;
    hub_server_token(server, "hf_secret");
    pull_fails(REPO, QN_ENOENT, WORDS(REPO, "HF_TOKEN", "private"));
    setenv("HF_TOKEN", "hf_wrong", 1);
    pull_fails(REPO, QN_EINVAL, WORDS(REPO, "401", "HF_TOKEN"));
    setenv("HF_TOKEN", "hf_secret\r\nX: y", 1);
    pull_fails(REPO, QN_EINVAL, WORDS("HF_TOKEN"));
    setenv("HF_TOKEN", " hf_secret\n", 1);
    hub_server_clear(server);
    pull_ok(REPO);
    check_tokens();
    unsetenv("HF_TOKEN");
    path = qn_path_join(hub_server_cache(server), "token");
    qn_test_write_file(path, "hf_secret", 9);
    pull_ok(REPO);
    qn_free(path);
    came_through(ROW_ACCESS);
}

static void test_origins(void **state)
{
    static const char *const same[][2] = {
        {"http://a/x", "http://a:80/y"},
        {"https://A.b", "https://a.B:443/q?x"},
        {"http://[::1]:8/x", "http://[::1]:8"},
    };
    static const char *const other[][2] = {
        {"http://a", "https://a"},         {"http://a", "http://a:81"},
        {"http://a", "http://b"},          {"http://a", "http://a.b"},
        {"http://a", "http://a@b/"},       {"http://a", "http://a:80@b/"},
        {"http://a", "http://b/http://a"}, {"http://a", "http://b#@a/"},
        {"http://a", "ftp://a"},           {"http://a", "http://a\\@b"},
        {"http://a", "http://b?@a/"},      {"http://[::1]", "http://[::1]:81"},
    };

    (void)state;
    for (size_t i = 0; i < QN_COUNTOF(same); i++)
        assert_true(qn_http_same_origin(same[i][0], same[i][1]));
    for (size_t i = 0; i < QN_COUNTOF(other); i++)
        if (qn_http_same_origin(other[i][0], other[i][1]))
            fail_msg("%s and %s", other[i][0], other[i][1]);
    came_through(ROW_ACCESS);
}

static void test_redirects(void **state)
{
    (void)state;
    one_fault("config.json", FAULT_STATUS, 1, 302,
              "Location: ftp://127.0.0.1/x\r\n");
    pull_fails(REPO, QN_EFORMAT, WORDS("redirects", "ftp://"));
    hub_server_clear(server);
    one_fault("config.json", FAULT_STATUS, 99, 302,
              "Location: /" REPO "/resolve/" HUB_COMMIT "/config.json\r\n");
    pull_fails(REPO, QN_EFORMAT, WORDS("redirects"));
    hub_server_clear(server);
    /* A name that moved: the same host, another path. */
    one_fault("api/models", FAULT_STATUS, 1, 307,
              "Location: /api/models/" REPO "/revision/main?blobs=true\r\n");
    pull_ok(REPO);
    came_through(ROW_ACCESS);
}

/* ---- refusals ---------------------------------------------------------- */

static void test_statuses(void **state)
{
    (void)state;
    one_fault("api/models", FAULT_STATUS, 1, 403,
              "X-Error-Code: GatedRepo\r\n");
    pull_fails(REPO, QN_EINVAL, WORDS(REPO, "gated", "conditions"));
    hub_server_clear(server);
    one_fault("model-00001", FAULT_STATUS, 1, 401,
              "X-Error-Code: GatedRepo\r\n");
    pull_fails(REPO, QN_EINVAL, WORDS("gated"));
    hub_server_clear(server);
    one_fault("api/models", FAULT_STATUS, 1, 404,
              "X-Error-Code: RevisionNotFound\r\n");
    pull_fails(REPO "@v9", QN_ENOENT, WORDS(REPO "@v9", "revision"));
    pull_fails("org/none", QN_ENOENT, WORDS("org/none"));
    hub_server_clear(server);
    one_fault("model-00001", FAULT_STATUS, 1, 404, "");
    pull_fails(REPO, QN_ENOENT, WORDS("model-00001-of-00002"));
    hub_server_clear(server);
    one_fault("api/models", FAULT_STATUS, 9, 503, "");
    pull_fails(REPO, QN_EIO, WORDS("503", "as the test wants it"));
    assert_int_equal(hub_server_seen(server, "", 0, NULL), 3);
    pull_fails("no such/name", QN_EINVAL, WORDS("org/name"));
    hub_server_clear(server);
    one_fault("api/models", FAULT_STATUS, 1, 200, "");
    pull_fails(REPO, QN_EFORMAT, WORDS("HF_ENDPOINT"));
    came_through(ROW_STATUS);
}

static void test_too_many(void **state)
{
    (void)state;
    one_fault("api/models", FAULT_STATUS, 1, 429, "Retry-After: 0\r\n");
    one_fault("cdn", FAULT_STATUS, 2, 429,
              "Retry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
    one_fault("merges", FAULT_STATUS, 1, 503, "");
    pull_ok(REPO);
    assert_true(hub_server_seen(server, "api/models", 0, NULL) == 2);
    hub_server_clear(server);
    one_fault("api/models", FAULT_STATUS, 1, 429, "Retry-After: 3600\r\n");
    pull_fails(REPO, QN_EIO, WORDS("3600", "429", "HF_TOKEN"));
    came_through(ROW_STATUS);
}

static void test_no_server(void **state)
{
    (void)state;
    setenv("HF_ENDPOINT", "http://127.0.0.1:9", 1);
    pull_fails(REPO, QN_EIO, WORDS("127.0.0.1", "3 attempts"));
    setenv("HF_ENDPOINT", "127.0.0.1:9", 1);
    pull_fails(REPO, QN_EINVAL, WORDS("HF_ENDPOINT", "http://"));
    came_through(ROW_STATUS);
}

/* ---- bytes ------------------------------------------------------------- */

static void test_cut(void **state)
{
    hub_seen seen;

    (void)state;
    one_fault(files[SHARD_1].etag, FAULT_CUT, 2, 100000, NULL);
    one_fault(files[SHARD_2].etag, FAULT_SHORT, 2, 100000, NULL);
    pull_ok(REPO);
    check_file(SHARD_1);
    check_file(SHARD_2);
    assert_int_equal(hub_server_seen(server, files[SHARD_1].etag, 1, &seen), 3);
    assert_int_equal(seen.from, 100000);
    hub_server_seen(server, files[SHARD_1].etag, 2, &seen);
    assert_int_equal(seen.from, 200000);
    came_through(ROW_CUT);
}

/* What one run left, the next one continues. */
static void test_resume(void **state)
{
    hub_seen seen;
    struct stat st;

    (void)state;
    one_fault(files[SHARD_1].etag, FAULT_CUT, 1, 123456, NULL);
    one_fault(files[SHARD_1].etag, FAULT_CUT, 9, 0, NULL);
    pull_fails(REPO, QN_EIO, WORDS("attempts"));
    assert_int_equal(stat(part_of(SHARD_1), &st), 0);
    assert_int_equal(st.st_size, 123456);
    assert_int_equal(access(blob_of(SHARD_1), F_OK), -1);
    assert_int_equal(access(in_repo("refs/%s", "main"), F_OK), -1);
    hub_server_clear(server);
    pull_ok(REPO);
    check_file(SHARD_1);
    assert_int_equal(hub_server_seen(server, files[SHARD_1].etag, 0, &seen), 1);
    assert_int_equal(seen.from, 123456);
    assert_int_equal(access(part_of(SHARD_1), F_OK), -1);
    came_through(ROW_CUT);
}

static void leave_part(int i, const char *data, size_t n)
{
    assert_int_equal(qn_mkdirs(in_repo("%s", "blobs"), NULL), 0);
    qn_test_write_file(part_of(i), data, n);
}

static void test_odd_resumes(void **state)
{
    (void)state;
    /* A server that knows no ranges. */
    leave_part(SHARD_1, big, 5000);
    one_fault(files[SHARD_1].etag, FAULT_WHOLE, 1, 0, NULL);
    /* More than there is to have. */
    leave_part(SHARD_2, big, BIG_SIZE);
    /* All of it, but for the last step. */
    leave_part(TOKENIZER, big2, 5000);
    pull_ok(REPO);
    check_file(SHARD_1);
    check_file(SHARD_2);
    check_file(TOKENIZER);
    assert_int_equal(hub_server_seen(server, files[TOKENIZER].etag, 0, NULL),
                     0);
    came_through(ROW_CUT);
}

static void test_other_range(void **state)
{
    (void)state;
    leave_part(SHARD_1, big, 5000);
    one_fault(files[SHARD_1].etag, FAULT_OTHER_RANGE, 1, 0, NULL);
    pull_fails(REPO, QN_EIO, WORDS("model-00001-of-00002", "5000"));
    pull_ok(REPO);
    check_file(SHARD_1);
    came_through(ROW_CUT);
}

static void test_wrong_bytes(void **state)
{
    (void)state;
    one_fault(files[SHARD_2].etag, FAULT_WRONG, 1, 0, NULL);
    pull_fails(REPO, QN_EFORMAT,
               WORDS("model-00002-of-00002", "checksum", files[SHARD_2].etag));
    assert_int_equal(access(blob_of(SHARD_2), F_OK), -1);
    assert_int_equal(access(part_of(SHARD_2), F_OK), -1);
    one_fault("config.json", FAULT_WRONG, 1, 0, NULL);
    unlink(in_repo("snapshots/" HUB_COMMIT "/%s", "config.json"));
    unlink(blob_of(CONFIG));
    pull_fails(REPO, QN_EFORMAT, WORDS("config.json", "checksum"));
    one_fault("config.json", FAULT_LONGER, 1, 3, NULL);
    pull_fails(REPO, QN_EFORMAT, WORDS("config.json", "more than the 8 bytes"));
    pull_ok(REPO);
    check_file(CONFIG);
    came_through(ROW_BYTES);
}

/* Damage from an earlier run is found and mended without being asked. */
static void test_damaged_part(void **state)
{
    hub_seen seen;

    (void)state;
    leave_part(SHARD_1, big2, 5000);
    pull_ok(REPO);
    check_file(SHARD_1);
    assert_int_equal(hub_server_seen(server, files[SHARD_1].etag, 1, &seen), 2);
    assert_int_equal(seen.from, -1);
    /* A blob that is too short is none. */
    assert_int_equal(truncate(blob_of(SHARD_1), 100), 0);
    pull_ok(REPO);
    check_file(SHARD_1);
    came_through(ROW_BYTES);
}

static void test_disk_full(void **state)
{
    (void)state;
    if (access("/dev/full", W_OK) != 0)
        QN_SKIP("no /dev/full here");
    assert_int_equal(qn_mkdirs(in_repo("%s", "blobs"), NULL), 0);
    assert_int_equal(symlink("/dev/full", part_of(SHARD_1)), 0);
    pull_fails(REPO, QN_EIO, WORDS("no space left", "293 KiB", "continues"));
    unlink(part_of(SHARD_1));
    pull_ok(REPO);
    came_through(ROW_DISK);
}

static void test_no_room(void **state)
{
    static hub_file huge[] = {{.name = "model.safetensors",
                               .data = "x",
                               .n = (size_t)1 << 60,
                               .lfs = true,
                               .etag = ""}};
    qn_err err = {0};
    char *path;
    hub_server *s;

    (void)state;
    huge[0].n = 1;
    s = hub_server_start("o/huge", huge, 1);
    huge[0].n = (size_t)1 << 60;
    assert_int_equal(qn_hub_pull("o/huge", NULL, &quick, &path, &err), QN_EIO);
    assert_non_null(strstr(err.msg, "1.00 EiB"));
    assert_non_null(strstr(err.msg, "HF_HUB_CACHE"));
    hub_server_stop(s);
    came_through(ROW_DISK);
}

/* ---- waiting, ending --------------------------------------------------- */

typedef struct watched {
    int calls, stop_at;
    bool waited;
    uint64_t done, total;
    int fd; /* a lock that is let go once waiting was seen */
} watched;

static bool on_progress(void *user, const qn_pull_status *s)
{
    watched *w = user;

    assert_true(s->done <= s->total);
    assert_true(s->files_done <= s->files_total);
    w->done = s->done;
    w->total = s->total;
    if (s->note && strstr(s->note, "another download")) {
        w->waited = true;
        if (w->fd >= 0 && w->calls > 2) {
            close(w->fd);
            w->fd = -1;
        }
    }
    return ++w->calls != w->stop_at;
}

static int hold_lock(int i)
{
    char path[1024];
    char *dir = qn_hub_lock_dir(REPO);
    int fd;

    assert_int_equal(qn_mkdirs(dir, NULL), 0);
    snprintf(path, sizeof path, "%s/%s.lock", dir, files[i].etag);
    fd = open(path, O_RDWR | O_CREAT, 0644);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    qn_free(dir);
    return fd;
}

static void test_lock(void **state)
{
    watched w = {.fd = hold_lock(SHARD_1)};
    qn_pull_params p = {.progress = on_progress, .progress_user = &w};
    qn_err err = {0};
    char *path;
    uint64_t sum = 0;

    (void)state;
    if (qn_hub_pull(REPO, &p, &quick, &path, &err) < 0)
        fail_msg("%s", err.msg);
    qn_free(path);
    assert_true(w.waited);
    check_file(SHARD_1);
    for (size_t i = 0; i < QN_COUNTOF(files) - 1; i++)
        sum += strcmp(files[i].name, "README.md") ? files[i].n : 0;
    assert_int_equal(w.total, sum);
    assert_int_equal(w.done, sum);
    came_through(ROW_MANNERS);
}

static void test_cancel(void **state)
{
    watched w = {.fd = -1, .stop_at = 4};
    qn_pull_params p = {.progress = on_progress, .progress_user = &w};
    int fd = hold_lock(SHARD_1);
    qn_err err = {0};
    char *path;

    (void)state;
    assert_int_equal(qn_hub_pull(REPO, &p, &quick, &path, &err), QN_ECANCEL);
    close(fd);
    pull_ok(REPO);
    came_through(ROW_MANNERS);
}

static void test_offline(void **state)
{
    (void)state;
    setenv("HF_HUB_OFFLINE", "1", 1);
    pull_fails(REPO, QN_ENOENT, WORDS("HF_HUB_OFFLINE", REPO));
    setenv("HF_HUB_OFFLINE", "0", 1);
    pull_ok(REPO);
    setenv("HF_HUB_OFFLINE", "YES", 1);
    hub_server_clear(server);
    pull_ok(REPO);
    assert_int_equal(hub_server_seen(server, "", 0, NULL), 0);
    came_through(ROW_MANNERS);
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(test_pull),
        EACH(test_revision),
        EACH(test_terse),
        EACH(test_gguf),
        EACH(test_token),
        EACH(test_redirects),
        EACH(test_statuses),
        EACH(test_too_many),
        EACH(test_no_server),
        EACH(test_cut),
        EACH(test_resume),
        EACH(test_odd_resumes),
        EACH(test_other_range),
        EACH(test_wrong_bytes),
        EACH(test_damaged_part),
        EACH(test_disk_full),
        EACH(test_no_room),
        EACH(test_lock),
        EACH(test_cancel),
        EACH(test_offline),
        cmocka_unit_test(test_origins),
    };
    return cmocka_run_group_tests(tests, NULL, write_rows);
}
