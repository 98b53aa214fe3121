/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the sandbox driver that need no sandbox: options, id maps, the judgement of mounts.
 */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../drivers/sandbox/check.h"
#include "../../drivers/sandbox/identity.h"
#include "../../drivers/sandbox/lease.h"
#include "../../drivers/sandbox/options.h"
#include "../../drivers/sandbox/path.h"

START_TEST(dangerous_paths_are_refused)
{
    static const char *const refused[] = {
        "/",        "/proc", "/proc/1", "/sys/kernel", "/run/x.sock",
        "/dev/sda", "/etc",  "/home",   "/root/.ssh",  "/var/run/docker.sock"};
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        ck_assert_msg(sandbox_config_refuses(refused[i]) != NULL, "%s", refused[i]);
    static const char *const shown[] = {"/opt/tool", "/home/me/x", "/etc/hosts", "/procedures",
                                        "/running",  "/tmp/x",     "/device"};
    for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++)
        ck_assert_msg(sandbox_config_refuses(shown[i]) == NULL, "%s", shown[i]);
}
END_TEST

static int
read_only(const char *path)
{
    const char *const list[] = {path, NULL};
    struct billet_value value = {
        .name = "read_only", .type = BILLET_OPTION_LIST, .is_set = 1, .list = list};
    struct billet_config from = {.struct_size = sizeof(from), .values = &value, .count = 1};
    struct sandbox_config config;
    struct billet_error error = BILLET_ERROR_INIT;
    return sandbox_config_read(&from, &config, &error);
}

START_TEST(paths_that_hide_what_they_are_are_refused)
{
    ck_assert_int_eq(read_only("/opt/tool"), 0);
    ck_assert_int_eq(read_only("/opt/../proc"), -BILLET_CLASS_CONFIG);
    ck_assert_int_eq(read_only("/opt//x"), -BILLET_CLASS_CONFIG);
    ck_assert_int_eq(read_only("/opt/.."), -BILLET_CLASS_CONFIG);
    ck_assert_int_eq(read_only("opt"), -BILLET_CLASS_CONFIG);
    ck_assert_int_eq(read_only("/opt/"), -BILLET_CLASS_CONFIG);
}
END_TEST

START_TEST(defaults_are_strict)
{
    struct billet_config none = {.struct_size = sizeof(none)};
    struct sandbox_config config;
    ck_assert_int_eq(sandbox_config_read(&none, &config, NULL), 0);
    ck_assert(!config.allow_degraded);
    ck_assert(!config.shared_network);
    ck_assert_int_gt(config.memory_max, 0);
    ck_assert_int_gt(config.pids_max, 0);
    ck_assert_uint_ge(config.uid_base, 1000);
}
END_TEST

/* Where the map sends an id, -1: nowhere. */
static long
mapped(const char *text, unsigned long id)
{
    unsigned long first, lower, count;
    for (const char *line = text; *line != '\0'; line = strchr(line, '\n') + 1)
        if (sscanf(line, "%lu %lu %lu", &first, &lower, &count) == 3 && id >= first &&
            id - first < count)
            return (long)(lower + id - first);
    return -1;
}

START_TEST(public_paths_can_be_gone_by_everybody)
{
    char base[] = "/tmp/billet-public-XXXXXX", directory[128], file[256], other[80];
    ck_assert_ptr_nonnull(mkdtemp(base));
    ck_assert_int_eq(chmod(base, 0755), 0);
    snprintf(directory, sizeof(directory), "%s/in", base);
    snprintf(file, sizeof(file), "%s/program", directory);
    snprintf(other, sizeof(other), "%s/link", base);
    ck_assert_int_eq(mkdir(directory, 0755), 0);
    ck_assert_int_eq(chmod(directory, 0711), 0);
    ck_assert(!sandbox_path_is_public(file)); /* not there */
    int fd = open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0755);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fchmod(fd, 0755), 0);
    ck_assert(sandbox_path_is_public(file));
    ck_assert(!sandbox_path_is_public(directory));
    ck_assert(!sandbox_path_is_public(file + 1));
    static const mode_t closed[] = {0750, 0754, 0751};
    for (size_t i = 0; i < sizeof(closed) / sizeof(closed[0]); i++) {
        ck_assert_int_eq(fchmod(fd, closed[i]), 0);
        ck_assert(!sandbox_path_is_public(file));
    }
    ck_assert_int_eq(fchmod(fd, 0755), 0);
    ck_assert_int_eq(chmod(directory, 0770), 0);
    ck_assert(!sandbox_path_is_public(file));
    ck_assert_int_eq(chmod(directory, 0755), 0);
    ck_assert_int_eq(symlink(directory, other), 0);
    snprintf(file, sizeof(file), "%s/program", other);
    ck_assert(!sandbox_path_is_public(file));
    close(fd);
    unlink(file);
    unlink(other);
    snprintf(directory, sizeof(directory), "%s/in", base);
    rmdir(directory);
    rmdir(base);
}
END_TEST

START_TEST(only_the_owner_is_mapped_elsewhere)
{
    char text[256];
    static const unsigned long owners[] = {0, 1000, 65534};
    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_eq(sandbox_identity_map_text(text, sizeof(text), owners[i], 1900000000), 0);
        ck_assert_int_eq(mapped(text, owners[i]), 1900000000);
        ck_assert_int_eq(mapped(text, 1900000000), -1);
        ck_assert_int_eq(mapped(text, 1900000001), 1900000001);
        ck_assert_int_eq(mapped(text, 33), 33);
        ck_assert_int_eq(mapped(text, 4294967295ul), -1);
    }
    ck_assert_int_lt(sandbox_identity_map_text(text, sizeof(text), 5, 5), 0);
    ck_assert_int_lt(sandbox_identity_map_text(text, 8, 0, 1900000000), 0);
}
END_TEST

static const char *
judge(const char *line)
{
    static const char *const mounts[] = {"/usr", "/etc/ld.so.cache", "/run/a b\\c"};
    static char copy[512];
    snprintf(copy, sizeof(copy), "%s", line);
    return sandbox_check_mount(copy, mounts, 3);
}

START_TEST(mounts_are_judged)
{
    ck_assert_ptr_null(judge("1 0 0:1 / / ro,nosuid,nodev - tmpfs x rw"));
    ck_assert_str_eq(judge("1 0 0:1 / / rw,nosuid,nodev - tmpfs x rw"), "read-only root");
    ck_assert_ptr_null(judge("2 1 8:1 /usr /usr ro,nosuid,nodev - ext4 x rw"));
    ck_assert_str_eq(judge("2 1 8:1 /usr /usr rw,nosuid,nodev - ext4 x rw"), "read-only mounts");
    ck_assert_str_eq(judge("2 1 8:1 /usr /usr ro,nodev - ext4 x rw"), "nosuid");
    ck_assert_str_eq(judge("2 1 8:1 /usr /usr ro,nosuid - ext4 x rw"), "nodev");
    ck_assert_ptr_null(judge("2 1 8:1 /w /work rw,nosuid,nodev - ext4 x rw"));
    ck_assert_str_eq(judge("2 1 8:1 /w /work rw,nosuid - ext4 x rw"), "nodev");
    ck_assert_str_eq(judge("2 1 8:1 /h /home ro,nosuid,nodev - ext4 x rw"), "only expected mounts");
    ck_assert_str_eq(judge("2 1 8:1 /h /usrx ro,nosuid,nodev - ext4 x rw"), "only expected mounts");
    ck_assert_ptr_null(judge("2 1 8:1 /x /run/a\\040b\\134c ro,nosuid,nodev - ext4 x rw"));
    ck_assert_str_eq(judge("2 1 8:1 /x /run/a\\040b\\134c rw,nosuid,nodev - ext4 x rw"),
                     "read-only mounts");
    ck_assert_str_eq(judge("2 1 8:1 /x /run/a\\040b ro,nosuid,nodev - ext4 x rw"),
                     "only expected mounts");
    ck_assert_str_eq(judge("2 1"), "mounts");
}
END_TEST

START_TEST(references_name_leases)
{
    char id[SANDBOX_ID_SIZE];
    struct billet_identity identity = {.struct_size = sizeof(identity), .lease = "abc"};
    ck_assert(sandbox_lease_id("sandbox:x-1", NULL, id));
    ck_assert_str_eq(id, "x-1");
    ck_assert(sandbox_lease_id("", &identity, id));
    ck_assert_str_eq(id, "abc");
    ck_assert(!sandbox_lease_id("", NULL, id));
    ck_assert(!sandbox_lease_id("sandbox:../x", NULL, id));
    ck_assert(!sandbox_lease_id("sandbox:uids", NULL, id));
    ck_assert(!sandbox_lease_id("local:x", &identity, id));
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("sandbox_parts");
    TCase *tests = tcase_create("parts");
    suite_add_tcase(suite, tests);
    tcase_add_test(tests, dangerous_paths_are_refused);
    tcase_add_test(tests, paths_that_hide_what_they_are_are_refused);
    tcase_add_test(tests, defaults_are_strict);
    tcase_add_test(tests, public_paths_can_be_gone_by_everybody);
    tcase_add_test(tests, only_the_owner_is_mapped_elsewhere);
    tcase_add_test(tests, mounts_are_judged);
    tcase_add_test(tests, references_name_leases);
    SRunner *runner = srunner_create(suite);
    srunner_set_tap(runner, "-");
    srunner_run_all(runner, CK_SILENT);
    srunner_free(runner);
    return 0;
}
