/*
 * The main() of a target that is built without libFuzzer: hands the files, and
 * those of the folders, that are its arguments to the target, one by one.
 */


#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* a target need not have it */
__attribute__((weak)) int LLVMFuzzerInitialize(int *argc, char ***argv);

static void replay(const char *name);


static unsigned  nfiles;


int
main(int argc, char **argv)
{
    int  i;

    if (LLVMFuzzerInitialize) {
        LLVMFuzzerInitialize(&argc, &argv);
    }

    for (i = 1; i < argc; i++) {
        replay(argv[i]);
    }

    printf("%u inputs\n", nfiles);

    return 0;
}


static void
replay(const char *name)
{
    DIR            *dir;
    FILE           *file;
    char           *path;
    size_t          n, size;
    uint8_t        *data;
    struct dirent  *entry;

    dir = opendir(name);

    if (dir) {

        while ((entry = readdir(dir)) != NULL) {

            if (entry->d_name[0] == '.') {
                continue;
            }

            path = malloc(strlen(name) + strlen(entry->d_name) + 2);
            sprintf(path, "%s/%s", name, entry->d_name);
            replay(path);
            free(path);
        }

        closedir(dir);

        return;
    }

    file = fopen(name, "rb");

    if (file == NULL) {
        perror(name);
        exit(2);
    }

    fseek(file, 0, SEEK_END);
    size = ftell(file);
    rewind(file);

    /* the exact size: reading behind it is seen */
    data = malloc(size);
    n = fread(data, 1, size, file);
    fclose(file);

    if (n != size) {
        perror(name);
        exit(2);
    }

    /* a crash has to tell of its input */
    fprintf(stderr, "%s\n", name);

    LLVMFuzzerTestOneInput(data, size);

    free(data);
    nfiles++;
}
