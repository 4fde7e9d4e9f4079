/* Tables of models side by side. */
#include "testing.h"

#include "cli/eval_print.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *row(const char *path, int bytes, double kl, double decode)
{
    json_t *o = json_pack("{s:{s:s, s:i}}", "model", "path", path, "file_bytes",
                          bytes);
    if (kl >= 0)
        json_object_set_new(o, "kl",
                            json_pack("{s:f, s:[f, f]}", "mean", kl,
                                      "mean_ci95", kl * 0.9, kl * 1.1));
    if (decode > 0)
        json_object_set_new(o, "decode", json_real(decode));
    return o;
}

static char *printed(json_t *rows, bool markdown)
{
    char *text = NULL;
    size_t n;
    FILE *f = open_memstream(&text, &n);
    json_t *o = json_pack("{s:s, s:{s:s}, s:o}", "kind", "compare", "text",
                          "path", "t", "rows", rows);
    qn_eval_print(o, markdown, f);
    fclose(f);
    json_decref(o);
    return text;
}

/* The lines behind the table say what another row makes needless, by more than
 * chance: far is beaten by near, equal is not, small is smaller. */
static void test_beaten(void **state)
{
    (void)state;
    char *s = printed(json_pack("[o, o, o, o, o]", row("base", 400, -1, 0),
                                row("near", 100, 0.01, 0),
                                row("far", 120, 0.02, 0),
                                row("equal", 110, 0.0105, 0),
                                row("small", 50, 0.03, 0)),
                      false);
    assert_non_null(
        strstr(s, "\n\nfar: near is no larger, and nearer to base\n"));
    assert_null(strstr(s, "equal:"));
    assert_null(strstr(s, "small:"));
    assert_null(strstr(s, "near:"));
    free(s);
    /* what is slower beats nobody */
    s = printed(json_pack("[o, o, o]", row("base", 400, -1, 10),
                          row("near", 100, 0.01, 8), row("far", 120, 0.02, 10)),
                true);
    assert_null(strstr(s, "no slower"));
    free(s);
    s = printed(json_pack("[o, o, o]", row("base", 400, -1, 10),
                          row("near", 100, 0.01, 9.8),
                          row("far", 120, 0.02, 10)),
                true);
    assert_non_null(strstr(s, "- far: near is no larger and no slower"));
    free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_beaten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
