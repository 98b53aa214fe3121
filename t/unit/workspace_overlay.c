/* SPDX-License-Identifier: Apache-2.0 */
/* The upper directory of an overlay becomes changes: made by hand, and by the kernel where it may
 * be mounted. */
#include <sched.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "workspace/workspace.h"
#include "workspace_support.h"

static struct billet_error error;
static struct billet_report report;

static void
set_up_overlay(void)
{
    error = (struct billet_error)BILLET_ERROR_INIT;
    report = (struct billet_report)BILLET_REPORT_INIT;
    set_up();
    mkdir(at("upper"), 0755);
    mkdir(at("work/d"), 0755);
    make_file(at("work/d/x"), "old x");
    make_file(at("work/d/y"), "old y");
    make_file(at("work/a"), "old a");
    make_file(at("work/b"), "old b");
    mkdir(at("work/o"), 0755);
    mkdir(at("work/o/sub"), 0755);
    make_file(at("work/o/sub/deep"), "deep");
    make_file(at("work/o/hidden"), "hidden");
    usleep(30000);
}

static void
tear_down_overlay(void)
{
    billet_report_free(&report);
    tear_down();
}

static struct billet_workspace *
begin(void)
{
    struct billet_workspace *workspace = NULL;
    struct billet_workspace_options options = {.directory = at("work"),
                                               .state_directory = at("state"),
                                               .tag = "overlaid",
                                               .lock_deadline_ns = 1,
                                               .baseline = BILLET_BASELINE_TIME};
    ck_assert_msg(billet_workspace_begin(&options, &workspace, &error) == 0, "%s", error.message);
    return workspace;
}

static int
collect(struct billet_workspace *workspace)
{
    int upper = open(at("upper"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int result = billet_workspace_receive_upper(workspace, upper, &error);
    close(upper);
    if (result == 0)
        result = billet_workspace_apply(workspace, &report, &error);
    billet_workspace_end(workspace);
    return result;
}

static bool
whiteout(const char *path)
{
    if (mknod(path, S_IFCHR | 0600, makedev(0, 0)) == 0)
        return true;
    fprintf(stderr, "# skipped: this kernel lets only root make whiteouts\n");
    return false;
}

static bool
opaque(const char *path)
{
    if (setxattr(path, "user.overlay.opaque", "y", 1, 0) == 0)
        return true;
    fprintf(stderr, "# skipped: no user xattrs in this file system\n");
    return false;
}

START_TEST(what_is_in_the_upper_directory_is_applied)
{
    struct billet_workspace *workspace = begin();
    mkdir(at("upper/d"), 0755);
    make_file(at("upper/d/x"), "new x");
    make_file(at("upper/d/added"), "added");
    mkdir(at("upper/o"), 0755);
    make_file(at("upper/o/fresh"), "fresh");
    if (!whiteout(at("upper/a")) || !whiteout(at("upper/d/y")) || !opaque(at("upper/o"))) {
        billet_workspace_end(workspace);
        return;
    }
    mkdir(at("upper/o/sub"), 0755);
    ck_assert_msg(collect(workspace) == 0, "%s", error.message);
    char *after = picture(at("work"));
    ck_assert_str_eq(after, "100644 b old b\n40755 d \n100644 d/added added\n100644 d/x new x\n"
                            "40755 o \n100644 o/fresh fresh\n40755 o/sub \n.");
    ck_assert(!billet_report_has_conflicts(&report));
    free(after);
}
END_TEST

START_TEST(what_people_edit_meanwhile_is_kept)
{
    struct billet_workspace *workspace = begin();
    mkdir(at("upper/d"), 0755);
    make_file(at("upper/d/x"), "theirs");
    make_file(at("upper/new"), "theirs");
    make_file(at("upper/b"), "theirs");
    make_file(at("work/d/x"), "mine");
    make_file(at("work/new"), "mine");
    make_file(at("work/a"), "mine");
    if (!whiteout(at("upper/a"))) {
        billet_workspace_end(workspace);
        return;
    }
    ck_assert_msg(collect(workspace) == 0, "%s", error.message);
    assert_content(at("work/d/x"), "mine");
    assert_content(at("work/d/x.billet-conflict-overlaid"), "theirs");
    assert_content(at("work/new"), "mine");
    assert_content(at("work/new.billet-conflict-overlaid"), "theirs");
    assert_content(at("work/a"), "mine");
    assert_content(at("work/b"), "theirs");
    ck_assert_uint_eq(report.totals[BILLET_REPORT_CONFLICT], 2);
    ck_assert_uint_eq(report.totals[BILLET_REPORT_KEPT], 1);
}
END_TEST

START_TEST(a_run_right_after_another_finds_no_conflict)
{
    for (int i = 0; i < 30; i++) {
        char text[16];
        snprintf(text, sizeof(text), "%d", i);
        struct billet_workspace *workspace = begin();
        make_file(at("upper/b"), text);
        ck_assert_msg(collect(workspace) == 0, "%s", error.message);
        ck_assert_msg(!billet_report_has_conflicts(&report), "in round %d", i);
        assert_content(at("work/b"), text);
    }
}
END_TEST

START_TEST(a_hostile_upper_directory_is_refused_as_a_whole)
{
    for (int kind = 0; kind < 4; kind++) {
        char *before = picture(at("work"));
        remove_tree(at("upper"));
        mkdir(at("upper"), 0755);
        make_file(at("upper/b"), "new");
        if (kind == 0)
            ck_assert_int_eq(symlink("../../etc/passwd", at("upper/l")), 0);
        else if (kind == 1)
            ck_assert_int_eq(mkfifo(at("upper/pipe"), 0644), 0);
        else if (kind == 2)
            make_file(at("upper/new\nline"), "");
        else if (mknod(at("upper/device"), S_IFCHR | 0600, makedev(1, 3)) != 0)
            make_file(at("upper/.billet-stage-x"), "");
        ck_assert_int_lt(collect(begin()), 0);
        char *after = picture(at("work"));
        ck_assert_str_eq(before, after);
        free(before);
        free(after);
    }
}
END_TEST

START_TEST(a_directory_that_was_removed_there_goes_with_all_in_it)
{
    struct billet_workspace *workspace = begin();
    if (!whiteout(at("upper/o"))) {
        billet_workspace_end(workspace);
        return;
    }
    make_file(at("upper/d"), "a file now");
    make_file(at("work/o/sub/mine"), "mine");
    ck_assert_msg(collect(workspace) == 0, "%s", error.message);
    assert_content(at("work/d"), "a file now");
    assert_content(at("work/o/sub/mine"), "mine");
    ck_assert_int_ne(access(at("work/o/hidden"), F_OK), 0);
    ck_assert_int_ne(access(at("work/o/sub/deep"), F_OK), 0);
}
END_TEST

START_TEST(what_the_kernel_writes_is_understood)
{
    char options[PATH_MAX];
    mkdir(at("scratch"), 0755);
    mkdir(at("seen"), 0755);
    snprintf(options, sizeof(options), "lowerdir=%s,upperdir=%s,workdir=%s,userxattr", at("work"),
             at("upper"), at("scratch"));
    if (geteuid() != 0 || unshare(CLONE_NEWNS) != 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("overlay", at("seen"), "overlay", 0, options) != 0) {
        fprintf(stderr, "# skipped: an overlay cannot be mounted here: %s\n", strerror(errno));
        return;
    }
    struct billet_workspace *workspace = begin();
    make_file(at("seen/a"), "new a");
    unlink(at("seen/b"));
    unlink(at("seen/d/y"));
    remove_tree(at("seen/o"));
    mkdir(at("seen/o"), 0755);
    make_file(at("seen/o/again"), "again");
    mkdir(at("seen/o/sub"), 0755);
    ck_assert_int_eq(rename(at("seen/d/x"), at("seen/moved")), 0);
    ck_assert_int_eq(symlink("a", at("seen/link")), 0);
    chmod(at("seen/a"), 0755);
    char *wanted = picture(at("seen"));
    ck_assert_int_eq(umount(at("seen")), 0);
    ck_assert_msg(collect(workspace) == 0, "%s", error.message);
    char *after = picture(at("work"));
    ck_assert_str_eq(after, wanted);
    ck_assert(!billet_report_has_conflicts(&report));
    free(wanted);
    free(after);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("workspace_overlay");
    TCase *tests = tcase_create("overlay");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, set_up_overlay, tear_down_overlay);
    tcase_add_test(tests, what_is_in_the_upper_directory_is_applied);
    tcase_add_test(tests, what_people_edit_meanwhile_is_kept);
    tcase_add_test(tests, a_run_right_after_another_finds_no_conflict);
    tcase_add_test(tests, a_hostile_upper_directory_is_refused_as_a_whole);
    tcase_add_test(tests, a_directory_that_was_removed_there_goes_with_all_in_it);
    tcase_add_test(tests, what_the_kernel_writes_is_understood);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
