/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"
#include "secret/vault_aws.h"

#define HEADERS_MAX 8

const char *
billet_aws_domain(const char *region)
{
    return billet_text_starts(region, "cn-") ? "amazonaws.com.cn" : "amazonaws.com";
}

/* One header, signed and sent. */
struct sent {
    struct billet_aws_header signed_ones[HEADERS_MAX];
    struct billet_secret lines[HEADERS_MAX + 1]; /* "name: value" */
    size_t count;
};

static int
add_line(struct billet_secret *line, const char *name, const char *value,
         struct billet_error *error)
{
    size_t length = strlen(name) + 2 + strlen(value);
    int result = billet_secret_make(line, length, error);
    if (result == 0)
        line->length = (size_t)snprintf((char *)line->bytes, length + 1, "%s: %s", name, value);
    return result;
}

static int
add_header(struct sent *sent, const char *name, const char *value, struct billet_error *error)
{
    if (value == NULL)
        return 0;
    sent->signed_ones[sent->count] = (struct billet_aws_header){name, value};
    return add_line(&sent->lines[sent->count++], name, value, error);
}

static int
sign(const struct billet_aws_call *call, const char *date, struct sent *sent,
     struct billet_error *error)
{
    cleanup_buffer struct billet_buffer authorization = BILLET_BUFFER_INIT;
    const struct billet_aws_signing signing = {.method = "POST",
                                               .path = "/",
                                               .query = "",
                                               .headers = sent->signed_ones,
                                               .header_count = sent->count,
                                               .body = call->body->bytes,
                                               .body_length = call->body->length,
                                               .date = date,
                                               .region = call->region,
                                               .service = call->service};
    int result = billet_aws_sign(&signing, call->key, &authorization, error);
    return result < 0 ? result
                      : add_line(&sent->lines[sent->count++], "authorization",
                                 billet_buffer_text(&authorization), error);
}

int
billet_aws_call(const struct billet_vault *vault, const struct billet_aws_call *call, long *status,
                struct billet_secret *answer, struct billet_error *error)
{
    struct sent sent = {.count = 0};
    const char *headers[HEADERS_MAX + 2] = {NULL};
    char date[BILLET_AWS_DATE], url[640];
    const char *host = strstr(call->address, "://");
    const char *token = call->key != NULL && call->key->token.length > 0
                            ? (const char *)call->key->token.bytes
                            : NULL;
    if (host == NULL || strchr(host + 3, '/') != NULL)
        return billet_vault_invalid(vault, error, "an address of AWS has no path");
    billet_aws_date(date);
    snprintf(url, sizeof(url), "%s/", call->address);
    /* By name, as they are signed. */
    int result = add_header(&sent, "content-type", call->content_type, error);
    if (result == 0)
        result = add_header(&sent, "host", host + 3, error);
    if (result == 0)
        result = add_header(&sent, "x-amz-date", date, error);
    if (result == 0)
        result = add_header(&sent, "x-amz-security-token", token, error);
    if (result == 0)
        result = add_header(&sent, "x-amz-target", call->target, error);
    if (result == 0 && call->key != NULL)
        result = sign(call, date, &sent, error);
    for (size_t i = 0; i < sent.count; i++)
        headers[i] = (const char *)sent.lines[i].bytes;
    const struct billet_vault_request request = {.method = "POST",
                                                 .url = url,
                                                 .headers = headers,
                                                 .body = (const char *)call->body->bytes,
                                                 .deadline_ns = call->deadline_ns};
    if (result == 0)
        result = billet_vault_http(vault, &request, status, answer, error);
    for (size_t i = 0; i < sent.count; i++)
        billet_secret_free(&sent.lines[i]);
    return result;
}
