/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vault_aws.h - what the parts of the AWS module share: keys and where they come from, the
 * signature of a request, names of the provider's errors.
 */
#ifndef BILLET_SECRET_VAULT_AWS_H
#define BILLET_SECRET_VAULT_AWS_H

#include "base/buffer.h"
#include "secret/vault_http.h"

#define BILLET_AWS_KEY_ID_MAX 128
#define BILLET_AWS_DATE 17 /* "20150830T123600Z" and its end */

/* An access key. Only its id may be shown. */
struct billet_aws_key {
    char id[BILLET_AWS_KEY_ID_MAX + 1];
    struct billet_secret secret;
    struct billet_secret token; /* empty: none */
    int64_t expires_s;          /* seconds since 1970; 0: never */
    const char *source;         /* static text for people */
};

void billet_aws_key_free(struct billet_aws_key *key);

/* ---- vault_aws_sign.c: Signature Version 4, after AWS's "Signing AWS API requests" ---- */

struct billet_aws_header {
    const char *name; /* lower case */
    const char *value;
};

struct billet_aws_signing {
    const char *method;
    const char *path;                        /* canonical */
    const char *query;                       /* canonical; "" when there is none */
    const struct billet_aws_header *headers; /* sorted by name, of one value each */
    size_t header_count;
    const void *body;
    size_t body_length;
    const char *date; /* BILLET_AWS_DATE */
    const char *region;
    const char *service;
};

/* Append the value of the header Authorization. */
int billet_aws_sign(const struct billet_aws_signing *signing, const struct billet_aws_key *key,
                    struct billet_buffer *authorization, struct billet_error *error);
/* Now, as x-amz-date wants it. */
void billet_aws_date(char date[BILLET_AWS_DATE]);

/* ---- vault_aws_call.c ---- */

/* A POST to "/" of an address. */
struct billet_aws_call {
    const char *address; /* without a slash at its end */
    const char *region;
    const char *service;
    const char *content_type;
    const char *target; /* x-amz-target; NULL: none */
    const struct billet_secret *body;
    const struct billet_aws_key *key; /* NULL: it is not signed */
    int64_t deadline_ns;
};

int billet_aws_call(const struct billet_vault *vault, const struct billet_aws_call *call,
                    long *status, struct billet_secret *answer, struct billet_error *error);
/* "amazonaws.com", or another where the region is of another partition. */
const char *billet_aws_domain(const char *region);

/* ---- vault_aws_credentials.c: the chain of credentials ---- */

/* The first that is there: the section's own key, the environment, a web identity, a profile of the
 * shared files, the container's endpoint, the instance's (IMDSv2); or the one that the section
 * names. One that is there and fails ends the search. Codes vault_credentials_missing,
 * vault_denied and the others of a vault. */
int billet_aws_credentials(const struct billet_vault *vault, const char *region,
                           int64_t deadline_ns, struct billet_aws_key *key,
                           struct billet_error *error);
/* The region: of the section, the environment or the profile; code vault_config_invalid. */
int billet_aws_region(const struct billet_vault *vault, char region[64],
                      struct billet_error *error);

/* ---- vault_aws_profile.c: ~/.aws/credentials and ~/.aws/config ---- */

/* What a profile says; texts of the files' own bytes, copied. */
struct billet_aws_profile {
    struct billet_aws_key key; /* id "": none */
    char region[64];
    char role_arn[2049];
    char role_session_name[65];
    char source_profile[129];
    char external_id[1225];
    char token_file[4096];
    char credential_source[32]; /* Environment, Ec2InstanceMetadata, EcsContainer */
    char credential_process[4096];
    char unsupported[32]; /* the key of one that billet does not follow: sso_session, mfa_serial */
};

/* Of which profile is spoken when none is named. */
const char *billet_aws_profile_name(const struct billet_vault *vault);
/* 0, or 1 when neither file has it. The file of credentials must be private to its owner. */
int billet_aws_profile_read(const char *name, struct billet_aws_profile *profile,
                            struct billet_error *error);
void billet_aws_profile_free(struct billet_aws_profile *profile);

/* ---- vault_aws_remote.c: keys that somebody else hands out ---- */

struct billet_aws_role {
    const char *arn;
    const char *session_name; /* "": made up */
    const char *external_id;  /* "": none */
    const char *token_file;   /* of AssumeRoleWithWebIdentity; "": AssumeRole */
};

/* by: who asks, for AssumeRole; NULL with a web identity. */
int billet_aws_assume_role(const struct billet_vault *vault, const char *region,
                           int64_t deadline_ns, const struct billet_aws_role *role,
                           const struct billet_aws_key *by, struct billet_aws_key *key,
                           struct billet_error *error);
/* 1: there is none. */
int billet_aws_from_container(const struct billet_vault *vault, int64_t deadline_ns,
                              struct billet_aws_key *key, struct billet_error *error);
int billet_aws_from_instance(const struct billet_vault *vault, int64_t deadline_ns,
                             struct billet_aws_key *key, struct billet_error *error);

/* The key that stands in an answer: AccessKeyId, SecretAccessKey, Expiration, and the session's
 * token by its name there. Version, where it is said, is 1. */
int billet_aws_take_json(const struct billet_vault *vault, const struct billet_secret *answer,
                         const char *token_name, struct billet_aws_key *key,
                         struct billet_error *error);

/* ---- vault_aws_process.c ---- */

/* What the program of a profile's credential_process writes; line is split as AWS's tools do. Codes
 * of billet_vault_run, vault_config_invalid. */
int billet_aws_from_process(const struct billet_vault *vault, const char *line, int64_t deadline_ns,
                            struct billet_aws_key *key, struct billet_error *error);

/* ---- vault_aws_failure.c ---- */

/* What an answer that is no success means. Of the provider's words only the names of errors that
 * are known are repeated. *type: that name, static, or "". */
int billet_aws_failed(const struct billet_vault *vault, long status,
                      const struct billet_secret *answer, const char **type,
                      struct billet_error *error);
/* The text between <NAME> and </NAME>, the first; NULL when there is none. */
const char *billet_aws_element(const struct billet_secret *answer, const char *name,
                               size_t *length);

#endif
