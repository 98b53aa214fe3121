/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_aws.h - parts of the stand-in for AWS Secrets Manager: requests, signatures, the store.
 */
#ifndef BILLET_TEST_FAKE_AWS_H
#define BILLET_TEST_FAKE_AWS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define HEADERS_MAX 64

struct request {
    char method[16];
    char path[2048];
    struct {
        char name[64]; /* lower case */
        char value[8192];
    } headers[HEADERS_MAX];
    size_t header_count;
    const char *body;
    size_t body_length;
};

/* "" when it is not there. */
const char *header_of(const struct request *request, const char *name);

/* What is answered. */
struct answer {
    int status;
    char type[64]; /* of an error */
    char *text;    /* allocated */
    const char *content_type;
    size_t promised; /* bytes beyond those that are sent */
    size_t filler;   /* blanks in front */
    bool silent;     /* never */
    char location[128];
};

/* ---- fake_aws_sign.c ---- */

struct key {
    const char *id, *secret, *token; /* token NULL: none */
    bool poor, expired;
};

/* The key that signed the request, or NULL and the type of the error. */
const struct key *check_signature(const struct request *request, const char *service,
                                  const char **type);

/* ---- fake_aws_store.c ---- */

/* NAME=VALUE of the command line. */
void store_add(const char *name, const char *value);
/* Serve one action; body was parsed. */
void store_serve(const char *action, json_t *body, const struct key *key, struct answer *answer);
void fail_with(struct answer *answer, int status, const char *type, const char *message);

#endif
