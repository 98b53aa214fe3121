/* SPDX-License-Identifier: Apache-2.0 */
#include "trace.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TRACEES_MAX 256
#define LOOK_MS 5 /* between two looks for the file that ends the command */
#define SYSCALL_STOP (SIGTRAP | 0x80)
#define OPTIONS                                                                               \
    (PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | \
     PTRACE_O_TRACEEXEC)

struct tracee {
    pid_t pid;
    bool counted; /* belongs to the target */
    bool failing; /* inside the call that is to fail */
    long held;    /* the argument of brk, taken away meanwhile */
};

struct trace {
    const struct crash_target *target;
    struct crash_outcome *outcome;
    pid_t root;
    bool root_ended;
    bool over;  /* the point is behind us: let everything go */
    bool begun; /* the target's dynamic loader has done its work */
    struct tracee tracees[TRACEES_MAX];
    int count;
};

long long
crash_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

bool
crash_wait_child(long long until_ms)
{
    sigset_t set;
    long long left = until_ms - crash_now_ms();
    if (left <= 0)
        return false;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    struct timespec limit = {.tv_sec = left / 1000, .tv_nsec = left % 1000 * 1000000};
    return sigtimedwait(&set, NULL, &limit) >= 0 || errno == EINTR || crash_now_ms() < until_ms;
}

/* ---- who is who --------------------------------------------------------------- */

static struct tracee *
find(struct trace *trace, pid_t pid)
{
    for (int i = 0; i < trace->count; i++)
        if (trace->tracees[i].pid == pid)
            return &trace->tracees[i];
    return NULL;
}

static void
forget(struct trace *trace, pid_t pid)
{
    struct tracee *tracee = find(trace, pid);
    if (tracee != NULL)
        *tracee = trace->tracees[--trace->count];
}

static struct tracee *
enter(struct trace *trace, pid_t pid)
{
    if (trace->count == TRACEES_MAX)
        return NULL;
    trace->tracees[trace->count] = (struct tracee){.pid = pid};
    return &trace->tracees[trace->count++];
}

static long
status_field(pid_t pid, const char *name)
{
    char path[64], line[256];
    long value = -1;
    size_t length = strlen(name);
    snprintf(path, sizeof(path), "/proc/%ld/status", (long)pid);
    FILE *file = fopen(path, "re");
    while (file != NULL && value < 0 && fgets(line, sizeof(line), file) != NULL)
        if (strncmp(line, name, length) == 0 && line[length] == ':')
            value = strtol(line + length + 1, NULL, 10);
    if (file != NULL)
        fclose(file);
    return value;
}

static bool
runs_target(const struct trace *trace, pid_t pid)
{
    char path[64], name[64] = "";
    snprintf(path, sizeof(path), "/proc/%ld/comm", (long)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    if (fgets(name, sizeof(name), file) != NULL)
        name[strcspn(name, "\n")] = '\0';
    fclose(file);
    return strncmp(name, trace->target->program, 15) == 0;
}

/* ---- moving them ---------------------------------------------------------------- */

static void
let_go(struct trace *trace, pid_t pid, int number)
{
    ptrace(PTRACE_DETACH, pid, NULL, (void *)(long)number);
    forget(trace, pid);
}

static void
go_on(struct trace *trace, struct tracee *tracee, int number)
{
    if (trace->over || (trace->outcome->found && !tracee->counted))
        let_go(trace, tracee->pid, number);
    else
        ptrace(tracee->counted ? PTRACE_SYSCALL : PTRACE_CONT, tracee->pid, NULL,
               (void *)(long)number);
}

/* Those that are not needed any more stop soon, and are let go then. */
static void
interrupt_others(struct trace *trace)
{
    for (int i = 0; i < trace->count; i++)
        if (trace->over || !trace->tracees[i].counted)
            ptrace(PTRACE_INTERRUPT, trace->tracees[i].pid, NULL, NULL);
}

/* ---- system calls ------------------------------------------------------------------ */

static bool
is_counted(const struct crash_target *target, long call)
{
    if (target->calls == NULL)
        return true;
    for (const int *at = target->calls; *at != -1; at++)
        if (*at == call)
            return true;
    return false;
}

static bool
skip_call(struct tracee *tracee, long call)
{
    pid_t pid = tracee->pid;
#if defined(__x86_64__)
    /* brk fails by answering the old break, never with an errno. */
    if (call == SYS_brk) {
        size_t at = offsetof(struct user, regs.rdi);
        tracee->held = ptrace(PTRACE_PEEKUSER, pid, at, NULL);
        return ptrace(PTRACE_POKEUSER, pid, at, 0L) == 0;
    }
    return ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, regs.orig_rax), -1L) == 0;
#elif defined(__aarch64__)
    (void)call;
    int none = -1;
    struct iovec vector = {&none, sizeof(none)};
    return ptrace(PTRACE_SETREGSET, pid, (void *)0x404 /* NT_ARM_SYSTEM_CALL */, &vector) == 0;
#else
    (void)pid;
    (void)call;
    return false;
#endif
}

static void
fail_call(const struct tracee *tracee, int sys_errno)
{
    pid_t pid = tracee->pid;
#if defined(__x86_64__)
    if (tracee->held != 0) {
        ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, regs.rdi), tracee->held);
        return;
    }
    ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, regs.rax), (long)-sys_errno);
#elif defined(__aarch64__)
    struct user_regs_struct registers;
    struct iovec vector = {&registers, sizeof(registers)};
    if (ptrace(PTRACE_GETREGSET, pid, (void *)NT_PRSTATUS, &vector) == 0) {
        registers.regs[0] = (unsigned long long)-sys_errno;
        ptrace(PTRACE_SETREGSET, pid, (void *)NT_PRSTATUS, &vector);
    }
#else
    (void)pid;
    (void)sys_errno;
#endif
}

static void
at_call(struct trace *trace, struct tracee *tracee)
{
    const struct crash_target *target = trace->target;
    struct crash_outcome *outcome = trace->outcome;
    struct __ptrace_syscall_info info = {0};
    ptrace(PTRACE_GET_SYSCALL_INFO, tracee->pid, (void *)sizeof(info), &info);
    if (info.op == PTRACE_SYSCALL_INFO_EXIT && tracee->failing) {
        fail_call(tracee, target->fault);
        tracee->failing = false;
        trace->over = true;
        interrupt_others(trace);
    }
    if (info.op == PTRACE_SYSCALL_INFO_ENTRY && info.entry.nr == SYS_set_tid_address)
        trace->begun = true;
    if (info.op == PTRACE_SYSCALL_INFO_ENTRY && (target->fault == 0 || trace->begun) &&
        is_counted(target, (long)info.entry.nr) && ++outcome->count == target->ordinal) {
        outcome->hit = true;
        outcome->call = (long)info.entry.nr;
        if (target->fault != 0) {
            tracee->failing = skip_call(tracee, outcome->call);
        } else {
            /* The whole process, whichever thread this is; the call itself is not carried out. */
            long process = status_field(tracee->pid, "Tgid");
            if (process > 1)
                kill((pid_t)process, SIGKILL);
            trace->over = true;
            interrupt_others(trace);
        }
    }
    go_on(trace, tracee, 0);
}

/* ---- events ------------------------------------------------------------------------- */

static void
at_exec(struct trace *trace, struct tracee *tracee)
{
    if (trace->outcome->found) {
        /* The target became another program, or a child of it did. */
        tracee->counted = false;
    } else if (runs_target(trace, tracee->pid)) {
        trace->outcome->found = true;
        tracee->counted = true;
        interrupt_others(trace);
    }
    go_on(trace, tracee, 0);
}

static void
at_birth(struct trace *trace, pid_t pid)
{
    struct tracee *tracee = enter(trace, pid);
    long process = status_field(pid, "Tgid");
    if (tracee == NULL) {
        ptrace(PTRACE_DETACH, pid, NULL, NULL);
        return;
    }
    bool thread = process != pid;
    const struct tracee *origin =
        find(trace, thread ? (pid_t)process : (pid_t)status_field(pid, "PPid"));
    tracee->counted = origin != NULL && origin->counted && (thread || trace->target->with_forks);
    go_on(trace, tracee, 0);
}

static void
take_stop(struct trace *trace, pid_t pid, int status)
{
    struct tracee *tracee = find(trace, pid);
    int event = status >> 16;
    int number = WSTOPSIG(status);
    if (tracee == NULL)
        at_birth(trace, pid);
    else if (number == SYSCALL_STOP)
        at_call(trace, tracee);
    else if (event == PTRACE_EVENT_EXEC)
        at_exec(trace, tracee);
    else if (event == PTRACE_EVENT_STOP && number != SIGTRAP && !trace->over && tracee->counted)
        ptrace(PTRACE_LISTEN, pid, NULL, NULL);
    else
        go_on(trace, tracee, event != 0 ? 0 : number);
}

static void
take_all(struct trace *trace)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, __WALL | WNOHANG)) > 0) {
        if (WIFSTOPPED(status)) {
            take_stop(trace, pid, status);
            continue;
        }
        forget(trace, pid);
        if (pid == trace->root) {
            trace->root_ended = true;
            trace->outcome->status = status;
        }
    }
}

/* ---- the command ---------------------------------------------------------------------- */

static _Noreturn void
become(const char *const *argv, const char *const *environment, const int output[2], int go)
{
    char byte;
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setpgid(0, 0);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (read(go, &byte, 1) != 1 || null < 0 || dup2(null, 0) < 0 || dup2(output[0], 1) < 0 ||
        dup2(output[1], 2) < 0)
        _exit(126);
    execve(argv[0], (char *const *)(void *)argv, (char *const *)(void *)environment);
    _exit(127);
}

/* Wait for the next SIGCHLD; false: the time is over, or the file is there that ends the command.
 */
static bool
wait_for_more(const struct crash_target *target, struct crash_outcome *outcome, long long until)
{
    while (target->until != NULL && !outcome->cut_off) {
        long long now = crash_now_ms(), next = now + LOOK_MS < until ? now + LOOK_MS : until;
        outcome->cut_off = access(target->until, F_OK) == 0;
        if (outcome->cut_off || now >= until)
            return false;
        if (crash_wait_child(next))
            return true;
    }
    return crash_wait_child(until);
}

int
crash_trace(const char *const *argv, const char *const *environment, const int output[2],
            const struct crash_target *target, int timeout_ms, struct crash_outcome *outcome)
{
    struct trace trace = {.target = target, .outcome = outcome};
    long long until = crash_now_ms() + timeout_ms;
    int go[2];
    int failure = 0;

    *outcome = (struct crash_outcome){.call = -1};
    if (pipe2(go, O_CLOEXEC) != 0)
        return -1;
    trace.root = fork();
    if (trace.root == 0)
        become(argv, environment, output, go[0]);
    close(go[0]);
    if (trace.root > 0 && target->program != NULL) {
        if (ptrace(PTRACE_SEIZE, trace.root, NULL, (void *)(long)OPTIONS) == 0)
            enter(&trace, trace.root);
        else
            failure = errno;
    }
    if (trace.root < 0 || failure != 0 || write(go[1], "", 1) != 1) {
        failure = failure != 0 ? failure : errno;
        close(go[1]);
        if (trace.root > 0)
            waitpid(trace.root, NULL, 0);
        errno = failure;
        return -1;
    }
    close(go[1]);
    for (;;) {
        take_all(&trace);
        if (trace.root_ended && (trace.over || trace.count == 0))
            break;
        if (trace.root_ended && crash_now_ms() >= until - timeout_ms / 2) {
            trace.over = true; /* what is left runs on by itself, and is looked for by the caller */
            interrupt_others(&trace);
        }
        if (!wait_for_more(target, outcome, until)) {
            outcome->timed_out = !outcome->cut_off;
            trace.over = true;
            interrupt_others(&trace);
            if (!trace.root_ended)
                kill(trace.root, SIGKILL);
            until = crash_now_ms() + 1000;
            if (trace.root_ended)
                break;
        }
    }
    /* Those that were asked to stop are let go. */
    for (int i = 0; i < 200 && trace.count > 0; i++) {
        take_all(&trace);
        if (trace.count > 0)
            usleep(500);
    }
    return 0;
}

/* ---- names ------------------------------------------------------------------------------ */

static const struct {
    const char *name;
    long number;
} calls[] = {
#define CALL(name) {#name, SYS_##name},
#include "calls.def"
#undef CALL
};

const char *
crash_call_name(long number)
{
    static char text[24];
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
        if (calls[i].number == number)
            return calls[i].name;
    snprintf(text, sizeof(text), "%ld", number);
    return text;
}

int
crash_call_number(const char *name)
{
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
        if (strcmp(calls[i].name, name) == 0)
            return (int)calls[i].number;
    return -1;
}
