/* SPDX-License-Identifier: Apache-2.0 */
/* Durable commits in a store that billet made: the same statements, nothing around them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "bare.h"
#include "floor.h"

static struct bare *bare;

void
floor_open(const char *path)
{
    const char *why = "";
    bare = bare_open(path, &why);
    if (bare == NULL) {
        fprintf(stderr, "floor: %s: %s\n", path, why);
        exit(125);
    }
}

void
floor_commit(int at)
{
    if (!bare_commit(bare, at)) {
        fprintf(stderr, "floor: commit %d: %s\n", at, bare_why(bare));
        exit(125);
    }
}

void
floor_close(void)
{
    bare_close(bare);
}
