/* SPDX-License-Identifier: Apache-2.0 */
#include "settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../common/fail.h"

#define ALNUM "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

static bool
consists_of(const char *text, const char *allowed, size_t longest)
{
    size_t length = strlen(text);
    return length > 0 && length <= longest && strspn(text, allowed) == length;
}

bool
ssh_host_is_safe(const char *host)
{
    return host[0] != '-' && host[0] != '.' && consists_of(host, ALNUM "._:-", 253);
}

bool
ssh_user_is_safe(const char *user)
{
    return user[0] != '-' && consists_of(user, ALNUM "._-", 64);
}

bool
ssh_path_is_safe(const char *path)
{
    if (path[0] != '/' || strlen(path) >= 1024)
        return false;
    for (const unsigned char *at = (const unsigned char *)path; *at != '\0'; at++)
        if (*at <= 0x20 || *at == 0x7f || strchr("\"'\\%$~`#", *at) != NULL)
            return false;
    return true;
}

bool
ssh_remote_directory_is_safe(const char *path)
{
    const char *from = strncmp(path, "~/", 2) == 0 ? path + 1 : path;
    if (from[0] != '/' || strlen(path) >= 1024 || strstr(path, "/../") != NULL)
        return false;
    size_t length = strlen(from);
    if (length < 2 || (length >= 3 && strcmp(from + length - 3, "/..") == 0))
        return false;
    for (const unsigned char *at = (const unsigned char *)path; *at != '\0'; at++)
        if (*at < 0x20 || *at == 0x7f)
            return false;
    return true;
}

bool
ssh_pin_is_safe(const char *pin)
{
    return strncmp(pin, "SHA256:", 7) == 0 && strlen(pin) == 7 + 43 &&
           strspn(pin + 7, ALNUM "+/") == 43;
}

static int
refuse(struct billet_error *error, const char *option, const char *value, const char *hint)
{
    billet_fail(error, BILLET_CLASS_CONFIG, "value_invalid", "option %s: '%.200s' cannot be used",
                option, value);
    return billet_fail_hint(error, "%s", hint);
}

/* "[user@]host[:port]", taken apart again when it is used. */
static bool
hop_is_safe(const char *hop)
{
    char host[256];
    if (strlen(hop) >= sizeof(host))
        return false;
    snprintf(host, sizeof(host), "%s", hop);
    char *at = strchr(host, '@');
    char *name = host;
    if (at != NULL) {
        *at = '\0';
        if (!ssh_user_is_safe(host))
            return false;
        name = at + 1;
    }
    char *colon = strrchr(name, ':');
    if (colon != NULL) {
        char *end;
        long port = strtol(colon + 1, &end, 10);
        if (colon[1] < '0' || colon[1] > '9' || *end != '\0' || port < 1 || port > 65535)
            return false;
        *colon = '\0';
    }
    return strchr(name, ':') == NULL && ssh_host_is_safe(name);
}

static int
read_jumps(const struct billet_config *config, struct ssh_settings *settings,
           struct billet_error *error)
{
    static const char hint[] = "write [user@]host[:port], at most four with commas between them";
    const char *jump = billet_config_string(config, "jump", "");
    size_t count = 0;
    if (jump[0] == '\0')
        return 0;
    if (strlen(jump) >= sizeof(settings->jump))
        return refuse(error, "jump", jump, hint);
    snprintf(settings->jump, sizeof(settings->jump), "%s", jump);
    for (char *hop = settings->jump; hop != NULL;) {
        char *comma = strchr(hop, ',');
        if (comma != NULL)
            *comma = '\0';
        if (count == SSH_JUMPS || !hop_is_safe(hop))
            return refuse(error, "jump", jump, hint);
        settings->jumps[count++] = hop;
        hop = comma != NULL ? comma + 1 : NULL;
    }
    return 0;
}

/* STATE/ssh/HOST-PORT.known_hosts: not the user's own, so that what a person once accepted by hand
 * is not what machines trust. probe and list are not told the environment's name, hence the host's.
 */
static int
default_known_hosts(struct ssh_settings *settings, struct billet_error *error)
{
    const char *state = ssh_host->directory(ssh_host, BILLET_DIRECTORY_STATE);
    char directory[SSH_PATH_MAX];
    if (state == NULL || strlen(state) > 512) {
        billet_fail(error, BILLET_CLASS_CONFIG, "value_invalid",
                    "option known_hosts_file is not set, and there is no state directory for one");
        return billet_fail_hint(error, "set known_hosts_file or host_key");
    }
    snprintf(directory, sizeof(directory), "%.512s/ssh", state);
    if (mkdir(directory, 0700) < 0 && errno != EEXIST)
        return billet_fail_errno(error, 0, "io_failed", errno, "cannot make %s", directory);
    snprintf(settings->known_hosts, sizeof(settings->known_hosts), "%.600s/%.253s-%d.known_hosts",
             directory, settings->host, settings->port);
    return 0;
}

static int
read_host_key(const struct billet_config *config, struct ssh_settings *settings,
              struct billet_error *error)
{
    const char *file = billet_config_string(config, "known_hosts_file", NULL);
    const char *check = billet_config_string(config, "host_key_check", "strict");
    const struct billet_value *pins = billet_config_get(config, "host_key");
    settings->check = strcmp(check, "accept_new") == 0 ? SSH_KEY_ACCEPT_NEW : SSH_KEY_STRICT;
    if (pins != NULL && pins->is_set && pins->list != NULL && pins->list[0] != NULL) {
        for (size_t i = 0; pins->list[i] != NULL; i++)
            if (!ssh_pin_is_safe(pins->list[i]))
                return refuse(error, "host_key", pins->list[i],
                              "write SHA256: and 43 characters, as ssh-keygen -l prints it");
        settings->check = SSH_KEY_PINNED;
        settings->pins = pins->list;
    }
    if (file == NULL)
        return default_known_hosts(settings, error);
    if (!ssh_path_is_safe(file))
        return refuse(error, "known_hosts_file", file,
                      "give an absolute path without blanks, quotes and % $ ~");
    snprintf(settings->known_hosts, sizeof(settings->known_hosts), "%s", file);
    return 0;
}

static int
read_keys(const struct billet_config *config, struct ssh_settings *settings,
          struct billet_error *error)
{
    settings->identity = billet_config_string(config, "identity", NULL);
    settings->identity_file = billet_config_string(config, "identity_file", NULL);
    settings->use_agent = billet_config_number(config, "use_agent", 0) != 0;
    settings->ssh_config = billet_config_string(config, "ssh_config", NULL);
    if (settings->identity_file != NULL && !ssh_path_is_safe(settings->identity_file))
        return refuse(error, "identity_file", settings->identity_file,
                      "give an absolute path without blanks, quotes and % $ ~");
    if (settings->ssh_config != NULL && !ssh_path_is_safe(settings->ssh_config))
        return refuse(error, "ssh_config", settings->ssh_config,
                      "give an absolute path without blanks, quotes and % $ ~");
    if ((settings->identity != NULL) + (settings->identity_file != NULL) + settings->use_agent >
        1) {
        billet_fail(error, BILLET_CLASS_CONFIG, "value_invalid",
                    "more than one of identity, identity_file and use_agent is set");
        return billet_fail_hint(error, "keep the one that holds the key for this host");
    }
    return 0;
}

int
ssh_settings_read(const struct billet_call *call, struct ssh_settings *settings,
                  struct billet_error *error)
{
    const struct billet_config *config = call->config;
    *settings = (struct ssh_settings){
        .environment = call->identity != NULL && call->identity->environment[0] != '\0'
                           ? call->identity->environment
                           : "NAME",
        .host = billet_config_string(config, "host", ""),
        .user = billet_config_string(config, "user", NULL),
        .port = (int)billet_config_number(config, "port", 22),
        .remote_directory = billet_config_string(config, "remote_directory", "~/.billet/leases"),
        .workspace_directory = billet_config_string(config, "workspace_directory", NULL),
        .path = billet_config_string(config, "path", NULL),
        .connect_timeout_ns =
            billet_config_number(config, "connect_timeout", 15 * BILLET_NS_PER_SECOND),
        .keepalive_ns =
            billet_config_number(config, "keepalive_interval", 10 * BILLET_NS_PER_SECOND),
        .keepalive_count = (int)billet_config_number(config, "keepalive_count", 3),
    };
    if (!ssh_host_is_safe(settings->host))
        return refuse(error, "host", settings->host,
                      "give a host name or an address: letters, digits and . _ : -");
    if (settings->user != NULL && !ssh_user_is_safe(settings->user))
        return refuse(error, "user", settings->user, "letters, digits and . _ -");
    if (settings->port < 1 || settings->port > 65535)
        return refuse(error, "port", "a number out of range", "1 to 65535");
    if (!ssh_remote_directory_is_safe(settings->remote_directory))
        return refuse(error, "remote_directory", settings->remote_directory,
                      "give a path that begins with / or ~/, without ..");
    if (settings->workspace_directory != NULL &&
        (settings->workspace_directory[0] != '/' ||
         !ssh_remote_directory_is_safe(settings->workspace_directory)))
        return refuse(error, "workspace_directory", settings->workspace_directory,
                      "give an absolute path on the host, without ..");
    int status = read_keys(config, settings, error);
    if (status == 0)
        status = read_jumps(config, settings, error);
    if (status == 0)
        status = read_host_key(config, settings, error);
    return status;
}

void
ssh_settings_target(const struct ssh_settings *settings, char *target, size_t size)
{
    snprintf(target, size, "%s%s%s:%d", settings->user != NULL ? settings->user : "",
             settings->user != NULL ? "@" : "", settings->host, settings->port);
}

void
ssh_settings_address(const struct ssh_settings *settings, char *address, size_t size)
{
    const char *colon = strchr(settings->host, ':');
    snprintf(address, size, colon != NULL ? "[%s]:%d" : "%s:%d", settings->host, settings->port);
}

int
ssh_settings_jumps(const struct ssh_settings *settings)
{
    int count = 0;
    while (settings->jumps[count] != NULL)
        count++;
    return count;
}
