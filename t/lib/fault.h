/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault.h - the one loop of tests that take memory away: run a step with its Nth allocation
 * failing, for every N until the step makes fewer.
 *
 * Reaches the calls of the code that is linked into the test (the linker's --wrap, see
 * core/run/Makemodule.am), and jansson through its hook; not what the C library and SQLite
 * allocate for themselves. Leaks are found by a build with sanitizers, in which this works
 * just the same.
 */
#ifndef BILLET_FAULT_H
#define BILLET_FAULT_H

#include <billet/types.h>
#include <stdbool.h>

/* Everything from set-up to clean-up; returns what the code under test returned. */
typedef int fault_step(void *context, struct billet_error *error);

/*
 * Once with the Nth allocation alone failing, once with all from the Nth on. A step that fails must
 * do so with class CAPACITY, return what its error says, and give a message; one may also succeed
 * (what it did without was not needed). Fails the check test that calls it otherwise. Returns how
 * many allocations the step makes.
 */
unsigned fault_each_allocation(const char *name, fault_step *step, void *context);

/* For a step: let all allocations through from here on (clean-up, reference results). */
void fault_disarm(void);

#endif
