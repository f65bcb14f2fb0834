/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The verb compare: a script (it starts other people's programs and draws tables), found where it
 * was installed, or, by a program that still stands in its build directory, in the sources.
 */
#include "bench.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ARGS_MAX = 64 };

static bool is_same_folder(const char *a, const char *b)
{
    struct stat x, y;

    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

int compare_main(int argc, char **argv)
{
    static char folder[PATH_MAX], script[PATH_MAX + 16];
    char *words[ARGS_MAX] = {"python3", script, "--build", folder};
    int at = 4;
    ssize_t len = readlink("/proc/self/exe", folder, sizeof(folder) - 1);

    if (len <= 0 || argc > ARGS_MAX - at) {
        fprintf(stderr, "postern-bench: compare: %s\n",
                len <= 0 ? "/proc is not there" : "too many arguments");
        return len <= 0 ? BENCH_OSERR : BENCH_USAGE;
    }
    folder[len] = '\0';
    *strrchr(folder, '/') = '\0';
    snprintf(script, sizeof(script), "%s/compare.py",
             is_same_folder(folder, BENCH_BUILD_FOLDER) ? BENCH_SOURCE_FOLDER
                                                        : BENCH_INSTALLED_FOLDER);
    for (int i = 1; i < argc; i++)
        words[at++] = argv[i];
    fflush(stdout);
    execvp(words[0], words);
    fprintf(stderr, "postern-bench: %s: %s\n", words[0], strerror(errno));
    return BENCH_UNAVAILABLE;
}

void compare_help(FILE *to)
{
    fprintf(to, "  its own: postern-bench compare --help\n");
}
