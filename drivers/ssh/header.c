/* SPDX-License-Identifier: Apache-2.0 */
#include "header.h"

#include <stdio.h>
#include <string.h>

#include "../common/fail.h"

/* Names that a shell gives a meaning of its own, changes on the way, or refuses to set. */
static const char *const special[] = {
    "_",
    "ARGV0",
    "COLUMNS",
    "DIRSTACK",
    "ENV",
    "EUID",
    "FCEDIT",
    "FUNCNAME",
    "FPATH",
    "GROUPS",
    "HISTCMD",
    "HISTFILE",
    "HISTSIZE",
    "IFS",
    "LINENO",
    "LINES",
    "MAIL",
    "MAILPATH",
    "OLDPWD",
    "OPTARG",
    "OPTERR",
    "OPTIND",
    "PIPESTATUS",
    "POSIXLY_CORRECT",
    "PPID",
    "PS1",
    "PS2",
    "PS3",
    "PS4",
    "PWD",
    "RANDOM",
    "REPLY",
    "SECONDS",
    "SHELLOPTS",
    "SHLVL",
    "SRANDOM",
    "TMOUT",
    "UID",
    "HOSTNAME",
    "HOSTTYPE",
    "MACHTYPE",
    "OSTYPE",
    "MAILCHECK",
    "EPOCHSECONDS",
    "EPOCHREALTIME",
    "COMP_WORDBREAKS",
};

static bool
is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

bool
ssh_name_is_plain(const char *name, size_t length)
{
    if (length == 0 || !is_letter(name[0]))
        return false;
    for (size_t i = 1; i < length; i++)
        if (!is_letter(name[i]) && !(name[i] >= '0' && name[i] <= '9'))
            return false;
    if (strncmp(name, "billet_", 7) == 0 || strncmp(name, "BASH", 4) == 0)
        return false;
    for (size_t i = 0; i < sizeof(special) / sizeof(special[0]); i++)
        if (strlen(special[i]) == length && memcmp(special[i], name, length) == 0)
            return false;
    return true;
}

static void
put_export(struct ssh_text *line, const char *name, size_t length, const char *value)
{
    ssh_text_add(line, "export ");
    ssh_text_bytes(line, name, length);
    ssh_text_add(line, "=");
    ssh_text_word(line, value);
    ssh_text_add(line, ";");
}

static void
put_labels(struct ssh_text *line, const struct billet_identity *identity, const char *id)
{
    const struct {
        const char *name;
        const char *value;
        bool always;
    } labels[] = {
        {"BILLET_LEASE_ID", identity->lease, true},
        {"BILLET_ENVIRONMENT", identity->environment, true},
        {"BILLET_TENANT", identity->tenant, true},
        {"BILLET_AGENT_ID", identity->agent, false},
        {"BILLET_ISSUE_ID", identity->issue, false},
        {"BILLET_RUN_ID", identity->run, false},
    };
    char label[80];
    for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++)
        if (labels[i].always || labels[i].value[0] != '\0')
            put_export(line, labels[i].name, strlen(labels[i].name), labels[i].value);
    snprintf(label, sizeof(label), "ssh-%s", id);
    put_export(line, "BILLET_EXEC_ID", strlen("BILLET_EXEC_ID"), label);
}

int
ssh_header_make(const struct billet_call *call, const struct billet_exec *args,
                const char *directory, const char *nonce, const char *id, struct ssh_text *line,
                struct billet_error *error)
{
    struct ssh_text odd = {0};
    const char *path = billet_config_string(call->config, "path", NULL);
    bool named = strchr(args->argv[0], '=') != NULL;
    for (size_t i = 0; args->environment != NULL && args->environment[i] != NULL; i++) {
        const char *entry = args->environment[i];
        size_t length = strcspn(entry, "=");
        if (length == 0 || entry[length] != '=') {
            ssh_text_free(&odd);
            return billet_fail(error, BILLET_CLASS_CONFIG, "value_invalid",
                               "'%.100s' in the environment has no NAME=", entry);
        }
        if (ssh_name_is_plain(entry, length)) {
            /* Later, with PATH: our own programs are found by the host's. */
            continue;
        }
        ssh_text_add(&odd, " ");
        ssh_text_word(&odd, entry);
    }
    ssh_text_format(line, "billet_nonce=%s;billet_cd=", nonce);
    ssh_text_word(line, directory);
    ssh_text_add(line, ";billet_name=");
    ssh_text_word(line, args->argv[0]);
    ssh_text_add(line, ";");
    bool wrapped = odd.length > 0;
    if (wrapped)
        ssh_text_add(line, "billet_env=$(command -v env);billet_nice=$(command -v nice);");
    if (path != NULL)
        put_export(line, "PATH", 4, path);
    for (size_t i = 0; args->environment != NULL && args->environment[i] != NULL; i++) {
        const char *entry = args->environment[i];
        size_t length = strcspn(entry, "=");
        if (ssh_name_is_plain(entry, length))
            put_export(line, entry, length, entry + length + 1);
    }
    put_labels(line, call->identity, id);
    ssh_text_add(line, "set --");
    if (wrapped) {
        ssh_text_add(line, " \"$billet_env\"");
        if (odd.bytes != NULL)
            ssh_text_bytes(line, odd.bytes, odd.length);
        /* env takes every word with '=' for an assignment; nice does not. */
        if (named)
            ssh_text_add(line, " \"$billet_nice\" -n 0");
    }
    for (size_t i = 0; args->argv[i] != NULL; i++) {
        ssh_text_add(line, " ");
        ssh_text_word(line, args->argv[i]);
    }
    bool failed = line->failed || odd.failed;
    ssh_text_free(&odd);
    if (failed)
        return billet_fail(error, BILLET_CLASS_CAPACITY, "out_of_memory", "out of memory");
    return 0;
}
