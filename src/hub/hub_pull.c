/* hub_pull.c: a model from the hub into the cache.
 *
 *   ask what the revision is -> choose files -> small files, several at a time
 *   -> the index names the shards -> those, several at a time -> refs/<rev>
 *
 * The reference is written last: a download that failed half-way leaves the
 * revision that was there before as it was. The work is done by threads of its
 * own; the caller's thread reports progress and hears of a cancellation.
 */
#include "hub/hub_pull.h"

#include "base/file.h"
#include "base/mem.h"
#include "ckpt/hub_cache.h"
#include "hub/hub_blob.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

#define DEFAULT_ENDPOINT "https://huggingface.co"
#define DEFAULT_PARALLEL 4
#define MAX_PARALLEL 32
#define MAX_INFO ((size_t)32 << 20)
#define MAX_INDEX ((size_t)64 << 20)
#define MAX_TOKEN ((size_t)4096)
#define REPORT_MS 100

typedef struct pull {
    qn_hub_ctx ctx;
    qn_hub_name name;
    const char *want;
    int n_parallel;
    char *endpoint, *token;
    qn_hub_repo repo;
    qn_hub_place place;

    atomic_size_t next; /* file to be taken */
    bool *tried;        /* [n files], by an earlier round */
    pthread_mutex_t lock;
    pthread_cond_t ended;
    int rc; /* first failure, and its message; over lock */
    qn_err err;
    bool over;
} pull;

/* ---- the environment --------------------------------------------------- */

static const char *env_text(const char *name)
{
    const char *v = getenv(name);
    return v && *v ? v : NULL;
}

static bool env_true(const char *name)
{
    const char *v = env_text(name);
    return v && (strcmp(v, "1") == 0 || strcasecmp(v, "true") == 0 ||
                 strcasecmp(v, "yes") == 0 || strcasecmp(v, "on") == 0);
}

static int read_endpoint(pull *p, qn_err *err)
{
    const char *v = env_text("HF_ENDPOINT");
    size_t n;

    if (!v)
        v = DEFAULT_ENDPOINT;
    n = strlen(v);
    while (n > 0 && v[n - 1] == '/')
        n--;
    p->endpoint = qn_xstrndup(v, n);
    for (const char *c = p->endpoint; *c; c++)
        if ((unsigned char)*c <= ' ' || *c == '?' || *c == '#')
            n = 0;
    if (n == 0 || !qn_http_same_origin(p->endpoint, p->endpoint))
        return qn_fail(err, QN_EINVAL,
                       "HF_ENDPOINT is \"%s\"; it has to be http:// or "
                       "https://, a host, and no user",
                       v);
    return 0;
}

/* The token as it was saved by a login, or NULL. */
static char *saved_token(void)
{
    const char *given = env_text("HF_TOKEN_PATH");
    char *home = qn_hub_home();
    char *path = given ? qn_xstrdup(given) : qn_path_join(home, "token");
    char *text = NULL;
    size_t n;

    if (qn_path_is_file(path) &&
        qn_file_slurp(&text, &n, path, MAX_TOKEN, NULL) < 0)
        text = NULL;
    qn_free(path);
    qn_free(home);
    return text;
}

static int read_token(pull *p, qn_err *err)
{
    const char *v = env_text("HF_TOKEN");
    char *saved = NULL;
    size_t n;

    if (!v)
        v = env_text("HUGGING_FACE_HUB_TOKEN");
    if (!v)
        v = saved = saved_token();
    if (!v)
        return 0;
    while (*v && (unsigned char)*v <= ' ')
        v++;
    n = strlen(v);
    while (n > 0 && (unsigned char)v[n - 1] <= ' ')
        n--;
    p->token = qn_xstrndup(v, n);
    qn_free(saved);
    for (size_t i = 0; i < n; i++)
        if (p->token[i] <= ' ' || p->token[i] > '~')
            return qn_fail(err, QN_EINVAL,
                           "the token in HF_TOKEN (or the saved one) has "
                           "characters that no token has; set it again");
    if (n == 0) {
        qn_free(p->token);
        p->token = NULL;
    }
    return 0;
}

/* ---- many files -------------------------------------------------------- */

static void note_failure(pull *p, int rc, const qn_err *err)
{
    pthread_mutex_lock(&p->lock);
    if (p->rc == 0) {
        p->rc = rc;
        p->err = *err;
    }
    pthread_mutex_unlock(&p->lock);
    atomic_store(&p->ctx.stop, true);
}

static void *fetch_files(void *arg)
{
    pull *p = arg;
    qn_err err = {0};
    qn_http *h = NULL;
    int rc = qn_http_new(&h, &p->ctx.site, &err);

    while (rc == 0) {
        size_t i = atomic_fetch_add(&p->next, 1);
        if (i >= p->repo.files.n)
            break;
        if (!p->repo.files.v[i].chosen || p->tried[i])
            continue;
        p->tried[i] = true;
        rc = qn_hub_fetch(&p->ctx, h, &p->place, &p->repo.files.v[i], &err);
    }
    if (rc < 0)
        note_failure(p, rc, &err);
    qn_http_free(h);
    return NULL;
}

/* What is chosen and was not tried: sizes and number, and the room it needs. */
static int measure(pull *p, qn_err *err)
{
    uint64_t need = 0;
    struct statvfs fs;

    for (size_t i = 0; i < p->repo.files.n; i++) {
        const qn_hub_file *f = &p->repo.files.v[i];
        if (!f->chosen || p->tried[i])
            continue;
        atomic_fetch_add(&p->ctx.files_total, 1);
        if (!f->has_size)
            continue;
        atomic_fetch_add(&p->ctx.total, f->size);
        if (!f->etag[0] || !qn_add_u64(need, f->size, &need))
            continue;
        char *blob = qn_path_join(p->place.blobs, f->etag);
        struct stat st;
        qn_str part;
        qn_str_init(&part);
        qn_str_addf(&part, "%s.incomplete", blob);
        if (stat(blob, &st) == 0 || stat(part.p, &st) == 0)
            need -= QN_MIN((uint64_t)st.st_size, f->size);
        qn_str_deinit(&part);
        qn_free(blob);
    }
    if (statvfs(p->place.blobs, &fs) == 0 &&
        need > (uint64_t)fs.f_bavail * fs.f_frsize) {
        char want[32], have[32];
        return qn_fail(
            err, QN_EIO,
            "%s: %s are to be downloaded, and the device has %s free; free "
            "some, or set HF_HUB_CACHE to another place",
            p->place.blobs, qn_fmt_bytes(want, sizeof want, need),
            qn_fmt_bytes(have, sizeof have,
                         (uint64_t)fs.f_bavail * fs.f_frsize));
    }
    return 0;
}

static int fetch_chosen(pull *p, qn_err *err)
{
    pthread_t team[MAX_PARALLEL];
    int n = 0, rc;

    QN_TRY(measure(p, err));
    atomic_store(&p->next, 0);
    while (n < p->n_parallel - 1 &&
           pthread_create(&team[n], NULL, fetch_files, p) == 0)
        n++;
    fetch_files(p);
    while (n > 0)
        pthread_join(team[--n], NULL);
    pthread_mutex_lock(&p->lock);
    rc = p->rc;
    if (rc < 0 && err)
        *err = p->err;
    pthread_mutex_unlock(&p->lock);
    return rc;
}

/* ---- one model --------------------------------------------------------- */

static int ask_repo(pull *p, qn_err *err)
{
    qn_http_reply r = {0};
    qn_http *h = NULL;
    char *json = NULL;
    size_t n;
    qn_str url;
    int rc;

    qn_str_init(&url);
    qn_str_addf(&url, "%s/api/models/%s/revision/", p->endpoint, p->name.repo);
    qn_hub_add_encoded(&url, p->name.revision, false);
    qn_str_adds(&url, "?blobs=true");
    QN_TRY_OUT(qn_http_new(&h, &p->ctx.site, err));
    QN_TRY_OUT(qn_hub_ask(&p->ctx, h, url.p, "", MAX_INFO, &json, &n, &r, err));
    qn_http_reply_deinit(&r);
    QN_TRY_OUT(qn_hub_repo_parse(&p->repo, json, n, p->ctx.name, err));
    p->tried = qn_xcalloc(p->repo.files.n + 1, sizeof *p->tried);
out:
    qn_free(json);
    qn_http_free(h);
    qn_str_deinit(&url);
    return rc;
}

static int make_places(pull *p, qn_err *err)
{
    char *dir = qn_hub_repo_dir(p->name.repo);
    char *snapshots = qn_path_join(dir, "snapshots");
    int rc;

    p->place.commit = p->repo.commit;
    p->place.blobs = qn_path_join(dir, "blobs");
    p->place.snapshot = qn_path_join(snapshots, p->repo.commit);
    p->place.locks = qn_hub_lock_dir(p->name.repo);
    QN_TRY_OUT(qn_mkdirs(p->place.blobs, err));
    QN_TRY_OUT(qn_mkdirs(p->place.snapshot, err));
    QN_TRY_OUT(qn_mkdirs(p->place.locks, err));
out:
    qn_free(snapshots);
    qn_free(dir);
    return rc;
}

static int fetch_shards(pull *p, const char *index, qn_err *err)
{
    char *path = qn_path_join(p->place.snapshot, index), *json = NULL;
    size_t n;
    int rc;

    QN_TRY_OUT(qn_file_slurp(&json, &n, path, MAX_INDEX, err));
    QN_TRY_OUT(qn_hub_choose_shards(&p->repo, index, json, n, err));
    QN_TRY_OUT(fetch_chosen(p, err));
out:
    qn_free(json);
    qn_free(path);
    return rc;
}

static int write_ref(const pull *p, qn_err *err)
{
    char *dir, *refs, *path;
    int rc;

    if (strcmp(p->name.revision, p->repo.commit) == 0)
        return 0;
    dir = qn_hub_repo_dir(p->name.repo);
    refs = qn_path_join(dir, "refs");
    path = qn_path_join(refs, p->name.revision);
    *strrchr(path, '/') = '\0';
    rc = qn_mkdirs(path, err);
    path[strlen(path)] = '/';
    if (rc == 0)
        rc = qn_file_write(path, p->repo.commit, strlen(p->repo.commit), err);
    qn_free(path);
    qn_free(refs);
    qn_free(dir);
    return rc;
}

static int pull_all(pull *p, qn_err *err)
{
    const char *index = NULL;

    QN_TRY(ask_repo(p, err));
    QN_TRY(qn_hub_choose(&p->repo, p->want, p->ctx.name, &index, err));
    QN_TRY(make_places(p, err));
    QN_TRY(fetch_chosen(p, err));
    if (index)
        QN_TRY(fetch_shards(p, index, err));
    return write_ref(p, err);
}

/* ---- progress ---------------------------------------------------------- */

static void *pull_thread(void *arg)
{
    pull *p = arg;
    qn_err err = {0};
    int rc = pull_all(p, &err);

    if (rc < 0)
        note_failure(p, rc, &err);
    pthread_mutex_lock(&p->lock);
    p->over = true;
    pthread_cond_signal(&p->ended);
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

static bool report(pull *p, const qn_pull_params *params)
{
    char note[sizeof p->ctx.note];
    qn_pull_status s = {.done = atomic_load(&p->ctx.done),
                        .total = atomic_load(&p->ctx.total),
                        .files_done = atomic_load(&p->ctx.files_done),
                        .files_total = atomic_load(&p->ctx.files_total)};

    pthread_mutex_lock(&p->ctx.lock);
    memcpy(note, p->ctx.note, sizeof note);
    pthread_mutex_unlock(&p->ctx.lock);
    s.note = note[0] ? note : NULL;
    return params->progress(params->progress_user, &s);
}

/* Until the thread is over: a report now and then. */
static void watch(pull *p, const qn_pull_params *params)
{
    pthread_mutex_lock(&p->lock);
    while (!p->over) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += REPORT_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        pthread_cond_timedwait(&p->ended, &p->lock, &until);
        pthread_mutex_unlock(&p->lock);
        if (!report(p, params))
            atomic_store(&p->ctx.stop, true);
        pthread_mutex_lock(&p->lock);
    }
    pthread_mutex_unlock(&p->lock);
}

static int run(pull *p, const qn_pull_params *params, qn_err *err)
{
    pthread_t thread;

    if (!params || !params->progress) {
        pull_thread(p);
    } else {
        if (pthread_create(&thread, NULL, pull_thread, p) != 0)
            return qn_fail(err, QN_ENOMEM, "no thread for the download");
        watch(p, params);
        pthread_join(thread, NULL);
    }
    if (p->rc < 0 && err)
        *err = p->err;
    return p->rc;
}

/* ---- the whole --------------------------------------------------------- */

/* What qn_model_open takes: the snapshot, or the (first) GGUF asked for. */
static char *result_path(const pull *p)
{
    const char *first = NULL;

    for (size_t i = 0; p->want && i < p->repo.files.n; i++) {
        const char *name = p->repo.files.v[i].name;
        if (p->repo.files.v[i].chosen && qn_ends(name, ".gguf") &&
            (!first || strcmp(name, first) < 0))
            first = name;
    }
    return first ? qn_path_join(p->place.snapshot, first)
                 : qn_xstrdup(p->place.snapshot);
}

static void pull_deinit(pull *p)
{
    qn_hub_repo_deinit(&p->repo);
    qn_free(p->tried);
    qn_free(p->place.blobs);
    qn_free(p->place.snapshot);
    qn_free(p->place.locks);
    qn_free(p->endpoint);
    if (p->token)
        explicit_bzero(p->token, strlen(p->token));
    qn_free(p->token);
    pthread_mutex_destroy(&p->lock);
    pthread_mutex_destroy(&p->ctx.lock);
    pthread_cond_destroy(&p->ended);
}

static int pull_offline(const qn_hub_name *name, char **path, qn_err *err)
{
    int rc = qn_hub_find(name, path, err);

    return rc < 0 ? qn_err_prefix(err, rc, "HF_HUB_OFFLINE is set") : rc;
}

int qn_hub_pull(const char *name, const qn_pull_params *params,
                const qn_hub_tuning *tuning, char **path, qn_err *err)
{
    pull p = {.lock = PTHREAD_MUTEX_INITIALIZER,
              .ended = PTHREAD_COND_INITIALIZER,
              .ctx.lock = PTHREAD_MUTEX_INITIALIZER};
    char *found = NULL;
    int rc, n = params ? params->n_parallel : 0;

    if (!qn_hub_name_parse(name, &p.name))
        return qn_fail(err, QN_EINVAL,
                       "\"%s\" is no name on the hub; it has the form org/name "
                       "or org/name@revision",
                       name);
    if (n < 0 || n > MAX_PARALLEL)
        return qn_fail(err, QN_EINVAL, "%d files at a time; 1 to %d can be", n,
                       MAX_PARALLEL);
    if (env_true("HF_HUB_OFFLINE"))
        return pull_offline(&p.name, path, err);
    p.n_parallel = n ? n : DEFAULT_PARALLEL;
    p.want = params ? params->file : NULL;
    p.ctx.name = name;
    p.ctx.repo = p.name.repo;
    p.ctx.tuning = *tuning;
    QN_TRY_OUT(read_endpoint(&p, err));
    QN_TRY_OUT(read_token(&p, err));
    p.ctx.site = (qn_hub_site){.endpoint = p.endpoint,
                               .token = p.token,
                               .cancel = &p.ctx.stop,
                               .stall_s = tuning->stall_s};
    QN_TRY_OUT(run(&p, params, err));
    found = result_path(&p);
    *path = found;
out:
    pull_deinit(&p);
    return rc;
}

QN_API int qn_pull(const char *name, const qn_pull_params *params, char **path,
                   qn_err *err)
{
    return qn_hub_pull(name, params, &qn_hub_tuning_default, path, err);
}
