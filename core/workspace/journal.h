/* SPDX-License-Identifier: Apache-2.0 */
/*
 * journal.h - what is to be done to a workspace, as a file: it exists exactly while
 * an apply is under way. Before it exists nothing was changed, so staged files may
 * be thrown away; once it exists the apply is to be completed.
 *
 * Bytes: "BILJRN" 0 1 | in_workspace u8 | stage name | tag | count | count operations |
 * BLAKE2b-256 of all before. Strings are length and bytes, numbers as in manifest.h.
 */
#ifndef BILLET_WORKSPACE_JOURNAL_H
#define BILLET_WORKSPACE_JOURNAL_H

#include <billet/types.h>
#include <stdbool.h>

#include "base/buffer.h"
#include "workspace/plan.h"

struct billet_journal {
    char stage_name[48];
    char tag[16];
    bool in_workspace;
};

int billet_journal_encode(const struct billet_journal *journal, const struct billet_plan *plan,
                          struct billet_buffer *to, struct billet_error *error);
/* Refuses (class AUTH, workspace_journal) what encode would not have written. */
int billet_journal_decode(const void *bytes, size_t length, struct billet_journal *journal,
                          struct billet_plan *plan, struct billet_error *error);

/* Put bytes under a name in a directory, whole or not at all; durable: through fsync. */
int billet_journal_write(int directory_fd, const char *name, const struct billet_buffer *bytes,
                         bool durable, struct billet_error *error);
/* 1 read, 0 there is none, negative. */
int billet_journal_read(int directory_fd, const char *name, struct billet_buffer *bytes,
                        struct billet_error *error);

#endif
