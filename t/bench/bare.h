/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bare.h - the statements of a lease's life on a store that billet made, without billet: SQLite,
 * one connection, one writer, nothing checked.
 */
#ifndef BILLET_T_BENCH_BARE_H
#define BILLET_T_BENCH_BARE_H

struct bare;

/* path: of the database. NULL on failure, with what SQLite says in *why. */
struct bare *bare_open(const char *path, const char **why);
/* Commit number at (0 .. 3: begin, activate, releasing, released) of the current lease; 0 takes a
 * new one. False on failure. */
int bare_commit(struct bare *bare, int at);
const char *bare_why(struct bare *bare);
void bare_close(struct bare *bare);

#endif
