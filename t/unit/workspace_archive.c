/* SPDX-License-Identifier: Apache-2.0 */
/* Hostile archives are refused as a whole (SEC-20 to SEC-33); good ones pass, also through tar. */
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>

#include "base/spawn.h"
#include "workspace/archive.h"
#include "workspace/workspace.h"
#include "workspace_support.h"

static struct billet_limits limits;
static struct billet_buffer tar;
static struct billet_error error;
static struct billet_report report;

static void
set_up_archive(void)
{
    set_up();
    limits = billet_limits_default;
    limits.free_floor_bytes = 0;
    error = (struct billet_error)BILLET_ERROR_INIT;
    report = (struct billet_report)BILLET_REPORT_INIT;
    make_file(at("work/a"), "old a");
    mkdir(at("work/d"), 0755);
    make_file(at("work/d/x"), "old x");
    make_file(at("outside/victim"), "victim");
}

static void
tear_down_archive(void)
{
    billet_buffer_free(&tar);
    billet_report_free(&report);
    tear_down();
}

static struct billet_workspace *
begin(void)
{
    struct billet_workspace *workspace = NULL;
    struct billet_workspace_options options = {.directory = at("work"),
                                               .state_directory = at("state"),
                                               .tag = "archived",
                                               .limits = &limits,
                                               .lock_deadline_ns = 1};
    ck_assert_msg(billet_workspace_begin(&options, &workspace, &error) == 0, "%s", error.message);
    return workspace;
}

/* Bring the archive in (changes only) and apply it. */
static int
bring(unsigned flags)
{
    struct billet_workspace *workspace = begin();
    int fd = tar_fd(&tar);
    int result = billet_workspace_receive(workspace, fd, BILLET_RECEIVE_CHANGES | flags, &error);
    close(fd);
    unlink(at("archive.tar"));
    if (result == 0)
        result = billet_workspace_apply(workspace, &report, &error);
    billet_workspace_end(workspace);
    return result;
}

/* Nothing of the workspace or beside it is other than before. */
static void
assert_refused(const char *code, const char *what)
{
    char *work = picture(at("work"));
    char *outside = picture(at("outside"));
    if (code != NULL)
        tar_end(&tar);
    error = (struct billet_error)BILLET_ERROR_INIT;
    int result = bring(0);
    ck_assert_msg(result < 0, "%s: accepted", what);
    if (code != NULL)
        ck_assert_msg(strcmp(error.code, code) == 0, "%s: %s (%s)", what, error.message,
                      error.code);
    ck_assert_msg(error.message[0] != '\0', "%s: no message", what);
    char *work_after = picture(at("work"));
    char *outside_after = picture(at("outside"));
    ck_assert_str_eq(work, work_after);
    ck_assert_str_eq(outside, outside_after);
    free(work);
    free(outside);
    free(work_after);
    free(outside_after);
    billet_buffer_free(&tar);
}

static void
assert_accepted(void)
{
    tar_end(&tar);
    ck_assert_msg(bring(0) == 0, "%s", error.message);
    billet_buffer_free(&tar);
}

START_TEST(sec20_names_that_leave_the_tree_are_refused)
{
    char deep[300 * 2];
    char wide[300];
    char *huge = calloc(1, 5000);
    static const char *const names[] = {
        "../b", "/b",    "d/../../b", "d/..", "d//b", "./b",   ".",
        "..",   "d/./b", "b/",        "",     "//",   "d/../", ".billet-stage-x/f"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        tar_file(&tar, names[i], "evil");
        assert_refused(names[i][0] != '\0' ? "path_refused" : "archive_refused", names[i]);
        tar_file(&tar, "good", "good");
        tar_record(&tar, "path", names[i], strlen(names[i]));
        tar_file(&tar, "short", "evil");
        assert_refused(names[i][0] != '\0' ? "path_refused" : "archive_refused", names[i]);
    }
    tar_record(&tar, "path", "n\0l", 3);
    tar_file(&tar, "short", "evil");
    assert_refused("path_refused", "NUL");
    for (size_t i = 0; i + 1 < sizeof(deep); i += 2)
        memcpy(deep + i, "d/", 2);
    tar_record(&tar, "path", deep, sizeof(deep) - 1);
    tar_file(&tar, "short", "evil");
    assert_refused("path_refused", "300 deep");
    memset(wide, 'w', sizeof(wide));
    tar_record(&tar, "path", wide, 256);
    tar_file(&tar, "short", "evil");
    assert_refused("path_refused", "256 bytes in a component");
    memset(huge, 'h', 5000);
    for (size_t i = 100; i < 5000; i += 100)
        huge[i] = '/';
    tar_record(&tar, "path", huge, 4097);
    tar_file(&tar, "short", "evil");
    assert_refused("path_refused", "more than PATH_MAX");
    tar_record(&tar, "path", huge, 4900);
    tar_file(&tar, "short", "evil");
    assert_refused("archive_refused", "much more than PATH_MAX");
    free(huge);
}
END_TEST

START_TEST(sec21_writing_through_a_link_of_the_archive_is_refused)
{
    tar_item(&tar, "l", '2', "d", 0777);
    tar_file(&tar, "l/f", "evil");
    assert_refused("archive_refused", "below a link");
    tar_item(&tar, "l", '2', "d", 0777);
    tar_file(&tar, "l/./f", "evil");
    assert_refused("path_refused", "below a link with a dot");
    tar_item(&tar, "d2", '5', NULL, 0755);
    tar_item(&tar, "d2", '2', "d", 0777);
    tar_file(&tar, "d2/f", "evil");
    assert_refused("archive_refused", "a directory replaced by a link");
    tar_file(&tar, "f", "file");
    tar_file(&tar, "f/g", "evil");
    assert_refused("archive_refused", "below a file");
    tar_file(&tar, "p/q", "first");
    tar_item(&tar, "p", '2', "d", 0777);
    assert_refused("archive_refused", "a parent that becomes a link");
}
END_TEST

START_TEST(sec22_a_link_of_an_earlier_run_is_not_followed)
{
    tar_item(&tar, "planted", '2', "d", 0777);
    assert_accepted();
    ck_assert_int_eq(unlink(at("work/planted")), 0);
    ck_assert_int_eq(symlink(at("outside"), at("work/planted")), 0);
    tar_item(&tar, "planted", '5', NULL, 0755);
    tar_file(&tar, "planted/victim", "evil");
    assert_accepted();
    assert_content(at("outside/victim"), "victim");
    assert_content(at("work/planted.billet-conflict-archived/victim"), "evil");
}
END_TEST

START_TEST(sec23_links_that_leave_the_tree_are_refused)
{
    static const char *const targets[] = {
        "/etc/shadow", "../x", "../../x", "d/../../x", "a/../../x", "..", "d/../x", "", "../d/.."};
    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        tar_item(&tar, "l", '2', targets[i], 0777);
        assert_refused("link_refused", targets[i]);
        tar_record(&tar, "linkpath", targets[i][0] != '\0' ? targets[i] : "/",
                   targets[i][0] != '\0' ? strlen(targets[i]) : 1);
        tar_item(&tar, "l", '2', "d", 0777);
        assert_refused("link_refused", targets[i]);
    }
    limits.flags |= BILLET_LIMIT_NO_LINKS;
    tar_item(&tar, "l", '2', "d", 0777);
    assert_refused("link_refused", "no links at all");
    limits.flags = 0;
    tar_item(&tar, "d/up", '2', "../a", 0777);
    assert_accepted();
    assert_content(at("work/d/up"), "old a");
    /* And on the way out a link that leads outside is not followed. */
    ck_assert_int_eq(symlink(at("outside/victim"), at("work/leak")), 0);
    struct billet_workspace *workspace = begin();
    int fd = open(at("out.tar"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ck_assert_int_eq(billet_workspace_send(workspace, NULL, fd, NULL, &error), 0);
    billet_workspace_end(workspace);
    close(fd);
    FILE *file = fopen(at("out.tar"), "r");
    static char bytes[1 << 20];
    size_t length = fread(bytes, 1, sizeof(bytes), file);
    fclose(file);
    ck_assert_ptr_null(memmem(bytes, length, "victim", 6));
    ck_assert_ptr_null(memmem(bytes, length, "leak", 4));
    ck_assert_ptr_nonnull(memmem(bytes, length, "old a", 5));
}
END_TEST

START_TEST(sec24_hard_links_become_copies_or_are_refused)
{
    struct stat status;
    static const char *const targets[] = {"/etc/passwd", "../outside/victim", "nowhere", "a", "l",
                                          "dir"};
    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        tar_item(&tar, "l", '2', "d", 0777);
        tar_item(&tar, "dir", '5', NULL, 0755);
        tar_item(&tar, "h", '1', targets[i], 0644);
        assert_refused(NULL, targets[i]);
    }
    tar_file(&tar, "f", "content");
    tar_item(&tar, "h", '1', "f", 0644);
    assert_accepted();
    assert_content(at("work/h"), "content");
    ck_assert_int_eq(stat(at("work/f"), &status), 0);
    ck_assert_uint_eq(status.st_nlink, 1);
    ck_assert_int_eq(stat(at("outside/victim"), &status), 0);
    ck_assert_uint_eq(status.st_nlink, 1);
}
END_TEST

START_TEST(sec25_devices_and_fifos_are_refused_at_once)
{
    static const char types[] = "3467SDMVNXAsZ";
    struct timespec start;
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (size_t i = 0; types[i] != '\0'; i++) {
        char what[] = {types[i], '\0'};
        tar_item(&tar, "node", types[i], NULL, 0644);
        assert_refused("archive_refused", what);
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    ck_assert_int_lt(end.tv_sec - start.tv_sec, 10);
    /* A FIFO that is here already: neither opened on the way out nor replaced. */
    ck_assert_int_eq(mkfifo(at("work/pipe"), 0644), 0);
    tar_file(&tar, "pipe", "theirs");
    assert_accepted();
    assert_content(at("work/pipe.billet-conflict-archived"), "theirs");
}
END_TEST

START_TEST(sec26_only_plain_permissions_are_kept)
{
    struct stat status;
    char block[512];
    tar_head(block, "s", '0', NULL, 0, 06777);
    snprintf(block + 108, 8, "%07o", 12345);
    snprintf(block + 116, 8, "%07o", 12345);
    tar_sum(block);
    billet_buffer_append(&tar, block, sizeof(block));
    tar_item(&tar, "t", '5', NULL, 01777);
    assert_accepted();
    ck_assert_int_eq(stat(at("work/s"), &status), 0);
    ck_assert_uint_eq(status.st_mode & 07777, 0755);
    ck_assert_uint_eq(status.st_uid, geteuid());
    ck_assert_int_eq(stat(at("work/t"), &status), 0);
    ck_assert_uint_eq(status.st_mode & 07777, 0755);
}
END_TEST

START_TEST(sec27_attributes_are_dropped)
{
    char value[64];
    tar_record(&tar, "SCHILY.xattr.security.capability", "\1\0\0\2\0\0\0\0", 8);
    tar_file(&tar, "c", "content");
    tar_record(&tar, "SCHILY.xattr.user.note", "text", 4);
    tar_file(&tar, "u", "content");
    assert_accepted();
    ck_assert_int_lt(getxattr(at("work/c"), "security.capability", value, sizeof(value)), 0);
    ck_assert_int_lt(getxattr(at("work/u"), "user.note", value, sizeof(value)), 0);
    assert_content(at("work/c"), "content");
}
END_TEST

START_TEST(sec28_what_is_too_much_is_refused_before_it_is_written)
{
    char block[512];
    struct timespec start;
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    limits.file_bytes = UINT64_C(1) << 30;
    tar_head(block, "bomb", '0', NULL, 0, 0644);
    memcpy(block + 124, "\200\0\0\0\0\0\1\0\0\0\0\0", 12); /* 1 TiB in base 256 */
    tar_sum(block);
    billet_buffer_append(&tar, block, sizeof(block));
    assert_refused("archive_limit", "1 TiB");
    memcpy(block + 124, "\200\0\0\0\177\377\377\377\377\377\377\377", 12);
    tar_sum(block);
    billet_buffer_append(&tar, block, sizeof(block));
    assert_refused("archive_limit", "8 EiB");
    tar_record(&tar, "GNU.sparse.major", "1", 1);
    tar_file(&tar, "sparse", "x");
    assert_refused("archive_refused", "sparse");
    clock_gettime(CLOCK_MONOTONIC, &end);
    ck_assert_int_lt(end.tv_sec - start.tv_sec, 2);
    limits.total_bytes = 100;
    for (int i = 0; i < 11; i++) {
        char name[16];
        snprintf(name, sizeof(name), "f%d", i);
        tar_file(&tar, name, "ten bytes.");
    }
    assert_refused("archive_limit", "bytes together");
    limits.total_bytes = 1 << 20;
    limits.entries = 10;
    for (int i = 0; i < 11; i++) {
        char name[16];
        snprintf(name, sizeof(name), "f%d", i);
        tar_file(&tar, name, "");
    }
    assert_refused("archive_limit", "entries");
    limits.entries = 1000;
    limits.name_bytes = 30;
    for (int i = 0; i < 11; i++) {
        char name[16];
        snprintf(name, sizeof(name), "f%d", i);
        tar_file(&tar, name, "");
    }
    assert_refused(NULL, "names");
    limits = billet_limits_default;
    limits.free_floor_bytes = UINT64_C(1) << 60;
    tar_file(&tar, "f", "x");
    assert_refused("workspace_full", "the reserve");
}
END_TEST

START_TEST(sec28_a_stream_that_does_not_end_is_given_up)
{
    int pipe_fds[2];
    ck_assert_int_eq(pipe(pipe_fds), 0);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    limits.deadline_ns = now.tv_sec * INT64_C(1000000000) + now.tv_nsec + 50000000;
    struct billet_workspace *workspace = begin();
    ck_assert_int_eq(
        billet_workspace_receive(workspace, pipe_fds[0], BILLET_RECEIVE_CHANGES, &error),
        -BILLET_CLASS_TIMEOUT);
    billet_workspace_end(workspace);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}
END_TEST

START_TEST(sec29_names_that_come_twice_or_hold_control_bytes_are_refused)
{
    tar_file(&tar, "f", "one");
    tar_file(&tar, "f", "two");
    assert_refused("archive_refused", "twice");
    tar_item(&tar, "g", '5', NULL, 0755);
    tar_item(&tar, "g/", '5', NULL, 0755);
    assert_refused("archive_refused", "twice with a slash");
    tar_file(&tar, "new\nline", "x");
    assert_refused("path_refused", "newline");
    tar_file(&tar, "esc\033[2J", "x");
    assert_refused("path_refused", "escape");
    limits.flags = BILLET_LIMIT_UTF8_NAMES;
    tar_file(&tar, "\377\376", "x");
    assert_refused("path_refused", "not UTF-8");
    limits.flags = 0;
    tar_file(&tar, "\377\376", "bytes");
    tar_file(&tar, "Case", "upper");
    tar_file(&tar, "case", "lower");
    tar_file(&tar, "e\314\201", "decomposed");
    tar_file(&tar, "\303\251", "composed");
    assert_accepted();
    assert_content(at("work/\377\376"), "bytes");
    assert_content(at("work/Case"), "upper");
    assert_content(at("work/case"), "lower");
    assert_content(at("work/e\314\201"), "decomposed");
    assert_content(at("work/\303\251"), "composed");
}
END_TEST

static void
pax(const char *body)
{
    tar_bytes(&tar, "pax", 'x', body, strlen(body));
    tar_file(&tar, "f", "content");
    assert_refused("archive_refused", body);
}

START_TEST(sec30_tricks_with_headers_are_refused)
{
    char block[512];
    pax("13 size=99999\n");
    pax("9 size=-1\n");
    pax("7 path\n");
    pax("99 path=x\n");
    pax("0 path=x\n");
    pax("010 path=x\n");
    pax("-9 path=x\n");
    pax("10 path=x\n10 path=y\n");
    pax("11 path=x\n");
    pax("10 path=xy");
    pax("5 =x\n");
    pax("18 unknown.key=ab\n");
    pax("99999999999999999999 path=x\n");
    pax("13 mtime=abc\n");
    pax("10 path=x\n10 size=7\n10 size=7\n");
    tar_bytes(&tar, "././@LongLink", 'L', "long\0", 5);
    tar_record(&tar, "path", "other", 5);
    tar_file(&tar, "f", "x");
    assert_refused("archive_refused", "GNU and pax");
    tar_record(&tar, "path", "other", 5);
    tar_bytes(&tar, "././@LongLink", 'L', "long\0", 5);
    tar_file(&tar, "f", "x");
    assert_refused("archive_refused", "pax and GNU");
    tar_bytes(&tar, "././@LongLink", 'L', "lo\0ng\0", 6);
    tar_file(&tar, "f", "x");
    assert_refused("archive_refused", "NUL in a long name");
    tar_record(&tar, "path", "one", 3);
    tar_record(&tar, "path", "two", 3);
    tar_file(&tar, "f", "x");
    assert_refused("archive_refused", "two pax headers");
    tar_bytes(&tar, "g", 'g', "10 path=x\n", 10);
    tar_file(&tar, "f", "x");
    assert_refused("archive_refused", "a global path");
    tar_record(&tar, "path", "nothing", 7);
    assert_refused("archive_refused", "a header for nothing");
    tar_file(&tar, "f", "x");
    tar.data[3] ^= 1;
    assert_refused("archive_refused", "a checksum");
    tar_head(block, "f", '0', NULL, 0, 0644);
    block[50] = 'x';
    tar_sum(block);
    billet_buffer_append(&tar, block, sizeof(block));
    assert_refused("archive_refused", "bytes behind a name");
    tar_head(block, "f", '0', "target", 0, 0644);
    tar_sum(block);
    billet_buffer_append(&tar, block, sizeof(block));
    assert_refused("archive_refused", "a file with a target");
    tar_head(block, "dir", '5', NULL, 512, 0755);
    billet_buffer_append(&tar, block, sizeof(block));
    tar_file(&tar, "hidden", "x");
    assert_refused("archive_refused", "a directory with content");
    tar_head(block, "f", '0', NULL, 0, 0644);
    memcpy(block + 257, "nothing\0", 8);
    tar_sum(block);
    billet_buffer_append(&tar, block, sizeof(block));
    assert_refused("archive_refused", "no magic");
    tar_head(block, "f", '0', NULL, 0, 0644);
    memset(block + 124, 0xff, 12);
    tar_sum(block);
    billet_buffer_append(&tar, block, sizeof(block));
    assert_refused("archive_refused", "a negative size");
    tar_file(&tar, "f", "x");
    tar_end(&tar);
    tar_file(&tar, "second", "archive");
    assert_refused("archive_refused", "an archive behind the end");
}
END_TEST

START_TEST(a_cut_off_archive_is_refused_wherever_it_is_cut)
{
    struct billet_buffer whole = BILLET_BUFFER_INIT;
    tar_record(&whole, "path", "long/name", 9);
    tar_file(&whole, "f", "content");
    tar_item(&whole, "l", '2', "f", 0777);
    tar_file(&whole, "a", "new a");
    tar_end(&whole);
    for (size_t cut = 0; cut < whole.length; cut += cut % 512 == 0 ? 1 : 173) {
        billet_buffer_append(&tar, whole.data, cut);
        billet_buffer_append(&tar, "", 0);
        assert_refused(NULL, "cut off");
    }
    billet_buffer_append(&tar, whole.data, whole.length);
    ck_assert_msg(bring(0) == 0, "%s", error.message);
    assert_content(at("work/long/name"), "content");
    billet_buffer_free(&whole);
}
END_TEST

START_TEST(sec33_names_that_look_like_options_travel)
{
    tar_file(&tar, "--checkpoint-action=exec=sh", "dash");
    tar_file(&tar, "-rf", "dash");
    tar_file(&tar, "$(id)", "dollar");
    assert_accepted();
    assert_content(at("work/--checkpoint-action=exec=sh"), "dash");
    assert_content(at("work/-rf"), "dash");
    assert_content(at("work/$(id)"), "dollar");
    struct billet_workspace *workspace = begin();
    int fd = open(at("archive.tar"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ck_assert_int_eq(billet_workspace_send(workspace, NULL, fd, NULL, &error), 0);
    ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
    unlink(at("work/-rf"));
    billet_workspace_end(workspace);
    workspace = begin();
    ck_assert_msg(billet_workspace_receive(workspace, fd, 0, &error) == 0, "%s", error.message);
    ck_assert_int_eq(billet_workspace_apply(workspace, &report, &error), 0);
    billet_workspace_end(workspace);
    close(fd);
    assert_content(at("work/-rf"), "dash");
}
END_TEST

/* --- with the tar of the system ----------------------------------------------------------------
 */

static bool
run_tar(const char *const *argv, int in, int out)
{
    pid_t pid;
    int status;
    const char *const environment[] = {"PATH=/usr/bin:/bin", NULL};
    int fds[3] = {in, out, 2};
    struct billet_spawn spawn = {.path = access("/usr/bin/tar", X_OK) == 0 ? "/usr/bin/tar"
                                                                           : "/bin/tar",
                                 .argv = argv,
                                 .environment = environment,
                                 .fds = fds,
                                 .fd_count = 3};
    if (billet_spawn(&spawn, &pid, NULL, &error) < 0)
        return false;
    return waitpid(pid, &status, 0) == pid && status == 0;
}

static void
make_various(void)
{
    char name[256];
    char target[160];
    memset(name, 'n', sizeof(name));
    name[200] = '\0';
    make_file(at("work/%s", name), "long");
    name[100] = '\0';
    make_file(at("work/%s", name), "hundred");
    name[99] = '\0';
    mkdir(at("work/%s", name), 0755);
    mkdir(at("work/empty"), 0700);
    memset(target, 't', sizeof(target));
    target[150] = '\0';
    ck_assert_int_eq(symlink(target, at("work/long-link")), 0);
    ck_assert_int_eq(symlink("../a", at("work/d/up")), 0);
    make_file(at("work/\377bytes"), "bytes");
    make_file(at("work/run"), "#!/bin/sh\n");
    chmod(at("work/run"), 0755);
    make_file(at("work/nothing"), "");
}

START_TEST(our_archive_is_read_by_tar)
{
    make_various();
    mkdir(at("far"), 0755);
    struct billet_workspace *workspace = begin();
    int fd = open(at("archive.tar"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    uint64_t sent;
    ck_assert_int_eq(billet_workspace_send(workspace, NULL, fd, &sent, &error), 0);
    billet_workspace_end(workspace);
    ck_assert_int_eq(lseek(fd, 0, SEEK_END), (off_t)sent);
    ck_assert_uint_eq(sent % 10240, 0);
    ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
    const char *far = at("far");
    const char *argv[] = {"tar", "-xpf", "-", "-C", far, NULL};
    ck_assert(run_tar(argv, fd, 1));
    close(fd);
    char *here = picture(at("work"));
    char *there = picture(at("far"));
    ck_assert_str_eq(here, there);
    free(here);
    free(there);
}
END_TEST

static void
tar_comes_back(const char *format)
{
    /* Everything is sent back by tar: only what changed there may be written here. */
    struct stat before;
    struct stat after;
    make_various();
    mkdir(at("far"), 0755);
    struct billet_workspace *workspace = begin();
    struct billet_copy_result done;
    ck_assert_int_eq(billet_workspace_copy(workspace, at("far"), &done, &error), 0);
    make_file(at("far/run"), "changed\n");
    ck_assert_int_eq(link(at("far/run"), at("far/linked")), 0);
    unlink(at("far/nothing"));
    make_file(at("far/d/new"), "new");
    int fd = open(at("archive.tar"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    const char *far = at("far");
    const char *argv[] = {"tar", format, "-cf", "-", "-C", far, ".", NULL};
    ck_assert(run_tar(argv, 0, fd));
    ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
    ck_assert_int_eq(stat(at("work/a"), &before), 0);
    ck_assert_msg(billet_workspace_receive(workspace, fd, BILLET_RECEIVE_DOT, &error) == 0, "%s",
                  error.message);
    ck_assert_msg(billet_workspace_apply(workspace, &report, &error) == 0, "%s", error.message);
    billet_workspace_end(workspace);
    close(fd);
    ck_assert_int_eq(stat(at("work/a"), &after), 0);
    ck_assert_uint_eq(before.st_ino, after.st_ino);
    ck_assert_uint_eq(report.totals[BILLET_REPORT_WRITTEN], 3);
    ck_assert_uint_eq(report.totals[BILLET_REPORT_DELETED], 1);
    ck_assert(!billet_report_has_conflicts(&report));
    char *here = picture(at("work"));
    char *there = picture(at("far"));
    ck_assert_str_eq(here, there);
    free(here);
    free(there);
}

START_TEST(an_archive_of_gnu_tar_comes_back)
{
    tar_comes_back("--format=gnu");
}
END_TEST

START_TEST(an_archive_in_pax_format_comes_back)
{
    tar_comes_back("--format=posix");
}
END_TEST

START_TEST(a_large_sparse_file_travels_and_stays_sparse)
{
    struct stat status;
    const off_t size = ((off_t)4 << 30) + (1 << 20);
    int fd = open(at("work/large"), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pwrite(fd, "first", 5, 0), 5);
    ck_assert_int_eq(pwrite(fd, "last", 4, size - 4), 4);
    close(fd);
    mkdir(at("far"), 0755);
    struct billet_workspace *workspace = begin();
    struct billet_copy_result done;
    ck_assert_msg(billet_workspace_copy(workspace, at("far"), &done, &error) == 0, "%s",
                  error.message);
    ck_assert_int_eq(stat(at("far/large"), &status), 0);
    ck_assert_int_eq(status.st_size, size);
    ck_assert_int_lt(status.st_blocks, 1024);
    fd = open(at("far/large"), O_RDWR | O_CLOEXEC);
    ck_assert_int_eq(pwrite(fd, "middle", 6, size / 2), 6);
    close(fd);
    ck_assert_msg(billet_workspace_receive_copy(workspace, at("far"), &error) == 0, "%s",
                  error.message);
    ck_assert_int_eq(billet_workspace_apply(workspace, &report, &error), 0);
    billet_workspace_end(workspace);
    char text[8] = "";
    fd = open(at("work/large"), O_RDONLY | O_CLOEXEC);
    ck_assert_int_eq(pread(fd, text, 6, size / 2), 6);
    ck_assert_str_eq(text, "middle");
    ck_assert_int_eq(pread(fd, text, 6, size - 4), 4);
    ck_assert_int_eq(memcmp(text, "last", 4), 0);
    close(fd);
    ck_assert_int_eq(stat(at("work/large"), &status), 0);
    ck_assert_int_lt(status.st_blocks, 1024);
}
END_TEST

/* 5 GiB through a pipe: the size is in a pax record, the zeros become a hole. */
static ssize_t
long_source(void *context, void *to, size_t size)
{
    static char head[2048];
    uint64_t *offset = context;
    const uint64_t length = (UINT64_C(5) << 30) + 512;
    if (*offset == 0) {
        struct billet_buffer start = BILLET_BUFFER_INIT;
        tar_record(&start, "size", "5368709632", 10);
        tar_file(&start, "large", "");
        ck_assert_uint_eq(start.length, 1536);
        memcpy(head, start.data, start.length);
        billet_buffer_free(&start);
    }
    uint64_t end = 1536 + length + 1024;
    if (*offset >= end)
        return 0;
    if (size > end - *offset)
        size = (size_t)(end - *offset);
    if (*offset < 1536) {
        if (size > 1536 - *offset)
            size = (size_t)(1536 - *offset);
        memcpy(to, head + *offset, size);
    } else {
        memset(to, 0, size);
    }
    *offset += size;
    return (ssize_t)size;
}

START_TEST(more_than_4_gib_pass_the_reader)
{
    uint64_t offset = 0;
    struct billet_archive_reader *reader;
    struct billet_archive_entry entry;
    uint64_t got = 0;
    ck_assert_int_eq(billet_archive_reader_new(long_source, &offset, &limits, 0, &reader, &error),
                     0);
    ck_assert_msg(billet_archive_next(reader, &entry, &error) == 1, "%s", error.message);
    ck_assert_uint_eq(entry.size, (UINT64_C(5) << 30) + 512);
    for (;;) {
        const char *bytes;
        size_t length;
        ck_assert_int_eq(billet_archive_content(reader, &bytes, &length, &error), 0);
        if (length == 0)
            break;
        got += length;
    }
    ck_assert_uint_eq(got, entry.size);
    ck_assert_int_eq(billet_archive_next(reader, &entry, &error), 0);
    billet_archive_reader_free(reader);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("workspace_archive");
    TCase *tests = tcase_create("archive");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, set_up_archive, tear_down_archive);
    tcase_add_test(tests, sec20_names_that_leave_the_tree_are_refused);
    tcase_add_test(tests, sec21_writing_through_a_link_of_the_archive_is_refused);
    tcase_add_test(tests, sec22_a_link_of_an_earlier_run_is_not_followed);
    tcase_add_test(tests, sec23_links_that_leave_the_tree_are_refused);
    tcase_add_test(tests, sec24_hard_links_become_copies_or_are_refused);
    tcase_add_test(tests, sec25_devices_and_fifos_are_refused_at_once);
    tcase_add_test(tests, sec26_only_plain_permissions_are_kept);
    tcase_add_test(tests, sec27_attributes_are_dropped);
    tcase_add_test(tests, sec28_what_is_too_much_is_refused_before_it_is_written);
    tcase_add_test(tests, sec28_a_stream_that_does_not_end_is_given_up);
    tcase_add_test(tests, sec29_names_that_come_twice_or_hold_control_bytes_are_refused);
    tcase_add_test(tests, sec30_tricks_with_headers_are_refused);
    tcase_add_test(tests, sec33_names_that_look_like_options_travel);
    tcase_add_test(tests, a_cut_off_archive_is_refused_wherever_it_is_cut);
    tcase_add_test(tests, our_archive_is_read_by_tar);
    tcase_add_test(tests, an_archive_of_gnu_tar_comes_back);
    tcase_add_test(tests, an_archive_in_pax_format_comes_back);
    tcase_add_test(tests, a_large_sparse_file_travels_and_stays_sparse);
    tcase_add_test(tests, more_than_4_gib_pass_the_reader);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
