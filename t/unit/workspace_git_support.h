/* SPDX-License-Identifier: Apache-2.0 */
/*
 * workspace_git_support.h - real repositories made by the git of this machine, and an environment
 * that is a directory beside them: shared by the tests of the travelling repository.
 */
#ifndef BILLET_UNIT_WORKSPACE_GIT_SUPPORT_H
#define BILLET_UNIT_WORKSPACE_GIT_SUPPORT_H

#include <signal.h>
#include <sys/wait.h>

#include "workspace/git.h"
#include "workspace/workspace.h"
#include "workspace_support.h"

#define LEASE "0190aaaa-bbbb-7ccc-8ddd-eeeeffff0001"

static struct billet_error error;
static struct billet_report report;
static struct billet_filter filter = BILLET_FILTER_INIT;

/* A shell command in the test's directory; its output, valid until the next call. */
static UNUSED char *__attribute__((format(printf, 1, 2))) sh(const char *format, ...)
{
    static char output[262144];
    char command[8192];
    char whole[9000];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(command, sizeof(command), format, arguments);
    va_end(arguments);
    snprintf(whole, sizeof(whole), "cd %s && { %s\n} 2>&1", top, command);
    FILE *pipe = popen(whole, "r");
    ck_assert_ptr_nonnull(pipe);
    size_t length = fread(output, 1, sizeof(output) - 1, pipe);
    output[length] = '\0';
    int status = pclose(pipe);
    ck_assert_msg(status == 0, "'%s' gives %d: %s", command, status, output);
    return output;
}

static void UNUSED
set_up_git(void)
{
    error = (struct billet_error)BILLET_ERROR_INIT;
    report = (struct billet_report)BILLET_REPORT_INIT;
    filter.flags = 0;
    set_up();
    mkdir(at("home"), 0755);
    mkdir(at("far"), 0755);
    setenv("HOME", at("home"), 1);
    setenv("GIT_CONFIG_NOSYSTEM", "1", 1);
    setenv("GIT_CONFIG_GLOBAL", at("home/.gitconfig"), 1);
    unsetenv("XDG_CONFIG_HOME");
    make_file(at("home/.gitconfig"), "[user]\n\tname = Ada\n\temail = ada@example.org\n"
                                     "[init]\n\tdefaultBranch = main\n[protocol \"file\"]\n"
                                     "\tallow = always\n[gc]\n\tauto = 0\n"
                                     "[maintenance]\n\tauto = false\n[core]\n\tfsync = none\n");
}

static void UNUSED
tear_down_git(void)
{
    billet_report_free(&report);
    tear_down();
}

/* --- the environment ------------------------------------------------------------------------- */

static const char *far_path; /* PATH there; NULL: as here */
static int far_calls;        /* commands run there */

static int UNUSED
far_exec(void *context, const char *const *argv, const int fds[3], int *status,
         struct billet_error *failure)
{
    (void)context;
    (void)failure;
    far_calls++;
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR);
        for (int i = 0; i < 3; i++)
            dup2(fds[i] >= 0 ? fds[i] : null, i);
        closefrom(3);
        if (far_path != NULL)
            setenv("PATH", far_path, 1);
        execv("/bin/sh", (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    int ended;
    ck_assert_int_eq(waitpid(pid, &ended, 0), pid);
    *status = WIFEXITED(ended) ? WEXITSTATUS(ended) : 128 + WTERMSIG(ended);
    return 0;
}

static UNUSED struct billet_git_far
far_side(void)
{
    static char directory[128];
    snprintf(directory, sizeof(directory), "%s/far", top);
    return (struct billet_git_far){.exec = far_exec, .directory = directory};
}

/* --- one run --------------------------------------------------------------------------------- */

struct travel {
    struct billet_workspace *workspace;
    struct billet_git *git;
    struct billet_git_far far;
    char why[160];
    int sent; /* what billet_git_send gave */
    uint64_t objects;
};

static int UNUSED
before_files(void *context, struct billet_error *failure)
{
    return billet_git_commit(((struct travel *)context)->git, failure);
}

static void UNUSED
after_files(void *context)
{
    billet_git_settle(((struct travel *)context)->git);
}

static struct billet_workspace *
open_workspace(const char *lease)
{
    struct billet_workspace *workspace = NULL;
    struct billet_limits limits = billet_limits_default;
    limits.free_floor_bytes = 0;
    struct billet_workspace_options options = {.directory = at("work"),
                                               .state_directory = at("state"),
                                               .tag = lease,
                                               .filter = &filter,
                                               .limits = &limits,
                                               .lock_deadline_ns = 1};
    ck_assert_msg(billet_workspace_begin(&options, &workspace, &error) == 0, "%s", error.message);
    return workspace;
}

static int UNUSED
begin_git(struct travel *travel, const char *lease)
{
    *travel = (struct travel){.far = far_side()};
    travel->workspace = open_workspace(lease);
    struct billet_git_options options = {
        .root = billet_workspace_root(travel->workspace),
        .state_fd = billet_workspace_state_fd(travel->workspace),
        .lease = lease,
        .timeout_ns = 60 * BILLET_NS_PER_SECOND,
    };
    return billet_git_begin(&options, &travel->git, travel->why, &error);
}

static void UNUSED
bring_in_as(struct travel *travel, const char *lease)
{
    struct billet_copy_result copied = {0};
    int begun = begin_git(travel, lease);
    ck_assert_msg(begun == 1, "%d %s %s", begun, travel->why, error.message);
    ck_assert_int_eq(billet_workspace_copy(travel->workspace, at("far"), &copied, &error), 0);
    travel->sent =
        billet_git_send(travel->git, &travel->far, billet_workspace_baseline(travel->workspace),
                        &travel->objects, &error);
    ck_assert_msg(travel->sent >= 0, "%s", error.message);
}

static void UNUSED
bring_in(struct travel *travel)
{
    bring_in_as(travel, LEASE);
}

/* What billet_git_receive gave; files are merged in any case. */
static int UNUSED
bring_back(struct travel *travel)
{
    int received = billet_git_receive(travel->git, &travel->far, &error);
    struct billet_workspace_companion companion = {before_files, after_files, travel};
    ck_assert_int_eq(billet_workspace_receive_copy(travel->workspace, at("far"), NULL), 0);
    billet_workspace_accompany(travel->workspace, &companion);
    struct billet_error own = BILLET_ERROR_INIT;
    int applied = billet_workspace_apply(travel->workspace, &report, &own);
    ck_assert_msg(applied == 0, "%s", own.message);
    return received;
}

static void UNUSED
end_travel(struct travel *travel)
{
    billet_git_end(travel->git);
    billet_workspace_end(travel->workspace);
}

#define STATUS "git --no-optional-locks -C %s status --porcelain=v2 --branch -z | tr '\\0' '\\n'"

static void UNUSED
assert_same_status(void)
{
    char *here = strdup(sh(STATUS, "work"));
    const char *there = sh(STATUS, "far");
    ck_assert_msg(strcmp(here, there) == 0, "here:\n%s\nthere:\n%s", here, there);
    free(here);
}

static void UNUSED
assert_sound(void)
{
    sh("git -C work fsck --full --strict --no-dangling");
    ck_assert_msg(access(at("work/.git/index.lock"), F_OK) != 0, "a lock is left");
}

/* A repository with two commits, in the directory $1; made once and copied: a dozen calls of git
 * for each test would take longer than what is tested. */
#define MODEL_SCRIPT                                                                           \
    "export HOME=/nonexistent GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null"               \
    " GIT_AUTHOR_NAME=Ada GIT_AUTHOR_EMAIL=ada@example.org"                                    \
    " GIT_COMMITTER_NAME=Ada GIT_COMMITTER_EMAIL=ada@example.org;"                             \
    " umask 022; cd \"$1\" && git init -q -b main && echo one >a && echo two >b && mkdir d &&" \
    " echo three >d/c && chmod 755 b && ln -s a link && git add . && git commit -qm first &&"  \
    " echo more >>a && git commit -qam second && git tag v1 HEAD~1 && git branch side HEAD~1"

static char model[64];

static void UNUSED
make_repository(void)
{
    sh("cp -a %s/. work/ && git -C work update-index -q --refresh", model);
}

/* Run the tests, each in a process of its own, beside one model. */
static int UNUSED
run_git_suite(Suite *suite)
{
    const char *where = getenv("TMPDIR");
    char command[2048];
    snprintf(model, sizeof(model), "%.40s/billet-ws-XXXXXX", where != NULL ? where : "/tmp");
    if (mkdtemp(model) == NULL)
        return 99;
    snprintf(command, sizeof(command), "set -- %s; %s", model, MODEL_SCRIPT);
    int status = chmod(model, 0755) == 0 && system(command) == 0 ? run_suite(suite) : 99;
    remove_tree(model);
    return status;
}

#endif
