/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cleanup.h - scope-bound ownership: cleanup_free, cleanup_fd ..., and
 * billet_steal to hand it over. Each preserves errno.
 */
#ifndef BILLET_BASE_CLEANUP_H
#define BILLET_BASE_CLEANUP_H

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void
billet_cleanup_free(void *pointer)
{
    free(*(void **)pointer);
}

static inline void
billet_cleanup_fd(int *fd)
{
    if (*fd >= 0) {
        int saved = errno;
        close(*fd);
        errno = saved;
    }
}

static inline void
billet_cleanup_file(FILE **file)
{
    if (*file != NULL)
        fclose(*file);
}

static inline void
billet_cleanup_dir(DIR **dir)
{
    if (*dir != NULL)
        closedir(*dir);
}

#define cleanup_free __attribute__((cleanup(billet_cleanup_free)))
#define cleanup_fd __attribute__((cleanup(billet_cleanup_fd)))
#define cleanup_file __attribute__((cleanup(billet_cleanup_file)))
#define cleanup_dir __attribute__((cleanup(billet_cleanup_dir)))

/* Take the pointer out of a cleanup variable. */
#define billet_steal(pointer)                  \
    __extension__({                            \
        __auto_type billet_stolen = (pointer); \
        (pointer) = NULL;                      \
        billet_stolen;                         \
    })

static inline int
billet_steal_fd(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}

/* Close and forget, keeping errno. */
static inline void
billet_close(int *fd)
{
    billet_cleanup_fd(fd);
    *fd = -1;
}

#endif
