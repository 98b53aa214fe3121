/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of errors: "Common Errors" and "Errors" of the actions in the API references of AWS Secrets
 * Manager and AWS STS. Anything else that the provider says is not repeated.
 */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "secret/vault_aws.h"

static const struct {
    const char *type;
    const char *code;
} known[] = {
    {"AccessDenied", "vault_denied"},
    {"AccessDeniedException", "vault_denied"},
    {"DecryptionFailure", "vault_denied"},
    {"EncryptionFailure", "vault_denied"},
    {"ExpiredToken", "vault_denied"},
    {"ExpiredTokenException", "vault_denied"},
    {"IDPCommunicationError", "vault_unreachable"},
    {"IDPRejectedClaim", "vault_denied"},
    {"IncompleteSignature", "vault_denied"},
    {"IncompleteSignatureException", "vault_denied"},
    {"InternalFailure", "vault_unreachable"},
    {"InternalServiceError", "vault_unreachable"},
    {"InternalServiceErrorException", "vault_unreachable"},
    {"InvalidClientTokenId", "vault_denied"},
    {"InvalidIdentityToken", "vault_denied"},
    {"InvalidNextTokenException", "vault_request_refused"},
    {"InvalidParameterException", "vault_request_refused"},
    {"InvalidRequestException", "vault_request_refused"},
    {"InvalidSignatureException", "vault_denied"},
    {"LimitExceededException", "vault_request_refused"},
    {"MalformedPolicyDocument", "vault_request_refused"},
    {"MissingAuthenticationToken", "vault_denied"},
    {"MissingAuthenticationTokenException", "vault_denied"},
    {"NotAuthorized", "vault_denied"},
    {"OptInRequired", "vault_denied"},
    {"PackedPolicyTooLarge", "vault_request_refused"},
    {"PreconditionNotMetException", "vault_request_refused"},
    {"PublicPolicyException", "vault_request_refused"},
    {"RegionDisabledException", "vault_denied"},
    {"RequestExpired", "vault_denied"},
    {"RequestLimitExceeded", "vault_throttled"},
    {"ResourceExistsException", "vault_entry_exists"},
    {"ResourceNotFoundException", "vault_entry_missing"},
    {"ServiceUnavailable", "vault_unreachable"},
    {"SignatureDoesNotMatch", "vault_denied"},
    {"Throttling", "vault_throttled"},
    {"ThrottlingException", "vault_throttled"},
    {"TooManyRequestsException", "vault_throttled"},
    {"UnrecognizedClientException", "vault_denied"},
    {"ValidationError", "vault_request_refused"},
    {"ValidationException", "vault_request_refused"},
};

const char *
billet_aws_element(const struct billet_secret *answer, const char *name, size_t *length)
{
    char open[64], close[64];
    snprintf(open, sizeof(open), "<%.50s>", name);
    snprintf(close, sizeof(close), "</%.50s>", name);
    const char *from = answer->length > 0 ? strstr((const char *)answer->bytes, open) : NULL;
    const char *to = from != NULL ? strstr(from, close) : NULL;
    if (to == NULL)
        return NULL;
    from += strlen(open);
    *length = (size_t)(to - from);
    return from;
}

/* The name in a JSON body ("aws.prefix#Name:url" at the most) or in an XML one. */
static const char *
type_of(const struct billet_secret *answer, json_t *body, size_t *length)
{
    const char *type = billet_json_string(body, "__type", NULL);
    if (type == NULL)
        return billet_aws_element(answer, "Code", length);
    const char *name = strrchr(type, '#');
    name = name != NULL ? name + 1 : type;
    *length = strcspn(name, ":");
    return name;
}

/* Its message tells which of the two is not there. */
static bool
is_about_version(const json_t *body)
{
    const char *said = billet_json_string(body, "Message", billet_json_string(body, "message", ""));
    return strstr(said, "VersionId") != NULL || strstr(said, "staging label") != NULL;
}

static const char *
code_of_status(long status)
{
    return status == 429                    ? "vault_throttled"
           : status == 404                  ? "vault_entry_missing"
           : status == 401 || status == 403 ? "vault_denied"
           : status >= 500                  ? "vault_unreachable"
           : status == 400                  ? "vault_request_refused"
                                            : "vault_answer_invalid";
}

int
billet_aws_failed(const struct billet_vault *vault, long status, const struct billet_secret *answer,
                  const char **type, struct billet_error *error)
{
    cleanup_wiped_json json_t *body = NULL;
    const char *code = code_of_status(status);
    size_t length = 0;
    *type = "";
    billet_vault_http_json(vault, answer, &body, NULL);
    const char *said = type_of(answer, body, &length);
    for (size_t i = 0; said != NULL && i < sizeof(known) / sizeof(known[0]); i++)
        if (strlen(known[i].type) == length && strncmp(known[i].type, said, length) == 0) {
            *type = known[i].type;
            code = known[i].code;
        }
    if (strcmp(code, "vault_entry_missing") == 0 && is_about_version(body))
        code = "vault_version_missing";
    billet_vault_failed(vault, code, error);
    return (*type)[0] != '\0' ? billet_error_wrap(error, "AWS says %s, status %ld", *type, status)
                              : billet_error_wrap(error, "status %ld", status);
}
