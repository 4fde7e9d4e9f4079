/* builtin.c - see builtin.h. */
#include "engine/builtin.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUILTIN "quern-14m.gguf"
#define UP_LEVELS 4 /* build/<preset>/apps/cli/quern lies this deep */

/* Something that lies in the library. */
static const char builtin_anchor = 0;

/* dir/where/BUILTIN, if it is there. */
static char *look(const char *dir, const char *where)
{
    char *sub = qn_path_join(dir, where);
    char *path = qn_path_join(sub, BUILTIN);
    free(sub);
    if (qn_path_is_file(path))
        return path;
    free(path);
    return NULL;
}

/* Upwards from the folder of a file; folders where it was not are added to
 * `seen`. */
static char *search_above(const char *file, qn_str *seen)
{
    char dir[PATH_MAX];
    snprintf(dir, sizeof dir, "%s", file);
    for (int up = 0; up <= UP_LEVELS; up++) {
        char *slash = strrchr(dir, '/');
        if (!slash || slash == dir)
            return NULL;
        *slash = 0;
        char *path = look(dir, "share/quern/models");
        if (!path)
            path = look(dir, "models");
        if (path)
            return path;
        qn_str_addf(seen, "%s%s", seen->n ? ", " : "", dir);
    }
    return NULL;
}

/* From the program; from the library, for the programs of others. */
static char *search(qn_str *seen)
{
    char program[PATH_MAX] = "", library[PATH_MAX] = "", *path;
    Dl_info info;
    if (!realpath("/proc/self/exe", program))
        program[0] = 0;
    path = search_above(program, seen);
    if (path || !dladdr(&builtin_anchor, &info) || !info.dli_fname ||
        !realpath(info.dli_fname, library) || strcmp(program, library) == 0)
        return path;
    return search_above(library, seen);
}

int qn_builtin_path(char **out, qn_err *err)
{
    const char *env = getenv("QUERN_DEFAULT_MODEL");
    if (env && *env) {
        *out = qn_xstrdup(env);
        return 0;
    }
    qn_str seen;
    qn_str_init(&seen);
    char *path = search(&seen);
    int rc = path ? 0
                  : qn_fail(err, QN_ENOENT,
                            "the built-in model is not here; name another "
                            "(--model MODEL), or set QUERN_DEFAULT_MODEL. "
                            "Neither share/quern/models/" BUILTIN
                            " nor models/" BUILTIN " is in %s",
                            seen.n ? seen.p : "the program's folder");
    qn_str_deinit(&seen);
    if (rc == 0)
        *out = path;
    return rc;
}
