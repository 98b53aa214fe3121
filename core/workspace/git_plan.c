/* SPDX-License-Identifier: Apache-2.0 */
#include "workspace/git_plan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/io.h"
#include "base/text.h"

#define MAGIC "billet-git 1"
#define INDEX_BYTES_MAX (UINT64_C(1) << 30)
#define LOCK_TRIES 30 /* while git holds a lock, tenths of a second */
#define RACE_TRIES 5  /* when branch or index change under our hands */
#define NEW_INDEX "index.new"

const char *
billet_git_outcome_name(int outcome)
{
    static const char *const names[] = {"unchanged", "fast_forward", "merged",
                                        "diverged",  "unrelated",    "failed"};
    return outcome >= 0 && outcome <= BILLET_GIT_FAILED ? names[outcome] : "failed";
}

void
billet_git_report_free(struct billet_git_report *report)
{
    billet_strings_free(&report->others);
}

/* --- as a file ------------------------------------------------------------------------------- */

static void
put_field(struct billet_buffer *to, const char *text)
{
    billet_buffer_append(to, text, strlen(text) + 1);
}

int
billet_git_plan_encode(const struct billet_git_plan *plan, struct billet_buffer *to,
                       struct billet_error *error)
{
    put_field(to, MAGIC);
    put_field(to, plan->lease);
    put_field(to, plan->ref);
    put_field(to, plan->base);
    put_field(to, plan->theirs);
    put_field(to, plan->kept);
    put_field(to, plan->name);
    put_field(to, plan->email);
    for (size_t i = 0; i < plan->was.count; i++)
        billet_git_index_line(to, &plan->was.entries[i]);
    put_field(to, "now");
    for (size_t i = 0; i < plan->now.count; i++)
        billet_git_index_line(to, &plan->now.entries[i]);
    put_field(to, "end");
    return to->failed ? billet_error_no_memory(error) : 0;
}

/* The next field, or NULL. */
static const char *
get_field(const struct billet_buffer *from, size_t *at)
{
    if (*at >= from->length)
        return NULL;
    const char *field = from->data + *at;
    size_t length = strlen(field);
    if (*at + length >= from->length)
        return NULL;
    *at += length + 1;
    return field;
}

static int
get_entries(const struct billet_buffer *from, size_t *at, const char *until,
            struct billet_git_index *index, struct billet_error *error)
{
    cleanup_buffer struct billet_buffer text = BILLET_BUFFER_INIT;
    const char *field;
    while ((field = get_field(from, at)) != NULL && strcmp(field, until) != 0)
        put_field(&text, field);
    if (field == NULL)
        return billet_error_set(error, BILLET_CLASS_AUTH, "workspace_journal",
                                "the plan for the repository is damaged");
    return billet_git_index_parse(&text, false, index, error);
}

int
billet_git_plan_decode(struct billet_buffer *from, struct billet_git_plan *plan,
                       struct billet_error *error)
{
    size_t at = 0;
    struct {
        char *to;
        size_t size;
    } fields[] = {{plan->lease, sizeof(plan->lease)}, {plan->ref, sizeof(plan->ref)},
                  {plan->base, sizeof(plan->base)},   {plan->theirs, sizeof(plan->theirs)},
                  {plan->kept, sizeof(plan->kept)},   {plan->name, sizeof(plan->name)},
                  {plan->email, sizeof(plan->email)}};
    const char *magic = get_field(from, &at);
    bool good = magic != NULL && strcmp(magic, MAGIC) == 0;
    for (size_t i = 0; good && i < sizeof(fields) / sizeof(fields[0]); i++) {
        const char *field = get_field(from, &at);
        good = field != NULL && strlen(field) < fields[i].size;
        if (good)
            snprintf(fields[i].to, fields[i].size, "%s", field);
    }
    if (!good)
        return billet_error_set(error, BILLET_CLASS_AUTH, "workspace_journal",
                                "the plan for the repository is damaged");
    int result = get_entries(from, &at, "now", &plan->was, error);
    if (result == 0)
        result = get_entries(from, &at, "end", &plan->now, error);
    return result;
}

void
billet_git_plan_free(struct billet_git_plan *plan)
{
    billet_git_index_free(&plan->was);
    billet_git_index_free(&plan->now);
}

/* --- parts ----------------------------------------------------------------------------------- */

static int
copy_file(const struct billet_root *from, const char *name, int to_fd, const char *to_name,
          struct stat *seen, struct billet_error *error)
{
    cleanup_buffer struct billet_buffer bytes = BILLET_BUFFER_INIT;
    cleanup_fd int fd = billet_root_openat(from, name, O_RDONLY | O_NONBLOCK, 0);
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0 || fstat(fd, seen) != 0)
        return billet_error_errno(error, 0, "io_failed", errno, "cannot read .git/%s", name);
    if (!S_ISREG(seen->st_mode))
        return billet_error_set(error, BILLET_CLASS_AUTH, "git_refused",
                                ".git/%s is not a regular file", name);
    int result = billet_io_read_all(fd, &bytes, INDEX_BYTES_MAX, error);
    if (result < 0)
        return billet_error_wrap(error, ".git/%s", name);
    cleanup_fd int to =
        openat(to_fd, to_name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (to < 0)
        return billet_error_errno(error, 0, "io_failed", errno, "git quarantine");
    return billet_io_write_all(to, bytes.data, bytes.length, error);
}

/* A split index lies in two files; git finds the second by a name that is in the first. */
static int
copy_shared_indexes(const struct billet_git_repository *repository,
                    const struct billet_git_program *program, struct billet_error *error)
{
    int fd = billet_root_openat(&repository->directory, "", O_RDONLY | O_DIRECTORY, 0);
    cleanup_dir DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *item;
    struct stat seen;
    int result = 0;
    int count = 0;
    if (directory == NULL) {
        billet_close(&fd);
        return 0;
    }
    while (result == 0 && (item = readdir(directory)) != NULL)
        if (billet_text_starts(item->d_name, "sharedindex.") && count++ < 16)
            result = copy_file(&repository->directory, item->d_name, program->directory_fd,
                               item->d_name, &seen, error);
    return result;
}

int
billet_git_index_list(const struct billet_git_program *program,
                      const struct billet_git_repository *repository, struct stat *seen,
                      struct billet_git_index *index, struct billet_error *error)
{
    cleanup_buffer struct billet_buffer text = BILLET_BUFFER_INIT;
    *seen = (struct stat){0};
    unlinkat(program->directory_fd, "index", 0);
    int result =
        copy_file(&repository->directory, "index", program->directory_fd, "index", seen, error);
    if (result < 0 || seen->st_ino == 0)
        return result;
    result = copy_shared_indexes(repository, program, error);
    const char *const argv[] = {"ls-files", "--stage", "--debug", "-z", NULL};
    struct billet_git_command command = {
        .argv = argv, .output = &text, .output_max = INDEX_BYTES_MAX, .index = "index"};
    if (result == 0)
        result = billet_git_run(program, &command, NULL, error);
    if (result == 0)
        result = billet_git_index_parse(&text, true, index, error);
    return result;
}

int
billet_git_ask_word(const struct billet_git_program *program,
                    const struct billet_git_command *command, char *word, size_t size, int *status,
                    struct billet_error *error)
{
    cleanup_buffer struct billet_buffer text = BILLET_BUFFER_INIT;
    struct billet_git_command asked = *command;
    asked.output = &text;
    asked.output_max = 1u << 20;
    int result = billet_git_run(program, &asked, status, error);
    if (result == 0)
        snprintf(word, size, "%.*s", (int)strcspn(billet_buffer_text(&text), "\n"),
                 billet_buffer_text(&text));
    return result;
}

int
billet_git_pack_install(const struct billet_git_program *program,
                        const struct billet_git_repository *repository, const char *prefix,
                        const struct billet_buffer *revisions, struct billet_error *error)
{
    char path[PATH_MAX + 32];
    char hash[BILLET_GIT_OID_SIZE];
    snprintf(path, sizeof(path), "%s/%s", program->directory, prefix);
    const char *const argv[] = {"pack-objects", "--revs", "--non-empty", "--delta-base-offset",
                                "-q",           path,     NULL};
    struct billet_git_command command = {
        .argv = argv, .input = revisions->data, .input_length = revisions->length};
    int result = billet_git_ask_word(program, &command, hash, sizeof(hash), NULL, error);
    if (result < 0 || hash[0] == '\0')
        return result;
    if (!billet_git_is_oid(hash, strlen(hash)))
        return billet_error_set(error, BILLET_CLASS_INTERNAL, "git_failed",
                                "git pack-objects gave no name");
    return billet_git_install_pack(repository, program->directory_fd, prefix, hash, error);
}

/* --- deciding -------------------------------------------------------------------------------- */

struct settling {
    const struct billet_git_plan *plan;
    const struct billet_git_program *program;
    const struct billet_git_repository *repository;
    struct billet_git_report *report;
    struct billet_git_head head;  /* here and now */
    char to[BILLET_GIT_OID_SIZE]; /* where the branch is to go */
};

/* 1 yes, 0 no. */
static int
is_ancestor(const struct settling *settling, const char *older, const char *newer,
            struct billet_error *error)
{
    const char *const argv[] = {"merge-base", "--is-ancestor", older, newer, NULL};
    struct billet_git_command command = {.argv = argv};
    int status;
    int result = billet_git_run(settling->program, &command, &status, error);
    if (result == 0 && status > 1)
        result = billet_error_set(error, BILLET_CLASS_UNAVAILABLE, "git_failed",
                                  "git merge-base failed with status %d", status);
    return result < 0 ? result : status == 0;
}

static bool
in_the_middle(const struct billet_git_repository *repository)
{
    static const char *const marks[] = {"MERGE_HEAD",   "CHERRY_PICK_HEAD", "REVERT_HEAD",
                                        "rebase-merge", "rebase-apply",     "BISECT_LOG"};
    struct stat status;
    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
        if (billet_root_stat(&repository->directory, marks[i], &status) == 0)
            return true;
    return false;
}

/* ":MODE MODE OID OID S\0PATH\0" records of what changed between two commits. */
static int
list_changes(const struct settling *settling, const char *from, const char *to,
             struct billet_git_index *list, struct billet_error *error)
{
    cleanup_buffer struct billet_buffer text = BILLET_BUFFER_INIT;
    cleanup_buffer struct billet_buffer lines = BILLET_BUFFER_INIT;
    const char *const argv[] = {"diff-tree",   "-r", "-z", "--raw", "--no-renames",
                                "--no-abbrev", from, to,   NULL};
    struct billet_git_command command = {.argv = argv, .output = &text};
    int result = billet_git_run(settling->program, &command, NULL, error);
    for (size_t at = 0; result == 0 && at < text.length;) {
        const char *head = text.data + at;
        at += strlen(head) + 1;
        if (at >= text.length || head[0] != ':' || strlen(head) < 20)
            return billet_error_set(error, BILLET_CLASS_INTERNAL, "git_failed",
                                    "git diff-tree gave what it should not");
        const char *path = text.data + at;
        at += strlen(path) + 1;
        char mode[8];
        char old_oid[BILLET_GIT_OID_SIZE];
        char oid[BILLET_GIT_OID_SIZE];
        if (sscanf(head, ":%*6s %7s %64s %64s", mode, old_oid, oid) != 3)
            continue;
        /* What is gone has mode 0: written as a link, with the oid of zeros that tells it. */
        billet_buffer_format(&lines, "%s %s 0\t", strcmp(mode, "000000") == 0 ? "120000" : mode,
                             oid);
        put_field(&lines, path);
    }
    if (result == 0)
        result = billet_git_index_parse(&lines, false, list, error);
    return result;
}

/* No path was changed on both sides, unless to the same. 1 yes, 0 no. */
static int
is_disjoint(const struct settling *settling, const char *base, struct billet_error *error)
{
    struct billet_git_index ours = BILLET_GIT_INDEX_INIT;
    struct billet_git_index theirs = BILLET_GIT_INDEX_INIT;
    int result = list_changes(settling, base, settling->head.oid, &ours, error);
    if (result == 0)
        result = list_changes(settling, base, settling->plan->theirs, &theirs, error);
    bool disjoint = true;
    for (size_t i = 0; result == 0 && i < theirs.count; i++) {
        size_t count;
        size_t at = billet_git_index_find(&ours, theirs.entries[i].path, &count);
        if (count > 0 && (strcmp(ours.entries[at].oid, theirs.entries[i].oid) != 0 ||
                          ours.entries[at].mode != theirs.entries[i].mode))
            disjoint = false;
    }
    billet_git_index_free(&ours);
    billet_git_index_free(&theirs);
    return result < 0 ? result : disjoint;
}

/* Make and install the merge commit; settling->to. */
static int
make_merge(struct settling *settling, struct billet_error *error)
{
    const struct billet_git_plan *plan = settling->plan;
    const char *ours = settling->head.oid;
    char tree[BILLET_GIT_OID_SIZE];
    char base[BILLET_GIT_OID_SIZE];
    char message[256];
    cleanup_buffer struct billet_buffer revisions = BILLET_BUFFER_INIT;
    int status;
    settling->report->outcome = BILLET_GIT_DIVERGED;
    const char *const base_argv[] = {"merge-base", ours, plan->theirs, NULL};
    struct billet_git_command command = {.argv = base_argv};
    int result =
        billet_git_ask_word(settling->program, &command, base, sizeof(base), &status, error);
    if (result < 0)
        return result;
    if (status != 0) {
        settling->report->outcome = BILLET_GIT_UNRELATED;
        return 0;
    }
    result = is_disjoint(settling, base, error);
    if (result <= 0)
        return result;
    const char *const tree_argv[] = {"merge-tree", "--write-tree", "--no-messages",
                                     ours,         plan->theirs,   NULL};
    command = (struct billet_git_command){.argv = tree_argv};
    result = billet_git_ask_word(settling->program, &command, tree, sizeof(tree), &status, error);
    /* 1: conflicts; 129: a git older than 2.38 does not know it. */
    if (result < 0 || status != 0 || !billet_git_is_oid(tree, strlen(tree)))
        return result;
    snprintf(message, sizeof(message), "Merge what billet run %s made", plan->lease);
    const char *const commit_argv[] = {"commit-tree", tree, "-p",    ours, "-p",
                                       plan->theirs,  "-m", message, NULL};
    command =
        (struct billet_git_command){.argv = commit_argv, .name = plan->name, .email = plan->email};
    result = billet_git_ask_word(settling->program, &command, settling->to, sizeof(settling->to),
                                 NULL, error);
    if (result < 0)
        return result;
    billet_buffer_format(&revisions, "%s\n^%s\n^%s\n", settling->to, ours, plan->theirs);
    result = billet_git_pack_install(settling->program, settling->repository, "merge", &revisions,
                                     error);
    if (result == 0)
        settling->report->outcome = BILLET_GIT_MERGED;
    return result;
}

/* Fill outcome and .to. */
static int
decide(struct settling *settling, struct billet_error *error)
{
    const struct billet_git_plan *plan = settling->plan;
    const char *ours = settling->head.oid;
    int result;
    settling->report->outcome = BILLET_GIT_UNCHANGED;
    snprintf(settling->to, sizeof(settling->to), "%s", ours);
    if (strcmp(plan->theirs, plan->base) == 0)
        return 0;
    settling->report->outcome = BILLET_GIT_DIVERGED;
    if (strcmp(settling->head.ref, plan->ref) != 0 || plan->theirs[0] == '\0') {
        snprintf(settling->report->note, sizeof(settling->report->note),
                 plan->theirs[0] == '\0' ? "the branch is gone in the environment"
                                         : "another branch was checked out here during the run");
        return 0;
    }
    if (strcmp(ours, plan->theirs) == 0) {
        settling->report->outcome = BILLET_GIT_FAST_FORWARD; /* a repetition */
        return 0;
    }
    if (in_the_middle(settling->repository)) {
        snprintf(settling->report->note, sizeof(settling->report->note),
                 "a merge or rebase is under way here");
        return 0;
    }
    if (ours[0] != '\0') {
        result = is_ancestor(settling, plan->theirs, ours, error);
        if (result == 1)
            settling->report->outcome = BILLET_GIT_UNCHANGED; /* it is here already */
        if (result != 0)
            return result < 0 ? result : 0;
        result = is_ancestor(settling, ours, plan->theirs, error);
        if (result < 0)
            return result;
        /* Not moved here, and theirs does not build on it: history was rewritten there. */
        if (result == 0 && strcmp(ours, plan->base) == 0) {
            const char *const argv[] = {"merge-base", ours, plan->theirs, NULL};
            struct billet_git_command command = {.argv = argv};
            int status;
            result = billet_git_run(settling->program, &command, &status, error);
            if (result == 0 && status == 1)
                settling->report->outcome = BILLET_GIT_UNRELATED;
            return result;
        }
        if (result == 0)
            return make_merge(settling, error);
    }
    settling->report->outcome = BILLET_GIT_FAST_FORWARD;
    snprintf(settling->to, sizeof(settling->to), "%s", plan->theirs);
    return 0;
}

/* --- doing ----------------------------------------------------------------------------------- */

static int
move_branch(void *context, struct billet_error *error)
{
    struct settling *settling = context;
    const struct billet_git_plan *plan = settling->plan;
    char who[600];
    char log[128];
    if (strcmp(settling->to, settling->head.oid) == 0)
        return 1;
    snprintf(who, sizeof(who), "%s <%s>", plan->name, plan->email);
    snprintf(log, sizeof(log), "billet run %s: %s", plan->lease,
             billet_git_outcome_name(settling->report->outcome));
    struct billet_git_move move = {.name = plan->ref[0] != '\0' ? plan->ref : "HEAD",
                                   .from = settling->head.oid,
                                   .to = settling->to,
                                   .tag = plan->lease,
                                   .log = log,
                                   .who = who};
    return billet_git_ref_move(settling->repository, &move, error);
}

/* The index as it shall be, beside its copy in the quarantine. */
static int
prepare_index(struct settling *settling, const struct billet_git_index *ours, bool exists,
              bool *changed, struct billet_error *error)
{
    cleanup_buffer struct billet_buffer lines = BILLET_BUFFER_INIT;
    struct billet_git_merge merge = {
        .was = &settling->plan->was, .now = &settling->plan->now, .ours = ours};
    int result = billet_git_index_merge(&merge, &lines, error);
    settling->report->index_taken = merge.taken;
    settling->report->index_kept = merge.kept;
    *changed = lines.length > 0;
    if (result < 0 || !*changed)
        return result;
    int directory = settling->program->directory_fd;
    unlinkat(directory, NEW_INDEX, 0);
    if (exists && linkat(directory, "index", directory, NEW_INDEX, 0) != 0)
        return billet_error_errno(error, 0, "io_failed", errno, "git quarantine");
    /* git writes a new file and renames it, so the copy stays. */
    const char *const argv[] = {"update-index", "--no-split-index", "-z", "--index-info", NULL};
    struct billet_git_command command = {
        .argv = argv, .input = lines.data, .input_length = lines.length, .index = NEW_INDEX};
    return billet_git_run(settling->program, &command, NULL, error);
}

static int
settle_once(struct settling *settling, struct billet_error *error)
{
    struct billet_git_index ours = BILLET_GIT_INDEX_INIT;
    struct stat seen;
    bool changed = false;
    int result = billet_git_head_read(settling->repository, &settling->head, error);
    if (result == 0)
        result = decide(settling, error);
    if (result < 0)
        return result;
    bool behind = settling->report->outcome == BILLET_GIT_DIVERGED ||
                  settling->report->outcome == BILLET_GIT_UNRELATED;
    if (behind)
        return 1;
    result = billet_git_index_list(settling->program, settling->repository, &seen, &ours, error);
    if (result == 0)
        result = prepare_index(settling, &ours, seen.st_ino != 0, &changed, error);
    if (result == 0 && changed)
        result = billet_git_index_replace(settling->repository, settling->program->directory_fd,
                                          NEW_INDEX, &seen, settling->plan->lease, move_branch,
                                          settling, error);
    else if (result == 0)
        result = move_branch(settling, error);
    billet_git_index_free(&ours);
    return result;
}

static bool
is_locked(const struct settling *settling)
{
    char lock[BILLET_GIT_REF_SIZE + 8];
    struct stat status;
    snprintf(lock, sizeof(lock), "%s.lock",
             settling->plan->ref[0] != '\0' ? settling->plan->ref : "HEAD");
    const struct billet_git_repository *repository = settling->repository;
    return billet_root_stat(&repository->directory, "index.lock", &status) == 0 ||
           billet_root_stat(settling->plan->ref[0] != '\0' ? &repository->common
                                                           : &repository->directory,
                            lock, &status) == 0;
}

static void
forget_kept(const struct settling *settling)
{
    struct billet_git_move move = {
        .name = settling->plan->kept, .to = "", .tag = settling->plan->lease};
    if (settling->plan->kept[0] != '\0')
        billet_git_ref_move(settling->repository, &move, NULL);
}

int
billet_git_plan_settle(const struct billet_git_plan *plan, const struct billet_git_program *program,
                       const struct billet_git_repository *repository,
                       struct billet_git_report *report, struct billet_error *error)
{
    struct settling settling = {
        .plan = plan, .program = program, .repository = repository, .report = report};
    int result = 0;
    int waited = 0;
    for (int i = 0; i < RACE_TRIES && result == 0; i++) {
        while (is_locked(&settling) && waited++ < LOCK_TRIES)
            nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
        if (waited > LOCK_TRIES)
            break;
        result = settle_once(&settling, error);
    }
    snprintf(report->branch, sizeof(report->branch), "%s", plan->ref);
    snprintf(report->old_oid, sizeof(report->old_oid), "%s", settling.head.oid);
    snprintf(report->new_oid, sizeof(report->new_oid), "%s", settling.to);
    if (result < 0) {
        report->outcome = BILLET_GIT_FAILED;
        return result;
    }
    if (result == 0) {
        report->outcome = BILLET_GIT_FAILED;
        snprintf(report->note, sizeof(report->note),
                 "git works in the repository: its index or branch stayed locked");
    }
    bool taken = report->outcome == BILLET_GIT_UNCHANGED ||
                 report->outcome == BILLET_GIT_FAST_FORWARD || report->outcome == BILLET_GIT_MERGED;
    if (taken)
        forget_kept(&settling);
    else
        snprintf(report->kept, sizeof(report->kept), "%s", plan->kept);
    if (!taken)
        snprintf(report->new_oid, sizeof(report->new_oid), "%s", plan->theirs);
    return 0;
}

void
billet_git_plan_unlock(const struct billet_git_plan *plan,
                       const struct billet_git_repository *repository)
{
    const char *const names[] = {plan->ref[0] != '\0' ? plan->ref : "HEAD", plan->kept};
    billet_git_index_unlock(repository, plan->lease);
    billet_git_refs_unlock(repository, names, plan->kept[0] != '\0' ? 2 : 1, plan->lease);
}
