/* SPDX-License-Identifier: Apache-2.0 */
/* No room: the call says so, changed nothing, and works again when there is room. */
#include "store_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

static void
setup(void)
{
    fixture_setup();
}

static void
teardown(void)
{
    fixture_teardown();
}

/* Insert until it fails; how many went in. */
static int64_t
fill(struct billet_store *store)
{
    char id[BILLET_UUID_SIZE];
    for (int64_t i = 0; i < 5000; i++)
        if (fixture_insert(store, id) < 0)
            return i;
    ck_abort_msg("never full");
}

static void
check_full(struct billet_store *store, int64_t inserted)
{
    struct billet_store_info info;
    ck_assert_msg(fixture_error.error_class == BILLET_CLASS_CAPACITY, "%s (%s)",
                  fixture_error.message, fixture_error.code);
    ck_assert_str_eq(fixture_error.code, "store_full");
    ck_assert_ptr_nonnull(strstr(fixture_error.message, "billet.db"));
    assert_ok(billet_store_of(store)->info(store, &info, &fixture_error));
    ck_assert_int_eq(info.leases_total, inserted);
    ck_assert_int_eq(info.activities, inserted);
}

START_TEST(a_file_size_limit_is_reported_and_survived)
{
    struct billet_store *store = fixture_open();
    struct rlimit old, tight;
    char id[BILLET_UUID_SIZE];
    ck_assert_ptr_ne(signal(SIGXFSZ, SIG_IGN), SIG_ERR);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &old), 0);
    tight = (struct rlimit){.rlim_cur = 400 * 1024, .rlim_max = old.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &tight), 0);
    int64_t inserted = fill(store);
    check_full(store, inserted);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_ok(fixture_insert(store, id));
    fixture_check_clean(store);
    billet_store_close(store);
}
END_TEST

START_TEST(a_full_disk_is_reported_and_survived)
{
    char mount_point[PATH_MAX + 16], id[BILLET_UUID_SIZE];
    snprintf(mount_point, sizeof(mount_point), "%s/small", fixture_directory);
    ck_assert_int_eq(mkdir(mount_point, 0700), 0);
    ck_assert_int_eq(mount("small", mount_point, "tmpfs", 0, "size=1m,mode=0700"), 0);
    snprintf(fixture_path, sizeof(fixture_path), "%s/billet.db", mount_point);
    snprintf(fixture_url, sizeof(fixture_url), "sqlite:%s", fixture_path);
    struct billet_store *store = fixture_open();
    int64_t inserted = fill(store);
    check_full(store, inserted);
    ck_assert_int_eq(mount("small", mount_point, "tmpfs", MS_REMOUNT, "size=8m,mode=0700"), 0);
    assert_ok(fixture_insert(store, id));
    fixture_check_clean(store);
    billet_store_close(store);
    ck_assert_int_eq(umount2(mount_point, MNT_DETACH), 0);
}
END_TEST

/* A mount of our own, seen by nobody else and gone with us. */
static bool
can_mount(void)
{
    return geteuid() == 0 && unshare(CLONE_NEWNS) == 0 &&
           mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

int
main(void)
{
    Suite *suite = suite_create("store full");
    TCase *tests = tcase_create("full");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, a_file_size_limit_is_reported_and_survived);
    if (can_mount())
        tcase_add_test(tests, a_full_disk_is_reported_and_survived);
    else
        puts("# skipped: a full disk needs root and a mount namespace");
    suite_add_tcase(suite, tests);
    return fixture_run(suite);
}
