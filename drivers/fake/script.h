/* SPDX-License-Identifier: Apache-2.0 */
/*
 * script.h - what the fake driver is told to do wrong: entries "OP:ACTION[:ARG[:COUNT]]".
 */
#ifndef FAKE_SCRIPT_H
#define FAKE_SCRIPT_H

#include <billet/driver.h>

/* Check all entries of the option script; error says which and why. */
int fake_script_check(const struct billet_call *call, struct billet_error *error);

/* Carry out the entries for an operation before its effect (delay, fail, crashes) / after it (lose,
 * wrong results). directory keeps the counts. Returns 0 to go on; 1: return *answer. */
int fake_script_before(const struct billet_call *call, const char *operation, const char *directory,
                       int32_t *answer, struct billet_error *error);
int fake_script_after(const struct billet_call *call, const char *operation, const char *directory,
                      int32_t *answer, struct billet_error *error);
/* Is there such an entry (bad_ref, bad_outcome ...)? */
int fake_script_has(const struct billet_call *call, const char *operation, const char *action);

/* The sum of the delays of exec, which it waits by itself. */
int64_t fake_script_delay(const struct billet_call *call, const char *operation);

/* Wait until the time has passed or cancel_fd is readable: 0 or 1. */
int fake_wait(int64_t ns, int cancel_fd);

/* Fill *error and return -class. */
int fake_fail(struct billet_error *error, int error_class, const char *code, const char *format,
              ...) __attribute__((format(printf, 4, 5)));

#endif
