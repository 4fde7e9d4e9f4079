/* The hub's description of a repository: what is taken from it are harmless
 * paths and names of blobs, whatever it says. */
#include "hub/hub_repo.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *index = NULL;
    qn_hub_repo r;

    if (qn_hub_repo_parse(&r, (const char *)data, size, "o/n", NULL) < 0)
        return 0;
    for (size_t i = 0; i < r.files.n; i++) {
        const qn_hub_file *f = &r.files.v[i];
        if (!qn_hub_path_ok(f->name) || f->name[0] == '/' ||
            strstr(f->name, "/../") || strncmp(f->name, "../", 3) == 0 ||
            (f->etag[0] && !qn_hub_etag_ok(f->etag)))
            abort();
    }
    if (qn_hub_choose(&r, NULL, "o/n", &index, NULL) == 0 && index)
        qn_hub_choose_shards(&r, index, (const char *)data, size, NULL);
    qn_hub_choose(&r, "q", "o/n", &index, NULL);
    qn_hub_repo_deinit(&r);
    return 0;
}
