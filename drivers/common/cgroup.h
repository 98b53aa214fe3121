/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup.h - control groups of leases: what this process can use, and one group
 * per lease, billet/DRIVER-LEASE, in the v2 tree and, for limits on hybrid machines, in
 * v1 trees.
 *
 * Works on held directory descriptors only. Never touches a group outside the
 * directory billet/ that it made beneath the highest group this user may write.
 */
#ifndef DRIVERS_COMMON_CGROUP_H
#define DRIVERS_COMMON_CGROUP_H

#include <billet/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* A tree in which a lease can have a group. */
enum billet_cgroup_tree {
    BILLET_CGROUP_UNIFIED, /* v2: kill, freeze; limits where its controllers reach */
    BILLET_CGROUP_MEMORY,  /* v1 */
    BILLET_CGROUP_PIDS,    /* v1 */
    BILLET_CGROUP_CPU,     /* v1 */
    BILLET_CGROUP_TREES,
};

#define BILLET_CGROUP_CAN_MEMORY 0x1u
#define BILLET_CGROUP_CAN_PIDS 0x2u
#define BILLET_CGROUP_CAN_CPU 0x4u

/* What this process can use; zero it with BILLET_CGROUP_SITE_INIT. */
struct billet_cgroup_site {
    int parents[BILLET_CGROUP_TREES]; /* O_DIRECTORY of each billet/, -1: cannot be used */
    bool can_kill;                    /* cgroup.kill in the v2 tree */
    unsigned limits;                  /* BILLET_CGROUP_CAN_*: limits that can be set */
    unsigned unified_limits;          /* those of them that the v2 tree sets */
    int want;                         /* errno: something may be there that could not be opened */
    char why[128];                    /* what is missing, "" when nothing is */
};
#define BILLET_CGROUP_SITE_INIT       \
    {                                 \
        .parents = { -1, -1, -1, -1 } \
    }

/* Look; makes billet/ where it can. Never fails: what is not there is not set. Where limits is
 * false only the v2 tree is opened and no controller is enabled, which is the quick way. */
void billet_cgroup_site_open(struct billet_cgroup_site *site, bool limits);
/* Only what is there already, in every tree: for finding and removing. Makes and enables nothing.
 */
void billet_cgroup_site_find(struct billet_cgroup_site *site);
void billet_cgroup_site_close(struct billet_cgroup_site *site);

struct billet_cgroup_limits {
    int64_t memory_max; /* bytes, swap included where that can be said; 0: none */
    int64_t pids_max;   /* 0: none */
    int64_t cpu_weight; /* 1..10000, 100 is usual; 0: none */
};

/* The group of one lease. */
struct billet_cgroup {
    char name[64];
    int directories[BILLET_CGROUP_TREES]; /* -1: no group in this tree */
    int procs[BILLET_CGROUP_TREES]; /* v1: open "tasks", to which a process of one thread writes 0
                                       to move itself (billet_launch.groups); else -1 */
};
#define BILLET_CGROUP_INIT                                           \
    {                                                                \
        .directories = {-1, -1, -1, -1}, .procs = { -1, -1, -1, -1 } \
    }

/* A name for a group: 1..63 of [0-9a-zA-Z_-]. All drivers share billet/, so each puts its own name
 * before the lease id: "local-LEASE". */
bool billet_cgroup_name_is_valid(const char *name);

/* Make the group, or take one that is there, and set the limits. Class UNAVAILABLE when a limit
 * that is asked for cannot be set (nothing is left then). Without limits only the v2 group is made.
 */
int billet_cgroup_create(const struct billet_cgroup_site *site, const char *name,
                         const struct billet_cgroup_limits *limits, struct billet_cgroup *group,
                         struct billet_error *error);
/* Open what exists of it: 0, or -ENOENT when there is nothing. */
int billet_cgroup_open(const struct billet_cgroup_site *site, const char *name,
                       struct billet_cgroup *group);
void billet_cgroup_close(struct billet_cgroup *group);
bool billet_cgroup_exists(const struct billet_cgroup *group);

/* Move a process (all its threads) in: 0 or -errno. */
int billet_cgroup_add(const struct billet_cgroup *group, pid_t pid);

/* Kill all that is in it, stopped processes too, and wait until it is empty: 0, or -ETIMEDOUT. */
int billet_cgroup_kill(const struct billet_cgroup *group, int64_t deadline_ns);
/* Processes in it, counted up to a bound; 0 when it is empty or was removed. */
int billet_cgroup_count(const struct billet_cgroup *group);

/* Remove the groups of that name in every tree; waits a little for the last exits. 0 when none is
 * left, else -errno. */
int billet_cgroup_remove(const struct billet_cgroup_site *site, const char *name,
                         int64_t deadline_ns);

/* Each name that has a group in some tree; a name in two trees comes twice. */
typedef void billet_cgroup_visit(const char *name, void *context);
void billet_cgroup_list(const struct billet_cgroup_site *site, billet_cgroup_visit *visit,
                        void *context);

#endif
