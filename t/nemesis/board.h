/* SPDX-License-Identifier: Apache-2.0 */
/*
 * board.h - what the nemesis and its clients share: orders to the clients, and the leases that they
 * know, so that one works on what another made.
 */
#ifndef NEMESIS_BOARD_H
#define NEMESIS_BOARD_H

#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>

#define CLIENTS_MAX 16
#define MACHINES_MAX 4
#define TENANTS 2
#define KNOWN 8 /* leases of a tenant that clients know of each other */
#define ID_SIZE 37

/* What a client is to do to the billet that it waits for; it alone knows whether that still runs.
 */
enum order {
    ORDER_NONE,
    ORDER_KILL,
    ORDER_KILL_HOST,
    ORDER_STOP,      /* the billet, for stop_ms */
    ORDER_STOP_HOST, /* the driver's host */
    ORDER_OVERSTAY,  /* as ORDER_STOP, once the command of a run has begun */
    ORDERS,
};

struct board {
    atomic_bool over; /* finish what you do, and end */
    struct {
        _Atomic int order;
        _Atomic int stop_ms;
        _Atomic long long
            running_ms; /* since when a run is on its way, CLOCK_MONOTONIC; 0: none is */
    } clients[CLIENTS_MAX];
    _Atomic long done[ORDERS]; /* orders that met something */
    _Atomic long ok, failed, unknown;
    atomic_flag lock; /* of known */
    char known[TENANTS][KNOWN][ID_SIZE];
};

struct setting {
    const char *billet;
    const char *directory; /* of everything */
    const char *store;     /* url */
    int machines;          /* more than one: each client has its name space of names */
    unsigned seed;
};

/* The tenant of a client, the machine of it. */
const char *tenant_of(int client);
int machine_of(const struct setting *setting, int client);
/* Become a process of that machine; false: not allowed here. */
bool enter_machine(int machine);
/* The environment of a billet there; at most MACHINE_VARIABLES strings, of its own memory. */
char **machine_environment(const struct setting *setting, int machine);
/* Run billet to its end without orders, output thrown away: its exit status, -1 when it did not end
 * by itself within the time. */
int run_plainly(const struct setting *setting, int machine, const char *const *arguments,
                int timeout_ms);
/* Never returns. */
_Noreturn void be_client(const struct setting *setting, struct board *board, int client);

#endif
