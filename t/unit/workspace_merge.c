/* SPDX-License-Identifier: Apache-2.0 */
/* What comes back is merged: rules one by one, then random trees against a slow model. */
#include "workspace/workspace.h"
#include "workspace_support.h"

#define TAG "0123456789abcdef"
#define BESIDE ".billet-conflict-89abcdef"

static struct billet_filter everything = {
    .flags = BILLET_FILTER_WITH_GIT | BILLET_FILTER_WITH_HEAVY | BILLET_FILTER_WITH_IGNORED};

static struct billet_workspace *
begin(int baseline)
{
    struct billet_error error = BILLET_ERROR_INIT;
    struct billet_workspace *workspace = NULL;
    static char work[PATH_MAX];
    static char state[PATH_MAX];
    strcpy(work, at("work"));
    strcpy(state, at("state"));
    struct billet_workspace_options options = {.directory = work,
                                               .state_directory = state,
                                               .tag = TAG,
                                               .filter = &everything,
                                               .lock_deadline_ns = 1,
                                               .baseline = baseline};
    ck_assert_msg(billet_workspace_begin(&options, &workspace, &error) == 0, "%s", error.message);
    return workspace;
}

static void
copy_out(struct billet_workspace *workspace)
{
    struct billet_error error = BILLET_ERROR_INIT;
    struct billet_copy_result done;
    mkdir(at("far"), 0755);
    ck_assert_msg(billet_workspace_copy(workspace, at("far"), &done, &error) == 0, "%s",
                  error.message);
}

static void
bring_back(struct billet_workspace *workspace, struct billet_report *report)
{
    struct billet_error error = BILLET_ERROR_INIT;
    ck_assert_msg(billet_workspace_receive_copy(workspace, at("far"), &error) == 0, "%s",
                  error.message);
    ck_assert_msg(billet_workspace_apply(workspace, report, &error) == 0, "%s", error.message);
    billet_workspace_end(workspace);
}

static bool
reported(const struct billet_report *report, int kind, const char *path, const char *beside)
{
    for (size_t i = 0; i < report->count; i++) {
        const struct billet_report_item *item = &report->items[i];
        if (item->kind == kind && strcmp(item->path, path) == 0 &&
            (beside == NULL || (item->beside != NULL && strcmp(item->beside, beside) == 0)))
            return true;
    }
    return false;
}

START_TEST(what_changed_there_comes_back)
{
    struct billet_report report = BILLET_REPORT_INIT;
    mkdir(at("work/d"), 0755);
    make_file(at("work/d/kept"), "same");
    make_file(at("work/d/edited"), "old");
    make_file(at("work/gone"), "x");
    mkdir(at("work/e"), 0755);
    make_file(at("work/e/only"), "x");
    ck_assert_int_eq(symlink("d/kept", at("work/link")), 0);
    struct billet_workspace *workspace = begin(BILLET_BASELINE_MANIFEST);
    copy_out(workspace);
    make_file(at("far/d/edited"), "new");
    make_file(at("far/d/added"), "add");
    unlink(at("far/gone"));
    unlink(at("far/e/only"));
    rmdir(at("far/e"));
    mkdir(at("far/empty"), 0750);
    unlink(at("far/link"));
    ck_assert_int_eq(symlink("d/added", at("far/link")), 0);
    chmod(at("far/d/kept"), 0755);
    bring_back(workspace, &report);
    char *there = picture(at("far"));
    char *here = picture(at("work"));
    ck_assert_str_eq(here, there);
    free(there);
    free(here);
    ck_assert(!billet_report_has_conflicts(&report));
    ck_assert_uint_eq(report.totals[BILLET_REPORT_DELETED], 3);
    ck_assert_uint_eq(report.totals[BILLET_REPORT_WRITTEN], 5);
    billet_report_free(&report);
}
END_TEST

START_TEST(a_file_changed_on_both_sides_stays_and_theirs_is_beside_it)
{
    struct billet_report report = BILLET_REPORT_INIT;
    make_file(at("work/both"), "old");
    make_file(at("work/same"), "old");
    make_file(at("work/lost"), "old");
    make_file(at("work/kept"), "old");
    struct billet_workspace *workspace = begin(BILLET_BASELINE_MANIFEST);
    copy_out(workspace);
    make_file(at("work/both"), "here");
    make_file(at("far/both"), "there");
    make_file(at("work/same"), "both wrote this");
    make_file(at("far/same"), "both wrote this");
    unlink(at("work/lost"));
    make_file(at("far/lost"), "there");
    make_file(at("work/kept"), "here");
    unlink(at("far/kept"));
    make_file(at("work/new"), "here");
    make_file(at("far/new"), "there");
    make_file(at("work/both" BESIDE), "taken");
    bring_back(workspace, &report);
    assert_content(at("work/both"), "here");
    assert_content(at("work/both" BESIDE), "taken");
    assert_content(at("work/both" BESIDE "-2"), "there");
    assert_content(at("work/same"), "both wrote this");
    ck_assert_int_ne(access(at("work/lost"), F_OK), 0);
    assert_content(at("work/lost" BESIDE), "there");
    assert_content(at("work/kept"), "here");
    assert_content(at("work/new"), "here");
    assert_content(at("work/new" BESIDE), "there");
    ck_assert(reported(&report, BILLET_REPORT_CONFLICT, "both", "both" BESIDE "-2"));
    ck_assert(reported(&report, BILLET_REPORT_CONFLICT, "lost", "lost" BESIDE));
    ck_assert(reported(&report, BILLET_REPORT_CONFLICT, "new", "new" BESIDE));
    ck_assert(reported(&report, BILLET_REPORT_KEPT, "kept", NULL));
    ck_assert_uint_eq(report.count, 4);
    billet_report_free(&report);
}
END_TEST

START_TEST(a_directory_and_a_file_change_places)
{
    struct billet_report report = BILLET_REPORT_INIT;
    mkdir(at("work/d"), 0755);
    make_file(at("work/d/x"), "x");
    make_file(at("work/f"), "f");
    mkdir(at("work/busy"), 0755);
    make_file(at("work/busy/x"), "x");
    make_file(at("work/edited"), "old");
    struct billet_workspace *workspace = begin(BILLET_BASELINE_MANIFEST);
    copy_out(workspace);
    remove_tree(at("far/d"));
    make_file(at("far/d"), "a file now");
    unlink(at("far/f"));
    mkdir(at("far/f"), 0755);
    make_file(at("far/f/below"), "b");
    remove_tree(at("far/busy"));
    make_file(at("far/busy"), "a file now");
    make_file(at("work/busy/mine"), "mine");
    make_file(at("work/edited"), "mine");
    unlink(at("far/edited"));
    mkdir(at("far/edited"), 0755);
    make_file(at("far/edited/deep"), "deep");
    bring_back(workspace, &report);
    assert_content(at("work/d"), "a file now");
    assert_content(at("work/f/below"), "b");
    assert_content(at("work/busy/mine"), "mine");
    assert_content(at("work/busy" BESIDE), "a file now");
    assert_content(at("work/edited"), "mine");
    assert_content(at("work/edited" BESIDE "/deep"), "deep");
    ck_assert_int_ne(access(at("work/busy/x"), F_OK), 0);
    ck_assert_uint_eq(report.totals[BILLET_REPORT_CONFLICT], 2);
    billet_report_free(&report);
}
END_TEST

START_TEST(a_symlink_planted_here_is_not_followed)
{
    /* SEC-22: the second run sends a directory under the name of a link that leads out. */
    struct billet_report report = BILLET_REPORT_INIT;
    mkdir(at("work/d"), 0755);
    make_file(at("work/d/x"), "old");
    make_file(at("outside/x"), "victim");
    struct billet_workspace *workspace = begin(BILLET_BASELINE_MANIFEST);
    copy_out(workspace);
    make_file(at("far/d/x"), "evil");
    make_file(at("far/d/y"), "evil");
    remove_tree(at("work/d"));
    ck_assert_int_eq(symlink(at("outside"), at("work/d")), 0);
    bring_back(workspace, &report);
    assert_content(at("outside/x"), "victim");
    ck_assert_int_ne(access(at("outside/y"), F_OK), 0);
    assert_content(at("work/d" BESIDE "/x"), "evil");
    assert_content(at("work/d" BESIDE "/y"), "evil");
    billet_report_free(&report);
}
END_TEST

START_TEST(permissions_here_survive_what_comes_back)
{
    struct billet_report report = BILLET_REPORT_INIT;
    struct stat status;
    make_file(at("work/private"), "old");
    chmod(at("work/private"), 0600);
    make_file(at("work/group"), "old");
    chmod(at("work/group"), 0664);
    struct billet_workspace *workspace = begin(BILLET_BASELINE_MANIFEST);
    copy_out(workspace);
    make_file(at("far/private"), "new");
    make_file(at("far/group"), "new");
    make_file(at("far/setuid"), "s");
    chmod(at("far/setuid"), 06777);
    bring_back(workspace, &report);
    assert_content(at("work/private"), "new");
    ck_assert_int_eq(stat(at("work/private"), &status), 0);
    ck_assert_uint_eq(status.st_mode & 07777, 0600);
    ck_assert_int_eq(stat(at("work/group"), &status), 0);
    ck_assert_uint_eq(status.st_mode & 07777, 0664);
    ck_assert_int_eq(stat(at("work/setuid"), &status), 0);
    ck_assert_uint_eq(status.st_mode & 07777, 0755);
    billet_report_free(&report);
}
END_TEST

START_TEST(what_is_preserved_or_left_out_is_not_touched)
{
    struct billet_error error = BILLET_ERROR_INIT;
    struct billet_report report = BILLET_REPORT_INIT;
    struct billet_filter filter = BILLET_FILTER_INIT;
    struct billet_workspace *workspace = NULL;
    struct billet_copy_result done;
    ck_assert_int_eq(billet_patterns_add(&filter.preserve, "keep/", 5, &error), 0);
    ck_assert_int_eq(billet_patterns_add(&filter.exclude, "*.log", 5, &error), 0);
    mkdir(at("work/keep"), 0755);
    make_file(at("work/keep/x"), "mine");
    make_file(at("work/a.log"), "mine");
    make_file(at("work/.gitignore"), "build\n");
    mkdir(at("work/.git"), 0755);
    mkdir(at("work/.git/hooks"), 0755);
    filter.flags = BILLET_FILTER_WITH_GIT;
    struct billet_workspace_options options = {.directory = at("work"),
                                               .state_directory = at("state"),
                                               .tag = TAG,
                                               .filter = &filter,
                                               .lock_deadline_ns = 1};
    ck_assert_int_eq(billet_workspace_begin(&options, &workspace, &error), 0);
    mkdir(at("far"), 0755);
    ck_assert_int_eq(billet_workspace_copy(workspace, at("far"), &done, &error), 0);
    ck_assert_int_ne(access(at("far/a.log"), F_OK), 0);
    assert_content(at("far/keep/x"), "mine");
    unlink(at("far/keep/x"));
    make_file(at("far/keep/y"), "theirs");
    make_file(at("far/a.log"), "theirs");
    mkdir(at("far/build"), 0755);
    make_file(at("far/build/o"), "object");
    make_file(at("far/.git/hooks/post-checkout"), "evil");
    make_file(at("far/.git/config"), "evil");
    make_file(at("far/.git/HEAD"), "ref: refs/heads/main\n");
    ck_assert_int_eq(billet_workspace_receive_copy(workspace, at("far"), &error), 0);
    ck_assert_int_eq(billet_workspace_apply(workspace, &report, &error), 0);
    billet_workspace_end(workspace);
    assert_content(at("work/keep/x"), "mine");
    ck_assert_int_ne(access(at("work/keep/y"), F_OK), 0);
    assert_content(at("work/a.log"), "mine");
    ck_assert_int_ne(access(at("work/build"), F_OK), 0);
    ck_assert_int_ne(access(at("work/.git/hooks/post-checkout"), F_OK), 0);
    ck_assert_int_ne(access(at("work/.git/config"), F_OK), 0);
    assert_content(at("work/.git/HEAD"), "ref: refs/heads/main\n");
    ck_assert(reported(&report, BILLET_REPORT_PRESERVED, "keep/x", NULL));
    ck_assert(reported(&report, BILLET_REPORT_PRESERVED, "keep/y", NULL));
    ck_assert(reported(&report, BILLET_REPORT_GUARDED, ".git/config", NULL));
    ck_assert(reported(&report, BILLET_REPORT_GUARDED, ".git/hooks/post-checkout", NULL));
    billet_report_free(&report);
    billet_filter_free(&filter);
}
END_TEST

START_TEST(a_second_run_waits_for_the_first)
{
    struct billet_error error = BILLET_ERROR_INIT;
    struct billet_workspace *second = NULL;
    struct billet_workspace *workspace = begin(BILLET_BASELINE_MANIFEST);
    struct billet_workspace_options options = {.directory = at("work/../work"),
                                               .state_directory = at("state"),
                                               .tag = TAG,
                                               .lock_deadline_ns = 1};
    ck_assert_int_eq(billet_workspace_begin(&options, &second, &error), -BILLET_CLASS_UNAVAILABLE);
    ck_assert_str_eq(error.code, "workspace_busy");
    ck_assert_ptr_null(second);
    billet_workspace_end(workspace);
    ck_assert_int_eq(billet_workspace_begin(&options, &second, &error), 0);
    billet_workspace_end(second);
}
END_TEST

START_TEST(a_failed_receive_leaves_nothing)
{
    struct billet_error error = BILLET_ERROR_INIT;
    struct billet_report report = BILLET_REPORT_INIT;
    struct billet_buffer tar = BILLET_BUFFER_INIT;
    make_file(at("work/a"), "old");
    struct billet_workspace *workspace = begin(BILLET_BASELINE_MANIFEST);
    char *before = picture(top);
    tar_file(&tar, "a", "new");
    tar_file(&tar, "../b", "evil");
    tar_end(&tar);
    int fd = tar_fd(&tar);
    ck_assert_int_lt(billet_workspace_receive(workspace, fd, 0, &error), 0);
    close(fd);
    unlink(at("archive.tar"));
    ck_assert_str_eq(error.code, "path_refused");
    char *after = picture(top);
    ck_assert_str_eq(before, after);
    ck_assert_int_eq(billet_workspace_apply(workspace, &report, &error), 0);
    billet_workspace_end(workspace);
    assert_content(at("work/a"), "old");
    free(before);
    free(after);
    billet_buffer_free(&tar);
    billet_report_free(&report);
}
END_TEST

START_TEST(sec34_a_state_directory_that_others_could_change_is_refused)
{
    static const struct {
        mode_t mode;
        uid_t owner;
        bool good;
    } rows[] = {
        {0700, 0, true},  {0755, 0, true},      {0500, 0, true},      {0775, 0, false},
        {0757, 0, false}, {0777, 0, false},     {01777, 0, false},    {0720, 0, false},
        {0702, 0, false}, {0700, 65534, false}, {0755, 65534, false}, {0777, 65534, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct billet_error error = BILLET_ERROR_INIT;
        struct billet_workspace *workspace = NULL;
        struct billet_workspace_options options = {.directory = at("work"),
                                                   .state_directory = at("state"),
                                                   .tag = TAG,
                                                   .lock_deadline_ns = 1};
        if (geteuid() != 0 && (rows[i].owner != 0 || rows[i].mode == 0500))
            continue;
        ck_assert_int_eq(chmod(at("state"), rows[i].mode), 0);
        if (geteuid() == 0)
            ck_assert_int_eq(chown(at("state"), rows[i].owner, rows[i].owner), 0);
        int result = billet_workspace_begin(&options, &workspace, &error);
        ck_assert_msg((result == 0) == rows[i].good, "mode %o of %u: %s", (unsigned)rows[i].mode,
                      (unsigned)rows[i].owner, error.message);
        if (!rows[i].good) {
            ck_assert_str_eq(error.code, "path_untrusted");
            ck_assert_str_ne(error.hint, "");
        }
        billet_workspace_end(workspace);
    }
}
END_TEST

START_TEST(a_journal_that_cannot_be_completed_is_said_once_and_kept)
{
    struct billet_error error = BILLET_ERROR_INIT;
    struct billet_workspace *workspace = begin(BILLET_BASELINE_MANIFEST);
    billet_workspace_end(workspace);
    struct billet_workspace_options options = {
        .directory = at("work"), .state_directory = at("state"), .tag = TAG, .lock_deadline_ns = 1};
    char private[PATH_MAX] = "";
    DIR *directory = opendir(at("state"));
    const struct dirent *item;
    while ((item = readdir(directory)) != NULL)
        if (item->d_name[0] != '.')
            snprintf(private, sizeof(private), "%s", item->d_name);
    closedir(directory);
    make_file(at("state/%s/journal", private), "BILJRN damaged");
    ck_assert_int_lt(billet_workspace_begin(&options, &workspace, &error), 0);
    ck_assert_str_eq(error.code, "workspace_journal");
    assert_content(at("state/%s/journal.lost", private), "BILJRN damaged");
    ck_assert_int_eq(billet_workspace_begin(&options, &workspace, &error), 0);
    billet_workspace_end(workspace);
}
END_TEST

static int
stop_at_once(void *context, uint64_t done, uint64_t total)
{
    uint64_t *seen = context;
    *seen = total;
    return done > 0 ? -1 : 0;
}

START_TEST(progress_knows_the_total_and_can_stop)
{
    struct billet_error error = BILLET_ERROR_INIT;
    struct billet_workspace *workspace = NULL;
    uint64_t total = 0;
    struct billet_workspace_options options = {.directory = at("work"),
                                               .state_directory = at("state"),
                                               .tag = TAG,
                                               .lock_deadline_ns = 1,
                                               .progress = stop_at_once,
                                               .progress_context = &total};
    make_file(at("work/a"), "12345");
    make_file(at("work/b"), "12345");
    ck_assert_int_eq(billet_workspace_begin(&options, &workspace, &error), 0);
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    ck_assert_int_eq(billet_workspace_send(workspace, NULL, fd, NULL, &error),
                     -BILLET_CLASS_CANCELLED);
    close(fd);
    ck_assert_uint_eq(total, 10);
    billet_workspace_end(workspace);
}
END_TEST

START_TEST(only_what_differs_is_sent)
{
    struct billet_error error = BILLET_ERROR_INIT;
    struct billet_report report = BILLET_REPORT_INIT;
    struct billet_manifest there = BILLET_MANIFEST_INIT;
    uint64_t sent;
    make_file(at("work/a"), "same");
    make_file(at("work/b"), "old");
    struct billet_workspace *workspace = begin(BILLET_BASELINE_HASH);
    const struct billet_manifest *baseline = billet_workspace_baseline(workspace);
    for (size_t i = 0; i < baseline->count; i++)
        ck_assert_int_eq(billet_manifest_add(&there, &baseline->entries[i], &error), 0);
    billet_manifest_sort(&there);
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    ck_assert_int_eq(billet_workspace_send(workspace, &there, fd, &sent, &error), 0);
    ck_assert_uint_eq(sent, 10240); /* the end marker in its record */
    billet_workspace_end(workspace);
    make_file(at("work/b"), "now something larger than a record of the archive, and then some");
    workspace = begin(BILLET_BASELINE_HASH);
    close(fd);
    fd = open(at("out.tar"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_eq(billet_workspace_send(workspace, &there, fd, &sent, &error), 0);
    char bytes[10240];
    ck_assert_int_eq(pread(fd, bytes, sizeof(bytes), 0), 10240);
    ck_assert_ptr_nonnull(memmem(bytes, sizeof(bytes), "now something", 13));
    ck_assert_ptr_null(memmem(bytes, sizeof(bytes), "same", 4));
    close(fd);
    billet_workspace_end(workspace);
    billet_manifest_free(&there);
    billet_report_free(&report);
}
END_TEST

/* --- random trees against a slow model ------------------------------------------------------- */

/* The model's universe: names a, b, c three deep, depth-first. Value: 0 absent, 'd' directory, else
 * a content. */
#define PLACES 39

static char places[PLACES][8];
static int parents[PLACES];

static void
make_places(void)
{
    int count = 0;
    for (int a = 0; a < 3; a++) {
        int first = count;
        sprintf(places[count], "%c", 'a' + a);
        parents[count++] = -1;
        for (int b = 0; b < 3; b++) {
            int second = count;
            sprintf(places[count], "%c/%c", 'a' + a, 'a' + b);
            parents[count++] = first;
            for (int c = 0; c < 3; c++) {
                sprintf(places[count], "%c/%c/%c", 'a' + a, 'a' + b, 'a' + c);
                parents[count++] = second;
            }
        }
    }
    ck_assert_int_eq(count, PLACES);
}

/* Absent wherever something above is no directory. */
static void
settle(char tree[PLACES])
{
    for (int i = 0; i < PLACES; i++)
        if (parents[i] >= 0 && tree[parents[i]] != 'd')
            tree[i] = 0;
}

static char
random_value(unsigned *seed, int place)
{
    int dice = rand_r(seed) % 10;
    bool leaf = strlen(places[place]) == 5;
    if (dice < 3)
        return 0;
    if (dice < 7 && !leaf)
        return 'd';
    return (char)('1' + rand_r(seed) % 4);
}

static void
write_tree(const char *name, const char tree[PLACES])
{
    for (int i = 0; i < PLACES; i++) {
        char text[8] = {tree[i], '\0'};
        if (tree[i] == 'd')
            ck_assert(mkdir(at("%s/%s", name, places[i]), 0755) == 0 || errno == EEXIST);
        else if (tree[i] != 0)
            make_file(at("%s/%s", name, places[i]), text);
    }
}

/* Change a tree on disk from one state to another, touching only what differs. */
static void
edit_tree(const char *name, const char from[PLACES], const char to[PLACES])
{
    for (int i = PLACES - 1; i >= 0; i--)
        if (from[i] != 0 && from[i] != to[i] && (from[i] == 'd' || to[i] == 'd' || to[i] == 0))
            remove_tree(at("%s/%s", name, places[i]));
    for (int i = 0; i < PLACES; i++) {
        char text[8] = {to[i], '\0'};
        if (from[i] == to[i])
            continue;
        if (to[i] == 'd')
            ck_assert(mkdir(at("%s/%s", name, places[i]), 0755) == 0 || errno == EEXIST);
        else if (to[i] != 0)
            make_file(at("%s/%s", name, places[i]), text);
    }
}

static bool
has_children(const char tree[PLACES], int place)
{
    for (int i = 0; i < PLACES; i++)
        if (parents[i] == place && tree[i] != 0)
            return true;
    return false;
}

/* What the rules say about each place, without order of work, files or names beside. beside[i]:
 * what stands at place i of the copies put aside, rooted at aside_root[i]. */
static void
model(const char was[PLACES], const char here[PLACES], const char there[PLACES],
      char result[PLACES], int *conflicts, int *kept)
{
    *conflicts = *kept = 0;
    memcpy(result, here, PLACES);
    /* Deletions: files that nobody touched here, then directories that are empty. */
    for (int i = PLACES - 1; i >= 0; i--) {
        bool removed = was[i] != 0 && (there[i] == 0 || (was[i] == 'd' && there[i] != 'd'));
        if (!removed || result[i] == 0)
            continue;
        if (was[i] == 'd' && result[i] == 'd') {
            if (!has_children(result, i))
                result[i] = 0;
        } else if (result[i] == was[i]) {
            result[i] = 0;
        } else {
            ++*kept;
        }
    }
    bool aside[PLACES] = {false};
    for (int i = 0; i < PLACES; i++) {
        bool changed = there[i] != 0 && there[i] != was[i];
        if (!changed)
            continue;
        /* Missing directories come back; the topmost one that cannot be there goes aside. */
        int way[3];
        int depth = 0;
        for (int above = parents[i]; above >= 0; above = parents[above])
            way[depth++] = above;
        bool beside = false;
        while (depth > 0 && !beside) {
            int above = way[--depth];
            if (aside[above]) {
                beside = true;
            } else if (result[above] == 0) {
                result[above] = 'd';
            } else if (result[above] != 'd') {
                aside[above] = true;
                beside = true;
                ++*conflicts;
            }
        }
        if (beside)
            continue;
        bool untouched = here[i] == was[i];
        bool gone_by_us = result[i] == 0 && here[i] != 0;
        if (result[i] == there[i])
            continue;
        if (there[i] == 'd') {
            if (gone_by_us || (result[i] == 0 && was[i] == 0) || (untouched && result[i] != 'd'))
                result[i] = 'd';
            else {
                aside[i] = true;
                ++*conflicts;
            }
        } else if (gone_by_us || (result[i] == 0 && was[i] == 0) ||
                   (untouched && result[i] != 'd')) {
            result[i] = there[i];
        } else {
            aside[i] = true;
            ++*conflicts;
        }
    }
}

static void
assert_tree(const char *name, const char tree[PLACES], unsigned seed)
{
    for (int i = 0; i < PLACES; i++) {
        struct stat status;
        char found = 0;
        const char *path = at("%s/%s", name, places[i]);
        if (lstat(path, &status) == 0)
            found = S_ISDIR(status.st_mode) ? 'd' : read_text(path)[0];
        ck_assert_msg(found == tree[i], "seed %u: %s is '%c', the model says '%c'", seed, places[i],
                      found != 0 ? found : '-', tree[i] != 0 ? tree[i] : '-');
    }
}

START_TEST(random_trees_merge_as_the_model_says)
{
    make_places();
    for (unsigned round = 0; round < 25; round++) {
        unsigned seed = (unsigned)_i * 1000 + round + 1;
        unsigned state = seed * 2654435761u;
        char was[PLACES];
        char here[PLACES];
        char there[PLACES];
        char wanted[PLACES];
        int conflicts;
        int kept;
        struct billet_report report = BILLET_REPORT_INIT;
        for (int i = 0; i < PLACES; i++)
            was[i] = random_value(&state, i);
        settle(was);
        memcpy(here, was, PLACES);
        memcpy(there, was, PLACES);
        for (int i = 0; i < PLACES; i++) {
            if (rand_r(&state) % 5 == 0)
                here[i] = random_value(&state, i);
            if (rand_r(&state) % 5 == 0)
                there[i] = random_value(&state, i);
        }
        settle(here);
        settle(there);
        write_tree("work", was);
        struct billet_workspace *workspace = begin(BILLET_BASELINE_MANIFEST);
        copy_out(workspace);
        edit_tree("far", was, there);
        edit_tree("work", was, here);
        assert_tree("far", there, seed);
        assert_tree("work", here, seed);
        bring_back(workspace, &report);
        model(was, here, there, wanted, &conflicts, &kept);
        assert_tree("work", wanted, seed);
        ck_assert_msg(report.totals[BILLET_REPORT_CONFLICT] == (size_t)conflicts,
                      "seed %u: %zu conflicts, the model says %d", seed,
                      report.totals[BILLET_REPORT_CONFLICT], conflicts);
        ck_assert_msg(report.totals[BILLET_REPORT_KEPT] == (size_t)kept,
                      "seed %u: %zu kept, the model says %d", seed,
                      report.totals[BILLET_REPORT_KEPT], kept);
        billet_report_free(&report);
        remove_tree(at("work"));
        remove_tree(at("far"));
        mkdir(at("work"), 0755);
    }
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("workspace_merge");
    TCase *tests = tcase_create("merge");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, what_changed_there_comes_back);
    tcase_add_test(tests, a_file_changed_on_both_sides_stays_and_theirs_is_beside_it);
    tcase_add_test(tests, a_directory_and_a_file_change_places);
    tcase_add_test(tests, a_symlink_planted_here_is_not_followed);
    tcase_add_test(tests, permissions_here_survive_what_comes_back);
    tcase_add_test(tests, what_is_preserved_or_left_out_is_not_touched);
    tcase_add_test(tests, a_second_run_waits_for_the_first);
    tcase_add_test(tests, a_failed_receive_leaves_nothing);
    tcase_add_test(tests, sec34_a_state_directory_that_others_could_change_is_refused);
    tcase_add_test(tests, a_journal_that_cannot_be_completed_is_said_once_and_kept);
    tcase_add_test(tests, progress_knows_the_total_and_can_stop);
    tcase_add_test(tests, only_what_differs_is_sent);
    tcase_add_loop_test(tests, random_trees_merge_as_the_model_says, 0, 8);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
