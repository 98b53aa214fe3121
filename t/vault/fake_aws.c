/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_aws - a strict stand-in for AWS Secrets Manager, and for those that hand out keys for it:
 * STS, the endpoint of a container, the metadata of an instance. It computes every signature
 * itself. t/vault-aws-client.t shows that the service's own client works with it.
 *
 * usage: fake-aws PORT-FILE LOG-FILE [NAME=VALUE]...
 *
 * Writes its port to PORT-FILE, and for each request a line "ACTION KEY NAME STATUS TYPE" to
 * LOG-FILE. Its region is eu-test-1. Keys are in fake_aws_sign.c: AKIDROOT may do all, AKIDPOOR
 * may not read. AssumeRoleWithWebIdentity wants the token jwt-1 and gives ASIAWEB; AssumeRole
 * gives ASIAROLE to AKIDROOT; /container wants the authorization ctoken and gives ASIACONT;
 * /stale gives ASIASTALE, whose token has expired, and ASIACONT from the second time on; the
 * metadata gives ASIAINST to who asked for a token. What a name of a secret may do is in
 * fake_aws_store.c. It ends with the process that started it, or after 300 s.
 */
#include <ctype.h>
#include <signal.h>
#include <sodium.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "fake_aws.h"
#include "fake_server.h"

#define REQUEST_MAX 262144
#define TARGET "secretsmanager."

static FILE *record;

const char *
header_of(const struct request *request, const char *name)
{
    for (size_t i = 0; i < request->header_count; i++)
        if (strcmp(request->headers[i].name, name) == 0)
            return request->headers[i].value;
    return "";
}

/* ---- who hands out keys --------------------------------------------------------------------- */

static void
expiry(char text[32], int seconds)
{
    time_t when = time(NULL) + seconds;
    struct tm moment;
    gmtime_r(&when, &moment);
    strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &moment);
}

static void
give_json(struct answer *answer, const char *id, const char *secret, const char *token)
{
    char when[32];
    expiry(when, 3600);
    json_t *body = json_pack("{s:s, s:s, s:s, s:s, s:s}", "Code", "Success", "AccessKeyId", id,
                             "SecretAccessKey", secret, "Token", token, "Expiration", when);
    answer->status = 200;
    answer->text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
}

static void
refuse_xml(struct answer *answer, int status, const char *type)
{
    answer->status = status;
    answer->content_type = "text/xml";
    snprintf(answer->type, sizeof(answer->type), "%s", type);
    if (asprintf(&answer->text,
                 "<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code>"
                 "<Message>LEAKED-by-the-provider</Message></Error></ErrorResponse>",
                 type) < 0)
        die("memory");
}

static void
give_xml(struct answer *answer, const char *action, const char *id, const char *secret,
         const char *token)
{
    char when[32];
    expiry(when, 900);
    answer->status = 200;
    answer->content_type = "text/xml";
    if (asprintf(&answer->text,
                 "<%sResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n<%sResult>\n"
                 "<Credentials>\n<AccessKeyId>%s</AccessKeyId>\n"
                 "<SecretAccessKey>%s</SecretAccessKey>\n<SessionToken>%s</SessionToken>\n"
                 "<Expiration>%s</Expiration>\n</Credentials>\n<AssumedRoleUser><Arn>a</Arn>"
                 "<AssumedRoleId>b</AssumedRoleId></AssumedRoleUser></%sResult>\n</%sResponse>\n",
                 action, action, id, secret, token, when, action, action) < 0)
        die("memory");
}

static bool
has_field(const struct request *request, const char *field)
{
    size_t length = strlen(field);
    for (const char *at = request->body; (at = strstr(at, field)) != NULL; at++)
        if ((at == request->body || at[-1] == '&') && (at[length] == '\0' || at[length] == '&'))
            return true;
    return false;
}

#define ROLE "RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2F"

static void
serve_sts(const struct request *request, struct answer *answer)
{
    const char *type = "";
    if (strncmp(header_of(request, "content-type"), "application/x-www-form-urlencoded", 33) != 0 ||
        !has_field(request, "Version=2011-06-15") ||
        strstr(request->body, "RoleSessionName=") == NULL)
        refuse_xml(answer, 400, "ValidationError");
    else if (has_field(request, "Action=AssumeRoleWithWebIdentity") &&
             has_field(request, ROLE "web") && header_of(request, "authorization")[0] == '\0') {
        if (has_field(request, "WebIdentityToken=jwt-1"))
            give_xml(answer, "AssumeRoleWithWebIdentity", "ASIAWEB", "web/Secret+Key",
                     "web-token/+==");
        else
            refuse_xml(answer, 400, "InvalidIdentityToken");
    } else if (has_field(request, "Action=AssumeRole") && has_field(request, ROLE "other")) {
        const struct key *key = check_signature(request, "sts", &type);
        if (key == NULL || key->poor)
            refuse_xml(answer, 403, key == NULL ? type : "AccessDenied");
        else
            give_xml(answer, "AssumeRole", "ASIAROLE", "role/Secret+Key", "role-token/+==");
    } else {
        refuse_xml(answer, 403, "AccessDenied");
    }
}

static void
serve_near(const struct request *request, struct answer *answer)
{
    static int stale;
    static const char metadata[] = "/latest/meta-data/iam/security-credentials/";
    bool get = strcmp(request->method, "GET") == 0;
    answer->status = 404;
    if (strcmp(request->method, "PUT") == 0 && strcmp(request->path, "/latest/api/token") == 0) {
        answer->status =
            atoi(header_of(request, "x-aws-ec2-metadata-token-ttl-seconds")) > 0 ? 200 : 400;
        answer->text = answer->status == 200 ? strdup("imds-token==") : NULL;
        answer->content_type = "text/plain";
    } else if (get && strncmp(request->path, metadata, strlen(metadata)) == 0) {
        const char *role = request->path + strlen(metadata);
        if (strcmp(header_of(request, "x-aws-ec2-metadata-token"), "imds-token==") != 0) {
            answer->status = 401;
        } else if (role[0] == '\0') {
            answer->status = 200;
            answer->text = strdup("the-role");
        } else if (strcmp(role, "the-role") == 0) {
            give_json(answer, "ASIAINST", "instance/Secret+Key", "instance-token/+==");
        }
    } else if (get && strcmp(request->path, "/container") == 0) {
        if (strcmp(header_of(request, "authorization"), "ctoken") == 0)
            give_json(answer, "ASIACONT", "container/Secret+Key", "container-token/+==");
        else
            answer->status = 401;
    } else if (get && strcmp(request->path, "/stale") == 0) {
        if (stale++ == 0)
            give_json(answer, "ASIASTALE", "stale/Secret+Key", "stale-token/+==");
        else
            give_json(answer, "ASIACONT", "container/Secret+Key", "container-token/+==");
    } else if (get && strcmp(request->path, "/always-stale") == 0) {
        give_json(answer, "ASIASTALE", "stale/Secret+Key", "stale-token/+==");
    }
}

/* ---- the service -------------------------------------------------------------------------------
 */

static void
serve(const struct request *request, struct answer *answer, const char **action, const char **name,
      const char **who)
{
    static char said[600];
    const char *target = header_of(request, "x-amz-target"), *type;
    answer->content_type = "application/x-amz-json-1.1";
    if (strcmp(request->method, "POST") != 0 || strcmp(request->path, "/") != 0) {
        *action = request->path;
        serve_near(request, answer);
        return;
    }
    if (target[0] == '\0') {
        *action = "sts";
        serve_sts(request, answer);
        return;
    }
    *action = target;
    const struct key *key = check_signature(request, "secretsmanager", &type);
    if (key == NULL) {
        fail_with(answer, strcmp(type, "ExpiredTokenException") == 0 ? 400 : 403, type,
                  "The security token or signature is not good: LEAKED-by-the-provider");
        return;
    }
    *who = key->id;
    json_t *body = json_loadb(request->body, request->body_length, JSON_REJECT_DUPLICATES, NULL);
    if (strncmp(target, TARGET, strlen(TARGET)) != 0 || !json_is_object(body) ||
        strcmp(header_of(request, "content-type"), "application/x-amz-json-1.1") != 0) {
        fail_with(answer, 400, "SerializationException", "");
    } else {
        *action = target + strlen(TARGET);
        store_serve(*action, body, key, answer);
    }
    const char *named = json_string_value(json_object_get(body, "SecretId"));
    if (named == NULL)
        named = json_string_value(json_object_get(body, "Name"));
    snprintf(said, sizeof(said), "%s", named != NULL ? named : "-");
    *name = said;
    json_decref(body);
}

/* ---- HTTP
 * ------------------------------------------------------------------------------------------ */

static bool
take_header(struct request *request, const char *line, size_t length)
{
    const char *colon = memchr(line, ':', length);
    if (colon == NULL || request->header_count == HEADERS_MAX)
        return false;
    size_t name = (size_t)(colon - line), value = length - name - 1;
    for (colon++; value > 0 && *colon == ' '; colon++)
        value--;
    if (name >= sizeof(request->headers[0].name) || value >= sizeof(request->headers[0].value))
        return false;
    char *to = request->headers[request->header_count].name;
    for (size_t i = 0; i < name; i++)
        to[i] = (char)tolower((unsigned char)line[i]);
    to[name] = '\0';
    if (header_of(request, to)[0] != '\0')
        return false; /* twice */
    memcpy(request->headers[request->header_count].value, colon, value);
    request->headers[request->header_count++].value[value] = '\0';
    return true;
}

/* False: it is no request. bytes stay in use. */
static bool
read_request(int client, char *bytes, struct request *request)
{
    size_t length = 0, wanted = SIZE_MAX;
    *request = (struct request){.body = bytes};
    while (length < wanted) {
        ssize_t got = read(client, bytes + length, REQUEST_MAX - 1 - length);
        if (got <= 0)
            return false;
        length += (size_t)got;
        bytes[length] = '\0';
        char *end = wanted == SIZE_MAX ? strstr(bytes, "\r\n\r\n") : NULL;
        if (end == NULL)
            continue;
        request->body = end + 4;
        for (char *line = strstr(bytes, "\r\n") + 2; line < end + 2;
             line = strstr(line, "\r\n") + 2)
            if (!take_header(request, line, (size_t)(strstr(line, "\r\n") - line)))
                return false;
        if (strcmp(header_of(request, "expect"), "100-continue") == 0)
            dprintf(client, "HTTP/1.1 100 Continue\r\n\r\n");
        request->body_length = strtoul(header_of(request, "content-length"), NULL, 10);
        wanted = (size_t)(request->body - bytes) + request->body_length;
    }
    return length == wanted &&
           sscanf(bytes, "%15s %2047s HTTP/1.1", request->method, request->path) == 2;
}

static void
send_answer(int client, const struct answer *answer)
{
    size_t length = answer->text != NULL ? strlen(answer->text) : 0;
    dprintf(client, "HTTP/1.1 %d Status\r\nContent-Type: %s\r\nContent-Length: %zu\r\n",
            answer->status, answer->content_type, length + answer->filler + answer->promised);
    if (answer->location[0] != '\0')
        dprintf(client, "Location: %s\r\n", answer->location);
    dprintf(client, "Connection: close\r\n\r\n");
    for (size_t i = 0; i < answer->filler / 64; i++)
        dprintf(client, "%64s", "");
    if (answer->text != NULL)
        dprintf(client, "%s", answer->text);
}

static void
work(int client, char *bytes)
{
    static struct request request;
    struct answer answer = {.status = 400, .content_type = "text/plain"};
    const char *action = "-", *name = "-", *who = "-";
    if (read_request(client, bytes, &request))
        serve(&request, &answer, &action, &name, &who);
    fprintf(record, "%s %s %s %d %s\n", action, who, name, answer.status, answer.type);
    fflush(record);
    if (answer.silent) { /* one that never answers must not keep the others */
        if (fork() != 0)
            return;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        alarm(60);
        pause();
    }
    send_answer(client, &answer);
    free(answer.text);
}

int
main(int argc, char **argv)
{
    static char bytes[REQUEST_MAX];
    if (argc < 3 || sodium_init() < 0)
        return 2;
    for (int i = 3; i < argc; i++) {
        char *equals = strchr(argv[i], '=');
        if (equals == NULL)
            die(argv[i]);
        *equals = '\0';
        store_add(argv[i], equals + 1);
    }
    int listener = fake_listen(argv[1], argv[2], &record);
    for (;;) {
        int client = fake_accept(listener);
        work(client, bytes);
        close(client);
    }
}
