/* SPDX-License-Identifier: Apache-2.0 */
/*
 * workspace.c - what the workspace engine takes for 20,000 files of 4 KB, beside tar and rsync in
 * the same run. Not part of check: make t/bench/workspace && t/bench/workspace [DIRECTORY [FILES]]
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "workspace/scan.h"
#include "workspace/workspace.h"

#define ROUNDS 5

static char top[256];
static struct billet_error error = BILLET_ERROR_INIT;

static void
need(int result, const char *what)
{
    if (result < 0) {
        fprintf(stderr, "%s: %s\n", what, error.message);
        exit(1);
    }
}

/* Seconds of a shell command. */
static double
shell(const char *format)
{
    char command[2048];
    snprintf(command, sizeof(command), format, top, top, top, top);
    int64_t start = billet_clock_monotonic();
    int status = system(command);
    if (status != 0)
        return -1;
    return (double)(billet_clock_monotonic() - start) / 1e9;
}

static int
compare(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;
    return (left > right) - (left < right);
}

static double
median(double *values)
{
    qsort(values, ROUNDS, sizeof(*values), compare);
    return values[ROUNDS / 2];
}

static void
show(const char *what, double seconds, const char *against, double other, double target)
{
    if (other > 0)
        printf("%-34s %8.1f ms   %-28s %8.1f ms   ratio %.2f%s\n", what, seconds * 1e3, against,
               other * 1e3, seconds / other,
               target <= 0                 ? ""
               : seconds / other <= target ? "  met"
                                           : "  MISSED");
    else
        printf("%-34s %8.1f ms\n", what, seconds * 1e3);
}

static const char *
in(const char *name)
{
    static char paths[4][512];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, 512, "%s/%s", top, name);
    return path;
}

static struct billet_workspace *
begin(int baseline)
{
    struct billet_workspace *workspace;
    struct billet_workspace_options options = {.directory = in("work"),
                                               .state_directory = in("state"),
                                               .tag = "benching",
                                               .baseline = baseline};
    need(billet_workspace_begin(&options, &workspace, &error), "begin");
    return workspace;
}

static void
make_tree(int files)
{
    char path[600];
    char content[4096];
    memset(content, 'x', sizeof(content));
    mkdir(in("work"), 0755);
    for (int i = 0; i < files; i++) {
        if (i % 100 == 0) {
            snprintf(path, sizeof(path), "%s/work/d%d", top, i / 100);
            mkdir(path, 0755);
        }
        snprintf(path, sizeof(path), "%s/work/d%d/file-%d", top, i / 100, i);
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        snprintf(content, sizeof(content), "%d", i);
        if (fd < 0 || write(fd, content, sizeof(content)) != sizeof(content))
            exit(1);
        close(fd);
    }
}

#define TIMED(to, ...)                                            \
    do {                                                          \
        int64_t start_ = billet_clock_monotonic();                \
        __VA_ARGS__;                                              \
        (to) = (double)(billet_clock_monotonic() - start_) / 1e9; \
    } while (0)

int
main(int argc, char **argv)
{
    double ours[ROUNDS];
    double theirs[ROUNDS];
    double same[ROUNDS];
    double rsync[ROUNDS];
    double scan[ROUNDS];
    double send[ROUNDS];
    double tar[ROUNDS];
    double apply[ROUNDS];
    double untar[ROUNDS];
    double one[ROUNDS];
    int files = argc > 2 ? atoi(argv[2]) : 20000;
    bool has_rsync = system("rsync --version >/dev/null 2>&1") == 0;
    snprintf(top, sizeof(top), "%s/billet-bench-XXXXXX", argc > 1 ? argv[1] : "/dev/shm");
    if (mkdtemp(top) == NULL)
        return 1;
    make_tree(files);
    usleep(50000);
    for (int i = 0; i < ROUNDS; i++) {
        struct billet_report report = BILLET_REPORT_INIT;
        struct billet_copy_result done;
        shell("rm -rf %s/far %s/far2 && mkdir %s/far %s/far2");
        shell("rm -f %s/work/new");
        usleep(300000); /* the kernel frees what was removed in the background */
        struct billet_workspace *workspace;
        TIMED(scan[i], workspace = begin(BILLET_BASELINE_MANIFEST));
        billet_workspace_end(workspace);
        usleep(300000);
        TIMED(ours[i], workspace = begin(BILLET_BASELINE_MANIFEST);
              need(billet_workspace_copy(workspace, in("far"), &done, &error), "copy"));
        theirs[i] = shell("tar -C %s/work -cf - . | tar -C %s/far2 -xf -");
        billet_workspace_end(workspace);
        TIMED(same[i], workspace = begin(BILLET_BASELINE_MANIFEST);
              need(billet_workspace_copy(workspace, in("far"), &done, &error), "copy"));
        if (done.files != 0)
            return 1;
        rsync[i] = has_rsync ? shell("rsync -a %s/work/ %s/far/") : 0;
        int sink = open("/dev/null", O_WRONLY | O_CLOEXEC);
        TIMED(send[i], need(billet_workspace_send(workspace, NULL, sink, NULL, &error), "send"));
        close(sink);
        tar[i] = shell("tar -C %s/work -cf - . | cat >/dev/null");
        billet_workspace_end(workspace);
        /* Everything comes back changed. */
        shell("cd %s/far && find . -type f | while read f; do printf y >>$f; done; "
              "tar --format=posix -cf %s/back.tar .");
        workspace = begin(BILLET_BASELINE_MANIFEST);
        int back = open(in("back.tar"), O_RDONLY | O_CLOEXEC);
        TIMED(apply[i], need(billet_workspace_receive(workspace, back, BILLET_RECEIVE_DOT, &error),
                             "receive");
              need(billet_workspace_apply(workspace, &report, &error), "apply"));
        close(back);
        billet_workspace_end(workspace);
        if (report.totals[BILLET_REPORT_WRITTEN] != (size_t)files)
            return 1;
        billet_report_free(&report);
        untar[i] = shell("tar -C %s/work -xf %s/back.tar");
        /* An overlay with one file. */
        shell("rm -rf %s/upper && mkdir %s/upper && echo one >%s/upper/new");
        TIMED(one[i], workspace = begin(BILLET_BASELINE_TIME);
              int upper = open(in("upper"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
              need(billet_workspace_receive_upper(workspace, upper, &error), "upper");
              need(billet_workspace_apply(workspace, &report, &error), "apply"); close(upper);
              billet_workspace_end(workspace));
        billet_report_free(&report);
    }
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("%d files of 4 KiB in %s, medians of %d\n", files, top, ROUNDS);
    show("scan, nothing read", median(scan), "", 0, 0);
    double pipe = median(theirs);
    show("copy in, empty target", median(ours), "tar pipe", pipe, 0.6);
    show("copy in, nothing changed", median(same), has_rsync ? "rsync" : "tar pipe",
         has_rsync ? median(rsync) : pipe, has_rsync ? 0.3 : 0);
    show("archive of everything", median(send), "tar", median(tar), 0);
    show("receive and apply, all changed", median(apply), "tar -x over it", median(untar), 0);
    show("overlay: begin to end, one file", median(one), "", 0, 0);
    printf("peak memory %ld KiB\n", usage.ru_maxrss);
    shell("rm -rf %s");
    return 0;
}
