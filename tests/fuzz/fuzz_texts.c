/* fuzz_texts.c: short texts that have a grammar of their own. The first byte
 * chooses: a server's URL, a model's name in the hub, two origins on a line
 * each, a file of API keys, a recorded trace of requests. */
#include "fuzz_ckpt.h"

#include "ckpt/hub_cache.h"
#include "cli/load_plan.h"
#include "cli/shot.h"
#include "hub/hub_http.h"
#include "server/auth.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void url(const char *text)
{
    qn_shot_target t;
    qn_err err = {0};

    if (qn_shot_parse_url(&t, text, &err) < 0 ? !err.msg[0] : !t.host[0])
        abort();
}

static void hub_name(const char *text)
{
    qn_hub_name n;

    if (!qn_hub_name_parse(text, &n))
        return;
    if (!n.repo[0] || !n.revision[0] || strstr(n.repo, "..") ||
        n.repo[0] == '/' || strstr(n.revision, ".."))
        abort();
    char *dir = qn_hub_repo_dir(n.repo);
    free(dir);
}

static void origins(char *text)
{
    char *second = strchr(text, '\n');

    if (!second)
        return;
    *second++ = 0;
    if (qn_http_same_origin(text, second) != qn_http_same_origin(second, text))
        abort();
}

static void keys(const char *path)
{
    qn_auth *a = NULL;
    qn_err err = {0};
    char name[64];

    if (qn_auth_new(&a, path, &err) < 0) {
        if (!err.msg[0])
            abort();
        return;
    }
    int tenant = qn_auth_check(a, "Bearer secret");
    if (tenant >= 0)
        qn_auth_name(a, tenant, name, sizeof name);
    qn_auth_free(a);
}

static void trace(const char *path)
{
    qn_load_params p = {
        .n = 64, .vocab = 100, .max_len = 4096, .speed = 1, .trace = path};
    qn_load load = {0};
    qn_err err = {0};
    qn_str body;

    if (qn_load_make(&load, &p, &err) < 0) {
        if (!err.msg[0])
            abort();
        return;
    }
    qn_str_init(&body);
    for (int i = 0; i < load.n; i++) {
        if (load.shots[i].n_in < 1 || load.shots[i].n_out < 1 ||
            load.shots[i].n_in + load.shots[i].n_out > p.max_len)
            abort();
        qn_str_clear(&body);
        qn_load_body(&load, i, &body);
    }
    qn_str_deinit(&body);
    qn_load_deinit(&load);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    char *text = malloc(size);
    if (!text)
        return 0;
    memcpy(text, data + 1, size - 1);
    text[size - 1] = 0;
    switch (data[0] % 5) {
    case 0: url(text); break;
    case 1: hub_name(text); break;
    case 2: origins(text); break;
    case 3: keys(fuzz_file(data + 1, size - 1)); break;
    default: trace(fuzz_file(data + 1, size - 1)); break;
    }
    free(text);
    return 0;
}
