/* hub_curl.c: finds libcurl at run time. See hub_curl.h. */
#include "hub/hub_curl.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

/* OpenSSL's and GnuTLS's build, as Debian calls them; the ABI is one. */
static const char *const curl_sonames[] = {"libcurl.so.4",
                                           "libcurl-gnutls.so.4"};

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static qn_curl curl_table;
static bool curl_there;

/* A data pointer becomes a function pointer as POSIX wants it done. */
static bool curl_bind(void *lib, const char *name, void *slot)
{
    void *f = dlsym(lib, name);

    memcpy(slot, &f, sizeof f);
    return f != NULL;
}

static void curl_open(void)
{
    CURLcode (*global_init)(long flags);
    qn_curl *t = &curl_table;
    void *lib = NULL;

    for (size_t i = 0; i < QN_COUNTOF(curl_sonames) && !lib; i++)
        lib = dlopen(curl_sonames[i], RTLD_NOW | RTLD_LOCAL);
    if (!lib || !curl_bind(lib, "curl_global_init", &global_init) ||
        !curl_bind(lib, "curl_easy_init", &t->easy_init) ||
        !curl_bind(lib, "curl_easy_cleanup", &t->easy_cleanup) ||
        !curl_bind(lib, "curl_easy_reset", &t->easy_reset) ||
        !curl_bind(lib, "curl_easy_setopt", &t->set) ||
        !curl_bind(lib, "curl_easy_getinfo", &t->get) ||
        !curl_bind(lib, "curl_easy_perform", &t->perform) ||
        !curl_bind(lib, "curl_easy_strerror", &t->error_text) ||
        !curl_bind(lib, "curl_slist_append", &t->slist_append) ||
        !curl_bind(lib, "curl_slist_free_all", &t->slist_free))
        return;
    curl_there = global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
}

int qn_curl_get(const qn_curl **out, qn_err *err)
{
    pthread_once(&curl_once, curl_open);
    if (!curl_there)
        return qn_fail(err, QN_EUNSUP,
                       "libcurl is not on this machine, and downloads need it; "
                       "install it (Debian, Ubuntu: libcurl4)");
    *out = &curl_table;
    return 0;
}
