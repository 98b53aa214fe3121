/* SPDX-License-Identifier: Apache-2.0 */
#include "driver/message.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"

#define NAME_MAX_BYTES 4096 /* ids, names, origins */
#define HOST_MAX_BYTES 300  /* of a host with its port */
#define VALUE_MAX_BYTES (1024 * 1024)

const char *
billet_message_get_bytes(const json_t *object, const char *key, size_t limit,
                         struct billet_strings *memory)
{
    char *text = billet_json_get_bytes(json_object_get(object, key));
    if (text == NULL || strlen(text) > limit) {
        free(text);
        return NULL;
    }
    return billet_strings_take(memory, text) ? memory->items[memory->count - 1] : NULL;
}

static bool
get_int(const json_t *object, const char *key, int32_t *to)
{
    const json_t *member = json_object_get(object, key);
    if (!json_is_integer(member) || json_integer_value(member) < INT32_MIN ||
        json_integer_value(member) > INT32_MAX)
        return false;
    *to = (int32_t)json_integer_value(member);
    return true;
}

static bool
get_long(const json_t *object, const char *key, int64_t *to)
{
    const json_t *member = json_object_get(object, key);
    if (!json_is_integer(member))
        return false;
    *to = json_integer_value(member);
    return true;
}

json_t *
billet_message_error(const struct billet_error *error)
{
    return json_pack("{s:i, s:b, s:i, s:o, s:o, s:o}", "class", error->error_class, "retryable",
                     error->retryable != 0, "errno", error->sys_errno, "code",
                     billet_json_bytes(error->code), "message", billet_json_bytes(error->message),
                     "hint", billet_json_bytes(error->hint));
}

bool
billet_message_get_error(const json_t *value, struct billet_error *error)
{
    const char *code = billet_json_string(value, "code", NULL);
    const char *message = billet_json_string(value, "message", NULL);
    const char *hint = billet_json_string(value, "hint", "");
    int32_t class;
    if (!get_int(value, "class", &class) || class < BILLET_CLASS_CONFIG ||
        class > BILLET_CLASS_INTERNAL || code == NULL || message == NULL || message[0] == '\0')
        return false;
    billet_error_set(error, class, code, "%s", message);
    if (hint[0] != '\0')
        billet_error_hint(error, "%s", hint);
    if (error != NULL) {
        error->retryable = billet_json_boolean(value, "retryable", false);
        if (!get_int(value, "errno", &error->sys_errno))
            error->sys_errno = 0;
    }
    return true;
}

json_t *
billet_message_identity(const struct billet_identity *identity)
{
    return json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:I}", "deployment",
        billet_json_bytes(identity->deployment), "tenant", billet_json_bytes(identity->tenant),
        "environment", billet_json_bytes(identity->environment), "lease",
        billet_json_bytes(identity->lease), "run", billet_json_bytes(identity->run), "agent",
        billet_json_bytes(identity->agent), "issue", billet_json_bytes(identity->issue), "fence",
        (json_int_t)identity->fence, "generation", (json_int_t)identity->generation);
}

bool
billet_message_get_identity(const json_t *value, struct billet_identity *identity,
                            struct billet_strings *memory)
{
    int64_t fence;
    int64_t generation;
    *identity = (struct billet_identity){
        .struct_size = sizeof(*identity),
        .deployment = billet_message_get_bytes(value, "deployment", NAME_MAX_BYTES, memory),
        .tenant = billet_message_get_bytes(value, "tenant", NAME_MAX_BYTES, memory),
        .environment = billet_message_get_bytes(value, "environment", NAME_MAX_BYTES, memory),
        .lease = billet_message_get_bytes(value, "lease", NAME_MAX_BYTES, memory),
        .run = billet_message_get_bytes(value, "run", NAME_MAX_BYTES, memory),
        .agent = billet_message_get_bytes(value, "agent", NAME_MAX_BYTES, memory),
        .issue = billet_message_get_bytes(value, "issue", NAME_MAX_BYTES, memory),
    };
    if (identity->deployment == NULL || identity->tenant == NULL || identity->environment == NULL ||
        identity->lease == NULL || identity->run == NULL || identity->agent == NULL ||
        identity->issue == NULL || !get_long(value, "fence", &fence) ||
        !get_long(value, "generation", &generation))
        return false;
    identity->fence = (uint64_t)fence;
    identity->generation = (uint64_t)generation;
    return true;
}

static bool
is_text(const json_t *value, const char *text)
{
    return json_is_string(value) && strcmp(json_string_value(value), text) == 0;
}

bool
billet_message_is_identity(const json_t *value, const struct billet_identity *identity)
{
    int64_t fence;
    int64_t generation;
    return get_long(value, "fence", &fence) && fence == (int64_t)identity->fence &&
           get_long(value, "generation", &generation) &&
           generation == (int64_t)identity->generation &&
           is_text(json_object_get(value, "deployment"), identity->deployment) &&
           is_text(json_object_get(value, "tenant"), identity->tenant) &&
           is_text(json_object_get(value, "environment"), identity->environment) &&
           is_text(json_object_get(value, "lease"), identity->lease) &&
           is_text(json_object_get(value, "run"), identity->run) &&
           is_text(json_object_get(value, "agent"), identity->agent) &&
           is_text(json_object_get(value, "issue"), identity->issue);
}

json_t *
billet_message_settings(const struct billet_settings *settings)
{
    json_t *array = json_array();
    for (size_t i = 0; array != NULL && settings != NULL && i < settings->count; i++) {
        const struct billet_setting *item = &settings->items[i];
        json_t *row = json_pack(
            "[o, o, o, i, i, i]", billet_json_bytes(item->name), billet_json_bytes(item->value),
            billet_json_bytes(item->origin.text != NULL ? item->origin.text : ""),
            item->origin.line, item->origin.column, item->name_column);
        if (json_array_append_new(array, row) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

bool
billet_message_get_settings(const json_t *value, struct billet_settings *settings)
{
    size_t index;
    json_t *row;
    if (!json_is_array(value))
        return false;
    json_array_foreach (value, index, row) {
        cleanup_free char *name = billet_json_get_bytes(json_array_get(row, 0));
        cleanup_free char *text = billet_json_get_bytes(json_array_get(row, 1));
        cleanup_free char *origin = billet_json_get_bytes(json_array_get(row, 2));
        if (name == NULL || text == NULL || origin == NULL || strlen(text) > VALUE_MAX_BYTES)
            return false;
        if (!billet_settings_add(settings, name, text, origin,
                                 (int)json_integer_value(json_array_get(row, 3)),
                                 (int)json_integer_value(json_array_get(row, 4)),
                                 (int)json_integer_value(json_array_get(row, 5))))
            return false;
    }
    return true;
}

bool
billet_message_is_settings(const json_t *value, const struct billet_settings *settings)
{
    size_t index;
    json_t *row;
    if (!json_is_array(value) || json_array_size(value) != settings->count)
        return false;
    json_array_foreach (value, index, row)
        if (!is_text(json_array_get(row, 0), settings->items[index].name) ||
            !is_text(json_array_get(row, 1), settings->items[index].value))
            return false;
    return true;
}

bool
billet_message_set_list(json_t *object, const char *key, const char *const *list)
{
    static const char *const none[] = {NULL};
    return billet_json_set_list(object, key, list != NULL ? list : none);
}

json_t *
billet_message_exec(const struct billet_exec *exec)
{
    const char *directory = exec->directory != NULL ? exec->directory : "";
    json_t *value = json_pack("{s:o}", "directory", billet_json_bytes(directory));
    if (value == NULL || !billet_json_set_unless_zero(value, "flags", (int64_t)exec->flags) ||
        !billet_json_set_unless_zero(value, "hints", (int64_t)exec->hints) ||
        !billet_json_set_unless_zero(value, "rows", exec->rows) ||
        !billet_json_set_unless_zero(value, "columns", exec->columns) ||
        !billet_json_set_unless_zero(value, "timeout", exec->timeout_ns) ||
        !billet_json_set_unless_zero(value, "kill_after", exec->kill_after_ns) ||
        !billet_message_set_list(value, "argv", exec->argv) ||
        !billet_message_set_list(value, "environment", exec->environment)) {
        json_decref(value);
        return NULL;
    }
    return value;
}

/* Absent: 0. */
static bool
get_number(const json_t *value, const char *key, int64_t lowest, int64_t highest, int64_t *to)
{
    *to = 0;
    return json_object_get(value, key) == NULL ||
           (get_long(value, key, to) && *to >= lowest && *to <= highest);
}

bool
billet_message_get_exec(const json_t *value, struct billet_exec *exec, struct billet_strings *argv,
                        struct billet_strings *environment, struct billet_strings *memory)
{
    int64_t flags, hints, rows, columns;
    *exec = (struct billet_exec){
        .struct_size = sizeof(*exec), .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1};
    exec->directory = billet_message_get_bytes(value, "directory", 4095, memory);
    if (exec->directory == NULL || !get_number(value, "flags", INT64_MIN, INT64_MAX, &flags) ||
        !get_number(value, "hints", 0, UINT32_MAX, &hints) ||
        !get_number(value, "rows", INT32_MIN, INT32_MAX, &rows) ||
        !get_number(value, "columns", INT32_MIN, INT32_MAX, &columns) ||
        !get_number(value, "timeout", 0, INT64_MAX, &exec->timeout_ns) ||
        !get_number(value, "kill_after", 0, INT64_MAX, &exec->kill_after_ns) ||
        !billet_json_list(value, "argv", argv) || argv->count == 0 ||
        !billet_json_list(value, "environment", environment))
        return false;
    exec->flags = (uint64_t)flags;
    exec->hints = (uint32_t)hints;
    exec->rows = (int32_t)rows;
    exec->columns = (int32_t)columns;
    exec->argv = billet_strings_list(argv);
    exec->environment = billet_strings_list(environment);
    return true;
}

json_t *
billet_message_exec_result(const struct billet_exec_result *result)
{
    json_t *value =
        json_pack("{s:i, s:i, s:I, s:I}", "outcome", result->outcome, "value", result->value,
                  "max_rss", (json_int_t)result->max_rss_bytes, "cpu", (json_int_t)result->cpu_ns);
    if (value == NULL || !billet_json_set_unless_zero(value, "started", result->started_pid)) {
        json_decref(value);
        return NULL;
    }
    return value;
}

bool
billet_exec_result_is_valid(const struct billet_exec_result *result)
{
    if (result->cpu_ns < 0 || result->max_rss_bytes > INT64_MAX || result->started_pid < 0)
        return false;
    switch (result->outcome) {
    case BILLET_OUTCOME_EXITED:
        return result->value >= 0 && result->value <= 255;
    case BILLET_OUTCOME_SIGNALLED:
        return result->value >= 1 && result->value <= 64;
    case BILLET_OUTCOME_TIMED_OUT:
    case BILLET_OUTCOME_CANCELLED:
        return true;
    case BILLET_OUTCOME_NOT_FOUND:
    case BILLET_OUTCOME_NOT_INVOCABLE:
        return result->value >= 0 && result->value < 4096;
    default:
        return false;
    }
}

bool
billet_message_get_exec_result(const json_t *value, struct billet_exec_result *result)
{
    int64_t max_rss;
    *result = (struct billet_exec_result){.struct_size = sizeof(*result)};
    if (!get_int(value, "outcome", &result->outcome) || !get_int(value, "value", &result->value) ||
        !get_long(value, "max_rss", &max_rss) || max_rss < 0 ||
        !get_long(value, "cpu", &result->cpu_ns))
        return false;
    result->max_rss_bytes = (uint64_t)max_rss;
    result->started_pid = billet_json_integer(value, "started", 0);
    return billet_exec_result_is_valid(result);
}

json_t *
billet_message_resource(const struct billet_resource *resource)
{
    return json_pack("{s:o, s:o, s:o, s:I, s:I, s:I}", "ref", billet_json_bytes(resource->ref),
                     "deployment", billet_json_bytes(resource->deployment), "lease",
                     billet_json_bytes(resource->lease), "fence", (json_int_t)resource->fence,
                     "generation", (json_int_t)resource->generation, "age",
                     (json_int_t)resource->age_ns);
}

bool
billet_message_get_resource(const json_t *value, struct billet_resource *resource,
                            struct billet_strings *memory)
{
    int64_t fence;
    int64_t generation;
    *resource = (struct billet_resource){
        .struct_size = sizeof(*resource),
        .ref = billet_message_get_bytes(value, "ref", BILLET_REF_MAX - 1, memory),
        .deployment = billet_message_get_bytes(value, "deployment", NAME_MAX_BYTES, memory),
        .lease = billet_message_get_bytes(value, "lease", NAME_MAX_BYTES, memory),
    };
    if (resource->ref == NULL || !billet_ref_is_valid(resource->ref) ||
        resource->deployment == NULL || resource->lease == NULL ||
        !get_long(value, "fence", &fence) || !get_long(value, "generation", &generation) ||
        !get_long(value, "age", &resource->age_ns) || resource->age_ns < -1)
        return false;
    resource->fence = (uint64_t)fence;
    resource->generation = (uint64_t)generation;
    return true;
}

json_t *
billet_message_host_key(const struct billet_host_key *key)
{
    return json_pack("{s:s, s:s, s:s, s:o, s:i}", "host", key->host, "type", key->type,
                     "fingerprint", key->fingerprint, "file", billet_json_bytes(key->file), "state",
                     key->state);
}

static bool
is_word(const char *text, size_t longest)
{
    size_t length = text != NULL ? strnlen(text, longest + 1) : 0;
    if (length == 0 || length > longest)
        return false;
    for (const char *at = text; *at != '\0'; at++)
        if (*at <= ' ' || *at > '~')
            return false;
    return true;
}

bool
billet_host_key_is_valid(const struct billet_host_key *key)
{
    return is_word(key->host, HOST_MAX_BYTES) && is_word(key->type, HOST_MAX_BYTES) &&
           is_word(key->fingerprint, HOST_MAX_BYTES) && key->file != NULL &&
           strlen(key->file) <= NAME_MAX_BYTES && key->state >= BILLET_KEY_KNOWN &&
           key->state <= BILLET_KEY_REMOVED;
}

bool
billet_message_get_host_key(const json_t *value, struct billet_host_key *key,
                            struct billet_strings *memory)
{
    *key = (struct billet_host_key){
        .struct_size = sizeof(*key),
        .host = billet_json_string(value, "host", NULL),
        .type = billet_json_string(value, "type", NULL),
        .fingerprint = billet_json_string(value, "fingerprint", NULL),
        .file = billet_message_get_bytes(value, "file", NAME_MAX_BYTES, memory),
    };
    return get_int(value, "state", &key->state) && billet_host_key_is_valid(key);
}

bool
billet_facts_are_valid(const json_t *facts)
{
    const char *key;
    json_t *value;
    if (!json_is_object(facts) || json_object_size(facts) > BILLET_FACTS_MAX)
        return false;
    json_object_foreach ((json_t *)(uintptr_t)facts, key, value) {
        if (key[0] == '\0' || strlen(key) > BILLET_FACT_KEY_MAX || !json_is_string(value) ||
            json_string_length(value) > BILLET_FACT_VALUE_MAX)
            return false;
    }
    return true;
}

bool
billet_ref_is_valid(const char *ref)
{
    size_t length = strnlen(ref, BILLET_REF_MAX);
    if (length == 0 || length == BILLET_REF_MAX || !billet_text_is_utf8(ref, length))
        return false;
    for (const char *at = ref; *at != '\0'; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            return false;
    return true;
}
