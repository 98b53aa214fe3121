/* SPDX-License-Identifier: Apache-2.0 */
/*
 * configuration.h - the merged view of every config file, with the origin of
 * every value; see billet.conf(5).
 *
 * Reads, low to high: /usr/lib/billet, /usr/local/lib/billet, /run/billet, /etc/billet (a file of
 * one name hides those below it): billet.conf, then billet.conf.d and environments.d (*.conf) by
 * name; then ~/.config/billet the same way, whose files may not be read when billet runs as root
 * for the system; then BILLET_* of the environment; then the command line. --config FILE stands for
 * all files.
 */
#ifndef BILLET_CONFIG_CONFIGURATION_H
#define BILLET_CONFIG_CONFIGURATION_H

#include <billet/option.h>
#include <billet/types.h>

#include "config/option.h"
#include "config/setting.h"

/* [kind name]; name "" for [store] and the like. Settings of all files merged. */
struct billet_section {
    char *kind;
    char *name;
    struct billet_settings settings;
    struct billet_origin origin; /* of the first header */
};

struct billet_configuration; /* opaque */

struct billet_configuration_sources {
    const char *file;          /* --config, or NULL */
    const char *const *system; /* NULL-terminated, high to low: "/etc/billet", "/run/billet", ... */
    const char *user;          /* "~/.config/billet" resolved, or NULL */
    const struct billet_settings
        *overrides; /* --set kind.name.key=value as "store.url"; may be NULL */
};

/* The sources of this process: BILLET_CONFIG, XDG_CONFIG_HOME, HOME; memory owned by *sources until
 * freed with billet_configuration_sources_free. */
int billet_configuration_default_sources(const char *config_option,
                                         struct billet_configuration_sources **sources,
                                         struct billet_error *error);
void billet_configuration_sources_free(struct billet_configuration_sources *sources);

/* Read all; problems go to diagnostics (files untrusted, syntax, unknown sections and keys of
 * core's own sections, duplicates). Returns 0 with the view, also when diagnostics has errors;
 * negative when nothing could be read at all. No file at all is fine. */
int billet_configuration_load(const struct billet_configuration_sources *sources,
                              struct billet_configuration **configuration,
                              struct billet_diagnostics *diagnostics, struct billet_error *error);
void billet_configuration_free(struct billet_configuration *configuration);

/* Sections in order of kind and name. */
size_t billet_configuration_count(const struct billet_configuration *configuration);
const struct billet_section *billet_configuration_at(
    const struct billet_configuration *configuration, size_t index);
const struct billet_section *billet_configuration_find(
    const struct billet_configuration *configuration, const char *kind, const char *name);

/* Core's own tables: of [store], [billet], [driver NAME] (enabled, required, path), and the keys of
 * [environment NAME] that core itself reads (driver, tenant, description, provision, workspace,
 * timeout, reuse, kill_after). NULL for an unknown kind. */
const struct billet_option *billet_configuration_options(const char *kind, size_t *count);

/* Typed value of core's own section ("store", "url"), default applied; name "" or the section's.
 * Never NULL for a known key. */
const struct billet_value *billet_configuration_value(
    const struct billet_configuration *configuration, const char *kind, const char *name,
    const char *key);

/* Is [driver NAME] enabled? local and sandbox are when nothing is said. */
bool billet_configuration_driver_enabled(const struct billet_configuration *configuration,
                                         const char *driver);

/* Write one drop-in billet.conf.d/NAME with the text, atomically; *path (free) says where. System
 * directory for root, the user's otherwise. */
int billet_configuration_write_dropin(const struct billet_configuration_sources *sources,
                                      const char *name, const char *text, char **path,
                                      struct billet_error *error);

#endif
