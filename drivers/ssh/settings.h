/* SPDX-License-Identifier: Apache-2.0 */
/*
 * settings.h - the configuration of one environment, checked: host, user, keys, how its host key is
 * proved, and the bounds of time. Everything in it points into the call's configuration and ends
 * with the call. Nothing that could be an option, a token or a second word of the OpenSSH client
 * passes.
 */
#ifndef DRIVERS_SSH_SETTINGS_H
#define DRIVERS_SSH_SETTINGS_H

#include "ssh.h"

#define SSH_JUMPS 4

enum ssh_host_key_check { SSH_KEY_STRICT, SSH_KEY_ACCEPT_NEW, SSH_KEY_PINNED };

struct ssh_settings {
    const char *host;
    const char *environment; /* its name, for messages; "NAME" when it is not said */
    const char *user;        /* NULL: as the OpenSSH client decides */
    int port;
    const char *identity;      /* the private key itself, NULL: none */
    const char *identity_file; /* NULL: none */
    bool use_agent;
    const char *ssh_config; /* NULL: no file is read */
    char known_hosts[SSH_PATH_MAX];
    enum ssh_host_key_check check;
    const char *const *pins; /* with SSH_KEY_PINNED */
    char jump[256];          /* hops, '\0' between them */
    const char *jumps[SSH_JUMPS + 1];
    const char *remote_directory;
    const char *workspace_directory; /* NULL: none */
    const char *path;                /* PATH of commands, NULL: the host's */
    int64_t connect_timeout_ns;
    int64_t keepalive_ns;
    int keepalive_count;
};

/* 0, or CONFIG with the option's name in the message. */
int ssh_settings_read(const struct billet_call *call, struct ssh_settings *settings,
                      struct billet_error *error);

/* "[user@]host:port" */
void ssh_settings_target(const struct ssh_settings *settings, char *target, size_t size);

/* host:port, or [host]:port of an address with colons in it. */
void ssh_settings_address(const struct ssh_settings *settings, char *address, size_t size);
int ssh_settings_jumps(const struct ssh_settings *settings);

bool ssh_host_is_safe(const char *host);
bool ssh_user_is_safe(const char *user);
/* A path that the OpenSSH client takes as it is: absolute, without blanks, quotes, '%', '$', '~' */
bool ssh_path_is_safe(const char *path);
/* A directory on the host: absolute or "~/...", no "..", no control bytes. */
bool ssh_remote_directory_is_safe(const char *path);
bool ssh_pin_is_safe(const char *pin);

#endif
