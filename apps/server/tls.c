/* tls.c - see tls.h. */
#include "server/tls.h"

#include "base/file.h"
#include "base/vec.h"

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>

#define MAX_CHAIN 16
#define MAX_FILE (1 << 20)

typedef struct identity {
    gnutls_pcert_st chain[MAX_CHAIN];
    unsigned n_chain;
    gnutls_privkey_t key;
} identity;

struct qn_tls {
    char *cert, *key;
    /* Handshakes hold pointers into an identity for a time nobody tells, so
     * that replaced ones are kept to the end. */
    QN_VEC(identity *) all;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static identity *current; /* under lock */

static void free_identity(identity *id)
{
    for (unsigned i = 0; i < id->n_chain; i++)
        gnutls_pcert_deinit(&id->chain[i]);
    if (id->key)
        gnutls_privkey_deinit(id->key);
    free(id);
}

static int load_key(identity *id, const char *path, qn_err *err)
{
    char *text = NULL;
    size_t n;
    QN_TRY(qn_file_slurp(&text, &n, path, MAX_FILE, err));
    gnutls_datum_t d = {(unsigned char *)text, (unsigned)n};
    gnutls_privkey_init(&id->key);
    int rc = gnutls_privkey_import_x509_raw(id->key, &d, GNUTLS_X509_FMT_PEM,
                                            NULL, 0);
    gnutls_memset(text, 0, n);
    qn_free(text);
    if (rc < 0)
        return qn_fail(err, QN_EFORMAT, "private key %s: %s", path,
                       gnutls_strerror(rc));
    return 0;
}

static int load_chain(identity *id, const char *path, qn_err *err)
{
    char *text = NULL;
    size_t n;
    QN_TRY(qn_file_slurp(&text, &n, path, MAX_FILE, err));
    gnutls_datum_t d = {(unsigned char *)text, (unsigned)n};
    unsigned count = MAX_CHAIN;
    int rc = gnutls_pcert_list_import_x509_raw(id->chain, &count, &d,
                                               GNUTLS_X509_FMT_PEM, 0);
    qn_free(text);
    if (rc < 0)
        return qn_fail(err, QN_EFORMAT, "certificate %s: %s", path,
                       gnutls_strerror(rc));
    id->n_chain = count;
    return 0;
}

/* Whoever renews them writes two files, one after the other. */
static int check_pair(const identity *id, const qn_tls *tls, qn_err *err)
{
    unsigned char a[64], b[64];
    size_t n_a = sizeof a, n_b = sizeof b;
    gnutls_pubkey_t of_key;
    gnutls_pubkey_init(&of_key);
    bool same = gnutls_pubkey_import_privkey(of_key, id->key, 0, 0) >= 0 &&
                gnutls_pubkey_get_key_id(of_key, 0, a, &n_a) >= 0 &&
                gnutls_pubkey_get_key_id(id->chain[0].pubkey, 0, b, &n_b) >=
                    0 &&
                n_a == n_b && memcmp(a, b, n_a) == 0;
    gnutls_pubkey_deinit(of_key);
    if (same)
        return 0;
    return qn_fail(err, QN_EINVAL,
                   "certificate %s and private key %s do not belong together",
                   tls->cert, tls->key);
}

int qn_tls_reload(qn_tls *tls, qn_err *err)
{
    identity *id = qn_xcalloc(1, sizeof *id);
    int rc = load_chain(id, tls->cert, err);
    if (rc == 0)
        rc = load_key(id, tls->key, err);
    if (rc == 0)
        rc = check_pair(id, tls, err);
    if (rc < 0) {
        free_identity(id);
        return rc;
    }
    qn_vec_push(&tls->all, id);
    pthread_mutex_lock(&lock);
    current = id;
    pthread_mutex_unlock(&lock);
    return 0;
}

int qn_tls_new(qn_tls **out, const char *cert, const char *key, qn_err *err)
{
    qn_tls *tls = qn_xcalloc(1, sizeof *tls);
    tls->cert = qn_xstrdup(cert);
    tls->key = qn_xstrdup(key);
    int rc = qn_tls_reload(tls, err);
    if (rc < 0) {
        qn_tls_free(tls);
        return rc;
    }
    *out = tls;
    return 0;
}

void qn_tls_free(qn_tls *tls)
{
    if (!tls)
        return;
    pthread_mutex_lock(&lock);
    current = NULL;
    pthread_mutex_unlock(&lock);
    for (size_t i = 0; i < tls->all.n; i++)
        free_identity(tls->all.v[i]);
    qn_vec_deinit(&tls->all);
    free(tls->cert);
    free(tls->key);
    free(tls);
}

/* A gnutls_certificate_retrieve_function2. */
static int retrieve(gnutls_session_t session, const gnutls_datum_t *ca,
                    int n_ca, const gnutls_pk_algorithm_t *algos, int n_algos,
                    gnutls_pcert_st **chain, unsigned *n_chain,
                    gnutls_privkey_t *key)
{
    (void)session, (void)ca, (void)n_ca, (void)algos, (void)n_algos;
    pthread_mutex_lock(&lock);
    identity *id = current;
    pthread_mutex_unlock(&lock);
    if (!id)
        return -1;
    *chain = id->chain;
    *n_chain = id->n_chain;
    *key = id->key;
    return 0;
}

unsigned qn_tls_options(qn_tls *tls, struct MHD_OptionItem *items)
{
    (void)tls;
    items[0] = (struct MHD_OptionItem){
        MHD_OPTION_HTTPS_PRIORITIES, 0,
        (void *)(uintptr_t) "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"};
    items[1] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_CERT_CALLBACK, 0,
                                       (void *)(intptr_t)retrieve};
    items[2] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
    return MHD_USE_TLS;
}
