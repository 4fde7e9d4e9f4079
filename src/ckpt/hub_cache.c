/* hub_cache.c: where the hub's cache keeps a model. See hub_cache.h. */
#include "ckpt/hub_cache.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#include <stdlib.h>

/* ---- names ------------------------------------------------------------- */

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
}

static bool is_part(const char *p, size_t n)
{
    if (n == 0 || p[0] == '-' || p[0] == '.' || p[n - 1] == '-' ||
        p[n - 1] == '.')
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!is_word(p[i]))
            return false;
        if (i > 0 && p[i] == p[i - 1] && (p[i] == '-' || p[i] == '.'))
            return false;
    }
    return true;
}

/* A branch, a tag, a commit, refs/pr/7: it becomes a path below refs/. */
static bool is_revision(const char *p)
{
    size_t n = strlen(p);
    const char *part = p;

    if (n == 0 || n > QN_HUB_REV_MAX)
        return false;
    for (size_t i = 0; i <= n; i++) {
        if (i < n && p[i] != '/') {
            if (!is_word(p[i]) && p[i] != '+' && p[i] != '=')
                return false;
            continue;
        }
        if (p + i == part || part[0] == '.' || strstr(part, ".."))
            return false;
        part = p + i + 1;
    }
    return true;
}

bool qn_hub_name_parse(const char *text, qn_hub_name *out)
{
    const char *at = strchr(text, '@');
    size_t n = at ? (size_t)(at - text) : strlen(text);
    const char *slash = memchr(text, '/', n);
    size_t first = slash ? (size_t)(slash - text) : n;

    if (n > QN_HUB_REPO_MAX || !is_part(text, first) ||
        (slash && !is_part(slash + 1, n - first - 1)) ||
        (at && !is_revision(at + 1)))
        return false;
    memcpy(out->repo, text, n);
    out->repo[n] = '\0';
    strcpy(out->revision, at ? at + 1 : "main");
    return true;
}

bool qn_hub_is_commit(const char *s)
{
    return strlen(s) == 40 && strspn(s, "0123456789abcdef") == 40;
}

/* ---- places ------------------------------------------------------------ */

static const char *env_or_null(const char *name)
{
    const char *v = getenv(name);
    return v && *v ? v : NULL;
}

/* A path from the environment; "~/" is the home folder, as in Python's
 * expanduser. */
static char *expand(const char *path)
{
    const char *home = env_or_null("HOME");

    if (path[0] == '~' && (path[1] == '/' || !path[1]) && home)
        return path[1] ? qn_path_join(home, path + 2) : qn_xstrdup(home);
    return qn_xstrdup(path);
}

char *qn_hub_home(void)
{
    const char *home = env_or_null("HF_HOME");
    const char *xdg = env_or_null("XDG_CACHE_HOME");
    char *base, *out;

    if (home)
        return expand(home);
    base = expand(xdg ? xdg : "~/.cache");
    out = qn_path_join(base, "huggingface");
    qn_free(base);
    return out;
}

char *qn_hub_cache(void)
{
    const char *cache = env_or_null("HF_HUB_CACHE");
    char *home, *out;

    if (!cache)
        cache = env_or_null("HUGGINGFACE_HUB_CACHE");
    if (cache)
        return expand(cache);
    home = qn_hub_home();
    out = qn_path_join(home, "hub");
    qn_free(home);
    return out;
}

static char *folder_of(const char *repo, const char *below)
{
    char *cache = qn_hub_cache();
    const char *slash = strchr(repo, '/');
    qn_str s;

    qn_str_init(&s);
    qn_str_addf(&s, "%s/%smodels--", cache, below);
    if (slash)
        qn_str_addf(&s, "%.*s--%s", (int)(slash - repo), repo, slash + 1);
    else
        qn_str_adds(&s, repo);
    qn_free(cache);
    return qn_str_take(&s, NULL);
}

char *qn_hub_repo_dir(const char *repo)
{
    return folder_of(repo, "");
}

char *qn_hub_lock_dir(const char *repo)
{
    return folder_of(repo, ".locks/");
}

/* ---- finding ----------------------------------------------------------- */

/* The commit that refs/<revision> names, or NULL. */
static char *read_ref(const char *dir, const char *revision)
{
    char *refs = qn_path_join(dir, "refs");
    char *path = qn_path_join(refs, revision), *commit = NULL;
    size_t n;

    if (qn_path_is_file(path) &&
        qn_file_slurp(&commit, &n, path, 4096, NULL) >= 0) {
        commit[strcspn(commit, " \r\n")] = '\0';
        if (!*commit || commit[0] == '.' || strchr(commit, '/')) {
            qn_free(commit);
            commit = NULL;
        }
    }
    qn_free(path);
    qn_free(refs);
    return commit;
}

static int not_cached(const qn_hub_name *name, qn_err *err)
{
    bool is_main = strcmp(name->revision, "main") == 0;
    const char *at = is_main ? "" : "@", *rev = is_main ? "" : name->revision;
    char *cache = qn_hub_cache();
    int rc = qn_fail(err, QN_ENOENT,
                     "%s%s%s: no such file or directory, and the hub's cache "
                     "%s does not have it; if it is a name on the hub, "
                     "`quern pull %s%s%s` fetches it",
                     name->repo, at, rev, cache, name->repo, at, rev);

    qn_free(cache);
    return rc;
}

int qn_hub_find(const qn_hub_name *name, char **snapshot, qn_err *err)
{
    char *dir = qn_hub_repo_dir(name->repo);
    char *snapshots = qn_path_join(dir, "snapshots");
    char *commit = read_ref(dir, name->revision);
    char *path = NULL;
    int rc = 0;

    if (!commit && !strchr(name->revision, '/'))
        commit = qn_xstrdup(name->revision); /* it may be one itself */
    if (commit)
        path = qn_path_join(snapshots, commit);
    if (path && qn_path_is_dir(path)) {
        *snapshot = path;
        path = NULL;
    } else {
        rc = not_cached(name, err);
    }
    qn_free(path);
    qn_free(commit);
    qn_free(snapshots);
    qn_free(dir);
    return rc;
}
