/* The files of the web page, as a server hands them out; what a browser makes
 * of them is tests/web's matter. */
#include "web.h"

#include "base/mem.h"
#include "server/page.h"

static web_reply get(const char *path, const char *headers)
{
    return web_ask("GET", path, headers, NULL);
}

static int status(const char *method, const char *path)
{
    web_reply r = web_ask(method, path, NULL, NULL);
    int s = r.status;
    web_free(&r);
    return s;
}

static void has(const web_reply *r, const char *line)
{
    if (!strstr(r->head, line))
        fail_msg("no \"%s\" in:\n%s", line, r->head);
}

/* As the source tree has it. */
static void same_as_file(const web_reply *r, const char *name)
{
    char path[4096];
    size_t n;
    snprintf(path, sizeof path, "%s/apps/server/web/%s", qn_test_source_dir(),
             name);
    char *text = qn_test_read_file(path, &n);
    assert_int_equal(r->n_body, n);
    assert_memory_equal(r->body, text, n);
    free(text);
}

/* The policy names no source but this server, and nothing inline. */
static void is_guarded(const web_reply *r)
{
    has(r, "X-Content-Type-Options: nosniff\r\n");
    has(r, "Referrer-Policy: no-referrer\r\n");
    has(r, "X-Frame-Options: DENY\r\n");
    has(r, "Cross-Origin-Resource-Policy: same-origin\r\n");
    has(r, "Cache-Control: no-cache\r\n");
    has(r, "Content-Security-Policy: default-src 'none'; script-src 'self'; "
           "style-src 'self'; connect-src 'self'; img-src 'self' data:; "
           "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; ");
    assert_null(strstr(r->head, "unsafe"));
}

static void test_files(void **state)
{
    (void)state;
    static const struct {
        const char *path, *file, *type;
    } rows[] = {
        {"/", "index.html", "text/html; charset=utf-8"},
        {"/web/index.html", "index.html", "text/html; charset=utf-8"},
        {"/web/style.css", "style.css", "text/css; charset=utf-8"},
        {"/web/app.js", "app.js", "text/javascript; charset=utf-8"},
        {"/web/lang_zh.js", "lang_zh.js", "text/javascript; charset=utf-8"},
        {"/web/icon.svg", "icon.svg", "image/svg+xml"},
    };
    web_start(NULL);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char line[80];
        web_reply r = get(rows[i].path, NULL);
        assert_int_equal(r.status, 200);
        snprintf(line, sizeof line, "Content-Type: %s\r\n", rows[i].type);
        has(&r, line);
        is_guarded(&r);
        same_as_file(&r, rows[i].file);
        web_free(&r);
    }
}

/* Every file that one of them names is there, and nothing of others is. */
static void test_references(void **state)
{
    (void)state;
    web_start(NULL);
    size_t n = 0;
    for (size_t i = 0; i < qn_page_n_files; i++) {
        const qn_page_file *f = &qn_page_files[i];
        char *text = qn_xstrndup((const char *)f->data, f->n);
        for (char *p = text; (p = strstr(p, "from './")); n++) {
            p += 8;
            size_t len = strcspn(p, "'");
            char name[64];
            snprintf(name, sizeof name, "%.*s", (int)len, p);
            if (!qn_page_find(name))
                fail_msg("%s imports %s, which is not there", f->name, name);
        }
        assert_null(strstr(text, "innerHTML"));
        assert_null(strstr(text, "insertAdjacentHTML"));
        assert_null(strstr(text, "eval("));
        assert_null(strstr(text, "//cdn"));
        free(text);
    }
    assert_true(n > 20);
}

static void test_not_modified(void **state)
{
    (void)state;
    char line[128], tag[64] = "";
    web_start(NULL);
    web_reply r = get("/web/app.js", NULL);
    const char *etag = strstr(r.head, "ETag: ");
    assert_non_null(etag);
    assert_int_equal(sscanf(etag, "ETag: %63s", tag), 1);
    assert_int_equal(tag[0], '"');
    web_free(&r);

    static const char *const before[] = {"", "\"x\", ", "W/", "*, "};
    for (size_t i = 0; i < sizeof before / sizeof *before; i++) {
        snprintf(line, sizeof line, "If-None-Match: %s%s\r\n", before[i], tag);
        r = get("/web/app.js", line);
        assert_int_equal(r.status, 304);
        assert_int_equal(r.n_body, 0);
        has(&r, tag);
        is_guarded(&r);
        web_free(&r);
    }
    r = get("/web/style.css", line);
    assert_int_equal(r.status, 200); /* the tag of another file */
    web_free(&r);
    r = get("/web/style.css", "If-None-Match: *\r\n");
    assert_int_equal(r.status, 304);
    web_free(&r);
    r = get("/web/app.js", "If-None-Match: \"0123\"\r\n");
    assert_int_equal(r.status, 200);
    web_free(&r);
}

static void test_other_paths(void **state)
{
    (void)state;
    static const char *const none[] = {
        "/web",
        "/web/",
        "/web/nothing.js",
        "/web/README.md",
        "/web/app.js/",
        "/web//app.js",
        "/web/../web/app.js",
        "/web/./app.js",
        "/web/..%2fhttpd.c",
        "/web/%2e%2e%2fhttpd.c",
        "/web/%2e%2e%5chttpd.c",
        "/web/..%2f..%2f..%2f..%2fetc%2fpasswd",
        "/web/%2fetc%2fpasswd",
        "/web/app.js%00.html",
        "/../etc/passwd",
        "//",
        "/index.html",
        "/app.js",
    };
    web_start(NULL);
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        web_reply r = get(none[i], NULL);
        if (r.status != 404 && r.status != 400)
            fail_msg("%s: status %d", none[i], r.status);
        has(&r, "Content-Type: application/json\r\n");
        has(&r, "X-Content-Type-Options: nosniff\r\n");
        web_free(&r);
    }
    assert_int_equal(status("POST", "/"), 405);
    assert_int_equal(status("DELETE", "/web/app.js"), 405);
    assert_int_equal(status("GET", "/web/a%70p.js"), 200);
}

/* The page needs no key, what it asks for does. */
static void test_with_keys(void **state)
{
    (void)state;
    char path[4096];
    snprintf(path, sizeof path, "%s/keys", qn_test_tmpdir());
    qn_test_write_file(path, "somebody-1\n", 11);
    const char *const options[] = {"api-key-file", path, NULL};
    web_start(options);
    assert_int_equal(status("GET", "/"), 200);
    assert_int_equal(status("GET", "/web/app.js"), 200);
    assert_int_equal(status("GET", "/v1/models"), 401);
    assert_int_equal(status("GET", "/metrics"), 401);
}

static void test_switched_off(void **state)
{
    (void)state;
    static const char *const options[] = {"web", "false", NULL};
    web_start(options);
    assert_int_equal(status("GET", "/"), 404);
    assert_int_equal(status("GET", "/web/app.js"), 404);
    assert_int_equal(status("POST", "/"), 404);
    assert_int_equal(status("GET", "/health"), 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_files, web_stop),
        cmocka_unit_test_teardown(test_references, web_stop),
        cmocka_unit_test_teardown(test_not_modified, web_stop),
        cmocka_unit_test_teardown(test_other_paths, web_stop),
        cmocka_unit_test_teardown(test_with_keys, web_stop),
        cmocka_unit_test_teardown(test_switched_off, web_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
