/* SPDX-License-Identifier: Apache-2.0 */
/* Drivers that break one rule each are refused with one precise reason, and the rest still work. */
#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "driver/client.h"
#include "driver/operation.h"
#include "stride.h"

static struct billet_driver_paths paths;
static char host_program[4096];

static const char *
build(void)
{
    const char *directory = getenv("top_builddir");
    return directory != NULL ? directory : ".";
}

static int
load(const char *name, struct billet_driver_client **client, struct billet_error *error)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/t/drivers/.libs/driver_%s.so", build(), name);
    ck_assert_msg(chmod(path, 0755) == 0, "%s was not built", path);
    snprintf(host_program, sizeof(host_program), "%s/billet-driver-host", build());
    paths = (struct billet_driver_paths){.host_program = host_program};
    return billet_driver_start(name, path, &paths,
                               billet_clock_monotonic() + 20 * BILLET_NS_PER_SECOND, client, error);
}

static const struct {
    const char *name;
    int error_class;
    const char *code;
    const char *says;
} refused[] = {
    {"bad_abi", BILLET_CLASS_DRIVER, "driver_wrong_abi", "999."},
    {"bad_host_minor", BILLET_CLASS_DRIVER, "driver_wrong_abi", "1.77 or later"},
    {"bad_no_note", BILLET_CLASS_DRIVER, "driver_no_note", "carries no note"},
    {"bad_no_entry", BILLET_CLASS_DRIVER, "driver_no_entry", "billet_driver_init"},
    {"bad_note_name", BILLET_CLASS_DRIVER, "driver_name_mismatch", "another"},
    {"bad_table_name", BILLET_CLASS_DRIVER, "driver_name_mismatch", "somebody_else"},
    {"bad_undefined", BILLET_CLASS_DRIVER, "driver_load_failed", "billet_test_nobody_defines_this"},
    {"bad_required", BILLET_CLASS_DRIVER, "driver_bad_table", "required function release"},
    {"bad_callback", BILLET_CLASS_DRIVER, "driver_bad_table", "list without promising label"},
    {"bad_capability", BILLET_CLASS_DRIVER, "driver_bad_table", "resume without the function"},
    {"bad_capability_unknown", BILLET_CLASS_DRIVER, "driver_bad_table", "unknown capabilities"},
    {"bad_threads_low", BILLET_CLASS_DRIVER, "driver_bad_table", "needs thread model 3000"},
    {"bad_modes", BILLET_CLASS_DRIVER, "driver_bad_table", "workspace modes 0x200"},
    {"bad_schema", BILLET_CLASS_DRIVER, "driver_schema_invalid", "api_token"},
    {"bad_init_error", BILLET_CLASS_UNAVAILABLE, "driver_load_failed", "the moon is not full"},
    {"bad_init_silent", BILLET_CLASS_DRIVER, "driver_no_reason", "without a reason"},
    {"bad_init_crash", BILLET_CLASS_DRIVER, "driver_crashed", "killed by signal 6"},
};

START_TEST(a_driver_that_breaks_a_rule_is_refused)
{
    struct billet_error error = BILLET_ERROR_INIT;
    struct billet_driver_client *client = NULL;
    int result = load(refused[_i].name, &client, &error);
    ck_assert_msg(result == -refused[_i].error_class, "%s: %d %s", refused[_i].name, result,
                  error.message);
    ck_assert_ptr_null(client);
    ck_assert_str_eq(error.code, refused[_i].code);
    ck_assert_msg(strstr(error.message, refused[_i].says) != NULL, "%s", error.message);
    ck_assert_msg(strstr(error.message, refused[_i].name) != NULL, "%s", error.message);
}
END_TEST

START_TEST(a_wrong_abi_runs_not_even_a_constructor)
{
    char trace[] = "/tmp/billet-trace-XXXXXX";
    struct billet_error error = BILLET_ERROR_INIT;
    struct billet_driver_client *client = NULL;
    ck_assert_ptr_nonnull(mkdtemp(trace));
    char file[64];
    snprintf(file, sizeof(file), "%s/ran", trace);
    ck_assert_int_eq(setenv("T_CONSTRUCTOR_FILE", file, 1), 0);
    ck_assert_int_eq(load("bad_abi", &client, &error), -BILLET_CLASS_DRIVER);
    ck_assert_int_ne(access(file, F_OK), 0);
    rmdir(trace);
}
END_TEST

START_TEST(tables_of_another_size_and_unknown_thread_models_work)
{
    static const char *const names[] = {"bad_old", "bad_new", "bad_threads_unknown"};
    static const int threads[] = {BILLET_THREADS_SERIAL, BILLET_THREADS_SERIAL,
                                  BILLET_THREADS_PARALLEL};
    struct billet_error error = BILLET_ERROR_INIT;
    struct billet_driver_client *client = NULL;
    json_t *facts = NULL;
    int result = load(names[_i], &client, &error);
    ck_assert_msg(result == 0, "%s: %s", names[_i], error.message);
    const struct billet_driver_info *info = billet_driver_info(client);
    ck_assert_int_eq(info->thread_model, threads[_i]);
    /* What lies beyond an older table is not there, even if the bytes look like it. */
    ck_assert_uint_eq(info->callbacks & (1u << BILLET_OPERATION_dump), 0);
    ck_assert_uint_ne(info->callbacks & (1u << BILLET_OPERATION_exec), 0);
    result = billet_driver_dump(client, &(struct billet_driver_call){0}, &facts, &error);
    ck_assert_msg(result == 0, "%s", error.message);
    ck_assert_uint_eq(json_object_size(facts), 0);
    json_decref(facts);
    billet_driver_stop(client);
}
END_TEST

START_TEST(an_untrusted_file_is_refused)
{
    char directory[] = "/tmp/billet-trust-XXXXXX";
    char command[8192];
    char path[128];
    char link_path[128];
    struct billet_error error = BILLET_ERROR_INIT;
    struct billet_driver_client *client = NULL;
    snprintf(host_program, sizeof(host_program), "%s/billet-driver-host", build());
    paths = (struct billet_driver_paths){.host_program = host_program};
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/driver_bad_new.so", directory);
    snprintf(link_path, sizeof(link_path), "%s/link.so", directory);
    snprintf(command, sizeof(command), "cp '%s/t/drivers/.libs/driver_bad_new.so' %s", build(),
             path);
    ck_assert_int_eq(system(command), 0);
    ck_assert_int_eq(chmod(path, 0644), 0);
#define TRY(where) billet_driver_start("bad_new", where, &paths, 0, &client, &error)
    ck_assert_int_eq(TRY(path), 0);
    billet_driver_stop(client);
    ck_assert_int_eq(chmod(path, 0664), 0);
    ck_assert_int_eq(TRY(path), -BILLET_CLASS_AUTH);
    ck_assert_str_eq(error.code, "path_untrusted");
    ck_assert_int_eq(chmod(path, 0646), 0);
    ck_assert_int_eq(TRY(path), -BILLET_CLASS_AUTH);
    ck_assert_int_eq(chmod(path, 0644), 0);
    ck_assert_int_eq(chmod(directory, 0775), 0);
    ck_assert_int_eq(TRY(path), -BILLET_CLASS_AUTH);
    ck_assert_ptr_nonnull(strstr(error.message, directory));
    ck_assert_int_eq(chmod(directory, 0700), 0);
    ck_assert_int_eq(symlink(path, link_path), 0);
    ck_assert_int_eq(TRY(link_path), -BILLET_CLASS_AUTH);
    if (geteuid() == 0) {
        ck_assert_int_eq(chown(path, 65534, 65534), 0);
        ck_assert_int_eq(TRY(path), -BILLET_CLASS_AUTH);
        ck_assert_ptr_nonnull(strstr(error.message, "another user"));
    }
    unlink(link_path);
    unlink(path);
    rmdir(directory);
}
END_TEST

START_TEST(a_driver_exports_one_symbol)
{
    char command[8192];
    char line[256];
    int count = 0;
    snprintf(command, sizeof(command),
             "nm -D --defined-only '%s/t/drivers/.libs/driver_bad_new.so' 2>/dev/null", build());
    if (system("command -v nm >/dev/null") != 0 || unit_is_sanitized()) {
        printf("# the symbols of a driver were not looked at: no nm, or a build with sanitizers\n");
        fflush(stdout);
        return;
    }
    FILE *symbols = popen(command, "r");
    ck_assert_ptr_nonnull(symbols);
    while (fgets(line, sizeof(line), symbols) != NULL) {
        ck_assert_msg(strstr(line, " T billet_driver_init") != NULL, "%s", line);
        count++;
    }
    pclose(symbols);
    ck_assert_int_eq(count, 1);
}
END_TEST

START_TEST(table_and_capabilities_agree)
{
    for (const struct billet_capability *item = billet_capabilities; item->name != NULL; item++) {
        if (item->callback[0] == '\0')
            continue;
        int operation = billet_operation_by_name(item->callback);
        ck_assert_int_ge(operation, 0);
        ck_assert_uint_eq(billet_operations[operation].capability, item->bit);
    }
    for (int i = 0; i < BILLET_OPERATION_COUNT; i++) {
        bool found = billet_operations[i].capability == 0;
        for (const struct billet_capability *item = billet_capabilities; item->name != NULL; item++)
            found = found || (item->bit == billet_operations[i].capability &&
                              strcmp(item->callback, billet_operations[i].name) == 0);
        ck_assert_msg(found, "%s", billet_operations[i].name);
    }
    for (int mode = 0; mode <= BILLET_WORKSPACE_COPY; mode++)
        ck_assert_int_eq(billet_workspace_mode_by_name(billet_workspace_mode_name(mode)), mode);
    ck_assert_int_eq(billet_workspace_mode_by_name("mirror"), -1);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("driver_load");
    TCase *tests = tcase_create("load");
    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, a_driver_that_breaks_a_rule_is_refused, 0,
                        (int)(sizeof(refused) / sizeof(refused[0])));
    tcase_add_test(tests, a_wrong_abi_runs_not_even_a_constructor);
    tcase_add_loop_test(tests, tables_of_another_size_and_unknown_thread_models_work, 0, 3);
    tcase_add_test(tests, an_untrusted_file_is_refused);
    tcase_add_test(tests, a_driver_exports_one_symbol);
    tcase_add_test(tests, table_and_capabilities_agree);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_set_tap(runner, "-");
    srunner_run_all(runner, CK_SILENT);
    srunner_free(runner);
    return 0;
}
