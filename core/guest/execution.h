/* SPDX-License-Identifier: Apache-2.0 */
/*
 * execution.h - one command of the guest: its start, its streams within their credit, its signals,
 * time limit and end.
 *
 * Never blocks: what would is left for the next round of the guest's loop. The answer is held up by
 * the command itself only, not by what it left in the background with its output open.
 */
#ifndef CORE_GUEST_EXECUTION_H
#define CORE_GUEST_EXECUTION_H

#include <poll.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "guest/link.h"

#define GUEST_EXECUTION_FDS 3 /* entries that a prepare fills */

struct guest_execution;

/* Start what the frame asks for; NULL: the frame is not what it should be, or no memory. A command
 * that cannot be started is told to the client as its end. */
struct guest_execution *guest_execution_open(struct guest_link *link,
                                             const struct billet_guest_frame *frame);
/* The processes it made are not looked for here. */
void guest_execution_free(struct guest_execution *execution);

uint32_t guest_execution_channel(const struct guest_execution *execution);
pid_t guest_execution_pid(const struct guest_execution *execution);

/* A frame of its channel: 0, or -1 when the client broke the rules. */
int guest_execution_take(struct guest_execution *execution, const struct billet_guest_frame *frame);

void guest_execution_prepare(struct guest_execution *execution,
                             struct pollfd fds[GUEST_EXECUTION_FDS]);
void guest_execution_step(struct guest_execution *execution,
                          const struct pollfd fds[GUEST_EXECUTION_FDS]);
/* The command itself was reaped. */
void guest_execution_reaped(struct guest_execution *execution, int status,
                            const struct rusage *usage);
/* When it must be looked at again, CLOCK_MONOTONIC; 0: no time. */
int64_t guest_execution_next(const struct guest_execution *execution);
/* Do what is due. alone: no other command runs. true: it is over and EXIT was sent, or nobody wants
 * to know. */
bool guest_execution_turn(struct guest_execution *execution, bool alone);

#endif
