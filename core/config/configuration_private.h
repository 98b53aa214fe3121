/* SPDX-License-Identifier: Apache-2.0 */
/*
 * configuration_private.h - what the files of core/config share about sections
 * and the merged view. Nobody outside includes it.
 */
#ifndef BILLET_CONFIG_CONFIGURATION_PRIVATE_H
#define BILLET_CONFIG_CONFIGURATION_PRIVATE_H

#include "config/configuration.h"
#include "config/parser.h"

struct billet_configuration *billet_configuration_new(void);
/* Sources are merged low to high, then finished once. Both take problems to diagnostics and fail
 * only when memory runs out. */
int billet_configuration_merge(struct billet_configuration *configuration,
                               struct billet_document *document,
                               struct billet_diagnostics *diagnostics, struct billet_error *error);
int billet_configuration_override(struct billet_configuration *configuration,
                                  const struct billet_setting *setting,
                                  struct billet_diagnostics *diagnostics,
                                  struct billet_error *error);
int billet_configuration_finish(struct billet_configuration *configuration,
                                struct billet_diagnostics *diagnostics, struct billet_error *error);

/* The names of core's own keys in sections of that kind are added to the list, for suggestions. */
bool billet_configuration_core_keys(const char *kind, struct billet_strings *names);
/* "[environment build1]" */
void billet_section_describe(const struct billet_section *section, char *to, size_t size);
/* The keys that struct billet_environment holds apart: driver (required), tenant, description. */
void billet_section_check_identity(const struct billet_section *section,
                                   struct billet_diagnostics *diagnostics);
/* A file that must be trusted into bytes; class UNAVAILABLE with ENOENT when there is none. */
int billet_configuration_read_file(const char *path, struct billet_document *document,
                                   struct billet_diagnostics *diagnostics,
                                   struct billet_error *error);

#endif
