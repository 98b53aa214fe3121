/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pump.h - carries one stream of a command between a descriptor of the caller
 * and a pipe into the sandbox: a terminal, a file or a socket of the host must
 * not be in the hands of the command itself. Bounded buffer, back pressure, no
 * thread. Never changes or closes the caller's descriptor.
 */
#ifndef SANDBOX_PUMP_H
#define SANDBOX_PUMP_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>

#define SANDBOX_PUMP_BUFFER 32768

struct sandbox_pump {
    int from;
    int to;
    bool inward; /* to is our pipe, else from is */
    bool ended;  /* nothing will come from from */
    size_t start;
    size_t end;
    char *bytes; /* SANDBOX_PUMP_BUFFER of them, ours */
};

/* A descriptor for the command itself where no pump is needed: of the same nameless pipe or
 * harmless device, but opened anew, so that flags which the command sets (O_NONBLOCK) are not the
 * caller's too. -1: pump. */
int sandbox_pump_spare(int fd, bool inward);

/* Begin to carry between the caller's descriptor and a new pipe; *inside is the command's end. 0 or
 * -errno. */
int sandbox_pump_begin(struct sandbox_pump *pump, int outside, bool inward, int *inside);
/* Closes our pipe end and frees the buffer. Safe on a zeroed pump after from = to = -1. */
void sandbox_pump_end(struct sandbox_pump *pump);

/* One entry; fd -1: nothing to wait for now. */
void sandbox_pump_prepare(const struct sandbox_pump *pump, struct pollfd *entry);
void sandbox_pump_step(struct sandbox_pump *pump, const struct pollfd *entry);
/* Asked once the sandbox is dead: all that was written was passed on, or nobody takes it. */
bool sandbox_pump_is_done(const struct sandbox_pump *pump);

#endif
