/* SPDX-License-Identifier: Apache-2.0 */
/* Sandboxed runs on a workspace: the modes beside each other, and beside the size of the tree. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "bench.h"

#define SMALL 100
#define LARGE 20000
#define IN_ONE_DIRECTORY 100

void
bench_make_tree(const char *directory, int files)
{
    static const char bytes[4096] = "a file";
    char path[4096];
    if (mkdir(directory, 0755) != 0)
        bench_die("%s: %s", directory, strerror(errno));
    for (int i = 0; i < files; i++) {
        snprintf(path, sizeof(path), "%s/d%d", directory, i / IN_ONE_DIRECTORY);
        if (i % IN_ONE_DIRECTORY == 0 && mkdir(path, 0755) != 0)
            bench_die("%s: %s", path, strerror(errno));
        snprintf(path, sizeof(path), "%s/d%d/f%d", directory, i / IN_ONE_DIRECTORY, i);
        cleanup_fd int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (fd < 0 || write(fd, bytes, sizeof(bytes)) != (ssize_t)sizeof(bytes))
            bench_die("%s: %s", path, strerror(errno));
    }
}

void
bench_rows_workspace(struct bench *bench)
{
    char small[4096], large[4096];
    snprintf(small, sizeof(small), "%s/tree-small", bench->scratch);
    snprintf(large, sizeof(large), "%s/tree-large", bench->scratch);
#define RUN(tree, mode)                                                                          \
    {                                                                                            \
        bench->billet, "run", "-e", "sandbox", "-w", tree, "--workspace-mode", mode, "--", "sh", \
            "-c", "echo changed >d0/f0", NULL                                                    \
    }
    const char *const bind[] = RUN(small, "bind");
    const char *const overlay[] = RUN(small, "overlay");
    const char *const bind_large[] = RUN(large, "bind");
    const char *const overlay_large[] = RUN(large, "overlay");
#undef RUN
    const char *const unchosen[] = {bench->billet, "run", "-e", "sandbox", "-w",
                                    large,         "--",  "sh", "-c",      "echo changed >d0/f0",
                                    NULL};
    struct bench_command commands[] = {
        {.name = "bind, 100 files", .argv = bind},
        {.name = "overlay, 100 files", .argv = overlay},
        {.name = "bind, 20,000 files", .argv = bind_large},
        {.name = "overlay, 20,000 files", .argv = overlay_large},
        {.name = "no mode chosen, 20,000 files", .argv = unchosen},
    };
    int status = 0;
    bench_make_tree(small, SMALL);
    pid_t pid = bench_start(overlay, -1, -1);
    if (waitpid(pid, &status, 0) != pid || status != 0) {
        bench_skip(bench, "workspace", "no overlay can be mounted here; see billet doctor sandbox");
        return;
    }
    bench_make_tree(large, LARGE);
    bench_interleave(bench, commands, sizeof(commands) / sizeof(commands[0]));
    bench_tell_commands(bench, "overlay", &commands[0], &commands[1], BENCH_AT_MOST, 1.3);
    bench_tell_commands(bench, "overlay-20000", &commands[2], &commands[3], BENCH_AT_MOST, 1.3);
    bench_tell_commands(bench, "overlay-size", &commands[1], &commands[3], BENCH_AT_MOST, 1.2);
    bench_tell_commands(bench, "unchosen-20000", &commands[2], &commands[4], BENCH_INFORMATION, 0);
    bench_commands_free(commands, sizeof(commands) / sizeof(commands[0]));
}
