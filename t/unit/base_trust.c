/* SPDX-License-Identifier: Apache-2.0 */
/* The walk to a file that must be trusted: which owners, modes and links it accepts. */
#include <errno.h>
#include <sys/wait.h>

#include "base/error.h"
#include "base/io.h"
#include "unit_fixture.h"

/* The users of the table: whoever runs the walk, root, somebody else. Rows that need another owner
 * than the one who runs the test are skipped when it is not root. */
enum owner { SELF, ROOT, OTHER };

static char *scratch;
static uid_t walker; /* the effective user of the walk */

static void
set_up(void)
{
    scratch = unit_make_scratch();
    walker = geteuid();
}

static void
tear_down(void)
{
    unit_remove_scratch(scratch);
}

static uid_t
uid_of(enum owner owner)
{
    return owner == SELF ? walker : owner == ROOT ? 0 : 4242;
}

/* False when this user cannot make it so. */
static bool
give(const char *path, enum owner owner)
{
    if (uid_of(owner) == geteuid())
        return true;
    if (geteuid() != 0)
        return false;
    ck_assert_int_eq(lchown(path, uid_of(owner), (gid_t)-1), 0);
    return true;
}

static const char *
at(const char *name)
{
    static char path[4][PATH_MAX];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], PATH_MAX, "%s/%s", scratch, name);
    return path[turn];
}

/* As the walker, in a process of its own: the negative class, with the first bytes of the message.
 */
static int
walk(const char *path, unsigned flags, char says[BILLET_MESSAGE_MAX])
{
    int ends[2];
    struct {
        int result;
        struct billet_error error;
    } answer = {0, BILLET_ERROR_INIT};
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        int fd = -2;
        if (walker != geteuid() && seteuid(walker) != 0)
            _exit(9);
        int before = unit_count_open();
        answer.result = billet_io_open_trusted(path, flags, &fd, &answer.error);
        char text[8] = "";
        if (answer.result == 0 &&
            (read(fd, text, 7) != 7 || memcmp(text, "content", 7) != 0 || close(fd) != 0))
            answer.result = -100;
        if (answer.result < 0 && fd != -2)
            answer.result = -101; /* written without success */
        if (unit_count_open() != before)
            answer.result = -102;
        _exit(write(ends[1], &answer, sizeof(answer)) == sizeof(answer) ? 0 : 8);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(read(ends[0], &answer, sizeof(answer)), sizeof(answer));
    close(ends[0]);
    close(ends[1]);
    memcpy(says, answer.error.message, BILLET_MESSAGE_MAX);
    if (answer.result == -BILLET_CLASS_AUTH && strcmp(answer.error.code, "path_untrusted") == 0)
        ck_assert_str_ne(answer.error.hint, "");
    return answer.result;
}

struct row {
    enum owner top, directory, file;
    mode_t top_mode, directory_mode, file_mode;
    unsigned flags;
    const char *refusal; /* NULL: opened */
    const char *component;
};

static const struct row rows[] = {
    {SELF, SELF, SELF, 0755, 0755, 0644, 0, NULL, NULL},
    {SELF, SELF, SELF, 0700, 0700, 0400, BILLET_TRUST_PRIVATE, NULL, NULL},
    {ROOT, ROOT, ROOT, 0755, 0755, 0644, 0, NULL, NULL},
    {ROOT, SELF, ROOT, 0755, 0755, 0644, 0, NULL, NULL},
    {SELF, ROOT, SELF, 0755, 0755, 0644, 0, NULL, NULL},
    {SELF, SELF, OTHER, 0755, 0755, 0644, 0, "belongs to another user", "/top/dir/file"},
    {SELF, OTHER, SELF, 0755, 0755, 0644, 0, "belongs to another user", "/top/dir"},
    {OTHER, SELF, SELF, 0755, 0755, 0644, 0, "belongs to another user", "/top"},
    {SELF, SELF, SELF, 0755, 0755, 0664, 0, "is writable by group or others", "/top/dir/file"},
    {SELF, SELF, SELF, 0755, 0755, 0646, 0, "is writable by group or others", "/top/dir/file"},
    {SELF, SELF, SELF, 0755, 0775, 0644, 0, "is writable by group or others", "/top/dir"},
    {SELF, SELF, SELF, 0757, 0755, 0644, 0, "is writable by group or others", "/top"},
    /* A sticky directory protects what is in it only when its owner cannot rename it either. */
    {ROOT, SELF, SELF, 01777, 0755, 0644, 0, NULL, NULL},
    {ROOT, ROOT, ROOT, 01777, 0755, 0644, 0, NULL, NULL},
    {ROOT, OTHER, SELF, 01777, 0755, 0644, 0, "belongs to another user", "/top/dir"},
    {OTHER, SELF, SELF, 01777, 0755, 0644, 0, "belongs to another user", "/top"},
    {SELF, ROOT, SELF, 0755, 01777, 0644, 0, NULL, NULL},
    {SELF, ROOT, OTHER, 0755, 01777, 0644, 0, "belongs to another user", "/top/dir/file"},
    {SELF, SELF, SELF, 0755, 0755, 0440, BILLET_TRUST_PRIVATE, "is readable by group or others",
     "/top/dir/file"},
    {SELF, SELF, SELF, 0755, 0755, 0604, BILLET_TRUST_PRIVATE, "is readable by group or others",
     "/top/dir/file"},
    {SELF, SELF, SELF, 0755, 0755, 0600, BILLET_TRUST_PRIVATE, NULL, NULL},
};

static void
walk_all_rows(void)
{
    int judged = 0;
    if (geteuid() == 0)
        ck_assert_int_eq(chown(scratch, 0, 0) | chmod(scratch, 0755), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct row *row = &rows[i];
        char says[BILLET_MESSAGE_MAX];
        char expected[PATH_MAX + 64];
        ck_assert_int_eq(mkdir(at("top"), 0755), 0);
        ck_assert_int_eq(mkdir(at("top/dir"), 0755), 0);
        unit_write_file(at("top/dir/file"), "content", row->file_mode);
        ck_assert_int_eq(chmod(at("top/dir"), row->directory_mode), 0);
        ck_assert_int_eq(chmod(at("top"), row->top_mode), 0);
        if (give(at("top/dir/file"), row->file) && give(at("top/dir"), row->directory) &&
            give(at("top"), row->top)) {
            int result = walk(at("top/dir/file"), row->flags, says);
            judged++;
            if (row->refusal == NULL) {
                ck_assert_msg(result == 0, "row %zu: %d %s", i, result, says);
            } else {
                snprintf(expected, sizeof(expected), "%s%s %s", scratch, row->component,
                         row->refusal);
                ck_assert_msg(result == -BILLET_CLASS_AUTH, "row %zu: %d %s", i, result, says);
                ck_assert_msg(strcmp(says, expected) == 0, "row %zu: %s, not %s", i, says,
                              expected);
            }
        }
        unlink(at("top/dir/file"));
        rmdir(at("top/dir"));
        ck_assert_int_eq(rmdir(at("top")), 0);
    }
    ck_assert_int_ge(judged, geteuid() == 0 ? (int)(sizeof(rows) / sizeof(rows[0])) : 9);
}

START_TEST(owners_and_modes_are_judged_one_by_one)
{
    walk_all_rows();
}
END_TEST

START_TEST(the_same_for_an_ordinary_user)
{
    if (geteuid() != 0)
        return; /* the test above was this one */
    walker = UNIT_OTHER_USER;
    walk_all_rows();
}
END_TEST

/* A tree: real/file, and the link named "link" that belongs to owner. */
static bool
make_link(const char *target, enum owner owner)
{
    ck_assert_int_eq(mkdir(at("real"), 0755), 0);
    unit_write_file(at("real/file"), "content", 0644);
    ck_assert_int_eq(symlink(target, at("link")), 0);
    if (geteuid() == 0) {
        ck_assert_int_eq(chmod(scratch, 0755), 0);
        ck_assert_int_eq(give(at("real"), SELF) && give(at("real/file"), SELF), true);
    }
    return give(at("link"), owner);
}

START_TEST(links_among_the_directories_are_followed_when_their_owner_is_trusted)
{
    char says[BILLET_MESSAGE_MAX];
    for (int pass = 0; pass < 2; pass++) {
        char absolute[PATH_MAX];
        snprintf(absolute, sizeof(absolute), "%s/real", scratch);
        ck_assert(make_link(pass == 0 ? "real" : absolute, SELF));
        ck_assert_msg(walk(at("link/file"), 0, says) == 0, "%s", says);
        ck_assert_msg(walk(at("./link/../real//file"), 0, says) == 0, "%s", says);
        if (give(at("link"), OTHER) && geteuid() == 0) {
            ck_assert_int_eq(walk(at("link/file"), 0, says), -BILLET_CLASS_AUTH);
            ck_assert_ptr_nonnull(strstr(says, "/link is a symbolic link of another user"));
        }
        unlink(at("link"));
        unlink(at("real/file"));
        rmdir(at("real"));
    }
}
END_TEST

START_TEST(a_link_in_a_directory_of_others_is_no_way_to_a_trusted_file)
{
    char says[BILLET_MESSAGE_MAX];
    ck_assert(make_link("real", SELF));
    ck_assert_int_eq(mkdir(at("open"), 0755), 0);
    ck_assert_int_eq(chmod(at("open"), 0777), 0);
    ck_assert_int_eq(symlink("../real", at("open/link")), 0);
    ck_assert_int_eq(walk(at("open/link/file"), 0, says), -BILLET_CLASS_AUTH);
    ck_assert_ptr_nonnull(strstr(says, "/open is writable by group or others"));
    /* Going through it and back out again is the same. */
    ck_assert_int_eq(walk(at("open/../real/file"), 0, says), -BILLET_CLASS_AUTH);
    /* What a link of ours leads to is judged, too. */
    ck_assert_int_eq(symlink("open", at("second")), 0);
    ck_assert_int_eq(walk(at("second/link/file"), 0, says), -BILLET_CLASS_AUTH);
}
END_TEST

START_TEST(the_file_itself_is_never_a_link_a_directory_or_a_pipe)
{
    char says[BILLET_MESSAGE_MAX];
    ck_assert(make_link("real/file", SELF));
    ck_assert_int_eq(walk(at("link"), 0, says), -BILLET_CLASS_AUTH);
    ck_assert_ptr_nonnull(strstr(says, "/link is a symbolic link"));
    ck_assert_int_eq(walk(at("real"), 0, says), -BILLET_CLASS_AUTH);
    ck_assert_ptr_nonnull(strstr(says, "/real is not a regular file"));
    ck_assert_int_eq(walk(at("real/"), 0, says), -BILLET_CLASS_AUTH);
    ck_assert_int_eq(mkfifo(at("pipe"), 0600), 0);
    ck_assert_int_eq(walk(at("pipe"), 0, says), -BILLET_CLASS_AUTH);
}
END_TEST

START_TEST(what_is_not_there_is_told_as_that)
{
    char says[BILLET_MESSAGE_MAX];
    ck_assert(make_link("link", SELF));
    ck_assert_int_eq(walk(at("nothing"), 0, says), -BILLET_CLASS_UNAVAILABLE);
    ck_assert_ptr_nonnull(strstr(says, "/nothing: No such file or directory"));
    ck_assert_int_eq(walk(at("nothing/file"), 0, says), -BILLET_CLASS_UNAVAILABLE);
    ck_assert_int_eq(walk(at("real/file/x"), 0, says), -BILLET_CLASS_UNAVAILABLE);
    ck_assert_int_lt(walk(at("link/file"), 0, says), 0); /* a link to itself ends */
    ck_assert_ptr_nonnull(strstr(says, strerror(ELOOP)));
    ck_assert_int_eq(walk("real/file", 0, says), -BILLET_CLASS_CONFIG);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("base_trust");
    TCase *tests = tcase_create("trust");
    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, owners_and_modes_are_judged_one_by_one);
    tcase_add_test(tests, the_same_for_an_ordinary_user);
    tcase_add_test(tests, links_among_the_directories_are_followed_when_their_owner_is_trusted);
    tcase_add_test(tests, a_link_in_a_directory_of_others_is_no_way_to_a_trusted_file);
    tcase_add_test(tests, the_file_itself_is_never_a_link_a_directory_or_a_pipe);
    tcase_add_test(tests, what_is_not_there_is_told_as_that);
    suite_add_tcase(suite, tests);
    return unit_main(suite);
}
