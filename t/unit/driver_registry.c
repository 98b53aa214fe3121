/* SPDX-License-Identifier: Apache-2.0 */
/* Which drivers there are and why one cannot be used, without running any of their code. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/io.h"
#include "driver/registry.h"

static char first[160];
static char second[160];
static char base[128];
static char config_file[160];
static struct billet_configuration *configuration;
static const char *directories[3];

static void
copy_driver(const char *directory, const char *from, const char *to)
{
    char command[8192];
    const char *build = getenv("top_builddir");
    snprintf(command, sizeof(command),
             "cp '%s/t/drivers/.libs/driver_%s.so' %s/driver_%s.so && chmod 0644 %s/driver_%s.so",
             build ? build : ".", from, directory, to, directory, to);
    ck_assert_int_eq(system(command), 0);
}

static void
set_up(void)
{
    static const char text[] = "[driver bad_new]\nenabled = yes\n[driver bad_abi]\nenabled = yes\n"
                               "[driver absent]\nenabled = yes\n[driver renamed]\nenabled = yes\n"
                               "[driver off]\nenabled = no\n";
    struct billet_error error = BILLET_ERROR_INIT;
    struct billet_diagnostics diagnostics = BILLET_DIAGNOSTICS_INIT;
    snprintf(base, sizeof(base), "/tmp/billet-registry-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(base));
    snprintf(first, sizeof(first), "%s/first", base);
    snprintf(second, sizeof(second), "%s/second", base);
    snprintf(config_file, sizeof(config_file), "%s/billet.conf", base);
    ck_assert_int_eq(mkdir(first, 0755), 0);
    ck_assert_int_eq(mkdir(second, 0755), 0);
    directories[0] = first;
    directories[1] = second;
    copy_driver(first, "bad_new", "bad_new");
    copy_driver(first, "bad_abi", "bad_abi");
    copy_driver(first, "bad_new", "renamed");
    copy_driver(second, "bad_new", "bad_new");
    copy_driver(second, "bad_old", "bad_old");
    ck_assert_int_eq(billet_io_replace_file(config_file, text, sizeof(text) - 1, 0644, &error), 0);
    static const char *const none[] = {NULL};
    struct billet_configuration_sources sources = {.file = config_file, .system = none};
    ck_assert_msg(billet_configuration_load(&sources, &configuration, &diagnostics, &error) == 0,
                  "%s", error.message);
    ck_assert_uint_eq(diagnostics.errors, 0);
    billet_diagnostics_free(&diagnostics);
}

static void
tear_down(void)
{
    char command[256];
    billet_configuration_free(configuration);
    snprintf(command, sizeof(command), "rm -rf %s", base);
    ck_assert_int_eq(system(command), 0);
}

START_TEST(every_driver_is_judged_by_name_order)
{
    static const struct {
        const char *name;
        int state;
        const char *code;
    } wanted[] = {{"absent", BILLET_DRIVER_MISSING, "driver_not_found"},
                  {"bad_abi", BILLET_DRIVER_BROKEN, "driver_wrong_abi"},
                  {"bad_new", BILLET_DRIVER_READY, ""},
                  {"bad_old", BILLET_DRIVER_DISABLED, "driver_disabled"},
                  {"renamed", BILLET_DRIVER_BROKEN, "driver_name_mismatch"}};
    struct billet_registry *registry = NULL;
    struct billet_error error = BILLET_ERROR_INIT;
    ck_assert_int_eq(billet_registry_open(directories, configuration, &registry, &error), 0);
    ck_assert_uint_eq(billet_registry_count(registry), 5);
    for (size_t i = 0; i < 5; i++) {
        const struct billet_driver_entry *entry = billet_registry_at(registry, i);
        ck_assert_str_eq(entry->name, wanted[i].name);
        ck_assert_int_eq(entry->state, wanted[i].state);
        ck_assert_str_eq(entry->code, wanted[i].code);
        ck_assert_int_ne(entry->reason[0], '\0');
    }
    const struct billet_driver_entry *entry = billet_registry_at(registry, 2);
    ck_assert(entry->has_note);
    ck_assert_ptr_nonnull(strstr(entry->reason, "installed twice"));
    ck_assert_ptr_nonnull(strstr(entry->reason, second));
    ck_assert_str_eq(entry->note.version, "0.1");
    ck_assert_ptr_eq(strstr(entry->path, first), entry->path);
    ck_assert_ptr_nonnull(
        strstr(billet_registry_at(registry, 3)->reason, "[driver bad_old] enabled = yes"));
    ck_assert_ptr_null(billet_registry_at(registry, 5));
    billet_registry_free(registry);
    billet_registry_free(NULL);
}
END_TEST

START_TEST(find_gives_the_reason)
{
    struct billet_driver_entry entry;
    struct billet_error error = BILLET_ERROR_INIT;
    ck_assert_int_eq(billet_registry_find(directories, configuration, "bad_new", &entry, &error),
                     0);
    ck_assert_int_eq(entry.state, BILLET_DRIVER_READY);
    ck_assert_int_lt(billet_registry_find(directories, configuration, "bad_old", &entry, &error),
                     0);
    ck_assert_str_eq(error.code, "driver_disabled");
    ck_assert_ptr_nonnull(strstr(error.hint, "[driver bad_old] enabled = yes"));
    ck_assert_int_lt(billet_registry_find(directories, configuration, "bad_abi", &entry, &error),
                     0);
    ck_assert_str_eq(error.code, "driver_broken");
    ck_assert_ptr_nonnull(strstr(error.message, "999."));
    ck_assert_int_lt(billet_registry_find(directories, configuration, "bad_nwe", &entry, &error),
                     0);
    ck_assert_str_eq(error.code, "driver_not_found");
    ck_assert_msg(strstr(error.hint, "'bad_new'") != NULL, "%s", error.hint);
    ck_assert_int_lt(billet_registry_find(directories, configuration, "../x", &entry, &error), 0);
    ck_assert_str_eq(error.code, "driver_not_found");
    /* without a configuration only what is enabled as shipped */
    ck_assert_int_lt(billet_registry_find(directories, NULL, "bad_new", &entry, &error), 0);
    ck_assert_str_eq(error.code, "driver_disabled");
}
END_TEST

START_TEST(an_untrusted_or_truncated_file_is_broken)
{
    char path[256];
    struct billet_driver_entry entry;
    struct billet_error error = BILLET_ERROR_INIT;
    snprintf(path, sizeof(path), "%s/driver_bad_new.so", first);
    ck_assert_int_eq(chmod(path, 0666), 0);
    ck_assert_int_lt(billet_registry_find(directories, configuration, "bad_new", &entry, &error),
                     0);
    ck_assert_str_eq(error.code, "driver_broken");
    ck_assert_str_eq(entry.code, "path_untrusted");
    ck_assert_int_eq(chmod(path, 0644), 0);
    ck_assert_int_eq(truncate(path, 5000), 0);
    ck_assert_int_lt(billet_registry_find(directories, configuration, "bad_new", &entry, &error),
                     0);
    ck_assert_str_eq(entry.code, "driver_truncated");
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("driver_registry");
    TCase *tests = tcase_create("registry");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, every_driver_is_judged_by_name_order);
    tcase_add_test(tests, find_gives_the_reason);
    tcase_add_test(tests, an_untrusted_or_truncated_file_is_broken);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_set_tap(runner, "-");
    srunner_run_all(runner, CK_SILENT);
    srunner_free(runner);
    return 0;
}
