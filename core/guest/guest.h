/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guest.h - the subcommands of billet-guest, the one program of ours inside an environment.
 *
 * Static and without libraries: it runs on any Linux of its architecture. It trusts who started it
 * (the standard streams are the other side), and nothing that a workload wrote.
 */
#ifndef CORE_GUEST_GUEST_H
#define CORE_GUEST_GUEST_H

/* Exit statuses besides those of a subcommand's own. */
#define GUEST_EXIT_FAILED 1
#define GUEST_EXIT_USAGE 2

struct guest_command {
    const char *name;
    const char *arguments; /* for the usage line, "" when there are none */
    const char *text;      /* what it does, one line */
    /* argv[0] is the subcommand's name. Returns the exit status. */
    int (*run)(int argc, char **argv);
};

#endif
