/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run_fixture.h - what a verb stands on, for tests: a context over the built host, drivers and
 * store modules, with a configuration, a state directory and a workspace of the test's own.
 */
#ifndef BILLET_UNIT_RUN_FIXTURE_H
#define BILLET_UNIT_RUN_FIXTURE_H

#include "base/error.h"
#include "run/context.h"
#include "unit_fixture.h"

static char *scratch;
static struct billet_context *context;
static struct billet_error error = BILLET_ERROR_INIT;

#define assert_ok(call)                                                                     \
    do {                                                                                    \
        billet_error_clear(&error);                                                         \
        int assert_result = (call);                                                         \
        ck_assert_msg(assert_result == 0, "%s: %s (%s)", #call, error.message, error.code); \
    } while (0)

/* Fails with that id, and what it returns is what the error says. */
#define assert_fails(call, wanted)                                                  \
    do {                                                                            \
        billet_error_clear(&error);                                                 \
        int assert_result = (call);                                                 \
        ck_assert_msg(assert_result < 0, "%s succeeded, wanted %s", #call, wanted); \
        ck_assert_str_eq(error.code, wanted);                                       \
        ck_assert_int_eq(assert_result, -error.error_class);                        \
        ck_assert_str_ne(error.message, "");                                        \
    } while (0)

static inline const char *
in_scratch(const char *name)
{
    static char path[4][PATH_MAX];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], PATH_MAX, "%s/%s", scratch, name);
    return path[turn];
}

/* Open the context with this text as the only configuration file. */
static inline int
context_open(const char *configuration, const char *tenant)
{
    struct billet_context_request request = {.config = in_scratch("billet.conf"), .tenant = tenant};
    unit_write_file(in_scratch("billet.conf"), configuration, 0644);
    return billet_context_open(&request, false, &context, &error);
}

static inline void
context_reopen(const char *configuration, const char *tenant)
{
    billet_context_close(context);
    context = NULL;
    assert_ok(context_open(configuration, tenant));
}

static inline void
run_set_up(void)
{
    char directory[PATH_MAX + 8];
    char real[PATH_MAX];
    const char *build = getenv("top_builddir");
    scratch = unit_make_scratch();
    ck_assert_ptr_nonnull(realpath(build != NULL ? build : ".", real));
    ck_assert_int_eq(setenv("BILLET_LIBEXEC_DIR", real, 1), 0);
    snprintf(directory, sizeof(directory), "%s/.libs", real);
    ck_assert_int_eq(setenv("BILLET_DRIVER_DIR", directory, 1), 0);
    ck_assert_int_eq(setenv("BILLET_STORE_DIR", directory, 1), 0);
    ck_assert_int_eq(setenv("BILLET_STATE_DIR", in_scratch("state"), 1), 0);
    ck_assert_int_eq(setenv("BILLET_RUNTIME_DIR", in_scratch("runtime"), 1), 0);
    unsetenv("BILLET_CONFIG");
    unsetenv("BILLET_STORE");
    ck_assert_int_eq(mkdir(in_scratch("workspace"), 0755), 0);
}

static inline void
run_tear_down(void)
{
    billet_context_close(context);
    context = NULL;
    unit_remove_scratch(scratch);
}

#endif
