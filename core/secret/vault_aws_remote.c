/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vault_aws_remote.c - keys for a time: from STS (API reference, AssumeRole and
 * AssumeRoleWithWebIdentity), from the endpoint of a container (SDKs and Tools Reference Guide,
 * "Container credential provider") and from the metadata of an instance (IMDSv2 alone: a PUT for a
 * token comes first).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "secret/vault_aws.h"

#define NEAR_NS INT64_C(2000000000) /* who is on this machine or beside it answers at once */
#define TOKEN_MAX 16384
#define INSTANCE "http://169.254.169.254"
#define CONTAINER "http://169.254.170.2"
#define FORM_TYPE "application/x-www-form-urlencoded; charset=utf-8"

static const char *
variable(const char *name)
{
    const char *value = secure_getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

static int64_t
sooner(int64_t deadline_ns)
{
    int64_t near_ns = billet_clock_monotonic() + NEAR_NS;
    return near_ns < deadline_ns ? near_ns : deadline_ns;
}

/* "2026-11-26T20:00:00Z", with or without a fraction; 0 when it is not one. */
static int64_t
parse_time(const char *text, size_t length)
{
    struct tm moment = {0};
    char copy[32];
    if (length >= sizeof(copy))
        return 0;
    memcpy(copy, text, length);
    copy[length] = '\0';
    if (sscanf(copy, "%4d-%2d-%2dT%2d:%2d:%2d", &moment.tm_year, &moment.tm_mon, &moment.tm_mday,
               &moment.tm_hour, &moment.tm_min, &moment.tm_sec) != 6)
        return 0;
    moment.tm_year -= 1900;
    moment.tm_mon--;
    time_t seconds = timegm(&moment);
    return seconds > 0 ? seconds : 0;
}

static int
invalid(const struct billet_vault *vault, const char *whose, struct billet_error *error)
{
    billet_vault_failed(vault, "vault_answer_invalid", error);
    return billet_error_wrap(error, "credentials from %s", whose);
}

/* ---- STS ----------------------------------------------------------------------------------- */

/* One field of a form, encoded, into room that is large enough. */
static void
add_field(struct billet_secret *body, const char *name, const void *value, size_t length)
{
    static const char digits[] = "0123456789ABCDEF";
    const unsigned char *bytes = value;
    unsigned char *to = body->bytes + body->length;
    to += sprintf((char *)to, "%s%s=", body->length > 0 ? "&" : "", name);
    for (size_t i = 0; i < length; i++) {
        unsigned char c = bytes[i];
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
            (c != 0 && strchr("-._~", c) != NULL)) {
            *to++ = c;
        } else {
            *to++ = '%';
            *to++ = (unsigned char)digits[c >> 4];
            *to++ = (unsigned char)digits[c & 15];
        }
    }
    *to = '\0';
    body->length = (size_t)(to - body->bytes);
}

static int
read_token(const struct billet_vault *vault, const char *path, struct billet_secret *token,
           struct billet_error *error)
{
    cleanup_fd int fd = -1;
    if (path[0] != '/')
        return billet_vault_invalid(vault, error,
                                    "the file of a web identity has to be a whole path");
    /* Kubernetes replaces it by way of symbolic links of its own: trusted as its owner is. */
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    int result = fd < 0 ? billet_error_errno(error, 0, "io_failed", errno, "cannot open %s", path)
                        : billet_secret_read(token, fd, error);
    if (result < 0)
        return billet_error_wrap(error, "vault '%s': the web identity's token", vault->name);
    while (token->length > 0 && strchr("\r\n ", token->bytes[token->length - 1]) != NULL)
        token->bytes[--token->length] = '\0';
    return token->length > 0 && token->length <= TOKEN_MAX
               ? 0
               : billet_vault_invalid(vault, error, "the web identity's token is not one");
}

static int
make_form(const struct billet_vault *vault, const struct billet_aws_role *role,
          struct billet_secret *body, struct billet_error *error)
{
    cleanup_secret struct billet_secret token = BILLET_SECRET_INIT;
    const char *action = role->token_file[0] != '\0' ? "AssumeRoleWithWebIdentity" : "AssumeRole";
    const char *session = role->session_name[0] != '\0' ? role->session_name : "billet";
    int result =
        role->token_file[0] != '\0' ? read_token(vault, role->token_file, &token, error) : 0;
    if (result == 0 && strlen(role->arn) + strlen(session) + strlen(role->external_id) > 4096)
        result = billet_vault_invalid(vault, error, "the role's name is too long");
    if (result == 0)
        result = billet_secret_make(body, 3 * (token.length + 4096) + 512, error);
    if (result < 0)
        return result;
    add_field(body, "Action", action, strlen(action));
    add_field(body, "Version", "2011-06-15", strlen("2011-06-15"));
    add_field(body, "RoleArn", role->arn, strlen(role->arn));
    add_field(body, "RoleSessionName", session, strlen(session));
    if (role->external_id[0] != '\0')
        add_field(body, "ExternalId", role->external_id, strlen(role->external_id));
    if (token.length > 0)
        add_field(body, "WebIdentityToken", token.bytes, token.length);
    return 0;
}

static int
sts_address(const struct billet_vault *vault, const char *region, char address[600],
            struct billet_error *error)
{
    const char *named = vault->sts_address;
    if (named == NULL)
        named = variable("AWS_ENDPOINT_URL_STS");
    if (named == NULL)
        named = variable("AWS_ENDPOINT_URL");
    if (named != NULL)
        snprintf(address, 600, "%.*s", (int)strcspn(named, "?#"), named);
    else
        snprintf(address, 600, "https://sts.%s.%s", region, billet_aws_domain(region));
    return billet_vault_check_address(vault, address, error);
}

/* The four parts of an answer in XML; their alphabets have nothing that XML would escape. */
static int
take_answer(const struct billet_vault *vault, const struct billet_secret *answer,
            struct billet_aws_key *key, struct billet_error *error)
{
    size_t id_length, secret_length, token_length, time_length;
    const char *id = billet_aws_element(answer, "AccessKeyId", &id_length);
    const char *secret = billet_aws_element(answer, "SecretAccessKey", &secret_length);
    const char *token = billet_aws_element(answer, "SessionToken", &token_length);
    const char *expires = billet_aws_element(answer, "Expiration", &time_length);
    if (id == NULL || secret == NULL || token == NULL || expires == NULL ||
        id_length >= sizeof(key->id) || token_length > TOKEN_MAX)
        return invalid(vault, "STS", error);
    key->expires_s = parse_time(expires, time_length);
    if (key->expires_s == 0)
        return invalid(vault, "STS", error);
    memcpy(key->id, id, id_length);
    key->id[id_length] = '\0';
    int result = billet_secret_copy(&key->secret, secret, secret_length, error);
    return result < 0 ? result : billet_secret_copy(&key->token, token, token_length, error);
}

int
billet_aws_assume_role(const struct billet_vault *vault, const char *region, int64_t deadline_ns,
                       const struct billet_aws_role *role, const struct billet_aws_key *by,
                       struct billet_aws_key *key, struct billet_error *error)
{
    cleanup_secret struct billet_secret body = BILLET_SECRET_INIT;
    cleanup_secret struct billet_secret answer = BILLET_SECRET_INIT;
    char address[600];
    const char *type;
    long status = 0;
    int result = sts_address(vault, region, address, error);
    if (result == 0)
        result = make_form(vault, role, &body, error);
    const struct billet_aws_call call = {.address = address,
                                         .region = region,
                                         .service = "sts",
                                         .content_type = FORM_TYPE,
                                         .body = &body,
                                         .key = by,
                                         .deadline_ns = deadline_ns};
    if (result == 0)
        result = billet_aws_call(vault, &call, &status, &answer, error);
    if (result == 0 && status != 200)
        result = billet_aws_failed(vault, status, &answer, &type, error);
    if (result == 0)
        result = take_answer(vault, &answer, key, error);
    return result < 0 ? billet_error_wrap(error, "assuming a role") : 0;
}

/* ---- JSON of a container or an instance -------------------------------------------------------
 */

int
billet_aws_take_json(const struct billet_vault *vault, const struct billet_secret *answer,
                     const char *token_name, struct billet_aws_key *key, struct billet_error *error)
{
    cleanup_wiped_json json_t *body = NULL;
    int result = billet_vault_http_json(vault, answer, &body, error);
    if (result < 0)
        return billet_error_wrap(error, "credentials from %s", key->source);
    const char *id = billet_json_string(body, "AccessKeyId", NULL);
    const char *secret = billet_json_string(body, "SecretAccessKey", NULL);
    const char *token = billet_json_string(body, token_name, NULL);
    const char *expires = billet_json_string(body, "Expiration", NULL);
    const json_t *version = json_object_get(body, "Version");
    if (id == NULL || secret == NULL || strlen(id) >= sizeof(key->id) ||
        strcmp(billet_json_string(body, "Code", "Success"), "Success") != 0 ||
        (token != NULL && strlen(token) > TOKEN_MAX) ||
        (version != NULL && json_integer_value(version) != 1))
        return invalid(vault, key->source, error);
    key->expires_s = expires != NULL ? parse_time(expires, strlen(expires)) : 0;
    if (expires != NULL && key->expires_s == 0)
        return invalid(vault, key->source, error);
    billet_text_copy(key->id, sizeof(key->id), id);
    result = billet_secret_copy(&key->secret, secret, strlen(secret), error);
    if (result == 0 && token != NULL)
        result = billet_secret_copy(&key->token, token, strlen(token), error);
    return result;
}

/* One request to somebody near; anything but 200 is a failure. header: NULL, or it may be secret.
 */
static int
ask_near(const struct billet_vault *vault, const char *method, const char *url, const char *header,
         int64_t deadline_ns, struct billet_secret *answer, struct billet_error *error)
{
    const char *const headers[] = {header, NULL};
    const struct billet_vault_request request = {.method = method,
                                                 .url = url,
                                                 .headers = headers,
                                                 .body = NULL,
                                                 .deadline_ns = sooner(deadline_ns),
                                                 .direct = true};
    long status = 0;
    int result = billet_vault_http(vault, &request, &status, answer, error);
    if (result < 0 || status == 200)
        return result;
    billet_vault_failed(vault,
                        status == 400 || status == 401 || status == 403 ? "vault_denied"
                        : status == 404 ? "vault_credentials_missing"
                        : status == 429 ? "vault_throttled"
                        : status >= 500 ? "vault_unreachable"
                                        : "vault_answer_invalid",
                        error);
    return billet_error_wrap(error, "status %ld", status);
}

/* A header "NAME: VALUE" in guarded memory. */
static int
make_header(const struct billet_vault *vault, const char *name, const struct billet_secret *value,
            struct billet_secret *header, struct billet_error *error)
{
    for (size_t i = 0; i < value->length; i++)
        if (value->bytes[i] < ' ' || value->bytes[i] == 0x7f)
            return invalid(vault, "a token", error);
    if (value->length == 0 || value->length > TOKEN_MAX)
        return invalid(vault, "a token", error);
    int result = billet_secret_make(header, strlen(name) + 2 + value->length, error);
    if (result < 0)
        return result;
    header->length = header->size;
    memcpy(header->bytes, name, strlen(name));
    memcpy(header->bytes + strlen(name), ": ", 2);
    memcpy(header->bytes + strlen(name) + 2, value->bytes, value->length);
    return 0;
}

/* Over http a token goes to this machine and the addresses of ECS and EKS only. */
static bool
is_near(const char *url)
{
    static const char *const hosts[] = {"http://127.0.0.1",       "http://localhost",
                                        "http://[::1]",           "http://169.254.170.2",
                                        "http://169.254.170.23",  "http://[fd00:ec2::23]",
                                        "http://169.254.169.254", "http://[fd00:ec2::254]"};
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        size_t length = strlen(hosts[i]);
        if (strncmp(url, hosts[i], length) == 0 &&
            (url[length] == '\0' || strchr(":/", url[length]) != NULL) &&
            strcspn(url + length, "@ ") == strlen(url + length))
            return true;
    }
    return billet_text_starts(url, "https://");
}

/* The token of AWS_CONTAINER_AUTHORIZATION_TOKEN[_FILE]; none is fine. */
static int
container_header(const struct billet_vault *vault, struct billet_secret *header,
                 struct billet_error *error)
{
    cleanup_secret struct billet_secret token = BILLET_SECRET_INIT;
    const char *file = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    const char *said = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN");
    int result = 0;
    if (file != NULL)
        result = read_token(vault, file, &token, error);
    else if (said != NULL)
        result = billet_secret_copy(&token, said, strlen(said), error);
    if (result < 0 || token.bytes == NULL)
        return result;
    return make_header(vault, "Authorization", &token, header, error);
}

int
billet_aws_from_container(const struct billet_vault *vault, int64_t deadline_ns,
                          struct billet_aws_key *key, struct billet_error *error)
{
    cleanup_secret struct billet_secret header = BILLET_SECRET_INIT;
    cleanup_secret struct billet_secret answer = BILLET_SECRET_INIT;
    const char *relative = variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    const char *full = variable("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    char url[2048];
    if (relative == NULL && full == NULL)
        return 1;
    int length = relative != NULL ? snprintf(url, sizeof(url), CONTAINER "%s", relative)
                                  : snprintf(url, sizeof(url), "%s", full);
    if (length >= (int)sizeof(url) || (relative != NULL && relative[0] != '/') || !is_near(url))
        return billet_vault_invalid(vault, error,
                                    "the container's endpoint is neither https nor this machine");
    int result = container_header(vault, &header, error);
    if (result == 0)
        result =
            ask_near(vault, "GET", url, (const char *)header.bytes, deadline_ns, &answer, error);
    if (result == 0)
        result = billet_aws_take_json(vault, &answer, "Token", key, error);
    return result < 0 ? billet_error_wrap(error, "the container's endpoint") : 0;
}

/* The instance's role: the first line, and nothing that would change a URL. */
static int
role_of(const struct billet_vault *vault, struct billet_secret *answer, struct billet_error *error)
{
    size_t length = strcspn((const char *)answer->bytes, "\r\n");
    answer->bytes[length] = '\0';
    answer->length = length;
    static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                               "+=,.@_-";
    return length > 0 && length <= 128 && strspn((const char *)answer->bytes, good) == length
               ? 0
               : invalid(vault, "the instance", error);
}

int
billet_aws_from_instance(const struct billet_vault *vault, int64_t deadline_ns,
                         struct billet_aws_key *key, struct billet_error *error)
{
    cleanup_secret struct billet_secret token = BILLET_SECRET_INIT;
    cleanup_secret struct billet_secret header = BILLET_SECRET_INIT;
    cleanup_secret struct billet_secret role = BILLET_SECRET_INIT;
    cleanup_secret struct billet_secret answer = BILLET_SECRET_INIT;
    const char *disabled = variable("AWS_EC2_METADATA_DISABLED");
    const char *named = variable("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    char base[512], url[1024];
    if (disabled != NULL && strcasecmp(disabled, "true") == 0)
        return 1;
    snprintf(base, sizeof(base), "%s", named != NULL ? named : INSTANCE);
    if (!is_near(base))
        return billet_vault_invalid(vault, error, "the metadata's endpoint is not near");
    if (base[strlen(base) - 1] == '/')
        base[strlen(base) - 1] = '\0';
    snprintf(url, sizeof(url), "%s/latest/api/token", base);
    int result = ask_near(vault, "PUT", url, "X-aws-ec2-metadata-token-ttl-seconds: 60",
                          deadline_ns, &token, error);
    /* Nobody there: this is no instance. */
    if (result < 0 && (error == NULL || strcmp(error->code, "vault_unreachable") == 0 ||
                       strcmp(error->code, "vault_timeout") == 0)) {
        billet_error_clear(error);
        return 1;
    }
    if (result == 0)
        result = make_header(vault, "X-aws-ec2-metadata-token", &token, &header, error);
    snprintf(url, sizeof(url), "%s/latest/meta-data/iam/security-credentials/", base);
    if (result == 0)
        result = ask_near(vault, "GET", url, (const char *)header.bytes, deadline_ns, &role, error);
    if (result == 0)
        result = role_of(vault, &role, error);
    if (result == 0) {
        snprintf(url, sizeof(url), "%s/latest/meta-data/iam/security-credentials/%s", base,
                 (const char *)role.bytes);
        result =
            ask_near(vault, "GET", url, (const char *)header.bytes, deadline_ns, &answer, error);
    }
    if (result == 0)
        result = billet_aws_take_json(vault, &answer, "Token", key, error);
    return result < 0 ? billet_error_wrap(error, "the instance's metadata") : 0;
}
