/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vault_aws.c - AWS Secrets Manager: read, list, write and promote versions.
 *
 * Protocol: API reference of AWS Secrets Manager (2017-10-17), JSON 1.1 over POST: GetSecretValue,
 * CreateSecret, PutSecretValue, UpdateSecretVersionStage, ListSecrets, ListSecretVersionIds. A
 * version bears stages: AWSCURRENT is read, AWSPENDING waits to be, AWSPREVIOUS was. Each write
 * has a token of its own, so that it may be repeated.
 */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "secret/vault_aws.h"

#define CONTENT_TYPE "application/x-amz-json-1.1"
#define SERVICE "secretsmanager"
#define CURRENT "AWSCURRENT"
#define PENDING "AWSPENDING"
#define PREVIOUS "AWSPREVIOUS"

#define TRIES 4
#define PAUSE_NS INT64_C(100000000) /* before the second try; twice as long before each other */
#define PAGES_MAX 200
#define REFRESH_S 60 /* keys that end sooner are asked for anew */
#define NAME_MAX_BYTES 512

/* One use of the service. */
struct session {
    const struct billet_vault *vault;
    int64_t deadline_ns;
    char region[64];
    char address[600];
    struct billet_aws_key key;
};

/* ---- bodies, in guarded memory: they may hold a value --------------------------------------- */

static void
add(struct billet_secret *body, const char *text)
{
    size_t length = strlen(text);
    if (length > body->size - body->length) {
        body->size = 0; /* a size was computed wrongly: refused below */
        body->length = 0;
        return;
    }
    memcpy(body->bytes + body->length, text, length);
    body->length += length;
}

/* A JSON string of UTF-8. */
static void
add_string(struct billet_secret *body, const void *bytes, size_t length)
{
    const unsigned char *from = bytes;
    add(body, "\"");
    for (size_t i = 0; i < length; i++) {
        char one[8] = {(char)from[i]};
        if (from[i] == '"' || from[i] == '\\')
            snprintf(one, sizeof(one), "\\%c", from[i]);
        else if (from[i] < ' ')
            snprintf(one, sizeof(one), "\\u%04x", from[i]);
        add(body, one);
    }
    add(body, "\"");
}

static void
add_member(struct billet_secret *body, const char *name, const char *value)
{
    add(body, body->length > 1 ? ",\"" : "\"");
    add(body, name);
    add(body, "\":");
    add_string(body, value, strlen(value));
}

static int
begin(struct billet_secret *body, size_t room, struct billet_error *error)
{
    int result = billet_secret_make(body, room + 16384, error);
    if (result == 0)
        add(body, "{");
    return result;
}

/* Text as SecretString, any other bytes as SecretBinary. */
static int
add_value(struct billet_secret *body, const struct billet_secret *value, struct billet_error *error)
{
    size_t room = sodium_base64_ENCODED_LEN(value->length, sodium_base64_VARIANT_ORIGINAL);
    cleanup_secret struct billet_secret encoded = BILLET_SECRET_INIT;
    if (billet_text_is_utf8((const char *)value->bytes, value->length)) {
        add(body, ",\"SecretString\":");
        add_string(body, value->bytes, value->length);
        return 0;
    }
    int result = billet_secret_make(&encoded, room, error);
    if (result < 0)
        return result;
    sodium_bin2base64((char *)encoded.bytes, room, value->bytes, value->length,
                      sodium_base64_VARIANT_ORIGINAL);
    add_member(body, "SecretBinary", (const char *)encoded.bytes);
    return 0;
}

/* ---- requests ---------------------------------------------------------------------------------
 */

static int
check(const struct billet_vault *vault, struct billet_error *error)
{
    if ((vault->access_key_id == NULL) != !vault->has_secret_access_key)
        return billet_vault_invalid(vault, error,
                                    "access_key_id and secret_access_key go together");
    if (strcmp(vault->credentials, "section") == 0 && vault->access_key_id == NULL)
        return billet_vault_invalid(vault, error, "credentials = section needs access_key_id");
    if (vault->sts_address != NULL && billet_vault_check_address(vault, vault->sts_address, error))
        return -BILLET_CLASS_CONFIG;
    return vault->address != NULL ? billet_vault_check_address(vault, vault->address, error) : 0;
}

static int
open_session(const struct billet_vault *vault, struct session *session, struct billet_error *error)
{
    const char *named = vault->address;
    *session = (struct session){.vault = vault,
                                .deadline_ns = billet_clock_monotonic() + vault->timeout_ns};
    int result = billet_aws_region(vault, session->region, error);
    if (result < 0)
        return result;
    if (named == NULL)
        named = secure_getenv("AWS_ENDPOINT_URL_SECRETS_MANAGER");
    if (named == NULL)
        named = secure_getenv("AWS_ENDPOINT_URL");
    if (named == NULL) {
        snprintf(session->address, sizeof(session->address), "https://" SERVICE ".%s.%s",
                 session->region, billet_aws_domain(session->region));
        return 0;
    }
    billet_text_copy(session->address, sizeof(session->address), named);
    size_t length = strlen(session->address);
    if (length > 0 && session->address[length - 1] == '/')
        session->address[length - 1] = '\0';
    return billet_vault_check_address(vault, session->address, error);
}

static void
close_session(struct session *session)
{
    billet_aws_key_free(&session->key);
}

/* A key that is good for a while. */
static int
take_key(struct session *session, struct billet_error *error)
{
    struct billet_aws_key *key = &session->key;
    if (key->secret.bytes != NULL &&
        (key->expires_s == 0 || key->expires_s - REFRESH_S > time(NULL)))
        return 0;
    billet_aws_key_free(key);
    return billet_aws_credentials(session->vault, session->region, session->deadline_ns, key,
                                  error);
}

static int
ask_once(struct session *session, const char *target, const struct billet_secret *body,
         const char **type, json_t **value, struct billet_error *error)
{
    cleanup_secret struct billet_secret answer = BILLET_SECRET_INIT;
    long status = 0;
    *type = "";
    int result = take_key(session, error);
    const struct billet_aws_call call = {.address = session->address,
                                         .region = session->region,
                                         .service = SERVICE,
                                         .content_type = CONTENT_TYPE,
                                         .target = target,
                                         .body = body,
                                         .key = &session->key,
                                         .deadline_ns = session->deadline_ns};
    if (result == 0)
        result = billet_aws_call(session->vault, &call, &status, &answer, error);
    if (result == 0 && status != 200)
        result = billet_aws_failed(session->vault, status, &answer, type, error);
    return result < 0 ? result : billet_vault_http_json(session->vault, &answer, value, error);
}

/* Is there time for another try, after a pause? */
static bool
pause_before(const struct session *session, int tries)
{
    int64_t pause_ns = (PAUSE_NS << (tries - 1)) + (int64_t)randombytes_uniform(PAUSE_NS);
    struct timespec pause = {.tv_sec = pause_ns / 1000000000, .tv_nsec = pause_ns % 1000000000};
    if (billet_clock_monotonic() + pause_ns >= session->deadline_ns)
        return false;
    nanosleep(&pause, NULL);
    return true;
}

/* What is throttled or broken is asked again, and once with new keys when they are too old. */
static int
ask(struct session *session, const char *operation, struct billet_secret *body, json_t **value,
    struct billet_error *error)
{
    char target[96];
    bool refreshed = false;
    add(body, "}");
    if (body->length == 0)
        return billet_error_set(error, BILLET_CLASS_INTERNAL, "internal",
                                "a request is longer than its room");
    body->bytes[body->length] = '\0';
    snprintf(target, sizeof(target), SERVICE ".%s", operation);
    for (int tries = 1;; tries++) {
        struct billet_error why = BILLET_ERROR_INIT;
        const char *type;
        int result = ask_once(session, target, body, &type, value, &why);
        if (result == 0)
            return 0;
        bool expired =
            strcmp(type, "ExpiredTokenException") == 0 || strcmp(type, "ExpiredToken") == 0;
        bool again = expired ? !refreshed && session->key.token.bytes != NULL
                             : strcmp(why.code, "vault_throttled") == 0 ||
                                   (strcmp(why.code, "vault_unreachable") == 0 && type[0] != '\0');
        if (expired)
            billet_aws_key_free(&session->key);
        if (again && tries < TRIES && (expired || pause_before(session, tries))) {
            refreshed = refreshed || expired;
            continue;
        }
        if (error != NULL)
            *error = why;
        return billet_error_wrap(error, "%s", operation);
    }
}

static int
not_understood(const struct session *session, struct billet_error *error)
{
    return billet_vault_failed(session->vault, "vault_answer_invalid", error);
}

static bool
has_stage(const json_t *stages, const char *stage)
{
    size_t index;
    const json_t *one;
    json_array_foreach (stages, index, one)
        if (billet_text_equal(json_string_value(one), stage))
            return true;
    return false;
}

/* A version's id, or a stage. */
static bool
is_stage(const char *label)
{
    return billet_text_starts(label, "AWS");
}

/* ---- reading ------------------------------------------------------------------------------------
 */

/* Is it what was asked for? A service that gives another secret is not believed. */
static int
check_answer(const struct session *session, const struct billet_vault_path *path,
             const json_t *answer, struct billet_error *error)
{
    const char *label = path->label[0] != '\0' ? path->label : CURRENT;
    const json_t *stages = json_object_get(answer, "VersionStages");
    bool named = billet_text_equal(billet_json_string(answer, "Name", NULL), path->path) ||
                 billet_text_equal(billet_json_string(answer, "ARN", NULL), path->path);
    bool right = is_stage(label) ? has_stage(stages, label)
                                 : strcmp(billet_json_string(answer, "VersionId", ""), label) == 0;
    return named && right ? 0 : not_understood(session, error);
}

static int
take_binary(const struct session *session, const json_t *binary, struct billet_secret *value,
            struct billet_error *error)
{
    cleanup_secret struct billet_secret decoded = BILLET_SECRET_INIT;
    size_t length = json_string_length(binary);
    int result = billet_secret_make(&decoded, length / 4 * 3 + 3, error);
    if (result < 0)
        return result;
    if (sodium_base642bin(decoded.bytes, decoded.size, json_string_value(binary), length, NULL,
                          &decoded.length, NULL, sodium_base64_VARIANT_ORIGINAL) != 0)
        return not_understood(session, error);
    return decoded.length > BILLET_SECRET_MAX
               ? billet_vault_failed(session->vault, "vault_value_too_large", error)
               : billet_secret_copy(value, decoded.bytes, decoded.length, error);
}

/* All of it, or a field of what is JSON. */
static int
take_value(const struct session *session, const struct billet_vault_path *path,
           const json_t *answer, struct billet_secret *value, struct billet_error *error)
{
    const json_t *text = json_object_get(answer, "SecretString");
    const json_t *binary = json_object_get(answer, "SecretBinary");
    cleanup_wiped_json json_t *fields = NULL;
    if (json_is_string(text) == json_is_string(binary))
        return not_understood(session, error);
    if (path->field[0] != '\0') {
        if (json_is_string(text))
            fields = billet_vault_load_json(json_string_value(text), json_string_length(text));
        return billet_vault_take_field(session->vault, fields, path->field, value, error);
    }
    if (json_is_string(binary))
        return take_binary(session, binary, value, error);
    return json_string_length(text) > BILLET_SECRET_MAX
               ? billet_vault_failed(session->vault, "vault_value_too_large", error)
               : billet_secret_copy(value, json_string_value(text), json_string_length(text),
                                    error);
}

static int
get(const struct billet_vault *vault, const struct billet_vault_path *path,
    struct billet_secret *value, struct billet_error *error)
{
    struct session session;
    cleanup_secret struct billet_secret body = BILLET_SECRET_INIT;
    cleanup_wiped_json json_t *answer = NULL;
    const char *label = path->label[0] != '\0' ? path->label : CURRENT;
    int result = open_session(vault, &session, error);
    if (result == 0)
        result = begin(&body, 0, error);
    if (result == 0) {
        add_member(&body, "SecretId", path->path);
        add_member(&body, is_stage(label) ? "VersionStage" : "VersionId", label);
        result = ask(&session, "GetSecretValue", &body, &answer, error);
    }
    if (result == 0)
        result = check_answer(&session, path, answer, error);
    if (result == 0)
        result = take_value(&session, path, answer, value, error);
    close_session(&session);
    return result;
}

/* ---- looking around: no value is asked for
 * -------------------------------------------------------- */

/* Every page of an operation; each item of its list goes to take. 1: take wanted no more. */
typedef int take_item(const json_t *item, void *context);

static int
each(struct session *session, const char *operation, const char *members, const char *list_name,
     int pages, take_item *take, void *context, struct billet_error *error)
{
    char next[4097] = "";
    for (int page = 0; page < pages; page++) {
        cleanup_secret struct billet_secret body = BILLET_SECRET_INIT;
        cleanup_wiped_json json_t *answer = NULL;
        size_t index;
        const json_t *item;
        int result = begin(&body, 4 * NAME_MAX_BYTES + 6 * sizeof(next), error);
        if (result < 0)
            return result;
        add(&body, members);
        if (next[0] != '\0')
            add_member(&body, "NextToken", next);
        result = ask(session, operation, &body, &answer, error);
        if (result < 0)
            return result;
        const json_t *items = json_object_get(answer, list_name);
        const char *after = billet_json_string(answer, "NextToken", "");
        if (!json_is_array(items) || strlen(after) >= sizeof(next))
            return not_understood(session, error);
        json_array_foreach (items, index, item) {
            result = take(item, context);
            if (result < 0)
                return not_understood(session, error);
            if (result > 0)
                return 1;
        }
        if (after[0] == '\0')
            return 0;
        if (strcmp(after, next) == 0) /* it goes in a circle */
            return not_understood(session, error);
        snprintf(next, sizeof(next), "%s", after);
    }
    return 1;
}

struct looking {
    const char *guard; /* of the vault; "" */
    const char *prefix;
    billet_vault_visit *visit;
    void *context;
    char folder[BILLET_VAULT_PATH_MAX]; /* of discover: the one that was told last */
    bool folders;
};

/* Below the prefix as a folder, unless that is less than the vault's own. */
static bool
is_below(const struct looking *looking, const char *name)
{
    size_t length = strlen(looking->prefix);
    if (strncmp(name, looking->guard, strlen(looking->guard)) != 0 ||
        strncmp(name, looking->prefix, length) != 0)
        return false;
    return length <= strlen(looking->guard) || name[length] == '\0' || name[length] == '/';
}

static int
take_name(const json_t *item, void *context)
{
    struct looking *looking = context;
    const char *name = billet_json_string(item, "Name", NULL);
    if (name == NULL || strlen(name) > NAME_MAX_BYTES)
        return -1;
    if (!is_below(looking, name))
        return 0;
    if (!looking->folders)
        return looking->visit(
            name, json_is_true(json_object_get(item, "RotationEnabled")) ? "rotated" : "secret",
            looking->context);
    /* They come sorted by name or not: a folder may be told twice, and is counted by the caller. */
    char folder[BILLET_VAULT_PATH_MAX];
    size_t length = strcspn(name, "/");
    snprintf(folder, sizeof(folder), "%.*s%s", (int)length, name, name[length] == '/' ? "/" : "");
    if (strcmp(folder, looking->folder) == 0)
        return 0;
    snprintf(looking->folder, sizeof(looking->folder), "%s", folder);
    return looking->visit(folder, name[length] == '/' ? "prefix" : "secret", looking->context);
}

static int
look(const struct billet_vault *vault, const char *prefix, int pages, struct looking *looking,
     struct session *session, struct billet_error *error)
{
    cleanup_secret struct billet_secret members = BILLET_SECRET_INIT;
    const char *filter = prefix[0] != '\0' ? prefix : looking->guard;
    int result = open_session(vault, session, error);
    if (result == 0)
        result = billet_secret_make(&members, 16384, error);
    if (result < 0)
        return result;
    add(&members, pages > 0 ? "\"MaxResults\":100,\"SortOrder\":\"asc\"" : "\"MaxResults\":1");
    if (filter[0] != '\0') {
        add(&members, ",\"Filters\":[{\"Key\":\"name\",\"Values\":[");
        add_string(&members, filter, strlen(filter));
        add(&members, "]}]");
    }
    return each(session, "ListSecrets", (const char *)members.bytes, "SecretList",
                pages > 0 ? pages : 1, take_name, looking, error);
}

static int
list(const struct billet_vault *vault, const char *prefix, billet_vault_visit *visit, void *context,
     struct billet_error *error)
{
    struct session session = {0};
    struct looking looking = {.guard = vault->prefix != NULL ? vault->prefix : "",
                              .prefix = prefix,
                              .visit = visit,
                              .context = context};
    int result = look(vault, prefix, PAGES_MAX, &looking, &session, error);
    close_session(&session);
    return result;
}

static int
discover(const struct billet_vault *vault, billet_vault_visit *visit, void *context,
         struct billet_error *error)
{
    struct session session = {0};
    struct looking looking = {.guard = vault->prefix != NULL ? vault->prefix : "",
                              .prefix = "",
                              .visit = visit,
                              .context = context,
                              .folders = true};
    int result = look(vault, "", PAGES_MAX, &looking, &session, error);
    close_session(&session);
    return result;
}

static int
ignore_name(const char *path, const char *note, void *context)
{
    (void)path;
    (void)note;
    (void)context;
    return 0;
}

static int
probe(const struct billet_vault *vault, char *found, size_t size, struct billet_error *error)
{
    struct session session = {0};
    struct looking looking = {
        .guard = vault->prefix != NULL ? vault->prefix : "", .prefix = "", .visit = ignore_name};
    int result = look(vault, "", 0, &looking, &session, error);
    if (result >= 0)
        snprintf(found, size, "region %s, key %s from %s; secrets can be listed", session.region,
                 session.key.id, session.key.source);
    close_session(&session);
    return result < 0 ? result : 0;
}

/* ---- versions
 * ---------------------------------------------------------------------------------------- */

struct versions {
    char current[BILLET_VAULT_VERSION_MAX + 1], pending[BILLET_VAULT_VERSION_MAX + 1];
    char previous[BILLET_VAULT_VERSION_MAX + 1], wanted[BILLET_VAULT_VERSION_MAX + 1];
    const char *label;         /* of wanted */
    billet_vault_visit *visit; /* NULL: only those above */
    void *context;
};

static int
take_version(const json_t *item, void *context)
{
    struct versions *versions = context;
    const char *id = billet_json_string(item, "VersionId", "");
    const json_t *stages = json_object_get(item, "VersionStages");
    char note[256] = "";
    size_t index, length = 0;
    const json_t *stage;
    if (id[0] == '\0' || strlen(id) > BILLET_VAULT_VERSION_MAX)
        return -1;
    const struct {
        const char *stage;
        char *to;
    } known[] = {
        {CURRENT, versions->current}, {PENDING, versions->pending}, {PREVIOUS, versions->previous}};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (has_stage(stages, known[i].stage))
            snprintf(known[i].to, sizeof(versions->current), "%s", id);
    if (versions->label != NULL &&
        (strcmp(versions->label, id) == 0 || has_stage(stages, versions->label)))
        snprintf(versions->wanted, sizeof(versions->wanted), "%s", id);
    json_array_foreach (stages, index, stage)
        if (length < sizeof(note))
            length += (size_t)snprintf(note + length, sizeof(note) - length, "%s%.64s",
                                       length > 0 ? " " : "", json_string_value(stage));
    return versions->visit != NULL ? versions->visit(id, note, versions->context) : 0;
}

static int
find_versions(struct session *session, const char *path, struct versions *versions,
              struct billet_error *error)
{
    cleanup_secret struct billet_secret members = BILLET_SECRET_INIT;
    int result = billet_secret_make(&members, 16384, error);
    if (result < 0)
        return result;
    add(&members, "\"MaxResults\":100,\"SecretId\":");
    add_string(&members, path, strlen(path));
    result = each(session, "ListSecretVersionIds", (const char *)members.bytes, "Versions", 20,
                  take_version, versions, error);
    return result < 0 ? result : 0;
}

static int
list_versions(const struct billet_vault *vault, const struct billet_vault_path *path,
              billet_vault_visit *visit, void *context, struct billet_error *error)
{
    struct session session;
    struct versions versions = {.visit = visit, .context = context};
    int result = open_session(vault, &session, error);
    if (result == 0)
        result = find_versions(&session, path->path, &versions, error);
    close_session(&session);
    return result;
}

/* ---- writing
 * -------------------------------------------------------------------------------------------- */

/* A random id, which is the version's afterwards: a repeated request makes no second one. */
static void
make_version(char version[BILLET_VAULT_VERSION_MAX + 1])
{
    unsigned char bytes[16];
    char hex[33];
    randombytes_buf(bytes, sizeof(bytes));
    bytes[6] = (unsigned char)((bytes[6] & 0x0f) | 0x40);
    bytes[8] = (unsigned char)((bytes[8] & 0x3f) | 0x80);
    sodium_bin2hex(hex, sizeof(hex), bytes, sizeof(bytes));
    snprintf(version, BILLET_VAULT_VERSION_MAX + 1, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8,
             hex + 12, hex + 16, hex + 20);
}

static int
put(const struct billet_vault *vault, const struct billet_vault_path *path,
    enum billet_vault_put how, const struct billet_secret *value,
    char version[BILLET_VAULT_VERSION_MAX + 1], struct billet_error *error)
{
    struct session session;
    cleanup_secret struct billet_secret body = BILLET_SECRET_INIT;
    cleanup_wiped_json json_t *answer = NULL;
    bool create = how == BILLET_VAULT_CREATE;
    make_version(version);
    int result = open_session(vault, &session, error);
    if (result == 0)
        result = begin(&body, 6 * value->length, error);
    if (result == 0) {
        add_member(&body, create ? "Name" : "SecretId", path->path);
        add_member(&body, "ClientRequestToken", version);
        if (create && vault->kms_key != NULL)
            add_member(&body, "KmsKeyId", vault->kms_key);
        if (!create)
            add(&body, how == BILLET_VAULT_PENDING ? ",\"VersionStages\":[\"" PENDING "\"]"
                                                   : ",\"VersionStages\":[\"" CURRENT "\"]");
        result = add_value(&body, value, error);
    }
    if (result == 0)
        result = ask(&session, create ? "CreateSecret" : "PutSecretValue", &body, &answer, error);
    if (result == 0 && strcmp(billet_json_string(answer, "VersionId", ""), version) != 0)
        result = not_understood(&session, error);
    close_session(&session);
    return result;
}

/* Move a stage; either version may be NULL. The service refuses when from does not bear it. */
static int
move_stage(struct session *session, const char *path, const char *stage, const char *from,
           const char *to, struct billet_error *error)
{
    cleanup_secret struct billet_secret body = BILLET_SECRET_INIT;
    cleanup_wiped_json json_t *answer = NULL;
    int result = begin(&body, 0, error);
    if (result < 0)
        return result;
    add_member(&body, "SecretId", path);
    add_member(&body, "VersionStage", stage);
    if (from != NULL)
        add_member(&body, "RemoveFromVersionId", from);
    if (to != NULL)
        add_member(&body, "MoveToVersionId", to);
    return ask(session, "UpdateSecretVersionStage", &body, &answer, error);
}

/* Make the version the current one; what was is AWSPREVIOUS. When its AWSPENDING cannot be taken
 * away, all is as it was before. */
static int
promote_in(struct session *session, const struct billet_vault_path *path, bool back,
           char version[BILLET_VAULT_VERSION_MAX + 1], struct billet_error *error)
{
    struct versions versions = {.label = path->label[0] != '\0' ? path->label
                                         : back                 ? PREVIOUS
                                                                : PENDING};
    int result = find_versions(session, path->path, &versions, error);
    if (result < 0)
        return result;
    if (versions.wanted[0] == '\0' || versions.current[0] == '\0') {
        billet_vault_failed(session->vault, "vault_version_missing", error);
        return billet_error_wrap(error, "no version is %.64s", versions.label);
    }
    snprintf(version, BILLET_VAULT_VERSION_MAX + 1, "%s", versions.wanted);
    if (strcmp(versions.wanted, versions.current) != 0)
        result = move_stage(session, path->path, CURRENT, versions.current, versions.wanted, error);
    if (result < 0 || strcmp(versions.wanted, versions.pending) != 0)
        return result;
    result = move_stage(session, path->path, PENDING, versions.pending, NULL, error);
    if (result < 0 && strcmp(versions.wanted, versions.current) != 0) {
        struct billet_error undone = BILLET_ERROR_INIT;
        if (move_stage(session, path->path, CURRENT, versions.wanted, versions.current, &undone) <
            0)
            return billet_error_wrap(error, "the version is current, and still %s as well",
                                     PENDING);
        return billet_error_wrap(error, "the version was made current and taken back");
    }
    return result;
}

static int
promote(const struct billet_vault *vault, const struct billet_vault_path *path, bool back,
        char version[BILLET_VAULT_VERSION_MAX + 1], struct billet_error *error)
{
    struct session session;
    int result = open_session(vault, &session, error);
    if (result == 0)
        result = promote_in(&session, path, back, version, error);
    close_session(&session);
    return result;
}

static const struct billet_vault_module module = {
    .struct_size = sizeof(module),
    .interface = BILLET_VAULT_INTERFACE,
    .type = "aws",
    .labels = true,
    .check = check,
    .get = get,
    .probe = probe,
    .list = list,
    .discover = discover,
    .versions = list_versions,
    .put = put,
    .promote = promote,
};

__attribute__((visibility("default"))) const struct billet_vault_module *billet_vault_module(void);

const struct billet_vault_module *
billet_vault_module(void)
{
    return &module;
}
