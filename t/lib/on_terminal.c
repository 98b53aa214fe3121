/* SPDX-License-Identifier: Apache-2.0 */
/*
 * on-terminal SCRIPT COMMAND... - runs the command as the leader of a session on a pseudo terminal
 * of 24 by 80, and plays its user. What the terminal shows goes to standard output. The lines of
 * the file SCRIPT, each one word and an argument:
 *
 *     expect TEXT     wait until the terminal has shown it, counted from the last match
 *     send TEXT       type it, with the Enter key
 *     type TEXT       type it, without; ^C and other control letters as ^ and the letter
 *     resize R C      change the size, as a window manager does
 *     sleep MS        wait
 *     hangup          close the terminal, as a lost connection does
 *
 * After the script all output is taken until the command ends. Its exit status is passed on, 128
 * and the signal's number when one ended it; 99 when something that was expected did not come in 15
 * seconds.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 15000
#define STATUS_UNEXPECTED 99

static int master = -1;
static char seen[1 << 20];
static size_t seen_length;
static size_t matched;

static long
milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Take what the terminal shows for at most that long; false at its end. */
static bool
take(int timeout_ms)
{
    struct pollfd wait = {.fd = master, .events = POLLIN};
    if (poll(&wait, 1, timeout_ms) <= 0)
        return true;
    if (seen_length + 1 >= sizeof(seen))
        return false;
    ssize_t got = read(master, seen + seen_length, sizeof(seen) - 1 - seen_length);
    if (got <= 0)
        return got < 0 && errno == EINTR;
    if (write(STDOUT_FILENO, seen + seen_length, (size_t)got) < 0)
        return false;
    seen_length += (size_t)got;
    seen[seen_length] = '\0';
    return true;
}

static bool
expect(const char *text)
{
    long end = milliseconds() + PATIENCE_MS;
    for (;;) {
        const char *found = memmem(seen + matched, seen_length - matched, text, strlen(text));
        if (found != NULL) {
            matched = (size_t)(found - seen) + strlen(text);
            return true;
        }
        long left = end - milliseconds();
        if (left <= 0 || !take((int)left)) {
            fprintf(stderr, "on-terminal: '%s' did not come\n", text);
            return false;
        }
    }
}

static bool
type(const char *text, bool enter)
{
    for (; *text != '\0'; text++) {
        char byte = *text;
        if (byte == '^' && text[1] != '\0')
            byte = (char)(*++text & 0x1f);
        if (write(master, &byte, 1) != 1)
            return false;
    }
    return !enter || write(master, "\r", 1) == 1;
}

static bool
play(const char *line)
{
    struct winsize size = {0};
    int number;
    if (strncmp(line, "expect ", 7) == 0)
        return expect(line + 7);
    if (strncmp(line, "send ", 5) == 0)
        return type(line + 5, true);
    if (strcmp(line, "send") == 0)
        return type("", true);
    if (strncmp(line, "type ", 5) == 0)
        return type(line + 5, false);
    if (sscanf(line, "resize %hu %hu", &size.ws_row, &size.ws_col) == 2)
        return ioctl(master, TIOCSWINSZ, &size) == 0;
    if (sscanf(line, "sleep %d", &number) == 1) {
        for (long end = milliseconds() + number; milliseconds() < end;)
            if (!take((int)(end - milliseconds())))
                return true;
        return true;
    }
    if (strcmp(line, "hangup") == 0) {
        close(master);
        master = -1;
        return true;
    }
    fprintf(stderr, "on-terminal: '%s' is no line of a script\n", line);
    return false;
}

int
main(int argc, char **argv)
{
    struct winsize size = {.ws_row = 24, .ws_col = 80};
    char line[4096];
    bool good = true;
    int status = 0;
    if (argc < 3)
        return STATUS_UNEXPECTED;
    FILE *script = fopen(argv[1], "re");
    if (script == NULL) {
        perror(argv[1]);
        return STATUS_UNEXPECTED;
    }
    signal(SIGPIPE, SIG_IGN);
    pid_t pid = forkpty(&master, NULL, NULL, &size);
    if (pid < 0) {
        perror("forkpty");
        return STATUS_UNEXPECTED;
    }
    if (pid == 0) {
        for (int number = 1; number < NSIG; number++)
            signal(number, SIG_DFL);
        execvp(argv[2], argv + 2);
        perror(argv[2]);
        _exit(126);
    }
    fcntl(master, F_SETFD, FD_CLOEXEC);
    while (good && fgets(line, sizeof(line), script) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        good = play(line);
    }
    fclose(script);
    long end = milliseconds() + PATIENCE_MS;
    while (good && master >= 0 && milliseconds() < end && take(1000))
        ;
    while (good && milliseconds() < end) {
        pid_t done = waitpid(pid, &status, WNOHANG);
        if (done == pid)
            return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        usleep(10000);
    }
    if (good)
        fprintf(stderr, "on-terminal: %s did not end\n", argv[2]);
    kill(-pid, SIGKILL);
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    return STATUS_UNEXPECTED;
}
