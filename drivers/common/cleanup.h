/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cleanup.h - scope-bound ownership for drivers: descriptors, memory, directory
 * streams. Each preserves errno. Owns no policy.
 */
#ifndef DRIVERS_COMMON_CLEANUP_H
#define DRIVERS_COMMON_CLEANUP_H

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* Close and forget, keeping errno. */
static inline void
billet_close_fd(int *fd)
{
    if (*fd >= 0) {
        int saved = errno;
        close(*fd);
        errno = saved;
    }
    *fd = -1;
}

static inline void
billet_free_pointer(void *pointer)
{
    free(*(void **)pointer);
}

static inline void
billet_close_dir(DIR **dir)
{
    if (*dir != NULL)
        closedir(*dir);
}

static inline int
billet_take_fd(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}

#define cleanup_fd __attribute__((cleanup(billet_close_fd)))
#define cleanup_free __attribute__((cleanup(billet_free_pointer)))
#define cleanup_dir __attribute__((cleanup(billet_close_dir)))

#endif
