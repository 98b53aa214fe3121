/* SPDX-License-Identifier: Apache-2.0 */
/*
 * status.h - the machine's channel of a run: JSON lines on --status-fd that
 * resolve what an exit status leaves open. Readers ignore members they do not
 * know; see billet-json(7).
 */
#ifndef BILLET_RUN_STATUS_H
#define BILLET_RUN_STATUS_H

#include <billet/driver.h>
#include <stdbool.h>

#include "base/json.h"

#define BILLET_FORMAT_VERSION "1.0"

/* How a command or the run around it ended. */
struct billet_ending {
    int outcome;        /* BILLET_OUTCOME_*; 0 when the command never ended by itself */
    int value;          /* exit code, signal or errno */
    const char *origin; /* "command", "driver", "billet" */
    bool retryable;
};

/* The exit status of `billet run`: 0..255 as design section 13 says. */
int billet_ending_status(const struct billet_ending *ending);
/* {"code": 3} | {"signal": 9} ..., with timed_out, cancelled, origin, retryable, status. */
json_t *billet_ending_json(const struct billet_ending *ending);
json_t *billet_error_json(const struct billet_error *error);

/* Write one line; a closed or full channel is ignored. fd -1: nothing. Takes over object. */
void billet_status_write(int fd, const char *key, json_t *object);

#endif
