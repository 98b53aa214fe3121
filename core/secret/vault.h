/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vault.h - outside stores of secrets: a section [vault NAME] of the configuration,
 * what kind it is, and the functions of that kind. Nothing of a vault is kept here.
 *
 * A command vault is core's own. The others speak HTTP and are modules, vault_TYPE.so beside the
 * modules of stores, so that no other start of billet pays for libcurl. Nothing that a provider or
 * a command says is repeated in an error: it may hold the value.
 */
#ifndef BILLET_SECRET_VAULT_H
#define BILLET_SECRET_VAULT_H

#include "config/reference.h"
#include "secret/secrets.h"

/* A vault as the configuration has it; strings are the configuration's, NULL when not set. */
struct billet_vault {
    const char *name;
    const char *type;
    int64_t timeout_ns; /* of a whole operation */
    const char *const *command;
    const char *const *command_environment; /* NULL: none */
    const char *address;
    const char *name_space;
    const char *mount;
    const char *auth;
    const char *auth_mount;
    const char *role;
    const char *role_id;
    const char *jwt_file;
    const char *ca_file;
    const char *region;
    const char *profile;
    const char *credentials;
    const char *sts_address;
    const char *kms_key;
    const char *access_key_id;
    const char *prefix; /* of every path: anything else is refused; NULL: none */
    struct billet_secret token;
    struct billet_secret secret_id;
    struct billet_secret secret_access_key;
    bool has_secret_access_key; /* it is set; it is read after the check */
    const struct billet_vault_module *module;
};

#define BILLET_VAULT_PATH_MAX 1024
#define BILLET_VAULT_VERSION_MAX 64

/* PATH[@VERSION][#FIELD]; a command gets the text as it is. VERSION is a number, or a label where
 * the module has those: AWS and a word, or an id of 32 to 64 letters, digits and '-'. */
struct billet_vault_path {
    char path[BILLET_VAULT_PATH_MAX + 8];
    char field[128];                          /* "": the only one */
    int64_t version;                          /* 0: the newest */
    char label[BILLET_VAULT_VERSION_MAX + 1]; /* "": the current one */
    const char *text;                         /* all of it */
};

/* A name in the vault; one that ends in '/' is a folder. note: a word or two for people. */
typedef int billet_vault_visit(const char *path, const char *note, void *context);

#define BILLET_VAULT_INTERFACE 2
#define BILLET_VAULT_SYMBOL "billet_vault_module" /* const struct billet_vault_module * (void) */

enum billet_vault_put {
    BILLET_VAULT_CREATE,  /* code vault_entry_exists */
    BILLET_VAULT_CURRENT, /* a new version, which is read from now on */
    BILLET_VAULT_PENDING, /* one that waits for promote */
};

struct billet_vault_module {
    uint64_t struct_size;
    uint32_t interface;
    const char *type;
    bool labels; /* versions have labels, not numbers */
    /* What the section lacks or says wrong; code vault_config_invalid. */
    int (*check)(const struct billet_vault *vault, struct billet_error *error);
    int (*get)(const struct billet_vault *vault, const struct billet_vault_path *path,
               struct billet_secret *value, struct billet_error *error);
    /* Asks for no value. *found: what answers there, for people. */
    int (*probe)(const struct billet_vault *vault, char *found, size_t size,
                 struct billet_error *error);
    /* Names alone, no value. NULL: it cannot. */
    int (*list)(const struct billet_vault *vault, const char *prefix, billet_vault_visit *visit,
                void *context, struct billet_error *error);
    /* Places that could be vaults of the configuration. NULL: it cannot. */
    int (*discover)(const struct billet_vault *vault, billet_vault_visit *visit, void *context,
                    struct billet_error *error);
    /* Ids of versions, each with its stages; no value. NULL: it cannot, as below. */
    int (*versions)(const struct billet_vault *vault, const struct billet_vault_path *path,
                    billet_vault_visit *visit, void *context, struct billet_error *error);
    /* version: the id of what was made. */
    int (*put)(const struct billet_vault *vault, const struct billet_vault_path *path,
               enum billet_vault_put how, const struct billet_secret *value,
               char version[BILLET_VAULT_VERSION_MAX + 1], struct billet_error *error);
    /* Make the version of path's label current: none means what is pending, or with back what was
     * current before. version: the one that is current now. */
    int (*promote)(const struct billet_vault *vault, const struct billet_vault_path *path,
                   bool back, char version[BILLET_VAULT_VERSION_MAX + 1],
                   struct billet_error *error);
};

extern const struct billet_vault_module billet_vault_command;

/* The vault of that name, when the tenant may use it: code vault_not_found; its own secrets are
 * read, its module is loaded. */
int billet_vault_open(const struct billet_secrets *secrets, const char *name,
                      struct billet_vault *vault, struct billet_error *error);
void billet_vault_close(struct billet_vault *vault);

/* code vault_path_invalid, or vault_path_refused outside of the vault's prefix. */
int billet_vault_path_parse(const struct billet_vault *vault, const char *text,
                            struct billet_vault_path *path, struct billet_error *error);
/* The value of a reference @vault:NAME/TEXT; value NULL: see only whether it could be. */
int billet_vault_resolve(const struct billet_secrets *secrets, const char *name, const char *text,
                         struct billet_secret *value, struct billet_error *error);

/* Does a name of the configuration's tables hold for it? For messages of modules. */
int billet_vault_invalid(const struct billet_vault *vault, struct billet_error *error,
                         const char *format, ...) __attribute__((format(printf, 3, 4)));
/* What an unclear answer is called, the same for all kinds. */
int billet_vault_failed(const struct billet_vault *vault, const char *code,
                        struct billet_error *error);

#endif
