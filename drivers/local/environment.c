/* SPDX-License-Identifier: Apache-2.0 */
#include "environment.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../common/fail.h"
#include "local.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static const char *const inherited[] = {"HOME", "PATH", "USER", "LOGNAME", "SHELL",
                                        "LANG", "TZ",   "TERM", NULL};

static bool
is_inherited(const char *entry, size_t name)
{
    if (strncmp(entry, "LC_", 3) == 0)
        return true;
    for (size_t i = 0; inherited[i] != NULL; i++)
        if (strlen(inherited[i]) == name && memcmp(inherited[i], entry, name) == 0)
            return true;
    return false;
}

static const char **
find(const struct local_environment *environment, const char *name, size_t length)
{
    for (size_t i = 0; i < environment->count; i++)
        if (strncmp(environment->entries[i], name, length) == 0 &&
            environment->entries[i][length] == '=')
            return &environment->entries[i];
    return NULL;
}

static bool
append(struct local_environment *environment, const char *entry)
{
    if (environment->count + 2 > environment->capacity) {
        size_t capacity = environment->capacity == 0 ? 32 : environment->capacity * 2;
        const char **entries = realloc(environment->entries, capacity * sizeof(*entries));
        if (entries == NULL)
            return false;
        environment->entries = entries;
        environment->capacity = capacity;
    }
    environment->entries[environment->count++] = entry;
    environment->entries[environment->count] = NULL;
    return true;
}

/* Take an owned entry in, unless there is one of its name. */
static bool
put(struct local_environment *environment, char *entry)
{
    if (entry == NULL)
        return false;
    if (find(environment, entry, strcspn(entry, "=")) != NULL) {
        free(entry);
        return true;
    }
    if (append(environment, entry))
        return true;
    free(entry);
    return false;
}

/* Entries that stay the caller's, since they may hold secrets; a later one of a name replaces an
 * earlier. */
static bool
borrow(struct local_environment *environment, const char *const *additions)
{
    environment->borrowed_from = environment->count;
    for (size_t i = 0; additions != NULL && additions[i] != NULL; i++) {
        const char **old = find(environment, additions[i], strcspn(additions[i], "="));
        if (old == NULL && !append(environment, additions[i]))
            return false;
        if (old != NULL && (size_t)(old - environment->entries) >= environment->borrowed_from)
            *old = additions[i];
    }
    environment->borrowed_to = environment->count;
    return true;
}

static char *
join(const char *name, const char *value)
{
    size_t size = strlen(name) + strlen(value) + 2;
    char *entry = malloc(size);
    if (entry != NULL)
        snprintf(entry, size, "%s=%s", name, value);
    return entry;
}

static bool
put_labels(struct local_environment *environment, const struct billet_identity *identity,
           const char *exec_label)
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
    for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++)
        if ((labels[i].always || labels[i].value[0] != '\0') &&
            !put(environment, join(labels[i].name, labels[i].value)))
            return false;
    return put(environment, strdup(exec_label));
}

static bool
put_all(const struct billet_call *call, const char *const *additions, const char *exec_label,
        struct local_environment *environment)
{
    const char *path = billet_config_string(call->config, "search_path", NULL);
    if (!put_labels(environment, call->identity, exec_label) || !borrow(environment, additions))
        return false;
    if (path != NULL && !put(environment, join("PATH", path)))
        return false;
    for (char **entry = environ; entry != NULL && *entry != NULL; entry++) {
        size_t name = strcspn(*entry, "=");
        if ((*entry)[name] == '=' && is_inherited(*entry, name) &&
            !put(environment, strdup(*entry)))
            return false;
    }
    return put(environment, join("PATH", DEFAULT_PATH));
}

int
local_environment_make(const struct billet_call *call, const char *const *additions,
                       const char *exec_label, struct local_environment *environment,
                       struct billet_error *error)
{
    *environment = (struct local_environment){0};
    for (size_t i = 0; additions != NULL && additions[i] != NULL; i++)
        if (additions[i][0] == '=' || strchr(additions[i], '=') == NULL)
            return billet_fail(error, BILLET_CLASS_CONFIG, "value_invalid",
                               "environment entry %zu is not NAME=VALUE", i + 1);
    if (put_all(call, additions, exec_label, environment))
        return 0;
    local_environment_free(environment);
    return billet_fail(error, BILLET_CLASS_CAPACITY, "out_of_memory", "out of memory");
}

void
local_environment_free(struct local_environment *environment)
{
    for (size_t i = 0; i < environment->count; i++)
        if (i < environment->borrowed_from || i >= environment->borrowed_to)
            free((char *)(uintptr_t)environment->entries[i]);
    free(environment->entries);
    *environment = (struct local_environment){0};
}

const char *
local_environment_get(const struct local_environment *environment, const char *name)
{
    const char **entry = find(environment, name, strlen(name));
    return entry != NULL ? *entry + strlen(name) + 1 : NULL;
}
