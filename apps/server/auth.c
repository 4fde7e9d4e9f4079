/* auth.c - see auth.h. */
#include "server/auth.h"

#include "base/file.h"
#include "base/str.h"
#include "base/vec.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define HASH 32
#define MAX_FILE (1 << 20)
#define MAX_KEY 512

typedef struct key {
    unsigned char hash[HASH];
    char name[48];
    int tenant;
    int running; /* its generations */
    bool gone;   /* not among the keys any more; kept while some run */
} key;

struct qn_auth {
    pthread_mutex_t lock;
    char *file;
    QN_VEC(key) keys;
    int n_tenants; /* numbers that were given so far */
    key nobody;    /* tenant 0, of those who need no key */
};

static void hash_of(const char *p, size_t n, unsigned char out[HASH])
{
    if (gnutls_hash_fast(GNUTLS_DIG_SHA256, p, n, out) < 0)
        memset(out, 0, HASH);
}

/* ---- reading ----------------------------------------------------------- */

typedef QN_VEC(key) key_list;

static int add_line(key_list *list, qn_view line, const char *where, int number,
                    qn_err *err)
{
    while (line.n && strchr(" \t\r", line.p[line.n - 1]))
        line.n--;
    while (line.n && strchr(" \t", line.p[0])) {
        line.p++;
        line.n--;
    }
    if (line.n == 0 || line.p[0] == '#')
        return 0;
    key k = {0};
    const char *colon = memchr(line.p, ':', line.n);
    size_t name = colon ? (size_t)(colon - line.p) : 0;
    if (colon) {
        snprintf(k.name, sizeof k.name, "%.*s", (int)QN_MIN(name, 40u), line.p);
        line.p += name + 1;
        line.n -= name + 1;
    }
    if (line.n < 8 || line.n > MAX_KEY)
        return qn_fail(err, QN_EINVAL,
                       "%s, key %d: %zu characters; use 8 to %d", where, number,
                       line.n, MAX_KEY);
    if (list->n >= QN_AUTH_MAX_KEYS)
        return qn_fail(err, QN_ELIMIT, "%s: more than %d keys", where,
                       QN_AUTH_MAX_KEYS);
    hash_of(line.p, line.n, k.hash);
    qn_vec_push(list, k);
    return 0;
}

static int add_text(key_list *list, const char *text, char separator,
                    const char *where, qn_err *err)
{
    int number = 1;
    for (const char *p = text;; p++, number++) {
        const char *end = strchr(p, separator);
        size_t n = end ? (size_t)(end - p) : strlen(p);
        QN_TRY(add_line(list, qn_view_of(p, n), where, number, err));
        if (!end)
            return 0;
        p = end;
    }
}

static int read_keys(const char *file, key_list *list, qn_err *err)
{
    const char *env = getenv("QUERN_API_KEYS");
    if (env)
        QN_TRY(add_text(list, env, ',', "QUERN_API_KEYS", err));
    if (!file || !*file)
        return 0;
    char *text = NULL;
    size_t n;
    QN_TRY(qn_file_slurp(&text, &n, file, MAX_FILE, err));
    int rc = strlen(text) != n
                 ? qn_fail(err, QN_EFORMAT, "%s: not a text file", file)
                 : add_text(list, text, '\n', file, err);
    gnutls_memset(text, 0, n);
    qn_free(text);
    if (rc == 0 && list->n == 0)
        rc = qn_fail(err, QN_EINVAL,
                     "%s holds no key, which would let everybody in", file);
    return rc;
}

/* ---- the table --------------------------------------------------------- */

static key *find(qn_auth *a, const unsigned char *hash)
{
    key *found = NULL;
    for (size_t i = 0; i < a->keys.n; i++) {
        bool same = gnutls_memcmp(a->keys.v[i].hash, hash, HASH) == 0;
        found = same ? &a->keys.v[i] : found;
    }
    return found;
}

static key *of_tenant(qn_auth *a, int tenant)
{
    for (size_t i = 0; i < a->keys.n; i++)
        if (a->keys.v[i].tenant == tenant)
            return &a->keys.v[i];
    return tenant == 0 ? &a->nobody : NULL;
}

/* The keys are these. A number is never given twice: what a tenant left in the
 * cache is nobody else's. */
static void take_keys(qn_auth *a, const key_list *list)
{
    for (size_t i = 0; i < a->keys.n; i++)
        a->keys.v[i].gone = true;
    for (size_t i = 0; i < list->n; i++) {
        key *old = find(a, list->v[i].hash);
        key k = list->v[i];
        k.tenant = old ? old->tenant : ++a->n_tenants;
        k.running = old ? old->running : 0;
        if (old)
            *old = k;
        else
            qn_vec_push(&a->keys, k);
    }
    size_t n = 0;
    for (size_t i = 0; i < a->keys.n; i++)
        if (!a->keys.v[i].gone || a->keys.v[i].running > 0)
            a->keys.v[n++] = a->keys.v[i];
    a->keys.n = n;
}

int qn_auth_reload(qn_auth *a, qn_err *err)
{
    key_list list = {0};
    int rc = read_keys(a->file, &list, err);
    pthread_mutex_lock(&a->lock);
    if (rc == 0)
        take_keys(a, &list);
    pthread_mutex_unlock(&a->lock);
    qn_vec_deinit(&list);
    return rc;
}

int qn_auth_new(qn_auth **out, const char *file, qn_err *err)
{
    qn_auth *a = qn_xcalloc(1, sizeof *a);
    pthread_mutex_init(&a->lock, NULL);
    a->file = file ? qn_xstrdup(file) : NULL;
    int rc = qn_auth_reload(a, err);
    if (rc < 0) {
        qn_auth_free(a);
        return rc;
    }
    *out = a;
    return 0;
}

void qn_auth_free(qn_auth *a)
{
    if (!a)
        return;
    qn_vec_deinit(&a->keys);
    free(a->file);
    pthread_mutex_destroy(&a->lock);
    free(a);
}

bool qn_auth_on(qn_auth *a)
{
    pthread_mutex_lock(&a->lock);
    bool on = a->n_tenants > 0; /* also when all were taken away */
    pthread_mutex_unlock(&a->lock);
    return on;
}

int qn_auth_check(qn_auth *a, const char *header)
{
    if (!qn_auth_on(a))
        return 0;
    if (!header || strncasecmp(header, "bearer ", 7) != 0)
        return -1;
    header += 7;
    while (*header == ' ')
        header++;
    size_t n = strlen(header);
    unsigned char hash[HASH];
    hash_of(header, QN_MIN(n, (size_t)MAX_KEY + 1), hash);
    pthread_mutex_lock(&a->lock);
    key *k = find(a, hash);
    int tenant = k && !k->gone ? k->tenant : -1;
    pthread_mutex_unlock(&a->lock);
    return tenant;
}

int qn_auth_begin(qn_auth *a, int tenant)
{
    pthread_mutex_lock(&a->lock);
    key *k = of_tenant(a, tenant);
    int running = k ? k->running++ : 0;
    pthread_mutex_unlock(&a->lock);
    return running;
}

void qn_auth_end(qn_auth *a, int tenant)
{
    pthread_mutex_lock(&a->lock);
    key *k = of_tenant(a, tenant);
    if (k)
        k->running--;
    pthread_mutex_unlock(&a->lock);
}

void qn_auth_name(qn_auth *a, int tenant, char *buf, size_t cap)
{
    pthread_mutex_lock(&a->lock);
    const key *k = of_tenant(a, tenant);
    if (k && k->name[0])
        snprintf(buf, cap, "%s", k->name);
    else
        snprintf(buf, cap, tenant > 0 ? "key-%d" : "-", tenant);
    pthread_mutex_unlock(&a->lock);
}
