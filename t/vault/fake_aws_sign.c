/* SPDX-License-Identifier: Apache-2.0 */
/* Signature Version 4 from the side of the service: computed from the bytes that arrived. */
#include <ctype.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fake_aws.h"

static const struct key keys[] = {
    {"AKIDROOT", "root/Secret+Key", NULL, false, false},
    {"AKIDPOOR", "poor/Secret+Key", NULL, true, false},
    {"ASIAENV", "env/Secret+Key", "env-token/+==", false, false},
    {"ASIAWEB", "web/Secret+Key", "web-token/+==", false, false},
    {"ASIAROLE", "role/Secret+Key", "role-token/+==", false, false},
    {"ASIACONT", "container/Secret+Key", "container-token/+==", false, false},
    {"ASIAINST", "instance/Secret+Key", "instance-token/+==", false, false},
    {"ASIASTALE", "stale/Secret+Key", "stale-token/+==", false, true},
};

static void
hmac(unsigned char *to, const void *key, size_t key_length, const char *text)
{
    crypto_auth_hmacsha256_state state;
    crypto_auth_hmacsha256_init(&state, key, key_length);
    crypto_auth_hmacsha256_update(&state, (const unsigned char *)text, strlen(text));
    crypto_auth_hmacsha256_final(&state, to);
}

static void
append(char *to, size_t size, const char *text)
{
    size_t length = strlen(to);
    snprintf(to + length, size - length, "%s", text);
}

/* A value without blanks at its ends, and with one between words. */
static void
append_value(char *to, size_t size, const char *value)
{
    size_t length = strlen(to), begin = length;
    for (; *value != '\0' && length + 1 < size; value++) {
        bool blank = *value == ' ';
        if (!blank || (length > begin && to[length - 1] != ' '))
            to[length++] = *value;
    }
    while (length > begin && to[length - 1] == ' ')
        length--;
    to[length] = '\0';
}

static bool
take_part(const char *authorization, const char *name, char *to, size_t size)
{
    const char *at = strstr(authorization, name);
    if (at == NULL)
        return false;
    at += strlen(name);
    size_t length = strcspn(at, ", ");
    if (length >= size)
        return false;
    memcpy(to, at, length);
    to[length] = '\0';
    return true;
}

/* Signed: sorted, without a name twice, and all that must be. */
static bool
headers_are_signed(const struct request *request, const char *names)
{
    static const char *const needed[] = {"content-type", "host", "x-amz-date", "x-amz-target",
                                         "x-amz-security-token"};
    char copy[1024], previous[64] = "", *rest = NULL;
    for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
        if (header_of(request, needed[i])[0] == '\0')
            continue;
        char wrapped[80], all[1100];
        snprintf(wrapped, sizeof(wrapped), ";%s;", needed[i]);
        snprintf(all, sizeof(all), ";%s;", names);
        if (strstr(all, wrapped) == NULL)
            return false;
    }
    snprintf(copy, sizeof(copy), "%s", names);
    for (char *name = strtok_r(copy, ";", &rest); name != NULL; name = strtok_r(NULL, ";", &rest)) {
        if (strcmp(previous, name) >= 0 || header_of(request, name)[0] == '\0')
            return false;
        snprintf(previous, sizeof(previous), "%s", name);
    }
    return true;
}

static bool
date_is_now(const char *date)
{
    struct tm moment = {0};
    if (strlen(date) != 16 ||
        sscanf(date, "%4d%2d%2dT%2d%2d%2dZ", &moment.tm_year, &moment.tm_mon, &moment.tm_mday,
               &moment.tm_hour, &moment.tm_min, &moment.tm_sec) != 6)
        return false;
    moment.tm_year -= 1900;
    moment.tm_mon--;
    return labs((long)(timegm(&moment) - time(NULL))) <= 300;
}

static void
sign(const struct request *request, const struct key *key, const char *scope, const char *names,
     char signature[65])
{
    static char canonical[65536];
    char hex[65], text[512], copy[1024], first[256], *rest = NULL;
    unsigned char hash[32], derived[32];
    crypto_hash_sha256(hash, (const unsigned char *)request->body, request->body_length);
    sodium_bin2hex(hex, sizeof(hex), hash, sizeof(hash));
    snprintf(canonical, sizeof(canonical), "%s\n%s\n\n", request->method, request->path);
    snprintf(copy, sizeof(copy), "%s", names);
    for (char *name = strtok_r(copy, ";", &rest); name != NULL; name = strtok_r(NULL, ";", &rest)) {
        append(canonical, sizeof(canonical), name);
        append(canonical, sizeof(canonical), ":");
        append_value(canonical, sizeof(canonical), header_of(request, name));
        append(canonical, sizeof(canonical), "\n");
    }
    append(canonical, sizeof(canonical), "\n");
    append(canonical, sizeof(canonical), names);
    append(canonical, sizeof(canonical), "\n");
    append(canonical, sizeof(canonical), hex);
    crypto_hash_sha256(hash, (const unsigned char *)canonical, strlen(canonical));
    sodium_bin2hex(hex, sizeof(hex), hash, sizeof(hash));
    snprintf(text, sizeof(text), "AWS4-HMAC-SHA256\n%s\n%s\n%s", header_of(request, "x-amz-date"),
             scope, hex);
    snprintf(first, sizeof(first), "AWS4%s", key->secret);
    snprintf(copy, sizeof(copy), "%s", scope);
    bool begun = false;
    for (char *part = strtok_r(copy, "/", &rest); part != NULL; part = strtok_r(NULL, "/", &rest)) {
        if (begun)
            hmac(derived, derived, sizeof(derived), part);
        else
            hmac(derived, first, strlen(first), part);
        begun = true;
    }
    hmac(hash, derived, sizeof(derived), text);
    sodium_bin2hex(signature, 65, hash, sizeof(hash));
}

const struct key *
check_signature(const struct request *request, const char *service, const char **type)
{
    const char *authorization = header_of(request, "authorization");
    char credential[256], names[1024], said[80], made[65], wanted[128];
    *type = "MissingAuthenticationTokenException";
    if (authorization[0] == '\0')
        return NULL;
    *type = "IncompleteSignatureException";
    if (strncmp(authorization, "AWS4-HMAC-SHA256 ", 17) != 0 ||
        !take_part(authorization, "Credential=", credential, sizeof(credential)) ||
        !take_part(authorization, "SignedHeaders=", names, sizeof(names)) ||
        !take_part(authorization, "Signature=", said, sizeof(said)))
        return NULL;
    char *scope = strchr(credential, '/');
    if (scope == NULL)
        return NULL;
    *scope++ = '\0';
    *type = "UnrecognizedClientException";
    const struct key *key = NULL;
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (strcmp(keys[i].id, credential) == 0)
            key = &keys[i];
    if (key == NULL || strcmp(key->token != NULL ? key->token : "",
                              header_of(request, "x-amz-security-token")) != 0)
        return NULL;
    *type = "InvalidSignatureException";
    snprintf(wanted, sizeof(wanted), "%.8s/eu-test-1/%s/aws4_request",
             header_of(request, "x-amz-date"), service);
    if (strcmp(scope, wanted) != 0 || !headers_are_signed(request, names) ||
        !date_is_now(header_of(request, "x-amz-date")))
        return NULL;
    sign(request, key, scope, names, made);
    if (strcmp(made, said) != 0)
        return NULL;
    *type = "ExpiredTokenException";
    return key->expired ? NULL : key;
}
