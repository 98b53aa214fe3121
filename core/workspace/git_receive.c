/* SPDX-License-Identifier: Apache-2.0 */
#include "workspace/git_private.h"

#define PACK_BYTES_MAX (UINT64_C(4) << 30)
#define BRANCHES_MAX 256 /* new or changed ones that are taken back */

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
    if (strcmp(state->head.ref, git->base->head.ref) != 0)
        return 0;
    int result = billet_git_index_differ(&git->base->index, &state->index, &was, &now, error);
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
    bool head_is_held =
        state->head.oid[0] == '\0' || strcmp(state->head.oid, git->base->head.oid) == 0;
    int result = 0;
    snprintf(plan->lease, sizeof(plan->lease), "%s", git->options.lease);
    snprintf(plan->ref, sizeof(plan->ref), "%s", git->base->head.ref);
    snprintf(plan->base, sizeof(plan->base), "%s", git->base->head.oid);
    for (size_t i = 0; i < state->branches.count && result == 0; i++) {
        const struct billet_git_ref *theirs = &state->branches.items[i];
        const struct billet_git_ref *ours =
            billet_git_refs_find(&git->base->branches, theirs->name);
        if (!billet_text_starts(theirs->name, "refs/heads/"))
            continue;
        if (strcmp(theirs->name, git->base->head.ref) == 0)
            snprintf(plan->theirs, sizeof(plan->theirs), "%s", theirs->oid);
        head_is_held = head_is_held || strcmp(theirs->oid, state->head.oid) == 0;
        if (ours == NULL || strcmp(ours->oid, theirs->oid) != 0)
            result = add_arrived(git, theirs->name + strlen("refs/heads/"), theirs->oid, error);
    }
    if (git->base->head.ref[0] == '\0')
        snprintf(plan->theirs, sizeof(plan->theirs), "%s",
                 state->head.ref[0] == '\0' ? state->head.oid : git->base->head.oid);
    if (result == 0 && !head_is_held)
        result = add_arrived(git, "HEAD", state->head.oid, error);
    const char *branch =
        git->base->head.ref[0] == '\0' ? "HEAD" : git->base->head.ref + strlen("refs/heads/");
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
        billet_git_put_oid(&oids, "", git->arrived.items[i].oid);
    for (size_t i = 0; i < git->plan.now.count; i++)
        if (git->plan.now.entries[i].mode != BILLET_GIT_MODE_LINKED)
            billet_git_put_oid(&oids, "", git->plan.now.entries[i].oid);
    if (oids.failed)
        return billet_error_no_memory(error);
    int result = billet_git_look_up(git, &oids, &found, error);
    const char *at = billet_buffer_text(&found);
    while (result == 0 && billet_git_next_found(&at, oid, type))
        if (strcmp(type, "missing") == 0)
            billet_git_put_oid(wanted, "", oid);
    return result;
}

/* What both sides had, as far as it is here still. */
static int
put_sent(const struct billet_git *git, struct billet_buffer *to, struct billet_error *error)
{
    struct billet_git_refs head = {0};
    int result = billet_git_put_known(git, &git->base->branches, to, error);
    if (result == 0 && git->base->head.oid[0] != '\0')
        result = billet_git_refs_add(&head, "HEAD", git->base->head.oid,
                                     strlen(git->base->head.oid), error);
    if (result == 0)
        result = billet_git_put_known(git, &head, to, error);
    billet_git_refs_free(&head);
    return result < 0 ? result : to->failed ? billet_error_no_memory(error) : 0;
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
    int sent = put_sent(git, &revisions, error);
    if (sent < 0)
        return sent;
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
        billet_git_put_oid(&commits, "", git->arrived.items[i].oid);
    for (size_t i = 0; i < git->plan.now.count; i++)
        if (git->plan.now.entries[i].mode != BILLET_GIT_MODE_LINKED)
            billet_git_put_oid(&blobs, "", git->plan.now.entries[i].oid);
    int result = 0;
    for (size_t i = 0; i < 2 && result == 0; i++) {
        cleanup_buffer struct billet_buffer found = BILLET_BUFFER_INIT;
        char oid[BILLET_GIT_OID_SIZE];
        char type[16];
        result = billet_git_look_up(git, lists[i], &found, error);
        const char *at = billet_buffer_text(&found);
        while (result == 0 && billet_git_next_found(&at, oid, type))
            if (strcmp(type, types[i]) != 0)
                result = billet_error_set(error, BILLET_CLASS_AUTH, "git_refused",
                                          "what came back for the repository is refused: %.12s is "
                                          "%s, not a %s",
                                          oid, type, types[i]);
    }
    git->new_revisions.length = 0;
    billet_buffer_append(&git->new_revisions, commits.data, commits.length);
    billet_buffer_append(&git->new_revisions, blobs.data, blobs.length);
    if (result == 0)
        result = put_sent(git, &git->new_revisions, error);
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
    billet_git_far_state_free(result == 0 ? &git->seen : &state);
    if (result == 0)
        git->seen = state;
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
