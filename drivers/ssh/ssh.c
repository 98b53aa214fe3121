/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ssh.c - the table of the ssh driver and its options.
 */
#include "ssh.h"

#include "config.h"

#include <signal.h>

#include "command.h"
#include "lease.h"
#include "probe.h"
#include "transfer.h"
#include "trust.h"

const struct billet_host *ssh_host;

static const char *const checks[] = {"strict", "accept_new", NULL};

const struct billet_option ssh_options[] = {
    {
        .name = "host",
        .type = BILLET_OPTION_STRING,
        .flags = BILLET_OPTION_REQUIRED,
        .minimum = 1,
        .maximum = 253,
        .pattern = "[A-Za-z0-9:_][A-Za-z0-9._:-]*",
        .text = "Name or address of the host.",
    },
    {
        .name = "port",
        .type = BILLET_OPTION_INTEGER,
        .default_value = "22",
        .minimum = 1,
        .maximum = 65535,
        .text = "Port of its SSH server.",
    },
    {
        .name = "user",
        .type = BILLET_OPTION_STRING,
        .minimum = 1,
        .maximum = 64,
        .pattern = "[A-Za-z0-9._][A-Za-z0-9._-]*",
        .text = "User to log in as; the user who runs billet when it is not set.",
    },
    {
        .name = "identity",
        .type = BILLET_OPTION_STRING,
        .flags = BILLET_OPTION_SECRET,
        .text =
            "Private key to log in with, in OpenSSH's format and without passphrase. It reaches "
            "an agent of this lease alone and is never written to a file.",
    },
    {
        .name = "identity_file",
        .type = BILLET_OPTION_PATH,
        .text = "File of a private key to log in with, instead of identity. Without identity, "
                "identity_file and use_agent, the default files of the OpenSSH client are tried.",
    },
    {
        .name = "use_agent",
        .type = BILLET_OPTION_BOOLEAN,
        .default_value = "no",
        .text = "Log in with the keys of the agent that SSH_AUTH_SOCK names. The agent is never "
                "forwarded to the host.",
    },
    {
        .name = "known_hosts_file",
        .type = BILLET_OPTION_PATH,
        .text = "File with the keys of the host and of the hosts of jump. When it is not set, "
                "ssh/HOST-PORT.known_hosts in billet's state directory; the user's own known_hosts "
                "is not read.",
    },
    {
        .name = "host_key_check",
        .type = BILLET_OPTION_CHOICE,
        .default_value = "strict",
        .choices = checks,
        .text = "strict takes only a key that is in known_hosts_file. accept_new takes and keeps "
                "the key that a host shows the first time. Both refuse a changed key.",
    },
    {
        .name = "host_key",
        .type = BILLET_OPTION_LIST,
        .text = "Fingerprints of the host's key, as ssh-keygen -l prints them (SHA256:...). When "
                "set, no other key is taken, and known_hosts_file is read for jump only. Needs "
                "OpenSSH 8.5.",
    },
    {
        .name = "jump",
        .type = BILLET_OPTION_STRING,
        .minimum = 0,
        .maximum = 255,
        .text = "Hosts to connect through, [user@]host[:port], at most four with commas between "
                "them. The same key is used for each, and known_hosts_file must know them.",
    },
    {
        .name = "ssh_config",
        .type = BILLET_OPTION_PATH,
        .text = "Configuration file for the OpenSSH client. No file is read when it is not set. "
                "What the options of this page say goes before the file.",
    },
    {
        .name = "remote_directory",
        .type = BILLET_OPTION_STRING,
        .default_value = "~/.billet/leases",
        .minimum = 2,
        .maximum = 1023,
        .text = "Directory on the host in which each lease has a directory of its own; begins with "
                "/ or ~/.",
    },
    {
        .name = "workspace_directory",
        .type = BILLET_OPTION_PATH,
        .text = "Directory on the host to work in with workspace = in_place. It must exist; a lock "
                "keeps other leases out of it.",
    },
    {
        .name = "path",
        .type = BILLET_OPTION_STRING,
        .minimum = 1,
        .maximum = 4095,
        .text = "PATH of commands; what the host's SSH server and login shell set when it is not "
                "set.",
    },
    {
        .name = "connect_timeout",
        .type = BILLET_OPTION_DURATION,
        .default_value = "15s",
        .minimum = 1000000000,
        .maximum = 600000000000,
        .text = "Time for the connection, up to the exchange of keys.",
    },
    {
        .name = "keepalive_interval",
        .type = BILLET_OPTION_DURATION,
        .default_value = "10s",
        .minimum = 1000000000,
        .maximum = 3600000000000,
        .text = "Time of silence after which the host is asked for a sign of life.",
    },
    {
        .name = "keepalive_count",
        .type = BILLET_OPTION_INTEGER,
        .default_value = "3",
        .minimum = 1,
        .maximum = 100,
        .text = "Unanswered questions after which the connection counts as lost. The host ends "
                "what ran when it has heard nothing for two intervals more, 15 s at least.",
    },
};
const uint64_t ssh_option_count = sizeof(ssh_options) / sizeof(ssh_options[0]);

static int32_t
ssh_check_config(const struct billet_call *call, struct billet_error *error)
{
    struct ssh_settings settings;
    return ssh_settings_read(call, &settings, error);
}

static const struct billet_driver table = {
    .struct_size = sizeof(table),
    .abi_major = BILLET_ABI_MAJOR,
    .abi_minor = BILLET_ABI_MINOR,
    .name = "ssh",
    .version = PACKAGE_VERSION,
    .text = "A host that is reached by SSH.",
    .thread_model = BILLET_THREADS_PARALLEL,
    .option_size = sizeof(struct billet_option),
    .options = ssh_options,
    .option_count = sizeof(ssh_options) / sizeof(ssh_options[0]),
    .capabilities = BILLET_CAN_STREAM_STDIN | BILLET_CAN_SPLIT_STDERR | BILLET_CAN_BINARY |
                    BILLET_CAN_SIGNAL | BILLET_CAN_PTY | BILLET_CAN_CONCURRENT_EXEC |
                    BILLET_CAN_RESUME | BILLET_CAN_LABEL | BILLET_CAN_TRUST | BILLET_CAN_ASSETS,
    .workspace_modes =
        1u << BILLET_WORKSPACE_NONE | 1u << BILLET_WORKSPACE_IN_PLACE | 1u << BILLET_WORKSPACE_COPY,
    .check_config = ssh_check_config,
    .probe = ssh_probe,
    .acquire = ssh_acquire,
    .resume = ssh_resume,
    .release = ssh_release,
    .destroy = ssh_destroy,
    .list = ssh_list,
    .realize = ssh_realize,
    .exec = ssh_exec,
    .signal = ssh_signal,
    .import = ssh_import,
    .export_ = ssh_export,
    .dump = ssh_dump,
    .trust = ssh_trust,
};

BILLET_DRIVER("ssh", PACKAGE_VERSION, 3)
{
    (void)error;
    ssh_host = the_host;
    return &table;
}
