/* SPDX-License-Identifier: Apache-2.0 */
#include "workspace/git_private.h"

#define TIMEOUT_NS (INT64_C(600) * BILLET_NS_PER_SECOND)
#define CONFIG_MAX (1u << 20)
#define SHALLOW_MAX (16u << 20)
#define PLAN_NAME "git-plan"

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
    int result = billet_git_head_read(&git->repository, &git->here.head, error);
    if (result == 0)
        result = billet_git_refs_read(&git->repository, &git->here.branches, error);
    if (result == 0)
        result =
            billet_git_index_list(&git->program, &git->repository, &seen, &git->here.index, error);
    git->base = &git->here;
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
    billet_git_far_state_free(&git->here);
    billet_git_far_state_free(&git->other);
    billet_git_far_state_free(&git->seen);
    billet_git_refs_free(&git->arrived);
    billet_buffer_free(&git->new_revisions);
    billet_git_plan_free(&git->plan);
    billet_git_report_free(&git->report);
    free(git);
}

/* --- taking in ------------------------------------------------------------------------------- */

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

void
billet_git_report_take(struct billet_git *git, struct billet_git_report *report)
{
    billet_git_report_free(report);
    *report = git->report;
    git->report = (struct billet_git_report){0};
}

bool
billet_git_is_linked(const struct billet_git *git)
{
    return git->repository.linked;
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
