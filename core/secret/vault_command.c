/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vault_command.c - a vault behind a program of the administrator's: pass, age,
 * sops, op. {path} in its arguments is the path of the reference; its standard
 * output is the value. No shell; its errors are not repeated, they may hold the value.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/strings.h"
#include "secret/resolve.h"
#include "secret/vault_run.h"

#define PLACE "{path}"

static int
check(const struct billet_vault *vault, struct billet_error *error)
{
    size_t places = 0;
    if (vault->command == NULL || vault->command[0] == NULL)
        return billet_vault_invalid(vault, error, "command is missing");
    if (vault->command[0][0] != '/')
        return billet_vault_invalid(vault, error,
                                    "command begins with the whole path of a program");
    for (size_t i = 1; vault->command[i] != NULL; i++)
        places += strstr(vault->command[i], PLACE) != NULL;
    if (places == 0)
        return billet_vault_invalid(vault, error, "no argument of command holds " PLACE);
    return 0;
}

static bool
add_argument(struct billet_strings *list, const char *argument, const char *path)
{
    const char *place = strstr(argument, PLACE);
    return place != NULL ? billet_strings_format(list, "%.*s%s%s", (int)(place - argument),
                                                 argument, path, place + strlen(PLACE))
                         : billet_strings_add(list, argument);
}

static int
prepare(const struct billet_vault *vault, const char *path, struct billet_strings *arguments,
        struct billet_strings *environment, struct billet_error *error)
{
    bool good = billet_strings_add(arguments, vault->command[0]);
    for (size_t i = 1; good && vault->command[i] != NULL; i++)
        good = add_argument(arguments, vault->command[i], path);
    good = good && billet_vault_environment(environment, vault->command_environment);
    return good ? 0 : billet_error_no_memory(error);
}

static int
get(const struct billet_vault *vault, const struct billet_vault_path *path,
    struct billet_secret *value, struct billet_error *error)
{
    cleanup_strings struct billet_strings arguments = BILLET_STRINGS_INIT;
    cleanup_strings struct billet_strings environment = BILLET_STRINGS_INIT;
    int64_t deadline_ns = billet_clock_monotonic() + vault->timeout_ns;
    int result = billet_vault_check_program(vault, vault->command[0], "command", error);
    if (result == 0)
        result = prepare(vault, path->text, &arguments, &environment, error);
    if (result == 0)
        result = billet_vault_run(vault, billet_strings_list(&arguments),
                                  billet_strings_list(&environment), deadline_ns, value, error);
    if (result == 0)
        billet_secret_trim(value);
    return result;
}

static int
probe(const struct billet_vault *vault, char *found, size_t size, struct billet_error *error)
{
    int result = billet_vault_check_program(vault, vault->command[0], "command", error);
    if (result == 0)
        snprintf(found, size, "%s is there", vault->command[0]);
    return result;
}

const struct billet_vault_module billet_vault_command = {
    .struct_size = sizeof(billet_vault_command),
    .interface = BILLET_VAULT_INTERFACE,
    .type = "command",
    .check = check,
    .get = get,
    .probe = probe,
};
