/* hf_find.c: which files of a directory are the model's weights.
 *
 * The choice, first match wins (the first two are what transformers does):
 *   model.safetensors | model.safetensors.index.json | the only other
 *   *.safetensors.index.json | the only other set of .safetensors (a file, or
 *   x-00001-of-0000N.safetensors to x-0000N-of-0000N) | pytorch_model.bin |
 *   pytorch_model.bin.index.json | the only GGUF, split or not.
 * Two candidates of one rank are an error: a guess could load the wrong model.
 * When there is nothing, the names tell what the directory is instead.
 */
#include "ckpt/ckpt_int.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>

#define ST_EXT ".safetensors"
#define INDEX_EXT ".safetensors.index.json"
#define GGUF_EXT ".gguf"
#define TORCH "pytorch_model.bin"

typedef QN_VEC(char *) name_list;

static int cmp_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void free_names(name_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        qn_free(l->v[i]);
    qn_vec_deinit(l);
}

static int list_dir(const char *dir, name_list *out, qn_err *err)
{
    DIR *d = opendir(dir);
    struct dirent *e;

    if (!d)
        return qn_fail(err, errno == ENOENT ? QN_ENOENT : QN_EIO,
                       "%s: cannot list the directory: %s", dir,
                       strerror(errno));
    while ((e = readdir(d)))
        if (e->d_name[0] != '.')
            qn_vec_push(out, qn_xstrdup(e->d_name));
    closedir(d);
    if (out->n)
        qsort(out->v, out->n, sizeof *out->v, cmp_name);
    return 0;
}

static bool has(const name_list *l, const char *name)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->v[i], name) == 0)
            return true;
    return false;
}

static const char *first_with(const name_list *l, const char *ext)
{
    for (size_t i = 0; i < l->n; i++)
        if (qn_ends(l->v[i], ext))
            return l->v[i];
    return NULL;
}

static bool five_digits(const char *p, int *out)
{
    *out = 0;
    for (int i = 0; i < 5; i++) {
        if (p[i] < '0' || p[i] > '9')
            return false;
        *out = *out * 10 + (p[i] - '0');
    }
    return true;
}

bool qn_hf_part_name(const char *name, const char *ext, size_t *stem, int *i,
                     int *n)
{
    const size_t tail = sizeof "-00001-of-00002" - 1;
    size_t len = strlen(name), ext_len = strlen(ext);
    const char *p;

    if (!qn_ends(name, ext) || len < ext_len + tail)
        return false;
    *stem = len - ext_len - tail;
    p = name + *stem;
    return p[0] == '-' && five_digits(p + 1, i) && !memcmp(p + 6, "-of-", 4) &&
           five_digits(p + 10, n) && *i >= 1 && *i <= *n;
}

/* ---- sets of files ----------------------------------------------------- */

/* Files of one kind, grouped: a split set counts once, by its first part that
 * is there. Names that hold no model of their own are left out. */
static void find_sets(const name_list *l, const char *ext, name_list *sets)
{
    for (size_t i = 0; i < l->n; i++) {
        const char *name = l->v[i];
        size_t stem, last_stem;
        int part, n, last_part, last_n;

        if (!qn_ends(name, ext) || qn_starts(name, "adapter_model") ||
            qn_starts(name, "mmproj"))
            continue;
        if (sets->n && qn_hf_part_name(name, ext, &stem, &part, &n) &&
            qn_hf_part_name(sets->v[sets->n - 1], ext, &last_stem, &last_part,
                            &last_n) &&
            stem == last_stem && n == last_n &&
            !memcmp(name, sets->v[sets->n - 1], stem))
            continue;
        qn_vec_push(sets, qn_xstrdup(name));
    }
}

static int several(const char *dir, const name_list *sets, const char *what,
                   const char *remedy, qn_err *err)
{
    qn_str s;
    int rc;

    qn_str_init(&s);
    for (size_t i = 0; i < sets->n && i < 6; i++)
        qn_str_addf(&s, "%s%s", i ? ", " : "", sets->v[i]);
    if (sets->n > 6)
        qn_str_adds(&s, ", ...");
    rc = qn_fail(err, QN_EINVAL, "%s holds %zu %s (%s); %s", dir, sets->n, what,
                 s.p, remedy);
    qn_str_deinit(&s);
    return rc;
}

/* The set that begins with `first`: one file, or all its parts. */
static int take_set(const char *dir, const name_list *l, const char *first,
                    qn_hf_found *found, qn_err *err)
{
    size_t stem;
    int part, n, missing = 0;
    qn_str s;
    char *lost = NULL;

    if (!qn_hf_part_name(first, ST_EXT, &stem, &part, &n)) {
        found->kind = QN_HF_SINGLE;
        qn_vec_push(&found->names, qn_xstrdup(first));
        return 0;
    }
    found->kind = QN_HF_SHARDS;
    for (int i = 1; i <= n; i++) {
        char *name;
        qn_str_init(&s);
        qn_str_addf(&s, "%.*s-%05d-of-%05d%s", (int)stem, first, i, n, ST_EXT);
        name = qn_str_take(&s, NULL);
        qn_vec_push(&found->names, name);
        if (has(l, name))
            continue;
        missing++;
        if (!lost)
            lost = name;
    }
    if (!missing)
        return 0;
    return qn_fail(err, QN_ENOENT,
                   "%s: %d of %d shards are missing, the first is %s; finish "
                   "the download",
                   dir, missing, n, lost);
}

/* ---- why there is nothing ---------------------------------------------- */

/* A name (or, with a dot first, an ending) and what the directory then is. */
static const struct {
    const char *name;
    int code;
    const char *text;
} verdicts[] = {
    {"adapter_config.json", QN_EUNSUP,
     "is an adapter (adapter_config.json), not a whole model; merge it into "
     "its base model first"},
    {"model_index.json", QN_EUNSUP,
     "is a diffusion pipeline (model_index.json), not a language model"},
    {".bin", QN_EUNSUP,
     "has .bin files, but none that is named pytorch_model.bin; name the one "
     "to use"},
    {".pth", QN_EUNSUP,
     "has its weights in .pth files, not in the hub's layout; use the revision "
     "of the model that has it (for Meta's: the one with -hf)"},
    {".pt", QN_EUNSUP,
     "has its weights in .pt files, not in the hub's layout; name the one to "
     "use"},
    {".h5", QN_EUNSUP,
     "has TensorFlow weights alone; use the safetensors revision of the model"},
    {".msgpack", QN_EUNSUP,
     "has Flax weights alone; use the safetensors revision of the model"},
    {".onnx", QN_EUNSUP,
     "has ONNX weights alone; use the safetensors revision of the model"},
    {"config.json", QN_ENOENT,
     "has a config.json but no weights: model.safetensors, or "
     "model.safetensors.index.json with its shards, is expected beside it; "
     "finish the download"},
};

/* In place of the verdict on .bin, where naming one would not help. */
static const char no_torch_bin[] =
    "has .bin files, but no pytorch_model.bin, and they hold neither PyTorch's "
    "weights nor GGUF; use a safetensors or GGUF version of the model";

/* By its first bytes. */
static bool one_is_readable(const char *dir, const name_list *l,
                            const char *ext)
{
    qn_sniff kind = QN_SNIFF_OTHER;
    qn_err why;
    for (size_t i = 0; i < l->n && kind == QN_SNIFF_OTHER; i++) {
        if (!qn_ends(l->v[i], ext))
            continue;
        char *path = qn_path_join(dir, l->v[i]);
        if (qn_ckpt_sniff(path, &kind, &why) < 0)
            kind = QN_SNIFF_OTHER;
        qn_free(path);
    }
    return kind != QN_SNIFF_OTHER;
}

static int explain_dir(const char *dir, const name_list *l, qn_err *err)
{
    for (size_t i = 0; i < QN_COUNTOF(verdicts); i++) {
        const char *name = verdicts[i].name;
        if (name[0] == '.' ? !first_with(l, name) : !has(l, name))
            continue;
        bool other = strcmp(name, ".bin") == 0 &&
                     !one_is_readable(dir, l, name);
        return qn_fail(err, verdicts[i].code, "%s %s", dir,
                       other ? no_torch_bin : verdicts[i].text);
    }
    return qn_fail(err, QN_ENOENT,
                   "%s is not a model directory: it has neither config.json "
                   "with .safetensors or .bin weights nor a .gguf file",
                   dir);
}

/* ---- the choice -------------------------------------------------------- */

static void take_one(qn_hf_found *found, qn_hf_weights kind, const char *name)
{
    found->kind = kind;
    qn_vec_push(&found->names, qn_xstrdup(name));
}

static int choose(const char *dir, const name_list *l, qn_hf_found *found,
                  qn_err *err)
{
    name_list sets = {0};
    int rc = 0;

    if (has(l, "model" ST_EXT)) {
        take_one(found, QN_HF_SINGLE, "model" ST_EXT);
        return 0;
    }
    if (has(l, "model" INDEX_EXT)) {
        take_one(found, QN_HF_INDEX, "model" INDEX_EXT);
        return 0;
    }
    find_sets(l, INDEX_EXT, &sets);
    if (sets.n == 1) {
        take_one(found, QN_HF_INDEX, sets.v[0]);
        goto out;
    }
    free_names(&sets);
    find_sets(l, ST_EXT, &sets);
    if (sets.n == 1)
        QN_TRY_OUT(take_set(dir, l, sets.v[0], found, err));
    if (sets.n > 1)
        rc = several(dir, &sets, "sets of .safetensors weights",
                     "name the file to use, or keep one set in the directory",
                     err);
    if (sets.n)
        goto out;
    if (has(l, TORCH)) {
        take_one(found, QN_HF_SINGLE, TORCH);
        goto out;
    }
    if (has(l, TORCH ".index.json")) {
        take_one(found, QN_HF_INDEX, TORCH ".index.json");
        goto out;
    }
    find_sets(l, GGUF_EXT, &sets);
    if (sets.n == 1)
        take_one(found, QN_HF_GGUF, sets.v[0]);
    else if (sets.n > 1)
        rc = several(dir, &sets, "GGUF files", "give the one to use", err);
    else
        rc = explain_dir(dir, l, err);
out:
    free_names(&sets);
    return rc;
}

int qn_hf_find(const char *dir, qn_hf_found *found, qn_err *err)
{
    name_list l = {0};
    int rc;

    *found = (qn_hf_found){.kind = QN_HF_SINGLE};
    rc = list_dir(dir, &l, err);
    if (rc >= 0)
        rc = choose(dir, &l, found, err);
    free_names(&l);
    if (rc < 0)
        qn_hf_found_deinit(found);
    return rc;
}

void qn_hf_found_deinit(qn_hf_found *found)
{
    for (size_t i = 0; i < found->names.n; i++)
        qn_free(found->names.v[i]);
    qn_vec_deinit(&found->names);
}

/* ---- the hub's cache --------------------------------------------------- */

static char *join3(const char *a, const char *b, const char *c)
{
    char *ab = qn_path_join(a, b), *abc = qn_path_join(ab, c);

    qn_free(ab);
    return abc;
}

/* models--org--name/{refs/main, snapshots/<revision>/...}: main names the
 * revision; without it, a single revision needs no name. */
char *qn_hf_snapshot(const char *dir)
{
    char *snapshots = qn_path_join(dir, "snapshots");
    char *main_ref = join3(dir, "refs", "main");
    char *rev = NULL, *out = NULL;
    name_list l = {0};
    size_t n;

    if (!qn_path_is_dir(snapshots))
        goto out;
    if (qn_path_is_file(main_ref) &&
        qn_file_slurp(&rev, &n, main_ref, 4096, NULL) >= 0) {
        rev[strcspn(rev, " \r\n")] = '\0';
        if (*rev && rev[0] != '.' && !strchr(rev, '/'))
            out = qn_path_join(snapshots, rev);
    }
    if (out && !qn_path_is_dir(out)) {
        qn_free(out);
        out = NULL;
    }
    if (!out && list_dir(snapshots, &l, NULL) >= 0 && l.n == 1)
        out = qn_path_join(snapshots, l.v[0]);
out:
    free_names(&l);
    qn_free(rev);
    qn_free(main_ref);
    qn_free(snapshots);
    return out;
}
