/* test_hub_cache.c: names on the hub, and what its cache has of them. The
 * layout is the one that huggingface_hub documents. */
#include "testing.h"

#include "base/file.h"
#include "base/mem.h"
#include "ckpt/hub_cache.h"
#include "ckpt_help.h"

#include <unistd.h>

#define COMMIT_A "0123456789abcdef0123456789abcdef01234567"
#define COMMIT_B "fedcba9876543210fedcba9876543210fedcba98"

static void test_names(void **state)
{
    static const struct {
        const char *text, *repo, *revision;
    } good[] = {
        {"facebook/opt-350m", "facebook/opt-350m", "main"},
        {"gpt2", "gpt2", "main"},
        {"a/b@v1.0", "a/b", "v1.0"},
        {"Qwen/Qwen2.5-0.5B@refs/pr/7", "Qwen/Qwen2.5-0.5B", "refs/pr/7"},
        {"a_b/c-d.e_f@" COMMIT_A, "a_b/c-d.e_f", COMMIT_A},
    };
    static const char *const bad[] = {
        "",       "/",        "a/",        "/b",      "a/b/c", "./a",
        "../a",   "a/..",     "a/b--c",    "a/b..c",  "-a/b",  "a/b-",
        "a/.b",   "a/b.",     "a b/c",     "a/b@",    "a/b@/", "a/b@../x",
        "a/b@x/", "a/b@x//y", "a/b@.main", "a/b@x y", "a\\b",  "a/b@x/../y",
        "~/a",    "a/b@x\n"};
    qn_hub_name n;

    (void)state;
    for (size_t i = 0; i < QN_COUNTOF(good); i++) {
        assert_true(qn_hub_name_parse(good[i].text, &n));
        assert_string_equal(n.repo, good[i].repo);
        assert_string_equal(n.revision, good[i].revision);
    }
    for (size_t i = 0; i < QN_COUNTOF(bad); i++)
        if (qn_hub_name_parse(bad[i], &n))
            fail_msg("taken for a name: %s", bad[i]);
    char longer[QN_HUB_REPO_MAX + 2];
    memset(longer, 'a', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    assert_false(qn_hub_name_parse(longer, &n));
    longer[QN_HUB_REPO_MAX] = '\0';
    assert_true(qn_hub_name_parse(longer, &n));
}

static void check_cache(const char *want)
{
    char *got = qn_hub_cache();
    assert_string_equal(got, want);
    qn_free(got);
}

/* Each variable wins over those that are less specific. */
static void test_places(void **state)
{
    (void)state;
    unsetenv("HF_HOME");
    unsetenv("HF_HUB_CACHE");
    unsetenv("HUGGINGFACE_HUB_CACHE");
    unsetenv("XDG_CACHE_HOME");
    setenv("HOME", "/home/x", 1);
    check_cache("/home/x/.cache/huggingface/hub");
    setenv("XDG_CACHE_HOME", "/c", 1);
    check_cache("/c/huggingface/hub");
    setenv("HF_HOME", "~/hf", 1);
    check_cache("/home/x/hf/hub");
    setenv("HUGGINGFACE_HUB_CACHE", "/old", 1);
    check_cache("/old");
    setenv("HF_HUB_CACHE", "/new", 1);
    check_cache("/new");
    char *dir = qn_hub_repo_dir("a/b"), *lock = qn_hub_lock_dir("gpt2");
    assert_string_equal(dir, "/new/models--a--b");
    assert_string_equal(lock, "/new/.locks/models--gpt2");
    qn_free(dir);
    qn_free(lock);
    unsetenv("HUGGINGFACE_HUB_CACHE");
    unsetenv("HF_HUB_CACHE");
}

static void make_snapshot(const char *dir, const char *commit, const char *word)
{
    char sub[128];

    snprintf(sub, sizeof sub, "snapshots/%s", commit);
    const char *snap = help_path(dir, sub);
    assert_int_equal(qn_mkdirs(snap, NULL), 0);
    snprintf(sub, sizeof sub, "{\"which\": \"%s\"}", word);
    help_write(snap, "config.json", sub);
    help_safetensors(help_path(snap, "model.safetensors"),
                     "{\"x\":{\"dtype\":\"F32\",\"shape\":[1],"
                     "\"data_offsets\":[0,4]}}",
                     4);
}

static void check_opens(const char *name, const char *which)
{
    qn_ckpt *ck;
    qn_err err = {0};

    if (qn_ckpt_open(&ck, name, &err) < 0)
        fail_msg("%s", err.msg);
    assert_string_equal(
        json_string_value(json_object_get(qn_ckpt_config(ck), "which")), which);
    qn_ckpt_close(ck);
}

static void test_find(void **state)
{
    const char *cache = qn_test_tmpdir();
    const char *dir = help_path(cache, "models--org--net");

    (void)state;
    setenv("HF_HUB_CACHE", cache, 1);
    help_refused("org/net", QN_ENOENT,
                 WORDS("org/net", cache, "quern pull org/net"));
    make_snapshot(dir, COMMIT_A, "a");
    make_snapshot(dir, COMMIT_B, "b");
    help_refused("org/net", QN_ENOENT, WORDS("quern pull org/net"));
    assert_int_equal(qn_mkdirs(help_path(dir, "refs/refs/pr"), NULL), 0);
    help_write(dir, "refs/main", COMMIT_A);
    help_write(dir, "refs/refs/pr/7", COMMIT_B "\n");
    check_opens("org/net", "a");
    check_opens("org/net@main", "a");
    check_opens("org/net@refs/pr/7", "b");
    check_opens("org/net@" COMMIT_B, "b");
    help_refused("org/net@v2", QN_ENOENT, WORDS("quern pull org/net@v2"));
    help_write(dir, "refs/v2", "../" COMMIT_A);
    help_refused("org/net@v2", QN_ENOENT, WORDS("quern pull org/net@v2"));
    dir = help_path(cache, "models--org--net.gguf");
    help_refused("org/net.gguf", QN_ENOENT, WORDS("a model is"));
    make_snapshot(dir, COMMIT_B, "b");
    assert_int_equal(qn_mkdirs(help_path(dir, "refs"), NULL), 0);
    help_write(dir, "refs/main", COMMIT_B);
    check_opens("org/net.gguf", "b");
    dir = help_path(cache, "models--org--net");
    help_write(dir, "refs/main", "");
    help_refused("org/net", QN_ENOENT, WORDS("quern pull org/net"));
    unsetenv("HF_HUB_CACHE");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_find),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
