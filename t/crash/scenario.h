/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scenario.h - what billet is doing when the point comes, and one point from its start to
 * the last look at what is left.
 */
#ifndef CRASH_SCENARIO_H
#define CRASH_SCENARIO_H

#include "place.h"

enum scenario_state {
    SCENARIO_NOTHING,    /* a store with ended leases at most */
    SCENARIO_FIRST,      /* no store, no directory: the first command ever */
    SCENARIO_HELD,       /* a lease that is held */
    SCENARIO_UNMIGRATED, /* a store without tables */
    SCENARIO_KEPT,       /* a resource that the next run is to use */
    SCENARIO_ABANDONED,  /* a lease whose billet was killed while its command ran */
};

/* With the NULL that ends them. */
#define SCENARIO_ARGUMENTS_MAX 16

struct scenario {
    const char *name;
    enum scenario_state before;
    bool holds; /* a lease that is still held afterwards is as it should be */
    /* @E environment, @W workspace, @L lease, @N a name that is new each time */
    const char *arguments[SCENARIO_ARGUMENTS_MAX];
};

enum victim {
    VICTIM_BILLET,
    VICTIM_HOST,
    VICTIM_LAUNCHER,
    VICTIMS,
};

/* Calls that fail together, and how. */
struct fault {
    const char *name;
    int sys_errno;
    const char *calls[8];
};

/* All points of one kind. */
struct group {
    const struct scenario *scenario;
    const char *environment;
    enum victim victim;
    const struct fault *fault; /* NULL: SIGKILL */
    int weight;                /* share of the points */
};

extern const struct group kill_groups[];
extern const int kill_group_count;
extern const struct group fault_groups[];
extern const int fault_group_count;

/* "run/local/host" or "run/local/billet/full" */
void group_label(const struct group *group, char *to, size_t size);

/* Let the group's command run whole, and count the calls of the victim: 0 when it has none. -1: it
 * cannot be tried; the place's complaint says why. */
long group_measure(struct place *place, const struct group *group);

/* One point: everything that was found wrong is in place->complaint. deep: also the store. */
void group_try(struct place *place, const struct group *group, long ordinal, bool deep,
               struct crash_outcome *outcome);

#endif
