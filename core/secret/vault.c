/* SPDX-License-Identifier: Apache-2.0 */
#include "secret/vault.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/module.h"
#include "base/text.h"
#include "config/configuration.h"
#include "secret/resolve.h"

static const struct billet_module_kind kind = {
    .what = "vault module", .code = "vault_module_broken", .symbol = BILLET_VAULT_SYMBOL};

/* ---- the configuration ------------------------------------------------------------- */

static const struct billet_value *
value_of(const struct billet_secrets *secrets, const char *vault, const char *key)
{
    const struct billet_value *value =
        billet_configuration_value(secrets->configuration, "vault", vault, key);
    return value != NULL && value->is_set ? value : NULL;
}

static const char *
string_of(const struct billet_secrets *secrets, const char *vault, const char *key)
{
    const struct billet_value *value = value_of(secrets, vault, key);
    return value != NULL && value->string != NULL && value->string[0] != '\0' ? value->string
                                                                              : NULL;
}

/* Its own credentials come from outside of vaults and of the store: nothing goes in circles. */
static int
read_own_secret(const struct billet_secrets *secrets, const struct billet_vault *vault,
                const char *key, struct billet_secret *value, struct billet_error *error)
{
    const char *text = string_of(secrets, vault->name, key);
    struct billet_reference reference;
    if (text == NULL)
        return 0;
    int result = billet_reference_parse(key, text, &reference, error);
    if (result == 0 &&
        (reference.kind == BILLET_REFERENCE_SECRET || reference.kind == BILLET_REFERENCE_VAULT))
        return billet_vault_invalid(vault, error, "%s may be @cred:, @file: or @env:", key);
    if (result == 0)
        result = billet_reference_read(&reference, value, error);
    return result < 0 ? billet_error_wrap(error, "[vault %s]: %s", vault->name, key) : 0;
}

static int
load_module(const struct billet_secrets *secrets, struct billet_vault *vault,
            struct billet_error *error)
{
    char name[64];
    const void *table = NULL;
    if (strcmp(vault->type, billet_vault_command.type) == 0) {
        vault->module = &billet_vault_command;
        return 0;
    }
    snprintf(name, sizeof(name), "vault_%.32s.so", vault->type);
    int result = billet_module_load(&kind, secrets->module_directories, name, &table, error);
    if (result == BILLET_MODULE_MISSING) {
        billet_error_set(error, BILLET_CLASS_CONFIG, "vault_module_missing",
                         "no module %s for vault '%s' in %s", name, vault->name,
                         secrets->module_directories);
        return billet_error_hint(error, "install the package with it, or build billet with "
                                        "libcurl");
    }
    if (result < 0)
        return result;
    const struct billet_vault_module *module = table;
    if (module->interface != BILLET_VAULT_INTERFACE || module->struct_size < sizeof(*module) ||
        module->get == NULL || module->check == NULL || module->probe == NULL)
        return billet_module_broken(&kind, name, "is of another version of billet", error);
    vault->module = module;
    return 0;
}

int
billet_vault_open(const struct billet_secrets *secrets, const char *name,
                  struct billet_vault *vault, struct billet_error *error)
{
    const struct billet_section *section =
        secrets->configuration != NULL
            ? billet_configuration_find(secrets->configuration, "vault", name)
            : NULL;
    const char *tenant = section != NULL ? string_of(secrets, name, "tenant") : NULL;
    *vault = (struct billet_vault){.name = name};
    /* Another tenant's is not there. */
    if (section == NULL || (tenant != NULL && strcmp(tenant, secrets->tenant) != 0)) {
        billet_error_set(error, BILLET_CLASS_CONFIG, "vault_not_found",
                         "there is no vault '%.64s' in the configuration", name);
        return billet_error_hint(error, "'billet vault list' shows all; [vault NAME] in "
                                        "billet.conf(5) makes one");
    }
    vault->name = section->name;
    vault->type = string_of(secrets, name, "type");
    if (vault->type == NULL)
        return billet_vault_invalid(vault, error, "type is missing");
    const struct billet_value *timeout = value_of(secrets, name, "timeout");
    const struct billet_value *command = value_of(secrets, name, "command");
    const struct billet_value *names = value_of(secrets, name, "command_environment");
    vault->timeout_ns = timeout != NULL ? timeout->number : INT64_C(30000000000);
    vault->command = command != NULL ? command->list : NULL;
    vault->command_environment = names != NULL ? names->list : NULL;
    const struct {
        const char *key;
        const char **to;
    } strings[] = {
        {"address", &vault->address},
        {"namespace", &vault->name_space},
        {"mount", &vault->mount},
        {"auth", &vault->auth},
        {"auth_mount", &vault->auth_mount},
        {"role", &vault->role},
        {"role_id", &vault->role_id},
        {"jwt_file", &vault->jwt_file},
        {"ca_file", &vault->ca_file},
        {"prefix", &vault->prefix},
        {"region", &vault->region},
        {"profile", &vault->profile},
        {"kms_key", &vault->kms_key},
        {"access_key_id", &vault->access_key_id},
        {"sts_address", &vault->sts_address},
        {"credentials", &vault->credentials},
    };
    for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++)
        *strings[i].to = string_of(secrets, name, strings[i].key);
    vault->has_secret_access_key = string_of(secrets, name, "secret_access_key") != NULL;
    int result = load_module(secrets, vault, error);
    if (result == 0)
        result = vault->module->check(vault, error);
    if (result == 0)
        result = read_own_secret(secrets, vault, "token", &vault->token, error);
    if (result == 0)
        result = read_own_secret(secrets, vault, "secret_id", &vault->secret_id, error);
    if (result == 0)
        result =
            read_own_secret(secrets, vault, "secret_access_key", &vault->secret_access_key, error);
    if (result < 0)
        billet_vault_close(vault);
    return result;
}

void
billet_vault_close(struct billet_vault *vault)
{
    billet_secret_free(&vault->token);
    billet_secret_free(&vault->secret_id);
    billet_secret_free(&vault->secret_access_key);
}

/* ---- paths --------------------------------------------------------------------------- */

static int
path_invalid(const struct billet_vault *vault, struct billet_error *error)
{
    billet_error_set(error, BILLET_CLASS_CONFIG, "vault_path_invalid",
                     "what follows @vault:%s/ is not a path", vault->name);
    return billet_error_hint(error, "write PATH, PATH#FIELD or PATH@VERSION; no '..', no empty "
                                    "part, no '-' in front");
}

/* No part that is empty or climbs; nothing that a program could take for an option. */
static bool
is_path(const char *path)
{
    if (path[0] == '-' || path[0] == '\0')
        return false;
    for (const char *part = path;; part++) {
        size_t length = strcspn(part, "/");
        if (length == 0 || (length == 1 && part[0] == '.') ||
            (length == 2 && part[0] == '.' && part[1] == '.'))
            return false;
        for (size_t i = 0; i < length; i++)
            if ((unsigned char)part[i] <= ' ' || part[i] == 0x7f)
                return false;
        part += length;
        if (*part == '\0')
            return true;
    }
}

/* Of a version, where versions have no numbers. */
static bool
is_label(const char *text)
{
    static const char good[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-";
    size_t length = strspn(text, good);
    return text[length] == '\0' && length <= BILLET_VAULT_VERSION_MAX &&
           (length >= 32 || billet_text_starts(text, "AWS"));
}

int
billet_vault_path_parse(const struct billet_vault *vault, const char *text,
                        struct billet_vault_path *path, struct billet_error *error)
{
    *path = (struct billet_vault_path){.text = text};
    if (strlen(text) > BILLET_VAULT_PATH_MAX || !billet_text_is_utf8(text, strlen(text)))
        return path_invalid(vault, error);
    snprintf(path->path, sizeof(path->path), "%s", text);
    if (vault->module != &billet_vault_command) {
        char *field = strrchr(path->path, '#');
        if (field != NULL) {
            *field = '\0';
            if (field[1] == '\0' || strlen(field + 1) >= sizeof(path->field))
                return path_invalid(vault, error);
            snprintf(path->field, sizeof(path->field), "%s", field + 1);
        }
        char *version = strrchr(path->path, '@');
        if (version != NULL && vault->module->labels) {
            if (is_label(version + 1)) {
                snprintf(path->label, sizeof(path->label), "%s", version + 1);
                *version = '\0';
            }
        } else if (version != NULL && version[1] != '\0' && strlen(version + 1) <= 9 &&
                   strspn(version + 1, "0123456789") == strlen(version + 1)) {
            *version = '\0';
            path->version = atoi(version + 1);
        }
    }
    if (!is_path(path->path))
        return path_invalid(vault, error);
    size_t length = vault->prefix != NULL ? strlen(vault->prefix) : 0;
    if (length > 0 && strncmp(path->path, vault->prefix, length) != 0) {
        billet_error_set(error, BILLET_CLASS_AUTH, "vault_path_refused",
                         "vault '%s' is only for paths that begin with '%s'", vault->name,
                         vault->prefix);
        return billet_error_hint(error, "prefix of [vault %s] says so", vault->name);
    }
    return 0;
}

int
billet_vault_resolve(const struct billet_secrets *secrets, const char *name, const char *text,
                     struct billet_secret *value, struct billet_error *error)
{
    struct billet_vault vault;
    struct billet_vault_path path;
    int result = billet_vault_open(secrets, name, &vault, error);
    if (result < 0)
        return result;
    result = billet_vault_path_parse(&vault, text, &path, error);
    if (result == 0 && value != NULL)
        result = vault.module->get(&vault, &path, value, error);
    billet_vault_close(&vault);
    return result;
}
