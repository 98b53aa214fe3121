/* SPDX-License-Identifier: Apache-2.0 */
/* The loader of store modules: SCHEME:... is served by store_SCHEME.so. */
#include "store/store.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/module.h"

#define SCHEME_MAX 32
static const struct billet_module_kind kind = {
    .what = "store module", .code = "store_module_broken", .symbol = BILLET_STORE_SYMBOL};

/* "sqlite:/x" -> "sqlite"; "postgres" and "postgresql" are one engine, module pgsql. */
static int
scheme_of(const char *url, char scheme[SCHEME_MAX], struct billet_error *error)
{
    size_t length = strspn(url, "abcdefghijklmnopqrstuvwxyz0123456789");
    if (length == 0 || length >= SCHEME_MAX || url[length] != ':') {
        /* Not the url itself: it may hold a password. */
        billet_error_set(error, BILLET_CLASS_CONFIG, "store_url_invalid",
                         "the store url does not begin with the name of an engine and a colon");
        return billet_error_hint(error, "write sqlite:/absolute/path or postgresql:///database");
    }
    memcpy(scheme, url, length);
    scheme[length] = '\0';
    if (strcmp(scheme, "postgresql") == 0 || strcmp(scheme, "postgres") == 0)
        strcpy(scheme, "pgsql");
    return 0;
}

static int
missing(const char *scheme, const char *directories, struct billet_error *error)
{
    billet_error_set(error, BILLET_CLASS_CONFIG, "store_module_missing",
                     "no module store_%s.so for the store url in %s", scheme, directories);
    return billet_error_hint(error,
                             "install the package with the %s store, or build billet with "
                             "--with-store=%s",
                             scheme, scheme);
}

static int
check_module(const struct billet_store_module *module, const char *scheme,
             struct billet_error *error)
{
    const char *why = NULL;
    if (module->interface != BILLET_STORE_INTERFACE)
        why = "speaks another version of the store interface";
    else if (module->struct_size < sizeof(*module) || module->engine == NULL)
        why = "its table is too short";
    /* Everything from open on is a function pointer. */
    size_t first = offsetof(struct billet_store_module, open);
    for (size_t at = first; why == NULL && at < sizeof(*module); at += sizeof(void (*)(void))) {
        void (*function)(void);
        memcpy(&function, (const char *)module + at, sizeof(function));
        if (function == NULL)
            why = "its table lacks a function";
    }
    return why == NULL ? 0 : billet_module_broken(&kind, scheme, why, error);
}

int
billet_store_open(const char *directory, const char *url, enum billet_store_mode mode,
                  struct billet_store **store, struct billet_error *error)
{
    char scheme[SCHEME_MAX], file[SCHEME_MAX + 16];
    const void *table = NULL;
    int result = scheme_of(url, scheme, error);
    if (result < 0)
        return result;
    snprintf(file, sizeof(file), "store_%s.so", scheme);
    result = billet_module_load(&kind, directory, file, &table, error);
    if (result == BILLET_MODULE_MISSING)
        return missing(scheme, directory, error);
    const struct billet_store_module *module = table;
    if (result == 0)
        result = check_module(module, file, error);
    return result < 0 ? result : module->open(url, mode, store, error);
}

void
billet_store_close(struct billet_store *store)
{
    if (store != NULL)
        billet_store_of(store)->close(store);
}
