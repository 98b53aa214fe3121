/* SPDX-License-Identifier: Apache-2.0 */
#include "workspace/git.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/io.h"
#include "base/text.h"
#include "workspace/git_config.h"
#include "workspace/journal.h"
#include "workspace/path.h"

#define TIMEOUT_NS (INT64_C(600) * BILLET_NS_PER_SECOND)
#define PACK_BYTES_MAX (UINT64_C(4) << 30)
#define CONFIG_MAX (1u << 20)
#define SHALLOW_MAX (16u << 20)
#define BRANCHES_MAX 256 /* new or changed ones that are taken back */
#define PLAN_NAME "git-plan"

struct billet_git {
    struct billet_git_options options;
    struct billet_git_repository repository;
    struct billet_git_program program;
    struct billet_git_config config;
    struct billet_buffer shallow;
    struct billet_git_head head; /* as it went out, with refs and index */
    struct billet_git_refs refs;
    struct billet_git_index index;
    struct billet_git_refs arrived; /* refs/billet/LEASE/... to be made */
    struct billet_buffer new_revisions;
    struct billet_git_plan plan;
    struct billet_git_report report;
    bool received;
};

/* --- begin ----------------------------------------------------------------------------------- */

static int
open_repository(struct billet_git_repository *repository, const struct billet_root *root,
                char why[160], struct billet_error *error)
{
    char link[64];
    char path[PATH_MAX];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", root->fd);
    ssize_t length = readlink(link, path, sizeof(path) - 1);
    path[length > 0 ? length : 0] = '\0';
    return billet_git_repository_open(repository, root, path, why, error);
}

/* The quarantine, with the repository's objects behind it. */
static int
open_program(struct billet_git_program *program, const struct billet_git_repository *repository,
             int state_fd, int64_t timeout_ns, struct billet_git_config *config,
             struct billet_buffer *shallow, struct billet_error *error)
{
    cleanup_buffer struct billet_buffer text = BILLET_BUFFER_INIT;
    int result = billet_git_read_file(&repository->common, "config", &text, CONFIG_MAX, error);
    if (result >= 0)
        result = billet_git_read_file(&repository->common, "shallow", shallow, SHALLOW_MAX, error);
    if (result >= 0)
        result = billet_git_program_open(program, state_fd, billet_git_config_is_sha256(&text),
                                         shallow, error);
    if (result < 0)
        return result;
    program->objects_fd = repository->objects_fd;
    program->timeout_ns = timeout_ns > 0 ? timeout_ns : TIMEOUT_NS;
    result = billet_git_config_read(program, &text, config, error);
    if (result == 0 && repository->owner == geteuid())
        billet_git_config_caller(program, config);
    return result;
}

/* HEAD, refs and index as they go out. 1. */
static int
read_state(struct billet_git *git, struct billet_error *error)
{
    struct stat seen;
    int result = billet_git_head_read(&git->repository, &git->head, error);
    if (result == 0)
        result = billet_git_refs_read(&git->repository, &git->refs, error);
    if (result == 0)
        result = billet_git_index_list(&git->program, &git->repository, &seen, &git->index, error);
    return result < 0 ? result : 1;
}

int
billet_git_begin(const struct billet_git_options *options, struct billet_git **made, char why[160],
                 struct billet_error *error)
{
    struct billet_git *git = calloc(1, sizeof(*git));
    if (git == NULL)
        return billet_error_no_memory(error);
    git->options = *options;
    git->repository = (struct billet_git_repository)BILLET_GIT_REPOSITORY_INIT;
    git->program = (struct billet_git_program)BILLET_GIT_PROGRAM_INIT;
    int result = open_repository(&git->repository, options->root, why, error);
    if (result == 1) {
        git->repository.durable = options->durable;
        result = open_program(&git->program, &git->repository, options->state_fd,
                              options->timeout_ns, &git->config, &git->shallow, error);
        if (result == 0 && git->config.obstacle[0] != '\0')
            snprintf(why, 160, "%s", git->config.obstacle);
        else if (result == 0)
            result = 1;
    }
    if (result == 1)
        result = read_state(git, error);
    if (result == 1) {
        *made = git;
        return 1;
    }
    billet_git_end(git);
    return result;
}

void
billet_git_end(struct billet_git *git)
{
    if (git == NULL)
        return;
    billet_git_program_close(&git->program, git->options.state_fd);
    billet_git_repository_close(&git->repository);
    billet_git_config_free(&git->config);
    billet_buffer_free(&git->shallow);
    billet_git_refs_free(&git->refs);
    billet_git_refs_free(&git->arrived);
    billet_git_index_free(&git->index);
    billet_buffer_free(&git->new_revisions);
    billet_git_plan_free(&git->plan);
    billet_git_report_free(&git->report);
    free(git);
}

/* --- there ----------------------------------------------------------------------------------- */

static void
put_oid(struct billet_buffer *to, const char *prefix, const char *oid)
{
    billet_buffer_add(to, prefix);
    billet_buffer_add(to, oid);
    billet_buffer_add_char(to, '\n');
}

/* For each oid of the lines whether it is here, and of what type: "OID TYPE" lines or "OID
 * missing". */
static int
look_up(const struct billet_git *git, const struct billet_buffer *oids, struct billet_buffer *found,
        struct billet_error *error)
{
    const char *const argv[] = {"cat-file", "--batch-check=%(objectname) %(objecttype)", "--buffer",
                                NULL};
    struct billet_git_command command = {.argv = argv,
                                         .input = oids->data,
                                         .input_length = oids->length,
                                         .output = found,
                                         .output_max = oids->length * 2 + 4096};
    return oids->length > 0 ? billet_git_run(&git->program, &command, NULL, error) : 0;
}

static bool
next_found(const char **at, char oid[BILLET_GIT_OID_SIZE], char type[16])
{
    if (*at == NULL || sscanf(*at, "%64s %15s", oid, type) != 2)
        return false;
    const char *end = strchr(*at, '\n');
    *at = end != NULL ? end + 1 : NULL;
    return true;
}

/* "^OID" for what the far side has and this one knows. */
static int
put_known(const struct billet_git *git, const struct billet_git_refs *known,
          struct billet_buffer *revisions, struct billet_error *error)
{
    cleanup_buffer struct billet_buffer oids = BILLET_BUFFER_INIT;
    cleanup_buffer struct billet_buffer found = BILLET_BUFFER_INIT;
    char oid[BILLET_GIT_OID_SIZE];
    char type[16];
    for (size_t i = 0; i < known->count; i++)
        put_oid(&oids, "", known->items[i].oid);
    int result = look_up(git, &oids, &found, error);
    const char *at = billet_buffer_text(&found);
    while (result == 0 && next_found(&at, oid, type))
        if (strcmp(type, "commit") == 0 || strcmp(type, "tag") == 0)
            put_oid(revisions, "^", oid);
    return result;
}

/* Blobs that are in the index and not in the tree of HEAD. */
static int
put_staged(const struct billet_git *git, struct billet_buffer *revisions,
           struct billet_error *error)
{
    cleanup_buffer struct billet_buffer text = BILLET_BUFFER_INIT;
    const char *const argv[] = {"diff-index",   "--cached", "--raw",       "--no-abbrev",
                                "--no-renames", "-z",       git->head.oid, NULL};
    struct billet_git_command command = {.argv = argv, .output = &text};
    int result = 0;
    if (git->head.oid[0] != '\0')
        result = billet_git_run(&git->program, &command, NULL, error);
    if (result < 0)
        return result;
    struct billet_manifest differing = BILLET_MANIFEST_INIT;
    for (size_t at = 0; result == 0 && at < text.length;) {
        at += strlen(text.data + at) + 1; /* the record before the path */
        if (at >= text.length)
            break;
        struct billet_entry entry = {.path = text.data + at, .type = BILLET_ENTRY_FILE};
        entry.path_length = (uint32_t)strlen(entry.path);
        result = billet_manifest_add(&differing, &entry, error);
        at += entry.path_length + 1;
    }
    billet_manifest_sort(&differing);
    for (size_t i = 0; result == 0 && i < git->index.count; i++) {
        const struct billet_git_entry *entry = &git->index.entries[i];
        if (entry->mode != BILLET_GIT_MODE_LINKED && (entry->flags & BILLET_GIT_INTENT) == 0 &&
            (git->head.oid[0] == '\0' || entry->stage > 0 ||
             billet_manifest_find(&differing, entry->path, strlen(entry->path)) != NULL))
            put_oid(revisions, "", entry->oid);
    }
    billet_manifest_free(&differing);
    return result;
}

/* It is tracked and here, and did not travel: it must not look deleted there. */
static bool
stays_here(const struct billet_git *git, const struct billet_git_entry *entry)
{
    struct stat status;
    if ((entry->flags & BILLET_GIT_SKIP) != 0)
        return true;
    if (git->options.manifest == NULL || entry->mode == BILLET_GIT_MODE_LINKED)
        return false;
    const struct billet_entry *sent =
        billet_manifest_find(git->options.manifest, entry->path, strlen(entry->path));
    return (sent == NULL || sent->type == BILLET_ENTRY_OTHER) &&
           billet_root_stat(git->options.root, entry->path, &status) == 0 &&
           !S_ISDIR(status.st_mode);
}

#define PARTS 8
static const char *const part_names[PARTS] = {"config", "shallow", "gone", "refs",
                                              "index",  "intent",  "skip", "valid"};

static void
fill_parts(const struct billet_git *git, const struct billet_git_refs *known,
           struct billet_buffer parts[PARTS])
{
    static const char own[] = "[core]\n\trepositoryformatversion = %d\n\tbare = false\n"
                              "\tlogallrefupdates = true\n%s";
    billet_buffer_format(&parts[0], own, git->config.sha256 ? 1 : 0,
                         git->config.sha256 ? "[extensions]\n\tobjectformat = sha256\n" : "");
    billet_buffer_add(&parts[0], billet_buffer_text(&git->config.text));
    billet_buffer_append(&parts[1], git->shallow.data, git->shallow.length);
    for (size_t i = 0; i < known->count; i++) {
        const char *name = known->items[i].name;
        const char *leaf = strrchr(name, '/');
        if (billet_git_refs_find(&git->refs, name) == NULL && strcmp(leaf, "/HEAD") != 0 &&
            (billet_text_starts(name, "refs/heads/") || billet_text_starts(name, "refs/tags/") ||
             billet_text_starts(name, "refs/remotes/")))
            billet_buffer_format(&parts[2], "delete %s\n", name);
    }
    for (size_t i = 0; i < git->refs.count; i++)
        billet_buffer_format(&parts[3], "update %s %s\n", git->refs.items[i].name,
                             git->refs.items[i].oid);
    for (size_t i = 0; i < git->index.count; i++) {
        const struct billet_git_entry *entry = &git->index.entries[i];
        size_t size = strlen(entry->path) + 1;
        if ((entry->flags & BILLET_GIT_INTENT) != 0) {
            billet_buffer_append(&parts[5], entry->path, size);
            continue;
        }
        billet_git_index_line(&parts[4], entry);
        if (entry->stage == 0 && stays_here(git, entry))
            billet_buffer_append(&parts[6], entry->path, size);
        if (entry->stage == 0 && (entry->flags & BILLET_GIT_VALID) != 0)
            billet_buffer_append(&parts[7], entry->path, size);
    }
}

/* One tree with the parts as blobs; what is empty is left out, but the index. */
static int
write_tree(const struct billet_git *git, struct billet_buffer parts[PARTS],
           struct billet_git_delivery *delivery, struct billet_error *error)
{
    cleanup_buffer struct billet_buffer names = BILLET_BUFFER_INIT;
    cleanup_buffer struct billet_buffer oids = BILLET_BUFFER_INIT;
    cleanup_buffer struct billet_buffer lines = BILLET_BUFFER_INIT;
    cleanup_buffer struct billet_buffer present = BILLET_BUFFER_INIT;
    int result = 0;
    for (size_t i = 0; i < PARTS && result == 0; i++) {
        char name[32];
        if (parts[i].failed)
            return billet_error_no_memory(error);
        if (parts[i].length == 0 && strcmp(part_names[i], "index") != 0)
            continue;
        snprintf(name, sizeof(name), "part-%s", part_names[i]);
        cleanup_fd int fd = openat(git->program.directory_fd, name,
                                   O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
            return billet_error_errno(error, 0, "io_failed", errno, "git quarantine");
        result = billet_io_write_all(fd, parts[i].data, parts[i].length, error);
        billet_buffer_format(&names, "%s/%s\n", git->program.directory, name);
    }
    const char *const hash[] = {"hash-object", "-w", "--no-filters", "--stdin-paths", NULL};
    struct billet_git_command command = {
        .argv = hash, .input = names.data, .input_length = names.length, .output = &oids};
    if (result == 0)
        result = billet_git_run(&git->program, &command, NULL, error);
    const char *at = billet_buffer_text(&oids);
    billet_buffer_add_char(&present, ' ');
    for (size_t i = 0; i < PARTS && result == 0; i++) {
        if (parts[i].length == 0 && strcmp(part_names[i], "index") != 0)
            continue;
        int size = (int)strcspn(at, "\n");
        billet_buffer_format(&lines, "100644 blob %.*s\t%s\n", size, at, part_names[i]);
        if (strcmp(part_names[i], "index") == 0)
            snprintf(delivery->index, sizeof(delivery->index), "%.*s", size, at);
        billet_buffer_format(&present, "%s ", part_names[i]);
        at += size + (at[size] == '\n');
    }
    snprintf(delivery->parts, sizeof(delivery->parts), "%s", billet_buffer_text(&present));
    const char *const make[] = {"mktree", NULL};
    command = (struct billet_git_command){
        .argv = make, .input = lines.data, .input_length = lines.length};
    if (result == 0)
        result = billet_git_ask_word(&git->program, &command, delivery->tree,
                                     sizeof(delivery->tree), NULL, error);
    delivery->head = git->head.ref[0] != '\0' ? git->head.ref : git->head.oid;
    delivery->sha256 = git->config.sha256;
    return result;
}

static int
stream_pack(const struct billet_git *git, const struct billet_git_far *far,
            const struct billet_buffer *revisions, const struct billet_git_delivery *delivery,
            struct billet_error *error)
{
    struct billet_git_process process = BILLET_GIT_PROCESS_INIT;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return billet_error_errno(error, 0, "io_failed", errno, "pack for the environment");
    const char *const argv[] = {"pack-objects",        "--revs", "--thin", "--stdout",
                                "--delta-base-offset", "-q",     NULL};
    struct billet_git_command command = {.argv = argv,
                                         .input = revisions->data,
                                         .input_length = revisions->length,
                                         .out_fd = ends[1]};
    int result = billet_git_start(&git->program, &command, &process, error);
    billet_close(&ends[1]);
    struct billet_error far_error = BILLET_ERROR_INIT;
    int there = 0;
    if (result == 0)
        there = billet_git_far_deliver(far, ends[0], delivery, &far_error);
    billet_close(&ends[0]);
    if (result < 0)
        return result;
    /* When the pack could not be made, that is why the far side failed. */
    int status = 0;
    result = billet_git_finish(&process, there < 0 ? &status : NULL, error);
    if (result == 0 && there < 0) {
        if (error != NULL)
            *error = far_error;
        return there;
    }
    return result;
}

static int
count_objects(const struct billet_git *git, const struct billet_buffer *revisions, uint64_t *count,
              struct billet_error *error)
{
    char word[32];
    const char *const argv[] = {"rev-list", "--objects", "--count", "--stdin", NULL};
    struct billet_git_command command = {
        .argv = argv, .input = revisions->data, .input_length = revisions->length};
    int result = billet_git_ask_word(&git->program, &command, word, sizeof(word), NULL, error);
    if (result == 0)
        *count = strtoull(word, NULL, 10);
    return result;
}

int
billet_git_send(struct billet_git *git, const struct billet_git_far *far, uint64_t *sent_objects,
                struct billet_error *error)
{
    struct billet_git_refs known = {0};
    struct billet_buffer parts[PARTS] = {{0}};
    cleanup_buffer struct billet_buffer revisions = BILLET_BUFFER_INIT;
    struct billet_git_delivery delivery = {.head = NULL};
    int result = billet_git_far_ask(far, &known, error);
    if (result == 0) {
        fill_parts(git, &known, parts);
        result = write_tree(git, parts, &delivery, error);
    }
    if (result == 0) {
        for (size_t i = 0; i < git->refs.count; i++)
            put_oid(&revisions, "", git->refs.items[i].oid);
        if (git->head.oid[0] != '\0')
            put_oid(&revisions, "", git->head.oid);
        put_oid(&revisions, "", delivery.tree);
        result = put_staged(git, &revisions, error);
    }
    if (result == 0)
        result = put_known(git, &known, &revisions, error);
    if (result == 0 && revisions.failed)
        result = billet_error_no_memory(error);
    if (result == 0 && sent_objects != NULL)
        result = count_objects(git, &revisions, sent_objects, error);
    if (result == 0)
        result = stream_pack(git, far, &revisions, &delivery, error);
    for (size_t i = 0; i < PARTS; i++)
        billet_buffer_free(&parts[i]);
    billet_git_refs_free(&known);
    if (result == BILLET_GIT_FAR_NO_GIT)
        return 0;
    return result < 0 ? result : 1;
}

/* --- back ------------------------------------------------------------------------------------ */

/* No name that arrived reaches git unlooked at: it goes into an index here. */
static int
check_paths(const struct billet_git_index *index, struct billet_error *error)
{
    for (size_t i = 0; i < index->count; i++) {
        const char *path = index->entries[i].path;
        int result = billet_path_check(path, strlen(path), &billet_limits_default, error);
        for (const char *part = path; result == 0 && *part != '\0';) {
            size_t size = strcspn(part, "/");
            if ((size == 4 && strncasecmp(part, ".git", 4) == 0) ||
                (size == 5 && strncasecmp(part, "git~1", 5) == 0))
                result = billet_error_set(error, BILLET_CLASS_AUTH, "git_refused",
                                          "their index names %s", path);
            part += size + (part[size] == '/');
        }
        if (result < 0)
            return billet_error_wrap(error, "index of the environment");
    }
    return 0;
}

static int
plan_index(struct billet_git *git, const struct billet_git_far_state *state,
           struct billet_error *error)
{
    cleanup_buffer struct billet_buffer was = BILLET_BUFFER_INIT;
    cleanup_buffer struct billet_buffer now = BILLET_BUFFER_INIT;
    /* On another branch their index is about other commits. */
    if (strcmp(state->head.ref, git->head.ref) != 0)
        return 0;
    int result = billet_git_index_differ(&git->index, &state->index, &was, &now, error);
    if (result == 0)
        result = billet_git_index_parse(&was, false, &git->plan.was, error);
    if (result == 0)
        result = billet_git_index_parse(&now, false, &git->plan.now, error);
    if (result == 0)
        result = check_paths(&git->plan.now, error);
    return result;
}

static int
add_arrived(struct billet_git *git, const char *branch, const char *oid, struct billet_error *error)
{
    char name[BILLET_GIT_REF_SIZE * 2];
    if (git->arrived.count >= BRANCHES_MAX)
        return billet_error_set(error, BILLET_CLASS_CAPACITY, "git_refused",
                                "more than %d branches were changed", BRANCHES_MAX);
    snprintf(name, sizeof(name), "refs/billet/%.64s/%s", git->options.lease, branch);
    if (!billet_git_is_ref_name(name))
        return billet_error_set(error, BILLET_CLASS_AUTH, "git_refused",
                                "a branch of the environment has a name that is too long");
    return billet_git_refs_add(&git->arrived, name, oid, strlen(oid), error);
}

/* Branches that are new or moved there; plan.theirs. */
static int
plan_branches(struct billet_git *git, const struct billet_git_far_state *state,
              struct billet_error *error)
{
    struct billet_git_plan *plan = &git->plan;
    bool head_is_held = state->head.oid[0] == '\0' || strcmp(state->head.oid, git->head.oid) == 0;
    int result = 0;
    snprintf(plan->lease, sizeof(plan->lease), "%s", git->options.lease);
    snprintf(plan->ref, sizeof(plan->ref), "%s", git->head.ref);
    snprintf(plan->base, sizeof(plan->base), "%s", git->head.oid);
    for (size_t i = 0; i < state->branches.count && result == 0; i++) {
        const struct billet_git_ref *theirs = &state->branches.items[i];
        const struct billet_git_ref *ours = billet_git_refs_find(&git->refs, theirs->name);
        if (!billet_text_starts(theirs->name, "refs/heads/"))
            continue;
        if (strcmp(theirs->name, git->head.ref) == 0)
            snprintf(plan->theirs, sizeof(plan->theirs), "%s", theirs->oid);
        head_is_held = head_is_held || strcmp(theirs->oid, state->head.oid) == 0;
        if (ours == NULL || strcmp(ours->oid, theirs->oid) != 0)
            result = add_arrived(git, theirs->name + strlen("refs/heads/"), theirs->oid, error);
    }
    if (git->head.ref[0] == '\0')
        snprintf(plan->theirs, sizeof(plan->theirs), "%s",
                 state->head.ref[0] == '\0' ? state->head.oid : git->head.oid);
    if (result == 0 && !head_is_held)
        result = add_arrived(git, "HEAD", state->head.oid, error);
    const char *branch = git->head.ref[0] == '\0' ? "HEAD" : git->head.ref + strlen("refs/heads/");
    char kept[BILLET_GIT_REF_SIZE * 2];
    snprintf(kept, sizeof(kept), "refs/billet/%.64s/%s", git->options.lease, branch);
    for (size_t i = 0; i < git->arrived.count; i++)
        if (strcmp(git->arrived.items[i].name, kept) == 0)
            snprintf(plan->kept, sizeof(plan->kept), "%s", git->arrived.items[i].name);
    return result;
}

/* What is to come: commits that are not here, staged blobs that are not. */
static int
list_wanted(const struct billet_git *git, struct billet_buffer *wanted, struct billet_error *error)
{
    cleanup_buffer struct billet_buffer oids = BILLET_BUFFER_INIT;
    cleanup_buffer struct billet_buffer found = BILLET_BUFFER_INIT;
    char oid[BILLET_GIT_OID_SIZE];
    char type[16];
    for (size_t i = 0; i < git->arrived.count; i++)
        put_oid(&oids, "", git->arrived.items[i].oid);
    for (size_t i = 0; i < git->plan.now.count; i++)
        if (git->plan.now.entries[i].mode != BILLET_GIT_MODE_LINKED)
            put_oid(&oids, "", git->plan.now.entries[i].oid);
    if (oids.failed)
        return billet_error_no_memory(error);
    int result = look_up(git, &oids, &found, error);
    const char *at = billet_buffer_text(&found);
    while (result == 0 && next_found(&at, oid, type))
        if (strcmp(type, "missing") == 0)
            put_oid(wanted, "", oid);
    return result;
}

static void
put_sent(const struct billet_git *git, struct billet_buffer *to)
{
    for (size_t i = 0; i < git->refs.count; i++)
        put_oid(to, "^", git->refs.items[i].oid);
    if (git->head.oid[0] != '\0')
        put_oid(to, "^", git->head.oid);
}

/* Their pack into the quarantine: each object is checked as it arrives. */
static int
fetch_pack(struct billet_git *git, const struct billet_git_far *far,
           const struct billet_buffer *wanted, struct billet_error *error)
{
    cleanup_buffer struct billet_buffer revisions = BILLET_BUFFER_INIT;
    struct billet_git_process process = BILLET_GIT_PROCESS_INIT;
    struct billet_error far_error = BILLET_ERROR_INIT;
    char limit[64];
    int ends[2];
    billet_buffer_append(&revisions, wanted->data, wanted->length);
    put_sent(git, &revisions);
    if (revisions.failed)
        return billet_error_no_memory(error);
    snprintf(limit, sizeof(limit), "--max-input-size=%" PRIu64,
             git->options.pack_bytes_max > 0 ? git->options.pack_bytes_max : PACK_BYTES_MAX);
    const char *const argv[] = {"index-pack", "--stdin", "--fix-thin", "--strict", limit, NULL};
    if (pipe2(ends, O_CLOEXEC) != 0)
        return billet_error_errno(error, 0, "io_failed", errno, "pack of the environment");
    struct billet_git_command command = {.argv = argv, .in_fd = ends[0]};
    int result = billet_git_start(&git->program, &command, &process, error);
    billet_close(&ends[0]);
    int there = result == 0 ? billet_git_far_pack(far, &revisions, ends[1], &far_error) : 0;
    billet_close(&ends[1]);
    if (result < 0)
        return result;
    result = billet_git_finish(&process, NULL, error);
    if (result < 0) {
        billet_error_recode(error, "git_refused");
        return billet_error_wrap(error, "what came back for the repository is refused");
    }
    if (there < 0 && error != NULL)
        *error = far_error;
    return there;
}

/* All that is named is there, of the right type, and nothing below it is missing. */
static int
verify(struct billet_git *git, struct billet_error *error)
{
    cleanup_buffer struct billet_buffer commits = BILLET_BUFFER_INIT;
    cleanup_buffer struct billet_buffer blobs = BILLET_BUFFER_INIT;
    struct billet_buffer *const lists[] = {&commits, &blobs};
    static const char *const types[] = {"commit", "blob"};
    for (size_t i = 0; i < git->arrived.count; i++)
        put_oid(&commits, "", git->arrived.items[i].oid);
    for (size_t i = 0; i < git->plan.now.count; i++)
        if (git->plan.now.entries[i].mode != BILLET_GIT_MODE_LINKED)
            put_oid(&blobs, "", git->plan.now.entries[i].oid);
    int result = 0;
    for (size_t i = 0; i < 2 && result == 0; i++) {
        cleanup_buffer struct billet_buffer found = BILLET_BUFFER_INIT;
        char oid[BILLET_GIT_OID_SIZE];
        char type[16];
        result = look_up(git, lists[i], &found, error);
        const char *at = billet_buffer_text(&found);
        while (result == 0 && next_found(&at, oid, type))
            if (strcmp(type, types[i]) != 0)
                result = billet_error_set(error, BILLET_CLASS_AUTH, "git_refused",
                                          "what came back for the repository is refused: %.12s is "
                                          "%s, not a %s",
                                          oid, type, types[i]);
    }
    git->new_revisions.length = 0;
    billet_buffer_append(&git->new_revisions, commits.data, commits.length);
    billet_buffer_append(&git->new_revisions, blobs.data, blobs.length);
    put_sent(git, &git->new_revisions);
    if (result == 0 && git->new_revisions.failed)
        result = billet_error_no_memory(error);
    const char *const argv[] = {"rev-list", "--objects", "--quiet", "--stdin", NULL};
    struct billet_git_command command = {
        .argv = argv, .input = git->new_revisions.data, .input_length = git->new_revisions.length};
    if (result == 0) {
        result = billet_git_run(&git->program, &command, NULL, error);
        if (result < 0) {
            billet_error_recode(error, "git_refused");
            billet_error_wrap(error, "what came back for the repository is refused");
        }
    }
    return result;
}

static void
name_committer(struct billet_git *git)
{
    snprintf(git->plan.name, sizeof(git->plan.name), "%s",
             git->config.name[0] != '\0' ? git->config.name : "billet");
    snprintf(git->plan.email, sizeof(git->plan.email), "%s",
             git->config.email[0] != '\0' ? git->config.email : "billet@localhost");
}

int
billet_git_receive(struct billet_git *git, const struct billet_git_far *far,
                   struct billet_error *error)
{
    struct billet_git_far_state state = {0};
    cleanup_buffer struct billet_buffer wanted = BILLET_BUFFER_INIT;
    int result = billet_git_far_report(far, &state, error);
    if (result == 0)
        result = plan_branches(git, &state, error);
    if (result == 0)
        result = plan_index(git, &state, error);
    if (result == 0)
        result = list_wanted(git, &wanted, error);
    if (result == 0 && wanted.length > 0)
        result = fetch_pack(git, far, &wanted, error);
    if (result == 0)
        result = verify(git, error);
    billet_git_far_state_free(&state);
    if (result != 0) {
        git->report.outcome = BILLET_GIT_FAILED;
        billet_git_refs_free(&git->arrived);
        billet_git_plan_free(&git->plan);
        git->plan = (struct billet_git_plan){.lease = ""};
        if (result == BILLET_GIT_FAR_NO_GIT)
            snprintf(git->report.note, sizeof(git->report.note),
                     "the environment has no git repository any more");
        else if (error != NULL)
            billet_text_copy(git->report.note, sizeof(git->report.note), error->message);
        return result == BILLET_GIT_FAR_NO_GIT ? 0 : result;
    }
    name_committer(git);
    git->received = git->arrived.count > 0 || git->plan.was.count > 0 || git->plan.now.count > 0;
    return git->received ? 1 : 0;
}

/* The plan is noted first: it tells which locks a run that was killed may have left. */
static int
install(struct billet_git *git, struct billet_error *error)
{
    cleanup_buffer struct billet_buffer text = BILLET_BUFFER_INIT;
    int result = billet_git_plan_encode(&git->plan, &text, error);
    if (result == 0)
        result = billet_journal_write(git->options.state_fd, PLAN_NAME, &text, git->options.durable,
                                      error);
    if (result == 0)
        result = billet_git_pack_install(&git->program, &git->repository, "arrived",
                                         &git->new_revisions, error);
    for (size_t i = 0; i < git->arrived.count && result == 0; i++) {
        const struct billet_git_ref *ref = &git->arrived.items[i];
        struct billet_git_move move = {
            .name = ref->name, .to = ref->oid, .tag = git->options.lease};
        int moved = billet_git_ref_move(&git->repository, &move, error);
        if (moved == 0)
            result = billet_error_set(error, BILLET_CLASS_UNAVAILABLE, "git_failed", "%s is locked",
                                      ref->name);
        else if (moved < 0)
            result = moved;
        else if (strcmp(ref->name, git->plan.kept) != 0 &&
                 !billet_strings_add(&git->report.others, ref->name))
            result = billet_error_no_memory(error);
    }
    return result;
}

int
billet_git_commit(struct billet_git *git, struct billet_error *error)
{
    struct billet_error own = BILLET_ERROR_INIT;
    if (!git->received)
        return 0;
    int result = install(git, &own);
    if (result == 0)
        return 0;
    unlinkat(git->options.state_fd, PLAN_NAME, 0);
    git->received = false;
    git->report.outcome = BILLET_GIT_FAILED;
    billet_text_copy(git->report.note, sizeof(git->report.note), own.message);
    if (error != NULL)
        *error = own;
    return result;
}

static void
settle(const struct billet_git_plan *plan, const struct billet_git_program *program,
       const struct billet_git_repository *repository, int state_fd,
       struct billet_git_report *report)
{
    struct billet_error own = BILLET_ERROR_INIT;
    if (billet_git_plan_settle(plan, program, repository, report, &own) < 0) {
        billet_text_copy(report->note, sizeof(report->note), own.message);
        snprintf(report->kept, sizeof(report->kept), "%s", plan->kept);
    }
    unlinkat(state_fd, PLAN_NAME, 0);
}

void
billet_git_settle(struct billet_git *git)
{
    if (git->received)
        settle(&git->plan, &git->program, &git->repository, git->options.state_fd, &git->report);
    git->received = false;
}

const struct billet_git_report *
billet_git_report(const struct billet_git *git)
{
    return &git->report;
}

/* --- after a crash --------------------------------------------------------------------------- */

static int
resume(const struct billet_root *root, int state_fd, bool files_done,
       const struct billet_git_plan *plan, struct billet_git_report *report,
       struct billet_error *error)
{
    struct billet_git_repository repository = BILLET_GIT_REPOSITORY_INIT;
    struct billet_git_program program = BILLET_GIT_PROGRAM_INIT;
    struct billet_git_config config = {0};
    cleanup_buffer struct billet_buffer shallow = BILLET_BUFFER_INIT;
    char why[160];
    int result = open_repository(&repository, root, why, error);
    if (result == 0)
        result = billet_error_set(error, BILLET_CLASS_UNAVAILABLE, "git_failed",
                                  "the workspace is no git work tree any more");
    if (result == 1) {
        repository.durable = true;
        billet_git_plan_unlock(plan, &repository);
        result = files_done
                     ? open_program(&program, &repository, state_fd, 0, &config, &shallow, error)
                     : 0;
    }
    if (result == 0 && files_done)
        result = billet_git_plan_settle(plan, &program, &repository, report, error);
    billet_git_program_close(&program, state_fd);
    billet_git_repository_close(&repository);
    billet_git_config_free(&config);
    return result;
}

int
billet_git_resume(const struct billet_root *root, int state_fd, bool files_done,
                  struct billet_git_report *report)
{
    cleanup_buffer struct billet_buffer text = BILLET_BUFFER_INIT;
    struct billet_error own = BILLET_ERROR_INIT;
    struct billet_git_plan plan = {0};
    billet_git_remove_tree(state_fd, "git"); /* a quarantine that was left */
    if (billet_journal_read(state_fd, PLAN_NAME, &text, NULL) <= 0)
        return 0;
    int result = billet_git_plan_decode(&text, &plan, &own);
    if (result == 0)
        result = resume(root, state_fd, files_done, &plan, report, &own);
    if (result < 0 || !files_done) {
        report->outcome = BILLET_GIT_FAILED;
        billet_text_copy(report->note, sizeof(report->note),
                         result < 0 ? own.message : "the run ended before its files were merged");
        snprintf(report->kept, sizeof(report->kept), "%s", plan.kept);
    }
    billet_git_plan_free(&plan);
    unlinkat(state_fd, PLAN_NAME, 0);
    return 1;
}
