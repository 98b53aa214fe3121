/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Known answers: AWS's own "Signature Version 4 test suite", and the example of its guide "Create a
 * signed AWS API request".
 */
#include <string.h>

#include "secret/vault_aws.h"
#include "unit_fixture.h"

#define HOST                            \
    {                                   \
        "host", "example.amazonaws.com" \
    }
#define DATE                             \
    {                                    \
        "x-amz-date", "20150830T123600Z" \
    }

static const char token[] =
    "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfI"
    "eoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0"
    "wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+"
    "scqKmlzm8FDrypN"
    "C9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";

static const struct vector {
    const char *name, *method, *query, *service, *body;
    struct billet_aws_header headers[4];
    size_t count;
    const char *names, *signature;
} vectors[] = {
    {"get-vanilla",
     "GET",
     "",
     "service",
     "",
     {HOST, DATE},
     2,
     "host;x-amz-date",
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
    {"post-vanilla",
     "POST",
     "",
     "service",
     "",
     {HOST, DATE},
     2,
     "host;x-amz-date",
     "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
    {"get-vanilla-query-order-key-case",
     "GET",
     "Param1=value1&Param2=value2",
     "service",
     "",
     {HOST, DATE},
     2,
     "host;x-amz-date",
     "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
    {"get-header-value-trim",
     "GET",
     "",
     "service",
     "",
     {HOST, {"my-header1", " value1"}, {"my-header2", " \"a   b   c\""}, DATE},
     4,
     "host;my-header1;my-header2;x-amz-date",
     "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
    {"post-x-www-form-urlencoded",
     "POST",
     "",
     "service",
     "Param1=value1",
     {{"content-type", "application/x-www-form-urlencoded"}, HOST, DATE},
     3,
     "content-type;host;x-amz-date",
     "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"},
    {"post-sts-header-before",
     "POST",
     "",
     "service",
     "",
     {HOST, DATE, {"x-amz-security-token", token}},
     3,
     "host;x-amz-date;x-amz-security-token",
     "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"},
    {"the guide's example",
     "GET",
     "Action=ListUsers&Version=2010-05-08",
     "iam",
     "",
     {{"content-type", "application/x-www-form-urlencoded; charset=utf-8"},
      {"host", "iam.amazonaws.com"},
      DATE},
     3,
     "content-type;host;x-amz-date",
     "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"},
};

START_TEST(signatures_are_as_published)
{
    static const char secret[] = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    const struct vector *vector = &vectors[_i];
    struct billet_aws_key key = {.id = "AKIDEXAMPLE"};
    struct billet_error error = BILLET_ERROR_INIT;
    struct billet_buffer made = BILLET_BUFFER_INIT;
    char wanted[512];
    ck_assert_int_eq(billet_secret_copy(&key.secret, secret, strlen(secret), &error), 0);
    const struct billet_aws_signing signing = {.method = vector->method,
                                               .path = "/",
                                               .query = vector->query,
                                               .headers = vector->headers,
                                               .header_count = vector->count,
                                               .body = vector->body,
                                               .body_length = strlen(vector->body),
                                               .date = "20150830T123600Z",
                                               .region = "us-east-1",
                                               .service = vector->service};
    ck_assert_int_eq(billet_aws_sign(&signing, &key, &made, &error), 0);
    snprintf(wanted, sizeof(wanted),
             "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/%s/aws4_request, "
             "SignedHeaders=%s, Signature=%s",
             vector->service, vector->names, vector->signature);
    ck_assert_msg(strcmp(billet_buffer_text(&made), wanted) == 0, "%s: %s", vector->name,
                  billet_buffer_text(&made));
    billet_buffer_free(&made);
    billet_aws_key_free(&key);
}
END_TEST

START_TEST(the_date_is_of_the_form_that_is_signed)
{
    char date[BILLET_AWS_DATE];
    billet_aws_date(date);
    ck_assert_uint_eq(strlen(date), BILLET_AWS_DATE - 1);
    ck_assert_int_eq(date[8], 'T');
    ck_assert_int_eq(date[15], 'Z');
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("secret_aws_sign");
    TCase *tcase = tcase_create("signature");
    tcase_add_loop_test(tcase, signatures_are_as_published, 0,
                        (int)(sizeof(vectors) / sizeof(vectors[0])));
    tcase_add_test(tcase, the_date_is_of_the_form_that_is_signed);
    suite_add_tcase(suite, tcase);
    return unit_main(suite);
}
