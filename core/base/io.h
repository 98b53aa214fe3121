/* SPDX-License-Identifier: Apache-2.0 */
/*
 * io.h - files and descriptors: whole reads and writes, atomic replacement, and
 * the trusted-owner walk for files that an operator names (config, drivers,
 * stores), so that nobody else can swap them.
 */
#ifndef BILLET_BASE_IO_H
#define BILLET_BASE_IO_H

#include <billet/types.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/buffer.h"

/* Write all bytes, through EINTR and short writes. */
int billet_io_write_all(int fd, const void *bytes, size_t length, struct billet_error *error);
/* Read to the end, at most limit bytes; more is an error of class CAPACITY. */
int billet_io_read_all(int fd, struct billet_buffer *to, size_t limit, struct billet_error *error);
/* Read a regular file whole. */
int billet_io_read_file(const char *path, struct billet_buffer *to, size_t limit,
                        struct billet_error *error);
/* Replace path by the bytes: temporary file beside it, fsync, rename, fsync of the directory. */
int billet_io_replace_file(const char *path, const void *bytes, size_t length, mode_t mode,
                           struct billet_error *error);
/* mkdir -p with mode for what is made. */
int billet_io_make_directories(const char *path, mode_t mode, struct billet_error *error);

#define BILLET_TRUST_PRIVATE 0x1u /* nor readable by others (keys) */

/*
 * Open an absolute path for reading when nobody but root and the caller's effective user could
 * have put it there: each component is owned by one of them and not writable by group or others
 * (a sticky directory of root such as /tmp is allowed above a directory of the caller's own), no
 * component is a symlink owned by somebody else, and the file is regular and not a symlink. Gives
 * an fd of the very file that was checked. Fails with class AUTH, code path_untrusted, naming the
 * component and the remedy.
 */
int billet_io_open_trusted(const char *path, unsigned flags, int *fd, struct billet_error *error);

#endif
