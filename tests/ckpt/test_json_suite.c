/* test_json_suite.c: base/json against JSONTestSuite (N. Seriot, MIT): y_ files
 * are JSON and must be read, n_ files are not and must be refused, of i_ files
 * either is right as long as the answer is an answer. */
#include "ckpt_help.h"

#include "base/json.h"

#include <dirent.h>

/* JSON by its grammar, but a key twice lets two readers see two documents, and
 * jansson knows no key with a NUL inside. */
static const char *const refused_by_choice[] = {
    "y_object_duplicated_key.json",
    "y_object_duplicated_key_and_value.json",
    "y_object_escaped_null_in_key.json",
};

static bool by_choice(const char *name)
{
    for (size_t i = 0; i < QN_COUNTOF(refused_by_choice); i++)
        if (strcmp(refused_by_choice[i], name) == 0)
            return true;
    return false;
}

static void test_suite(void **state)
{
    const char *dir = qn_test_shared("data/conformance/jsontestsuite/"
                                     "test_parsing");
    int n[3] = {0};
    DIR *d;

    (void)state;
    if (!dir)
        QN_SKIP("no shared data");
    d = opendir(dir);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        const char *kinds = "yni", *kind = strchr(kinds, e->d_name[0]);
        json_t *v = NULL;
        qn_err err = {0};
        size_t len;
        char *text;
        int rc;
        if (!kind || !qn_ends(e->d_name, ".json"))
            continue;
        text = qn_test_read_file(help_path(dir, e->d_name), &len);
        rc = qn_json_parse(&v, text, len, e->d_name, &err);
        free(text);
        if (*kind != 'i' &&
            (rc == 0) != (*kind == 'y' && !by_choice(e->d_name)))
            fail_msg("%s: %d %s", e->d_name, rc, err.msg);
        if (rc < 0 && !strstr(err.msg, e->d_name))
            fail_msg("%s is not named: %s", e->d_name, err.msg);
        assert_true((rc == 0) == (v != NULL));
        json_decref(v);
        n[kind - kinds]++;
    }
    closedir(d);
    print_message("%d accepted, %d refused, %d either\n", n[0], n[1], n[2]);
    assert_true(n[0] >= 90 && n[1] >= 180);
    qn_test_result("Files", "JSONTestSuite: y_ and n_", (size_t)(n[0] + n[1]),
                   (size_t)(n[0] + n[1]),
                   "but duplicate keys, which are refused by choice");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_suite)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
