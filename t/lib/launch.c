/* SPDX-License-Identifier: Apache-2.0 */
/*
 * launch FILE COMMAND... - writes its process id to FILE and becomes the command, with every signal
 * as it is by default: a shell starts what runs in the background with SIGINT ignored, and cannot
 * take that back. "-SIGNAL" before FILE leaves that one ignored instead, as nohup does.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int
main(int argc, char **argv)
{
    int ignored = 0;
    if (argc > 1 && argv[1][0] == '-') {
        ignored = atoi(argv[1] + 1);
        argv++;
        argc--;
    }
    if (argc < 3)
        return 125;
    for (int number = 1; number < NSIG; number++)
        signal(number, number == ignored ? SIG_IGN : SIG_DFL);
    FILE *file = fopen(argv[1], "we");
    if (file == NULL || fprintf(file, "%ld\n", (long)getpid()) < 0 || fclose(file) != 0)
        return 125;
    execvp(argv[2], argv + 2);
    fprintf(stderr, "launch: %s: %s\n", argv[2], strerror(errno));
    return 126;
}
