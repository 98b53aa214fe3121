/* SPDX-License-Identifier: Apache-2.0 */
#include "workspace/git_program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/io.h"
#include "base/spawn.h"
#include "base/strings.h"

#define OUTPUT_MAX (UINT64_C(64) << 20)
#define QUARANTINE "git"
#define DEPTH_MAX 16

/* What git finds there instead of anybody's configuration. Big blobs are streamed, not held;
 * renames are off because files are merged path by path too (git.h). */
static const char config_text[] = "\tbare = true\n"
                                  "\thooksPath = /dev/null\n"
                                  "\tfsmonitor = false\n"
                                  "\tuntrackedCache = false\n"
                                  "\tsplitIndex = false\n"
                                  "\tattributesFile = /dev/null\n"
                                  "\texcludesFile = /dev/null\n"
                                  "\tprotectHFS = true\n"
                                  "\tprotectNTFS = true\n"
                                  "\tbigFileThreshold = 16m\n"
                                  "\tlogAllRefUpdates = false\n"
                                  "[transfer]\n\tfsckObjects = true\n"
                                  "[protocol]\n\tallow = never\n"
                                  "[gc]\n\tauto = 0\n"
                                  "[maintenance]\n\tauto = false\n"
                                  "[index]\n\tsparse = false\n\tskipHash = false\n"
                                  "[pack]\n\twindowMemory = 64m\n\twriteReverseIndex = false\n"
                                  "[merge]\n\trenames = false\n\tdirectoryRenames = false\n"
                                  "[commit]\n\tgpgSign = false\n";

int
billet_git_program_find(char path[PATH_MAX], struct billet_error *error)
{
    const char *list = getenv("PATH");
    if (list == NULL || list[0] == '\0')
        list = "/usr/local/bin:/usr/bin:/bin";
    while (*list != '\0') {
        size_t length = strcspn(list, ":");
        struct stat status;
        int size = snprintf(path, PATH_MAX, "%.*s/git", (int)length, list);
        if (list[0] == '/' && size > 0 && size < PATH_MAX && stat(path, &status) == 0 &&
            S_ISREG(status.st_mode) && access(path, X_OK) == 0)
            return 0;
        list += length;
        list += *list == ':';
    }
    billet_error_set(error, BILLET_CLASS_UNAVAILABLE, "git_unavailable", "git was not found");
    return billet_error_hint(error, "install git");
}

static void
remove_below(int directory_fd, const char *name, int depth)
{
    if (unlinkat(directory_fd, name, 0) == 0 || errno == ENOENT || depth > DEPTH_MAX)
        return;
    int fd = openat(directory_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    cleanup_dir DIR *directory = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *item;
    if (directory == NULL) {
        billet_close(&fd);
        return;
    }
    while ((item = readdir(directory)) != NULL)
        if (strcmp(item->d_name, ".") != 0 && strcmp(item->d_name, "..") != 0)
            remove_below(dirfd(directory), item->d_name, depth + 1);
    unlinkat(directory_fd, name, AT_REMOVEDIR);
}

void
billet_git_remove_tree(int directory_fd, const char *name)
{
    remove_below(directory_fd, name, 0);
}

static int
write_file(int directory_fd, const char *name, const void *bytes, size_t length,
           struct billet_error *error)
{
    cleanup_fd int fd =
        openat(directory_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return billet_error_errno(error, 0, "io_failed", errno, "git quarantine: %s", name);
    return billet_io_write_all(fd, bytes, length, error);
}

int
billet_git_program_open(struct billet_git_program *program, int state_fd, bool sha256,
                        const struct billet_buffer *shallow, struct billet_error *error)
{
    static const char *const directories[] = {"objects", "objects/pack", "objects/info", "refs",
                                              "refs/heads"};
    cleanup_buffer struct billet_buffer config = BILLET_BUFFER_INIT;
    char link[64];
    int result = billet_git_program_find(program->path, error);
    if (result < 0)
        return result;
    billet_git_remove_tree(state_fd, QUARANTINE);
    if (mkdirat(state_fd, QUARANTINE, 0700) != 0)
        return billet_error_errno(error, 0, "io_failed", errno, "git quarantine");
    program->directory_fd =
        openat(state_fd, QUARANTINE, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (program->directory_fd < 0)
        return billet_error_errno(error, 0, "io_failed", errno, "git quarantine");
    snprintf(link, sizeof(link), "/proc/self/fd/%d", program->directory_fd);
    ssize_t length = readlink(link, program->directory, sizeof(program->directory) - 1);
    if (length <= 0)
        return billet_error_errno(error, 0, "io_failed", errno, "git quarantine");
    program->directory[length] = '\0';
    for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]); i++)
        if (mkdirat(program->directory_fd, directories[i], 0700) != 0)
            return billet_error_errno(error, 0, "io_failed", errno, "git quarantine");
    billet_buffer_format(&config, "[core]\n\trepositoryformatversion = %d\n", sha256 ? 1 : 0);
    billet_buffer_add(&config, config_text);
    if (sha256)
        billet_buffer_add(&config, "[extensions]\n\tobjectFormat = sha256\n");
    if (config.failed)
        return billet_error_no_memory(error);
    static const char head[] = "ref: refs/heads/none\n";
    result = write_file(program->directory_fd, "HEAD", head, sizeof(head) - 1, error);
    if (result == 0)
        result = write_file(program->directory_fd, "config", config.data, config.length, error);
    if (result == 0 && shallow != NULL && shallow->length > 0)
        result =
            write_file(program->directory_fd, "shallow", shallow->data, shallow->length, error);
    return result;
}

void
billet_git_program_close(struct billet_git_program *program, int state_fd)
{
    if (program->directory_fd < 0)
        return;
    billet_close(&program->directory_fd);
    billet_git_remove_tree(state_fd, QUARANTINE);
}

int
billet_git_bytes_fd(const void *bytes, size_t length)
{
    cleanup_fd int fd = memfd_create("billet-git", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || billet_io_write_all(fd, bytes, length, NULL) < 0 || lseek(fd, 0, SEEK_SET) != 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
        return -1;
    return billet_steal_fd(&fd);
}

/* The whole environment of a git of ours. */
static int
fill_environment(const struct billet_git_program *program, const struct billet_git_command *command,
                 struct billet_strings *list)
{
    static const char *const fixed[] = {
        "PATH=/usr/local/bin:/usr/bin:/bin",
        "HOME=/nonexistent",
        "XDG_CONFIG_HOME=/nonexistent",
        "LC_ALL=C",
        "TZ=UTC",
        "GIT_CONFIG_NOSYSTEM=1",
        "GIT_CONFIG_GLOBAL=/dev/null",
        "GIT_ATTR_NOSYSTEM=1",
        "GIT_NO_REPLACE_OBJECTS=1",
        "GIT_NO_LAZY_FETCH=1",
        "GIT_OPTIONAL_LOCKS=0",
        "GIT_TERMINAL_PROMPT=0",
        "GIT_ASKPASS=/bin/false",
        "SSH_ASKPASS=/bin/false",
        "GIT_SSH_COMMAND=/bin/false",
        "GIT_ALLOW_PROTOCOL=none",
        "GIT_EDITOR=/bin/false",
        "GIT_PAGER=cat",
        "GIT_LITERAL_PATHSPECS=1",
        "GIT_ADVICE=0",
    };
    bool good = true;
    for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
        good = good && billet_strings_add(list, fixed[i]);
    good = good && billet_strings_format(list, "GIT_DIR=%s", program->directory);
    if (program->objects_fd >= 0)
        good = good && billet_strings_add(list, "GIT_ALTERNATE_OBJECT_DIRECTORIES=/proc/self/fd/3");
    good = good && billet_strings_format(list, "GIT_INDEX_FILE=%s/%s", program->directory,
                                         command->index != NULL ? command->index : "index");
    if (command->name != NULL)
        good = good && billet_strings_format(list, "GIT_AUTHOR_NAME=%s", command->name) &&
               billet_strings_format(list, "GIT_AUTHOR_EMAIL=%s", command->email) &&
               billet_strings_format(list, "GIT_COMMITTER_NAME=%s", command->name) &&
               billet_strings_format(list, "GIT_COMMITTER_EMAIL=%s", command->email);
    return good ? 0 : -1;
}

int
billet_git_start(const struct billet_git_program *program, const struct billet_git_command *command,
                 struct billet_git_process *process, struct billet_error *error)
{
    cleanup_strings struct billet_strings argv = BILLET_STRINGS_INIT;
    cleanup_strings struct billet_strings environment = BILLET_STRINGS_INIT;
    cleanup_fd int input = -1;
    cleanup_fd int errors = memfd_create("billet-git-errors", MFD_CLOEXEC);
    bool good = billet_strings_add(&argv, "git");
    for (size_t i = 0; good && command->argv[i] != NULL; i++)
        good = billet_strings_add(&argv, command->argv[i]);
    if (!good || fill_environment(program, command, &environment) < 0)
        return billet_error_no_memory(error);
    if (command->in_fd <= 0 && command->input != NULL) {
        input = billet_git_bytes_fd(command->input, command->input_length);
        if (input < 0)
            return billet_error_errno(error, 0, "io_failed", errno, "input of git");
    }
    if (errors < 0)
        return billet_error_errno(error, 0, "io_failed", errno, "git");
    const int fds[] = {command->in_fd > 0 ? command->in_fd : input,
                       command->out_fd > 0 ? command->out_fd : -1, errors, program->objects_fd};
    struct billet_spawn spawn = {.path = program->path,
                                 .argv = billet_strings_list(&argv),
                                 .environment = billet_strings_list(&environment),
                                 .fds = fds,
                                 .fd_count = 4,
                                 .new_session = 1};
    process->deadline_ns = billet_clock_monotonic() + program->timeout_ns;
    process->what = command->argv[0];
    int result = billet_spawn(&spawn, &process->pid, &process->pidfd, error);
    if (result == 0)
        process->errors_fd = billet_steal_fd(&errors);
    return result;
}

void
billet_git_kill(struct billet_git_process *process)
{
    if (process->pid > 0) {
        kill(-process->pid, SIGKILL); /* its session; the leader is not reaped yet */
        kill(process->pid, SIGKILL);
        while (waitpid(process->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    process->pid = -1;
    billet_close(&process->pidfd);
    billet_close(&process->errors_fd);
}

/* The line of what git said that tells most: the first that begins with "fatal" or "error". */
static void
read_complaint(int fd, char *to, size_t size)
{
    char text[2048];
    ssize_t length = fd >= 0 ? pread(fd, text, sizeof(text) - 1, 0) : 0;
    text[length > 0 ? length : 0] = '\0';
    const char *line = strstr(text, "fatal: ");
    const char *other = strstr(text, "error: ");
    if (line == NULL || (other != NULL && other < line))
        line = other;
    if (line == NULL)
        line = text;
    snprintf(to, size, "%.*s", (int)strcspn(line, "\n"), line);
}

int
billet_git_finish(struct billet_git_process *process, int *status, struct billet_error *error)
{
    int ended;
    char complaint[256];
    int result =
        billet_spawn_wait(process->pid, process->pidfd, process->deadline_ns, &ended, error);
    if (result < 0) {
        billet_git_kill(process);
        return billet_error_wrap(error, "git %s", process->what);
    }
    int code = WIFEXITED(ended) ? WEXITSTATUS(ended) : 128 + WTERMSIG(ended);
    read_complaint(process->errors_fd, complaint, sizeof(complaint));
    process->pid = -1;
    billet_close(&process->pidfd);
    billet_close(&process->errors_fd);
    if (status != NULL)
        *status = code;
    else if (code != 0)
        return billet_error_set(error, BILLET_CLASS_UNAVAILABLE, "git_failed",
                                "git %s failed with status %d%s%s", process->what, code,
                                complaint[0] != '\0' ? ": " : "", complaint);
    return 0;
}

/* Until the end of fd, the bound or the deadline. */
static int
read_output(int fd, const struct billet_git_command *command, int64_t deadline_ns,
            struct billet_error *error)
{
    size_t limit = command->output_max > 0 ? command->output_max : OUTPUT_MAX;
    size_t total = 0;
    for (;;) {
        int64_t left = (deadline_ns - billet_clock_monotonic()) / 1000000;
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        int ready = left > 0 ? poll(&wait, 1, left > 60000 ? 60000 : (int)left + 1) : 0;
        if (left <= 0)
            return billet_error_set(error, BILLET_CLASS_TIMEOUT, "deadline_passed",
                                    "git %s did not end in time", command->argv[0]);
        if (ready <= 0)
            continue;
        char bytes[65536];
        ssize_t got = read(fd, bytes, sizeof(bytes));
        if (got == 0)
            return 0;
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return billet_error_errno(error, 0, "io_failed", errno, "output of git");
        total += (size_t)got;
        if (total > limit)
            return billet_error_set(error, BILLET_CLASS_CAPACITY, "git_refused",
                                    "git %s says more than %zu bytes", command->argv[0], limit);
        if (command->output != NULL)
            billet_buffer_append(command->output, bytes, (size_t)got);
    }
}

int
billet_git_run(const struct billet_git_program *program, const struct billet_git_command *command,
               int *status, struct billet_error *error)
{
    struct billet_git_process process = BILLET_GIT_PROCESS_INIT;
    struct billet_git_command piped = *command;
    cleanup_fd int from = -1;
    cleanup_fd int to = -1;
    if (command->out_fd <= 0) {
        int ends[2];
        if (pipe2(ends, O_CLOEXEC) != 0)
            return billet_error_errno(error, 0, "io_failed", errno, "git");
        from = ends[0];
        to = ends[1];
        piped.out_fd = to;
    }
    int result = billet_git_start(program, &piped, &process, error);
    billet_close(&to);
    if (result == 0 && from >= 0)
        result = read_output(from, command, process.deadline_ns, error);
    if (result < 0) {
        billet_git_kill(&process);
        return result;
    }
    result = billet_git_finish(&process, status, error);
    if (result == 0 && command->output != NULL && command->output->failed)
        return billet_error_no_memory(error);
    return result;
}
