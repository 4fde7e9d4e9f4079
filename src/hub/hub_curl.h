/* hub_curl.h - libcurl, opened when it is first needed.
 *
 * Linking it would have every start of the program load some thirty libraries
 * (8 ms); and a machine that never downloads does not need it. The table has
 * the functions that are used, with libcurl's own types. Any thread. */
#ifndef QN_HUB_HUB_CURL_H
#define QN_HUB_HUB_CURL_H

#include "base/err.h"

#include <curl/curl.h>

typedef struct qn_curl {
    CURL *(*easy_init)(void);
    void (*easy_cleanup)(CURL *h);
    void (*easy_reset)(CURL *h);
    CURLcode (*set)(CURL *h, CURLoption option, ...);
    CURLcode (*get)(CURL *h, CURLINFO info, ...);
    CURLcode (*perform)(CURL *h);
    const char *(*error_text)(CURLcode code);
    struct curl_slist *(*slist_append)(struct curl_slist *l, const char *s);
    void (*slist_free)(struct curl_slist *l);
} qn_curl;

/* Borrowed for ever. QN_EUNSUP when this machine has no libcurl. */
int qn_curl_get(const qn_curl **out, qn_err *err);

#endif
