/* SPDX-License-Identifier: Apache-2.0 */
/* Finding and loading the module, opening, creating, and refusing the database. */
#include "store_fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
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

static int
try_open(const char *directories, const char *url, enum billet_store_mode mode)
{
    struct billet_store *store = NULL;
    int result = billet_store_open(directories, url, mode, &store, &fixture_error);
    billet_store_close(store);
    return result;
}

START_TEST(urls_that_name_no_database_are_refused)
{
    static const char *const urls[] = {
        "",
        "/path",
        "sqlite",
        "SQLITE:/x",
        "sqlite:relative",
        "sqlite:/x/",
        "sqlite:/x?",
        "sqlite:/x?no=1",
        "sqlite:/x?lock_timeout=",
        "sqlite:",
        "sqlite:/x?lock_timeout=2h",
    };
    for (size_t i = 0; i < COUNT(urls); i++)
        assert_fails(try_open(fixture_modules, urls[i], BILLET_STORE_USE), "store_url_invalid");
}
END_TEST

START_TEST(a_missing_module_is_named_with_its_remedy)
{
    assert_fails(try_open(fixture_modules, "unknown:/x", BILLET_STORE_USE), "store_module_missing");
    ck_assert_ptr_nonnull(strstr(fixture_error.hint, "--with-store=unknown"));
    assert_fails(try_open("/nowhere:/nothing", fixture_url, BILLET_STORE_USE),
                 "store_module_missing");
}
END_TEST

START_TEST(the_first_directory_of_the_list_that_has_the_module_serves_it)
{
    char list[PATH_MAX + 100];
    snprintf(list, sizeof(list), "/nowhere:%s", fixture_modules);
    assert_ok(try_open(list, fixture_url, BILLET_STORE_CREATE));
}
END_TEST

static void
write_file(const char *path, const char *text, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    ck_assert_int_eq(fchmod(fd, mode), 0);
    close(fd);
}

START_TEST(a_module_that_is_no_module_or_not_trusted_is_refused)
{
    char path[PATH_MAX + 32], list[2 * PATH_MAX + 2];
    snprintf(path, sizeof(path), "%s/store_sqlite.so", fixture_directory);
    write_file(path, "not an ELF file", 0644);
    assert_fails(try_open(fixture_directory, "sqlite:/x", BILLET_STORE_USE), "store_module_broken");
    write_file(path, "not an ELF file", 0666);
    /* Nor is the next directory tried: the odd file must be seen. */
    snprintf(list, sizeof(list), "%s:%s", fixture_directory, fixture_modules);
    assert_fails(try_open(list, "sqlite:/x", BILLET_STORE_USE), "path_untrusted");
}
END_TEST

START_TEST(a_database_is_made_only_when_asked_for_and_only_for_its_owner)
{
    char url[PATH_MAX + 192], path[PATH_MAX + 64];
    struct stat status;
    snprintf(path, sizeof(path), "%s/a/b/billet.db", fixture_directory);
    snprintf(url, sizeof(url), "sqlite:%s?lock_timeout=5s", path);
    umask(0);
    assert_fails(try_open(fixture_modules, url, BILLET_STORE_USE), "store_missing");
    ck_assert_int_ne(stat(path, &status), 0);
    assert_ok(try_open(fixture_modules, url, BILLET_STORE_CREATE));
    assert_ok(try_open(fixture_modules, url, BILLET_STORE_USE));
    static const char *const suffixes[] = {"", "-wal", "-shm", ".lock"};
    for (size_t i = 0; i < COUNT(suffixes); i++) {
        char file[PATH_MAX + 80];
        snprintf(file, sizeof(file), "%s%s", path, suffixes[i]);
        ck_assert_int_eq(stat(file, &status), 0);
        ck_assert_int_eq(status.st_mode & 07777, 0600);
    }
    snprintf(path, sizeof(path), "%s/a", fixture_directory);
    ck_assert_int_eq(stat(path, &status), 0);
    ck_assert_int_eq(status.st_mode & 07777, 0700);
}
END_TEST

static void
run_sql(const char *path, const char *sql)
{
    sqlite3 *db;
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    ck_assert_msg(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK, "%s", sqlite3_errmsg(db));
    sqlite3_close(db);
}

START_TEST(newer_foreign_and_empty_databases_are_refused)
{
    assert_ok(try_open(fixture_modules, fixture_url, BILLET_STORE_CREATE));
    run_sql(fixture_path, "PRAGMA user_version = 999");
    assert_fails(try_open(fixture_modules, fixture_url, BILLET_STORE_USE), "store_newer");
    assert_fails(try_open(fixture_modules, fixture_url, BILLET_STORE_CREATE), "store_newer");
    ck_assert_ptr_nonnull(strstr(fixture_error.message, "999"));
    run_sql(fixture_path, "PRAGMA user_version = 1; PRAGMA application_id = 7");
    assert_fails(try_open(fixture_modules, fixture_url, BILLET_STORE_USE), "store_corrupt");

    char url[PATH_MAX + 192], path[PATH_MAX + 32];
    snprintf(path, sizeof(path), "%s/other.db", fixture_directory);
    snprintf(url, sizeof(url), "sqlite:%s", path);
    write_file(path, "", 0600);
    assert_fails(try_open(fixture_modules, url, BILLET_STORE_USE), "store_missing");
    run_sql(path, "CREATE TABLE theirs(x)");
    assert_fails(try_open(fixture_modules, url, BILLET_STORE_USE), "store_corrupt");
    assert_fails(try_open(fixture_modules, url, BILLET_STORE_CREATE), "store_corrupt");
    write_file(path, "this is no database but a text of some length, long enough", 0600);
    assert_fails(try_open(fixture_modules, url, BILLET_STORE_CREATE), "store_corrupt");
    write_file(path, "", 0666);
    assert_fails(try_open(fixture_modules, url, BILLET_STORE_CREATE), "path_untrusted");
}
END_TEST

START_TEST(who_may_not_write_is_told_so)
{
    /* As root: nobody before a directory of root; else a directory that forbids it. */
    char url[PATH_MAX + 192], path[PATH_MAX + 32];
    snprintf(path, sizeof(path), "%s/locked", fixture_directory);
    ck_assert_int_eq(chmod(fixture_directory, 0755), 0);
    ck_assert_int_eq(mkdir(path, 0755), 0);
    snprintf(url, sizeof(url), "sqlite:%s/billet.db", path);
    assert_ok(try_open(fixture_modules, url, BILLET_STORE_CREATE));
    ck_assert_int_eq(chmod(path, 0555), 0);
    if (getuid() == 0) {
        /* The module is loaded already, whoever may read its directory. */
        char file[PATH_MAX + 64];
        snprintf(file, sizeof(file), "%s/billet.db", path);
        ck_assert_int_eq(chmod(file, 0644), 0);
        pid_t child = fork();
        if (child == 0) {
            struct billet_store *store = fixture_open();
            const struct billet_store_module *module = billet_store_of(store);
            struct billet_store *none = NULL;
            ck_assert_int_eq(seteuid(65534), 0);
            assert_fails(module->open(url, BILLET_STORE_CREATE, &none, &fixture_error),
                         "store_denied");
            _exit(0);
        }
        int status;
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert_int_eq(status, 0);
    } else {
        assert_fails(try_open(fixture_modules, url, BILLET_STORE_CREATE), "store_denied");
    }
    ck_assert_int_eq(chmod(path, 0755), 0);
}
END_TEST

START_TEST(a_held_lock_ends_the_wait_in_time_and_names_its_holder)
{
    char url[PATH_MAX + 320], lock_path[PATH_MAX + 80], pid[32];
    char id[BILLET_UUID_SIZE];
    int ready[2];
    char byte;
    struct billet_store *store = NULL;
    snprintf(url, sizeof(url), "%s?lock_timeout=300ms", fixture_url);
    snprintf(lock_path, sizeof(lock_path), "%s.lock", fixture_path);
    assert_ok(billet_store_open(fixture_modules, url, BILLET_STORE_CREATE, &store, &fixture_error));
    ck_assert_int_eq(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 1, .l_len = 1};
        int fd = open(lock_path, O_RDWR);
        if (fcntl(fd, F_OFD_SETLK, &lock) != 0 || write(ready[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    ck_assert_int_eq(read(ready[0], &byte, 1), 1);
    int64_t start = billet_clock_monotonic();
    assert_fails(fixture_insert(store, id), "store_busy");
    int64_t took = billet_clock_monotonic() - start;
    ck_assert_int_ge(took, SECOND / 4);
    ck_assert_int_lt(took, 10 * SECOND);
    ck_assert_int_eq(fixture_error.error_class, BILLET_CLASS_TIMEOUT);
    ck_assert_int_eq(fixture_error.retryable, 1);
    snprintf(pid, sizeof(pid), "process %ld", (long)child);
    ck_assert_msg(strstr(fixture_error.message, pid) != NULL, "%s", fixture_error.message);
    /* A dead process holds nothing, and the queue is as it was. */
    ck_assert_int_eq(kill(child, SIGKILL), 0);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    assert_ok(fixture_insert(store, id));
    billet_store_close(store);
}
END_TEST

START_TEST(processes_that_create_at_once_make_one_database)
{
    enum { CHILDREN = 8 };
    pid_t children[CHILDREN];
    for (int i = 0; i < CHILDREN; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            char id[BILLET_UUID_SIZE];
            struct billet_store *store = fixture_open();
            assert_ok(fixture_insert(store, id));
            billet_store_close(store);
            _exit(0);
        }
    }
    for (int i = 0; i < CHILDREN; i++) {
        int status;
        ck_assert_int_eq(waitpid(children[i], &status, 0), children[i]);
        ck_assert_int_eq(status, 0);
    }
    struct billet_store_info info;
    struct billet_store *store = fixture_open();
    assert_ok(billet_store_of(store)->info(store, &info, &fixture_error));
    ck_assert_int_eq(info.leases_total, CHILDREN);
    ck_assert_int_eq(info.schema, info.schema_wanted);
    ck_assert(billet_uuid_is_valid(info.deployment));
    char deployment[40] = "";
    assert_ok(billet_store_of(store)->deployment(store, deployment, &fixture_error));
    ck_assert_str_eq(deployment, info.deployment);
    fixture_check_clean(store);
    billet_store_close(store);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("store open");
    TCase *tests = tcase_create("open");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, urls_that_name_no_database_are_refused);
    tcase_add_test(tests, a_missing_module_is_named_with_its_remedy);
    tcase_add_test(tests, the_first_directory_of_the_list_that_has_the_module_serves_it);
    tcase_add_test(tests, a_module_that_is_no_module_or_not_trusted_is_refused);
    tcase_add_test(tests, a_database_is_made_only_when_asked_for_and_only_for_its_owner);
    tcase_add_test(tests, newer_foreign_and_empty_databases_are_refused);
    tcase_add_test(tests, who_may_not_write_is_told_so);
    tcase_add_test(tests, a_held_lock_ends_the_wait_in_time_and_names_its_holder);
    tcase_add_test(tests, processes_that_create_at_once_make_one_database);
    suite_add_tcase(suite, tests);
    return fixture_run(suite);
}
