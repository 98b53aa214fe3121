/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vault_hashicorp.c - HashiCorp Vault and OpenBao: their key-value engine, version 1 or 2.
 *
 * Protocol: the HTTP API documentation of both, "KV secrets engine" versions 1 and 2, "AppRole",
 * "Kubernetes auth method", "/sys/health", "/sys/internal/ui/mounts". Statuses: 400 invalid, 403
 * denied, 404 nothing there (also for what the token may not see), 429 too many, 473/472 standby,
 * 503 sealed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/io.h"
#include "base/text.h"
#include "secret/vault_http.h"

#define HEADERS_MAX 5
#define JWT_MAX 16384

/* One use of the server: who we are there, until when. */
struct session {
    const struct billet_vault *vault;
    int64_t deadline_ns;
    struct billet_secret token_header; /* "X-Vault-Token: ..." */
    bool made;                         /* the token is this session's own */
};

static int
check(const struct billet_vault *vault, struct billet_error *error)
{
    if (vault->address == NULL)
        return billet_vault_invalid(vault, error, "address is missing");
    if (strchr(vault->mount, ' ') != NULL || strstr(vault->mount, "..") != NULL)
        return billet_vault_invalid(vault, error, "mount is not a path");
    if (strcmp(vault->auth, "approle") == 0 && vault->role_id == NULL)
        return billet_vault_invalid(vault, error, "auth = approle needs role_id and secret_id");
    if (strcmp(vault->auth, "kubernetes") == 0 && vault->role == NULL)
        return billet_vault_invalid(vault, error, "auth = kubernetes needs role");
    return billet_vault_check_address(vault, vault->address, error);
}

/* path is below /v1/, encoded. */
static int
request(const struct session *session, const char *method, const char *path, const char *body,
        long *status, struct billet_secret *answer, struct billet_error *error)
{
    cleanup_buffer struct billet_buffer url = BILLET_BUFFER_INIT;
    char name_space[320];
    const char *headers[HEADERS_MAX] = {"X-Vault-Request: true"};
    size_t count = 1;
    if (session->token_header.bytes != NULL)
        headers[count++] = (const char *)session->token_header.bytes;
    if (session->vault->name_space != NULL) {
        snprintf(name_space, sizeof(name_space), "X-Vault-Namespace: %s",
                 session->vault->name_space);
        headers[count++] = name_space;
    }
    if (body != NULL)
        headers[count++] = "Content-Type: application/json";
    billet_buffer_format(&url, "%s/v1/%s", session->vault->address, path);
    if (url.failed)
        return billet_error_no_memory(error);
    const struct billet_vault_request wanted = {.method = method,
                                                .url = billet_buffer_text(&url),
                                                .headers = headers,
                                                .body = body,
                                                .deadline_ns = session->deadline_ns};
    return billet_vault_http(session->vault, &wanted, status, answer, error);
}

/* What a status other than 200 means; what the server says about it is not repeated. */
static int
judge(const struct session *session, long status, struct billet_error *error)
{
    const char *code = "vault_answer_invalid";
    if (status == 400 || status == 401 || status == 403)
        code = "vault_denied";
    else if (status == 404)
        code = "vault_entry_missing";
    else if (status == 429)
        code = "vault_throttled";
    else if (status == 307 || status == 412 || status == 472 || status == 473 || status == 503)
        code = "vault_sealed";
    else if (status >= 500)
        code = "vault_unreachable";
    billet_vault_failed(session->vault, code, error);
    return billet_error_wrap(error, "status %ld", status);
}

static int
ask(const struct session *session, const char *method, const char *path, const char *body,
    json_t **value, struct billet_error *error)
{
    cleanup_secret struct billet_secret answer = BILLET_SECRET_INIT;
    long status = 0;
    int result = request(session, method, path, body, &status, &answer, error);
    if (result == 0 && status != 200)
        result = judge(session, status, error);
    return result < 0 ? result : billet_vault_http_json(session->vault, &answer, value, error);
}

/* ---- who we are ------------------------------------------------------------------------- */

static int
take_token(struct session *session, const char *token, size_t length, struct billet_error *error)
{
    static const char name[] = "X-Vault-Token: ";
    if (length == 0 || length > 16384 || strcspn(token, "\r\n") != length)
        return billet_vault_failed(session->vault, "vault_denied", error);
    int result = billet_secret_make(&session->token_header, strlen(name) + length, error);
    if (result < 0)
        return result;
    memcpy(session->token_header.bytes, name, strlen(name));
    memcpy(session->token_header.bytes + strlen(name), token, length);
    session->token_header.length = strlen(name) + length;
    session->token_header.bytes[session->token_header.length] = '\0';
    return 0;
}

static int
log_in(struct session *session, const char *method, json_t *body, struct billet_error *error)
{
    const struct billet_vault *vault = session->vault;
    cleanup_buffer struct billet_buffer path = BILLET_BUFFER_INIT;
    cleanup_wiped_json json_t *value = NULL;
    char *text = body != NULL ? billet_json_text(body) : NULL;
    billet_buffer_add(&path, "auth/");
    billet_vault_url_add(&path, vault->auth_mount != NULL ? vault->auth_mount : method);
    billet_buffer_add(&path, "/login");
    billet_vault_wipe_json(&body);
    if (text == NULL || path.failed) {
        free(text);
        return billet_error_no_memory(error);
    }
    int result = ask(session, "POST", billet_buffer_text(&path), text, &value, error);
    explicit_bzero(text, strlen(text));
    free(text);
    if (result < 0)
        return billet_error_wrap(error, "login by %s", method);
    const json_t *token = json_object_get(json_object_get(value, "auth"), "client_token");
    if (!json_is_string(token))
        return billet_vault_failed(vault, "vault_answer_invalid", error);
    session->made = true;
    return take_token(session, json_string_value(token), json_string_length(token), error);
}

static int
log_in_kubernetes(struct session *session, struct billet_error *error)
{
    cleanup_buffer struct billet_buffer jwt = BILLET_BUFFER_INIT;
    int result = billet_io_read_file(session->vault->jwt_file, &jwt, JWT_MAX, error);
    if (result < 0)
        return billet_error_wrap(error, "vault '%s': the service account's token",
                                 session->vault->name);
    while (jwt.length > 0 && strchr("\r\n ", jwt.data[jwt.length - 1]) != NULL)
        jwt.length--;
    json_t *body =
        json_pack("{s:s, s:s%}", "role", session->vault->role, "jwt", jwt.data, jwt.length);
    if (jwt.length > 0)
        explicit_bzero(jwt.data, jwt.length);
    return log_in(session, "kubernetes", body, error);
}

static int
open_session(const struct billet_vault *vault, struct session *session, struct billet_error *error)
{
    *session = (struct session){.vault = vault,
                                .deadline_ns = billet_clock_monotonic() + vault->timeout_ns};
    if (strcmp(vault->auth, "kubernetes") == 0)
        return log_in_kubernetes(session, error);
    if (strcmp(vault->auth, "approle") == 0)
        return log_in(session, "approle",
                      vault->secret_id.bytes != NULL
                          ? json_pack("{s:s, s:s%}", "role_id", vault->role_id, "secret_id",
                                      (const char *)vault->secret_id.bytes, vault->secret_id.length)
                          : json_pack("{s:s}", "role_id", vault->role_id),
                      error);
    if (vault->token.bytes == NULL)
        return billet_vault_invalid(vault, error, "auth = token needs token");
    return take_token(session, (const char *)vault->token.bytes, vault->token.length, error);
}

/* A token that was made for this alone does not outlive it. */
static void
close_session(struct session *session)
{
    cleanup_secret struct billet_secret answer = BILLET_SECRET_INIT;
    struct billet_error ignored = BILLET_ERROR_INIT;
    long status;
    if (session->made && session->token_header.bytes != NULL)
        request(session, "POST", "auth/token/revoke-self", "{}", &status, &answer, &ignored);
    billet_secret_free(&session->token_header);
}

/* ---- the engine ---------------------------------------------------------------------------- */

/* 1 or 2. A server that does not tell, or not to us, is taken for 2, as its own client does. */
static int
engine_version(const struct session *session, int *version, struct billet_error *error)
{
    cleanup_buffer struct billet_buffer path = BILLET_BUFFER_INIT;
    cleanup_secret struct billet_secret answer = BILLET_SECRET_INIT;
    cleanup_wiped_json json_t *value = NULL;
    long status = 0;
    *version = 2;
    billet_buffer_add(&path, "sys/internal/ui/mounts/");
    billet_vault_url_add(&path, session->vault->mount);
    if (path.failed)
        return billet_error_no_memory(error);
    int result = request(session, "GET", billet_buffer_text(&path), NULL, &status, &answer, error);
    if (result < 0)
        return result;
    if (status == 403 || status == 404)
        return 0;
    if (status != 200)
        return judge(session, status, error);
    result = billet_vault_http_json(session->vault, &answer, &value, error);
    if (result < 0)
        return result;
    const json_t *options = json_object_get(json_object_get(value, "data"), "options");
    const json_t *told = json_object_get(options, "version");
    *version = json_is_string(told) && strcmp(json_string_value(told), "2") == 0 ? 2 : 1;
    return 0;
}

static int
engine_path(const struct session *session, int version, const char *part, const char *path,
            struct billet_buffer *to, struct billet_error *error)
{
    billet_vault_url_add(to, session->vault->mount);
    if (version == 2)
        billet_buffer_format(to, "/%s", part);
    if (path[0] != '\0')
        billet_buffer_add_char(to, '/');
    billet_vault_url_add(to, path);
    return to->failed ? billet_error_no_memory(error) : 0;
}

static int
get_in(const struct session *session, const struct billet_vault_path *path,
       struct billet_secret *value, struct billet_error *error)
{
    cleanup_buffer struct billet_buffer url = BILLET_BUFFER_INIT;
    cleanup_secret struct billet_secret answer = BILLET_SECRET_INIT;
    cleanup_wiped_json json_t *object = NULL;
    int version = 2;
    long status = 0;
    int result = engine_version(session, &version, error);
    if (result == 0 && version == 1 && path->version > 0)
        return billet_vault_failed(session->vault, "vault_version_missing", error);
    if (result == 0)
        result = engine_path(session, version, "data", path->path, &url, error);
    if (result < 0)
        return result;
    if (path->version > 0)
        billet_buffer_format(&url, "?version=%lld", (long long)path->version);
    result = request(session, "GET", billet_buffer_text(&url), NULL, &status, &answer, error);
    if (result < 0)
        return result;
    /* A version that was deleted or destroyed is a 404 with its metadata. */
    if (status == 404 && billet_vault_http_json(session->vault, &answer, &object, NULL) == 0 &&
        json_object_get(json_object_get(object, "data"), "metadata") != NULL)
        return billet_vault_failed(session->vault, "vault_version_missing", error);
    if (status != 200)
        return judge(session, status, error);
    result = billet_vault_http_json(session->vault, &answer, &object, error);
    if (result < 0)
        return result;
    const json_t *data = json_object_get(object, "data");
    if (version == 2)
        data = json_object_get(data, "data");
    if (!json_is_object(data))
        return billet_vault_failed(session->vault, "vault_answer_invalid", error);
    return billet_vault_take_field(session->vault, data, path->field, value, error);
}

static int
get(const struct billet_vault *vault, const struct billet_vault_path *path,
    struct billet_secret *value, struct billet_error *error)
{
    struct session session;
    int result = open_session(vault, &session, error);
    if (result == 0)
        result = get_in(&session, path, value, error);
    close_session(&session);
    return result;
}

/* ---- looking around ------------------------------------------------------------------------- */

static int
list_in(const struct session *session, const char *prefix, billet_vault_visit *visit, void *context,
        struct billet_error *error)
{
    cleanup_buffer struct billet_buffer url = BILLET_BUFFER_INIT;
    cleanup_wiped_json json_t *value = NULL;
    size_t index, length = strlen(prefix);
    json_t *key;
    int version = 2;
    int result = engine_version(session, &version, error);
    if (result == 0)
        result = engine_path(session, version, "metadata", prefix, &url, error);
    if (result == 0)
        result = ask(session, "LIST", billet_buffer_text(&url), NULL, &value, error);
    if (result < 0)
        return result;
    json_array_foreach (json_object_get(json_object_get(value, "data"), "keys"), index, key) {
        char path[BILLET_VAULT_PATH_MAX * 2];
        if (!json_is_string(key))
            return billet_vault_failed(session->vault, "vault_answer_invalid", error);
        snprintf(path, sizeof(path), "%s%s%s", prefix,
                 length > 0 && prefix[length - 1] != '/' ? "/" : "", json_string_value(key));
        result = visit(path, version == 2 ? "kv 2" : "kv 1", context);
        if (result != 0)
            return result;
    }
    return 0;
}

static int
list(const struct billet_vault *vault, const char *prefix, billet_vault_visit *visit, void *context,
     struct billet_error *error)
{
    struct session session;
    int result = open_session(vault, &session, error);
    if (result == 0)
        result = list_in(&session, prefix, visit, context, error);
    close_session(&session);
    return result;
}

static int
discover(const struct billet_vault *vault, billet_vault_visit *visit, void *context,
         struct billet_error *error)
{
    struct session session;
    cleanup_wiped_json json_t *value = NULL;
    const char *mount;
    json_t *described;
    int result = open_session(vault, &session, error);
    if (result == 0)
        result = ask(&session, "GET", "sys/internal/ui/mounts", NULL, &value, error);
    close_session(&session);
    if (result < 0)
        return result;
    json_object_foreach (json_object_get(json_object_get(value, "data"), "secret"), mount,
                         described) {
        const char *type = billet_json_string(described, "type", "");
        char note[64];
        if (strcmp(type, "kv") != 0 && strcmp(type, "generic") != 0)
            continue;
        snprintf(note, sizeof(note), "kv %.8s",
                 billet_json_string(json_object_get(described, "options"), "version", "1"));
        result = visit(mount, note, context);
        if (result != 0)
            return result;
    }
    return 0;
}

static int
probe(const struct billet_vault *vault, char *found, size_t size, struct billet_error *error)
{
    struct session session = {.vault = vault,
                              .deadline_ns = billet_clock_monotonic() + vault->timeout_ns};
    cleanup_secret struct billet_secret answer = BILLET_SECRET_INIT;
    cleanup_wiped_json json_t *health = NULL, *self = NULL;
    char told[64];
    long status = 0;
    int version = 0;
    int result =
        request(&session, "GET", "sys/health?standbyok=true", NULL, &status, &answer, error);
    if (result == 0 && status != 200)
        result = judge(&session, status, error);
    if (result == 0)
        result = billet_vault_http_json(vault, &answer, &health, error);
    if (result < 0)
        return result;
    billet_text_escape(told, sizeof(told), billet_json_string(health, "version", "unknown"));
    result = open_session(vault, &session, error);
    if (result == 0)
        result = ask(&session, "GET", "auth/token/lookup-self", NULL, &self, error);
    if (result == 0)
        result = engine_version(&session, &version, error);
    close_session(&session);
    if (result == 0)
        snprintf(found, size, "version %s, unsealed; %s is a key-value engine of version %d", told,
                 vault->mount, version);
    return result;
}

static const struct billet_vault_module module = {
    .struct_size = sizeof(module),
    .interface = BILLET_VAULT_INTERFACE,
    .type = "hashicorp",
    .check = check,
    .get = get,
    .probe = probe,
    .list = list,
    .discover = discover,
};

__attribute__((visibility("default"))) const struct billet_vault_module *billet_vault_module(void);

const struct billet_vault_module *
billet_vault_module(void)
{
    return &module;
}
