/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a fuzz target over all files of the directories that are named: the corpus as a test. */
#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

enum { INPUT_MAX = 4 << 20 };

static int file_run(const char *directory, const char *name)
{
    char path[4096];
    FILE *file = NULL;
    uint8_t *data = NULL;
    int result = 1;

    if (snprintf(path, sizeof(path), "%s/%s", directory, name) < (int)sizeof(path))
        file = fopen(path, "rb");
    uint8_t *room = file ? malloc(INPUT_MAX) : NULL;
    if (!room)
        goto out;
    size_t size = fread(room, 1, INPUT_MAX, file);
    /* A block of just that size, so that a sanitizer sees a read beyond it. */
    data = malloc(size ? size : 1);
    if (!data || ferror(file))
        goto out;
    for (size_t i = 0; i < size; i++)
        data[i] = room[i];
    result = LLVMFuzzerTestOneInput(data, size);
out:
    if (file)
        fclose(file);
    free(room);
    free(data);
    if (result != 0)
        fprintf(stderr, "%s: failed\n", path);
    return result;
}

static int directory_run(const char *directory, unsigned *inputs)
{
    DIR *dir = opendir(directory);
    struct dirent *entry;
    int result = 0;

    if (!dir) {
        perror(directory);
        return 1;
    }
    while ((entry = readdir(dir))) {
        if (entry->d_name[0] == '.')
            continue;
        result |= file_run(directory, entry->d_name);
        (*inputs)++;
    }
    closedir(dir);
    return result;
}

int main(int argc, char **argv)
{
    unsigned inputs = 0;
    int result = 0;

    for (int i = 1; i < argc; i++)
        result |= directory_run(argv[i], &inputs);
    printf("%u inputs\n", inputs);
    return result || inputs == 0;
}
