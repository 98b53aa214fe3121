/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_fixture.h - a store for a test: the one that BILLET_TEST_STORE names, else
 * SQLite in a directory of its own; and short ways to make rows.
 *
 * Everything goes through the module's table, so that one suite proves every engine.
 */
#ifndef BILLET_T_STORE_FIXTURE_H
#define BILLET_T_STORE_FIXTURE_H

#include <check.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/uuid.h"
#include "store/store.h"

#define SECOND BILLET_NS_PER_SECOND
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static char fixture_directory[PATH_MAX];
static char fixture_path[PATH_MAX + 64]; /* "" when the store is not SQLite */
static char fixture_url[PATH_MAX + 128];
static char fixture_modules[PATH_MAX];
static struct billet_error fixture_error = BILLET_ERROR_INIT;

#define assert_ok(call)                                                                \
    do {                                                                               \
        billet_error_clear(&fixture_error);                                            \
        int assert_result = (call);                                                    \
        ck_assert_msg(assert_result == 0, "%s: %s (%s)", #call, fixture_error.message, \
                      fixture_error.code);                                             \
    } while (0)

#define assert_fails(call, wanted)                                                  \
    do {                                                                            \
        billet_error_clear(&fixture_error);                                         \
        int assert_result = (call);                                                 \
        ck_assert_msg(assert_result < 0, "%s succeeded, wanted %s", #call, wanted); \
        ck_assert_str_eq(fixture_error.code, wanted);                               \
        ck_assert_int_eq(assert_result, -fixture_error.error_class);                \
        ck_assert_str_ne(fixture_error.message, "");                                \
    } while (0)

static inline void
fixture_setup(void)
{
    const char *build = getenv("top_builddir");
    const char *temporary = getenv("TMPDIR");
    const char *url = getenv("BILLET_TEST_STORE");
    char modules[PATH_MAX];
    snprintf(modules, sizeof(modules), "%s/.libs", build != NULL ? build : ".");
    ck_assert_msg(realpath(modules, fixture_modules) != NULL, "no %s", modules);
    snprintf(fixture_directory, sizeof(fixture_directory), "%s/billet-store-XXXXXX",
             temporary != NULL ? temporary : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(fixture_directory));
    fixture_path[0] = '\0';
    if (url == NULL)
        snprintf(fixture_path, sizeof(fixture_path), "%s/billet.db", fixture_directory);
    if (url != NULL)
        snprintf(fixture_url, sizeof(fixture_url), "%s", url);
    else
        snprintf(fixture_url, sizeof(fixture_url), "sqlite:%s", fixture_path);
}

static inline int
fixture_remove_one(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)status, (void)kind, (void)walk;
    return remove(path);
}

static inline void
fixture_teardown(void)
{
    nftw(fixture_directory, fixture_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline struct billet_store *
fixture_open(void)
{
    struct billet_store *store = NULL;
    assert_ok(billet_store_open(fixture_modules, fixture_url, true, &store, &fixture_error));
    return store;
}

/* A lease row with a new id in *id. */
static inline struct billet_lease
fixture_lease(char id[BILLET_UUID_SIZE])
{
    billet_uuid_make(id);
    return (struct billet_lease){
        .id = id,
        .tenant = (char *)"default",
        .environment = (char *)"local",
        .driver = (char *)"local",
        .policy = (char *)"ephemeral",
        .facts = (char *)"{}",
        .configuration = (char *)"{}",
        .owner = (char *)"somebody",
    };
}

static inline struct billet_activity
fixture_activity(const char *lease, const char *action, int64_t fence)
{
    return (struct billet_activity){.action = action,
                                    .tenant = "default",
                                    .environment = "local",
                                    .lease = lease,
                                    .actor = "user:test",
                                    .fence = fence,
                                    .details = "{}"};
}

static inline int
fixture_insert(struct billet_store *store, char id[BILLET_UUID_SIZE])
{
    struct billet_lease lease = fixture_lease(id);
    struct billet_activity activity = fixture_activity(id, "lease.requested", 1);
    return billet_store_of(store)->lease_insert(store, &lease, 60 * SECOND, &activity, 1,
                                                &fixture_error);
}

/* One step of the state machine with the activity row that belongs to it. */
static inline int
fixture_change(struct billet_store *store, const char *id, enum billet_lease_state from,
               int64_t fence, enum billet_lease_state to, const char *action)
{
    struct billet_lease_change change = {
        .id = id,
        .expected = from,
        .fence = fence,
        .state = to,
        .ref = to == BILLET_LEASE_ACTIVE ? "resource" : NULL,
    };
    struct billet_activity activity = fixture_activity(id, action, fence);
    return billet_store_of(store)->lease_change(store, &change, &activity, action != NULL, NULL,
                                                &fixture_error);
}

static inline void
fixture_check_clean(struct billet_store *store)
{
    struct billet_strings found = BILLET_STRINGS_INIT;
    assert_ok(billet_store_of(store)->check(store, &found, &fixture_error));
    ck_assert_msg(found.count == 0, "%zu findings, first: %s", found.count,
                  found.count > 0 ? found.items[0] : "");
    billet_strings_free(&found);
}

static inline int
fixture_run(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_set_tap(runner, "-");
    srunner_run_all(runner, CK_SILENT);
    srunner_free(runner);
    return 0;
}

#endif
