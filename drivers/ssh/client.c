/* SPDX-License-Identifier: Apache-2.0 */
#include "client.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../common/cleanup.h"
#include "../common/fail.h"
#include "../common/launch.h"
#include "quote.h"

#define DEFAULT_PATH "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
/* The client binds the socket under its name and 17 characters more; sun_path has 108. */
#define SOCKET_NAME_MAX 88
#define ARGUMENTS_MAX 96
#define AGENT_NS (10 * BILLET_NS_PER_SECOND)

/* ---- the private directory ------------------------------------------------------------ */

static bool
try_place(struct ssh_place *place, const char *base)
{
    static atomic_uint counter;
    char name[SOCKET_NAME_MAX - 2];
    int size = snprintf(name, sizeof(name), "%.160s/c%ld-%u", base, (long)getpid(),
                        atomic_fetch_add(&counter, 1));
    if (size >= (int)sizeof(name) || !ssh_path_is_safe(name) || mkdir(name, 0700) < 0)
        return false;
    snprintf(place->directory, sizeof(place->directory), "%s", name);
    return true;
}

/* What processes left that were killed. */
static void
sweep_places(const char *base)
{
    cleanup_dir DIR *directory = opendir(base);
    if (directory == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        char *end;
        long pid = entry->d_name[0] == 'c' ? strtol(entry->d_name + 1, &end, 10) : 0;
        if (pid <= 1 || *end != '-' || kill((pid_t)pid, 0) == 0 || errno != ESRCH)
            continue;
        struct ssh_place old = {.directory = ""};
        snprintf(old.directory, sizeof(old.directory), "%.60s/%.30s", base, entry->d_name);
        if (strlen(base) <= 60)
            ssh_place_remove(&old);
    }
}

int
ssh_place_make(struct ssh_place *place, struct billet_error *error)
{
    char base[128];
    const char *runtime = ssh_host->directory(ssh_host, BILLET_DIRECTORY_RUNTIME);
    *place = (struct ssh_place){.directory = ""};
    bool made = false;
    if (runtime != NULL && strlen(runtime) < 70) {
        snprintf(base, sizeof(base), "%.70s/ssh", runtime);
        mkdir(base, 0700);
        sweep_places(base);
        made = try_place(place, base);
    }
    if (!made) {
        /* A long runtime directory cannot hold a socket. */
        snprintf(place->directory, sizeof(place->directory), "/tmp/billet-ssh-XXXXXX");
        if (mkdtemp(place->directory) == NULL) {
            place->directory[0] = '\0';
            billet_fail_errno(error, 0, "io_failed", errno,
                              "cannot make a private directory in /tmp for the connection");
            return billet_fail_hint(error, "set XDG_RUNTIME_DIR to a short path of this user");
        }
    }
    snprintf(place->control, sizeof(place->control), "%s/c", place->directory);
    return 0;
}

void
ssh_place_remove(struct ssh_place *place)
{
    static const char *const names[] = {"c", "a", "k"};
    char path[128];
    if (place->directory[0] == '\0')
        return;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", place->directory, names[i]);
        unlink(path);
    }
    rmdir(place->directory);
    place->directory[0] = '\0';
}

/* ---- arguments -------------------------------------------------------------------------- */

struct arguments {
    char *items[ARGUMENTS_MAX];
    size_t count;
    bool failed;
};

static void
free_arguments(struct arguments *arguments)
{
    for (size_t i = 0; i < arguments->count; i++)
        free(arguments->items[i]);
}

static void put(struct arguments *arguments, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void
put(struct arguments *arguments, const char *format, ...)
{
    va_list list;
    char *item = NULL;
    va_start(list, format);
    if (vasprintf(&item, format, list) < 0)
        item = NULL;
    va_end(list);
    if (item == NULL || arguments->count + 1 >= ARGUMENTS_MAX) {
        free(item);
        arguments->failed = true;
        return;
    }
    arguments->items[arguments->count++] = item;
}

static int
seconds(int64_t ns)
{
    int64_t whole = (ns + BILLET_NS_PER_SECOND - 1) / BILLET_NS_PER_SECOND;
    return whole < 1 ? 1 : whole > 86400 ? 86400 : (int)whole;
}

/* Set, so that neither the built-in defaults nor an ssh_config can open a way back to this machine
 * or ask anybody anything. */
static const char *const fixed[] = {
    "-a",
    "-x",
    "-oBatchMode=yes",
    "-oForwardAgent=no",
    "-oForwardX11=no",
    "-oForwardX11Trusted=no",
    "-oTunnel=no",
    "-oPermitLocalCommand=no",
    "-oUpdateHostKeys=no",
    "-oVerifyHostKeyDNS=no",
    "-oCheckHostIP=no",
    "-oNumberOfPasswordPrompts=0",
    "-oPasswordAuthentication=no",
    "-oKbdInteractiveAuthentication=no",
    "-oAddKeysToAgent=no",
    "-oEscapeChar=none",
    "-oControlPersist=no",
    "-oConnectionAttempts=1",
    "-oHashKnownHosts=no",
    "-oLogLevel=ERROR",
    "-oRemoteCommand=none",
};

static void
put_host_key(struct arguments *arguments, const struct ssh_settings *settings)
{
    put(arguments, "-oGlobalKnownHostsFile=/dev/null");
    if (settings->check != SSH_KEY_PINNED) {
        put(arguments, "-oUserKnownHostsFile=\"%s\"", settings->known_hosts);
        put(arguments, "-oStrictHostKeyChecking=%s",
            settings->check == SSH_KEY_ACCEPT_NEW ? "accept-new" : "yes");
        return;
    }
    /* The client asks this for the keys it may take: the one that it was shown, when its
     * fingerprint is pinned. %f %H %t %K are computed by the client; none can leave the quotes. */
    struct ssh_text script = {0};
    ssh_text_add(&script, "case %f in ");
    for (size_t i = 0; settings->pins[i] != NULL; i++)
        ssh_text_format(&script, "%s%s", i > 0 ? "|" : "", settings->pins[i]);
    ssh_text_add(&script, ") echo %H %t %K;; esac");
    put(arguments, "-oUserKnownHostsFile=none");
    put(arguments, "-oStrictHostKeyChecking=yes");
    put(arguments, "-oKnownHostsCommand=/bin/sh -c \"%s\"",
        script.bytes != NULL ? script.bytes : "");
    if (script.failed)
        arguments->failed = true;
    ssh_text_free(&script);
}

static void
put_keys(struct arguments *arguments, const struct ssh_settings *settings,
         const struct ssh_place *place)
{
    if (place->agent[0] != '\0') {
        /* It holds the one key of this lease. */
        put(arguments, "-oIdentityAgent=\"%s\"", place->agent);
        put(arguments, "-oIdentityFile=none");
        put(arguments, "-oIdentitiesOnly=no");
    } else if (settings->identity_file != NULL) {
        put(arguments, "-oIdentityAgent=none");
        put(arguments, "-oIdentityFile=\"%s\"", settings->identity_file);
        put(arguments, "-oIdentitiesOnly=yes");
    } else if (settings->use_agent) {
        put(arguments, "-oIdentityAgent=SSH_AUTH_SOCK");
        put(arguments, "-oIdentityFile=none");
        put(arguments, "-oIdentitiesOnly=no");
    } else if (settings->ssh_config == NULL) {
        /* The client's own default files. */
        put(arguments, "-oIdentityAgent=none");
        put(arguments, "-oIdentitiesOnly=yes");
    }
}

static void
put_common(struct arguments *arguments, const struct ssh_settings *settings,
           const struct ssh_place *place, bool hop)
{
    put(arguments, "ssh");
    put(arguments, "-F%s", settings->ssh_config != NULL ? settings->ssh_config : "/dev/null");
    for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
        put(arguments, "%s", fixed[i]);
    put(arguments, "-oConnectTimeout=%d", seconds(settings->connect_timeout_ns));
    put(arguments, "-oServerAliveInterval=%d", seconds(settings->keepalive_ns));
    put(arguments, "-oServerAliveCountMax=%d", settings->keepalive_count);
    put_keys(arguments, settings, place);
    if (!hop) {
        put_host_key(arguments, settings);
        return;
    }
    /* A pin is the last host's: the hops are proved by the file. */
    struct ssh_settings by_file = *settings;
    if (by_file.check == SSH_KEY_PINNED)
        by_file.check = SSH_KEY_STRICT;
    put_host_key(arguments, &by_file);
    put(arguments, "-oControlPath=none");
    put(arguments, "-oControlMaster=no");
}

struct hop {
    char text[256];
    const char *user; /* NULL: as the client decides */
    const char *name;
    const char *port;
};

/* "[user@]host[:port]", which was checked. */
static void
read_hop(const char *text, struct hop *hop)
{
    snprintf(hop->text, sizeof(hop->text), "%s", text);
    char *colon = strrchr(hop->text, ':');
    char *at = strchr(hop->text, '@');
    if (colon != NULL)
        *colon = '\0';
    if (at != NULL)
        *at = '\0';
    hop->port = colon != NULL ? colon + 1 : "22";
    hop->user = at != NULL ? hop->text : NULL;
    hop->name = at != NULL ? at + 1 : hop->text;
}

/* A ProxyCommand for the way over jumps[0..last] to target; the client gives it to $SHELL -c, and
 * expands "%" in it, at each level once more. It puts exec before it. */
static bool
put_proxy(struct arguments *arguments, const struct ssh_settings *settings,
          const struct ssh_place *place, int last, const char *target)
{
    struct arguments inner = {0};
    struct ssh_text command = {0};
    struct hop hop;
    char here[300];
    read_hop(settings->jumps[last], &hop);
    snprintf(here, sizeof(here), "%s:%s", hop.name, hop.port);
    put_common(&inner, settings, place, true);
    put(&inner, "-W%s", target);
    put(&inner, "-p%s", hop.port);
    if (hop.user != NULL)
        put(&inner, "-l%s", hop.user);
    if (last > 0 && !put_proxy(&inner, settings, place, last - 1, here))
        inner.failed = true;
    put(&inner, "--");
    put(&inner, "%s", hop.name);
    for (size_t i = 0; i < inner.count; i++) {
        if (i > 0)
            ssh_text_add(&command, " ");
        ssh_text_quote(&command, inner.items[i]);
    }
    bool good = !inner.failed && !command.failed && command.bytes != NULL;
    if (good) {
        struct ssh_text doubled = {0};
        for (const char *at = command.bytes; *at != '\0'; at++)
            ssh_text_bytes(&doubled, *at == '%' ? "%%" : at, *at == '%' ? 2 : 1);
        good = !doubled.failed;
        put(arguments, "-oProxyCommand=%s", doubled.bytes != NULL ? doubled.bytes : "");
        ssh_text_free(&doubled);
    }
    free_arguments(&inner);
    ssh_text_free(&command);
    return good && !arguments->failed;
}

static void
put_way(struct arguments *arguments, const struct ssh_client *client)
{
    const struct ssh_settings *settings = client->settings;
    int jumps = ssh_settings_jumps(settings);
    put(arguments, "-oControlPath=\"%s\"", client->place->control);
    if (client->shared) {
        put(arguments, "-oControlMaster=no");
        /* Were the connection gone, the client would make one of its own. */
        put(arguments, "-oProxyCommand=false");
    } else {
        put(arguments, "-oControlMaster=yes");
        put(arguments, "-oClearAllForwardings=yes");
        char target[300];
        ssh_settings_address(settings, target, sizeof(target));
        if (jumps > 0 && !put_proxy(arguments, settings, client->place, jumps - 1, target))
            arguments->failed = true;
    }
    put(arguments, client->terminal_fd >= 0 ? "-tt" : "-T");
}

/* ---- children ----------------------------------------------------------------------------- */

#define ENVIRONMENT_MAX 12

/* The client's environment: where it finds keys and itself, and no more. */
static void
fill_environment(struct arguments *environment, const char *term, const char *agent)
{
    static const char *const passed[] = {"HOME", "USER", "LOGNAME", "LANG", "TZ"};
    for (size_t i = 0; i < sizeof(passed) / sizeof(passed[0]); i++) {
        const char *value = getenv(passed[i]);
        if (value != NULL)
            put(environment, "%s=%s", passed[i], value);
    }
    const char *path = getenv("PATH");
    put(environment, "PATH=%s", path != NULL ? path : DEFAULT_PATH);
    put(environment, "LC_ALL=C");
    put(environment, "SHELL=/bin/sh");
    put(environment, "SSH_ASKPASS_REQUIRE=never");
    if (term != NULL)
        put(environment, "TERM=%s", term);
    if (agent != NULL)
        put(environment, "SSH_AUTH_SOCK=%s", agent);
}

static int
launch(const char *const *argv, const char *term, const char *agent, const int *fds,
       int terminal_fd, bool bound, pid_t *pid, int *pidfd, enum billet_launch_step *step)
{
    struct arguments environment = {0};
    fill_environment(&environment, term, agent);
    const char *path = getenv("PATH");
    struct billet_launch request = {
        .argv = argv,
        .environment = (const char *const *)environment.items,
        .search = path != NULL ? path : DEFAULT_PATH,
        .directory_fd = -1,
        .directory = "/",
        .fds = fds,
        .fd_count = 3,
        .terminal_fd = terminal_fd,
        .cgroup_fd = -1,
        /* A helper that this very call waits for; a connection ends by the end of its input. */
        .death_signal = bound ? SIGKILL : 0,
    };
    int failure = environment.failed ? ENOMEM : billet_launch_start(&request, pid, pidfd, step);
    free_arguments(&environment);
    return failure;
}

int
ssh_client_start(const struct ssh_client *client, pid_t *pid, int *pidfd,
                 struct billet_error *error)
{
    struct arguments arguments = {0};
    enum billet_launch_step step = BILLET_LAUNCH_PROCESS;
    const struct ssh_settings *settings = client->settings;
    put_common(&arguments, settings, client->place, false);
    put_way(&arguments, client);
    put(&arguments, "-p%d", settings->port);
    if (settings->user != NULL)
        put(&arguments, "-l%s", settings->user);
    put(&arguments, "--");
    put(&arguments, "%s", settings->host);
    put(&arguments, "%s", client->command);
    int failure = ENOMEM;
    if (!arguments.failed)
        failure = launch((const char *const *)arguments.items, client->term,
                         settings->use_agent ? getenv("SSH_AUTH_SOCK") : NULL, client->fds,
                         client->terminal_fd, false, pid, pidfd, &step);
    free_arguments(&arguments);
    if (failure == 0)
        return 0;
    if (step == BILLET_LAUNCH_EXEC) {
        billet_fail_errno(error, BILLET_CLASS_UNAVAILABLE, "ssh_client_missing", failure,
                          "cannot execute ssh, the OpenSSH client");
        return billet_fail_hint(error, "install it (Debian openssh-client, Fedora openssh-clients, "
                                       "Alpine openssh-client)");
    }
    return billet_fail_errno(error, 0, "spawn_failed", failure, "cannot %s for ssh",
                             billet_launch_step_text(step));
}

void
ssh_child_end(pid_t *pid, int *pidfd)
{
    if (*pid > 0) {
        kill(*pid, SIGKILL);
        while (waitpid(*pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    *pid = 0;
    billet_close_fd(pidfd);
}

/* Until deadline_ns, or until cancel_fd (-1: never) is readable. */
static int
run_program(const char *const *argv, const char *agent_socket, int input_fd, int64_t deadline_ns,
            int cancel_fd, char *said, size_t size)
{
    int ends[2];
    pid_t pid = 0;
    cleanup_fd int pidfd = -1;
    enum billet_launch_step step;
    size_t length = 0;
    int status = -1;
    said[0] = '\0';
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    int fds[3] = {input_fd, ends[1], ends[1]};
    int failure = launch(argv, NULL, agent_socket, fds, -1, true, &pid, &pidfd, &step);
    close(ends[1]);
    while (failure == 0) {
        struct pollfd from[2] = {{.fd = ends[0], .events = POLLIN},
                                 {.fd = cancel_fd, .events = POLLIN}};
        int64_t left = (deadline_ns - billet_monotonic_ns()) / 1000000;
        char rest[512];
        if (left <= 0 || poll(from, 2, (int)left) <= 0 || from[1].revents != 0) {
            kill(pid, SIGKILL);
            break;
        }
        ssize_t got = read(ends[0], rest, sizeof(rest));
        if (got <= 0)
            break;
        size_t kept = (size_t)got < size - 1 - length ? (size_t)got : size - 1 - length;
        memcpy(said + length, rest, kept);
        length += kept;
        said[length] = '\0';
    }
    close(ends[0]);
    if (failure != 0)
        return -failure;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int
ssh_program_run(const char *const *argv, const char *agent_socket, int input_fd, char *said,
                size_t size)
{
    return run_program(argv, agent_socket, input_fd, billet_monotonic_ns() + AGENT_NS, -1, said,
                       size);
}

int
ssh_client_look(const struct billet_call *call, const struct ssh_settings *settings,
                const struct ssh_place *place, const struct ssh_look *look, char *said, size_t size)
{
    struct arguments arguments = {0};
    struct hop hop;
    struct ssh_settings kept = *settings;
    bool is_host = look->hop == ssh_settings_jumps(settings);
    snprintf(kept.known_hosts, sizeof(kept.known_hosts), "%s", look->file);
    kept.check = SSH_KEY_ACCEPT_NEW;
    put_common(&arguments, &kept, place, true);
    put(&arguments, "-oPreferredAuthentications=none");
    put(&arguments, "-oPubkeyAuthentication=no");
    if (look->types[0] != '\0')
        put(&arguments, "-oHostKeyAlgorithms=^%s", look->types);
    put(&arguments, "-T");
    if (!is_host)
        read_hop(settings->jumps[look->hop], &hop);
    char target[300];
    if (is_host)
        ssh_settings_address(settings, target, sizeof(target));
    else
        snprintf(target, sizeof(target), "%s:%s", hop.name, hop.port);
    /* The way there is a known one already. */
    if (look->hop > 0 && !put_proxy(&arguments, settings, place, look->hop - 1, target))
        arguments.failed = true;
    const char *user = is_host ? settings->user : hop.user;
    if (is_host)
        put(&arguments, "-p%d", settings->port);
    else
        put(&arguments, "-p%s", hop.port);
    if (user != NULL)
        put(&arguments, "-l%s", user);
    put(&arguments, "--");
    put(&arguments, "%s", is_host ? settings->host : hop.name);
    put(&arguments, ":");
    int64_t deadline =
        billet_monotonic_ns() + settings->connect_timeout_ns * (look->hop + 1) + AGENT_NS;
    if (call->deadline_ns > 0 && call->deadline_ns < deadline)
        deadline = call->deadline_ns;
    int status = arguments.failed
                     ? -ENOMEM
                     : run_program((const char *const *)arguments.items,
                                   settings->use_agent ? getenv("SSH_AUTH_SOCK") : NULL, -1,
                                   deadline, call->cancel_fd, said, size);
    free_arguments(&arguments);
    return status;
}

/* ---- the agent of a lease ---------------------------------------------------------------------
 */

/* The key in memory that no file name leads to. */
static int
key_descriptor(const char *key)
{
    size_t length = strlen(key);
    int fd = memfd_create("identity", MFD_CLOEXEC);
    if (fd < 0)
        return -1;
    bool ended = length > 0 && key[length - 1] == '\n';
    if (write(fd, key, length) != (ssize_t)length || (!ended && write(fd, "\n", 1) != 1) ||
        lseek(fd, 0, SEEK_SET) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

int
ssh_agent_start(const struct ssh_settings *settings, struct ssh_place *place, pid_t *pid,
                int *pidfd, struct billet_error *error)
{
    const char *add[] = {"ssh-add", "-q", "-", NULL};
    char said[512];
    int fds[3] = {-1, -1, -1};
    enum billet_launch_step step;
    snprintf(place->agent, sizeof(place->agent), "%s/a", place->directory);
    const char *agent[] = {"ssh-agent", "-D", "-a", place->agent, NULL};
    int failure = launch(agent, NULL, NULL, fds, -1, true, pid, pidfd, &step);
    if (failure != 0) {
        place->agent[0] = '\0';
        billet_fail_errno(error, BILLET_CLASS_UNAVAILABLE, "ssh_client_missing", failure,
                          "cannot start ssh-agent");
        return billet_fail_hint(error, "install the whole OpenSSH client, or use identity_file");
    }
    int64_t deadline = billet_monotonic_ns() + AGENT_NS;
    while (access(place->agent, F_OK) != 0 && billet_monotonic_ns() < deadline)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    cleanup_fd int key = key_descriptor(settings->identity);
    int status = key >= 0 ? ssh_program_run(add, place->agent, key, said, sizeof(said)) : -errno;
    if (status == 0)
        return 0;
    ssh_child_end(pid, pidfd);
    place->agent[0] = '\0';
    billet_fail(error, BILLET_CLASS_CONFIG, "ssh_identity_unusable",
                "the key of the option identity cannot be used: ssh-add says %.200s",
                said[0] != '\0' ? said : "nothing");
    return billet_fail_hint(error,
                            "store an OpenSSH private key without passphrase, whole, with its "
                            "BEGIN and END lines");
}

/* ---- what the client says
 * ------------------------------------------------------------------------ */

struct meaning {
    const char *text;
    int error_class;
    const char *code;
    const char *message; /* with the target */
    const char *hint;    /* with the environment */
};

static const struct meaning meanings[] = {
    {"REMOTE HOST IDENTIFICATION HAS CHANGED", BILLET_CLASS_AUTH, "ssh_host_key_changed",
     "the host key of %s is another one than before; nothing was sent",
     "if the host was really set up anew, 'billet env trust %s' takes its new key instead"},
    {"Host key verification failed", BILLET_CLASS_AUTH, "ssh_host_key_unknown",
     "the host key of %s is not known; nothing was sent",
     "'billet env trust %s' shows its fingerprint and keeps it; or set host_key"},
    {"host key is known for", BILLET_CLASS_AUTH, "ssh_host_key_unknown",
     "the host key of %s is not known; nothing was sent",
     "'billet env trust %s' shows its fingerprint and keeps it; or set host_key"},
    {"Permission denied", BILLET_CLASS_AUTH, "ssh_refused", "%s does not take our key",
     "check user, identity and authorized_keys there"},
    {"Too many authentication failures", BILLET_CLASS_AUTH, "ssh_refused",
     "%s does not take any of the agent's keys", "name the one key with identity_file"},
    {"bad permissions", BILLET_CLASS_AUTH, "ssh_refused",
     "the key for %s may be read by others and is not used", "chmod 600 the file of identity_file"},
    {"Could not resolve", BILLET_CLASS_UNAVAILABLE, "ssh_unreachable",
     "the name of %s cannot be resolved", "check host and jump, and the name service"},
    {"Connection refused", BILLET_CLASS_UNAVAILABLE, "ssh_unreachable", "%s refuses connections",
     "check host and port, and whether sshd runs there"},
    {"timed out", BILLET_CLASS_UNAVAILABLE, "ssh_unreachable", "%s does not answer",
     "check the network and connect_timeout"},
    {"No route to host", BILLET_CLASS_UNAVAILABLE, "ssh_unreachable", "there is no route to %s",
     "check the network"},
    {"Network is unreachable", BILLET_CLASS_UNAVAILABLE, "ssh_unreachable",
     "the network of %s cannot be reached", "check the network"},
    {"Bad configuration option", BILLET_CLASS_UNAVAILABLE, "ssh_client_missing",
     "this OpenSSH client is too old to connect to %s", "install OpenSSH 8.5 or later"},
    {"closed by", BILLET_CLASS_UNAVAILABLE, "ssh_unreachable", "%s closed the connection",
     "look at sshd's log there; MaxStartups or MaxSessions may be reached"},
};

int
ssh_client_explain(const struct ssh_settings *settings, const char *said,
                   struct billet_error *error)
{
    char target[400];
    ssh_settings_target(settings, target, sizeof(target));
    for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++) {
        if (strstr(said, meanings[i].text) == NULL)
            continue;
        char message[512];
        char hint[SSH_PATH_MAX];
/* Formats of the table above, each with one %s at most. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(message, sizeof(message), meanings[i].message, target);
        snprintf(hint, sizeof(hint), meanings[i].hint, settings->environment);
#pragma GCC diagnostic pop
        billet_fail(error, meanings[i].error_class, meanings[i].code, "%s", message);
        return billet_fail_hint(error, "%.500s", hint);
    }
    /* The client's last words, without its line ends. */
    size_t length = strlen(said);
    while (length > 0 && (said[length - 1] == '\n' || said[length - 1] == '\r'))
        length--;
    size_t start = length;
    while (start > 0 && said[start - 1] != '\n' && length - start < 300)
        start--;
    billet_fail(error, BILLET_CLASS_UNAVAILABLE, "ssh_unreachable",
                "the connection to %s did not come about: %.*s", target,
                length > start ? (int)(length - start) : 25,
                length > start ? said + start : "ssh ended without a word");
    return billet_fail_hint(error, "billet env probe; the same by hand: ssh -v to that host");
}
