/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets, their versions and stages, after the API reference of AWS Secrets Manager. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fake_aws.h"

#define SECRETS_MAX 512
#define VERSIONS_MAX 32

struct version {
    char id[65];
    json_t *text, *binary; /* one of them */
    bool current, pending, previous;
};

static struct secret {
    char name[513];
    struct version versions[VERSIONS_MAX];
    size_t count;
    int throttled;
} secrets[SECRETS_MAX];
static size_t secret_count;
static int made;

void
fail_with(struct answer *answer, int status, const char *type, const char *message)
{
    json_t *body = json_pack("{s:s+, s:s}", "__type", "com.amazonaws.secretsmanager#", type,
                             "Message", message);
    answer->status = status;
    snprintf(answer->type, sizeof(answer->type), "%s", type);
    free(answer->text);
    answer->text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
}

static void
invalid(struct answer *answer, const char *message)
{
    fail_with(answer, 400, "InvalidParameterException", message);
}

static void
arn_of(const struct secret *secret, char arn[700])
{
    snprintf(arn, 700, "arn:aws:secretsmanager:eu-test-1:123456789012:secret:%.512s-AbCdEf",
             secret->name);
}

static struct secret *
find(const char *name)
{
    for (size_t i = 0; i < secret_count; i++) {
        char arn[700];
        arn_of(&secrets[i], arn);
        if (strcmp(secrets[i].name, name) == 0 || strcmp(arn, name) == 0)
            return &secrets[i];
    }
    return NULL;
}

static struct version *
find_version(struct secret *secret, const char *id)
{
    for (size_t i = 0; i < secret->count; i++)
        if (strcmp(secret->versions[i].id, id) == 0)
            return &secret->versions[i];
    return NULL;
}

static bool *
stage_of(struct version *version, const char *stage)
{
    return strcmp(stage, "AWSCURRENT") == 0    ? &version->current
           : strcmp(stage, "AWSPENDING") == 0  ? &version->pending
           : strcmp(stage, "AWSPREVIOUS") == 0 ? &version->previous
                                               : NULL;
}

static struct version *
find_stage(struct secret *secret, const char *stage)
{
    for (size_t i = 0; i < secret->count; i++) {
        bool *has = stage_of(&secret->versions[i], stage);
        if (has != NULL && *has)
            return &secret->versions[i];
    }
    return NULL;
}

/* The version that was current becomes the previous one. */
static void
make_current(struct secret *secret, struct version *version)
{
    struct version *before = find_stage(secret, "AWSCURRENT");
    if (before == version)
        return;
    for (size_t i = 0; i < secret->count; i++)
        secret->versions[i].previous = false;
    if (before != NULL) {
        before->current = false;
        before->previous = true;
    }
    version->current = true;
}

static struct secret *
add_secret(const char *name)
{
    if (secret_count == SECRETS_MAX)
        exit(3);
    struct secret *secret = &secrets[secret_count++];
    snprintf(secret->name, sizeof(secret->name), "%s", name);
    return secret;
}

static struct version *
add_version(struct secret *secret, const char *id)
{
    if (secret->count == VERSIONS_MAX)
        exit(3);
    struct version *version = &secret->versions[secret->count++];
    snprintf(version->id, sizeof(version->id), "%s", id);
    return version;
}

void
store_add(const char *name, const char *value)
{
    char id[65];
    struct secret *secret = find(name);
    if (secret == NULL)
        secret = add_secret(name);
    snprintf(id, sizeof(id), "00000000-0000-4000-8000-%012d", ++made);
    struct version *version = add_version(secret, id);
    version->text = json_string(value);
    make_current(secret, version);
}

static json_t *
stages_of(struct version *version)
{
    json_t *stages = json_array();
    if (version->current)
        json_array_append_new(stages, json_string("AWSCURRENT"));
    if (version->pending)
        json_array_append_new(stages, json_string("AWSPENDING"));
    if (version->previous)
        json_array_append_new(stages, json_string("AWSPREVIOUS"));
    return stages;
}

/* ---- actions ------------------------------------------------------------------------------- */

static json_t *
name_parts(const struct secret *secret)
{
    char arn[700];
    arn_of(secret, arn);
    return json_pack("{s:s, s:s}", "ARN", arn, "Name", secret->name);
}

static json_t *
get_value(json_t *body, const struct key *key, struct answer *answer)
{
    const char *name = NULL, *id = NULL, *stage = NULL;
    if (json_unpack(body, "{s:s, s?s, s?s !}", "SecretId", &name, "VersionId", &id, "VersionStage",
                    &stage) != 0) {
        invalid(answer, "the request is not understood");
        return NULL;
    }
    struct secret *secret = find(name);
    if (key->poor) {
        fail_with(answer, 400, "AccessDeniedException",
                  "User is not authorized: LEAKED-by-the-provider");
        return NULL;
    }
    if (secret == NULL || secret->count == 0) {
        fail_with(answer, 400, "ResourceNotFoundException",
                  "Secrets Manager can't find the specified secret.");
        return NULL;
    }
    struct version *version = id != NULL ? find_version(secret, id)
                                         : find_stage(secret, stage != NULL ? stage : "AWSCURRENT");
    if (version == NULL ||
        (stage != NULL && (stage_of(version, stage) == NULL || !*stage_of(version, stage)))) {
        fail_with(answer, 400, "ResourceNotFoundException",
                  id != NULL ? "Secrets Manager can't find the specified secret value for VersionId"
                             : "Secrets Manager can't find the specified secret value for staging "
                               "label: LEAKED-by-the-provider");
        return NULL;
    }
    json_t *value = name_parts(secret);
    json_object_set_new(value, "VersionId", json_string(version->id));
    if (version->text != NULL)
        json_object_set(value, "SecretString", version->text);
    else
        json_object_set(value, "SecretBinary", version->binary);
    json_object_set_new(value, "VersionStages", stages_of(version));
    json_object_set_new(value, "CreatedDate", json_real(1.7e9));
    return value;
}

static bool
is_name(const char *name)
{
    return name[0] != '\0' && strlen(name) <= 512 &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/_+=.@-") ==
               strlen(name);
}

/* Both ways to write: the value and the token are alike. */
static json_t *
write_value(json_t *body, bool create, struct answer *answer)
{
    const char *name = NULL, *token = NULL, *kms = NULL, *description = NULL;
    json_t *text = NULL, *binary = NULL, *stages = NULL, *tags = NULL;
    int shape =
        create ? json_unpack(body, "{s:s, s:s, s?o, s?o, s?s, s?s, s?o !}", "Name", &name,
                             "ClientRequestToken", &token, "SecretString", &text, "SecretBinary",
                             &binary, "KmsKeyId", &kms, "Description", &description, "Tags", &tags)
               : json_unpack(body, "{s:s, s:s, s?o, s?o, s?o !}", "SecretId", &name,
                             "ClientRequestToken", &token, "SecretString", &text, "SecretBinary",
                             &binary, "VersionStages", &stages);
    const json_t *value = text != NULL ? text : binary;
    if (shape != 0 || strlen(token) < 32 || strlen(token) > 64 || !json_is_string(value) ||
        (text != NULL && binary != NULL) || json_string_length(value) > 65536 * 4 / 3 ||
        (create && !is_name(name))) {
        invalid(answer, "LEAKED-by-the-provider");
        return NULL;
    }
    struct secret *secret = find(name);
    struct version *version = secret != NULL ? find_version(secret, token) : NULL;
    if (create && secret != NULL && version == NULL) {
        fail_with(answer, 400, "ResourceExistsException", "The operation failed because it exists");
        return NULL;
    }
    if (!create && secret == NULL) {
        fail_with(answer, 400, "ResourceNotFoundException",
                  "Secrets Manager can't find the specified secret.");
        return NULL;
    }
    if (version == NULL) {
        secret = secret != NULL ? secret : add_secret(name);
        version = add_version(secret, token);
        version->text = json_incref(text);
        version->binary = json_incref(binary);
        const char *stage = json_string_value(json_array_get(stages, 0));
        struct version *other = stage != NULL ? find_stage(secret, stage) : NULL;
        if (stage != NULL && strcmp(stage, "AWSCURRENT") != 0 && secret->count > 1) {
            if (stage_of(version, stage) == NULL) {
                invalid(answer, "a stage of another name");
                return NULL;
            }
            if (other != NULL)
                *stage_of(other, stage) = false;
            *stage_of(version, stage) = true;
        } else {
            make_current(secret, version);
        }
    }
    json_t *result = name_parts(secret);
    json_object_set_new(result, "VersionId", json_string(version->id));
    if (!create)
        json_object_set_new(result, "VersionStages", stages_of(version));
    return result;
}

static json_t *
update_stage(json_t *body, struct answer *answer)
{
    const char *name = NULL, *stage = NULL, *from_id = NULL, *to_id = NULL;
    if (json_unpack(body, "{s:s, s:s, s?s, s?s !}", "SecretId", &name, "VersionStage", &stage,
                    "RemoveFromVersionId", &from_id, "MoveToVersionId", &to_id) != 0) {
        invalid(answer, "the request is not understood");
        return NULL;
    }
    struct secret *secret = find(name);
    struct version *from = secret != NULL && from_id != NULL ? find_version(secret, from_id) : NULL;
    struct version *to = secret != NULL && to_id != NULL ? find_version(secret, to_id) : NULL;
    struct version *holder = secret != NULL ? find_stage(secret, stage) : NULL;
    if (secret == NULL || (to_id != NULL && to == NULL)) {
        fail_with(answer, 400, "ResourceNotFoundException", "can't find the specified secret");
        return NULL;
    }
    if (strstr(name, "/stuck") != NULL && strcmp(stage, "AWSPENDING") == 0) {
        fail_with(answer, 400, "InvalidRequestException", "LEAKED-by-the-provider");
        return NULL;
    }
    if (stage_of(&secret->versions[0], stage) == NULL || holder != from ||
        (to == NULL && (from == NULL || strcmp(stage, "AWSCURRENT") == 0))) {
        invalid(answer, "the stage is attached to another version: LEAKED-by-the-provider");
        return NULL;
    }
    if (from != NULL && to != from)
        *stage_of(from, stage) = false;
    if (to != NULL && strcmp(stage, "AWSCURRENT") == 0) {
        if (from != NULL)
            from->current = true;
        make_current(secret, to);
    } else if (to != NULL) {
        *stage_of(to, stage) = true;
    }
    return name_parts(secret);
}

static bool
is_wanted(json_t *filters, const char *name)
{
    size_t index;
    json_t *filter;
    json_array_foreach (filters, index, filter) {
        const char *key = json_string_value(json_object_get(filter, "Key"));
        const char *value = json_string_value(json_array_get(json_object_get(filter, "Values"), 0));
        if (key == NULL || strcmp(key, "name") != 0 || value == NULL ||
            strncmp(name, value, strlen(value)) != 0)
            return false;
    }
    return true;
}

static int
by_name(const void *a, const void *b)
{
    return strcmp((*(struct secret *const *)a)->name, (*(struct secret *const *)b)->name);
}

static json_t *
list_secrets(json_t *body, struct answer *answer)
{
    static struct secret *sorted[SECRETS_MAX];
    json_int_t most = 100;
    const char *next = NULL, *order = "asc";
    json_t *filters = NULL;
    if (json_unpack(body, "{s?I, s?s, s?s, s?o !}", "MaxResults", &most, "NextToken", &next,
                    "SortOrder", &order, "Filters", &filters) != 0 ||
        most < 1 || most > 100 || strcmp(order, "asc") != 0) {
        invalid(answer, "the request is not understood");
        return NULL;
    }
    for (size_t i = 0; i < secret_count; i++)
        sorted[i] = &secrets[i];
    qsort(sorted, secret_count, sizeof(sorted[0]), by_name);
    json_t *result = json_pack("{s:[]}", "SecretList"),
           *list = json_object_get(result, "SecretList");
    size_t i = next != NULL ? strtoul(next + strlen("page-"), NULL, 10) : 0;
    if (next != NULL && strncmp(next, "page-", 5) != 0) {
        json_decref(result);
        fail_with(answer, 400, "InvalidNextTokenException", "the token is none");
        return NULL;
    }
    for (; i < secret_count && (json_int_t)json_array_size(list) < most; i++)
        if (is_wanted(filters, sorted[i]->name)) {
            json_t *item = name_parts(sorted[i]);
            json_object_set_new(item, "RotationEnabled", json_false());
            json_array_append_new(list, item);
        }
    /* As the service does: also a page that is not full may have another after it. */
    if (i < secret_count) {
        char token[32];
        snprintf(token, sizeof(token), "page-%zu", i);
        json_object_set_new(result, "NextToken", json_string(token));
    }
    return result;
}

static json_t *
list_versions(json_t *body, struct answer *answer)
{
    const char *name = NULL, *next = NULL;
    int most = 100, deprecated = 0;
    if (json_unpack(body, "{s:s, s?i, s?s, s?b !}", "SecretId", &name, "MaxResults", &most,
                    "NextToken", &next, "IncludeDeprecated", &deprecated) != 0 ||
        most < 1 || most > 100) {
        invalid(answer, "the request is not understood");
        return NULL;
    }
    struct secret *secret = find(name);
    if (secret == NULL) {
        fail_with(answer, 400, "ResourceNotFoundException", "can't find the specified secret");
        return NULL;
    }
    json_t *result = name_parts(secret), *list = json_array();
    for (size_t i = 0; i < secret->count; i++) {
        struct version *version = &secret->versions[i];
        if (deprecated || version->current || version->pending || version->previous)
            json_array_append_new(list, json_pack("{s:s, s:o, s:f}", "VersionId", version->id,
                                                  "VersionStages", stages_of(version),
                                                  "CreatedDate", 1.7e9));
    }
    json_object_set_new(result, "Versions", list);
    return result;
}

/* ---- answers that go wrong, by the last part of the name ----------------------------------------
 */

static bool
ends(const char *name, const char *with)
{
    const char *last = strrchr(name, '/');
    return last != NULL && strcmp(last + 1, with) == 0;
}

/* True: the answer is made. */
static bool
go_wrong(const char *name, struct answer *answer)
{
    struct secret *secret = find(name);
    if (ends(name, "throttled") ||
        (ends(name, "throttle") && secret != NULL && secret->throttled++ < 2))
        fail_with(answer, 400, "ThrottlingException", "Rate exceeded: LEAKED-by-the-provider");
    else if (ends(name, "500"))
        fail_with(answer, 500, "InternalServiceError", "LEAKED-by-the-provider");
    else if (ends(name, "unknown"))
        fail_with(answer, 400, "LEAKEDbyTheProvider", "LEAKED-by-the-provider");
    else if (ends(name, "deleted"))
        fail_with(answer, 400, "InvalidRequestException", "it is marked for deletion");
    else if (ends(name, "302")) {
        answer->status = 302;
        snprintf(answer->location, sizeof(answer->location), "http://127.0.0.1:1/");
    } else if (ends(name, "garbage")) {
        answer->status = 200;
        answer->text = strdup("<html>LEAKED-by-the-provider</html>");
    } else if (ends(name, "slow")) {
        answer->silent = true;
    } else {
        return false;
    }
    return true;
}

void
store_serve(const char *action, json_t *body, const struct key *key, struct answer *answer)
{
    json_t *result = NULL;
    const char *name = json_string_value(json_object_get(body, "SecretId"));
    if (name != NULL && strcmp(action, "GetSecretValue") == 0 && go_wrong(name, answer))
        return;
    if (strcmp(action, "GetSecretValue") == 0)
        result = get_value(body, key, answer);
    else if (strcmp(action, "CreateSecret") == 0 || strcmp(action, "PutSecretValue") == 0)
        result = write_value(body, action[0] == 'C', answer);
    else if (strcmp(action, "UpdateSecretVersionStage") == 0)
        result = update_stage(body, answer);
    else if (strcmp(action, "ListSecrets") == 0)
        result = list_secrets(body, answer);
    else if (strcmp(action, "ListSecretVersionIds") == 0)
        result = list_versions(body, answer);
    else
        fail_with(answer, 400, "UnknownOperationException", "");
    if (result == NULL)
        return;
    if (name != NULL && ends(name, "other"))
        json_object_set_new(result, "Name", json_string("another"));
    if (name != NULL && ends(name, "stage"))
        json_object_set_new(result, "VersionStages", json_pack("[s]", "AWSPREVIOUS"));
    if (name != NULL && ends(name, "huge"))
        answer->filler = 1048576;
    if (name != NULL && ends(name, "cut"))
        answer->promised = 100;
    answer->status = 200;
    answer->text = json_dumps(result, JSON_COMPACT);
    json_decref(result);
}
