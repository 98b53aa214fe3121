/* SPDX-License-Identifier: Apache-2.0 */
/* What a look at a tree finds: rules for names, patterns, manifests, what stays at home. */
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/spawn.h"
#include "workspace/index.h"
#include "workspace/owners.h"
#include "workspace/path.h"
#include "workspace/plan.h"
#include "workspace/scan.h"
#include "workspace_support.h"

static struct billet_error error;

static void
set_up_scan(void)
{
    error = (struct billet_error)BILLET_ERROR_INIT;
    set_up();
}

static void
scan_work(struct billet_manifest *manifest, const struct billet_filter *filter,
          const struct billet_manifest *earlier, int hash)
{
    struct billet_root root;
    struct billet_scan scan = {.filter = filter, .earlier = earlier, .hash = hash};
    ck_assert_int_eq(billet_root_open(&root, at("work"), &error), 0);
    ck_assert_msg(billet_scan(&root, &scan, manifest, NULL, &error) == 0, "%s", error.message);
    billet_root_close(&root);
}

static const struct billet_entry *
find(const struct billet_manifest *manifest, const char *path)
{
    return billet_manifest_find(manifest, path, strlen(path));
}

#define assert_reason(manifest, path, wanted)                             \
    do {                                                                  \
        const struct billet_entry *found_ = find(manifest, path);         \
        ck_assert_msg(found_ != NULL, "%s is not in the manifest", path); \
        ck_assert_msg(found_->reason == (wanted), "%s: %s", path,         \
                      billet_reason_name(found_->reason));                \
    } while (0)

START_TEST(link_targets_are_judged_by_where_they_may_lead)
{
    static const struct {
        const char *path;
        const char *target;
        bool inside;
    } rows[] = {
        {"l", "a", true},       {"l", "a/b", true},        {"l", "./a", true},
        {"l", "..", false},     {"l", "../a", false},      {"d/l", "..", true},
        {"d/l", "../a", true},  {"d/l", "../..", false},   {"d/l", "../../a", false},
        {"l", "/a", false},     {"l", "", false},          {"l", "a/../b", false},
        {"d/l", "a/..", false}, {"d/l", "./../a", true},   {"d/e/l", "../../a", true},
        {"d/l", "a//b", true},  {"l", "a/../../b", false}, {"l", "...", true},
        {"l", "a\nb", false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        ck_assert_msg(billet_path_target_inside(rows[i].path, strlen(rows[i].path), rows[i].target,
                                                strlen(rows[i].target)) == rows[i].inside,
                      "%s -> %s", rows[i].path, rows[i].target);
}
END_TEST

START_TEST(a_directory_sorts_before_what_is_in_it_and_its_tree_is_one_run)
{
    static const char *const sorted[] = {"a",   "a/b", "a/b/c", "a/c", "a b",
                                         "a-b", "a.b", "ab",    "b"};
    for (size_t i = 0; i < sizeof(sorted) / sizeof(sorted[0]); i++)
        for (size_t k = 0; k < sizeof(sorted) / sizeof(sorted[0]); k++) {
            int order =
                billet_path_compare(sorted[i], strlen(sorted[i]), sorted[k], strlen(sorted[k]));
            ck_assert_msg((order < 0) == (i < k) && (order == 0) == (i == k), "%s against %s",
                          sorted[i], sorted[k]);
        }
}
END_TEST

START_TEST(patterns_follow_the_grammar_of_gitignore)
{
    static const struct {
        const char *pattern;
        const char *path;
        bool directory;
        int said;
    } rows[] = {
        {"name", "name", false, 1},
        {"name", "a/name", false, 1},
        {"name", "names", false, 0},
        {"/name", "name", false, 1},
        {"/name", "a/name", false, 0},
        {"name/", "name", false, 0},
        {"name/", "a/name", true, 1},
        {"a/b", "a/b", false, 1},
        {"a/b", "c/a/b", false, 0},
        {"*.o", "x/y.o", false, 1},
        {"*.o", "y.oo", false, 0},
        {"a/*", "a/b", false, 1},
        {"a/*", "a/b/c", false, 0},
        {"**/b", "a/x/b", false, 1},
        {"**/b", "b", false, 1},
        {"a/**", "a/x/y", false, 1},
        {"a/**", "a", true, 0},
        {"a/**/b", "a/b", false, 1},
        {"a/**/b", "a/x/y/b", false, 1},
        {"a/**/b", "a/xb", false, 0},
        {"!name", "name", false, -1},
        {"# name", "# name", false, 0},
        {"\\#x", "#x", false, 1},
        {"\\!x", "!x", false, 1},
        {"[a-c]x", "bx", false, 1},
        {"[!a-c]x", "bx", false, 0},
        {"[!a-c]x", "dx", false, 1},
        {"?", "/", false, 0},
        {"a?c", "abc", false, 1},
        {"[abc", "a", false, 0},
        {"trail  ", "trail", false, 1},
        {"\\*", "*", false, 1},
        {"\\*", "x", false, 0},
        {"a*b*c", "axxbyyc", false, 1},
        {"a*b*c", "axxcyyb", false, 0},
        {"foo/*/bar", "foo/x/bar", false, 1},
        {"foo/*/bar", "foo/x/y/bar", false, 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct billet_patterns patterns = BILLET_PATTERNS_INIT;
        ck_assert_int_eq(
            billet_patterns_add(&patterns, rows[i].pattern, strlen(rows[i].pattern), &error), 0);
        ck_assert_msg(billet_patterns_match(&patterns, rows[i].path, rows[i].directory) ==
                          rows[i].said,
                      "%s against %s", rows[i].pattern, rows[i].path);
        billet_patterns_free(&patterns);
    }
    /* Hard for a matcher that goes back everywhere. */
    struct billet_patterns patterns = BILLET_PATTERNS_INIT;
    char path[4000];
    memset(path, 'a', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    const char *hard = "a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b";
    ck_assert_int_eq(billet_patterns_add(&patterns, hard, strlen(hard), &error), 0);
    ck_assert_int_eq(billet_patterns_match(&patterns, path, false), 0);
    billet_patterns_free(&patterns);
}
END_TEST

START_TEST(what_does_not_travel_is_in_the_manifest_with_its_reason)
{
    struct billet_filter filter = BILLET_FILTER_INIT;
    struct billet_manifest manifest = BILLET_MANIFEST_INIT;
    ck_assert_int_eq(billet_patterns_add(&filter.exclude, "*.tmp", 5, &error), 0);
    make_file(at("work/.gitignore"), "*.o\nout/\n!keep.o\n");
    make_file(at("work/a.o"), "");
    make_file(at("work/keep.o"), "");
    make_file(at("work/x.tmp"), "");
    mkdir(at("work/out"), 0755);
    make_file(at("work/out/file"), "");
    mkdir(at("work/sub"), 0755);
    make_file(at("work/sub/.gitignore"), "/local\n!*.o\n");
    make_file(at("work/sub/local"), "");
    make_file(at("work/sub/b.o"), "");
    mkdir(at("work/sub/deep"), 0755);
    make_file(at("work/sub/deep/local"), "");
    mkdir(at("work/node_modules"), 0755);
    make_file(at("work/node_modules/x"), "");
    mkdir(at("work/target"), 0755);
    mkdir(at("work/rust"), 0755);
    make_file(at("work/rust/Cargo.toml"), "");
    mkdir(at("work/rust/target"), 0755);
    mkdir(at("work/.git"), 0755);
    ck_assert_int_eq(symlink("/etc/passwd", at("work/outward")), 0);
    ck_assert_int_eq(symlink("sub", at("work/inward")), 0);
    ck_assert_int_eq(mkfifo(at("work/pipe"), 0644), 0);
    make_file(at("work/new\nline"), "");
    scan_work(&manifest, &filter, NULL, BILLET_HASH_RACY);
    assert_reason(&manifest, "a.o", BILLET_REASON_IGNORED);
    assert_reason(&manifest, "keep.o", BILLET_REASON_NONE);
    assert_reason(&manifest, "x.tmp", BILLET_REASON_EXCLUDED);
    assert_reason(&manifest, "out", BILLET_REASON_IGNORED);
    assert_reason(&manifest, "sub/local", BILLET_REASON_IGNORED);
    assert_reason(&manifest, "sub/b.o", BILLET_REASON_NONE);
    assert_reason(&manifest, "sub/deep/local", BILLET_REASON_NONE);
    assert_reason(&manifest, "node_modules", BILLET_REASON_HEAVY);
    assert_reason(&manifest, "target", BILLET_REASON_NONE);
    assert_reason(&manifest, "rust/target", BILLET_REASON_HEAVY);
    assert_reason(&manifest, ".git", BILLET_REASON_GIT);
    assert_reason(&manifest, "outward", BILLET_REASON_LINK);
    assert_reason(&manifest, "inward", BILLET_REASON_NONE);
    assert_reason(&manifest, "pipe", BILLET_REASON_SPECIAL);
    ck_assert_ptr_null(find(&manifest, "out/file"));
    ck_assert_ptr_null(find(&manifest, "node_modules/x"));
    ck_assert_ptr_null(find(&manifest, "new\nline"));
    billet_manifest_free(&manifest);
    filter.flags = BILLET_FILTER_WITH_HEAVY | BILLET_FILTER_WITH_IGNORED;
    scan_work(&manifest, &filter, NULL, BILLET_HASH_RACY);
    assert_reason(&manifest, "a.o", BILLET_REASON_NONE);
    assert_reason(&manifest, "out/file", BILLET_REASON_NONE);
    assert_reason(&manifest, "node_modules/x", BILLET_REASON_NONE);
    assert_reason(&manifest, ".git", BILLET_REASON_GIT);
    billet_manifest_free(&manifest);
    billet_filter_free(&filter);
}
END_TEST

static bool
run_git(const char *const *argv)
{
    pid_t pid;
    int status;
    int fds[3] = {-1, -1, -1};
    const char *const environment[] = {"PATH=/usr/bin:/bin", "HOME=/nonexistent",
                                       "GIT_CONFIG_NOSYSTEM=1", NULL};
    struct billet_spawn spawn = {.path = "/usr/bin/git",
                                 .argv = argv,
                                 .environment = environment,
                                 .fds = fds,
                                 .fd_count = 3};
    return billet_spawn(&spawn, &pid, NULL, &error) == 0 && waitpid(pid, &status, 0) == pid &&
           status == 0;
}

START_TEST(a_tracked_file_travels_although_it_is_ignored)
{
    char version[4] = {"234"[_i], '\0'};
    struct billet_filter filter = BILLET_FILTER_INIT;
    struct billet_manifest manifest = BILLET_MANIFEST_INIT;
    const char *work = at("work");
    char setting[32];
    snprintf(setting, sizeof(setting), "index.version=%s", version);
    const char *init[] = {"git", "-C", work, "init", "-q", NULL};
    if (access("/usr/bin/git", X_OK) != 0 || !run_git(init))
        return;
    make_file(at("work/.gitignore"), "build/\n*.o\n");
    mkdir(at("work/build"), 0755);
    make_file(at("work/build/tracked"), "");
    make_file(at("work/build/other"), "");
    make_file(at("work/tracked.o"), "");
    make_file(at("work/other.o"), "");
    const char *add[] = {"git",           "-C",        work,         "-c", setting, "add", "-f",
                         "build/tracked", "tracked.o", ".gitignore", NULL};
    ck_assert(run_git(add));
    const char *update[] = {"git", "-C", work, "update-index", "--index-version", version, NULL};
    ck_assert(run_git(update));
    if (_i == 1) {
        const char *flag[] = {"git",       "-C", work, "update-index", "--skip-worktree",
                              "tracked.o", NULL};
        ck_assert(run_git(flag));
    }
    scan_work(&manifest, &filter, NULL, BILLET_HASH_NONE);
    assert_reason(&manifest, "tracked.o", BILLET_REASON_NONE);
    assert_reason(&manifest, "other.o", BILLET_REASON_IGNORED);
    assert_reason(&manifest, "build", BILLET_REASON_NONE);
    assert_reason(&manifest, "build/tracked", BILLET_REASON_NONE);
    billet_manifest_free(&manifest);
}
END_TEST

START_TEST(an_unchanged_file_is_not_read_again)
{
    struct billet_manifest first = BILLET_MANIFEST_INIT;
    struct billet_manifest second = BILLET_MANIFEST_INIT;
    make_file(at("work/f"), "content");
    make_file(at("work/g"), "content");
    usleep(50000);
    scan_work(&first, NULL, NULL, BILLET_HASH_ALL);
    ck_assert(find(&first, "f")->hashed);
    ck_assert(!find(&first, "f")->racy);
    /* A hash that cannot come from the content shows that it was taken over. */
    billet_manifest_find(&first, "f", 1)->hash[0] ^= 1;
    billet_manifest_find(&first, "g", 1)->hash[0] ^= 1;
    make_file(at("work/g"), "CONTENT");
    scan_work(&second, NULL, &first, BILLET_HASH_ALL);
    ck_assert_mem_eq(find(&first, "f")->hash, find(&second, "f")->hash, BILLET_HASH_BYTES);
    ck_assert_mem_ne(find(&first, "g")->hash, find(&second, "g")->hash, BILLET_HASH_BYTES);
    ck_assert(find(&second, "g")->racy);
    billet_manifest_free(&first);
    billet_manifest_free(&second);
}
END_TEST

START_TEST(a_write_in_the_same_tick_is_seen)
{
    /* The stat fields may be the same; the hash that a racy file has from the start is not. */
    for (int i = 0; i < 50; i++) {
        struct billet_manifest first = BILLET_MANIFEST_INIT;
        struct billet_manifest second = BILLET_MANIFEST_INIT;
        struct billet_changes changes = BILLET_CHANGES_INIT;
        make_file(at("work/f"), "one");
        scan_work(&first, NULL, NULL, BILLET_HASH_RACY);
        int fd = open(at("work/f"), O_WRONLY | O_CLOEXEC);
        ck_assert_int_eq(pwrite(fd, "two", 3, 0), 3);
        close(fd);
        scan_work(&second, NULL, &first, BILLET_HASH_RACY);
        ck_assert_int_eq(billet_changes_between(&first, &second, &changes, &error), 0);
        ck_assert_uint_eq(changes.count, 1);
        billet_changes_free(&changes);
        billet_manifest_free(&first);
        billet_manifest_free(&second);
    }
}
END_TEST

START_TEST(a_manifest_is_the_same_after_bytes_and_refuses_all_others)
{
    struct billet_manifest manifest = BILLET_MANIFEST_INIT;
    struct billet_manifest again = BILLET_MANIFEST_INIT;
    cleanup_buffer struct billet_buffer bytes = BILLET_BUFFER_INIT;
    cleanup_buffer struct billet_buffer second = BILLET_BUFFER_INIT;
    mkdir(at("work/d"), 0750);
    make_file(at("work/d/file"), "content");
    make_file(at("work/d/file2"), "");
    ck_assert_int_eq(symlink("d/file", at("work/link")), 0);
    ck_assert_int_eq(mkfifo(at("work/pipe"), 0644), 0);
    scan_work(&manifest, NULL, NULL, BILLET_HASH_ALL);
    ck_assert_int_eq(billet_manifest_encode(&manifest, BILLET_MANIFEST_LOCAL, &bytes, &error), 0);
    ck_assert_msg(billet_manifest_decode(bytes.data, bytes.length, &billet_limits_default, &again,
                                         &error) == 0,
                  "%s", error.message);
    ck_assert_uint_eq(again.count, 5);
    for (size_t i = 0; i < again.count; i++)
        ck_assert(billet_entry_same(&manifest.entries[i], &again.entries[i]));
    ck_assert_int_eq(billet_manifest_encode(&again, BILLET_MANIFEST_LOCAL, &second, &error), 0);
    ck_assert_uint_eq(second.length, bytes.length);
    ck_assert_mem_eq(second.data, bytes.data, bytes.length);
    billet_manifest_free(&again);
    for (size_t cut = 0; cut < bytes.length; cut++)
        ck_assert_int_lt(
            billet_manifest_decode(bytes.data, cut, &billet_limits_default, &again, &error), 0);
    for (size_t i = 0; i < bytes.length; i++) {
        bytes.data[i] ^= 0x10;
        ck_assert_int_lt(billet_manifest_decode(bytes.data, bytes.length, &billet_limits_default,
                                                &again, &error),
                         0);
        bytes.data[i] ^= 0x10;
    }
    ck_assert_ptr_null(again.entries);
    struct billet_limits small = billet_limits_default;
    small.entries = 4;
    ck_assert_int_lt(billet_manifest_decode(bytes.data, bytes.length, &small, &again, &error), 0);
    billet_manifest_free(&manifest);
}
END_TEST

START_TEST(both_ways_of_resolving_agree)
{
    struct billet_root root;
    mkdir(at("work/d"), 0755);
    make_file(at("work/d/f"), "x");
    ck_assert_int_eq(symlink("d", at("work/l")), 0);
    ck_assert_int_eq(symlink("f", at("work/d/lf")), 0);
    static const char *const paths[] = {
        "d/f",         "d",     "",     "l",  "l/f",     "d/lf",  "d/../d/f",
        "/etc/passwd", "d/./f", "d//f", "..", "nothing", "d/f/x", "nothing/x"};
    ck_assert_int_eq(billet_root_open(&root, at("work"), &error), 0);
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        int results[2];
        int errors[2];
        for (int walk = 0; walk < 2; walk++) {
            root.walk = walk == 1;
            errno = 0;
            results[walk] = billet_root_openat(&root, paths[i], O_RDONLY, 0);
            errors[walk] = errno;
            if (results[walk] >= 0)
                close(results[walk]);
        }
        ck_assert_msg((results[0] >= 0) == (results[1] >= 0), "%s", paths[i]);
        ck_assert_msg(results[0] >= 0 || errors[0] == errors[1], "%s: %s, %s", paths[i],
                      strerror(errors[0]), strerror(errors[1]));
        bool good = i < 3;
        ck_assert_msg((results[0] >= 0) == good, "%s", paths[i]);
    }
    billet_root_close(&root);
}
END_TEST

static int
search_owners(uid_t uid, gid_t gid, char **path)
{
    struct billet_root root;
    ck_assert_int_eq(billet_root_open(&root, at("work"), &error), 0);
    struct billet_owners *owners = billet_owners_begin(&root, uid, gid);
    ck_assert_ptr_nonnull(owners);
    int result = billet_owners_end(owners, path);
    billet_root_close(&root);
    return result;
}

START_TEST(what_belongs_to_others_is_found_wherever_it_lies)
{
    char *path = NULL;
    uid_t uid = geteuid();
    gid_t gid = getegid();
    make_file(at("work/a"), "a");
    ck_assert_int_eq(mkdir(at("work/d"), 0755), 0);
    ck_assert_int_eq(mkdir(at("work/d/e"), 0755), 0);
    make_file(at("work/d/e/f"), "f");
    ck_assert_int_eq(search_owners(uid, gid, &path), 0);
    ck_assert_ptr_null(path);
    ck_assert_int_eq(search_owners(uid + 1, gid, &path), BILLET_OWNERS_FOREIGN);
    ck_assert_str_eq(path, "");
    free(path);
    ck_assert_int_eq(search_owners(uid, gid + 1, &path), BILLET_OWNERS_FOREIGN);
    free(path);
    if (uid == 0) {
        ck_assert_int_eq(lchown(at("work/d/e/f"), 0, gid + 1), 0);
        ck_assert_int_eq(search_owners(uid, gid, &path), BILLET_OWNERS_FOREIGN);
        ck_assert_str_eq(path, "d/e/f");
        free(path);
        ck_assert_int_eq(lchown(at("work/d/e/f"), 0, gid), 0);
    }
    /* Deeper than it goes: not known is not the same as none. */
    char deep[2048] = "work";
    for (int i = 0; i < 210; i++) {
        strcat(deep, "/x");
        ck_assert_int_eq(mkdir(at(deep), 0755), 0);
    }
    ck_assert_int_eq(search_owners(uid, gid, &path), BILLET_OWNERS_UNKNOWN);
    ck_assert_ptr_nonnull(path);
    free(path);
}
END_TEST

START_TEST(hundred_thousand_files_are_scanned_in_bounded_memory)
{
    struct billet_manifest manifest = BILLET_MANIFEST_INIT;
    const int files = getenv("BILLET_NIGHTLY") != NULL ? 100000 : 5000;
    for (int d = 0; d < files / 100; d++) {
        mkdir(at("work/directory-%d", d), 0755);
        int fd = open(at("work/directory-%d", d), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        for (int i = 0; i < 100; i++) {
            char name[32];
            snprintf(name, sizeof(name), "some-file-%d", i);
            int file = openat(fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
            ck_assert_int_ge(file, 0);
            close(file);
        }
        close(fd);
    }
    scan_work(&manifest, NULL, NULL, BILLET_HASH_NONE);
    ck_assert_uint_eq(manifest.count, (size_t)(files + files / 100));
    ck_assert_uint_lt(manifest.capacity * sizeof(*manifest.entries) + manifest.name_bytes,
                      (size_t)files * 300 + 100000);
    for (size_t i = 1; i < manifest.count; i++)
        ck_assert_int_lt(
            billet_path_compare(manifest.entries[i - 1].path, manifest.entries[i - 1].path_length,
                                manifest.entries[i].path, manifest.entries[i].path_length),
            0);
    struct billet_root root;
    struct billet_limits limits = billet_limits_default;
    struct billet_manifest none = BILLET_MANIFEST_INIT;
    struct billet_scan scan = {.limits = &limits, .hash = BILLET_HASH_NONE};
    limits.entries = 1000;
    ck_assert_int_eq(billet_root_open(&root, at("work"), &error), 0);
    ck_assert_int_eq(billet_scan(&root, &scan, &none, NULL, &error), -BILLET_CLASS_CAPACITY);
    billet_root_close(&root);
    billet_manifest_free(&manifest);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("workspace_scan");
    TCase *tests = tcase_create("scan");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, set_up_scan, tear_down);
    tcase_add_test(tests, link_targets_are_judged_by_where_they_may_lead);
    tcase_add_test(tests, a_directory_sorts_before_what_is_in_it_and_its_tree_is_one_run);
    tcase_add_test(tests, patterns_follow_the_grammar_of_gitignore);
    tcase_add_test(tests, what_does_not_travel_is_in_the_manifest_with_its_reason);
    tcase_add_loop_test(tests, a_tracked_file_travels_although_it_is_ignored, 0, 3);
    tcase_add_test(tests, an_unchanged_file_is_not_read_again);
    tcase_add_test(tests, a_write_in_the_same_tick_is_seen);
    tcase_add_test(tests, a_manifest_is_the_same_after_bytes_and_refuses_all_others);
    tcase_add_test(tests, both_ways_of_resolving_agree);
    tcase_add_test(tests, what_belongs_to_others_is_found_wherever_it_lies);
    tcase_add_test(tests, hundred_thousand_files_are_scanned_in_bounded_memory);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
