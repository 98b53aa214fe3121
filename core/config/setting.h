/* SPDX-License-Identifier: Apache-2.0 */
/*
 * setting.h - key = value as somebody wrote it, and where; and the list of
 * problems found in what they wrote.
 *
 * Values are still text here. option.h gives them types.
 */
#ifndef BILLET_CONFIG_SETTING_H
#define BILLET_CONFIG_SETTING_H

#include <billet/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Where a value comes from. file "" : the command line, environment or store; text says which. */
struct billet_origin {
    char *text; /* "/etc/billet/billet.conf", "--set", "BILLET_STORE", "store", "default" */
    int line;   /* 0: not a file */
    int column; /* of the value; 0: not a file */
};

struct billet_setting {
    char *name;
    char *value;
    struct billet_origin origin;
    int name_column;
};

struct billet_settings {
    struct billet_setting *items;
    size_t count;
    size_t capacity;
};

#define BILLET_SETTINGS_INIT \
    {                        \
        0                    \
    }

/* Copies all. Later entries of one name win, except where the option is a list: they add up. */
bool billet_settings_add(struct billet_settings *settings, const char *name, const char *value,
                         const char *origin, int line, int column, int name_column);
/* The last value of that name, or NULL. */
const struct billet_setting *billet_settings_get(const struct billet_settings *settings,
                                                 const char *name);
/* A copy of one; and drop all of a name. */
bool billet_settings_append(struct billet_settings *settings, const struct billet_setting *setting);
void billet_settings_remove(struct billet_settings *settings, const char *name);
/* What *to held before is not freed. */
bool billet_settings_copy(struct billet_settings *to, const struct billet_settings *from);
void billet_settings_free(struct billet_settings *settings);

/* Problems found while reading what people wrote; each prints as file:line:column: error: message
 */
#define BILLET_DIAGNOSTIC_ERROR 1
#define BILLET_DIAGNOSTIC_WARNING 2

struct billet_diagnostic {
    int severity;
    char *file;
    int line;
    int column;
    char *code; /* stable id */
    char *message;
};

struct billet_diagnostics {
    struct billet_diagnostic *items;
    size_t count;
    size_t capacity;
    size_t errors;
    bool overflow; /* more than 1000; the rest was dropped */
};

#define BILLET_DIAGNOSTICS_INIT \
    {                           \
        0                       \
    }

void billet_diagnostics_add(struct billet_diagnostics *list, int severity, const char *file,
                            int line, int column, const char *code, const char *format, ...)
    __attribute__((format(printf, 7, 8)));
/* The first error as an error object: "file:line:column: message" (and "N more" as the hint). 0
 * when there is none. */
int billet_diagnostics_error(const struct billet_diagnostics *list, struct billet_error *error);
/* One line each, "file:line:column: error: message"; control bytes are escaped. */
void billet_diagnostics_print(FILE *to, const struct billet_diagnostics *list);
void billet_diagnostics_free(struct billet_diagnostics *list);

#endif
