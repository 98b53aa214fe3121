/* SPDX-License-Identifier: Apache-2.0 */
/*
 * environment.h - an environment: a named, saved configuration of a driver, from
 * a file, from the store, or built in (local, sandbox).
 *
 * Holds what was written, split into the keys that core reads and those that the
 * driver's table must explain.
 */
#ifndef BILLET_CONFIG_ENVIRONMENT_H
#define BILLET_CONFIG_ENVIRONMENT_H

#include <billet/types.h>

#include "base/json.h"
#include "base/strings.h"
#include "config/configuration.h"
#include "config/setting.h"

#define BILLET_ENVIRONMENT_ACTIVE "active"
#define BILLET_ENVIRONMENT_ARCHIVED "archived"
#define BILLET_ENVIRONMENT_DRAINED "drained"

struct billet_environment {
    char *id;     /* UUIDv7 in the store; "" for file and built-in */
    char *tenant; /* owner; "" means every tenant may use it (files, built-in) */
    char *name;
    char *driver;
    char *description;
    char *status;       /* BILLET_ENVIRONMENT_* */
    char *reason;       /* why drained or archived */
    char *source;       /* "file", "store", "builtin" */
    int64_t revision;   /* store: rises with each change */
    int64_t created_ns; /* wall; 0 when not in the store */
    int64_t updated_ns;
    struct billet_settings settings; /* all other keys, env.NAME ones included, as written */

    /* Filled by billet_environment_resolve. */
    struct billet_settings driver_settings;
    struct billet_strings variables; /* NAME=VALUE from env.NAME; a VALUE may be a reference */
    char *provision;                 /* command line for sh -c, or NULL */
    int workspace_mode;              /* BILLET_WORKSPACE_*, -1: the driver's default */
    struct billet_strings workspace_exclude;  /* patterns */
    struct billet_strings workspace_preserve; /* patterns */
    struct billet_strings assets;             /* PATH or PATH:NAME */
    bool workspace_git;                       /* the history of a git work tree travels */
    bool workspace_ignored;                   /* ignored and heavy things travel too */
    int64_t timeout_ns;                       /* 0: none */
    int64_t kill_after_ns;
    bool reuse;
    int64_t max_leases; /* 0: any number */
    int64_t max_age_ns; /* of a resource that is reused; 0: any */
    bool redact_output;

    struct billet_origin origin; /* of the [environment NAME] header; text NULL when unknown */
};

#define BILLET_ENVIRONMENT_INIT \
    {                           \
        .workspace_mode = -1    \
    }

void billet_environment_free(struct billet_environment *environment);
int billet_environment_copy(struct billet_environment *to, const struct billet_environment *from,
                            struct billet_error *error);

/* From a [environment NAME] section / built-in names "local" and "sandbox" (false: no such one). */
int billet_environment_from_section(const struct billet_section *section,
                                    struct billet_environment *environment,
                                    struct billet_error *error);
bool billet_environment_builtin(const char *name, struct billet_environment *environment);

/* Parse a draft: a file with exactly one [environment NAME] section. Problems to diagnostics. */
int billet_environment_from_file(const char *path, struct billet_environment *environment,
                                 struct billet_diagnostics *diagnostics,
                                 struct billet_error *error);

/* Give core's keys types and split off the driver's; problems to diagnostics at their places.
 * env.NAME: NAME is [A-Za-z_][A-Za-z0-9_]*, the value has no NUL. */
int billet_environment_resolve(struct billet_environment *environment,
                               struct billet_diagnostics *diagnostics);

/* Put what [driver D] gives for the driver's options under driver_settings, for every name that the
 * environment itself does not set. After billet_environment_resolve. */
int billet_environment_apply_defaults(const struct billet_configuration *configuration,
                                      struct billet_environment *environment);

/* settings as {"key": "value" or [..]} for the store, and back. */
json_t *billet_environment_settings_to_json(const struct billet_environment *environment);
int billet_environment_settings_from_json(struct billet_environment *environment,
                                          const json_t *object, struct billet_error *error);
/* As a config file would have it. */
void billet_environment_to_snippet(FILE *to, const struct billet_environment *environment);

#endif
