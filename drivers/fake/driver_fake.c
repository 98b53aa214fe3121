/* SPDX-License-Identifier: Apache-2.0 */
/*
 * driver_fake - environments that run nothing: for dry runs of a configuration,
 * and for tests of everything that a driver may do wrong.
 *
 * Its provider is a directory with one file a resource, which holds the label. A command is
 * printed, not run.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../common/fence.h"
#include "record.h"
#include "script.h"

#define LOOK_NS (BILLET_NS_PER_SECOND / 10) /* how often a command sees to its resource */

static const struct billet_host *host;

struct billet_lease_handle {
    char ref[BILLET_REF_MAX];
    char workspace[4096];
    bool shared;   /* beside the owner */
    int signal_fd; /* eventfd: the number of a signal that arrived while exec waits */
};

static const char *const print_choices[] = {"line", "hex", "stdin", "nothing", NULL};

static const struct billet_option options[] = {
    {.name = "directory",
     .type = BILLET_OPTION_PATH,
     .text = "Where the pretended resources are kept, one file each. Default: a directory of the "
             "driver's own in billet's state."},
    {.name = "script",
     .type = BILLET_OPTION_LIST,
     .text = "What goes wrong: entries OP:ACTION[:ARG[:COUNT]]. OP is an operation; ACTION one of "
             "delay (ARG a duration), fail (ARG an error class), lose (the effect happens, the "
             "answer does not come), segv, abort, exit, hang, short, oversized, garbage, other, "
             "no_message, positive, ok_error, bad_ref, bad_outcome. COUNT limits it to the first "
             "calls."},
    {.name = "exit_code",
     .type = BILLET_OPTION_INTEGER,
     .default_value = "0",
     .maximum = 255,
     .text = "Exit code of every command."},
    {.name = "print",
     .type = BILLET_OPTION_CHOICE,
     .choices = print_choices,
     .default_value = "line",
     .text = "What a command writes to its output: one line that shows what would be run, its "
             "arguments and environment in hexadecimal, its own input, or nothing."},
    {.name = "stdout",
     .type = BILLET_OPTION_STRING,
     .text = "Text that every command writes to its output besides."},
    {.name = "record",
     .type = BILLET_OPTION_PATH,
     .text = "A file that gets a line for everything that happens to a resource, in its order."},
    {.name = "token",
     .type = BILLET_OPTION_STRING,
     .flags = BILLET_OPTION_SECRET,
     .text = "A secret; the probe tells its length and nothing else."},
};

/* The directory of resources, made when it is not there. */
static int
open_directory(const struct billet_call *call, char path[4096], struct billet_error *error)
{
    const char *configured = billet_config_string(call->config, "directory", NULL);
    if (configured != NULL) {
        snprintf(path, 4096, "%s", configured);
    } else {
        const char *state = host->directory(host, BILLET_DIRECTORY_STATE);
        if (state == NULL)
            return fake_fail(error, BILLET_CLASS_CONFIG, "value_invalid",
                             "no directory is configured and billet has none for state");
        if (snprintf(path, 4096, "%s/fake", state) >= 4096)
            return fake_fail(error, BILLET_CLASS_CONFIG, "value_invalid", "the path is too long");
    }
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return fake_fail(error, BILLET_CLASS_UNAVAILABLE, "io_failed",
                         "cannot make the directory %s: %s", path, strerror(errno));
    return 0;
}

/* One resource as its file says. */
struct resource {
    char ref[256];
    char deployment[128];
    char lease[128];
    uint64_t fence;
    uint64_t generation;
    char run[BILLET_FENCE_RUN + 1];
    int64_t age_ns;
};

static bool
read_resource(const char *directory, const char *ref, struct resource *resource)
{
    char path[4400];
    struct stat status;
    struct timespec now;
    snprintf(path, sizeof(path), "%s/%s", directory, ref);
    memset(resource, 0, sizeof(*resource));
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    bool good =
        fscanf(file, "deployment=%127[^\n] lease=%127[^\n] fence=%" SCNu64 " generation=%" SCNu64,
               resource->deployment, resource->lease, &resource->fence,
               &resource->generation) == 4 &&
        fstat(fileno(file), &status) == 0;
    if (good && fscanf(file, " run=%96[^\n]", resource->run) != 1)
        resource->run[0] = '\0';
    fclose(file);
    if (!good)
        return false;
    clock_gettime(CLOCK_REALTIME, &now);
    resource->age_ns = (now.tv_sec - status.st_mtim.tv_sec) * BILLET_NS_PER_SECOND +
                       (now.tv_nsec - status.st_mtim.tv_nsec);
    if (resource->age_ns < 0)
        resource->age_ns = 0;
    snprintf(resource->ref, sizeof(resource->ref), "%s", ref);
    return true;
}

static bool
is_resource_name(const char *name)
{
    return strncmp(name, "fake-", 5) == 0 && strchr(name, '/') == NULL && strlen(name) < 250;
}

static int
write_resource(const char *directory, const char *ref, const struct billet_identity *identity,
               struct billet_error *error)
{
    char path[4400];
    char temporary[4400];
    snprintf(path, sizeof(path), "%s/%s", directory, ref);
    snprintf(temporary, sizeof(temporary), "%s/.new-%s", directory, ref);
    FILE *file = fopen(temporary, "we");
    if (file == NULL)
        return fake_fail(error, BILLET_CLASS_UNAVAILABLE, "io_failed", "cannot write %s: %s", path,
                         strerror(errno));
    fprintf(file, "deployment=%s\nlease=%s\nfence=%" PRIu64 "\ngeneration=%" PRIu64 "\nrun=%.*s\n",
            identity->deployment[0] != '\0' ? identity->deployment : "-", identity->lease,
            identity->fence, identity->generation, BILLET_FENCE_RUN, identity->run);
    bool good = ferror(file) == 0;
    good = fclose(file) == 0 && good && rename(temporary, path) == 0;
    if (!good)
        return fake_fail(error, BILLET_CLASS_UNAVAILABLE, "io_failed", "cannot write %s: %s", path,
                         strerror(errno));
    return 0;
}

static int
check_config(const struct billet_call *call, struct billet_error *error)
{
    int32_t answer = 0;
    int result = fake_script_check(call, error);
    if (result == 0 && fake_script_before(call, "check_config", "/", &answer, error))
        return answer;
    if (result == 0 && fake_script_after(call, "check_config", "/", &answer, error))
        return answer;
    return result;
}

static int
probe(const struct billet_call *call, struct billet_error *error)
{
    char directory[4096];
    char text[128];
    int32_t answer = 0;
    struct billet_error why = BILLET_ERROR_INIT;
    const char *token = billet_config_string(call->config, "token", NULL);
    int result = open_directory(call, directory, &why);
    if (fake_script_before(call, "probe", result == 0 ? directory : "/", &answer, error))
        return answer;
    if (result == 0 && access(directory, W_OK) == 0)
        host->check(call, BILLET_CHECK_PASS, "directory", directory, "");
    else
        host->check(call, BILLET_CHECK_FAIL, "directory",
                    result == 0 ? "not writable" : why.message,
                    "set directory to one that you may write to");
    if (token != NULL) {
        snprintf(text, sizeof(text), "a token of %zu bytes", strlen(token));
        host->check(call, BILLET_CHECK_PASS, "token", text, "");
    } else {
        host->check(call, BILLET_CHECK_WARN, "token", "there is none",
                    "set token = @secret:NAME when one is wanted");
    }
    return fake_script_after(call, "probe", directory, &answer, error) ? answer : 0;
}

static struct billet_lease_handle *
make_handle(const char *ref, struct billet_error *error)
{
    struct billet_lease_handle *handle = calloc(1, sizeof(*handle));
    if (handle == NULL) {
        fake_fail(error, BILLET_CLASS_CAPACITY, "out_of_memory", "out of memory");
        return NULL;
    }
    handle->signal_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (handle->signal_fd < 0) {
        fake_fail(error, BILLET_CLASS_CAPACITY, "internal", "cannot make an event: %s",
                  strerror(errno));
        free(handle);
        return NULL;
    }
    snprintf(handle->ref, sizeof(handle->ref), "%s", ref);
    return handle;
}

static void
free_handle(struct billet_lease_handle *handle)
{
    close(handle->signal_fd);
    free(handle);
}

static int
acquire(const struct billet_call *call, const struct billet_acquire *args,
        struct billet_acquired *result, struct billet_error *error)
{
    char directory[4096];
    char ref[160];
    int32_t answer = 0;
    struct timespec now;
    int outcome = open_directory(call, directory, error);
    if (outcome < 0)
        return outcome;
    if (fake_script_before(call, "acquire", directory, &answer, error))
        return answer;
    if (snprintf(ref, sizeof(ref), "fake-%s", call->identity->lease) >= (int)sizeof(ref) ||
        !is_resource_name(ref))
        return fake_fail(error, BILLET_CLASS_CONFIG, "value_invalid", "the lease id is unusable");
    int record;
    outcome = fake_record_hold(call, &record, error);
    if (outcome == 0)
        outcome = fake_record_say(record, call, "making", ref, error);
    if (outcome == 0)
        outcome = write_resource(directory, ref, call->identity, error);
    if (outcome == 0)
        outcome = fake_record_say(record, call, "made", ref, error);
    fake_record_leave(&record);
    if (outcome < 0)
        return outcome;
    host->fact(call, "resource", ref);
    if (fake_script_after(call, "acquire", directory, &answer, error))
        return answer;
    result->handle = make_handle(ref, error);
    if (result->handle == NULL)
        return -error->error_class;
    if (args->ttl_ns > 0) {
        clock_gettime(CLOCK_REALTIME, &now);
        result->expires_ns = now.tv_sec * BILLET_NS_PER_SECOND + now.tv_nsec + args->ttl_ns;
    }
    snprintf(result->ref, sizeof(result->ref), "%s",
             fake_script_has(call, "acquire", "bad_ref") ? "not\na ref" : ref);
    return 0;
}

static int
resume(const struct billet_call *call, const struct billet_resume *args,
       struct billet_acquired *result, struct billet_error *error)
{
    char directory[4096];
    struct resource resource;
    int32_t answer = 0;
    int outcome = open_directory(call, directory, error);
    if (outcome < 0)
        return outcome;
    if (fake_script_before(call, "resume", directory, &answer, error))
        return answer;
    bool shared = (args->flags & BILLET_RESUME_SHARED) != 0;
    int record;
    int hold = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    outcome = fake_record_hold(call, &record, error);
    if (outcome == 0 && hold >= 0)
        outcome = billet_fence_hold(hold, error);
    if (outcome == 0 &&
        (!is_resource_name(args->ref) || !read_resource(directory, args->ref, &resource) ||
         strcmp(resource.lease, call->identity->lease) != 0))
        outcome = fake_fail(error, BILLET_CLASS_LOST, "resource_lost", "the resource %s is gone",
                            args->ref);
    if (outcome == 0)
        outcome = billet_fence_check(call->identity, shared, resource.fence, resource.run, error);
    /* A newer owner or use is written down, so that a sweep sees who holds it. */
    if (outcome == 0 && !shared)
        outcome = write_resource(directory, args->ref, call->identity, error);
    if (outcome == 0)
        outcome = fake_record_say(record, call, shared ? "entered" : "resumed", args->ref, error);
    fake_record_leave(&record);
    if (hold >= 0)
        close(hold);
    if (outcome < 0)
        return outcome;
    if (fake_script_after(call, "resume", directory, &answer, error))
        return answer;
    result->handle = make_handle(args->ref, error);
    if (result->handle == NULL)
        return -error->error_class;
    result->handle->shared = shared;
    snprintf(result->ref, sizeof(result->ref), "%s",
             fake_script_has(call, "resume", "bad_ref") ? "" : args->ref);
    return 0;
}

static int
remove_resource(const struct billet_call *call, const char *directory, const char *ref,
                struct billet_error *error)
{
    char path[4400];
    int record;
    int outcome = fake_record_hold(call, &record, error);
    if (outcome == 0)
        outcome = fake_record_say(record, call, "removing", ref, error);
    if (outcome == 0) {
        /* What a host that was killed had begun to write. */
        snprintf(path, sizeof(path), "%s/.new-%s", directory, ref);
        unlink(path);
        snprintf(path, sizeof(path), "%s/%s", directory, ref);
        bool there = unlink(path) == 0;
        if (!there && errno != ENOENT)
            outcome = fake_fail(error, BILLET_CLASS_UNAVAILABLE, "io_failed",
                                "cannot remove %s: %s", path, strerror(errno));
        else
            outcome = fake_record_say(record, call, there ? "removed" : "absent", ref, error);
    }
    fake_record_leave(&record);
    return outcome;
}

static int
release(const struct billet_call *call, struct billet_lease_handle *handle, int32_t disposition,
        struct billet_error *error)
{
    char directory[4096];
    int32_t answer = 0;
    int outcome = open_directory(call, directory, error);
    if (outcome == 0 && fake_script_before(call, "release", directory, &answer, error)) {
        free_handle(handle);
        return answer;
    }
    if (outcome == 0 && disposition == BILLET_DISPOSE_DESTROY)
        outcome = remove_resource(call, directory, handle->ref, error);
    free_handle(handle);
    if (outcome == 0 && fake_script_after(call, "release", directory, &answer, error))
        return answer;
    return outcome;
}

static int
destroy(const struct billet_call *call, const struct billet_destroy *args,
        struct billet_error *error)
{
    char directory[4096];
    char ref[160];
    struct resource resource;
    int32_t answer = 0;
    int outcome = open_directory(call, directory, error);
    if (outcome < 0)
        return outcome;
    if (fake_script_before(call, "destroy", directory, &answer, error))
        return answer;
    snprintf(ref, sizeof(ref), "fake-%s", call->identity->lease);
    const char *name = args->ref[0] != '\0' ? args->ref : ref;
    if (!is_resource_name(name))
        return fake_fail(error, BILLET_CLASS_CONFIG, "value_invalid", "not a resource of mine: %s",
                         name);
    /* Never what belongs to another lease, whatever name the core believes it has. */
    if (read_resource(directory, name, &resource) &&
        strcmp(resource.lease, call->identity->lease) != 0)
        return fake_fail(error, BILLET_CLASS_LOST, "resource_lost",
                         "the resource %s belongs to another lease", name);
    if ((call->flags & BILLET_CALL_DRY_RUN) == 0)
        outcome = remove_resource(call, directory, name, error);
    if (outcome == 0 && fake_script_after(call, "destroy", directory, &answer, error))
        return answer;
    return outcome;
}

static int
list(const struct billet_call *call, struct billet_error *error)
{
    char directory[4096];
    struct resource resource;
    int32_t answer = 0;
    int outcome = open_directory(call, directory, error);
    if (outcome < 0)
        return outcome;
    if (fake_script_before(call, "list", directory, &answer, error))
        return answer;
    DIR *entries = opendir(directory);
    if (entries == NULL)
        return fake_fail(error, BILLET_CLASS_UNAVAILABLE, "io_failed", "cannot read %s: %s",
                         directory, strerror(errno));
    for (const struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries)) {
        if (!is_resource_name(entry->d_name) || !read_resource(directory, entry->d_name, &resource))
            continue;
        host->resource(call, &(struct billet_resource){
                                 .struct_size = sizeof(struct billet_resource),
                                 .ref = resource.ref,
                                 .deployment = resource.deployment,
                                 .lease = resource.lease,
                                 .fence = resource.fence,
                                 .generation = resource.generation,
                                 .age_ns = resource.age_ns,
                             });
    }
    closedir(entries);
    return fake_script_after(call, "list", directory, &answer, error) ? answer : 0;
}

static int
realize(const struct billet_call *call, struct billet_lease_handle *handle,
        const struct billet_realize *args, struct billet_realized *result,
        struct billet_error *error)
{
    char directory[4096];
    struct stat status;
    int32_t answer = 0;
    int outcome = open_directory(call, directory, error);
    if (outcome < 0)
        return outcome;
    if (fake_script_before(call, "realize", directory, &answer, error))
        return answer;
    if (args->mode != BILLET_WORKSPACE_NONE &&
        (args->root_fd < 0 || fstat(args->root_fd, &status) != 0 || !S_ISDIR(status.st_mode)))
        return fake_fail(error, BILLET_CLASS_CONFIG, "value_invalid",
                         "the workspace is not an open directory");
    snprintf(handle->workspace, sizeof(handle->workspace), "%s",
             args->mode == BILLET_WORKSPACE_NONE ? "/" : args->path);
    host->fact(call, "workspace", handle->workspace);
    if (fake_script_after(call, "realize", directory, &answer, error))
        return answer;
    snprintf(result->directory, sizeof(result->directory), "%s", handle->workspace);
    return 0;
}

/* An argument as a person would type it. */
static void
print_quoted(FILE *to, const char *text)
{
    bool plain = text[0] != '\0';
    for (const char *at = text; *at != '\0' && plain; at++)
        plain = strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./=:,+@%",
                       *at) != NULL;
    if (plain) {
        fputs(text, to);
        return;
    }
    fputc('\'', to);
    for (const char *at = text; *at != '\0'; at++)
        if (*at == '\'')
            fputs("'\\''", to);
        else
            fputc(*at, to);
    fputc('\'', to);
}

static void
print_hex(FILE *to, const char *kind, const char *const *strings)
{
    for (; *strings != NULL; strings++) {
        fprintf(to, "%s ", kind);
        for (const char *at = *strings; *at != '\0'; at++)
            fprintf(to, "%02x", (unsigned char)*at);
        fputc('\n', to);
    }
}

static bool
copy_input(int from, int to)
{
    char block[16384];
    for (;;) {
        ssize_t got = read(from, block, sizeof(block));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got == 0;
        for (ssize_t done = 0; done < got;) {
            ssize_t put = write(to, block + done, (size_t)(got - done));
            if (put < 0)
                return false;
            done += put;
        }
    }
}

static int
print_command(const struct billet_call *call, const struct billet_lease_handle *handle,
              const struct billet_exec *args, struct billet_error *error)
{
    const char *what = billet_config_string(call->config, "print", "line");
    const char *text = billet_config_string(call->config, "stdout", NULL);
    int fd = fcntl(args->stdout_fd, F_DUPFD_CLOEXEC, 0);
    FILE *to = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (to == NULL) {
        if (fd >= 0)
            close(fd);
        return fake_fail(error, BILLET_CLASS_UNAVAILABLE, "io_failed", "cannot use the output: %s",
                         strerror(errno));
    }
    if (strcmp(what, "line") == 0) {
        print_quoted(to, args->directory[0] != '\0' ? args->directory : handle->workspace);
        fputc(':', to);
        for (const char *const *at = args->argv; *at != NULL; at++) {
            fputc(' ', to);
            print_quoted(to, *at);
        }
        fputc('\n', to);
    } else if (strcmp(what, "hex") == 0) {
        print_hex(to, "argument", args->argv);
        print_hex(to, "environment", args->environment);
    } else if (strcmp(what, "stdin") == 0) {
        copy_input(args->stdin_fd, fd);
    }
    if (text != NULL)
        fprintf(to, "%s\n", text);
    fclose(to); /* a reader that went away is not a failure of the command */
    return 0;
}

/* A command is where its resource is: it begins and goes on while that is there. */
static int
use_resource(const struct billet_call *call, const struct billet_lease_handle *handle,
             const char *directory, const char *event, struct billet_error *error)
{
    struct resource resource;
    int record;
    int outcome = fake_record_hold(call, &record, error);
    if (outcome == 0 && (!read_resource(directory, handle->ref, &resource) ||
                         strcmp(resource.lease, call->identity->lease) != 0))
        outcome = fake_fail(error, BILLET_CLASS_LOST, "resource_lost", "the resource %s is gone",
                            handle->ref);
    if (outcome == 0)
        outcome = fake_record_say(record, call, event, handle->shared ? "shared" : "own", error);
    fake_record_leave(&record);
    return outcome;
}

/* Wait for the scripted time as a command would run: ends by time limit, cancel or signal, or with
 * the resource. */
static int
pretend_to_run(const struct billet_call *call, const struct billet_lease_handle *handle,
               const struct billet_exec *args, const char *directory,
               struct billet_exec_result *result, struct billet_error *error)
{
    int64_t delay_ns = fake_script_delay(call, "exec");
    bool limited = args->timeout_ns > 0 && args->timeout_ns < delay_ns;
    struct timespec start;
    struct timespec now;
    int64_t span = limited ? args->timeout_ns : delay_ns;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (;;) {
        uint64_t number = 0;
        clock_gettime(CLOCK_MONOTONIC, &now);
        int64_t left = span - (now.tv_sec - start.tv_sec) * BILLET_NS_PER_SECOND -
                       (now.tv_nsec - start.tv_nsec);
        if (left <= 0)
            break;
        struct pollfd wait[2] = {{.fd = call->cancel_fd, .events = POLLIN},
                                 {.fd = handle->signal_fd, .events = POLLIN}};
        int64_t ms = ((left < LOOK_NS ? left : LOOK_NS) + 999999) / 1000000;
        poll(wait, 2, (int)ms);
        if (wait[0].revents != 0) {
            result->outcome = BILLET_OUTCOME_CANCELLED;
            return 0;
        }
        if (wait[1].revents != 0 && read(handle->signal_fd, &number, sizeof(number)) > 0 &&
            number >= 1 && number <= 64) {
            result->outcome = BILLET_OUTCOME_SIGNALLED;
            result->value = (int32_t)number;
            return 0;
        }
        int outcome = use_resource(call, handle, directory, "using", error);
        if (outcome < 0)
            return outcome;
    }
    if (limited)
        result->outcome = BILLET_OUTCOME_TIMED_OUT;
    return 0;
}

static int
exec(const struct billet_call *call, struct billet_lease_handle *handle,
     const struct billet_exec *args, struct billet_exec_result *result, struct billet_error *error)
{
    char directory[4096];
    int32_t answer = 0;
    int outcome = open_directory(call, directory, error);
    if (outcome < 0)
        return outcome;
    if (fake_script_before(call, "exec", directory, &answer, error))
        return answer;
    outcome = use_resource(call, handle, directory, "exec", error);
    if (outcome < 0)
        return outcome;
    host->started(call, 0);
    outcome = print_command(call, handle, args, error);
    if (outcome < 0)
        return outcome;
    result->outcome = BILLET_OUTCOME_EXITED;
    result->value = (int32_t)billet_config_number(call->config, "exit_code", 0);
    outcome = pretend_to_run(call, handle, args, directory, result, error);
    if (outcome < 0)
        return outcome;
    /* What became of the resource in this moment is not the command's. */
    struct billet_error ignored = BILLET_ERROR_INIT;
    use_resource(call, handle, directory, "ended", &ignored);
    if (fake_script_after(call, "exec", directory, &answer, error))
        return answer;
    if (fake_script_has(call, "exec", "bad_outcome"))
        result->value = 4096;
    return 0;
}

static int
deliver_signal(const struct billet_call *call, struct billet_lease_handle *handle,
               const struct billet_signal *args, struct billet_error *error)
{
    uint64_t number = (uint64_t)args->number;
    (void)call;
    if (args->number == SIGWINCH || args->number == SIGCONT)
        return 0;
    if (write(handle->signal_fd, &number, sizeof(number)) < 0)
        return fake_fail(error, BILLET_CLASS_INTERNAL, "internal", "cannot tell the command: %s",
                         strerror(errno));
    return 0;
}

static int
dump(const struct billet_call *call, struct billet_error *error)
{
    int32_t answer = 0;
    if (fake_script_before(call, "dump", "/", &answer, error))
        return answer;
    host->fact(call, "runs", "nothing");
    return fake_script_after(call, "dump", "/", &answer, error) ? answer : 0;
}

/* The one key of the pretended host; what the file holds is what is known. */
static int
trust(const struct billet_call *call, const struct billet_trust *args, struct billet_error *error)
{
    static const char fingerprint[] = "SHA256:fakefakefakefakefakefakefakefakefakefakefak";
    char directory[4096];
    char path[4200];
    char known[sizeof(fingerprint)] = "";
    int32_t answer = 0;
    int outcome = open_directory(call, directory, error);
    if (outcome < 0)
        return outcome;
    if (fake_script_before(call, "trust", directory, &answer, error))
        return answer;
    snprintf(path, sizeof(path), "%s/known", directory);
    struct billet_host_key key = {.struct_size = sizeof(key),
                                  .host = "fake:22",
                                  .type = "fake",
                                  .fingerprint = fingerprint,
                                  .file = path,
                                  .state = BILLET_KEY_NEW};
    FILE *file = fopen(path, "re");
    if (file != NULL) {
        if (fgets(known, sizeof(known), file) != NULL)
            key.state = strcmp(known, fingerprint) == 0 ? BILLET_KEY_KNOWN : BILLET_KEY_CHANGED;
        fclose(file);
    }
    if ((args->flags & BILLET_TRUST_FORGET) != 0) {
        if (key.state == BILLET_KEY_NEW)
            return 0;
        key.fingerprint = known;
        key.state = BILLET_KEY_REMOVED;
        unlink(path);
    }
    for (const char *const *at = args->accept; *at != NULL; at++) {
        if (key.state == BILLET_KEY_KNOWN || strcmp(*at, fingerprint) != 0)
            continue;
        file = fopen(path, "we");
        if (file == NULL || fputs(fingerprint, file) < 0 || fclose(file) != 0)
            return fake_fail(error, BILLET_CLASS_UNAVAILABLE, "io_failed", "cannot write %s: %s",
                             path, strerror(errno));
        key.state = BILLET_KEY_ADDED;
        break;
    }
    host->host_key(call, &key);
    return fake_script_after(call, "trust", directory, &answer, error) ? answer : 0;
}

static const struct billet_driver table = {
    .struct_size = sizeof(table),
    .abi_major = BILLET_ABI_MAJOR,
    .abi_minor = BILLET_ABI_MINOR,
    .name = "fake",
    .version = "1.0",
    .text = "Pretended environments: a dry run that prints commands instead of running them.",
    .thread_model = BILLET_THREADS_SIGNAL,
    .option_size = sizeof(struct billet_option),
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .capabilities = BILLET_CAN_STREAM_STDIN | BILLET_CAN_BINARY | BILLET_CAN_SIGNAL |
                    BILLET_CAN_RESUME | BILLET_CAN_LABEL | BILLET_CAN_SHARE_FILES |
                    BILLET_CAN_TRUST,
    .workspace_modes = 1u << BILLET_WORKSPACE_NONE | 1u << BILLET_WORKSPACE_IN_PLACE |
                       1u << BILLET_WORKSPACE_BIND | 1u << BILLET_WORKSPACE_COPY,
    .check_config = check_config,
    .probe = probe,
    .acquire = acquire,
    .resume = resume,
    .release = release,
    .destroy = destroy,
    .list = list,
    .realize = realize,
    .exec = exec,
    .signal = deliver_signal,
    .dump = dump,
    .trust = trust,
};

BILLET_DRIVER("fake", "1.0", 1)
{
    (void)error;
    host = the_host;
    return &table;
}
