/* SPDX-License-Identifier: Apache-2.0 */
/*
 * without.c - runs a program on a kernel that lacks system calls: the named ones
 * answer ENOSYS, for it and for all that it starts. For tests of what happens on
 * an older or an oddly built kernel.
 *
 * usage: without NAME[,NAME]... PROGRAM [ARGUMENT]...
 */
#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int
main(int argc, char **argv)
{
    if (argc < 3) {
        fputs("usage: without NAME[,NAME]... PROGRAM [ARGUMENT]...\n", stderr);
        return 125;
    }
    scmp_filter_ctx context = seccomp_init(SCMP_ACT_ALLOW);
    if (context == NULL)
        return 125;
    char *rest = argv[1];
    for (char *name; (name = strsep(&rest, ",")) != NULL;) {
        int number = seccomp_syscall_resolve_name(name);
        if (number == __NR_SCMP_ERROR ||
            seccomp_rule_add(context, SCMP_ACT_ERRNO(ENOSYS), number, 0) != 0) {
            fprintf(stderr, "without: %s cannot be left out\n", name);
            return 125;
        }
    }
    if (seccomp_load(context) != 0) {
        fputs("without: cannot load the filter\n", stderr);
        return 125;
    }
    seccomp_release(context);
    execvp(argv[2], argv + 2);
    fprintf(stderr, "without: cannot execute %s\n", argv[2]);
    return 125;
}
