/* replay.c: runs a fuzz target over saved inputs where libFuzzer is absent.
 *
 * Each argument is a file or a folder, searched recursively. The target also
 * gets the empty input. A crash or a sanitizer's report is the failure; so is
 * a corpus folder without any file, since that would test nothing.
 */
#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int n_run;

static int run_file(const char *path, const struct stat *st, int flag,
                    struct FTW *ftw)
{
    size_t size = (size_t)st->st_size;
    uint8_t *data;
    FILE *f;

    (void)ftw;
    if (flag != FTW_F)
        return 0;
    /* An exact-size heap block lets ASan see a read one past the end. */
    data = malloc(size ? size : 1);
    f = fopen(path, "rb");
    if (!data || !f || fread(data, 1, size, f) != size) {
        perror(path);
        exit(1);
    }
    fclose(f);
    LLVMFuzzerTestOneInput(data, size);
    free(data);
    n_run++;
    return 0;
}

int main(int argc, char **argv)
{
    LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
    for (int i = 1; i < argc; i++) {
        if (nftw(argv[i], run_file, 16, FTW_PHYS) != 0) {
            perror(argv[i]);
            return 1;
        }
    }
    printf("%d inputs\n", n_run);
    return n_run > 0 ? 0 : 1;
}
