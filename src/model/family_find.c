/* family_find.c - the family of a model_type. */
#include "model/families_int.h"

#include "base/str.h"

#include <string.h>

enum {
    NEAR_MAX = 4, /* names that a message offers */
    NAME_MAX_LEN = 48
};

static const qn_family_list *const lists[] = {
    &qn_families_dense, &qn_families_rec, &qn_families_moe, &qn_families_own};

static const qn_family *family_at(int i)
{
    for (size_t l = 0; i >= 0 && l < QN_COUNTOF(lists); l++) {
        if (i < lists[l]->n)
            return &lists[l]->rows[i];
        i -= lists[l]->n;
    }
    return NULL;
}

const char *qn_family_name(int i)
{
    const qn_family *f = family_at(i);
    return f ? f->type : NULL;
}

const qn_family *qn_family_find(const char *model_type)
{
    const qn_family *f;
    for (int i = 0; (f = family_at(i)); i++) {
        if (strcmp(f->type, model_type) == 0)
            return f;
    }
    return NULL;
}

/* Letters to insert, drop or replace (Levenshtein). */
static int distance(const char *a, const char *b)
{
    int row[NAME_MAX_LEN + 1], n = (int)strlen(b);
    for (int j = 0; j <= n; j++)
        row[j] = j;
    for (int i = 1; *a; a++, i++) {
        int corner = row[0];
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            int changed = corner + (*a != b[j - 1]);
            corner = row[j];
            row[j] = QN_MIN(changed, QN_MIN(row[j], row[j - 1]) + 1);
        }
    }
    return row[n];
}

/* How far a name is from what was asked for; names that begin with the same
 * letters are near. */
static int unlikeness(const char *asked, const char *name)
{
    size_t same = 0;
    while (asked[same] && asked[same] == name[same])
        same++;
    return distance(asked, name) - (same >= 4 ? (int)same : 0);
}

int qn_family_unknown(const char *model_type, qn_err *err)
{
    qn_str near;
    const char *name;
    bool usable = strlen(model_type) <= NAME_MAX_LEN;
    int n_all = 0, far = QN_MAX((int)strlen(model_type) / 4, 1);
    qn_str_init(&near);
    while (qn_family_name(n_all))
        n_all++;
    for (int limit = -NAME_MAX_LEN, found = 0;
         usable && limit <= far && found < NEAR_MAX; limit++) {
        for (int i = 0; (name = qn_family_name(i)) && found < NEAR_MAX; i++) {
            if (unlikeness(model_type, name) != limit)
                continue;
            qn_str_addf(&near, "%s%s", found++ ? ", " : "", name);
        }
    }
    int rc = qn_fail(err, QN_EUNSUP,
                     "config.json: model_type \"%.*s\" is not supported%s%s; "
                     "docs/models.md lists the %d that are",
                     NAME_MAX_LEN, model_type, near.n ? "; like it are " : "",
                     near.n ? near.p : "", n_all);
    qn_str_deinit(&near);
    return rc;
}
