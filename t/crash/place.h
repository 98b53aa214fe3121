/* SPDX-License-Identifier: Apache-2.0 */
/*
 * place.h - a billet of one's own for a crash point: its directories, its environment,
 * running it, and the look at what is left afterwards.
 *
 * Everything that billet started is a descendant of this process, which is a subreaper: a child
 * that remains is a leak. Kills nothing else.
 */
#ifndef CRASH_PLACE_H
#define CRASH_PLACE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "trace.h"

#define PLACE_IDS 256

struct place {
    char root[200]; /* everything below it */
    char billet[512];
    char workspace[256];
    char server[128];  /* directory of the socket of a PostgreSQL server; "": SQLite in state/ */
    char database[64]; /* ours there */
    const char *environment[32];
    char texts[32][512];
    int variables;
    char output[2][256]; /* stdout and stderr of the last command */
    char ids[PLACE_IDS][40];
    int id_count;
    char complaint[4096]; /* what was found wrong, "" for nothing */
};

/* Make the directories beneath root, which exists, and the store where it is a server's.
 * CRASH_SERVER chooses one, CRASH_ENVIRONMENTS is a file of further environments with @ROOT@ for
 * root. */
bool place_make(struct place *place, const char *root);
/* Remove all state, so that the next command is the first of its kind. */
bool place_empty(struct place *place);
/* A server's store only: no tables yet; tables. */
bool place_empty_store(struct place *place);
bool place_ready_store(struct place *place);
void place_remove(struct place *place);

void place_complain(struct place *place, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Run billet with these arguments (NULL-terminated; without argv[0]). 0, or -1. */
int place_run(struct place *place, const char *const *arguments, const struct crash_target *target,
              int timeout_ms, struct crash_outcome *outcome);
/* The same untraced; complains unless it exits with 0. */
bool place_must_run(struct place *place, const char *const *arguments);
/* First line of the last command's stdout (0) or stderr (1), without its end. */
void place_first_line(const struct place *place, int which, char *to, size_t size);
/* Lines of the last stderr that name an error id. */
int place_error_lines(const struct place *place);
/* Bytes of the last command's output. */
char *place_output(const struct place *place, int which);

/* Live leases, and the ids of all; the state of the newest live one to state, its id to id. -1: the
 * store cannot be read (and complains). */
int place_live_leases(struct place *place, char *id, size_t size, char *state, size_t state_size);

/* Children that do not end by themselves within that time: killed and complained of. */
void place_check_processes(struct place *place, int patience_ms);
/* Processes anywhere that carry a lease of this place. */
void place_check_labelled(struct place *place, int patience_ms);
void place_check_mounts(struct place *place);
void place_check_groups(struct place *place);
void place_check_files(struct place *place);

#endif
