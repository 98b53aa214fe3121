/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Races, kills and full disks (SEC-31, SEC-32): nothing outside is written, each file is old or
 * new, and the next run completes.
 */
#include <linux/fs.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "stride.h"
#include "workspace/workspace.h"
#include "workspace_support.h"

#define FILES 60

static struct billet_error error;

/* --- the Nth change of a file system ends the process, or finds the disk full from then on -----
 */

#define INJECT_NOTHING 0
#define INJECT_KILL 1
#define INJECT_FULL 2

static int injected;
static long calls_left;

/* True when this call is to fail with ENOSPC. */
static bool
goes_wrong(bool takes_room)
{
    if (injected == INJECT_NOTHING || --calls_left > 0)
        return false;
    if (injected == INJECT_KILL)
        kill(getpid(), SIGKILL);
    errno = ENOSPC;
    return takes_room;
}

/* These stand before those of libc for everything that is linked into this program. */
int
renameat2(int from, const char *old, int to, const char *new, unsigned flags)
{
    return goes_wrong(true) ? -1 : (int)syscall(SYS_renameat2, from, old, to, new, flags);
}

int
renameat(int from, const char *old, int to, const char *new)
{
    return goes_wrong(true) ? -1 : (int)syscall(SYS_renameat2, from, old, to, new, 0);
}

int
mkdirat(int directory, const char *path, mode_t mode)
{
    return goes_wrong(true) ? -1 : (int)syscall(SYS_mkdirat, directory, path, mode);
}

int
unlinkat(int directory, const char *path, int flags)
{
    return goes_wrong(false) ? -1 : (int)syscall(SYS_unlinkat, directory, path, flags);
}

ssize_t
pwrite(int fd, const void *bytes, size_t length, off_t offset)
{
    return goes_wrong(true) ? -1 : syscall(SYS_pwrite64, fd, bytes, length, offset);
}

ssize_t
write(int fd, const void *bytes, size_t length)
{
    return goes_wrong(true) ? -1 : syscall(SYS_write, fd, bytes, length);
}

static struct billet_workspace *
begin(const char *tag)
{
    struct billet_workspace *workspace = NULL;
    struct billet_limits limits = billet_limits_default;
    limits.free_floor_bytes = 0;
    struct billet_workspace_options options = {.directory = at("work"),
                                               .state_directory = at("state"),
                                               .tag = tag,
                                               .limits = &limits,
                                               .lock_deadline_ns = 1};
    ck_assert_msg(billet_workspace_begin(&options, &workspace, &error) == 0, "%s", error.message);
    return workspace;
}

/* Old: files 0..39 in three directories. New: 0..19 replaced, 20..29 gone, 40..59 added. */
static void
make_old(void)
{
    remove_tree(at("work"));
    mkdir(at("work"), 0755);
    for (int i = 0; i < 3; i++)
        mkdir(at("work/d%d", i), 0755);
    for (int i = 0; i < 40; i++)
        make_file(at("work/d%d/f%d", i % 3, i), "old");
}

static void
make_new(const char *name)
{
    mkdir(at("%s", name), 0755);
    for (int i = 0; i < 5; i++)
        mkdir(at("%s/d%d", name, i), 0755);
    for (int i = 0; i < FILES; i++)
        if (i < 20 || i >= 40)
            make_file(at("%s/d%d/f%d", name, i < 40 ? i % 3 : i % 5, i), "new");
        else if (i >= 30)
            make_file(at("%s/d%d/f%d", name, i % 3, i), "old");
}

/* Each file is the old or the new one; returns how many are old where they should be new. */
static int
count_old(void)
{
    int old = 0;
    for (int i = 0; i < FILES; i++) {
        const char *text = read_text(at("work/d%d/f%d", i < 40 ? i % 3 : i % 5, i));
        if (i < 20) {
            ck_assert_msg(text != NULL && (strcmp(text, "old") == 0 || strcmp(text, "new") == 0),
                          "file %d is neither old nor new: %s", i, text != NULL ? text : "absent");
            old += strcmp(text, "old") == 0;
        } else if (i < 30) {
            ck_assert(text == NULL || strcmp(text, "old") == 0);
            old += text != NULL;
        } else if (i < 40) {
            ck_assert_str_eq(text, "old");
        } else {
            ck_assert_msg(text == NULL || strcmp(text, "new") == 0, "file %d is torn", i);
            old += text == NULL;
        }
    }
    return old;
}

/* Only the children that are to be killed come here: no assertion of the parent is at stake. */
static void
run_apply(void)
{
    struct billet_report report = BILLET_REPORT_INIT;
    struct billet_workspace *workspace = begin("crashing");
    int fd = open(at("new.tar"), O_RDONLY | O_CLOEXEC);
    if (billet_workspace_receive(workspace, fd, 0, &error) < 0 ||
        billet_workspace_apply(workspace, &report, &error) < 0)
        _exit(1);
    billet_workspace_end(workspace);
    _exit(0);
}

static void
make_archive(void)
{
    make_old();
    struct billet_workspace *workspace = begin("archiver");
    /* The far tree as an archive, made by ourselves: its own sender reads a tree. */
    billet_workspace_end(workspace);
    rename(at("work"), at("kept"));
    make_new("work");
    workspace = begin("archiver");
    int fd = open(at("new.tar"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ck_assert_int_eq(billet_workspace_send(workspace, NULL, fd, NULL, &error), 0);
    billet_workspace_end(workspace);
    close(fd);
}

START_TEST(sec32_a_kill_at_any_moment_leaves_each_file_old_or_new)
{
    int incomplete = 0;
    unsigned seed = (unsigned)_i + 1;
    struct timespec start;
    struct timespec end;
    make_archive();
    remove_tree(at("state"));
    /* How long one takes, to aim within it. */
    make_old();
    clock_gettime(CLOCK_MONOTONIC, &start);
    pid_t first = fork();
    if (first == 0)
        run_apply();
    ck_assert_int_eq(waitpid(first, NULL, 0), first);
    clock_gettime(CLOCK_MONOTONIC, &end);
    long whole = (end.tv_sec - start.tv_sec) * 1000000000L + end.tv_nsec - start.tv_nsec;
    ck_assert_int_eq(count_old(), 0);
    /* More rounds where none came within: what is aimed at may be a small part of the whole. */
    for (int round = 0; round < 50 || (incomplete == 0 && round < 1000); round += unit_stride()) {
        make_old();
        int status;
        pid_t pid = fork();
        if (pid == 0)
            run_apply();
        long wait = whole / 1000 * (rand_r(&seed) % 1000);
        nanosleep(&(struct timespec){.tv_sec = wait / 1000000000, .tv_nsec = wait % 1000000000},
                  NULL);
        kill(pid, SIGKILL);
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        int old = count_old();
        incomplete += old > 0;
        /* A dead process holds no lock; what it had begun is completed, or nothing was begun. */
        struct billet_workspace *workspace = begin("follower");
        const struct billet_report *recovery = billet_workspace_recovery(workspace);
        if (recovery != NULL) {
            ck_assert_int_eq(count_old(), 0);
            ck_assert(!billet_report_has_conflicts(recovery));
        } else {
            int after = count_old();
            ck_assert_msg(after == 0 || after == 50, "%d of 50 are old without a journal", after);
        }
        billet_workspace_end(workspace);
        DIR *left = opendir(at("work"));
        const struct dirent *item;
        while ((item = readdir(left)) != NULL)
            ck_assert_ptr_null(strstr(item->d_name, "billet"));
        closedir(left);
    }
    /* The aim was good: some were cut before and some within. */
    ck_assert_int_gt(incomplete, 0);
}
END_TEST

/* One run whose Nth change of a file system goes wrong. 0 when it was never reached. */
static int
run_injected(int mode, long nth)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        struct billet_report report = BILLET_REPORT_INIT;
        struct billet_workspace *workspace = begin("injected");
        int fd = open(at("new.tar"), O_RDONLY | O_CLOEXEC);
        injected = mode;
        calls_left = nth;
        int result = billet_workspace_receive(workspace, fd, 0, &error);
        if (result == 0)
            result = billet_workspace_apply(workspace, &report, &error);
        injected = INJECT_NOTHING;
        billet_workspace_end(workspace);
        _exit(result < 0 ? 1 : calls_left > 0 ? 0 : 2);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(mode == INJECT_KILL ? WIFSIGNALED(status) || status == 0 : WIFEXITED(status));
    return WIFSIGNALED(status) || WEXITSTATUS(status) != 0;
}

static void
each_call_goes_wrong(int mode)
{
    int completed = 0;
    int undone = 0;
    long nth = 1;
    make_archive();
    const int stride = unit_stride();
    for (;; nth += stride) {
        remove_tree(at("state"));
        make_old();
        if (!run_injected(mode, nth))
            break;
        count_old();
        struct billet_workspace *workspace = begin("follower");
        const struct billet_report *recovery = billet_workspace_recovery(workspace);
        int old = count_old();
        ck_assert_msg(old == 0 || old == 50, "call %ld: %d of 50 are old afterwards", nth, old);
        if (recovery != NULL) {
            completed++;
            ck_assert_msg(old == 0, "call %ld: not completed", nth);
            ck_assert_msg(!billet_report_has_conflicts(recovery), "call %ld: a conflict", nth);
        } else {
            undone += old == 50;
        }
        billet_workspace_end(workspace);
        /* Nothing is left behind, here or in the state. */
        char *left = picture(at("work"));
        ck_assert_msg(strstr(left, "billet") == NULL, "call %ld leaves a file", nth);
        free(left);
        left = picture(at("state"));
        ck_assert_ptr_null(strstr(left, ".billet-stage"));
        free(left);
    }
    ck_assert_int_eq(count_old(), 0);
    /* All of it was passed through: staging, and each step of the apply. */
    ck_assert_int_ge(undone, 40 / stride);
    ck_assert_int_ge(completed, 50 / stride);
    ck_assert_int_ge(nth, 100);
}

START_TEST(sec32_a_kill_at_each_change_is_completed_or_undone)
{
    each_call_goes_wrong(INJECT_KILL);
}
END_TEST

START_TEST(sec32_a_disk_full_at_each_change_is_completed_or_undone)
{
    each_call_goes_wrong(INJECT_FULL);
}
END_TEST

START_TEST(sec31_a_flipping_directory_lets_nothing_out)
{
    /* Another process exchanges a directory with a link to the outside all the time. */
    const int writes = getenv("BILLET_NIGHTLY") != NULL ? 1000000 : 100000;
    mkdir(at("work/d"), 0755);
    make_file(at("outside/victim"), "victim");
    ck_assert_int_eq(symlink(at("outside"), at("work/l")), 0);
    char *before = picture(at("outside"));
    const char *d = at("work/d");
    const char *l = at("work/l");
    pid_t pid = fork();
    if (pid == 0) {
        for (;;)
            renameat2(AT_FDCWD, d, AT_FDCWD, l, RENAME_EXCHANGE);
    }
    struct billet_root root;
    ck_assert_int_eq(billet_root_open(&root, at("work"), &error), 0);
    int inside = 0;
    for (int i = 0; i < writes; i++) {
        const char *leaf;
        root.walk = i % 4 == 3; /* the way without openat2, too */
        int fd = billet_root_openat(&root, i % 2 == 0 ? "d/f" : "d/victim",
                                    O_WRONLY | O_CREAT | O_TRUNC, 0644);
        if (fd >= 0) {
            inside++;
            ck_assert_int_eq(write(fd, "evil", 4), 4);
            close(fd);
        }
        if (i % 16 == 0) {
            int parent = billet_root_parent(&root, "d/victim", &leaf);
            if (parent >= 0) {
                unlinkat(parent, leaf, 0);
                close(parent);
            }
        }
    }
    /* And whole merges into it. */
    for (int i = 0; i < 50; i++) {
        struct billet_report report = BILLET_REPORT_INIT;
        struct billet_buffer tar = BILLET_BUFFER_INIT;
        tar_file(&tar, "d/victim", "evil");
        tar_file(&tar, "d/new", "evil");
        tar_end(&tar);
        struct billet_workspace *workspace = begin("flipping");
        int fd = tar_fd(&tar);
        ck_assert_int_eq(billet_workspace_receive(workspace, fd, BILLET_RECEIVE_CHANGES, &error),
                         0);
        (void)!billet_workspace_apply(workspace, &report, &error);
        billet_workspace_end(workspace);
        close(fd);
        billet_buffer_free(&tar);
        billet_report_free(&report);
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    billet_root_close(&root);
    char *after = picture(at("outside"));
    ck_assert_str_eq(before, after);
    ck_assert_int_gt(inside, 0);
    ck_assert_int_lt(inside, writes);
    free(before);
    free(after);
}
END_TEST

/* A small file system of its own; false when this process may not mount. */
static bool
mount_small(const char *where)
{
    return geteuid() == 0 && unshare(CLONE_NEWNS) == 0 &&
           mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("small", where, "tmpfs", 0, "size=4m,mode=0755") == 0;
}

static void
fill(struct billet_buffer *tar, int files, size_t size)
{
    char *bytes = malloc(size);
    memset(bytes, 'x', size);
    for (int i = 0; i < files; i++) {
        char name[16];
        snprintf(name, sizeof(name), "f%d", i);
        tar_bytes(tar, name, '0', bytes, size);
    }
    tar_end(tar);
    free(bytes);
}

START_TEST(sec32_a_full_disk_leaves_the_old_tree)
{
    if (!mount_small(at("work"))) {
        fprintf(stderr, "# skipped: a tmpfs cannot be mounted here\n");
        return;
    }
    struct billet_report report = BILLET_REPORT_INIT;
    struct billet_buffer tar = BILLET_BUFFER_INIT;
    for (int i = 0; i < 100; i++)
        make_file(at("work/f%d", i), "old");
    char *before = picture(at("work"));
    struct billet_workspace *workspace = begin("fulldisk");
    fill(&tar, 100, 60000);
    int fd = tar_fd(&tar);
    ck_assert_int_eq(billet_workspace_receive(workspace, fd, BILLET_RECEIVE_CHANGES, &error),
                     -BILLET_CLASS_CAPACITY);
    ck_assert_str_eq(error.code, "workspace_full");
    close(fd);
    billet_workspace_end(workspace);
    char *after = picture(at("work"));
    ck_assert_str_eq(before, after);
    /* With room it goes through. */
    billet_buffer_free(&tar);
    fill(&tar, 30, 60000);
    fd = tar_fd(&tar);
    workspace = begin("fulldisk");
    ck_assert_msg(billet_workspace_receive(workspace, fd, BILLET_RECEIVE_CHANGES, &error) == 0,
                  "%s", error.message);
    ck_assert_msg(billet_workspace_apply(workspace, &report, &error) == 0, "%s", error.message);
    billet_workspace_end(workspace);
    close(fd);
    ck_assert_uint_eq(report.totals[BILLET_REPORT_WRITTEN], 30);
    ck_assert_int_eq(umount(at("work")), 0);
    free(before);
    free(after);
    billet_buffer_free(&tar);
    billet_report_free(&report);
}
END_TEST

static void
set_up_crash(void)
{
    error = (struct billet_error)BILLET_ERROR_INIT;
    set_up();
}

int
main(void)
{
    Suite *suite = suite_create("workspace_crash");
    TCase *tests = tcase_create("crash");
    tcase_set_timeout(tests, 300);
    tcase_add_checked_fixture(tests, set_up_crash, tear_down);
    tcase_add_loop_test(tests, sec32_a_kill_at_any_moment_leaves_each_file_old_or_new, 0, 4);
    tcase_add_test(tests, sec32_a_kill_at_each_change_is_completed_or_undone);
    tcase_add_test(tests, sec32_a_disk_full_at_each_change_is_completed_or_undone);
    tcase_add_test(tests, sec31_a_flipping_directory_lets_nothing_out);
    tcase_add_test(tests, sec32_a_full_disk_leaves_the_old_tree);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
