/* SPDX-License-Identifier: Apache-2.0 */
#include "scenario.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define COMMAND_MS 20000
#define PATIENCE_MS 5000 /* for processes that are being killed */
#define EXIT_FINDINGS 1
#define EXIT_FAILED 125

/* Writes, leaves a process in a session of its own behind, and takes a little while. */
#define COMMAND "echo hi > f; (setsid sleep 300 &) ; sleep 0.03"

static const struct scenario run = {
    "run", SCENARIO_NOTHING, false, {"run", "-e", "@E", "-w", "@W", "--", "sh", "-c", COMMAND}};
static const struct scenario first = {
    "first", SCENARIO_FIRST, false, {"run", "-e", "@E", "-w", "@W", "--", "true"}};
static const struct scenario acquire = {
    "acquire", SCENARIO_NOTHING, true, {"lease", "acquire", "-e", "@E", "-w", "@W", "--ttl", "1h"}};
static const struct scenario execute = {
    "exec", SCENARIO_HELD, true, {"exec", "@L", "--", "sh", "-c", COMMAND}};
static const struct scenario release = {"release", SCENARIO_HELD, true, {"lease", "release", "@L"}};
static const struct scenario destroy = {"destroy", SCENARIO_HELD, true, {"lease", "destroy", "@L"}};
static const struct scenario reap = {"reap", SCENARIO_ABANDONED, false, {"lease", "reap"}};
static const struct scenario resume = {"resume",
                                       SCENARIO_KEPT,
                                       true,
                                       {"run", "--reuse", "-e", "@E", "-w", "@W",
                                        "--workspace-mode", "@M", "--", "sh", "-c", COMMAND}};
static const struct scenario migrate = {"migrate", SCENARIO_UNMIGRATED, false, {"db", "migrate"}};
static const struct scenario create = {
    "env-create", SCENARIO_NOTHING, false, {"env", "create", "@N", "--driver", "local"}};

const struct group kill_groups[] = {
    {&run, "local", VICTIM_BILLET, NULL, 12},      {&run, "local", VICTIM_HOST, NULL, 10},
    {&run, "fake", VICTIM_BILLET, NULL, 6},        {&run, "fake", VICTIM_HOST, NULL, 6},
    {&run, "sandbox", VICTIM_BILLET, NULL, 10},    {&run, "sandbox", VICTIM_HOST, NULL, 12},
    {&run, "sandbox", VICTIM_LAUNCHER, NULL, 12},  {&first, "local", VICTIM_BILLET, NULL, 5},
    {&acquire, "local", VICTIM_BILLET, NULL, 4},   {&acquire, "local", VICTIM_HOST, NULL, 4},
    {&acquire, "sandbox", VICTIM_BILLET, NULL, 4}, {&acquire, "sandbox", VICTIM_HOST, NULL, 4},
    {&execute, "local", VICTIM_BILLET, NULL, 3},   {&execute, "local", VICTIM_HOST, NULL, 3},
    {&execute, "sandbox", VICTIM_BILLET, NULL, 3}, {&execute, "sandbox", VICTIM_HOST, NULL, 3},
    {&release, "local", VICTIM_BILLET, NULL, 3},   {&release, "local", VICTIM_HOST, NULL, 3},
    {&release, "sandbox", VICTIM_BILLET, NULL, 3}, {&release, "sandbox", VICTIM_HOST, NULL, 3},
    {&destroy, "local", VICTIM_BILLET, NULL, 2},   {&destroy, "fake", VICTIM_BILLET, NULL, 2},
    {&destroy, "fake", VICTIM_HOST, NULL, 2},      {&reap, "local", VICTIM_BILLET, NULL, 4},
    {&reap, "local", VICTIM_HOST, NULL, 3},        {&reap, "sandbox", VICTIM_BILLET, NULL, 3},
    {&reap, "sandbox", VICTIM_HOST, NULL, 3},      {&create, "local", VICTIM_BILLET, NULL, 3},
    {&resume, "local", VICTIM_BILLET, NULL, 4},    {&resume, "local", VICTIM_HOST, NULL, 3},
    {&resume, "sandbox", VICTIM_BILLET, NULL, 4},  {&resume, "sandbox", VICTIM_HOST, NULL, 3},
    {&migrate, "local", VICTIM_BILLET, NULL, 3},   {&run, "ssh", VICTIM_BILLET, NULL, 6},
    {&run, "ssh", VICTIM_HOST, NULL, 6},           {&acquire, "ssh", VICTIM_BILLET, NULL, 3},
    {&acquire, "ssh", VICTIM_HOST, NULL, 3},       {&execute, "ssh", VICTIM_BILLET, NULL, 2},
    {&execute, "ssh", VICTIM_HOST, NULL, 2},       {&release, "ssh", VICTIM_BILLET, NULL, 2},
    {&release, "ssh", VICTIM_HOST, NULL, 2},       {&destroy, "ssh", VICTIM_BILLET, NULL, 2},
    {&destroy, "ssh", VICTIM_HOST, NULL, 2},       {&resume, "ssh", VICTIM_BILLET, NULL, 3},
    {&resume, "ssh", VICTIM_HOST, NULL, 3},
};
const int kill_group_count = sizeof(kill_groups) / sizeof(kill_groups[0]);

static const struct fault full = {
    "full", ENOSPC, {"write", "pwrite64", "fdatasync", "fsync", "ftruncate"}};
static const struct fault broken = {
    "broken", EIO, {"write", "pwrite64", "fdatasync", "fsync", "ftruncate"}};
static const struct fault unreadable = {"unreadable", EIO, {"read", "pread64"}};
static const struct fault files = {"files", EMFILE, {"openat", "open"}};
static const struct fault descriptors = {
    "descriptors",
    EMFILE,
    {"socketpair", "pipe2", "eventfd2", "signalfd4", "socket", "dup", "epoll_create1"}};
static const struct fault memory = {"memory", ENOMEM, {"mmap", "brk", "mremap", "clone", "clone3"}};
static const struct fault frames = {"frames", ENOBUFS, {"sendmsg", "recvmsg"}};

const struct group fault_groups[] = {
    {&run, "local", VICTIM_BILLET, &full, 6},
    {&run, "local", VICTIM_BILLET, &broken, 4},
    {&run, "local", VICTIM_BILLET, &unreadable, 3},
    {&run, "local", VICTIM_BILLET, &files, 4},
    {&run, "local", VICTIM_BILLET, &descriptors, 3},
    {&run, "local", VICTIM_BILLET, &memory, 4},
    {&run, "local", VICTIM_BILLET, &frames, 4},
    {&run, "local", VICTIM_HOST, &files, 3},
    {&run, "local", VICTIM_HOST, &memory, 3},
    {&run, "local", VICTIM_HOST, &frames, 3},
    {&run, "sandbox", VICTIM_HOST, &files, 3},
    {&run, "sandbox", VICTIM_HOST, &descriptors, 3},
    {&first, "local", VICTIM_BILLET, &full, 4},
    {&acquire, "local", VICTIM_BILLET, &full, 3},
    {&reap, "local", VICTIM_BILLET, &full, 3},
    {&reap, "local", VICTIM_BILLET, &files, 2},
};
const int fault_group_count = sizeof(fault_groups) / sizeof(fault_groups[0]);

static const char *const victim_names[VICTIMS] = {"billet", "host", "launcher"};
static const char *const victim_programs[VICTIMS] = {"billet", "billet-driver-host", "bwrap"};

void
group_label(const struct group *group, char *to, size_t size)
{
    snprintf(to, size, "%s/%s/%s%s%s", group->scenario->name, group->environment,
             victim_names[group->victim], group->fault != NULL ? "/" : "",
             group->fault != NULL ? group->fault->name : "");
}

static void
complain_of_ending(struct place *place, const char *what, int status)
{
    char line[400];
    place_first_line(place, 1, line, sizeof(line));
    place_complain(place, "billet %s (wait status %#x): %s", what, status, line);
}

/* ---- before the point ------------------------------------------------------------- */

static bool
hold_lease(struct place *place, const struct group *group, char lease[64])
{
    const char *const arguments[] = {
        "lease", "acquire", "-e", group->environment, "-w", place->workspace, "--ttl", "1h", NULL};
    if (!place_must_run(place, arguments))
        return false;
    place_first_line(place, 0, lease, 64);
    return true;
}

/* One in which a resource can be kept, and files are seen here. */
static const char *
kept_mode(const struct group *group)
{
    return strcmp(group->environment, "sandbox") == 0 ? "bind" : "in_place";
}

static bool
keep_resource(struct place *place, const struct group *group)
{
    const char *const arguments[] = {"run",
                                     "--reuse",
                                     "-e",
                                     group->environment,
                                     "-w",
                                     place->workspace,
                                     "--workspace-mode",
                                     kept_mode(group),
                                     "--",
                                     "true",
                                     NULL};
    return place_must_run(place, arguments);
}

/* A billet that is killed once its command runs. */
static bool
abandon_lease(struct place *place, const struct group *group)
{
    char begun[300];
    const char *const arguments[] = {"run",
                                     "-e",
                                     group->environment,
                                     "-w",
                                     place->workspace,
                                     "--workspace-mode", /* the file is to be seen here */
                                     kept_mode(group),
                                     "--",
                                     "sh",
                                     "-c",
                                     "(setsid sleep 300 &) ; : >begun; sleep 300",
                                     NULL};
    struct crash_outcome outcome;
    snprintf(begun, sizeof(begun), "%s/begun", place->workspace);
    unlink(begun);
    const struct crash_target target = {.until = begun};
    if (place_run(place, arguments, &target, COMMAND_MS, &outcome) == 0 && outcome.cut_off)
        return true;
    complain_of_ending(place, "did not leave a lease", outcome.status);
    return false;
}

static bool
prepare(struct place *place, const struct group *group, char lease[64])
{
    place->complaint[0] = '\0';
    lease[0] = '\0';
    switch (group->scenario->before) {
    case SCENARIO_FIRST:
        return place_empty(place);
    case SCENARIO_HELD:
        return hold_lease(place, group, lease);
    case SCENARIO_UNMIGRATED:
        return place_empty(place) && place_empty_store(place);
    case SCENARIO_KEPT:
        return keep_resource(place, group);
    case SCENARIO_ABANDONED:
        return abandon_lease(place, group);
    default:
        return true;
    }
}

static void
fill_arguments(const struct place *place, const struct group *group, const char *lease,
               const char **to)
{
    static char name[32];
    static int names;
    int i;
    snprintf(name, sizeof(name), "crash%d", ++names);
    for (i = 0; group->scenario->arguments[i] != NULL; i++) {
        const char *from = group->scenario->arguments[i];
        to[i] = strcmp(from, "@E") == 0   ? group->environment
                : strcmp(from, "@W") == 0 ? place->workspace
                : strcmp(from, "@L") == 0 ? lease
                : strcmp(from, "@M") == 0 ? kept_mode(group)
                : strcmp(from, "@N") == 0 ? name
                                          : from;
    }
    to[i] = NULL;
}

static struct crash_target
make_target(const struct group *group, long ordinal, int calls[9])
{
    int count = 0;
    struct crash_target target = {
        .program = victim_programs[group->victim],
        .with_forks = group->victim == VICTIM_LAUNCHER,
        .ordinal = ordinal,
    };
    if (group->fault != NULL) {
        for (int i = 0; i < 8 && group->fault->calls[i] != NULL; i++)
            if (crash_call_number(group->fault->calls[i]) >= 0)
                calls[count++] = crash_call_number(group->fault->calls[i]);
        calls[count] = -1;
        target.calls = calls;
        target.fault = group->fault->sys_errno;
    }
    return target;
}

/* ---- after the point ---------------------------------------------------------------- */

/* How billet itself ended. */
static void
judge_ending(struct place *place, const struct group *group, const struct crash_outcome *outcome)
{
    int status = outcome->status;
    if (outcome->timed_out) {
        complain_of_ending(place, "did not end in time", status);
        return;
    }
    if (group->victim == VICTIM_BILLET && group->fault == NULL) {
        if (outcome->hit && !(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL))
            complain_of_ending(place, "outlived SIGKILL", status);
        return;
    }
    if (WIFSIGNALED(status)) {
        complain_of_ending(place, "was killed by a signal", status);
        return;
    }
    int code = WEXITSTATUS(status);
    if (code == 0 || (code == 128 + SIGKILL && group->victim == VICTIM_LAUNCHER))
        return;
    /* What the reaper could not end stands in its table. */
    if (group->scenario->before == SCENARIO_ABANDONED && code == EXIT_FINDINGS)
        return;
    if (place_error_lines(place) != 1)
        complain_of_ending(place, "did not say one error", status);
    if (code != EXIT_FAILED && group->scenario->arguments[0][0] != 'l' &&
        group->scenario->arguments[0][0] != 'e')
        complain_of_ending(place, "has the wrong exit status", status);
}

/* Whether a lease may be held afterwards: the scenario's own, or one whose changes a fault kept
 * from coming back, which is said. */
static bool
may_hold(const struct place *place, const struct group *group)
{
    if (group->scenario->holds || group->fault == NULL)
        return group->scenario->holds;
    char *text = place_output(place, 1);
    bool said = text != NULL && strstr(text, " is held: 'billet pull' tries again") != NULL;
    free(text);
    return said;
}

/* billet that lives must have ended its lease, or recorded that it could not. */
static void
judge_lease(struct place *place, const struct group *group, bool may)
{
    char id[64] = "", state[32] = "", said[400];
    place_first_line(place, 1, said, sizeof(said)); /* before another billet says something */
    int live = place_live_leases(place, id, sizeof(id), state, sizeof(state));
    if (live > 0 && strcmp(state, "releasing") != 0 && !(may && strcmp(state, "retained") == 0) &&
        group->scenario->before != SCENARIO_ABANDONED)
        place_complain(place, "billet ended and left lease %s %s: %s", id, state, said);
}

static void
reap_and_end(struct place *place, const struct group *group, bool may)
{
    char id[64] = "", state[32] = "";
    /* After a fault the reaper may have been told to wait a little. */
    const char *const reap_now[] = {"lease", "reap", group->fault != NULL ? "--now" : NULL, NULL};
    static const char *const migrate_again[] = {"db", "migrate", NULL};
    if (group->scenario->before == SCENARIO_UNMIGRATED)
        place_must_run(place, migrate_again);
    place_must_run(place, reap_now);
    int live = place_live_leases(place, id, sizeof(id), state, sizeof(state));
    /* One that could not be taken up is kept, beside the one that the run made instead. */
    for (int i = 0; i < 2 && live > 0 && may && strcmp(state, "retained") == 0; i++) {
        const char *const end[] = {"lease", "destroy", id, NULL};
        if (!place_must_run(place, end))
            return;
        live = place_live_leases(place, id, sizeof(id), state, sizeof(state));
    }
    if (live > 0) {
        const char *const show[] = {"lease", "show", id, NULL};
        place_complain(place, "%d leases live after the reaper, one is %s", live, state);
        char *text = place_must_run(place, show) ? place_output(place, 0) : NULL;
        const char *reason = text != NULL ? strstr(text, "Reason:") : NULL;
        if (reason != NULL)
            place_complain(place, "%.*s", (int)strcspn(reason, "\n"), reason);
        free(text);
    }
}

static void
check_store(struct place *place)
{
    static const char *const check[] = {"db", "check", NULL};
    if (!place_must_run(place, check)) {
        char line[400];
        place_first_line(place, 0, line, sizeof(line));
        place_complain(place, "%s", line);
    }
}

long
group_measure(struct place *place, const struct group *group)
{
    char lease[64];
    const char *arguments[SCENARIO_ARGUMENTS_MAX];
    int calls[9];
    struct crash_outcome outcome;
    if (!prepare(place, group, lease))
        return -1;
    fill_arguments(place, group, lease, arguments);
    const struct crash_target target = make_target(group, 0, calls);
    if (place_run(place, arguments, &target, COMMAND_MS, &outcome) < 0) {
        place_complain(place, "cannot trace: %s", strerror(errno));
        return -1;
    }
    if (outcome.timed_out || !WIFEXITED(outcome.status) || WEXITSTATUS(outcome.status) != 0)
        complain_of_ending(place, "fails without any fault", outcome.status);
    reap_and_end(place, group, group->scenario->holds);
    place_check_processes(place, PATIENCE_MS);
    return place->complaint[0] != '\0' ? -1 : outcome.count;
}

void
group_try(struct place *place, const struct group *group, long ordinal, bool deep,
          struct crash_outcome *outcome)
{
    char lease[64];
    const char *arguments[SCENARIO_ARGUMENTS_MAX];
    int calls[9];
    *outcome = (struct crash_outcome){.call = -1};
    if (prepare(place, group, lease)) {
        fill_arguments(place, group, lease, arguments);
        const struct crash_target target = make_target(group, ordinal, calls);
        if (place_run(place, arguments, &target, COMMAND_MS, outcome) < 0)
            place_complain(place, "cannot trace: %s", strerror(errno));
        else
            judge_ending(place, group, outcome);
    }
    bool may = may_hold(place, group);
    if (group->victim != VICTIM_BILLET && place->complaint[0] == '\0')
        judge_lease(place, group, may);
    reap_and_end(place, group, may);
    place_check_processes(place, PATIENCE_MS);
    place_check_labelled(place, PATIENCE_MS);
    place_check_mounts(place);
    place_check_groups(place);
    place_check_files(place);
    if (deep || place->complaint[0] != '\0')
        check_store(place);
}
