/* builtin.c - see builtin.h. */
#include "engine/builtin.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#include <dlfcn.h>
#include <limits.h>
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

/* Upwards from the folder of a file. */
static char *search_above(const char *file)
{
    char dir[PATH_MAX];
    if (!realpath(file, dir))
        return NULL;
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
    }
    return NULL;
}

/* From the program; from the library, for the programs of others. */
static char *search(void)
{
    Dl_info info;
    char *path = search_above("/proc/self/exe");
    if (!path && dladdr(&builtin_anchor, &info) && info.dli_fname)
        path = search_above(info.dli_fname);
    return path;
}

int qn_builtin_path(char **out, qn_err *err)
{
    const char *env = getenv("QUERN_DEFAULT_MODEL");
    if (env && *env) {
        *out = qn_xstrdup(env);
        return 0;
    }
    char *path = search();
    if (!path)
        return qn_fail(err, QN_ENOENT,
                       "the built-in model (" BUILTIN ") was not found beside "
                       "the program; name a model (--model MODEL), or set "
                       "QUERN_DEFAULT_MODEL");
    *out = path;
    return 0;
}
