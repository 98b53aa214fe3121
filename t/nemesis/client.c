/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client.c - one user of billet: an operation after the other, chosen by the seed, and its history:
 * what was asked for and when, and what came of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "board.h"

#define PATIENCE_MS 60000     /* a billet that takes longer is stuck */
#define OUTPUT_MAX (4u << 20) /* a list of some thousand leases */
#define ARGUMENTS_MAX 16

struct client {
    const struct setting *setting;
    struct board *board;
    int index;
    const char *tenant;
    unsigned long long random;
    FILE *history;
    int errors; /* what its billets say, for who wants to know why */
    long number;
    char **environment;
    char lease[ID_SIZE]; /* that this operation is about; "-" */
    char output[OUTPUT_MAX];
};

static unsigned
random_below(struct client *client, unsigned limit)
{
    client->random = client->random * 6364136223846793005ull + 1442695040888963407ull;
    return (unsigned)(client->random >> 33) % limit;
}

static long long
now_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * 1000000000ll + now.tv_nsec;
}

const char *
tenant_of(int client)
{
    return client % 2 == 0 ? "red" : "blue";
}

int
machine_of(const struct setting *setting, int client)
{
    return client / 2 % setting->machines;
}

bool
enter_machine(int machine)
{
    char name[32];
    snprintf(name, sizeof(name), "nemesis-%d", machine);
    return unshare(CLONE_NEWUTS) == 0 && sethostname(name, strlen(name)) == 0;
}

static char *
text(const char *format, const char *first, const char *second)
{
    char *made = NULL;
    if (asprintf(&made, format, first, second) < 0)
        abort();
    return made;
}

char **
machine_environment(const struct setting *setting, int machine)
{
    static const char *const passed[] = {
        "PATH",         "BILLET_DRIVER_DIR", "BILLET_STORE_DIR", "BILLET_LIBEXEC_DIR",
        "ASAN_OPTIONS", "NEMESIS_MUTANT",    "NEMESIS_STORE"};
    char root[PATH_MAX];
    char **list = calloc(16, sizeof(*list));
    int count = 0;
    if (list == NULL)
        abort();
    snprintf(root, sizeof(root), "%s/machine-%d", setting->directory, machine);
    for (size_t i = 0; i < sizeof(passed) / sizeof(passed[0]); i++)
        if (getenv(passed[i]) != NULL)
            list[count++] = text("%s=%s", passed[i], getenv(passed[i]));
    list[count++] = text("HOME=%s%s", root, "/home");
    list[count++] = text("XDG_CONFIG_HOME=%s%s", root, "/config");
    list[count++] = text("BILLET_STATE_DIR=%s%s", root, "/state");
    list[count++] = text("BILLET_RUNTIME_DIR=%s%s", root, "/runtime");
    list[count++] = text("BILLET_CONFIG=%s%s", setting->directory, "/billet.conf");
    list[count++] = text("BILLET_STORE=%s%s", setting->store, "");
    list[count++] = text("%s%s", "LC_ALL=C", "");
    return list;
}

/* ---- history ---------------------------------------------------------------------- */

static void
tell(struct client *client, const char *kind, const char *verb, const char *environment,
     const char *lease)
{
    fprintf(client->history, "%s %lld %d %ld %s %s %s %s\n", kind, now_ns(CLOCK_REALTIME),
            client->index, client->number, client->tenant, verb, environment, lease);
    fflush(client->history);
}

/* ---- one billet ------------------------------------------------------------------- */

static pid_t
start(char *const *environment, const char *const *argv, int output, int errors)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_DFL);
    int null = open("/dev/null", O_RDWR);
    if (null < 0 || dup2(null, 0) < 0 || dup2(output >= 0 ? output : null, 1) < 0 ||
        dup2(errors, 2) < 0 || (output >= 0 && dup2(output, 9) < 0))
        _exit(126);
    execve(argv[0], (char *const *)argv, environment);
    _exit(127);
}

/* The first child of a process; it is not reaped as long as its parent stands still. */
static pid_t
child_of(pid_t pid)
{
    char path[64];
    long child = 0;
    snprintf(path, sizeof(path), "/proc/%ld/task/%ld/children", (long)pid, (long)pid);
    FILE *file = fopen(path, "re");
    if (file != NULL) {
        if (fscanf(file, "%ld", &child) != 1)
            child = 0;
        fclose(file);
    }
    return (pid_t)child;
}

struct stopped {
    pid_t pid;
    long long until_ns;
};

static void
obey(struct client *client, pid_t pid, struct stopped *stopped)
{
    struct board *board = client->board;
    int order = board->clients[client->index].order;
    pid_t victim = pid;
    if (order == ORDER_NONE || stopped->pid != 0 ||
        (order == ORDER_OVERSTAY && strstr(client->output, "\"started\"") == NULL))
        return;
    board->clients[client->index].order = ORDER_NONE;
    if (order == ORDER_KILL_HOST || order == ORDER_STOP_HOST) {
        kill(pid, SIGSTOP); /* so that the host stays its child meanwhile */
        victim = child_of(pid);
        if (victim > 0)
            kill(victim, order == ORDER_KILL_HOST ? SIGKILL : SIGSTOP);
        kill(pid, SIGCONT);
    } else {
        kill(pid, order == ORDER_KILL ? SIGKILL : SIGSTOP);
    }
    if (victim <= 0)
        return;
    board->done[order]++;
    if (order != ORDER_KILL && order != ORDER_KILL_HOST)
        *stopped = (struct stopped){victim, now_ns(CLOCK_MONOTONIC) +
                                                board->clients[client->index].stop_ms * 1000000ll};
}

/* A host that was stopped may be gone, and its number another's: only while its parent, which does
 * not know, still has it. */
static void
go_on(pid_t pid, struct stopped *stopped)
{
    if (stopped->pid == pid) {
        kill(pid, SIGCONT);
    } else if (stopped->pid != 0) {
        kill(pid, SIGSTOP);
        if (child_of(pid) == stopped->pid)
            kill(stopped->pid, SIGCONT);
        kill(pid, SIGCONT);
    }
    *stopped = (struct stopped){0};
}

static void
read_output(struct client *client, int fd, size_t *used)
{
    for (;;) {
        char block[4096];
        ssize_t got = read(fd, block, sizeof(block));
        if (got <= 0)
            return;
        size_t fits = sizeof(client->output) - 1 - *used;
        size_t take = (size_t)got < fits ? (size_t)got : fits;
        memcpy(client->output + *used, block, take);
        *used += take;
        client->output[*used] = '\0';
    }
}

/* The wait status of billet, in the middle of whatever the nemesis orders. */
static int
run_billet(struct client *client, const char *const *argv)
{
    int pipes[2], status = 0;
    size_t used = 0;
    struct stopped stopped = {0};
    client->output[0] = '\0';
    if (pipe2(pipes, O_CLOEXEC) != 0)
        abort();
    pid_t pid = start(client->environment, argv, pipes[1], client->errors);
    close(pipes[1]);
    fcntl(pipes[0], F_SETFL, O_NONBLOCK);
    long long deadline = now_ns(CLOCK_MONOTONIC) + PATIENCE_MS * 1000000ll;
    for (bool ended = false; !ended;) {
        struct pollfd wait = {.fd = pipes[0], .events = POLLIN};
        poll(&wait, 1, 5);
        read_output(client, pipes[0], &used);
        ended = waitpid(pid, &status, WNOHANG) == pid;
        if (ended)
            break;
        if ((wait.revents & POLLHUP) != 0)
            poll(NULL, 0, 5);
        obey(client, pid, &stopped);
        if (stopped.pid != 0 && now_ns(CLOCK_MONOTONIC) > stopped.until_ns)
            go_on(pid, &stopped);
        if (now_ns(CLOCK_MONOTONIC) > deadline) {
            tell(client, "stuck", argv[1], "-", "-");
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
            ended = true;
        }
    }
    read_output(client, pipes[0], &used);
    close(pipes[0]);
    return status;
}

int
run_plainly(const struct setting *setting, int machine, const char *const *arguments,
            int timeout_ms)
{
    const char *argv[ARGUMENTS_MAX + 2] = {setting->billet};
    char **environment = machine_environment(setting, machine);
    int status = 0;
    for (int i = 0; i < ARGUMENTS_MAX && arguments[i] != NULL; i++)
        argv[i + 1] = arguments[i];
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        int null = open("/dev/null", O_RDWR);
        if ((setting->machines > 1 && !enter_machine(machine)) || null < 0 || dup2(null, 0) < 0 ||
            dup2(null, 1) < 0)
            _exit(126);
        execve(argv[0], (char *const *)argv, environment);
        _exit(127);
    }
    for (int waited = 0; waitpid(pid, &status, WNOHANG) != pid; waited += 5) {
        if (waited > timeout_ms) {
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
            break;
        }
        poll(NULL, 0, 5);
    }
    for (char **at = environment; *at != NULL; at++)
        free(*at);
    free(environment);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* ---- leases that are known ---------------------------------------------------------- */

static void
lock(struct board *board)
{
    while (atomic_flag_test_and_set(&board->lock))
        sched_yield();
}

static void
remember(struct client *client, const char *lease)
{
    struct board *board = client->board;
    unsigned place = random_below(client, KNOWN);
    lock(board);
    snprintf(board->known[client->index % TENANTS][place], ID_SIZE, "%.36s", lease);
    atomic_flag_clear(&board->lock);
}

static bool
recall(struct client *client, char lease[ID_SIZE])
{
    struct board *board = client->board;
    unsigned place = random_below(client, KNOWN);
    lock(board);
    bool known = board->known[client->index % TENANTS][place][0] != '\0';
    if (known)
        memcpy(lease, board->known[client->index % TENANTS][place], ID_SIZE);
    atomic_flag_clear(&board->lock);
    return known;
}

/* The value after "id": in a text of JSON; NULL: no more, or the text was cut off within it. */
static const char *
next_id(const char *at, char id[ID_SIZE])
{
    int end = 0;
    at = strstr(at, "\"id\":");
    if (at == NULL || sscanf(at, "\"id\": \"%36[0-9a-f-]\"%n", id, &end) != 1 || end == 0 ||
        strlen(id) != ID_SIZE - 1)
        return NULL;
    return at + end;
}

/* ---- operations ----------------------------------------------------------------------- */

static void
operate(struct client *client, const char *verb, const char *environment,
        const char *const *arguments)
{
    const char *argv[ARGUMENTS_MAX + 4] = {client->setting->billet};
    char id[ID_SIZE];
    int count = 1;
    for (int i = 0; i < ARGUMENTS_MAX && arguments[i] != NULL; i++) {
        argv[count++] = arguments[i];
    }
    client->number++;
    tell(client, "invoke", verb, environment, client->lease);
    int status = run_billet(client, argv);
    bool ok = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (strcmp(verb, "run") == 0 && next_id(client->output, id) != NULL)
        memcpy(client->lease, id, ID_SIZE);
    else if (strcmp(verb, "acquire") == 0 && strlen(client->output) >= 36)
        snprintf(client->lease, ID_SIZE, "%.36s", client->output);
    if (ok && strcmp(verb, "list") == 0)
        for (const char *at = client->output; (at = next_id(at, id)) != NULL;)
            tell(client, "seen", verb, environment, id);
    if (ok && strcmp(verb, "acquire") == 0)
        remember(client, client->lease);
    tell(client,
         ok                  ? "ok"
         : WIFEXITED(status) ? "fail"
                             : "unknown",
         verb, environment, client->lease);
    ++*(ok                  ? &client->board->ok
        : WIFEXITED(status) ? &client->board->failed
                            : &client->board->unknown);
}

static void
run(struct client *client, const char *environment)
{
    const char *const arguments[] = {
        "run", "--tenant", client->tenant, "-e",  environment, "--status-fd",
        "9",   "--",       "sleep",        "0.2", NULL};
    operate(client, "run", environment, arguments);
}

static void
acquire(struct client *client, const char *environment)
{
    const char *const arguments[] = {
        "lease", "acquire", "--tenant", client->tenant, "-e", environment, "--ttl", "10s", NULL};
    operate(client, "acquire", environment, arguments);
}

static void
on_known(struct client *client, unsigned which)
{
    const char *const exec[] = {"exec", "--tenant", client->tenant, client->lease, "--",
                                "true", NULL};
    const char *const release[] = {"lease",        "release",     "--tenant",
                                   client->tenant, client->lease, NULL};
    const char *const destroy[] = {"lease",        "destroy",     "--tenant",
                                   client->tenant, client->lease, NULL};
    if (!recall(client, client->lease))
        acquire(client, "fake");
    else if (which == 0)
        operate(client, "release", "-", release);
    else if (which == 1)
        operate(client, "destroy", "-", destroy);
    else
        operate(client, "exec", "-", exec);
}

static void
one_operation(struct client *client)
{
    static const char *const janitor[] = {"janitor", "--once", NULL};
    const char *const list[] = {"lease",    "list",         "--all", "--json",
                                "--tenant", client->tenant, NULL};
    snprintf(client->lease, ID_SIZE, "-");
    unsigned choice = random_below(client, 100);
    if (choice < 20)
        run(client, "fake");
    else if (choice < 40)
        run(client, "warm");
    else if (choice < 48)
        run(client, "narrow");
    else if (choice < 56)
        run(client, "flaky");
    else if (choice < 61)
        run(client, "local");
    else if (choice < 71)
        acquire(client, choice % 2 == 0 ? "fake" : "flaky");
    else if (choice < 88)
        on_known(client, choice % 4);
    else if (choice < 91)
        operate(client, "list", "-", list);
    else
        operate(client, "janitor", "-", janitor);
}

_Noreturn void
be_client(const struct setting *setting, struct board *board, int index)
{
    static struct client client;
    char path[PATH_MAX], work[PATH_MAX];
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    client = (struct client){
        .setting = setting,
        .board = board,
        .index = index,
        .tenant = tenant_of(index),
        .random = setting->seed * 2654435761ull + (unsigned)index + 1,
        .environment = machine_environment(setting, machine_of(setting, index)),
    };
    snprintf(path, sizeof(path), "%s/client-%d", setting->directory, index);
    client.history = fopen(path, "we");
    snprintf(path, sizeof(path), "%s/errors-%d", setting->directory, index);
    client.errors = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    snprintf(work, sizeof(work), "%s/work", setting->directory);
    if (client.history == NULL || client.errors < 0 || chdir(work) != 0)
        _exit(125);
    if (setting->machines > 1 && !enter_machine(machine_of(setting, index)))
        _exit(125);
    while (!board->over)
        one_operation(&client);
    fclose(client.history);
    _exit(0);
}
