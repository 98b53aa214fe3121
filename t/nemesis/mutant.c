/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mutant.c - a store with a bug, for the nemesis to find: as a module it stands before the sound
 * one (NEMESIS_STORE, a path), and does one thing wrong (NEMESIS_MUTANT, a name of the table
 * below). Nothing of it is part of billet.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "store/store.h"

#define ROWS_MAX 300

static const struct billet_store_module *sound;
static struct billet_store_module mutant;

static bool
is_action(const struct billet_activity *activity, const char *action)
{
    return strcmp(activity->action, action) == 0;
}

/* Who takes a lease up has the fence of the owner before. */
static int
change_keeps_fence(struct billet_store *store, const struct billet_lease_change *change,
                   const struct billet_activity *activities, size_t count,
                   struct billet_lease *after, struct billet_error *error)
{
    struct billet_lease_change other = *change;
    other.bump_fence = false;
    return sound->lease_change(store, &other, activities, count, after, error);
}

/* The change is committed, and what tells of it is not. */
static int
change_unrecorded(struct billet_store *store, const struct billet_lease_change *change,
                  const struct billet_activity *activities, size_t count,
                  struct billet_lease *after, struct billet_error *error)
{
    struct billet_activity kept[ROWS_MAX];
    size_t kept_count = 0;
    for (size_t i = 0; i < count && kept_count < ROWS_MAX; i++)
        if (!is_action(&activities[i], "lease.acquired"))
            kept[kept_count++] = activities[i];
    return sound->lease_change(store, change, kept, kept_count, after, error);
}

/* As after an answer that was lost, when nobody looks whether the statement had run. */
static int
change_recorded_twice(struct billet_store *store, const struct billet_lease_change *change,
                      const struct billet_activity *activities, size_t count,
                      struct billet_lease *after, struct billet_error *error)
{
    int result = sound->lease_change(store, change, activities, count, after, error);
    for (size_t i = 0; result == 0 && i < count; i++)
        if (is_action(&activities[i], "lease.releasing"))
            result = sound->activity_add(store, &activities[i], 1, error);
    return result;
}

/* A third of the processes commit to what is not the store: acknowledged, and gone. */
static int
open_elsewhere(const char *url, enum billet_store_mode mode, struct billet_store **store,
               struct billet_error *error)
{
    struct stat status;
    const char *path = strchr(url, '/');
    char *file = NULL, *other = NULL;
    if (path != NULL)
        file = strndup(path, strcspn(path, "?"));
    if (getpid() % 3 != 0 || file == NULL || stat(file, &status) != 0) {
        free(file);
        return sound->open(url, mode, store, error);
    }
    int length = asprintf(&other, "sqlite:%s.elsewhere", file);
    free(file);
    if (length < 0)
        return billet_error_no_memory(error);
    int result = sound->open(other, BILLET_STORE_CREATE, store, error);
    free(other);
    return result;
}

/* A list of one tenant shows those of all. */
static int
list_all_tenants(struct billet_store *store, const struct billet_lease_filter *filter,
                 billet_lease_visit *visit, void *context, struct billet_error *error)
{
    struct billet_lease_filter other = *filter;
    other.tenant = NULL;
    return sound->lease_list(store, &other, visit, context, error);
}

/* Who asks for all that live, a janitor, takes each for expired and without an owner... */
struct impatience {
    billet_lease_visit *visit;
    void *context;
};

static int
visit_impatiently(const struct billet_lease *lease, void *context)
{
    const struct impatience *impatience = context;
    struct billet_lease other = *lease;
    other.owner = (char *)"";
    other.expires_ns = 1;
    return impatience->visit(&other, impatience->context);
}

static int
list_expired(struct billet_store *store, const struct billet_lease_filter *filter,
             billet_lease_visit *visit, void *context, struct billet_error *error)
{
    struct impatience impatience = {visit, context};
    if (!filter->live_only || filter->environment != NULL)
        return sound->lease_list(store, filter, visit, context, error);
    return sound->lease_list(store, filter, visit_impatiently, &impatience, error);
}

/* ... and whose it is does not matter to a change. */
static int
change_whosever(struct billet_store *store, const struct billet_lease_change *change,
                const struct billet_activity *activities, size_t count, struct billet_lease *after,
                struct billet_error *error)
{
    struct billet_lease_change other = *change;
    other.owner_is = NULL;
    return sound->lease_change(store, &other, activities, count, after, error);
}

static bool
make_mutant(const char *name)
{
    mutant = *sound;
    if (strcmp(name, "fence-kept") == 0)
        mutant.lease_change = change_keeps_fence;
    else if (strcmp(name, "unrecorded") == 0)
        mutant.lease_change = change_unrecorded;
    else if (strcmp(name, "recorded-twice") == 0)
        mutant.lease_change = change_recorded_twice;
    else if (strcmp(name, "elsewhere") == 0)
        mutant.open = open_elsewhere;
    else if (strcmp(name, "all-tenants") == 0)
        mutant.lease_list = list_all_tenants;
    else if (strcmp(name, "impatient") == 0) {
        mutant.lease_list = list_expired;
        mutant.lease_change = change_whosever;
    } else
        return false;
    return true;
}

static int (*open_next)(const char *, enum billet_store_mode, struct billet_store **,
                        struct billet_error *);

/* The sound one's store, with the table of the mutant: it begins with the pointer to that. */
static int
open_mutant(const char *url, enum billet_store_mode mode, struct billet_store **store,
            struct billet_error *error)
{
    int result = open_next(url, mode, store, error);
    if (result == 0)
        *(const struct billet_store_module **)(void *)*store = &mutant;
    return result;
}

__attribute__((visibility("default"))) const struct billet_store_module *billet_store_module(void);

/* May be asked more than once. NULL, and billet says that it is no module: nothing was planted. */
const struct billet_store_module *
billet_store_module(void)
{
    const char *name = getenv("NEMESIS_MUTANT"), *path = getenv("NEMESIS_STORE");
    const struct billet_store_module *(*function)(void);
    void *handle = path != NULL ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    void *symbol = handle != NULL ? dlsym(handle, BILLET_STORE_SYMBOL) : NULL;
    if (symbol == NULL || name == NULL)
        return NULL;
    memcpy(&function, &symbol, sizeof(function));
    sound = function();
    if (sound == NULL || !make_mutant(name))
        return NULL;
    open_next = mutant.open;
    mutant.open = open_mutant;
    return &mutant;
}
