/* SPDX-License-Identifier: Apache-2.0 */
/*
 * option.h - how a driver declares its configuration, and how it reads it.
 *
 * The table of options is the one source from which validation, the JSON
 * Schema, the commented config snippet, the OPTIONS section of the driver's
 * page and interactive entry are made.
 */
#ifndef BILLET_OPTION_H
#define BILLET_OPTION_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Types. The value arrives parsed: see struct billet_value. */
#define BILLET_OPTION_STRING 1   /* no NUL, no newline; minimum and maximum bound the length */
#define BILLET_OPTION_BOOLEAN 2  /* yes or no */
#define BILLET_OPTION_INTEGER 3  /* decimal, within minimum and maximum */
#define BILLET_OPTION_DURATION 4 /* 10s, 5m, 1h30m, 250ms; nanoseconds */
#define BILLET_OPTION_SIZE 5     /* 64KiB, 2GiB, 512M; bytes */
#define BILLET_OPTION_PATH 6     /* absolute path, no NUL, no newline */
#define BILLET_OPTION_CHOICE 7   /* one of choices */
#define BILLET_OPTION_LIST 8     /* strings; the key is repeated, or separated by spaces */

#define BILLET_OPTION_REQUIRED 0x1u
#define BILLET_OPTION_SECRET 0x2u /* holds a reference (@secret:NAME ...), never a literal */
#define BILLET_OPTION_RELOAD 0x4u /* a change takes effect on leases that exist */

struct billet_option {
    const char *name; /* [a-z][a-z0-9_]*, at most 48 bytes */
    int32_t type;
    uint32_t flags;
    const char *default_value; /* as it would be written, or NULL */
    int64_t minimum;           /* both 0: unbounded */
    int64_t maximum;
    const char *const *choices; /* NULL-terminated, for CHOICE */
    const char *pattern; /* POSIX extended regular expression the whole value matches, or NULL */
    const char *text;    /* one or more sentences for people */
    const void *reserved[4];
};

/* A value as the core hands it to the driver, checked against the table. */
struct billet_value {
    const char *name;
    int32_t type;
    int32_t is_set;          /* 0: neither configured nor defaulted */
    const char *string;      /* as written (the secret itself for a secret); NULL when not set */
    int64_t number;          /* BOOLEAN 0/1, INTEGER, DURATION ns, SIZE bytes, CHOICE index */
    const char *const *list; /* LIST: NULL-terminated; else NULL */
};

/* The whole configuration of one environment, one value for each option. */
struct billet_config {
    uint64_t struct_size;
    const struct billet_value *values;
    uint64_t count;
};

static inline const struct billet_value *
billet_config_get(const struct billet_config *config, const char *name)
{
    for (uint64_t i = 0; config != NULL && i < config->count; i++)
        if (strcmp(config->values[i].name, name) == 0)
            return &config->values[i];
    return NULL;
}

/* The string of an option, or fallback when it is not set. */
static inline const char *
billet_config_string(const struct billet_config *config, const char *name, const char *fallback)
{
    const struct billet_value *value = billet_config_get(config, name);
    return value != NULL && value->is_set && value->string != NULL ? value->string : fallback;
}

/* The number of an option (see struct billet_value), or fallback. */
static inline int64_t
billet_config_number(const struct billet_config *config, const char *name, int64_t fallback)
{
    const struct billet_value *value = billet_config_get(config, name);
    return value != NULL && value->is_set ? value->number : fallback;
}

#ifdef __cplusplus
}
#endif

#endif
