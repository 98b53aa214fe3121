/* SPDX-License-Identifier: Apache-2.0 */
/*
 * launch.c - runs a command through driver_sandbox.so alone, without the core:
 * loads the driver, hands it a host table of its own, and goes acquire, realize,
 * exec, release. For tests; "launch -h" lists what it can do.
 */
#include <billet/driver.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MAX 64

static const char *runtime_directory = "/tmp", *libexec_directory = ".";
static const char *settings[MAX];
static size_t setting_count;
static bool verbose;

static void
host_log(const struct billet_host *host, int32_t level, const char *message)
{
    (void)host;
    fprintf(stderr, "log %d: %s\n", level, message);
}

static const char *
host_directory(const struct billet_host *host, int32_t which)
{
    (void)host;
    return which == BILLET_DIRECTORY_LIBEXEC ? libexec_directory : runtime_directory;
}

static void
host_check(const struct billet_call *call, int32_t outcome, const char *name, const char *message,
           const char *hint)
{
    static const char *const names[] = {"?", "PASS", "WARN", "FAIL"};
    (void)call;
    printf("%s %s: %s%s%s\n", names[outcome], name, message, hint[0] != '\0' ? " | " : "", hint);
}

static void
host_resource(const struct billet_call *call, const struct billet_resource *resource)
{
    (void)call;
    printf("%s deployment=%s lease=%s fence=%llu generation=%llu age_ok=%d\n", resource->ref,
           resource->deployment, resource->lease, (unsigned long long)resource->fence,
           (unsigned long long)resource->generation, resource->age_ns >= 0);
}

static void
host_fact(const struct billet_call *call, const char *key, const char *value)
{
    (void)call;
    if (verbose)
        fprintf(stderr, "fact %s=%s\n", key, value);
}

static void
host_started(const struct billet_call *call, int64_t pid)
{
    (void)call;
    if (verbose)
        fprintf(stderr, "started %lld\n", (long long)pid);
}

static const struct billet_host host = {.struct_size = sizeof(host),
                                        .abi_major = BILLET_ABI_MAJOR,
                                        .abi_minor = BILLET_ABI_MINOR,
                                        .log = host_log,
                                        .directory = host_directory,
                                        .check = host_check,
                                        .resource = host_resource,
                                        .fact = host_fact,
                                        .started = host_started};

static int64_t
number_of(int type, const char *text)
{
    char *end = NULL;
    if (type == BILLET_OPTION_BOOLEAN)
        return strcmp(text, "yes") == 0;
    int64_t number = strtoll(text, &end, 10);
    if (strncmp(end, "KiB", 3) == 0)
        return number << 10;
    if (strncmp(end, "MiB", 3) == 0)
        return number << 20;
    if (strncmp(end, "GiB", 3) == 0)
        return number << 30;
    return number;
}

/* The configuration from the driver's defaults and -o NAME=VALUE. */
static void
fill_values(const struct billet_driver *driver, struct billet_value *values)
{
    static const char *lists[MAX][MAX];
    for (uint64_t i = 0; i < driver->option_count && i < MAX; i++) {
        const struct billet_option *option = &driver->options[i];
        size_t length = strlen(option->name), items = 0;
        values[i] = (struct billet_value){.name = option->name, .type = option->type};
        const char *text = option->default_value;
        for (size_t k = 0; k < setting_count; k++)
            if (strncmp(settings[k], option->name, length) == 0 && settings[k][length] == '=') {
                text = settings[k] + length + 1;
                if (items < MAX - 1)
                    lists[i][items++] = text;
            }
        values[i].list = option->type == BILLET_OPTION_LIST ? lists[i] : NULL;
        values[i].is_set = text != NULL;
        values[i].string = text;
        values[i].number = text != NULL ? number_of(option->type, text) : 0;
    }
}

static int
failed(const char *what, const struct billet_error *error)
{
    fprintf(stderr, "%s: class %d: %s (%s)%s%s\n", what, error->error_class, error->message,
            error->code, error->hint[0] != '\0' ? " | " : "", error->hint);
    return 125;
}

static int
status_of(const struct billet_exec_result *result)
{
    if (verbose)
        fprintf(stderr, "outcome %d value %d rss %llu cpu %lld\n", result->outcome, result->value,
                (unsigned long long)result->max_rss_bytes, (long long)result->cpu_ns);
    switch (result->outcome) {
    case BILLET_OUTCOME_EXITED:
        return result->value;
    case BILLET_OUTCOME_SIGNALLED:
        return 128 + result->value;
    case BILLET_OUTCOME_TIMED_OUT:
        return 124;
    case BILLET_OUTCOME_CANCELLED:
        return 123;
    case BILLET_OUTCOME_NOT_FOUND:
        return 127;
    default:
        return 126;
    }
}

struct later {
    const struct billet_driver *driver;
    struct billet_call *call;
    struct billet_lease_handle *handle;
    int signal_number;
    int after_ms;
    int cancel_fd;
};

static void *
do_later(void *argument)
{
    struct later *later = argument;
    struct billet_signal signal = {
        .struct_size = sizeof(signal), .number = later->signal_number, .rows = 50, .columns = 132};
    struct billet_error error = BILLET_ERROR_INIT;
    usleep((unsigned)later->after_ms * 1000u);
    if (later->cancel_fd >= 0)
        close(later->cancel_fd);
    else if (later->driver->signal(later->call, later->handle, &signal, &error) < 0)
        failed("signal", &error);
    return NULL;
}

static int
count_fds(void)
{
    int count = 0;
    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static double
milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static int
usage(void)
{
    fputs(
        "usage: launch -d DRIVER -r RUNTIME -l LIBEXEC [-o NAME=VALUE]... [-i LEASE] [-w WORK]\n"
        "              [-e NAME=VALUE]... [-C DIR] [-t TIMEOUT_MS] [-g KILL_AFTER_MS] [-n COUNT]\n"
        "              [-s SIGNAL:AFTER_MS] [-c CANCEL_AFTER_MS] [-T] [-K] [-R] [-D] [-v] -- "
        "CMD...\n"
        "       launch ... probe | list | destroy\n"
        "  -T terminal  -K keep the lease  -R resume it  -D leak a descriptor of /\n",
        stderr);
    return 125;
}

int
main(int argc, char **argv)
{
    const char *driver_path = "driver_sandbox.so", *work = NULL, *directory = "";
    char own_id[32];
    const char *lease_id = own_id;
    const char *environment[MAX + 1] = {NULL};
    size_t environment_count = 0;
    long timeout_ms = 0, grace_ms = 0, count = 1;
    int signal_number = 0, signal_after = 0, cancel_after = -1, option;
    bool terminal = false, keep = false, resume = false;

    snprintf(own_id, sizeof(own_id), "test-%d", (int)getpid());
    while ((option = getopt(argc, argv, "+d:r:l:o:i:w:e:C:t:g:n:s:c:TKRDvh")) != -1) {
        switch (option) {
        case 'd':
            driver_path = optarg;
            break;
        case 'r':
            runtime_directory = optarg;
            break;
        case 'l':
            libexec_directory = optarg;
            break;
        case 'o':
            if (setting_count < MAX)
                settings[setting_count++] = optarg;
            break;
        case 'i':
            lease_id = optarg;
            break;
        case 'w':
            work = optarg;
            break;
        case 'e':
            if (environment_count < MAX)
                environment[environment_count++] = optarg;
            break;
        case 'C':
            directory = optarg;
            break;
        case 't':
            timeout_ms = atol(optarg);
            break;
        case 'g':
            grace_ms = atol(optarg);
            break;
        case 'n':
            count = atol(optarg);
            break;
        case 's':
            sscanf(optarg, "%d:%d", &signal_number, &signal_after);
            break;
        case 'c':
            cancel_after = atoi(optarg);
            break;
        case 'T':
            terminal = true;
            break;
        case 'K':
            keep = true;
            break;
        case 'R':
            resume = true;
            break;
        case 'D':
            /* A number that no placing of descriptors overwrites, whatever the caller left open. */
            if (fcntl(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), F_DUPFD, 40) < 0)
                return 125;
            break;
        case 'v':
            verbose = true;
            break;
        default:
            return usage();
        }
    }
    if (optind >= argc)
        return usage();

    void *handle = dlopen(driver_path, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return 125;
    }
    billet_driver_init_function *init;
    *(void **)&init = dlsym(handle, "billet_driver_init");
    struct billet_error error = BILLET_ERROR_INIT;
    const struct billet_driver *driver = init != NULL ? init(&host, &error) : NULL;
    if (driver == NULL)
        return failed("init", &error);

    static struct billet_value values[MAX];
    fill_values(driver, values);
    struct billet_config config = {
        .struct_size = sizeof(config), .values = values, .count = driver->option_count};
    struct billet_identity identity = {.struct_size = sizeof(identity),
                                       .deployment = "test",
                                       .tenant = "default",
                                       .environment = "test",
                                       .lease = lease_id,
                                       .run = "",
                                       .agent = "",
                                       .issue = "",
                                       .fence = 7,
                                       .generation = 2};
    struct billet_call call = {
        .struct_size = sizeof(call), .cancel_fd = -1, .identity = &identity, .config = &config};
    if (driver->check_config(&call, &error) < 0)
        return failed("check_config", &error);
    if (strcmp(argv[optind], "probe") == 0)
        return driver->probe(&call, &error) < 0 ? failed("probe", &error) : 0;
    if (strcmp(argv[optind], "list") == 0)
        return driver->list(&call, &error) < 0 ? failed("list", &error) : 0;
    if (strcmp(argv[optind], "destroy") == 0) {
        struct billet_destroy args = {.struct_size = sizeof(args), .ref = ""};
        return driver->destroy(&call, &args, &error) < 0 ? failed("destroy", &error) : 0;
    }

    struct billet_acquired acquired = {.struct_size = sizeof(acquired)};
    if (resume) {
        char ref[BILLET_REF_MAX];
        snprintf(ref, sizeof(ref), "sandbox:%s", lease_id);
        struct billet_resume args = {.struct_size = sizeof(args), .ref = ref};
        if (driver->resume(&call, &args, &acquired, &error) < 0)
            return failed("resume", &error);
    } else {
        struct billet_acquire args = {.struct_size = sizeof(args)};
        if (driver->acquire(&call, &args, &acquired, &error) < 0)
            return failed("acquire", &error);
    }
    int status = 125;
    int root_fd = work != NULL ? open(work, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    struct billet_realize realize = {.struct_size = sizeof(realize),
                                     .mode = work != NULL ? BILLET_WORKSPACE_BIND
                                                          : BILLET_WORKSPACE_NONE,
                                     .root_fd = root_fd,
                                     .path = work != NULL ? work : ""};
    static struct billet_realized realized = {.struct_size = sizeof(realized)};
    if (driver->realize(&call, acquired.handle, &realize, &realized, &error) < 0) {
        failed("realize", &error);
        goto end;
    }
    int before = 0;
    for (long i = 0; i < count; i++) {
        struct billet_exec exec = {.struct_size = sizeof(exec),
                                   .flags = terminal ? BILLET_EXEC_PTY : 0,
                                   .argv = (const char *const *)argv + optind,
                                   .environment = environment,
                                   .directory = directory,
                                   .stdin_fd = 0,
                                   .stdout_fd = 1,
                                   .stderr_fd = 2,
                                   .rows = 24,
                                   .columns = 80,
                                   .timeout_ns = timeout_ms * 1000000,
                                   .kill_after_ns = grace_ms * 1000000};
        struct billet_exec_result result = {.struct_size = sizeof(result)};
        struct later later = {.driver = driver,
                              .call = &call,
                              .handle = acquired.handle,
                              .signal_number = signal_number,
                              .after_ms = signal_after,
                              .cancel_fd = -1};
        pthread_t thread;
        int ends[2] = {-1, -1};
        if (cancel_after >= 0 && pipe2(ends, O_CLOEXEC) == 0) {
            call.cancel_fd = ends[0];
            later.cancel_fd = ends[1];
            later.after_ms = cancel_after;
        }
        bool threaded = (signal_number > 0 || cancel_after >= 0) &&
                        pthread_create(&thread, NULL, do_later, &later) == 0;
        double start = milliseconds();
        int32_t done = driver->exec(&call, acquired.handle, &exec, &result, &error);
        if (verbose)
            fprintf(stderr, "took %.2f ms\n", milliseconds() - start);
        if (threaded)
            pthread_join(thread, NULL);
        status = done < 0 ? failed("exec", &error) : status_of(&result);
        if (i == 0)
            before = count_fds();
        else if (count_fds() != before) {
            fprintf(stderr, "descriptors: %d, then %d\n", before, count_fds());
            status = 125;
            break;
        }
        if (done < 0)
            break;
    }
end:
    if (driver->release(&call, acquired.handle, keep ? BILLET_DISPOSE_KEEP : BILLET_DISPOSE_DESTROY,
                        &error) < 0)
        status = failed("release", &error);
    return status;
}
