/* SPDX-License-Identifier: Apache-2.0 */
#include "trust.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../common/cleanup.h"
#include "../common/fail.h"
#include "client.h"
#include "known.h"

#define SAID_MAX 4096
#define LINE_BYTES_MAX 16384

struct way {
    const struct billet_call *call;
    const struct ssh_settings *settings;
    const char *const *accept;
    struct ssh_place place;
    char file[128]; /* what the client writes the key to */
    char said[SAID_MAX];
    struct ssh_key key;
};

/* Of the hop-th host of the way: what the user calls it, and what known hosts do. */
static void
name_host(const struct ssh_settings *settings, int hop, char *shown, char *known, size_t size)
{
    if (hop < ssh_settings_jumps(settings)) {
        const char *at = strchr(settings->jumps[hop], '@');
        const char *name = at != NULL ? at + 1 : settings->jumps[hop];
        snprintf(shown, size, "%s%s", name, strchr(name, ':') != NULL ? "" : ":22");
    } else {
        ssh_settings_address(settings, shown, size);
    }
    const char *colon = strrchr(shown, ':');
    int length = (int)(colon - shown);
    bool bracketed = shown[0] == '[';
    const char *name = bracketed ? shown + 1 : shown;
    length -= bracketed ? 2 : 0;
    if (strcmp(colon, ":22") == 0)
        snprintf(known, size, "%.*s", length, name);
    else
        snprintf(known, size, "[%.*s]%s", length, name, colon);
}

static void
report(const struct way *way, int hop, const struct ssh_key *key, const char *file, int state)
{
    char shown[300], known[300];
    name_host(way->settings, hop, shown, known, sizeof(shown));
    const struct billet_host_key told = {.struct_size = sizeof(told),
                                         .host = shown,
                                         .type = key->type,
                                         .fingerprint = key->fingerprint,
                                         .file = file,
                                         .state = state};
    ssh_host->host_key(way->call, &told);
}

/* The last line of what the client wrote. */
static bool
read_key(struct way *way)
{
    char bytes[LINE_BYTES_MAX];
    __attribute__((cleanup(billet_close_fd))) int fd =
        open(way->file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t got = fd >= 0 ? read(fd, bytes, sizeof(bytes) - 1) : -1;
    if (got <= 0)
        return false;
    bytes[got] = '\0';
    return ssh_key_read(bytes, &way->key);
}

/* The host that did not answer as it should: the one looked at, or the one before it that refused
 * to let us through. */
static int
explain(const struct way *way, int hop, struct billet_error *error)
{
    char host[300], known[300];
    struct ssh_settings named = *way->settings;
    bool refused = strstr(way->said, "Permission denied") != NULL ||
                   strstr(way->said, "Host key verification failed") != NULL;
    name_host(way->settings, hop > 0 && refused ? hop - 1 : hop, host, known, sizeof(host));
    char *colon = strrchr(host, ':');
    named.port = (int)strtol(colon + 1, NULL, 10);
    *colon = '\0';
    named.host = host;
    named.user = NULL;
    return ssh_client_explain(&named, way->said, error);
}

static int
fetch_key(struct way *way, int hop, const char *types, struct billet_error *error)
{
    const struct ssh_look look = {.hop = hop, .file = way->file, .types = types};
    way->said[0] = '\0';
    unlink(way->file);
    int status =
        ssh_client_look(way->call, way->settings, &way->place, &look, way->said, sizeof(way->said));
    if (status == -ENOENT) {
        billet_fail(error, BILLET_CLASS_UNAVAILABLE, "ssh_client_missing",
                    "cannot execute ssh, the OpenSSH client");
        return billet_fail_hint(error, "install it (Debian openssh-client, Fedora openssh-clients, "
                                       "Alpine openssh-client)");
    }
    return read_key(way) ? 0 : explain(way, hop, error);
}

static bool
is_accepted(const struct way *way)
{
    for (const char *const *at = way->accept; *at != NULL; at++)
        if (strcmp(*at, way->key.fingerprint) == 0)
            return true;
    return false;
}

/* The key that host_key pins, whatever the file says. */
static int
judge_pinned(struct way *way, int hop, struct billet_error *error)
{
    for (size_t i = 0; way->settings->pins[i] != NULL; i++)
        if (strcmp(way->settings->pins[i], way->key.fingerprint) == 0) {
            report(way, hop, &way->key, "", BILLET_KEY_KNOWN);
            return 0;
        }
    char target[400];
    ssh_settings_target(way->settings, target, sizeof(target));
    billet_fail(error, BILLET_CLASS_AUTH, "ssh_host_key_changed",
                "%s shows the key %s, and the option host_key names another one", target,
                way->key.fingerprint);
    return billet_fail_hint(error, "compare it on the host; then change host_key, which is what "
                                   "this environment trusts");
}

/* 1: go on to the next host; 0: this key has to be accepted first. */
static int
judge(struct way *way, int hop, struct billet_error *error)
{
    const struct ssh_settings *settings = way->settings;
    struct ssh_known known;
    int status = fetch_key(way, hop, "", error);
    if (status == 0 && hop == ssh_settings_jumps(settings) && settings->check == SSH_KEY_PINNED)
        return judge_pinned(way, hop, error) < 0 ? -BILLET_CLASS_AUTH : 1;
    if (status == 0)
        status = ssh_known_look(settings->known_hosts, &way->key, &known, error);
    /* A run asks for a key of a type that is known; the host may have that one, too. */
    if (status == 0 && known.state == BILLET_KEY_CHANGED) {
        status = fetch_key(way, hop, known.types, error);
        if (status == 0)
            status = ssh_known_look(settings->known_hosts, &way->key, &known, error);
    }
    if (status < 0)
        return status;
    if (known.revoked) {
        billet_fail(error, BILLET_CLASS_AUTH, "ssh_host_key_changed",
                    "the key %s of %.200s is marked @revoked in %.300s", way->key.fingerprint,
                    way->key.name, settings->known_hosts);
        return billet_fail_hint(error, "give the host a new key; whoever has this one may pose as "
                                       "the host");
    }
    if (known.state != BILLET_KEY_KNOWN && is_accepted(way)) {
        status =
            ssh_known_change(settings->known_hosts, way->key.name, &way->key, NULL, NULL, error);
        if (status < 0)
            return status;
        known.state = BILLET_KEY_ADDED;
    }
    report(way, hop, &way->key, settings->known_hosts, known.state);
    return known.state == BILLET_KEY_KNOWN || known.state == BILLET_KEY_ADDED;
}

struct forgetting {
    const struct way *way;
    int hop;
};

static void
forgotten(const struct ssh_key *key, void *context)
{
    const struct forgetting *forgetting = context;
    report(forgetting->way, forgetting->hop, key, forgetting->way->settings->known_hosts,
           BILLET_KEY_REMOVED);
}

static int
forget_all(const struct way *way, struct billet_error *error)
{
    int status = 0;
    for (int hop = 0; status == 0 && hop <= ssh_settings_jumps(way->settings); hop++) {
        struct forgetting forgetting = {.way = way, .hop = hop};
        char shown[300], known[300];
        name_host(way->settings, hop, shown, known, sizeof(shown));
        status = ssh_known_change(way->settings->known_hosts, known, NULL, forgotten, &forgetting,
                                  error);
    }
    return status;
}

static int
look_at_all(struct way *way, struct billet_error *error)
{
    pid_t agent = 0;
    int agent_fd = -1;
    int jumps = ssh_settings_jumps(way->settings);
    int status = ssh_place_make(&way->place, error);
    if (status < 0)
        return status;
    snprintf(way->file, sizeof(way->file), "%s/k", way->place.directory);
    /* Only hosts on the way are logged in to. */
    if (jumps > 0 && way->settings->identity != NULL)
        status = ssh_agent_start(way->settings, &way->place, &agent, &agent_fd, error);
    int goes_on = status == 0;
    for (int hop = 0; goes_on > 0 && hop <= jumps; hop++)
        goes_on = judge(way, hop, error);
    ssh_child_end(&agent, &agent_fd);
    ssh_place_remove(&way->place);
    return status < 0 ? status : goes_on < 0 ? goes_on : 0;
}

int32_t
ssh_trust(const struct billet_call *call, const struct billet_trust *args,
          struct billet_error *error)
{
    struct ssh_settings settings;
    if (call->flags != 0 || (args->flags & ~(uint64_t)BILLET_TRUST_FORGET) != 0)
        return billet_fail(error, BILLET_CLASS_CONFIG, "flag_unknown", "unknown flags of trust");
    int status = ssh_settings_read(call, &settings, error);
    if (status < 0)
        return status;
    __attribute__((cleanup(billet_free_pointer))) struct way *way = calloc(1, sizeof(*way));
    if (way == NULL)
        return billet_fail(error, BILLET_CLASS_CAPACITY, "out_of_memory", "out of memory");
    way->call = call;
    way->settings = &settings;
    way->accept = args->accept;
    return (args->flags & BILLET_TRUST_FORGET) != 0 ? forget_all(way, error)
                                                    : look_at_all(way, error);
}
