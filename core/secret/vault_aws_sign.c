/* SPDX-License-Identifier: Apache-2.0 */
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "secret/vault_aws.h"

#define ALGORITHM "AWS4-HMAC-SHA256"
#define HASH crypto_hash_sha256_BYTES
#define HEX (2 * HASH + 1)
#define PREFIX "AWS4"
#define DAY 8 /* of a date, its first bytes */

_Static_assert(HASH == crypto_auth_hmacsha256_BYTES, "one size");

void
billet_aws_key_free(struct billet_aws_key *key)
{
    billet_secret_free(&key->secret);
    billet_secret_free(&key->token);
    *key = (struct billet_aws_key){0};
}

void
billet_aws_date(char date[BILLET_AWS_DATE])
{
    time_t now = time(NULL);
    struct tm moment;
    gmtime_r(&now, &moment);
    strftime(date, BILLET_AWS_DATE, "%Y%m%dT%H%M%SZ", &moment);
}

static void
add(crypto_hash_sha256_state *state, const char *text)
{
    crypto_hash_sha256_update(state, (const unsigned char *)text, strlen(text));
}

/* A value as it is signed: without blanks at its ends, runs of them as one. */
static void
add_value(crypto_hash_sha256_state *state, const char *value)
{
    size_t length = strlen(value);
    while (length > 0 && value[length - 1] == ' ')
        length--;
    for (size_t i = strspn(value, " "); i < length; i++)
        if (value[i] != ' ' || value[i + 1] != ' ')
            crypto_hash_sha256_update(state, (const unsigned char *)&value[i], 1);
}

static void
add_names(const struct billet_aws_signing *signing, struct billet_buffer *to)
{
    for (size_t i = 0; i < signing->header_count; i++)
        billet_buffer_format(to, "%s%s", i > 0 ? ";" : "", signing->headers[i].name);
}

/* The hash of the canonical request, in hexadecimal. */
static void
hash_request(const struct billet_aws_signing *signing, const char *names, char hex[HEX])
{
    crypto_hash_sha256_state state;
    unsigned char hash[HASH];
    crypto_hash_sha256(hash, signing->body, signing->body_length);
    sodium_bin2hex(hex, HEX, hash, HASH);
    crypto_hash_sha256_init(&state);
    const char *const parts[] = {signing->method, "\n", signing->path, "\n", signing->query, "\n"};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        add(&state, parts[i]);
    for (size_t i = 0; i < signing->header_count; i++) {
        add(&state, signing->headers[i].name);
        add(&state, ":");
        add_value(&state, signing->headers[i].value);
        add(&state, "\n");
    }
    add(&state, "\n");
    add(&state, names);
    add(&state, "\n");
    add(&state, hex);
    crypto_hash_sha256_final(&state, hash);
    sodium_bin2hex(hex, HEX, hash, HASH);
}

static void
mac(unsigned char to[HASH], const void *key, size_t key_length, const char *text, size_t length)
{
    crypto_auth_hmacsha256_state state;
    crypto_auth_hmacsha256_init(&state, key, key_length);
    crypto_auth_hmacsha256_update(&state, (const unsigned char *)text, length);
    crypto_auth_hmacsha256_final(&state, to);
    sodium_memzero(&state, sizeof(state));
}

/* The key of that day, region and service. */
static int
derive(const struct billet_aws_signing *signing, const struct billet_aws_key *key,
       unsigned char derived[HASH], struct billet_error *error)
{
    cleanup_secret struct billet_secret first = BILLET_SECRET_INIT;
    int result = billet_secret_make(&first, strlen(PREFIX) + key->secret.length, error);
    if (result < 0)
        return result;
    memcpy(first.bytes, PREFIX, strlen(PREFIX));
    memcpy(first.bytes + strlen(PREFIX), key->secret.bytes, key->secret.length);
    mac(derived, first.bytes, first.size, signing->date, DAY);
    mac(derived, derived, HASH, signing->region, strlen(signing->region));
    mac(derived, derived, HASH, signing->service, strlen(signing->service));
    mac(derived, derived, HASH, "aws4_request", strlen("aws4_request"));
    return 0;
}

int
billet_aws_sign(const struct billet_aws_signing *signing, const struct billet_aws_key *key,
                struct billet_buffer *authorization, struct billet_error *error)
{
    struct billet_buffer names = BILLET_BUFFER_INIT;
    struct billet_buffer text = BILLET_BUFFER_INIT;
    unsigned char derived[HASH], signature[HASH];
    char hex[HEX], scope[192];
    int result = billet_secret_prepare(error);
    if (result < 0)
        return result;
    snprintf(scope, sizeof(scope), "%.*s/%.64s/%.64s/aws4_request", DAY, signing->date,
             signing->region, signing->service);
    add_names(signing, &names);
    if (!names.failed) {
        hash_request(signing, billet_buffer_text(&names), hex);
        billet_buffer_format(&text, ALGORITHM "\n%s\n%s\n%s", signing->date, scope, hex);
    }
    result = names.failed || text.failed ? billet_error_no_memory(error)
                                         : derive(signing, key, derived, error);
    if (result == 0) {
        mac(signature, derived, HASH, text.data, text.length);
        sodium_memzero(derived, sizeof(derived));
        sodium_bin2hex(hex, sizeof(hex), signature, HASH);
        billet_buffer_format(authorization,
                             ALGORITHM " Credential=%s/%s, SignedHeaders=%s, Signature=%s", key->id,
                             scope, billet_buffer_text(&names), hex);
        if (authorization->failed)
            result = billet_error_no_memory(error);
    }
    billet_buffer_free(&names);
    billet_buffer_free(&text);
    return result;
}
