/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../common/cleanup.h"
#include "../common/fail.h"

/* What a host may say before the keeper begins: banners and noisy profiles, not more. */
#define NOISE_MAX (256u * 1024)
#define SAID_MAX 8192
#define LINE_MAX_BYTES 8192
/* After the connection is made, for the login shell to get to our program. */
#define SHELL_NS (30 * BILLET_NS_PER_SECOND)
#define REQUEST_NS (30 * BILLET_NS_PER_SECOND)
#define CLOSE_NS (2 * BILLET_NS_PER_SECOND)
#define WATCH_STACK (128 * 1024)

/*
 * Understood alike by sh, bash, dash, ksh, zsh, fish and csh: no quote within the quotes, no
 * exclamation mark, no newline, and no backslash before a backslash or a quote.
 */
#define BOOTSTRAP                                                         \
    "exec /bin/sh -c 'IFS= read -r billet_text;"                          \
    " billet_text=$(printf %%s \"$billet_text\" | tr \"\\001\" \"\\n\");" \
    " eval \"$billet_text\"' billet keeper %s %s"

struct ssh_keeper {
    pid_t pid;
    int pidfd;
    int to;   /* the keeper's standard input */
    int from; /* its standard output */
    int said_fd;
    int stop_fd;
    struct ssh_place place;
    char nonce[33];
    char connection[SSH_CONNECTION_MAX];
    char home[1024];
    char uid[16];
    char machine[33];
    int64_t beat_ns;
    int beat_ttl;
    size_t noise;
    pthread_t thread;
    bool watched;
    atomic_bool lost;
    pthread_mutex_t asking;  /* one request at a time, with its answer */
    pthread_mutex_t writing; /* lines are whole */
    pthread_mutex_t saying;  /* guards said */
    char said[SAID_MAX];
    size_t said_length;
    unsigned number;
    char line[LINE_MAX_BYTES]; /* of the answer that is being read */
    size_t line_length;
    size_t line_end; /* of the first whole line, with its newline; 0: none */
};

bool
ssh_nonce(char nonce[33])
{
    unsigned char random[16];
    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return false;
    for (size_t i = 0; i < sizeof(random); i++)
        snprintf(nonce + 2 * i, 3, "%02x", random[i]);
    return true;
}

/* ---- standard error, beats ------------------------------------------------------------- */

/* Keeps the first half and the last half of what comes. */
static bool
take_said(struct ssh_keeper *keeper)
{
    char bytes[2048];
    ssize_t got = read(keeper->said_fd, bytes, sizeof(bytes));
    if (got <= 0)
        return got < 0 && (errno == EAGAIN || errno == EINTR);
    pthread_mutex_lock(&keeper->saying);
    size_t length = (size_t)got;
    if (keeper->said_length + length >= SAID_MAX) {
        size_t from = SAID_MAX / 2;
        size_t drop = keeper->said_length + length - SAID_MAX + 1;
        if (drop > keeper->said_length - from)
            drop = keeper->said_length > from ? keeper->said_length - from : 0;
        memmove(keeper->said + from, keeper->said + from + drop, keeper->said_length - from - drop);
        keeper->said_length -= drop;
    }
    memcpy(keeper->said + keeper->said_length, bytes, length);
    keeper->said_length += length;
    pthread_mutex_unlock(&keeper->saying);
    return true;
}

void
ssh_keeper_said(struct ssh_keeper *keeper, char *said, size_t size)
{
    pthread_mutex_lock(&keeper->saying);
    size_t length = keeper->said_length < size - 1 ? keeper->said_length : size - 1;
    memcpy(said, keeper->said + keeper->said_length - length, length);
    pthread_mutex_unlock(&keeper->saying);
    said[length] = '\0';
    for (size_t i = 0; i < length; i++)
        if (said[i] == '\0')
            said[i] = ' ';
}

/* Write all of it before the deadline: 0 or -errno. The pipe is non-blocking. */
static int
write_line(struct ssh_keeper *keeper, const char *line, size_t length, int64_t deadline_ns)
{
    int result = 0;
    pthread_mutex_lock(&keeper->writing);
    while (length > 0 && result == 0) {
        ssize_t put = write(keeper->to, line, length);
        if (put > 0) {
            line += put;
            length -= (size_t)put;
            continue;
        }
        if (put < 0 && errno != EAGAIN && errno != EINTR) {
            result = -errno;
            break;
        }
        int64_t left = deadline_ns - billet_monotonic_ns();
        struct pollfd room = {.fd = keeper->to, .events = POLLOUT};
        if (left <= 0 || poll(&room, 1, (int)(left / 1000000) + 1) < 0)
            result = -ETIMEDOUT;
    }
    pthread_mutex_unlock(&keeper->writing);
    return result;
}

void
ssh_keeper_tell(struct ssh_keeper *keeper, const char *request)
{
    struct ssh_text line = {0};
    ssh_text_format(&line, "0 %s\n", request);
    /* Half a line would spoil all that follow. */
    if (!line.failed && !atomic_load(&keeper->lost) &&
        write_line(keeper, line.bytes, line.length,
                   billet_monotonic_ns() + 5 * BILLET_NS_PER_SECOND) < 0)
        atomic_store(&keeper->lost, true);
    ssh_text_free(&line);
}

static void
send_beat(struct ssh_keeper *keeper)
{
    char beat[32];
    snprintf(beat, sizeof(beat), "beat %d", keeper->beat_ttl);
    ssh_keeper_tell(keeper, beat);
}

static void *
watch(void *argument)
{
    struct ssh_keeper *keeper = argument;
    int64_t next = billet_monotonic_ns() + keeper->beat_ns;
    bool said_ended = false;
    for (;;) {
        int64_t left = next - billet_monotonic_ns();
        struct pollfd fds[3] = {
            {.fd = keeper->stop_fd, .events = POLLIN},
            {.fd = said_ended ? -1 : keeper->said_fd, .events = POLLIN},
            {.fd = keeper->pidfd, .events = POLLIN},
        };
        if (poll(fds, 3, left <= 0 ? 0 : (int)(left / 1000000) + 1) < 0 && errno != EINTR)
            break;
        if (fds[0].revents != 0)
            break;
        if (fds[1].revents != 0)
            said_ended = !take_said(keeper);
        if (fds[2].revents != 0 && fds[1].revents == 0) {
            atomic_store(&keeper->lost, true);
            break;
        }
        if (billet_monotonic_ns() >= next) {
            send_beat(keeper);
            next = billet_monotonic_ns() + keeper->beat_ns;
        }
    }
    return NULL;
}

static int
start_watch(struct ssh_keeper *keeper, struct billet_error *error)
{
    pthread_attr_t attributes;
    sigset_t all, saved;
    pthread_attr_init(&attributes);
#if !defined(__SANITIZE_ADDRESS__)
    pthread_attr_setstacksize(&attributes, WATCH_STACK);
#endif
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &saved);
    int failed = pthread_create(&keeper->thread, &attributes, watch, keeper);
    pthread_sigmask(SIG_SETMASK, &saved, NULL);
    pthread_attr_destroy(&attributes);
    if (failed != 0)
        return billet_fail_errno(error, 0, "internal", failed, "cannot start a thread");
    keeper->watched = true;
    return 0;
}

/* ---- answers ----------------------------------------------------------------------------- */

/* One more line of the keeper into keeper->line: 0, -ETIMEDOUT, -EPIPE, -E2BIG (not a line), or
 * -ECANCELED. */
static int
read_line(struct ssh_keeper *keeper, int64_t deadline_ns, int cancel_fd, size_t *noise)
{
    char *end;
    while ((end = memchr(keeper->line, '\n', keeper->line_length)) == NULL) {
        if (keeper->line_length >= sizeof(keeper->line) - 1) {
            /* Not one of ours: it is noise, and what was read of it is let go. */
            *noise += keeper->line_length;
            keeper->line_length = 0;
        }
        if (*noise > NOISE_MAX)
            return -E2BIG;
        int64_t left = deadline_ns - billet_monotonic_ns();
        struct pollfd fds[2] = {{.fd = keeper->from, .events = POLLIN},
                                {.fd = cancel_fd, .events = POLLIN}};
        if (left <= 0)
            return -ETIMEDOUT;
        if (poll(fds, 2, (int)(left / 1000000) + 1) < 0 && errno != EINTR)
            return -errno;
        if (fds[1].revents != 0)
            return -ECANCELED;
        if (fds[0].revents == 0)
            continue;
        ssize_t got = read(keeper->from, keeper->line + keeper->line_length,
                           sizeof(keeper->line) - 1 - keeper->line_length);
        if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN))
            return -EPIPE;
        if (got > 0)
            keeper->line_length += (size_t)got;
    }
    *end = '\0';
    keeper->line_end = (size_t)(end + 1 - keeper->line);
    return 0;
}

static void
drop_line(struct ssh_keeper *keeper)
{
    size_t used = keeper->line_end;
    memmove(keeper->line, keeper->line + used, keeper->line_length - used);
    keeper->line_length -= used;
}

/* The next line that begins with our nonce and number, without them; the buffer keeps it until
 * drop_line. */
static int
read_answer(struct ssh_keeper *keeper, unsigned number, int64_t deadline_ns, int cancel_fd,
            const char **text)
{
    char start[64];
    size_t length = (size_t)snprintf(start, sizeof(start), "%s %u ", keeper->nonce, number);
    for (;;) {
        int result = read_line(keeper, deadline_ns, cancel_fd, &keeper->noise);
        if (result < 0)
            return result;
        if (strncmp(keeper->line, start, length) == 0) {
            *text = keeper->line + length;
            return 0;
        }
        /* csh and others may leave something in front of the first line. */
        char *at = number == 0 ? memmem(keeper->line, keeper->line_end, start, length) : NULL;
        if (at != NULL) {
            keeper->noise += (size_t)(at - keeper->line);
            *text = at + length;
            return 0;
        }
        keeper->noise += keeper->line_end;
        if (keeper->noise > NOISE_MAX)
            return -E2BIG;
        drop_line(keeper);
    }
}

static int
connection_lost(struct ssh_keeper *keeper, struct billet_error *error)
{
    char said[400];
    atomic_store(&keeper->lost, true);
    ssh_keeper_said(keeper, said, sizeof(said));
    size_t length = strcspn(said, "\r\n");
    billet_fail(error, BILLET_CLASS_LOST, "connection_lost",
                "the connection to the host was lost%s%.*s", length > 0 ? ": " : "", (int)length,
                said);
    error->retryable = 1;
    return billet_fail_hint(error, "what ran there is ended by its keeper, at the latest when the "
                                   "beats stop; billet lease reap removes the rest");
}

static int
remote_failed(const char *text, struct billet_error *error)
{
    bool full = strstr(text, "No space left") != NULL || strstr(text, "quota exceeded") != NULL;
    billet_fail(error, full ? BILLET_CLASS_CAPACITY : BILLET_CLASS_UNAVAILABLE,
                full ? "ssh_disk_full" : "ssh_remote_failed", "the host says: %.300s", text);
    return full ? billet_fail_hint(error, "free space on the host where remote_directory is")
                : billet_fail_hint(error, "billet env probe names what the host lacks");
}

int
ssh_keeper_ask(struct ssh_keeper *keeper, const char *request, int64_t deadline_ns,
               struct ssh_answer *answer, ssh_item_visit *visit, void *context,
               struct billet_error *error)
{
    const char *text = NULL;
    struct ssh_text line = {0};
    answer->text[0] = '\0';
    if (deadline_ns == 0)
        deadline_ns = billet_monotonic_ns() + REQUEST_NS;
    pthread_mutex_lock(&keeper->asking);
    unsigned number = ++keeper->number;
    ssh_text_format(&line, "%u %s\n", number, request);
    int result = line.failed ? -ENOMEM : atomic_load(&keeper->lost) ? -EPIPE : 0;
    if (result == 0)
        result = write_line(keeper, line.bytes, line.length, deadline_ns);
    ssh_text_free(&line);
    size_t noise = keeper->noise;
    while (result == 0) {
        result = read_answer(keeper, number, deadline_ns, -1, &text);
        if (result < 0 || strncmp(text, "item ", 5) != 0)
            break;
        if (visit != NULL)
            visit(text + 5, context);
        drop_line(keeper);
    }
    keeper->noise = noise;
    if (result == 0) {
        snprintf(answer->text, sizeof(answer->text), "%.*s", (int)sizeof(answer->text) - 1, text);
        drop_line(keeper);
    } else {
        /* An answer that comes later would be taken for that of the next request. */
        atomic_store(&keeper->lost, true);
    }
    pthread_mutex_unlock(&keeper->asking);
    if (result < 0)
        return connection_lost(keeper, error);
    if (strcmp(answer->text, "ok") == 0 || strncmp(answer->text, "ok ", 3) == 0) {
        memmove(answer->text, answer->text + (answer->text[2] == ' ' ? 3 : 2),
                strlen(answer->text) - (answer->text[2] == ' ' ? 2 : 1));
        return 0;
    }
    if (strncmp(answer->text, "failed ", 7) == 0)
        return remote_failed(answer->text + 7, error);
    return 1;
}

/* ---- open, close ------------------------------------------------------------------------------
 */

static int
start(struct ssh_keeper *keeper, const struct ssh_settings *settings, struct billet_error *error)
{
    char command[512];
    int in[2], out[2], said[2];
    snprintf(command, sizeof(command), BOOTSTRAP, keeper->nonce, keeper->connection);
    if (pipe2(in, O_CLOEXEC) < 0)
        return billet_fail_errno(error, 0, "internal", errno, "cannot make a pipe");
    if (pipe2(out, O_CLOEXEC) < 0) {
        close(in[0]), close(in[1]);
        return billet_fail_errno(error, 0, "internal", errno, "cannot make a pipe");
    }
    if (pipe2(said, O_CLOEXEC) < 0) {
        close(in[0]), close(in[1]), close(out[0]), close(out[1]);
        return billet_fail_errno(error, 0, "internal", errno, "cannot make a pipe");
    }
    keeper->to = in[1];
    keeper->from = out[0];
    keeper->said_fd = said[0];
    fcntl(keeper->to, F_SETFL, O_NONBLOCK);
    fcntl(keeper->from, F_SETFL, O_NONBLOCK);
    fcntl(keeper->said_fd, F_SETFL, O_NONBLOCK);
    struct ssh_client client = {
        .settings = settings,
        .place = &keeper->place,
        .command = command,
        .fds = {in[0], out[1], said[1]},
        .terminal_fd = -1,
    };
    int status = ssh_client_start(&client, &keeper->pid, &keeper->pidfd, error);
    close(in[0]), close(out[1]), close(said[1]);
    return status;
}

/* Why there is no keeper. */
static int
explain(struct ssh_keeper *keeper, const struct ssh_settings *settings, int why,
        struct billet_error *error)
{
    char said[SAID_MAX];
    char target[400];
    ssh_settings_target(settings, target, sizeof(target));
    if (why == -ECANCELED)
        return billet_fail(error, BILLET_CLASS_CANCELLED, "cancelled",
                           "the connection to %s was given up", target);
    if (why == -E2BIG) {
        billet_fail(error, BILLET_CLASS_UNAVAILABLE, "ssh_remote_unusable",
                    "%s says more than %u bytes before our program begins", target, NOISE_MAX);
        return billet_fail_hint(error, "silence the start files of the login shell there");
    }
    /* The client ends a moment after its last words. */
    struct pollfd ended = {.fd = keeper->pidfd, .events = POLLIN};
    poll(&ended, 1, why == -ETIMEDOUT ? 0 : 1000);
    /* The watch has taken all that was said once it says that the connection is lost. */
    for (int i = 0; i < 500 && why == -EPIPE && !atomic_load(&keeper->lost); i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    ssh_keeper_said(keeper, said, sizeof(said));
    if (why == -ETIMEDOUT && said[0] == '\0') {
        billet_fail(error, BILLET_CLASS_UNAVAILABLE, "ssh_unreachable",
                    "%s did not get as far as running /bin/sh in time", target);
        return billet_fail_hint(error, "check the network, the login shell and its start files; "
                                       "connect_timeout gives more time");
    }
    int status = 0;
    if (why == -EPIPE && waitpid(keeper->pid, &status, WNOHANG) == keeper->pid) {
        keeper->pid = 0;
        if (WIFEXITED(status) && WEXITSTATUS(status) != 255) {
            billet_fail(error, BILLET_CLASS_UNAVAILABLE, "ssh_remote_unusable",
                        "the login shell of %s does not run /bin/sh: exit status %d, %.200s",
                        target, WEXITSTATUS(status), said);
            return billet_fail_hint(error, "give the user a login shell such as /bin/sh, and no "
                                           "ForceCommand");
        }
    }
    return ssh_client_explain(settings, said, error);
}

static int
greet(const struct billet_call *call, struct ssh_keeper *keeper,
      const struct ssh_settings *settings, struct billet_error *error)
{
    const char *hello;
    char home[sizeof(keeper->home)];
    int64_t deadline = billet_monotonic_ns() + settings->connect_timeout_ns + SHELL_NS;
    if (call->deadline_ns != 0 && call->deadline_ns < deadline)
        deadline = call->deadline_ns;
    size_t length = strlen(ssh_helper_text);
    struct ssh_text line = {0};
    ssh_text_bytes(&line, ssh_helper_text, length);
    ssh_text_add(&line, "\n");
    int result = line.failed ? -ENOMEM : write_line(keeper, line.bytes, line.length, deadline);
    ssh_text_free(&line);
    if (result == 0)
        result = read_answer(keeper, 0, deadline, call->cancel_fd, &hello);
    if (result < 0)
        return explain(keeper, settings, result, error);
    int fields =
        sscanf(hello, "hello %15s %32[0-9A-Za-z_] %1023[^\n]", keeper->uid, keeper->machine, home);
    if (fields != 3 || home[0] != '/' || keeper->noise > NOISE_MAX)
        return explain(keeper, settings, -E2BIG, error);
    snprintf(keeper->home, sizeof(keeper->home), "%s", home);
    keeper->line_length = 0;
    return 0;
}

int
ssh_keeper_open(const struct billet_call *call, const struct ssh_settings *settings,
                struct ssh_keeper **made, struct billet_error *error)
{
    pid_t agent = 0;
    int agent_fd = -1;
    struct ssh_keeper *keeper = calloc(1, sizeof(*keeper));
    if (keeper == NULL)
        return billet_fail(error, BILLET_CLASS_CAPACITY, "out_of_memory", "out of memory");
    keeper->pidfd = keeper->to = keeper->from = keeper->said_fd = -1;
    keeper->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&keeper->asking, NULL);
    pthread_mutex_init(&keeper->writing, NULL);
    pthread_mutex_init(&keeper->saying, NULL);
    char name[33];
    if (keeper->stop_fd < 0 || !ssh_nonce(keeper->nonce) || !ssh_nonce(name)) {
        ssh_keeper_close(keeper);
        return billet_fail_errno(error, 0, "internal", errno, "cannot make random numbers");
    }
    snprintf(keeper->connection, sizeof(keeper->connection), "%.16s", name);
    /* Noticed here within interval x count; there a little later, so that a connection that is
     * only slow is not ended by one side alone. */
    keeper->beat_ns = settings->keepalive_ns;
    int64_t ttl = settings->keepalive_ns / BILLET_NS_PER_SECOND * (settings->keepalive_count + 2);
    keeper->beat_ttl = (int)(ttl < 15 ? 15 : ttl > 86400 ? 86400 : ttl);
    int status = ssh_place_make(&keeper->place, error);
    if (status == 0 && settings->identity != NULL)
        status = ssh_agent_start(settings, &keeper->place, &agent, &agent_fd, error);
    if (status == 0)
        status = start(keeper, settings, error);
    if (status == 0)
        status = start_watch(keeper, error);
    if (status == 0)
        status = greet(call, keeper, settings, error);
    /* Only proving who we are takes the key. */
    ssh_child_end(&agent, &agent_fd);
    if (status < 0) {
        ssh_keeper_close(keeper);
        return status;
    }
    send_beat(keeper);
    *made = keeper;
    return 0;
}

void
ssh_keeper_close(struct ssh_keeper *keeper)
{
    if (keeper == NULL)
        return;
    if (keeper->watched) {
        uint64_t one = 1;
        while (write(keeper->stop_fd, &one, sizeof(one)) < 0 && errno == EINTR)
            ;
        pthread_join(keeper->thread, NULL);
    }
    billet_close_fd(&keeper->to);
    if (keeper->pid > 0 && !atomic_load(&keeper->lost)) {
        /* The keeper reads the end of its input, ends what is to be ended, and the client goes. */
        int64_t deadline = billet_monotonic_ns() + CLOSE_NS;
        for (;;) {
            char rest[512];
            int64_t left = (deadline - billet_monotonic_ns()) / 1000000;
            struct pollfd fds[3] = {{.fd = keeper->pidfd, .events = POLLIN},
                                    {.fd = keeper->from, .events = POLLIN},
                                    {.fd = keeper->said_fd, .events = POLLIN}};
            if (left <= 0 || (poll(fds, 3, (int)left) < 0 && errno != EINTR) || fds[0].revents != 0)
                break;
            if (fds[1].revents != 0 && read(keeper->from, rest, sizeof(rest)) == 0)
                billet_close_fd(&keeper->from);
            if (fds[2].revents != 0 && read(keeper->said_fd, rest, sizeof(rest)) == 0)
                billet_close_fd(&keeper->said_fd);
        }
    }
    ssh_child_end(&keeper->pid, &keeper->pidfd);
    billet_close_fd(&keeper->from);
    billet_close_fd(&keeper->said_fd);
    billet_close_fd(&keeper->stop_fd);
    ssh_place_remove(&keeper->place);
    pthread_mutex_destroy(&keeper->asking);
    pthread_mutex_destroy(&keeper->writing);
    pthread_mutex_destroy(&keeper->saying);
    free(keeper);
}

/* ---- facts ------------------------------------------------------------------------------------
 */

bool
ssh_keeper_is_alive(struct ssh_keeper *keeper)
{
    struct pollfd ended = {.fd = keeper->pidfd, .events = POLLIN};
    return !atomic_load(&keeper->lost) && poll(&ended, 1, 0) == 0;
}

const char *
ssh_keeper_connection(const struct ssh_keeper *keeper)
{
    return keeper->connection;
}

const char *
ssh_keeper_home(const struct ssh_keeper *keeper)
{
    return keeper->home;
}

const char *
ssh_keeper_uid(const struct ssh_keeper *keeper)
{
    return keeper->uid;
}

const char *
ssh_keeper_machine(const struct ssh_keeper *keeper)
{
    return keeper->machine;
}

const struct ssh_place *
ssh_keeper_place(const struct ssh_keeper *keeper)
{
    return &keeper->place;
}

size_t
ssh_keeper_noise(const struct ssh_keeper *keeper)
{
    return keeper->noise;
}
