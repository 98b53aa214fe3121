/* SPDX-License-Identifier: Apache-2.0 */
/*
 * burden.c - a hostile load for a sandbox's tests. Says "begun" when it is there, then waits to be
 * killed.
 *
 * usage: burden forks|daemons COUNT MARK     MARK: the name of the processes
 *   forks    COUNT tries to fork a child that stays, whatever fails; "begun" comes first
 *   daemons  COUNT processes in sessions of their own that ignore all signals, each tenth stopped
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void __attribute__((noreturn)) stay(void)
{
    for (;;)
        pause();
}

static void
begun(void)
{
    if (write(1, "begun\n", 6) != 6)
        _exit(1);
}

static void
ignore_signals(void)
{
    for (int number = 1; number < SIGRTMAX; number++)
        signal(number, SIG_IGN);
}

static void
make_daemon(long number)
{
    pid_t child = fork();
    if (child == 0) {
        setsid();
        if (fork() != 0)
            _exit(0);
        ignore_signals();
        close(1);
        if (number % 10 == 0)
            raise(SIGSTOP);
        stay();
    }
    while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
        ;
}

int
main(int argc, char **argv)
{
    if (argc != 4 || access("/run/billet/init", F_OK) < 0) {
        fputs("burden: run it in a sandbox, by t/sandbox-load.t\n", stderr);
        return 125;
    }
    long count = atol(argv[2]);
    prctl(PR_SET_NAME, argv[3], 0, 0, 0);
    if (strcmp(argv[1], "forks") == 0) {
        begun();
        for (long i = 0; i < count; i++)
            if (fork() == 0)
                stay();
    } else {
        for (long i = 0; i < count; i++)
            make_daemon(i);
        ignore_signals();
        begun();
    }
    stay();
}
