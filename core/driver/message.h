/* SPDX-License-Identifier: Apache-2.0 */
/*
 * message.h - what the frames between core and driver host say: arguments and
 * results of operations as JSON members, and back with every bound checked.
 *
 * Core to host: {"call": N, "operation": NAME, "deadline", "flags", "identity", "settings", "who",
 * "secrets": bytes, "arguments"} with descriptors; {"signal": N, "number", "rows", "columns"};
 * {"cancel": N}. Host to core: {"hello": 1, ...} or {"failed": error} once; then {"event": KIND,
 * "call": N, ...} and {"answer": N, "error": error or "result": object}.
 *
 * Makers return NULL when memory ran out; getters false when the value is not of the form. Strings
 * that getters give live in *memory.
 */
#ifndef BILLET_DRIVER_MESSAGE_H
#define BILLET_DRIVER_MESSAGE_H

#include <billet/driver.h>

#include "base/json.h"
#include "base/strings.h"
#include "config/setting.h"

/* The descriptor of the socket in the host. */
#define BILLET_HOST_SOCKET 3

#define BILLET_FACTS_MAX 64
#define BILLET_FACTS_KEPT 256 /* of a lease: those of acquire and realize over its life */
#define BILLET_FACT_KEY_MAX 128
#define BILLET_FACT_VALUE_MAX 4096

json_t *billet_message_error(const struct billet_error *error);
bool billet_message_get_error(const json_t *value, struct billet_error *error);

json_t *billet_message_identity(const struct billet_identity *identity);
bool billet_message_get_identity(const json_t *value, struct billet_identity *identity,
                                 struct billet_strings *memory);
/* Does it say just this? May be false where it does, never true where it does not. */
bool billet_message_is_identity(const json_t *value, const struct billet_identity *identity);

/* An array of [name, value, origin, line, column, name column]. */
json_t *billet_message_settings(const struct billet_settings *settings);
bool billet_message_get_settings(const json_t *value, struct billet_settings *settings);
/* As billet_message_is_identity; where they come from is not compared. */
bool billet_message_is_settings(const json_t *value, const struct billet_settings *settings);

/* A member of bytes, bounded; NULL when absent, of another form or too long. */
const char *billet_message_get_bytes(const json_t *object, const char *key, size_t limit,
                                     struct billet_strings *memory);
bool billet_message_set_list(json_t *object, const char *key, const char *const *list);

/* Arguments of exec without descriptors. */
json_t *billet_message_exec(const struct billet_exec *exec);
bool billet_message_get_exec(const json_t *value, struct billet_exec *exec,
                             struct billet_strings *argv, struct billet_strings *environment,
                             struct billet_strings *memory);
json_t *billet_message_exec_result(const struct billet_exec_result *result);
bool billet_message_get_exec_result(const json_t *value, struct billet_exec_result *result);
/* Are outcome and value ones that a driver may give? */
bool billet_exec_result_is_valid(const struct billet_exec_result *result);

json_t *billet_message_resource(const struct billet_resource *resource);
bool billet_message_get_resource(const json_t *value, struct billet_resource *resource,
                                 struct billet_strings *memory);

json_t *billet_message_host_key(const struct billet_host_key *key);
bool billet_message_get_host_key(const json_t *value, struct billet_host_key *key,
                                 struct billet_strings *memory);
/* Printable text within bounds, a fingerprint, and a state that there is. */
bool billet_host_key_is_valid(const struct billet_host_key *key);

/* Facts: an object of UTF-8 strings within the bounds above. */
bool billet_facts_are_valid(const json_t *facts);
/* Non-empty, shorter than BILLET_REF_MAX, no control bytes, UTF-8. */
bool billet_ref_is_valid(const char *ref);

#endif
