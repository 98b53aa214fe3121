/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record.h - the rows that a store keeps: lease, activity, provision. Plain
 * structures that own their strings; environments are config/environment.h.
 */
#ifndef BILLET_STORE_RECORD_H
#define BILLET_STORE_RECORD_H

#include <billet/types.h>
#include <stdbool.h>
#include <stddef.h>

/* design section 7: acquiring -> active -> releasing -> released | failed; active <-> retained */
enum billet_lease_state {
    BILLET_LEASE_ACQUIRING = 1,
    BILLET_LEASE_ACTIVE = 2,
    BILLET_LEASE_RETAINED = 3,
    BILLET_LEASE_RELEASING = 4,
    BILLET_LEASE_RELEASED = 5, /* final */
    BILLET_LEASE_FAILED = 6,   /* final */
};

const char *billet_lease_state_name(enum billet_lease_state state);
/* 0 when unknown. */
enum billet_lease_state billet_lease_state_by_name(const char *name);
bool billet_lease_state_is_final(enum billet_lease_state state);

/* Strings are never NULL in a record that a store returned; NULL in one given to it means "". */
struct billet_lease {
    char *id; /* UUIDv7 */
    char *tenant;
    char *environment;    /* name */
    char *environment_id; /* store id, "" for file and built-in environments */
    char *driver;
    char *run;
    char *agent;
    char *issue;
    char *workspace; /* absolute path here, or "" */
    char *policy;    /* "ephemeral", "keep", "retain_on_failure" */
    enum billet_lease_state state;
    int64_t fence;       /* starts at 1 */
    int64_t generation;  /* starts at 1 */
    char *ref;           /* the driver's name of the resource; "" until active */
    char *facts;         /* JSON object the driver recorded */
    char *configuration; /* JSON object: driver settings as written at acquire (references, no
                            secrets) */
    char *directory;     /* of the workspace inside, "" until realized */
    char *owner;         /* lease/owner.h: who drives it now; "" for a held lease */
    char *command;       /* for people: the command as it was last started, escaped, cut */
    char *outcome;       /* JSON of the last exec, or "" */
    char *reason;        /* why failed, or why the last cleanup did not work */
    int64_t cleanup_attempts;
    int64_t next_cleanup_ns; /* store's clock; 0: at once */
    int64_t created_ns;      /* all: store's clock, wall ns */
    int64_t updated_ns;
    int64_t expires_ns;
    int64_t ended_ns; /* 0 until final */
};

/* Something that happened. Written in the transaction of the change it describes. */
struct billet_activity {
    int64_t sequence;   /* given by the store, rises */
    int64_t time_ns;    /* given by the store */
    const char *action; /* "lease.acquired", "exec.started" ...; the table is in lease/action.def */
    const char *tenant;
    const char *environment;
    const char *lease;
    const char *run;
    const char *agent;
    const char *issue;
    const char *actor; /* "user:NAME" or "janitor:HOST" */
    int64_t fence;
    const char *details; /* JSON object, no secrets */
};

void billet_lease_free(struct billet_lease *lease);
int billet_lease_copy(struct billet_lease *to, const struct billet_lease *from,
                      struct billet_error *error);

#endif
