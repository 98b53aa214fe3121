/* SPDX-License-Identifier: Apache-2.0 */
/*
 * floor.h - the least that a run takes: what the floor programs and the rows agree on.
 *
 * floor ROLE ... is a chain of processes, each small, dynamically linked and started with
 * posix_spawn: "tool" (stands for billet) starts "host" (for billet-driver-host), which starts the
 * command and waits; the tool also makes as many durable commits as a run of billet.
 */
#ifndef BILLET_T_BENCH_FLOOR_H
#define BILLET_T_BENCH_FLOOR_H

/* Commits of a run: begin, activate, releasing, released. */
#define FLOOR_COMMITS 4

/* Program: floor.c + commit_file.c writes and flushes a plain file; floor.c + commit_store.c runs
 * the statements of a run in SQLite. at: 0 .. FLOOR_COMMITS - 1. */
void floor_open(const char *path);
void floor_commit(int at);
void floor_close(void);

void floor_die(const char *what) __attribute__((noreturn));

#endif
