/* SPDX-License-Identifier: Apache-2.0 */
/* A folder of a test's own that stands for "/": files as the kernel has them in sysfs and procfs. */
#pragma once

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct tree {
    char path[64];
    int root;
};

static inline void tree_make(struct tree *t)
{
    snprintf(t->path, sizeof(t->path), "/tmp/postern-tree-XXXXXX");
    assert_non_null(mkdtemp(t->path));
    t->root = open(t->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(t->root >= 0);
}

static inline void tree_folders(struct tree *t, const char *path)
{
    char part[256];

    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        snprintf(part, sizeof(part), "%.*s", (int)(slash - path), path);
        (void)mkdirat(t->root, part, 0755);
    }
}

/* Makes the folders that it is in; a path that ends in "/" is only folders. */
static inline void tree_put(struct tree *t, const char *path, const char *text)
{
    tree_folders(t, path);
    if (path[strlen(path) - 1] == '/')
        return;
    int fd = openat(t->root, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static inline void tree_link(struct tree *t, const char *target, const char *path)
{
    tree_folders(t, path);
    assert_int_equal(symlinkat(target, t->root, path), 0);
}

static inline int tree_entry_remove(const char *path, const struct stat *st, int kind,
                                    struct FTW *place)
{
    (void)st;
    (void)kind;
    (void)place;
    return remove(path);
}

static inline void tree_remove(struct tree *t)
{
    close(t->root);
    assert_int_equal(nftw(t->path, tree_entry_remove, 8, FTW_DEPTH | FTW_PHYS), 0);
}
