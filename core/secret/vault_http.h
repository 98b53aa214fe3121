/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vault_http.h - one bounded HTTP request of a vault module, over libcurl: verified
 * certificates, no redirects, an end in time, the answer in guarded memory.
 */
#ifndef BILLET_SECRET_VAULT_HTTP_H
#define BILLET_SECRET_VAULT_HTTP_H

#include "base/json.h"
#include "secret/vault.h"

#define BILLET_VAULT_ANSWER_MAX (512u * 1024)

struct billet_vault_request {
    const char *method;
    const char *url;
    const char *const *headers; /* NULL-terminated "Name: value"; may hold a credential */
    const char *body;           /* NULL: none */
    int64_t deadline_ns;        /* monotonic */
    bool direct;                /* by no proxy: to this machine, or beside it */
};

/* *status and the answer's bytes, whatever the status. Codes vault_unreachable, vault_timeout,
 * vault_answer_invalid (it is too long). */
int billet_vault_http(const struct billet_vault *vault, const struct billet_vault_request *request,
                      long *status, struct billet_secret *answer, struct billet_error *error);
/* The answer as JSON; to be freed with billet_vault_wipe_json. */
int billet_vault_http_json(const struct billet_vault *vault, const struct billet_secret *answer,
                           json_t **value, struct billet_error *error);
/* Any JSON that may hold a value, duplicates rejected, NULL when it is none; freed as above. The
 * memory of libcurl and jansson is wiped as they let it go. */
json_t *billet_vault_load_json(const char *bytes, size_t length);
/* Let it go, overwritten. The caller's reference is the only one. */
void billet_vault_wipe_json(json_t **value);
#define cleanup_wiped_json __attribute__((cleanup(billet_vault_wipe_json)))

/* The field of an object that is meant: named, or the only one, or the one called value. What is no
 * string comes as JSON. Codes vault_field_missing, vault_value_too_large. */
int billet_vault_take_field(const struct billet_vault *vault, const json_t *fields,
                            const char *name, struct billet_secret *value,
                            struct billet_error *error);

/* Append text as part of a URL: all but unreserved bytes and '/' as %XX. */
void billet_vault_url_add(struct billet_buffer *url, const char *text);

/* https, or http to this machine itself: else code vault_config_invalid. */
int billet_vault_check_address(const struct billet_vault *vault, const char *address,
                               struct billet_error *error);

#endif
