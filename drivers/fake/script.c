/* SPDX-License-Identifier: Apache-2.0 */
#include "script.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* The socket of the driver host, for answers that no honest driver could give. */
#define HOST_SOCKET 3

static const char *const operations[] = {"check_config", "probe",   "acquire", "resume",
                                         "release",      "destroy", "list",    "realize",
                                         "exec",         "dump",    "trust",   NULL};

static const char *const class_names[] = {"none",     "config",   "auth",    "unavailable",
                                          "capacity", "lost",     "timeout", "cancelled",
                                          "driver",   "internal", NULL};

enum argument { NO_ARGUMENT, DURATION, CLASS, NUMBER };

static const struct action {
    const char *name;
    enum argument argument;
    bool after; /* the effect happens first */
} actions[] = {
    {"delay", DURATION, false},
    {"fail", CLASS, false},
    {"segv", NO_ARGUMENT, false},
    {"abort", NO_ARGUMENT, false},
    {"exit", NUMBER, false},
    {"hang", NO_ARGUMENT, false},
    {"short", NO_ARGUMENT, false},
    {"oversized", NO_ARGUMENT, false},
    {"garbage", NO_ARGUMENT, false},
    {"other", NO_ARGUMENT, false},
    {"no_message", NO_ARGUMENT, false},
    {"positive", NO_ARGUMENT, true},
    {"ok_error", NO_ARGUMENT, true},
    {"lose", NO_ARGUMENT, true},
    {"bad_ref", NO_ARGUMENT, true},
    {"bad_outcome", NO_ARGUMENT, true},
};

struct entry {
    char operation[32];
    const struct action *action;
    int64_t argument;
    int64_t count; /* 0: always */
    int index;
};

int
fake_fail(struct billet_error *error, int error_class, const char *code, const char *format, ...)
{
    va_list arguments;
    error->struct_size = sizeof(*error);
    error->error_class = error_class;
    error->retryable = error_class == BILLET_CLASS_UNAVAILABLE;
    snprintf(error->code, sizeof(error->code), "%s", code);
    va_start(arguments, format);
    vsnprintf(error->message, sizeof(error->message), format, arguments);
    va_end(arguments);
    return -error_class;
}

static int
index_of(const char *text, const char *const *list)
{
    for (int i = 0; list[i] != NULL; i++)
        if (strcmp(list[i], text) == 0)
            return i;
    return -1;
}

static bool
parse_duration(const char *text, int64_t *ns)
{
    static const struct {
        const char *unit;
        int64_t ns;
    } units[] = {{"ms", 1000000}, {"s", BILLET_NS_PER_SECOND}, {"m", 60 * BILLET_NS_PER_SECOND}};
    char *end;
    errno = 0;
    long number = strtol(text, &end, 10);
    if (errno != 0 || end == text || number < 0 || number > 1000000)
        return false;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
        if (strcmp(end, units[i].unit) == 0) {
            *ns = number * units[i].ns;
            return true;
        }
    return false;
}

static bool
parse_number(const char *text, long maximum, int64_t *to)
{
    char *end;
    errno = 0;
    long number = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || number < 0 || number > maximum)
        return false;
    *to = number;
    return true;
}

/* NULL, or what is wrong with the text. */
static const char *
parse_entry(const char *text, struct entry *entry)
{
    char copy[128];
    char *rest = copy;
    memset(entry, 0, sizeof(*entry));
    if (snprintf(copy, sizeof(copy), "%s", text) >= (int)sizeof(copy))
        return "too long";
    const char *operation = strsep(&rest, ":");
    const char *action = strsep(&rest, ":");
    const char *argument = strsep(&rest, ":");
    const char *count = strsep(&rest, ":");
    if (action == NULL || rest != NULL)
        return "not of the form OP:ACTION[:ARG[:COUNT]]";
    if (index_of(operation, operations) < 0)
        return "no such operation";
    snprintf(entry->operation, sizeof(entry->operation), "%s", operation);
    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
        if (strcmp(actions[i].name, action) == 0)
            entry->action = &actions[i];
    if (entry->action == NULL)
        return "no such action";
    if (argument == NULL)
        argument = "";
    switch (entry->action->argument) {
    case DURATION:
        if (!parse_duration(argument, &entry->argument))
            return "delay needs a duration such as 100ms";
        break;
    case CLASS:
        entry->argument = index_of(argument, class_names);
        if (entry->argument < 1)
            return "fail needs an error class such as capacity";
        break;
    case NUMBER:
        if (argument[0] != '\0' && !parse_number(argument, 255, &entry->argument))
            return "exit takes a status of 0 to 255";
        break;
    case NO_ARGUMENT:
        if (argument[0] != '\0')
            return "this action takes no argument";
        break;
    }
    if (count != NULL && (!parse_number(count, 1000000, &entry->count) || entry->count == 0))
        return "the count is not a number from 1";
    return NULL;
}

int
fake_script_check(const struct billet_call *call, struct billet_error *error)
{
    const struct billet_value *script = billet_config_get(call->config, "script");
    struct entry entry;
    if (script == NULL || script->list == NULL)
        return 0;
    for (const char *const *at = script->list; *at != NULL; at++) {
        const char *wrong = parse_entry(*at, &entry);
        if (wrong != NULL)
            return fake_fail(error, BILLET_CLASS_CONFIG, "value_invalid", "script entry '%s': %s",
                             *at, wrong);
    }
    return 0;
}

/* The count-th and earlier calls match; kept in a file, for each call may have another process. */
static bool
count_allows(const struct entry *entry, const char *directory)
{
    char path[4200];
    char text[32] = "";
    if (entry->count == 0)
        return true;
    snprintf(path, sizeof(path), "%s/.script-%d.count", directory, entry->index);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    long done = 0;
    if (flock(fd, LOCK_EX) == 0 && pread(fd, text, sizeof(text) - 1, 0) >= 0)
        done = strtol(text, NULL, 10);
    int length = snprintf(text, sizeof(text), "%ld\n", done + 1);
    bool allowed = done < entry->count && pwrite(fd, text, (size_t)length, 0) == length;
    close(fd);
    return allowed;
}

static bool
next_entry(const struct billet_call *call, const char *operation, int *at, struct entry *entry)
{
    const struct billet_value *script = billet_config_get(call->config, "script");
    if (script == NULL || script->list == NULL)
        return false;
    for (; script->list[*at] != NULL; (*at)++) {
        if (parse_entry(script->list[*at], entry) != NULL ||
            strcmp(entry->operation, operation) != 0)
            continue;
        entry->index = (*at)++;
        return true;
    }
    return false;
}

int
fake_script_has(const struct billet_call *call, const char *operation, const char *action)
{
    struct entry entry;
    int at = 0;
    while (next_entry(call, operation, &at, &entry))
        if (strcmp(entry.action->name, action) == 0)
            return 1;
    return 0;
}

int64_t
fake_script_delay(const struct billet_call *call, const char *operation)
{
    struct entry entry;
    int64_t sum = 0;
    int at = 0;
    while (next_entry(call, operation, &at, &entry))
        if (entry.action->argument == DURATION)
            sum += entry.argument;
    return sum;
}

int
fake_wait(int64_t ns, int cancel_fd)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t end = now.tv_sec * BILLET_NS_PER_SECOND + now.tv_nsec + ns;
    for (;;) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        int64_t left = end - (now.tv_sec * BILLET_NS_PER_SECOND + now.tv_nsec);
        if (left <= 0)
            return 0;
        struct pollfd wait = {.fd = cancel_fd, .events = POLLIN};
        int64_t ms = (left + 999999) / 1000000;
        if (poll(&wait, 1, ms > INT_MAX ? INT_MAX : (int)ms) > 0)
            return 1;
    }
}

static void
say_raw(const void *bytes, size_t length)
{
    if (send(HOST_SOCKET, bytes, length, MSG_NOSIGNAL) < 0)
        _exit(99);
}

static void
misbehave(const char *action, int64_t argument)
{
    static const unsigned char huge[] = {'B', 'L', 1, 0, 0xff, 0xff, 0xff, 0x7f, '{', '}'};
    static char large[100 * 1024];
    static const char other[] = "{\"answer\":999999,\"result\":{}}";
    unsigned char packet[8 + sizeof(other) - 1] = {'B', 'L', 1, 0, sizeof(other) - 1, 0, 0, 0};
    if (strcmp(action, "segv") == 0) {
        signal(SIGSEGV, SIG_DFL); /* a sanitizer would make it an exit */
        raise(SIGSEGV);
    } else if (strcmp(action, "abort") == 0)
        abort();
    else if (strcmp(action, "exit") == 0)
        _exit((int)argument);
    else if (strcmp(action, "hang") == 0)
        for (;;)
            pause();
    else if (strcmp(action, "short") == 0)
        say_raw("BL\1", 3);
    else if (strcmp(action, "garbage") == 0)
        say_raw("what is a frame, anyway?", 24);
    else if (strcmp(action, "oversized") == 0) {
        say_raw(huge, sizeof(huge));
        say_raw(large, sizeof(large));
    } else if (strcmp(action, "other") == 0) {
        memcpy(packet + 8, other, sizeof(other) - 1);
        say_raw(packet, sizeof(packet));
    }
}

int
fake_script_before(const struct billet_call *call, const char *operation, const char *directory,
                   int32_t *answer, struct billet_error *error)
{
    struct entry entry;
    int at = 0;
    while (next_entry(call, operation, &at, &entry)) {
        if (entry.action->after || !count_allows(&entry, directory))
            continue;
        if (entry.action->argument == DURATION) {
            /* exec waits by itself: it has a time limit and signals */
            if (strcmp(operation, "exec") == 0)
                continue;
            if (fake_wait(entry.argument, call->cancel_fd) != 0) {
                *answer = fake_fail(error, BILLET_CLASS_CANCELLED, "cancelled", "%s was cancelled",
                                    operation);
                return 1;
            }
        } else if (entry.action->argument == CLASS) {
            *answer = fake_fail(error, (int)entry.argument, "fake_failure",
                                "%s fails with class %s, as the script says", operation,
                                class_names[entry.argument]);
            return 1;
        } else if (strcmp(entry.action->name, "no_message") == 0) {
            *answer = -BILLET_CLASS_UNAVAILABLE;
            return 1;
        } else {
            misbehave(entry.action->name, entry.argument);
        }
    }
    return 0;
}

int
fake_script_after(const struct billet_call *call, const char *operation, const char *directory,
                  int32_t *answer, struct billet_error *error)
{
    struct entry entry;
    int at = 0;
    while (next_entry(call, operation, &at, &entry)) {
        if (!entry.action->after || !count_allows(&entry, directory))
            continue;
        if (strcmp(entry.action->name, "lose") == 0)
            _exit(98);
        if (strcmp(entry.action->name, "positive") == 0) {
            *answer = 7;
            return 1;
        }
        if (strcmp(entry.action->name, "ok_error") == 0) {
            fake_fail(error, BILLET_CLASS_INTERNAL, "fake_failure", "filled, but success");
            *answer = 0;
            return 1;
        }
    }
    return 0;
}
