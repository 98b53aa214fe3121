/* SPDX-License-Identifier: Apache-2.0 */
/* The chain: "Standardized credential providers" of the AWS SDKs and Tools Reference Guide. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"
#include "secret/vault_aws.h"

#define PROFILES_MAX 5 /* of roles, each assumed by the next */

struct search {
    const struct billet_vault *vault;
    const char *region;
    int64_t deadline_ns;
};

static const char *
variable(const char *name)
{
    const char *value = secure_getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

static bool
is_key_id(const char *id)
{
    size_t length = strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");
    return length >= 1 && length <= BILLET_AWS_KEY_ID_MAX && id[length] == '\0';
}

/* What comes from outside is checked in one place: it goes into headers. */
static int
check_key(const struct billet_vault *vault, const struct billet_aws_key *key,
          struct billet_error *error)
{
    const struct billet_secret *const parts[] = {&key->secret, &key->token};
    bool good = is_key_id(key->id) && key->secret.length > 0;
    for (size_t i = 0; good && i < 2; i++)
        for (size_t j = 0; good && j < parts[i]->length; j++)
            good = parts[i]->bytes[j] > ' ' && parts[i]->bytes[j] < 0x7f;
    if (good)
        return 0;
    billet_vault_failed(vault, "vault_denied", error);
    return billet_error_wrap(error, "the access key from %s is not one", key->source);
}

/* ---- each of them: 0, or 1 when it is not there ------------------------------------------ */

static int
from_section(const struct search *search, struct billet_aws_key *key, struct billet_error *error)
{
    const struct billet_vault *vault = search->vault;
    if (vault->access_key_id == NULL)
        return 1;
    key->source = "the section";
    billet_text_copy(key->id, sizeof(key->id), vault->access_key_id);
    return billet_secret_copy(&key->secret, vault->secret_access_key.bytes,
                              vault->secret_access_key.length, error);
}

static int
from_environment(const struct search *search, struct billet_aws_key *key,
                 struct billet_error *error)
{
    const char *id = variable("AWS_ACCESS_KEY_ID"), *secret = variable("AWS_SECRET_ACCESS_KEY");
    const char *token = variable("AWS_SESSION_TOKEN");
    (void)search;
    if (id == NULL || secret == NULL)
        return 1;
    key->source = "the environment";
    billet_text_copy(key->id, sizeof(key->id), id);
    int result = billet_secret_copy(&key->secret, secret, strlen(secret), error);
    if (result == 0 && token != NULL)
        result = billet_secret_copy(&key->token, token, strlen(token), error);
    return result;
}

static int
from_web_identity(const struct search *search, struct billet_aws_key *key,
                  struct billet_error *error)
{
    const char *session = variable("AWS_ROLE_SESSION_NAME");
    const struct billet_aws_role role = {.arn = variable("AWS_ROLE_ARN"),
                                         .token_file = variable("AWS_WEB_IDENTITY_TOKEN_FILE"),
                                         .session_name = session != NULL ? session : "",
                                         .external_id = ""};
    if (role.arn == NULL || role.token_file == NULL)
        return 1;
    key->source = "a web identity";
    return billet_aws_assume_role(search->vault, search->region, search->deadline_ns, &role, NULL,
                                  key, error);
}

static int by_profile(const struct search *search, const char *name, int depth,
                      struct billet_aws_key *key, struct billet_error *error);

static int from_container(const struct search *search, struct billet_aws_key *key,
                          struct billet_error *error);
static int from_instance(const struct search *search, struct billet_aws_key *key,
                         struct billet_error *error);

/* Who assumes a role of a profile with credential_source. */
static int
by_source(const struct search *search, const char *name, const char *source,
          struct billet_aws_key *key, struct billet_error *error)
{
    int result = strcmp(source, "Environment") == 0    ? from_environment(search, key, error)
                 : strcmp(source, "EcsContainer") == 0 ? from_container(search, key, error)
                 : strcmp(source, "Ec2InstanceMetadata") == 0
                     ? from_instance(search, key, error)
                     : billet_vault_invalid(search->vault, error,
                                            "profile '%.64s': credential_source is Environment, "
                                            "EcsContainer or Ec2InstanceMetadata",
                                            name);
    return result <= 0
               ? result
               : billet_vault_invalid(search->vault, error,
                                      "profile '%.64s': credential_source has no keys", name);
}

/* A role that the profile names: by a web identity, or by another profile. */
static int
by_role(const struct search *search, const char *name, const struct billet_aws_profile *profile,
        int depth, struct billet_aws_key *key, struct billet_error *error)
{
    const struct billet_aws_role role = {.arn = profile->role_arn,
                                         .session_name = profile->role_session_name,
                                         .external_id = profile->external_id,
                                         .token_file = profile->token_file};
    struct billet_aws_key by = {0};
    int result = 0;
    if (profile->token_file[0] == '\0' && profile->source_profile[0] == '\0') {
        if (profile->credential_source[0] == '\0')
            return billet_vault_invalid(
                search->vault, error,
                "profile '%.64s' has role_arn and neither source_profile nor credential_source",
                name);
        result = by_source(search, name, profile->credential_source, &by, error);
    } else if (profile->token_file[0] == '\0') {
        /* A profile that is its own source has the keys itself. */
        if (strcmp(profile->source_profile, name) == 0)
            result = by_profile(search, name, PROFILES_MAX, &by, error);
        else if (depth + 1 >= PROFILES_MAX)
            return billet_vault_invalid(search->vault, error,
                                        "profiles that name each other go too deep");
        else
            result = by_profile(search, profile->source_profile, depth + 1, &by, error);
        if (result > 0)
            result = billet_vault_invalid(search->vault, error, "profile '%.64s' is not there",
                                          profile->source_profile);
    }
    if (result == 0)
        result = billet_aws_assume_role(search->vault, search->region, search->deadline_ns, &role,
                                        profile->token_file[0] == '\0' ? &by : NULL, key, error);
    billet_aws_key_free(&by);
    return result;
}

/* depth PROFILES_MAX: only keys that stand there. */
static int
by_profile(const struct search *search, const char *name, int depth, struct billet_aws_key *key,
           struct billet_error *error)
{
    struct billet_aws_profile profile;
    int result = billet_aws_profile_read(name, &profile, error);
    if (result != 0)
        return result;
    key->source = "a profile";
    if (profile.role_arn[0] != '\0' && depth < PROFILES_MAX) {
        result = by_role(search, name, &profile, depth, key, error);
    } else if (profile.key.id[0] != '\0' && profile.key.secret.bytes != NULL) {
        *key = profile.key;
        key->source = "a profile";
        profile.key = (struct billet_aws_key){0};
    } else if (profile.credential_process[0] != '\0') {
        result = billet_aws_from_process(search->vault, profile.credential_process,
                                         search->deadline_ns, key, error);
    } else if (profile.unsupported[0] != '\0') {
        result = billet_vault_invalid(search->vault, error,
                                      "profile '%.64s' has %s, which billet does not follow", name,
                                      profile.unsupported);
    } else {
        result = 1;
    }
    billet_aws_profile_free(&profile);
    return result;
}

static int
from_profile(const struct search *search, struct billet_aws_key *key, struct billet_error *error)
{
    const char *name = billet_aws_profile_name(search->vault);
    int result = by_profile(search, name, 0, key, error);
    if (result > 0 && (search->vault->profile != NULL || variable("AWS_PROFILE") != NULL))
        return billet_vault_invalid(search->vault, error,
                                    "profile '%.64s' is not there, or has no keys", name);
    return result;
}

static int
from_container(const struct search *search, struct billet_aws_key *key, struct billet_error *error)
{
    key->source = "the container's endpoint";
    return billet_aws_from_container(search->vault, search->deadline_ns, key, error);
}

static int
from_instance(const struct search *search, struct billet_aws_key *key, struct billet_error *error)
{
    key->source = "the instance's metadata";
    return billet_aws_from_instance(search->vault, search->deadline_ns, key, error);
}

/* ---- the chain ------------------------------------------------------------------------------ */

static const struct {
    const char *name;
    int (*take)(const struct search *search, struct billet_aws_key *key,
                struct billet_error *error);
} chain[] = {
    {"section", from_section},           {"environment", from_environment},
    {"web_identity", from_web_identity}, {"profile", from_profile},
    {"container", from_container},       {"instance", from_instance},
};

/* A profile that the section names was chosen on purpose: the environment's key is not it. */
static bool
is_wanted(const struct billet_vault *vault, const char *name)
{
    if (strcmp(vault->credentials, "auto") != 0)
        return strcmp(vault->credentials, name) == 0;
    return vault->profile == NULL || strcmp(name, "section") == 0 || strcmp(name, "profile") == 0;
}

int
billet_aws_credentials(const struct billet_vault *vault, const char *region, int64_t deadline_ns,
                       struct billet_aws_key *key, struct billet_error *error)
{
    const struct search search = {.vault = vault, .region = region, .deadline_ns = deadline_ns};
    for (size_t i = 0; i < sizeof(chain) / sizeof(chain[0]); i++) {
        struct billet_aws_key found = {0};
        if (!is_wanted(vault, chain[i].name))
            continue;
        int result = chain[i].take(&search, &found, error);
        if (result == 0)
            result = check_key(vault, &found, error);
        if (result == 0) {
            *key = found;
            return 0;
        }
        billet_aws_key_free(&found);
        if (result < 0)
            return result;
    }
    billet_vault_failed(vault, "vault_credentials_missing", error);
    return strcmp(vault->credentials, "auto") != 0
               ? billet_error_wrap(error, "credentials = %s", vault->credentials)
               : -BILLET_CLASS_AUTH;
}

int
billet_aws_region(const struct billet_vault *vault, char region[64], struct billet_error *error)
{
    const char *named = vault->region;
    struct billet_aws_profile profile = {0};
    if (named == NULL)
        named = variable("AWS_REGION");
    if (named == NULL)
        named = variable("AWS_DEFAULT_REGION");
    if (named == NULL) {
        int result = billet_aws_profile_read(billet_aws_profile_name(vault), &profile, error);
        if (result < 0)
            return result;
        named = profile.region;
    }
    billet_text_copy(region, 64, named);
    billet_aws_profile_free(&profile);
    if (region[0] == '\0')
        return billet_vault_invalid(vault, error, "region is missing");
    if (strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(region))
        return billet_vault_invalid(vault, error, "region is not one");
    return 0;
}
